//! INIT and COOKIE ECHO are answered without keeping anything (RFC 9260,
//! sections 5.1 and 5.2).

use std::net::IpAddr;
use std::sync::Arc;

use super::{AMPLIFICATION_MAX, Endpoint};
use crate::association::{Arrival, Association};
use crate::auth::Vector;
use crate::cause;
use crate::chunk::{Init, kind};
use crate::cookie::Cookie;
use crate::entropy;
use crate::event::{AssociationId, Event};
use crate::handshake::{self, Capabilities};
use crate::packet::{Packet, write_chunk};

impl Endpoint {
    pub(super) fn abort_init(&mut self, arrival: Arrival, port: u16, tag: u32, causes: &[u8]) {
        self.counters.inits_refused += 1;
        // Not longer than what was asked with.
        let causes = causes.get(..causes.len().min(64)).unwrap_or_default();
        self.reply(arrival, port, tag, |out| {
            write_chunk(out, kind::ABORT, 0, |out| {
                out.extend_from_slice(crate::parameter::without_last_padding(causes));
            });
        });
    }

    /// Answers an INIT, and keeps nothing (RFC 9260, sections 5.1 and 5.2).
    pub(super) fn handle_init(
        &mut self,
        arrival: Arrival,
        port: u16,
        init: &Init<'_>,
        asked: usize,
    ) {
        let mut terms = match handshake::read(init, self.config.association.peer_addresses_max) {
            Ok(terms) => terms,
            Err(None) => {
                self.counters.inits_refused += 1;
                return;
            }
            Err(Some(causes)) => {
                self.abort_init(arrival, port, init.initiate_tag, &causes);
                return;
            }
        };
        if !terms.addresses.is_empty() && !terms.addresses.contains(&arrival.remote) {
            terms.addresses.insert(0, arrival.remote);
            terms
                .addresses
                .truncate(self.config.association.peer_addresses_max);
        }
        let met_id = self.by_peer_of(arrival, port).or_else(|| {
            let udp_port = arrival.udp_port.unwrap_or(0);
            terms
                .addresses
                .iter()
                .find_map(|address| self.by_peer.get(&(*address, port, udp_port)).copied())
        });
        let mut tie = None;
        let mut own = None;
        let mut vector = None;
        if let Some(id) = met_id
            && let Some(entry) = self.associations.get_mut(&id)
            && entry.association.init_while_shutting_down()
        {
            self.busy.insert(id);
            return;
        }
        let met = met_id.and_then(|id| Some((id, &self.associations.get(&id)?.association)));
        if let Some((_, association)) = met {
            if let Some(init) = association.own_init() {
                own = Some(init);
                vector = association.own_vector();
            } else {
                // An association may only begin anew from the addresses that
                // it has (RFC 9260, section 5.2.2).
                let strange = terms
                    .addresses
                    .iter()
                    .find(|address| association.path_to(**address).is_none())
                    .copied();
                if let Some(strange) = strange {
                    let mut told = Vec::new();
                    crate::parameter::write_address(&mut told, strange);
                    let causes = cause::cause(cause::code::RESTART_WITH_NEW_ADDRESSES, &told);
                    self.abort_init(arrival, port, terms.tag, &causes);
                    return;
                }
            }
            let (local, peer) = (association.local_tag, association.peer_tag);
            if peer != 0 {
                tie = Some((local, peer));
            }
        } else if !self.config.accept {
            self.counters.inits_refused += 1;
            self.reply(arrival, port, terms.tag, |out| {
                write_chunk(out, kind::ABORT, 0, |_| {});
            });
            return;
        }
        self.jar.rotate(self.entropy.as_mut(), self.now);
        let (local_tag, local_tsn) = own.unwrap_or_else(|| {
            let tag = entropy::tag(self.entropy.as_mut());
            (
                tag,
                u32::from_be_bytes(entropy::octets(self.entropy.as_mut())),
            )
        });
        let config = &self.config.association;
        let both = Capabilities::offered(config).and(terms.capabilities);
        if config.auth.as_ref().is_some_and(|auth| auth.required) && !both.auth {
            let causes = cause::cause(
                cause::code::USER_INITIATED_ABORT,
                b"authentication required",
            );
            self.abort_init(arrival, port, terms.tag, &causes);
            return;
        }
        let key = self.jar.key_id();
        if both.auth && vector.is_none() {
            vector = self.derived_vector(key, local_tag, terms.tag);
        }
        if !both.auth {
            vector = None;
        }
        let cookie = Cookie {
            made: self.now,
            local_tag,
            peer_tag: terms.tag,
            local_tsn,
            peer_tsn: terms.initial_tsn,
            a_rwnd: terms.a_rwnd,
            outbound_streams: config.outbound_streams.max(1).min(terms.inbound_streams),
            inbound_streams: config
                .inbound_streams_max
                .max(1)
                .min(terms.outbound_streams),
            peer_port: port,
            capabilities: both,
            preserved_ms: self.jar.grant(terms.preserve_ms),
            tie: tie.and_then(|(local, peer)| self.jar.tie(key, local, peer)),
            addresses: terms.addresses,
            auth: if both.auth { terms.auth } else { None },
        };
        let sealed = self.jar.seal(&cookie, arrival.remote);
        let addresses: &[IpAddr] = if self.config.advertise && self.locals.len() > 1 {
            &self.locals
        } else {
            &[]
        };
        // Header, chunk and fixed fields take 32 octets.
        let room = (asked * AMPLIFICATION_MAX).saturating_sub(32);
        let parameters = handshake::parameters(
            both,
            vector.as_ref(),
            addresses,
            Some(&sealed),
            &terms.unrecognized,
            room,
        );
        if parameters.len() > room {
            self.counters.inits_refused += 1;
            return;
        }
        let answer = Init {
            initiate_tag: local_tag,
            a_rwnd: u32::try_from(config.receive_buffer_max).unwrap_or(u32::MAX),
            outbound_streams: cookie.outbound_streams,
            inbound_streams: config.inbound_streams_max.max(1),
            initial_tsn: local_tsn,
            parameters: &parameters,
            parameters_offset: 0,
        };
        self.counters.inits += 1;
        self.reply(arrival, port, terms.tag, |out| {
            answer.encode(kind::INIT_ACK, out);
        });
    }

