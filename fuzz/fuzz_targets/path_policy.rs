//! Texts of path policies: what is read is written and read again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scion::address::{InterfaceId, IsdAs};
use scion::path::{Fingerprint, Path};
use scion::policy::{Acl, Sequence};

fuzz_target!(|text: &str| {
    let at = |asn: u64| IsdAs::from_u64(1 << 48 | asn);
    let path = Path::new(
        Fingerprint([0; 32]),
        &[(1, 1), (2, 2), (2, 3), (3, 4), (3, 5), (1, 6)]
            .map(|(asn, interface)| (at(asn), InterfaceId(interface))),
    );
    let Ok(path) = path else { return };
    if let Ok(acl) = text.parse::<Acl>() {
        let again: Acl = acl.to_string().parse().expect("what was written is read");
        assert_eq!(acl, again);
        assert_eq!(acl.judge(&path), again.judge(&path));
    }
    if let Ok(sequence) = text.parse::<Sequence>() {
        let again: Sequence = sequence
            .to_string()
            .parse()
            .expect("what was written is read");
        assert_eq!(sequence.matches(&path), again.matches(&path));
    }
});
