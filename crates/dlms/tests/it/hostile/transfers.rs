//! Transfers in blocks that go wrong on purpose. Evidence: robustness.

use std::cell::RefCell;
use std::rc::Rc;

use dlms::Duration;
use dlms::client::{EMPTY_BLOCKS_MAX, Event, Failure, Input, Phase, Response};
use dlms::codec::Wire;
use dlms::cosem::AttributeAccess;
use dlms::security::{Protection, Wrapping};
use dlms::xdlms::{
    ActionResponse, DataAccessResult, DataBlockG, DataBlockSa, GetResponse, InvokeIdAndPriority,
    SetRequest, SetResponse,
};

use super::{
    LONG, Pair, SHORT, WRITABLE, config, device, get, is_exception, manager, octets, set,
    strict_with,
};
use crate::pair::Faults;

/// The manager over a device that takes requests in clear as well: the rights
/// of each object are what protects it.
fn lax(protection: Protection) -> Pair {
    let mut config = manager(Wrapping::Glo);
    config.protection = protection;
    let mut pair = strict_with(config);
    let terms = pair.device.terms.get_mut(&device::MANAGER).unwrap();
    terms.protection = Protection::None;
    pair
}

fn public() -> Pair {
    let mut pair = Pair::new(
        config(device::PUBLIC, Protection::None, Wrapping::Glo),
        device::PUBLIC,
        Faults::default(),
    );
    pair.associate().unwrap();
    pair
}

#[test]
fn nobody_gets_the_rest_in_clear_of_what_was_asked_for_ciphered() {
    for sent in [
        Protection::Authenticated,
        Protection::Encrypted,
        Protection::AuthenticatedEncrypted,
    ] {
        let mut pair = lax(sent);
        pair.associate().unwrap();
        let now = pair.now;
        pair.client.handle(Input::Request(get(&[LONG])), now);
        let dlms::client::Output::Transmit(request) = pair.client.poll() else {
            panic!()
        };
        assert_eq!(pair.attack(device::MANAGER, &request).len(), 1);
        // Next block, in clear, for every invoke id.
        for invoke in 0x40..=0x4F {
            let next = [0xC0, 2, invoke, 0, 0, 0, 1];
            let answers = pair.attack(device::MANAGER, &next);
            assert_eq!(answers.len(), 1);
            let GetResponse::WithDatablock { block, .. } =
                GetResponse::from_octets(&answers[0]).unwrap()
            else {
                panic!("{answers:02x?}")
            };
            assert_eq!(
                block.result,
                Err(DataAccessResult::NoLongGetInProgress),
                "{sent}"
            );
        }
    }
}

#[test]
fn nobody_slips_a_block_into_what_is_written_with_a_tag() {
    let mut pair = lax(Protection::AuthenticatedEncrypted);
    pair.device.demands = AttributeAccess::AUTHENTICATED_REQUEST;
    pair.associate().unwrap();
    let before = pair.device.values[&WRITABLE.instance].clone();
    // The second block of three is replaced by one in clear; its answer is
    // replaced by the one that the client waits for.
    let blocks = Rc::new(RefCell::new(0));
    let count = blocks.clone();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if by_client {
            *count.borrow_mut() += 1;
            if *count.borrow() == 2 {
                let forged = SetRequest::WithDatablock {
                    invoke: InvokeIdAndPriority::confirmed(2),
                    block: DataBlockSa {
                        last_block: false,
                        block_number: 2,
                        raw_data: &[0x66; 100],
                    },
                };
                return vec![(true, forged.to_octets())];
            }
        }
        vec![(by_client, octets)]
    }));
    drop(pair.request(set(&[(WRITABLE, octets(600))])));
    assert_eq!(*blocks.borrow(), 2);
    assert_eq!(pair.device.values[&WRITABLE.instance], before);
    assert_eq!(pair.device.sets, 0);
}

