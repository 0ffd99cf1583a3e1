//! Scripts in packetdrill's format, in simulated time. They are our own
//! reading of the RFCs, line by line; the runner itself is held against the
//! public ETSI conformance scripts, whose verdicts stand in
//! docs/sctp-conformance.md.

#[path = "../../examples/packetdrill/run.rs"]
mod run;
#[path = "../../examples/packetdrill/script.rs"]
mod script;
#[path = "../../examples/packetdrill/socket.rs"]
mod socket;
#[path = "../../examples/packetdrill/wire.rs"]
mod wire;

use std::path::PathBuf;

use script::{Action, Content, Expr, PacketLine, Record, Script, Time};

fn scripts() -> Vec<(String, Script)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/scripts");
    let mut scripts: Vec<(String, Script)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, script::parse(&text, "").unwrap())
        })
        .collect();
    scripts.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(scripts.len() >= 25);
    scripts
}

#[test]
fn our_scripts_pass() {
    let failures: Vec<String> = scripts()
        .iter()
        .filter_map(|(name, script)| {
            let failure = run::run(script).err()?;
            Some(format!("{name}: {failure}"))
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Whatever is altered in a line that tells what is sent, the script fails.
#[test]
fn an_altered_line_fails() {
    let mut altered = 0;
    for (name, script) in scripts() {
        for (at, event) in script.events.iter().enumerate() {
            let Action::Outbound(line) = &event.action else {
                continue;
            };
            for other in alterations(line) {
                let mut script = script.clone();
                script.events[at].action = Action::Outbound(other);
                altered += 1;
                assert!(
                    run::run(&script).is_err(),
                    "{name}, line {}: passes with {:?}",
                    event.line,
                    script.events[at].action
                );
            }
            // Another time; and where it is sent at once: the line twice; the
            // line gone, where another follows that would show it.
            let mut late = script.clone();
            if let Time::After(after, None) = event.time {
                late.events[at].time = Time::After(2 * after + 1_000_000, None);
                assert!(
                    run::run(&late).is_err(),
                    "{name}, line {}: late",
                    event.line
                );
            }
            if event.time != Time::After(0, None) {
                continue;
            }
            let mut twice = script.clone();
            twice.events.insert(at + 1, event.clone());
            assert!(
                run::run(&twice).is_err(),
                "{name}, line {}: twice",
                event.line
            );
            let followed = script.events[at + 1..]
                .iter()
                .any(|event| matches!(event.action, Action::Outbound(_)));
            if followed {
                let mut without = script.clone();
                without.events.remove(at);
                assert!(
                    run::run(&without).is_err(),
                    "{name}, line {}: gone",
                    event.line
                );
            }
        }
    }
    assert!(altered > 1_000, "{altered}");
}

/// The line with one thing other than it is: a chunk, a number, flags, the
/// verification tag, a chunk more, a chunk less.
fn alterations(line: &PacketLine) -> Vec<PacketLine> {
    let Content::Chunks(chunks) = &line.content else {
        panic!("chunks are expected");
    };
    let with = |chunks: Vec<Record>| PacketLine {
        content: Content::Chunks(chunks),
        ..line.clone()
    };
    let mut all = Vec::new();
    let more = Record {
        name: "COOKIE_ACK".into(),
        fields: vec![(Some("flgs".into()), Expr::Number(0))],
    };
    all.push(with([chunks.as_slice(), &[more]].concat()));
    if chunks.len() > 1 {
        all.push(with(chunks[1..].to_vec()));
        all.push(with(chunks.iter().rev().cloned().collect()));
    }
    all.push(PacketLine {
        tag: Some(0x1234_5678),
        ..line.clone()
    });
    for (at, chunk) in chunks.iter().enumerate() {
        let put = |chunk: Record| {
            let mut chunks = chunks.clone();
            chunks[at] = chunk;
            with(chunks)
        };
        for name in ["DATA", "SHUTDOWN"] {
            if chunk.name != name {
                all.push(put(Record {
                    name: name.into(),
                    fields: chunk.fields.clone(),
                }));
            }
        }
        let mut number = 0;
        loop {
            let mut other = chunk.clone();
            let mut left = number;
            if !alter(&mut other, &mut left) {
                break;
            }
            all.push(put(other));
            number += 1;
        }
    }
    all
}

/// Alters the value that stands after `left` others, and tells whether there
/// was one.
fn alter(record: &mut Record, left: &mut usize) -> bool {
    // The first numbers of INIT and INIT ACK are names that the script gives.
    let begins = matches!(record.name.as_str(), "INIT" | "INIT_ACK");
    for (key, value) in &mut record.fields {
        let named = begins && matches!(key.as_deref(), Some("tag" | "tsn"));
        if !named && alter_value(value, left) {
            return true;
        }
    }
    false
}

fn alter_value(value: &mut Expr, left: &mut usize) -> bool {
    match value {
        Expr::Any => return false,
        Expr::Record(record) => return alter(record, left),
        Expr::List(items) if !items.is_empty() => {
            return items.iter_mut().any(|item| alter_value(item, left));
        }
        Expr::Set(fields) => {
            return fields.iter_mut().any(|(_, item)| alter_value(item, left));
        }
        Expr::Number(_) | Expr::Word(_) | Expr::Text(_) | Expr::Range(..) | Expr::List(_) => {}
    }
    if *left > 0 {
        *left -= 1;
        return false;
    }
    *value = match value {
        Expr::Number(number) => Expr::Number(*number + 1),
        Expr::Range(from, to) => Expr::Range(*from, *to + 1),
        Expr::List(_) => Expr::List(vec![Expr::Number(1)]),
        // Flags, types and addresses.
        _ => Expr::Number(0x44),
    };
    true
}

/// What no script of ours says is refused, with the line.
#[test]
fn a_script_that_is_none_is_refused() {
    for (text, line) in [
        ("+0.0 socket(..., SOCK_STREAM", 0),
        ("\n+0.0 > sctp: DATA[flgs=BE", 0),
        ("+0.0 > tcp: S", 1),
        ("\n\n#define X", 3),
        ("+0.0 `unfinished", 1),
        ("x", 1),
    ] {
        let (at, _) = script::parse(text, "").unwrap_err();
        assert_eq!(at, line, "{text}");
    }
    let deep = format!("+0.0 close({}", "[".repeat(1_000));
    assert!(script::parse(&deep, "").is_err());
    let unknown = script::parse("+0.0 socket(...) = 3\n+0.0 ioctl(3) = 0", "").unwrap();
    assert_eq!(run::run(&unknown).unwrap_err().line, 2);
    let shell = script::parse("+0.0 `rm x`", "").unwrap();
    assert!(run::run(&shell).is_err());
    assert!(run::run_text("+0.0 socket(...) = 3", &["Linux"]).is_ok());
}
