//! APDUs as trees of nodes.

use dlms::acse::{
    Aare, Aarq, ApplicationContextName, AssociateSourceDiagnostic, AuthenticationValue, Rlre, Rlrq,
};
use dlms::axdr::{DateTime, RawData};
use dlms::codec::{DecodeError, Wire as _};
use dlms::cosem::obis::name;
use dlms::cosem::{
    AttributeDescriptor, AttributeDescriptorWithSelection, InterfaceClass, MethodDescriptor, Obis,
    SelectiveAccessDescriptor,
};
use dlms::xdlms::{
    AccessRequest, AccessRequestSpecification, AccessResponse, AccessResponseSpecification,
    ActionRequest, ActionResponse, ActionResponseWithOptionalData, Apdu, Conformance, DataBlockG,
    DataBlockSa, GeneralCiphering, GetDataResult, GetRequest, GetResponse, InitiateRequest,
    InitiateResponse, InvokeIdAndPriority, KeyInfo, LongInvokeIdAndPriority, ReadResult,
    ServiceError, SetRequest, SetResponse, Tag, VariableAccessSpecification, WriteResult,
};
use serde_json::json;

use super::node::Node;
use super::piece::Piece;
use super::value;
use crate::text::hex;

type Described = Result<Node, DecodeError>;

/// Describes an APDU that is all of `piece`. What others stand inside it and
/// are opened elsewhere is left to the caller.
pub(crate) fn apdu(apdu: &Apdu<'_>, piece: &Piece) -> Described {
    let at = |index: usize| Some(piece.at(index));
    let head = Node::new(apdu.name(), at(0));
    Ok(match apdu {
        Apdu::Aarq(aarq) => head.with_all(aarq_nodes(aarq, piece)),
        Apdu::Aare(aare) => head.with_all(aare_nodes(aare, piece)),
        Apdu::Rlrq(rlrq) => head.with_all(rlrq_nodes(rlrq)),
        Apdu::Rlre(rlre) => head.with_all(rlre_nodes(rlre)),
        Apdu::InitiateRequest(request) => head.with_all(initiate_request(request, piece)),
        Apdu::InitiateResponse(response) => head.with_all(initiate_response(response)),
        Apdu::ReadRequest(read) => head.with_all(variables(&read.specifications, piece)?),
        Apdu::WriteRequest(write) => head
            .with_all(variables(&write.specifications, piece)?)
            .with(data_list("list-of-data", &write.data, piece)?),
        Apdu::UnconfirmedWriteRequest(write) => head
            .with_all(variables(&write.specifications, piece)?)
            .with(data_list("list-of-data", &write.data, piece)?),
        Apdu::InformationReportRequest(report) => {
            let time = report.current_time.map(|octets| {
                Node::new(
                    "current-time",
                    piece.index_of(octets).map(|index| piece.at(index)),
                )
                .valued(hex(octets))
                .text(value::octet_text(octets))
            });
            head.with_all(time)
                .with_all(variables(&report.specifications, piece)?)
                .with(data_list("list-of-data", &report.data, piece)?)
        }
        Apdu::ReadResponse(read) => {
            let mut node = head;
            for result in &read.results {
                node = node.with(read_result(result, piece)?);
            }
            node
        }
        Apdu::WriteResponse(write) => {
            head.with_all(write.results.iter().map(|result| match result {
                WriteResult::Success => Node::new("result", None).valued("success"),
                WriteResult::DataAccessError(error) => {
                    Node::new("data-access-error", None).valued(error.to_string())
                }
                WriteResult::BlockNumber(number) => Node::new("block-number", None).valued(*number),
            }))
        }
        Apdu::ConfirmedServiceError(error) => {
            let value = error
                .class
                .value_name(error.value)
                .map_or_else(|| format!("unknown ({})", error.value), str::to_owned);
            head.with(Node::new("service", at(1)).valued(error.service.to_string()))
                .with(Node::new("error", at(2)).valued(error.class.to_string()))
                .with(Node::new("reason", at(3)).valued(value))
        }
        Apdu::DataNotification(push) => {
            let body = value::node("notification-body", push.body, piece)?;
            let mut node = head.with(long_invoke(push.invoke, at(1))).with(date_time(
                "date-time",
                push.date_time,
                at(5),
            ));
            if push.date_time_tagged {
                node = node.with(
                    Node::new("quirk", at(5))
                        .valued("the date-time has a tag, as Kaifa meters send it"),
                );
            }
            node.with(body)
        }
        Apdu::DataNotificationConfirm(confirm) => head
            .with(long_invoke(confirm.invoke, at(1)))
            .with(date_time("date-time", confirm.date_time, at(5))),
        Apdu::EventNotificationRequest(event) => {
            let mut node = head;
            if let Some(time) = event.time {
                node = node.with(date_time("time", time, at(2)));
            }
            node.with(attribute(&event.attribute, None))
                .with(value::node("attribute-value", event.value, piece)?)
        }
        Apdu::GetRequest(request) => get_request(request, head, piece)?,
        Apdu::GetResponse(response) => get_response(response, head, piece)?,
        Apdu::SetRequest(request) => set_request(request, head, piece)?,
        Apdu::SetResponse(response) => set_response(response, head, piece),
        Apdu::ActionRequest(request) => action_request(request, head, piece)?,
        Apdu::ActionResponse(response) => action_response(response, head, piece)?,
        Apdu::ExceptionResponse(exception) => {
            let mut node = head
                .with(Node::new("state-error", at(1)).valued(exception.state_error.to_string()))
                .with(
                    Node::new("service-error", at(2)).valued(match exception.service_error {
                        ServiceError::Unknown(code) => format!("unknown ({code})"),
                        known => known.name().to_owned(),
                    }),
                );
            if let ServiceError::InvocationCounterError(Some(counter)) = exception.service_error {
                node = node.with(Node::new("invocation-counter", at(3)).valued(counter));
            }
            node
        }
        Apdu::AccessRequest(request) => access_request(request, head, piece)?,
        Apdu::AccessResponse(response) => access_response(response, head, piece)?,
        Apdu::GeneralBlockTransfer(block) => {
            let control = block.block_control;
            head.with(
                Node {
                    value: json!({
                        "last_block": control.is_last_block(),
                        "streaming": control.is_streaming(),
                        "window": control.window(),
                    }),
                    ..Node::new("block-control", at(1))
                }
                .text(format!(
                    "{}{}window {}",
                    if control.is_last_block() {
                        "last block, "
                    } else {
                        ""
                    },
                    if control.is_streaming() {
                        "streaming, "
                    } else {
                        ""
                    },
                    control.window()
                )),
            )
            .with(Node::new("block-number", at(2)).valued(block.block_number))
            .with(Node::new("block-number-ack", at(4)).valued(block.block_number_ack))
            .with(octets("block-data", block.block_data, piece))
        }
        Apdu::GeneralCiphering(general) => head.with_all(general_ciphering(general, piece)),
        Apdu::GeneralSigning(signed) => head
            .with(octets("transaction-id", signed.transaction_id, piece))
            .with(octets(
                "originator-system-title",
                signed.originator_system_title,
                piece,
            ))
            .with(octets(
                "recipient-system-title",
                signed.recipient_system_title,
                piece,
            ))
            .with(octets("date-time", signed.date_time, piece))
            .with(octets("other-information", signed.other_information, piece))
            .with(octets("signature", signed.signature, piece)),
        Apdu::Gateway(gateway) => head
            .with(Node::new("network-id", at(1)).valued(gateway.network_id))
            .with(octets(
                "physical-device-address",
                gateway.physical_device_address,
                piece,
            )),
        // Opened elsewhere.
        Apdu::ServiceCiphering(_) | Apdu::GeneralGloCiphering(_) | Apdu::GeneralDedCiphering(_) => {
            head
        }
        Apdu::Unknown { rest, .. } => head.with(octets("octets", rest, piece)),
        other => head.text(format!("{other:?}")),
    })
}

