//! Packets as scripts write them, to octets and back.
//!
//! One table tells the fields of every chunk, parameter and error cause, and
//! which of them count from the initial TSN of the stack under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sctp::codec::Reader;
use sctp::packet::{Packet, write_chunk};
use sctp::parameter::{Parameters, write_parameter};

use super::script::{Expr, Record, octets};

/// How the script's numbers differ from those on the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// The initiate tag of the stack under test: in the script, on the wire.
    pub(crate) tag: Option<(u32, u32)>,
    /// Its initial TSN: in the script, on the wire.
    pub(crate) tsn: Option<(u32, u32)>,
    /// The script's own initiate tag.
    pub(crate) peer_tag: u32,
    /// The cookie of the last INIT ACK sent.
    pub(crate) cookie: Vec<u8>,
    /// The value of the last HEARTBEAT sent.
    pub(crate) heartbeat: Vec<u8>,
}

impl Names {
    fn to_wire(&self, tsn: u32) -> u32 {
        let (script, wire) = self.tsn.unwrap_or_default();
        tsn.wrapping_sub(script).wrapping_add(wire)
    }

    fn to_script(&self, tsn: u32) -> u32 {
        let (script, wire) = self.tsn.unwrap_or_default();
        tsn.wrapping_sub(wire).wrapping_add(script)
    }
}

/// Whose numbers a field counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// None's.
    Plain,
    /// The sender's TSNs.
    Sender,
    /// The receiver's TSNs.
    Receiver,
    /// It is an initiate tag.
    Tag,
}

struct Field {
    key: &'static str,
    len: usize,
    counts: Counts,
}

const fn field(key: &'static str, len: usize) -> Field {
    Field {
        key,
        len,
        counts: Counts::Plain,
    }
}

const fn sender(key: &'static str) -> Field {
    Field {
        key,
        len: 4,
        counts: Counts::Sender,
    }
}

const fn receiver(key: &'static str) -> Field {
    Field {
        key,
        len: 4,
        counts: Counts::Receiver,
    }
}

