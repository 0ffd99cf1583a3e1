//! The state of a meter as the journal holds it: slots, each of which replaces the one before.
//!
//! Numbers are LEB128, signed ones zigzag. A later version may add fields at the end of a slot;
//! what is missing keeps its value.

use dlms::axdr::DateTime;
use model::{BreakerState, IMAGE_NAME_LEN_MAX, IntervalStatus, Timestamp};

use super::Device;
use crate::breaker::{Breaker, ControlMode};
use crate::journal::{Durable, JournalError, Record, STATE_LEN_MAX};
use crate::metrology::Energy;
use crate::registers::Flow;
use crate::varint::{put_i64, put_u64, take_i64, take_u64};

/// A part of a meter's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Clock,
    Breaker,
    Message,
    Tally,
    /// Version and name of the firmware that runs: the image store has them too, and may be lost.
    Firmware,
    /// Keys and policy of an association, by its place in the model.
    Keys(u8),
    /// Counters of an association.
    Counters(u8),
}

const KEYS: u8 = 0x20;
const COUNTERS: u8 = 0x40;

impl Slot {
    const fn number(self) -> u8 {
        match self {
            Self::Clock => 1,
            Self::Breaker => 2,
            Self::Message => 3,
            Self::Tally => 4,
            Self::Firmware => 5,
            Self::Keys(index) => KEYS | index & 0x0F,
            Self::Counters(index) => COUNTERS | index & 0x0F,
        }
    }

    const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Clock),
            2 => Some(Self::Breaker),
            3 => Some(Self::Message),
            4 => Some(Self::Tally),
            5 => Some(Self::Firmware),
            0x20..=0x2F => Some(Self::Keys(number & 0x0F)),
            0x40..=0x4F => Some(Self::Counters(number & 0x0F)),
            _ => None,
        }
    }
}

