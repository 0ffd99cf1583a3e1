//! Which outlet meters there are, from a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::Place;
use model::xml::{CivilDateTime, MAX_OUTLETS, OutletId, SmartMeterId};
use serde::Deserialize;

/// Meters in one file.
const METERS_MAX: usize = 100_000;
/// Octets of one file.
const FILE_LEN_MAX: u64 = 64 << 20;
/// Characters of an outlet's name.
const NAME_LEN_MAX: usize = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    meter: Vec<OutletMeterEntry>,
}

/// One outlet meter as its file says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutletMeterEntry {
    /// Holds its number (`sid`).
    pub number: u32,
    /// Says where it is.
    #[serde(deserialize_with = "place")]
    pub place: Place,
    /// Names the file of its certificate.
    pub certificate: PathBuf,
    /// Says from when on its sections are expected, in its civil time; without it, from when the
    /// head end first read of it.
    #[serde(default)]
    pub since: Option<String>,
    /// Lists its outlets.
    pub outlet: Vec<OutletEntry>,
}

/// One outlet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutletEntry {
    /// Holds its number (`oid`).
    pub number: u32,
    /// Says what it feeds.
    #[serde(default)]
    pub name: String,
}

fn place<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Place, D::Error> {
    let text = String::deserialize(from)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom("a place is a text of up to 100 characters"))
}

impl OutletMeterEntry {
    /// Returns its number.
    pub const fn id(&self) -> SmartMeterId {
        SmartMeterId(self.number)
    }

    /// Returns its outlets with their names.
    pub fn outlets(&self) -> BTreeMap<OutletId, &str> {
        let outlets = self.outlet.iter();
        outlets
            .map(|outlet| (OutletId(outlet.number), outlet.name.as_str()))
            .collect()
    }

    /// Returns from when on its sections are expected, where the file says so.
    pub fn since(&self) -> Option<CivilDateTime> {
        self.since.as_ref()?.parse().ok()
    }
}

/// Why the file of outlet meters cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutletFileError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// Names the file.
        path: String,
        /// Says why.
        #[source]
        source: std::io::Error,
    },
    /// It has a fault.
    #[error("{path}: {reason}")]
    Fault {
        /// Names the file.
        path: String,
        /// Says what is wrong where.
        reason: String,
    },
}

/// Reads the file of outlet meters; certificates that it names without a folder are beside it.
pub(super) fn read(path: &Path) -> Result<Vec<OutletMeterEntry>, OutletFileError> {
    let shown = || path.display().to_string();
    let unreadable = |source| OutletFileError::File {
        path: shown(),
        source,
    };
    let fault = |reason: String| OutletFileError::Fault {
        path: shown(),
        reason,
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_LEN_MAX {
        return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let file: File =
        toml::from_str(&text).map_err(|error| fault(link::toml_fault(&text, &error)))?;
    if file.meter.len() > METERS_MAX {
        return Err(fault(format!("more than {METERS_MAX} meters")));
    }
    let mut seen = BTreeSet::new();
    let mut meters = file.meter;
    for meter in &mut meters {
        let wrong = |reason: &str| Err(fault(format!("meter {}: {reason}", meter.id())));
        if !seen.insert(meter.number) {
            return wrong("is there twice");
        }
        if meter.outlet.is_empty() || meter.outlet.len() > MAX_OUTLETS {
            return wrong("a meter has 1 to 1000 outlets");
        }
        if meter.outlets().len() != meter.outlet.len() {
            return wrong("an outlet is there twice");
        }
        if meter.outlet.iter().any(|outlet| {
            outlet.name.chars().count() > NAME_LEN_MAX || outlet.name.chars().any(char::is_control)
        }) {
            return wrong("the name of an outlet has up to 60 characters");
        }
        if meter.since.is_some() && meter.since().is_none() {
            return wrong("since is a time like 2026-11-21 00:00:00");
        }
        if let Some(folder) = path.parent() {
            meter.certificate = folder.join(&meter.certificate);
        }
    }
    Ok(meters)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    fn parse(text: &str) -> Result<Vec<OutletMeterEntry>, OutletFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meters.toml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_file_says_which_meters_there_are() {
        let meters = parse(
            "[[meter]]\nnumber = 7\nplace = \"Lindenweg 14\"\ncertificate = \"7.pem\"\n\
             since = \"2026-11-21 00:00:00\"\noutlet = [{ number = 1, name = \"Kitchen\" }]\n",
        );
        let meters = meters.unwrap();
        assert_eq!(meters[0].outlets()[&OutletId(1)], "Kitchen");
        assert!(meters[0].certificate.is_absolute() && meters[0].since().is_some());
    }

    #[test]
    fn faults_are_told() {
        let meter = |rest: &str| {
            format!(
                "[[meter]]\nnumber = 7\nplace = \"Am Bach 2\"\ncertificate = \"7.pem\"\n{rest}\n"
            )
        };
        let one = meter("outlet = [{ number = 1 }]");
        for (text, reason) in [
            (format!("{one}{one}"), "meter 007: is there twice"),
            (meter("outlet = []"), "1 to 1000 outlets"),
            (
                meter("outlet = [{ number = 1 }, { number = 1 }]"),
                "an outlet is there twice",
            ),
            (
                meter("since = \"now\"\noutlet = [{ number = 1 }]"),
                "since is a time",
            ),
            (meter("outlets = 3"), "outlets"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
