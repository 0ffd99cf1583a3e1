//! Who may look: one credential for the home, and tokens of third parties.
//!
//! A password that somebody chose is kept as argon2id with 4 MiB; a random one
//! as its SHA-256, which is as hard to undo. What was verified is remembered as
//! a keyed hash with a key of this process, so that the next request costs one
//! HMAC. Attempts are limited before anything is hashed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Memory that one hash of a chosen password takes, in KiB.
const MEMORY_KIB: u32 = 4_096;
const PASSES: u32 = 3;

/// Octets that a user's name and a password may have.
pub const USER_MAX: usize = 64;
/// See above.
pub const PASSWORD_MAX: usize = 256;

/// The least characters of a password that somebody chooses.
pub const PASSWORD_MIN: usize = 10;

/// The user whom the first start makes.
pub const USER: &str = "home";

/// Wrong attempts of one address within a time.
const FAILURES_MAX: u32 = 10;
const FAILURES_S: i64 = 60;

/// Addresses whose attempts are counted; when there are more, all wait.
const ADDRESSES_MAX: usize = 1_024;

/// Third parties, at most.
const PARTIES_MAX: usize = 64;

/// Octets that a file of credentials may have.
const FILE_MAX: u64 = 64 * 1_024;

/// The credential as it is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argon2id: Option<Argon2id>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Argon2id {
    memory_kib: u32,
    passes: u32,
    salt: String,
    hash: String,
}

/// The file of third parties.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parties {
    #[serde(default)]
    third_party: Vec<Party>,
}

/// A third party: somebody to whom the resident shows Green Button data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    name: String,
    token_sha256: String,
    #[serde(default)]
    history: bool,
}

/// Who was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Somebody of the home.
    Home,
    /// A third party, who may read Green Button.
    Party {
        /// Its name.
        name: String,
        /// Whether it may read history.
        history: bool,
    },
}

/// Why nobody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The credential is none, or wrong.
    Wrong,
    /// There were too many wrong ones.
    TooMany {
        /// When to try again.
        retry_after_s: u64,
    },
}

/// Recognises.
pub struct Credentials {
    kept: Kept,
    parties: Vec<(Party, [u8; 32])>,
    key: Zeroizing<[u8; 32]>,
    verified: Mutex<Option<[u8; 32]>>,
    failures: Mutex<BTreeMap<IpAddr, Failures>>,
    /// One hash at a time: they take memory.
    hashing: Semaphore,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The operating system gives no random octets.
    #[error("the operating system gives no random octets")]
    Entropy,
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// Names it.
        path: PathBuf,
        /// Says why.
        #[source]
        source: std::io::Error,
    },
    /// What stands in a file is no credential.
    #[error("{path}: {reason}")]
    Form {
        /// Names the file.
        path: PathBuf,
        /// Says why, without anything of what stands there.
        reason: &'static str,
    },
    /// Others may read a file.
    #[error("{path}: others may read it; chmod 600 {path}")]
    Exposed {
        /// Names it.
        path: PathBuf,
    },
    /// The password cannot be chosen.
    #[error("a password has 10 to 256 characters")]
    Password,
}

/// A password that was made, to be told once.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

const FILE: &str = "credential.toml";

