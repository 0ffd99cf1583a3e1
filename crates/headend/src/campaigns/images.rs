//! The images that wait for a campaign: a file each, in a folder beside the store.
//!
//! A file is named by the SHA-256 of all its octets, so that an image is kept once however often
//! it comes, and one that the disk has changed is never taken for it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dlms::security::{AwsLc, PublicKey};
use model::{IMAGE_LEN_MAX, Image, ImageError, Timestamp};
use sha2::{Digest as _, Sha256};

/// Images that are kept at once: at most 128 MiB.
pub const IMAGES_MAX: usize = 32;

/// Images kept beside the store. All that reads or writes may block.
pub struct Images {
    folder: PathBuf,
    maker: Option<PublicKey>,
    /// Held while files change as well, so that no two do at once.
    known: Mutex<BTreeMap<ImageId, ShelvedImage>>,
}

/// The SHA-256 of all octets of an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId([u8; 32]);

/// What is known of an image that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShelvedImage {
    /// Names it.
    pub id: ImageId,
    /// The model whose meters it is for.
    pub model: String,
    /// What a meter calls itself with it.
    pub identifier: String,
    /// Its version.
    pub version: u32,
    /// Octets of all of it.
    pub image_len: u32,
    /// When it came.
    pub since: Timestamp,
    /// What its signature is worth here.
    pub maker: Maker,
}

/// What an image's signature is worth to a head end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The head end knows no maker's key: meters alone verify.
    Unchecked,
    /// The maker whose key the head end has signed it.
    Verified,
    /// It was kept under another maker's key, or none: no campaign begins with it.
    Refused,
}

impl ImageId {
    /// Names an image by its octets.
    pub fn of(image: &[u8]) -> Self {
        Self(Sha256::digest(image).into())
    }

    /// Returns the hash.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({self})")
    }
}

impl FromStr for ImageId {
    type Err = NoImageId;

    fn from_str(text: &str) -> Result<Self, NoImageId> {
        let hex = Some(text).filter(|text| text.len() == 64);
        let octets = hex.and_then(link::parse_hex).ok_or(NoImageId)?;
        octets.try_into().map(Self).map_err(|_| NoImageId)
    }
}

/// A text that is no image's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image is named by the 64 hex digits of its SHA-256")]
pub struct NoImageId;

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}

impl Images {
    /// Takes what the folder holds, and makes the folder where there is none. What was not written
    /// to its end goes; what is no image, or has another name than its hash, is left alone.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub fn open(folder: &Path, maker: Option<PublicKey>) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let images = Self {
            folder: folder.to_owned(),
            maker,
            known: Mutex::default(),
        };
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == PART) {
                fs::remove_file(&path)?;
                continue;
            }
            match images.load(&path)? {
                Some(image) if known.len() < IMAGES_MAX => {
                    known.insert(image.id, image);
                }
                _ => {
                    tracing::warn!(path = %path.display(), "no image of the head end's: left alone")
                }
            }
        }
        *images.known() = known;
        Ok(images)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ImageId, ShelvedImage>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &ImageId, extension: &str) -> PathBuf {
        self.folder.join(format!("{id}.{extension}"))
    }

    /// Reads one file of the folder; nothing where it is none of ours.
    fn load(&self, path: &Path) -> io::Result<Option<ShelvedImage>> {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let named = stem.and_then(|stem| stem.parse::<ImageId>().ok());
        let Some(id) = named.filter(|_| path.extension().is_some_and(|it| it == WHOLE)) else {
            return Ok(None);
        };
        let file = File::open(path)?;
        let since = file.metadata()?.modified()?;
        let octets = read(file)?;
        let since = since.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
        let since = Timestamp::from_millis(since);
        let is_it = ImageId::of(&octets) == id;
        let image = is_it.then(|| self.look(&octets, since).ok());
        Ok(image.flatten())
    }

    fn look(&self, octets: &[u8], since: Timestamp) -> Result<ShelvedImage, ImageError> {
        let image = Image::parse(octets)?;
        let header = image.header();
        Ok(ShelvedImage {
            id: ImageId::of(octets),
            model: header.model().to_owned(),
            identifier: header.identifier().to_owned(),
            version: header.version(),
            image_len: u32::try_from(octets.len()).map_err(|_| ImageError::Length)?,
            since,
            maker: match &self.maker {
                None => Maker::Unchecked,
                Some(maker) => match image.verify(&AwsLc, maker) {
                    Ok(_signed) => Maker::Verified,
                    Err(_) => Maker::Refused,
                },
            },
        })
    }

    /// Keeps an image; it is durable when this returns. Says whether it is new.
    ///
    /// # Errors
    /// [`ShelfError`]; nothing was kept.
    pub fn keep(&self, octets: &[u8], now: Timestamp) -> Result<(ShelvedImage, bool), ShelfError> {
        let image = self.look(octets, now)?;
        if let Some(maker) = &self.maker {
            // Once more for the reason.
            let _signed = Image::parse(octets)?.verify(&AwsLc, maker)?;
        }
        let mut known = self.known();
        if let Some(known) = known.get(&image.id) {
            return Ok((known.clone(), false));
        }
        if known.len() >= IMAGES_MAX {
            return Err(ShelfError::Full);
        }
        self.write(&image.id, octets, now)?;
        known.insert(image.id, image.clone());
        Ok((image, true))
    }

    fn write(&self, id: &ImageId, octets: &[u8], now: Timestamp) -> io::Result<()> {
        let (part, whole) = (self.path(id, PART), self.path(id, WHOLE));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        let written = file.write_all(octets).and_then(|()| {
            let since = Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0));
            file.set_modified(SystemTime::UNIX_EPOCH + since)?;
            file.sync_all()?;
            fs::rename(&part, &whole)
        });
        if let Err(error) = written {
            // What is left of it goes at the next start otherwise.
            drop(fs::remove_file(&part));
            return Err(error);
        }
        File::open(&self.folder)?.sync_all()
    }

    /// Lists them, the latest first.
    pub fn list(&self) -> Vec<ShelvedImage> {
        let mut all: Vec<ShelvedImage> = self.known().values().cloned().collect();
        all.sort_by_key(|image| (std::cmp::Reverse(image.since), image.id));
        all
    }

    /// Reads an image; nothing where it is not kept.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not what was kept.
    pub fn read(&self, id: &ImageId) -> io::Result<Option<Vec<u8>>> {
        if !self.known().contains_key(id) {
            return Ok(None);
        }
        let octets = read(File::open(self.path(id, WHOLE))?)?;
        if ImageId::of(&octets) == *id {
            Ok(Some(octets))
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Forgets an image; campaigns that began with it have their own copy. Says whether it was
    /// kept.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub fn forget(&self, id: &ImageId) -> io::Result<bool> {
        let mut known = self.known();
        if !known.contains_key(id) {
            return Ok(false);
        }
        match fs::remove_file(self.path(id, WHOLE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.folder)?.sync_all()?;
        known.remove(id);
        Ok(true)
    }
}

/// Reads no more than an image may have, and one octet that shows that there is more.
fn read(file: File) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut bounded = file.take(u64::from(IMAGE_LEN_MAX) + 1);
    bounded.read_to_end(&mut octets)?;
    Ok(octets)
}

