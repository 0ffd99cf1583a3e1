//! TLS 1.3 over pairs of streams (RFC 3436).
//!
//! Each class's stream in both directions is one TLS connection. That of the
//! control class comes up with the association, by certificates of both
//! sides; the others when they are first used, by tickets of the first. What
//! the acceptor has to say first on a stream waits until the other side, asked
//! with [`PPID_OPEN`], has begun TLS there.
//!
//! One SCTP message carries one TLS record. In the octets that the records
//! carry each message stands behind its length and its payload protocol
//! identifier, four octets each, since a message may be longer than a record.
//!
//! A stream's name is agreed on in TLS as the application protocol (RFC
//! 7301): records of one stream mean nothing on another.
//!
//! **Keys of authenticated chunks** (RFC 4895). Set-up uses the empty key 0,
//! which shows only that a packet is from who saw the set-up. Key 1 is
//! exported (RFC 8446, section 7.5) from the control class's connection:
//!
//! 1. Each side adds key 1 once its handshake is done; the connecting side
//!    before it sends what completes the acceptor's.
//! 2. The acceptor, which so knows that the peer has it, uses it and says
//!    `keyed` inside TLS.
//! 3. The connecting side hears that, uses key 1, forgets key 0, and says
//!    `keyed`.
//! 4. The acceptor hears that and forgets key 0.
//!
//! From then on a packet of somebody else is dropped even if he saw all of the
//! set-up. Nothing is handed to the application before.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use dlms::codec::Wire as _;
use dlms::security::{Protection, SecurityControl};
use dlms::wrapper::Wrapper;
use dlms::xdlms::Apdu;
use model::MessageClass;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection,
};
use zeroize::Zeroizing;

use super::handle::Handle;
use super::{
    CLASS_MESSAGES_MAX, CLASS_OCTETS_MAX, MESSAGE_LEN_MAX, PPID_DLMS, PPID_OPEN, PPID_TLS, Received,
};
use crate::{HostPort, LinkError, TlsOptions, Treatment, tls};

const CLASSES: usize = MessageClass::ALL.len();

/// Messages that wait to be fetched; more stay in SCTP's window.
const INBOUND_MAX: usize = 64;

/// Octets before each message: its length and its identifier.
const FRAME_HEADER_LEN: usize = 8;

/// The identifier of what the two ends tell each other.
const PROTOCOL_OWN: u32 = 0;

/// Says that key 1 is in use.
const KEYED: &[u8] = b"keyed";

/// The identifier of the key that is exported (RFC 4895, section 4.1).
const KEY_ID: u16 = 1;

/// What the key is exported under.
const KEY_LABEL: &[u8] = b"EXPORTER-Gridward-SCTP-AUTH";

/// The class whose connection comes up with the association.
const FIRST: MessageClass = MessageClass::Control;

/// Header of a TLS record: type, version, length (RFC 8446, section 5.1).
const RECORD_HEADER_LEN: usize = 5;

/// What a listener needs to protect associations.
pub(super) struct Acceptor {
    configs: [Arc<ServerConfig>; CLASSES],
}

impl Acceptor {
    pub(super) fn new(options: &TlsOptions) -> Result<Self, LinkError> {
        if options.ca.is_none() {
            return Err(LinkError::Tls(
                "name the authority of the peers' certificates: ?ca=FILE".into(),
            ));
        }
        let mut base = ServerConfig::clone(&*tls::server(options, tls::NEW)?);
        base.ticketer =
            Ticketer::new().map_err(|error| LinkError::Tls(error.to_string().into()))?;
        base.send_tls13_tickets = CLASSES - 1;
        Ok(Self {
            configs: MessageClass::ALL.map(|class| {
                let mut config = base.clone();
                config.alpn_protocols = vec![stream_name(class)];
                Arc::new(config)
            }),
        })
    }

    pub(super) fn tls(&self) -> Tls {
        Tls::new(Role::Acceptor(self.configs.clone()))
    }
}

/// How a stream is called in TLS.
fn stream_name(class: MessageClass) -> Vec<u8> {
    format!("gridward-sctp/{}", Treatment::of(class).stream).into_bytes()
}

