//! Agreement with dlms-cosem-rs 0.1.0, an implementation of others: random
//! APDUs are made as values of both. What either encodes must be the octets of
//! the other, and decode in both to the value it was made from.

use dlms::acse::AssociateSourceDiagnostic;
use dlms::axdr::{DateTime, RawData};
use dlms::codec::Wire;
use dlms::cosem::{
    AttributeDescriptor, AttributeDescriptorWithSelection, MethodDescriptor, Obis,
    SelectiveAccessDescriptor,
};
use dlms::xdlms::{
    AccessRequestSpecification, AccessResponseSpecification, ActionRequest, ActionResponse,
    ActionResponseWithOptionalData, Apdu, DataBlockSa, GetDataResult, GetRequest, GetResponse,
    KeyInfo, KeySet, ReadResult, ServiceError, SetRequest, SetResponse,
    VariableAccessSpecification, WriteResult,
};
use dlms_cosem_rs::acse as peer_acse;
use dlms_cosem_rs::codec::{Decode, Encode};
use dlms_cosem_rs::xdlms as peer;

use super::random::{Generator, KINDS};
use crate::captures::{Random, hex};

#[test]
fn random_apdus_are_the_same_octets_and_values_in_both() {
    let (mut compared, mut apart) = (0, 0);
    for seed in 0..200 {
        let mut generator = Generator(Random::new(seed));
        for kind in 0..KINDS {
            let ours = generator.apdu(kind);
            let octets = ours.to_octets();
            assert_eq!(
                Apdu::from_octets(&octets).as_ref(),
                Ok(&ours),
                "seed {seed}, kind {kind}: {}",
                hex(&octets)
            );
            if kind == KINDS - 1 || selects_in_access(&ours) {
                apart += 1;
                continue;
            }
            let theirs = theirs(&ours);
            assert_eq!(
                hex(&encode(&theirs)),
                hex(&octets),
                "seed {seed}, kind {kind}: {ours:?}"
            );
            let decoded = peer::Apdu::from_bytes(&octets).unwrap_or_else(|error| {
                panic!("seed {seed}, kind {kind}: {error} in {}", hex(&octets))
            });
            assert_eq!(decoded, theirs, "seed {seed}, kind {kind}");
            compared += 1;
        }
    }
    assert_eq!(compared + apart, 200 * KINDS);
    assert!((200..600).contains(&apart), "{apart}");
}

/// Where the two disagree: an access request that selects. The ASN.1 of
/// `Access-Request-Get-With-Selection` has a selective access descriptor that
/// is not optional, so nothing stands before the selector; pydlms-client 0.1.0
/// does so too. dlms-cosem-rs writes, and wants, the 01 of an optional field.
fn selects_in_access(apdu: &Apdu<'_>) -> bool {
    let specifications = match apdu {
        Apdu::AccessRequest(request) => Some(&request.specifications),
        Apdu::AccessResponse(response) => response.request_specifications.as_ref(),
        _ => None,
    };
    specifications.into_iter().flatten().any(|specification| {
        matches!(
            specification,
            AccessRequestSpecification::GetWithSelection(..)
                | AccessRequestSpecification::SetWithSelection(..)
        )
    })
}

#[test]
fn a_selection_in_an_access_request_is_not_optional() {
    let selected = AccessRequestSpecification::GetWithSelection(
        AttributeDescriptor::new(7, Obis([1, 0, 99, 1, 0, 255]), 2),
        SelectiveAccessDescriptor {
            access_selector: 2,
            access_parameters: RawData::new(&[0x00]),
        },
    );
    assert_eq!(hex(&selected.to_octets()), "0400070100630100ff020200");
    assert_eq!(
        hex(&encode(&specification(&selected))),
        "0400070100630100ff02010200"
    );
}

fn encode(value: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out).unwrap();
    out
}

fn list<T: for<'a> Decode<'a>>(items: &[impl Encode]) -> peer::List<'static, T> {
    raw_list(items)
}

