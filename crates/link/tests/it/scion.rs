//! Links over SCION, on real sockets.
//!
//! Evidence: self-agreement with daemons and routers of our own (`sim::scion`),
//! two ASes and two links between them, or six ASes; and the reference
//! implementation's network of the same six, where `interop/scion/links` names it.

mod drkey;
mod gateway;
mod lengths;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use link::{
    Association, Client, ClientError, Endpoint, Limits, LinkError, ScionError, Surroundings,
};
use scion::choice::NoPath;
use sim::scion::{Counters, Cut, End, HEAD_END, Network, Plan, Topology};
use tokio::net::{TcpListener, UdpSocket};

use crate::device::{NAME, name};
use crate::transports::{LIMIT, check, listen, surroundings};

const HEAD: &str = "2-ff00:0:211";
const METERS: &str = "1-ff00:0:111";

/// A simulated network: two ASes with two links between them, or six.
struct Net {
    network: Network,
    /// The daemons of head end and meters.
    daemons: [SocketAddr; 2],
}

impl Net {
    async fn start() -> Self {
        Self::of(Plan {
            epoch: Duration::from_secs(600),
            ..Plan::new(Topology::pair())
        })
        .await
    }

    async fn of(plan: Plan) -> Self {
        let network = Network::start(plan).await.unwrap();
        let daemons = [HEAD_END, sim::scion::METERS].map(|place| network.daemon(place).unwrap());
        Self { network, daemons }
    }

    async fn meter(&self) -> Endpoint {
        self.meter_with("").await
    }

    async fn meter_with(&self, more: &str) -> Endpoint {
        let daemon = self.daemons[1];
        let url = format!("scion://[{METERS},127.0.0.1]:0?daemon={daemon}{more}");
        listen(&url, &[1, 2], Limits::default()).await
    }

    /// The meter as the head end reaches it.
    fn endpoint(&self, meter: &Endpoint, more: &str) -> Endpoint {
        let port = meter.host_port().unwrap().port;
        let daemon = self.daemons[0];
        let url = format!("scion://[{METERS},127.0.0.1]:{port}?daemon={daemon}{more}");
        url.parse().unwrap()
    }

    /// Cuts the link at this interface of the head end in silence, and mends
    /// the others.
    fn cut_only(&self, interface: u16) {
        for state in self.network.links() {
            let [end, _] = state.link.ends;
            let cut = (end.interface.0 == interface).then_some(Cut::Silent);
            self.network.cut(end, cut).unwrap();
        }
    }

    /// What came to each of the links.
    fn counters(&self) -> Vec<Counters> {
        let links = self.network.links();
        links.into_iter().map(|state| state.counters).collect()
    }
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
    let [first, second] = net.counters()[..] else {
        panic!("two links");
    };
    // The wrapper's header has eight octets, those of packets 80; the device's
    // own limit is 500.
    let longest = first.longest.max(second.longest);
    assert!((480..=1_024 + 8 + 80).contains(&longest), "{longest}");
    // The quicker link, where nothing is lost for long.
    assert!(first.packets > 0);
    assert_eq!(net.network.astray(), 0);
}

/// A control service that has stopped takes no path away, also not from an
/// association that begins later; who was not told before knows none.
#[tokio::test]
async fn what_daemons_told_before_is_taken_when_they_tell_nothing() {
    let net = Net::start().await;
    let meter = net.meter().await;
    let endpoint = net.endpoint(&meter, "");
    let connect = async |surroundings: &Surroundings| {
        Client::connect(&endpoint, Association::public(1), surroundings, LIMIT).await
    };
    let told = surroundings();
    let mut client = connect(&told).await.unwrap();
    read(&mut client).await;
    client.release().await;
    for isd_as in [HEAD_END, sim::scion::METERS] {
        net.network.tell_no_paths(isd_as);
    }
    let mut client = connect(&told).await.unwrap();
    read(&mut client).await;
    let error = connect(&surroundings()).await.err().unwrap();
    assert!(error.to_string().contains("knows no path"), "{error}");
}

