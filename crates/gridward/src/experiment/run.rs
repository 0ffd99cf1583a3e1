//! The processes of one run: who takes, who sends, and what they told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use model::MessageClass;

use super::network::{Network, Side};
use super::peer::wall;
use super::trace::{Arrival, Trace};
use crate::failure::Failure;

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stack {
    /// This program's SCTP.
    Ours,
    /// One TCP connection as a socket comes, first come, first served.
    Tcp,
    /// One TCP connection without Nagle's algorithm, most urgent first, and
    /// little handed in ahead.
    Careful,
    Usrsctp,
    /// The Linux kernel's SCTP.
    Kernel,
}

impl Stack {
    pub(super) const ALL: [Self; 5] = [
        Self::Ours,
        Self::Tcp,
        Self::Careful,
        Self::Usrsctp,
        Self::Kernel,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "Gridward SCTP",
            Self::Tcp => "TCP, plain",
            Self::Careful => "TCP, careful",
            Self::Usrsctp => "usrsctp",
            Self::Kernel => "Linux SCTP",
        }
    }
}

/// How long a process may take to tell the next thing, and to end, in seconds.
pub(super) const PATIENCE: u64 = 180;

/// Lines of a process that wait to be read.
const LINES_MAX: usize = 4_096;

/// How far the time of day may run from the monotonic clock within a run.
const DRIFT_MAX: u64 = 2_000;

/// UDP ports of the two sides.
const PORTS: (u16, u16) = (9_900, 9_901);

/// What runs the experiments.
pub(super) struct Runner {
    pub(super) program: PathBuf,
    pub(super) usrsctp: Option<PathBuf>,
    pub(super) kernel: Option<PathBuf>,
    pub(super) folder: PathBuf,
    /// How long a side may take to tell the next thing.
    pub(super) patience: Duration,
}

/// What one run gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    /// Messages sent.
    pub(super) sent: usize,
    /// In the order in which they arrived.
    pub(super) arrivals: Vec<Arrival>,
    /// What the sender counted.
    pub(super) counters: BTreeMap<String, u64>,
}

/// A process, with its lines.
pub(super) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    name: String,
    patience: Duration,
}

impl Process {
    pub(super) fn spawn(mut command: Command, name: &str) -> Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("{name} does not start: {error}")))?;
        let (sender, lines) = sync_channel(LINES_MAX);
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let input = child.stdin.take();
        Ok(Self {
            child,
            input,
            lines,
            name: name.to_owned(),
            patience: Duration::from_secs(PATIENCE),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes its input, which tells it to stop.
    pub(super) fn stop(&mut self) {
        drop(self.input.take());
    }

    /// Why it failed, with what it said last.
    pub(super) fn failed(&mut self, why: &str) -> Failure {
        drop(self.child.kill());
        let mut said = String::new();
        if let Some(error) = self.child.stderr.take() {
            drop(error.take(2_000).read_to_string(&mut said));
        }
        let said = said.trim();
        let said = if said.is_empty() { "" } else { said };
        Failure::new(format!("{} {why} {said}", self.name).trim().to_owned())
    }

    /// The next line; `None` at the end.
    pub(super) fn line(&mut self, limit: Duration) -> Result<Option<String>, Failure> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = limit.as_secs();
                Err(self.failed(&format!("gave no answer for {seconds} s.")))
            }
        }
    }

    /// The next line that begins so.
    pub(super) fn until(&mut self, beginning: &str) -> Result<String, Failure> {
        while let Some(line) = self.line(self.patience)? {
            if line.starts_with(beginning) {
                return Ok(line);
            }
        }
        Err(self.failed("ended before its time."))
    }

    /// The last line so far that begins so; those that were told and not read
    /// are gone then.
    pub(super) fn heard(&self, beginning: &str) -> Option<String> {
        let heard = self.lines.try_iter();
        heard.filter(|line| line.starts_with(beginning)).last()
    }

    /// Kibibytes of memory that it has now.
    pub(super) fn memory(&self) -> Option<u64> {
        memory(self.pid())
    }
}

/// Kibibytes of memory that a process has now.
pub(super) fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where the two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// On the first links of the network.
    Links(u8),
    /// Both on the loopback of one namespace.
    Loopback,
}

impl Way {
    fn addresses(self, side: Side) -> String {
        match self {
            Self::Links(links) => side.addresses(links),
            Self::Loopback => "127.0.0.1".to_owned(),
        }
    }

    pub(super) const fn side(self, side: Side) -> Side {
        match self {
            Self::Links(_) => side,
            Self::Loopback => Side::Source,
        }
    }
}

impl Runner {
    /// The transports that there are here.
    pub(super) fn stacks(&self) -> impl Iterator<Item = Stack> {
        Stack::ALL.into_iter().filter(|stack| {
            !matches!(stack, Stack::Usrsctp | Stack::Kernel) || self.external(*stack).is_some()
        })
    }

    fn external(&self, stack: Stack) -> Option<&Path> {
        match stack {
            Stack::Usrsctp => self.usrsctp.as_deref(),
            Stack::Kernel => self.kernel.as_deref(),
            _ => None,
        }
    }

    /// A process of one side: `what` is `record`, `play` and so on, `rest`
    /// what comes after the addresses.
    pub(super) fn process(
        &self,
        network: &Network,
        stack: Stack,
        way: Way,
        what: &str,
        rest: &[&str],
    ) -> Result<Process, Failure> {
        self.process_with(network, stack, way, what, rest, "")
    }

