//! The tags of the CHOICE `Data`.

/// Makes the enum of tags and its look-ups from the one table.
macro_rules! tags {
    ($($octet:literal $variant:ident $name:literal $length:expr;)*) => {
        /// A tag of the CHOICE `Data` (IEC 62056-5-3, the xDLMS ASN.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Tag {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant = $octet,
            )*
        }

        impl Tag {
            /// Every tag, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Finds the tag of an octet.
            #[must_use]
            #[inline(always)]
            pub const fn from_u8(octet: u8) -> Option<Self> {
                match octet {
                    $($octet => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Tells the name in the ASN.1.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Tells how many octets follow the tag, where that is fixed.
            #[must_use]
            pub const fn fixed_length(self) -> Option<usize> {
                match self {
                    $(Self::$variant => $length,)*
                }
            }
        }
    };
}

// IEC 62056-5-3 (Green Book), the CHOICE `Data`; the delta types since
// edition 10.
tags! {
    0   NullData                "null-data"                   Some(0);
    1   Array                   "array"                       None;
    2   Structure               "structure"                   None;
    3   Boolean                 "boolean"                     Some(1);
    4   BitString               "bit-string"                  None;
    5   DoubleLong              "double-long"                 Some(4);
    6   DoubleLongUnsigned      "double-long-unsigned"        Some(4);
    9   OctetString             "octet-string"                None;
    10  VisibleString           "visible-string"              None;
    12  Utf8String              "utf8-string"                 None;
    13  Bcd                     "bcd"                         Some(1);
    15  Integer                 "integer"                     Some(1);
    16  Long                    "long"                        Some(2);
    17  Unsigned                "unsigned"                    Some(1);
    18  LongUnsigned            "long-unsigned"               Some(2);
    19  CompactArray            "compact-array"               None;
    20  Long64                  "long64"                      Some(8);
    21  Long64Unsigned          "long64-unsigned"             Some(8);
    22  Enum                    "enum"                        Some(1);
    23  Float32                 "float32"                     Some(4);
    24  Float64                 "float64"                     Some(8);
    25  DateTime                "date-time"                   Some(12);
    26  Date                    "date"                        Some(5);
    27  Time                    "time"                        Some(4);
    28  DeltaInteger            "delta-integer"               Some(1);
    29  DeltaLong               "delta-long"                  Some(2);
    30  DeltaDoubleLong         "delta-double-long"           Some(4);
    31  DeltaUnsigned           "delta-unsigned"              Some(1);
    32  DeltaLongUnsigned       "delta-long-unsigned"         Some(2);
    33  DeltaDoubleLongUnsigned "delta-double-long-unsigned"  Some(4);
    255 DontCare                "dont-care"                   Some(0);
}

impl Tag {
    /// Tells the octet.
    #[must_use]
    #[inline]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }
}
