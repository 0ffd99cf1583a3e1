//! Meter models: which objects a meter has, where their values come from, and who may use them.
//!
//! A model is a TOML file of our own form; `models/smr5.toml` is the example to read. Two are
//! compiled in: see [`Template::BUILT_IN`]. Whatever the file does not allow is refused: an
//! association without an entry in `get`, `set` or `invoke` may not.

mod check;
mod file;
mod source;

use std::collections::BTreeMap;
use std::fmt;

use dlms::acse::MechanismName;
use dlms::axdr::Tag;
use dlms::cosem::Obis;
use dlms::security::Protection;

use crate::breaker::ControlMode;

pub(crate) use check::CLOCK as CLOCK_OBIS;
pub use source::{Identity, Quantity, Source, StateValue};

/// How long a model file may be, in octets.
pub const FILE_LEN_MAX: usize = 1 << 20;
/// How many objects a model may have.
pub const OBJECTS_MAX: usize = 1_000;
/// How many associations a model may have.
pub const ASSOCIATIONS_MAX: usize = 16;

/// Octets that the longest APDU of a meter may have: by default the most, in two of which a day of
/// quarter hours fits.
pub const PDU_LENS: std::ops::RangeInclusive<u16> = 64..=2_048;

/// A meter model that was read and found sound.
#[derive(Clone, Debug)]
pub struct Template {
    /// What commands call it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Whether it measures three phases.
    pub three_phase: bool,
    /// The server SAP of the one logical device.
    pub sap: u16,
    /// Octets of the longest APDU taken and sent.
    pub pdu_len_max: u16,
    /// The clock as it leaves the factory.
    pub clock: ClockTemplate,
    /// How the breaker may move.
    pub control_mode: ControlMode,
    /// Who may associate.
    pub associations: Vec<AssociationTemplate>,
    /// The objects by logical name.
    pub objects: BTreeMap<Obis, ObjectTemplate>,
    /// What a row of the load journal holds: the quantities of all profiles that show it.
    pub channels: Vec<Quantity>,
    /// Seconds between two rows of the load journal.
    pub capture_period_s: u32,
    /// Rows that the load journal keeps.
    pub rows: usize,
}

impl Template {
    /// The models that are compiled in: name and text.
    pub const BUILT_IN: [(&'static str, &'static str); 2] = [
        ("smr5", include_str!("../models/smr5.toml")),
        ("idis-like", include_str!("../models/idis-like.toml")),
    ];

    /// Reads a compiled-in model.
    ///
    /// # Errors
    /// [`TemplateError`] where there is none of that name.
    pub fn built_in(name: &str) -> Result<Self, TemplateError> {
        match Self::BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => {
                let known: Vec<&str> = Self::BUILT_IN.iter().map(|(name, _)| *name).collect();
                Err(TemplateError::of(
                    None,
                    format!(
                        "no model {name:?}: there are {}, or name a file",
                        known.join(", ")
                    ),
                ))
            }
        }
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`TemplateError`] with every problem found and its line.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        check::check(text)
    }

    /// Returns the place of an association in [`associations`](Self::associations).
    pub fn association_of(&self, client: u16) -> Option<(AssociationIndex, &AssociationTemplate)> {
        self.associations
            .iter()
            .position(|association| association.client == client)
            .and_then(|index| {
                let index_u8 = u8::try_from(index).ok()?;
                Some((AssociationIndex(index_u8), self.associations.get(index)?))
            })
    }
}

/// The place of an association in its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssociationIndex(pub u8);

/// A set of associations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssociationSet(u16);

impl AssociationSet {
    /// Says whether an association is in the set.
    pub const fn contains(self, index: AssociationIndex) -> bool {
        index.0 < 16 && self.0 & (1 << index.0) != 0
    }

    /// Says whether no association is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn with(self, index: AssociationIndex) -> Self {
        Self(self.0 | if index.0 < 16 { 1 << index.0 } else { 0 })
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The clock as a model has it: attributes 3, 5, 6, 7, 8 of class 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockTemplate {
    /// Minutes from local standard time to UTC: −60 for UTC+1.
    pub time_zone: i16,
    /// When daylight saving begins, in local standard time: the twelve octets of a date-time.
    pub daylight_savings_begin: [u8; 12],
    /// When it ends, in local daylight saving time.
    pub daylight_savings_end: [u8; 12],
    /// Minutes that daylight saving adds.
    pub daylight_savings_deviation: i8,
    /// Whether daylight saving is used.
    pub daylight_savings_enabled: bool,
    /// A change of the clock by more seconds than this is marked in rows and logged.
    pub shift_limit_s: u32,
}

/// An association that a model offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationTemplate {
    /// What the model file calls it.
    pub name: String,
    /// The client's SAP.
    pub client: u16,
    /// How the client proves itself.
    pub mechanism: MechanismName<'static>,
    /// The Security Setup object whose keys it uses.
    pub security_setup: Option<Obis>,
    /// The Data object that shows the client's counter.
    pub invocation_counter: Option<Obis>,
    /// Whether every request must be authenticated.
    pub authenticated: bool,
    /// Whether every request must be encrypted.
    pub encrypted: bool,
    /// Whether it is there only where the key file has keys for it.
    pub optional: bool,
    /// Whether it is there without being made: for what is sent to all meters at once.
    pub pre_established: bool,
}

