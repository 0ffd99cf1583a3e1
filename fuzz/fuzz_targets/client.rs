//! The client machine: a script of what is wanted and of what comes.
#![no_main]

use dlms::acse::MechanismName;
use dlms::client::{
    ActionItem, Associate, Client, Config, GetItem, Input, Output, Repeat, Request, Security,
    SetItem,
};
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, Obis};
use dlms::security::{
    CounterRecord, Envelope, FreshCounter, Key, Protection, SendCounter, Wrapping,
};
use dlms::server::Context;
use dlms::{Duration, Instant};
use fuzz::{CLIENT, SERVER, Script};
use libfuzzer_sys::fuzz_target;

const ATTRIBUTE: AttributeDescriptor = AttributeDescriptor::new(7, Obis([1, 0, 99, 1, 0, 255]), 2);

fn security() -> Security {
    Security {
        title: CLIENT,
        server_title: Some(SERVER),
        keys: fuzz::ring(),
        send: SendCounter::resume(CounterRecord::default()),
        received: fuzz::fresh(),
    }
}

fn request(octets: &[u8]) -> Request {
    let count = 1 + usize::from(octets.first().copied().unwrap_or(0) & 3);
    match octets.get(1).copied().unwrap_or(0) % 3 {
        0 => Request::Get(vec![
            GetItem {
                attribute: ATTRIBUTE,
                selection: None,
            };
            count
        ]),
        1 => Request::Set(vec![
            SetItem {
                attribute: ATTRIBUTE,
                selection: None,
                value: [&[0x09, 0x81, 200][..], &[0x5A; 200]].concat(),
            };
            count
        ]),
        _ => Request::Action(vec![
            ActionItem {
                method: MethodDescriptor::new(9, Obis([0, 0, 10, 0, 0, 255]), 1),
                parameter: Some([&[0x09, 0x81, 200][..], &[0x5A; 200]].concat()),
            };
            count
        ]),
    }
}

fuzz_target!(|octets: &[u8]| {
    let Some((mode, octets)) = octets.split_first() else {
        return;
    };
    let ciphered = mode & 1 == 1;
    let config = Config {
        context: if ciphered {
            Context::LogicalNameCiphered
        } else {
            Context::LogicalName
        },
        mechanism: if ciphered {
            MechanismName::HighGmac
        } else {
            MechanismName::Low
        },
        protection: if ciphered {
            Protection::AuthenticatedEncrypted
        } else {
            Protection::None
        },
        wrapping: [
            Wrapping::Glo,
            Wrapping::Ded,
            Wrapping::GeneralGlo,
            Wrapping::GeneralDed,
        ][usize::from(mode >> 1 & 3)],
        repeat: [
            Repeat::Nothing,
            Repeat::Reads,
            Repeat::Everything,
            Repeat::Everything,
        ][usize::from(mode >> 3 & 3)],
        pre_established: mode & 0x20 != 0,
        broadcast: mode & 0x40 != 0,
        pdu_len_max: 200,
        ..Config::default()
    };
    let mut client = Client::new(config, Some(security()));
    let mut now = Instant::ORIGIN;
    let mut counter = 0;
    for (what, octets) in Script(octets) {
        now = now + Duration::from_millis(10);
        let mut sealed = Vec::new();
        let input = match what & 15 {
            0 => Input::Associate(Associate {
                password: b"12345678",
                entropy: b"0123456789abcdef",
                dedicated: Some(Key::from([0x42; 16])),
                counter: None,
            }),
            1 => Input::Request(request(octets)),
            2 => Input::Unconfirmed(request(octets)),
            3 => Input::Release,
            4 => Input::Cancel,
            5 => {
                now = now + Duration::from_secs(20);
                Input::Timeout
            }
            6 => Input::LinkLost,
            seal @ 7..=10 => {
                let wrapping = [
                    Wrapping::Glo,
                    Wrapping::Ded,
                    Wrapping::GeneralGlo,
                    Wrapping::GeneralDed,
                ][usize::from(seal - 7)];
                let fresh = FreshCounter::dangerous_assume_fresh(counter);
                counter += 1;
                let envelope = Envelope::new(wrapping, Protection::AuthenticatedEncrypted);
                let made = fuzz::ring().protect(envelope, &SERVER, fresh, octets, &mut sealed);
                if made.is_err() {
                    continue;
                }
                Input::Apdu(&sealed)
            }
            _ => Input::Apdu(octets),
        };
        let unconfirmed = matches!(input, Input::Unconfirmed(_));
        client.handle(input, now);
        let mut outputs = 0;
        loop {
            outputs += 1;
            assert!(unconfirmed || outputs < 80, "no end of outputs");
            match client.poll() {
                Output::Reserve(plan) => client.handle(Input::Reserved(plan), now),
                Output::Timeout(_) => break,
                Output::Transmit(octets) => assert!(!octets.is_empty()),
                Output::Event(_) => {}
            }
        }
    }
});
