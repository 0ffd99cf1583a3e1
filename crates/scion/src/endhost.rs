//! What is asked of an endhost API, and paths made of the segments that it
//! answers.
//!
//! Source: `endhost/v1/underlay_service.proto`, `segments_service.proto` and
//! `control_plane/v1/seg.proto`; `doc/protocols/scion-header.rst` and
//! `doc/control-plane.rst` of the reference implementation for how segments
//! make a path. Signatures are not looked at: whoever answers is believed, so
//! every path is [`Trust::NotVerified`]. Peering links and what ASes say of
//! latency are passed over.
//!
//! A segment is made from a core AS downwards, or between two core ASes. Its
//! entries have hop fields whose codes are chained: each is computed over the
//! segment's number mixed with the codes before it. So a path that begins in
//! the midst of a segment starts with the number as mixed up to there.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::address::{InterfaceId, IsdAs};
use crate::choice::MAX_PATHS;
use crate::daemon::{DaemonError, Fields, Route, Value, fingerprint, put_number, put_octets};
use crate::path::{MAX_HOPS, Path, Trust};

/// The service that tells the routers, and its method.
pub const UNDERLAYS: (&str, &str) = ("scion.endhost.v1.UnderlayService", "ListUnderlays");

/// The service that tells the segments, and its method.
pub const SEGMENTS: (&str, &str) = ("scion.endhost.v1.SegmentsService", "ListSegments");

/// Segments of one kind that are kept; further ones are left out.
pub const MAX_SEGMENTS: usize = 128;

/// Routers that are kept, and interfaces of each; further ones are left out.
const MAX_ROUTERS: usize = 256;

/// Ways to put segments together that are tried; of what they give the
/// [`MAX_PATHS`] with the fewest ASes are kept. Those that do not meet are not
/// come across at all.
const MAX_TRIED: usize = 4_096;

/// A border router and the interfaces behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its AS.
    pub isd_as: IsdAs,
    /// Where it takes packets of hosts.
    pub address: SocketAddr,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceId>,
}

/// An AS on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    isd_as: IsdAs,
    /// As seen from where the segment was made.
    ingress: InterfaceId,
    egress: InterfaceId,
    expiry: u8,
    code: [u8; 6],
    mtu: Option<u16>,
}

/// A part of a path, with what routers check it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// When it was made, in seconds since 1970.
    timestamp: u32,
    number: u16,
    entries: Vec<Entry>,
}

/// What an endhost API answers, in one or several pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    up: Vec<Segment>,
    down: Vec<Segment>,
    core: Vec<Segment>,
    /// What the next page is asked for by; empty behind the last.
    pub next: String,
    /// Segments that cannot be used, or are too many.
    pub left_out: usize,
}

/// Makes the request for the routers of all ASes that the API serves.
#[must_use]
pub const fn underlays_request() -> Vec<u8> {
    Vec::new()
}

/// Reads the answer to it. Routers whose address is none are left out.
///
/// # Errors
/// [`DaemonError`] where the whole is malformed.
pub fn underlays_answer(octets: &[u8]) -> Result<Vec<Router>, DaemonError> {
    let mut routers = Vec::new();
    for field in Fields::new(octets) {
        let (1, Value::Octets(udp)) = field? else {
            continue;
        };
        for field in Fields::new(udp) {
            let (1, Value::Octets(octets)) = field? else {
                continue;
            };
            if let Some(router) = router(octets)?
                && routers.len() < MAX_ROUTERS
            {
                routers.push(router);
            }
        }
    }
    Ok(routers)
}

fn router(octets: &[u8]) -> Result<Option<Router>, DaemonError> {
    let (mut isd_as, mut address, mut interfaces) = (0, None, Vec::new());
    let id = |number: u64| u16::try_from(number).ok().map(InterfaceId);
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Number(number)) => isd_as = number,
            (2, Value::Octets(text)) => {
                address = core::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse().ok());
            }
            // Numbers of a list stand alone or packed.
            (3, Value::Number(number)) => interfaces.extend(id(number)),
            (3, Value::Octets(packed)) => {
                interfaces.extend(Fields::numbers(packed)?.into_iter().filter_map(id));
            }
            _ => {}
        }
    }
    interfaces.truncate(MAX_ROUTERS);
    Ok(address.map(|address| Router {
        isd_as: IsdAs::from_u64(isd_as),
        address,
        interfaces,
    }))
}

