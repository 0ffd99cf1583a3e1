//! Where the value of an attribute comes from.

use dlms::axdr::Data;

/// Where the value of an attribute of Data, Register and Extended register comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// It never changes.
    Constant(Data),
    /// Metrology measures it.
    Measured(Quantity),
    /// It says which meter this is.
    Identity(Identity),
    /// The meter's state holds it.
    State(StateValue),
}

/// Makes an enum whose variants have names in model files.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident $name:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$doc])* $variant,)*
        }

        impl $type {
            /// All of them with their names in model files.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name),)*];

            /// Looks a name of a model file up.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL
                    .iter()
                    .find(|(_, known)| *known == name)
                    .map(|(value, _)| *value)
            }
        }
    };
}

named! {
    /// What metrology measures. Energies are Wh, powers W, voltages 0.1 V, currents 0.01 A.
    Quantity {
        /// Active energy drawn in all rates.
        EnergyImport "energy.import";
        /// Active energy drawn in rate 1.
        EnergyImport1 "energy.import.1";
        /// Active energy drawn in rate 2.
        EnergyImport2 "energy.import.2";
        /// Active energy fed in in all rates.
        EnergyExport "energy.export";
        /// Active energy fed in in rate 1.
        EnergyExport1 "energy.export.1";
        /// Active energy fed in in rate 2.
        EnergyExport2 "energy.export.2";
        /// Active power drawn on all phases.
        PowerImport "power.import";
        /// Active power drawn on L1.
        PowerImportL1 "power.import.l1";
        /// Active power drawn on L2.
        PowerImportL2 "power.import.l2";
        /// Active power drawn on L3.
        PowerImportL3 "power.import.l3";
        /// Active power fed in on all phases.
        PowerExport "power.export";
        /// Active power fed in on L1.
        PowerExportL1 "power.export.l1";
        /// Active power fed in on L2.
        PowerExportL2 "power.export.l2";
        /// Active power fed in on L3.
        PowerExportL3 "power.export.l3";
        /// Voltage of L1.
        VoltageL1 "voltage.l1";
        /// Voltage of L2.
        VoltageL2 "voltage.l2";
        /// Voltage of L3.
        VoltageL3 "voltage.l3";
        /// Current on all phases.
        Current "current";
        /// Current on L1.
        CurrentL1 "current.l1";
        /// Current on L2.
        CurrentL2 "current.l2";
        /// Current on L3.
        CurrentL3 "current.l3";
    }
}

impl Quantity {
    /// Says whether it is a register that only counts up, and so may stand in the load journal.
    pub const fn is_energy(self) -> bool {
        matches!(
            self,
            Self::EnergyImport
                | Self::EnergyImport1
                | Self::EnergyImport2
                | Self::EnergyExport
                | Self::EnergyExport1
                | Self::EnergyExport2
        )
    }
}

named! {
    /// What says which meter this is.
    Identity {
        /// The COSEM logical device name.
        LogicalDeviceName "identity.logical_device_name";
        /// The serial number: the digits of the logical device name.
        Serial "identity.serial";
        /// The system title in hex digits.
        SystemTitle "identity.system_title";
        /// The firmware's name and version.
        Firmware "identity.firmware";
    }
}

named! {
    /// What the meter's state holds.
    StateValue {
        /// The AMR profile status of the running interval.
        ProfileStatus "state.profile_status";
        /// The code of the newest entry of the log with the object's E field.
        LogCode "state.log_code";
        /// The text on the display; may be written.
        Message "state.message";
        /// Alarms since they were last cleared; writing clears the bits that are written as 1.
        AlarmRegister "state.alarm_register";
        /// Which alarms count; may be written.
        AlarmFilter "state.alarm_filter";
        /// How often the supply failed.
        PowerFailures "state.power_failures";
        /// How often the supply failed for longer than three minutes.
        LongPowerFailures "state.long_power_failures";
        /// The greatest counter that was accepted from the client of the association whose
        /// `invocation_counter` the object is.
        InvocationCounter "state.invocation_counter";
    }
}

impl StateValue {
    /// Says whether a client may ever write it.
    pub const fn writable(self) -> bool {
        matches!(
            self,
            Self::Message | Self::AlarmRegister | Self::AlarmFilter
        )
    }
}
