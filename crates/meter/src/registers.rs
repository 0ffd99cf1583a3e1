//! Metrology behind a breaker and a supply that may fail.

use std::sync::Arc;

use model::Timestamp;

use crate::metrology::{Energy, Load, MWS_PER_WH, Mains, Source};
use crate::template::Quantity;

/// How many outages one meter may be given.
pub const OUTAGES_MAX: usize = 64;

/// A time without supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outage {
    /// When the supply went.
    pub from: Timestamp,
    /// When it came back.
    pub to: Timestamp,
}

/// The registers of a meter: what its source would have counted, less what did not flow.
#[derive(Clone, Debug)]
pub struct Registers {
    source: Arc<dyn Source>,
    /// In order, none touching another.
    outages: Vec<Outage>,
    /// What did not flow while the breaker was open, before it was closed last.
    skipped: Energy,
    /// Since when the breaker is open.
    open_since: Option<Timestamp>,
}

impl Registers {
    /// Makes the registers of a source with outages, of which the first [`OUTAGES_MAX`] count.
    pub fn new(source: Arc<dyn Source>, mut outages: Vec<Outage>) -> Self {
        outages.retain(|outage| outage.from < outage.to);
        outages.sort_unstable();
        outages.truncate(OUTAGES_MAX);
        let mut joined: Vec<Outage> = Vec::with_capacity(outages.len());
        for outage in outages {
            match joined.last_mut().filter(|last| outage.from <= last.to) {
                Some(last) => last.to = last.to.max(outage.to),
                None => joined.push(outage),
            }
        }
        Self {
            source,
            outages: joined,
            skipped: Energy::default(),
            open_since: None,
        }
    }

    /// Returns the outages in order.
    pub fn outages(&self) -> &[Outage] {
        &self.outages
    }

    /// Says whether there is supply.
    pub fn supplied(&self, at: Timestamp) -> bool {
        !self
            .outages
            .iter()
            .any(|outage| (outage.from..outage.to).contains(&at))
    }

    /// Returns what the breaker kept back before it was closed last, and since when it is open.
    pub const fn breaker(&self) -> (Energy, Option<Timestamp>) {
        (self.skipped, self.open_since)
    }

    /// Goes on from what [`breaker`](Self::breaker) returned.
    pub const fn restore(&mut self, skipped: Energy, open_since: Option<Timestamp>) {
        self.skipped = skipped;
        self.open_since = open_since;
    }

    /// Tells that the breaker is open or closed from `now` on.
    pub fn switch(&mut self, now: Timestamp, closed: bool) {
        match (self.open_since, closed) {
            (None, false) => self.open_since = Some(now),
            (Some(since), true) => {
                let kept = self.supplied_energy(now).since(self.supplied_energy(since));
                self.skipped = self.skipped.plus(kept);
                self.open_since = None;
            }
            _ => {}
        }
    }

    /// Returns the energy registers at a time from now on or since the breaker last moved.
    pub fn energy(&self, at: Timestamp) -> Energy {
        let until = self.open_since.map_or(at, |since| since.min(at));
        self.supplied_energy(until).since(self.skipped)
    }

    /// Returns the power that flows.
    pub fn load(&self, at: Timestamp) -> Load {
        let open = self.open_since.is_some_and(|since| since <= at);
        if open || !self.supplied(at) {
            return Load::default();
        }
        self.source.load(at)
    }

    /// Returns the supply in front of the breaker.
    pub fn mains(&self, at: Timestamp) -> Mains {
        if !self.supplied(at) {
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

    /// What the source counted while there was supply.
    fn supplied_energy(&self, at: Timestamp) -> Energy {
        let mut missed = Energy::default();
        for outage in self.outages.iter().take_while(|outage| outage.from < at) {
            let until = outage.to.min(at);
            let span = self
                .source
                .energy(until)
                .since(self.source.energy(outage.from));
            missed = missed.plus(span);
        }
        self.source.energy(at).since(missed)
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

    fn registers(outages: &[(i64, i64)]) -> Registers {
        let source = Fixed {
            import_w: 360,
            export_w: 0,
        };
        let outages = outages
            .iter()
            .map(|(from, to)| Outage {
                from: at(*from),
                to: at(*to),
            })
            .collect();
        Registers::new(Arc::new(source), outages)
    }

    fn wh(registers: &Registers, secs: i64) -> u64 {
        registers.value(Quantity::EnergyImport, at(secs))
    }

    #[test]
    fn nothing_flows_without_supply_or_through_an_open_breaker() {
        // 360 W are 0.1 Wh a second.
        let mut registers = registers(&[(2_000, 3_000), (2_500, 3_500), (9_000, 9_000)]);
        assert_eq!(registers.outages().len(), 1);
        assert_eq!(wh(&registers, 1_000), 100);
        assert_eq!(wh(&registers, 2_500), 200);
        assert_eq!(wh(&registers, 4_000), 250);
        assert_eq!(registers.value(Quantity::PowerImport, at(2_100)), 0);
        assert_eq!(registers.value(Quantity::VoltageL1, at(2_100)), 0);
        registers.switch(at(4_000), false);
        registers.switch(at(4_500), false);
        assert_eq!(wh(&registers, 5_000), 250);
        assert_eq!(registers.value(Quantity::PowerImport, at(5_000)), 0);
        assert_eq!(registers.value(Quantity::VoltageL1, at(5_000)), 2_300);
        registers.switch(at(6_000), true);
        assert_eq!(wh(&registers, 6_000), 250);
        assert_eq!(wh(&registers, 7_000), 350);
        assert_eq!(registers.value(Quantity::PowerImport, at(7_000)), 360);
        assert_eq!(registers.value(Quantity::CurrentL1, at(7_000)), 156);
    }

    #[test]
    fn an_outage_behind_an_open_breaker_counts_once() {
        let mut registers = registers(&[(2_000, 3_000)]);
        registers.switch(at(1_500), false);
        assert_eq!(wh(&registers, 3_500), 150);
        registers.switch(at(4_000), true);
        assert_eq!(wh(&registers, 5_000), 250);
    }
}
