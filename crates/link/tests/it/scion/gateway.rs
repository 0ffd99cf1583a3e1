//! Two gateways and the packets of their sites.
//!
//! Evidence: self-agreement, over real sockets and the two ASes of these
//! tests; against the reference implementation's gateway, with interfaces and
//! strangers' programs, in `interop/scion/gateway`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use link::{
    Clock, Gateway, GatewayFigures, GatewayPeer, GatewayView, LinkError, PROBE_PORT, ScionError,
    SystemClock,
};
use scion::sig::{Refused, Rules, Service};
use tokio::sync::mpsc;

use super::{HEAD, METERS, Net};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host of this test alone: the ports of gateways are the same everywhere.
fn host() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let process = std::process::id();
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    format!(
        "127.{}.{}.{number}",
        100 + process / 250 % 100,
        process % 250
    )
}

/// The system's clock, which may be put ahead.
struct Ahead {
    clock: SystemClock,
    secs: AtomicU64,
}

impl Ahead {
    fn new() -> Arc<Self> {
        let (clock, secs) = (SystemClock::new(), AtomicU64::new(0));
        Arc::new(Self { clock, secs })
    }
}

impl Clock for Ahead {
    fn now(&self) -> dlms::Instant {
        let ahead = Duration::from_secs(self.secs.load(Ordering::SeqCst));
        self.clock.now() + ahead
    }

    fn unix_seconds(&self) -> i64 {
        self.clock.unix_seconds()
    }
}

/// One site: what its gateway is handed, and what that hands on.
struct Site {
    out: mpsc::Sender<Vec<u8>>,
    inner: mpsc::Receiver<Vec<u8>>,
    view: GatewayView,
}

impl Site {
    fn figures(&self) -> GatewayFigures {
        self.view.figures().remove(0)
    }

    async fn until(&self, what: impl Fn(&GatewayFigures) -> bool) {
        let all = async {
            while !what(&self.figures()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, all).await;
        assert!(done.is_ok(), "{:?}", self.figures());
    }
}

struct Sites {
    net: Net,
    head: Site,
    meters: Site,
}

impl Sites {
    async fn start(fence: &str) -> Self {
        Self::start_at(fence, Ahead::new()).await
    }

