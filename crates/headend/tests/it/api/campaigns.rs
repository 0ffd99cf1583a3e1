//! Campaigns over the API.

use headend::campaigns::{BOUND_FACTOR, Bound, Line, Medium};
use model::ImageHeader;
use serde_json::{Value, json};

use super::{Fixture, schema, until};
use crate::http::{Answer, Events, request};
use crate::support::NOON;

/// An image that nobody signed: without a maker's key the head end looks at its form alone.
fn made(identifier: &str, version: u32, content: &[u8]) -> Vec<u8> {
    let header = ImageHeader::new("smr5", identifier, version, content).unwrap();
    header.seal(&[0x5A; 64], content)
}

fn image() -> String {
    base64(&made("Gridward 2", 2, b"content"))
}

fn base64(image: &[u8]) -> String {
    // By hand: three octets are four digits.
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
const PLAN: &str = "/api/v1/campaigns/plan";
const IMAGES: &str = "/api/v1/images";

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
    let begun = fixture.post(CAMPAIGNS, &wanted).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    assert_eq!(begun.json()["id"], 1);
    // These meters know no image transfer: each is asked once, and that is too many failures.
    let path = format!("{CAMPAIGNS}/1");
    let shown = until("the campaign's end", async || {
        Some(fixture.json(&path).await).filter(|it| !it["ended"].is_null())
    })
    .await;
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
    let stopped = fixture.post(&format!("{path}/stop"), &json!({})).await;
    assert_eq!(stopped.status, 200);

    // It is there after a restart.
    let fixture = again(fixture).await;
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
        (json!({}), "image_id"),
        (json!({ "image": image(), "image_id": "00" }), "one image"),
        (json!({ "image_id": "00" }), "SHA-256"),
        (json!({ "image_id": "00".repeat(32) }), "keeps no image"),
        (json!({ "image": image(), "q": "x".repeat(101) }), "100"),
        (json!({ "image": image(), "skip": ["late"] }), "late"),
        (json!({ "image": image(), "reason": "short" }), "reason"),
        (
            json!({ "image": image(), "confirm": "Gridward" }),
            "calls itself",
        ),
        (json!({ "image": image(), "as_of": "noon" }), "as_of"),
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
        let refused = fixture.post(CAMPAIGNS, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(
            refused.text().contains(reason),
            "{reason}: {}",
            refused.text()
        );
        // A plan is refused for the same reasons; nobody has to be there, and no reason be given.
        let of_beginning = ["reason", "calls itself", "as_of", "meters"];
        let planned = fixture.post(PLAN, &body).await;
        if of_beginning.contains(&reason) {
            assert_eq!(planned.status, 200, "{body}");
        } else {
            assert_eq!(planned.status, 400, "{body}");
            assert_eq!(planned.text(), refused.text());
        }
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
            fixture.post(&path, &json!({})).await
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

async fn upload(fixture: &Fixture, kind: &str, image: &[u8]) -> Answer {
    let headers = [("content-type", kind)];
    fixture
        .operator()
        .ask("POST", IMAGES, &headers, image)
        .await
}

const OCTETS: &str = "application/octet-stream";

async fn forget(fixture: &Fixture, id: &str) -> Answer {
    let path = format!("{IMAGES}/{id}");
    fixture.operator().ask("DELETE", &path, &[], b"").await
}

/// Starts the head end of a fixture once more.
async fn again(fixture: Fixture) -> Fixture {
    let config = headend::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..headend::Config::default()
    };
    fixture.again(config).await
}

#[tokio::test]
async fn images_are_kept_listed_and_forgotten() {
    let fixture = Fixture::start().await;
    assert_eq!(
        fixture.json(IMAGES).await,
        json!({ "most": 32, "rows": [] })
    );
    let image = made("Gridward 3", 3, &[7; 100_000]);
    let kept = upload(&fixture, OCTETS, &image).await;
    assert_eq!(kept.status, 201, "{}", kept.text());
    let kept = kept.json();
    for (field, is) in [
        ("model", json!("smr5")),
        ("identifier", json!("Gridward 3")),
        ("version", json!(3)),
        ("length", json!(image.len())),
        ("uploaded", json!("2026-11-21T12:00:00Z")),
        ("signature", json!("unchecked")),
        ("campaigns", json!([])),
    ] {
        assert_eq!(kept[field], is, "{field}");
    }
    let twice = upload(&fixture, OCTETS, &image).await;
    assert_eq!((twice.status, twice.json()), (200, kept.clone()));
    let other = upload(&fixture, OCTETS, &made("Gridward 4", 4, b"content")).await;
    assert_eq!(other.status, 201);

    let cut = &image[..image.len() - 1];
    let too_long = vec![0; (4 << 20) + 1];
    for (kind, wrong, reason) in [
        (OCTETS, &b""[..], "cut off"),
        (OCTETS, b"not an image at all", "no firmware image"),
        (OCTETS, cut, "another length"),
        (OCTETS, &too_long, "4 MiB"),
        ("application/json", &image, "content type"),
        ("multipart/form-data", &image, "content type"),
    ] {
        let refused = upload(&fixture, kind, wrong).await;
        assert_eq!(refused.status, 400, "{reason}");
        assert!(refused.text().contains(reason), "{}", refused.text());
    }
    let nobody = request(fixture.address, "POST", IMAGES, &[], &image).await;
    schema::check("post", IMAGES, &nobody);
    assert_eq!(nobody.status, 401);

    // They are there after a start, and gone once they are forgotten.
    let fixture = again(fixture).await;
    let rows = fixture.json(IMAGES).await["rows"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert!(rows.as_array().unwrap().contains(&kept));
    let id = kept["id"].as_str().unwrap();
    assert_eq!(forget(&fixture, id).await.status, 204);
    for wrong in [id, "x", "00"] {
        let refused = forget(&fixture, wrong).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "no_such_image")
        );
    }
    assert_eq!(
        fixture.json(IMAGES).await["rows"].as_array().unwrap().len(),
        1
    );
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn images_of_other_makers_are_not_kept() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    let folder = tempfile::TempDir::new().unwrap();
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref()).unwrap();
    let public = dlms::security::PublicKey::from_octets(pair.public_key().as_ref()).unwrap();
    let path = folder.path().join("maker.pem");
    let public = link::save_maker_keys(&path, key.as_ref(), &public).unwrap();
    let fixture = Fixture::start_with(|config| config.maker_key = Some(public)).await;

    let header = ImageHeader::new("smr5", "Gridward 2", 2, b"content").unwrap();
    let signature = pair.sign(&random, &header.to_octets()).unwrap();
    let signature = <[u8; 64]>::try_from(signature.as_ref()).unwrap();
    let kept = upload(&fixture, OCTETS, &header.seal(&signature, b"content")).await;
    assert_eq!(kept.status, 201, "{}", kept.text());
    assert_eq!(kept.json()["signature"], "verified");
    for (wrong, reason) in [
        (header.seal(&signature, b"cOntent"), "not the one"),
        (made("Gridward 2", 2, b"content"), "signature"),
        (made("Gridward 9", 9, b"content"), "signature"),
    ] {
        let refused = upload(&fixture, OCTETS, &wrong).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(reason), "{}", refused.text());
        let body = json!({ "image": base64(&wrong) });
        for path in [CAMPAIGNS, PLAN] {
            assert_eq!(fixture.post(path, &body).await.status, 400);
        }
    }
    let rows = fixture.json(IMAGES).await["rows"].clone();
    assert_eq!(rows, json!([kept.json()]));
    fixture.head_end.stop().await;
}

