//! The states of both machines, by driving them: state and input to the next
//! state and what is put out. Evidence: the tables are snapshots, to be looked
//! at when they change.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dlms::client::{self, Associate, ClientState, Input, Repeat};
use dlms::security::Wrapping;
use dlms::server::{self, AssociationState};
use expect_test::expect_file;

use super::{Pair, SHORT, device, get, manager, strict_with};

const GET: [u8; 13] = [0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0];

/// A pair whose client and server are in the states that a name says.
fn in_state(name: &str) -> Pair {
    in_state_with(name, Repeat::Nothing)
}

fn in_state_with(name: &str, repeat: Repeat) -> Pair {
    let mut config = manager(Wrapping::Glo);
    config.repeat = repeat;
    config.repeats_max = 0;
    let mut pair = strict_with(config);
    match name {
        "Idle" => {}
        "Associating" | "AwaitingReply" => {
            let reply = name == "AwaitingReply";
            pair.tamper = Some(Box::new(move |by_client, octets| {
                if by_client && (!reply || octets[0] != 0x60) {
                    return Vec::new();
                }
                vec![(by_client, octets)]
            }));
            pair.input(Input::Associate(Associate {
                password: b"",
                entropy: b"0123456789abcdef",
                dedicated: None,
                counter: None,
            }));
            if reply {
                let (_, aarq) = pair.sent[0].clone();
                let answers = pair.attack(device::MANAGER, &aarq);
                pair.input(Input::Apdu(&answers[0]));
            }
        }
        "Open" => drop(pair.associate().unwrap()),
        "Requesting" => {
            pair.associate().unwrap();
            pair.client.handle(Input::Request(get(&[SHORT])), pair.now);
            outputs(&mut pair.client);
        }
        _ => {
            pair.associate().unwrap();
            pair.client.handle(Input::Release, pair.now);
            outputs(&mut pair.client);
        }
    }
    pair.tamper = None;
    pair
}

/// Takes what a client puts out, in short.
fn outputs(client: &mut client::Client) -> String {
    let mut said = Vec::new();
    loop {
        match client.poll() {
            client::Output::Transmit(octets) => said.push(format!("send {:02X}", octets[0])),
            client::Output::Reserve(plan) => {
                client.handle(Input::Reserved(plan), dlms::Instant::ORIGIN);
            }
            client::Output::Event(event) => {
                let shown = format!("{event:?}");
                let name = shown
                    .split(|it: char| !it.is_alphanumeric())
                    .next()
                    .unwrap()
                    .to_owned();
                said.push(name);
            }
            client::Output::Timeout(_) => break,
        }
    }
    if said.is_empty() {
        said.push("-".to_owned());
    }
    said.join(", ")
}

fn client_inputs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("associate", Vec::new()),
        ("request", Vec::new()),
        ("unconfirmed", Vec::new()),
        ("release", Vec::new()),
        ("cancel", Vec::new()),
        ("timeout", Vec::new()),
        ("link lost", Vec::new()),
        ("not reserved", Vec::new()),
        ("nothing", Vec::new()),
        ("AARE, malformed", vec![0x61, 0]),
        (
            "AARE, rejected",
            vec![
                0x61, 0x17, 0xA1, 0x09, 0x06, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x03, 0xA2,
                0x03, 0x02, 0x01, 0x01, 0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, 0x0D,
            ],
        ),
        ("RLRE", vec![0x63, 3, 0x80, 1, 0]),
        ("RLRE, malformed", vec![0x63, 9, 0x80]),
        ("exception", vec![0xD8, 1, 2]),
        (
            "exception, counter 0xFFFFFFFF",
            vec![0xD8, 1, 6, 255, 255, 255, 255],
        ),
        ("exception, malformed", vec![0xD8]),
        ("service error", vec![0x0E, 1, 0, 1]),
        ("response in clear", vec![0xC4, 1, 0xC1, 0, 0]),
        (
            "response, wrong tag",
            [&[0xCC, 22, 0x30, 0, 0, 9, 9][..], &[0x5A; 17]].concat(),
        ),
        ("notification in clear", vec![0x0F, 0, 0, 0, 1, 0, 0]),
        ("unknown APDU", vec![0x99, 1, 2]),
    ]
}

