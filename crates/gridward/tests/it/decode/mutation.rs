//! Octets changed, cut, doubled and swapped, from a fixed seed, through the
//! whole command. Evidence: robustness: no panic, an end, and an offset within
//! the input.

use super::synthetic::{self, AUTH_KEY, KEY};
use crate::program::{hex, run};

/// A generator of Marsaglia's (xorshift64*): the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..=random.below(3) {
        if octets.is_empty() {
            octets.push(0);
        }
        let at = random.below(octets.len());
        match random.below(6) {
            0 => octets[at] ^= 1 << random.below(8),
            1 => octets[at] = random.octet(),
            2 => octets.truncate(at),
            3 => octets.insert(at, random.octet()),
            4 => {
                let part = octets[at..].to_vec();
                octets.extend_from_slice(&part);
            }
            _ => {
                octets.remove(at);
            }
        }
    }
    octets
}

#[test]
fn no_octets_make_it_panic() {
    let mut seeds: Vec<Vec<u8>> = synthetic::all().into_iter().map(|(_, seed)| seed).collect();
    seeds.extend(
        [
            "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738be10040e01000000065f1f0400007e1f04b0",
            "c001c1000701006301 00ff0201010204020412000809060000010000ff0f02120000090c07e4010103000000ff800000090c07e4010204000000ff8000000100",
            "c4014100010402020906000001000 0ff0600000001",
            "13020204121101040112340a",
            "d9000000000002010001000060010 0ff0202000800000100 00ff02020000",
            "0001001000010006c4014100160 1",
            "0c0100060000001a",
        ]
        .map(|digits| link::parse_hex(&format!("{digits}{}", if digits.chars().filter(char::is_ascii_hexdigit).count() % 2 == 1 { "0" } else { "" })).unwrap()),
    );
    let mut random = Random(0x6772_6964_7761_7264);
    for round in 0..2_000 {
        let seed = &seeds[round % seeds.len()];
        let octets = mutated(seed, &mut random);
        let digits = hex(&octets);
        let framing = ["auto", "hdlc", "wrapper", "mbus", "apdu", "axdr"][random.below(6)];
        let mut arguments = vec!["decode", "--as", framing, &digits];
        if random.below(2) == 0 {
            arguments.extend(["--key", KEY]);
        }
        if random.below(2) == 0 {
            arguments.extend(["--auth-key", AUTH_KEY]);
        }
        let json = random.below(2) == 0;
        if json {
            arguments.push("--json");
        }
        let run = run(&arguments);
        assert!(run.status <= 1, "{digits}: {}", run.error);
        if json && run.status == 1 {
            let offset = run.json()["error"]["offset"].as_u64();
            assert!(
                offset.is_none_or(|offset| offset <= octets.len() as u64),
                "{digits}: {}",
                run.output
            );
        }
    }
}
