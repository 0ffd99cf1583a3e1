//! Green Button. Evidence: feeds of utilities and of the standard's samples at
//! run time, read and written again; what is written validates under both
//! schemas where `xmllint` and the schemas are beside the project; the public
//! validator's assertions, transcribed here as checks of our own feed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use han::espi::{
    self, DateTimeInterval, Feed, IntervalBlock, IntervalReading, Occurrence, Publication,
    ReadingQuality, ReadingType, Resource, Rule, Series, SummaryMeasurement, TimeConfiguration,
    UsageSummary, codes,
};
use model::Timestamp;

use crate::captures;

const BASE: &str = "https://home.example/espi/1_1/resource";
const START: i64 = 1_795_233_600;

fn reading(start: i64, duration: u32, value: i64) -> IntervalReading {
    IntervalReading {
        qualities: vec![ReadingQuality {
            quality: codes::QUALITY_RAW,
        }],
        time_period: Some(DateTimeInterval { duration, start }),
        value: Some(value),
        ..IntervalReading::default()
    }
}

fn block(values: &[i64], duration: u32) -> Vec<IntervalBlock> {
    let readings = values
        .iter()
        .zip(0_i64..)
        .map(|(value, index)| reading(START + index * i64::from(duration), duration, *value))
        .collect();
    IntervalBlock::of(readings).into_iter().collect()
}

fn measured(value: i64, uom: u16) -> SummaryMeasurement {
    SummaryMeasurement {
        power_of_ten_multiplier: Some(0),
        time_stamp: Some(START),
        uom: Some(uom),
        value: Some(value),
        reading_type_ref: None,
    }
}

/// All that a home gateway has: power, energy both ways, registers, a summary.
fn publication() -> Publication {
    let series = |id, title: &str, reading_type, blocks| Series {
        id,
        title: title.to_owned(),
        reading_type,
        blocks,
    };
    Publication {
        base: BASE.to_owned(),
        subscription: 1,
        usage_point: 1,
        title: "Home <1> & \"garden\"".to_owned(),
        published: Timestamp::from_secs(START),
        updated: Timestamp::from_secs(START + 7),
        local_time: TimeConfiguration {
            dst_end_rule: Rule::CENTRAL_EUROPE_END,
            dst_offset: 3_600,
            dst_start_rule: Rule::CENTRAL_EUROPE_BEGIN,
            tz_offset: 3_600,
        },
        service: codes::SERVICE_ELECTRICITY,
        series: vec![
            series(1, "Power", ReadingType::net_power(7), block(&[-1_500], 7)),
            series(
                2,
                "Energy used",
                ReadingType::energy(codes::FLOW_FORWARD, 900),
                block(&[120, 0, 130], 900),
            ),
            series(
                3,
                "Energy delivered",
                ReadingType::energy(codes::FLOW_REVERSE, 900),
                block(&[0, 7, 0], 900),
            ),
            series(
                4,
                "Register",
                ReadingType::register(codes::FLOW_FORWARD, 7),
                block(&[12_345_678], 7),
            ),
            series(5, "Nothing yet", ReadingType::net_power(7), Vec::new()),
        ],
        summary: Some(UsageSummary {
            billing_period: Some(DateTimeInterval {
                duration: 2_592_000,
                start: START,
            }),
            overall_consumption_last_period: Some(measured(300_000, codes::UOM_WATT_HOUR)),
            current_billing_period_over_all_consumption: Some(measured(
                1_000,
                codes::UOM_WATT_HOUR,
            )),
            quality_of_reading: Some(codes::QUALITY_RAW),
            status_time_stamp: START,
            ..UsageSummary::default()
        }),
    }
}

pub(crate) fn feed_octets() -> Vec<u8> {
    espi::write(&publication().feed()).into_bytes()
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let feed = publication().feed();
    let text = espi::write(&feed);
    assert_eq!(espi::read(&text).unwrap(), feed);
    assert!(text.contains("Home &lt;1&gt; &amp; "));
    assert!(text.contains("<espi:value>-1500</espi:value>"));
}

#[test]
fn rules_of_daylight_saving_have_the_published_bits() {
    // The sample feeds of the standard's authors have these for North America.
    assert_eq!(Rule::NORTH_AMERICA_END.bits(), 0xB40E_2000);
    assert_eq!(Rule::NORTH_AMERICA_BEGIN.bits(), 0x360E_2000);
    assert_eq!(Rule::CENTRAL_EUROPE_BEGIN.occurrence, Occurrence::Last);
    for bits in [
        0xB40E_2000,
        0x360E_2000,
        0x3E0E_2000,
        0xAE0E_3000,
        0,
        0x1231_5ABC,
    ] {
        assert_eq!(Rule::from_bits(bits).bits(), bits);
    }
}

