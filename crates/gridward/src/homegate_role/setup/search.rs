//! Looks for the device on which a meter speaks: by listening alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use han::port::Protocol;
use link::{Clock, Source, SourceEvent, SourceSettings, SourceUrl, SystemClock};

use super::{SetupOptions, ask};
use crate::failure::Failure;
use crate::homegate_role::parse;
use crate::output::Output;
use crate::role;

/// A port on which a meter speaks.
pub(super) struct Found {
    /// Its URL.
    pub(super) source: String,
    /// Whether what it says is ciphered, so that it is read with a key alone;
    /// nothing where nobody has listened.
    pub(super) is_ciphered: Option<bool>,
}

/// A way in which ports speak.
struct Way {
    /// The URL's scheme.
    scheme: &'static str,
    /// Its options.
    query: &'static str,
    /// The form of octets; what is silent in one is not listened to again in it.
    form: u8,
    /// What to listen for, where that is not what the scheme says.
    framing: Option<Protocol>,
    /// In words.
    what: &'static str,
}

const fn way(scheme: &'static str, query: &'static str, form: u8, what: &'static str) -> Way {
    Way {
        scheme,
        query,
        form,
        framing: None,
        what,
    }
}

/// How ports speak, the commonest first. To each is listened, on a device that
/// is open for reading only; an adapter too may tell by itself. Telegrams that
/// are ciphered as a whole have no checksum to be known by, and stand last.
const WAYS: [Way; 8] = [
    way("p1", "", 0, "telegrams of a P1 port"),
    Way {
        framing: Some(Protocol::Raven),
        ..way("p1", "", 0, "a RAVEn or EMU-2 adapter")
    },
    way("dlms", "?baud=115200&parity=none", 0, "DLMS of a P1 socket"),
    way("sml", "", 1, "SML of a German or Swiss meter"),
    way(
        "dlms",
        "?baud=2400&parity=even",
        2,
        "DLMS of an Aidon or Kaifa in Norway, and others",
    ),
    way(
        "dlms",
        "?baud=2400&parity=none",
        3,
        "DLMS of a Kamstrup, or of an Austrian port",
    ),
    way(
        "p1",
        "?baud=9600&bits=7&parity=even",
        4,
        "telegrams of an older P1 port",
    ),
    Way {
        framing: Some(Protocol::P1Ciphered),
        ..way("p1", "", 0, "ciphered telegrams of a P1 port")
    },
];

/// Devices that are tried, at most.
const DEVICES_MAX: usize = 16;

/// How often it is looked what a port has counted.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Looks for a device on which a meter speaks. What speaks by itself is never
/// written to, whether it can be read or not; a silent device only after its
/// owner has said that it is an adapter.
pub(super) fn search(
    options: &SetupOptions,
    output: &mut Output<'_, '_>,
) -> Result<Option<Found>, Failure> {
    let mut devices: Vec<PathBuf> = fs::read_dir(&options.devices)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    devices.sort();
    devices.truncate(DEVICES_MAX);
    if devices.is_empty() {
        output.note(&format!(
            "There is no serial device in {}.",
            options.devices.display()
        ));
    }
    let wait = Duration::from_secs(options.listen_s.into());
    for device in devices {
        let device = device.as_path();
        match listen_to(device, wait, output)? {
            Heard::Meter(found) => return Ok(Some(found)),
            Heard::Octets => output.note(&format!(
                "  Something is told on {} that cannot be read; nothing is sent there.",
                device.display()
            )),
            Heard::NoPort => {}
            Heard::Nothing => {
                if let Some(found) = silent(device, wait, options, output)? {
                    return Ok(Some(found));
                }
            }
        }
    }
    Ok(None)
}

enum Heard {
    Meter(Found),
    /// Octets, and none that can be read.
    Octets,
    Nothing,
    NoPort,
}

