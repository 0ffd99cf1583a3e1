//! Campaigns over the API.

use std::time::Duration;

use model::ImageHeader;
use serde_json::{Value, json};

use super::{Fixture, schema};
use crate::http::{Answer, Events, request};

async fn post(fixture: &Fixture, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", fixture.token);
    let body = body.to_string();
    let headers = [("authorization", bearer.as_str())];
    let answer = request(fixture.address, "POST", path, &headers, body.as_bytes()).await;
    schema::check("post", path, &answer);
    answer
}

/// An image that nobody signed: without a maker's key the head end looks at its form alone.
fn image() -> String {
    let header = ImageHeader::new("smr5", "Gridward 2", 2, b"content").unwrap();
    let image = header.seal(&[0x5A; 64], b"content");
    // Base64 by hand: three octets are four digits.
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in image.chunks(3) {
        let octet = |place| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 0x3F) as usize;
            out.push(if place <= group.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    out
}

const CAMPAIGNS: &str = "/api/v1/campaigns";

#[tokio::test]
async fn a_campaign_is_begun_shown_stopped_and_kept() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.json(CAMPAIGNS).await["rows"], json!([]));
    let line = json!({ "medium": "prime", "credit": 0, "hops": 2, "loss_permille": 50 });
    let settings = json!({ "line": line });
    let wanted = json!({ "image": image(), "settings": settings });
    let bearer = format!("Bearer {}", fixture.token);
    let headers = [("authorization", bearer.as_str())];
    let opened = Events::open(fixture.address, "campaigns", &headers).await;
    let mut events = opened.unwrap();
    let begun = post(&fixture, CAMPAIGNS, &wanted).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    assert_eq!(begun.json()["id"], 1);
    // These meters know no image transfer: each is asked once, and that is too many failures.
    let path = format!("{CAMPAIGNS}/1");
    let mut shown = fixture.json(&path).await;
    for _ in 0..6_000 {
        if !shown["ended"].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        shown = fixture.json(&path).await;
    }
    assert_eq!(shown["phase"], "stopped_by_failures");
    // Whoever follows is told without asking, until the end: meters that were being asked when it
    // stopped may still fail.
    loop {
        let told = super::live::next(&mut events, "campaign").await.data;
        assert_eq!(told["id"], 1);
        if told["phase"] == "stopped_by_failures"
            && told["counts"]["failed"] == shown["progress"]["failed"]
        {
            break;
        }
    }
    assert_eq!(shown["name"], "Gridward 2");
    assert_eq!(shown["image"]["version"], 2);
    assert_eq!(shown["settings"]["rings"], json!([10, 100, 1000]));
    assert_eq!(shown["settings"]["line"], line);
    assert_eq!(shown["failed"][0]["reason"], "refused");
    assert_eq!(
        (&shown["state"], &shown["state_text"]),
        (&json!("crit"), &json!("Stopped by failures"))
    );
    let row = &fixture.json(CAMPAIGNS).await["rows"][0];
    for field in ["id", "name", "created", "ended", "phase", "state", "image"] {
        assert_eq!(row[field], shown[field], "{field}");
    }
    the_meters_of_it(&fixture, &path, &shown).await;
    let stopped = post(&fixture, &format!("{path}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200);

    // It is there after a restart.
    let Fixture {
        folder,
        clock,
        meters,
        head_end,
        token,
        ..
    } = fixture;
    head_end.stop().await;
    let config = headend::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..headend::Config::default()
    };
    let (head_end, _) = super::start(config, folder.path().join("data"), &clock, &meters).await;
    let fixture = Fixture {
        address: head_end.address(),
        folder,
        clock,
        meters,
        head_end,
        token,
    };
    assert_eq!(fixture.json(&path).await["phase"], "stopped_by_failures");
    fixture.head_end.stop().await;
}

