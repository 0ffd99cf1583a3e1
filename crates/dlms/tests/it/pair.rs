//! A client and a server in virtual time, over a link that may lose, double,
//! reorder and change messages.
//!
//! Evidence: self-agreement, and robustness. What the octets mean is proved by
//! the vectors and by strangers, not here.

pub(crate) mod device;
pub(crate) mod services;

use std::collections::{BTreeMap, VecDeque};

use dlms::acse::MechanismName;
use dlms::client::{self, Associate, Client, Config, Event, Failure, Repeat, Request, Response};
use dlms::security::{CounterHint, CounterRecord, Protection, Wrapping};
use dlms::server::{self, Context, Server, Settings};
use dlms::{Duration, Instant};

use device::Device;

/// How the link treats messages, in permille, from a seed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) seed: u64,
    pub(crate) lose: u64,
    pub(crate) double: u64,
    pub(crate) delay: u64,
    pub(crate) corrupt: u64,
}

/// Who sent a message (the client or not), and its octets.
pub(crate) type Message = (bool, Vec<u8>);

pub(crate) type Tamper = Box<dyn FnMut(bool, Vec<u8>) -> Vec<Message>>;

/// Both parties, the link between them and the clock.
pub(crate) struct Pair {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) device: Device,
    pub(crate) now: Instant,
    pub(crate) events: VecDeque<Event>,
    pub(crate) records: Vec<CounterRecord>,
    /// Every APDU that was sent, and whether by the client.
    pub(crate) sent: Vec<(bool, Vec<u8>)>,
    /// Somebody on the way: gets each message and puts others in its place.
    pub(crate) tamper: Option<Tamper>,
    pub(crate) broadcast: bool,
    faults: Faults,
    random: u64,
    wire: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    serial: u64,
    sap: u16,
    /// The counter that the client is told before it associates.
    pub(crate) counter: Option<CounterHint>,
}

impl Pair {
    pub(crate) fn new(config: Config, sap: u16, faults: Faults) -> Self {
        let device = Device::new();
        let security = device::client_security(sap);
        let lossy = config.repeat != Repeat::Nothing;
        Self {
            client: Client::new(config, security),
            server: Server::new(Settings {
                lossy,
                ..Settings::default()
            }),
            device,
            now: Instant::ORIGIN,
            events: VecDeque::new(),
            records: Vec::new(),
            sent: Vec::new(),
            tamper: None,
            broadcast: false,
            faults,
            random: faults.seed,
            wire: BTreeMap::new(),
            serial: 0,
            sap,
            counter: None,
        }
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, permille: u64) -> bool {
        permille != 0 && self.random() % 1_000 < permille
    }

    fn transmit(&mut self, by_client: bool, octets: Vec<u8>) {
        self.sent.push((by_client, octets.clone()));
        let messages = match &mut self.tamper {
            Some(tamper) => tamper(by_client, octets),
            None => vec![(by_client, octets)],
        };
        for (by_client, octets) in messages {
            self.put_on_wire(by_client, octets);
        }
    }

    fn put_on_wire(&mut self, by_client: bool, mut octets: Vec<u8>) {
        if self.happens(self.faults.lose) {
            return;
        }
        if self.happens(self.faults.corrupt) {
            let at = usize::try_from(self.random()).unwrap() % octets.len();
            octets[at] ^= 1 << (self.random() % 8);
        }
        let copies = 1 + usize::from(self.happens(self.faults.double));
        for _ in 0..copies {
            let delay = 10
                + if self.faults.delay == 0 {
                    0
                } else {
                    self.random() % self.faults.delay
                };
            self.serial += 1;
            let at = self.now + Duration::from_millis(delay);
            self.wire
                .insert((at, self.serial), (by_client, octets.clone()));
        }
    }

    pub(crate) fn input(&mut self, input: client::Input<'_>) {
        self.client.handle(input, self.now);
        self.poll_client();
    }

    fn poll_client(&mut self) {
        loop {
            match self.client.poll() {
                client::Output::Transmit(octets) => self.transmit(true, octets),
                client::Output::Reserve(plan) => {
                    self.records.push(plan.record().clone());
                    self.client.handle(client::Input::Reserved(plan), self.now);
                }
                client::Output::Event(event) => self.events.push_back(event),
                client::Output::Timeout(_) => break,
            }
        }
    }

    fn poll_server(&mut self) {
        while let server::Output::Transmit { octets, .. } = self.server.poll() {
            self.transmit(false, octets);
        }
    }

