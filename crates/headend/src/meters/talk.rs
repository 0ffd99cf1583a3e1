//! The conversation with one meter: how it is begun, and what is asked in it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dlms::acse::MechanismName;
use dlms::axdr::{Leaf, RawData};
use dlms::client::{Config, Failure as DlmsFailure, GetItem, Repeat, Security};
use dlms::cosem::{AttributeDescriptor, Obis};
use dlms::security::{CounterHint, Key, Keys, Protection};
use dlms::server::Context;
use dlms::xdlms::{Conformance, DataAccessResult};
use link::{Association, Client, ClientError, Drkey, Endpoint, Password};
use model::{BreakerState, Event, MessageClass, MeterId, Timestamp};

use super::profile::{self, Columns};
use super::values::{
    EVENTS_AHEAD_S, attribute_of, breaker_state, events_of, intervals_of, is_scaled, paths_of,
    register_value, rows_of, text, whole,
};
use super::{
    BREAKER, LOGICAL_DEVICE_NAME, Scalers, Shared, StoredCounters, add_us, counter_key, ended,
    protocol, ways,
};
use crate::collector::{
    AccessError, Answer, Conversation, MeterTarget, ProfileAnswer, Records, RecordsWanted,
    RegisterRef, Status, StatusWanted,
};
use crate::keys::ClientSecrets;
use crate::store::{ClockReading, Failure, Paths, RegisterReading};

/// How long two concentrators may take to agree which of them has the meter: a lease, and what
/// opening its segment takes.
const CHANGEOVER: Duration = Duration::from_secs(10);

/// How long connecting may take where there is another way: a machine that is gone without a word
/// is not to cost each of its meters the whole wait.
const WAY_CONNECT: Duration = Duration::from_secs(3);

/// The wait before all ways are tried again meanwhile.
const WAYS_AGAIN: Duration = Duration::from_millis(250);

/// A list that took longer than this says little about when the meter looked at its clock.
const CLOCK_TRIP_MAX: Duration = Duration::from_secs(1);

/// Clock, class 8.
const CLOCK: Obis = Obis::new(0, 0, 1, 0, 0, 255);
/// The counter that the meter expects next, class 1 (0-b:43.1.e, invocation counter).
const INVOCATION_COUNTER: Obis = Obis::new(0, 0, 43, 1, 0, 255);
/// Active firmware identifier.
const FIRMWARE: Obis = Obis::new(1, 0, 0, 2, 0, 255);

/// Says whether another way may lead to a meter that this one does not lead to.
const fn may_be_elsewhere(error: &AccessError) -> bool {
    matches!(error.reason, Failure::Unreachable | Failure::NoAnswer)
}

/// One association with one meter.
pub(super) struct Talk {
    shared: Arc<Shared>,
    meter: MeterId,
    /// There until the association is released.
    client: Option<Client>,
    rtt_us: Option<u32>,
}

impl Drop for Talk {
    /// A conversation that is broken off keeps its counters too.
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.shared.count(&client, 0);
            if let Some(security) = client.abandon() {
                self.shared
                    .known(self.meter, |known| known.security = Some(security));
            }
        }
    }
}

/// What an association with a meter is made of.
struct Reach<'r> {
    shared: &'r Arc<Shared>,
    target: &'r MeterTarget,
    endpoint: Endpoint,
    /// Whether there is another way.
    several: bool,
    secrets: Option<ClientSecrets>,
    mechanism: MechanismName<'static>,
}

