//! The server role: the objects and clients of README.md.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use dlms_cosem_rs::acse::AuthMechanism;
use dlms_cosem_rs::axdr::Data;
use dlms_cosem_rs::codec::{Encode, Writer};
use dlms_cosem_rs::cosem::{AttributeAccess, MethodAccess};
use dlms_cosem_rs::obis::Obis;
use dlms_cosem_rs::security::{RustCryptoProvider, Secret, SecurityPolicy, SecuritySuite};
use dlms_cosem_rs::server::{ObjectStore, Server, ServerConfig, StoreResult};
use dlms_cosem_rs::xdlms::{ActionResult, DataAccessResult, SelectiveAccess};

use crate::Failure;
use crate::command::{Command, SystemRandom, hex, words};
use crate::link::Link;

const LARGEST: usize = 1 << 14;
const NAME: Obis = Obis::new(0, 0, 42, 0, 0, 255);
const SERIAL: Obis = Obis::new(0, 0, 96, 1, 0, 255);
const MESSAGE: Obis = Obis::new(0, 0, 96, 13, 0, 255);
const ENERGY: Obis = Obis::new(1, 0, 1, 8, 0, 255);
const PROFILE: Obis = Obis::new(1, 0, 99, 1, 0, 255);

pub fn run(command: &Command) -> Result<(), Failure> {
    let port = u16::try_from(command.number("port", 4059)?)?;
    let door = TcpListener::bind(("127.0.0.1", port))?;
    let meter = Meter(Arc::new(Mutex::new(Values {
        serial: command
            .text("serial", "STRANGER00000001")
            .as_bytes()
            .to_vec(),
        message: vec![0x09, 0x00],
        energy: command.number("energy", 1_234_567)?,
        rows: command.number("rows", 96)?,
        first: command.number("first", 1000)?,
    })));
    println!("{{\"event\": \"listening\", \"port\": {port}}}");
    thread::scope(|scope| {
        for (connection, stream) in (0..).zip(door.incoming()) {
            let meter = meter.clone();
            scope.spawn(move || {
                if let Err(error) = stream
                    .map_err(Failure::from)
                    .and_then(|s| serve(s, command, meter, connection))
                {
                    eprintln!("connection {connection}: {error}");
                }
            });
        }
    });
    Ok(())
}

fn serve(
    stream: TcpStream,
    command: &Command,
    meter: Meter,
    connection: u32,
) -> Result<(), Failure> {
    let mut link = Link::server(stream, command.text("framing", "wrapper") == "hdlc")?;
    let mut server: Option<Server<Meter, RustCryptoProvider<SystemRandom>, LARGEST>> = None;
    let mut out = vec![0; LARGEST];
    while let Some(apdu) = link.receive()? {
        if server.is_none() {
            server = Some(Server::new(
                config(command, link.peer(), connection)?,
                meter.clone(),
                command.provider(link.peer() == 1)?,
            ));
        }
        let Some(server) = server.as_mut() else {
            continue;
        };
        let length = server.handle(&apdu, &mut out).map_err(words)?;
        link.send(&out[..length])?;
    }
    Ok(())
}

/// Client 16 without security, 2 with a password, 1 with GMAC.
fn config(command: &Command, client: u16, connection: u32) -> Result<ServerConfig, Failure> {
    let mechanism = match client {
        16 => AuthMechanism::None,
        2 => AuthMechanism::Low,
        1 => AuthMechanism::HighGmac,
        _ => return Err(format!("no association for client {client}").into()),
    };
    let mut security = SecurityPolicy::NONE;
    let protection = command.text("security", "auth-enc");
    if client == 1 {
        security = SecurityPolicy::authenticated_encrypted(SecuritySuite::Suite0);
        security.authenticated = protection.starts_with("auth");
        security.encrypted = protection.ends_with("enc");
    }
    let password = command.text("password", "12345678").as_bytes();
    Ok(ServerConfig {
        system_title: if client == 1 {
            Some(command.title("4855500000000001")?)
        } else {
            None
        },
        mechanism,
        password: if client == 2 {
            Some(Secret::new(password).map_err(words)?)
        } else {
            None
        },
        security,
        max_pdu_size: u16::try_from(command.number("pdu", 1024)?)?,
        // Connections share the key, so each has its own million of counters.
        invocation_counter: connection * 1_000_000,
        ..ServerConfig::default()
    })
}

struct Values {
    serial: Vec<u8>,
    /// As it was written, encoded.
    message: Vec<u8>,
    energy: u32,
    rows: u32,
    first: u32,
}

#[derive(Clone)]
struct Meter(Arc<Mutex<Values>>);

