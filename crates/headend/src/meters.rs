//! Conversations with meters over DLMS: what the collector asks, asked on the wire.

mod broadcast;
mod profile;
mod talk;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dlms::acse::MechanismName;
use dlms::axdr::{Leaf, RawData};
use dlms::client::{Failure as DlmsFailure, Security};
use dlms::cosem::{AttributeDescriptor, Obis};
use dlms::security::{
    AwsLc, CounterRecord, CounterRestart, Key, KeyRing, Keys, PeerCounter, ReplayWindow,
    SecuritySuite, SendCounter, SystemTitle,
};
use link::{
    Association, Client, ClientError, CounterStore, DrkeyError, Endpoint, LinkError, Surroundings,
};
use model::{LogicalDeviceName, MeterId};

use crate::clock::Clock;
use crate::collector::{
    AccessError, AccessFigures, Answer, Broadcast, Conversation, MeterAccess, MeterTarget, Ways,
};
use crate::dial_in::{DialConnector, DialIn, endpoint_of};
use crate::fences::{ScionWays, effective};
use crate::keys::{ClientSecrets, KeyService};
use crate::lines::Lines;
use crate::store::{CounterKey, Failure, Store};

pub(crate) use profile::{Columns, date_time, events as log_entries};
use talk::Talk;

/// Reaches meters over their endpoints.
///
/// The keys of a meter and their counters are kept between conversations, so that a reserved
/// block of counters is used up and what the meter sent before is never taken again.
pub struct LinkAccess {
    shared: Arc<Shared>,
    dial_in: Arc<DialIn>,
}

struct Shared {
    store: Arc<dyn Store>,
    keys: Arc<dyn KeyService>,
    clock: Arc<dyn Clock>,
    surroundings: Surroundings,
    title: SystemTitle,
    timeout: Duration,
    /// What says which meters answer more slowly.
    lines: OnceLock<Arc<Lines>>,
    known: Mutex<BTreeMap<MeterId, Known>>,
    /// Places, and what is wrong there with a certificate, that people were told of.
    told: Mutex<BTreeSet<(String, Box<str>)>>,
    /// Endpoints with several ways of which none leads anywhere, and since when.
    silent: Mutex<BTreeMap<String, dlms::Instant>>,
    /// Ways that could not be connected to, and when that was.
    down: Mutex<BTreeMap<String, dlms::Instant>>,
    turns: broadcast::Turns,
    figures: Figures,
}

/// Of how many wrong certificates people are told before the program is started again.
const TOLD_MAX: usize = 1_024;

#[derive(Default)]
struct Figures {
    exchanges: AtomicU64,
    reservations: AtomicU64,
    connecting_us: AtomicU64,
    reserving_us: AtomicU64,
}

/// What is kept of a meter between conversations.
#[derive(Default)]
struct Known {
    security: Option<Security>,
    /// How the association is made, where `security` is all that it takes.
    mechanism: Option<MechanismName<'static>>,
    columns: BTreeMap<Obis, Arc<Columns>>,
    scalers: Arc<Scalers>,
    /// Whether the meter takes no lists, whatever it says.
    singly: bool,
    /// Which of its ways led to it last.
    way: usize,
}

/// Ways to one meter, or one concentrator, that are looked at.
pub(crate) const WAYS_MAX: usize = 4;

/// For how long others go first of a meter's ways after connecting to this one was in vain.
const WAY_DOWN: Duration = Duration::from_secs(10);

/// Reads the ways of an enrolment: one endpoint, or several with spaces between them, behind
/// which the meter is found in turn. That it is the one is proved by its keys, on each.
fn ways(text: &str) -> Result<Vec<Endpoint>, AccessError> {
    let all = text.split_whitespace().take(WAYS_MAX).map(endpoint_of);
    let all: Option<Vec<Endpoint>> = all.collect();
    let all = all.filter(|all| !all.is_empty());
    all.ok_or(AccessError::ended(Failure::Unreachable))
}

