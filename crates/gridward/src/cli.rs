//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::secret::Secret;

/// Meter, head end and tools for DLMS/COSEM, in one program.
#[derive(Debug, Parser)]
#[command(
    name = "gridward",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 the thing asked failed, 2 wrong usage.\n\
                  Log on standard error: GRIDWARD_LOG=info (or debug, link=trace, ..).\n\
                  Colours: none where NO_COLOR is set."
)]
pub(crate) struct Cli {
    /// Write JSON, and nothing else, to standard output
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Decode one message: frames, APDU and values
    Decode(DecodeOptions),
    /// Make key files and check them
    Keys(KeysOptions),
    /// Serve virtual meters
    Meter(MeterOptions),
    /// Run the head end: enrol, collect, show
    Headend(HeadendOptions),
    /// Run a head end and a hundred meters, to look at
    Demo(DemoOptions),
    /// Show and check configurations
    Config(ConfigOptions),
}

/// How octets are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum As {
    /// Found out from the first octets
    Auto,
    /// HDLC frames, 7e … 7e
    Hdlc,
    /// The wrapper of TCP and UDP, 00 01 …
    Wrapper,
    /// M-Bus long frames, 68 … 16
    Mbus,
    /// One APDU
    Apdu,
    /// One value in A-XDR
    Axdr,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward decode c001c1000f0000280000ff0200
  gridward decode @push.hex
  xxd -p capture.bin | gridward decode --json -
  GRIDWARD_KEY=@meter.key gridward decode --auth-key @auth.key @push.hex

Frames that belong together are joined: segments of HDLC and M-Bus, and blocks
of general block transfer. Octets are counted from 0 in the input; a value in
a ciphered message is told by where its ciphered octets stand. With --key
alone a message is decrypted but not verified, and the output says so.")]
pub(crate) struct DecodeOptions {
    /// The message: hexadecimal digits, @FILE (digits or octets), or - for
    /// standard input
    #[arg(value_name = "HEX|@FILE|-")]
    pub(crate) message: String,

    /// How the message is framed
    #[arg(long = "as", value_enum, default_value_t = As::Auto, hide_possible_values = true,
          value_name = "auto|hdlc|wrapper|mbus|apdu|axdr")]
    pub(crate) framing: As,

    /// Encryption key: hexadecimal digits or @FILE
    #[arg(long, value_name = "EK", env = "GRIDWARD_KEY", hide_env_values = true)]
    pub(crate) key: Option<Secret>,

    /// Authentication key: hexadecimal digits or @FILE
    #[arg(
        long,
        value_name = "AK",
        env = "GRIDWARD_AUTH_KEY",
        hide_env_values = true
    )]
    pub(crate) auth_key: Option<Secret>,

    /// The sender's system title, where the message does not tell it
    #[arg(long, value_name = "TITLE")]
    pub(crate) system_title: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct KeysOptions {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What can be done with key files.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a file with fresh keys, which its owner alone may read
    #[command(after_help = "\
Examples:
  gridward keys generate --count 100 meters.toml
  gridward meter --listen tcp://127.0.0.1:4059 --count 100 --keys meters.toml")]
    Generate {
        /// The file to make; one that is there already is left alone
        file: PathBuf,
        /// How many meters
        #[arg(long, value_name = "N", default_value_t = 1,
              value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        /// The number of the first meter
        #[arg(long, value_name = "N", default_value_t = 1)]
        first: u32,
    },
    /// Check a file: its form, who may read it, and known weak keys
    Check {
        /// The file
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward meter --listen tcp://127.0.0.1:4059
  gridward meter --listen tcp://127.0.0.1:4059 --count 100 --keys meters.toml
  gridward meter --listen hdlc+tcp://127.0.0.1:4060 --model idis-like

One line of JSON a meter tells where it is. Several meters on one listener are
told apart by their server SAP. What they measured is kept in --data and goes
on with the next start; SIGTERM or Ctrl-C ends them.")]
pub(crate) struct MeterOptions {
    /// Where to listen: tcp, udp, tls, hdlc+tcp or serial; port 0 takes a free
    /// one
    #[arg(long, value_name = "URL")]
    pub(crate) listen: String,
    /// How many meters
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// What they are: smr5, idis-like, or a model file
    #[arg(long, value_name = "NAME|FILE", default_value = "smr5")]
    pub(crate) model: String,
    /// Their keys; made where the file is not there [default: DATA/keys.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Where their journal is kept [default: the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Days of history that a new meter comes with
    #[arg(long, value_name = "N", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(0..=60))]
    pub(crate) history_days: u16,
    /// Give each meter an address of its own, from that of --listen on
    #[arg(long)]
    pub(crate) spread: bool,
    /// End when standard input does: for whoever starts it as a child
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward config default > gridward.toml
  gridward headend --config gridward.toml --data /var/lib/gridward

It listens on loopback unless told otherwise. The first start shows a token to
sign in with, once. SIGTERM or Ctrl-C ends it.")]
pub(crate) struct HeadendOptions {
    /// The configuration [default: gridward config default]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where its data is kept [default: the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the API and the pages are, in place of the configuration's
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// End when standard input does: for whoever starts it as a child
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward demo
  gridward demo --meters 10 --data /tmp/demo --listen 127.0.0.1:9000")]
pub(crate) struct DemoOptions {
    /// Where everything is kept [default: the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the pages are [default: 127.0.0.1:8420, else a free port]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// How many meters, at the first start
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub(crate) meters: u32,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigOptions {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its default
    Default,
    /// Check a file
    Check {
        /// The file
        file: PathBuf,
    },
}