    /// Our part of authentication, which follows from the cookie's key.
    pub(super) fn derived_vector(&self, key: u8, local_tag: u32, peer_tag: u32) -> Option<Vector> {
        let auth = self.config.association.auth.as_ref()?;
        let random = self.jar.random(key, local_tag, peer_tag)?;
        Some(Vector::ours(&random, &auth.chunks))
    }

    /// Takes a COOKIE ECHO (RFC 9260, sections 5.1.5 and 5.2.4). It is chunk
    /// number `at` of the packet.
    pub(super) fn handle_cookie(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        octets: &[u8],
        at: usize,
    ) {
        let Ok((cookie, key)) = self.jar.open(octets, arrival.remote) else {
            self.counters.cookies_forged += 1;
            return;
        };
        if packet.header.verification_tag != cookie.local_tag
            || packet.header.source_port != cookie.peer_port
        {
            self.counters.cookies_forged += 1;
            return;
        }
        let by_tag = self.by_tag.get(&cookie.local_tag).copied();
        let met = by_tag.or_else(|| {
            let udp_port = arrival.udp_port.unwrap_or(0);
            self.by_peer_of(arrival, cookie.peer_port).or_else(|| {
                cookie.addresses.iter().find_map(|address| {
                    self.by_peer
                        .get(&(*address, cookie.peer_port, udp_port))
                        .copied()
                })
            })
        });
        let tags = met.and_then(|id| {
            let association = &self.associations.get(&id)?.association;
            Some((id, association.local_tag, association.peer_tag))
        });
        let exact = tags
            .is_some_and(|(_, local, peer)| local == cookie.local_tag && peer == cookie.peer_tag);
        if let Some(late) = self.jar.staleness(&cookie, self.now)
            && !exact
        {
            self.counters.cookies_stale += 1;
            let micros = u32::try_from(late.as_micros()).unwrap_or(u32::MAX);
            let causes = cause::cause(cause::code::STALE_COOKIE, &micros.to_be_bytes());
            self.reply(arrival, cookie.peer_port, cookie.peer_tag, |out| {
                write_chunk(out, kind::ERROR, 0, |out| out.extend(causes));
            });
            return;
        }
        let Some((id, local, peer)) = tags else {
            self.accept(arrival, packet, cookie, key, at);
            return;
        };
        if local == cookie.local_tag {
            // Cases B and D.
            let shutting_down_elsewhere = peer != cookie.peer_tag
                && self
                    .associations
                    .get(&id)
                    .is_some_and(|entry| entry.association.own_init().is_none());
            if shutting_down_elsewhere {
                self.counters.cookies_replayed += 1;
                return;
            }
            if let Some(entry) = self.associations.get_mut(&id) {
                entry.association.cookie_again(&cookie, arrival, self.now);
            }
            self.deliver(id, packet, at + 1, arrival);
            return;
        }
        let tied = cookie.tie.is_some() && cookie.tie == self.jar.tie(key, local, peer);
        if peer != cookie.peer_tag && tied {
            // Case A: the peer began anew.
            self.restart(id, arrival, packet, cookie, key, at);
            return;
        }
        // Case C, and what fits no case, is dropped.
        self.counters.cookies_replayed += 1;
    }