#[test]
fn times_come_in_several_forms() {
    let at = |text: &str| {
        let feed =
            format!("<feed xmlns=\"http://www.w3.org/2005/Atom\"><updated>{text}</updated></feed>");
        espi::read(&feed).ok().and_then(|feed| feed.updated)
    };
    let noon = Some(Timestamp::from_secs(1_718_971_200));
    assert_eq!(at("2024-06-21T12:00:00Z"), noon);
    assert_eq!(at("2024-06-21T14:00:00.123+02:00"), noon);
    assert_eq!(at("2024-06-21T05:00:00-07:00"), noon);
    assert_eq!(at("2024-06-21T12:00:00"), noon);
    // A real utility's.
    assert_eq!(at("2024-06-21"), Some(Timestamp::from_secs(1_718_928_000)));
    for wrong in ["2024-02-30", "12:00", "2024-06-21T25:00:00Z", "yesterday"] {
        assert_eq!(at(wrong), None, "{wrong}");
    }
}

#[test]
fn faults_are_told_with_field_and_place() {
    let feed = |inside: &str| {
        format!(
            "<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:e=\"http://naesb.org/espi\">\
             <entry><content>{inside}</content></entry></feed>"
        )
    };
    let refused = |inside: &str| espi::read(&feed(inside)).unwrap_err();
    let error = refused("<e:ReadingType><e:uom>many</e:uom></e:ReadingType>");
    assert_eq!(error.field, "uom");
    let error = refused(
        "<e:IntervalBlock><e:interval><e:duration>1</e:duration></e:interval></e:IntervalBlock>",
    );
    assert_eq!(error.field, "start");
    let error =
        refused("<e:LocalTimeParameters><e:dstEndRule>xyz</e:dstEndRule></e:LocalTimeParameters>");
    assert_eq!(error.field, "DstRuleType");
    assert!(espi::read("<html/>").is_err());
    assert!(espi::read("").is_err());
    // Other kinds, and the customer's part, are passed over.
    let other = feed("<e:Authorization><e:status>1</e:status></e:Authorization>");
    assert!(espi::read(&other).unwrap().entries[0].content.is_empty());
}

/// The public validator's assertions of the function blocks that a gateway
/// has, as checks (`schematron_assertions.csv`: FB_01, 04, 05, 08, 09, 15).
#[test]
fn the_public_assertions_hold() {
    let feed = publication().feed();
    let kind = |wanted: &str| {
        feed.entries
            .iter()
            .filter(|entry| {
                let name = match entry.content[0] {
                    Resource::UsagePoint(_) => "UsagePoint",
                    Resource::MeterReading(_) => "MeterReading",
                    Resource::ReadingType(_) => "ReadingType",
                    Resource::IntervalBlock(_) => "IntervalBlock",
                    Resource::LocalTimeParameters(_) => "LocalTimeParameters",
                    Resource::UsageSummary(_) => "UsageSummary",
                    _ => "other",
                };
                name == wanted
            })
            .collect::<Vec<_>>()
    };
    let has = |entry: &espi::Entry, rel: &str, href: &str| {
        entry
            .links
            .iter()
            .any(|link| link.rel == rel && link.href == href)
    };
    // D000 to D006, D136: there is a feed with id, title, updated.
    assert!(!feed.id.is_empty() && !feed.title.is_empty() && feed.updated.is_some());
    for entry in &feed.entries {
        assert!(entry.id.starts_with("urn:uuid:") && !entry.title.is_empty());
        assert!(entry.published.is_some() && entry.updated.is_some());
        assert!(entry.link("self").is_some() && entry.link("up").is_some());
    }
    // D004, D014, D021, D035, D052: ids and self links are unique.
    let ids: BTreeSet<&str> = feed.entries.iter().map(|entry| entry.id.as_str()).collect();
    let selves: BTreeSet<&str> = feed
        .entries
        .iter()
        .filter_map(|entry| entry.link("self"))
        .collect();
    assert_eq!(
        (ids.len(), selves.len()),
        (feed.entries.len(), feed.entries.len())
    );
    let [local] = kind("LocalTimeParameters")[..] else {
        panic!()
    };
    let [point] = kind("UsagePoint")[..] else {
        panic!()
    };
    // D007, D135: the usage point points to the local time.
    assert!(has(point, "related", local.link("self").unwrap()));
    let readings = kind("MeterReading");
    assert_eq!(readings.len(), 4, "what has no readings is left out");
    let blocks = kind("IntervalBlock");
    for reading in &readings {
        // D023: up is what the usage point relates to; D024, D054: one type;
        // D025: at least one block.
        assert!(has(point, "related", reading.link("up").unwrap()));
        let types = kind("ReadingType");
        let own = |entry: &&&espi::Entry| has(reading, "related", entry.link("self").unwrap());
        assert_eq!(types.iter().filter(own).count(), 1);
        let below = |entry: &&&espi::Entry| has(reading, "related", entry.link("up").unwrap());
        assert!(blocks.iter().filter(below).count() > 0);
    }
    for entry in &blocks {
        let Resource::IntervalBlock(block) = &entry.content[0] else {
            panic!()
        };
        // D037, D038, D039, D042, D044 to D046, D145.
        let parents = readings
            .iter()
            .filter(|own| has(own, "related", entry.link("up").unwrap()));
        assert_eq!(parents.count(), 1);
        let interval = block.interval.as_ref().unwrap();
        let starts: Vec<i64> = block
            .readings
            .iter()
            .map(|one| one.time_period.as_ref().unwrap().start)
            .collect();
        assert_eq!(interval.start, starts[0]);
        assert_eq!(starts.iter().collect::<BTreeSet<_>>().len(), starts.len());
        assert!(block.readings.iter().all(|one| one.value.is_some()));
    }
    let of = |accumulation, flow, kind, uom| {
        feed.entries.iter().any(|entry| {
            matches!(&entry.content[0], Resource::ReadingType(own)
                if own.accumulation_behaviour == Some(accumulation)
                    && own.flow_direction == Some(flow)
                    && own.kind == Some(kind)
                    && own.uom == Some(uom)
                    && own.commodity == Some(1)
                    && own.interval_length.is_some()
                    && own.power_of_ten_multiplier.is_some()
                    && own.phase.is_some())
        })
    };
    // D078, D076, D077, and the power of the moment.
    assert!(of(4, 1, 12, 72) && of(4, 19, 12, 72) && of(1, 1, 12, 72) && of(6, 4, 37, 38));
    // D081, D088 to D090, D095 to D100.
    let [summary] = kind("UsageSummary")[..] else {
        panic!()
    };
    assert!(has(point, "related", summary.link("up").unwrap()));
}

