//! The interface classes, as one table.

use core::fmt;

/// Where an entry of the class table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `gurux.dlms.java`, `objects/GXDLMS*.java` (names and counts).
    Gurux,
    /// jDLMS 1.7.0, `interfaceclass/` (names and versions).
    Jdlms,
    /// Object inventories read from real meters by `Gurux.DLMS.AMI4`.
    Meters,
    /// Open Smart Grid Platform, DSMR and SMR profiles.
    Osgp,
    /// `pydlms-client` 0.1.0, `cosem/interface_classes.py`.
    Pydlms,
    /// Wireshark, `epan/dissectors/packet-cosem.c`.
    Wireshark,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gurux => "gurux.dlms.java",
            Self::Jdlms => "jDLMS",
            Self::Meters => "meter inventories",
            Self::Osgp => "OSGP profiles",
            Self::Pydlms => "pydlms-client",
            Self::Wireshark => "Wireshark",
        })
    }
}

/// One version of an interface class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceClass {
    /// The class.
    pub class_id: u16,
    /// Its version.
    pub version: u8,
    /// Its name.
    pub name: &'static str,
    /// The attributes from 1 on, which is always `logical_name`.
    pub attributes: &'static [&'static str],
    /// The methods with their numbers.
    pub methods: &'static [(i8, &'static str)],
    /// Where this was found.
    pub sources: &'static [Source],
}

impl InterfaceClass {
    /// Finds one version of a class.
    #[must_use]
    pub fn find(class_id: u16, version: u8) -> Option<&'static Self> {
        INTERFACE_CLASSES
            .iter()
            .find(|class| (class.class_id, class.version) == (class_id, version))
    }

    /// Finds the newest known version of a class that is not newer than
    /// `version`, or else the oldest known one: good for names, not for
    /// counts.
    #[must_use]
    pub fn nearest(class_id: u16, version: u8) -> Option<&'static Self> {
        let versions = || {
            INTERFACE_CLASSES
                .iter()
                .filter(|class| class.class_id == class_id)
        };
        versions()
            .rfind(|class| class.version <= version)
            .or_else(|| versions().next())
    }

    /// Names an attribute, counted from 1.
    #[must_use]
    pub fn attribute_name(&self, attribute: i8) -> Option<&'static str> {
        let index = usize::try_from(attribute).ok()?.checked_sub(1)?;
        self.attributes.get(index).copied()
    }

    /// Finds an attribute by its name.
    #[must_use]
    pub fn attribute_named(&self, name: &str) -> Option<i8> {
        let index = self.attributes.iter().position(|known| *known == name)?;
        i8::try_from(index + 1).ok()
    }

    /// Names a method, counted from 1.
    #[must_use]
    pub fn method_name(&self, method: i8) -> Option<&'static str> {
        self.methods
            .iter()
            .find(|(number, _)| *number == method)
            .map(|(_, name)| *name)
    }

    /// Finds a method by its name.
    #[must_use]
    pub fn method_named(&self, name: &str) -> Option<i8> {
        self.methods
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    }
}

/// Makes the table. Attribute 1 is the same for all and left out.
macro_rules! interface_classes {
    ($(
        $class_id:literal v $version:literal $name:literal [$($source:ident)*]
        $(, attributes $($attribute:ident)*)?
        $(, methods $($number:literal $method:ident)*)?;
    )*) => {
        /// Every version of an interface class whose attributes and methods
        /// are known from a source, in ascending order.
        pub const INTERFACE_CLASSES: &[InterfaceClass] = &[$(
            InterfaceClass {
                class_id: $class_id,
                version: $version,
                name: $name,
                attributes: &["logical_name", $($(stringify!($attribute)),*)?],
                methods: &[$($(($number, stringify!($method))),*)?],
                sources: &[$(Source::$source),*],
            },
        )*];
    };
}

