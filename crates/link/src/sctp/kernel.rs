//! The Linux kernel's own SCTP below the same associations: a socket for each,
//! and a task that keeps its queues and reads what comes.
//!
//! What differs from the crate's own machine, since the kernel has it so: all
//! packets of an association have one code point, a long message holds up
//! other classes (its I-DATA is not offered, since other implementations cannot
//! read its second fragments), nothing is sent twice ahead of a timer, and
//! there is one send buffer for all classes. So the classes wait here, and the
//! most urgent goes as soon as the kernel has room for anything.

mod options;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use model::MessageClass;
use rustix::net::sockopt::{
    set_socket_linger, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force,
    set_socket_send_buffer_size, set_socket_send_buffer_size_force, socket_error,
};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, ipproto, socket_with};
use sctp::{CloseReason, Config, Instant, PathState};
use tokio::io::Interest;
use tokio::net::UdpSocket as Watched;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};

use super::driver::{
    self, ASSOCIATIONS, EVENTS_MAX, End, FAILOVERS, LOST, PATHS_FAILED, SHUT_DOWN_LIMIT, count,
};
use super::{
    CLASS_MESSAGES_MAX, CLASS_OCTETS_MAX, ClassFigures, MESSAGE_LEN_MAX, RECEIVE_OCTETS_MAX,
    Received, SctpEvent, SctpStatus,
};
use crate::{Clock, LinkError, SctpOver, Treatment};
use options::Told;

/// Streams in both directions: one for each class.
const STREAMS: u16 = 5;

/// Octets that the kernel keeps of what came, as it counts them: a packet's
/// memory, several times its octets.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// Octets that the kernel keeps of what is sent. What is more waits in the
/// classes' queues.
const SEND_BUFFER_LEN: usize = 2 * MESSAGE_LEN_MAX;

/// Octets that are read at once.
const PIECE_LEN: usize = 65_536;

/// Associations that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// `MSG_EOR` and `MSG_NOTIFICATION`.
const END_OF_RECORD: i32 = 0x80;
const NOTIFICATION: i32 = 0x8000;

/// Where the kernel says at which UDP port it takes SCTP.
const UDP_PORT_FILE: &str = "/proc/sys/net/sctp/udp_port";

/// A socket where associations come in.
pub(super) struct Listener {
    socket: Watched,
    slots: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    config: Config,
    refused: std::sync::atomic::AtomicBool,
}

/// One association, until it is dropped.
pub(super) struct Handle(Arc<Shared>);

struct Shared {
    socket: Watched,
    state: Mutex<State>,
    wake: Notify,
    clock: Arc<dyn Clock>,
    name: String,
    _slot: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct State {
    classes: [Class; MessageClass::ALL.len()],
    inbound: VecDeque<Received>,
    inbound_len: usize,
    /// What came so far of messages that are not complete, by stream.
    begun: BTreeMap<u16, Vec<u8>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    observers: Option<broadcast::Sender<SctpEvent>>,
    /// The peer's address that data goes to, as far as was told.
    current: Option<IpAddr>,
    /// The peer's addresses that do not answer; an association has few.
    silent: BTreeSet<IpAddr>,
    failovers: u64,
    /// To be shut down once the queues are empty, and whether that was done.
    closing: bool,
    shut: bool,
    /// The handle is gone: until then what waits is delivered.
    released: Option<Instant>,
    ended: Option<End>,
}

#[derive(Default)]
struct Class {
    figures: ClassFigures,
    queue: VecDeque<Waiting>,
    octets: usize,
}

/// A message that waits for the kernel's buffer.
struct Waiting {
    protocol: u32,
    payload: Bytes,
    until: Option<Instant>,
    handed_at: Instant,
}

/// What the task waits for.
struct Turn {
    reads: bool,
    writes: bool,
    until: Option<Instant>,
}

/// Opens a socket, not bound yet.
fn open(locals: &[IpAddr], over: SctpOver, config: &Config) -> Result<OwnedFd, LinkError> {
    let family = if locals.iter().any(IpAddr::is_ipv6) {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(family, SocketType::STREAM, flags, Some(ipproto::SCTP)).map_err(|error| {
            match error {
                rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::SOCKTNOSUPPORT => {
                    LinkError::Unsupported(
                        "SCTP of this kernel: load its module, or leave backend out",
                    )
                }
                error => LinkError::Io(error.into()),
            }
        })?;
    // With less more is lost or waits; that is no reason not to begin.
    set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_LEN)
        .or_else(|_| set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_LEN))
        .unwrap_or_default();
    set_socket_send_buffer_size_force(&socket, SEND_BUFFER_LEN)
        .or_else(|_| set_socket_send_buffer_size(&socket, SEND_BUFFER_LEN))
        .unwrap_or_default();
    options::configure(socket.as_fd(), config, STREAMS)?;
    match over {
        SctpOver::Ip => encapsulate(&socket, 0)?,
        SctpOver::Udp(port) => encapsulate(&socket, port)?,
    }
    Ok(socket)
}

