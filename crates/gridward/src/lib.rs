//! The program `gridward`: one subcommand for each role and tool.
//!
//! [`run`] is all of it but for the process around it, so that tests call it
//! with streams of their own. Exit status: 0 done, 1 the thing asked failed,
//! 2 wrong usage. With `--json` standard output holds JSON only.

mod act;
mod api;
mod associate;
mod cli;
mod concentrator_role;
mod config;
mod counters;
mod decode;
mod demo;
mod experiment;
mod failure;
mod headend_role;
mod homegate_role;
mod image;
mod input;
mod keys;
mod literal;
mod meter;
mod outlet_role;
mod outlets;
mod output;
mod papers;
mod profile;
mod read;
mod role;
mod scion;
mod secret;
mod sig_role;
mod sim_role;
mod target;
mod text;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Command};
use failure::Failure;
use output::Output;

/// Where a command reads from and writes to.
pub struct Streams<'s> {
    /// Standard input.
    pub input: &'s mut (dyn Read + Send),
    /// Standard output: results.
    pub output: &'s mut (dyn Write + Send),
    /// Standard error: errors, hints, progress.
    pub error: &'s mut (dyn Write + Send),
    /// Whether standard output takes colours.
    pub output_colour: bool,
    /// Whether standard error takes colours.
    pub error_colour: bool,
    /// Whether somebody watches standard error, so that progress is told.
    pub watched: bool,
}

/// Lists the words of everything that has a help text: the program itself, which has none, and
/// each command below it that is shown; with whether commands stand below that.
#[must_use]
pub fn commands() -> Vec<(Vec<String>, bool)> {
    fn walk(command: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, bool)>) {
        found.push((words.to_vec(), command.has_subcommands()));
        for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            let mut words = words.to_vec();
            words.push(below.get_name().to_owned());
            walk(below, &words, found);
        }
    }
    let mut found = Vec::new();
    walk(&Cli::command(), &[], &mut found);
    found
}

/// Runs the program on this process's arguments and streams.
#[must_use]
pub fn main() -> ExitCode {
    start_log();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let (mut output, error) = (std::io::stdout(), std::io::stderr());
    let mut streams = Streams {
        input: &mut std::io::stdin(),
        output_colour: !plain && output.is_terminal(),
        error_colour: !plain && error.is_terminal(),
        watched: error.is_terminal(),
        output: &mut output,
        error: &mut std::io::stderr(),
    };
    ExitCode::from(run(std::env::args_os(), &mut streams))
}

/// Runs one command, the program's name first, and tells the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return report_usage(&error, streams),
    };
    let json = cli.json;
    let mut output = Output::new(streams, json);
    let result = match cli.command {
        Command::Decode(options) => decode::run(&options, &mut output),
        Command::Read(options) => read::run(&options, &mut output),
        Command::Write(options) => act::write(&options, &mut output),
        Command::Invoke(options) => act::invoke(&options, &mut output),
        Command::Objects(options) => act::objects(&options, &mut output),
        Command::Meter(options) => meter::run(&options, &mut output),
        Command::OutletMeter(options) => outlet_role::run(&options, &mut output),
        Command::Outlets(options) => outlets::run(&options, &mut output),
        Command::Headend(options) => headend_role::run(&options, &mut output),
        Command::Concentrator(options) => concentrator_role::run(&options, &mut output),
        Command::Homegate(options) => homegate_role::run(&options, &mut output),
        Command::Sig(options) => sig_role::run(&options, &mut output),
        Command::Demo(options) => demo::run(&options, &mut output),
        Command::Sim(options) => sim_role::run(&options, &mut output),
        Command::Experiment(options) => experiment::run(&options, &mut output),
        Command::Config(options) => config::run(&options, &mut output),
        Command::Image(options) => image::run(&options, &mut output),
        Command::Keys(options) => keys::run(&options, &mut output),
    };
    match result.and_then(|()| output.flush()) {
        Ok(()) => 0,
        Err(failure) => output.report(&failure),
    }
}

/// Shows what clap says: help and versions on standard output, faults on
/// standard error.
fn report_usage(error: &clap::Error, streams: &mut Streams<'_>) -> u8 {
    let (stream, colour, status): (&mut dyn Write, bool, u8) = if error.use_stderr() {
        (&mut *streams.error, streams.error_colour, 2)
    } else {
        (&mut *streams.output, streams.output_colour, 0)
    };
    let styled = error.render();
    let text = if colour {
        styled.ansi().to_string()
    } else {
        styled.to_string()
    };
    // A reader that went away has seen what it wanted.
    drop(stream.write_all(text.as_bytes()));
    status
}

/// Sends the log to standard error, as `GRIDWARD_LOG` asks: `info`, `debug`,
/// `link=trace`. Without it: warnings.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_env_var("GRIDWARD_LOG")
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    // Somebody who calls this as a library may have a log of their own.
    drop(started);
}

/// What a command ends with.
type Outcome = Result<(), Failure>;
