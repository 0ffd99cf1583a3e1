//! `gridward homegate`: the home gateway as a process.

mod setup;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use dlms::security::{AwsLc, Key, KeyRing, Keys as SecurityKeys, SecuritySuite};
use han::zcl::InstallCode;
use homegate::credential::Made;
use homegate::push_memory::PushMemory;
use homegate::{HomeGate, Options, credential};
use link::{Clock, PushCounters, Source, SourceSettings, SourceUrl, SystemClock};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Ink, Output, Style};
use crate::secret::Secret;
use crate::{Outcome, config, counters, role};

#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gridward homegate setup
  gridward homegate --source p1:///dev/serial/by-id/usb-FTDI_P1-if00-port0
  gridward homegate --source dlms+tcp://192.0.2.9:2001 --listen 0.0.0.0:8443

It reads a meter and never writes to it. The first start makes a certificate
and a password, and prints the certificate's fingerprint and, once, the
password. The page is at the address that is printed; Green Button is under
/espi/1_1/resource/, figures for Prometheus under /metrics. SIGTERM stops
cleanly."
)]
pub(crate) struct HomegateOptions {
    #[command(subcommand)]
    command: Option<HomegateCommand>,

    /// Configuration file, with a section [homegate]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where the meter is: ezsp, raven, p1, dlms or sml, then ://DEVICE, or
    /// +tcp://HOST:PORT for a serial server
    #[arg(long, value_name = "URL")]
    source: Option<String>,

    /// Address of the page and all interfaces [default: as configured,
    /// 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Data folder [default: homegate in the state folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

#[derive(Debug, Subcommand)]
enum HomegateCommand {
    /// Find the meter's port, choose a password, write the configuration
    Setup(setup::SetupOptions),
    /// Make a token for a third party that may read Green Button
    #[command(after_help = "\
Example:
  gridward homegate token energy-adviser >> third-parties.toml

The table goes to standard output, the token itself to standard error, once.
Name the file in the configuration: homegate.third_parties.")]
    Token {
        /// The third party's name
        name: String,
        /// Show it history too
        #[arg(long)]
        history: bool,
    },
}

pub(crate) fn run(options: &HomegateOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        Some(HomegateCommand::Setup(options)) => return setup::run(options, output),
        Some(HomegateCommand::Token { name, history }) => return token(name, *history, output),
        None => {}
    }
    let mut config = match &options.config {
        Some(path) => config::load(path)?.homegate,
        None => homegate::Config::default(),
    };
    if let Some(listen) = options.listen {
        config.listen = listen;
    }
    let source = options.source.as_ref().or(config.source.as_ref());
    let source = source.cloned().ok_or_else(|| {
        Failure::usage("nothing says where the meter is")
            .hint("--source p1:///dev/ttyUSB0, or gridward homegate setup, which finds the port")
    })?;
    let (kind, url) = parse(&source)?;
    let data = folder(options.data.as_deref(), &config)?;
    let (keys, counters) = keys(&config, &data)?.unzip();
    let settings = SourceSettings {
        keys,
        install_code: install_code(&config)?,
        counters: counters.map(|counters| Box::new(counters) as Box<dyn PushCounters>),
    };
    role::block_on_one(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        role::give_back("reading of what was asked for");
        let started = HomeGate::start(Options {
            config,
            data: data.clone(),
            source: Source::start(url, settings, Arc::clone(&clock)),
            clock,
            kind: kind.clone(),
        });
        let (gateway, made) = started
            .await
            .map_err(|error| Failure::new(crate::failure::chain(&error)))?;
        role::give_back("start");
        let address = gateway.address();
        let url = format!("https://{}/", opened_at(address));
        let told = if output.json() {
            output.write_json(&json!({
                "url": url,
                "user": gateway.user(),
                "password": made.as_ref().map(|made| made.password.as_str()),
                "fingerprint": gateway.fingerprint(),
                "data": data.display().to_string(),
            }))
        } else {
            let style = output.style();
            let password = password(made.as_ref(), style);
            let trust = if data.join("ca.pem").exists() {
                format!("For browsers to trust it, install {url}ca.crt (docs/homegate.md)\n")
            } else {
                String::new()
            };
            output.write(&format!(
                "{} {}\n{password}Certificate, SHA-256:\n  {}\n{trust}Meter: {kind}\nData: {}\n\
                 Stop with Ctrl-C.\n",
                style.paint(Ink::Head, "Home gateway at"),
                style.paint(Ink::Value, &url),
                gateway.fingerprint(),
                data.display()
            ))
        };
        let told = told.and_then(|()| output.flush());
        drop(made);
        if told.is_ok() {
            role::stay_small();
            stop.wait().await;
        }
        gateway.stop().await;
        told
    })
}

