//! Less security than was configured (A5, A6). Evidence: robustness; the table
//! of what is let in is the snapshot below.

use std::fmt::Write as _;

use dlms::acse::{Aare, Aarq, ApplicationContextName, AuthenticationValue, MechanismName};
use dlms::client::{Config, Failure};
use dlms::codec::Wire;
use dlms::security::{
    Envelope, FreshCounter, HlsError, Protection, SystemTitle, UnprotectError, Wrapping,
};
use dlms::server::AssociationState;
use dlms::xdlms::{InitiateRequest, InitiateResponse};
use expect_test::expect;

use super::{Pair, device, is_rejection, manager, strict, strict_with};
use crate::pair::device::{CLIENT_TITLE, PASSWORD, SERVER_TITLE};
use crate::pair::{Faults, config};

const PROTECTIONS: [Protection; 4] = [
    Protection::None,
    Protection::Authenticated,
    Protection::Encrypted,
    Protection::AuthenticatedEncrypted,
];

const CONTEXTS: [ApplicationContextName<'static>; 4] = [
    ApplicationContextName::LogicalName,
    ApplicationContextName::ShortName,
    ApplicationContextName::LogicalNameCiphered,
    ApplicationContextName::ShortNameCiphered,
];

const MECHANISMS: [MechanismName<'static>; 8] = [
    MechanismName::Lowest,
    MechanismName::Low,
    MechanismName::High,
    MechanismName::HighMd5,
    MechanismName::HighSha1,
    MechanismName::HighGmac,
    MechanismName::HighSha256,
    MechanismName::HighEcdsa,
];

/// What every client has to show, all at once.
fn aarq(
    context: ApplicationContextName<'static>,
    mechanism: MechanismName<'static>,
    protection: Protection,
    counter: u32,
    title: &SystemTitle,
) -> Vec<u8> {
    let config = Config::default();
    let plain = InitiateRequest::new(config.conformance, 1_024).to_octets();
    let mut information = Vec::new();
    if protection == Protection::None {
        information = plain;
    } else {
        device::ring()
            .protect(
                Envelope::new(Wrapping::Glo, protection),
                title,
                FreshCounter::dangerous_assume_fresh(counter),
                &plain,
                &mut information,
            )
            .unwrap();
    }
    let shown: &[u8] = if mechanism == MechanismName::Low {
        PASSWORD
    } else {
        b"\x85challenge of ours"
    };
    let mut aarq =
        Aarq::new(context).with_authentication(mechanism, AuthenticationValue::Charstring(shown));
    aarq.calling_ap_title = Some(&title.0);
    aarq.user_information = Some(&information);
    aarq.to_octets()
}

