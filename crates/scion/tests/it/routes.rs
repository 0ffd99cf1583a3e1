//! The shared network's paths as daemons tell them: their octets on the data
//! plane, and the messages that carry them.

use std::net::SocketAddr;
use std::time::Duration;

use scion::address::{InterfaceId, IsdAs};
use scion::daemon::{Route, fingerprint};
use scion::path::{Path, Trust};

use crate::network::{isd_as, six};

/// A path of the data plane over an up segment, a core segment and a down
/// segment: hops are `(way in, way out)` in the order of travel.
fn octets(segments: [&[(u16, u16)]; 3]) -> Vec<u8> {
    let [up, core, down] = segments.map(|segment| u32::try_from(segment.len()).unwrap());
    let mut out = (up << 12 | core << 6 | down).to_be_bytes().to_vec();
    // Only the down segment lies in the order in which it was made.
    for (number, made) in [(0_u8, 0_u8), (1, 0), (2, 1)] {
        out.extend_from_slice(&[made, 0, 0x11, number, 0x68, 0, 0, 0]);
    }
    for (number, segment) in segments.iter().enumerate() {
        for (enters, leaves) in *segment {
            let (ingress, egress) = if number == 2 {
                (enters, leaves)
            } else {
                (leaves, enters)
            };
            out.extend_from_slice(&[0, 63]);
            out.extend_from_slice(&ingress.to_be_bytes());
            out.extend_from_slice(&egress.to_be_bytes());
            out.extend_from_slice(&[0xaa; 6]);
        }
    }
    out
}

/// The octets of one of the six paths, in either direction.
fn octets_of(path: &Path) -> Vec<u8> {
    let hops: Vec<(u16, u16)> = path
        .hops()
        .iter()
        .map(|hop| (hop.ingress.0, hop.egress.0))
        .collect();
    let last = hops.len() - 1;
    // A segment ends in the core AS beside each leaf.
    octets([
        &[hops[0], (hops[1].0, 0)],
        &[
            &[(0, hops[1].1)],
            &hops[2..last - 1],
            &[(hops[last - 1].0, 0)],
        ]
        .concat(),
        &[(0, hops[last - 1].1), hops[last]],
    ])
}

fn interfaces(path: &Path) -> Vec<(IsdAs, InterfaceId)> {
    path.interfaces()
        .map(|(isd_as, interface, _)| (isd_as, interface))
        .collect()
}

/// The router of a leaf's interface.
pub(crate) fn router(isd_as: IsdAs, interface: InterfaceId) -> SocketAddr {
    let leaf = isd_as.to_u64() & 0xff;
    let leaf = u8::try_from(leaf).unwrap();
    let host = u8::try_from(10 + interface.0).unwrap();
    SocketAddr::from(([10, 0, leaf, host], 30_042))
}

/// The six routes from the head end's AS to the meters', or back.
pub(crate) fn routes(back: bool) -> Vec<Route> {
    let turned = six().into_iter().map(|path| {
        let path = if back { path.reversed() } else { path };
        let list = interfaces(&path);
        let mut own = Path::new(fingerprint(&list), &list).unwrap();
        own.latency = path.latency;
        own.mtu = Some(1_400);
        own.expiry = Some(2_000_000_000);
        own.trust = Trust::Daemon;
        let next = router(list[0].0, list[0].1);
        Route::new(own, octets_of(&path), next).unwrap()
    });
    turned.collect()
}

/// The least that a Protocol Buffers writer needs, apart from the crate's.
pub(crate) mod message {
    pub(crate) fn varint(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value > 0x7f {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
        out
    }

    pub(crate) fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    pub(crate) fn octets(field: u64, value: &[u8]) -> Vec<u8> {
        let length = u64::try_from(value.len()).unwrap();
        [varint(field << 3 | 2), varint(length), value.to_vec()].concat()
    }
}

/// A route as the answer to `Paths` has it.
pub(crate) fn told(route: &Route) -> Vec<u8> {
    use message::{number, octets};
    let mut out = octets(1, route.octets());
    let next = route.next([0, 0, 0, 0].into(), 0).to_string();
    out.extend(octets(2, &octets(1, &octets(1, next.as_bytes()))));
    let list = interfaces(&route.path);
    for (isd_as, interface) in &list {
        let one = [number(1, isd_as.to_u64()), number(2, interface.0.into())].concat();
        out.extend(octets(3, &one));
    }
    out.extend(number(4, 1_400));
    out.extend(octets(5, &number(1, 2_000_000_000)));
    let steps = u32::try_from(list.len() - 1).unwrap();
    let latency = route.path.latency.unwrap() / steps;
    for step in 0..steps {
        // The last step takes what the division left.
        let rest = route.path.latency.unwrap() - latency * steps;
        let one = latency + if step == 0 { rest } else { Duration::ZERO };
        out.extend(octets(6, &number(2, one.subsec_nanos().into())));
    }
    octets(1, &out)
}

#[test]
fn the_octets_cross_what_the_paths_say() {
    for route in routes(false).iter().chain(&routes(true)) {
        let said: Vec<_> = interfaces(&route.path).iter().map(|one| one.1).collect();
        assert_eq!(scion::packet::crossed(route.octets()).unwrap(), said);
        assert!(route.is(&said));
        let back: Vec<_> = said.into_iter().rev().collect();
        assert!(route.is_reverse_of(&back));
    }
    assert_eq!(routes(true)[0].path.hops()[0].isd_as, isd_as(111));
}
