//! Links over SCION, on real sockets.
//!
//! Evidence: self-agreement with a daemon and routers of our own, two ASes and
//! two links between them; and the reference implementation's network of six
//! ASes, where `interop/scion/links` names it.

mod drkey;
mod gateway;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use link::{Association, Client, ClientError, Endpoint, Limits, LinkError, ScionError};
use scion::choice::NoPath;
use scion::packet::{Carried, Packet};
use tokio::net::{TcpListener, UdpSocket};

use crate::device::{NAME, name};
use crate::transports::{LIMIT, check, listen, surroundings};

const HEAD: &str = "2-ff00:0:211";
const METERS: &str = "1-ff00:0:111";

/// Two ASes with two links between them, each with a router at either end.
struct Net {
    /// The daemons of head end and meters.
    daemons: [SocketAddr; 2],
    /// Links that swallow.
    cut: Arc<Mutex<BTreeSet<u16>>>,
    /// Links that packets came to, with the octets of their payload.
    seen: Arc<Mutex<Vec<(u16, usize)>>>,
    keys: Arc<drkey::Service>,
}

impl Net {
    async fn start() -> Self {
        let (cut, seen) = (Arc::default(), Arc::default());
        let mut routers = [Vec::new(), Vec::new()];
        for link in [1, 2] {
            let ends = [
                Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
                Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
            ];
            for (side, end) in ends.iter().enumerate() {
                routers[side].push(end.local_addr().unwrap());
                let (near, far) = (Arc::clone(end), Arc::clone(&ends[1 - side]));
                let (cut, seen) = (Arc::clone(&cut), Arc::clone(&seen));
                tokio::spawn(route(link, near, far, cut, seen));
            }
        }
        let [near, far] = routers;
        let keys = Arc::<drkey::Service>::default();
        Self {
            daemons: [
                daemon(HEAD, METERS, near, Arc::clone(&keys)).await,
                daemon(METERS, HEAD, far, Arc::clone(&keys)).await,
            ],
            cut,
            seen,
            keys,
        }
    }

    async fn meter(&self) -> Endpoint {
        let daemon = self.daemons[1];
        let url = format!("scion://[{METERS},127.0.0.1]:0?daemon={daemon}");
        listen(&url, &[1, 2], Limits::default()).await
    }

    /// The meter as the head end reaches it.
    fn endpoint(&self, meter: &Endpoint, more: &str) -> Endpoint {
        let port = meter.host_port().unwrap().port;
        let daemon = self.daemons[0];
        let url = format!("scion://[{METERS},127.0.0.1]:{port}?daemon={daemon}{more}");
        url.parse().unwrap()
    }
}

/// A router and the link behind it: hands packets to the host they are for.
async fn route(
    link: u16,
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    cut: Arc<Mutex<BTreeSet<u16>>>,
    seen: Arc<Mutex<Vec<(u16, usize)>>>,
) {
    let mut buffer = [0; 2_000];
    loop {
        let (count, _) = near.recv_from(&mut buffer).await.unwrap();
        let octets = &buffer[..count];
        let packet = Packet::decode(octets).unwrap();
        let Carried::Udp {
            destination_port,
            payload,
            ..
        } = packet.carried().unwrap()
        else {
            panic!("only datagrams are sent");
        };
        seen.lock().unwrap().push((link, payload.len()));
        if !cut.lock().unwrap().contains(&link) {
            let to = (packet.destination.1, destination_port);
            far.send_to(octets, to).await.unwrap();
        }
    }
}

/// The least of Protocol Buffers.
fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for mut value in [field << 3, value] {
        while value > 0x7f {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    }
    out
}

fn octets(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = number(field, u64::try_from(value.len()).unwrap());
    out[0] |= 2;
    out.extend_from_slice(value);
    out
}

