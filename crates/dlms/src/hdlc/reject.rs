//! What FRMR says of the frame that it refuses.

use alloc::vec::Vec;

use super::Sequence;
use crate::codec::{DecodeError, Reader, Wire};

/// The information of a FRMR (ISO/IEC 13239 clause 5.5.3.4.2).
///
/// ```text
///  rejected control | N(R) C/R N(S) 0 | 0 0 0 0 Z Y X W
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameReject {
    /// The control field of the frame that was refused.
    pub control: u8,
    /// V(S) of the station that refused it.
    pub send: Sequence,
    /// V(R) of that station.
    pub receive: Sequence,
    /// Whether the frame was a response.
    pub response: bool,
    /// Why: a sum of the constants below.
    pub causes: u8,
}

impl FrameReject {
    /// W: the control field is unknown.
    pub const UNKNOWN_CONTROL: u8 = 0x01;
    /// X: a frame of this kind carries no information.
    pub const UNEXPECTED_INFORMATION: u8 = 0x02;
    /// Y: more information than was agreed.
    pub const INFORMATION_TOO_LONG: u8 = 0x04;
    /// Z: an N(R) of a frame that was never sent.
    pub const BAD_RECEIVE_NUMBER: u8 = 0x08;
}

impl<'a> Wire<'a> for FrameReject {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[
            self.control,
            self.receive.value() << 5 | u8::from(self.response) << 4 | self.send.value() << 1,
            self.causes & 0x0F,
        ]);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let [control, numbers, causes] = reader.array("FRMR information")?;
        Ok(Self {
            control,
            send: Sequence::new(numbers >> 1),
            receive: Sequence::new(numbers >> 5),
            response: numbers & 0x10 != 0,
            causes: causes & 0x0F,
        })
    }
}
