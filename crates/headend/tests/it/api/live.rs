//! Evidence: self-agreement over real sockets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::{Fixture, until};
use crate::http::{Event, Events};

impl Fixture {
    pub(super) async fn follow(&self, topics: &str, seen: Option<u64>) -> Result<Events, u16> {
        let bearer = format!("Bearer {}", self.token);
        let seen = seen.map(|id| id.to_string());
        let mut headers = vec![("authorization", bearer.as_str())];
        if let Some(seen) = &seen {
            headers.push(("last-event-id", seen));
        }
        Events::open(self.address, topics, &headers).await
    }
}

pub(super) async fn next(events: &mut Events, name: &str) -> Event {
    let next = tokio::time::timeout(Duration::from_secs(60), events.next(name));
    next.await.expect("no event within a minute").unwrap()
}

#[tokio::test]
async fn fleet_figures_and_rows_are_told() {
    let fixture = Fixture::start().await;
    let mut events = fixture.follow("fleet", None).await.unwrap();
    let event = next(&mut events, "fleet").await;
    let update = event.data.as_object().unwrap();
    let keys: Vec<_> = update.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "alarms_open",
            "as_of",
            "late",
            "meter_days_per_s",
            "queue",
            "read_today",
            "silent"
        ]
    );
    // What was missed is told again to those who come back.
    fixture.collected(3).await;
    let mut events = fixture
        .follow("fleet", Some(event.id.min(1)))
        .await
        .unwrap();
    let row = next(&mut events, "row").await;
    assert!(row.data["state_text"].is_string() && row.id >= event.id);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn power_is_read_every_second_once_however_many_watch() {
    let fixture = Fixture::start_with(|config| config.collector.enabled = false).await;
    let id = fixture.id(1).await;
    let topic = format!("meter:{id}");
    let mut one = fixture.follow(&topic, None).await.unwrap();
    let mut two = fixture.follow(&topic, None).await.unwrap();
    let first = next(&mut one, "power").await;
    assert_eq!(first.data["id"], id.as_str());
    assert_eq!(first.data["w"], 487);
    assert_eq!(first.data["l1_w"], 486);
    assert_eq!(first.data["l2_w"], serde_json::Value::Null);
    let second = next(&mut two, "power").await;
    assert_eq!(second.data["id"], id.as_str());
    assert!(next(&mut one, "power").await.id > first.id);
    assert_eq!(fixture.meters.opened.load(Ordering::SeqCst), 1);
    drop((one, two));
    until("nobody watches, and the association ends", async || {
        (fixture.meters.open.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_meter_that_does_not_answer_says_why() {
    let fixture = Fixture::start_with(|config| config.collector.enabled = false).await;
    fixture.meters.silent.lock().unwrap().insert(1);
    let id = fixture.id(1).await;
    let topics = format!("fleet,meter:{id}");
    let mut events = fixture.follow(&topics, None).await.unwrap();
    let event = next(&mut events, "power_error").await;
    assert_eq!(
        event.data["reason"],
        "It did not answer in time: check the way to it."
    );
    fixture.meters.silent.lock().unwrap().clear();
    next(&mut events, "power").await;
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn the_collector_gets_its_turn_while_somebody_watches() {
    let fixture = Fixture::start_with(|config| config.collector.every_s = 10).await;
    fixture.collected(3).await;
    let id = fixture.id(1).await;
    let mut events = fixture.follow(&format!("meter:{id}"), None).await.unwrap();
    next(&mut events, "power").await;
    fixture.clock.set(crate::support::NOON + 1_000);
    // Told by the collector, which had to wait for the live association to give way.
    next(&mut events, "meter").await;
    next(&mut events, "power").await;
    fixture.head_end.stop().await;
}

/// On a slow line an association may take half an hour.
#[tokio::test]
async fn an_order_does_not_wait_for_a_live_view_that_is_only_being_opened() {
    let fixture = Fixture::start_with(|config| {
        config.collector.enabled = false;
        config.collector.timeout_s = 3_600;
    })
    .await;
    let id = fixture.id(1).await;
    // The first association that is being made is not there before another one is.
    fixture.meters.together.store(2, Ordering::SeqCst);
    let _events = fixture.follow(&format!("meter:{id}"), None).await.unwrap();
    until("the live view opens", async || {
        (fixture.meters.making.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let order = json!({ "kind": "read" });
    let path = format!("/api/v1/meters/{id}/orders");
    assert_eq!(fixture.post(&path, &order).await.status, 202);
    let order = until("the order's end", async || {
        let order = fixture.json("/api/v1/orders/1").await;
        (!order["ended"].is_null()).then_some(order)
    })
    .await;
    assert_eq!(order["state"], "done", "{order}");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn topics_and_streams_are_bounded() {
    let fixture = Fixture::start_with(|config| config.api.streams = 2).await;
    for (topics, status) in [
        ("meter:m_00000000", 404),
        ("meters", 400),
        ("fleet:1", 400),
        (&"fleet,".repeat(41), 400),
    ] {
        assert_eq!(fixture.follow(topics, None).await.err(), Some(status));
    }
    let one = fixture.follow("fleet", None).await.unwrap();
    let _two = fixture.follow("", None).await.unwrap();
    assert_eq!(fixture.follow("fleet", None).await.err(), Some(503));
    drop(one);
    until("a closed stream gives its place back", async || {
        (fixture.follow("fleet", None).await.is_ok()).then_some(())
    })
    .await;
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_head_end_stops() {
    let fixture = Fixture::start().await;
    let mut events = fixture.follow("fleet", None).await.unwrap();
    next(&mut events, "fleet").await;
    fixture.head_end.stop().await;
    while events.next("none").await.is_some() {}
}
