//! HDLC over a stream of octets: a serial port, or TCP.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dlms::Instant;
use dlms::hdlc::{
    Address, DisconnectReason, Event, Output, Primary, Station, primary, secondary, station,
};
use model::MessageClass;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::queue::SendQueue;
use crate::time::Timer;
use crate::{Clock, HdlcOptions, Link, LinkError, Message, Sap};

/// Octets that are read from the system at once.
const INPUT_SIZE: usize = 2 * 1_024;

/// What the machine of either side has in common for the link around it.
pub(crate) trait Machine {
    /// Takes octets of the line.
    fn octets(&mut self, octets: &[u8], now: Instant);
    /// Takes a message that is to be sent.
    fn send(&mut self, message: &Message, now: Instant) -> Result<(), LinkError>;
    /// Ends the data link, where this side may.
    fn disconnect(&mut self, now: Instant);
    /// Tells that time has passed.
    fn timeout(&mut self, now: Instant);
    /// Tells what is to be done.
    fn poll(&mut self) -> Wanted;
    /// Tells whether a message can be taken now.
    fn is_ready(&self) -> bool;
}

/// What a machine wants.
pub(crate) enum Wanted {
    Transmit(Vec<u8>),
    Message(Message),
    Ended(LinkError),
    /// The data link has come up.
    Up,
    Timeout(Option<Instant>),
    Nothing,
}

/// A link over HDLC.
pub(crate) struct HdlcLink<S, M> {
    stream: S,
    machine: M,
    peer: String,
    clock: Arc<dyn Clock>,
    timer: Timer,
    deadline: Option<Instant>,
    queue: SendQueue,
    output: Vec<u8>,
    written: usize,
    arrived: VecDeque<Message>,
    input: Box<[u8; INPUT_SIZE]>,
    up: bool,
    closing: bool,
}

/// Messages that wait to be fetched before no more octets are read.
const ARRIVED_MAX: usize = 16;

/// Octets of the longest message (IEC 62056-46 sets none).
const MESSAGE_LENGTH_MAX: usize = 65_535;

impl<S: AsyncRead + AsyncWrite + Send + Unpin, M: Machine + Send> HdlcLink<S, M> {
    fn new(stream: S, machine: M, peer: String, clock: Arc<dyn Clock>, up: bool) -> Self {
        Self {
            stream,
            machine,
            peer,
            clock,
            timer: Timer::default(),
            deadline: None,
            queue: SendQueue::default(),
            output: Vec::new(),
            written: 0,
            arrived: VecDeque::new(),
            input: Box::new([0; INPUT_SIZE]),
            up,
            closing: false,
        }
    }