impl Device {
    /// Returns the slots that this meter has.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let secured = self.secured.iter().map(|secured| secured.index.0);
        let ran = self.ran.is_some().then_some(Slot::Firmware);
        [Slot::Clock, Slot::Breaker, Slot::Message, Slot::Tally]
            .into_iter()
            .chain(ran)
            .chain(secured.flat_map(|index| [Slot::Keys(index), Slot::Counters(index)]))
    }

    /// Adds the present state of a slot to the journal.
    pub(super) fn store(&self, slot: Slot, journal: &mut dyn Durable) -> Result<(), JournalError> {
        let mut octets = Vec::new();
        self.put_slot(slot, &mut octets);
        debug_assert!(octets.len() <= STATE_LEN_MAX, "a slot is too long");
        let record = Record::State {
            slot: slot.number(),
            octets: &octets,
        };
        journal.append(self.title, &record)?;
        Ok(())
    }

    fn put_slot(&self, slot: Slot, out: &mut Vec<u8>) {
        match slot {
            Slot::Clock => {
                let (offset_ms, set_at) = self.clock.setting();
                put_i64(out, offset_ms);
                put_i64(out, set_at.millis());
                let rules = self.clock.rules();
                put_i64(out, i64::from(rules.time_zone));
                out.extend_from_slice(&rules.daylight_savings_begin);
                out.extend_from_slice(&rules.daylight_savings_end);
                out.push(u8::from(rules.daylight_savings_enabled));
                put_i64(out, self.next_capture_s);
                let newest = self.pending_rows.last().map(|(_, row)| row);
                let last = newest.or_else(|| self.history.last());
                put_u64(out, last.map_or(0, |row| row.sequence + 1));
            }
            Slot::Breaker => {
                out.push(self.breaker.state().control_state());
                out.push(self.breaker.mode().number());
                let flow = self.registers.flow();
                out.push(u8::from(flow.supplied));
                let skipped = flow.skipped;
                for value in skipped.import.into_iter().chain(skipped.export) {
                    put_u64(out, value);
                }
                if let Some(since) = flow.off_since {
                    put_i64(out, since.millis());
                }
            }
            Slot::Message => out.extend_from_slice(&self.message),
            Slot::Tally => {
                out.push(self.tally.status.bits());
                for value in [
                    self.tally.alarm_register,
                    self.tally.alarm_filter,
                    self.tally.power_failures,
                    self.tally.long_power_failures,
                ] {
                    put_u64(out, u64::from(value));
                }
                put_i64(out, self.tally.outages_until.millis());
            }
            Slot::Firmware => {
                if let Some((version, name)) = &self.ran {
                    put_u64(out, u64::from(*version));
                    out.extend_from_slice(name);
                }
            }
            Slot::Keys(index) => {
                if let Some(secured) = self.secured.iter().find(|it| it.index.0 == index) {
                    secured.put_keys(out);
                }
            }
            Slot::Counters(index) => {
                if let Some(secured) = self.secured.iter().find(|it| it.index.0 == index) {
                    secured.put_counters(out);
                }
            }
        }
    }

    /// Takes a slot that the journal held; `None` where the octets are none of it.
    pub(super) fn restore(&mut self, slot: u8, mut octets: &[u8]) -> Option<()> {
        let octets = &mut octets;
        match Slot::of(slot)? {
            Slot::Clock => {
                let offset_ms = take_i64(octets)?;
                let set_at = Timestamp::from_millis(take_i64(octets)?);
                let time_zone = i16::try_from(take_i64(octets)?).ok()?;
                let begin = take::<12>(octets)?;
                let end = take::<12>(octets)?;
                let [enabled] = take::<1>(octets)?;
                let next_capture_s = take_i64(octets)?;
                let rows = take_u64(octets)?;
                if !(-840..=720).contains(&time_zone) || !is_change(begin) || !is_change(end) {
                    return None;
                }
                self.clock.restore(offset_ms, set_at);
                let rules = self.clock.rules_mut();
                rules.time_zone = time_zone;
                rules.daylight_savings_begin = begin;
                rules.daylight_savings_end = end;
                rules.daylight_savings_enabled = enabled != 0;
                // Rows that were captured since say better what is due.
                if self.history.last().map_or(0, |row| row.sequence + 1) <= rows {
                    self.next_capture_s = next_capture_s;
                }
            }
            Slot::Breaker => {
                let [state, mode, supplied] = take::<3>(octets)?;
                let mode = ControlMode::new(mode)?;
                let state = BreakerState::from_control_state(state);
                let breaker = Breaker::restored(state, mode)?;
                let mut values = [0; 4];
                for value in &mut values {
                    *value = take_u64(octets)?;
                }
                let [i1, i2, e1, e2] = values;
                let off_since = if octets.is_empty() {
                    None
                } else {
                    Some(Timestamp::from_millis(take_i64(octets)?))
                };
                let flow = Flow {
                    skipped: Energy {
                        import: [i1, i2],
                        export: [e1, e2],
                    },
                    off_since,
                    closed: breaker.output(),
                    supplied: supplied != 0,
                };
                if !self.registers.restore(flow) {
                    return None;
                }
                self.breaker = breaker;
            }
            Slot::Message => {
                let text = octets.get(..super::MESSAGE_LEN_MAX).unwrap_or(octets);
                self.message = text.to_vec();
            }
            Slot::Tally => {
                let [status] = take::<1>(octets)?;
                let mut values = [0; 4];
                for value in &mut values {
                    *value = u32::try_from(take_u64(octets)?).ok()?;
                }
                let [register, filter, failures, long] = values;
                self.tally = super::Tally {
                    status: IntervalStatus::from_bits(status),
                    alarm_register: register,
                    alarm_filter: filter,
                    power_failures: failures,
                    long_power_failures: long,
                    outages_until: Timestamp::from_millis(take_i64(octets)?),
                };
            }
            Slot::Firmware => {
                let version = u32::try_from(take_u64(octets)?).ok()?;
                // Versions only rise, whatever the journal lost.
                if self.ran.as_ref().is_none_or(|(ran, _)| *ran <= version) {
                    let name = octets.get(..IMAGE_NAME_LEN_MAX).unwrap_or(octets);
                    self.ran = Some((version, name.to_vec()));
                }
            }
            Slot::Keys(index) => {
                let secured = self.secured.iter_mut().find(|it| it.index.0 == index)?;
                secured.restore_keys(octets)?;
            }
            Slot::Counters(index) => {
                let secured = self.secured.iter_mut().find(|it| it.index.0 == index)?;
                secured.restore_counters(octets)?;
            }
        }
        Some(())
    }
}

/// Says whether a date-time can be a rule for the change of daylight saving.
pub(super) fn is_change(octets: [u8; 12]) -> bool {
    let rule = DateTime::from_octets(octets);
    let month = rule.date.month;
    // Some year in which the rule means a day must exist.
    (1..=12).contains(&month)
        && rule.time.to_seconds().is_some()
        && (2024..2028).any(|year| rule.date.resolve(year, month).is_some())
}

fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = octets.split_first_chunk::<N>()?;
    *octets = rest;
    Some(*first)
}