/// Who is out of a plan, by the reason.
fn out(plan: &Value) -> Vec<(&str, &str)> {
    let left = plan["left_out"].as_array().unwrap().iter();
    left.map(|it| (it["name"].as_str().unwrap(), it["reason"].as_str().unwrap()))
        .collect()
}

const ONE: &str = "GWD0000000000001";
const TWO: &str = "GWD0000000000002";
const THREE: &str = "GWD0000000000003";

#[tokio::test]
async fn a_plan_says_who_takes_part_and_the_same_body_begins_it() {
    let fixture = Fixture::start_over(
        |meters| {
            meters.broadcast.lock().unwrap().extend([(1, 7), (2, 7)]);
            meters.silent.lock().unwrap().extend([1, 2, 3]);
        },
        |config| config.collector.enabled = false,
    )
    .await;
    let image = made("Gridward 2", 2, &[3; 16_000]);
    let kept = upload(&fixture, OCTETS, &image).await.json();
    let line = json!({ "medium": "s-fsk", "loss_permille": 50 });
    let settings = json!({ "rings": [500, 1000], "soak_s": 600, "line": line });
    let mut body = json!({ "image_id": kept["id"], "settings": settings });
    let plan = fixture.post(PLAN, &body).await;
    assert_eq!(plan.status, 200, "{}", plan.text());
    let plan = plan.json();
    for (field, is) in [
        ("as_of", json!("2026-11-21T12:00:00Z")),
        ("name", json!("Gridward 2")),
        ("image_id", kept["id"].clone()),
        ("chosen", json!(3)),
        ("meters", json!(3)),
        ("out", json!([])),
        ("unknown_version", json!(3)),
        ("shared", json!(2)),
        ("alone", json!(1)),
        ("soak_s", json!(600)),
        // A pass of 3,279 blocks takes 1,967 s (docs/firmware.md).
        ("line_pace_ms", json!(600)),
    ] {
        assert_eq!(plan[field], is, "{field}");
    }
    assert_eq!(plan["image"]["version"], 2);
    let rings = plan["rings"].as_array().unwrap();
    let rings: Vec<_> = rings.iter().map(|it| it["meters"].clone()).collect();
    assert_eq!(rings, [2, 1]);
    assert_eq!(plan["first"].as_array().unwrap().len(), 2);
    // The times are those that a campaign is held against, of each group for itself.
    let line = Line {
        medium: Medium::SFsk,
        credit: 0,
        hops: 0,
        loss_permille: 50,
    };
    let length = u32::try_from(image.len()).unwrap();
    let of = |meters| Bound::of(&line, meters, length, meter::firmware::BLOCK_LEN, 2);
    let groups = plan["groups"].as_array().unwrap();
    assert_eq!(
        (&groups[0]["meters"], &groups[0]["shares"]),
        (&json!(2), &json!(true))
    );
    let near = |told: &Value, is: f64| (told.as_f64().unwrap() - is).abs() < 1e-6;
    assert!(near(&groups[0]["bound"]["bound_s"], of(2).all_s));
    assert!(near(&groups[1]["bound"]["unicast_s"], of(1).unicast_s));
    let allowed = (of(2).all_s * BOUND_FACTOR).max(of(1).unicast_s);
    assert!(near(&plan["allowed_s"], allowed));
    // Without a line there is no bound.
    let short = json!({ "image_id": kept["id"] });
    assert!(fixture.post(PLAN, &short).await.json()["allowed_s"].is_null());

    // Planning began nothing. The same body begins it, with a reason, and for those alone that
    // were planned.
    assert_eq!(fixture.json(CAMPAIGNS).await["total"], 0);
    body["reason"] = json!("Tested on the bench since Monday.");
    body["confirm"] = json!("Gridward 2");
    body["plan"] = plan["plan"].clone();
    body["as_of"] = plan["as_of"].clone();
    fixture.meters.keyless.lock().unwrap().insert(3);
    let refused = fixture.post(CAMPAIGNS, &body).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "plan_changed")
    );
    fixture.meters.keyless.lock().unwrap().clear();
    let mut other = body.clone();
    other["settings"]["soak_s"] = json!(0);
    assert_eq!(fixture.post(CAMPAIGNS, &other).await.status, 409);
    fixture.clock.set(NOON + 301);
    let refused = fixture.post(CAMPAIGNS, &body).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "preview_too_old")
    );
    assert_eq!(fixture.json(CAMPAIGNS).await["total"], 0);
    fixture.clock.set(NOON + 300);
    let begun = fixture.post(CAMPAIGNS, &body).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let shown = fixture.json(&format!("{CAMPAIGNS}/1")).await;
    assert_eq!(shown["reason"], "Tested on the bench since Monday.");
    assert_eq!(shown["progress"]["meters"], 3);
    assert_eq!(shown["image"], plan["image"]);
    assert_eq!(
        fixture.json(IMAGES).await["rows"][0]["campaigns"],
        json!([1])
    );

    // These meters do not answer, so that it is under way: they are in no other meanwhile.
    let next = json!({ "image": base64(&made("Gridward 3", 3, b"content")) });
    let plan = fixture.post(PLAN, &next).await.json();
    assert_eq!(
        out(&plan),
        [
            (ONE, "in_campaign"),
            (TWO, "in_campaign"),
            (THREE, "in_campaign")
        ]
    );
    assert_eq!(plan["left_out"][0]["campaign"], 1);
    assert_eq!(plan["rings"], json!([]));
    assert_eq!(fixture.post(CAMPAIGNS, &next).await.status, 400);
    let stopped = fixture
        .post(&format!("{CAMPAIGNS}/1/stop"), &json!({}))
        .await;
    assert_eq!(stopped.status, 200);
    let plan = fixture.post(PLAN, &next).await.json();
    assert_eq!(plan["meters"], 3);

    // The reason is kept.
    let fixture = again(fixture).await;
    let shown = fixture.json(&format!("{CAMPAIGNS}/1")).await;
    assert_eq!(shown["reason"], "Tested on the bench since Monday.");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_stopped_campaign_does_not_go_on_with_meters_that_another_has() {
    // Nobody answers: what is under way stays so.
    let fixture = Fixture::start_over(
        |meters| meters.silent.lock().unwrap().extend([1, 2, 3]),
        |config| config.collector.enabled = false,
    )
    .await;
    let act = async |id: u32, what: &str| {
        fixture
            .post(&format!("{CAMPAIGNS}/{id}/{what}"), &json!({}))
            .await
    };
    let phase = async |id: u32| {
        let shown = fixture.json(&format!("{CAMPAIGNS}/{id}")).await;
        shown["phase"].as_str().unwrap().to_owned()
    };
    let begin = async |version: u32, meters: &[&str]| {
        let image = base64(&made(&format!("Gridward {version}"), version, b"content"));
        let body = json!({ "image": image, "meters": meters });
        let begun = fixture.post(CAMPAIGNS, &body).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
    };
    begin(2, &[ONE, TWO, THREE]).await;
    // One that is under way has its meters itself: to let it go on changes nothing.
    assert_eq!(act(1, "resume").await.status, 200);
    assert_eq!(act(1, "stop").await.status, 200);
    begin(3, &[ONE]).await;
    begin(4, &[TWO, THREE]).await;
    // The one that has most of them is named; what is refused changes nothing.
    let refused = act(1, "resume").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "meters_in_campaign")
    );
    let told = "Campaign 3 has 2 of its meters now.";
    assert!(refused.text().contains(told), "{}", refused.text());
    assert_eq!(phase(1).await, "stopped");
    assert_eq!(act(3, "stop").await.status, 200);
    let refused = act(1, "resume").await;
    let told = "Campaign 2 has 1 of its meters now.";
    assert!(refused.text().contains(told), "{}", refused.text());
    assert_eq!(act(2, "stop").await.status, 200);
    // Of all that want to go on at once with the same meters, one does.
    let (first, third) = tokio::join!(act(1, "resume"), act(3, "resume"));
    let mut statuses = [first.status, third.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let rests = if first.status == 409 { 1 } else { 3 };
    assert_eq!(phase(rests).await, "stopped");
    assert_ne!(phase(4 - rests).await, "stopped");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_plan_names_who_does_not_take_part_and_why() {
    let fixture = Fixture::start_over(
        |meters| {
            meters.broadcast.lock().unwrap().insert(1, 7);
            meters.silent.lock().unwrap().insert(3);
        },
        |config| {
            config.collector.retry_first_s = 1;
            config.collector.retry_longest_s = 1;
        },
    )
    .await;
    fixture.collected(2).await;
    let mut now = NOON;
    until("a silent meter", async || {
        let silent = fixture.json("/api/v1/meters?state=silent").await;
        now += 2;
        fixture.clock.set(now);
        (silent["total"] == 1).then_some(())
    })
    .await;
    // All three, one of which is silent and one has a broadcast key for itself.
    let image = base64(&made("Gridward 2", 2, b"content"));
    let body = |more: Value| {
        let mut body = json!({ "image": image });
        let fields = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        body
    };
    let planned = async |more: Value| fixture.post(PLAN, &body(more)).await.json();
    let plan = planned(json!({})).await;
    assert_eq!((&plan["meters"], &plan["silent"]), (&json!(3), &json!(1)));
    assert_eq!((&plan["shared"], &plan["alone"]), (&json!(0), &json!(3)));
    let plan = planned(json!({ "skip": ["silent"] })).await;
    assert_eq!(out(&plan), [(THREE, "silent")]);
    let plan = planned(json!({ "skip": ["no_broadcast_key"] })).await;
    assert_eq!(
        out(&plan),
        [(TWO, "no_broadcast_key"), (THREE, "no_broadcast_key")]
    );
    assert_eq!(
        plan["out"],
        json!([{ "reason": "no_broadcast_key", "meters": 2 }])
    );

    // By feeder, endpoint, text and list.
    for (filter, meters) in [
        (json!({ "feeder": "F2" }), 2),
        (json!({ "feeder": "F9" }), 0),
        (json!({ "q": "LINDENWEG" }), 2),
        (
            json!({ "q": "lindenweg 2", "endpoint": "tcp://127.0.0.1:4059" }),
            1,
        ),
        (json!({ "endpoint": "tcp://127.0.0.1:1" }), 0),
        (json!({ "meters": [ONE, TWO] }), 2),
        (json!({ "meters": [] }), 0),
    ] {
        let plan = planned(filter.clone()).await;
        assert_eq!(plan["chosen"], meters, "{filter}");
    }

    // Meters say that they run 1.2.3; whether that is newer the head end knows from an image.
    let same = json!({ "image": base64(&made("1.2.3", 9, b"content")) });
    let plan = fixture.post(PLAN, &same).await.json();
    assert_eq!(out(&plan), [(ONE, "runs_it"), (TWO, "runs_it")]);
    assert_eq!(plan["left_out"][0]["firmware"], "1.2.3");
    assert_eq!(planned(json!({})).await["unknown_version"], 3);
    for (version, older) in [(1, true), (2, false)] {
        let kept = upload(&fixture, OCTETS, &made("1.2.3", version, b"content")).await;
        let plan = planned(json!({})).await;
        if older {
            assert_eq!(out(&plan), []);
            assert_eq!(plan["unknown_version"], 1);
        } else {
            assert_eq!(out(&plan), [(ONE, "newer"), (TWO, "newer")]);
        }
        let id = kept.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(forget(&fixture, &id).await.status, 204);
    }
    // What opens nothing stands before all else.
    fixture.meters.keyless.lock().unwrap().extend([2, 3]);
    let plan = planned(json!({ "skip": ["silent", "no_broadcast_key"] })).await;
    assert_eq!(out(&plan), [(TWO, "no_keys"), (THREE, "no_keys")]);
    assert_eq!(plan["meters"], 1);
    fixture.head_end.stop().await;
}
