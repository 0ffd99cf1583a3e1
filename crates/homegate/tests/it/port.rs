//! From octets to reports. Evidence: self-agreement on the frames, which other
//! tests hold against third-party octets; the keys are those that IEC
//! 62056-5-3 publishes; private captures at run time stand in `han`.

use dlms::Instant;
use dlms::axdr::Data;
use dlms::codec::Wire as _;
use dlms::cosem::{Obis, ScalerUnit, Unit};
use dlms::hdlc::{Address, Control, Frame, llc};
use dlms::mbus::{LongFrame, Segment};
use dlms::security::{
    Envelope, FreshCounter, Key, KeyRing, PeerWindows, Protection, RustCrypto, SecuritySuite,
    SystemTitle, Wrapping,
};
use dlms::xdlms::{BlockControl, GeneralBlockTransfer};
use han::port::{Keys, Port, Protocol};

const TITLE: SystemTitle = SystemTitle(*b"GWD\0\0\0\0\x01");

fn ring() -> KeyRing {
    let key = |first: u8| {
        let octets: Vec<u8> = (first..first + 16).collect();
        Key::from_octets(&octets).unwrap()
    };
    let keys = dlms::security::Keys::new(key(0x00), key(0xD0));
    KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap()
}

fn keys(unauthenticated: bool) -> Option<Keys> {
    Some(Keys {
        ring: ring(),
        unauthenticated,
    })
}

fn protected(protection: Protection, counter: u32, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ring()
        .protect(
            Envelope::new(Wrapping::GeneralGlo, protection),
            &TITLE,
            FreshCounter::dangerous_assume_fresh(counter),
            plain,
            &mut out,
        )
        .unwrap();
    out
}

fn notification(watts: u32) -> Vec<u8> {
    let mut out = vec![0x0F, 0x40, 0, 0, 0, 0];
    Data::Array(vec![Data::Structure(vec![
        Obis::new(1, 0, 1, 7, 0, 255).to_data(),
        Data::DoubleLongUnsigned(watts),
        ScalerUnit::new(0, Unit::WATT).to_data(),
    ])])
    .encode(&mut out);
    out
}

fn hdlc(information: &[u8]) -> Vec<u8> {
    Frame {
        destination: Address::one(16).unwrap(),
        source: Address::one(1).unwrap(),
        segmented: false,
        control: Control::UnnumberedInformation { poll: true },
        information,
    }
    .to_octets()
}

fn with_llc(apdu: &[u8]) -> Vec<u8> {
    [&llc::RESPONSE[..], apdu].concat()
}

fn powers(port: &mut Port, octets: &[u8]) -> Vec<String> {
    port.handle(octets, Instant::ORIGIN)
        .iter()
        .map(|report| report.net_power().unwrap().to_string())
        .collect()
}

#[test]
fn telegrams_files_and_fragments_become_reports() {
    let telegram = b"/TST5\\253000000_A\r\n\r\n1-0:1.7.0(00.338*kW)\r\n!D33F\r\n";
    let mut port = Port::new(Protocol::P1, None);
    assert_eq!(powers(&mut port, telegram), ["338 W"]);
    let damaged: Vec<u8> = telegram
        .iter()
        .map(|o| if *o == b'8' { b'9' } else { *o })
        .collect();
    assert!(powers(&mut port, &damaged).is_empty());
    assert_eq!((port.counters().reports, port.counters().unread), (1, 1));

    let demand = b"<InstantaneousDemand><TimeStamp>0x185adc1d</TimeStamp><Demand>0x0005</Demand>\
        <Multiplier>0x1</Multiplier><Divisor>0x3e8</Divisor></InstantaneousDemand>\r\n";
    let mut port = Port::new(Protocol::Raven, None);
    assert_eq!(powers(&mut port, demand), ["5 W"]);
    // Zeros without a time: no report, and no zero.
    let silent = b"<InstantaneousDemand><TimeStamp>0x0</TimeStamp><Demand>0x0</Demand>\
        <Multiplier>0x1</Multiplier><Divisor>0x3e8</Divisor></InstantaneousDemand>";
    assert!(powers(&mut port, silent).is_empty());
}

#[test]
fn pushes_become_reports_in_any_frame() {
    let mut port = Port::new(Protocol::Hdlc, None);
    let frame = hdlc(&with_llc(&notification(280)));
    assert_eq!(powers(&mut port, &frame), ["280 W"]);
    // Octet by octet.
    let found: Vec<String> = frame
        .chunks(1)
        .flat_map(|part| powers(&mut port, part))
        .collect();
    assert_eq!(found, ["280 W"]);

    let apdu = notification(281);
    let (first, second) = apdu.split_at(20);
    let mut stream = Vec::new();
    for (sequence, octets, last) in [(0, first, false), (1, second, true)] {
        let segment = Segment {
            sequence,
            last,
            source: 1,
            destination: 103,
            octets,
        };
        LongFrame {
            control: 0x53,
            address: 0xFF,
            control_information: segment.control_information(),
            data: &[&[1, 103], octets].concat(),
        }
        .encode(&mut stream);
    }
    let mut port = Port::new(Protocol::MBus, None);
    assert_eq!(powers(&mut port, &stream), ["281 W"]);
}

