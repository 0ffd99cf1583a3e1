//! What each class does: reading, writing and invoking.

use dlms::acse::MechanismName;
use dlms::axdr::{
    BitStr, Data, DateTime, RawData, Tag, put_array, put_bit_string, put_boolean, put_enum, put_i8,
    put_i16, put_octet_string, put_structure, put_u8, put_u16, put_u32, put_u64,
    put_visible_string,
};
use dlms::codec::Wire as _;
use dlms::cosem::{
    AttributeAccessItem, AttributeDescriptor, CaptureObject, MethodAccessItem, MethodDescriptor,
    Obis, ObjectListElement,
};
use dlms::server::{Caller, Context, Selection};
use dlms::xdlms::{ActionResult, DLMS_VERSION, DataAccessResult};
use model::Timestamp;

use super::security::{Refused, Secured};
use super::session::Session;
use super::state::{Slot, is_change};
use super::{Device, MESSAGE_LEN_MAX, codes};
use crate::breaker::ControlMode;
use crate::firmware::{BLOCK_LEN, FirmwareError, ImageStatus};
use crate::template::{AssociationIndex, CLOCK_OBIS, Identity, ObjectTemplate, Source, StateValue};

/// Attribute 9 of the clock: an internal crystal.
const CLOCK_BASE_CRYSTAL: u8 = 1;
/// Attribute 5 of a profile: first in, first out.
const SORT_FIFO: u8 = 1;
/// Attribute 8 of an association: not associated, associated.
const NON_ASSOCIATED: u8 = 0;
const ASSOCIATED: u8 = 2;
/// The clock's method shift_time moves by at most this many seconds.
const SHIFT_MAX_S: i64 = 900;

type Get = Result<(), DataAccessResult>;

