//! A record of what crossed a link, in the form that packet analysers read.
//!
//! Each message is written as one UDP datagram of the wrapper between two
//! loopback addresses, whatever the transport was, so that one file holds a
//! session over TCP, TLS or HDLC alike. Payloads are written as they crossed
//! the link: what was ciphered stays so.
//!
//! File format: pcap, draft-ietf-opsawg-pcap §4 and §5, link type RAW (101).

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::{Clock, DLMS_PORT, Link, LinkError, Message};

/// A pcap file that any number of links write to.
#[derive(Clone)]
pub struct Trace {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<dyn Clock>,
}

struct Shared {
    file: Box<dyn Write + Send>,
    /// The error that ended the trace; the links go on without it.
    failed: Option<std::io::ErrorKind>,
}

/// Which way a message went.
#[derive(Clone, Copy)]
enum Direction {
    Sent,
    Received,
}

impl Trace {
    /// Starts a trace and writes the file's head.
    ///
    /// # Errors
    /// What writing to `file` fails with.
    pub fn new(mut file: Box<dyn Write + Send>, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let mut head = Vec::with_capacity(24);
        head.extend_from_slice(&0xA1B2_C3D4_u32.to_le_bytes());
        head.extend_from_slice(&2_u16.to_le_bytes());
        head.extend_from_slice(&4_u16.to_le_bytes());
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&0x0004_0000_u32.to_le_bytes());
        head.extend_from_slice(&101_u32.to_le_bytes());
        file.write_all(&head)?;
        Ok(Self {
            shared: Arc::new(Mutex::new(Shared { file, failed: None })),
            clock,
        })
    }

    /// Tells the error that ended the trace, if one has.
    #[must_use]
    pub fn failed(&self) -> Option<std::io::ErrorKind> {
        self.shared.lock().ok().and_then(|shared| shared.failed)
    }

    fn record(&self, message: &Message, direction: Direction) {
        let micros = self.clock.now().as_micros();
        let packet = packet(message, direction);
        let Ok(length) = u32::try_from(packet.len()) else {
            return;
        };
        let mut record = Vec::with_capacity(16 + packet.len());
        let seconds = u32::try_from(self.clock.unix_seconds()).unwrap_or(u32::MAX);
        let fraction = u32::try_from(micros % 1_000_000).unwrap_or(0);
        for field in [seconds, fraction, length, length] {
            record.extend_from_slice(&field.to_le_bytes());
        }
        record.extend_from_slice(&packet);
        let Ok(mut shared) = self.shared.lock() else {
            return;
        };
        if shared.failed.is_some() {
            return;
        }
        let written = shared
            .file
            .write_all(&record)
            .and_then(|()| shared.file.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "the trace ends here: its file takes no more");
            shared.failed = Some(error.kind());
        }
    }
}

/// Makes an IPv4 and UDP packet (RFC 791, RFC 768; no UDP checksum) with the
/// wrapper's eight octets (IEC 62056-47) before the payload.
fn packet(message: &Message, direction: Direction) -> Vec<u8> {
    const HEADERS: usize = 20 + 8 + 8;
    let payload = message
        .payload
        .get(..message.payload.len().min(0xFFFF - HEADERS))
        .unwrap_or_default();
    let small = |value: usize| u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes();
    let (from, to, from_port, to_port) = match direction {
        Direction::Sent => (1, 2, 50_000_u16, DLMS_PORT),
        Direction::Received => (2, 1, DLMS_PORT, 50_000),
    };
    let mut ip = [
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, from, 127, 0, 0, to,
    ];
    let total = small(HEADERS + payload.len());
    ip[2] = total[0];
    ip[3] = total[1];
    let mut sum: u32 = ip
        .as_chunks()
        .0
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let check = u16::try_from(sum).map_or(0, |sum| !sum).to_be_bytes();
    ip[10] = check[0];
    ip[11] = check[1];
    let mut out = Vec::with_capacity(HEADERS + payload.len());
    out.extend_from_slice(&ip);
    out.extend_from_slice(&from_port.to_be_bytes());
    out.extend_from_slice(&to_port.to_be_bytes());
    out.extend_from_slice(&small(16 + payload.len()));
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&1_u16.to_be_bytes());
    out.extend_from_slice(&message.source.to_be_bytes());
    out.extend_from_slice(&message.destination.to_be_bytes());
    out.extend_from_slice(&small(payload.len()));
    out.extend_from_slice(payload);
    out
}

/// A link whose messages are written to a trace.
pub struct Traced<L> {
    inner: L,
    trace: Trace,
}

impl<L: Link> Traced<L> {
    /// Puts a trace over a link.
    pub const fn new(inner: L, trace: Trace) -> Self {
        Self { inner, trace }
    }
}

impl<L: Link> Link for Traced<L> {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        self.trace.record(&message, Direction::Sent);
        self.inner.send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        let polled = self.inner.poll_receive(cx);
        if let Poll::Ready(Ok(message)) = &polled {
            self.trace.record(message, Direction::Received);
        }
        polled
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_close(cx)
    }

    fn payload_max(&self) -> usize {
        self.inner.payload_max()
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn sctp(&self) -> Option<crate::SctpStatus> {
        self.inner.sctp()
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_lost(cx)
    }

    fn drkeys(&self) -> Option<crate::DrkeySource> {
        self.inner.drkeys()
    }

    fn take_receipts(&mut self) -> Vec<crate::PathReceipt> {
        self.inner.take_receipts()
    }

    fn scion(&self) -> Option<crate::ScionStatus> {
        self.inner.scion()
    }
}
