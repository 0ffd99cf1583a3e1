//! What an AS's services tell: keys of its daemon, routers and segments of an endhost API, probes of
//! gateways. A path made of segments crosses what it says, keys are of an epoch, and what is read
//! is written alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scion::address::IsdAs;
use scion::daemon::{as_answer, drkey_answer};
use scion::endhost::{Segments, underlays_answer};
use scion::packet::crossed;
use scion::path::Trust;
use scion::sig::{MAX_DATA, Probe};

/// The two leaves of the recorded segments.
const SOURCE: IsdAs = IsdAs::from_u64(2 << 48 | 0xff00_0000_0211);
const DESTINATION: IsdAs = IsdAs::from_u64(1 << 48 | 0xff00_0000_0111);

fuzz_target!(|octets: &[u8]| {
    let _ = as_answer(octets);
    if let Ok((epoch, _)) = drkey_answer(octets) {
        assert!(epoch.begin() < epoch.end());
    }
    if let Ok(Some(probe)) = Probe::decode(octets) {
        assert!(probe.data.len() <= MAX_DATA);
        assert_eq!(Probe::decode(&probe.encode()), Ok(Some(probe)));
    }
    // Routers, by their length, then pages of segments.
    let Some((length, rest)) = octets.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (told, segments) = rest.split_at(length);
    let routers = underlays_answer(told).unwrap_or_default();
    let mut all = Segments::default();
    if all.add(segments).is_err() {
        return;
    }
    for (from, to) in [(SOURCE, DESTINATION), (DESTINATION, SOURCE)] {
        for route in all.routes(from, to, &routers) {
            assert_eq!(route.path.trust, Trust::NotVerified);
            let said: Vec<_> = route.path.interfaces().map(|end| end.1).collect();
            assert_eq!(crossed(route.octets()), Ok(said));
            let hops = route.path.hops();
            assert_eq!(hops.first().map(|hop| hop.isd_as), Some(from));
            assert_eq!(hops.last().map(|hop| hop.isd_as), Some(to));
        }
    }
});
