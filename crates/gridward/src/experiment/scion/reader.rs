//! A client that reads one register again and again, and tells how long each
//! reading took: a process of its own, as a meter is.

use std::time::Duration;

use clap::Args;
use dlms::cosem::{AttributeDescriptor, Obis};
use link::{Clock as _, SystemClock};
use serde_json::json;

use crate::Outcome;
use crate::associate::{AssociationOptions, Session, block_on};
use crate::output::Output;

/// Active energy imported, in all: it never goes down.
const ENERGY: AttributeDescriptor = AttributeDescriptor::new(3, Obis::new(1, 0, 1, 8, 0, 255), 2);

#[derive(Args, Debug)]
pub(in super::super) struct ReaderOptions {
    /// The meter
    place: String,

    #[arg(long)]
    readings: u32,

    /// Milliseconds
    #[arg(long)]
    apart: u64,

    #[command(flatten)]
    association: AssociationOptions,
}

/// What was seen.
#[derive(Default)]
struct Seen {
    latencies: Vec<u64>,
    lost: u32,
    disorder: u32,
    repeated: u64,
    last: u64,
}

pub(in super::super) fn run(options: &ReaderOptions, output: &mut Output<'_, '_>) -> Outcome {
    let destination = options.association.destination(&options.place)?;
    block_on(async {
        let clock = SystemClock::new();
        let mut session = Some(destination.connect().await?);
        let mut seen = Seen::default();
        let begun = clock.now();
        for number in 0..options.readings {
            let due = Duration::from_millis(options.apart) * number;
            tokio::time::sleep(due.saturating_sub(clock.now().since(begun))).await;
            let before = clock.now();
            // One that fails ends its association; the next reading needs
            // another.
            let mut open = match session.take() {
                Some(open) => open,
                None => match destination.connect().await {
                    Ok(open) => open,
                    Err(_) => {
                        seen.lost += 1;
                        continue;
                    }
                },
            };
            let told = open.client.read(ENERGY).await;
            let took = clock.now().since(before);
            match told.ok().and_then(|value| value.as_u64()) {
                Some(value) => {
                    seen.disorder += u32::from(value < seen.last);
                    seen.last = value;
                    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    seen.latencies.push(took);
                    session = Some(open);
                }
                None => {
                    seen.lost += 1;
                    end(open, &mut seen).await;
                }
            }
        }
        if let Some(open) = session {
            end(open, &mut seen).await;
        }
        output.write_json(&json!({
            "latencies_us": seen.latencies,
            "lost": seen.lost,
            "disorder": seen.disorder,
            "repeated": seen.repeated,
        }))
    })
}

async fn end(session: Session, seen: &mut Seen) {
    seen.repeated += session.client.counts().repeated;
    // Whatever it ends with, the readings are what is measured.
    session.end().await.ok();
}
