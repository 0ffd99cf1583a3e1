//! Evidence: the SMR 5.0 model against the object profile of the Open Smart Grid Platform, which
//! others wrote; robustness of the reader against bad files; else self-agreement.

use std::collections::BTreeSet;

use dlms::axdr::{Data, Tag};
use dlms::cosem::{Obis, ScalerUnit};
use expect_test::expect_file;
use meter::template::{Cell, Source, Template};

/// Text of the smaller model with one change.
fn changed(from: &str, to: &str) -> String {
    let (_, text) = Template::BUILT_IN[1];
    assert!(text.contains(from), "{from:?} is not in the model");
    text.replacen(from, to, 1)
}

#[test]
fn the_models_that_come_with_it_are_sound() {
    for (name, _) in Template::BUILT_IN {
        let template = Template::built_in(name).unwrap();
        assert_eq!(template.name, name);
        assert_eq!(template.capture_period_s, 900);
        assert_eq!(template.rows, 60 * 96);
        assert_eq!(template.channels.len(), 2);
        let load = &template.objects[&"1.0.99.1.0.255".parse().unwrap()];
        let cells: Vec<Cell> = load
            .profile
            .as_ref()
            .unwrap()
            .columns
            .iter()
            .map(|column| column.cell)
            .collect();
        assert_eq!(
            cells,
            [Cell::Time, Cell::Status, Cell::Channel(0), Cell::Channel(1)]
        );
    }
    let error = Template::built_in("smr6").unwrap_err().to_string();
    assert!(error.contains("smr5, idis-like"), "{error}");
}

#[test]
fn the_smr_model_has_what_the_profile_says() {
    let template = Template::built_in("smr5").unwrap();
    let (mut compared, mut absent) = (BTreeSet::new(), BTreeSet::new());
    for line in include_str!("../vectors/smr500.tsv").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [obis, class, version, attribute, kind, access, value] = fields[..] else {
            continue;
        };
        let Ok(obis) = obis.parse::<Obis>() else {
            // One object for each M-Bus channel, if it is no heading.
            if class.parse::<u16>().is_ok() {
                absent.insert(format!("{class} {obis}"));
            }
            continue;
        };
        let Some(object) = template.objects.get(&obis) else {
            absent.insert(format!("{class} {obis}"));
            continue;
        };
        assert_eq!(object.class.to_string(), class, "{obis}");
        assert_eq!(object.version.to_string(), version, "{obis}");
        let Some(attribute) = object.attribute(attribute.parse().unwrap()) else {
            panic!("{obis}: attribute {attribute} is missing");
        };
        let kind = match kind {
            "scal_unit_type" => {
                let Some(Source::Constant(data)) = &attribute.source else {
                    panic!("{obis} has no scaler and unit");
                };
                let ours = ScalerUnit::from_data(data).unwrap();
                let written = format!("{}, {}", ours.scaler, ours.unit).to_uppercase();
                assert_eq!(written, value.to_uppercase(), "{obis}");
                "structure"
            }
            "object_list_type" => "array",
            "associated_partners_type" | "xDLMS_context_type" | "object_definition" => "structure",
            "context_name_type" | "mechanism_name_type" => "octet-string",
            "clock_status" => "unsigned",
            other => other,
        };
        assert_eq!(attribute.tag.name(), kind, "{obis}:{}", attribute.id);
        if access == "R" {
            assert!(attribute.set.is_empty(), "{obis}:{}", attribute.id);
        }
        if (object.class, attribute.id) == (7, 8) {
            let entries = object.profile.as_ref().unwrap().entries;
            assert_eq!(entries.to_string(), value, "{obis}");
        }
        compared.insert(obis);
    }
    let absent: Vec<String> = absent.into_iter().collect();
    let shown = format!(
        "{} objects of the profile are as it says; these, class and name, the model has not:\n{}\n",
        compared.len(),
        absent.join("\n")
    );
    expect_file!["../vectors/smr500-absent.txt"].assert_eq(&shown);
}

#[test]
fn nobody_but_management_may_change_anything() {
    for (name, _) in Template::BUILT_IN {
        let template = Template::built_in(name).unwrap();
        let (management, _) = template.association_of(1).unwrap();
        for (client, seen) in [(16, 7), (2, 40)] {
            let (index, association) = template.association_of(client).unwrap();
            assert!(!association.ciphered());
            let mut visible = 0;
            for object in template.objects.values() {
                for attribute in &object.attributes {
                    assert!(!attribute.set.contains(index), "{}", object.obis);
                }
                for method in &object.methods {
                    assert!(!method.invoke.contains(index), "{}", object.obis);
                }
                visible += usize::from(object.visible_to().contains(index));
            }
            assert!(visible <= seen, "client {client} sees {visible} objects");
        }
        let (_, association) = template.association_of(1).unwrap();
        assert!(association.authenticated && association.encrypted);
        let breaker = &template.objects[&"0.0.96.3.10.255".parse().unwrap()];
        assert!(breaker.method(1).unwrap().invoke.contains(management));
        let (broadcast, association) = template.association_of(102).unwrap();
        assert!(association.pre_established && association.optional);
        for object in template.objects.values() {
            let mut attributes = object.attributes.iter();
            assert!(
                attributes.all(|it| !it.set.contains(broadcast) && !it.get.contains(broadcast)),
                "{}",
                object.obis
            );
            for method in &object.methods {
                let block = (object.class, method.id) == (18, 2);
                assert_eq!(method.invoke.contains(broadcast), block, "{}", object.obis);
            }
        }
        let (collector, association) = template.association_of(3).unwrap();
        assert!(association.authenticated && association.encrypted && association.optional);
        for object in template.objects.values() {
            let mut attributes = object.attributes.iter();
            assert!(
                attributes.all(|it| !it.set.contains(collector)),
                "{}",
                object.obis
            );
            let mut methods = object.methods.iter();
            // Nothing but the reply to the challenge.
            let reply = object.class == 15;
            assert!(
                methods.all(|it| reply || !it.invoke.contains(collector)),
                "{}",
                object.obis
            );
        }
        assert!(template.association_of(4).is_none());
    }
}

