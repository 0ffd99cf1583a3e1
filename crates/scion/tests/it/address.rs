//! Addresses as text. Evidence: forms that the specification names, and
//! self-agreement.

use scion::address::{AddressError, As, InterfaceId, Isd, IsdAs};

#[test]
fn texts_are_read_and_written_alike() {
    for text in [
        "1-ff00:0:110",
        "64-2:0:9",
        "0-0",
        "19-64512",
        "1-ffff:ffff:ffff",
        "7-4294967295",
    ] {
        let isd_as: IsdAs = text.parse().unwrap();
        assert_eq!(isd_as.to_string(), text);
        assert_eq!(IsdAs::from_u64(isd_as.to_u64()), isd_as);
    }
    // A number of BGP's range is written as such however it was given.
    assert_eq!("1-0:0:9".parse::<IsdAs>().unwrap().to_string(), "1-9");
    assert_eq!(
        "1-FF00:0:110".parse::<IsdAs>().unwrap().to_string(),
        "1-ff00:0:110"
    );
    assert_eq!(
        "1-ff00:0:110".parse::<IsdAs>().unwrap().to_u64(),
        0x0001_ff00_0000_0110
    );
}

#[test]
fn other_texts_are_refused() {
    for (text, error) in [
        ("", AddressError::NoDash),
        ("1", AddressError::NoDash),
        ("-1", AddressError::Isd),
        ("+1-1", AddressError::Isd),
        ("65536-1", AddressError::Isd),
        ("1-", AddressError::As),
        ("1--1", AddressError::As),
        ("1-4294967296", AddressError::As),
        ("1-ff00:0", AddressError::As),
        ("1-ff00:0:0:1", AddressError::As),
        ("1-ff00::1", AddressError::As),
        ("1-10000:0:1", AddressError::As),
        ("1-ff00:0:+1", AddressError::As),
        ("1-ff00:0:110,10.0.0.1", AddressError::As),
    ] {
        assert_eq!(text.parse::<IsdAs>(), Err(error), "{text}");
    }
    assert_eq!("70000".parse::<InterfaceId>(), Err(AddressError::Interface));
    assert_eq!("x".parse::<Isd>(), Err(AddressError::Isd));
    assert_eq!(As::new(1 << 48), Err(AddressError::As));
}
