//! Concentrators: those that are devices of their own, and following the meters behind any.
//!
//! What a concentrator says of its meters is a word, and only one thing follows from it: at
//! which SAP of the same endpoint a meter that is enrolled there is tried. That it is the one is
//! proved by its keys and its system title, each time, before anything is read or switched.

pub mod balance;
mod board;
pub(crate) mod delivery;
pub mod outages;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{LogicalDeviceName, MeterId};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::collector::{AccessError, CollectorHandle, MeterAccess, MeterTarget};
use crate::config::ConcentratorConfig;
use crate::fleet::Fleet;
use crate::store::{Enrolment, Failure, Store, StoreError};

pub(crate) use board::{AT_ONCE, Watcher};
pub use board::{Board, Digest, State, Way};
pub(crate) use status::PAIR;
pub use status::{
    Collection, Connection, Feeder, Forwarded, Installation, METERS_MAX, MeterLine, Meters,
    NoSwitch, Pair, PairWord, Report, Segment, Wan, WanChange, WanState, WanWay,
};

/// The concentrators that are enrolled as devices of their own, each with keys of the head end at
/// its logical device. One has an id that no meter has, so that leases, counters, states and
/// conversations are those of any device.
#[derive(Debug, Default)]
pub struct Concentrators(BTreeMap<MeterId, Enrolled>);

/// A concentrator that is a device of its own.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Says how it is talked to: id, endpoint, SAPs, name and system title.
    pub target: MeterTarget,
    /// Holds what the configuration says of it.
    pub config: ConcentratorConfig,
    /// Says whether it proves by keys who it is.
    pub has_keys: bool,
}

impl Concentrators {
    /// Takes those of the registry that the configuration names; others are not talked to.
    pub(crate) fn load(
        store: &dyn Store,
        configured: &[ConcentratorConfig],
    ) -> Result<Self, StoreError> {
        let mut all = BTreeMap::new();
        for known in store.concentrators()? {
            let named =
                |it: &&ConcentratorConfig| it.device().as_ref() == Some(&known.enrolment.name);
            let Some(config) = configured.iter().find(named) else {
                continue;
            };
            let mechanism = known.protection.as_ref().map(|it| it.mechanism.as_str());
            let mechanism = mechanism.and_then(link::mechanism_from_name);
            let mut target = MeterTarget {
                id: known.id,
                enrolment: known.enrolment,
            };
            target.enrolment.endpoint = config.ways();
            all.insert(
                target.id,
                Enrolled {
                    target,
                    config: config.clone(),
                    has_keys: mechanism.is_some_and(|mechanism| mechanism.is_high()),
                },
            );
        }
        Ok(Self(all))
    }

    /// Goes over all in ascending order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Enrolled> {
        self.0.values()
    }

    /// Returns the one with this id.
    pub fn get(&self, id: MeterId) -> Option<&Enrolled> {
        self.0.get(&id)
    }

    /// Returns the one with this name.
    pub fn named(&self, name: &LogicalDeviceName) -> Option<&Enrolled> {
        self.iter().find(|it| it.target.enrolment.name == *name)
    }

    /// Returns the one at an endpoint, where the meters behind it are enrolled as well; of
    /// several ways the first that leads to one.
    pub fn at(&self, endpoint: &str) -> Option<&Enrolled> {
        let mut ways = endpoint.split_whitespace();
        ways.find_map(|way| self.iter().find(|it| it.config.endpoint == way))
    }
}

/// Tells whether a meter's endpoint is that of a concentrator, or has it among its ways.
pub(crate) fn leads_to(endpoint: &str, concentrator: &str) -> bool {
    endpoint == concentrator || endpoint.split_whitespace().any(|way| way == concentrator)
}

/// What following needs of the head end.
pub(crate) struct Follower {
    pub(crate) access: Arc<dyn MeterAccess>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) collector: CollectorHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
}

