//! What happens when time passes.

use super::{Association, Control, State};
use crate::cause;
use crate::chunk::kind;
use crate::event::{CloseReason, Event, MessageId};
use crate::path::{Path, PathState};
use crate::time::Instant;

impl Association {
    /// When [`Association::handle_timeout`] is to be called.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        let own = [
            self.handshake_due,
            self.guard_due,
            self.probe_due,
            self.forward_due,
            self.ack.due,
            self.reconfiguration
                .as_ref()
                .and_then(|reconfiguration| reconfiguration.request.as_ref())
                .map(|request| request.due),
        ];
        let paths = self.paths.iter().flat_map(|path| {
            [
                path.t3,
                path.heartbeat_due,
                path.heartbeat.map(|heartbeat| heartbeat.expires),
                path.mtu_probe.map(|probe| probe.expires),
                path.pmtu.due,
            ]
        });
        let steady = !matches!(self.state, State::CookieWait(_) | State::CookieEchoed(_));
        own.into_iter()
            .chain(paths.filter(|_| steady))
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.guard_due) {
            self.fail(
                cause::code::USER_INITIATED_ABORT,
                b"shutdown took too long",
                now,
            );
            return;
        }
        if is_due(self.handshake_due) {
            self.on_handshake_timeout(now);
        }
        if matches!(self.state, State::CookieWait(_) | State::CookieEchoed(_)) {
            return;
        }
        if is_due(self.ack.due) {
            self.ack.immediate = true;
            self.ack.due = None;
        }
        for at in 0..self.paths.len() {
            let due = |which: fn(&Path) -> Option<Instant>| {
                self.paths.get(at).is_some_and(|path| is_due(which(path)))
            };
            let t3 = due(|path| path.t3);
            let missed = due(|path| path.heartbeat.map(|heartbeat| heartbeat.expires));
            let probe_missed = due(|path| path.mtu_probe.map(|probe| probe.expires));
            if t3 {
                self.on_t3(at, now);
            }
            if missed {
                self.on_heartbeat_missed(at, now);
            }
            if probe_missed
                && let Some(path) = self.paths.get_mut(at)
                && let Some(Some(size)) = path.mtu_probe.take().map(|probe| probe.probe)
            {
                let rto = path.rto;
                path.pmtu.missed(size, &self.config.pmtu, now, rto);
            }
            if self.is_closed() {
                return;
            }
            let quiet = matches!(self.state, State::ShutdownSent | State::ShutdownAckSent);
            let path = self.paths.get(at);
            let heartbeat = path.is_some_and(|path| is_due(path.heartbeat_due));
            let probe = path.is_some_and(|path| is_due(path.pmtu.due));
            if heartbeat {
                self.on_heartbeat_due(at, now);
            }
            if probe && !quiet {
                self.send_mtu_probe(at, now);
            } else if probe && let Some(path) = self.paths.get_mut(at) {
                path.pmtu.due = None;
            }
        }
        if is_due(self.probe_due) {
            self.on_probe_due(now);
        }
        if is_due(self.forward_due) {
            self.forward_due = None;
            self.send_forward(now);
        }
        self.on_request_due(now);
        self.progress(now);
    }

    pub(super) fn on_heartbeat_missed(&mut self, at: usize, now: Instant) {
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        // The answer may still come, and is taken then.
        if let Some(heartbeat) = &mut path.heartbeat {
            heartbeat.expires = Instant::from_micros(u64::MAX);
        }
        path.back_off(&self.config.rto);
        self.count_error(at);
        let period = self.heartbeat_period(at);
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        // What may have failed is asked again at once (RFC 7829, section
        // 3.2); what has failed, as often as what is idle.
        path.heartbeat_due = Some(if path.state == PathState::Inactive {
            now + period
        } else {
            now
        });
    }

    /// The retransmission timer of a path ran out (RFC 9260, section 6.3.3).
    pub(super) fn on_t3(&mut self, at: usize, now: Instant) {
        if let Some(path) = self.paths.get_mut(at)
            && path.flight == 0
        {
            path.t3 = None;
            return;
        }
        self.counters.timeouts += 1;
        let mut flights = self.flights();
        let abandoned = self.tx.timed_out(at, &mut flights, now);
        self.set_flights(&flights);
        self.tell_abandoned(&abandoned, now);
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        path.t3 = None;
        path.timed_out(&self.config);
        if path.pmtu.due.is_none() && path.pmtu.candidate().is_some() {
            path.pmtu.due = Some(now + self.config.pmtu.raise_interval);
        }
        // A peer whose buffer is full and that says so is there.
        let closed_window = self.tx.peer_window() == 0 && self.heard_since_timeout;
        self.heard_since_timeout = false;
        if !closed_window {
            self.count_error(at);
            let still_in_use = self.data_path() == at;
            if still_in_use && self.paths.len() > 1 && !self.is_closed() {
                self.go_around(at);
            }
        }
        self.send_forward(now);
    }

    /// Nothing answers: the next path is tried (RFC 9260, section 6.4.1).
    pub(super) fn go_around(&mut self, at: usize) {
        if self
            .paths
            .get(at)
            .is_some_and(|path| path.state == PathState::Active)
        {
            return;
        }
        let count = self.paths.len();
        let next = (1..count)
            .map(|step| (at + step) % count)
            .find(|next| self.paths.get(*next).is_some_and(|path| path.confirmed));
        if let Some(next) = next {
            self.current = next;
        }
    }

    pub(super) fn on_request_due(&mut self, now: Instant) {
        let Some(request) = self
            .reconfiguration
            .as_ref()
            .and_then(|reconfiguration| reconfiguration.request.as_ref())
            .filter(|request| request.due <= now)
        else {
            return;
        };
        let (old, octets) = (request.path, request.octets.clone());
        if let Some(path) = self.paths.get_mut(old) {
            path.back_off(&self.config.rto);
        }
        self.count_error(old);
        let path = self.data_path();
        let due = now + self.rto(path);
        if let Some(request) = self
            .reconfiguration
            .as_mut()
            .and_then(|reconfiguration| reconfiguration.request.as_mut())
        {
            request.due = due;
            request.path = path;
        }
        self.push_parameters(kind::RE_CONFIG, Some(path), &octets);
    }

    pub(super) fn flights(&self) -> Vec<usize> {
        self.paths.iter().map(|path| path.flight).collect()
    }

    pub(super) fn set_flights(&mut self, flights: &[usize]) {
        for (path, flight) in self.paths.iter_mut().zip(flights) {
            path.flight = *flight;
        }
    }

    pub(super) fn tell_abandoned(&mut self, abandoned: &[(u16, u64)], now: Instant) {
        for (stream, id) in abandoned {
            if let Some(rest) = self.queue.abandon(*stream, *id) {
                self.tx.push_abandoned(rest, self.current, now);
            }
            self.tell(Event::Abandoned {
                stream: *stream,
                message: MessageId(*id),
            });
        }
    }

    /// Takes the steps that follow from what is acknowledged and empty.
    pub(crate) fn progress(&mut self, now: Instant) {
        self.progress_shutdown(now);
        self.progress_reconfiguration(now);
    }

    /// Sends SHUTDOWN or SHUTDOWN ACK once all is acknowledged (RFC 9260,
    /// section 9.2).
    pub(super) fn progress_shutdown(&mut self, now: Instant) {
        if !self.tx.is_empty() || !self.queue.is_empty() {
            return;
        }
        match self.state {
            State::ShutdownPending => {
                self.state = State::ShutdownSent;
                self.send_shutdown(now);
            }
            State::ShutdownReceived => {
                self.state = State::ShutdownAckSent;
                self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
                self.handshake_due = Some(now + self.rto(self.data_path()));
            }
            _ => {}
        }
    }

    pub(super) fn send_shutdown(&mut self, now: Instant) {
        let ack = crate::receive::wire(self.rx.cumulative());
        self.push_control(kind::SHUTDOWN, None, |out| out.extend(ack.to_be_bytes()));
        self.handshake_due = Some(now + self.rto(self.data_path()));
    }

    /// T1-init, T1-cookie or T2-shutdown ran out.
    pub(super) fn on_handshake_timeout(&mut self, now: Instant) {
        self.handshake_due = None;
        let path = self.data_path();
        let echoed = matches!(self.state, State::CookieEchoed(_));
        match &mut self.state {
            State::CookieWait(set_up) | State::CookieEchoed(set_up) => {
                set_up.attempts += 1;
                if set_up.attempts > self.config.init_retransmits_max {
                    self.close(CloseReason::SetUpTimeout);
                    return;
                }
                // The peer may be reached at another of its addresses.
                let count = self.paths.len().max(1);
                self.current = (self.current + 1) % count;
                if let Some(path) = self.paths.get_mut(self.current) {
                    path.back_off(&self.config.rto);
                }
                if echoed {
                    self.recall_data(now);
                }
                self.send_set_up(now);
            }
            State::ShutdownSent => {
                self.shutdown_error(path);
                if !self.is_closed() {
                    self.send_shutdown(now);
                }
            }
            State::ShutdownAckSent => {
                self.shutdown_error(path);
                if !self.is_closed() {
                    self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
                    self.handshake_due = Some(now + self.rto(self.data_path()));
                }
            }
            _ => {}
        }
    }

    /// Takes back what went with a COOKIE ECHO that was not answered.
    pub(super) fn recall_data(&mut self, now: Instant) {
        let mut flights = self.flights();
        let mut abandoned = Vec::new();
        for at in 0..self.paths.len() {
            abandoned.extend(self.tx.timed_out(at, &mut flights, now));
        }
        self.set_flights(&flights);
        self.tell_abandoned(&abandoned, now);
    }

    pub(super) fn shutdown_error(&mut self, at: usize) {
        if let Some(path) = self.paths.get_mut(at) {
            path.back_off(&self.config.rto);
        }
        self.count_error(at);
        if !self.is_closed() && self.errors > self.config.association_retransmits_max {
            self.give_up();
        }
    }

    /// Sends INIT or COOKIE ECHO, and waits for the answer.
    pub(super) fn send_set_up(&mut self, now: Instant) {
        let (chunk_kind, octets) = match &self.state {
            State::CookieWait(set_up) => (kind::INIT, set_up.chunk.clone()),
            State::CookieEchoed(set_up) => (kind::COOKIE_ECHO, set_up.chunk.clone()),
            _ => return,
        };
        let path = self.current;
        self.queue_control(Control {
            kind: chunk_kind,
            octets,
            path: Some(path),
            pad_to: None,
        });
        self.handshake_due = Some(now + self.rto(path));
    }
}
