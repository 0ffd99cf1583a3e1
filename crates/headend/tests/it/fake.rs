//! Meters that answer from a formula, for tests of what stands above the seam.

use dlms::cosem::Obis;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headend::Clock;
use headend::collector::{
    AccessError, Answer, Conversation, MeterAccess, MeterTarget, ProfileAnswer, RegisterRef, Ways,
};
use headend::fences::ScionWays;
use headend::store::{ClockReading, Failure, Paths, RegisterReading, RegisterValue};
use model::{BreakerState, Event, EventKind, EventSource, MeterId, Timestamp};

use crate::support::{NOON, layout, row};

#[derive(Debug)]
pub(crate) struct FakeClock(AtomicI64);

impl FakeClock {
    pub(crate) fn at(secs: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(secs)))
    }

    pub(crate) fn set(&self, secs: i64) {
        self.0.store(secs, Ordering::SeqCst);
    }

    /// Lets so many seconds pass.
    fn pass(&self, secs: i64) {
        self.0.fetch_add(secs, Ordering::SeqCst);
    }

    fn secs(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.secs())
    }
}

/// Captured rows since this many seconds before [`NOON`].
pub(crate) const HELD_S: i64 = 3 * 86_400;

#[derive(Debug)]
pub(crate) struct FakeMeters {
    pub(crate) clock: Arc<FakeClock>,
    /// Interval starts that no meter holds.
    pub(crate) holes: Mutex<BTreeSet<i64>>,
    /// Numbers of meters that do not answer.
    pub(crate) silent: Mutex<BTreeSet<u64>>,
    /// Numbers of meters that nothing opens.
    pub(crate) keyless: Mutex<BTreeSet<u64>>,
    /// The broadcast keys of meters, by their numbers.
    pub(crate) broadcast: Mutex<BTreeMap<u64, u64>>,
    /// What a concentrator says, by object.
    pub(crate) told: Mutex<BTreeMap<Obis, Vec<u8>>>,
    /// The paths that the next answers take.
    pub(crate) paths: Mutex<Vec<Paths>>,
    /// Seconds that pass while a breaker is read.
    pub(crate) slow_s: AtomicI64,
    /// The ways to meters over SCION; none where they are not.
    pub(crate) ways: Mutex<Option<ScionWays>>,
    pub(crate) open: AtomicUsize,
    pub(crate) opened: AtomicUsize,
    /// An association is there once so many are being made at once, and a moment later.
    pub(crate) together: AtomicUsize,
    pub(crate) making: AtomicUsize,
    /// How many were being made at once, at most, and how many were made.
    pub(crate) most: AtomicUsize,
    pub(crate) made: AtomicUsize,
}

impl FakeMeters {
    pub(crate) fn new(clock: Arc<FakeClock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            holes: Mutex::default(),
            silent: Mutex::default(),
            keyless: Mutex::default(),
            broadcast: Mutex::default(),
            told: Mutex::default(),
            paths: Mutex::default(),
            slow_s: AtomicI64::new(0),
            ways: Mutex::default(),
            open: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            together: AtomicUsize::new(0),
            making: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
        })
    }

    /// Makes an association with a meter, together with others where that is wanted.
    async fn make(&self) {
        let together = self.together.load(Ordering::SeqCst);
        if together == 0 {
            return;
        }
        let making = 1 + self.making.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(making, Ordering::SeqCst);
        while self.most.load(Ordering::SeqCst) < together {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.making.fetch_sub(1, Ordering::SeqCst);
        self.made.fetch_add(1, Ordering::SeqCst);
    }
}

/// What is handed to the head end.
#[derive(Debug)]
pub(crate) struct FakeAccess(pub(crate) Arc<FakeMeters>);

impl MeterAccess for FakeAccess {
    fn has_keys(&self, meter: &MeterTarget) -> bool {
        let keyless = self.0.keyless.lock().unwrap();
        !keyless.contains(&meter.id.number())
    }

    fn broadcast_key(&self, meter: &MeterTarget) -> Option<u64> {
        let keys = self.0.broadcast.lock().unwrap();
        keys.get(&meter.id.number()).copied()
    }

