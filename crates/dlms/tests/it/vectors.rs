//! Vector files of APDUs: records of a name, octets, where they are from and
//! what their author says they mean, each followed by what they decode to.

use std::fmt::Write as _;

use dlms::codec::Wire;
use dlms::xdlms::Apdu;
use expect_test::ExpectFile;

use crate::captures::unhex;
use crate::expectations::{check, show};

/// One record of a vector file.
pub(crate) struct Vector<'t> {
    pub(crate) name: &'t str,
    pub(crate) octets: Vec<u8>,
    head: Vec<&'t str>,
}

/// The comment at the top of a file, and its records.
pub(crate) fn records(text: &str) -> (&str, Vec<Vector<'_>>) {
    let mut records = text.split("\n\n");
    let comment = records.next().unwrap();
    let records = records.map(|record| {
        let head: Vec<&str> = record
            .lines()
            .enumerate()
            .take_while(|(index, line)| {
                *index < 2 || line.starts_with("  source: ") || line.starts_with("  expect: ")
            })
            .map(|(_, line)| line)
            .collect();
        Vector {
            name: head[0],
            octets: unhex(head[1]),
            head,
        }
    });
    (comment.trim_end(), records.collect())
}

/// Decodes every vector, checks it against what its author says, encodes it
/// again to the same octets, and compares the whole with the file.
pub(crate) fn check_file(text: &str, file: &ExpectFile) {
    let (comment, records) = records(text);
    assert!(!records.is_empty());
    let mut actual = format!("{comment}\n");
    for vector in &records {
        let apdu = Apdu::from_octets(&vector.octets)
            .unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(apdu.to_octets(), vector.octets, "{}", vector.name);
        let expect = vector
            .head
            .iter()
            .find_map(|line| line.strip_prefix("  expect: "))
            .unwrap();
        check(vector.name, &apdu, &serde_json::from_str(expect).unwrap());
        write!(actual, "\n{}\n{}", vector.head.join("\n"), show(&apdu)).unwrap();
    }
    file.assert_eq(&actual);
}

/// Decodes what is to be refused, and compares the refusals with the file.
pub(crate) fn check_refusals(text: &str, file: &ExpectFile) {
    let (comment, records) = records(text);
    assert!(!records.is_empty());
    let mut actual = format!("{comment}\n");
    for vector in &records {
        let verdict = match Apdu::from_octets(&vector.octets) {
            Ok(apdu) => panic!("{}: {apdu:?}", vector.name),
            Err(error) => error,
        };
        write!(
            actual,
            "\n{}\n  refused: {verdict}\n",
            vector.head.join("\n")
        )
        .unwrap();
    }
    file.assert_eq(&actual);
}
