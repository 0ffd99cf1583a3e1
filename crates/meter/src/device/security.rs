//! Keys, policies and counters of a meter's ciphered associations (class 64).

use std::collections::BTreeMap;
use std::fmt;

use dlms::codec::{Reader, Wire as _};
use dlms::cosem::Obis;
use dlms::security::{
    AwsLc, CounterPlan, CounterRecord, Key, KeyError, KeyKind, KeyRing, KeyTransfer, KeyTransfers,
    Keys, PEERS_MAX, PeerWindows, PolicyVersion, Protection, SecurityPolicy, SecuritySuite,
    SendCounter, SystemTitle,
};
use dlms::server::{COUNTERS_RESERVED, SecurityState};
use link::{DrkeyMix, MeterKeys};

use crate::template::{AssociationIndex, Template};
use crate::varint::{put_u64, take_u64};

/// How far above the last accepted counter the durable floor is set, so that not every message
/// costs a sync. After a restart the floor is where this says: a client that lies below it
/// starts again from the counter object.
const FLOOR_AHEAD: u32 = 4_096;

/// One ciphered association.
pub(super) struct Secured {
    pub(super) index: AssociationIndex,
    pub(super) client: u16,
    pub(super) setup: Obis,
    pub(super) state: SecurityState,
    pub(super) policy: SecurityPolicy,
    keys: Keys,
    /// The secret that the network's keys are mixed with, where the authentication key is made of
    /// these.
    drkey: Option<Key>,
    /// Whether keys other than the key file's are in use.
    transferred: bool,
    /// The master key of the key file: what the journal holds of other keys is wrapped under it.
    root: Option<Key>,
    /// What the journal holds of our own counters.
    sent: CounterRecord,
    /// Counters that become ours with the next commit.
    plan: Option<CounterPlan>,
    /// What the journal holds of counters that were accepted.
    ceilings: Ceilings,
    /// The same of the broadcast key.
    ceilings_broadcast: Ceilings,
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured")
            .field("client", &self.client)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

/// Makes the ciphered associations of a model with a meter's keys.
pub(super) fn secure(template: &Template, keys: &MeterKeys) -> Result<Vec<Secured>, DeviceError> {
    let mut all = Vec::new();
    for association in &template.associations {
        let Some(setup) = association.security_setup else {
            continue;
        };
        let client = association.client;
        let missing = |what| DeviceError::Missing {
            meter: keys.logical_device_name.to_string(),
            client,
            what,
        };
        let held = match keys.client(client) {
            // Without a broadcast key, nothing is sent to all of them.
            Some(_) if association.pre_established && keys.broadcast_key.is_none() => continue,
            Some(held) => held,
            None if association.optional => continue,
            None => return Err(missing("an entry")),
        };
        if held.mechanism != association.mechanism {
            return Err(missing("the mechanism of the model"));
        }
        if held.suite != SecuritySuite::Suite0.id() {
            return Err(missing("suite 0, the only one of this meter"));
        }
        let encryption = held
            .encryption_key
            .clone()
            .ok_or_else(|| missing("an encryption key"))?;
        let authentication = match &held.drkey_secret {
            Some(_) => None,
            None => Some(
                held.authentication_key
                    .clone()
                    .ok_or_else(|| missing("an authentication key"))?,
            ),
        };
        let all_keys = Keys {
            encryption,
            authentication,
            broadcast: keys.broadcast_key.clone(),
            master: keys.master_key.clone(),
            dedicated: None,
        };
        let of_meter = |error| DeviceError::Key {
            meter: keys.logical_device_name.to_string(),
            client,
            error,
        };
        let ring = KeyRing::new(&AwsLc, SecuritySuite::Suite0, &all_keys).map_err(of_meter)?;
        let (index, _) = template
            .association_of(client)
            .ok_or_else(|| missing("a place in the model"))?;
        let version = template.objects.get(&setup).map_or(0, |it| it.version);
        all.push(Secured {
            index,
            client,
            setup,
            state: SecurityState {
                title: SystemTitle(keys.system_title.0),
                client_title: None,
                keys: ring,
                timed: held.drkey_secret.is_some().then(Vec::new),
                send: SendCounter::resume(first()),
                received: PeerWindows::new(0),
                received_broadcast: PeerWindows::new(0),
            },
            policy: SecurityPolicy::nothing(match version {
                0 => PolicyVersion::V0,
                _ => PolicyVersion::V1,
            }),
            root: keys.master_key.clone(),
            drkey: held.drkey_secret.clone(),
            keys: all_keys,
            transferred: false,
            sent: first(),
            plan: None,
            ceilings: Ceilings::default(),
            ceilings_broadcast: Ceilings::default(),
        });
    }
    Ok(all)
}

/// Counting starts at 1: dlms-cosem 25.1.0 takes 0 for none.
fn first() -> CounterRecord {
    CounterRecord {
        end: 1,
        ..CounterRecord::default()
    }
}

/// Where the counters of each client that uses a key lie, as the journal has it: after a restart
/// no counter below is taken.
#[derive(Clone, Debug, Default)]
struct Ceilings {
    /// Of titles without an entry.
    others: u32,
    titles: BTreeMap<SystemTitle, u32>,
}

impl Ceilings {
    /// Notes that a counter was accepted from a title, when `windows` has it; says whether this
    /// must be made durable anew.
    fn accept(&mut self, title: &SystemTitle, counter: u32, windows: &PeerWindows) -> bool {
        let mut changed = false;
        let ceiling = self.titles.get(title).copied().unwrap_or(self.others);
        // Titles that had to make room in the windows are among the others now.
        self.titles.retain(|kept, ceiling| {
            let stays = windows.contains(kept);
            if !stays {
                self.others = self.others.max(*ceiling);
                changed = true;
            }
            stays
        });
        if counter >= ceiling {
            self.titles.insert(*title, above(counter));
            changed = true;
        }
        changed
    }

