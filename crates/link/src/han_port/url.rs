//! Where a home's meter is read, as one URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use han::port::Protocol;

use crate::endpoint::{Options, Query, escape, unescape};
use crate::{EndpointError, HostPort};

/// Where a home's meter is read.
///
/// | form | what speaks there | on a device, unless the query says so |
/// |---|---|---|
/// | `ezsp:///dev/ttyUSB0` | a ZigBee radio processor (EZSP over ASH) | 115,200 baud 8N1 |
/// | `raven:///dev/ttyUSB0` | a RAVEn or EMU-2 | 115,200 baud 8N1 |
/// | `p1:///dev/ttyUSB0` | telegrams of a P1 or D0 port | 115,200 baud 8N1 (DSMR 4 and 5) |
/// | `dlms:///dev/ttyUSB0` | DLMS pushes in HDLC or wired M-Bus | differs by meter: [`DLMS_FORMS`], one after the other |
/// | `sml:///dev/ttyUSB0` | files of SML | 9,600 baud 8N1 |
///
/// Each can be `SCHEME+tcp://HOST:PORT` as well: the same octets from a serial
/// server.
///
/// | option | of | meaning |
/// |---|---|---|
/// | `baud=300..4000000` | devices | bits a second |
/// | `parity=none\|even\|odd`, `bits=7\|8` | devices | the form of an octet (DSMR 2: `baud=9600&bits=7&parity=even`) |
/// | `flow=none\|hardware` | ezsp, raven | flow control |
/// | `framing=auto\|hdlc\|mbus` | dlms | what pushes are framed in |
/// | `silence=SECONDS` | all that push | silence after which the port is opened anew |
/// | `meter=EUI64` | ezsp, raven | the meter, in 16 hexadecimal digits, where it must be this one |
/// | `network=EUI64` | ezsp | the extended PAN identifier of the network to join |
/// | `channels=MASK` | ezsp | channels to look for networks on, as 0x and hexadecimal digits, a bit each |
///
/// Keys and install codes are never part of it: URLs end up in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUrl {
    /// What speaks there.
    pub protocol: SourceProtocol,
    /// Where it is.
    pub place: Place,
    /// What its octets are read as: for DLMS [`Protocol::Dlms`], which takes
    /// either framing, or one of them; none for a radio processor.
    pub framing: Option<Protocol>,
    /// Silence after which a port that pushes is opened anew, where a default
    /// is not to be taken.
    pub silence: Option<Duration>,
    /// The meter, where it must be this one.
    pub meter: Option<u64>,
    /// The extended PAN identifier of the network to join; none: whichever
    /// lets the gateway in.
    pub network: Option<u64>,
    /// Channels on which networks are looked for, a bit each, 11 to 26.
    pub channels: u32,
}

/// What speaks at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceProtocol {
    /// DLMS notifications.
    Dlms,
    /// A ZigBee radio processor.
    Ezsp,
    /// Telegrams of P1 and D0 ports.
    P1,
    /// A RAVEn or EMU-2.
    Raven,
    /// Files of SML.
    Sml,
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a serial device.
    Device(DeviceOptions),
    /// At a serial server.
    Server(HostPort),
}

/// A serial device of a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// The device file.
    pub path: PathBuf,
    /// Bits a second, 300 to 4,000,000.
    pub baud: u32,
    /// Bits of an octet: 7 or 8.
    pub bits: u8,
    /// The parity bit.
    pub parity: Parity,
    /// Whether speed and parity are the first of [`DLMS_FORMS`], since the URL
    /// says neither: the others are tried where nothing can be read.
    pub is_form_open: bool,
    /// Whether RTS and CTS hold octets back.
    pub hardware_flow: bool,
}

/// The parity bit of an octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parity {
    /// None.
    None,
    /// Makes the number of ones even.
    Even,
    /// Makes it odd.
    Odd,
}

/// Speeds and parities of ports that push DLMS, the commonest first; octets
/// have 8 bits.
///
/// | form | seen at |
/// |---|---|
/// | 2,400 baud 8E1 | Aidon 65xx, Kaifa MA105, MA304 (Norway, Sweden) |
/// | 2,400 baud 8N1 | Kamstrup; Kaifa MA309M (Austria); Aidon with Rejlers' interface |
/// | 115,200 baud 8N1 | DLMS at P1 sockets |
///
/// From the table of known hardware of a public reader (UtilitechAS
/// amsreader-firmware, wiki, "Known hardware configurations") and the findings
/// beside the samples of kjetilrong/AmsToMqttBridge, which agree.
pub const DLMS_FORMS: [(u32, Parity); 3] = [
    (2_400, Parity::Even),
    (2_400, Parity::None),
    (115_200, Parity::None),
];

