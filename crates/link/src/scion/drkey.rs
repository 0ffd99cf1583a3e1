//! Keys that the network derives between two hosts (DRKey), asked of the own
//! AS's daemon, and DLMS keys mixed from them.
//!
//! Whoever opened the link is the issuer: it fetches one key for each AS of
//! peers and epoch and derives those of the hosts. Whoever answers fetches the
//! key between the two hosts. Keys are kept in memory and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use dlms::security::{AwsLc, Key, KeyError, KeyRing, Keys, SecuritySuite, SystemTitle};
use scion::drkey::{
    Cache, CacheKey, Epoch, GRACE, HostAs, MixError, Octets, Protocol, Purpose, Use, mix,
};
use scion::packet::Place;
use tokio::sync::Semaphore;

use super::ScionError;
use super::attachment::ask;
use crate::Sap;

/// The protocol that keys are derived for: one of those without a number of
/// their own, which share the generic hierarchy.
pub const DRKEY_PROTOCOL: u16 = 0x2201;

/// Keys that are kept; the one that ends first makes room.
const KEYS_MAX: usize = 4_096;

/// Questions for keys at once; more wait.
const CALLS_MAX: usize = 8;

/// How long it is not asked again for a key that was not given, in seconds.
const AGAIN_S: u64 = 2;

/// Refusals that are remembered.
const REFUSALS_MAX: usize = 256;

