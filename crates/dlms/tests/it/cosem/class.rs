//! Evidence: the table is from public sources that each entry names; here it
//! is held against the object inventories of real meters and the SMR profiles,
//! where those are at hand.

use std::fmt::Write as _;
use std::path::PathBuf;

use dlms::cosem::{INTERFACE_CLASSES, InterfaceClass};
use expect_test::expect;
use serde_json::Value;

use crate::captures::skipped;

#[test]
fn the_table_is_as_it_was() {
    let mut table = String::new();
    for class in INTERFACE_CLASSES {
        let sources: Vec<_> = class.sources.iter().map(ToString::to_string).collect();
        writeln!(
            table,
            "{} v{} {} ({})",
            class.class_id,
            class.version,
            class.name,
            sources.join(", ")
        )
        .unwrap();
        for (index, name) in class.attributes.iter().enumerate().skip(1) {
            writeln!(table, "  {} {name}", index + 1).unwrap();
        }
        for (number, name) in class.methods {
            writeln!(table, "  method {number} {name}").unwrap();
        }
    }
    expect![[r#"
        1 v0 Data (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 value
        3 v0 Register (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 value
          3 scaler_unit
          method 1 reset
        4 v0 Extended register (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 value
          3 scaler_unit
          4 status
          5 capture_time
          method 1 reset
        5 v0 Demand register (gurux.dlms.java, jDLMS, meter inventories, Wireshark)
          2 current_average_value
          3 last_average_value
          4 scaler_unit
          5 status
          6 capture_time
          7 start_time_current
          8 period
          9 number_of_periods
          method 1 reset
          method 2 next_period
        6 v0 Register activation (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 register_assignment
          3 mask_list
          4 active_mask
          method 1 add_register
          method 2 add_mask
          method 3 delete_mask
        7 v0 Profile generic (meter inventories, OSGP profiles)
          2 buffer
          3 capture_objects
          4 capture_period
          5 sort_method
          6 sort_object
          7 entries_in_use
          8 profile_entries
        7 v1 Profile generic (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 buffer
          3 capture_objects
          4 capture_period
          5 sort_method
          6 sort_object
          7 entries_in_use
          8 profile_entries
          method 1 reset
          method 2 capture
        8 v0 Clock (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 time
          3 time_zone
          4 status
          5 daylight_savings_begin
          6 daylight_savings_end
          7 daylight_savings_deviation
          8 daylight_savings_enabled
          9 clock_base
          method 1 adjust_to_quarter
          method 2 adjust_to_measuring_period
          method 3 adjust_to_minute
          method 4 adjust_to_preset_time
          method 5 preset_adjusting_time
          method 6 shift_time
        9 v0 Script table (gurux.dlms.java, meter inventories, Wireshark)
          2 scripts
          method 1 execute
        10 v0 Schedule (gurux.dlms.java, pydlms-client, Wireshark)
          2 entries
          method 1 enable_disable
          method 2 insert
          method 3 delete
        11 v0 Special days table (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 entries
          method 1 insert
          method 2 delete
        12 v2 Association SN (gurux.dlms.java, jDLMS)
          2 object_list
          3 access_rights_list
          4 security_setup_reference
          method 3 read_by_logicalname
          method 5 change_secret
          method 8 reply_to_hls_authentication
        12 v4 Association SN (pydlms-client)
          2 object_list
          3 access_rights_list
          4 security_setup_reference
          5 user_list
          6 current_user
          method 3 read_by_logicalname
          method 4 get_attributes_and_methods
          method 5 change_lls_secret
          method 6 change_hls_secret
          method 8 reply_to_hls_authentication
        15 v0 Association LN (gurux.dlms.java, meter inventories, OSGP profiles, pydlms-client)
          2 object_list
          3 associated_partners_id
          4 application_context_name
          5 xdlms_context_info
          6 authentication_mechanism_name
          7 secret
          8 association_status
          method 1 reply_to_hls_authentication
          method 2 change_hls_secret
          method 3 add_object
          method 4 remove_object
        15 v1 Association LN (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, pydlms-client)
          2 object_list
          3 associated_partners_id
          4 application_context_name
          5 xdlms_context_info
          6 authentication_mechanism_name
          7 secret
          8 association_status
          9 security_setup_reference
          method 1 reply_to_hls_authentication
          method 2 change_hls_secret
          method 3 add_object
          method 4 remove_object
        15 v2 Association LN (gurux.dlms.java, meter inventories, pydlms-client)
          2 object_list
          3 associated_partners_id
          4 application_context_name
          5 xdlms_context_info
          6 authentication_mechanism_name
          7 secret
          8 association_status
          9 security_setup_reference
          10 user_list
          11 current_user
          method 1 reply_to_hls_authentication
          method 2 change_hls_secret
          method 3 add_object
          method 4 remove_object
          method 5 add_user
          method 6 remove_user
        15 v3 Association LN (gurux.dlms.java, OSGP profiles, pydlms-client, Wireshark)
          2 object_list
          3 associated_partners_id
          4 application_context_name
          5 xdlms_context_info
          6 authentication_mechanism_name
          7 secret
          8 association_status
          9 security_setup_reference
          10 user_list
          11 current_user
          method 1 reply_to_hls_authentication
          method 2 change_hls_secret
          method 3 add_object
          method 4 remove_object
          method 5 add_user
          method 6 remove_user
        17 v0 SAP assignment (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 sap_assignment_list
          method 1 connect_logical_device
        18 v0 Image transfer (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 image_block_size
          3 image_transferred_blocks_status
          4 image_first_not_transferred_block_number
          5 image_transfer_enabled
          6 image_transfer_status
          7 image_to_activate_info
          method 1 image_transfer_initiate
          method 2 image_block_transfer
          method 3 image_verify
          method 4 image_activate
        19 v1 IEC local port setup (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 default_mode
          3 default_baud
          4 prop_baud
          5 response_time
          6 device_addr
          7 pass_p1
          8 pass_p2
          9 pass_w5
        20 v0 Activity calendar (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, pydlms-client)
          2 calendar_name_active
          3 season_profile_active
          4 week_profile_table_active
          5 day_profile_table_active
          6 calendar_name_passive
          7 season_profile_passive
          8 week_profile_table_passive
          9 day_profile_table_passive
          10 activate_passive_calendar_time
          method 1 activate_passive_calendar
        21 v0 Register monitor (gurux.dlms.java, jDLMS, meter inventories, Wireshark)
          2 thresholds
          3 monitored_value
          4 actions
        22 v0 Single action schedule (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, Wireshark)
          2 executed_script
          3 type
          4 execution_time
        23 v0 IEC HDLC setup (gurux.dlms.java)
          2 comm_speed
          3 window_size_transmit
          4 window_size_receive
          5 max_info_field_length_transmit
          6 max_info_field_length_receive
          7 inter_octet_time_out
          8 inactivity_time_out
          9 device_address
        23 v1 IEC HDLC setup (gurux.dlms.java, jDLMS, meter inventories, Wireshark)
          2 comm_speed
          3 window_size_transmit
          4 window_size_receive
          5 max_info_field_length_transmit
          6 max_info_field_length_receive
          7 inter_octet_time_out
          8 inactivity_time_out
          9 device_address
        25 v0 M-Bus slave port setup (gurux.dlms.java, pydlms-client)
          2 default_baud
          3 avail_baud
          4 addr_state
          5 bus_address
        26 v0 Utility tables (gurux.dlms.java, jDLMS, pydlms-client)
          2 table_id
          3 length
          4 buffer
        27 v1 Modem configuration (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 comm_speed
          3 initialization_string
          4 modem_profile
        28 v0 Auto answer (gurux.dlms.java, jDLMS)
          2 mode
          3 listening_window
          4 status
          5 number_of_calls
          6 number_of_rings
        28 v2 Auto answer (meter inventories, pydlms-client)
          2 mode
          3 listening_window
          4 status
          5 number_of_calls
          6 number_of_rings
          7 list_of_allowed_callers
        29 v1 Auto connect (jDLMS)
          2 mode
          3 repetitions
          4 repetition_delay
          5 calling_window
          6 destination_list
        29 v2 Auto connect (gurux.dlms.java, meter inventories, pydlms-client)
          2 mode
          3 repetitions
          4 repetition_delay
          5 calling_window
          6 destination_list
          method 1 connect
        30 v0 Data protection (pydlms-client, Wireshark)
          2 protection_buffer
          3 protection_object_list
          4 protection_parameters_get
          5 protection_parameters_set
          6 required_protection
          method 1 get_protected_attributes
          method 2 set_protected_attributes
          method 3 invoke_protected_method
        40 v0 Push setup (gurux.dlms.java, meter inventories, OSGP profiles)
          2 push_object_list
          3 send_destination_and_method
          4 communication_window
          5 randomisation_start_interval
          6 number_of_retries
          7 repetition_delay
          method 1 push
        40 v2 Push setup (gurux.dlms.java, pydlms-client)
          2 push_object_list
          3 send_destination_and_method
          4 communication_window
          5 randomisation_start_interval
          6 number_of_retries
          7 repetition_delay
          8 port_reference
          9 push_client_sap
          10 push_protection_parameters
          11 push_operation_method
          12 confirmation_parameters
          13 last_confirmation_date_time
          method 1 push
          method 2 reset
        41 v0 TCP-UDP setup (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 tcp_udp_port
          3 ip_reference
          4 mss
          5 nb_of_sim_conn
          6 inactivity_time_out
        42 v0 IPv4 setup (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 dl_reference
          3 ip_address
          4 multicast_ip_address
          5 ip_options
          6 subnet_mask
          7 gateway_ip_address
          8 use_dhcp_flag
          9 primary_dns_address
          10 secondary_dns_address
          method 1 add_mc_ip_address
          method 2 delete_mc_ip_address
          method 3 get_nbof_mc_ip_addresses
        43 v0 MAC address setup (gurux.dlms.java, meter inventories, pydlms-client)
          2 mac_address
        44 v0 PPP setup (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 phy_reference
          3 lcp_options
          4 ipcp_options
          5 ppp_authentication
        45 v0 GPRS modem setup (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 apn
          3 pin_code
          4 quality_of_service
        46 v0 SMTP setup (jDLMS, pydlms-client)
          2 server_port
          3 user_name
          4 login_password
          5 server_address
          6 sender_address
        47 v0 GSM diagnostic (gurux.dlms.java, OSGP profiles)
          2 operator
          3 status
          4 cs_attachment
          5 ps_status
          6 cell_info
          7 adjacent_cells
          8 capture_time
        47 v1 GSM diagnostic (gurux.dlms.java, pydlms-client)
          2 operator
          3 status
          4 cs_attachment
          5 ps_status
          6 cell_info
          7 adjacent_cells
          8 capture_time
        48 v0 IPv6 setup (gurux.dlms.java, meter inventories, pydlms-client)
          2 dl_reference
          3 address_config_mode
          4 unicast_ipv6_addresses
          5 multicast_ipv6_addresses
          6 gateway_ipv6_addresses
          7 primary_dns_address
          8 secondary_dns_address
          9 traffic_class
          10 neighbor_discovery_setup
          method 1 add_ipv6_address
          method 2 remove_ipv6_address
        61 v0 Register table (jDLMS, pydlms-client)
          2 table_cell_values
          3 table_cell_definition
          4 scaler_unit
          method 1 reset
          method 2 capture
        62 v1 Compact data (pydlms-client)
          2 compact_buffer
          3 capture_objects
          4 template_id
          5 template_description
          6 capture_method
          method 1 reset
          method 2 capture
        63 v0 Status mapping (jDLMS, pydlms-client)
          2 status_word
          3 mapping_table
        64 v0 Security setup (gurux.dlms.java, jDLMS, meter inventories, pydlms-client)
          2 security_policy
          3 security_suite
          4 client_system_title
          5 server_system_title
          method 1 security_activate
          method 2 key_transfer
        64 v1 Security setup (gurux.dlms.java, pydlms-client)
          2 security_policy
          3 security_suite
          4 client_system_title
          5 server_system_title
          6 certificates
          method 1 security_activate
          method 2 key_transfer
          method 3 key_agreement
          method 4 generate_key_pair
          method 5 generate_certificate_request
          method 6 import_certificate
          method 7 export_certificate
          method 8 remove_certificate
        65 v0 Parameter monitor (gurux.dlms.java)
          2 changed_parameter
          3 capture_time
          4 parameter_list
          method 1 add_parameter
          method 2 delete_parameter
        68 v0 Arbitrator (gurux.dlms.java, pydlms-client)
          2 actions
          3 permissions_table
          4 weightings_table
          5 most_recent_requests_table
          6 last_outcome
          method 1 request_action
          method 2 reset
        70 v0 Disconnect control (gurux.dlms.java, jDLMS, meter inventories, Wireshark)
          2 output_state
          3 control_state
          4 control_mode
          method 1 remote_disconnect
          method 2 remote_reconnect
        71 v0 Limiter (gurux.dlms.java, meter inventories, Wireshark)
          2 monitored_value
          3 threshold_active
          4 threshold_normal
          5 threshold_emergency
          6 min_over_threshold_duration
          7 min_under_threshold_duration
          8 emergency_profile
          9 emergency_profile_group_id_list
          10 emergency_profile_active
          11 actions
        72 v0 M-Bus client (gurux.dlms.java, OSGP profiles)
          2 mbus_port_reference
          3 capture_definition
          4 capture_period
          5 primary_address
          6 identification_number
          7 manufacturer_id
          8 version
          9 device_type
          10 access_number
          11 status
          12 alarm
          method 1 slave_install
          method 2 slave_deinstall
          method 3 capture
          method 4 reset_alarm
          method 5 synchronize_clock
          method 6 data_send
          method 7 set_encryption_key
          method 8 transfer_key
        72 v1 M-Bus client (gurux.dlms.java, jDLMS, meter inventories, OSGP profiles, pydlms-client)
          2 mbus_port_reference
          3 capture_definition
          4 capture_period
          5 primary_address
          6 identification_number
          7 manufacturer_id
          8 version
          9 device_type
          10 access_number
          11 status
          12 alarm
          13 configuration
          14 encryption_key_status
          method 1 slave_install
          method 2 slave_deinstall
          method 3 capture
          method 4 reset_alarm
          method 5 synchronize_clock
          method 6 data_send
          method 7 set_encryption_key
          method 8 transfer_key
        74 v0 M-Bus master port setup (gurux.dlms.java, meter inventories, pydlms-client)
          2 comm_speed
        77 v0 M-Bus diagnostic (gurux.dlms.java, OSGP profiles)
          2 received_signal_strength
          3 channel_id
          4 link_status
          5 broadcast_frames_counter
          6 transmissions_counter
          7 fcs_ok_frames_counter
          8 fcs_nok_frames_counter
          9 capture_time
          method 1 reset
        100 v0 NTP setup (gurux.dlms.java, meter inventories, pydlms-client)
          2 activated
          3 server_address
          4 server_port
          5 authentication_method
          6 authentication_keys
          7 client_key
          method 1 synchronize
          method 2 add_authentication_key
          method 3 delete_authentication_key
        111 v0 Account (gurux.dlms.java, pydlms-client, Wireshark)
          2 account_mode_and_status
          3 current_credit_in_use
          4 current_credit_status
          5 available_credit
          6 amount_to_clear
          7 clearance_threshold
          8 aggregated_debt
          9 credit_reference_list
          10 charge_reference_list
          11 credit_charge_configuration
          12 token_gateway_configuration
          13 account_activation_time
          14 account_closure_time
          15 currency
          16 low_credit_threshold
          17 next_credit_available_threshold
          18 max_provision
          19 max_provision_period
          method 1 activate_account
          method 2 close_account
          method 3 reset_account
        112 v0 Credit (gurux.dlms.java, pydlms-client, Wireshark)
          2 current_credit_amount
          3 credit_type
          4 priority
          5 warning_threshold
          6 limit
          7 credit_configuration
          8 credit_status
          9 preset_credit_amount
          10 credit_available_threshold
          11 period
          method 1 update_amount
          method 2 set_amount_to_value
          method 3 invoke_credit
        113 v0 Charge (gurux.dlms.java, pydlms-client, Wireshark)
          2 total_amount_paid
          3 charge_type
          4 priority
          5 unit_charge_active
          6 unit_charge_passive
          7 unit_charge_activation_time
          8 period
          9 charge_configuration
          10 last_collection_time
          11 last_collection_amount
          12 total_amount_remaining
          13 proportion
          method 1 update_unit_charge
          method 2 activate_passive_unit_charge
          method 3 collect
          method 4 update_total_amount_remaining
          method 5 set_total_amount_remaining
        115 v0 Token gateway (gurux.dlms.java, pydlms-client, Wireshark)
          2 token
          3 token_time
          4 token_description
          5 token_delivery_method
          6 token_status
          method 1 enter
    "#]].assert_eq(&table);
}

#[test]
fn the_table_is_in_order_and_has_no_entry_twice() {
    for pair in INTERFACE_CLASSES.windows(2) {
        let key = |class: &InterfaceClass| (class.class_id, class.version);
        assert!(key(&pair[0]) < key(&pair[1]), "{:?}", key(&pair[1]));
    }
    for class in INTERFACE_CLASSES {
        assert!(!class.sources.is_empty());
        for (index, name) in class.attributes.iter().enumerate() {
            let attribute = i8::try_from(index + 1).unwrap();
            assert_eq!(class.attribute_named(name), Some(attribute));
            assert_eq!(class.attribute_name(attribute), Some(*name));
        }
        for (number, name) in class.methods {
            assert_eq!(class.method_named(name), Some(*number));
            assert_eq!(class.method_name(*number), Some(*name));
        }
        assert_eq!(class.attribute_name(0), None);
        assert_eq!(class.attribute_name(-1), None);
    }
}

#[test]
fn versions_are_found_and_others_come_near() {
    assert_eq!(InterfaceClass::find(15, 1).unwrap().attributes.len(), 9);
    assert_eq!(InterfaceClass::find(3, 9), None);
    assert_eq!(InterfaceClass::nearest(3, 9).unwrap().version, 0);
    assert_eq!(InterfaceClass::nearest(15, 2).unwrap().version, 2);
    assert_eq!(InterfaceClass::nearest(62, 0).unwrap().version, 1);
    assert_eq!(InterfaceClass::nearest(9_999, 0), None);
}

#[test]
fn meters_and_profiles_have_the_attributes_of_the_table() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/objects");
    let Ok(files) = std::fs::read_dir(folder) else {
        skipped("the object inventories are not beside the project");
        return;
    };
    let mut checked = 0;
    let mut differences = std::collections::BTreeSet::new();
    let mut unknown = std::collections::BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let inventory: Value = serde_json::from_str(&text).unwrap();
        for object in inventory["objects"].as_array().unwrap() {
            let class_id = object
                .get("class_id")
                .or_else(|| object.get("class-id"))
                .and_then(Value::as_u64);
            let (Some(class_id), Some(version)) = (class_id, object["version"].as_u64()) else {
                continue;
            };
            let (class_id, version) = (
                u16::try_from(class_id).unwrap(),
                u8::try_from(version).unwrap(),
            );
            let Some(class) = InterfaceClass::find(class_id, version) else {
                unknown.insert((class_id, version));
                continue;
            };
            for attribute in object["attributes"].as_array().unwrap() {
                let index = attribute
                    .get("index")
                    .or_else(|| attribute.get("id"))
                    .and_then(Value::as_u64);
                let index = i8::try_from(index.unwrap()).unwrap();
                let ours = class.attribute_name(index);
                // The profile of DSMR 2.2 gives the M-Bus client of version 0
                // the attributes of version 1.
                if (class_id, version) == (72, 0) && index > 12 {
                    continue;
                }
                assert!(
                    ours.is_some(),
                    "class {class_id} v{version} attribute {index}"
                );
                checked += 1;
                if let Some(theirs) = attribute["description"].as_str() {
                    let theirs = theirs.to_lowercase().replace(' ', "_");
                    let ours = ours.unwrap();
                    if ours != theirs {
                        differences.insert(format!("{ours} {theirs}"));
                    }
                }
            }
        }
    }
    assert!(checked > 9_000, "{checked}");
    let differences: Vec<_> = differences.into_iter().collect();
    assert_eq!(
        differences,
        [
            "capture_period capture_period_in_sec",
            "image_transfer_enabled transfer_enabled",
            "scaler_unit scalar_unit",
            "secret lls_secret",
        ]
    );
    let unknown: Vec<_> = unknown.into_iter().collect();
    assert_eq!(unknown, [(12, 0), (12, 3), (19, 0)]);
}
