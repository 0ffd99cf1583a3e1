//! `gridward demo`: meters and a head end, each a process of its own, as a
//! deployment would start them.

mod behind;
mod firmware;
mod outlets;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::{Outcome, counters, role};

use behind::{Concentrator, text};

/// How long a process may take to answer for the first time, and to stop.
const START_LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(20);

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward demo
  gridward demo --data /tmp/demo --meters 20 --listen 127.0.0.1:0

Starts meters with a month of history behind HLS 5 and authenticated
encryption, two concentrators with meters of their own, one on a simulated power
line and one over IP, outlet meters that call over SCTP, and a head end that
collects them all. The first start prints the token to sign in with, once. Ctrl-C or SIGTERM stops all of it; the
next start goes on with the data.")]
pub(crate) struct DemoOptions {
    /// Where all of it is kept [default: demo in the state folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Address of the interface; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8420")]
    listen: SocketAddr,

    /// How many meters that are reached directly
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    meters: u32,

    /// How many meters behind each of the two concentrators; 0: no concentrators
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    behind: u32,

    /// How many outlet meters, which call over SCTP
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(0..=100))]
    outlets: u32,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

pub(crate) fn run(options: &DemoOptions, output: &mut Output<'_, '_>) -> Outcome {
    let data = match &options.data {
        Some(data) => data.clone(),
        None => counters::default_folder()?.join("demo"),
    };
    let places = Places::new(&data)?;
    let program = Program::new(&places)?;
    role::block_on(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let outcome = tokio::select! {
            started = start(options, &places, &program) => started.map(Some),
            () = stop.wait() => Ok(None),
        };
        let Some(mut running) = outcome? else {
            return Ok(());
        };
        let told = tell(&running, &places, output);
        let outcome = match told {
            Err(failure) => Err(failure),
            Ok(()) => tokio::select! {
                () = stop.wait() => Ok(()),
                failure = running.watch() => Err(failure),
            },
        };
        if !output.json() && outcome.is_ok() {
            output.write("Stopping.\n")?;
            output.flush()?;
        }
        let stopped = running.stop().await;
        outcome.and(stopped)
    })
}

/// Where the demo keeps what.
struct Places {
    folder: PathBuf,
    keys: PathBuf,
    meters: PathBuf,
    enrolment: PathBuf,
    config: PathBuf,
    /// The configuration with the concentrators of this start.
    running: PathBuf,
    headend: PathBuf,
    /// The private key that signs firmware for its meters.
    maker: PathBuf,
    behind: PathBuf,
    behind_keys: PathBuf,
    outlets: PathBuf,
}

impl Places {
    fn new(folder: &Path) -> Result<Self, Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| folder.canonicalize())
            .map(|folder| Self {
                keys: folder.join("keys.toml"),
                meters: folder.join("meters"),
                enrolment: folder.join("meters.jsonl"),
                config: folder.join("gridward.toml"),
                running: folder.join("running.toml"),
                headend: folder.join("headend"),
                maker: folder.join("maker.pem"),
                behind: folder.join("behind"),
                behind_keys: folder.join("behind.toml"),
                outlets: folder.join("outlets"),
                folder,
            })
            .map_err(|error| {
                Failure::new(format!("{}: {error}", folder.display()))
                    .hint("name another folder with --data DIR")
            })
    }

    /// Puts a file in place as a whole.
    fn put(path: &Path, text: &str) -> Result<(), Failure> {
        let draft = path.with_extension("new");
        std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&draft, path))
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }
}

/// What roles are started from, and where they log: beside each other, and not into the text that
/// the demo prints.
struct Program {
    path: PathBuf,
    log: PathBuf,
    file: std::fs::File,
}

impl Program {
    /// Begins a new log.
    fn new(places: &Places) -> Result<Self, Failure> {
        let path = std::env::current_exe()
            .map_err(|error| Failure::new(format!("the program does not find itself: {error}")))?;
        let log = places.folder.join("demo.log");
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&log)
            .and_then(|file| file.set_len(0).map(|()| file))
            .map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
        Ok(Self { path, log, file })
    }
}

