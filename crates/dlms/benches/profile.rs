//! A ciphered GET response with the load profile of one day, 96 rows of a
//! time, a status and two registers, 2,715 octets: verified, deciphered and
//! decoded with all 384 values visited, and encoded and protected; beside
//! dlms-cosem-rs on the same octets and keys. Ours is there with the AES-GCM of
//! AWS-LC, as hosts use it, and with RustCrypto's, which dlms-cosem-rs has too.
//! Allocations are counted.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a benchmark that fails shall stop where it does"
)]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use dlms::axdr::{Data, Leaf, put_array, put_octet_string, put_structure, put_u8, put_u32};
use dlms::codec::Wire;
use dlms::security::{
    AwsLc, Crypto, Envelope, FreshCounter, KeyRing, Keys, Protection, ReplayWindow, RustCrypto,
    SecuritySuite, SystemTitle, Wrapping,
};
use dlms::xdlms::GetResponse;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const ROWS: usize = 96;
const VALUES: usize = ROWS * 4;
const EK: [u8; 16] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";
const AK: [u8; 16] = *b"\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xdb\xdc\xdd\xde\xdf";
const TITLE: [u8; 8] = *b"MMM\0\0\xbc\x61\x4e";
const COUNTER: u32 = 0x0123_4567;
const ENVELOPE: Envelope = Envelope::new(Wrapping::Glo, Protection::AuthenticatedEncrypted);
const HEAD: [u8; 4] = [0xC4, 1, 0xC1, 0];
/// Who ciphers for us.
const PROVIDERS: [&dyn Crypto; 2] = [&AwsLc, &RustCrypto];

fn main() {
    check();
    divan::main();
}

/// One row as a device has it.
#[derive(Clone, Copy)]
struct Row {
    time: [u8; 12],
    status: u8,
    import: u32,
    export: u32,
}

fn rows() -> Vec<Row> {
    (0..ROWS as u32)
        .map(|row| Row {
            time: [
                0x07,
                0xEA,
                11,
                20,
                5,
                (row / 4) as u8,
                (row % 4 * 15) as u8,
                0,
                0,
                0,
                0,
                0,
            ],
            status: 0,
            import: 12_345_678 + 137 * row,
            export: 2_345 + 3 * row,
        })
        .collect()
}

/// What all values add up to, by whoever visited them, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    values: usize,
    sum: u64,
}

impl Sum {
    fn octets(&mut self, octets: &[u8]) {
        self.values += 1;
        // Eight at a time: the sum is there to compare, not to be measured.
        let (words, rest) = octets.as_chunks::<8>();
        for word in words {
            self.sum = self.sum.wrapping_add(u64::from_le_bytes(*word));
        }
        for octet in rest {
            self.sum = self.sum.wrapping_mul(257).wrapping_add(u64::from(*octet));
        }
    }

    fn number(&mut self, number: u64) {
        self.values += 1;
        self.sum = self.sum.wrapping_add(number);
    }
}

mod ours {
    use super::*;

    pub(super) fn ring(crypto: &'static dyn Crypto) -> KeyRing {
        let keys = Keys::new(EK.into(), AK.into());
        KeyRing::new(crypto, SecuritySuite::Suite0, &keys).unwrap()
    }

    pub(super) fn open(ring: &KeyRing, frame: &mut [u8]) -> Sum {
        let mut window = ReplayWindow::rising(0);
        let opened = ring
            .unprotect_once(
                frame,
                &SystemTitle(TITLE),
                Protection::AuthenticatedEncrypted,
                &mut window,
            )
            .unwrap();
        let GetResponse::Normal { result, .. } =
            GetResponse::from_octets(opened.plain(frame)).unwrap()
        else {
            return Sum::default();
        };
        result
            .unwrap()
            .walk()
            .leaves()
            .fold(Sum::default(), |mut sum, leaf| {
                match leaf.unwrap() {
                    Leaf::OctetString(octets) => sum.octets(octets),
                    Leaf::Unsigned(value) => sum.number(value.into()),
                    Leaf::DoubleLongUnsigned(value) => sum.number(value.into()),
                    _ => return Sum::default(),
                }
                sum
            })
    }

    pub(super) fn put_rows(rows: &[Row], out: &mut Vec<u8>) {
        out.extend_from_slice(&HEAD);
        put_array(out, rows.len());
        for row in rows {
            put_structure(out, 4);
            put_octet_string(out, &row.time);
            put_u8(out, row.status);
            put_u32(out, row.import);
            put_u32(out, row.export);
        }
    }

    pub(super) fn put_tree(tree: &Data, out: &mut Vec<u8>) {
        out.extend_from_slice(&HEAD);
        tree.encode(out);
    }

