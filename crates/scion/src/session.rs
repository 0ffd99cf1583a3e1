//! Messages with one peer: which path each takes, and what silence means.
//!
//! A sans-IO machine. [`Session::send`] gives the packets of a message;
//! [`Session::handle`] takes a packet that came; [`Session::deadline`] tells
//! when silence is a failure, and [`Session::silent`] is asked then. It repeats
//! nothing: whoever speaks above it is told that a repetition is worth it, and
//! the repetition takes another path.
//!
//! A path that failed is not left for good: once its penalty is over, and where
//! it is preferred to the one in use, a copy of a message goes along it, now and
//! then; it is taken again when an answer comes back by it.
//!
//! Who asks chooses the path. Who answers sends back along the path that the
//! request came by, where its own policy allows that, else on the best that it
//! allows; so the one who waits for an answer moves both directions at once.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::address::InterfaceId;
use crate::choice::{Choice, Failure, NoPath};
use crate::daemon::Route;
use crate::packet::{self, Carried, Packet, PacketError, Place, Report};
use crate::path::{Fingerprint, Path};
use crate::policy::Policy;

/// The shortest silence that is a failure: far above what a meter takes to
/// answer, and still three tries within half a second.
pub const SILENCE_MIN: Duration = Duration::from_millis(150);

/// The longest silence that is waited for on one path.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Silence on a path of which nothing is known.
const SILENCE_UNKNOWN: Duration = Duration::from_millis(500);

/// Between two copies that see whether a preferred path is whole again.
pub const TRY_EVERY: Duration = Duration::from_secs(30);

/// Doubled messages that are remembered, to drop their second copies.
const DOUBLED_MAX: usize = 32;

/// Attempts of one message that are remembered.
const ATTEMPTS_MAX: usize = 16;

/// Receipts that are kept until somebody takes them.
const RECEIPTS_MAX: usize = 32;

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Chooses paths, and takes silence for a failure.
    Asks,
    /// Answers along the path that it was asked by.
    Answers,
}

/// A packet for a router, or within an AS for the peer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes first.
    pub to: SocketAddr,
    /// The packet.
    pub octets: Vec<u8>,
}

/// What a packet that came was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A message, with its traffic class.
    Message {
        /// The message.
        payload: Vec<u8>,
        /// Traffic class of the packet.
        traffic_class: u8,
    },
    /// The network reports that what was sent is lost; another path is taken
    /// for its repetition.
    Lost,
    /// Nothing for who is above.
    Nothing,
}

/// The paths that the last message and the last answer took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathReceipt {
    /// Where the last message went; of one that was repeated or doubled the
    /// path that the answer came back along.
    pub sent: Option<Path>,
    /// Where the last one came from, in the order of the ASes that it
    /// crossed; none where its path is none that the network told of.
    pub received: Option<Path>,
}

/// A datagram that came beside the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender's port.
    pub port: u16,
    /// The path that an answer goes back by; none where it is not known.
    pub along: Option<Fingerprint>,
    /// What is in it.
    pub payload: &'a [u8],
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets sent, second copies among them.
    pub sent: u64,
    /// Messages taken.
    pub received: u64,
    /// Moves to another path because nothing was heard.
    pub silences: u64,
    /// Moves to another path because the network reported a failure.
    pub reports: u64,
    /// Second copies of doubled messages that were dropped.
    pub doubled: u64,
    /// Messages dropped because they came on a path that is not allowed.
    pub fenced: u64,
    /// What is no packet from the peer for this end.
    pub strange: u64,
}

/// What went out and was not answered.
#[derive(Debug)]
struct Waiting {
    /// The paths that it went on, in order.
    attempts: Vec<Attempt>,
    /// When silence is a failure; none once it was told.
    deadline: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    path: Fingerprint,
    at: Duration,
    /// Tells apart what was sent at once from what was sent again.
    flow: u32,
}

impl Waiting {
    /// The paths of the last message.
    fn last(&self) -> impl Iterator<Item = Fingerprint> {
        let flow = self.attempts.last().map(|attempt| attempt.flow);
        let last = self.attempts.iter();
        last.filter(move |attempt| Some(attempt.flow) == flow)
            .map(|attempt| attempt.path)
    }
}

