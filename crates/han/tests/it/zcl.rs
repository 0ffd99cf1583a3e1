//! ZigBee frames. Evidence: a request and an answer that tshark 4.0.17 and
//! zigbee-on-host 0.3.0 take apart in the same way; the tables of attributes
//! of zigpy, zigbee-herdsman and Wireshark at run time.

use std::collections::BTreeSet;

use han::egress;
use han::zcl::{
    self, CLUSTER_KEY_ESTABLISHMENT, CLUSTER_METERING, Frame, METERING_ATTRIBUTES, Metering,
    PROFILE_DEVICE, PROFILE_SMART_ENERGY, Request, Suite, Value,
};

use crate::captures;

/// Summation, demand, unit, multiplier, divisor, status, and an attribute that
/// is not there.
pub(crate) const ANSWER: [u8; 47] = [
    0x18, 0x2a, 0x01, 0x00, 0x00, 0x00, 0x25, 0x15, 0xcd, 0x5b, 0x07, 0x00, 0x00, 0x00, 0x04, 0x00,
    0x2a, 0x24, 0xfa, 0xff, 0x00, 0x03, 0x00, 0x30, 0x00, 0x01, 0x03, 0x00, 0x22, 0x01, 0x00, 0x00,
    0x02, 0x03, 0x00, 0x22, 0xe8, 0x03, 0x00, 0x00, 0x02, 0x00, 0x18, 0x02, 0x99, 0x99, 0x86,
];

/// The request for it.
const REQUEST: [u8; 17] = [
    0x00, 0x2a, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x03, 0x01, 0x03, 0x02, 0x03, 0x00, 0x02, 0x99,
    0x99,
];

fn told(octets: &[u8]) -> Metering {
    let mut metering = Metering::default();
    let frame = Frame::decode(octets).unwrap();
    metering.take(frame.attributes().unwrap().unwrap());
    metering
}

#[test]
fn a_request_is_made_as_others_read_it() {
    let request = Request::ReadAttributes {
        cluster: CLUSTER_METERING,
        attributes: &[0x0000, 0x0400, 0x0300, 0x0301, 0x0302, 0x0200, 0x9999],
    };
    assert_eq!(request.encode(0x2a), REQUEST);
}

#[test]
fn an_answer_is_read() {
    let frame = Frame::decode(&ANSWER).unwrap();
    assert!(frame.from_server && !frame.cluster_specific);
    assert_eq!(frame.command_name(), Some("Read Attributes Response"));
    let attributes = frame.attributes().unwrap().unwrap();
    assert_eq!(attributes.0[0], (0x0000, Ok(Value::Unsigned(123_456_789))));
    assert_eq!(attributes.0[1], (0x0400, Ok(Value::Signed(-1_500))));
    assert_eq!(attributes.0[6], (0x9999, Err(0x86)));
    let metering = told(&ANSWER);
    let report = metering.report();
    assert_eq!(report.total(1).unwrap().to_string(), "123456789 Wh");
    assert_eq!(report.net_power().unwrap().to_string(), "-1500 W");
    assert_eq!(report.total(2), None, "not told, so not there");
    let names: Vec<&str> = zcl::status_names(metering.status().unwrap()).collect();
    assert_eq!(names, ["low battery"]);
}

#[test]
fn there_is_no_value_without_its_scale() {
    // Cut behind the demand: unit, multiplier and divisor are missing.
    let report = told(&ANSWER[..20]).report();
    assert!(report.values.is_empty());
    // A meter that has no multiplier and divisor has one of 1.
    let mut octets = ANSWER[..25].to_vec();
    octets.extend_from_slice(&[0x01, 0x03, 0x86, 0x02, 0x03, 0x86]);
    let report = told(&octets).report();
    assert_eq!(report.total(1).unwrap().to_string(), "123456789000 Wh");
}

#[test]
fn invalid_values_are_missing() {
    let mut octets = ANSWER;
    octets[7..13].fill(0xFF);
    octets[17..20].copy_from_slice(&[0x00, 0x00, 0x80]);
    let report = told(&octets).report();
    assert!(report.values.is_empty(), "{:?}", report.values);
}

#[test]
fn an_old_value_never_stands_for_a_new_one() {
    let mut metering = told(&ANSWER);
    metering.forget_values();
    assert!(metering.is_scaled(), "how to read them is kept");
    assert!(metering.report().values.is_empty());
}

