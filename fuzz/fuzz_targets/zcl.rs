//! Frames of ZigBee clusters, and what may leave.
#![no_main]

use han::egress;
use han::zcl::{CLUSTER_METERING, Frame, Metering, PROFILE_SMART_ENERGY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(frame) = Frame::decode(octets)
        && let Ok(Some(attributes)) = frame.attributes()
    {
        let mut metering = Metering::default();
        metering.take(attributes);
        let report = metering.report();
        let _ = (report.total(1), report.net_power(), metering.status());
    }
    if egress::check(PROFILE_SMART_ENERGY, CLUSTER_METERING, octets).is_ok() {
        let frame = Frame::decode(octets).expect("what may leave is a frame");
        assert!(matches!(frame.command, 0x00 | 0x0C) && !frame.cluster_specific);
    }
});