/// Makes the request for the segments between two ASes; `page` is what the
/// answer before said, empty for the first.
#[must_use]
pub fn segments_request(source: IsdAs, destination: IsdAs, page: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + page.len());
    put_number(&mut out, 1, source.to_u64());
    put_number(&mut out, 2, destination.to_u64());
    if !page.is_empty() {
        put_octets(&mut out, 4, page.as_bytes());
    }
    out
}

impl Segments {
    /// Adds a page to those before. Segments that cannot be used are left out
    /// and counted.
    ///
    /// # Errors
    /// [`DaemonError`] where the whole is malformed.
    pub fn add(&mut self, octets: &[u8]) -> Result<(), DaemonError> {
        self.next.clear();
        for field in Fields::new(octets) {
            let (kind, octets) = match field? {
                (1, Value::Octets(octets)) => (&mut self.up, octets),
                (2, Value::Octets(octets)) => (&mut self.down, octets),
                (3, Value::Octets(octets)) => (&mut self.core, octets),
                (4, Value::Octets(text)) => {
                    self.next = String::from_utf8_lossy(text).into_owned();
                    continue;
                }
                _ => continue,
            };
            match segment(octets) {
                Ok(Some(segment)) if kind.len() < MAX_SEGMENTS => kind.push(segment),
                Ok(_) | Err(_) => self.left_out += 1,
            }
        }
        Ok(())
    }

    /// Makes the paths from one AS to another that the segments give, those
    /// with the fewest ASes first. A path that no router takes, or that comes
    /// through an AS twice, is none.
    #[must_use]
    pub fn routes(&self, source: IsdAs, destination: IsdAs, routers: &[Router]) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        let ups = pieces(&self.up, source, true);
        let downs = pieces(&self.down, destination, false);
        // By where they begin, so that only what meets is put together.
        let mut from_there: BTreeMap<IsdAs, Vec<&Option<Piece<'_>>>> = BTreeMap::new();
        for down in &downs {
            let begin = far(down.as_ref(), destination);
            from_there.entry(begin).or_default().push(down);
        }
        let downs_from = |at: IsdAs| from_there.get(&at).into_iter().flatten().copied();
        let mut cores: BTreeMap<IsdAs, Vec<(IsdAs, Piece<'_>)>> = BTreeMap::new();
        for segment in &self.core {
            for (from, to, piece) in Piece::both_ways(segment) {
                cores.entry(from).or_default().push((to, piece));
            }
        }
        // Only the ends of whole segments are core.
        let is_core = |end: &Option<Piece<'_>>| end.as_ref().is_none_or(Piece::is_whole);
        let mut known = BTreeSet::new();
        let ways = ups.iter().flat_map(|up| {
            let from = far(up.as_ref(), source);
            let direct = downs_from(from).map(move |down| [up.clone(), None, down.clone()]);
            let cores = cores.get(&from).into_iter().flatten();
            let over = cores
                .filter(move |_| is_core(up))
                .flat_map(move |(to, core)| {
                    let downs = downs_from(*to).filter(move |down| is_core(down));
                    downs.map(move |down| [up.clone(), Some(core.clone()), down.clone()])
                });
            direct.chain(over)
        });
        for way in ways.take(MAX_TRIED) {
            let pieces: Vec<_> = way.into_iter().flatten().collect();
            if let Some(route) = route(&pieces, source, destination, routers)
                && known.insert(route.path.fingerprint())
            {
                routes.push(route);
            }
        }
        routes.sort_by_key(|route| route.path.hops().len());
        routes.truncate(MAX_PATHS);
        routes
    }
}

/// A part of a segment, from entry to entry in the direction of travel.
#[derive(Clone, Debug)]
struct Piece<'s> {
    segment: &'s Segment,
    from: usize,
    to: usize,
}

