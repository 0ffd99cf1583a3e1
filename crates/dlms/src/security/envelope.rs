//! Ciphered APDUs: making them, and opening them.
//!
//! ```text
//! glo-, ded-      | tag | length | SC | counter | text | tag (12) |
//! general-        | tag | length, system title | length | SC | counter | text | tag (12) |
//!
//! authenticated             AAD = SC, authentication key, text     text in clear
//! encrypted                 no tag                                 text ciphered
//! authenticated, encrypted  AAD = SC, authentication key           text ciphered
//! ```
//!
//! SC is the [`SecurityControl`] octet, the counter has four octets, and the
//! initialization vector is the sender's system title, then the counter.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use zeroize::{Zeroize as _, Zeroizing};

use super::counter::FreshCounter;
use super::crypto::{Crypto, Gcm, Iv, Tag};
use super::key::{self, Key, KeyError, KeyKind, Keys, SystemTitle};
use super::proof::TagVerified;
use super::replay::{ReplayError, ReplayWindow};
use super::suite::{Protection, SecurityControl, SecuritySuite};
use crate::codec::{DecodeError, Malformed, Reader, put_length};

const GENERAL_GLO: u8 = 0xDB;
const GENERAL_DED: u8 = 0xDC;
const TAG_LEN: usize = size_of::<Tag>();
/// Security control and invocation counter.
const CONTENT_HEAD: usize = 5;
/// Security control and the longest authentication key.
const AAD_HEAD_MAX: usize = 33;

/// The services that have a ciphered form of their own: plain tag, glo- tag,
/// ded- tag (IEC 62056-5-3, the CHOICE of xDLMS APDUs).
const SERVICES: &[(u8, u8, u8)] = &[
    (0x01, 0x21, 0x41), // initiateRequest
    (0x05, 0x25, 0x45), // readRequest
    (0x06, 0x26, 0x46), // writeRequest
    (0x08, 0x28, 0x48), // initiateResponse
    (0x0C, 0x2C, 0x4C), // readResponse
    (0x0D, 0x2D, 0x4D), // writeResponse
    (0x0E, 0x2E, 0x4E), // confirmedServiceError
    (0x16, 0x36, 0x56), // unconfirmedWriteRequest
    (0x18, 0x38, 0x58), // informationReportRequest
    (0xC0, 0xC8, 0xD0), // get-request
    (0xC1, 0xC9, 0xD1), // set-request
    (0xC2, 0xCA, 0xD2), // event-notification-request
    (0xC3, 0xCB, 0xD3), // action-request
    (0xC4, 0xCC, 0xD4), // get-response
    (0xC5, 0xCD, 0xD5), // set-response
    (0xC7, 0xCF, 0xD7), // action-response
];

/// The form of a ciphered APDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrapping {
    /// glo-: each service has its own tag; a global key.
    Glo,
    /// ded-: each service has its own tag; the dedicated key.
    Ded,
    /// general-glo-ciphering: any APDU, with the sender's title; a global key.
    GeneralGlo,
    /// general-ded-ciphering: any APDU, with the sender's title; the dedicated key.
    GeneralDed,
}

impl Wrapping {
    /// Tells whether the sender's title is inside.
    #[must_use]
    pub const fn is_general(self) -> bool {
        matches!(self, Self::GeneralGlo | Self::GeneralDed)
    }

    /// Tells whether the dedicated key is used.
    #[must_use]
    pub const fn is_dedicated(self) -> bool {
        matches!(self, Self::Ded | Self::GeneralDed)
    }

    /// Finds the tag that an APDU with the tag `plain` gets, if it has this form.
    #[must_use]
    pub fn ciphered_tag(self, plain: u8) -> Option<u8> {
        let services = || SERVICES.iter().find(|service| service.0 == plain);
        match self {
            Self::Glo => services().map(|service| service.1),
            Self::Ded => services().map(|service| service.2),
            Self::GeneralGlo => Some(GENERAL_GLO),
            Self::GeneralDed => Some(GENERAL_DED),
        }
    }

