//! The program as a process: streams that end. Evidence: the operating
//! system's word.

use std::io::Read as _;
use std::process::{Command, Stdio};

fn decode() -> Command {
    // An array of 2,000 nulls: more output than a pipe holds.
    let message = format!("018207d0{}", "00".repeat(2_000));
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridward"));
    command.args(["decode", &message]);
    command
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = decode()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut first).unwrap();
    drop(output);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", ended.status);
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn a_full_disk_is_one() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let ended = decode()
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let error = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(error.contains("cannot be written"), "{error}");
}

#[test]
fn output_to_a_file_has_no_colours() {
    let ended = decode().env_remove("NO_COLOR").output().unwrap();
    assert!(!ended.stdout.contains(&0x1B));
}
