//! What a meter or the head end noticed, and the breaker's state.

use core::fmt;

use crate::identity::MeterId;
use crate::time::Timestamp;
use dlms::cosem::Obis;

/// One entry of an event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Says when it happened, by the clock of its source.
    pub at: Timestamp,
    /// Says who noticed.
    pub source: EventSource,
    /// Holds the code as the source's log has it; [`KnownEvent::of`] names those of DSMR and IDIS.
    pub code: u16,
}

/// Who noticed an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventSource {
    /// The meter, in the log with this logical name, 0-0:99.98.x.255.
    Meter(Obis),
    /// The head end itself.
    HeadEnd,
    /// A concentrator: what it noticed itself, or what it says stands in this log of the meter.
    /// Nothing of it is protected from the meter on.
    Concentrator {
        /// Names the concentrator.
        by: MeterId,
        /// Names the meter's log, where it is of one.
        log: Option<Obis>,
    },
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth keeping.
    Info,
    /// A person should look, today.
    Warning,
    /// A person should look now.
    Critical,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventClass {
    /// Supply came or went.
    Power,
    /// The clock was set or is wrong.
    Clock,
    /// A part of the meter failed or ages.
    Hardware,
    /// Parameters or tariffs changed.
    Configuration,
    /// The firmware changed.
    Firmware,
    /// Somebody touched the meter.
    Tamper,
    /// Somebody tried to get in.
    Security,
    /// The breaker moved.
    Control,
    /// Work on the meter.
    Maintenance,
    /// The log itself.
    Log,
}

macro_rules! known_events {
    ($($code:literal $kind:ident $class:ident $severity:ident $title:literal;)*) => {
        /// An event that DSMR and IDIS give one code in the standard and fraud logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $(#[doc = concat!($title, ", code ", $code, ".")] $kind,)*
        }

        /// The table: code, kind, class, severity, title.
        const KNOWN_EVENTS: &[KnownEvent] = &[$(KnownEvent {
            code: $code,
            kind: EventKind::$kind,
            class: EventClass::$class,
            severity: Severity::$severity,
            title: $title,
        },)*];
    };
}

// Codes: GXF EventType.java (Apache-2.0), checked against the MetCom MCS301 manual, table 37. 48
// to 50 and 60 to 64: EnergyICT's readers of IDIS meters (DisconnectorControlLog.java and its
// neighbours) and, apart from them, the event codes in the published firmware of a ZPA meter; 59
// has the first alone. From 65 on the two differ, so that nothing is named there. From 0x8001 on
// they are ours, of what head end and concentrator notice. Severity is ours: a breaker that moves is no alarm, its state is shown by itself. Other companion standards
// number otherwise: take the table per profile.
known_events! {
    1 PowerDown Power Warning "Power failed";
    2 PowerUp Power Info "Power returned";
    3 DaylightSavingChanged Clock Info "Daylight saving changed";
    4 ClockAdjustedOld Clock Info "Clock adjusted, old time";
    5 ClockAdjustedNew Clock Info "Clock adjusted, new time";
    6 ClockInvalid Clock Warning "Clock invalid";
    7 ReplaceBattery Hardware Warning "Battery must be replaced";
    8 BatteryVoltageLow Hardware Warning "Battery voltage low";
    9 TariffActivated Configuration Info "Tariff activated";
    10 ErrorRegisterCleared Configuration Info "Error register cleared";
    11 AlarmRegisterCleared Configuration Info "Alarm register cleared";
    12 ProgramMemoryError Hardware Critical "Program memory error";
    13 RamError Hardware Critical "RAM error";
    14 NvMemoryError Hardware Critical "Non-volatile memory error";
    15 WatchdogError Hardware Warning "Watchdog error";
    16 MeasurementSystemError Hardware Critical "Measurement system error";
    17 FirmwareReady Firmware Info "Firmware ready for activation";
    18 FirmwareActivated Firmware Info "Firmware activated";
    19 PassiveTariffUpdated Configuration Info "Passive tariff updated";
    20 SelfCheckAfterFirmware Firmware Info "Self-check after firmware update passed";
    40 TerminalCoverRemoved Tamper Critical "Terminal cover removed";
    41 TerminalCoverClosed Tamper Info "Terminal cover closed";
    42 StrongDcFieldDetected Tamper Critical "Strong magnetic field";
    43 StrongDcFieldGone Tamper Info "Magnetic field gone";
    44 MeterCoverRemoved Tamper Critical "Meter cover removed";
    45 MeterCoverClosed Tamper Info "Meter cover closed";
    46 AuthenticationFailed Security Warning "Several failed sign-ins at the meter";
    47 ConfigurationChanged Configuration Info "Configuration changed";
    48 GlobalKeysChanged Security Info "Global keys changed";
    49 DecryptionFailed Security Warning "Messages that did not decrypt or verify";
    50 ReplayAttempted Security Warning "Replayed message refused";
    59 ReadyForManualReconnection Control Info "Breaker may be closed by hand";
    60 ManualDisconnection Control Info "Breaker opened by hand";
    61 ManualConnection Control Info "Breaker closed by hand";
    62 RemoteDisconnection Control Info "Breaker opened from afar";
    63 RemoteConnection Control Info "Breaker closed from afar";
    64 LocalDisconnection Control Info "Breaker opened by the meter itself";
    71 MetrologicalMaintenance Maintenance Info "Metrological maintenance";
    72 TechnicalMaintenance Maintenance Info "Technical maintenance";
    255 LogCleared Log Warning "Event log cleared";
    0x8001 FellSilent Power Warning "Silent behind its concentrator";
    0x8002 HeardAgain Power Info "Heard again behind its concentrator";
    0x8003 AlarmRaised Hardware Warning "Raises alarms, its concentrator says";
    0x8004 RowsDiffer Security Warning "Its concentrator tells other readings than itself";
    0x8005 FenceLeavesOne Power Warning "Its fence leaves one path";
    0x8006 FenceLeavesNone Power Critical "Its fence leaves no path";
    0x8007 FenceLeavesSeveral Power Info "Its fence leaves several paths again";
}

