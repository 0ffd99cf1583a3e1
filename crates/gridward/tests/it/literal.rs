//! Values on the command line. Evidence: what is refused before anything is
//! sent, so no meter is needed.

use crate::program::run;

fn refusal(value: &str) -> String {
    let run = run(&["write", "tcp://127.0.0.1:1", "1/0-0:96.13.0", value]);
    match run.status {
        2 => run.error,
        // The value was taken; nobody listens there.
        _ => {
            assert!(run.error.contains("127.0.0.1:1"), "{}", run.error);
            String::new()
        }
    }
}

#[test]
fn values_are_taken() {
    for value in [
        "5",
        "-5",
        "u8:255",
        "i64:-9223372036854775808",
        "\"a, b\"",
        "octets:00 11:22",
        "bits:0101",
        "bits:",
        "f32:-1.5",
        "enum:3",
        "null",
        "bool:true",
        "time:2026-11-21T10:00:00+01:00",
        "time:2026-11-21",
        "obis:1-0:1.8.0*255",
        "[]",
        "{u32:5, \"x\", [u8:1, u8:2]}",
        "hex:0203120001090101160f",
    ] {
        assert_eq!(refusal(value), "", "{value}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for (value, why) in [
        ("u8:256", "too large"),
        ("u9:1", "is no type"),
        ("abc", "has no type"),
        ("\"abc", "closing quote"),
        ("[u8:1", "missing"),
        ("u8:1 ]", "left over"),
        ("time:2026-13-01", "no time"),
        ("time:2026-11-21T25:00", "no time"),
        ("bits:012", "bits are 0 and 1"),
        ("hex:12", "truncated"),
        ("hex:1200010", "hexadecimal"),
    ] {
        let refused = refusal(value);
        assert!(refused.contains(why), "{value}: {refused:?}");
    }
    assert!(refusal(&"[".repeat(100_000)).contains("stand in one another"));
}