impl AssociationTemplate {
    /// Returns the least protection of its requests.
    pub const fn protection(&self) -> Protection {
        Protection::of(self.authenticated, self.encrypted)
    }

    /// Says whether its APDUs are ciphered.
    pub const fn ciphered(&self) -> bool {
        self.security_setup.is_some()
    }
}

/// An object of a model.
#[derive(Clone, Debug)]
pub struct ObjectTemplate {
    /// Its logical name.
    pub obis: Obis,
    /// Its interface class.
    pub class: u16,
    /// The version of the class.
    pub version: u8,
    /// What people call it.
    pub name: String,
    /// Its attributes from 2 on, in ascending order.
    pub attributes: Vec<AttributeTemplate>,
    /// Its methods, in ascending order.
    pub methods: Vec<MethodTemplate>,
    /// What a profile holds.
    pub profile: Option<ProfileTemplate>,
    /// The association that an association object stands for; the caller's own where none.
    pub association: Option<AssociationIndex>,
}

impl ObjectTemplate {
    /// Looks an attribute up, from 2 on.
    pub fn attribute(&self, id: i8) -> Option<&AttributeTemplate> {
        self.attributes.iter().find(|attribute| attribute.id == id)
    }

    /// Looks a method up.
    pub fn method(&self, id: i8) -> Option<&MethodTemplate> {
        self.methods.iter().find(|method| method.id == id)
    }

    /// Returns who may do anything with the object, and so sees it.
    pub fn visible_to(&self) -> AssociationSet {
        let attributes = self
            .attributes
            .iter()
            .map(|attribute| attribute.get.union(attribute.set));
        let methods = self.methods.iter().map(|method| method.invoke);
        attributes
            .chain(methods)
            .fold(AssociationSet::default(), AssociationSet::union)
    }
}

/// An attribute of an object.
#[derive(Clone, Debug)]
pub struct AttributeTemplate {
    /// Its number, from 2.
    pub id: i8,
    /// The type of its value.
    pub tag: Tag,
    /// Where the value comes from; none where the class itself knows.
    pub source: Option<Source>,
    /// Who may read it.
    pub get: AssociationSet,
    /// Who may write it.
    pub set: AssociationSet,
}

/// A method of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodTemplate {
    /// Its number, from 1.
    pub id: i8,
    /// Who may invoke it.
    pub invoke: AssociationSet,
}

/// What a Profile generic object shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileTemplate {
    /// Where its rows are.
    pub rows: ProfileRows,
    /// Its columns.
    pub columns: Vec<Column>,
    /// How many of the newest rows it shows.
    pub entries: u32,
    /// Seconds between two rows, 0 where events make them.
    pub period_s: u32,
}

/// Where the rows of a profile are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileRows {
    /// In the load journal.
    Load,
    /// In the event log 0-0:99.98.e.255 with this E.
    Log(u8),
}

/// A column of a profile: a capture object and where a row holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The class of the captured object.
    pub class: u16,
    /// Its logical name.
    pub obis: Obis,
    /// The captured attribute.
    pub attribute: i8,
    /// The type of the captured value.
    pub tag: Tag,
    /// Where a row holds it.
    pub cell: Cell,
}

/// Where a row holds the value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The time of capture.
    Time,
    /// The AMR profile status.
    Status,
    /// A channel of the load journal, by its place in [`Template::channels`].
    Channel(u8),
    /// The code of an event.
    Code,
}

/// A model file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    /// What is wrong: at most [`PROBLEMS_MAX`] problems in the order of their lines.
    pub problems: Vec<Problem>,
}

/// How many problems of a model file are told.
pub const PROBLEMS_MAX: usize = 50;

/// One thing that is wrong with a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1, where it can be told.
    pub line: Option<usize>,
    /// What is wrong there.
    pub text: String,
}

impl TemplateError {
    pub(crate) fn of(line: Option<usize>, text: impl Into<String>) -> Self {
        Self {
            problems: vec![Problem {
                line,
                text: text.into(),
            }],
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match problem.line {
                Some(line) => write!(f, "line {line}: {}", problem.text)?,
                None => f.write_str(&problem.text)?,
            }
        }
        Ok(())
    }
}
