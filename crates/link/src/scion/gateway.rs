//! A SCION-IP gateway: the IP packets of one site, in frames to the gateways of
//! others (`doc/sig.rst` of the reference implementation).
//!
//! Other gateways and their prefixes are configured; nothing is discovered. The
//! path to each is held by probes, so that silence is a failure here too: the
//! frames follow the path that the last probe was answered on.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scion::address::IsdAs;
use scion::choice::NoPath;
use scion::packet::Place;
use scion::session::{Arrival, Counters, Role, Session, Transmit, peer_of};
use scion::sig::{Encoder, Flow, Probe, Reassembler, Refused, Rules, StreamId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attachment::Feed;
use super::{DATAGRAM_SIZE_MAX, ScionDialer, ScionError, flow, place, unix};
use crate::{Clock, Endpoint, LinkError};

/// The port of frames (reference `gateway/config`).
pub const GATEWAY_PORT: u16 = 30_056;

/// The port of probes.
pub const PROBE_PORT: u16 = 30_856;

/// The longest frame, in octets: with the headers of a path of three segments
/// it is below 1,400.
const FRAME_LEN: usize = 1_200;

/// Gateways of other sites.
pub const GATEWAY_PEERS_MAX: usize = 64;

/// How often a path that answers is probed.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// How long it is waited where no path may be taken.
const AGAIN: Duration = Duration::from_millis(500);

/// The gateway of another site.
#[derive(Clone, Debug)]
pub struct GatewayPeer {
    /// What it is called in logs and figures.
    pub name: String,
    /// Where it takes frames, with the fence of the way there.
    pub at: Endpoint,
    /// Where it reflects probes; none: its path is left only where the network
    /// reports a failure.
    pub probes: Option<u16>,
    /// What passes.
    pub rules: Rules,
}

/// What became of the packets to and from one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayFigures {
    /// What it is called.
    pub name: String,
    /// Packets and octets that were sent there.
    pub sent: (u64, u64),
    /// Packets and octets that came from there.
    pub received: (u64, u64),
    /// Frames that were sent.
    pub frames: u64,
    /// Packets to it that did not pass, by why.
    pub refused_outwards: BTreeMap<Refused, u64>,
    /// Packets from it that did not pass, by why.
    pub refused_inwards: BTreeMap<Refused, u64>,
    /// Frames for which no path was allowed.
    pub no_path: u64,
    /// Packets that nobody took in time.
    pub full: u64,
    /// What became of frames from it.
    pub reassembly: scion::sig::Counters,
    /// Moves to other paths, and what was dropped on the way.
    pub session: Counters,
    /// Probes that were answered.
    pub answered: u64,
    /// Whether the last probe was answered; none where there are none.
    pub alive: Option<bool>,
    /// The paths that the network knows, and those that are allowed.
    pub paths: (usize, usize),
    /// The path in use.
    pub path: Option<String>,
}

struct Peer {
    name: String,
    at: Place,
    probes: Option<u16>,
    rules: Rules,
    state: Mutex<State>,
}

struct State {
    session: Session,
    feed: Feed,
    encoder: Encoder,
    reassembler: Reassembler,
    figures: GatewayFigures,
}

impl Peer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Shared {
    clock: Arc<dyn Clock>,
    frames: UdpSocket,
    reflected: UdpSocket,
    /// The ports of both.
    ports: (u16, u16),
    peers: Vec<Peer>,
    /// Packets of the own site that no peer is there for.
    astray: Mutex<BTreeMap<Refused, u64>>,
}

/// A gateway, with its sockets open.
pub struct Gateway {
    shared: Arc<Shared>,
    /// What each peer is probed from.
    probing: Vec<UdpSocket>,
}

/// Shows what a running [`Gateway`] does.
#[derive(Clone)]
pub struct GatewayView(Arc<Shared>);

