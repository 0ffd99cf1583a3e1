//! Meters of a fleet and clients for them, joined without a network and in virtual time.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dlms::acse::MechanismName;
use dlms::axdr::{Data, RawData};
use dlms::client::{
    ActionItem, Associate, Client, Config, Event, Failure, GetItem, Input, Output, Request,
    Response, Security, SetItem,
};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, Obis, ProfileSelection};
use dlms::security::{
    CounterRecord, CounterRestart, Key, KeyRing, Keys, PeerCounter, Protection, ReplayWindow,
    RustCrypto, SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::{self, Context, Server, Settings};
use dlms::xdlms::{ActionResult, DataAccessResult};
use link::{Entropy, KeyFile, MeterKeys};
use meter::device::{DeviceConfig, Site};
use meter::firmware::{FirmwareConfig, ImageStore, MemoryImages};
use meter::fleet::Fleet;
use meter::metrology::{Fixed, Source};
use meter::registers::Outage;
use meter::template::Template;
use model::{Phase, Timestamp};

use crate::disk::Disk;

pub(crate) const PUBLIC: u16 = 16;
pub(crate) const MANAGEMENT: u16 = 1;
pub(crate) const READING: u16 = 2;
pub(crate) const COLLECTOR: u16 = 3;

/// 2026-11-21T12:00:00Z, 13:00 in Central Europe, on a capture boundary.
pub(crate) const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);

/// Entropy that is the same each time a test runs.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) -> io::Result<()> {
        for octet in out {
            let next = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            *octet = next.to_be_bytes()[0];
        }
        Ok(())
    }
}

/// A fleet on a disk, and what its meters are made of.
pub(crate) struct World {
    pub(crate) fleet: Fleet<Disk>,
    pub(crate) disk: Disk,
    pub(crate) now: Timestamp,
    pub(crate) entropy: Counting,
    pub(crate) options: Options,
    pub(crate) images: Arc<dyn ImageStore>,
    keys: KeyFile,
}

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) meters: u32,
    pub(crate) template: Arc<Template>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) history_days: i64,
    pub(crate) outages: Vec<Outage>,
    pub(crate) drift_ppb: i32,
    /// Whether there are keys for a concentrator's collector.
    pub(crate) collector: bool,
}

impl Default for Options {
    fn default() -> Self {
        static TEMPLATE: OnceLock<Arc<Template>> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| Arc::new(Template::built_in("smr5").unwrap()));
        Self {
            meters: 1,
            template: template.clone(),
            source: Arc::new(Fixed {
                import_w: 360,
                export_w: 36,
            }),
            history_days: 2,
            outages: Vec::new(),
            drift_ppb: 0,
            collector: false,
        }
    }
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let entropy = Counting::default();
        let mut keys = KeyFile::generate(1, options.meters, &entropy).unwrap();
        if options.collector {
            keys.add_client(COLLECTOR, &entropy).unwrap();
        }
        let disk = Disk::default();
        let images: Arc<dyn ImageStore> = Arc::new(MemoryImages::default());
        Self::with_images(options, entropy, keys, disk, images)
    }

    /// Makes a world whose meters keep their images in `images`.
    pub(crate) fn keeping(images: Arc<dyn ImageStore>) -> Self {
        let (options, entropy) = (Options::default(), Counting::default());
        let keys = KeyFile::generate(1, options.meters, &entropy).unwrap();
        Self::with_images(options, entropy, keys, Disk::default(), images)
    }

    fn with_images(
        options: Options,
        entropy: Counting,
        keys: KeyFile,
        disk: Disk,
        images: Arc<dyn ImageStore>,
    ) -> Self {
        let fleet = open(&disk, &options, &keys, &images, NOON, &entropy);
        Self {
            images,
            fleet,
            disk,
            now: NOON,
            entropy,
            options,
            keys,
        }
    }

    pub(crate) fn keys(&self, place: usize) -> &MeterKeys {
        &self.keys.meters[place]
    }

    /// Stops the process and starts it again on the same disk.
    pub(crate) fn restart(&mut self) {
        self.fleet = open(
            &self.disk,
            &self.options,
            &self.keys,
            &self.images,
            self.now,
            &self.entropy,
        );
    }

    pub(crate) fn pass(&mut self, secs: i64) {
        self.now = self.now.plus_secs(secs);
        self.fleet.tick(self.now, &self.entropy).unwrap();
    }

    /// Connects a client to a meter, without associating.
    pub(crate) fn connect(&self, place: usize, sap: u16, floor: u32) -> Peer {
        let keys = self.keys(place).clone();
        Peer::new(place, sap, &keys, floor)
    }

    /// Connects a client that has a system title of its own.
    pub(crate) fn connect_as(
        &self,
        place: usize,
        sap: u16,
        floor: u32,
        title: SystemTitle,
    ) -> Peer {
        let mut peer = self.connect(place, sap, floor);
        let (config, security) = Peer::settings(sap, self.keys(place), floor);
        let security = security.map(|security| Security { title, ..security });
        peer.client = Client::new(config, security);
        peer
    }

    /// Connects a client and associates.
    pub(crate) fn associate(&mut self, place: usize, sap: u16) -> Peer {
        let floor = self.counter(place) + 1;
        let mut peer = self.connect(place, sap, floor);
        peer.associate(self).unwrap();
        peer
    }

    /// Reads the invocation counter of the management client as anybody can.
    pub(crate) fn counter(&mut self, place: usize) -> u32 {
        let mut public = self.connect(place, PUBLIC, 0);
        public.associate(self).unwrap();
        let value = public.get(self, "1 0.0.43.1.0.255 2").unwrap();
        public.release(self);
        value.as_u32().unwrap()
    }
}

