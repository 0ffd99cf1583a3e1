//! Stream reconfiguration (RFC 6525): resetting streams and TSNs, adding
//! streams.

use std::collections::VecDeque;

use crate::codec::{DecodeError, Reader};
use crate::parameter::{Parameter, kind, write_parameter};
use crate::time::Instant;

/// Requests that may wait for the one under way.
pub(crate) const REQUESTS_MAX: usize = 16;

/// Results of a request (RFC 6525, section 4.4).
pub(crate) mod result {
    pub(crate) const NOTHING_TO_DO: u32 = 0;
    pub(crate) const PERFORMED: u32 = 1;
    pub(crate) const DENIED: u32 = 2;
    pub(crate) const WRONG_SSN: u32 = 3;
    pub(crate) const OTHER_REQUEST_IN_PROGRESS: u32 = 4;
    pub(crate) const BAD_SEQUENCE_NUMBER: u32 = 5;
    pub(crate) const IN_PROGRESS: u32 = 6;
}

/// What we ask of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Streams that we send on begin anew; empty for all. The number is that
    /// of the peer's request, where it asked.
    ResetOutgoing(Vec<u16>, Option<u32>),
    /// Streams that we receive on shall begin anew; empty for all.
    ResetIncoming(Vec<u16>),
    /// All streams and the TSNs of both directions shall begin anew.
    ResetAll,
    /// More streams to send on.
    AddOutgoing(u16),
    /// More streams to receive on.
    AddIncoming(u16),
}

/// A request that the peer has not answered.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) sequence: u32,
    pub(crate) wanted: Wanted,
    pub(crate) octets: Vec<u8>,
    pub(crate) due: Instant,
    pub(crate) path: usize,
}

/// A request of the peer (RFC 6525, section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    ResetOutgoing {
        sequence: u32,
        response_to: u32,
        last_tsn: u32,
        streams: Vec<u16>,
    },
    ResetIncoming {
        sequence: u32,
        streams: Vec<u16>,
    },
    ResetTsn {
        sequence: u32,
    },
    AddOutgoing {
        sequence: u32,
        count: u16,
    },
    AddIncoming {
        sequence: u32,
        count: u16,
    },
    Response {
        sequence: u32,
        result: u32,
        next: Option<NextTsns>,
    },
}

/// Where TSNs begin anew (RFC 6525, section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextTsns {
    /// The next of who answers.
    pub(crate) sender: u32,
    /// The next of who asked.
    pub(crate) receiver: u32,
}

impl Asked {
    /// Reads a parameter of a RE-CONFIG chunk; `None` for other parameters.
    pub(crate) fn read(parameter: &Parameter<'_>) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::at(parameter.value, parameter.offset + 4);
        let sequence = reader.u32("request sequence number")?;
        Ok(Some(match parameter.kind {
            kind::OUTGOING_SSN_RESET_REQUEST => Self::ResetOutgoing {
                sequence,
                response_to: reader.u32("response sequence number")?,
                last_tsn: reader.u32("last assigned TSN")?,
                streams: streams(&mut reader)?,
            },
            kind::INCOMING_SSN_RESET_REQUEST => Self::ResetIncoming {
                sequence,
                streams: streams(&mut reader)?,
            },
            kind::SSN_TSN_RESET_REQUEST => Self::ResetTsn { sequence },
            kind::ADD_OUTGOING_STREAMS_REQUEST => Self::AddOutgoing {
                sequence,
                count: reader.u16("number of new streams")?,
            },
            kind::ADD_INCOMING_STREAMS_REQUEST => Self::AddIncoming {
                sequence,
                count: reader.u16("number of new streams")?,
            },
            kind::RECONFIGURATION_RESPONSE => Self::Response {
                sequence,
                result: reader.u32("result")?,
                next: if reader.is_empty() {
                    None
                } else {
                    Some(NextTsns {
                        sender: reader.u32("sender's next TSN")?,
                        receiver: reader.u32("receiver's next TSN")?,
                    })
                },
            },
            _ => return Ok(None),
        }))
    }
}

fn streams(reader: &mut Reader<'_>) -> Result<Vec<u16>, DecodeError> {
    let mut streams = Vec::with_capacity(reader.remaining() / 2);
    while !reader.is_empty() {
        streams.push(reader.u16("stream number")?);
    }
    Ok(streams)
}

