//! Lines that need more than TCP: TLS to the head end, a serial port that
//! breaks and comes back, a power line; and what the own device tells of them.
//!
//! Evidence: self-agreement; TLS and the pseudo-terminals are real, the power
//! line is simulated at a thousand times its speed.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use concentrator::Config;
use concentrator::collector::state::NoticeKind;
use concentrator::config::{MeteringConfig, SiteConfig, WanConfig};
use concentrator::core::Input;
use concentrator::device::objects::{CLOCK, EVENTS, IP, PUSH, WAN};
use concentrator::device::{
    COLLECTED, CONNECTIONS, DELIVERED, INSTALLATION, METER_HISTORY, METER_STATUS, METER_TABLE,
    METERING, SAP_ASSIGNMENT, SEGMENTS, STATISTICS, SharedCore,
};
use concentrator::direct::SegmentId;
use concentrator::shell::{Concentrator, Surroundings};
use dlms::acse::MechanismName;
use dlms::axdr::{ClockStatus, Data, DateTime, RawData};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, EntryDescriptor, MethodDescriptor, ProfileSelection};
use dlms::security::{
    AwsLc, CounterRecord, CounterRestart, KeyRing, Keys, PeerCounter, Protection, ReplayWindow,
    SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::Context;
use dlms::xdlms::DataNotification;
use link::{
    Association, Client, Clock, Endpoint, IpLimits, IpMeter, IpSegment, KeyFile, Limits,
    LinkExt as _, Listener, Message, MultidropConfig, MultidropMeter, MultidropSegment, Node,
    Segment, Service, SystemClock, SystemEntropy, connect, serve,
};
use model::MessageClass;
use sim::powerline::{NodeConfig, PowerLine, PowerLineConfig, Prime, SFsk, Technology};
use tokio::sync::watch;

use crate::device::{Fleet, NAME};

pub(crate) const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        clock: clock(),
        entropy: Arc::new(SystemEntropy),
    }
}

pub(crate) fn config(folder: &std::path::Path, listen: String) -> Config {
    Config {
        data: folder.join("data"),
        wan: vec![WanConfig {
            listen: Some(listen),
            ..WanConfig::default()
        }],
        ..Config::default()
    }
}

/// Makes an authority and a certificate for each side in a folder.
fn papers(folder: &std::path::Path) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    put("ca.pem", certificate.pem());
    for side in ["dc.example", "headend.example"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![side.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        put(&format!("{side}.pem"), signed.pem());
        put(&format!("{side}.key"), key.serialize_pem());
    }
}

#[tokio::test]
async fn the_wan_can_be_tls_with_certificates_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    papers(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let listen = format!(
        "tls://127.0.0.1:0?ca={}&cert={}&key={}",
        at("ca.pem"),
        at("dc.example.pem"),
        at("dc.example.key")
    );
    let config = config(folder.path(), listen);
    let started = Concentrator::start(&config, Vec::new(), &surroundings()).await;
    let concentrator = started.unwrap();
    let port = concentrator
        .local()
        .next()
        .unwrap()
        .host_port()
        .unwrap()
        .port;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(concentrator.run(stopped));
    let own = format!(
        "&cert={}&key={}",
        at("headend.example.pem"),
        at("headend.example.key")
    );
    for (own, let_in) in [(own.as_str(), true), ("", false)] {
        let endpoint = format!(
            "tls://127.0.0.1:{port}?ca={}{own}&name=dc.example",
            at("ca.pem")
        );
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let around = link::Surroundings::system();
        let client = Client::connect(&endpoint, Association::public(1), &around, LIMIT).await;
        assert_eq!(client.is_ok(), let_in);
        if let Ok(mut client) = client {
            client.read(NAME).await.unwrap();
            client.release().await;
        }
    }
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
}

/// A pseudo-terminal: its master, its slave, and the slave's path.
fn terminal() -> (
    tokio_serial::SerialStream,
    tokio_serial::SerialStream,
    String,
) {
    use tokio_serial::SerialPort as _;
    let (master, slave) = tokio_serial::SerialStream::pair().unwrap();
    let path = slave.name().unwrap();
    (master, slave, path)
}

/// A line with one meter, and the port before it.
struct Line {
    path: String,
    bridge: tokio::task::JoinHandle<()>,
    _slaves: [tokio_serial::SerialStream; 2],
}

