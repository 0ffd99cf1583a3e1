//! A SCION network in one process: daemons and border routers of some ASes as
//! tasks, on sockets of the loopback or wherever one asks for them.
//!
//! Packets are those of the data plane and go from router to router; daemons
//! answer in gRPC what links and meters ask: which AS this is, its paths and its
//! DRKeys. A link takes its time, may lose packets by chance, and may be cut:
//! loudly, so that its routers report what they cannot send on (SCMP), or in
//! silence. What came to each link is counted, for whoever is to keep off it.
//!
//! Not simulated: beacons and segments (a daemon tells what the topology has,
//! and tells a path whose link is down), what authenticates hop fields and
//! reports, limits of a path's length, other SCMP messages.

mod daemon;
mod keys;
mod route;
mod router;
mod topology;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scion::address::IsdAs;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::draw;
use daemon::Daemon;
use router::Router;

pub use keys::Keys;
pub use topology::{End, EndError, HEAD_END, Kind, Link, METERS, Topology};

/// What a network is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// ASes and links.
    pub topology: Topology,
    /// Whether packets take the time that daemons tell of a link; else none.
    pub delays: bool,
    /// What decides which packets a link loses.
    pub seed: u64,
    /// Where the daemon of an AS listens, and at which address its routers do;
    /// at 127.0.0.1 and a port that the system chooses where nothing is said.
    pub places: BTreeMap<IsdAs, SocketAddr>,
    /// How long a DRKey holds, in whole seconds; 1 at least.
    pub epoch: Duration,
}

impl Plan {
    /// Plans a network on the loopback without delays or loss, whose keys hold
    /// for a day.
    #[must_use]
    pub const fn new(topology: Topology) -> Self {
        Self {
            topology,
            delays: false,
            seed: 1,
            places: BTreeMap::new(),
            epoch: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its routers report each packet that they cannot send on.
    Loud,
    /// Packets are swallowed.
    Silent,
}

/// What came to a link, both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came to one of its routers to be sent over it, those that
    /// were not among them.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Octets of the longest one.
    pub longest: u64,
    /// Packets that were not sent because it was cut.
    pub cut: u64,
    /// Packets that it lost by chance.
    pub lost: u64,
}

/// A link as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkState {
    /// The link.
    pub link: Link,
    /// How it is cut, where it is.
    pub cut: Option<Cut>,
    /// When it mends by itself, by tokio's clock; none: when somebody mends it.
    pub mends: Option<Instant>,
    /// The share of packets that it loses, 0 to 1.
    pub loss: f64,
    /// What came to it.
    pub counters: Counters,
}

/// A link that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no link ends at {0}")]
pub struct NoLink(pub End);

/// What becomes of a packet at a link.
enum Fate {
    Passes,
    Lost,
    /// Lost, and its sender is told.
    Reported,
}

/// What the network's tasks share.
struct Shared {
    links: Vec<Mutex<LinkState>>,
    routers: BTreeMap<End, SocketAddr>,
    seed: u64,
    drawn: AtomicU64,
    astray: AtomicU64,
}

impl Shared {
    fn link(&self, number: usize) -> Option<MutexGuard<'_, LinkState>> {
        let link = self.links.get(number)?;
        let mut state = link.lock().unwrap_or_else(PoisonError::into_inner);
        if state.mends.is_some_and(|at| at <= now()) {
            (state.cut, state.mends) = (None, None);
        }
        Some(state)
    }

    fn fate(&self, number: usize, length: usize) -> Fate {
        let Some(mut state) = self.link(number) else {
            return Fate::Lost;
        };
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        state.counters.packets += 1;
        state.counters.octets += length;
        state.counters.longest = state.counters.longest.max(length);
        if let Some(cut) = state.cut {
            state.counters.cut += 1;
            return match cut {
                Cut::Loud => Fate::Reported,
                Cut::Silent => Fate::Lost,
            };
        }
        if state.loss > 0.0 {
            let place = self.drawn.fetch_add(1, Ordering::Relaxed);
            // 32 bits are a share exactly.
            let drawn = u32::try_from(draw(self.seed, place) >> 32).unwrap_or(0);
            if f64::from(drawn) < state.loss * f64::from(u32::MAX) {
                state.counters.lost += 1;
                return Fate::Lost;
            }
        }
        Fate::Passes
    }

    fn overflowed(&self, number: usize) {
        if let Some(mut state) = self.link(number) {
            state.counters.lost += 1;
        }
    }

    fn router(&self, end: End) -> Option<SocketAddr> {
        self.routers.get(&end).copied()
    }

    fn astray(&self) {
        self.astray.fetch_add(1, Ordering::Relaxed);
    }
}

/// A SCION network. It ends when it is dropped.
pub struct Network {
    daemons: BTreeMap<IsdAs, SocketAddr>,
    /// Daemons that tell no path.
    silent: BTreeMap<IsdAs, Arc<AtomicBool>>,
    shared: Arc<Shared>,
    keys: Arc<Keys>,
    _tasks: JoinSet<()>,
}