enum Role {
    Connector([Arc<ClientConfig>; CLASSES], ServerName<'static>),
    Acceptor([Arc<ServerConfig>; CLASSES]),
}

/// TLS of one association.
pub(super) struct Tls {
    role: Role,
    pairs: [Pair; CLASSES],
    inbound: VecDeque<Received>,
    /// The peer uses the exported key, and so do we.
    keyed: bool,
    failed: Option<Box<str>>,
    dropped: u64,
}

/// One stream in both directions.
struct Pair {
    class: MessageClass,
    connection: Option<Connection>,
    /// The handshake is done, and was about this stream.
    open: bool,
    /// The peer was asked to begin.
    asked: bool,
    plain: Vec<u8>,
    records: VecDeque<Bytes>,
    queue: VecDeque<(u32, Bytes)>,
    queued: usize,
}

impl Tls {
    pub(super) fn client(at: &HostPort, options: &TlsOptions) -> Result<Self, LinkError> {
        if options.cert.is_none() || options.key.is_none() {
            return Err(LinkError::Tls(
                "both sides show a certificate here: ?cert=FILE&key=FILE".into(),
            ));
        }
        let (config, name) = tls::client(at, options, tls::NEW)?;
        let mut base = ClientConfig::clone(&*config);
        // Tickets are of this association: no other begins with them.
        base.resumption = Resumption::in_memory_sessions(CLASSES);
        let configs = MessageClass::ALL.map(|class| {
            let mut config = base.clone();
            config.alpn_protocols = vec![stream_name(class)];
            Arc::new(config)
        });
        Ok(Self::new(Role::Connector(configs, name)))
    }

    fn new(role: Role) -> Self {
        Self {
            role,
            pairs: MessageClass::ALL.map(Pair::new),
            inbound: VecDeque::new(),
            keyed: false,
            failed: None,
            dropped: 0,
        }
    }

    pub(super) fn resumed(&self, class: MessageClass) -> Option<bool> {
        let pair = self.pairs.iter().find(|pair| pair.class == class)?;
        let kind = pair.connection.as_ref()?.handshake_kind()?;
        Some(kind == HandshakeKind::Resumed)
    }

    pub(super) fn peer_certificate(&self) -> Option<Vec<u8>> {
        let pair = self.pairs.iter().find(|pair| pair.class == FIRST)?;
        let connection = pair.connection.as_ref().filter(|_| self.keyed)?;
        let certificate = connection.peer_certificates()?.first()?;
        Some(certificate.to_vec())
    }

