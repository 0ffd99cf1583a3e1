//! The concentrator's own logical device: SAP 1.
//!
//! It has keys of its own, which open nothing but itself. The public client
//! may read who is here, as the public association of a management logical
//! device is for: name, SAP list, change counter, invocation counter.

pub mod objects;
mod values;
mod wan;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use dlms::acse::MechanismName;
use dlms::axdr::{
    ClockStatus, Data, DateTime, Leaf, RawData, put_array, put_boolean, put_null, put_octet_string,
    put_structure, put_u8, put_u16, put_u32, put_u64,
};
use dlms::codec::Wire as _;
use dlms::cosem::{
    AttributeAccessItem, AttributeDescriptor, MethodAccess, MethodAccessItem, MethodDescriptor,
    Obis, ObjectListElement,
};
use dlms::security::{
    AwsLc, CounterRecord, KeyError, KeyRing, Keys, PeerWindows, Protection, SecuritySuite,
    SendCounter, SystemTitle,
};
use dlms::server::{
    AssociationTerms, AttributeRights, BackOff, Caller, Context, NoEntropy, NotDurable, Notice,
    ObjectStore, SecurityState, Selection,
};
use dlms::xdlms::{
    ActionResult, Conformance, DataAccessResult, DataNotification, LongInvokeIdAndPriority,
};
use link::{Clock, Endpoint, Entropy, HostPort, KeyFile, Sap};
use model::LogicalDeviceName;
use tokio::sync::Notify;

use crate::collector::state::Notice as Noticed;
use crate::core::{Core, Input};
use crate::pair::lease::Stays;
use crate::sap::OWN_SAP;
use crate::store::{Line, Log, StoreError};

use objects::{Kind, Object};
pub(crate) use wan::Setup;

/// The core, as the shell and its own logical device share it.
pub type SharedCore = Arc<Mutex<Core>>;

/// The SAP assignment object (class 17): OBIS 0-0:41.0.0.255.
pub const SAP_ASSIGNMENT: Obis = Obis([0, 0, 41, 0, 0, 255]);

/// Counts the changes of the SAP list; in the manufacturer's range (value
/// group C from 128 to 199), since the standard has none.
pub const SAP_CHANGES: Obis = Obis([0, 0, 128, 0, 1, 255]);

/// What is known of each meter: an array of structures of SAP, logical device
/// name, whether it is there, when it was heard last in seconds since
/// 1970-01-01 or null, hops, the permille of frames heard or null, and the SAP
/// of the meter through which it is reached, 0 where it is heard directly, null
/// where its medium does not tell.
pub const METER_STATUS: Obis = Obis([0, 0, 128, 0, 2, 255]);

/// What was forwarded and dropped: a structure of long64-unsigned, in the
/// order of [`Counters`](crate::direct::Counters), and the name conflicts.
pub const STATISTICS: Obis = Obis([0, 0, 128, 0, 3, 255]);

const ASSOCIATION: Obis = Obis([0, 0, 40, 0, 0, 255]);
const NAME: Obis = Obis([0, 0, 42, 0, 0, 255]);
const COUNTER: Obis = Obis([0, 0, 43, 1, 0, 255]);

/// The public client's SAP (IEC 62056-5-3).
const PUBLIC_CLIENT: Sap = 16;

/// The client that may change what the concentrator does.
pub const MANAGEMENT_CLIENT: Sap = 1;

/// Who is collected, and who is not; manufacturer's range. Read: an array of
/// structures of logical device name, whether it is, rows kept, and whether
/// there are keys. Written: a structure of logical device name and whether it
/// is to be.
pub const COLLECTED: Obis = Obis([0, 0, 128, 0, 4, 255]);

/// What the head end has taken; manufacturer's range. Written: a structure of
/// the name of an own profile and the time up to which all its rows are
/// durable there, or of the event log's name and the number of a notice. Read:
/// that number.
pub const DELIVERED: Obis = Obis([0, 0, 128, 0, 5, 255]);

/// What was collected; manufacturer's range.
pub const COLLECTION: Obis = Obis([0, 0, 128, 0, 6, 255]);

