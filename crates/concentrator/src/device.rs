//! The concentrator's own logical device: SAP 1.
//!
//! It has keys of its own, which open nothing but itself. The public client
//! may read who is here, as the public association of a management logical
//! device is for: name, SAP list, change counter, invocation counter.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dlms::acse::MechanismName;
use dlms::axdr::{
    Data, Leaf, RawData, put_array, put_boolean, put_null, put_octet_string, put_structure, put_u8,
    put_u16, put_u32, put_u64,
};
use dlms::codec::Wire as _;
use dlms::cosem::{
    AttributeAccess, AttributeAccessItem, AttributeDescriptor, MethodAccess, MethodAccessItem,
    MethodDescriptor, Obis, ObjectListElement,
};
use dlms::security::{
    AwsLc, CounterRecord, KeyError, KeyRing, Keys, PeerWindows, Protection, SecuritySuite,
    SendCounter, SystemTitle,
};
use dlms::server::{
    AssociationTerms, AttributeRights, BackOff, Caller, Context, NoEntropy, NotDurable, Notice,
    ObjectStore, SecurityState, Selection,
};
use dlms::xdlms::{ActionResult, Conformance, DataAccessResult};
use link::{Clock, Entropy, KeyFile, Sap};
use model::LogicalDeviceName;
use tokio::sync::Notify;

use crate::core::{Core, Input};
use crate::sap::OWN_SAP;
use crate::store::{Line, Log, StoreError};

/// The core, as the shell and its own logical device share it.
pub type SharedCore = Arc<Mutex<Core>>;

/// The SAP assignment object (class 17): OBIS 0-0:41.0.0.255.
pub const SAP_ASSIGNMENT: Obis = Obis([0, 0, 41, 0, 0, 255]);

/// Counts the changes of the SAP list; in the manufacturer's range (value
/// group C from 128 to 199), since the standard has none.
pub const SAP_CHANGES: Obis = Obis([0, 0, 128, 0, 1, 255]);

/// What is known of each meter: an array of structures of SAP, logical device
/// name, whether it is there, when it was heard last in seconds since
/// 1970-01-01 or null, hops, and the permille of frames heard or null.
pub const METER_STATUS: Obis = Obis([0, 0, 128, 0, 2, 255]);

/// What was forwarded and dropped: a structure of long64-unsigned, in the
/// order of [`Counters`](crate::direct::Counters), and the name conflicts.
pub const STATISTICS: Obis = Obis([0, 0, 128, 0, 3, 255]);

const ASSOCIATION: Obis = Obis([0, 0, 40, 0, 0, 255]);
const NAME: Obis = Obis([0, 0, 42, 0, 0, 255]);
const COUNTER: Obis = Obis([0, 0, 43, 1, 0, 255]);

/// The public client's SAP (IEC 62056-5-3).
const PUBLIC_CLIENT: Sap = 16;