    pub(super) fn seal(ring: &KeyRing, plain: &[u8], out: &mut Vec<u8>) {
        let counter = FreshCounter::dangerous_assume_fresh(COUNTER);
        ring.protect(ENVELOPE, &SystemTitle(TITLE), counter, plain, out)
            .unwrap();
    }
}

mod theirs {
    use dlms_cosem_rs::axdr::{Data, DataBuf};
    use dlms_cosem_rs::codec::{Decode, Encode, SliceWriter, Writer};
    use dlms_cosem_rs::security::{
        KeyRing, Protector, RustCryptoProvider, SecurityPolicy, SecuritySuite, SystemTitle,
    };
    use dlms_cosem_rs::xdlms::{Apdu, GetDataResult, GetResponse};

    use super::{AK, COUNTER, EK, HEAD, Row, Sum, TITLE};

    pub(super) type Stranger = Protector<RustCryptoProvider>;

    pub(super) fn stranger() -> Stranger {
        Protector::new(
            RustCryptoProvider::new(KeyRing::new(EK, AK)),
            SecurityPolicy::authenticated_encrypted(SecuritySuite::Suite0),
        )
    }

    /// Reads the header, then deciphers in place, as its client does.
    pub(super) fn open(stranger: &Stranger, frame: &mut [u8]) -> Sum {
        let (control, counter, len) = {
            let Apdu::Ciphered { body, .. } = Apdu::from_bytes(frame).unwrap() else {
                return Sum::default();
            };
            (
                body.security_control,
                body.invocation_counter,
                body.payload.len(),
            )
        };
        let at = frame.len() - len;
        let (_, payload) = frame.split_at_mut(at);
        let plain = stranger
            .unprotect(control, &SystemTitle(TITLE), counter, &AK, payload)
            .unwrap();
        let Apdu::GetResponse(GetResponse::Normal {
            result: GetDataResult::Data(data),
            ..
        }) = Apdu::from_bytes(plain).unwrap()
        else {
            return Sum::default();
        };
        let mut sum = Sum::default();
        for row in &data.as_seq().unwrap() {
            for value in &row.unwrap().as_seq().unwrap() {
                let value = value.unwrap();
                match value.as_bytes() {
                    Some(octets) => sum.octets(octets),
                    None => sum.number(value.as_u64().unwrap()),
                }
            }
        }
        sum
    }

    pub(super) fn put_rows(rows: &[Row], out: &mut [u8]) -> usize {
        let mut writer = SliceWriter::new(out);
        writer.write_bytes(&HEAD).unwrap();
        writer.write_u8(1).unwrap();
        writer.write_length(rows.len()).unwrap();
        for row in rows {
            writer.write_u8(2).unwrap();
            writer.write_length(4).unwrap();
            Data::OctetString(&row.time).encode(&mut writer).unwrap();
            Data::Unsigned(row.status).encode(&mut writer).unwrap();
            Data::DoubleLongUnsigned(row.import)
                .encode(&mut writer)
                .unwrap();
            Data::DoubleLongUnsigned(row.export)
                .encode(&mut writer)
                .unwrap();
        }
        writer.written()
    }

    pub(super) fn tree(value: &[u8]) -> DataBuf {
        DataBuf::parse(value).unwrap()
    }

    pub(super) fn put_tree(tree: &DataBuf, out: &mut [u8]) -> usize {
        let mut writer = SliceWriter::new(out);
        writer.write_bytes(&HEAD).unwrap();
        tree.encode(&mut writer).unwrap();
        writer.written()
    }

    /// Ciphers into `room`, then puts the header before it in `out`.
    pub(super) fn seal(
        stranger: &Stranger,
        plain: &[u8],
        room: &mut [u8],
        out: &mut [u8],
    ) -> usize {
        let payload = stranger
            .protect(&SystemTitle(TITLE), COUNTER, &AK, plain, room)
            .unwrap();
        let mut writer = SliceWriter::new(out);
        writer.write_u8(0xCC).unwrap();
        dlms_cosem_rs::xdlms::CipheredService {
            security_control: dlms_cosem_rs::xdlms::SecurityControl(0x30),
            invocation_counter: COUNTER,
            payload,
        }
        .encode(&mut writer)
        .unwrap();
        writer.written()
    }
}

fn plain() -> Vec<u8> {
    let mut out = Vec::new();
    ours::put_rows(&rows(), &mut out);
    out
}

fn sealed() -> Vec<u8> {
    let mut out = Vec::new();
    ours::seal(&ours::ring(&RustCrypto), &plain(), &mut out);
    out
}