    pub(super) fn accept(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        cookie: Cookie,
        key: u8,
        at: usize,
    ) {
        if self
            .spent
            .get(&cookie.local_tag)
            .is_some_and(|end| *end > self.now)
        {
            self.counters.cookies_replayed += 1;
            return;
        }
        if !self.config.accept {
            // Not any more, since the cookie was made.
            self.reply(arrival, cookie.peer_port, cookie.peer_tag, |out| {
                write_chunk(out, kind::ABORT, 0, |_| {});
            });
            return;
        }
        if self.associations.len() >= self.config.associations_max {
            let causes = cause::cause(cause::code::OUT_OF_RESOURCE, &[]);
            self.reply(arrival, cookie.peer_port, cookie.peer_tag, |out| {
                write_chunk(out, kind::ABORT, 0, |out| out.extend(causes));
            });
            return;
        }
        let Some(association) = self.made_of(arrival, packet, cookie, key) else {
            return;
        };
        let id = self.add(association);
        if let Some(entry) = self.associations.get_mut(&id) {
            entry.association.acknowledge_cookie();
        }
        self.settle(id);
        self.deliver(id, packet, at + 1, arrival);
    }

    pub(super) fn made_of(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        cookie: Cookie,
        key: u8,
    ) -> Option<Box<Association>> {
        let ours = if cookie.auth.is_some() {
            self.derived_vector(key, cookie.local_tag, cookie.peer_tag)
        } else {
            None
        };
        let association = Association::accept(
            Arc::clone(&self.association_config),
            Arc::clone(&self.locals),
            self.config.port,
            cookie,
            ours,
            &self.keys,
            arrival,
            self.entropy.as_mut(),
            self.now,
        );
        if !association.admits_first(packet) {
            self.counters.cookies_forged += 1;
            return None;
        }
        Some(Box::new(association))
    }

    pub(super) fn restart(
        &mut self,
        id: AssociationId,
        arrival: Arrival,
        packet: &Packet<'_>,
        cookie: Cookie,
        key: u8,
        at: usize,
    ) {
        if let Some(entry) = self.associations.get_mut(&id)
            && entry.association.cookie_while_shutting_down()
        {
            self.busy.insert(id);
            return;
        }
        let Some(mut fresh) = self.made_of(arrival, packet, cookie, key) else {
            return;
        };
        let Some(entry) = self.associations.get_mut(&id) else {
            return;
        };
        for (stream, options) in entry.association.stream_options() {
            fresh.set_stream(stream, options);
        }
        let unacknowledged = entry.association.unacknowledged();
        fresh.heartbeat_floor = Arc::clone(&self.heartbeat_floor);
        fresh.keep_unread(entry.association.take_unread());
        fresh.events.clear();
        fresh.events.extend(entry.association.events.drain(..));
        fresh.events.push_back(Event::Restarted { unacknowledged });
        fresh.acknowledge_cookie();
        let old = std::mem::replace(&mut entry.association, fresh);
        let tag = entry.association.local_tag;
        self.by_tag.remove(&old.local_tag);
        self.by_tag.insert(tag, id);
        self.spend(old.local_tag);
        self.settle(id);
        self.deliver(id, packet, at + 1, arrival);
    }
}