/// How long answers take on a path (RFC 6298).
#[derive(Clone, Copy, Debug)]
struct Pace {
    smoothed: Duration,
    deviation: Duration,
}

/// The messages with one peer. Times are durations since any fixed moment.
#[derive(Debug)]
pub struct Session {
    role: Role,
    local: Place,
    remote: Place,
    choice: Choice,
    routes: Vec<Route>,
    /// Those before the last update: an answer may still come along one.
    former: Vec<Route>,
    waiting: Option<Waiting>,
    paces: BTreeMap<Fingerprint, Pace>,
    /// Silences in a row.
    backoff: u32,
    /// The preferred path that a copy went on last while another one is in use,
    /// and when that was.
    tried: Option<(Fingerprint, Duration)>,
    /// The path to answer on.
    mirror: Option<Fingerprint>,
    flow: u32,
    /// The ports of what was carried last beside the messages.
    carries: Option<(u16, u16)>,
    doubled: VecDeque<[u8; 32]>,
    receipt: PathReceipt,
    /// The receipts of all answers since they were taken last, each once.
    receipts: Vec<PathReceipt>,
    counters: Counters,
}

impl Session {
    /// Starts without paths: nothing can be sent before
    /// [`update`](Self::update). `flow` is random: it keeps the messages of
    /// this session apart from those of one before it between the same ends.
    #[must_use]
    pub const fn new(role: Role, local: Place, remote: Place, policy: Policy, flow: u32) -> Self {
        Self {
            role,
            local,
            remote,
            choice: Choice::new(policy),
            routes: Vec::new(),
            former: Vec::new(),
            waiting: None,
            paces: BTreeMap::new(),
            backoff: 0,
            tried: None,
            mirror: None,
            flow: flow & 0xf_ffff,
            carries: None,
            doubled: VecDeque::new(),
            receipt: PathReceipt {
                sent: None,
                received: None,
            },
            receipts: Vec::new(),
            counters: Counters {
                sent: 0,
                received: 0,
                silences: 0,
                reports: 0,
                doubled: 0,
                fenced: 0,
                strange: 0,
            },
        }
    }

    /// Takes the paths that the network now knows to the peer's AS; `unix` is
    /// the time in seconds since 1970.
    pub fn update(&mut self, routes: Vec<Route>, unix: u64) {
        let paths: Vec<Path> = routes.iter().map(|route| route.path.clone()).collect();
        self.choice.update(&paths, unix);
        self.former = core::mem::replace(&mut self.routes, routes);
        let choice = &self.choice;
        self.paces
            .retain(|path, _| choice.allowed().iter().any(|at| at.fingerprint() == *path));
    }

    /// Tells the peer.
    #[must_use]
    pub const fn remote(&self) -> Place {
        self.remote
    }

    /// Tells this end.
    #[must_use]
    pub const fn local(&self) -> Place {
        self.local
    }

    /// Tells who begins.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Shows the choice: allowed paths, and the one in use.
    #[must_use]
    pub const fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Shows the paths of the last messages.
    #[must_use]
    pub const fn receipt(&self) -> &PathReceipt {
        &self.receipt
    }

    /// Gives the receipts of all answers that came since it was called last,
    /// each once, in the order in which they came first. Where there are more
    /// than anybody can look through, the last of them says that its paths are
    /// not known.
    pub fn take_receipts(&mut self) -> Vec<PathReceipt> {
        core::mem::take(&mut self.receipts)
    }

    fn note_receipt(&mut self) {
        if self.role == Role::Answers || self.receipts.contains(&self.receipt) {
            return;
        }
        if self.receipts.len() < RECEIPTS_MAX {
            self.receipts.push(self.receipt.clone());
        } else if let Some(last) = self.receipts.last_mut() {
            *last = PathReceipt::default();
        }
    }

