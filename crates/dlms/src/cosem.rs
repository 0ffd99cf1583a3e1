//! COSEM objects as they are named and addressed: OBIS codes, units,
//! attributes and methods, interface classes, access rights, selective access
//! (IEC 62056-6-1 and IEC 62056-6-2).

mod access;
mod class;
mod descriptor;
pub mod obis;
mod profile;
mod unit;

pub use access::{
    AttributeAccess, AttributeAccessItem, MethodAccess, MethodAccessItem, ObjectListElement,
};
pub use class::{INTERFACE_CLASSES, InterfaceClass, Source};
pub use descriptor::{
    AttributeDescriptor, AttributeDescriptorWithSelection, MethodDescriptor,
    SelectiveAccessDescriptor,
};
pub use obis::Obis;
pub use profile::{CaptureObject, EntryDescriptor, ProfileSelection, RangeDescriptor};
pub use unit::{Decimal, Scaled, ScalerUnit, Unit};

/// A value that is not of the type that this field of a structure has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not of its type")]
pub struct Unexpected(pub &'static str);
