//! ZigBee device objects, as much as finding a meter takes: who is where, and
//! what is there (ZigBee specification, 2.4).

use dlms::codec::{DecodeError, Malformed, Reader};

use crate::zcl::PROFILE_SMART_ENERGY;

/// A request that finds out. There is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the network address that belongs to an EUI-64 (0x0000).
    NetworkAddress {
        /// The EUI-64.
        eui64: u64,
    },
    /// Asks for the EUI-64 that belongs to a network address (0x0001).
    IeeeAddress {
        /// The network address.
        node: u16,
    },
    /// Asks what an endpoint is (0x0004).
    SimpleDescriptor {
        /// The network address of whose it is.
        node: u16,
        /// The endpoint.
        endpoint: u8,
    },
    /// Asks for endpoints that serve a cluster of Smart Energy (0x0006).
    MatchDescriptor {
        /// The network address of whose they are.
        node: u16,
        /// The cluster.
        cluster: u16,
    },
}

/// The bit that makes a request's cluster that of its response.
const RESPONSE: u16 = 0x8000;

impl Request {
    /// Tells the cluster to which it is sent.
    #[must_use]
    pub const fn cluster(&self) -> u16 {
        match self {
            Self::NetworkAddress { .. } => 0x0000,
            Self::IeeeAddress { .. } => 0x0001,
            Self::SimpleDescriptor { .. } => 0x0004,
            Self::MatchDescriptor { .. } => 0x0006,
        }
    }

    /// Tells the cluster from which its response comes.
    #[must_use]
    pub const fn response_cluster(&self) -> u16 {
        self.cluster() | RESPONSE
    }

    /// Makes the octets.
    #[must_use]
    pub fn encode(&self, sequence: u8) -> Vec<u8> {
        let mut out = vec![sequence];
        match self {
            // Of the one device, from its first one on.
            Self::NetworkAddress { eui64 } => {
                out.extend_from_slice(&eui64.to_le_bytes());
                out.extend_from_slice(&[0, 0]);
            }
            Self::IeeeAddress { node } => {
                out.extend_from_slice(&node.to_le_bytes());
                out.extend_from_slice(&[0, 0]);
            }
            Self::SimpleDescriptor { node, endpoint } => {
                out.extend_from_slice(&node.to_le_bytes());
                out.push(*endpoint);
            }
            Self::MatchDescriptor { node, cluster } => {
                out.extend_from_slice(&node.to_le_bytes());
                out.extend_from_slice(&PROFILE_SMART_ENERGY.to_le_bytes());
                out.push(1);
                out.extend_from_slice(&cluster.to_le_bytes());
                out.push(0);
            }
        }
        out
    }
}

/// A response to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Ties it to its request.
    pub sequence: u8,
    /// 0x00 where it succeeded.
    pub status: u8,
    /// What it tells; nothing where it failed.
    pub told: Option<Told>,
}

/// What a response tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Which EUI-64 and network address belong together.
    Address {
        /// The EUI-64.
        eui64: u64,
        /// The network address.
        node: u16,
    },
    /// What an endpoint is.
    Endpoint {
        /// The endpoint.
        endpoint: u8,
        /// Its profile.
        profile: u16,
        /// The clusters that it serves.
        serves: Vec<u16>,
    },
    /// Endpoints that match.
    Matches(Vec<u8>),
}

impl Response {
    /// Takes a response that came from `cluster`.
    ///
    /// # Errors
    /// The offset and the reason where it is none, or none that is known.
    pub fn decode(cluster: u16, octets: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let sequence = reader.u8("sequence number")?;
        let status = reader.u8("status")?;
        let told = match cluster {
            _ if status != 0 => None,
            0x8000 | 0x8001 => Some(Told::Address {
                eui64: u64::from_le_bytes(reader.array("EUI-64")?),
                node: u16::from_le_bytes(reader.array("network address")?),
            }),
            0x8004 => {
                reader.array::<2>("network address")?;
                let length = reader.u8("descriptor length")?;
                let mut inner = reader.sub(usize::from(length), "descriptor")?;
                let endpoint = inner.u8("endpoint")?;
                let profile = u16::from_le_bytes(inner.array("profile")?);
                inner.array::<3>("device")?;
                let count = inner.u8("input clusters")?;
                let serves = (0..count)
                    .map(|_| inner.array("input cluster").map(u16::from_le_bytes))
                    .collect::<Result<_, _>>()?;
                Some(Told::Endpoint {
                    endpoint,
                    profile,
                    serves,
                })
            }
            0x8006 => {
                reader.array::<2>("network address")?;
                let count = reader.u8("endpoints")?;
                let endpoints = reader.take(usize::from(count), "endpoints")?;
                Some(Told::Matches(endpoints.to_vec()))
            }
            _ => return Err(reader.error("cluster", Malformed::Value)),
        };
        Ok(Self {
            sequence,
            status,
            told,
        })
    }
}
