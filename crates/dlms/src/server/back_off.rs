//! How often a password may be guessed.

use alloc::collections::BTreeMap;

use crate::{Duration, Instant};

/// Wrong passwords that cost no waiting.
const FREE: u8 = 3;

/// The first wait; each further one is twice as long.
const WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// After this long without another try all is forgotten.
const FORGET: Duration = Duration::from_secs(3_600);

/// Clients that are remembered; beyond that the one that may try again
/// soonest is forgotten.
const CLIENTS_MAX: usize = 64;

/// Makes guessing passwords slow: after some wrong ones a client's passwords
/// are not even looked at for a while, and that while doubles.
///
/// Only mechanism 1 needs it. High level security cannot be guessed, and
/// whoever could lock its clients out would need no password to do harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    clients: BTreeMap<u16, Failures>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failures {
    count: u8,
    until: Instant,
}

impl BackOff {
    /// Tells whether a client's password is looked at.
    #[must_use]
    pub fn allows(&self, client: u16, now: Instant) -> bool {
        self.clients
            .get(&client)
            .is_none_or(|failures| now >= failures.until)
    }

    /// Notes a wrong password; tells whether waiting begins with this one.
    pub fn failed(&mut self, client: u16, now: Instant) -> bool {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            let soonest = self
                .clients
                .iter()
                .min_by_key(|(_, failures)| failures.until)
                .map(|(client, _)| *client);
            soonest.map(|client| self.clients.remove(&client));
        }
        let failures = self.clients.entry(client).or_insert(Failures {
            count: 0,
            until: now,
        });
        if now > failures.until + FORGET {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        let Some(doublings) = failures.count.checked_sub(FREE) else {
            failures.until = now;
            return false;
        };
        let wait = WAIT
            .checked_mul(1_u32.checked_shl(doublings.into()).unwrap_or(u32::MAX))
            .map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX));
        failures.until = now + wait;
        doublings == 0
    }

    /// Forgets what a client that has shown its password did before.
    pub fn succeeded(&mut self, client: u16) {
        self.clients.remove(&client);
    }
}
