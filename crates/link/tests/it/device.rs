//! A small device behind real listeners.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dlms::acse::MechanismName;
use dlms::cosem::{AttributeAccess, AttributeDescriptor, Obis};
use dlms::security::Protection;
use dlms::server::{
    AssociationTerms, AttributeRights, Caller, Context, Notice, ObjectStore, Selection,
};
use dlms::xdlms::DataAccessResult;
use link::{Devices, Sap, SharedDevice};

pub(crate) const NAME: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis([0, 0, 42, 0, 0, 255]), 2);
pub(crate) const LONG: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis([0, 0, 96, 1, 1, 255]), 2);

pub(crate) struct Device {
    pub(crate) values: BTreeMap<AttributeDescriptor, Vec<u8>>,
    /// The longest APDU that it says it takes and gives.
    pub(crate) pdu_len_max: u16,
}

pub(crate) struct Fleet(pub(crate) Vec<Sap>);

impl Device {
    pub(crate) fn new(sap: Sap) -> Self {
        Self {
            values: BTreeMap::from([(NAME, name(sap)), (LONG, long(sap))]),
            pdu_len_max: 500,
        }
    }
}

pub(crate) fn name(sap: Sap) -> Vec<u8> {
    let mut value = vec![0x09, 4];
    value.extend_from_slice(format!("GW{sap:02}").as_bytes());
    value
}

pub(crate) fn long(sap: Sap) -> Vec<u8> {
    let mut value = vec![0x09, 0x82, 0x27, 0x10];
    value.extend((0..10_000_u32).map(|n| (n + u32::from(sap)).to_le_bytes()[0]));
    value
}

impl Devices for Fleet {
    fn find(&self, server: Sap) -> Option<SharedDevice> {
        self.0
            .contains(&server)
            .then(|| Arc::new(Mutex::new(Device::new(server))) as SharedDevice)
    }

    fn saps(&self) -> Vec<Sap> {
        self.0.clone()
    }
}

impl ObjectStore for Device {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        (client == 16).then(|| AssociationTerms {
            context: Context::LogicalName,
            mechanism: MechanismName::Lowest,
            conformance: dlms::client::Config::default().conformance,
            pdu_len_max: self.pdu_len_max,
            protection: Protection::None,
            object: Obis([0, 0, 40, 0, 0, 255]),
            pre_established: false,
        })
    }

    fn attribute_rights(
        &self,
        _: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        if self.values.contains_key(attribute) {
            Ok(AttributeRights {
                access: AttributeAccess::READ,
                selectors: 0,
            })
        } else {
            Err(DataAccessResult::ObjectUndefined)
        }
    }

    fn get(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        _: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        out.extend_from_slice(&self.values[attribute]);
        Ok(())
    }

    fn noticed(&mut self, _: u16, _: Notice) {}
}
