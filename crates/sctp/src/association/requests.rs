//! What the application asks for, and what it is told.

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use super::{Association, RequestError, SendError, SendOptions, State, Status};
use crate::auth::Auth;
use crate::cause;
use crate::chunk::kind;
use crate::event::{CloseReason, Event, MessageId};
use crate::path::PathStatus;
use crate::receive::Message;
use crate::reconfiguration::{REQUESTS_MAX, Wanted};
use crate::scheduler::{Pending, Refused, StreamOptions};
use crate::time::Instant;

impl Association {
    pub(crate) fn send(
        &mut self,
        stream: u16,
        payload: Bytes,
        options: &SendOptions,
    ) -> Result<MessageId, SendError> {
        match self.state {
            State::CookieWait(_) | State::CookieEchoed(_) | State::Established => {}
            _ => return Err(SendError::ShuttingDown),
        }
        if payload.is_empty() {
            return Err(SendError::Empty);
        }
        if payload.len() > self.config.message_len_max {
            return Err(SendError::TooLong);
        }
        if stream >= self.outbound_streams {
            return Err(SendError::NoStream);
        }
        let id = self.next_message;
        let message = Pending::new(
            id,
            payload,
            options.ppid,
            options.unordered,
            options.reliability,
        );
        match self.queue.push(stream, message, &self.config) {
            Ok(()) => {
                self.next_message += 1;
                Ok(MessageId(id))
            }
            Err(Refused::Full) => {
                if !self.full.contains(&stream) {
                    self.full.push(stream);
                }
                Err(SendError::Full)
            }
        }
    }

    pub(crate) fn receive(&mut self, now: Instant) -> Option<Message> {
        let message = self.rx.deliver();
        if message.is_none() {
            self.readable_told = false;
        } else if self.rx.window_opened() && matches!(self.state, State::Established) {
            self.ack.immediate = true;
            self.ack.due = Some(now);
        }
        message
    }

    /// Takes what arrived whole and was not received, at the end.
    pub(crate) fn take_unread(&mut self) -> VecDeque<Message> {
        std::iter::from_fn(|| self.rx.deliver()).collect()
    }

    /// Takes over what arrived before the peer began anew.
    pub(crate) fn keep_unread(&mut self, unread: VecDeque<Message>) {
        self.rx.keep(unread);
    }

    pub(crate) fn set_stream(&mut self, stream: u16, options: StreamOptions) {
        self.queue.set_options(stream, options);
    }

    pub(crate) fn stream_options(&self) -> Vec<(u16, StreamOptions)> {
        self.queue
            .used()
            .into_iter()
            .map(|stream| (stream, self.queue.options(stream)))
            .collect()
    }

    pub(crate) fn buffered_on(&self, stream: u16) -> usize {
        self.queue.buffered_on(stream)
    }

    pub(crate) fn shutdown(&mut self, now: Instant) {
        match self.state {
            State::Established => {
                self.state = State::ShutdownPending;
                self.guard_due = Some(now + self.config.rto.max.saturating_mul(5));
                self.progress_shutdown(now);
            }
            State::CookieEchoed(_) => {
                self.fail(cause::code::USER_INITIATED_ABORT, b"", now);
            }
            State::CookieWait(_) => self.close(CloseReason::Shutdown),
            _ => {}
        }
    }

    pub(crate) fn abort(&mut self, reason: &[u8], now: Instant) {
        let reason = reason.get(..reason.len().min(512)).unwrap_or_default();
        self.fail(cause::code::USER_INITIATED_ABORT, reason, now);
    }

    /// Tells the peer that it is over, and why.
    pub(super) fn fail(&mut self, code: u16, information: &[u8], _: Instant) {
        if self.is_closed() {
            return;
        }
        self.control.clear();
        if self.has_peer() {
            let causes = cause::cause(code, information);
            self.push_parameters(kind::ABORT, None, &causes);
        }
        self.close(CloseReason::Aborted { cause: code });
    }

    /// Ends the association since the peer does not answer, and tells it so,
    /// should it hear.
    pub(super) fn give_up(&mut self) {
        if self.is_closed() {
            return;
        }
        self.control.clear();
        if self.has_peer() {
            let causes = cause::cause(cause::code::USER_INITIATED_ABORT, b"no answer");
            self.push_parameters(kind::ABORT, None, &causes);
        }
        self.close(CloseReason::Unreachable);
    }

