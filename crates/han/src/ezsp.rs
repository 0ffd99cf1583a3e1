//! EZSP: what a host and a ZigBee radio processor tell each other (Silicon
//! Labs UG100), as much as reading a meter takes, in the form of its versions
//! 8 to 13.
//!
//! What can be sent is [`Command`] and nothing else; [`Sent`] reads it back as
//! octets, for the check above the serial port.
//!
//! ```text
//! sequence(1) | frame control(2) | frame identifier(2) | parameters
//! ```

use dlms::codec::{DecodeError, Malformed, Reader};
use zeroize::Zeroizing;

use crate::zcl::{self, PROFILE_DEVICE};
use crate::zdo;

/// The newest version whose frames are known; the radio is asked for it.
pub const VERSION_MAX: u8 = 13;

/// The oldest; earlier ones have other headers.
pub const VERSION_MIN: u8 = 8;

/// Octets of an implicit certificate of suite 1.
pub const CERTIFICATE_LENGTH: usize = 48;

/// Octets of an ephemeral public key of suite 1.
pub const PUBLIC_KEY_LENGTH: usize = 22;

/// Octets of a secured message authentication code.
pub const SMAC_LENGTH: usize = 16;

/// The endpoint of the gateway.
pub const ENDPOINT: u8 = 1;

/// Success, of EZSP and of the stack alike.
pub const STATUS_SUCCESS: u8 = 0x00;

/// The network is there.
pub const STATUS_NETWORK_UP: u8 = 0x90;

/// The radio belongs to no network.
pub const STATUS_NOT_JOINED: u8 = 0x93;

/// The network to join, as a scan has found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The channel, 11 to 26.
    pub channel: u8,
    /// The PAN identifier.
    pub pan_id: u16,
    /// The extended PAN identifier.
    pub extended_pan_id: u64,
    /// Whether it lets others in.
    pub joinable: bool,
    /// 2 for ZigBee PRO.
    pub stack_profile: u8,
    /// Goes on with each change of channel or PAN identifier.
    pub update_id: u8,
}

/// A command to the radio processor. There is no other: none that writes,
/// binds, broadcasts, reads keys out, forms a network or loads firmware.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// Asks for the protocol's version and tells the own, in the form of old
    /// versions, which all understand.
    VersionAsked,
    /// Settles on a version.
    Version(u8),
    /// Says what the gateway's endpoint is.
    AddEndpoint,
    /// Takes up the network that the radio belongs to.
    NetworkInit,
    /// Looks for networks.
    StartScan {
        /// Channels, a bit each.
        channels: u32,
    },
    /// Joins a network as a router.
    JoinNetwork(Network),
    /// Looks for the own network again.
    FindAndRejoinNetwork {
        /// Channels, a bit each; 0 for the own one.
        channels: u32,
    },
    /// Asks for the own EUI-64.
    GetEui64,
    /// Sets a size or a default of the processor itself.
    SetConfigurationValue {
        /// Which.
        id: u8,
        /// What.
        value: u16,
    },
    /// Gives the link key under which a network is joined.
    SetInitialSecurityState {
        /// The key.
        key: &'a Zeroizing<[u8; 16]>,
    },
    /// Asks for the own certificate.
    GetCertificate,
    /// Makes an ephemeral key pair.
    GenerateCbkeKeys,
    /// Makes both authentication codes.
    CalculateSmacs {
        /// The meter's certificate.
        certificate: &'a [u8; CERTIFICATE_LENGTH],
        /// The meter's ephemeral public key.
        key: &'a [u8; PUBLIC_KEY_LENGTH],
    },
    /// Ends key establishment, and keeps the link key or not.
    ClearTemporaryDataMaybeStoreLinkKey {
        /// Whether it is kept.
        store: bool,
    },
    /// Sends a message to one node.
    SendUnicast(Unicast<'a>),
}

/// A message to one node.
#[derive(Clone, Copy, Debug)]
pub struct Unicast<'a> {
    /// The network address.
    pub node: u16,
    /// The endpoint there.
    pub endpoint: u8,
    /// Ties the answer to it.
    pub sequence: u8,
    /// What it says.
    pub message: Message<'a>,
}