fn octets(name: &'static str, part: &[u8], piece: &Piece) -> Node {
    let at = piece.index_of(part).map(|index| piece.at(index));
    Node::new(name, at)
        .valued(hex(part))
        .text(if part.is_empty() {
            "none".to_owned()
        } else {
            value::hex_text(part)
        })
}

fn title(name: &'static str, part: &[u8], piece: &Piece) -> Node {
    let node = octets(name, part, piece);
    let flag = dlms::security::SystemTitle::from_slice(part)
        .and_then(|title| title.manufacturer().map(str::to_owned));
    match flag {
        Some(flag) => {
            let text = format!("{} ({flag})", hex(part));
            node.text(text)
        }
        None => node,
    }
}

fn date_time(name: &'static str, time: Option<DateTime>, at: Option<usize>) -> Node {
    let node = Node::new(name, at);
    match time {
        None => node.text("none"),
        Some(time) => node
            .valued(time.to_string())
            .text(value::date_time_text(&time)),
    }
}

fn invoke(invoke: InvokeIdAndPriority, piece: &Piece) -> Node {
    Node {
        value: json!({
            "invoke_id": invoke.invoke_id(),
            "confirmed": invoke.is_confirmed(),
            "high_priority": invoke.is_high_priority(),
        }),
        ..Node::new("invoke-id-and-priority", piece.at(2))
    }
    .text(format!(
        "{}, {}",
        invoke.invoke_id(),
        flags(invoke.is_confirmed(), invoke.is_high_priority())
    ))
}

fn long_invoke(invoke: LongInvokeIdAndPriority, at: Option<usize>) -> Node {
    let mut text = format!(
        "{}, {}",
        invoke.long_invoke_id(),
        flags(invoke.is_confirmed(), invoke.is_high_priority())
    );
    if invoke.is_self_descriptive() {
        text.push_str(", self-descriptive");
    }
    if invoke.breaks_on_error() {
        text.push_str(", breaks on error");
    }
    Node {
        value: json!({
            "long_invoke_id": invoke.long_invoke_id(),
            "confirmed": invoke.is_confirmed(),
            "high_priority": invoke.is_high_priority(),
            "self_descriptive": invoke.is_self_descriptive(),
            "breaks_on_error": invoke.breaks_on_error(),
        }),
        ..Node::new("long-invoke-id-and-priority", at)
    }
    .text(text)
}

