//! A path as a policy sees it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::address::{InterfaceId, IsdAs};

/// Most ASes that a path is taken with: a SCION path has at most 64 hop fields.
pub const MAX_HOPS: usize = 64;

/// Longest text that is kept of what an AS tells of itself, in characters.
pub const TOLD_MAX: usize = 64;

/// What tells a path apart from others between the same ASes: the digest of
/// its interfaces that the data plane reports of arriving packets too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(8)
            .try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// One AS on a path, with the interfaces where packets enter and leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// The AS.
    pub isd_as: IsdAs,
    /// Where packets enter; 0 in the first AS.
    pub ingress: InterfaceId,
    /// Where packets leave; 0 in the last AS.
    pub egress: InterfaceId,
}

/// Who vouches for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Nobody: the segments were not verified against the domains' trust roots.
    NotVerified,
    /// The AS's daemon gave this very path, and verifies what it gives.
    Daemon,
}

/// What an AS tells of itself: its own word, which nobody checks. Texts have
/// at most [`TOLD_MAX`] characters, and none that is no sign on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The AS.
    pub isd_as: IsdAs,
    /// Where its routers on the path are, as packets come by them one way or
    /// the other: at most two, each once.
    pub places: Vec<String>,
    /// Its note.
    pub note: Option<String>,
}

/// Makes a text of an AS's fit to be shown: without control characters and
/// those that are seen as nothing or turn others around, with single blanks,
/// and no longer than [`TOLD_MAX`] characters. None where nothing is left.
#[must_use]
pub fn told(text: &str) -> Option<String> {
    let hidden = |sign: char| {
        matches!(sign, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let mut kept = String::new();
    let mut count = 0;
    let mut blank = false;
    for sign in text.chars().filter(|sign| !hidden(*sign)) {
        if count + usize::from(blank) >= TOLD_MAX {
            break;
        }
        if sign.is_whitespace() || sign.is_control() {
            blank = count > 0;
            continue;
        }
        if core::mem::take(&mut blank) {
            kept.push(' ');
            count += 1;
        }
        kept.push(sign);
        count += 1;
    }
    (count > 0).then_some(kept)
}

/// A path between two ASes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    fingerprint: Fingerprint,
    hops: Vec<Hop>,
    /// How long a packet takes one way, where every link says so.
    pub latency: Option<Duration>,
    /// The largest SCION packet in octets, where it is known.
    pub mtu: Option<u16>,
    /// When it ends, in seconds since 1970, where it is known.
    pub expiry: Option<u64>,
    /// Who vouches for it.
    pub trust: Trust,
    /// What ASes on it tell of themselves, those that do.
    pub about: Arc<[About]>,
}

/// Hops that are no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There are no hops, or more than [`MAX_HOPS`].
    #[error("a path has 1 to {MAX_HOPS} ASes, this has {0}")]
    Length(usize),
    /// Interfaces come in pairs, one at each end of a link.
    #[error("a path has an even number of interfaces, this has {0}")]
    OddInterfaces(usize),
    /// The two interfaces in the middle of a path are of two ASes.
    #[error("interfaces {0} and {1} of the path are of two ASes")]
    Torn(usize, usize),
    /// Only the ends of a path have an interface 0.
    #[error("hop {0} of the path has an interface 0")]
    NoInterface(usize),
}