/// One object: class, version, name, highest attribute, methods, and whether
/// the public client sees it.
struct Object(u16, u8, Obis, i8, &'static [i8], bool);

const OBJECTS: [Object; 7] = [
    Object(15, 1, ASSOCIATION, 2, &[1], true),
    Object(17, 0, SAP_ASSIGNMENT, 2, &[1], true),
    Object(1, 0, NAME, 2, &[], true),
    Object(1, 0, COUNTER, 2, &[], true),
    Object(1, 0, SAP_CHANGES, 2, &[], true),
    Object(1, 0, METER_STATUS, 2, &[], false),
    Object(1, 0, STATISTICS, 2, &[], false),
];

/// Octets of the longest APDU taken and sent: what does not fit goes in blocks.
const PDU_LEN_MAX: u16 = 2_048;

const SERVICES: Conformance = Conformance::GET
    .with(Conformance::ACTION)
    .with(Conformance::MULTIPLE_REFERENCES)
    .with(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ)
    .with(Conformance::BLOCK_TRANSFER_WITH_ACTION);

/// How far above the last accepted counter the durable floor is set, so that
/// not every message costs a sync.
const FLOOR_AHEAD: u32 = 4_096;

/// The logical device.
pub struct Device {
    name: LogicalDeviceName,
    core: SharedCore,
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    secured: Vec<Secured>,
    log: Log,
    back_off: BackOff,
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
        for line in Log::read(&path)? {
            let Line::Counters {
                client,
                sent,
                accepted,
            } = line
            else {
                continue;
            };
            kept.retain(
                |other| !matches!(other, Line::Counters { client: it, .. } if *it == client),
            );
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

    const fn sees(client: Sap, object: &Object) -> bool {
        object.5 || client != PUBLIC_CLIENT
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

    fn find(class: u16, name: Obis) -> Result<&'static Object, DataAccessResult> {
        let object = OBJECTS.iter().find(|object| object.2 == name);
        match object {
            Some(object) if object.0 == class => Ok(object),
            Some(_) => Err(DataAccessResult::ObjectClassInconsistent),
            None => Err(DataAccessResult::ObjectUndefined),
        }
    }

    fn method_access(client: Sap, object: &Object, method: i8) -> MethodAccess {
        if !object.4.contains(&method) {
            return MethodAccess::NONE;
        }
        match object.0 {
            // The reply to a challenge proves itself.
            15 => MethodAccess::ACCESS,
            _ if client == PUBLIC_CLIENT => MethodAccess::NONE,
            _ => MethodAccess::ACCESS
                .with(MethodAccess::AUTHENTICATED_REQUEST)
                .with(MethodAccess::AUTHENTICATED_RESPONSE),
        }
    }

    fn object_list(client: Sap) -> Data {
        let seen = OBJECTS.iter().filter(|object| Self::sees(client, object));
        let elements = seen.map(|object| {
            let element = ObjectListElement {
                class_id: object.0,
                version: object.1,
                logical_name: object.2,
                attribute_access: (1..=object.3)
                    .map(|attribute_id| AttributeAccessItem {
                        attribute_id,
                        access_mode: AttributeAccess::READ.to_mode(1),
                        access_selectors: None,
                    })
                    .collect(),
                method_access: object
                    .4
                    .iter()
                    .map(|&method_id| MethodAccessItem {
                        method_id,
                        access_mode: Self::method_access(client, object, method_id).to_mode(1),
                    })
                    .collect(),
            };
            element.to_data(1)
        });
        Data::Array(elements.collect())
    }

    fn put_status(core: &Core, out: &mut Vec<u8>) {
        let table = core.table();
        put_array(out, table.len());
        for (sap, name) in table.iter() {
            let status = core.status().get(name).cloned().unwrap_or_default();
            put_structure(out, 6);
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
                SERVICES.with(Conformance::GENERAL_PROTECTION)
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
        let object = Self::find(attribute.class_id, attribute.instance)?;
        if !Self::sees(client, object) {
            return Err(DataAccessResult::ObjectUndefined);
        }
        let known = (1..=object.3).contains(&attribute.attribute);
        Ok(AttributeRights {
            access: if known {
                AttributeAccess::READ
            } else {
                AttributeAccess::NONE
            },
            selectors: 0,
        })
    }

    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        match Self::find(method.class_id, method.instance) {
            Ok(object) if Self::sees(client, object) => {
                Ok(Self::method_access(client, object, method.method))
            }
            Err(DataAccessResult::ObjectClassInconsistent) => {
                Err(ActionResult::ObjectClassInconsistent)
            }
            _ => Err(ActionResult::ObjectUndefined),
        }
    }

    fn get(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        if attribute.attribute == 1 {
            put_octet_string(out, &attribute.instance.0);
            return Ok(());
        }
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        match attribute.instance {
            ASSOCIATION => Self::object_list(caller.client).encode(out),
            SAP_ASSIGNMENT => core.table().encode_list(&self.name, out),
            NAME => put_octet_string(out, self.name.as_str().as_bytes()),
            COUNTER => {
                let first = self.secured.first();
                let floor = first.and_then(|own| own.state.received.floor());
                put_u32(out, floor.unwrap_or(0).saturating_sub(1));
            }
            SAP_CHANGES => put_u32(out, core.table().changes()),
            METER_STATUS => Self::put_status(&core, out),
            STATISTICS => Self::put_statistics(&core, out),
            _ => return Err(DataAccessResult::ObjectUndefined),
        }
        Ok(())
    }

    fn set(
        &mut self,
        _: &Caller,
        _: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        _: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        Err(DataAccessResult::ReadWriteDenied)
    }

    /// Connects a logical device: the one method is that of SAP assignment.
    fn invoke(
        &mut self,
        _: &Caller,
        method: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        _: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        if method.instance != SAP_ASSIGNMENT || method.method != 1 {
            return Err(ActionResult::ReadWriteDenied);
        }
        let unfit = ActionResult::TypeUnmatched;
        let data = parameter.ok_or(unfit)?.decode().map_err(|_| unfit)?;
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
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
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
