//! One side of an experiment, a process of its own in its network: what sends
//! the trace, what takes it, and what floods.
//!
//! The time of day stands in each message, since it is the one clock that
//! programs of others share with ours on a machine.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use link::{Clock, Endpoint, LinkError, PPID_XML, SctpAssociation, SctpDialer, SctpSocket};
use link::{SctpStatus, SystemClock};
use model::MessageClass;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::flood;
use super::trace::{Arrival, HEADER_LEN, Trace};
use crate::Outcome;
use crate::failure::{Failure, chain};
use crate::output::Output;
use crate::role::{self, Stop};

/// What a side does.
#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// Takes one association's messages and tells them
    Record {
        /// Where it listens
        url: String,
    },
    /// Sends a trace
    Play {
        /// Whom to
        url: String,
        /// The trace's file
        trace: String,
        /// Over TCP, the most urgent first, as late as possible
        #[arg(long)]
        careful: bool,
    },
    /// Takes associations and keeps them
    Keep {
        /// Where it listens
        url: String,
    },
    /// Makes associations and keeps them
    Hold {
        /// Whom with
        url: String,
        /// How many
        count: usize,
    },
    /// Tells how long an association takes to make
    Dial {
        /// Whom with
        url: String,
    },
    /// Sends first packets from addresses that are nobody's
    Flood {
        /// tcp or sctp
        protocol: flood::Protocol,
        /// The address and port that it goes to
        target: std::net::SocketAddrV4,
        /// Packets a second
        rate: u32,
        /// How long
        seconds: u32,
    },
}

/// How long paths get to be confirmed by heartbeats before the trace begins.
const SETTLE: Duration = Duration::from_millis(800);

/// Associations that one side keeps, at most.
const KEPT_MAX: usize = 50_000;

/// Microseconds of the time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "sender and receiver are processes, some of them not ours: this clock they share"
)]
pub(super) fn wall() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn failed(error: &LinkError) -> Failure {
    Failure::new(chain(error))
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(error.to_string())
}

fn parse(url: &str) -> Result<Endpoint, Failure> {
    url.parse()
        .map_err(|error| Failure::usage(format!("{url}: {error}")))
}

/// Tells the process that asked.
fn tell(output: &mut Output<'_, '_>, line: &str) -> Outcome {
    output.write(&format!("{line}\n"))?;
    output.flush()
}

pub(crate) fn run(command: &PeerCommand, output: &mut Output<'_, '_>) -> Outcome {
    role::block_on_one(async {
        let stop = role::stopped(true)?;
        match command {
            PeerCommand::Record { url } => match parse(url)? {
                Endpoint::Tcp(at) => record_tcp(&format!("{}:{}", at.host, at.port), output).await,
                endpoint => record(&endpoint, &stop, output).await,
            },
            PeerCommand::Play {
                url,
                trace,
                careful,
            } => {
                let text = std::fs::read_to_string(trace)
                    .map_err(|error| Failure::new(format!("{trace}: {error}")))?;
                let trace = Trace::from_csv(&text)?;
                match parse(url)? {
                    Endpoint::Tcp(at) => {
                        let to = format!("{}:{}", at.host, at.port);
                        play_tcp(&to, &trace, *careful, output).await
                    }
                    endpoint => play(&endpoint, &trace, output).await,
                }
            }
            PeerCommand::Keep { url } => keep(&parse(url)?, &stop, output).await,
            PeerCommand::Hold { url, count } => hold(&parse(url)?, *count, &stop, output).await,
            PeerCommand::Dial { url } => dial(&parse(url)?, output).await,
            PeerCommand::Flood {
                protocol,
                target,
                rate,
                seconds,
            } => {
                let told = flood::run(*protocol, *target, *rate, *seconds)?;
                tell(output, &told)
            }
        }
    })
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

async fn listen(endpoint: &Endpoint, output: &mut Output<'_, '_>) -> Result<SctpSocket, Failure> {
    let socket = SctpSocket::listen(endpoint, KEPT_MAX, &clock())
        .await
        .map_err(|error| failed(&error))?;
    tell(output, "ready")?;
    Ok(socket)
}

async fn record(endpoint: &Endpoint, stop: &Stop, output: &mut Output<'_, '_>) -> Outcome {
    let socket = listen(endpoint, output).await?;
    let mut arrivals = Vec::new();
    let take = async {
        let mut association = socket.accept().await?;
        association.secure().await?;
        loop {
            let message = association.receive().await?;
            arrivals.extend(Arrival::of(&message.payload, wall()));
        }
        #[expect(unreachable_code, reason = "it ends with the association's end")]
        Ok::<(), LinkError>(())
    };
    tokio::select! {
        // The end of the association is the end of the trace.
        _ = take => {}
        () = stop.wait() => {}
    }
    tell_arrivals(&arrivals, output)
}

fn tell_arrivals(arrivals: &[Arrival], output: &mut Output<'_, '_>) -> Outcome {
    let mut text: String = arrivals.iter().map(|arrival| arrival.to_line()).collect();
    text.push_str("end\n");
    output.write(&text)?;
    output.flush()
}

/// Messages that are due, by class, for who sends them itself.
struct Due<'t> {
    trace: &'t Trace,
    start: u64,
    next: usize,
    queues: [VecDeque<Bytes>; MessageClass::ALL.len()],
    /// One queue for all classes.
    plain: bool,
}

