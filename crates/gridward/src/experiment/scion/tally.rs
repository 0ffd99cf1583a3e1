//! Readings one after the other over one association, and what each took.

use std::time::Duration;

use dlms::cosem::{AttributeDescriptor, Obis};
use link::{Association, Client, Clock as _, Endpoint, Surroundings, SystemClock};
use model::MessageClass;

use super::super::report::Goal;
use crate::failure::{Failure, chain};

/// The meter's name: what its public client may read.
const NAME: AttributeDescriptor = AttributeDescriptor::new(1, Obis::new(0, 0, 42, 0, 0, 255), 2);

/// Time between two readings.
pub(super) const APART: Duration = Duration::from_millis(5);

/// How long an association may take to come to stand.
const LIMIT: Duration = Duration::from_secs(60);

/// The worst of several tallies, and sums over them.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) longest_ms: f64,
    /// The median of the slowest tally.
    pub(super) usual_ms: f64,
    pub(super) readings: u64,
    pub(super) lost: u64,
    /// Repetitions of the tally that has the most.
    pub(super) repeated: u64,
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
    /// Reads once, and waits a little.
    pub(super) async fn read(&mut self, client: &mut Client) {
        let clock = SystemClock::new();
        let before = clock.now();
        match client.read(NAME).await {
            Ok(_) => self
                .took
                .push(clock.now().since(before).as_secs_f64() * 1e3),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a reading is lost");
                self.lost += 1;
            }
        }
        tokio::time::sleep(APART).await;
    }

    /// Adds it to others; `repeated` is how many requests were repeated in it.
    pub(super) fn add_to(mut self, found: &mut Found, repeated: u64) {
        self.took.sort_by(f64::total_cmp);
        let readings = u64::try_from(self.took.len()).unwrap_or(u64::MAX);
        found.readings += readings + self.lost;
        found.lost += self.lost;
        found.repeated = found.repeated.max(repeated);
        // Where nothing came, nothing came in time.
        let longest = self.took.last().copied().unwrap_or(f64::MAX);
        found.longest_ms = found.longest_ms.max(longest);
        let usual = self.took.get(self.took.len() / 2).copied();
        found.usual_ms = found.usual_ms.max(usual.unwrap_or(0.0));
    }
}