    pub(super) fn poll_secured(
        &mut self,
        handle: &Handle,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        self.drive(handle, cx)?;
        if self.keyed && self.flushed() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    pub(super) fn send(
        &mut self,
        handle: &Handle,
        class: MessageClass,
        protocol: u32,
        payload: Bytes,
    ) -> Result<(), LinkError> {
        let pair = pair(&mut self.pairs, class)?;
        if pair.queue.len() >= CLASS_MESSAGES_MAX
            || (pair.queued > 0 && pair.queued + payload.len() > CLASS_OCTETS_MAX)
        {
            return Err(LinkError::Full(class));
        }
        pair.queued += payload.len();
        pair.queue.push_back((protocol, payload));
        // What goes now goes without waiting for the next turn.
        self.write(handle, None)
    }

    pub(super) fn poll_flush(
        &mut self,
        handle: &Handle,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        self.drive(handle, cx)?;
        if self.flushed() {
            handle.poll_flush(cx)
        } else {
            Poll::Pending
        }
    }

    fn flushed(&self) -> bool {
        self.pairs
            .iter()
            .all(|pair| pair.queue.is_empty() && pair.records.is_empty())
    }

    pub(super) fn poll_receive(
        &mut self,
        handle: &Handle,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, LinkError>> {
        let driven = self.drive(handle, cx);
        match (self.inbound.pop_front(), driven) {
            // What came before the end is received after it.
            (Some(message), _) => Poll::Ready(Ok(message)),
            (None, Err(error)) => Poll::Ready(Err(error)),
            (None, Ok(())) => Poll::Pending,
        }
    }

    /// Reads what came and writes what waits, as far as both go.
    fn drive(&mut self, handle: &Handle, cx: &mut Context<'_>) -> Result<(), LinkError> {
        if let Some(reason) = &self.failed {
            return Err(LinkError::Tls(reason.clone()));
        }
        if matches!(self.role, Role::Connector(..)) {
            self.begin(FIRST)?;
        }
        let driven = self.read_and_write(handle, cx);
        if let Err(LinkError::Tls(reason)) = &driven {
            self.failed = Some(reason.clone());
            // The alert that says why goes out where it still can.
            self.write(handle, None).unwrap_or_default();
        }
        driven
    }

    fn read_and_write(&mut self, handle: &Handle, cx: &mut Context<'_>) -> Result<(), LinkError> {
        while self.inbound.len() < INBOUND_MAX {
            match handle.poll_receive(cx) {
                Poll::Ready(message) => self.arrived(handle, &message?)?,
                Poll::Pending => break,
            }
        }
        self.write(handle, Some(cx))
    }

    /// Begins TLS on a stream, where that was not done.
    fn begin(&mut self, class: MessageClass) -> Result<(), LinkError> {
        let pair = pair(&mut self.pairs, class)?;
        if pair.connection.is_some() {
            return Ok(());
        }
        let place = usize::from(class.priority());
        let made: Result<Connection, rustls::Error> = match &self.role {
            Role::Connector(configs, name) => configs
                .get(place)
                .ok_or(rustls::Error::HandshakeNotComplete)
                .and_then(|config| ClientConnection::new(Arc::clone(config), name.clone()))
                .map(Connection::from),
            Role::Acceptor(configs) => configs
                .get(place)
                .ok_or(rustls::Error::HandshakeNotComplete)
                .and_then(|config| ServerConnection::new(Arc::clone(config)))
                .map(Connection::from),
        };
        pair.connection = Some(made.map_err(refused)?);
        pair.gather()
    }

    fn arrived(&mut self, handle: &Handle, message: &Received) -> Result<(), LinkError> {
        let connects = matches!(self.role, Role::Connector(..));
        match message.protocol {
            PPID_TLS => {
                if !connects {
                    self.begin(message.class)?;
                }
                let pair = pair(&mut self.pairs, message.class)?;
                let was_open = pair.open;
                pair.take(&message.payload)?;
                if pair.open && !was_open && message.class == FIRST {
                    self.export(handle)?;
                }
                self.frames(handle, message.class)
            }
            PPID_OPEN if connects && self.keyed => self.begin(message.class),
            PPID_DLMS if self.keyed && is_sealed(&message.payload) => {
                self.inbound.push_back(message.clone());
                Ok(())
            }
            protocol => {
                self.dropped += 1;
                tracing::debug!(protocol, self.dropped, "dropped what TLS does not protect");
                Ok(())
            }
        }
    }

    /// Makes the key of authenticated chunks.
    fn export(&mut self, handle: &Handle) -> Result<(), LinkError> {
        let pair = pair(&mut self.pairs, FIRST)?;
        let Some(connection) = &pair.connection else {
            return Ok(());
        };
        let key = connection
            .export_keying_material(Zeroizing::new([0; 64]), KEY_LABEL, None)
            .map_err(refused)?;
        let mut done = handle.set_auth_key(KEY_ID, key.as_slice());
        if matches!(self.role, Role::Acceptor(_)) {
            done &= handle.activate_auth_key(KEY_ID);
            pair.queue
                .push_front((PROTOCOL_OWN, Bytes::from_static(KEYED)));
        }
        if done {
            Ok(())
        } else {
            Err(LinkError::Tls("SCTP's key could not be set".into()))
        }
    }

    fn peer_is_keyed(&mut self, handle: &Handle) -> Result<(), LinkError> {
        if self.keyed {
            return Ok(());
        }
        let mut done = true;
        if matches!(self.role, Role::Connector(..)) {
            done &= handle.activate_auth_key(KEY_ID);
            pair(&mut self.pairs, FIRST)?
                .queue
                .push_front((PROTOCOL_OWN, Bytes::from_static(KEYED)));
        }
        done &= handle.remove_auth_key(0);
        self.keyed = done;
        if done {
            Ok(())
        } else {
            Err(LinkError::Tls("SCTP's key could not be used".into()))
        }
    }

    /// Takes whole messages out of what came on a stream.
    fn frames(&mut self, handle: &Handle, class: MessageClass) -> Result<(), LinkError> {
        while let Some((protocol, payload)) = pair(&mut self.pairs, class)?.frame()? {
            if protocol != PROTOCOL_OWN {
                self.inbound.push_back(Received {
                    class,
                    protocol,
                    payload,
                });
            } else if class == FIRST && payload == KEYED {
                self.peer_is_keyed(handle)?;
            }
        }
        Ok(())
    }

    /// Hands to SCTP what it takes.
    fn write(&mut self, handle: &Handle, cx: Option<&mut Context<'_>>) -> Result<(), LinkError> {
        let connects = matches!(self.role, Role::Connector(..));
        let mut full = false;
        for class in MessageClass::ALL {
            let waits = !pair(&mut self.pairs, class)?.queue.is_empty();
            let failed = self.failed.is_some();
            if waits && connects && !failed {
                self.begin(class)?;
            }
            let keyed = self.keyed;
            let pair = pair(&mut self.pairs, class)?;
            if waits && !connects && pair.connection.is_none() && !pair.asked && keyed {
                let ask = Bytes::from_static(&[0]);
                pair.asked = handle.send(class, PPID_OPEN, ask).is_ok();
            }
            full |= pair.write(handle, failed)?;
        }
        if full && let Some(cx) = cx {
            handle.wait_to_write(cx)?;
        }
        Ok(())
    }
}

fn pair(pairs: &mut [Pair; CLASSES], class: MessageClass) -> Result<&mut Pair, LinkError> {
    pairs
        .get_mut(usize::from(class.priority()))
        .ok_or(LinkError::Closed)
}

impl Pair {
    fn new(class: MessageClass) -> Self {
        Self {
            class,
            connection: None,
            open: false,
            asked: false,
            plain: Vec::new(),
            records: VecDeque::new(),
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// Takes a record that came.
    fn take(&mut self, mut record: &[u8]) -> Result<(), LinkError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        while !record.is_empty() {
            let taken = connection.read_tls(&mut record).map_err(LinkError::Io)?;
            if taken == 0 {
                break;
            }
            if let Err(error) = connection.process_new_packets() {
                self.gather()?;
                return Err(refused(error));
            }
            let mut piece = [0; 4_096];
            loop {
                match connection.reader().read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => self
                        .plain
                        .extend_from_slice(piece.get(..count).unwrap_or_default()),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if !self.open && !connection.is_handshaking() {
            if connection.alpn_protocol() != Some(stream_name(self.class).as_slice()) {
                return Err(LinkError::Tls(
                    "the peer's TLS is for another stream".into(),
                ));
            }
            self.open = true;
        }
        self.gather()
    }

    /// Takes the next message out of what came.
    fn frame(&mut self) -> Result<Option<(u32, Bytes)>, LinkError> {
        let Some((head, rest)) = self.plain.split_first_chunk::<FRAME_HEADER_LEN>() else {
            return Ok(None);
        };
        let [a, b, c, d, e, f, g, h] = *head;
        let length = u32::from_be_bytes([a, b, c, d]);
        let protocol = u32::from_be_bytes([e, f, g, h]);
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= MESSAGE_LEN_MAX)
            .ok_or_else(|| LinkError::Tls("the peer sent too long a message".into()))?;
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let payload = Bytes::copy_from_slice(payload);
        self.plain.drain(..FRAME_HEADER_LEN + length);
        if self.plain.is_empty() {
            // A long message shall not keep its room for ever.
            self.plain = Vec::new();
        }
        Ok(Some((protocol, payload)))
    }

    /// Takes the records that TLS has made, one by one.
    fn gather(&mut self) -> Result<(), LinkError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let mut octets = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut octets)?;
        }
        let mut octets = Bytes::from(octets);
        while let Some([_, _, _, high, low]) = octets.first_chunk::<RECORD_HEADER_LEN>() {
            let length = RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([*high, *low]));
            self.records
                .push_back(octets.split_to(length.min(octets.len())));
        }
        Ok(())
    }

