//! Conversations with meters over DLMS: what the collector asks, asked on the wire.

mod profile;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlms::acse::MechanismName;
use dlms::axdr::{Leaf, RawData};
use dlms::client::{Config, Failure as DlmsFailure, GetItem, Repeat, Security};
use dlms::cosem::{AttributeDescriptor, Obis, ProfileSelection, RangeDescriptor};
use dlms::security::{
    AwsLc, CounterHint, CounterRecord, CounterRestart, Key, KeyRing, Keys, PeerCounter, Protection,
    ReplayWindow, SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::Context;
use dlms::xdlms::DataAccessResult;
use link::{
    Association, Client, ClientError, CounterStore, Endpoint, LinkError, Password, Surroundings,
};
use model::{
    BreakerState, Event, EventSource, LogicalDeviceName, MessageClass, MeterId, Timestamp,
};

use crate::clock::Clock;
use crate::collector::{
    AccessError, Answer, Conversation, MeterAccess, MeterTarget, ProfileAnswer, RegisterRef,
};
use crate::keys::{ClientSecrets, KeyService};
use crate::store::{
    ClockReading, CounterKey, Failure, ProfileLayout, RegisterReading, RegisterValue, Store,
};

use profile::{Columns, date_time};

/// Reaches meters over their endpoints.
///
/// The keys of a meter and their counters are kept between conversations, so that a reserved
/// block of counters is used up and what the meter sent before is never taken again.
pub struct LinkAccess {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    keys: Arc<dyn KeyService>,
    clock: Arc<dyn Clock>,
    surroundings: Surroundings,
    title: SystemTitle,
    timeout: Duration,
    known: Mutex<BTreeMap<MeterId, Known>>,
}

/// What is kept of a meter between conversations.
#[derive(Default)]
struct Known {
    security: Option<Security>,
    columns: BTreeMap<Obis, Columns>,
    scalers: BTreeMap<Obis, (i8, u8)>,
}

/// Where the public client of the standard finds the meter's name (IEC 62056-6-2: COSEM logical
/// device name, 0-0:42.0.0.255).
const LOGICAL_DEVICE_NAME: Obis = Obis::new(0, 0, 42, 0, 0, 255);
/// Clock, class 8.
const CLOCK: Obis = Obis::new(0, 0, 1, 0, 0, 255);
/// Disconnect control, class 70: attribute 3 is control_state.
const BREAKER: Obis = Obis::new(0, 0, 96, 3, 10, 255);
/// The counter that the meter expects next, class 1 (0-b:43.1.e, invocation counter).
const INVOCATION_COUNTER: Obis = Obis::new(0, 0, 43, 1, 0, 255);
/// Active firmware identifier.
const FIRMWARE: Obis = Obis::new(1, 0, 0, 2, 0, 255);

impl LinkAccess {
    /// Makes the access; `title` is the head end's own system title, `timeout` the longest wait
    /// for one answer.
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<dyn KeyService>,
        clock: Arc<dyn Clock>,
        surroundings: Surroundings,
        title: SystemTitle,
        timeout: Duration,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                keys,
                clock,
                surroundings,
                title,
                timeout,
                known: Mutex::new(BTreeMap::new()),
            }),
        }
    }
}

impl fmt::Debug for LinkAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkAccess").finish_non_exhaustive()
    }
}

impl MeterAccess for LinkAccess {
    fn open<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let talk = Talk::open(shared, meter).await?;
            Ok(Box::new(talk) as Box<dyn Conversation>)
        })
    }

    fn saps<'a>(&'a self, endpoint: &'a str) -> Answer<'a, Vec<(u16, LogicalDeviceName)>> {
        Box::pin(async move {
            let endpoint: Endpoint = endpoint
                .parse()
                .map_err(|_| AccessError::ended(Failure::Unreachable))?;
            let (association, with) = (Association::public(1), &self.shared.surroundings);
            let mut client = Client::connect(&endpoint, association, with, self.shared.timeout)
                .await
                .map_err(|error| ended(&error))?;
            let list = AttributeDescriptor::new(17, SAP_ASSIGNMENT, 2);
            let octets = client
                .read_octets(list, None, &mut |_| {})
                .await
                .map_err(|error| ended(&error))?;
            client.release().await;
            sap_list(&octets).ok_or(protocol())
        })
    }
}

/// SAP assignment, class 17: attribute 2 is the list.
const SAP_ASSIGNMENT: Obis = Obis::new(0, 0, 41, 0, 0, 255);

/// Octets of a SAP list that are looked at: more than all SAPs take.
const SAP_LIST_LEN_MAX: usize = 1 << 20;

