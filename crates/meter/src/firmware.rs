//! Firmware: Image transfer (class 18, version 0) as a machine, and the images it keeps.
//!
//! Attributes and methods are those of the SMR 5.0 profile and of real meters' inventories; the
//! numbers of `image_transfer_status`, the reset by initiate and the answers of verify are as
//! three public implementations have them (GXF's adapter and device simulator, Gurux's libraries).
//!
//! A block may come from anybody who holds the broadcast key, so it proves nothing: it fills a
//! place that is empty, and only a block from a verified caller replaces what is there. What
//! counts is the maker's signature, checked at verification and again at activation.
//!
//! What is told as transferred is durable: reading the blocks' status, verifying, and every
//! [`SYNC_BLOCKS`] blocks write it out. After a power cut the transfer goes on from there.

mod store;

use std::fmt;
use std::io;
use std::sync::Arc;

use dlms::security::{AwsLc, PublicKey, SignatureVerified, TagVerified};
use model::{IMAGE_LEN_MAX, Image, ImageError};

pub use store::{DirImages, ImageMedium, ImageStore, MemoryImages};

use crate::journal::Title;

/// Octets of the longest image identifier that initiate takes.
pub const IDENTIFIER_LEN_MAX: usize = 64;

/// Octets of a block: with a general-glo Action request around it 130, which one S-FSK frame
/// carries.
pub const BLOCK_LEN: u32 = 80;

/// After so many blocks what has come is written out, whether or not anybody asks.
pub const SYNC_BLOCKS: u32 = 64;

/// Attribute 6, `image_transfer_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ImageStatus {
    /// 0: there is no image.
    NotInitiated = 0,
    /// 1: blocks are taken.
    Initiated = 1,
    /// 2: being verified. This meter verifies within the call.
    VerificationInitiated = 2,
    /// 3: the maker's signature verified, and the version is higher than what runs.
    VerificationSuccessful = 3,
    /// 4: it did not.
    VerificationFailed = 4,
    /// 5: being activated. This meter activates within the call.
    ActivationInitiated = 5,
    /// 6: the image runs.
    ActivationSuccessful = 6,
    /// 7: what was verified did not verify again.
    ActivationFailed = 7,
}

impl ImageStatus {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::NotInitiated,
            1 => Self::Initiated,
            2 => Self::VerificationInitiated,
            3 => Self::VerificationSuccessful,
            4 => Self::VerificationFailed,
            5 => Self::ActivationInitiated,
            6 => Self::ActivationSuccessful,
            7 => Self::ActivationFailed,
            _ => return None,
        })
    }

    /// Returns the number that attribute 6 shows.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// What a fleet's meters need for firmware.
#[derive(Clone, Debug)]
pub struct FirmwareConfig {
    /// Whose images are taken.
    pub maker: PublicKey,
    /// Where images are kept.
    pub store: Arc<dyn ImageStore>,
    /// Octets of a block: attribute 2.
    pub block_len: u32,
}

impl FirmwareConfig {
    /// Takes blocks of [`BLOCK_LEN`] octets.
    pub fn new(maker: PublicKey, store: Arc<dyn ImageStore>) -> Self {
        Self {
            maker,
            store,
            block_len: BLOCK_LEN,
        }
    }
}

/// Image transfer of one meter.
pub struct Firmware {
    model: Box<str>,
    maker: PublicKey,
    medium: Box<dyn ImageMedium>,
    block_len: u32,
    state: State,
    /// What changed since the state was kept.
    unkept: u32,
    /// Blocks that were refused.
    refused: u64,
    /// How often attribute 3 was read.
    bitmaps: u64,
}

/// All that is durable beside the image's octets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    status: ImageStatus,
    enabled: bool,
    /// What runs: version and identifier; 0 and none from the factory.
    running: u32,
    name: Vec<u8>,
    identifier: Vec<u8>,
    size: u32,
    /// Bit n, counted from the most significant of the first octet: block n is there.
    blocks: Vec<u8>,
}

impl State {
    const fn factory() -> Self {
        Self {
            status: ImageStatus::NotInitiated,
            enabled: true,
            running: 0,
            name: Vec::new(),
            identifier: Vec::new(),
            size: 0,
            blocks: Vec::new(),
        }
    }

