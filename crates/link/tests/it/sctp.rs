//! Links over SCTP: whole sessions, classes, paths that are cut, TLS.
//!
//! Evidence: self-agreement on real sockets, in network namespaces where two
//! paths are needed. That SCTP's packets mean the same to others is proved in
//! `crates/sctp` and `interop/sctp`; TLS is rustls.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use link::{
    Association, Client, ClientError, Endpoint, Limits, LinkError, MESSAGE_LEN_MAX, PPID_DLMS,
    PPID_XML, SctpAssociation, SctpDialer, SctpEvent, SctpSocket,
};
use model::MessageClass;
use tokio::net::UdpSocket;

use crate::associations::{PATIENCE, clock, pair, patiently, protected};
use crate::device::{NAME, name};
use crate::namespaces::TwoPaths;
use crate::papers::Papers;
use crate::transports::{LIMIT, check, listen, surroundings};

#[tokio::test]
async fn sctp_carries_whole_sessions() {
    for endpoint in [
        "sctp://127.0.0.1?udp=0",
        "sctp://127.0.0.1:0?udp=0&pace=fast",
        "sctp://[::1]?udp=0",
        "sctp://127.0.0.1,127.0.0.2?udp=0",
    ] {
        let endpoint = listen(endpoint, &[1, 2, 77], Limits::default()).await;
        for sap in [1, 2, 77] {
            check(&endpoint, sap).await;
        }
    }
}

/// The exchange itself is tested where a kernel has SCTP
/// (`interop/sctp/kernel`).
#[tokio::test]
async fn a_kernel_without_sctp_is_told() {
    let clock = clock();
    let there = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        Some(rustix::net::ipproto::SCTP),
    );
    let endpoint: Endpoint = "sctp://127.0.0.1:0?backend=kernel".parse().unwrap();
    let listened = SctpSocket::listen(&endpoint, 16, &clock).await;
    if there.is_ok() {
        let socket = listened.unwrap();
        let peer = endpoint.with_port(socket.port());
        let dialer = SctpDialer::default();
        let (there, here) =
            patiently(async { tokio::join!(socket.accept(), dialer.connect(&peer, &clock)) }).await;
        let (mut there, mut here) = (there.unwrap(), here.unwrap());
        let message = Bytes::from_static(b"by the kernel");
        here.send(MessageClass::Control, PPID_XML, message.clone())
            .unwrap();
        let received = patiently(there.receive()).await.unwrap();
        assert_eq!(received.payload, message);
        return;
    }
    println!("skipped: messages, since this kernel has no SCTP");
    let refused = listened.err().unwrap().to_string();
    assert!(refused.contains("SCTP of this kernel"), "{refused}");
    let peer: Endpoint = "sctp://127.0.0.1:4059?backend=kernel".parse().unwrap();
    let refused = SctpDialer::default().connect(&peer, &clock).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("SCTP of this kernel"), "{refused}");
}

#[tokio::test]
async fn many_links_leave_from_one_socket() {
    let dialing = surroundings();
    let mut endpoints = Vec::new();
    for _ in 0..20 {
        endpoints.push(listen("sctp://127.0.0.1?udp=0", &[1], Limits::default()).await);
    }
    let mut clients = Vec::new();
    // Twice to each: a second association with one peer takes another socket.
    for endpoint in endpoints.iter().chain(&endpoints) {
        let association = Association::public(1);
        clients.push(
            Client::connect(endpoint, association, &dialing, LIMIT)
                .await
                .unwrap(),
        );
    }
    for client in &mut clients {
        let octets = client.read_octets(NAME, None, &mut |_| {}).await.unwrap();
        assert_eq!(octets, name(1));
        let status = client.sctp().unwrap();
        assert_eq!(status.paths.len(), 1);
        let requests = &status.classes[usize::from(MessageClass::Request.priority())];
        assert!(requests.sent >= 2 && requests.received >= 2, "{requests:?}");
        assert_eq!(requests.gone, requests.sent);
    }
}

