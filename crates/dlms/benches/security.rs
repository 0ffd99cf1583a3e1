//! Protecting and opening a response of 2,694 octets, a load profile of one
//! day, and one of 64; beside dlms-cosem-rs on the same octets and keys.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "a benchmark that fails shall stop where it does"
)]

use divan::{Bencher, black_box};
use dlms::security::{
    Envelope, FreshCounter, KeyRing, Keys, Protection, RustCrypto, SecuritySuite, SystemTitle,
    Wrapping,
};
use dlms_cosem_rs::security as theirs;
use dlms_cosem_rs::xdlms::SecurityControl;

const LENGTHS: [usize; 2] = [64, 2_694];
const EK: [u8; 16] = *b"\x7f\x3a\x9c\x01\xd4\x5e\x6b\x82\xf0\x91\x7c\x2d\x3e\x4a\x5b\x66";
const AK: [u8; 16] = *b"\xc4\xe1\x08\x7b\xd2\x5f\x3a\x99\x60\x71\x8b\xac\x4d\xe2\xf0\x13";
const TITLE: [u8; 8] = *b"GWD\0\0\0\0\x01";
const COUNTER: u32 = 0x0123_4567;
const ENVELOPE: Envelope = Envelope::new(Wrapping::Glo, Protection::AuthenticatedEncrypted);

fn main() {
    divan::main();
}

fn ring() -> KeyRing {
    let keys = Keys::new(EK.into(), AK.into());
    KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap()
}

fn response(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| if at == 0 { 0xC4 } else { 0x5A })
        .collect()
}

fn seal(ring: &KeyRing, apdu: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let counter = FreshCounter::dangerous_assume_fresh(COUNTER);
    ring.protect(ENVELOPE, &SystemTitle(TITLE), counter, apdu, out)
        .unwrap();
}

#[divan::bench(args = LENGTHS)]
fn protect(bencher: Bencher<'_, '_>, len: usize) {
    let (ring, apdu) = (ring(), response(len));
    let mut out = Vec::with_capacity(len + 32);
    bencher.bench_local(|| {
        seal(&ring, black_box(&apdu), &mut out);
        out.len()
    });
}

#[divan::bench(args = LENGTHS)]
fn unprotect(bencher: Bencher<'_, '_>, len: usize) {
    let ring = ring();
    let mut sealed = Vec::new();
    seal(&ring, &response(len), &mut sealed);
    let mut frame = sealed.clone();
    bencher.bench_local(|| {
        frame.copy_from_slice(black_box(&sealed));
        ring.unprotect(
            &mut frame,
            &SystemTitle(TITLE),
            Protection::AuthenticatedEncrypted,
        )
        .unwrap()
        .range()
    });
}

fn stranger() -> theirs::Protector<theirs::RustCryptoProvider> {
    theirs::Protector::new(
        theirs::RustCryptoProvider::new(theirs::KeyRing::new(EK, AK)),
        theirs::SecurityPolicy::authenticated_encrypted(theirs::SecuritySuite::Suite0),
    )
}

#[divan::bench(args = LENGTHS)]
fn protect_dlms_cosem_rs(bencher: Bencher<'_, '_>, len: usize) {
    let (stranger, apdu) = (stranger(), response(len));
    let mut room = vec![0; len + 16];
    bencher.bench_local(|| {
        stranger
            .protect(
                &theirs::SystemTitle(TITLE),
                COUNTER,
                &AK,
                black_box(&apdu),
                &mut room,
            )
            .unwrap()
            .len()
    });
}

#[divan::bench(args = LENGTHS)]
fn unprotect_dlms_cosem_rs(bencher: Bencher<'_, '_>, len: usize) {
    let stranger = stranger();
    let title = theirs::SystemTitle(TITLE);
    let mut room = vec![0; len + 16];
    let sealed = stranger
        .protect(&title, COUNTER, &AK, &response(len), &mut room)
        .unwrap()
        .to_vec();
    let mut frame = sealed.clone();
    bencher.bench_local(|| {
        frame.copy_from_slice(black_box(&sealed));
        stranger
            .unprotect(SecurityControl(0x30), &title, COUNTER, &AK, &mut frame)
            .unwrap()
            .len()
    });
}
