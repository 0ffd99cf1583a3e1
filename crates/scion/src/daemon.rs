//! What is asked of an AS's SCION daemon, and what it answers.
//!
//! Source: `proto/daemon/v1/daemon.proto` of the reference implementation.
//! Messages are read field by field; unknown fields are passed over. The
//! daemon verifies the segments that it makes paths of against the isolation
//! domains' trust roots, so every path that it gives is
//! [`Trust::Daemon`].

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::address::{InterfaceId, IsdAs};
use crate::choice::MAX_PATHS;
use crate::drkey::{CacheKey, Epoch, Octets};
use crate::packet::{self, MAX_PATH};
use crate::path::{self, About, Fingerprint, MAX_HOPS, Path, Trust};

/// The service that daemons are.
pub const SERVICE: &str = "proto.daemon.v1.DaemonService";

/// Longest answer that is read, in octets: [`MAX_PATHS`] paths with all that
/// is told of them are below half of it.
pub const MAX_ANSWER: usize = 1 << 20;

/// Octets that are no answer of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DaemonError {
    /// A field is not whole.
    #[error("octet {0} of the daemon's answer: truncated")]
    Truncated(usize),
    /// A field has a form that its place does not.
    #[error("octet {0} of the daemon's answer: not the form of this field")]
    Form(usize),
    /// A number is longer than 64 bits.
    #[error("octet {0} of the daemon's answer: a number that is too long")]
    Number(usize),
    /// There is no key of 16 octets with an epoch.
    #[error("the daemon's answer has no key with an epoch")]
    NoKey,
}

/// A path that packets can be sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What a policy sees of it.
    pub path: Path,
    octets: Vec<u8>,
    next: Option<SocketAddr>,
    crossed: Vec<InterfaceId>,
}

impl Route {
    /// Makes the way within one AS, where packets go straight to the host.
    #[must_use]
    pub fn within(isd_as: IsdAs) -> Self {
        Self {
            path: Path::within(isd_as),
            octets: Vec::new(),
            next: None,
            crossed: Vec::new(),
        }
    }

    /// Makes a route of a path, its octets on the data plane and the router
    /// that takes its packets; none where the octets do not cross what the
    /// path says. So what a fence was held against is what is sent.
    #[must_use]
    pub fn new(path: Path, octets: Vec<u8>, next: SocketAddr) -> Option<Self> {
        let crossed = packet::crossed(&octets).ok()?;
        let said = path.interfaces().map(|(_, interface, _)| interface);
        if octets.is_empty() || !said.eq(crossed.iter().copied()) {
            return None;
        }
        Some(Self {
            path,
            octets,
            next: Some(next),
            crossed,
        })
    }

    /// Shows the octets that go into packets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Tells the router that packets to `host` and `port` are handed to; the
    /// host itself within an AS.
    #[must_use]
    pub fn next(&self, host: IpAddr, port: u16) -> SocketAddr {
        self.next.unwrap_or_else(|| SocketAddr::new(host, port))
    }

    /// Tells whether a packet came along this route backwards: it crossed
    /// these interfaces.
    #[must_use]
    pub fn is_reverse_of(&self, crossed: &[InterfaceId]) -> bool {
        self.crossed.iter().rev().eq(crossed)
    }

    /// Tells whether a packet went along this route: it was to cross these
    /// interfaces.
    #[must_use]
    pub fn is(&self, crossed: &[InterfaceId]) -> bool {
        self.crossed == crossed
    }
}

/// The fingerprint that the reference programs print of a path.
#[must_use]
pub fn fingerprint(interfaces: &[(IsdAs, InterfaceId)]) -> Fingerprint {
    let mut digest = Sha256::new();
    for (isd_as, interface) in interfaces {
        digest.update(isd_as.to_u64().to_be_bytes());
        digest.update(u64::from(interface.0).to_be_bytes());
    }
    Fingerprint(digest.finalize().into())
}

/// Makes the request `AS`: which AS is this?
#[must_use]
pub const fn as_request() -> Vec<u8> {
    Vec::new()
}

/// Reads the answer to `AS`.
///
/// # Errors
/// [`DaemonError`] where it is none.
pub fn as_answer(octets: &[u8]) -> Result<IsdAs, DaemonError> {
    let mut isd_as = 0;
    for field in Fields::new(octets) {
        if let (1, Value::Number(number)) = field? {
            isd_as = number;
        }
    }
    Ok(IsdAs::from_u64(isd_as))
}

/// Makes the request `Paths`; `refresh` asks for more than what the daemon
/// remembers.
#[must_use]
pub fn paths_request(source: IsdAs, destination: IsdAs, refresh: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    put_number(&mut out, 1, source.to_u64());
    put_number(&mut out, 2, destination.to_u64());
    if refresh {
        put_number(&mut out, 3, 1);
    }
    out
}