const fn flags(confirmed: bool, high_priority: bool) -> &'static str {
    match (confirmed, high_priority) {
        (true, false) => "confirmed",
        (true, true) => "confirmed, high priority",
        (false, false) => "unconfirmed",
        (false, true) => "unconfirmed, high priority",
    }
}

/// An OBIS code with its name, where it has one.
fn obis_text(obis: Obis) -> String {
    match name(obis) {
        Some(name) => format!("{obis} {name}"),
        None => obis.to_string(),
    }
}

/// The newest version of a class stands for all where no version is told.
fn class(class_id: u16) -> Option<&'static InterfaceClass> {
    InterfaceClass::nearest(class_id, u8::MAX)
}

fn attribute(descriptor: &AttributeDescriptor, at: Option<usize>) -> Node {
    let class = class(descriptor.class_id);
    let of = class.and_then(|class| class.attribute_name(descriptor.attribute));
    Node {
        value: json!({
            "class": descriptor.class_id,
            "obis": descriptor.instance.to_string(),
            "attribute": descriptor.attribute,
        }),
        ..Node::new("attribute", at)
    }
    .text(format!(
        "{}, attribute {}{} of class {}{}",
        obis_text(descriptor.instance),
        descriptor.attribute,
        of.map_or_else(String::new, |name| format!(" ({name})")),
        descriptor.class_id,
        class.map_or_else(String::new, |class| format!(" ({})", class.name)),
    ))
}

fn method(descriptor: &MethodDescriptor, at: Option<usize>) -> Node {
    let class = class(descriptor.class_id);
    let of = class.and_then(|class| class.method_name(descriptor.method));
    Node {
        value: json!({
            "class": descriptor.class_id,
            "obis": descriptor.instance.to_string(),
            "method": descriptor.method,
        }),
        ..Node::new("method", at)
    }
    .text(format!(
        "{}, method {}{} of class {}{}",
        obis_text(descriptor.instance),
        descriptor.method,
        of.map_or_else(String::new, |name| format!(" ({name})")),
        descriptor.class_id,
        class.map_or_else(String::new, |class| format!(" ({})", class.name)),
    ))
}

fn selection(selection: &SelectiveAccessDescriptor<'_>, piece: &Piece) -> Described {
    let name = match selection.access_selector {
        1 => "1, by range".to_owned(),
        2 => "2, by entry".to_owned(),
        other => other.to_string(),
    };
    Ok(Node::new("access-selection", None)
        .with(
            Node::new("access-selector", None)
                .valued(selection.access_selector)
                .text(name),
        )
        .with(value::node(
            "access-parameters",
            selection.access_parameters,
            piece,
        )?))
}

fn selected(
    item: &AttributeDescriptorWithSelection<'_>,
    piece: &Piece,
) -> Result<Vec<Node>, DecodeError> {
    let mut nodes = vec![attribute(&item.attribute, None)];
    if let Some(access) = &item.access_selection {
        nodes.push(selection(access, piece)?);
    }
    Ok(nodes)
}

fn selected_list(items: &[AttributeDescriptorWithSelection<'_>], piece: &Piece) -> Described {
    let mut list = Node::new("attribute-descriptor-list", None);
    for item in items {
        list = list.with_all(selected(item, piece)?);
    }
    Ok(list)
}

fn data_list(name: &'static str, items: &[RawData<'_>], piece: &Piece) -> Described {
    let mut list = Node::new(name, None);
    for (index, item) in items.iter().enumerate() {
        list = list.with(value::node(format!("[{}]", index + 1), *item, piece)?);
    }
    Ok(list)
}

fn data_block(block: &DataBlockSa<'_>, piece: &Piece) -> Vec<Node> {
    vec![
        Node::new("last-block", None).valued(block.last_block),
        Node::new("block-number", None).valued(block.block_number),
        octets("raw-data", block.raw_data, piece),
    ]
}

fn get_request(request: &GetRequest<'_>, head: Node, piece: &Piece) -> Described {
    let head = head.with(invoke(request.invoke(), piece));
    Ok(match request {
        GetRequest::Normal {
            attribute: descriptor,
            access_selection,
            ..
        } => {
            let mut node = head.with(attribute(descriptor, Some(piece.at(3))));
            if let Some(access) = access_selection {
                node = node.with(selection(access, piece)?);
            }
            node
        }
        GetRequest::Next { block_number, .. } => {
            head.with(Node::new("block-number", piece.at(3)).valued(*block_number))
        }
        GetRequest::WithList { attributes, .. } => head.with(selected_list(attributes, piece)?),
    })
}

fn get_result(
    name: String,
    result: &GetDataResult<'_>,
    piece: &Piece,
    at: Option<usize>,
) -> Described {
    match result {
        Ok(data) => value::node(name, *data, piece),
        Err(refusal) => Ok(Node {
            name: name.into(),
            ..Node::new("data-access-result", at).valued(refusal.to_string())
        }),
    }
}