    fn scion_ways<'a>(&'a self, _: &'a str) -> Ways<'a> {
        Box::pin(async {
            self.0.make().await;
            Ok(self.0.ways.lock().unwrap().clone())
        })
    }

    fn open<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>> {
        let meters = Arc::clone(&self.0);
        let id = meter.id;
        let is_meter = !meter.enrolment.name.as_str().starts_with("GWD1DC");
        Box::pin(async move {
            if meters.silent.lock().unwrap().contains(&id.number()) {
                return Err(AccessError::ended(Failure::NoAnswer));
            }
            if is_meter {
                meters.make().await;
            }
            meters.opened.fetch_add(1, Ordering::SeqCst);
            meters.open.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Talk { meters, id }) as Box<dyn Conversation>)
        })
    }
}

struct Talk {
    meters: Arc<FakeMeters>,
    id: MeterId,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.meters.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(async move { Ok(value) })
}

impl Conversation for Talk {
    fn clock(&mut self) -> Answer<'_, ClockReading> {
        answer(ClockReading {
            offset_ms: -1_250,
            zone_min: Some(60),
            at: self.meters.clock.now(),
        })
    }

    fn profile(&mut self, object: Obis, range: Range<i64>) -> Answer<'_, ProfileAnswer> {
        assert_eq!(object, layout().object);
        let first = range.start.max(NOON - HELD_S).div_euclid(900) * 900;
        let past = range.end.min(self.meters.clock.secs() - 900 + 1);
        let holes = self.meters.holes.lock().unwrap();
        let rows = (first..past)
            .step_by(900)
            .filter(|start| range.contains(start) && !holes.contains(start))
            .map(row)
            .collect();
        drop(holes);
        answer(ProfileAnswer {
            layout: layout(),
            rows,
        })
    }

    fn registers<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<RegisterReading>> {
        let at = self.meters.clock.now();
        let readings = wanted.iter().filter_map(|wanted| {
            let (value, scaler, unit) = match wanted.object {
                Obis([1, 0, 1, 8, 0, 255]) => (at.secs() / 36, 0, 30),
                Obis([1, 0, 2, 8, 0, 255]) => (7, 0, 30),
                Obis([1, 0, 1, 7, 0, 255]) => (4_865, -1, 27),
                Obis([1, 0, 2, 7, 0, 255]) => (0, 0, 27),
                Obis([1, 0, 21, 7, 0, 255]) => (486, 0, 27),
                _ => return None,
            };
            Some(RegisterReading {
                object: wanted.object,
                attribute: wanted.attribute,
                value: RegisterValue::Number {
                    value,
                    scaler,
                    unit,
                },
                at,
            })
        });
        answer(readings.collect())
    }

    fn events(&mut self, log: Obis, since: i64) -> Answer<'_, Vec<Event>> {
        let event = Event {
            at: Timestamp::from_secs(NOON - 7_200),
            source: EventSource::Meter(log),
            code: EventKind::MeterCoverRemoved.code(),
        };
        let is_there = log == Obis::new(0, 0, 99, 98, 1, 255) && self.id.number() == 2;
        let is_there = is_there && event.at.millis() >= since;
        answer(is_there.then_some(event).into_iter().collect())
    }

    fn breaker(&mut self) -> Answer<'_, Option<BreakerState>> {
        let meters = &self.meters;
        meters.clock.pass(meters.slow_s.load(Ordering::SeqCst));
        answer(Some(BreakerState::Connected))
    }

    fn firmware(&mut self) -> Answer<'_, Option<String>> {
        answer(Some("1.2.3".to_owned()))
    }

    fn attributes<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let told = self.meters.told.lock().unwrap();
        let values = wanted.iter().map(|one| told.get(&one.object).cloned());
        answer(values.collect())
    }

    fn paths(&mut self) -> Vec<Paths> {
        self.meters.paths.lock().unwrap().clone()
    }

    fn rtt_us(&self) -> Option<u32> {
        Some(1_234)
    }

    fn close(self: Box<Self>) -> Answer<'static, ()> {
        answer(())
    }
}