    fn to_octets(&self, block_len: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + self.name.len() + self.blocks.len());
        out.extend_from_slice(&[STATE_FORMAT, self.status.number(), u8::from(self.enabled)]);
        for number in [self.running, self.size, block_len] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for text in [&self.name, &self.identifier] {
            out.push(u8::try_from(text.len()).unwrap_or(0));
            out.extend_from_slice(text);
        }
        out.extend_from_slice(&self.blocks);
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_be_bytes());
        out
    }

    /// Reads what was kept; none where it is damaged or another version's.
    fn from_octets(octets: &[u8], block_len: u32) -> Option<Self> {
        let (body, sum) = octets.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
            return None;
        }
        let (&[format, status, enabled], mut rest) = body.split_first_chunk::<3>()?;
        let mut number = || {
            let (number, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            Some(u32::from_be_bytes(*number))
        };
        let (running, size, kept_len) = (number()?, number()?, number()?);
        let mut text = || {
            let (length, after) = rest.split_first()?;
            let (text, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(text.to_vec())
        };
        let (name, identifier) = (text()?, text()?);
        if format != STATE_FORMAT || size > IMAGE_LEN_MAX {
            return None;
        }
        let mut state = Self {
            status: ImageStatus::from_number(status)?,
            enabled: enabled != 0,
            running,
            name,
            identifier,
            size,
            blocks: rest.to_vec(),
        };
        if kept_len != block_len || rest.len() != bitmap_len(blocks_of(size, block_len)) {
            // Blocks of another length: what runs stays known, the transfer begins anew.
            state.status = ImageStatus::NotInitiated;
            state.size = 0;
            state.blocks = Vec::new();
        }
        Some(state)
    }
}

const STATE_FORMAT: u8 = 1;

/// What a verified image shows in attribute 7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToActivate {
    /// Octets of the image.
    pub size: u32,
    /// What the meter will call itself.
    pub identification: Vec<u8>,
    /// The maker's signature.
    pub signature: Vec<u8>,
}

