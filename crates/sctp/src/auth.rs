//! Authenticated chunks (RFC 4895).

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::chunk::{self, Auth as AuthChunk};
use crate::mac;
use crate::parameter::{kind, write_parameter};

/// HMAC identifier of HMAC-SHA-1, which everybody has.
pub const HMAC_SHA1: u16 = 1;
/// HMAC identifier of HMAC-SHA-256.
pub const HMAC_SHA256: u16 = 3;

/// Octets of our random number.
pub(crate) const RANDOM_LEN: usize = 32;

/// Shared keys at most.
pub const KEYS_MAX: usize = 16;

/// Chunk types, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkSet([u64; 4]);

impl ChunkSet {
    pub(crate) fn of(kinds: &[u8]) -> Self {
        let mut set = Self::default();
        for kind in kinds {
            if matches!(
                *kind,
                chunk::kind::INIT
                    | chunk::kind::INIT_ACK
                    | chunk::kind::SHUTDOWN_COMPLETE
                    | chunk::kind::AUTH
            ) {
                continue;
            }
            if let Some(word) = set.0.get_mut(usize::from(kind >> 6)) {
                *word |= 1 << (kind & 63);
            }
        }
        set
    }

    pub(crate) fn has(&self, kind: u8) -> bool {
        self.0
            .get(usize::from(kind >> 6))
            .is_some_and(|word| word & (1 << (kind & 63)) != 0)
    }

    fn kinds(&self) -> Vec<u8> {
        (0..=u8::MAX).filter(|kind| self.has(*kind)).collect()
    }
}

/// What one side tells in its INIT or INIT ACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    /// The parameters without padding, as keys are made of.
    pub(crate) octets: Vec<u8>,
    pub(crate) chunks: ChunkSet,
    /// Preferred first.
    pub(crate) hmac_ids: Vec<u16>,
}

impl Vector {
    /// What we tell.
    pub(crate) fn ours(random: &[u8; RANDOM_LEN], chunks: &[u8]) -> Self {
        let chunks = ChunkSet::of(chunks);
        let hmac_ids = vec![HMAC_SHA256, HMAC_SHA1];
        let mut octets = Vec::with_capacity(64);
        write_parameter(&mut octets, kind::RANDOM, |out| out.extend(random));
        let kinds = chunks.kinds();
        if !kinds.is_empty() {
            let start = octets.len();
            write_parameter(&mut octets, kind::CHUNK_LIST, |out| out.extend(&kinds));
            octets.truncate(start + 4 + kinds.len());
        }
        write_parameter(&mut octets, kind::REQUESTED_HMAC_ALGORITHM, |out| {
            for id in &hmac_ids {
                out.extend(id.to_be_bytes());
            }
        });
        Self {
            octets,
            chunks,
            hmac_ids,
        }
    }

    /// Appends the parameters with their padding.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for parameter in crate::parameter::Parameters::new(&repadded(&self.octets), 0).flatten() {
            write_parameter(out, parameter.kind, |out| {
                out.extend_from_slice(parameter.value);
            });
        }
    }

    /// Reads parameters that stand without padding, as in a cookie.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let padded = repadded(octets);
        let mut random = None;
        let mut chunks = None;
        let mut hmacs = None;
        for parameter in crate::parameter::Parameters::new(&padded, 0).flatten() {
            match parameter.kind {
                kind::RANDOM => random = Some(parameter.octets),
                kind::CHUNK_LIST => chunks = Some(parameter.octets),
                kind::REQUESTED_HMAC_ALGORITHM => hmacs = Some(parameter.octets),
                _ => {}
            }
        }
        Self::of(random?, chunks, hmacs?)
    }

    /// Puts together what the peer told, each parameter with its header.
    pub(crate) fn of(random: &[u8], chunks: Option<&[u8]>, hmacs: &[u8]) -> Option<Self> {
        let listed = chunks
            .and_then(|octets| octets.get(4..))
            .unwrap_or_default();
        let hmac_ids: Vec<u16> = hmacs
            .get(4..)?
            .chunks_exact(2)
            .filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes))
            .collect();
        // Everybody must list HMAC-SHA-1 (RFC 4895, section 3.3).
        if !hmac_ids.contains(&HMAC_SHA1) {
            return None;
        }
        Some(Self {
            octets: [random, chunks.unwrap_or_default(), hmacs].concat(),
            chunks: ChunkSet::of(listed),
            hmac_ids,
        })
    }
}

/// Puts padding back between parameters that stand without.
fn repadded(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 8);
    let mut rest = octets;
    while let Some(length) = rest
        .get(2..4)
        .and_then(|pair| pair.try_into().ok())
        .map(u16::from_be_bytes)
    {
        let Some((parameter, behind)) = rest.split_at_checked(usize::from(length).max(4)) else {
            break;
        };
        out.extend_from_slice(parameter);
        crate::codec::pad(&mut out, 0);
        rest = behind;
    }
    out
}

