//! A physical device: several logical devices and clients on one line.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::{
    Address, AddressWidth, Control, Deframer, Error, Event, Frame, LineCounters, LinkCounters,
    Output, Secondary, secondary, timers::Timers,
};
use crate::Instant;
use crate::codec::Wire;

/// What a station is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses that it answers, in each width that it answers them.
    pub servers: Vec<Address>,
    /// Most links that are open at a time: DM answers one too many.
    pub links_max: usize,
    /// The rest, for every link; its addresses are passed over.
    pub link: secondary::Config,
}

impl Config {
    /// Makes the configuration of a device with these addresses.
    #[must_use]
    pub const fn new(servers: Vec<Address>) -> Self {
        Self {
            servers,
            links_max: 16,
            link: secondary::Config::new(Address::MANAGEMENT_DEVICE, Address::PUBLIC_CLIENT),
        }
    }
}

/// What happens to a station.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Octets came.
    Octets(&'a [u8]),
    /// One of its links is to take this.
    Link {
        /// The link.
        link: Link,
        /// What its [`Secondary`] is to take. Without an open link only UI
        /// can be sent.
        input: secondary::Input<'a>,
    },
    /// The time of the last [`StationOutput::Timeout`] has come.
    Timeout,
}

/// The two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The logical device.
    pub server: Address,
    /// The client.
    pub client: Address,
}

/// What a station wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationOutput {
    /// Octets for the line: one frame.
    Transmit(Vec<u8>),
    /// Something for the layer above.
    Event {
        /// Of which link.
        link: Link,
        /// What.
        event: Event,
    },
    /// Nothing until then, or until something happens.
    Timeout(Option<Instant>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    InterOctet,
    Link(Link),
}

/// A physical device on a line. See [`hdlc`](super) for how it is driven.
#[derive(Debug)]
pub struct Station {
    config: Config,
    deframer: Deframer,
    links: BTreeMap<Link, Secondary>,
    timers: Timers<Timer>,
    outputs: VecDeque<StationOutput>,
    /// Of links that are gone, and of frames that were for none.
    counters: LinkCounters,
}

impl Station {
    /// Starts without a link.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            deframer: Deframer::new(),
            links: BTreeMap::new(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
            counters: LinkCounters::ZERO,
        }
    }

    /// Takes what happened.
    ///
    /// # Errors
    /// [`Error`] where the input of a link cannot be taken now. What comes
    /// from the line never is an error.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> Result<(), Error> {
        match input {
            Input::Octets(octets) => self.octets(octets, now),
            Input::Link { link, input } => {
                if !self.config.servers.contains(&link.server) {
                    return Err(Error::NotConnected);
                }
                return self.hand(link, input, now);
            }
            Input::Timeout => {
                while let Some(timer) = self.timers.expired(now) {
                    match timer {
                        Timer::InterOctet => self.pause(now),
                        Timer::Link(link) => {
                            self.hand_quietly(link, secondary::Input::Timeout, now);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the next output; call until it is [`StationOutput::Timeout`].
    pub fn poll(&mut self) -> StationOutput {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| StationOutput::Timeout(self.timers.next()))
    }

    /// Counts the open links.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.values().filter(|link| link.is_open()).count()
    }

    /// Tells what the line has carried so far.
    #[must_use]
    pub const fn line_counters(&self) -> &LineCounters {
        self.deframer.counters()
    }

    /// Tells what could not be used, of all links that ever were.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.links
            .values()
            .fold(self.counters, |sum, link| sum.plus(link.counters()))
    }

    fn octets(&mut self, octets: &[u8], now: Instant) {
        if self.timers.is_due(Timer::InterOctet, now) {
            self.pause(now);
        }
        self.receive(octets, now);
        self.timers.stop(Timer::InterOctet);
        if let Some(timeout) = self.config.link.inter_octet_timeout
            && !self.deframer.is_idle()
        {
            self.timers.arm(Timer::InterOctet, now + timeout);
        }
    }

    fn pause(&mut self, now: Instant) {
        self.timers.stop(Timer::InterOctet);
        while self.deframer.pause() {
            self.receive(&[], now);
        }
    }

    fn receive(&mut self, mut octets: &[u8], now: Instant) {
        let mut deframer = core::mem::take(&mut self.deframer);
        while let Some(frame) = deframer.next(&mut octets) {
            self.frame(frame, now);
        }
        self.deframer = deframer;
    }

    fn frame(&mut self, frame: Frame<'_>, now: Instant) {
        if frame.source.width() != AddressWidth::One {
            self.counters.foreign_frames += 1;
            return;
        }
        let links: Vec<Link> = self
            .config
            .servers
            .iter()
            .filter(|server| frame.destination.covers(**server))
            .map(|server| Link {
                server: *server,
                client: frame.source,
            })
            .collect();
        if links.is_empty() {
            self.counters.foreign_frames += 1;
        }
        for link in links {
            if let Control::SetNormalResponseMode { poll } = frame.control
                && !self.links.contains_key(&link)
                && !frame.destination.is_all_stations()
                && self.links() >= self.config.links_max
            {
                let answer = Frame {
                    destination: link.client,
                    source: link.server,
                    segmented: false,
                    control: Control::DisconnectedMode { poll },
                    information: &[],
                };
                self.outputs
                    .push_back(StationOutput::Transmit(answer.to_octets()));
                continue;
            }
            self.hand_quietly(link, secondary::Input::Frame(frame), now);
        }
    }

    fn hand_quietly(&mut self, link: Link, input: secondary::Input<'_>, now: Instant) {
        let refused = self.hand(link, input, now).is_err();
        debug_assert!(!refused, "only what the layer above wants is ever refused");
    }

    /// Hands `input` to a link, which lasts as long as it is open, or part of
    /// a UI message has come and there is room.
    fn hand(&mut self, link: Link, input: secondary::Input<'_>, now: Instant) -> Result<(), Error> {
        let mut secondary = self.links.remove(&link).unwrap_or_else(|| {
            Secondary::new(secondary::Config {
                server: link.server,
                client: link.client,
                ..self.config.link.clone()
            })
        });
        let result = secondary.handle(input, now);
        let deadline = loop {
            match secondary.poll() {
                Output::Transmit(octets) => {
                    self.outputs.push_back(StationOutput::Transmit(octets));
                }
                Output::Event(event) => {
                    self.outputs.push_back(StationOutput::Event { link, event });
                }
                Output::Timeout(deadline) => break deadline,
            }
        };
        match deadline {
            Some(deadline) => self.timers.arm(Timer::Link(link), deadline),
            None => self.timers.stop(Timer::Link(link)),
        }
        if secondary.is_open() && self.links.len() >= self.config.links_max {
            // Part of a UI message, and of no link, gives way.
            let part = self.links.iter().find(|(_, other)| !other.is_open());
            if let Some(link) = part.map(|(link, _)| *link)
                && let Some(other) = self.links.remove(&link)
            {
                self.counters = self.counters.plus(other.counters());
            }
        }
        if secondary.is_open()
            || (secondary.is_assembling() && self.links.len() < self.config.links_max)
        {
            self.links.insert(link, secondary);
        } else {
            self.counters = self.counters.plus(secondary.counters());
            self.timers.stop(Timer::Link(link));
        }
        result
    }
}
