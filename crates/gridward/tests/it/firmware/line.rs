//! A campaign over a power line in virtual time: the head end's campaigns, the client and the
//! server machine, the concentrator's machine, meters with their image stores, and the line, on
//! which one more meter is looked for all the time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use concentrator::core::{Core, Input, Output};
use concentrator::direct::{Connection, RouterLimits, SegmentId};
use concentrator::sap::Table;
use dlms::acse::MechanismName;
use dlms::axdr::Data;
use dlms::client::{ActionItem, Config, Repeat, Security};
use dlms::cosem::{AttributeDescriptor, Obis};
use dlms::security::{
    AwsLc, CounterRecord, CounterRestart, KeyRing, Keys, PeerCounter, Protection, PublicKey,
    ReplayWindow, SecuritySuite, SendCounter, SystemTitle, Wrapping,
};
use dlms::server::Context as Cosem;
use headend::campaigns::{
    Bound, CampaignStore, Campaigns, Kept, Line, Medium, Order, Parts, Progress, Round, Settings,
    Step, Targets,
};
use headend::collector::{
    AccessError, Answer, Broadcast, Conversation, Leases, MeterAccess, MeterTarget, ProfileAnswer,
    RegisterRef,
};
use headend::store::{
    ClockReading, Enrolment, Failure, LOAD_PROFILE, Pending, RegisterReading, StoreError,
};
use link::{
    ALL_STATIONS, Association, BROADCAST_CLIENT, Client, Clock as _, CounterStore, KeyFile, Link,
    LinkError, Message, Segment as _, SegmentEvent, Service, Surroundings,
};
use meter::firmware::{BLOCK_LEN, FirmwareConfig, MemoryImages};
use meter::fleet::Fleet;
use meter::metrology::Fixed;
use meter::population::{Outages, Population};
use meter::shell::SharedFleet;
use meter::template::Template;
use model::{
    BreakerState, Event, ImageHeader, LogicalDeviceName, MessageClass, MeterId, Timestamp,
};
use sim::powerline::{NodeConfig, PowerLine, PowerLineConfig, PowerLineSegment};
use sim::{SeededEntropy, SimClock, draw};
use tokio::sync::{Notify, mpsc, watch};

use super::disk::Disk;

/// 2026-11-21T00:00:00Z.
const START: i64 = 1_795_219_200;

/// What a run is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Repetitions of each S-FSK frame.
    pub(crate) credit: u8,
    pub(crate) meters: u16,
    /// Octets of the image's content.
    pub(crate) content: usize,
    /// Thousandths of the frames that a meter does not hear.
    pub(crate) loss: u16,
    pub(crate) seed: u64,
    /// Is told each phase of the campaign, and at how many seconds of the line's time it began.
    pub(crate) told: fn(&str, f64),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) bound: Bound,
    /// Seconds until all meters had been told that an image comes.
    pub(crate) initiate_s: f64,
    /// Seconds from the first block until the last meter had verified the image.
    pub(crate) transfer_s: f64,
    /// The same as the campaign tells it.
    pub(crate) taken_s: i64,
    /// Seconds of the blind passes, of the first round of asking, of the repair by broadcast, and
    /// of the second round with what is sent alone and the verification.
    pub(crate) parts_s: [f64; 4],
    /// Seconds until the last meter ran the image.
    pub(crate) activate_s: f64,
    pub(crate) verified: usize,
    pub(crate) active: usize,
    /// Blocks that were broadcast, the blind passes included.
    pub(crate) blocks_broadcast: u64,
    /// Bitmaps asked for in each round, as the head end's campaign keeps it.
    pub(crate) rounds: [Round; 2],
    /// Bitmaps read as the meters count it, over all of them, and the most of one.
    pub(crate) bitmaps: u64,
    pub(crate) bitmaps_of_one: u64,
    /// Answers as long as a bitmap's that came over the line, and the most of one meter's.
    pub(crate) as_long: usize,
    pub(crate) as_long_of_one: usize,
    /// When the first bitmap was read, in seconds after the last block of the blind passes.
    pub(crate) first_bitmap_after_s: f64,
    /// Messages that went to single meters, by their length.
    pub(crate) sizes: BTreeMap<(bool, usize), u64>,
    /// Seconds that an urgent message waited while the passes went on, at most.
    pub(crate) airtime_s: f64,
}

pub(crate) fn run(plan: Plan) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(campaign(plan))
}

