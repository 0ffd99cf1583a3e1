//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::act::{InvokeOptions, ObjectsOptions, WriteOptions};
use crate::concentrator_role::ConcentratorOptions;
use crate::config::ConfigOptions;
use crate::demo::DemoOptions;
use crate::experiment::ExperimentOptions;
use crate::headend_role::HeadendOptions;
use crate::homegate_role::HomegateOptions;
use crate::image::ImageOptions;
use crate::meter::MeterOptions;
use crate::outlet_role::OutletMeterOptions;
use crate::outlets::OutletsOptions;
use crate::papers::PapersOptions;
use crate::read::ReadOptions;
use crate::secret::Secret;
use crate::sig_role::SigOptions;
use crate::sim_role::SimOptions;

/// Meter, head end and tools for DLMS/COSEM, in one program.
#[derive(Debug, Parser)]
#[command(
    name = "gridward",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
                  gridward demo\n  \
                  gridward read tcp://192.0.2.7:4059 0.0.42.0.0.255\n  \
                  gridward decode --key @guek.txt 7EA1...\n\n\
                  Exit status: 0 done, 1 the thing asked failed, 2 wrong usage.\n\
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
    /// Read attributes of a meter, or rows of a profile
    Read(ReadOptions),
    /// Write an attribute of a meter
    Write(WriteOptions),
    /// Invoke a method of a meter
    Invoke(InvokeOptions),
    /// List all objects of a meter with classes and rights
    Objects(ObjectsOptions),
    /// Make key files and check them
    Keys(KeysOptions),
    /// Make and check signed firmware images
    Image(ImageOptions),
    /// Serve virtual meters
    Meter(MeterOptions),
    /// Run a virtual meter of outlets, which calls the head end over SCTP
    OutletMeter(OutletMeterOptions),
    /// Ask a head end about outlet meters, and give them orders
    Outlets(OutletsOptions),
    /// Run the head end: collects meters, serves interface and API
    Headend(HeadendOptions),
    /// Run a concentrator: carries what head end and meters say to each other
    Concentrator(ConcentratorOptions),
    /// Run a home gateway: reads a meter, serves Green Button and a page
    Homegate(HomegateOptions),
    /// Run a SCION-IP gateway: carries the packets of other programs
    Sig(SigOptions),
    /// Start a head end, meters and two concentrators, to look at
    Demo(DemoOptions),
    /// Run a simulated network, with links to be cut
    Sim(SimOptions),
    /// Measure what is claimed, beside others on the same messages
    Experiment(ExperimentOptions),
    /// Print the default configuration, or check a file
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
    /// XML: a feed of Green Button, or fragments of RAVEn
    Xml,
    /// Telegrams of P1 and D0 ports
    P1,
    /// Files of SML
    Sml,
    /// Fragments of RAVEn and EMU-2
    Raven,
    /// One frame of the ZigBee cluster library
    Zcl,
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
a ciphered message is told by where its ciphered octets stand. A recording
that begins within a frame is read from the first whole one on, and the output
says what was passed over. With --key alone a message is decrypted but not verified, and the output says so.")]
pub(crate) struct DecodeOptions {
    /// The message: hexadecimal digits, @FILE (digits or octets), or - for
    /// standard input
    #[arg(value_name = "HEX|@FILE|-")]
    pub(crate) message: String,

    /// How the message is framed
    #[arg(long = "as", value_enum, default_value_t = As::Auto, hide_possible_values = true,
          value_name = "auto|hdlc|wrapper|mbus|apdu|axdr|xml|p1|sml|raven|zcl")]
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
        /// Have the SCION network derive a part of client 1's authentication
        /// key, anew each epoch: such meters are reached over scion:// only
        #[arg(long)]
        drkey: bool,
    },
    /// Give meters keys for a concentrator that collects on its own
    #[command(after_help = "\
Each meter of FILE gets fresh keys for the collector's client, which may read
and nothing else, where it has none yet; those alone are written to OUT, which is
what the concentrator is given.

Example:
  gridward keys collector meters.toml collector.toml")]
    Collector {
        /// The key file of the meters
        file: PathBuf,
        /// The file to make; one that is there already is left alone
        out: PathBuf,
        /// The collector's client SAP
        #[arg(long, value_name = "SAP", default_value_t = 3,
              value_parser = clap::value_parser!(u16).range(1..=0x7FFF))]
        client: u16,
    },
    /// Make keys and certificates of outlet meters and of their head end
    Outlets(PapersOptions),
    /// Check a file: its form, who may read it, and known weak keys
    #[command(after_help = "\
Example:
  gridward keys check meters.toml")]
    Check {
        /// The file
        file: PathBuf,
    },
}