#[test]
fn digits_may_be_coded_as_decimals() {
    let mut octets = ANSWER;
    octets[24] = 0x80;
    octets[7..13].copy_from_slice(&[0x89, 0x67, 0x45, 0x23, 0x01, 0x00]);
    assert_eq!(
        told(&octets).report().total(1).unwrap().to_string(),
        "123456789 Wh"
    );
    octets[7] = 0x8A;
    assert_eq!(told(&octets).report().total(1), None, "a is no digit");
}

#[test]
fn only_what_reads_may_leave() {
    let key = [7; 22];
    let requests = [
        Request::ReadAttributes {
            cluster: CLUSTER_METERING,
            attributes: &METERING_ATTRIBUTES,
        },
        Request::DiscoverAttributes {
            cluster: CLUSTER_METERING,
            start: 0,
            count: 20,
        },
        Request::InitiateKeyEstablishment {
            suite: Suite::One,
            ephemeral_time_s: 10,
            confirm_time_s: 10,
            certificate: &[7; 48],
        },
        Request::EphemeralData { key: &key },
        Request::ConfirmKeyData { code: &[7; 16] },
        Request::TerminateKeyEstablishment {
            status: 3,
            wait_s: 10,
            suite: Suite::Two,
        },
    ];
    for request in requests {
        let octets = request.encode(1);
        assert!(
            egress::check(Request::PROFILE, request.cluster(), &octets).is_ok(),
            "{request:?}"
        );
    }
    // Every control octet, every command, on every cluster that a meter has
    // and some that it has not: what may leave is counted.
    let clusters = [
        0x0000,
        0x0003,
        0x000A,
        0x0700,
        0x0701,
        CLUSTER_METERING,
        0x0703,
        0x0704,
        CLUSTER_KEY_ESTABLISHMENT,
        0x0006,
    ];
    let mut left = BTreeSet::new();
    for cluster in clusters {
        for control in 0..=u8::MAX {
            for command in 0..=u8::MAX {
                let octets = [control, 1, command, 0, 0, 0, 0, 0];
                // Behind a manufacturer's code, the command stands elsewhere.
                let other = [control, 1, 2, command, command, 0, 0, 0];
                for octets in [octets, other] {
                    if egress::check(PROFILE_SMART_ENERGY, cluster, &octets).is_ok() {
                        left.insert((cluster, control & 0x01, octets[2]));
                        assert_eq!(control & 0xEC, 0, "no direction, maker or reserved bit");
                    }
                }
            }
        }
    }
    let read = clusters
        .iter()
        .flat_map(|cluster| [(*cluster, 0, 0x00), (*cluster, 0, 0x0C)]);
    let keys = (0..4).map(|command| (CLUSTER_KEY_ESTABLISHMENT, 1, command));
    assert_eq!(left, read.chain(keys).collect());
    // Of device objects: 6 requests of 65,536; of other profiles none.
    let device: Vec<u16> = (0..=u16::MAX)
        .filter(|cluster| egress::check(PROFILE_DEVICE, *cluster, &[1, 0, 0]).is_ok())
        .collect();
    assert_eq!(device, [0, 1, 2, 4, 5, 6]);
    for profile in (0..=u16::MAX).filter(|p| ![PROFILE_DEVICE, PROFILE_SMART_ENERGY].contains(p)) {
        assert!(egress::check(profile, CLUSTER_METERING, &REQUEST).is_err());
    }
}

#[test]
fn attributes_have_the_types_that_others_know() {
    let Some(file) = captures::beside("zcl/attributes.csv") else {
        return;
    };
    let text = std::fs::read_to_string(file).unwrap();
    // What is asked for is known to all three tables.
    for wanted in METERING_ATTRIBUTES {
        let line = format!("0x0702,Metering,{wanted:#06x},");
        let found = text.lines().find(|own| own.starts_with(&line)).unwrap();
        assert!(
            found.split(',').filter(|cell| !cell.is_empty()).count() >= 8,
            "{found}"
        );
    }
    // Every type that a table gives an attribute is one that is read.
    let kinds: BTreeSet<u8> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(5)?.strip_prefix("0x"))
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect();
    assert!(kinds.len() > 10);
    for kind in kinds {
        let mut octets = vec![0x18, 1, 0x01, 0, 0, 0, kind];
        octets.extend_from_slice(&[0; 16]);
        // Zeros behind the value may be read as more attributes, or not.
        let frame = Frame::decode(&octets).unwrap();
        if let Err(error) = frame.attributes() {
            assert_ne!(error.offset, 6, "type {kind:#04x}: {error}");
        }
    }
}
