//! Framing: check sequences alone, frames out of a stream, frames encoded.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "a benchmark that fails shall stop where it does"
)]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use dlms::codec::Wire;
use dlms::hdlc::{Address, Control, Deframer, Fcs, Frame};
use dlms::wrapper::{self, Wrapper};

/// Octets of information: the default, and the most.
const LENGTHS: [usize; 2] = [128, 2_030];

fn main() {
    divan::main();
}

fn frame(information: &[u8]) -> Frame<'_> {
    Frame {
        destination: Address::PUBLIC_CLIENT,
        source: Address::MANAGEMENT_DEVICE,
        segmented: false,
        control: Control::UnnumberedInformation { poll: true },
        information,
    }
}

/// Octets as a profile has them.
fn information(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

#[divan::bench(args = LENGTHS)]
fn fcs(bencher: Bencher<'_, '_>, length: usize) {
    let octets = information(length);
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| Fcs::of(black_box(&octets)));
}

/// A table of one octet at a time, to compare with.
#[divan::bench(args = LENGTHS)]
fn fcs_by_octet(bencher: Bencher<'_, '_>, length: usize) {
    let octets = information(length);
    bencher.counter(BytesCount::new(length)).bench_local(|| {
        black_box(&octets)
            .iter()
            .fold(Fcs::new(), |fcs, octet| {
                fcs.update(core::slice::from_ref(octet))
            })
            .value()
    });
}

#[divan::bench(args = LENGTHS)]
fn hdlc_encode(bencher: Bencher<'_, '_>, length: usize) {
    let information = information(length);
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(length)).bench_local(|| {
        out.clear();
        frame(black_box(&information)).encode(&mut out);
    });
}

#[divan::bench(args = LENGTHS)]
fn hdlc_deframe(bencher: Bencher<'_, '_>, length: usize) {
    let information = information(length);
    let stream = frame(&information).to_octets().repeat(16);
    let mut deframer = Deframer::new();
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| {
            let mut input = black_box(stream.as_slice());
            let mut count = 0;
            while let Some(frame) = deframer.next(&mut input) {
                count += frame.information.len();
            }
            assert_eq!(count, 16 * length);
        });
}

#[divan::bench(args = LENGTHS)]
fn wrapper_deframe(bencher: Bencher<'_, '_>, length: usize) {
    let apdu = information(length);
    let stream = Wrapper {
        source: 1,
        destination: 16,
        apdu: &apdu,
    }
    .to_octets()
    .repeat(16);
    let mut deframer = wrapper::Deframer::new(u16::MAX);
    bencher
        .counter(BytesCount::new(stream.len()))
        .bench_local(|| {
            let mut input = black_box(stream.as_slice());
            let mut count = 0;
            while let Some(wrapper) = deframer.next(&mut input).unwrap() {
                count += wrapper.apdu.len();
            }
            assert_eq!(count, 16 * length);
        });
}
