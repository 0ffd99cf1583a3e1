//! Smart meters that are gateways to outlets: the head end's side of the five XML messages, without
//! I/O.
//!
//! The formats have no acknowledgement. What the head end has is therefore what its store has: each
//! value is kept once under its meter, outlet and section, however often it is told, and the
//! sections that are missing are asked for again, while the meter is connected, until they are
//! there or the meter has passed them over three times; then they are told as a gap, and asked for
//! again on the next connection. Orders to outlets and costs carry their time; the last ones are
//! told anew on each connection, and a meter obeys none twice.
//!
//! A message counts only for the meter that the connection it came on belongs to.
//!
//! Use: [`OutletHead::handle`] for all that happens, at least every minute a [`Input::Tick`], then
//! [`OutletHead::poll`] until it gives nothing.

mod enrolment;
mod service;
mod shell;
pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::xml::{
    CivilDate, CivilDateTime, OutletId, Section, Sections, SmartMeterId, Switch, ToServer,
    ToSmartMeter, XmlMessage,
};
use model::{BreakerAction, BreakerOrder, MessageClass, SIGNATURE_LEN};

pub use enrolment::{OutletEntry, OutletFileError, OutletMeterEntry};
pub use service::{OutletStartError, Outlets, Preview, Standing};
pub use shell::{Identify, OutletOrders, Sign, Told, serve};
pub use store::{OutletStore, OutletStoreError, Record, SqliteOutlets};

pub(crate) use service::OutletParts;

/// Seconds after the end of a section before it counts as missing.
pub(crate) const GRACE: u64 = 120;

/// Seconds before the same sections are asked for again.
const ASK_INTERVAL: u64 = 60;

/// Times that the same sections are asked for on one connection.
const ASKS_MAX: u8 = 3;

/// Requests to one meter in one turn; more wait for the next.
const ASKS_AT_ONCE: usize = 64;

/// Outputs that wait; while there are so many nothing is asked for.
const OUTPUTS_MAX: usize = 65_536;

/// Orders to outlets of one meter that are told anew.
const ORDERS_MAX: usize = 64;

/// Seconds by which a meter's clock may be ahead.
const AHEAD_MAX: u64 = 600;

const SECTION: u64 = Section::SECONDS as u64;
const DAY: u64 = 86_400;

/// Which meter is expected to tell what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The meter.
    pub meter: SmartMeterId,
    /// Its outlets.
    pub outlets: BTreeSet<OutletId>,
    /// From when on its sections are expected.
    pub since: CivilDateTime,
}

/// How the head end deals with outlet meters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletSettings {
    /// Days that meters hold; older sections are not asked for.
    pub days: u64,
    /// Seconds after which a meter no longer obeys an order.
    pub order_age_max: u64,
}

