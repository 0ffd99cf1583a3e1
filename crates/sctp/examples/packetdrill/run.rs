//! A script against the stack, line by line, in simulated time.
//!
//! Times are as packetdrill has them: a relative time counts from when the
//! line before was done; a packet may be early or late by the tolerance
//! (`--tolerance_usecs`, 4 ms without it) or by an eighth of the relative
//! time, whichever is more.

use std::net::IpAddr;

use sctp::packet::{Header, Packet, PacketBuilder};
use sctp::{Duration, Instant};

use super::script::{Action, Call, Content, Event, Expr, PacketLine, Record, Script, Time, parse};
use super::socket::{Host, LOCAL, Outcome, PORT, REMOTE};
use super::wire::{self, Names};

/// Microseconds that a packet may be early or late.
const TOLERANCE: u64 = 4_000;

/// How long a packet at any time (`*`) is waited for, in microseconds.
const PATIENCE: u64 = 60_000_000;

/// Why a script fails, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// What a script came to: the system under whose `#ifdef` it passed, or why
/// it failed under the last one.
pub(crate) fn run_text(text: &str, systems: &[&'static str]) -> Result<&'static str, Failure> {
    let mut last = Failure {
        line: 0,
        reason: "no system".into(),
    };
    let mut seen: Vec<Script> = Vec::new();
    for system in systems.iter().copied() {
        let script = parse(text, system).map_err(|(line, reason)| Failure { line, reason })?;
        if seen.contains(&script) {
            continue;
        }
        match run(&script) {
            Ok(()) => return Ok(system),
            Err(failure) => last = failure,
        }
        seen.push(script);
    }
    Err(last)
}

/// Runs a script.
pub(crate) fn run(script: &Script) -> Result<(), Failure> {
    let tolerance = script
        .options
        .iter()
        .find(|(name, _)| name == "tolerance_usecs")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(TOLERANCE);
    let mut runner = Runner {
        host: Host::new(),
        names: Names::default(),
        tolerance,
        announced: Vec::new(),
        used: Vec::new(),
    };
    for event in &script.events {
        runner.event(event).map_err(|reason| Failure {
            line: event.line,
            reason,
        })?;
    }
    Ok(())
}

struct Runner {
    host: Host,
    names: Names,
    tolerance: u64,
    /// Initiate tags that the script told.
    announced: Vec<u32>,
    /// Verification tags that it used.
    used: Vec<u32>,
}

impl Runner {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        let now = self.host.now.as_micros();
        let (due, last) = match event.time {
            Time::Any => (now, now.saturating_add(PATIENCE)),
            Time::At(at) => (at, at),
            Time::After(after, last) => (
                now.saturating_add(after),
                now.saturating_add(last.unwrap_or(after).max(after)),
            ),
        };
        if let Action::Outbound(line) = &event.action {
            return self.expect(line, event.time, due, last);
        }
        if due < now {
            return Err("the time lies in the past".into());
        }
        self.host.advance(Instant::from_micros(due))?;
        match &event.action {
            Action::Inbound(line) => self.inject(line),
            Action::Call(call) => self.call(call),
            Action::Command(command) if command.starts_with("sysctl") => Ok(()),
            Action::Command(command) => Err(format!("`{command}` is not run")),
            Action::Outbound(_) => Ok(()),
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let Outcome { result, error } = self.host.call(call)?;
        let result_right = match call.result {
            Expr::Any => true,
            Expr::Number(wanted) => wanted == result,
            _ => false,
        };
        let same = |wanted: &str| {
            let plain = |name: &str| name.replace("EWOULDBLOCK", "EAGAIN");
            error.is_some_and(|error| plain(error) == plain(wanted))
        };
        let error_right = call.error.as_deref().is_none_or(same);
        if result_right && error_right {
            Ok(())
        } else {
            Err(format!(
                "{} gave {result} {} instead of {} {}",
                call.name,
                error.unwrap_or_default(),
                call.result,
                call.error.as_deref().unwrap_or_default()
            ))
        }
    }

    /// Sends a packet of the script to the stack.
    fn inject(&mut self, line: &PacketLine) -> Result<(), String> {
        let chunks = match &line.content {
            Content::Chunks(chunks) => wire::encode(chunks, &self.names)?,
            Content::Octets(octets) => octets.clone(),
        };
        let records: &[Record] = match &line.content {
            Content::Chunks(records) => records,
            Content::Octets(_) => &[],
        };
        for record in records {
            let begins = matches!(record.name.as_str(), "INIT" | "INIT_ACK");
            if begins && let Some(tag) = record.number("tag").and_then(|tag| tag.try_into().ok()) {
                self.announced.push(tag);
                if record.name == "INIT_ACK" || self.names.peer_tag == 0 {
                    self.names.peer_tag = tag;
                }
            }
        }
        let (script, live) = self.names.tag.unwrap_or_default();
        let reflects = records.iter().any(|record| {
            matches!(record.name.as_str(), "ABORT" | "SHUTDOWN_COMPLETE")
                && matches!(record.field("flgs"), Some(Expr::Word(word)) if word == "T")
        });
        let begins = records.iter().any(|record| record.name == "INIT");
        let tag = match line.tag {
            Some(0) => 0,
            Some(tag) if reflects => tag,
            Some(tag) => tag.wrapping_sub(script).wrapping_add(live).max(1),
            None if begins => 0,
            None if reflects => self.names.peer_tag,
            None => live,
        };
        self.used.push(tag);
        let mut packet = PacketBuilder::new(
            Header {
                source_port: PORT,
                destination_port: PORT,
                verification_tag: tag,
            },
            128,
        );
        packet.extend(&chunks);
        let mut octets = packet.finish();
        if line.wrong_checksum
            && let Some(octet) = octets.get_mut(8)
        {
            *octet ^= 0xFF;
        }
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("address {text}"))
        };
        let (remote, local) = match &line.addresses {
            Some((source, destination)) => (address(source)?, address(destination)?),
            None => (REMOTE, LOCAL),
        };
        self.host.receive(local, remote, &octets);
        Ok(())
    }

    /// Holds the next packet that the stack sends against the line.
    fn expect(&mut self, line: &PacketLine, time: Time, due: u64, last: u64) -> Result<(), String> {
        let Content::Chunks(wanted) = &line.content else {
            return Err("octets cannot be expected".into());
        };
        let relative = match time {
            Time::After(after, _) => after / 8,
            Time::Any | Time::At(_) => 0,
        };
        let tolerance = self.tolerance.max(relative);
        let latest = Instant::from_micros(last) + Duration::from_micros(tolerance);
        self.host.advance_until_sent(latest)?;
        let Some(sent) = self.host.sent.pop_front() else {
            return Err("nothing was sent".into());
        };
        let packet = Packet::decode(&sent.octets).map_err(|error| error.to_string())?;
        self.learn(&packet, wanted)?;
        let chunks = wire::describe(&packet, &self.names)?;
        let told = || format!("sent: {}", wire::text(&chunks));
        wire::compare(wanted, &chunks).map_err(|reason| format!("{reason}; {}", told()))?;
        self.check_tag(&packet, line, &chunks)?;
        let at = sent.at.as_micros();
        if time != Time::Any && (at + tolerance < due || at > last + tolerance) {
            let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
            return Err(format!(
                "at {:.6} s instead of {:.6} s; {}",
                seconds(at),
                seconds(due),
                told()
            ));
        }
        Ok(())
    }

    /// Takes the numbers of INIT and INIT ACK, and what is to be sent back.
    fn learn(&mut self, packet: &Packet<'_>, wanted: &[Record]) -> Result<(), String> {
        let raw = wire::describe(packet, &Names::default())?;
        for (at, chunk) in raw.iter().enumerate() {
            let begins = matches!(chunk.name.as_str(), "INIT" | "INIT_ACK");
            let number = |record: &Record, key: &str| {
                record
                    .number(key)
                    .and_then(|number| u32::try_from(number).ok())
            };
            let script = wanted.get(at).filter(|wanted| wanted.name == chunk.name);
            if begins && let Some(wanted) = script {
                let known = |names: Option<(u32, u32)>, live: u32| {
                    names.is_some_and(|(_, known)| known == live)
                };
                if let (Some(tag), Some(live)) = (number(wanted, "tag"), number(chunk, "tag"))
                    && !known(self.names.tag, live)
                {
                    self.names.tag = Some((tag, live));
                }
                if let (Some(tsn), Some(live)) = (number(wanted, "tsn"), number(chunk, "tsn"))
                    && !known(self.names.tsn, live)
                {
                    self.names.tsn = Some((tsn, live));
                }
            }
        }
        for chunk in packet.chunks().map_while(Result::ok) {
            match chunk.kind {
                sctp::chunk::kind::INIT_ACK => {
                    let parameters = chunk.value.get(16..).unwrap_or_default();
                    let cookie = sctp::parameter::Parameters::new(parameters, 0)
                        .map_while(Result::ok)
                        .find(|found| found.kind == sctp::parameter::kind::STATE_COOKIE);
                    if let Some(cookie) = cookie {
                        self.names.cookie = cookie.value.to_vec();
                    }
                }
                sctp::chunk::kind::HEARTBEAT => self.names.heartbeat = chunk.value.to_vec(),
                _ => {}
            }
        }
        Ok(())
    }

    /// packetdrill holds the verification tag only against one that the line
    /// tells. Here it must always be the script's own, or, reflected, that of
    /// the packet answered.
    fn check_tag(
        &self,
        packet: &Packet<'_>,
        line: &PacketLine,
        chunks: &[Record],
    ) -> Result<(), String> {
        let tag = packet.header.verification_tag;
        if let Some(wanted) = line.tag
            && wanted != tag
        {
            return Err(format!("verification tag {tag} instead of {wanted}"));
        }
        let Some(first) = chunks.first() else {
            return Err("no chunk".into());
        };
        let over = matches!(first.name.as_str(), "ABORT" | "SHUTDOWN_COMPLETE");
        let reflects = over && first.field("flgs") == Some(&Expr::Number(1));
        let right = if first.name == "INIT" {
            tag == 0
        } else if reflects {
            self.used.contains(&tag)
        } else {
            self.announced.contains(&tag)
        };
        if !right {
            return Err(format!("verification tag {tag}"));
        }
        Ok(())
    }
}