/// What follows the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// Octets under this name.
    Octets(&'static str),
    /// User data, of which scripts tell only the length.
    Payload,
    /// Gaps and duplicates.
    Blocks,
    Parameters,
    Causes,
    /// Parameters in a list under this name.
    Listed(&'static str),
    /// One parameter under this name.
    Single(&'static str),
    /// A whole chunk under this name.
    Chunk(&'static str),
    /// Numbers of so many octets under this name.
    Numbers(&'static str, usize),
    /// The same, their count before.
    Counted(&'static str),
    Address,
    /// A name with an octet 0 at its end.
    Name,
    /// Pairs of stream and sequence number, the numbers of so many octets.
    Streams(usize),
}

struct Shape {
    name: &'static str,
    kind: u16,
    fields: &'static [Field],
    tail: Tail,
}

const fn shape(name: &'static str, kind: u16, fields: &'static [Field], tail: Tail) -> Shape {
    Shape {
        name,
        kind,
        fields,
        tail,
    }
}

const INIT: &[Field] = &[
    Field {
        key: "tag",
        len: 4,
        counts: Counts::Tag,
    },
    field("a_rwnd", 4),
    field("os", 2),
    field("is", 2),
    sender("tsn"),
];

const CHUNKS: &[Shape] = &[
    shape(
        "DATA",
        0x00,
        &[
            sender("tsn"),
            field("sid", 2),
            field("ssn", 2),
            field("ppid", 4),
        ],
        Tail::Payload,
    ),
    shape("INIT", 0x01, INIT, Tail::Parameters),
    shape("INIT_ACK", 0x02, INIT, Tail::Parameters),
    shape(
        "SACK",
        0x03,
        &[receiver("cum_tsn"), field("a_rwnd", 4)],
        Tail::Blocks,
    ),
    shape("HEARTBEAT", 0x04, &[], Tail::Parameters),
    shape("HEARTBEAT_ACK", 0x05, &[], Tail::Parameters),
    shape("ABORT", 0x06, &[], Tail::Causes),
    shape("SHUTDOWN", 0x07, &[receiver("cum_tsn")], Tail::Nothing),
    shape("SHUTDOWN_ACK", 0x08, &[], Tail::Nothing),
    shape("ERROR", 0x09, &[], Tail::Causes),
    shape("COOKIE_ECHO", 0x0A, &[], Tail::Octets("val")),
    shape("COOKIE_ACK", 0x0B, &[], Tail::Nothing),
    shape("ECNE", 0x0C, &[receiver("tsn")], Tail::Nothing),
    shape("CWR", 0x0D, &[receiver("tsn")], Tail::Nothing),
    shape("SHUTDOWN_COMPLETE", 0x0E, &[], Tail::Nothing),
    shape(
        "I_DATA",
        0x40,
        &[
            sender("tsn"),
            field("sid", 2),
            field("res", 2),
            field("mid", 4),
            field("ppid", 4),
        ],
        Tail::Payload,
    ),
    shape("RECONFIG", 0x82, &[], Tail::Parameters),
    shape("PAD", 0x84, &[], Tail::Octets("val")),
    shape("FORWARD_TSN", 0xC0, &[sender("cum_tsn")], Tail::Streams(2)),
    shape(
        "I_FORWARD_TSN",
        0xC2,
        &[sender("cum_tsn")],
        Tail::Streams(4),
    ),
];

const PARAMETERS: &[Shape] = &[
    shape("HEARTBEAT_INFORMATION", 0x0001, &[], Tail::Octets("val")),
    shape("IPV4_ADDRESS", 0x0005, &[], Tail::Address),
    shape("IPV6_ADDRESS", 0x0006, &[], Tail::Address),
    shape("STATE_COOKIE", 0x0007, &[], Tail::Octets("val")),
    shape(
        "UNRECOGNIZED_PARAMETER",
        0x0008,
        &[],
        Tail::Listed("params"),
    ),
    shape(
        "COOKIE_PRESERVATIVE",
        0x0009,
        &[field("incr", 4)],
        Tail::Nothing,
    ),
    shape("HOSTNAME_ADDRESS", 0x000B, &[], Tail::Name),
    shape(
        "SUPPORTED_ADDRESS_TYPES",
        0x000C,
        &[],
        Tail::Numbers("types", 2),
    ),
    shape(
        "OUTGOING_SSN_RESET",
        0x000D,
        &[sender("req_sn"), receiver("resp_sn"), sender("last_tsn")],
        Tail::Numbers("sids", 2),
    ),
    shape(
        "INCOMING_SSN_RESET",
        0x000E,
        &[sender("req_sn")],
        Tail::Numbers("sids", 2),
    ),
    shape("SSN_TSN_RESET", 0x000F, &[sender("req_sn")], Tail::Nothing),
    shape(
        "RECONFIG_RESPONSE",
        0x0010,
        &[
            receiver("resp_sn"),
            field("result", 4),
            sender("sender_next_tsn"),
            receiver("receiver_next_tsn"),
        ],
        Tail::Nothing,
    ),
    shape(
        "ADD_OUTGOING_STREAMS",
        0x0011,
        &[
            sender("req_sn"),
            field("number_of_new_streams", 2),
            field("reserved", 2),
        ],
        Tail::Nothing,
    ),
    shape(
        "ADD_INCOMING_STREAMS",
        0x0012,
        &[
            sender("req_sn"),
            field("number_of_new_streams", 2),
            field("reserved", 2),
        ],
        Tail::Nothing,
    ),
    shape("ECN_CAPABLE", 0x8000, &[], Tail::Nothing),
    shape(
        "SUPPORTED_EXTENSIONS",
        0x8008,
        &[],
        Tail::Numbers("types", 1),
    ),
    shape("FORWARD_TSN_SUPPORTED", 0xC000, &[], Tail::Nothing),
    shape(
        "ADAPTATION_CODE_POINT",
        0xC006,
        &[field("val", 4)],
        Tail::Nothing,
    ),
];

const CAUSES: &[Shape] = &[
    shape(
        "INVALID_STREAM_IDENTIFIER",
        1,
        &[field("sid", 2), field("reserved", 2)],
        Tail::Nothing,
    ),
    shape(
        "MISSING_MANDATORY_PARAMETER",
        2,
        &[],
        Tail::Counted("types"),
    ),
    shape(
        "STALE_COOKIE_ERROR",
        3,
        &[field("staleness", 4)],
        Tail::Nothing,
    ),
    shape("OUT_OF_RESOURCES", 4, &[], Tail::Nothing),
    shape("UNRESOLVABLE_ADDRESS", 5, &[], Tail::Single("param")),
    shape("UNRECOGNIZED_CHUNK_TYPE", 6, &[], Tail::Chunk("chk")),
    shape("INVALID_MANDATORY_PARAMETER", 7, &[], Tail::Nothing),
    shape("UNRECOGNIZED_PARAMETERS", 8, &[], Tail::Listed("params")),
    shape("NO_USER_DATA", 9, &[sender("tsn")], Tail::Nothing),
    shape("COOKIE_RECEIVED_WHILE_SHUTDOWN", 10, &[], Tail::Nothing),
    shape(
        "RESTART_WITH_NEW_ADDRESSES",
        11,
        &[],
        Tail::Listed("addresses"),
    ),
    shape("USER_INITIATED_ABORT", 12, &[], Tail::Octets("info")),
    shape("PROTOCOL_VIOLATION", 13, &[], Tail::Octets("info")),
];

/// Chunks, parameters and causes that no table has.
const OTHERS: &[(&str, &str, &str)] = &[
    ("CHUNK", "type", "val"),
    ("PARAMETER", "type", "val"),
    ("CAUSE", "code", "info"),
];

// ---- to octets ----

/// The chunks of a packet that the script sends.
pub(crate) fn encode(chunks: &[Record], names: &Names) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for chunk in chunks {
        encode_chunk(chunk, names, &mut out)?;
    }
    Ok(out)
}

fn encode_chunk(chunk: &Record, names: &Names, out: &mut Vec<u8>) -> Result<(), String> {
    let known = CHUNKS.iter().find(|shape| shape.name == chunk.name);
    let (kind, value) = match known {
        Some(shape) => (shape.kind, encode_value(shape, chunk, 4, names)?),
        None if chunk.name == "CHUNK" => other(chunk, "type", "val")?,
        None => return Err(format!("unknown chunk {}", chunk.name)),
    };
    let kind = u8::try_from(kind).map_err(|_| "a chunk type above 255".to_owned())?;
    let flags = match chunk.field("flgs") {
        None | Some(Expr::Any) => 0,
        Some(flags) => flag_number(flags)?,
    };
    let at = out.len();
    write_chunk(out, kind, flags, |out| out.extend(value));
    told_length(chunk, at, out)
}

/// A script may tell another length than there is.
fn told_length(record: &Record, at: usize, out: &mut [u8]) -> Result<(), String> {
    let Some(length) = record.number("len") else {
        return Ok(());
    };
    let length = u16::try_from(length).map_err(|_| format!("length {length}"))?;
    if let Some(field) = out.get_mut(at + 2..at + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn encode_tlv(
    shapes: &[Shape],
    record: &Record,
    names: &Names,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let known = shapes.iter().find(|shape| shape.name == record.name);
    let (kind, value) = match known {
        Some(shape) => (shape.kind, encode_value(shape, record, 4, names)?),
        None => {
            let (_, kind, value) = OTHERS
                .iter()
                .find(|(name, ..)| *name == record.name)
                .ok_or_else(|| format!("unknown {}", record.name))?;
            other(record, kind, value)?
        }
    };
    let at = out.len();
    write_parameter(out, kind, |out| out.extend(value));
    told_length(record, at, out)
}

fn other(record: &Record, kind: &str, value: &str) -> Result<(u16, Vec<u8>), String> {
    let number = match record.field(kind) {
        Some(Expr::Number(number)) => *number,
        Some(Expr::Word(word)) => CHUNKS
            .iter()
            .find(|shape| shape.name == word)
            .map(|shape| i64::from(shape.kind))
            .ok_or_else(|| format!("unknown {word}"))?,
        _ => return Err(format!("{} without {kind}", record.name)),
    };
    let kind = u16::try_from(number).map_err(|_| format!("type {number}"))?;
    let value = match record.field(value) {
        Some(Expr::List(items)) => octets(items).ok_or("octets that are none")?,
        _ => Vec::new(),
    };
    Ok((kind, value))
}

fn encode_value(
    shape: &Shape,
    record: &Record,
    header_len: usize,
    names: &Names,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for field in shape.fields {
        let key = match field.key {
            "ppid" if record.field("ppid").is_none() => "fsn",
            key => key,
        };
        // A response need not tell TSNs.
        let optional = field.key.ends_with("_next_tsn");
        let number = match record.field(key) {
            Some(Expr::Number(number)) => *number,
            None if optional => continue,
            None | Some(Expr::Any) => 0,
            Some(_) => return Err(format!("{}: {key} is no number", shape.name)),
        };
        let number = u32::try_from(number).map_err(|_| format!("{key}={number}"))?;
        // What counts in our numbers is what we sent.
        let number = match field.counts {
            Counts::Receiver => names.to_wire(number),
            Counts::Plain | Counts::Sender | Counts::Tag => number,
        };
        put(&mut out, number, field.len);
    }
    encode_tail(shape, record, names, &mut out)?;
    // Values that the script leaves open are of the length that it tells.
    if let Some(length) = record.number("len")
        && matches!(shape.tail, Tail::Octets(_) | Tail::Payload)
    {
        let length = usize::try_from(length).unwrap_or(0).min(65_535);
        out.resize(length.saturating_sub(header_len), 0x5A);
    }
    Ok(out)
}

fn encode_tail(
    shape: &Shape,
    record: &Record,
    names: &Names,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let list = |key: &str| match record.field(key) {
        Some(Expr::List(items)) => items.as_slice(),
        _ => &[],
    };
    match shape.tail {
        Tail::Nothing | Tail::Payload => {}
        Tail::Octets(key) => match record.field(key) {
            Some(Expr::List(items)) => out.extend(octets(items).ok_or("octets that are none")?),
            _ if shape.name == "COOKIE_ECHO" && record.number("len").is_none() => {
                out.extend(&names.cookie);
            }
            _ => {}
        },
        Tail::Blocks => {
            let (gaps, dups) = (list("gaps"), list("dups"));
            put(out, u32::try_from(gaps.len()).unwrap_or(0), 2);
            put(out, u32::try_from(dups.len()).unwrap_or(0), 2);
            for gap in gaps {
                let Expr::Range(from, to) = gap else {
                    return Err("a gap that is none".into());
                };
                put(out, u32::try_from(*from).unwrap_or(0), 2);
                put(out, u32::try_from(*to).unwrap_or(0), 2);
            }
            for dup in dups {
                let Expr::Number(tsn) = dup else {
                    return Err("a duplicate that is none".into());
                };
                put(out, names.to_wire(u32::try_from(*tsn).unwrap_or(0)), 4);
            }
        }
        Tail::Parameters | Tail::Causes => {
            if shape.name == "HEARTBEAT_ACK" && record.unnamed().next().is_none_or(is_open) {
                out.extend(&names.heartbeat);
                return Ok(());
            }
            let shapes = if shape.tail == Tail::Causes {
                CAUSES
            } else {
                PARAMETERS
            };
            let mut items = Vec::new();
            for item in record.unnamed() {
                let Expr::Record(item) = item else {
                    return Err(format!("{}: {item} cannot be sent", shape.name));
                };
                encode_tlv(shapes, item, names, &mut items)?;
            }
            trim(&mut items, record);
            out.extend(items);
        }
        Tail::Listed(key) => {
            for item in list(key) {
                if let Expr::Record(item) = item {
                    encode_tlv(PARAMETERS, item, names, out)?;
                }
            }
        }
        Tail::Single(key) => {
            if let Some(Expr::Record(item)) = record.field(key) {
                encode_tlv(PARAMETERS, item, names, out)?;
            }
        }
        Tail::Chunk(key) => {
            if let Some(Expr::Record(item)) = record.field(key) {
                encode_chunk(item, names, out)?;
            }
        }
        Tail::Numbers(key, len) => {
            for item in list(key) {
                let number = match item {
                    Expr::Number(number) => u32::try_from(*number).unwrap_or(0),
                    Expr::Word(word) => word_number(word)?,
                    _ => return Err(format!("{key}: {item}")),
                };
                put(out, number, len);
            }
        }
        Tail::Counted(key) => {
            let items = list(key);
            put(out, u32::try_from(items.len()).unwrap_or(0), 4);
            for item in items {
                if let Expr::Number(number) = item {
                    put(out, u32::try_from(*number).unwrap_or(0), 2);
                }
            }
        }
        Tail::Address => match record.field("addr").map(ToString::to_string) {
            Some(text) => match text.trim_matches('"').parse() {
                Ok(IpAddr::V4(address)) => out.extend(address.octets()),
                Ok(IpAddr::V6(address)) => out.extend(address.octets()),
                Err(_) => return Err(format!("address {text}")),
            },
            None => return Err("an address without addr".into()),
        },
        Tail::Name => {
            if let Some(Expr::Text(name)) = record.field("addr") {
                out.extend(name.as_bytes());
                out.push(0);
            }
        }
        Tail::Streams(len) => {
            for item in list("ids") {
                let Expr::Set(fields) = item else {
                    return Err("a stream that is none".into());
                };
                let number = |at: usize| match fields.get(at) {
                    Some((_, Expr::Number(number))) => u32::try_from(*number).unwrap_or(0),
                    _ => 0,
                };
                put(out, number(0), 2);
                if len == 4 {
                    put(out, number(1), 2);
                    put(out, number(2), 4);
                } else {
                    put(out, number(1), 2);
                }
            }
        }
    }
    Ok(())
}

/// Whether the script leaves the value of a parameter open.
fn is_open(item: &Expr) -> bool {
    match item {
        Expr::Any => true,
        Expr::Record(record) => record.field("val") == Some(&Expr::Any),
        _ => false,
    }
}

/// The padding of the last parameter is not part of the chunk.
fn trim(out: &mut Vec<u8>, record: &Record) {
    let plain = record.unnamed().all(|item| match item {
        Expr::Record(item) => item.number("len").is_none_or(|length| length % 4 != 0),
        _ => false,
    });
    if plain {
        let end = sctp::parameter::without_last_padding(out).len();
        if end > 0 {
            out.truncate(end);
        }
    }
}

fn put(out: &mut Vec<u8>, number: u32, len: usize) {
    let octets = number.to_be_bytes();
    out.extend(octets.get(4 - len.min(4)..).unwrap_or_default());
}

fn word_number(word: &str) -> Result<u32, String> {
    match word {
        "IPv4" => Ok(5),
        "IPv6" => Ok(6),
        "HOSTNAME" => Ok(11),
        _ => CHUNKS
            .iter()
            .find(|shape| shape.name == word)
            .map(|shape| u32::from(shape.kind))
            .ok_or_else(|| format!("unknown {word}")),
    }
}

/// `BE`, `T`, `0x03`.
fn flag_number(flags: &Expr) -> Result<u8, String> {
    match flags {
        Expr::Number(number) => u8::try_from(*number).map_err(|_| format!("flags {number}")),
        Expr::Word(word) => word.chars().try_fold(0, |sum, letter| {
            Ok(sum
                | match letter {
                    'I' => 8,
                    'U' => 4,
                    'B' => 2,
                    'E' | 'T' => 1,
                    '|' => 0,
                    _ => return Err(format!("flag {letter}")),
                })
        }),
        _ => Err(format!("flags {flags}")),
    }
}

// ---- to text ----

/// The chunks of a packet as a script would write them, all told.
pub(crate) fn describe(packet: &Packet<'_>, names: &Names) -> Result<Vec<Record>, String> {
    packet
        .chunks()
        .map(|raw| {
            let raw = raw.map_err(|error| error.to_string())?;
            Ok(describe_chunk(
                raw.kind,
                raw.flags,
                raw.value,
                raw.octets.len(),
                names,
            ))
        })
        .collect()
}

fn describe_chunk(kind: u8, flags: u8, value: &[u8], len: usize, names: &Names) -> Record {
    let known = CHUNKS.iter().find(|shape| shape.kind == u16::from(kind));
    let name = known.map_or("CHUNK", |shape| shape.name);
    let mut fields = vec![
        named("type", i64::from(kind)),
        named("flgs", i64::from(flags)),
        named("len", i64::try_from(len).unwrap_or(0)),
    ];
    if let Some(shape) = known {
        describe_value(shape, value, flags, names, &mut fields);
    }
    fields.push((Some("val".into()), octet_list(value)));
    Record {
        name: name.into(),
        fields,
    }
}

fn named(key: &str, number: i64) -> (Option<String>, Expr) {
    (Some(key.into()), Expr::Number(number))
}

fn octet_list(octets: &[u8]) -> Expr {
    Expr::List(
        octets
            .iter()
            .map(|octet| Expr::Number(i64::from(*octet)))
            .collect(),
    )
}

fn number(reader: &mut Reader<'_>, len: usize) -> Option<u32> {
    match len {
        1 => reader.u8("number").ok().map(u32::from),
        2 => reader.u16("number").ok().map(u32::from),
        _ => reader.u32("number").ok(),
    }
}

fn describe_value(
    shape: &Shape,
    value: &[u8],
    flags: u8,
    names: &Names,
    fields: &mut Vec<(Option<String>, Expr)>,
) {
    let mut reader = Reader::at(value, 0);
    for field in shape.fields {
        let Some(found) = number(&mut reader, field.len) else {
            return;
        };
        let told = match field.counts {
            // A TSN in an error cause is one that the script sent.
            Counts::Sender if shape.name != "NO_USER_DATA" => names.to_script(found),
            Counts::Tag => match names.tag {
                Some((script, wire)) if wire == found => script,
                _ => found,
            },
            Counts::Plain | Counts::Sender | Counts::Receiver => found,
        };
        let key = match field.key {
            "ppid" if shape.name == "I_DATA" && flags & 2 == 0 => "fsn",
            key => key,
        };
        fields.push(named(key, i64::from(told)));
    }
    describe_tail(shape, reader, names, fields);
}

fn describe_tail(
    shape: &Shape,
    mut reader: Reader<'_>,
    names: &Names,
    fields: &mut Vec<(Option<String>, Expr)>,
) {
    let mut push = |key: &str, value: Expr| fields.push((Some(key.into()), value));
    let numbers = |reader: &mut Reader<'_>, len: usize| {
        let mut found = Vec::new();
        while let Some(number) = number(reader, len) {
            found.push(Expr::Number(i64::from(number)));
        }
        Expr::List(found)
    };
    match shape.tail {
        Tail::Nothing | Tail::Payload => {}
        Tail::Octets(key) => {
            if key != "val" {
                push(key, octet_list(reader.rest()));
            }
        }
        Tail::Blocks => {
            let gaps = number(&mut reader, 2).unwrap_or(0);
            number(&mut reader, 2);
            let mut found = Vec::new();
            for _ in 0..gaps {
                let (Some(from), Some(to)) = (number(&mut reader, 2), number(&mut reader, 2))
                else {
                    break;
                };
                found.push(Expr::Range(i64::from(from), i64::from(to)));
            }
            push("gaps", Expr::List(found));
            push("dups", numbers(&mut reader, 4));
        }
        Tail::Parameters => {
            let found = describe_tlvs(PARAMETERS, "PARAMETER", reader.rest(), names);
            fields.extend(found.into_iter().map(|record| (None, record)));
        }
        Tail::Causes => {
            let found = describe_tlvs(CAUSES, "CAUSE", reader.rest(), names);
            fields.extend(found.into_iter().map(|record| (None, record)));
        }
        Tail::Listed(key) => {
            let found = describe_tlvs(PARAMETERS, "PARAMETER", reader.rest(), names);
            push(key, Expr::List(found));
        }
        Tail::Single(key) => {
            let found = describe_tlvs(PARAMETERS, "PARAMETER", reader.rest(), names);
            if let Some(first) = found.into_iter().next() {
                push(key, first);
            }
        }
        Tail::Chunk(key) => {
            let whole = reader.rest();
            if let [kind, flags, _, _, value @ ..] = whole {
                let mut chunk = describe_chunk(*kind, *flags, value, whole.len(), names);
                chunk.name = "CHUNK".into();
                push(key, Expr::Record(chunk));
            }
        }
        Tail::Numbers(key, len) => push(key, numbers(&mut reader, len)),
        Tail::Counted(key) => {
            number(&mut reader, 4);
            push(key, numbers(&mut reader, 2));
        }
        Tail::Address => {
            let octets = reader.rest();
            let address = <[u8; 4]>::try_from(octets)
                .map(|octets| Ipv4Addr::from(octets).to_string())
                .or_else(|_| <[u8; 16]>::try_from(octets).map(|o| Ipv6Addr::from(o).to_string()));
            push("addr", Expr::Word(address.unwrap_or_default()));
        }
        Tail::Name => {
            let name = String::from_utf8_lossy(reader.rest());
            push("addr", Expr::Text(name.trim_end_matches('\0').into()));
        }
        Tail::Streams(len) => {
            let mut found = Vec::new();
            while let Some(stream) = number(&mut reader, 2) {
                let mut id = vec![(None, Expr::Number(i64::from(stream)))];
                if len == 4 {
                    let flags = number(&mut reader, 2).unwrap_or(0);
                    id.push((None, Expr::Number(i64::from(flags))));
                }
                let Some(last) = number(&mut reader, len) else {
                    break;
                };
                id.push((None, Expr::Number(i64::from(last))));
                found.push(Expr::Set(id));
            }
            push("ids", Expr::List(found));
        }
    }
}

fn describe_tlvs(shapes: &[Shape], other: &str, octets: &[u8], names: &Names) -> Vec<Expr> {
    let (_, kind_key, value_key) = OTHERS
        .iter()
        .find(|(name, ..)| *name == other)
        .copied()
        .unwrap_or_default();
    Parameters::new(octets, 0)
        .map_while(Result::ok)
        .map(|found| {
            let known = shapes.iter().find(|shape| shape.kind == found.kind);
            let mut fields = vec![
                named(kind_key, i64::from(found.kind)),
                named("len", i64::try_from(found.octets.len()).unwrap_or(0)),
            ];
            if let Some(shape) = known {
                describe_value(shape, found.value, 0, names, &mut fields);
            }
            fields.push((Some(value_key.into()), octet_list(found.value)));
            Expr::Record(Record {
                name: known.map_or(other, |shape| shape.name).into(),
                fields,
            })
        })
        .collect()
}

/// A packet as people read it: without types and contents that its names
/// tell already.
pub(crate) fn text(chunks: &[Record]) -> String {
    let chunks: Vec<String> = chunks
        .iter()
        .map(|chunk| short(chunk).to_string())
        .collect();
    chunks.join("; ")
}

fn short(record: &Record) -> Record {
    let known = !OTHERS.iter().any(|(name, ..)| *name == record.name);
    let fields = record
        .fields
        .iter()
        .filter(|(key, _)| !(known && matches!(key.as_deref(), Some("type" | "code" | "val"))))
        .map(|(key, value)| (key.clone(), short_value(value)))
        .collect();
    Record {
        name: record.name.clone(),
        fields,
    }
}

fn short_value(value: &Expr) -> Expr {
    match value {
        Expr::Record(record) => Expr::Record(short(record)),
        Expr::List(items) => Expr::List(items.iter().map(short_value).collect()),
        other => other.clone(),
    }
}

// ---- compared ----

/// Holds what was sent against what the script expects.
pub(crate) fn compare(expected: &[Record], sent: &[Record]) -> Result<(), String> {
    for (expected, sent) in expected.iter().zip(sent) {
        compare_record(expected, sent)?;
    }
    if expected.len() == sent.len() {
        Ok(())
    } else {
        Err(format!(
            "{} chunks instead of {}",
            sent.len(),
            expected.len()
        ))
    }
}

fn compare_record(expected: &Record, sent: &Record) -> Result<(), String> {
    let generic = OTHERS.iter().any(|(name, ..)| *name == expected.name);
    if expected.name != sent.name && !generic {
        return Err(format!("{} instead of {}", sent.name, expected.name));
    }
    for (key, wanted) in &expected.fields {
        let Some(key) = key else { continue };
        let Some(found) = sent.field(key) else {
            if *wanted == Expr::Any {
                continue;
            }
            return Err(format!("{}: no {key}", sent.name));
        };
        let same = if key == "flgs" && *wanted != Expr::Any {
            *found == Expr::Number(i64::from(flag_number(wanted)?))
        } else {
            compare_value(wanted, found)?
        };
        if !same {
            return Err(format!("{}: {key}={found} instead of {wanted}", sent.name));
        }
    }
    if generic {
        return Ok(());
    }
    let mut found = sent.unnamed();
    for wanted in expected.unnamed() {
        if *wanted == Expr::Any {
            return Ok(());
        }
        match found.next() {
            Some(found) if compare_value(wanted, found)? => {}
            Some(found) => return Err(format!("{found} instead of {wanted}")),
            None => return Err(format!("{}: {wanted} is missing", sent.name)),
        }
    }
    match found.next() {
        Some(Expr::Record(more)) => Err(format!("{}: {} is not expected", sent.name, more.name)),
        _ => Ok(()),
    }
}

fn compare_value(wanted: &Expr, found: &Expr) -> Result<bool, String> {
    Ok(match (wanted, found) {
        (Expr::Any, _) => true,
        (Expr::Record(wanted), Expr::Record(found)) => {
            compare_record(wanted, found)?;
            true
        }
        (Expr::List(wanted), Expr::List(found)) => {
            let mut same = wanted.len() == found.len();
            for (wanted, found) in wanted.iter().zip(found) {
                same &= compare_value(wanted, found)?;
            }
            same
        }
        (Expr::Set(wanted), Expr::Set(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .zip(found)
                    .all(|((_, wanted), (_, found))| *wanted == Expr::Any || wanted == found)
        }
        (Expr::Word(word), Expr::Number(number)) => {
            word_number(word).is_ok_and(|wanted| i64::from(wanted) == *number)
        }
        (wanted, found) => wanted == found,
    })
}