impl Firmware {
    /// Makes a meter's image transfer out of what its store holds.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn open(config: &FirmwareConfig, title: Title, model: &str) -> io::Result<Self> {
        let mut medium = config.store.open(title)?;
        let block_len = config.block_len.max(1);
        let kept = medium.state()?;
        let mut state = kept
            .as_deref()
            .and_then(|kept| State::from_octets(kept, block_len))
            .unwrap_or(State::factory());
        if matches!(
            state.status,
            ImageStatus::VerificationInitiated | ImageStatus::ActivationInitiated
        ) {
            state.status = ImageStatus::Initiated;
        }
        Ok(Self {
            model: model.into(),
            maker: config.maker,
            medium,
            block_len,
            state,
            unkept: 0,
            refused: 0,
            bitmaps: 0,
        })
    }

    /// Hears what was activated before, for the case that the image store was lost: the version
    /// that runs never falls.
    pub fn runs_at_least(&mut self, version: u32, name: &[u8]) {
        if version > self.state.running {
            self.state.running = version;
            self.state.name = name.to_vec();
        }
    }

    /// Returns attribute 2, `image_block_size`.
    pub const fn block_len(&self) -> u32 {
        self.block_len
    }

    /// Returns attribute 6, `image_transfer_status`.
    pub const fn status(&self) -> ImageStatus {
        self.state.status
    }

    /// Returns attribute 5, `image_transfer_enabled`.
    pub const fn enabled(&self) -> bool {
        self.state.enabled
    }

    /// Returns the version that runs, 0 for the factory's.
    pub const fn running(&self) -> u32 {
        self.state.running
    }

    /// Returns what the activated image calls the meter.
    pub fn name(&self) -> Option<&[u8]> {
        (self.state.running > 0).then_some(&self.state.name)
    }

    /// Returns how many blocks were refused since the meter started.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns how often attribute 3 was read since the meter started.
    pub const fn bitmaps_read(&self) -> u64 {
        self.bitmaps
    }

    /// Sets attribute 5.
    ///
    /// # Errors
    /// [`FirmwareError::Store`] where it is not durable; then nothing has changed.
    pub fn enable(&mut self, enabled: bool) -> Result<(), FirmwareError> {
        self.change(|state| state.enabled = enabled)
    }

    /// Method 1, `image_transfer_initiate`: forgets what was transferred and takes blocks of an
    /// image of `size` octets.
    ///
    /// # Errors
    /// [`FirmwareError`]; after [`FirmwareError::Store`] the transfer may have begun.
    pub fn initiate(&mut self, identifier: &[u8], size: u32) -> Result<(), FirmwareError> {
        if !self.state.enabled {
            return Err(FirmwareError::Disabled);
        }
        let fits = (1..=IDENTIFIER_LEN_MAX).contains(&identifier.len());
        if !fits || !(1..=IMAGE_LEN_MAX).contains(&size) {
            return Err(FirmwareError::Unfit);
        }
        let blocks = blocks_of(size, self.block_len);
        self.change(|state| {
            state.status = ImageStatus::Initiated;
            state.identifier = identifier.to_vec();
            state.size = size;
            state.blocks = vec![0; bitmap_len(blocks)];
        })?;
        // The new state says that nothing is there: octets of before are never looked at.
        self.medium.clear(size).map_err(FirmwareError::store)
    }

    /// Method 2, `image_block_transfer`. `caller` is there where the block came under a key that
    /// one client alone shares with this meter.
    ///
    /// # Errors
    /// [`FirmwareError`]; then nothing has changed.
    pub fn block(
        &mut self,
        number: u32,
        octets: &[u8],
        caller: Option<&TagVerified>,
    ) -> Result<(), FirmwareError> {
        let outcome = self.take(number, octets, caller.is_some());
        self.refused += u64::from(outcome.is_err());
        outcome
    }

    fn take(&mut self, number: u32, octets: &[u8], verified: bool) -> Result<(), FirmwareError> {
        if !self.state.enabled {
            return Err(FirmwareError::Disabled);
        }
        if self.state.status != ImageStatus::Initiated {
            return Err(FirmwareError::OutOfTurn);
        }
        if number >= self.blocks() || octets.len() as u64 != u64::from(self.length_of(number)) {
            return Err(FirmwareError::Unfit);
        }
        if self.has(number) && !verified {
            return Ok(());
        }
        let offset = u64::from(number) * u64::from(self.block_len);
        self.medium
            .write(offset, octets)
            .map_err(FirmwareError::store)?;
        let (place, bit) = place(number);
        if let Some(octet) = self.state.blocks.get_mut(place) {
            *octet |= bit;
        }
        self.unkept += 1;
        if self.unkept >= SYNC_BLOCKS {
            self.keep()?;
        }
        Ok(())
    }

    /// Method 3, `image_verify`.
    ///
    /// # Errors
    /// [`FirmwareError::Incomplete`], after which blocks are still taken;
    /// [`FirmwareError::Image`] says what is wrong with it.
    pub fn verify(&mut self) -> Result<(), FirmwareError> {
        match self.state.status {
            ImageStatus::VerificationSuccessful => return Ok(()),
            ImageStatus::Initiated => {}
            _ => return Err(FirmwareError::OutOfTurn),
        }
        if self.first_missing() < self.blocks() {
            return Err(FirmwareError::Incomplete);
        }
        self.keep()?;
        let octets = self.image()?;
        let (status, outcome) = match self.admit(&octets) {
            Ok(_) => (ImageStatus::VerificationSuccessful, Ok(())),
            Err(error) => (ImageStatus::VerificationFailed, Err(error.into())),
        };
        self.change(|state| state.status = status)?;
        outcome
    }

    /// Method 4, `image_activate`: lets the image run. It takes the proof that the request came
    /// end to end from a client of this meter alone.
    ///
    /// # Errors
    /// [`FirmwareError`]; what ran goes on.
    pub fn activate(&mut self, _caller: &TagVerified) -> Result<(), FirmwareError> {
        if self.state.status != ImageStatus::VerificationSuccessful {
            return Err(FirmwareError::OutOfTurn);
        }
        let octets = self.image()?;
        match self.admit(&octets) {
            Ok((version, name, proof)) => self.run(version, &name, &proof),
            Err(error) => {
                self.change(|state| state.status = ImageStatus::ActivationFailed)?;
                Err(error.into())
            }
        }
    }

    fn run(
        &mut self,
        version: u32,
        name: &str,
        _maker: &SignatureVerified,
    ) -> Result<(), FirmwareError> {
        self.change(|state| {
            state.status = ImageStatus::ActivationSuccessful;
            state.running = version;
            state.name = name.as_bytes().to_vec();
        })
    }

    fn admit(&self, octets: &[u8]) -> Result<(u32, String, SignatureVerified), ImageError> {
        let image = Image::parse(octets)?;
        let proof = image.admit(&AwsLc, &self.maker, &self.model, self.state.running)?;
        let header = image.header();
        Ok((header.version(), header.identifier().to_owned(), proof))
    }

    /// Returns attribute 3, `image_transferred_blocks_status`: the number of blocks, and a bit
    /// for each, durable.
    ///
    /// # Errors
    /// [`FirmwareError::Store`].
    pub fn blocks_status(&mut self) -> Result<(u32, &[u8]), FirmwareError> {
        self.bitmaps += 1;
        self.keep()?;
        Ok((self.blocks(), &self.state.blocks))
    }

    /// Returns attribute 4, `image_first_not_transferred_block_number`: the number of blocks
    /// where none is missing; durable.
    ///
    /// # Errors
    /// [`FirmwareError::Store`].
    pub fn first_not_transferred(&mut self) -> Result<u32, FirmwareError> {
        self.keep()?;
        Ok(self.first_missing())
    }

    /// Returns attribute 7, `image_to_activate_info`: the image that may be activated.
    pub fn to_activate(&mut self) -> Option<ToActivate> {
        if self.state.status != ImageStatus::VerificationSuccessful {
            return None;
        }
        let octets = self.image().ok()?;
        let image = Image::parse(&octets).ok()?;
        Some(ToActivate {
            size: self.state.size,
            identification: image.header().identifier().as_bytes().to_vec(),
            signature: image.signature().to_vec(),
        })
    }

    fn image(&mut self) -> Result<Vec<u8>, FirmwareError> {
        self.medium
            .read(self.state.size)
            .map_err(FirmwareError::store)
    }

    const fn blocks(&self) -> u32 {
        blocks_of(self.state.size, self.block_len)
    }

    const fn length_of(&self, number: u32) -> u32 {
        let before = number.saturating_mul(self.block_len);
        let left = self.state.size.saturating_sub(before);
        if left < self.block_len {
            left
        } else {
            self.block_len
        }
    }

    fn has(&self, number: u32) -> bool {
        let (place, bit) = place(number);
        self.state
            .blocks
            .get(place)
            .is_some_and(|octet| octet & bit != 0)
    }

    fn first_missing(&self) -> u32 {
        let full = self.state.blocks.iter().take_while(|octet| **octet == 0xFF);
        let full = u32::try_from(full.count()).unwrap_or(u32::MAX);
        let mut number = full.saturating_mul(8);
        while number < self.blocks() && self.has(number) {
            number += 1;
        }
        number.min(self.blocks())
    }

    /// Makes blocks durable, then the state that tells of them.
    fn keep(&mut self) -> Result<(), FirmwareError> {
        if self.unkept == 0 {
            return Ok(());
        }
        self.medium.sync().map_err(FirmwareError::store)?;
        let octets = self.state.to_octets(self.block_len);
        self.medium.keep(&octets).map_err(FirmwareError::store)?;
        self.unkept = 0;
        Ok(())
    }

    /// Changes the state once that is durable.
    fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), FirmwareError> {
        let mut next = self.state.clone();
        change(&mut next);
        let octets = next.to_octets(self.block_len);
        if self.unkept > 0 {
            self.medium.sync().map_err(FirmwareError::store)?;
        }
        self.medium.keep(&octets).map_err(FirmwareError::store)?;
        self.unkept = 0;
        self.state = next;
        Ok(())
    }
}

