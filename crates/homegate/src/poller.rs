//! When the meter is asked: seven seconds apart or more, from power-up, for
//! ever, through loss of meter, radio, cable and power.
//!
//! A machine without I/O: [`Poller::handle`] an input, then [`Poller::poll`]
//! until it gives [`Output::Timeout`]. It has no way to learn what anybody
//! asks of the server.

use std::collections::VecDeque;

use dlms::{Duration, Instant};

/// The least time between two polls (ZigBee Smart Energy 1.0; OpenSEG
/// specification).
pub const INTERVAL_MIN: Duration = Duration::from_millis(7_000);

/// How long the way to the meter is left closed after the first failure, and
/// how long at most; each failure in a row doubles it. However long an outage
/// was, a reading comes within 15 s of its end: the last try may just have
/// begun, and takes 5 s to fail.
const RETRY_FIRST: Duration = Duration::from_millis(1_000);
const RETRY_MAX: Duration = Duration::from_millis(4_000);

/// How long opening the way may take: joining a network has retries of its
/// own.
const OPENING_MAX: Duration = Duration::from_millis(120_000);

/// Doublings of the first wait, at most.
const DOUBLINGS_MAX: u32 = 2;

/// How the meter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time between polls; less than [`INTERVAL_MIN`] counts as that.
    pub interval: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// Polls in a row without an answer after which the way to the meter is
    /// opened anew.
    pub lost_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: INTERVAL_MIN,
            answer_timeout: Duration::from_millis(5_000),
            lost_max: 3,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The way to the meter is open.
    Connected,
    /// It could not be opened, or was lost.
    Disconnected,
    /// The meter answered poll `number`.
    Answered {
        /// As in [`Output::Ask`].
        number: u64,
    },
    /// Time went by.
    Elapsed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open the way to the meter.
    Connect,
    /// Close it.
    Disconnect,
    /// Keep durably that a poll leaves now, then ask the meter. Where it cannot
    /// be kept, the poll is asked all the same: after a restart the first one
    /// waits a whole interval.
    Ask {
        /// Ties the answer to it.
        number: u64,
    },
    /// Nothing until then.
    Timeout(Instant),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Polls sent.
    pub polls: u64,
    /// Of those, without an answer in time.
    pub lost: u64,
    /// Answers that came after that.
    pub late: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Poller {
    config: Config,
    state: State,
    /// Before this, no poll leaves.
    next: Instant,
    number: u64,
    lost_in_row: u32,
    failures: u32,
    counts: Counts,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The way is closed until then.
    Closed { until: Instant },
    /// It is being opened.
    Opening { deadline: Instant },
    /// It is open, and nothing is asked.
    Idle,
    /// It is open, and an answer is awaited.
    Asked { deadline: Instant },
}

impl Poller {
    /// Starts. `since_last` is the time since the last poll that was kept
    /// before a restart; without it the first poll waits a whole interval.
    #[must_use]
    pub fn new(config: Config, since_last: Option<Duration>, now: Instant) -> Self {
        let config = Config {
            interval: config.interval.max(INTERVAL_MIN),
            lost_max: config.lost_max.max(1),
            ..config
        };
        let waited = since_last.unwrap_or(Duration::ZERO);
        let wait = config.interval.saturating_sub(waited);
        Self {
            config,
            state: State::Closed { until: now },
            next: now + wait,
            number: 0,
            lost_in_row: 0,
            failures: 0,
            counts: Counts::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match (input, self.state) {
            (Input::Connected, State::Opening { .. }) => {
                self.state = State::Idle;
                self.lost_in_row = 0;
            }
            (Input::Disconnected, State::Closed { .. }) => {}
            (Input::Disconnected, state) => {
                if matches!(state, State::Asked { .. }) {
                    self.lose();
                }
                self.close(now);
            }
            (Input::Answered { number }, State::Asked { .. }) if number == self.number => {
                self.state = State::Idle;
                self.lost_in_row = 0;
                self.failures = 0;
            }
            (Input::Answered { .. }, _) => self.counts.late += 1,
            (Input::Connected | Input::Elapsed, _) => {}
        }
        self.advance(now);
    }

    /// Tells what is to be done next; call until it gives a timeout.
    pub fn poll(&mut self) -> Output {
        let due = match self.state {
            State::Closed { until } => until,
            State::Idle => self.next,
            State::Opening { deadline } | State::Asked { deadline } => deadline,
        };
        self.outputs.pop_front().unwrap_or(Output::Timeout(due))
    }

    /// Tells that the poll that was due left at `now`, later than it was told
    /// to: the next one keeps its distance from then.
    pub fn left(&mut self, now: Instant) {
        self.next = self.next.max(now + self.config.interval);
    }

    /// Tells what was counted.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Closed { until } if now >= until => {
                self.state = State::Opening {
                    deadline: now + OPENING_MAX,
                };
                self.outputs.push_back(Output::Connect);
            }
            State::Opening { deadline } if now >= deadline => {
                self.outputs.push_back(Output::Disconnect);
                self.close(now);
            }
            State::Idle if now >= self.next => {
                self.number += 1;
                self.counts.polls += 1;
                // From now on, not from when it was due: polls are never
                // closer than the interval.
                self.next = now + self.config.interval;
                self.state = State::Asked {
                    deadline: now + self.config.answer_timeout,
                };
                self.outputs.push_back(Output::Ask {
                    number: self.number,
                });
            }
            State::Asked { deadline } if now >= deadline => {
                self.lose();
                if self.lost_in_row >= self.config.lost_max {
                    self.outputs.push_back(Output::Disconnect);
                    self.close(now);
                } else {
                    self.state = State::Idle;
                }
            }
            _ => {}
        }
    }

    fn lose(&mut self) {
        self.counts.lost += 1;
        self.lost_in_row = self.lost_in_row.saturating_add(1);
    }

    fn close(&mut self, now: Instant) {
        let doublings = self.failures.min(DOUBLINGS_MAX);
        let wait = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.lost_in_row = 0;
        self.state = State::Closed { until: now + wait };
    }
}
