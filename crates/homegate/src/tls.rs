//! The certificate: provided, or made at the first start, with its fingerprint.
//!
//! An own one is signed by an authority of this gateway alone, which browsers
//! can be told to trust: without trust they run no service worker, and the page
//! does not open while the gateway is away. The authority can vouch for names
//! and addresses of the home only, so that whoever trusts it gives nothing else
//! away. The certificate lasts as long as the strictest of browsers allows, and
//! is made anew before that, under the same authority.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData as _,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
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
    /// The own authority's certificate in PEM, where there is one.
    pub authority: Option<Arc<str>>,
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

/// Days that the own authority holds: whoever has told a browser to trust it
/// need not do so again.
const AUTHORITY_DAYS: i64 = 20 * 365;

/// Days that an own certificate holds: Apple's systems take 825 at most, also
/// under an authority that their owner has added.
const DAYS: i64 = 800;

/// Days before its end from which on it is made anew.
const RENEWAL_DAYS: i64 = 200;

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
            authority: None,
        })
    }

    /// Takes the own one of `folder`, or makes it, for these names. A folder
    /// with a certificate and no authority keeps what it has.
    ///
    /// # Errors
    /// [`IdentityError`] says why there is none.
    pub fn own(folder: &Path, names: &[String], now: Timestamp) -> Result<Self, IdentityError> {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let (authority, authority_key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
        let made = folder.join("cert.json");
        if cert.exists() && key.exists() && !authority.exists() {
            return Self::provided(&cert, &key);
        }
        let names = all_names(names);
        let put = |path: &Path, text: &str| {
            replace(path, text.as_bytes()).map_err(|source| file(path, source))
        };
        let mut kept = fs::read(&made)
            .ok()
            .and_then(|text| serde_json::from_slice::<Made>(&text).ok())
            .filter(|_| {
                [&cert, &key, &authority, &authority_key]
                    .iter()
                    .all(|it| it.exists())
            });
        if kept.as_ref().is_some_and(|kept| !kept.covers(&names)) {
            tracing::warn!("the authority cannot vouch for the names configured: another is made");
            kept = None;
        }
        let permitted = match &kept {
            Some(kept) => kept.permitted.clone(),
            None => permitted(&names),
        };
        let is_due = kept.as_ref().is_none_or(|kept| {
            kept.names != names || kept.until - now.secs() < RENEWAL_DAYS * 86_400
        });
        if is_due {
            let signing = match &kept {
                Some(_) => {
                    let text = fs::read_to_string(&authority_key)
                        .map(zeroize::Zeroizing::new)
                        .map_err(|source| file(&authority_key, source))?;
                    KeyPair::from_pem(&text)?
                }
                None => KeyPair::generate()?,
            };
            let params = authority_params(&signing, &permitted, now)?;
            if kept.is_none() {
                let text = zeroize::Zeroizing::new(signing.serialize_pem());
                put(&authority_key, &text)?;
                put(&authority, &params.self_signed(&signing)?.pem())?;
            }
            let own = KeyPair::generate()?;
            let params_own = own_params(&names, now)?;
            let signed = params_own.signed_by(&own, &Issuer::new(params, signing))?;
            let chain =
                fs::read_to_string(&authority).map_err(|source| file(&authority, source))?;
            put(&key, &zeroize::Zeroizing::new(own.serialize_pem()))?;
            put(&cert, &format!("{}{chain}", signed.pem()))?;
            let told = Made {
                until: begin(now).secs() + DAYS * 86_400,
                names,
                permitted,
            };
            let told = serde_json::to_string(&told).unwrap_or_default();
            put(&made, &told)?;
        }
        let pem = fs::read_to_string(&authority).map_err(|source| file(&authority, source))?;
        Ok(Self {
            authority: Some(pem.into()),
            ..Self::provided(&cert, &key)?
        })
    }
}

/// What an own certificate was made for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Made {
    /// When it ends, in seconds.
    until: i64,
    names: Vec<String>,
    /// Names of hosts that the authority can vouch for, and what is below them;
    /// addresses beside those of homes.
    permitted: Vec<String>,
}

