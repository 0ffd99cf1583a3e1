//! All that can be sent to a meter.

use super::{CLUSTER_KEY_ESTABLISHMENT, PROFILE_SMART_ENERGY};

/// A cryptographic suite of key establishment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// sect163k1: certificates of 48 octets.
    One,
    /// sect283k1: certificates of 74 octets.
    Two,
}

impl Suite {
    const fn bits(self) -> u16 {
        match self {
            Self::One => 0x0001,
            Self::Two => 0x0002,
        }
    }
}

/// A request that reads, finds out what there is to read, or makes the link
/// key under which it is read. There is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Read Attributes (0x00) of any cluster.
    ReadAttributes {
        /// The cluster.
        cluster: u16,
        /// Which, at most [`Self::ATTRIBUTES_MAX`]; more are cut off.
        attributes: &'a [u16],
    },
    /// Discover Attributes (0x0C) of any cluster.
    DiscoverAttributes {
        /// The cluster.
        cluster: u16,
        /// From which identifier on.
        start: u16,
        /// How many at most.
        count: u8,
    },
    /// Initiate Key Establishment (0x00 of cluster 0x0800). The radio has made
    /// the certificate, and all that follows.
    InitiateKeyEstablishment {
        /// The suite.
        suite: Suite,
        /// Seconds that making ephemeral data takes.
        ephemeral_time_s: u8,
        /// Seconds that making the confirmation takes.
        confirm_time_s: u8,
        /// The implicit certificate.
        certificate: &'a [u8],
    },
    /// Ephemeral Data (0x01 of cluster 0x0800).
    EphemeralData {
        /// The ephemeral public key.
        key: &'a [u8],
    },
    /// Confirm Key Data (0x02 of cluster 0x0800).
    ConfirmKeyData {
        /// The secured message authentication code.
        code: &'a [u8; 16],
    },
    /// Terminate Key Establishment (0x03 of cluster 0x0800).
    TerminateKeyEstablishment {
        /// Why.
        status: u8,
        /// Seconds to wait before the next try.
        wait_s: u8,
        /// The suite.
        suite: Suite,
    },
}

impl Request<'_> {
    /// Attributes that are asked for at a time: an answer fits one frame.
    pub const ATTRIBUTES_MAX: usize = 12;

    /// The profile under which it is sent.
    pub const PROFILE: u16 = PROFILE_SMART_ENERGY;

    /// Tells the cluster to which it is sent.
    #[must_use]
    pub const fn cluster(&self) -> u16 {
        match self {
            Self::ReadAttributes { cluster, .. } | Self::DiscoverAttributes { cluster, .. } => {
                *cluster
            }
            Self::InitiateKeyEstablishment { .. }
            | Self::EphemeralData { .. }
            | Self::ConfirmKeyData { .. }
            | Self::TerminateKeyEstablishment { .. } => CLUSTER_KEY_ESTABLISHMENT,
        }
    }

    /// Makes the frame.
    #[must_use]
    pub fn encode(&self, sequence: u8) -> Vec<u8> {
        // From client to server; a global command, or one of the cluster.
        let (control, command) = match self {
            Self::ReadAttributes { .. } => (0x00, 0x00),
            Self::DiscoverAttributes { .. } => (0x00, 0x0C),
            Self::InitiateKeyEstablishment { .. } => (0x01, 0x00),
            Self::EphemeralData { .. } => (0x01, 0x01),
            Self::ConfirmKeyData { .. } => (0x01, 0x02),
            Self::TerminateKeyEstablishment { .. } => (0x01, 0x03),
        };
        let mut out = vec![control, sequence, command];
        match self {
            Self::ReadAttributes { attributes, .. } => {
                for id in attributes.iter().take(Self::ATTRIBUTES_MAX) {
                    out.extend_from_slice(&id.to_le_bytes());
                }
            }
            Self::DiscoverAttributes { start, count, .. } => {
                out.extend_from_slice(&start.to_le_bytes());
                out.push(*count);
            }
            Self::InitiateKeyEstablishment {
                suite,
                ephemeral_time_s,
                confirm_time_s,
                certificate,
            } => {
                out.extend_from_slice(&suite.bits().to_le_bytes());
                out.extend_from_slice(&[*ephemeral_time_s, *confirm_time_s]);
                out.extend_from_slice(certificate);
            }
            Self::EphemeralData { key } => out.extend_from_slice(key),
            Self::ConfirmKeyData { code } => out.extend_from_slice(*code),
            Self::TerminateKeyEstablishment {
                status,
                wait_s,
                suite,
            } => {
                out.extend_from_slice(&[*status, *wait_s]);
                out.extend_from_slice(&suite.bits().to_le_bytes());
            }
        }
        out
    }
}
