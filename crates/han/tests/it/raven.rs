//! Fragments of RAVEn and EMU-2 adapters. Evidence: the forms and the example
//! of the manual; the sign of demand as reported of real adapters
//! (home-assistant/core #111454).

use han::measure::Report;
use han::raven::{self, Command, Deframer};

pub(crate) const DEMAND: &str = "<InstantaneousDemand>\r\n\
    <DeviceMacId>0x00158d0000000004</DeviceMacId>\r\n\
    <MeterMacId>0x00178d0000000004</MeterMacId>\r\n\
    <TimeStamp>0x185adc1d</TimeStamp>\r\n\
    <Demand>0x001738</Demand>\r\n\
    <Multiplier>0x00000001</Multiplier>\r\n\
    <Divisor>0x000003e8</Divisor>\r\n\
    <DigitsRight>0x03</DigitsRight>\r\n\
    <DigitsLeft>0x00</DigitsLeft>\r\n\
    <SuppressLeadingZero>Y</SuppressLeadingZero>\r\n\
    </InstantaneousDemand>\r\n";

fn report(text: &str) -> Report {
    let fragments = raven::decode(text.as_bytes()).unwrap();
    let [fragment] = fragments.as_slice() else {
        panic!("{fragments:?}");
    };
    fragment.report()
}

fn power(demand: &str) -> String {
    let text = DEMAND.replace("0x001738", demand);
    report(&text).net_power().unwrap().to_string()
}

fn summation(delivered: &str, multiplier: u32, divisor: u32, time: &str) -> Report {
    report(&format!(
        "<CurrentSummationDelivered><TimeStamp>{time}</TimeStamp>\
         <SummationDelivered>{delivered}</SummationDelivered>\
         <Multiplier>{multiplier:#x}</Multiplier><Divisor>{divisor:#x}</Divisor>\
         </CurrentSummationDelivered>"
    ))
}

#[test]
fn demand_has_scale_sign_and_time() {
    let told = report(DEMAND);
    assert_eq!(told.net_power().unwrap().to_string(), "5944 W");
    assert_eq!(told.meter.as_deref(), Some("00178d0000000004"));
    // Seconds from 2000 on.
    let time = told.time.unwrap().instant(None).unwrap();
    assert_eq!(time.secs(), 0x185a_dc1d + 946_684_800);
    // With solar panels: 32 bits in two's complement, or the meter's own 24.
    assert_eq!(power("0xfffffa24"), "-1500 W");
    assert_eq!(power("0xfffa24"), "-1500 W");
    assert_eq!(power("0x0000fa24"), "64036 W");
}

#[test]
fn the_manuals_example_of_scale_holds() {
    // 123456 times 2 through 10000 is 24.6912.
    let told = summation("0x000000000001e240", 2, 10_000, "0x185adc1d");
    assert_eq!(told.total(1).unwrap().to_string(), "24691.2 Wh");
    // Zero stands for one.
    let told = summation("0x05", 0, 0, "0x185adc1d");
    assert_eq!(told.total(1).unwrap().to_string(), "5000 Wh");
    // A third has no end.
    let told = summation("0x01", 1, 3, "0x185adc1d");
    assert_eq!(told.total(1).unwrap().to_string(), "333.333333 Wh");
}

#[test]
fn zeros_after_a_power_cut_are_no_values() {
    assert!(
        summation("0x0000000000000000", 0, 0, "0x00000000")
            .values
            .is_empty()
    );
    assert!(
        summation("0x1234", 1, 1_000, "0xffffffff")
            .values
            .is_empty()
    );
    assert!(
        summation("0xffffffffffff", 1, 1_000, "0x185adc1d")
            .values
            .is_empty()
    );
    // A new meter at zero that tells the time is at zero.
    assert_eq!(summation("0x0", 1, 1_000, "0x185adc1d").values.len(), 1);
}

#[test]
fn without_a_scale_there_is_no_value() {
    let text = DEMAND.replace("<Divisor>0x000003e8</Divisor>\r\n", "");
    assert!(report(&text).values.is_empty());
}

#[test]
fn texts_are_windows_1252() {
    let fragments =
        raven::decode(b"<MessageCluster><Text>Price \x80 5 &amp; more</Text></MessageCluster>");
    let fragments = fragments.unwrap();
    assert_eq!(fragments[0].field("Text"), Some("Price € 5 & more"));
}

#[test]
fn what_expands_or_nests_is_refused() {
    let nested = "<a>".repeat(100);
    for text in [
        "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>",
        "<x>&a;</x>",
        "<x>",
        "</x>",
        "<x></y>",
        "text",
        nested.as_str(),
    ] {
        assert!(raven::decode(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn commands_read_and_are_known_again() {
    for command in Command::ALL {
        assert!(command.name().starts_with("get_"));
        let octets = command.encode(Some(0x0017_8D00_0000_0004), true);
        assert_eq!(Command::of(&octets), Some(command));
    }
    let octets = Command::GetInstantaneousDemand.encode(Some(4), true);
    assert_eq!(
        String::from_utf8(octets).unwrap(),
        "<Command>\r\n  <Name>get_instantaneous_demand</Name>\r\n  \
         <MeterMacId>0x0000000000000004</MeterMacId>\r\n  <Refresh>Y</Refresh>\r\n</Command>\r\n"
    );
    // Every command of the manual that is no reading.
    for name in [
        "initialize",
        "restart",
        "factory_reset",
        "set_schedule",
        "set_schedule_default",
        "set_meter_info",
        "set_current_price",
        "confirm_message",
        "close_current_period",
        "set_fast_poll",
        "print_network_tables",
    ] {
        let text = format!("<Command><Name>{name}</Name></Command>");
        assert_eq!(Command::of(text.as_bytes()), None);
    }
    let two = b"<Command><Name>get_time</Name><Name>restart</Name></Command>";
    assert_eq!(Command::of(two), None);
}

#[test]
fn fragments_are_found_in_a_stream() {
    let stream = [&DEMAND[50..], DEMAND, "\0\0", DEMAND].concat();
    let mut deframer = Deframer::new();
    let mut input = stream.as_bytes();
    let mut found = 0;
    while let Some(fragment) = deframer.next(&mut input) {
        if raven::decode(fragment).is_ok_and(|all| all[0].name == "InstantaneousDemand") {
            found += 1;
        }
    }
    assert_eq!(found, 2);
}
