//! What several test modules share.

use dlms::cosem::Obis;
use headend::Calendar;
use headend::store::{
    Channel, Contact, Enrolment, LOAD_PROFILE, PathTaken, Paths, ProfileLayout, ProfileRows,
    SqliteOptions, SqliteStore, Store, Sweep,
};
use model::{Interval, IntervalStatus, MeterId, Timestamp};
use tempfile::TempDir;

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_262_400;
/// 2026-11-21T00:00:00+01:00.
pub(crate) const MIDNIGHT: i64 = 1_795_215_600;

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

pub(crate) fn zurich() -> Calendar {
    Calendar::new("Europe/Zurich").unwrap()
}

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) store: SqliteStore,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        Self { folder, store }
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let Self { folder, store } = self;
        drop(store);
        let store = open(&folder);
        Self { folder, store }
    }

    pub(crate) fn enrol(&self, number: u32) -> MeterId {
        let at = Timestamp::from_secs(MIDNIGHT - 40 * 86_400);
        let enrolled = wait(self.store.enrol(vec![enrolment(number)], at)).unwrap();
        enrolled.added[0]
    }
}

/// Opens the store; the writer of one just dropped may take a moment to let the folder go.
fn open(folder: &TempDir) -> SqliteStore {
    let options = SqliteOptions::new(folder.path(), zurich());
    for _ in 0..1_000 {
        match SqliteStore::open(&options) {
            Err(headend::store::StoreError::InUse) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other.unwrap(),
        }
    }
    panic!("the folder stayed locked for ten seconds");
}

pub(crate) fn enrolment(number: u32) -> Enrolment {
    Enrolment {
        name: format!("GWD{number:013}").parse().unwrap(),
        system_title: Some(format!("475744{number:010x}").parse().unwrap()),
        endpoint: "tcp://127.0.0.1:4059".to_owned(),
        server: 1,
        client: 1,
        place: "Lindenweg 14, flat 3".parse().unwrap(),
        feeder: Some("F2".parse().unwrap()),
        phase: Some("L1".parse().unwrap()),
        load_profile: LOAD_PROFILE,
        secrets: Vec::new(),
    }
}

pub(crate) fn layout() -> ProfileLayout {
    let channel = |object| Channel {
        object,
        attribute: 2,
        scaler: 0,
        unit: 30,
    };
    ProfileLayout {
        object: LOAD_PROFILE,
        period_s: 900,
        channels: vec![
            channel(Obis::new(1, 0, 1, 8, 0, 255)),
            channel(Obis::new(1, 0, 2, 8, 0, 255)),
        ],
    }
}

/// A row whose register grows by 25 Wh in a quarter of an hour.
pub(crate) fn row(start: i64) -> Interval {
    Interval {
        start: Timestamp::from_secs(start),
        duration_s: 900,
        values: vec![Some((start + 900) / 36), Some(7)],
        status: IntervalStatus::default(),
    }
}

pub(crate) fn rows(from: i64, count: usize) -> Vec<Interval> {
    (0..count)
        .map(|index| row(from + i64::try_from(index).unwrap() * 900))
        .collect()
}

/// The paths of one way, told apart by a number.
pub(crate) fn paths(way: u8) -> Paths {
    let taken = |hops: String| PathTaken {
        hops,
        fingerprint: format!("{way:016x}"),
        verified: true,
    };
    Paths {
        sent: Some(taken(format!("2-ff00:0:211 {way}>10 1-ff00:0:111"))),
        received: Some(taken(format!("1-ff00:0:111 10>{way} 2-ff00:0:211"))),
    }
}

pub(crate) fn sweep(meter: MeterId, at: i64, rows: Vec<Interval>) -> Sweep {
    let contact = Contact::Reached { rtt_us: Some(900) };
    let mut sweep = Sweep::new(meter, Timestamp::from_secs(at), contact);
    sweep.profiles.push(ProfileRows {
        layout: layout(),
        asked: None,
        rows,
    });
    sweep
}