#[test]
fn what_an_answer_must_have_its_request_must_have() {
    for (demand, least) in [
        (
            AttributeAccess::AUTHENTICATED_RESPONSE,
            Protection::Authenticated,
        ),
        (AttributeAccess::ENCRYPTED_RESPONSE, Protection::Encrypted),
        (AttributeAccess::ENCRYPTED_REQUEST, Protection::Encrypted),
    ] {
        for sent in [
            Protection::None,
            Protection::Authenticated,
            Protection::Encrypted,
            Protection::AuthenticatedEncrypted,
        ] {
            let mut pair = lax(sent);
            pair.device.demands = demand;
            pair.associate().unwrap();
            let Ok(Response::Get(values)) = pair.request(get(&[WRITABLE])) else {
                panic!("{sent}")
            };
            assert_eq!(values[0].is_ok(), sent.covers(least), "{sent}, {demand}");
        }
    }
}

#[test]
fn wrong_block_numbers_and_interleaved_transfers_are_refused() {
    let mut pair = public();
    let first = pair.attack(
        device::PUBLIC,
        &[0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 1, 255, 2, 0],
    );
    assert_eq!(first[0][..2], [0xC4, 2]);
    let asked = pair.device.asked;
    for number in [0_u32, 2, 7, u32::MAX] {
        let mut next = vec![0xC0, 2, 0xC1];
        next.extend_from_slice(&number.to_be_bytes());
        let answer = pair.attack(device::PUBLIC, &next);
        let GetResponse::WithDatablock { block, .. } =
            GetResponse::from_octets(&answer[0]).unwrap()
        else {
            panic!()
        };
        assert!(block.result.is_err(), "{number}");
    }
    assert_eq!(pair.device.asked, asked);

    // A transfer that a new request has ended cannot be gone on with.
    let long = [0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 1, 255, 2, 0];
    let short = [0xC0, 1, 0xC2, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0];
    pair.attack(device::PUBLIC, &long);
    assert_eq!(pair.attack(device::PUBLIC, &short)[0][..2], [0xC4, 1]);
    let answer = pair.attack(device::PUBLIC, &[0xC0, 2, 0xC1, 0, 0, 0, 1]);
    assert_eq!(answer[0][3..], [1, 0, 0, 0, 1, 1, 16]);
}

/// A write in blocks whose numbers do not begin at 1 or leap.
#[test]
fn writes_in_blocks_are_whole_or_not_done() {
    let mut pair = lax(Protection::None);
    pair.associate().unwrap();
    let block = |number, last, raw_data| {
        let block = DataBlockSa {
            last_block: last,
            block_number: number,
            raw_data,
        };
        let invoke = InvokeIdAndPriority::confirmed(5);
        if number == 1 || number == 0 {
            SetRequest::WithFirstDatablock {
                invoke,
                attribute: WRITABLE,
                access_selection: None,
                block,
            }
        } else {
            SetRequest::WithDatablock { invoke, block }
        }
        .to_octets()
    };
    for numbers in [&[0_u32, 1, 2][..], &[1, 3], &[1, 2, 2], &[1, 2, 1], &[2, 3]] {
        let before = pair.device.sets;
        for (position, number) in numbers.iter().enumerate() {
            let last = position + 1 == numbers.len();
            pair.attack(device::MANAGER, &block(*number, last, &[0x09]));
        }
        assert_eq!(pair.device.sets, before, "{numbers:?}");
    }
    pair.attack(device::MANAGER, &block(1, false, &[0x09]));
    pair.attack(device::MANAGER, &block(2, false, &[]));
    pair.attack(device::MANAGER, &block(3, true, &[0x01, 0xAA]));
    assert_eq!(pair.device.values[&WRITABLE.instance], [9, 1, 0xAA]);
}

