//! A fleet on real links and in real time: many links ask, one task keeps the meters' time.
//!
//! Each meter has a lock of its own, and the journal has one. Whoever holds a meter may take the
//! journal, never the other way round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dlms::axdr::RawData;
use dlms::cosem::{AttributeDescriptor, MethodAccess, MethodDescriptor};
use dlms::security::{CounterRecord, SystemTitle};
use dlms::server::{
    AssociationTerms, AttributeRights, Caller, NoEntropy, NotDurable, Notice, ObjectStore,
    SecurityState, Selection,
};
use dlms::xdlms::{ActionResult, DataAccessResult};
use link::{Clock, Devices, DrkeyMix, Entropy, Listener, Sap, Service, SharedDevice};
use model::Timestamp;
use tokio::task::JoinSet;

use crate::device::{Device, Session};
use crate::fleet::{Fleet, FleetError, salt};
use crate::journal::{Durable, Journal, JournalError, Record, SegmentNumber, Store, Title};

/// How long the task that keeps the time sleeps at most, so that a system clock that is set is
/// noticed.
const NAP_MAX: Duration = Duration::from_secs(5);

/// A fleet that many links share.
pub struct SharedFleet<S> {
    meters: Vec<Arc<Mutex<Meter<S>>>>,
    places: BTreeMap<Sap, usize>,
    journal: Arc<Mutex<Journal<S>>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl<S: Store + Send + 'static> SharedFleet<S> {
    /// Shares a fleet. Meters with the same SAP are reached by [`only`](Self::only).
    pub fn new(fleet: Fleet<S>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        let (devices, journal) = fleet.into_parts();
        let journal = Arc::new(Mutex::new(journal));
        let mut places = BTreeMap::new();
        let meters = devices
            .into_iter()
            .enumerate()
            .map(|(place, device)| {
                places.entry(device.sap()).or_insert(place);
                Arc::new(Mutex::new(Meter {
                    device,
                    journal: SharedJournal(journal.clone()),
                    clock: clock.clone(),
                    entropy: entropy.clone(),
                }))
            })
            .collect();
        Arc::new(Self {
            meters,
            places,
            journal,
            clock,
            entropy,
        })
    }

    /// Returns how many meters there are.
    pub const fn len(&self) -> usize {
        self.meters.len()
    }

    /// Says whether there is no meter.
    pub const fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    /// Looks at a meter by its place.
    pub fn with_device<T>(&self, place: usize, look: impl FnOnce(&Device) -> T) -> Option<T> {
        let meter = self.meters.get(place)?;
        Some(look(&lock(meter).device))
    }

    /// Returns the devices behind an address that is one meter's alone.
    pub fn only(&self, place: usize) -> Option<Arc<dyn Devices>> {
        let meter = self.meters.get(place)?.clone();
        let sap = lock(&meter).device.sap();
        Some(Arc::new(Only { sap, meter }))
    }

    /// Lets every meter catch up, makes that durable and shows it. Blocks for as long as the
    /// disk takes.
    ///
    /// # Errors
    /// As [`Fleet::tick`].
    pub fn tick(&self) -> Result<(), FleetError> {
        let now = Timestamp::from_secs(self.clock.unix_seconds());
        let mut waiting = Vec::new();
        for meter in &self.meters {
            let mut held = lock(meter);
            let Meter {
                device, journal, ..
            } = &mut *held;
            if device.next_due() <= now {
                device.tick(now, journal)?;
            }
            if device.is_pending() {
                waiting.push(meter);
            }
        }
        if !waiting.is_empty() {
            lock(&self.journal).commit()?;
            for meter in waiting {
                lock(meter).device.committed();
            }
        }
        if lock(&self.journal).rotation_due() {
            self.rotate()?;
        }
        Ok(())
    }

    /// Keeps the meters' time until the journal fails.
    ///
    /// # Errors
    /// As [`tick`](Self::tick): the process should then end and start again.
    pub async fn keep_time(self: Arc<Self>) -> Result<(), FleetError> {
        loop {
            let fleet = self.clone();
            let ticked = tokio::task::spawn_blocking(move || fleet.tick().map(|()| fleet.nap()));
            match ticked.await {
                Ok(nap) => tokio::time::sleep(nap?).await,
                // The runtime shuts down.
                Err(_) => return Ok(()),
            }
        }
    }

    fn nap(&self) -> Duration {
        let due = self
            .meters
            .iter()
            .map(|it| lock(it).device.next_due())
            .min();
        let now = Timestamp::from_secs(self.clock.unix_seconds());
        let left = due.map_or(i64::MAX, |due| due.millis_since(now));
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        left.clamp(Duration::from_millis(20), NAP_MAX)
    }

    fn rotate(&self) -> Result<(), FleetError> {
        let salt = salt(&*self.entropy)?;
        let mut meters: Vec<_> = self.meters.iter().map(|it| lock(it)).collect();
        let mut journal = lock(&self.journal);
        let needed = meters
            .iter()
            .filter_map(|meter| meter.device.oldest_segment())
            .min()
            .unwrap_or_else(|| journal.current());
        let oldest = journal.rotate(salt, needed, |journal| {
            meters
                .iter()
                .try_for_each(|meter| meter.device.snapshot(journal))
        })?;
        for meter in &mut meters {
            meter.device.drop_before(oldest);
        }
        Ok(())
    }
}

