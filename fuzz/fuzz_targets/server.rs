//! The server machine: a script of APDUs of four clients, in clear, ciphered
//! with counters that rise, or as they come.
#![no_main]

use dlms::security::{Envelope, FreshCounter, Protection, Wrapping};
use dlms::server::{Input, Output, Server, Settings};
use dlms::{Duration, Instant};
use fuzz::{CLIENT, Device, MANAGER, PUBLIC, READER, STANDING, Script};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut device = Device::default();
    let mut server = Server::new(Settings {
        lossy: octets.first().is_some_and(|octet| octet & 1 == 1),
        ..Settings::default()
    });
    let mut now = Instant::ORIGIN;
    let mut counter = 0;
    for (what, octets) in Script(octets) {
        let client = [PUBLIC, READER, MANAGER, STANDING][usize::from(what & 3)];
        let mut sealed = Vec::new();
        now = now + Duration::from_millis(10);
        let input = match what >> 2 & 7 {
            0 => {
                now = now + Duration::from_secs(200);
                Input::Timeout
            }
            1 => Input::LinkLost,
            2 => Input::Notify {
                client,
                apdu: octets,
            },
            seal @ 3..=5 => {
                let wrapping = match (seal, what & 0x20) {
                    (3, _) => Wrapping::Glo,
                    (4, _) => Wrapping::Ded,
                    (_, 0) => Wrapping::GeneralGlo,
                    _ => Wrapping::GeneralDed,
                };
                let envelope = Envelope {
                    broadcast: what & 0x80 != 0,
                    ..Envelope::new(wrapping, Protection::AuthenticatedEncrypted)
                };
                let fresh = FreshCounter::dangerous_assume_fresh(counter);
                counter += 1;
                let made = fuzz::ring().protect(envelope, &CLIENT, fresh, octets, &mut sealed);
                if made.is_err() {
                    continue;
                }
                Input::Apdu {
                    client,
                    broadcast: what & 0x40 != 0,
                    octets: &sealed,
                }
            }
            _ => Input::Apdu {
                client,
                broadcast: what & 0x40 != 0,
                octets,
            },
        };
        let notifies = matches!(input, Input::Notify { .. });
        server.handle(input, now, &mut device);
        let mut answers = 0;
        while let Output::Transmit { octets, .. } = server.poll() {
            answers += 1;
            assert!(answers == 1 && !octets.is_empty());
            assert!(notifies || octets.len() <= 320, "{}", octets.len());
        }
    }
});
