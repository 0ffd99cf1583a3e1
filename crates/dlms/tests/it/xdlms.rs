//! The APDUs of xDLMS. Evidence: third-party octets (examples of the standard,
//! tests of other implementations, captures of meters), hand-made negatives
//! and octets that programs of others were seen to send, agreement both ways
//! with another implementation on random APDUs, and robustness.

mod captures;
mod differential;
mod mutation;
mod random;

use dlms::axdr::RawData;
use dlms::codec::{DecodeError, Malformed, Wire};
use dlms::cosem::{AttributeDescriptor, Obis};
use dlms::xdlms::{
    Apdu, BlockControl, ConfirmedService, ConfirmedServiceError, Conformance, DataAccessResult,
    DataNotification, ErrorClass, ExceptionResponse, GetRequest, GetResponse, InitiateRequest,
    InvokeIdAndPriority, KeySet, LIST_MAX, LongInvokeIdAndPriority, ServiceError, StateError, Tag,
};
use expect_test::expect_file;

use crate::captures::unhex;
use crate::vectors::{check_file, check_refusals};

#[test]
fn vectors_decode_to_what_their_authors_say_and_encode_again() {
    check_file(
        include_str!("../vectors/xdlms.txt"),
        &expect_file!["../vectors/xdlms.txt"],
    );
}

#[test]
fn what_is_wrong_is_refused_with_offset_and_reason() {
    check_refusals(
        include_str!("../vectors/xdlms-negative.txt"),
        &expect_file!["../vectors/xdlms-negative.txt"],
    );
    assert_eq!(
        Apdu::from_octets(&[]),
        Err(DecodeError {
            offset: 0,
            field: "apdu",
            reason: Malformed::Truncated,
        })
    );
}

/// A vector cut anywhere is refused, or ends in a value that nobody looked at
/// yet, or is an exception that leaves its counter out, as it may.
#[test]
fn vectors_cut_short_are_refused() {
    let mut cuts = 0;
    for text in [
        include_str!("../vectors/acse.txt"),
        include_str!("../vectors/xdlms.txt"),
    ] {
        for vector in crate::vectors::records(text).1 {
            for end in 0..vector.octets.len() {
                let cut = &vector.octets[..end];
                match Apdu::from_octets(cut) {
                    Err(error) => assert!(error.offset <= end, "{}: {error}", vector.name),
                    Ok(Apdu::ExceptionResponse(_)) if cut == [0xD8, 1, 6] => {}
                    Ok(apdu) => assert!(last_value_is_broken(&apdu), "{}: {apdu:?}", vector.name),
                }
                cuts += 1;
            }
        }
    }
    assert!(cuts > 1_000);
}

fn last_value_is_broken(apdu: &Apdu<'_>) -> bool {
    let value = match apdu {
        Apdu::GetResponse(GetResponse::Normal { result, .. }) => result.ok(),
        Apdu::SetRequest(dlms::xdlms::SetRequest::Normal { value, .. }) => Some(*value),
        Apdu::ActionRequest(dlms::xdlms::ActionRequest::Normal { parameters, .. }) => *parameters,
        Apdu::ActionResponse(dlms::xdlms::ActionResponse::Normal { response, .. }) => {
            response.return_parameters.and_then(Result::ok)
        }
        Apdu::DataNotification(push) => Some(push.body),
        Apdu::EventNotificationRequest(event) => Some(event.value),
        _ => None,
    };
    value.is_some_and(|value| value.decode().is_err())
}

#[test]
fn unknown_tags_are_kept() {
    for tag in 0..=255 {
        let octets = [tag, 1, 2, 3];
        let known = !matches!(Tag::from_code(tag), Tag::Unknown(_));
        match Apdu::from_octets(&octets) {
            Ok(apdu @ Apdu::Unknown { tag: kept, rest }) => {
                assert!(!known, "{tag:02x}");
                assert_eq!((kept, rest), (tag, &[1, 2, 3][..]));
                assert_eq!(apdu.to_octets(), octets);
                assert_eq!(apdu.name(), "unknown");
            }
            Ok(_) | Err(_) => assert!(known, "{tag:02x}"),
        }
    }
}