/// Scaler and unit of registers; none of those that the meter does not have.
type Scalers = BTreeMap<Obis, Option<(i8, u8)>>;

/// Where the public client of the standard finds the meter's name (IEC 62056-6-2: COSEM logical
/// device name, 0-0:42.0.0.255).
const LOGICAL_DEVICE_NAME: Obis = Obis::new(0, 0, 42, 0, 0, 255);
/// Disconnect control, class 70: attribute 3 is control_state.
pub(crate) const BREAKER: Obis = Obis::new(0, 0, 96, 3, 10, 255);

impl LinkAccess {
    /// Makes the access; `title` is the head end's own system title, `timeout` the longest wait
    /// for one answer over IP.
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<dyn KeyService>,
        clock: Arc<dyn Clock>,
        mut surroundings: Surroundings,
        title: SystemTitle,
        timeout: Duration,
    ) -> Self {
        let dial_in = Arc::new(DialIn::default());
        surroundings.connector = Arc::new(DialConnector {
            inner: surroundings.connector,
            dial_in: Arc::clone(&dial_in),
        });
        Self {
            dial_in,
            shared: Arc::new(Shared {
                store,
                keys,
                clock,
                surroundings,
                title,
                timeout,
                lines: OnceLock::new(),
                known: Mutex::new(BTreeMap::new()),
                told: Mutex::default(),
                silent: Mutex::default(),
                down: Mutex::default(),
                turns: broadcast::Turns::default(),
                figures: Figures::default(),
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

    fn dial_in(&self) -> Option<Arc<DialIn>> {
        Some(Arc::clone(&self.dial_in))
    }

    fn broadcast_key(&self, meter: &MeterTarget) -> Option<u64> {
        let keys = self.shared.broadcast_keys(meter).ok()?;
        // What is broadcast keeps to one fence: whose own it is not hears all of it alone.
        (!self.shared.is_fenced_alone(meter)).then(|| broadcast::number_of(&keys))
    }

    fn has_keys(&self, meter: &MeterTarget) -> bool {
        matches!(self.shared.secrets(meter), Ok(Some(_)))
    }

    fn broadcast<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Broadcast>> {
        Box::pin(async move {
            let sender = broadcast::Sender::open(&self.shared, meter).await?;
            Ok(Box::new(sender) as Box<dyn Broadcast>)
        })
    }

    fn scion_ways<'a>(&'a self, endpoint: &'a str) -> Ways<'a> {
        Box::pin(async move {
            let all = ways(endpoint).unwrap_or_default();
            let Some(way) = all.iter().find(|it| matches!(it, Endpoint::Scion(..))) else {
                return Ok(None);
            };
            let Endpoint::Scion(_, options) = way else {
                return Ok(None);
            };
            let surroundings = &self.shared.surroundings;
            let told = surroundings.connector.paths(way, self.shared.timeout);
            let told = told.await?;
            Ok(told.map(|paths| ScionWays {
                options: options.clone(),
                paths,
            }))
        })
    }

    fn keep_to(&self, lines: &Arc<Lines>) {
        // Those that were told first hold.
        drop(self.shared.lines.set(Arc::clone(lines)));
    }

    fn figures(&self) -> AccessFigures {
        let figures = &self.shared.figures;
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        AccessFigures {
            exchanges: of(&figures.exchanges),
            reservations: of(&figures.reservations),
            connecting_us: of(&figures.connecting_us),
            reserving_us: of(&figures.reserving_us),
        }
    }

    fn saps<'a>(&'a self, endpoint: &'a str) -> Answer<'a, Vec<(u16, LogicalDeviceName)>> {
        Box::pin(async move {
            let endpoint = endpoint_of(endpoint);
            let endpoint = endpoint.ok_or(AccessError::ended(Failure::Unreachable))?;
            let octets = self.shared.public(&endpoint, 17, SAP_ASSIGNMENT);
            sap_list(&octets.await?).ok_or(protocol())
        })
    }

    fn name<'a>(&'a self, endpoint: &'a str) -> Answer<'a, LogicalDeviceName> {
        Box::pin(async move {
            let endpoint = endpoint_of(endpoint);
            let endpoint = endpoint.ok_or(AccessError::ended(Failure::Unreachable))?;
            let octets = self.shared.public(&endpoint, 1, LOGICAL_DEVICE_NAME);
            let octets = octets.await?;
            match RawData::new(&octets).walk().leaves().next() {
                Some(Ok(Leaf::OctetString(name) | Leaf::VisibleString(name))) => {
                    LogicalDeviceName::from_octets(name).map_err(|_| protocol())
                }
                _ => Err(protocol()),
            }
        })
    }
}

/// SAP assignment, class 17: attribute 2 is the list.
const SAP_ASSIGNMENT: Obis = Obis::new(0, 0, 41, 0, 0, 255);

/// Octets of a SAP list that are looked at: more than all SAPs take.
const SAP_LIST_LEN_MAX: usize = 1 << 20;

/// Reads a SAP list; names that no logical device has are left out.
pub(crate) fn sap_list(octets: &[u8]) -> Option<Vec<(u16, LogicalDeviceName)>> {
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
    /// Reads one value of the device at SAP 1 as the public client.
    async fn public(
        &self,
        endpoint: &Endpoint,
        class: u16,
        object: Obis,
    ) -> Result<Vec<u8>, AccessError> {
        let (association, with) = (Association::public(1), &self.surroundings);
        let mut client = Client::connect(endpoint, association, with, self.timeout)
            .await
            .map_err(|error| self.ended(endpoint, &error))?;
        let octets = client
            .read_octets(
                AttributeDescriptor::new(class, object, 2),
                None,
                &mut |_| {},
            )
            .await
            .map_err(|error| self.ended(endpoint, &error))?;
        client.release().await;
        Ok(octets)
    }

    /// Says what an error means for the collector. People mend certificates, so they are told what
    /// is wrong with one, once.
    fn ended(&self, endpoint: &Endpoint, error: &ClientError) -> AccessError {
        if let ClientError::Link(LinkError::Tls(reason)) = error {
            let at = endpoint.host_port().map(ToString::to_string);
            let at = at.unwrap_or_default();
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < TOLD_MAX && told.insert((at.clone(), reason.clone())) {
                tracing::warn!(endpoint = at, %reason, "no connection: TLS");
            }
        }
        ended(error)
    }

    /// Notes whether a way could be connected to.
    fn connected(&self, way: &Endpoint, now: Option<dlms::Instant>) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        match now {
            Some(now) => down.insert(way.to_string(), now),
            None => down.remove(&way.to_string()),
        };
    }

    /// Tells which of several ways is tried first: the one that led there last, unless somebody
    /// has just found it gone.
    fn first_way(&self, ways: &[Endpoint], last: usize, now: dlms::Instant) -> usize {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let is_up = |way: &usize| {
            let at = ways.get(*way).and_then(|way| down.get(&way.to_string()));
            at.is_none_or(|at| now.since(*at) >= WAY_DOWN)
        };
        let mut all = (0..ways.len()).map(|it| (last + it) % ways.len());
        all.find(is_up).unwrap_or(last % ways.len())
    }

    /// Notes that no way of an endpoint leads anywhere; tells since when.
    fn silent_since(&self, endpoint: &str, now: dlms::Instant) -> dlms::Instant {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        *silent.entry(endpoint.to_owned()).or_insert(now)
    }

    /// Notes that one does.
    fn heard(&self, endpoint: &str) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.remove(endpoint);
    }

    /// Asks the key service for the secrets of a meter.
    fn secrets(&self, target: &MeterTarget) -> Result<Option<ClientSecrets>, AccessError> {
        let enrolment = &target.enrolment;
        self.keys
            .client_secrets(&enrolment.name, enrolment.client)
            .map_err(|_| AccessError::ended(Failure::NoSecrets))
    }

    /// Puts the fence of a meter that holds into a way to it.
    fn fence(&self, meter: MeterId, way: &mut Endpoint) -> Result<(), AccessError> {
        if let Some(options) = way.scion_mut() {
            // Without what was saved nothing says where packets may go: so they go nowhere.
            let saved = self.store.fences().current(meter);
            let saved = saved.map_err(|_| AccessError::ended(Failure::Unreachable))?;
            let fence = effective(saved.as_ref(), options.fence.take());
            options.fence = fence.map_err(|_| AccessError::ended(Failure::Unreachable))?;
        }
        Ok(())
    }

    /// Says whether a meter may have another fence than its neighbours at the same endpoint.
    fn is_fenced_alone(&self, meter: &MeterTarget) -> bool {
        let ways = ways(&meter.enrolment.endpoint).unwrap_or_default();
        if !ways.iter().any(|it| matches!(it, Endpoint::Scion(..))) {
            return false;
        }
        let saved = self.store.fences().current(meter.id);
        saved.map_or(true, |saved| saved.is_some_and(|it| it.fence.is_some()))
    }

    /// Tells for how long an answer of a meter is waited for.
    fn answer(&self, target: &MeterTarget) -> Duration {
        let pace = self.lines.get().map(|it| it.pace(&target.enrolment));
        pace.map_or(self.timeout, |pace| pace.answer(self.timeout))
    }

    /// Looks at what is kept of a meter.
    fn known<T>(&self, meter: MeterId, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(known.entry(meter).or_default())
    }

    /// Counts what a client sent, and `more` messages that it is about to send.
    fn count(&self, client: &Client, more: u64) {
        let sent = client.sent().saturating_add(more);
        self.figures.exchanges.fetch_add(sent, Ordering::Relaxed);
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
        let authentication = match key("drkey_secret") {
            // The network's keys are asked for when there is a link.
            Some(_) => None,
            None => Some(key("authentication_key").ok_or_else(broken)?),
        };
        let keys = Keys {
            encryption: key("encryption_key").ok_or_else(broken)?,
            authentication,
            broadcast: None,
            master: None,
            dedicated: None,
        };
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
    shared: Arc<Shared>,
    key: CounterKey,
}

impl CounterStore for StoredCounters {
    fn store<'a>(
        &'a self,
        record: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let shared = &self.shared;
            let begun = shared.surroundings.clock.now();
            let kept = shared.store.keep_counters(self.key, record.clone());
            kept.await.map_err(std::io::Error::other)?;
            let spent = shared.surroundings.clock.now().since(begun);
            add_us(&shared.figures.reserving_us, spent);
            shared.figures.reservations.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    }
}

fn add_us(sum: &AtomicU64, spent: Duration) {
    let spent = u64::try_from(spent.as_micros()).unwrap_or(0);
    sum.fetch_add(spent, Ordering::Relaxed);
}

const fn protocol() -> AccessError {
    AccessError::ended(Failure::Protocol)
}

/// Says what an error of the client means for the collector.
pub(crate) fn ended(error: &ClientError) -> AccessError {
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
        // The daemon may give it the next time.
        ClientError::Drkey(DrkeyError::NotGiven(_)) => Failure::NoAnswer,
        ClientError::Drkey(_) => Failure::NoSecrets,
        ClientError::Link(LinkError::Io(_) | LinkError::Tls(_) | LinkError::DataLink(_)) => {
            Failure::Unreachable
        }
        ClientError::Link(LinkError::Malformed(_)) => Failure::Protocol,
        _ => Failure::NoAnswer,
    };
    tracing::debug!(%error, "a meter could not be read");
    AccessError::ended(reason)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn an_endpoint_may_have_several_ways() {
        let count = |text| ways(text).map(|all| all.len()).ok();
        assert_eq!(count("tcp://10.0.0.1:4059"), Some(1));
        assert_eq!(
            count("tcp://10.0.0.1:4059  dial://GWD1DC0000000001"),
            Some(2)
        );
        for bad in ["", " ", "tcp://10.0.0.1:4059 nowhere"] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }
}