const WHOLE: &str = "img";
const PART: &str = "part";

/// Why an image is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
    /// There are [`IMAGES_MAX`] already.
    #[error("as many images are kept as may be")]
    Full,
    /// It is no image, or not of this maker.
    #[error("the image cannot be used: {0}")]
    Image(#[from] ImageError),
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement; robustness: files that are cut off, changed or strange.
    use model::ImageHeader;
    use tempfile::TempDir;

    use super::*;

    fn image(version: u32) -> Vec<u8> {
        let header = ImageHeader::new("smr5", "Gridward 2", version, b"content").unwrap();
        header.seal(&[0x5A; 64], b"content")
    }

    const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);

    #[test]
    fn what_was_kept_is_there_after_a_start_and_nothing_else_is() {
        let folder = TempDir::new().unwrap();
        let folder = folder.path().join("images");
        let images = Images::open(&folder, None).unwrap();
        let (one, is_new) = images.keep(&image(1), NOON).unwrap();
        assert!(is_new && one.maker == Maker::Unchecked);
        let (again, is_new) = images.keep(&image(1), NOON.plus_secs(5)).unwrap();
        assert_eq!((again, is_new), (one.clone(), false));
        let (two, _) = images.keep(&image(2), NOON.plus_secs(9)).unwrap();
        assert_eq!(images.list(), [two.clone(), one.clone()]);
        assert_eq!(images.read(&one.id).unwrap(), Some(image(1)));

        // One that was cut off while it came, one that is no image, one that the disk changed.
        let cut = folder.join(format!("{}.part", ImageId::of(b"cut")));
        fs::write(&cut, b"GWFW").unwrap();
        fs::write(folder.join("notes.txt"), b"mine").unwrap();
        let mut changed = image(2);
        *changed.last_mut().unwrap() ^= 1;
        fs::write(folder.join(format!("{}.img", two.id)), &changed).unwrap();
        assert!(images.read(&two.id).is_err());
        drop(images);
        let images = Images::open(&folder, None).unwrap();
        assert_eq!(images.list(), std::slice::from_ref(&one));
        assert!(!cut.exists());
        assert!(folder.join("notes.txt").exists());

        assert!(images.forget(&one.id).unwrap());
        assert!(!images.forget(&one.id).unwrap());
        assert_eq!(images.read(&one.id).unwrap(), None);
        drop(images);
        assert_eq!(Images::open(&folder, None).unwrap().list(), []);
    }

    #[test]
    fn what_is_no_image_or_one_too_many_is_not_kept() {
        let folder = TempDir::new().unwrap();
        let folder = folder.path().join("images");
        let images = Images::open(&folder, None).unwrap();
        for wrong in [&b""[..], b"GWFW", &image(1)[1..], &vec![0; 5 << 20]] {
            assert!(matches!(
                images.keep(wrong, NOON),
                Err(ShelfError::Image(_))
            ));
        }
        for version in 1..=32 {
            images.keep(&image(version), NOON).unwrap();
        }
        assert!(matches!(
            images.keep(&image(33), NOON),
            Err(ShelfError::Full)
        ));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), IMAGES_MAX);
        // One that is kept is no new one.
        assert!(!images.keep(&image(7), NOON).unwrap().1);
    }
}
