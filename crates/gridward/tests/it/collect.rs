//! Collection by processes, in the small: what stands in the store is what the meters hold, and a
//! head end that starts again reads on where it was. Evidence: self-agreement from end to end.

#[expect(dead_code, reason = "the benchmark uses the rest")]
#[path = "../../benches/collect/deployment.rs"]
mod deployment;

use deployment::{Site, Until};
use headend::rfc3339;
use model::Timestamp;
use serde_json::Value;

use crate::program::run;

const METERS: u32 = 3;

#[test]
fn days_are_collected_and_read_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let (fleet, meters) = site.meters(METERS, 4);

    let head_end = site.head_end(2, Until::DayBefore);
    let token = head_end.token.clone().unwrap();
    let metrics = head_end.collected(METERS);
    assert_eq!(
        metrics["gridward_store_rows_total"],
        f64::from(METERS) * 192.0
    );
    head_end.role.stop();

    let head_end = site.head_end(2, Until::LastDay);
    let metrics = head_end.collected(METERS);
    assert_eq!(
        metrics["gridward_store_rows_total"],
        f64::from(METERS) * 96.0
    );
    // The association, what the meter is, what it wrote down in two blocks, and the end.
    let exchanges = metrics["gridward_access_exchanges_total"] / f64::from(METERS);
    assert!(exchanges <= 7.0, "{exchanges} exchanges");

    let time = |secs: u64| rfc3339(Timestamp::from_secs(i64::try_from(secs).unwrap()));
    let (from, to) = (site.midnight - 3 * 86_400, site.midnight);
    let list: Value = serde_json::from_str(&head_end.get("/api/v1/meters", &token)).unwrap();
    for meter in &meters {
        let row = list["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == meter["logical_device_name"])
            .unwrap();
        let id = row["id"].as_str().unwrap();
        let path = format!(
            "/api/v1/meters/{id}/profile?from={}&to={}",
            time(from),
            time(to)
        );
        let stored: Value = serde_json::from_str(&head_end.get(&path, &token)).unwrap();
        assert_eq!(stored["gaps"].as_array().unwrap().len(), 0);
        let stored: Vec<i64> = stored["intervals"]
            .as_array()
            .unwrap()
            .iter()
            .skip(1)
            .map(|interval| interval["import_wh"].as_i64().unwrap())
            .collect();
        let read = run(&[
            "read",
            meter["endpoint"].as_str().unwrap(),
            "1-0:99.1.0",
            "--profile",
            "--from",
            &time(from + 900),
            "--to",
            &time(to),
            "--server",
            &meter["server"].to_string(),
            "--keys",
            &site.keys,
            "--state",
            folder.path().join("state").to_str().unwrap(),
            "--json",
        ]);
        assert_eq!(read.status, 0, "{}", read.error);
        let read = read.json();
        let registers: Vec<i64> = read["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["1-0:1.8.0"].as_i64().unwrap())
            .collect();
        let measured: Vec<i64> = registers.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(measured.len(), 287);
        assert_eq!(stored, measured);
    }
    head_end.role.stop();
    fleet.stop();
}