pub(crate) const SEGMENT: SegmentId = SegmentId(0);

/// The connection over which what is for all goes.
const TO_ALL: Connection = Connection(u64::MAX);

/// The concentrator and its line, as all links of the head end share them.
struct Hub {
    concentrator: Mutex<Concentrator>,
    /// Who waits for what comes over a connection.
    inboxes: Mutex<BTreeMap<Connection, mpsc::Sender<Message>>>,
    /// Says that something was handed in.
    handed: Notify,
    joined: watch::Sender<usize>,
    seen: Mutex<Seen>,
    clock: SimClock,
}

/// The machine of the concentrator at the end of a line, with an empty table.
pub(crate) fn at_its_end(segment: &PowerLineSegment, clock: SimClock) -> Core {
    with_table(Table::new(0), segment, clock)
}

/// As [`at_its_end`], with a table.
pub(crate) fn with_table(table: Table, segment: &PowerLineSegment, clock: SimClock) -> Core {
    let answer = Duration::from_secs(60);
    let limits = RouterLimits::default();
    let mut core = Core::new(table, limits, BTreeMap::new(), answer);
    core.add_segment(SEGMENT, segment.window(), segment.payload_max());
    core.describe_segment(SEGMENT, segment.medium());
    core.share_segment(SEGMENT, clock.now());
    core
}

struct Concentrator {
    core: Core,
    segment: PowerLineSegment,
}

struct Seen {
    sizes: BTreeMap<(bool, usize), u64>,
    /// About as long as a bitmap's answer is.
    bitmap_len: RangeInclusive<usize>,
    bitmaps: BTreeMap<Connection, usize>,
    first_bitmap_s: Option<f64>,
    last_block_s: f64,
}

impl Hub {
    fn now_s(&self) -> f64 {
        Duration::from_micros(self.clock.now().as_micros()).as_secs_f64()
    }

    /// Lets the concentrator do what is to be done; returns how long nothing is.
    fn turn_over(&self, input: Input) -> Duration {
        let mut concentrator = self.concentrator.lock().unwrap();
        let Concentrator { core, segment } = &mut *concentrator;
        core.handle(input, self.clock.now(), self.clock.unix_seconds());
        loop {
            let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
            match core.poll(now, unix) {
                Output::ToSegment { node, message, .. } => segment.send(node, message).unwrap(),
                Output::ToWan {
                    connection,
                    message,
                } => self.came(connection, message),
                Output::Credit(_) => {}
                Output::Store(_) => core.handle(Input::Stored, now, unix),
                Output::Keep(_) => core.handle(Input::Kept(1), now, unix),
                Output::Wait(at) => {
                    let there = core.status().values().filter(|it| it.place.is_some());
                    self.joined.send_replace(there.count());
                    return at.map_or(Duration::from_secs(3_600), |at| at.since(now));
                }
            }
        }
    }

