//! Sessions and pushes of real meters, whose octets lie beside the project.

use dlms::acse::{Aarq, AuthenticationValue};
use dlms::codec::{Malformed, Wire};
use dlms::xdlms::{Apdu, GetResponse};
use serde_json::json;

use crate::captures::{capture, unhex};
use crate::expectations::check;

/// APDUs with an expectation written by hand.
#[test]
fn requests_and_responses_decode() {
    for name in [
        "act-req-hls-reply",
        "act-resp-hls-kaifa",
        "get-resp-list",
        "general-glo-real-datanotif-u9n",
    ] {
        let Some(vector) = capture(name) else { return };
        let octets = unhex(vector["hex"].as_str().unwrap());
        let apdu = Apdu::from_octets(&octets).unwrap();
        check(name, &apdu, &vector["expect"]);
        assert_eq!(apdu.to_octets(), octets, "{name}");
    }
}

/// Every APDU of two sessions over the wrapper, of which each value decodes.
#[test]
fn sessions_decode_and_encode_again() {
    let (mut gets, mut values) = (0, 0);
    for name in ["session-wrapper-dlms", "session-wrapper-dlms-list"] {
        let Some(vector) = capture(name) else { return };
        for text in vector["hex"].as_array().unwrap() {
            let octets = unhex(text.as_str().unwrap());
            let apdu = Apdu::from_octets(&octets).unwrap();
            assert_eq!(apdu.to_octets(), octets, "{name}: {text}");
            match apdu {
                Apdu::GetRequest(_) => gets += 1,
                Apdu::GetResponse(GetResponse::Normal { result, .. }) => {
                    values += usize::from(result.is_ok_and(|data| data.decode().is_ok()));
                }
                Apdu::GetResponse(GetResponse::WithList { results, .. }) => {
                    values += results
                        .iter()
                        .filter(|result| result.is_ok_and(|data| data.decode().is_ok()))
                        .count();
                }
                Apdu::Aarq(Aarq {
                    calling_authentication_value: value,
                    ..
                }) => assert!(matches!(
                    value,
                    None | Some(AuthenticationValue::Charstring(_))
                )),
                _ => {}
            }
        }
    }
    assert_eq!((gets, values), (23, 26));
}

/// Pushes whose every value is written out in the vector.
#[test]
fn pushes_decode_to_what_is_written_of_them() {
    for name in [
        "real-aidon-no-list-1",
        "real-aidon-no-list-2",
        "real-aidon-no-list-3",
        "real-kaifa-no-list-1",
        "real-kaifa-no-list-2",
        "real-kaifa-no-list-3",
        "real-kamstrup-no-list-1-single-phase-real-sample",
        "real-kamstrup-no-list-2-single-phase-real-sample",
        "real-raw-energomera",
    ] {
        let Some(vector) = capture(name) else { return };
        let octets = unhex(vector["hex"].as_str().unwrap());
        let octets = octets
            .strip_prefix(&[0xE6, 0xE7, 0x00][..])
            .unwrap_or(&octets);
        let apdu = Apdu::from_octets(octets).unwrap();
        check(name, &apdu, &vector["expect"]);
        assert_eq!(apdu.to_octets(), octets, "{name}");
    }
}

/// Pushes that came in frames and, two of them, ciphered: the vectors have the
/// APDU and what is inside.
#[test]
fn pushes_from_frames_decode_to_what_is_written_of_them() {
    for name in [
        "real-hdlc-kaifa-ma304h3e",
        "real-hdlc-lgz-e450-2",
        "real-hdlc-norway-han-1phase",
        "real-mbus-netznoe-kaifa",
    ] {
        let Some(vector) = capture(name) else { return };
        let expect = &vector["expect"];
        let octets = unhex(expect["apdu"].as_str().unwrap());
        let apdu = Apdu::from_octets(&octets).unwrap();
        assert_eq!(apdu.to_octets(), octets, "{name}");
        let plain = match expect.get("plain") {
            None => octets,
            Some(plain) => {
                check(name, &apdu, &expect["general_glo"]);
                unhex(plain.as_str().unwrap())
            }
        };
        let push = Apdu::from_octets(&plain).unwrap();
        check(
            name,
            &push,
            &json!({ "data_notification": expect["data_notification"] }),
        );
        assert_eq!(push.to_octets(), plain, "{name}");
    }
}

/// A push whose values have no tags is none: it is refused at the place where
/// the first one should be.
#[test]
fn a_push_without_tags_is_refused() {
    let Some(vector) = capture("real-raw-sagecom-xt211-untagged") else {
        return;
    };
    let octets = unhex(vector["hex"].as_str().unwrap());
    let refused = match Apdu::from_octets(&octets) {
        Err(error) => error,
        Ok(Apdu::DataNotification(push)) => push.body.decode().expect_err("a push without tags"),
        Ok(other) => panic!("{}", other.name()),
    };
    assert!(refused.offset < octets.len(), "{refused}");
    assert!(
        matches!(
            refused.reason,
            Malformed::Tag(_) | Malformed::Trailing | Malformed::Truncated
        ),
        "{refused}"
    );
}
