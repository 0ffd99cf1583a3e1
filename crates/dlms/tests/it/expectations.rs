//! Compares what an APDU decodes to with what the author of a vector wrote
//! by hand, and shows it as a tree for the vector files.

use std::fmt::Debug;

use dlms::acse::{Aare, Aarq, AssociateSourceDiagnostic};
use dlms::axdr::{Data, RawData};
use dlms::codec::Wire;
use dlms::cosem::{AttributeDescriptor, MethodDescriptor};
use dlms::xdlms::{
    AccessRequestSpecification, ActionRequest, ActionResponse, Apdu, DataBlockSa, GetRequest,
    GetResponse, KeyInfo, ServiceError, SetRequest, SetResponse,
};
use serde_json::{Value, json};

use crate::captures::{hex, unhex};

/// Checks every key of `expect`; a key that nobody understands fails, so that
/// none goes unread.
pub(crate) fn check(name: &str, apdu: &Apdu<'_>, expect: &Value) {
    for (key, expected) in expect.as_object().unwrap() {
        let actual = match key.as_str() {
            "apdu" => match expected.as_str().unwrap() {
                "AARQ" | "AARE" | "RLRQ" | "RLRE" => json!(apdu.name().to_uppercase()),
                _ => json!(apdu.name()),
            },
            "tag" => json!(apdu.tag().code()),
            // What is inside a ciphered APDU is for the tests of security; here
            // it is decoded where the vector has it in clear.
            "plain" | "initiate_plain" => {
                let octets = unhex(expected.as_str().unwrap());
                assert_eq!(
                    Apdu::from_octets(&octets).unwrap().to_octets(),
                    octets,
                    "{name}"
                );
                continue;
            }
            "verify" => continue,
            "data_notification" => {
                check_notification(name, apdu, expected);
                continue;
            }
            key => field(apdu, key).unwrap_or_else(|| panic!("{name}: {key} is not understood")),
        };
        check_value(name, key, &actual, expected);
    }
}

/// Compares, for objects only the keys that are expected.
fn check_value(name: &str, key: &str, actual: &Value, expected: &Value) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) if key == "initiate" => {
            for (key, expected) in expected {
                assert_eq!(actual.get(key), Some(expected), "{name}: {key}");
            }
        }
        _ => assert_eq!(actual, expected, "{name}: {key}"),
    }
}

fn field(apdu: &Apdu<'_>, key: &str) -> Option<Value> {
    match apdu {
        Apdu::Aarq(aarq) => aarq_field(aarq, key),
        Apdu::Aare(aare) => aare_field(aare, key),
        Apdu::Rlrq(rlrq) => match key {
            "reason" => Some(json!(rlrq.reason.map(|reason| reason.code()))),
            key => information(rlrq.user_information, key),
        },
        Apdu::Rlre(rlre) => match key {
            "reason" => Some(json!(rlre.reason.map(|reason| reason.code()))),
            key => information(rlre.user_information, key),
        },
        Apdu::InitiateRequest(_) | Apdu::InitiateResponse(_) => information_of(apdu, key),
        Apdu::ConfirmedServiceError(error) => Some(match key {
            "service" => json!(error.service.code()),
            "class" => json!(error.class.code()),
            "value" => json!(error.value),
            _ => return None,
        }),
        Apdu::ExceptionResponse(exception) => Some(match key {
            "state_error" => json!(exception.state_error.code()),
            "service_error" => json!(exception.service_error.code()),
            "invocation_counter" => match exception.service_error {
                ServiceError::InvocationCounterError(counter) => json!(counter),
                _ => return None,
            },
            _ => return None,
        }),
        Apdu::GetRequest(request) => get_request_field(request, key),
        Apdu::GetResponse(response) => get_response_field(response, key),
        Apdu::SetRequest(request) => set_request_field(request, key),
        Apdu::SetResponse(response) => set_response_field(response, key),
        Apdu::ActionRequest(request) => action_request_field(request, key),
        Apdu::ActionResponse(response) => action_response_field(response, key),
        Apdu::EventNotificationRequest(event) => Some(match key {
            "time" => json!(event.time.flatten().map(|time| hex(&time.to_octets()))),
            "value" => tree(event.value),
            _ => return None,
        }),
        Apdu::AccessRequest(request) => Some(match key {
            "long_invoke" => json!(request.invoke.0),
            "specs" => request.specifications.iter().map(specification).collect(),
            "data_count" => json!(request.data.len()),
            _ => return None,
        }),
        Apdu::GeneralBlockTransfer(block) => Some(match key {
            "last" => json!(block.block_control.is_last_block()),
            "streaming" => json!(block.block_control.is_streaming()),
            "window" => json!(block.block_control.window()),
            "bn" => json!(block.block_number),
            "bna" => json!(block.block_number_ack),
            "data" => json!(hex(block.block_data)),
            _ => return None,
        }),
        Apdu::ServiceCiphering(apdu) => header_field(apdu.ciphered, key),
        Apdu::GeneralGloCiphering(apdu) => match key {
            "system_title" => Some(json!(hex(apdu.system_title))),
            key => header_field(apdu.ciphered_content, key),
        },
        Apdu::GeneralDedCiphering(apdu) => header_field(apdu.ciphered_content, key),
        Apdu::GeneralCiphering(apdu) => Some(match key {
            "transaction_id" => json!(hex(apdu.transaction_id)),
            "originator" => json!(hex(apdu.originator_system_title)),
            "recipient" => json!(hex(apdu.recipient_system_title)),
            "key_info" => match apdu.key_info? {
                KeyInfo::Identified { key_id } => json!({ "identified": key_id }),
                KeyInfo::Wrapped { .. } | KeyInfo::Agreed { .. } => return None,
            },
            key => return header_field(apdu.ciphered_content, key),
        }),
        Apdu::GeneralSigning(signing) => Some(match key {
            "content" => json!(hex(signing.content)),
            "signature" => json!(hex(signing.signature)),
            "tbs" => {
                let octets = apdu.to_octets();
                let end = octets.len() - signing.signature.len() - 1;
                json!(hex(&octets[1..end]))
            }
            _ => return None,
        }),
        _ => None,
    }
}