impl Credentials {
    /// Reads the credential from `folder`; where there is none, one is made and
    /// told, once.
    ///
    /// # Errors
    /// [`CredentialError`] says why it cannot be used.
    pub fn open(
        folder: &Path,
        parties: Option<&Path>,
    ) -> Result<(Self, Option<Made>), CredentialError> {
        let path = folder.join(FILE);
        let (kept, made) = match read::<Kept>(&path)? {
            Some(kept) => (kept, None),
            None => {
                let password = random_text()?;
                let kept = Kept {
                    user: USER.to_owned(),
                    token_sha256: Some(hex(&Sha256::digest(password.as_bytes()))),
                    argon2id: None,
                };
                write(&path, &kept)?;
                let user = kept.user.clone();
                (kept, Some(Made { user, password }))
            }
        };
        let form = |reason| CredentialError::Form {
            path: path.clone(),
            reason,
        };
        let token_fits = kept.token_sha256.as_deref().map(digest_of);
        match (&token_fits, &kept.argon2id) {
            (Some(Some(_)), None) => {}
            (None, Some(argon)) => {
                if argon.memory_kib > MEMORY_KIB || argon.passes > 16 {
                    return Err(form("argon2id takes more than 4 MiB or 16 passes"));
                }
                if digest_of(&argon.hash).is_none() || bytes_of(&argon.salt).is_none() {
                    return Err(form("argon2id is not hexadecimal digits"));
                }
            }
            _ => return Err(form("one of token_sha256 and argon2id is needed")),
        }
        if kept.user.is_empty() || kept.user.len() > USER_MAX || kept.user.contains(':') {
            return Err(form("user has 1 to 64 characters and no colon"));
        }
        let parties = match parties {
            None => Vec::new(),
            Some(path) => third_parties(path, &kept.user)?,
        };
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|_| CredentialError::Entropy)?;
        let credentials = Self {
            kept,
            parties,
            key,
            verified: Mutex::new(None),
            failures: Mutex::new(BTreeMap::new()),
            hashing: Semaphore::new(1),
        };
        Ok((credentials, made))
    }

    /// Keeps a password that somebody chose.
    ///
    /// # Errors
    /// [`CredentialError`] says why it cannot be.
    pub fn choose(folder: &Path, user: &str, password: &str) -> Result<(), CredentialError> {
        let characters = password.chars().count();
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&characters) || password.len() > PASSWORD_MAX {
            return Err(CredentialError::Password);
        }
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| CredentialError::Entropy)?;
        let hash = argon2(password.as_bytes(), &salt, MEMORY_KIB, PASSES)
            .ok_or(CredentialError::Password)?;
        let kept = Kept {
            user: user.to_owned(),
            token_sha256: None,
            argon2id: Some(Argon2id {
                memory_kib: MEMORY_KIB,
                passes: PASSES,
                salt: hex(&salt),
                hash: hex(&hash),
            }),
        };
        write(&folder.join(FILE), &kept)
    }

    /// Tells whether `folder` has a credential.
    #[must_use]
    pub fn exist(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// The user of the home.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.kept.user
    }

    /// Recognises somebody by user and password.
    ///
    /// # Errors
    /// [`Refusal`] says why not.
    pub async fn check(
        &self,
        user: &str,
        password: &str,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Who, Refusal> {
        // One keyed hash is cheap enough for anybody; what was verified stays
        // in, whoever else tries.
        let given = self.keyed(user, password);
        let verified = *self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.is_some_and(|verified| bool::from(verified.ct_eq(&given))) {
            return Ok(Who::Home);
        }
        self.allowed(from, now)?;
        let fits = user.len() <= USER_MAX && password.len() <= PASSWORD_MAX;
        let is_home = bool::from(user.as_bytes().ct_eq(self.kept.user.as_bytes()));
        let digest: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        if fits && !is_home {
            let party = self
                .parties
                .iter()
                .find(|(party, token)| party.name == user && bool::from(token.ct_eq(&digest)));
            if let Some((party, _)) = party {
                return Ok(Who::Party {
                    name: party.name.clone(),
                    history: party.history,
                });
            }
        }
        let matches = fits && is_home && self.matches(password, &digest).await;
        if matches {
            *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
            self.failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&from);
            return Ok(Who::Home);
        }
        self.failed(from, now);
        Err(Refusal::Wrong)
    }

    async fn matches(&self, password: &str, digest: &[u8; 32]) -> bool {
        if let Some(token) = self.kept.token_sha256.as_deref().and_then(digest_of) {
            return bool::from(token.ct_eq(digest));
        }
        let Some(argon) = self.kept.argon2id.clone() else {
            return false;
        };
        let Ok(_turn) = self.hashing.acquire().await else {
            return false;
        };
        let password = Zeroizing::new(password.to_owned());
        let hashed = tokio::task::spawn_blocking(move || {
            let salt = bytes_of(&argon.salt)?;
            let hash = argon2(password.as_bytes(), &salt, argon.memory_kib, argon.passes)?;
            Some(bool::from(hash.ct_eq(&digest_of(&argon.hash)?)))
        });
        hashed.await.ok().flatten().unwrap_or(false)
    }

    fn keyed(&self, user: &str, password: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else {
            // HMAC takes keys of any length; were it otherwise, nobody matches.
            return [0; 32];
        };
        mac.update(&user.len().to_be_bytes());
        mac.update(user.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn allowed(&self, from: IpAddr, now: Timestamp) -> Result<(), Refusal> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, entry| recent(entry, now));
        let full = failures.len() >= ADDRESSES_MAX && !failures.contains_key(&from);
        let left = match failures.get(&from) {
            Some(entry) if entry.count >= FAILURES_MAX => {
                FAILURES_S - now.millis_since(entry.since) / 1_000
            }
            _ if full => FAILURES_S,
            _ => return Ok(()),
        };
        Err(Refusal::TooMany {
            retry_after_s: left.max(1).unsigned_abs(),
        })
    }

    fn failed(&self, from: IpAddr, now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(&from) {
            return;
        }
        let entry = failures.entry(from).or_insert(Failures {
            since: now,
            count: 0,
        });
        entry.count = entry.count.saturating_add(1);
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.kept.user)
            .field("parties", &self.parties.len())
            .finish_non_exhaustive()
    }
}

