//! A smart meter that is the gateway to outlets: the meter's side of the five XML messages, without
//! I/O.
//!
//! It tells what each outlet consumed in each of the 144 sections of a day, warns at once where an
//! outlet passes a threshold, gives again any section that it still holds, keeps the last cost
//! that it was told, and switches outlets. The formats have no acknowledgement, so nothing is
//! thought to have arrived: what it measured stays in the journal and is given again whenever it is
//! asked for; warnings of the last day are told anew on each connection, and the receiver knows
//! them by their meter, outlet and time. An order counts by its time: the same one, or an older
//! one, does nothing.
//!
//! The formats have no proof of origin either. `Control_On_Off` therefore switches outlets and
//! nothing else; the meter's own breaker takes an envelope that is signed ([`BreakerOrder`]), with
//! a sequence that is durable before it is obeyed.
//!
//! Use: [`OutletMeter::handle`] for all that happens, then [`OutletMeter::poll`] until it gives
//! nothing; [`OutletMeter::next_message`] as often as the link takes another.

mod journal;
mod shell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use model::xml::{
    CivilDateTime, OutletId, OutletPower, Section, SmartMeterId, Switch, ToServer, ToSmartMeter,
    XmlMessage,
};
use model::{BreakerAction, BreakerOrder, MessageClass};

use journal::Entry;
pub use journal::{FileJournal, OutletJournal};
pub use shell::{OutletShell, Sockets};

/// Sections of one day.
const DAY_SECTIONS: usize = Section::COUNT as usize;

/// Warnings that are kept to be told anew; older ones are dropped.
const WARNINGS_MAX: usize = 256;

/// Outputs that wait; orders are refused while there is no room.
const OUTPUTS_MAX: usize = 4_096;

/// How long warnings are told anew, in seconds.
const WARNING_AGE_MAX: u64 = 86_400;

/// Octets that the journal may grow beyond twice what it was when last written anew.
const JOURNAL_SLACK: u64 = 1 << 20;

/// What an outlet meter is set to.
#[derive(Clone, Debug)]
pub struct OutletConfig {
    /// Its number.
    pub meter: SmartMeterId,
    /// Its outlets, each with what it warns from on; at most 1,000.
    pub outlets: BTreeMap<OutletId, Thresholds>,
    /// Days whose sections are kept, at least one.
    pub days: usize,
    /// Seconds that an order's time may differ from the meter's.
    pub order_age_max: u64,
    /// The uncompressed point of the P-256 key that signs orders to the breaker; none: there are no
    /// such orders.
    pub breaker_key: Option<Vec<u8>>,
}

impl OutletConfig {
    /// Returns usual values: 60 days, orders of the last ten minutes, no breaker.
    pub const fn new(meter: SmartMeterId, outlets: BTreeMap<OutletId, Thresholds>) -> Self {
        Self {
            meter,
            outlets,
            days: 60,
            order_age_max: 600,
            breaker_key: None,
        }
    }
}

/// What an outlet warns from on. It warns once where a value comes to its threshold, and again only
/// after that value was below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Power in watts.
    pub watts: u32,
    /// Current in milliamperes; none: whatever flows is no reason to warn.
    pub milliamperes: Option<u32>,
    /// Voltage in volts; none: it is no reason to warn.
    pub volts: Option<u32>,
}

impl Thresholds {
    /// Returns that of power alone.
    pub const fn of_power(watts: u32) -> Self {
        Self {
            watts,
            milliamperes: None,
            volts: None,
        }
    }

