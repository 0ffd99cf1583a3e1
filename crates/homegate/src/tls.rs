//! The certificate: provided, or made at the first start, with its fingerprint.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::credential::replace;

/// What connections are served with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it: pairs of digits with
    /// colons between.
    pub fingerprint: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// Names it.
        path: PathBuf,
        /// Says why.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificate, or no key.
    #[error("{path} holds no {what} in PEM")]
    Pem {
        /// Names it.
        path: PathBuf,
        /// Says which.
        what: &'static str,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not go together.
    #[error("certificate and key cannot be used")]
    Tls(#[from] rustls::Error),
}

/// Years that an own certificate holds: it is known by its fingerprint, and a
/// gateway has nobody who renews it.
const DAYS: i64 = 20 * 365;

/// Before this a clock is not set: 2025-01-01T00:00:00Z.
const UNSET: Timestamp = Timestamp::from_secs(1_735_689_600);

impl Identity {
    /// Takes what is provided.
    ///
    /// # Errors
    /// [`IdentityError`] says why it cannot be used.
    pub fn provided(cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| pem(cert, "certificate", error))?;
        let Some(first) = chain.first() else {
            return Err(IdentityError::Pem {
                path: cert.to_owned(),
                what: "certificate",
            });
        };
        let fingerprint = fingerprint(first);
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, "private key", error))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Nothing is resumed: clients keep connections, and a table takes memory.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            fingerprint,
        })
    }

    /// Takes the own one of `folder`, or makes it, for these names.
    ///
    /// # Errors
    /// [`IdentityError`] says why there is none.
    pub fn own(folder: &Path, names: &[String], now: Timestamp) -> Result<Self, IdentityError> {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        if !cert.exists() || !key.exists() {
            let (chain, private) = make(names, now)?;
            for (path, text) in [(&key, private.as_str()), (&cert, chain.as_str())] {
                replace(path, text.as_bytes()).map_err(|source| IdentityError::File {
                    path: path.clone(),
                    source,
                })?;
            }
        }
        Self::provided(&cert, &key)
    }
}

fn make(
    names: &[String],
    now: Timestamp,
) -> Result<(String, zeroize::Zeroizing<String>), IdentityError> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    let plain = |host: &str| {
        !host.is_empty()
            && host.len() <= 63
            && host
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    if plain(host) {
        all.extend([host.to_owned(), format!("{host}.local")]);
    }
    all.extend(names.iter().cloned());
    all.sort();
    all.dedup();
    let mut params = CertificateParams::new(all)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Gridward home gateway");
    params.distinguished_name = name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A day ago: clocks of a home are not all set.
    let begin = now.plus_secs(-86_400).max(UNSET);
    let date = |at: Timestamp| {
        let date = jiff::Timestamp::from_millisecond(at.millis())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    params.not_before = date(begin);
    params.not_after = date(begin.plus_secs(DAYS * 86_400));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((
        certificate.pem(),
        zeroize::Zeroizing::new(key.serialize_pem()),
    ))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    let pairs: Vec<String> = digest.iter().map(|octet| format!("{octet:02X}")).collect();
    pairs.join(":")
}

fn pem(path: &Path, what: &'static str, error: rustls::pki_types::pem::Error) -> IdentityError {
    let path = path.to_owned();
    match error {
        rustls::pki_types::pem::Error::Io(source) => IdentityError::File { path, source },
        _ => IdentityError::Pem { path, what },
    }
}