#[test]
fn ciphered_pushes_are_verified_and_taken_once() {
    let sealed = protected(Protection::AuthenticatedEncrypted, 7, &notification(280));
    let frame = hdlc(&with_llc(&sealed));
    let mut port = Port::new(Protocol::Hdlc, keys(false));
    assert_eq!(powers(&mut port, &frame), ["280 W"]);
    assert!(powers(&mut port, &frame).is_empty());
    assert_eq!(port.counters().replayed, 1);
    // Changed on the wire, behind a right check sequence.
    let mut forged = protected(Protection::AuthenticatedEncrypted, 8, &notification(281));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(powers(&mut port, &hdlc(&with_llc(&forged))).is_empty());
    assert_eq!(port.counters().closed, 1);
    // The next right one is taken.
    let next = protected(Protection::AuthenticatedEncrypted, 9, &notification(282));
    assert_eq!(powers(&mut port, &hdlc(&with_llc(&next))), ["282 W"]);
    let mut none = Port::new(Protocol::Hdlc, None);
    assert!(powers(&mut none, &frame).is_empty());
}

#[test]
fn what_was_taken_is_told_and_refused_by_the_next_port() {
    let frame = |counter| {
        let plain = notification(280 + counter);
        let sealed = protected(Protection::AuthenticatedEncrypted, counter, &plain);
        hdlc(&with_llc(&sealed))
    };
    let mut port = Port::new(Protocol::Hdlc, keys(false));
    assert_eq!(
        powers(&mut port, &[frame(7), frame(9)].concat()),
        ["287 W", "289 W"]
    );
    assert_eq!(port.taken(), std::collections::BTreeMap::from([(TITLE, 9)]));
    assert!(port.taken().is_empty());
    assert!(powers(&mut port, &frame(9)).is_empty());
    assert!(port.taken().is_empty(), "what is refused is not taken");

    let windows = PeerWindows::new(0).with_peer(TITLE, 10);
    let mut port = Port::new(Protocol::Hdlc, keys(false)).with_windows(windows);
    let all = [frame(7), frame(8), frame(9), frame(10)].concat();
    assert_eq!(powers(&mut port, &all), ["290 W"]);
    assert_eq!(port.counters().replayed, 3);
}

#[test]
fn what_has_no_tag_is_taken_only_where_that_is_said() {
    let frame = hdlc(&with_llc(&protected(
        Protection::Encrypted,
        7,
        &notification(280),
    )));
    assert!(powers(&mut Port::new(Protocol::Hdlc, keys(false)), &frame).is_empty());
    assert_eq!(
        powers(&mut Port::new(Protocol::Hdlc, keys(true)), &frame),
        ["280 W"]
    );
}

#[test]
fn blocks_are_joined_and_gaps_are_counted() {
    let sealed = protected(Protection::AuthenticatedEncrypted, 7, &notification(280));
    let parts: Vec<&[u8]> = sealed.chunks(16).collect();
    let frames: Vec<Vec<u8>> = parts
        .iter()
        .zip(1_u16..)
        .map(|(part, number)| {
            let last = usize::from(number) == parts.len();
            let block = GeneralBlockTransfer {
                block_control: BlockControl(if last { 0xC0 } else { 0x40 }),
                block_number: number,
                block_number_ack: 0,
                block_data: part,
            }
            .to_octets();
            // The LLC header stands before the first block alone.
            hdlc(&if number == 1 { with_llc(&block) } else { block })
        })
        .collect();
    let mut port = Port::new(Protocol::Hdlc, keys(false));
    assert_eq!(powers(&mut port, &frames.concat()), ["280 W"]);
    let mut port = Port::new(Protocol::Hdlc, keys(false));
    let gap = [&frames[0][..], &frames[2..].concat()].concat();
    assert!(powers(&mut port, &gap).is_empty());
    assert!(port.counters().unread > 0);
}

#[test]
fn ciphered_telegrams_are_found_in_a_stream() {
    let telegram = b"/TST5\\253000000_A\r\n\r\n1-0:1.7.0(00.338*kW)\r\n!D33F\r\n";
    let one = protected(Protection::AuthenticatedEncrypted, 7, telegram);
    let two = protected(Protection::AuthenticatedEncrypted, 8, telegram);
    let stream = [&[0xDB, 0x00, 0x55][..], &one, &[0xDB], &two].concat();
    let mut port = Port::new(Protocol::P1Ciphered, keys(false));
    let found: Vec<String> = stream
        .chunks(7)
        .flat_map(|part| powers(&mut port, part))
        .collect();
    assert_eq!(found, ["338 W", "338 W"]);
}