/// Runs `xmllint` with a schema; nothing where there is no such program.
fn valid(schema: &std::path::Path, text: &str) -> Option<Result<(), String>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("gridward-espi-{}-{number}.xml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, text).unwrap();
    let output = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(schema)
        .arg(&file)
        .stdin(Stdio::null())
        .output();
    std::fs::remove_file(&file).unwrap();
    let output = output.ok()?;
    Some(if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

#[test]
fn what_is_written_validates_under_both_schemas() {
    let text = espi::write(&publication().feed());
    for name in ["greenbutton.xsd", "greenbutton-1.x.xsd"] {
        let Some(schema) = captures::beside(&format!("espi/xsd/{name}")) else {
            return;
        };
        match valid(&schema, &text) {
            Some(outcome) => outcome.unwrap_or_else(|error| panic!("{name}: {error}")),
            None => {
                println!("skipped: there is no xmllint (Debian: libxml2-utils)");
                return;
            }
        }
        // A fault is found: the schema is in force.
        let wrong = text.replace("<espi:uom>38</espi:uom>", "<espi:uom>watt</espi:uom>");
        assert!(valid(&schema, &wrong).unwrap().is_err());
    }
}

#[test]
fn feeds_of_utilities_are_read_and_written_again() {
    let Some(folder) = captures::beside("espi/samples") else {
        return;
    };
    let schema = captures::beside("espi/xsd/greenbutton.xsd").unwrap();
    let mut readings = 0;
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // Two are resources of the authorisation server, which is not in here.
        let foreign = [
            "ApplicationInformationSample.xml",
            "AuthorizationSample.xml",
        ];
        let feed: Feed = match espi::read(&text) {
            Ok(feed) => feed,
            Err(error) if foreign.contains(&name.as_str()) => {
                assert_eq!(error.field, "resource", "{name}");
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        files += 1;
        readings += feed
            .entries
            .iter()
            .flat_map(|entry| &entry.content)
            .map(|resource| match resource {
                Resource::IntervalBlock(block) => block.readings.len(),
                _ => 0,
            })
            .sum::<usize>();
        let again = espi::write(&feed);
        assert!(espi::write(&espi::read(&again).unwrap()) == again, "{name}");
        // Only what was valid before can be valid again.
        let small = text.len() < 500_000;
        if small
            && valid(&schema, &text).is_some_and(|outcome| outcome.is_ok())
            && text.contains("<feed")
        {
            let kept = !text.contains("ApplicationInformation") && !text.contains("Authorization>");
            if kept && let Some(Err(error)) = valid(&schema, &again) {
                panic!("{name}: {error}");
            }
        }
    }
    assert!(
        files >= 13 && readings > 13_000,
        "{files} files, {readings} readings"
    );
}

#[test]
fn a_reading_of_a_gateway_is_read() {
    let Some(file) = captures::beside("espi/openseg/instantaneous.xml") else {
        return;
    };
    let feed = espi::read(&std::fs::read_to_string(file).unwrap()).unwrap();
    let value = feed
        .entries
        .iter()
        .flat_map(|entry| &entry.content)
        .find_map(|resource| match resource {
            Resource::IntervalBlock(block) => block.readings[0].value,
            _ => None,
        });
    assert_eq!(value, Some(-1_500));
    // The local time it was made for.
    let local = feed
        .entries
        .iter()
        .flat_map(|entry| &entry.content)
        .find_map(|resource| match resource {
            Resource::LocalTimeParameters(time) => Some(time.clone()),
            _ => None,
        });
    assert_eq!(local.unwrap().dst_end_rule, Rule::NORTH_AMERICA_END);
}
