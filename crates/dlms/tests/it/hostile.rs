//! A wrong client, a wrong server, and somebody on the way.
//!
//! Evidence: robustness. Each module takes published attacks on meters and
//! head ends (replay, forged counters, reflection, downgrade, guessing,
//! malformed and oversized input) and shows that the machines do not give in.
//! What bounds memory is tested in a binary of its own, `bombs`.

mod broadcast;
mod counters;
mod downgrade;
mod guessing;
mod identity;
mod malformed;
mod notify;
mod replay;
mod retry;
mod states;
mod transfers;

use dlms::client::{Config, Request};
use dlms::security::{Protection, Wrapping};

use crate::pair::device::{self, ECHO, LONG, SHORT, WRITABLE};
use crate::pair::services::{action, get, octets, set};
use crate::pair::{Faults, Pair, config};

/// The manager with everything verified and hidden, and a device that takes
/// nothing less from it.
fn strict() -> Pair {
    strict_with(manager(Wrapping::Glo))
}

fn manager(wrapping: Wrapping) -> Config {
    config(
        device::MANAGER,
        Protection::AuthenticatedEncrypted,
        wrapping,
    )
}

fn strict_with(config: Config) -> Pair {
    let dedicated = config.wrapping.is_dedicated();
    let mut pair = Pair::new(config, device::MANAGER, Faults::default());
    let terms = pair.device.terms.get_mut(&device::MANAGER).unwrap();
    terms.protection = Protection::AuthenticatedEncrypted;
    if dedicated {
        pair.device.dedicated = Some([0x42; 16].into());
    }
    pair
}

/// One of each service, long ones too.
fn session() -> Vec<Request> {
    vec![
        get(&[SHORT]),
        get(&[LONG, SHORT]),
        set(&[(WRITABLE, octets(5))]),
        set(&[(WRITABLE, octets(700))]),
        action(&[(ECHO, Some(octets(9)))]),
        action(&[(ECHO, Some(octets(500))), (ECHO, None)]),
    ]
}

fn is_exception(answer: &[u8]) -> bool {
    answer.first() == Some(&0xD8)
}

/// AARE with a result other than accepted.
fn is_rejection(answer: &[u8]) -> bool {
    answer.first() == Some(&0x61)
        && answer
            .windows(5)
            .any(|part| matches!(part, [0xA2, 3, 2, 1, 1 | 2]))
}