    /// Hands records to SCTP, and tells whether it takes no more.
    fn write(&mut self, handle: &Handle, failed: bool) -> Result<bool, LinkError> {
        loop {
            while let Some(record) = self.records.front() {
                match handle.send(self.class, PPID_TLS, record.clone()) {
                    Ok(()) => drop(self.records.pop_front()),
                    Err(LinkError::Full(_)) => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            if !self.open || failed {
                return Ok(false);
            }
            let Some((protocol, payload)) = self.queue.pop_front() else {
                return Ok(false);
            };
            self.queued = self.queued.saturating_sub(payload.len());
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let head = [length.to_be_bytes(), protocol.to_be_bytes()].concat();
            for mut part in [head.as_slice(), &payload] {
                while !part.is_empty() {
                    let Some(connection) = &mut self.connection else {
                        return Ok(false);
                    };
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "the rest is written once the records of this part are taken"
                    )]
                    let count = connection.writer().write(part)?;
                    part = part.get(count..).unwrap_or_default();
                    if count == 0 || !part.is_empty() {
                        self.gather()?;
                    }
                }
            }
            self.gather()?;
        }
    }
}

fn refused(error: rustls::Error) -> LinkError {
    tls::told(&error)
}

/// Tells whether a wrapped APDU is ciphered and authenticated by DLMS itself,
/// for one receiver alone: general-glo-ciphering or general-ded-ciphering with
/// both bits in its security control octet, as `dlms::security` has them.
pub(super) fn is_sealed(octets: &[u8]) -> bool {
    let apdu = Wrapper::from_octets(octets)
        .ok()
        .and_then(|wrapper| Apdu::from_octets(wrapper.apdu).ok());
    let content = match apdu {
        Some(Apdu::GeneralGloCiphering(ciphered)) => ciphered.ciphered_content,
        Some(Apdu::GeneralDedCiphering(ciphered)) => ciphered.ciphered_content,
        _ => return false,
    };
    let protection = content
        .first()
        .map(|octet| SecurityControl::from_octet(*octet).protection());
    protection == Some(Protection::AuthenticatedEncrypted)
}

#[cfg(test)]
#[path = "../../tests/it/papers.rs"]
mod papers;

#[cfg(test)]
#[path = "../../tests/it/associations.rs"]
mod associations;

#[cfg(test)]
mod tests {
    //! Evidence: robustness. A peer that has every key and goes around TLS.

