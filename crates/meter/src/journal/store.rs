//! Where segments live: a folder, or what a test puts in its place.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::SegmentNumber;

/// A place for numbered segments.
pub trait Store: fmt::Debug {
    /// Lists the segments that there are, in any order.
    ///
    /// # Errors
    /// Where the place cannot be read.
    fn list(&mut self) -> io::Result<Vec<SegmentNumber>>;

    /// Reads a whole segment.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read(&mut self, segment: SegmentNumber) -> io::Result<Vec<u8>>;

    /// Creates an empty segment, whose name is durable once its first sync is.
    ///
    /// # Errors
    /// Where it exists or cannot be created.
    fn create(&mut self, segment: SegmentNumber) -> io::Result<Box<dyn Medium>>;

    /// Opens a segment to add to it.
    ///
    /// # Errors
    /// Where it does not exist or cannot be written.
    fn append_to(&mut self, segment: SegmentNumber) -> io::Result<Box<dyn Medium>>;

    /// Removes a segment.
    ///
    /// # Errors
    /// Where it cannot be removed.
    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()>;
}

/// A segment that is being written.
pub trait Medium: fmt::Debug + Send {
    /// Adds octets at the end.
    ///
    /// # Errors
    /// Where not all of them could be written.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Returns when all octets added are durable.
    ///
    /// # Errors
    /// Where that cannot be said.
    fn sync(&mut self) -> io::Result<()>;
}

/// Segments as files of a folder, which one process uses at a time.
#[derive(Debug)]
pub struct DirStore {
    dir: PathBuf,
    /// Held as long as the store lives.
    _lock: File,
}

impl DirStore {
    /// Opens a folder, made where it does not exist, for this process alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where another process uses it; else where it cannot be
    /// made or written.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        let lock = private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{} is in use by another process", dir.display()),
            ),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Self { dir, _lock: lock })
    }

    fn path(&self, segment: SegmentNumber) -> PathBuf {
        self.dir.join(format!("{:016x}.journal", segment.0))
    }
}

impl Store for DirStore {
    fn list(&mut self) -> io::Result<Vec<SegmentNumber>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".journal"))
                .filter(|digits| digits.len() == 16)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok());
            numbers.extend(number.map(SegmentNumber));
        }
        Ok(numbers)
    }

    fn read(&mut self, segment: SegmentNumber) -> io::Result<Vec<u8>> {
        fs::read(self.path(segment))
    }

    fn create(&mut self, segment: SegmentNumber) -> io::Result<Box<dyn Medium>> {
        let file = private()
            .append(true)
            .create_new(true)
            .open(self.path(segment))?;
        Ok(Box::new(FileMedium {
            file,
            dir: Some(self.dir.clone()),
        }))
    }

    fn append_to(&mut self, segment: SegmentNumber) -> io::Result<Box<dyn Medium>> {
        let file = private().append(true).open(self.path(segment))?;
        Ok(Box::new(FileMedium { file, dir: None }))
    }

    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()> {
        fs::remove_file(self.path(segment))
    }
}

/// Options that make files which only their owner can read: a journal tells when people are
/// at home.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

#[derive(Debug)]
struct FileMedium {
    file: File,
    /// The folder whose entry for a new file is not durable yet.
    dir: Option<PathBuf>,
}

impl Medium for FileMedium {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if let Some(dir) = &self.dir {
            sync_dir(dir)?;
            self.dir = None;
        }
        Ok(())
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