#[tokio::test]
async fn nobody_there_is_told() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let endpoint: Endpoint = format!("sctp://127.0.0.1?udp={port}").parse().unwrap();
    let limit = Duration::from_millis(200);
    let refused = Client::connect(&endpoint, Association::public(1), &surroundings(), limit).await;
    assert!(matches!(
        refused,
        Err(ClientError::Link(LinkError::Timeout { .. }))
    ));
}

#[tokio::test]
async fn usage_data_neither_refuses_nor_holds_up_a_control_message() {
    let (mut here, mut there) = pair("sctp://127.0.0.1?udp=0", "sctp://127.0.0.1").await;
    // More than SCTP takes along: the class's queue fills up.
    let usage = Bytes::from(vec![7; 32 * 1_024]);
    let mut taken = 0;
    let refused = loop {
        match here.send(MessageClass::Usage, PPID_XML, usage.clone()) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
        assert!(taken < 1_000, "the queue has no end");
    };
    assert!(
        matches!(refused, LinkError::Full(MessageClass::Usage)),
        "{refused}"
    );
    here.send(MessageClass::Control, PPID_XML, Bytes::from_static(b"off"))
        .unwrap();
    let status = here.status();
    assert_eq!(status.classes[4].refused, 1);
    assert_eq!(status.classes[0].refused, 0);
    let mut before = 0;
    loop {
        let message = patiently(there.receive()).await.unwrap();
        if message.class == MessageClass::Control {
            assert_eq!(message.payload, b"off".as_slice());
            break;
        }
        before += 1;
    }
    assert!(before < taken / 2, "after {before} of {taken}");
    for _ in before..taken {
        let message = patiently(there.receive()).await.unwrap();
        assert_eq!(
            (message.class, message.payload.len()),
            (MessageClass::Usage, 32 * 1_024)
        );
    }
    // The queue has room again.
    here.send(MessageClass::Usage, PPID_XML, usage).unwrap();
    patiently(here.flush()).await.unwrap();
    let figures = here.status().classes;
    assert_eq!(figures[4].gone, taken + 1);
    assert!(figures[4].waited_max >= figures[0].waited_max);
    assert!(matches!(
        here.send(
            MessageClass::Usage,
            PPID_XML,
            vec![0; MESSAGE_LEN_MAX + 1].into()
        ),
        Err(LinkError::TooLong { .. })
    ));
}

