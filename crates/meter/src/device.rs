//! A meter without I/O: clock, registers, breaker, logs and keys behind COSEM objects.
//!
//! Time, randomness and storage are handed in with each call. Whatever must outlive a power cut
//! goes to the journal first: a captured row is shown only after [`Device::committed`], and a
//! [`Session`] commits before it lets the server answer that something was done.

mod logs;
mod objects;
mod profile;
mod security;
mod session;
mod state;

use std::sync::Arc;

use link::MeterKeys;
use model::{BreakerState, Feeder, IntervalStatus, Phase, Place, Timestamp};

use crate::breaker::{Breaker, NotAllowed};
use crate::clock::MeterClock;
use crate::firmware::{Firmware, FirmwareConfig};
use crate::history::History;
use crate::journal::{
    CHANNELS_MAX, Durable, JournalError, LogEntry, Record, Row, SegmentNumber, Title,
};
use crate::metrology::Source;
use crate::registers::{Outage, Registers};
use crate::template::{ProfileRows, Template};

pub use security::DeviceError;
pub use session::Session;

use logs::Logs;
use security::Secured;
use state::Slot;

/// How many characters a text on the display may have, in octets (DSMR P1 companion standard).
pub const MESSAGE_LEN_MAX: usize = 1_024;

/// A supply that was gone for longer than this many seconds counts as a long failure (EN 50160:
/// longer than three minutes).
const LONG_FAILURE_S: i64 = 180;

/// How many rows and entries may wait for their commit. A device that cannot commit captures
/// nothing more until it can.
const PENDING_MAX: usize = 16_384;

/// Codes of the standard log and the fraud log (GXF EventType.java).
mod codes {
    pub(super) const POWER_DOWN: u16 = 1;
    pub(super) const POWER_UP: u16 = 2;
    pub(super) const CLOCK_ADJUSTED_OLD: u16 = 4;
    pub(super) const CLOCK_ADJUSTED_NEW: u16 = 5;
    pub(super) const FIRMWARE_READY: u16 = 17;
    pub(super) const FIRMWARE_ACTIVATED: u16 = 18;
    pub(super) const AUTHENTICATION_FAILED: u16 = 46;
    pub(super) const CONFIGURATION_CHANGED: u16 = 47;
}

/// Bits of alarm register 1 (GXF AlarmType.java).
mod alarms {
    pub(super) const FRAUD_ATTEMPT: u32 = 1 << 13;
}

const STANDARD_LOG: u8 = 0;
const FRAUD_LOG: u8 = 1;
const BREAKER_LOG: u8 = 2;

/// Where a meter hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The place in words.
    pub place: Place,
    /// The feeder.
    pub feeder: Feeder,
    /// The phase or phases.
    pub phase: Phase,
}

/// How many outages one meter may be given.
pub const OUTAGES_MAX: usize = 64;

/// What makes one meter different from another.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// The model.
    pub template: Arc<Template>,
    /// Name, title and keys.
    pub keys: MeterKeys,
    /// Where it hangs.
    pub site: Site,
    /// The SAP of its logical device.
    pub sap: u16,
    /// What it measures.
    pub source: Arc<dyn Source>,
    /// When it was installed: its history begins here where no journal says otherwise.
    pub installed: Timestamp,
    /// When the supply is gone, by the true time; the first [`OUTAGES_MAX`] count, and of those
    /// the ones that lie ahead of what was captured already.
    pub outages: Vec<Outage>,
    /// How much faster than the true time its clock runs, in parts per billion.
    pub drift_ppb: i32,
}

/// A meter.
#[derive(Debug)]
pub struct Device {
    template: Arc<Template>,
    name: String,
    title: Title,
    site: Site,
    sap: u16,
    registers: Registers,
    /// In order, none touching another.
    outages: Vec<Outage>,
    clock: MeterClock,
    breaker: Breaker,
    history: History,
    logs: Logs,
    secured: Vec<Secured>,
    passwords: Vec<(u16, link::Password)>,
    message: Vec<u8>,
    tally: Tally,
    /// When the next row is due, by the clock, in seconds since 1970 UTC.
    next_capture_s: i64,
    /// Which associations are open, by their place in the model, and how often.
    open: Vec<u16>,
    failed_logins: u32,
    /// Wrong passwords, on whatever connection they came.
    back_off: dlms::server::BackOff,
    pending_rows: Vec<(SegmentNumber, Row)>,
    pending_log: Vec<LogEntry>,
    firmware: Option<Box<Firmware>>,
    /// Version and name of the firmware that was activated last, as the journal has it.
    ran: Option<(u32, Vec<u8>)>,
}