impl Line {
    async fn new() -> Self {
        let (mut near, near_slave, path) = terminal();
        let (mut far, far_slave, meter) = terminal();
        let endpoint: Endpoint = format!("serial://{meter}?baud=115200&address=17&width=2")
            .parse()
            .unwrap();
        let mut listener = Listener::bind(&endpoint, &[1], Limits::default(), clock())
            .await
            .unwrap();
        let fleet = Arc::new(Fleet([(1, "GWD0000000000001".to_owned())].into()));
        tokio::spawn(async move {
            while let Some(accepted) = listener.accept().await {
                let fleet = Arc::clone(&fleet);
                tokio::spawn(serve(accepted.link, fleet, Service::default(), clock()));
            }
        });
        let bridge = tokio::spawn(async move {
            drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
        });
        Self {
            path,
            bridge,
            _slaves: [near_slave, far_slave],
        }
    }
}

fn open(path: &str) -> Result<Box<dyn Segment>, String> {
    let endpoint: Endpoint = format!("serial://{path}?baud=115200").parse().unwrap();
    let config = MultidropConfig {
        meters: vec![MultidropMeter {
            address: 17,
            server: 1,
        }],
        ..MultidropConfig::default()
    };
    let segment = MultidropSegment::open(&endpoint, config, clock());
    let segment = segment.map_err(|error| error.to_string())?;
    Ok(Box::new(segment))
}