/// A list of the other implementation, which keeps the octets of its items.
fn raw_list<'a, T: Decode<'a>>(items: &[impl Encode]) -> peer::List<'a, T> {
    let mut out = Vec::new();
    for item in items {
        item.encode(&mut out).unwrap();
    }
    peer::List::from_raw(items.len(), out.leak())
}

fn data(value: RawData<'static>) -> dlms_cosem_rs::axdr::Data<'static> {
    dlms_cosem_rs::axdr::Data::from_bytes(value.octets()).unwrap()
}

fn data_list(
    values: &[RawData<'static>],
) -> peer::List<'static, dlms_cosem_rs::axdr::Data<'static>> {
    raw_list(&values.iter().copied().map(data).collect::<Vec<_>>())
}

fn date_time(value: Option<DateTime>) -> peer::OptionalDateTime {
    peer::OptionalDateTime(
        value.map(|value| dlms_cosem_rs::axdr::DateTime::from_bytes(value.to_octets())),
    )
}

fn attribute(value: AttributeDescriptor) -> peer::AttributeDescriptor {
    peer::AttributeDescriptor::new(
        value.class_id,
        dlms_cosem_rs::Obis::from_bytes(value.instance.0),
        value.attribute,
    )
}

fn method(value: MethodDescriptor) -> peer::MethodDescriptor {
    peer::MethodDescriptor::new(
        value.class_id,
        dlms_cosem_rs::Obis::from_bytes(value.instance.0),
        value.method,
    )
}

fn selection(value: SelectiveAccessDescriptor<'static>) -> peer::SelectiveAccess<'static> {
    peer::SelectiveAccess {
        selector: value.access_selector,
        parameters: data(value.access_parameters),
    }
}

fn target(
    value: &AttributeDescriptorWithSelection<'static>,
) -> peer::AttributeDescriptorWithSelection<'static> {
    peer::AttributeDescriptorWithSelection {
        descriptor: attribute(value.attribute),
        access: value.access_selection.map(selection),
    }
}

fn targets(
    values: &[AttributeDescriptorWithSelection<'static>],
) -> peer::List<'static, peer::AttributeDescriptorWithSelection<'static>> {
    raw_list(&values.iter().map(target).collect::<Vec<_>>())
}

fn methods(values: &[MethodDescriptor]) -> peer::List<'static, peer::MethodDescriptor> {
    list(&values.iter().copied().map(method).collect::<Vec<_>>())
}

fn refusal(code: u8) -> peer::DataAccessResult {
    peer::DataAccessResult::from_u8(code)
}

fn result(value: GetDataResult<'static>) -> peer::GetDataResult<'static> {
    match value {
        Ok(value) => peer::GetDataResult::Data(data(value)),
        Err(error) => peer::GetDataResult::Error(refusal(error.code())),
    }
}

fn response(
    value: &ActionResponseWithOptionalData<'static>,
) -> peer::ActionResponseWithOptionalData<'static> {
    peer::ActionResponseWithOptionalData {
        result: peer::ActionResult::from_u8(value.result.code()),
        return_parameters: value.return_parameters.map(result),
    }
}

fn block(value: &DataBlockSa<'static>) -> peer::DataBlockSA<'static> {
    peer::DataBlockSA {
        last_block: value.last_block,
        block_number: value.block_number,
        raw_data: value.raw_data,
    }
}

fn ciphered(octets: &'static [u8]) -> peer::CipheredService<'static> {
    let (header, payload) = octets.split_first_chunk::<5>().unwrap();
    let [control, counter @ ..] = *header;
    peer::CipheredService {
        security_control: peer::SecurityControl(control),
        invocation_counter: u32::from_be_bytes(counter),
        payload,
    }
}

fn specification(
    value: &AccessRequestSpecification<'static>,
) -> peer::AccessRequestSpecification<'static> {
    let with = |target, access| peer::AttributeDescriptorWithSelection {
        descriptor: attribute(target),
        access: Some(selection(access)),
    };
    match *value {
        AccessRequestSpecification::Get(target) => {
            peer::AccessRequestSpecification::Get(attribute(target))
        }
        AccessRequestSpecification::Set(target) => {
            peer::AccessRequestSpecification::Set(attribute(target))
        }
        AccessRequestSpecification::Action(target) => {
            peer::AccessRequestSpecification::Action(method(target))
        }
        AccessRequestSpecification::GetWithSelection(target, access) => {
            peer::AccessRequestSpecification::GetWithSelection(with(target, access))
        }
        AccessRequestSpecification::SetWithSelection(target, access) => {
            peer::AccessRequestSpecification::SetWithSelection(with(target, access))
        }
    }
}

fn specifications(
    values: &[AccessRequestSpecification<'static>],
) -> peer::List<'static, peer::AccessRequestSpecification<'static>> {
    raw_list(&values.iter().map(specification).collect::<Vec<_>>())
}

fn variables(
    values: &[VariableAccessSpecification<'static>],
) -> peer::List<'static, peer::VariableAccess<'static>> {
    let values: Vec<_> = values
        .iter()
        .map(|value| match *value {
            VariableAccessSpecification::VariableName(name) => {
                peer::VariableAccess::VariableName(name)
            }
            VariableAccessSpecification::ParameterizedAccess {
                variable_name,
                selector,
                parameter,
            } => peer::VariableAccess::Parameterized {
                name: variable_name,
                selector,
                parameter: data(parameter),
            },
            VariableAccessSpecification::BlockNumberAccess(number) => {
                peer::VariableAccess::BlockNumber(number)
            }
            VariableAccessSpecification::ReadDataBlockAccess {
                last_block,
                block_number,
                raw_data,
            } => peer::VariableAccess::ReadDataBlock {
                last_block,
                block_number,
                raw_data,
            },
            VariableAccessSpecification::WriteDataBlockAccess {
                last_block,
                block_number,
            } => peer::VariableAccess::WriteDataBlock {
                last_block,
                block_number,
            },
        })
        .collect();
    raw_list(&values)
}

/// The same APDU as a value of the other implementation.
fn theirs(apdu: &Apdu<'static>) -> peer::Apdu<'static> {
    match apdu {
        Apdu::Aarq(aarq) => peer::Apdu::Aarq(peer_acse::Aarq {
            application_context: Some(context(aarq.application_context_name.name())),
            called_ap_title: aarq.called_ap_title,
            calling_ap_title: aarq.calling_ap_title,
            calling_ae_qualifier: aarq.calling_ae_qualifier,
            sender_acse_requirements: aarq.sender_acse_requirements.is_some(),
            mechanism_name: aarq
                .mechanism_name
                .map(|name| peer_acse::AuthMechanism::from_arc(name.id().unwrap())),
            calling_authentication_value: aarq
                .calling_authentication_value
                .map(|value| value.octets()),
            user_information: aarq.user_information,
        }),
        Apdu::Aare(aare) => peer::Apdu::Aare(peer_acse::Aare {
            application_context: Some(context(aare.application_context_name.name())),
            result: peer_acse::AssociationResult::from_u8(aare.result.code()),
            diagnostic: match aare.result_source_diagnostic {
                AssociateSourceDiagnostic::ServiceUser(reason) => {
                    peer_acse::Diagnostic::User(peer_acse::UserDiagnostic::from_u8(reason.code()))
                }
                AssociateSourceDiagnostic::ServiceProvider(reason) => {
                    peer_acse::Diagnostic::Provider(reason.code())
                }
            },
            responding_ap_title: aare.responding_ap_title,
            responder_acse_requirements: aare.responder_acse_requirements.is_some(),
            mechanism_name: aare
                .mechanism_name
                .map(|name| peer_acse::AuthMechanism::from_arc(name.id().unwrap())),
            responding_authentication_value: aare
                .responding_authentication_value
                .map(|value| value.octets()),
            user_information: aare.user_information,
        }),
        Apdu::Rlrq(rlrq) => peer::Apdu::Rlrq(peer_acse::Rlrq {
            reason: rlrq
                .reason
                .map(|reason| peer_acse::ReleaseReason::from_u8(reason.code())),
            user_information: rlrq.user_information,
        }),
        Apdu::Rlre(rlre) => peer::Apdu::Rlre(peer_acse::Rlre {
            reason: rlre
                .reason
                .map(|reason| peer_acse::ReleaseReason::from_u8(reason.code())),
            user_information: rlre.user_information,
        }),
        Apdu::InitiateRequest(request) => peer::Apdu::InitiateRequest(peer::InitiateRequest {
            dedicated_key: request.dedicated_key,
            response_allowed: (!request.response_allowed).then_some(false),
            proposed_quality_of_service: request.proposed_quality_of_service,
            proposed_dlms_version: request.proposed_dlms_version_number,
            proposed_conformance: peer::Conformance::from_bytes(
                request.proposed_conformance.to_octets(),
            ),
            client_max_receive_pdu_size: request.client_max_receive_pdu_size,
        }),
        Apdu::InitiateResponse(response) => peer::Apdu::InitiateResponse(peer::InitiateResponse {
            negotiated_quality_of_service: response.negotiated_quality_of_service,
            negotiated_dlms_version: response.negotiated_dlms_version_number,
            negotiated_conformance: peer::Conformance::from_bytes(
                response.negotiated_conformance.to_octets(),
            ),
            server_max_receive_pdu_size: response.server_max_receive_pdu_size,
            vaa_name: response.vaa_name,
        }),
        Apdu::ConfirmedServiceError(error) => {
            peer::Apdu::ConfirmedServiceError(peer::ConfirmedServiceError {
                service: error.service.code(),
                error_class: error.class.code(),
                error_code: error.value,
            })
        }
        Apdu::ExceptionResponse(exception) => {
            peer::Apdu::ExceptionResponse(peer::ExceptionResponse {
                state_error: peer::StateError::from_u8(exception.state_error.code()),
                service_error: peer::ServiceError::from_u8(exception.service_error.code()),
                expected_invocation_counter: match exception.service_error {
                    ServiceError::InvocationCounterError(counter) => counter,
                    _ => None,
                },
            })
        }
        Apdu::DataNotification(push) => peer::Apdu::DataNotification(peer::DataNotification {
            long_invoke_id: peer::LongInvokeId(push.invoke.0),
            date_time: date_time(push.date_time),
            body: data(push.body),
        }),
        Apdu::EventNotificationRequest(event) => {
            peer::Apdu::EventNotification(peer::EventNotification {
                time: date_time(event.time.flatten()).0,
                descriptor: attribute(event.attribute),
                value: data(event.value),
            })
        }
        Apdu::GetRequest(request) => peer::Apdu::GetRequest(get_request(request)),
        Apdu::GetResponse(response) => peer::Apdu::GetResponse(get_response(response)),
        Apdu::SetRequest(request) => peer::Apdu::SetRequest(set_request(request)),
        Apdu::SetResponse(response) => peer::Apdu::SetResponse(set_response(response)),
        Apdu::ActionRequest(request) => peer::Apdu::ActionRequest(action_request(request)),
        Apdu::ActionResponse(response) => peer::Apdu::ActionResponse(action_response(response)),
        Apdu::AccessRequest(request) => peer::Apdu::AccessRequest(peer::AccessRequest {
            long_invoke_id: peer::LongInvokeId(request.invoke.0),
            date_time: date_time(request.date_time),
            specification: specifications(&request.specifications),
            data: data_list(&request.data),
        }),
        Apdu::AccessResponse(response) => peer::Apdu::AccessResponse(peer::AccessResponse {
            long_invoke_id: peer::LongInvokeId(response.invoke.0),
            date_time: date_time(response.date_time),
            request_specification: response
                .request_specifications
                .as_deref()
                .map(specifications),
            data: data_list(&response.data),
            response_specification: list(
                &response
                    .response_specifications
                    .iter()
                    .map(|outcome| match outcome {
                        AccessResponseSpecification::Get(result) => {
                            peer::AccessResponseSpecification::Get(refusal(result.code()))
                        }
                        AccessResponseSpecification::Set(result) => {
                            peer::AccessResponseSpecification::Set(refusal(result.code()))
                        }
                        AccessResponseSpecification::Action(result) => {
                            peer::AccessResponseSpecification::Action(peer::ActionResult::from_u8(
                                result.code(),
                            ))
                        }
                    })
                    .collect::<Vec<_>>(),
            ),
        }),
        Apdu::ReadRequest(request) => peer::Apdu::ReadRequest(peer::ReadRequest {
            specification: variables(&request.specifications),
        }),
        Apdu::ReadResponse(response) => peer::Apdu::ReadResponse(peer::ReadResponse {
            results: raw_list(
                &response
                    .results
                    .iter()
                    .map(|result| match *result {
                        ReadResult::Data(value) => peer::ReadResult::Data(data(value)),
                        ReadResult::DataAccessError(error) => {
                            peer::ReadResult::Error(refusal(error.code()))
                        }
                        ReadResult::DataBlockResult {
                            last_block,
                            block_number,
                            raw_data,
                        } => peer::ReadResult::Block {
                            last_block,
                            block_number,
                            raw_data,
                        },
                        ReadResult::BlockNumber(number) => peer::ReadResult::BlockNumber(number),
                    })
                    .collect::<Vec<_>>(),
            ),
        }),
        Apdu::WriteRequest(request) => peer::Apdu::WriteRequest(peer::WriteRequest {
            specification: variables(&request.specifications),
            values: data_list(&request.data),
        }),
        Apdu::WriteResponse(response) => peer::Apdu::WriteResponse(peer::WriteResponse {
            results: list(
                &response
                    .results
                    .iter()
                    .map(|result| match *result {
                        WriteResult::Success => peer::WriteResult::Success,
                        WriteResult::DataAccessError(error) => {
                            peer::WriteResult::Error(refusal(error.code()))
                        }
                        WriteResult::BlockNumber(number) => peer::WriteResult::BlockNumber(number),
                    })
                    .collect::<Vec<_>>(),
            ),
        }),
        Apdu::UnconfirmedWriteRequest(request) => {
            peer::Apdu::UnconfirmedWriteRequest(peer::UnconfirmedWriteRequest {
                specification: variables(&request.specifications),
                values: data_list(&request.data),
            })
        }
        Apdu::InformationReportRequest(report) => {
            peer::Apdu::InformationReportRequest(peer::InformationReportRequest {
                current_time: report.current_time,
                specification: variables(&report.specifications),
                values: data_list(&report.data),
            })
        }
        Apdu::ServiceCiphering(apdu) => {
            let (keys, inside) = apdu.tag.unprotected().unwrap();
            peer::Apdu::Ciphered {
                protection: match keys {
                    KeySet::Global => peer::Protection::Global,
                    KeySet::Dedicated => peer::Protection::Dedicated,
                },
                service: peer::ApduTag::from_u8(inside.code()).unwrap(),
                body: ciphered(apdu.ciphered),
            }
        }
        Apdu::GeneralGloCiphering(apdu) => peer::Apdu::GeneralCiphered {
            protection: peer::Protection::Global,
            body: peer::GeneralGloCiphering {
                system_title: apdu.system_title,
                ciphered: ciphered(apdu.ciphered_content),
            },
        },
        Apdu::GeneralDedCiphering(apdu) => peer::Apdu::GeneralCiphered {
            protection: peer::Protection::Dedicated,
            body: peer::GeneralGloCiphering {
                system_title: apdu.system_title,
                ciphered: ciphered(apdu.ciphered_content),
            },
        },
        Apdu::GeneralCiphering(apdu) => peer::Apdu::GeneralCiphering(peer::GeneralCiphering {
            transaction_id: apdu.transaction_id,
            originator_system_title: apdu.originator_system_title,
            recipient_system_title: apdu.recipient_system_title,
            date_time: apdu.date_time,
            other_information: apdu.other_information,
            key_info: apdu.key_info.map(|key_info| match key_info {
                KeyInfo::Identified { key_id } => peer::KeyInfo::Identified { key_id },
                KeyInfo::Wrapped {
                    kek_id,
                    key_ciphered_data,
                } => peer::KeyInfo::Wrapped {
                    kek_id,
                    ciphered_key: key_ciphered_data,
                },
                KeyInfo::Agreed {
                    key_parameters,
                    key_ciphered_data,
                } => peer::KeyInfo::Agreed {
                    parameters: key_parameters,
                    ciphered_key: key_ciphered_data,
                },
            }),
            ciphered: ciphered(apdu.ciphered_content),
        }),
        Apdu::GeneralSigning(apdu) => peer::Apdu::GeneralSigning(peer::GeneralSigning {
            transaction_id: apdu.transaction_id,
            originator_system_title: apdu.originator_system_title,
            recipient_system_title: apdu.recipient_system_title,
            date_time: apdu.date_time,
            other_information: apdu.other_information,
            content: apdu.content,
            signature: apdu.signature,
        }),
        Apdu::GeneralBlockTransfer(block) => {
            peer::Apdu::GeneralBlockTransfer(peer::GeneralBlockTransfer {
                control: peer::BlockControl(block.block_control.0),
                block_number: block.block_number,
                block_number_ack: block.block_number_ack,
                block_data: block.block_data,
            })
        }
        Apdu::Gateway(gateway) => peer::Apdu::Gateway {
            response: gateway.is_response,
            network_id: gateway.network_id,
            physical_device_address: gateway.physical_device_address,
            payload: gateway.apdu,
        },
        other => panic!("they do not have {}", other.name()),
    }
}

fn context(name: &str) -> peer_acse::ApplicationContext {
    match name {
        "Logical_Name_Referencing_No_Ciphering" => peer_acse::ApplicationContext::LogicalName,
        "Short_Name_Referencing_No_Ciphering" => peer_acse::ApplicationContext::ShortName,
        "Logical_Name_Referencing_With_Ciphering" => {
            peer_acse::ApplicationContext::LogicalNameCiphered
        }
        "Short_Name_Referencing_With_Ciphering" => peer_acse::ApplicationContext::ShortNameCiphered,
        name => panic!("{name}"),
    }
}

fn get_request(request: &GetRequest<'static>) -> peer::GetRequest<'static> {
    let invoke_id = peer::InvokeId(request.invoke().0);
    match request {
        GetRequest::Normal {
            attribute: target,
            access_selection,
            ..
        } => peer::GetRequest::Normal {
            invoke_id,
            descriptor: attribute(*target),
            access: access_selection.map(selection),
        },
        GetRequest::Next { block_number, .. } => peer::GetRequest::Next {
            invoke_id,
            block_number: *block_number,
        },
        GetRequest::WithList { attributes, .. } => peer::GetRequest::WithList {
            invoke_id,
            list: targets(attributes),
        },
    }
}

fn get_response(response: &GetResponse<'static>) -> peer::GetResponse<'static> {
    let invoke_id = peer::InvokeId(response.invoke().0);
    match response {
        GetResponse::Normal { result: value, .. } => peer::GetResponse::Normal {
            invoke_id,
            result: result(*value),
        },
        GetResponse::WithDatablock { block, .. } => peer::GetResponse::WithDataBlock {
            invoke_id,
            block: peer::DataBlockG {
                last_block: block.last_block,
                block_number: block.block_number,
                result: block.result.map_err(|error| refusal(error.code())),
            },
        },
        GetResponse::WithList { results, .. } => peer::GetResponse::WithList {
            invoke_id,
            results: raw_list(&results.iter().copied().map(result).collect::<Vec<_>>()),
        },
    }
}

fn set_request(request: &SetRequest<'static>) -> peer::SetRequest<'static> {
    let invoke_id = peer::InvokeId(request.invoke().0);
    match request {
        SetRequest::Normal {
            attribute: target,
            access_selection,
            value,
            ..
        } => peer::SetRequest::Normal {
            invoke_id,
            descriptor: attribute(*target),
            access: access_selection.map(selection),
            value: data(*value),
        },
        SetRequest::WithFirstDatablock {
            attribute: target,
            access_selection,
            block: first,
            ..
        } => peer::SetRequest::WithFirstDataBlock {
            invoke_id,
            descriptor: attribute(*target),
            access: access_selection.map(selection),
            block: block(first),
        },
        SetRequest::WithDatablock { block: next, .. } => peer::SetRequest::WithDataBlock {
            invoke_id,
            block: block(next),
        },
        SetRequest::WithList {
            attributes, values, ..
        } => peer::SetRequest::WithList {
            invoke_id,
            descriptors: targets(attributes),
            values: data_list(values),
        },
        SetRequest::WithListAndFirstDatablock {
            attributes,
            block: first,
            ..
        } => peer::SetRequest::WithListAndFirstDataBlock {
            invoke_id,
            descriptors: targets(attributes),
            block: block(first),
        },
    }
}

fn set_response(response: &SetResponse) -> peer::SetResponse<'static> {
    let invoke_id = peer::InvokeId(response.invoke().0);
    let all = |results: &[dlms::xdlms::DataAccessResult]| {
        list(
            &results
                .iter()
                .map(|result| refusal(result.code()))
                .collect::<Vec<_>>(),
        )
    };
    match response {
        SetResponse::Normal { result, .. } => peer::SetResponse::Normal {
            invoke_id,
            result: refusal(result.code()),
        },
        SetResponse::Datablock { block_number, .. } => peer::SetResponse::DataBlock {
            invoke_id,
            block_number: *block_number,
        },
        SetResponse::LastDatablock {
            result,
            block_number,
            ..
        } => peer::SetResponse::LastDataBlock {
            invoke_id,
            result: refusal(result.code()),
            block_number: *block_number,
        },
        SetResponse::LastDatablockWithList {
            results,
            block_number,
            ..
        } => peer::SetResponse::LastDataBlockWithList {
            invoke_id,
            results: all(results),
            block_number: *block_number,
        },
        SetResponse::WithList { results, .. } => peer::SetResponse::WithList {
            invoke_id,
            results: all(results),
        },
    }
}

fn action_request(request: &ActionRequest<'static>) -> peer::ActionRequest<'static> {
    let invoke_id = peer::InvokeId(request.invoke().0);
    match request {
        ActionRequest::Normal {
            method: target,
            parameters,
            ..
        } => peer::ActionRequest::Normal {
            invoke_id,
            descriptor: method(*target),
            parameters: parameters.map(data),
        },
        ActionRequest::NextPblock { block_number, .. } => peer::ActionRequest::NextPblock {
            invoke_id,
            block_number: *block_number,
        },
        ActionRequest::WithList {
            methods: targets,
            parameters,
            ..
        } => peer::ActionRequest::WithList {
            invoke_id,
            descriptors: methods(targets),
            parameters: data_list(parameters),
        },
        ActionRequest::WithFirstPblock {
            method: target,
            block: first,
            ..
        } => peer::ActionRequest::WithFirstPblock {
            invoke_id,
            descriptor: method(*target),
            block: block(first),
        },
        ActionRequest::WithListAndFirstPblock {
            methods: targets,
            block: first,
            ..
        } => peer::ActionRequest::WithListAndFirstPblock {
            invoke_id,
            descriptors: methods(targets),
            block: block(first),
        },
        ActionRequest::WithPblock { block: next, .. } => peer::ActionRequest::WithPblock {
            invoke_id,
            block: block(next),
        },
    }
}

fn action_response(value: &ActionResponse<'static>) -> peer::ActionResponse<'static> {
    let invoke_id = peer::InvokeId(value.invoke().0);
    match value {
        ActionResponse::Normal {
            response: outcome, ..
        } => peer::ActionResponse::Normal {
            invoke_id,
            response: response(outcome),
        },
        ActionResponse::WithPblock { block: next, .. } => peer::ActionResponse::WithPblock {
            invoke_id,
            block: block(next),
        },
        ActionResponse::WithList { responses, .. } => peer::ActionResponse::WithList {
            invoke_id,
            responses: raw_list(&responses.iter().map(response).collect::<Vec<_>>()),
        },
        ActionResponse::NextPblock { block_number, .. } => peer::ActionResponse::NextPblock {
            invoke_id,
            block_number: *block_number,
        },
    }
}