impl Gateway {
    /// Opens the sockets at a place of the own AS and finds the paths to the
    /// peers. Probes of others are reflected at `probe_port`; 0 takes a free
    /// one.
    ///
    /// # Errors
    /// The daemon's, an address that is taken, more than
    /// [`GATEWAY_PEERS_MAX`] peers, or an endpoint that is none of SCION.
    pub async fn bind(
        at: &Endpoint,
        probe_port: u16,
        peers: Vec<GatewayPeer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let Endpoint::Scion(here, options) = at else {
            return Err(LinkError::Unsupported("what is no scion:// place"));
        };
        if peers.len() > GATEWAY_PEERS_MAX {
            return Err(LinkError::Unsupported("a gateway with more than 64 peers"));
        }
        let attachment = ScionDialer::default().attach(options).await?;
        let local = place(here, options)?;
        if attachment.isd_as() != local.isd_as {
            return Err(ScionError::OtherAs {
                at: attachment.daemon().into(),
                there: attachment.isd_as(),
                wanted: local.isd_as,
            }
            .into());
        }
        let frames = UdpSocket::bind((local.host, local.port)).await?;
        let reflected = UdpSocket::bind((local.host, probe_port)).await?;
        let ports = (frames.local_addr()?.port(), reflected.local_addr()?.port());
        let (mut all, mut probing) = (Vec::new(), Vec::new());
        for peer in peers {
            let Endpoint::Scion(there, options) = &peer.at else {
                return Err(LinkError::Unsupported("what is no scion:// place"));
            };
            let at = place(there, options)?;
            let socket = UdpSocket::bind((local.host, 0)).await?;
            let near = Place {
                port: socket.local_addr()?.port(),
                ..local
            };
            let far = Place {
                port: peer.probes.unwrap_or(PROBE_PORT),
                ..at
            };
            let mut session = Session::new(Role::Asks, near, far, options.policy(), flow()?);
            let mut feed = attachment.paths(at.isd_as)?;
            if let Some(routes) = feed.paths() {
                session.update(routes.to_vec(), unix(clock.as_ref()));
            }
            // A number of its own, so that a gateway that starts anew is heard.
            let stream = StreamId::new(flow()?);
            all.push(Peer {
                state: Mutex::new(State {
                    session,
                    feed,
                    encoder: Encoder::new(0, stream, FRAME_LEN),
                    reassembler: Reassembler::new(),
                    figures: GatewayFigures {
                        name: peer.name.clone(),
                        ..GatewayFigures::default()
                    },
                }),
                name: peer.name,
                at,
                probes: peer.probes,
                rules: peer.rules,
            });
            probing.push(socket);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                clock,
                frames,
                reflected,
                ports,
                peers: all,
                astray: Mutex::default(),
            }),
            probing,
        })
    }

    /// Tells the ports of frames and of probes.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        self.shared.ports
    }

    /// Gives what shows what it does.
    #[must_use]
    pub fn view(&self) -> GatewayView {
        GatewayView(Arc::clone(&self.shared))
    }

    /// Carries packets of the own site to the others, and theirs to it, until
    /// one of the two ends is closed. What the own site does not take in time
    /// is dropped and counted.
    ///
    /// # Errors
    /// A socket's.
    pub async fn run(
        self,
        mut from_site: mpsc::Receiver<Vec<u8>>,
        to_site: mpsc::Sender<Vec<u8>>,
    ) -> Result<(), LinkError> {
        let mut tasks = JoinSet::new();
        for (index, socket) in self.probing.into_iter().enumerate() {
            tasks.spawn(Arc::clone(&self.shared).keep(index, socket));
        }
        let shared = &self.shared;
        let outcome = tokio::select! {
            outcome = shared.outwards(&mut from_site) => outcome,
            outcome = shared.inwards(&to_site) => outcome,
            outcome = shared.reflect() => outcome,
            () = to_site.closed() => Ok(()),
        };
        tasks.shutdown().await;
        Ok(outcome?)
    }
}

impl GatewayView {
    /// Tells what became of packets, by peer.
    #[must_use]
    pub fn figures(&self) -> Vec<GatewayFigures> {
        let of = |peer: &Peer| {
            let state = peer.lock();
            let choice = state.session.choice();
            GatewayFigures {
                reassembly: state.reassembler.counters(),
                session: state.session.counters(),
                paths: (choice.known(), choice.allowed().len()),
                path: choice.active().map(ToString::to_string),
                ..state.figures.clone()
            }
        };
        self.0.peers.iter().map(of).collect()
    }

