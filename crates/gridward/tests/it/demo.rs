//! `gridward demo` as a process with its children. Evidence: self-agreement
//! from end to end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::firmware::processes::{post, reached};
use crate::program::run;
use crate::session::Role;

pub(crate) fn get(url: &str, path: &str, token: &str) -> (String, String) {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn start(data: &str) -> (Role, Value) {
    start_with(data, ["3", "2", "1"])
}

/// Starts it with so many meters, so many behind each concentrator, and so many outlet meters.
fn start_with(data: &str, [meters, behind, outlets]: [&str; 3]) -> (Role, Value) {
    let mut role = Role::start(&[
        "demo",
        "--data",
        data,
        "--meters",
        meters,
        "--behind",
        behind,
        "--outlets",
        outlets,
        "--listen",
        "127.0.0.1:0",
    ]);
    let line = role.line();
    (role, line)
}

/// What the head end answers as JSON.
pub(crate) fn body(url: &str, path: &str, token: &str) -> Value {
    let (_, body) = get(url, path, token);
    let start = body.find('{').unwrap();
    let end = body.rfind('}').unwrap();
    serde_json::from_str(&body[start..=end]).unwrap()
}

/// Waits until the head end says so.
fn until(url: &str, token: &str, path: &str, what: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..2_400 {
        last = body(url, path, token);
        if what(&last) {
            return last;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the head end never says so: {last}");
}

/// Whether the head end has read every meter and has nothing left to do.
fn collected(url: &str, token: &str) -> bool {
    let body = |path| body(url, path, token);
    let read = body("/api/v1/meters")["rows"]
        .as_array()
        .unwrap()
        .iter()
        .all(|row| row["last_read"].is_string());
    read && body("/api/v1/fleet")["queue"] == 0
}

/// How many processes have this folder among their arguments.
fn processes(folder: &str) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(folder))
        .count()
}

/// A feeder loses what its lines lose, 4 %, until one of its meters is bypassed: from then on what
/// that house draws is lost as well.
fn the_bypass_shows(url: &str, token: &str, id: &str, data: &std::path::Path) {
    let said = std::fs::read_to_string(data.join("bypass.txt")).unwrap();
    let (_, since) = said.trim().split_once('@').unwrap();
    let since = headend::parse_rfc3339(since).unwrap();
    let path = format!("/api/v1/concentrators/{id}/balance");
    // Thousandths lost before and after, of the intervals that were weighed.
    let losses = |branch: &Value| {
        let mut sums = [[0, 0]; 2];
        for point in branch["points"].as_array().unwrap() {
            let at = headend::parse_rfc3339(point["t"].as_str().unwrap()).unwrap();
            let sum = &mut sums[usize::from(at > since)];
            if point["weight"] == "weighed" {
                sum[0] += point["supplied_wh"].as_i64().unwrap();
                sum[1] += point["metered_wh"].as_i64().unwrap();
            }
        }
        sums.map(|[supplied, metered]| (supplied - metered) * 1_000 / supplied.max(1))
    };
    let weighed = |branch: &Value| branch["weighed"].as_u64().unwrap() >= 20;
    let balance = until(url, token, &path, |balance| {
        let rows = balance["rows"].as_array().unwrap();
        rows.iter().any(|row| weighed(row) && losses(row)[1] > 300)
    });
    for branch in balance["rows"].as_array().unwrap() {
        if weighed(branch) {
            let [before, after] = losses(branch);
            assert!((20..=70).contains(&before), "{before}: {branch}");
            assert!(
                (20..=70).contains(&after) || after > 300,
                "{after}: {branch}"
            );
        }
    }
}

#[test]
fn it_starts_serves_stops_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (role, first) = start(data);
    let token = first["token"].as_str().unwrap().to_owned();
    let url = first["url"].as_str().unwrap();
    assert_eq!(first["meters"].as_array().unwrap().len(), 3);
    let concentrators = first["concentrators"].as_array().unwrap();
    let media: Vec<_> = concentrators.iter().map(|it| &it["medium"]).collect();
    assert_eq!(media, ["s-fsk", "ip"]);
    assert!(get(url, "/healthz", "").0.contains("200"));
    assert!(get(url, "/api/v1/fleet", "wrong").0.contains("401"));
    let (status, fleet) = get(url, "/api/v1/fleet", &token);
    assert!(
        status.contains("200") && fleet.contains("\"meters\":7"),
        "{status} {fleet}"
    );

    // The outlet meter calls, and is asked for the week that it holds.
    assert_eq!(first["outlet_meters"], 1);
    until(url, &token, "/api/v1/outlet-meters", |list| {
        let row = &list["rows"][0];
        row["connected"] == true && row["power_w"].is_u64()
    });

    // Anybody with the key file can read a meter beside the head end, once that
    // is not busy with it: both count under the same key.
    let mut polls = 0;
    while !collected(url, &token) {
        polls += 1;
        assert!(polls < 2_400, "the head end does not come to rest");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let meter = &first["meters"][2];
    let read = run(&[
        "read",
        meter["endpoint"].as_str().unwrap(),
        "0-0:42.0.0",
        "--server",
        &meter["server"].to_string(),
        "--keys",
        first["keys"].as_str().unwrap(),
        "--state",
        folder.path().join("state").to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(read.status, 0, "{}{}", read.output, read.error);
    assert_eq!(read.json()[0]["text"], meter["logical_device_name"]);
    // Both concentrators answer with all their meters. The one over IP reads them on its own, the
    // other those of two feeders.
    let rows = until(url, &token, "/api/v1/concentrators", |list| {
        let rows = list["rows"].as_array().unwrap();
        rows.len() == 2
            && rows.iter().all(|row| {
                let ip = row["media"] == serde_json::json!(["ip"]);
                row["there"] == 2 && row["collected"].as_u64().is_some_and(|it| !ip || it == 2)
            })
    });
    for row in rows["rows"].as_array().unwrap() {
        assert_eq!(row["enrolled"], 2);
        // The feeder with the bypass may have been noticed by now.
        let ip = row["media"] == serde_json::json!(["ip"]);
        assert!(
            row["state"] == "ok" || ip && row["state"] == "warn",
            "{row}"
        );
        let path = format!(
            "/api/v1/concentrators/{}/meters",
            row["id"].as_str().unwrap()
        );
        let meters = body(url, &path, &token);
        let meters = meters["rows"].as_array().unwrap();
        assert!(
            meters.iter().all(|meter| meter["id"].is_string()),
            "{meters:?}"
        );
        if row["media"] == serde_json::json!(["s-fsk"]) {
            let read = |meter: &&Value| meter["feeder"] == "F1" || meter["feeder"] == "F2";
            assert_eq!(row["collected"], meters.iter().filter(read).count());
        } else {
            the_bypass_shows(url, &token, row["id"].as_str().unwrap(), folder.path());
            let noticed = until(url, &token, "/api/v1/concentrators", |list| {
                let rows = list["rows"].as_array().unwrap();
                rows.iter()
                    .any(|it| it["id"] == row["id"] && it["state"] == "warn")
            });
            assert!(noticed.to_string().contains(" lost"), "{noticed}");
        }
    }
    let saps = |url: &str| -> Vec<Value> {
        let list = body(url, "/api/v1/concentrators", &token);
        let of = |row: &Value| {
            let id = row["id"].as_str().unwrap();
            let mut meters = body(url, &format!("/api/v1/concentrators/{id}/meters"), &token);
            let rows = meters["rows"].as_array_mut().unwrap();
            rows.sort_by_key(|row| row["sap"].as_u64());
            let names = rows.iter().map(|row| row["name"].clone());
            Value::from(names.collect::<Vec<_>>())
        };
        list["rows"].as_array().unwrap().iter().map(of).collect()
    };
    let before = saps(url);
    assert!(processes(data) > 3, "its roles are processes");
    role.stop_by("TERM");
    assert_eq!(processes(data), 0, "none is left");
    assert!(
        folder.path().join("demo.log").is_file(),
        "what its processes log has a place"
    );

    let (role, second) = start(data);
    assert!(second["token"].is_null(), "the token is told once");
    let url = second["url"].as_str().unwrap();
    let (status, fleet) = get(url, "/api/v1/fleet", &token);
    assert!(
        status.contains("200") && fleet.contains("\"meters\":7"),
        "{status} {fleet}"
    );
    until(url, &token, "/api/v1/concentrators", |list| {
        let rows = list["rows"].as_array().unwrap();
        rows.len() == 2 && rows.iter().all(|row| row["there"] == 2)
    });
    assert_eq!(saps(url), before, "meters keep their SAPs");
    assert_eq!(
        second["meters"][0]["system_title"],
        first["meters"][0]["system_title"]
    );
    role.stop_by("INT");
    assert_eq!(processes(data), 0, "none is left");
}

/// A campaign to the meters behind the concentrator over IP, as the page for new campaigns begins
/// it: the image is there, the plan takes all of them, rings follow each other, and all run it.
#[test]
fn its_meters_take_the_firmware_that_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (role, first) = start_with(data, ["1", "5", "0"]);
    let (url, token) = (
        first["url"].as_str().unwrap(),
        first["token"].as_str().unwrap(),
    );
    let maker = first["maker_key"].as_str().unwrap();
    assert!(std::path::Path::new(maker).is_file());
    let images = body(url, "/api/v1/images", token);
    let of_model = |model: &str| {
        let rows = images["rows"].as_array().unwrap();
        let mut rows = rows.iter().filter(|row| row["model"] == model);
        rows.next().unwrap().clone()
    };
    // One for each model of its meters, and the head end knows their maker.
    for model in ["smr5", "idis-like"] {
        assert_eq!(of_model(model)["signature"], "verified", "{images}");
    }
    let image = of_model("idis-like");

    let concentrators = first["concentrators"].as_array().unwrap();
    let ip = concentrators
        .iter()
        .find(|it| it["medium"] == "ip")
        .unwrap();
    let endpoint = &ip["endpoint"];
    // Each is read once: then its SAP is known, and that it answers.
    until(url, token, "/api/v1/meters", |list| {
        let rows = list["rows"].as_array().unwrap();
        rows.len() == 11 && rows.iter().all(|row| row["last_read"].is_string())
    });
    let mut wanted = serde_json::json!({
        "image_id": image["id"],
        "endpoint": endpoint,
        "settings": { "pace_ms": 5, "rings": [200, 1_000], "soak_s": 1, "retry_s": 1, "tries": 20 },
    });
    let (status, plan) = post(url, "/api/v1/campaigns/plan", token, &wanted);
    assert_eq!(status, 200, "{plan}");
    assert_eq!(
        (&plan["meters"], &plan["shared"]),
        (&5.into(), &5.into()),
        "{plan:#}"
    );
    assert_eq!(plan["out"], serde_json::json!([]), "{plan:#}");
    for (field, value) in [
        ("plan", plan["plan"].clone()),
        ("as_of", plan["as_of"].clone()),
        ("confirm", image["identifier"].clone()),
        ("reason", "The demo shows a campaign".into()),
    ] {
        wanted[field] = value;
    }
    let (status, begun) = post(url, "/api/v1/campaigns", token, &wanted);
    assert_eq!(status, 201, "{begun}");
    let id = begun["id"].as_u64().unwrap();
    let campaign = reached(url, token, id, |it| !it["ended"].is_null());
    assert_eq!(campaign["phase"], "done", "{campaign:#}");
    assert_eq!(campaign["progress"]["active"], 5, "{campaign:#}");
    role.stop();

    // Keys and images are made once.
    let kept = std::fs::read(maker).unwrap();
    let (role, second) = start_with(data, ["1", "5", "0"]);
    assert_eq!(std::fs::read(maker).unwrap(), kept);
    let again = body(second["url"].as_str().unwrap(), "/api/v1/images", token);
    let ids = |list: &Value| -> Vec<String> {
        let rows = list["rows"].as_array().unwrap().iter();
        let mut ids: Vec<String> = rows.map(|row| row["id"].to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&again), ids(&images));
    role.stop();
}