/// Waits until so many meters are there.
async fn there(core: &SharedCore, count: usize) {
    let all = async {
        loop {
            let there = {
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let all = core.status().values();
                all.filter(|it| it.place.is_some()).count()
            };
            if there == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, all).await;
    waited.expect("the number of meters stays another");
}

#[tokio::test]
async fn a_serial_port_that_breaks_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = Line::new().await;
    let config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    let segments = vec![open(&first.path).unwrap()];
    let started = Concentrator::start(&config, segments, &surroundings()).await;
    let next: Arc<Mutex<Option<String>>> = Arc::default();
    let wanted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (path, tries) = (Arc::clone(&next), Arc::clone(&wanted));
    let concentrator = started.unwrap().with_reopen(
        0,
        Box::new(move || {
            tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = path.lock().unwrap().clone();
            open(&path.ok_or("the port is not there")?)
        }),
    );
    let at = concentrator.local().next().unwrap().clone();
    let core = concentrator.core();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(concentrator.run(stopped));
    there(&core, 1).await;
    // The adapter is pulled out.
    first.bridge.abort();
    drop(first);
    there(&core, 0).await;
    while wanted.load(std::sync::atomic::Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // And put in again.
    let second = Line::new().await;
    *next.lock().unwrap() = Some(second.path.clone());
    there(&core, 1).await;
    let around = link::Surroundings::system();
    let client = Client::connect(&at, Association::public(1), &around, LIMIT).await;
    let mut client = client.unwrap();
    let list = AttributeDescriptor::new(17, SAP_ASSIGNMENT, 2);
    let list = client.read(list).await.unwrap();
    assert_eq!(
        list.as_array().unwrap().len(),
        2,
        "the same meter as before"
    );
    client.release().await;
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
}

/// Counters that nobody needs after the test.
struct Forgotten;

impl link::CounterStore for Forgotten {
    fn store<'a>(
        &'a self,
        _: &'a CounterRecord,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

/// Makes the keys of the concentrator's own logical device, and their file.
pub(crate) fn own_keys(folder: &std::path::Path) -> (KeyFile, std::path::PathBuf) {
    let mut keys = KeyFile::generate(1, 1, &SystemEntropy).unwrap();
    keys.meters[0].logical_device_name = "GWD1DC0000000001".parse().unwrap();
    let path = folder.join("own.toml");
    keys.save(&path).unwrap();
    (keys, path)
}

/// A concentrator that runs.
struct Running {
    at: Endpoint,
    core: SharedCore,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), concentrator::store::StoreError>>,
}

impl Running {
    async fn start(config: &Config, segments: Vec<Box<dyn Segment>>) -> Self {
        let started = Concentrator::start(config, segments, &surroundings()).await;
        let concentrator = started.unwrap();
        let at = concentrator.local().next().unwrap().clone();
        let core = concentrator.core();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(concentrator.run(stopped));
        Self {
            at,
            core,
            stop,
            task,
        }
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// The management client's association with the concentrator itself.
pub(crate) fn management(keys: &KeyFile) -> Association {
    let own = &keys.meters[0];
    let held = own.client(1).unwrap();
    let both = Keys::new(
        held.encryption_key.clone().unwrap(),
        held.authentication_key.clone().unwrap(),
    );
    Association {
        client: 1,
        config: dlms::client::Config {
            context: Context::LogicalNameCiphered,
            mechanism: MechanismName::HighGmac,
            protection: Protection::AuthenticatedEncrypted,
            ..dlms::client::Config::default()
        },
        security: Some(dlms::client::Security {
            title: SystemTitle(*b"GWDHES\0\x01"),
            server_title: Some(SystemTitle(own.system_title.0)),
            keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &both).unwrap(),
            send: SendCounter::resume(CounterRecord {
                end: 1,
                ..CounterRecord::default()
            }),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        }),
        counters: Some(Arc::new(Forgotten)),
        ..Association::public(1)
    }
}

#[tokio::test]
async fn the_management_client_sets_the_clock_and_is_told_until_it_confirms() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    let running = Running::start(&config, Vec::new()).await;
    let (at, core) = (running.at.clone(), Arc::clone(&running.core));
    let around = link::Surroundings::system();
    let client = Client::connect(&at, management(&keys), &around, LIMIT).await;
    let mut client = client.unwrap();
    let clock_time = AttributeDescriptor::new(8, CLOCK, 2);
    let before = client.read(clock_time).await.unwrap();
    let before = before.as_date_time().unwrap().to_unix_seconds().unwrap();
    let set = DateTime::from_unix_seconds(before + 1_000, 0, ClockStatus(0)).unwrap();
    client
        .write(clock_time, &Data::date_time_octets(&set))
        .await
        .unwrap();
    let after = client.read(clock_time).await.unwrap();
    let after = after.as_date_time().unwrap().to_unix_seconds().unwrap();
    assert!((before + 1_000..before + 1_100).contains(&after));
    // The event comes by itself, verified, and the client confirms it.
    let pushed = tokio::time::timeout(LIMIT, client.notification()).await;
    let pushed = pushed.unwrap().unwrap();
    assert!(pushed.verified.is_some());
    let told = DataNotification::from_octets(&pushed.apdu).unwrap();
    let body = told.body.decode().unwrap();
    let parts = body.as_structure().unwrap();
    assert_eq!(parts[3].as_u8(), Some(NoticeKind::ClockSet.code()));
    let noticed = async {
        loop {
            let noticed = {
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                core.collector().unwrap().state().noticed()
            };
            if noticed == 1 {
                return;
            }
            // Turns the client, which sends its confirmation.
            client.read(clock_time).await.unwrap();
        }
    };
    tokio::time::timeout(LIMIT, noticed).await.unwrap();
    // It stays to be read in the log, by entries.
    let log = AttributeDescriptor::new(7, EVENTS, 2);
    let entries = ProfileSelection::Entry(EntryDescriptor::rows(1, 0));
    let rows = client.read_octets(log, Some(&entries), &mut |_| {}).await;
    let rows = RawData::new(&rows.unwrap()).decode().unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    // What is not there cannot be taken, or switched on.
    for (object, value) in [
        (
            DELIVERED,
            Data::Structure(vec![
                Data::octet_string([0, 0, 129, 1, 0, 255]),
                Data::date_time_octets(&set),
            ]),
        ),
        (
            COLLECTED,
            Data::Structure(vec![
                Data::octet_string(*b"GWD0000000000001"),
                Data::Boolean(true),
            ]),
        ),
    ] {
        let refused = client.write(AttributeDescriptor::new(1, object, 2), &value);
        assert!(refused.await.is_err());
    }
    client.release().await;
    // Nobody else sets the clock.
    let public = Client::connect(&at, Association::public(1), &around, LIMIT).await;
    let mut public = public.unwrap();
    let refused = public
        .write(clock_time, &Data::date_time_octets(&set))
        .await;
    assert!(refused.is_err());
    drop(public);
    running.end().await;
}

/// Reads an attribute of the own device.
async fn own(client: &mut Client, class: u16, object: dlms::cosem::Obis, attribute: i8) -> Data {
    let attribute = AttributeDescriptor::new(class, object, attribute);
    client.read(attribute).await.unwrap()
}

/// The SAP of a name in the list, as the device tells it.
async fn listed(client: &mut Client, name: &str) -> Option<u16> {
    let list = own(client, 17, SAP_ASSIGNMENT, 2).await;
    let entries = list.as_array().unwrap().iter();
    let mut entries = entries.map(|entry| entry.as_structure().unwrap());
    let entry = entries.find(|entry| entry[1].as_octets() == Some(name.as_bytes()))?;
    entry[0].as_u16()
}

#[tokio::test]
async fn the_management_client_gives_a_sap_and_takes_it_away_and_it_rests() {
    const GIVEN: u16 = 0x0234;
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    let around = link::Surroundings::system();
    let connect = MethodDescriptor::new(17, SAP_ASSIGNMENT, 1);
    let names = ["GWD0000000000007", "GWD0000000000008"];
    let given = |sap: u16, name: &str| {
        Data::Structure(vec![
            Data::LongUnsigned(sap),
            Data::octet_string(name.as_bytes()),
        ])
    };
    for round in 0..2_u32 {
        let running = Running::start(&config, Vec::new()).await;
        let mut security = management(&keys);
        let send = &mut security.security.as_mut().unwrap().send;
        *send = SendCounter::resume(CounterRecord {
            end: 100_000 * (1 + round),
            ..CounterRecord::default()
        });
        let client = Client::connect(&running.at, security, &around, LIMIT).await;
        let mut client = client.unwrap();
        if round == 0 {
            // Nobody else gives one.
            let public = Client::connect(&running.at, Association::public(1), &around, LIMIT).await;
            let mut public = public.unwrap();
            let refused = public.invoke(connect, Some(&given(GIVEN, names[0]))).await;
            assert!(refused.is_err());
            drop(public);
            for sap in [GIVEN, 0] {
                client
                    .invoke(connect, Some(&given(sap, names[0])))
                    .await
                    .unwrap();
                let wanted = (sap > 0).then_some(sap);
                let done = async {
                    while listed(&mut client, names[0]).await != wanted {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::time::timeout(LIMIT, done).await.unwrap();
            }
        }
        // It rests, also over a restart; another one is free.
        let resting = client.invoke(connect, Some(&given(GIVEN, names[1]))).await;
        assert!(resting.is_err(), "round {round}");
        let free = client
            .invoke(connect, Some(&given(GIVEN + 1, names[1])))
            .await;
        assert!(free.is_ok(), "round {round}");
        client.release().await;
        running.end().await;
    }
}

#[tokio::test]
async fn the_management_client_sets_up_the_wan_and_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    // Two places where a head end may wait; the configuration knows the first.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let any = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&any, &[1], Limits::default(), clock()).await;
        waiting.push(listener.unwrap());
    }
    let at = |listener: &Listener| listener.local().host_port().unwrap().to_string();
    let [configured, written] = [at(&waiting[0]), at(&waiting[1])];
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    config.wan.push(WanConfig {
        connect: Some(format!("tcp://{configured}")),
        ..WanConfig::default()
    });
    let around = link::Surroundings::system();
    let destination = |to: &str| {
        Data::Structure(vec![
            Data::Enum(0),
            Data::octet_string(to.as_bytes()),
            Data::Enum(0),
        ])
    };
    for (round, waiting) in (0_u32..).zip(&mut waiting) {
        let running = Running::start(&config, Vec::new()).await;
        let local = running.at.clone();
        // It comes to where it was told to, also after a restart.
        let accepted = tokio::time::timeout(LIMIT, waiting.accept()).await;
        let accepted = accepted.unwrap().unwrap();
        let mut security = management(&keys);
        let send = &mut security.security.as_mut().unwrap().send;
        *send = SendCounter::resume(CounterRecord {
            end: 100_000 * (1 + round),
            ..CounterRecord::default()
        });
        let client = Client::associate(accepted.link, security, &around).await;
        let mut client = client.unwrap();
        // What it says of its ways.
        let port = local.host_port().unwrap().port;
        assert_eq!(own(&mut client, 41, WAN, 2).await.as_u16(), Some(port));
        let ip = own(&mut client, 41, WAN, 3).await;
        assert_eq!(ip.as_octets(), Some(&IP.0[..]));
        let address = own(&mut client, 42, IP, 3).await;
        assert_eq!(address.as_u32(), Some(0x7F00_0001));
        for attribute in 1..=10 {
            own(&mut client, 42, IP, attribute).await;
        }
        for attribute in 1..=7 {
            own(&mut client, 40, PUSH, attribute).await;
        }
        let pushed = own(&mut client, 40, PUSH, 2).await;
        assert_eq!(pushed.as_array().unwrap().len(), 5);
        let writes = [
            (40, PUSH, 3, destination(&written)),
            (40, PUSH, 5, Data::LongUnsigned(1)),
            (40, PUSH, 6, Data::Unsigned(3)),
            (40, PUSH, 7, Data::LongUnsigned(20)),
            (41, WAN, 6, Data::LongUnsigned(600)),
        ];
        for (class, object, attribute, value) in &writes {
            let is = own(&mut client, *class, *object, *attribute).await;
            // Once it was written it stays.
            assert_eq!(is == *value, round == 1, "{object} {attribute}: {is:?}");
            let attribute = AttributeDescriptor::new(*class, *object, *attribute);
            client.write(attribute, value).await.unwrap();
        }
        for (class, object, attribute, value) in [
            (40, PUSH, 2, Data::Array(Vec::new())),
            (40, PUSH, 3, destination("no where:1")),
            (40, PUSH, 7, Data::LongUnsigned(0)),
            (41, WAN, 2, Data::LongUnsigned(1)),
            (41, WAN, 6, Data::LongUnsigned(1)),
            (42, IP, 3, Data::DoubleLongUnsigned(1)),
        ] {
            let attribute = AttributeDescriptor::new(class, object, attribute);
            assert!(client.write(attribute, &value).await.is_err());
        }
        client.release().await;
        // Others see nothing of it, and write nothing.
        let public = Client::connect(&local, Association::public(1), &around, LIMIT).await;
        let mut public = public.unwrap();
        let place = AttributeDescriptor::new(40, PUSH, 3);
        assert!(public.read(place).await.is_err());
        assert!(public.write(place, &destination("a:1")).await.is_err());
        drop(public);
        running.end().await;
    }
}

#[tokio::test]
async fn a_push_is_repeated_as_often_as_the_setup_says_and_at_once_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    let running = Running::start(&config, Vec::new()).await;
    let at = running.at.clone();
    let mut link = connect(&at, (1, 1), &clock(), LIMIT).await.unwrap();
    let with = management(&keys);
    let mut machine = dlms::client::Client::new(with.config, with.security);
    let begin = dlms::client::Associate {
        entropy: &[7; 32],
        ..dlms::client::Associate::default()
    };
    let now = dlms::Instant::ORIGIN;
    machine.handle(dlms::client::Input::Associate(begin), now);
    let set = DateTime::from_unix_seconds(1_900_000_000, 0, ClockStatus(0)).unwrap();
    let method = dlms::client::ActionItem {
        method: MethodDescriptor::new(40, PUSH, 1),
        parameter: Some(Data::Integer(0).to_octets()),
    };
    let mut wanted = vec![
        // Repeated once, a second later; and the clock is set, which is told.
        write(40, PUSH, 6, &Data::Unsigned(1)),
        write(40, PUSH, 7, &Data::LongUnsigned(1)),
        write(8, CLOCK, 2, &Data::date_time_octets(&set)),
        dlms::client::Request::Action(vec![method]),
    ];
    wanted.reverse();
    let mut pushes = Vec::new();
    // Association and reply, and the writes; later the method. Whatever goes
    // beyond confirms a push, and is kept back.
    for may_send in [5, 1] {
        let (mut sent, mut pushed) = (0, 0);
        if may_send == 1 {
            let request = wanted.pop().unwrap();
            machine.handle(dlms::client::Input::Request(request), now);
        }
        loop {
            match machine.poll() {
                dlms::client::Output::Transmit(payload) => {
                    sent += 1;
                    if sent > may_send {
                        continue;
                    }
                    let message = Message {
                        source: 1,
                        destination: 1,
                        class: MessageClass::Request,
                        payload,
                    };
                    link.send(message).unwrap();
                    link.flush().await.unwrap();
                }
                dlms::client::Output::Reserve(plan) => {
                    machine.handle(dlms::client::Input::Reserved(plan), now);
                }
                dlms::client::Output::Event(dlms::client::Event::Notification(told)) => {
                    assert!(told.verified.is_some());
                    pushed += 1;
                }
                dlms::client::Output::Event(_) => {
                    if wanted.len() > 1 {
                        let request = wanted.pop().unwrap();
                        machine.handle(dlms::client::Input::Request(request), now);
                    }
                }
                dlms::client::Output::Timeout(_) => {
                    let quiet = Duration::from_secs(4);
                    match tokio::time::timeout(quiet, link.receive()).await {
                        Ok(message) => {
                            let message = message.unwrap();
                            machine.handle(dlms::client::Input::Apdu(&message.payload), now);
                        }
                        Err(_) => break,
                    }
                }
            }
        }
        pushes.push(pushed);
    }
    // Once, and once again, and no more; and when it is asked for.
    assert_eq!(pushes, [2, 1]);
    running.end().await;
}

