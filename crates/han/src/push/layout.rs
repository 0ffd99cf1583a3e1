//! What pushes of some makers leave unsaid: which object a value is of, its
//! scaler and its unit. Each table names where it is from.

use dlms::axdr::Data;
use dlms::cosem::{Obis, ScalerUnit, Unit};

/// One place of a list without OBIS codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    kind: Kind,
    /// Nothing where the list's own source does not know.
    pub(super) object: Option<(Obis, Option<ScalerUnit>)>,
}

/// Of which type the value at a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Boolean,
    /// 16 bits.
    Short,
    /// 32 bits.
    Long,
    Any,
}

impl Kind {
    const fn holds(self, data: &Data) -> bool {
        matches!(
            (self, data),
            (Self::Any, _)
                | (Self::Text, Data::OctetString(_) | Data::VisibleString(_))
                | (Self::Boolean, Data::Boolean(_))
                | (Self::Short, Data::LongUnsigned(_) | Data::Long(_))
                | (
                    Self::Long,
                    Data::DoubleLongUnsigned(_) | Data::DoubleLong(_)
                )
        )
    }
}

/// A list: what it is called, what its first value must be, and its places.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    first: First,
    pub(super) places: &'static [Place],
    /// Places of a total and of the tariffs that make it up. Where the source
    /// of a list is not sure, the sum must be right.
    sums: &'static [(usize, &'static [usize])],
}

/// What the first value must be.
#[derive(Clone, Copy, Debug)]
enum First {
    Any,
    Starts(&'static [u8]),
    Digits,
    /// A date and time in octets.
    Time,
    Code(Obis),
}

impl Layout {
    /// Finds the list whose places hold values of these types.
    pub(super) fn of(elements: &[Data]) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.fits(elements))
    }

    fn fits(&self, elements: &[Data]) -> bool {
        let short = matches!(self.first, First::Code(_));
        let counts = if short {
            elements.len() >= CODED_MIN && elements.len() <= self.places.len()
        } else {
            elements.len() == self.places.len()
        };
        let first = elements.first().and_then(Data::as_octets);
        let named = match self.first {
            First::Any => true,
            First::Starts(name) => first.is_some_and(|octets| octets.starts_with(name)),
            First::Digits => first
                .is_some_and(|octets| !octets.is_empty() && octets.iter().all(u8::is_ascii_digit)),
            First::Time => first.is_some_and(|octets| octets.len() == DATE_TIME_LENGTH),
            First::Code(obis) => first == Some(&obis.0),
        };
        counts
            && named
            && elements
                .iter()
                .zip(self.places)
                .all(|(data, place)| place.kind.holds(data))
            && self.sums.iter().all(|(total, parts)| {
                let number = |index: &usize| elements.get(*index).and_then(Data::as_i64);
                let sum: Option<i64> = parts.iter().map(number).sum();
                // Each is rounded on its own.
                match (number(total), sum) {
                    (Some(total), Some(sum)) => (total - sum).unsigned_abs() <= 2,
                    _ => false,
                }
            })
    }
}

/// Octets of a date and time.
const DATE_TIME_LENGTH: usize = 12;

const fn unknown(kind: Kind) -> Place {
    Place { kind, object: None }
}

const fn text(obis: Obis) -> Place {
    Place {
        kind: Kind::Text,
        object: Some((obis, None)),
    }
}

const fn measured(kind: Kind, c: u8, d: u8, e: u8, scaler: i8, unit: Unit) -> Place {
    Place {
        kind,
        object: Some((
            Obis::new(1, 0, c, d, e, 255),
            Some(ScalerUnit::new(scaler, unit)),
        )),
    }
}

/// Active or reactive power, by its number C.
const fn power(c: u8) -> Place {
    let unit = if matches!(c % 20, 3 | 4) {
        Unit::VAR
    } else {
        Unit::WATT
    };
    measured(Kind::Long, c, 7, 0, 0, unit)
}

