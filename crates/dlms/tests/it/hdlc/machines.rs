//! The two machines by themselves. Evidence: only self-agreement, with the
//! tables of states to be read by people.

use dlms::codec::Wire;
use dlms::hdlc::primary::{self, Primary};
use dlms::hdlc::secondary::{self, Secondary};
use dlms::hdlc::station::{self, Link, Station, StationOutput};
use dlms::hdlc::{
    Address, Control, DisconnectReason, Error, Event, Frame, FrameReject, Listener, Output,
    ParameterForm, Parameters, Sequence,
};
use dlms::{Duration, Instant};
use expect_test::expect_file;

use crate::captures::{capture, hex, octets, unhex};

fn server() -> Address {
    Address::one(1).unwrap()
}

pub(super) fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// Takes all outputs: frames, events, the deadline.
pub(super) fn drain(
    mut poll: impl FnMut() -> Output,
) -> (Vec<Vec<u8>>, Vec<Event>, Option<Instant>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    loop {
        match poll() {
            Output::Transmit(octets) => frames.push(octets),
            Output::Event(event) => events.push(event),
            Output::Timeout(deadline) => return (frames, events, deadline),
        }
    }
}

fn from_server(control: Control, segmented: bool, information: &[u8]) -> Vec<u8> {
    Frame {
        destination: Address::PUBLIC_CLIENT,
        source: server(),
        segmented,
        control,
        information,
    }
    .to_octets()
}

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

/// A primary whose server agrees to everything.
fn connected(config: primary::Config) -> Primary {
    let mut parameters = Vec::new();
    Parameters {
        information_length_transmit: 2_030,
        information_length_receive: 2_030,
        window_transmit: 7,
        window_receive: 7,
    }
    .encode_as(ParameterForm::Wide, &mut parameters);
    let mut primary = Primary::new(config);
    primary.handle(primary::Input::Connect, at(0)).unwrap();
    drain(|| primary.poll());
    let answer = from_server(
        Control::UnnumberedAcknowledge { poll: true },
        false,
        &parameters,
    );
    primary
        .handle(primary::Input::Octets(&answer), at(0))
        .unwrap();
    let (_, events, _) = drain(|| primary.poll());
    assert!(matches!(*events, [Event::Connected { .. }]));
    primary
}

fn receive(primary: &mut Primary, octets: &[u8], millis: u64) -> (Vec<String>, Vec<Event>) {
    primary
        .handle(primary::Input::Octets(octets), at(millis))
        .unwrap();
    let (frames, events, _) = drain(|| primary.poll());
    (frames.iter().map(|frame| control(frame)).collect(), events)
}

/// The control field of a frame, for people.
pub(super) fn control(octets: &[u8]) -> String {
    format!(
        "{:02x}",
        Frame::from_octets(octets).unwrap().control.octet()
    )
}

#[test]
fn tables_of_states() {
    expect_file!["../../snapshots/hdlc-primary.txt"].assert_eq(&primary::table());
    expect_file!["../../snapshots/hdlc-primary.dot"].assert_eq(&primary::dot());
    expect_file!["../../snapshots/hdlc-secondary.txt"].assert_eq(&secondary::table());
    expect_file!["../../snapshots/hdlc-secondary.dot"].assert_eq(&secondary::dot());
}

#[test]
fn a_message_without_a_link_is_refused_clearly() {
    let mut primary = Primary::new(primary::Config::new(server()));
    let error = primary
        .handle(primary::Input::Message(&[1]), at(0))
        .unwrap_err();
    assert_eq!(error, Error::NotConnected);
    assert_eq!(
        error.to_string(),
        "the HDLC link is not open: connect and wait for the answer first"
    );
    let mut secondary = Secondary::new(secondary::Config::new(server(), Address::PUBLIC_CLIENT));
    assert_eq!(
        secondary.handle(secondary::Input::Message(&[1]), at(0)),
        Err(Error::NotConnected)
    );
    primary.handle(primary::Input::Connect, at(0)).unwrap();
    assert_eq!(
        primary.handle(primary::Input::Connect, at(0)),
        Err(Error::AlreadyConnected)
    );
}