impl Reach<'_> {
    fn security(&self) -> Result<Security, AccessError> {
        if let Some(secrets) = &self.secrets {
            return self.shared.security(self.target, secrets);
        }
        let secrets = self.shared.secrets(self.target)?;
        let secrets = secrets.ok_or(AccessError::ended(Failure::NoSecrets))?;
        self.shared.security(self.target, &secrets)
    }

    /// What the authentication key is mixed of, where the network derives a part of it.
    fn drkey(&self) -> Option<Drkey> {
        let secrets = &self.secrets.as_ref()?.secrets;
        let key = |name: &str| Key::from_octets(secrets.get(name)?.expose()).ok();
        let secret = key("drkey_secret")?;
        Some(Drkey {
            secret,
            keys: Keys {
                encryption: key("encryption_key")?,
                authentication: None,
                broadcast: None,
                master: None,
                dedicated: None,
            },
        })
    }

    async fn associate(&self, counter: Option<CounterHint>) -> Result<Client, ClientError> {
        let (shared, target) = (self.shared, self.target);
        let mut association = Association {
            client: target.enrolment.client,
            counter,
            ..Association::public(target.enrolment.server)
        };
        let parked = shared.known(target.id, |known| known.security.take());
        association.security = match parked {
            None if self.mechanism.is_high() => Some(
                self.security()
                    .map_err(|_| ClientError::Failed(DlmsFailure::NoKeys))?,
            ),
            parked => parked,
        };
        if self.mechanism.is_high() {
            association.config.context = Context::LogicalNameCiphered;
            association.config.protection = Protection::AuthenticatedEncrypted;
            association.counters = Some(Arc::new(StoredCounters {
                shared: Arc::clone(shared),
                key: counter_key(target),
            }));
        }
        association.password = self
            .secrets
            .as_ref()
            .and_then(|secrets| secrets.secrets.get("password"))
            .map(|secret| Password::new(secret.expose().to_vec()));
        association.drkey = self.drkey();
        association.config = Config {
            mechanism: self.mechanism,
            timeout: shared.answer(target),
            ..association.config
        };
        self.endpoint
            .suit(&mut association.config, Repeat::Everything);
        let (clock, connector) = (&shared.surroundings.clock, &shared.surroundings.connector);
        let begun = clock.now();
        let ends = (association.client, association.server);
        let limit = if self.several {
            shared.timeout.min(WAY_CONNECT)
        } else {
            shared.timeout
        };
        let link = connector.connect(&self.endpoint, ends, clock, limit).await;
        if self.several {
            shared.connected(&self.endpoint, link.is_err().then(|| clock.now()));
        }
        add_us(&shared.figures.connecting_us, clock.now().since(begun));
        match link {
            Ok(link) => Client::associate(link, association, &shared.surroundings).await,
            Err(error) => {
                // Nothing was sent under these keys: they are as they were.
                let security = association.security;
                shared.known(target.id, |known| known.security = security);
                Err(error.into())
            }
        }
    }

    /// Asks the meter, without protection, which counter it expects. That is a word, and is
    /// treated as one.
    async fn counter_told(&self) -> Option<CounterHint> {
        let mut association = Association::public(self.target.enrolment.server);
        association.config.timeout = self.shared.answer(self.target);
        let with = &self.shared.surroundings;
        let mut client = Client::connect(&self.endpoint, association, with, self.shared.timeout)
            .await
            .ok()?;
        let counter = AttributeDescriptor::new(1, INVOCATION_COUNTER, 2);
        let told = client.read(counter).await.ok()?.as_u64()?;
        client.release().await;
        u32::try_from(told).ok().map(CounterHint::new)
    }
}

/// Says whether a meter may have refused an association because its counter is ahead of ours.
const fn may_be_behind(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Failed(
            DlmsFailure::Rejected { .. }
                | DlmsFailure::Exception(_)
                | DlmsFailure::CounterBehind(_)
        )
    )
}

