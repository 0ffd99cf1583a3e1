//! The objects of the WAN: push setup (class 40, version 0), TCP-UDP setup
//! (class 41) and IPv4 setup (class 42).
//!
//! Names, order and types of the attributes are those on which OSGP's SMR 5.0
//! profile, the inventories of Landis+Gyr E350 and E570 and gurux.dlms agree.
//! What can be written holds from the next push or the next connection on, and
//! is kept. Addresses are the operating system's: they are shown, not changed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use dlms::axdr::{
    Data, put_array, put_boolean, put_enum, put_octet_string, put_structure, put_u8, put_u16,
    put_u32,
};
use dlms::codec::Wire as _;
use dlms::cosem::{CaptureObject, Obis};
use dlms::xdlms::DataAccessResult;
use link::{Endpoint, HostPort};

use super::objects::{self, Kind};
use super::{EVENT_DETAIL, NAME};

type Get = Result<(), DataAccessResult>;

/// What of the WAN can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The longest wait before a push that is new.
    pub(crate) randomisation_s: u16,
    /// How often a push is repeated that nobody confirms.
    pub(crate) retries: u8,
    /// Between repetitions; never 0.
    pub(crate) repetition_s: u16,
    /// How long a connection may say nothing; never under a minute.
    pub(crate) idle_s: u16,
    /// Where to connect to, before what is configured.
    pub(crate) destination: Option<HostPort>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            randomisation_s: 0,
            retries: u8::MAX,
            repetition_s: 30,
            idle_s: 3_600,
            destination: None,
        }
    }
}

/// The shortest inactivity that ends a connection: what is quiet for less is
/// alive, and 0, never, would let dead ones hold their places.
const IDLE_LEAST_S: u16 = 60;

/// Octets of the longest destination: a name of the domain name system and a
/// port.
const DESTINATION_MAX: usize = 253 + 6;

impl Setup {
    /// Which attributes can be written.
    pub(super) const fn writable(kind: &Kind, attribute: i8) -> bool {
        matches!((kind, attribute), (Kind::Push, 3 | 5..=7) | (Kind::Wan, 6))
    }

    /// Changes an attribute; gives what is to be kept as its value.
    pub(super) fn set(
        &mut self,
        kind: &Kind,
        attribute: i8,
        value: &Data,
        dials: bool,
    ) -> Result<String, DataAccessResult> {
        let unmatched = DataAccessResult::TypeUnmatched;
        let range = DataAccessResult::OtherReason;
        match (kind, attribute) {
            (Kind::Push, 3) => {
                // transport service 0: TCP; message 0: an xDLMS APDU.
                let Some([service, destination, message]) = value.as_structure() else {
                    return Err(unmatched);
                };
                let number = |part: &Data| match part {
                    Data::Enum(number) => Ok(*number),
                    _ => Err(unmatched),
                };
                if number(service)? != 0 || number(message)? != 0 {
                    return Err(range);
                }
                let octets = destination.as_octets().ok_or(unmatched)?;
                if octets.is_empty() {
                    self.destination = None;
                    return Ok("-".to_owned());
                }
                // Who only listens has nowhere to go.
                let text = std::str::from_utf8(octets).map_err(|_| range)?;
                let at = parse_destination(text).filter(|_| dials).ok_or(range)?;
                let kept = at.to_string();
                self.destination = Some(at);
                Ok(kept)
            }
            (Kind::Push, 5) => {
                self.randomisation_s = value.as_u16().ok_or(unmatched)?;
                Ok(self.randomisation_s.to_string())
            }
            (Kind::Push, 6) => {
                self.retries = value.as_u8().ok_or(unmatched)?;
                Ok(self.retries.to_string())
            }
            (Kind::Push, 7) => {
                let seconds = value.as_u16().ok_or(unmatched)?;
                self.repetition_s = Some(seconds).filter(|it| *it > 0).ok_or(range)?;
                Ok(seconds.to_string())
            }
            (Kind::Wan, 6) => {
                let seconds = value.as_u16().ok_or(unmatched)?;
                let long = Some(seconds).filter(|it| *it >= IDLE_LEAST_S);
                self.idle_s = long.ok_or(range)?;
                Ok(seconds.to_string())
            }
            _ => Err(DataAccessResult::ReadWriteDenied),
        }
    }

    /// Takes what was kept; what does not fit changes nothing.
    pub(super) fn restore(&mut self, class: u16, attribute: i8, kept: &str) {
        let number = || kept.parse::<u16>().ok();
        match (class, attribute) {
            (40, 3) => self.destination = parse_destination(kept),
            (40, 5) => self.randomisation_s = number().unwrap_or(self.randomisation_s),
            (40, 6) => self.retries = kept.parse().unwrap_or(self.retries),
            (40, 7) => {
                let good = number().filter(|it| *it > 0);
                self.repetition_s = good.unwrap_or(self.repetition_s);
            }
            (41, 6) => {
                let good = number().filter(|it| *it >= IDLE_LEAST_S);
                self.idle_s = good.unwrap_or(self.idle_s);
            }
            _ => {}
        }
    }