impl Follower {
    /// Reads a concentrator's list now and then until `stop` says so.
    pub(crate) async fn follow(
        self: Arc<Self>,
        concentrator: ConcentratorConfig,
        mut stop: watch::Receiver<bool>,
    ) {
        let every = Duration::from_secs(u64::from(concentrator.every_s));
        while !*stop.borrow() {
            let all = concentrator.ways();
            let list = tokio::select! {
                list = list(&*self.access, &all, self.timeout) => list,
                _ = stop.changed() => return,
            };
            let endpoint = concentrator.endpoint.as_str();
            match list {
                Ok(list) => match self.take(endpoint, &list).await {
                    Ok(0) => {}
                    Ok(moved) => tracing::info!(moved, %endpoint, "meters have another SAP"),
                    Err(error) => tracing::error!(%error, "a meter's SAP was not stored"),
                },
                Err(error) => {
                    tracing::info!(%endpoint, %error, "a concentrator's list cannot be read");
                }
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Takes a list; tells how many meters have moved.
    async fn take(
        &self,
        endpoint: &str,
        list: &[(u16, LogicalDeviceName)],
    ) -> Result<usize, StoreError> {
        let moved = self.fleet.with_meters(|meters| {
            let enrolled: Vec<_> = meters
                .values()
                .map(|meter| &meter.meter.enrolment)
                .filter(|meter| leads_to(&meter.endpoint, endpoint))
                .collect();
            moved(&enrolled, list)
        });
        let count = moved.len();
        if count > 0 {
            let now = self.clock.now();
            self.store.enrol(moved, now).await?;
            let (fleet, store) = (Arc::clone(&self.fleet), Arc::clone(&self.store));
            let reload = tokio::task::spawn_blocking(move || fleet.reload(&*store, now));
            reload.await.map_err(|_| StoreError::Closed)??;
            self.collector.enrolled().await;
        }
        Ok(count)
    }
}

/// Reads a concentrator's list over the first of its ways that leads to one; `limit` is how long
/// each of them may take, so that one that is cut in silence keeps nobody from the next.
async fn list(
    access: &dyn MeterAccess,
    ways: &str,
    limit: Duration,
) -> Result<Vec<(u16, LogicalDeviceName)>, AccessError> {
    let mut outcome = Err(AccessError::ended(Failure::Unreachable));
    for way in ways.split_whitespace() {
        let list = tokio::time::timeout(limit, access.saps(way)).await;
        outcome = list.unwrap_or(Err(AccessError::ended(Failure::NoAnswer)));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Those of the enrolled meters whose SAP is another in the list.
fn moved(enrolled: &[&Enrolment], list: &[(u16, LogicalDeviceName)]) -> Vec<Enrolment> {
    // Of a name that is there twice the first counts, as of a list without tricks.
    let mut saps: BTreeMap<&LogicalDeviceName, u16> = BTreeMap::new();
    for (sap, name) in list {
        saps.entry(name).or_insert(*sap);
    }
    enrolled
        .iter()
        .filter_map(|meter| {
            let sap = *saps.get(&meter.name)?;
            (sap != meter.server).then(|| Enrolment {
                server: sap,
                // Those that are there stay.
                secrets: Vec::new(),
                ..(*meter).clone()
            })
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    //! Evidence: self-agreement. That a meter at a wrong SAP is found out is shown with processes.
    use model::Place;

    use super::*;
    use crate::collector::{Answer, Conversation};
    use crate::store::LOAD_PROFILE;

    const HERE: &str = "tcp://10.0.0.1:4059";
    const SECOND: &str = "tcp://10.0.0.2:4059";

    /// Only the second way leads anywhere; the first one is cut in silence.
    #[derive(Debug)]
    struct Cut;

    impl MeterAccess for Cut {
        fn open<'a>(&'a self, _: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>> {
            Box::pin(std::future::pending())
        }

        fn saps<'a>(&'a self, endpoint: &'a str) -> Answer<'a, Vec<(u16, LogicalDeviceName)>> {
            if endpoint == SECOND {
                Box::pin(async { Ok(vec![(0x200, name(1))]) })
            } else {
                Box::pin(std::future::pending())
            }
        }
    }

    fn name(number: u32) -> LogicalDeviceName {
        format!("GWD{number:013}").parse().unwrap()
    }

    pub(crate) fn enrolment(number: u32, endpoint: &str, server: u16) -> Enrolment {
        Enrolment {
            name: name(number),
            system_title: None,
            endpoint: endpoint.to_owned(),
            server,
            client: 1,
            place: Place::default(),
            feeder: None,
            phase: None,
            load_profile: LOAD_PROFILE,
            secrets: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_comes_over_the_second_way_where_the_first_is_cut_in_silence() {
        let limit = Duration::from_secs(30);
        let both = format!("{HERE} {SECOND}");
        let found = list(&Cut, &both, limit).await;
        assert_eq!(found, Ok(vec![(0x200, name(1))]));
        let none = list(&Cut, HERE, limit).await;
        assert_eq!(none, Err(AccessError::ended(Failure::NoAnswer)));
    }

    #[test]
    fn a_meter_is_behind_each_of_its_ways() {
        let two = format!("{HERE} {SECOND}");
        assert!(leads_to(HERE, HERE) && leads_to(&two, HERE));
        assert!(leads_to(&two, SECOND));
        assert!(!leads_to(&two, "tcp://10.0.0.2:405"));
        assert!(!leads_to(HERE, SECOND));
    }

    #[test]
    fn only_the_sap_of_meters_that_are_enrolled_follows() {
        let enrolled = [enrolment(1, HERE, 0x100), enrolment(2, HERE, 0x101)];
        let list = [
            (1, name(99)),
            (0x200, name(1)),
            (0x101, name(2)),
            (0x300, name(3)),
            (0x400, name(4)),
            (0x500, name(1)),
        ];
        let enrolled: Vec<_> = enrolled.iter().collect();
        let found = moved(&enrolled, &list);
        assert_eq!(found, [enrolment(1, HERE, 0x200)]);
    }
}
