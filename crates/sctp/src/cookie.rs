//! The state cookie: what an INIT led to, kept by the peer instead of by us
//! (RFC 9260, sections 5.1.3 to 5.1.5).
//!
//! A cookie is verified by an HMAC-SHA-256 of 128 bits under a key that is
//! replaced every so often; the key before it stays as long as its cookies
//! are good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::auth::{RANDOM_LEN, Vector};
use crate::codec::{DecodeError, Malformed, Reader};
use crate::entropy::{Entropy, octets};
use crate::handshake::Capabilities;
use crate::mac;
use crate::time::{Duration, Instant};

const MAC_LEN: usize = 16;

/// What an INIT and our answer to it agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) made: Instant,
    pub(crate) local_tag: u32,
    pub(crate) peer_tag: u32,
    pub(crate) local_tsn: u32,
    pub(crate) peer_tsn: u32,
    pub(crate) a_rwnd: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) peer_port: u16,
    pub(crate) capabilities: Capabilities,
    /// Milliseconds that the peer asked it to be good for beyond its lifetime
    /// (Cookie Preservative), as many as we grant.
    pub(crate) preserved_ms: u32,
    /// Shows which association the INIT met, if any.
    pub(crate) tie: Option<[u8; 8]>,
    /// The peer's addresses; none where it has only the one that its INIT
    /// came from, which the HMAC covers then.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) auth: Option<Vector>,
}

/// Why a cookie is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// We did not make it, or for somebody else.
    Forged,
}

struct Key {
    id: u8,
    octets: Zeroizing<[u8; 32]>,
    made: Instant,
}

/// The keys of cookies.
pub(crate) struct CookieJar {
    current: Key,
    previous: Option<Key>,
    rotation: Duration,
    lifetime: Duration,
}

impl std::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieJar").finish_non_exhaustive()
    }
}

impl CookieJar {
    pub(crate) fn new(
        entropy: &mut dyn Entropy,
        rotation: Duration,
        lifetime: Duration,
        now: Instant,
    ) -> Self {
        Self {
            current: Key {
                id: 0,
                octets: Zeroizing::new(octets(entropy)),
                made: now,
            },
            previous: None,
            rotation,
            lifetime,
        }
    }

    /// Replaces the key when its time is over. A key makes cookies for at
    /// least as long as any is good, so that two keys are enough.
    pub(crate) fn rotate(&mut self, entropy: &mut dyn Entropy, now: Instant) {
        let age = now.since(self.current.made);
        if age < self.rotation.max(self.lifetime.saturating_mul(2)) {
            return;
        }
        let next = Key {
            id: self.current.id.wrapping_add(1),
            octets: Zeroizing::new(octets(entropy)),
            made: now,
        };
        self.previous = Some(std::mem::replace(&mut self.current, next));
    }

    fn key(&self, id: u8) -> Option<&Key> {
        if self.current.id == id {
            return Some(&self.current);
        }
        self.previous.as_ref().filter(|key| key.id == id)
    }

    /// Our random number for authentication, which need not be kept: it
    /// follows from the cookie's key and the tags.
    pub(crate) fn random(&self, id: u8, local_tag: u32, peer_tag: u32) -> Option<[u8; RANDOM_LEN]> {
        let key = self.key(id)?;
        Some(mac::sha256(
            &key.octets[..],
            &[b"random", &local_tag.to_be_bytes(), &peer_tag.to_be_bytes()],
        ))
    }

    pub(crate) const fn key_id(&self) -> u8 {
        self.current.id
    }

    /// Makes the octets of a cookie for who sent an INIT from `source`.
    pub(crate) fn seal(&self, cookie: &Cookie, source: IpAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        let [_, _, made @ ..] = cookie.made.as_micros().to_be_bytes();
        out.push(self.current.id);
        out.extend(made);
        out.extend(cookie.local_tag.to_be_bytes());
        out.extend(cookie.peer_tag.to_be_bytes());
        out.extend(cookie.local_tsn.to_be_bytes());
        out.extend(cookie.peer_tsn.to_be_bytes());
        out.extend(cookie.a_rwnd.to_be_bytes());
        out.extend(cookie.outbound_streams.to_be_bytes());
        out.extend(cookie.inbound_streams.to_be_bytes());
        out.extend(cookie.peer_port.to_be_bytes());
        let flags = cookie.capabilities.octet()
            | u8::from(cookie.tie.is_some()) << 7
            | u8::from(cookie.preserved_ms > 0) << 6;
        out.push(flags);
        if let Some(tie) = cookie.tie {
            out.extend(tie);
        }
        if cookie.preserved_ms > 0 {
            out.extend(cookie.preserved_ms.to_be_bytes());
        }
        out.push(u8::try_from(cookie.addresses.len()).unwrap_or(u8::MAX));
        for address in cookie.addresses.iter().take(usize::from(u8::MAX)) {
            match address {
                IpAddr::V4(v4) => {
                    out.push(4);
                    out.extend(v4.octets());
                }
                IpAddr::V6(v6) => {
                    out.push(6);
                    out.extend(v6.octets());
                }
            }
        }
        if let Some(auth) = &cookie.auth {
            out.extend_from_slice(&auth.octets);
        }
        let bound = cookie.addresses.is_empty().then_some(source);
        let mac = tag(&self.current, &out, bound);
        out.extend(mac);
        out
    }