    /// How long a connection may say nothing.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_s))
    }

    /// Appends an attribute of the push setup. `dialled` is where the
    /// configuration says to connect to.
    pub(super) fn put_push(
        &self,
        dialled: Option<&HostPort>,
        attribute: i8,
        out: &mut Vec<u8>,
    ) -> Get {
        match attribute {
            2 => {
                let list = [
                    CaptureObject::new(1, NAME, 2),
                    CaptureObject::new(7, objects::EVENTS, 1),
                    CaptureObject::CLOCK,
                    CaptureObject::new(1, objects::EVENT_CODE, 2),
                    CaptureObject::new(1, EVENT_DETAIL, 2),
                ];
                put_array(out, list.len());
                for object in list {
                    object.encode(out);
                }
            }
            3 => {
                let at = self.destination.as_ref().or(dialled);
                let at = at.map(ToString::to_string).unwrap_or_default();
                put_structure(out, 3);
                put_enum(out, 0);
                put_octet_string(out, at.as_bytes());
                put_enum(out, 0);
            }
            // No window: at any time.
            4 => put_array(out, 0),
            5 => put_u16(out, self.randomisation_s),
            6 => put_u8(out, self.retries),
            7 => put_u16(out, self.repetition_s),
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }

    /// Appends an attribute of the TCP-UDP setup.
    pub(super) fn put_tcp(&self, port: u16, attribute: i8, out: &mut Vec<u8>) -> Get {
        match attribute {
            2 => put_u16(out, port),
            3 => put_octet_string(out, &objects::IP.0),
            // The least that every host takes (RFC 9293, 3.7.1): 536 and headers.
            4 => put_u16(out, 576),
            5 => put_u8(out, u8::MAX),
            6 => put_u16(out, self.idle_s),
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }
}

/// `host:port`, as in an endpoint; port 4059 where none is said.
fn parse_destination(text: &str) -> Option<HostPort> {
    let fits = text.len() <= DESTINATION_MAX
        && text.bytes().all(|octet| {
            octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b':' | b'[' | b']')
        });
    let endpoint: Endpoint = fits.then(|| format!("tcp://{text}").parse().ok())??;
    endpoint.host_port().filter(|at| at.port != 0).cloned()
}

/// How the operating system has set up IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ip {
    address: u32,
    mask: u32,
    gateway: u32,
    servers: [u32; 2],
}

/// Octets that are read of a file of the system.
const SYSTEM_FILE_MAX: u64 = 64 * 1_024;

impl Ip {
    /// Asks the system. `local` is where head ends connect; where that is any
    /// address, the one that the way out begins at counts.
    fn of_system(local: Option<IpAddr>) -> Self {
        let routes = read("/proc/net/route");
        let mut ip = Self::parse(&routes, &read("/etc/resolv.conf"), 0);
        let given = match local {
            Some(IpAddr::V4(address)) if !address.is_unspecified() => Some(address),
            _ => way_out(ip.gateway),
        };
        if let Some(address) = given {
            ip = Self::parse(&routes, &read("/etc/resolv.conf"), u32::from(address));
        }
        ip
    }

    /// Takes the routes as Linux shows them (`/proc/net/route`: numbers in
    /// hex, of the machine's own order) and the name servers of a resolver
    /// configuration.
    fn parse(routes: &str, resolver: &str, address: u32) -> Self {
        let mut ip = Self {
            address,
            ..Self::default()
        };
        for line in routes.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |at: usize| {
                let text = words.get(at)?;
                u32::from_str_radix(text, 16).ok().map(u32::to_be)
            };
            let (Some(to), Some(gateway), Some(mask)) = (number(1), number(2), number(7)) else {
                continue;
            };
            if to == 0 && mask == 0 && ip.gateway == 0 {
                ip.gateway = gateway;
            }
            // The narrowest network that has the address.
            if mask != 0 && address & mask == to && mask.count_ones() >= ip.mask.count_ones() {
                ip.mask = mask;
            }
        }
        let servers = resolver.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let server = words.next() == Some("nameserver");
            let address: Ipv4Addr = words.next().filter(|_| server)?.parse().ok()?;
            Some(u32::from(address))
        });
        for (place, server) in ip.servers.iter_mut().zip(servers) {
            *place = server;
        }
        ip
    }
}

