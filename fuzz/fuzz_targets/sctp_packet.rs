//! Packets, chunks and parameters of SCTP: what was read can be written, and
//! reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sctp::chunk::{Chunk, kind};
use sctp::packet::{Packet, PacketBuilder};
use sctp::parameter::Parameters;

fuzz_target!(|octets: &[u8]| {
    let Ok(packet) = Packet::decode(octets) else {
        return;
    };
    for raw in packet.chunks() {
        let Ok(raw) = raw else { return };
        let Ok(chunk) = Chunk::decode(&raw) else {
            continue;
        };
        let mut again = PacketBuilder::new(packet.header, 64);
        match &chunk {
            Chunk::Data(data) => data.encode(again.octets()),
            Chunk::Init(init) => init.encode(kind::INIT, again.octets()),
            Chunk::InitAck(init) => init.encode(kind::INIT_ACK, again.octets()),
            Chunk::Sack(sack) => sack.encode(again.octets()),
            Chunk::ForwardTsn(forward) => forward.encode(again.octets()),
            _ => {
                for parameter in Parameters::new(raw.value, 0) {
                    let Ok(parameter) = parameter else { break };
                    assert!(parameter.octets.len() >= 4);
                }
                continue;
            }
        }
        let again = again.finish();
        let read = Packet::decode(&again).unwrap();
        let raw = read.chunks().next().unwrap().unwrap();
        let read = Chunk::decode(&raw).unwrap();
        match (&read, &chunk) {
            // Where the parameters stand is another, perhaps, and what is no
            // parameter is not written.
            (Chunk::Init(a), Chunk::Init(b)) | (Chunk::InitAck(a), Chunk::InitAck(b)) => {
                assert!(parameters(a.parameters).eq(parameters(b.parameters)));
            }
            (a, b) => assert_eq!(a, b),
        }
    }
});

/// The octets of each parameter, up to the first that is none.
fn parameters(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    Parameters::new(octets, 0).map_while(|parameter| Some(parameter.ok()?.octets))
}
