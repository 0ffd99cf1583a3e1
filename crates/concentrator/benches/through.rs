//! What a concentrator costs from socket to socket, and how long 10,000 meters
//! take on one IP segment: prints a table.
//!
//! Head end and meters are threads with sockets of the system; the
//! concentrator has a thread of its own, whose processor time is what counts.
//!
//! `cargo bench -p concentrator --bench through`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that fails shall stop where it does; the meters are those of the tests"
)]
#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    dead_code,
    reason = "parts of the tests' meters are not used here"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use concentrator::Config;
use concentrator::config::WanConfig;
use concentrator::device::SharedCore;
use concentrator::shell::{Concentrator, Surroundings};
use dlms::server::{Input, Output, Server};
use link::{
    Clock, Endpoint, IpLimits, IpMeter, IpSegment, Sap, Segment, SystemClock, SystemEntropy,
};
use tokio::sync::watch;

#[path = "../tests/it/device.rs"]
mod device;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Octets of a request and of its answer, as a day profile has them.
const REQUEST: usize = 90;
const ANSWER: usize = 1_500;

/// Requests that are under way at once.
const AT_ONCE: usize = 64;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|it| it == "--list" || it == "--test") {
        return Ok(());
    }
    println!(
        "| meters | registered in | memory of this process | APDUs | processor time an APDU | APDUs a second |"
    );
    println!("|---|---|---|---|---|---|");
    through(90, 40_000)?;
    through(1_200, 40_000)?;
    through(10_000, 40_000)
}

fn name(sap: Sap) -> String {
    format!("GWD{sap:013}")
}

fn through(count: usize, requests: usize) -> Result<(), Failure> {
    let saps: Vec<Sap> = (1..)
        .filter(|it| *it != link::ALL_STATIONS)
        .take(count)
        .collect();
    let meters = meters(&saps)?;
    let folder = std::env::temp_dir().join(format!("gridward-through-{}", std::process::id()));
    let clock = SystemClock::new();
    let begun = clock.now();
    let (port, core, stop, thread) = concentrator(&folder, &meters, &saps)?;
    let there = || {
        let core = core.lock().unwrap_or_else(PoisonError::into_inner);
        let all = core.status().values();
        all.filter(|it| it.place.is_some()).count()
    };
    while there() < count {
        std::thread::sleep(Duration::from_millis(20));
    }
    let registered = clock.now().since(begun);
    let memory = resident_kb();
    let addresses: Vec<Sap> = {
        let core = core.lock().unwrap_or_else(PoisonError::into_inner);
        core.table().iter().map(|(sap, _)| sap).collect()
    };
    // Once to warm up, once that counts.
    ask(port, &addresses, requests / 10)?;
    let (before, begun) = (thread.time_us(), clock.now());
    ask(port, &addresses, requests)?;
    let (spent, took) = (thread.time_us() - before, clock.now().since(begun));
    let apdus = 2 * requests;
    println!(
        "| {count} | {:.1} s | {} MB | {apdus} | {:.1} µs | {:.0} |",
        registered.as_secs_f64(),
        memory / 1_000,
        f64::from(u32::try_from(spent)?) / f64::from(u32::try_from(apdus)?),
        f64::from(u32::try_from(apdus)?) / took.as_secs_f64(),
    );
    stop.send(true)?;
    thread.ended();
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// The thread of a concentrator.
struct Running {
    task: Arc<Mutex<Option<String>>>,
    handle: std::thread::JoinHandle<()>,
}

impl Running {
    /// Processor time of the thread in microseconds.
    fn time_us(&self) -> u64 {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let path = task.clone().unwrap_or_default();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // Nanoseconds on a processor, nanoseconds waiting, turns.
        let first = text.split(' ').next().and_then(|it| it.parse::<u64>().ok());
        first.unwrap_or(0) / 1_000
    }

    fn ended(self) {
        drop(self.handle.join());
    }
}

type Started = (u16, SharedCore, watch::Sender<bool>, Running);

/// Starts a concentrator in a thread of its own.
fn concentrator(
    folder: &std::path::Path,
    meters: &Endpoint,
    saps: &[Sap],
) -> Result<Started, Failure> {
    let config = Config {
        data: folder.to_owned(),
        wan: vec![WanConfig {
            listen: Some("tcp://127.0.0.1:0".to_owned()),
            ..WanConfig::default()
        }],
        ..Config::default()
    };
    let meters = saps.iter().map(|server| IpMeter {
        endpoint: meters.clone(),
        server: *server,
    });
    let meters: Vec<IpMeter> = meters.collect();
    let task = Arc::new(Mutex::new(None));
    let own = Arc::clone(&task);
    let (stop, stopped) = watch::channel(false);
    let (tell, told) = std::sync::mpsc::channel();
    let handle = std::thread::spawn(move || {
        if let Ok(path) = std::fs::read_link("/proc/thread-self") {
            let path = format!("/proc/{}/schedstat", path.display());
            *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let ran = runtime.map_err(Failure::from).and_then(|runtime| {
            runtime.block_on(async {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
                let around = Surroundings {
                    clock: Arc::clone(&clock),
                    entropy: Arc::new(SystemEntropy),
                };
                let segment = IpSegment::start(meters, IpLimits::default(), &clock);
                let segments: Vec<Box<dyn Segment>> = vec![Box::new(segment)];
                let concentrator = Concentrator::start(&config, segments, &around).await?;
                let at = concentrator.local().next().and_then(Endpoint::host_port);
                let port = at.map_or(0, |at| at.port);
                drop(tell.send((port, concentrator.core())));
                concentrator.run(stopped).await?;
                Ok(())
            })
        });
        if let Err(error) = ran {
            eprintln!("the concentrator ended: {error}");
        }
    });
    let (port, core) = told.recv()?;
    Ok((port, core, stop, Running { task, handle }))
}

/// Meters behind one port: the public client is answered as by a meter, all
/// others with octets of the length of a day profile.
fn meters(saps: &[Sap]) -> Result<Endpoint, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("tcp://{}", listener.local_addr()?).parse()?;
    let saps = saps.to_vec();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept()
            && let Err(error) = answer(stream, &saps)
        {
            // The concentrator went.
            drop(error);
        }
    });
    Ok(endpoint)
}