fn aarq_field(aarq: &Aarq<'_>, key: &str) -> Option<Value> {
    Some(match key {
        "context" => context(aarq.application_context_name.name()),
        "mechanism" => json!(aarq.mechanism_name.and_then(|name| name.id())),
        "auth_value" => json!(hex(aarq.calling_authentication_value?.octets())),
        "calling_ap_title" => json!(hex(aarq.calling_ap_title?)),
        key => return information(aarq.user_information, key),
    })
}

fn aare_field(aare: &Aare<'_>, key: &str) -> Option<Value> {
    Some(match key {
        "context" => context(aare.application_context_name.name()),
        "result" => json!(aare.result.code()),
        "diagnostic" => match aare.result_source_diagnostic {
            AssociateSourceDiagnostic::ServiceUser(reason) => json!({ "user": reason.code() }),
            AssociateSourceDiagnostic::ServiceProvider(reason) => {
                json!({ "provider": reason.code() })
            }
        },
        "mechanism" => json!(aare.mechanism_name.and_then(|name| name.id())),
        "auth_value" => json!(hex(aare.responding_authentication_value?.octets())),
        "responding_ap_title" => json!(hex(aare.responding_ap_title?)),
        key => return information(aare.user_information, key),
    })
}

fn context(name: &str) -> Value {
    json!(match name {
        "Logical_Name_Referencing_No_Ciphering" => "LN",
        "Short_Name_Referencing_No_Ciphering" => "SN",
        "Logical_Name_Referencing_With_Ciphering" => "LN-ciphered",
        "Short_Name_Referencing_With_Ciphering" => "SN-ciphered",
        name => name,
    })
}

fn information(octets: Option<&[u8]>, key: &str) -> Option<Value> {
    information_of(&Apdu::from_octets(octets?).unwrap(), key)
}

fn information_of(apdu: &Apdu<'_>, key: &str) -> Option<Value> {
    Some(match (key, apdu) {
        ("initiate", Apdu::InitiateRequest(request)) => json!({
            "dedicated_key": request.dedicated_key.map(hex),
            "response_allowed": request.response_allowed,
            "qos": request.proposed_quality_of_service,
            "version": request.proposed_dlms_version_number,
            "conformance": hex(&request.proposed_conformance.to_octets()),
            "max_pdu": request.client_max_receive_pdu_size,
        }),
        ("initiate", Apdu::InitiateResponse(response)) => json!({
            "qos": response.negotiated_quality_of_service,
            "version": response.negotiated_dlms_version_number,
            "conformance": hex(&response.negotiated_conformance.to_octets()),
            "max_pdu": response.server_max_receive_pdu_size,
            "vaa": response.vaa_name,
        }),
        ("initiate_error", Apdu::ConfirmedServiceError(error)) => json!({
            "service": error.service.code(),
            "error_class": error.class.code(),
            "value": error.value,
        }),
        ("user_information", Apdu::ServiceCiphering(apdu)) => json!({
            "tag": apdu.tag.code(),
            "security_control": apdu.ciphered[0],
            "invocation_counter": counter(apdu.ciphered),
        }),
        _ => return None,
    })
}