/// What can be said to a node.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// To a cluster.
    Cluster(zcl::Request<'a>),
    /// To device objects.
    Device(zdo::Request),
}

impl Command<'_> {
    /// Tells its frame identifier.
    #[must_use]
    pub const fn id(&self) -> u16 {
        match self {
            Self::VersionAsked | Self::Version(_) => VERSION,
            Self::AddEndpoint => ADD_ENDPOINT,
            Self::NetworkInit => NETWORK_INIT,
            Self::StartScan { .. } => START_SCAN,
            Self::JoinNetwork(_) => JOIN_NETWORK,
            Self::FindAndRejoinNetwork { .. } => FIND_AND_REJOIN_NETWORK,
            Self::GetEui64 => GET_EUI64,
            Self::SetConfigurationValue { .. } => SET_CONFIGURATION_VALUE,
            Self::SetInitialSecurityState { .. } => SET_INITIAL_SECURITY_STATE,
            Self::GetCertificate => GET_CERTIFICATE,
            Self::GenerateCbkeKeys => GENERATE_CBKE_KEYS,
            Self::CalculateSmacs { .. } => CALCULATE_SMACS,
            Self::ClearTemporaryDataMaybeStoreLinkKey { .. } => CLEAR_TEMPORARY_DATA,
            Self::SendUnicast(_) => SEND_UNICAST,
        }
    }

    /// Makes the octets.
    #[must_use]
    pub fn encode(&self, sequence: u8) -> Vec<u8> {
        if matches!(self, Self::VersionAsked) {
            return vec![sequence, 0, 0, VERSION_MAX];
        }
        let mut out = vec![sequence, CONTROL_LOW, CONTROL_HIGH];
        out.extend_from_slice(&self.id().to_le_bytes());
        match self {
            Self::VersionAsked | Self::GetEui64 | Self::GetCertificate | Self::GenerateCbkeKeys => {
            }
            Self::Version(version) => out.push(*version),
            Self::AddEndpoint => {
                out.push(ENDPOINT);
                out.extend_from_slice(&zcl::PROFILE_SMART_ENERGY.to_le_bytes());
                out.extend_from_slice(&IN_HOME_DISPLAY.to_le_bytes());
                // Version 0; serves nothing, uses these.
                out.extend_from_slice(&[0, 0, 3]);
                for cluster in [
                    zcl::CLUSTER_TIME,
                    zcl::CLUSTER_METERING,
                    zcl::CLUSTER_KEY_ESTABLISHMENT,
                ] {
                    out.extend_from_slice(&cluster.to_le_bytes());
                }
            }
            Self::NetworkInit => out.extend_from_slice(&[0, 0]),
            Self::StartScan { channels } => {
                out.push(ACTIVE_SCAN);
                out.extend_from_slice(&channels.to_le_bytes());
                out.push(SCAN_DURATION);
            }
            Self::JoinNetwork(network) => {
                out.push(ROUTER);
                out.extend_from_slice(&network.extended_pan_id.to_le_bytes());
                out.extend_from_slice(&network.pan_id.to_le_bytes());
                // Joins by association; the network's manager is its
                // coordinator.
                out.extend_from_slice(&[TRANSMIT_POWER_DBM, network.channel, 0, 0, 0]);
                out.push(network.update_id);
                let channel = 1_u32.checked_shl(network.channel.into());
                out.extend_from_slice(&channel.unwrap_or_default().to_le_bytes());
            }
            // Not with the network key at hand: the meter may have a new one.
            Self::FindAndRejoinNetwork { channels } => {
                out.push(0);
                out.extend_from_slice(&channels.to_le_bytes());
            }
            Self::SetConfigurationValue { id, value } => {
                out.push(*id);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::SetInitialSecurityState { key } => {
                out.extend_from_slice(&SECURITY.to_le_bytes());
                out.extend_from_slice(&key[..]);
                // No network key, its number, and no address of a trust
                // center.
                out.extend_from_slice(&[0; 16 + 1 + 8]);
            }
            Self::CalculateSmacs { certificate, key } => {
                // As the one who began.
                out.push(1);
                out.extend_from_slice(*certificate);
                out.extend_from_slice(*key);
            }
            Self::ClearTemporaryDataMaybeStoreLinkKey { store } => out.push(u8::from(*store)),
            Self::SendUnicast(unicast) => unicast.encode(&mut out),
        }
        out
    }
}

