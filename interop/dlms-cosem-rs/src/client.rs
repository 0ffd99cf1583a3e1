//! The client role.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use dlms_cosem_rs::acse::AuthMechanism;
use dlms_cosem_rs::axdr::Data;
use dlms_cosem_rs::client::{
    AssociationStep, BlockCollector, ClientConfig, ClientSession, Response,
};
use dlms_cosem_rs::codec::{Decode, Encode};
use dlms_cosem_rs::cosem::{EntryDescriptor, RangeDescriptor};
use dlms_cosem_rs::security::{RustCryptoProvider, Secret, SecurityPolicy, SecuritySuite};
use dlms_cosem_rs::xdlms::{
    ActionResult, AttributeDescriptor, AttributeDescriptorWithSelection, MethodDescriptor,
    SelectiveAccess,
};

use crate::Failure;
use crate::command::{Command, SystemRandom, hex, moment, octets, quoted, target, words};
use crate::link::Link;

const LARGEST: usize = 1 << 16;

type Session = ClientSession<RustCryptoProvider<SystemRandom>, LARGEST>;

/// Does what the command line says; whether every step was ok.
pub fn run(command: &Command) -> Result<bool, Failure> {
    let started = Instant::now();
    let mut peer = match associate(command) {
        Ok(peer) => peer,
        Err(error) => {
            answer("associate", "", &error.to_string(), "", started);
            return Ok(false);
        }
    };
    answer("associate", "", "ok", "", started);
    let mut fine = true;
    for (kind, what) in &command.operations {
        let started = Instant::now();
        match peer.perform(kind, what) {
            Ok(value) => answer(kind, what, "ok", &value, started),
            Err(error) => {
                fine = false;
                answer(kind, what, &error.to_string(), "", started);
            }
        }
    }
    let started = Instant::now();
    let released = peer.release();
    answer(
        "release",
        "",
        &released
            .as_ref()
            .map_or_else(ToString::to_string, |()| "ok".to_owned()),
        "",
        started,
    );
    Ok(fine && released.is_ok())
}

fn answer(kind: &str, what: &str, result: &str, value: &str, started: Instant) {
    println!(
        "{{\"op\": {}, \"what\": {}, \"result\": {}{value}, \"us\": {}}}",
        quoted(kind),
        quoted(what),
        quoted(result),
        started.elapsed().as_micros()
    );
}

struct Peer {
    link: Link,
    session: Session,
}

fn associate(command: &Command) -> Result<Peer, Failure> {
    let mechanism = match command.text("auth", "none") {
        "none" => AuthMechanism::None,
        "lls" => AuthMechanism::Low,
        _ => AuthMechanism::HighGmac,
    };
    let protection = command.text("security", "none");
    let mut security = SecurityPolicy::NONE;
    if protection != "none" {
        security = SecurityPolicy::authenticated_encrypted(SecuritySuite::Suite0);
        security.authenticated = protection.starts_with("auth");
        security.encrypted = protection.ends_with("enc");
    }
    let keys = mechanism == AuthMechanism::HighGmac || protection != "none";
    let password = command.text("password", "12345678").as_bytes();
    let pdu = command.number("pdu", 1024)?;
    let client = u8::try_from(command.number("client-sap", 16)?)?;
    let config = ClientConfig {
        client_sap: client,
        system_title: if keys {
            Some(command.title("4d4d4d0000000001")?)
        } else {
            None
        },
        mechanism,
        password: if mechanism == AuthMechanism::Low {
            Some(Secret::new(password).map_err(words)?)
        } else {
            None
        },
        security,
        max_pdu_size: u16::try_from(pdu)?,
        invocation_counter: command.number("ic", 1)?,
        ..ClientConfig::default()
    };
    let timeout = Duration::from_millis(command.number("timeout-ms", 5000)?.into());
    let port = u16::try_from(command.number("port", 4059)?)?;
    let stream = TcpStream::connect((command.text("host", "127.0.0.1"), port))?;
    let server = u8::try_from(command.number("server-sap", 1)?)?;
    let link = Link::client(
        stream,
        command.text("framing", "wrapper") == "hdlc",
        client,
        server,
        timeout,
    )?;
    let mut peer = Peer {
        link,
        session: Session::new(config, command.provider(keys)?),
    };
    let mut out = vec![0; LARGEST];
    let length = peer.session.associate_request(&mut out).map_err(words)?;
    let response = peer.exchange(&out[..length])?;
    let mut step = peer
        .session
        .handle_associate_response(&response)
        .map_err(words)?;
    if step == AssociationStep::HlsReplyRequired {
        let length = peer.session.hls_reply_request(&mut out).map_err(words)?;
        let response = peer.exchange(&out[..length])?;
        step = peer
            .session
            .handle_hls_reply_response(&response)
            .map_err(words)?;
    }
    match step {
        AssociationStep::Established => Ok(peer),
        other => Err(format!("{other:?}").into()),
    }
}

