//! What a path may touch: SCION's path policy language.
//!
//! Source: the reference implementation's `private/path/pathpol`,
//! `antlr/Sequence.g4` and `doc/dev/design/PathPolicy.md`. The same policy is
//! judged for a preview and for sending, by the same function.

mod acl;
mod hop;
mod sequence;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

pub use acl::{Acl, AclEntry, Action};
pub use hop::HopPredicate;
pub use sequence::Sequence;

use crate::address::{AddressError, InterfaceId, IsdAs};
use crate::path::{Path, Trust};

/// Longest text of a policy that is read, in octets.
pub const MAX_TEXT: usize = 4_096;

/// A text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {reason}")]
pub struct PolicyError {
    /// Which character of the text it is about, from 1.
    pub at: usize,
    /// What is the matter with it.
    pub reason: PolicyReason,
}

/// What is the matter with a policy's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyReason {
    /// There is no text.
    #[error("a policy is not empty: write + to allow everything")]
    Empty,
    /// It is longer than [`MAX_TEXT`], or too deep.
    #[error("the policy is too long or too deep")]
    TooLong,
    /// An entry does not begin with a sign.
    #[error("{0:?} begins with neither + nor -")]
    NoSign(String),
    /// No blank stands between sign and hop.
    #[error("a blank belongs between the sign and the hop in {0:?}")]
    NoBlank(String),
    /// The last entry does not say what becomes of everything else.
    #[error("the last entry is to say what becomes of all else: + or -")]
    NoDefault,
    /// Entries behind one that matches everything would never be asked.
    #[error("entries behind one that matches everything are never asked")]
    AfterDefault,
    /// A hop is wrong.
    #[error("{text:?} is no hop: {reason}")]
    Hop {
        /// The text.
        text: String,
        /// Why not.
        reason: AddressError,
    },
    /// Interfaces of an AS that is not named.
    #[error("{0:?} has interfaces of an AS that it does not name")]
    InterfaceWithoutAs(String),
    /// A sign stands where a hop should.
    #[error("{0:?} was not expected here")]
    Unexpected(char),
    /// A parenthesis is open at the end.
    #[error("a parenthesis is not closed")]
    Open,
}

impl PolicyError {
    pub(crate) const fn new(at: usize, reason: PolicyReason) -> Self {
        Self { at: at + 1, reason }
    }
}

/// By what allowed paths are put in order. That paths share little is no such
/// order: it decides which one is next after a failure, and which is the second
/// of a doubled message ([`crate::choice`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// The shortest time first; paths whose time is not known last.
    Latency,
    /// The fewest ASes first.
    Hops,
    /// The largest packets first; paths whose limit is not known last.
    Mtu,
}

impl Preference {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Latency, Self::Hops, Self::Mtu];

    /// Names it as configuration does.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Hops => "hops",
            Self::Mtu => "mtu",
        }
    }
}

/// What a path is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The fence: what may be touched. None allows everything.
    pub acl: Option<Acl>,
    /// The pattern of hops that the whole path follows.
    pub sequence: Option<Sequence>,
    /// Only paths that the AS's daemon vouches for.
    pub verified_only: bool,
    /// The longest time one way; paths whose time is not known are refused.
    pub max_latency: Option<Duration>,
    /// The order of those allowed, the first the most important. Where they
    /// say nothing, the fewest hops come first, then the fingerprint decides.
    pub preferences: Vec<Preference>,
}

/// Why a path is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An entry of the access control list denies an interface.
    #[error("{isd_as}#{interface} is denied by \"{entry}\"")]
    Denied {
        /// The AS.
        isd_as: IsdAs,
        /// Its interface.
        interface: InterfaceId,
        /// The entry.
        entry: AclEntry,
    },
    /// The hops do not follow the pattern.
    #[error("the hops do not follow the pattern")]
    Pattern,
    /// Nobody vouches for it.
    #[error("nobody has verified it")]
    NotVerified,
    /// It takes longer than allowed, or says nothing of it.
    #[error("it takes longer than allowed, or does not say how long")]
    TooSlow,
    /// It has ended.
    #[error("it has expired")]
    Expired,
}

