//! English names for the codes that matter.
//!
//! Groups and their meaning: the object inventories of Landis+Gyr E350, E570
//! and E650, MetCom MCS301 and Larsen & Toubro Regor, the DSMR and SMR
//! profiles of OSGP, and the table `OBISCodes.txt` of Gurux.DLMS. The words
//! are our own.

use core::fmt;

use super::Obis;

/// Names a code; nothing where it is none of the known ones. What the makers
/// of meters define for themselves has no name here.
#[must_use]
pub fn name(obis: Obis) -> Option<Name> {
    let [medium, channel, c, d, e, period] = obis.0;
    let name = match medium {
        0 => common(c, d, e),
        1 => common_to_electricity(c, d, e).or_else(|| electricity(c, d, e)),
        _ => None,
    }?;
    Some(Name {
        channel,
        period,
        ..name
    })
}

/// A name, composed when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    subject: &'static str,
    phase: &'static str,
    processing: &'static str,
    index: Index,
    channel: u8,
    period: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    None,
    Number(u8),
    Rate(u8),
    Harmonic(u8),
    Distortion,
}

impl Name {
    const fn plain(subject: &'static str, index: Index) -> Self {
        Self {
            subject,
            phase: "",
            processing: "",
            index,
            channel: 0,
            period: 255,
        }
    }
}

/// Writes subject, phase, processing, rate, channel and billing period.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.subject, self.phase, self.processing)?;
        match self.index {
            Index::None => {}
            Index::Number(number) => write!(f, " {number}")?,
            Index::Rate(rate) => write!(f, ", rate {rate}")?,
            Index::Harmonic(order) => write!(f, ", harmonic {order}")?,
            Index::Distortion => f.write_str(", total harmonic distortion")?,
        }
        if self.channel != 0 {
            write!(f, ", channel {}", self.channel)?;
        }
        match self.period {
            255 => Ok(()),
            101 => f.write_str(", last billing period"),
            period => write!(f, ", billing period {period}"),
        }
    }
}

/// Value group E of a table entry that stands for any number.
const ANY: u8 = 0xFF;