#[test]
fn what_waits_is_bounded() {
    let mut primary = connected(primary::Config::new(server()));
    let long = vec![0; 0x1_0001];
    assert_eq!(
        primary.handle(primary::Input::Message(&long), at(0)),
        Err(Error::MessageTooLong {
            length: 0x1_0001,
            limit: 0x1_0000
        })
    );
    for _ in 0..8 {
        primary
            .handle(primary::Input::Message(&[0; 9]), at(0))
            .unwrap();
    }
    assert_eq!(
        primary.handle(primary::Input::Message(&[0; 9]), at(0)),
        Err(Error::QueueFull { limit: 8 })
    );
}

#[test]
fn silence_ends_a_link_after_the_retries() {
    let mut primary = Primary::new(primary::Config::new(server()));
    primary.handle(primary::Input::Connect, at(0)).unwrap();
    let mut sent = Vec::new();
    loop {
        let (frames, events, deadline) = drain(|| primary.poll());
        sent.extend(frames.iter().map(|frame| control(frame)));
        let Some(deadline) = deadline else {
            let reason = DisconnectReason::NoAnswer;
            assert_eq!(events, [Event::Disconnected { reason }]);
            break;
        };
        primary.handle(primary::Input::Timeout, deadline).unwrap();
    }
    assert_eq!(sent, ["93"; 4]);
}

#[test]
fn a_lost_frame_of_a_window_is_sent_again_from_there() {
    let mut config = primary::Config::new(server());
    config.parameters.information_length_transmit = 10;
    config.parameters.window_transmit = 4;
    let mut primary = connected(config);
    primary
        .handle(primary::Input::Message(&[7; 47]), at(0))
        .unwrap();
    let (frames, _, _) = drain(|| primary.poll());
    let sent: Vec<_> = frames.iter().map(|frame| control(frame)).collect();
    assert_eq!(sent, ["00", "02", "04", "16"], "a window, the last asks");
    // The third did not arrive: N(R) is 2.
    let (sent, _) = receive(&mut primary, &from_server(ready(2), false, &[]), 1);
    assert_eq!(sent, ["04", "06", "18"]);
    let (sent, _) = receive(&mut primary, &from_server(ready(5), false, &[]), 2);
    assert!(sent.is_empty(), "{sent:?}");
    assert_eq!(primary.counters().retransmissions, 2);
}

#[test]
fn a_busy_server_is_asked_until_it_is_ready() {
    let mut primary = connected(primary::Config::new(server()));
    let busy = Control::ReceiveNotReady {
        receive: Sequence::new(0),
        poll: true,
    };
    primary
        .handle(primary::Input::Message(&[7]), at(0))
        .unwrap();
    drain(|| primary.poll());
    let (sent, _) = receive(&mut primary, &from_server(busy, false, &[]), 1);
    assert!(sent.is_empty(), "no I frame to one that is busy: {sent:?}");
    primary.handle(primary::Input::Timeout, at(201)).unwrap();
    let (frames, _, _) = drain(|| primary.poll());
    assert_eq!(control(&frames[0]), "11", "RR asks");
    let (sent, _) = receive(&mut primary, &from_server(ready(0), false, &[]), 202);
    assert_eq!(sent, ["10"], "the frame goes again");
    let reply = from_server(information(0, 1), false, &[0xE6, 0xE7, 0, 9]);
    let (_, events) = receive(&mut primary, &reply, 203);
    assert_eq!(events, [Event::Message(vec![9])]);
}

#[test]
fn a_busy_client_says_so_and_loses_nothing() {
    let mut primary = connected(primary::Config::new(server()));
    primary
        .handle(primary::Input::Message(&[7]), at(0))
        .unwrap();
    drain(|| primary.poll());
    primary.handle(primary::Input::Busy(true), at(0)).unwrap();
    let reply = from_server(information(0, 1), false, &[0xE6, 0xE7, 0, 9]);
    let (sent, events) = receive(&mut primary, &reply, 1);
    assert!(sent.is_empty() && events.is_empty());
    primary.handle(primary::Input::Timeout, at(1_000)).unwrap();
    let (frames, _, _) = drain(|| primary.poll());
    assert_eq!(control(&frames[0]), "15", "RNR");
    primary
        .handle(primary::Input::Busy(false), at(1_001))
        .unwrap();
    let (sent, _) = receive(&mut primary, &from_server(ready(1), false, &[]), 1_002);
    assert_eq!(sent, ["11"], "RR asks for what was dropped");
    let (_, events) = receive(&mut primary, &reply, 1_003);
    assert_eq!(events, [Event::Message(vec![9])]);
}