/// Tells the method that gives a key, and makes its request: `DRKeyHostHost`
/// where it is between two hosts, `DRKeyHostAS` and `DRKeyASHost` where one end
/// is an AS. `at` is a time that the key holds at, in seconds since 1970. None
/// for a key between two ASes, which daemons do not give.
#[must_use]
pub fn drkey_request(between: &CacheKey, at: u64) -> Option<(&'static str, Vec<u8>)> {
    let method = match (between.issuer_host, between.other_host) {
        (Some(_), Some(_)) => "DRKeyHostHost",
        (Some(_), None) => "DRKeyHostAS",
        (None, Some(_)) => "DRKeyASHost",
        (None, None) => return None,
    };
    let mut out = Vec::with_capacity(96);
    let mut time = Vec::with_capacity(8);
    put_number(&mut time, 1, at);
    put_octets(&mut out, 1, &time);
    put_number(&mut out, 2, u64::from(between.protocol.0));
    put_number(&mut out, 3, between.issuer.to_u64());
    put_number(&mut out, 4, between.other.to_u64());
    let hosts = between.issuer_host.iter().chain(&between.other_host);
    for (host, field) in hosts.zip(5..) {
        put_octets(&mut out, field, host.to_string().as_bytes());
    }
    Some((method, out))
}

/// Reads the answer to a request for a key.
///
/// # Errors
/// [`DaemonError`] where it is none.
pub fn drkey_answer(octets: &[u8]) -> Result<(Epoch, Octets), DaemonError> {
    let (mut begin, mut end, mut key) = (None, None, None);
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Octets(octets)) => begin = span(octets)?,
            (2, Value::Octets(octets)) => end = span(octets)?,
            (3, Value::Octets(octets)) => key = octets.try_into().ok(),
            _ => {}
        }
    }
    let second = |time: Option<Duration>| u32::try_from(time?.as_secs()).ok();
    let epoch = second(begin)
        .zip(second(end))
        .and_then(|(begin, end)| Epoch::new(begin, end).ok());
    let (Some(epoch), Some(key)) = (epoch, key) else {
        return Err(DaemonError::NoKey);
    };
    Ok((epoch, Octets::new(key)))
}

/// Reads the answer to `Paths`. Paths that cannot be used are left out and
/// counted: those that are malformed, are not between these two ASes, or cross
/// other interfaces than they say.
///
/// # Errors
/// [`DaemonError`] where the whole is malformed.
pub fn paths_answer(
    octets: &[u8],
    source: IsdAs,
    destination: IsdAs,
) -> Result<(Vec<Route>, usize), DaemonError> {
    let (mut routes, mut left_out) = (Vec::new(), 0);
    for field in Fields::new(octets) {
        let (1, Value::Octets(octets)) = field? else {
            continue;
        };
        match route(octets) {
            Ok(Some(route)) if runs(&route.path, source, destination) => {
                // The daemon may have one path of two pairs of segments.
                let known = |other: &Route| other.path.fingerprint() == route.path.fingerprint();
                if routes.len() < MAX_PATHS && !routes.iter().any(known) {
                    routes.push(route);
                }
            }
            Ok(_) | Err(_) => left_out += 1,
        }
    }
    Ok((routes, left_out))
}

fn runs(path: &Path, source: IsdAs, destination: IsdAs) -> bool {
    let ends = (path.hops().first(), path.hops().last());
    matches!(ends, (Some(first), Some(last))
        if first.isd_as == source && last.isd_as == destination)
}

fn route(octets: &[u8]) -> Result<Option<Route>, DaemonError> {
    let (mut raw, mut next, mut mtu, mut expiry) = (&[][..], None, None, None);
    let mut interfaces = Vec::new();
    let (mut latency, mut links) = (Some(Duration::ZERO), 0);
    let (mut places, mut notes) = (Vec::new(), Vec::new());
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Octets(octets)) => raw = octets,
            (2, Value::Octets(octets)) => next = underlay(octets)?,
            (3, Value::Octets(octets)) if interfaces.len() < 2 * MAX_HOPS => {
                interfaces.push(interface(octets)?);
            }
            (4, Value::Number(number)) => mtu = u16::try_from(number).ok(),
            (5, Value::Octets(octets)) => expiry = span(octets)?.map(|span| span.as_secs()),
            (6, Value::Octets(octets)) => {
                // A negative time says that none is known.
                links += 1;
                latency = latency
                    .zip(span(octets)?)
                    .and_then(|(sum, one)| sum.checked_add(one));
            }
            (8, Value::Octets(octets)) if places.len() < 2 * MAX_HOPS => {
                places.push(place(octets)?);
            }
            (11, Value::Octets(octets)) if notes.len() < MAX_HOPS => notes.push(text(octets)),
            _ => {}
        }
    }
    let interfaces: Option<Vec<_>> = interfaces.into_iter().collect();
    let (Some(interfaces), Some(next)) = (interfaces, next) else {
        return Ok(None);
    };
    let Ok(mut path) = Path::new(fingerprint(&interfaces), &interfaces) else {
        return Ok(None);
    };
    path.mtu = mtu;
    path.expiry = expiry;
    path.latency = latency.filter(|_| links + 1 == interfaces.len());
    path.trust = Trust::Daemon;
    path.about = about(&path, &places, &notes).into();
    if raw.len() > MAX_PATH {
        return Ok(None);
    }
    Ok(Route::new(path, raw.to_vec(), next))
}