type Entry = (u8, u8, u8, &'static str);

fn find(table: &[Entry], c: u8, d: u8, e: u8) -> Option<Name> {
    let (.., listed, subject) = table.iter().find(|(known_c, known_d, known_e, _)| {
        (*known_c, *known_d) == (c, d) && (*known_e == e || *known_e == ANY)
    })?;
    let index = if *listed == ANY {
        Index::Number(e)
    } else {
        Index::None
    };
    Some(Name::plain(subject, index))
}

fn common(c: u8, d: u8, e: u8) -> Option<Name> {
    find(COMMON, c, d, e)
}

fn common_to_electricity(c: u8, d: u8, e: u8) -> Option<Name> {
    find(ELECTRICITY_RELATED, c, d, e)
}

fn electricity(c: u8, d: u8, e: u8) -> Option<Name> {
    let (quantity, phase) = match c {
        1..=16 => (c, ""),
        21..=36 => (c - 20, " L1"),
        41..=56 => (c - 40, " L2"),
        61..=76 => (c - 60, " L3"),
        90..=92 => (c, ""),
        _ => return None,
    };
    let (_, power, energy) = QUANTITIES.iter().find(|(known, ..)| *known == quantity)?;
    let (_, integral, processing) = PROCESSING.iter().find(|(known, ..)| *known == d)?;
    let subject = if *integral { energy.as_ref()? } else { power };
    let subject = match (*subject, phase) {
        // Of a single phase, group C tells which.
        ("current, any phase", " L1" | " L2" | " L3") => "current",
        ("voltage, any phase", " L1" | " L2" | " L3") => "voltage",
        (subject, _) => subject,
    };
    let harmonics = matches!(quantity, 11 | 12 | 90..=92);
    let index = match e {
        0 => Index::None,
        // Instantaneous values, and what is over a limit of them.
        124 if matches!(d, 7 | 35 | 36 | 38 | 44) => Index::Distortion,
        1..=120 if harmonics => Index::Harmonic(e),
        1..=63 => Index::Rate(e),
        _ => return None,
    };
    Some(Name {
        phase,
        processing,
        ..Name::plain(subject, index)
    })
}

/// Value group C of electricity: the quantity and its time integral.
const QUANTITIES: &[(u8, &str, Option<&str>)] = &[
    (1, "active power import", Some("active energy import")),
    (2, "active power export", Some("active energy export")),
    (3, "reactive power import", Some("reactive energy import")),
    (4, "reactive power export", Some("reactive energy export")),
    (5, "reactive power QI", Some("reactive energy QI")),
    (6, "reactive power QII", Some("reactive energy QII")),
    (7, "reactive power QIII", Some("reactive energy QIII")),
    (8, "reactive power QIV", Some("reactive energy QIV")),
    (9, "apparent power import", Some("apparent energy import")),
    (10, "apparent power export", Some("apparent energy export")),
    (11, "current, any phase", None),
    (12, "voltage, any phase", None),
    (13, "power factor", None),
    (14, "frequency", None),
    (
        15,
        "active power import plus export",
        Some("active energy import plus export"),
    ),
    (
        16,
        "active power import less export",
        Some("active energy import less export"),
    ),
    (90, "sum of currents", None),
    (91, "neutral current", None),
    (92, "neutral voltage", None),
];

/// Value group D of electricity: whether it is a time integral, and the words
/// for it.
const PROCESSING: &[(u8, bool, &str)] = &[
    (2, false, ", cumulative maximum"),
    (3, false, ", minimum"),
    (4, false, ", running average"),
    (5, false, ", last average"),
    (6, false, ", maximum"),
    (7, false, ""),
    (8, true, ""),
    (9, true, ", billing period so far"),
    (24, false, ", running average 3"),
    (25, false, ", last average 3"),
    (26, false, ", maximum 3"),
    (27, false, ", running average 5"),
    (28, false, ", running average 6"),
    (29, true, ", recording interval 1"),
    (30, true, ", recording interval 2"),
    (31, false, ", under limit threshold"),
    (32, false, ", under limit count"),
    (33, false, ", under limit duration"),
    (34, false, ", under limit magnitude"),
    (35, false, ", over limit threshold"),
    (36, false, ", over limit count"),
    (37, false, ", over limit duration"),
    (38, false, ", over limit magnitude"),
    (39, false, ", missing threshold"),
    (43, false, ", time threshold for under limit"),
    (44, false, ", time threshold for over limit"),
    (45, false, ", time threshold for missing"),
];

/// Groups C, D, E of abstract objects (A = 0).
const COMMON: &[Entry] = &[
    (0, 2, 0, "active firmware identifier"),
    (0, 2, 8, "active firmware signature"),
    (1, 0, 0, "clock"),
    (2, 0, 0, "modem configuration"),
    (2, 1, 0, "auto connect"),
    (2, 2, 0, "auto answer"),
    (10, 0, 0, "script table: global meter reset"),
    (10, 0, 1, "script table: end of billing period"),
    (10, 0, 100, "script table: tariffication"),
    (10, 0, 103, "script table: output signals"),
    (10, 0, 106, "script table: disconnect control"),
    (10, 0, 107, "script table: image activation"),
    (10, 0, 108, "script table: push"),
    (11, 0, ANY, "special days table"),
    (13, 0, ANY, "activity calendar"),
    (14, 0, ANY, "register activation"),
    (15, 0, 0, "schedule: end of billing period"),
    (15, 0, 1, "schedule: disconnect control"),
    (15, 0, 2, "schedule: image activation"),
    (15, 0, 4, "schedule: push"),
    (15, 1, 4, "schedule: phase outage test"),
    (15, 2, 4, "schedule: last gasp test"),
    (16, 1, ANY, "alarm monitor"),
    (17, 0, ANY, "limiter"),
    (20, 0, 0, "optical port setup"),
    (22, 0, 0, "HDLC setup"),
    (24, 1, 0, "M-Bus client"),
    (24, 2, ANY, "M-Bus value"),
    (24, 3, ANY, "M-Bus profile"),
    (24, 5, ANY, "M-Bus control log"),
    (24, 6, ANY, "M-Bus master port setup"),
    (25, 0, 0, "TCP-UDP setup"),
    (25, 1, 0, "IPv4 setup"),
    (25, 4, 0, "GPRS modem setup"),
    (25, 6, 0, "modem diagnostic"),
    (25, 9, 0, "push setup"),
    (40, 0, 0, "current association"),
    (40, 0, ANY, "association"),
    (41, 0, 0, "SAP assignment"),
    (42, 0, 0, "logical device name"),
    (43, 0, ANY, "security setup"),
    (43, 1, ANY, "invocation counter"),
    (44, 0, ANY, "image transfer"),
    (65, 0, ANY, "utility table"),
    (96, 1, 0, "device ID 1, manufacturing number"),
    (96, 1, ANY, "device ID"),
    (96, 3, 0, "input and output control signals"),
    (96, 3, 10, "disconnect control"),
    (96, 4, 0, "internal control signals"),
    (96, 5, 0, "internal operating status"),
    (96, 6, 0, "battery use time"),
    (96, 7, 0, "power failures in all three phases"),
    (96, 7, 9, "long power failures in any phase"),
    (96, 7, 19, "duration of long power failure in any phase"),
    (96, 7, 20, "time threshold for long power failure"),
    (96, 7, 21, "power failures in any phase"),
    (96, 8, 0, "time of operation"),
    (96, 8, ANY, "time of operation, rate"),
    (96, 10, ANY, "status register"),
    (96, 11, ANY, "event code"),
    (96, 15, ANY, "event counter"),
    (96, 13, 0, "consumer message on the local port"),
    (96, 13, 1, "consumer message on the display"),
    (96, 14, 0, "currently active tariff"),
    // The Netherlands' own (country 31), by the DSMR and SMR profiles.
    (94, 31, 0, "administrative in or out"),
    (94, 31, 3, "configuration object"),
    (94, 31, 6, "definable load profile"),
    (94, 31, 12, "randomisation settings"),
    (94, 31, 21, "THD hysteresis"),
    (94, 31, 22, "THD least duration, normal to over limit"),
    (94, 31, 23, "THD least duration, over limit to normal"),
    (94, 31, 24, "THD current fingerprint L1"),
    (94, 31, 25, "THD current fingerprint L2"),
    (94, 31, 26, "THD current fingerprint L3"),
    (97, 97, ANY, "error register"),
    (97, 98, 0, "alarm register 1"),
    (97, 98, 1, "alarm register 2"),
    (97, 98, 2, "alarm register 3"),
    (97, 98, 10, "alarm filter 1"),
    (97, 98, 11, "alarm filter 2"),
    (97, 98, 12, "alarm filter 3"),
    (97, 98, 20, "alarm descriptor 1"),
    (97, 98, 21, "alarm descriptor 2"),
    (98, 1, 0, "billing period data"),
    (99, 98, ANY, "event log"),
];

/// Groups C, D, E of electricity objects (A = 1) that are no quantity.
const ELECTRICITY_RELATED: &[Entry] = &[
    (0, 0, ANY, "electricity ID"),
    (0, 2, 0, "active firmware identifier"),
    (0, 2, 8, "active firmware signature"),
    (0, 9, 1, "local time"),
    (0, 9, 2, "local date"),
    (0, 9, 11, "clock time shift limit"),
    (96, 1, ANY, "metering point ID"),
    (98, 1, 0, "billing period data"),
    (99, 1, 0, "load profile 1"),
    (99, 1, 1, "power quality profile 1"),
    (99, 1, 2, "power quality profile 2"),
    (99, 2, 0, "load profile 2"),
    (99, 97, 0, "power failure event log"),
];