#[tokio::test]
async fn a_router_that_swallows_is_left_and_every_answer_comes() {
    let net = Net::start().await;
    let meter = net.meter().await;
    let mut client = open(&net.endpoint(&meter, "")).await;
    for round in 0..6_u16 {
        net.cut_only(1 + round % 2);
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
    let counters = net.counters();
    assert_eq!(counters[0].packets, 0, "{counters:?}");
    assert!(counters[1].packets >= 40, "{counters:?}");
    net.network.forget();
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
    assert!(net.counters().iter().all(|one| one.packets == 0));
}

/// The six ASes, as the reference implementation's network has them.
mod six {
    use super::*;

    async fn six() -> Net {
        Net::of(Plan::new(Topology::six())).await
    }

    fn end(text: &str) -> End {
        text.parse().unwrap()
    }

    /// Names the links that packets came to.
    fn used(net: &Net) -> BTreeSet<String> {
        let links = net.network.links().into_iter();
        links
            .filter(|state| state.counters.packets > 0)
            .map(|state| state.link.ends[0].to_string())
            .collect()
    }

    #[tokio::test]
    async fn every_fence_is_kept_in_both_directions() {
        let net = six().await;
        for (fence, left, forbidden) in [
            ("+", 6, &[][..]),
            ("- 3 +", 4, &["1-ff00:0:110#2", "3-ff00:0:310#2"]),
            (
                "- 1-ff00:0:110 +",
                2,
                &["1-ff00:0:110#10", "1-ff00:0:110#1"],
            ),
            ("- 2-ff00:0:210%233 +", 4, &["1-ff00:0:120#1"]),
            ("- 2-ff00:0:211%231 +", 3, &["2-ff00:0:210#10"]),
            (
                "- 1-ff00:0:120 - 2-ff00:0:210%231 +",
                2,
                &["1-ff00:0:110#1", "1-ff00:0:120#1"],
            ),
        ] {
            net.network.forget();
            let more = format!("&fence={fence}");
            let meter = net.meter_with(&more).await;
            let mut client = open(&net.endpoint(&meter, &more)).await;
            for _ in 0..10 {
                read(&mut client).await;
            }
            let status = client.scion().unwrap();
            assert_eq!((status.known, status.allowed), (6, left), "{fence}");
            let receipt = status.receipt;
            let (sent, received) = (receipt.sent.unwrap(), receipt.received.unwrap());
            assert_eq!(sent.reversed().hops(), received.hops(), "{fence}");
            client.release().await;
            let used = used(&net);
            assert!(used.len() >= 3, "{used:?}");
            assert!(
                forbidden.iter().all(|it| !used.contains(*it)),
                "{fence}: {used:?}"
            );
        }
        assert_eq!(net.network.astray(), 0);
    }

    #[tokio::test]
    async fn a_pattern_chooses_the_way_through_the_third_domain() {
        let net = six().await;
        let meter = net.meter().await;
        let more = "&pattern=2-ff00:0:211 2%2B 3%2B 1%2B";
        let mut client = open(&net.endpoint(&meter, more)).await;
        read(&mut client).await;
        let status = client.scion().unwrap();
        assert_eq!((status.known, status.allowed), (6, 2));
        let used = used(&net);
        assert!(used.contains("3-ff00:0:310#2") && used.contains("1-ff00:0:110#2"));
        assert!(!used.contains("1-ff00:0:110#1") && !used.contains("1-ff00:0:120#1"));
    }

    /// Every link on the way is cut in turn, and none leaves the fence.
    #[tokio::test]
    async fn a_cut_that_is_reported_is_left_at_once_and_no_read_is_lost() {
        let net = six().await;
        let fence = "&fence=- 3 +";
        let meter = net.meter_with(fence).await;
        let mut client = open(&net.endpoint(&meter, fence)).await;
        let before = client.scion().unwrap().counters;
        for link in [
            "2-ff00:0:211#1",
            "2-ff00:0:211#2",
            "1-ff00:0:111#1",
            "1-ff00:0:111#2",
            "1-ff00:0:110#1",
            "2-ff00:0:210#3",
        ] {
            net.network.cut(end(link), Some(Cut::Loud)).unwrap();
            for _ in 0..5 {
                read(&mut client).await;
            }
            net.network.cut(end(link), None).unwrap();
        }
        let after = client.scion().unwrap().counters;
        // It moves to another path each time that the link was in use.
        assert!(after.reports > before.reports, "{after:?}");
        assert!(
            !used(&net).iter().any(|link| link.contains("3-ff00:0:310")),
            "{:?}",
            used(&net)
        );
        assert_eq!(net.counters()[1].packets, 0);
        assert_eq!(net.network.astray(), 0);
        client.release().await;
    }

    #[tokio::test]
    async fn what_a_link_takes_and_loses_costs_time_and_no_reading() {
        let net = Net::of(Plan {
            delays: true,
            ..Plan::new(Topology::six())
        })
        .await;
        let fence = "&fence=- 3 - 1-ff00:0:120 +";
        let meter = net.meter_with(fence).await;
        let clock = surroundings().clock;
        let mut client = open(&net.endpoint(&meter, fence)).await;
        let begun = clock.now();
        for _ in 0..20 {
            read(&mut client).await;
        }
        // Both ways, 1 + 5 + 2 ms each.
        let took = clock.now().since(begun);
        assert!(took >= 20 * Duration::from_millis(16), "{took:?}");
        // The uplink in use loses; the other one does not.
        let sent = client.scion().unwrap().receipt.sent.unwrap();
        let uplink = End {
            isd_as: sent.hops()[0].isd_as,
            interface: sent.hops()[0].egress,
        };
        net.network.lose(uplink, 0.3).unwrap();
        for _ in 0..100 {
            read(&mut client).await;
        }
        let links = net.network.links();
        let lossy = links.iter().find(|state| state.link.ends.contains(&uplink));
        let lossy = lossy.unwrap().counters;
        assert!(lossy.lost > 0 && lossy.lost < lossy.packets, "{lossy:?}");
        assert!(client.counts().repeated > 0);
    }

    #[tokio::test]
    async fn what_is_no_packet_of_a_path_goes_nowhere() {
        let net = six().await;
        let meter = net.meter().await;
        let mut client = open(&net.endpoint(&meter, "")).await;
        let before: u64 = net.counters().iter().map(|one| one.packets).sum();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let router = net.network.router(end("1-ff00:0:110#1")).unwrap();
        for octets in [&[][..], &[0; 40], b"GET / HTTP/1.1\r\n", &[0xff; 1_400]] {
            stranger.send_to(octets, router).await.unwrap();
        }
        let counted = async {
            while net.network.astray() < 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, counted).await.unwrap();
        let after: u64 = net.counters().iter().map(|one| one.packets).sum();
        assert_eq!(before, after);
        read(&mut client).await;
        assert!(net.network.cut(end("9-ff00:0:999#1"), None).is_err());
        assert!("2-ff00:0:211".parse::<End>().is_err());
    }
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

/// What comes first is said in the URL; of equals the quicker path is first.
#[test]
fn what_paths_are_put_in_order_by_can_be_chosen() {
    use scion::policy::Preference::{Hops, Latency, Mtu};
    for (more, order) in [
        ("", &[Latency][..]),
        ("?prefer=hops", &[Hops, Latency]),
        ("?prefer=mtu", &[Mtu, Latency]),
    ] {
        let url = format!("scion://[{METERS},192.0.2.7]{more}");
        let Endpoint::Scion(_, options) = url.parse().unwrap() else {
            panic!("{url}");
        };
        assert_eq!(options.policy().preferences, order);
    }
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
        for (fence, left, denied) in [
            ("+", 6, &[][..]),
            ("- 3 +", 4, &["3-"]),
            ("- 1-ff00:0:110 +", 2, &["1-ff00:0:110#"]),
            ("- 2-ff00:0:210%233 +", 4, &["2-ff00:0:210#3 "]),
            ("- 2-ff00:0:211%231 +", 3, &["2-ff00:0:211#1 "]),
            (
                "- 1-ff00:0:120 - 2-ff00:0:210%231 +",
                2,
                &["1-ff00:0:120#", "2-ff00:0:210#1 "],
            ),
        ] {
            let more = format!("&fence={fence}");
            let meter = reference.meter(&more).await;
            let endpoint = reference.endpoint(&meter, &more);
            let mut client = open(&endpoint).await;
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
            let Endpoint::Scion(_, options) = &endpoint else {
                panic!("{endpoint}");
            };
            for path in [&sent, &received] {
                assert!(options.policy().judge(path, 0).is_ok(), "{fence}: {path}");
                let crossed = path.interfaces();
                let crossed =
                    crossed.map(|(isd_as, interface, _)| format!("{isd_as}#{interface} "));
                let crossed: Vec<_> = crossed.collect();
                let denied = |end: &&String| denied.iter().any(|it| end.starts_with(it));
                assert_eq!(crossed.iter().find(denied), None, "{fence}: {path}");
                // What is looked for is found where it is.
                assert!(crossed.iter().any(|end| end.starts_with("2-ff00:0:211#")));
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

    /// A place of a path whose router is stopped; each router there has one
    /// interface of a path within the fence.
    #[derive(Clone, Copy, Debug)]
    enum Place {
        HeadEnd,
        Meter,
        HeadEndsCore,
        MetersCore,
    }

    /// The router at a place of the path that the last reading took.
    fn in_use(client: &Client, place: Place) -> String {
        let path = client.scion().unwrap().receipt.sent.unwrap();
        let hops = path.hops();
        assert_eq!(hops.len(), 4, "{path}");
        let (at, interface) = match place {
            Place::HeadEnd => (0, hops[0].egress),
            Place::HeadEndsCore => (1, hops[1].egress),
            Place::MetersCore => (2, hops[2].ingress),
            Place::Meter => (3, hops[3].ingress),
        };
        let isd_as = hops[at].isd_as.to_string();
        let (_, number) = isd_as.rsplit_once(':').unwrap();
        format!("br{interface}-{number}")
    }

    /// Routers of the path in use are stopped one after another while one
    /// session reads: each is missed, no read is lost, and none leaves the fence.
    /// Among them are both sides' own first routers, of whose end nothing tells.
    #[tokio::test]
    async fn no_read_is_lost_whichever_router_stops() {
        let Some(reference) = Reference::there() else {
            return;
        };
        let fence = "&fence=- 3 +";
        let clock = surroundings().clock;
        let meter = reference.meter(fence).await;
        let mut client = open(&reference.endpoint(&meter, fence)).await;
        let all = [
            Place::HeadEnd,
            Place::Meter,
            Place::HeadEndsCore,
            Place::MetersCore,
        ];
        for place in all.into_iter().flat_map(|place| [place; 2]) {
            for _ in 0..3 {
                read(&mut client).await;
            }
            let router = in_use(&client, place);
            let noticed = |client: &Client| {
                let counters = client.scion().unwrap().counters;
                counters.silences + counters.reports
            };
            let before = noticed(&client);
            reference.tool("stop", &router).await;
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
            assert!(noticed(&client) > before, "nothing met the end of {router}");
            let status = client.scion().unwrap();
            println!(
                "{router} stopped: longest {} ms, now {}, {:?}",
                longest.as_millis(),
                hops(status.receipt.sent.as_ref()),
                status.counters
            );
            reference.tool("start", &router).await;
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