/// One path for each router: over its link, from the first AS to the second.
fn paths(own: &str, other: &str, routers: &[SocketAddr]) -> Vec<u8> {
    let isd_as = |text: &str| {
        let isd_as: scion::address::IsdAs = text.parse().unwrap();
        isd_as.to_u64()
    };
    let mut out = Vec::new();
    for (link, router) in (1_u8..).zip(routers) {
        // One segment of two hop fields, against the order it was made in.
        let mut raw = (2_u32 << 12).to_be_bytes().to_vec();
        raw.extend_from_slice(&[0, 0, 0, 1, 0x68, 0, 0, 0]);
        raw.extend_from_slice(&[0, 63, 0, link, 0, 0, 1, 2, 3, 4, 5, 6]);
        raw.extend_from_slice(&[0, 63, 0, 0, 0, link, 1, 2, 3, 4, 5, 6]);
        let address = octets(1, router.to_string().as_bytes());
        let mut path = octets(1, &raw);
        path.extend(octets(2, &octets(1, &address)));
        for end in [own, other] {
            let one = [number(1, isd_as(end)), number(2, link.into())].concat();
            path.extend(octets(3, &one));
        }
        path.extend(number(4, 1_400));
        path.extend(octets(5, &number(1, 4_000_000_000)));
        path.extend(octets(6, &number(2, 1_000_000 * u64::from(link))));
        out.extend(octets(1, &path));
    }
    out
}

