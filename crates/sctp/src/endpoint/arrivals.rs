//! Packets find their association (RFC 9260, sections 8.4 and 8.5).

use super::Endpoint;
use crate::association::Arrival;
use crate::cause;
use crate::chunk::{Chunk, FLAG_T, kind};
use crate::event::AssociationId;
use crate::packet::{Packet, write_chunk};

impl Endpoint {
    pub(super) fn handle_datagram(&mut self, arrival: Arrival, octets: &[u8]) {
        let Ok(packet) = Packet::decode(octets) else {
            self.counters.malformed += 1;
            return;
        };
        if packet.header.destination_port != self.config.port || packet.header.source_port == 0 {
            self.counters.other_port += 1;
            return;
        }
        let Some(Ok(first)) = packet.chunks().next() else {
            self.counters.malformed += 1;
            return;
        };
        if first.kind == kind::INIT {
            // It must stand alone, under tag 0 (RFC 9260, section 8.5.1, A).
            let alone = packet.chunks().count() == 1;
            match Chunk::decode(&first) {
                Ok(Chunk::Init(init)) if alone && packet.header.verification_tag == 0 => {
                    self.handle_init(arrival, packet.header.source_port, &init, octets.len());
                }
                _ => self.counters.malformed += 1,
            }
            return;
        }
        let cookie_at = packet
            .chunks()
            .map_while(Result::ok)
            .take(2)
            .position(|raw| raw.kind == kind::COOKIE_ECHO);
        let behind_auth = first.kind == kind::AUTH;
        if let Some(at) = cookie_at
            && (at == 0 || behind_auth)
            && let Some(Ok(raw)) = packet.chunks().nth(at)
        {
            self.handle_cookie(arrival, &packet, raw.value, at);
            return;
        }
        let Some(id) = self.find(arrival, &packet, first.kind, first.flags) else {
            if self
                .by_peer_of(arrival, packet.header.source_port)
                .is_some()
            {
                // With a wrong tag it is dropped (RFC 9260, section 8.5).
                self.counters.wrong_tag += 1;
            } else {
                self.handle_out_of_the_blue(arrival, &packet);
            }
            return;
        };
        let beginning = self
            .associations
            .get(&id)
            .is_some_and(|entry| entry.association.own_init().is_some());
        if first.kind == kind::SHUTDOWN_ACK && beginning {
            // It is the answer to an association of before (RFC 9260, section
            // 8.5.1, E).
            self.handle_out_of_the_blue(arrival, &packet);
            return;
        }
        self.deliver(id, &packet, 0, arrival);
    }

    /// Finds the association that a packet with this tag belongs to
    /// (RFC 9260, section 8.5).
    pub(super) fn find(
        &self,
        arrival: Arrival,
        packet: &Packet<'_>,
        first: u8,
        flags: u8,
    ) -> Option<AssociationId> {
        let tag = packet.header.verification_tag;
        let port = packet.header.source_port;
        let reflects =
            matches!(first, kind::ABORT | kind::SHUTDOWN_COMPLETE) && flags & FLAG_T != 0;
        if reflects {
            let id = self.by_peer_of(arrival, port)?;
            let association = &self.associations.get(&id)?.association;
            return (association.peer_tag == tag && tag != 0).then_some(id);
        }
        let id = *self.by_tag.get(&tag)?;
        let association = &self.associations.get(&id)?.association;
        (association.peer_port == port).then_some(id)
    }

    pub(super) fn by_peer_of(&self, arrival: Arrival, port: u16) -> Option<AssociationId> {
        self.by_peer
            .get(&(arrival.remote, port, arrival.udp_port.unwrap_or(0)))
            .copied()
    }

    pub(super) fn deliver(
        &mut self,
        id: AssociationId,
        packet: &Packet<'_>,
        from: usize,
        arrival: Arrival,
    ) {
        if let Some(entry) = self.associations.get_mut(&id) {
            entry
                .association
                .handle_packet(packet, from, arrival, self.now);
            self.busy.insert(id);
        }
    }

    /// Answers a packet that belongs to no association (RFC 9260, section
    /// 8.4).
    pub(super) fn handle_out_of_the_blue(&mut self, arrival: Arrival, packet: &Packet<'_>) {
        self.counters.out_of_the_blue += 1;
        let Some(Ok(first)) = packet.chunks().next() else {
            return;
        };
        let mut silent = false;
        for raw in packet.chunks().map_while(Result::ok) {
            silent |= matches!(
                raw.kind,
                kind::ABORT | kind::SHUTDOWN_COMPLETE | kind::COOKIE_ACK | kind::INIT
            ) || (raw.kind == kind::ERROR
                && cause::first(raw.value) == Some(cause::code::STALE_COOKIE));
        }
        let over = first.kind == kind::SHUTDOWN_ACK;
        if silent || (packet.header.verification_tag == 0 && !over) {
            return;
        }
        let answer = if over {
            kind::SHUTDOWN_COMPLETE
        } else {
            kind::ABORT
        };
        self.reply(
            arrival,
            packet.header.source_port,
            packet.header.verification_tag,
            |out| write_chunk(out, answer, FLAG_T, |_| {}),
        );
    }
}
