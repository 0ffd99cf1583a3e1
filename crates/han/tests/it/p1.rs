//! Telegrams of P1 ports. Evidence: third-party octets with their checksums
//! (private ones at run time); the telegrams in here are the published
//! examples of standards, or made up with a checksum computed by the code
//! under test, which the private ones check.

use dlms::cosem::Obis;
use han::measure::{Basis, Zone};
use han::p1::{Deframer, Telegram};
use model::Timestamp;

use crate::captures;

/// The example of DSMR 5.0.2 P1, as dsmr_parser (MIT) carries it
/// (`TELEGRAM_V5`, shortened), with other serial numbers.
pub(crate) const DSMR_5: &str = "/ISk5\\2MT382-1000\r\n\r\n\
    1-3:0.2.8(50)\r\n\
    0-0:1.0.0(170102192002W)\r\n\
    0-0:96.1.1(4B384547303034303436333935353037)\r\n\
    1-0:1.8.1(000004.426*kWh)\r\n\
    1-0:1.8.2(000002.399*kWh)\r\n\
    1-0:2.8.1(000002.444*kWh)\r\n\
    1-0:2.8.2(000000.000*kWh)\r\n\
    0-0:96.14.0(0002)\r\n\
    1-0:1.7.0(00.244*kW)\r\n\
    1-0:2.7.0(00.000*kW)\r\n\
    0-0:96.7.21(00013)\r\n\
    1-0:99.97.0(1)(0-0:96.7.19)(161129200000W)(0000002014*s)\r\n\
    1-0:32.7.0(0230.0*V)\r\n\
    1-0:31.7.0(0.48*A)\r\n\
    0-0:96.13.0()\r\n\
    0-1:24.1.0(003)\r\n\
    0-1:96.1.0(3232323241424344313233343536373839)\r\n\
    0-1:24.2.1(170102161005W)(00000.107*m3)\r\n\
    !\r\n";

/// DSMR 2.2+ has a gas reading in two lines, and no checksum.
const DSMR_2: &str = "/ISk5\\2MT382-1000\r\n\r\n\
    0-0:96.1.1(4B384547303034303436333935353037)\r\n\
    1-0:1.8.1(12345.678*kWh)\r\n\
    0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n\
    (00001.001)\r\n\
    0-1:24.4.0(1)\r\n\
    !\r\n";

/// With a checksum.
pub(crate) const SUMMED: &str = "/TST5\\253000000_A\r\n\r\n1-0:1.7.0(00.338*kW)\r\n!D33F\r\n";

fn value(telegram: &Telegram<'_>, obis: [u8; 6]) -> String {
    let report = telegram.report();
    let found = report.values.iter().find(|value| value.obis == Obis(obis));
    found.map_or_else(String::new, |value| value.quantity.to_string())
}

#[test]
fn the_standards_example_is_read() {
    let telegram = Telegram::decode(DSMR_5.as_bytes()).unwrap();
    assert_eq!(telegram.identification, "ISk5\\2MT382-1000");
    assert_eq!(telegram.objects.len(), 18);
    assert_eq!(telegram.length, DSMR_5.len());
    let report = telegram.report();
    assert_eq!(report.meter.as_deref(), Some("K8EG004046395507"));
    assert_eq!(value(&telegram, [1, 0, 1, 8, 1, 255]), "4426 Wh");
    assert_eq!(value(&telegram, [1, 0, 31, 7, 0, 255]), "0.48 A");
    assert_eq!(value(&telegram, [0, 0, 96, 7, 21, 255]), "13");
    assert_eq!(report.total(1).unwrap().to_string(), "6825 Wh");
    assert_eq!(report.net_power().unwrap().to_string(), "244 W");
    // The log of failures is no value of now.
    assert!(!report.values.iter().any(|value| value.obis.0[2] == 99));
    let time = report.time.unwrap();
    assert_eq!(
        time.zone,
        Zone::Local {
            daylight_saving: Some(false)
        }
    );
    assert_eq!(time.instant(None), None);
    assert_eq!(
        time.instant(Some(60)),
        Some(Timestamp::from_secs(1_483_381_202))
    );
    // The gas meter's hour, not the telegram's.
    let gas = report
        .values
        .iter()
        .find(|value| value.obis.0[2] == 24)
        .unwrap();
    assert_eq!(gas.quantity.to_string(), "0.107 m³");
    assert_eq!(
        gas.time.unwrap().instant(Some(60)),
        Some(Timestamp::from_secs(1_483_369_805))
    );
}

