//! The key service: wraps secrets for storage and hands out those of one association.
//!
//! At rest every secret is wrapped under the master key with AES key wrap with padding (RFC 5649,
//! which is RFC 3394 for any length). What is wrapped opens with eight octets that name the meter,
//! the client and the kind, so that a wrapped secret moved to another place in the database does
//! not open there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use aes_kw::KeyInit;
use aes_kw::KwpAes256;
use model::{LogicalDeviceName, Timestamp};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::store::{Store, StoreError, WrappedClient};

/// Custody of secrets.
///
/// A trait, so that a process of its own or a hardware module can take the place of
/// [`LocalKeys`]: nothing outside asks for more than the secrets of one association.
pub trait KeyService: Send + Sync + fmt::Debug + 'static {
    /// Wraps the secrets of one client of a meter for storage.
    ///
    /// # Errors
    /// [`KeyError`] where a secret is longer than [`Secret::LEN_MAX`].
    fn wrap(
        &self,
        name: &LogicalDeviceName,
        secrets: &ClientSecrets,
        since: Timestamp,
    ) -> Result<WrappedClient, KeyError>;

    /// Returns the secrets that one client of a meter needs, or `None` where it has none.
    ///
    /// # Errors
    /// [`KeyError`] where the store fails or what it holds does not open.
    fn client_secrets(
        &self,
        name: &LogicalDeviceName,
        client: u16,
    ) -> Result<Option<ClientSecrets>, KeyError>;
}

/// A secret: zeroed when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The greatest length in octets.
    pub const LEN_MAX: usize = 256;

    /// Takes the octets.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Returns the octets; the caller must neither log nor keep them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What one client needs to associate with one meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecrets {
    /// Holds the client SAP; [`METER_ITSELF`] for secrets that belong to no client.
    pub client: u16,
    /// Names the authentication mechanism as a key file does: `none`, `lls`, `hls3` to `hls7`.
    pub mechanism: String,
    /// Holds the security suite.
    pub suite: u8,
    /// Holds the secrets by their names in a key file: `encryption_key`, `authentication_key`,
    /// `password`, `drkey_secret`, `master_key`, `broadcast_key`.
    pub secrets: BTreeMap<String, Secret>,
}

/// The client SAP under which a meter's master and broadcast keys are kept: no station.
pub const METER_ITSELF: u16 = 0;

/// The key service inside the head end's process, with its master key in a file.
pub struct LocalKeys {
    master: KwpAes256,
    store: Arc<dyn Store>,
}

impl LocalKeys {
    /// Takes the master key from a file of mode 0600, and makes one where there is none.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be used, can be read by others, or holds no key.
    pub fn open(path: &Path, store: Arc<dyn Store>) -> Result<Self, KeyError> {
        let key = match read_master(path)? {
            Some(key) => key,
            None => make_master(path)?,
        };
        Ok(Self {
            master: KwpAes256::new((&*key).into()),
            store,
        })
    }

    fn wrap_one(
        &self,
        name: &LogicalDeviceName,
        client: u16,
        kind: &str,
        secret: &Secret,
    ) -> Result<Vec<u8>, KeyError> {
        if secret.expose().len() > Secret::LEN_MAX || kind.len() > KIND_LEN_MAX {
            return Err(KeyError::TooLong);
        }
        let mut plain = Zeroizing::new(context(name, client, kind).to_vec());
        plain.extend_from_slice(secret.expose());
        let mut wrapped = vec![0; plain.len().div_ceil(8) * 8 + 8];
        self.master
            .wrap_key(&plain, &mut wrapped)
            .map_err(|_| KeyError::TooLong)?;
        Ok(wrapped)
    }

    fn unwrap_one(
        &self,
        name: &LogicalDeviceName,
        client: u16,
        kind: &str,
        wrapped: &[u8],
    ) -> Result<Secret, KeyError> {
        let mut plain = Zeroizing::new(vec![0; wrapped.len().saturating_sub(8)]);
        let opened = self.master.unwrap_key(wrapped, &mut plain);
        let opened = opened.map_err(|_| KeyError::DoesNotOpen)?;
        let secret = opened.strip_prefix(&context(name, client, kind));
        secret
            .map(|secret| Secret::new(secret.to_vec()))
            .ok_or(KeyError::DoesNotOpen)
    }
}