    /// Goes ahead of all use, so that the first message costs no sync.
    fn reserve_ahead(&mut self) {
        self.others = above(self.others);
        for ceiling in self.titles.values_mut() {
            *ceiling = above(*ceiling);
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.titles.len() as u64);
        for (title, ceiling) in &self.titles {
            out.extend_from_slice(&title.0);
            put_u64(out, u64::from(*ceiling));
        }
    }

    /// Takes what the journal holds: counters never go back, whatever it lost.
    fn restore(&mut self, octets: &mut &[u8]) -> Option<()> {
        // Journals of before have one counter for all titles.
        let count = if octets.is_empty() {
            0
        } else {
            take_u64(octets)?
        };
        let mut titles = BTreeMap::new();
        for _ in 0..count.min(PEERS_MAX as u64) {
            let (title, rest) = octets.split_first_chunk::<8>()?;
            *octets = rest;
            let ceiling = u32::try_from(take_u64(octets)?).ok()?;
            titles.insert(SystemTitle(*title), ceiling);
        }
        for (title, ceiling) in &self.titles {
            match titles.get_mut(title) {
                Some(kept) => *kept = (*kept).max(*ceiling),
                None => self.others = self.others.max(*ceiling),
            }
        }
        self.titles = titles;
        Some(())
    }

    fn windows(&self) -> PeerWindows {
        let new = PeerWindows::new(self.others);
        self.titles.iter().fold(new, |windows, (title, ceiling)| {
            windows.with_peer(*title, *ceiling)
        })
    }
}

const fn above(counter: u32) -> u32 {
    counter.saturating_add(1).saturating_add(FLOOR_AHEAD)
}

impl Secured {
    /// Returns the greatest counter accepted from any client, 0 before the first: whoever goes on
    /// above it goes on above their own.
    pub(super) fn counter(&self) -> u32 {
        let floor = self.state.received.floor();
        floor.map_or(u32::MAX, |floor| floor.saturating_sub(1))
    }

    /// Returns what the keys of the client's associations are mixed of, where the network derives
    /// a part of them.
    pub(super) fn drkey(&self, server: u16) -> Option<DrkeyMix> {
        Some(DrkeyMix {
            secret: self.drkey.clone()?,
            keys: self.keys.clone(),
            suite: self.state.keys.suite(),
            client: self.client,
            server,
            client_title: SystemTitle([0; 8]),
            server_title: self.state.title,
        })
    }

    /// Returns the least protection that the policy asks of requests.
    pub(super) const fn required(&self) -> Protection {
        self.policy.request().protection
    }

    /// Reserves counters of both sides ahead of their use, so that the first contact with many
    /// meters does not cost a sync for each.
    pub(super) fn reserve_ahead(&mut self) {
        self.ceilings.reserve_ahead();
        if let Ok(plan) = self.state.send.plan_block(COUNTERS_RESERVED) {
            self.sent = plan.record().clone();
            self.plan = Some(plan);
        }
    }

    /// Takes the counters that were reserved ahead: the journal was committed.
    pub(super) fn adopt(&mut self) {
        if let Some(plan) = self.plan.take() {
            self.state.send.adopt(plan);
        }
    }

    /// Notes what is reserved of our own counters.
    pub(super) fn reserve(&mut self, record: &CounterRecord) {
        self.sent = record.clone();
    }

    /// Notes that a counter was accepted; says whether the floor must be made durable anew.
    pub(super) fn accept(&mut self, title: &SystemTitle, counter: u32, broadcast: bool) -> bool {
        let (ceilings, windows) = if broadcast {
            (&mut self.ceilings_broadcast, &self.state.received_broadcast)
        } else {
            (&mut self.ceilings, &self.state.received)
        };
        ceilings.accept(title, counter, windows)
    }

