//! What a Profile generic object (class 7) captures, and which part of its
//! buffer is wanted.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use super::{Obis, SelectiveAccessDescriptor, Unexpected};
use crate::axdr::{Data, DateTime};
use crate::codec::{DecodeError, Malformed, Reader, Wire};

/// A captured attribute: one column of a profile
/// (`capture_object_definition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaptureObject {
    /// The interface class.
    pub class_id: u16,
    /// The logical name of the object.
    pub logical_name: Obis,
    /// The attribute.
    pub attribute_index: i8,
    /// The element of the attribute, counted from 1; 0 means all of it.
    pub data_index: u16,
}

impl CaptureObject {
    /// The time of the clock.
    pub const CLOCK: Self = Self::new(8, Obis::new(0, 0, 1, 0, 0, 255), 2);

    /// Names a whole attribute.
    #[must_use]
    pub const fn new(class_id: u16, logical_name: Obis, attribute_index: i8) -> Self {
        Self {
            class_id,
            logical_name,
            attribute_index,
            data_index: 0,
        }
    }

    /// Reads `structure { class_id, logical_name, attribute_index, data_index }`.
    ///
    /// # Errors
    /// The field that is not of its type.
    pub fn from_data(data: &Data) -> Result<Self, Unexpected> {
        let Some([class_id, logical_name, attribute_index, data_index]) = data.as_structure()
        else {
            return Err(Unexpected("capture_object_definition"));
        };
        Ok(Self {
            class_id: class_id.as_u16().ok_or(Unexpected("class_id"))?,
            logical_name: Obis::from_data(logical_name)?,
            attribute_index: attribute_index
                .as_i8()
                .ok_or(Unexpected("attribute_index"))?,
            data_index: data_index.as_u16().ok_or(Unexpected("data_index"))?,
        })
    }

    /// Makes the structure.
    #[must_use]
    pub fn to_data(&self) -> Data {
        Data::Structure(
            [
                Data::LongUnsigned(self.class_id),
                self.logical_name.to_data(),
                Data::Integer(self.attribute_index),
                Data::LongUnsigned(self.data_index),
            ]
            .into(),
        )
    }

    /// Reads the array of an attribute `capture_objects`.
    ///
    /// # Errors
    /// The field that is not of its type.
    pub fn list_from_data(data: &Data) -> Result<Vec<Self>, Unexpected> {
        data.as_array()
            .ok_or(Unexpected("capture_objects"))?
            .iter()
            .map(Self::from_data)
            .collect()
    }
}

/// The rows whose value in one column lies in a range, both ends included
/// (access selector 1).
#[derive(Clone, Debug, PartialEq)]
pub struct RangeDescriptor {
    /// The column that is looked at.
    pub restricting_object: CaptureObject,
    /// The least value.
    pub from_value: Data,
    /// The greatest value.
    pub to_value: Data,
    /// The columns that are wanted; all of them where none is named.
    pub selected_values: Vec<CaptureObject>,
}

impl RangeDescriptor {
    /// The access selector of class 7.
    pub const SELECTOR: u8 = 1;

    /// Asks for all columns of the rows from one time to another.
    #[must_use]
    pub fn by_clock(from: &DateTime, to: &DateTime) -> Self {
        Self {
            restricting_object: CaptureObject::CLOCK,
            from_value: Data::date_time_octets(from),
            to_value: Data::date_time_octets(to),
            selected_values: Vec::new(),
        }
    }

    /// Reads `structure { restricting_object, from_value, to_value, selected_values }`.
    ///
    /// # Errors
    /// The field that is not of its type.
    pub fn from_data(data: &Data) -> Result<Self, Unexpected> {
        let Some([restricting_object, from_value, to_value, selected_values]) = data.as_structure()
        else {
            return Err(Unexpected("range_descriptor"));
        };
        Ok(Self {
            restricting_object: CaptureObject::from_data(restricting_object)?,
            from_value: from_value.clone(),
            to_value: to_value.clone(),
            selected_values: CaptureObject::list_from_data(selected_values)
                .map_err(|_| Unexpected("selected_values"))?,
        })
    }

