//! The 22 HDLC cases of the conformance test tool (DLMS UA 1001-6, by the ids
//! of its public index) against our station. Evidence: the procedure of each
//! case is ours, written after its one line in the index; the octets of the
//! negatives are hand-made. What is shown is what a client on the line sees.

use dlms::codec::Wire;
use dlms::hdlc::station::{self, Station, StationOutput};
use dlms::hdlc::{
    Address, Control, Event, Fcs, Frame, FrameReject, ParameterForm, Parameters, Sequence,
    secondary,
};
use dlms::{Duration, Instant};

use super::machines::at;
use crate::captures::{hex, unhex};

const REQUEST: &[u8] = &[0xC0, 0x01, 0xC1, 0x00, 0x08];

/// A meter behind a station: it answers each request with as many octets as
/// it is told, and counts what it executes.
struct Meter {
    station: Station,
    executed: Vec<Vec<u8>>,
    answer: Vec<u8>,
    now: Instant,
}

impl Meter {
    fn new() -> Self {
        Self::with(vec![Address::one(1).unwrap()], Parameters::DEFAULT)
    }

    fn with(servers: Vec<Address>, parameters: Parameters) -> Self {
        let mut config = station::Config::new(servers);
        config.link.parameters = parameters;
        config.link.inter_octet_timeout = Some(Duration::from_millis(25));
        config.link.inactivity_timeout = Some(Duration::from_secs(120));
        Self {
            station: Station::new(config),
            executed: Vec::new(),
            answer: vec![0xC4, 0x01, 0xC1, 0x00, 0x00],
            now: at(1_000),
        }
    }

    /// Puts octets on the line and gives the frames that answer.
    fn line(&mut self, octets: &[u8]) -> Vec<Vec<u8>> {
        self.station
            .handle(station::Input::Octets(octets), self.now)
            .unwrap();
        self.settle()
    }

    fn wait(&mut self, millis: u64) -> Vec<Vec<u8>> {
        self.now = self.now + Duration::from_millis(millis);
        self.station
            .handle(station::Input::Timeout, self.now)
            .unwrap();
        self.settle()
    }

    fn settle(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        loop {
            match self.station.poll() {
                StationOutput::Transmit(octets) => frames.push(octets),
                StationOutput::Event {
                    link,
                    event: Event::Message(message),
                } => {
                    self.executed.push(message);
                    let input = secondary::Input::Message(&self.answer);
                    self.station
                        .handle(station::Input::Link { link, input }, self.now)
                        .unwrap();
                }
                StationOutput::Event { .. } => {}
                StationOutput::Timeout(_) => return frames,
            }
        }
    }

    /// Sends a frame and gives the control fields that answer.
    fn send(&mut self, control: Control, information: &[u8]) -> Vec<String> {
        let frame = frame(Address::one(1).unwrap(), control, false, information);
        controls(&self.line(&frame))
    }

    fn connect(&mut self) {
        assert_eq!(self.send(SNRM, &[]), ["73"]);
    }

    /// An exchange goes through: the link is usable.
    fn assert_usable(&mut self) {
        self.connect();
        let before = self.executed.len();
        assert_eq!(self.send(information(0, 0), &message(REQUEST)), ["30"]);
        assert_eq!(self.executed.len(), before + 1);
    }
}

const SNRM: Control = Control::SetNormalResponseMode { poll: true };
const DISC: Control = Control::Disconnect { poll: true };

fn information(send: u8, receive: u8) -> Control {
    Control::Information {
        send: Sequence::new(send),
        receive: Sequence::new(receive),
        poll: true,
    }
}

fn ready(receive: u8) -> Control {
    Control::ReceiveReady {
        receive: Sequence::new(receive),
        poll: true,
    }
}

fn frame(server: Address, control: Control, segmented: bool, information: &[u8]) -> Vec<u8> {
    Frame {
        destination: server,
        source: Address::PUBLIC_CLIENT,
        segmented,
        control,
        information,
    }
    .to_octets()
}

fn message(apdu: &[u8]) -> Vec<u8> {
    [&[0xE6, 0xE6, 0x00], apdu].concat()
}

fn controls(frames: &[Vec<u8>]) -> Vec<String> {
    frames
        .iter()
        .map(|octets| {
            format!(
                "{:02x}",
                Frame::from_octets(octets).unwrap().control.octet()
            )
        })
        .collect()
}

