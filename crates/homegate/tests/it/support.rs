//! A gateway with a meter that the test plays, and a small HTTPS client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dlms::cosem::{Obis, Scaled, Unit};
use han::measure::{Basis, Report, Value};
use homegate::history::{Bounds, History, Minute};
use homegate::source::{Event, Source};
use homegate::{Config, HomeGate, Options};
use link::{Clock, SystemClock};
use model::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a test waits for what must come.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A meter that tells by itself.
pub(crate) struct Played(mpsc::Receiver<Event>);

impl Source for Played {
    fn is_polled(&self) -> bool {
        false
    }

    async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Some(event) => Some(event),
            None => std::future::pending().await,
        }
    }

    fn connect(&self) {}

    fn disconnect(&self) {}

    fn ask(&self, _number: u64) {}

    fn unread(&self) -> u64 {
        0
    }
}

pub(crate) struct Home {
    pub(crate) gate: HomeGate,
    pub(crate) meter: mpsc::Sender<Event>,
    pub(crate) password: String,
    pub(crate) folder: TempDir,
    client: Client,
}

/// A configuration with a port that the system chooses.
pub(crate) fn config() -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        zone: "Europe/Zurich".to_owned(),
        ..Config::default()
    }
}

pub(crate) async fn start(config: Config) -> Home {
    start_on(config, tempfile::tempdir().unwrap()).await
}

/// Keeps hours of history in a folder, up to now: 600 W, and the register of
/// energy from the grid.
pub(crate) fn hours(folder: &Path, hours: i64) {
    let now = Timestamp::from_millis(SystemClock::new().unix_millis());
    let bounds = Bounds {
        octets: 64 << 20,
        rows: 600_000,
    };
    let history = History::open(folder, bounds, now).unwrap();
    let first = now.secs() / 60 * 60 - hours * 3_600;
    let minutes: Vec<Minute> = (0..hours * 60)
        .map(|index| Minute {
            start: first + index * 60,
            readings: 8,
            powers: 8,
            watts: 4_800,
            watts_min: Some(600),
            watts_max: Some(600),
            delivered: Some(27_000_000_000 + index * 10_000),
            received: None,
            register_ms: 0,
            last_ms: (first + index * 60 + 55) * 1_000,
        })
        .collect();
    history.keep(&minutes, &[], true).unwrap();
}

/// Starts a gateway for the first time, on a folder in which something lies.
pub(crate) async fn start_on(config: Config, folder: TempDir) -> Home {
    let (gate, meter, password) = start_in(config, folder.path()).await;
    let client = Client {
        address: gate.address(),
        fingerprint: gate.fingerprint().to_owned(),
    };
    Home {
        gate,
        meter,
        password: password.unwrap(),
        folder,
        client,
    }
}

/// Starts on what an earlier start has left.
pub(crate) async fn resume(config: Config, folder: TempDir, password: String) -> Home {
    let (gate, meter, made) = start_in(config, folder.path()).await;
    assert_eq!(made, None);
    let client = Client {
        address: gate.address(),
        fingerprint: gate.fingerprint().to_owned(),
    };
    Home {
        gate,
        meter,
        password,
        folder,
        client,
    }
}

pub(crate) async fn start_in(
    config: Config,
    folder: &Path,
) -> (HomeGate, mpsc::Sender<Event>, Option<String>) {
    let (meter, events) = mpsc::channel(16);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (gate, made) = HomeGate::start(Options {
        config,
        data: folder.to_owned(),
        clock,
        source: Played(events),
        kind: "p1".to_owned(),
    })
    .await
    .unwrap();
    (gate, meter, made.map(|made| made.password.to_string()))
}

/// What a meter tells: watts, and watt hours from and to the grid.
pub(crate) fn report(watts: i128, delivered: i128, received: Option<i128>) -> Report {
    let value = |obis: Obis, number: i128, unit: Unit| Value {
        obis,
        quantity: Scaled {
            number,
            scaler: 0,
            unit,
        },
        basis: Basis::Told,
        time: None,
    };
    let mut values = vec![
        value(Obis::new(1, 0, 16, 7, 0, 255), watts, Unit::WATT),
        value(Obis::new(1, 0, 1, 8, 0, 255), delivered, Unit::WATT_HOUR),
    ];
    if let Some(received) = received {
        values.push(value(
            Obis::new(1, 0, 2, 8, 0, 255),
            received,
            Unit::WATT_HOUR,
        ));
    }
    Report {
        meter: Some("1KFM0100000001".to_owned()),
        values,
        ..Report::default()
    }
}

impl Home {
    /// Has the meter tell something, and waits until it is known.
    pub(crate) async fn tell(&self, report: Report) {
        let before = self.reports().await;
        self.meter.send(Event::Connected).await.unwrap();
        self.meter.send(Event::Report(report)).await.unwrap();
        let told = async {
            while self.reports().await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, told).await.unwrap();
    }

    async fn reports(&self) -> String {
        let figures = self.get("/metrics", &[]).await.body;
        let line = figures
            .lines()
            .find(|line| line.starts_with("gridward_home_reports_total "));
        line.unwrap().to_owned()
    }

    pub(crate) fn basic(&self) -> (&'static str, String) {
        ("authorization", basic("home", &self.password))
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, String)]) -> Answer {
        self.client.ask("GET", path, headers, "").await
    }

    /// Asks as somebody of the home.
    pub(crate) async fn look(&self, path: &str) -> Answer {
        self.get(path, &[self.basic()]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let kind = ("content-type", "application/json".to_owned());
        self.client.ask("POST", path, &[kind], body).await
    }

    /// Opens an event stream.
    pub(crate) async fn follow(&self, path: &str) -> BufReader<TlsStream<TcpStream>> {
        let (name, value) = self.basic();
        let mut stream = self.client.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{name}: {value}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let both = format!("{user}:{password}");
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(both)
    )
}

/// Waits for a line of a stream that begins so.
pub(crate) async fn line(
    stream: &mut BufReader<TlsStream<TcpStream>>,
    start: &str,
) -> Option<String> {
    let mut text = String::new();
    let found = async {
        loop {
            text.clear();
            if stream.read_line(&mut text).await.ok()? == 0 {
                return None;
            }
            if let Some(rest) = text.strip_prefix(start) {
                return Some(rest.trim_end().to_owned());
            }
        }
    };
    tokio::time::timeout(LONG, found).await.unwrap()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

struct Client {
    address: SocketAddr,
    fingerprint: String,
}

impl Client {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned(self.fingerprint.clone())))
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Answer {
        let mut stream = self.connect().await;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        // The end without a farewell is none of the answer's business.
        drop(stream.read_to_end(&mut octets).await);
        let text = String::from_utf8(octets).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        Answer {
            status: status.parse().unwrap(),
            headers: lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

/// Knows the gateway by its certificate's fingerprint.
#[derive(Debug)]
struct Pinned(String);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pairs: Vec<String> = Sha256::digest(end_entity)
            .iter()
            .map(|octet| format!("{octet:02X}"))
            .collect();
        assert_eq!(pairs.join(":"), self.0, "the fingerprint that was told");
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