impl Default for OutletSettings {
    fn default() -> Self {
        Self {
            days: 60,
            order_age_max: 600,
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A meter, proved by its certificate, has connected.
    Connected(SmartMeterId),
    /// Its connection is over.
    Disconnected(SmartMeterId),
    /// A message came on the connection of a meter.
    Xml(SmartMeterId, &'a [u8]),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A message is to be sent.
    Send {
        /// To which meter.
        meter: SmartMeterId,
        /// Its class.
        class: MessageClass,
        /// What it is.
        body: Body,
    },
    /// A meter warned, for the first time at this outlet and time.
    Warning(SmartMeterId, OutletId, CivilDateTime),
    /// A meter does not give sections.
    Gap(SmartMeterId, OutletId, CivilDate, Sections),
    /// Something came that is not taken, and why.
    Refused(SmartMeterId, Refusal),
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One of the XML messages.
    Xml(String),
    /// A signed envelope.
    Envelope(Vec<u8>),
}

/// Why something is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none of the messages: where and why, in short.
    #[error("it is no message to a server: {0}")]
    Malformed(String),
    /// It is a message to a smart meter.
    #[error("it is a message to a smart meter, not to a server")]
    ToMeter,
    /// It names another meter than the one that is connected.
    #[error("it names another meter than the one that sent it")]
    OtherMeter,
    /// The meter or the outlet is not enrolled.
    #[error("the meter or the outlet is not enrolled")]
    Unknown,
    /// Its time lies ahead, or before the meter was enrolled.
    #[error("its time lies ahead, or before the meter was enrolled")]
    Time,
}

/// What is there of a meter, day by day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The newest day last; of each how many sections of its outlets are there, and how many are
    /// due.
    pub days: Vec<(CivilDate, u32, u32)>,
    /// Sections of all days that meters hold that are due and not there.
    pub missing: u32,
}

/// Why an order is not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The meter or an outlet is not enrolled, or no outlet is named.
    #[error("the meter or the outlet is not enrolled")]
    Unknown,
    /// The meter is not connected, and the order is not one that can wait.
    #[error("the meter is not connected")]
    NotConnected,
    /// The order cannot be written.
    #[error("the order cannot be written: {0}")]
    Malformed(#[from] model::xml::WriteError),
    /// The key service signs no such order.
    #[error("the key service signs no such order")]
    NotSigned,
    /// There is no key that signs orders to breakers.
    #[error("the head end has no key that signs orders to breakers")]
    NoSigner,
    /// As many breakers were opened within the hour as are allowed.
    #[error("as many breakers were opened within the hour as are allowed")]
    TooMany,
    /// The store takes no more.
    #[error("the store takes no more")]
    Store(#[from] OutletStoreError),
}

/// The sections of a day that are there, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Bits([u64; 3]);

impl Bits {
    /// Tells whether the section is there that holds this second of the day.
    fn has(&self, second: u64) -> bool {
        let bit = second / SECTION;
        usize::try_from(bit / 64)
            .ok()
            .and_then(|word| self.0.get(word))
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// Counts those of `sections` from the one on that holds this second of the day.
    fn between(&self, second: u64, sections: u32) -> u32 {
        let from = second / SECTION;
        let until = from + u64::from(sections);
        let count = (from..until).filter(|bit| self.has(bit * SECTION)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn set(&mut self, second: u64) {
        let bit = second / SECTION;
        let word = usize::try_from(bit / 64).ok();
        if let Some(word) = word.and_then(|word| self.0.get_mut(word)) {
            *word |= 1 << (bit % 64);
        }
    }
}

#[derive(Debug)]
struct Outlet {
    /// By the day's number since 0000-01-01.
    days: BTreeMap<u64, Bits>,
    /// All sections that began before this second are there or given up.
    from: u64,
}

/// How often sections of a day were asked for.
#[derive(Clone, Copy, Debug)]
struct Ask {
    at: u64,
    times: u8,
}

#[derive(Debug)]
struct Meter {
    outlets: BTreeMap<OutletId, Outlet>,
    since: u64,
    connected: bool,
    /// By outlet and the second at which the first section begins.
    asks: BTreeMap<(OutletId, u64), Ask>,
    orders: VecDeque<(u64, String)>,
    cost: Option<String>,
    /// The time of the last order or cost.
    told: u64,
}

/// The machine.
#[derive(Debug)]
pub struct OutletHead<S> {
    settings: OutletSettings,
    store: S,
    meters: BTreeMap<SmartMeterId, Meter>,
    sequence: u64,
    outputs: VecDeque<Output>,
}

impl<S: OutletStore> OutletHead<S> {
    /// Starts from what the store holds.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn open(
        settings: OutletSettings,
        enrolments: Vec<Enrolment>,
        mut store: S,
    ) -> Result<Self, OutletStoreError> {
        let mut meters: BTreeMap<SmartMeterId, Meter> = enrolments
            .into_iter()
            .map(|enrolment| {
                let since = enrolment.since.ordinal().next_multiple_of(SECTION);
                let outlets = enrolment
                    .outlets
                    .into_iter()
                    .map(|outlet| {
                        let days = BTreeMap::new();
                        (outlet, Outlet { days, from: since })
                    })
                    .collect();
                let meter = Meter {
                    outlets,
                    since,
                    connected: false,
                    asks: BTreeMap::new(),
                    orders: VecDeque::new(),
                    cost: None,
                    told: 0,
                };
                (enrolment.meter, meter)
            })
            .collect();
        let mut sequence = 0;
        store.load(&mut |record| match record {
            Record::Usage {
                meter, outlet, at, ..
            } => {
                if let Some(outlet) = meters
                    .get_mut(&meter)
                    .and_then(|meter| meter.outlets.get_mut(&outlet))
                {
                    outlet.set(at.ordinal());
                }
            }
            Record::Warning { .. } => {}
            Record::Order { meter, at, xml } => {
                if let Some(meter) = meters.get_mut(&meter) {
                    meter.ordered(at.ordinal(), xml);
                }
            }
            Record::Cost { meter, at, xml } => {
                if let Some(meter) = meters.get_mut(&meter) {
                    meter.told = meter.told.max(at.ordinal());
                    meter.cost = Some(xml);
                }
            }
            Record::Sequence(number) => sequence = number.max(sequence),
        })?;
        Ok(Self {
            settings,
            store,
            meters,
            sequence,
            outputs: VecDeque::new(),
        })
    }

    /// Takes what happens at a civil time.
    ///
    /// # Errors
    /// Where the store takes no more: the message counts as not received.
    pub fn handle(&mut self, input: Input<'_>, now: CivilDateTime) -> Result<(), OutletStoreError> {
        match input {
            Input::Tick => self.ask(now),
            Input::Connected(id) => {
                let age_max = self.settings.order_age_max;
                let Some(meter) = self.meters.get_mut(&id) else {
                    self.outputs
                        .push_back(Output::Refused(id, Refusal::Unknown));
                    return Ok(());
                };
                meter.connected = true;
                meter.asks.clear();
                for outlet in meter.outlets.values_mut() {
                    outlet.from = meter.since;
                }
                let now_civil = now;
                let now = now.ordinal();
                meter
                    .orders
                    .retain(|(at, _)| now.saturating_sub(*at) <= age_max);
                let orders = meter.orders.iter().map(|(_, xml)| xml.clone());
                let orders: Vec<_> = orders.map(|xml| (MessageClass::Control, xml)).collect();
                let cost = meter.cost.clone().map(|xml| (MessageClass::Billing, xml));
                for (class, xml) in orders.into_iter().chain(cost) {
                    self.send(id, class, Body::Xml(xml));
                }
                self.ask(now_civil);
            }
            Input::Disconnected(id) => {
                if let Some(meter) = self.meters.get_mut(&id) {
                    meter.connected = false;
                }
                self.outputs
                    .retain(|output| !matches!(output, Output::Send { meter, .. } if *meter == id));
            }
            Input::Xml(id, octets) => match XmlMessage::read(octets) {
                Ok(XmlMessage::ToServer(message)) => self.message(id, &message, now)?,
                Ok(XmlMessage::ToSmartMeter(_)) => self.refuse(id, Refusal::ToMeter),
                Err(error) => self.refuse(id, Refusal::Malformed(error.brief())),
            },
        }
        Ok(())
    }

    /// Gives what is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the store.
    pub const fn store(&mut self) -> &mut S {
        &mut self.store
    }

    /// Switches outlets of a meter, and says whether it is told at once: one that is not connected
    /// is told when it connects, as long as it would obey.
    ///
    /// # Errors
    /// Why there is no order.
    pub fn switch(
        &mut self,
        id: SmartMeterId,
        outlets: Vec<(OutletId, Switch)>,
        now: CivilDateTime,
    ) -> Result<bool, OrderError> {
        let meter = self.meters.get(&id).ok_or(OrderError::Unknown)?;
        let known = |(outlet, _): &(OutletId, Switch)| meter.outlets.contains_key(outlet);
        if outlets.is_empty() || !outlets.iter().all(known) {
            return Err(OrderError::Unknown);
        }
        let timestamp = meter.next_time(now)?;
        let message = ToSmartMeter::ControlOnOff { timestamp, outlets };
        let xml = XmlMessage::ToSmartMeter(message).write()?;
        self.store.insert(&[Record::Order {
            meter: id,
            at: timestamp,
            xml: xml.clone(),
        }])?;
        let connected = self.meters.get_mut(&id).is_some_and(|meter| {
            meter.ordered(timestamp.ordinal(), xml.clone());
            meter.connected
        });
        if connected {
            self.send(id, MessageClass::Control, Body::Xml(xml));
        }
        Ok(connected)
    }

    /// Asks a connected meter once more for sections of a day, also for those that are there.
    ///
    /// # Errors
    /// Why it is not asked.
    pub fn request(
        &mut self,
        id: SmartMeterId,
        outlet: OutletId,
        day: CivilDate,
        sections: Sections,
        now: CivilDateTime,
    ) -> Result<(), OrderError> {
        let meter = self.meters.get(&id).ok_or(OrderError::Unknown)?;
        if !meter.outlets.contains_key(&outlet) {
            return Err(OrderError::Unknown);
        }
        if !meter.connected {
            return Err(OrderError::NotConnected);
        }
        let message = XmlMessage::ToSmartMeter(ToSmartMeter::Retransmission {
            timestamp: now,
            outlet,
            day,
            sections,
        });
        let xml = message.write()?;
        self.send(id, MessageClass::Request, Body::Xml(xml));
        Ok(())
    }

    /// Tells the customer of a meter what days of a month cost, and says whether it is told at
    /// once: one that is not connected is told when it connects.
    ///
    /// # Errors
    /// Why it is not told.
    pub fn cost(
        &mut self,
        id: SmartMeterId,
        month: u8,
        days: (u8, u8),
        total_cost: u64,
        now: CivilDateTime,
    ) -> Result<bool, OrderError> {
        let meter = self.meters.get(&id).ok_or(OrderError::Unknown)?;
        let timestamp = meter.next_time(now)?;
        let message = ToSmartMeter::PowerCost {
            timestamp,
            month,
            day_start: days.0,
            day_end: days.1,
            total_cost,
        };
        let xml = XmlMessage::ToSmartMeter(message).write()?;
        self.store.insert(&[Record::Cost {
            meter: id,
            at: timestamp,
            xml: xml.clone(),
        }])?;
        let connected = self.meters.get_mut(&id).is_some_and(|meter| {
            meter.told = timestamp.ordinal();
            meter.cost = Some(xml.clone());
            meter.connected
        });
        if connected {
            self.send(id, MessageClass::Billing, Body::Xml(xml));
        }
        Ok(connected)
    }

    /// Opens or closes a meter's own breaker by a signed envelope that is void after `expires`,
    /// seconds since 1970-01-01T00:00:00Z. `sign` is the key service, which may refuse. The
    /// sequence is durable before anything is signed.
    ///
    /// # Errors
    /// Why there is no order.
    pub fn breaker(
        &mut self,
        id: SmartMeterId,
        action: BreakerAction,
        expires: u64,
        sign: &mut dyn FnMut(&[u8]) -> Option<[u8; SIGNATURE_LEN]>,
    ) -> Result<(), OrderError> {
        let meter = self.meters.get(&id).ok_or(OrderError::Unknown)?;
        if !meter.connected {
            return Err(OrderError::NotConnected);
        }
        let order = BreakerOrder {
            meter: id,
            sequence: self.sequence + 1,
            expires,
            action,
        };
        self.store.insert(&[Record::Sequence(order.sequence)])?;
        self.sequence = order.sequence;
        let signed = order.signed();
        let signature = sign(&signed).ok_or(OrderError::NotSigned)?;
        let envelope = [signed.as_slice(), &signature].concat();
        self.send(id, MessageClass::Control, Body::Envelope(envelope));
        Ok(())
    }

    /// Returns how many sections of an enrolled meter's outlets that are due are not there.
    pub fn missing(&self, id: SmartMeterId, now: CivilDateTime) -> usize {
        let Some(meter) = self.meters.get(&id) else {
            return 0;
        };
        let due = due(now);
        let sections = |outlet: &Outlet| {
            let mut count = 0;
            let mut at = meter.since.max(self.oldest(now));
            while at < due {
                count += usize::from(!outlet.has(at));
                at += SECTION;
            }
            count
        };
        meter.outlets.values().map(sections).sum()
    }

    /// Returns what is there of each meter, on each of the last `days` days.
    pub fn figures(&self, days: u64, now: CivilDateTime) -> BTreeMap<SmartMeterId, Figures> {
        let (due, oldest, today) = (due(now), self.oldest(now), now.ordinal() / DAY);
        let mut all = BTreeMap::new();
        for (id, meter) in &self.meters {
            let first = meter.since.max(oldest);
            let mut figures = Figures::default();
            let outlets = u32::try_from(meter.outlets.len()).unwrap_or(u32::MAX);
            for day in first.min(today * DAY) / DAY..=today {
                let (begins, ends) = ((day * DAY).max(first), ((day + 1) * DAY).min(due));
                let sections = ends.saturating_sub(begins).div_ceil(SECTION);
                let sections = u32::try_from(sections).unwrap_or(0);
                let expected = sections.saturating_mul(outlets);
                let there = |outlet: &Outlet| {
                    let bits = outlet.days.get(&day);
                    bits.map_or(0, |bits| bits.between(begins % DAY, sections))
                };
                let received: u32 = meter.outlets.values().map(there).sum();
                figures.missing += expected.saturating_sub(received);
                let civil = CivilDateTime::from_ordinal(day * DAY);
                if let (Some(civil), true) = (civil, day + days > today) {
                    figures.days.push((civil.date(), received, expected));
                }
            }
            all.insert(*id, figures);
        }
        all
    }

    fn oldest(&self, now: CivilDateTime) -> u64 {
        now.ordinal()
            .saturating_sub(self.settings.days * DAY)
            .next_multiple_of(SECTION)
    }

    fn send(&mut self, meter: SmartMeterId, class: MessageClass, body: Body) {
        self.outputs.push_back(Output::Send { meter, class, body });
    }

    fn refuse(&mut self, meter: SmartMeterId, refusal: Refusal) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(Output::Refused(meter, refusal));
        }
    }

    fn message(
        &mut self,
        id: SmartMeterId,
        message: &ToServer,
        now: CivilDateTime,
    ) -> Result<(), OutletStoreError> {
        let (named, at) = match message {
            ToServer::QueryPower {
                meter, timestamp, ..
            }
            | ToServer::WarnToChange {
                meter, timestamp, ..
            } => (*meter, *timestamp),
        };
        if named != id {
            self.refuse(id, Refusal::OtherMeter);
            return Ok(());
        }
        let Some(meter) = self.meters.get_mut(&id) else {
            self.refuse(id, Refusal::Unknown);
            return Ok(());
        };
        let ordinal = at.ordinal();
        if ordinal > now.ordinal() + AHEAD_MAX || ordinal < meter.since {
            self.refuse(id, Refusal::Time);
            return Ok(());
        }
        let mut unknown = false;
        match message {
            ToServer::QueryPower { outlets, .. } => {
                let mut records = Vec::new();
                for (outlet, power) in outlets {
                    match meter.outlets.get(outlet) {
                        None => unknown = true,
                        Some(known) if known.has(ordinal) => {}
                        Some(_) => records.push(Record::Usage {
                            meter: id,
                            outlet: *outlet,
                            at,
                            power: *power,
                        }),
                    }
                }
                // Durable first: only then it counts as there.
                self.store.insert(&records)?;
                for (outlet, _) in outlets {
                    if let Some(outlet) = meter.outlets.get_mut(outlet) {
                        outlet.set(ordinal);
                    }
                }
            }
            ToServer::WarnToChange { outlets, .. } => {
                for (outlet, number) in outlets {
                    if !meter.outlets.contains_key(outlet) {
                        unknown = true;
                        continue;
                    }
                    let record = Record::Warning {
                        meter: id,
                        outlet: *outlet,
                        at,
                        number: *number,
                    };
                    if self.store.insert(&[record])? > 0 {
                        self.outputs.push_back(Output::Warning(id, *outlet, at));
                    }
                }
            }
        }
        if unknown {
            self.refuse(id, Refusal::Unknown);
        }
        Ok(())
    }

    /// Asks for what is missing.
    fn ask(&mut self, now: CivilDateTime) {
        let (due, oldest, time) = (due(now), self.oldest(now), now.ordinal());
        let Self {
            meters, outputs, ..
        } = self;
        for (id, meter) in meters.iter_mut().filter(|(_, meter)| meter.connected) {
            let mut left = ASKS_AT_ONCE;
            let Meter { outlets, asks, .. } = meter;
            for (number, outlet) in outlets {
                outlet.days = outlet.days.split_off(&(oldest / DAY));
                outlet.from = outlet.from.max(oldest);
                while outlet.from < due && outlet.has(outlet.from) {
                    asks.remove(&(*number, outlet.from));
                    outlet.from += SECTION;
                }
                let mut at = outlet.from;
                while at < due && left > 0 && outputs.len() < OUTPUTS_MAX {
                    let Some((begins, end, next)) = outlet.hole(at, due) else {
                        break;
                    };
                    at = next;
                    let key = (*number, begins.ordinal());
                    let ask = asks.get(&key).copied();
                    if ask.is_some_and(|ask| {
                        ask.times > ASKS_MAX || time.saturating_sub(ask.at) < ASK_INTERVAL
                    }) {
                        continue;
                    }
                    left -= 1;
                    let times = ask.map_or(1, |ask| ask.times + 1);
                    asks.insert(key, Ask { at: time, times });
                    let Ok(sections) = Sections::new(begins.section(), end) else {
                        continue;
                    };
                    let day = begins.date();
                    if times > ASKS_MAX {
                        outputs.push_back(Output::Gap(*id, *number, day, sections));
                        continue;
                    }
                    let message = XmlMessage::ToSmartMeter(ToSmartMeter::Retransmission {
                        timestamp: now,
                        outlet: *number,
                        day,
                        sections,
                    });
                    if let Ok(xml) = message.write() {
                        outputs.push_back(Output::Send {
                            meter: *id,
                            class: message.class(),
                            body: Body::Xml(xml),
                        });
                    }
                }
            }
        }
    }
}

/// The second from which on sections may still come by themselves.
fn due(now: CivilDateTime) -> u64 {
    let over = now.ordinal().saturating_sub(GRACE);
    (over / SECTION) * SECTION
}

impl Meter {
    fn ordered(&mut self, at: u64, xml: String) {
        self.told = self.told.max(at);
        self.orders.push_back((at, xml));
        while self.orders.len() > ORDERS_MAX {
            self.orders.pop_front();
        }
    }

    /// The time of the next order: now, or a second after the last.
    fn next_time(&self, now: CivilDateTime) -> Result<CivilDateTime, OrderError> {
        let at = now.ordinal().max(self.told + 1);
        CivilDateTime::from_ordinal(at).ok_or(OrderError::Unknown)
    }
}

impl Outlet {
    fn has(&self, ordinal: u64) -> bool {
        let day = self.days.get(&(ordinal / DAY));
        day.is_some_and(|bits| bits.has(ordinal % DAY))
    }

    fn set(&mut self, ordinal: u64) {
        let day = self.days.entry(ordinal / DAY).or_default();
        day.set(ordinal % DAY);
    }

    /// Finds the first sections of one day from `at` on that are missing: their beginning, the last
    /// of them, and where to look on.
    fn hole(&self, mut at: u64, due: u64) -> Option<(CivilDateTime, Section, u64)> {
        while at < due && self.has(at) {
            at += SECTION;
        }
        if at >= due {
            return None;
        }
        let begins = at;
        while at < due && at / DAY == begins / DAY && !self.has(at) {
            at += SECTION;
        }
        let end = CivilDateTime::from_ordinal(at - SECTION)?.section();
        Some((CivilDateTime::from_ordinal(begins)?, end, at))
    }
}