    /// Tells what was counted.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Gives the packets of a message: one, or two on paths apart where it is
    /// `doubled` and there are two. Every [`TRY_EVERY`] at most one that is not
    /// doubled has a copy in front of it, along a preferred path that has failed
    /// before: the peer is to drop one of both, as it does with doubled ones, or
    /// to stand both.
    ///
    /// # Errors
    /// [`NoPath`] where no path may be taken; nothing is sent then.
    pub fn send(
        &mut self,
        payload: &[u8],
        traffic_class: u8,
        doubled: bool,
        now: Duration,
    ) -> Result<Vec<Transmit>, NoPath> {
        let mirrored = self.mirror.filter(|mirror| {
            let allowed = self.choice.allowed();
            allowed.iter().any(|path| path.fingerprint() == *mirror)
        });
        let first = match mirrored {
            Some(path) if self.role == Role::Answers => path,
            _ => self.next(now)?,
        };
        let mut paths = Vec::new();
        if !doubled && let Some(path) = self.way_back(first, now) {
            self.tried = Some((path, now));
            // In front: it is the one that is answered where it arrives first.
            paths.push(path);
        }
        paths.push(first);
        if doubled {
            // Apart from the first, which of an answer is its question's.
            let second = self.choice.beside(first, now);
            paths.extend(second.map(Path::fingerprint));
        }
        self.flow = (self.flow + 1) & 0xf_ffff;
        // A flow of 0 is none.
        self.flow = self.flow.max(1);
        let mut packets = Vec::new();
        for path in &paths {
            let Some(route) = find(&self.routes, *path) else {
                continue;
            };
            let label = (traffic_class, self.flow);
            let packet = packet::datagram(self.local, self.remote, route.octets(), label, payload);
            if let Ok(octets) = packet {
                let to = route.next(self.remote.host, self.remote.port);
                packets.push(Transmit { to, octets });
            }
        }
        if packets.is_empty() {
            return Err(NoPath::Unknown);
        }
        self.counters.sent += u64::try_from(packets.len()).unwrap_or(0);
        self.receipt.sent = find(&self.routes, first).map(|route| route.path.clone());
        if self.role == Role::Asks {
            let limit = self.limit(first);
            let waiting = self.waiting.get_or_insert(Waiting {
                attempts: Vec::new(),
                deadline: None,
            });
            waiting.deadline = Some(now.saturating_add(limit));
            let over = (waiting.attempts.len() + paths.len()).saturating_sub(ATTEMPTS_MAX);
            waiting.attempts.drain(..over.min(waiting.attempts.len()));
            let (at, flow) = (now, self.flow);
            let attempts = paths.into_iter().map(|path| Attempt { path, at, flow });
            waiting.attempts.extend(attempts);
        }
        Ok(packets)
    }

    /// The preferred path that is worth a copy of a new message.
    fn way_back(&self, first: Fingerprint, now: Duration) -> Option<Fingerprint> {
        let recently = |&(_, at): &(Fingerprint, Duration)| now.saturating_sub(at) < TRY_EVERY;
        if self.role == Role::Answers
            || self.waiting.is_some()
            || self.tried.as_ref().is_some_and(recently)
        {
            return None;
        }
        let path = self.choice.to_probe(now)?.fingerprint();
        (path != first && find(&self.routes, path).is_some()).then_some(path)
    }

    /// The path of the next message: the best one; of a repetition one that
    /// was not tried for it, in turns where all were.
    fn next(&mut self, now: Duration) -> Result<Fingerprint, NoPath> {
        let best = self.choice.best(now)?.fingerprint();
        let lost = |waiting: &&Waiting| waiting.deadline.is_none();
        let Some(waiting) = self.waiting.as_ref().filter(lost) else {
            return Ok(best);
        };
        let mut tried = Vec::new();
        for attempt in waiting.attempts.iter().rev() {
            let all = tried.len() + 1 >= self.choice.allowed().len();
            if !all && !tried.contains(&attempt.path) {
                tried.push(attempt.path);
            }
        }
        tried.reverse();
        let next = self.choice.untried(&tried, now).map(Path::fingerprint);
        Ok(next.unwrap_or(best))
    }

    /// Takes a packet that came.
    ///
    /// # Errors
    /// [`PacketError`] where it is none; it is counted and forgotten.
    pub fn handle(&mut self, octets: &[u8], now: Duration) -> Result<Arrival, PacketError> {
        let taken = self.take(octets, now);
        if taken.is_err() {
            self.counters.strange += 1;
        }
        taken
    }

