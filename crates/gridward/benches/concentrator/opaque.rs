//! Meters that answer with octets, and a head end that asks for them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use dlms::server::{Input, Output, Server};

use crate::device::{Device, NAME};

/// Octets of a request and of its answer, as a day profile has them.
const REQUEST: usize = 90;
const ANSWER: usize = 1_500;

/// Requests of one run, and those that are under way at once.
pub(crate) const REQUESTS: usize = 20_000;
const AT_ONCE: usize = 64;
/// A concentrator drops what waits for one meter beyond 16.
const AT_ONCE_OF_ONE: usize = 8;

const PUBLIC: u16 = 16;

/// The SAPs of so many meters at one address, and the last of them.
pub(crate) fn saps(count: u16) -> (Vec<u16>, u16) {
    let all = (1..).filter(|it| *it != link::ALL_STATIONS);
    let saps: Vec<u16> = all.take(usize::from(count)).collect();
    let last = saps.last().copied().unwrap();
    (saps, last)
}

pub(crate) fn name(sap: u16) -> String {
    format!("GWD{sap:013}")
}

/// Meters behind one port: the public client is answered as by a meter, all others with octets of
/// the length of a day profile.
pub(crate) fn meters(saps: &[u16]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let saps = saps.to_vec();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &saps);
        }
    });
    endpoint
}

/// Answers until the other side goes.
fn answer(mut stream: TcpStream, saps: &[u16]) {
    let mut servers: BTreeMap<u16, (Server, Device)> = saps
        .iter()
        .map(|sap| {
            let mut value = vec![0x09, 16];
            value.extend(name(*sap).bytes());
            let values = [(NAME, value)].into();
            (*sap, (Server::default(), Device { values }))
        })
        .collect();
    let mut octets = vec![0; 65_535];
    let profile = message([0, 0], &[0xDB; ANSWER]);
    stream.set_nodelay(true).unwrap();
    while let Some(([client, own], apdu)) = receive(&mut stream, &mut octets) {
        let mut answer = Vec::new();
        if client != PUBLIC {
            answer.clone_from(&profile);
            answer[2..4].copy_from_slice(&own.to_be_bytes());
            answer[4..6].copy_from_slice(&client.to_be_bytes());
        } else if let Some((server, device)) = servers.get_mut(&own) {
            let input = Input::Apdu {
                client,
                broadcast: false,
                octets: apdu,
            };
            server.handle(input, dlms::Instant::ORIGIN, device);
            while let Output::Transmit { octets, .. } = server.poll() {
                answer.extend(message([own, client], &octets));
            }
        }
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// Asks meter after meter, some at once, until all have answered.
pub(crate) fn ask(address: &str, saps: &[u16], count: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut octets = vec![0; 65_535];
    let mut next = saps.iter().cycle();
    let at_once = AT_ONCE.min(AT_ONCE_OF_ONE * saps.len());
    for done in 0..count + at_once {
        if done >= at_once {
            let (_, apdu) = receive(&mut stream, &mut octets).unwrap();
            assert_eq!(apdu.len(), ANSWER);
        }
        if done < count {
            let sap = next.next().unwrap();
            let request = message([1, *sap], &[0xDB; REQUEST]);
            stream.write_all(&request).unwrap();
        }
    }
}

/// Source and destination, and the APDU; nothing at the end.
fn receive<'a>(stream: &mut TcpStream, octets: &'a mut [u8]) -> Option<([u16; 2], &'a [u8])> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).ok()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let apdu = &mut octets[..usize::from(word(6))];
    stream.read_exact(apdu).ok()?;
    Some(([word(2), word(4)], apdu))
}

fn message([source, destination]: [u16; 2], apdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(apdu.len()).unwrap();
    let mut octets = Vec::with_capacity(8 + apdu.len());
    for word in [1, source, destination, length] {
        octets.extend(word.to_be_bytes());
    }
    octets.extend(apdu);
    octets
}