#[tokio::test]
async fn who_was_refused_hears_when_there_is_room() {
    let (mut here, mut there) = pair("sctp://127.0.0.1?udp=0", "sctp://127.0.0.1").await;
    // Nothing was refused.
    patiently(here.room()).await.unwrap();
    let usage = |number: u8| Bytes::from(vec![number; 32 * 1_024]);
    let mut received = Vec::new();
    let mut refused = 0;
    for number in 0..120 {
        match here.send(MessageClass::Usage, PPID_XML, usage(number)) {
            Ok(()) => continue,
            Err(LinkError::Full(MessageClass::Usage)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        let fetched = async {
            loop {
                tokio::select! {
                    room = here.room() => break room.unwrap(),
                    message = there.receive() => received.push(message.unwrap().payload),
                }
            }
        };
        patiently(fetched).await;
        here.send(MessageClass::Usage, PPID_XML, usage(number))
            .unwrap();
    }
    assert!(refused > 0, "the queue has no end");
    while received.len() < 120 {
        received.push(patiently(there.receive()).await.unwrap().payload);
    }
    for (number, payload) in (0..).zip(received) {
        assert!(payload == usage(number), "message {number}");
    }
}

#[tokio::test]
async fn the_stream_tells_the_class_and_the_end_comes_last() {
    let (mut here, mut there) = pair("sctp://127.0.0.1?udp=0", "sctp://127.0.0.1").await;
    for class in MessageClass::ALL {
        here.send(class, PPID_DLMS, Bytes::from(class.name()))
            .unwrap();
    }
    let closing = tokio::spawn(async move { here.close().await });
    let mut seen = Vec::new();
    let end = loop {
        match patiently(there.receive()).await {
            Ok(message) => {
                assert_eq!(message.payload, message.class.name());
                assert_eq!(message.protocol, PPID_DLMS);
                seen.push(message.class);
            }
            Err(end) => break end,
        }
    };
    assert!(matches!(end, LinkError::Closed), "{end}");
    seen.sort();
    assert_eq!(seen, MessageClass::ALL);
    patiently(closing).await.unwrap().unwrap();
}

/// A UDP relay that writes down what passes.
struct Relay {
    port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    async fn new(to: u16) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = front.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut client: Option<SocketAddr> = None;
            let (mut one, mut other) = (vec![0; 65_535], vec![0; 65_535]);
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut one) => {
                        client = Some(from);
                        written.lock().unwrap().push(one[..length].to_vec());
                        drop(back.send_to(&one[..length], ("127.0.0.1", to)).await);
                    }
                    Ok((length, _)) = back.recv_from(&mut other) => {
                        written.lock().unwrap().push(other[..length].to_vec());
                        if let Some(client) = client {
                            drop(front.send_to(&other[..length], client).await);
                        }
                    }
                }
            }
        });
        Self { port, seen }
    }

    fn holds(&self, text: &[u8]) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .any(|packet| packet.windows(text.len()).any(|part| part == text))
    }

    /// The chunk types of all packets, with the key of those authenticated.
    fn chunks(&self) -> Vec<Vec<(u8, Option<u16>)>> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|packet| {
                let mut chunks = Vec::new();
                let mut at = 12;
                while at + 4 <= packet.len() {
                    let length = usize::from(u16::from_be_bytes([packet[at + 2], packet[at + 3]]));
                    let key = (packet[at] == sctp::chunk::kind::AUTH)
                        .then(|| u16::from_be_bytes([packet[at + 4], packet[at + 5]]));
                    chunks.push((packet[at], key));
                    at += length.max(4).next_multiple_of(4);
                }
                chunks
            })
            .collect()
    }
}

#[tokio::test]
async fn tls_carries_sessions_and_shows_nothing_of_a_message() {
    let papers = Papers::new();
    let local = listen(
        &protected(&papers, "meter.example", "&udp=0"),
        &[1],
        Limits::default(),
    )
    .await;
    let Some(link::SctpOver::Udp(udp)) = local.sctp().map(|options| options.over) else {
        panic!("{local}")
    };
    let relay = Relay::new(udp).await;
    let endpoint = protected(&papers, "client.example", "&name=meter.example");
    let endpoint: Endpoint = endpoint.parse().unwrap();
    check(&endpoint.with_udp_port(relay.port), 1).await;
    // The name of the device in the clear would be `GW01`.
    assert!(!relay.holds(b"GW01"));

    // Without TLS it is there, so that looking for it can find it.
    let local = listen("sctp://127.0.0.1?udp=0", &[1], Limits::default()).await;
    let Some(link::SctpOver::Udp(udp)) = local.sctp().map(|options| options.over) else {
        panic!("{local}")
    };
    let open = Relay::new(udp).await;
    check(&local.with_udp_port(open.port), 1).await;
    assert!(open.holds(b"GW01"));

    // Once key 1 was used by both sides, nothing goes without it.
    let chunks = relay.chunks();
    let keyed: Vec<usize> = (0..chunks.len())
        .filter(|at| chunks[*at].first().is_some_and(|(_, key)| *key == Some(1)))
        .collect();
    assert!(keyed.len() > 20, "{chunks:?}");
    let bare = |at: &usize| {
        chunks[*at]
            .iter()
            .any(|(kind, key)| *kind == sctp::chunk::kind::I_DATA && key.is_none())
            && chunks[*at].first().is_some_and(|(_, key)| key.is_none())
    };
    assert_eq!((0..chunks.len()).filter(bare).count(), 0, "{chunks:?}");
    let last = chunks
        .iter()
        .rposition(|chunks| chunks.first().is_some_and(|(_, key)| *key == Some(0)))
        .expect("set-up has key 0");
    assert!(
        last < chunks.len() / 2,
        "key 0 in packet {last} of {}",
        chunks.len()
    );
}

