//! Enumerations of the standard as tables: one macro yields the enum, its
//! names and both directions of the code, and keeps what it does not know.

/// Makes an enumeration of one octet out of a table of code, variant and the
/// standard's name.
macro_rules! code_points {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($code:literal $variant:ident $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "` (", stringify!($code), ").")]
                $variant,
            )+
            /// A code point that this table does not have, as it was read.
            Unknown(u8),
        }

        impl $name {
            /// Every code point of the table, in its order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Makes the value with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    _ => Self::Unknown(code),
                }
            }

            /// Tells the code as it is on the wire.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Unknown(code) => code,
                }
            }

            /// Tells the name in the standard's words, `unknown` for what the
            /// table does not have.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(_) => "unknown",
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    Self::Unknown(code) => write!(f, "unknown ({code})"),
                    known => f.write_str(known.name()),
                }
            }
        }
    };
}

pub(crate) use code_points;