#[test]
fn endless_blocks_end_at_the_client() {
    // Blocks without octets, for ever.
    let mut pair = public();
    let number = Rc::new(RefCell::new(0_u32));
    let next = number.clone();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if !by_client {
            return Vec::new();
        }
        *next.borrow_mut() += 1;
        let block = DataBlockG {
            last_block: false,
            block_number: *next.borrow(),
            result: Ok(&[]),
        };
        let invoke = InvokeIdAndPriority(octets[2]);
        vec![(
            false,
            GetResponse::WithDatablock { invoke, block }.to_octets(),
        )]
    }));
    assert_eq!(pair.request(get(&[LONG])), Err(Failure::TooLong));
    assert_eq!(*number.borrow(), EMPTY_BLOCKS_MAX + 1);

    // Full blocks, for ever.
    let mut pair = public();
    let number = Rc::new(RefCell::new(0_u32));
    let next = number.clone();
    let full = vec![0x5A; 60_000];
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if !by_client {
            return Vec::new();
        }
        *next.borrow_mut() += 1;
        let block = DataBlockG {
            last_block: false,
            block_number: *next.borrow(),
            result: Ok(&full),
        };
        let invoke = InvokeIdAndPriority(octets[2]);
        vec![(
            false,
            GetResponse::WithDatablock { invoke, block }.to_octets(),
        )]
    }));
    assert_eq!(pair.request(get(&[LONG])), Err(Failure::TooLong));
    assert!(*number.borrow() < 300);

    // The same block, for ever: one is taken, and the deadline does the rest.
    let mut pair = public();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if !by_client {
            return Vec::new();
        }
        let block = DataBlockG {
            last_block: false,
            block_number: 1,
            result: Ok(&[9]),
        };
        let invoke = InvokeIdAndPriority(octets[2]);
        vec![
            (
                false,
                GetResponse::WithDatablock { invoke, block }.to_octets(),
            );
            3
        ]
    }));
    assert!(matches!(
        pair.request(get(&[LONG])),
        Err(Failure::NoAnswer(_))
    ));
}

#[test]
fn blocks_of_ours_acknowledged_out_of_turn_end_the_transfer() {
    for lie in [0_u32, 2, 3, u32::MAX] {
        let mut pair = lax(Protection::None);
        pair.associate().unwrap();
        pair.tamper = Some(Box::new(move |by_client, octets| {
            if by_client {
                return vec![(
                    false,
                    SetResponse::Datablock {
                        invoke: InvokeIdAndPriority(octets[2]),
                        block_number: lie,
                    }
                    .to_octets(),
                )];
            }
            vec![(by_client, octets)]
        }));
        let written = pair.request(set(&[(WRITABLE, octets(900))]));
        assert!(written.is_err(), "{lie}");
    }
    // "Success" after the first of several blocks is not believed.
    let mut pair = lax(Protection::None);
    pair.associate().unwrap();
    pair.tamper = Some(Box::new(|by_client, octets| {
        if !by_client {
            return vec![(by_client, octets)];
        }
        let invoke = InvokeIdAndPriority(octets[2]);
        vec![(
            false,
            SetResponse::Normal {
                invoke,
                result: DataAccessResult::Success,
            }
            .to_octets(),
        )]
    }));
    assert_eq!(
        pair.request(set(&[(WRITABLE, octets(900))])),
        Err(Failure::Unexpected)
    );
}

#[test]
fn answers_of_another_kind_or_number_are_not_taken() {
    let pblock = DataBlockSa {
        last_block: true,
        block_number: 1,
        raw_data: &[0, 0],
    };
    let wrong: Vec<Vec<u8>> = vec![
        vec![0xC4, 3, 0xC1, 2, 1, 3, 1, 3],
        vec![0xC4, 3, 0xC1, 0],
        vec![0xC4, 1, 0xC1, 0, 0x12, 0x12],
        vec![0xC4, 1, 0xC1, 0, 0x01, 0x82, 0xFF, 0xFF],
        vec![0xC4, 9, 0xC1],
        vec![0xC5, 1, 0xC1, 0],
        ActionResponse::WithPblock {
            invoke: InvokeIdAndPriority(0xC1),
            block: pblock,
        }
        .to_octets(),
    ];
    for answer in wrong {
        let mut pair = public();
        let mut forged = answer.clone();
        pair.tamper = Some(Box::new(move |by_client, octets| {
            if by_client {
                forged[2] = octets[2];
                return vec![(false, forged.clone())];
            }
            Vec::new()
        }));
        assert!(pair.request(get(&[SHORT])).is_err(), "{answer:02x?}");
    }
}

