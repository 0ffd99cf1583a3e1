//! The commands against a server that answers as strangers' servers were seen
//! to: octets of jDLMS 1.8.0, Gurux Java 4.0.47 and Gurux C, and answers
//! without end. Evidence: third-party bytes; that what is wrong is refused and
//! said, and that what never ends is stopped, is ours.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::program::{Run, run, unhex};

/// Gurux Java's: accepted, without ciphering, 1,024 octets.
const AARE: &str =
    "6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f0400001e1d04000007";
/// Gurux Java's, with both lengths wrong (11 and 0F where 15 and 10 are due).
const RLRE: &str = "6311800100be0f040e0800065f1f0400001e1d04000007";

/// What the server does when it hears an APDU whose first octets are these.
struct Answer {
    to: &'static [u8],
    with: Box<dyn Fn(u32) -> Vec<u8> + Send>,
    /// Whether it goes on answering without being asked.
    endless: bool,
}

fn answer(to: &'static [u8], octets: &str) -> Answer {
    let octets = unhex(octets);
    Answer {
        to,
        with: Box::new(move |_| octets.clone()),
        endless: false,
    }
}

/// A server on loopback for one client at a time; gives its URL.
fn serve(answers: Vec<Answer>) -> String {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", door.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((stream, _)) = door.accept() {
            // The client hangs up when it has had enough.
            drop(converse(stream, &answers));
        }
    });
    url
}

fn converse(mut stream: TcpStream, answers: &[Answer]) -> std::io::Result<()> {
    for number in 1.. {
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let mut apdu = vec![0; usize::from(u16::from_be_bytes([head[6], head[7]]))];
        stream.read_exact(&mut apdu)?;
        let Some(answer) = answers.iter().find(|answer| apdu.starts_with(answer.to)) else {
            continue;
        };
        loop {
            let octets = (answer.with)(number);
            let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
            let head = [
                0, 1, head[4], head[5], head[2], head[3], length[0], length[1],
            ];
            stream.write_all(&[&head[..], &octets].concat())?;
            if !answer.endless {
                break;
            }
        }
    }
    Ok(())
}

/// Runs a command against a server that gives `answers` in an association.
fn against(answers: Vec<Answer>, command: &str, words: &[&str]) -> Run {
    let mut all = vec![answer(&[0x60], AARE), answer(&[0x62], RLRE)];
    all.splice(0..0, answers);
    let url = serve(all);
    let mut arguments = vec![command, &url];
    arguments.extend(words);
    arguments.extend(["--json", "--timeout", "1"]);
    run(&arguments)
}

fn read(answers: Vec<Answer>) -> Run {
    against(answers, "read", &["1/0.0.96.1.0.255:2"])
}