/// What the sums are of: feeder, phase, Wh supplied, Wh metered, meters;
/// manufacturer's range. Only named as what [`SUMS`] captures.
pub const SUPPLY: Obis = Obis([0, 0, 128, 0, 7, 255]);

/// The state of all meters as a profile; manufacturer's range.
pub const METER_TABLE: Obis = Obis([0, 0, 128, 0, 8, 255]);

/// The sums of feeders and phases as a profile; manufacturer's range.
pub const SUMS: Obis = Obis([0, 0, 128, 0, 9, 255]);

/// What an event holds: its number and what its kind says; manufacturer's
/// range. Only named as what the event log captures.
pub const EVENT_DETAIL: Obis = Obis([0, 0, 128, 0, 10, 255]);

/// The segments; manufacturer's range. An array of structures of number, kind of
/// medium, whether its line is there, messages that wait for it, and an array of
/// the SAPs of the meters that are there.
pub const SEGMENTS: Obis = Obis([0, 0, 128, 0, 11, 255]);

/// The connections of the WAN; manufacturer's range. An array of structures of
/// the head end's address, whether the connection was opened from here, and
/// since when it is there, in seconds since 1970-01-01.
pub const CONNECTIONS: Obis = Obis([0, 0, 128, 0, 12, 255]);

/// What the own metering measures now; manufacturer's range. An array of
/// structures of feeder, value group B of its registers, and arrays of three
/// voltages in mV, currents in mA and energies in Wh.
pub const METERING: Obis = Obis([0, 0, 128, 0, 13, 255]);

/// The other concentrator of a pair; manufacturer's range. Read: null where there is none; else a
/// structure of its name, whether both work, the epoch, an array of the segments that this one
/// has, how many there are, whether the other was heard within the lease, an array of the
/// segments that it said to have, whether each has what the other has, how many milliseconds ago
/// the other was last there with all of it or null, when this one took segments last in seconds
/// since 1970-01-01 or null, and how often it did since the other was silent. Written: a
/// structure of the other's name and the epoch hands all segments over to it.
pub const PAIR: Obis = Obis([0, 0, 128, 0, 14, 255]);

/// The ways to head ends, in the order of the configuration; manufacturer's range. A structure of:
/// an array of structures of name (empty where it has none), where it is as `host:port`, whether
/// it is opened from here, the class of all that comes over it (empty where none is said), how
/// many connections are open over which messages came, its state (0 nobody ever came, 1 up,
/// 2 quiet, 3 down), since when messages come, since when they did not last, and when the last one
/// came; the place in that array of the way over which head ends come, or null; and null or the
/// last change of that: from, to, when, and in how many milliseconds or null. Times are in seconds
/// since 1970-01-01 or null.
pub const WAYS: Obis = Obis([0, 0, 128, 0, 17, 255]);

/// What the concentrator is before; manufacturer's range. A structure of the place as people call
/// it (UTF-8, empty where it was not said), an array of the names of its feeders, and an array of
/// structures of a segment's number and the nominal rate of its medium in bits a second or null.
pub const INSTALLATION: Obis = Obis([0, 0, 128, 0, 18, 255]);

/// More of each meter; manufacturer's range. An array of structures of its SAP, since when it has
/// that in seconds since 1970-01-01, or null where that was not kept, and how many frames to or
/// from it had to go again since midnight in UTC, or null where its medium does not tell.
pub const METER_HISTORY: Obis = Obis([0, 0, 128, 0, 19, 255]);

/// Octets of the longest APDU taken and sent: what does not fit goes in blocks.
const PDU_LEN_MAX: u16 = 2_048;

const SERVICES: Conformance = Conformance::GET
    .with(Conformance::ACTION)
    .with(Conformance::SELECTIVE_ACCESS)
    .with(Conformance::MULTIPLE_REFERENCES)
    .with(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ)
    .with(Conformance::BLOCK_TRANSFER_WITH_ACTION);

/// How far above the last accepted counter the durable floor is set, so that
/// not every message costs a sync.
const FLOOR_AHEAD: u32 = 4_096;

