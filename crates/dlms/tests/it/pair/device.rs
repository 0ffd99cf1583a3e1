//! A device that remembers what was done to it.

use std::collections::BTreeMap;

use dlms::acse::MechanismName;
use dlms::axdr::RawData;
use dlms::client::Security;
use dlms::cosem::{AttributeAccess, AttributeDescriptor, MethodAccess, MethodDescriptor, Obis};
use dlms::security::{
    CounterRecord, CounterRestart, Key, KeyRing, Keys, PeerCounter, PeerWindows, Protection,
    ReplayWindow, RustCrypto, SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::{
    AssociationTerms, AttributeRights, BackOff, Caller, Context, NoEntropy, NotDurable, Notice,
    ObjectStore, SecurityState, Selection,
};
use dlms::xdlms::{ActionResult, DataAccessResult, LongInvokeIdAndPriority};

pub(crate) const PUBLIC: u16 = 16;
pub(crate) const READER: u16 = 2;
pub(crate) const MANAGER: u16 = 1;
/// A client whose association is there without being made.
pub(crate) const STANDING: u16 = 102;
pub(crate) const PASSWORD: &[u8] = b"not a secret";
pub(crate) const CLIENT_TITLE: SystemTitle = SystemTitle(*b"CLI\0\0\0\0\x01");
pub(crate) const SERVER_TITLE: SystemTitle = SystemTitle(*b"SRV\0\0\0\0\x02");

/// An attribute that everybody reads and nobody writes.
pub(crate) const SHORT: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis([0, 0, 96, 1, 0, 255]), 2);
/// An attribute with a value that no APDU holds.
pub(crate) const LONG: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis([0, 0, 96, 1, 1, 255]), 2);
/// An attribute that the manager writes.
pub(crate) const WRITABLE: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis([0, 0, 96, 13, 0, 255]), 2);
/// A method that the manager invokes and that returns what it is given.
pub(crate) const ECHO: MethodDescriptor = MethodDescriptor::new(9, Obis([0, 0, 10, 0, 0, 255]), 1);

pub(crate) struct Device {
    pub(crate) values: BTreeMap<Obis, Vec<u8>>,
    pub(crate) terms: BTreeMap<u16, AssociationTerms>,
    pub(crate) security: SecurityState,
    pub(crate) dedicated: Option<Key>,
    pub(crate) records: Vec<CounterRecord>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) sets: usize,
    pub(crate) invoked: usize,
    pub(crate) asked: usize,
    /// Invoke ids of notifications that the client has confirmed.
    pub(crate) confirmed: Vec<u32>,
    /// Every counter that was accepted lies below, by what is durable.
    pub(crate) floor: u32,
    pub(crate) floor_broadcast: u32,
    pub(crate) back_off: BackOff,
    /// Rights of the writable attribute and of the method beside the plain ones.
    pub(crate) demands: AttributeAccess,
    pub(crate) demands_of_method: MethodAccess,
    random: u8,
}

pub(crate) fn keys() -> Keys {
    let mut keys = Keys::new(
        Key::from(*b"\x51\x0c\xa7\x2e\x90\x13\xbb\x64\x0f\xd8\x3a\x77\x29\xe1\x4c\x86"),
        Key::from(*b"\xe4\x1b\x5a\x99\x38\xc0\x7d\x26\xf3\x4e\x81\xaf\x12\x6d\x50\xb7"),
    );
    keys.broadcast = Some(Key::from(
        *b"\x6a\x33\x90\xf4\x0c\xd1\x57\x8b\xe2\x19\x4d\xa6\x70\x3f\xc8\x05",
    ));
    keys
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys()).unwrap()
}

pub(crate) fn fresh() -> PeerCounter {
    PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse)
}

pub(crate) fn client_security(sap: u16) -> Option<Security> {
    matches!(sap, MANAGER | STANDING).then(|| Security {
        title: CLIENT_TITLE,
        server_title: Some(SERVER_TITLE),
        keys: ring(),
        send: SendCounter::resume(CounterRecord::default()),
        received: fresh(),
    })
}

