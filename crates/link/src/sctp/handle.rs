//! One association, whoever drives it.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use model::MessageClass;
use tokio::sync::broadcast;

#[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
use super::kernel;
use super::{Received, SctpEvent, SctpStatus, driver};
use crate::LinkError;

/// One association, until it is dropped.
pub(super) enum Handle {
    Own(driver::Handle),
    #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
    Kernel(kernel::Handle),
}

/// Hands a call on to whoever drives the association.
macro_rules! of {
    ($self:expr, $handle:ident => $call:expr) => {
        match $self {
            Self::Own($handle) => $call,
            #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
            Self::Kernel($handle) => $call,
        }
    };
}

impl Handle {
    /// Puts a message into its class's queue, to be delivered in order.
    pub(super) fn send(
        &self,
        class: MessageClass,
        protocol: u32,
        payload: Bytes,
    ) -> Result<(), LinkError> {
        self.send_for(class, protocol, payload, None)
    }

    /// Puts a message into its class's queue; with a lifetime it is given up
    /// after that, and delivered out of order.
    pub(super) fn send_for(
        &self,
        class: MessageClass,
        protocol: u32,
        payload: Bytes,
        lifetime: Option<Duration>,
    ) -> Result<(), LinkError> {
        of!(self, handle => handle.send_for(class, protocol, payload, lifetime))
    }

    /// Waits until a class that refused a message takes one again, or all is
    /// handed to the network.
    pub(super) fn wait_to_write(&self, cx: &Context<'_>) -> Result<(), LinkError> {
        of!(self, handle => handle.wait_to_write(cx))
    }

    /// Waits until a class that refused a message takes one again.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        of!(self, handle => handle.poll_room(cx))
    }

    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        of!(self, handle => handle.poll_flush(cx))
    }

    pub(super) fn poll_receive(&self, cx: &Context<'_>) -> Poll<Result<Received, LinkError>> {
        of!(self, handle => handle.poll_receive(cx))
    }

    pub(super) fn poll_close(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        of!(self, handle => handle.poll_close(cx))
    }

    /// Adds a key of authenticated chunks (RFC 4895).
    pub(super) fn set_auth_key(&self, key_id: u16, key: &[u8]) -> bool {
        of!(self, handle => handle.set_auth_key(key_id, key))
    }

    /// Authenticates what is sent with this key from now on.
    pub(super) fn activate_auth_key(&self, key_id: u16) -> bool {
        of!(self, handle => handle.activate_auth_key(key_id))
    }

    /// Takes nothing more that is authenticated with this key.
    pub(super) fn remove_auth_key(&self, key_id: u16) -> bool {
        of!(self, handle => handle.remove_auth_key(key_id))
    }

    pub(super) fn observe(&self) -> broadcast::Receiver<SctpEvent> {
        of!(self, handle => handle.observe())
    }

    pub(super) fn status(&self) -> SctpStatus {
        of!(self, handle => handle.status())
    }

    pub(super) fn name(&self) -> String {
        of!(self, handle => handle.name())
    }
}