/// What one response brought.
enum Outcome {
    Value(Vec<u8>),
    Values(Vec<String>),
    NextBlock(u32),
    BlockTaken,
    Done,
}

impl Peer {
    fn exchange(&mut self, apdu: &[u8]) -> Result<Vec<u8>, Failure> {
        self.link.send(apdu)?;
        self.link
            .receive()?
            .ok_or_else(|| "the server closed the connection".into())
    }

    /// Sends a request and collects the blocks of its answer.
    fn request(&mut self, out: &mut [u8], length: usize) -> Result<Outcome, Failure> {
        let mut collected = vec![0; LARGEST];
        let mut blocks = BlockCollector::new(&mut collected);
        let mut length = length;
        loop {
            let response = self.exchange(&out[..length])?;
            let mut plain = vec![0; LARGEST];
            let outcome = match self
                .session
                .handle_response(&response, &mut plain)
                .map_err(words)?
            {
                Response::Data(value) => Outcome::Value(encoded(&value)?),
                Response::DataList(results) => Outcome::Values(
                    results
                        .iter()
                        .map(|result| match result.map_err(words)?.value() {
                            Ok(value) => Ok(hex(&encoded(&value)?)),
                            Err(refused) => Ok(format!("{refused:?}")),
                        })
                        .collect::<Result<_, Failure>>()?,
                ),
                Response::Block { last, number, data } => {
                    blocks.push(number, data).map_err(words)?;
                    if last {
                        Outcome::Value(blocks.bytes().to_vec())
                    } else {
                        Outcome::NextBlock(number)
                    }
                }
                Response::BlockAccepted { .. } => Outcome::BlockTaken,
                Response::Ok => Outcome::Done,
                Response::ActionResult {
                    result: ActionResult::Success,
                    value,
                } => value.map_or(Ok(Outcome::Done), |value| {
                    encoded(&value).map(Outcome::Value)
                })?,
                other => return Err(format!("{other:?}").into()),
            };
            match outcome {
                Outcome::NextBlock(number) => {
                    length = self
                        .session
                        .get_next_block_request(number, out)
                        .map_err(words)?;
                }
                outcome => return Ok(outcome),
            }
        }
    }