/// Why there is no key of the network's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrkeyError {
    /// The link is over a network that derives none.
    #[error(
        "the authentication key is derived by a SCION network: this meter is reached over scion:// only"
    )]
    NoNetwork,
    /// The meter's system title is not known, which goes into the key.
    #[error(
        "the meter's system title goes into the key, and is not known: name it in the key file"
    )]
    NoTitle,
    /// The daemon gives none.
    #[error("no key: {0}")]
    NotGiven(#[from] ScionError),
    /// What was provisioned is not fit to be mixed.
    #[error(transparent)]
    Mix(#[from] MixError),
    /// The mixture is none of the suite.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Keys by what they are between, shared by the links of one end.
#[derive(Debug)]
pub(super) struct Drkeys {
    known: Mutex<Kept>,
    calls: Semaphore,
}

#[derive(Debug)]
struct Kept {
    keys: Cache<Octets>,
    /// When a key was not given.
    refused: BTreeMap<CacheKey, (u64, ScionError)>,
    /// Keys whose next epoch's are being asked for.
    ahead: BTreeSet<CacheKey>,
}

impl Default for Drkeys {
    fn default() -> Self {
        Self {
            known: Mutex::new(Kept {
                keys: Cache::new(KEYS_MAX),
                refused: BTreeMap::new(),
                ahead: BTreeSet::new(),
            }),
            calls: Semaphore::new(CALLS_MAX),
        }
    }
}

impl Drkeys {
    fn look<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the key that holds at `at`, where it is not there.
    async fn fetch(
        &self,
        daemon: &str,
        between: CacheKey,
        at: u64,
        now: u64,
    ) -> Result<(), ScionError> {
        let error = |why: String| ScionError::Daemon {
            at: daemon.into(),
            why: why.into(),
        };
        let _permit = self
            .calls
            .acquire()
            .await
            .map_err(|why| error(why.to_string()))?;
        // Somebody else may have fetched it, or failed to, meanwhile.
        let settled = self.look(|kept| {
            kept.refused
                .retain(|_, (since, _)| now < since.saturating_add(AGAIN_S));
            let refused = kept.refused.get(&between).map(|(_, why)| why.clone());
            let there = kept.keys.current(&between, at).is_some();
            if there {
                Some(Ok(()))
            } else {
                refused.map(Err)
            }
        });
        if let Some(settled) = settled {
            return settled;
        }
        let (method, request) = scion::daemon::drkey_request(&between, at)
            .ok_or_else(|| error("a daemon gives no key between two ASes".to_owned()))?;
        let answer = ask(daemon, method, &request).await;
        let fetched = answer.and_then(|octets| {
            let octets = zeroize::Zeroizing::new(octets);
            scion::daemon::drkey_answer(&octets).map_err(|why| why.to_string())
        });
        self.look(|kept| {
            let kept_now = fetched.and_then(|(epoch, key)| {
                let put = kept.keys.insert(between, epoch, key, now);
                put.map_err(|why| why.to_string())
            });
            kept_now.map_err(|why| {
                let why = error(why);
                if kept.refused.len() >= REFUSALS_MAX {
                    kept.refused.pop_first();
                }
                kept.refused.insert(between, (now, why.clone()));
                why
            })
        })
    }
}

/// Where the keys between the two ends of a link come from.
#[derive(Clone, Debug)]
pub struct DrkeySource {
    pub(super) keys: Arc<Drkeys>,
    pub(super) daemon: Arc<str>,
    pub(super) local: Place,
    pub(super) remote: Place,
    /// Whether the link was opened by this end.
    pub(super) issues: bool,
}

impl DrkeySource {
    /// Gives the keys between the two hosts that may be used at `now`, in
    /// seconds since 1970: the one that holds, then the one that held until a
    /// moment ago. They are asked for where they are not known.
    ///
    /// # Errors
    /// What the daemon says.
    pub(crate) async fn at(&self, now: u64) -> Result<Vec<(Epoch, Octets)>, ScionError> {
        let between = self.between();
        let current = |kept: &mut Kept| kept.keys.current(&between, now).map(|(epoch, _)| epoch);
        let fetched = match self.keys.look(current) {
            Some(_) => Ok(()),
            None => self.keys.fetch(&self.daemon, between, now, now).await,
        };
        if let Some(epoch) = self.keys.look(current) {
            let begin = u64::from(epoch.begin());
            let before = |kept: &mut Kept| kept.keys.acceptable(&between, now).count() < 2;
            if !self.issues && now < begin.saturating_add(GRACE) && self.keys.look(before) {
                // Who asks may lag; without it that one waits a moment and asks again.
                let ago = begin.saturating_sub(1);
                self.keys.fetch(&self.daemon, between, ago, now).await.ok();
            }
            self.look_ahead(between, u64::from(epoch.end()), now);
        }
        let all: Vec<_> = self.keys.look(|kept| {
            let all = kept.keys.acceptable(&between, now);
            all.map(|(epoch, key)| (epoch, self.between_hosts(key)))
                .collect()
        });
        if all.is_empty() {
            fetched?;
            return Err(ScionError::Daemon {
                at: Box::from(&*self.daemon),
                why: "the key that it gives holds at another time".into(),
            });
        }
        Ok(all)
    }

    /// Has the next epoch's key asked for in time. Nobody waits for it: where it
    /// is not given, it is asked for again when it is needed.
    fn look_ahead(&self, between: CacheKey, next: u64, now: u64) {
        let begin = |kept: &mut Kept| {
            kept.keys.is_due(&between, now)
                && kept.ahead.len() < KEYS_MAX
                && kept.ahead.insert(between)
        };
        if !self.keys.look(begin) {
            return;
        }
        let (keys, daemon) = (Arc::clone(&self.keys), Arc::clone(&self.daemon));
        tokio::spawn(async move {
            if let Err(why) = keys.fetch(&daemon, between, next, now).await {
                tracing::debug!(%why, "the next epoch's key is not there yet");
            }
            keys.look(|kept| kept.ahead.remove(&between));
        });
    }

    const fn between(&self) -> CacheKey {
        let protocol = Protocol(DRKEY_PROTOCOL);
        if self.issues {
            CacheKey {
                protocol,
                issuer: self.local.isd_as,
                issuer_host: Some(self.local.host),
                other: self.remote.isd_as,
                other_host: None,
            }
        } else {
            CacheKey {
                protocol,
                issuer: self.remote.isd_as,
                issuer_host: Some(self.remote.host),
                other: self.local.isd_as,
                other_host: Some(self.local.host),
            }
        }
    }

    fn between_hosts(&self, key: &Octets) -> Octets {
        if self.issues {
            HostAs::fetched(key.clone()).host_host(self.remote.host)
        } else {
            key.clone()
        }
    }
}

/// What the keys of an association are mixed of, beside the network's key.
#[derive(Clone, Debug)]
pub struct DrkeyMix {
    /// The secret that was provisioned in the meter.
    pub secret: Key,
    /// The other keys; the authentication key is what is mixed.
    pub keys: Keys,
    /// The security suite.
    pub suite: SecuritySuite,
    /// The client's SAP.
    pub client: Sap,
    /// The logical device's.
    pub server: Sap,
    /// The client's system title.
    pub client_title: SystemTitle,
    /// The meter's.
    pub server_title: SystemTitle,
}

impl DrkeyMix {
    /// Makes the keys of an epoch ready.
    ///
    /// # Errors
    /// [`DrkeyError::Mix`] and [`DrkeyError::Key`].
    pub(crate) fn ring(&self, epoch: Epoch, drkey: &Octets) -> Result<KeyRing, DrkeyError> {
        let for_use = Use {
            purpose: Purpose::AuthenticationKey,
            suite: self.suite.id(),
            protocol: Protocol(DRKEY_PROTOCOL),
            epoch,
            client_sap: self.client,
            server_sap: self.server,
            client_title: self.client_title.0,
            server_title: self.server_title.0,
        };
        let mixed = mix(drkey, self.secret.dangerous_octets(), &for_use)?;
        let mixed = Key::from_octets(&mixed).map_err(|_| MixError::Suite(self.suite.id()))?;
        let mut keys = self.keys.clone();
        keys.authentication = Some(mixed);
        Ok(KeyRing::new(&AwsLc, self.suite, &keys)?)
    }
}
