//! Metrology behind a breaker and a supply that may fail.

use std::sync::Arc;

use model::Timestamp;

use crate::metrology::{Energy, Load, MWS_PER_WH, Mains, Source};
use crate::template::Quantity;

/// A time without supply, by the true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outage {
    /// When the supply went.
    pub from: Timestamp,
    /// When it came back.
    pub to: Timestamp,
}

/// The registers of a meter: what its source would have counted, less what did not flow. Breaker
/// and supply move in the order of time.
#[derive(Clone, Debug)]
pub struct Registers {
    source: Arc<dyn Source>,
    flow: Flow,
}

/// Whether current can flow, and what did not flow while it could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What did not flow before current could flow again.
    pub skipped: Energy,
    /// Since when no current can flow.
    pub off_since: Option<Timestamp>,
    /// Whether the breaker is closed.
    pub closed: bool,
    /// Whether there is supply.
    pub supplied: bool,
}

impl Registers {
    /// Makes the registers of a source behind a closed breaker, with supply.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            flow: Flow {
                skipped: Energy::default(),
                off_since: None,
                closed: true,
                supplied: true,
            },
        }
    }

    /// Returns what must outlive a restart.
    pub const fn flow(&self) -> Flow {
        self.flow
    }

    /// Goes on from what [`flow`](Self::flow) returned; what contradicts itself is refused.
    #[must_use]
    pub const fn restore(&mut self, flow: Flow) -> bool {
        let sound = flow.off_since.is_none() == (flow.closed && flow.supplied);
        if sound {
            self.flow = flow;
        }
        sound
    }

    /// Says whether there is supply.
    pub const fn is_supplied(&self) -> bool {
        self.flow.supplied
    }

    /// Tells that the breaker is open or closed from `at` on.
    pub fn switch(&mut self, at: Timestamp, closed: bool) {
        self.flow.closed = closed;
        self.settle(at);
    }

    /// Tells that the supply is gone or back from `at` on.
    pub fn supply(&mut self, at: Timestamp, supplied: bool) {
        self.flow.supplied = supplied;
        self.settle(at);
    }

    fn settle(&mut self, at: Timestamp) {
        let flows = self.flow.closed && self.flow.supplied;
        match (self.flow.off_since, flows) {
            (None, false) => self.flow.off_since = Some(at),
            (Some(since), true) => {
                let kept = self.source.energy(at).since(self.source.energy(since));
                self.flow.skipped = self.flow.skipped.plus(kept);
                self.flow.off_since = None;
            }
            _ => {}
        }
    }

    /// Returns the energy registers at a time since breaker or supply last moved.
    pub fn energy(&self, at: Timestamp) -> Energy {
        let until = self.flow.off_since.map_or(at, |since| since.min(at));
        self.source.energy(until).since(self.flow.skipped)
    }

    /// Returns the power that flows.
    pub fn load(&self, at: Timestamp) -> Load {
        if self.flow.off_since.is_some() {
            return Load::default();
        }
        self.source.load(at)
    }

    /// Returns the supply in front of the breaker.
    pub fn mains(&self, at: Timestamp) -> Mains {
        if !self.flow.supplied {
            return Mains::default();
        }
        self.source.mains(at)
    }

    /// Returns a quantity in the unit that [`Quantity`] names.
    pub fn value(&self, quantity: Quantity, at: Timestamp) -> u64 {
        if quantity.is_energy() {
            return energy_wh(quantity, &self.energy(at)).unwrap_or(0);
        }
        let watts = |mw: u64| (mw + 500) / 1_000;
        let load = || self.load(at);
        let volts = || self.mains(at).voltage_dv.map(u64::from);
        let amperes = || load().current_ca(self.mains(at));
        let phase = |values: [u64; 3], phase: usize| values.get(phase).copied().unwrap_or(0);
        match quantity {
            Quantity::PowerImport => watts(load().import_mw.iter().sum()),
            Quantity::PowerImportL1 => watts(phase(load().import_mw, 0)),
            Quantity::PowerImportL2 => watts(phase(load().import_mw, 1)),
            Quantity::PowerImportL3 => watts(phase(load().import_mw, 2)),
            Quantity::PowerExport => watts(load().export_mw.iter().sum()),
            Quantity::PowerExportL1 => watts(phase(load().export_mw, 0)),
            Quantity::PowerExportL2 => watts(phase(load().export_mw, 1)),
            Quantity::PowerExportL3 => watts(phase(load().export_mw, 2)),
            Quantity::VoltageL1 => phase(volts(), 0),
            Quantity::VoltageL2 => phase(volts(), 1),
            Quantity::VoltageL3 => phase(volts(), 2),
            Quantity::Current => amperes().iter().sum(),
            Quantity::CurrentL1 => phase(amperes(), 0),
            Quantity::CurrentL2 => phase(amperes(), 1),
            Quantity::CurrentL3 => phase(amperes(), 2),
            _ => 0,
        }
    }

    /// Returns energies, worked out once for all of them; other quantities are 0.
    pub fn energies<const N: usize>(&self, quantities: &[Quantity], at: Timestamp) -> [u64; N] {
        let energy = self.energy(at);
        let mut values = [0; N];
        for (slot, quantity) in values.iter_mut().zip(quantities) {
            *slot = energy_wh(*quantity, &energy).unwrap_or(0);
        }
        values
    }
}