/// Closes a frame whose octets between the flags are `body`.
fn raw(body: &[u8]) -> Vec<u8> {
    let mut octets = vec![0x7E];
    octets.extend_from_slice(body);
    octets.extend_from_slice(&Fcs::of(body).to_le_bytes());
    octets.push(0x7E);
    octets
}

/// HDLC_FRAME_P1
#[test]
fn hdlc_frame_p1_connect_exchange_disconnect() {
    let mut meter = Meter::new();
    meter.assert_usable();
    assert_eq!(meter.send(DISC, &[]), ["73"]);
    assert_eq!(meter.send(DISC, &[]), ["1f"], "the second DISC gives DM");
}

/// HDLC_FRAME_P2
#[test]
fn hdlc_frame_p2_a_pause_within_a_frame_discards_it() {
    let mut meter = Meter::new();
    let snrm = frame(Address::one(1).unwrap(), SNRM, false, &[]);
    // A flag alone begins no frame: it may stand for as long as it likes.
    for cut in 2..snrm.len() {
        assert!(meter.line(&snrm[..cut]).is_empty());
        assert!(meter.wait(26).is_empty());
        let rest = meter.line(&snrm[cut..]);
        assert!(rest.is_empty(), "cut at {cut}: the rest is no frame");
        assert!(meter.wait(26).is_empty());
        assert_eq!(controls(&meter.line(&snrm)), ["73"], "the next is taken");
    }
    // A shorter pause discards nothing.
    for octet in &snrm[..snrm.len() - 1] {
        assert!(meter.line(&[*octet]).is_empty());
        assert!(meter.wait(20).is_empty());
    }
    assert_eq!(controls(&meter.line(&[0x7E])), ["73"]);
}

/// HDLC_FRAME_P3
#[test]
fn hdlc_frame_p3_inactivity_falls_back_to_disconnected_mode() {
    let mut meter = Meter::new();
    meter.connect();
    meter.wait(119_999);
    assert_eq!(meter.send(ready(0), &[]), ["11"], "still connected");
    meter.wait(120_000);
    assert_eq!(meter.send(ready(0), &[]), ["1f"]);
    assert_eq!(meter.station.links(), 0);
    meter.assert_usable();
}

/// HDLC_FRAME_N1
#[test]
fn hdlc_frame_n1_a_frame_without_a_flag_is_ignored() {
    let snrm = frame(Address::one(1).unwrap(), SNRM, false, &[]);
    let mut meter = Meter::new();
    assert!(meter.line(&snrm[1..]).is_empty(), "no opening flag");
    meter.wait(100);
    meter.assert_usable();
    let mut meter = Meter::new();
    assert!(meter.line(&snrm[..snrm.len() - 1]).is_empty());
    assert!(meter.wait(100).is_empty(), "no closing flag");
    meter.assert_usable();
}

/// HDLC_FRAME_N2
#[test]
fn hdlc_frame_n2_a_frame_shorter_than_the_least_is_ignored() {
    let mut meter = Meter::new();
    // Too short for a control field, and for a second address.
    for body in ["a006 0321", "a005 03", "a004", "a003"] {
        assert!(meter.line(&raw(&unhex(body))).is_empty(), "{body}");
        assert!(meter.wait(100).is_empty());
    }
    assert_eq!(meter.station.line_counters().length_faults, 4);
    meter.assert_usable();
}

/// HDLC_FRAME_N3
#[test]
fn hdlc_frame_n3_another_format_type_is_ignored() {
    let mut meter = Meter::new();
    for format in (0..=0xF).filter(|format| *format != 0xA) {
        let body = [format << 4, 0x07, 0x03, 0x21, 0x93];
        assert!(meter.line(&raw(&body)).is_empty());
        assert!(meter.wait(100).is_empty());
    }
    meter.assert_usable();
}

/// HDLC_FRAME_N4
#[test]
fn hdlc_frame_n4_a_wrong_length_is_ignored() {
    let mut meter = Meter::new();
    for length in [0x05, 0x06, 0x08, 0x09, 0x20, 0xFF] {
        let body = [0xA0, length, 0x03, 0x21, 0x93];
        assert!(meter.line(&raw(&body)).is_empty());
        assert!(meter.wait(100).is_empty(), "length {length}");
    }
    meter.assert_usable();
}

