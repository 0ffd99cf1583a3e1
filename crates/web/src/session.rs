//! Open sessions of browsers, by cookie.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::cookie;

/// Open sessions, by the digest of their cookie: what is kept here opens none.
#[derive(Debug)]
pub struct Sessions {
    /// Name of the cookie.
    cookie: &'static str,
    /// Sessions at once; the one used least recently gives way.
    most: usize,
    /// Milliseconds after its last use in which a session stays open.
    idle_ms: i64,
    /// Last use of each.
    open: Mutex<BTreeMap<[u8; 32], Timestamp>>,
}

impl Sessions {
    /// Has no session yet. At most `most` are open at once, each until it was not used for `idle_ms`
    /// milliseconds.
    #[must_use]
    pub const fn new(cookie: &'static str, most: usize, idle_ms: i64) -> Self {
        Self {
            cookie,
            most,
            idle_ms,
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// Tells whether a request carries the cookie of an open session, which counts as its use.
    #[must_use]
    pub fn has(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let Some(key) = cookie(headers, self.cookie).map(digest) else {
            return false;
        };
        let mut open = self.lock();
        match open.get_mut(&key) {
            Some(used) if now.millis_since(*used) < self.idle_ms => {
                *used = (*used).max(now);
                true
            }
            Some(_) => {
                open.remove(&key);
                false
            }
            None => false,
        }
    }

    /// Opens a session; returns the value of its cookie.
    ///
    /// # Errors
    /// The operating system gives no random octets.
    pub fn begin(&self, now: Timestamp) -> Result<Zeroizing<String>, getrandom::Error> {
        let value = random_text()?;
        let mut open = self.lock();
        open.retain(|_, used| now.millis_since(*used) < self.idle_ms);
        if open.len() >= self.most {
            let oldest = open.iter().min_by_key(|(_, used)| **used);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                open.remove(&key);
            }
        }
        open.insert(digest(&value), now);
        Ok(value)
    }

    /// Ends the session that a request carries the cookie of.
    pub fn end(&self, headers: &HeaderMap) {
        if let Some(value) = cookie(headers, self.cookie) {
            self.lock().remove(&digest(value));
        }
    }

    /// Returns the header `Set-Cookie` with a value (RFC 6265): never shown to scripts, never sent
    /// from elsewhere. `attributes` begin with a semicolon; an empty value and `Max-Age=0` end the
    /// cookie.
    #[must_use]
    pub fn set_cookie(&self, value: &str, attributes: &str) -> Option<HeaderValue> {
        let name = self.cookie;
        let text = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/{attributes}");
        HeaderValue::try_from(text).ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Timestamp>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a token of 32 random octets, as 43 characters (base64url).
///
/// # Errors
/// The operating system gives no random octets.
pub fn random_text() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut octets = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *octets)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*octets)))
}

/// Returns the digest (SHA-256) that a token is known by.
#[must_use]
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
