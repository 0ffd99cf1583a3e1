//! Evidence: robustness: files cut at every octet, flipped bits, power cuts drawn from seeds,
//! failing syncs, and a process killed while it writes. A process that is killed leaves what the
//! kernel holds, so that test shows the framing; that a sync comes before an answer is what the
//! simulated power cuts show.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};

use meter::journal::{
    CHANNELS_MAX, DirStore, Journal, JournalError, JournalLimits, LogEntry, Record, Recovery, Row,
    SegmentNumber, Store, Title,
};
use model::IntervalStatus;

use crate::disk::{Disk, Random};

const LIMITS: JournalLimits = JournalLimits {
    segment_octets: 4_000,
    total_octets: 40_000,
};

/// What was recovered: rows by meter and number, states by meter and slot.
#[derive(Debug, Default, PartialEq)]
struct Found {
    rows: BTreeMap<(Title, u64), Row>,
    logs: BTreeMap<(Title, u64), u16>,
    states: BTreeMap<(Title, u8), Vec<u8>>,
    recovery: Recovery,
}

fn open<S: Store>(store: S) -> Result<(Journal<S>, Found), JournalError> {
    let mut found = Found::default();
    let (journal, recovery) =
        Journal::open(store, LIMITS, 0x5A17, |_, title, record| match record {
            Record::Row(row) => {
                found.rows.insert((title, row.sequence), row);
            }
            Record::Log(entry) => {
                found.logs.insert((title, entry.sequence), entry.code);
            }
            Record::State { slot, octets } => {
                found.states.insert((title, slot), octets.to_vec());
            }
            _ => {}
        })?;
    found.recovery = recovery;
    Ok((journal, found))
}

fn title(meter: u8) -> Title {
    [b'G', b'W', b'D', 0, 0, 0, 0, meter]
}

fn row(sequence: u64) -> Row {
    let mut values = [0; CHANNELS_MAX];
    values[0] = 18_000_000 + sequence * 137;
    values[1] = sequence % 5;
    Row {
        sequence,
        at_s: 1_795_000_500 + 900 * sequence.cast_signed(),
        deviation: -60,
        status: IntervalStatus::default(),
        values,
        channels: 2,
    }
}

/// Writes a short journal of one segment: rows of three meters, logs, states.
fn short_journal() -> Disk {
    let disk = Disk::default();
    let (mut journal, _) = open(disk.clone()).unwrap();
    for sequence in 0..8 {
        for meter in 0..3 {
            journal
                .append(title(meter), &Record::Row(row(sequence)))
                .unwrap();
        }
        journal
            .append(
                title(1),
                &Record::Log(LogEntry {
                    log: 0,
                    sequence,
                    at_s: 1_795_000_500,
                    deviation: -60,
                    code: 4,
                }),
            )
            .unwrap();
        journal
            .append(
                title(2),
                &Record::State {
                    slot: 3,
                    octets: &[7; 40],
                },
            )
            .unwrap();
        journal.commit().unwrap();
    }
    disk
}

#[test]
fn a_file_cut_anywhere_gives_back_all_before_the_cut() {
    let whole = short_journal();
    let octets = whole.lock().files[&1].octets.clone();
    let (_, all) = open(whole).unwrap();
    assert_eq!(all.recovery.records, 40);
    let mut before = 0;
    for cut in 0..=octets.len() {
        let disk = Disk::of(&octets[..cut]);
        let (mut journal, found) = open(disk.clone()).unwrap();
        assert!(found.recovery.records >= before, "cut at {cut}");
        before = found.recovery.records;
        for (key, row) in &found.rows {
            assert_eq!(row, &all.rows[key]);
        }
        // What is written now survives, damage or not.
        journal.append(title(9), &Record::Row(row(99))).unwrap();
        journal.commit().unwrap();
        let (_, again) = open(disk).unwrap();
        assert_eq!(again.recovery.records, before + 1, "cut at {cut}");
        assert_eq!(again.rows[&(title(9), 99)], row(99));
    }
    assert_eq!(before, 40);
}