#[tokio::test]
async fn tls_is_opened_where_it_is_used_and_resumed_and_takes_long_messages() {
    let papers = Papers::new();
    let (mut here, mut there) = pair(
        &protected(&papers, "meter.example", "&udp=0"),
        &protected(&papers, "client.example", "&name=meter.example"),
    )
    .await;
    assert_eq!(here.resumed(MessageClass::Control), Some(false));
    assert_eq!(here.resumed(MessageClass::Usage), None);
    // Longer than a record, from each side; the acceptor asks for its stream.
    let long = Bytes::from(
        (0..200_000_u32)
            .map(|n| n.to_le_bytes()[0])
            .collect::<Vec<_>>(),
    );
    here.send(MessageClass::Usage, PPID_XML, long.clone())
        .unwrap();
    there
        .send(MessageClass::Warning, PPID_XML, long.clone())
        .unwrap();
    let (mut seen_here, mut seen_there) = (None, None);
    patiently(async {
        while seen_here.is_none() || seen_there.is_none() {
            tokio::select! {
                message = here.receive() => seen_here = Some(message.unwrap()),
                message = there.receive() => seen_there = Some(message.unwrap()),
            }
        }
    })
    .await;
    for (seen, class) in [
        (seen_here, MessageClass::Warning),
        (seen_there, MessageClass::Usage),
    ] {
        let seen = seen.unwrap();
        assert_eq!((seen.class, seen.protocol), (class, PPID_XML));
        assert_eq!(seen.payload, long);
    }
    assert_eq!(here.resumed(MessageClass::Usage), Some(true));
    assert_eq!(here.resumed(MessageClass::Warning), Some(true));
    assert_eq!(there.resumed(MessageClass::Warning), Some(true));
    assert_eq!(here.resumed(MessageClass::Billing), None);
}

#[tokio::test]
async fn tls_refuses_wrong_and_expired_papers() {
    let dialing = surroundings();
    let (papers, others, expired) = (Papers::new(), Papers::new(), Papers::until(2_020));
    let local = listen(
        &protected(&papers, "meter.example", "&udp=0"),
        &[1],
        Limits::default(),
    )
    .await;
    let old = listen(
        &protected(&expired, "meter.example", "&udp=0"),
        &[1],
        Limits::default(),
    )
    .await;
    let mix = |ca: &Papers, own: &Papers, name: &str| {
        format!(
            "sctps://127.0.0.1?ca={}&cert={}&key={}&name={name}",
            ca.at("ca.pem"),
            own.at("client.example.pem"),
            own.at("client.example.key")
        )
    };
    for (what, url, at) in [
        (
            "another authority",
            mix(&others, &papers, "meter.example"),
            &local,
        ),
        ("a stranger", mix(&papers, &others, "meter.example"), &local),
        (
            "another name",
            mix(&papers, &papers, "other.example"),
            &local,
        ),
        (
            "a meter's expired paper",
            mix(&expired, &papers, "meter.example"),
            &old,
        ),
    ] {
        let endpoint: Endpoint = url.parse().unwrap();
        let Some(link::SctpOver::Udp(udp)) = at.sctp().map(|options| options.over) else {
            panic!("{at}")
        };
        let endpoint = endpoint.with_udp_port(udp);
        let refused = Client::connect(&endpoint, Association::public(1), &dialing, PATIENCE);
        let refused = refused.await.err();
        assert!(
            matches!(refused, Some(ClientError::Link(LinkError::Tls(_)))),
            "{what}: {refused:?}"
        );
    }
    // A client whose paper has expired, at a meter that trusts its authority.
    let local = listen(
        &format!(
            "sctps://127.0.0.1?udp=0&ca={}&cert={}&key={}",
            expired.at("ca.pem"),
            papers.at("meter.example.pem"),
            papers.at("meter.example.key")
        ),
        &[1],
        Limits::default(),
    )
    .await;
    let Some(link::SctpOver::Udp(udp)) = local.sctp().map(|options| options.over) else {
        panic!("{local}")
    };
    let endpoint: Endpoint = mix(&papers, &expired, "meter.example").parse().unwrap();
    let endpoint = endpoint.with_udp_port(udp);
    let refused = Client::connect(&endpoint, Association::public(1), &dialing, PATIENCE).await;
    let refused = refused.err();
    assert!(
        matches!(refused, Some(ClientError::Link(LinkError::Tls(_)))),
        "{refused:?}"
    );
    // Without TLS, and without papers.
    for url in ["sctp://127.0.0.1", "sctps://127.0.0.1?ca=/nowhere"] {
        let endpoint: Endpoint = url.parse().unwrap();
        let endpoint = endpoint.with_udp_port(udp);
        let limit = Duration::from_secs(5);
        let refused = Client::connect(&endpoint, Association::public(1), &dialing, limit);
        assert!(refused.await.is_err(), "{url} was let in");
    }
}