fn write(
    class: u16,
    object: dlms::cosem::Obis,
    attribute: i8,
    value: &Data,
) -> dlms::client::Request {
    dlms::client::Request::Set(vec![dlms::client::SetItem {
        attribute: AttributeDescriptor::new(class, object, attribute),
        selection: None,
        value: value.to_octets(),
    }])
}

#[tokio::test]
async fn it_tells_its_segments_its_connections_and_what_it_measures() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    config.place = "Substation Lindenstraße".to_owned();
    config.metering = vec![MeteringConfig {
        feeder: "F7".to_owned(),
        ..MeteringConfig::default()
    }];
    config.site = vec![SiteConfig {
        meter: "GWD0000000000001".to_owned(),
        feeder: "F5".to_owned(),
        phase: "L2".to_owned(),
    }];
    let endpoint = crate::shell::meters(3).await;
    let street = crate::shell::servers(3).into_iter().map(|server| IpMeter {
        endpoint: endpoint.clone(),
        server,
    });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let segments: Vec<Box<dyn Segment>> = vec![
        Box::new(IpSegment::start(
            street.collect(),
            IpLimits::default(),
            &clock,
        )),
        Box::new(IpSegment::start(Vec::new(), IpLimits::default(), &clock)),
    ];
    let running = Running::start(&config, segments).await;
    let at = running.at.clone();
    let around = link::Surroundings::system();
    let client = Client::connect(&at, management(&keys), &around, LIMIT).await;
    let mut client = client.unwrap();
    let there = async {
        loop {
            let told = client.read(AttributeDescriptor::new(1, SEGMENTS, 2)).await;
            let told = told.unwrap();
            let saps = |place: usize| {
                let segment = told.as_array().unwrap()[place].as_structure().unwrap();
                assert_eq!(segment[0].as_u16(), u16::try_from(place).ok());
                assert_eq!(segment[1].as_octets(), Some(&b"ip"[..]));
                let open = segment[2].as_bool().unwrap();
                (open, segment[4].as_array().unwrap().len())
            };
            // A segment without anybody ends, and is told to be gone.
            if (saps(0), saps(1)) == ((true, 3), (false, 0)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, there).await.unwrap();
    // The one that asks is the one that is connected, and has connected itself.
    let told = client
        .read(AttributeDescriptor::new(1, CONNECTIONS, 2))
        .await;
    let told = told.unwrap();
    let [peer] = told.as_array().unwrap() else {
        panic!("{told:?}");
    };
    let peer = peer.as_structure().unwrap();
    let address = String::from_utf8(peer[0].as_octets().unwrap().to_vec()).unwrap();
    assert!(address.contains("127.0.0.1:"), "{address}");
    assert_eq!(peer[1].as_bool(), Some(false));
    assert!(peer[2].as_u32().unwrap() > 1_600_000_000);
    let told = client.read(AttributeDescriptor::new(1, METERING, 2)).await;
    let told = told.unwrap();
    let [feeder] = told.as_array().unwrap() else {
        panic!("{told:?}");
    };
    let feeder = feeder.as_structure().unwrap();
    assert_eq!(feeder[0].as_octets(), Some(&b"F7"[..]));
    for three in &feeder[2..] {
        assert_eq!(three.as_array().unwrap().len(), 3);
    }
    // Where it is, its feeders, and how fast its segments are: IP has no rate of its own.
    let rate = |number| Data::Structure(vec![Data::LongUnsigned(number), Data::NullData]);
    let installation = own(&mut client, 1, INSTALLATION, 2).await;
    let expected = Data::Structure(vec![
        Data::octet_string("Substation Lindenstraße".as_bytes()),
        Data::Array(vec![Data::octet_string(*b"F5"), Data::octet_string(*b"F7")]),
        Data::Array(vec![rate(0), rate(1)]),
    ]);
    assert_eq!(installation, expected);
    client.release().await;
    // To the public it tells none of that.
    let public = Client::connect(&at, Association::public(1), &around, LIMIT).await;
    let mut public = public.unwrap();
    for object in [SEGMENTS, CONNECTIONS, METERING, INSTALLATION] {
        let refused = public.read(AttributeDescriptor::new(1, object, 2)).await;
        assert!(refused.is_err());
    }
    drop(public);
    running.end().await;
}

/// What the own device has counted: messages down, up, for nobody here, and what was dropped.
async fn counted(client: &mut Client) -> Vec<u64> {
    let all = own(client, 1, STATISTICS, 2).await;
    let all = all.as_structure().unwrap().iter();
    all.map(|it| it.as_u64().unwrap()).collect()
}

/// Requirement D2: hops, quality and when a meter was heard are what the line did with it, and
/// what is counted is what passed.
#[tokio::test]
async fn it_tells_how_its_meters_are_heard_and_what_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    let names = ["GWD0000000000001", "GWD0000000000002"];
    let node = |number: u8, hops, loss| NodeConfig {
        title: [b'G', b'W', b'D', 0, 0, 0, 0, number],
        server: 1,
        hops,
        loss,
        appears: Duration::ZERO,
    };
    // One is heard always, the other behind two more seven times of eight.
    let technology = Technology::SFsk(SFsk {
        credit: 2,
        ..SFsk::default()
    });
    let mut wire = PowerLineConfig::quiet(technology, vec![node(1, 0, 0), node(2, 2, 50)], 7);
    wire.speed = 1_000;
    let (wire, segment, plugs) = PowerLine::new(wire);
    for (name, plug) in names.iter().zip(plugs) {
        let fleet = Arc::new(Fleet([(1, (*name).to_owned())].into()));
        tokio::spawn(serve(plug, fleet, Service::default(), clock()));
    }
    let began = clock().unix_seconds();
    let running = Running::start(&config, vec![Box::new(segment)]).await;
    there(&running.core, 2).await;
    let around = link::Surroundings::system();
    let client = Client::connect(&running.at, management(&keys), &around, LIMIT).await;
    let mut client = client.unwrap();
    let mut saps = Vec::new();
    for name in names {
        saps.push(listed(&mut client, name).await.unwrap());
    }
    let before = counted(&mut client).await;
    let public = Client::connect(&running.at, Association::public(saps[0]), &around, LIMIT).await;
    let mut public = public.unwrap();
    public.read(NAME).await.unwrap();
    public.release().await;
    // Nobody has that SAP.
    let mut stray = connect(&running.at, (16, 0x3000), &clock(), LIMIT)
        .await
        .unwrap();
    let message = Message {
        source: 16,
        destination: 0x3000,
        class: MessageClass::Request,
        payload: vec![0xC0],
    };
    stray.send(message).unwrap();
    stray.flush().await.unwrap();
    let all = async {
        loop {
            let after = counted(&mut client).await;
            let more = after
                .iter()
                .zip(&before)
                .map(|(after, before)| after - before);
            let more: Vec<u64> = more.collect();
            // AARQ, GET and RLRQ, and what was for nobody.
            if more[2] > 0 && more[1] >= 3 {
                assert!(more[0] >= 3, "{more:?}");
                assert_eq!(more[1..], [3, 1, 0, 0, 0, 0, 0, 0]);
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, all).await.unwrap();
    let heard_badly = async {
        loop {
            // The line may lose what is asked and answered here.
            let ends = Association::public(saps[1]);
            if let Ok(mut public) = Client::connect(&running.at, ends, &around, LIMIT).await {
                drop(public.read(NAME).await);
                public.release().await;
            }
            let status = own(&mut client, 1, METER_STATUS, 2).await;
            let [first, second] = status.as_array().unwrap() else {
                panic!("{status:?}");
            };
            let (first, second) = (
                first.as_structure().unwrap(),
                second.as_structure().unwrap(),
            );
            if let Some(permille) = second[5].as_u16() {
                return (first.to_vec(), second.to_vec(), permille);
            }
        }
    };
    let told = tokio::time::timeout(LIMIT, heard_badly).await;
    let (first, second, permille) = told.unwrap();
    assert!((600..=950).contains(&permille), "{permille}");
    for (place, (it, hops)) in [(&first, 0), (&second, 2)].into_iter().enumerate() {
        assert_eq!(it[0].as_u16(), Some(saps[place]));
        assert_eq!(it[1].as_octets(), Some(names[place].as_bytes()));
        assert_eq!(it[2].as_bool(), Some(true));
        let heard = i64::from(it[3].as_u32().unwrap());
        let now = clock().unix_seconds();
        assert!((began..=now).contains(&heard), "{heard} {began} {now}");
        assert_eq!(it[4].as_u8(), Some(hops));
        // On S-FSK all repeat, so that nobody is behind one.
        assert_eq!(it[6], Data::NullData);
    }
    // Since when each has its SAP.
    let history = own(&mut client, 1, METER_HISTORY, 2).await;
    for (entry, sap) in history.as_array().unwrap().iter().zip(&saps) {
        let entry = entry.as_structure().unwrap();
        assert_eq!(entry[0].as_u16(), Some(*sap));
        let since = i64::from(entry[1].as_u32().unwrap());
        assert!((began..=clock().unix_seconds()).contains(&since), "{since}");
    }
    assert_eq!(history.as_array().unwrap().len(), saps.len());
    // What was lost of the second went again, and no more than that; of the first nothing was.
    let repeated = async {
        loop {
            let history = own(&mut client, 1, METER_HISTORY, 2).await;
            let all = history.as_array().unwrap().iter();
            let all = all.map(|it| it.as_structure().unwrap()[2].as_u32().unwrap());
            let all: Vec<u32> = all.collect();
            assert_eq!(all[0], 0);
            assert!(u64::from(all[1]) <= wire.statistics().lost, "{all:?}");
            if all[1] > 0 {
                return;
            }
            // The line may lose what is asked here.
            let ends = Association::public(saps[1]);
            drop(Client::connect(&running.at, ends, &around, LIMIT).await);
        }
    };
    tokio::time::timeout(LIMIT, repeated).await.unwrap();
    // The line is as fast as S-FSK is at 50 Hz, however fast it is simulated.
    let installation = own(&mut client, 1, INSTALLATION, 2).await;
    let rates = installation.as_structure().unwrap()[2].as_array().unwrap();
    let rate = Data::Structure(vec![Data::LongUnsigned(0), Data::DoubleLongUnsigned(2_400)]);
    assert_eq!(rates, [rate]);
    // No frame of the first was lost, so that there is nothing to tell.
    assert_eq!(first[5], Data::NullData);
    // The table has the same.
    let table = AttributeDescriptor::new(7, METER_TABLE, 2);
    let rows = ProfileSelection::Entry(EntryDescriptor::rows(1, 0));
    let rows = client.read_octets(table, Some(&rows), &mut |_| {}).await;
    let rows = RawData::new(&rows.unwrap()).decode().unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, status) in rows.iter().zip([first, second]) {
        let row = row.as_structure().unwrap();
        assert_eq!(row[1..7], status[..6]);
        assert_eq!(row[9], status[6]);
    }
    client.release().await;
    running.end().await;
}

/// Requirement D1: through whom each is reached, by SAP, as a line with switches knows it; it
/// stays so of those that fall silent, and goes with the line.
#[tokio::test]
async fn it_tells_through_whom_its_meters_are_reached() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    let node = |number: u8| NodeConfig {
        title: [b'G', b'W', b'D', 0, 0, 0, 0, number],
        server: 1,
        hops: 0,
        loss: 0,
        appears: Duration::ZERO,
    };
    // The first is the farthest, the third is heard directly, as is the last.
    let technology = Technology::Prime(Prime::default());
    let mut line = PowerLineConfig::quiet(technology, (1..=4).map(node).collect(), 7);
    line.speed = 1_000;
    let pairs = [(Node(0), Node(1)), (Node(1), Node(2))];
    let (wire, segment, plugs) = PowerLine::new(line.with_tree(pairs).unwrap());
    for (number, plug) in (1..).zip(plugs) {
        let fleet = Arc::new(Fleet([(1, format!("GWD{number:013}"))].into()));
        tokio::spawn(serve(plug, fleet, Service::default(), clock()));
    }
    let running = Running::start(&config, vec![Box::new(segment)]).await;
    there(&running.core, 4).await;
    let around = link::Surroundings::system();
    let client = Client::connect(&running.at, management(&keys), &around, LIMIT).await;
    let mut client = client.unwrap();
    let mut saps = Vec::new();
    for number in 1..=4 {
        let sap = listed(&mut client, &format!("GWD{number:013}")).await;
        saps.push(sap.unwrap());
    }
    // By the number of the meter: whether it is there, and who is before it.
    let told = async |client: &mut Client| {
        let status = own(client, 1, METER_STATUS, 2).await;
        let lines = status.as_array().unwrap().iter();
        let mut told = vec![None; 4];
        for line in lines.map(|it| it.as_structure().unwrap()) {
            let sap = line[0].as_u16().unwrap();
            let place = saps.iter().position(|it| *it == sap).unwrap();
            told[place] = Some((line[2].as_bool().unwrap(), line[6].as_u16()));
        }
        told.into_iter().map(Option::unwrap).collect::<Vec<_>>()
    };
    let tree = [Some(saps[1]), Some(saps[2]), Some(0), Some(0)];
    let all = tree.map(|behind| (true, behind));
    assert_eq!(told(&mut client).await, all);
    // Whoever forwards to others is switched off, and asked in vain until it counts as gone.
    wire.plug(Node(2), false);
    let gone = async {
        loop {
            let ends = Association::public(saps[2]);
            let asked = Client::connect(&running.at, ends, &around, Duration::from_secs(1));
            drop(asked.await);
            let core = running.core.lock().unwrap_or_else(PoisonError::into_inner);
            let there = core.status().values().filter(|it| it.place.is_some());
            if there.count() == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
    let one = [false, false, false, true];
    let left: Vec<_> = one.into_iter().zip(tree).collect();
    assert_eq!(told(&mut client).await, left);
    // Once the line is lost nothing is known any more.
    {
        let clock = clock();
        let mut core = running.core.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = Input::Lost(SegmentId(0));
        core.handle(lost, clock.now(), clock.unix_seconds());
        assert_eq!(core.behind(), [].into());
    }
    assert_eq!(told(&mut client).await, [(false, None); 4]);
    client.release().await;
    running.end().await;
}
