//! Where the registers stood last, kept across restarts: so that a meter that
//! tells zero or less after a power cut is not believed by a gateway that has
//! just started either.

use std::fs;
use std::io;
use std::path::Path;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cache::{Snapshot, Tagged, TimeBasis};
use crate::credential::replace;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    meter: Option<String>,
    delivered: Option<Register>,
    received: Option<Register>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Register {
    thousandths: i64,
    at_ms: i64,
    error_ms: u32,
    by_meter: bool,
    received_ms: i64,
}

impl From<Tagged> for Register {
    fn from(tagged: Tagged) -> Self {
        Self {
            thousandths: tagged.thousandths,
            at_ms: tagged.at.millis(),
            error_ms: tagged.error_ms,
            by_meter: tagged.basis == TimeBasis::Meter,
            received_ms: tagged.received.millis(),
        }
    }
}

impl From<Register> for Tagged {
    fn from(register: Register) -> Self {
        Self {
            thousandths: register.thousandths,
            at: Timestamp::from_millis(register.at_ms),
            error_ms: register.error_ms,
            basis: if register.by_meter {
                TimeBasis::Meter
            } else {
                TimeBasis::Receipt
            },
            received: Timestamp::from_millis(register.received_ms),
        }
    }
}

const FILE: &str = "registers.json";

/// Octets that the file may have.
const FILE_MAX: u64 = 4_096;

/// Tells what was kept in `folder`; nothing where that is nothing, or damaged.
#[must_use]
pub fn kept(folder: &Path) -> Option<Snapshot> {
    let path = folder.join(FILE);
    let length = fs::metadata(&path).ok()?.len();
    if length > FILE_MAX {
        return None;
    }
    let kept: Kept = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    Some(Snapshot {
        meter: kept.meter,
        delivered: kept.delivered.map(Tagged::from),
        received: kept.received.map(Tagged::from),
        ..Snapshot::default()
    })
}

/// Keeps where the registers stand, durably.
///
/// # Errors
/// What the system says.
pub fn keep(folder: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let kept = Kept {
        meter: snapshot.meter.clone(),
        delivered: snapshot.delivered.map(Register::from),
        received: snapshot.received.map(Register::from),
    };
    let text = serde_json::to_vec(&kept).map_err(io::Error::other)?;
    replace(&folder.join(FILE), &text)
}