    /// Returns the keys with those of a transfer put in their place.
    pub(super) fn transferred(&self, octets: &[u8]) -> Result<Keys, Refused> {
        let mut reader = Reader::new(octets);
        let transfers = KeyTransfers::decode(&mut reader).map_err(|_| Refused::Malformed)?;
        if reader.finish("key_transfer_data").is_err() || transfers.iter().next().is_none() {
            return Err(Refused::Malformed);
        }
        let master = self.keys.master.as_ref().ok_or(Refused::Denied)?;
        let mut keys = self.keys.clone();
        for transfer in transfers.iter() {
            let key = transfer
                .unwrap(&AwsLc, SecuritySuite::Suite0, master)
                .map_err(|_| Refused::Denied)?;
            put_key(&mut keys, transfer.kind(), key);
        }
        keys.check_strength().map_err(|_| Refused::Denied)?;
        Ok(keys)
    }

    /// Takes other keys; returns what [`put_back`](Self::put_back) takes.
    pub(super) fn take_keys(&mut self, keys: Keys) -> Result<Before, KeyError> {
        let ring = KeyRing::new(&AwsLc, SecuritySuite::Suite0, &keys)?;
        Ok(Before {
            ring: std::mem::replace(&mut self.state.keys, ring),
            keys: std::mem::replace(&mut self.keys, keys),
            transferred: std::mem::replace(&mut self.transferred, true),
        })
    }

    /// Takes the keys back that were there before.
    pub(super) fn put_back(&mut self, before: Before) {
        self.state.keys = before.ring;
        self.keys = before.keys;
        self.transferred = before.transferred;
    }

    /// Writes policy and keys, those wrapped under the key file's master key.
    pub(super) fn put_keys(&self, out: &mut Vec<u8>) {
        out.push(self.policy.octet());
        let Some(root) = self.root.as_ref().filter(|_| self.transferred) else {
            return;
        };
        let wrapped = self.keys.iter().filter_map(|(kind, key)| {
            KeyTransfer::wrap(&AwsLc, SecuritySuite::Suite0, root, kind, key).ok()
        });
        if let Ok(transfers) = KeyTransfers::new(wrapped.collect()) {
            transfers.encode(out);
        }
    }

    pub(super) fn restore_keys(&mut self, octets: &[u8]) -> Option<()> {
        let (policy, wrapped) = octets.split_first()?;
        self.policy = SecurityPolicy::new(self.policy.version(), *policy).ok()?;
        if wrapped.is_empty() {
            return Some(());
        }
        let mut keys = self.keys.clone();
        let root = self.root.as_ref()?;
        let transfers = KeyTransfers::from_octets(wrapped).ok()?;
        for transfer in transfers.iter() {
            let key = transfer.unwrap(&AwsLc, SecuritySuite::Suite0, root).ok()?;
            put_key(&mut keys, transfer.kind(), key);
        }
        self.take_keys(keys).ok()?;
        Some(())
    }

    pub(super) fn put_counters(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.sent.end));
        put_u64(out, u64::from(self.ceilings.others));
        put_u64(out, u64::from(self.ceilings_broadcast.others));
        self.ceilings.put(out);
        self.ceilings_broadcast.put(out);
    }

    pub(super) fn restore_counters(&mut self, mut octets: &[u8]) -> Option<()> {
        let mut take = || u32::try_from(take_u64(&mut octets)?).ok();
        let (end, others, others_broadcast) = (take()?, take()?, take()?);
        // Counters never go back, whatever the journal lost.
        self.sent.end = self.sent.end.max(end);
        self.ceilings.others = self.ceilings.others.max(others);
        let broadcast = &mut self.ceilings_broadcast;
        broadcast.others = broadcast.others.max(others_broadcast);
        self.ceilings.restore(&mut octets)?;
        broadcast.restore(&mut octets)?;
        self.state.send = SendCounter::resume(self.sent.clone());
        self.state.received = self.ceilings.windows();
        self.state.received_broadcast = self.ceilings_broadcast.windows();
        Some(())
    }
}

/// Keys that were in use.
pub(super) struct Before {
    ring: KeyRing,
    keys: Keys,
    transferred: bool,
}

fn put_key(keys: &mut Keys, kind: KeyKind, key: Key) {
    match kind {
        KeyKind::Encryption => keys.encryption = key,
        KeyKind::Broadcast => keys.broadcast = Some(key),
        KeyKind::Authentication => keys.authentication = Some(key),
        KeyKind::Master => keys.master = Some(key),
        KeyKind::Dedicated => {}
    }
}

/// Why keys are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The octets are no keys.
    Malformed,
    /// There is no master key, a key does not verify under it, or is weak.
    Denied,
}

/// Keys that do not fit the model of a meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The key file lacks something.
    #[error("the keys of {meter} lack {what} for client {client}")]
    Missing {
        /// The meter's logical device name.
        meter: String,
        /// The client's SAP.
        client: u16,
        /// What is missing.
        what: &'static str,
    },
    /// A key cannot be used.
    #[error("the keys of {meter} for client {client}: {error}")]
    Key {
        /// The meter's logical device name.
        meter: String,
        /// The client's SAP.
        client: u16,
        /// Why.
        error: KeyError,
    },
}