    /// Ends the association here.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        self.events.push_back(Event::Closed {
            reason,
            unacknowledged: self.unacknowledged(),
        });
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        // A message may be under way in part, and wait in part.
        let mut ids = self.tx.messages();
        let (whole, begun) = self.queue.waiting();
        ids.extend(begun);
        ids.sort_unstable();
        ids.dedup();
        ids.len() + whole
    }

    /// Asks for reconfiguration.
    pub(crate) fn request(&mut self, wanted: Wanted, now: Instant) -> Result<(), RequestError> {
        if !matches!(self.state, State::Established) {
            return Err(RequestError::NotEstablished);
        }
        let (outbound, inbound) = (self.outbound_streams, self.inbound_streams);
        let Some(reconfiguration) = &mut self.reconfiguration else {
            return Err(RequestError::Unsupported);
        };
        let known = match &wanted {
            Wanted::ResetOutgoing(streams, _) => streams.iter().all(|stream| *stream < outbound),
            Wanted::ResetIncoming(streams) => streams.iter().all(|stream| *stream < inbound),
            Wanted::ResetAll => true,
            Wanted::AddOutgoing(count) => outbound.checked_add(*count).is_some(),
            Wanted::AddIncoming(count) => inbound
                .checked_add(*count)
                .is_some_and(|sum| sum <= self.config.inbound_streams_max),
        };
        if !known {
            return Err(RequestError::Unknown);
        }
        if reconfiguration.wanted.len() >= REQUESTS_MAX {
            return Err(RequestError::Busy);
        }
        self.hold_streams(&wanted);
        if let Some(reconfiguration) = &mut self.reconfiguration {
            reconfiguration.wanted.push_back(wanted);
        }
        self.progress_reconfiguration(now);
        Ok(())
    }

    /// Holds back new messages of streams that are to begin anew.
    pub(super) fn hold_streams(&mut self, wanted: &Wanted) {
        if let Wanted::ResetOutgoing(streams, _) = wanted {
            for stream in self.all_if_empty(streams) {
                self.queue.hold(stream);
            }
        }
        if *wanted == Wanted::ResetAll {
            self.queue.hold_all();
        }
    }

    pub(super) fn all_if_empty(&self, streams: &[u16]) -> Vec<u16> {
        if streams.is_empty() {
            self.queue.used()
        } else {
            streams.to_vec()
        }
    }

    /// Sends the next request, when nothing stands in its way.
    pub(super) fn progress_reconfiguration(&mut self, now: Instant) {
        let path = self.data_path();
        let Some(reconfiguration) = &self.reconfiguration else {
            return;
        };
        if reconfiguration.request.is_some() {
            return;
        }
        let Some(wanted) = reconfiguration.wanted.front().cloned() else {
            return;
        };
        if let Wanted::ResetOutgoing(streams, _) = &wanted {
            let waiting = self
                .all_if_empty(streams)
                .into_iter()
                .any(|stream| !self.queue.is_drained(stream) || self.tx.has_stream(stream));
            if waiting {
                return;
            }
        }
        if wanted == Wanted::ResetAll && !(self.tx.is_empty() && self.queue.is_drained_all()) {
            return;
        }
        let due = now + self.rto(path);
        let last_tsn = crate::receive::wire(self.tx.next_tsn() - 1);
        if let Some(reconfiguration) = &mut self.reconfiguration {
            reconfiguration.wanted.pop_front();
            let octets = reconfiguration.begin(wanted, last_tsn, path, due);
            self.push_parameters(kind::RE_CONFIG, Some(path), &octets);
        }
    }

    pub(crate) fn set_primary(&mut self, remote: IpAddr) -> Result<(), RequestError> {
        let at = self.path_to(remote).ok_or(RequestError::Unknown)?;
        self.primary = at;
        self.update_current();
        Ok(())
    }

    pub(crate) fn heartbeat_now(
        &mut self,
        remote: IpAddr,
        now: Instant,
    ) -> Result<(), RequestError> {
        let at = self.path_to(remote).ok_or(RequestError::Unknown)?;
        if !matches!(self.state, State::Established) {
            return Err(RequestError::NotEstablished);
        }
        self.send_heartbeat(at, now);
        Ok(())
    }

    pub(crate) fn auth_mut(&mut self) -> Option<&mut Auth> {
        self.auth.as_deref_mut()
    }

    pub(crate) fn path_status(&self) -> Vec<PathStatus> {
        self.paths
            .iter()
            .enumerate()
            .map(|(at, path)| path.status(at == self.primary))
            .collect()
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            established: matches!(self.state, State::Established),
            peer_port: self.peer_port,
            capabilities: self.capabilities,
            outbound_streams: self.outbound_streams,
            inbound_streams: self.inbound_streams,
            buffered: self.queue.buffered(),
            in_flight: self.tx.flight(),
            peer_window: self.tx.peer_window(),
            counters: self.counters,
        }
    }
}