fn answer(mut stream: TcpStream, saps: &[Sap]) -> Result<(), Failure> {
    let mut servers: std::collections::BTreeMap<Sap, (Server, device::Device)> = saps
        .iter()
        .map(|sap| {
            let mut value = vec![0x09, 16];
            value.extend(name(*sap).bytes());
            let values = [(device::NAME, value)].into();
            (*sap, (Server::default(), device::Device { values }))
        })
        .collect();
    let mut octets = vec![0; 65_535];
    let profile = vec![0xDB; ANSWER];
    loop {
        let [client, own, length] = header(&mut stream)?;
        let apdu = octets.get_mut(..usize::from(length)).unwrap_or_default();
        stream.read_exact(apdu)?;
        if client != 16 {
            send(&mut stream, [own, client], &profile)?;
            continue;
        }
        if let Some((server, device)) = servers.get_mut(&own) {
            let input = Input::Apdu {
                client,
                broadcast: false,
                octets: apdu,
            };
            server.handle(input, dlms::Instant::ORIGIN, device);
            while let Output::Transmit { octets, .. } = server.poll() {
                send(&mut stream, [own, client], &octets)?;
            }
        }
    }
}

/// Asks meter after meter, some at once, until all have answered.
fn ask(port: u16, saps: &[Sap], count: usize) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let request = vec![0xDB; REQUEST];
    let mut octets = vec![0; 65_535];
    let mut next = saps.iter().cycle();
    for done in 0..count + AT_ONCE {
        if done >= AT_ONCE {
            let [.., length] = header(&mut stream)?;
            let apdu = octets.get_mut(..usize::from(length)).unwrap_or_default();
            stream.read_exact(apdu)?;
        }
        if done < count
            && let Some(sap) = next.next()
        {
            send(&mut stream, [1, *sap], &request)?;
        }
    }
    Ok(())
}

/// Source, destination and length.
fn header(stream: &mut TcpStream) -> Result<[u16; 3], Failure> {
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    let [_, _, s1, s0, d1, d0, l1, l0] = header;
    Ok([[s1, s0], [d1, d0], [l1, l0]].map(u16::from_be_bytes))
}

fn send(
    stream: &mut TcpStream,
    [source, destination]: [u16; 2],
    apdu: &[u8],
) -> Result<(), Failure> {
    let mut octets = Vec::with_capacity(8 + apdu.len());
    for word in [1, source, destination, u16::try_from(apdu.len())?] {
        octets.extend(word.to_be_bytes());
    }
    octets.extend(apdu);
    Ok(stream.write_all(&octets)?)
}

/// Resident memory of this process in kB.
fn resident_kb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|it| it.starts_with("VmRSS:"));
    let number = line.and_then(|it| it.split_ascii_whitespace().nth(1));
    number.and_then(|it| it.parse().ok()).unwrap_or(0)
}
