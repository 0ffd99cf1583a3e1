//! The secondary station: one logical device's end of a link to one client.

mod table;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::exchange::{Accepted, Exchange, UnnumberedAssembly};
use super::timers::Timers;
use super::{
    Address, Control, Deframer, DisconnectReason, Error, Event, Frame, FrameReject, LineCounters,
    LinkCounters, Output, ParameterForm, Parameters, QUEUE_MESSAGES_MAX, Sequence, llc,
};
use crate::codec::Wire;
use crate::{Duration, Instant};
use table::{Action, transition};
pub use table::{StateKind, Stimulus, dot, table};

/// What a secondary station is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's own address.
    pub server: Address,
    /// The client that it answers, of one octet.
    pub client: Address,
    /// The most that it agrees to.
    pub parameters: Parameters,
    /// How UA tells what was agreed.
    pub parameter_form: ParameterForm,
    /// How long a question is kept open for the layer above before RR answers
    /// it. Less than the client's response timeout.
    pub response_time: Duration,
    /// How long the client may be silent; `None` for ever. The standard's
    /// default is 120 s.
    pub inactivity_timeout: Option<Duration>,
    /// The longest pause within a frame; `None` for any. The standard's 25 ms
    /// presume a line without an operating system in between.
    pub inter_octet_timeout: Option<Duration>,
    /// Most octets of a message either way, with its LLC header.
    pub message_length_max: usize,
}

impl Config {
    /// Makes the configuration of `server` towards `client`.
    #[must_use]
    pub const fn new(server: Address, client: Address) -> Self {
        Self {
            server,
            client,
            parameters: Parameters::DEFAULT,
            parameter_form: ParameterForm::Narrow,
            response_time: Duration::from_secs(1),
            inactivity_timeout: Some(Duration::from_secs(120)),
            inter_octet_timeout: Some(Duration::from_millis(200)),
            message_length_max: 0x1_0003,
        }
    }
}