fn get_response(response: &GetResponse<'_>, head: Node, piece: &Piece) -> Described {
    let head = head.with(invoke(response.invoke(), piece));
    Ok(match response {
        GetResponse::Normal { result, .. } => {
            let name = match result {
                Ok(_) => "data",
                Err(_) => "data-access-result",
            };
            head.with(get_result(
                name.to_owned(),
                result,
                piece,
                Some(piece.at(4)),
            )?)
        }
        GetResponse::WithDatablock { block, .. } => head.with_all(block_g(block, piece)),
        GetResponse::WithList { results, .. } => {
            let mut list = Node::new("result", None);
            for (index, result) in results.iter().enumerate() {
                list = list.with(get_result(format!("[{}]", index + 1), result, piece, None)?);
            }
            head.with(list)
        }
    })
}

fn block_g(block: &DataBlockG<'_>, piece: &Piece) -> Vec<Node> {
    vec![
        Node::new("last-block", piece.at(3)).valued(block.last_block),
        Node::new("block-number", piece.at(4)).valued(block.block_number),
        match block.result {
            Ok(raw) => octets("raw-data", raw, piece),
            Err(refusal) => {
                Node::new("data-access-result", piece.at(9)).valued(refusal.to_string())
            }
        },
    ]
}

fn set_request(request: &SetRequest<'_>, head: Node, piece: &Piece) -> Described {
    let head = head.with(invoke(request.invoke(), piece));
    Ok(match request {
        SetRequest::Normal {
            attribute: descriptor,
            access_selection,
            value: data,
            ..
        } => {
            let mut node = head.with(attribute(descriptor, Some(piece.at(3))));
            if let Some(access) = access_selection {
                node = node.with(selection(access, piece)?);
            }
            node.with(value::node("value", *data, piece)?)
        }
        SetRequest::WithFirstDatablock {
            attribute: descriptor,
            access_selection,
            block,
            ..
        } => {
            let mut node = head.with(attribute(descriptor, Some(piece.at(3))));
            if let Some(access) = access_selection {
                node = node.with(selection(access, piece)?);
            }
            node.with_all(data_block(block, piece))
        }
        SetRequest::WithDatablock { block, .. } => head.with_all(data_block(block, piece)),
        SetRequest::WithList {
            attributes, values, ..
        } => head.with(selected_list(attributes, piece)?).with(data_list(
            "value-list",
            values,
            piece,
        )?),
        SetRequest::WithListAndFirstDatablock {
            attributes, block, ..
        } => head
            .with(selected_list(attributes, piece)?)
            .with_all(data_block(block, piece)),
    })
}

fn set_response(response: &SetResponse, head: Node, piece: &Piece) -> Node {
    let head = head.with(invoke(response.invoke(), piece));
    let result = |result: &dlms::xdlms::DataAccessResult| {
        Node::new("result", piece.at(3)).valued(result.to_string())
    };
    let block = |number: u32| Node::new("block-number", None).valued(number);
    let list = |results: &[dlms::xdlms::DataAccessResult]| {
        Node::new("result", piece.at(3)).with_all(results.iter().enumerate().map(
            |(index, result)| {
                Node::new(format!("[{}]", index + 1), None).valued(result.to_string())
            },
        ))
    };
    match response {
        SetResponse::Normal { result: one, .. } => head.with(result(one)),
        SetResponse::Datablock { block_number, .. } => head.with(block(*block_number)),
        SetResponse::LastDatablock {
            result: one,
            block_number,
            ..
        } => head.with(result(one)).with(block(*block_number)),
        SetResponse::LastDatablockWithList {
            results,
            block_number,
            ..
        } => head.with(list(results)).with(block(*block_number)),
        SetResponse::WithList { results, .. } => head.with(list(results)),
    }
}

fn method_list(methods: &[MethodDescriptor]) -> Node {
    Node::new("cosem-method-descriptor-list", None)
        .with_all(methods.iter().map(|descriptor| method(descriptor, None)))
}

fn action_request(request: &ActionRequest<'_>, head: Node, piece: &Piece) -> Described {
    let head = head.with(invoke(request.invoke(), piece));
    Ok(match request {
        ActionRequest::Normal {
            method: descriptor,
            parameters,
            ..
        } => {
            let node = head.with(method(descriptor, Some(piece.at(3))));
            match parameters {
                Some(data) => node.with(value::node("method-invocation-parameters", *data, piece)?),
                None => node,
            }
        }
        ActionRequest::NextPblock { block_number, .. } => {
            head.with(Node::new("block-number", piece.at(3)).valued(*block_number))
        }
        ActionRequest::WithList {
            methods,
            parameters,
            ..
        } => head.with(method_list(methods)).with(data_list(
            "method-invocation-parameters",
            parameters,
            piece,
        )?),
        ActionRequest::WithFirstPblock {
            method: descriptor,
            block,
            ..
        } => head
            .with(method(descriptor, Some(piece.at(3))))
            .with_all(data_block(block, piece)),
        ActionRequest::WithListAndFirstPblock { methods, block, .. } => head
            .with(method_list(methods))
            .with_all(data_block(block, piece)),
        ActionRequest::WithPblock { block, .. } => head.with_all(data_block(block, piece)),
    })
}

