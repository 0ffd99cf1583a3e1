//! The meaning of notifications.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(report) = han::push::report(octets) {
        let _ = (report.total(1), report.net_power());
    }
    let _ = han::push::short(octets);
});
