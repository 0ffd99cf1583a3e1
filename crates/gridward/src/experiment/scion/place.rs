//! Where it is measured: two hosts in the leaves of a network, as namespaces
//! where the system allows them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sim::scion::{HEAD_END, METERS, Topology};

use super::super::network::Namespace;
use super::super::run::{Process, memory};
use super::FENCE;
use super::reference::net_json;
use crate::failure::Failure;

/// Hundredths of a second, in which the kernel tells processor time (`proc(5)`:
/// USER_HZ, 100 on Linux).
const TICK_MS: u32 = 10;

/// A host in a leaf.
pub(super) struct Host {
    /// What a command begins with that runs there.
    enter: Vec<String>,
    isd_as: String,
    pub(super) daemon: String,
    pub(super) address: String,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time since it began, in milliseconds.
    pub(super) cpu_ms: f64,
    /// Resident memory now, in megabytes of a million octets.
    pub(super) memory_mb: f64,
}

impl Usage {
    /// Both one after the other: the time of both, and the most memory.
    pub(super) const fn with(self, other: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms + other.cpu_ms,
            memory_mb: self.memory_mb.max(other.memory_mb),
        }
    }
}

/// Both hosts and what is between them.
pub(super) struct Place {
    program: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) meter: Host,
    pub(super) head: Host,
    /// The meter's address for plain IP.
    pub(super) plain: String,
    /// Whether a gateway of ours can be run here.
    pub(super) gateways: bool,
    /// The meter's address behind the reference implementation's gateway.
    pub(super) theirs: Option<String>,
    /// The processes of that gateway and of the meters' daemon, where they are
    /// known.
    pub(super) their_gateway: Option<u32>,
    their_daemon: Option<u32>,
    /// The folder of the reference implementation's network.
    reference: Option<PathBuf>,
    // In this order: the network ends before its namespaces.
    network: Option<Process>,
    _namespaces: Vec<Namespace>,
}

/// Networks behind the two gateways of ours.
const BEHIND: [&str; 2] = ["172.31.61.", "172.31.71."];

/// Ports of these gateways: others than those of the reference's, which may be
/// beside them.
const PORTS: [u16; 2] = [30_156, 30_956];

/// The port of a meter behind a gateway.
pub(super) const METER_PORT: u16 = 4_059;

impl Place {
    pub(super) fn new(
        program: PathBuf,
        folder: PathBuf,
        network: Option<&Path>,
        said: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        match network {
            Some(network) => Self::reference(program, folder, network, said),
            None => Self::simulated(program, folder, said),
        }
    }

    fn simulated(
        program: PathBuf,
        folder: PathBuf,
        said: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let namespaces = namespaces();
        let (meters, head_end) = (METERS.to_string(), HEAD_END.to_string());
        let (enter, hosts, plain, namespaces) = match namespaces {
            Ok((all, [net, meter, head])) => {
                let hosts = [
                    (meter, "10.78.11.1", "10.78.11.254"),
                    (head, "10.78.21.1", "10.78.21.254"),
                ];
                (net, hosts, "10.78.99.11", all)
            }
            Err(why) => {
                said.push(format!(
                    "our gateway is not measured, which takes root: {}",
                    why.sentence()
                ));
                let here = (Vec::new(), "127.0.0.1", "127.0.0.1");
                (Vec::new(), [here.clone(), here], "127.0.0.1", Vec::new())
            }
        };
        let gateways = !namespaces.is_empty() && Path::new("/dev/net/tun").exists();
        if !namespaces.is_empty() && !gateways {
            said.push("our gateway is not measured: there is no /dev/net/tun".to_owned());
        }
        let [meter, head] = hosts;
        let mut command = within(&enter, &program);
        command.args(["sim", "scion", "--no-delays", "--json", "--stop-at-eof"]);
        for isd_as in Topology::six().ases() {
            let router = if isd_as == METERS { meter.2 } else { head.2 };
            command.args(["--at", &format!("{isd_as}={router}:0")]);
        }
        let mut network = Process::spawn(command, "gridward sim scion")?;
        let told = object(&network.until("{")?)?;
        let daemon = |isd_as: &str| text(at(at(&told, "daemons"), isd_as));
        let host = |(enter, address, _): (Vec<String>, &str, &str), isd_as: String| {
            Ok::<_, Failure>(Host {
                enter,
                daemon: daemon(&isd_as)?,
                isd_as,
                address: address.to_owned(),
            })
        };
        Ok(Self {
            meter: host(meter, meters)?,
            head: host(head, head_end)?,
            program,
            folder,
            plain: plain.to_owned(),
            gateways,
            theirs: None,
            their_gateway: None,
            their_daemon: None,
            reference: None,
            network: Some(network),
            _namespaces: namespaces,
        })
    }

