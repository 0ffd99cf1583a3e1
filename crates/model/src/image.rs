//! Firmware images: what a maker signs, and what a meter takes.
//!
//! ```text
//!  4  "GWFW"
//!  1  format: 1
//!  1  signature: 1, ECDSA with P-256 and SHA-256
//!  1  octets of the target model, then its name
//!  1  octets of the identifier, then it: what the meter calls itself with this image
//!  4  version, big-endian; it only rises
//!  4  octets of the content, big-endian
//! 32  SHA-256 of the content
//! 64  signature over all before: r and s
//!  n  content
//! ```
//!
//! Whatever carries an image, the signature alone says that it is the maker's. What is under it
//! is short and fixed before anything of the content is looked at.

use alloc::string::String;
use alloc::vec::Vec;

use dlms::codec::{DecodeError, Reader};
use dlms::security::{PublicKey, Signature, SignatureVerified, Signatures};
use sha2::{Digest as _, Sha256};

/// Octets of the longest image with all that is before its content.
pub const IMAGE_LEN_MAX: u32 = 4 << 20;

/// Octets of the longest name of a model, and of the longest identifier.
pub const IMAGE_NAME_LEN_MAX: usize = 32;

const MAGIC: [u8; 4] = *b"GWFW";
const FORMAT: u8 = 1;
const ECDSA_P256: u8 = 1;
const SIGNATURE_LEN: usize = 64;

/// What is signed of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    model: String,
    identifier: String,
    version: u32,
    length: u32,
    digest: [u8; 32],
}

impl ImageHeader {
    /// Describes a content for meters of `model`.
    ///
    /// # Errors
    /// [`ImageError::Name`] and [`ImageError::Length`].
    pub fn new(
        model: &str,
        identifier: &str,
        version: u32,
        content: &[u8],
    ) -> Result<Self, ImageError> {
        let length = u32::try_from(content.len()).map_err(|_| ImageError::Length)?;
        let header = Self {
            model: name(model.as_bytes())?,
            identifier: name(identifier.as_bytes())?,
            version,
            length,
            digest: Sha256::digest(content).into(),
        };
        if length == 0 || header.image_length() > u64::from(IMAGE_LEN_MAX) {
            return Err(ImageError::Length);
        }
        Ok(header)
    }

    /// Returns the model whose meters it is for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns what the meter calls itself with this image.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Returns the version: a meter takes none that is not higher than what it runs.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Returns the octets of the content.
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// Returns what is signed.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.model.len() + self.identifier.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORMAT, ECDSA_P256]);
        for name in [&self.model, &self.identifier] {
            out.push(u8::try_from(name.len()).unwrap_or(0));
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(&self.digest);
        out
    }

    /// Puts header, signature and content together.
    pub fn seal(&self, signature: &Signature, content: &[u8]) -> Vec<u8> {
        let mut out = self.to_octets();
        out.extend_from_slice(signature);
        out.extend_from_slice(content);
        out
    }

    fn image_length(&self) -> u64 {
        let before = 48 + self.model.len() + self.identifier.len() + SIGNATURE_LEN;
        u64::from(self.length) + before as u64
    }
}

/// An image whose form is sound. Nothing of it is believed before [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    header: ImageHeader,
    signed: &'a [u8],
    signature: Signature,
    content: &'a [u8],
}

impl<'a> Image<'a> {
    /// Takes an image apart.
    ///
    /// # Errors
    /// [`ImageError`] where it has another form or length than its header says.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ImageError> {
        if octets.len() as u64 > u64::from(IMAGE_LEN_MAX) {
            return Err(ImageError::Length);
        }
        let mut reader = Reader::new(octets);
        let [m1, m2, m3, m4, format, scheme] = reader.array::<6>("magic, format and signature")?;
        if [m1, m2, m3, m4] != MAGIC || format != FORMAT || scheme != ECDSA_P256 {
            return Err(ImageError::NotOurs);
        }
        let mut names = [const { String::new() }; 2];
        for entry in &mut names {
            let length = usize::from(reader.u8("length of a name")?);
            *entry = name(reader.take(length, "name")?)?;
        }
        let [model, identifier] = names;
        let version = u32::from_be_bytes(reader.array("version")?);
        let length = u32::from_be_bytes(reader.array("length of the content")?);
        let digest = reader.array("digest of the content")?;
        let signed = octets.get(..reader.offset()).unwrap_or_default();
        let signature = reader.array("signature")?;
        let content = octets.get(reader.offset()..).unwrap_or_default();
        if content.is_empty() || content.len() as u64 != u64::from(length) {
            return Err(ImageError::Length);
        }
        let header = ImageHeader {
            model,
            identifier,
            version,
            length,
            digest,
        };
        Ok(Self {
            header,
            signed,
            signature,
            content,
        })
    }

    /// Returns what the image says of itself.
    pub const fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// Returns the signature.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Returns the content.
    pub const fn content(&self) -> &'a [u8] {
        self.content
    }

    /// Verifies that the maker signed this.
    ///
    /// # Errors
    /// [`ImageError::Signature`], and [`ImageError::Digest`] where the content is another.
    pub fn verify(
        &self,
        provider: &dyn Signatures,
        maker: &PublicKey,
    ) -> Result<SignatureVerified, ImageError> {
        let proof = maker
            .verify(provider, self.signed, &self.signature)
            .map_err(|_| ImageError::Signature)?;
        if <[u8; 32]>::from(Sha256::digest(self.content)) != self.header.digest {
            return Err(ImageError::Digest);
        }
        Ok(proof)
    }

    /// Verifies all that a meter of `model`, which runs version `running`, asks of an image.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), then [`ImageError::Model`] and [`ImageError::Version`].
    pub fn admit(
        &self,
        provider: &dyn Signatures,
        maker: &PublicKey,
        model: &str,
        running: u32,
    ) -> Result<SignatureVerified, ImageError> {
        let proof = self.verify(provider, maker)?;
        if self.header.model != model {
            return Err(ImageError::Model);
        }
        if self.header.version <= running {
            return Err(ImageError::Version {
                image: self.header.version,
                running,
            });
        }
        Ok(proof)
    }
}

fn name(octets: &[u8]) -> Result<String, ImageError> {
    let fits = !octets.is_empty() && octets.len() <= IMAGE_NAME_LEN_MAX;
    let text = core::str::from_utf8(octets).map_err(|_| ImageError::Name)?;
    if fits
        && text
            .bytes()
            .all(|octet| octet.is_ascii_graphic() || octet == b' ')
    {
        Ok(text.into())
    } else {
        Err(ImageError::Name)
    }
}

/// Why octets are no image, or none for this meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The content is not what was signed.
    #[error("the content is not the one that was signed")]
    Digest,
    /// It ends within a field.
    #[error("the image is cut off")]
    Form(#[from] DecodeError),
    /// The content is empty, too long, or not as long as the header says.
    #[error("the content has another length than the header says, none, or too many octets")]
    Length,
    /// It is for another model.
    #[error("the image is for another model")]
    Model,
    /// The model or the identifier is empty, too long or no printable ASCII.
    #[error("model and identifier have 1 to 32 printable ASCII characters")]
    Name,
    /// It does not begin as an image does.
    #[error("this is no firmware image of format 1")]
    NotOurs,
    /// The maker did not sign this.
    #[error("the maker's signature does not verify")]
    Signature,
    /// It is not newer than what runs.
    #[error("version {image} is not above version {running}, which runs")]
    Version {
        /// The image's version.
        image: u32,
        /// The version that runs.
        running: u32,
    },
}
