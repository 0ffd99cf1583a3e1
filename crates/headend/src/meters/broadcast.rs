//! To all meters of an endpoint at once, under the key that they share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dlms::client::{ActionItem, Config, Security};
use dlms::security::{
    AwsLc, CounterRestart, Key, KeyRing, Keys, PeerCounter, Protection, ReplayWindow,
    SecuritySuite, SendCounter, Wrapping,
};
use dlms::server::Context;
use link::{ALL_STATIONS, Association, BROADCAST_CLIENT, Client, Endpoint};
use model::{MessageClass, MeterId};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::{Shared, StoredCounters, ended};
use crate::collector::{AccessError, Answer, Broadcast, MeterTarget};
use crate::keys::METER_ITSELF;
use crate::store::{CounterKey, Failure};

/// The keys of what is sent to all.
pub(super) struct BroadcastKeys {
    all: Keys,
    suite: SecuritySuite,
}

/// Numbers a broadcast key: whoever knows the number knows nothing of the key.
pub(super) fn number_of(keys: &BroadcastKeys) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"gridward broadcast key v1\0");
    if let Some(key) = &keys.all.broadcast {
        hash.update(key.dangerous_octets());
    }
    if let Some(key) = &keys.all.authentication {
        hash.update(key.dangerous_octets());
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    // A meter's number has 63 bits and is not 0; those of meters are small.
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1) | 1 << 62
}

impl Shared {
    pub(super) fn broadcast_keys(
        &self,
        target: &MeterTarget,
    ) -> Result<BroadcastKeys, AccessError> {
        let none = || AccessError::ended(Failure::NoSecrets);
        let name = &target.enrolment.name;
        let secrets = |client| self.keys.client_secrets(name, client).ok().flatten();
        let (own, of_all) = (
            secrets(METER_ITSELF).ok_or_else(none)?,
            secrets(BROADCAST_CLIENT).ok_or_else(none)?,
        );
        let key = |from: &crate::keys::ClientSecrets, name: &str| {
            let octets = from.secrets.get(name)?.expose();
            Key::from_octets(octets).ok()
        };
        let broadcast = key(&own, "broadcast_key").ok_or_else(none)?;
        // Nothing is sent under the meter's own key of that client.
        let mut all = Keys::new(
            broadcast.clone(),
            key(&of_all, "authentication_key").ok_or_else(none)?,
        );
        all.broadcast = Some(broadcast);
        let suite = SecuritySuite::from_id(of_all.suite).ok_or_else(none)?;
        Ok(BroadcastKeys { all, suite })
    }
}

/// A pre-established association with all meters of an endpoint.
pub(super) struct Sender {
    client: Client,
    /// Nobody else counts with this key meanwhile.
    _turn: OwnedMutexGuard<()>,
}

/// Keys that are waited for at once; more than any fleet has.
const KEYS_MAX: usize = 65_536;

/// Whose turn it is with each broadcast key: two who send under one key at once would use its
/// counters twice.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<u64, Arc<Turn>>>);

type Turn = tokio::sync::Mutex<()>;

impl Turns {
    async fn take(&self, key: u64) -> OwnedMutexGuard<()> {
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= KEYS_MAX {
                all.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(all.entry(key).or_default())
        };
        turn.lock_owned().await
    }
}

impl Sender {
    pub(super) async fn open(
        shared: &Arc<Shared>,
        target: &MeterTarget,
    ) -> Result<Self, AccessError> {
        let ways = super::ways(&target.enrolment.endpoint)?;
        let last = shared.known(target.id, |known| known.way);
        let first = shared.first_way(&ways, last, shared.surroundings.clock.now());
        let mut outcome = Err(AccessError::ended(Failure::Unreachable));
        for way in ways.iter().cycle().skip(first).take(ways.len()) {
            outcome = Self::on(shared, target, way.clone()).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn on(
        shared: &Arc<Shared>,
        target: &MeterTarget,
        mut endpoint: Endpoint,
    ) -> Result<Self, AccessError> {
        shared.fence(target.id, &mut endpoint)?;
        let none = || AccessError::ended(Failure::NoSecrets);
        let keys = shared.broadcast_keys(target)?;
        let turn = shared.turns.take(number_of(&keys)).await;
        // One counter for the key, whichever meters it is used with.
        let key = CounterKey {
            meter: MeterId::new(number_of(&keys)).map_err(|_| none())?,
            client: BROADCAST_CLIENT,
        };
        let counters = shared.store.counter_record(key).map_err(|_| none())?;
        let security = Security {
            title: shared.title,
            server_title: None,
            keys: KeyRing::new(&AwsLc, keys.suite, &keys.all).map_err(|_| none())?,
            send: SendCounter::resume(counters),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        };
        let association = Association {
            client: BROADCAST_CLIENT,
            config: Config {
                context: Context::LogicalNameCiphered,
                protection: Protection::AuthenticatedEncrypted,
                wrapping: Wrapping::GeneralGlo,
                pre_established: true,
                broadcast: true,
                timeout: shared.timeout,
                ..Config::default()
            },
            security: Some(security),
            counters: Some(Arc::new(StoredCounters {
                shared: Arc::clone(shared),
                key,
            })),
            ..Association::public(ALL_STATIONS)
        };
        let with = &shared.surroundings;
        let mut client = Client::connect(&endpoint, association, with, shared.timeout)
            .await
            .map_err(|error| ended(&error))?;
        client.set_class(MessageClass::Usage);
        Ok(Self {
            client,
            _turn: turn,
        })
    }
}

impl Broadcast for Sender {
    fn tell(&mut self, item: ActionItem) -> Answer<'_, ()> {
        Box::pin(async move {
            let told = self.client.tell(vec![item]).await;
            told.map_err(|error| ended(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_counts_with_a_key_that_another_counts_with() {
        let turns = Turns::default();
        let first = turns.take(1).await;
        let other = turns.take(2).await;
        let waits = tokio::time::timeout(Duration::from_secs(600), turns.take(1));
        assert!(waits.await.is_err());
        drop(first);
        drop(turns.take(1).await);
        drop(other);
    }
}