/// Tells a password that was made.
fn password(made: Option<&Made>, style: Style) -> String {
    made.map_or_else(String::new, |made| {
        format!(
            "Sign in as {} with this password, which is not told again:\n  {}\n",
            made.user,
            style.paint(Ink::Value, &made.password)
        )
    })
}

/// Where others open what listens on all addresses: the address that this
/// machine has towards the rest of its network. Nothing is sent to find out.
fn opened_at(listening: SocketAddr) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let towards = |from: &str, to: &str| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Addresses kept for documentation (RFC 5737, RFC 3849): of nobody, and
    // behind the default route.
    let ip = towards("0.0.0.0", "192.0.2.1")
        .or_else(|| listening.is_ipv6().then(|| towards("::", "2001:db8::1"))?)
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, listening.port())
}

/// Takes a source's URL; its kind is what stands before the place.
fn parse(source: &str) -> Result<(String, SourceUrl), Failure> {
    let url = source
        .parse::<SourceUrl>()
        .map_err(|error| Failure::usage(format!("--source {source}: {error}")))?;
    let kind = source.split("://").next().unwrap_or_default();
    Ok((kind.to_owned(), url))
}

/// Where the gateway's data are.
fn folder(given: Option<&Path>, config: &homegate::Config) -> Result<PathBuf, Failure> {
    match given.or(config.data.as_deref()) {
        Some(data) => Ok(data.to_owned()),
        None => Ok(counters::default_folder()?.join("homegate")),
    }
}

/// The keys of a port that ciphers, and the counters that were used under them.
fn keys(
    config: &homegate::Config,
    data: &Path,
) -> Result<Option<(han::port::Keys, PushMemory)>, Failure> {
    let Some((keys, encryption)) = port_keys(config)? else {
        return Ok(None);
    };
    let counters = PushMemory::open(data, &encryption)
        .map_err(|error| Failure::new(crate::failure::chain(&error)))?;
    Ok(Some((keys, counters)))
}

/// The keys of a port that ciphers, and the one that it ciphers under.
fn port_keys(config: &homegate::Config) -> Result<Option<(han::port::Keys, Key)>, Failure> {
    let read = |path: &Option<PathBuf>, name: &str| {
        path.as_ref()
            .map(|path| Secret::from(format!("@{}", path.display())).key(name))
            .transpose()
    };
    let encryption = read(&config.key_file, "homegate.key_file")?;
    let authentication = read(&config.auth_key_file, "homegate.auth_key_file")?;
    let Some(encryption) = encryption else {
        return Ok(None);
    };
    let ring = KeyRing::new(
        &AwsLc,
        SecuritySuite::Suite0,
        &SecurityKeys {
            encryption: encryption.clone(),
            authentication,
            // Some ports cipher under the broadcast key: it is the one given.
            broadcast: Some(encryption.clone()),
            master: None,
            dedicated: None,
        },
    )
    .map_err(|error| Failure::new(format!("homegate.key_file: {error}")))?;
    let keys = han::port::Keys {
        ring,
        unauthenticated: config.unauthenticated,
    };
    Ok(Some((keys, encryption)))
}

/// The code under which a radio joins the meter's network.
fn install_code(config: &homegate::Config) -> Result<Option<InstallCode>, Failure> {
    const NAME: &str = "homegate.install_code_file";
    let Some(path) = &config.install_code_file else {
        return Ok(None);
    };
    let code = Secret::from(format!("@{}", path.display())).text(NAME)?;
    let code: Result<InstallCode, _> = code.trim().parse();
    code.map(Some)
        .map_err(|error| Failure::new(format!("{NAME}: {error}")))
}

fn token(name: &str, history: bool, output: &mut Output<'_, '_>) -> Outcome {
    let fits = (1..=64).contains(&name.len())
        && !name.contains([':', '"', '\\'])
        && !name.chars().any(char::is_control);
    if !fits {
        return Err(Failure::usage(
            "a third party's name has 1 to 64 characters, no colon and no quotes",
        ));
    }
    let (token, digest) = credential::third_party_token()
        .map_err(|error| Failure::new(crate::failure::chain(&error)))?;
    if output.json() {
        return output.write_json(&json!({
            "name": name,
            "token": token.as_str(),
            "token_sha256": digest,
            "history": history,
        }));
    }
    output.note(&format!(
        "The token of {name}, which is not told again; it is the password of user {name}:\n  {}",
        token.as_str()
    ));
    output.write(&format!(
        "[[third_party]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\nhistory = {history}\n"
    ))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.

    use std::net::SocketAddr;

    use super::opened_at;

    #[test]
    fn an_address_is_told_that_can_be_opened() {
        let one = SocketAddr::from(([192, 0, 2, 7], 8443));
        assert_eq!(opened_at(one), one);
        for all in ["0.0.0.0:8443", "[::]:8443"] {
            let told = opened_at(all.parse().unwrap());
            assert!(!told.ip().is_unspecified(), "{told}");
            assert_eq!(told.port(), 8443);
        }
    }
}
