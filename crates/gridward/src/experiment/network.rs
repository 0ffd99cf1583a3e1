//! Two network namespaces with two links between them, apart from the
//! machine's own networks. They go when this process does.

use std::fs;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::failure::Failure;

/// A network namespace, kept by a process that waits for the end of its input.
pub(super) struct Namespace {
    keeper: Child,
    _input: Option<ChildStdin>,
}

/// What a link does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// Kilobits a second in each direction.
    pub(super) rate: Option<u32>,
    /// Octets that wait before the rate, at most.
    pub(super) queue: u32,
    /// Per cent of packets lost on the way from the source to the sink, by
    /// chance.
    pub(super) loss: u32,
    /// Milliseconds each way. Takes a kernel that has netem.
    pub(super) delay: u32,
}

/// Two hosts with two links.
pub(super) struct Network {
    source: Namespace,
    sink: Namespace,
}

/// Other programs shall not be measured: in turns with each other, before what
/// is not in real time, where this machine lets us. And ten thousand sockets
/// may be open.
const START: &str = "ulimit -n \"$(ulimit -Hn)\"; chrt --rr 1 true 2>/dev/null && \
                     exec chrt --rr 1 \"$@\"; exec nice -n -15 \"$@\"";

/// A side of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Sink,
}

impl Side {
    /// Its address on a link.
    pub(super) fn address(self, link: u8) -> String {
        let host = match self {
            Self::Source => 1,
            Self::Sink => 2,
        };
        format!("10.77.{link}.{host}")
    }

    /// Its addresses on the first links.
    pub(super) fn addresses(self, links: u8) -> String {
        let all: Vec<String> = (1..=links).map(|link| self.address(link)).collect();
        all.join(",")
    }
}

impl Namespace {
    pub(super) fn new() -> Result<Self, Failure> {
        let ours = fs::read_link("/proc/self/ns/net").map_err(|_| refused("there is no /proc"))?;
        let mut keeper = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| refused(&format!("unshare: {error}")))?;
        let theirs = format!("/proc/{}/ns/net", keeper.id());
        loop {
            if !matches!(keeper.try_wait(), Ok(None)) {
                return Err(refused(
                    "the system does not let us make network namespaces",
                ));
            }
            if fs::read_link(&theirs).is_ok_and(|theirs| theirs != ours) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let input = keeper.stdin.take();
        let namespace = Self {
            keeper,
            _input: input,
        };
        namespace.run("ip link set lo up")?;
        Ok(namespace)
    }

    /// What `nsenter` takes to enter it.
    pub(super) fn net(&self) -> String {
        // Not `ip netns exec`: it mounts, which a folder as root directory
        // refuses.
        format!("--net=/proc/{}/ns/net", self.keeper.id())
    }

    /// The process that stands for it.
    pub(super) fn id(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs a command in it.
    pub(super) fn run(&self, command: &str) -> Result<String, Failure> {
        let done = Command::new("nsenter")
            .arg(self.net())
            .args(command.split(' '))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| refused(&format!("nsenter: {error}")))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.lines().next().unwrap_or("no word why");
        Err(refused(&format!("`{command}`: {said}")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.kill());
        drop(self.keeper.wait());
    }
}

fn refused(why: &str) -> Failure {
    Failure::new(format!("no network to experiment in: {why}"))
        .hint("run it as root, in a shell that may make network namespaces")
        .hint("it takes ip and tc (iproute2), iptables, unshare and nsenter (util-linux)")
}

impl Network {
    pub(super) fn new() -> Result<Self, Failure> {
        let (source, sink) = (Namespace::new()?, Namespace::new()?);
        for link in 1..=2 {
            source.run(&format!(
                "ip link add l{link} type veth peer name l{link} netns {}",
                sink.keeper.id()
            ))?;
            for (side, namespace) in [(Side::Source, &source), (Side::Sink, &sink)] {
                let address = side.address(link);
                namespace.run(&format!("ip address add {address}/24 dev l{link}"))?;
                // Packet by packet, as on a wire: else loss would take several at once.
                namespace.run(&format!("ip link set l{link} gso_max_segs 1 up"))?;
            }
        }
        // Each side knows the other's link address, so that the first message
        // does not wait for ARP.
        for link in 1..=2 {
            for side in [Side::Source, Side::Sink] {
                let host = if side == Side::Source { &source } else { &sink };
                let address = if side == Side::Source {
                    Side::Sink.address(link)
                } else {
                    Side::Source.address(link)
                };
                host.run(&format!("ping -c 1 -w 5 -q {address}"))
                    .or_else(|_| host.run(&format!("ip route get {address}")))?;
            }
        }
        Ok(Self { source, sink })
    }

    fn of(&self, side: Side) -> &Namespace {
        match side {
            Side::Source => &self.source,
            Side::Sink => &self.sink,
        }
    }

    pub(super) fn run(&self, side: Side, command: &str) -> Result<String, Failure> {
        self.of(side).run(command)
    }

    /// A command that runs on one side.
    pub(super) fn command(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(self.of(side).net())
            .args(["sh", "-c", START, "sh", program]);
        command
    }

    /// Gives both links a shape.
    pub(super) fn shape(&self, shape: Shape) -> Result<(), Failure> {
        for link in 1..=2 {
            for namespace in [&self.source, &self.sink] {
                let device = format!("dev l{link}");
                // There is nothing to delete at first.
                drop(namespace.run(&format!("tc qdisc del {device} root")));
                if let Some(rate) = shape.rate {
                    let queue = shape.queue;
                    namespace.run(&format!(
                        "tc qdisc add {device} root tbf rate {rate}kbit burst 3200 limit {queue}"
                    ))?;
                } else if shape.delay > 0 {
                    let delay = shape.delay;
                    namespace.run(&format!(
                        "tc qdisc add {device} root netem delay {delay}ms limit 10000"
                    ))?;
                }
            }
        }
        if shape.loss > 0 {
            let loss = shape.loss;
            self.sink.run(&format!(
                "iptables -A INPUT -m statistic --mode random --probability 0.0{loss} -j DROP"
            ))?;
        }
        Ok(())
    }

    /// Cuts a link: what is sent there is lost, and nobody is told.
    pub(super) fn cut(&self, link: u8) -> Result<(), Failure> {
        for namespace in [&self.source, &self.sink] {
            namespace.run(&format!("iptables -I INPUT -i l{link} -j DROP"))?;
        }
        Ok(())
    }

    pub(super) fn mend(&self, link: u8) -> Result<(), Failure> {
        for namespace in [&self.source, &self.sink] {
            namespace.run(&format!("iptables -D INPUT -i l{link} -j DROP"))?;
        }
        Ok(())
    }

    /// Has some of the packets from the source overtake the others: they take
    /// the second link, which is fast, to the same address.
    pub(super) fn overtake(&self, which: &str) -> Result<(), Failure> {
        let (to, over) = (Side::Sink.address(1), Side::Sink.address(2));
        let from = Side::Source.address(1);
        for command in [
            format!("ip route add {to}/32 via {over} dev l2 src {from} table 100"),
            "ip rule add fwmark 1 table 100".to_owned(),
            format!("iptables -t mangle -A OUTPUT {which} -j MARK --set-mark 1"),
        ] {
            self.source.run(&command)?;
        }
        // The first link is the slow one.
        drop(self.source.run("tc qdisc del dev l2 root"));
        Ok(())
    }
}
