//! What a meter measures, as a function of time and a seed and nothing else.
//!
//! Powers are whole milliwatts and constant within a second; energies are their exact sums, so a
//! register never drifts from the power it shows. A value at any time costs the same, however
//! long the meter has run, which makes ten thousand meters in one process cheap.
//!
//! Rate 2 is the day rate, Monday to Friday from 7 to 23 o'clock; rate 1 is the rest. Both hold
//! at UTC+1 all year, as ripple control that knows no summer has it.

mod curve;
mod household;

use std::fmt;
use std::sync::Arc;

use model::Timestamp;

pub use household::Household;

/// Milliwatt-seconds in a watt-hour.
pub(crate) const MWS_PER_WH: u64 = 3_600_000;

/// Something that tells power and energy at any time.
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns the registers at a time. They never fall as time goes on.
    fn energy(&self, at: Timestamp) -> Energy;

    /// Returns the power that flows during the second of `at`.
    fn load(&self, at: Timestamp) -> Load;

    /// Returns the supply at a time.
    fn mains(&self, at: Timestamp) -> Mains;
}

/// Energy registers in mW·s, by rate: index 0 is rate 1, index 1 is rate 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Energy {
    /// Active energy drawn, +A.
    pub import: [u64; 2],
    /// Active energy fed in, −A.
    pub export: [u64; 2],
}

impl Energy {
    /// Returns the energy drawn in both rates, in mW·s.
    pub const fn import_mws(&self) -> u64 {
        let [low, high] = self.import;
        low + high
    }

    /// Returns the energy fed in in both rates, in mW·s.
    pub const fn export_mws(&self) -> u64 {
        let [low, high] = self.export;
        low + high
    }

    /// Returns the energy since `earlier`, 0 where that is ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    /// Returns the sum with `more`.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        self.zip(more, u64::saturating_add)
    }

    fn zip(self, other: Self, op: fn(u64, u64) -> u64) -> Self {
        let [i1, i2] = self.import;
        let [e1, e2] = self.export;
        let [oi1, oi2] = other.import;
        let [oe1, oe2] = other.export;
        Self {
            import: [op(i1, oi1), op(i2, oi2)],
            export: [op(e1, oe1), op(e2, oe2)],
        }
    }
}

/// Power by phase, in mW.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Active power drawn on L1, L2, L3.
    pub import_mw: [u64; 3],
    /// Active power fed in on L1, L2, L3.
    pub export_mw: [u64; 3],
}

impl Load {
    /// Returns the current on each phase in hundredths of an ampere, at the voltages of `mains`
    /// and a power factor of one.
    pub fn current_ca(&self, mains: Mains) -> [u64; 3] {
        let mut current = [0; 3];
        let power = self.import_mw.iter().zip(self.export_mw);
        for ((slot, (import, export)), voltage) in
            current.iter_mut().zip(power).zip(mains.voltage_dv)
        {
            // mW / dV = 10⁻² A.
            *slot = (import + export)
                .checked_div(u64::from(voltage))
                .unwrap_or(0);
        }
        current
    }
}

/// The supply by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mains {
    /// Voltage of L1, L2, L3 against neutral in tenths of a volt; 0 where not connected.
    pub voltage_dv: [u16; 3],
}

/// The same power for ever, from 1970 on, on L1 at 230 V and in rate 1: for tests, whose
/// expected values can be worked out by hand.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// Power drawn in W.
    pub import_w: u32,
    /// Power fed in in W.
    pub export_w: u32,
}

impl Source for Fixed {
    fn energy(&self, at: Timestamp) -> Energy {
        let seconds = u64::try_from(at.secs()).unwrap_or(0);
        Energy {
            import: [seconds * u64::from(self.import_w) * 1_000, 0],
            export: [seconds * u64::from(self.export_w) * 1_000, 0],
        }
    }

    fn load(&self, _: Timestamp) -> Load {
        Load {
            import_mw: [u64::from(self.import_w) * 1_000, 0, 0],
            export_mw: [u64::from(self.export_w) * 1_000, 0, 0],
        }
    }

    fn mains(&self, _: Timestamp) -> Mains {
        Mains {
            voltage_dv: [2_300, 0, 0],
        }
    }
}

/// What a meter sees of a load that was led around it: from a time on nothing.
#[derive(Clone, Debug)]
pub struct Bypassed {
    /// What is drawn behind it.
    pub source: Arc<dyn Source>,
    /// When it was bypassed.
    pub from: Timestamp,
}

impl Source for Bypassed {
    fn energy(&self, at: Timestamp) -> Energy {
        self.source.energy(at.min(self.from))
    }

    fn load(&self, at: Timestamp) -> Load {
        if at < self.from {
            self.source.load(at)
        } else {
            Load::default()
        }
    }

    fn mains(&self, at: Timestamp) -> Mains {
        self.source.mains(at)
    }
}

/// Draws a number from a seed, a purpose and an index: SplitMix64 (Steele, Lea, Flood 2014) over
/// each in turn. No secret is drawn so.
pub(crate) const fn draw(seed: u64, purpose: u64, index: u64) -> u64 {
    mix(mix(mix(seed) ^ purpose) ^ index)
}

const fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn a_bypassed_meter_counts_what_it_counted_before_and_no_more() {
        let source = Fixed {
            import_w: 1_000,
            export_w: 0,
        };
        let from = Timestamp::from_secs(7_200);
        let bypassed = Bypassed {
            source: Arc::new(source),
            from,
        };
        for secs in [0, 3_600, 7_199] {
            let at = Timestamp::from_secs(secs);
            assert_eq!(bypassed.energy(at), source.energy(at));
            assert_eq!(bypassed.load(at), source.load(at));
        }
        for secs in [7_200, 90_000] {
            let at = Timestamp::from_secs(secs);
            assert_eq!(bypassed.energy(at).import_mws(), 2_000 * MWS_PER_WH);
            assert_eq!(bypassed.load(at), Load::default());
            assert_eq!(bypassed.mains(at), source.mains(at), "its supply stays");
        }
    }
}
