//! The XML messages. Evidence: the texts of the article's figures 5 to 9, remarks included; the
//! schema held against what is written by libxml2, where its program is installed; properties.

use std::io::Write as _;
use std::process::{Command, Stdio};

use model::MessageClass;
use model::xml::{
    CivilDate, CivilDateTime, OutletId, OutletPower, Section, Sections, SmartMeterId, Switch,
    ToServer, ToSmartMeter, WriteError, XmlMessage,
};
use proptest::prelude::*;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Figures 5 to 9: the class, the text as printed, and what it says.
fn figures() -> Vec<(MessageClass, String, XmlMessage)> {
    let time = |text: &str| text.parse::<CivilDateTime>().unwrap();
    let sent = time("2012-06-01 12:07:40");
    let text = |body: &str| format!("{DECLARATION}{body}\n");
    vec![
        (
            MessageClass::Control,
            text(
                "<SM>\n  <type>1</type>\n  <timestamp>2012-06-01 12:07:40</timestamp>\n  <cmd>\n    \
                 <devices>1</devices>\n    <outlet>\n      <oid>001</oid>\n      <status>1</status>\n    \
                 </outlet>\n  </cmd>\n</SM>",
            ),
            XmlMessage::ToSmartMeter(ToSmartMeter::ControlOnOff {
                timestamp: sent,
                outlets: vec![(OutletId(1), Switch::On)],
            }),
        ),
        (
            MessageClass::Request,
            text(
                "<SM>\n  <type>2</type>\n  <timestamp>2012-06-01 12:07:40</timestamp>\n  <cmd>\n    \
                 <devtype>outlet</devtype>\n    <oid>001</oid>\n    <rtday>2012-05-31</rtday>\n    \
                 <section_start>1</section_start> //00:00:00 to 00:10:00\n    \
                 <section_end>144</section_end> //23:50:00 to 00:00:00\n  </cmd>\n</SM>",
            ),
            XmlMessage::ToSmartMeter(ToSmartMeter::Retransmission {
                timestamp: sent,
                outlet: OutletId(1),
                day: CivilDate::new(2012, 5, 31).unwrap(),
                sections: Sections::DAY,
            }),
        ),
        (
            MessageClass::Billing,
            text(
                "<SM>\n  <type>3</type>\n  <timestamp>2012-06-01 12:07:40</timestamp>\n  <cmd>\n    \
                 <month>5</month>\n    <day_start>20</day_start>\n    <day_end>26</day_end>\n    \
                 <total_cost>100</total_cost> // TW dollar\n  </cmd>\n</SM>",
            ),
            XmlMessage::ToSmartMeter(ToSmartMeter::PowerCost {
                timestamp: sent,
                month: 5,
                day_start: 20,
                day_end: 26,
                total_cost: 100,
            }),
        ),
        (
            MessageClass::Usage,
            text(
                "<server>\n  <type>1</type>\n  <smlogin>\n    <sid>001</sid>\n    \
                 <timestamp>2012-05-31 23:50:00</timestamp>\n  </smlogin>\n  <rpoutlet>\n    \
                 <devices>1</devices>\n    <outlet>\n      <oid>001</oid>\n      \
                 <data>109,50,10</data>\n    </outlet>\n  </rpoutlet>\n</server>",
            ),
            XmlMessage::ToServer(ToServer::QueryPower {
                meter: SmartMeterId(1),
                timestamp: time("2012-05-31 23:50:00"),
                outlets: vec![(
                    OutletId(1),
                    OutletPower {
                        volts: 109,
                        milliamperes: 50,
                        watts: 10,
                    },
                )],
            }),
        ),
        (
            MessageClass::Warning,
            text(
                "<server>\n  <type>2</type>\n  <smlogin>\n    <sid>001</sid>\n    \
                 <timestamp>2012-05-31 12:00:40</timestamp>\n  </smlogin>\n  <rpsm>\n    \
                 <devices>1</devices>\n    <outlet>\n      <oid>001</oid>\n      \
                 <report>1</report>\n    </outlet>\n  </rpsm>\n</server>",
            ),
            XmlMessage::ToServer(ToServer::WarnToChange {
                meter: SmartMeterId(1),
                timestamp: time("2012-05-31 12:00:40"),
                outlets: vec![(OutletId(1), 1)],
            }),
        ),
    ]
}