    use super::associations::{pair, patiently, protected};
    use super::papers::Papers;
    use super::*;
    use crate::sctp::PPID_XML;

    #[tokio::test]
    async fn what_comes_outside_of_tls_is_dropped() {
        let papers = Papers::new();
        let (mut here, mut there) = pair(
            &protected(&papers, "meter.example", "&udp=0"),
            &protected(&papers, "client.example", "&name=meter.example"),
        )
        .await;
        let class = MessageClass::Control;
        let bare = [
            (PPID_XML, b"<SM/>".as_slice()),
            // A wrapped GET request, which nothing has sealed.
            (PPID_DLMS, &[0, 1, 0, 16, 0, 1, 0, 4, 0xC0, 1, 0xC1, 0]),
            (0x4757_0003, b"an order to a breaker"),
            (0, b"no identifier"),
        ];
        for (protocol, payload) in bare {
            let payload = Bytes::from_static(payload);
            here.handle.send(class, protocol, payload).unwrap();
        }
        // On the same stream, so that it comes behind them.
        let protected = Bytes::from_static(b"protected");
        here.send(class, PPID_XML, protected.clone()).unwrap();
        let received = patiently(async {
            tokio::select! {
                received = there.receive() => received.unwrap(),
                end = here.receive() => panic!("{end:?}"),
            }
        });
        assert_eq!(received.await.payload, protected);
        let dropped = there.tls.as_ref().unwrap().dropped;
        assert_eq!(usize::try_from(dropped).unwrap(), bare.len());
    }
}