interface_classes! {
    1 v 0 "Data" [Gurux Jdlms Meters Osgp Wireshark],
        attributes value;
    3 v 0 "Register" [Gurux Jdlms Meters Osgp Wireshark],
        attributes value scaler_unit,
        methods 1 reset;
    4 v 0 "Extended register" [Gurux Jdlms Meters Osgp Wireshark],
        attributes value scaler_unit status capture_time,
        methods 1 reset;
    5 v 0 "Demand register" [Gurux Jdlms Meters Wireshark],
        attributes current_average_value last_average_value scaler_unit status capture_time
            start_time_current period number_of_periods,
        methods 1 reset 2 next_period;
    6 v 0 "Register activation" [Gurux Jdlms Meters Pydlms],
        attributes register_assignment mask_list active_mask,
        methods 1 add_register 2 add_mask 3 delete_mask;
    7 v 0 "Profile generic" [Meters Osgp],
        attributes buffer capture_objects capture_period sort_method sort_object entries_in_use
            profile_entries;
    7 v 1 "Profile generic" [Gurux Jdlms Meters Osgp Wireshark],
        attributes buffer capture_objects capture_period sort_method sort_object entries_in_use
            profile_entries,
        methods 1 reset 2 capture;
    8 v 0 "Clock" [Gurux Jdlms Meters Osgp Wireshark],
        attributes time time_zone status daylight_savings_begin daylight_savings_end
            daylight_savings_deviation daylight_savings_enabled clock_base,
        methods 1 adjust_to_quarter 2 adjust_to_measuring_period 3 adjust_to_minute
            4 adjust_to_preset_time 5 preset_adjusting_time 6 shift_time;
    9 v 0 "Script table" [Gurux Meters Wireshark],
        attributes scripts,
        methods 1 execute;
    10 v 0 "Schedule" [Gurux Pydlms Wireshark],
        attributes entries,
        methods 1 enable_disable 2 insert 3 delete;
    11 v 0 "Special days table" [Gurux Jdlms Meters Osgp Wireshark],
        attributes entries,
        methods 1 insert 2 delete;
    12 v 2 "Association SN" [Gurux Jdlms],
        attributes object_list access_rights_list security_setup_reference,
        methods 3 read_by_logicalname 5 change_secret 8 reply_to_hls_authentication;
    12 v 4 "Association SN" [Pydlms],
        attributes object_list access_rights_list security_setup_reference user_list current_user,
        methods 3 read_by_logicalname 4 get_attributes_and_methods 5 change_lls_secret
            6 change_hls_secret 8 reply_to_hls_authentication;
    15 v 0 "Association LN" [Gurux Meters Osgp Pydlms],
        attributes object_list associated_partners_id application_context_name xdlms_context_info
            authentication_mechanism_name secret association_status,
        methods 1 reply_to_hls_authentication 2 change_hls_secret 3 add_object 4 remove_object;
    15 v 1 "Association LN" [Gurux Jdlms Meters Osgp Pydlms],
        attributes object_list associated_partners_id application_context_name xdlms_context_info
            authentication_mechanism_name secret association_status security_setup_reference,
        methods 1 reply_to_hls_authentication 2 change_hls_secret 3 add_object 4 remove_object;
    15 v 2 "Association LN" [Gurux Meters Pydlms],
        attributes object_list associated_partners_id application_context_name xdlms_context_info
            authentication_mechanism_name secret association_status security_setup_reference
            user_list current_user,
        methods 1 reply_to_hls_authentication 2 change_hls_secret 3 add_object 4 remove_object
            5 add_user 6 remove_user;
    15 v 3 "Association LN" [Gurux Osgp Pydlms Wireshark],
        attributes object_list associated_partners_id application_context_name xdlms_context_info
            authentication_mechanism_name secret association_status security_setup_reference
            user_list current_user,
        methods 1 reply_to_hls_authentication 2 change_hls_secret 3 add_object 4 remove_object
            5 add_user 6 remove_user;
    17 v 0 "SAP assignment" [Gurux Jdlms Meters Pydlms],
        attributes sap_assignment_list,
        methods 1 connect_logical_device;
    18 v 0 "Image transfer" [Gurux Jdlms Meters Osgp Wireshark],
        attributes image_block_size image_transferred_blocks_status
            image_first_not_transferred_block_number image_transfer_enabled image_transfer_status
            image_to_activate_info,
        methods 1 image_transfer_initiate 2 image_block_transfer 3 image_verify 4 image_activate;
    19 v 1 "IEC local port setup" [Gurux Jdlms Meters Pydlms],
        attributes default_mode default_baud prop_baud response_time device_addr pass_p1 pass_p2
            pass_w5;
    20 v 0 "Activity calendar" [Gurux Jdlms Meters Osgp Pydlms],
        attributes calendar_name_active season_profile_active week_profile_table_active
            day_profile_table_active calendar_name_passive season_profile_passive
            week_profile_table_passive day_profile_table_passive activate_passive_calendar_time,
        methods 1 activate_passive_calendar;
    21 v 0 "Register monitor" [Gurux Jdlms Meters Wireshark],
        attributes thresholds monitored_value actions;
    22 v 0 "Single action schedule" [Gurux Jdlms Meters Osgp Wireshark],
        attributes executed_script type execution_time;
    23 v 0 "IEC HDLC setup" [Gurux],
        attributes comm_speed window_size_transmit window_size_receive
            max_info_field_length_transmit max_info_field_length_receive inter_octet_time_out
            inactivity_time_out device_address;
    23 v 1 "IEC HDLC setup" [Gurux Jdlms Meters Wireshark],
        attributes comm_speed window_size_transmit window_size_receive
            max_info_field_length_transmit max_info_field_length_receive inter_octet_time_out
            inactivity_time_out device_address;
    25 v 0 "M-Bus slave port setup" [Gurux Pydlms],
        attributes default_baud avail_baud addr_state bus_address;
    26 v 0 "Utility tables" [Gurux Jdlms Pydlms],
        attributes table_id length buffer;
    27 v 1 "Modem configuration" [Gurux Jdlms Meters Pydlms],
        attributes comm_speed initialization_string modem_profile;
    28 v 0 "Auto answer" [Gurux Jdlms],
        attributes mode listening_window status number_of_calls number_of_rings;
    28 v 2 "Auto answer" [Meters Pydlms],
        attributes mode listening_window status number_of_calls number_of_rings
            list_of_allowed_callers;
    29 v 1 "Auto connect" [Jdlms],
        attributes mode repetitions repetition_delay calling_window destination_list;
    29 v 2 "Auto connect" [Gurux Meters Pydlms],
        attributes mode repetitions repetition_delay calling_window destination_list,
        methods 1 connect;
    30 v 0 "Data protection" [Pydlms Wireshark],
        attributes protection_buffer protection_object_list protection_parameters_get
            protection_parameters_set required_protection,
        methods 1 get_protected_attributes 2 set_protected_attributes 3 invoke_protected_method;
    40 v 0 "Push setup" [Gurux Meters Osgp],
        attributes push_object_list send_destination_and_method communication_window
            randomisation_start_interval number_of_retries repetition_delay,
        methods 1 push;
    40 v 2 "Push setup" [Gurux Pydlms],
        attributes push_object_list send_destination_and_method communication_window
            randomisation_start_interval number_of_retries repetition_delay port_reference
            push_client_sap push_protection_parameters push_operation_method
            confirmation_parameters last_confirmation_date_time,
        methods 1 push 2 reset;
    41 v 0 "TCP-UDP setup" [Gurux Jdlms Meters Pydlms],
        attributes tcp_udp_port ip_reference mss nb_of_sim_conn inactivity_time_out;
    42 v 0 "IPv4 setup" [Gurux Jdlms Meters Pydlms],
        attributes dl_reference ip_address multicast_ip_address ip_options subnet_mask
            gateway_ip_address use_dhcp_flag primary_dns_address secondary_dns_address,
        methods 1 add_mc_ip_address 2 delete_mc_ip_address 3 get_nbof_mc_ip_addresses;
    43 v 0 "MAC address setup" [Gurux Meters Pydlms],
        attributes mac_address;
    44 v 0 "PPP setup" [Gurux Jdlms Meters Pydlms],
        attributes phy_reference lcp_options ipcp_options ppp_authentication;
    45 v 0 "GPRS modem setup" [Gurux Jdlms Meters Pydlms],
        attributes apn pin_code quality_of_service;
    46 v 0 "SMTP setup" [Jdlms Pydlms],
        attributes server_port user_name login_password server_address sender_address;
    47 v 0 "GSM diagnostic" [Gurux Osgp],
        attributes operator status cs_attachment ps_status cell_info adjacent_cells capture_time;
    47 v 1 "GSM diagnostic" [Gurux Pydlms],
        attributes operator status cs_attachment ps_status cell_info adjacent_cells capture_time;
    48 v 0 "IPv6 setup" [Gurux Meters Pydlms],
        attributes dl_reference address_config_mode unicast_ipv6_addresses
            multicast_ipv6_addresses gateway_ipv6_addresses primary_dns_address
            secondary_dns_address traffic_class neighbor_discovery_setup,
        methods 1 add_ipv6_address 2 remove_ipv6_address;
    61 v 0 "Register table" [Jdlms Pydlms],
        attributes table_cell_values table_cell_definition scaler_unit,
        methods 1 reset 2 capture;
    62 v 1 "Compact data" [Pydlms],
        attributes compact_buffer capture_objects template_id template_description capture_method,
        methods 1 reset 2 capture;
    63 v 0 "Status mapping" [Jdlms Pydlms],
        attributes status_word mapping_table;
    64 v 0 "Security setup" [Gurux Jdlms Meters Pydlms],
        attributes security_policy security_suite client_system_title server_system_title,
        methods 1 security_activate 2 key_transfer;
    64 v 1 "Security setup" [Gurux Pydlms],
        attributes security_policy security_suite client_system_title server_system_title
            certificates,
        methods 1 security_activate 2 key_transfer 3 key_agreement 4 generate_key_pair
            5 generate_certificate_request 6 import_certificate 7 export_certificate
            8 remove_certificate;
    65 v 0 "Parameter monitor" [Gurux],
        attributes changed_parameter capture_time parameter_list,
        methods 1 add_parameter 2 delete_parameter;
    68 v 0 "Arbitrator" [Gurux Pydlms],
        attributes actions permissions_table weightings_table most_recent_requests_table
            last_outcome,
        methods 1 request_action 2 reset;
    70 v 0 "Disconnect control" [Gurux Jdlms Meters Wireshark],
        attributes output_state control_state control_mode,
        methods 1 remote_disconnect 2 remote_reconnect;
    71 v 0 "Limiter" [Gurux Meters Wireshark],
        attributes monitored_value threshold_active threshold_normal threshold_emergency
            min_over_threshold_duration min_under_threshold_duration emergency_profile
            emergency_profile_group_id_list emergency_profile_active actions;
    72 v 0 "M-Bus client" [Gurux Osgp],
        attributes mbus_port_reference capture_definition capture_period primary_address
            identification_number manufacturer_id version device_type access_number status alarm,
        methods 1 slave_install 2 slave_deinstall 3 capture 4 reset_alarm 5 synchronize_clock
            6 data_send 7 set_encryption_key 8 transfer_key;
    72 v 1 "M-Bus client" [Gurux Jdlms Meters Osgp Pydlms],
        attributes mbus_port_reference capture_definition capture_period primary_address
            identification_number manufacturer_id version device_type access_number status alarm
            configuration encryption_key_status,
        methods 1 slave_install 2 slave_deinstall 3 capture 4 reset_alarm 5 synchronize_clock
            6 data_send 7 set_encryption_key 8 transfer_key;
    74 v 0 "M-Bus master port setup" [Gurux Meters Pydlms],
        attributes comm_speed;
    77 v 0 "M-Bus diagnostic" [Gurux Osgp],
        attributes received_signal_strength channel_id link_status broadcast_frames_counter
            transmissions_counter fcs_ok_frames_counter fcs_nok_frames_counter capture_time,
        methods 1 reset;
    100 v 0 "NTP setup" [Gurux Meters Pydlms],
        attributes activated server_address server_port authentication_method authentication_keys
            client_key,
        methods 1 synchronize 2 add_authentication_key 3 delete_authentication_key;
    111 v 0 "Account" [Gurux Pydlms Wireshark],
        attributes account_mode_and_status current_credit_in_use current_credit_status
            available_credit amount_to_clear clearance_threshold aggregated_debt
            credit_reference_list charge_reference_list credit_charge_configuration
            token_gateway_configuration account_activation_time account_closure_time currency
            low_credit_threshold next_credit_available_threshold max_provision
            max_provision_period,
        methods 1 activate_account 2 close_account 3 reset_account;
    112 v 0 "Credit" [Gurux Pydlms Wireshark],
        attributes current_credit_amount credit_type priority warning_threshold limit
            credit_configuration credit_status preset_credit_amount credit_available_threshold
            period,
        methods 1 update_amount 2 set_amount_to_value 3 invoke_credit;
    113 v 0 "Charge" [Gurux Pydlms Wireshark],
        attributes total_amount_paid charge_type priority unit_charge_active unit_charge_passive
            unit_charge_activation_time period charge_configuration last_collection_time
            last_collection_amount total_amount_remaining proportion,
        methods 1 update_unit_charge 2 activate_passive_unit_charge 3 collect
            4 update_total_amount_remaining 5 set_total_amount_remaining;
    115 v 0 "Token gateway" [Gurux Pydlms Wireshark],
        attributes token token_time token_description token_delivery_method token_status,
        methods 1 enter;
}