#[test]
fn a_server_whose_numbers_stand_still_can_be_read() {
    // jDLMS 1.8.0 as a server: control 10, 12, 14 where 30, 52, 74 are due.
    let mut config = primary::Config::new(server());
    config.quirks.reply_acknowledges = true;
    let mut primary = connected(config.clone());
    for count in 0..20 {
        primary
            .handle(primary::Input::Message(&[count]), at(0))
            .unwrap();
        let (frames, _, _) = drain(|| primary.poll());
        assert_eq!(frames.len(), 1);
        let reply = from_server(information(count, 0), false, &[0xE6, 0xE7, 0, count]);
        let (sent, events) = receive(&mut primary, &reply, 1);
        assert!(sent.is_empty(), "{sent:?}");
        assert_eq!(events, [Event::Message(vec![count])]);
    }
    // Without the quirk the link is given up, and does not go round for ever.
    config.quirks.reply_acknowledges = false;
    let mut primary = connected(config);
    primary
        .handle(primary::Input::Message(&[0]), at(0))
        .unwrap();
    let mut rounds = 0;
    loop {
        let (_, events, deadline) = drain(|| primary.poll());
        if let Some(Event::Disconnected { reason }) = events.last() {
            assert_eq!(*reason, DisconnectReason::NoAnswer);
            break;
        }
        rounds += 1;
        assert!(rounds < 50);
        let reply = from_server(information(0, 0), false, &[0xE6, 0xE7, 0, 0]);
        let now = deadline.unwrap();
        primary.handle(primary::Input::Timeout, now).unwrap();
        primary.handle(primary::Input::Octets(&reply), now).unwrap();
    }
}

#[test]
fn frames_out_of_turn_are_counted_and_change_nothing() {
    let mut primary = connected(primary::Config::new(server()));
    primary
        .handle(primary::Input::Message(&[1]), at(0))
        .unwrap();
    drain(|| primary.poll());
    // An N(R) of what was never sent, an I frame from the future, a UA, a
    // SNRM, a frame of another station.
    let stranger = Frame {
        source: Address::one(5).unwrap(),
        ..Frame::from_octets(&from_server(ready(1), false, &[])).unwrap()
    }
    .to_octets();
    for octets in [
        from_server(ready(5), false, &[]),
        from_server(
            Control::Information {
                send: Sequence::new(3),
                receive: Sequence::new(0),
                poll: false,
            },
            false,
            &[1],
        ),
        from_server(Control::UnnumberedAcknowledge { poll: true }, false, &[]),
        from_server(Control::SetNormalResponseMode { poll: true }, false, &[]),
        stranger,
    ] {
        let (sent, events) = receive(&mut primary, &octets, 1);
        assert!(sent.is_empty() && events.is_empty(), "{}", hex(&octets));
    }
    let counters = primary.counters();
    assert_eq!(counters.acknowledgement_faults, 1);
    assert_eq!(counters.out_of_sequence, 1);
    assert_eq!(counters.stray_frames, 3);
    assert_eq!(counters.foreign_frames, 1);
    let reply = from_server(information(0, 1), false, &[0xE6, 0xE7, 0, 9]);
    let (_, events) = receive(&mut primary, &reply, 2);
    assert_eq!(events, [Event::Message(vec![9])]);
}

#[test]
fn dm_and_frmr_end_a_link_with_a_reason() {
    let reject = FrameReject {
        control: 0x10,
        send: Sequence::new(0),
        receive: Sequence::new(0),
        response: false,
        causes: FrameReject::INFORMATION_TOO_LONG,
    };
    for (octets, reason) in [
        (
            from_server(Control::DisconnectedMode { poll: true }, false, &[]),
            DisconnectReason::Peer,
        ),
        (
            from_server(
                Control::FrameReject { poll: true },
                false,
                &reject.to_octets(),
            ),
            DisconnectReason::FrameRejected(Some(reject)),
        ),
    ] {
        let mut primary = connected(primary::Config::new(server()));
        let (_, events) = receive(&mut primary, &octets, 1);
        assert_eq!(events, [Event::Disconnected { reason }]);
        assert_eq!(primary.state(), primary::StateKind::Disconnected);
        assert_eq!(drain(|| primary.poll()).2, None, "no timer is left");
    }
}