    fn came(&self, connection: Connection, message: Message) {
        let mut seen = self.seen.lock().unwrap();
        let length = message.payload.len();
        *seen.sizes.entry((false, length)).or_default() += 1;
        if seen.bitmap_len.contains(&length) {
            *seen.bitmaps.entry(connection).or_default() += 1;
            let now = self.now_s();
            seen.first_bitmap_s.get_or_insert(now);
        }
        drop(seen);
        let inbox = self.inboxes.lock().unwrap().get(&connection).cloned();
        if let Some(inbox) = inbox {
            // Who does not listen any more misses it.
            drop(inbox.try_send(message));
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<SegmentEvent> {
        let mut concentrator = self.concentrator.lock().unwrap();
        concentrator.segment.poll_event(cx).map(Result::unwrap)
    }

    async fn turn(self: Arc<Self>) {
        let mut wait = self.turn_over(Input::Timeout);
        loop {
            let input = tokio::select! {
                biased;
                event = poll_fn(|cx| self.poll(cx)) => Input::FromSegment(SEGMENT, event),
                () = self.handed.notified() => Input::Timeout,
                () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => Input::Timeout,
            };
            wait = self.turn_over(input);
        }
    }

    /// Returns the SAP under which the concentrator has a meter.
    fn sap(&self, name: &LogicalDeviceName) -> u16 {
        let concentrator = self.concentrator.lock().unwrap();
        concentrator.core.table().sap_of(name).unwrap()
    }
}

/// A link to one meter, or to all.
struct OnLine {
    hub: Arc<Hub>,
    connection: Connection,
    inbox: mpsc::Receiver<Message>,
}

impl OnLine {
    fn new(hub: &Arc<Hub>, connection: Connection) -> Self {
        let (sender, inbox) = mpsc::channel(64);
        hub.inboxes.lock().unwrap().insert(connection, sender);
        hub.turn_over(Input::Opened(connection));
        Self {
            hub: Arc::clone(hub),
            connection,
            inbox,
        }
    }
}

impl Link for OnLine {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let now = self.hub.now_s();
        let mut seen = self.hub.seen.lock().unwrap();
        if self.connection == TO_ALL {
            seen.last_block_s = now;
        } else {
            *seen.sizes.entry((true, message.payload.len())).or_default() += 1;
        }
        drop(seen);
        self.hub.turn_over(Input::FromWan(self.connection, message));
        self.hub.handed.notify_one();
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        self.inbox
            .poll_recv(cx)
            .map(|message| message.ok_or(LinkError::Closed))
    }

    fn payload_max(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn peer(&self) -> String {
        "the line".to_owned()
    }
}

type Parked = Arc<Mutex<BTreeMap<u64, Security>>>;

/// The way to the meters, with the keys of a key file.
struct Way {
    hub: Arc<Hub>,
    keys: KeyFile,
    /// Keys with their counters, between two contacts.
    parked: Parked,
    surroundings: Surroundings,
    broadcast: Mutex<CounterRecord>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Way")
    }
}

const HEAD_END: SystemTitle = SystemTitle(*b"HES\0\0\0\0\x01");
const FIRMWARE: Obis = Obis::new(1, 0, 0, 2, 0, 255);
/// A client waits for as long as all that may be before it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Durable enough for a simulation.
struct Nowhere;

impl CounterStore for Nowhere {
    fn store<'a>(
        &'a self,
        _: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

fn place(meter: u64) -> usize {
    usize::try_from(meter - 1).unwrap()
}

/// Above what a meter reserves for itself when it starts.
fn counters() -> CounterRecord {
    CounterRecord {
        end: 1 << 20,
        ..CounterRecord::default()
    }
}

impl Way {
    fn security(&self, meter: u64) -> Security {
        if let Some(parked) = self.parked.lock().unwrap().remove(&meter) {
            return parked;
        }
        let meter = &self.keys.meters[place(meter)];
        let held = meter.client(1).unwrap();
        let keys = Keys::new(
            held.encryption_key.clone().unwrap(),
            held.authentication_key.clone().unwrap(),
        );
        Security {
            title: HEAD_END,
            server_title: Some(SystemTitle(meter.system_title.0)),
            keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &keys).unwrap(),
            send: SendCounter::resume(counters()),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        }
    }
}

impl MeterAccess for Way {
    fn open<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>> {
        Box::pin(async move {
            let number = meter.id.number();
            let sap = self
                .hub
                .sap(&self.keys.meters[place(number)].logical_device_name);
            let association = Association {
                client: 1,
                config: Config {
                    context: Cosem::LogicalNameCiphered,
                    mechanism: MechanismName::HighGmac,
                    protection: Protection::AuthenticatedEncrypted,
                    timeout: PATIENCE,
                    repeat: Repeat::Everything,
                    ..Config::default()
                },
                security: Some(self.security(number)),
                counters: Some(Arc::new(Nowhere)),
                ..Association::public(sap)
            };
            let link = Box::new(OnLine::new(&self.hub, Connection(number)));
            let client = Client::associate(link, association, &self.surroundings).await;
            let mut client = client.map_err(|_| AccessError::ended(Failure::NoAnswer))?;
            client.set_class(MessageClass::Usage);
            let parked = Arc::clone(&self.parked);
            Ok(Box::new(Talk {
                client: Some(client),
                parked,
                number,
            }) as Box<dyn Conversation>)
        })
    }

    fn broadcast_key(&self, _: &MeterTarget) -> Option<u64> {
        Some(1)
    }

