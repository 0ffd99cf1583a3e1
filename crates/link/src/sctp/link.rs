//! The wrapper over SCTP: one message, one wrapped APDU.

use std::task::{Context, Poll, ready};

use dlms::codec::Wire;
use dlms::wrapper::Wrapper;

use super::{PPID_DLMS, SctpAssociation};
use crate::{Link, LinkError, Message, SctpStatus};

/// A link over an association.
pub(crate) struct SctpLink {
    association: SctpAssociation,
    peer: String,
    dropped: u64,
}

impl SctpLink {
    pub(crate) const fn new(association: SctpAssociation, peer: String) -> Self {
        Self {
            association,
            peer,
            dropped: 0,
        }
    }
}

impl Link for SctpLink {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let max = self.payload_max();
        if message.payload.len() > max {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max,
            });
        }
        let wrapper = Wrapper {
            source: message.source,
            destination: message.destination,
            apdu: &message.payload,
        };
        let octets = wrapper.to_octets();
        self.association
            .send(message.class, PPID_DLMS, octets.into())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.association.poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        loop {
            let received = ready!(self.association.poll_receive(cx))?;
            let wrapped = if received.protocol == PPID_DLMS {
                Wrapper::from_octets(&received.payload).ok()
            } else {
                None
            };
            if let Some(wrapper) = wrapped {
                return Poll::Ready(Ok(Message {
                    source: wrapper.source,
                    destination: wrapper.destination,
                    class: received.class,
                    payload: wrapper.apdu.to_vec(),
                }));
            }
            self.dropped += 1;
            let protocol = received.protocol;
            tracing::debug!(protocol, self.dropped, "dropped what is no wrapped APDU");
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.association.poll_close(cx)
    }

    fn payload_max(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }

    fn sctp(&self) -> Option<SctpStatus> {
        Some(self.association.status())
    }
}