    /// The further fields of the answer line.
    fn perform(&mut self, kind: &str, what: &str) -> Result<String, Failure> {
        let (names, argument) = what.split_once('=').unwrap_or((what, ""));
        let (class, name, id) = target(names.split(',').next().unwrap_or_default())?;
        let attribute = AttributeDescriptor::new(class, name, id);
        let mut out = vec![0; LARGEST];
        let mut space = [0; 128];
        let outcome = match kind {
            "get" => {
                let length = self
                    .session
                    .get_request(attribute, None, &mut out)
                    .map_err(words)?;
                self.request(&mut out, length)?
            }
            "entries" => {
                let (first, last) = argument.split_once('-').ok_or("A-B")?;
                let entries = EntryDescriptor::entries(first.parse()?, last.parse()?);
                self.select(
                    attribute,
                    entries.to_selective_access(&mut space).map_err(words)?,
                )?
            }
            "range" => {
                let (first, last) = argument.split_once("..").ok_or("FROM..TO")?;
                let range = RangeDescriptor::by_clock(moment(first)?, moment(last)?);
                self.select(
                    attribute,
                    range.to_selective_access(&mut space).map_err(words)?,
                )?
            }
            "list" => {
                let mut items = Vec::new();
                for each in names.split(',') {
                    let (class, name, id) = target(each)?;
                    let descriptor = AttributeDescriptor::new(class, name, id);
                    items.push(AttributeDescriptorWithSelection {
                        descriptor,
                        access: None,
                    });
                }
                let length = self
                    .session
                    .get_request_with_list(&items, &mut out)
                    .map_err(words)?;
                self.request(&mut out, length)?
            }
            "set" => {
                let value = octets(argument)?;
                if value.len() + 64 > self.negotiated() {
                    self.set_in_blocks(attribute, &value)?
                } else {
                    let data = Data::from_bytes(&value).map_err(words)?;
                    let length = self
                        .session
                        .set_request(attribute, None, data, &mut out)
                        .map_err(words)?;
                    self.request(&mut out, length)?
                }
            }
            "act" => {
                let value = octets(argument)?;
                let data = if value.is_empty() {
                    None
                } else {
                    Some(Data::from_bytes(&value).map_err(words)?)
                };
                let method = MethodDescriptor::new(class, name, id);
                if value.len() + 64 > self.negotiated() {
                    self.act_in_blocks(method, &value)?
                } else {
                    let length = self
                        .session
                        .action_request(method, data, &mut out)
                        .map_err(words)?;
                    self.request(&mut out, length)?
                }
            }
            _ => return Err("no such operation".into()),
        };
        match outcome {
            Outcome::Value(value) => Ok(format!(", \"axdr\": \"{}\"", hex(&value))),
            Outcome::Values(values) => {
                let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
                Ok(format!(", \"values\": [{}]", values.join(", ")))
            }
            Outcome::Done => Ok(String::new()),
            Outcome::NextBlock(_) | Outcome::BlockTaken => Err("the answer is not complete".into()),
        }
    }

    fn negotiated(&self) -> usize {
        self.session
            .negotiated()
            .map_or(1024, |terms| usize::from(terms.server_max_receive_pdu_size))
    }

    fn select(
        &mut self,
        attribute: AttributeDescriptor,
        access: SelectiveAccess<'_>,
    ) -> Result<Outcome, Failure> {
        let mut out = vec![0; LARGEST];
        let length = self
            .session
            .get_request(attribute, Some(access), &mut out)
            .map_err(words)?;
        self.request(&mut out, length)
    }

    fn set_in_blocks(
        &mut self,
        attribute: AttributeDescriptor,
        value: &[u8],
    ) -> Result<Outcome, Failure> {
        let mut out = vec![0; LARGEST];
        let mut sender = self
            .session
            .set_transfer(attribute, None, value)
            .map_err(words)?;
        loop {
            let length = self
                .session
                .next_block_request(&mut sender, &mut out)
                .map_err(words)?;
            match self.request(&mut out, length)? {
                Outcome::BlockTaken => {}
                outcome => return Ok(outcome),
            }
        }
    }

    fn act_in_blocks(
        &mut self,
        method: MethodDescriptor,
        value: &[u8],
    ) -> Result<Outcome, Failure> {
        let mut out = vec![0; LARGEST];
        let mut sender = self.session.action_transfer(method, value).map_err(words)?;
        loop {
            let length = self
                .session
                .next_block_request(&mut sender, &mut out)
                .map_err(words)?;
            match self.request(&mut out, length)? {
                Outcome::BlockTaken => {}
                outcome => return Ok(outcome),
            }
        }
    }

    fn release(&mut self) -> Result<(), Failure> {
        let mut out = vec![0; LARGEST];
        let length = self.session.release_request(&mut out).map_err(words)?;
        let response = self.exchange(&out[..length])?;
        let mut plain = vec![0; LARGEST];
        self.session
            .handle_response(&response, &mut plain)
            .map_err(words)?;
        self.link.close()
    }
}

fn encoded(value: &Data<'_>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    value.encode(&mut out).map_err(words)?;
    Ok(out)
}