/// A register of active or reactive energy, by its numbers C and E.
const fn energy(c: u8, e: u8) -> Place {
    let unit = if matches!(c, 3..=8) {
        Unit::VAR_HOUR
    } else {
        Unit::WATT_HOUR
    };
    measured(Kind::Long, c, 8, e, 0, unit)
}

const fn volts(c: u8, scaler: i8) -> Place {
    measured(Kind::Short, c, 7, 0, scaler, Unit::VOLT)
}

const fn amperes(c: u8) -> Place {
    measured(Kind::Short, c, 7, 0, -2, Unit::AMPERE)
}

const LIST_VERSION: Place = text(Obis::new(1, 1, 0, 2, 129, 255));
const METER_ID: Place = text(Obis::new(0, 0, 96, 1, 0, 255));
const METER_TYPE: Place = text(Obis::new(0, 0, 96, 1, 7, 255));
const DEVICE_NAME: Place = text(Obis::new(0, 0, 42, 0, 0, 255));
const DEVICE_ID_2: Place = text(Obis::new(0, 0, 96, 1, 1, 255));
const DEVICE_ID_3: Place = text(Obis::new(0, 0, 96, 1, 2, 255));
const DEVICE_ID_4: Place = text(Obis::new(0, 0, 96, 1, 3, 255));
const CLOCK: Place = text(Obis::new(0, 0, 1, 0, 0, 255));
const BREAKER: Place = Place {
    kind: Kind::Boolean,
    object: Some((Obis::new(0, 0, 96, 3, 10, 255), None)),
};
const TARIFF: Place = Place {
    kind: Kind::Any,
    object: Some((Obis::new(0, 0, 96, 14, 0, 255), None)),
};
const FREQUENCY: Place = unknown(Kind::Short);

const fn kaifa_ampere(c: u8) -> Place {
    measured(Kind::Long, c, 7, 0, -3, Unit::AMPERE)
}

const fn kaifa_volt(c: u8) -> Place {
    measured(Kind::Long, c, 7, 0, -1, Unit::VOLT)
}

/// Values that a list led by a code must have at least.
const CODED_MIN: usize = 8;

