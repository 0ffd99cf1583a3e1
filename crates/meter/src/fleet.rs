//! The meters of one process and the journal that they share.

use std::collections::BTreeMap;

use link::Entropy;
use model::Timestamp;

use crate::device::{Device, DeviceConfig, DeviceError, Session};
use crate::firmware::FirmwareConfig;
use crate::journal::{
    Journal, JournalError, JournalLimits, Record, Recovery, SegmentNumber, Store, Title,
};

/// How many meters one process may run.
pub const METERS_MAX: usize = 100_000;

/// How many meters catch up between two commits when they start, each with its whole history.
const START_BATCH: usize = 64;

/// How many meters catch up between two commits later on.
const TICK_BATCH: usize = 1_024;

/// Meters and their journal, without I/O but for the journal's store.
#[derive(Debug)]
pub struct Fleet<S> {
    devices: Vec<Device>,
    journal: Journal<S>,
}

impl<S: Store> Fleet<S> {
    /// Makes the meters of `configs`, takes what the journal in `store` holds of them, and
    /// catches up with the true time `now`.
    ///
    /// # Errors
    /// [`FleetError`] where keys do not fit, a title is there twice, or the store fails.
    pub fn open(
        store: S,
        configs: Vec<DeviceConfig>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Recovery), FleetError> {
        if configs.len() > METERS_MAX {
            return Err(FleetError::TooMany);
        }
        let mut devices = Vec::with_capacity(configs.len());
        let mut places: BTreeMap<Title, usize> = BTreeMap::new();
        let mut rows = 1;
        for config in configs {
            rows = rows.max(config.template.rows);
            let device = Device::new(config)?;
            if places.insert(device.title(), devices.len()).is_some() {
                return Err(FleetError::Twice(device.name().into()));
            }
            devices.push(device);
        }
        let limits = JournalLimits::for_fleet(devices.len() as u64, rows as u64);
        let mut hint = (Title::default(), usize::MAX);
        let visit = |segment: SegmentNumber, title: Title, record: Record<'_>| {
            if hint.0 != title {
                // Records of meters that are not run this time stay until their segment goes.
                hint = (title, places.get(&title).copied().unwrap_or(usize::MAX));
            }
            if let Some(device) = devices.get_mut(hint.1) {
                device.recover(segment, &record);
            }
        };
        let (journal, recovery) = Journal::open(store, limits, salt(entropy)?, visit)?;
        let mut fleet = Self { devices, journal };
        for batch in fleet.devices.chunks_mut(START_BATCH) {
            for device in &mut *batch {
                device.start(now, &mut fleet.journal)?;
                device.tick(now, &mut fleet.journal)?;
            }
            fleet.journal.commit()?;
            batch.iter_mut().for_each(Device::committed);
        }
        fleet.tick(now, entropy)?;
        Ok((fleet, recovery))
    }

    /// Lets all meters whose model has Image transfer take firmware.
    ///
    /// # Errors
    /// Where the store of images cannot be read.
    pub fn set_firmware(&mut self, config: &FirmwareConfig) -> std::io::Result<()> {
        self.devices
            .iter_mut()
            .try_for_each(|device| device.set_firmware(config))
    }

    /// Lets every meter catch up with the true time `now`, makes that durable and shows it.
    ///
    /// # Errors
    /// [`FleetError`] where the journal fails: then nothing more is answered that was not
    /// durable before, until the process starts again.
    pub fn tick(&mut self, now: Timestamp, entropy: &dyn Entropy) -> Result<(), FleetError> {
        for batch in self.devices.chunks_mut(TICK_BATCH) {
            for device in &mut *batch {
                if device.next_due() <= now {
                    device.tick(now, &mut self.journal)?;
                }
            }
            if batch.iter().any(Device::is_pending) {
                self.journal.commit()?;
                batch.iter_mut().for_each(Device::committed);
            }
        }
        if self.journal.rotation_due() {
            self.rotate(salt(entropy)?)?;
        }
        Ok(())
    }

    /// Returns the true time at which [`tick`](Self::tick) has something to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.devices.iter().map(Device::next_due).min()
    }

    /// Returns how many meters there are.
    pub const fn len(&self) -> usize {
        self.devices.len()
    }

    /// Says whether there is no meter.
    pub const fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Goes over the meters in the order of their configurations.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// Returns a meter by its place.
    pub fn device(&self, place: usize) -> Option<&Device> {
        self.devices.get(place)
    }

    /// Hands a meter to the server machine for one call at the true time `now`, once it has
    /// caught up with that.
    ///
    /// # Errors
    /// [`FleetError::Journal`] where the journal fails.
    pub fn session<'a>(
        &'a mut self,
        place: usize,
        now: Timestamp,
        entropy: &'a dyn Entropy,
    ) -> Result<Option<Session<'a>>, FleetError> {
        let Some(device) = self.devices.get_mut(place) else {
            return Ok(None);
        };
        if device.next_due() <= now || device.is_pending() {
            device.tick(now, &mut self.journal)?;
            self.journal.commit()?;
            device.committed();
        }
        Ok(Some(Session::new(device, &mut self.journal, entropy, now)))
    }

    /// Presses a button at a meter.
    ///
    /// # Errors
    /// What `press` returns.
    pub fn press<E>(
        &mut self,
        place: usize,
        press: impl FnOnce(&mut Device, &mut Journal<S>) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let device = self.devices.get_mut(place)?;
        Some(press(device, &mut self.journal))
    }

    /// Takes the fleet apart: its meters and their journal.
    pub(crate) fn into_parts(self) -> (Vec<Device>, Journal<S>) {
        (self.devices, self.journal)
    }

    /// Returns the octets of the journal on its store.
    pub fn journal_octets(&self) -> u64 {
        self.journal.octets()
    }

    /// Returns about how many octets the meters take in memory.
    pub fn octets(&self) -> usize {
        self.devices.iter().map(Device::octets).sum()
    }

    fn rotate(&mut self, salt: u32) -> Result<(), FleetError> {
        let current = self.journal.current();
        let needed = self
            .devices
            .iter()
            .filter_map(Device::oldest_segment)
            .min()
            .unwrap_or(current);
        let devices = &self.devices;
        let oldest = self.journal.rotate(salt, needed, |journal| {
            devices
                .iter()
                .try_for_each(|device| device.snapshot(journal))
        })?;
        for device in &mut self.devices {
            device.drop_before(oldest);
        }
        Ok(())
    }
}

pub(crate) fn salt(entropy: &dyn Entropy) -> Result<u32, FleetError> {
    let mut octets = [0; 4];
    entropy.fill(&mut octets).map_err(FleetError::Entropy)?;
    Ok(u32::from_le_bytes(octets))
}

/// Why a fleet cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The keys of a meter do not fit its model.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The system gave no entropy.
    #[error("no entropy: {0}")]
    Entropy(std::io::Error),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There are too many meters for one process.
    #[error("one process runs at most {METERS_MAX} meters")]
    TooMany,
    /// Two meters have the same system title.
    #[error("the system title of {0} is there twice")]
    Twice(String),
}
