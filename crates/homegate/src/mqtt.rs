//! Values told to Home Assistant and others by MQTT, with device discovery.
//!
//! A value that is stale or was never told is left out, never zero: the
//! meter's entities become unavailable while it is silent, all while the
//! gateway is gone. Totals come from the cache, which lets none shrink. Nothing
//! that waited is sent after a loss of the broker: what is sent is true now.

pub mod discovery;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use link::Clock;
use model::Timestamp;
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS, TlsConfiguration, Transport,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use crate::cache::{Snapshot, Tagged};
use crate::calendar::rfc3339;
use crate::config::MqttConfig;
use crate::credential::replace;
use crate::shared::Shared;
use discovery::Device;

/// Publishes.
pub struct Publisher {
    options: MqttOptions,
    device: Device,
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// A file cannot be used.
    #[error("{path}")]
    File {
        /// Names it.
        path: PathBuf,
        /// Says why.
        #[source]
        source: io::Error,
    },
    /// The authority's file holds no certificate.
    #[error("{0} holds no certificate in PEM")]
    Authority(PathBuf),
    /// TLS cannot be used.
    #[error("TLS cannot be used")]
    Tls(#[from] rustls::Error),
    /// The operating system gives no random octets.
    #[error("the operating system gives no random octets")]
    Entropy,
}

/// The pause before the broker is tried again; doubled with each failure.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether values have become stale.
const TICK: Duration = Duration::from_secs(1);

/// Messages that wait for the broker.
const WAITING_MAX: usize = 32;

/// Octets of messages.
const PACKET_MAX: usize = 64 * 1_024;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

impl Publisher {
    /// Prepares to publish for a gateway of this name.
    ///
    /// # Errors
    /// [`MqttError`] says why it cannot be.
    pub fn new(config: &MqttConfig, name: &str, data: &Path) -> Result<Self, MqttError> {
        let id = identity(data)?;
        let device = Device {
            id: format!("gridward_{id}"),
            name: name.to_owned(),
            discovery_prefix: config.discovery_prefix.clone(),
            topic: format!("{}/{id}", config.topic),
            entities: config.discovery == crate::config::Discovery::Entities,
        };
        let port = config
            .port
            .unwrap_or(if config.tls { 8_883 } else { 1_883 });
        let mut options = MqttOptions::new(device.id.clone(), config.host.clone(), port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(PACKET_MAX, PACKET_MAX);
        let will = LastWill::new(device.gateway_topic(), "offline", QoS::AtLeastOnce, true);
        options.set_last_will(will);
        if let Some(user) = &config.user {
            let password = match &config.password_file {
                None => Zeroizing::new(String::new()),
                Some(path) => {
                    Zeroizing::new(fs::read_to_string(path).map_err(|source| MqttError::File {
                        path: path.clone(),
                        source,
                    })?)
                }
            };
            options.set_credentials(user.clone(), password.trim_end().to_owned());
        }
        if let Some(ca) = config.ca.as_ref().filter(|_| config.tls) {
            let config = TlsConfiguration::Rustls(tls(ca)?);
            options.set_transport(Transport::tls_with_config(config));
        }
        Ok(Self { options, device })
    }

    /// Publishes until `stop` says so.
    pub async fn run(
        self,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        age_max_ms: i64,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pause = PAUSE_FIRST;
        let mut is_quiet = false;
        while !*stop.borrow() {
            let (client, events) = AsyncClient::new(self.options.clone(), WAITING_MAX);
            let (told, heard) = mpsc::channel(WAITING_MAX);
            let poll = tokio::spawn(follow(events, told));
            let mut talk = Talk {
                device: &self.device,
                client,
                heard,
                sent: Sent::default(),
                age_max_ms,
                is_quiet,
            };
            let worked = talk.hold(&shared, clock.as_ref(), &mut stop).await;
            if *stop.borrow() {
                talk.end().await;
                // The farewell leaves with the loop's end.
                drop(tokio::time::timeout(Duration::from_secs(2), poll).await);
                return;
            }
            poll.abort();
            is_quiet = !worked;
            if worked {
                pause = PAUSE_FIRST;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => return,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What the broker tells.
enum Heard {
    Connected,
    Lost(String),
    /// Home Assistant has started.
    Birth,
}

/// Drives the connection; it ends with the first loss.
async fn follow(mut events: EventLoop, told: mpsc::Sender<Heard>) {
    loop {
        let heard = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Heard::Connected,
            Ok(Event::Incoming(Packet::Publish(publish))) if publish.payload == "online" => {
                Heard::Birth
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(Event::Incoming(_) | Event::Outgoing(_)) => continue,
            Err(error) => Heard::Lost(error.to_string()),
        };
        let lost = matches!(heard, Heard::Lost(_));
        if told.send(heard).await.is_err() || lost {
            return;
        }
    }
}

/// One connection.
struct Talk<'d> {
    device: &'d Device,
    client: AsyncClient,
    heard: mpsc::Receiver<Heard>,
    sent: Sent,
    age_max_ms: i64,
    /// Whether it was told that the broker is not there.
    is_quiet: bool,
}

/// What this connection's broker knows.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    connected: bool,
    /// Whether the meter answers.
    meter: Option<bool>,
    link: Option<bool>,
    gives: bool,
    state: Option<Value>,
}

impl Talk<'_> {
    /// Publishes until the broker is lost or the gateway stops; tells whether
    /// there was a connection.
    async fn hold(
        &mut self,
        shared: &Shared,
        clock: &dyn Clock,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let mut changes = shared.changes();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let again = tokio::select! {
                heard = self.heard.recv() => match heard {
                    Some(Heard::Connected) => {
                        tracing::info!("the broker is connected");
                        self.sent = Sent { connected: true, ..Sent::default() };
                        true
                    }
                    Some(Heard::Birth) => true,
                    Some(Heard::Lost(reason)) => {
                        // Once, not with each try: a certificate that is not
                        // trusted is for people to mend.
                        if self.is_quiet {
                            tracing::info!(reason, "the broker is not there");
                        } else {
                            tracing::warn!(reason, "the broker is not there");
                        }
                        return self.sent.connected;
                    }
                    None => return self.sent.connected,
                },
                changed = changes.changed() => {
                    if changed.is_err() {
                        return self.sent.connected;
                    }
                    false
                }
                _ = ticks.tick() => false,
                _ = stop.changed() => return self.sent.connected,
            };
            if self.sent.connected {
                let now = Timestamp::from_millis(clock.unix_millis());
                self.tell(&shared.snapshot(), again, now);
            }
        }
    }

    /// Tells what has changed, or everything.
    fn tell(&mut self, snapshot: &Snapshot, again: bool, now: Timestamp) {
        let age_max_ms = self.age_max_ms;
        let fresh =
            |it: Option<Tagged>| it.filter(|it| now.millis_since(it.received) <= age_max_ms);
        let gives = self.sent.gives || fresh(snapshot.received).is_some();
        if again || gives != self.sent.gives {
            for (topic, payload) in self.device.discovery(gives) {
                self.publish(&topic, &payload.to_string(), true);
            }
            self.publish(&self.device.gateway_topic(), "online", true);
            self.listen();
        }
        self.sent.gives = gives;
        let state = state(
            fresh(snapshot.net_power),
            fresh(snapshot.delivered),
            fresh(snapshot.received),
        );
        let meter = state.is_some();
        // A value comes before it is said that values are there.
        if let Some(state) = state
            && (again || self.sent.state.as_ref() != Some(&state))
        {
            self.publish(&self.device.state_topic(), &state.to_string(), false);
            self.sent.state = Some(state);
        }
        let word = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
        if again || self.sent.meter != Some(meter) {
            let payload = word(meter, "online", "offline");
            self.publish(&self.device.meter_topic(), payload, true);
            self.sent.meter = Some(meter);
        }
        if again || self.sent.link != Some(snapshot.connected) {
            let payload = word(snapshot.connected, "ON", "OFF");
            self.publish(&self.device.link_topic(), payload, true);
            self.sent.link = Some(snapshot.connected);
        }
    }

    fn publish(&self, topic: &str, payload: &str, retain: bool) {
        let quality = if retain {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        let sent = self.client.try_publish(topic, quality, retain, payload);
        if let Err(error) = sent {
            // What waits at a broker that is stuck is sent as it then is.
            tracing::debug!(%error, topic, "not published");
        }
    }

    fn listen(&self) {
        let topic = format!("{}/status", self.device.discovery_prefix);
        if let Err(error) = self.client.try_subscribe(topic, QoS::AtLeastOnce) {
            tracing::debug!(%error, "not subscribed");
        }
    }

    async fn end(&self) {
        if self.sent.connected {
            self.publish(&self.device.meter_topic(), "offline", true);
            self.publish(&self.device.gateway_topic(), "offline", true);
            // With a clean end the broker does not tell the will.
            drop(self.client.disconnect().await);
        }
    }
}

/// What is told; nothing where nothing is known.
#[must_use]
pub fn state(
    power: Option<Tagged>,
    delivered: Option<Tagged>,
    received: Option<Tagged>,
) -> Option<Value> {
    let mut state = Map::new();
    let mut latest = None;
    let mut put = |name: &str, tagged: Option<Tagged>, divisor: f64| {
        if let Some(tagged) = tagged {
            state.insert(
                name.to_owned(),
                json!(decimal(tagged.thousandths) / divisor),
            );
            latest = latest.max(Some(tagged.at));
        }
    };
    put("power_w", power, 1e3);
    put("energy_delivered_kwh", delivered, 1e6);
    put("energy_received_kwh", received, 1e6);
    let latest = latest?;
    state.insert("last_reading".to_owned(), json!(rfc3339(latest)));
    Some(Value::Object(state))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a meter counts to 10^9 kWh at most, which is exact in 53 bits of watt hours"
)]
const fn decimal(thousandths: i64) -> f64 {
    thousandths as f64
}

fn tls(ca: &Path) -> Result<Arc<ClientConfig>, MqttError> {
    let mut roots = RootCertStore::empty();
    let fault = |_| MqttError::Authority(ca.to_owned());
    for certificate in CertificateDer::pem_file_iter(ca).map_err(fault)? {
        roots.add(certificate.map_err(fault)?)?;
    }
    if roots.is_empty() {
        return Err(MqttError::Authority(ca.to_owned()));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A name for this gateway that stays, and tells nothing of the home.
fn identity(data: &Path) -> Result<String, MqttError> {
    let path = data.join("id");
    let known = fs::read_to_string(&path).unwrap_or_default();
    let known = known.trim();
    if known.len() == 12 && known.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(known.to_owned());
    }
    let mut octets = [0; 6];
    getrandom::fill(&mut octets).map_err(|_| MqttError::Entropy)?;
    let id: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    replace(&path, format!("{id}\n").as_bytes())
        .map_err(|source| MqttError::File { path, source })?;
    Ok(id)
}
