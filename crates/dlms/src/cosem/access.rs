//! Access rights and the object list of an association.

use alloc::vec::Vec;
use core::fmt;

use super::{Obis, Unexpected};
use crate::axdr::Data;

/// Makes a set of access rights, written as the bits of Association LN
/// version 3.
macro_rules! access {
    ($(#[$doc:meta])* $type:ident { $($(#[$bit_doc:meta])* $bit:ident = $value:literal, $name:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $type(pub u8);

        impl $type {
            /// No access.
            pub const NONE: Self = Self(0);
            $($(#[$bit_doc])* pub const $bit: Self = Self($value);)*

            /// Tells whether all of `rights` are among these.
            #[must_use]
            pub const fn contains(self, rights: Self) -> bool {
                self.0 & rights.0 == rights.0
            }

            /// Joins two sets.
            #[must_use]
            pub const fn with(self, rights: Self) -> Self {
                Self(self.0 | rights.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut before = "";
                for (bit, name) in [$((Self::$bit, $name)),*] {
                    if self.contains(bit) {
                        write!(f, "{before}{name}")?;
                        before = ", ";
                    }
                }
                if before.is_empty() {
                    f.write_str("no access")?;
                }
                Ok(())
            }
        }
    };
}

// DLMS UA 1000-2 Ed. 9 excerpt, 9.2.7.2.2 Table 8, as Gurux (AccessMode3,
// MethodAccessMode3), pydlms-client 0.1.0 (cosem/access.py) and dlms-cosem-rs
// 0.1.0 have it.
access! {
    /// What may be done with an attribute, and how it must be protected.
    AttributeAccess {
        /// Reading.
        READ = 0x01, "read";
        /// Writing.
        WRITE = 0x02, "write";
        /// Only an authenticated request.
        AUTHENTICATED_REQUEST = 0x04, "authenticated request";
        /// Only an encrypted request.
        ENCRYPTED_REQUEST = 0x08, "encrypted request";
        /// Only a digitally signed request.
        DIGITALLY_SIGNED_REQUEST = 0x10, "digitally signed request";
        /// The response is authenticated.
        AUTHENTICATED_RESPONSE = 0x20, "authenticated response";
        /// The response is encrypted.
        ENCRYPTED_RESPONSE = 0x40, "encrypted response";
        /// The response is digitally signed.
        DIGITALLY_SIGNED_RESPONSE = 0x80, "digitally signed response";
    }
}

access! {
    /// Whether a method may be invoked, and how that must be protected.
    MethodAccess {
        /// Invoking.
        ACCESS = 0x01, "access";
        /// Only an authenticated request.
        AUTHENTICATED_REQUEST = 0x04, "authenticated request";
        /// Only an encrypted request.
        ENCRYPTED_REQUEST = 0x08, "encrypted request";
        /// Only a digitally signed request.
        DIGITALLY_SIGNED_REQUEST = 0x10, "digitally signed request";
        /// The response is authenticated.
        AUTHENTICATED_RESPONSE = 0x20, "authenticated response";
        /// The response is encrypted.
        ENCRYPTED_RESPONSE = 0x40, "encrypted response";
        /// The response is digitally signed.
        DIGITALLY_SIGNED_RESPONSE = 0x80, "digitally signed response";
    }
}

impl AttributeAccess {
    /// Reading and writing.
    pub const READ_AND_WRITE: Self = Self::READ.with(Self::WRITE);

    /// Reads the octet of an `access_mode` as an association of that version
    /// means it: up to version 2 an enumeration, from version 3 bits.
    /// Enumerated values that are not defined give no access.
    #[must_use]
    pub const fn from_mode(mode: u8, association_version: u8) -> Self {
        if association_version >= 3 {
            return Self(mode);
        }
        match mode {
            1 => Self::READ,
            2 => Self::WRITE,
            3 => Self::READ_AND_WRITE,
            4 => Self::READ.with(Self::AUTHENTICATED_REQUEST),
            5 => Self::WRITE.with(Self::AUTHENTICATED_REQUEST),
            6 => Self::READ_AND_WRITE.with(Self::AUTHENTICATED_REQUEST),
            _ => Self::NONE,
        }
    }

    /// Makes the octet of an `access_mode`. Up to version 2 no other demand
    /// than authentication can be told: any demand on the request becomes
    /// that one.
    #[must_use]
    pub const fn to_mode(self, association_version: u8) -> u8 {
        if association_version >= 3 {
            return self.0;
        }
        let mode = self.0 & Self::READ_AND_WRITE.0;
        if mode != 0 && self.0 & REQUEST_PROTECTION != 0 {
            mode + 3
        } else {
            mode
        }
    }
}

impl MethodAccess {
    /// Reads the octet of an `access_mode` as an association of that version
    /// means it: version 0 a boolean, up to version 2 an enumeration, from
    /// version 3 bits.
    #[must_use]
    pub const fn from_mode(mode: u8, association_version: u8) -> Self {
        if association_version >= 3 {
            return Self(mode);
        }
        match mode {
            1 => Self::ACCESS,
            2 => Self::ACCESS.with(Self::AUTHENTICATED_REQUEST),
            _ => Self::NONE,
        }
    }

    /// Makes the octet of an `access_mode`, as
    /// [`AttributeAccess::to_mode`] does.
    #[must_use]
    pub const fn to_mode(self, association_version: u8) -> u8 {
        match association_version {
            3.. => self.0,
            0 => self.0 & Self::ACCESS.0,
            _ if self.0 & Self::ACCESS.0 == 0 => 0,
            _ if self.0 & REQUEST_PROTECTION != 0 => 2,
            _ => 1,
        }
    }
}

const REQUEST_PROTECTION: u8 = 0x04 | 0x08 | 0x10;

/// The right to one attribute (`attribute_access_item`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeAccessItem {
    /// The attribute.
    pub attribute_id: i8,
    /// The octet as it stands there: see [`AttributeAccess::from_mode`].
    pub access_mode: u8,
    /// The selectors that may be used; nothing where none may.
    pub access_selectors: Option<Vec<i8>>,
}

/// The right to one method (`method_access_item`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodAccessItem {
    /// The method.
    pub method_id: i8,
    /// The octet as it stands there: see [`MethodAccess::from_mode`].
    pub access_mode: u8,
}

/// One object of an association (`object_list_element`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectListElement {
    /// The interface class.
    pub class_id: u16,
    /// Its version.
    pub version: u8,
    /// The logical name.
    pub logical_name: Obis,
    /// The rights to attributes.
    pub attribute_access: Vec<AttributeAccessItem>,
    /// The rights to methods.
    pub method_access: Vec<MethodAccessItem>,
}

impl ObjectListElement {
    /// Reads
    /// `structure { class_id, version, logical_name, structure { attribute_access, method_access } }`.
    ///
    /// # Errors
    /// The field that is not of its type.
    pub fn from_data(data: &Data) -> Result<Self, Unexpected> {
        let Some([class_id, version, logical_name, access_rights]) = data.as_structure() else {
            return Err(Unexpected("object_list_element"));
        };
        let Some([attributes, methods]) = access_rights.as_structure() else {
            return Err(Unexpected("access_rights"));
        };
        Ok(Self {
            class_id: class_id.as_u16().ok_or(Unexpected("class_id"))?,
            version: version.as_u8().ok_or(Unexpected("version"))?,
            logical_name: Obis::from_data(logical_name)?,
            attribute_access: attributes
                .as_array()
                .ok_or(Unexpected("attribute_access_descriptor"))?
                .iter()
                .map(AttributeAccessItem::from_data)
                .collect::<Result<_, _>>()?,
            method_access: methods
                .as_array()
                .ok_or(Unexpected("method_access_descriptor"))?
                .iter()
                .map(MethodAccessItem::from_data)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Makes the structure, as an association of that version has it.
    #[must_use]
    pub fn to_data(&self, association_version: u8) -> Data {
        let attributes = self
            .attribute_access
            .iter()
            .map(AttributeAccessItem::to_data);
        let methods = self
            .method_access
            .iter()
            .map(|item| item.to_data(association_version));
        Data::Structure(
            [
                Data::LongUnsigned(self.class_id),
                Data::Unsigned(self.version),
                self.logical_name.to_data(),
                Data::Structure(
                    [
                        Data::Array(attributes.collect()),
                        Data::Array(methods.collect()),
                    ]
                    .into(),
                ),
            ]
            .into(),
        )
    }
}

impl AttributeAccessItem {
    fn from_data(data: &Data) -> Result<Self, Unexpected> {
        let Some([attribute_id, access_mode, selectors]) = data.as_structure() else {
            return Err(Unexpected("attribute_access_item"));
        };
        let access_selectors = match selectors {
            Data::NullData => None,
            Data::Array(selectors) => Some(
                selectors
                    .iter()
                    .map(Data::as_i8)
                    .collect::<Option<Vec<_>>>()
                    .ok_or(Unexpected("access_selectors"))?,
            ),
            _ => return Err(Unexpected("access_selectors")),
        };
        Ok(Self {
            attribute_id: attribute_id.as_i8().ok_or(Unexpected("attribute_id"))?,
            access_mode: access_mode.as_u8().ok_or(Unexpected("access_mode"))?,
            access_selectors,
        })
    }

    fn to_data(&self) -> Data {
        let selectors = match &self.access_selectors {
            None => Data::NullData,
            Some(selectors) => Data::Array(selectors.iter().copied().map(Data::Integer).collect()),
        };
        Data::Structure(
            [
                Data::Integer(self.attribute_id),
                Data::Enum(self.access_mode),
                selectors,
            ]
            .into(),
        )
    }
}

impl MethodAccessItem {
    fn from_data(data: &Data) -> Result<Self, Unexpected> {
        let Some([method_id, access_mode]) = data.as_structure() else {
            return Err(Unexpected("method_access_item"));
        };
        let mode = match access_mode {
            Data::Boolean(allowed) => Some(u8::from(*allowed)),
            other => other.as_u8(),
        };
        Ok(Self {
            method_id: method_id.as_i8().ok_or(Unexpected("method_id"))?,
            access_mode: mode.ok_or(Unexpected("access_mode"))?,
        })
    }

    fn to_data(self, association_version: u8) -> Data {
        let mode = match association_version {
            0 => Data::Boolean(self.access_mode != 0),
            _ => Data::Enum(self.access_mode),
        };
        Data::Structure([Data::Integer(self.method_id), mode].into())
    }
}