    fn broadcast<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Broadcast>> {
        Box::pin(async move {
            let keys = &self.keys.meters[place(meter.id.number())];
            let of_all = keys.client(BROADCAST_CLIENT).unwrap();
            let broadcast = keys.broadcast_key.clone().unwrap();
            let mut all = Keys::new(
                broadcast.clone(),
                of_all.authentication_key.clone().unwrap(),
            );
            all.broadcast = Some(broadcast);
            // A block of counters for each burst, none twice.
            let record = {
                let mut record = self.broadcast.lock().unwrap();
                let now = record.clone();
                record.end += 100_000;
                now
            };
            let association = Association {
                client: BROADCAST_CLIENT,
                config: Config {
                    context: Cosem::LogicalNameCiphered,
                    protection: Protection::AuthenticatedEncrypted,
                    wrapping: Wrapping::GeneralGlo,
                    pre_established: true,
                    broadcast: true,
                    ..Config::default()
                },
                security: Some(Security {
                    title: HEAD_END,
                    server_title: None,
                    keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &all).unwrap(),
                    send: SendCounter::resume(record),
                    received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
                }),
                counters: Some(Arc::new(Nowhere)),
                ..Association::public(ALL_STATIONS)
            };
            let link = Box::new(OnLine::new(&self.hub, TO_ALL));
            let client = Client::associate(link, association, &self.surroundings).await;
            let mut client = client.map_err(|_| AccessError::ended(Failure::NoAnswer))?;
            client.set_class(MessageClass::Usage);
            Ok(Box::new(ToAll(client)) as Box<dyn Broadcast>)
        })
    }
}

struct ToAll(Client);

impl Broadcast for ToAll {
    fn tell(&mut self, item: ActionItem) -> Answer<'_, ()> {
        Box::pin(async move {
            let told = self.0.tell(vec![item]).await;
            told.map_err(|_| AccessError::ended(Failure::NoAnswer))
        })
    }
}

struct Talk {
    /// There until the association is released.
    client: Option<Client>,
    parked: Parked,
    number: u64,
}

impl Talk {
    fn park(&self, security: Option<Security>) {
        if let Some(security) = security {
            self.parked.lock().unwrap().insert(self.number, security);
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let left = self.client.take().and_then(Client::abandon);
        self.park(left);
    }
}

fn not_asked<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(AccessError::denied()) })
}

impl Conversation for Talk {
    fn clock(&mut self) -> Answer<'_, ClockReading> {
        not_asked()
    }

    fn profile(&mut self, _: Obis, _: std::ops::Range<i64>) -> Answer<'_, ProfileAnswer> {
        not_asked()
    }

    fn registers<'a>(&'a mut self, _: &'a [RegisterRef]) -> Answer<'a, Vec<RegisterReading>> {
        not_asked()
    }

    fn events(&mut self, _: Obis, _: i64) -> Answer<'_, Vec<Event>> {
        not_asked()
    }

    fn breaker(&mut self) -> Answer<'_, Option<BreakerState>> {
        not_asked()
    }

    fn firmware(&mut self) -> Answer<'_, Option<String>> {
        Box::pin(async {
            let value = self
                .client
                .as_mut()
                .ok_or(AccessError::denied())?
                .read(AttributeDescriptor::new(1, FIRMWARE, 2))
                .await;
            match value {
                Ok(Data::OctetString(octets) | Data::VisibleString(octets)) => {
                    Ok(String::from_utf8(octets).ok())
                }
                Ok(_) => Ok(None),
                Err(_) => Err(AccessError::ended(Failure::NoAnswer)),
            }
        })
    }

    fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    fn rtt_us(&self) -> Option<u32> {
        None
    }

    fn close(mut self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(async move {
            if let Some(client) = self.client.take() {
                let security = client.release().await;
                self.park(security);
            }
            Ok(())
        })
    }
}

/// Campaigns in memory.
#[derive(Default)]
struct InMemory(Mutex<BTreeMap<u32, Vec<u8>>>);

impl CampaignStore for InMemory {
    fn keep(&self, id: u32, record: Vec<u8>, _: Option<Arc<[u8]>>) -> Pending<()> {
        self.0.lock().unwrap().insert(id, record);
        Box::pin(async { Ok(()) })
    }

    fn all(&self) -> Result<Vec<Kept>, StoreError> {
        Ok(Vec::new())
    }
}

struct Street(KeyFile);

impl Street {
    fn all(&self) -> Vec<MeterTarget> {
        let numbers = 1..=u64::try_from(self.0.meters.len()).unwrap();
        numbers
            .filter_map(|number| self.target(MeterId::new(number).unwrap()))
            .collect()
    }
}