    /// Tells which of power, current and voltage have come to theirs.
    fn reached(&self, power: OutletPower) -> [bool; 3] {
        let reached = |value: u32, threshold: Option<u32>| threshold.is_some_and(|it| value >= it);
        [
            reached(power.watts, Some(self.watts)),
            reached(power.milliamperes, self.milliamperes),
            reached(power.volts, self.volts),
        ]
    }
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// There is a connection to the server.
    Connected,
    /// There is none any more. What was handed out and may be lost, the server asks for.
    Disconnected,
    /// What an outlet is drawing now.
    Measured(OutletId, OutletPower),
    /// Time has passed.
    Tick,
    /// One of the XML messages came.
    Xml(&'a [u8]),
    /// A signed envelope came, at this second since 1970-01-01T00:00:00Z.
    Envelope(&'a [u8], u64),
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// An outlet is to be switched.
    Switch(OutletId, Switch),
    /// The meter's own breaker is to be opened or closed.
    Breaker(BreakerAction, OrderVerified),
    /// The customer is to be told a cost.
    Cost(Cost),
    /// Something came that is not obeyed, and why.
    Refused(Refusal),
}

/// A cost that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// When it was told.
    pub told: CivilDateTime,
    /// The month, 1 to 12.
    pub month: u8,
    /// The first day of it.
    pub day_start: u8,
    /// The last day of it.
    pub day_end: u8,
    /// Whole units of the currency that both sides agreed on.
    pub total: u64,
}

/// Why something is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none of the messages: where and why, in short.
    #[error("it is no message to a smart meter: {0}")]
    Malformed(String),
    /// It is a message to a server.
    #[error("it is a message to a server, not to a smart meter")]
    ToServer,
    /// It has not the form of a signed order to the breaker.
    #[error("it has not the form of a signed order to a breaker")]
    NoEnvelope,
    /// The order's time is too far from the meter's.
    #[error("the order's time is too far from the meter's")]
    Stale,
    /// There is no such outlet.
    #[error("there is no such outlet")]
    NoOutlet,
    /// Too much waits.
    #[error("too much waits to be done")]
    Busy,
    /// The envelope is for another meter, or void, or was obeyed before, or there is no key.
    #[error("the envelope is for another meter, expired, or not newer than the last")]
    NotNow,
    /// The envelope's signature is wrong.
    #[error("the signature is wrong")]
    Signature,
}

/// The signature of an order to the breaker verified. Can be made only here.
#[derive(Debug)]
#[must_use]
pub struct OrderVerified(());

/// A message that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its class.
    pub class: MessageClass,
    /// Its octets.
    pub xml: String,
}

/// Samples of one outlet in the section that runs.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    volts: u64,
    milliamperes: u64,
    watts: u64,
    count: u64,
}

impl Sum {
    fn add(&mut self, power: OutletPower) {
        self.volts += u64::from(power.volts);
        self.milliamperes += u64::from(power.milliamperes);
        self.watts += u64::from(power.watts);
        self.count += 1;
    }

    fn mean(&self) -> OutletPower {
        // The mean of 32-bit values fits.
        let mean = |sum: u64| u32::try_from(sum / self.count.max(1)).unwrap_or(u32::MAX);
        OutletPower {
            volts: mean(self.volts),
            milliamperes: mean(self.milliamperes),
            watts: mean(self.watts),
        }
    }
}

/// What the journal holds, in memory.
#[derive(Debug, Default)]
struct Held {
    /// By the second at which a section began.
    rows: BTreeMap<u64, BTreeMap<OutletId, OutletPower>>,
    switches: BTreeMap<OutletId, (u64, Switch)>,
    warnings: VecDeque<(u64, OutletId)>,
    cost: Option<Cost>,
    sequence: u64,
}

/// The machine.
#[derive(Debug)]
pub struct OutletMeter<J> {
    config: OutletConfig,
    journal: J,
    held: Held,
    journal_octets: u64,
    /// Octets at which the journal is written anew.
    rewrite_at: u64,
    failed: bool,
    /// The section that runs, and what was measured in it.
    section: u64,
    sums: BTreeMap<OutletId, Sum>,
    /// What has reached its threshold, and was warned of.
    above: BTreeMap<OutletId, [bool; 3]>,
    connected: bool,
    warn: VecDeque<(u64, OutletId)>,
    /// Sections to be told as a whole.
    fresh: BTreeSet<u64>,
    /// Sections of single outlets that were asked for.
    asked: BTreeSet<(u64, OutletId)>,
    outputs: VecDeque<Output>,
}