fn counter(ciphered: &[u8]) -> u32 {
    u32::from_be_bytes(ciphered[1..5].try_into().unwrap())
}

fn header_field(ciphered: &[u8], key: &str) -> Option<Value> {
    Some(match key {
        "security_control" => json!(ciphered[0]),
        "invocation_counter" => json!(counter(ciphered)),
        _ => return None,
    })
}

fn get_request_field(request: &GetRequest<'_>, key: &str) -> Option<Value> {
    Some(match (key, request) {
        ("invoke", request) => json!(request.invoke().0),
        ("block", GetRequest::Next { block_number, .. }) => json!(block_number),
        ("descriptor", GetRequest::Normal { attribute, .. }) => json!({
            "class": attribute.class_id,
            "obis": attribute.instance.dotted().to_string(),
            "attr": attribute.attribute,
        }),
        (
            "access",
            GetRequest::Normal {
                access_selection, ..
            },
        ) => match access_selection {
            None => Value::Null,
            Some(selection) => json!({
                "selector": selection.access_selector,
                "params": tree(selection.access_parameters),
            }),
        },
        _ => return None,
    })
}

fn get_response_field(response: &GetResponse<'_>, key: &str) -> Option<Value> {
    Some(match (key, response) {
        ("result", GetResponse::Normal { result, .. }) => match result {
            Ok(data) => json!({ "data": tree(*data) }),
            Err(refusal) => json!({
                "data_access_result": refusal.code(),
                "name": refusal.name(),
            }),
        },
        ("results", GetResponse::WithList { results, .. }) => {
            results.iter().map(|result| tree(result.unwrap())).collect()
        }
        ("last", GetResponse::WithDatablock { block, .. }) => json!(block.last_block),
        ("block", GetResponse::WithDatablock { block, .. }) => json!(block.block_number),
        ("raw", GetResponse::WithDatablock { block, .. }) => json!(hex(block.result.unwrap())),
        _ => return None,
    })
}

fn set_request_field(request: &SetRequest<'_>, key: &str) -> Option<Value> {
    Some(match (key, request) {
        ("value", SetRequest::Normal { value, .. }) => tree(*value),
        ("count", SetRequest::WithList { attributes, .. }) => json!(attributes.len()),
        ("values", SetRequest::WithList { values, .. }) => {
            values.iter().map(|value| tree(*value)).collect()
        }
        (
            key,
            SetRequest::WithFirstDatablock { block, .. }
            | SetRequest::WithDatablock { block, .. }
            | SetRequest::WithListAndFirstDatablock { block, .. },
        ) => return block_field(block, key),
        _ => return None,
    })
}

fn set_response_field(response: &SetResponse, key: &str) -> Option<Value> {
    Some(match (key, response) {
        (
            "result",
            SetResponse::Normal { result, .. } | SetResponse::LastDatablock { result, .. },
        ) => {
            json!(result.code())
        }
        (
            "results",
            SetResponse::WithList { results, .. }
            | SetResponse::LastDatablockWithList { results, .. },
        ) => results.iter().map(|result| result.code()).collect(),
        (
            "block",
            SetResponse::Datablock { block_number, .. }
            | SetResponse::LastDatablock { block_number, .. }
            | SetResponse::LastDatablockWithList { block_number, .. },
        ) => json!(block_number),
        _ => return None,
    })
}

fn action_request_field(request: &ActionRequest<'_>, key: &str) -> Option<Value> {
    Some(match (key, request) {
        (
            "class" | "obis" | "method",
            ActionRequest::Normal { method, .. } | ActionRequest::WithFirstPblock { method, .. },
        ) => match key {
            "class" => json!(method.class_id),
            "obis" => json!(method.instance.dotted().to_string()),
            _ => json!(method.method),
        },
        ("params", ActionRequest::Normal { parameters, .. }) => {
            parameters.map_or(Value::Null, tree)
        }
        ("block", ActionRequest::NextPblock { block_number, .. }) => json!(block_number),
        (
            key,
            ActionRequest::WithFirstPblock { block, .. }
            | ActionRequest::WithListAndFirstPblock { block, .. }
            | ActionRequest::WithPblock { block, .. },
        ) => return block_field(block, key),
        _ => return None,
    })
}

