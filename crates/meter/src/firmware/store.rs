//! Where images live: two files for each meter, or memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::IMAGE_LEN_MAX;

use crate::journal::Title;

/// Octets of the longest state that is read back.
const STATE_LEN_MAX: u64 = 1 << 20;

/// A place for the images of meters.
pub trait ImageStore: fmt::Debug + Send + Sync {
    /// Opens the place of one meter, which it alone uses.
    ///
    /// # Errors
    /// Where it cannot be used.
    fn open(&self, title: Title) -> io::Result<Box<dyn ImageMedium>>;
}

/// The place of one meter's image.
pub trait ImageMedium: Send {
    /// Reads the state that was kept last.
    ///
    /// # Errors
    /// Where it cannot be read; that there is none is no error.
    fn state(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Puts another state in the place of the last one, durably: after a power cut the one or
    /// the other is there.
    ///
    /// # Errors
    /// Where that cannot be said.
    fn keep(&mut self, state: &[u8]) -> io::Result<()>;

    /// Makes room for an image of `size` octets; what they are does not matter.
    ///
    /// # Errors
    /// Where there is no room.
    fn clear(&mut self, size: u32) -> io::Result<()>;

    /// Writes octets of the image, durable with the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// Where not all of them were written.
    fn write(&mut self, offset: u64, octets: &[u8]) -> io::Result<()>;

    /// Returns when all that was written is durable.
    ///
    /// # Errors
    /// Where that cannot be said.
    fn sync(&mut self) -> io::Result<()>;

    /// Reads the first `size` octets of the image.
    ///
    /// # Errors
    /// Where they cannot be read, or are fewer.
    fn read(&mut self, size: u32) -> io::Result<Vec<u8>>;
}

/// Images as files of a folder: `TITLE.image` and, kept apart, `TITLE.state`.
#[derive(Debug)]
pub struct DirImages {
    dir: PathBuf,
}

impl DirImages {
    /// Uses a folder, made where it does not exist.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }
}

impl ImageStore for DirImages {
    fn open(&self, title: Title) -> io::Result<Box<dyn ImageMedium>> {
        let name: String = title.iter().map(|octet| format!("{octet:02x}")).collect();
        Ok(Box::new(Files {
            image: self.dir.join(format!("{name}.image")),
            state: self.dir.join(format!("{name}.state")),
            dir: self.dir.clone(),
        }))
    }
}

/// Files are open for one call only: a process may run more meters than it may have files.
struct Files {
    image: PathBuf,
    state: PathBuf,
    dir: PathBuf,
}

impl ImageMedium for Files {
    fn state(&mut self) -> io::Result<Option<Vec<u8>>> {
        match File::open(&self.state) {
            Ok(file) => {
                let mut octets = Vec::new();
                file.take(STATE_LEN_MAX).read_to_end(&mut octets)?;
                Ok(Some(octets))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&mut self, state: &[u8]) -> io::Result<()> {
        let mut draft = self.state.clone().into_os_string();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let mut file = private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&draft)?;
        file.write_all(state)?;
        file.sync_data()?;
        fs::rename(&draft, &self.state)?;
        sync_dir(&self.dir)
    }

    fn clear(&mut self, size: u32) -> io::Result<()> {
        let mut options = private();
        let file = options.write(true).create(true).truncate(false);
        let file = file.open(&self.image)?;
        file.set_len(u64::from(size.min(IMAGE_LEN_MAX)))?;
        file.sync_data()?;
        sync_dir(&self.dir)
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.image)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        // What was written through another handle of the file is synced all the same.
        File::open(&self.image)?.sync_data()
    }

    fn read(&mut self, size: u32) -> io::Result<Vec<u8>> {
        let mut octets = vec![0; usize::try_from(size.min(IMAGE_LEN_MAX)).unwrap_or(0)];
        File::open(&self.image)?.read_exact(&mut octets)?;
        Ok(octets)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    crate::journal::sync_dir(dir)
}

/// Images in memory, for simulations. What is written is there at once, and a power cut is not
/// among its ways to fail.
#[derive(Clone, Debug, Default)]
pub struct MemoryImages {
    places: Arc<Mutex<BTreeMap<Title, Arc<Mutex<Held>>>>>,
    /// An image that many meters will hold: of those whose octets agree with it none are kept.
    expected: Arc<[u8]>,
}

#[derive(Debug, Default)]
struct Held {
    state: Option<Vec<u8>>,
    size: u32,
    /// What differs from what is expected, by offset.
    differs: BTreeMap<u64, Vec<u8>>,
}

impl MemoryImages {
    /// Keeps nothing of blocks that agree with `expected`: 1,200 meters that take the same image
    /// hold it once.
    pub fn expecting(expected: Arc<[u8]>) -> Self {
        Self {
            places: Arc::default(),
            expected,
        }
    }
}

impl ImageStore for MemoryImages {
    fn open(&self, title: Title) -> io::Result<Box<dyn ImageMedium>> {
        let held = Arc::clone(lock(&self.places).entry(title).or_default());
        Ok(Box::new(Memory {
            held,
            expected: Arc::clone(&self.expected),
        }))
    }
}

struct Memory {
    held: Arc<Mutex<Held>>,
    expected: Arc<[u8]>,
}

impl ImageMedium for Memory {
    fn state(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(lock(&self.held).state.clone())
    }

    fn keep(&mut self, state: &[u8]) -> io::Result<()> {
        lock(&self.held).state = Some(state.to_vec());
        Ok(())
    }

    fn clear(&mut self, size: u32) -> io::Result<()> {
        let mut held = lock(&self.held);
        held.size = size;
        held.differs.clear();
        Ok(())
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let same = self.expected.get(start..start + octets.len()) == Some(octets);
        let mut held = lock(&self.held);
        held.differs.remove(&offset);
        if !same {
            held.differs.insert(offset, octets.to_vec());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, size: u32) -> io::Result<Vec<u8>> {
        let held = lock(&self.held);
        let mut octets = self.expected.to_vec();
        octets.resize(usize::try_from(size).unwrap_or(0), 0);
        for (offset, written) in &held.differs {
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            let room = octets.get_mut(start..start.saturating_add(written.len()));
            room.ok_or(io::ErrorKind::InvalidData)?
                .copy_from_slice(written);
        }
        Ok(octets)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
