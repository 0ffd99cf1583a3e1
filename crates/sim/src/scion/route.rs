//! Where a packet is on its path, as routers move it on.
//!
//! The word in front of a path says which info field and which hop field is
//! the current one; a router that hands a packet to the next AS moves on to
//! that AS's hop field.

use scion::address::InterfaceId;
use scion::packet::Packet;

use super::topology::MADE;

const WORD: usize = 4;
const INFO_FIELD: usize = 8;
const HOP_FIELD: usize = 12;

/// Where a packet goes from an AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    /// To its host: this is the last AS.
    Deliver,
    /// Out of an interface.
    Out(InterfaceId),
}

/// The path of a packet, with its place on it.
pub(super) struct Route<'p> {
    path: &'p mut [u8],
    /// Hop fields of each segment.
    counts: Vec<usize>,
}

/// Finds the path within a packet that can be read.
pub(super) fn of(octets: &mut [u8]) -> Option<Route<'_>> {
    let length = Packet::decode(octets).ok()?.path.len();
    let header = 4 * usize::from(*octets.get(5)?);
    Route::new(octets.get_mut(header.checked_sub(length)?..header)?)
}

impl<'p> Route<'p> {
    pub(super) fn new(path: &'p mut [u8]) -> Option<Self> {
        let word = u32::from_be_bytes(*path.first_chunk()?);
        let count = |shift: u32| usize::try_from(word >> shift & 0x3f).unwrap_or(0);
        let counts: Vec<_> = [12, 6, 0]
            .map(count)
            .into_iter()
            .filter(|count| *count > 0)
            .collect();
        let hops: usize = counts.iter().sum();
        let whole = WORD + counts.len() * INFO_FIELD + hops * HOP_FIELD;
        (hops > 0 && path.len() == whole).then_some(Self { path, counts })
    }

    /// Segment and hop field, both counted from the path's begin.
    fn place(&self) -> (usize, usize) {
        let first = self.path.first().copied().unwrap_or(0);
        (usize::from(first >> 6), usize::from(first & 0x3f))
    }

    fn put(&mut self, segment: usize, hop: usize) {
        let octet = u8::try_from(segment << 6 | hop & 0x3f).unwrap_or(0);
        if let Some(first) = self.path.first_mut() {
            *first = octet;
        }
    }

    /// The interfaces by which a packet enters and leaves the AS of the
    /// current hop field.
    fn crossed(&self) -> Option<(InterfaceId, InterfaceId)> {
        let (segment, hop) = self.place();
        let flags = *self.path.get(WORD + segment * INFO_FIELD)?;
        let at = WORD + self.counts.len() * INFO_FIELD + hop * HOP_FIELD;
        let [_, _, i0, i1, e0, e1] = *self.path.get(at..)?.first_chunk()?;
        let ingress = InterfaceId(u16::from_be_bytes([i0, i1]));
        let egress = InterfaceId(u16::from_be_bytes([e0, e1]));
        Some(if flags & MADE != 0 {
            (ingress, egress)
        } else {
            (egress, ingress)
        })
    }

    /// The interface by which a packet enters the AS.
    pub(super) fn enters(&self) -> Option<InterfaceId> {
        self.crossed().map(|(enters, _)| enters)
    }

    /// The interface by which it leaves it.
    pub(super) fn leaves(&self) -> Option<InterfaceId> {
        self.crossed().map(|(_, leaves)| leaves)
    }

    /// Moves on to the next AS.
    pub(super) fn advance(&mut self) {
        let (segment, hop) = self.place();
        self.put(segment, hop + 1);
    }

    /// Tells where a packet goes from here; at the end of a segment the next
    /// one begins in the same AS.
    pub(super) fn onward(&mut self) -> Option<Onward> {
        let (segment, hop) = self.place();
        let end: usize = self.counts.get(..=segment)?.iter().sum();
        if hop + 1 == end {
            if segment + 1 == self.counts.len() {
                return Some(Onward::Deliver);
            }
            self.put(segment + 1, hop + 1);
        }
        self.leaves().map(Onward::Out)
    }