    /// Reads the tag of a ciphered APDU: its form, and for glo- and ded- the
    /// tag that the plain APDU must have.
    #[must_use]
    pub fn of_tag(tag: u8) -> Option<(Self, Option<u8>)> {
        match tag {
            GENERAL_GLO => Some((Self::GeneralGlo, None)),
            GENERAL_DED => Some((Self::GeneralDed, None)),
            _ => SERVICES.iter().find_map(|&(plain, glo, ded)| {
                if tag == glo {
                    Some((Self::Glo, Some(plain)))
                } else if tag == ded {
                    Some((Self::Ded, Some(plain)))
                } else {
                    None
                }
            }),
        }
    }
}

/// How an APDU is to be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The form.
    pub wrapping: Wrapping,
    /// What cryptography is to do.
    pub protection: Protection,
    /// Whether the broadcast key is to be used, not the unicast key.
    pub broadcast: bool,
}

impl Envelope {
    /// Makes an envelope under the unicast or the dedicated key.
    #[must_use]
    pub const fn new(wrapping: Wrapping, protection: Protection) -> Self {
        Self {
            wrapping,
            protection,
            broadcast: false,
        }
    }
}

/// What a ciphered APDU says in clear. Nothing of it is certain before the
/// tag verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The form.
    pub wrapping: Wrapping,
    /// The tag that the plain APDU must have; any where `None`.
    pub service: Option<u8>,
    /// The sender's title, in the general forms; a general form may leave it
    /// empty between peers that know each other's.
    pub system_title: Option<SystemTitle>,
    /// Security control.
    pub control: SecurityControl,
    /// Invocation counter.
    pub counter: u32,
    text: Range<usize>,
}

impl Header {
    /// Reads the header of a ciphered APDU that is all of `frame`.
    ///
    /// # Errors
    /// [`UnprotectError::NotCiphered`] or [`UnprotectError::Malformed`].
    pub fn decode(frame: &[u8]) -> Result<Self, UnprotectError> {
        let mut reader = Reader::new(frame);
        let tag = reader.u8("ciphered APDU")?;
        let (wrapping, service) =
            Wrapping::of_tag(tag).ok_or(UnprotectError::NotCiphered { tag })?;
        let system_title = if wrapping.is_general() {
            let here = reader.clone();
            match reader.octets("system title")? {
                [] => None,
                title => Some(
                    SystemTitle::from_slice(title)
                        .ok_or_else(|| here.error("system title", Malformed::Length))?,
                ),
            }
        } else {
            None
        };
        let mut content = reader.nested("ciphered content")?;
        reader.finish("ciphered APDU")?;
        let control = SecurityControl::from_octet(content.u8("security control")?);
        let counter = content.u32("invocation counter")?;
        let start = content.offset();
        let tag_len = if control.protection().authenticated() {
            TAG_LEN
        } else {
            0
        };
        let len = content
            .remaining()
            .checked_sub(tag_len)
            .ok_or_else(|| content.error("authentication tag", Malformed::Truncated))?;
        if len == 0 {
            return Err(content.error("ciphered text", Malformed::Truncated).into());
        }
        Ok(Self {
            wrapping,
            service,
            system_title,
            control,
            counter,
            text: start..start + len,
        })
    }
}

/// The keys that two peers share, made ready for use.
///
/// Making one costs some 100 ns and half a kilobyte for each key; a clone
/// shares them.
#[derive(Clone, Debug)]
pub struct KeyRing {
    crypto: &'static dyn Crypto,
    suite: SecuritySuite,
    encryption: Arc<dyn Gcm>,
    broadcast: Option<Arc<dyn Gcm>>,
    dedicated: Option<Arc<dyn Gcm>>,
    authentication: Option<Key>,
}