/// A role as a process.
struct Role {
    name: &'static str,
    child: Child,
    /// Where it logs.
    log: PathBuf,
    /// Taken from the child, since waiting for one closes its input.
    stdin: Option<ChildStdin>,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Role {
    fn start(name: &'static str, program: &Program, arguments: &[&str]) -> Result<Self, Failure> {
        let cannot = |error| Failure::new(format!("{name} does not start: {error}"));
        let log = program.file.try_clone().map_err(cannot)?;
        let mut command = Command::new(&program.path);
        command
            .args(arguments)
            .args(["--json", "--stop-at-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        // A terminal's Ctrl-C goes to the whole group: these end when they are told to.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(cannot)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| Failure::new(format!("{name} has no standard output")))?;
        Ok(Self {
            name,
            stdin: child.stdin.take(),
            child,
            log: program.log.clone(),
            lines: Some(BufReader::new(stdout).lines()),
        })
    }

    /// The next line that it prints.
    async fn line(&mut self) -> Result<Value, Failure> {
        let name = self.name;
        let Some(lines) = &mut self.lines else {
            return Err(Failure::new(format!("{name} is not listened to any more")));
        };
        let line = tokio::time::timeout(START_LIMIT, lines.next_line())
            .await
            .map_err(|_| Failure::new(format!("{name} does not answer")))?
            .map_err(|error| Failure::new(format!("{name}: {error}")))?;
        let Some(line) = line else {
            let status = self.child.wait().await;
            return Err(ended(name, &self.log, status));
        };
        let line: Value = serde_json::from_str(&line)
            .map_err(|error| Failure::new(format!("{name} says what is no JSON: {error}")))?;
        match line.get("error") {
            None => Ok(line),
            Some(error) => {
                let reason = error.get("reason").and_then(Value::as_str);
                let failure =
                    Failure::new(format!("{name}: {}", reason.unwrap_or("it does not start")));
                let hints = error.get("hints").and_then(Value::as_array);
                Err(hints
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .fold(failure, Failure::hint))
            }
        }
    }

    /// Takes what it prints from now on, so that it never waits for that.
    fn drain(&mut self) {
        if let Some(mut lines) = self.lines.take() {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        }
    }

    /// Closes its standard input, which is how it is told to stop, and waits.
    async fn stop(mut self) -> Result<(), Failure> {
        drop(self.stdin.take());
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(ended(self.name, &self.log, status)),
            Err(_) => {
                drop(self.child.kill().await);
                Err(Failure::new(format!(
                    "{} did not stop by itself",
                    self.name
                )))
            }
        }
    }
}

fn ended(name: &str, log: &Path, status: std::io::Result<ExitStatus>) -> Failure {
    let failure = match status {
        Ok(status) => Failure::new(format!("{name} ended: {status}")),
        Err(error) => Failure::new(format!("{name} ended: {error}")),
    };
    failure.hint(format!("what it said last is in {}", log.display()))
}

/// Everything that runs.
struct Running {
    meters: Role,
    /// The meters behind the concentrators.
    behind: Option<Role>,
    concentrators: Vec<Concentrator>,
    outlets: Vec<Role>,
    headend: Role,
    enrolled: Vec<Value>,
    url: String,
    token: Option<String>,
}

fn path(path: &Path) -> Result<&str, Failure> {
    path.to_str()
        .ok_or_else(|| Failure::usage(format!("{} is no text", path.display())))
}

async fn start(
    options: &DemoOptions,
    places: &Places,
    program: &Program,
) -> Result<Running, Failure> {
    behind::make_keys(places, options.meters, options.behind.saturating_mul(2))?;
    let maker = firmware::make(places)?;
    let maker_key = path(&maker)?;
    let count = options.meters.to_string();
    let mut meters = Role::start(
        "the meters",
        program,
        &[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &count,
            "--keys",
            path(&places.keys)?,
            "--maker-key",
            maker_key,
            "--data",
            path(&places.meters)?,
        ],
    )?;
    let mut enrolled = Vec::new();
    let mut lines = String::new();
    for _ in 0..options.meters {
        let line = meters.line().await?;
        lines.push_str(&format!("{line}\n"));
        enrolled.push(line);
    }
    let (behind, concentrators) = match options.behind {
        0 => (None, Vec::new()),
        each => {
            let (behind, concentrators) = behind::start(places, program, each, maker_key).await?;
            (Some(behind), concentrators)
        }
    };
    for meter in concentrators.iter().flat_map(|it| &it.meters) {
        lines.push_str(&format!("{meter}\n"));
    }
    Places::put(&places.enrolment, &lines)?;
    // What the user has changed in it stays.
    if !places.config.exists() {
        Places::put(
            &places.config,
            &format!(
                "[headend]\nsite = \"Demo\"\nenrolment = {}\nkeys = {}\nmaker_key = {}\n",
                text(&places.enrolment),
                text(&places.keys),
                text(&maker)
            ),
        )?;
    }
    // Where the concentrators are, each start says anew.
    let mut running = std::fs::read_to_string(&places.config)
        .map_err(|error| Failure::new(format!("{}: {error}", places.config.display())))?;
    for (number, concentrator) in (1..).zip(&concentrators) {
        running.push_str(&concentrator.section(places, number));
    }
    if options.outlets > 0 {
        outlets::make_keys(places, options.outlets)?;
        running.push_str(&outlets::section(places));
    }
    Places::put(&places.running, &running)?;
    let listen = options.listen.to_string();
    let mut headend = Role::start(
        "the head end",
        program,
        &[
            "headend",
            "--config",
            path(&places.running)?,
            "--data",
            path(&places.headend)?,
            "--listen",
            &listen,
        ],
    )?;
    let line = headend.line().await?;
    let outlets = outlets::start(places, program, options.outlets, &line).await?;
    let said = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Running {
        url: said("url").ok_or_else(|| Failure::new("the head end tells no address"))?,
        token: said("token"),
        meters,
        behind,
        concentrators,
        outlets,
        headend,
        enrolled,
    })
}

impl Running {
    /// Waits for a process that ends though nobody told it to.
    async fn watch(&mut self) -> Failure {
        let others = self.behind.iter_mut();
        let others = others.chain(self.concentrators.iter_mut().map(|it| &mut it.role));
        let others = others.chain(&mut self.outlets);
        let all = [&mut self.meters, &mut self.headend]
            .into_iter()
            .chain(others);
        let mut ends: Vec<_> = all
            .map(|role| {
                let (name, log) = (role.name, role.log.clone());
                Box::pin(async move { ended(name, &log, role.child.wait().await) })
            })
            .collect();
        std::future::poll_fn(|cx| {
            for end in &mut ends {
                if let Poll::Ready(failure) = end.as_mut().poll(cx) {
                    return Poll::Ready(failure);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The head end first, so that it does not ask meters that are gone.
    async fn stop(self) -> Result<(), Failure> {
        let mut outcome = self.headend.stop().await;
        for concentrator in self.concentrators {
            outcome = outcome.and(concentrator.role.stop().await);
        }
        let meters = [Some(self.meters), self.behind].into_iter().flatten();
        for meters in meters.chain(self.outlets) {
            outcome = outcome.and(meters.stop().await);
        }
        outcome
    }
}

fn tell(running: &Running, places: &Places, output: &mut Output<'_, '_>) -> Outcome {
    if output.json() {
        let meters: Vec<Value> = running
            .enrolled
            .iter()
            .map(|meter| {
                let of = |name: &str| meter.get(name).cloned().unwrap_or_default();
                json!({
                    "endpoint": of("endpoint"),
                    "server": of("server"),
                    "system_title": of("system_title"),
                    "logical_device_name": of("logical_device_name"),
                })
            })
            .collect();
        let mut line = json!({
            "url": running.url,
            "data": places.folder.display().to_string(),
            "keys": places.keys.display().to_string(),
            "maker_key": places.maker.display().to_string(),
            "meters": meters,
            "outlet_meters": running.outlets.len(),
            "concentrators": running.concentrators.iter().map(Concentrator::json).collect::<Vec<_>>(),
        });
        if let (Some(token), Some(object)) = (&running.token, line.as_object_mut()) {
            object.insert("token".to_owned(), json!(token));
        }
        output.write_json(&line)?;
        return output.flush();
    }
    let style = output.style();
    let sign_in = match &running.token {
        Some(token) => format!(
            "Sign in with this token, which is not told again:\n\n  {}\n",
            style.paint(Ink::Value, token)
        ),
        None => "Sign in with the token of the first start.\n".to_owned(),
    };
    let endpoint = running
        .enrolled
        .first()
        .and_then(|meter| meter.get("endpoint")?.as_str())
        .unwrap_or_default();
    let count = running.enrolled.len();
    let mut seen = format!("  {count} meters, reached directly at {endpoint}\n");
    for concentrator in &running.concentrators {
        let line = match concentrator.medium {
            "s-fsk" => format!(
                "on a simulated S-FSK power line, {} times as fast as a real one",
                behind::SPEED
            ),
            _ => {
                "over IP; one of them is bypassed, which the balance of its feeder shows".to_owned()
            }
        };
        seen.push_str(&format!(
            "  {} meters behind concentrator {},\n    {line}\n    its own page: {}\n",
            concentrator.meters.len(),
            concentrator.name,
            concentrator.status,
        ));
    }
    if !running.outlets.is_empty() {
        let (count, url) = (running.outlets.len(), &running.url);
        seen.push_str(&format!(
            "  {count} outlet meters, which call over SCTP with TLS:\n    {url}outlet-meters/1\n"
        ));
    }
    seen.push_str(&format!(
        "  firmware that waits for a campaign:\n    {}campaigns/new\n    signed with {}\n",
        running.url,
        places.maker.display(),
    ));
    output.write(&format!(
        "{} {}\n{sign_in}\nThere is to see:\n{seen}\nRead a meter yourself:\n  \
         gridward read {endpoint} 1-0:1.8.0 --keys {}\n\nData: {}\nLog:  {}\nStop with Ctrl-C.\n",
        style.paint(Ink::Head, "Gridward is at"),
        style.paint(Ink::Value, &running.url),
        places.keys.display(),
        places.folder.display(),
        running.headend.log.display(),
    ))?;
    output.flush()
}