#[test]
fn an_endless_answer_is_cut_off() {
    let mut config = primary::Config::new(server());
    config.message_length_max = 1_000;
    let mut primary = connected(config);
    primary
        .handle(primary::Input::Message(&[1]), at(0))
        .unwrap();
    drain(|| primary.poll());
    for send in 0_u8..12 {
        let piece = from_server(information(send, 1), true, &[0; 100]);
        let (sent, _) = receive(&mut primary, &piece, 1);
        if sent == ["53"] {
            assert_eq!(send, 10, "the eleventh piece is one too many");
            let done = from_server(Control::UnnumberedAcknowledge { poll: true }, false, &[]);
            let (_, events) = receive(&mut primary, &done, 2);
            let reason = DisconnectReason::MessageTooLong;
            assert_eq!(events, [Event::Disconnected { reason }]);
            return;
        }
    }
    panic!("never cut off");
}

#[test]
fn segmented_pushes_are_put_together_with_and_without_a_link() {
    let push = |segmented, information: &[u8]| {
        from_server(
            Control::UnnumberedInformation { poll: true },
            segmented,
            information,
        )
    };
    let mut stream = push(true, &[0xE6, 0xE7, 0, 1, 2]);
    stream.extend(push(true, &[3, 4]));
    stream.extend(push(false, &[5]));
    let expected = Event::UnnumberedInformation {
        broadcast: false,
        octets: vec![1, 2, 3, 4, 5],
    };
    let mut primary = Primary::new(primary::Config::new(server()));
    let (_, events) = receive(&mut primary, &stream, 0);
    assert_eq!(events, core::slice::from_ref(&expected));
    let mut primary = connected(primary::Config::new(server()));
    let (_, events) = receive(&mut primary, &stream, 0);
    assert_eq!(events, [expected]);
}

#[test]
fn captured_pushes_are_heard() {
    for (name, count) in [
        ("real-hdlc-norway-han-1phase", 1),
        ("real-hdlc-kaifa-ma304h3e", 1),
        ("real-hdlc-lgz-e450-2", 3),
    ] {
        let Some(octets) = octets(name) else { continue };
        let vector = capture(name).unwrap();
        let mut listener = Listener::new(4_096, Duration::from_millis(100));
        for (index, piece) in octets.chunks(7).enumerate() {
            listener.handle(piece, at(index as u64));
        }
        let messages: Vec<_> = core::iter::from_fn(|| listener.poll()).collect();
        assert_eq!(messages.len(), count, "{name}");
        if count == 1 {
            assert_eq!(hex(&messages[0].octets), vector["expect"]["apdu"]);
        }
        for (message, frame) in messages
            .iter()
            .zip(vector["expect"]["hdlc_frames"].as_array().unwrap())
        {
            assert_eq!(frame["dst"][0], message.destination.upper());
            assert_eq!(frame["src"][0], message.source.upper());
        }
        if count == 3 {
            let kinds: Vec<u8> = messages.iter().map(|message| message.octets[0]).collect();
            assert_eq!(kinds, [0xE0; 3], "blocks of a general block transfer");
        }
    }
}

fn to_server(server: Address, control: Control, segmented: bool, information: &[u8]) -> Vec<u8> {
    Frame {
        destination: server,
        source: Address::PUBLIC_CLIENT,
        segmented,
        control,
        information,
    }
    .to_octets()
}

