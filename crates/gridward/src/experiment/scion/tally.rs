//! Readings one after the other over one association, and what each took.

use std::time::Duration;

use dlms::cosem::{AttributeDescriptor, Obis};
use link::{Association, Client, Clock as _, Endpoint, Surroundings, SystemClock};
use model::MessageClass;

use super::super::report::{Goal, grouped};
use super::Extent;
use crate::failure::{Failure, chain};

/// The meter's name: what its public client may read.
const NAME: AttributeDescriptor = AttributeDescriptor::new(1, Obis::new(0, 0, 42, 0, 0, 255), 2);

/// Time between two readings.
pub(super) const APART: Duration = Duration::from_millis(5);

/// What a doubled message may take, in milliseconds, whatever is lost.
pub(super) const URGENT_MS: f64 = 30.0;

/// How long an association may take to come to stand.
const LIMIT: Duration = Duration::from_secs(60);

/// A pattern of paths through the domain that the fence forbids.
const FORBIDDEN: &str = "0* 3+ 0*";

/// How long is tried to get something through where nothing may come back.
const ASTRAY: Duration = Duration::from_secs(2);

/// The worst of several tallies, and sums over them.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) longest_ms: f64,
    /// The slowest of those that came right after a cut.
    pub(super) after_ms: f64,
    /// The median of the slowest tally.
    pub(super) usual_ms: f64,
    pub(super) readings: u64,
    /// Those that took [`URGENT_MS`] or more.
    pub(super) late: u64,
    pub(super) lost: u64,
    /// Repetitions of the tally that has the most.
    pub(super) repeated: u64,
}

/// Packets by counters of the network, not by the program's own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// On links that the fence forbids.
    pub(super) forbidden: u64,
    /// On those that all allowed paths cross.
    pub(super) packets: u64,
    /// On forbidden links, sent there on purpose when all was measured, so that
    /// it is known that they would have been counted.
    pub(super) on_purpose: u64,
}

/// What is wanted of a fence: that none of so many packets crossed a forbidden
/// link, by the counters of `whose`.
pub(super) fn kept_off(forbidden: u64, packets: u64, extent: Extent, whose: &str) -> Goal {
    let of = match extent.packets {
        0 | 1 => String::new(),
        least => format!(" of {} or more", grouped(&least.to_string())),
    };
    Goal {
        wanted: format!("no packet{of} on a forbidden link, by the {whose} own counters"),
        found: format!("{forbidden} of {} packets", grouped(&packets.to_string())),
        met: forbidden == 0 && packets >= extent.packets.max(1),
    }
}

impl Counted {
    /// The same where it was seen as well that such packets are counted.
    pub(super) fn goal(self, extent: Extent, whose: &str) -> Goal {
        let goal = kept_off(self.forbidden, self.packets, extent, whose);
        Goal {
            found: format!("{}; sent there on purpose: {}", goal.found, self.on_purpose),
            met: goal.met && self.on_purpose > 0,
            ..goal
        }
    }
}

/// Sends through the third domain. The meter, whose fence forbids that too,
/// answers on another path or not at all.
pub(super) async fn send_astray(endpoint: &Endpoint) {
    let mut endpoint = endpoint.clone();
    if let Some(options) = endpoint.scion_mut() {
        options.fence = None;
        options.pattern = FORBIDDEN.parse().ok();
    }
    let tried = open(&endpoint, MessageClass::Usage);
    drop(tokio::time::timeout(ASTRAY, tried).await);
}

/// What is wanted of all readings, whatever was lost on the way: none lost, one repeated at most,
/// and none of those that went twice. `repeated` is the most of one tally, of usual and of doubled
/// messages; `loss` and `losses` name what was lost, `for a cut` and `whatever is cut`.
pub(super) fn goals(lost: u64, repeated: [u64; 2], loss: &str, losses: &str) -> [Goal; 3] {
    let [usual, doubled] = repeated;
    let goal = |wanted: String, found: u64, met: bool| Goal {
        wanted,
        found: found.to_string(),
        met,
    };
    [
        goal("no reading lost".to_owned(), lost, lost == 0),
        goal(
            format!("at most one reading repeated {loss}"),
            usual,
            usual <= 1,
        ),
        goal(
            format!("doubled messages are not repeated, {losses}"),
            doubled,
            doubled == 0,
        ),
    ]
}

/// Readings around one cut.
#[derive(Debug, Default)]
pub(super) struct Tally {
    took: Vec<f64>,
    lost: u64,
}

/// Opens an association of the public client, which reads in this class.
pub(super) async fn open(endpoint: &Endpoint, class: MessageClass) -> Result<Client, Failure> {
    let association = Association::public(1);
    let client = Client::connect(endpoint, association, &Surroundings::system(), LIMIT).await;
    let mut client =
        client.map_err(|error| Failure::new(format!("{endpoint}: {}", chain(&error))))?;
    client.set_class(class);
    Ok(client)
}

impl Tally {
    /// Reads once, and waits a little; tells what that took, in milliseconds,
    /// none where nothing came.
    pub(super) async fn read(&mut self, client: &mut Client) -> Option<f64> {
        let clock = SystemClock::new();
        let before = clock.now();
        let took = match client.read(NAME).await {
            Ok(_) => Some(clock.now().since(before).as_secs_f64() * 1e3),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a reading is lost");
                self.lost += 1;
                None
            }
        };
        self.took.extend(took);
        tokio::time::sleep(APART).await;
        took
    }

    /// Adds it to others; `repeated` is how many requests were repeated in it.
    pub(super) fn add_to(mut self, found: &mut Found, repeated: u64) {
        self.took.sort_by(f64::total_cmp);
        let readings = u64::try_from(self.took.len()).unwrap_or(u64::MAX);
        found.readings += readings + self.lost;
        let late = self.took.iter().filter(|took| **took >= URGENT_MS).count();
        found.late += u64::try_from(late).unwrap_or(u64::MAX);
        found.lost += self.lost;
        found.repeated = found.repeated.max(repeated);
        // Where nothing came, nothing came in time.
        let longest = self.took.last().copied().unwrap_or(f64::MAX);
        found.longest_ms = found.longest_ms.max(longest);
        let usual = self.took.get(self.took.len() / 2).copied();
        found.usual_ms = found.usual_ms.max(usual.unwrap_or(0.0));
    }
}