/// The logical device.
pub struct Device {
    name: LogicalDeviceName,
    place: String,
    core: SharedCore,
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    secured: Vec<Secured>,
    log: Log,
    back_off: BackOff,
    setup: Setup,
    /// Where head ends connect.
    listens: Option<Endpoint>,
    /// Where the configuration says to connect to.
    dials: Option<HostPort>,
    /// Whether what is to be pushed is to go at once.
    push_now: bool,
    wan: Option<Weak<dyn crate::status::Wan>>,
    pair: Option<Arc<crate::pair::Shown>>,
}

struct Secured {
    client: Sap,
    state: SecurityState,
    sent: u32,
    /// Every counter that was accepted lies below, whoever's title it came
    /// with: after a restart all begin above.
    ceiling: u32,
}

impl Device {
    /// Makes the device of a folder; `keys` holds its own entry, if any.
    ///
    /// # Errors
    /// [`DeviceError`] where the keys do not fit or the folder cannot be used.
    pub fn open(
        folder: &Path,
        name: LogicalDeviceName,
        keys: Option<&KeyFile>,
        core: SharedCore,
        changed: Arc<Notify>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DeviceError> {
        let path = folder.join("counters.log");
        let mut secured = Vec::new();
        if let Some(keys) = keys {
            if keys.meters.len() != 1 {
                return Err(DeviceError::Others);
            }
            let own = keys.find(name.as_str()).ok_or(DeviceError::NoEntry)?;
            for client in &own.clients {
                let keys = (&client.encryption_key, &client.authentication_key);
                let (Some(encryption), Some(authentication)) = keys else {
                    continue;
                };
                // Whoever proves himself in another way is not let in.
                if client.mechanism != MechanismName::HighGmac || client.suite != 0 {
                    continue;
                }
                let all = Keys::new(encryption.clone(), authentication.clone());
                let ring = KeyRing::new(&AwsLc, SecuritySuite::Suite0, &all)?;
                secured.push(Secured {
                    client: client.sap,
                    state: SecurityState {
                        title: SystemTitle(own.system_title.0),
                        client_title: None,
                        keys: ring,
                        timed: None,
                        send: SendCounter::resume(record(1)),
                        received: PeerWindows::new(0),
                        received_broadcast: PeerWindows::new(0),
                    },
                    sent: 1,
                    ceiling: 0,
                });
            }
        }
        if keys.is_some() && secured.is_empty() {
            return Err(DeviceError::NoClient);
        }
        let mut kept = Vec::new();
        let mut setup = Setup::default();
        for line in Log::read(&path)? {
            if let Line::Setup {
                class,
                attribute,
                value,
            } = &line
            {
                setup.restore(*class, *attribute, value);
                kept.retain(|other| !line.replaces(other));
                kept.push(line);
                continue;
            }
            let Line::Counters {
                client,
                sent,
                accepted,
            } = line
            else {
                continue;
            };
            kept.retain(|other| !line.replaces(other));
            if let Some(own) = secured.iter_mut().find(|it| it.client == client) {
                // Counters never go back, whatever the file lost.
                own.sent = own.sent.max(sent);
                own.ceiling = own.ceiling.max(accepted);
                own.state.send = SendCounter::resume(record(own.sent));
                own.state.received = PeerWindows::new(own.ceiling);
            }
            kept.push(Line::Counters {
                client,
                sent,
                accepted,
            });
        }
        Ok(Self {
            log: Log::compact(&path, &kept)?,
            back_off: BackOff::default(),
            setup,
            listens: None,
            dials: None,
            push_now: false,
            wan: None,
            pair: None,
            place: String::new(),
            name,
            core,
            changed,
            clock,
            entropy,
            secured,
        })
    }

    fn secured(&mut self, client: Sap) -> Option<&mut Secured> {
        self.secured.iter_mut().find(|it| it.client == client)
    }

    fn note(&mut self, client: Sap) -> Result<(), NotDurable> {
        let line = self.secured(client).map(|own| Line::Counters {
            client,
            sent: own.sent,
            accepted: own.ceiling,
        });
        let line = line.ok_or(NotDurable)?;
        self.log.append(&[line]).map_err(|error| {
            tracing::error!(%error, "the own counters cannot be made durable");
            NotDurable
        })
    }

    fn core(&self) -> std::sync::MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds an object that a client sees.
    fn find(&self, client: Sap, class: u16, obis: Obis) -> Result<Object, DataAccessResult> {
        match objects::find(&self.core(), obis) {
            Some(object) if !object.seen_by(client) => Err(DataAccessResult::ObjectUndefined),
            Some(object) if object.class == class => Ok(object),
            Some(_) => Err(DataAccessResult::ObjectClassInconsistent),
            None => Err(DataAccessResult::ObjectUndefined),
        }
    }

    fn method_access(client: Sap, object: &Object, method: i8) -> MethodAccess {
        if !object.methods().contains(&method) {
            return MethodAccess::NONE;
        }
        match object.class {
            // The reply to a challenge proves itself.
            15 => MethodAccess::ACCESS,
            _ if client == PUBLIC_CLIENT => MethodAccess::NONE,
            8 | 40 if client != MANAGEMENT_CLIENT => MethodAccess::NONE,
            _ => MethodAccess::ACCESS
                .with(MethodAccess::AUTHENTICATED_REQUEST)
                .with(MethodAccess::AUTHENTICATED_RESPONSE),
        }
    }

    fn object_list(core: &Core, client: Sap) -> Data {
        let elements = objects::list(core, client).into_iter().map(|object| {
            let element = ObjectListElement {
                class_id: object.class,
                version: object.version,
                logical_name: object.obis,
                attribute_access: (1..=object.attributes())
                    .map(|attribute_id| AttributeAccessItem {
                        attribute_id,
                        access_mode: object.access(client, attribute_id).to_mode(1),
                        access_selectors: None,
                    })
                    .collect(),
                method_access: object
                    .methods()
                    .iter()
                    .map(|&method_id| MethodAccessItem {
                        method_id,
                        access_mode: Self::method_access(client, &object, method_id).to_mode(1),
                    })
                    .collect(),
            };
            element.to_data(1)
        });
        Data::Array(elements.collect())
    }

    /// Makes the DataNotification of the oldest notice that nobody took, with
    /// its number.
    pub(crate) fn push(&self) -> Option<(u32, Vec<u8>)> {
        let core = self.core();
        let state = core.collector()?.state();
        let mut notices = state.notices().iter();
        let notice = notices.find(|it| it.number > state.noticed())?;
        let body = values::push_body(&self.name, notice);
        let notification = DataNotification {
            invoke: LongInvokeIdAndPriority::confirmed(notice.number),
            date_time: DateTime::from_unix_seconds(
                core.own_time(self.clock.unix_seconds()),
                0,
                ClockStatus(0),
            ),
            date_time_tagged: false,
            body: RawData::new(&body),
        };
        Some((notice.number, notification.to_octets()))
    }

    /// Tells where head ends connect, and where the configuration says to
    /// connect to.
    pub(crate) fn set_wan(&mut self, listens: Option<Endpoint>, dials: Option<HostPort>) {
        self.listens = listens;
        self.dials = dials;
    }

    /// Tells where it is.
    pub(crate) fn set_place(&mut self, place: &str) {
        place.trim().clone_into(&mut self.place);
    }

    /// Shows what of the WAN can be written.
    pub(crate) const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Whether somebody with the right to do so wants the push now.
    pub(crate) const fn take_push_now(&mut self) -> bool {
        std::mem::replace(&mut self.push_now, false)
    }

    /// Draws the wait before a push that is new.
    pub(crate) fn push_wait(&self) -> Duration {
        let most = u64::from(self.setup.randomisation_s);
        let mut octets = [0; 8];
        if most == 0 || self.entropy.fill(&mut octets).is_err() {
            return Duration::ZERO;
        }
        Duration::from_secs(u64::from_be_bytes(octets) % (most + 1))
    }

    fn set_wan_attribute(
        &mut self,
        kind: &Kind,
        attribute: &AttributeDescriptor,
        value: &Data,
    ) -> Result<(), DataAccessResult> {
        let mut setup = self.setup.clone();
        let value = setup.set(kind, attribute.attribute, value, self.dials.is_some())?;
        let line = Line::Setup {
            class: attribute.class_id,
            attribute: attribute.attribute,
            value,
        };
        self.log.append(&[line]).map_err(|error| {
            tracing::error!(%error, "the own setup cannot be made durable");
            DataAccessResult::TemporaryFailure
        })?;
        self.setup = setup;
        Ok(())
    }

    /// Shows the connections of the WAN from now on.
    pub(crate) fn show_wan(&mut self, wan: Weak<dyn crate::status::Wan>) {
        self.wan = Some(wan);
    }

    /// Shows the other of the pair from now on, and takes orders to hand over to it.
    pub(crate) fn show_pair(&mut self, pair: Arc<crate::pair::Shown>) {
        self.pair = Some(pair);
    }

    fn hand_over(&self, value: &Data) -> Result<(), DataAccessResult> {
        let unmatched = DataAccessResult::TypeUnmatched;
        let pair = self.pair.as_ref();
        let pair = pair.ok_or(DataAccessResult::ObjectUnavailable)?;
        let Some([peer, epoch]) = value.as_structure() else {
            return Err(unmatched);
        };
        let peer = peer.as_octets().ok_or(unmatched)?;
        let peer = LogicalDeviceName::from_octets(peer).map_err(|_| unmatched)?;
        let epoch = epoch.as_u64().ok_or(unmatched)?;
        pair.order(peer.as_str(), epoch).map_err(|why| {
            tracing::warn!(%peer, epoch, ?why, "segments are not handed over by order");
            match why {
                Some(Stays::Away | Stays::Behind) => DataAccessResult::TemporaryFailure,
                Some(Stays::BothWork | Stays::NotHeld) => DataAccessResult::OtherReason,
                None => DataAccessResult::ScopeOfAccessViolated,
            }
        })?;
        self.changed.notify_one();
        Ok(())
    }

    fn set_clock(&self, time: Option<i64>) -> Result<(), DataAccessResult> {
        let time = time.ok_or(DataAccessResult::TypeUnmatched)?;
        let unix = self.clock.unix_seconds();
        let mut core = self.core();
        let own = core.own_time(unix);
        let collector = core.collector_mut();
        let collector = collector.ok_or(DataAccessResult::ObjectUnavailable)?;
        collector.set_clock(time.saturating_sub(unix), own);
        drop(core);
        self.changed.notify_one();
        Ok(())
    }

    fn set_collected(&self, value: &Data) -> Result<(), DataAccessResult> {
        let unmatched = DataAccessResult::TypeUnmatched;
        let Some([name, on]) = value.as_structure() else {
            return Err(unmatched);
        };
        let name = name.as_octets().ok_or(unmatched)?;
        let name = LogicalDeviceName::from_octets(name).map_err(|_| unmatched)?;
        let on = on.as_bool().ok_or(unmatched)?;
        let now = self.clock.now();
        let mut core = self.core();
        let known = core.table().sap_of(&name).is_some();
        let collector = core
            .collector_mut()
            .filter(|collector| known && (!on || collector.has_keys(&name)));
        let collector = collector.ok_or(DataAccessResult::ObjectUnavailable)?;
        collector.switch(&name, on, now);
        drop(core);
        self.changed.notify_one();
        Ok(())
    }

    fn set_delivered(&self, value: &Data) -> Result<(), DataAccessResult> {
        let unmatched = DataAccessResult::TypeUnmatched;
        let Some([obis, until]) = value.as_structure() else {
            return Err(unmatched);
        };
        let obis = Obis::from_data(obis).map_err(|_| unmatched)?;
        let undefined = DataAccessResult::ObjectUndefined;
        let mut core = self.core();
        let object = objects::find(&core, obis).ok_or(undefined)?;
        let collector = core.collector_mut().ok_or(undefined)?;
        if object.kind == Kind::Events {
            collector.noticed(until.as_u32().ok_or(unmatched)?);
        } else {
            let own = collector.settings().name.clone();
            let (name, profile) = match object.kind {
                Kind::Profile(name, profile) => (name, profile),
                Kind::OwnProfile(profile) => (own, profile),
                _ => return Err(undefined),
            };
            let time = until.as_date_time().and_then(DateTime::to_unix_seconds);
            let until = time.ok_or(unmatched)?;
            let last = collector.state().series(&name, profile);
            let last = last.and_then(crate::collector::state::Series::last);
            // Nobody has what was not yet there to be had.
            if last.is_none_or(|last| until > last) {
                return Err(DataAccessResult::ScopeOfAccessViolated);
            }
            collector.delivered(&name, profile, until);
        }
        drop(core);
        self.changed.notify_one();
        Ok(())
    }

    fn connect(&self, data: &Data) -> Result<(), ActionResult> {
        let unfit = ActionResult::TypeUnmatched;
        let Some([sap, name]) = data.as_structure() else {
            return Err(unfit);
        };
        let sap = sap.as_u16().ok_or(unfit)?;
        let mut octets = Vec::new();
        name.encode(&mut octets);
        let name = match RawData::new(&octets).walk().leaves().next() {
            Some(Ok(Leaf::OctetString(octets) | Leaf::VisibleString(octets))) => {
                LogicalDeviceName::from_octets(octets).map_err(|_| unfit)?
            }
            _ => return Err(unfit),
        };
        let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
        let mut core = self.core();
        let possible = if sap == 0 {
            core.table().sap_of(&name).is_some()
        } else {
            sap != OWN_SAP && core.table().plan_at(sap, &name, unix).is_ok()
        };
        if !possible {
            return Err(ActionResult::OtherReason);
        }
        core.handle(Input::Connect(sap, name), now, unix);
        drop(core);
        self.changed.notify_one();
        Ok(())
    }

    fn put_status(core: &Core, out: &mut Vec<u8>) {
        let table = core.table();
        let behind = core.behind();
        put_array(out, table.len());
        for (sap, name) in table.iter() {
            let status = core.status().get(name).cloned().unwrap_or_default();
            put_structure(out, 7);
            put_u16(out, sap);
            put_octet_string(out, name.as_str().as_bytes());
            put_boolean(out, status.place.is_some());
            match status.heard.and_then(|at| u32::try_from(at).ok()) {
                Some(at) => put_u32(out, at),
                None => put_null(out),
            }
            put_u8(out, status.hops);
            match status.quality {
                Some(permille) => put_u16(out, permille),
                None => put_null(out),
            }
            match behind.get(&sap) {
                Some(through) => put_u16(out, *through),
                None => put_null(out),
            }
        }
    }

    fn put_statistics(core: &Core, out: &mut Vec<u8>) {
        let counters = core.counters();
        let all = [
            counters.down,
            counters.up,
            counters.unknown,
            counters.full,
            counters.expired,
            counters.unasked,
            counters.nobody,
            counters.unfit,
            core.conflicts(),
        ];
        put_structure(out, all.len());
        for count in all {
            put_u64(out, count);
        }
    }
}

fn record(end: u32) -> CounterRecord {
    CounterRecord {
        end,
        ..CounterRecord::default()
    }
}

impl ObjectStore for Device {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        let public = client == PUBLIC_CLIENT;
        let keyed = self.secured.iter().any(|it| it.client == client);
        (public || keyed).then_some(AssociationTerms {
            context: if public {
                Context::LogicalName
            } else {
                Context::LogicalNameCiphered
            },
            mechanism: if public {
                MechanismName::Lowest
            } else {
                MechanismName::HighGmac
            },
            conformance: if public {
                SERVICES
            } else {
                SERVICES
                    .with(Conformance::SET)
                    .with(Conformance::DATA_NOTIFICATION)
                    .with(Conformance::GENERAL_PROTECTION)
            },
            pdu_len_max: PDU_LEN_MAX,
            protection: if public {
                Protection::None
            } else {
                Protection::AuthenticatedEncrypted
            },
            object: ASSOCIATION,
            pre_established: false,
        })
    }