impl Talk {
    pub(super) async fn open(
        shared: Arc<Shared>,
        target: &MeterTarget,
    ) -> Result<Self, AccessError> {
        let text = target.enrolment.endpoint.as_str();
        let ways = ways(text)?;
        let last = shared.known(target.id, |known| known.way);
        let mut way = shared.first_way(&ways, last, shared.surroundings.clock.now());
        let mut left = ways.len();
        loop {
            let Some(endpoint) = ways.get(way) else {
                return Err(AccessError::ended(Failure::Unreachable));
            };
            let several = ways.len() > 1;
            let outcome = Self::reach(Arc::clone(&shared), target, endpoint.clone(), several);
            let outcome = outcome.await;
            if !several {
                return outcome;
            }
            match outcome {
                Err(error) if may_be_elsewhere(&error) => {
                    way = (way + 1) % ways.len();
                    left -= 1;
                    if left > 0 {
                        continue;
                    }
                    let now = shared.surroundings.clock.now();
                    if now.since(shared.silent_since(text, now)) >= CHANGEOVER {
                        return Err(error);
                    }
                    left = ways.len();
                    tokio::time::sleep(WAYS_AGAIN).await;
                }
                outcome => {
                    if outcome.is_ok() {
                        shared.heard(text);
                        shared.known(target.id, |known| known.way = way);
                    }
                    return outcome;
                }
            }
        }
    }

    /// Associates with a meter on one of its ways.
    async fn reach(
        shared: Arc<Shared>,
        target: &MeterTarget,
        mut endpoint: Endpoint,
        several: bool,
    ) -> Result<Self, AccessError> {
        let enrolment = &target.enrolment;
        shared.fence(target.id, &mut endpoint)?;
        let ready = shared.known(target.id, |known| {
            known.security.as_ref().and(known.mechanism)
        });
        let (secrets, mechanism) = match ready {
            Some(mechanism) => (None, mechanism),
            None => {
                let secrets = shared.secrets(target)?;
                let mechanism = match &secrets {
                    None => MechanismName::Lowest,
                    Some(secrets) => link::mechanism_from_name(&secrets.mechanism)
                        .ok_or(AccessError::ended(Failure::NoSecrets))?,
                };
                // With GMAC the keys are all that an association takes; no password goes with them,
                // and no secret that keys are mixed with each time.
                let mixed = |it: &ClientSecrets| it.secrets.contains_key("drkey_secret");
                let keyed =
                    mechanism == MechanismName::HighGmac && !secrets.as_ref().is_some_and(mixed);
                shared.known(target.id, |known| {
                    known.mechanism = keyed.then_some(mechanism);
                });
                (secrets, mechanism)
            }
        };
        let reach = Reach {
            shared: &shared,
            target,
            endpoint,
            several,
            secrets,
            mechanism,
        };
        let mut client = match reach.associate(None).await {
            // A meter that has lost its supply may count from further up.
            Err(error) if mechanism.is_high() && may_be_behind(&error) => {
                match reach.counter_told().await {
                    Some(hint) => reach.associate(Some(hint)).await,
                    None => Err(error),
                }
            }
            outcome => outcome,
        }
        .map_err(|error| reach.shared.ended(&reach.endpoint, &error))?;
        client.set_class(MessageClass::Usage);
        let mut talk = Self {
            shared,
            meter: target.id,
            client: Some(client),
            rtt_us: None,
        };
        if !mechanism.is_high() {
            // Nothing else proves which meter it is: with keys of its own, the keys do.
            let name = talk.value(1, LOGICAL_DEVICE_NAME, 2).await?;
            let told = RawData::new(&name).walk().leaves().next();
            match told {
                Some(Ok(Leaf::OctetString(octets) | Leaf::VisibleString(octets)))
                    if octets == enrolment.name.as_str().as_bytes() => {}
                _ => return Err(AccessError::ended(Failure::OtherMeter)),
            }
        }
        Ok(talk)
    }

    fn client(&mut self) -> Result<&mut Client, AccessError> {
        self.client
            .as_mut()
            .ok_or(AccessError::ended(Failure::NoAnswer))
    }

    /// Reads one attribute as octets.
    async fn value(
        &mut self,
        class: u16,
        object: Obis,
        attribute: i8,
    ) -> Result<Vec<u8>, AccessError> {
        let attribute = AttributeDescriptor::new(class, object, attribute);
        self.client()?
            .read_octets(attribute, None, &mut |_| {})
            .await
            .map_err(|error| ended(&error))
    }

