//! Access control lists: `- 3 - 1-ff00:0:120#2 +`.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{HopPredicate, MAX_TEXT, PolicyError, PolicyReason, Refusal};
use crate::path::Path;

/// What an entry does with the interfaces that fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// They may be crossed.
    Allow,
    /// No path crosses them.
    Deny,
}

/// One entry: a sign, and what it is about; nothing stands for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclEntry {
    /// What it does.
    pub action: Action,
    /// With what.
    pub hop: Option<HopPredicate>,
}

/// A list of entries. Each interface on a path is held against them in order;
/// the first that fits decides, and one denied interface denies the path. The
/// last entry fits everything.
///
/// An entry with two interfaces (`1-ff00:0:110#2,0`) is asked for one
/// interface at a time, as in the reference implementation: the number in
/// front on the way in, the other on the way out, so that the 0 here fits
/// every way out. `#2` alone says what one usually means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<AclEntry>,
}

impl AclEntry {
    fn is_everything(&self) -> bool {
        self.hop.is_none_or(|hop| hop.is_everything())
    }
}

impl Acl {
    /// Shows the entries in order.
    #[must_use]
    pub fn entries(&self) -> &[AclEntry] {
        &self.entries
    }

    /// Judges a path. One within a single AS crosses nothing and is allowed.
    ///
    /// # Errors
    /// [`Refusal::Denied`] with the first interface that is denied.
    pub fn judge(&self, path: &Path) -> Result<(), Refusal> {
        for (isd_as, interface, enters) in path.interfaces() {
            let entry = self.entries.iter().find(|entry| {
                entry
                    .hop
                    .is_none_or(|hop| hop.fits_interface(isd_as, interface, enters))
            });
            // The last entry fits everything; were there none, nothing passes.
            let denies = AclEntry {
                action: Action::Deny,
                hop: None,
            };
            let entry = entry.copied().unwrap_or(denies);
            if entry.action == Action::Deny {
                return Err(Refusal::Denied {
                    isd_as,
                    interface,
                    entry,
                });
            }
        }
        Ok(())
    }
}

impl FromStr for Acl {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_TEXT {
            return Err(PolicyError::new(0, PolicyReason::TooLong));
        }
        let mut words = words(text).peekable();
        let mut entries = Vec::new();
        let mut end = None;
        while let Some((at, word)) = words.next() {
            if end.is_some() {
                return Err(PolicyError::new(at, PolicyReason::AfterDefault));
            }
            let action = match word {
                "+" => Action::Allow,
                "-" => Action::Deny,
                _ => {
                    let text = word.to_string();
                    let reason = if word.starts_with(['+', '-']) {
                        PolicyReason::NoBlank(text)
                    } else {
                        PolicyReason::NoSign(text)
                    };
                    return Err(PolicyError::new(at, reason));
                }
            };
            let hop = match words.next_if(|(_, word)| !word.starts_with(['+', '-'])) {
                Some((at, word)) => Some(HopPredicate::parse(word, at)?),
                None => None,
            };
            let entry = AclEntry { action, hop };
            if entry.is_everything() {
                end = Some(at);
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(PolicyError::new(0, PolicyReason::Empty));
        }
        if end.is_none() {
            return Err(PolicyError::new(text.len(), PolicyReason::NoDefault));
        }
        Ok(Self { entries })
    }
}

/// The words of a text with the place where each begins.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |word| {
        // The word is a part of the text, so the difference is its place.
        (word.as_ptr().addr() - text.as_ptr().addr(), word)
    })
}

impl fmt::Display for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            Action::Allow => "+",
            Action::Deny => "-",
        })?;
        self.hop.map_or(Ok(()), |hop| write!(f, " {hop}"))
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            if index != 0 {
                f.write_str(" ")?;
            }
            entry.fmt(f)?;
        }
        Ok(())
    }
}
