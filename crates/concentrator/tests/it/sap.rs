//! The SAP table and its file.
//!
//! Evidence: self-agreement; the list's octets are counted by hand after the
//! class's description (SAP assignment, class 17, attribute 2).

use concentrator::sap::{Record, SAP_FIRST, SAP_LAST, SapError, Table};
use concentrator::store::{Line, Log, StoreError, open_table};
use model::LogicalDeviceName;

const DAY: i64 = 86_400;

fn name(number: u32) -> LogicalDeviceName {
    format!("GWD{number:013}").parse().unwrap()
}

fn given(table: &mut Table, number: u32, now: i64) -> u16 {
    if let Some(record) = table.plan(&name(number), now).unwrap() {
        table.apply(&record).unwrap();
    }
    table.sap_of(&name(number)).unwrap()
}

#[test]
fn a_sap_stays_with_its_name_and_rests_before_another_gets_it() {
    let mut table = Table::new(30 * 86_400);
    let one = given(&mut table, 1, 0);
    let two = given(&mut table, 2, 0);
    assert_eq!((one, two), (SAP_FIRST, SAP_FIRST + 1));
    assert_eq!(given(&mut table, 1, 5), one, "it has one already");
    let record = table.plan_release(&name(1), 10).unwrap();
    table.apply(&record).unwrap();
    assert_eq!(table.sap_of(&name(1)), None);
    // All others are given before one that rests is looked at.
    for number in 3.. {
        match table.plan(&name(number), 10 + DAY) {
            Ok(Some(record)) => table.apply(&record).unwrap(),
            Err(SapError::Full) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(table.len(), usize::from(SAP_LAST - SAP_FIRST));
    let rested = 10 + 30 * DAY;
    assert_eq!(table.plan(&name(1), rested - 1), Err(SapError::Full));
    // A clock that was set back does not shorten the rest.
    assert_eq!(table.plan(&name(1), -DAY), Err(SapError::Full));
    assert_eq!(given(&mut table, 99_999, rested), one);
}

#[test]
fn an_operator_may_name_the_sap() {
    let mut table = Table::new(100);
    given(&mut table, 1, 0);
    assert_eq!(table.plan_at(0x0001, &name(1), 0), Err(SapError::Range));
    assert_eq!(table.plan_at(0x3FFF, &name(1), 0), Err(SapError::Range));
    assert_eq!(table.plan_at(SAP_FIRST, &name(2), 0), Err(SapError::Taken));
    for record in table.plan_at(0x0200, &name(1), 0).unwrap() {
        table.apply(&record).unwrap();
    }
    assert_eq!(table.sap_of(&name(1)), Some(0x0200));
    assert_eq!(
        table.plan_at(SAP_FIRST, &name(2), 99),
        Err(SapError::Resting)
    );
    assert_eq!(table.plan_at(SAP_FIRST, &name(2), 100).unwrap().len(), 1);
}

#[test]
fn the_list_is_that_of_class_17() {
    let mut table = Table::new(0);
    given(&mut table, 1, 0);
    let mut octets = Vec::new();
    table.encode_list(&"GWD1DC0000000001".parse().unwrap(), &mut octets);
    let mut expect = vec![0x01, 0x02];
    for (sap, name) in [(1_u16, "GWD1DC0000000001"), (0x0100, "GWD0000000000001")] {
        expect.extend([0x02, 0x02, 0x12]);
        expect.extend(sap.to_be_bytes());
        expect.extend([0x09, 0x10]);
        expect.extend(name.as_bytes());
    }
    assert_eq!(octets, expect);
    assert_eq!(table.changes(), 1);
}

#[test]
fn the_table_survives_restarts_and_torn_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sap.log");
    let (mut table, mut log) = open_table(&path, 0).unwrap();
    for number in 1..=20 {
        let record = table.plan(&name(number), 0).unwrap().unwrap();
        log.append(&[Line::Sap(record.clone())]).unwrap();
        table.apply(&record).unwrap();
    }
    let gone = table.plan_release(&name(7), 55).unwrap();
    log.append(&[Line::Sap(gone.clone())]).unwrap();
    table.apply(&gone).unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    let (again, _) = open_table(&path, 0).unwrap();
    assert_eq!(again.changes(), table.changes());
    assert!(again.iter().eq(table.iter()));
    // What was released rests on, from when it was released.
    let released = SAP_FIRST + 6;
    for (quarantine_s, unix, rests) in [(1_000, 1_054, true), (1_000, 1_055, false)] {
        let (again, _) = open_table(&path, quarantine_s).unwrap();
        let planned = again.plan_at(released, &name(21), unix);
        assert_eq!(planned == Err(SapError::Resting), rests, "{unix}");
    }
    // Cut at every octet of the last line: the line is whole or not there.
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|it| *it == b'\n')
        .unwrap()
        + 1;
    for cut in last..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (cut, _) = open_table(&path, 0).unwrap();
        assert_eq!(cut.len(), 20);
    }
    // Opening wrote it anew; twice more changes nothing.
    let (_, _) = open_table(&path, 0).unwrap();
    let once = std::fs::read(&path).unwrap();
    drop(open_table(&path, 0).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), once);
}

/// Since when a meter has its SAP outlasts restarts; of entries that were written before that was
/// kept it is not known, and not made up.
#[test]
fn since_when_a_sap_is_given_is_kept_and_older_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sap.log");
    let body = "assigned 256 47574430303030303030303030303031";
    let line = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
    std::fs::write(&path, line).unwrap();
    let (mut table, mut log) = open_table(&path, 0).unwrap();
    assert_eq!(table.name_of(256), Some(&name(1)));
    for (number, now) in [(2, 1_795_262_400), (3, 1_795_348_800)] {
        let record = table.plan(&name(number), now).unwrap().unwrap();
        log.append(&[Line::Sap(record.clone())]).unwrap();
        table.apply(&record).unwrap();
    }
    let gone = table.plan_release(&name(3), 1_795_400_000).unwrap();
    log.append(&[Line::Sap(gone)]).unwrap();
    drop(log);
    for _ in 0..2 {
        let (table, _) = open_table(&path, 0).unwrap();
        let since = [256, 257, 258].map(|sap| table.since(sap));
        assert_eq!(since, [None, Some(1_795_262_400), None]);
    }
    // More than a time behind the name is damage.
    let body = format!("{body} 5 6");
    let line = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
    std::fs::write(&path, line.repeat(2)).unwrap();
    assert!(matches!(
        open_table(&path, 0),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn damage_in_the_midst_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sap.log");
    let (mut table, mut log) = open_table(&path, 0).unwrap();
    for number in 1..=5 {
        let record = table.plan(&name(number), 0).unwrap().unwrap();
        log.append(&[Line::Sap(record.clone())]).unwrap();
        table.apply(&record).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    for bit in 0..8 {
        let mut bad = whole.clone();
        bad[middle] ^= 1 << bit;
        std::fs::write(&path, &bad).unwrap();
        assert!(
            matches!(open_table(&path, 0), Err(StoreError::Damaged { .. })),
            "bit {bit}"
        );
    }
    // Two lines that contradict each other, each whole.
    std::fs::remove_file(&path).unwrap();
    let twice = Line::Sap(Record::Assigned {
        sap: 0x0100,
        name: name(1),
        at: Some(0),
    });
    let mut log = Log::compact(&path, &[]).unwrap();
    log.append(&[twice.clone(), twice]).unwrap();
    assert!(open_table(&path, 0).is_err());
}
