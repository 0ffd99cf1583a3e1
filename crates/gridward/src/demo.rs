//! `gridward demo`: a head end and its meters, each a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Outcome;
use crate::cli::DemoOptions;
use crate::failure::Failure;
use crate::output::Output;
use crate::process::{asked_to_end, block_on, make_private_folder, state_folder};

/// Where the demo's head end listens, unless something else does.
const LISTEN_DEFAULT: &str = "127.0.0.1:8420";

/// How long a role may take to come up: a hundred meters make their history
/// the first time.
const START_LIMIT: Duration = Duration::from_secs(300);

/// How long a role may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn run(options: &DemoOptions, output: &mut Output<'_, '_>) -> Outcome {
    let data = match &options.data {
        Some(folder) => folder.clone(),
        None => state_folder("demo")?,
    };
    make_private_folder(&data)?;
    block_on(demo(options, &data, output))
}

/// What the meters' process tells of each.
#[derive(Deserialize)]
struct Meter {
    endpoint: String,
    server: u16,
    system_title: String,
    logical_device_name: String,
    place: String,
    feeder: String,
    phase: String,
}

async fn demo(options: &DemoOptions, data: &Path, output: &mut Output<'_, '_>) -> Outcome {
    let keys = data.join("keys.toml");
    let count = match link::KeyFile::load(&keys) {
        // The meters are those of the first start.
        Ok(file) if !file.meters.is_empty() => file.meters.len(),
        _ => options.meters as usize,
    };
    output.note(&format!("starting {count} meters"));
    let mut meters = Role::start(&[
        "meter".into(),
        "--listen".into(),
        "tcp://127.0.0.1:0".into(),
        "--count".into(),
        count.to_string(),
        "--keys".into(),
        text(&keys),
        "--data".into(),
        text(&data.join("meters")),
        "--until-eof".into(),
        "--json".into(),
    ])?;
    let mut told = Vec::with_capacity(count);
    for _ in 0..count {
        let line = meters.line("the meters").await?;
        let meter: Meter = serde_json::from_str(&line)
            .map_err(|error| Failure::new(format!("the meters told something strange: {error}")))?;
        told.push(meter);
    }
    output.note("starting the head end");
    let enrolment = data.join("meters.toml");
    write(&enrolment, &enrolment_file(&told))?;
    let settings = data.join("headend.toml");
    write(&settings, &settings_file(&enrolment, &keys))?;
    let listen = options.listen.unwrap_or_else(free_address);
    let mut head_end = Role::start(&[
        "headend".into(),
        "--config".into(),
        text(&settings),
        "--data".into(),
        text(&data.join("headend")),
        "--listen".into(),
        listen.to_string(),
        "--until-eof".into(),
        "--json".into(),
    ])?;
    let line = head_end.line("the head end").await?;
    let up: Value = serde_json::from_str(&line)
        .map_err(|error| Failure::new(format!("the head end told something strange: {error}")))?;
    tell(&up, data, &keys, &told, output)?;
    let ended = tokio::select! {
        ended = asked_to_end(false) => ended,
        status = meters.child.wait() => Err(gone("the meters", status)),
        status = head_end.child.wait() => Err(gone("the head end", status)),
    };
    output.note("stopping");
    head_end.stop().await;
    meters.stop().await;
    ended
}

