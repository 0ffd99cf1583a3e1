//! Security: suites, counters, replay, authentication, key transfer.

mod annex;
mod counter;
mod envelope;
mod gcm;
mod hls;
mod key_transfer;
mod policy;
mod providers;
mod replay;
mod secrets;
mod stranger;

use dlms::security::{
    AwsLc, Crypto, Envelope, FreshCounter, Key, KeyRing, Keys, Protection, RustCrypto,
    SecuritySuite, SystemTitle, Wrapping,
};

use crate::captures::{Random, unhex};

/// The keys and titles of the standard's examples (Green Book; IEC 62056-5-3,
/// annexes).
pub(crate) const EK: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const AK: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";
pub(crate) const SERVER: SystemTitle = SystemTitle(*b"MMM\x00\x00\xbc\x61\x4e");
pub(crate) const CLIENT: SystemTitle = SystemTitle(*b"MMM\x00\x00\x00\x00\x01");

/// Who ciphers.
pub(crate) const PROVIDERS: [&dyn Crypto; 2] = [&RustCrypto, &AwsLc];

/// A get-request-normal of the time.
pub(crate) const GET: &str = "c0010000080000010000ff0200";

pub(crate) const PROTECTIONS: [Protection; 3] = [
    Protection::Authenticated,
    Protection::Encrypted,
    Protection::AuthenticatedEncrypted,
];

pub(crate) const WRAPPINGS: [Wrapping; 4] = [
    Wrapping::Glo,
    Wrapping::Ded,
    Wrapping::GeneralGlo,
    Wrapping::GeneralDed,
];

pub(crate) fn key(hex: &str) -> Key {
    Key::from_octets(&unhex(hex)).unwrap()
}

pub(crate) fn keys() -> Keys {
    Keys {
        broadcast: Some(key("0f0e0d0c0b0a09080706050403020100")),
        dedicated: Some(key("00112233445566778899aabbccddeeff")),
        ..Keys::new(key(EK), key(AK))
    }
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys()).unwrap()
}

/// Protects as the server.
pub(crate) fn seal(ring: &KeyRing, envelope: Envelope, counter: u32, apdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ring.protect(
        envelope,
        &SERVER,
        FreshCounter::dangerous_assume_fresh(counter),
        apdu,
        &mut out,
    )
    .unwrap();
    out
}

pub(crate) fn random_octets(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| u8::try_from(random.next() >> 56).unwrap())
        .collect()
}
