//! Evidence: names as object inventories of real meters have them (facts, in
//! own words), forms as IEC 62056-6-1 and IEC 62056-21 write them.

use std::fmt::Write as _;

use dlms::cosem::Obis;
use dlms::cosem::obis::name;
use expect_test::expect;

#[test]
fn every_form_is_read() {
    for text in [
        "1-0:1.8.0*255",
        "1-0:1.8.0",
        "1-0:1.8.0.255",
        "1.0.1.8.0.255",
        "1.0.1.8.0",
        "1.8.0",
        "1.8.0*255",
        "1.8.0&255",
        "1.8",
        " 1-0:1.8.0 ",
    ] {
        assert_eq!(text.parse(), Ok(Obis::new(1, 0, 1, 8, 0, 255)), "{text}");
    }
    assert_eq!("0-1:24.2.1".parse(), Ok(Obis::new(0, 1, 24, 2, 1, 255)));
    assert_eq!("1-0:1.8.0*101".parse(), Ok(Obis::new(1, 0, 1, 8, 0, 101)));
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "1",
        ".",
        "1.8.",
        "1..8",
        "1.8.256",
        "-1.8.0",
        "1-0:",
        "1:1.8.0",
        "1-0:1.8.0*",
        "1-0:1.8.0*256",
        "1-0:1.8.0.255*255",
        "1.0.1.8.0.255.0",
        "1.0.1.8.0.255*3",
        "1.8.x",
        "+1.8.0",
        "1-0-0:1.8.0",
        "1.8.0.1",
        "१.8.0",
    ] {
        assert!(text.parse::<Obis>().is_err(), "{text}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for f in [0, 99, 101, 255] {
        let obis = Obis::new(1, 0, 99, 1, 0, f);
        assert_eq!(obis.to_string().parse(), Ok(obis));
        assert_eq!(obis.dotted().to_string().parse(), Ok(obis));
    }
    assert_eq!(Obis::new(1, 0, 1, 8, 0, 255).to_string(), "1-0:1.8.0");
    assert_eq!(Obis::new(1, 0, 1, 8, 0, 101).to_string(), "1-0:1.8.0*101");
    assert_eq!(
        Obis::new(1, 0, 1, 8, 0, 255).dotted().to_string(),
        "1.0.1.8.0.255"
    );
}

#[test]
fn codes_that_matter_have_names() {
    let mut names = String::new();
    for text in [
        "0-0:1.0.0",
        "0-0:42.0.0",
        "0-0:40.0.0",
        "0-0:40.0.2",
        "0-0:43.1.3",
        "0-0:96.1.0",
        "0-0:96.3.10",
        "0-0:96.13.1",
        "0-0:99.98.1",
        "0-1:24.2.1",
        "0-2:24.1.0",
        "0-0:97.98.10",
        "1-0:1.8.0",
        "1-0:1.8.2",
        "1-0:2.8.0",
        "1-0:3.8.0",
        "1-0:5.8.0",
        "1-0:9.8.0",
        "1-0:1.7.0",
        "1-0:21.7.0",
        "1-0:41.7.0",
        "1-0:62.7.0",
        "1-0:31.7.0",
        "1-0:52.7.0",
        "1-0:72.24.0",
        "1-0:13.7.0",
        "1-0:33.7.0",
        "1-0:14.7.0",
        "1-0:1.6.0",
        "1-0:1.6.1",
        "1-0:1.4.0",
        "1-0:31.7.124",
        "1-0:32.32.0",
        "1-0:12.31.0",
        "1-0:1.29.0",
        "1-0:99.1.0",
        "1-0:1.8.0*101",
        "1-0:1.8.0*3",
        "1-1:1.8.0",
        "1-0:0.2.0",
    ] {
        let obis = text.parse().unwrap();
        writeln!(names, "{text}: {}", name(obis).unwrap()).unwrap();
    }
    expect![[r#"
        0-0:1.0.0: clock
        0-0:42.0.0: logical device name
        0-0:40.0.0: current association
        0-0:40.0.2: association 2
        0-0:43.1.3: invocation counter 3
        0-0:96.1.0: device ID 1, manufacturing number
        0-0:96.3.10: disconnect control
        0-0:96.13.1: consumer message on the display
        0-0:99.98.1: event log 1
        0-1:24.2.1: M-Bus value 1, channel 1
        0-2:24.1.0: M-Bus client, channel 2
        0-0:97.98.10: alarm filter 1
        1-0:1.8.0: active energy import
        1-0:1.8.2: active energy import, rate 2
        1-0:2.8.0: active energy export
        1-0:3.8.0: reactive energy import
        1-0:5.8.0: reactive energy QI
        1-0:9.8.0: apparent energy import
        1-0:1.7.0: active power import
        1-0:21.7.0: active power import L1
        1-0:41.7.0: active power import L2
        1-0:62.7.0: active power export L3
        1-0:31.7.0: current L1
        1-0:52.7.0: voltage L2
        1-0:72.24.0: voltage L3, running average 3
        1-0:13.7.0: power factor
        1-0:33.7.0: power factor L1
        1-0:14.7.0: frequency
        1-0:1.6.0: active power import, maximum
        1-0:1.6.1: active power import, maximum, rate 1
        1-0:1.4.0: active power import, running average
        1-0:31.7.124: current L1, total harmonic distortion
        1-0:32.32.0: voltage L1, under limit count
        1-0:12.31.0: voltage, any phase, under limit threshold
        1-0:1.29.0: active energy import, recording interval 1
        1-0:99.1.0: load profile 1
        1-0:1.8.0*101: active energy import, last billing period
        1-0:1.8.0*3: active energy import, billing period 3
        1-1:1.8.0: active energy import, channel 1
        1-0:0.2.0: active firmware identifier
    "#]]
    .assert_eq(&names);
    for unknown in [
        "0-0:96.99.0",
        "1-0:128.7.0",
        "1-0:32.8.0",
        "7-0:3.1.0",
        "1-0:1.7.200",
    ] {
        assert_eq!(name(unknown.parse().unwrap()), None, "{unknown}");
    }
}

#[test]
fn every_object_of_the_smr_profile_has_a_name() {
    let profile = include_str!("../../../../meter/tests/vectors/smr500.tsv");
    let mut named = std::collections::BTreeSet::new();
    for line in profile.lines() {
        // Those of M-Bus channels have an x in them.
        let Ok(obis) = line.split('\t').next().unwrap().parse::<Obis>() else {
            continue;
        };
        assert!(name(obis).is_some(), "{obis} has no name");
        named.insert(obis);
    }
    assert!(named.len() > 80, "{}", named.len());
}
