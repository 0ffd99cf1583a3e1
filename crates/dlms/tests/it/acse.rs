//! Association control. Evidence: third-party octets (examples of the
//! standard, tests of other implementations, octets seen from jDLMS and Gurux
//! programs, captures of meters), hand-made negatives. That every field
//! encodes to what it decodes from is self-agreement, but for the vectors.

use dlms::acse::{
    Aare, Aarq, ApplicationContextName, AssociateSourceDiagnostic, AssociationResult,
    AuthenticationValue, BitString, Deviation, DeviationKind, MAX_DEVIATIONS, MechanismName,
    ReleaseRequestReason, ReleaseResponseReason, Rlre, Rlrq, ServiceProviderDiagnostic,
    ServiceUserDiagnostic,
};
use dlms::codec::{DecodeError, Malformed, Wire};
use dlms::xdlms::Apdu;
use expect_test::expect_file;

use crate::captures::{capture, octets, unhex};
use crate::expectations::check;
use crate::vectors::{check_file, check_refusals};

#[test]
fn vectors_decode_to_what_their_authors_say_and_encode_again() {
    check_file(
        include_str!("../vectors/acse.txt"),
        &expect_file!["../vectors/acse.txt"],
    );
}

#[test]
fn what_is_wrong_is_refused_with_offset_and_reason() {
    check_refusals(
        include_str!("../vectors/acse-negative.txt"),
        &expect_file!["../vectors/acse-negative.txt"],
    );
}

#[test]
fn captures_of_meters_decode() {
    for name in ["aare-real-mel-hls5", "rlre-empty-real", "rlre-real"] {
        let Some(vector) = capture(name) else { return };
        let octets = unhex(vector["hex"].as_str().unwrap());
        let apdu = Apdu::from_octets(&octets).unwrap();
        check(name, &apdu, &vector["expect"]);
        assert_eq!(apdu.to_octets(), octets, "{name}");
    }
}

/// Every length of this AARE is one short, in a frame whose check sequence is
/// right.
#[test]
fn an_aare_with_short_lengths_is_refused_unless_read_leniently() {
    let Some(frame) = octets("aare-sn-length-short-real") else {
        return;
    };
    let start = frame
        .windows(2)
        .position(|two| two == [0x61, 0x28])
        .unwrap();
    let apdu = &frame[start..frame.len() - 3];
    assert_eq!(
        Aare::from_octets(apdu),
        Err(DecodeError {
            offset: apdu.len() - 1,
            field: "value",
            reason: Malformed::Trailing,
        })
    );
    let lenient = Aare::decode_lenient(apdu).unwrap();
    assert_eq!(
        lenient.value.application_context_name,
        ApplicationContextName::ShortName
    );
    let Apdu::InitiateResponse(response) =
        Apdu::from_octets(lenient.value.user_information.unwrap()).unwrap()
    else {
        panic!("{lenient:?}");
    };
    assert_eq!(response.vaa_name, 0xFA00);
    assert_eq!(
        lenient.deviations,
        [
            Deviation {
                offset: 1,
                field: "AARE",
                kind: DeviationKind::Length,
            },
            Deviation {
                offset: 26,
                field: "user-information",
                kind: DeviationKind::Length,
            },
        ]
    );
}

/// Octets seen from Gurux servers; 0x15 and 0x10 are the true lengths.
#[test]
fn an_rlre_with_wrong_lengths_closes_all_the_same() {
    let octets = unhex("6311800100BE0F040E0800065F1F0400001E1D04000007");
    assert!(Rlre::from_octets(&octets).is_err());
    let lenient = Rlre::decode_lenient(&octets).unwrap();
    assert_eq!(lenient.value.reason, Some(ReleaseResponseReason::Normal));
    assert_eq!(
        lenient.value.user_information,
        Some(&unhex("0800065F1F0400001E1D04000007")[..])
    );
    let told: Vec<String> = lenient.deviations.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "byte 1: wrong length in RLRE",
            "byte 6: wrong length in user-information"
        ]
    );
    assert_eq!(
        lenient.value.to_octets(),
        unhex("6315800100BE10040E0800065F1F0400001E1D04000007")
    );
}

#[test]
fn right_octets_have_no_deviation() {
    let octets = unhex("6316800100be11040f080100065f1f0400001e1d04c80007");
    let lenient = Rlre::decode_lenient(&octets).unwrap();
    assert!(lenient.deviations.is_empty());
    assert_eq!(Rlre::from_octets(&octets), Ok(lenient.value));
}

