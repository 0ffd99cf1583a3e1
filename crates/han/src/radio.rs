//! A meter read through a ZigBee radio processor: joined, found, verified and
//! asked.
//!
//! A machine without I/O: [`Radio::handle`] an input, then [`Radio::poll`]
//! until it gives [`Output::Timeout`]. All that it sends goes through
//! [`Radio::transmit`], and from there through [`egress`].
//!
//! 1. The processor restarts, and a version of EZSP is agreed on.
//! 2. It takes up its network, or joins one under the key of an install code.
//! 3. The trust center at address 0x0000 tells who it is; after a join, key
//!    establishment makes the link key with it, where the radio has a
//!    certificate.
//! 4. The meter is looked for at address 0x0000 and, where another is to be
//!    read, where the trust center says it is; it must serve the Metering
//!    cluster of Smart Energy, and be the one that was asked for.
//! 5. It is asked what it is, and from then on for its values, when told to.
//!
//! Where the meter is silent, keys are made anew, then the network is looked
//! for again, then it is a [`Fault`].

mod keys;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use dlms::{Duration, Instant};
use zeroize::Zeroizing;

use crate::ash::{self, Ash};
use crate::egress::{self, Refused};
use crate::ezsp::{
    self, Command, Incoming, Message, Network, Received, STATUS_NETWORK_UP, STATUS_NOT_JOINED,
    STATUS_SUCCESS, Unicast, VERSION_MAX, VERSION_MIN,
};
use crate::measure::Report;
use crate::zcl::{
    CLUSTER_KEY_ESTABLISHMENT, CLUSTER_METERING, DESCRIPTION_ATTRIBUTES, Frame, Metering,
    POLL_ATTRIBUTES, PROFILE_DEVICE, PROFILE_SMART_ENERGY, Request,
};
use crate::zdo::{self, Told};

use keys::Keys;

/// How a meter is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// The meter's EUI-64, where it must be this one; else whichever is the
    /// network's coordinator.
    pub meter: Option<u64>,
    /// The extended PAN identifier of the network to join; none: whichever
    /// lets the gateway in.
    pub network: Option<u64>,
    /// Channels on which networks are looked for, a bit each.
    pub channels: u32,
    /// The link key under which a network is joined; none: only the network
    /// that the radio belongs to already.
    pub key: Option<Zeroizing<[u8; 16]>>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Octets came over the line.
    Octets(&'a [u8]),
    /// The meter is to be asked for its values.
    Ask {
        /// Ties the answer to it.
        number: u64,
    },
    /// Time went by.
    Elapsed,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Write these octets to the line.
    Write(Vec<u8>),
    /// The radio's own EUI-64, which a utility wants to know together with the
    /// install code before it lets the gateway in.
    Radio {
        /// The EUI-64.
        eui64: u64,
    },
    /// The meter is found, verified, and can be asked.
    Connected(Found),
    /// The meter told values.
    Report(Report),
    /// The meter answered.
    Answered {
        /// As in [`Input::Ask`].
        number: u64,
    },
    /// The meter cannot be read any more: start anew.
    Failed(Fault),
    /// Nothing until then.
    Timeout(Instant),
}

/// Where the meter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its EUI-64.
    pub eui64: u64,
    /// Its network address.
    pub node: u16,
    /// Its endpoint.
    pub endpoint: u8,
    /// Whether key establishment has made a link key since the start.
    pub link_key_made: bool,
}