fn open(
    disk: &Disk,
    options: &Options,
    keys: &KeyFile,
    images: &Arc<dyn ImageStore>,
    now: Timestamp,
    entropy: &Counting,
) -> Fleet<Disk> {
    let configs = keys
        .meters
        .iter()
        .map(|keys| DeviceConfig {
            template: options.template.clone(),
            keys: keys.clone(),
            site: Site {
                place: "Lindenweg 14".parse().unwrap(),
                feeder: "F1".parse().unwrap(),
                phase: Phase::L123,
            },
            sap: 1,
            source: options.source.clone(),
            installed: NOON.plus_secs(-86_400 * options.history_days),
            outages: options.outages.clone(),
            drift_ppb: options.drift_ppb,
        })
        .collect();
    let (mut fleet, _) = Fleet::open(disk.clone(), configs, now, entropy).unwrap();
    let firmware = FirmwareConfig::new(crate::image::maker(), Arc::clone(images));
    fleet.set_firmware(&firmware).unwrap();
    fleet
}

/// One client of one meter, and the server machine of their link.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) place: usize,
    pub(crate) sap: u16,
    pub(crate) password: Vec<u8>,
    /// What the client sent, to be replayed.
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Peer {
    pub(crate) fn new(place: usize, sap: u16, keys: &MeterKeys, floor: u32) -> Self {
        let (config, security) = Self::settings(sap, keys, floor);
        let password = keys.client(sap).and_then(|held| held.password.as_ref());
        Self {
            client: Client::new(config, security),
            server: Server::new(Settings::default()),
            place,
            sap,
            password: password.map_or_else(Vec::new, |known| known.dangerous_octets().to_vec()),
            sent: Vec::new(),
        }
    }

    /// Tells what a client machine needs that has a meter's keys.
    pub(crate) fn settings(sap: u16, keys: &MeterKeys, floor: u32) -> (Config, Option<Security>) {
        let mut config = Config::default();
        let mut security = None;
        if let Some(held) = keys.client(sap) {
            config.mechanism = held.mechanism;
            if held.mechanism == MechanismName::HighGmac {
                let encryption = held.encryption_key.clone().unwrap();
                let authentication = held.authentication_key.clone().unwrap();
                config.context = Context::LogicalNameCiphered;
                config.protection = Protection::AuthenticatedEncrypted;
                security = Some(client_security(
                    &Keys::new(encryption, authentication),
                    keys.system_title,
                    floor,
                ));
            }
        }
        (config, security)
    }

    /// Makes the client machine anew with other keys.
    pub(crate) fn with_keys(mut self, keys: &Keys, title: SystemTitle, floor: u32) -> Self {
        let config = Config {
            mechanism: MechanismName::HighGmac,
            context: Context::LogicalNameCiphered,
            protection: Protection::AuthenticatedEncrypted,
            ..Config::default()
        };
        self.client = Client::new(config, Some(client_security(keys, title, floor)));
        self
    }

    pub(crate) fn associate(&mut self, world: &mut World) -> Result<(), Failure> {
        let mut challenge = [0; 16];
        world.entropy.fill(&mut challenge).unwrap();
        let password = self.password.clone();
        let event = self.drive(
            world,
            Input::Associate(Associate {
                password: &password,
                entropy: &challenge,
                dedicated: None::<Key>,
                counter: None,
            }),
        );
        match event {
            Some(Event::Associated(_)) => Ok(()),
            Some(Event::Ended(failure)) => Err(failure),
            other => panic!("no association, but {other:?}"),
        }
    }

    pub(crate) fn release(&mut self, world: &mut World) {
        let event = self.drive(world, Input::Release);
        assert!(matches!(event, Some(Event::Released(_))), "{event:?}");
    }

    /// Reads `CLASS OBIS ATTRIBUTE`.
    pub(crate) fn get(&mut self, world: &mut World, what: &str) -> Result<Data, DataAccessResult> {
        self.get_octets(world, attribute(what), None)
            .map(|octets| RawData::new(&octets).decode().unwrap())
    }

    pub(crate) fn get_selected(
        &mut self,
        world: &mut World,
        what: &str,
        selection: &ProfileSelection,
    ) -> Result<Data, DataAccessResult> {
        let mut octets = Vec::new();
        selection.to_data().encode(&mut octets);
        let selection = Some((selection.selector(), octets));
        self.get_octets(world, attribute(what), selection)
            .map(|octets| RawData::new(&octets).decode().unwrap())
    }

    pub(crate) fn get_octets(
        &mut self,
        world: &mut World,
        attribute: AttributeDescriptor,
        selection: Option<(u8, Vec<u8>)>,
    ) -> Result<Vec<u8>, DataAccessResult> {
        let item = GetItem {
            attribute,
            selection,
        };
        match self.request(world, Request::Get(vec![item])) {
            Response::Get(mut values) => values.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set(&mut self, world: &mut World, what: &str, value: &Data) -> DataAccessResult {
        let item = SetItem {
            attribute: attribute(what),
            selection: None,
            value: value.to_octets(),
        };
        match self.request(world, Request::Set(vec![item])) {
            Response::Set(mut results) => results.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Invokes `CLASS OBIS METHOD`.
    pub(crate) fn invoke(
        &mut self,
        world: &mut World,
        what: &str,
        parameter: Option<Vec<u8>>,
    ) -> ActionResult {
        let AttributeDescriptor {
            class_id,
            instance,
            attribute,
        } = attribute(what);
        let item = ActionItem {
            method: MethodDescriptor::new(class_id, instance, attribute),
            parameter,
        };
        match self.request(world, Request::Action(vec![item])) {
            Response::Action(mut outcomes) => outcomes.pop().unwrap().result,
            other => panic!("{other:?}"),
        }
    }

    fn request(&mut self, world: &mut World, request: Request) -> Response {
        match self.drive(world, Input::Request(request)) {
            Some(Event::Response(response)) => response,
            other => panic!("no response, but {other:?}"),
        }
    }

    /// Sends octets to the meter as they are; returns its answer.
    pub(crate) fn raw(&mut self, world: &mut World, octets: &[u8]) -> Option<Vec<u8>> {
        self.raw_to(world, octets, false)
    }

    /// Sends octets to all stations.
    pub(crate) fn raw_to(
        &mut self,
        world: &mut World,
        octets: &[u8],
        broadcast: bool,
    ) -> Option<Vec<u8>> {
        let now = instant(world.now);
        let mut session = world
            .fleet
            .session(self.place, world.now, &world.entropy)
            .unwrap()
            .unwrap();
        self.server.handle(
            server::Input::Apdu {
                client: self.sap,
                broadcast,
                octets,
            },
            now,
            &mut session,
        );
        let mut answer = None;
        while let server::Output::Transmit { octets, .. } = self.server.poll() {
            answer = Some(octets);
        }
        answer
    }

    /// Runs both machines until the client says something or nothing moves any more.
    fn drive(&mut self, world: &mut World, input: Input<'_>) -> Option<Event> {
        let now = instant(world.now);
        self.client.handle(input, now);
        loop {
            match self.client.poll() {
                Output::Transmit(octets) => {
                    self.sent.push(octets.clone());
                    if let Some(answer) = self.raw(world, &octets) {
                        self.client.handle(Input::Apdu(&answer), now);
                    }
                }
                Output::Reserve(plan) => self.client.handle(Input::Reserved(plan), now),
                Output::Event(Event::Progress(_)) => {}
                Output::Event(event) => return Some(event),
                Output::Timeout(_) => return None,
            }
        }
    }
}

fn client_security(keys: &Keys, server: SystemTitle, floor: u32) -> Security {
    Security {
        title: SystemTitle(*b"HES\0\0\0\0\x01"),
        server_title: Some(server),
        keys: KeyRing::new(&RustCrypto, SecuritySuite::Suite0, keys).unwrap(),
        send: SendCounter::resume(CounterRecord {
            end: floor,
            ..CounterRecord::default()
        }),
        received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
    }
}

pub(crate) fn attribute(what: &str) -> AttributeDescriptor {
    let mut parts = what.split(' ');
    let mut part = || parts.next().unwrap();
    let class_id = part().parse().unwrap();
    let obis: Obis = part().parse().unwrap();
    AttributeDescriptor::new(class_id, obis, part().parse().unwrap())
}

pub(crate) fn instant(now: Timestamp) -> dlms::Instant {
    dlms::Instant::from_micros(u64::try_from(now.millis()).unwrap() * 1_000)
}
