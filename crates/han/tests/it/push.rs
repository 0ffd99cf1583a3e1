//! The meaning of notifications. Evidence: the layouts as their sources
//! describe them, with values made up; real pushes at run time.

use dlms::axdr::Data;
use dlms::codec::Wire as _;
use han::measure::{Basis, Report};
use han::push;

use crate::captures;

fn text(text: &str) -> Data {
    Data::octet_string(text.as_bytes())
}

fn long(values: &[u32]) -> Vec<Data> {
    values
        .iter()
        .copied()
        .map(Data::DoubleLongUnsigned)
        .collect()
}

fn short(values: &[u16]) -> Vec<Data> {
    values.iter().copied().map(Data::LongUnsigned).collect()
}

fn body(parts: &[&[Data]]) -> Data {
    Data::Structure(parts.concat())
}

fn told(body: &Data) -> Report {
    push::of_body(body).report(None)
}

fn shown(report: &Report) -> Vec<String> {
    report
        .values
        .iter()
        .map(|value| {
            let [_, _, c, d, e, _] = value.obis.0;
            format!("{c}.{d}.{e}={}", value.quantity)
        })
        .collect()
}

fn iskra_registers() -> Data {
    body(&[
        &[
            text("ISK1030775213859"),
            text("12345678"),
            Data::Boolean(true),
            text("\0\u{1}"),
        ],
        &long(&[3_000, 1_000, 2_000, 30, 10, 20, 5, 6]),
    ])
}

fn iskra_phases() -> Data {
    body(&[
        &[text("ISK1030775213859"), text("12345678")],
        &long(&[500, 0, 10, 20]),
        &short(&[2_301, 2_302, 2_303, 110, 120, 130]),
        &long(&[100, 200, 200, 0, 0, 0]),
    ])
}

fn landis_gyr_totals() -> Data {
    body(&[
        &[text("12345678")],
        &long(&[500, 0, 10, 20, 3_000, 30, 5, 6]),
    ])
}

fn landis_gyr_phases() -> Data {
    body(&[
        &[text("87654321")],
        &short(&[5_000, 110, 120, 130, 230, 231, 232]),
        &long(&[100, 200, 200, 0, 0, 0]),
    ])
}

fn landis_gyr_registers(time: &[u8]) -> Data {
    body(&[
        &[Data::OctetString(time.to_vec())],
        &long(&[55_073, 0, 244, 80_905, 6, 0, 0, 13]),
    ])
}

fn notification(body: &Data) -> Vec<u8> {
    let mut octets = vec![0x0F, 0x40, 0, 0, 0, 0];
    body.encode(&mut octets);
    octets
}

pub(crate) fn all() -> Vec<Vec<u8>> {
    [
        iskra_registers(),
        iskra_phases(),
        landis_gyr_totals(),
        landis_gyr_phases(),
        landis_gyr_registers(&[7, 0xE8, 8, 24, 6, 14, 37, 50, 0xFF, 0x80, 0, 0x81]),
    ]
    .iter()
    .map(notification)
    .collect()
}

#[test]
fn registers_behind_a_time_are_those_of_landis_gyr() {
    let time = [0x07, 0xE8, 8, 24, 6, 14, 37, 50, 0xFF, 0x80, 0x00, 0x81];
    let report = told(&landis_gyr_registers(&time));
    assert_eq!(
        shown(&report),
        [
            "1.8.0=55073 Wh",
            "2.8.0=0 Wh",
            "3.8.0=244 varh",
            "4.8.0=80905 varh",
            "1.7.0=6 W",
            "2.7.0=0 W",
            "3.7.0=0 var",
            "4.7.0=13 var"
        ]
    );
    assert!(report.time.is_some());
    // Another text in its place is no time, and nothing is guessed.
    assert!(told(&landis_gyr_registers(b"no time")).values.is_empty());
}