/// All implementations make the same octets and see the same values.
fn check() {
    let (plain, sealed) = (plain(), sealed());
    assert_eq!((plain.len(), sealed.len()), (2_694, 2_715));
    let (mut room, mut out) = (vec![0; 4_096], vec![0; 4_096]);
    let stranger = theirs::stranger();
    let len = theirs::put_rows(&rows(), &mut out);
    assert_eq!(out.get(..len), Some(plain.as_slice()));
    let len = theirs::seal(&stranger, &plain, &mut room, &mut out);
    assert_eq!(out.get(..len), Some(sealed.as_slice()));
    let theirs = theirs::open(&stranger, &mut sealed.clone());
    assert_eq!(theirs.values, VALUES);
    for crypto in PROVIDERS {
        let ring = ours::ring(crypto);
        assert_eq!(ours::open(&ring, &mut sealed.clone()), theirs);
        out.clear();
        ours::seal(&ring, &plain, &mut out);
        assert_eq!(out, sealed);
    }
    println!("all: {} values, checksum {}", theirs.values, theirs.sum);
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/dlms/profile_glo.bin"
    );
    match std::fs::read(path) {
        Ok(octets) => assert_eq!(octets, sealed, "not the octets of profile_glo.bin"),
        Err(_) => println!("skipped: profile_glo.bin is not here to compare with"),
    }
}

#[divan::bench(args = PROVIDERS, counters = [ItemsCount::new(VALUES)])]
fn open(bencher: Bencher<'_, '_>, crypto: &'static dyn Crypto) {
    let (ring, sealed) = (ours::ring(crypto), sealed());
    let mut frame = sealed.clone();
    bencher.bench_local(|| {
        frame.copy_from_slice(black_box(&sealed));
        ours::open(&ring, &mut frame)
    });
}

#[divan::bench(counters = [ItemsCount::new(VALUES)])]
fn open_dlms_cosem_rs(bencher: Bencher<'_, '_>) {
    let (stranger, sealed) = (theirs::stranger(), sealed());
    let mut frame = sealed.clone();
    bencher.bench_local(|| {
        frame.copy_from_slice(black_box(&sealed));
        theirs::open(&stranger, &mut frame)
    });
}

#[divan::bench(args = PROVIDERS, counters = [ItemsCount::new(VALUES)])]
fn seal_rows(bencher: Bencher<'_, '_>, crypto: &'static dyn Crypto) {
    let (ring, rows) = (ours::ring(crypto), rows());
    let (mut plain, mut out) = (Vec::with_capacity(4_096), Vec::with_capacity(4_096));
    bencher.bench_local(|| {
        plain.clear();
        out.clear();
        ours::put_rows(black_box(&rows), &mut plain);
        ours::seal(&ring, &plain, &mut out);
        out.len()
    });
}

#[divan::bench(counters = [ItemsCount::new(VALUES)])]
fn seal_rows_dlms_cosem_rs(bencher: Bencher<'_, '_>) {
    let (stranger, rows) = (theirs::stranger(), rows());
    let (mut plain, mut room, mut out) = (vec![0; 4_096], vec![0; 4_096], vec![0; 4_096]);
    bencher.bench_local(|| {
        let len = theirs::put_rows(black_box(&rows), &mut plain);
        let plain = plain.get(..len).unwrap();
        theirs::seal(&stranger, plain, &mut room, &mut out)
    });
}

#[divan::bench(args = PROVIDERS, counters = [ItemsCount::new(VALUES)])]
fn seal_tree(bencher: Bencher<'_, '_>, crypto: &'static dyn Crypto) {
    let ring = ours::ring(crypto);
    let tree = Data::from_octets(plain().get(HEAD.len()..).unwrap()).unwrap();
    let (mut plain, mut out) = (Vec::with_capacity(4_096), Vec::with_capacity(4_096));
    bencher.bench_local(|| {
        plain.clear();
        out.clear();
        ours::put_tree(black_box(&tree), &mut plain);
        ours::seal(&ring, &plain, &mut out);
        out.len()
    });
}

#[divan::bench(counters = [ItemsCount::new(VALUES)])]
fn seal_tree_dlms_cosem_rs(bencher: Bencher<'_, '_>) {
    let stranger = theirs::stranger();
    let tree = theirs::tree(plain().get(HEAD.len()..).unwrap());
    let (mut plain, mut room, mut out) = (vec![0; 4_096], vec![0; 4_096], vec![0; 4_096]);
    bencher.bench_local(|| {
        let len = theirs::put_tree(black_box(&tree), &mut plain);
        let plain = plain.get(..len).unwrap();
        theirs::seal(&stranger, plain, &mut room, &mut out)
    });
}

/// The cryptography alone: what no codec can go below.
#[divan::bench(args = PROVIDERS)]
fn verify_and_decipher_alone(bencher: Bencher<'_, '_>, crypto: &'static dyn Crypto) {
    let (ring, sealed) = (ours::ring(crypto), sealed());
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
