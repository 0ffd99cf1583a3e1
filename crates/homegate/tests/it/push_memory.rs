//! Counters of pushes across restarts. Evidence: self-agreement; a kill and a
//! power cut are played by what each leaves of the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dlms::security::{Key, SystemTitle};
use homegate::push_memory::{PushMemory, PushMemoryError, RESERVED};
use link::PushCounters as _;

const TITLE: SystemTitle = SystemTitle(*b"GWD\0\0\0\0\x01");
const OTHER: SystemTitle = SystemTitle(*b"GWD\0\0\0\0\x02");

fn key(octet: u8) -> Key {
    Key::from_octets(&[octet; 16]).unwrap()
}

fn open(folder: &Path) -> PushMemory {
    PushMemory::open(folder, &key(1)).unwrap()
}

fn take(memory: &mut PushMemory, counter: u32) {
    memory.keep(&BTreeMap::from([(TITLE, counter)])).unwrap();
}

/// The lowest counter of the title that is taken for sure.
fn floor(memory: &PushMemory) -> Option<u32> {
    memory.windows().window(&TITLE).floor()
}

/// Ends without a destructor, as a kill does.
#[expect(clippy::mem_forget, reason = "a kill runs no destructor")]
fn killed(memory: PushMemory) {
    std::mem::forget(memory);
}

#[test]
fn nothing_is_taken_twice_after_a_kill_and_the_next_is_taken_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = open(folder.path());
    assert_eq!(floor(&memory), Some(0));
    for counter in 0..100 {
        take(&mut memory, counter * 3);
        killed(memory);
        memory = open(folder.path());
        assert_eq!(floor(&memory), Some(counter * 3 + 1));
    }
    // Another title counts for itself.
    assert_eq!(memory.windows().window(&OTHER).floor(), Some(0));
}

#[test]
fn nothing_is_taken_twice_after_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let exact = folder.path().join("push-counters.json");
    for counter in (5..400).step_by(7) {
        let mut memory = open(folder.path());
        let first = floor(&memory).unwrap().max(counter);
        for counter in first..first + 7 {
            take(&mut memory, counter);
        }
        killed(memory);
        // Another boot; what was not synced is gone, old or torn.
        match counter % 3 {
            0 => fs::remove_file(&exact).unwrap(),
            1 => fs::write(&exact, b"{").unwrap(),
            _ => {
                let text = fs::read_to_string(&exact).unwrap();
                let at = text.find("boot\":\"").unwrap() + 7;
                fs::write(&exact, [&text[..at], "x", &text[at + 1..]].concat()).unwrap();
            }
        }
        let again = floor(&open(folder.path())).unwrap();
        assert!(again >= first + 7, "{again} after {}", first + 6);
        assert!(again <= first + 7 + RESERVED, "{again}");
    }
}

#[test]
fn an_orderly_end_refuses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = open(folder.path());
    take(&mut memory, 41);
    drop(memory);
    fs::remove_file(folder.path().join("push-counters.json")).unwrap();
    assert_eq!(floor(&open(folder.path())), Some(42));
    // The last counter of all is taken, and none after it.
    let mut memory = open(folder.path());
    take(&mut memory, u32::MAX);
    drop(memory);
    assert!(
        open(folder.path())
            .windows()
            .window(&TITLE)
            .check(7)
            .is_err()
    );
}

#[test]
fn another_key_starts_anew_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = open(folder.path());
    take(&mut memory, 41);
    drop(memory);
    let other = PushMemory::open(folder.path(), &key(2)).unwrap();
    assert_eq!(floor(&other), Some(0));
    let text = fs::read_to_string(folder.path().join("push-counters-reserved.json")).unwrap();
    assert!(
        !text.contains(&"01".repeat(16)),
        "the key itself is not there"
    );
    for damage in ["", "{", "[]", &"x".repeat(5_000)] {
        fs::write(folder.path().join("push-counters-reserved.json"), damage).unwrap();
        assert!(matches!(
            PushMemory::open(folder.path(), &key(1)),
            Err(PushMemoryError::Damaged(_))
        ));
    }
}
