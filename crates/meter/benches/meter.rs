//! What a meter costs: a value of a register, a day of its load profile, the journal, and ten
//! thousand meters in one process.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that fails shall stop where it does, and says what it found"
)]

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use dlms::acse::MechanismName;
use dlms::axdr::{ClockStatus, DateTime};
use dlms::cosem::{AttributeDescriptor, Obis, ProfileSelection, RangeDescriptor};
use dlms::security::Protection;
use dlms::server::{Caller, ObjectStore as _, Selection};
use link::{KeyFile, SystemEntropy};
use meter::device::{DeviceConfig, Site};
use meter::fleet::Fleet;
use meter::journal::{CHANNELS_MAX, DirStore, Journal, JournalLimits, Record, Row, SegmentNumber};
use meter::metrology::{Household, Source as _};
use meter::template::Template;
use model::{IntervalStatus, Phase, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);
const METERS: u32 = 10_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let fleet = fleet(dir.path(), 10, 60);
    println!(
        "a meter with 60 days of quarter hours takes {} octets in memory, {} on disk",
        fleet.octets() / fleet.len(),
        fleet.journal_octets() / fleet.len() as u64,
    );
    divan::main();
}

fn fleet(dir: &std::path::Path, meters: u32, history_days: i64) -> Fleet<DirStore> {
    let keys = KeyFile::generate(1, meters, &SystemEntropy).unwrap();
    fleet_of(dir, keys, history_days)
}

fn fleet_of(dir: &std::path::Path, keys: KeyFile, history_days: i64) -> Fleet<DirStore> {
    let template = Arc::new(Template::built_in("smr5").unwrap());
    let configs = keys
        .meters
        .into_iter()
        .zip(1..)
        .map(|(keys, seed)| DeviceConfig {
            template: template.clone(),
            keys,
            site: Site {
                place: "Lindenweg 14".parse().unwrap(),
                feeder: "F1".parse().unwrap(),
                phase: Phase::L123,
            },
            sap: 1,
            source: Arc::new(Household::from_seed(seed, true)),
            installed: NOW.plus_secs(-86_400 * history_days),
            outages: Vec::new(),
            drift_ppb: 0,
        })
        .collect();
    let store = DirStore::open(dir).unwrap();
    Fleet::open(store, configs, NOW, &SystemEntropy).unwrap().0
}

#[divan::bench]
fn registers_at_some_time(bencher: Bencher<'_, '_>) {
    let household = Household::from_seed(7, true);
    bencher.bench_local(|| household.energy(black_box(NOW)));
}

#[divan::bench]
fn a_day_of_the_load_profile_by_range(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let mut fleet = fleet(dir.path(), 1, 60);
    let time = |secs| DateTime::from_unix_seconds(secs, -60, ClockStatus::OK).unwrap();
    let (from, to) = (NOW.secs() - 30 * 86_400, NOW.secs() - 29 * 86_400 - 900);
    let range = RangeDescriptor::by_clock(&time(from), &time(to));
    let selection = Selection::Profile(ProfileSelection::Range(range));
    let attribute = AttributeDescriptor::new(7, Obis::new(1, 0, 99, 1, 0, 255), 2);
    let caller = Caller {
        client: 1,
        mechanism: MechanismName::HighGmac,
        protection: Protection::None,
        verified: None,
        broadcast: false,
    };
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(96_u32)).bench_local(|| {
        let mut session = fleet.session(0, NOW, &SystemEntropy).unwrap().unwrap();
        out.clear();
        session
            .get(&caller, &attribute, Some(black_box(&selection)), &mut out)
            .unwrap();
        out.len()
    });
    assert_eq!(out.get(..2), Some(&[1, 96][..]));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn ten_thousand_rows_in_the_journal_and_one_sync(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let limits = JournalLimits::for_fleet(u64::from(METERS), 5_760);
    let store = DirStore::open(dir.path()).unwrap();
    let mut journal = Journal::open(store, limits, 1, |_, _, _| {}).unwrap().0;
    let mut sequence = 0;
    bencher.counter(ItemsCount::new(METERS)).bench_local(|| {
        for number in 0..METERS {
            let mut title = *b"GWD\0\0\0\0\0";
            if let Some(tail) = title.last_chunk_mut::<4>() {
                *tail = number.to_be_bytes();
            }
            let mut values = [0; CHANNELS_MAX];
            values.fill(18_000_000 + sequence);
            let row = Row {
                sequence,
                at_s: NOW.secs(),
                deviation: -60,
                status: IntervalStatus::default(),
                values,
                channels: 2,
            };
            journal.append(title, &Record::Row(row)).unwrap();
        }
        sequence += 1;
        journal.commit().unwrap();
        if journal.rotation_due() {
            journal
                .rotate(1, SegmentNumber(u64::MAX), |_| Ok(()))
                .unwrap();
        }
    });
}

#[divan::bench(sample_count = 8, sample_size = 1)]
fn ten_thousand_meters_capture_a_quarter_hour(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let mut fleet = fleet(dir.path(), METERS, 1);
    let mut now = NOW;
    bencher.counter(ItemsCount::new(METERS)).bench_local(|| {
        now = now.plus_secs(900);
        fleet.tick(now, &SystemEntropy).unwrap();
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn a_hundred_meters_start_with_sixty_days(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(100_u32 * 5_760))
        .with_inputs(|| tempfile::tempdir().unwrap())
        .bench_local_refs(|dir| fleet(dir.path(), 100, 60).len());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn a_hundred_meters_start_again(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyFile::generate(1, 100, &SystemEntropy).unwrap();
    drop(fleet_of(dir.path(), keys.clone(), 60));
    bencher
        .counter(ItemsCount::new(100_u32 * 5_760))
        .bench_local(|| fleet_of(dir.path(), keys.clone(), 60).len());
}
