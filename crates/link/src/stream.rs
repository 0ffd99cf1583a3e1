//! The wrapper over a stream of octets: TCP, TLS, or anything alike.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use dlms::codec::Wire as _;
use dlms::wrapper::{Deframer, HEADER_LENGTH, Header};
use model::MessageClass;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::queue::SendQueue;
use crate::{Link, LinkError, Message};

/// A link of the wrapper over a stream.
///
/// It reads no further while a message waits to be fetched, so that a peer
/// that sends faster than it is served fills the transport's window, not
/// memory. A payload is copied once, out of what was read, and written from
/// where it lies.
pub(crate) struct WrapperStream<S> {
    stream: S,
    peer: String,
    deframer: Deframer,
    input: Box<[u8; INPUT_SIZE]>,
    /// The octets of `input` that have come and were not yet looked at.
    unread: std::ops::Range<usize>,
    queue: SendQueue,
    /// What is being written: headers and payloads that must be copied.
    output: Vec<u8>,
    /// What is being written after it, from where it lies.
    payload: Vec<u8>,
    /// Octets of both that are written.
    written: usize,
}

/// Octets that are read from the system at once.
const INPUT_SIZE: usize = 8 * 1_024;

/// What a peer may send in one message: all that the wrapper can carry.
const APDU_LENGTH_MAX: u16 = u16::MAX;

impl<S> WrapperStream<S> {
    pub(crate) fn new(stream: S, peer: String) -> Self {
        Self {
            stream,
            peer,
            deframer: Deframer::new(APDU_LENGTH_MAX),
            input: Box::new([0; INPUT_SIZE]),
            unread: 0..0,
            queue: SendQueue::default(),
            output: Vec::with_capacity(HEADER_LENGTH),
            payload: Vec::new(),
            written: 0,
        }
    }
}

impl<S: AsyncWrite + Unpin> WrapperStream<S> {
    /// Takes the next message to be written.
    fn begin(&mut self, message: Message) {
        self.output.clear();
        self.written = 0;
        Header {
            source: message.source,
            destination: message.destination,
            length: u16::try_from(message.payload.len()).unwrap_or(u16::MAX),
        }
        .encode(&mut self.output);
        self.payload = message.payload;
        if !self.stream.is_write_vectored() {
            // In one piece, lest the header goes alone.
            self.output.append(&mut self.payload);
        }
    }

    /// Writes until what was begun is all written.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            let head = self.output.get(self.written..).unwrap_or_default();
            let after = self.written.saturating_sub(self.output.len());
            let tail = self.payload.get(after..).unwrap_or_default();
            let slices = [IoSlice::new(head), IoSlice::new(tail)];
            let count = match (head.is_empty(), tail.is_empty()) {
                (true, true) => {
                    self.payload = Vec::new();
                    return Poll::Ready(Ok(()));
                }
                (false, false) => {
                    ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices))?
                }
                (true, false) => ready!(Pin::new(&mut self.stream).poll_write(cx, tail))?,
                (false, true) => ready!(Pin::new(&mut self.stream).poll_write(cx, head))?,
            };
            if count == 0 {
                return Poll::Ready(Err(LinkError::Closed));
            }
            self.written += count;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Link for WrapperStream<S> {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let max = self.payload_max();
        if message.payload.len() > max {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max,
            });
        }
        self.queue.push(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            ready!(self.poll_written(cx))?;
            let Some(message) = self.queue.pop() else {
                return Pin::new(&mut self.stream)
                    .poll_flush(cx)
                    .map_err(LinkError::from);
            };
            self.begin(message);
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            let unread = self.unread.clone();
            let mut octets = self.input.get(unread.clone()).unwrap_or_default();
            let before = octets.len();
            let found = self.deframer.next_owned(&mut octets)?;
            let message = found.map(|(header, payload)| Message {
                source: header.source,
                destination: header.destination,
                class: MessageClass::Request,
                payload,
            });
            self.unread = unread.start + (before - octets.len())..unread.end;
            if let Some(message) = message {
                return Poll::Ready(Ok(message));
            }
            let mut buffer = ReadBuf::new(&mut self.input[..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let count = buffer.filled().len();
            if count == 0 {
                return Poll::Ready(Err(LinkError::Closed));
            }
            self.unread = 0..count;
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream)
            .poll_shutdown(cx)
            .map_err(LinkError::from)
    }

    fn payload_max(&self) -> usize {
        usize::from(APDU_LENGTH_MAX)
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}
