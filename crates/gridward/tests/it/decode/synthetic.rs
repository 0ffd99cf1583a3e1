//! Pushes of the forms that meters in the field have, with octets of our own
//! making and the keys that IEC 62056-5-3 publishes. Evidence: self-agreement
//! and snapshots; the forms are those of the captures that `pushes` decodes.

use dlms::axdr::Data;
use dlms::codec::Wire as _;
use dlms::cosem::{Obis, ScalerUnit, Unit};
use dlms::hdlc::{Address, Control, Frame, llc};
use dlms::mbus::{LongFrame, Segment};
use dlms::security::{
    Envelope, FreshCounter, KeyRing, Keys, Protection, RustCrypto, SecuritySuite, SystemTitle,
    Wrapping,
};
use dlms::xdlms::{BlockControl, GeneralBlockTransfer};
use expect_test::expect_file;

use crate::program::{hex, run, unhex};

/// Keys of the examples in IEC 62056-5-3.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const AUTH_KEY: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";

const TITLE: SystemTitle = SystemTitle(*b"GWD\0\0\0\0\x01");

fn u32(value: u32) -> Data {
    Data::DoubleLongUnsigned(value)
}

fn visible(text: &str) -> Data {
    Data::VisibleString(text.into())
}

fn octets(text: &str) -> Data {
    Data::OctetString(text.into())
}

fn code(code: [u8; 6]) -> Data {
    Obis(code).to_data()
}

fn time() -> Data {
    Data::OctetString(unhex("07ea0b0f07173b00ffffc400"))
}

fn notification(date_time: &[u8], body: &Data) -> Vec<u8> {
    let mut apdu = unhex("0f40000001");
    apdu.extend_from_slice(date_time);
    body.encode(&mut apdu);
    apdu
}

fn frame(information: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame {
        destination: Address::two(103, 127).unwrap(),
        source: Address::one(1).unwrap(),
        segmented: false,
        control: Control::UnnumberedInformation { poll: true },
        information,
    }
    .encode(&mut out);
    out
}

fn framed(apdu: &[u8]) -> Vec<u8> {
    frame(&[&llc::RESPONSE[..], apdu].concat())
}

fn protected(protection: Protection, apdu: &[u8]) -> Vec<u8> {
    let key = |digits: &str| dlms::security::Key::from_octets(&unhex(digits)).unwrap();
    let keys = Keys::new(key(KEY), key(AUTH_KEY));
    let ring = KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap();
    let mut out = Vec::new();
    ring.protect(
        Envelope::new(Wrapping::GeneralGlo, protection),
        &TITLE,
        FreshCounter::dangerous_assume_fresh(42),
        apdu,
        &mut out,
    )
    .unwrap();
    out
}

/// A structure for each value, with scaler and unit.
/// A text in the form of Luxembourg's ports.
pub(crate) fn protected_text(text: &[u8]) -> Vec<u8> {
    protected(Protection::AuthenticatedEncrypted, text)
}

pub(crate) fn aidon() -> Vec<u8> {
    let row = |c, number: Data, scaler, unit| {
        Data::Structure(vec![
            code([1, 0, c, 7, 0, 255]),
            number,
            ScalerUnit::new(scaler, unit).to_data(),
        ])
    };
    let body = Data::Array(vec![
        Data::Structure(vec![code([1, 1, 0, 2, 129, 255]), visible("EXAMPLE_V0001")]),
        Data::Structure(vec![
            code([0, 0, 96, 1, 0, 255]),
            visible("0000000000000001"),
        ]),
        row(1, u32(2_280), 0, Unit::WATT),
        row(31, Data::Long(-17), -1, Unit::AMPERE),
        row(32, Data::LongUnsigned(2_309), -1, Unit::VOLT),
    ]);
    framed(&notification(&[0], &body))
}

/// Values alone, and a date-time with a tag.
pub(crate) fn kaifa() -> Vec<u8> {
    let mut values = vec![
        octets("KFM_001"),
        octets("0000000000000001"),
        octets("EXAMPLE"),
    ];
    values.extend([948, 0, 0, 64, 1_416, 3_241, 3_119, 2_385, 0, 2_389].map(u32));
    let mut date_time = vec![0x09, 12];
    date_time.extend(unhex("07ea0b0f07173b00ff800000"));
    framed(&notification(&date_time, &Data::Structure(values)))
}

/// Codes and values in line, with null-data between.
pub(crate) fn kamstrup() -> Vec<u8> {
    let body = Data::Structure(vec![
        visible("Kamstrup_V0001"),
        code([1, 1, 0, 0, 5, 255]),
        visible("0000000000000001"),
        code([1, 1, 96, 1, 1, 255]),
        visible("6861111EXAMPLE"),
        code([1, 1, 1, 7, 0, 255]),
        u32(10_050),
        code([1, 1, 31, 7, 0, 255]),
        u32(4_512),
        Data::NullData,
        Data::NullData,
        code([1, 1, 32, 7, 0, 255]),
        Data::LongUnsigned(223),
        code([0, 1, 1, 0, 0, 255]),
        time(),
        code([1, 1, 1, 8, 0, 255]),
        u32(7_745_250),
    ]);
    framed(&notification(&[0], &body))
}

