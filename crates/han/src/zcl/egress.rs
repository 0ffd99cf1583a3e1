//! What may leave for a meter's network, as one table, and the check of it.
//!
//! The check looks at octets, not at who made them: it stands above the radio
//! and holds for whatever has been built higher up.

use super::{CLUSTER_KEY_ESTABLISHMENT, Frame, PROFILE_DEVICE, PROFILE_SMART_ENERGY};

/// One kind of frame that may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is.
    pub name: &'static str,
    /// The profile it is sent under.
    pub profile: u16,
    /// The cluster; any where there is none. Of device objects, the cluster is
    /// the request.
    pub cluster: Option<u16>,
    /// The command, and whether it is the cluster's own; none for device
    /// objects.
    pub command: Option<(u8, bool)>,
}

/// Everything that may leave.
pub const ALLOWED: &[Rule] = &[
    device("network address request", 0x0000),
    device("IEEE address request", 0x0001),
    device("node descriptor request", 0x0002),
    device("simple descriptor request", 0x0004),
    device("active endpoints request", 0x0005),
    device("match descriptor request", 0x0006),
    global("Read Attributes", 0x00),
    global("Discover Attributes", 0x0C),
    key("Initiate Key Establishment", 0x00),
    key("Ephemeral Data", 0x01),
    key("Confirm Key Data", 0x02),
    key("Terminate Key Establishment", 0x03),
];

const fn device(name: &'static str, cluster: u16) -> Rule {
    Rule {
        name,
        profile: PROFILE_DEVICE,
        cluster: Some(cluster),
        command: None,
    }
}

const fn global(name: &'static str, command: u8) -> Rule {
    Rule {
        name,
        profile: PROFILE_SMART_ENERGY,
        cluster: None,
        command: Some((command, false)),
    }
}

const fn key(name: &'static str, command: u8) -> Rule {
    Rule {
        name,
        profile: PROFILE_SMART_ENERGY,
        cluster: Some(CLUSTER_KEY_ESTABLISHMENT),
        command: Some((command, true)),
    }
}

/// A frame that must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of profile {profile:#06x} and cluster {cluster:#06x} may not leave")]
pub struct Refused {
    /// The profile it was for.
    pub profile: u16,
    /// The cluster it was for.
    pub cluster: u16,
    /// The command, where it is a frame at all.
    pub command: Option<u8>,
}

/// Finds the rule that lets a frame out.
///
/// # Errors
/// [`Refused`] where none does: another profile, command or direction, a
/// command of a maker's own, and what is no frame.
pub fn check(profile: u16, cluster: u16, octets: &[u8]) -> Result<&'static Rule, Refused> {
    let frame = Frame::decode(octets).ok();
    let refused = Refused {
        profile,
        cluster,
        command: frame.map(|frame| frame.command),
    };
    ALLOWED
        .iter()
        .find(|rule| {
            rule.profile == profile
                && rule.cluster.is_none_or(|own| own == cluster)
                && match rule.command {
                    None => true,
                    Some((command, cluster_specific)) => frame.is_some_and(|frame| {
                        frame.command == command
                            && frame.cluster_specific == cluster_specific
                            && frame.manufacturer.is_none()
                            && !frame.from_server
                    }),
                }
        })
        .ok_or(refused)
}
