//! The primary station: the client's end of a link.

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

/// What a primary station is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The client's own address, of one octet.
    pub client: Address,
    /// The server it speaks to.
    pub server: Address,
    /// What is proposed in SNRM.
    pub parameters: Parameters,
    /// How it is proposed. [`ParameterForm::Omitted`] proposes the defaults,
    /// whatever `parameters` says.
    pub parameter_form: ParameterForm,
    /// How long an answer may take before the question is repeated.
    pub response_timeout: Duration,
    /// How often a question is repeated before the link is given up.
    pub retries: u32,
    /// How long to wait before asking again for a reply, or a busy server.
    pub poll_interval: Duration,
    /// How long a reply may take before [`Event::Unanswered`].
    pub reply_timeout: Duration,
    /// How long the line may be silent before RR keeps the server from
    /// falling back; `None` for never.
    pub keep_alive: Option<Duration>,
    /// The longest pause within a frame; `None` for any. The standard's 25 ms
    /// presume a line without an operating system in between.
    pub inter_octet_timeout: Option<Duration>,
    /// Most octets of a message either way, with its LLC header.
    pub message_length_max: usize,
    /// Whether the line keeps the order of frames, as wires and TCP do. Then
    /// an N(R) that cannot be is that of a server that counts wrongly, whose
    /// answers are good all the same; else its frame was overtaken, and is
    /// passed over.
    pub keeps_order: bool,
    /// Where a server differs from the standard.
    pub quirks: Quirks,
}

/// What some servers do otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// N(R) stays where it is, so an answer is taken as confirming what was
    /// sent (jDLMS 1.8.0 as a server: its second answer has control 12 where
    /// 52 is due). Only with a window of one. An N(R) that cannot be at all
    /// has the same effect without this.
    pub reply_acknowledges: bool,
}

impl Config {
    /// Makes the configuration of the public client towards `server`.
    #[must_use]
    pub fn new(server: Address) -> Self {
        Self {
            client: Address::PUBLIC_CLIENT,
            server,
            parameters: Parameters::DEFAULT,
            parameter_form: ParameterForm::Narrow,
            response_timeout: Duration::from_secs(3),
            retries: 3,
            poll_interval: Duration::from_millis(200),
            reply_timeout: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(45)),
            inter_octet_timeout: Some(Duration::from_millis(200)),
            message_length_max: 0x1_0003,
            keeps_order: true,
            quirks: Quirks::default(),
        }
    }
}