    /// Counts the packets of the own site that are for no peer, by why.
    #[must_use]
    pub fn astray(&self) -> BTreeMap<Refused, u64> {
        let astray = self.0.astray.lock();
        astray.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn now(&self) -> Duration {
        Duration::from_micros(self.clock.now().as_micros())
    }

    /// Finds whom a packet is for: the peer with the longest prefix.
    fn whom(&self, packet: &[u8]) -> Result<&Peer, Refused> {
        let to = Flow::of(packet).map_err(|_| Refused::NotIp)?.destination;
        let longest = |peer: &&Peer| {
            let all = peer.rules.other.iter();
            let all = all.filter(|prefix| prefix.contains(to));
            all.map(|prefix| prefix.length()).max()
        };
        let found = self.peers.iter().filter(|peer| longest(peer).is_some());
        found.max_by_key(longest).ok_or(Refused::Destination)
    }

    /// Finds the peer at a host.
    fn who(&self, isd_as: IsdAs, host: IpAddr) -> Option<&Peer> {
        let mut all = self.peers.iter();
        all.find(|peer| (peer.at.isd_as, peer.at.host) == (isd_as, host))
    }

    async fn outwards(&self, from_site: &mut mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
        let mut out = Vec::new();
        while let Some(packet) = from_site.recv().await {
            let mut next = Some(packet);
            // What waits is put into frames together, up to a bound.
            for _ in 0..TOGETHER_MAX {
                let Some(packet) = next.take() else { break };
                self.pack(&packet, &mut out);
                next = from_site.try_recv().ok();
            }
            if let Some(packet) = next {
                self.pack(&packet, &mut out);
            }
            for peer in &self.peers {
                let mut state = peer.lock();
                let State {
                    encoder,
                    session,
                    figures,
                    ..
                } = &mut *state;
                encoder.flush(|frame| self.frame(peer, session, figures, frame, &mut out));
            }
            for Transmit { to, octets } in out.drain(..) {
                send(&self.frames, to, &octets).await;
            }
        }
        Ok(())
    }

    /// Puts a packet of the own site into frames.
    fn pack(&self, packet: &[u8], out: &mut Vec<Transmit>) {
        let peer = match self.whom(packet) {
            Ok(peer) => peer,
            Err(why) => {
                let mut astray = self.astray.lock().unwrap_or_else(PoisonError::into_inner);
                *astray.entry(why).or_default() += 1;
                return;
            }
        };
        let mut state = peer.lock();
        let State {
            encoder,
            session,
            figures,
            ..
        } = &mut *state;
        if let Err(why) = peer.rules.outwards(packet) {
            *figures.refused_outwards.entry(why).or_default() += 1;
            return;
        }
        let mut made = Vec::new();
        // It was looked at: it is a whole packet.
        encoder.push(packet, |frame| made.push(frame.to_vec())).ok();
        count(&mut figures.sent, packet);
        for frame in made {
            self.frame(peer, session, figures, &frame, out);
        }
    }

    fn frame(
        &self,
        peer: &Peer,
        session: &mut Session,
        figures: &mut GatewayFigures,
        frame: &[u8],
        out: &mut Vec<Transmit>,
    ) {
        let ports = (self.ports.0, peer.at.port);
        match session.carry(ports, None, frame, self.now()) {
            Ok(packet) => {
                figures.frames += 1;
                out.push(packet);
            }
            Err(_) => figures.no_path += 1,
        }
    }

    async fn inwards(&self, to_site: &mpsc::Sender<Vec<u8>>) -> std::io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_SIZE_MAX].into_boxed_slice();
        loop {
            let Some((octets, peer)) = self.receive(&self.frames, &mut buffer).await? else {
                continue;
            };
            let now = self.now();
            let mut state = peer.lock();
            let State {
                session,
                reassembler,
                figures,
                ..
            } = &mut *state;
            let frame = match session.carried(octets, now) {
                Ok(Some(datagram)) => datagram.payload,
                Ok(None) => continue,
                Err(error) => {
                    tracing::trace!(%error, "dropped what is no packet of SCION");
                    continue;
                }
            };
            let taken = reassembler.take(frame, now, |packet| {
                if let Err(why) = peer.rules.inwards(packet) {
                    *figures.refused_inwards.entry(why).or_default() += 1;
                    return;
                }
                match to_site.try_send(packet.to_vec()) {
                    Ok(()) => count(&mut figures.received, packet),
                    Err(_) => figures.full += 1,
                }
            });
            if let Err(error) = taken {
                tracing::debug!(peer = %peer.name, %error, "a frame is malformed");
            }
        }
    }

    /// Answers probes of peers, along the path that they came by.
    async fn reflect(&self) -> std::io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_SIZE_MAX].into_boxed_slice();
        loop {
            let Some((octets, peer)) = self.receive(&self.reflected, &mut buffer).await? else {
                continue;
            };
            let now = self.now();
            let answer = {
                let mut state = peer.lock();
                let Ok(Some(asked)) = state.session.carried(octets, now) else {
                    continue;
                };
                let Ok(Some(probe)) = Probe::decode(asked.payload) else {
                    continue;
                };
                let ports = (self.ports.1, asked.port);
                let answer = probe.encode();
                state.session.carry(ports, asked.along, &answer, now)
            };
            if let Ok(Transmit { to, octets }) = answer {
                send(&self.reflected, to, &octets).await;
            }
        }
    }

    /// Waits for a packet that concerns a peer.
    async fn receive<'a, 'b>(
        &'a self,
        socket: &UdpSocket,
        buffer: &'b mut [u8],
    ) -> std::io::Result<Option<(&'b [u8], &'a Peer)>> {
        let (length, _) = socket.recv_from(buffer).await?;
        let octets = buffer.get(..length).unwrap_or_default();
        let peer = peer_of(octets).and_then(|at| self.who(at.isd_as, at.host));
        if peer.is_none() {
            tracing::trace!(length, "dropped a packet of no peer");
        }
        Ok(peer.map(|peer| (octets, peer)))
    }

    /// Holds the path to a peer.
    async fn keep(self: Arc<Self>, index: usize, socket: UdpSocket) {
        let Some(peer) = self.peers.get(index) else {
            return;
        };
        let mut buffer = vec![0; PROBE_LEN_MAX].into_boxed_slice();
        let mut number = 0_u64;
        loop {
            number = number.wrapping_add(1);
            self.late(peer, &socket, &mut buffer);
            match self.probe(peer, &number.to_be_bytes()) {
                Some(packets) => {
                    for Transmit { to, octets } in packets {
                        send(&socket, to, &octets).await;
                    }
                }
                None => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
            if self.answered(peer, &socket, &mut buffer).await {
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }
    }

    /// Takes what came after the answer that was waited for: a copy on another
    /// path has one of its own, which tells of that path.
    fn late(&self, peer: &Peer, socket: &UdpSocket, buffer: &mut [u8]) {
        for _ in 0..TOGETHER_MAX {
            let Ok((length, _)) = socket.try_recv_from(buffer) else {
                return;
            };
            let octets = buffer.get(..length).unwrap_or_default();
            if let Err(error) = peer.lock().session.handle(octets, self.now()) {
                tracing::trace!(%error, "dropped what is no packet of SCION");
            }
        }
    }

    /// Makes the packets of a probe; none where there is none to be sent now.
    fn probe(&self, peer: &Peer, data: &[u8]) -> Option<Vec<Transmit>> {
        let mut state = peer.lock();
        if let Some(routes) = state.feed.news() {
            let now = unix(self.clock.as_ref());
            state.session.update(routes.to_vec(), now);
        }
        peer.probes?;
        let probe = Probe {
            session: 0,
            data: data.to_vec(),
        };
        let sent = state.session.send(&probe.encode(), 0, false, self.now());
        if let Err(none) = &sent {
            // Right after the start the daemon is still being asked.
            let is_news = state.figures.alive == Some(true)
                || matches!(none, NoPath::Fenced(_)) && state.figures.alive.is_none();
            if is_news {
                tracing::warn!(peer = %peer.name, %none, "nothing can be sent");
            }
            if is_news || *none != NoPath::Unknown {
                state.figures.alive = Some(false);
            }
            state.feed.hurry();
        }
        sent.ok()
    }

    /// Waits for the answer to a probe; tells whether it came.
    async fn answered(&self, peer: &Peer, socket: &UdpSocket, buffer: &mut [u8]) -> bool {
        loop {
            let deadline = peer.lock().session.deadline();
            let left = deadline.map_or(Duration::ZERO, |at| at.saturating_sub(self.now()));
            let received = tokio::time::timeout(left, socket.recv_from(buffer)).await;
            let mut state = peer.lock();
            let now = self.now();
            let lost = match received {
                Ok(Ok((length, _))) => {
                    let octets = buffer.get(..length).unwrap_or_default();
                    match state.session.handle(octets, now) {
                        // An old one says that the path is good, too.
                        Ok(Arrival::Message { .. }) => {
                            state.figures.answered += 1;
                            if state.figures.alive.replace(true) != Some(true) {
                                let path = state.session.choice().active();
                                let path = path.map(ToString::to_string);
                                tracing::info!(peer = %peer.name, path, "the peer answers");
                            }
                            return true;
                        }
                        Ok(Arrival::Lost) => true,
                        Ok(Arrival::Nothing) | Err(_) => false,
                    }
                }
                // What is refused locally is as lost as what is silent.
                Ok(Err(_)) => false,
                Err(_) => state.session.silent(now) || deadline.is_none(),
            };
            if lost {
                if state.figures.alive.replace(false) != Some(false) {
                    tracing::info!(peer = %peer.name, "nothing was heard: another path");
                }
                state.feed.hurry();
                return false;
            }
        }
    }
}

/// Packets that are taken together: put into frames before these are sent, or
/// looked at before the next probe.
const TOGETHER_MAX: usize = 32;

/// Octets of a probe's packet that are looked at.
const PROBE_LEN_MAX: usize = 4_096;

fn count((packets, octets): &mut (u64, u64), packet: &[u8]) {
    *packets += 1;
    *octets += u64::try_from(packet.len()).unwrap_or(0);
}

async fn send(socket: &UdpSocket, to: SocketAddr, octets: &[u8]) {
    if let Err(error) = socket.send_to(octets, to).await {
        // As lost as on the way: probes find another one.
        tracing::debug!(%error, %to, "a packet did not leave");
    }
}