fn action_response_field(response: &ActionResponse<'_>, key: &str) -> Option<Value> {
    Some(match (key, response) {
        ("result", ActionResponse::Normal { response, .. }) => json!(response.result.code()),
        ("return", ActionResponse::Normal { response, .. }) => response
            .return_parameters
            .map_or(Value::Null, |result| tree(result.unwrap())),
        ("block", ActionResponse::NextPblock { block_number, .. }) => json!(block_number),
        (key, ActionResponse::WithPblock { block, .. }) => return block_field(block, key),
        _ => return None,
    })
}

fn block_field(block: &DataBlockSa<'_>, key: &str) -> Option<Value> {
    Some(match key {
        "last" => json!(block.last_block),
        "block" => json!(block.block_number),
        "raw" => json!(hex(block.raw_data)),
        _ => return None,
    })
}

fn specification(specification: &AccessRequestSpecification<'_>) -> Value {
    json!(match specification {
        AccessRequestSpecification::Get(AttributeDescriptor { .. }) => "get",
        AccessRequestSpecification::Set(AttributeDescriptor { .. }) => "set",
        AccessRequestSpecification::Action(MethodDescriptor { .. }) => "action",
        AccessRequestSpecification::GetWithSelection(..) => "get-with-selection",
        AccessRequestSpecification::SetWithSelection(..) => "set-with-selection",
    })
}

fn check_notification(name: &str, apdu: &Apdu<'_>, expected: &Value) {
    let Apdu::DataNotification(push) = apdu else {
        panic!("{name}: {apdu:?}");
    };
    let time = push
        .date_time
        .map_or_else(String::new, |time| hex(&time.to_octets()));
    let actual = json!({
        "long_invoke_id_and_priority": push.invoke.0,
        "date_time": time,
        "date_time_has_tag_quirk": push.date_time_tagged,
        "body": tree(push.body),
        "trailing": "",
    });
    assert_eq!(&actual, expected, "{name}");
}

/// A value as the vectors write it.
fn tree(data: RawData<'_>) -> Value {
    data_tree(&data.decode().unwrap())
}

fn data_tree(data: &Data) -> Value {
    match data {
        Data::NullData => json!({ "null": null }),
        Data::Array(items) => json!({ "array": items.iter().map(data_tree).collect::<Vec<_>>() }),
        Data::Structure(items) => {
            json!({ "structure": items.iter().map(data_tree).collect::<Vec<_>>() })
        }
        Data::Boolean(value) => json!({ "bool": value }),
        Data::BitString(bits) => {
            let digits: String = bits
                .as_bit_str()
                .iter()
                .map(|bit| if bit { '1' } else { '0' })
                .collect();
            json!({ "bits": digits })
        }
        Data::DoubleLong(value) => json!({ "i32": value }),
        Data::DoubleLongUnsigned(value) => json!({ "u32": value }),
        Data::OctetString(octets) => json!({ "octets": hex(octets) }),
        Data::VisibleString(text) => json!({ "visible": String::from_utf8_lossy(text) }),
        Data::Integer(value) => json!({ "i8": value }),
        Data::Long(value) => json!({ "i16": value }),
        Data::Unsigned(value) => json!({ "u8": value }),
        Data::LongUnsigned(value) => json!({ "u16": value }),
        Data::Long64(value) => json!({ "i64": value }),
        Data::Long64Unsigned(value) => json!({ "u64": value }),
        Data::Enum(value) => json!({ "enum": value }),
        other => panic!("no vector has {other:?}"),
    }
}

/// Shows a value as its pretty [`Debug`] form does, lists of octets as hex.
pub(crate) fn show(value: &impl Debug) -> String {
    let pretty = format!("{value:#?}");
    let mut out = String::new();
    let mut lines = pretty.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str("  ");
        out.push_str(line);
        let mut octets = Vec::new();
        if line.ends_with('[') {
            while let Some(octet) = lines
                .peek()
                .and_then(|next| next.trim().strip_suffix(','))
                .and_then(|number| number.parse::<u8>().ok())
            {
                octets.push(octet);
                lines.next();
            }
            if !octets.is_empty() {
                out.push_str(&hex(&octets));
                out.push_str(lines.next().unwrap().trim_start());
            }
        }
        out.push('\n');
    }
    out
}
