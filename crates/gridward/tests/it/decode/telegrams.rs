//! Messages that are no DLMS. Evidence: third-party octets with what their
//! sources say of them; the ciphered telegram of Luxembourg's form is of our
//! own making here, and one of others is read at run time.

use dlms::axdr::Data;
use dlms::codec::Wire as _;
use serde_json::{Value, json};

use super::pushes::folder;
use super::synthetic;
use crate::program::{hex, run, unhex};

const TELEGRAM: &str = "/TST5\\253000000_A\r\n\r\n1-0:1.7.0(00.338*kW)\r\n!D33F\r\n";

const DEMAND: &str = "<InstantaneousDemand><MeterMacId>0x00178d0000000004</MeterMacId>\
    <TimeStamp>0x185adc1d</TimeStamp><Demand>0xfffffa24</Demand>\
    <Multiplier>0x00000001</Multiplier><Divisor>0x000003e8</Divisor></InstantaneousDemand>";

/// A request for attributes of a meter and its answer, as tshark 4.0.17 reads
/// them.
const ANSWER: &str = "182a0100000025 15cd5b070000 0004002a24faff 0003003000 010300 22010000 \
    02030022e80300 0002001802 999986";

fn decode(octets: &[u8], arguments: &[&str]) -> Value {
    let digits = hex(octets);
    let all = [&["decode", "--json", &digits], arguments].concat();
    let run = run(&all);
    assert_eq!(run.status, 0, "{}", run.output);
    run.json()
}

#[test]
fn a_telegram_is_found_out_and_read() {
    for arguments in [&[][..], &["--as", "p1"]] {
        let told = decode(TELEGRAM.as_bytes(), arguments);
        assert_eq!(told["framing"], "p1");
        assert_eq!(told["plain"], hex(TELEGRAM.as_bytes()));
        let power = &told["data"]["1-0:1.7.0"];
        assert_eq!(
            (&power["scaled"], &power["unit"]),
            (&json!(338), &json!("W"))
        );
        assert!(told["protection"].is_null());
    }
    // Two in one input.
    let told = decode(TELEGRAM.repeat(2).as_bytes(), &[]);
    assert_eq!(told["messages"].as_array().unwrap().len(), 2);
    // A file of text is no digits.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TELEGRAM).unwrap();
    let shown = run(&["decode", &format!("@{}", file.path().display())]);
    assert_eq!(shown.status, 0, "{}", shown.error);
    assert!(shown.output.contains("338 W"), "{}", shown.output);
}

#[test]
fn a_damaged_telegram_is_refused_with_its_place() {
    let damaged = TELEGRAM.replace("338", "339");
    let run = run(&["decode", "--json", &hex(damaged.as_bytes())]);
    assert_eq!(run.status, 1);
    let error = &run.json()["error"];
    assert_eq!(error["reason"], "bad checksum in P1 checksum");
    assert_eq!(error["offset"], 44);
}

#[test]
fn a_ciphered_telegram_is_opened() {
    let sealed = synthetic::protected_text(TELEGRAM.as_bytes());
    let keys = ["--key", synthetic::KEY, "--auth-key", synthetic::AUTH_KEY];
    let told = decode(&sealed, &keys);
    assert_eq!(told["protection"]["verified"], true);
    assert_eq!(told["plain"], hex(TELEGRAM.as_bytes()));
    assert_eq!(told["data"]["1-0:1.7.0"]["scaled"], 338);
    let closed = decode(&sealed, &[]);
    assert!(closed["plain"].is_null());
}

#[test]
fn a_ciphered_telegram_of_others_is_opened() {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(folder.join("p1-smarty-lux-encrypted.json")).unwrap();
    let vector: Value = serde_json::from_str(&text).unwrap();
    let keys = [
        "--key",
        vector["keys"]["ek"].as_str().unwrap(),
        "--auth-key",
        vector["keys"]["ak"].as_str().unwrap(),
    ];
    let told = decode(&unhex(vector["hex"].as_str().unwrap()), &keys);
    assert_eq!(told["protection"]["verified"], true);
    let plain = vector["expect"]["plain_ascii"].as_str().unwrap();
    assert_eq!(told["plain"], hex(plain.as_bytes()));
    assert_eq!(told["data"]["1-0:1.8.1"]["scaled"], 4_426);
}

#[test]
fn fragments_and_feeds_are_told_apart() {
    for arguments in [&[][..], &["--as", "raven"], &["--as", "xml"]] {
        let told = decode(DEMAND.as_bytes(), arguments);
        assert_eq!(told["framing"], "raven");
        assert_eq!(told["data"]["1-0:16.7.0"]["scaled"], -1_500);
    }
    let feed = "<feed xmlns=\"http://www.w3.org/2005/Atom\" xmlns:e=\"http://naesb.org/espi\">\
        <id>urn:uuid:1</id><title>Home</title><entry><content><e:IntervalBlock>\
        <e:IntervalReading><e:value>7</e:value></e:IntervalReading></e:IntervalBlock>\
        </content></entry></feed>";
    let told = decode(feed.as_bytes(), &[]);
    assert_eq!(told["framing"], "xml");
    assert_eq!(told["apdu"]["children"][0]["name"], "IntervalBlock");
}