/// What is known about an event code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownEvent {
    /// Holds the code in the log.
    pub code: u16,
    /// Names the event.
    pub kind: EventKind,
    /// Says what it is about.
    pub class: EventClass,
    /// Says how much it matters.
    pub severity: Severity,
    /// Says it in words.
    pub title: &'static str,
}

impl KnownEvent {
    /// Looks a code of the DSMR and IDIS standard and fraud logs up.
    pub fn of(code: u16) -> Option<&'static Self> {
        KNOWN_EVENTS.iter().find(|known| known.code == code)
    }

    /// Returns the whole table in ascending order of the codes.
    pub const fn all() -> &'static [Self] {
        KNOWN_EVENTS
    }
}

impl EventKind {
    /// Returns the code in the DSMR and IDIS standard and fraud logs.
    pub fn code(self) -> u16 {
        KNOWN_EVENTS
            .iter()
            .find(|known| known.kind == self)
            .map_or(0, |known| known.code)
    }
}

/// The control state of a breaker: attribute 3 of Disconnect control, class 70 (IEC 62056-6-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BreakerState {
    /// 0: open.
    Disconnected,
    /// 1: closed.
    Connected,
    /// 2: open, and may be closed by hand at the meter.
    ReadyForReconnection,
    /// Any other code point.
    Unknown(u8),
}

impl BreakerState {
    /// Takes the enumeration's code point.
    pub const fn from_control_state(code: u8) -> Self {
        match code {
            0 => Self::Disconnected,
            1 => Self::Connected,
            2 => Self::ReadyForReconnection,
            other => Self::Unknown(other),
        }
    }

    /// Returns the enumeration's code point.
    pub const fn control_state(self) -> u8 {
        match self {
            Self::Disconnected => 0,
            Self::Connected => 1,
            Self::ReadyForReconnection => 2,
            Self::Unknown(code) => code,
        }
    }
}

/// The standard's name of the state; of an unknown one the code point.
impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("disconnected"),
            Self::Connected => f.write_str("connected"),
            Self::ReadyForReconnection => f.write_str("ready for reconnection"),
            Self::Unknown(code) => code.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: the table is a transcription; these tests hold it in order.
    use super::*;

    #[test]
    fn event_codes_ascend_and_read_back() {
        for pair in KnownEvent::all().windows(2) {
            assert!(pair[0].code < pair[1].code);
        }
        for known in KnownEvent::all() {
            assert_eq!(KnownEvent::of(known.code), Some(known));
            assert_eq!(known.kind.code(), known.code);
        }
        assert_eq!(KnownEvent::of(21), None);
    }

    #[test]
    fn control_states_read_back() {
        for code in 0..=u8::MAX {
            assert_eq!(BreakerState::from_control_state(code).control_state(), code);
        }
    }
}
