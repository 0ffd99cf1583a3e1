//! The data of the method `key_transfer` of the Security Setup object (class
//! 64, method 2): keys wrapped under the master key.
//!
//! ```text
//! array of structure { key_id: enum, key_wrapped: octet-string }
//! ```

use alloc::vec::Vec;
use core::fmt;

use super::crypto::{Crypto, UnwrapError};
use super::key::{self, Key, KeyError, KeyKind};
use super::suite::SecuritySuite;
use crate::codec::{DecodeError, Malformed, Reader, Wire, put_length, put_octets};

const ARRAY: u8 = 0x01;
const STRUCTURE: u8 = 0x02;
const OCTET_STRING: u8 = 0x09;
const ENUM: u8 = 0x16;

/// One wrapped key for each kind that has a `key_id`.
const TRANSFERS_MAX: usize = 4;

/// A key on its way to a meter, wrapped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyTransfer {
    kind: KeyKind,
    id: u8,
    wrapped: Vec<u8>,
}

impl KeyTransfer {
    /// Wraps a new key under the master key that the meter has.
    ///
    /// # Errors
    /// [`KeyTransferError`] for the dedicated key, which travels in the
    /// InitiateRequest, and for a key that is none of the suite or weak.
    pub fn wrap(
        crypto: &dyn Crypto,
        suite: SecuritySuite,
        master: &Key,
        kind: KeyKind,
        key: &Key,
    ) -> Result<Self, KeyTransferError> {
        let id = kind
            .transfer_id()
            .ok_or(KeyTransferError::NotTransferred(kind))?;
        check(suite, kind, key)?;
        key::check_length(suite, KeyKind::Master, master)?;
        Ok(Self {
            kind,
            id,
            wrapped: crypto.wrap(master, key),
        })
    }

    /// Unwraps the key, at the meter.
    ///
    /// # Errors
    /// [`KeyTransferError`] where it does not verify, or is a key that is none
    /// of the suite or weak.
    pub fn unwrap(
        &self,
        crypto: &dyn Crypto,
        suite: SecuritySuite,
        master: &Key,
    ) -> Result<Key, KeyTransferError> {
        let key = crypto.unwrap(master, &self.wrapped)?;
        check(suite, self.kind, &key)?;
        Ok(key)
    }

    /// Tells which key it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }
}

fn check(suite: SecuritySuite, kind: KeyKind, key: &Key) -> Result<(), KeyTransferError> {
    key::check_length(suite, kind, key)?;
    match key.weakness() {
        Some(weakness) => Err(KeyError::Weak { kind, weakness }.into()),
        None => Ok(()),
    }
}

impl fmt::Debug for KeyTransfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTransfer({}, ..)", self.kind)
    }
}

/// The keys of one call of `key_transfer`, at most one of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTransfers(Vec<KeyTransfer>);

impl KeyTransfers {
    /// Takes keys for one call.
    ///
    /// # Errors
    /// [`KeyTransferError::Twice`] where a kind comes twice.
    pub fn new(transfers: Vec<KeyTransfer>) -> Result<Self, KeyTransferError> {
        for (position, transfer) in transfers.iter().enumerate() {
            if transfers
                .iter()
                .take(position)
                .any(|other| other.kind == transfer.kind)
            {
                return Err(KeyTransferError::Twice(transfer.kind));
            }
        }
        Ok(Self(transfers))
    }

    /// Goes through the keys.
    pub fn iter(&self) -> impl Iterator<Item = &KeyTransfer> {
        self.0.iter()
    }
}

impl Wire<'_> for KeyTransfers {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(ARRAY);
        put_length(out, self.0.len());
        for transfer in &self.0 {
            out.extend_from_slice(&[STRUCTURE, 2, ENUM, transfer.id, OCTET_STRING]);
            put_octets(out, &transfer.wrapped);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect(reader, ARRAY, "key_transfer_data")?;
        let here = reader.clone();
        let count = reader.length("key_transfer_data")?;
        if count > TRANSFERS_MAX {
            return Err(here.error("key_transfer_data", Malformed::Limit));
        }
        let mut transfers = Vec::with_capacity(count);
        for _ in 0..count {
            expect(reader, STRUCTURE, "key_transfer_data element")?;
            expect(reader, 2, "key_transfer_data element")?;
            expect(reader, ENUM, "key_id")?;
            let here = reader.clone();
            let id = reader.u8("key_id")?;
            let kind = KeyKind::from_transfer_id(id)
                .ok_or_else(|| here.error("key_id", Malformed::Value))?;
            expect(reader, OCTET_STRING, "key_wrapped")?;
            let wrapped = reader.octets("key_wrapped")?.to_vec();
            transfers.push(KeyTransfer { kind, id, wrapped });
        }
        Self::new(transfers).map_err(|_| here.error("key_id", Malformed::Value))
    }
}

fn expect(reader: &mut Reader<'_>, octet: u8, field: &'static str) -> Result<(), DecodeError> {
    let here = reader.clone();
    match reader.u8(field)? {
        found if found == octet => Ok(()),
        found => Err(here.error(field, Malformed::Tag(found))),
    }
}

/// A key that is not transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTransferError {
    /// The key has no `key_id`.
    #[error("the {0} is not transferred")]
    NotTransferred(KeyKind),
    /// A kind of key comes twice in one call.
    #[error("the {0} comes twice")]
    Twice(KeyKind),
    /// The key cannot be taken.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The wrapped key does not verify.
    #[error(transparent)]
    Unwrap(#[from] UnwrapError),
}
