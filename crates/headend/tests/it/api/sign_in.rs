//! Evidence: self-agreement over real sockets, and robustness against hostile clients.

use super::{Fixture, schema, start};
use crate::http::{Answer, request};

async fn sign_in(fixture: &Fixture, token: &str) -> Answer {
    let body = format!("{{\"token\":\"{token}\"}}");
    let answer = request(
        fixture.address,
        "POST",
        "/api/v1/session",
        &[],
        body.as_bytes(),
    )
    .await;
    schema::check("post", "/api/v1/session", &answer);
    answer
}

#[tokio::test]
async fn the_token_opens_a_session_that_ends() {
    let fixture = Fixture::start().await;
    let address = fixture.address;
    let refused = request(address, "GET", "/api/v1/session", &[], b"").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "not_signed_in")
    );

    let wrong = sign_in(&fixture, "wrong").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "wrong_token"));
    let answer = sign_in(&fixture, &fixture.token).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["zone"], "Europe/Zurich");
    assert_eq!(answer.json()["now"], "2026-11-21T12:00:00Z");
    let set = &answer.headers["set-cookie"];
    assert!(set.contains("; HttpOnly; SameSite=Strict; Path=/") && !set.contains("Secure"));
    assert!(!set.contains(&fixture.token));
    let cookie = set.split(';').next().unwrap().to_owned();
    let cookie = [("cookie", cookie.as_str())];
    for path in ["/api/v1/session", "/api/v1/fleet"] {
        let answer = request(address, "GET", path, &cookie, b"").await;
        schema::check("get", path, &answer);
        assert_eq!(answer.status, 200);
    }
    let gone = request(address, "DELETE", "/api/v1/session", &cookie, b"").await;
    schema::check("delete", "/api/v1/session", &gone);
    assert_eq!(gone.status, 204);
    let after = request(address, "GET", "/api/v1/session", &cookie, b"").await;
    assert_eq!(after.status, 401);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let fixture = Fixture::start().await;
    let answer = sign_in(&fixture, &fixture.token).await;
    let cookie = answer.headers["set-cookie"]
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let cookie = [("cookie", cookie.as_str())];
    let now = crate::support::NOON;
    for (hours, status) in [(11, 200), (22, 200), (35, 401)] {
        fixture.clock.set(now + hours * 3_600);
        let answer = request(fixture.address, "GET", "/api/v1/session", &cookie, b"").await;
        assert_eq!(answer.status, status, "after {hours} hours");
    }
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let fixture = Fixture::start().await;
    for _ in 0..10 {
        assert_eq!(sign_in(&fixture, "guess").await.status, 401);
    }
    let answer = sign_in(&fixture, &fixture.token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "too_many_attempts")
    );
    assert_eq!(answer.headers["retry-after"], "60");
    let bearer = [("authorization", "Bearer guess")];
    let answer = request(fixture.address, "GET", "/api/v1/fleet", &bearer, b"").await;
    assert_eq!(answer.status, 429);
    fixture.clock.set(crate::support::NOON + 61);
    assert_eq!(sign_in(&fixture, &fixture.token).await.status, 200);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn everything_of_the_api_asks_for_a_session() {
    let fixture = Fixture::start().await;
    // Everything that the description of the API has; what is right to send is never looked at.
    let description = serde_json::to_value(headend::api::openapi()).unwrap();
    let mut asked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        if ["/api/v1/session", "/api/v1/openapi.json"].contains(&path.as_str())
            || !path.starts_with("/api/")
        {
            continue;
        }
        for method in ["get", "put", "post", "delete", "patch"] {
            if item[method].is_null() {
                continue;
            }
            let at = filled(path);
            for headers in [
                &[][..],
                &[("cookie", "gridward_session=x")],
                &[("authorization", "Basic eDp5")],
            ] {
                let answer =
                    request(fixture.address, &method.to_uppercase(), &at, headers, b"").await;
                schema::check(method, &at, &answer);
                assert_eq!(answer.status, 401, "{method} {path}");
            }
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked} operations in the description");
    for path in ["/api/v1/openapi.json", "/healthz", "/metrics"] {
        let answer = request(fixture.address, "GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    fixture.head_end.stop().await;
}

/// A path of the description with a 1 for each of its parameters.
fn filled(path: &str) -> String {
    let parts = path.split('/');
    let parts = parts.map(|part| if part.starts_with('{') { "1" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn bodies_that_are_no_sign_in_are_refused() {
    let fixture = Fixture::start().await;
    let long = format!("{{\"token\":\"{}\"}}", "x".repeat(100_000));
    for body in [
        "",
        "x",
        "{}",
        "[]",
        "{\"token\":1}",
        "{\"token\":\"a\",\"b\":1}",
        &long,
    ] {
        let answer = request(
            fixture.address,
            "POST",
            "/api/v1/session",
            &[],
            body.as_bytes(),
        )
        .await;
        assert_eq!(answer.status, 400, "{} octets", body.len());
        assert_eq!(answer.code(), "bad_request");
    }
    let cross = [("sec-fetch-site", "cross-site")];
    let body = format!("{{\"token\":\"{}\"}}", fixture.token);
    let path = "/api/v1/session";
    let answer = request(fixture.address, "POST", path, &cross, body.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "cross_site"));
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn one_address_cannot_ask_without_end() {
    let fixture = Fixture::start_with(|config| config.api.requests_per_s = 1).await;
    let mut refused = 0;
    for _ in 0..12 {
        let answer = request(fixture.address, "GET", "/api/v1/openapi.json", &[], b"").await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "too_many_requests");
            assert!(answer.headers.contains_key("retry-after"));
            refused += 1;
        }
    }
    assert_eq!(refused, 2);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_second_start_continues_and_tells_no_token() {
    let fixture = Fixture::start().await;
    fixture.collected(3).await;
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
    meters.silent.lock().unwrap().extend([1, 2, 3]);
    let (head_end, told) = start(config, folder.path().join("data"), &clock, &meters).await;
    assert_eq!(told, None);
    let fixture = Fixture {
        address: head_end.address(),
        folder,
        clock,
        meters,
        head_end,
        token,
    };
    let fleet = fixture.json("/api/v1/fleet").await;
    assert_eq!(fleet["meters"], 3);
    assert!(fleet["read_30d"]["received"].as_u64().unwrap() > 3 * 3 * 90);
    fixture.head_end.stop().await;
}