    /// Gives the way back from here to where the packet came from.
    pub(super) fn reversed(&self) -> Option<Vec<u8>> {
        let (infos, hops) = self
            .path
            .get(WORD..)?
            .split_at_checked(self.counts.len() * INFO_FIELD)?;
        let mut word = 0_u32;
        for (count, shift) in self.counts.iter().rev().zip([12, 6, 0]) {
            word |= u32::try_from(*count).ok()? << shift;
        }
        let mut back = word.to_be_bytes().to_vec();
        for info in infos.rchunks(INFO_FIELD) {
            let (flags, rest) = info.split_first()?;
            back.push(flags ^ MADE);
            back.extend_from_slice(rest);
        }
        for hop in hops.rchunks(HOP_FIELD) {
            back.extend_from_slice(hop);
        }
        let (segment, hop) = self.place();
        let hops: usize = self.counts.iter().sum();
        let (segment, hop) = (
            self.counts.len().checked_sub(segment + 1)?,
            hops.checked_sub(hop + 1)?,
        );
        Route::new(&mut back)?.put(segment, hop);
        Some(back)
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: the crate `scion` says of each path that it crosses what the
    //! daemon says; the reference implementation has the same six
    //! (`interop/scion/run`).
    use std::time::Duration;

    use scion::daemon::{Route as Known, fingerprint};
    use scion::path::Path;

    use super::super::topology::{End, HEAD_END, METERS, Topology};
    use super::*;

    #[test]
    fn paths_are_those_that_cross_what_they_say() {
        let six = Topology::six();
        let paths = six.paths(HEAD_END, METERS);
        assert_eq!(paths.len(), 6);
        let third = |end: &End| end.isd_as.isd.0 == 3;
        let abroad = paths
            .iter()
            .filter(|path| path.interfaces.iter().any(third));
        assert_eq!(abroad.count(), 2);
        for told in paths.iter().chain(&six.paths(METERS, HEAD_END)) {
            let ends = told.interfaces.iter();
            let pairs: Vec<_> = ends.map(|end| (end.isd_as, end.interface)).collect();
            let path = Path::new(fingerprint(&pairs), &pairs).unwrap();
            let at = "127.0.0.1:1".parse().unwrap();
            assert!(Known::new(path, told.octets.clone(), at).is_some());
        }
        let quickest = paths.iter().map(|path| path.latencies.iter().sum()).min();
        assert_eq!(quickest, Some(Duration::from_millis(8)));
        assert!(six.paths(METERS, METERS).is_empty());
        assert!(
            six.paths(METERS, scion::address::IsdAs::default())
                .is_empty()
        );
        assert_eq!(six.leaves(), [METERS, HEAD_END].into());
        assert_eq!((six.ases().len(), Topology::pair().leaves().len()), (6, 0));
    }

    /// Where a packet goes that begins on a path, with what it may come back
    /// along from each AS.
    fn walked(path: &mut [u8]) -> (Vec<u16>, Vec<Vec<u8>>) {
        let mut route = Route::new(path).unwrap();
        let (mut crossed, mut back) = (Vec::new(), Vec::new());
        let mut onward = Onward::Out(route.leaves().unwrap());
        while let Onward::Out(interface) = onward {
            assert!(crossed.len() < 20, "it goes round: {crossed:?}");
            crossed.push(interface.0);
            back.push(route.reversed().unwrap());
            route.advance();
            crossed.push(route.enters().unwrap().0);
            onward = route.onward().unwrap();
        }
        (crossed, back)
    }

    #[test]
    fn packets_follow_their_path_and_reports_find_back_from_each_as() {
        for told in Topology::six().paths(HEAD_END, METERS) {
            let mut octets = told.octets.clone();
            let (crossed, back) = walked(&mut octets);
            let said: Vec<_> = told.interfaces.iter().map(|end| end.interface.0).collect();
            assert_eq!(crossed, said);
            for (at, mut back) in back.into_iter().enumerate() {
                let mut route = Route::new(&mut back).unwrap();
                let mut crossed = Vec::new();
                while let Onward::Out(interface) = route.onward().unwrap() {
                    crossed.push(interface.0);
                    route.advance();
                    crossed.push(route.enters().unwrap().0);
                }
                let expected: Vec<_> = said[..2 * at].iter().rev().copied().collect();
                assert_eq!(crossed, expected);
            }
        }
    }

    #[test]
    fn what_is_no_path_is_none() {
        let mut octets = Topology::pair().paths(HEAD_END, METERS).remove(0).octets;
        for length in 0..octets.len() {
            assert!(Route::new(&mut octets[..length]).is_none(), "{length}");
        }
        // Pointers beyond the path.
        octets[0] = 0xff;
        let mut route = Route::new(&mut octets).unwrap();
        assert_eq!(
            (route.enters(), route.onward(), route.reversed()),
            (None, None, None)
        );
        assert!(of(&mut [0; 60]).is_none());
    }
}