#[test]
fn readings_before_version_4_stand_in_two_lines() {
    let telegram = Telegram::decode(DSMR_2.as_bytes()).unwrap();
    assert_eq!(telegram.checksum, None);
    assert_eq!(value(&telegram, [0, 1, 24, 2, 1, 255]), "1.001 m³");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases: [(&str, &str); 7] = [
        ("", "byte 0: truncated in P1 start"),
        ("x", "byte 0: unexpected tag 0x78 in P1 start"),
        (
            "/X\r\n1-0:1.7.0(1*kW)\r\n",
            "byte 21: truncated in P1 telegram",
        ),
        (
            "/X\r\n1-0:1.7.0\r\n!\r\n",
            "byte 13: truncated in P1 object",
        ),
        (
            "/X\r\n1-0:1.7.0(1\r\n!\r\n",
            "byte 13: truncated in P1 value",
        ),
        (
            "/X\r\n1-0:1.7.0(1)x\r\n!\r\n",
            "byte 16: trailing octets in P1 object",
        ),
        (
            "/X\r\n1-0:1.7.0(1)\r\n!12345\r\n",
            "byte 19: bad value in P1 checksum",
        ),
    ];
    for (text, reason) in cases {
        let error = Telegram::decode(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), reason, "{text:?}");
    }
}

#[test]
fn a_changed_digit_is_found() {
    let right = Telegram::decode(SUMMED.as_bytes()).unwrap();
    assert!(right.checksum.is_some());
    let wrong = SUMMED.replace("338", "339");
    let error = Telegram::decode(wrong.as_bytes()).unwrap_err();
    assert!(error.to_string().ends_with("bad checksum in P1 checksum"));
    // Editors and version control change line ends; the digits are the same.
    let changed = SUMMED.replace("\r\n", "\n");
    assert!(
        Telegram::decode(changed.as_bytes())
            .unwrap()
            .line_ends_changed
    );
}

#[test]
fn numbers_without_meaning_are_no_values() {
    let text = "/X\r\n1-0:13.7.0(0.556)\r\n0-0:96.14.0(0001)\r\n1-0:1.8.0(1*furlong)\r\n\
        1-0:2.8.0(-*kWh)\r\n1-0:2.7.0(*kW)\r\n!\r\n";
    let report = Telegram::decode(text.as_bytes()).unwrap().report();
    let [factor] = report.values.as_slice() else {
        panic!("{:?}", report.values);
    };
    assert_eq!(factor.quantity.to_string(), "0.556");
    assert_eq!(factor.basis, Basis::Listed);
}

#[test]
fn telegrams_are_found_in_a_stream() {
    let stream = [
        &DSMR_5[100..],
        SUMMED,
        "noise",
        SUMMED,
        &SUMMED[..30],
        SUMMED,
    ]
    .concat();
    let mut deframer = Deframer::new();
    let mut input = stream.as_bytes();
    let mut found = 0;
    while let Some(telegram) = deframer.next(&mut input) {
        assert_eq!(telegram, SUMMED.as_bytes());
        found += 1;
    }
    assert_eq!(found, 3);
    assert_eq!(deframer.counters().telegrams, 3);
}

#[test]
fn real_telegrams_are_read() {
    let vectors = captures::vectors("p1-");
    for (name, vector) in &vectors {
        let Some(objects) = vector["expect"]["objects"].as_array() else {
            continue;
        };
        let octets = captures::octets(vector);
        let telegram = Telegram::decode(&octets).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(telegram.objects.len(), objects.len(), "{name}");
        assert_eq!(
            telegram.checksum.is_some(),
            vector["expect"]["crc"].is_string(),
            "{name}"
        );
        for object in objects {
            let (code, rest) = (object[0].as_str().unwrap(), object[1].as_str().unwrap());
            let cells = rest.split_once('(').map_or("", |(_, cells)| cells);
            let wanted: Vec<&str> = cells.trim_end_matches(')').split(")(").collect();
            let obis: Obis = code.parse().unwrap();
            let found = telegram.objects.iter().any(|own| {
                let values: Vec<String> = own
                    .cells
                    .iter()
                    .map(|cell| match cell.unit {
                        Some(unit) => format!("{}*{unit}", cell.value),
                        None => cell.value.to_owned(),
                    })
                    .collect();
                // A line without a code goes on with cells of the one before,
                // which stand in no `expect`.
                own.obis.is_some_and(|own| own.0[..5] == obis.0[..5])
                    && values.len() >= wanted.len()
                    && values
                        .iter()
                        .zip(&wanted)
                        .all(|(own, wanted)| own == wanted)
            });
            assert!(found, "{name}: {code}");
        }
        assert!(!telegram.report().values.is_empty(), "{name}");
    }
}
