//! The objects of the concentrator's own logical device, and who may do what.
//!
//! | object | class | from |
//! |---|---|---|
//! | 0-0:40.0.0 | 15 association | IEC 62056-6-2, as in OSGP's SMR 5.0 profile |
//! | 0-0:41.0.0 | 17 SAP assignment | as in inventories of Landis+Gyr E570 |
//! | 0-0:42.0.0 | 1 logical device name | as there |
//! | 0-0:43.1.0 | 1 invocation counter | as there |
//! | 0-0:1.0.0 | 8 clock | as there |
//! | 0-0:96.1.0 | 1 device ID 1 | as there |
//! | 1-0:0.2.0 | 1 active firmware identifier | as there |
//! | 0-0:25.0.0 | 41 TCP-UDP setup | gurux.dlms.java `GXDLMSTcpUdpSetup` |
//! | 0-0:25.1.0 | 42 IPv4 setup | as in inventories of Landis+Gyr E570 |
//! | 0-0:25.9.0 | 40 push setup | as there; types as in SMR 5.0 |
//! | 0-0:97.98.0 | 1 alarm register | SMR 5.0: the kinds of notices that nobody took yet |
//! | 0-0:99.98.0 | 7 event log | SMR 5.0: the notices; its codes are ours |
//! | 1-b:21.8.0, 41.8.0, 61.8.0 | 3 energy of each phase of feeder b | SMR 5.0 for b = 0: C as in its 21.7.0, D as in its 1.8.0 |
//! | 1-b:31.7.0, 51.7.0, 71.7.0 | 3 current of each phase | as there |
//! | 1-b:32.7.0, 52.7.0, 72.7.0 | 3 voltage of each phase | as there |
//! | 1-b:99.1.0 | 7 load profile of feeder b | as there |
//! | 0-0:128.d.e, 0-p:129.h.l | 1 and 7 | the manufacturer's range (value group C from 128 to 199) |

use dlms::cosem::{AttributeAccess, Obis};
use link::Sap;

use crate::collector::state::{Meter, Series};
use crate::core::Core;
use crate::metering::{CURRENT_GROUPS, ENERGY_GROUPS, VOLTAGE_GROUPS};
use model::LogicalDeviceName;

use super::{
    ASSOCIATION, COLLECTED, COLLECTION, CONNECTIONS, COUNTER, DELIVERED, INSTALLATION,
    METER_HISTORY, METER_STATUS, METER_TABLE, METERING, NAME, PAIR, PUBLIC_CLIENT, SAP_ASSIGNMENT,
    SAP_CHANGES, SEGMENTS, STATISTICS, SUMS, WAYS,
};

/// The clock (IEC 62056-6-2).
pub const CLOCK: Obis = Obis([0, 0, 1, 0, 0, 255]);
/// Device ID 1: the serial number.
pub const SERIAL: Obis = Obis([0, 0, 96, 1, 0, 255]);
/// The active firmware identifier.
pub const FIRMWARE: Obis = Obis([1, 0, 0, 2, 0, 255]);
/// The way to the WAN: TCP-UDP setup.
pub const WAN: Obis = Obis([0, 0, 25, 0, 0, 255]);
/// IPv4 setup.
pub const IP: Obis = Obis([0, 0, 25, 1, 0, 255]);
/// Push setup: of notices.
pub const PUSH: Obis = Obis([0, 0, 25, 9, 0, 255]);
/// The alarm register.
pub const ALARMS: Obis = Obis([0, 0, 97, 98, 0, 255]);
/// The event log, which holds the notices.
pub const EVENTS: Obis = Obis([0, 0, 99, 98, 0, 255]);
/// The code of the event that is logged.
pub const EVENT_CODE: Obis = Obis([0, 0, 96, 11, 0, 255]);

