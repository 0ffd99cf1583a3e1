//! A small control service: keys that the network derives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use scion::address::IsdAs;
use scion::daemon::{Fields, Value, put_number, put_octets};
use scion::drkey::{Epoch, Protocol, SecretValue};

/// The DRKeys of all ASes: what their daemons answer about them. An AS's
/// secret is its number, so nothing here is one.
#[derive(Debug)]
pub struct Keys {
    epoch_s: u32,
    refuses: AtomicBool,
    /// How often each method was asked.
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Keys {
    pub(super) fn new(epoch: Duration) -> Self {
        Self {
            epoch_s: u32::try_from(epoch.as_secs()).unwrap_or(u32::MAX).max(1),
            refuses: AtomicBool::new(false),
            asked: Mutex::default(),
        }
    }

    /// Has keys refused from now on, or given again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Tells how often a method was asked: `DRKeyHostAS`, `DRKeyHostHost`.
    #[must_use]
    pub fn asked(&self, method: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(method).copied().unwrap_or(0)
    }

    /// Answers a daemon's question; none where it is refused, or none.
    pub(super) fn answer(&self, method: &str, request: &[u8]) -> Option<Vec<u8>> {
        if self.refuses.load(Ordering::SeqCst) {
            return None;
        }
        let (numbers, texts) = fields(request)?;
        let (time, _) = fields(texts.get(&1)?)?;
        let host = |field| -> Option<IpAddr> {
            let text = std::str::from_utf8(texts.get(&field)?).ok()?;
            text.parse().ok()
        };
        let time = u32::try_from(*time.get(&1)?).ok()?;
        let begin = time - time % self.epoch_s;
        let epoch = Epoch::new(begin, begin.checked_add(self.epoch_s)?).ok()?;
        let protocol = Protocol(u16::try_from(*numbers.get(&2)?).ok()?);
        let issuer = numbers.get(&3)?.to_be_bytes();
        let secret = SecretValue::derive(&issuer, protocol.hierarchy(), epoch);
        let level1 = secret.level1(IsdAs::from_u64(*numbers.get(&4)?));
        let key = match method {
            "DRKeyASHost" => level1.as_host(protocol, host(5)?),
            "DRKeyHostAS" => level1.host_as(protocol, host(5)?).octets().clone(),
            "DRKeyHostHost" => level1.host_host(protocol, host(5)?, host(6)?),
            _ => return None,
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked.entry(method.to_owned()).or_default() += 1;
        drop(asked);
        let mut answer = Vec::new();
        for (field, second) in [(1, epoch.begin()), (2, epoch.end())] {
            let mut time = Vec::new();
            put_number(&mut time, 1, second.into());
            put_octets(&mut answer, field, &time);
        }
        put_octets(&mut answer, 3, key.dangerous_octets());
        Some(answer)
    }
}

/// Fields of one kind by their numbers.
type Fielded<T> = BTreeMap<u64, T>;

/// The fields of a message: numbers, and octets.
pub(super) fn fields(octets: &[u8]) -> Option<(Fielded<u64>, Fielded<&[u8]>)> {
    let (mut numbers, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for field in Fields::new(octets) {
        match field.ok()? {
            (field, Value::Number(number)) => drop(numbers.insert(field, number)),
            (field, Value::Octets(octets)) => drop(texts.insert(field, octets)),
            (_, Value::Other) => {}
        }
    }
    Some((numbers, texts))
}
