//! Files with the keys of a firmware's maker: PEM, as other programs make and read them.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dlms::security::PublicKey;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

/// What stands before the point in the SubjectPublicKeyInfo of a key on P-256 that is not
/// compressed (RFC 5480: id-ecPublicKey, secp256r1).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Octets that a key file may have.
const FILE_LEN_MAX: u64 = 16 << 10;

/// Reads the public key of a maker: PEM with a SubjectPublicKeyInfo on P-256.
///
/// # Errors
/// [`MakerKeyError`] says what to do.
pub fn load_maker_key(path: &Path) -> Result<PublicKey, MakerKeyError> {
    let text = read(path)?;
    let fault = || MakerKeyError::NoPublicKey(path.to_owned());
    let der = SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|_| fault())?;
    let point = der.as_ref().strip_prefix(&P256_SPKI).ok_or_else(fault)?;
    PublicKey::from_octets(point).map_err(|_| fault())
}

/// Reads the private key of a maker, which its owner alone may read: PEM with PKCS #8. Returns
/// the PKCS #8 document.
///
/// # Errors
/// [`MakerKeyError`] says what to do.
pub fn load_maker_private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, MakerKeyError> {
    let io = |source| MakerKeyError::Io {
        path: path.to_owned(),
        source,
    };
    let mode = std::fs::metadata(path).map_err(io)?.mode();
    if mode & 0o077 != 0 {
        return Err(MakerKeyError::Readable(path.to_owned()));
    }
    let text = read(path)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&text)
        .map_err(|_| MakerKeyError::NoPrivateKey(path.to_owned()))?;
    Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec()))
}

/// Writes a maker's keys: the private one for its owner alone, the public one beside it with
/// `.pub` behind its name. Files that are there are left alone.
///
/// # Errors
/// [`MakerKeyError::Io`].
pub fn save_maker_keys(
    path: &Path,
    pkcs8: &[u8],
    public: &PublicKey,
) -> Result<PathBuf, MakerKeyError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let beside = PathBuf::from(name);
    let mut spki = P256_SPKI.to_vec();
    spki.extend_from_slice(public.octets());
    for (path, mode, label, der) in [
        (path, 0o600, "PRIVATE KEY", pkcs8),
        (beside.as_path(), 0o644, "PUBLIC KEY", &spki),
    ] {
        let text = Zeroizing::new(pem(label, der));
        let mut file = std::fs::OpenOptions::new();
        file.write(true).create_new(true).mode(mode);
        file.open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| MakerKeyError::Io {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(beside)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, MakerKeyError> {
    let io = |source| MakerKeyError::Io {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(io)?.len() > FILE_LEN_MAX {
        return Err(io(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(io)
}

/// Writes PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = Vec::with_capacity(der.len() * 4 / 3 + 4);
    for group in der.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 0x3F).unwrap_or(0);
            let digit = DIGITS.get(digit).copied().unwrap_or(b'=');
            digits.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in digits.chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Why a maker's key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakerKeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no public key on P-256.
    #[error("{0} holds no public key on P-256 in PEM: gridward image keys makes one")]
    NoPublicKey(PathBuf),
    /// The file holds no private key.
    #[error("{0} holds no private key in PEM and PKCS #8: gridward image keys makes one")]
    NoPrivateKey(PathBuf),
    /// Others may read the private key.
    #[error("others may read {0}: run chmod 600 on it, and make another key")]
    Readable(PathBuf),
}