#[test]
fn the_table_of_the_client() {
    let states = [
        "Idle",
        "Associating",
        "AwaitingReply",
        "Open",
        "Requesting",
        "Releasing",
    ];
    let mut table = String::from("# state, input -> next state: what is put out\n");
    let mut edges = BTreeSet::new();
    for repeat in [Repeat::Nothing, Repeat::Everything] {
        writeln!(table, "\n## repeating {repeat:?}").unwrap();
        for name in states {
            for (input, octets) in client_inputs() {
                let mut pair = in_state_with(name, repeat);
                let before = pair.client.state();
                assert_eq!(format!("{before:?}"), name);
                let now = pair.now;
                match input {
                    "associate" => pair.client.handle(
                        Input::Associate(Associate {
                            password: b"",
                            entropy: b"0123456789abcdef",
                            dedicated: None,
                            counter: None,
                        }),
                        now,
                    ),
                    "request" => pair.client.handle(Input::Request(get(&[SHORT])), now),
                    "unconfirmed" => pair.client.handle(
                        Input::Unconfirmed(super::action(&[(super::ECHO, None)])),
                        now,
                    ),
                    "release" => pair.client.handle(Input::Release, now),
                    "cancel" => pair.client.handle(Input::Cancel, now),
                    "timeout" => pair
                        .client
                        .handle(Input::Timeout, now + dlms::Duration::from_secs(3_600)),
                    "link lost" => pair.client.handle(Input::LinkLost, now),
                    "not reserved" => pair.client.handle(Input::NotReserved, now),
                    _ => pair.client.handle(Input::Apdu(&octets), now),
                }
                let said = outputs(&mut pair.client);
                let after = pair.client.state();
                if (after, said.as_str()) != (before, "-") {
                    writeln!(table, "{name}, {input} -> {after:?}: {said}").unwrap();
                    edges.insert((before, after, input));
                }
            }
        }
    }
    // The good way, which needs a server.
    for (before, after, input) in [
        (ClientState::Associating, ClientState::AwaitingReply, "AARE"),
        (ClientState::AwaitingReply, ClientState::Open, "pass 4"),
        (ClientState::Requesting, ClientState::Open, "last response"),
    ] {
        edges.insert((before, after, input));
    }
    table.push_str("\n## as a graph\ndigraph client {\n");
    for (before, after, input) in edges {
        writeln!(table, "  {before:?} -> {after:?} [label=\"{input}\"]").unwrap();
    }
    table.push_str("}\n");
    expect_file!["../../snapshots/client.txt"].assert_eq(&table);
}

#[test]
fn the_table_of_the_server() {
    let mut table =
        String::from("# state, input -> next state: what is put out, what is noticed\n");
    let mut edges = BTreeSet::new();
    for name in ["Idle", "AwaitingReply", "Open"] {
        let before = match name {
            "Idle" => AssociationState::Idle,
            "AwaitingReply" => AssociationState::AwaitingReply,
            _ => AssociationState::Open,
        };
        for input in [
            "AARQ",
            "AARQ, repeated",
            "AARQ, malformed",
            "AARQ, another context",
            "AARQ, replayed",
            "pass 3",
            "pass 3, wrong",
            "request",
            "request, repeated",
            "request in clear",
            "request, wrong tag",
            "request on the broadcast address",
            "RLRQ",
            "RLRQ, ciphered and wrong",
            "RLRQ, malformed",
            "unknown APDU",
            "nothing",
            "notify",
            "silence",
            "link lost",
        ] {
            let mut pair = in_state(name);
            assert_eq!(pair.server.state(device::MANAGER), before, "{name}");
            let Some(octets) = server_input(&mut pair, input, before) else {
                continue;
            };
            pair.device.notices.clear();
            let now = pair.now;
            let (server, device) = (&mut pair.server, &mut pair.device);
            match input {
                "silence" => server.handle(
                    server::Input::Timeout,
                    now + dlms::Duration::from_secs(3_600),
                    device,
                ),
                "link lost" => server.handle(server::Input::LinkLost, now, device),
                "notify" => server.handle(
                    server::Input::Notify {
                        client: device::MANAGER,
                        apdu: &[0x0F, 0, 0, 0, 1, 0, 0],
                    },
                    now,
                    device,
                ),
                _ => server.handle(
                    server::Input::Apdu {
                        client: device::MANAGER,
                        broadcast: input == "request on the broadcast address",
                        octets: &octets,
                    },
                    now,
                    device,
                ),
            }
            let mut said = Vec::new();
            while let server::Output::Transmit { octets, .. } = pair.server.poll() {
                let what = match octets[0] {
                    0x61 if super::is_rejection(&octets) => "AARE, rejected".to_owned(),
                    0x61 => "AARE".to_owned(),
                    tag => format!("send {tag:02X}"),
                };
                said.push(what);
            }
            said.extend(pair.device.notices.iter().map(|it| format!("{it:?}")));
            let after = pair.server.state(device::MANAGER);
            let said = if said.is_empty() {
                "-".to_owned()
            } else {
                said.join(", ")
            };
            writeln!(table, "{name}, {input} -> {after:?}: {said}").unwrap();
            if after != before {
                edges.insert((before, after, input));
            }
        }
    }
    table.push_str("\n# as a graph\ndigraph server {\n");
    for (before, after, input) in edges {
        writeln!(table, "  {before:?} -> {after:?} [label=\"{input}\"]").unwrap();
    }
    table.push_str("}\n");
    expect_file!["../../snapshots/server.txt"].assert_eq(&table);
}

