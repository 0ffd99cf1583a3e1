//! What SNRM and UA agree on.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, Wire};

/// Octets of information in a frame where nothing is agreed.
pub const INFORMATION_LENGTH_DEFAULT: u16 = 128;

/// The parameters of a connection, as the side that names them sees them
/// (IEC 62056-46 clause 6.4.4.4.3.2).
///
/// ```text
///  81 80 length | 05 n octets | 06 n octets | 07 n octets | 08 n octets
///               | information | information |   window    |   window
///               |   transmit  |   receive   |  transmit   |   receive
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Most octets of information in a frame that this side sends.
    pub information_length_transmit: u16,
    /// Most octets of information in a frame that this side takes.
    pub information_length_receive: u16,
    /// Most frames that this side sends before it waits, 1 to 7.
    pub window_transmit: u8,
    /// Most frames that this side takes before it answers, 1 to 7.
    pub window_receive: u8,
}

/// In which form parameters are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParameterForm {
    /// Lengths in one octet where they fit.
    #[default]
    Narrow,
    /// Lengths in two octets always.
    Wide,
    /// Nothing is sent, which stands for the default of every parameter.
    Omitted,
}

const FORMAT: u8 = 0x81;
const GROUP: u8 = 0x80;

impl Parameters {
    /// What holds where nothing is said: 128 octets, a window of one frame.
    pub const DEFAULT: Self = Self {
        information_length_transmit: INFORMATION_LENGTH_DEFAULT,
        information_length_receive: INFORMATION_LENGTH_DEFAULT,
        window_transmit: 1,
        window_receive: 1,
    };

    /// Appends the information field of a SNRM or UA.
    pub fn encode_as(&self, form: ParameterForm, out: &mut Vec<u8>) {
        if form == ParameterForm::Omitted {
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[FORMAT, GROUP, 0]);
        for (id, length) in [
            (0x05, self.information_length_transmit),
            (0x06, self.information_length_receive),
        ] {
            match (form, length.to_be_bytes()) {
                (ParameterForm::Narrow, [0, low]) => out.extend_from_slice(&[id, 1, low]),
                (_, [high, low]) => out.extend_from_slice(&[id, 2, high, low]),
            }
        }
        for (id, window) in [(0x07, self.window_transmit), (0x08, self.window_receive)] {
            out.extend_from_slice(&[id, 4, 0, 0, 0, window]);
        }
        let length = out.len() - start - 3;
        if let Some(octet) = out.get_mut(start + 2) {
            *octet = u8::try_from(length).unwrap_or_default();
        }
    }

    /// Tells what holds between `self`, this side's own limits, and `other`,
    /// what the other side names, as this side sees it: each takes no more
    /// than the other can give and gives no more than the other can take.
    #[must_use]
    pub fn agreed_with(&self, other: &Self) -> Self {
        Self {
            information_length_transmit: self
                .information_length_transmit
                .min(other.information_length_receive),
            information_length_receive: self
                .information_length_receive
                .min(other.information_length_transmit),
            window_transmit: self.window_transmit.min(other.window_receive),
            window_receive: self.window_receive.min(other.window_transmit),
        }
        .sound()
    }

    /// The same, each within what a frame and a sequence modulo 8 allow.
    pub(super) fn sound(self) -> Self {
        let length = |length: u16| length.clamp(1, super::INFORMATION_LENGTH_MAX);
        let window = |window: u8| window.clamp(1, 7);
        Self {
            information_length_transmit: length(self.information_length_transmit),
            information_length_receive: length(self.information_length_receive),
            window_transmit: window(self.window_transmit),
            window_receive: window(self.window_receive),
        }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl<'a> Wire<'a> for Parameters {
    fn encode(&self, out: &mut Vec<u8>) {
        self.encode_as(ParameterForm::Narrow, out);
    }

    /// Reads the information field of a SNRM or UA. An absent parameter has
    /// its default, one of an unknown id and any group but the first is passed
    /// over. Sizes are taken in any width that holds them.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut parameters = Self::DEFAULT;
        if reader.is_empty() {
            return Ok(parameters);
        }
        let format = reader.error(
            "format identifier",
            Malformed::Tag(reader.peek().unwrap_or_default()),
        );
        if reader.u8("format identifier")? != FORMAT {
            return Err(format);
        }
        while !reader.is_empty() {
            let group = reader.u8("group identifier")?;
            let length = usize::from(reader.u8("group length")?);
            let mut values = reader.sub(length, "parameter group")?;
            if group != GROUP {
                continue;
            }
            while !values.is_empty() {
                let id = values.u8("parameter identifier")?;
                match id {
                    0x05 => {
                        parameters.information_length_transmit =
                            size(&mut values, "maximum information field length, transmit")?;
                    }
                    0x06 => {
                        parameters.information_length_receive =
                            size(&mut values, "maximum information field length, receive")?;
                    }
                    0x07 => {
                        parameters.window_transmit = window(&mut values, "window size, transmit")?;
                    }
                    0x08 => {
                        parameters.window_receive = window(&mut values, "window size, receive")?;
                    }
                    _ => {
                        let length = usize::from(values.u8("parameter length")?);
                        values.take(length, "parameter")?;
                    }
                }
            }
        }
        Ok(parameters.sound())
    }
}

fn number(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, DecodeError> {
    let refusal = reader.error(field, Malformed::Length);
    let length = usize::from(reader.u8(field)?);
    if !(1..=4).contains(&length) {
        return Err(refusal);
    }
    Ok(reader
        .take(length, field)?
        .iter()
        .fold(0, |value, octet| value << 8 | u32::from(*octet)))
}

fn size(reader: &mut Reader<'_>, field: &'static str) -> Result<u16, DecodeError> {
    Ok(u16::try_from(number(reader, field)?).unwrap_or(u16::MAX))
}

fn window(reader: &mut Reader<'_>, field: &'static str) -> Result<u8, DecodeError> {
    Ok(u8::try_from(number(reader, field)?).unwrap_or(u8::MAX))
}
