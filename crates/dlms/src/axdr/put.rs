//! Values appended straight to a buffer, without a tree in between.

use alloc::vec::Vec;

use super::{BitStr, Date, DateTime, Tag, Time};
use crate::codec::{put_length, put_octets};

/// Appends `null-data`.
#[inline]
pub fn put_null(out: &mut Vec<u8>) {
    out.push(Tag::NullData.as_u8());
}

/// Appends the head of an `array`, behind which `count` values must follow.
#[inline]
pub fn put_array(out: &mut Vec<u8>, count: usize) {
    out.push(Tag::Array.as_u8());
    put_length(out, count);
}

/// Appends the head of a `structure`, behind which `count` values must follow.
#[inline]
pub fn put_structure(out: &mut Vec<u8>, count: usize) {
    out.push(Tag::Structure.as_u8());
    put_length(out, count);
}

/// Appends an `octet-string`.
#[inline]
pub fn put_octet_string(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(Tag::OctetString.as_u8());
    put_octets(out, octets);
}

/// Appends a `visible-string`.
#[inline]
pub fn put_visible_string(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(Tag::VisibleString.as_u8());
    put_octets(out, octets);
}

/// Appends a `utf8-string`.
#[inline]
pub fn put_utf8_string(out: &mut Vec<u8>, text: &str) {
    out.push(Tag::Utf8String.as_u8());
    put_octets(out, text.as_bytes());
}

/// Appends a `bit-string`.
pub fn put_bit_string(out: &mut Vec<u8>, bits: BitStr<'_>) {
    out.push(Tag::BitString.as_u8());
    bits.put(out);
}

/// Appends a tag and `N - 1` octets in one piece; the first octet is room for
/// the tag.
#[inline]
fn put_fixed<const N: usize, const M: usize>(out: &mut Vec<u8>, tag: Tag, octets: [u8; N]) {
    const { assert!(M == N + 1) };
    let mut piece = [tag.as_u8(); M];
    if let Some((_, body)) = piece.split_first_mut() {
        body.copy_from_slice(&octets);
    }
    out.extend_from_slice(&piece);
}

/// Makes one function for each type of fixed length.
macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident $type:ty, $tag:ident, $size:literal;)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(out: &mut Vec<u8>, value: $type) {
                put_fixed::<{ $size - 1 }, $size>(out, Tag::$tag, value.to_be_bytes());
            }
        )*
    };
}

fixed! {
    /// Appends an `integer`.
    put_i8 i8, Integer, 2;
    /// Appends a `long`.
    put_i16 i16, Long, 3;
    /// Appends a `double-long`.
    put_i32 i32, DoubleLong, 5;
    /// Appends a `long64`.
    put_i64 i64, Long64, 9;
    /// Appends an `unsigned`.
    put_u8 u8, Unsigned, 2;
    /// Appends a `long-unsigned`.
    put_u16 u16, LongUnsigned, 3;
    /// Appends a `double-long-unsigned`.
    put_u32 u32, DoubleLongUnsigned, 5;
    /// Appends a `long64-unsigned`.
    put_u64 u64, Long64Unsigned, 9;
    /// Appends an `enum`.
    put_enum u8, Enum, 2;
    /// Appends a `bcd`, two decimal digits.
    put_bcd u8, Bcd, 2;
    /// Appends a `float32`.
    put_f32 f32, Float32, 5;
    /// Appends a `float64`.
    put_f64 f64, Float64, 9;
}

/// Appends a `boolean`.
#[inline]
pub fn put_boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(&[Tag::Boolean.as_u8(), u8::from(value)]);
}

/// Appends a `date-time`. Many attributes want the same twelve octets as an
/// `octet-string`: see [`DateTime::to_octets`].
#[inline]
pub fn put_date_time(out: &mut Vec<u8>, value: &DateTime) {
    put_fixed::<12, 13>(out, Tag::DateTime, value.to_octets());
}

/// Appends a `date`.
#[inline]
pub fn put_date(out: &mut Vec<u8>, value: &Date) {
    put_fixed::<5, 6>(out, Tag::Date, value.to_octets());
}

/// Appends a `time`.
#[inline]
pub fn put_time(out: &mut Vec<u8>, value: &Time) {
    put_fixed::<4, 5>(out, Tag::Time, value.to_octets());
}