#[test]
fn a_file_of_sml_is_found_out_and_read() {
    // Of the tests of spacemanspiff2007/sml2mqtt, whose serial number is zeros.
    let file = unhex(
        "1B1B1B1B01010101760501188E6162006200726500000101760101070000000000000B000000000000000000\
         000101636877007605 01188E626200620072650000070177010B000000000000000000000172620165002EC3\
         F47A77078181C78203FF010101010445425A0177070100000009FF010101010B000000000000000000000177\
         070100010800FF6401018001621E52FB690000000A7AC1BC170177070100010801FF0101621E52FB69000000\
         0A74B1EA770177070100010802FF0101621E52FB6900000000060FD1A00177070100020800FF640101800162\
         1E52FB69000000000D19E1C00177070100100700FF0101621B52FE55000089D90177070100240700FF010162\
         1B52FE55000020220177070100380700FF0101621B52FE5500000A9201770701004C0700FF0101621B52FE55\
         00005F2501010163810200760501188E636200620072650000020171016325FC000000001B1B1B1B1A0356F5",
    );
    let told = decode(&file, &[]);
    assert_eq!(told["framing"], "sml");
    assert_eq!(told["data"]["1-0:16.7.0"]["scaled"], 352.89);
    assert_eq!(told["data"]["1-0:1.8.0"]["unit"], "Wh");
}

#[test]
fn a_frame_of_zigbee_is_read_where_it_is_said_to_be_one() {
    let told = decode(&unhex(ANSWER), &["--as", "zcl"]);
    assert_eq!(told["data"]["1-0:1.8.0"]["scaled"], 123_456_789);
    assert_eq!(told["data"]["1-0:16.7.0"]["scaled"], -1_500);
}

#[test]
fn a_recording_that_begins_within_a_frame_is_read_from_the_next() {
    let whole = synthetic::aidon();
    let recording = [&whole[40..], &whole, &whole[..30]].concat();
    let told = decode(&[&[0x7E][..], &recording].concat(), &[]);
    assert_eq!(told["data"], decode(&whole, &[])["data"]);
    let note = told["notes"][0].as_str().unwrap();
    assert!(note.contains("passed over"), "{note}");
    // Segments and blocks of one message stay together.
    for (name, whole) in [("mbus", synthetic::mbus()), ("blocks", synthetic::e450())] {
        let keys = ["--key", synthetic::KEY, "--auth-key", synthetic::AUTH_KEY];
        let recording = [&whole, &whole[..whole.len() / 3]].concat();
        let told = decode(&recording, &keys);
        assert_eq!(told["data"], decode(&whole, &keys)["data"], "{name}");
    }
    // Asked for one framing, nothing is passed over.
    let digits = hex(&[&[0x7E][..], &recording].concat());
    assert_eq!(run(&["decode", "--as", "hdlc", &digits]).status, 1);
}

#[test]
fn what_was_never_sent_is_told() {
    let mut body = vec![0x02, 12];
    for data in [
        Data::octet_string(*b"\x00\x06\x19\x09\x00\xFF"),
        Data::NullData,
        Data::NullData,
        Data::NullData,
        Data::DoubleLongUnsigned(3_000),
        Data::DoubleLongUnsigned(30),
        Data::DoubleLongUnsigned(5),
        Data::DoubleLongUnsigned(6),
    ] {
        data.encode(&mut body);
    }
    let apdu = [&unhex("0f4000000100")[..], &body].concat();
    let told = decode(&apdu, &[]);
    assert_eq!(told["data"]["1-0:1.8.0"]["scaled"], 3_000);
    assert_eq!(told["list"], "Iskraemeco, list 0-6:25.9.0");
    assert_eq!(
        told["notes"][0],
        "the body tells 12 elements and holds 8: the rest was never sent"
    );
    assert_eq!(told["plain"], hex(&apdu));
}

#[test]
fn what_a_recording_kept_behind_the_values_is_passed_over() {
    let mut body = Vec::new();
    Data::Structure(vec![
        Data::octet_string(*b"\x01\x00\x01\x08\x00\xFF"),
        Data::DoubleLongUnsigned(7),
    ])
    .encode(&mut body);
    let alone = [&body[..], &[0xAB, 0xCD]].concat();
    let told = decode(&alone, &[]);
    assert_eq!(told["data"]["1-0:1.8.0"]["scaled"], 7);
    assert_eq!(told["data"]["1-0:1.8.0"]["basis"], "usual");
    assert_eq!(told["notes"][0], "2 octets stand behind the value");
    let apdu = [&unhex("0f4000000100")[..], &alone].concat();
    let told = decode(&apdu, &[]);
    assert_eq!(told["data"]["1-0:1.8.0"]["scaled"], 7);
    assert_eq!(told["notes"][0], "2 octets stand behind the body");
    // A date-time behind its tag, without a length.
    let tagged = [&unhex("0f400000011907ea0b0f07173b00ffffc400")[..], &body].concat();
    let told = decode(&tagged, &[]);
    assert_eq!(told["data"]["1-0:1.8.0"]["scaled"], 7);
    // What tells no values is refused as before.
    let run = run(&["decode", "--json", "1200010203"]);
    assert_eq!(run.status, 1);
}

#[test]
fn a_message_to_outlets_is_read() {
    // Figure 5 of the paper that `model::xml` names.
    let message = "<SM>\n  <type>1</type>\n  <timestamp>2012-06-01 12:07:40</timestamp>\n  <cmd>\n    \
        <devices>1</devices>\n    <outlet>\n      <oid>001</oid>\n      <status>1</status>\n    \
        </outlet>\n  </cmd>\n</SM>";
    let told = decode(message.as_bytes(), &[]);
    assert_eq!(told["framing"], "xml");
    assert_eq!(told["apdu"]["value"], "Control_On_Off");
    assert!(
        told["reencoded"]
            .as_str()
            .unwrap()
            .contains(&hex(b"<status>1</status>"))
    );
    let wrong = message.replace("<status>1", "<status>2");
    assert_eq!(run(&["decode", &hex(wrong.as_bytes())]).status, 1);
}