#[test]
fn the_figures_are_read_and_written() {
    for (class, text, message) in figures() {
        assert_eq!(XmlMessage::read(text.as_bytes()).unwrap(), message);
        assert_eq!(message.class(), class);
        let plain: Vec<_> = text
            .lines()
            .map(|line| line.split(" //").next().unwrap())
            .collect();
        let written = message.write().unwrap();
        assert_eq!(
            written,
            format!("{}\n", plain.join("\n")),
            "without its remarks"
        );
        assert_eq!(XmlMessage::read(written.as_bytes()).unwrap(), message);
        // No white space, a byte order mark, comments: all the same.
        let bare: String = written.lines().map(str::trim).collect();
        assert_eq!(XmlMessage::read(bare.as_bytes()).unwrap(), message);
        let marked = format!("\u{feff}{written}<!-- end -->");
        assert_eq!(XmlMessage::read(marked.as_bytes()).unwrap(), message);
    }
}

#[test]
fn refusals_say_where_and_why() {
    let control = |inner: &str| {
        format!(
            "<SM><type>1</type><timestamp>2012-06-01 12:07:40</timestamp><cmd>{inner}</cmd></SM>"
        )
    };
    let one = "<outlet><oid>001</oid><status>1</status></outlet>";
    let refused = [
        String::new(),
        "<SM>".to_owned(),
        "<SM></server>".to_owned(),
        "<meter></meter>".to_owned(),
        "<SM><type>4</type><timestamp>2012-06-01 12:07:40</timestamp><cmd></cmd></SM>".to_owned(),
        "<SM><type>1</type><timestamp>2012-06-31 12:07:40</timestamp><cmd></cmd></SM>".to_owned(),
        "<SM><type>1</type><timestamp>2012-6-1 12:07:40</timestamp><cmd></cmd></SM>".to_owned(),
        control(""),
        control(&format!("<devices>2</devices>{one}")),
        control(&format!("<devices>2</devices>{one}{one}")),
        control(&format!("<devices>1</devices>{one}<cmd></cmd>")),
        control("<devices>1</devices><outlet><status>1</status></outlet>"),
        control("<devices>1</devices><outlet><oid>-1</oid><status>1</status></outlet>"),
        control("<devices>1</devices><outlet><oid>4294967296</oid><status>1</status></outlet>"),
        control("<devices>1</devices><outlet><oid>1</oid><status>2</status></outlet>"),
        control("<devices>1</devices><outlet><oid>1</oid><status>1</status><x></x></outlet>"),
        control("<devices>1</devices><outlet><oid>1</oid><status><b>1</b></status></outlet>"),
        control("<devices>1</devices><outlet/>"),
        control(&format!("TW dollar <devices>1</devices>{one}")),
        control(&format!("<devices a=\"1\">1</devices>{one}")),
        control(&format!("<devices>&#49;</devices>{one}")),
        control(&format!("<devices><![CDATA[1]]></devices>{one}")),
        control(&format!("<devices>{}</devices>{one}", "1".repeat(65))),
        "<a><b><c><d><e></e></d></c></b></a>".to_owned(),
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?><SM></SM>".to_owned(),
        "<SM></SM><SM></SM>".to_owned(),
        "<SM></SM>1".to_owned(),
        "<?php 1 ?><SM></SM>".to_owned(),
        "<!DOCTYPE SM [<!ENTITY a \"b\">]><SM></SM>".to_owned(),
    ];
    let told: Vec<_> = refused
        .iter()
        .map(|text| XmlMessage::read(text.as_bytes()).unwrap_err().to_string())
        .collect();
    expect_test::expect![[r#"
        offset 0: not well-formed XML: there is no element
        offset 4: not well-formed XML: <SM> is not closed
        offset 4: not well-formed XML: ill-formed document: expected `</SM>`, but `</server>` was found
        offset 0: the root is <SM> or <server>, not <meter>
        offset 10: type "4" is none of 1 (Control_On_Off), 2 (Retransmission) and 3 (Power_Cost)
        offset 29: <timestamp> should be a day and time that there is, not "2012-06-31 12:07:40"
        offset 29: <timestamp> should be a time like 2012-06-01 12:07:40, or a day like 2012-06-01, not "2012-6-1 12:07:40"
        offset 65: <devices> was expected in <cmd>, there is none
        offset 74: <devices> says 2, outlets there: 1
        offset 134: outlet 001 is there twice
        offset 74: <devices> says 1, outlets there: 2
        offset 93: <oid> was expected in <outlet>, there is <status>
        offset 98: <oid> should be a whole number within its range, not "-1"
        offset 98: <oid> should be a whole number within its range, not "4294967296"
        offset 113: <status> should be 0 (off) or 1 (on), not "2"
        offset 123: <x> was not expected in <outlet>
        offset 113: the message is too large: too deep
        offset 85: <outlet> was not expected in <cmd>
        offset 65: text between elements has no place in a message
        offset 65: an attribute has no place in a message
        offset 74: an entity has no place in a message
        offset 74: CDATA has no place in a message
        offset 74: the message is too large: a text is too long
        offset 12: the message is too large: too deep
        offset 0: an encoding other than UTF-8 has no place in a message
        offset 9: a second root has no place in a message
        offset 9: text outside the root has no place in a message
        offset 0: a processing instruction has no place in a message
        offset 0: a document type has no place in a message"#]].assert_eq(&told.join("\n"));
    let bad = b"<SM><type>\xff</type></SM>";
    assert!(
        XmlMessage::read(bad)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
}

#[test]
fn bombs_are_refused_early() {
    let laughs =
        "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol1 \"&lol;&lol;&lol;\">]><SM>&lol1;</SM>";
    assert!(
        XmlMessage::read(laughs.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("document type")
    );
    let deep = "<SM>".repeat(50_000);
    assert!(
        XmlMessage::read(deep.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("too deep")
    );
    let wide = format!("<SM>{}</SM>", "<a></a>".repeat(5_000));
    assert!(
        XmlMessage::read(wide.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("too many")
    );
    let long = format!("<SM><type>{}", "1".repeat(300_000));
    assert!(
        XmlMessage::read(long.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("256 KiB")
    );
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let timestamp = "2012-06-01 12:07:40".parse().unwrap();
    let control = |outlets| {
        XmlMessage::ToSmartMeter(ToSmartMeter::ControlOnOff { timestamp, outlets }).write()
    };
    assert_eq!(control(vec![]), Err(WriteError::Outlets(0)));
    let many = (0..1_001).map(|id| (OutletId(id), Switch::On)).collect();
    assert_eq!(control(many), Err(WriteError::Outlets(1_001)));
    let twice = vec![(OutletId(1), Switch::On), (OutletId(1), Switch::Off)];
    assert_eq!(control(twice), Err(WriteError::Twice(OutletId(1))));
    let most = (0..1_000)
        .map(|id| (OutletId(u32::MAX - id), Switch::On))
        .collect();
    assert!(XmlMessage::read(control(most).unwrap().as_bytes()).is_ok());
    let cost = |month, day_start, day_end| {
        let total_cost = 1;
        XmlMessage::ToSmartMeter(ToSmartMeter::PowerCost {
            timestamp,
            month,
            day_start,
            day_end,
            total_cost,
        })
        .write()
    };
    assert!(cost(2, 29, 29).is_ok());
    for (month, day_start, day_end) in [(13, 1, 1), (0, 1, 1), (2, 1, 30), (5, 0, 1), (5, 2, 1)] {
        assert!(matches!(
            cost(month, day_start, day_end),
            Err(WriteError::Days { .. })
        ));
    }
}

#[test]
fn sections_are_ten_minutes_of_a_day() {
    let day = CivilDate::new(2012, 5, 31).unwrap();
    let section = |number| Section::new(number).unwrap();
    assert_eq!(day.at(section(1)).to_string(), "2012-05-31 00:00:00");
    assert_eq!(day.at(section(144)).to_string(), "2012-05-31 23:50:00");
    for sec in Sections::DAY.iter() {
        assert_eq!(day.at(sec).section(), sec);
    }
    assert_eq!(Sections::DAY.iter().count(), 144);
    let last: CivilDateTime = "2012-05-31 23:59:59".parse().unwrap();
    assert_eq!(last.section(), section(144));
    assert!(Section::new(0).is_err());
    assert!(Section::new(145).is_err());
    assert!(Sections::new(section(2), section(1)).is_err());
    for text in [
        "2011-02-29",
        "1900-02-29",
        "2012-13-01",
        "2012-00-01",
        "2012-01-00",
    ] {
        assert!(text.parse::<CivilDate>().is_err(), "{text}");
    }
    assert!("2000-02-29".parse::<CivilDate>().is_ok());
    for text in [
        "2012-05-31 24:00:00",
        "2012-05-31 23:60:00",
        "2012-05-31T23:00:00",
        "+012-05-31 1:00:00",
    ] {
        assert!(text.parse::<CivilDateTime>().is_err(), "{text}");
    }
}

/// Tells what libxml2's program says of a text and the schema; none where it is not installed.
fn xmllint(text: &str) -> Option<bool> {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/messages.xsd");
    let mut child = Command::new("xmllint")
        .args(["--noout", "--schema", schema, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    Some(child.wait().unwrap().success())
}

#[test]
fn what_is_written_follows_the_schema() {
    for (_, _, message) in figures() {
        let text = message.write().unwrap();
        let Some(valid) = xmllint(&text) else {
            println!("skipped: xmllint is not installed (Debian: libxml2-utils)");
            return;
        };
        assert!(valid, "{text}");
        let wrong = text.replacen("<timestamp>2012", "<timestamp>12", 1);
        assert_eq!(xmllint(&wrong), Some(false), "the schema can refuse");
    }
}

fn outlets<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(OutletId, T)>> {
    prop::collection::vec((any::<u32>(), value), 1..20).prop_map(|outlets| {
        let mut seen = std::collections::BTreeSet::new();
        let unique = outlets.into_iter().filter(|(id, _)| seen.insert(*id));
        unique.map(|(id, value)| (OutletId(id), value)).collect()
    })
}

fn time() -> impl Strategy<Value = CivilDateTime> {
    (
        0_u16..10_000,
        1_u8..13,
        1_u8..29,
        0_u8..24,
        0_u8..60,
        0_u8..60,
    )
        .prop_map(|(year, month, day, hour, minute, second)| {
            let date = CivilDate::new(year, month, day).unwrap();
            CivilDateTime::new(date, hour, minute, second).unwrap()
        })
}

fn message() -> impl Strategy<Value = XmlMessage> {
    let switch = prop_oneof![Just(Switch::Off), Just(Switch::On)];
    let power = any::<(u32, u32, u32)>().prop_map(|(volts, milliamperes, watts)| OutletPower {
        volts,
        milliamperes,
        watts,
    });
    prop_oneof![
        (time(), outlets(switch)).prop_map(|(timestamp, outlets)| XmlMessage::ToSmartMeter(
            ToSmartMeter::ControlOnOff { timestamp, outlets }
        )),
        (time(), any::<u32>(), 1_u8..145, 1_u8..145).prop_map(|(timestamp, outlet, one, other)| {
            let section = |number| Section::new(number).unwrap();
            XmlMessage::ToSmartMeter(ToSmartMeter::Retransmission {
                timestamp,
                outlet: OutletId(outlet),
                day: timestamp.date(),
                sections: Sections::new(section(one.min(other)), section(one.max(other))).unwrap(),
            })
        }),
        (time(), 1_u8..13, 1_u8..30, 1_u8..30, any::<u64>()).prop_map(
            |(timestamp, month, one, other, total_cost)| {
                XmlMessage::ToSmartMeter(ToSmartMeter::PowerCost {
                    timestamp,
                    month,
                    day_start: one.min(other),
                    day_end: one.max(other),
                    total_cost,
                })
            }
        ),
        (any::<u32>(), time(), outlets(power)).prop_map(|(meter, timestamp, outlets)| {
            XmlMessage::ToServer(ToServer::QueryPower {
                meter: SmartMeterId(meter),
                timestamp,
                outlets,
            })
        }),
        (any::<u32>(), time(), outlets(any::<u8>())).prop_map(|(meter, timestamp, outlets)| {
            XmlMessage::ToServer(ToServer::WarnToChange {
                meter: SmartMeterId(meter),
                timestamp,
                outlets,
            })
        }),
    ]
}

proptest! {
    /// Every message comes back from its text.
    #[test]
    fn messages_come_back(message in message()) {
        let text = message.write().unwrap();
        prop_assert_eq!(XmlMessage::read(text.as_bytes()).unwrap(), message);
    }

    /// A message with an octet changed is read as some message or refused, and what is read can
    /// be written.
    #[test]
    fn damage_is_refused_or_read(message in message(), place in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut octets = message.write().unwrap().into_bytes();
        let place = place.index(octets.len());
        octets[place] = octet;
        if let Ok(read) = XmlMessage::read(&octets) {
            prop_assert!(read.write().is_ok());
        }
        // But for the line feed at its end, a part of a message is none.
        octets.truncate(place.min(octets.len() - 2));
        prop_assert!(XmlMessage::read(&octets).is_err());
    }
}
