//! Evidence: self-agreement over real sockets; every answer is held against the API's own
//! description, which is kept as a file.

mod campaigns;
mod concentrators;
mod drill;
mod fence;
mod live;
mod orders;
mod outlets;
mod pages;
mod schema;
mod sign_in;
mod substation;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headend::store::StoreError;
use headend::{Config, HeadEnd, Options, StartError};
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{FakeAccess, FakeClock, FakeMeters};
use crate::http::{Answer, request};
use crate::support::NOON;

/// A head end with three meters, over fakes.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) meters: Arc<FakeMeters>,
    pub(crate) head_end: HeadEnd,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

pub(crate) const PLACES: [&str; 3] = ["Lindenweg 14, flat 3", "Lindenweg 2", "Mühlegasse 7"];

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_over(|_| {}, change).await
    }

    /// Starts over meters that are prepared before anybody talks to them.
    pub(crate) async fn start_over(
        prepare: impl FnOnce(&FakeMeters),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let mut text = String::new();
        for (number, place) in (1..).zip(PLACES) {
            text.push_str(&format!(
                "[[meter]]\nlogical_device_name = \"GWD{number:013}\"\n\
                 system_title = \"475744{number:010x}\"\nendpoint = \"tcp://127.0.0.1:4059\"\n\
                 server = {number}\nplace = \"{place}\"\nfeeder = \"F{}\"\nphase = \"L{number}\"\n",
                number % 2 + 1,
            ));
        }
        std::fs::write(folder.path().join("meters.toml"), text).unwrap();
        let clock = FakeClock::at(NOON);
        let meters = FakeMeters::new(Arc::clone(&clock));
        prepare(&meters);
        let mut config = Config {
            site: "Test".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            enrolment: Some(folder.path().join("meters.toml")),
            ..Config::default()
        };
        change(&mut config);
        let (head_end, token) = start(config, folder.path().join("data"), &clock, &meters).await;
        Self {
            folder,
            clock,
            meters,
            address: head_end.address(),
            head_end,
            token: token.expect("a first start tells the token"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let answer = request(
            self.address,
            "GET",
            path,
            &[("authorization", &bearer)],
            b"",
        )
        .await;
        schema::check("get", path, &answer);
        answer
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let answer = request(self.address, "POST", path, &all, b"").await;
        schema::check("post", path, &answer);
        answer
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits until all meters that answer were collected.
    pub(crate) async fn collected(&self, meters: usize) {
        for _ in 0..6_000 {
            let list = self.json("/api/v1/meters").await;
            let rows = list["rows"].as_array().unwrap().iter();
            if rows.filter(|row| !row["last_read"].is_null()).count() >= meters {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not collected within a minute");
    }

    pub(crate) async fn id(&self, number: usize) -> String {
        let list = self.json("/api/v1/meters?sort=meter").await;
        list["rows"][number - 1]["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn start(
    config: Config,
    data: PathBuf,
    clock: &Arc<FakeClock>,
    meters: &Arc<FakeMeters>,
) -> (HeadEnd, Option<String>) {
    for _ in 0..6_000 {
        let access = FakeAccess(Arc::clone(meters));
        let options = Options {
            config: config.clone(),
            data: data.clone(),
            clock: Arc::<FakeClock>::clone(clock),
            access: |_, _| -> Arc<dyn headend::collector::MeterAccess> { Arc::new(access) },
        };
        match HeadEnd::start(options).await {
            // The writer of the one before may take a moment to let the folder go.
            Err(StartError::Store(StoreError::InUse)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            started => {
                let (head_end, token) = started.unwrap();
                return (head_end, token.map(|token| token.to_string()));
            }
        }
    }
    panic!("the folder stayed locked for a minute");
}