impl<'s> Piece<'s> {
    /// The whole of a core segment in both directions, each with the ASes that
    /// it leads from and to.
    fn both_ways(segment: &'s Segment) -> impl Iterator<Item = (IsdAs, IsdAs, Self)> {
        let last = segment.entries.len().saturating_sub(1);
        [(last, 0), (0, last)]
            .into_iter()
            .filter_map(move |(from, to)| {
                let ends = (segment.at(from)?.isd_as, segment.at(to)?.isd_as);
                (ends.0 != ends.1).then_some((ends.0, ends.1, Self { segment, from, to }))
            })
    }

    /// Whether packets go in the direction in which it was made.
    const fn is_forward(&self) -> bool {
        self.from < self.to
    }

    fn is_whole(&self) -> bool {
        self.from.min(self.to) == 0
    }

    /// Entries in the order of travel, each with its way in and way out.
    fn entries(&self) -> impl Iterator<Item = (Entry, InterfaceId, InterfaceId)> + '_ {
        let count = self.from.abs_diff(self.to) + 1;
        (0..count).filter_map(move |step| {
            let forward = self.is_forward();
            let at = match forward {
                true => self.from + step,
                false => self.from - step,
            };
            let entry = *self.segment.at(at)?;
            Some(match forward {
                true => (entry, entry.ingress, entry.egress),
                false => (entry, entry.egress, entry.ingress),
            })
        })
    }

    /// The segment's number as mixed up to where this begins.
    fn mixed(&self) -> u16 {
        let before = self.segment.entries.iter().take(self.from);
        before.fold(self.segment.number, |number, entry| {
            let [high, low, ..] = entry.code;
            number ^ u16::from_be_bytes([high, low])
        })
    }
}

/// The parts of segments that begin at `end` (up) or end there (down), and
/// none: `end` may be core itself, or lie on the other side's segment.
fn pieces(segments: &[Segment], end: IsdAs, up: bool) -> Vec<Option<Piece<'_>>> {
    let mut all = alloc::vec![None];
    for segment in segments {
        let Some(place) = segment.entries.iter().position(|it| it.isd_as == end) else {
            continue;
        };
        all.extend((0..place).map(|other| {
            let (from, to) = if up { (place, other) } else { (other, place) };
            Some(Piece { segment, from, to })
        }));
    }
    all
}

/// The AS at the end of a piece that is not the host's; the host's where there
/// is no piece.
fn far(piece: Option<&Piece<'_>>, own: IsdAs) -> IsdAs {
    let entry = piece.and_then(|piece| piece.segment.at(piece.from.min(piece.to)));
    entry.map_or(own, |entry| entry.isd_as)
}

impl Segment {
    fn at(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }
}