impl<J: OutletJournal> OutletMeter<J> {
    /// Starts from what the journal holds. Outlets are to be switched to what was ordered last:
    /// that comes out of [`OutletMeter::poll`] first.
    ///
    /// # Errors
    /// Where the journal cannot be read or mended.
    pub fn open(config: OutletConfig, mut journal: J) -> io::Result<Self> {
        let mut held = Held::default();
        let (entries, journal_octets) = journal::recover(&mut journal)?;
        for entry in entries {
            held.apply(&entry, &config);
        }
        let outputs = held
            .switches
            .iter()
            .map(|(outlet, (_, switch))| Output::Switch(*outlet, *switch))
            .collect();
        Ok(Self {
            config,
            journal,
            held,
            journal_octets,
            rewrite_at: rewrite_at(journal_octets),
            failed: false,
            section: 0,
            sums: BTreeMap::new(),
            above: BTreeMap::new(),
            connected: false,
            warn: VecDeque::new(),
            fresh: BTreeSet::new(),
            asked: BTreeSet::new(),
            outputs,
        })
    }

    /// Gives a meter that holds no section yet those of a time before: rows by the time at which
    /// their section began.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub fn with_history(
        mut self,
        rows: impl IntoIterator<Item = (CivilDateTime, BTreeMap<OutletId, OutletPower>)>,
    ) -> io::Result<Self> {
        if !self.held.rows.is_empty() {
            return Ok(self);
        }
        for (begun, row) in rows {
            let entry = Entry::Row(begun.date().at(begun.section()).ordinal(), row);
            self.held.apply(&entry, &self.config);
        }
        self.journal_octets = journal::rewrite(&mut self.journal, &self.held.entries())?;
        self.rewrite_at = rewrite_at(self.journal_octets);
        Ok(self)
    }

    /// Takes what happens at a civil time.
    ///
    /// # Errors
    /// Where the journal takes no more: what the input asked for beyond what was done before is not
    /// done, and nothing more is taken until the meter is opened anew.
    pub fn handle(&mut self, input: Input<'_>, now: CivilDateTime) -> io::Result<()> {
        self.turn_section(now)?;
        match input {
            Input::Tick => {}
            Input::Connected => {
                self.connected = true;
                let now = now.ordinal();
                self.warn = self.held.warnings.clone();
                self.warn
                    .retain(|(at, _)| now.saturating_sub(*at) <= WARNING_AGE_MAX);
            }
            Input::Disconnected => {
                self.connected = false;
                self.warn.clear();
                self.fresh.clear();
                self.asked.clear();
            }
            Input::Measured(outlet, power) => self.measured(outlet, power, now)?,
            Input::Xml(octets) => match XmlMessage::read(octets) {
                Ok(XmlMessage::ToSmartMeter(message)) => self.message(message, now)?,
                Ok(XmlMessage::ToServer(_)) => self.refuse(Refusal::ToServer),
                Err(error) => self.refuse(Refusal::Malformed(error.brief())),
            },
            Input::Envelope(octets, unix) => self.envelope(octets, unix)?,
        }
        Ok(())
    }

    /// Gives what is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives the next message, the most urgent first; nothing while there is no connection.
    pub fn next_message(&mut self) -> Option<Outgoing> {
        if !self.connected {
            return None;
        }
        loop {
            let message = if let Some((at, outlet)) = self.warn.pop_front() {
                ToServer::WarnToChange {
                    meter: self.config.meter,
                    timestamp: CivilDateTime::from_ordinal(at)?,
                    outlets: vec![(outlet, 1)],
                }
            } else {
                let (section, only) = match self.fresh.pop_first() {
                    Some(section) => (section, None),
                    None => self
                        .asked
                        .pop_first()
                        .map(|(section, outlet)| (section, Some(outlet)))?,
                };
                let Some(row) = self.held.rows.get(&section) else {
                    continue;
                };
                ToServer::QueryPower {
                    meter: self.config.meter,
                    timestamp: CivilDateTime::from_ordinal(section)?,
                    outlets: row
                        .iter()
                        .filter(|(outlet, _)| only.is_none_or(|only| only == **outlet))
                        .map(|(outlet, power)| (*outlet, *power))
                        .collect(),
                }
            };
            let message = XmlMessage::ToServer(message);
            // What cannot be written, such as a section without outlets, is none.
            if let Ok(xml) = message.write() {
                let class = message.class();
                return Some(Outgoing { class, xml });
            }
        }
    }

    /// Returns what the journal holds of a section that began at this time.
    pub fn row(&self, begun: CivilDateTime) -> Option<&BTreeMap<OutletId, OutletPower>> {
        self.held.rows.get(&begun.ordinal())
    }

    /// Returns all sections that the journal holds, by the time at which they began.
    pub fn rows(&self) -> impl Iterator<Item = (CivilDateTime, &BTreeMap<OutletId, OutletPower>)> {
        let rows = self.held.rows.iter();
        rows.filter_map(|(begun, row)| Some((CivilDateTime::from_ordinal(*begun)?, row)))
    }

    /// Returns what an outlet was switched to last.
    pub fn switch(&self, outlet: OutletId) -> Option<Switch> {
        self.held.switches.get(&outlet).map(|(_, switch)| *switch)
    }

    /// Returns the last cost that was told.
    pub const fn cost(&self) -> Option<Cost> {
        self.held.cost
    }

    fn refuse(&mut self, refusal: Refusal) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(Output::Refused(refusal));
        }
    }

    /// Makes an entry durable, then takes it in.
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("the journal failed before"));
        }
        // What failed may stand there in part: nothing is appended behind it.
        self.failed = true;
        self.journal_octets += journal::append(&mut self.journal, entry)?;
        self.held.apply(entry, &self.config);
        if self.journal_octets > self.rewrite_at {
            self.journal_octets = journal::rewrite(&mut self.journal, &self.held.entries())?;
            self.rewrite_at = rewrite_at(self.journal_octets);
        }
        self.failed = false;
        Ok(())
    }

    /// Closes the section that ran, where another has begun.
    fn turn_section(&mut self, now: CivilDateTime) -> io::Result<()> {
        let section = now.date().at(now.section()).ordinal();
        if section == self.section {
            return Ok(());
        }
        let row: BTreeMap<OutletId, OutletPower> = self
            .sums
            .iter()
            .map(|(outlet, sum)| (*outlet, sum.mean()))
            .collect();
        // A clock that was set back does not write over what was told.
        if !row.is_empty() && !self.held.rows.contains_key(&self.section) {
            let closed = self.section;
            self.write(&Entry::Row(closed, row))?;
            if self.connected {
                self.fresh.insert(closed);
            }
        }
        self.sums.clear();
        self.section = section;
        Ok(())
    }

    fn measured(
        &mut self,
        outlet: OutletId,
        power: OutletPower,
        now: CivilDateTime,
    ) -> io::Result<()> {
        let Some(thresholds) = self.config.outlets.get(&outlet) else {
            return Ok(());
        };
        let reached = thresholds.reached(power);
        let warned = self.above.get(&outlet).copied().unwrap_or_default();
        // The message does not say which value it is, so that one stands for all of this second.
        if reached
            .iter()
            .zip(warned)
            .any(|(now, before)| *now && !before)
        {
            self.write(&Entry::Warning(now.ordinal(), outlet))?;
            if self.connected {
                self.warn.push_back((now.ordinal(), outlet));
            }
        }
        self.above.insert(outlet, reached);
        self.sums.entry(outlet).or_default().add(power);
        Ok(())
    }

    fn message(&mut self, message: ToSmartMeter, now: CivilDateTime) -> io::Result<()> {
        match message {
            ToSmartMeter::ControlOnOff { timestamp, outlets } => {
                self.control(timestamp, &outlets, now)
            }
            ToSmartMeter::Retransmission {
                outlet,
                day,
                sections,
                ..
            } => {
                for section in sections.iter() {
                    let begun = day.at(section).ordinal();
                    let row = self.held.rows.get(&begun);
                    if row.is_some_and(|row| row.contains_key(&outlet)) {
                        // Bounded by what is held.
                        self.asked.insert((begun, outlet));
                    }
                }
                Ok(())
            }
            ToSmartMeter::PowerCost {
                timestamp,
                month,
                day_start,
                day_end,
                total_cost,
            } => {
                if self.held.cost.is_some_and(|known| known.told >= timestamp) {
                    return Ok(());
                }
                let cost = Cost {
                    told: timestamp,
                    month,
                    day_start,
                    day_end,
                    total: total_cost,
                };
                if self.outputs.len() >= OUTPUTS_MAX {
                    self.refuse(Refusal::Busy);
                    return Ok(());
                }
                self.write(&Entry::Cost(cost))?;
                self.outputs.push_back(Output::Cost(cost));
                Ok(())
            }
        }
    }

    fn control(
        &mut self,
        timestamp: CivilDateTime,
        outlets: &[(OutletId, Switch)],
        now: CivilDateTime,
    ) -> io::Result<()> {
        let at = timestamp.ordinal();
        if at.abs_diff(now.ordinal()) > self.config.order_age_max {
            self.refuse(Refusal::Stale);
            return Ok(());
        }
        if self.outputs.len() + outlets.len() > OUTPUTS_MAX {
            self.refuse(Refusal::Busy);
            return Ok(());
        }
        for (outlet, switch) in outlets {
            if !self.config.outlets.contains_key(outlet) {
                self.refuse(Refusal::NoOutlet);
                continue;
            }
            let known = self.held.switches.get(outlet);
            if known.is_some_and(|(obeyed, _)| *obeyed >= at) {
                continue;
            }
            self.write(&Entry::Switch(*outlet, at, *switch))?;
            self.outputs.push_back(Output::Switch(*outlet, *switch));
        }
        Ok(())
    }

    fn envelope(&mut self, octets: &[u8], unix: u64) -> io::Result<()> {
        let Ok((order, signature)) = BreakerOrder::read(octets) else {
            self.refuse(Refusal::NoEnvelope);
            return Ok(());
        };
        // Nothing that the order says counts before its signature does.
        let Some(verified) = self.verify(&order, &signature) else {
            self.refuse(Refusal::Signature);
            return Ok(());
        };
        let in_time = order.expires > unix;
        if order.meter != self.config.meter || !in_time || order.sequence <= self.held.sequence {
            self.refuse(Refusal::NotNow);
            return Ok(());
        }
        self.write(&Entry::Sequence(order.sequence))?;
        self.outputs
            .push_back(Output::Breaker(order.action, verified));
        Ok(())
    }

    fn verify(&self, order: &BreakerOrder, signature: &[u8]) -> Option<OrderVerified> {
        let key = self.config.breaker_key.as_ref()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(&order.signed(), signature)
            .ok()
            .map(|()| OrderVerified(()))
    }
}

