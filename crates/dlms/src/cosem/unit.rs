//! Units and scaled values.

use core::fmt;

use super::Unexpected;
use crate::axdr::Data;

/// Makes the constants and look-ups of units from the one table.
macro_rules! units {
    ($($code:literal $symbol:literal $name:literal;)*) => {
        /// Every unit that has a symbol: code, symbol, quantity.
        const UNITS: &[(u8, &str, &str)] = &[$(($code, $symbol, $name)),*];
    };
}

/// A unit by its code in the Blue Book, "enumeration of physical units".
/// Codes without a symbol here are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(pub u8);

impl Unit {
    /// Active power (27, W).
    pub const WATT: Self = Self(27);
    /// Apparent power (28, VA).
    pub const VOLT_AMPERE: Self = Self(28);
    /// Reactive power (29, var).
    pub const VAR: Self = Self(29);
    /// Active energy (30, Wh).
    pub const WATT_HOUR: Self = Self(30);
    /// Apparent energy (31, VAh).
    pub const VOLT_AMPERE_HOUR: Self = Self(31);
    /// Reactive energy (32, varh).
    pub const VAR_HOUR: Self = Self(32);
    /// Current (33, A).
    pub const AMPERE: Self = Self(33);
    /// Voltage (35, V).
    pub const VOLT: Self = Self(35);
    /// Frequency (44, Hz).
    pub const HERTZ: Self = Self(44);
    /// Another unit (254).
    pub const OTHER: Self = Self(254);
    /// A number without unit (255).
    pub const COUNT: Self = Self(255);

    /// Shows the symbol; empty for a number without unit, nothing for a code
    /// that is not known.
    #[must_use]
    pub fn symbol(self) -> Option<&'static str> {
        self.entry().map(|(_, symbol, _)| *symbol)
    }

    /// Names the quantity.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(_, _, name)| *name)
    }

    fn entry(self) -> Option<&'static (u8, &'static str, &'static str)> {
        UNITS.iter().find(|(code, ..)| *code == self.0)
    }
}

/// Writes the symbol, or the code where there is none.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => f.write_str(symbol),
            None => write!(f, "unit {}", self.0),
        }
    }
}

/// What turns the number in a register into a quantity (`scal_unit_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScalerUnit {
    /// The power of ten by which the number is to be multiplied.
    pub scaler: i8,
    /// The unit.
    pub unit: Unit,
}

impl ScalerUnit {
    /// Names a scaler and a unit.
    #[must_use]
    pub const fn new(scaler: i8, unit: Unit) -> Self {
        Self { scaler, unit }
    }

    /// Reads `structure { scaler: integer, unit: enum }`.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn from_data(data: &Data) -> Result<Self, Unexpected> {
        match data.as_structure() {
            Some([scaler, unit]) => Ok(Self {
                scaler: scaler.as_i8().ok_or(Unexpected("scaler"))?,
                unit: Unit(unit.as_u8().ok_or(Unexpected("unit"))?),
            }),
            _ => Err(Unexpected("scaler_unit")),
        }
    }

    /// Makes `structure { scaler: integer, unit: enum }`.
    #[must_use]
    pub fn to_data(self) -> Data {
        Data::Structure([Data::Integer(self.scaler), Data::Enum(self.unit.0)].into())
    }

    /// Puts a number to its scaler and unit.
    #[must_use]
    pub fn scaled(self, number: impl Into<i128>) -> Scaled {
        Scaled {
            number: number.into(),
            scaler: self.scaler,
            unit: self.unit,
        }
    }
}

/// A quantity: a whole number, a power of ten and a unit, written out exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scaled {
    /// The number as the register has it.
    pub number: i128,
    /// The power of ten.
    pub scaler: i8,
    /// The unit.
    pub unit: Unit,
}

impl Scaled {
    /// Writes the decimal number without the unit.
    #[must_use]
    pub const fn decimal(self) -> Decimal {
        Decimal {
            number: self.number,
            scaler: self.scaler,
        }
    }
}

/// Writes number and unit: `12345.678 Wh`.
impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decimal().fmt(f)?;
        match self.unit.symbol() {
            Some("") => Ok(()),
            _ => write!(f, " {}", self.unit),
        }
    }
}

/// A number times a power of ten, written out in full: no digit is lost and
/// trailing zeros stay, since they tell the resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    number: i128,
    scaler: i8,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.number < 0 { "-" } else { "" };
        let magnitude = self.number.unsigned_abs();
        let shift = usize::from(self.scaler.unsigned_abs());
        if self.scaler >= 0 {
            let zeros = if magnitude == 0 { 0 } else { shift };
            return write!(f, "{sign}{magnitude}{:0<zeros$}", "");
        }
        let divisor = u32::try_from(shift)
            .ok()
            .and_then(|shift| 10_u128.checked_pow(shift));
        // Past 38 places every number of 128 bits is all fraction.
        let (whole, fraction) = divisor.map_or((0, magnitude), |divisor| {
            (magnitude / divisor, magnitude % divisor)
        });
        write!(f, "{sign}{whole}.{fraction:0>shift$}")
    }
}

