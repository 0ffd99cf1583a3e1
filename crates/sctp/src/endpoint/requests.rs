//! What the application asks for, and what it is told.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Connect, ConnectError, Endpoint, EndpointCounters, wrap};
use crate::association::{Association, Peer, RequestError, SendError, SendOptions, Status};
use crate::auth::Auth;
use crate::entropy;
use crate::event::{AssociationId, MessageId};
use crate::path::{self, PathStatus};
use crate::receive::Message;
use crate::reconfiguration::Wanted;
use crate::scheduler::StreamOptions;
use crate::time::Instant;

impl Endpoint {
    /// Begins an association with a peer.
    ///
    /// # Errors
    /// Where there is one, or no address fits, or there are too many.
    pub fn connect(
        &mut self,
        connect: &Connect,
        now: Instant,
    ) -> Result<AssociationId, ConnectError> {
        self.now = self.now.max(now);
        if self.associations.len() >= self.config.associations_max {
            return Err(ConnectError::TooMany);
        }
        let udp_port = connect
            .udp_port
            .or_else(|| path::udp_port(self.config.encapsulation));
        let exists = connect.addresses.iter().any(|address| {
            self.by_peer
                .contains_key(&(*address, connect.port, udp_port.unwrap_or(0)))
        });
        if exists {
            return Err(ConnectError::Exists);
        }
        let mut tag = entropy::tag(self.entropy.as_mut());
        while self.by_tag.contains_key(&tag) {
            tag = tag.wrapping_add(1).max(1);
        }
        let peer = Peer {
            addresses: connect.addresses.clone(),
            port: connect.port,
            udp_port,
            keys: wrap(connect.auth_keys.clone()),
        };
        let association = Association::connect(
            Arc::new(connect.config.clone()),
            Arc::clone(&self.locals),
            self.config.port,
            self.config.advertise,
            &peer,
            tag,
            self.entropy.as_mut(),
            self.now,
        );
        if association.paths.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        Ok(self.add(Box::new(association)))
    }

    /// Takes associations of peers from now on, or refuses them. Those that
    /// stand are not touched.
    pub const fn set_accept(&mut self, accept: bool) {
        self.config.accept = accept;
    }

    pub(super) fn with<T, E>(
        &mut self,
        id: AssociationId,
        now: Instant,
        none: E,
        ask: impl FnOnce(&mut Association, Instant) -> Result<T, E>,
    ) -> Result<T, E> {
        self.now = self.now.max(now);
        let entry = self.associations.get_mut(&id).ok_or(none)?;
        let done = ask(&mut entry.association, self.now);
        self.busy.insert(id);
        done
    }

    /// Hands in a message to be sent on a stream.
    ///
    /// # Errors
    /// Where it is not taken, and why.
    pub fn send(
        &mut self,
        id: AssociationId,
        stream: u16,
        payload: Bytes,
        options: &SendOptions,
        now: Instant,
    ) -> Result<MessageId, SendError> {
        self.with(id, now, SendError::NoAssociation, |association, _| {
            association.send(stream, payload, options)
        })
    }

    /// Takes the next message that arrived; those that arrived before the end
    /// of an association, also after it. [`Event::Readable`] comes again only
    /// after this gave `None`.
    ///
    /// [`Event::Readable`]: crate::Event::Readable
    pub fn receive(&mut self, id: AssociationId, now: Instant) -> Option<Message> {
        if let Some(unread) = self.unread.get_mut(&id) {
            let message = unread.pop_front();
            if unread.is_empty() {
                self.unread.remove(&id);
            }
            return message;
        }
        self.with(id, now, (), |association, now| {
            association.receive(now).ok_or(())
        })
        .ok()
    }

    /// Ends an association once all was delivered. Messages are no longer
    /// taken.
    pub fn shutdown(&mut self, id: AssociationId, now: Instant) {
        self.with(id, now, (), |association, now| {
            association.shutdown(now);
            Ok(())
        })
        .unwrap_or_default();
    }

    /// Ends an association at once, and tells the peer the reason, of which
    /// up to 512 octets are sent.
    pub fn abort(&mut self, id: AssociationId, reason: &[u8], now: Instant) {
        self.with(id, now, (), |association, now| {
            association.abort(reason, now);
            Ok(())
        })
        .unwrap_or_default();
    }