/// The tags of ciphered services lie at fixed distances from the plain ones.
#[test]
fn protected_tags_lead_back_to_their_services() {
    let mut protected = 0;
    for &tag in Tag::ALL {
        for keys in [KeySet::Global, KeySet::Dedicated] {
            if let Some(outer) = tag.protected(keys) {
                assert_eq!(outer.unprotected(), Some((keys, tag)));
                let (prefix, service) = outer.name().split_once('-').unwrap();
                assert_eq!(prefix, if keys == KeySet::Global { "glo" } else { "ded" });
                // The ASN.1 itself writes ded-actionRequest.
                assert_eq!(
                    service.replace("actionRequest", "action-request"),
                    tag.name()
                );
                protected += 1;
            }
        }
        if let Some((keys, inside)) = tag.unprotected() {
            assert_eq!(inside.protected(keys), Some(tag));
        }
    }
    assert_eq!(protected, 32);
    assert_eq!(Tag::ExceptionResponse.protected(KeySet::Global), None);
    assert_eq!(Tag::DataNotification.protected(KeySet::Global), None);
}

#[test]
fn bits_of_invoke_ids_stand_where_the_standard_puts_them() {
    let invoke = InvokeIdAndPriority(0xC1);
    assert_eq!(invoke.invoke_id(), 1);
    assert!(invoke.is_confirmed() && invoke.is_high_priority());
    assert_eq!(
        InvokeIdAndPriority::confirmed(0xF1).with_high_priority(true),
        invoke
    );
    assert_eq!(InvokeIdAndPriority::unconfirmed(0x1F).0, 0x0F);
    let long = LongInvokeIdAndPriority(0xF012_3456);
    assert_eq!(long.long_invoke_id(), 0x12_3456);
    assert!(long.is_high_priority() && long.is_confirmed());
    assert!(long.breaks_on_error() && long.is_self_descriptive());
    assert_eq!(LongInvokeIdAndPriority::confirmed(u32::MAX).0, 0x40FF_FFFF);
    assert_eq!(LongInvokeIdAndPriority::unconfirmed(7).0, 7);
    let control = BlockControl::new(true, false, 0xFF);
    assert_eq!(control.0, 0xBF);
    assert!(control.is_last_block() && !control.is_streaming());
    assert_eq!(control.window(), 63);
}

#[test]
fn conformance_bits_have_their_names_and_places() {
    let conformance = Conformance::from_octets([0x00, 0x7E, 0x1F]);
    let names: Vec<_> = conformance.names().collect();
    assert_eq!(
        names,
        [
            "priority-mgmt-supported",
            "attribute0-supported-with-get",
            "block-transfer-with-get-or-read",
            "block-transfer-with-set-or-write",
            "block-transfer-with-action",
            "multiple-references",
            "get",
            "set",
            "selective-access",
            "event-notification",
            "action",
        ]
    );
    assert_eq!(Conformance::ACTION.to_octets(), [0, 0, 1]);
    assert_eq!(Conformance::GENERAL_PROTECTION.to_octets(), [0x40, 0, 0]);
    assert!(conformance.contains(Conformance::GET | Conformance::SET));
    assert!(!conformance.contains(Conformance::GET | Conformance::READ));
    assert_eq!(
        conformance & (Conformance::READ | Conformance::GET),
        Conformance::GET
    );
    assert_eq!(Conformance::NONE.names().count(), 0);
}

/// IEC 62056-5-3 lets `[APPLICATION 31]` be written in one octet.
#[test]
fn the_short_tag_of_the_conformance_is_taken() {
    let long = unhex("01000000065f1f0400007e1f04b0");
    let short = unhex("01000000065f0400007e1f04b0");
    assert_eq!(
        InitiateRequest::from_octets(&short),
        InitiateRequest::from_octets(&long)
    );
    let explicit = unhex("01000101 00065f1f0400007e1f04b0".replace(' ', "").as_str());
    assert_eq!(
        InitiateRequest::from_octets(&explicit),
        InitiateRequest::from_octets(&long)
    );
    let no_answer = unhex("0100010000065f1f0400007e1f04b0");
    let request = InitiateRequest::from_octets(&no_answer).unwrap();
    assert!(!request.response_allowed);
    assert_eq!(request.to_octets(), no_answer);
}

#[test]
fn the_dedicated_key_is_not_shown() {
    let octets = unhex("01011000112233445566778899aabbccddeeff0000065f1f0400007e1f04b0");
    let shown = format!("{:?}", Apdu::from_octets(&octets).unwrap());
    assert!(shown.contains("16 octets"), "{shown}");
    assert!(!shown.contains("17, 34, 51"), "{shown}");
}