/// Ciphered, in blocks, in three frames with an LLC header in the first only.
pub(crate) fn e450() -> Vec<u8> {
    let body = Data::Structure(vec![
        time(),
        code([1, 0, 1, 8, 0, 255]),
        u32(12_048_950),
        code([1, 0, 1, 7, 0, 255]),
        u32(545),
        code([1, 0, 2, 8, 0, 255]),
        u32(18_054),
    ]);
    let apdu = protected(
        Protection::AuthenticatedEncrypted,
        &notification(&[0], &body),
    );
    let blocks: Vec<&[u8]> = apdu.chunks(40).collect();
    let mut out = Vec::new();
    for (number, block) in (1_u16..).zip(&blocks) {
        let mut information = Vec::new();
        if number == 1 {
            information.extend_from_slice(&llc::RESPONSE);
        }
        GeneralBlockTransfer {
            block_control: BlockControl::new(usize::from(number) == blocks.len(), true, 0),
            block_number: number,
            block_number_ack: 0,
            block_data: block,
        }
        .encode(&mut information);
        out.extend(frame(&information));
    }
    out
}

/// Encrypted without a tag, in two M-Bus frames; code, value, scaler and unit
/// in line.
pub(crate) fn mbus() -> Vec<u8> {
    let mut values = vec![time()];
    for (c, d, number, scaler, unit) in [
        (1, 8, u32(12_937), 0, Unit::WATT_HOUR),
        (1, 7, u32(310), 0, Unit::WATT),
        (32, 7, Data::LongUnsigned(2_337), -1, Unit::VOLT),
        (13, 7, Data::LongUnsigned(1_000), -3, Unit::COUNT),
    ] {
        values.extend([
            code([1, 0, c, d, 0, 255]),
            number,
            ScalerUnit::new(scaler, unit).to_data(),
        ]);
    }
    values.push(octets("000000000001"));
    let apdu = protected(
        Protection::Encrypted,
        &notification(&[0], &Data::Structure(values)),
    );
    let pieces: Vec<&[u8]> = apdu.chunks(100).collect();
    let mut out = Vec::new();
    for (sequence, piece) in (0_u8..).zip(&pieces) {
        let last = usize::from(sequence) + 1 == pieces.len();
        let segment = Segment {
            sequence,
            last,
            source: 1,
            destination: 103,
            octets: piece,
        };
        let mut data = vec![1, 103];
        data.extend_from_slice(piece);
        LongFrame {
            control: 0x53,
            address: 0xFF,
            control_information: segment.control_information(),
            data: &data,
        }
        .encode(&mut out);
    }
    out
}

/// The list of objects first, then their values.
pub(crate) fn object_list() -> Vec<u8> {
    let object = |class_id, obis: [u8; 6], attribute| {
        Data::Structure(vec![
            Data::LongUnsigned(class_id),
            code(obis),
            Data::Integer(attribute),
            Data::LongUnsigned(0),
        ])
    };
    let body = Data::Structure(vec![
        Data::Array(vec![
            object(40, [0, 0, 25, 9, 0, 255], 2),
            object(1, [0, 0, 42, 0, 0, 255], 2),
            object(3, [1, 0, 1, 8, 0, 255], 2),
            object(3, [1, 0, 1, 8, 0, 255], 3),
            object(70, [0, 0, 96, 3, 10, 255], 3),
        ]),
        octets("GWD0000000000001"),
        u32(1_820_431),
        ScalerUnit::new(1, Unit::WATT_HOUR).to_data(),
        Data::Enum(1),
    ]);
    let mut apdu = notification(&[12], &Data::NullData);
    apdu.truncate(6);
    apdu.extend(unhex("07ea0b0f07173b00ffffc400"));
    body.encode(&mut apdu);
    apdu
}

/// All of them, by the names of their snapshots.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("structures", aidon()),
        ("places", kaifa()),
        ("in-line", kamstrup()),
        ("blocks", e450()),
        ("mbus", mbus()),
        ("object-list", object_list()),
    ]
}

#[test]
fn every_form_is_read() {
    for (name, message) in all() {
        let digits = hex(&message);
        let arguments = ["decode", "--key", KEY, "--auth-key", AUTH_KEY, &digits];
        let shown = run(&arguments);
        assert_eq!(shown.status, 0, "{name}: {}", shown.error);
        for line in shown.output.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        let told = run(&[&arguments[..], &["--json"]].concat()).json();
        assert_eq!(told["plain"], told["reencoded"], "{name}");
        let data = serde_json::to_string_pretty(&told["data"]).unwrap();
        let snapshot = format!("{digits}\n\n{}\n{data}\n", shown.output);
        let file = format!(
            "{}/tests/snapshots/decode-{name}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        expect_file![file].assert_eq(&snapshot);
    }
}

#[test]
fn what_was_verified_is_told() {
    let sealed = hex(&e450());
    let open = |arguments: &[&str]| {
        let all = [&["decode", "--json"], arguments, &[&sealed]].concat();
        run(&all).json()["protection"].clone()
    };
    let verified = open(&["--key", KEY, "--auth-key", AUTH_KEY]);
    assert_eq!(
        verified,
        serde_json::json!({
            "wrapping": "general-glo",
            "suite": 0,
            "authenticated": true,
            "encrypted": true,
            "system_title": "4757440000000001",
            "invocation_counter": 42,
            "verified": true,
        })
    );
    let unverified = open(&["--key", KEY]);
    assert!(unverified["verified"].is_null());
    let shown = run(&["decode", "--key", KEY, &sealed]).output;
    assert!(shown.contains("decrypted, NOT verified"), "{shown}");
    let closed = open(&[]);
    assert!(closed["verified"].is_null());
    let shown = run(&["decode", &sealed]);
    assert_eq!(shown.status, 0);
    assert!(shown.output.contains("NOT opened"), "{}", shown.output);
    let told = run(&["decode", "--json", &sealed]).json();
    assert!(told["plain"].is_null());

    let forged = open(&["--key", KEY, "--auth-key", KEY]);
    assert_eq!(forged["verified"], false);
}
