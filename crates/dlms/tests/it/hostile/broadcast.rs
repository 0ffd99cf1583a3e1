//! Pre-established associations, broadcast and requests without an answer.
//! Evidence: self-agreement, and robustness.

use dlms::client::{Config, Failure, Response};
use dlms::cosem::MethodAccess;
use dlms::security::{Envelope, FreshCounter, Protection, Wrapping};
use dlms::server::AssociationState;

use super::{
    ECHO, Pair, SHORT, WRITABLE, action, config, device, get, is_exception, is_rejection, octets,
    set, strict,
};
use crate::pair::Faults;
use crate::pair::device::{CLIENT_TITLE, STANDING};

fn standing(broadcast: bool) -> Pair {
    let config = Config {
        broadcast,
        ..config(
            STANDING,
            Protection::AuthenticatedEncrypted,
            Wrapping::GeneralGlo,
        )
    };
    let mut pair = Pair::new(config, STANDING, Faults::default());
    pair.broadcast = broadcast;
    pair.associate().unwrap();
    assert!(pair.sent.is_empty(), "nothing is asked of the server");
    pair
}

#[test]
fn a_pre_established_association_is_there_without_being_made() {
    let mut pair = standing(false);
    let value = pair.device.values[&SHORT.instance].clone();
    let read = pair.request(get(&[SHORT]));
    assert_eq!(read, Ok(Response::Get(vec![Ok(value)])));
    assert!(pair.request(set(&[(WRITABLE, octets(3))])).is_ok());
    assert_eq!(pair.device.sets, 1);

    // It cannot be made, nor released, nor lost with the link, nor does it
    // take less than its terms say.
    let mut aarq = strict();
    aarq.associate().unwrap();
    let aarq = aarq.sent[0].1.clone();
    assert!(is_rejection(&pair.attack(STANDING, &aarq)[0]));
    pair.attack(STANDING, &[0x62, 0]);
    assert_eq!(pair.server.state(STANDING), AssociationState::Open);
    pair.server
        .handle(dlms::server::Input::LinkLost, pair.now, &mut pair.device);
    assert_eq!(pair.server.state(STANDING), AssociationState::Open);
    let plain = [0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0];
    assert!(is_exception(&pair.attack(STANDING, &plain)[0]));

    // What was said in it is not said again, before and after a restart.
    let said: Vec<Vec<u8>> = pair
        .sent
        .iter()
        .filter(|(by_client, _)| *by_client)
        .map(|(_, octets)| octets.clone())
        .collect();
    let done = pair.device.done();
    pair.restart_device();
    for apdu in &said {
        assert!(is_exception(&pair.attack(STANDING, apdu)[0]));
    }
    assert_eq!(pair.device.done(), done);
    assert!(pair.request(get(&[SHORT])).is_ok());
}

#[test]
fn without_a_tag_nothing_is_taken_where_nothing_tells_yesterday_from_today() {
    let mut pair = standing(false);
    pair.device.terms.get_mut(&STANDING).unwrap().protection = Protection::None;
    pair.server = dlms::server::Server::default();
    let mut sealed = Vec::new();
    device::ring()
        .protect(
            Envelope::new(Wrapping::Glo, Protection::Encrypted),
            &CLIENT_TITLE,
            FreshCounter::dangerous_assume_fresh(40),
            &[0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0],
            &mut sealed,
        )
        .unwrap();
    for _ in 0..2 {
        assert!(is_exception(&pair.attack(STANDING, &sealed)[0]));
        pair.server
            .handle(dlms::server::Input::LinkLost, pair.now, &mut pair.device);
    }
    assert_eq!(pair.device.asked, 0);
}

#[test]
fn unconfirmed_requests_are_done_and_not_answered() {
    let mut pair = strict();
    pair.associate().unwrap();
    pair.sent.clear();
    let value = octets(3);
    let items: Vec<_> = (0..5).map(|_| (WRITABLE, value.clone())).collect();
    for request in [set(&items), action(&[(ECHO, None)])] {
        pair.input(dlms::client::Input::Unconfirmed(request));
        pair.drive();
        assert!(matches!(
            pair.events.pop_front(),
            Some(dlms::client::Event::Response(Response::Sent))
        ));
    }
    assert_eq!((pair.device.sets, pair.device.invoked), (5, 1));
    assert!(pair.sent.iter().all(|(by_client, _)| *by_client));
    assert!(pair.request(get(&[WRITABLE])).is_ok());

    // Reading without an answer makes no sense, and what needs blocks none.
    for request in [get(&[SHORT]), set(&[(WRITABLE, octets(900))])] {
        pair.input(dlms::client::Input::Unconfirmed(request));
        assert!(matches!(
            pair.events.pop_front(),
            Some(dlms::client::Event::RequestFailed(
                Failure::NotOffered(_) | Failure::NoRoom
            ))
        ));
    }
}