/// Makes the octets of an input; none where the state cannot have it.
fn server_input(pair: &mut Pair, input: &str, state: AssociationState) -> Option<Vec<u8>> {
    use dlms::security::{Envelope, FreshCounter, Protection};
    let seal = |plain: &[u8]| {
        let mut out = Vec::new();
        device::ring()
            .protect(
                Envelope::new(Wrapping::Glo, Protection::AuthenticatedEncrypted),
                &device::CLIENT_TITLE,
                FreshCounter::dangerous_assume_fresh(1_000),
                plain,
                &mut out,
            )
            .unwrap();
        out
    };
    let of_client = |pair: &Pair, tag: u8| {
        pair.sent
            .iter()
            .find(|(by_client, it)| *by_client && it[0] == tag)
            .map(|(_, it)| it.clone())
    };
    Some(match input {
        "AARQ" => {
            // A new one of the same client.
            let mut other = Pair::new(
                manager(Wrapping::Glo),
                device::MANAGER,
                crate::pair::Faults::default(),
            );
            // Its counters are above those that the device has seen.
            let mut aarq = None;
            for _ in 0..20 {
                other.input(Input::Associate(Associate {
                    password: b"",
                    entropy: b"fedcba9876543210",
                    dedicated: None,
                    counter: None,
                }));
                aarq = other.sent.last().map(|(_, it)| it.clone());
                other.client.handle(Input::LinkLost, other.now);
                while !matches!(other.client.poll(), client::Output::Timeout(_)) {}
            }
            aarq?
        }
        "AARQ, repeated" => {
            if state == AssociationState::Idle {
                return None;
            }
            of_client(pair, 0x60)?
        }
        "AARQ, replayed" => {
            let aarq = of_client(pair, 0x60)?;
            if state == AssociationState::AwaitingReply {
                return None;
            }
            if state == AssociationState::Open {
                pair.request(get(&[SHORT])).unwrap();
            }
            aarq
        }
        "AARQ, malformed" => vec![0x60, 2, 0xA7, 0],
        "AARQ, another context" => {
            let mut other = Pair::new(
                crate::pair::config(device::PUBLIC, Protection::None, Wrapping::Glo),
                device::PUBLIC,
                crate::pair::Faults::default(),
            );
            other.associate().unwrap();
            other.sent[0].1.clone()
        }
        "pass 3" => {
            if state != AssociationState::AwaitingReply {
                return None;
            }
            of_client(pair, 0xCB)?
        }
        "pass 3, wrong" => {
            let mut plain = vec![0xC3, 1, 0xC1, 0, 15, 0, 0, 40, 0, 0, 255, 1, 1, 9, 17, 0x10];
            plain.extend_from_slice(&[0, 0, 0, 99]);
            plain.extend_from_slice(&[0x5A; 12]);
            seal(&plain)
        }
        "request" | "request on the broadcast address" => seal(&GET),
        "request, repeated" => {
            if state != AssociationState::Open {
                return None;
            }
            pair.request(get(&[SHORT])).unwrap();
            pair.sent
                .iter()
                .rfind(|(by_client, _)| *by_client)
                .map(|(_, it)| it.clone())?
        }
        "request in clear" => GET.to_vec(),
        "request, wrong tag" => {
            let mut sealed = seal(&GET);
            *sealed.last_mut().unwrap() ^= 1;
            sealed
        }
        "RLRQ" => vec![0x62, 3, 0x80, 1, 0],
        "RLRQ, ciphered and wrong" => [
            &[
                0x62, 0x27, 0x80, 1, 0, 0xBE, 0x22, 0x04, 0x20, 0x21, 0x1E, 0x30, 0, 0, 9, 9,
            ][..],
            &[0x5A; 25],
        ]
        .concat(),
        "RLRQ, malformed" => vec![0x62, 9, 0x80],
        "unknown APDU" => vec![0x99, 1, 2],
        _ => Vec::new(),
    })
}