    fn take(&mut self, octets: &[u8], now: Duration) -> Result<Arrival, PacketError> {
        let packet = Packet::decode(octets)?;
        let carried = packet.carried()?;
        if packet.destination != (self.local.isd_as, self.local.host) {
            self.counters.strange += 1;
            return Ok(Arrival::Nothing);
        }
        match carried {
            Carried::Udp {
                source_port,
                destination_port,
                payload,
            } => {
                let to_us = destination_port == self.local.port;
                let peer = (self.remote.isd_as, self.remote.host);
                if !to_us || packet.source != peer || source_port != self.remote.port {
                    self.counters.strange += 1;
                    return Ok(Arrival::Nothing);
                }
                let crossed = packet::crossed(packet.path)?;
                Ok(self.message(&packet, &crossed, payload, now))
            }
            Carried::Report(report, quote) => self.reported(report, quote, now),
            Carried::Scmp(..) => Ok(Arrival::Nothing),
        }
    }

    fn message(
        &mut self,
        packet: &Packet<'_>,
        crossed: &[InterfaceId],
        payload: &[u8],
        now: Duration,
    ) -> Arrival {
        let came = self.came_by(crossed).map(|route| route.path.clone());
        let allowed = match &came {
            // 0: whether it has expired is not the question for what has come.
            Some(path) => self.choice.policy().judge(path, 0).is_ok(),
            None => !self.choice.policy().is_fence(),
        };
        // What a peer asks has come, whatever its way; what is answered goes
        // an allowed way. An answer is only taken from one.
        if !allowed && self.role == Role::Asks {
            self.counters.fenced += 1;
            return Arrival::Nothing;
        }
        let fingerprint = came.as_ref().map(Path::fingerprint);
        if self.is_second_copy(packet, payload) {
            self.counters.doubled += 1;
            if let (Role::Asks, Some(path)) = (self.role, fingerprint) {
                self.choice.lives(path);
            }
            return Arrival::Nothing;
        }
        match self.role {
            Role::Asks => self.answered(fingerprint, now),
            Role::Answers => self.mirror = fingerprint,
        }
        self.receipt.received = came.map(|path| path.reversed());
        self.note_receipt();
        self.counters.received += 1;
        Arrival::Message {
            payload: payload.to_vec(),
            traffic_class: packet.traffic_class,
        }
    }

    fn came_by(&self, crossed: &[InterfaceId]) -> Option<&Route> {
        let mut all = self.routes.iter().chain(&self.former);
        all.find(|route| route.is_reverse_of(crossed))
    }

    /// Tells whether this is the second copy of a doubled message: the same
    /// octets under the same flow. Each message has a flow of its own, a
    /// repetition too; who labels all messages alike doubles none, and marks
    /// none as urgent.
    fn is_second_copy(&mut self, packet: &Packet<'_>, payload: &[u8]) -> bool {
        if packet.traffic_class == 0 {
            return false;
        }
        let mut digest = Sha256::new();
        digest.update(packet.flow.to_be_bytes());
        digest.update([packet.traffic_class]);
        digest.update(payload);
        let digest: [u8; 32] = digest.finalize().into();
        if self.doubled.contains(&digest) {
            return true;
        }
        if self.doubled.len() == DOUBLED_MAX {
            self.doubled.pop_front();
        }
        self.doubled.push_back(digest);
        false
    }

    /// Notes an answer, and that it came on a path.
    fn answered(&mut self, came: Option<Fingerprint>, now: Duration) {
        self.backoff = 0;
        // The answer to a copy tells of its path, also where another one was
        // sooner.
        if let Some((path, at)) = self.tried
            && came == Some(path)
            && now.saturating_sub(at) <= SILENCE_MAX
        {
            self.choice.answered(path);
        }
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        let tried = |path: &Fingerprint| waiting.attempts.iter().any(|one| one.path == *path);
        // A peer that answers on a path of its own choice has still been
        // reached on the last one.
        let good = came
            .filter(tried)
            .or_else(|| waiting.attempts.last().map(|attempt| attempt.path));
        let Some(good) = good else { return };
        self.choice.answered(good);
        // Of several attempts the one that was answered is what counts.
        self.receipt.sent = find(&self.routes, good).map(|route| route.path.clone());
        // Which of several attempts was answered is not known (Karn).
        let mut sent = waiting.attempts.iter().filter(|one| one.path == good);
        if let (Some(sent), None) = (sent.next(), sent.next()) {
            let took = now.saturating_sub(sent.at);
            let pace = self.paces.entry(good).or_insert(Pace {
                smoothed: took,
                deviation: took / 2,
            });
            let off = pace.smoothed.abs_diff(took);
            pace.deviation = (pace.deviation * 3 + off) / 4;
            pace.smoothed = (pace.smoothed * 7 + took) / 8;
        }
    }