/// HDLC_FRAME_N5
#[test]
fn hdlc_frame_n5_an_unknown_control_field_is_rejected_and_snrm_recovers() {
    for octet in 0..=u8::MAX {
        let control = Control::from_octet(octet);
        if !matches!(control, Control::Unknown(_)) {
            continue;
        }
        let mut meter = Meter::new();
        meter.connect();
        let server = Address::one(1).unwrap();
        let answer = meter.line(&frame(server, control, false, &[]));
        if control.poll() {
            let [answer] = answer.as_slice() else {
                panic!("{octet:02x}: {answer:?}")
            };
            let answer = Frame::from_octets(answer).unwrap();
            assert_eq!(answer.control, Control::FrameReject { poll: true });
            let reject = FrameReject::from_octets(answer.information).unwrap();
            assert_eq!(reject.control, octet);
            assert_eq!(reject.causes, FrameReject::UNKNOWN_CONTROL);
        } else {
            assert!(answer.is_empty(), "nobody asked");
        }
        // The same answer to whatever asks, and nothing is executed.
        assert_eq!(meter.send(information(0, 0), &message(REQUEST)), ["97"]);
        assert!(meter.executed.is_empty());
        meter.assert_usable();
    }
}

/// HDLC_FRAME_N7
#[test]
fn hdlc_frame_n7_a_wrong_hcs_discards() {
    let mut meter = Meter::new();
    meter.connect();
    let server = Address::one(1).unwrap();
    let good = frame(server, information(0, 0), false, &message(REQUEST));
    let mut bad = good.clone();
    bad[6] ^= 1;
    // The FCS is right: it is the HCS that is looked at.
    let end = bad.len() - 3;
    let fcs = Fcs::of(&bad[1..end]).to_le_bytes();
    bad[end..end + 2].copy_from_slice(&fcs);
    assert!(meter.line(&bad).is_empty());
    assert_eq!(meter.station.line_counters().hcs_faults, 1);
    assert_eq!(controls(&meter.line(&good)), ["30"]);
}

/// HDLC_FRAME_N8
#[test]
fn hdlc_frame_n8_a_wrong_fcs_discards() {
    let mut meter = Meter::new();
    meter.connect();
    let server = Address::one(1).unwrap();
    let good = frame(server, information(0, 0), false, &message(REQUEST));
    let mut bad = good.clone();
    let end = bad.len() - 3;
    bad[end] ^= 1;
    assert!(meter.line(&bad).is_empty());
    assert_eq!(meter.station.line_counters().fcs_faults, 1);
    assert!(meter.executed.is_empty());
    assert_eq!(controls(&meter.line(&good)), ["30"]);
}

/// HDLC_ADDRESS_P1
#[test]
fn hdlc_address_p1_each_declared_address_is_answered() {
    let servers = vec![
        Address::one(1).unwrap(),
        Address::two(1, 17).unwrap(),
        Address::four(1, 17).unwrap(),
    ];
    let mut meter = Meter::with(servers.clone(), Parameters::DEFAULT);
    for server in servers {
        let answer = meter.line(&frame(server, SNRM, false, &[]));
        let answer = Frame::from_octets(&answer[0]).unwrap();
        assert_eq!(
            answer.control,
            Control::UnnumberedAcknowledge { poll: true }
        );
        assert_eq!(answer.source, server, "in the width that was asked");
        assert_eq!(answer.destination, Address::PUBLIC_CLIENT);
    }
}

/// HDLC_ADDRESS_N1
#[test]
fn hdlc_address_n1_a_client_address_of_two_octets_is_not_answered() {
    let mut meter = Meter::new();
    for source in [Address::two(0, 16).unwrap(), Address::four(0, 16).unwrap()] {
        let question = Frame {
            destination: Address::one(1).unwrap(),
            source,
            segmented: false,
            control: SNRM,
            information: &[],
        };
        assert!(meter.line(&question.to_octets()).is_empty());
    }
    meter.assert_usable();
}

/// HDLC_ADDRESS_N4
#[test]
fn hdlc_address_n4_an_unknown_address_is_not_answered() {
    let own = Address::two(1, 17).unwrap();
    let mut meter = Meter::with(vec![own], Parameters::DEFAULT);
    for (upper, lower) in [(2, 17), (1, 18), (0, 17), (1, 0), (0x7E, 0x7E)] {
        let other = Address::two(upper, lower).unwrap();
        assert!(meter.line(&frame(other, SNRM, false, &[])).is_empty());
    }
    assert_eq!(controls(&meter.line(&frame(own, SNRM, false, &[]))), ["73"]);
}