/// Where the requests of both sides stand.
#[derive(Clone, Debug)]
pub(crate) struct Reconfiguration {
    next: u32,
    expected: u32,
    pub(crate) wanted: VecDeque<Wanted>,
    pub(crate) request: Option<Request>,
    /// Responses to the last requests, for when they come again.
    answered: VecDeque<(u32, u32, Option<NextTsns>)>,
}

impl Reconfiguration {
    /// Sequence numbers begin at the initial TSNs (RFC 6525, section 5.1.1).
    pub(crate) const fn new(local_tsn: u32, peer_tsn: u32) -> Self {
        Self {
            next: local_tsn,
            expected: peer_tsn,
            wanted: VecDeque::new(),
            request: None,
            answered: VecDeque::new(),
        }
    }

    /// Writes the next request; `last_tsn` is our last assigned TSN.
    pub(crate) fn begin(
        &mut self,
        wanted: Wanted,
        last_tsn: u32,
        path: usize,
        due: Instant,
    ) -> Vec<u8> {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        let mut octets = Vec::new();
        let list = |out: &mut Vec<u8>, streams: &[u16]| {
            for stream in streams {
                out.extend(stream.to_be_bytes());
            }
        };
        let add = |octets: &mut Vec<u8>, kind, count: u16| {
            write_parameter(octets, kind, |out| {
                out.extend(sequence.to_be_bytes());
                out.extend(count.to_be_bytes());
                out.extend([0, 0]);
            });
        };
        match &wanted {
            Wanted::ResetOutgoing(streams, response_to) => {
                let response_to = response_to.unwrap_or_else(|| self.expected.wrapping_sub(1));
                write_parameter(&mut octets, kind::OUTGOING_SSN_RESET_REQUEST, |out| {
                    out.extend(sequence.to_be_bytes());
                    out.extend(response_to.to_be_bytes());
                    out.extend(last_tsn.to_be_bytes());
                    list(out, streams);
                });
            }
            Wanted::ResetIncoming(streams) => {
                write_parameter(&mut octets, kind::INCOMING_SSN_RESET_REQUEST, |out| {
                    out.extend(sequence.to_be_bytes());
                    list(out, streams);
                });
            }
            Wanted::ResetAll => {
                write_parameter(&mut octets, kind::SSN_TSN_RESET_REQUEST, |out| {
                    out.extend(sequence.to_be_bytes());
                });
            }
            Wanted::AddOutgoing(count) => {
                add(&mut octets, kind::ADD_OUTGOING_STREAMS_REQUEST, *count);
            }
            Wanted::AddIncoming(count) => {
                add(&mut octets, kind::ADD_INCOMING_STREAMS_REQUEST, *count);
            }
        }
        self.request = Some(Request {
            sequence,
            wanted,
            octets: octets.clone(),
            due,
            path,
        });
        octets
    }

    /// Tells whether a request of the peer is the one to come, or else the
    /// result to tell.
    pub(crate) fn check(&self, sequence: u32) -> Result<(), (u32, Option<NextTsns>)> {
        if sequence == self.expected {
            return Ok(());
        }
        Err(self
            .answered
            .iter()
            .find(|(known, ..)| *known == sequence)
            .map_or((result::BAD_SEQUENCE_NUMBER, None), |(_, result, next)| {
                (*result, *next)
            }))
    }

    /// Takes note of how the request to come was answered.
    pub(crate) fn answer(&mut self, sequence: u32, result: u32, next: Option<NextTsns>) {
        self.expected = self.expected.wrapping_add(1);
        self.answered.push_back((sequence, result, next));
        if self.answered.len() > 2 {
            self.answered.pop_front();
        }
    }

    /// Takes a request to reset incoming streams that the peer's own request
    /// answers.
    pub(crate) fn finish_incoming(&mut self, sequence: u32) -> Option<Request> {
        self.request.take_if(|request| {
            request.sequence == sequence && matches!(request.wanted, Wanted::ResetIncoming(_))
        })
    }

    /// Takes the request under way, where `sequence` is its number.
    pub(crate) fn finish(&mut self, sequence: u32) -> Option<Request> {
        self.request.take_if(|request| request.sequence == sequence)
    }
}

/// The octets of a response.
pub(crate) fn response(sequence: u32, result: u32, next: Option<NextTsns>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(20);
    write_parameter(&mut octets, kind::RECONFIGURATION_RESPONSE, |out| {
        out.extend(sequence.to_be_bytes());
        out.extend(result.to_be_bytes());
        if let Some(next) = next {
            out.extend(next.sender.to_be_bytes());
            out.extend(next.receiver.to_be_bytes());
        }
    });
    octets
}
