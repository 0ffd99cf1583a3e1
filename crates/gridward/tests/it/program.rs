//! The program, run in this process: what it printed and how it ended.

use std::ffi::OsString;

use gridward::Streams;

/// What one run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: u8,
    pub(crate) output: String,
    pub(crate) error: String,
}

/// Runs the program with `arguments` behind its name.
pub(crate) fn run(arguments: &[&str]) -> Run {
    run_with(arguments, &[])
}

/// The same, with octets on standard input.
pub(crate) fn run_with(arguments: &[&str], mut input: &[u8]) -> Run {
    let (mut output, mut error) = (Vec::new(), Vec::new());
    let arguments = ["gridward"].iter().chain(arguments).map(OsString::from);
    let status = gridward::run(
        arguments,
        &mut Streams {
            input: &mut input,
            output: &mut output,
            error: &mut error,
            output_colour: false,
            error_colour: false,
            watched: false,
        },
    );
    Run {
        status,
        output: String::from_utf8(output).unwrap(),
        error: String::from_utf8(error).unwrap(),
    }
}

impl Run {
    /// The run as a terminal would show it, for snapshots.
    pub(crate) fn shown(&self) -> String {
        let status = match self.status {
            0 => String::new(),
            status => format!("(exit status {status})\n"),
        };
        format!("{}{}{status}", self.output, self.error)
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.output).unwrap()
    }
}

/// Digits to octets.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    link::parse_hex(text).unwrap()
}

/// Octets to digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