impl Device {
    pub(crate) fn new() -> Self {
        let terms = |context, mechanism| AssociationTerms {
            context,
            mechanism,
            conformance: dlms::client::Config::default().conformance,
            pdu_len_max: 256,
            protection: Protection::None,
            object: Obis([0, 0, 40, 0, 1, 255]),
            pre_established: false,
        };
        let long: Vec<u8> = [0x09, 0x82, 0x0B, 0xB8]
            .into_iter()
            .chain((0..3_000_u32).map(|n| n.to_le_bytes()[0]))
            .collect();
        Self {
            values: BTreeMap::from([
                (SHORT.instance, vec![0x12, 0x12, 0x34]),
                (LONG.instance, long),
                (WRITABLE.instance, vec![0]),
            ]),
            terms: BTreeMap::from([
                (PUBLIC, terms(Context::LogicalName, MechanismName::Lowest)),
                (READER, terms(Context::LogicalName, MechanismName::Low)),
                (
                    MANAGER,
                    terms(Context::LogicalNameCiphered, MechanismName::HighGmac),
                ),
                (
                    STANDING,
                    AssociationTerms {
                        pre_established: true,
                        protection: Protection::AuthenticatedEncrypted,
                        ..terms(Context::LogicalNameCiphered, MechanismName::HighGmac)
                    },
                ),
            ]),
            security: SecurityState {
                title: SERVER_TITLE,
                client_title: Some(CLIENT_TITLE),
                keys: ring(),
                timed: None,
                send: SendCounter::resume(CounterRecord::default()),
                received: PeerWindows::new(0),
                received_broadcast: PeerWindows::new(0),
            },
            dedicated: None,
            records: Vec::new(),
            notices: Vec::new(),
            sets: 0,
            invoked: 0,
            asked: 0,
            confirmed: Vec::new(),
            floor: 0,
            floor_broadcast: 0,
            back_off: BackOff::default(),
            demands: AttributeAccess::NONE,
            demands_of_method: MethodAccess::NONE,
            random: 0,
        }
    }
}

impl Device {
    /// Starts again with what is durable.
    pub(crate) fn restart(&mut self) {
        let record = self.records.last().cloned().unwrap_or_default();
        self.security.send = SendCounter::resume(record);
        self.security.received = PeerWindows::new(self.floor);
        self.security.received_broadcast = PeerWindows::new(self.floor_broadcast);
    }

    /// Tells what was done to it.
    pub(crate) fn done(&self) -> (usize, usize, usize) {
        (self.sets, self.invoked, self.asked)
    }
}

impl ObjectStore for Device {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        self.terms.get(&client).copied()
    }

    fn password(&self, client: u16) -> Option<&[u8]> {
        (client == READER).then_some(PASSWORD)
    }

    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        matches!(client, MANAGER | STANDING).then_some(&mut self.security)
    }

    fn counters_reserved(
        &mut self,
        _client: u16,
        record: &CounterRecord,
    ) -> Result<(), NotDurable> {
        self.records.push(record.clone());
        Ok(())
    }

    fn counter_accepted(
        &mut self,
        _: u16,
        _: &SystemTitle,
        counter: u32,
        broadcast: bool,
    ) -> Result<(), NotDurable> {
        let floor = if broadcast {
            &mut self.floor_broadcast
        } else {
            &mut self.floor
        };
        *floor = (*floor).max(counter + 1);
        Ok(())
    }

    fn notification_confirmed(&mut self, _: &Caller, invoke: LongInvokeIdAndPriority) {
        self.confirmed.push(invoke.long_invoke_id());
    }

    fn back_off(&mut self) -> Option<&mut BackOff> {
        Some(&mut self.back_off)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        for octet in out {
            self.random = self.random.wrapping_mul(37).wrapping_add(11);
            *octet = self.random;
        }
        Ok(())
    }

    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        if !self.values.contains_key(&attribute.instance) {
            return Err(DataAccessResult::ObjectUndefined);
        }
        if attribute.class_id != 1 {
            return Err(DataAccessResult::ObjectClassInconsistent);
        }
        let access = match (client, attribute.attribute) {
            (MANAGER | STANDING, 2) if attribute.instance == WRITABLE.instance => {
                AttributeAccess::READ_AND_WRITE.with(self.demands)
            }
            (_, 2) => AttributeAccess::READ,
            _ => AttributeAccess::NONE,
        };
        Ok(AttributeRights {
            access,
            selectors: 0,
        })
    }

    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        match (client, method.instance == ECHO.instance) {
            (MANAGER | STANDING, true) if method.method == 1 => {
                Ok(MethodAccess::ACCESS.with(self.demands_of_method))
            }
            (_, true) => Ok(MethodAccess::NONE),
            _ => Err(ActionResult::ObjectUndefined),
        }
    }

    fn get(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        self.asked += 1;
        out.extend_from_slice(&self.values[&attribute.instance]);
        Ok(())
    }

    fn set(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        value: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        self.sets += 1;
        self.values
            .insert(attribute.instance, value.octets().to_vec());
        Ok(())
    }

    fn invoke(
        &mut self,
        caller: &Caller,
        _: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        // As a breaker does: authenticated is not enough, it must be one who
        // alone has the key.
        if self.demands_of_method != MethodAccess::NONE && caller.verified.is_none() {
            return Err(ActionResult::ReadWriteDenied);
        }
        self.invoked += 1;
        out.extend_from_slice(parameter.map(RawData::octets).unwrap_or_default());
        Ok(())
    }

    fn noticed(&mut self, _: u16, notice: Notice) {
        self.notices.push(notice);
    }
}