/// Channels 11 to 26 of the 2.4 GHz band.
const CHANNELS: u32 = 0x07FF_F800;

impl SourceProtocol {
    const ALL: [Self; 5] = [Self::Ezsp, Self::Raven, Self::P1, Self::Dlms, Self::Sml];

    /// Tells the scheme of its URLs.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Dlms => "dlms",
            Self::Ezsp => "ezsp",
            Self::P1 => "p1",
            Self::Raven => "raven",
            Self::Sml => "sml",
        }
    }

    /// Tells whether it speaks only when asked; the others push, and nothing
    /// is ever sent to them.
    #[must_use]
    pub const fn is_polled(self) -> bool {
        matches!(self, Self::Ezsp | Self::Raven)
    }

    const fn baud(self) -> u32 {
        match self {
            Self::Ezsp | Self::Raven | Self::P1 => 115_200,
            Self::Dlms => 2_400,
            Self::Sml => 9_600,
        }
    }

    const fn parity(self) -> Parity {
        match self {
            Self::Dlms => Parity::Even,
            Self::Ezsp | Self::Raven | Self::P1 | Self::Sml => Parity::None,
        }
    }

    /// Some ports push a list each hour and nothing else.
    const fn silence(self) -> Duration {
        match self {
            Self::P1 | Self::Sml => Duration::from_secs(60),
            Self::Dlms => Duration::from_secs(4_000),
            Self::Ezsp | Self::Raven => Duration::from_secs(600),
        }
    }
}

impl SourceUrl {
    /// Tells where to listen, and in which forms of octets, one after the other
    /// until one can be read; more than one only where the URL leaves it open.
    #[must_use]
    pub fn attempts(&self) -> Vec<Place> {
        match &self.place {
            Place::Device(device) if device.is_form_open => DLMS_FORMS
                .into_iter()
                .map(|(baud, parity)| {
                    Place::Device(DeviceOptions {
                        baud,
                        parity,
                        ..device.clone()
                    })
                })
                .collect(),
            place => vec![place.clone()],
        }
    }

    /// Tells after how much silence the port is opened anew.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.silence.unwrap_or_else(|| self.protocol.silence())
    }
}

