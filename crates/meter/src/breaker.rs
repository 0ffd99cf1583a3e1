//! The breaker: a simulated relay under the rules of Disconnect control (class 70).
//!
//! Remote commands take a [`TagVerified`], which only the verification of a message can make: no
//! other path through this program can switch anybody off.

use dlms::security::TagVerified;
use model::BreakerState;

/// A relay and the rules by which it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    state: BreakerState,
    mode: ControlMode,
}

/// Attribute 4, control_mode: which transitions there are (IEC 62056-6-2).
///
/// | mode | remote disconnect | manual disconnect | remote reconnect | manual reconnect |
/// |---|---|---|---|---|
/// | 0 | | | | |
/// | 1 | to disconnected | to ready | to ready | from ready |
/// | 2 | to disconnected | to ready | to connected | from ready |
/// | 3 | to disconnected | | to ready | from ready |
/// | 4 | to disconnected | | to connected | from ready |
/// | 5 | to disconnected | to ready | to ready | from ready |
/// | 6 | to disconnected | | to ready | from ready |
///
/// Modes 5 and 6 also let a limiter reconnect, which this meter has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlMode(u8);

impl ControlMode {
    /// Mode 0: nothing moves it.
    pub const ALWAYS_CONNECTED: Self = Self(0);

    /// Takes a mode, 0 to 6.
    pub const fn new(mode: u8) -> Option<Self> {
        if mode <= 6 { Some(Self(mode)) } else { None }
    }

    /// Returns the number.
    pub const fn number(self) -> u8 {
        self.0
    }

    const fn manual_disconnect(self) -> bool {
        matches!(self.0, 1 | 2 | 5)
    }

    const fn reconnects_directly(self) -> bool {
        matches!(self.0, 2 | 4)
    }
}

/// Events of the disconnector control log, 0-0:99.98.2.255 (EnergyICT's readers of IDIS meters and
/// the published firmware of a ZPA meter agree on 60 to 63; 59 is in the first alone).
pub mod codes {
    /// The breaker may be closed by hand.
    pub const READY_FOR_MANUAL_RECONNECTION: u16 = 59;
    /// The breaker was opened by hand.
    pub const MANUAL_DISCONNECTION: u16 = 60;
    /// The breaker was closed by hand.
    pub const MANUAL_CONNECTION: u16 = 61;
    /// The breaker was opened from afar.
    pub const REMOTE_DISCONNECTION: u16 = 62;
    /// The breaker was closed from afar.
    pub const REMOTE_CONNECTION: u16 = 63;
}

/// The mode has no such transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control mode does not allow this")]
pub struct NotAllowed;

impl Breaker {
    /// Makes a closed breaker.
    pub const fn closed(mode: ControlMode) -> Self {
        Self {
            state: BreakerState::Connected,
            mode,
        }
    }

    /// Goes on from a stored state; `None` where there is none such.
    pub const fn restored(state: BreakerState, mode: ControlMode) -> Option<Self> {
        match state {
            BreakerState::Unknown(_) => None,
            _ => Some(Self { state, mode }),
        }
    }

    /// Returns attribute 3, control_state.
    pub const fn state(self) -> BreakerState {
        self.state
    }

    /// Returns attribute 2, output_state: whether the customer is connected.
    pub const fn output(self) -> bool {
        matches!(self.state, BreakerState::Connected)
    }

    /// Returns attribute 4, control_mode.
    pub const fn mode(self) -> ControlMode {
        self.mode
    }

    /// Sets attribute 4. The state stays.
    pub const fn set_mode(&mut self, mode: ControlMode) {
        self.mode = mode;
    }

    /// Method 1, remote_disconnect. Returns the event where something changed.
    ///
    /// # Errors
    /// [`NotAllowed`] in mode 0.
    pub const fn remote_disconnect(
        &mut self,
        _proof: &TagVerified,
    ) -> Result<Option<u16>, NotAllowed> {
        if self.mode.0 == 0 {
            return Err(NotAllowed);
        }
        if matches!(self.state, BreakerState::Disconnected) {
            return Ok(None);
        }
        self.state = BreakerState::Disconnected;
        Ok(Some(codes::REMOTE_DISCONNECTION))
    }

    /// Method 2, remote_reconnect: connects, or in most modes lets the customer connect by hand.
    /// Returns the event where something changed.
    ///
    /// # Errors
    /// [`NotAllowed`] in mode 0.
    pub const fn remote_reconnect(
        &mut self,
        _proof: &TagVerified,
    ) -> Result<Option<u16>, NotAllowed> {
        if self.mode.0 == 0 {
            return Err(NotAllowed);
        }
        if !matches!(self.state, BreakerState::Disconnected) {
            return Ok(None);
        }
        if self.mode.reconnects_directly() {
            self.state = BreakerState::Connected;
            Ok(Some(codes::REMOTE_CONNECTION))
        } else {
            self.state = BreakerState::ReadyForReconnection;
            Ok(Some(codes::READY_FOR_MANUAL_RECONNECTION))
        }
    }

    /// The customer opens it at the meter. Returns the event where something changed.
    ///
    /// # Errors
    /// [`NotAllowed`] where the mode leaves it to the utility.
    pub const fn manual_disconnect(&mut self) -> Result<Option<u16>, NotAllowed> {
        if !self.mode.manual_disconnect() {
            return Err(NotAllowed);
        }
        if !self.output() {
            return Ok(None);
        }
        self.state = BreakerState::ReadyForReconnection;
        Ok(Some(codes::MANUAL_DISCONNECTION))
    }

    /// The customer closes it at the meter. Returns the event where something changed.
    ///
    /// # Errors
    /// [`NotAllowed`] where it is not ready for that.
    pub const fn manual_reconnect(&mut self) -> Result<Option<u16>, NotAllowed> {
        match self.state {
            BreakerState::Connected => Ok(None),
            BreakerState::ReadyForReconnection if self.mode.0 != 0 => {
                self.state = BreakerState::Connected;
                Ok(Some(codes::MANUAL_CONNECTION))
            }
            _ => Err(NotAllowed),
        }
    }
}
