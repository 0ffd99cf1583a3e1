//! Security: suites, counters, replay, authentication, key transfer.

mod annex;

use dlms::security::{Key, KeyRing, Keys, RustCrypto, SecuritySuite, SystemTitle};

/// The keys and titles of the standard's examples (Green Book, and IEC
/// 62056-5-3, annexes).
pub(crate) const EK: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const AK: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";
pub(crate) const SERVER: SystemTitle = SystemTitle(*b"MMM\x00\x00\xbc\x61\x4e");
pub(crate) const CLIENT: SystemTitle = SystemTitle(*b"MMM\x00\x00\x00\x00\x01");

pub(crate) fn key(hex: &str) -> Key {
    Key::from_octets(&crate::captures::unhex(hex)).unwrap()
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(
        &RustCrypto,
        SecuritySuite::Suite0,
        &Keys::new(key(EK), key(AK)),
    )
    .unwrap()
}