/// What the ASes of a path tell of themselves: a place for each interface, a
/// note for each AS. Lists of another length belong to nothing.
fn about(path: &Path, places: &[Option<String>], notes: &[Option<String>]) -> Vec<About> {
    let whole = places.len() == path.interfaces().count();
    let mut notes = notes.iter().filter(|_| notes.len() == path.hops().len());
    let mut places = places.iter().filter(|_| whole);
    let mut all = Vec::new();
    for hop in path.hops() {
        let note = notes.next().cloned().flatten();
        let crossed = [hop.ingress, hop.egress].into_iter().filter(|it| it.0 != 0);
        let mut told: Vec<String> = crossed
            .filter_map(|_| places.next().cloned().flatten())
            .collect();
        told.dedup();
        if note.is_some() || !told.is_empty() {
            all.push(About {
                isd_as: hop.isd_as,
                places: told,
                note,
            });
        }
    }
    all
}

/// The civic address of a router; its coordinates are passed over.
fn place(octets: &[u8]) -> Result<Option<String>, DaemonError> {
    let mut found = None;
    for field in Fields::new(octets) {
        if let (3, Value::Octets(octets)) = field? {
            found = text(octets);
        }
    }
    Ok(found)
}

fn text(octets: &[u8]) -> Option<String> {
    core::str::from_utf8(octets).ok().and_then(path::told)
}

/// The address of an interface's router.
fn underlay(octets: &[u8]) -> Result<Option<SocketAddr>, DaemonError> {
    let mut found = None;
    for field in Fields::new(octets) {
        if let (1, Value::Octets(octets)) = field? {
            for field in Fields::new(octets) {
                if let (1, Value::Octets(text)) = field? {
                    found = core::str::from_utf8(text)
                        .ok()
                        .and_then(|text| text.parse().ok());
                }
            }
        }
    }
    Ok(found)
}

fn interface(octets: &[u8]) -> Result<Option<(IsdAs, InterfaceId)>, DaemonError> {
    let (mut isd_as, mut id) = (0, 0);
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Number(number)) => isd_as = number,
            (2, Value::Number(number)) => id = number,
            _ => {}
        }
    }
    Ok(u16::try_from(id)
        .ok()
        .map(|id| (IsdAs::from_u64(isd_as), InterfaceId(id))))
}

/// A time, or a time since 1970; none where it is negative.
fn span(octets: &[u8]) -> Result<Option<Duration>, DaemonError> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Number(number)) => seconds = number,
            (2, Value::Number(number)) => nanos = number,
            _ => {}
        }
    }
    let nanos = u32::try_from(nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let seconds = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| u64::try_from(seconds).ok());
    Ok(seconds
        .zip(nanos)
        .map(|(seconds, nanos)| Duration::new(seconds, nanos)))
}

/// Writes a field that holds a number.
pub fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(out, u64::from(field << 3));
    put_varint(out, value);
}

/// Writes a field that holds octets: a text, or a message.
pub fn put_octets(out: &mut Vec<u8>, field: u32, octets: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// What a field of a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number of at most 64 bits.
    Number(u64),
    /// Octets: a text, or a message.
    Octets(&'a [u8]),
    /// 4 or 8 octets, which no message here has; passed over.
    Other,
}

/// The fields of a message of Protocol Buffers with their numbers, each as it
/// is, or why it is none; behind what is none there is nothing more.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Reads a message.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// Reads a list of numbers that is packed into one field.
    ///
    /// # Errors
    /// [`DaemonError`] where it is none.
    pub fn numbers(packed: &[u8]) -> Result<Vec<u64>, DaemonError> {
        let mut fields = Fields::new(packed);
        let mut all = Vec::new();
        while fields.at < packed.len() {
            all.push(fields.varint()?);
        }
        Ok(all)
    }

    fn varint(&mut self) -> Result<u64, DaemonError> {
        let begin = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octets.get(self.at);
            let octet = *octet.ok_or(DaemonError::Truncated(self.at))?;
            self.at += 1;
            let bits = u64::from(octet & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DaemonError::Number(begin))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DaemonError> {
        let end = self.at.saturating_add(length);
        let taken = self.octets.get(self.at..end);
        let taken = taken.ok_or(DaemonError::Truncated(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), DaemonError> {
        let begin = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| DaemonError::Form(begin))?;
                Value::Octets(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(DaemonError::Form(begin)),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), DaemonError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.octets.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            // Nothing behind what is malformed is read.
            self.at = self.octets.len();
        }
        Some(field)
    }
}