    /// Makes the structure.
    #[must_use]
    pub fn to_data(&self) -> Data {
        let selected = self.selected_values.iter().map(CaptureObject::to_data);
        Data::Structure(
            [
                self.restricting_object.to_data(),
                self.from_value.clone(),
                self.to_value.clone(),
                Data::Array(selected.collect()),
            ]
            .into(),
        )
    }

    /// Finds the column that is looked at, counted from 0.
    #[must_use]
    pub fn restricting_column(&self, captured: &[CaptureObject]) -> Option<usize> {
        captured
            .iter()
            .position(|object| *object == self.restricting_object)
    }

    /// Finds the columns that are wanted, counted from 0, in the order of the
    /// profile. Nothing where one is named that the profile does not capture.
    #[must_use]
    pub fn columns(&self, captured: &[CaptureObject]) -> Option<Vec<usize>> {
        if self.selected_values.is_empty() {
            return Some((0..captured.len()).collect());
        }
        let mut columns = self
            .selected_values
            .iter()
            .map(|wanted| captured.iter().position(|object| object == wanted))
            .collect::<Option<Vec<_>>>()?;
        columns.sort_unstable();
        columns.dedup();
        Some(columns)
    }

    /// Tells whether a row is in the range, by its value in the column looked
    /// at. Nothing where that cannot be compared with the ends: values of
    /// unlike types, or times that are not fully given.
    ///
    /// Times compare as points in time where both deviations are given, else
    /// as local times.
    #[must_use]
    pub fn selects(&self, value: &Data) -> Option<bool> {
        let from = compare(value, &self.from_value)?;
        let to = compare(value, &self.to_value)?;
        Some(from != Ordering::Less && to != Ordering::Greater)
    }
}

/// The rows from one number to another, and likewise the columns, all counted
/// from 1 (access selector 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryDescriptor {
    /// The first row.
    pub from_entry: u32,
    /// The last row; 0 means that of the buffer.
    pub to_entry: u32,
    /// The first column.
    pub from_selected_value: u16,
    /// The last column; 0 means that of the buffer.
    pub to_selected_value: u16,
}

impl EntryDescriptor {
    /// The access selector of class 7.
    pub const SELECTOR: u8 = 2;

    /// Asks for all columns of the rows from one number to another.
    #[must_use]
    pub const fn rows(from_entry: u32, to_entry: u32) -> Self {
        Self {
            from_entry,
            to_entry,
            from_selected_value: 1,
            to_selected_value: 0,
        }
    }

    /// Reads
    /// `structure { from_entry, to_entry, from_selected_value, to_selected_value }`.
    ///
    /// # Errors
    /// The field that is not of its type.
    pub fn from_data(data: &Data) -> Result<Self, Unexpected> {
        let Some([from_entry, to_entry, from_value, to_value]) = data.as_structure() else {
            return Err(Unexpected("entry_descriptor"));
        };
        Ok(Self {
            from_entry: from_entry.as_u32().ok_or(Unexpected("from_entry"))?,
            to_entry: to_entry.as_u32().ok_or(Unexpected("to_entry"))?,
            from_selected_value: from_value
                .as_u16()
                .ok_or(Unexpected("from_selected_value"))?,
            to_selected_value: to_value.as_u16().ok_or(Unexpected("to_selected_value"))?,
        })
    }

    /// Makes the structure.
    #[must_use]
    pub fn to_data(&self) -> Data {
        Data::Structure(
            [
                Data::DoubleLongUnsigned(self.from_entry),
                Data::DoubleLongUnsigned(self.to_entry),
                Data::LongUnsigned(self.from_selected_value),
                Data::LongUnsigned(self.to_selected_value),
            ]
            .into(),
        )
    }