/// Gurux servers with mechanism 7 send A6, which holds a title, before A2;
/// these octets are made after that.
#[test]
fn fields_out_of_turn_are_told() {
    let octets = unhex(
        "612FA109060760857405080103A60A04084D4D4D0000BC614EA203020100A305A10302010E\
         A40A04084D4D4D0000000001",
    );
    assert_eq!(
        Aare::from_octets(&octets),
        Err(DecodeError {
            offset: 15,
            field: "responding-AP-invocation-id",
            reason: Malformed::Tag(0x04),
        })
    );
    let lenient = Aare::decode_lenient(&octets).unwrap();
    assert_eq!(lenient.value.result, AssociationResult::Accepted);
    assert_eq!(
        lenient.value.responding_ap_title,
        Some(&b"MMM\0\0\0\0\x01"[..])
    );
    let kinds: Vec<DeviationKind> = lenient.deviations.iter().map(|told| told.kind).collect();
    assert_eq!(
        kinds,
        [
            DeviationKind::Field(0xA6),
            DeviationKind::Order(0xA2),
            DeviationKind::Order(0xA3),
            DeviationKind::Order(0xA4),
        ]
    );
}

#[test]
fn a_field_that_comes_twice_is_refused_however_lenient() {
    let octets = unhex("6206800100800101");
    for result in [
        Rlrq::from_octets(&octets),
        Rlrq::decode_lenient(&octets).map(|lenient| lenient.value),
    ] {
        assert_eq!(
            result,
            Err(DecodeError {
                offset: 5,
                field: "RLRQ",
                reason: Malformed::Tag(0x80),
            })
        );
    }
}

#[test]
fn deviations_are_bounded() {
    let mut octets = unhex("6000");
    for tag in (0x81..=0x9E_u8).rev() {
        octets.extend_from_slice(&[tag, 0]);
    }
    let lenient = Rlrq::decode_lenient(&octets).unwrap_err();
    assert_eq!(lenient.reason, Malformed::Tag(0x60));
    octets[0] = 0x62;
    let lenient = Rlrq::decode_lenient(&octets).unwrap();
    assert_eq!(lenient.deviations.len(), MAX_DEVIATIONS);
}

/// Legal BER that is not the shortest: jDLMS spells out the protocol version,
/// others send it as six bits; lengths may take more octets than they need.
#[test]
fn legal_variants_are_taken() {
    let octets = unhex(
        "612D80020780A109060760857405080103A203020100A305A103020100BE10040E0800065F1F0400001E1D04000007",
    );
    let aare = Aare::from_octets(&octets).unwrap();
    assert_eq!(aare.protocol_version, Some(BitString::FIRST_BIT));
    assert_eq!(aare.to_octets(), octets);

    let octets = unhex("600F80020284A109060760857405080101");
    let aarq = Aarq::from_octets(&octets).unwrap();
    let version = aarq.protocol_version.unwrap();
    assert!(version.bit(0) && version.bit(5) && !version.bit(1));
    assert_eq!(aarq.to_octets(), octets);

    let short = unhex(
        "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738be10040e01000000065f1f0400007e1f04b0",
    );
    let mut long = unhex(
        "60820000A182000A06810760857405080101 8A81020780 8B840000000760857405080201 \
         AC8300000B80810831323334353637 38 BE82001204 82000E01000000065F1F0400007E1F04B0",
    );
    let length = u8::try_from(long.len() - 4).unwrap();
    long[3] = length;
    assert_eq!(
        Aarq::from_octets(&long).unwrap(),
        Aarq::from_octets(&short).unwrap()
    );
}

/// A challenge of 64 octets, as jDLMS clients send it.
#[test]
fn long_challenges_take_long_lengths() {
    let challenge: Vec<u8> = (0..64).collect();
    let aarq = Aarq {
        user_information: Some(&challenge),
        ..Aarq::new(ApplicationContextName::LogicalNameCiphered).with_authentication(
            MechanismName::HighGmac,
            AuthenticationValue::Charstring(&challenge),
        )
    };
    let octets = aarq.to_octets();
    assert_eq!(octets[..3], [0x60, 0x81, 0xA0]);
    assert!(
        octets
            .windows(4)
            .any(|four| four == [0xAC, 0x42, 0x80, 0x40])
    );
    assert_eq!(Aarq::from_octets(&octets), Ok(aarq));
}

