//! Streams and TSNs that begin anew, and more streams, as either side asks
//! (RFC 6525).

use super::Association;
use crate::cause;
use crate::chunk::kind;
use crate::event::Event;
use crate::parameter::Parameters;
use crate::receive;
use crate::reconfiguration::{Asked, NextTsns, REQUESTS_MAX, Wanted, response, result};
use crate::time::Instant;

impl Association {
    pub(super) fn on_re_config(&mut self, parameters: &[u8], at: usize, now: Instant) {
        let mut answers = Vec::new();
        for parameter in Parameters::new(parameters, 0).take(2) {
            let Ok(Some(asked)) = parameter.and_then(|parameter| Asked::read(&parameter)) else {
                self.counters.malformed += 1;
                continue;
            };
            answers.extend(self.on_asked(asked, now));
        }
        if !answers.is_empty() {
            self.push_parameters(kind::RE_CONFIG, Some(at), &answers);
        }
        self.progress_reconfiguration(now);
    }

    /// Takes a request or response, and makes the octets of the response.
    fn on_asked(&mut self, asked: Asked, now: Instant) -> Vec<u8> {
        let sequence = match &asked {
            Asked::Response {
                sequence,
                result,
                next,
            } => {
                self.on_response(*sequence, *result, *next, now);
                return Vec::new();
            }
            Asked::ResetOutgoing { sequence, .. }
            | Asked::ResetIncoming { sequence, .. }
            | Asked::ResetTsn { sequence }
            | Asked::AddOutgoing { sequence, .. }
            | Asked::AddIncoming { sequence, .. } => *sequence,
        };
        let Some(reconfiguration) = &self.reconfiguration else {
            return Vec::new();
        };
        if let Err((known, next)) = reconfiguration.check(sequence) {
            return response(sequence, known, next);
        }
        let mut next = None;
        let outcome = match asked {
            Asked::ResetOutgoing {
                last_tsn,
                streams,
                response_to,
                ..
            } => self.peer_resets(last_tsn, streams, response_to),
            Asked::ResetIncoming { streams, .. } => self.peer_asks_reset(streams, sequence, now),
            Asked::ResetTsn { .. } => {
                let (outcome, tsns) = self.peer_resets_all();
                next = tsns;
                outcome
            }
            Asked::AddOutgoing { count, .. } => self.peer_adds(count),
            Asked::AddIncoming { count, .. } => {
                if count == 0 || self.outbound_streams.checked_add(count).is_none() {
                    result::DENIED
                } else {
                    self.want(Wanted::AddOutgoing(count))
                }
            }
            Asked::Response { .. } => return Vec::new(),
        };
        if outcome != result::IN_PROGRESS
            && let Some(reconfiguration) = &mut self.reconfiguration
        {
            reconfiguration.answer(sequence, outcome, next);
        }
        response(sequence, outcome, next)
    }

    /// The peer wants all numbers of both directions to begin anew (RFC 6525,
    /// section 5.2.4).
    fn peer_resets_all(&mut self) -> (u32, Option<NextTsns>) {
        if self
            .reconfiguration
            .as_ref()
            .is_some_and(|reconfiguration| reconfiguration.request.is_some())
        {
            return (result::OTHER_REQUEST_IN_PROGRESS, None);
        }
        // Nothing of ours may be under way, or under way in part: it asks
        // again.
        if !self.tx.is_empty() || self.queue.is_begun() {
            return (result::IN_PROGRESS, None);
        }
        let next = NextTsns {
            sender: receive::wire(self.tx.next_tsn()),
            // Far from all that may still be under way to us.
            receiver: receive::wire(self.rx.cumulative() + 1).wrapping_add(1 << 31),
        };
        self.renumber(next.sender, next.receiver);
        self.queue.restart();
        self.tell(Event::AssociationReset { done: true });
        (result::PERFORMED, Some(next))
    }

    /// All TSNs begin anew.
    fn renumber(&mut self, ours: u32, theirs: u32) {
        self.tx.renumber(ours);
        self.rx.renumber(theirs);
        for path in &mut self.paths {
            path.recovery = None;
        }
    }

