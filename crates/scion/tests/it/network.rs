//! The network that the tests share: six ASes in three isolation domains.
//!
//! ```text
//! 1-110#1 core 2-210#1      1-110#10 child 1-111#1
//! 1-110#2 core 3-310#1      1-120#10 child 1-111#2
//! 3-310#2 core 2-210#2      2-210#10 child 2-211#1
//! 1-120#1 core 2-210#3      2-210#11 child 2-211#2
//! ```

use std::borrow::Borrow;
use std::time::Duration;

use scion::address::{InterfaceId, IsdAs};
use scion::path::{Fingerprint, Path};

/// The AS `1-ff00:0:110` for 110, and so on.
pub(crate) fn isd_as(number: u16) -> IsdAs {
    format!("{}-ff00:0:{number}", number / 100).parse().unwrap()
}

/// A path of `(AS, interface)`, told apart by `id`.
pub(crate) fn path(id: u8, interfaces: &[(u16, u16)]) -> Path {
    let interfaces: Vec<_> = interfaces
        .iter()
        .map(|(asn, interface)| (isd_as(*asn), InterfaceId(*interface)))
        .collect();
    Path::new(Fingerprint([id; 32]), &interfaces).unwrap()
}

/// The six paths from the head end's AS 211 to the meters' AS 111. The first
/// four stay within the domains 1 and 2; the last two cross domain 3.
pub(crate) fn six() -> Vec<Path> {
    let mut paths = Vec::new();
    let mut latency = 10;
    for (id, middle) in [
        (1, &[(210, 1), (110, 1), (110, 10), (111, 1)][..]),
        (3, &[(210, 3), (120, 1), (120, 10), (111, 2)]),
        (
            5,
            &[(210, 2), (310, 2), (310, 1), (110, 2), (110, 10), (111, 1)],
        ),
    ] {
        for uplink in [1, 2] {
            let mut interfaces = vec![(211, uplink), (210, 9 + uplink)];
            interfaces.extend_from_slice(middle);
            let mut path = path(id + u8::try_from(uplink).unwrap() - 1, &interfaces);
            path.latency = Some(Duration::from_millis(latency));
            latency += 5;
            paths.push(path);
        }
    }
    paths
}

/// The `id`s of paths.
pub(crate) fn ids<P: Borrow<Path>>(paths: impl IntoIterator<Item = P>) -> Vec<u8> {
    paths
        .into_iter()
        .map(|path| path.borrow().fingerprint().0[0])
        .collect()
}