impl Targets for Street {
    fn target(&self, meter: MeterId) -> Option<MeterTarget> {
        let keys = self.0.meters.get(place(meter.number()))?;
        Some(MeterTarget {
            id: meter,
            enrolment: Enrolment {
                name: keys.logical_device_name.clone(),
                system_title: Some(SystemTitle(keys.system_title.0)),
                endpoint: "tcp://line:4059".to_owned(),
                server: 1,
                client: 1,
                place: model::Place::default(),
                feeder: None,
                phase: None,
                load_profile: LOAD_PROFILE,
                secrets: Vec::new(),
            },
        })
    }
}

#[derive(Debug)]
struct Wall(SimClock);

impl headend::Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.unix_millis())
    }
}

/// An image that its maker signed, and the maker.
pub(crate) fn image(content: usize) -> (Arc<[u8]>, PublicKey) {
    let maker = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let words = (0..).map(|word| draw(7, word)).flat_map(u64::to_le_bytes);
    let content: Vec<u8> = words.take(content).collect();
    let header = ImageHeader::new("smr5", "Gridward 2.0", 2, &content).unwrap();
    let signature = maker
        .sign(&SystemRandom::new(), &header.to_octets())
        .unwrap();
    let image = header.seal(signature.as_ref().try_into().unwrap(), &content);
    let public = PublicKey::from_octets(maker.public_key().as_ref()).unwrap();
    (image.into(), public)
}

/// Serves each meter at its plug of a line that loses messages.
pub(crate) fn serve_all(
    fleet: &Arc<SharedFleet<Disk>>,
    plugs: Vec<Box<dyn Link>>,
    clock: SimClock,
) {
    let mut service = Service {
        idle: Duration::from_secs(1 << 30),
        ..Service::default()
    };
    service.settings.lossy = true;
    for (place, plug) in plugs.into_iter().enumerate() {
        let devices = fleet.only(place).unwrap();
        tokio::spawn(link::serve(plug, devices, service, Arc::new(clock)));
    }
}