#[test]
fn more_items_than_counters_at_hand_are_sent_all_the_same() {
    let mut config = super::manager(Wrapping::Glo);
    config.conformance = dlms::xdlms::Conformance::SET | dlms::xdlms::Conformance::GET;
    let mut pair = super::strict_with(config);
    pair.associate().unwrap();
    let items: Vec<_> = (0..2_000).map(|_| (WRITABLE, octets(1))).collect();
    pair.input(dlms::client::Input::Unconfirmed(set(&items)));
    pair.drive();
    assert_eq!(pair.device.sets, 2_000);
}

#[test]
fn a_broadcast_is_done_once_and_answered_by_nobody() {
    let mut pair = standing(true);
    pair.input(dlms::client::Input::Unconfirmed(set(&[(
        WRITABLE,
        octets(3),
    )])));
    pair.drive();
    assert_eq!(pair.device.sets, 1);
    assert_eq!(pair.sent.len(), 1);
    let frame = pair.sent[0].1.clone();
    assert_eq!(frame[11], 0x70, "broadcast, authenticated, encrypted");
    for _ in 0..3 {
        assert!(pair.attack(STANDING, &frame).is_empty());
    }
    pair.restart_device();
    pair.attack(STANDING, &frame);
    assert_eq!(pair.device.sets, 1);

    // An answer cannot be asked for.
    pair.events.clear();
    assert!(matches!(
        pair.request(get(&[SHORT])),
        Err(Failure::NotOffered(_))
    ));
}

#[test]
fn the_broadcast_key_opens_nothing_that_wants_a_verified_caller() {
    // A breaker that wants authentication, and a device that looks at who asks.
    let mut pair = standing(true);
    pair.device.demands_of_method = MethodAccess::AUTHENTICATED_REQUEST;
    pair.input(dlms::client::Input::Unconfirmed(action(&[(ECHO, None)])));
    pair.drive();
    assert_eq!(pair.sent.len(), 1);
    assert_eq!(pair.device.invoked, 0);
    // The same by one who alone has the key.
    let mut pair = standing(false);
    pair.device.demands_of_method = MethodAccess::AUTHENTICATED_REQUEST;
    pair.input(dlms::client::Input::Unconfirmed(action(&[(ECHO, None)])));
    pair.drive();
    assert_eq!(pair.device.invoked, 1);
}

#[test]
fn whoever_has_the_broadcast_key_makes_no_association_and_no_confirmed_request() {
    let seal = |plain: &[u8], wrapping, counter| {
        let mut out = Vec::new();
        let envelope = Envelope {
            broadcast: true,
            ..Envelope::new(wrapping, Protection::AuthenticatedEncrypted)
        };
        let counter = FreshCounter::dangerous_assume_fresh(counter);
        device::ring()
            .protect(envelope, &CLIENT_TITLE, counter, plain, &mut out)
            .unwrap();
        out
    };
    // An InitiateRequest under it.
    let mut pair = strict();
    let initiate = dlms::xdlms::InitiateRequest::new(Config::default().conformance, 500);
    let information = seal(&dlms::codec::Wire::to_octets(&initiate), Wrapping::Glo, 1);
    let mut aarq = dlms::acse::Aarq::new(dlms::acse::ApplicationContextName::LogicalNameCiphered)
        .with_authentication(
            dlms::acse::MechanismName::HighGmac,
            dlms::acse::AuthenticationValue::Charstring(b"\x85challenge of ours"),
        );
    aarq.calling_ap_title = Some(&CLIENT_TITLE.0);
    aarq.user_information = Some(&information);
    let aarq = dlms::codec::Wire::to_octets(&aarq);
    assert!(is_rejection(&pair.attack(device::MANAGER, &aarq)[0]));

    // A confirmed SET inside the manager's own association.
    pair.associate().unwrap();
    let confirmed = [0xC1, 1, 0xC1, 0, 1, 0, 0, 96, 13, 0, 255, 2, 0, 0];
    pair.attack(device::MANAGER, &seal(&confirmed, Wrapping::Glo, 2));
    assert_eq!(pair.device.sets, 0);
}
