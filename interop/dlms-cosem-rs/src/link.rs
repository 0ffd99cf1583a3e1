//! The library has no sockets: whole APDUs over TCP, in the wrapper or in HDLC, for both roles.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dlms_cosem_rs::codec::Encode;
use dlms_cosem_rs::transport::hdlc::{
    Address, Connection, Control, Event, Found, Frame, Framer, LLC_REQUEST, LLC_RESPONSE,
    Parameters, Reassembler, Role, decode_frame,
};
use dlms_cosem_rs::transport::wrapper::{StreamReassembler, Wpdu};

use crate::Failure;
use crate::command::words;

const LARGEST: usize = 1 << 16;

pub enum Link {
    Wrapper(Wrapper),
    Hdlc(Hdlc),
}

impl Link {
    /// A client's end, with HDLC already set up.
    pub fn client(
        stream: TcpStream,
        hdlc: bool,
        client: u8,
        server: u8,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        stream.set_read_timeout(Some(timeout))?;
        if !hdlc {
            let (local, peer) = (u16::from(client), u16::from(server));
            return Ok(Self::Wrapper(Wrapper {
                line: Line::new(stream)?,
                local,
                peer,
            }));
        }
        let mut link = Hdlc::new(stream, Role::Client)?;
        link.open(Connection::new(
            Role::Client,
            Address::client(client),
            Address::Single(server),
            Parameters::default(),
        ))?;
        Ok(Self::Hdlc(link))
    }

    /// A server's end; who the client is comes with its first frame.
    pub fn server(stream: TcpStream, hdlc: bool) -> Result<Self, Failure> {
        Ok(if hdlc {
            Self::Hdlc(Hdlc::new(stream, Role::Server)?)
        } else {
            Self::Wrapper(Wrapper {
                line: Line::new(stream)?,
                local: 1,
                peer: 0,
            })
        })
    }

    /// The address of the other end.
    pub fn peer(&self) -> u16 {
        match self {
            Self::Wrapper(link) => link.peer,
            Self::Hdlc(link) => link.peer,
        }
    }

    pub fn send(&mut self, apdu: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Wrapper(link) => {
                let mut framed = Vec::new();
                Wpdu::new(link.local, link.peer, apdu)
                    .and_then(|w| w.encode(&mut framed))
                    .map_err(words)?;
                Ok(link.line.stream.write_all(&framed)?)
            }
            Self::Hdlc(link) => link.send(apdu),
        }
    }

    /// The next APDU, or none once the other end has gone.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Wrapper(link) => link.receive(),
            Self::Hdlc(link) => link.receive(),
        }
    }

    pub fn close(&mut self) -> Result<(), Failure> {
        match self {
            Self::Wrapper(_) => Ok(()),
            Self::Hdlc(link) => link.close(),
        }
    }
}

/// A socket and what came from it that no frame has used yet.
struct Line {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Line {
    fn new(stream: TcpStream) -> Result<Self, Failure> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    fn more(&mut self) -> Result<bool, Failure> {
        let mut chunk = [0; 4096];
        let got = self.stream.read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..got]);
        if self.received.len() > 2 * LARGEST {
            return Err("no frame in 128 KiB".into());
        }
        Ok(got > 0)
    }
}

pub struct Wrapper {
    line: Line,
    local: u16,
    peer: u16,
}

impl Wrapper {
    fn receive(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some((frame, used)) = StreamReassembler::new(u16::MAX)
                .next_pdu(&self.line.received)
                .map_err(words)?
            {
                (self.peer, self.local) = (frame.header.source, frame.header.destination);
                let apdu = frame.apdu.to_vec();
                self.line.received.drain(..used);
                return Ok(Some(apdu));
            }
            if !self.line.more()? {
                return Ok(None);
            }
        }
    }
}

pub struct Hdlc {
    line: Line,
    role: Role,
    connection: Option<Connection>,
    peer: u16,
}

impl Hdlc {
    fn new(stream: TcpStream, role: Role) -> Result<Self, Failure> {
        Ok(Self {
            line: Line::new(stream)?,
            role,
            connection: None,
            peer: 0,
        })
    }