#[test]
fn a_station_answers_for_each_of_its_devices_and_clients() {
    let first = Address::two(1, 17).unwrap();
    let second = Address::two(2, 17).unwrap();
    let mut config = station::Config::new(vec![first, second]);
    config.links_max = 2;
    let mut station = Station::new(config);
    let mut send = |octets: &[u8]| {
        station
            .handle(station::Input::Octets(octets), at(0))
            .unwrap();
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        loop {
            match station.poll() {
                StationOutput::Transmit(octets) => frames.push(octets),
                StationOutput::Event { link, event } => events.push((link, event)),
                StationOutput::Timeout(_) => break,
            }
        }
        (frames, events, station.links())
    };
    let snrm = Control::SetNormalResponseMode { poll: true };
    for (index, server) in [first, second].into_iter().enumerate() {
        let (frames, events, links) = send(&to_server(server, snrm, false, &[]));
        assert_eq!(control(&frames[0]), "73");
        assert_eq!(events[0].0.server, server);
        assert_eq!(links, index + 1);
    }
    // A third client: there is no room.
    let third = Frame {
        destination: first,
        source: Address::CLIENT_MANAGEMENT,
        segmented: false,
        control: snrm,
        information: &[],
    };
    let (frames, events, links) = send(&third.to_octets());
    assert_eq!(control(&frames[0]), "1f");
    assert!(events.is_empty());
    assert_eq!(links, 2);
    // To all stations, in two segments: each device hears it, none answers.
    let all = Address::two(0x7F, 0x7F).unwrap();
    let push = Control::UnnumberedInformation { poll: true };
    let (frames, events, _) = send(&to_server(all, push, true, &[0xE6, 0xE6, 0, 1]));
    assert!(frames.is_empty() && events.is_empty());
    let (frames, events, _) = send(&to_server(all, push, false, &[2]));
    assert!(frames.is_empty());
    let heard: Vec<_> = events.iter().map(|(link, _)| link.server).collect();
    assert_eq!(heard, [first, second]);
    assert!(events.iter().all(|(_, event)| *event
        == Event::UnnumberedInformation {
            broadcast: true,
            octets: vec![1, 2]
        }));
    // A disconnected device hears segments too.
    let disc = Control::Disconnect { poll: true };
    let (frames, _, links) = send(&to_server(first, disc, false, &[]));
    assert_eq!((control(&frames[0]).as_str(), links), ("73", 1));
    send(&to_server(first, push, true, &[1]));
    let (_, events, links) = send(&to_server(first, push, false, &[2]));
    assert_eq!(events.len(), 1);
    assert_eq!(links, 1);
    // What a device has to say goes out on its own link.
    let link = Link {
        server: second,
        client: Address::PUBLIC_CLIENT,
    };
    let input = secondary::Input::Message(&[9]);
    station
        .handle(station::Input::Link { link, input }, at(0))
        .unwrap();
    let link = Link {
        server: first,
        ..link
    };
    assert_eq!(
        station.handle(station::Input::Link { link, input }, at(0)),
        Err(Error::NotConnected)
    );
}

#[test]
fn mutated_frames_never_panic_either_machine() {
    use crate::captures::Random;
    let template = unhex("7ea0190321326fd8e6e600c001c1000f0000280000ff020091537e");
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut primary = connected(primary::Config::new(server()));
        let mut secondary =
            Secondary::new(secondary::Config::new(server(), Address::PUBLIC_CLIENT));
        let mut now = 0;
        for _ in 0..12 {
            now += random.below(4_000) as u64;
            let length = random.below(40);
            let octets = random.octets(length);
            // A right frame around whatever it says: check sequences hide
            // the machines from noise.
            let control = Control::from_octet(random.next().to_be_bytes()[0]);
            let segmented = random.chance(300);
            let frame = to_server(server(), control, segmented, &octets);
            secondary
                .handle(secondary::Input::Octets(&frame), at(now))
                .unwrap();
            let frame = from_server(control, segmented, &octets);
            primary
                .handle(primary::Input::Octets(&frame), at(now))
                .unwrap();
            let mut noise = template.clone();
            let place = random.below(noise.len());
            noise[place] ^= 1 << random.below(8);
            secondary
                .handle(secondary::Input::Octets(&noise), at(now))
                .unwrap();
            primary
                .handle(primary::Input::Octets(&noise), at(now))
                .unwrap();
            // Refusals are the only answers that these may give.
            let refused = [
                primary.handle(primary::Input::Message(&octets), at(now)),
                secondary.handle(secondary::Input::Message(&octets), at(now)),
                primary.handle(primary::Input::Timeout, at(now)),
                secondary.handle(secondary::Input::Timeout, at(now)),
            ];
            assert!(refused[2].is_ok() && refused[3].is_ok());
            let (frames, _, _) = drain(|| primary.poll());
            assert!(frames.len() <= 40, "seed {seed}");
            let (frames, _, _) = drain(|| secondary.poll());
            assert!(frames.len() <= 40, "seed {seed}");
        }
    }
}