impl Parity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Even => "even",
            Self::Odd => "odd",
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.protocol.scheme();
        let mut query = Query::default();
        match &self.place {
            Place::Device(device) => {
                write!(f, "{scheme}://{}", escape(&device.path.to_string_lossy()))?;
                let is_told = !device.is_form_open;
                query.put("baud", is_told.then_some(device.baud));
                query.put("bits", (device.bits != 8).then_some(device.bits));
                let is_usual = device.parity == self.protocol.parity();
                let shown = is_told && (!is_usual || self.protocol == SourceProtocol::Dlms);
                query.put("parity", shown.then(|| device.parity.name()));
                query.put("flow", device.hardware_flow.then_some("hardware"));
            }
            Place::Server(at) => write!(f, "{scheme}+tcp://{at}")?,
        }
        query.put(
            "framing",
            match self.framing {
                Some(Protocol::Hdlc) => Some("hdlc"),
                Some(Protocol::MBus) => Some("mbus"),
                _ => None,
            },
        );
        query.put("silence", self.silence.map(|silence| silence.as_secs()));
        let digits = |id: Option<u64>| id.map(|id| format!("{id:016x}"));
        query.put("meter", digits(self.meter));
        query.put("network", digits(self.network));
        query.put(
            "channels",
            (self.channels != CHANNELS).then(|| format!("{:#x}", self.channels)),
        );
        f.write_str(&query.0)
    }
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(url: &str) -> Result<Self, SourceUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(SourceUrlError::NoScheme)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, over_tcp) = match scheme.strip_suffix("+tcp") {
            Some(name) => (name, true),
            None => (scheme, false),
        };
        let protocol = SourceProtocol::ALL
            .into_iter()
            .find(|protocol| protocol.scheme() == name)
            .ok_or_else(|| {
                SourceUrlError::Scheme(scheme.chars().take(24).collect::<String>().into())
            })?;
        let mut options = Options::parse(query)?;
        let polled = protocol.is_polled();
        let place = if over_tcp {
            let is_port = |port: &str| !port.is_empty() && !port.ends_with(']');
            match place.rsplit_once(':') {
                Some((_, port)) if is_port(port.trim_end_matches('/')) => {
                    let at: HostPort = place.parse()?;
                    if at.port == 0 {
                        return Err(EndpointError::Port.into());
                    }
                    Place::Server(at)
                }
                _ => return Err(SourceUrlError::NoPort),
            }
        } else {
            let path = unescape(place)?;
            if !path.starts_with('/') {
                return Err(SourceUrlError::DevicePath);
            }
            let baud = options.number("baud", 300, 4_000_000)?;
            let parity = options.choice("parity", &["none", "even", "odd"])?;
            let flow = if polled {
                options.choice("flow", &["none", "hardware"])?
            } else {
                None
            };
            Place::Device(DeviceOptions {
                path: path.into(),
                baud: baud.unwrap_or_else(|| protocol.baud()),
                bits: match options.number("bits", 7, 8)? {
                    Some(7) => 7,
                    _ => 8,
                },
                parity: match parity {
                    Some(0) => Parity::None,
                    Some(1) => Parity::Even,
                    Some(_) => Parity::Odd,
                    None => protocol.parity(),
                },
                is_form_open: protocol == SourceProtocol::Dlms
                    && baud.is_none()
                    && parity.is_none(),
                hardware_flow: flow == Some(1),
            })
        };
        let framing = match protocol {
            SourceProtocol::Dlms => match options.choice("framing", &["auto", "hdlc", "mbus"])? {
                Some(1) => Some(Protocol::Hdlc),
                Some(2) => Some(Protocol::MBus),
                _ => Some(Protocol::Dlms),
            },
            SourceProtocol::P1 => Some(Protocol::P1),
            SourceProtocol::Sml => Some(Protocol::Sml),
            SourceProtocol::Raven => Some(Protocol::Raven),
            SourceProtocol::Ezsp => None,
        };
        let silence = if polled {
            None
        } else {
            options.number("silence", 5, 1_000_000)?
        };
        let meter = if polled {
            options.identifier("meter")?
        } else {
            None
        };
        let (network, channels) = if protocol == SourceProtocol::Ezsp {
            (options.identifier("network")?, options.channels()?)
        } else {
            (None, CHANNELS)
        };
        options.finish()?;
        Ok(Self {
            protocol,
            place,
            framing,
            silence: silence.map(|seconds| Duration::from_secs(seconds.into())),
            meter,
            network,
            channels,
        })
    }
}

impl Options {
    /// Takes an option that is one of `choices`, and tells which.
    fn choice(
        &mut self,
        name: &'static str,
        choices: &'static [&'static str],
    ) -> Result<Option<usize>, SourceUrlError> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match choices.iter().position(|choice| *choice == text) {
            Some(index) => Ok(Some(index)),
            None => Err(SourceUrlError::Choice { name, choices }),
        }
    }

    fn identifier(&mut self, name: &'static str) -> Result<Option<u64>, SourceUrlError> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let digits: String = text.chars().filter(|it| !":-".contains(*it)).collect();
        let is_whole = digits.len() == 16 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        match u64::from_str_radix(&digits, 16) {
            Ok(id) if is_whole => Ok(Some(id)),
            _ => Err(SourceUrlError::Identifier(name)),
        }
    }

    fn channels(&mut self) -> Result<u32, SourceUrlError> {
        let Some(text) = self.take("channels") else {
            return Ok(CHANNELS);
        };
        text.strip_prefix("0x")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .filter(|mask| *mask != 0 && mask & !CHANNELS == 0)
            .ok_or(SourceUrlError::Channels)
    }
}