impl Network {
    /// Starts daemons and routers on the runtime that this is called on.
    ///
    /// # Errors
    /// Where an address cannot be listened at.
    pub async fn start(plan: Plan) -> io::Result<Self> {
        let topology = Arc::new(plan.topology);
        let place = |isd_as: IsdAs| {
            let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            plan.places.get(&isd_as).copied().unwrap_or(loopback)
        };
        let (mut sockets, mut routers) = (Vec::new(), BTreeMap::new());
        for link in topology.links() {
            for end in link.ends {
                let host: IpAddr = place(end.isd_as).ip();
                let socket = Arc::new(UdpSocket::bind((host, 0)).await?);
                routers.insert(end, socket.local_addr()?);
                sockets.push(socket);
            }
        }
        let links = topology.links().iter().map(|link| LinkState {
            link: *link,
            cut: None,
            mends: None,
            loss: 0.0,
            counters: Counters::default(),
        });
        let shared = Arc::new(Shared {
            links: links.map(Mutex::new).collect(),
            routers,
            seed: plan.seed,
            drawn: AtomicU64::new(0),
            astray: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        let ends = topology.links().iter().enumerate().flat_map(|(at, link)| {
            let [one, other] = link.ends;
            [(at, link, one, other), (at, link, other, one)]
        });
        for ((number, link, end, other), socket) in ends.zip(sockets) {
            let Some(remote) = shared.router(other) else {
                continue;
            };
            let router = Router {
                end,
                link: number,
                socket,
                remote,
                shared: Arc::clone(&shared),
                delay: if plan.delays {
                    link.latency
                } else {
                    Duration::ZERO
                },
            };
            tasks.spawn(router.run());
        }
        let keys = Arc::new(Keys::new(plan.epoch));
        let (mut daemons, mut silent) = (BTreeMap::new(), BTreeMap::new());
        for isd_as in topology.ases() {
            let listener = TcpListener::bind(place(isd_as)).await?;
            daemons.insert(isd_as, listener.local_addr()?);
            let own = shared
                .routers
                .iter()
                .filter(|(end, _)| end.isd_as == isd_as);
            let daemon = Daemon {
                isd_as,
                topology: Arc::clone(&topology),
                routers: own.map(|(end, at)| (end.interface.0, *at)).collect(),
                keys: Arc::clone(&keys),
                silent: Arc::clone(silent.entry(isd_as).or_default()),
            };
            tasks.spawn(daemon.run(listener));
        }
        Ok(Self {
            daemons,
            silent,
            shared,
            keys,
            _tasks: tasks,
        })
    }

    /// Tells where the daemons listen.
    #[must_use]
    pub const fn daemons(&self) -> &BTreeMap<IsdAs, SocketAddr> {
        &self.daemons
    }

    /// Has the daemon of an AS tell no path from now on, as the reference
    /// implementation's does once the control service of its AS has stopped;
    /// packets cross as before.
    pub fn tell_no_paths(&self, isd_as: IsdAs) {
        if let Some(silent) = self.silent.get(&isd_as) {
            silent.store(true, Ordering::Relaxed);
        }
    }

    /// Tells where the daemon of an AS listens.
    #[must_use]
    pub fn daemon(&self, isd_as: IsdAs) -> Option<SocketAddr> {
        self.daemons.get(&isd_as).copied()
    }

    /// Tells where the router behind which a link begins takes packets.
    #[must_use]
    pub fn router(&self, end: End) -> Option<SocketAddr> {
        self.shared.router(end)
    }

    /// Shows the links as they are.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        let all = 0..self.shared.links.len();
        all.filter_map(|number| self.shared.link(number).map(|state| *state))
            .collect()
    }

    /// Cuts the link that ends at `end`, or mends it.
    ///
    /// # Errors
    /// [`NoLink`] where there is none.
    pub fn cut(&self, end: End, how: Option<Cut>) -> Result<(), NoLink> {
        self.change(end, |state| (state.cut, state.mends) = (how, None))
    }

    /// Cuts the link that ends at `end`; after `time` it mends by itself, whatever became of who
    /// cut it.
    ///
    /// # Errors
    /// [`NoLink`] where there is none.
    pub fn cut_for(&self, end: End, how: Cut, time: Duration) -> Result<(), NoLink> {
        let mends = now() + time;
        self.change(end, |state| {
            (state.cut, state.mends) = (Some(how), Some(mends));
        })
    }

    /// Has the link that ends at `end` lose a share of its packets, 0 to 1, by
    /// chance.
    ///
    /// # Errors
    /// [`NoLink`] where there is none.
    pub fn lose(&self, end: End, share: f64) -> Result<(), NoLink> {
        self.change(end, |state| state.loss = share.clamp(0.0, 1.0))
    }

    /// Begins to count anew at all links.
    pub fn forget(&self) {
        for number in 0..self.shared.links.len() {
            if let Some(mut state) = self.shared.link(number) {
                state.counters = Counters::default();
            }
        }
    }

    /// Tells how many packets came to a router that no path of theirs leads to.
    #[must_use]
    pub fn astray(&self) -> u64 {
        self.shared.astray.load(Ordering::Relaxed)
    }

    /// Shows the keys that the network derives.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    fn change(&self, end: End, change: impl FnOnce(&mut LinkState)) -> Result<(), NoLink> {
        for number in 0..self.shared.links.len() {
            if let Some(mut state) = self.shared.link(number)
                && state.link.ends.contains(&end)
            {
                change(&mut state);
                return Ok(());
            }
        }
        Err(NoLink(end))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "delays and cuts are held against tokio's clock, as its timers are"
)]
fn now() -> Instant {
    Instant::now()
}
