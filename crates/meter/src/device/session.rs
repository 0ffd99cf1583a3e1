//! The meter as the server machine sees it, for the time of one call.

use dlms::acse::MechanismName;
use dlms::axdr::RawData;
use dlms::cosem::{
    AttributeAccess, AttributeDescriptor, EntryDescriptor, MethodAccess, MethodDescriptor, Obis,
    RangeDescriptor,
};
use dlms::security::{CounterRecord, Protection, SystemTitle};
use dlms::server::{
    AssociationTerms, AttributeRights, BackOff, Caller, Context, NoEntropy, NotDurable, Notice,
    ObjectStore, SecurityState, Selection,
};
use dlms::xdlms::{ActionResult, Conformance, DataAccessResult};
use link::{DrkeyMix, Entropy};
use model::Timestamp;

use super::state::Slot;
use super::{Device, FRAUD_LOG, alarms, codes};
use crate::journal::Durable;
use crate::template::{AssociationIndex, ObjectTemplate};

/// What clients without ciphering may use.
const SERVICES: Conformance = Conformance::GET
    .with(Conformance::SET)
    .with(Conformance::ACTION)
    .with(Conformance::SELECTIVE_ACCESS)
    .with(Conformance::MULTIPLE_REFERENCES)
    .with(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ)
    .with(Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE)
    .with(Conformance::BLOCK_TRANSFER_WITH_ACTION);

/// How many failed logins make one entry of the fraud log.
const FAILED_LOGINS: u32 = 3;

/// The logical name by which every association reaches its own object.
const CURRENT_ASSOCIATION: Obis = Obis::new(0, 0, 40, 0, 0, 255);

/// A meter, the true time, its journal and entropy, for one call of the server machine.
pub struct Session<'a> {
    pub(super) device: &'a mut Device,
    pub(super) journal: &'a mut dyn Durable,
    pub(super) entropy: &'a dyn Entropy,
    pub(super) now: Timestamp,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("device", &self.device.name)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// Hands a meter what it needs at the true time `now`, when [`Device::tick`] has caught up
    /// with that.
    pub const fn new(
        device: &'a mut Device,
        journal: &'a mut dyn Durable,
        entropy: &'a dyn Entropy,
        now: Timestamp,
    ) -> Self {
        Self {
            device,
            journal,
            entropy,
            now,
        }
    }

    /// Makes slots of the state durable.
    fn keep(&mut self, slot: Slot) -> Result<(), NotDurable> {
        self.device
            .store(slot, self.journal)
            .and_then(|()| self.device.commit(self.journal))
            .map_err(|_| NotDurable)
    }
}

struct Found<'a> {
    index: AssociationIndex,
    object: &'a ObjectTemplate,
    required: Protection,
}

enum Unseen {
    Undefined,
    OtherClass,
}