fn encapsulate(socket: &OwnedFd, port: u16) -> Result<(), LinkError> {
    match options::encapsulate(socket.as_fd(), port) {
        // Before Linux 5.11 there is no UDP to turn off.
        Err(_) if port == 0 => Ok(()),
        done => Ok(done?),
    }
}

/// Has the runtime watch a socket. It does so for any under the name of the
/// one kind that is made of a descriptor and promises nothing of it.
fn watch(socket: OwnedFd) -> io::Result<Watched> {
    Watched::from_std(std::net::UdpSocket::from(socket))
}

/// The UDP port that the kernel takes SCTP at, for all of its sockets; 0 for
/// none.
fn udp_port() -> u16 {
    let told = std::fs::read_to_string(UDP_PORT_FILE).unwrap_or_default();
    told.trim().parse().unwrap_or(0)
}

impl Listener {
    pub(super) fn listen(
        locals: &[IpAddr],
        port: u16,
        over: SctpOver,
        config: Config,
        associations_max: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, u16), LinkError> {
        let udp = match over {
            SctpOver::Ip => 0,
            SctpOver::Udp(wanted) => {
                let there = udp_port();
                if there == 0 || (wanted != 0 && wanted != there) {
                    return Err(LinkError::Unsupported(
                        "this UDP port: the kernel has one for all, net.sctp.udp_port (sysctl)",
                    ));
                }
                there
            }
        };
        // Where packets of a peer come from, answers go: only what is sent first
        // needs a port.
        let over = match over {
            SctpOver::Ip => SctpOver::Ip,
            SctpOver::Udp(_) => SctpOver::Udp(udp),
        };
        let socket = open(locals, over, &config)?;
        options::bind(socket.as_fd(), locals, port)?;
        rustix::net::listen(&socket, BACKLOG).map_err(io::Error::from)?;
        let listener = Self {
            socket: watch(socket)?,
            slots: Arc::new(Semaphore::new(associations_max.min(Semaphore::MAX_PERMITS))),
            clock: Arc::clone(clock),
            config,
            refused: std::sync::atomic::AtomicBool::new(false),
        };
        Ok((listener, udp))
    }

    /// Waits for the next association.
    pub(super) async fn accept(&self) -> Result<Handle, LinkError> {
        loop {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let slot = slot.map_err(|_| LinkError::Closed)?;
            let accepted = self
                .socket
                .async_io(Interest::READABLE, || {
                    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                    Ok(rustix::net::accept_with(&self.socket, flags)?)
                })
                .await;
            if self.refused.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(LinkError::Closed);
            }
            match stand(accepted?, &self.config, &self.clock, Some(slot)) {
                Ok(handle) => return Ok(handle),
                // That one is over already.
                Err(error) => tracing::info!(%error, "refused an association"),
            }
        }
    }

    /// Stops accepting.
    pub(super) fn refuse(&self) {
        self.refused
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.slots.close();
    }
}

