//! ZigBee clusters, as much as reading a meter takes: the frames of the ZigBee
//! Cluster Library, attributes read and discovered, the Metering and Time
//! clusters, and key establishment.
//!
//! [`Frame`] and [`Attributes`] read whatever comes. What can be written is
//! [`Request`] and nothing else, and [`egress`](crate::egress) checks it again
//! as octets.

mod install;
mod metering;
mod request;
mod value;

use dlms::codec::{DecodeError, Malformed, Reader};

pub use install::{InstallCode, InstallCodeError};
pub use metering::{
    DESCRIPTION_ATTRIBUTES, METERING_ATTRIBUTES, Metering, POLL_ATTRIBUTES, status_names,
};
pub use request::{Request, Suite};
pub use value::Value;

/// The profile of ZigBee Smart Energy.
pub const PROFILE_SMART_ENERGY: u16 = 0x0109;

/// The profile of ZigBee device objects.
pub const PROFILE_DEVICE: u16 = 0x0000;

/// The Metering cluster.
pub const CLUSTER_METERING: u16 = 0x0702;

/// The Time cluster.
pub const CLUSTER_TIME: u16 = 0x000A;

/// The Key Establishment cluster.
pub const CLUSTER_KEY_ESTABLISHMENT: u16 = 0x0800;

/// Seconds from 1970-01-01 to 2000-01-01, where ZigBee's time begins.
pub const EPOCH_2000: i64 = 946_684_800;

/// Attributes that one frame may tell.
const ATTRIBUTES_MAX: usize = 256;

/// A frame of the cluster library.
///
/// ```text
/// control(1) | manufacturer(2, where control says so) | sequence(1) | command(1) | payload
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether the command is one of the cluster's own; else of all clusters.
    pub cluster_specific: bool,
    /// Of which maker the command is, where it is not the standard's.
    pub manufacturer: Option<u16>,
    /// Whether the server sent it.
    pub from_server: bool,
    /// Whether a default response is not wanted.
    pub no_default_response: bool,
    /// Ties an answer to its request.
    pub sequence: u8,
    /// The command.
    pub command: u8,
    /// What belongs to it.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a frame that is all of `octets`.
    ///
    /// # Errors
    /// The offset and the reason where it is none: too short, or of a type
    /// that is reserved.
    pub fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let control = reader.u8("frame control")?;
        if control & 0x03 > 1 || control & 0xE0 != 0 {
            return Err(DecodeError {
                offset: 0,
                field: "frame control",
                reason: Malformed::Tag(control),
            });
        }
        let manufacturer = if control & 0x04 == 0 {
            None
        } else {
            Some(u16_le(&mut reader, "manufacturer code")?)
        };
        Ok(Self {
            cluster_specific: control & 0x03 == 1,
            manufacturer,
            from_server: control & 0x08 != 0,
            no_default_response: control & 0x10 != 0,
            sequence: reader.u8("sequence number")?,
            command: reader.u8("command")?,
            payload: reader.rest(),
        })
    }

    /// Where the payload begins in the frame.
    #[must_use]
    pub const fn payload_offset(&self) -> usize {
        if self.manufacturer.is_some() { 5 } else { 3 }
    }

    /// Names the command, where it is one of all clusters.
    #[must_use]
    pub fn command_name(&self) -> Option<&'static str> {
        if self.cluster_specific || self.manufacturer.is_some() {
            return None;
        }
        GENERAL_COMMANDS.get(usize::from(self.command)).copied()
    }

    /// Reads the attributes that this frame tells: an answer to Read
    /// Attributes, or a report. Nothing for other commands.
    ///
    /// # Errors
    /// The offset and the reason where they are malformed.
    pub fn attributes(&self) -> Result<Option<Attributes>, DecodeError> {
        if self.cluster_specific || self.manufacturer.is_some() {
            return Ok(None);
        }
        let with_status = match self.command {
            READ_ATTRIBUTES_RESPONSE => true,
            REPORT_ATTRIBUTES => false,
            _ => return Ok(None),
        };
        let mut reader = Reader::at(self.payload, self.payload_offset());
        let mut attributes = Attributes::default();
        while !reader.is_empty() {
            if attributes.0.len() >= ATTRIBUTES_MAX {
                return Err(reader.error("attributes", Malformed::Limit));
            }
            let id = u16_le(&mut reader, "attribute identifier")?;
            let status = if with_status {
                reader.u8("status")?
            } else {
                STATUS_SUCCESS
            };
            let told = if status == STATUS_SUCCESS {
                Ok(Value::decode(&mut reader)?)
            } else {
                Err(status)
            };
            attributes.0.push((id, told));
        }
        Ok(Some(attributes))
    }
}

/// Attributes with their values, or the status that says why there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub Vec<(u16, Result<Value, u8>)>);

/// Read Attributes Response
const READ_ATTRIBUTES_RESPONSE: u8 = 0x01;

/// Report Attributes
const REPORT_ATTRIBUTES: u8 = 0x0A;

const STATUS_SUCCESS: u8 = 0x00;

/// The attribute is not there.
pub const STATUS_UNSUPPORTED_ATTRIBUTE: u8 = 0x86;

/// The commands of all clusters, from 0x00 (ZCL, table of general commands).
const GENERAL_COMMANDS: &[&str] = &[
    "Read Attributes",
    "Read Attributes Response",
    "Write Attributes",
    "Write Attributes Undivided",
    "Write Attributes Response",
    "Write Attributes No Response",
    "Configure Reporting",
    "Configure Reporting Response",
    "Read Reporting Configuration",
    "Read Reporting Configuration Response",
    "Report Attributes",
    "Default Response",
    "Discover Attributes",
    "Discover Attributes Response",
    "Read Attributes Structured",
    "Write Attributes Structured",
    "Write Attributes Structured Response",
];

fn u16_le(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, DecodeError> {
    reader.array(field).map(u16::from_le_bytes)
}