    fn password(&self, _: u16) -> Option<&[u8]> {
        None
    }

    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        self.secured(client).map(|it| &mut it.state)
    }

    fn counters_reserved(&mut self, client: u16, record: &CounterRecord) -> Result<(), NotDurable> {
        let own = self.secured(client).ok_or(NotDurable)?;
        own.sent = own.sent.max(record.end);
        self.note(client)
    }

    fn counter_accepted(
        &mut self,
        client: u16,
        _: &SystemTitle,
        counter: u32,
        broadcast: bool,
    ) -> Result<(), NotDurable> {
        let own = self.secured(client).ok_or(NotDurable)?;
        if broadcast || counter < own.ceiling {
            return Ok(());
        }
        own.ceiling = counter.saturating_add(1).saturating_add(FLOOR_AHEAD);
        self.note(client)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.entropy.fill(out).map_err(|_| NoEntropy)
    }

    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        let object = self.find(client, attribute.class_id, attribute.instance)?;
        Ok(AttributeRights {
            access: object.access(client, attribute.attribute),
            selectors: object.selectors(attribute.attribute),
        })
    }

    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        match self.find(client, method.class_id, method.instance) {
            Ok(object) => Ok(Self::method_access(client, &object, method.method)),
            Err(DataAccessResult::ObjectClassInconsistent) => {
                Err(ActionResult::ObjectClassInconsistent)
            }
            Err(_) => Err(ActionResult::ObjectUndefined),
        }
    }

    fn get(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let id = attribute.attribute;
        if id == 1 {
            put_octet_string(out, &attribute.instance.0);
            return Ok(());
        }
        let object = self.find(caller.client, attribute.class_id, attribute.instance)?;
        let core = self.core();
        let unix = core.own_time(self.clock.unix_seconds());
        let collector = core.collector();
        match &object.kind {
            Kind::Association => Self::object_list(&core, caller.client).encode(out),
            Kind::SapAssignment => core.table().encode_list(&self.name, out),
            Kind::Name | Kind::Serial => put_octet_string(out, self.name.as_str().as_bytes()),
            Kind::Counter => {
                let first = self.secured.first();
                let floor = first.and_then(|own| own.state.received.floor());
                put_u32(out, floor.unwrap_or(0).saturating_sub(1));
            }
            Kind::SapChanges => put_u32(out, core.table().changes()),
            Kind::MeterStatus => Self::put_status(&core, out),
            Kind::Statistics => Self::put_statistics(&core, out),
            Kind::Clock => values::put_clock(unix, id, out)?,
            Kind::Firmware => {
                let name = concat!("gridward-concentrator ", env!("CARGO_PKG_VERSION"));
                put_octet_string(out, name.as_bytes());
            }
            Kind::Wan => {
                let at = self.listens.as_ref().and_then(Endpoint::host_port);
                self.setup.put_tcp(at.map_or(0, |at| at.port), id, out)?;
            }
            Kind::Ip => {
                let at = self.listens.as_ref().and_then(Endpoint::host_port);
                wan::put_ip(at.and_then(|at| at.host.parse().ok()), id, out)?;
            }
            Kind::Push => self.setup.put_push(self.dials.as_ref(), id, out)?,
            Kind::Alarms => {
                let state = collector.map(crate::collector::Collector::state);
                let bits = state.map_or(0, |state| {
                    let open = state.notices().iter();
                    let open = open.filter(|it| it.number > state.noticed());
                    open.fold(0, |bits, it| bits | 1_u32 << (it.kind.code() & 31))
                });
                put_u32(out, bits);
            }
            Kind::Collected => values::put_collected(&core, out),
            Kind::Delivered => put_u32(out, collector.map_or(0, |it| it.state().noticed())),
            Kind::Collection => values::put_collection(&core, out),
            Kind::Segments => values::put_segments(&core, out),
            Kind::Connections => {
                let wan = self.wan.as_ref().and_then(Weak::upgrade);
                values::put_connections(&wan.map(|it| it.peers()).unwrap_or_default(), out);
            }
            Kind::Ways => {
                let wan = self.wan.as_ref().and_then(Weak::upgrade);
                values::put_ways(&wan.map(|it| it.ways()).unwrap_or_default(), out);
            }
            Kind::Installation => values::put_installation(&core, &self.place, out),
            Kind::MeterHistory => values::put_history(&core, unix, out),
            Kind::Metering => values::put_metering(&core, out),
            Kind::Pair => {
                let status = self.pair.as_ref().map(|it| it.status());
                values::put_pair(status.as_ref(), unix, out);
            }
            Kind::Energy(..) | Kind::Current(..) | Kind::Voltage(..) => {
                values::put_register(&core, &object.kind, id, out)?;
            }
            Kind::Events
            | Kind::MeterTable
            | Kind::Sums
            | Kind::OwnProfile(_)
            | Kind::Profile(..) => {
                values::put_profile(&core, &object.kind, id, selection, unix, out)?;
            }
        }
        Ok(())
    }

    fn set(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        value: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        let value = value.decode();
        let value = value.map_err(|_| DataAccessResult::TypeUnmatched)?;
        match (attribute.instance, attribute.attribute) {
            (objects::CLOCK, 2) => {
                let time = value.as_date_time();
                self.set_clock(time.and_then(DateTime::to_unix_seconds))
            }
            (COLLECTED, 2) => self.set_collected(&value),
            (DELIVERED, 2) => self.set_delivered(&value),
            (PAIR, 2) => self.hand_over(&value),
            (objects::PUSH, _) => self.set_wan_attribute(&Kind::Push, attribute, &value),
            (objects::WAN, _) => self.set_wan_attribute(&Kind::Wan, attribute, &value),
            _ => Err(DataAccessResult::ReadWriteDenied),
        }
    }

    /// Connects a logical device (SAP assignment), or shifts the clock.
    fn invoke(
        &mut self,
        _: &Caller,
        method: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        _: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        let unfit = ActionResult::TypeUnmatched;
        let data = parameter.ok_or(unfit)?.decode().map_err(|_| unfit)?;
        match (method.instance, method.method) {
            (SAP_ASSIGNMENT, 1) => self.connect(&data),
            (objects::PUSH, 1) => {
                self.push_now = true;
                Ok(())
            }
            (objects::CLOCK, 6) => {
                // shift_time: -900 to 900 seconds (IEC 62056-6-2).
                let shift = data.as_i64().ok_or(unfit)?;
                if !(-900..=900).contains(&shift) {
                    return Err(ActionResult::OtherReason);
                }
                let own = self.core().own_time(self.clock.unix_seconds());
                let shifted = self.set_clock(Some(own + shift));
                shifted.map_err(|_| ActionResult::OtherReason)
            }
            _ => Err(ActionResult::ReadWriteDenied),
        }
    }

    fn notification_confirmed(&mut self, _: &Caller, invoke: LongInvokeIdAndPriority) {
        let mut core = self.core();
        let Some(collector) = core.collector_mut() else {
            return;
        };
        let id = invoke.long_invoke_id();
        let of_id = |it: &&Noticed| it.number & 0x00FF_FFFF == id;
        let number = collector.state().notices().iter().find(of_id);
        if let Some(number) = number.map(|it| it.number) {
            collector.noticed(number);
            drop(core);
            self.changed.notify_one();
        }
    }

    fn back_off(&mut self) -> Option<&mut BackOff> {
        Some(&mut self.back_off)
    }

    fn noticed(&mut self, client: u16, notice: Notice) {
        match notice {
            Notice::Associated | Notice::Released => tracing::debug!(client, ?notice, "own device"),
            _ => tracing::info!(client, ?notice, "own device"),
        }
    }
}

/// Why the logical device cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The key file holds keys of others, which have no business here.
    #[error("the key file of a concentrator holds its own entry and no other")]
    Others,
    /// The key file has no entry of this name.
    #[error("the key file has no entry of the concentrator's name")]
    NoEntry,
    /// No client has HLS 5 keys of suite 0.
    #[error("the key file has no client with hls5 and both keys of suite 0")]
    NoClient,
    /// A key cannot be used.
    #[error("a key cannot be used: {0}")]
    Key(#[from] KeyError),
    /// The folder cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
}