impl Unicast<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let (profile, cluster, source, contents) = match &self.message {
            Message::Cluster(request) => (
                zcl::Request::PROFILE,
                request.cluster(),
                ENDPOINT,
                request.encode(self.sequence),
            ),
            Message::Device(request) => (
                PROFILE_DEVICE,
                request.cluster(),
                0,
                request.encode(self.sequence),
            ),
        };
        // Key establishment makes the key that the others are ciphered with.
        let ciphered = profile != PROFILE_DEVICE && cluster != zcl::CLUSTER_KEY_ESTABLISHMENT;
        let options = if ciphered {
            APS_OPTIONS | APS_ENCRYPTION
        } else {
            APS_OPTIONS
        };
        out.push(DIRECT);
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&profile.to_le_bytes());
        out.extend_from_slice(&cluster.to_le_bytes());
        out.extend_from_slice(&[source, self.endpoint]);
        out.extend_from_slice(&options.to_le_bytes());
        // No group; the stack numbers the frame.
        out.extend_from_slice(&[0, 0, 0]);
        out.push(self.sequence);
        out.push(u8::try_from(contents.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(&contents);
    }
}

const VERSION: u16 = 0x0000;
const ADD_ENDPOINT: u16 = 0x0002;
const NETWORK_INIT: u16 = 0x0017;
const STACK_STATUS_HANDLER: u16 = 0x0019;
const START_SCAN: u16 = 0x001A;
const NETWORK_FOUND_HANDLER: u16 = 0x001B;
const SCAN_COMPLETE_HANDLER: u16 = 0x001C;
const JOIN_NETWORK: u16 = 0x001F;
const FIND_AND_REJOIN_NETWORK: u16 = 0x0021;
const GET_EUI64: u16 = 0x0026;
const SEND_UNICAST: u16 = 0x0034;
const MESSAGE_SENT_HANDLER: u16 = 0x003F;
const INCOMING_MESSAGE_HANDLER: u16 = 0x0045;
const SET_CONFIGURATION_VALUE: u16 = 0x0053;
const INVALID_COMMAND: u16 = 0x0058;
const SET_INITIAL_SECURITY_STATE: u16 = 0x0068;
const GENERATE_CBKE_KEYS_HANDLER: u16 = 0x009E;
const CALCULATE_SMACS: u16 = 0x009F;
const CALCULATE_SMACS_HANDLER: u16 = 0x00A0;
const CLEAR_TEMPORARY_DATA: u16 = 0x00A1;
const GENERATE_CBKE_KEYS: u16 = 0x00A4;
const GET_CERTIFICATE: u16 = 0x00A5;

/// A command, to the network with index 0; in the extended form.
const CONTROL_LOW: u8 = 0x00;
const CONTROL_HIGH: u8 = 0x01;

/// The bit of a response or a callback.
const CONTROL_RESPONSE: u8 = 0x80;

/// The device of Smart Energy that shows what a meter tells.
const IN_HOME_DISPLAY: u16 = 0x0502;

const ACTIVE_SCAN: u8 = 1;

/// 15.36 ms times 2^5 and one more on each channel.
const SCAN_DURATION: u8 = 5;

const ROUTER: u8 = 2;

const TRANSMIT_POWER_DBM: u8 = 3;

/// A key is given, and the network key must come under it.
const SECURITY: u16 = 0x0100 | 0x0800;

const DIRECT: u8 = 0;

/// Retry, and discovery of routes.
const APS_OPTIONS: u16 = 0x0040 | 0x0100;

const APS_ENCRYPTION: u16 = 0x0020;

/// From here on, addresses are of many nodes.
const BROADCASTS: u16 = 0xFFF8;

/// A frame that is about to leave for the radio processor, as its octets say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<'a> {
    /// Its frame identifier.
    pub id: u16,
    /// The message in it, where it sends one to a single node.
    pub message: Option<SentMessage<'a>>,
}

