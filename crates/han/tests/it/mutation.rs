//! Damaged messages of every kind. Evidence: robustness; nothing panics, and
//! a stream gives the same whether it comes in one piece or octet by octet.
//! The coverage-guided form stands in `fuzz/`.

use std::hint::black_box;

use han::{espi, p1, push, raven, sml, zcl};

/// xorshift64*, so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(octets.len());
        match random.below(5) {
            0 => octets.truncate(at),
            1 if !octets.is_empty() => octets[at] ^= 1 << random.below(8),
            2 if !octets.is_empty() => {
                octets.remove(at);
            }
            3 => octets.insert(at, u8::try_from(random.below(256)).unwrap()),
            _ => {
                let from = random.below(octets.len());
                let part: Vec<u8> = octets[from..].iter().take(16).copied().collect();
                octets.splice(at..at, part);
            }
        }
        if octets.is_empty() {
            break;
        }
    }
    octets
}

fn run(seeds: &[Vec<u8>], take: impl Fn(&[u8])) {
    for (index, seed) in seeds.iter().enumerate() {
        take(seed);
        for round in 0..400 {
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ ((index as u64) << 32) ^ (round + 1));
            take(&mutated(seed, &mut random));
        }
    }
}

#[test]
fn damaged_telegrams_are_refused() {
    let seeds = [crate::p1::DSMR_5.as_bytes(), crate::p1::SUMMED.as_bytes()].map(<[u8]>::to_vec);
    run(&seeds, |octets| {
        if let Ok(telegram) = p1::Telegram::decode(octets) {
            black_box(telegram.report());
        }
        let stream = |parts: &mut dyn Iterator<Item = &[u8]>| {
            let mut deframer = p1::Deframer::new();
            let mut found = Vec::new();
            for mut part in parts {
                while let Some(telegram) = deframer.next(&mut part) {
                    found.push(telegram.to_vec());
                }
            }
            found
        };
        assert_eq!(
            stream(&mut std::iter::once(octets)),
            stream(&mut octets.chunks(1))
        );
    });
}

#[test]
fn damaged_files_are_refused() {
    run(&[crate::sml::easymeter()], |octets| {
        if let Ok(file) = sml::File::decode(octets) {
            black_box(file.report());
        }
        let stream = |parts: &mut dyn Iterator<Item = &[u8]>| {
            let mut deframer = sml::Deframer::new();
            let mut found = Vec::new();
            for mut part in parts {
                while let Some(file) = deframer.next(&mut part) {
                    found.push(file.to_vec());
                }
            }
            found
        };
        assert_eq!(
            stream(&mut std::iter::once(octets)),
            stream(&mut octets.chunks(1))
        );
    });
}

#[test]
fn damaged_fragments_are_refused() {
    run(&[crate::raven::DEMAND.as_bytes().to_vec()], |octets| {
        for fragment in raven::decode(octets).unwrap_or_default() {
            black_box((fragment.report(), fragment.formatting()));
        }
        black_box(raven::Command::of(octets));
        let stream = |parts: &mut dyn Iterator<Item = &[u8]>| {
            let mut deframer = raven::Deframer::new();
            let mut found = Vec::new();
            for mut part in parts {
                while let Some(fragment) = deframer.next(&mut part) {
                    found.push(fragment.to_vec());
                }
            }
            found
        };
        assert_eq!(
            stream(&mut std::iter::once(octets)),
            stream(&mut octets.chunks(1))
        );
    });
}

#[test]
fn damaged_frames_are_refused() {
    run(&[crate::zcl::ANSWER.to_vec()], |octets| {
        if let Ok(frame) = zcl::Frame::decode(octets)
            && let Ok(Some(attributes)) = frame.attributes()
        {
            let mut metering = zcl::Metering::default();
            metering.take(attributes);
            black_box(metering.report());
        }
    });
}

#[test]
fn damaged_notifications_are_refused() {
    run(&crate::push::all(), |octets| {
        if let Ok(report) = push::report(octets) {
            black_box((report.net_power(), report.total(1)));
        }
        black_box(push::short(octets));
    });
}
#[test]
fn damaged_feeds_are_refused() {
    run(&[crate::espi::feed_octets()], |octets| {
        let Ok(text) = std::str::from_utf8(octets) else {
            return;
        };
        // What is read can be written, and from then on stays the same; at
        // first, characters that XML has not are replaced.
        if let Ok(feed) = espi::read(text) {
            let again = espi::write(&feed);
            assert_eq!(espi::write(&espi::read(&again).unwrap()), again);
        }
    });
}