/// All its meters, page by page and ring by ring, and those that are asked for alone.
async fn the_meters_of_it(fixture: &Fixture, path: &str, shown: &Value) {
    let all = fixture.json(&format!("{path}/meters")).await;
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(all["total"], shown["progress"]["meters"]);
    assert_eq!(rows.len(), all["total"]);
    // Who is out comes first, with the reason.
    let steps: Vec<&str> = rows.iter().map(|it| it["step"].as_str().unwrap()).collect();
    let failed = steps.iter().filter(|it| **it == "failed").count();
    assert!(failed > 0 && steps[..failed].iter().all(|it| *it == "failed"));
    assert_eq!(rows[0]["reason"], "refused");
    assert_eq!(shown["progress"]["failed"], failed);
    assert_eq!(
        shown["reasons"],
        json!([{ "reason": "refused", "meters": failed, "counts": true }])
    );
    // The rings have all meters between them, each one once.
    let rings = shown["progress"]["rings"].as_array().unwrap();
    let mut named = Vec::new();
    for (number, ring) in rings.iter().enumerate() {
        assert_eq!(ring["state"], "todo", "nothing was activated");
        let of = fixture.json(&format!("{path}/meters?ring={number}")).await;
        assert_eq!(of["total"], ring["counts"]["meters"]);
        let rows = of["rows"].as_array().unwrap().iter();
        named.extend(rows.map(|it| it["name"].clone()));
    }
    assert_eq!(named.len(), rows.len());
    assert!(rows.iter().all(|row| named.contains(&row["name"])));
    for (offset, row) in rows.iter().enumerate() {
        let window = format!("{path}/meters?offset={offset}&limit=1");
        assert_eq!(fixture.json(&window).await["rows"], json!([row]));
    }
    let found = fixture
        .json(&format!(
            "{path}/meters?step=failed&q={}",
            rows[0]["name"].as_str().unwrap()
        ))
        .await;
    assert_eq!(found["rows"], json!([rows[0]]));
    let none = fixture.json(&format!("{path}/meters?step=active")).await;
    assert_eq!((&none["total"], &none["rows"]), (&json!(0), &json!([])));
    for wrong in ["limit=0", "limit=501", "step=lost", "rung=1"] {
        let answer = fixture.get(&format!("{path}/meters?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_no_campaign_is_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    for (body, reason) in [
        (json!({}), "missing field"),
        (json!({ "image": "?" }), "base64"),
        (json!({ "image": "AAAA" }), "The image"),
        (json!({ "image": image(), "metres": [] }), "unknown field"),
        (
            json!({ "image": image(), "meters": ["GWD0000000000099"] }),
            "enrolled",
        ),
        (json!({ "image": image(), "meters": ["x y"] }), "name"),
        (json!({ "image": image(), "meters": [] }), "meters"),
        (
            json!({ "image": image(), "endpoint": "tcp://nowhere:1" }),
            "meters",
        ),
        (
            json!({ "image": image(), "settings": { "passes": 9 } }),
            "passes",
        ),
        (
            json!({ "image": image(), "settings": { "line": { "medium": "s-fsk", "credit": 8 } } }),
            "credit",
        ),
        (
            json!({ "image": image(), "settings": { "line": { "medium": "smoke" } } }),
            "smoke",
        ),
        (
            json!({ "image": image(), "settings": { "pases": 2 } }),
            "unknown field",
        ),
    ] {
        let refused = post(&fixture, CAMPAIGNS, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(
            refused.text().contains(reason),
            "{reason}: {}",
            refused.text()
        );
    }
    for path in [
        "/99",
        "/x",
        "/99/meters",
        "/x/meters",
        "/1/stop",
        "/1/resume",
    ] {
        let path = format!("{CAMPAIGNS}{path}");
        let answer = if path.ends_with("stop") || path.ends_with("resume") {
            post(&fixture, &path, &json!({})).await
        } else {
            fixture.get(&path).await
        };
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "no_such_campaign")
        );
    }
    assert_eq!(fixture.json(CAMPAIGNS).await["rows"], json!([]));
    fixture.head_end.stop().await;
}