    /// Reads attributes, each with its own result.
    async fn values(
        &mut self,
        wanted: &[(u16, Obis, i8)],
    ) -> Result<Vec<Result<Vec<u8>, DataAccessResult>>, AccessError> {
        let items = wanted.iter().copied().map(whole).collect();
        self.items(items).await
    }

    /// Reads attributes or parts of them, each with its own result: in a list, and one by one
    /// where the meter does not take that.
    async fn items(
        &mut self,
        items: Vec<GetItem>,
    ) -> Result<Vec<Result<Vec<u8>, DataAccessResult>>, AccessError> {
        let count = items.len();
        let singly = self.shared.known(self.meter, |known| known.singly);
        if count < 2 || singly {
            return self.one_by_one(items).await;
        }
        let again = items.clone();
        let refused = match self.client()?.get(items).await {
            Ok(values) if values.len() != count => return Err(protocol()),
            Ok(values) if !refused_as_a_whole(&values) => return Ok(values),
            Ok(_) => true,
            Err(error) => {
                let is_open = self.client()?.associated().is_some();
                if !is_open || !may_be_the_list(&error) {
                    return Err(ended(&error));
                }
                false
            }
        };
        let values = self.one_by_one(again).await?;
        // Where all of it is refused in any case, it was not the list.
        if !refused || values.iter().any(Result::is_ok) {
            self.shared.known(self.meter, |known| known.singly = true);
        }
        Ok(values)
    }