impl Policy {
    /// Judges one path at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn judge(&self, path: &Path, now: u64) -> Result<(), Refusal> {
        if path.has_ended(now) {
            return Err(Refusal::Expired);
        }
        if let Some(acl) = &self.acl {
            acl.judge(path)?;
        }
        if let Some(sequence) = &self.sequence
            && !sequence.matches(path)
        {
            return Err(Refusal::Pattern);
        }
        if self.verified_only && path.trust == Trust::NotVerified {
            return Err(Refusal::NotVerified);
        }
        if let Some(most) = self.max_latency
            && path.latency.is_none_or(|latency| latency > most)
        {
            return Err(Refusal::TooSlow);
        }
        Ok(())
    }

    /// Tells whether it says anything of where a path may go, so that a path
    /// that is not known cannot be allowed.
    #[must_use]
    pub const fn is_fence(&self) -> bool {
        self.acl.is_some()
            || self.sequence.is_some()
            || self.verified_only
            || self.max_latency.is_some()
    }

    /// Gives the allowed paths in order of preference.
    #[must_use]
    pub fn allowed<'a>(&self, paths: &'a [Path], now: u64) -> Vec<&'a Path> {
        let mut allowed: Vec<_> = paths
            .iter()
            .filter(|path| self.judge(path, now).is_ok())
            .collect();
        allowed.sort_by(|a, b| self.order(a, b));
        allowed
    }

    /// Puts two allowed paths in order of preference.
    #[must_use]
    pub fn order(&self, a: &Path, b: &Path) -> core::cmp::Ordering {
        /// None is worse than anything.
        fn rank<T: Ord>(value: Option<T>) -> (bool, Option<T>) {
            (value.is_none(), value)
        }
        for preference in &self.preferences {
            let order = match preference {
                Preference::Latency => rank(a.latency).cmp(&rank(b.latency)),
                Preference::Hops => a.hops().len().cmp(&b.hops().len()),
                Preference::Mtu => b.mtu.cmp(&a.mtu),
            };
            if order.is_ne() {
                return order;
            }
        }
        (a.hops().len(), a.fingerprint()).cmp(&(b.hops().len(), b.fingerprint()))
    }

    /// Tells of each path whether it would be taken, and why not, for whoever
    /// edits the policy.
    #[must_use]
    pub fn preview<'a>(&self, paths: &'a [Path], now: u64) -> Preview<'a> {
        Preview {
            paths: paths
                .iter()
                .map(|path| (path, self.judge(path, now).err()))
                .collect(),
        }
    }
}

/// What a policy leaves of the paths there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview<'a> {
    /// Each path, and why it is refused.
    pub paths: Vec<(&'a Path, Option<Refusal>)>,
}

/// How many ways a fence leaves, told before it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// None: nothing could be sent.
    None,
    /// One: its loss cuts the meter off.
    One,
    /// Several, but one interface is on all of them.
    OneLinkDecides {
        /// The AS whose interface it is.
        isd_as: IsdAs,
        /// The interface.
        interface: InterfaceId,
    },
    /// Several, of which no single link takes all.
    Several,
}

impl Preview<'_> {
    /// Counts the paths that are left.
    #[must_use]
    pub fn allowed(&self) -> usize {
        self.paths.iter().filter(|(_, why)| why.is_none()).count()
    }

    /// Tells whether what is left can lose a link.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        let mut left = self
            .paths
            .iter()
            .filter(|(_, why)| why.is_none())
            .map(|(path, _)| *path);
        let Some(first) = left.next() else {
            return Remaining::None;
        };
        let others: Vec<_> = left.collect();
        if others.is_empty() {
            return Remaining::One;
        }
        let on_all = first.interfaces().find(|(isd_as, interface, _)| {
            others.iter().all(|other| {
                other
                    .interfaces()
                    .any(|(at, through, _)| at == *isd_as && through == *interface)
            })
        });
        on_all.map_or(Remaining::Several, |(isd_as, interface, _)| {
            Remaining::OneLinkDecides { isd_as, interface }
        })
    }
}