/// What an own object shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Association,
    SapAssignment,
    Name,
    Counter,
    SapChanges,
    MeterStatus,
    Statistics,
    Clock,
    Serial,
    Firmware,
    Wan,
    Ip,
    Push,
    Alarms,
    Events,
    Collected,
    Delivered,
    Collection,
    MeterTable,
    Sums,
    Segments,
    Connections,
    Metering,
    Pair,
    Ways,
    Installation,
    MeterHistory,
    /// A register of the own metering: its place, a value group C and a phase.
    Energy(usize, usize),
    Current(usize, usize),
    Voltage(usize, usize),
    /// The load profile of the own metering.
    OwnProfile(Obis),
    /// A profile of a meter.
    Profile(LogicalDeviceName, Obis),
}

/// An own object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) class: u16,
    pub(super) version: u8,
    pub(super) obis: Obis,
    pub(super) kind: Kind,
}

impl Object {
    const fn new(class: u16, version: u8, obis: Obis, kind: Kind) -> Self {
        Self {
            class,
            version,
            obis,
            kind,
        }
    }

    /// The highest attribute.
    pub(super) const fn attributes(&self) -> i8 {
        match self.class {
            3 => 3,
            7 => 8,
            8 => 9,
            40 => 7,
            41 => 6,
            42 => 10,
            _ => 2,
        }
    }

    pub(super) const fn methods(&self) -> &'static [i8] {
        match self.class {
            15 | 17 | 40 => &[1],
            8 => &[6],
            _ => &[],
        }
    }

    /// Whether the public client sees it: what a public association of a
    /// management logical device is for.
    pub(super) const fn is_public(&self) -> bool {
        matches!(
            self.kind,
            Kind::Association | Kind::SapAssignment | Kind::Name | Kind::Counter | Kind::SapChanges
        )
    }

    /// What a client may do with an attribute.
    pub(super) const fn access(&self, client: Sap, attribute: i8) -> AttributeAccess {
        if attribute < 1 || attribute > self.attributes() {
            return AttributeAccess::NONE;
        }
        let writes = client == super::MANAGEMENT_CLIENT
            && (super::Setup::writable(&self.kind, attribute)
                || attribute == 2
                    && matches!(
                        self.kind,
                        Kind::Clock | Kind::Collected | Kind::Delivered | Kind::Pair
                    ));
        if writes {
            AttributeAccess::READ
                .with(AttributeAccess::WRITE)
                .with(AttributeAccess::AUTHENTICATED_REQUEST)
        } else {
            AttributeAccess::READ
        }
    }

    /// The selectors that an attribute knows, bit n for selector n.
    pub(super) const fn selectors(&self, attribute: i8) -> u32 {
        if self.class == 7 && attribute == 2 {
            1 << 1 | 1 << 2
        } else {
            0
        }
    }

    pub(super) fn seen_by(&self, client: Sap) -> bool {
        self.is_public() || client != PUBLIC_CLIENT
    }
}

/// The objects that are there whatever is connected.
const FIXED: [Object; 27] = [
    Object::new(15, 1, ASSOCIATION, Kind::Association),
    Object::new(17, 0, SAP_ASSIGNMENT, Kind::SapAssignment),
    Object::new(1, 0, NAME, Kind::Name),
    Object::new(1, 0, COUNTER, Kind::Counter),
    Object::new(1, 0, SAP_CHANGES, Kind::SapChanges),
    Object::new(1, 0, METER_STATUS, Kind::MeterStatus),
    Object::new(1, 0, STATISTICS, Kind::Statistics),
    Object::new(8, 0, CLOCK, Kind::Clock),
    Object::new(1, 0, SERIAL, Kind::Serial),
    Object::new(1, 0, FIRMWARE, Kind::Firmware),
    Object::new(41, 0, WAN, Kind::Wan),
    Object::new(42, 0, IP, Kind::Ip),
    Object::new(40, 0, PUSH, Kind::Push),
    Object::new(1, 0, ALARMS, Kind::Alarms),
    Object::new(7, 1, EVENTS, Kind::Events),
    Object::new(1, 0, COLLECTED, Kind::Collected),
    Object::new(1, 0, DELIVERED, Kind::Delivered),
    Object::new(1, 0, COLLECTION, Kind::Collection),
    Object::new(7, 1, METER_TABLE, Kind::MeterTable),
    Object::new(7, 1, SUMS, Kind::Sums),
    Object::new(1, 0, SEGMENTS, Kind::Segments),
    Object::new(1, 0, CONNECTIONS, Kind::Connections),
    Object::new(1, 0, METERING, Kind::Metering),
    Object::new(1, 0, PAIR, Kind::Pair),
    Object::new(1, 0, WAYS, Kind::Ways),
    Object::new(1, 0, INSTALLATION, Kind::Installation),
    Object::new(1, 0, METER_HISTORY, Kind::MeterHistory),
];