    /// The peer begins anew on streams that it sends on (RFC 6525, section
    /// 5.2.2).
    fn peer_resets(&mut self, last_tsn: u32, streams: Vec<u16>, response_to: u32) -> u32 {
        if receive::is_after(last_tsn, receive::wire(self.rx.cumulative())) {
            return result::IN_PROGRESS;
        }
        if streams.iter().any(|stream| *stream >= self.inbound_streams) {
            return result::WRONG_SSN;
        }
        let all = if streams.is_empty() {
            self.rx.used()
        } else {
            streams.clone()
        };
        for stream in all {
            self.rx.reset(stream);
        }
        // It may answer our own request.
        let asked = self
            .reconfiguration
            .as_mut()
            .and_then(|reconfiguration| reconfiguration.finish_incoming(response_to));
        if asked.is_some() {
            self.errors = 0;
        }
        self.tell(Event::StreamsReset {
            incoming: true,
            streams,
            done: true,
        });
        result::PERFORMED
    }

    /// The peer wants us to begin anew on streams that we send on (RFC 6525,
    /// section 5.2.3).
    fn peer_asks_reset(&mut self, streams: Vec<u16>, sequence: u32, _: Instant) -> u32 {
        if streams
            .iter()
            .any(|stream| *stream >= self.outbound_streams)
        {
            return result::WRONG_SSN;
        }
        if streams.is_empty() && self.queue.used().is_empty() {
            return result::NOTHING_TO_DO;
        }
        let wanted = Wanted::ResetOutgoing(streams, Some(sequence));
        let outcome = self.want(wanted.clone());
        if outcome == result::PERFORMED {
            self.hold_streams(&wanted);
        }
        outcome
    }

    fn want(&mut self, wanted: Wanted) -> u32 {
        match &mut self.reconfiguration {
            Some(reconfiguration) if reconfiguration.wanted.len() < REQUESTS_MAX => {
                reconfiguration.wanted.push_back(wanted);
                result::PERFORMED
            }
            _ => result::DENIED,
        }
    }

    fn peer_adds(&mut self, count: u16) -> u32 {
        let sum = self
            .inbound_streams
            .checked_add(count)
            .filter(|sum| count > 0 && *sum <= self.config.inbound_streams_max);
        let Some(sum) = sum else {
            return result::DENIED;
        };
        self.inbound_streams = sum;
        self.tell(Event::StreamsAdded {
            incoming: true,
            count: sum,
            done: true,
        });
        result::PERFORMED
    }

    fn on_response(&mut self, sequence: u32, outcome: u32, next: Option<NextTsns>, now: Instant) {
        let path = self.data_path();
        let due = now + self.rto(path);
        let Some(reconfiguration) = &mut self.reconfiguration else {
            return;
        };
        if outcome == result::IN_PROGRESS {
            if let Some(request) = reconfiguration
                .request
                .as_mut()
                .filter(|request| request.sequence == sequence)
            {
                request.due = due;
            }
            return;
        }
        let Some(request) = reconfiguration.finish(sequence) else {
            return;
        };
        self.errors = 0;
        let done = matches!(outcome, result::PERFORMED | result::NOTHING_TO_DO);
        match request.wanted {
            Wanted::ResetOutgoing(streams, _) => {
                for stream in self.all_if_empty(&streams) {
                    self.queue.release(stream, done);
                }
                self.tell(Event::StreamsReset {
                    incoming: false,
                    streams,
                    done,
                });
            }
            Wanted::ResetIncoming(streams) => {
                if !done {
                    self.tell(Event::StreamsReset {
                        incoming: true,
                        streams,
                        done,
                    });
                }
            }
            Wanted::ResetAll => {
                let done = outcome == result::PERFORMED;
                match next {
                    Some(next) if done => {
                        self.renumber(next.receiver, next.sender);
                        self.queue.restart();
                    }
                    _ if done => {
                        self.fail(
                            cause::code::PROTOCOL_VIOLATION,
                            b"TSNs reset and not told",
                            now,
                        );
                        return;
                    }
                    _ => {}
                }
                self.queue.release_all();
                self.tell(Event::AssociationReset { done });
            }
            Wanted::AddOutgoing(count) => {
                if done {
                    self.outbound_streams = self.outbound_streams.saturating_add(count);
                }
                self.tell(Event::StreamsAdded {
                    incoming: false,
                    count: self.outbound_streams,
                    done,
                });
            }
            Wanted::AddIncoming(_) => {
                if !done {
                    self.tell(Event::StreamsAdded {
                        incoming: true,
                        count: self.inbound_streams,
                        done,
                    });
                }
            }
        }
    }
}
