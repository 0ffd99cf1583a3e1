//! dlms-cosem-rs 0.1.0 as a client and as a server, with the command line and the JSON lines of
//! the other programs here (README.md).

mod client;
mod command;
mod link;
mod server;

use std::process::ExitCode;

/// Whatever went wrong, in words for the answer line.
pub type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    let command = command::Command::new(arguments);
    let done = match role.as_str() {
        "client" => client::run(&command),
        "server" => server::run(&command).map(|()| true),
        _ => Err("first word: client or server".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