    pub(super) fn process_with(
        &self,
        network: &Network,
        stack: Stack,
        way: Way,
        what: &str,
        rest: &[&str],
        query: &str,
    ) -> Result<Process, Failure> {
        let listens = matches!(what, "record" | "keep");
        let side = if listens { Side::Sink } else { Side::Source };
        let (ours, theirs) = (way.addresses(Side::Source), way.addresses(Side::Sink));
        let (source_port, sink_port) = (PORTS.0.to_string(), PORTS.1.to_string());
        let mut words: Vec<String> = Vec::new();
        let program = match self.external(stack) {
            Some(program) => {
                words.push(what.to_owned());
                if listens {
                    words.extend([theirs, sink_port, source_port]);
                } else {
                    words.extend([ours, source_port, theirs, sink_port]);
                }
                program
            }
            None => {
                let url = match stack {
                    Stack::Tcp | Stack::Careful => {
                        let host = theirs.split(',').next().unwrap_or_default();
                        format!("tcp://{host}:4059")
                    }
                    _ => {
                        let scheme = if query.is_empty() { "sctp" } else { "sctps" };
                        let local = if listens {
                            String::new()
                        } else {
                            format!("&local={ours}")
                        };
                        let pace = "pace=fast&heartbeat=1";
                        format!("{scheme}://{theirs}:4059?udp={sink_port}{local}&{pace}{query}")
                    }
                };
                words.extend(["experiment", "peer", what].map(str::to_owned));
                words.push(url);
                self.program.as_path()
            }
        };
        words.extend(rest.iter().map(|word| (*word).to_owned()));
        if stack == Stack::Careful && what == "play" {
            words.push("--careful".to_owned());
        }
        let mut command = network.command(way.side(side), &program.to_string_lossy());
        command.args(words);
        let mut process = Process::spawn(command, &format!("{} ({what})", stack.name()))?;
        process.patience = self.patience;
        Ok(process)
    }

    /// Sends a trace; `meanwhile` is done once it has begun.
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of day is held against the monotonic clock"
    )]
    pub(super) fn play(
        &self,
        network: &Network,
        stack: Stack,
        way: Way,
        trace: &Trace,
        meanwhile: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Played, Failure> {
        let path = self.folder.join("trace.csv");
        std::fs::write(&path, trace.to_csv())
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        // Little handed in ahead (TCP_NOTSENT_LOWAT), for all sockets of the
        // namespace.
        let ahead = if stack == Stack::Careful {
            "4096"
        } else {
            "4294967295"
        };
        network.run(
            way.side(Side::Source),
            &format!("sysctl -qw net.ipv4.tcp_notsent_lowat={ahead}"),
        )?;
        let again = segments_sent_again(network, way);
        let (monotonic, day) = (Instant::now(), wall());
        let mut sink = self.process(network, stack, way, "record", &[])?;
        sink.until("ready")?;
        let mut source = self.process(network, stack, way, "play", &[&path.to_string_lossy()])?;
        source.until("started")?;
        meanwhile()?;
        let counters = source.until("counters")?;
        let mut played = Played {
            sent: trace.0.len(),
            ..Played::default()
        };
        for (name, value) in counters.split(' ').filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or_default();
            played.counters.insert(name.to_owned(), value);
        }
        if matches!(stack, Stack::Tcp | Stack::Careful)
            && let (Some(before), Some(after)) = (again, segments_sent_again(network, way))
        {
            played
                .counters
                .insert("retransmitted".to_owned(), after.saturating_sub(before));
        }
        // It ends with the association; where it does not, it is told to.
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = sink.lines.recv_timeout(left.max(Duration::from_millis(1))) else {
                if sink.input.is_none() {
                    return Err(sink.failed("does not end."));
                }
                sink.stop();
                continue;
            };
            if line == "end" {
                break;
            }
            played.arrivals.extend(Arrival::from_line(&line));
        }
        let passed = u64::try_from(monotonic.elapsed().as_micros()).unwrap_or(u64::MAX);
        if wall().saturating_sub(day).abs_diff(passed) > DRIFT_MAX {
            return Err(Failure::new("the time of day was changed while this ran"));
        }
        Ok(played)
    }
}

/// TCP segments that were sent again in a namespace so far.
fn segments_sent_again(network: &Network, way: Way) -> Option<u64> {
    let told = network
        .run(way.side(Side::Source), "cat /proc/net/snmp")
        .ok()?;
    let mut lines = told.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split(' ').position(|name| name == "RetransSegs")?;
    values.split(' ').nth(place)?.parse().ok()
}

impl Played {
    /// Messages that did not arrive, and those that arrived twice or behind a
    /// later one of their class.
    pub(super) fn faults(&self) -> (usize, usize) {
        let mut numbers: Vec<u32> = self.arrivals.iter().map(|one| one.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let lost = self.sent.saturating_sub(numbers.len());
        let mut last = [None; MessageClass::ALL.len()];
        let mut wrong = 0;
        for arrival in &self.arrivals {
            if let Some(last) = last.get_mut(usize::from(arrival.class.priority())) {
                wrong += usize::from(*last >= Some(arrival.number));
                *last = (*last).max(Some(arrival.number));
            }
        }
        (lost, wrong)
    }

    /// What was sent once more, for whatever reason.
    pub(super) fn sent_again(&self) -> Option<u64> {
        let probes = self.counter("probes").unwrap_or_default();
        Some(self.counter("retransmitted")? + probes)
    }

    pub(super) fn counter(&self, name: &str) -> Option<u64> {
        self.counters.get(name).copied()
    }
}