#[test]
fn a_flipped_bit_costs_one_record_and_is_reported() {
    let whole = short_journal();
    let octets = whole.lock().files[&1].octets.clone();
    for at in 24..octets.len() {
        for bit in [0, 3, 7] {
            let mut bad = octets.clone();
            bad[at] ^= 1 << bit;
            let (_, found) = open(Disk::of(&bad)).unwrap();
            assert_eq!(found.recovery.records, 39, "octet {at} bit {bit}");
            assert_eq!(found.recovery.damages, 1);
            let damage = found.recovery.named[0];
            let from = usize::try_from(damage.offset).unwrap();
            let len = usize::try_from(damage.len).unwrap();
            assert!((from..from + len).contains(&at));
        }
    }
    // Without its header a segment cannot be read; that is said too.
    let mut bad = octets.clone();
    bad[9] ^= 1;
    let (_, found) = open(Disk::of(&bad)).unwrap();
    assert_eq!(found.recovery.records, 0);
    assert_eq!(found.recovery.damaged_octets, octets.len() as u64);
}

#[test]
fn a_record_hidden_in_a_value_does_not_come_out_when_the_file_is_damaged() {
    // A client that may write a text writes octets that are a record, but it cannot know the
    // salt of the segment.
    let other = Disk::default();
    let mut journal = Journal::open(other.clone(), LIMITS, 1, |_, _, _| {})
        .unwrap()
        .0;
    journal
        .append(
            title(6),
            &Record::State {
                slot: 1,
                octets: b"forged",
            },
        )
        .unwrap();
    journal.commit().unwrap();
    let forged = other.lock().files[&1].octets[24..].to_vec();
    let disk = Disk::default();
    let (mut journal, _) = open(disk.clone()).unwrap();
    journal
        .append(
            title(2),
            &Record::State {
                slot: 3,
                octets: &forged,
            },
        )
        .unwrap();
    journal.commit().unwrap();
    let mut octets = disk.lock().files[&1].octets.clone();
    octets[24] ^= 1;
    let (_, found) = open(Disk::of(&octets)).unwrap();
    assert_eq!(found.states, BTreeMap::new());
}

#[test]
fn what_was_committed_survives_a_power_cut() {
    let mut cuts = 0;
    for seed in 0..400 {
        let mut random = Random(seed);
        let disk = Disk::default();
        let mut committed = BTreeSet::new();
        let mut next = 0;
        for _ in 0..6 {
            let mut waiting = Vec::new();
            let (mut journal, found) = open(disk.clone()).unwrap();
            for sequence in &committed {
                let kept = found.rows.get(&(title(1), *sequence));
                assert_eq!(kept, Some(&row(*sequence)), "seed {seed}: row {sequence}");
            }
            for _ in 0..random.below(30) {
                for _ in 0..random.below(8) {
                    journal.append(title(1), &Record::Row(row(next))).unwrap();
                    waiting.push(next);
                    next += 1;
                }
                if random.below(4) > 0 {
                    journal.commit().unwrap();
                    committed.extend(waiting.drain(..));
                }
                if journal.rotation_due() {
                    let state = [random.below(256).to_le_bytes()[0]; 16];
                    journal
                        .rotate(
                            random.0.to_le_bytes()[0].into(),
                            SegmentNumber(0),
                            |journal| {
                                journal.append(
                                    title(1),
                                    &Record::State {
                                        slot: 1,
                                        octets: &state,
                                    },
                                )
                            },
                        )
                        .unwrap();
                    committed.extend(waiting.drain(..));
                }
            }
            drop(journal);
            disk.power_cut(&mut random);
            cuts += 1;
        }
    }
    assert_eq!(cuts, 2_400);
}

#[test]
fn a_failing_sync_stops_the_journal() {
    let disk = Disk::default();
    let (mut journal, _) = open(disk.clone()).unwrap();
    journal.append(title(1), &Record::Row(row(0))).unwrap();
    journal.commit().unwrap();
    disk.lock().syncs_fail = true;
    journal.append(title(1), &Record::Row(row(1))).unwrap();
    assert!(matches!(journal.commit(), Err(JournalError::Io(_))));
    disk.lock().syncs_fail = false;
    // The kernel may have dropped what it could not write: nothing is taken until the journal is
    // opened again.
    assert!(matches!(journal.commit(), Err(JournalError::Failed)));
    let refused = journal.append(title(1), &Record::Row(row(2)));
    assert!(matches!(refused, Err(JournalError::Failed)));
    drop(journal);
    disk.power_cut(&mut Random(1));
    let (_, found) = open(disk).unwrap();
    assert!(found.rows.contains_key(&(title(1), 0)));
}

