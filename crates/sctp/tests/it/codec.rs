//! Packets and chunks.
//!
//! Evidence: the published check value of CRC32c; forms are written and read
//! again from a seed (self-agreement; Wireshark and dcsctp read them in
//! `dissection` and `strangers`); random octets (robustness).

use sctp::chunk::{Chunk, Data, DataFlags, ForwardTsn, Order, Sack, Skipped, kind};
use sctp::codec::Malformed;
use sctp::packet::{Header, Packet, PacketBuilder, checksum, write_chunk};

use crate::net::Random;

fn header(random: &mut Random) -> Header {
    Header {
        source_port: short(random),
        destination_port: short(random),
        verification_tag: word(random),
    }
}

fn short(random: &mut Random) -> u16 {
    u16::try_from(random.below(65_536)).unwrap()
}

fn word(random: &mut Random) -> u32 {
    u32::try_from(random.below(1 << 32)).unwrap()
}

#[test]
fn the_checksum_is_crc32c_low_octet_first() {
    // The check value of CRC-32C is E3069283 for "123456789": here with the
    // four octets of the checksum itself taken as zero.
    assert_eq!(crc_of(b"123456789"), 0xE306_9283);
    let packet = [b"12345678".as_slice(), &[9, 9, 9, 9], b"rest"].concat();
    let zeroed = [b"12345678".as_slice(), &[0, 0, 0, 0], b"rest"].concat();
    assert_eq!(checksum(&packet), crc_of(&zeroed).to_le_bytes());
}

/// CRC32c bit by bit, of the reversed polynomial 0x82F63B78.
fn crc_of(octets: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for octet in octets {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn what_is_written_is_read() {
    let mut random = Random(1);
    for _ in 0..2_000 {
        let payload: Vec<u8> = (0..=random.below(60))
            .map(|at| at.to_be_bytes()[7])
            .collect();
        let beginning = random.chance(500);
        let chunk = match random.below(4) {
            0 => Chunk::Data(Data {
                flags: DataFlags {
                    immediate: random.chance(500),
                    unordered: random.chance(500),
                    beginning,
                    ending: random.chance(500),
                },
                tsn: word(&mut random),
                stream: short(&mut random),
                order: Order::Ssn(short(&mut random)),
                ppid: word(&mut random),
                payload: &payload,
            }),
            1 => Chunk::Data(Data {
                flags: DataFlags {
                    beginning,
                    ..DataFlags::default()
                },
                tsn: word(&mut random),
                stream: short(&mut random),
                order: Order::Mid {
                    mid: word(&mut random),
                    fsn: if beginning { 0 } else { word(&mut random) },
                },
                ppid: if beginning { word(&mut random) } else { 0 },
                payload: &payload,
            }),
            2 => Chunk::Sack(Sack {
                cumulative_tsn_ack: word(&mut random),
                a_rwnd: word(&mut random),
                gaps: (0..random.below(9))
                    .map(|_| (short(&mut random), short(&mut random)))
                    .collect(),
                duplicates: (0..random.below(9)).map(|_| word(&mut random)).collect(),
            }),
            _ => Chunk::ForwardTsn(ForwardTsn {
                new_cumulative_tsn: word(&mut random),
                skipped: if beginning {
                    Skipped::Ssn(vec![(short(&mut random), short(&mut random))])
                } else {
                    Skipped::Mid(vec![(short(&mut random), true, word(&mut random)); 3])
                },
            }),
        };
        let header = header(&mut random);
        let mut builder = PacketBuilder::new(header, 64);
        match &chunk {
            Chunk::Data(data) => data.encode(builder.octets()),
            Chunk::Sack(sack) => sack.encode(builder.octets()),
            Chunk::ForwardTsn(forward) => forward.encode(builder.octets()),
            _ => unreachable!(),
        }
        let octets = builder.finish();
        assert_eq!(octets.len() % 4, 0);
        let packet = Packet::decode(&octets).unwrap();
        assert_eq!(packet.header, header);
        let raws: Vec<_> = packet.chunks().collect::<Result<_, _>>().unwrap();
        assert_eq!(raws.len(), 1);
        assert_eq!(Chunk::decode(&raws[0]), Ok(chunk));
    }
}

#[test]
fn refusals_tell_where() {
    let mut builder = PacketBuilder::new(
        Header {
            source_port: 1,
            destination_port: 2,
            verification_tag: 3,
        },
        64,
    );
    write_chunk(builder.octets(), kind::COOKIE_ACK, 0, |_| {});
    write_chunk(builder.octets(), kind::SACK, 0, |out| out.extend([0; 9]));
    let octets = builder.finish();
    let packet = Packet::decode(&octets).unwrap();
    let raw = packet.chunks().nth(1).unwrap().unwrap();
    let error = Chunk::decode(&raw).unwrap_err();
    assert_eq!((error.offset, error.reason), (28, Malformed::Truncated));
    assert_eq!(
        error.to_string(),
        "octet 28: truncated in number of gap ack blocks"
    );

    let mut wrong = octets.clone();
    wrong[20] ^= 1;
    let error = Packet::decode(&wrong).unwrap_err();
    assert_eq!((error.offset, error.reason), (8, Malformed::Checksum));

    let mut short = octets;
    short[15] = 3;
    let sum = checksum(&short);
    short[8..12].copy_from_slice(&sum);
    let error = Packet::decode(&short)
        .unwrap()
        .chunks()
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!((error.offset, error.reason), (14, Malformed::Length));
}

#[test]
fn random_octets_are_read_to_their_end() {
    let mut random = Random(2);
    for _ in 0..20_000 {
        let length = 12 + usize::try_from(random.below(120)).unwrap();
        let mut octets: Vec<u8> = (0..length)
            .map(|_| random.next().to_be_bytes()[0])
            .collect();
        // Lengths that fit are rare among random ones.
        if length > 16 && random.chance(700) {
            octets[14] = 0;
            octets[15] %= 64;
        }
        let sum = checksum(&octets);
        octets[8..12].copy_from_slice(&sum);
        for raw in Packet::decode(&octets).unwrap().chunks().flatten() {
            if let Ok(Chunk::Sack(sack)) = Chunk::decode(&raw) {
                assert!(sack.gaps.len() + sack.duplicates.len() <= length / 4);
            }
        }
    }
}
