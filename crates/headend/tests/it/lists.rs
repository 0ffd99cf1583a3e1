//! Meters that take lists in requests, do not, or only say so: each gives the same readings, at a
//! cost that differs. Evidence: our own server machine behind a real socket, with answers of a
//! stranger put in its place; how real meters refuse a list is not known in general.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dlms::Instant;
use dlms::acse::MechanismName;
use dlms::axdr::{ClockStatus, DateTime};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeAccess, AttributeDescriptor, Obis};
use dlms::security::{Protection, SystemTitle};
use dlms::server::{
    AssociationTerms, AttributeRights, Caller, Context, Input, Notice, ObjectStore, Output,
    Selection, Server, Settings,
};
use dlms::wrapper::Wrapper;
use dlms::xdlms::{Conformance, DataAccessResult};
use headend::LinkAccess;
use headend::collector::{
    MeterAccess, MeterTarget, Records, RecordsWanted, RegisterRef, Status, StatusWanted,
};
use headend::keys::LocalKeys;
use headend::store::{Enrolment, LOAD_PROFILE, Store};
use link::Surroundings;
use model::{BreakerState, MeterId, Timestamp};

use crate::fake::FakeClock;
use crate::support::{NOON, Site, enrolment};

/// How a meter takes lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    Taken,
    NotOffered,
    /// An exception comes: service-not-supported.
    Exception,
    /// One refusal comes for the whole list.
    Refused,
}

const STANDARD_LOG: Obis = Obis::new(0, 0, 99, 98, 0, 255);
const NO_LOG: Obis = Obis::new(0, 0, 99, 98, 7, 255);
const IMPORT: Obis = Obis::new(1, 0, 1, 8, 0, 255);

#[test]
fn what_a_meter_thinks_of_lists_changes_no_reading() {
    let expected = told(Lists::Taken);
    let (status, records, exchanges, later) = &expected;
    let clock = status.clock.unwrap();
    assert_eq!(
        (clock.offset_ms.div_euclid(1_000), clock.zone_min),
        (30, Some(60))
    );
    assert_eq!(status.breaker, Some(BreakerState::Connected));
    assert_eq!(status.firmware.as_deref(), Some("1.2"));
    assert_eq!(status.registers.len(), 1);
    let profile = records.profile.as_ref().unwrap();
    assert_eq!(profile.layout.channels[0].unit, 30);
    assert_eq!(profile.rows[1].values, [Some(0x1001)]);
    assert_eq!(profile.rows[1].start, Timestamp::from_secs(NOON + 900));
    assert_eq!(records.events.len(), 1);
    // The association, the meter's name, its status, its records, and the release.
    assert_eq!((*exchanges, *later), (5, 5));

    for lists in [Lists::NotOffered, Lists::Exception, Lists::Refused] {
        let (mut status, records, first, later) = told(lists);
        let expected_status = Status {
            // Read at another moment.
            clock: status.clock,
            ..expected.0.clone()
        };
        for (reading, expected) in status.registers.iter_mut().zip(&expected_status.registers) {
            reading.at = expected.at;
        }
        assert_eq!(status, expected_status, "{lists:?}");
        assert_eq!(records, expected.1, "{lists:?}");
        assert!(first > 5, "{lists:?}: {first}");
        // What was tried in vain is not tried again.
        assert!(later < first, "{lists:?}: {later} of {first}");
    }
}

