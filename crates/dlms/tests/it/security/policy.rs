//! The security policy. The values are those of the Security Setup class
//! (IEC 62056-6-2), versions 0 and 1; self-agreement beyond them.

use dlms::security::{PolicyError, PolicyVersion, Protection, SecurityPolicy};

#[test]
fn version_0() {
    for (octet, protection) in [
        (0, Protection::None),
        (1, Protection::Authenticated),
        (2, Protection::Encrypted),
        (3, Protection::AuthenticatedEncrypted),
    ] {
        let policy = SecurityPolicy::new(PolicyVersion::V0, octet).unwrap();
        for required in [policy.request(), policy.response()] {
            assert_eq!(required.protection, protection);
            assert!(!required.signed);
        }
    }
    for octet in 4..=0xFF {
        assert_eq!(
            SecurityPolicy::new(PolicyVersion::V0, octet),
            Err(PolicyError::Value(octet))
        );
    }
}

#[test]
fn version_1() {
    for (octet, request, response, signed) in [
        (0x00, Protection::None, Protection::None, (false, false)),
        (
            0x04,
            Protection::Authenticated,
            Protection::None,
            (false, false),
        ),
        (
            0x08,
            Protection::Encrypted,
            Protection::None,
            (false, false),
        ),
        (0x10, Protection::None, Protection::None, (true, false)),
        (
            0x20,
            Protection::None,
            Protection::Authenticated,
            (false, false),
        ),
        (
            0x40,
            Protection::None,
            Protection::Encrypted,
            (false, false),
        ),
        (0x80, Protection::None, Protection::None, (false, true)),
        (
            0x6C,
            Protection::AuthenticatedEncrypted,
            Protection::AuthenticatedEncrypted,
            (false, false),
        ),
    ] {
        let policy = SecurityPolicy::new(PolicyVersion::V1, octet).unwrap();
        assert_eq!(policy.request().protection, request, "{octet:02x}");
        assert_eq!(policy.response().protection, response, "{octet:02x}");
        assert_eq!(
            (policy.request().signed, policy.response().signed),
            signed,
            "{octet:02x}"
        );
    }
    for octet in (0..=0xFF).filter(|octet| octet & 3 != 0) {
        assert_eq!(
            SecurityPolicy::new(PolicyVersion::V1, octet),
            Err(PolicyError::Value(octet))
        );
    }
}

/// Whatever is activated, nothing that was required stops being so.
#[test]
fn a_policy_only_gets_stricter() {
    let covers = |new: SecurityPolicy, old: SecurityPolicy| {
        [
            (new.request(), old.request()),
            (new.response(), old.response()),
        ]
        .iter()
        .all(|(new, old)| new.protection.covers(old.protection) && (new.signed || !old.signed))
    };
    for version in [PolicyVersion::V0, PolicyVersion::V1] {
        for present in 0..=0xFF {
            let Ok(present) = SecurityPolicy::new(version, present) else {
                continue;
            };
            assert_eq!(present.activate(present.octet()), Ok(present));
            for asked in 0..=0xFF {
                match (SecurityPolicy::new(version, asked), present.activate(asked)) {
                    (Ok(wanted), Ok(activated)) => {
                        assert_eq!(wanted, activated);
                        assert!(covers(activated, present));
                    }
                    (Ok(wanted), Err(error)) => {
                        assert!(matches!(error, PolicyError::Weaker { .. }));
                        assert!(!covers(wanted, present));
                    }
                    (Err(error), activated) => assert_eq!(activated, Err(error)),
                }
            }
        }
    }
}
