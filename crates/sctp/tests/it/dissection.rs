//! What Wireshark says of our packets.
//!
//! Evidence: a dissector by other authors finds every checksum right and no
//! packet malformed or suspicious. Skipped where there is no `tshark`.

use std::net::IpAddr;
use std::process::Command;

use sctp::{
    AuthConfig, Config, Duration, PmtuConfig, Reliability, SendOptions, StreamOptions, Transmit,
};

use crate::net::{CLIENT, Family, Net, SERVER};

/// IP packets of protocol 132 behind the headers of a capture file.
fn capture(packets: &[(sctp::Instant, Transmit)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0002_0004, 0, 0, 262_144, 101] {
        // The version is two numbers of two octets.
        if word == 0x0002_0004 {
            file.extend([2, 0, 4, 0]);
        } else {
            file.extend(word.to_le_bytes());
        }
    }
    for (at, packet) in packets {
        let header = ip_header(packet);
        let length = u64::try_from(header.len() + packet.octets.len()).unwrap();
        let micros = at.as_micros();
        for word in [micros / 1_000_000, micros % 1_000_000, length, length] {
            file.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        file.extend(header);
        file.extend(&packet.octets);
    }
    file
}

fn ip_header(packet: &Transmit) -> Vec<u8> {
    let length = u16::try_from(packet.octets.len()).unwrap();
    let mut header = Vec::new();
    match (packet.local, packet.remote) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([0x45, packet.dscp << 2]);
            header.extend((length + 20).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, 132, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let class = packet.dscp << 2;
            header.extend([0x60 | class >> 4, class << 4, 0, 0]);
            header.extend(length.to_be_bytes());
            header.extend([132, 64]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        ends => panic!("a packet between {ends:?}"),
    }
    header
}

/// The life of an association in which every chunk that we send occurs.
fn life(interleaving: bool, authenticated: bool, family: Family) -> Vec<(sctp::Instant, Transmit)> {
    let config = Config {
        interleaving,
        auth: authenticated.then(|| AuthConfig {
            chunks: vec![0x00, 0x03, 0x04, 0x07, 0x0A, 0x40, 0x82, 0xC0, 0xC2],
            required: true,
        }),
        pmtu: PmtuConfig {
            max: 1_500,
            ..PmtuConfig::default()
        },
        ..Config::fast()
    };
    let mut net = Net::pair_of(1, &config, family);
    net.keep_sent = true;
    let (client, server) = net.establish(&config);
    let urgent = StreamOptions {
        urgent: true,
        dscp: 46,
        ..StreamOptions::default()
    };
    net.hosts[CLIENT]
        .endpoint
        .set_stream(client, 3, urgent)
        .unwrap();
    net.default.loss = 100;
    for number in 0..30_u16 {
        let options = SendOptions {
            unordered: number % 4 == 0,
            reliability: Reliability::Retransmits(u16::from(number % 3 == 0)),
            ..SendOptions::default()
        };
        net.send_with(CLIENT, client, number % 4, vec![1; 3_000], &options);
        net.send(SERVER, server, 0, vec![2; 100]);
        net.run(Duration::from_millis(10));
    }
    net.default.loss = 0;
    net.run(Duration::from_secs(5));
    let now = net.now;
    let endpoint = &mut net.hosts[CLIENT].endpoint;
    endpoint.reset_outgoing(client, &[1, 2], now).unwrap();
    endpoint.reset_incoming(client, &[0], now).unwrap();
    endpoint.add_outgoing(client, 2, now).unwrap();
    endpoint.add_incoming(client, 2, now).unwrap();
    net.drain(CLIENT);
    net.run(Duration::from_secs(5));
    let now = net.now;
    net.hosts[SERVER].endpoint.shutdown(server, now);
    net.drain(SERVER);
    net.run(Duration::from_secs(2));
    assert!(net.hosts[CLIENT].endpoint.is_empty());
    // And one that is aborted.
    let client = net.connect(&config);
    net.run(Duration::from_secs(1));
    let now = net.now;
    net.hosts[CLIENT].endpoint.abort(client, b"the end", now);
    net.drain(CLIENT);
    net.run(Duration::from_secs(1));
    net.sent
}

#[test]
fn wireshark_has_no_complaint() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: there is no tshark");
        return;
    }
    let folder = std::env::temp_dir();
    for (interleaving, authenticated, family) in [
        (false, false, Family::V4),
        (true, false, Family::Mixed),
        (true, true, Family::V6),
    ] {
        let packets = life(interleaving, authenticated, family);
        let name = format!(
            "gridward-sctp-{}-{interleaving}-{authenticated}.pcap",
            std::process::id()
        );
        let path = folder.join(name);
        std::fs::write(&path, capture(&packets)).unwrap();
        let output = Command::new("tshark")
            .args(["-r", path.to_str().unwrap()])
            .args(["-o", "sctp.checksum:CRC-32C"])
            .args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=a"])
            .args(["-e", "frame.number", "-e", "sctp.checksum.status"])
            .args(["-e", "sctp.chunk_type", "-e", "_ws.expert.message"])
            .args(["-e", "_ws.expert.severity", "-e", "_ws.malformed"])
            .output()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut kinds = std::collections::BTreeSet::new();
        let mut lines = 0;
        for line in text.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            assert_eq!(fields[1], "1", "checksum: {line}");
            kinds.extend(fields[2].split(',').map(str::to_owned));
            // What was lost and sent again is remarked on; nothing else.
            let remarks: Vec<&str> = fields[3]
                .split(',')
                .filter(|remark| !remark.is_empty() && !is_of_the_network(remark))
                .collect();
            assert!(remarks.is_empty(), "{line}");
            assert_eq!(fields[5], "", "malformed: {line}");
            lines += 1;
        }
        assert_eq!(lines, packets.len());
        let data = if interleaving { "64" } else { "0" };
        let forward = if interleaving { "194" } else { "192" };
        let mut expected = vec![
            "1", "2", "3", "4", "5", "6", "7", "8", "10", "11", "14", "130", data, forward,
        ];
        if authenticated {
            expected.push("15");
        }
        for kind in expected {
            assert!(
                kinds.contains(kind),
                "chunk {kind} does not occur: {kinds:?}"
            );
        }
    }
}

/// Remarks on what the network did, not on the form of packets, word for word.
fn is_of_the_network(remark: &str) -> bool {
    [
        "Retransmitted TSN",
        "Duplicate TSN",
        "This TSN was acked prior to this retransmission (reneged ack?).",
        "This TSN was retransmitted more than 2 times.",
    ]
    .contains(&remark)
}