/// Why a text is no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceUrlError {
    /// There is no `://`.
    #[error("a source is a URL such as p1:///dev/ttyUSB0 or p1+tcp://192.0.2.7:2001")]
    NoScheme,
    /// The scheme is none that this program knows.
    #[error("unknown scheme '{0}': use ezsp, raven, p1, dlms or sml, or one of them and +tcp")]
    Scheme(Box<str>),
    /// The place is no device file.
    #[error("a source names a device file: p1:///dev/ttyUSB0")]
    DevicePath,
    /// A serial server without a port.
    #[error("a serial server has a port: p1+tcp://192.0.2.7:2001")]
    NoPort,
    /// An option that is none of its choices.
    #[error("{name} is one of {}", choices.join(", "))]
    Choice {
        /// The option.
        name: &'static str,
        /// What it may be.
        choices: &'static [&'static str],
    },
    /// An identifier that is none.
    #[error("{0} is an identifier of 16 hexadecimal digits")]
    Identifier(&'static str),
    /// A mask of channels that is none.
    #[error("channels is 0x and a mask of bits 11 to 26, such as 0x2108800")]
    Channels,
    /// What all URLs of this program have in common.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expect: &str) {
        let found = match url.parse::<SourceUrl>() {
            Ok(source) => {
                let text = source.to_string();
                assert_eq!(text.parse::<SourceUrl>().as_ref(), Ok(&source), "{text}");
                text
            }
            Err(error) => format!("! {error}"),
        };
        assert_eq!(found, expect, "{url}");
    }

    #[test]
    fn sources_parse_and_print() {
        check("p1:///dev/ttyUSB0", "p1:///dev/ttyUSB0?baud=115200");
        check(
            "p1:///dev/ttyUSB0?baud=9600&bits=7&parity=even",
            "p1:///dev/ttyUSB0?baud=9600&bits=7&parity=even",
        );
        check("p1+tcp://[::1]:2001", "p1+tcp://[::1]:2001");
        check(
            "sml+tcp://box:8080/?silence=20",
            "sml+tcp://box:8080?silence=20",
        );
        check("dlms:///dev/ttyUSB0", "dlms:///dev/ttyUSB0");
        check(
            "dlms:///dev/ttyUSB0?baud=2400",
            "dlms:///dev/ttyUSB0?baud=2400&parity=even",
        );
        check(
            "dlms:///dev/a?framing=mbus&parity=none",
            "dlms:///dev/a?baud=2400&parity=none&framing=mbus",
        );
        check(
            "ezsp:///dev/ttyACM0?flow=hardware&meter=00:0D:6F:00:00:00:00:01&channels=0x800",
            "ezsp:///dev/ttyACM0?baud=115200&flow=hardware&meter=000d6f0000000001&channels=0x800",
        );
        check(
            "raven+tcp://h:1?meter=d8d5b90000001234",
            "raven+tcp://h:1?meter=d8d5b90000001234",
        );
    }

    #[test]
    fn forms_are_tried_only_where_the_url_leaves_them_open() {
        let attempts = |url: &str| url.parse::<SourceUrl>().unwrap().attempts().len();
        assert_eq!(attempts("dlms:///dev/a"), DLMS_FORMS.len());
        assert_eq!(attempts("dlms:///dev/a?framing=mbus"), DLMS_FORMS.len());
        for told in ["dlms:///dev/a?baud=2400", "dlms:///dev/a?parity=none"] {
            assert_eq!(attempts(told), 1);
        }
        assert_eq!(attempts("dlms+tcp://h:1"), 1);
        assert_eq!(attempts("p1:///dev/a"), 1);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let see = "! a source is a URL such as p1:///dev/ttyUSB0 or p1+tcp://192.0.2.7:2001";
        check("/dev/ttyUSB0", see);
        check(
            "tcp://h:1",
            "! unknown scheme 'tcp': use ezsp, raven, p1, dlms or sml, or one of them and +tcp",
        );
        let port = "! a serial server has a port: p1+tcp://192.0.2.7:2001";
        check("p1+tcp://h", port);
        check("p1+tcp://[::1]", port);
        check("p1+tcp://h:0", "! the port is a number from 1 to 65535");
        check(
            "p1://ttyUSB0",
            "! a source names a device file: p1:///dev/ttyUSB0",
        );
        check(
            "p1:///dev/a?flow=hardware",
            "! this scheme has no option 'flow'",
        );
        check("p1:///dev/a?meter=1", "! this scheme has no option 'meter'");
        check(
            "p1:///dev/a?parity=mark",
            "! parity is one of none, even, odd",
        );
        check("ezsp:///dev/a?key=00", "! this scheme has no option 'key'");
        check(
            "ezsp:///dev/a?meter=12",
            "! meter is an identifier of 16 hexadecimal digits",
        );
        check(
            "ezsp:///dev/a?channels=0x1",
            "! channels is 0x and a mask of bits 11 to 26, such as 0x2108800",
        );
        check(
            "raven:///dev/a?network=0000000000000001",
            "! this scheme has no option 'network'",
        );
    }
}