/// Makes a token for a third party: the token itself, and what its file holds.
///
/// # Errors
/// [`CredentialError::Entropy`]
pub fn third_party_token() -> Result<(Zeroizing<String>, String), CredentialError> {
    let token = random_text()?;
    let digest = hex(&Sha256::digest(token.as_bytes()));
    Ok((token, digest))
}

fn third_parties(path: &Path, home: &str) -> Result<Vec<(Party, [u8; 32])>, CredentialError> {
    let form = |reason| CredentialError::Form {
        path: path.to_owned(),
        reason,
    };
    let file: Parties = read(path)?.ok_or_else(|| form("there is no such file"))?;
    if file.third_party.len() > PARTIES_MAX {
        return Err(form("more than 64 third parties"));
    }
    let mut parties: Vec<(Party, [u8; 32])> = Vec::new();
    for party in file.third_party {
        let token = digest_of(&party.token_sha256)
            .ok_or_else(|| form("token_sha256 is 64 hexadecimal digits"))?;
        let name = &party.name;
        if name.is_empty() || name.len() > USER_MAX || name.contains(':') || name == home {
            return Err(form(
                "name has 1 to 64 characters, no colon, and is not the home's own",
            ));
        }
        if parties.iter().any(|(other, _)| other.name == *name) {
            return Err(form("a name stands there twice"));
        }
        parties.push((party, token));
    }
    Ok(parties)
}

fn recent(entry: &Failures, now: Timestamp) -> bool {
    (0..FAILURES_S * 1_000).contains(&now.millis_since(entry.since))
}

fn argon2(password: &[u8], salt: &[u8], memory_kib: u32, passes: u32) -> Option<[u8; 32]> {
    let params = Params::new(memory_kib, passes, 1, Some(32)).ok()?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = [0; 32];
    hasher.hash_password_into(password, salt, &mut hash).ok()?;
    Some(hash)
}

/// Random text of 192 bits.
fn random_text() -> Result<Zeroizing<String>, CredentialError> {
    let mut octets = Zeroizing::new([0; 24]);
    getrandom::fill(&mut *octets).map_err(|_| CredentialError::Entropy)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*octets)))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, CredentialError> {
    let cannot = |source| CredentialError::File {
        path: path.to_owned(),
        source,
    };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(cannot)?,
    };
    if file.metadata().map_err(cannot)?.mode() & 0o077 != 0 {
        return Err(CredentialError::Exposed {
            path: path.to_owned(),
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_MAX)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    toml::from_str(&text)
        .map(Some)
        .map_err(|_| CredentialError::Form {
            path: path.to_owned(),
            reason: "what stands there is not understood",
        })
}

/// Writes a file that its owner alone may read, whole or not at all.
fn write(path: &Path, kept: &Kept) -> Result<(), CredentialError> {
    let cannot = |source| CredentialError::File {
        path: path.to_owned(),
        source,
    };
    let text = toml::to_string(kept).map_err(|_| CredentialError::Form {
        path: path.to_owned(),
        reason: "it cannot be written",
    })?;
    let text = format!(
        "# What the home gateway knows of its password: nothing to sign in with.\n\
         # Without this file the next start makes a new one.\n{text}"
    );
    replace(path, text.as_bytes()).map_err(cannot)
}

/// Puts a file of mode 0600 in the place of another, durably.
pub(crate) fn replace(path: &Path, octets: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if digits.len() > 128 || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn digest_of(digits: &str) -> Option<[u8; 32]> {
    bytes_of(digits)?.try_into().ok()
}