/// Listens to a device in all ways.
fn listen_to(device: &Path, wait: Duration, output: &mut Output<'_, '_>) -> Result<Heard, Failure> {
    let mut silent_forms = Vec::new();
    let mut is_spoken_to = false;
    for way in &WAYS {
        if silent_forms.contains(&way.form) {
            continue;
        }
        let source = format!("{}://{}{}", way.scheme, device.display(), way.query);
        output.note(&format!(
            "Listening for {} on {} ..",
            way.what,
            device.display()
        ));
        let (_, mut url) = parse(&source)?;
        url.framing = way.framing.or(url.framing);
        let found = |is_ciphered| {
            let source = match way.framing {
                Some(Protocol::Raven) => format!("raven://{}", device.display()),
                _ => source.clone(),
            };
            Heard::Meter(Found {
                source,
                is_ciphered: Some(is_ciphered),
            })
        };
        match told(url, SourceSettings::default(), wait)? {
            Told::Values => {
                output.note("  a meter speaks.");
                return Ok(found(false));
            }
            Told::Ciphered => {
                output.note("  a meter speaks, ciphered: its key is needed.");
                return Ok(found(true));
            }
            Told::Octets => is_spoken_to = true,
            Told::Nothing => silent_forms.push(way.form),
            Told::NoPort(reason) => {
                output.note(&format!("  {reason}"));
                return Ok(Heard::NoPort);
            }
        }
    }
    Ok(if is_spoken_to {
        Heard::Octets
    } else {
        Heard::Nothing
    })
}

/// What a silent device is, by its owner's word. A name that says whose make it
/// is makes the default.
fn silent(
    device: &Path,
    wait: Duration,
    options: &SetupOptions,
    output: &mut Output<'_, '_>,
) -> Result<Option<Found>, Failure> {
    let name = device.to_string_lossy().into_owned();
    let default = if name.contains("Rainforest") {
        "raven"
    } else {
        "no"
    };
    let question = format!(
        "Nothing was told on {name}. Is it an adapter that must be asked?\n  \
         raven for a RAVEn or EMU-2, ezsp for a ZigBee radio, or no"
    );
    let found = |scheme: &str| Found {
        source: format!("{scheme}://{name}"),
        is_ciphered: Some(false),
    };
    match ask(options, output, &question, default)?.as_str() {
        "raven" => {
            let (_, url) = parse(&found("raven").source)?;
            if let Told::Values = told(url, SourceSettings::default(), wait)? {
                output.note("  it answers.");
                return Ok(Some(found("raven")));
            }
            output.note("  it does not answer.");
            Ok(None)
        }
        "ezsp" => Ok(Some(found("ezsp"))),
        _ => Ok(None),
    }
}

/// What came of a port.
pub(super) enum Told {
    /// Values of a meter.
    Values,
    /// Messages that are ciphered, and no key opens.
    Ciphered,
    /// Octets that say nothing.
    Octets,
    /// Nothing.
    Nothing,
    /// It cannot be opened, or was lost.
    NoPort(String),
}

/// Waits for what a meter says, for `wait` at most; asks for it where `url` is
/// one of an adapter.
pub(super) fn told(
    url: SourceUrl,
    settings: SourceSettings,
    wait: Duration,
) -> Result<Told, Failure> {
    role::block_on_one(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut source = Source::start(url, settings, clock);
        source.connect();
        let heard = tokio::time::timeout(wait, hear(&mut source)).await;
        Ok(heard.unwrap_or_else(|_| match source.octets() {
            0 => Told::Nothing,
            _ => Told::Octets,
        }))
    })
}

async fn hear(source: &mut Source) -> Told {
    loop {
        match tokio::time::timeout(LOOK_INTERVAL, source.next()).await {
            Ok(None) => return Told::Nothing,
            Ok(Some(SourceEvent::Report(report))) if !report.values.is_empty() => {
                return Told::Values;
            }
            Ok(Some(SourceEvent::Disconnected(error))) => {
                return Told::NoPort(crate::failure::chain(&error));
            }
            Ok(Some(SourceEvent::Connected)) => source.ask(1),
            Ok(Some(SourceEvent::Report(_) | SourceEvent::Answered { .. })) => {}
            Err(_) if source.counters().closed > 0 => return Told::Ciphered,
            Err(_) => {}
        }
    }
}