// Codes and quantities: Blue Book (DLMS UA 1000-1 Ed. 13 excerpt, Table 4), as
// it is carried by gurux.dlms.java (enums/Unit.java) and pydlms-client 0.1.0
// (cosem/enums.py), which agree. dlms-cosem-rs 0.1.0 has 20 and 50 the other
// way round.
units! {
    1   "a"         "time";
    2   "mo"        "time";
    3   "wk"        "time";
    4   "d"         "time";
    5   "h"         "time";
    6   "min"       "time";
    7   "s"         "time";
    8   "°"         "phase angle";
    9   "°C"        "temperature";
    10  "currency"  "local currency";
    11  "m"         "length";
    12  "m/s"       "speed";
    13  "m³"        "volume";
    14  "m³"        "corrected volume";
    15  "m³/h"      "volume flux";
    16  "m³/h"      "corrected volume flux";
    17  "m³/d"      "volume flux";
    18  "m³/d"      "corrected volume flux";
    19  "l"         "volume";
    20  "kg"        "mass";
    21  "N"         "force";
    22  "Nm"        "energy";
    23  "Pa"        "pressure";
    24  "bar"       "pressure";
    25  "J"         "energy";
    26  "J/h"       "thermal power";
    27  "W"         "active power";
    28  "VA"        "apparent power";
    29  "var"       "reactive power";
    30  "Wh"        "active energy";
    31  "VAh"       "apparent energy";
    32  "varh"      "reactive energy";
    33  "A"         "current";
    34  "C"         "electrical charge";
    35  "V"         "voltage";
    36  "V/m"       "electric field strength";
    37  "F"         "capacitance";
    38  "Ω"         "resistance";
    39  "Ωm²/m"     "resistivity";
    40  "Wb"        "magnetic flux";
    41  "T"         "magnetic flux density";
    42  "A/m"       "magnetic field strength";
    43  "H"         "inductance";
    44  "Hz"        "frequency";
    45  "1/Wh"      "active energy meter constant";
    46  "1/varh"    "reactive energy meter constant";
    47  "1/VAh"     "apparent energy meter constant";
    48  "V²h"       "volt-squared hours";
    49  "A²h"       "ampere-squared hours";
    50  "kg/s"      "mass flux";
    51  "S"         "conductance";
    52  "K"         "temperature";
    53  "1/V²h"     "volt-squared hour meter constant";
    54  "1/A²h"     "ampere-squared hour meter constant";
    55  "1/m³"      "volume meter constant";
    56  "%"         "percentage";
    57  "Ah"        "ampere-hours";
    60  "Wh/m³"     "energy per volume";
    61  "J/m³"      "calorific value";
    62  "mol%"      "molar fraction of gas";
    63  "g/m³"      "mass density";
    64  "Pa·s"      "dynamic viscosity";
    65  "J/kg"      "specific energy";
    66  "g/cm²"     "pressure";
    67  "atm"       "pressure";
    70  "dBm"       "signal strength";
    71  "dBµV"      "signal strength";
    72  "dB"        "logarithmic ratio";
    128 "in"        "length";
    129 "ft"        "length";
    130 "lb"        "mass";
    131 "°F"        "temperature";
    132 "°R"        "temperature";
    133 "in²"       "area";
    134 "ft²"       "area";
    135 "ac"        "area";
    136 "in³"       "volume";
    137 "ft³"       "volume";
    138 "ac·ft"     "volume";
    139 "gal(imp)"  "volume";
    140 "gal(US)"   "volume";
    141 "lbf"       "force";
    142 "psi"       "pressure";
    143 "lb/ft³"    "density";
    144 "lb/(ft·s)" "dynamic viscosity";
    145 "ft²/s"     "kinematic viscosity";
    146 "Btu"       "energy";
    147 "thm(EC)"   "energy";
    148 "thm(US)"   "energy";
    149 "Btu/lb"    "calorific value per mass";
    150 "Btu/ft³"   "calorific value per volume";
    152 "ft/s"      "speed";
    153 "ft³/s"     "volume flux";
    154 "ft³/min"   "volume flux";
    155 "ft³/h"     "volume flux";
    156 "ft³/d"     "volume flux";
    157 "ac·ft/s"   "volume flux";
    158 "ac·ft/min" "volume flux";
    159 "ac·ft/h"   "volume flux";
    160 "ac·ft/d"   "volume flux";
    162 "gal(imp)/s"   "volume flux";
    163 "gal(imp)/min" "volume flux";
    164 "gal(imp)/h"   "volume flux";
    165 "gal(imp)/d"   "volume flux";
    167 "gal(US)/s"    "volume flux";
    168 "gal(US)/min"  "volume flux";
    169 "gal(US)/h"    "volume flux";
    170 "gal(US)/d"    "volume flux";
    171 "Btu/s"     "power";
    172 "Btu/min"   "power";
    173 "Btu/h"     "power";
    174 "Btu/d"     "power";
    255 ""          "number";
}