fn full_aarq() -> Aarq<'static> {
    Aarq {
        protocol_version: Some(BitString {
            unused: 2,
            octets: &[0x84],
        }),
        application_context_name: ApplicationContextName::ShortNameCiphered,
        called_ap_title: Some(b"MMM\0\0\0\0\x01"),
        called_ae_qualifier: Some(&[]),
        called_ap_invocation_id: Some(0),
        called_ae_invocation_id: Some(-1),
        calling_ap_title: Some(b"MMM\0\0\0\0\x02"),
        calling_ae_qualifier: Some(&[0x30; 300]),
        calling_ap_invocation_id: Some(i32::MAX),
        calling_ae_invocation_id: Some(128),
        sender_acse_requirements: Some(BitString::FIRST_BIT),
        mechanism_name: Some(MechanismName::HighEcdsa),
        calling_authentication_value: Some(AuthenticationValue::BitString(BitString {
            unused: 3,
            octets: &[1, 2, 0xF8],
        })),
        implementation_information: Some(b"1.0"),
        user_information: Some(&[1, 0, 0]),
    }
}

#[test]
fn every_field_survives() {
    let aarq = full_aarq();
    assert_eq!(Aarq::from_octets(&aarq.to_octets()), Ok(aarq));
    let aare = Aare {
        protocol_version: Some(BitString::FIRST_BIT),
        responding_ap_title: Some(b"MMM\0\0\0\0\x01"),
        responding_ae_qualifier: Some(&[0x30; 130]),
        responding_ap_invocation_id: Some(i32::MIN),
        responding_ae_invocation_id: Some(-129),
        responder_acse_requirements: Some(BitString {
            unused: 0,
            octets: &[],
        }),
        mechanism_name: Some(MechanismName::Unknown(&[0x60, 0x85, 0x74, 5, 8, 2, 9])),
        responding_authentication_value: Some(AuthenticationValue::Other(&[6, 1, 42])),
        implementation_information: Some(b""),
        user_information: Some(&[]),
        ..Aare::new(
            ApplicationContextName::Unknown(&[0x2A, 3, 4]),
            AssociationResult::Unknown(77),
            AssociateSourceDiagnostic::ServiceProvider(
                ServiceProviderDiagnostic::NoCommonAcseVersion,
            ),
        )
    };
    assert_eq!(Aare::from_octets(&aare.to_octets()), Ok(aare));
    for code in 0..=255 {
        let aare = Aare::new(
            ApplicationContextName::LogicalName,
            AssociationResult::from_code(code),
            AssociateSourceDiagnostic::ServiceUser(ServiceUserDiagnostic::from_code(code)),
        );
        assert_eq!(Aare::from_octets(&aare.to_octets()), Ok(aare));
        let rlrq = Rlrq {
            reason: Some(ReleaseRequestReason::from_code(code)),
            user_information: None,
        };
        assert_eq!(Rlrq::from_octets(&rlrq.to_octets()), Ok(rlrq));
    }
}

#[test]
fn names_and_ids_agree() {
    for id in 0..=7 {
        let name = MechanismName::from_id(id).unwrap();
        assert_eq!(name.id(), Some(id));
        assert_eq!(name.is_high(), id >= 2);
    }
    assert_eq!(MechanismName::from_id(8), None);
    let unknown = MechanismName::Unknown(&[0x60, 0x85, 0x74, 5, 8, 2, 8]);
    assert_eq!((unknown.id(), unknown.is_high()), (Some(8), false));
    assert_eq!(
        ServiceUserDiagnostic::AuthenticationFailure.to_string(),
        "authentication-failure"
    );
    assert_eq!(
        ServiceUserDiagnostic::Unknown(99).to_string(),
        "unknown (99)"
    );
}

#[test]
fn passwords_and_keys_are_not_shown() {
    let octets = unhex(
        "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738be10040e01000000065f1f0400007e1f04b0",
    );
    let shown = format!("{:?}", Apdu::from_octets(&octets).unwrap());
    assert!(shown.contains("Charstring(8 octets)"), "{shown}");
    assert!(shown.contains("14 octets"), "{shown}");
    assert!(!shown.contains("49, 50, 51"), "{shown}");
}
