//! A disk for tests, in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use meter::journal::{Medium, SegmentNumber, Store};

/// A disk in memory that knows what was synced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
pub(crate) struct Platter {
    pub(crate) files: BTreeMap<u64, DiskFile>,
    pub(crate) syncs_fail: bool,
    /// How often it was synced.
    pub(crate) syncs: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DiskFile {
    pub(crate) octets: Vec<u8>,
    synced: usize,
    /// Whether the folder's entry is durable.
    named: bool,
}

impl Disk {
    pub(crate) fn of(octets: &[u8]) -> Self {
        let disk = Self::default();
        disk.lock().files.insert(
            1,
            DiskFile {
                octets: octets.to_vec(),
                synced: octets.len(),
                named: true,
            },
        );
        disk
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// Takes the power away: of what was not synced any part may be there, in parts zero.
    pub(crate) fn power_cut(&self, random: &mut Random) {
        let mut platter = self.lock();
        platter
            .files
            .retain(|_, file| file.named || random.below(2) == 0);
        for file in platter.files.values_mut() {
            let unsynced = file.octets.len() - file.synced;
            let kept = file.synced + random.up_to(unsynced + 1);
            file.octets.truncate(kept);
            if random.below(3) == 0 && kept > file.synced {
                let hole = file.synced + random.up_to(kept - file.synced);
                for octet in file.octets.iter_mut().skip(hole).take(64) {
                    *octet = 0;
                }
            }
            file.synced = kept;
            file.named = true;
        }
    }
}

impl Store for Disk {
    fn list(&mut self) -> io::Result<Vec<SegmentNumber>> {
        Ok(self
            .lock()
            .files
            .keys()
            .map(|n| SegmentNumber(*n))
            .collect())
    }

    fn read(&mut self, segment: SegmentNumber) -> io::Result<Vec<u8>> {
        Ok(self.lock().files[&segment.0].octets.clone())
    }

    fn create(&mut self, segment: SegmentNumber) -> io::Result<Box<dyn Medium>> {
        let before = self.lock().files.insert(segment.0, DiskFile::default());
        assert!(before.is_none(), "a segment was created twice");
        self.append_to(segment)
    }

    fn append_to(&mut self, segment: SegmentNumber) -> io::Result<Box<dyn Medium>> {
        Ok(Box::new(DiskMedium {
            disk: self.clone(),
            segment: segment.0,
        }))
    }

    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.lock().files.remove(&segment.0);
        Ok(())
    }
}

#[derive(Debug)]
struct DiskMedium {
    disk: Disk,
    segment: u64,
}

impl Medium for DiskMedium {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut platter = self.disk.lock();
        let file = platter.files.get_mut(&self.segment).unwrap();
        file.octets.extend_from_slice(octets);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut platter = self.disk.lock();
        if platter.syncs_fail {
            return Err(io::Error::other("the disk is gone"));
        }
        platter.syncs += 1;
        let file = platter.files.get_mut(&self.segment).unwrap();
        file.synced = file.octets.len();
        file.named = true;
        Ok(())
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn up_to(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