/// HDLC_ADDRESS_N6
#[test]
fn hdlc_address_n6_an_address_of_another_width_is_not_answered() {
    let own = Address::four(1, 17).unwrap();
    let mut meter = Meter::with(vec![own], Parameters::DEFAULT);
    for other in [Address::one(1).unwrap(), Address::two(1, 17).unwrap()] {
        assert!(meter.line(&frame(other, SNRM, false, &[])).is_empty());
    }
    assert_eq!(controls(&meter.line(&frame(own, SNRM, false, &[]))), ["73"]);
}

/// HDLC_ADDRESS_N7
#[test]
fn hdlc_address_n7_an_address_of_three_or_five_octets_is_not_answered() {
    let mut meter = Meter::new();
    for body in ["a009 020003 21 93", "a00b 0200020003 21 93"] {
        assert!(meter.line(&raw(&unhex(body))).is_empty(), "{body}");
        assert!(meter.wait(100).is_empty());
    }
    assert_eq!(meter.station.line_counters().address_faults, 2);
    meter.assert_usable();
}

/// HDLC_NDM2NRM_P1
#[test]
fn hdlc_ndm2nrm_p1_information_lengths_are_negotiated_and_kept() {
    let own = Parameters {
        information_length_transmit: 300,
        information_length_receive: 500,
        ..Parameters::DEFAULT
    };
    let server = Address::one(1).unwrap();
    for (form, transmit, receive) in [
        (ParameterForm::Omitted, 128, 128),
        (ParameterForm::Narrow, 64, 40),
        (ParameterForm::Wide, 64, 40),
        (ParameterForm::Wide, 2_030, 2_030),
        (ParameterForm::Wide, 1, 1),
        (ParameterForm::Narrow, 128, 255),
    ] {
        let mut meter = Meter::with(vec![server], own);
        let mut proposal = Vec::new();
        Parameters {
            information_length_transmit: transmit,
            information_length_receive: receive,
            ..Parameters::DEFAULT
        }
        .encode_as(form, &mut proposal);
        let answer = meter.line(&frame(server, SNRM, false, &proposal));
        let answer = Frame::from_octets(&answer[0]).unwrap();
        let agreed = Parameters::from_octets(answer.information).unwrap();
        assert_eq!(agreed.information_length_transmit, receive.min(300));
        assert_eq!(agreed.information_length_receive, transmit.min(500));
        // An answer of several frames, each as long as was agreed.
        meter.answer = vec![0xC4; 1_000];
        let limit = usize::from(agreed.information_length_transmit);
        let mut got = Vec::new();
        let (mut sent, mut count) = (0, 0_u8);
        let request = message(REQUEST);
        let pieces: Vec<_> = request
            .chunks(usize::from(agreed.information_length_receive))
            .collect();
        let mut answers = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let more = index + 1 < pieces.len();
            answers = meter.line(&frame(server, information(sent, 0), more, piece));
            sent = (sent + 1) & 7;
        }
        loop {
            let [answer] = answers.as_slice() else {
                panic!("a window of one: {answers:?}")
            };
            let answer = Frame::from_octets(answer).unwrap();
            assert!(answer.information.len() <= limit);
            got.extend_from_slice(answer.information);
            if !answer.segmented {
                break;
            }
            count = (count + 1) & 7;
            answers = meter.line(&frame(server, ready(count), false, &[]));
        }
        assert_eq!(got[3..], meter.answer);
    }
}

/// HDLC_NDM2NRM_P2
#[test]
fn hdlc_ndm2nrm_p2_window_sizes_are_negotiated_and_kept() {
    let server = Address::one(1).unwrap();
    for (own, proposed, expected) in [(1, 7, 1), (7, 1, 1), (7, 7, 7), (5, 3, 3)] {
        let limits = Parameters {
            window_transmit: own,
            window_receive: own,
            ..Parameters::DEFAULT
        };
        let mut meter = Meter::with(vec![server], limits);
        meter.answer = vec![0xC4; 2_000];
        let proposal = Parameters {
            window_transmit: proposed,
            window_receive: proposed,
            ..Parameters::DEFAULT
        };
        let answer = meter.line(&frame(server, SNRM, false, &proposal.to_octets()));
        let answer = Frame::from_octets(&answer[0]).unwrap();
        let agreed = Parameters::from_octets(answer.information).unwrap();
        assert_eq!(agreed.window_transmit, expected);
        assert_eq!(agreed.window_receive, expected);
        let answers = meter.line(&frame(server, information(0, 0), false, &message(REQUEST)));
        assert_eq!(answers.len(), usize::from(expected));
        for (index, answer) in answers.iter().enumerate() {
            let control = Frame::from_octets(answer).unwrap().control;
            assert_eq!(control.poll(), index + 1 == answers.len());
        }
    }
    let mut meter = Meter::new();
    let answer = meter.line(&frame(server, SNRM, false, &[]));
    let answer = Frame::from_octets(&answer[0]).unwrap();
    assert_eq!(
        hex(answer.information),
        "818012050180060180070400000001080400000001",
        "the defaults, as every recorded server tells them"
    );
}