    fn reference(
        program: PathBuf,
        folder: PathBuf,
        network: &Path,
        said: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let told = net_json(network)?;
        let host = |isd_as: String| {
            let it = at(at(&told, "ases"), &isd_as);
            let enter = at(it, "namespace")
                .as_str()
                .map(|name| vec!["nsenter".to_owned(), format!("--net=/run/netns/{name}")]);
            Ok::<_, Failure>(Host {
                enter: enter.unwrap_or_default(),
                daemon: text(at(it, "daemon"))?,
                address: text(at(it, "application"))?,
                isd_as,
            })
        };
        let meter = host(METERS.to_string())?;
        let behind = at(at(at(&told, "ases"), &meter.isd_as), "behind_gateway");
        // The leaf's own address behind the gateway is the first one.
        let theirs = behind.as_str().and_then(|prefix| {
            let (network, _) = prefix.split_once(".0/")?;
            Some(format!("{network}.1"))
        });
        if theirs.is_none() {
            said.push(
                "no gateway is measured: the network has no namespaces (interop/scion/net up \
                 FOLDER --namespaces, as root)"
                    .to_owned(),
            );
        }
        // The first word of the file is the process; those that have ended have
        // no figures.
        let number = meter.isd_as.rsplit(':').next().unwrap_or_default();
        let process = |name: &str| -> Option<u32> {
            let file = network.join(format!("run/{name}-{number}.pid"));
            let text = std::fs::read_to_string(file).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        let (their_gateway, their_daemon) = (process("sig"), process("sd"));
        Ok(Self {
            their_gateway,
            their_daemon,
            head: host(HEAD_END.to_string())?,
            plain: meter.address.clone(),
            meter,
            program,
            folder,
            gateways: theirs.is_some() && Path::new("/dev/net/tun").exists(),
            theirs,
            reference: Some(network.to_owned()),
            network: None,
            _namespaces: Vec::new(),
        })
    }

    pub(super) const fn is_simulated(&self) -> bool {
        self.reference.is_none()
    }

    /// What the files are called.
    pub(super) const fn family(&self) -> &'static str {
        if self.reference.is_some() {
            "scion-reference"
        } else {
            "scion"
        }
    }

    /// What was measured on, in words.
    pub(super) fn about(&self) -> String {
        let words = match (self.reference.is_some(), self.gateways) {
            (true, _) => " On the reference implementation's network",
            (false, true) => " On the simulated network, in namespaces",
            (false, false) => " On the simulated network",
        };
        match self.their_daemon {
            Some(daemon) => format!(
                "{words}; the daemon of the meters' AS, which native and gateway need alike, has \
                 {:.1} MB.",
                usage_of(daemon).memory_mb
            ),
            None => format!("{words}."),
        }
    }

    /// Starts a role of this program at a host; gives it and what it tells
    /// first.
    pub(super) fn start(
        &self,
        host: &Host,
        arguments: &[&str],
    ) -> Result<(Process, Value), Failure> {
        let mut command = within(&host.enter, &self.program);
        command.args(arguments).args(["--json", "--stop-at-eof"]);
        let name = format!("gridward {}", arguments.first().unwrap_or(&""));
        let mut process = Process::spawn(command, &name)?;
        let told = object(&process.until("{")?)?;
        Ok((process, told))
    }

    /// Reads a meter from the head end's host; gives what the reader tells.
    pub(super) fn read(
        &self,
        url: &str,
        keys: &Path,
        readings: u32,
        apart_ms: u64,
    ) -> Result<Value, Failure> {
        let mut command = within(&self.head.enter, &self.program);
        command.args(["experiment", "reader", url, "--json"]);
        command.args(["--readings", &readings.to_string()]);
        command.args(["--apart", &apart_ms.to_string()]);
        command.arg("--keys").arg(keys);
        command.arg("--state").arg(self.folder.join("state"));
        command.env_remove("SCION_DAEMON");
        if url.starts_with("scion://") {
            command.args(["--scion-daemon", &self.head.daemon, "--fence", FENCE]);
        }
        // Each reading may have to wait for a path, some seconds.
        let limit = Duration::from_secs(120) + Duration::from_millis(apart_ms + 100) * readings;
        answer(command, "reader", limit, "latencies_us")
    }

    /// Reads a meter from the head end's host while routers are stopped, each
    /// so many times and so many in all; gives what the reader tells.
    pub(super) fn walk(
        &self,
        url: &str,
        (cuts, stops): (u32, u32),
        readings: u32,
        urgent: bool,
    ) -> Result<Value, Failure> {
        let mut command = within(&self.head.enter, &self.program);
        let url = format!("{url}?daemon={}&fence={FENCE}", self.head.daemon);
        command.args(["experiment", "walker", &url, "--json"]);
        command.args(&self.reference);
        command.args(["--cuts", &cuts.to_string(), "--stops", &stops.to_string()]);
        command.args(["--readings", &readings.to_string()]);
        command.args(urgent.then_some("--urgent"));
        // A router takes seconds to be back, more on a busy machine.
        let each = Duration::from_secs(60) + Duration::from_millis(50) * readings;
        answer(
            command,
            "walker",
            Duration::from_secs(120) + each * stops,
            "routers",
        )
    }