/// The object by which a profile of a meter is read here: 0-p:129.h.l.255,
/// where p is the profile's place among those that are collected and h and l
/// are the two octets of the meter's SAP.
#[must_use]
pub fn profile_object(place: u8, sap: Sap) -> Obis {
    let [high, low] = sap.to_be_bytes();
    Obis([0, place, 129, high, low, 255])
}

/// Finds an own object.
pub(super) fn find(core: &Core, obis: Obis) -> Option<Object> {
    if let Some(object) = FIXED.iter().find(|object| object.obis == obis) {
        return Some(object.clone());
    }
    let collector = core.collector()?;
    if let [0, place, 129, high, low, 255] = obis.0 {
        let name = core.table().name_of(u16::from_be_bytes([high, low]))?;
        let profile = collector.settings().profiles.get(usize::from(place))?;
        collector.state().series(name, *profile)?.captured()?;
        let kind = Kind::Profile(name.clone(), *profile);
        return Some(Object::new(7, 1, obis, kind));
    }
    let metering = collector.metering();
    let mut own = metering.iter().enumerate();
    let [1, channel, group, kind, 0, 255] = obis.0 else {
        return None;
    };
    let (place, _) = own.find(|(_, it)| it.channel() == channel)?;
    let phase = |groups: [u8; 3]| groups.iter().position(|it| *it == group);
    let kind = match (group, kind) {
        (99, 1) => return Some(Object::new(7, 1, obis, Kind::OwnProfile(obis))),
        (_, 8) => Kind::Energy(place, phase(ENERGY_GROUPS)?),
        (_, 7) => match phase(CURRENT_GROUPS) {
            Some(phase) => Kind::Current(place, phase),
            None => Kind::Voltage(place, phase(VOLTAGE_GROUPS)?),
        },
        _ => return None,
    };
    Some(Object::new(3, 0, obis, kind))
}

/// Lists the own objects that a client sees.
pub(super) fn list(core: &Core, client: Sap) -> Vec<Object> {
    let mut all: Vec<Object> = FIXED.to_vec();
    if let Some(collector) = core.collector() {
        for metering in collector.metering() {
            let b = metering.channel();
            let groups = ENERGY_GROUPS.map(|it| (it, 8)).into_iter();
            let groups = groups
                .chain(CURRENT_GROUPS.map(|it| (it, 7)))
                .chain(VOLTAGE_GROUPS.map(|it| (it, 7)))
                .chain([(99, 1)]);
            all.extend(groups.filter_map(|(c, d)| find(core, Obis([1, b, c, d, 0, 255]))));
        }
        for (sap, name) in core.table().iter() {
            let Some(meter) = collector.state().meter(name) else {
                continue;
            };
            let places = (0_u8..).zip(&collector.settings().profiles);
            let known = places.filter(|(_, profile)| shown(meter, **profile).is_some());
            all.extend(known.filter_map(|(place, _)| find(core, profile_object(place, sap))));
        }
    }
    all.retain(|object| object.seen_by(client));
    all
}

/// A profile of a meter that can be shown: whose columns are known.
fn shown(meter: &Meter, profile: Obis) -> Option<&Series> {
    meter.of(profile).filter(|it| it.captured().is_some())
}