/// A message that is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessage<'a> {
    /// The profile.
    pub profile: u16,
    /// The cluster.
    pub cluster: u16,
    /// Its octets.
    pub contents: &'a [u8],
}

impl<'a> Sent<'a> {
    /// Takes a frame that is all of `octets`; nothing where it is none.
    #[must_use]
    pub fn decode(octets: &'a [u8]) -> Option<Self> {
        let (id, parameters) = match *octets {
            [_, CONTROL_LOW, 0, _] => (VERSION, &[][..]),
            [_, CONTROL_LOW, CONTROL_HIGH, low, high, ref parameters @ ..] => {
                (u16::from_le_bytes([low, high]), parameters)
            }
            _ => return None,
        };
        let message = (id == SEND_UNICAST)
            .then(|| SentMessage::decode(parameters).ok().flatten())
            .flatten();
        Some(Self { id, message })
    }
}

impl<'a> SentMessage<'a> {
    fn decode(parameters: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(parameters);
        let kind = reader.u8("type")?;
        let node = u16::from_le_bytes(reader.array("network address")?);
        let profile = u16::from_le_bytes(reader.array("profile")?);
        let cluster = u16::from_le_bytes(reader.array("cluster")?);
        // Endpoints, options, group, sequence; tag.
        reader.array::<8>("APS frame")?;
        let length = reader.u8("length")?;
        let contents = reader.rest();
        let is_whole = contents.len() == usize::from(length);
        Ok(
            (kind == DIRECT && node < BROADCASTS && is_whole).then_some(Self {
                profile,
                cluster,
                contents,
            }),
        )
    }
}

/// A frame of the radio processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The protocol's version, in the old form or the new one.
    Version {
        /// The version.
        version: u8,
    },
    /// The status that answers the command with this frame identifier.
    Status {
        /// Which command.
        id: u16,
        /// [`STATUS_SUCCESS`], or why not.
        status: u8,
    },
    /// The own EUI-64.
    Eui64(u64),
    /// The own certificate.
    Certificate {
        /// Whether there is one.
        status: u8,
        /// The certificate.
        certificate: [u8; CERTIFICATE_LENGTH],
    },
    /// The network came or went.
    StackStatus(u8),
    /// A scan has found a network.
    NetworkFound {
        /// The network.
        network: Network,
        /// How well it is heard, 0 to 255.
        link_quality: u8,
    },
    /// A scan has ended.
    ScanComplete {
        /// Why.
        status: u8,
    },
    /// A message has left, or could not be delivered.
    MessageSent {
        /// The number that it was sent with.
        sequence: u8,
        /// Whether it was acknowledged.
        status: u8,
    },
    /// A message has come.
    Incoming(Incoming<'a>),
    /// Ephemeral keys are made.
    CbkeKeys {
        /// Whether they are.
        status: u8,
        /// The public one.
        key: [u8; PUBLIC_KEY_LENGTH],
    },
    /// Authentication codes are made.
    Smacs {
        /// Whether they are.
        status: u8,
        /// The own one.
        initiator: [u8; SMAC_LENGTH],
        /// The one that the meter must show.
        responder: [u8; SMAC_LENGTH],
    },
    /// The processor does not take the command.
    InvalidCommand(u8),
    /// What else it may tell.
    Other(u16),
}

/// A message that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// The profile.
    pub profile: u16,
    /// The cluster.
    pub cluster: u16,
    /// The endpoint that sent it.
    pub endpoint: u8,
    /// The network address of the node that sent it.
    pub node: u16,
    /// How well it was heard, 0 to 255.
    pub link_quality: u8,
    /// What it says.
    pub contents: &'a [u8],
}