    /// Verifies a cookie that came from `source`, and tells it with the
    /// identifier of its key.
    pub(crate) fn open(&self, octets: &[u8], source: IpAddr) -> Result<(Cookie, u8), Refused> {
        let (body, mac) = octets
            .split_last_chunk::<MAC_LEN>()
            .ok_or(Refused::Forged)?;
        let id = *body.first().ok_or(Refused::Forged)?;
        let key = self.key(id).ok_or(Refused::Forged)?;
        // Reading first tells whether the source is bound; nothing else is
        // taken from the octets before they are verified.
        let cookie = decode(body).map_err(|_| Refused::Forged)?;
        let bound = cookie.addresses.is_empty().then_some(source);
        let right = tag(key, body, bound);
        if !bool::from(right.ct_eq(mac)) && !cfg!(fuzzing) {
            return Err(Refused::Forged);
        }
        if bound.is_none() && !cookie.addresses.contains(&source) {
            return Err(Refused::Forged);
        }
        Ok((cookie, id))
    }

    /// How long after its lifetime a cookie came.
    pub(crate) fn staleness(&self, cookie: &Cookie, now: Instant) -> Option<Duration> {
        let age = now.since(cookie.made);
        let preserved = Duration::from_millis(u64::from(cookie.preserved_ms));
        let lifetime = self.lifetime.saturating_add(preserved);
        (age > lifetime).then(|| age.saturating_sub(lifetime))
    }

    /// What is granted of the milliseconds that a peer wants its cookie to be
    /// good for beyond its lifetime: once that lifetime, at most.
    pub(crate) fn grant(&self, wanted_ms: u32) -> u32 {
        wanted_ms.min(u32::try_from(self.lifetime.as_millis()).unwrap_or(u32::MAX))
    }

    /// What ties a cookie to an association, without telling its tags
    /// (Tie-Tags, RFC 9260, section 5.2.2).
    pub(crate) fn tie(&self, id: u8, local_tag: u32, peer_tag: u32) -> Option<[u8; 8]> {
        let key = self.key(id)?;
        let mac = mac::sha256(
            &key.octets[..],
            &[b"tie", &local_tag.to_be_bytes(), &peer_tag.to_be_bytes()],
        );
        mac.first_chunk().copied()
    }
}

fn tag(key: &Key, body: &[u8], bound: Option<IpAddr>) -> [u8; MAC_LEN] {
    let mut source = Vec::with_capacity(16);
    match bound {
        Some(IpAddr::V4(v4)) => source.extend(v4.octets()),
        Some(IpAddr::V6(v6)) => source.extend(v6.octets()),
        None => {}
    }
    let mac = mac::sha256(&key.octets[..], &[b"cookie", body, &source]);
    mac.first_chunk().copied().unwrap_or_default()
}

fn decode(body: &[u8]) -> Result<Cookie, DecodeError> {
    let mut reader = Reader::at(body, 0);
    reader.u8("key")?;
    let [a, b, c, d, e, f] = reader.array("time")?;
    let made = Instant::from_micros(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
    let local_tag = reader.u32("local tag")?;
    let peer_tag = reader.u32("peer tag")?;
    let local_tsn = reader.u32("local TSN")?;
    let peer_tsn = reader.u32("peer TSN")?;
    let a_rwnd = reader.u32("a_rwnd")?;
    let outbound_streams = reader.u16("outbound streams")?;
    let inbound_streams = reader.u16("inbound streams")?;
    let peer_port = reader.u16("peer port")?;
    let flags = reader.u8("capabilities")?;
    let capabilities = Capabilities::of(flags);
    let tie = if flags & 0x80 == 0 {
        None
    } else {
        Some(reader.array("tie")?)
    };
    let preserved_ms = if flags & 0x40 == 0 {
        0
    } else {
        reader.u32("preservative")?
    };
    let count = reader.u8("addresses")?;
    let mut addresses = Vec::new();
    for _ in 0..count {
        let at = reader.clone();
        addresses.push(match reader.u8("address")? {
            4 => IpAddr::V4(Ipv4Addr::from(reader.array::<4>("address")?)),
            6 => IpAddr::V6(Ipv6Addr::from(reader.array::<16>("address")?)),
            _ => return Err(at.error("address", Malformed::Value)),
        });
    }
    let at = reader.clone();
    let auth = if capabilities.auth {
        let auth = Vector::read(reader.rest());
        Some(auth.ok_or_else(|| at.error("authentication", Malformed::Value))?)
    } else {
        None
    };
    reader.finish("cookie")?;
    Ok(Cookie {
        made,
        local_tag,
        peer_tag,
        local_tsn,
        peer_tsn,
        a_rwnd,
        outbound_streams,
        inbound_streams,
        peer_port,
        capabilities,
        preserved_ms,
        tie,
        addresses,
        auth,
    })
}
