//! COSEM objects as they are named and addressed: OBIS codes, units,
//! attributes and methods, access rights, selective access (IEC 62056-6-1 and
//! IEC 62056-6-2).

mod descriptor;
pub mod obis;

pub use descriptor::{
    AttributeDescriptor, AttributeDescriptorWithSelection, MethodDescriptor,
    SelectiveAccessDescriptor,
};
pub use obis::Obis;