impl Device {
    /// Finds an object that a client may see.
    fn object(&self, client: u16, class: u16, obis: Obis) -> Result<Found<'_>, Unseen> {
        let template = &*self.template;
        let (index, association) = template.association_of(client).ok_or(Unseen::Undefined)?;
        let object = template.objects.get(&obis).ok_or(Unseen::Undefined)?;
        if !object.visible_to().contains(index) || self.is_absent(obis) {
            return Err(Unseen::Undefined);
        }
        if object.class != class {
            return Err(Unseen::OtherClass);
        }
        let required = self.required(index, association.protection());
        Ok(Found {
            index,
            object,
            required,
        })
    }

    /// Says whether an object belongs to an association that the model has and this meter, for
    /// want of keys, does not.
    pub(super) fn is_absent(&self, obis: Obis) -> bool {
        let mut optional = self.template.associations.iter().filter(|it| it.optional);
        optional.any(|association| {
            let own = [association.security_setup, association.invocation_counter];
            own.contains(&Some(obis))
                && !self
                    .secured
                    .iter()
                    .any(|it| it.client == association.client)
        })
    }

    /// Returns what a client may do with an attribute.
    pub(crate) fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        let found = self
            .object(client, attribute.class_id, attribute.instance)
            .map_err(|unseen| match unseen {
                Unseen::Undefined => DataAccessResult::ObjectUndefined,
                Unseen::OtherClass => DataAccessResult::ObjectClassInconsistent,
            })?;
        let id = attribute.attribute;
        Ok(AttributeRights {
            access: Self::attribute_access(found.object, id, found.index, found.required),
            selectors: Self::selectors(found.object, id),
        })
    }

    /// Returns whether a client may invoke a method.
    pub(crate) fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        let found = self
            .object(client, method.class_id, method.instance)
            .map_err(|unseen| match unseen {
                Unseen::Undefined => ActionResult::ObjectUndefined,
                Unseen::OtherClass => ActionResult::ObjectClassInconsistent,
            })?;
        Ok(self.method_access(found.object, method.method, found.index, found.required))
    }

    /// Returns the password of a client's association.
    pub(crate) fn password(&self, client: u16) -> Option<&[u8]> {
        let (_, association) = self.template.association_of(client)?;
        if association.mechanism != MechanismName::Low {
            return None;
        }
        self.passwords
            .iter()
            .find(|(known, _)| *known == client)
            .map(|(_, password)| password.dangerous_octets())
    }

    /// Returns the keys and counters of a client's association.
    pub(crate) fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        self.secured
            .iter_mut()
            .find(|secured| secured.client == client)
            .map(|secured| &mut secured.state)
    }

    /// Returns what the keys of a client's associations are mixed of, where the network derives a
    /// part of them.
    pub(crate) fn drkey(&self, client: u16) -> Option<DrkeyMix> {
        let secured = self.secured.iter().find(|it| it.client == client)?;
        secured.drkey(self.sap)
    }

    /// Returns the least protection of an association's requests: the model's, or the policy's
    /// where that asks for more.
    pub(super) fn required(&self, index: AssociationIndex, model: Protection) -> Protection {
        let secured = self.secured.iter().find(|secured| secured.index == index);
        let policy = secured.map_or(Protection::None, super::Secured::required);
        Protection::of(
            model.authenticated() || policy.authenticated(),
            model.encrypted() || policy.encrypted(),
        )
    }

    /// Returns what an association may do with an attribute.
    pub(super) fn attribute_access(
        object: &ObjectTemplate,
        id: i8,
        index: AssociationIndex,
        required: Protection,
    ) -> AttributeAccess {
        let mut access = AttributeAccess::NONE;
        if id == 1 {
            if object.visible_to().contains(index) {
                access = AttributeAccess::READ;
            }
        } else if let Some(attribute) = object.attribute(id) {
            if attribute.get.contains(index) {
                access = access.with(AttributeAccess::READ);
            }
            if attribute.set.contains(index) {
                access = access.with(AttributeAccess::WRITE);
            }
        }
        if access == AttributeAccess::NONE {
            return access;
        }
        if required.authenticated() {
            access = access
                .with(AttributeAccess::AUTHENTICATED_REQUEST)
                .with(AttributeAccess::AUTHENTICATED_RESPONSE);
        }
        if required.encrypted() {
            access = access
                .with(AttributeAccess::ENCRYPTED_REQUEST)
                .with(AttributeAccess::ENCRYPTED_RESPONSE);
        }
        access
    }

    /// Returns whether an association may invoke a method.
    pub(super) fn method_access(
        &self,
        object: &ObjectTemplate,
        id: i8,
        index: AssociationIndex,
        required: Protection,
    ) -> MethodAccess {
        let allowed = object
            .method(id)
            .is_some_and(|method| method.invoke.contains(index));
        if !allowed {
            return MethodAccess::NONE;
        }
        let mut access = MethodAccess::ACCESS;
        // The reply to a challenge proves itself; it comes before anything else can.
        let reply = (object.class, id) == (15, 1);
        // A block may come under the key that all meters share, which proves nobody: the terms of
        // that association see to its envelope.
        let place = usize::from(index.0);
        let association = self.template.associations.get(place);
        let broadcast = association.is_some_and(|association| association.pre_established);
        if (object.class, id) == (18, 2) && broadcast {
            return access;
        }
        // Whoever may switch, or change what runs, must have shown that nobody else sent the
        // command.
        if required.authenticated() && !reply || matches!(object.class, 18 | 70) {
            access = access
                .with(MethodAccess::AUTHENTICATED_REQUEST)
                .with(MethodAccess::AUTHENTICATED_RESPONSE);
        }
        if required.encrypted() && !reply {
            access = access
                .with(MethodAccess::ENCRYPTED_REQUEST)
                .with(MethodAccess::ENCRYPTED_RESPONSE);
        }
        access
    }

    /// Returns the selectors that an attribute knows, bit n for selector n.
    pub(super) const fn selectors(object: &ObjectTemplate, id: i8) -> u32 {
        if object.class == 7 && id == 2 {
            1 << RangeDescriptor::SELECTOR | 1 << EntryDescriptor::SELECTOR
        } else {
            0
        }
    }

    /// Returns the terms on which a client is let in.
    pub(crate) fn terms(&self, client: u16) -> Option<AssociationTerms> {
        let (index, association) = self.template.association_of(client)?;
        let ciphered = association.ciphered();
        if ciphered && !self.secured.iter().any(|it| it.client == client) {
            return None;
        }
        Some(AssociationTerms {
            context: if ciphered {
                Context::LogicalNameCiphered
            } else {
                Context::LogicalName
            },
            mechanism: association.mechanism,
            conformance: if ciphered {
                SERVICES.with(Conformance::GENERAL_PROTECTION)
            } else {
                SERVICES
            },
            pdu_len_max: self.template.pdu_len_max,
            protection: self.required(index, association.protection()),
            object: CURRENT_ASSOCIATION,
            pre_established: association.pre_established,
        })
    }
}