/// Reads a SAP list; names that no logical device has are left out.
fn sap_list(octets: &[u8]) -> Option<Vec<(u16, LogicalDeviceName)>> {
    if octets.len() > SAP_LIST_LEN_MAX {
        return None;
    }
    let mut list = Vec::new();
    let mut leaves = RawData::new(octets).walk().leaves();
    while let Some(leaf) = leaves.next() {
        let sap = leaf.ok()?.as_i64()?;
        let (Leaf::OctetString(name) | Leaf::VisibleString(name)) = leaves.next()?.ok()? else {
            return None;
        };
        if let (Ok(sap), Ok(name)) = (u16::try_from(sap), LogicalDeviceName::from_octets(name)) {
            list.push((sap, name));
        }
    }
    Some(list)
}

impl Shared {
    /// Looks at what is kept of a meter.
    fn known<T>(&self, meter: MeterId, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(known.entry(meter).or_default())
    }

    /// Makes a meter's keys ready, with counters that go on from what is durable.
    fn security(
        &self,
        target: &MeterTarget,
        secrets: &ClientSecrets,
    ) -> Result<Security, AccessError> {
        let broken = || AccessError::ended(Failure::NoSecrets);
        let key = |name: &str| {
            let octets = secrets.secrets.get(name)?.expose();
            Key::from_octets(octets).ok()
        };
        let keys = Keys::new(
            key("encryption_key").ok_or_else(broken)?,
            key("authentication_key").ok_or_else(broken)?,
        );
        let suite = SecuritySuite::from_id(secrets.suite).ok_or_else(broken)?;
        let record = self
            .store
            .counter_record(counter_key(target))
            .map_err(|_| AccessError::ended(Failure::NoSecrets))?;
        Ok(Security {
            title: self.title,
            server_title: target.enrolment.system_title,
            keys: KeyRing::new(&AwsLc, suite, &keys).map_err(|_| broken())?,
            send: SendCounter::resume(record),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        })
    }
}

const fn counter_key(target: &MeterTarget) -> CounterKey {
    CounterKey {
        meter: target.id,
        client: target.enrolment.client,
    }
}

/// Invocation counters in the head end's store.
struct StoredCounters {
    store: Arc<dyn Store>,
    key: CounterKey,
}

impl CounterStore for StoredCounters {
    fn store<'a>(
        &'a self,
        record: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let kept = self.store.keep_counters(self.key, record.clone());
            kept.await.map_err(std::io::Error::other)?;
            Ok(())
        })
    }
}

/// One association with one meter.
struct Talk {
    shared: Arc<Shared>,
    meter: MeterId,
    /// There until the association is released.
    client: Option<Client>,
    rtt_us: Option<u32>,
}

impl Drop for Talk {
    /// A conversation that is broken off keeps its counters too.
    fn drop(&mut self) {
        if let Some(security) = self.client.take().and_then(Client::abandon) {
            self.shared
                .known(self.meter, |known| known.security = Some(security));
        }
    }
}

/// What an association with a meter is made of.
struct Reach<'r> {
    shared: &'r Arc<Shared>,
    target: &'r MeterTarget,
    endpoint: Endpoint,
    secrets: Option<ClientSecrets>,
    mechanism: MechanismName<'static>,
}