/// Octets seen from Gurux, pydlms and jDLMS servers.
#[test]
fn exceptions_tell_the_counter_where_they_have_it() {
    let exception = |octets: &[u8]| ExceptionResponse::from_octets(octets).unwrap();
    let told = exception(&[0xD8, 1, 6, 0, 0, 0, 7]);
    assert_eq!(
        told.service_error,
        ServiceError::InvocationCounterError(Some(7))
    );
    assert_eq!(told.to_octets(), [0xD8, 1, 6, 0, 0, 0, 7]);
    let untold = exception(&[0xD8, 1, 6]);
    assert_eq!(
        untold.service_error,
        ServiceError::InvocationCounterError(None)
    );
    assert_eq!(untold.to_octets(), [0xD8, 1, 6]);
    for code in (0..=255).filter(|code| *code != 6) {
        let octets = [0xD8, code, code];
        assert_eq!(exception(&octets).to_octets(), octets);
    }
    let unknown = exception(&[0xD8, 9, 7]);
    assert_eq!(unknown.state_error, StateError::Unknown(9));
    assert_eq!(unknown.service_error.name(), "unknown");
}

#[test]
fn confirmed_service_errors_have_names() {
    let error = ConfirmedServiceError::from_octets(&[0x0E, 1, 6, 2]).unwrap();
    assert_eq!(error.service, ConfirmedService::InitiateError);
    assert_eq!(error.class, ErrorClass::Initiate);
    assert_eq!(
        error.class.value_name(error.value),
        Some("incompatible-conformance")
    );
    assert_eq!(ErrorClass::Initiate.value_name(5), None);
    assert_eq!(ErrorClass::Unknown(11).value_name(0), None);
}

/// The form of Kaifa: a tag in front of the date-time. It is named, and comes
/// out again as it went in.
#[test]
fn a_tagged_date_time_is_a_named_quirk() {
    let quirky = unhex("0f40000000090c07e3020401173416ff800000020106000016dc");
    let push = DataNotification::from_octets(&quirky).unwrap();
    assert!(push.date_time_tagged);
    assert_eq!(push.to_octets(), quirky);
    let right = unhex("0f400000000c07e3020401173416ff800000020106000016dc");
    let same = DataNotification::from_octets(&right).unwrap();
    assert!(!same.date_time_tagged);
    assert_eq!((same.date_time, same.body), (push.date_time, push.body));
}

#[test]
fn lists_are_bounded_by_a_number_and_by_octets() {
    let attribute = AttributeDescriptor::new(8, Obis([0, 0, 1, 0, 0, 255]), 2);
    let request = |count| GetRequest::WithList {
        invoke: InvokeIdAndPriority::confirmed(1),
        attributes: vec![attribute.into(); count],
    };
    let octets = request(LIST_MAX).to_octets();
    assert_eq!(GetRequest::from_octets(&octets), Ok(request(LIST_MAX)));
    let octets = request(LIST_MAX + 1).to_octets();
    let error = GetRequest::from_octets(&octets).unwrap_err();
    assert_eq!((error.offset, error.reason), (3, Malformed::Limit));
}

/// Values keep the place they had, so that errors inside them point into the
/// APDU.
#[test]
fn errors_inside_values_point_into_the_apdu() {
    let octets = unhex("c401c1000202110106000000");
    let Apdu::GetResponse(GetResponse::Normal {
        result: Ok(data), ..
    }) = Apdu::from_octets(&octets).unwrap()
    else {
        panic!("no data");
    };
    assert_eq!(data.offset(), 4);
    let error = data.decode().unwrap_err();
    assert_eq!((error.offset, error.reason), (9, Malformed::Truncated));
}

#[test]
fn refusals_are_values() {
    let response = GetResponse::from_octets(&[0xC4, 1, 0xC1, 1, 200]).unwrap();
    assert_eq!(
        response,
        GetResponse::Normal {
            invoke: InvokeIdAndPriority(0xC1),
            result: Err(DataAccessResult::Unknown(200)),
        }
    );
    let data = GetResponse::Normal {
        invoke: InvokeIdAndPriority(0xC1),
        result: Ok(RawData::new(&[0x11, 5])),
    };
    assert_eq!(data.to_octets(), [0xC4, 1, 0xC1, 0, 0x11, 5]);
}