impl<'a> Received<'a> {
    /// Takes a frame that is all of `octets`. Parameters that a later version
    /// adds at the end are left aside.
    ///
    /// # Errors
    /// The offset and the reason where it is none.
    pub fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        reader.u8("sequence number")?;
        let control = reader.u8("frame control")?;
        if control & CONTROL_RESPONSE == 0 {
            return Err(DecodeError {
                offset: 1,
                field: "frame control",
                reason: Malformed::Tag(control),
            });
        }
        let high = reader.u8("frame control")?;
        let id = match high & 0x03 {
            // The old form: the octet is the frame identifier.
            0 if high == 0 => VERSION,
            1 => u16::from_le_bytes(reader.array("frame identifier")?),
            _ => {
                return Err(DecodeError {
                    offset: 2,
                    field: "frame control",
                    reason: Malformed::Tag(high),
                });
            }
        };
        Ok(match id {
            VERSION => Self::Version {
                version: reader.u8("version")?,
            },
            GET_EUI64 => Self::Eui64(u64::from_le_bytes(reader.array("EUI-64")?)),
            GET_CERTIFICATE => Self::Certificate {
                status: reader.u8("status")?,
                certificate: reader.array("certificate")?,
            },
            STACK_STATUS_HANDLER => Self::StackStatus(reader.u8("status")?),
            NETWORK_FOUND_HANDLER => Self::NetworkFound {
                network: Network {
                    channel: reader.u8("channel")?,
                    pan_id: u16::from_le_bytes(reader.array("PAN")?),
                    extended_pan_id: u64::from_le_bytes(reader.array("extended PAN")?),
                    joinable: reader.u8("joinable")? != 0,
                    stack_profile: reader.u8("stack profile")?,
                    update_id: reader.u8("update identifier")?,
                },
                link_quality: reader.u8("link quality")?,
            },
            SCAN_COMPLETE_HANDLER => {
                reader.u8("channel")?;
                Self::ScanComplete {
                    status: reader.u8("status")?,
                }
            }
            MESSAGE_SENT_HANDLER => {
                reader.array::<3>("type and address")?;
                reader.array::<APS_LENGTH>("APS frame")?;
                Self::MessageSent {
                    sequence: reader.u8("tag")?,
                    status: reader.u8("status")?,
                }
            }
            INCOMING_MESSAGE_HANDLER => {
                reader.u8("type")?;
                let profile = u16::from_le_bytes(reader.array("profile")?);
                let cluster = u16::from_le_bytes(reader.array("cluster")?);
                let endpoint = reader.u8("source endpoint")?;
                // Own endpoint, options, group, sequence.
                reader.array::<6>("APS frame")?;
                let link_quality = reader.u8("link quality")?;
                reader.u8("signal strength")?;
                let node = u16::from_le_bytes(reader.array("sender")?);
                reader.array::<2>("binding and address")?;
                let length = reader.u8("length")?;
                Self::Incoming(Incoming {
                    profile,
                    cluster,
                    endpoint,
                    node,
                    link_quality,
                    contents: reader.take(usize::from(length), "message")?,
                })
            }
            GENERATE_CBKE_KEYS_HANDLER => Self::CbkeKeys {
                status: reader.u8("status")?,
                key: reader.array("public key")?,
            },
            CALCULATE_SMACS_HANDLER => Self::Smacs {
                status: reader.u8("status")?,
                initiator: reader.array("initiator's code")?,
                responder: reader.array("responder's code")?,
            },
            INVALID_COMMAND => Self::InvalidCommand(reader.u8("status")?),
            ADD_ENDPOINT
            | NETWORK_INIT
            | START_SCAN
            | JOIN_NETWORK
            | FIND_AND_REJOIN_NETWORK
            | SEND_UNICAST
            | SET_CONFIGURATION_VALUE
            | SET_INITIAL_SECURITY_STATE
            | CALCULATE_SMACS
            | CLEAR_TEMPORARY_DATA
            | GENERATE_CBKE_KEYS => Self::Status {
                id,
                status: reader.u8("status")?,
            },
            other => Self::Other(other),
        })
    }

    /// Tells which command this answers; nothing where it came by itself.
    #[must_use]
    pub const fn answers(&self) -> Option<u16> {
        match self {
            Self::Version { .. } => Some(VERSION),
            Self::Status { id, .. } => Some(*id),
            Self::Eui64(_) => Some(GET_EUI64),
            Self::Certificate { .. } => Some(GET_CERTIFICATE),
            _ => None,
        }
    }
}

/// Octets of an APS frame's description.
const APS_LENGTH: usize = 11;