/// A daemon: gRPC in clear, as the reference implementation's.
async fn daemon(
    own: &'static str,
    other: &'static str,
    routers: Vec<SocketAddr>,
    keys: Arc<drkey::Service>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let own_number: scion::address::IsdAs = own.parse().unwrap();
    let about = number(1, own_number.to_u64());
    let there = paths(own, other, &routers);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (about, there) = (about.clone(), there.clone());
            let keys = Arc::clone(&keys);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (head, mut body) = request.into_parts();
                    let method = head
                        .uri
                        .path()
                        .strip_prefix("/proto.daemon.v1.DaemonService/");
                    let answer = match method.unwrap() {
                        "AS" => about.clone(),
                        "Paths" => there.clone(),
                        method => {
                            let mut asked = Vec::new();
                            while let Some(chunk) = body.data().await {
                                asked.extend_from_slice(&chunk.unwrap());
                            }
                            match keys.answer(method, &asked[5..]) {
                                Some(answer) => answer,
                                None => {
                                    let head = http::Response::builder()
                                        .header("content-type", "application/grpc")
                                        .header("grpc-status", "7")
                                        .header("grpc-message", "not for you")
                                        .body(())
                                        .unwrap();
                                    respond.send_response(head, true).unwrap();
                                    continue;
                                }
                            }
                        }
                    };
                    let head = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .body(())
                        .unwrap();
                    let mut body = respond.send_response(head, false).unwrap();
                    let mut framed = BytesMut::new();
                    framed.put_u8(0);
                    framed.put_u32(u32::try_from(answer.len()).unwrap());
                    framed.put_slice(&answer);
                    let framed: Bytes = framed.freeze();
                    body.send_data(framed, false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    at
}

async fn open(endpoint: &Endpoint) -> Client {
    let association = Association::public(1);
    let client = Client::connect(endpoint, association, &surroundings(), LIMIT).await;
    client.unwrap_or_else(|error| panic!("{endpoint}: {error}"))
}

async fn read(client: &mut Client) {
    let octets = client.read_octets(NAME, None, &mut |_| {}).await.unwrap();
    assert_eq!(octets, name(1));
}

#[tokio::test]
async fn a_link_carries_whole_sessions_in_short_datagrams() {
    let net = Net::start().await;
    let meter = net.meter().await;
    for sap in [1, 2] {
        check(&net.endpoint(&meter, ""), sap).await;
    }
    let seen = net.seen.lock().unwrap();
    // The wrapper's header has eight octets; the device's own limit is 500.
    let longest = seen.iter().map(|(_, length)| *length).max().unwrap();
    assert!((400..=1_024 + 8).contains(&longest), "{longest}");
    // The quicker link, where nothing is lost for long.
    assert!(seen.iter().any(|(link, _)| *link == 1));
}

#[tokio::test]
async fn a_router_that_swallows_is_left_and_every_answer_comes() {
    let net = Net::start().await;
    let meter = net.meter().await;
    let mut client = open(&net.endpoint(&meter, "")).await;
    for round in 0..6_u16 {
        *net.cut.lock().unwrap() = BTreeSet::from([1 + round % 2]);
        for _ in 0..5 {
            read(&mut client).await;
        }
        // A loss before may have had it move already; it ends where it works.
        let status = client.scion().unwrap();
        let there = u64::from(2 - round % 2);
        for leg in [status.receipt.sent, status.receipt.received] {
            let leg = leg.unwrap();
            assert_eq!(u64::from(leg.hops()[0].egress.0), there);
        }
    }
    let status = client.scion().unwrap();
    assert!(status.counters.silences >= 3, "{:?}", status.counters);
    assert_eq!((status.known, status.allowed), (2, 2));
    assert_eq!(client.counts().repeated, status.counters.silences);
    client.release().await;
}

#[tokio::test]
async fn a_fence_is_kept_both_ways_and_one_that_leaves_nothing_fails_closed() {
    let net = Net::start().await;
    let meter = net.meter().await;
    let fenced = net.endpoint(&meter, "&fence=- 2-ff00:0:211%231 +");
    let mut client = open(&fenced).await;
    for _ in 0..20 {
        read(&mut client).await;
    }
    client.release().await;
    let seen: Vec<_> = std::mem::take(&mut *net.seen.lock().unwrap());
    assert!(seen.len() >= 40);
    assert!(seen.iter().all(|(link, _)| *link == 2), "{seen:?}");
    // Nothing is left: no packet leaves, and the error says why.
    let closed = net.endpoint(&meter, "&fence=- 1-ff00:0:111 +");
    let refused = Client::connect(&closed, Association::public(1), &surroundings(), LIMIT).await;
    let Err(ClientError::Link(LinkError::Scion(error))) = refused else {
        panic!("a fence that leaves no path was passed");
    };
    assert_eq!(error, ScionError::NoPath(NoPath::Fenced(2)));
    assert_eq!(
        error.to_string(),
        "the fence allows none of the 2 paths there are: nothing was sent"
    );
    assert!(net.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_daemon_nothing_is_asked_and_nothing_sent() {
    let net = Net::start().await;
    let connect = async |url: String| {
        let endpoint: Endpoint = url.parse().unwrap();
        match Client::connect(&endpoint, Association::public(1), &surroundings(), LIMIT).await {
            Err(ClientError::Link(LinkError::Scion(error))) => error,
            Err(error) => panic!("{url}: {error}"),
            Ok(_) => panic!("{url} was opened"),
        }
    };
    let place = format!("scion://[{METERS},127.0.0.1]:1");
    assert_eq!(connect(place.clone()).await, ScionError::NoDaemon);
    // Nobody there, and one who speaks something else.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = free.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            drop(free.accept().await);
        }
    });
    let error = connect(format!("{place}?daemon={at}")).await;
    assert!(matches!(error, ScionError::Daemon { .. }), "{error}");
    // A daemon that knows no path there.
    let daemon = net.daemons[0];
    let error = connect(format!(
        "scion://[9-ff00:0:999,127.0.0.1]:1?daemon={daemon}"
    ))
    .await;
    assert_eq!(error, ScionError::NoPath(NoPath::Unknown));
    // Listening in another AS than the daemon's.
    let clock: Arc<dyn link::Clock> = Arc::new(link::SystemClock::new());
    let url = format!("scion://[{METERS},127.0.0.1]:0?daemon={daemon}");
    let refused = link::Listener::bind(&url.parse().unwrap(), &[1], Limits::default(), clock).await;
    assert!(matches!(
        refused.map(|_| ()),
        Err(LinkError::Scion(ScionError::OtherAs { .. }))
    ));
}