async fn campaign(plan: Plan) -> Found {
    let clock = SimClock::starting_at(START);
    let keys =
        KeyFile::generate(1, u32::from(plan.meters), &SeededEntropy::new(plan.seed)).unwrap();
    let (image, maker) = image(plan.content);
    let line = Line {
        medium: Medium::SFsk,
        credit: plan.credit,
        hops: 0,
        loss_permille: plan.loss,
    };
    let technology = line.technology();
    let image_len = u32::try_from(image.len()).unwrap();
    let bound = Bound::of(&line, u32::from(plan.meters), image_len, BLOCK_LEN, 2);

    // The meters.
    let template = Arc::new(Template::built_in("smr5").unwrap());
    let population = Population {
        seed: plan.seed,
        history_days: 0,
        outages: Outages::Never,
        consecutive_saps: false,
        ..Population::default()
    };
    let now = Timestamp::from_secs(START);
    let mut configs = population.configs(&template, keys.meters.clone(), now);
    for config in &mut configs {
        config.source = Arc::new(Fixed {
            import_w: 360,
            export_w: 0,
        });
    }
    let entropy = Arc::new(SeededEntropy::new(draw(plan.seed, 1)));
    let (mut fleet, _) = Fleet::open(Disk::default(), configs, now, &*entropy).unwrap();
    let images = MemoryImages::expecting(Arc::clone(&image));
    let firmware = FirmwareConfig::new(maker, Arc::new(images));
    fleet.set_firmware(&firmware).unwrap();
    let fleet = SharedFleet::new(fleet, Arc::new(clock), entropy);

    // The line.
    let node = |title, appears| NodeConfig {
        title,
        server: 1,
        hops: 0,
        loss: plan.loss,
        appears,
    };
    let titles = keys.meters.iter().map(|meter| meter.system_title.0);
    let mut nodes: Vec<_> = titles.map(|title| node(title, Duration::ZERO)).collect();
    nodes.push(node(*b"GWDnever", Duration::MAX));
    let config = PowerLineConfig::quiet(technology, nodes, draw(plan.seed, 2));
    let (wire, segment, mut plugs) = PowerLine::new(config);
    let _never = plugs.pop();
    serve_all(&fleet, plugs, clock);
    let core = at_its_end(&segment, clock);
    let (joined, mut all_joined) = watch::channel(0);
    let blocks = image.len().div_ceil(80);
    let hub = Arc::new(Hub {
        concentrator: Mutex::new(Concentrator { core, segment }),
        inboxes: Mutex::default(),
        handed: Notify::new(),
        joined,
        seen: Mutex::new(Seen {
            sizes: BTreeMap::new(),
            // Protection, response and the bit string's own head: 25 to 30 octets.
            bitmap_len: blocks.div_ceil(8) + 25..=blocks.div_ceil(8) + 30,
            bitmaps: BTreeMap::new(),
            first_bitmap_s: None,
            last_block_s: 0.0,
        }),
        clock,
    });
    tokio::spawn(Arc::clone(&hub).turn());
    let count = usize::from(plan.meters);
    all_joined
        .wait_for(|joined| *joined >= count)
        .await
        .unwrap();

    // The head end.
    let surroundings = Surroundings {
        clock: Arc::new(clock),
        entropy: Arc::new(SeededEntropy::new(draw(plan.seed, 3))),
        connector: Arc::new(link::SystemConnector::default()),
    };
    let street = Arc::new(Street(keys.clone()));
    let (_stop, stopped) = watch::channel(false);
    let campaigns = Campaigns::open(
        Parts {
            store: Arc::new(InMemory::default()),
            access: Arc::new(Way {
                hub: Arc::clone(&hub),
                keys,
                parked: Parked::default(),
                surroundings,
                broadcast: Mutex::new(counters()),
            }),
            targets: Arc::clone(&street) as Arc<dyn Targets>,
            clock: Arc::new(Wall(clock)),
            leases: Leases::default(),
        },
        stopped,
    )
    .unwrap();
    let settings = Settings {
        rings: vec![1_000],
        soak_s: 0,
        pace_ms: line.pace_ms(BLOCK_LEN) + 1,
        line: Some(line),
        ..Settings::default()
    };
    let begun = hub.now_s();
    let id = campaigns
        .start(Order {
            name: "test".to_owned(),
            reason: None,
            image: image.to_vec(),
            meters: street.all(),
            settings,
        })
        .await
        .unwrap();
    let mut marks: BTreeMap<&str, f64> = BTreeMap::new();
    let mut last: Option<Progress> = None;
    let progress = loop {
        let progress = campaigns.get(id).unwrap().progress;
        marks.entry(progress.phase).or_insert_with(|| {
            let now = hub.now_s();
            (plan.told)(progress.phase, now);
            now
        });
        if matches!(progress.phase, "done" | "stopped_by_failures") {
            break progress;
        }
        // Phases only follow each other.
        if let Some(last) = last.replace(progress) {
            assert!(last.meters == count);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let at = |phase: &str| marks.get(phase).copied().unwrap_or(f64::NAN);
    let seen = hub.seen.lock().unwrap();
    let verified = progress.steps.get(&Step::Active).copied().unwrap_or(0)
        + progress.steps.get(&Step::Verified).copied().unwrap_or(0);
    let firmwares = (0..count).map(|place| {
        let of = |device: &meter::device::Device| {
            let firmware = device.firmware().unwrap();
            (firmware.running(), firmware.bitmaps_read())
        };
        fleet.with_device(place, of).unwrap()
    });
    let (running, bitmaps): (Vec<u32>, Vec<u64>) = firmwares.unzip();
    Found {
        bound,
        initiate_s: at("broadcasting") - begun,
        transfer_s: at("activating") - at("broadcasting"),
        parts_s: [
            at("asking") - at("broadcasting"),
            at("repairing") - at("asking"),
            at("finishing") - at("repairing"),
            at("activating") - at("finishing"),
        ],
        activate_s: at("done") - at("activating"),
        verified,
        active: running.iter().filter(|version| **version == 2).count(),
        blocks_broadcast: progress.groups.iter().map(|group| group.sent).sum(),
        taken_s: progress.groups[0].taken_s.unwrap(),
        rounds: progress.rounds,
        bitmaps: bitmaps.iter().sum(),
        bitmaps_of_one: bitmaps.iter().copied().max().unwrap_or(0),
        as_long: seen.bitmaps.values().sum(),
        as_long_of_one: seen.bitmaps.values().copied().max().unwrap_or(0),
        first_bitmap_after_s: seen.first_bitmap_s.unwrap_or(f64::NAN) - at("asking"),
        sizes: seen.sizes.clone(),
        airtime_s: wire.statistics().airtime.as_secs_f64(),
    }
}