    /// How long an answer on this path may take.
    fn limit(&self, path: Fingerprint) -> Duration {
        let known = self
            .paces
            .get(&path)
            .map(|pace| pace.smoothed + 4 * pace.deviation);
        let told = || {
            let route = find(&self.routes, path)?;
            Some(4 * route.path.latency?.min(SILENCE_MAX))
        };
        let limit = known.or_else(told).unwrap_or(SILENCE_UNKNOWN);
        let limit = limit.clamp(SILENCE_MIN, SILENCE_MAX);
        let doubled = 1_u32.checked_shl(self.backoff).unwrap_or(u32::MAX);
        limit.saturating_mul(doubled).min(SILENCE_MAX)
    }

    /// Gives the packet of a datagram between other ports of the two hosts, on
    /// the path in use, or `along` another one where the policy allows that.
    /// Nothing is waited for, and silence tells nothing.
    ///
    /// # Errors
    /// [`NoPath`] where no path may be taken; nothing is sent then.
    pub fn carry(
        &mut self,
        (from, to): (u16, u16),
        along: Option<Fingerprint>,
        payload: &[u8],
        now: Duration,
    ) -> Result<Transmit, NoPath> {
        let allowed = self.choice.allowed();
        let along = along.filter(|path| allowed.iter().any(|one| one.fingerprint() == *path));
        let path = match along {
            Some(path) => path,
            None => self.choice.best(now)?.fingerprint(),
        };
        let route = find(&self.routes, path).ok_or(NoPath::Unknown)?;
        let local = Place {
            port: from,
            ..self.local
        };
        let remote = Place {
            port: to,
            ..self.remote
        };
        let packet = packet::datagram(local, remote, route.octets(), (0, 0), payload);
        self.counters.sent += 1;
        self.carries = Some((from, to));
        Ok(Transmit {
            to: route.next(remote.host, remote.port),
            octets: packet.map_err(|_| NoPath::Unknown)?,
        })
    }