    async fn start_at(fence: &str, clock: Arc<Ahead>) -> Self {
        let net = Net::start().await;
        let hosts = [host(), host()];
        let head = site(&net, 0, &hosts, fence, clock.clone()).await.unwrap();
        let meters = site(&net, 1, &hosts, fence, clock).await.unwrap();
        Self { net, head, meters }
    }
}

/// Starts the gateway of a side: 0 the head end's, 1 the meters'.
async fn site(
    net: &Net,
    side: usize,
    hosts: &[String; 2],
    fence: &str,
    clock: Arc<Ahead>,
) -> Result<Site, LinkError> {
    let ases = [HEAD, METERS];
    let (own, other) = (hosts[side].as_str(), hosts[1 - side].as_str());
    let daemon = net.daemons[side];
    let at = format!("scion://[{},{own}]:30056?daemon={daemon}", ases[side]);
    let there = format!("scion://[{},{other}]:30056?fence={fence}", ases[1 - side]);
    let prefixes = ["172.31.21.0/24", "172.31.11.0/24"];
    let services: Vec<Service> = vec!["tcp:4059".parse().unwrap(), Service::Icmp];
    let (offers, uses) = match side {
        0 => (Vec::new(), services),
        _ => (services, Vec::new()),
    };
    let peer = GatewayPeer {
        name: ["meters", "head"][side].to_owned(),
        at: there.parse().unwrap(),
        probes: Some(PROBE_PORT),
        rules: Rules {
            own: vec![prefixes[side].parse().unwrap()],
            other: vec![prefixes[1 - side].parse().unwrap()],
            offers,
            uses,
        },
    };
    let gateway = Gateway::bind(&at.parse().unwrap(), PROBE_PORT, vec![peer], clock).await?;
    let view = gateway.view();
    let (out, from_site) = mpsc::channel(256);
    let (to_site, inner) = mpsc::channel(256);
    tokio::spawn(gateway.run(from_site, to_site));
    Ok(Site { out, inner, view })
}

/// A packet of TCP from a head end to a meter, or back.
fn packet(back: bool, flags: u8, length: usize) -> Vec<u8> {
    let mut out = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    let (head, meter) = ([172, 31, 21, 9], [172, 31, 11, 7]);
    let (ends, ports) = if back {
        ([meter, head], [4_059_u16, 50_000])
    } else {
        ([head, meter], [50_000, 4_059])
    };
    out.extend(ends.concat());
    out.extend(ports.map(u16::to_be_bytes).concat());
    out.extend([0; 8]);
    out.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    out.extend((0..length).map(|n| n.to_le_bytes()[0]));
    let total = u16::try_from(out.len()).unwrap().to_be_bytes();
    out[2..4].copy_from_slice(&total);
    out
}

async fn next(site: &mut Site) -> Vec<u8> {
    let packet = tokio::time::timeout(PATIENCE, site.inner.recv()).await;
    packet.unwrap().unwrap()
}

#[tokio::test]
async fn packets_cross_whole_both_ways_and_what_is_not_offered_does_not() {
    let mut sites = Sites::start("%2B").await;
    for site in [&sites.head, &sites.meters] {
        site.until(|figures| figures.alive == Some(true)).await;
        assert_eq!(site.figures().paths, (2, 2));
    }
    let sent: Vec<_> = (0..40).map(|n| packet(false, 2, n * 97)).collect();
    for one in &sent {
        sites.head.out.send(one.clone()).await.unwrap();
    }
    for one in &sent {
        assert_eq!(next(&mut sites.meters).await, *one);
    }
    let answer = packet(true, 0x12, 9_000);
    sites.meters.out.send(answer.clone()).await.unwrap();
    assert_eq!(next(&mut sites.head).await, answer);
    // The meters' site opens nothing, and sends nothing elsewhere.
    let mut elsewhere = packet(true, 0x12, 1);
    elsewhere[19] = 200;
    elsewhere[18] = 99;
    for refused in [packet(true, 2, 0), elsewhere, vec![0; 30]] {
        sites.meters.out.send(refused).await.unwrap();
    }
    sites.meters.out.send(packet(true, 0x10, 5)).await.unwrap();
    assert_eq!(next(&mut sites.head).await, packet(true, 0x10, 5));
    let figures = sites.meters.figures();
    assert_eq!(figures.refused_outwards, [(Refused::Service, 1)].into());
    assert_eq!((figures.sent.0, figures.received.0), (2, 40));
    let astray = sites.meters.view.astray();
    assert_eq!(
        astray,
        [(Refused::NotIp, 1), (Refused::Destination, 1)].into()
    );
    assert!(sites.head.figures().refused_inwards.is_empty());
}

#[tokio::test]
async fn a_path_that_swallows_is_left_and_a_fence_is_kept() {
    let mut sites = Sites::start("%2B").await;
    sites
        .head
        .until(|figures| figures.alive == Some(true))
        .await;
    for round in 0..3_u16 {
        sites.net.cut_only(1 + round % 2);
        let there = format!("{}>", 2 - round % 2);
        let moved = |figures: &GatewayFigures| {
            let path = figures.path.clone().unwrap_or_default();
            figures.alive == Some(true) && path.contains(&there)
        };
        sites.head.until(moved).await;
        let one = packet(false, 2, usize::from(round));
        sites.head.out.send(one.clone()).await.unwrap();
        assert_eq!(next(&mut sites.meters).await, one);
    }
    assert!(sites.head.figures().session.silences >= 2);
    // Within a fence, all that either end sends keeps to it.
    let mut sites = Sites::start("- 2-ff00:0:211%231 %2B").await;
    sites
        .head
        .until(|figures| figures.alive == Some(true))
        .await;
    for n in 0..20 {
        sites.head.out.send(packet(false, 2, n)).await.unwrap();
        next(&mut sites.meters).await;
    }
    let counters = sites.net.counters();
    assert_eq!(counters[0].packets, 0, "{counters:?}");
    assert!(counters[1].packets >= 20, "{counters:?}");
}

#[tokio::test]
async fn the_preferred_path_is_taken_again_once_it_is_mended() {
    let clock = Ahead::new();
    let sites = Sites::start_at("%2B", Arc::clone(&clock)).await;
    let by = |interface: u16| {
        move |figures: &GatewayFigures| {
            let path = figures.path.clone().unwrap_or_default();
            figures.alive == Some(true) && path.starts_with(&format!("{HEAD} {interface}>"))
        }
    };
    // Whom nobody answered at first has moved already.
    let either = |figures: &GatewayFigures| by(1)(figures) || by(2)(figures);
    sites.head.until(either).await;
    sites.net.cut_only(1);
    sites.head.until(by(2)).await;
    // None is cut; what is in use works, and only a penalty keeps it there.
    sites.net.cut_only(0);
    let answered = sites.head.figures().answered;
    let often = |figures: &GatewayFigures| figures.answered > answered + 2;
    sites.head.until(often).await;
    assert!(by(2)(&sites.head.figures()), "{:?}", sites.head.figures());
    clock.secs.store(300, Ordering::SeqCst);
    sites.head.until(by(1)).await;
}

#[tokio::test]
async fn where_the_fence_leaves_no_path_nothing_is_sent() {
    let sites = Sites::start("- 1-ff00:0:111 %2B").await;
    sites.head.out.send(packet(false, 2, 0)).await.unwrap();
    sites.head.until(|figures| figures.no_path > 0).await;
    sites
        .head
        .until(|figures| figures.alive == Some(false))
        .await;
    let counters = sites.net.counters();
    assert!(counters.iter().all(|one| one.packets == 0), "{counters:?}");
    // In another AS than the daemon's there is no gateway.
    let mut hosts = [host(), host()];
    hosts.reverse();
    let net = &sites.net;
    let at = format!(
        "scion://[{METERS},{}]:30056?daemon={}",
        hosts[0], net.daemons[0]
    );
    let clock = Arc::new(SystemClock::new());
    let refused = Gateway::bind(&at.parse().unwrap(), 0, Vec::new(), clock).await;
    assert!(matches!(
        refused.map(drop),
        Err(LinkError::Scion(ScionError::OtherAs { .. }))
    ));
}
