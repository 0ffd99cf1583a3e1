//! Policies. Evidence: the counts of allowed paths that the reference
//! implementation's network and scion-stack gave over the same six ASes, the
//! examples of the language's design document, and properties.

use std::time::Duration;

use proptest::prelude::*;
use scion::address::InterfaceId;
use scion::path::{Path, PathError, Trust};
use scion::policy::{Acl, Policy, Preference, Refusal, Remaining, Sequence};

use crate::network::{ids, isd_as, path, six};

fn fence(text: &str) -> Policy {
    Policy {
        acl: Some(text.parse().unwrap()),
        ..Policy::default()
    }
}

fn allowed(text: &str) -> Vec<u8> {
    let mut ids = ids(fence(text).allowed(&six(), 0));
    ids.sort_unstable();
    ids
}

#[test]
fn fences_leave_what_the_reference_leaves() {
    assert_eq!(allowed("+"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(allowed("- 3 +"), [1, 2, 3, 4]);
    assert_eq!(allowed("- 1-ff00:0:110 +"), [3, 4]);
    assert_eq!(allowed("- 2-ff00:0:210#3 +"), [1, 2, 5, 6]);
    assert_eq!(allowed("- 2-ff00:0:211#1 +"), [2, 4, 6]);
    assert_eq!(allowed("- 2-ff00:0:210 +"), [0; 0]);
    // The first entry that fits decides.
    assert_eq!(allowed("+ 3-ff00:0:310 - 3 +"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(allowed("+ 2 + 1 -"), [1, 2, 3, 4]);
    assert_eq!(allowed("-"), [0; 0]);
    assert_eq!(allowed("- 0-0#0"), [0; 0]);
    // Two interfaces are asked one at a time: the 0 fits every way out.
    assert_eq!(allowed("- 2-ff00:0:210#10,0 +"), [0; 0]);
    assert_eq!(allowed("- 2-ff00:0:210#10 +"), [2, 4, 6]);
    assert_eq!(allowed("- 2-ff00:0:210#0,3 + 1 + 2-ff00:0:211 -"), [0; 0]);
}

fn follows(text: &str) -> Vec<u8> {
    let sequence: Sequence = text.parse().unwrap();
    let six = six();
    ids(six.iter().filter(|path| sequence.matches(path)))
}

#[test]
fn patterns_follow_the_whole_path() {
    assert_eq!(follows("2-ff00:0:211 2+ 3+ 1+"), [5, 6]);
    assert_eq!(follows("0*"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(follows("0 0 0 0"), [1, 2, 3, 4]);
    assert_eq!(follows("0 0 0 0 0"), [5, 6]);
    assert_eq!(follows("2 2 1"), [0; 0]);
    assert_eq!(follows("2 2 3? 1 1"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(follows("2-ff00:0:211#2 2-ff00:0:210#11,1 0+"), [2]);
    assert_eq!(follows("0 2-ff00:0:210#3 0*"), [3, 4]);
    assert_eq!(follows("0 2-ff00:0:210#3,0 0*"), [0; 0]);
    // Either binds closer than one after another.
    assert_eq!(
        follows("2 2 1-ff00:0:110 | 1-ff00:0:120 1-ff00:0:111"),
        [1, 2, 3, 4]
    );
    assert_eq!(
        follows("(2 2 1-ff00:0:110)|(2 2 3 1-ff00:0:110) 1"),
        [1, 2, 5, 6]
    );
    assert_eq!(follows("((2)+ (3|1-ff00:0:110)*)?+ 1"), [1, 2, 5, 6]);
}

#[test]
fn nested_repetitions_are_no_trap() {
    let mut text = "0".to_owned();
    for _ in 0..31 {
        text = format!("({text}* 0*)*");
    }
    assert_eq!(follows(&text), [1, 2, 3, 4, 5, 6]);
    assert!(format!("({text})").parse::<Sequence>().is_ok());
    assert!(
        format!("(({text}))").parse::<Sequence>().is_err(),
        "too deep"
    );
    let signs = format!("0{}", "+".repeat(4_000));
    assert_eq!(follows(&signs), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn wrong_texts_say_where_and_why() {
    let acl = |text: &str| text.parse::<Acl>().unwrap_err().to_string();
    let sequence = |text: &str| text.parse::<Sequence>().unwrap_err().to_string();
    expect_test::expect![[r#"
        at character 1: a policy is not empty: write + to allow everything
        at character 4: the last entry is to say what becomes of all else: + or -
        at character 1: a blank belongs between the sign and the hop in "-3"
        at character 1: "3" begins with neither + nor -
        at character 3: entries behind one that matches everything are never asked
        at character 3: "1-ff00:0" is no hop: an AS is a number up to 4294967295, or three hexadecimal groups: ff00:0:110
        at character 3: "1-0#4" has interfaces of an AS that it does not name
        at character 3: "1#4" is no hop: an isolation domain is a number from 0 to 65535
        at character 3: "1-2#3,4,5" is no hop: an interface is a number from 0 to 65535
        at character 1: the policy is too long or too deep
        at character 1: a policy is not empty: write + to allow everything
        at character 5: a parenthesis is not closed
        at character 3: ')' was not expected here
        at character 2: ')' was not expected here
        at character 5: a policy is not empty: write + to allow everything
        at character 1: '?' was not expected here
        at character 3: '-' was not expected here
        at character 1: "1-x" is no hop: an AS is a number up to 4294967295, or three hexadecimal groups: ff00:0:110"#]]
    .assert_eq(
        &[
            acl(" "),
            acl("- 3"),
            acl("-3 +"),
            acl("3 +"),
            acl("+ - 3 +"),
            acl("- 1-ff00:0 +"),
            acl("- 1-0#4 +"),
            acl("- 1#4 +"),
            acl("- 1-2#3,4,5 +"),
            acl(&"- 3 ".repeat(2_000)),
            sequence(""),
            sequence("(1 2"),
            sequence("1 )"),
            sequence("()"),
            sequence("1 | "),
            sequence("?1"),
            sequence("1 -0"),
            sequence("1-x"),
        ]
        .join("\n"),
    );
}

#[test]
fn an_empty_fence_says_which_entry_denied() {
    let policy = fence("- 3 - 2-ff00:0:210 +");
    let six = six();
    let preview = policy.preview(&six, 0);
    assert_eq!(preview.allowed(), 0);
    assert_eq!(preview.remaining(), Remaining::None);
    let (_, why) = &preview.paths[0];
    assert_eq!(
        why.as_ref().unwrap().to_string(),
        "2-ff00:0:210#10 is denied by \"- 2-ff00:0:210\""
    );
}

#[test]
fn a_preview_warns_of_one_link_that_decides() {
    let six = six();
    let remaining = |text: &str| fence(text).preview(&six, 0).remaining();
    assert_eq!(remaining("- 3 +"), Remaining::Several);
    assert_eq!(
        remaining("- 3 - 2-ff00:0:210#3 - 2-ff00:0:211#2 +"),
        Remaining::One
    );
    assert_eq!(
        remaining("- 2-ff00:0:211#2 +"),
        Remaining::OneLinkDecides {
            isd_as: isd_as(211),
            interface: InterfaceId(1)
        }
    );
}

#[test]
fn preferences_put_the_allowed_in_order() {
    let mut six = six();
    let by = |preferences: &[Preference], paths: &[Path]| {
        let policy = Policy {
            preferences: preferences.to_vec(),
            ..Policy::default()
        };
        ids(policy.allowed(paths, 0))
    };
    assert_eq!(by(&[], &six), [1, 2, 3, 4, 5, 6]);
    six[4].latency = Some(Duration::from_millis(1));
    six[0].latency = None;
    assert_eq!(by(&[Preference::Latency], &six), [5, 2, 3, 4, 6, 1]);
    assert_eq!(
        by(&[Preference::Hops, Preference::Latency], &six),
        [2, 3, 4, 1, 5, 6]
    );
    six[3].mtu = Some(1_400);
    assert_eq!(by(&[Preference::Mtu], &six)[0], 4);
}

#[test]
fn what_is_not_known_is_not_assumed() {
    let mut six = six();
    six[0].trust = Trust::Daemon;
    six[1].expiry = Some(100);
    six[2].latency = None;
    let verified = Policy {
        verified_only: true,
        ..Policy::default()
    };
    assert_eq!(ids(verified.allowed(&six, 0)), [1]);
    assert_eq!(verified.judge(&six[1], 0), Err(Refusal::NotVerified));
    assert_eq!(Policy::default().judge(&six[1], 100), Err(Refusal::Expired));
    assert_eq!(Policy::default().judge(&six[1], 99), Ok(()));
    let fast = Policy {
        max_latency: Some(Duration::from_millis(15)),
        ..Policy::default()
    };
    assert_eq!(ids(fast.allowed(&six, 0)), [1, 2]);
}

#[test]
fn a_path_within_an_as_crosses_no_fence() {
    let within = Path::within(isd_as(111));
    assert_eq!(fence("- 1 +").judge(&within, 0), Ok(()));
    assert!("1".parse::<Sequence>().unwrap().matches(&within));
    assert!(!"1 1".parse::<Sequence>().unwrap().matches(&within));
}

#[test]
fn interfaces_that_are_no_path_are_refused() {
    let new = |interfaces: &[(u16, u16)]| {
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|(asn, interface)| (isd_as(*asn), InterfaceId(*interface)))
            .collect();
        Path::new(scion::path::Fingerprint([0; 32]), &interfaces)
    };
    assert_eq!(new(&[]), Err(PathError::Length(0)));
    assert_eq!(new(&[(111, 1)]), Err(PathError::OddInterfaces(1)));
    assert_eq!(
        new(&[(111, 1), (110, 1), (120, 2), (210, 1)]),
        Err(PathError::Torn(1, 2))
    );
    assert_eq!(new(&[(111, 1), (110, 0)]), Err(PathError::NoInterface(1)));
    assert_eq!(new(&[(111, 0), (110, 1)]), Err(PathError::NoInterface(0)));
    let long: Vec<_> = (0..128).map(|n| (100 + u16::div_ceil(n, 2), 1)).collect();
    assert_eq!(new(&long), Err(PathError::Length(65)));
    assert!(new(&long[..126]).is_ok());
    assert_eq!(
        path(1, &[(111, 1), (110, 10), (110, 1), (210, 1)]).to_string(),
        "1-ff00:0:111 1>10 1-ff00:0:110 1>1 2-ff00:0:210"
    );
}

proptest! {
    /// What is written is read again as the same.
    #[test]
    fn texts_come_back(entries in prop::collection::vec(
        ("[+-]", 0_u16..4, prop::option::of((0_u32..3, prop::option::of(0_u16..3)))), 0..8
    ), end in "[+-]") {
        let mut text = String::new();
        for (sign, isd, rest) in entries {
            let mut hop = isd.to_string();
            if let Some((asn, interface)) = rest {
                hop.push_str(&format!("-{asn}"));
                if let (Some(interface), true) = (interface, asn != 0) {
                    hop.push_str(&format!("#{interface}"));
                }
            }
            if !hop.starts_with('0') {
                text.push_str(&format!("{sign} {hop} "));
            }
        }
        text.push_str(&end);
        let acl: Acl = text.parse().unwrap();
        prop_assert_eq!(acl.to_string().parse::<Acl>().unwrap(), acl);
    }

    /// No text makes a parser panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[-+0-9#,:|()?* a-f]{0,64}") {
        if let Ok(sequence) = text.parse::<Sequence>() {
            for path in six() {
                let followed = sequence.matches(&path);
                prop_assert_eq!(followed, sequence.clone().matches(&path));
            }
            prop_assert!(sequence.to_string().parse::<Sequence>().is_ok());
        }
        if let Ok(acl) = text.parse::<Acl>() {
            prop_assert!(acl.to_string().parse::<Acl>().is_ok());
        }
    }

    /// A fence that denies an AS lets no path through that AS.
    #[test]
    fn no_allowed_path_touches_what_is_denied(denied in prop::sample::select(vec![110_u16, 120, 210, 310, 111, 211])) {
        let policy = fence(&format!("- {} +", isd_as(denied)));
        for path in policy.allowed(&six(), 0) {
            prop_assert!(path.interfaces().all(|(at, _, _)| at != isd_as(denied)));
        }
    }
}