fn reason(run: &Run) -> String {
    assert_eq!(run.status, 1, "{}", run.shown());
    run.json()["error"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_release_with_wrong_lengths_spoils_nothing() {
    let run = read(vec![answer(&[0xC0, 0x01], "c401410009020102")]);
    assert_eq!(run.status, 0, "{}", run.shown());
    assert_eq!(run.json()[0]["value"], "0102");
}

#[test]
fn octets_behind_an_answer_are_refused_with_their_place() {
    // Gurux Java: a null value read, with the failure and 06 behind it.
    let said = reason(&read(vec![answer(&[0xC0, 0x01], "c40141010306")]));
    assert_eq!(
        without_url(&said),
        "the answer is malformed: byte 5: trailing octets in value"
    );
    // Gurux C: a date-time, and 18 octets of it again.
    let clock = "c4014100090c07ea0b15060a0000ff800000".to_owned();
    let said = reason(&read(vec![answer(
        &[0xC0, 0x01],
        &format!("{clock}090c07ea0b15060a0000ff800000ffffffff"),
    )]));
    assert_eq!(
        without_url(&said),
        "the answer is malformed: byte 14: trailing octets in data"
    );
}

#[test]
fn octets_behind_the_word_for_a_block_are_refused() {
    // Gurux Java: three octets too many after a set-response-datablock.
    let long = format!("octets:{}", "5a".repeat(1_500));
    let run = against(
        vec![answer(&[0xC1, 0x02], "c5024100000001000000")],
        "write",
        &["1/0.0.96.13.0.255:2", &long],
    );
    assert_eq!(
        without_url(&reason(&run)),
        "the answer is malformed: byte 7: trailing octets in value"
    );
}

#[test]
fn an_exception_that_is_none_is_refused() {
    // jDLMS: a ciphered error under the tag of an exception.
    let said = reason(&read(vec![answer(
        &[0xC0, 0x01],
        "d8143000000002aabbccddeeff00112233445566778899",
    )]));
    assert_eq!(
        without_url(&said),
        "the answer is malformed: byte 3: trailing octets in value"
    );
}

#[test]
fn another_context_than_was_asked_for_is_no_association() {
    // jDLMS: the context with ciphering in answer to the one without.
    let aare = "612d80020780a109060760857405080103a203020100a305a103020100be10040e0800065f1f0400001e1d04000007";
    let said = reason(&read(vec![answer(&[0x60], aare)]));
    assert_eq!(
        without_url(&said),
        "the meter agreed to another application context than it was asked for"
    );
}

#[test]
fn a_challenge_that_reads_as_an_apdu_is_not_answered_however_often() {
    // Random octets of pydlms's may do so once; whoever wants a tag on an APDU
    // of their own choice does it again and again.
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let challenge = Answer {
        to: &[0x60],
        with: Box::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            unhex(concat!(
                "6156a109060760857405080103a203020100a305a10302010ea40a04085059440000000001",
                "88020780890760857405080205aa128010c101c100010000600d00ff0200090141",
                "be10040e0800065f1f0400001e1d04000007"
            ))
        }),
        endless: false,
    };
    let state = tempfile::tempdir().unwrap();
    let key = [
        "1/0.0.96.1.0.255:2",
        "--key",
        "3f8a1c5e7790b2d4f60123456789abce",
        "--auth-key",
        "9b1e6d20c7f3548a0e71d2c3b4a59687",
        "--protect",
        "none",
        "--state",
        state.path().to_str().unwrap(),
    ];
    let run = against(vec![answer(&[0x60, 0x1D], AARE), challenge], "read", &key);
    let said = reason(&run);
    assert!(said.ends_with("the challenge reads as an APDU"), "{said}");
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[test]
fn blocks_without_end_are_stopped() {
    // Gurux Java repeats a block of general block transfer for ever.
    let flood = Answer {
        endless: true,
        ..answer(&[0xC0, 0x01], "e00100010000040001c109")
    };
    assert_eq!(
        without_url(&reason(&read(vec![flood]))),
        "no answer while requesting"
    );
    // A profile that never ends, a block at a time.
    let blocks = |size: usize| Answer {
        to: &[0xC0],
        with: Box::new(move |number| {
            let size_be = u16::try_from(size).unwrap().to_be_bytes();
            let head = [0xC4, 0x02, 0x41, 0x00];
            let number = (number - 1).to_be_bytes();
            [
                &head[..],
                &number,
                &[0x00, 0x82],
                &size_be,
                &vec![0x09; size],
            ]
            .concat()
        }),
        endless: false,
    };
    let said = reason(&read(vec![blocks(60_000)]));
    assert_eq!(without_url(&said), "the answer is longer than the bound");
    let said = reason(&read(vec![blocks(0)]));
    assert_eq!(without_url(&said), "the answer is longer than the bound");
}

#[test]
fn an_association_answered_without_end_is_none() {
    let flood = Answer {
        endless: true,
        ..answer(&[0x60], "e00100010000040001c109")
    };
    assert_eq!(
        without_url(&reason(&read(vec![flood]))),
        "no answer while associating"
    );
}

/// The reason behind the URL, whose port is another each time.
fn without_url(reason: &str) -> &str {
    reason.split_once(": ").map_or(reason, |(_, rest)| rest)
}

#[test]
fn a_server_that_says_nothing_is_told_with_what_to_look_at() {
    let silent = serve(Vec::new());
    let run = run(&["read", &silent, "1.8.0", "--timeout", "1"]);
    assert_eq!(run.status, 1, "{}", run.shown());
    assert!(
        run.error.contains("no answer while associating"),
        "{}",
        run.error
    );
    assert!(
        run.error.contains("right address and --server"),
        "{}",
        run.error
    );
}

#[test]
fn a_counter_out_of_step_is_told_with_what_to_say() {
    let state = tempfile::tempdir().unwrap();
    // Invocation-counter-error, with the highest counter there is.
    let ahead = serve(vec![answer(&[0x60], "d80106ffffffff")]);
    let run = run(&[
        "read",
        &ahead,
        "1.8.0",
        "--client",
        "1",
        "--key",
        "000102030405060708090a0b0c0d0e0f",
        "--auth-key",
        "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
        "--counter",
        "7",
        "--state",
        state.path().to_str().unwrap(),
        "--timeout",
        "1",
    ]);
    assert_eq!(run.status, 1, "{}", run.shown());
    assert!(run.error.contains("4294967295"), "{}", run.error);
    assert!(
        run.error.contains("out of step: say once --counter"),
        "{}",
        run.error
    );
}
