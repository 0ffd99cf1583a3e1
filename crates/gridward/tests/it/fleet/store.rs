//! The head end's store, without its own time: what is written is durable when
//! the call returns, so that no virtual time passes beside the writer's thread.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use dlms::cosem::Obis;
use dlms::security::CounterRecord;
use headend::store::{
    BlockVersion, CounterKey, DayCount, DayTotal, Enrolled, Enrolment, Gap, Meter, MeterState,
    Pending, ProfileSlice, RegisterRow, SqliteStore, Store, StoreError, StoreFigures, Stored,
    Sweep, WrappedClient,
};
use headend::{Calendar, Day};
use model::{Event, LogicalDeviceName, MeterId, Timestamp};

use super::watch::Watch;

/// The store in lock step with the simulation.
#[derive(Debug)]
pub(super) struct Lockstep {
    inner: SqliteStore,
    watch: Watched,
    /// Where each key's counters are reserved up to.
    reserved: Mutex<BTreeMap<CounterKey, u32>>,
}

struct Watched(Arc<Watch>);

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Lockstep {
    pub(super) fn new(inner: SqliteStore, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            watch: Watched(watch),
            reserved: Mutex::default(),
        }
    }

    /// Blocks of counters follow each other and never go back.
    fn watched(&self, key: CounterKey, record: &CounterRecord) {
        let before = self.reserved.lock().unwrap().insert(key, record.end);
        let durable = self.inner.counter_record(key).unwrap().end;
        let before = before.unwrap_or(durable);
        if record.end < before || record.end < durable {
            let end = record.end;
            let fault = format!("{key:?}: reserved to {end}, and before to {before}");
            self.watch.0.fault(fault);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a write on this thread.
fn at_once<T: Send + 'static>(pending: Pending<T>) -> Pending<T> {
    // Here nobody else is to be let in between, so nothing is to be budgeted.
    let mut pending = pin!(tokio::task::unconstrained(pending));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match pending.as_mut().poll(&mut context) {
            Poll::Ready(done) => return Box::pin(std::future::ready(done)),
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Store for Lockstep {
    fn calendar(&self) -> &Calendar {
        self.inner.calendar()
    }

    fn enrol(&self, meters: Vec<Enrolment>, at: Timestamp) -> Pending<Enrolled> {
        at_once(self.inner.enrol(meters, at))
    }

    fn ingest(&self, sweep: Sweep) -> Pending<Stored> {
        at_once(self.inner.ingest(sweep))
    }

    fn reserve_counters(&self, key: CounterKey, count: u32, at_least: u32) -> Pending<Range<u32>> {
        at_once(self.inner.reserve_counters(key, count, at_least))
    }

    fn keep_counters(&self, key: CounterKey, record: CounterRecord) -> Pending<()> {
        self.watched(key, &record);
        at_once(self.inner.keep_counters(key, record))
    }

    fn seal(&self, before: Day, limit: u32) -> Pending<u32> {
        at_once(self.inner.seal(before, limit))
    }

    fn flush(&self) -> Pending<()> {
        at_once(self.inner.flush())
    }

    fn meters(&self) -> Result<Vec<Meter>, StoreError> {
        self.inner.meters()
    }

    fn states(&self) -> Result<BTreeMap<MeterId, MeterState>, StoreError> {
        self.inner.states()
    }

    fn day_counts(&self, from: Day) -> Result<Vec<DayCount>, StoreError> {
        self.inner.day_counts(from)
    }

    fn events_since(&self, since: Timestamp) -> Result<Vec<(MeterId, Event)>, StoreError> {
        self.inner.events_since(since)
    }

    fn events(
        &self,
        meter: MeterId,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<(u64, Vec<Event>), StoreError> {
        self.inner.events(meter, before, limit)
    }

    fn registers(&self, meter: MeterId) -> Result<Vec<RegisterRow>, StoreError> {
        self.inner.registers(meter)
    }

    fn rows(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<ProfileSlice>, StoreError> {
        self.inner.rows(meter, object, range)
    }

    fn gaps(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<Gap>, StoreError> {
        self.inner.gaps(meter, object, range)
    }

    fn day_totals(&self, object: Obis, day: Day) -> Result<Vec<DayTotal>, StoreError> {
        self.inner.day_totals(object, day)
    }

    fn versions(
        &self,
        meter: MeterId,
        object: Obis,
        day: Day,
    ) -> Result<Vec<BlockVersion>, StoreError> {
        self.inner.versions(meter, object, day)
    }

    fn counter(&self, key: CounterKey) -> Result<u32, StoreError> {
        self.inner.counter(key)
    }

    fn counter_record(&self, key: CounterKey) -> Result<CounterRecord, StoreError> {
        self.inner.counter_record(key)
    }

    fn secrets(
        &self,
        name: &LogicalDeviceName,
        client: u16,
    ) -> Result<Option<WrappedClient>, StoreError> {
        self.inner.secrets(name, client)
    }

    fn outlets(&self) -> &dyn headend::store::OutletTables {
        self.inner.outlets()
    }

    fn orders(&self) -> &dyn headend::store::MeterOrderTables {
        self.inner.orders()
    }

    fn fences(&self) -> &dyn headend::store::FenceTables {
        self.inner.fences()
    }

    fn drills(&self) -> &dyn headend::store::DrillTables {
        self.inner.drills()
    }

    fn figures(&self) -> StoreFigures {
        self.inner.figures()
    }
}
