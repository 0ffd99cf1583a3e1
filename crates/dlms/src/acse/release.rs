//! The two APDUs that end an association.

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, Reader, Wire};

use super::ber::{self, Fields, OCTET_STRING, put_explicit, put_integer};
use super::lenient::{Lenient, Notes, leniently};
use super::{ReleaseRequestReason, ReleaseResponseReason};

/// Asks to release an association (`RLRQ-apdu`).
///
/// ```text
/// 62 length                     [APPLICATION 2]
///    80 01 reason               OPTIONAL
///    BE length 04 length ..     user-information OPTIONAL
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Rlrq<'a> {
    /// `reason` (0).
    pub reason: Option<ReleaseRequestReason>,
    /// `user-information` (30): an InitiateRequest, ciphered where the
    /// association is.
    pub user_information: Option<&'a [u8]>,
}

/// Answers a release (`RLRE-apdu`).
///
/// ```text
/// 63 length                     [APPLICATION 3]
///    80 01 reason               OPTIONAL
///    BE length 04 length ..     user-information OPTIONAL
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Rlre<'a> {
    /// `reason` (0).
    pub reason: Option<ReleaseResponseReason>,
    /// `user-information` (30): an InitiateResponse, ciphered where the
    /// association is.
    pub user_information: Option<&'a [u8]>,
}

macro_rules! release {
    ($name:ident, $reason:ident, $tag:literal, $text:literal) => {
        impl<'a> $name<'a> {
            /// Reads `octets` as the peer must have meant them, and tells what
            /// was wrong with them.
            ///
            /// # Errors
            /// The offset and the reason where no meaning is plain.
            pub fn decode_lenient(octets: &'a [u8]) -> Result<Lenient<Self>, DecodeError> {
                leniently(octets, Self::read)
            }

            fn read(
                reader: &mut Reader<'a>,
                notes: Option<&mut Notes>,
            ) -> Result<Self, DecodeError> {
                let mut fields = Fields::open(reader, $tag, $text, notes)?;
                let mut value = Self::default();
                while let Some(tag) = fields.next($text)? {
                    match tag {
                        0x80 => {
                            let code = ber::code(fields.contents("reason")?, "reason")?;
                            value.reason = Some($reason::from_code(code));
                        }
                        0xBE => value.user_information = fields.octet_string("user-information")?,
                        _ => fields.unknown($text)?,
                    }
                }
                Ok(value)
            }
        }

        impl<'a> Wire<'a> for $name<'a> {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push($tag);
                crate::codec::put_nested(out, |out| {
                    if let Some(reason) = self.reason {
                        put_integer(out, 0x80, i32::from(reason.code()));
                    }
                    if let Some(information) = self.user_information {
                        put_explicit(out, 0xBE, OCTET_STRING, information);
                    }
                });
            }

            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Self::read(reader, None)
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("reason", &self.reason)
                    .field(
                        "user_information",
                        &self.user_information.map(super::association::Octets),
                    )
                    .finish()
            }
        }
    };
}

release!(Rlrq, ReleaseRequestReason, 0x62, "RLRQ");
release!(Rlre, ReleaseResponseReason, 0x63, "RLRE");