    /// Lets everything happen until nothing is on its way and nobody waits.
    pub(crate) fn drive(&mut self) {
        for _ in 0..1_000_000 {
            let arrival = self.wire.first_key_value().map(|(key, _)| *key);
            let deadline = match self.client.poll() {
                client::Output::Timeout(deadline) => deadline,
                output => panic!("polled to the end, and yet {output:?}"),
            };
            match (arrival, deadline) {
                (Some(key), deadline) if deadline.is_none_or(|deadline| key.0 <= deadline) => {
                    self.now = self.now.max(key.0);
                    let (by_client, octets) = self.wire.remove(&key).unwrap();
                    if by_client {
                        let input = server::Input::Apdu {
                            client: self.sap,
                            broadcast: self.broadcast,
                            octets: &octets,
                        };
                        self.server.handle(input, self.now, &mut self.device);
                        self.poll_server();
                    } else {
                        self.client.handle(client::Input::Apdu(&octets), self.now);
                        self.poll_client();
                    }
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    self.client.handle(client::Input::Timeout, self.now);
                    self.poll_client();
                }
                (_, None) => return,
            }
        }
        panic!("no end in sight, seed {}", self.faults.seed);
    }

    /// Hands the server octets that somebody made up, and gives its answers.
    pub(crate) fn attack(&mut self, client: u16, octets: &[u8]) -> Vec<Vec<u8>> {
        let input = server::Input::Apdu {
            client,
            broadcast: false,
            octets,
        };
        self.server.handle(input, self.now, &mut self.device);
        let mut answers = Vec::new();
        while let server::Output::Transmit { octets, .. } = self.server.poll() {
            answers.push(octets);
        }
        answers
    }

    /// Has the device tell the client something.
    pub(crate) fn notify(&mut self, apdu: &[u8]) {
        let input = server::Input::Notify {
            client: self.sap,
            apdu,
        };
        self.server.handle(input, self.now, &mut self.device);
        self.poll_server();
        self.drive();
    }

    /// Stops the device and starts it again with what it made durable.
    pub(crate) fn restart_device(&mut self) {
        self.server = Server::new(Settings::default());
        self.device.restart();
    }

    pub(crate) fn associate(&mut self) -> Result<client::Associated, Failure> {
        let entropy: Vec<u8> = (0..4).flat_map(|_| self.random().to_be_bytes()).collect();
        let dedicated = self.device.dedicated.clone();
        self.input(client::Input::Associate(Associate {
            password: device::PASSWORD,
            entropy: &entropy,
            dedicated,
            counter: self.counter,
        }));
        self.drive();
        match self.events.pop_front() {
            Some(Event::Associated(associated)) => Ok(associated),
            Some(Event::Ended(failure)) => Err(failure),
            other => panic!("neither associated nor ended: {other:?}"),
        }
    }

    pub(crate) fn request(&mut self, request: Request) -> Result<Response, Failure> {
        self.input(client::Input::Request(request));
        self.drive();
        loop {
            match self.events.pop_front() {
                Some(Event::Progress(_)) => {}
                Some(Event::Response(response)) => return Ok(response),
                Some(Event::RequestFailed(failure) | Event::Ended(failure)) => return Err(failure),
                other => panic!("no response: {other:?}"),
            }
        }
    }
}

/// The client of each way to associate: its SAP, and what it asks for.
pub(crate) fn config(sap: u16, protection: Protection, wrapping: Wrapping) -> Config {
    let (context, mechanism) = match sap {
        device::PUBLIC => (Context::LogicalName, MechanismName::Lowest),
        device::READER => (Context::LogicalName, MechanismName::Low),
        _ => (Context::LogicalNameCiphered, MechanismName::HighGmac),
    };
    Config {
        pre_established: sap == device::STANDING,
        context,
        mechanism,
        protection,
        wrapping,
        ..Config::default()
    }
}

/// Every way to associate that this crate has.
pub(crate) fn ways() -> Vec<(u16, Config)> {
    let mut ways = vec![
        (
            device::PUBLIC,
            config(device::PUBLIC, Protection::None, Wrapping::Glo),
        ),
        (
            device::READER,
            config(device::READER, Protection::None, Wrapping::Glo),
        ),
    ];
    for protection in [
        Protection::None,
        Protection::Authenticated,
        Protection::Encrypted,
        Protection::AuthenticatedEncrypted,
    ] {
        for wrapping in [
            Wrapping::Glo,
            Wrapping::Ded,
            Wrapping::GeneralGlo,
            Wrapping::GeneralDed,
        ] {
            if protection != Protection::None || wrapping == Wrapping::Glo {
                ways.push((
                    device::MANAGER,
                    config(device::MANAGER, protection, wrapping),
                ));
            }
        }
    }
    ways
}
