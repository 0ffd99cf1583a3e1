//! A recorded session between two strangers, frame by frame: our primary in
//! place of its client, our secondary in place of its server. Evidence:
//! third-party octets (a capture).

use dlms::Instant;
use dlms::codec::Wire;
use dlms::hdlc::{
    Address, Control, Event, Frame, LinkCounters, Output, ParameterForm, Parameters, Primary,
    Secondary, primary, secondary,
};

use crate::captures::{capture, hex, unhex};

/// Frames of the session with who sent each.
fn session() -> Option<Vec<(bool, Vec<u8>)>> {
    let vector = capture("session-hdlc-original-data")?;
    let messages = vector["expect"]["messages"].as_array().unwrap();
    Some(
        messages
            .iter()
            .map(|message| {
                let octets = unhex(message["hex"].as_str().unwrap());
                (message["dir"] == "C", octets)
            })
            .collect(),
    )
}

/// The messages of one side, without their LLC headers.
fn messages(session: &[(bool, Vec<u8>)], client: bool) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut assembly = Vec::new();
    for (_, octets) in session.iter().filter(|(sender, _)| *sender == client) {
        let frame = Frame::from_octets(octets).unwrap();
        if let Control::Information { .. } = frame.control {
            assembly.extend_from_slice(frame.information);
            if !frame.segmented {
                messages.push(assembly.split_off(3));
                assembly.clear();
            }
        }
    }
    messages
}

#[test]
fn our_client_sends_what_the_recorded_client_sent() {
    let Some(session) = session() else { return };
    let mut config = primary::Config::new(Address::one(1).unwrap());
    config.parameter_form = ParameterForm::Omitted;
    let mut primary = Primary::new(config);
    let now = Instant::ORIGIN;
    primary.handle(primary::Input::Connect, now).unwrap();
    let mut requests = messages(&session, true).into_iter();
    let mut received = Vec::new();
    for (index, (client, octets)) in session.iter().enumerate() {
        if !client {
            primary.handle(primary::Input::Octets(octets), now).unwrap();
            continue;
        }
        let mut sent = Vec::new();
        loop {
            match primary.poll() {
                Output::Transmit(octets) => sent.push(hex(&octets)),
                Output::Event(Event::Connected { parameters }) => {
                    assert_eq!(parameters, Parameters::DEFAULT);
                }
                Output::Event(Event::Message(message)) => received.push(message),
                Output::Event(event) => panic!("{event:?}"),
                Output::Timeout(_) if sent.is_empty() => {
                    let request = requests.next().unwrap();
                    primary
                        .handle(primary::Input::Message(&request), now)
                        .unwrap();
                }
                Output::Timeout(_) => break,
            }
        }
        assert_eq!(sent, [hex(octets)], "frame {index}");
    }
    let expected = messages(&session, false);
    assert!(!received.is_empty());
    assert_eq!(received, expected[..received.len()]);
    // The recorded server counts the client's RR in its N(R), which only I
    // frames move; nothing else is wrong.
    let counters = primary.counters();
    assert!(counters.acknowledgement_faults > 0);
    assert_eq!(
        *counters,
        LinkCounters {
            acknowledgement_faults: counters.acknowledgement_faults,
            ..LinkCounters::default()
        }
    );
}

#[test]
fn our_server_sends_what_the_recorded_server_sent() {
    let Some(session) = session() else { return };
    let mut config = secondary::Config::new(Address::one(1).unwrap(), Address::PUBLIC_CLIENT);
    let mut announcing = Secondary::new(config.clone());
    // The recorded server counts the whole frame where it says information:
    // it agrees to 128 octets and sends 117.
    config.parameters.information_length_transmit = 117;
    let mut secondary = Secondary::new(config);
    let now = Instant::ORIGIN;
    let mut answers = messages(&session, false).into_iter();
    let mut received = Vec::new();
    let mut exact = 0;
    let mut exchanges = session.chunks(2);
    let opening = exchanges.next().unwrap();
    announcing
        .handle(secondary::Input::Octets(&opening[0].1), now)
        .unwrap();
    assert_eq!(announcing.poll(), Output::Transmit(opening[1].1.clone()));
    secondary
        .handle(secondary::Input::Octets(&opening[0].1), now)
        .unwrap();
    while !matches!(secondary.poll(), Output::Timeout(_)) {}
    for exchange in exchanges {
        let [(true, question), (false, answer)] = exchange else {
            panic!("{exchange:?}");
        };
        secondary
            .handle(secondary::Input::Octets(question), now)
            .unwrap();
        let mut sent = Vec::new();
        loop {
            match secondary.poll() {
                Output::Transmit(octets) => sent.push(octets),
                Output::Event(Event::Message(message)) => {
                    received.push(message);
                    let answer = answers.next();
                    // The recording ends within the last answer.
                    let rest = vec![0; 2_000];
                    secondary
                        .handle(
                            secondary::Input::Message(answer.as_ref().unwrap_or(&rest)),
                            now,
                        )
                        .unwrap();
                }
                Output::Event(event) => panic!("{event:?}"),
                Output::Timeout(_) => break,
            }
        }
        if received.len() <= messages(&session, false).len() {
            assert_eq!(sent.len(), 1);
            assert_eq!(numbered(&sent[0]), numbered(answer));
            exact += u32::from(sent[0] == *answer);
        }
    }
    assert_eq!(received, messages(&session, true));
    assert!(exact > 3, "{exact} frames are equal to the octet");
}

/// A frame without its N(R), which the recorded server counts wrongly, and
/// without the check sequences over it.
fn numbered(octets: &[u8]) -> (Address, Address, bool, Control, Vec<u8>) {
    let frame = Frame::from_octets(octets).unwrap();
    let control = Control::from_octet(frame.control.octet() & 0x1F);
    (
        frame.destination,
        frame.source,
        frame.segmented,
        control,
        frame.information.to_vec(),
    )
}