const fn rewrite_at(octets: u64) -> u64 {
    octets.saturating_mul(2).saturating_add(JOURNAL_SLACK)
}

impl Held {
    fn apply(&mut self, entry: &Entry, config: &OutletConfig) {
        match entry {
            Entry::Row(section, row) => {
                self.rows.entry(*section).or_insert_with(|| row.clone());
                while self.rows.len() > config.days.max(1).saturating_mul(DAY_SECTIONS) {
                    self.rows.pop_first();
                }
            }
            Entry::Switch(outlet, at, switch) => {
                if config.outlets.contains_key(outlet) {
                    self.switches.insert(*outlet, (*at, *switch));
                }
            }
            Entry::Warning(at, outlet) => {
                self.warnings.push_back((*at, *outlet));
                while self.warnings.len() > WARNINGS_MAX {
                    self.warnings.pop_front();
                }
            }
            Entry::Cost(cost) => self.cost = Some(*cost),
            Entry::Sequence(sequence) => self.sequence = self.sequence.max(*sequence),
        }
    }

    /// Returns the shortest journal that says the same.
    fn entries(&self) -> Vec<Entry> {
        let rows = self
            .rows
            .iter()
            .map(|(section, row)| Entry::Row(*section, row.clone()));
        let switches = self
            .switches
            .iter()
            .map(|(outlet, (at, switch))| Entry::Switch(*outlet, *at, *switch));
        let warnings = self
            .warnings
            .iter()
            .map(|(at, outlet)| Entry::Warning(*at, *outlet));
        let rest = self
            .cost
            .map(Entry::Cost)
            .into_iter()
            .chain([Entry::Sequence(self.sequence)]);
        rows.chain(switches).chain(warnings).chain(rest).collect()
    }
}