#[tokio::test]
async fn only_what_dlms_has_sealed_goes_outside_of_tls() {
    let papers = Papers::new();
    let (mut here, mut there) = pair(
        &protected(&papers, "meter.example", "&udp=0"),
        &protected(&papers, "client.example", "&name=meter.example"),
    )
    .await;
    // general-glo-ciphering, with the security control octets of tag and
    // cipher, of the tag alone, of the cipher alone.
    let wrapped = |control: u8| {
        let mut octets = vec![0, 1, 0, 1, 0, 16, 0, 29, 0xDB, 8];
        octets.extend(b"GWD00001");
        octets.extend([18, control]);
        octets.extend([0x55; 17]);
        Bytes::from(octets)
    };
    let lifetime = PATIENCE;
    for control in [0x00, 0x10, 0x20] {
        assert!(matches!(
            here.send_sealed(MessageClass::Usage, wrapped(control), lifetime),
            Err(LinkError::Unsupported(_))
        ));
    }
    here.send_sealed(MessageClass::Usage, wrapped(0x30), lifetime)
        .unwrap();
    let seen = patiently(there.receive()).await.unwrap();
    assert_eq!(
        (seen.class, seen.payload),
        (MessageClass::Usage, wrapped(0x30))
    );
}

/// Listens with one logical device in a namespace until told to stop.
async fn meter(endpoint: &str, bound: &std::sync::mpsc::Sender<Endpoint>, stop: &AtomicBool) {
    bound
        .send(listen(endpoint, &[1], Limits::default()).await)
        .unwrap();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the reader did before and after the cuts.
#[derive(Debug)]
struct Seen {
    events: Vec<SctpEvent>,
    failovers: u64,
}

/// Reads over two paths of which each is cut once, the first one first.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn two_paths(over: &'static str) {
    let Some(net) = TwoPaths::new() else {
        println!("skipped: this takes root, unshare, ip, and a kernel with veth and bridges");
        return;
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (bound, listening) = std::sync::mpsc::channel();
    let stopping = Arc::clone(&stop);
    let meter = net.other.spawn(async move || {
        let endpoint = format!("sctp://10.77.1.2,10.77.2.2?pace=fast{over}");
        meter(&endpoint, &bound, &stopping).await;
    });
    let endpoint = listening.recv_timeout(PATIENCE).unwrap();
    let (read, reads) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<bool>();
    let reader = net.one.spawn(async move || {
        let dialer = SctpDialer::default();
        let mut association = dialer.connect(&endpoint, &clock()).await.unwrap();
        let mut observer = association.observe();
        let question = Bytes::from_static(&[0, 1, 0, 16, 0, 1, 0, 4, 0xC0, 1, 0xC1, 0]);
        let mut more = true;
        while more {
            // Whatever comes back: what matters is that something does.
            association
                .send(MessageClass::Control, PPID_DLMS, question.clone())
                .unwrap();
            let answer = patiently(association.receive()).await.unwrap();
            assert_eq!(answer.class, MessageClass::Control);
            read.send(association.status().paths).unwrap();
            more = goes.recv_timeout(PATIENCE).unwrap();
        }
        let mut events = Vec::new();
        while let Ok(event) = observer.try_recv() {
            events.push(event);
        }
        Seen {
            events,
            failovers: association.status().counters.failovers,
        }
    });
    let once_more = || {
        let paths = reads.recv_timeout(PATIENCE).unwrap();
        go.send(true).unwrap();
        paths
    };
    let first: IpAddr = "10.77.1.2".parse().unwrap();
    // Until both paths have answered a heartbeat.
    while once_more()
        .iter()
        .filter(|path| path.state == sctp::PathState::Active)
        .count()
        < 2
    {}
    net.cut(1);
    // Urgent messages go over the other path long before this one counts as
    // failed; then all do.
    let mut reads_until = 0;
    while once_more()
        .iter()
        .any(|path| path.remote == first && path.state == sctp::PathState::Active)
    {
        reads_until += 1;
        assert!(reads_until < 20_000, "the cut was not noticed");
        std::thread::sleep(Duration::from_millis(2));
    }
    for _ in 0..5 {
        once_more();
    }
    net.mend(1);
    while !once_more()
        .iter()
        .all(|path| path.state == sctp::PathState::Active)
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    net.cut(2);
    for _ in 0..5 {
        once_more();
    }
    reads.recv_timeout(PATIENCE).unwrap();
    go.send(false).unwrap();
    let seen = reader.join().unwrap();
    assert!(seen.failovers >= 1, "{seen:?}");
    assert!(
        seen.events
            .iter()
            .any(|event| matches!(event, SctpEvent::Failover { from, .. } if *from == first)),
        "{seen:?}"
    );
    stop.store(true, Ordering::Relaxed);
    meter.join().unwrap();
}

#[test]
fn the_read_goes_on_over_the_other_path() {
    two_paths("");
}

#[test]
fn over_ip_too() {
    if std::path::Path::new("/proc/sys/net/sctp").exists() {
        println!("skipped: the kernel's own SCTP answers here");
        return;
    }
    two_paths("&over=ip");
}

/// Sends back what comes, until the other side ends.
async fn echo(endpoint: &Endpoint, ready: &std::sync::mpsc::Sender<()>) {
    let socket = SctpSocket::listen(endpoint, 1, &clock()).await.unwrap();
    ready.send(()).unwrap();
    let mut association = socket.accept().await.unwrap();
    while let Ok(message) = association.receive().await {
        association
            .send(message.class, message.protocol, message.payload)
            .unwrap();
    }
}

/// Numbered messages of an urgent class and of one that waits for timeouts,
/// each there and back before the next.
struct Rounds {
    association: SctpAssociation,
    number: u32,
}

impl Rounds {
    const CLASSES: [MessageClass; 2] = [MessageClass::Control, MessageClass::Usage];

    /// Sends the next of each class, waits until both came back, and tells
    /// whether the paths to an address are active.
    async fn next(&mut self, to: IpAddr) -> bool {
        self.number += 1;
        let payload = Bytes::copy_from_slice(&self.number.to_be_bytes());
        for class in Self::CLASSES {
            self.association
                .send(class, PPID_XML, payload.clone())
                .unwrap();
        }
        let mut back = Vec::new();
        while back.len() < Self::CLASSES.len() {
            let message = patiently(self.association.receive()).await.unwrap();
            // One that came twice would be of this round or, later, of another.
            assert_eq!(message.payload, payload, "{:?}", message.class);
            back.push(message.class);
        }
        back.sort();
        assert_eq!(back, Self::CLASSES);
        let paths = self.association.status().paths;
        let mut paths = paths.iter().filter(|path| path.remote == to);
        paths.all(|path| path.state == sctp::PathState::Active)
    }

    /// Sends on until paths to an address are active, or not.
    async fn until(&mut self, to: IpAddr, active: bool) {
        let noticed = async {
            while self.next(to).await != active {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        patiently(noticed).await;
    }
}

/// Packets whose sender's address the system of a process's network knows to
/// be on another link.
fn dropped_by_reverse_path(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/netstat")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let names = names.split_whitespace();
    let named = names.zip(values.split_whitespace());
    let mut of = named.filter(|(name, _)| *name == "IPReversePathFilter");
    of.next().unwrap().1.parse().unwrap()
}

/// Each direction of each link is cut once, between hosts that drop what comes
/// in on a link that they would not answer over (`rp_filter=1`).
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn one_direction_at_a_time(over: &'static str) {
    const REVERSE_PATH: &str = "/proc/sys/net/ipv4/conf/all/rp_filter";
    let Some(net) = TwoPaths::new() else {
        println!("skipped: this takes root, unshare, ip, and a kernel with veth and bridges");
        return;
    };
    let endpoint = format!("sctp://10.77.1.2,10.77.2.2?pace=fast&heartbeat=1{over}");
    let endpoint: Endpoint = endpoint.parse().unwrap();
    let listening = endpoint.clone();
    let (ready, listens) = std::sync::mpsc::channel();
    let there = net.other.spawn(async move || {
        std::fs::write(REVERSE_PATH, "1").unwrap();
        echo(&listening, &ready).await;
    });
    listens.recv_timeout(PATIENCE).unwrap();
    let net = Arc::new(net);
    let cutting = Arc::clone(&net);
    let here = net.one.spawn(async move || {
        std::fs::write(REVERSE_PATH, "1").unwrap();
        let dialer = SctpDialer::default();
        let association = patiently(dialer.connect(&endpoint, &clock()))
            .await
            .unwrap();
        let mut rounds = Rounds {
            association,
            number: 0,
        };
        let address = |link: u8| IpAddr::from([10, 77, link, 2]);
        for link in [1, 2] {
            rounds.until(address(link), true).await;
        }
        for (link, host) in [(1, 2), (1, 1), (2, 2), (2, 1)] {
            cutting.cut_towards(link, host);
            rounds.until(address(link), false).await;
            for _ in 0..20 {
                rounds.next(address(link)).await;
            }
            cutting.mend_towards(link, host);
            rounds.until(address(link), true).await;
        }
        // That the filter is there, which this comes in at.
        let astray = std::net::UdpSocket::bind("10.77.1.1:0").unwrap();
        let dropped = async {
            while dropped_by_reverse_path(cutting.other.pid()) == 0 {
                drop(astray.send_to(b"astray", "10.77.2.2:9"));
                rounds.next(address(2)).await;
            }
        };
        patiently(dropped).await;
        let figures = rounds.association.status();
        for class in Rounds::CLASSES {
            let figures = &figures.classes[usize::from(class.priority())];
            assert_eq!(figures.sent, u64::from(rounds.number));
            assert_eq!(figures.received, u64::from(rounds.number));
        }
        assert!(figures.counters.failovers >= 1, "{figures:?}");
        patiently(rounds.association.close()).await.unwrap();
    });
    here.join().unwrap();
    there.join().unwrap();
}

#[test]
fn a_link_cut_in_one_direction_loses_and_doubles_nothing() {
    one_direction_at_a_time("");
}

#[test]
fn nor_does_one_in_ip() {
    if std::path::Path::new("/proc/sys/net/sctp").exists() {
        println!("skipped: the kernel's own SCTP answers here");
        return;
    }
    one_direction_at_a_time("&over=ip");
}