/// Counters and marks that the journal keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// What the next row's status says beside daylight saving.
    status: IntervalStatus,
    alarm_register: u32,
    alarm_filter: u32,
    power_failures: u32,
    long_power_failures: u32,
    /// Up to where outages were dealt with, by the true time.
    outages_until: Timestamp,
}

impl Device {
    /// Makes a meter as it leaves the factory. What a journal holds of it follows by
    /// [`recover`](Self::recover); then [`start`](Self::start).
    ///
    /// # Errors
    /// [`DeviceError`] where the keys do not fit the model.
    pub fn new(config: DeviceConfig) -> Result<Self, DeviceError> {
        let DeviceConfig {
            template,
            keys,
            site,
            sap,
            source,
            installed,
            outages,
            drift_ppb,
        } = config;
        let secured = security::secure(&template, &keys)?;
        let passwords = keys
            .clients
            .iter()
            .filter_map(|client| Some((client.sap, client.password.clone()?)))
            .collect();
        let period = i64::from(template.capture_period_s).max(1);
        let clock = MeterClock::new(template.clock, installed, drift_ppb);
        let mut device = Self {
            name: keys.logical_device_name.to_string(),
            title: keys.system_title.0,
            site,
            sap,
            registers: Registers::new(source),
            outages: joined(outages),
            breaker: Breaker::closed(template.control_mode),
            history: History::new(template.rows, period),
            logs: Logs::new(&template),
            secured,
            passwords,
            message: Vec::new(),
            tally: Tally {
                alarm_filter: u32::MAX,
                outages_until: installed,
                ..Tally::default()
            },
            next_capture_s: 0,
            open: vec![0; template.associations.len()],
            failed_logins: 0,
            back_off: dlms::server::BackOff::default(),
            pending_rows: Vec::new(),
            pending_log: Vec::new(),
            firmware: None,
            ran: None,
            clock,
            template,
        };
        device.next_capture_s = device.boundary_after(installed.plus_millis(-1));
        Ok(device)
    }