#[tokio::test]
async fn what_is_no_packet_does_not_disturb_a_listener() {
    let net = Net::start().await;
    let meter = net.meter().await;
    let port = meter.host_port().unwrap().port;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for octets in [&[][..], &[0; 40], b"GET / HTTP/1.1\r\n", &[0xff; 1_400]] {
        stranger.send_to(octets, ("127.0.0.1", port)).await.unwrap();
    }
    check(&net.endpoint(&meter, ""), 1).await;
}

/// The reference implementation's network, as `interop/scion/links` has it up.
mod reference {
    use super::*;

    /// How long a session may take in which a router was stopped: the longest
    /// way through all attempts, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Reference {
        folder: String,
        tool: String,
        net: toml::Table,
    }

    impl Reference {
        #[expect(clippy::print_stdout, reason = "what is skipped is told")]
        fn there() -> Option<Self> {
            let Ok(folder) = std::env::var("GRIDWARD_SCION_NET") else {
                println!("skipped: interop/scion/links has the reference implementation's network");
                return None;
            };
            let tool = std::env::var("GRIDWARD_SCION_TOOL").unwrap();
            let text = std::fs::read_to_string(format!("{folder}/net.toml")).unwrap();
            let net = text.parse().unwrap();
            Some(Self { folder, tool, net })
        }

        fn text(&self, isd_as: &str, key: &str) -> String {
            self.net[isd_as][key].as_str().unwrap().to_owned()
        }

        async fn meter(&self, more: &str) -> Endpoint {
            let host = self.text(METERS, "application");
            let daemon = self.text(METERS, "daemon");
            let url = format!("scion://[{METERS},{host}]:0?daemon={daemon}{more}");
            listen(&url, &[1], Limits::default()).await
        }

        fn endpoint(&self, meter: &Endpoint, more: &str) -> Endpoint {
            let at = meter.host_port().unwrap();
            let daemon = self.text(HEAD, "daemon");
            let url = format!(
                "scion://[{METERS},{}]:{}?daemon={daemon}{more}",
                at.host, at.port
            );
            url.parse().unwrap()
        }

        async fn tool(&self, verb: &'static str, name: &str) {
            let mut command = tokio::process::Command::new(&self.tool);
            let status = command.args([verb, &self.folder, name]).status().await;
            assert!(status.unwrap().success());
        }
    }

    fn hops(path: Option<&link::ScionPath>) -> String {
        path.map(ToString::to_string).unwrap_or_default()
    }

    #[tokio::test]
    async fn every_fence_is_kept_in_both_directions() {
        let Some(reference) = Reference::there() else {
            return;
        };
        for (fence, left) in [
            ("+", 6),
            ("- 3 +", 4),
            ("- 1-ff00:0:110 +", 2),
            ("- 2-ff00:0:210%233 +", 4),
            ("- 2-ff00:0:211%231 +", 3),
            ("- 1-ff00:0:120 - 2-ff00:0:210%231 +", 2),
        ] {
            let more = format!("&fence={fence}");
            let meter = reference.meter(&more).await;
            let mut client = open(&reference.endpoint(&meter, &more)).await;
            for _ in 0..10 {
                read(&mut client).await;
            }
            let status = client.scion().unwrap();
            println!("{fence}: {status:?}");
            assert_eq!((status.known, status.allowed), (6, left), "{fence}");
            let (sent, received) = (
                status.receipt.sent.unwrap(),
                status.receipt.received.unwrap(),
            );
            for path in [&sent, &received] {
                let text = path.to_string();
                assert!(fence != "- 3 +" || !text.contains(" 3-"), "{text}");
                let avoided = fence == "- 1-ff00:0:110 +";
                assert!(!avoided || !text.contains("1-ff00:0:110"), "{text}");
            }
            assert_eq!(
                sent.reversed().hops(),
                received.hops(),
                "the answer came back along it"
            );
            assert_eq!(sent.trust, link::ScionTrust::Daemon);
            client.release().await;
        }
        // None is left.
        let meter = reference.meter("").await;
        let closed = reference.endpoint(&meter, "&fence=- 2-ff00:0:210 +");
        let refused =
            Client::connect(&closed, Association::public(1), &surroundings(), LIMIT).await;
        assert!(matches!(
            refused.map(|_| ()),
            Err(ClientError::Link(LinkError::Scion(ScionError::NoPath(
                NoPath::Fenced(6)
            ))))
        ));
    }

    #[tokio::test]
    async fn a_pattern_chooses_the_way_through_the_third_domain() {
        let Some(reference) = Reference::there() else {
            return;
        };
        let more = "&pattern=2-ff00:0:211 2%2B 3%2B 1%2B";
        let meter = reference.meter("").await;
        let mut client = open(&reference.endpoint(&meter, more)).await;
        read(&mut client).await;
        let status = client.scion().unwrap();
        assert_eq!((status.known, status.allowed), (6, 2));
        assert!(hops(status.receipt.sent.as_ref()).contains("3-ff00:0:310"));
        assert!(hops(status.receipt.received.as_ref()).contains("3-ff00:0:310"));
        client.release().await;
    }

    /// Routers are stopped one after another while one session reads: no read
    /// is lost, and none leaves the fence. Among them are both sides' own first
    /// routers, of whose end nothing tells.
    #[tokio::test]
    async fn no_read_is_lost_whichever_router_stops() {
        let Some(reference) = Reference::there() else {
            return;
        };
        let fence = "&fence=- 3 +";
        let clock = surroundings().clock;
        let meter = reference.meter(fence).await;
        let mut client = open(&reference.endpoint(&meter, fence)).await;
        for router in [
            "br1-211", "br2-211", "br1-111", "br2-111", "br1-210", "br3-210", "br1-110", "br1-120",
        ] {
            read(&mut client).await;
            reference.tool("stop", router).await;
            let mut longest = Duration::ZERO;
            for _ in 0..20 {
                let begun = clock.now();
                let done = tokio::time::timeout(PATIENCE, read(&mut client)).await;
                done.unwrap_or_else(|_| panic!("{router} stopped, and nothing came"));
                longest = longest.max(clock.now().since(begun));
                let receipt = client.scion().unwrap().receipt;
                for path in [receipt.sent, receipt.received].iter().flatten() {
                    assert!(
                        path.hops().iter().all(|hop| hop.isd_as.isd.0 != 3),
                        "{path}"
                    );
                }
            }
            let status = client.scion().unwrap();
            println!(
                "{router} stopped: longest {} ms, now {}, {:?}",
                longest.as_millis(),
                hops(status.receipt.sent.as_ref()),
                status.counters
            );
            reference.tool("start", router).await;
            // The network takes this long to use a router that is back.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        client.release().await;
    }

    #[tokio::test]
    async fn keys_of_its_daemons_go_over_into_the_next_epochs_within_a_session() {
        let Some(reference) = Reference::there() else {
            return;
        };
        let clock = Arc::new(link::SystemClock::new());
        let host = reference.text(METERS, "application");
        let daemon = reference.text(METERS, "daemon");
        let url = format!("scion://[{METERS},{host}]:0?daemon={daemon}");
        let (local, associated) = drkey::meter(&url, Arc::<link::SystemClock>::clone(&clock)).await;
        let endpoint = reference.endpoint(&local, "");
        let mut client = drkey::associate(&endpoint, 1, drkey::SECRET, &clock)
            .await
            .unwrap();
        let mut reads = 0;
        let all = async {
            // Two epochs end.
            while associated.load(std::sync::atomic::Ordering::SeqCst) < 3 {
                drkey::read(&mut client).await.unwrap();
                reads += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(2 * PATIENCE, all).await.unwrap();
        assert!(reads > 20, "{reads}");
        // Another secret opens nothing.
        let other = drkey::associate(&endpoint, 2, *b"another's secret", &clock).await;
        assert!(other.is_err());
        client.release().await;
    }
}