impl Reach<'_> {
    async fn associate(&self, counter: Option<CounterHint>) -> Result<Client, ClientError> {
        let (shared, target) = (self.shared, self.target);
        let mut association = Association {
            client: target.enrolment.client,
            counter,
            ..Association::public(target.enrolment.server)
        };
        let parked = shared.known(target.id, |known| known.security.take());
        association.security = match (&self.secrets, parked) {
            (Some(secrets), None) if self.mechanism.is_high() => Some(
                shared
                    .security(target, secrets)
                    .map_err(|_| ClientError::Failed(DlmsFailure::NoKeys))?,
            ),
            (_, parked) => parked,
        };
        if self.mechanism.is_high() {
            association.config.context = Context::LogicalNameCiphered;
            association.config.protection = Protection::AuthenticatedEncrypted;
            association.counters = Some(Arc::new(StoredCounters {
                store: Arc::clone(&shared.store),
                key: counter_key(target),
            }));
        }
        association.password = self
            .secrets
            .as_ref()
            .and_then(|secrets| secrets.secrets.get("password"))
            .map(|secret| Password::new(secret.expose().to_vec()));
        association.config = Config {
            mechanism: self.mechanism,
            timeout: shared.timeout,
            repeat: if self.endpoint.loses_messages() {
                Repeat::Everything
            } else {
                Repeat::Nothing
            },
            ..association.config
        };
        Client::connect(
            &self.endpoint,
            association,
            &shared.surroundings,
            shared.timeout,
        )
        .await
    }

    /// Asks the meter, without protection, which counter it expects. That is a word, and is
    /// treated as one.
    async fn counter_told(&self) -> Option<CounterHint> {
        let association = Association::public(self.target.enrolment.server);
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
    async fn open(shared: Arc<Shared>, target: &MeterTarget) -> Result<Self, AccessError> {
        let enrolment = &target.enrolment;
        let endpoint: Endpoint = enrolment
            .endpoint
            .parse()
            .map_err(|_| AccessError::ended(Failure::Unreachable))?;
        let secrets = shared
            .keys
            .client_secrets(&enrolment.name, enrolment.client)
            .map_err(|_| AccessError::ended(Failure::NoSecrets))?;
        let mechanism = match &secrets {
            None => MechanismName::Lowest,
            Some(secrets) => link::mechanism_from_name(&secrets.mechanism)
                .ok_or(AccessError::ended(Failure::NoSecrets))?,
        };
        let reach = Reach {
            shared: &shared,
            target,
            endpoint,
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
        .map_err(|error| ended(&error))?;
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
        let items = wanted
            .iter()
            .map(|&(class, object, attribute)| GetItem {
                attribute: AttributeDescriptor::new(class, object, attribute),
                selection: None,
            })
            .collect();
        let values = self
            .client()?
            .get(items)
            .await
            .map_err(|error| ended(&error))?;
        if values.len() == wanted.len() {
            Ok(values)
        } else {
            Err(AccessError::ended(Failure::Protocol))
        }
    }

    /// Learns the columns of a profile once.
    async fn columns(&mut self, object: Obis) -> Result<Columns, AccessError> {
        if let Some(columns) = self
            .shared
            .known(self.meter, |known| known.columns.get(&object).cloned())
        {
            return Ok(columns);
        }
        let answers = self.values(&[(7, object, 3), (7, object, 4)]).await?;
        let [Ok(captured), Ok(period)] = answers.as_slice() else {
            return Err(AccessError::denied());
        };
        let mut columns = Columns::decode(captured, period).ok_or(protocol())?;
        let wanted: Vec<_> = columns.scaled_by().collect();
        let scalers = self.values(&wanted).await?;
        columns.scale(&scalers);
        self.shared.known(self.meter, |known| {
            known.columns.insert(object, columns.clone())
        });
        Ok(columns)
    }

    async fn rows(&mut self, object: Obis, from: i64, to: i64) -> Result<Vec<u8>, AccessError> {
        let from = date_time(from).ok_or(protocol())?;
        let to = date_time(to).ok_or(protocol())?;
        let selection = ProfileSelection::Range(RangeDescriptor::by_clock(&from, &to));
        let attribute = AttributeDescriptor::new(7, object, 2);
        self.client()?
            .read_octets(attribute, Some(&selection), &mut |_| {})
            .await
            .map_err(|error| ended(&error))
    }
}

impl Conversation for Talk {
    fn clock(&mut self) -> Answer<'_, ClockReading> {
        Box::pin(async {
            let clock = Arc::clone(&self.shared.clock);
            // The time of day may be set meanwhile; the link's clock is not.
            let monotonic = Arc::clone(&self.shared.surroundings.clock);
            let before = monotonic.now();
            let octets = self.value(8, CLOCK, 2).await?;
            let trip = monotonic.now().since(before);
            let at = clock.now();
            self.rtt_us = u32::try_from(trip.as_micros()).ok();
            let told = match RawData::new(&octets).walk().leaves().next() {
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
        })
    }

    fn profile(&mut self, object: Obis, range: Range<i64>) -> Answer<'_, ProfileAnswer> {
        Box::pin(async move {
            let columns = self.columns(object).await?;
            let period = i64::from(columns.period_s);
            // A row carries the time at which its interval ends; both ends are included.
            let octets = self
                .rows(object, range.start + period, range.end + period - 1)
                .await?;
            let rows = columns.rows(&octets).ok_or(protocol())?;
            let layout = ProfileLayout {
                object,
                period_s: columns.period_s,
                channels: columns.channels(),
            };
            Ok(ProfileAnswer { layout, rows })
        })
    }

    fn registers<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<RegisterReading>> {
        Box::pin(async move {
            let known = self.shared.known(self.meter, |known| known.scalers.clone());
            let mut ask: Vec<_> = wanted
                .iter()
                .map(|one| (one.class, one.object, one.attribute))
                .collect();
            let unknown: Vec<_> = wanted
                .iter()
                .filter(|one| matches!(one.class, 3 | 4) && !known.contains_key(&one.object))
                .map(|one| (one.class, one.object, 3))
                .collect();
            ask.extend_from_slice(&unknown);
            let mut values = self.values(&ask).await?;
            let scalers = values.split_off(wanted.len());
            let at = self.shared.clock.now();
            let learnt: BTreeMap<Obis, (i8, u8)> = unknown
                .iter()
                .zip(&scalers)
                .filter_map(|(&(_, object, _), value)| {
                    Some((object, profile::scaler_unit(value.as_ref().ok()?)?))
                })
                .collect();
            self.shared
                .known(self.meter, |known| known.scalers.extend(&learnt));
            let scaler = |object| known.get(object).or_else(|| learnt.get(object)).copied();
            Ok(wanted
                .iter()
                .zip(values)
                .filter_map(|(one, octets)| {
                    let value = register_value(&octets.ok()?, scaler(&one.object))?;
                    Some(RegisterReading {
                        object: one.object,
                        attribute: one.attribute,
                        value,
                        at,
                    })
                })
                .collect())
        })
    }

    fn events(&mut self, log: Obis, since: i64) -> Answer<'_, Vec<Event>> {
        Box::pin(async move {
            let now = self.shared.clock.now().secs();
            // A meter whose clock is ahead may have events of a time to come.
            let octets = self
                .rows(log, since.div_euclid(1_000), now + 86_400)
                .await?;
            let events = profile::events(&octets).ok_or(protocol())?;
            Ok(events
                .into_iter()
                .map(|(seconds, code)| Event {
                    at: Timestamp::from_secs(seconds),
                    source: EventSource::Meter(log),
                    code,
                })
                .filter(|event| event.at.millis() >= since)
                .collect())
        })
    }

    fn breaker(&mut self) -> Answer<'_, Option<BreakerState>> {
        Box::pin(async {
            match self.values(&[(70, BREAKER, 3)]).await?.as_slice() {
                [Ok(octets)] => match RawData::new(octets).walk().leaves().next() {
                    Some(Ok(Leaf::Enum(state))) => {
                        Ok(Some(BreakerState::from_control_state(state)))
                    }
                    _ => Err(protocol()),
                },
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

    fn rtt_us(&self) -> Option<u32> {
        self.rtt_us
    }

    fn close(mut self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(async move {
            if let Some(client) = self.client.take()
                && let Some(security) = client.release().await
            {
                self.shared
                    .known(self.meter, |known| known.security = Some(security));
            }
            Ok(())
        })
    }
}

/// Reads a register's value.
fn register_value(octets: &[u8], scaler: Option<(i8, u8)>) -> Option<RegisterValue> {
    let leaf = RawData::new(octets).walk().leaves().next()?.ok()?;
    match leaf.as_i64() {
        Some(value) => {
            let (scaler, unit) = scaler.unwrap_or((0, UNIT_COUNT));
            Some(RegisterValue::Number {
                value,
                scaler,
                unit,
            })
        }
        None => text(octets).map(RegisterValue::Text),
    }
}

/// The unit of a number without one (IEC 62056-6-2, table of units: 255, unitless).
const UNIT_COUNT: u8 = 255;

/// Reads a text of printable characters; other octets as hexadecimal digits.
fn text(octets: &[u8]) -> Option<String> {
    let leaf = RawData::new(octets).walk().leaves().next()?.ok()?;
    let octets = leaf.as_octets()?;
    let octets = octets.get(..octets.len().min(TEXT_LEN_MAX))?;
    if octets.iter().all(|octet| (0x20..0x7F).contains(octet)) {
        return Some(octets.iter().copied().map(char::from).collect());
    }
    Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Octets of a text that are kept.
const TEXT_LEN_MAX: usize = 128;

const fn protocol() -> AccessError {
    AccessError::ended(Failure::Protocol)
}

/// Says what an error of the client means for the collector.
fn ended(error: &ClientError) -> AccessError {
    let reason = match error {
        ClientError::Refused(_) | ClientError::NotDone(_) => return AccessError::denied(),
        ClientError::Failed(failure) => match failure {
            DlmsFailure::Rejected { .. }
            | DlmsFailure::ReplyRefused
            | DlmsFailure::Exception(_)
            | DlmsFailure::ServiceError(_)
            | DlmsFailure::CounterBehind(_)
            | DlmsFailure::Hint(_) => Failure::Refused,
            DlmsFailure::NotAuthentic(_)
            | DlmsFailure::Unverified(_)
            | DlmsFailure::Downgraded(_) => Failure::NotVerified,
            DlmsFailure::Title => Failure::OtherMeter,
            DlmsFailure::NoKeys
            | DlmsFailure::Key(_)
            | DlmsFailure::Counter(_)
            | DlmsFailure::NotReserved => Failure::NoSecrets,
            DlmsFailure::NoAnswer(_) | DlmsFailure::LinkLost => Failure::NoAnswer,
            _ => Failure::Protocol,
        },
        ClientError::Value(_) => Failure::Protocol,
        ClientError::Link(LinkError::Io(_) | LinkError::Tls(_) | LinkError::DataLink(_)) => {
            Failure::Unreachable
        }
        ClientError::Link(LinkError::Malformed(_)) => Failure::Protocol,
        _ => Failure::NoAnswer,
    };
    tracing::debug!(%error, "a meter could not be read");
    AccessError::ended(reason)
}