fn action_result(
    response: &ActionResponseWithOptionalData<'_>,
    piece: &Piece,
    at: Option<usize>,
) -> Result<Vec<Node>, DecodeError> {
    let mut nodes = vec![Node::new("result", at).valued(response.result.to_string())];
    if let Some(result) = &response.return_parameters {
        nodes.push(get_result(
            "return-parameters".to_owned(),
            result,
            piece,
            None,
        )?);
    }
    Ok(nodes)
}

fn action_response(response: &ActionResponse<'_>, head: Node, piece: &Piece) -> Described {
    let head = head.with(invoke(response.invoke(), piece));
    Ok(match response {
        ActionResponse::Normal { response, .. } => {
            head.with_all(action_result(response, piece, Some(piece.at(3)))?)
        }
        ActionResponse::WithPblock { block, .. } => head.with_all(data_block(block, piece)),
        ActionResponse::WithList { responses, .. } => {
            let mut list = Node::new("list-of-responses", piece.at(3));
            for response in responses {
                list = list.with_all(action_result(response, piece, None)?);
            }
            head.with(list)
        }
        ActionResponse::NextPblock { block_number, .. } => {
            head.with(Node::new("block-number", piece.at(3)).valued(*block_number))
        }
    })
}

fn access_request(request: &AccessRequest<'_>, head: Node, piece: &Piece) -> Described {
    let list = access_list(&request.specifications, piece)?;
    Ok(head
        .with(long_invoke(request.invoke, Some(piece.at(1))))
        .with(date_time("date-time", request.date_time, Some(piece.at(5))))
        .with(list)
        .with(data_list(
            "access-request-list-of-data",
            &request.data,
            piece,
        )?))
}

fn access_list(specifications: &[AccessRequestSpecification<'_>], piece: &Piece) -> Described {
    let mut list = Node::new("access-request-specification", None);
    for specification in specifications {
        let named = |service: &'static str, node: Node| Node {
            name: service.into(),
            ..node
        };
        list = match specification {
            AccessRequestSpecification::Get(descriptor) => {
                list.with(named("get", attribute(descriptor, None)))
            }
            AccessRequestSpecification::Set(descriptor) => {
                list.with(named("set", attribute(descriptor, None)))
            }
            AccessRequestSpecification::Action(descriptor) => {
                list.with(named("action", method(descriptor, None)))
            }
            AccessRequestSpecification::GetWithSelection(descriptor, access) => list
                .with(named("get", attribute(descriptor, None)))
                .with(selection(access, piece)?),
            AccessRequestSpecification::SetWithSelection(descriptor, access) => list
                .with(named("set", attribute(descriptor, None)))
                .with(selection(access, piece)?),
        };
    }
    Ok(list)
}

fn access_response(response: &AccessResponse<'_>, head: Node, piece: &Piece) -> Described {
    let results = Node::new("access-response-specification", None).with_all(
        response
            .response_specifications
            .iter()
            .map(|specification| match specification {
                AccessResponseSpecification::Get(result) => {
                    Node::new("get", None).valued(result.to_string())
                }
                AccessResponseSpecification::Set(result) => {
                    Node::new("set", None).valued(result.to_string())
                }
                AccessResponseSpecification::Action(result) => {
                    Node::new("action", None).valued(result.to_string())
                }
            }),
    );
    let mut head = head
        .with(long_invoke(response.invoke, Some(piece.at(1))))
        .with(date_time(
            "date-time",
            response.date_time,
            Some(piece.at(5)),
        ));
    if let Some(specifications) = &response.request_specifications {
        head = head.with(access_list(specifications, piece)?);
    }
    Ok(head
        .with(data_list(
            "access-response-list-of-data",
            &response.data,
            piece,
        )?)
        .with(results))
}