#[test]
fn tiny_apdus_both_ways_carry_long_values() {
    for pdu_len in [64_u16, 65, 80, 127, 128, 131] {
        for wrapping in [Wrapping::Glo, Wrapping::GeneralGlo] {
            let mut config = manager(wrapping);
            config.pdu_len_max = pdu_len;
            let mut pair = strict_with(config);
            pair.device
                .terms
                .get_mut(&device::MANAGER)
                .unwrap()
                .pdu_len_max = pdu_len;
            pair.associate().unwrap();
            assert_eq!(
                pair.request(get(&[LONG])),
                Ok(Response::Get(vec![Ok(
                    pair.device.values[&LONG.instance].clone()
                )]))
            );
            let value = octets(1_000);
            assert!(pair.request(set(&[(WRITABLE, value.clone())])).is_ok());
            assert_eq!(pair.device.values[&WRITABLE.instance], value);
            // AARQ and AARE come before the sizes are agreed on.
            let longest = pair
                .sent
                .iter()
                .filter(|(_, it)| !matches!(it[0], 0x60 | 0x61))
                .map(|(_, it)| it.len())
                .max();
            assert!(longest <= Some(pdu_len.into()), "{longest:?} of {pdu_len}");
        }
    }
    // Where nothing fits, that is said and nothing is sent.
    for pdu_len in 12..64_u16 {
        let mut config = manager(Wrapping::Glo);
        config.pdu_len_max = pdu_len;
        let mut pair = strict_with(config);
        pair.device
            .terms
            .get_mut(&device::MANAGER)
            .unwrap()
            .pdu_len_max = pdu_len;
        pair.associate().unwrap();
        match pair.request(get(&[LONG])) {
            Ok(Response::Get(values)) => {
                assert_eq!(values[0].as_ref(), Ok(&pair.device.values[&LONG.instance]));
            }
            Err(Failure::NoRoom) => {}
            other => panic!("{pdu_len}: {other:?}"),
        }
    }
}

#[test]
fn a_request_longer_than_was_agreed_is_still_answered_within_the_bound() {
    let mut pair = public();
    let mut request = vec![0xC0, 3, 0xC1, 0x82, 1, 0];
    for _ in 0..256 {
        request.extend_from_slice(&[0, 1, 0, 0, 96, 1, 1, 255, 2, 0]);
    }
    let answers = pair.attack(device::PUBLIC, &request);
    assert!(answers[0].len() <= 256);
    request.splice(3..6, [0x82, 1, 1]);
    request.extend_from_slice(&[0, 1, 0, 0, 96, 1, 1, 255, 2, 0]);
    assert!(is_exception(&pair.attack(device::PUBLIC, &request)[0]));
}

#[test]
fn what_was_done_is_said_to_be_done_though_its_answer_has_no_room() {
    use dlms::xdlms::{ActionResult, Conformance};
    let mut config = manager(Wrapping::Glo);
    config.conformance = Conformance::ACTION | Conformance::MULTIPLE_REFERENCES;
    config.pdu_len_max = 128;
    let mut pair = strict_with(config);
    pair.associate().unwrap();
    let call = (super::ECHO, Some(octets(100)));
    for calls in [vec![call.clone()], vec![call, (super::ECHO, None)]] {
        let Ok(Response::Action(outcomes)) = pair.request(super::action(&calls)) else {
            panic!()
        };
        assert_eq!(outcomes.len(), calls.len());
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.result == ActionResult::Success)
        );
        assert_eq!(
            outcomes[0].returned,
            Some(Err(DataAccessResult::OtherReason))
        );
    }
    assert_eq!(pair.device.invoked, 3);
}

/// What is always there before the clock can be looked at: the deadline is never told.
#[test]
fn what_comes_without_end_and_is_no_answer_puts_no_deadline_off() {
    let stray = [
        vec![0xE0, 0x01, 0, 1, 0, 0, 4, 0, 1, 0xC1, 9],
        vec![0xC4, 1, 0x4F, 0, 9, 0],
        vec![0x0F, 0x40, 0, 0, 0, 0, 0],
        Vec::new(),
    ];
    for octets in stray {
        let mut pair = public();
        let deadline = pair.now + config(device::PUBLIC, Protection::None, Wrapping::Glo).timeout;
        pair.input(Input::Request(get(&[LONG])));
        for _ in 0..1_000 {
            if pair
                .events
                .iter()
                .any(|event| matches!(event, Event::RequestFailed(_)))
            {
                break;
            }
            pair.now = pair.now + Duration::from_millis(100);
            pair.input(Input::Apdu(&octets));
        }
        assert!(matches!(
            pair.events.pop_back(),
            Some(Event::RequestFailed(Failure::NoAnswer(Phase::Requesting)))
        ));
        assert_eq!(pair.now, deadline, "{octets:02x?}");
    }
}
