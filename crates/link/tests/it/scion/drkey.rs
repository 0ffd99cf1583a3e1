//! Authentication keys that the network derives, in real associations over
//! real sockets.
//!
//! Evidence: self-agreement, with a control service of our own that derives as
//! the reference implementation does (its vectors: crate `scion`); against its
//! daemons in `interop/scion/links`.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlms::acse::MechanismName;
use dlms::client::{Config, Failure, Security};
use dlms::cosem::{AttributeAccess, AttributeDescriptor, Obis};
use dlms::security::{
    AwsLc, CounterRecord, CounterRestart, Key, KeyRing, Keys, PeerCounter, PeerWindows, Protection,
    ReplayWindow, SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::{
    AssociationTerms, AttributeRights, Caller, Context, NoEntropy, NotDurable, Notice, ObjectStore,
    SecurityState, Selection, Settings,
};
use dlms::xdlms::DataAccessResult;
use link::{
    Association, Client, ClientError, Clock, CounterStore, Devices, Drkey, DrkeyError, DrkeyMix,
    Endpoint, Entropy as _, Limits, Listener, Sap, Service as Serving, SharedDevice, Surroundings,
    SystemClock, SystemEntropy, serve,
};

use super::{METERS, Net};
use crate::device::{NAME, name};
use crate::transports::LIMIT;

/// The length of an epoch in seconds, and the begin of one.
const EPOCH: i64 = 600;
const BEGIN: i64 = 1_800_000_000;

/// A clock whose time of day is set.
struct Set {
    /// Runs on beside the day, for timers; a meter's stands still, so that what
    /// ends with an epoch ends when the day says so.
    inner: Option<SystemClock>,
    unix: AtomicI64,
}

impl Set {
    fn at(unix: i64) -> Arc<Self> {
        Arc::new(Self {
            inner: Some(SystemClock::new()),
            unix: AtomicI64::new(BEGIN + unix),
        })
    }

    fn standing(unix: i64) -> Arc<Self> {
        Arc::new(Self {
            inner: None,
            unix: AtomicI64::new(BEGIN + unix),
        })
    }

    fn set(&self, unix: i64) {
        self.unix.store(BEGIN + unix, Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn now(&self) -> dlms::Instant {
        let ran = self.inner.map_or(0, |inner| inner.now().as_micros());
        let set = u64::try_from(self.unix_seconds() - BEGIN + EPOCH).unwrap();
        dlms::Instant::from_micros(ran + set * 1_000_000)
    }

    fn unix_seconds(&self) -> i64 {
        self.unix.load(Ordering::SeqCst)
    }
}

const METER: SystemTitle = SystemTitle(*b"GWD\0\0\0\0\x01");
pub(super) const SECRET: [u8; 16] = *b"a secret of ours";
const ENCRYPTION: [u8; 16] = *b"the cipher's key";

fn keys() -> Keys {
    Keys {
        encryption: Key::from(ENCRYPTION),
        authentication: None,
        broadcast: None,
        master: None,
        dedicated: None,
    }
}

fn ring() -> KeyRing {
    KeyRing::new(&AwsLc, SecuritySuite::Suite0, &keys()).unwrap()
}

/// A meter whose client 1 has a key of the network's.
struct Meter {
    security: SecurityState,
    associated: Arc<AtomicI64>,
}

impl ObjectStore for Meter {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        (client == 1).then(|| AssociationTerms {
            context: Context::LogicalNameCiphered,
            mechanism: MechanismName::HighGmac,
            conformance: Config::default().conformance,
            pdu_len_max: 500,
            protection: Protection::AuthenticatedEncrypted,
            object: Obis([0, 0, 40, 0, 0, 255]),
            pre_established: false,
        })
    }

    fn security(&mut self, _: u16) -> Option<&mut SecurityState> {
        Some(&mut self.security)
    }

    fn counters_reserved(&mut self, _: u16, _: &CounterRecord) -> Result<(), NotDurable> {
        Ok(())
    }

    fn counter_accepted(
        &mut self,
        _: u16,
        _: &SystemTitle,
        _: u32,
        _: bool,
    ) -> Result<(), NotDurable> {
        Ok(())
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        SystemEntropy.fill(out).map_err(|_| NoEntropy)
    }

    fn attribute_rights(
        &self,
        _: u16,
        _: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        Ok(AttributeRights {
            access: AttributeAccess::READ,
            selectors: 0,
        })
    }

    fn get(
        &mut self,
        _: &Caller,
        _: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        out.extend(name(1));
        Ok(())
    }

    fn noticed(&mut self, _: u16, notice: Notice) {
        if notice == Notice::Associated {
            self.associated.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct One(Arc<Mutex<Meter>>);

impl Devices for One {
    fn find(&self, _: Sap) -> Option<SharedDevice> {
        Some(Arc::clone(&self.0) as SharedDevice)
    }

    fn drkey(&self, server: Sap, client: Sap) -> Option<DrkeyMix> {
        (client == 1).then(|| DrkeyMix {
            secret: Key::from(SECRET),
            keys: keys(),
            suite: SecuritySuite::Suite0,
            client,
            server,
            client_title: SystemTitle([0; 8]),
            server_title: METER,
        })
    }

    fn saps(&self) -> Vec<Sap> {
        vec![1]
    }
}

/// Silence ends nothing: the day moves by leaps.
fn serving() -> Serving {
    Serving {
        settings: Settings {
            inactivity: None,
            ..Settings::default()
        },
        ..Serving::default()
    }
}

/// Serves the meter at a place; gives that, and counts its associations.
pub(super) async fn meter(url: &str, clock: Arc<dyn Clock>) -> (Endpoint, Arc<AtomicI64>) {
    let associated = Arc::new(AtomicI64::new(0));
    let one = Arc::new(Mutex::new(Meter {
        security: SecurityState {
            title: METER,
            client_title: None,
            keys: ring(),
            timed: Some(Vec::new()),
            send: SendCounter::resume(CounterRecord::default()),
            received: PeerWindows::new(0),
            received_broadcast: PeerWindows::new(0),
        },
        associated: Arc::clone(&associated),
    }));
    let at: Endpoint = url.parse().unwrap();
    let listener = Listener::bind(&at, &[1], Limits::default(), Arc::clone(&clock));
    let mut listener = listener.await.unwrap();
    let local = listener.local().clone();
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            let (one, clock) = (Arc::new(One(Arc::clone(&one))), Arc::clone(&clock));
            tokio::spawn(async move {
                let _permit = accepted.permit;
                serve(accepted.link, one, serving(), clock).await
            });
        }
    });
    (local, associated)
}

struct Forgetful;

impl CounterStore for Forgetful {
    fn store<'a>(
        &'a self,
        _: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

/// Associates as a client with a title of its own.
pub(super) async fn associate(
    endpoint: &Endpoint,
    title: u8,
    secret: [u8; 16],
    clock: &Arc<impl Clock + 'static>,
) -> Result<Client, ClientError> {
    associate_with(endpoint, title, secret, &system(clock)).await
}

/// What the system has, with another clock.
fn system(clock: &Arc<impl Clock + 'static>) -> Surroundings {
    Surroundings {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..Surroundings::system()
    }
}

async fn associate_with(
    endpoint: &Endpoint,
    title: u8,
    secret: [u8; 16],
    with: &Surroundings,
) -> Result<Client, ClientError> {
    let association = Association {
        client: 1,
        config: Config {
            context: Context::LogicalNameCiphered,
            mechanism: MechanismName::HighGmac,
            protection: Protection::AuthenticatedEncrypted,
            // An exception in clear is no answer until nothing else comes.
            timeout: Duration::from_millis(500),
            ..Config::default()
        },
        security: Some(Security {
            title: SystemTitle([b'H', b'E', b'S', 0, 0, 0, 0, title]),
            server_title: Some(METER),
            keys: ring(),
            send: SendCounter::resume(CounterRecord {
                end: 1,
                ..CounterRecord::default()
            }),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        }),
        counters: Some(Arc::new(Forgetful)),
        drkey: Some(Drkey {
            secret: Key::from(secret),
            keys: keys(),
        }),
        ..Association::public(1)
    };
    Client::connect(endpoint, association, with, LIMIT).await
}

pub(super) async fn read(client: &mut Client) -> Result<(), ClientError> {
    let octets = client.read_octets(NAME, None, &mut |_| {}).await?;
    assert_eq!(octets, name(1));
    Ok(())
}

struct Site {
    net: Net,
    /// The meter's clock.
    there: Arc<Set>,
    endpoint: Endpoint,
    associated: Arc<AtomicI64>,
}

impl Site {
    async fn at(unix: i64) -> Self {
        let net = Net::start().await;
        let there = Set::standing(unix);
        let daemon = net.daemons[1];
        let url = format!("scion://[{METERS},127.0.0.1]:0?daemon={daemon}");
        let clock = Arc::clone(&there) as Arc<dyn Clock>;
        let (local, associated) = meter(&url, clock).await;
        let endpoint = net.endpoint(&local, "");
        Self {
            net,
            there,
            endpoint,
            associated,
        }
    }

    fn associations(&self) -> i64 {
        self.associated.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_session_goes_over_into_the_next_epochs_without_a_failed_read() {
    let site = Site::at(100).await;
    let here = Set::at(100);
    let mut client = associate(&site.endpoint, 1, SECRET, &here).await.unwrap();
    let mut now = 100;
    let to = |unix: i64| {
        here.set(unix);
        site.there.set(unix);
    };
    read(&mut client).await.unwrap();
    for epoch in 1..=3_i64 {
        // Until the last moment, and as long as the meter still takes it.
        for at in [epoch * EPOCH - 1, epoch * EPOCH, epoch * EPOCH + 1] {
            to(at);
            read(&mut client).await.unwrap();
            assert_eq!(site.associations(), epoch, "at {at}");
        }
        now = epoch * EPOCH + 2;
        to(now);
        read(&mut client).await.unwrap();
        assert_eq!(site.associations(), epoch + 1);
    }
    // Long after the epoch: the meter has ended it, the client makes it anew.
    to(now + 5 * EPOCH);
    read(&mut client).await.unwrap();
    assert_eq!(site.associations(), 5);
    client.release().await;
    // One key for the meters' AS and epoch, one for the two hosts; the next
    // epoch's are asked for ahead of time.
    assert!(site.net.network.keys().asked("DRKeyHostAS") >= 5);
    assert!(site.net.network.keys().asked("DRKeyHostHost") >= 5);
}

#[tokio::test]
async fn one_key_of_the_network_is_enough_for_all_associations_of_an_epoch() {
    let site = Site::at(EPOCH - 100).await;
    let here = Set::at(EPOCH - 100);
    let mut clients = Vec::new();
    for title in 1..=4 {
        let mut client = associate(&site.endpoint, title, SECRET, &here)
            .await
            .unwrap();
        read(&mut client).await.unwrap();
        clients.push(client);
    }
    assert_eq!(site.associations(), 4);
    // The meter asked for this epoch's and the next one's, whoever asked it.
    assert!(site.net.network.keys().asked("DRKeyHostHost") <= 2);
}

/// A head end asks for one key of its host and the meters' AS, and derives every meter's from it.
#[tokio::test]
async fn one_key_of_the_head_ends_is_enough_for_all_meters_of_an_as() {
    let site = Site::at(EPOCH - 100).await;
    let url = format!(
        "scion://[{METERS},127.0.0.2]:0?daemon={}",
        site.net.daemons[1]
    );
    let there = Arc::clone(&site.there) as Arc<dyn Clock>;
    let (second, associated) = meter(&url, there).await;
    let port = second.host_port().unwrap().port;
    let url = format!(
        "scion://[{METERS},127.0.0.2]:{port}?daemon={}",
        site.net.daemons[0]
    );
    let second: Endpoint = url.parse().unwrap();
    let with = system(&Set::at(EPOCH - 100));
    for (title, endpoint) in (1..).zip([&site.endpoint, &second, &site.endpoint, &second]) {
        let client = associate_with(endpoint, title, SECRET, &with).await;
        let mut client = client.unwrap();
        read(&mut client).await.unwrap();
        client.release().await;
    }
    let both = (site.associations(), associated.load(Ordering::SeqCst));
    assert_eq!(both, (2, 2));
    let keys = site.net.network.keys();
    // This epoch's and the next one's; of each host of a meter the same two.
    assert!((1..=2).contains(&keys.asked("DRKeyHostAS")));
    assert!((2..=4).contains(&keys.asked("DRKeyHostHost")));
}

#[tokio::test]
async fn an_old_epoch_is_taken_within_its_grace_and_refused_beyond() {
    let site = Site::at(EPOCH + 4).await;
    // A client whose clock lags: the epoch before.
    let lagging = Set::at(EPOCH - 1);
    let mut client = associate(&site.endpoint, 1, SECRET, &lagging)
        .await
        .unwrap();
    read(&mut client).await.unwrap();
    // Beyond the grace its association is over, and no other is made.
    site.there.set(EPOCH + 5);
    let refused = read(&mut client).await;
    assert!(
        matches!(refused, Err(ClientError::Failed(Failure::Exception(_)))),
        "{refused:?}"
    );
    let refused = associate(&site.endpoint, 2, SECRET, &lagging).await;
    assert!(
        matches!(
            refused.as_ref().err(),
            Some(ClientError::Failed(Failure::Rejected { .. }))
        ),
        "{:?}",
        refused.err()
    );
    // One ahead by what the client reckons late is in step.
    let ahead = Set::at(2 * EPOCH + 1);
    site.there.set(2 * EPOCH - 1);
    let mut client = associate(&site.endpoint, 3, SECRET, &ahead).await.unwrap();
    read(&mut client).await.unwrap();
    // And one that is a whole epoch ahead is not.
    let ahead = Set::at(3 * EPOCH);
    assert!(associate(&site.endpoint, 4, SECRET, &ahead).await.is_err());
}

#[tokio::test]
async fn neither_part_of_the_mixture_is_enough() {
    let site = Site::at(100).await;
    let here = Set::at(100);
    // The network's key with another secret.
    let other = *b"another's secret";
    let refused = associate(&site.endpoint, 1, other, &here).await;
    assert!(
        matches!(
            refused.as_ref().err(),
            Some(ClientError::Failed(Failure::Rejected { .. }))
        ),
        "{:?}",
        refused.err()
    );
    // The secret without the network's key: the daemon refuses, and says so.
    let site = Site::at(100).await;
    site.net.network.keys().refuse(true);
    let refused = associate(&site.endpoint, 1, SECRET, &here).await.err();
    let Some(ClientError::Drkey(DrkeyError::NotGiven(why))) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.to_string().contains("not for you"), "{why}");
    // A secret that is none.
    site.net.network.keys().refuse(false);
    let weak = associate(&site.endpoint, 1, [7; 16], &Set::at(200)).await;
    assert!(matches!(
        weak.err(),
        Some(ClientError::Drkey(DrkeyError::Mix(_)))
    ));
}

#[tokio::test]
async fn over_another_network_there_is_no_association() {
    let here = Set::at(100);
    let clock = Arc::clone(&here) as Arc<dyn Clock>;
    let (local, associated) = meter("udp://127.0.0.1:0", clock).await;
    let refused = associate(&local, 1, SECRET, &here).await;
    assert!(matches!(
        refused.err(),
        Some(ClientError::Drkey(DrkeyError::NoNetwork))
    ));
    assert_eq!(associated.load(Ordering::SeqCst), 0);
}