    /// Tells which of `count` rows are wanted, counted from 0. None where the
    /// first one lies behind the last.
    #[must_use]
    pub fn entries(&self, count: usize) -> Range<usize> {
        let from = usize::try_from(self.from_entry).unwrap_or(usize::MAX);
        let to = usize::try_from(self.to_entry).unwrap_or(usize::MAX);
        range(from, to, count)
    }

    /// Tells which of `count` columns are wanted, counted from 0. None where
    /// the first one lies behind the last.
    #[must_use]
    pub fn columns(&self, count: usize) -> Range<usize> {
        range(
            self.from_selected_value.into(),
            self.to_selected_value.into(),
            count,
        )
    }
}

/// Which part of the buffer of a profile is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum ProfileSelection {
    /// By the value in one column.
    Range(RangeDescriptor),
    /// By number.
    Entry(EntryDescriptor),
}

impl ProfileSelection {
    /// Reads the selector and its parameters.
    ///
    /// # Errors
    /// [`Malformed::Value`] where the selector is unknown or the parameters
    /// are not its own.
    pub fn from_descriptor(
        descriptor: &SelectiveAccessDescriptor<'_>,
    ) -> Result<Self, DecodeError> {
        let parameters = descriptor.access_parameters;
        let refuse = |Unexpected(field)| DecodeError {
            offset: parameters.offset(),
            field,
            reason: Malformed::Value,
        };
        match descriptor.access_selector {
            RangeDescriptor::SELECTOR => RangeDescriptor::from_data(&parameters.decode()?)
                .map(Self::Range)
                .map_err(refuse),
            EntryDescriptor::SELECTOR => EntryDescriptor::from_data(&parameters.decode()?)
                .map(Self::Entry)
                .map_err(refuse),
            _ => Err(refuse(Unexpected("access_selector"))),
        }
    }

    /// Tells the access selector of class 7.
    #[must_use]
    pub const fn selector(&self) -> u8 {
        match self {
            Self::Range(_) => RangeDescriptor::SELECTOR,
            Self::Entry(_) => EntryDescriptor::SELECTOR,
        }
    }

    /// Makes the parameters of the selector.
    #[must_use]
    pub fn to_data(&self) -> Data {
        match self {
            Self::Range(range) => range.to_data(),
            Self::Entry(entry) => entry.to_data(),
        }
    }
}

/// Gives types that are a structure of `Data` their wire form.
macro_rules! wire_as_data {
    ($($type:ty)*) => {$(
        impl Wire<'_> for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                self.to_data().encode(out);
            }

            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let offset = reader.offset();
                Self::from_data(&Data::decode(reader)?).map_err(|Unexpected(field)| DecodeError {
                    offset,
                    field,
                    reason: Malformed::Value,
                })
            }
        }
    )*};
}

wire_as_data! { CaptureObject RangeDescriptor EntryDescriptor }

fn range(from: usize, to: usize, count: usize) -> Range<usize> {
    let end = if to == 0 { count } else { to.min(count) };
    let start = from.saturating_sub(1);
    if start < end { start..end } else { 0..0 }
}

fn compare(left: &Data, right: &Data) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (left.as_date_time(), right.as_date_time()) {
        return match (left.to_unix_seconds(), right.to_unix_seconds()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => Some(left.to_local_seconds()?.cmp(&right.to_local_seconds()?)),
        };
    }
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Some(left.cmp(&right));
    }
    match (left, right) {
        (Data::Float32(left), Data::Float32(right)) => left.partial_cmp(right),
        (Data::Float64(left), Data::Float64(right)) => left.partial_cmp(right),
        (Data::OctetString(left), Data::OctetString(right))
        | (Data::VisibleString(left), Data::VisibleString(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn number(data: &Data) -> Option<i128> {
    data.as_i64()
        .map(i128::from)
        .or_else(|| data.as_u64().map(i128::from))
}