impl KeyService for LocalKeys {
    fn wrap(
        &self,
        name: &LogicalDeviceName,
        secrets: &ClientSecrets,
        since: Timestamp,
    ) -> Result<WrappedClient, KeyError> {
        let wrapped = secrets.secrets.iter().map(|(kind, secret)| {
            let wrapped = self.wrap_one(name, secrets.client, kind, secret)?;
            Ok((kind.clone(), wrapped))
        });
        Ok(WrappedClient {
            client: secrets.client,
            mechanism: secrets.mechanism.clone(),
            suite: secrets.suite,
            secrets: wrapped.collect::<Result<_, KeyError>>()?,
            since,
        })
    }

    fn client_secrets(
        &self,
        name: &LogicalDeviceName,
        client: u16,
    ) -> Result<Option<ClientSecrets>, KeyError> {
        let Some(wrapped) = self.store.secrets(name, client)? else {
            return Ok(None);
        };
        let secrets = wrapped.secrets.iter().map(|(kind, octets)| {
            let secret = self.unwrap_one(name, client, kind, octets)?;
            Ok((kind.clone(), secret))
        });
        Ok(Some(ClientSecrets {
            client,
            mechanism: wrapped.mechanism,
            suite: wrapped.suite,
            secrets: secrets.collect::<Result<_, KeyError>>()?,
        }))
    }
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKeys").finish_non_exhaustive()
    }
}

/// Why a secret could not be kept or had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A wrapped secret does not open: another master key, or it was moved or changed.
    #[error("a stored secret does not open under this master key")]
    DoesNotOpen,
    /// The operating system gives no random octets.
    #[error("the operating system gives no random octets")]
    Entropy,
    /// The file cannot be used.
    #[error("the key file {path} cannot be used")]
    File {
        /// Names the file.
        path: String,
        /// Says why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no key.
    #[error("{0} holds no master key: it must be 64 hex digits")]
    NoKey(String),
    /// Others may read the file.
    #[error("others may read {0}: run chmod 600 on it, and change the keys it protects")]
    NotPrivate(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A secret is too long.
    #[error("a secret is longer than 256 octets")]
    TooLong,
}

const KIND_LEN_MAX: usize = 64;
const MASTER_LEN: usize = 32;

fn context(name: &LogicalDeviceName, client: u16, kind: &str) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(b"gridward stored secret v1\0");
    hash.update(name.as_str().as_bytes());
    hash.update([0]);
    hash.update(client.to_be_bytes());
    hash.update(kind.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    [a, b, c, d, e, f, g, h]
}

/// Reads a file that holds secrets, up to `len_max` octets; `None` where there is none.
///
/// # Errors
/// [`KeyError::NotPrivate`] where others than its owner may read it, [`KeyError::File`] where it
/// cannot be read or is longer.
pub fn read_private(path: &Path, len_max: u64) -> Result<Option<Zeroizing<String>>, KeyError> {
    let failed = |source| KeyError::File {
        path: path.display().to_string(),
        source,
    };
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::NotPrivate(path.display().to_string()));
    }
    if metadata.len() > len_max {
        return Err(failed(ErrorKind::FileTooLarge.into()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(len_max)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Some(text))
}

fn read_master(path: &Path) -> Result<Option<Zeroizing<[u8; MASTER_LEN]>>, KeyError> {
    let Some(text) = read_private(path, 1_024)? else {
        return Ok(None);
    };
    let octets = Zeroizing::new(
        link::parse_hex(&text).ok_or_else(|| KeyError::NoKey(path.display().to_string()))?,
    );
    let key = <[u8; MASTER_LEN]>::try_from(octets.as_slice());
    key.map(|key| Some(Zeroizing::new(key)))
        .map_err(|_| KeyError::NoKey(path.display().to_string()))
}

fn make_master(path: &Path) -> Result<Zeroizing<[u8; MASTER_LEN]>, KeyError> {
    let failed = |source| KeyError::File {
        path: path.display().to_string(),
        source,
    };
    let mut key = Zeroizing::new([0; MASTER_LEN]);
    getrandom::fill(&mut *key).map_err(|_| KeyError::Entropy)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * MASTER_LEN + 1));
    for octet in &*key {
        text.push_str(&format!("{octet:02x}"));
    }
    text.push('\n');
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    // The name in the folder must survive a power loss as well: what is wrapped under a lost key
    // is lost.
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
    }
    Ok(key)
}