/// What happens to a secondary station.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Octets came.
    Octets(&'a [u8]),
    /// A frame came, found by another's deframer.
    Frame(Frame<'a>),
    /// A message is to be sent, when the client asks.
    Message(&'a [u8]),
    /// A message is to be sent outside the connection: at once where there is
    /// none, else when the client asks.
    UnnumberedInformation(&'a [u8]),
    /// The layer above cannot take more, or can again.
    Busy(bool),
    /// The link is to end: the client learns it when it asks.
    Disconnect,
    /// The time of the last [`Output::Timeout`] has come.
    Timeout,
}

#[derive(Debug)]
enum State {
    Disconnected,
    Waiting(Connection),
    Polled(Connection),
    Rejecting(FrameReject),
}

impl State {
    const fn kind(&self) -> StateKind {
        match self {
            Self::Disconnected => StateKind::Disconnected,
            Self::Waiting(_) => StateKind::Waiting,
            Self::Polled(_) => StateKind::Polled,
            Self::Rejecting(_) => StateKind::Rejecting,
        }
    }
}

#[derive(Debug)]
struct Connection {
    exchange: Exchange,
    /// A message was delivered and the layer above may answer it.
    reply_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    InterOctet,
    Response,
    Inactivity,
}

/// A server's end of a link. See [`hdlc`](super) for how it is driven.
#[derive(Debug)]
pub struct Secondary {
    config: Config,
    deframer: Deframer,
    state: State,
    busy: bool,
    timers: Timers<Timer>,
    unnumbered: UnnumberedAssembly,
    /// UI frames that wait for our turn.
    unnumbered_queue: VecDeque<Vec<u8>>,
    outputs: VecDeque<Output>,
    counters: LinkCounters,
}

impl Secondary {
    /// Starts without a link.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config.parameters = config.parameters.sound();
        let unnumbered = UnnumberedAssembly::new(config.message_length_max);
        Self {
            config,
            deframer: Deframer::new(),
            state: State::Disconnected,
            busy: false,
            timers: Timers::new(),
            unnumbered,
            unnumbered_queue: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: LinkCounters::default(),
        }
    }

    /// Takes what happened.
    ///
    /// # Errors
    /// [`Error`] where the input cannot be taken now; nothing has changed
    /// then. What comes from the line never is an error.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Result<(), Error> {
        match input {
            Input::Octets(octets) => self.octets(octets, now),
            Input::Frame(frame) => self.frame(&frame, now),
            Input::Message(message) => self.step(Stimulus::Message, None, message, now)?,
            Input::UnnumberedInformation(message) => {
                self.step(Stimulus::UnnumberedInformation, None, message, now)?;
            }
            Input::Busy(busy) => self.busy = busy,
            Input::Disconnect => self.step(Stimulus::Disconnect, None, &[], now)?,
            Input::Timeout => self.timeouts(now),
        }
        self.turn(now);
        Ok(())
    }

    /// Takes the next output; call until it is [`Output::Timeout`].
    pub fn poll(&mut self) -> Output {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Timeout(self.timers.next()))
    }

    /// Tells the state without its data.
    #[must_use]
    pub const fn state(&self) -> StateKind {
        self.state.kind()
    }

    /// Tells what was agreed; `None` without a link.
    #[must_use]
    pub const fn parameters(&self) -> Option<&Parameters> {
        match &self.state {
            State::Waiting(connection) | State::Polled(connection) => {
                Some(connection.exchange.parameters())
            }
            State::Disconnected | State::Rejecting(_) => None,
        }
    }

    /// Tells what the line has carried so far.
    #[must_use]
    pub const fn line_counters(&self) -> &LineCounters {
        self.deframer.counters()
    }

    /// Tells what of it could not be used.
    #[must_use]
    pub const fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Tells whether there is a link, be it one that a frame was refused on.
    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.state, State::Disconnected)
    }

    /// Tells whether part of a UI message has come.
    pub(super) const fn is_assembling(&self) -> bool {
        !self.unnumbered.is_empty()
    }

    fn octets(&mut self, octets: &[u8], now: Instant) {
        if self.timers.is_due(Timer::InterOctet, now) {
            self.pause(now);
        }
        self.receive(octets, now);
        self.timers.stop(Timer::InterOctet);
        if let Some(timeout) = self.config.inter_octet_timeout
            && !self.deframer.is_idle()
        {
            self.timers.arm(Timer::InterOctet, now + timeout);
        }
    }

    fn receive(&mut self, mut octets: &[u8], now: Instant) {
        let mut deframer = core::mem::take(&mut self.deframer);
        while let Some(frame) = deframer.next(&mut octets) {
            self.frame(&frame, now);
            self.turn(now);
        }
        self.deframer = deframer;
    }

    fn pause(&mut self, now: Instant) {
        self.timers.stop(Timer::InterOctet);
        while self.deframer.pause() {
            self.receive(&[], now);
        }
    }

    fn timeouts(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::InterOctet => self.pause(now),
                Timer::Response => {
                    if let State::Polled(connection) = &mut self.state {
                        connection.reply_due = false;
                    }
                    self.internal(Stimulus::ResponseDue, None, now);
                }
                Timer::Inactivity => self.internal(Stimulus::Inactive, None, now),
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, now: Instant) {
        if frame.source != self.config.client || !frame.destination.covers(self.config.server) {
            self.counters.foreign_frames += 1;
            return;
        }
        let broadcast = frame.destination.is_all_stations();
        if broadcast && !matches!(frame.control, Control::UnnumberedInformation { .. }) {
            // Whoever speaks to all awaits no answer, and nothing but UI
            // goes without one.
            self.counters.stray_frames += 1;
            return;
        }
        if let Some(timeout) = self.config.inactivity_timeout
            && !matches!(self.state, State::Disconnected)
        {
            self.timers.arm(Timer::Inactivity, now + timeout);
        }
        let poll = frame.control.poll() && !broadcast;
        let stimulus = match frame.control {
            Control::SetNormalResponseMode { .. } => {
                if Parameters::from_octets(frame.information).is_err() {
                    self.counters.parameter_faults += 1;
                    return;
                }
                Stimulus::SetNormalResponseMode
            }
            Control::Disconnect { .. } => Stimulus::DisconnectFrame,
            Control::Information { receive, .. }
            | Control::ReceiveReady { receive, .. }
            | Control::ReceiveNotReady { receive, .. }
                if !self.can_confirm(receive) =>
            {
                self.counters.acknowledgement_faults += 1;
                Stimulus::BadAcknowledgement
            }
            Control::Information { send, .. } if self.overflows(frame, send) => {
                Stimulus::InformationTooLong
            }
            Control::Information { .. } if poll => Stimulus::InformationPoll,
            Control::Information { .. } => Stimulus::Information,
            Control::ReceiveReady { .. } if poll => Stimulus::ReceiveReadyPoll,
            Control::ReceiveReady { .. } => Stimulus::ReceiveReady,
            Control::ReceiveNotReady { .. } if poll => Stimulus::ReceiveNotReadyPoll,
            Control::ReceiveNotReady { .. } => Stimulus::ReceiveNotReady,
            Control::UnnumberedInformation { .. } if poll => Stimulus::UnnumberedInformationPoll,
            Control::UnnumberedInformation { .. } => Stimulus::UnnumberedInformationFrame,
            Control::Unknown(_) if poll => Stimulus::UnknownFramePoll,
            Control::Unknown(_) => Stimulus::UnknownFrame,
            Control::UnnumberedAcknowledge { .. }
            | Control::DisconnectedMode { .. }
            | Control::FrameReject { .. } => Stimulus::ResponseFrame,
        };
        self.internal(stimulus, Some(frame), now);
    }

    /// Tells whether N(R) is one that can be.
    fn can_confirm(&self, receive: Sequence) -> bool {
        match &self.state {
            State::Waiting(connection) | State::Polled(connection) => {
                connection.exchange.can_confirm(receive)
            }
            State::Disconnected | State::Rejecting(_) => true,
        }
    }

    fn overflows(&self, frame: &Frame<'_>, send: Sequence) -> bool {
        let length = frame.information.len();
        match &self.state {
            State::Waiting(connection) | State::Polled(connection) => {
                let exchange = &connection.exchange;
                length > usize::from(exchange.parameters().information_length_receive)
                    || exchange.overflows(send, length)
            }
            State::Disconnected | State::Rejecting(_) => false,
        }
    }

    /// Answers, if it is our turn and there is something to say or nothing to
    /// wait for.
    fn turn(&mut self, now: Instant) {
        let State::Polled(connection) = &self.state else {
            return;
        };
        let exchange = &connection.exchange;
        let stimulus = if exchange.can_send() || !self.unnumbered_queue.is_empty() {
            Stimulus::WindowOpen
        } else if connection.reply_due && !exchange.is_pending() && !self.busy {
            self.timers
                .arm_once(Timer::Response, now + self.config.response_time);
            return;
        } else {
            Stimulus::ResponseDue
        };
        self.internal(stimulus, None, now);
    }

    /// A step that nobody can be refused.
    fn internal(&mut self, stimulus: Stimulus, frame: Option<&Frame<'_>>, now: Instant) {
        let refused = self.step(stimulus, frame, &[], now).is_err();
        debug_assert!(!refused, "only what the layer above wants is ever refused");
    }

    fn step(
        &mut self,
        stimulus: Stimulus,
        frame: Option<&Frame<'_>>,
        message: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        let (action, next) = transition(self.state.kind(), stimulus);
        match action {
            Action::None => {}
            Action::Count => self.counters.stray_frames += 1,
            Action::RefuseNotConnected => return Err(Error::NotConnected),
            Action::Establish => self.establish(frame, now),
            Action::SendUa => {
                self.answer(frame, |poll| Control::UnnumberedAcknowledge { poll }, &[]);
                self.close(DisconnectReason::Peer);
            }
            Action::SendDm => self.answer(frame, |poll| Control::DisconnectedMode { poll }, &[]),
            Action::Accept => self.accept(frame, false),
            Action::AcceptPoll => self.accept(frame, true),
            Action::Deliver | Action::DeliverPoll => self.deliver_unnumbered(frame),
            Action::RejectUnknown => self.reject(frame, FrameReject::UNKNOWN_CONTROL),
            Action::RejectTooLong => self.reject(frame, FrameReject::INFORMATION_TOO_LONG),
            Action::RepeatReject => self.send_reject(frame),
            Action::Queue => {
                if let State::Waiting(connection) | State::Polled(connection) = &mut self.state {
                    connection.exchange.queue(&llc::RESPONSE, message)?;
                    connection.reply_due = false;
                }
            }
            Action::QueueUnnumbered => self.queue_unnumbered(message)?,
            Action::SendUnnumbered => {
                self.queue_unnumbered(message)?;
                self.send_unnumbered();
            }
            Action::SendWindow => self.send_window(),
            Action::SendReady => self.send_ready(),
            Action::Drop => self.close(DisconnectReason::Requested),
            Action::DropInactive => self.close(DisconnectReason::Inactivity),
        }
        self.enter(next);
        Ok(())
    }

    /// Turns the state into `next`, which keeps the connection where both
    /// have one. Entering any other state is the action's.
    fn enter(&mut self, next: StateKind) {
        if next != StateKind::Polled {
            self.timers.stop(Timer::Response);
        }
        let state = core::mem::replace(&mut self.state, State::Disconnected);
        self.state = match (next, state) {
            (StateKind::Waiting, State::Waiting(connection) | State::Polled(connection)) => {
                State::Waiting(connection)
            }
            (StateKind::Polled, State::Waiting(connection) | State::Polled(connection)) => {
                State::Polled(connection)
            }
            (_, state) => state,
        };
        debug_assert_eq!(self.state.kind(), next);
    }

    fn establish(&mut self, frame: Option<&Frame<'_>>, now: Instant) {
        let proposed = frame
            .and_then(|frame| Parameters::from_octets(frame.information).ok())
            .unwrap_or_default();
        let parameters = self.config.parameters.agreed_with(&proposed);
        if !matches!(self.state, State::Disconnected) {
            self.close(DisconnectReason::Reset);
        }
        self.state = State::Waiting(Connection {
            exchange: Exchange::new(parameters, self.config.message_length_max),
            reply_due: false,
        });
        if let Some(timeout) = self.config.inactivity_timeout {
            self.timers.arm(Timer::Inactivity, now + timeout);
        }
        let mut information = Vec::new();
        parameters.encode_as(self.config.parameter_form, &mut information);
        self.answer(
            frame,
            |poll| Control::UnnumberedAcknowledge { poll },
            &information,
        );
        self.event(Event::Connected { parameters });
    }

    /// Takes in an I, RR or RNR frame.
    fn accept(&mut self, frame: Option<&Frame<'_>>, poll: bool) {
        let Some(frame) = frame else { return };
        let (receive, send, not_ready) = match frame.control {
            Control::Information { receive, send, .. } => (receive, Some(send), false),
            Control::ReceiveReady { receive, .. } => (receive, None, false),
            Control::ReceiveNotReady { receive, .. } => (receive, None, true),
            _ => return,
        };
        let (State::Waiting(connection) | State::Polled(connection)) = &mut self.state else {
            return;
        };
        let exchange = &mut connection.exchange;
        exchange.acknowledge(receive);
        exchange.peer_busy = not_ready;
        if poll {
            // What the client has not confirmed by now is lost.
            exchange.rewind();
        }
        let Some(send) = send else { return };
        if self.busy {
            self.counters.dropped_busy += 1;
            return;
        }
        match exchange.accept(send, frame.segmented, frame.information) {
            Accepted::OutOfSequence => self.counters.out_of_sequence += 1,
            Accepted::Segment => {}
            Accepted::Message(mut message) => {
                if message.starts_with(&llc::COMMAND) {
                    message.drain(..llc::COMMAND.len());
                    connection.reply_due = true;
                    self.event(Event::Message(message));
                } else {
                    self.counters.llc_faults += 1;
                }
            }
        }
    }

    fn deliver_unnumbered(&mut self, frame: Option<&Frame<'_>>) {
        let Some(frame) = frame else { return };
        match self.unnumbered.push(frame.information, frame.segmented) {
            Ok(None) => {}
            Ok(Some(octets)) => self.event(Event::UnnumberedInformation {
                broadcast: frame.destination.is_all_stations(),
                octets,
            }),
            Err(()) => self.counters.unnumbered_too_long += 1,
        }
    }

    fn reject(&mut self, frame: Option<&Frame<'_>>, causes: u8) {
        let (send, receive) = match &self.state {
            State::Waiting(connection) | State::Polled(connection) => {
                (connection.exchange.send(), connection.exchange.receive())
            }
            State::Disconnected | State::Rejecting(_) => Default::default(),
        };
        let reject = FrameReject {
            control: frame.map_or(0, |frame| frame.control.octet()),
            send,
            receive,
            response: false,
            causes,
        };
        self.close(DisconnectReason::FrameRejected(Some(reject)));
        self.state = State::Rejecting(reject);
        self.send_reject(frame);
    }

    /// Answers with FRMR, where an answer is asked for.
    fn send_reject(&mut self, frame: Option<&Frame<'_>>) {
        let State::Rejecting(reject) = self.state else {
            return;
        };
        if frame.is_some_and(|frame| frame.control.poll()) {
            self.answer(
                frame,
                |poll| Control::FrameReject { poll },
                &reject.to_octets(),
            );
        }
    }

    fn queue_unnumbered(&mut self, message: &[u8]) -> Result<(), Error> {
        let limit = self.config.message_length_max.saturating_sub(3);
        if message.len() > limit {
            return Err(Error::MessageTooLong {
                length: message.len(),
                limit,
            });
        }
        if self.unnumbered_queue.len() >= QUEUE_MESSAGES_MAX {
            return Err(Error::QueueFull {
                limit: QUEUE_MESSAGES_MAX,
            });
        }
        self.unnumbered_queue
            .push_back([&llc::RESPONSE, message].concat());
        Ok(())
    }

    fn send_unnumbered(&mut self) {
        let size = usize::from(
            self.parameters()
                .unwrap_or(&self.config.parameters)
                .information_length_transmit,
        );
        while let Some(message) = self.unnumbered_queue.pop_front() {
            let count = message.len().div_ceil(size);
            for (index, piece) in message.chunks(size).enumerate() {
                let control = Control::UnnumberedInformation { poll: false };
                self.transmit(control, index + 1 < count, piece);
            }
        }
    }

    fn send_window(&mut self) {
        self.send_unnumbered();
        let (server, client) = (self.config.server, self.config.client);
        let (State::Waiting(connection) | State::Polled(connection)) = &mut self.state else {
            return;
        };
        let mut sent = false;
        while let Some((segment, again)) = connection.exchange.next_segment(usize::MAX) {
            self.counters.retransmissions += u64::from(again);
            let frame = Frame {
                destination: client,
                source: server,
                segmented: segment.segmented,
                control: segment.control,
                information: segment.octets,
            };
            self.outputs.push_back(Output::Transmit(frame.to_octets()));
            sent = true;
        }
        if !sent {
            self.send_ready();
        }
    }

    fn send_ready(&mut self) {
        let (State::Waiting(connection) | State::Polled(connection)) = &self.state else {
            return;
        };
        let receive = connection.exchange.receive();
        let control = if self.busy {
            Control::ReceiveNotReady {
                receive,
                poll: true,
            }
        } else {
            Control::ReceiveReady {
                receive,
                poll: true,
            }
        };
        self.transmit(control, false, &[]);
    }

    fn close(&mut self, reason: DisconnectReason) {
        let was_open = matches!(self.state, State::Waiting(_) | State::Polled(_));
        self.state = State::Disconnected;
        self.timers.stop(Timer::Response);
        if !matches!(reason, DisconnectReason::FrameRejected(_)) {
            self.timers.stop(Timer::Inactivity);
        }
        self.unnumbered_queue.clear();
        if was_open {
            self.event(Event::Disconnected { reason });
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Answers a frame with the P/F bit that it has.
    fn answer(
        &mut self,
        frame: Option<&Frame<'_>>,
        control: fn(bool) -> Control,
        information: &[u8],
    ) {
        let poll = frame.is_some_and(|frame| frame.control.poll());
        self.transmit(control(poll), false, information);
    }

    fn transmit(&mut self, control: Control, segmented: bool, information: &[u8]) {
        let frame = Frame {
            destination: self.config.client,
            source: self.config.server,
            segmented,
            control,
            information,
        };
        self.outputs.push_back(Output::Transmit(frame.to_octets()));
    }
}