    /// Sets how a stream is treated. It may be set before the association
    /// stands.
    ///
    /// # Errors
    /// Where there is no such association.
    pub fn set_stream(
        &mut self,
        id: AssociationId,
        stream: u16,
        options: StreamOptions,
    ) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| {
                association.set_stream(stream, options);
                Ok(())
            },
        )
    }

    /// Asks to begin anew on streams that we send on; all for none. What is
    /// handed in until that is done waits. [`Event::StreamsReset`] tells the
    /// end.
    ///
    /// [`Event::StreamsReset`]: crate::Event::StreamsReset
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn reset_outgoing(
        &mut self,
        id: AssociationId,
        streams: &[u16],
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::ResetOutgoing(streams.to_vec(), None), now)
    }

    /// Asks the peer to begin anew on streams that it sends on; all for none.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn reset_incoming(
        &mut self,
        id: AssociationId,
        streams: &[u16],
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::ResetIncoming(streams.to_vec()), now)
    }

    /// Asks to begin all streams and the TSNs of both directions anew
    /// (RFC 6525's SSN/TSN reset). What was handed in before goes first, what
    /// is handed in until it is done waits. [`Event::AssociationReset`] tells
    /// the end.
    ///
    /// [`Event::AssociationReset`]: crate::Event::AssociationReset
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn reset_association(
        &mut self,
        id: AssociationId,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::ResetAll, now)
    }

    /// Asks for more streams to send on.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn add_outgoing(
        &mut self,
        id: AssociationId,
        count: u16,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::AddOutgoing(count), now)
    }

    /// Asks the peer to add streams that it sends on.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn add_incoming(
        &mut self,
        id: AssociationId,
        count: u16,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::AddIncoming(count), now)
    }

    pub(super) fn request(
        &mut self,
        id: AssociationId,
        wanted: Wanted,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.with(id, now, RequestError::NoAssociation, |association, now| {
            association.request(wanted, now)
        })
    }

    /// Makes the path to `remote` the primary one.
    ///
    /// # Errors
    /// Where the peer has no such address.
    pub fn set_primary(&mut self, id: AssociationId, remote: IpAddr) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| association.set_primary(remote),
        )
    }

    /// Sends a heartbeat on the path to `remote` now.
    ///
    /// # Errors
    /// Where the peer has no such address, or the association does not stand.
    pub fn heartbeat(
        &mut self,
        id: AssociationId,
        remote: IpAddr,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.with(id, now, RequestError::NoAssociation, |association, now| {
            association.heartbeat_now(remote, now)
        })
    }

    /// Adds or replaces an endpoint pair shared key (RFC 4895), such as one
    /// exported from TLS.
    ///
    /// # Errors
    /// Where authentication was not agreed, or there are too many keys.
    pub fn set_auth_key(
        &mut self,
        id: AssociationId,
        key_id: u16,
        key: &[u8],
    ) -> Result<(), RequestError> {
        self.with_auth(id, RequestError::Busy, |auth| auth.set_key(key_id, key))
    }

    /// Authenticates what is sent with another key from now on. The peer must
    /// have it already.
    ///
    /// # Errors
    /// Where authentication was not agreed, or there is no such key.
    pub fn activate_auth_key(
        &mut self,
        id: AssociationId,
        key_id: u16,
    ) -> Result<(), RequestError> {
        self.with_auth(id, RequestError::Unknown, |auth| auth.activate(key_id))
    }

    /// Forgets a key that is not active: what is authenticated with it is no
    /// longer taken.
    ///
    /// # Errors
    /// Where authentication was not agreed, or the key is not there or
    /// active.
    pub fn remove_auth_key(&mut self, id: AssociationId, key_id: u16) -> Result<(), RequestError> {
        self.with_auth(id, RequestError::Unknown, |auth| auth.remove_key(key_id))
    }

    /// Does something to an association's keys; `refused` is what it is told
    /// where that does not go.
    fn with_auth(
        &mut self,
        id: AssociationId,
        refused: RequestError,
        change: impl FnOnce(&mut Auth) -> bool,
    ) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| {
                let auth = association.auth_mut().ok_or(RequestError::Unsupported)?;
                change(auth).then_some(()).ok_or(refused)
            },
        )
    }

    /// Tells octets that wait on a stream to be sent.
    #[must_use]
    pub fn buffered(&self, id: AssociationId, stream: u16) -> usize {
        self.associations
            .get(&id)
            .map_or(0, |entry| entry.association.buffered_on(stream))
    }

    /// Tells what the paths of an association are like.
    #[must_use]
    pub fn paths(&self, id: AssociationId) -> Vec<PathStatus> {
        self.associations
            .get(&id)
            .map(|entry| entry.association.path_status())
            .unwrap_or_default()
    }

    /// Tells what an association is like.
    #[must_use]
    pub fn status(&self, id: AssociationId) -> Option<Status> {
        self.associations
            .get(&id)
            .map(|entry| entry.association.status())
    }

    /// Tells what was dropped and refused.
    #[must_use]
    pub const fn counters(&self) -> EndpointCounters {
        self.counters
    }

    /// Goes through the associations.
    pub fn ids(&self) -> impl Iterator<Item = AssociationId> {
        self.associations.keys().copied()
    }

    /// Tells how many associations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.associations.len()
    }

    /// Tells whether there is no association.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.associations.is_empty()
    }
}