impl KeyRing {
    /// Makes keys ready.
    ///
    /// # Errors
    /// [`KeyError::Length`] for a key that is none of the suite.
    pub fn new(
        crypto: &'static dyn Crypto,
        suite: SecuritySuite,
        keys: &Keys,
    ) -> Result<Self, KeyError> {
        keys.check_length(suite)?;
        Ok(Self {
            crypto,
            suite,
            encryption: crypto.gcm(&keys.encryption),
            broadcast: keys.broadcast.as_ref().map(|key| crypto.gcm(key)),
            dedicated: keys.dedicated.as_ref().map(|key| crypto.gcm(key)),
            authentication: keys.authentication.clone(),
        })
    }

    /// Takes the dedicated key of an association, or drops the last one's.
    ///
    /// # Errors
    /// [`KeyError::Length`] for a key that is none of the suite.
    pub fn set_dedicated(&mut self, key: Option<&Key>) -> Result<(), KeyError> {
        if let Some(key) = key {
            key::check_length(self.suite, KeyKind::Dedicated, key)?;
        }
        self.dedicated = key.map(|key| self.crypto.gcm(key));
        Ok(())
    }

    /// Tells the suite.
    #[must_use]
    pub const fn suite(&self) -> SecuritySuite {
        self.suite
    }

    /// Tells whether there is a dedicated key.
    #[must_use]
    pub const fn has_dedicated(&self) -> bool {
        self.dedicated.is_some()
    }