    async fn one_by_one(
        &mut self,
        items: Vec<GetItem>,
    ) -> Result<Vec<Result<Vec<u8>, DataAccessResult>>, AccessError> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let answer = self.client()?.get(vec![item]).await;
            values.extend(answer.map_err(|error| ended(&error))?);
        }
        Ok(values)
    }

    /// Learns the columns of a profile once.
    async fn columns(&mut self, object: Obis) -> Result<Arc<Columns>, AccessError> {
        let known = self
            .shared
            .known(self.meter, |known| known.columns.get(&object).cloned());
        if let Some(columns) = known {
            return Ok(columns);
        }
        let answers = self.values(&[(7, object, 3), (7, object, 4)]).await?;
        let [Ok(captured), Ok(period)] = answers.as_slice() else {
            return Err(AccessError::denied());
        };
        self.learn_columns(object, captured, period).await
    }

    /// Takes what the meter tells of a profile's columns, and reads the scalers of those that are
    /// new.
    async fn learn_columns(
        &mut self,
        object: Obis,
        captured: &[u8],
        period: &[u8],
    ) -> Result<Arc<Columns>, AccessError> {
        let (known, scalers) = self.shared.known(self.meter, |known| {
            let columns = known.columns.get(&object);
            let same = columns.filter(|columns| columns.are(captured, period));
            (same.cloned(), Arc::clone(&known.scalers))
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let mut columns = Columns::decode(captured, period).ok_or(protocol())?;
        if !columns.scale_known(&scalers) {
            let wanted: Vec<_> = columns.scaled_by().collect();
            let told = self.values(&wanted).await?;
            columns.scale(&told);
        }
        let columns = Arc::new(columns);
        self.shared.known(self.meter, |known| {
            known.columns.insert(object, Arc::clone(&columns))
        });
        Ok(columns)
    }

    async fn rows(&mut self, object: Obis, from: i64, to: i64) -> Result<Vec<u8>, AccessError> {
        let item = rows_of(object, from, to)?;
        match self.one_by_one(vec![item]).await?.pop() {
            Some(Ok(octets)) => Ok(octets),
            Some(Err(_)) => Err(AccessError::denied()),
            None => Err(protocol()),
        }
    }

    /// Compares the meter's clock with ours; the answer took `trip` and came at `at`.
    fn compare(octets: &[u8], trip: Duration, at: Timestamp) -> Result<ClockReading, AccessError> {
        let told = match RawData::new(octets).walk().leaves().next() {
            Some(Ok(leaf)) => leaf.as_date_time().ok_or(protocol())?,
            _ => return Err(protocol()),
        };
        let seconds = told.to_unix_seconds().ok_or(protocol())?;
        let hundredths = i64::from(told.time.hundredths).clamp(0, 99) % 100;
        // The meter looked at its clock about half a round trip before the answer came.
        let half = i64::try_from(trip.as_millis() / 2).unwrap_or(0);
        let here = at.millis() - half;
        let zone_min = (told.deviation != dlms::axdr::DateTime::DEVIATION_UNSPECIFIED)
            .then(|| told.deviation.saturating_neg());
        Ok(ClockReading {
            offset_ms: seconds * 1_000 + hundredths * 10 - here,
            zone_min,
            at,
        })
    }

    /// The registers whose scaler is not known yet.
    fn unscaled(&self, wanted: &[RegisterRef]) -> (Arc<Scalers>, Vec<(u16, Obis, i8)>) {
        let known = self
            .shared
            .known(self.meter, |known| Arc::clone(&known.scalers));
        let unknown = wanted
            .iter()
            .filter(|one| is_scaled(one) && !known.contains_key(&one.object))
            .map(|one| (one.class, one.object, 3))
            .collect();
        (known, unknown)
    }

    /// Puts values and scalers of registers together, and remembers the scalers.
    fn readings(
        &self,
        wanted: &[RegisterRef],
        values: &[Result<Vec<u8>, DataAccessResult>],
        mut known: Arc<Scalers>,
        unknown: &[(u16, Obis, i8)],
        scalers: &[Result<Vec<u8>, DataAccessResult>],
    ) -> Vec<RegisterReading> {
        let at = self.shared.clock.now();
        let told: Scalers = unknown
            .iter()
            .zip(scalers)
            .filter_map(|(&(_, object, _), scaler)| {
                let scaler = profile::scaler_unit(scaler.as_ref().ok()?)?;
                Some((object, Some(scaler)))
            })
            .collect();
        let mut changed = Scalers::new();
        let mut appeared = Vec::new();
        let mut readings = Vec::with_capacity(wanted.len());
        for (one, value) in wanted.iter().zip(values) {
            let scaler = told.get(&one.object).or_else(|| known.get(&one.object));
            match (value, scaler) {
                // It was not there before: its scaler is asked for the next time.
                (Ok(_), Some(None)) => appeared.push(one.object),
                (Ok(octets), scaler) => {
                    let scaler = scaler.copied().flatten();
                    if let Some(value) = register_value(octets, scaler) {
                        readings.push(RegisterReading {
                            object: one.object,
                            attribute: one.attribute,
                            value,
                            at,
                        });
                    }
                }
                (Err(_), None) if is_scaled(one) => {
                    changed.insert(one.object, None);
                }
                (Err(_), _) => {}
            }
        }
        changed.extend(told);
        if !changed.is_empty() || !appeared.is_empty() {
            let scalers = Arc::make_mut(&mut known);
            scalers.extend(changed);
            for object in appeared {
                scalers.remove(&object);
            }
            self.shared.known(self.meter, |kept| kept.scalers = known);
        }
        readings
    }

    fn takes_lists(&mut self) -> Result<bool, AccessError> {
        let agreed = self.client()?.associated().is_some_and(|agreed| {
            agreed
                .conformance
                .contains(Conformance::MULTIPLE_REFERENCES)
        });
        Ok(agreed && !self.shared.known(self.meter, |known| known.singly))
    }
}

impl Conversation for Talk {
    fn clock(&mut self) -> Answer<'_, ClockReading> {
        Box::pin(async {
            // The time of day may be set meanwhile; the link's clock is not.
            let monotonic = Arc::clone(&self.shared.surroundings.clock);
            let before = monotonic.now();
            let octets = self.value(8, CLOCK, 2).await?;
            let trip = monotonic.now().since(before);
            self.rtt_us = u32::try_from(trip.as_micros()).ok();
            Self::compare(&octets, trip, self.shared.clock.now())
        })
    }

    fn profile(&mut self, object: Obis, range: Range<i64>) -> Answer<'_, ProfileAnswer> {
        Box::pin(async move {
            let columns = self.columns(object).await?;
            let item = intervals_of(object, &range, columns.period_s)?;
            match self.one_by_one(vec![item]).await?.pop() {
                Some(Ok(octets)) => columns.answer(object, &octets),
                Some(Err(_)) => Err(AccessError::denied()),
                None => Err(protocol()),
            }
        })
    }

    fn registers<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<RegisterReading>> {
        Box::pin(async move {
            let (known, unknown) = self.unscaled(wanted);
            let mut ask: Vec<_> = wanted.iter().map(attribute_of).collect();
            ask.extend_from_slice(&unknown);
            let mut values = self.values(&ask).await?;
            let scalers = values.split_off(wanted.len().min(values.len()));
            Ok(self.readings(wanted, &values, known, &unknown, &scalers))
        })
    }

    fn status<'a>(&'a mut self, wanted: &'a StatusWanted<'a>) -> Answer<'a, Status> {
        Box::pin(async move {
            let (known, unknown) = self.unscaled(wanted.registers);
            // Columns are looked at each time where that costs nothing: a profile that was given
            // others meanwhile must not be misread.
            let lists = self.takes_lists()?;
            let mut ask = vec![(70, BREAKER, 3)];
            if lists {
                ask.extend([
                    (8, CLOCK, 2),
                    (7, wanted.profile, 3),
                    (7, wanted.profile, 4),
                ]);
            }
            if wanted.firmware {
                ask.push((1, FIRMWARE, 2));
            }
            ask.extend(wanted.registers.iter().map(attribute_of));
            ask.extend_from_slice(&unknown);
            let monotonic = Arc::clone(&self.shared.surroundings.clock);
            let before = monotonic.now();
            let mut values = self.values(&ask).await?;
            let trip = monotonic.now().since(before);
            let at = self.shared.clock.now();
            let scalers = values.split_off(values.len().saturating_sub(unknown.len()));
            let registers = values.split_off(values.len().saturating_sub(wanted.registers.len()));
            let registers = self.readings(wanted.registers, &registers, known, &unknown, &scalers);
            let mut values = values.into_iter();
            let mut next = || values.next().ok_or(protocol());
            let breaker = next()?;
            let listed = if lists {
                Some((next()?, next()?, next()?))
            } else {
                None
            };
            let firmware = if wanted.firmware { Some(next()?) } else { None };
            let clock = match &listed {
                // A list that was not taken as one says nothing about the time of its parts.
                Some((Ok(octets), ..)) if trip <= CLOCK_TRIP_MAX && self.takes_lists()? => {
                    self.rtt_us = u32::try_from(trip.as_micros()).ok();
                    Some(Self::compare(octets, trip, at)?)
                }
                Some((Err(_), ..)) => None,
                _ => match self.clock().await {
                    Err(error) if error.is_final => return Err(error),
                    clock => clock.ok(),
                },
            };
            if let Some((_, Ok(captured), Ok(period))) = &listed {
                self.learn_columns(wanted.profile, captured, period).await?;
            }
            Ok(Status {
                clock,
                registers,
                breaker: match breaker {
                    Ok(octets) => Some(breaker_state(&octets)?),
                    Err(_) => None,
                },
                firmware: firmware.and_then(|firmware| text(&firmware.ok()?)),
            })
        })
    }

    fn records<'a>(&'a mut self, wanted: &'a RecordsWanted<'a>) -> Answer<'a, Records> {
        Box::pin(async move {
            let mut records = Records::default();
            let mut items = Vec::with_capacity(1 + wanted.logs.len());
            let mut columns = None;
            if let Some((object, range)) = &wanted.profile {
                match self.columns(*object).await {
                    Ok(told) => {
                        items.push(intervals_of(*object, range, told.period_s)?);
                        columns = Some((*object, told));
                    }
                    Err(error) if error.is_final => return Err(error),
                    Err(_) => records.refused = true,
                }
            }
            let until = self.shared.clock.now().secs() + EVENTS_AHEAD_S;
            for log in wanted.logs {
                items.push(rows_of(*log, wanted.since.div_euclid(1_000), until)?);
            }
            let mut values = self.items(items).await?.into_iter();
            if let Some((object, columns)) = columns {
                match values.next().ok_or(protocol())? {
                    Ok(octets) => records.profile = Some(columns.answer(object, &octets)?),
                    Err(_) => records.refused = true,
                }
            }
            for (log, answer) in wanted.logs.iter().zip(values) {
                if let Ok(octets) = answer {
                    records
                        .events
                        .extend(events_of(*log, &octets, wanted.since)?);
                }
            }
            Ok(records)
        })
    }

    fn events(&mut self, log: Obis, since: i64) -> Answer<'_, Vec<Event>> {
        Box::pin(async move {
            let until = self.shared.clock.now().secs() + EVENTS_AHEAD_S;
            let octets = self.rows(log, since.div_euclid(1_000), until).await?;
            events_of(log, &octets, since)
        })
    }

    fn breaker(&mut self) -> Answer<'_, Option<BreakerState>> {
        Box::pin(async {
            match self.values(&[(70, BREAKER, 3)]).await?.as_slice() {
                [Ok(octets)] => breaker_state(octets).map(Some),
                [Err(DataAccessResult::ObjectUndefined | DataAccessResult::ObjectUnavailable)] => {
                    Ok(None)
                }
                _ => Err(AccessError::denied()),
            }
        })
    }

    fn firmware(&mut self) -> Answer<'_, Option<String>> {
        Box::pin(async {
            match self.values(&[(1, FIRMWARE, 2)]).await?.as_slice() {
                [Ok(octets)] => Ok(text(octets)),
                [Err(DataAccessResult::ObjectUndefined | DataAccessResult::ObjectUnavailable)] => {
                    Ok(None)
                }
                _ => Err(AccessError::denied()),
            }
        })
    }

    fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    fn attributes<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let wanted: Vec<_> = wanted.iter().map(attribute_of).collect();
            let monotonic = Arc::clone(&self.shared.surroundings.clock);
            let before = monotonic.now();
            let values = self.values(&wanted).await?;
            let trip = monotonic.now().since(before);
            self.rtt_us = u32::try_from(trip.as_micros()).ok();
            Ok(values.into_iter().map(Result::ok).collect())
        })
    }

    fn paths(&mut self) -> Vec<Paths> {
        let receipts = self.client.as_mut().map(Client::take_receipts);
        receipts.iter().flatten().map(paths_of).collect()
    }

    fn rtt_us(&self) -> Option<u32> {
        self.rtt_us
    }

    fn close(mut self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(async move {
            if let Some(client) = self.client.take() {
                self.shared.count(&client, 1);
                if let Some(security) = client.release().await {
                    self.shared
                        .known(self.meter, |known| known.security = Some(security));
                }
            }
            Ok(())
        })
    }
}

/// Says whether a list was refused as such, and not each of its entries for itself.
fn refused_as_a_whole(values: &[Result<Vec<u8>, DataAccessResult>]) -> bool {
    let absent = |refusal: &DataAccessResult| {
        matches!(
            refusal,
            DataAccessResult::ObjectUndefined | DataAccessResult::ObjectUnavailable
        )
    };
    match values.first() {
        Some(Err(first)) if !absent(first) => values.iter().all(|value| {
            value
                .as_ref()
                .is_err_and(|refusal| refusal.code() == first.code())
        }),
        _ => false,
    }
}

/// Says whether a request may have failed because it was a list.
const fn may_be_the_list(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Failed(
            DlmsFailure::Exception(_)
                | DlmsFailure::ServiceError(_)
                | DlmsFailure::Malformed(_)
                | DlmsFailure::Unexpected
                | DlmsFailure::Blocks
                | DlmsFailure::NoRoom
        )
    )
}