impl Meter {
    fn values(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectStore for Meter {
    fn get_attribute(
        &self,
        class: u16,
        name: Obis,
        attribute: i8,
        access: Option<SelectiveAccess<'_>>,
        w: &mut dyn Writer,
    ) -> StoreResult<()> {
        let values = self.values();
        let written = match (class, name, attribute) {
            (_, _, 1) => Data::OctetString(name.as_bytes()).encode(w),
            (1, NAME | SERIAL, 2) => Data::OctetString(&values.serial).encode(w),
            (1, MESSAGE, 2) => w.write_bytes(&values.message),
            (3, ENERGY, 2) => Data::DoubleLongUnsigned(values.energy).encode(w),
            (3, ENERGY, 3) => w.write_bytes(&[0x02, 0x02, 0x0f, 0x00, 0x16, 0x1e]),
            (7, PROFILE, 2) => return rows(&values, access, w),
            (7, PROFILE, 3) => w.write_bytes(&[
                0x01, 0x02, 0x02, 0x04, 0x12, 0x00, 0x08, 0x09, 0x06, 0x00, 0x00, 0x01, 0x00, 0x00,
                0xff, 0x0f, 0x02, 0x12, 0x00, 0x00, 0x02, 0x04, 0x12, 0x00, 0x03, 0x09, 0x06, 0x01,
                0x00, 0x01, 0x08, 0x00, 0xff, 0x0f, 0x02, 0x12, 0x00, 0x00,
            ]),
            (7, PROFILE, 4) => Data::DoubleLongUnsigned(900).encode(w),
            (7, PROFILE, 7 | 8) => Data::DoubleLongUnsigned(values.rows).encode(w),
            _ => return Err(DataAccessResult::ObjectUndefined),
        };
        written.map_err(|_| DataAccessResult::OtherReason)
    }

    fn set_attribute(
        &mut self,
        class: u16,
        name: Obis,
        attribute: i8,
        _: Option<SelectiveAccess<'_>>,
        value: Data<'_>,
    ) -> StoreResult<()> {
        if (class, name, attribute) != (1, MESSAGE, 2) {
            return Err(DataAccessResult::ReadWriteDenied);
        }
        let mut encoded = Vec::new();
        value
            .encode(&mut encoded)
            .map_err(|_| DataAccessResult::OtherReason)?;
        self.values().message = encoded;
        Ok(())
    }

    fn invoke_method(
        &mut self,
        class: u16,
        name: Obis,
        method: i8,
        parameter: Option<Data<'_>>,
        _: &mut dyn Writer,
    ) -> Result<bool, ActionResult> {
        if (class, name, method) == (1, MESSAGE, 1) {
            let text = parameter.ok_or(ActionResult::TypeUnmatched)?;
            let mut encoded = Vec::new();
            text.encode(&mut encoded)
                .map_err(|_| ActionResult::OtherReason)?;
            self.values().message = encoded;
            return Ok(false);
        }
        if (class, name, method) != (3, ENERGY, 1) {
            return Err(ActionResult::ObjectUndefined);
        }
        self.values().energy = 0;
        Ok(false)
    }

    fn attribute_access(&self, _: u16, name: Obis, attribute: i8) -> AttributeAccess {
        if name == MESSAGE && attribute == 2 {
            return AttributeAccess::READ | AttributeAccess::WRITE;
        }
        AttributeAccess::READ
    }

    fn method_access(&self, _: u16, name: Obis, _: i8) -> MethodAccess {
        if matches!(name, ENERGY | MESSAGE) {
            MethodAccess::ACCESS
        } else {
            MethodAccess::empty()
        }
    }
}

/// The rows that were asked for: quarter hours from 1 January 2026 in UTC.
fn rows(
    values: &Values,
    access: Option<SelectiveAccess<'_>>,
    w: &mut dyn Writer,
) -> StoreResult<()> {
    let wrong = |_| DataAccessResult::TypeUnmatched;
    let mut chosen: Vec<u32> = (0..values.rows).collect();
    if let Some(access) = access {
        let parts = access
            .parameters
            .as_structure()
            .ok_or(DataAccessResult::TypeUnmatched)?;
        let (first, second) = match access.selector {
            1 => (parts.get(1).map_err(wrong)?, parts.get(2).map_err(wrong)?),
            2 => (parts.get(0).map_err(wrong)?, parts.get(1).map_err(wrong)?),
            _ => return Err(DataAccessResult::ScopeOfAccessViolated),
        };
        if access.selector == 1 {
            let (from, to) = (stamp(&first)?, stamp(&second)?);
            chosen.retain(|row| (&from..=&to).contains(&&stamp_of(&time(*row))));
        } else {
            let from = first.as_u64().ok_or(DataAccessResult::TypeUnmatched)?;
            let to = second.as_u64().ok_or(DataAccessResult::TypeUnmatched)?;
            chosen.retain(|row| u64::from(*row) + 1 >= from && (to == 0 || u64::from(*row) < to));
        }
    }
    let full = |_| DataAccessResult::OtherReason;
    w.write_u8(0x01).map_err(full)?;
    w.write_length(chosen.len()).map_err(full)?;
    for row in chosen {
        w.write_bytes(&[0x02, 0x02]).map_err(full)?;
        Data::OctetString(&time(row)).encode(w).map_err(full)?;
        Data::DoubleLongUnsigned(values.first + row)
            .encode(w)
            .map_err(full)?;
    }
    Ok(())
}

/// The octets of the COSEM date-time of a row.
fn time(row: u32) -> [u8; 12] {
    let minute = row * 15;
    let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
    [
        0x07,
        0xea,
        0x01,
        day as u8,
        0xff,
        hour as u8,
        minute as u8,
        0,
        0,
        0,
        0,
        0,
    ]
}

fn stamp(value: &Data<'_>) -> StoreResult<String> {
    match value {
        Data::OctetString(octets) if octets.len() == 12 => Ok(stamp_of(octets)),
        Data::DateTime(moment) => Ok(stamp_of(&moment.to_bytes())),
        _ => Err(DataAccessResult::TypeUnmatched),
    }
}

/// Year to second without the day of week, which orders as text; every row is in UTC.
fn stamp_of(octets: &[u8]) -> String {
    let text = hex(octets);
    format!("{}{}", &text[..8], &text[10..16])
}