/// Appends an attribute of the IPv4 setup.
pub(super) fn put_ip(local: Option<IpAddr>, attribute: i8, out: &mut Vec<u8>) -> Get {
    let ip = Ip::of_system(local);
    match attribute {
        // No object of a data link layer.
        2 => put_octet_string(out, &Obis([0; 6]).0),
        3 => put_u32(out, ip.address),
        4 | 5 => put_array(out, 0),
        6 => put_u32(out, ip.mask),
        7 => put_u32(out, ip.gateway),
        // This program asks nobody for an address.
        8 => put_boolean(out, false),
        9 => put_u32(out, ip.servers[0]),
        10 => put_u32(out, ip.servers[1]),
        _ => return Err(DataAccessResult::ReadWriteDenied),
    }
    Ok(())
}

/// The own address on the way to a gateway. Nothing is sent: connecting a
/// datagram socket only looks the way up.
fn way_out(gateway: u32) -> Option<Ipv4Addr> {
    let to = Some(gateway).filter(|it| *it != 0)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::from(to), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(at) => Some(*at.ip()),
        SocketAddr::V6(_) => None,
    }
}

fn read(path: &str) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read tells nothing.
        let whole = file.take(SYSTEM_FILE_MAX).read_to_string(&mut text);
        if whole.is_err() {
            text.clear();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement; the routes are as Linux shows them.
    use super::*;

    #[test]
    fn the_systems_addresses_are_read() {
        // Written for either order of octets.
        let hex = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let line = |name: &str, to, gateway, mask| {
            format!(
                "{name}\t{}\t{}\t0003\t0\t0\t100\t{}\t0\t0\t0\n",
                hex(to),
                hex(gateway),
                hex(mask)
            )
        };
        let routes = format!(
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n{}{}{}",
            line("eth0", [0; 4], [192, 0, 2, 1], [0; 4]),
            line("eth0", [192, 0, 2, 0], [0; 4], [255, 255, 255, 0]),
            line("eth1", [10, 0, 0, 0], [0; 4], [255, 0, 0, 0]),
        );
        let resolver =
            "# a comment\nnameserver 192.0.2.53\nnameserver ::1\nnameserver 192.0.2.54\n";
        let address = u32::from(Ipv4Addr::new(192, 0, 2, 9));
        let number = |octets: [u8; 4]| u32::from_be_bytes(octets);
        let ip = Ip::parse(&routes, resolver, address);
        assert_eq!(ip.mask, number([255, 255, 255, 0]));
        assert_eq!(ip.gateway, number([192, 0, 2, 1]));
        assert_eq!(
            ip.servers,
            [number([192, 0, 2, 53]), number([192, 0, 2, 54])]
        );
        assert_eq!(Ip::parse("", "", 0), Ip::default());
        assert_eq!(Ip::parse("a\nb c\nd e f g", "nameserver", 5).mask, 0);
    }

    #[test]
    fn what_is_written_is_checked_and_comes_back() {
        let mut setup = Setup::default();
        let to = |text: &str| {
            Data::Structure(vec![
                Data::Enum(0),
                Data::octet_string(text.as_bytes()),
                Data::Enum(0),
            ])
        };
        for (kind, class, attribute, value) in [
            (Kind::Push, 40, 3, to("head.example:4059")),
            (Kind::Push, 40, 3, to("[2001:db8::1]:4059")),
            (Kind::Push, 40, 5, Data::LongUnsigned(60)),
            (Kind::Push, 40, 6, Data::Unsigned(3)),
            (Kind::Push, 40, 7, Data::LongUnsigned(15)),
            (Kind::Wan, 41, 6, Data::LongUnsigned(60)),
        ] {
            let kept = setup.set(&kind, attribute, &value, true).unwrap();
            let mut other = Setup::default();
            other.restore(class, attribute, &kept);
            let mut both = other.clone();
            both.set(&kind, attribute, &value, true).unwrap();
            assert_eq!(other, both, "{kept}");
        }
        assert_eq!(setup.idle(), Duration::from_secs(60));
        let before = setup.clone();
        for (kind, attribute, value) in [
            (Kind::Push, 3, to("head.example:0")),
            (Kind::Push, 3, to(":4059")),
            (Kind::Push, 3, to("a b:4059")),
            (Kind::Push, 3, to(&"a".repeat(400))),
            (Kind::Push, 3, Data::Unsigned(1)),
            (Kind::Push, 4, Data::Array(Vec::new())),
            (Kind::Push, 7, Data::LongUnsigned(0)),
            (Kind::Push, 7, Data::NullData),
            (Kind::Wan, 2, Data::LongUnsigned(1)),
            (Kind::Wan, 6, Data::LongUnsigned(0)),
        ] {
            assert!(setup.set(&kind, attribute, &value, true).is_err());
            assert_eq!(setup, before);
        }
        assert!(setup.set(&Kind::Push, 3, &to("a:1"), false).is_err());
        setup.set(&Kind::Push, 3, &to(""), false).unwrap();
        assert_eq!(setup.destination, None);
    }
}