#[test]
fn only_what_the_terms_say_is_let_in() {
    let mut table = String::new();
    let mut cells = 0;
    // The manager with each least protection, and the two clients without keys.
    let mut clients = vec![
        (device::PUBLIC, Protection::None),
        (device::READER, Protection::None),
        (device::STANDING, Protection::AuthenticatedEncrypted),
        (77, Protection::None),
    ];
    clients.extend(PROTECTIONS.map(|least| (device::MANAGER, least)));
    for (sap, least) in clients {
        for context in CONTEXTS {
            for mechanism in MECHANISMS {
                for protection in PROTECTIONS {
                    cells += 1;
                    let mut pair = Pair::new(
                        config(sap, Protection::None, Wrapping::Glo),
                        sap,
                        Faults::default(),
                    );
                    if sap == device::MANAGER {
                        pair.device.terms.get_mut(&sap).unwrap().protection = least;
                    }
                    let octets = aarq(context, mechanism, protection, 7, &CLIENT_TITLE);
                    let answers = pair.attack(sap, &octets);
                    let state = pair.server.state(sap);
                    assert_eq!(
                        state == AssociationState::Idle,
                        is_rejection(&answers[0]),
                        "{answers:02x?}"
                    );
                    if state != AssociationState::Idle {
                        writeln!(
                            table,
                            "client {sap:3}, at least {least}: {context:?}, {mechanism:?}, {protection}: {state:?}"
                        )
                        .unwrap();
                    }
                }
            }
        }
    }
    assert_eq!(cells, 1_024);
    expect![[r#"
        client  16, at least no protection: LogicalName, Lowest, no protection: Open
        client   2, at least no protection: LogicalName, Low, no protection: Open
        client   1, at least no protection: LogicalNameCiphered, HighGmac, no protection: AwaitingReply
        client   1, at least no protection: LogicalNameCiphered, HighGmac, authentication: AwaitingReply
        client   1, at least no protection: LogicalNameCiphered, HighGmac, encryption: AwaitingReply
        client   1, at least no protection: LogicalNameCiphered, HighGmac, authenticated encryption: AwaitingReply
        client   1, at least authentication: LogicalNameCiphered, HighGmac, authentication: AwaitingReply
        client   1, at least authentication: LogicalNameCiphered, HighGmac, authenticated encryption: AwaitingReply
        client   1, at least encryption: LogicalNameCiphered, HighGmac, encryption: AwaitingReply
        client   1, at least encryption: LogicalNameCiphered, HighGmac, authenticated encryption: AwaitingReply
        client   1, at least authenticated encryption: LogicalNameCiphered, HighGmac, authenticated encryption: AwaitingReply
    "#]].assert_eq(&table);
}

#[test]
fn requests_need_the_protection_of_the_terms() {
    for least in PROTECTIONS {
        for sent in PROTECTIONS {
            let mut config = manager(Wrapping::Glo);
            config.protection = least;
            let mut pair = strict_with(config);
            pair.device
                .terms
                .get_mut(&device::MANAGER)
                .unwrap()
                .protection = least;
            pair.associate().unwrap();
            let plain = [0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0];
            let counter = 500;
            let mut apdu = Vec::new();
            if sent == Protection::None {
                apdu.extend_from_slice(&plain);
            } else {
                device::ring()
                    .protect(
                        Envelope::new(Wrapping::Glo, sent),
                        &CLIENT_TITLE,
                        FreshCounter::dangerous_assume_fresh(counter),
                        &plain,
                        &mut apdu,
                    )
                    .unwrap();
            }
            pair.attack(device::MANAGER, &apdu);
            assert_eq!(
                pair.device.asked == 1,
                sent.covers(least),
                "{sent} where {least}"
            );
        }
    }
}

/// Associates with each octet of one message changed in every bit.
fn flip_every_bit(of_client: bool, first: u8) -> (usize, usize) {
    let honest = {
        let mut pair = strict();
        pair.associate().unwrap()
    };
    let len = {
        let mut pair = strict();
        pair.associate().unwrap();
        let (_, octets) = pair.sent.iter().find(|(_, it)| it[0] == first).unwrap();
        octets.len()
    };
    let (mut runs, mut through) = (0, 0);
    for at in 0..len {
        for bit in 0..8 {
            let mut pair = strict();
            pair.tamper = Some(Box::new(move |by_client, mut octets| {
                if by_client == of_client && octets[0] == first {
                    octets[at] ^= 1 << bit;
                }
                vec![(by_client, octets)]
            }));
            runs += 1;
            if let Ok(associated) = pair.associate() {
                // What nothing hangs on may change, and no more.
                through += 1;
                let mut associated = associated;
                associated.deviations.clear();
                assert_eq!(associated, honest, "octet {at}, bit {bit}");
                assert!(
                    matches!(
                        pair.server.authentication(device::MANAGER),
                        Some(dlms::server::Authentication::Hls(_))
                    ),
                    "octet {at}, bit {bit}"
                );
            } else if !of_client {
                // Where our challenge was changed, the server has had its proof,
                // and it is the client that leaves.
                assert_ne!(pair.server.state(device::MANAGER), AssociationState::Open);
            }
        }
    }
    (runs, through)
}

#[test]
fn no_bit_of_the_aare_can_be_changed_to_a_weaker_association() {
    let (runs, through) = flip_every_bit(false, 0x61);
    assert!(runs >= 500, "{runs}");
    assert!(through * 10 < runs, "{through} of {runs}");
}

#[test]
fn no_bit_of_the_aarq_can_be_changed_to_a_weaker_association() {
    let (runs, through) = flip_every_bit(true, 0x60);
    assert!(runs >= 500, "{runs}");
    assert!(through * 10 < runs, "{through} of {runs}");
}

type Rewrite = fn(&mut Aare<'_>);

#[test]
fn an_aare_that_says_other_things_is_not_believed() {
    const REWRITES: &[(&str, Rewrite)] = &[
        ("context", |aare| {
            aare.application_context_name = ApplicationContextName::LogicalName;
        }),
        ("mechanism lowest", |aare| {
            aare.mechanism_name = Some(MechanismName::Lowest);
        }),
        ("mechanism low", |aare| {
            aare.mechanism_name = Some(MechanismName::Low);
        }),
        ("no challenge", |aare| {
            aare.responding_authentication_value = None;
        }),
        ("constant challenge", |aare| {
            aare.responding_authentication_value = Some(AuthenticationValue::Charstring(&[7; 16]));
        }),
        ("an APDU as challenge", |aare| {
            aare.responding_authentication_value = Some(AuthenticationValue::Charstring(&[
                0xC3, 1, 0xC1, 0, 70, 0, 0, 96, 3, 10, 255, 1, 0,
            ]));
        }),
        ("another title", |aare| {
            aare.responding_ap_title = Some(b"SRV\0\0\0\0\x03");
        }),
        ("our title", |aare| {
            aare.responding_ap_title = Some(b"CLI\0\0\0\0\x01");
        }),
        ("proposal in clear", |aare| {
            aare.user_information =
                Some(&[0x08, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0x10, 0x1D, 1, 0, 0, 7]);
        }),
        ("no proposal", |aare| aare.user_information = None),
    ];
    for (what, rewrite) in REWRITES {
        let mut pair = strict();
        let rewrite = *rewrite;
        pair.tamper = Some(Box::new(move |by_client, octets| {
            let rewritten = match Aare::from_octets(&octets) {
                Ok(mut aare) if !by_client => {
                    rewrite(&mut aare);
                    aare.to_octets()
                }
                _ => octets.clone(),
            };
            vec![(by_client, rewritten)]
        }));
        assert!(pair.associate().is_err(), "{what}");
        assert_ne!(pair.server.state(device::MANAGER), AssociationState::Open);
    }
    // In clear nothing protects the rest, and still not more than was asked
    // for is believed, nor another version.
    for (what, response) in [
        ("version", {
            let mut response = InitiateResponse::new(Config::default().conformance, 500);
            response.negotiated_dlms_version_number = 5;
            response
        }),
        (
            "conformance",
            InitiateResponse::new(
                Config::default()
                    .conformance
                    .with(dlms::xdlms::Conformance::ACCESS),
                500,
            ),
        ),
    ] {
        let mut pair = Pair::new(
            config(device::PUBLIC, Protection::None, Wrapping::Glo),
            device::PUBLIC,
            Faults::default(),
        );
        let response = response.to_octets();
        pair.tamper = Some(Box::new(move |by_client, octets| {
            let rewritten = match Aare::from_octets(&octets) {
                Ok(mut aare) if !by_client => {
                    aare.user_information = Some(&response);
                    aare.to_octets()
                }
                _ => octets.clone(),
            };
            vec![(by_client, rewritten)]
        }));
        assert!(
            matches!(pair.associate(), Err(Failure::Downgraded(_))),
            "{what}"
        );
    }
}

#[test]
fn our_own_challenge_and_our_own_reply_are_not_taken_back() {
    // The server reflects our challenge as its own.
    let mut pair = strict();
    let mut ours = None;
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if by_client && octets[0] == 0x60 {
            let aarq = Aarq::from_octets(&octets).unwrap();
            ours = aarq
                .calling_authentication_value
                .map(|value| value.octets().to_vec());
        }
        let rewritten = match Aare::from_octets(&octets) {
            Ok(mut aare) if !by_client => {
                let ours = ours.clone().unwrap();
                aare.responding_authentication_value = Some(AuthenticationValue::Charstring(&ours));
                aare.to_octets()
            }
            _ => octets.clone(),
        };
        vec![(by_client, rewritten)]
    }));
    assert_eq!(pair.associate(), Err(Failure::Reply(HlsError::Reflected)));

    // The client calls itself by the server's title.
    for protection in PROTECTIONS {
        let mut pair = strict();
        pair.device.security.client_title = None;
        let octets = aarq(
            ApplicationContextName::LogicalNameCiphered,
            MechanismName::HighGmac,
            protection,
            9,
            &SERVER_TITLE,
        );
        assert!(is_rejection(&pair.attack(device::MANAGER, &octets)[0]));
    }

    // Our pass 3 comes back as pass 4, in the form of an answer.
    let mut config = manager(Wrapping::Glo);
    config.protection = Protection::None;
    let mut pair = strict_with(config);
    pair.device
        .terms
        .get_mut(&device::MANAGER)
        .unwrap()
        .protection = Protection::None;
    pair.tamper = Some(Box::new(|by_client, octets| {
        if by_client && octets[0] == 0xC3 {
            let reply = octets[octets.len() - 19..].to_vec();
            let mut forged = vec![0xC7, 1, octets[2], 0, 1, 0];
            forged.extend_from_slice(&reply);
            return vec![(false, forged)];
        }
        vec![(by_client, octets)]
    }));
    assert!(matches!(
        pair.associate(),
        Err(Failure::NotAuthentic(HlsError::Verify(
            UnprotectError::TagMismatch
        )))
    ));
}