    /// Takes a datagram that came to another port of this host from the other.
    /// None where it came by a path that the policy forbids, or from elsewhere;
    /// a report of the network's is acted on.
    ///
    /// # Errors
    /// [`PacketError`] where it is none.
    pub fn carried<'a>(
        &mut self,
        octets: &'a [u8],
        now: Duration,
    ) -> Result<Option<Datagram<'a>>, PacketError> {
        let packet = Packet::decode(octets)?;
        let here = packet.destination == (self.local.isd_as, self.local.host);
        match packet.carried()? {
            Carried::Udp {
                source_port,
                payload,
                ..
            } => {
                if !here || packet.source != (self.remote.isd_as, self.remote.host) {
                    self.counters.strange += 1;
                    return Ok(None);
                }
                let crossed = packet::crossed(packet.path)?;
                let came = self.came_by(&crossed).map(|route| &route.path);
                let policy = self.choice.policy();
                let allowed = match came {
                    Some(path) => policy.judge(path, 0).is_ok(),
                    None => !policy.is_fence(),
                };
                let came = came.map(Path::fingerprint);
                if !allowed {
                    self.counters.fenced += 1;
                    return Ok(None);
                }
                self.counters.received += 1;
                Ok(Some(Datagram {
                    port: source_port,
                    along: came,
                    payload,
                }))
            }
            Carried::Report(report, quote) if here => {
                self.reported(report, quote, now)?;
                Ok(None)
            }
            Carried::Report(..) | Carried::Scmp(..) => Ok(None),
        }
    }

    /// Tells when silence is a failure.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.waiting.as_ref().and_then(|waiting| waiting.deadline)
    }

    /// Takes the silence until now for a failure, once the deadline is over:
    /// the next message takes another path. Tells whether it was.
    pub fn silent(&mut self, now: Duration) -> bool {
        let Some(waiting) = &mut self.waiting else {
            return false;
        };
        if waiting.deadline.is_none_or(|deadline| now < deadline) {
            return false;
        }
        waiting.deadline = None;
        for path in waiting.last() {
            // Without a path the next message says so.
            self.choice.failed(path, Failure::Silence, now).ok();
        }
        self.backoff = (self.backoff + 1).min(8);
        self.counters.silences += 1;
        true
    }

    /// Tells whether packets between these ports are of this session.
    fn sends(&self, ports: (u16, u16)) -> bool {
        ports == (self.local.port, self.remote.port) || Some(ports) == self.carries
    }

    fn reported(
        &mut self,
        report: Report,
        quote: &[u8],
        now: Duration,
    ) -> Result<Arrival, PacketError> {
        let quote = Packet::decode_quote(quote)?;
        let ours = quote.source == (self.local.isd_as, self.local.host)
            && quote.destination == (self.remote.isd_as, self.remote.host)
            && self.sends(quote.quoted_ports()?);
        let crossed = packet::crossed(quote.path)?;
        let Some(went) = self.routes.iter().find(|route| route.is(&crossed)) else {
            return Ok(Arrival::Nothing);
        };
        // Anybody may have made the report: it moves what it can be about, to
        // other allowed paths, and for a while.
        if !ours || !report.is_about(&went.path) {
            self.counters.strange += 1;
            return Ok(Arrival::Nothing);
        }
        let went = went.path.fingerprint();
        let harmed: Vec<Fingerprint> = self
            .choice
            .allowed()
            .iter()
            .filter(|path| path.fingerprint() == went || report.takes(path))
            .map(Path::fingerprint)
            .collect();
        for path in harmed {
            self.choice.failed(path, Failure::Reported, now).ok();
        }
        let Some(waiting) = &mut self.waiting else {
            return Ok(Arrival::Nothing);
        };
        // Of what went on two paths, one is still under way.
        let lost = waiting.deadline.is_some() && waiting.last().all(|path| path == went);
        if !lost {
            return Ok(Arrival::Nothing);
        }
        waiting.deadline = None;
        self.counters.reports += 1;
        Ok(Arrival::Lost)
    }
}

impl Report {
    /// Tells whether a packet on this path can have met what is reported.
    fn is_about(&self, path: &Path) -> bool {
        matches!(self, Self::Other { .. }) || self.takes(path)
    }

    /// Tells whether a path cannot be used while this lasts.
    fn takes(&self, path: &Path) -> bool {
        match *self {
            Self::ExternalInterfaceDown { isd_as, interface } => path
                .interfaces()
                .any(|(at, through, _)| (at, through) == (isd_as, interface)),
            Self::InternalConnectivityDown {
                isd_as,
                ingress,
                egress,
            } => path
                .hops()
                .iter()
                .any(|hop| hop.isd_as == isd_as && (hop.ingress, hop.egress) == (ingress, egress)),
            Self::Other { .. } => false,
        }
    }
}

/// Tells whom a packet for one's own host concerns: who sent it, or of a
/// report to whom the quoted packet went. None where it is no packet.
#[must_use]
pub fn peer_of(octets: &[u8]) -> Option<Place> {
    let packet = Packet::decode(octets).ok()?;
    match packet.carried().ok()? {
        Carried::Udp { source_port, .. } => Some(Place {
            isd_as: packet.source.0,
            host: packet.source.1,
            port: source_port,
        }),
        Carried::Report(_, quote) => {
            let quote = Packet::decode_quote(quote).ok()?;
            Some(Place {
                isd_as: quote.destination.0,
                host: quote.destination.1,
                port: quote.quoted_ports().ok()?.1,
            })
        }
        Carried::Scmp(..) => None,
    }
}

fn find(routes: &[Route], path: Fingerprint) -> Option<&Route> {
    routes.iter().find(|route| route.path.fingerprint() == path)
}