impl<S: Store + Send + 'static> Devices for SharedFleet<S> {
    fn find(&self, server: Sap) -> Option<SharedDevice> {
        let place = *self.places.get(&server)?;
        let meter = self.meters.get(place)?.clone();
        Some(meter)
    }

    fn drkey(&self, server: Sap, client: Sap) -> Option<DrkeyMix> {
        let place = *self.places.get(&server)?;
        lock(self.meters.get(place)?).device.drkey(client)
    }

    fn saps(&self) -> Vec<Sap> {
        self.places.keys().copied().collect()
    }
}

/// One meter behind an address of its own.
struct Only<S> {
    sap: Sap,
    meter: Arc<Mutex<Meter<S>>>,
}

impl<S: Store + Send + 'static> Devices for Only<S> {
    fn find(&self, server: Sap) -> Option<SharedDevice> {
        if server != self.sap {
            return None;
        }
        let meter = self.meter.clone();
        Some(meter)
    }

    fn drkey(&self, server: Sap, client: Sap) -> Option<DrkeyMix> {
        (server == self.sap).then(|| lock(&self.meter).device.drkey(client))?
    }

    fn saps(&self) -> Vec<Sap> {
        vec![self.sap]
    }
}

/// Serves the links of a listener until it ends; dropping the future ends them all.
pub async fn serve(
    mut listener: Listener,
    devices: Arc<dyn Devices>,
    service: Service,
    clock: Arc<dyn Clock>,
) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Some(accepted) = accepted else { return };
                let (devices, clock) = (devices.clone(), clock.clone());
                links.spawn(async move {
                    let ended = link::serve(accepted.link, devices, service, clock).await;
                    tracing::debug!(ended = ?ended.err(), "a link ended");
                    drop(accepted.permit);
                });
            }
            Some(_) = links.join_next() => {}
        }
    }
}

/// A meter with all that it needs to answer by itself.
struct Meter<S> {
    device: Device,
    journal: SharedJournal<S>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl<S: Store> Meter<S> {
    /// Takes the meter for one call, once it has caught up with the time; `None` where the
    /// journal has failed or the meter is without supply.
    fn session(&mut self) -> Option<Session<'_>> {
        let now = Timestamp::from_secs(self.clock.unix_seconds());
        if self.device.next_due() <= now {
            self.device.tick(now, &mut self.journal).ok()?;
            self.journal.commit().ok()?;
            self.device.committed();
        }
        let Self {
            device,
            journal,
            entropy,
            ..
        } = self;
        device
            .is_powered()
            .then(|| Session::new(device, journal, &**entropy, now))
    }
}

impl<S: Store> ObjectStore for Meter<S> {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        self.device
            .is_powered()
            .then(|| self.device.terms(client))
            .flatten()
    }

    fn password(&self, client: u16) -> Option<&[u8]> {
        self.device.password(client)
    }

    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        self.device.security(client)
    }

    fn counters_reserved(&mut self, client: u16, record: &CounterRecord) -> Result<(), NotDurable> {
        let mut session = self.session().ok_or(NotDurable)?;
        session.counters_reserved(client, record)
    }

    fn counter_accepted(
        &mut self,
        client: u16,
        title: &SystemTitle,
        counter: u32,
        broadcast: bool,
    ) -> Result<(), NotDurable> {
        let mut session = self.session().ok_or(NotDurable)?;
        session.counter_accepted(client, title, counter, broadcast)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.entropy.fill(out).map_err(|_| NoEntropy)
    }

    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        self.device.attribute_rights(client, attribute)
    }

    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        self.device.method_rights(client, method)
    }

    fn get(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let session = self.session();
        let mut session = session.ok_or(DataAccessResult::TemporaryFailure)?;
        session.get(caller, attribute, selection, out)
    }

    fn set(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        value: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        let session = self.session();
        let mut session = session.ok_or(DataAccessResult::TemporaryFailure)?;
        session.set(caller, attribute, selection, value)
    }

    fn invoke(
        &mut self,
        caller: &Caller,
        method: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        let session = self.session();
        let mut session = session.ok_or(ActionResult::TemporaryFailure)?;
        session.invoke(caller, method, parameter, out)
    }

    fn noticed(&mut self, client: u16, notice: Notice) {
        if let Some(mut session) = self.session() {
            session.noticed(client, notice);
        }
    }
}

/// The journal of all meters, as one of them writes to it.
struct SharedJournal<S>(Arc<Mutex<Journal<S>>>);

impl<S: Store> Durable for SharedJournal<S> {
    fn append(&mut self, title: Title, record: &Record<'_>) -> Result<SegmentNumber, JournalError> {
        Durable::append(&mut *lock(&self.0), title, record)
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        lock(&self.0).commit()
    }
}

/// Locks, also where another thread panicked: every change to what is behind these locks is
/// undone or done, never half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