/// Lists without OBIS codes, told apart by how many values of which types they
/// have. Facts from: amshan 2.1.1 (MIT, `han/kaifa.py`); the amsreader
/// firmware (`IEC6205675.cpp`, `LNG2.h`, `LNG3.h`, `Kaifa.h`), whose reading
/// of Iskraemeco's short lists is marked as unsure there; a reader of Austrian
/// and Slovenian ports (`DlmsPayloadIskraList`, `DlmsPayloadECEList2`).
const LAYOUTS: &[Layout] = &[
    Layout {
        name: "Kaifa, list KFM_001",
        first: First::Any,
        places: &[power(1)],
        sums: &[],
    },
    Layout {
        name: "Kaifa, list KFM_001",
        first: First::Starts(KAIFA),
        places: &[
            LIST_VERSION,
            METER_ID,
            METER_TYPE,
            power(1),
            power(2),
            power(3),
            power(4),
            kaifa_ampere(31),
            kaifa_volt(32),
        ],
        sums: &[],
    },
    Layout {
        name: "Kaifa, list KFM_001",
        first: First::Starts(KAIFA),
        places: &[
            LIST_VERSION,
            METER_ID,
            METER_TYPE,
            power(1),
            power(2),
            power(3),
            power(4),
            kaifa_ampere(31),
            kaifa_ampere(51),
            kaifa_ampere(71),
            kaifa_volt(32),
            kaifa_volt(52),
            kaifa_volt(72),
        ],
        sums: &[],
    },
    Layout {
        name: "Kaifa, list KFM_001",
        first: First::Starts(KAIFA),
        places: &[
            LIST_VERSION,
            METER_ID,
            METER_TYPE,
            power(1),
            power(2),
            power(3),
            power(4),
            kaifa_ampere(31),
            kaifa_volt(32),
            CLOCK,
            energy(1, 0),
            energy(2, 0),
            energy(3, 0),
            energy(4, 0),
        ],
        sums: &[],
    },
    Layout {
        name: "Kaifa, list KFM_001",
        first: First::Starts(KAIFA),
        places: &[
            LIST_VERSION,
            METER_ID,
            METER_TYPE,
            power(1),
            power(2),
            power(3),
            power(4),
            kaifa_ampere(31),
            kaifa_ampere(51),
            kaifa_ampere(71),
            kaifa_volt(32),
            kaifa_volt(52),
            kaifa_volt(72),
            CLOCK,
            energy(1, 0),
            energy(2, 0),
            energy(3, 0),
            energy(4, 0),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, power of three phases",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_4,
            power(1),
            power(2),
            power(3),
            power(4),
            volts(32, -1),
            volts(52, -1),
            volts(72, -1),
            amperes(31),
            amperes(51),
            amperes(71),
            power(21),
            power(41),
            power(61),
            power(22),
            power(42),
            power(62),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, registers",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_4,
            BREAKER,
            TARIFF,
            energy(1, 0),
            energy(1, 1),
            energy(1, 2),
            energy(2, 0),
            energy(2, 1),
            energy(2, 2),
            energy(3, 0),
            energy(4, 0),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, three phases",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_3,
            volts(32, -1),
            volts(52, -1),
            volts(72, -1),
            amperes(31),
            amperes(51),
            amperes(71),
            power(1),
            power(2),
            power(3),
            power(4),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, power of one phase",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_3,
            power(1),
            power(2),
            power(3),
            power(4),
            volts(32, -1),
            amperes(31),
            power(21),
            power(22),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, registers by tariff",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_4,
            energy(1, 1),
            energy(1, 2),
            energy(2, 1),
            energy(2, 2),
            energy(3, 1),
            energy(3, 2),
            energy(4, 1),
            energy(4, 2),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, power and registers (by their sums)",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            power(1),
            power(2),
            energy(1, 0),
            energy(1, 1),
            energy(1, 2),
            energy(2, 0),
            energy(2, 1),
            energy(2, 2),
        ],
        sums: &[(3, &[4, 5]), (6, &[7, 8])],
    },
    Layout {
        name: "Iskraemeco, power and exported registers",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_3,
            power(1),
            power(2),
            power(3),
            power(4),
            volts(32, -1),
            energy(2, 1),
            energy(2, 2),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, one phase",
        first: First::Starts(ISKRA),
        places: &[
            DEVICE_NAME,
            DEVICE_ID_3,
            volts(32, -1),
            amperes(31),
            power(1),
            power(2),
            power(3),
            power(4),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, list 0-6:25.9.0",
        first: First::Code(Obis::new(0, 6, 25, 9, 0, 255)),
        places: &[
            unknown(Kind::Text),
            unknown(Kind::Any),
            unknown(Kind::Any),
            unknown(Kind::Any),
            energy(1, 0),
            energy(2, 0),
            energy(3, 0),
            energy(4, 0),
            power(1),
            power(2),
            unknown(Kind::Any),
            unknown(Kind::Any),
        ],
        sums: &[],
    },
    Layout {
        name: "Iskraemeco, registers and phases (by their sums)",
        first: First::Any,
        places: &[
            unknown(Kind::Any),
            unknown(Kind::Any),
            unknown(Kind::Any),
            energy(1, 0),
            energy(1, 1),
            energy(1, 2),
            energy(2, 0),
            energy(2, 1),
            energy(2, 2),
            energy(5, 0),
            energy(6, 0),
            energy(7, 0),
            energy(8, 0),
            power(1),
            power(2),
            unknown(Kind::Any),
            power(21),
            power(41),
            power(61),
            power(22),
            power(42),
            power(62),
            volts(32, -1),
            volts(52, -1),
            volts(72, -1),
            amperes(31),
            amperes(51),
            amperes(71),
            unknown(Kind::Any),
            unknown(Kind::Any),
            unknown(Kind::Any),
            unknown(Kind::Any),
            unknown(Kind::Any),
        ],
        sums: &[(3, &[4, 5]), (6, &[7, 8])],
    },
    Layout {
        name: "Iskraemeco, registers and two voltages (by their sums)",
        first: First::Any,
        places: &[
            energy(1, 0),
            energy(1, 1),
            energy(1, 2),
            energy(2, 0),
            energy(2, 1),
            energy(2, 2),
            unknown(Kind::Text),
            CLOCK,
            power(2),
            power(1),
            amperes(31),
            amperes(51),
            amperes(71),
            volts(32, -1),
            volts(72, -1),
        ],
        sums: &[(0, &[1, 2]), (3, &[4, 5])],
    },
    Layout {
        name: "Landis+Gyr, three phases",
        first: First::Any,
        places: &[
            volts(32, 0),
            volts(52, 0),
            volts(72, 0),
            amperes(31),
            amperes(51),
            amperes(71),
            power(1),
            power(2),
            energy(1, 0),
            energy(2, 0),
            METER_ID,
        ],
        sums: &[],
    },
    Layout {
        name: "Landis+Gyr, three phases",
        first: First::Any,
        places: &[
            volts(32, 0),
            volts(52, 0),
            volts(72, 0),
            amperes(31),
            amperes(51),
            amperes(71),
            power(1),
            power(2),
            energy(1, 0),
            energy(2, 0),
            unknown(Kind::Short),
            unknown(Kind::Short),
            unknown(Kind::Short),
            METER_ID,
        ],
        sums: &[],
    },
    Layout {
        name: "Landis+Gyr E450, totals",
        first: First::Digits,
        places: &[
            METER_ID,
            power(1),
            power(2),
            power(3),
            power(4),
            energy(1, 0),
            energy(2, 0),
            energy(3, 0),
            energy(4, 0),
        ],
        sums: &[],
    },
    // Four ciphered messages of two meters in Austria, published with their keys
    // (tests of an energy agent on GitHub). In two of one meter, 20 hours apart,
    // the second value has grown by 121 and the sixth is 6, the fifth has grown
    // by 250 and the ninth is 13: registers, and the power that they grow by.
    Layout {
        name: "Landis+Gyr E450, registers and power",
        first: First::Time,
        places: &[
            text(super::CLOCK),
            energy(1, 0),
            energy(2, 0),
            energy(3, 0),
            energy(4, 0),
            power(1),
            power(2),
            power(3),
            power(4),
        ],
        sums: &[],
    },
    Layout {
        name: "Landis+Gyr E450, phases",
        first: First::Digits,
        places: &[
            DEVICE_ID_2,
            FREQUENCY,
            amperes(31),
            amperes(51),
            amperes(71),
            volts(32, 0),
            volts(52, 0),
            volts(72, 0),
            power(21),
            power(41),
            power(61),
            power(22),
            power(42),
            power(62),
        ],
        sums: &[],
    },
];

/// What the lists of Iskraemeco begin with: the logical device name.
const ISKRA: &[u8] = b"ISK";

/// What the list of a Kaifa meter names itself by, where it has a name.
pub(super) const KAIFA: &[u8] = b"KFM";

/// What the list of a Kamstrup meter names itself by.
pub(super) const KAMSTRUP: &[u8] = b"Kamstrup_V";

/// The type number of a Kamstrup meter in its lists.
pub(super) const KAMSTRUP_TYPE: Obis = Obis::new(1, 1, 96, 1, 1, 255);

/// The name of its list, in lists that name it by a code.
pub(super) const LIST_NAME: Obis = Obis::new(1, 1, 0, 2, 129, 255);

/// Scaler and unit of a value in a list of a Kamstrup meter. As amshan 2.1.1
/// (MIT, `han/kamstrup.py`) has them, the phases and power factors as the
/// amsreader firmware (`IEC6205675.cpp`); a meter for current transformers,
/// whose type number begins with 685, tells currents in milliamperes.
pub(super) fn kamstrup(obis: Obis, meter_type: &[u8]) -> Option<ScalerUnit> {
    let [1, _, c, d, 0, 255] = obis.0 else {
        return None;
    };
    let (scaler, unit) = match (c, d) {
        (31 | 51 | 71, 7) if meter_type.starts_with(b"685") => (-3, Unit::AMPERE),
        (31 | 51 | 71, 7) => (-2, Unit::AMPERE),
        (32 | 52 | 72, 7) => (0, Unit::VOLT),
        (13 | 33 | 53 | 73, 7) => (-2, Unit::COUNT),
        (1 | 2 | 21 | 22 | 41 | 42 | 61 | 62, 7) => (0, Unit::WATT),
        (3 | 4, 7) => (0, Unit::VAR),
        (1 | 2 | 21 | 22 | 41 | 42 | 61 | 62, 8) => (1, Unit::WATT_HOUR),
        (3 | 4, 8) => (1, Unit::VAR_HOUR),
        _ => return None,
    };
    Some(ScalerUnit::new(scaler, unit))
}

/// Scaler and unit of a value in a list of a Kaifa meter that has codes
/// (Sweden). As amshan 2.1.1 (MIT, `han/kaifa.py`) has them.
pub(super) fn kaifa(obis: Obis) -> Option<ScalerUnit> {
    let [1, _, c, 7, 0, 255] = obis.0 else {
        return usual(obis);
    };
    match c {
        31 | 51 | 71 => Some(ScalerUnit::new(-3, Unit::AMPERE)),
        32 | 52 | 72 => Some(ScalerUnit::new(-1, Unit::VOLT)),
        _ => usual(obis),
    }
}

/// Scaler and unit of a value that a Landis+Gyr meter pushes behind a list of
/// its objects. As the amsreader firmware (`LNG.cpp`) has them.
pub(super) fn landis_gyr(obis: Obis) -> Option<ScalerUnit> {
    let [1, _, c, 7, 0, 255] = obis.0 else {
        return usual(obis);
    };
    match c {
        31 | 51 | 71 => Some(ScalerUnit::new(-2, Unit::AMPERE)),
        32 | 52 | 72 => Some(ScalerUnit::new(-1, Unit::VOLT)),
        _ => usual(obis),
    }
}

/// Scaler and unit of power and energy where nothing tells them: every list
/// at hand that does tell them has watts and watt hours, whole. Currents,
/// voltages and factors differ from meter to meter, so they have none.
pub(super) fn usual(obis: Obis) -> Option<ScalerUnit> {
    let [1, _, c, d, _, 255] = obis.0 else {
        return None;
    };
    let unit = match (c, d) {
        (1 | 2 | 15 | 16 | 21 | 22 | 36 | 41 | 42 | 56 | 61 | 62 | 76, 7) => Unit::WATT,
        (3..=8 | 23 | 24 | 43 | 44 | 63 | 64, 7) => Unit::VAR,
        (9 | 10 | 29 | 30 | 49 | 50 | 69 | 70, 7) => Unit::VOLT_AMPERE,
        (1 | 2 | 15 | 16 | 21 | 22 | 41 | 42 | 61 | 62, 8) => Unit::WATT_HOUR,
        (3..=8 | 23 | 24 | 43 | 44 | 63 | 64, 8) => Unit::VAR_HOUR,
        (9 | 10, 8) => Unit::VOLT_AMPERE_HOUR,
        _ => return None,
    };
    Some(ScalerUnit::new(0, unit))
}