/// The keys of one association.
#[derive(Clone)]
pub(crate) struct Auth {
    ours: Vector,
    theirs: Vector,
    hmac_id: u16,
    shared: BTreeMap<u16, Zeroizing<Vec<u8>>>,
    active: u16,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Auth {
    pub(crate) fn new(ours: Vector, theirs: Vector) -> Self {
        let hmac_id = theirs
            .hmac_ids
            .iter()
            .copied()
            .find(|id| matches!(*id, HMAC_SHA1 | HMAC_SHA256))
            .unwrap_or(HMAC_SHA1);
        let mut auth = Self {
            ours,
            theirs,
            hmac_id,
            shared: BTreeMap::new(),
            active: 0,
        };
        auth.set_key(0, &[]);
        auth
    }

    /// Adds or replaces an endpoint pair shared key, and tells whether there
    /// was room.
    pub(crate) fn set_key(&mut self, id: u16, key: &[u8]) -> bool {
        if self.shared.len() >= KEYS_MAX && !self.shared.contains_key(&id) {
            return false;
        }
        // The association key (RFC 4895, section 6.1): the smaller vector,
        // as a number, stands first.
        let (ours, theirs) = (&self.ours.octets, &self.theirs.octets);
        let (first, second) = if is_smaller(ours, theirs) {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        let association_key = [key, first, second].concat();
        self.shared.insert(id, Zeroizing::new(association_key));
        true
    }

    pub(crate) fn activate(&mut self, id: u16) -> bool {
        let known = self.shared.contains_key(&id);
        if known {
            self.active = id;
        }
        known
    }

    pub(crate) fn remove_key(&mut self, id: u16) -> bool {
        id != self.active && self.shared.remove(&id).is_some()
    }

    /// Whether the peer takes chunks of this type only behind an AUTH.
    pub(crate) fn peer_requires(&self, kind: u8) -> bool {
        self.theirs.chunks.has(kind)
    }

    /// Whether we take chunks of any type only so.
    pub(crate) fn requires_any(&self) -> bool {
        self.ours.chunks != ChunkSet::default()
    }

    /// Whether we do.
    pub(crate) fn requires(&self, kind: u8) -> bool {
        self.ours.chunks.has(kind)
    }

    const fn hmac_len(id: u16) -> usize {
        if id == HMAC_SHA256 { 32 } else { 20 }
    }

    /// Octets of our AUTH chunks.
    pub(crate) const fn chunk_len(&self) -> usize {
        8 + Self::hmac_len(self.hmac_id)
    }

    /// Appends an AUTH chunk whose HMAC is filled in by [`Auth::seal`].
    pub(crate) fn begin(&self, out: &mut Vec<u8>) {
        crate::packet::write_chunk(out, chunk::kind::AUTH, 0, |out| {
            out.extend(self.active.to_be_bytes());
            out.extend(self.hmac_id.to_be_bytes());
            out.resize(out.len() + Self::hmac_len(self.hmac_id), 0);
        });
    }

    /// Fills in the HMAC of the AUTH chunk at `at`, over all from there on.
    pub(crate) fn seal(&self, packet: &mut [u8], at: usize) {
        let Some(key) = self.shared.get(&self.active) else {
            return;
        };
        let Some(covered) = packet.get_mut(at..) else {
            return;
        };
        let mut hmac = [0; 32];
        let length = Self::hmac_len(self.hmac_id);
        compute(self.hmac_id, key, &[covered], &mut hmac);
        if let (Some(field), Some(hmac)) = (covered.get_mut(8..8 + length), hmac.get(..length)) {
            field.copy_from_slice(hmac);
        }
    }

    /// Checks an AUTH chunk; `covered` is the chunk and all behind it. Any HMAC
    /// is right while fuzzing.
    pub(crate) fn verify(&self, auth: &AuthChunk<'_>, covered: &[u8]) -> Verdict {
        if !matches!(auth.hmac_id, HMAC_SHA1 | HMAC_SHA256) {
            return Verdict::UnsupportedHmac;
        }
        let length = Self::hmac_len(auth.hmac_id);
        let (Some(key), true) = (self.shared.get(&auth.key_id), auth.hmac.len() == length) else {
            return Verdict::Wrong;
        };
        let (Some(head), Some(tail)) = (covered.get(..8), covered.get(8 + length..)) else {
            return Verdict::Wrong;
        };
        let zeros = [0; 32];
        let mut hmac = [0; 32];
        let zeros = zeros.get(..length).unwrap_or_default();
        compute(auth.hmac_id, key, &[head, zeros, tail], &mut hmac);
        let right = hmac.get(..length).unwrap_or_default().ct_eq(auth.hmac);
        if bool::from(right) || cfg!(fuzzing) {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }
}

/// What an AUTH chunk turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    UnsupportedHmac,
}

fn compute(id: u16, key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    if id == HMAC_SHA256 {
        *out = mac::sha256(key, parts);
    } else if let Some(head) = out.first_chunk_mut::<20>() {
        *head = mac::sha1(key, parts);
    }
}

/// Whether `a` is the smaller number, or the shorter form of the same one.
fn is_smaller(a: &[u8], b: &[u8]) -> bool {
    let number = |octets: &[u8]| -> Vec<u8> {
        octets
            .iter()
            .copied()
            .skip_while(|octet| *octet == 0)
            .collect()
    };
    let (x, y) = (number(a), number(b));
    (x.len(), x, a.len()) < (y.len(), y, b.len())
}
