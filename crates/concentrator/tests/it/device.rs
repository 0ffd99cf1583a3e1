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
pub(crate) struct Device {
    pub(crate) values: BTreeMap<AttributeDescriptor, Vec<u8>>,
}

/// Logical devices, each with a name of its own.
pub(crate) struct Fleet(pub(crate) BTreeMap<Sap, String>);

impl Devices for Fleet {
    fn find(&self, server: Sap) -> Option<SharedDevice> {
        self.0.get(&server).map(|name| {
            let mut value = vec![0x09, u8::try_from(name.len()).unwrap()];
            value.extend_from_slice(name.as_bytes());
            let values = BTreeMap::from([(NAME, value)]);
            Arc::new(Mutex::new(Device { values })) as SharedDevice
        })
    }

    fn saps(&self) -> Vec<Sap> {
        self.0.keys().copied().collect()
    }
}

impl ObjectStore for Device {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        (client == 16).then(|| AssociationTerms {
            context: Context::LogicalName,
            mechanism: MechanismName::Lowest,
            conformance: dlms::client::Config::default().conformance,
            pdu_len_max: 500,
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