    /// Starts a gateway of ours at both hosts.
    pub(super) fn gateways(&self) -> Result<Vec<Process>, Failure> {
        let [frames, probes] = PORTS;
        let mut all = Vec::new();
        let sides = [(&self.meter, &self.head, BEHIND), {
            let [one, other] = BEHIND;
            (&self.head, &self.meter, [other, one])
        }];
        for (number, (own, other, [behind, there])) in sides.into_iter().enumerate() {
            let uses = if number == 0 { "offers" } else { "uses" };
            let config = format!(
                "[sig]\nlisten = \"scion://[{},{}]:{frames}\"\ndaemon = \"{}\"\n\
                 probe_port = {probes}\ninterface = \"gridward7\"\naddress = \"{behind}1\"\n\
                 prefixes = [\"{behind}0/24\"]\n[[sig.peer]]\nname = \"other\"\n\
                 gateway = \"scion://[{},{}]:{frames}?fence={FENCE}\"\n\
                 prefixes = [\"{there}0/24\"]\nprobe_port = {probes}\n\
                 {uses} = [\"tcp:{METER_PORT}\"]\n",
                own.isd_as, own.address, own.daemon, other.isd_as, other.address
            );
            let file = self.folder.join(format!("sig-{number}.toml"));
            super::put(&file, &config)?;
            let file = file.to_string_lossy().into_owned();
            all.push(self.start(own, &["sig", "--config", &file])?.0);
        }
        Ok(all)
    }

    /// Ends the network; tells what came to its links, where they count.
    pub(super) fn at_last(&mut self) -> Option<Value> {
        let network = self.network.as_mut()?;
        network.stop();
        object(&network.until("{").ok()?).ok()
    }

    /// Where a meter listens natively.
    pub(super) fn meter_url(&self) -> String {
        format!("scion://[{},{}]:0", self.meter.isd_as, self.meter.address)
    }
}

/// The meter's address behind our gateway.
pub(super) fn behind() -> String {
    let [meter, _] = BEHIND;
    format!("{meter}1")
}

/// A field of what a program told; null where it is not there.
pub(super) fn at<'v>(value: &'v Value, field: &str) -> &'v Value {
    value.get(field).unwrap_or(&Value::Null)
}

/// What a process used so far.
pub(super) fn usage(process: &Process) -> Usage {
    usage_of(process.pid())
}

/// The same of a process that is not ours.
pub(super) fn usage_of(process: u32) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    let stat = stat.unwrap_or_default();
    // Behind the name, which may have blanks: utime and stime are the twelfth
    // and the thirteenth.
    let ticks = stat.rsplit_once(')').map_or(0, |(_, rest)| {
        let fields = rest.split_whitespace().skip(11).take(2);
        fields.filter_map(|field| field.parse::<u32>().ok()).sum()
    });
    let kilo = memory(process).and_then(|kilo| u32::try_from(kilo).ok());
    Usage {
        cpu_ms: f64::from(ticks) * f64::from(TICK_MS),
        memory_mb: f64::from(kilo.unwrap_or(0)) * 1_024.0 / 1e6,
    }
}

fn within(enter: &[String], program: &Path) -> Command {
    let mut command = match enter.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env_remove("SCION_DAEMON");
    command
}

/// Runs a client of the experiment; gives what it tells, which has this list.
fn answer(command: Command, name: &str, limit: Duration, list: &str) -> Result<Value, Failure> {
    let mut process = Process::spawn(command, &format!("gridward experiment {name}"))?;
    let line = process.line(limit)?;
    let line = line.ok_or_else(|| process.failed("ended before its time."))?;
    let told = object(&line)?;
    match at(&told, list).is_array() {
        true => Ok(told),
        false => Err(Failure::new(format!("the readings failed: {line}"))),
    }
}

fn object(line: &str) -> Result<Value, Failure> {
    serde_json::from_str(line).map_err(|error| Failure::new(format!("{error}: {line}")))
}

fn text(value: &Value) -> Result<String, Failure> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new("the network does not tell where its daemons are"))
}

/// How to enter the network's namespace, the meter's and the head end's.
type Enter = [Vec<String>; 3];

/// Makes them, with links from the network to both, and one between these for
/// plain IP.
fn namespaces() -> Result<(Vec<Namespace>, Enter), Failure> {
    let (net, meter, head) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
    let link = |one: &Namespace, near: &str, name: &str, other: &Namespace, far: &str| {
        one.run(&format!(
            "ip link add {name} type veth peer name {name} netns {}",
            other.id()
        ))?;
        for (side, address) in [(one, near), (other, far)] {
            side.run(&format!("ip address add {address}/24 dev {name}"))?;
            side.run(&format!("ip link set {name} up"))?;
        }
        Ok::<_, Failure>(())
    };
    link(&net, "10.78.11.254", "meters", &meter, "10.78.11.1")?;
    link(&net, "10.78.21.254", "head", &head, "10.78.21.1")?;
    link(&meter, "10.78.99.11", "plain", &head, "10.78.99.21")?;
    let enter = [&net, &meter, &head].map(|one| vec!["nsenter".to_owned(), one.net()]);
    Ok((vec![net, meter, head], enter))
}