fn variables(
    specifications: &[VariableAccessSpecification<'_>],
    piece: &Piece,
) -> Result<Vec<Node>, DecodeError> {
    let name = |name: u16| {
        Node::new("variable-name", None)
            .valued(name)
            .text(format!("0x{name:04x}"))
    };
    let mut nodes = Vec::new();
    for specification in specifications {
        nodes.push(match specification {
            VariableAccessSpecification::VariableName(variable) => name(*variable),
            VariableAccessSpecification::ParameterizedAccess {
                variable_name,
                selector,
                parameter,
            } => Node::new("parameterized-access", None)
                .with(name(*variable_name))
                .with(Node::new("selector", None).valued(*selector))
                .with(value::node("parameter", *parameter, piece)?),
            VariableAccessSpecification::BlockNumberAccess(number) => {
                Node::new("block-number-access", None).valued(*number)
            }
            VariableAccessSpecification::ReadDataBlockAccess {
                last_block,
                block_number,
                raw_data,
            } => Node::new("read-data-block-access", None)
                .with(Node::new("last-block", None).valued(*last_block))
                .with(Node::new("block-number", None).valued(*block_number))
                .with(octets("raw-data", raw_data, piece)),
            VariableAccessSpecification::WriteDataBlockAccess {
                last_block,
                block_number,
            } => Node::new("write-data-block-access", None)
                .with(Node::new("last-block", None).valued(*last_block))
                .with(Node::new("block-number", None).valued(*block_number)),
        });
    }
    Ok(nodes)
}

fn read_result(result: &ReadResult<'_>, piece: &Piece) -> Described {
    Ok(match result {
        ReadResult::Data(data) => value::node("data", *data, piece)?,
        ReadResult::DataAccessError(error) => {
            Node::new("data-access-error", None).valued(error.to_string())
        }
        ReadResult::DataBlockResult {
            last_block,
            block_number,
            raw_data,
        } => Node::new("data-block-result", None)
            .with(Node::new("last-block", None).valued(*last_block))
            .with(Node::new("block-number", None).valued(*block_number))
            .with(octets("raw-data", raw_data, piece)),
        ReadResult::BlockNumber(number) => Node::new("block-number", None).valued(*number),
    })
}

fn general_ciphering(general: &GeneralCiphering<'_>, piece: &Piece) -> Vec<Node> {
    let mut nodes = vec![
        octets("transaction-id", general.transaction_id, piece),
        title(
            "originator-system-title",
            general.originator_system_title,
            piece,
        ),
        title(
            "recipient-system-title",
            general.recipient_system_title,
            piece,
        ),
        octets("date-time", general.date_time, piece),
        octets("other-information", general.other_information, piece),
    ];
    nodes.extend(general.key_info.map(|info| {
        match info {
            KeyInfo::Identified { key_id } => Node::new("key-info", None)
                .valued(key_id)
                .text(format!("identified key {key_id}")),
            KeyInfo::Wrapped {
                kek_id,
                key_ciphered_data,
            } => Node::new("key-info", None).text(format!(
                "key wrapped under key {kek_id}, {} octets",
                key_ciphered_data.len()
            )),
            KeyInfo::Agreed {
                key_parameters,
                key_ciphered_data,
            } => Node::new("key-info", None).text(format!(
                "agreed key, parameters {}, {} octets",
                hex(key_parameters),
                key_ciphered_data.len()
            )),
        }
    }));
    nodes.push(octets("ciphered-content", general.ciphered_content, piece));
    nodes
}

/// Passwords and challenges are told by their length alone.
fn authentication(name: &'static str, value: &AuthenticationValue<'_>, piece: &Piece) -> Node {
    let octets = value.octets();
    let at = piece.index_of(octets).map(|index| piece.at(index));
    Node {
        value: json!({ "length": octets.len() }),
        ..Node::new(name, at)
    }
    .text(format!("{} octets, not shown", octets.len()))
}

fn aarq_nodes(aarq: &Aarq<'_>, piece: &Piece) -> Vec<Node> {
    let mut nodes = vec![context_node(aarq.application_context_name)];
    let mut part = |name, part: Option<&[u8]>| {
        nodes.extend(part.map(|octets| title(name, octets, piece)));
    };
    part("called-AP-title", aarq.called_ap_title);
    part("called-AE-qualifier", aarq.called_ae_qualifier);
    part("calling-AP-title", aarq.calling_ap_title);
    part("calling-AE-qualifier", aarq.calling_ae_qualifier);
    for (name, id) in [
        ("called-AP-invocation-id", aarq.called_ap_invocation_id),
        ("called-AE-invocation-id", aarq.called_ae_invocation_id),
        ("calling-AP-invocation-id", aarq.calling_ap_invocation_id),
        ("calling-AE-invocation-id", aarq.calling_ae_invocation_id),
    ] {
        nodes.extend(id.map(|id| Node::new(name, None).valued(id)));
    }
    if let Some(mechanism) = aarq.mechanism_name {
        nodes.push(mechanism_node(mechanism));
    }
    if let Some(value) = &aarq.calling_authentication_value {
        nodes.push(authentication("calling-authentication-value", value, piece));
    }
    nodes.extend(
        aarq.implementation_information
            .map(|information| octets("implementation-information", information, piece)),
    );
    nodes
}

fn context_node(context: ApplicationContextName<'_>) -> Node {
    Node {
        value: json!(context.name()),
        ..Node::new("application-context-name", None)
    }
    .text(match context {
        ApplicationContextName::LogicalName => "logical names, no ciphering".to_owned(),
        ApplicationContextName::ShortName => "short names, no ciphering".to_owned(),
        ApplicationContextName::LogicalNameCiphered => "logical names, ciphering".to_owned(),
        ApplicationContextName::ShortNameCiphered => "short names, ciphering".to_owned(),
        ApplicationContextName::Unknown(octets) => format!("unknown, {}", hex(octets)),
    })
}

fn mechanism_node(mechanism: dlms::acse::MechanismName<'_>) -> Node {
    let name = mechanism.name();
    Node::new("mechanism-name", None)
        .valued(name)
        .text(match mechanism.id() {
            Some(id) => format!("{id}, {}", short_mechanism(mechanism)),
            None => name.to_owned(),
        })
}

fn short_mechanism(mechanism: dlms::acse::MechanismName<'_>) -> &'static str {
    use dlms::acse::MechanismName;
    match mechanism {
        MechanismName::Lowest => "lowest level security",
        MechanismName::Low => "low level security (password)",
        MechanismName::High => "high level security of the maker",
        MechanismName::HighMd5 => "high level security with MD5",
        MechanismName::HighSha1 => "high level security with SHA-1",
        MechanismName::HighGmac => "high level security with GMAC",
        MechanismName::HighSha256 => "high level security with SHA-256",
        MechanismName::HighEcdsa => "high level security with ECDSA",
        MechanismName::Unknown(_) => "unknown",
    }
}

fn aare_nodes(aare: &Aare<'_>, piece: &Piece) -> Vec<Node> {
    let diagnostic = match aare.result_source_diagnostic {
        AssociateSourceDiagnostic::ServiceUser(reason) => {
            Node::new("diagnostic", None).valued(reason.to_string())
        }
        AssociateSourceDiagnostic::ServiceProvider(reason) => {
            Node::new("provider-diagnostic", None).valued(reason.to_string())
        }
    };
    let mut nodes = vec![
        context_node(aare.application_context_name),
        Node::new("result", None).valued(aare.result.to_string()),
        diagnostic,
    ];
    let mut part = |name, part: Option<&[u8]>| {
        nodes.extend(part.map(|octets| title(name, octets, piece)));
    };
    part("responding-AP-title", aare.responding_ap_title);
    part("responding-AE-qualifier", aare.responding_ae_qualifier);
    if let Some(mechanism) = aare.mechanism_name {
        nodes.push(mechanism_node(mechanism));
    }
    if let Some(value) = &aare.responding_authentication_value {
        nodes.push(authentication(
            "responding-authentication-value",
            value,
            piece,
        ));
    }
    nodes.extend(
        aare.implementation_information
            .map(|information| octets("implementation-information", information, piece)),
    );
    nodes
}

fn rlrq_nodes(rlrq: &Rlrq<'_>) -> Option<Node> {
    rlrq.reason
        .map(|reason| Node::new("reason", None).valued(reason.to_string()))
}

fn rlre_nodes(rlre: &Rlre<'_>) -> Option<Node> {
    rlre.reason
        .map(|reason| Node::new("reason", None).valued(reason.to_string()))
}

fn conformance(name: &'static str, conformance: Conformance) -> Node {
    let names: Vec<&str> = conformance.names().collect();
    let text = if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    };
    Node {
        value: json!(names),
        ..Node::new(name, None)
    }
    .text(text)
}

fn initiate_request(request: &InitiateRequest<'_>, piece: &Piece) -> Vec<Node> {
    let mut nodes = Vec::new();
    if let Some(key) = request.dedicated_key {
        let at = piece.index_of(key).map(|index| piece.at(index));
        nodes.push(
            Node {
                value: json!({ "length": key.len() }),
                ..Node::new("dedicated-key", at)
            }
            .text(format!("{} octets, not shown", key.len())),
        );
    }
    if !request.response_allowed {
        nodes.push(Node::new("response-allowed", None).valued(false));
    }
    nodes.extend(
        request
            .proposed_quality_of_service
            .map(|quality| Node::new("proposed-quality-of-service", None).valued(quality)),
    );
    nodes.push(
        Node::new("proposed-dlms-version-number", None)
            .valued(request.proposed_dlms_version_number),
    );
    nodes.push(conformance(
        "proposed-conformance",
        request.proposed_conformance,
    ));
    nodes.push(
        Node::new("client-max-receive-pdu-size", None).valued(request.client_max_receive_pdu_size),
    );
    nodes
}

fn initiate_response(response: &InitiateResponse) -> Vec<Node> {
    let mut nodes = Vec::new();
    nodes.extend(
        response
            .negotiated_quality_of_service
            .map(|quality| Node::new("negotiated-quality-of-service", None).valued(quality)),
    );
    nodes.push(
        Node::new("negotiated-dlms-version-number", None)
            .valued(response.negotiated_dlms_version_number),
    );
    nodes.push(conformance(
        "negotiated-conformance",
        response.negotiated_conformance,
    ));
    nodes.push(
        Node::new("server-max-receive-pdu-size", None).valued(response.server_max_receive_pdu_size),
    );
    nodes.push(
        Node::new("vaa-name", None)
            .valued(response.vaa_name)
            .text(format!("0x{:04x}", response.vaa_name)),
    );
    nodes
}

/// The octets of an APDU, encoded again from what was decoded, values
/// included.
pub(crate) fn encode_again(apdu: &Apdu<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut copy = apdu.clone();
    let mut values = Vec::new();
    let mut failed = None;
    for_each_value(&mut copy, &mut |raw| match raw.decode() {
        Ok(data) => {
            let mut octets = Vec::new();
            data.encode(&mut octets);
            values.push(octets);
        }
        Err(error) => failed = failed.or(Some(error)),
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut again = apdu.clone();
    let mut next = values.iter();
    for_each_value(&mut again, &mut |raw| {
        if let Some(octets) = next.next() {
            *raw = RawData::new(octets);
        }
    });
    let mut octets = Vec::new();
    again.encode(&mut octets);
    Ok(octets)
}

/// Visits every value of an APDU, in their order.
fn for_each_value<'a>(apdu: &mut Apdu<'a>, visit: &mut dyn FnMut(&mut RawData<'a>)) {
    fn selection<'a>(
        selection: &mut Option<SelectiveAccessDescriptor<'a>>,
        visit: &mut dyn FnMut(&mut RawData<'a>),
    ) {
        if let Some(selection) = selection {
            visit(&mut selection.access_parameters);
        }
    }
    fn result<'a>(result: &mut GetDataResult<'a>, visit: &mut dyn FnMut(&mut RawData<'a>)) {
        if let Ok(data) = result {
            visit(data);
        }
    }
    fn returned<'a>(
        response: &mut ActionResponseWithOptionalData<'a>,
        visit: &mut dyn FnMut(&mut RawData<'a>),
    ) {
        if let Some(Ok(data)) = &mut response.return_parameters {
            visit(data);
        }
    }
    fn variables<'a>(
        specifications: &mut [VariableAccessSpecification<'a>],
        visit: &mut dyn FnMut(&mut RawData<'a>),
    ) {
        for specification in specifications {
            if let VariableAccessSpecification::ParameterizedAccess { parameter, .. } =
                specification
            {
                visit(parameter);
            }
        }
    }
    fn accesses<'a>(
        specifications: &mut [AccessRequestSpecification<'a>],
        visit: &mut dyn FnMut(&mut RawData<'a>),
    ) {
        for specification in specifications {
            if let AccessRequestSpecification::GetWithSelection(_, access)
            | AccessRequestSpecification::SetWithSelection(_, access) = specification
            {
                visit(&mut access.access_parameters);
            }
        }
    }
    match apdu {
        Apdu::DataNotification(push) => visit(&mut push.body),
        Apdu::EventNotificationRequest(event) => visit(&mut event.value),
        Apdu::GetRequest(GetRequest::Normal {
            access_selection, ..
        }) => selection(access_selection, visit),
        Apdu::GetRequest(GetRequest::WithList { attributes, .. }) => {
            for item in attributes {
                selection(&mut item.access_selection, visit);
            }
        }
        Apdu::GetResponse(GetResponse::Normal { result: one, .. }) => result(one, visit),
        Apdu::GetResponse(GetResponse::WithList { results, .. }) => {
            for one in results {
                result(one, visit);
            }
        }
        Apdu::SetRequest(SetRequest::Normal {
            access_selection,
            value,
            ..
        }) => {
            selection(access_selection, visit);
            visit(value);
        }
        Apdu::SetRequest(SetRequest::WithFirstDatablock {
            access_selection, ..
        }) => selection(access_selection, visit),
        Apdu::SetRequest(SetRequest::WithList {
            attributes, values, ..
        }) => {
            for item in attributes {
                selection(&mut item.access_selection, visit);
            }
            for value in values {
                visit(value);
            }
        }
        Apdu::SetRequest(SetRequest::WithListAndFirstDatablock { attributes, .. }) => {
            for item in attributes {
                selection(&mut item.access_selection, visit);
            }
        }
        Apdu::ActionRequest(ActionRequest::Normal {
            parameters: Some(data),
            ..
        }) => visit(data),
        Apdu::ActionRequest(ActionRequest::WithList { parameters, .. }) => {
            for data in parameters {
                visit(data);
            }
        }
        Apdu::ActionResponse(ActionResponse::Normal { response, .. }) => returned(response, visit),
        Apdu::ActionResponse(ActionResponse::WithList { responses, .. }) => {
            for response in responses {
                returned(response, visit);
            }
        }
        Apdu::AccessRequest(request) => {
            accesses(&mut request.specifications, visit);
            for data in &mut request.data {
                visit(data);
            }
        }
        Apdu::AccessResponse(response) => {
            if let Some(specifications) = &mut response.request_specifications {
                accesses(specifications, visit);
            }
            for data in &mut response.data {
                visit(data);
            }
        }
        Apdu::ReadRequest(read) => variables(&mut read.specifications, visit),
        Apdu::ReadResponse(read) => {
            for result in &mut read.results {
                if let ReadResult::Data(data) = result {
                    visit(data);
                }
            }
        }
        Apdu::WriteRequest(write) => {
            variables(&mut write.specifications, visit);
            write.data.iter_mut().for_each(visit);
        }
        Apdu::UnconfirmedWriteRequest(write) => {
            variables(&mut write.specifications, visit);
            write.data.iter_mut().for_each(visit);
        }
        Apdu::InformationReportRequest(report) => {
            variables(&mut report.specifications, visit);
            report.data.iter_mut().for_each(visit);
        }
        _ => {}
    }
}

/// Whether an APDU's tag is none that is known.
pub(crate) const fn is_unknown(apdu: &Apdu<'_>) -> bool {
    matches!(apdu.tag(), Tag::Unknown(_))
}