impl fmt::Debug for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firmware")
            .field("status", &self.state.status)
            .field("running", &self.state.running)
            .finish_non_exhaustive()
    }
}

const fn blocks_of(size: u32, block_len: u32) -> u32 {
    if block_len == 0 {
        0
    } else {
        size.div_ceil(block_len)
    }
}

fn bitmap_len(blocks: u32) -> usize {
    usize::try_from(blocks.div_ceil(8)).unwrap_or(0)
}

fn place(number: u32) -> (usize, u8) {
    let place = usize::try_from(number / 8).unwrap_or(usize::MAX);
    (place, 0x80 >> (number % 8))
}

/// Why a meter does not do something with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirmwareError {
    /// Attribute 5 is off.
    #[error("image transfer is switched off")]
    Disabled,
    /// The image is not the maker's, not for this meter, or not newer.
    #[error("the image is refused")]
    Image(#[from] ImageError),
    /// Blocks are missing.
    #[error("blocks are missing")]
    Incomplete,
    /// The status does not allow it.
    #[error("the status of the transfer does not allow this")]
    OutOfTurn,
    /// The image's store failed.
    #[error("the image's store failed")]
    Store(#[source] io::Error),
    /// A number, a length or an identifier out of bounds.
    #[error("a block or an image that does not fit")]
    Unfit,
}

impl FirmwareError {
    const fn store(error: io::Error) -> Self {
        Self::Store(error)
    }
}
