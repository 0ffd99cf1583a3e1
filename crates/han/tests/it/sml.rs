//! Files of SML. Evidence: octets of meters as other projects publish them,
//! the serial number set to zeros there, and sml-rs as second reader.

use dlms::cosem::Obis;
use dlms::hdlc::Fcs;
use han::sml::{Checksum, Deframer, File};

use crate::captures::unhex;

/// An EasyMeter, from the tests of spacemanspiff2007/sml2mqtt
/// (`tests/conftest.py`, `sml_data_1`): a fact, with its checksums.
pub(crate) fn easymeter() -> Vec<u8> {
    unhex(
        "1B1B1B1B01010101760501188E6162006200726500000101760101070000000000000B0000000000\
         0000000000010163687700760501188E626200620072650000070177010B00000000000000000000\
         0172620165002EC3F47A77078181C78203FF010101010445425A0177070100000009FF010101010B\
         000000000000000000000177070100010800FF6401018001621E52FB690000000A7AC1BC17017707\
         0100010801FF0101621E52FB690000000A74B1EA770177070100010802FF0101621E52FB69000000\
         00060FD1A00177070100020800FF6401018001621E52FB69000000000D19E1C00177070100100700\
         FF0101621B52FE55000089D90177070100240700FF0101621B52FE55000020220177070100380700\
         FF0101621B52FE5500000A9201770701004C0700FF0101621B52FE5500005F250101016381020076\
         0501188E636200620072650000020171016325FC000000001B1B1B1B1A0356F5",
    )
}

#[test]
fn a_meters_file_is_read() {
    let octets = easymeter();
    let file = File::decode(&octets).unwrap();
    assert_eq!(file.length, octets.len());
    assert_eq!(file.checksum, Checksum::X25);
    let tags: Vec<u64> = file.messages.iter().map(|message| message.tag).collect();
    assert_eq!(tags, [0x0101, 0x0701, 0x0201]);
    let report = file.report();
    let value = |c, d, e| report.electricity(c, d, e).unwrap().quantity.to_string();
    // 0x0A7AC1BC17 at 10^-5 Wh.
    assert_eq!(value(1, 8, 0), "450091.89911 Wh");
    assert_eq!(value(2, 8, 0), "2198.00000 Wh");
    assert_eq!(value(16, 7, 0), "352.89 W");
    assert_eq!(value(76, 7, 0), "243.57 W");
    assert_eq!(report.values.len(), 8);
    assert_eq!(report.meter.as_deref(), Some("00000000000000000000"));
    // Seconds of operation are no time.
    assert_eq!(report.time, None);
    let maker = Obis([129, 129, 199, 130, 3, 255]);
    assert!(
        report
            .texts
            .iter()
            .any(|text| text.obis == maker && text.text == "EBZ")
    );
}

/// The same with right checksums of its messages: where the serial number was
/// taken out, only the outer one was computed anew.
fn mended() -> Vec<u8> {
    let mut octets = easymeter();
    let end = octets.len();
    let mut start = 8;
    for at in 8..end - 8 {
        // `63 checksum 00` closes a message.
        if octets[at] == 0x63 && octets[at + 3] == 0 && matches!(octets[at + 4], 0x76 | 0x00) {
            let sum = Fcs::of(&octets[start..at]).to_le_bytes();
            octets[at + 1..at + 3].copy_from_slice(&sum);
            start = at + 4;
        }
    }
    let sum = Fcs::of(&octets[..end - 2]).to_le_bytes();
    octets[end - 2..].copy_from_slice(&sum);
    octets
}

#[test]
fn a_second_reader_agrees() {
    use sml_rs::parser::common::Value;
    use sml_rs::parser::complete::MessageBody;

    let octets = mended();
    let other = sml_rs::transport::decode(&octets);
    let plain = other.first().unwrap().as_ref().unwrap();
    let parsed = sml_rs::parser::complete::parse(plain).unwrap();
    let list = parsed
        .messages
        .iter()
        .find_map(|message| match &message.message_body {
            MessageBody::GetListResponse(list) => Some(list),
            _ => None,
        })
        .unwrap();
    let report = File::decode(&octets).unwrap().report();
    let mut compared = 0;
    for entry in &list.val_list {
        let number = match entry.value {
            Value::I8(number) => i128::from(number),
            Value::I16(number) => i128::from(number),
            Value::I32(number) => i128::from(number),
            Value::I64(number) => i128::from(number),
            Value::U8(number) => i128::from(number),
            Value::U16(number) => i128::from(number),
            Value::U32(number) => i128::from(number),
            Value::U64(number) => i128::from(number),
            _ => continue,
        };
        let own = report
            .values
            .iter()
            .find(|value| value.obis.0[..] == *entry.obj_name)
            .unwrap();
        assert_eq!(own.quantity.number, number);
        assert_eq!(Some(own.quantity.scaler), entry.scaler);
        assert_eq!(Some(own.quantity.unit.0), entry.unit);
        compared += 1;
    }
    assert_eq!(compared, 8);
}

#[test]
fn damage_is_told_with_its_place() {
    let octets = easymeter();
    let mut wrong = octets.clone();
    wrong[100] ^= 1;
    let error = File::decode(&wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("byte {}: bad checksum in SML checksum", octets.len() - 2)
    );
    let error = File::decode(&octets[..octets.len() - 8]).unwrap_err();
    assert!(error.to_string().contains("truncated"));
    assert!(File::decode(&octets[4..]).is_err());
}

#[test]
fn escapes_within_are_taken_out() {
    // sml-rs, tests of the transport: 12 1B1B1B1B with three octets of fill.
    let octets = unhex("1b1b1b1b 01010101 12 1b1b1b1b 1b1b1b1b 000000 1b1b1b1b 1a03be25");
    // No messages in it, so it is refused for those, behind the transport.
    let error = File::decode(&octets).unwrap_err();
    assert!(error.to_string().contains("SML"), "{error}");
    assert!(!error.to_string().contains("checksum"), "{error}");
}

#[test]
fn files_are_found_in_a_stream() {
    let whole = easymeter();
    let stream = [&whole[30..], &whole, b"noise", &whole, &whole[..50], &whole].concat();
    let mut deframer = Deframer::new();
    let mut input = stream.as_slice();
    let mut found = 0;
    while let Some(file) = deframer.next(&mut input) {
        assert!(File::decode(file).is_ok());
        found += 1;
    }
    assert_eq!(found, 3);
    assert_eq!(deframer.counters().cut, 1);
}
