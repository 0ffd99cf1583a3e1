//! What can be asked of an adapter.

/// A command that reads. There is no other: none that sets a price, a
/// schedule or a period, confirms a message, changes polling or restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// Asks for the state of the radio link.
    GetConnectionStatus,
    /// Asks for the totals that the adapter has from the meter.
    GetCurrentSummationDelivered,
    /// Asks what the adapter is.
    GetDeviceInfo,
    /// Asks for the power that the adapter has from the meter.
    GetInstantaneousDemand,
    /// Asks what a meter is.
    GetMeterInfo,
    /// Asks which meters there are.
    GetMeterList,
    /// Asks for the network.
    GetNetworkInfo,
    /// Asks for the meter's time.
    GetTime,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::GetConnectionStatus,
        Self::GetCurrentSummationDelivered,
        Self::GetDeviceInfo,
        Self::GetInstantaneousDemand,
        Self::GetMeterInfo,
        Self::GetMeterList,
        Self::GetNetworkInfo,
        Self::GetTime,
    ];

    /// Tells its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetConnectionStatus => "get_connection_status",
            Self::GetCurrentSummationDelivered => "get_current_summation_delivered",
            Self::GetDeviceInfo => "get_device_info",
            Self::GetInstantaneousDemand => "get_instantaneous_demand",
            Self::GetMeterInfo => "get_meter_info",
            Self::GetMeterList => "get_meter_list",
            Self::GetNetworkInfo => "get_network_info",
            Self::GetTime => "get_time",
        }
    }

    /// Makes the octets. `meter` is the EUI-64 of the meter that is asked
    /// about; `refresh` has the adapter read it anew, where the command knows
    /// that.
    #[must_use]
    pub fn encode(self, meter: Option<u64>, refresh: bool) -> Vec<u8> {
        let mut out = format!("<Command>\r\n  <Name>{}</Name>\r\n", self.name());
        if let Some(meter) = meter {
            out.push_str(&format!("  <MeterMacId>{meter:#018x}</MeterMacId>\r\n"));
        }
        let reads_meter = matches!(
            self,
            Self::GetCurrentSummationDelivered | Self::GetInstantaneousDemand | Self::GetTime
        );
        if refresh && reads_meter {
            out.push_str("  <Refresh>Y</Refresh>\r\n");
        }
        out.push_str("</Command>\r\n");
        out.into_bytes()
    }

    /// Finds the command that octets about to leave are; nothing where they
    /// are none of [`ALL`](Self::ALL). For the check above the serial port.
    #[must_use]
    pub fn of(octets: &[u8]) -> Option<Self> {
        let fragments = super::decode(octets).ok()?;
        let [fragment] = fragments.as_slice() else {
            return None;
        };
        if fragment.name != "Command" {
            return None;
        }
        let mut names = fragment.fields.iter().filter(|(name, _)| name == "Name");
        let (_, name) = names.next()?;
        if names.next().is_some() {
            return None;
        }
        Self::ALL.into_iter().find(|command| command.name() == name)
    }
}