#[test]
fn places_tell_what_values_are() {
    let report = told(&iskra_registers());
    assert_eq!(
        shown(&report)[..4],
        [
            "1.8.0=3000 Wh",
            "1.8.1=1000 Wh",
            "1.8.2=2000 Wh",
            "2.8.0=30 Wh"
        ]
    );
    assert_eq!(report.meter.as_deref(), Some("12345678"));
    assert!(
        report
            .values
            .iter()
            .all(|value| value.basis == Basis::Listed)
    );
    let report = told(&iskra_phases());
    assert_eq!(
        shown(&report)[..6],
        [
            "1.7.0=500 W",
            "2.7.0=0 W",
            "3.7.0=10 var",
            "4.7.0=20 var",
            "32.7.0=230.1 V",
            "52.7.0=230.2 V"
        ]
    );
    assert_eq!(report.layout, Some("Iskraemeco, power of three phases"));
    let report = told(&landis_gyr_totals());
    assert_eq!(report.layout, Some("Landis+Gyr E450, totals"));
    assert_eq!(report.total(1).unwrap().to_string(), "3000 Wh");
    let report = told(&landis_gyr_phases());
    assert!(shown(&report).contains(&"31.7.0=1.10 A".to_owned()));
    assert!(shown(&report).contains(&"32.7.0=230 V".to_owned()));
}

#[test]
fn lists_of_unsure_sources_hold_only_where_sums_are_right() {
    let list = |total| {
        body(&[
            &[text("ISK1030775213859")],
            &long(&[500, 0, total, 1_000, 2_000, 30, 10, 20]),
        ])
    };
    assert_eq!(shown(&told(&list(3_000))).len(), 8);
    assert!(told(&list(3_100)).values.is_empty());
}

#[test]
fn a_list_of_other_types_is_not_taken_for_a_known_one() {
    // The same count as the list above, and another type at one place.
    let other = body(&[
        &[text("12345678")],
        &long(&[500, 0, 10, 20, 3_000, 30, 5]),
        &short(&[6]),
    ]);
    assert!(told(&other).values.is_empty());
    // Digits are what tells Landis+Gyr's from others.
    let named = body(&[&[text("ABC")], &long(&[500, 0, 10, 20, 3_000, 30, 5, 6])]);
    assert!(told(&named).values.is_empty());
}

#[test]
fn a_structure_that_lacks_its_end_is_mended_by_its_count() {
    let whole = body(&[
        &[
            Data::octet_string(*b"\x00\x06\x19\x09\x00\xFF"),
            Data::NullData,
            Data::NullData,
            Data::NullData,
        ],
        &long(&[3_000, 30, 5, 6]),
    ]);
    let mut octets = Vec::new();
    whole.encode(&mut octets);
    assert_eq!(push::short(&octets), None, "it is whole");
    // As it comes: twelve are told, eight are there.
    octets[1] = 12;
    let mended = push::short(&octets).unwrap();
    assert_eq!((mended.told, mended.held), (12, 8));
    let report = told(&whole);
    assert_eq!(
        shown(&report),
        [
            "1.8.0=3000 Wh",
            "2.8.0=30 Wh",
            "3.8.0=5 varh",
            "4.8.0=6 varh"
        ]
    );
    // Cut within an element is damage.
    octets.pop();
    assert_eq!(push::short(&octets), None);
}

#[test]
fn the_usual_scale_is_told_as_such() {
    let code = |c, d| Data::octet_string([1, 0, c, d, 0, 255]);
    let report = told(&body(&[&[
        code(1, 8),
        Data::DoubleLongUnsigned(7),
        code(31, 7),
        Data::LongUnsigned(5),
    ]]));
    // A current without a scale is no current.
    let [value] = report.values.as_slice() else {
        panic!("{:?}", report.values);
    };
    assert_eq!(value.quantity.to_string(), "7 Wh");
    assert_eq!(value.basis, Basis::Usual);
}

#[test]
fn real_pushes_have_values_with_units() {
    let mut plain = 0;
    for (name, vector) in captures::vectors("real-") {
        let octets = captures::octets(&vector);
        let (Some(apdu), "llc+apdu") = (octets.get(3..), vector["transport"].as_str().unwrap())
        else {
            continue;
        };
        let report = push::report(apdu).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!report.values.is_empty(), "{name}");
        assert!(report.net_power().is_some(), "{name}");
        if name.contains("list-2") && !name.contains("aidon") || name.contains("list-3") {
            assert!(report.meter.is_some(), "{name}");
        }
        plain += 1;
    }
    assert!(plain == 0 || plain >= 10);
}