impl Made {
    fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| {
            let within = |top: &String| {
                name.strip_suffix(top.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            };
            match name.parse::<IpAddr>() {
                Ok(address) => is_of_homes(address) || self.permitted.contains(name),
                Err(_) => self.permitted.iter().any(within),
            }
        })
    }
}

/// Names of homes: RFC 6762, RFC 8375, ICANN's `internal`, and what routers
/// usually take.
const DOMAINS: [&str; 6] = ["localhost", "local", "home.arpa", "internal", "lan", "home"];

/// Addresses of homes: RFC 1918, RFC 3927, RFC 4193, RFC 4291, and this machine.
const NETWORKS_V4: [([u8; 4], u8); 5] = [
    ([10, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
    ([169, 254, 0, 0], 16),
    ([127, 0, 0, 0], 8),
];
const NETWORKS_V6: [(u16, u8); 2] = [(0xFC00, 7), (0xFE80, 10)];

fn is_of_homes(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_link_local() || address.is_loopback()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

fn permitted(names: &[String]) -> Vec<String> {
    let mut all: Vec<String> = DOMAINS.map(str::to_owned).to_vec();
    all.extend(
        names
            .iter()
            .filter_map(|name| match name.parse::<IpAddr>() {
                Ok(address) => (!is_of_homes(address)).then(|| name.clone()),
                Err(_) => Some(name.clone()),
            }),
    );
    all.sort();
    all.dedup();
    all
}

/// What the authority is, from its key alone: it is not read back.
fn authority_params(
    key: &KeyPair,
    permitted: &[String],
    now: Timestamp,
) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    // Authorities of several homes are told apart by more than their key.
    let digest = Sha256::digest(key.der_bytes());
    let short: String = digest
        .iter()
        .take(4)
        .map(|octet| format!("{octet:02X}"))
        .collect();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("Gridward home {short}"));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let whole = |address: IpAddr| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        CidrSubnet::from_addr_prefix(address, bits)
    };
    let mut subtrees: Vec<GeneralSubtree> = permitted
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => GeneralSubtree::IpAddress(whole(address)),
            Err(_) => GeneralSubtree::DnsName(name.clone()),
        })
        .collect();
    subtrees.extend(NETWORKS_V4.map(|(network, bits)| {
        GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(network, bits))
    }));
    subtrees.extend(NETWORKS_V6.map(|(first, bits)| {
        let network = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0);
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network.into(), bits))
    }));
    subtrees.push(GeneralSubtree::IpAddress(whole(Ipv6Addr::LOCALHOST.into())));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: subtrees,
        excluded_subtrees: Vec::new(),
    });
    set_span(&mut params, now, AUTHORITY_DAYS);
    Ok(params)
}

fn own_params(names: &[String], now: Timestamp) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Gridward home gateway");
    params.distinguished_name = name;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_span(&mut params, now, DAYS);
    Ok(params)
}

/// All names of this gateway.
fn all_names(configured: &[String]) -> Vec<String> {
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
    all.extend(configured.iter().cloned());
    all.sort();
    all.dedup();
    all
}

/// A day ago: clocks of a home are not all set.
fn begin(now: Timestamp) -> Timestamp {
    now.plus_secs(-86_400).max(UNSET)
}

fn set_span(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let begin = begin(now);
    let [first, last] = [begin, begin.plus_secs(days * 86_400)].map(civil);
    params.not_before = rcgen::date_time_ymd(first.0, first.1, first.2);
    params.not_after = rcgen::date_time_ymd(last.0, last.1, last.2);
}

/// Year, month and day in UTC.
fn civil(at: Timestamp) -> (i32, u8, u8) {
    let date = jiff::Timestamp::from_millisecond(at.millis())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    (
        i32::from(date.year()),
        u8::try_from(date.month()).unwrap_or(1),
        u8::try_from(date.day()).unwrap_or(1),
    )
}

fn file(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File {
        path: path.to_owned(),
        source,
    }
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