/// What happens to a primary station.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A link is wanted.
    Connect,
    /// Octets came.
    Octets(&'a [u8]),
    /// A frame came, found by another's deframer.
    Frame(Frame<'a>),
    /// A message is to be sent, and one is awaited in return.
    Message(&'a [u8]),
    /// A message is to be sent that nobody answers.
    MessageWithoutReply(&'a [u8]),
    /// A message is to be sent outside the connection, open or not.
    UnnumberedInformation(&'a [u8]),
    /// The layer above cannot take more, or can again.
    Busy(bool),
    /// The link is to end.
    Disconnect,
    /// The time of the last [`Output::Timeout`] has come.
    Timeout,
}

#[derive(Debug)]
enum State {
    Disconnected,
    Connecting {
        tries: u32,
    },
    Ready(Connection),
    Polling(Connection),
    Disconnecting {
        tries: u32,
        reason: DisconnectReason,
    },
}

impl State {
    const fn kind(&self) -> StateKind {
        match self {
            Self::Disconnected => StateKind::Disconnected,
            Self::Connecting { .. } => StateKind::Connecting,
            Self::Ready(_) => StateKind::Ready,
            Self::Polling(_) => StateKind::Polling,
            Self::Disconnecting { .. } => StateKind::Disconnecting,
        }
    }
}

#[derive(Debug)]
struct Connection {
    exchange: Exchange,
    /// Questions since anything new came.
    tries: u32,
    /// Whether anything new came since the last question.
    progress: bool,
    /// The last question had nothing new for its answer: the next has but one
    /// frame, so that its answer is told from one that is late.
    cautious: bool,
    /// Frames of the last question.
    asked: usize,
    replies_awaited: u32,
    /// Frames were dropped while busy and must be asked for.
    missed: bool,
    /// N(R) of this server means nothing.
    distrusted: bool,
}

impl Connection {
    /// Tells whether `frame`, which ends an answer, is none to the last
    /// question: a single frame that asks is confirmed by its answer, and
    /// within a message the answer goes on with it. To take the turn back for
    /// an answer that was repeated or is late would leave two questions on
    /// the line for good.
    fn is_stale(&self, frame: &Frame<'_>) -> bool {
        let exchange = &self.exchange;
        let (receive, awaited) = match frame.control {
            Control::Information { receive, send, .. } => (receive, send == exchange.receive()),
            Control::ReceiveReady { receive, .. } => (receive, false),
            _ => return false,
        };
        let unfinished = exchange.is_outstanding() || exchange.is_assembling();
        unfinished
            && self.asked <= 1
            && !self.progress
            && !awaited
            && !exchange.peer_busy
            && !self.missed
            && !self.distrusted
            && !exchange.would_confirm(receive)
    }

    /// Tells whether `frame` brings what was asked for, and there is but one
    /// frame of ours that it can confirm.
    fn is_answer(&self, frame: &Frame<'_>) -> bool {
        self.exchange.parameters().window_transmit == 1
            && match frame.control {
                Control::Information { send, poll, .. } => poll && send == self.exchange.receive(),
                _ => self.distrusted,
            }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    InterOctet,
    Response,
    Poll,
    Reply,
}

/// The client's end of a link. See [`hdlc`](super) for how it is driven.
#[derive(Debug)]
pub struct Primary {
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

impl Primary {
    /// Starts without a link.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config.parameters = match config.parameter_form {
            ParameterForm::Omitted => Parameters::DEFAULT,
            ParameterForm::Narrow | ParameterForm::Wide => config.parameters.sound(),
        };
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
            Input::Connect => self.step(Stimulus::Connect, None, &[], now)?,
            Input::Disconnect => self.step(Stimulus::Disconnect, None, &[], now)?,
            Input::Message(message) => self.step(Stimulus::Message, None, message, now)?,
            Input::MessageWithoutReply(message) => {
                self.step(Stimulus::MessageWithoutReply, None, message, now)?;
            }
            Input::UnnumberedInformation(message) => {
                self.step(Stimulus::UnnumberedInformation, None, message, now)?;
            }
            Input::Busy(busy) => self.busy = busy,
            Input::Octets(octets) => self.octets(octets, now),
            Input::Frame(frame) => self.frame(&frame, now),
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
            State::Ready(connection) | State::Polling(connection) => {
                Some(connection.exchange.parameters())
            }
            State::Disconnected | State::Connecting { .. } | State::Disconnecting { .. } => None,
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
            let stimulus = match timer {
                Timer::InterOctet => {
                    self.pause(now);
                    continue;
                }
                Timer::Response => {
                    self.counters.response_timeouts += 1;
                    if self.tries() >= self.config.retries {
                        Stimulus::RetriesExhausted
                    } else {
                        Stimulus::ResponseTimeout
                    }
                }
                Timer::Poll => Stimulus::PollDue,
                Timer::Reply => Stimulus::ReplyOverdue,
            };
            self.internal(stimulus, None, now);
        }
    }

    const fn tries(&self) -> u32 {
        match &self.state {
            State::Disconnected => 0,
            State::Connecting { tries } | State::Disconnecting { tries, .. } => *tries,
            State::Ready(connection) | State::Polling(connection) => connection.tries,
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, now: Instant) {
        if frame.source != self.config.server || !frame.destination.covers(self.config.client) {
            self.counters.foreign_frames += 1;
            return;
        }
        let stimulus = match frame.control {
            Control::Information { receive, .. }
            | Control::ReceiveReady { receive, .. }
            | Control::ReceiveNotReady { receive, .. }
                if !self.can_confirm(frame, receive) =>
            {
                Stimulus::BadAcknowledgement
            }
            Control::Information { send, .. } if self.overflows(frame, send) => {
                Stimulus::MessageTooLong
            }
            Control::Information { poll: true, .. } | Control::ReceiveReady { poll: true, .. }
                if self.is_stale(frame) =>
            {
                Stimulus::StaleAnswer
            }
            Control::Information { poll: false, .. } => Stimulus::Information,
            Control::Information { poll: true, .. } => Stimulus::InformationFinal,
            Control::ReceiveReady { poll: false, .. } => Stimulus::ReceiveReady,
            Control::ReceiveReady { poll: true, .. } => Stimulus::ReceiveReadyFinal,
            Control::ReceiveNotReady { poll: false, .. } => Stimulus::ReceiveNotReady,
            Control::ReceiveNotReady { poll: true, .. } => Stimulus::ReceiveNotReadyFinal,
            Control::UnnumberedAcknowledge { .. } => Stimulus::UnnumberedAcknowledge,
            Control::DisconnectedMode { .. } => Stimulus::DisconnectedMode,
            Control::FrameReject { .. } => Stimulus::FrameReject,
            Control::UnnumberedInformation { .. } => Stimulus::UnnumberedInformationFrame,
            Control::SetNormalResponseMode { .. }
            | Control::Disconnect { .. }
            | Control::Unknown(_) => Stimulus::OtherFrame,
        };
        self.internal(stimulus, Some(frame), now);
    }

    /// Tells whether N(R) is one that can be, or need not be. A line keeps its
    /// order, so a frame that confirms what was never sent shows a server
    /// that counts wrongly (as a recorded Gurux server does, which counts RR
    /// too).
    fn can_confirm(&mut self, frame: &Frame<'_>, receive: Sequence) -> bool {
        let (State::Ready(connection) | State::Polling(connection)) = &mut self.state else {
            return true;
        };
        if connection.exchange.can_confirm(receive) {
            return true;
        }
        self.counters.acknowledgement_faults += 1;
        connection.distrusted |= self.config.keeps_order && connection.is_answer(frame);
        connection.distrusted
    }

    fn is_stale(&self, frame: &Frame<'_>) -> bool {
        match &self.state {
            State::Polling(connection) => !self.busy && connection.is_stale(frame),
            _ => false,
        }
    }

    fn overflows(&self, frame: &Frame<'_>, send: Sequence) -> bool {
        match &self.state {
            State::Ready(connection) | State::Polling(connection) => {
                connection.exchange.overflows(send, frame.information.len())
            }
            State::Disconnected | State::Connecting { .. } | State::Disconnecting { .. } => false,
        }
    }

    /// Goes on while it is our turn and there is something to say.
    fn turn(&mut self, now: Instant) {
        let State::Ready(connection) = &mut self.state else {
            return;
        };
        if connection.tries > self.config.retries {
            self.internal(Stimulus::RetriesExhausted, None, now);
            return;
        }
        let exchange = &connection.exchange;
        let stimulus = if exchange.can_send() || !self.unnumbered_queue.is_empty() {
            Some(Stimulus::WindowOpen)
        } else if (exchange.is_assembling() || connection.missed) && !self.busy {
            Some(Stimulus::PollDue)
        } else {
            None
        };
        if let Some(stimulus) = stimulus {
            self.internal(stimulus, None, now);
        } else if connection.replies_awaited > 0 || exchange.is_pending() {
            self.timers
                .arm_once(Timer::Poll, now + self.config.poll_interval);
        } else if let Some(keep_alive) = self.config.keep_alive {
            self.timers.arm_once(Timer::Poll, now + keep_alive);
        }
    }

    /// A step that nobody can be refused.
    fn internal(&mut self, stimulus: Stimulus, frame: Option<&Frame<'_>>, now: Instant) {
        let refused = self.step(stimulus, frame, &[], now).is_err();
        debug_assert!(!refused, "only what the caller wants is ever refused");
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
            Action::RefuseConnected => return Err(Error::AlreadyConnected),
            Action::SendSnrm => self.send_snrm(now),
            Action::SendDisc => self.send_disc(DisconnectReason::Requested, now),
            Action::SendDiscTooLong => self.send_disc(DisconnectReason::MessageTooLong, now),
            Action::Establish => self.establish(frame),
            Action::Queue => self.queue(message, true, now)?,
            Action::QueueWithoutReply => self.queue(message, false, now)?,
            Action::QueueUnnumbered => self.queue_unnumbered(message)?,
            Action::SendUnnumbered => {
                self.queue_unnumbered(message)?;
                self.send_unnumbered();
            }
            Action::SendWindow => self.send_window(now),
            Action::SendPoll => self.send_poll(now),
            Action::Recover => self.recover(now),
            Action::Accept => self.accept(frame, now),
            Action::Deliver => self.deliver_unnumbered(frame),
            Action::Unanswered => {
                if let Some(connection) = self.connection() {
                    connection.replies_awaited = 0;
                }
                self.event(Event::Unanswered);
            }
            Action::Refused => self.close(DisconnectReason::Refused),
            Action::ClosedByPeer => self.close(DisconnectReason::Peer),
            Action::ClosedByReject => {
                let reject =
                    frame.and_then(|frame| FrameReject::from_octets(frame.information).ok());
                self.close(DisconnectReason::FrameRejected(reject));
            }
            Action::Closed => {
                let reason = match self.state {
                    State::Disconnecting { reason, .. } => reason,
                    _ => DisconnectReason::Requested,
                };
                self.close(reason);
            }
            Action::GiveUp => self.close(DisconnectReason::NoAnswer),
        }
        self.enter(next);
        Ok(())
    }

    /// Turns the state into `next`, which keeps the connection where both
    /// have one. Entering any other state is the action's.
    fn enter(&mut self, next: StateKind) {
        let state = core::mem::replace(&mut self.state, State::Disconnected);
        self.state = match (next, state) {
            (StateKind::Ready, State::Ready(connection) | State::Polling(connection)) => {
                State::Ready(connection)
            }
            (StateKind::Polling, State::Ready(connection) | State::Polling(connection)) => {
                State::Polling(connection)
            }
            (_, state) => state,
        };
        debug_assert_eq!(self.state.kind(), next);
    }

    fn send_snrm(&mut self, now: Instant) {
        let tries = match self.state {
            State::Connecting { tries } => tries + 1,
            _ => 0,
        };
        self.state = State::Connecting { tries };
        let mut information = Vec::new();
        self.config
            .parameters
            .encode_as(self.config.parameter_form, &mut information);
        self.transmit(
            Control::SetNormalResponseMode { poll: true },
            false,
            &information,
        );
        self.arm_response(now);
    }

    fn send_disc(&mut self, reason: DisconnectReason, now: Instant) {
        let (tries, reason) = match self.state {
            State::Disconnecting { tries, reason } => (tries + 1, reason),
            _ => (0, reason),
        };
        self.stop_all();
        self.state = State::Disconnecting { tries, reason };
        self.transmit(Control::Disconnect { poll: true }, false, &[]);
        self.arm_response(now);
    }

    fn establish(&mut self, frame: Option<&Frame<'_>>) {
        let information = frame.map_or(&[][..], |frame| frame.information);
        let answered = Parameters::from_octets(information).unwrap_or_else(|_| {
            self.counters.parameter_faults += 1;
            Parameters::DEFAULT
        });
        let parameters = self.config.parameters.agreed_with(&answered);
        self.stop_all();
        self.state = State::Ready(Connection {
            exchange: Exchange::new(parameters, self.config.message_length_max),
            tries: 0,
            progress: true,
            cautious: false,
            asked: 0,
            replies_awaited: 0,
            missed: false,
            distrusted: self.config.quirks.reply_acknowledges && parameters.window_transmit == 1,
        });
        self.event(Event::Connected { parameters });
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Ready(connection) | State::Polling(connection) => Some(connection),
            State::Disconnected | State::Connecting { .. } | State::Disconnecting { .. } => None,
        }
    }

    fn queue(&mut self, message: &[u8], reply: bool, now: Instant) -> Result<(), Error> {
        let Some(connection) = self.connection() else {
            return Err(Error::NotConnected);
        };
        connection.exchange.queue(&llc::COMMAND, message)?;
        connection.replies_awaited += u32::from(reply);
        self.timers.stop(Timer::Poll);
        if reply {
            self.timers
                .arm_once(Timer::Reply, now + self.config.reply_timeout);
        }
        Ok(())
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
            .push_back([&llc::COMMAND, message].concat());
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

    fn send_window(&mut self, now: Instant) {
        self.send_unnumbered();
        let (server, client) = (self.config.server, self.config.client);
        let Some(connection) = self.connection() else {
            return;
        };
        connection.progress = false;
        let mut frames = Vec::new();
        let mut again = 0;
        let limit = if connection.cautious { 1 } else { usize::MAX };
        while let Some((segment, repeated)) = connection.exchange.next_segment(limit) {
            again += u64::from(repeated);
            let frame = Frame {
                destination: server,
                source: client,
                segmented: segment.segmented,
                control: segment.control,
                information: segment.octets,
            };
            frames.push(frame.to_octets());
        }
        connection.asked = frames.len();
        self.counters.retransmissions += again;
        if frames.is_empty() {
            // Only UI frames went: the turn is given away by asking.
            self.send_poll(now);
            return;
        }
        self.outputs
            .extend(frames.into_iter().map(Output::Transmit));
        self.timers.stop(Timer::Poll);
        self.arm_response(now);
    }

    fn send_poll(&mut self, now: Instant) {
        let busy = self.busy;
        let Some(connection) = self.connection() else {
            return;
        };
        connection.progress = false;
        connection.asked = 0;
        connection.missed &= busy;
        let receive = connection.exchange.receive();
        let control = if busy {
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
        self.timers.stop(Timer::Poll);
        self.arm_response(now);
    }

    /// No answer came: what is not confirmed goes again, else the question.
    fn recover(&mut self, now: Instant) {
        let Some(connection) = self.connection() else {
            return;
        };
        connection.tries += 1;
        connection.cautious = true;
        connection.exchange.rewind();
        if connection.exchange.is_outstanding() && connection.exchange.can_send() {
            self.send_window(now);
        } else {
            self.send_poll(now);
        }
    }

    /// Takes in an I, RR or RNR frame.
    fn accept(&mut self, frame: Option<&Frame<'_>>, now: Instant) {
        let Some(frame) = frame else { return };
        let busy = self.busy;
        let (receive, send, last, not_ready) = match frame.control {
            Control::Information {
                receive,
                send,
                poll,
            } => (receive, Some(send), poll, false),
            Control::ReceiveReady { receive, poll } => (receive, None, poll, false),
            Control::ReceiveNotReady { receive, poll } => (receive, None, poll, true),
            _ => return,
        };
        let (State::Ready(connection) | State::Polling(connection)) = &mut self.state else {
            return;
        };
        let counters = &mut self.counters;
        let exchange = &mut connection.exchange;
        let mut message = None;
        connection.progress |= if connection.distrusted {
            send.is_none_or(|send| send == exchange.receive()) && exchange.acknowledge_all()
        } else {
            exchange.acknowledge(receive)
        };
        if send.is_none() {
            exchange.peer_busy = not_ready;
        }
        if let Some(send) = send {
            exchange.peer_busy = false;
            if busy {
                counters.dropped_busy += 1;
                connection.missed = true;
            } else {
                match exchange.accept(send, frame.segmented, frame.information) {
                    Accepted::OutOfSequence => counters.out_of_sequence += 1,
                    Accepted::Segment => connection.progress = true,
                    Accepted::Message(octets) => {
                        connection.progress = true;
                        message = Some(octets);
                    }
                }
            }
        }
        if connection.progress {
            connection.tries = 0;
            connection.cautious = false;
        }
        if last {
            // The answer ends here: what it does not confirm is lost.
            let unfinished = exchange.is_outstanding() || exchange.is_assembling();
            if unfinished && !connection.progress && !exchange.peer_busy && !busy {
                connection.tries += 1;
                connection.cautious = true;
            }
            exchange.rewind();
            self.timers.stop(Timer::Response);
        } else if matches!(self.state, State::Polling(_)) {
            self.arm_response(now);
        }
        if let Some(message) = message {
            self.deliver(message, now);
        }
    }

    fn deliver(&mut self, mut message: Vec<u8>, now: Instant) {
        if !message.starts_with(&llc::RESPONSE) {
            self.counters.llc_faults += 1;
            return;
        }
        message.drain(..llc::RESPONSE.len());
        self.timers.stop(Timer::Reply);
        let timeout = self.config.reply_timeout;
        if let Some(connection) = self.connection() {
            connection.replies_awaited = connection.replies_awaited.saturating_sub(1);
            if connection.replies_awaited > 0 {
                self.timers.arm(Timer::Reply, now + timeout);
            }
        }
        self.event(Event::Message(message));
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

    fn close(&mut self, reason: DisconnectReason) {
        self.state = State::Disconnected;
        self.stop_all();
        self.unnumbered_queue.clear();
        self.event(Event::Disconnected { reason });
    }

    fn stop_all(&mut self) {
        for timer in [Timer::Response, Timer::Poll, Timer::Reply] {
            self.timers.stop(timer);
        }
    }

    fn arm_response(&mut self, now: Instant) {
        self.timers
            .arm(Timer::Response, now + self.config.response_timeout);
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit(&mut self, control: Control, segmented: bool, information: &[u8]) {
        let frame = Frame {
            destination: self.config.server,
            source: self.config.client,
            segmented,
            control,
            information,
        };
        self.outputs.push_back(Output::Transmit(frame.to_octets()));
    }
}
