//! Who somebody says he is (A16), and two clients on one link. Evidence:
//! robustness.

use dlms::client::Failure;
use dlms::security::{Envelope, FreshCounter, Protection, SystemTitle, Wrapping};
use dlms::server::{AssociationState, Notice};

use super::{Pair, SHORT, config, device, get, is_exception, is_rejection, manager, strict};
use crate::pair::Faults;
use crate::pair::device::CLIENT_TITLE;

const GET: [u8; 13] = [0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0];

fn sealed(wrapping: Wrapping, title: &SystemTitle, counter: u32) -> Vec<u8> {
    let mut out = Vec::new();
    device::ring()
        .protect(
            Envelope::new(wrapping, Protection::AuthenticatedEncrypted),
            title,
            FreshCounter::dangerous_assume_fresh(counter),
            &GET,
            &mut out,
        )
        .unwrap();
    out
}

#[test]
fn another_clients_title_is_refused_even_with_the_right_keys() {
    let other = SystemTitle(*b"CLI\0\0\0\0\x09");
    let mut pair = strict();
    pair.associate().unwrap();
    for wrapping in [Wrapping::Glo, Wrapping::GeneralGlo] {
        let answers = pair.attack(device::MANAGER, &sealed(wrapping, &other, 800));
        assert!(is_exception(&answers[0]), "{wrapping:?}");
        assert_eq!(pair.device.asked, 0);
    }
    let answers = pair.attack(device::MANAGER, &sealed(Wrapping::Glo, &CLIENT_TITLE, 801));
    assert_eq!(answers[0][0], 0xCC);
    assert_eq!(pair.device.asked, 1);
}

#[test]
fn another_meters_answers_are_refused() {
    // The meter next door has the same keys by mistake, and another title.
    let mut pair = strict();
    pair.device.security.title = SystemTitle(*b"SRV\0\0\0\0\x07");
    assert_eq!(pair.associate(), Err(Failure::Title));
}

#[test]
fn two_clients_on_one_link_do_not_see_each_others_associations() {
    let mut pair = strict();
    pair.associate().unwrap();
    // The public client gets what is public, and not by the manager's way in.
    let answers = pair.attack(device::PUBLIC, &GET);
    assert!(is_exception(&answers[0]));
    let frame = sealed(Wrapping::Glo, &CLIENT_TITLE, 900);
    let answers = pair.attack(device::PUBLIC, &frame);
    assert!(is_exception(&answers[0]));
    let mut public = Pair::new(
        config(device::PUBLIC, Protection::None, Wrapping::Glo),
        device::PUBLIC,
        Faults::default(),
    );
    public.associate().unwrap();
    let aarq = public.sent[0].1.clone();
    assert!(!is_rejection(&pair.attack(device::PUBLIC, &aarq)[0]));
    // Ciphered under the public client's SAP: it has no keys there.
    assert!(is_exception(&pair.attack(device::PUBLIC, &frame)[0]));
    assert_eq!(pair.attack(device::PUBLIC, &GET)[0][0], 0xC4);
    // Its release ends its own.
    pair.attack(device::PUBLIC, &[0x62, 3, 0x80, 1, 0]);
    assert_eq!(pair.server.state(device::PUBLIC), AssociationState::Idle);
    assert_eq!(pair.server.state(device::MANAGER), AssociationState::Open);
    assert!(pair.request(get(&[SHORT])).is_ok());
}

#[test]
fn made_up_releases_that_are_ciphered_release_nothing_and_cost_no_counter() {
    let mut pair = strict();
    pair.associate().unwrap();
    let before = pair.device.security.send.next();
    for counter in 0..50_u8 {
        let mut rlrq = vec![
            0x62, 0x27, 0x80, 1, 0, 0xBE, 0x22, 0x04, 0x20, 0x21, 0x1E, 0x30,
        ];
        rlrq.extend_from_slice(&[0, 0, 9, counter]);
        rlrq.extend_from_slice(&[0x5A; 25]);
        let answers = pair.attack(device::MANAGER, &rlrq);
        assert!(is_exception(&answers[0]), "{answers:02x?}");
    }
    assert_eq!(pair.device.security.send.next(), before);
    assert_eq!(pair.server.state(device::MANAGER), AssociationState::Open);
    // In clear it is what strangers' clients do: it ends the association and
    // nothing else, and is in the log.
    pair.attack(device::MANAGER, &[0x62, 0]);
    assert_eq!(pair.server.state(device::MANAGER), AssociationState::Idle);
    assert_eq!(pair.device.notices.last(), Some(&Notice::Released));
    pair.client.handle(dlms::client::Input::LinkLost, pair.now);
    while !matches!(pair.client.poll(), dlms::client::Output::Timeout(_)) {}
    pair.associate().unwrap();
}

#[test]
fn a_dedicated_key_is_taken_only_from_a_verified_proposal() {
    use dlms::acse::{Aarq, ApplicationContextName, AuthenticationValue, MechanismName};
    use dlms::codec::Wire;
    use dlms::xdlms::InitiateRequest;
    for protection in [
        Protection::Authenticated,
        Protection::Encrypted,
        Protection::AuthenticatedEncrypted,
    ] {
        let mut pair = Pair::new(manager(Wrapping::Glo), device::MANAGER, Faults::default());
        let mut initiate = InitiateRequest::new(dlms::client::Config::default().conformance, 500);
        initiate.dedicated_key = Some(&[0x42; 16]);
        let mut information = Vec::new();
        device::ring()
            .protect(
                Envelope::new(Wrapping::Glo, protection),
                &CLIENT_TITLE,
                FreshCounter::dangerous_assume_fresh(3),
                &initiate.to_octets(),
                &mut information,
            )
            .unwrap();
        let mut aarq = Aarq::new(ApplicationContextName::LogicalNameCiphered).with_authentication(
            MechanismName::HighGmac,
            AuthenticationValue::Charstring(b"\x85challenge of ours"),
        );
        aarq.calling_ap_title = Some(&CLIENT_TITLE.0);
        aarq.user_information = Some(&information);
        let answers = pair.attack(device::MANAGER, &aarq.to_octets());
        assert_eq!(
            is_rejection(&answers[0]),
            protection != Protection::AuthenticatedEncrypted,
            "{protection}"
        );
    }
}