/// Reads a meter twice; tells what came the second time, and the messages of each.
fn told(lists: Lists) -> (Status, Records, usize, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let messages = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&messages);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), lists, &counted);
        }
    });
    let Site { folder, store } = Site::new();
    let store: Arc<dyn Store> = Arc::new(store);
    let keys = LocalKeys::open(&folder.path().join("master.key"), Arc::clone(&store)).unwrap();
    let access = LinkAccess::new(
        store,
        Arc::new(keys),
        FakeClock::at(NOON),
        Surroundings::system(),
        SystemTitle(*b"GWD\0\0\0\0\x01"),
        Duration::from_secs(10),
    );
    let target = MeterTarget {
        id: MeterId::new(1).unwrap(),
        enrolment: Enrolment {
            endpoint,
            client: 16,
            system_title: None,
            ..enrolment(1)
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let read = || runtime.block_on(read(&access, &target));
    read();
    let first = messages.swap(0, Ordering::SeqCst);
    let (status, records) = read();
    (status, records, first, messages.load(Ordering::SeqCst))
}

async fn read(access: &LinkAccess, target: &MeterTarget) -> (Status, Records) {
    let mut talk = access.open(target).await.unwrap();
    let registers = [
        RegisterRef::register(IMPORT),
        RegisterRef::register(Obis::new(1, 0, 2, 8, 0, 255)),
    ];
    let wanted = StatusWanted {
        registers: &registers,
        profile: LOAD_PROFILE,
        firmware: true,
    };
    let status = talk.status(&wanted).await.unwrap();
    let wanted = RecordsWanted {
        profile: Some((LOAD_PROFILE, NOON..NOON + 1_800)),
        logs: &[STANDARD_LOG, NO_LOG],
        since: 0,
    };
    let records = talk.records(&wanted).await.unwrap();
    talk.close().await.unwrap();
    (status, records)
}

/// Serves one connection.
fn serve(mut stream: TcpStream, lists: Lists, messages: &AtomicUsize) {
    let mut server = Server::new(Settings::default());
    let mut device = Device::new(lists);
    let mut head = [0; 8];
    while stream.read_exact(&mut head).is_ok() {
        messages.fetch_add(1, Ordering::SeqCst);
        let mut apdu = vec![0; usize::from(u16::from_be_bytes([head[6], head[7]]))];
        stream.read_exact(&mut apdu).unwrap();
        let mut answer = |apdu: &[u8]| {
            let wrapper = Wrapper {
                source: 1,
                destination: 16,
                apdu,
            };
            stream.write_all(&wrapper.to_octets()).unwrap();
        };
        match (lists, apdu.as_slice()) {
            (Lists::Exception, [0xC0, 3, ..]) => answer(&[0xD8, 1, 2]),
            // Data-access-result 250: other-reason.
            (Lists::Refused, [0xC0, 3, invoke, ..]) => answer(&[0xC4, 1, *invoke, 1, 250]),
            (_, octets) => {
                let input = Input::Apdu {
                    client: 16,
                    broadcast: false,
                    octets,
                };
                server.handle(input, Instant::from_micros(0), &mut device);
                while let Output::Transmit { octets, .. } = server.poll() {
                    answer(&octets);
                }
            }
        }
    }
}

struct Device {
    lists: Lists,
    values: BTreeMap<AttributeDescriptor, Vec<u8>>,
}

impl Device {
    fn new(lists: Lists) -> Self {
        let time = |secs| {
            let time = DateTime::from_unix_seconds(secs, -60, ClockStatus::OK).unwrap();
            [&[0x09, 12][..], &time.to_octets()].concat()
        };
        let object = |class: u8, obis: Obis| {
            [
                &[0x02, 4, 0x12, 0, class, 0x09, 6][..],
                &obis.0,
                &[0x0F, 2, 0x12, 0, 0],
            ]
            .concat()
        };
        let row =
            |secs, value: u8| [&[0x02, 2][..], &time(secs), &[0x06, 0, 0, 0x10, value]].concat();
        let values = [
            (
                1,
                Obis::new(0, 0, 42, 0, 0, 255),
                2,
                b"\x09\x10GWD0000000000001".to_vec(),
            ),
            (8, Obis::new(0, 0, 1, 0, 0, 255), 2, time(NOON + 30)),
            (70, Obis::new(0, 0, 96, 3, 10, 255), 3, vec![0x16, 1]),
            (1, Obis::new(1, 0, 0, 2, 0, 255), 2, b"\x09\x031.2".to_vec()),
            (3, IMPORT, 2, vec![0x06, 0, 0, 0x12, 0x34]),
            (3, IMPORT, 3, vec![0x02, 2, 0x0F, 0, 0x16, 30]),
            (
                7,
                LOAD_PROFILE,
                3,
                [
                    &[0x01, 2][..],
                    &object(8, Obis::new(0, 0, 1, 0, 0, 255)),
                    &object(3, IMPORT),
                ]
                .concat(),
            ),
            (7, LOAD_PROFILE, 4, vec![0x06, 0, 0, 3, 0x84]),
            (
                7,
                LOAD_PROFILE,
                2,
                [&[0x01, 2][..], &row(NOON + 900, 0), &row(NOON + 1_800, 1)].concat(),
            ),
            (7, STANDARD_LOG, 2, {
                let entry = [&[0x02, 2][..], &time(NOON), &[0x11, 2]].concat();
                [&[0x01, 1][..], &entry].concat()
            }),
        ];
        let values = values
            .into_iter()
            .map(|(class, obis, id, value)| (AttributeDescriptor::new(class, obis, id), value));
        Self {
            lists,
            values: values.collect(),
        }
    }
}

impl ObjectStore for Device {
    fn association(&self, _: u16) -> Option<AssociationTerms> {
        let conformance = Conformance::GET
            .with(Conformance::SELECTIVE_ACCESS)
            .with(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ);
        Some(AssociationTerms {
            context: Context::LogicalName,
            mechanism: MechanismName::Lowest,
            conformance: match self.lists {
                Lists::NotOffered => conformance,
                _ => conformance.with(Conformance::MULTIPLE_REFERENCES),
            },
            pdu_len_max: 1_024,
            protection: Protection::None,
            object: Obis::new(0, 0, 40, 0, 0, 255),
            pre_established: false,
        })
    }

    fn attribute_rights(
        &self,
        _: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        if !self.values.contains_key(attribute) {
            return Err(DataAccessResult::ObjectUndefined);
        }
        Ok(AttributeRights {
            access: AttributeAccess::READ,
            selectors: 0b110,
        })
    }

    fn get(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        out.extend_from_slice(&self.values[attribute]);
        Ok(())
    }

    fn noticed(&mut self, _: u16, _: Notice) {}
}
