//! What is refused, and what is said then. Evidence: robustness; the frames of
//! the negative cases are ours.

use expect_test::expect_file;

use super::synthetic::{self, AUTH_KEY, KEY};
use crate::program::{hex, run, run_with};

fn without(octets: &[u8], index: usize) -> Vec<u8> {
    let mut shorter = octets.to_vec();
    shorter.remove(index);
    shorter
}

fn changed(octets: &[u8], index: usize) -> Vec<u8> {
    let mut changed = octets.to_vec();
    changed[index] ^= 1;
    changed
}

#[test]
fn refusals_say_where_and_why() {
    let framed = synthetic::aidon();
    let blocks = synthetic::e450();
    let segments = synthetic::mbus();
    let second_frame = 1 + blocks.iter().skip(2).position(|o| *o == 0x7E).unwrap() + 2;
    let mut gap = blocks[..second_frame].to_vec();
    let last_frame = blocks[..blocks.len() - 1]
        .iter()
        .rposition(|o| *o == 0x7E)
        .unwrap();
    gap.extend_from_slice(&blocks[last_frame..]);
    let cases = [
        ("wrong check sequence", changed(&framed, framed.len() - 10)),
        ("an octet is missing", without(&framed, 30)),
        ("no closing flag", framed[..framed.len() - 1].to_vec()),
        ("no opening flag", framed[1..].to_vec()),
        ("flags alone", vec![0x7E; 4]),
        ("a block is missing", gap),
        ("the last block is missing", blocks[..last_frame].to_vec()),
        ("the last segment is missing", segments[..110].to_vec()),
        ("wrong M-Bus checksum", changed(&segments, 20)),
        ("the tag was changed", {
            link::parse_hex(
                "db084d4d4d0000bc614e1e3001234567411312ff935a47566827c467bc\
                 7d825c3be4a77c3fcc056b6a",
            )
            .unwrap()
        }),
        (
            "cut inside a value",
            synthetic::object_list()[..60].to_vec(),
        ),
        ("octets behind the value", vec![0x12, 0, 1, 2]),
        ("nothing that is known", vec![0x2A, 0]),
        (
            "another version of the wrapper",
            vec![0, 2, 0, 1, 0, 1, 0, 1, 0],
        ),
    ];
    let mut shown = String::new();
    for (name, octets) in cases {
        let digits = hex(&octets);
        let arguments = ["decode", "--key", KEY, "--auth-key", AUTH_KEY, &digits];
        let refused = run(&arguments);
        assert_eq!((refused.status, refused.output.as_str()), (1, ""), "{name}");
        let told = run(&[&arguments[..], &["--json"]].concat());
        assert_eq!((told.status, told.error.as_str()), (1, ""), "{name}");
        let error = &told.json()["error"];
        assert!(
            error["offset"].is_u64() && error["reason"].is_string(),
            "{name}"
        );
        shown.push_str(&format!("{name}\n{}\n", refused.error));
    }
    expect_file!["../../snapshots/decode-refusals.txt"].assert_eq(&shown);
}

#[test]
fn octets_come_as_digits_or_as_they_are() {
    let message = synthetic::aidon();
    let digits = hex(&message);
    let expected = run(&["decode", &digits]).output;
    let spaced: String = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).to_uppercase() + ":\n ")
        .collect();
    assert_eq!(run(&["decode", &spaced]).output, expected);
    assert_eq!(
        run_with(&["decode", "-"], digits.as_bytes()).output,
        expected
    );
    assert_eq!(run_with(&["decode", "-"], &message).output, expected);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push");
    std::fs::write(&file, &message).unwrap();
    let file = format!("@{}", file.display());
    assert_eq!(run(&["decode", &file]).output, expected);

    let odd = run(&["decode", "0f4"]);
    assert_eq!(odd.status, 1);
    assert!(odd.error.contains("byte 1: half an octet"), "{}", odd.error);
    let strange = run(&["decode", "0f 4g"]);
    assert!(
        strange.error.contains("'g', character 5"),
        "{}",
        strange.error
    );
    assert_eq!(run(&["decode", "@/nonexistent"]).status, 1);
    assert_eq!(run(&["decode", ""]).status, 1);
}

#[test]
fn secrets_inside_messages_are_not_shown() {
    // An AARQ with the password 12345678 (a published example).
    let aarq = "6036a1090607608574050801018a0207808b0760857405080201ac0a8008\
                3132333435363738be10040e01000000065f1f0400007e1f04b0";
    let shown = run(&["decode", aarq]);
    assert_eq!(shown.status, 0, "{}", shown.error);
    assert!(shown.output.contains("8 octets, not shown"));
    assert!(!shown.output.contains("3132333435363738") && !shown.output.contains("12345678"));
    // An InitiateRequest with a dedicated key.
    let initiate = "01011000112233445566778899aabbccddeeff0000065f1f0400007e1f04b0";
    let shown = run(&["decode", initiate]);
    assert_eq!(shown.status, 0, "{}", shown.error);
    assert!(shown.output.contains("16 octets, not shown") && !shown.output.contains("00112233"));
}
