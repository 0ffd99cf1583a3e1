//! The wrapper over UDP: one datagram, one message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dlms::codec::Wire;
use dlms::wrapper::{HEADER_LENGTH, Wrapper};
use model::MessageClass;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::queue::SendQueue;
use crate::{Link, LinkError, Message};

/// The most that one datagram over IPv4 holds.
pub(crate) const DATAGRAM_SIZE_MAX: usize = 65_507;

/// A link of the wrapper over UDP to one peer.
///
/// What comes from others, or is no wrapped APDU, is dropped and counted.
pub(crate) struct UdpLink {
    socket: Arc<UdpSocket>,
    remote: SocketAddr,
    source: Source,
    queue: SendQueue,
    waiting: Option<Vec<u8>>,
    dropped: u64,
}

/// Where a link's datagrams come from.
enum Source {
    /// The link's own connected socket.
    Socket(Box<[u8]>),
    /// A listener that sorts datagrams by their sender.
    Listener(mpsc::Receiver<Vec<u8>>),
}

impl UdpLink {
    /// Makes a link over a socket that is connected to `remote`.
    pub(crate) fn connected(socket: UdpSocket, remote: SocketAddr) -> Self {
        let buffer = vec![0; DATAGRAM_SIZE_MAX].into_boxed_slice();
        Self::over(Arc::new(socket), remote, Source::Socket(buffer))
    }

    /// Makes a link over a listener's socket, which hands datagrams in.
    pub(crate) fn accepted(
        socket: Arc<UdpSocket>,
        remote: SocketAddr,
        datagrams: mpsc::Receiver<Vec<u8>>,
    ) -> Self {
        Self::over(socket, remote, Source::Listener(datagrams))
    }

    fn over(socket: Arc<UdpSocket>, remote: SocketAddr, source: Source) -> Self {
        Self {
            socket,
            remote,
            source,
            queue: SendQueue::default(),
            waiting: None,
            dropped: 0,
        }
    }

    fn accept(&mut self, datagram: &[u8]) -> Option<Message> {
        match Wrapper::from_octets(datagram) {
            Ok(wrapper) => Some(Message {
                source: wrapper.source,
                destination: wrapper.destination,
                class: MessageClass::Request,
                payload: wrapper.apdu.to_vec(),
            }),
            Err(error) => {
                self.dropped += 1;
                tracing::debug!(%error, dropped = self.dropped, "dropped a datagram");
                None
            }
        }
    }
}

impl Link for UdpLink {
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
            if let Some(datagram) = &self.waiting {
                match ready!(self.socket.poll_send_to(cx, datagram, self.remote)) {
                    // A refusal reported by ICMP belongs to an earlier datagram;
                    // UDP promises nothing, so the link goes on.
                    Err(error) if error.kind() != std::io::ErrorKind::ConnectionRefused => {
                        return Poll::Ready(Err(error.into()));
                    }
                    Ok(_) | Err(_) => self.waiting = None,
                }
            }
            let Some(message) = self.queue.pop() else {
                return Poll::Ready(Ok(()));
            };
            let wrapper = Wrapper {
                source: message.source,
                destination: message.destination,
                apdu: &message.payload,
            };
            self.waiting = Some(wrapper.to_octets());
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            let datagram = match &mut self.source {
                Source::Socket(buffer) => {
                    let mut filled = ReadBuf::new(buffer);
                    match ready!(self.socket.poll_recv_from(cx, &mut filled)) {
                        Ok(from) if from == self.remote => filled.filled().to_vec(),
                        Ok(_) => continue,
                        Err(error) => return Poll::Ready(Err(error.into())),
                    }
                }
                Source::Listener(datagrams) => {
                    ready!(datagrams.poll_recv(cx)).ok_or(LinkError::Closed)?
                }
            };
            if let Some(message) = self.accept(&datagram) {
                return Poll::Ready(Ok(message));
            }
        }
    }

    fn payload_max(&self) -> usize {
        DATAGRAM_SIZE_MAX - HEADER_LENGTH
    }

    fn peer(&self) -> String {
        format!("udp://{}", self.remote)
    }
}
