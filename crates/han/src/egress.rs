//! What may leave for a meter, as one table, and the check of it.
//!
//! The check looks at octets, not at who made them: it stands above the serial
//! port and holds for whatever has been built higher up. What it lets out it
//! hands on as [`Cleared`], and a port writes nothing else.

use crate::ezsp;
use crate::raven;
use crate::zcl::{CLUSTER_KEY_ESTABLISHMENT, Frame, PROFILE_DEVICE, PROFILE_SMART_ENERGY};

/// One kind of message that may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in its standard.
    pub name: &'static str,
    /// What it is by its octets.
    pub what: What,
}

/// What a message is by its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// To the meter's network, by radio: a request to ZigBee device objects,
    /// which is its cluster.
    Device(u16),
    /// To the meter, by radio: a command of all clusters.
    Global(u8),
    /// To the meter, by radio: a command of the Key Establishment cluster.
    Key(u8),
    /// To the own radio processor, by serial line; it goes no further. EZSP
    /// frame identifier.
    Radio(u16),
    /// To the own adapter, by serial line: a command of RAVEn.
    Adapter(raven::Command),
}

/// Everything that may leave.
pub const ALLOWED: &[Rule] = &[
    // To the meter, by radio: what reads, and what makes the key to read with.
    rule("Read Attributes", What::Global(0x00)),
    rule("Discover Attributes", What::Global(0x0C)),
    rule("Initiate Key Establishment", What::Key(0x00)),
    rule("Ephemeral Data", What::Key(0x01)),
    rule("Confirm Key Data", What::Key(0x02)),
    rule("Terminate Key Establishment", What::Key(0x03)),
    // To its network, by radio: who is where.
    rule("Network Address Request", What::Device(0x0000)),
    rule("IEEE Address Request", What::Device(0x0001)),
    rule("Node Descriptor Request", What::Device(0x0002)),
    rule("Simple Descriptor Request", What::Device(0x0004)),
    rule("Active Endpoints Request", What::Device(0x0005)),
    rule("Match Descriptor Request", What::Device(0x0006)),
    // To the own radio processor, by serial line.
    rule("version", What::Radio(0x0000)),
    rule("addEndpoint", What::Radio(0x0002)),
    rule("networkInit", What::Radio(0x0017)),
    rule("startScan", What::Radio(0x001A)),
    rule("joinNetwork", What::Radio(0x001F)),
    rule("findAndRejoinNetwork", What::Radio(0x0021)),
    rule("getEui64", What::Radio(0x0026)),
    rule("setConfigurationValue", What::Radio(0x0053)),
    rule("setInitialSecurityState", What::Radio(0x0068)),
    rule("calculateSmacs", What::Radio(0x009F)),
    rule("clearTemporaryDataMaybeStoreLinkKey", What::Radio(0x00A1)),
    rule("generateCbkeKeys", What::Radio(0x00A4)),
    rule("getCertificate", What::Radio(0x00A5)),
    // The one that transmits: only with one of the messages above in it.
    rule("sendUnicast", What::Radio(SEND_UNICAST)),
    // To the own adapter, by serial line.
    adapter(raven::Command::GetConnectionStatus),
    adapter(raven::Command::GetCurrentSummationDelivered),
    adapter(raven::Command::GetDeviceInfo),
    adapter(raven::Command::GetInstantaneousDemand),
    adapter(raven::Command::GetMeterInfo),
    adapter(raven::Command::GetMeterList),
    adapter(raven::Command::GetNetworkInfo),
    adapter(raven::Command::GetTime),
];

const SEND_UNICAST: u16 = 0x0034;

const fn rule(name: &'static str, what: What) -> Rule {
    Rule { name, what }
}

const fn adapter(command: raven::Command) -> Rule {
    Rule {
        name: command.name(),
        what: What::Adapter(command),
    }
}

/// Octets that may leave: only the checks of this module make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleared<'a> {
    octets: &'a [u8],
    rule: &'static Rule,
}

impl<'a> Cleared<'a> {
    /// What a filter that has been taken out would make, for the test that the
    /// count at a radio processor sees it.
    #[cfg(test)]
    pub(crate) const fn dangerous_unchecked(octets: &'a [u8]) -> Self {
        Self {
            octets,
            rule: &Rule {
                name: "nothing",
                what: What::Radio(SEND_UNICAST),
            },
        }
    }

    /// The octets.
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// What let them out.
    #[must_use]
    pub const fn rule(&self) -> &'static Rule {
        self.rule
    }
}

/// What must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A message to the meter's network.
    #[error("a message of profile {profile:#06x} and cluster {cluster:#06x} may not leave")]
    Message {
        /// The profile it was for.
        profile: u16,
        /// The cluster it was for.
        cluster: u16,
        /// The command, where it is a frame at all.
        command: Option<u8>,
    },
    /// A frame to the radio processor; its identifier, where it has one.
    #[error("this frame may not leave for the radio processor")]
    Radio(Option<u16>),
    /// A command to the adapter.
    #[error("this command may not leave for the adapter")]
    Adapter,
}

/// Finds the rule that lets a message out to the meter's network.
///
/// # Errors
/// [`Refused`] where none does: another profile, command or direction, a
/// command of a maker's own, and what is no frame.
pub fn check(profile: u16, cluster: u16, octets: &[u8]) -> Result<Cleared<'_>, Refused> {
    let frame = Frame::decode(octets).ok();
    let command = frame.map(|frame| frame.command);
    let from_client = |own: u8, cluster_specific: bool| {
        profile == PROFILE_SMART_ENERGY
            && frame.is_some_and(|frame| {
                frame.command == own
                    && frame.cluster_specific == cluster_specific
                    && frame.manufacturer.is_none()
                    && !frame.from_server
            })
    };
    find(|what| match what {
        What::Device(own) => profile == PROFILE_DEVICE && cluster == own,
        What::Global(own) => from_client(own, false),
        What::Key(own) => cluster == CLUSTER_KEY_ESTABLISHMENT && from_client(own, true),
        What::Radio(_) | What::Adapter(_) => false,
    })
    .map(|rule| Cleared { octets, rule })
    .ok_or(Refused::Message {
        profile,
        cluster,
        command,
    })
}

/// Finds the rule that lets a frame out to the radio processor; of one that
/// transmits, the rule of the message in it.
///
/// # Errors
/// [`Refused`] where none does, and for what is no frame.
pub fn check_radio(octets: &[u8]) -> Result<Cleared<'_>, Refused> {
    let Some(frame) = ezsp::Sent::decode(octets) else {
        return Err(Refused::Radio(None));
    };
    let rule = find(|what| what == What::Radio(frame.id)).ok_or(Refused::Radio(Some(frame.id)))?;
    let rule = match frame.message {
        Some(message) => check(message.profile, message.cluster, message.contents)?.rule,
        None if frame.id == SEND_UNICAST => return Err(Refused::Radio(Some(frame.id))),
        None => rule,
    };
    Ok(Cleared { octets, rule })
}

/// Finds the rule that lets a command out to the adapter.
///
/// # Errors
/// [`Refused`] where none does, and for what is no single command.
pub fn check_adapter(octets: &[u8]) -> Result<Cleared<'_>, Refused> {
    let command = raven::Command::of(octets).ok_or(Refused::Adapter)?;
    let rule = find(|what| what == What::Adapter(command)).ok_or(Refused::Adapter)?;
    Ok(Cleared { octets, rule })
}

fn find(is: impl Fn(What) -> bool) -> Option<&'static Rule> {
    ALLOWED.iter().find(|rule| is(rule.what))
}