#[test]
fn the_journal_stays_within_its_bound_and_keeps_the_newest() {
    let disk = Disk::default();
    let (mut journal, _) = open(disk.clone()).unwrap();
    let mut oldest = SegmentNumber(0);
    for sequence in 0..5_000 {
        journal
            .append(title(1), &Record::Row(row(sequence)))
            .unwrap();
        if sequence % 10 == 9 {
            journal.commit().unwrap();
        }
        if journal.rotation_due() {
            oldest = journal
                .rotate(7, SegmentNumber(0), |journal| {
                    journal.append(
                        title(1),
                        &Record::State {
                            slot: 1,
                            octets: b"now",
                        },
                    )
                })
                .unwrap();
            assert!(journal.octets() <= LIMITS.total_octets + LIMITS.segment_octets);
        }
    }
    journal.commit().unwrap();
    assert!(oldest > SegmentNumber(10));
    let on_disk: usize = disk
        .lock()
        .files
        .values()
        .map(|file| file.octets.len())
        .sum();
    assert_eq!(on_disk as u64, journal.octets());
    drop(journal);
    let (_, found) = open(disk).unwrap();
    assert!(found.rows.contains_key(&(title(1), 4_999)));
    assert!(found.rows.len() > 800 && found.rows.len() < 1_500);
    assert_eq!(found.states[&(title(1), 1)], b"now");
}

#[test]
fn segments_that_no_ring_needs_go() {
    let disk = Disk::default();
    let (mut journal, _) = open(disk.clone()).unwrap();
    for _ in 0..3 {
        let current = journal.current();
        let oldest = journal.rotate(7, current, |_| Ok(())).unwrap();
        assert_eq!(oldest, current);
    }
    assert_eq!(disk.lock().files.len(), 2);
}

#[test]
fn one_process_at_a_time_uses_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(DirStore::open(dir.path()).unwrap()).unwrap();
    let error = DirStore::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    journal.append(title(1), &Record::Row(row(0))).unwrap();
    journal.commit().unwrap();
    drop(journal);
    let (_, found) = open(DirStore::open(dir.path()).unwrap()).unwrap();
    assert_eq!(found.rows.len(), 1);
    #[cfg(unix)]
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read the journal");
    }
}

/// The child of [`a_killed_process_loses_nothing_that_it_answered`]: says a row's number once it
/// is committed, until it is killed.
#[test]
#[ignore = "a process that another test starts and kills"]
fn child_that_writes_until_killed() {
    let Some(dir) = std::env::var_os("METER_TEST_JOURNAL") else {
        return;
    };
    let (mut journal, found) = open(DirStore::open(dir).unwrap()).unwrap();
    let mut sequence = found.rows.keys().map(|(_, n)| n + 1).max().unwrap_or(0);
    loop {
        for _ in 0..3 {
            journal
                .append(title(1), &Record::Row(row(sequence)))
                .unwrap();
            sequence += 1;
        }
        journal.commit().unwrap();
        println!("answered {}", sequence - 1);
        if journal.rotation_due() {
            journal.rotate(3, SegmentNumber(0), |_| Ok(())).unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::child_that_writes_until_killed"])
            .args(["--ignored", "--nocapture"])
            .env("METER_TEST_JOURNAL", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < 20 + round * 7 {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, number)) = line.split_once("answered ") {
                answered = number.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        // What it said before it died counts as answered.
        for line in lines {
            let line = line.unwrap();
            let number = line
                .split_once("answered ")
                .map(|(_, number)| number.parse());
            if let Some(Ok(number)) = number {
                answered = number;
            }
        }
        child.wait().unwrap();
        let (_, found) = open(DirStore::open(dir.path()).unwrap()).unwrap();
        let oldest = found.rows.keys().next().unwrap().1;
        for sequence in oldest..=answered {
            assert_eq!(found.rows[&(title(1), sequence)], row(sequence));
        }
    }
    assert!(answered > 300);
}