fn tell(
    up: &Value,
    data: &Path,
    keys: &Path,
    meters: &[Meter],
    output: &mut Output<'_, '_>,
) -> Outcome {
    if output.json() {
        let meters: Vec<Value> = meters
            .iter()
            .map(|meter| {
                json!({
                    "endpoint": meter.endpoint,
                    "server": meter.server,
                    "system_title": meter.system_title,
                    "logical_device_name": meter.logical_device_name,
                })
            })
            .collect();
        output.write_json(&json!({
            "url": up["url"],
            "token": up["token"],
            "data": data,
            "keys": keys,
            "meters": meters,
            "concentrators": [],
        }))?;
        return output.flush();
    }
    let mut page = format!("\n  Open     {}\n", up["url"].as_str().unwrap_or_default());
    match up["token"].as_str() {
        Some(token) => {
            page.push_str(&format!("  Sign in  {token}\n"));
            page.push_str("           This token is shown once: keep it.\n");
        }
        None => page.push_str("  Sign in  with the token of the first start\n"),
    }
    page.push_str(&format!("  Data     {}\n", data.display()));
    if let Some(meter) = meters.first() {
        page.push_str(&format!(
            "\n  Read one of the {} meters from another terminal:\n",
            meters.len()
        ));
        page.push_str(&format!(
            "    gridward read {} --server {} \\\n      --keys {} \\\n      --meter {} --client 2 --security lls 1.0.1.8.0.255\n",
            meter.endpoint,
            meter.server,
            keys.display(),
            meter.logical_device_name
        ));
    }
    page.push_str("\n  Ctrl-C stops it; the next start goes on with the data.\n\n");
    output.write(&page)?;
    output.flush()
}

/// The enrolment of the meters where they listen now.
fn enrolment_file(meters: &[Meter]) -> String {
    let mut file = String::new();
    for meter in meters {
        file.push_str("[[meter]]\n");
        for (name, value) in [
            ("logical_device_name", &meter.logical_device_name),
            ("system_title", &meter.system_title),
            ("endpoint", &meter.endpoint),
            ("place", &meter.place),
            ("feeder", &meter.feeder),
            ("phase", &meter.phase),
        ] {
            file.push_str(&format!("{name} = {}\n", toml::Value::from(value.as_str())));
        }
        file.push_str(&format!("server = {}\nclient = 1\n\n", meter.server));
    }
    file
}

fn settings_file(enrolment: &Path, keys: &Path) -> String {
    format!(
        "[headend]\nsite = \"Demo\"\nenrolment = {}\nkeys = {}\n\n\
         [headend.collector]\nevery_s = 60\ndelay_s = 5\n",
        toml::Value::from(text(enrolment)),
        toml::Value::from(text(keys)),
    )
}

fn write(path: &Path, content: &str) -> Outcome {
    std::fs::write(path, content)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The usual address where it is free, else one that the system chooses.
fn free_address() -> SocketAddr {
    let usual: SocketAddr = LISTEN_DEFAULT
        .parse()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    match TcpListener::bind(usual) {
        Ok(_free) => usual,
        Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

fn gone(who: &str, status: std::io::Result<std::process::ExitStatus>) -> Failure {
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    Failure::new(format!("{who} ended on their own ({how})"))
        .hint("what they said stands above; GRIDWARD_LOG=info tells more")
}

/// A role in a process of its own. It ends when its standard input does, so it
/// never outlives this process.
struct Role {
    child: Child,
    /// Held apart: waiting for a child would close it.
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Role {
    fn start(arguments: &[String]) -> Result<Self, Failure> {
        let program = program()?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::new(format!("a role cannot be started: {error}")))?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or_else(|| Failure::new("a role has no output"))?;
        Ok(Self {
            child,
            input,
            lines: BufReader::new(output).lines(),
        })
    }

    /// Waits for the next line that the role tells.
    async fn line(&mut self, who: &str) -> Result<String, Failure> {
        match tokio::time::timeout(START_LIMIT, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None) | Err(_)) => Err(gone(who, self.child.wait().await)),
            Err(_) => Err(Failure::new(format!(
                "{who} did not come up within {} s",
                START_LIMIT.as_secs()
            ))),
        }
    }

    /// Ends the role by ending its input; what does not end is killed.
    async fn stop(mut self) {
        drop(self.input.take());
        if tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .is_err()
            && let Err(error) = self.child.kill().await
        {
            tracing::warn!(%error, "a role could not be stopped");
        }
    }
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::new(format!("this program does not find itself: {error}")))
}
