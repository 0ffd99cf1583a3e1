//! What Home Assistant is told. Evidence: a snapshot that was looked at; its
//! own schema and a real broker are asked in `interop/home`.

use expect_test::expect_file;
use homegate::cache::{Tagged, TimeBasis};
use homegate::mqtt::discovery::Device;
use homegate::mqtt::state;
use model::Timestamp;
use serde_json::json;

fn device(entities: bool) -> Device {
    Device {
        id: "gridward_00c0ffee0001".to_owned(),
        name: "At home".to_owned(),
        discovery_prefix: "homeassistant".to_owned(),
        topic: "gridward/00c0ffee0001".to_owned(),
        entities,
    }
}

#[test]
fn discovery() {
    let mut shown = String::new();
    for (entities, gives) in [(false, true), (false, false), (true, true)] {
        for (topic, payload) in device(entities).discovery(gives) {
            let payload = serde_json::to_string_pretty(&payload).unwrap();
            shown.push_str(&format!("{topic}\n{payload}\n\n"));
        }
    }
    let shown = shown.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    expect_file!["expect/discovery.txt"].assert_eq(&shown);
}

#[test]
fn what_is_not_known_is_left_out_and_never_zero() {
    let tagged = |thousandths| {
        Some(Tagged {
            thousandths,
            at: Timestamp::from_secs(1_795_000_000),
            error_ms: 0,
            basis: TimeBasis::Meter,
            received: Timestamp::from_secs(1_795_000_001),
        })
    };
    assert_eq!(state(None, None, None), None);
    assert_eq!(
        state(tagged(-1_512_000), None, None).unwrap(),
        json!({ "power_w": -1512.0, "last_reading": "2026-11-18T11:06:40Z" })
    );
    let all = state(tagged(486_400), tagged(27_875_300_000), tagged(0)).unwrap();
    assert_eq!(all["power_w"], json!(486.4));
    assert_eq!(all["energy_delivered_kwh"], json!(27_875.3));
    assert_eq!(
        all["energy_received_kwh"],
        json!(0.0),
        "what the meter told"
    );
}
