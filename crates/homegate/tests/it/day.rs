//! A day of reader and server beside each other, in virtual time. Evidence:
//! self-agreement.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use dlms::Instant;
use homegate::calendar::Calendar;
use homegate::credential::Credentials;
use homegate::reader::{self, Manner, PollMemory};
use homegate::recorder::Record;
use homegate::server::{App, Parts, router};
use homegate::shared::Shared;
use homegate::source::{Event, Source};
use homegate::summary::Place;
use link::{Clock, SystemClock};
use model::Timestamp;
use tokio::sync::{mpsc, watch};
use tower_service::Service as _;

use crate::support::{basic, report};

const BEGIN: Timestamp = Timestamp::from_secs(1_795_233_600);

/// The runtime's time, and a time of day that goes with it.
struct Virtual(SystemClock);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix_seconds(&self) -> i64 {
        self.unix_millis() / 1_000
    }

    fn unix_millis(&self) -> i64 {
        BEGIN.millis() + i64::try_from(self.now().as_micros() / 1_000).unwrap()
    }
}

/// A meter that answers each poll after a while.
struct Meter {
    clock: Arc<dyn Clock>,
    events: mpsc::Receiver<Event>,
    tell: mpsc::Sender<Event>,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Source for Meter {
    fn is_polled(&self) -> bool {
        true
    }

    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    fn connect(&self) {
        self.tell.try_send(Event::Connected).unwrap();
    }

    fn disconnect(&self) {}

    fn ask(&self, number: u64) {
        let now = self.clock.now().as_micros() / 1_000;
        self.asked.lock().unwrap().push(now);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let total = 27_875_300 + i128::from(number);
            for event in [
                Event::Report(report(486, total, None)),
                Event::Answered { number },
            ] {
                // At the end of the day nobody listens any more.
                drop(tell.send(event).await);
            }
        });
    }

    fn unread(&self) -> u64 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn no_poll_is_missed_in_a_day_with_a_server_under_a_flood() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Virtual(SystemClock::new()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (tell, events) = mpsc::channel(16);
    let meter = Meter {
        clock: Arc::clone(&clock),
        events,
        tell,
        asked: Arc::clone(&asked),
    };
    let (stop, stopped) = watch::channel(false);
    let shared = Arc::new(Shared::new("raven".to_owned(), false, BEGIN));
    let manner = Manner {
        interval: Duration::from_secs(7),
        standard_offset_minutes: Some(60),
    };
    let reading = tokio::spawn(reader::run(
        meter,
        Arc::clone(&shared),
        Arc::clone(&clock),
        manner,
        PollMemory::new(folder.path()),
        stopped.clone(),
    ));
    let (credentials, made) = Credentials::open(folder.path(), None).unwrap();
    let app = App::new(
        Parts {
            shared: Arc::clone(&shared),
            record: Arc::new(Record::new(None, Some(7)).unwrap()),
            credentials,
            place: Place {
                calendar: Calendar::new("Europe/Zurich").unwrap(),
                tariff: None,
                current_age_max_ms: 60_000,
                interval_s: 7,
            },
            name: "At home".to_owned(),
            streams: 16,
            published: BEGIN,
            authority: None,
            stop: stopped,
        },
        Arc::clone(&clock),
    );
    let mut server = router(&app);
    let credential = basic("home", &made.unwrap().password);
    let mut current = async || {
        let request = Request::get(
            "/espi/1_1/resource/Subscription/1/UsagePoint/1/MeterReading/1/IntervalBlock/1",
        )
        .header(header::AUTHORIZATION, &credential)
        .body(Body::empty())
        .unwrap();
        server.call(request).await.unwrap().status()
    };
    // Until the first poll is answered, there is no value.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut requests = 0_u32;
    for second in 0..24 * 3_600_u32 {
        // A minute of each six hours a hundred a second, else one each ten
        // seconds.
        let (count, pause_ms) = if second % 21_600 < 60 {
            (100, 10)
        } else {
            (u32::from(second.is_multiple_of(10)), 1_000)
        };
        for _ in 0..count {
            assert_eq!(current().await, StatusCode::OK, "at second {second}");
            requests += 1;
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        if count == 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
    stop.send_replace(true);
    reading.await.unwrap();
    let asked = asked.lock().unwrap();
    let counters = shared.snapshot().counters;
    assert_eq!((counters.lost, counters.late), (0, 0));
    assert_eq!(requests, 4 * 6_000 + (24 * 3_600 - 4 * 60) / 10);
    // Each 7.1 s, since a busy machine may hold a poll back.
    assert!(asked.len() >= 24 * 3_600 * 10 / 72, "{}", asked.len());
    for pair in asked.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(
            (7_000..=7_200).contains(&apart),
            "{apart} ms at {}",
            pair[0]
        );
    }
}
