//! What a request names: attributes, methods and parts of attributes.

use alloc::vec::Vec;

use super::Obis;
use crate::axdr::RawData;
use crate::codec::{DecodeError, Malformed, Reader, Wire};

/// An attribute of an object (`Cosem-Attribute-Descriptor`).
///
/// ```text
/// | class-id (2) | instance-id (6) | attribute-id |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeDescriptor {
    /// The interface class.
    pub class_id: u16,
    /// The logical name of the object.
    pub instance: Obis,
    /// The attribute; 1 is the logical name, 0 means all of them.
    pub attribute: i8,
}

impl AttributeDescriptor {
    /// Names an attribute.
    #[must_use]
    pub const fn new(class_id: u16, instance: Obis, attribute: i8) -> Self {
        Self {
            class_id,
            instance,
            attribute,
        }
    }
}

impl Wire<'_> for AttributeDescriptor {
    fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.class_id, self.instance, self.attribute);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            class_id: reader.u16("class-id")?,
            instance: Obis::decode(reader)?,
            attribute: i8::from_be_bytes(reader.array("attribute-id")?),
        })
    }
}

/// A method of an object (`Cosem-Method-Descriptor`).
///
/// ```text
/// | class-id (2) | instance-id (6) | method-id |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodDescriptor {
    /// The interface class.
    pub class_id: u16,
    /// The logical name of the object.
    pub instance: Obis,
    /// The method, counted from 1.
    pub method: i8,
}

impl MethodDescriptor {
    /// Names a method.
    #[must_use]
    pub const fn new(class_id: u16, instance: Obis, method: i8) -> Self {
        Self {
            class_id,
            instance,
            method,
        }
    }
}

impl Wire<'_> for MethodDescriptor {
    fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.class_id, self.instance, self.method);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            class_id: reader.u16("class-id")?,
            instance: Obis::decode(reader)?,
            method: i8::from_be_bytes(reader.array("method-id")?),
        })
    }
}

/// Which part of an attribute (`Selective-Access-Descriptor`). What the
/// selector means depends on the class and the attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectiveAccessDescriptor<'a> {
    /// The selector.
    pub access_selector: u8,
    /// Its parameters.
    pub access_parameters: RawData<'a>,
}

impl<'a> Wire<'a> for SelectiveAccessDescriptor<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.access_selector);
        self.access_parameters.encode(out);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            access_selector: reader.u8("access-selector")?,
            access_parameters: RawData::skim(reader)?,
        })
    }
}

/// An attribute and, where wanted, which part of it
/// (`Cosem-Attribute-Descriptor-With-Selection`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeDescriptorWithSelection<'a> {
    /// The attribute.
    pub attribute: AttributeDescriptor,
    /// Which part of it; all of it where nothing is said.
    pub access_selection: Option<SelectiveAccessDescriptor<'a>>,
}

impl From<AttributeDescriptor> for AttributeDescriptorWithSelection<'_> {
    fn from(attribute: AttributeDescriptor) -> Self {
        Self {
            attribute,
            access_selection: None,
        }
    }
}

impl<'a> Wire<'a> for AttributeDescriptorWithSelection<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.attribute.encode(out);
        match &self.access_selection {
            None => out.push(0),
            Some(selection) => {
                out.push(1);
                selection.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let attribute = AttributeDescriptor::decode(reader)?;
        let flag = reader.error("access-selection", Malformed::Value);
        let access_selection = match reader.u8("access-selection")? {
            0 => None,
            1 => Some(SelectiveAccessDescriptor::decode(reader)?),
            _ => return Err(flag),
        };
        Ok(Self {
            attribute,
            access_selection,
        })
    }
}

fn put(out: &mut Vec<u8>, class_id: u16, instance: Obis, member: i8) {
    out.extend_from_slice(&class_id.to_be_bytes());
    out.extend_from_slice(&instance.0);
    out.extend_from_slice(&member.to_be_bytes());
}