    /// Protects `apdu`, sent by `originator`, and appends the ciphered APDU to
    /// `out`. The counter is used up, whatever comes of it.
    ///
    /// # Errors
    /// [`ProtectError`]; `out` is then as it was.
    pub fn protect(
        &self,
        envelope: Envelope,
        originator: &SystemTitle,
        counter: FreshCounter,
        apdu: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ProtectError> {
        let Envelope {
            wrapping,
            protection,
            broadcast,
        } = envelope;
        let plain = *apdu.first().ok_or(ProtectError::Empty)?;
        let tag = wrapping
            .ciphered_tag(plain)
            .ok_or(ProtectError::NoSuchForm { tag: plain })?;
        if protection == Protection::None {
            return Err(ProtectError::NoProtection);
        }
        let mut control = SecurityControl::new(self.suite, protection);
        if broadcast {
            if wrapping.is_dedicated() {
                return Err(ProtectError::BroadcastDedicated);
            }
            control = control.with_broadcast();
        }
        let gcm = self
            .gcm(wrapping, control)
            .map_err(ProtectError::MissingKey)?;
        let tag_len = if protection.authenticated() {
            TAG_LEN
        } else {
            0
        };
        let length = CONTENT_HEAD + apdu.len() + tag_len;
        if u32::try_from(length).is_err() {
            return Err(ProtectError::TooLong);
        }

        let before = out.len();
        out.reserve(16 + length);
        out.push(tag);
        if wrapping.is_general() {
            put_length(out, originator.0.len());
            out.extend_from_slice(&originator.0);
        }
        put_length(out, length);
        out.push(control.octet());
        let counter = counter.value();
        out.extend_from_slice(&counter.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(apdu);
        let text = out.get_mut(start..).unwrap_or_default();
        match self.seal(gcm, control, &originator.iv(counter), text) {
            Ok(tag) => {
                if let Some(tag) = tag {
                    out.extend_from_slice(&tag);
                }
                Ok(())
            }
            Err(error) => {
                out.truncate(before);
                Err(error)
            }
        }
    }

    /// Verifies and deciphers a ciphered APDU in place. `originator` is who
    /// sent it, as known from the association; `required` is the least
    /// protection that is taken.
    ///
    /// The counter is not looked at: see [`unprotect_once`](Self::unprotect_once).
    /// The broadcast key is refused: many have it, so it opens nothing that is
    /// meant for one.
    ///
    /// # Errors
    /// [`UnprotectError`]. Until the tag has verified, `frame` is unchanged.
    pub fn unprotect(
        &self,
        frame: &mut [u8],
        originator: &SystemTitle,
        required: Protection,
    ) -> Result<Unprotected, UnprotectError> {
        let header = Header::decode(frame)?;
        let gcm = self.admit(&header, originator, required, Some(false))?;
        self.open_frame(gcm, header, frame, originator)
    }

    /// Does what [`unprotect`](Self::unprotect) does, and takes the counter in
    /// `window` once the tag has verified: a counter that was taken before is
    /// refused, and nothing moves the window but a verified message. The
    /// caller makes [`ReplayWindow::floor`] durable before acting.
    ///
    /// # Errors
    /// [`UnprotectError`].
    pub fn unprotect_once(
        &self,
        frame: &mut [u8],
        originator: &SystemTitle,
        required: Protection,
        window: &mut ReplayWindow,
    ) -> Result<Unprotected, UnprotectError> {
        self.open_once(frame, originator, required, window, false)
    }

    /// Does what [`unprotect_once`](Self::unprotect_once) does for an APDU
    /// under the broadcast key, and takes no other. `window` is the one of
    /// that key.
    ///
    /// # Errors
    /// [`UnprotectError`].
    pub fn unprotect_broadcast(
        &self,
        frame: &mut [u8],
        originator: &SystemTitle,
        required: Protection,
        window: &mut ReplayWindow,
    ) -> Result<Unprotected, UnprotectError> {
        self.open_once(frame, originator, required, window, true)
    }

    fn open_once(
        &self,
        frame: &mut [u8],
        originator: &SystemTitle,
        required: Protection,
        window: &mut ReplayWindow,
        broadcast: bool,
    ) -> Result<Unprotected, UnprotectError> {
        let header = Header::decode(frame)?;
        let gcm = self.admit(&header, originator, required, Some(broadcast))?;
        let candidate = window.check(header.counter)?;
        let opened = self.open_frame(gcm, header, frame, originator)?;
        window.commit(candidate, &opened.proof)?;
        Ok(opened)
    }

    /// Deciphers a ciphered APDU in place without verifying anything: for
    /// encryption without authentication, and for engineers who have no
    /// authentication key. There is no proof, so nothing can be decided on it.
    ///
    /// # Errors
    /// [`UnprotectError`].
    pub fn dangerous_decrypt_unverified(
        &self,
        frame: &mut [u8],
        originator: &SystemTitle,
    ) -> Result<Unverified, UnprotectError> {
        let header = Header::decode(frame)?;
        let gcm = self.admit(&header, originator, Protection::None, None)?;
        let range = header.text.clone();
        let text = frame.get_mut(range.clone()).unwrap_or_default();
        if header.control.protection().encrypted() {
            gcm.counter_mode(&originator.iv(header.counter), text)
                .map_err(|_| UnprotectError::TooLong)?;
        }
        check_service(&header, text)?;
        Ok(Unverified { header, range })
    }

    /// Deciphers without verifying, and takes the counter all the same: for
    /// associations that were agreed to encrypt without authenticating.
    /// `window` must end with the association, since anybody can move it.
    ///
    /// # Errors
    /// [`UnprotectError`]; also where the APDU is not ciphered.
    pub fn dangerous_decrypt_once(
        &self,
        frame: &mut [u8],
        originator: &SystemTitle,
        window: &mut ReplayWindow,
    ) -> Result<Unverified, UnprotectError> {
        let header = Header::decode(frame)?;
        self.admit(&header, originator, Protection::Encrypted, Some(false))?;
        let candidate = window.check(header.counter)?;
        let opened = self.dangerous_decrypt_unverified(frame, originator)?;
        window.dangerous_commit_unverified(candidate)?;
        Ok(opened)
    }

    /// Checks what can be checked without cryptography, and finds the key.
    /// `broadcast` is whether the broadcast key belongs there; `None` takes
    /// what comes.
    fn admit(
        &self,
        header: &Header,
        originator: &SystemTitle,
        required: Protection,
        broadcast: Option<bool>,
    ) -> Result<&dyn Gcm, UnprotectError> {
        let control = header.control;
        if control.suite() != Some(self.suite) {
            return Err(UnprotectError::Suite {
                expected: self.suite,
                received: control.suite_id(),
            });
        }
        if control.compressed() {
            return Err(UnprotectError::Compressed);
        }
        let received = control.protection();
        if received == Protection::None || !received.covers(required) {
            return Err(UnprotectError::Insufficient { required, received });
        }
        if control.broadcast() && header.wrapping.is_dedicated() {
            return Err(UnprotectError::BroadcastDedicated);
        }
        if broadcast.is_some_and(|expected| expected != control.broadcast()) {
            return Err(UnprotectError::KeySet {
                broadcast: control.broadcast(),
            });
        }
        if let Some(received) = header.system_title
            && received != *originator
        {
            return Err(UnprotectError::ForeignTitle {
                expected: *originator,
                received,
            });
        }
        self.gcm(header.wrapping, control)
            .map_err(UnprotectError::MissingKey)
    }

    fn open_frame(
        &self,
        gcm: &dyn Gcm,
        header: Header,
        frame: &mut [u8],
        originator: &SystemTitle,
    ) -> Result<Unprotected, UnprotectError> {
        let range = header.text.clone();
        let iv = originator.iv(header.counter);
        let (text, tag) = frame
            .get_mut(range.start..)
            .and_then(|rest| rest.split_at_mut_checked(range.len()))
            .unwrap_or_default();
        let proof = self.open(gcm, header.control, &iv, text, tag)?;
        check_service(&header, text)?;
        Ok(Unprotected {
            header,
            range,
            proof,
        })
    }

    fn gcm(&self, wrapping: Wrapping, control: SecurityControl) -> Result<&dyn Gcm, KeyKind> {
        let (kind, gcm) = if wrapping.is_dedicated() {
            (KeyKind::Dedicated, self.dedicated.as_ref())
        } else if control.broadcast() {
            (KeyKind::Broadcast, self.broadcast.as_ref())
        } else {
            (KeyKind::Encryption, Some(&self.encryption))
        };
        gcm.map(AsRef::as_ref).ok_or(kind)
    }

    /// Makes the tag over `text` that stays in clear: GMAC, as HLS 5 and
    /// authentication only have it.
    pub(super) fn gmac(
        &self,
        originator: &SystemTitle,
        counter: FreshCounter,
        text: &[u8],
    ) -> Result<(SecurityControl, Tag), ProtectError> {
        let control = SecurityControl::new(self.suite, Protection::Authenticated);
        let aad = self
            .aad(control, text)
            .ok_or(ProtectError::MissingKey(KeyKind::Authentication))?;
        let tag = self
            .encryption
            .seal(&originator.iv(counter.value()), aad.octets(), &mut [])
            .map_err(|_| ProtectError::TooLong)?;
        Ok((control, tag))
    }

    /// Verifies what [`gmac`](Self::gmac) makes.
    pub(super) fn gmac_verify(
        &self,
        originator: &SystemTitle,
        counter: u32,
        text: &[u8],
        tag: &Tag,
    ) -> Result<TagVerified, UnprotectError> {
        let control = SecurityControl::new(self.suite, Protection::Authenticated);
        let aad = self
            .aad(control, text)
            .ok_or(UnprotectError::MissingKey(KeyKind::Authentication))?;
        self.encryption
            .open(&originator.iv(counter), aad.octets(), &mut [], tag)
            .map_err(|_| UnprotectError::TagMismatch)?;
        Ok(TagVerified::new())
    }

    /// Seals `text` in place.
    fn seal(
        &self,
        gcm: &dyn Gcm,
        control: SecurityControl,
        iv: &Iv,
        text: &mut [u8],
    ) -> Result<Option<Tag>, ProtectError> {
        let missing = || ProtectError::MissingKey(KeyKind::Authentication);
        let sealed = match control.protection() {
            Protection::None => return Err(ProtectError::NoProtection),
            Protection::Encrypted => gcm.counter_mode(iv, text).map(|()| None),
            Protection::AuthenticatedEncrypted => {
                let aad = self.aad(control, &[]).ok_or_else(missing)?;
                gcm.seal(iv, aad.octets(), text).map(Some)
            }
            Protection::Authenticated => {
                let aad = self.aad(control, text).ok_or_else(missing)?;
                gcm.seal(iv, aad.octets(), &mut []).map(Some)
            }
        };
        sealed.map_err(|_| ProtectError::TooLong)
    }

    /// Verifies, and deciphers in place.
    fn open(
        &self,
        gcm: &dyn Gcm,
        control: SecurityControl,
        iv: &Iv,
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<TagVerified, UnprotectError> {
        let missing = || UnprotectError::MissingKey(KeyKind::Authentication);
        let protection = control.protection();
        let tag: &Tag = match (protection.authenticated(), tag.try_into()) {
            (true, Ok(tag)) => tag,
            _ => return Err(UnprotectError::NoTag),
        };
        let opened = if protection.encrypted() {
            let aad = self.aad(control, &[]).ok_or_else(missing)?;
            gcm.open(iv, aad.octets(), text, tag)
        } else {
            let aad = self.aad(control, text).ok_or_else(missing)?;
            gcm.open(iv, aad.octets(), &mut [], tag)
        };
        opened.map_err(|_| UnprotectError::TagMismatch)?;
        Ok(TagVerified::new())
    }

    /// Makes the additional authenticated data: security control,
    /// authentication key, and the text that stays in clear.
    fn aad(&self, control: SecurityControl, clear: &[u8]) -> Option<Aad> {
        let key = self.authentication.as_ref()?.dangerous_octets();
        let mut aad = Aad {
            head: Zeroizing::new([0; AAD_HEAD_MAX]),
            head_len: 1 + key.len(),
            long: Vec::new(),
        };
        if clear.is_empty() {
            let (first, rest) = aad.head.split_first_mut()?;
            *first = control.octet();
            rest.get_mut(..key.len())?.copy_from_slice(key);
        } else {
            // Room for all at once: a vector that grows would leave the key
            // behind in memory that is not wiped.
            aad.long.reserve_exact(1 + key.len() + clear.len());
            aad.long.push(control.octet());
            aad.long.extend_from_slice(key);
            aad.long.extend_from_slice(clear);
        }
        Some(aad)
    }
}

/// Additional authenticated data. The key in front is wiped when dropped; the
/// text behind it went in clear anyhow.
struct Aad {
    head: Zeroizing<[u8; AAD_HEAD_MAX]>,
    head_len: usize,
    long: Vec<u8>,
}

impl Drop for Aad {
    fn drop(&mut self) {
        self.long
            .get_mut(..self.head_len)
            .unwrap_or_default()
            .zeroize();
    }
}

impl Aad {
    fn octets(&self) -> &[u8] {
        if self.long.is_empty() {
            self.head.get(..self.head_len).unwrap_or_default()
        } else {
            &self.long
        }
    }
}

fn check_service(header: &Header, text: &[u8]) -> Result<(), UnprotectError> {
    match (header.service, text.first()) {
        (Some(expected), Some(&received)) if received != expected => {
            Err(UnprotectError::WrongService { expected, received })
        }
        _ => Ok(()),
    }
}

/// An APDU whose tag verified. It stands in the frame that was handed in.
#[derive(Debug)]
pub struct Unprotected {
    header: Header,
    range: Range<usize>,
    proof: TagVerified,
}

impl Unprotected {
    /// Tells what stood in clear, now verified.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Tells where the plain APDU stands in the frame.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Shows the plain APDU in `frame`, the one that was handed in.
    #[must_use]
    pub fn plain<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.range.clone()).unwrap_or_default()
    }

    /// Shows the proof that the tag verified.
    pub const fn proof(&self) -> &TagVerified {
        &self.proof
    }

    /// Hands over the proof.
    pub fn into_proof(self) -> TagVerified {
        self.proof
    }
}

/// An APDU that was deciphered and not verified: anybody may have written it.
#[derive(Debug)]
pub struct Unverified {
    header: Header,
    range: Range<usize>,
}

impl Unverified {
    /// Tells what stood in clear.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Tells where the plain text stands in the frame.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Shows the plain text in `frame`, the one that was handed in.
    #[must_use]
    pub fn dangerous_plain<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.range.clone()).unwrap_or_default()
    }
}

