//! Values of IEC 62056-6-2 in the A-XDR form of IEC 61334-6.
//!
//! There are three ways to look at a value. [`Data`] is an owned tree.
//! [`RawData`] is the borrowed octets of a value, kept as they came. A
//! [`Walker`] goes over those octets once and allocates nothing.
//!
//! A value whose tag is unknown has an unknown extent, so nothing that stands
//! behind it can be found: walking ends there with [`Malformed::Tag`] and the
//! offset. [`RawData`] keeps such octets and encodes them again unchanged.
//!
//! [`Malformed::Tag`]: crate::codec::Malformed::Tag

mod bit_string;
mod compact;
mod data;
mod date_time;
mod put;
mod raw;
mod tag;
mod walk;

pub use bit_string::{BitStr, BitString};
pub use compact::{CompactArray, Mismatch, RawCompactArray, TypeDescription};
pub use data::Data;
pub use date_time::{ClockStatus, Date, DateTime, Time};
pub use put::{
    put_array, put_bcd, put_bit_string, put_boolean, put_date, put_date_time, put_enum, put_f32,
    put_f64, put_i8, put_i16, put_i32, put_i64, put_null, put_octet_string, put_structure,
    put_time, put_u8, put_u16, put_u32, put_u64, put_utf8_string, put_visible_string,
};
pub use raw::RawData;
pub use tag::Tag;
pub use walk::{Event, Leaf, Sequence, Walker};

/// How deep arrays and structures may nest in a value that is decoded, the
/// type description of a compact array included. No class of the Blue Book
/// needs ten.
pub const DEPTH_MAX: usize = 32;

/// How many values one decoded tree may hold, those that a compact array
/// stands for included. A type description multiplies, so octets alone do not
/// bound it.
pub const VALUES_MAX: usize = 1 << 20;

/// How many values there may be for each octet they are decoded from. Only a
/// compact array makes more than one, and real ones hardly do.
pub const VALUES_PER_OCTET: usize = 16;

/// For how many elements room is made before the first one is decoded.
const ROOM_MAX: usize = 128;