#[test]
fn bad_models_are_refused_with_line_and_reason() {
    let cases = [
        (
            "sap = 1",
            "sap = 1\nsip = 2",
            "line 13: unknown field `sip`",
        ),
        (
            "sap = 1",
            "sap = 1\nmax_receive_pdu = 63",
            "line 13: max_receive_pdu is 64 to 2048",
        ),
        ("phases = 1", "phases = 2", "line 11: phases is 1 or 3"),
        (
            "client = 2\n",
            "client = 1\n",
            "its name or client is there twice",
        ),
        (
            "mechanism = \"lls\"",
            "mechanism = \"md5\"",
            "mechanism is none, lls or hls5, not md5",
        ),
        (
            "security_setup = \"0.0.43.0.0.255\"\n",
            "",
            "hls5 needs a security_setup",
        ),
        (
            "\"0.0.43.1.0.255\"\nrequire",
            "\"0.0.43.1.9.255\"\nrequire",
            "there is no Data 0-0:43.1.9",
        ),
        (
            "get = [\"public\"",
            "get = [\"publik\"",
            "there is no association \"publik\"",
        ),
        (
            "class = 17\nversion = 0",
            "class = 17\nversion = 9",
            "this meter has no class 17 version 9",
        ),
        (
            "from = \"energy.import\"",
            "from = \"energy\"",
            "there is no source \"energy\"",
        ),
        (
            "from = \"energy.import\"",
            "value = 1, from = \"energy.import\"",
            "needs one of from",
        ),
        ("unit = \"Wh\"", "unit = \"Wx\"", "\"Wx\" is no unit"),
        (
            "\"1.0.1.8.0.255:2\"",
            "\"1.0.1.7.0.255:2\"",
            "a row holds no such value",
        ),
        (
            "\"1.0.1.8.0.255:2\"",
            "\"1.0.1.9.0.255:2\"",
            "there is no such object",
        ),
        ("entries = 5760", "entries = 4000000000", "entries is 1 to"),
        ("period_s = 900", "period_s = 901", "period_s divides a day"),
        (
            "\"FFFF 03 FE 07",
            "\"FFFF FF FF FF",
            "a change of daylight saving",
        ),
        (
            "type = \"unsigned\", from = \"state.profile_status\"",
            "type = \"octet-string\", from = \"state.profile_status\"",
            "does not fit in octet-string",
        ),
        (
            "id = 7, type = \"octet-string\", get = []",
            "id = 7, type = \"octet-string\"",
            "a secret is never read",
        ),
        (
            "type = \"octet-string\", from = \"identity.serial\"",
            "type = \"octet-string\", set = [\"management\"], from = \"identity.serial\"",
            "nothing behind it can be written",
        ),
        (
            "obis = \"0.0.42.0.0.255\"",
            "obis = \"0.0.42.0.1.255\"",
            "logical device name 0-0:42.0.0, class 1, is missing",
        ),
        ("[model]", "[model", "line 8: "),
    ];
    for (from, to, expected) in cases {
        let error = Template::parse(&changed(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to:?} gave {error}");
    }
    let long = format!("#{}", " ".repeat(2 << 20));
    assert!(Template::parse(&long).is_err());
    assert!(Template::parse("").is_err());
}

#[test]
fn damaged_models_never_panic() {
    let (_, text) = Template::BUILT_IN[1];
    let octets = text.as_bytes();
    let mut refused = 0;
    for at in (0..octets.len()).step_by(41) {
        let mut bad = octets.to_vec();
        bad[at] = b"0\"[]=\n"[at % 6];
        let bad = String::from_utf8_lossy(&bad);
        refused += usize::from(Template::parse(&bad).is_err());
        refused += usize::from(Template::parse(&text[..at]).is_err());
    }
    assert!(refused > octets.len() / 41, "only {refused} refused");
}

#[test]
fn constants_have_their_type() {
    let text = changed(
        "type = \"octet-string\", from = \"identity.serial\"",
        "type = \"octet-string\", value = \"E0001\"",
    );
    let template = Template::parse(&text).unwrap();
    let object = &template.objects[&"0.0.96.1.0.255".parse().unwrap()];
    let attribute = object.attribute(2).unwrap();
    assert_eq!(attribute.tag, Tag::OctetString);
    assert_eq!(
        attribute.source,
        Some(Source::Constant(Data::octet_string(&b"E0001"[..])))
    );
}