fn route(
    pieces: &[Piece<'_>],
    source: IsdAs,
    destination: IsdAs,
    routers: &[Router],
) -> Option<Route> {
    const MADE: u8 = 0b01;
    let (mut word, mut infos, mut fields) = (0_u32, Vec::new(), Vec::new());
    let (mut interfaces, mut seen) = (Vec::new(), Vec::new());
    let (mut expiry, mut mtu) = (u64::MAX, None::<u16>);
    for (piece, shift) in pieces.iter().zip([12, 6, 0]) {
        let entries: Vec<_> = piece.entries().collect();
        word |= u32::try_from(entries.len()).ok()? << shift;
        infos.extend([if piece.is_forward() { MADE } else { 0 }, 0]);
        infos.extend(piece.mixed().to_be_bytes());
        infos.extend(piece.segment.timestamp.to_be_bytes());
        let last = entries.len().checked_sub(1)?;
        for (index, (entry, enters, leaves)) in entries.into_iter().enumerate() {
            fields.extend([0, entry.expiry]);
            fields.extend(entry.ingress.0.to_be_bytes());
            fields.extend(entry.egress.0.to_be_bytes());
            fields.extend(entry.code);
            if index > 0 {
                interfaces.push((entry.isd_as, enters));
            }
            if index < last {
                interfaces.push((entry.isd_as, leaves));
            }
            // Where two segments meet, both have the AS.
            if seen.last() != Some(&entry.isd_as) {
                seen.push(entry.isd_as);
            }
            // In steps of the 256th part of a day, the first one over.
            let life = (u64::from(entry.expiry) + 1) * 86_400 / 256;
            expiry = expiry.min(u64::from(piece.segment.timestamp) + life);
            mtu = match (mtu, entry.mtu) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
    let ends = (seen.first(), seen.last());
    let twice = seen
        .iter()
        .enumerate()
        .any(|(at, it)| seen.iter().skip(at + 1).any(|one| one == it));
    if twice || ends != (Some(&source), Some(&destination)) || seen.len() > MAX_HOPS {
        return None;
    }
    let &(first_as, first) = interfaces.first()?;
    let router = routers
        .iter()
        .find(|router| router.isd_as == first_as && router.interfaces.contains(&first))?;
    let mut octets = word.to_be_bytes().to_vec();
    octets.extend(infos);
    octets.extend(fields);
    let mut path = Path::new(fingerprint(&interfaces), &interfaces).ok()?;
    path.expiry = Some(expiry);
    path.mtu = mtu;
    path.trust = Trust::NotVerified;
    Route::new(path, octets, router.address)
}

fn segment(octets: &[u8]) -> Result<Option<Segment>, DaemonError> {
    let (mut timestamp, mut number, mut entries) = (None, None, Vec::new());
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Octets(information)) => {
                for field in Fields::new(information) {
                    match field? {
                        (1, Value::Number(value)) => timestamp = u32::try_from(value).ok(),
                        (2, Value::Number(value)) => number = u16::try_from(value).ok(),
                        _ => {}
                    }
                }
            }
            (2, Value::Octets(octets)) => entries.push(signed(octets)?),
            _ => {}
        }
    }
    let entries: Option<Vec<Entry>> = entries.into_iter().collect();
    Ok(timestamp.zip(entries).and_then(|(timestamp, entries)| {
        // A number of 0 is not written.
        let number = number.unwrap_or(0);
        (2..=MAX_HOPS).contains(&entries.len()).then_some(Segment {
            timestamp,
            number,
            entries,
        })
    }))
}

/// Reads an entry out of the envelopes of its signature.
fn signed(octets: &[u8]) -> Result<Option<Entry>, DaemonError> {
    let mut body = Some(octets);
    // The entry's signed part, that one's header and body, and the body.
    for number in [1, 1, 2] {
        let Some(octets) = body.take() else { break };
        for field in Fields::new(octets) {
            if let (found, Value::Octets(octets)) = field?
                && found == number
            {
                body = Some(octets);
            }
        }
    }
    body.map_or(Ok(None), entry)
}

fn entry(octets: &[u8]) -> Result<Option<Entry>, DaemonError> {
    let (mut isd_as, mut hop, mut own, mut link) = (0, None, None, None);
    let limit = |number: u64| u16::try_from(number).ok().filter(|it| *it > 0);
    for field in Fields::new(octets) {
        match field? {
            (1, Value::Number(number)) => isd_as = number,
            (3, Value::Octets(octets)) => {
                for field in Fields::new(octets) {
                    match field? {
                        (1, Value::Octets(octets)) => hop = Some(octets),
                        (2, Value::Number(number)) => link = limit(number),
                        _ => {}
                    }
                }
            }
            (5, Value::Number(number)) => own = limit(number),
            _ => {}
        }
    }
    let Some(hop) = hop else { return Ok(None) };
    let (mut ingress, mut egress, mut expiry, mut code) = (Some(0), Some(0), Some(0), None);
    for field in Fields::new(hop) {
        match field? {
            (1, Value::Number(number)) => ingress = u16::try_from(number).ok(),
            (2, Value::Number(number)) => egress = u16::try_from(number).ok(),
            (3, Value::Number(number)) => expiry = u8::try_from(number).ok(),
            (4, Value::Octets(octets)) => code = octets.try_into().ok(),
            _ => {}
        }
    }
    let (Some(ingress), Some(egress), Some(expiry), Some(code)) = (ingress, egress, expiry, code)
    else {
        return Ok(None);
    };
    let both = own.zip(link).map(|(own, link)| own.min(link));
    Ok(Some(Entry {
        isd_as: IsdAs::from_u64(isd_as),
        ingress: InterfaceId(ingress),
        egress: InterfaceId(egress),
        expiry,
        code,
        mtu: both.or(own).or(link),
    }))
}