/// Why a meter cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The processor cannot be reached.
    #[error("the line to the radio processor is lost")]
    Line(#[from] ash::Fault),
    /// A version of EZSP that is not known.
    #[error("the radio processor speaks EZSP {0}; this gateway speaks 8 to 13")]
    Version(u8),
    /// The processor refuses what it was told, or does not answer.
    #[error("the radio processor does not {doing} (status {status:#04x})")]
    Radio {
        /// What it does not do.
        doing: &'static str,
        /// What it says; 0xFF: nothing.
        status: u8,
    },
    /// It belongs to no network, and there is no key to join one.
    #[error("the radio belongs to no network: give the install code that the utility knows")]
    NotJoined,
    /// There is no network that lets anybody in.
    #[error("no network lets the gateway in: ask the utility to open the meter's network")]
    NoNetwork,
    /// The network is lost, or has sent the gateway away.
    #[error("the network is lost (status {0:#04x})")]
    NetworkLost(u8),
    /// The trust center or the meter does not answer.
    #[error("no answer from the meter's network while {0}")]
    NoAnswer(&'static str),
    /// No meter in the network, or not the one that was asked for.
    #[error("the meter is not in this network")]
    NoMeter,
    /// Key establishment has failed.
    #[error("key establishment with the meter has failed (status {0:#04x})")]
    Keys(u8),
    /// The egress filter has refused what this machine was about to send.
    #[error("the egress filter has refused a frame")]
    Refused(#[from] Refused),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that the filter let out to the processor.
    pub sent: u64,
    /// Frames that it did not.
    pub refused: u64,
    /// Frames for which there was no room.
    pub dropped: u64,
    /// Messages of the network that nobody had asked for.
    pub strays: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Radio {
    config: Config,
    ash: Ash,
    step: Step,
    /// When the step is tried again or given up, and tries that are left.
    due: Option<Instant>,
    tries: u32,
    /// The number of the next frame of EZSP, and that of the last message.
    sequence: u8,
    transaction: u8,
    queue: VecDeque<Zeroizing<Vec<u8>>>,
    /// The command that is not answered yet.
    open: Option<(u16, Instant)>,
    networks: Option<(Network, u8)>,
    /// The EUI-64 of the node at address 0x0000.
    trust_center: u64,
    found: Found,
    endpoints: Vec<u8>,
    keys: Keys,
    keys_tried: bool,
    rejoined: bool,
    metering: Metering,
    asked: VecDeque<(u8, u64)>,
    keep_alive: Option<KeepAlive>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

/// Asks a trust center that is not the meter whether it is there.
#[derive(Clone, Copy, Debug)]
struct KeepAlive {
    next: Instant,
    missed: u32,
}

/// Where the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Restart,
    AskVersion,
    SetVersion(u8),
    Configure(usize),
    AddEndpoint,
    Own,
    Init,
    Security,
    Scan,
    Join,
    Rejoin,
    Trust,
    Key(keys::Step),
    Find,
    Locate,
    Identify,
    Verify(usize),
    Describe,
    Ready,
    /// What is queued still leaves.
    Ending(Fault),
    Over,
}

/// The stack's sizes and defaults: ZigBee PRO, its security, no children, room
/// for link keys.
const CONFIGURATION: [(u8, u16); 4] = [(0x0C, 2), (0x0D, 5), (0x11, 0), (0x1E, 4)];

/// The coordinator of a network: its trust center and, nearly always, the
/// meter.
const COORDINATOR: u16 = 0x0000;

/// How long the processor may take to answer a command.
const COMMAND_MAX: Duration = Duration::from_millis(5_000);

/// How long a network may take to come up, a scan to end, a join to succeed.
const NETWORK_MAX: Duration = Duration::from_millis(30_000);

/// How long a node may take to answer, and how often it is asked.
const NODE_MAX: Duration = Duration::from_millis(5_000);
const NODE_TRIES: u32 = 3;

/// How long a step of key establishment may take: its parties compute.
const KEY_MAX: Duration = Duration::from_millis(30_000);

/// Frames that may wait to be sent.
const QUEUE_MAX: usize = 16;

/// Polls whose answers are awaited; older ones are forgotten.
const ASKED_MAX: usize = 8;

/// How often a trust center that is not the meter is asked whether it is
/// there, and after how many silences it is lost (Smart Energy 1.x, 5.4.2.2.3:
/// 5 to 20 minutes, 3 failures).
const KEEP_ALIVE: Duration = Duration::from_millis(600_000);
const KEEP_ALIVE_MISSED_MAX: u32 = 3;

/// The operation goes on, and a callback tells its end.
const STATUS_IN_PROGRESS: u8 = 0xBA;

/// The network went away; while it is looked for, it may come back.
const STATUS_NETWORK_DOWN: u8 = 0x91;

/// No answer, where a status is due.
const STATUS_NONE: u8 = 0xFF;

impl Radio {
    /// Starts: the first output restarts the processor.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let mut radio = Self {
            config,
            ash: Ash::new(),
            step: Step::Restart,
            due: None,
            tries: 0,
            sequence: 0,
            transaction: 0,
            queue: VecDeque::new(),
            open: None,
            networks: None,
            trust_center: 0,
            found: Found::default(),
            endpoints: Vec::new(),
            keys: Keys::default(),
            keys_tried: false,
            rejoined: false,
            metering: Metering::default(),
            asked: VecDeque::new(),
            keep_alive: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        };
        radio.ash.restart(now);
        radio.pump(now);
        radio
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Octets(octets) => self.ash.handle(octets, now),
            Input::Ask { number } => self.ask(number),
            Input::Elapsed => {
                self.ash.elapsed(now);
                self.elapsed(now);
            }
        }
        self.pump(now);
    }

    /// Tells what is to be done next; call until it gives a timeout.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let line = match self.ash.poll() {
            ash::Output::Timeout(due) => due,
            // The pump has taken all others.
            _ => None,
        };
        let open = self.open.map(|(_, due)| due);
        let alive = self.keep_alive.map(|it| it.next);
        let due = [line, open, self.due, alive].into_iter().flatten().min();
        Output::Timeout(due.unwrap_or(Instant::from_micros(u64::MAX)))
    }

    /// Sends a frame of EZSP to the processor, if it may leave. All that this
    /// machine sends goes this way.
    ///
    /// # Errors
    /// [`Refused`] where no rule of the [table](egress::ALLOWED) lets it out.
    pub fn transmit(&mut self, frame: &[u8], now: Instant) -> Result<(), Refused> {
        self.put(frame)?;
        self.pump(now);
        Ok(())
    }

    /// Tells what was counted.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn put(&mut self, frame: &[u8]) -> Result<(), Refused> {
        if let Err(refused) = egress::check_radio(frame) {
            self.counters.refused += 1;
            return Err(refused);
        }
        if self.queue.len() >= QUEUE_MAX {
            self.counters.dropped += 1;
        } else {
            self.queue.push_back(Zeroizing::new(frame.to_vec()));
        }
        Ok(())
    }

    fn send(&mut self, command: &Command<'_>) {
        self.sequence = self.sequence.wrapping_add(1);
        let frame = Zeroizing::new(command.encode(self.sequence));
        if let Err(refused) = self.put(&frame) {
            self.fail(refused.into());
        }
    }

    /// Sends a message to a node, under a number of its own.
    fn say(&mut self, node: u16, endpoint: u8, message: Message<'_>) {
        self.transaction = self.transaction.wrapping_add(1);
        self.send(&Command::SendUnicast(Unicast {
            node,
            endpoint,
            sequence: self.transaction,
            message,
        }));
    }

    /// Moves frames between the queue, the line and the steps.
    fn pump(&mut self, now: Instant) {
        loop {
            match self.ash.poll() {
                ash::Output::Write(octets) => self.outputs.push_back(Output::Write(octets)),
                ash::Output::Up => self.begin(Step::AskVersion, now),
                ash::Output::Frame(octets) => {
                    // What is no frame of EZSP is none of ours.
                    if let Ok(received) = Received::decode(&octets) {
                        self.take(&received, now);
                    }
                }
                ash::Output::Failed(fault) => self.fail(fault.into()),
                ash::Output::Timeout(_) => {
                    if self.feed(now) {
                        continue;
                    }
                    let is_sent = self.queue.is_empty() && self.open.is_none();
                    if let Step::Ending(fault) = self.step
                        && is_sent
                        && self.ash.is_free()
                    {
                        self.fail(fault);
                    }
                    return;
                }
            }
        }
    }

    /// Gives the line its next frame, past the filter.
    fn feed(&mut self, now: Instant) -> bool {
        if self.open.is_some() || !self.ash.is_free() {
            return false;
        }
        let Some(frame) = self.queue.pop_front() else {
            return false;
        };
        match egress::check_radio(&frame) {
            Ok(cleared) => self.hand_over(cleared, now),
            Err(_) => self.counters.refused += 1,
        }
        true
    }

    fn hand_over(&mut self, cleared: egress::Cleared<'_>, now: Instant) {
        let id = ezsp::Sent::decode(cleared.octets()).map_or(0, |sent| sent.id);
        if self.ash.send(cleared, now) {
            self.counters.sent += 1;
            self.open = Some((id, now + COMMAND_MAX));
        } else {
            self.counters.dropped += 1;
        }
    }

    fn begin(&mut self, step: Step, now: Instant) {
        if matches!(self.step, Step::Over | Step::Ending(_)) {
            return;
        }
        self.step = step;
        self.tries = match step {
            Step::Trust | Step::Find | Step::Locate | Step::Identify => NODE_TRIES,
            Step::Verify(_) | Step::Describe => NODE_TRIES,
            _ => 1,
        };
        self.attempt(now);
    }

    /// Does what the step asks for, once.
    fn attempt(&mut self, now: Instant) {
        self.tries = self.tries.saturating_sub(1);
        let limit = match self.step {
            Step::Init | Step::Scan | Step::Join | Step::Rejoin => NETWORK_MAX,
            Step::Key(_) => KEY_MAX,
            _ => NODE_MAX,
        };
        self.due = Some(now + limit);
        let node = self.found.node;
        let device = |request| Message::Device(request);
        match self.step {
            Step::Restart | Step::Ending(_) | Step::Over => self.due = None,
            Step::AskVersion => self.send(&Command::VersionAsked),
            Step::SetVersion(version) => self.send(&Command::Version(version)),
            Step::Configure(index) => match CONFIGURATION.get(index) {
                Some(&(id, value)) => self.send(&Command::SetConfigurationValue { id, value }),
                None => self.begin(Step::AddEndpoint, now),
            },
            Step::AddEndpoint => self.send(&Command::AddEndpoint),
            Step::Own => self.send(&Command::GetEui64),
            Step::Init => self.send(&Command::NetworkInit),
            Step::Security => match self.config.key.clone() {
                Some(key) => self.send(&Command::SetInitialSecurityState { key: &key }),
                None => self.fail(Fault::NotJoined),
            },
            Step::Scan => {
                self.networks = None;
                self.send(&Command::StartScan {
                    channels: self.config.channels,
                });
            }
            Step::Join => match self.networks {
                Some((network, _)) => self.send(&Command::JoinNetwork(network)),
                None => self.fail(Fault::NoNetwork),
            },
            Step::Rejoin => self.send(&Command::FindAndRejoinNetwork { channels: 0 }),
            Step::Trust => {
                let request = zdo::Request::IeeeAddress { node: COORDINATOR };
                self.say(COORDINATOR, 0, device(request));
            }
            Step::Key(step) => self.attempt_key(step),
            Step::Find => {
                let cluster = CLUSTER_METERING;
                let request = zdo::Request::MatchDescriptor { node, cluster };
                self.say(node, 0, device(request));
            }
            Step::Locate => {
                let eui64 = self.config.meter.unwrap_or_default();
                let request = zdo::Request::NetworkAddress { eui64 };
                self.say(COORDINATOR, 0, device(request));
            }
            Step::Identify => {
                self.say(node, 0, device(zdo::Request::IeeeAddress { node }));
            }
            Step::Verify(index) => match self.endpoints.get(index) {
                Some(&endpoint) => {
                    let request = zdo::Request::SimpleDescriptor { node, endpoint };
                    self.say(node, 0, device(request));
                }
                None => self.fail(Fault::NoMeter),
            },
            Step::Describe => {
                let request = Request::ReadAttributes {
                    cluster: CLUSTER_METERING,
                    attributes: &DESCRIPTION_ATTRIBUTES,
                };
                self.say(node, self.found.endpoint, Message::Cluster(request));
            }
            Step::Ready => {
                self.due = None;
                self.keep_alive = (node != COORDINATOR).then(|| KeepAlive {
                    next: now + KEEP_ALIVE,
                    missed: 0,
                });
                self.outputs.push_back(Output::Connected(self.found));
            }
        }
    }

    fn elapsed(&mut self, now: Instant) {
        if let Some((_, due)) = self.open
            && now >= due
        {
            self.fail(Fault::Radio {
                doing: "answer",
                status: STATUS_NONE,
            });
        }
        if self.due.is_some_and(|due| now >= due) {
            if self.tries > 0 {
                self.attempt(now);
            } else {
                self.give_up(now);
            }
        }
        if let Some(alive) = self.keep_alive
            && now >= alive.next
        {
            self.ask_alive(alive, now);
        }
    }

    /// The step has had all its tries.
    fn give_up(&mut self, now: Instant) {
        let doing = match self.step {
            Step::Trust => "asking the trust center who it is",
            Step::Find | Step::Locate => "looking for the meter",
            Step::Identify | Step::Verify(_) => "verifying the meter",
            Step::Describe => "asking the meter what it is",
            Step::Key(_) => return self.fail(Fault::Keys(STATUS_NONE)),
            Step::Scan => return self.fail(Fault::NoNetwork),
            Step::Init | Step::Join | Step::Rejoin => {
                return self.fail(Fault::NetworkLost(STATUS_NONE));
            }
            _ => {
                return self.fail(Fault::Radio {
                    doing: "answer",
                    status: STATUS_NONE,
                });
            }
        };
        if self.step == Step::Describe && !self.keys_tried {
            self.begin(Step::Key(keys::Step::Certificate), now);
        } else if !self.rejoined {
            self.rejoined = true;
            self.begin(Step::Rejoin, now);
        } else {
            self.fail(Fault::NoAnswer(doing));
        }
    }

    fn take(&mut self, received: &Received<'_>, now: Instant) {
        if let Some(id) = received.answers()
            && self.open.is_some_and(|(own, _)| own == id)
        {
            self.open = None;
        }
        match (received, self.step) {
            (Received::Version { version }, Step::AskVersion) => {
                if (VERSION_MIN..=VERSION_MAX).contains(version) {
                    self.begin(Step::SetVersion(*version), now);
                } else {
                    self.fail(Fault::Version(*version));
                }
            }
            (Received::Version { version }, Step::SetVersion(own)) => {
                if *version == own {
                    self.begin(Step::Configure(0), now);
                } else {
                    self.fail(Fault::Version(*version));
                }
            }
            (Received::Eui64(eui64), Step::Own) => {
                self.outputs.push_back(Output::Radio { eui64: *eui64 });
                self.begin(Step::Init, now);
            }
            (Received::Status { id, status }, _) => self.take_status(*id, *status, now),
            (Received::StackStatus(status), _) => self.take_stack_status(*status, now),
            (
                Received::NetworkFound {
                    network,
                    link_quality,
                },
                Step::Scan,
            ) => {
                let wanted = network.joinable
                    && network.stack_profile == 2
                    && self
                        .config
                        .network
                        .is_none_or(|own| own == network.extended_pan_id);
                if wanted && self.networks.is_none_or(|(_, best)| best < *link_quality) {
                    self.networks = Some((*network, *link_quality));
                }
            }
            (Received::ScanComplete { .. }, Step::Scan) => self.begin(Step::Join, now),
            (Received::Incoming(message), _) => self.hear(message, now),
            (Received::InvalidCommand(status), step) => {
                self.open = None;
                // A radio without the library of key establishment.
                if step == Step::Key(keys::Step::Certificate) {
                    self.keys_over(now);
                } else {
                    self.fail(Fault::Radio {
                        doing: "take a command",
                        status: *status,
                    });
                }
            }
            (other, Step::Key(step)) => self.take_key(other, step, now),
            _ => {}
        }
    }

    fn take_status(&mut self, id: u16, status: u8, now: Instant) {
        const SEND_UNICAST: u16 = 0x0034;
        if id == SEND_UNICAST {
            // Not sent: the step is tried again when its time is up.
            return;
        }
        let is_good = status == STATUS_SUCCESS;
        let doing = match self.step {
            // What a firmware does not let itself be set, it has set.
            Step::Configure(index) => return self.begin(Step::Configure(index + 1), now),
            Step::AddEndpoint if is_good => return self.begin(Step::Own, now),
            Step::Init if status == STATUS_NOT_JOINED => return self.begin(Step::Security, now),
            Step::Security if is_good => return self.begin(Step::Scan, now),
            Step::Key(step) => return self.take_key_status(step, status, now),
            _ if is_good => return,
            Step::AddEndpoint => "take an endpoint",
            Step::Init => "take up its network",
            Step::Security => "take a key",
            Step::Scan => "look for networks",
            Step::Join => "join",
            Step::Rejoin => "join again",
            _ => return,
        };
        self.fail(Fault::Radio { doing, status });
    }

    fn take_stack_status(&mut self, status: u8, now: Instant) {
        match (self.step, status) {
            (Step::Init | Step::Rejoin, STATUS_NETWORK_UP) => self.begin(Step::Trust, now),
            (Step::Join, STATUS_NETWORK_UP) => {
                self.keys_tried = false;
                self.keys.due = true;
                self.begin(Step::Trust, now);
            }
            (_, STATUS_NETWORK_UP) => {}
            (Step::Init, STATUS_NOT_JOINED) => self.begin(Step::Security, now),
            (Step::Init | Step::Rejoin, STATUS_NETWORK_DOWN) => {}
            (
                Step::Restart
                | Step::AskVersion
                | Step::SetVersion(_)
                | Step::Configure(_)
                | Step::AddEndpoint
                | Step::Own,
                _,
            ) => {}
            _ => self.fail(Fault::NetworkLost(status)),
        }
    }

    fn hear(&mut self, message: &Incoming<'_>, now: Instant) {
        if message.node == COORDINATOR
            && let Some(alive) = &mut self.keep_alive
        {
            alive.missed = 0;
        }
        let taken = match message.profile {
            PROFILE_DEVICE => self.hear_device(message, now),
            PROFILE_SMART_ENERGY => self.hear_cluster(message, now),
            _ => false,
        };
        if !taken {
            self.counters.strays += 1;
        }
    }

    fn hear_device(&mut self, message: &Incoming<'_>, now: Instant) -> bool {
        let Ok(response) = zdo::Response::decode(message.cluster, message.contents) else {
            return false;
        };
        let from = match self.step {
            Step::Trust | Step::Locate | Step::Key(_) => COORDINATOR,
            _ => self.found.node,
        };
        if response.sequence != self.transaction || message.node != from {
            return false;
        }
        match (self.step, message.cluster, response.told) {
            (Step::Trust, 0x8001, Some(Told::Address { eui64, node })) if node == COORDINATOR => {
                self.trust_center = eui64;
                if self.keys.due {
                    self.begin(Step::Key(keys::Step::Certificate), now);
                } else {
                    self.look(now);
                }
            }
            (Step::Key(keys::Step::Find), 0x8006, told) => match told {
                Some(Told::Matches(endpoints)) if !endpoints.is_empty() => {
                    self.keys.endpoint = endpoints.first().copied().unwrap_or_default();
                    self.begin(Step::Key(keys::Step::Initiate), now);
                }
                _ => self.keys_over(now),
            },
            (Step::Find, 0x8006, told) => match told {
                Some(Told::Matches(endpoints)) if !endpoints.is_empty() => {
                    self.endpoints = endpoints;
                    self.begin(Step::Verify(0), now);
                }
                _ => self.fail(Fault::NoMeter),
            },
            (Step::Locate, 0x8000, told) => match told {
                Some(Told::Address { eui64, node }) if Some(eui64) == self.config.meter => {
                    self.found = Found {
                        eui64,
                        node,
                        ..self.found
                    };
                    self.begin(Step::Identify, now);
                }
                _ => self.fail(Fault::NoMeter),
            },
            (Step::Identify, 0x8001, told) => match told {
                Some(Told::Address { eui64, node })
                    if eui64 == self.found.eui64 && node == self.found.node =>
                {
                    self.begin(Step::Find, now);
                }
                _ => self.fail(Fault::NoMeter),
            },
            (Step::Verify(index), 0x8004, told) => match told {
                Some(Told::Endpoint {
                    endpoint,
                    profile: PROFILE_SMART_ENERGY,
                    serves,
                }) if self.endpoints.get(index) == Some(&endpoint)
                    && serves.contains(&CLUSTER_METERING) =>
                {
                    self.found.endpoint = endpoint;
                    self.begin(Step::Describe, now);
                }
                _ => self.begin(Step::Verify(index + 1), now),
            },
            _ => return false,
        }
        true
    }

    /// Looks for the meter: the coordinator, unless another is to be read.
    fn look(&mut self, now: Instant) {
        match self.config.meter {
            Some(meter) if meter != self.trust_center => self.begin(Step::Locate, now),
            _ => {
                self.found = Found {
                    eui64: self.trust_center,
                    node: COORDINATOR,
                    ..self.found
                };
                self.begin(Step::Find, now);
            }
        }
    }

    fn hear_cluster(&mut self, message: &Incoming<'_>, now: Instant) -> bool {
        let Ok(frame) = Frame::decode(message.contents) else {
            return false;
        };
        if !frame.from_server || frame.manufacturer.is_some() {
            return false;
        }
        if message.cluster == CLUSTER_KEY_ESTABLISHMENT {
            return match self.step {
                Step::Key(step) if message.node == COORDINATOR => self.hear_key(&frame, step, now),
                _ => message.node == COORDINATOR && self.step == Step::Ready,
            };
        }
        if message.cluster != CLUSTER_METERING
            || message.node != self.found.node
            || message.endpoint != self.found.endpoint
        {
            return false;
        }
        match (self.step, frame.command, frame.cluster_specific) {
            (Step::Describe, READ_ATTRIBUTES_RESPONSE, false)
                if frame.sequence == self.transaction =>
            {
                let Ok(Some(attributes)) = frame.attributes() else {
                    return false;
                };
                self.metering.take(attributes);
                self.begin(Step::Ready, now);
                true
            }
            // Not authorized, most likely: keys are missing.
            (Step::Describe, DEFAULT_RESPONSE, false) if frame.sequence == self.transaction => {
                self.give_up(now);
                true
            }
            (Step::Ready, READ_ATTRIBUTES_RESPONSE, false) => self.answered(&frame),
            _ => false,
        }
    }

    fn ask(&mut self, number: u64) {
        if self.step != Step::Ready {
            return;
        }
        let request = Request::ReadAttributes {
            cluster: CLUSTER_METERING,
            attributes: &POLL_ATTRIBUTES,
        };
        let Found { node, endpoint, .. } = self.found;
        self.say(node, endpoint, Message::Cluster(request));
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((self.transaction, number));
    }

    fn answered(&mut self, frame: &Frame<'_>) -> bool {
        let Some(index) = self
            .asked
            .iter()
            .position(|(sequence, _)| *sequence == frame.sequence)
        else {
            return false;
        };
        let Ok(Some(attributes)) = frame.attributes() else {
            return false;
        };
        let Some((_, number)) = self.asked.remove(index) else {
            return false;
        };
        self.metering.forget_values();
        self.metering.take(attributes);
        let mut report = self.metering.report();
        if report.meter.is_none() {
            report.meter = Some(format!("{:016x}", self.found.eui64));
        }
        self.outputs.push_back(Output::Report(report));
        self.outputs.push_back(Output::Answered { number });
        true
    }

    fn ask_alive(&mut self, alive: KeepAlive, now: Instant) {
        if alive.missed >= KEEP_ALIVE_MISSED_MAX {
            self.fail(Fault::NoAnswer("keeping the network alive"));
            return;
        }
        self.keep_alive = Some(KeepAlive {
            next: now + KEEP_ALIVE,
            missed: alive.missed + 1,
        });
        // KeyEstablishmentSuite, which every trust center has.
        let request = Request::ReadAttributes {
            cluster: CLUSTER_KEY_ESTABLISHMENT,
            attributes: &[0x0000],
        };
        let endpoint = match self.keys.endpoint {
            0 => self.found.endpoint,
            endpoint => endpoint,
        };
        self.say(COORDINATOR, endpoint, Message::Cluster(request));
    }

    fn fail(&mut self, fault: Fault) {
        if self.step == Step::Over {
            return;
        }
        self.step = Step::Over;
        self.due = None;
        self.open = None;
        self.keep_alive = None;
        self.queue.clear();
        self.outputs.push_back(Output::Failed(fault));
    }
}

const READ_ATTRIBUTES_RESPONSE: u8 = 0x01;
const DEFAULT_RESPONSE: u8 = 0x0B;