/// Returns an energy in Wh; `None` for what is no energy.
fn energy_wh(quantity: Quantity, energy: &Energy) -> Option<u64> {
    let ([import_1, import_2], [export_1, export_2]) = (energy.import, energy.export);
    let mws = match quantity {
        Quantity::EnergyImport => energy.import_mws(),
        Quantity::EnergyImport1 => import_1,
        Quantity::EnergyImport2 => import_2,
        Quantity::EnergyExport => energy.export_mws(),
        Quantity::EnergyExport1 => export_1,
        Quantity::EnergyExport2 => export_2,
        _ => return None,
    };
    Some(mws / MWS_PER_WH)
}

#[cfg(test)]
mod tests {
    //! Evidence: figures worked out by hand over a source of constant power.
    use super::*;
    use crate::metrology::Fixed;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn registers() -> Registers {
        // 360 W are 0.1 Wh a second.
        Registers::new(Arc::new(Fixed {
            import_w: 360,
            export_w: 0,
        }))
    }

    fn value(registers: &Registers, quantity: Quantity, secs: i64) -> u64 {
        registers.value(quantity, at(secs))
    }

    #[test]
    fn nothing_flows_without_supply_or_through_an_open_breaker() {
        let mut registers = registers();
        assert_eq!(value(&registers, Quantity::EnergyImport, 2_000), 200);
        registers.supply(at(2_000), false);
        assert_eq!(value(&registers, Quantity::EnergyImport, 2_500), 200);
        assert_eq!(value(&registers, Quantity::PowerImport, 2_500), 0);
        assert_eq!(value(&registers, Quantity::VoltageL1, 2_500), 0);
        registers.supply(at(3_500), true);
        assert_eq!(value(&registers, Quantity::EnergyImport, 4_000), 250);
        registers.switch(at(4_000), false);
        registers.switch(at(4_500), false);
        assert_eq!(value(&registers, Quantity::EnergyImport, 5_000), 250);
        assert_eq!(value(&registers, Quantity::PowerImport, 5_000), 0);
        assert_eq!(value(&registers, Quantity::VoltageL1, 5_000), 2_300);
        registers.switch(at(6_000), true);
        assert_eq!(value(&registers, Quantity::EnergyImport, 6_000), 250);
        assert_eq!(value(&registers, Quantity::EnergyImport, 7_000), 350);
        assert_eq!(value(&registers, Quantity::PowerImport, 7_000), 360);
        assert_eq!(value(&registers, Quantity::CurrentL1, 7_000), 156);
    }

    #[test]
    fn an_outage_behind_an_open_breaker_counts_once() {
        let mut registers = registers();
        registers.switch(at(1_500), false);
        registers.supply(at(2_000), false);
        registers.supply(at(3_000), true);
        assert_eq!(value(&registers, Quantity::EnergyImport, 3_500), 150);
        registers.switch(at(4_000), true);
        assert_eq!(value(&registers, Quantity::EnergyImport, 5_000), 250);
        assert!(!registers.restore(Flow {
            closed: false,
            ..registers.flow()
        }));
    }
}
