//! Fields of resources, read from elements and written as elements.

use dlms::codec::{DecodeError, Malformed};

use crate::xml::Element;

/// A type that stands in one element.
pub(super) trait Leaf: Sized {
    fn read(element: &Element) -> Result<Self, DecodeError>;
    fn write(&self, out: &mut String);
}

/// A field of a resource: required, optional or many.
pub(super) trait Slot: Sized {
    fn take(parent: &Element, name: &'static str) -> Result<Self, DecodeError>;
    fn put(&self, name: &str, out: &mut String);
}

pub(super) const fn bad(element: &Element, field: &'static str) -> DecodeError {
    DecodeError {
        offset: element.offset,
        field,
        reason: Malformed::Value,
    }
}

impl<T: Leaf> Slot for Option<T> {
    fn take(parent: &Element, name: &'static str) -> Result<Self, DecodeError> {
        parent
            .child(name)
            // Utilities write optional fields as empty elements.
            .filter(|child| !child.text.is_empty() || !child.children.is_empty())
            .map(|child| T::read(child).map_err(|error| named(error, name)))
            .transpose()
    }

    fn put(&self, name: &str, out: &mut String) {
        // What has nothing in it is read as absent, so it is written so.
        let mut inside = String::new();
        if let Some(value) = self {
            value.write(&mut inside);
        }
        if !inside.is_empty() {
            element(name, out, |out| out.push_str(&inside));
        }
    }
}

impl<T: Leaf> Slot for Vec<T> {
    fn take(parent: &Element, name: &'static str) -> Result<Self, DecodeError> {
        parent
            .all(name)
            .map(|child| T::read(child).map_err(|error| named(error, name)))
            .collect()
    }

    fn put(&self, name: &str, out: &mut String) {
        for value in self {
            element(name, out, |out| value.write(out));
        }
    }
}

/// Takes a field that must be there.
pub(super) fn required<T: Leaf>(parent: &Element, name: &'static str) -> Result<T, DecodeError> {
    let child = parent.child(name).ok_or(DecodeError {
        offset: parent.offset,
        field: name,
        reason: Malformed::Truncated,
    })?;
    T::read(child).map_err(|error| named(error, name))
}

/// Says which field it was, where nothing within says it better.
fn named(error: DecodeError, name: &'static str) -> DecodeError {
    if error.field == NUMBER {
        DecodeError {
            field: name,
            ..error
        }
    } else {
        error
    }
}

pub(super) fn element(name: &str, out: &mut String, inside: impl FnOnce(&mut String)) {
    out.push_str("<espi:");
    out.push_str(name);
    out.push('>');
    inside(out);
    out.push_str("</espi:");
    out.push_str(name);
    out.push('>');
}

const NUMBER: &str = "number";

macro_rules! numbers {
    ($($kind:ty)*) => {$(
        impl Leaf for $kind {
            fn read(element: &Element) -> Result<Self, DecodeError> {
                element.text.parse().map_err(|_| bad(element, NUMBER))
            }

            fn write(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }
        }
    )*};
}

numbers! { i16 i32 i64 u8 u16 u32 }

impl Leaf for bool {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        match element.text.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(bad(element, NUMBER)),
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Leaf for String {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        Ok(element.text.clone())
    }

    fn write(&self, out: &mut String) {
        text(self, out);
    }
}

/// Writes text so that it is read as itself. Characters that XML 1.0 has not
/// are replaced.
pub(super) fn text(text: &str, out: &mut String) {
    let clean: String = text
        .chars()
        .map(|character| match character {
            '\t' | '\n' | '\r' => ' ',
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
            character => character,
        })
        .collect();
    out.push_str(&quick_xml::escape::escape(clean.as_str()));
}

/// Makes a resource of its fields, in the order of the schema.
macro_rules! record {
    (
        $(#[$about:meta])*
        $name:ident {
            $($(#[$field_about:meta])* $field:ident: $kind:ty = $element:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $kind,)*
        }

        impl $crate::espi::slot::Leaf for $name {
            fn read(
                element: &$crate::xml::Element,
            ) -> Result<Self, dlms::codec::DecodeError> {
                let _ = element;
                Ok(Self {
                    $($field: <$kind as $crate::espi::slot::Slot>::take(element, $element)?,)*
                })
            }

            fn write(&self, out: &mut String) {
                let _ = &out;
                $($crate::espi::slot::Slot::put(&self.$field, $element, out);)*
            }
        }
    };
}

pub(super) use record;

/// A field that must be there.
macro_rules! required_slots {
    ($($kind:ty)*) => {$(
        impl Slot for $kind {
            fn take(parent: &Element, name: &'static str) -> Result<Self, DecodeError> {
                required(parent, name)
            }

            fn put(&self, name: &str, out: &mut String) {
                element(name, out, |out| Leaf::write(self, out));
            }
        }
    )*};
}

required_slots! {
    i64 u16 u32 String super::Rule super::DateTimeInterval
}