impl<'t> Due<'t> {
    fn new(trace: &'t Trace, start: u64, plain: bool) -> Self {
        Self {
            trace,
            start,
            next: 0,
            queues: Default::default(),
            plain,
        }
    }

    /// Takes what is due into the queues.
    fn advance(&mut self) {
        let now = wall();
        while let Some(entry) = self.trace.0.get(self.next)
            && self.start + entry.due <= now
            && let Some(message) = self.trace.message(self.next, self.start)
        {
            let place = if self.plain {
                0
            } else {
                usize::from(entry.class.priority())
            };
            if let Some(queue) = self.queues.get_mut(place) {
                queue.push_back(message.into());
            }
            self.next += 1;
        }
    }

    fn is_over(&self) -> bool {
        self.next >= self.trace.0.len() && self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    /// How long until the next message is due.
    fn wait(&self) -> Duration {
        self.trace.0.get(self.next).map_or(Duration::MAX, |entry| {
            Duration::from_micros((self.start + entry.due).saturating_sub(wall()))
        })
    }
}

async fn play(endpoint: &Endpoint, trace: &Trace, output: &mut Output<'_, '_>) -> Outcome {
    let mut association = SctpDialer::default()
        .connect(endpoint, &clock())
        .await
        .map_err(|error| failed(&error))?;
    tokio::time::sleep(SETTLE).await;
    tell(output, "started")?;
    let mut due = Due::new(trace, wall(), false);
    loop {
        due.advance();
        let mut full = false;
        for (class, queue) in MessageClass::ALL.into_iter().zip(&mut due.queues) {
            while let Some(message) = queue.front() {
                match association.send(class, PPID_XML, message.clone()) {
                    Ok(()) => drop(queue.pop_front()),
                    Err(LinkError::Full(_)) => {
                        full = true;
                        break;
                    }
                    Err(error) => return Err(failed(&error)),
                }
            }
        }
        if due.is_over() {
            break;
        }
        let wait = tokio::time::sleep(due.wait());
        if full {
            tokio::select! {
                room = association.room() => room.map_err(|error| failed(&error))?,
                () = wait => {}
            }
        } else {
            wait.await;
        }
    }
    let status = close(&mut association).await?;
    let counters = status.counters;
    tell(
        output,
        &format!(
            "counters retransmitted={} fast={} timeouts={} probes={} failovers={}",
            counters.chunks_retransmitted,
            counters.fast_retransmits,
            counters.timeouts,
            counters.tail_loss_probes,
            counters.failovers
        ),
    )
}

/// Closes it, and tells what it was like last.
async fn close(association: &mut SctpAssociation) -> Result<SctpStatus, Failure> {
    let mut last = association.status();
    loop {
        tokio::select! {
            closed = association.close() => {
                // Where it is over already, there is nothing to close.
                drop(closed);
                return Ok(last);
            }
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        let status = association.status();
        if status.counters.packets_sent > 0 {
            last = status;
        }
    }
}

async fn record_tcp(at: &str, output: &mut Output<'_, '_>) -> Outcome {
    let listener = TcpListener::bind(at).await.map_err(|e| broken(&e))?;
    tell(output, "ready")?;
    let (stream, _) = listener.accept().await.map_err(|error| broken(&error))?;
    stream.set_nodelay(true).map_err(|error| broken(&error))?;
    let mut stream = tokio::io::BufReader::with_capacity(65_536, stream);
    let mut arrivals = Vec::new();
    let mut message = Vec::new();
    // It ends with the connection.
    while let Ok(length) = stream.read_u32().await {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(HEADER_LEN..=link::MESSAGE_LEN_MAX).contains(&length) {
            return Err(Failure::new("no message of ours"));
        }
        message.resize(length, 0);
        if stream.read_exact(&mut message).await.is_err() {
            break;
        }
        arrivals.extend(Arrival::of(&message, wall()));
    }
    // The other side waits for that, and whoever reads what is told, for it.
    drop(stream);
    tell_arrivals(&arrivals, output)
}

async fn play_tcp(to: &str, trace: &Trace, careful: bool, output: &mut Output<'_, '_>) -> Outcome {
    let mut stream = TcpStream::connect(to).await.map_err(|e| broken(&e))?;
    // The plain one is as a socket comes, with Nagle's algorithm.
    stream
        .set_nodelay(careful)
        .map_err(|error| broken(&error))?;
    tokio::time::sleep(SETTLE).await;
    tell(output, "started")?;
    let mut due = Due::new(trace, wall(), !careful);
    // The message that has been begun: its length, what is left of it.
    let mut begun: Option<([u8; 4], Bytes, usize)> = None;
    loop {
        due.advance();
        if begun.is_none() {
            begun = due
                .queues
                .iter_mut()
                .find_map(VecDeque::pop_front)
                .map(|message| {
                    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                    (length.to_be_bytes(), message, 0)
                });
        }
        let Some((head, message, done)) = &mut begun else {
            if due.is_over() {
                break;
            }
            tokio::time::sleep(due.wait()).await;
            continue;
        };
        let slices = [
            IoSlice::new(head.get(*done..).unwrap_or_default()),
            IoSlice::new(
                message
                    .get(done.saturating_sub(head.len())..)
                    .unwrap_or_default(),
            ),
        ];
        match stream.try_write_vectored(&slices) {
            Ok(length) => {
                *done += length;
                if *done >= head.len() + message.len() {
                    begun = None;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                stream.writable().await.map_err(|error| broken(&error))?;
            }
            Err(error) => return Err(broken(&error)),
        }
    }
    tokio::io::AsyncWriteExt::shutdown(&mut stream)
        .await
        .map_err(|error| broken(&error))?;
    // The other side closes once it has everything.
    let mut rest = [0; 16];
    while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
    tell(output, "counters")
}

async fn keep(endpoint: &Endpoint, stop: &Stop, output: &mut Output<'_, '_>) -> Outcome {
    if let Endpoint::Tcp(at) = endpoint {
        let listener = TcpListener::bind((at.host.as_str(), at.port))
            .await
            .map_err(|error| broken(&error))?;
        tell(output, "ready")?;
        let mut kept = Vec::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => kept.push(stream),
                () = stop.wait() => return Ok(()),
            }
        }
    }
    let socket = listen(endpoint, output).await?;
    let (sender, mut secured) = tokio::sync::mpsc::channel(64);
    let mut kept = Vec::new();
    loop {
        tokio::select! {
            association = socket.accept() => {
                let mut association = association.map_err(|error| failed(&error))?;
                let sender = sender.clone();
                tokio::spawn(async move {
                    if association.secure().await.is_ok() {
                        drop(sender.send(association).await);
                    }
                });
            }
            Some(association) = secured.recv() => {
                kept.push(association);
                if kept.len().is_multiple_of(100) {
                    tell(output, &format!("kept {}", kept.len()))?;
                }
            }
            () = stop.wait() => return Ok(()),
        }
    }
}

async fn hold(
    endpoint: &Endpoint,
    count: usize,
    stop: &Stop,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let clock = clock();
    let mut held: Vec<SctpAssociation> = Vec::new();
    while held.len() < count {
        // Each from sockets of its own, as if it were another meter.
        let made = SctpDialer::default().connect(endpoint, &clock).await;
        held.push(made.map_err(|error| failed(&error))?);
        // Who waits for all of them hears that it goes on.
        if held.len().is_multiple_of(100) {
            tell(output, &format!("holding {}", held.len()))?;
        }
    }
    tell(output, &format!("held {}", held.len()))?;
    stop.wait().await;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured here is time itself"
)]
async fn dial(endpoint: &Endpoint, output: &mut Output<'_, '_>) -> Outcome {
    let started = std::time::Instant::now();
    let took = if let Endpoint::Tcp(at) = endpoint {
        let made = TcpStream::connect((at.host.as_str(), at.port)).await;
        let took = started.elapsed();
        made.map_err(|error| broken(&error))?;
        took
    } else {
        let made = SctpDialer::default().connect(endpoint, &clock()).await;
        let took = started.elapsed();
        made.map_err(|error| failed(&error))?;
        took
    };
    tell(output, &format!("dialled {}", took.as_micros()))
}

/// Makes certificates for both sides, and tells what to add to a URL.
pub(super) fn papers(folder: &std::path::Path) -> Result<String, Failure> {
    let cannot = |error: rcgen::Error| Failure::new(format!("no certificate: {error}"));
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .map(|()| path.display().to_string())
            .map_err(|error| broken(&error))
    };
    let mut authority = rcgen::CertificateParams::new(Vec::new()).map_err(cannot)?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().map_err(cannot)?;
    let certificate = authority.self_signed(&key).map_err(cannot)?;
    let ca = put("ca.pem", certificate.pem())?;
    let issuer = rcgen::Issuer::new(authority, key);
    let name = "peer.example";
    let key = rcgen::KeyPair::generate().map_err(cannot)?;
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).map_err(cannot)?;
    let signed = params.signed_by(&key, &issuer).map_err(cannot)?;
    let cert = put("peer.pem", signed.pem())?;
    let key = put("peer.key", key.serialize_pem())?;
    Ok(format!("&ca={ca}&cert={cert}&key={key}&name={name}"))
}