/// An APDU that cannot be protected so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// There is no APDU.
    #[error("there is no APDU to protect")]
    Empty,
    /// The service has no glo- or ded- form; the general forms take any.
    #[error("an APDU with tag 0x{tag:02x} has no ciphered form of its own")]
    NoSuchForm {
        /// The tag of the plain APDU.
        tag: u8,
    },
    /// The envelope asks for nothing.
    #[error("a ciphered APDU without protection")]
    NoProtection,
    /// The broadcast key and the dedicated key exclude each other.
    #[error("the dedicated key is for one peer, not for broadcast")]
    BroadcastDedicated,
    /// The key is not there.
    #[error("there is no {0}")]
    MissingKey(KeyKind),
    /// The APDU is longer than a length field can say.
    #[error("the APDU is too long")]
    TooLong,
}

/// A ciphered APDU that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnprotectError {
    /// The tag is none of a ciphered APDU.
    #[error("the APDU with tag 0x{tag:02x} is not ciphered")]
    NotCiphered {
        /// The tag.
        tag: u8,
    },
    /// The octets are no ciphered APDU.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Another security suite.
    #[error("security suite {received} where suite {} was agreed", .expected.id())]
    Suite {
        /// The suite of the keys.
        expected: SecuritySuite,
        /// The suite's id in the security control octet.
        received: u8,
    },
    /// Compression (V.44) is not supported.
    #[error("the APDU is compressed")]
    Compressed,
    /// Less protection than required, or none.
    #[error("{received} where {required} is required")]
    Insufficient {
        /// What is required.
        required: Protection,
        /// What the APDU has.
        received: Protection,
    },
    /// The broadcast key and the dedicated key exclude each other.
    #[error("broadcast under the dedicated key")]
    BroadcastDedicated,
    /// The broadcast key where the unicast or the dedicated key belongs, or
    /// the other way round.
    #[error("protected under the {} key", if *.broadcast { "broadcast" } else { "unicast" })]
    KeySet {
        /// Whether the broadcast key was used.
        broadcast: bool,
    },
    /// The system title is not the peer's.
    #[error("system title {received} where {expected} was expected")]
    ForeignTitle {
        /// The peer's title.
        expected: SystemTitle,
        /// The title in the APDU.
        received: SystemTitle,
    },
    /// The key is not there.
    #[error("there is no {0}")]
    MissingKey(KeyKind),
    /// The counter was used before.
    #[error(transparent)]
    Replayed(#[from] ReplayError),
    /// There is no tag, so nothing can be verified.
    #[error("encryption without authentication: there is no tag to verify")]
    NoTag,
    /// The tag is not of these keys and this APDU.
    #[error("the authentication tag does not verify")]
    TagMismatch,
    /// The plain APDU is of another service than its wrapper says.
    #[error("tag 0x{received:02x} inside a wrapper for tag 0x{expected:02x}")]
    WrongService {
        /// The tag that belongs to the wrapper.
        expected: u8,
        /// The tag of the plain APDU.
        received: u8,
    },
    /// The text is beyond the algorithm's limit.
    #[error("the APDU is too long")]
    TooLong,
}
