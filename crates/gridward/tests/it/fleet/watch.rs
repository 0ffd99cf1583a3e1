//! Somebody who sees every message on its way: its time and place for the
//! trace, and the counters of what is ciphered.
//!
//! Replies to challenges carry counters inside what is ciphered; those are
//! taken from the same reserved blocks, which the store watches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Mutex;

use dlms::acse::{Aare, Aarq};
use dlms::codec::Wire as _;
use dlms::security::{Header, SystemTitle};
use link::Clock as _;
use sim::{Passed, SimClock, Tap};

/// The head end's system title.
pub(super) const HEAD_END: SystemTitle = SystemTitle(*b"HES\0\0\0\0\x01");

/// Faults that are told.
const FAULTS_MAX: usize = 20;

pub(super) struct Watch {
    clock: SimClock,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    trace: DefaultHasher,
    messages: u64,
    /// By place, sender and counter: a digest of the octets that had it.
    counters: BTreeMap<(String, bool), BTreeMap<u32, u64>>,
    faults: Vec<String>,
}

impl Watch {
    pub(super) fn new(clock: SimClock) -> Self {
        Self {
            clock,
            seen: Mutex::default(),
        }
    }

    /// Notes what must not be.
    pub(super) fn fault(&self, fault: String) {
        let faults = &mut self.seen.lock().unwrap().faults;
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }

    /// Tells the digest of all messages, how many there were, and what must
    /// not have been.
    pub(super) fn told(&self) -> (u64, u64, Vec<String>) {
        let seen = self.seen.lock().unwrap();
        (seen.trace.finish(), seen.messages, seen.faults.clone())
    }
}

fn digest(octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(octets);
    hasher.finish()
}

/// The ciphered part of an APDU: all of it, or what opens an association.
fn ciphered(apdu: &[u8]) -> Option<(u32, u64)> {
    let part = match apdu.first()? {
        0x60 => Aarq::from_octets(apdu).ok()?.user_information?.to_vec(),
        0x61 => Aare::from_octets(apdu).ok()?.user_information?.to_vec(),
        _ => apdu.to_vec(),
    };
    let header = Header::decode(&part).ok()?;
    Some((header.counter, digest(&part)))
}

impl Tap for Watch {
    fn passed(&self, passed: &Passed<'_>) {
        let at = self.clock.now().as_micros();
        let payload = &passed.message.payload;
        let mut seen = self.seen.lock().unwrap();
        seen.messages += 1;
        seen.trace.write_u64(at);
        seen.trace.write(passed.place.as_bytes());
        seen.trace.write_u8(u8::from(passed.answer));
        seen.trace.write(payload);
        let Some((counter, octets)) = ciphered(payload) else {
            return;
        };
        let used = seen
            .counters
            .entry((passed.place.to_owned(), passed.answer))
            .or_default();
        // The same octets once more are a repetition, and give nothing away.
        let before = used.insert(counter, octets);
        if before.is_some_and(|before| before != octets) {
            let fault = format!("{passed:?}: counter {counter} was used before");
            drop(seen);
            self.fault(fault);
        }
    }
}
