//! Secrets given on the command line, in the environment or in a file.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dlms::security::Key;
use link::Password;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Octets that a secret's file may have.
const FILE_MAX: u64 = 4_096;

/// A secret as it was given: `HEX`, or `@FILE` that holds it. It shows nowhere
/// and is wiped when dropped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Whether a file holds it.
    pub(crate) fn is_reference(&self) -> bool {
        self.0.starts_with('@')
    }

    /// Takes the name of its file as seen from `folder`.
    pub(crate) fn anchor(&mut self, folder: &Path) {
        if let Some(path) = self.0.strip_prefix('@') {
            let path = folder.join(path);
            // A folder that is no text was named by nobody's text.
            if let Some(path) = path.to_str() {
                *self.0 = format!("@{path}");
            }
        }
    }

    /// Reads it as a key of 16 or 32 octets; `option` is its name for people.
    pub(crate) fn key(&self, option: &str) -> Result<Key, Failure> {
        let octets = match self.content(option)? {
            Content::Text(text) => Zeroizing::new(link::parse_hex(&text).ok_or_else(|| {
                Failure::usage(format!("{option}: not hexadecimal digits"))
                    .hint("a key is 32 hexadecimal digits (suite 2: 64), or @FILE that holds them")
            })?),
            Content::Octets(octets) => octets,
        };
        Key::from_octets(&octets).map_err(|error| Failure::usage(format!("{option}: {error}")))
    }

    /// Reads it as text.
    pub(crate) fn text(&self, option: &str) -> Result<Zeroizing<String>, Failure> {
        match self.content(option)? {
            Content::Text(text) => Ok(text),
            Content::Octets(_) => Err(Failure::usage(format!("{option}: not text"))),
        }
    }

    /// Reads it as a password: its characters, or octets behind `hex:`.
    pub(crate) fn password(&self, option: &str) -> Result<Password, Failure> {
        let octets = match self.content(option)? {
            Content::Text(text) => match text.strip_prefix("hex:") {
                Some(digits) => link::parse_hex(digits)
                    .ok_or_else(|| Failure::usage(format!("{option}: not hexadecimal digits")))?,
                None => text.as_bytes().to_vec(),
            },
            Content::Octets(octets) => octets.to_vec(),
        };
        Ok(Password::new(octets))
    }

    fn content(&self, option: &str) -> Result<Content, Failure> {
        let Some(path) = self.0.strip_prefix('@') else {
            return Ok(Content::Text(self.0.clone()));
        };
        let cannot = |error| Failure::new(format!("{option}: {path} cannot be read: {error}"));
        let file = std::fs::File::open(path).map_err(cannot)?;
        let mode = file.metadata().map_err(cannot)?.mode();
        if mode & 0o077 != 0 {
            return Err(Failure::new(format!(
                "{option}: {path} can be read by others (mode {:04o})",
                mode & 0o777
            ))
            .hint(format!("chmod 600 {path}")));
        }
        let mut octets = Zeroizing::new(Vec::new());
        file.take(FILE_MAX)
            .read_to_end(&mut octets)
            .map_err(cannot)?;
        match std::str::from_utf8(&octets) {
            Ok(text) => Ok(Content::Text(Zeroizing::new(
                text.trim_end_matches(['\r', '\n']).to_owned(),
            ))),
            Err(_) => Ok(Content::Octets(octets)),
        }
    }
}

enum Content {
    Text(Zeroizing<String>),
    Octets(Zeroizing<Vec<u8>>),
}