impl Path {
    /// Makes a path of the interfaces it crosses, in order: the first AS's
    /// way out, then way in and way out of each AS, then the last AS's way in.
    /// Nothing is known of it but that.
    ///
    /// # Errors
    /// [`PathError`] where that is no path.
    pub fn new(
        fingerprint: Fingerprint,
        interfaces: &[(IsdAs, InterfaceId)],
    ) -> Result<Self, PathError> {
        if !interfaces.len().is_multiple_of(2) {
            return Err(PathError::OddInterfaces(interfaces.len()));
        }
        let asns = interfaces.len() / 2 + 1;
        let (Some((first, inner)), true) = (interfaces.split_first(), asns <= MAX_HOPS) else {
            return Err(PathError::Length(if interfaces.is_empty() {
                0
            } else {
                asns
            }));
        };
        let Some((last, inner)) = inner.split_last() else {
            return Err(PathError::OddInterfaces(interfaces.len()));
        };
        let mut hops = Vec::with_capacity(asns);
        hops.push(Hop {
            isd_as: first.0,
            ingress: InterfaceId(0),
            egress: first.1,
        });
        for (index, pair) in inner.chunks_exact(2).enumerate() {
            let [enters, leaves] = pair else { continue };
            if enters.0 != leaves.0 {
                return Err(PathError::Torn(2 * index + 1, 2 * index + 2));
            }
            hops.push(Hop {
                isd_as: enters.0,
                ingress: enters.1,
                egress: leaves.1,
            });
        }
        hops.push(Hop {
            isd_as: last.0,
            ingress: last.1,
            egress: InterfaceId(0),
        });
        let end = hops.len() - 1;
        for (index, hop) in hops.iter().enumerate() {
            if (index != 0 && hop.ingress.0 == 0) || (index != end && hop.egress.0 == 0) {
                return Err(PathError::NoInterface(index));
            }
        }
        Ok(Self {
            fingerprint,
            hops,
            latency: None,
            mtu: None,
            expiry: None,
            trust: Trust::NotVerified,
            about: Arc::from([]),
        })
    }

    /// Makes the path within one AS, which crosses no interface.
    #[must_use]
    pub fn within(isd_as: IsdAs) -> Self {
        Self {
            fingerprint: Fingerprint([0; 32]),
            hops: alloc::vec![Hop {
                isd_as,
                ingress: InterfaceId(0),
                egress: InterfaceId(0),
            }],
            latency: None,
            mtu: None,
            expiry: None,
            trust: Trust::Daemon,
            about: Arc::from([]),
        }
    }

    /// Tells whether it has ended by a time, in seconds since 1970; one whose end is
    /// not known has not.
    #[must_use]
    pub fn has_ended(&self, unix: u64) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= unix)
    }

    /// Tells the path's fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Shows the ASes in order.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Names the interfaces that the path crosses, in order; true where
    /// packets enter an AS.
    pub fn interfaces(&self) -> impl Iterator<Item = (IsdAs, InterfaceId, bool)> {
        self.hops.iter().flat_map(|hop| {
            let enters = (hop.ingress.0 != 0).then_some((hop.isd_as, hop.ingress, true));
            let leaves = (hop.egress.0 != 0).then_some((hop.isd_as, hop.egress, false));
            enters.into_iter().chain(leaves)
        })
    }

    /// Turns the path around: what comes back along it crosses the same ASes
    /// in this order, and has the fingerprint that the other end would print.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut reversed = self.clone();
        reversed.hops.reverse();
        for hop in &mut reversed.hops {
            core::mem::swap(&mut hop.ingress, &mut hop.egress);
        }
        let interfaces: Vec<_> = reversed
            .interfaces()
            .map(|(isd_as, interface, _)| (isd_as, interface))
            .collect();
        if !interfaces.is_empty() {
            reversed.fingerprint = crate::daemon::fingerprint(&interfaces);
        }
        reversed
    }

    /// Counts the interfaces that this path and another both cross: 0 where
    /// no single link can take both away.
    #[must_use]
    pub fn shared_interfaces(&self, other: &Self) -> usize {
        self.interfaces()
            .filter(|(isd_as, interface, _)| {
                other
                    .interfaces()
                    .any(|(at, through, _)| at == *isd_as && through == *interface)
            })
            .count()
    }

    /// Tells whether both leave the first AS through the same interface, and
    /// so perhaps through the same router, whose loss nobody reports.
    #[must_use]
    pub fn same_first_interface(&self, other: &Self) -> bool {
        let first = |path: &Self| path.hops.first().map(|hop| (hop.isd_as, hop.egress));
        first(self) == first(other)
    }
}

impl fmt::Display for Path {
    /// As the reference programs print it: `1-ff00:0:111 1>10 1-ff00:0:110`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hops = self.hops.iter().peekable();
        while let Some(hop) = hops.next() {
            hop.isd_as.fmt(f)?;
            if let Some(next) = hops.peek() {
                write!(f, " {}>{} ", hop.egress, next.ingress)?;
            }
        }
        Ok(())
    }
}