/// Makes an association from these addresses.
pub(super) async fn connect(
    locals: &[IpAddr],
    remotes: &[IpAddr],
    port: u16,
    over: SctpOver,
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Handle, LinkError> {
    if matches!(over, SctpOver::Udp(_)) && udp_port() == 0 {
        return Err(LinkError::Unsupported(
            "UDP as long as the kernel takes no answers there: set net.sctp.udp_port (sysctl)",
        ));
    }
    let socket = open(locals, over, config)?;
    options::bind(socket.as_fd(), locals, 0)?;
    options::connect(socket.as_fd(), remotes, port)?;
    let socket = watch(socket)?;
    let established = || {
        socket_error(&socket)??;
        let standing = options::standing(socket.as_fd());
        if standing.is_some_and(|standing| standing.established) {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    };
    let connected = socket.async_io(Interest::WRITABLE, established).await;
    connected.map_err(set_up_failed)?;
    stand(socket.into_std()?.into(), config, clock, None)
}

fn set_up_failed(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::TimedOut => LinkError::DataLink("no answer to SCTP's INIT"),
        _ => LinkError::Io(error),
    }
}

/// Takes an association that stands.
fn stand(
    socket: OwnedFd,
    config: &Config,
    clock: &Arc<dyn Clock>,
    slot: Option<OwnedSemaphorePermit>,
) -> Result<Handle, LinkError> {
    let standing = options::standing(socket.as_fd()).ok_or(LinkError::Closed)?;
    if standing.outbound_streams < STREAMS {
        return Err(LinkError::DataLink(
            "it takes fewer streams than there are classes",
        ));
    }
    let required = config.auth.as_ref().is_some_and(|auth| auth.required);
    if required && !options::peer_authenticates(socket.as_fd()) {
        return Err(End::Closed(CloseReason::Refused).into());
    }
    for row in Treatment::ALL {
        options::prioritise(socket.as_fd(), row.stream, row.priority)?;
    }
    let remotes = options::remotes(socket.as_fd());
    let remotes: Vec<String> = remotes.iter().map(ToString::to_string).collect();
    let shared = Arc::new(Shared {
        socket: watch(socket)?,
        state: Mutex::new(State {
            current: standing.primary,
            ..State::default()
        }),
        wake: Notify::new(),
        clock: Arc::clone(clock),
        name: remotes.join(","),
        _slot: slot,
    });
    count(&ASSOCIATIONS);
    tokio::spawn(drive(Arc::clone(&shared)));
    Ok(Handle(shared))
}

/// Drives an association until it is over, or nobody needs it any more.
async fn drive(shared: Arc<Shared>) {
    let mut buffer = vec![0; PIECE_LEN].into_boxed_slice();
    while let Some(turn) = shared.turn() {
        let wait = async {
            match turn.until {
                Some(at) => tokio::time::sleep(at.since(shared.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = shared.socket.readable(), if turn.reads => match ready {
                Ok(()) => shared.read(&mut buffer),
                Err(_) => shared.lock().end(CloseReason::Unreachable),
            },
            ready = shared.socket.writable(), if turn.writes => {
                if ready.is_err() {
                    shared.lock().end(CloseReason::Unreachable);
                }
            }
            () = wait => {}
            () = shared.wake.notified() => {}
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        driver::now(&*self.clock)
    }

    /// Writes as far as it goes, and tells what to wait for; `None` where the
    /// task is over.
    fn turn(&self) -> Option<Turn> {
        let now = self.now();
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        let blocked = match self.write(&mut state, now) {
            Ok(blocked) => blocked,
            Err(error) => {
                state.end(reason(&error));
                return None;
            }
        };
        let empty = state.is_empty();
        if let Some(until) = state.released {
            if empty {
                // The kernel delivers what it has, and shuts down.
                return None;
            }
            if until <= now {
                // Closed with nothing to wait for, it is aborted.
                set_socket_linger(&self.socket, Some(Duration::ZERO)).unwrap_or_default();
                return None;
            }
        }
        if empty && state.closing && !state.shut {
            state.shut = true;
            rustix::net::shutdown(&self.socket, Shutdown::Write).unwrap_or_default();
        }
        Some(Turn {
            reads: state.released.is_some() || state.inbound_len < RECEIVE_OCTETS_MAX,
            writes: blocked,
            until: state.released,
        })
    }

    /// Hands messages to the kernel, the most urgent first; tells whether it
    /// has no more room.
    fn write(&self, state: &mut State, now: Instant) -> io::Result<bool> {
        let mut any = false;
        let mut blocked = false;
        'classes: for row in Treatment::ALL {
            let place = usize::from(row.class.priority());
            let Some(class) = state.classes.get_mut(place) else {
                continue;
            };
            while let Some(message) = class.queue.front() {
                let lifetime = message.until.map(|until| until.since(now));
                if lifetime != Some(Duration::ZERO) {
                    let control = options::sending(row.stream, message.protocol, lifetime);
                    let sent = self.socket.try_io(Interest::WRITABLE, || {
                        sys::socket::send(self.socket.as_fd(), &message.payload, &control)
                    });
                    match sent {
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            blocked = true;
                            break 'classes;
                        }
                        Err(error) => return Err(error),
                    }
                }
                if let Some(message) = class.queue.pop_front() {
                    class.octets = class.octets.saturating_sub(message.payload.len());
                    let waited = now.since(message.handed_at);
                    driver::waited(&mut class.figures, place, waited);
                    any = true;
                }
            }
        }
        if any && let Some(waker) = state.writer.take() {
            waker.wake();
        }
        Ok(blocked)
    }

    /// Reads what came, as far as there is room for it.
    fn read(&self, buffer: &mut [u8]) {
        let mut control = [0; 256];
        let mut state = self.lock();
        while state.ended.is_none()
            && (state.released.is_some() || state.inbound_len < RECEIVE_OCTETS_MAX)
        {
            let got = self.socket.try_io(Interest::READABLE, || {
                sys::socket::receive(self.socket.as_fd(), buffer, &mut control)
            });
            let arrived = match got {
                Ok(arrived) => arrived,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return state.end(reason(&error)),
            };
            let octets = buffer.get(..arrived.length).unwrap_or_default();
            if arrived.flags & NOTIFICATION != 0 {
                match options::told(octets) {
                    Some(Told::Path(remote, path)) => self.path_changed(&mut state, remote, path),
                    Some(Told::Restarted) => {
                        state.ended = Some(End::Restarted);
                        state.wake();
                    }
                    // Who shut it down learns it in no other way.
                    Some(Told::Shut) => state.end(CloseReason::Shutdown),
                    Some(Told::Lost) => state.end(CloseReason::AbortedByPeer { cause: None }),
                    None => {}
                }
                continue;
            }
            if arrived.length == 0 {
                return state.end(CloseReason::Shutdown);
            }
            let control = control.get(..arrived.control_len).unwrap_or_default();
            let whole = arrived.flags & END_OF_RECORD != 0;
            state.arrived(octets, options::received(control), whole);
        }
    }

    fn path_changed(&self, state: &mut State, remote: IpAddr, path: PathState) {
        tracing::info!(peer = self.name, %remote, state = ?path, "a path of SCTP changed");
        // What may have failed and then has is one failure.
        if !matches!(path, PathState::PotentiallyFailed | PathState::Inactive) {
            state.silent.remove(&remote);
        } else if state.silent.insert(remote) {
            count(&PATHS_FAILED);
        }
        state.tell(SctpEvent::Path {
            remote,
            state: path,
        });
        // The kernel does not tell where data goes: to the primary address,
        // else to another that is there.
        let paths = options::paths(self.socket.as_fd());
        let active = |primary: bool| {
            let mut there = paths.iter();
            there.find(|path| path.state == PathState::Active && (path.primary || !primary))
        };
        let Some(to) = active(true)
            .or_else(|| active(false))
            .map(|path| path.remote)
        else {
            return;
        };
        if let Some(from) = state.current.replace(to)
            && from != to
        {
            count(&FAILOVERS);
            state.failovers += 1;
            tracing::info!(peer = self.name, %from, %to, "SCTP goes another way");
            state.tell(SctpEvent::Failover { from, to });
        }
    }
}

/// Why the kernel says that an association is over.
fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => CloseReason::Unreachable,
        io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => CloseReason::Shutdown,
        _ => CloseReason::AbortedByPeer { cause: None },
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.classes.iter().all(|class| class.queue.is_empty())
    }

    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    fn end(&mut self, why: CloseReason) {
        if self.ended.is_none() {
            // What the peer ends while we shut down, is shut down.
            let why = if self.shut {
                CloseReason::Shutdown
            } else {
                why
            };
            if why != CloseReason::Shutdown {
                count(&LOST);
            }
            self.ended = Some(End::Closed(why));
        }
        self.wake();
    }

    fn tell(&self, event: SctpEvent) {
        if let Some(observers) = &self.observers {
            // An error says that nobody listens any more.
            drop(observers.send(event));
        }
    }

    /// Takes a piece of a message.
    fn arrived(&mut self, octets: &[u8], info: Option<(u16, u32)>, whole: bool) {
        let Some((stream, protocol)) = info else {
            tracing::debug!("dropped a message without its stream");
            return;
        };
        let Some(row) = Treatment::of_stream(stream) else {
            tracing::debug!(stream, "dropped a message of no class");
            return;
        };
        if self.released.is_some() {
            return;
        }
        let mut message = self.begun.remove(&stream).unwrap_or_default();
        message.extend_from_slice(octets);
        if message.len() > MESSAGE_LEN_MAX {
            self.end(CloseReason::Aborted {
                cause: sctp::cause::code::PROTOCOL_VIOLATION,
            });
            return;
        }
        if !whole {
            self.begun.insert(stream, message);
            return;
        }
        self.inbound_len += message.len();
        self.inbound.push_back(Received {
            class: row.class,
            protocol,
            payload: message.into(),
        });
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// The association, where it is not over.
    fn standing(&mut self) -> Result<&mut Self, LinkError> {
        match self.ended {
            Some(end) => Err(end.into()),
            None => Ok(self),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.released = Some(self.0.now() + SHUT_DOWN_LIMIT);
        state.inbound.clear();
        drop(state);
        self.0.wake.notify_one();
    }
}

impl Handle {
    /// Puts a message into its class's queue; with a lifetime it is given up
    /// after that, and delivered out of order.
    pub(super) fn send_for(
        &self,
        class: MessageClass,
        protocol: u32,
        payload: Bytes,
        lifetime: Option<Duration>,
    ) -> Result<(), LinkError> {
        let now = self.0.now();
        let mut state = self.0.lock();
        let state = state.standing()?;
        let entry = state
            .classes
            .get_mut(usize::from(class.priority()))
            .ok_or(LinkError::Closed)?;
        let full = entry.octets > 0 && entry.octets + payload.len() > CLASS_OCTETS_MAX;
        if full || entry.queue.len() >= CLASS_MESSAGES_MAX {
            entry.figures.refused += 1;
            return Err(LinkError::Full(class));
        }
        entry.figures.sent += 1;
        entry.octets += payload.len();
        entry.queue.push_back(Waiting {
            protocol,
            payload,
            until: lifetime.map(|lifetime| now + lifetime),
            handed_at: now,
        });
        self.0.wake.notify_one();
        Ok(())
    }

    pub(super) fn wait_to_write(&self, cx: &Context<'_>) -> Result<(), LinkError> {
        self.0.lock().standing()?.writer = Some(cx.waker().clone());
        Ok(())
    }

    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.0.lock();
        let state = state.standing()?;
        let room = |class: &Class| {
            class.octets <= CLASS_OCTETS_MAX / 2 && class.queue.len() <= CLASS_MESSAGES_MAX / 2
        };
        if state.classes.iter().all(room) {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.0.lock();
        let state = state.standing()?;
        if state.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_receive(&self, cx: &Context<'_>) -> Poll<Result<Received, LinkError>> {
        let mut state = self.0.lock();
        if let Some(message) = state.inbound.pop_front() {
            let was_full = state.inbound_len >= RECEIVE_OCTETS_MAX;
            state.inbound_len = state.inbound_len.saturating_sub(message.payload.len());
            let place = usize::from(message.class.priority());
            if let Some(class) = state.classes.get_mut(place) {
                class.figures.received += 1;
            }
            if was_full {
                self.0.wake.notify_one();
            }
            return Poll::Ready(Ok(message));
        }
        state.standing()?.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_close(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.0.lock();
        let Ok(state) = state.standing() else {
            return Poll::Ready(Ok(()));
        };
        state.writer = Some(cx.waker().clone());
        state.closing = true;
        self.0.wake.notify_one();
        Poll::Pending
    }

    pub(super) fn set_auth_key(&self, key_id: u16, key: &[u8]) -> bool {
        options::add_key(self.0.socket.as_fd(), key_id, key).is_ok()
    }

    pub(super) fn activate_auth_key(&self, key_id: u16) -> bool {
        options::use_key(self.0.socket.as_fd(), key_id).is_ok()
    }

    pub(super) fn remove_auth_key(&self, key_id: u16) -> bool {
        options::forget_key(self.0.socket.as_fd(), key_id).is_ok()
    }

    pub(super) fn observe(&self) -> broadcast::Receiver<SctpEvent> {
        let mut state = self.0.lock();
        match state.standing() {
            Ok(state) => state
                .observers
                .get_or_insert_with(|| broadcast::channel(EVENTS_MAX).0)
                .subscribe(),
            // Over: nothing more is told.
            Err(_) => broadcast::channel(1).1,
        }
    }

    pub(super) fn status(&self) -> SctpStatus {
        let socket = self.0.socket.as_fd();
        let (paths, counters) = (options::paths(socket), options::counters(socket));
        let state = self.0.lock();
        let mut status = SctpStatus {
            paths,
            counters: sctp::Counters {
                failovers: state.failovers,
                ..counters
            },
            ..SctpStatus::default()
        };
        for (figures, class) in status.classes.iter_mut().zip(&state.classes) {
            *figures = class.figures;
            figures.waiting = class.queue.len();
        }
        status
    }

    pub(super) fn name(&self) -> String {
        self.0.name.clone()
    }
}