    fn open(&mut self, mut connection: Connection) -> Result<(), Failure> {
        let mut out = [0; 64];
        let length = connection.connect(&mut out).map_err(words)?;
        self.connection = Some(connection);
        self.line.stream.write_all(&out[..length])?;
        let mut none = [0; 64];
        match self.event(&mut Reassembler::new(&mut none))? {
            Some(Event::Connected) => Ok(()),
            other => Err(format!("no UA: {other:?}").into()),
        }
    }

    fn close(&mut self) -> Result<(), Failure> {
        let mut out = [0; 64];
        let length = self
            .connection
            .as_mut()
            .ok_or("no link")?
            .disconnect(&mut out)
            .map_err(words)?;
        self.line.stream.write_all(&out[..length])?;
        let mut none = [0; 64];
        match self.event(&mut Reassembler::new(&mut none))? {
            Some(Event::Disconnected) => Ok(()),
            other => Err(format!("no answer to DISC: {other:?}").into()),
        }
    }

    /// Takes the next frame and does what the library's link machine asks for.
    fn event(&mut self, into: &mut Reassembler<'_>) -> Result<Option<Event>, Failure> {
        let (event, used) = loop {
            match Framer::new()
                .next_frame(&self.line.received)
                .map_err(words)?
            {
                Found::Frame { frame, consumed } => {
                    if frame.control == Control::Snrm {
                        if let Address::Single(client) = frame.source {
                            self.peer = u16::from(client);
                        }
                        self.connection = Some(Connection::new(
                            self.role,
                            frame.destination,
                            frame.source,
                            Parameters::default(),
                        ));
                    }
                    let connection = self.connection.as_mut().ok_or("a frame before SNRM")?;
                    break (connection.handle(&frame, into).map_err(words)?, consumed);
                }
                Found::Incomplete { .. } => {
                    if !self.line.more()? {
                        return Ok(None);
                    }
                }
            }
        };
        self.line.received.drain(..used);
        let connection = self.connection.as_mut().ok_or("no link")?;
        let mut out = [0; 64];
        let answer = match event {
            Event::AcknowledgeRequired => connection.acknowledge(&mut out),
            Event::PollRequired => connection.poll(&mut out),
            _ => return Ok(Some(event)),
        };
        self.line.stream.write_all(&out[..answer.map_err(words)?])?;
        Ok(Some(event))
    }

    fn send(&mut self, apdu: &[u8]) -> Result<(), Failure> {
        let llc = if self.role == Role::Client {
            LLC_REQUEST
        } else {
            LLC_RESPONSE
        };
        let unit = [&llc[..], apdu].concat();
        let connection = self.connection.as_mut().ok_or("no link")?;
        let mut segments = connection.segmenter(&unit).map_err(words)?;
        let mut out = vec![0; 2048];
        loop {
            let connection = self.connection.as_mut().ok_or("no link")?;
            let Some(length) = connection
                .next_frame(&mut segments, &mut out)
                .map_err(words)?
            else {
                return Ok(());
            };
            if segments.is_done() {
                self.line.stream.write_all(&out[..length])?;
                continue;
            }
            // The library leaves the window to its driver: with a window of one each segment
            // hands the line over and waits for its RR.
            let (frame, _) = decode_frame(&out[..length]).map_err(words)?;
            let Control::I { ns, nr, .. } = frame.control else {
                return Err("not an I frame".into());
            };
            let mut polling = Vec::new();
            Frame {
                control: Control::I { ns, nr, pf: true },
                ..frame
            }
            .encode(&mut polling)
            .map_err(words)?;
            self.line.stream.write_all(&polling)?;
            let mut none = [0; 64];
            if self.event(&mut Reassembler::new(&mut none))? != Some(Event::Idle) {
                return Err("no RR for a segment".into());
            }
        }
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut space = vec![0; LARGEST];
        let mut into = Reassembler::new(&mut space);
        loop {
            match self.event(&mut into)? {
                Some(Event::Lsdu) => {
                    let llc = if self.role == Role::Client {
                        LLC_RESPONSE
                    } else {
                        LLC_REQUEST
                    };
                    let apdu = into.lsdu().strip_prefix(&llc[..]).ok_or("no LLC header")?;
                    return Ok(Some(apdu.to_vec()));
                }
                Some(Event::Disconnected) | None => return Ok(None),
                Some(_) => {}
            }
        }
    }
}