impl ObjectStore for Session<'_> {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        self.device.terms(client)
    }

    fn password(&self, client: u16) -> Option<&[u8]> {
        self.device.password(client)
    }

    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        self.device.security(client)
    }

    fn counters_reserved(&mut self, client: u16, record: &CounterRecord) -> Result<(), NotDurable> {
        let secured = self
            .device
            .secured
            .iter_mut()
            .find(|secured| secured.client == client)
            .ok_or(NotDurable)?;
        secured.reserve(record);
        let index = secured.index.0;
        self.keep(Slot::Counters(index))
    }

    fn counter_accepted(
        &mut self,
        client: u16,
        title: &SystemTitle,
        counter: u32,
        broadcast: bool,
    ) -> Result<(), NotDurable> {
        let secured = self
            .device
            .secured
            .iter_mut()
            .find(|secured| secured.client == client)
            .ok_or(NotDurable)?;
        if !secured.accept(title, counter, broadcast) {
            return Ok(());
        }
        let index = secured.index.0;
        self.keep(Slot::Counters(index))
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.entropy.fill(out).map_err(|_| NoEntropy)
    }

    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        self.device.attribute_rights(client, attribute)
    }

    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        self.device.method_rights(client, method)
    }

    fn get(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        self.read(caller.client, attribute, selection, out)
    }

    fn set(
        &mut self,
        _: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        value: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        if selection.is_some() {
            return Err(DataAccessResult::ScopeOfAccessViolated);
        }
        self.write(attribute, value)
    }

    fn invoke(
        &mut self,
        caller: &Caller,
        method: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        _: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        self.act(caller, method, parameter)
    }

    fn back_off(&mut self) -> Option<&mut BackOff> {
        Some(&mut self.device.back_off)
    }

    fn noticed(&mut self, client: u16, notice: Notice) {
        let index = self.device.template.association_of(client);
        let Some((index, _)) = index else {
            return;
        };
        let open = self.device.open.get_mut(usize::from(index.0));
        match notice {
            Notice::Associated => {
                if let Some(open) = open {
                    *open = open.saturating_add(1);
                }
                self.device.failed_logins = 0;
            }
            Notice::Released => {
                if let Some(open) = open {
                    *open = open.saturating_sub(1);
                }
            }
            Notice::AuthenticationFailed => {
                self.device.failed_logins = self.device.failed_logins.saturating_add(1);
                // One entry for a series, so that guessing cannot wash the log out.
                if self.device.failed_logins == FAILED_LOGINS {
                    let code = codes::AUTHENTICATION_FAILED;
                    // Both go to disk with the next commit; an attacker must not force one.
                    drop(self.device.log(FRAUD_LOG, code, self.now, self.journal));
                    self.device.tally.alarm_register |= alarms::FRAUD_ATTEMPT;
                    drop(self.device.store(Slot::Tally, self.journal));
                }
            }
            _ => {}
        }
    }
}
