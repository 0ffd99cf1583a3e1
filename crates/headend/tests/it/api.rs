//! Evidence: self-agreement over real sockets; every answer is held against the API's own
//! description, which is kept as a file.

mod campaigns;
mod concentrators;
mod drill;
mod fence;
mod live;
mod orders;
mod outlets;
mod over_sctp;
mod pages;
mod schema;
mod sign_in;
mod substation;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headend::collector::MeterAccess;
use headend::keys::KeyService;
use headend::store::{Store, StoreError};
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

    /// Starts the head end once more over what it left.
    pub(crate) async fn again(self, config: Config) -> Self {
        self.head_end.stop().await;
        let data = self.folder.path().join("data");
        let (head_end, _) = start(config, data, &self.clock, &self.meters).await;
        Self {
            address: head_end.address(),
            head_end,
            ..self
        }
    }

    pub(crate) fn operator(&self) -> Operator<'_> {
        Operator::at(self.address, &self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.operator().ask("GET", path, &[], b"").await
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.operator().ask("POST", path, headers, b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.operator().post(path, body).await
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.operator().json(path).await
    }

    /// Waits until all meters that answer were collected.
    pub(crate) async fn collected(&self, meters: usize) {
        until("meters are collected", async || {
            let list = self.json("/api/v1/meters").await;
            let rows = list["rows"].as_array().unwrap().iter();
            (rows.filter(|row| !row["last_read"].is_null()).count() >= meters).then_some(())
        })
        .await;
    }

    pub(crate) async fn id(&self, number: usize) -> String {
        self.operator().id(number).await
    }
}

/// Who asks with the token; every answer is held against the description.
#[derive(Clone, Copy)]
pub(crate) struct Operator<'a> {
    address: SocketAddr,
    token: &'a str,
}

impl<'a> Operator<'a> {
    pub(crate) fn at(address: SocketAddr, token: &'a str) -> Self {
        Self { address, token }
    }

    pub(crate) async fn ask(
        self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let answer = request(self.address, method, path, &all, body).await;
        schema::check(&method.to_ascii_lowercase(), path, &answer);
        answer
    }

    pub(crate) async fn post(self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.ask("POST", path, &[], body.as_bytes()).await
    }

    pub(crate) async fn json(self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The name in addresses of the meter that is number `number` by name, counted from 1.
    pub(crate) async fn id(self, number: usize) -> String {
        let list = self.json("/api/v1/meters?sort=meter").await;
        list["rows"][number - 1]["id"].as_str().unwrap().to_owned()
    }
}

/// Looks again and again, for two minutes at the most.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..12_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within two minutes");
}

pub(crate) async fn start(
    config: Config,
    data: PathBuf,
    clock: &Arc<FakeClock>,
    meters: &Arc<FakeMeters>,
) -> (HeadEnd, Option<String>) {
    started(|| {
        let access = FakeAccess(Arc::clone(meters));
        Options {
            config: config.clone(),
            data: data.clone(),
            clock: Arc::<FakeClock>::clone(clock),
            access: |_, _| -> Arc<dyn MeterAccess> { Arc::new(access) },
        }
    })
    .await
}

/// Starts a head end: the writer of the one before may take a moment to let the folder go.
pub(crate) async fn started<A>(options: impl Fn() -> Options<A>) -> (HeadEnd, Option<String>)
where
    A: FnOnce(Arc<dyn Store>, Arc<dyn KeyService>) -> Arc<dyn MeterAccess>,
{
    until("the folder is let go", async || {
        match HeadEnd::start(options()).await {
            Err(StartError::Store(StoreError::InUse)) => None,
            started => {
                let (head_end, token) = started.unwrap();
                Some((head_end, token.map(|token| token.to_string())))
            }
        }
    })
    .await
}
