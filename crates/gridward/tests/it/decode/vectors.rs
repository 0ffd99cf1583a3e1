//! The vector files of the crate `dlms`: what decodes there decodes here, and
//! comes out again as it went in. Evidence: third-party and constructed
//! octets, as each file says.

use crate::program::{hex, run};

/// Records of a name, then digits.
fn records(text: &str) -> Vec<(String, Vec<u8>)> {
    text.split("\n\n")
        .skip(1)
        .filter_map(|record| {
            let mut lines = record.lines();
            let name = lines.next()?.trim().to_owned();
            let octets = link::parse_hex(lines.next()?)?;
            (!octets.is_empty()).then_some((name, octets))
        })
        .collect()
}

fn file(name: &str) -> String {
    let path = format!(
        "{}/../dlms/tests/vectors/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_decodes_comes_out_again() {
    let mut count = 0;
    for (name, framing) in [
        ("xdlms.txt", "apdu"),
        ("acse.txt", "auto"),
        ("axdr.txt", "axdr"),
    ] {
        for (vector, octets) in records(&file(name)) {
            let digits = hex(&octets);
            let decoded = run(&["decode", "--json", "--as", framing, &digits]);
            assert_eq!(decoded.status, 0, "{vector}: {}", decoded.output);
            let told = decoded.json();
            // Ciphered, or a block of more: what is inside is another matter.
            let whole = told["protection"].is_null() && told["plain"] == digits;
            // Octets that mean true beside the one that is written.
            let other_form = vector.contains("nonzero") || told.get("notes").is_some();
            if whole && !other_form {
                assert_eq!(told["reencoded"], digits, "{vector}");
            }
            count += 1;
        }
    }
    assert!(count > 60, "only {count} vectors were found");
}

#[test]
fn what_is_malformed_is_refused() {
    let mut count = 0;
    for (name, framing) in [
        ("xdlms-negative.txt", "apdu"),
        ("axdr-negative.txt", "axdr"),
    ] {
        for (vector, octets) in records(&file(name)) {
            let refused = run(&["decode", "--json", "--as", framing, &hex(&octets)]);
            assert_eq!(refused.status, 1, "{vector}: {}", refused.output);
            assert!(refused.json()["error"]["offset"].is_u64(), "{vector}");
            count += 1;
        }
    }
    assert!(count > 10, "only {count} vectors were found");
}
