//! What the fuzz targets share: cryptography that takes every tag, a device
//! behind the server, and a script read from the fuzzer's octets.

use std::sync::Arc;

use dlms::acse::MechanismName;
use dlms::axdr::RawData;
use dlms::cosem::{AttributeAccess, AttributeDescriptor, MethodAccess, MethodDescriptor, Obis};
use dlms::security::{
    CounterRecord, CounterRestart, Crypto, Gcm, Iv, Key, KeyRing, Keys, PeerCounter, PeerWindows,
    Protection, ReplayWindow, SecuritySuite, SendCounter, SystemTitle, Tag, TagMismatch, TextTooLong,
    UnwrapError,
};
use dlms::server::{
    AssociationTerms, AttributeRights, Caller, Context, NoEntropy, NotDurable, Notice, ObjectStore,
    SecurityState, Selection,
};
use dlms::xdlms::{ActionResult, DataAccessResult};

pub const PUBLIC: u16 = 16;
pub const READER: u16 = 2;
pub const MANAGER: u16 = 1;
pub const STANDING: u16 = 102;
pub const CLIENT: SystemTitle = SystemTitle(*b"CLI\0\0\0\0\x01");
pub const SERVER: SystemTitle = SystemTitle(*b"SRV\0\0\0\0\x02");

/// Takes every tag and ciphers nothing, so that the fuzzer gets behind it.
#[derive(Debug)]
pub struct NoCrypto;

impl Crypto for NoCrypto {
    fn gcm(&self, _: &Key) -> Arc<dyn Gcm> {
        Arc::new(Self)
    }

    fn wrap(&self, _: &Key, key: &Key) -> Vec<u8> {
        [key.dangerous_octets(), &[0; 8]].concat()
    }

    fn unwrap(&self, _: &Key, wrapped: &[u8]) -> Result<Key, UnwrapError> {
        wrapped
            .get(..wrapped.len().saturating_sub(8))
            .and_then(|octets| Key::from_octets(octets).ok())
            .ok_or(UnwrapError::Integrity)
    }
}

impl Gcm for NoCrypto {
    fn seal(&self, _: &Iv, _: &[u8], _: &mut [u8]) -> Result<Tag, TextTooLong> {
        Ok([0; 12])
    }

    fn open(&self, _: &Iv, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), TagMismatch> {
        Ok(())
    }

    fn counter_mode(&self, _: &Iv, _: &mut [u8]) -> Result<(), TextTooLong> {
        Ok(())
    }
}

pub fn ring() -> KeyRing {
    let mut keys = Keys::new([0x51; 16].into(), [0xE4; 16].into());
    keys.broadcast = Some([0x6A; 16].into());
    keys.dedicated = Some([0x42; 16].into());
    KeyRing::new(&NoCrypto, SecuritySuite::Suite0, &keys).unwrap()
}

pub fn fresh() -> PeerCounter {
    PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse)
}

/// Steps read from octets: what to do, and with what.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Iterator for Script<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [what, high, low, rest @ ..] = self.0 else {
            return None;
        };
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (octets, rest) = rest.split_at(len);
        self.0 = rest;
        Some((*what, octets))
    }
}

/// A device that says what must never happen to it.
pub struct Device {
    security: SecurityState,
    value: Vec<u8>,
    random: u8,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            security: SecurityState {
                title: SERVER,
                client_title: Some(CLIENT),
                keys: ring(),
                timed: None,
                send: SendCounter::resume(CounterRecord::default()),
                received: PeerWindows::new(0),
                received_broadcast: PeerWindows::new(0),
            },
            value: [&[0x09, 0x82, 0x02, 0x00][..], &[0x5A; 512]].concat(),
            random: 0,
        }
    }
}

impl ObjectStore for Device {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        let (context, mechanism, protection) = match client {
            PUBLIC => (
                Context::LogicalName,
                MechanismName::Lowest,
                Protection::None,
            ),
            READER => (Context::LogicalName, MechanismName::Low, Protection::None),
            MANAGER | STANDING => (
                Context::LogicalNameCiphered,
                MechanismName::HighGmac,
                Protection::Authenticated,
            ),
            _ => return None,
        };
        Some(AssociationTerms {
            context,
            mechanism,
            conformance: dlms::client::Config::default().conformance,
            pdu_len_max: 200,
            protection,
            object: Obis([0, 0, 40, 0, 1, 255]),
            pre_established: client == STANDING,
        })
    }

    fn password(&self, client: u16) -> Option<&[u8]> {
        (client == READER).then_some(b"12345678")
    }

    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        matches!(client, MANAGER | STANDING).then_some(&mut self.security)
    }

    fn counters_reserved(&mut self, _: u16, _: &CounterRecord) -> Result<(), NotDurable> {
        Ok(())
    }

    fn counter_accepted(
        &mut self,
        _: u16,
        _: &SystemTitle,
        _: u32,
        _: bool,
    ) -> Result<(), NotDurable> {
        Ok(())
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        for octet in out {
            self.random = self.random.wrapping_add(7);
            *octet = self.random;
        }
        Ok(())
    }

    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        let access = match (client, attribute.attribute) {
            (MANAGER | STANDING, 2) => AttributeAccess::READ_AND_WRITE,
            (_, 2) => AttributeAccess::READ,
            _ => AttributeAccess::NONE,
        };
        Ok(AttributeRights {
            access,
            selectors: 0b110,
        })
    }

    fn method_rights(
        &self,
        client: u16,
        _: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        Ok(if matches!(client, MANAGER | STANDING) {
            MethodAccess::ACCESS
        } else {
            MethodAccess::NONE
        })
    }

    fn get(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        if attribute.class_id == 1 {
            out.extend_from_slice(&[0x12, 0, 7]);
        } else {
            out.extend_from_slice(&self.value);
        }
        Ok(())
    }

    fn set(
        &mut self,
        caller: &Caller,
        _: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        value: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        assert!(matches!(caller.client, MANAGER | STANDING));
        assert!(caller.protection.authenticated());
        assert!(caller.broadcast || caller.verified.is_some());
        // What a compact array holds is looked at by whoever takes it apart.
        let whole = value.walk().all(|event| event.is_ok());
        assert!(whole, "what is to be written is whole");
        Ok(())
    }

    fn invoke(
        &mut self,
        caller: &Caller,
        _: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        assert!(matches!(caller.client, MANAGER | STANDING));
        assert!(caller.protection.authenticated());
        out.extend_from_slice(parameter.map(RawData::octets).unwrap_or_default());
        Ok(())
    }

    fn noticed(&mut self, _: u16, _: Notice) {}
}