    /// Writes what the machine has to say, and hands it what waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            while let Some(rest) = self
                .output
                .get(self.written..)
                .filter(|rest| !rest.is_empty())
            {
                let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
                if count == 0 {
                    return Poll::Ready(Err(LinkError::Closed));
                }
                self.written += count;
            }
            self.output.clear();
            self.written = 0;
            match self.machine.poll() {
                Wanted::Transmit(octets) => self.output = octets,
                Wanted::Message(message) => self.arrived.push_back(message),
                Wanted::Ended(error) => return Poll::Ready(Err(error)),
                Wanted::Up => self.up = true,
                Wanted::Nothing => {}
                Wanted::Timeout(deadline) => {
                    self.deadline = deadline;
                    if !self.machine.is_ready() {
                        return Pin::new(&mut self.stream)
                            .poll_flush(cx)
                            .map_err(LinkError::from);
                    }
                    let Some(message) = self.queue.pop() else {
                        return Pin::new(&mut self.stream)
                            .poll_flush(cx)
                            .map_err(LinkError::from);
                    };
                    self.machine.send(&message, self.clock.now())?;
                }
            }
        }
    }

    /// Tells the machine when its time has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let over = self.timer.poll(self.deadline, &*self.clock, cx);
        if let Poll::Ready(now) = over {
            self.machine.timeout(now);
        }
        over.is_ready()
    }

    /// Reads octets and hands them to the machine.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut buffer = ReadBuf::new(&mut self.input[..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let octets = buffer.filled();
        if octets.is_empty() {
            return Poll::Ready(Err(LinkError::Closed));
        }
        self.machine.octets(octets, self.clock.now());
        Poll::Ready(Ok(()))
    }

    /// Drives everything until nothing more can be done now.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        loop {
            let written = self.poll_write(cx)?;
            if self.arrived.len() >= ARRIVED_MAX {
                return Ok(());
            }
            let read = self.poll_read(cx)?.is_ready();
            let timed = self.poll_timer(cx);
            if !read && !timed {
                // Nothing came; what the machine still has to write waits for
                // the stream, which has been asked to wake us.
                let _pending: Poll<()> = written;
                return Ok(());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin, M: Machine + Send> Link for HdlcLink<S, M> {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let max = self.payload_max();
        if message.payload.len() > max {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max,
            });
        }
        self.queue.push(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_write(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        loop {
            if let Some(message) = self.arrived.pop_front() {
                return Poll::Ready(Ok(message));
            }
            self.poll_all(cx)?;
            if self.arrived.is_empty() {
                return Poll::Pending;
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !self.closing {
            self.closing = true;
            self.machine.disconnect(self.clock.now());
        }
        match self.poll_all(cx) {
            Ok(()) => Poll::Pending,
            Err(LinkError::Closed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn payload_max(&self) -> usize {
        MESSAGE_LENGTH_MAX
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}

/// The client's side: one data link between the two ends.
pub(crate) struct ClientEnd {
    primary: Primary,
    client: Sap,
    server: Sap,
}

/// Opens the data link between the two ends over a stream.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    peer: String,
    (client, server): (Sap, Sap),
    options: HdlcOptions,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Link>, LinkError> {
    let own = Address::one(client).ok_or(LinkError::DataLink("a client's address is 0 to 127"))?;
    let meter = server_address(server, options)?;
    let mut config = primary::Config::new(meter);
    config.client = own;
    config.parameters = parameters(options);
    let mut primary = Primary::new(config);
    let now = clock.now();
    primary
        .handle(primary::Input::Connect, now)
        .map_err(|_| LinkError::DataLink("it cannot be opened"))?;
    let mut link = HdlcLink::new(
        stream,
        ClientEnd {
            primary,
            client,
            server,
        },
        peer,
        clock,
        false,
    );
    std::future::poll_fn(|cx| match link.poll_all(cx) {
        Err(error) => Poll::Ready(Err(error)),
        Ok(()) if link.up => Poll::Ready(Ok(())),
        Ok(()) => Poll::Pending,
    })
    .await?;
    Ok(Box::new(link))
}

impl Machine for ClientEnd {
    fn octets(&mut self, octets: &[u8], now: Instant) {
        quietly(self.primary.handle(primary::Input::Octets(octets), now));
    }

    fn send(&mut self, message: &Message, now: Instant) -> Result<(), LinkError> {
        self.primary
            .handle(primary::Input::Message(&message.payload), now)
            .map_err(|_| LinkError::DataLink("it takes no message now"))
    }

    fn disconnect(&mut self, now: Instant) {
        quietly(self.primary.handle(primary::Input::Disconnect, now));
    }

    fn timeout(&mut self, now: Instant) {
        quietly(self.primary.handle(primary::Input::Timeout, now));
    }

    fn poll(&mut self) -> Wanted {
        match self.primary.poll() {
            Output::Transmit(octets) => Wanted::Transmit(octets),
            Output::Timeout(deadline) => Wanted::Timeout(deadline),
            Output::Event(event) => match event {
                Event::Connected { .. } => Wanted::Up,
                Event::Message(payload)
                | Event::UnnumberedInformation {
                    octets: payload, ..
                } => Wanted::Message(Message {
                    source: self.server,
                    destination: self.client,
                    class: MessageClass::Request,
                    payload,
                }),
                Event::Disconnected { reason } => Wanted::Ended(ended(reason)),
                _ => Wanted::Nothing,
            },
        }
    }

    fn is_ready(&self) -> bool {
        self.primary.parameters().is_some()
    }
}

/// The meter's side: all its logical devices on one line.
pub(crate) struct ServerEnd {
    station: Station,
    servers: Vec<(Sap, Address)>,
    /// The link over which each client spoke last.
    links: VecDeque<station::Link>,
}

/// Clients whose links are remembered.
const LINKS_MAX: usize = 64;

/// Answers for logical devices over a stream.
pub(crate) fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    peer: String,
    saps: &[Sap],
    options: HdlcOptions,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Link>, LinkError> {
    let mut servers = Vec::with_capacity(saps.len());
    for &sap in saps {
        // In each width that the address has, unless one was named.
        for width in [1, 2, 4] {
            if options.width.is_none_or(|named| named == width)
                && let Ok(address) = server_address(
                    sap,
                    HdlcOptions {
                        width: Some(width),
                        ..options
                    },
                )
            {
                servers.push((sap, address));
            }
        }
    }
    let mut config = station::Config::new(servers.iter().map(|(_, address)| *address).collect());
    config.link.parameters = parameters(options);
    let end = ServerEnd {
        station: Station::new(config),
        servers,
        links: VecDeque::new(),
    };
    Ok(Box::new(HdlcLink::new(stream, end, peer, clock, true)))
}

impl Machine for ServerEnd {
    fn octets(&mut self, octets: &[u8], now: Instant) {
        quietly(self.station.handle(station::Input::Octets(octets), now));
    }

    fn send(&mut self, message: &Message, now: Instant) -> Result<(), LinkError> {
        let link = self.links.iter().rev().find(|link| {
            link.client.upper() == message.destination
                && self
                    .servers
                    .iter()
                    .any(|(sap, address)| *sap == message.source && *address == link.server)
        });
        let Some(link) = link.copied() else {
            return Ok(());
        };
        let input = secondary::Input::Message(&message.payload);
        // A client that has gone in the meantime gets no answer.
        if self
            .station
            .handle(station::Input::Link { link, input }, now)
            .is_err()
        {
            tracing::debug!(client = message.destination, "no data link for an answer");
        }
        Ok(())
    }

    // The client ends a data link, and the line goes on.
    fn disconnect(&mut self, _now: Instant) {}

    fn timeout(&mut self, now: Instant) {
        quietly(self.station.handle(station::Input::Timeout, now));
    }

    fn poll(&mut self) -> Wanted {
        match self.station.poll() {
            station::StationOutput::Transmit(octets) => Wanted::Transmit(octets),
            station::StationOutput::Timeout(deadline) => Wanted::Timeout(deadline),
            station::StationOutput::Event { link, event } => {
                let (Event::Message(payload)
                | Event::UnnumberedInformation {
                    octets: payload, ..
                }) = event
                else {
                    return Wanted::Nothing;
                };
                self.links.retain(|known| *known != link);
                if self.links.len() >= LINKS_MAX {
                    self.links.pop_front();
                }
                self.links.push_back(link);
                let sap = self
                    .servers
                    .iter()
                    .find(|(_, address)| *address == link.server);
                match sap {
                    Some((sap, _)) => Wanted::Message(Message {
                        source: link.client.upper(),
                        destination: *sap,
                        class: MessageClass::Request,
                        payload,
                    }),
                    None => Wanted::Nothing,
                }
            }
        }
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// Passes over a refusal that says only that there was nothing to do: what
/// comes from the line, and time, never are errors.
fn quietly(handled: Result<(), dlms::hdlc::Error>) {
    if let Err(error) = handled {
        tracing::trace!(%error, "nothing to do on the data link");
    }
}

/// Makes the address of a logical device.
fn server_address(sap: Sap, options: HdlcOptions) -> Result<Address, LinkError> {
    let wrong = LinkError::DataLink("the meter's address does not fit its width");
    let lower = options.address;
    let address = match (options.width, lower) {
        (Some(1), None) => Address::one(sap),
        (Some(1), Some(_)) => None,
        (Some(2), lower) => Address::two(sap, lower.unwrap_or(DEFAULT_LOWER)),
        (Some(4), lower) => Address::four(sap, lower.unwrap_or(DEFAULT_LOWER)),
        (_, None) => Address::one(sap).or_else(|| Address::four(sap, DEFAULT_LOWER)),
        (_, Some(lower)) => Address::two(sap, lower).or_else(|| Address::four(sap, lower)),
    };
    address.ok_or(wrong)
}

/// The physical device where none is named: 0x10 is the first that is free
/// (IEC 62056-46, reserved server addresses).
const DEFAULT_LOWER: u16 = 0x11;

fn parameters(options: HdlcOptions) -> dlms::hdlc::Parameters {
    dlms::hdlc::Parameters {
        information_length_transmit: options.info,
        information_length_receive: options.info,
        window_transmit: options.window,
        window_receive: options.window,
    }
}

const fn ended(reason: DisconnectReason) -> LinkError {
    LinkError::DataLink(match reason {
        DisconnectReason::Requested | DisconnectReason::Peer => return LinkError::Closed,
        DisconnectReason::Refused => "the meter refuses it (DM)",
        DisconnectReason::NoAnswer => "nothing comes back, however often it is asked",
        DisconnectReason::FrameRejected(_) => "the meter rejects our frame (FRMR)",
        DisconnectReason::Inactivity => "it was silent for too long",
        DisconnectReason::Reset => "the meter began anew",
        DisconnectReason::MessageTooLong => "a message is longer than is taken",
        _ => "it ended",
    })
}