impl Session<'_> {
    /// Appends the value of an attribute.
    pub(super) fn read(
        &mut self,
        client: u16,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Get {
        let template = self.device.template.clone();
        let object = template
            .objects
            .get(&attribute.instance)
            .ok_or(DataAccessResult::ObjectUndefined)?;
        let id = attribute.attribute;
        if id == 1 {
            put_octet_string(out, &object.obis.0);
            return Ok(());
        }
        if object.class == 18 {
            return self.device.read_image_transfer(id, out);
        }
        let device = &*self.device;
        match object.class {
            7 => device.read_profile(object, id, selection, out),
            8 => device.read_clock(id, self.now, out),
            15 => device.read_association(object, id, client, out),
            17 if id == 2 => {
                put_array(out, 1);
                put_structure(out, 2);
                put_u16(out, device.sap);
                put_octet_string(out, device.name.as_bytes());
                Ok(())
            }
            64 => device.read_security_setup(object.obis, id, out),
            70 => device.read_breaker(id, out),
            _ => device.read_value(object, id, self.now, out),
        }
    }

    /// Sets an attribute, and returns when that is durable.
    pub(super) fn write(&mut self, attribute: &AttributeDescriptor, value: RawData<'_>) -> Get {
        let value = value
            .decode()
            .map_err(|_| DataAccessResult::TypeUnmatched)?;
        let template = self.device.template.clone();
        let object = template
            .objects
            .get(&attribute.instance)
            .ok_or(DataAccessResult::ObjectUndefined)?;
        let id = attribute.attribute;
        match (object.class, id) {
            (8, _) => self.write_clock(id, &value),
            (18, 5) => {
                let Data::Boolean(enabled) = value else {
                    return Err(DataAccessResult::TypeUnmatched);
                };
                let firmware = self.device.firmware.as_mut();
                let firmware = firmware.ok_or(DataAccessResult::ReadWriteDenied)?;
                firmware
                    .enable(enabled)
                    .map_err(|_| DataAccessResult::HardwareFault)
            }
            (70, 4) => {
                let mode = match value {
                    Data::Enum(mode) => ControlMode::new(mode),
                    _ => return Err(DataAccessResult::TypeUnmatched),
                };
                let mode = mode.ok_or(DataAccessResult::OtherReason)?;
                let mut breaker = self.device.breaker;
                breaker.set_mode(mode);
                self.device
                    .switch(breaker, None, self.now, self.journal)
                    .map_err(|_| DataAccessResult::TemporaryFailure)
            }
            _ => match object.attribute(id).and_then(|it| it.source.as_ref()) {
                Some(Source::State(state)) => self.write_state(*state, &value),
                _ => Err(DataAccessResult::ReadWriteDenied),
            },
        }
    }

    fn write_clock(&mut self, id: i8, value: &Data) -> Get {
        let unmatched = DataAccessResult::TypeUnmatched;
        let octets = || -> Result<[u8; 12], DataAccessResult> {
            let time = value.as_date_time().ok_or(unmatched)?;
            Ok(time.to_octets())
        };
        let before = *self.device.clock.rules();
        match id {
            2 => {
                let time = DateTime::from_octets(octets()?);
                let shown_s = self
                    .device
                    .clock
                    .utc_of(&time)
                    .ok_or(DataAccessResult::OtherReason)?;
                let hundredths = match time.time.hundredths {
                    part @ 0..=99 => i64::from(part),
                    _ => 0,
                };
                let shown = Timestamp::from_secs(shown_s).plus_millis(hundredths * 10);
                return self
                    .device
                    .set_clock(self.now, shown, self.journal)
                    .map_err(|_| DataAccessResult::TemporaryFailure);
            }
            3 => {
                let Data::Long(zone) = value else {
                    return Err(unmatched);
                };
                if !(-840..=720).contains(zone) {
                    return Err(DataAccessResult::OtherReason);
                }
                self.device.clock.rules_mut().time_zone = *zone;
            }
            5 | 6 => {
                let octets = octets()?;
                if !is_change(octets) {
                    return Err(DataAccessResult::OtherReason);
                }
                let rules = self.device.clock.rules_mut();
                if id == 5 {
                    rules.daylight_savings_begin = octets;
                } else {
                    rules.daylight_savings_end = octets;
                }
            }
            8 => {
                let enabled = value.as_bool().ok_or(unmatched)?;
                self.device.clock.rules_mut().daylight_savings_enabled = enabled;
            }
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        self.keep_changed(Slot::Clock).inspect_err(|_| {
            *self.device.clock.rules_mut() = before;
        })
    }

    fn write_state(&mut self, state: StateValue, value: &Data) -> Get {
        let number = || value.as_u32().ok_or(DataAccessResult::TypeUnmatched);
        let before = self.device.tally;
        match state {
            StateValue::Message => {
                let (Data::OctetString(text) | Data::VisibleString(text)) = value else {
                    return Err(DataAccessResult::TypeUnmatched);
                };
                if text.len() > MESSAGE_LEN_MAX {
                    return Err(DataAccessResult::OtherReason);
                }
                let shown = std::mem::replace(&mut self.device.message, text.clone());
                return self.keep_changed(Slot::Message).inspect_err(|_| {
                    self.device.message = shown;
                });
            }
            StateValue::AlarmRegister => self.device.tally.alarm_register &= !number()?,
            StateValue::AlarmFilter => self.device.tally.alarm_filter = number()?,
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        self.keep_changed(Slot::Tally).inspect_err(|_| {
            self.device.tally = before;
        })
    }

    /// Makes a slot durable.
    fn keep_changed(&mut self, slot: Slot) -> Get {
        self.device
            .store(slot, self.journal)
            .and_then(|()| self.device.commit(self.journal))
            .map_err(|_| DataAccessResult::TemporaryFailure)
    }

    /// Invokes a method, and returns when what it did is durable.
    pub(super) fn act(
        &mut self,
        caller: &Caller,
        method: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
    ) -> Result<(), ActionResult> {
        match (method.class_id, method.method) {
            (8, 6) => {
                let shift = parameter
                    .and_then(|value| value.decode().ok())
                    .and_then(|value| match value {
                        Data::Long(shift) => Some(i64::from(shift)),
                        _ => None,
                    })
                    .ok_or(ActionResult::TypeUnmatched)?;
                if shift.abs() > SHIFT_MAX_S {
                    return Err(ActionResult::OtherReason);
                }
                let shown = self.device.clock.shown(self.now).plus_secs(shift);
                self.device
                    .set_clock(self.now, shown, self.journal)
                    .map_err(|_| ActionResult::TemporaryFailure)
            }
            (18, id) => self.image(caller, id, parameter),
            (70, 1 | 2) => {
                let proof = caller
                    .verified
                    .as_ref()
                    .ok_or(ActionResult::ReadWriteDenied)?;
                let mut breaker = self.device.breaker;
                let event = if method.method == 1 {
                    breaker.remote_disconnect(proof)
                } else {
                    breaker.remote_reconnect(proof)
                };
                let event = event.map_err(|_| ActionResult::ReadWriteDenied)?;
                self.device
                    .switch(breaker, event, self.now, self.journal)
                    .map_err(|_| ActionResult::TemporaryFailure)
            }
            (64, 1) => {
                let policy = parameter
                    .and_then(|value| value.decode().ok())
                    .and_then(|value| match value {
                        Data::Enum(policy) => Some(policy),
                        _ => None,
                    })
                    .ok_or(ActionResult::TypeUnmatched)?;
                self.activate(method.instance, policy)
            }
            (64, 2) => {
                let octets = parameter.ok_or(ActionResult::TypeUnmatched)?.octets();
                self.transfer(caller.client, method.instance, octets)
            }
            _ => Err(ActionResult::ObjectUndefined),
        }
    }

    /// Invokes a method of Image transfer.
    fn image(
        &mut self,
        caller: &Caller,
        id: i8,
        parameter: Option<RawData<'_>>,
    ) -> Result<(), ActionResult> {
        let device = &mut *self.device;
        let firmware = device.firmware.as_mut();
        let firmware = firmware.ok_or(ActionResult::ReadWriteDenied)?;
        let parameter = parameter.and_then(|value| value.decode().ok());
        let two = match parameter.as_ref() {
            Some(Data::Structure(fields)) => match fields.as_slice() {
                [one, two] => Some((one, two)),
                _ => None,
            },
            _ => None,
        };
        let own = caller.verified.as_ref().filter(|_| !caller.broadcast);
        let event = match (id, two) {
            (1, Some((Data::OctetString(identifier), Data::DoubleLongUnsigned(size)))) => {
                own.ok_or(ActionResult::ReadWriteDenied)?;
                firmware.initiate(identifier, *size).map(|()| None)
            }
            (2, Some((Data::DoubleLongUnsigned(number), Data::OctetString(octets)))) => {
                firmware.block(*number, octets, own).map(|()| None)
            }
            (3, _) => {
                own.ok_or(ActionResult::ReadWriteDenied)?;
                firmware.verify().map(|()| Some(codes::FIRMWARE_READY))
            }
            (4, _) => {
                let own = own.ok_or(ActionResult::ReadWriteDenied)?;
                firmware
                    .activate(own)
                    .map(|()| Some(codes::FIRMWARE_ACTIVATED))
            }
            _ => return Err(ActionResult::TypeUnmatched),
        };
        let event = event.map_err(|error| {
            tracing::debug!(%error, method = id, "image transfer");
            match error {
                FirmwareError::Disabled => ActionResult::ReadWriteDenied,
                FirmwareError::Store(_) => ActionResult::HardwareFault,
                _ => ActionResult::OtherReason,
            }
        })?;
        let Some(code) = event else {
            return Ok(());
        };
        let ran = firmware.name().map(|it| (firmware.running(), it.to_vec()));
        device.ran = ran.or_else(|| device.ran.take());
        // The image's own state is durable by now; the log follows with the next commit at the
        // latest.
        let logged = device
            .store(Slot::Firmware, self.journal)
            .and_then(|()| device.log(super::STANDARD_LOG, code, self.now, self.journal))
            .and_then(|()| device.commit(self.journal));
        logged.map_err(|_| ActionResult::TemporaryFailure)
    }

    /// Activates a policy for every association of a Security setup.
    fn activate(&mut self, setup: Obis, octet: u8) -> Result<(), ActionResult> {
        let mut before = Vec::new();
        let mut refused = None;
        for secured in &mut self.device.secured {
            if secured.setup != setup {
                continue;
            }
            match secured.policy.activate(octet) {
                Ok(policy) => before.push((
                    secured.index,
                    std::mem::replace(&mut secured.policy, policy),
                )),
                Err(_) => refused = Some(ActionResult::ReadWriteDenied),
            }
        }
        let indexes: Vec<u8> = before.iter().map(|(index, _)| index.0).collect();
        let outcome = match refused {
            Some(refused) => Err(refused),
            None => self.keep_keys(&indexes),
        };
        if outcome.is_err() {
            for (index, policy) in before {
                let secured = self.device.secured.iter_mut();
                for secured in secured.filter(|secured| secured.index == index) {
                    secured.policy = policy;
                }
            }
        }
        outcome
    }

    /// Takes keys that came wrapped, for the caller's own association, or for
    /// another whose setup the caller may change.
    fn transfer(&mut self, client: u16, setup: Obis, octets: &[u8]) -> Result<(), ActionResult> {
        let of_setup = |secured: &&mut Secured| secured.setup == setup;
        let own = |secured: &&mut Secured| of_setup(secured) && secured.client == client;
        let all = &mut self.device.secured;
        let secured = if all.iter_mut().any(|secured| own(&secured)) {
            all.iter_mut().find(own)
        } else {
            all.iter_mut().find(of_setup)
        };
        let secured = secured.ok_or(ActionResult::ReadWriteDenied)?;
        let keys = secured
            .transferred(octets)
            .map_err(|refused| match refused {
                Refused::Malformed => ActionResult::TypeUnmatched,
                Refused::Denied => ActionResult::ReadWriteDenied,
            })?;
        let index = secured.index;
        let before = secured
            .take_keys(keys)
            .map_err(|_| ActionResult::ReadWriteDenied)?;
        let outcome = self.keep_keys(&[index.0]);
        if outcome.is_err() {
            let mut secured = self.device.secured.iter_mut();
            if let Some(secured) = secured.find(|secured| secured.index == index) {
                secured.put_back(before);
            }
        }
        outcome
    }

    fn keep_keys(&mut self, indexes: &[u8]) -> Result<(), ActionResult> {
        let device = &mut *self.device;
        let waiting = device.pending_log.len();
        let stored = indexes
            .iter()
            .try_for_each(|index| device.store(Slot::Keys(*index), self.journal))
            .and_then(|()| {
                let code = codes::CONFIGURATION_CHANGED;
                device.log(super::FRAUD_LOG, code, self.now, self.journal)
            })
            .and_then(|()| device.commit(self.journal));
        stored.map_err(|_| {
            device.pending_log.truncate(waiting);
            ActionResult::TemporaryFailure
        })
    }
}

impl Device {
    fn read_value(
        &self,
        object: &ObjectTemplate,
        id: i8,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Get {
        let attribute = object
            .attribute(id)
            .ok_or(DataAccessResult::ReadWriteDenied)?;
        let source = attribute
            .source
            .as_ref()
            .ok_or(DataAccessResult::OtherReason)?;
        let tag = attribute.tag;
        match source {
            Source::Constant(data) => {
                data.encode(out);
                Ok(())
            }
            Source::Measured(quantity) => {
                put_number(out, tag, self.registers.value(*quantity, now))
            }
            Source::Identity(identity) => {
                put_text(out, tag, &self.identity(*identity));
                Ok(())
            }
            Source::State(StateValue::Message) => {
                put_text(out, tag, &self.message);
                Ok(())
            }
            Source::State(state) => {
                put_number(out, tag, self.state_value(*state, object.obis, now))
            }
        }
    }

    fn read_image_transfer(&mut self, id: i8, out: &mut Vec<u8>) -> Get {
        let Some(firmware) = self.firmware.as_deref_mut() else {
            // A meter that knows no maker takes no image, and says so.
            match id {
                2 => put_u32(out, BLOCK_LEN),
                3 => out.extend_from_slice(&[Tag::BitString as u8, 0]),
                4 => put_u32(out, 0),
                5 => put_boolean(out, false),
                6 => put_enum(out, ImageStatus::NotInitiated.number()),
                7 => put_array(out, 0),
                _ => return Err(DataAccessResult::ReadWriteDenied),
            }
            return Ok(());
        };
        let failed = |_| DataAccessResult::HardwareFault;
        match id {
            2 => put_u32(out, firmware.block_len()),
            3 => {
                let (count, blocks) = firmware.blocks_status().map_err(failed)?;
                if let Some(bits) = BitStr::new(count, blocks) {
                    put_bit_string(out, bits);
                }
            }
            4 => put_u32(out, firmware.first_not_transferred().map_err(failed)?),
            5 => put_boolean(out, firmware.enabled()),
            6 => put_enum(out, firmware.status().number()),
            7 => {
                let image = firmware.to_activate();
                put_array(out, usize::from(image.is_some()));
                if let Some(image) = image {
                    put_structure(out, 3);
                    put_u32(out, image.size);
                    put_octet_string(out, &image.identification);
                    put_octet_string(out, &image.signature);
                }
            }
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }

    fn identity(&self, identity: Identity) -> Vec<u8> {
        match identity {
            Identity::LogicalDeviceName => self.name.as_bytes().to_vec(),
            Identity::Serial => self
                .name
                .bytes()
                .filter(u8::is_ascii_digit)
                .collect::<Vec<u8>>(),
            Identity::SystemTitle => {
                let hex = self.title.iter().map(|octet| format!("{octet:02x}"));
                hex.collect::<String>().into_bytes()
            }
            Identity::Firmware => match self.firmware.as_ref().and_then(|it| it.name()) {
                Some(name) => name.to_vec(),
                None => concat!("Gridward ", env!("CARGO_PKG_VERSION")).into(),
            },
        }
    }

    fn state_value(&self, state: StateValue, obis: Obis, now: Timestamp) -> u64 {
        match state {
            StateValue::ProfileStatus => {
                let (_, saving) = self.clock.deviation(self.clock.shown(now).secs());
                let mut status = self.tally.status;
                if saving {
                    status = status.union(model::IntervalStatus::DAYLIGHT_SAVING);
                }
                u64::from(status.bits())
            }
            StateValue::LogCode => {
                let [_, _, _, _, log, _] = obis.0;
                self.logs.last(log).map_or(0, |entry| u64::from(entry.code))
            }
            StateValue::Message => 0,
            StateValue::AlarmRegister => {
                u64::from(self.tally.alarm_register & self.tally.alarm_filter)
            }
            StateValue::AlarmFilter => u64::from(self.tally.alarm_filter),
            StateValue::PowerFailures => u64::from(self.tally.power_failures),
            StateValue::LongPowerFailures => u64::from(self.tally.long_power_failures),
            StateValue::InvocationCounter => {
                let association = self
                    .template
                    .associations
                    .iter()
                    .find(|association| association.invocation_counter == Some(obis));
                let secured = association.and_then(|association| {
                    let mut all = self.secured.iter();
                    all.find(|secured| secured.client == association.client)
                });
                secured.map_or(0, |secured| u64::from(secured.counter()))
            }
        }
    }

    fn read_clock(&self, id: i8, now: Timestamp, out: &mut Vec<u8>) -> Get {
        let shown = self.clock.shown(now);
        let rules = self.clock.rules();
        match id {
            2 => {
                let mut time = self.clock.local(shown.secs());
                let hundredths = shown.millis().rem_euclid(1_000) / 10;
                time.time.hundredths = u8::try_from(hundredths).unwrap_or(0);
                put_octet_string(out, &time.to_octets());
            }
            3 => put_i16(out, rules.time_zone),
            4 => put_u8(out, self.clock.local(shown.secs()).status.0),
            5 => put_octet_string(out, &rules.daylight_savings_begin),
            6 => put_octet_string(out, &rules.daylight_savings_end),
            7 => put_i8(out, rules.daylight_savings_deviation),
            8 => put_boolean(out, rules.daylight_savings_enabled),
            9 => put_enum(out, CLOCK_BASE_CRYSTAL),
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }

    fn read_breaker(&self, id: i8, out: &mut Vec<u8>) -> Get {
        match id {
            2 => put_boolean(out, self.breaker.output()),
            3 => put_enum(out, self.breaker.state().control_state()),
            4 => put_enum(out, self.breaker.mode().number()),
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }

    fn read_security_setup(&self, setup: Obis, id: i8, out: &mut Vec<u8>) -> Get {
        let secured = self
            .secured
            .iter()
            .find(|secured| secured.setup == setup)
            .ok_or(DataAccessResult::ObjectUnavailable)?;
        match id {
            2 => put_enum(out, secured.policy.octet()),
            3 => put_enum(out, secured.state.keys.suite().id()),
            // Any client that has the keys is let in, whatever its title.
            4 => put_octet_string(
                out,
                secured.state.client_title.as_ref().map_or(&[], |it| &it.0),
            ),
            5 => put_octet_string(out, &secured.state.title.0),
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }

    fn read_association(
        &self,
        object: &ObjectTemplate,
        id: i8,
        caller: u16,
        out: &mut Vec<u8>,
    ) -> Get {
        let unavailable = DataAccessResult::ObjectUnavailable;
        let own = object.association.is_none();
        let client = match object.association {
            None => caller,
            Some(index) => {
                let association = self.template.associations.get(usize::from(index.0));
                association.ok_or(unavailable)?.client
            }
        };
        let (index, association) = self.template.association_of(client).ok_or(unavailable)?;
        let terms = self.terms(client).ok_or(unavailable)?;
        match id {
            2 => self.put_object_list(index, association.protection(), object.version, out),
            3 => {
                put_structure(out, 2);
                put_i8(out, i8::try_from(client).unwrap_or(i8::MAX));
                put_u16(out, self.sap);
            }
            4 => {
                let id = match terms.context {
                    Context::LogicalName => 1,
                    Context::LogicalNameCiphered => 3,
                };
                put_octet_string(out, &[0x60, 0x85, 0x74, 0x05, 0x08, 0x01, id]);
            }
            5 => {
                put_structure(out, 6);
                let conformance = terms.conformance.to_octets();
                if let Some(bits) = BitStr::new(24, &conformance) {
                    put_bit_string(out, bits);
                }
                put_u16(out, self.template.pdu_len_max);
                put_u16(out, self.template.pdu_len_max);
                put_u8(out, DLMS_VERSION);
                put_i8(out, 0);
                put_octet_string(out, &[]);
            }
            6 => {
                let id = terms.mechanism.id().unwrap_or(0);
                let named = terms.mechanism != MechanismName::Lowest;
                let name = [0x60, 0x85, 0x74, 0x05, 0x08, 0x02, id];
                put_octet_string(out, if named { &name } else { &[] });
            }
            8 => {
                let open = self.open.get(usize::from(index.0)).is_some_and(|n| *n > 0);
                put_enum(
                    out,
                    if own || open {
                        ASSOCIATED
                    } else {
                        NON_ASSOCIATED
                    },
                );
            }
            9 => match association.security_setup {
                Some(setup) => put_octet_string(out, &setup.0),
                None => put_octet_string(out, &[0; 6]),
            },
            10 => put_array(out, 0),
            11 => {
                put_structure(out, 2);
                put_u8(out, 0);
                put_visible_string(out, &[]);
            }
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }

    /// Appends the objects that an association sees, with its rights.
    fn put_object_list(
        &self,
        index: AssociationIndex,
        protection: dlms::security::Protection,
        version: u8,
        out: &mut Vec<u8>,
    ) {
        let required = self.required(index, protection);
        let seen: Vec<&ObjectTemplate> = self
            .template
            .objects
            .values()
            .filter(|object| object.visible_to().contains(index))
            .filter(|object| !self.is_absent(object.obis))
            .collect();
        put_array(out, seen.len());
        for object in seen {
            let ids = std::iter::once(1).chain(object.attributes.iter().map(|it| it.id));
            let attribute_access = ids
                .map(|id| {
                    let access = Self::attribute_access(object, id, index, required);
                    let selectors = Self::selectors(object, id);
                    let selectors: Vec<i8> =
                        (1..8).filter(|it| selectors & (1 << it) != 0).collect();
                    AttributeAccessItem {
                        attribute_id: id,
                        access_mode: access.to_mode(version),
                        access_selectors: (!selectors.is_empty()).then_some(selectors),
                    }
                })
                .collect();
            let method_access = object
                .methods
                .iter()
                .map(|method| MethodAccessItem {
                    method_id: method.id,
                    access_mode: self
                        .method_access(object, method.id, index, required)
                        .to_mode(version),
                })
                .collect();
            ObjectListElement {
                class_id: object.class,
                version: object.version,
                logical_name: object.obis,
                attribute_access,
                method_access,
            }
            .to_data(version)
            .encode(out);
        }
    }

    fn read_profile(
        &self,
        object: &ObjectTemplate,
        id: i8,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Get {
        let profile = object
            .profile
            .as_ref()
            .ok_or(DataAccessResult::ObjectUnavailable)?;
        match id {
            2 => return self.read_buffer(profile, selection, out),
            3 => {
                put_array(out, profile.columns.len());
                for column in &profile.columns {
                    column.capture_object().to_data().encode(out);
                }
            }
            4 => put_u32(out, profile.period_s),
            5 => put_enum(out, SORT_FIFO),
            6 => CaptureObject::new(8, CLOCK_OBIS, 2).to_data().encode(out),
            7 => {
                let rows = self.rows_shown(profile.rows, profile.entries);
                put_u32(out, u32::try_from(rows).unwrap_or(u32::MAX));
            }
            8 => put_u32(out, profile.entries),
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(())
    }
}

/// Appends a number in the type that the model gives it. Registers roll over as their type does.
pub(super) fn put_number(out: &mut Vec<u8>, tag: Tag, value: u64) -> Get {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = value.to_be_bytes();
    let fits = |bits: u32| value >> bits == 0;
    match tag {
        Tag::Long64Unsigned => put_u64(out, u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7])),
        Tag::DoubleLongUnsigned => put_u32(out, u32::from_be_bytes([b4, b5, b6, b7])),
        Tag::LongUnsigned if fits(16) => put_u16(out, u16::from_be_bytes([b6, b7])),
        Tag::Unsigned if fits(8) => put_u8(out, b7),
        _ => return Err(DataAccessResult::OtherReason),
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, tag: Tag, text: &[u8]) {
    if tag == Tag::VisibleString {
        put_visible_string(out, text);
    } else {
        put_octet_string(out, text);
    }
}
