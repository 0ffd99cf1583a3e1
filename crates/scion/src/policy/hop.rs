//! The description of an AS and its interfaces that both forms of policy use.

use alloc::string::ToString as _;
use core::fmt;

use super::{PolicyError, PolicyReason};
use crate::address::{As, InterfaceId, Isd, IsdAs};
use crate::path::Hop;

/// A description of a hop: `ISD`, `ISD-AS`, `ISD-AS#IF` or `ISD-AS#IN,OUT`,
/// where 0 stands for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopPredicate {
    pub(super) isd: Isd,
    pub(super) asn: As,
    pub(super) interfaces: Interfaces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interfaces {
    /// On the way in or out.
    Either(InterfaceId),
    /// On the way in, and on the way out.
    Both(InterfaceId, InterfaceId),
}

const fn fits(wanted: InterfaceId, there: InterfaceId) -> bool {
    wanted.0 == 0 || wanted.0 == there.0
}

impl HopPredicate {
    /// Reads one that begins at character `at` of a policy.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, PolicyError> {
        let hop = |reason| {
            let text = text.to_string();
            PolicyError::new(at, PolicyReason::Hop { text, reason })
        };
        let Some((isd, rest)) = text.split_once('-') else {
            return Ok(Self {
                isd: text.parse().map_err(hop)?,
                asn: As::default(),
                interfaces: Interfaces::Either(InterfaceId(0)),
            });
        };
        let (asn, interfaces) = match rest.split_once('#') {
            None => (rest, Interfaces::Either(InterfaceId(0))),
            Some((asn, interfaces)) => {
                let interfaces = match interfaces.split_once(',') {
                    None => Interfaces::Either(interfaces.parse().map_err(hop)?),
                    Some((enters, leaves)) => {
                        Interfaces::Both(enters.parse().map_err(hop)?, leaves.parse().map_err(hop)?)
                    }
                };
                (asn, interfaces)
            }
        };
        let predicate = Self {
            isd: isd.parse().map_err(hop)?,
            asn: asn.parse().map_err(hop)?,
            interfaces,
        };
        if predicate.asn.is_wildcard() && !predicate.any_interface() {
            let text = text.to_string();
            return Err(PolicyError::new(at, PolicyReason::InterfaceWithoutAs(text)));
        }
        Ok(predicate)
    }

    const fn any_interface(&self) -> bool {
        match self.interfaces {
            Interfaces::Either(either) => either.0 == 0,
            Interfaces::Both(enters, leaves) => enters.0 == 0 && leaves.0 == 0,
        }
    }

    /// Tells whether every hop fits it.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.isd.0 == 0 && self.asn.is_wildcard()
    }

    fn fits_as(&self, isd_as: IsdAs) -> bool {
        (self.isd.0 == 0 || self.isd == isd_as.isd)
            && (self.asn.is_wildcard() || self.asn == isd_as.asn)
    }

    /// Tells whether one interface fits it, as an access control list asks.
    pub(super) fn fits_interface(&self, isd_as: IsdAs, through: InterfaceId, enters: bool) -> bool {
        let wanted = match self.interfaces {
            Interfaces::Either(either) => either,
            Interfaces::Both(way_in, way_out) => {
                if enters {
                    way_in
                } else {
                    way_out
                }
            }
        };
        self.fits_as(isd_as) && fits(wanted, through)
    }

    /// Tells whether a whole hop fits it, as a pattern asks.
    pub(super) fn fits_hop(&self, hop: &Hop) -> bool {
        self.fits_as(hop.isd_as)
            && match self.interfaces {
                Interfaces::Either(either) => fits(either, hop.ingress) || fits(either, hop.egress),
                Interfaces::Both(way_in, way_out) => {
                    fits(way_in, hop.ingress) && fits(way_out, hop.egress)
                }
            }
    }
}

impl fmt::Display for HopPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.isd.fmt(f)?;
        if self.asn.is_wildcard() {
            return Ok(());
        }
        write!(f, "-{}", self.asn)?;
        match self.interfaces {
            Interfaces::Either(InterfaceId(0)) => Ok(()),
            Interfaces::Either(either) => write!(f, "#{either}"),
            Interfaces::Both(way_in, way_out) => write!(f, "#{way_in},{way_out}"),
        }
    }
}