    /// Lets the meter take firmware, where its model has Image transfer (class 18), and goes on
    /// with what its image store holds.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn set_firmware(&mut self, config: &FirmwareConfig) -> std::io::Result<()> {
        if self.template.objects.values().any(|it| it.class == 18) {
            let mut firmware = Firmware::open(config, self.title, &self.template.name)?;
            if let Some((version, name)) = &self.ran {
                firmware.runs_at_least(*version, name);
            }
            self.firmware = Some(Box::new(firmware));
        }
        Ok(())
    }

    /// Returns the image transfer, where the meter takes firmware.
    pub fn firmware(&self) -> Option<&Firmware> {
        self.firmware.as_deref()
    }

    /// Takes a record of this meter that the journal held, oldest first.
    pub fn recover(&mut self, segment: SegmentNumber, record: &Record<'_>) {
        match record {
            Record::Row(row) => {
                self.history.push(segment, *row);
                if self.history.last() == Some(row) {
                    self.next_capture_s = row.at_s + self.period_s();
                }
            }
            Record::Log(entry) => self.logs.push(*entry),
            Record::State { slot, octets } => {
                // Octets that are no state of this slot were written by another version: what
                // was known before them stays.
                let _known = self.restore(*slot, octets);
            }
        }
    }

    /// Starts a meter at the true time `now`, after all of its journal was recovered: a new one
    /// logs that its power came on.
    ///
    /// # Errors
    /// [`JournalError`] where the journal takes nothing.
    pub fn start(&mut self, now: Timestamp, journal: &mut dyn Durable) -> Result<(), JournalError> {
        if self.logs.is_empty() && self.history.last().is_none() {
            let installed = self.tally.outages_until.min(now);
            self.log(STANDARD_LOG, codes::POWER_UP, installed, journal)?;
        }
        for index in 0..self.secured.len() {
            if let Some(secured) = self.secured.get_mut(index) {
                secured.reserve_ahead();
                let slot = Slot::Counters(secured.index.0);
                self.store(slot, journal)?;
            }
        }
        // What was captured stays as it was: an outage that is news lies ahead of it.
        if let Some(last) = self.history.last() {
            let captured = self.clock.true_time(Timestamp::from_secs(last.at_s));
            self.tally.outages_until = self.tally.outages_until.max(captured.min(now));
        }
        // An outage that is in no configuration any more is over.
        if !self.is_powered() && self.next_edge().is_none_or(|(_, down)| down) {
            self.on_edge(now, false, journal)?;
        }
        Ok(())
    }

    /// Catches up with the true time `now`: captures the rows that are due and notes what the
    /// supply did. What comes of it is shown after [`committed`](Self::committed).
    ///
    /// # Errors
    /// [`JournalError`] where the journal takes nothing; then nothing is lost, since what was
    /// due is due again.
    pub fn tick(&mut self, now: Timestamp, journal: &mut dyn Durable) -> Result<(), JournalError> {
        let period = self.period_s();
        // After a long standstill only what the ring can hold is caught up.
        let rows = i64::try_from(self.history.capacity()).unwrap_or(i64::MAX);
        let shown_s = self.clock.shown(now).secs();
        let oldest = shown_s.saturating_sub(period.saturating_mul(rows));
        if self.next_capture_s < oldest {
            self.next_capture_s = oldest.div_euclid(period) * period;
        }
        loop {
            let due = self
                .clock
                .true_time(Timestamp::from_secs(self.next_capture_s));
            let edge = self.next_edge();
            if self.pending_rows.len() + self.pending_log.len() >= PENDING_MAX {
                return Ok(());
            }
            match edge {
                Some((at, down)) if at <= due.min(now) => self.on_edge(at, down, journal)?,
                _ if due <= now => self.capture(due, journal)?,
                _ => return Ok(()),
            }
        }
    }

    /// Shows what was waiting: the journal was committed.
    pub fn committed(&mut self) {
        for (segment, row) in self.pending_rows.drain(..) {
            self.history.push(segment, row);
        }
        for entry in self.pending_log.drain(..) {
            self.logs.push(entry);
        }
        self.pending_rows.shrink_to(16);
        self.secured.iter_mut().for_each(Secured::adopt);
    }

    /// Says whether something waits for a commit.
    pub const fn is_pending(&self) -> bool {
        !self.pending_rows.is_empty() || !self.pending_log.is_empty()
    }

    /// Returns the true time at which [`tick`](Self::tick) has something to do.
    pub fn next_due(&self) -> Timestamp {
        let due = self
            .clock
            .true_time(Timestamp::from_secs(self.next_capture_s));
        self.next_edge().map_or(due, |(at, _)| due.min(at))
    }

    /// Adds all that must outlive the segments before the journal's present one: the state and
    /// the logs. Rows stay where they are.
    ///
    /// # Errors
    /// [`JournalError`] where the journal takes nothing.
    pub fn snapshot(&self, journal: &mut dyn Durable) -> Result<(), JournalError> {
        for slot in self.slots() {
            self.store(slot, journal)?;
        }
        for entry in self.logs.iter() {
            journal.append(self.title, &Record::Log(*entry))?;
        }
        Ok(())
    }

    /// Returns the oldest segment that a row of the ring is in.
    pub fn oldest_segment(&self) -> Option<SegmentNumber> {
        self.history.oldest_segment()
    }

    /// Drops rows from segments before `oldest`, which the journal holds no longer.
    pub fn drop_before(&mut self, oldest: SegmentNumber) {
        self.history.drop_before(oldest);
    }

    /// Returns the model.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Returns the logical device name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the system title.
    pub const fn title(&self) -> Title {
        self.title
    }

    /// Returns where it hangs.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Returns the SAP of its logical device.
    pub const fn sap(&self) -> u16 {
        self.sap
    }

    /// Returns the rows of the load profile that may be shown.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Returns the registers.
    pub const fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Returns the clock.
    pub const fn clock(&self) -> &MeterClock {
        &self.clock
    }

    /// Returns the breaker's state.
    pub const fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Returns the text on the display.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Goes over the entries of a log that may be shown, oldest first.
    pub fn log_entries(&self, log: u8) -> impl Iterator<Item = &LogEntry> {
        self.logs.of(log)
    }

    /// Says whether the meter has supply, without which it answers nothing.
    pub const fn is_powered(&self) -> bool {
        self.registers.is_supplied()
    }

    /// Returns about how many octets the meter takes, the model apart, which all share.
    pub fn octets(&self) -> usize {
        size_of::<Self>()
            + self.history.octets()
            + self.logs.octets()
            + self.secured.capacity() * size_of::<Secured>()
    }

    /// The customer presses the button that opens the breaker.
    ///
    /// # Errors
    /// [`ButtonError`] where the control mode does not let them, or the journal fails.
    pub fn press_disconnect(
        &mut self,
        now: Timestamp,
        journal: &mut dyn Durable,
    ) -> Result<(), ButtonError> {
        let mut breaker = self.breaker;
        let event = breaker.manual_disconnect()?;
        Ok(self.switch(breaker, event, now, journal)?)
    }

    /// The customer presses the button that closes the breaker.
    ///
    /// # Errors
    /// [`ButtonError`] where the breaker is not ready for that, or the journal fails.
    pub fn press_reconnect(
        &mut self,
        now: Timestamp,
        journal: &mut dyn Durable,
    ) -> Result<(), ButtonError> {
        let mut breaker = self.breaker;
        let event = breaker.manual_reconnect()?;
        Ok(self.switch(breaker, event, now, journal)?)
    }

    /// Makes a breaker's new state durable, then moves the relay.
    fn switch(
        &mut self,
        breaker: Breaker,
        event: Option<u16>,
        now: Timestamp,
        journal: &mut dyn Durable,
    ) -> Result<(), JournalError> {
        if breaker == self.breaker {
            return Ok(());
        }
        let before = (self.breaker, self.registers.flow(), self.pending_log.len());
        self.breaker = breaker;
        self.registers.switch(now, breaker.output());
        let stored = self.store(Slot::Breaker, journal).and_then(|()| {
            if let Some(code) = event {
                self.log(BREAKER_LOG, code, now, journal)?;
            }
            self.commit(journal)
        });
        if stored.is_err() {
            let (breaker, flow, logged) = before;
            self.breaker = breaker;
            let _sound = self.registers.restore(flow);
            self.pending_log.truncate(logged);
        }
        stored
    }

    /// Sets the clock to `shown` at the true time `now`.
    fn set_clock(
        &mut self,
        now: Timestamp,
        shown: Timestamp,
        journal: &mut dyn Durable,
    ) -> Result<(), JournalError> {
        let before = (
            self.clock.clone(),
            self.next_capture_s,
            self.tally.status,
            self.pending_log.len(),
        );
        let old_s = self.clock.shown(now).secs();
        let forward_ms = self.clock.set(now, shown);
        let limit_ms = i64::from(self.clock.rules().shift_limit_s) * 1_000;
        let mut stored = Ok(());
        if forward_ms.abs() > limit_ms {
            self.tally.status = self.tally.status.union(IntervalStatus::CLOCK_ADJUSTED);
            stored = self
                .log_at(STANDARD_LOG, codes::CLOCK_ADJUSTED_OLD, old_s, journal)
                .and_then(|()| {
                    let new_s = shown.secs();
                    self.log_at(STANDARD_LOG, codes::CLOCK_ADJUSTED_NEW, new_s, journal)
                });
        }
        // A small step back over a boundary does not capture it again.
        let next = self.boundary_after(shown);
        let small_back = forward_ms < 0 && forward_ms >= -limit_ms;
        self.next_capture_s = if small_back {
            next.max(self.next_capture_s)
        } else {
            next
        };
        let stored = stored
            .and_then(|()| self.store(Slot::Clock, journal))
            .and_then(|()| self.store(Slot::Tally, journal))
            .and_then(|()| self.commit(journal));
        if stored.is_err() {
            let logged;
            (self.clock, self.next_capture_s, self.tally.status, logged) = before;
            self.pending_log.truncate(logged);
        }
        stored
    }

    /// Captures the row that is due at the true time `due`.
    fn capture(&mut self, due: Timestamp, journal: &mut dyn Durable) -> Result<(), JournalError> {
        let at_s = self.next_capture_s;
        if self.registers.is_supplied() {
            let (deviation, saving) = self.clock.deviation(at_s);
            let mut status = self.tally.status;
            if saving {
                status = status.union(IntervalStatus::DAYLIGHT_SAVING);
            }
            let values = self
                .registers
                .energies::<CHANNELS_MAX>(&self.template.channels, due);
            let channels = self.template.channels.len().min(CHANNELS_MAX);
            let newest = self.pending_rows.last().map(|(_, row)| row);
            let row = Row {
                sequence: newest
                    .or_else(|| self.history.last())
                    .map_or(0, |last| last.sequence + 1),
                at_s,
                deviation,
                status,
                values,
                channels: u8::try_from(channels).unwrap_or(0),
            };
            let segment = journal.append(self.title, &Record::Row(row))?;
            self.pending_rows.push((segment, row));
            if self.tally.status != IntervalStatus::default() {
                self.tally.status = IntervalStatus::default();
                self.store(Slot::Tally, journal)?;
            }
        }
        self.next_capture_s = at_s + self.period_s();
        Ok(())
    }

    /// Returns the next time that the supply goes (`true`) or comes back, by the true time.
    fn next_edge(&self) -> Option<(Timestamp, bool)> {
        let until = self.tally.outages_until;
        self.outages
            .iter()
            .flat_map(|outage| [(outage.from, true), (outage.to, false)])
            .find(|(at, _)| *at > until)
    }

    fn on_edge(
        &mut self,
        at: Timestamp,
        down: bool,
        journal: &mut dyn Durable,
    ) -> Result<(), JournalError> {
        let before = (self.tally, self.registers.flow());
        self.tally.outages_until = at;
        self.registers.supply(at, !down);
        let code = if down {
            codes::POWER_DOWN
        } else {
            self.tally.power_failures = self.tally.power_failures.saturating_add(1);
            let long = self.outages.iter().any(|outage| {
                outage.to == at && at.millis_since(outage.from) > LONG_FAILURE_S * 1_000
            });
            if long {
                let count = self.tally.long_power_failures.saturating_add(1);
                self.tally.long_power_failures = count;
            }
            self.tally.status = self.tally.status.union(IntervalStatus::POWER_DOWN);
            codes::POWER_UP
        };
        let stored = self
            .log(STANDARD_LOG, code, at, journal)
            .and_then(|()| self.store(Slot::Tally, journal))
            .and_then(|()| self.store(Slot::Breaker, journal));
        if stored.is_err() {
            self.tally = before.0;
            let _sound = self.registers.restore(before.1);
        }
        stored
    }

    /// Adds an entry to a log, at the clock's time for the true time `at`.
    fn log(
        &mut self,
        log: u8,
        code: u16,
        at: Timestamp,
        journal: &mut dyn Durable,
    ) -> Result<(), JournalError> {
        self.log_at(log, code, self.clock.shown(at).secs(), journal)
    }

    fn log_at(
        &mut self,
        log: u8,
        code: u16,
        at_s: i64,
        journal: &mut dyn Durable,
    ) -> Result<(), JournalError> {
        if !self.logs.has(log) {
            return Ok(());
        }
        let waiting = self.pending_log.iter().rfind(|entry| entry.log == log);
        let sequence =
            waiting.map_or_else(|| self.logs.next_sequence(log), |last| last.sequence + 1);
        let entry = LogEntry {
            log,
            sequence,
            at_s,
            deviation: self.clock.deviation(at_s).0,
            code,
        };
        journal.append(self.title, &Record::Log(entry))?;
        self.pending_log.push(entry);
        Ok(())
    }

    /// Commits, and shows what was waiting for it.
    fn commit(&mut self, journal: &mut dyn Durable) -> Result<(), JournalError> {
        journal.commit()?;
        self.committed();
        Ok(())
    }

    /// Returns the first capture boundary after the clock's time `shown`.
    fn boundary_after(&self, shown: Timestamp) -> i64 {
        let period = self.period_s();
        (shown.secs().div_euclid(period) + 1) * period
    }

    fn period_s(&self) -> i64 {
        i64::from(self.template.capture_period_s).max(1)
    }

    /// Returns how many of a profile's entries are shown.
    fn rows_shown(&self, rows: ProfileRows, entries: u32) -> usize {
        let most = usize::try_from(entries).unwrap_or(usize::MAX);
        match rows {
            ProfileRows::Load => self.history.len().min(most),
            ProfileRows::Log(log) => self.logs.of(log).count().min(most),
        }
    }
}

/// Puts outages in order and joins those that touch.
fn joined(mut outages: Vec<Outage>) -> Vec<Outage> {
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
    joined
}

/// Why a button at the meter did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ButtonError {
    /// The control mode does not let the customer.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// It could not be made durable.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