/// HDLC_INFO_P1
#[test]
fn hdlc_info_p1_segmentation_and_numbers_modulo_eight() {
    let server = Address::one(1).unwrap();
    let mut meter = Meter::new();
    meter.connect();
    let (mut send, mut receive) = (0, 0);
    for round in 0_u8..20 {
        let request = message(&[round; 30]);
        for (index, piece) in request.chunks(10).enumerate() {
            let more = index < 3;
            let octets = frame(server, information(send, receive), more, piece);
            let answers = controls(&meter.line(&octets));
            send = (send + 1) & 7;
            if more {
                let expected = Control::ReceiveReady {
                    receive: Sequence::new(send),
                    poll: true,
                };
                assert_eq!(answers, [format!("{:02x}", expected.octet())]);
            } else {
                let expected = information(receive, send).octet();
                assert_eq!(answers, [format!("{expected:02x}")]);
                receive = (receive + 1) & 7;
            }
        }
        assert_eq!(meter.executed.last().unwrap(), &[round; 30]);
    }
    assert_eq!(meter.executed.len(), 20);
}

/// HDLC_INFO_N1
#[test]
fn hdlc_info_n1_information_longer_than_agreed_is_rejected() {
    let mut meter = Meter::new();
    meter.connect();
    let long = message(&[0; 126]);
    assert_eq!(long.len(), 129);
    assert_eq!(meter.send(information(0, 0), &long), ["97"]);
    assert!(meter.executed.is_empty());
    meter.assert_usable();
    meter.connect();
    assert_eq!(meter.send(information(0, 0), &long[..128]), ["30"]);
}

/// HDLC_INFO_N2
#[test]
fn hdlc_info_n2_a_wrong_receive_number_is_ignored() {
    let mut meter = Meter::new();
    meter.connect();
    for receive in 1..8 {
        assert!(
            meter
                .send(information(0, receive), &message(REQUEST))
                .is_empty()
        );
        assert!(meter.send(ready(receive), &[]).is_empty());
    }
    assert!(meter.executed.is_empty());
    assert_eq!(meter.station.counters().acknowledgement_faults, 14);
    // The link goes on where it was, and SNRM begins it anew.
    assert_eq!(meter.send(information(0, 0), &message(REQUEST)), ["30"]);
    meter.assert_usable();
}

/// HDLC_INFO_N3
#[test]
fn hdlc_info_n3_a_wrong_send_number_is_not_executed() {
    let mut meter = Meter::new();
    meter.connect();
    for send in 1..8 {
        let answer = meter.send(information(send, 0), &message(REQUEST));
        assert_eq!(answer, ["11"], "RR with the number that is awaited");
    }
    assert!(meter.executed.is_empty());
    assert_eq!(meter.send(information(0, 0), &message(REQUEST)), ["30"]);
    // The same frame again: the same answer again, and nothing executed.
    assert_eq!(meter.send(information(0, 0), &message(REQUEST)), ["30"]);
    assert_eq!(meter.executed.len(), 1);
    assert_eq!(meter.send(information(1, 1), &message(REQUEST)), ["52"]);
    assert_eq!(meter.executed.len(), 2);
}

/// HDLC_NDMOP_N1
#[test]
fn hdlc_ndmop_n1_an_i_frame_without_a_link_gives_dm() {
    let mut meter = Meter::new();
    assert_eq!(meter.send(information(0, 0), &message(REQUEST)), ["1f"]);
    assert_eq!(meter.send(ready(0), &[]), ["1f"]);
    assert!(meter.executed.is_empty());
    meter.assert_usable();
}
