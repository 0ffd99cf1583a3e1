//! GET, SET and ACTION of one association, block transfer included.
//!
//! What comes in has been verified and deciphered; what goes out is protected
//! by the caller. Only one long transfer is under way at a time: a request that
//! does not go on with it ends it.

use alloc::vec::Vec;

use crate::axdr::RawData;
use crate::codec::{DecodeError, Reader, Wire, put_length};
use crate::cosem::{
    AttributeAccess, AttributeDescriptor, MethodAccess, MethodDescriptor, ProfileSelection,
    SelectiveAccessDescriptor,
};
use crate::security::Protection;
use crate::xdlms::{
    ActionRequest, ActionResponse, ActionResponseWithOptionalData, ActionResult, Conformance,
    DataAccessResult, DataBlockG, DataBlockSa, GetRequest, GetResponse, InvokeIdAndPriority,
    SetRequest, SetResponse,
};

use super::store::{Caller, Notice, ObjectStore, Selection};

/// Octets that one answer or one request in blocks may have in all.
pub const TRANSFER_LEN_MAX: usize = 4 * 1_024 * 1_024;

/// References that one request with a list may hold.
pub const REFERENCES_MAX: usize = 256;

/// What a request is answered with.
pub(super) enum Reply {
    /// The APDU that was appended.
    Apdu,
    /// Nothing: the request was unconfirmed.
    Silence,
    /// The service is not in the conformance that was agreed on.
    NotSupported,
}

/// What the services of one association need to know of it, and the long
/// transfer that is under way.
pub(super) struct Services {
    pub(super) conformance: Conformance,
    transfer: Transfer,
}

enum Transfer {
    None,
    Sending(Sending),
    Receiving(Receiving),
}

/// How the request was protected with which a transfer began. All that goes
/// on with it must be so too: else somebody on the way could ask in clear for
/// the rest of what was asked for ciphered, or slip a block in between.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bond {
    protection: Protection,
    verified: bool,
    broadcast: bool,
}

/// An answer on its way out in blocks.
struct Sending {
    bond: Bond,
    action: bool,
    invoke_id: u8,
    octets: Vec<u8>,
    sent: usize,
    /// The block that was sent last.
    block_number: u32,
}

/// A request on its way in, in blocks.
struct Receiving {
    bond: Bond,
    target: Target,
    invoke_id: u8,
    octets: Vec<u8>,
    /// The block that came last.
    block_number: u32,
}

/// What the blocks on their way in are for. Selections are kept as octets,
/// since their request is gone when the last block comes.
enum Target {
    Set(Vec<SetTarget>, Form),
    Action(Vec<MethodDescriptor>, Form),
}

/// An attribute, and its selector with parameters.
type SetTarget = (AttributeDescriptor, Option<(u8, Vec<u8>)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Single,
    List,
}

/// One request as the services see it.
pub(super) struct Exchange<'s> {
    pub(super) store: &'s mut dyn ObjectStore,
    pub(super) caller: &'s Caller,
    /// Octets that the answer may have before it is protected.
    pub(super) budget: usize,
}

impl Services {
    pub(super) const fn new(conformance: Conformance) -> Self {
        Self {
            conformance,
            transfer: Transfer::None,
        }
    }

    /// Answers a GET request.
    pub(super) fn get(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: GetRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Reply {
        if !self.conformance.contains(Conformance::GET) {
            return Reply::NotSupported;
        }
        match request {
            GetRequest::Normal {
                invoke,
                attribute,
                access_selection,
            } => {
                self.transfer = Transfer::None;
                out.extend_from_slice(&[0xC4, 1, invoke.0, 0]);
                let start = out.len();
                match self.read(exchange, &attribute, access_selection.as_ref(), out) {
                    Ok(()) => self.finish_get(exchange, invoke, start - 4, start, out),
                    Err(refusal) => {
                        out.truncate(start - 1);
                        out.extend_from_slice(&[1, refusal.code()]);
                    }
                }
                confirmed(invoke)
            }
            GetRequest::Next {
                invoke,
                block_number,
            } => {
                self.next_get_block(exchange, invoke, block_number, out);
                confirmed(invoke)
            }
            GetRequest::WithList { invoke, attributes } => {
                self.transfer = Transfer::None;
                if !self.conformance.contains(Conformance::MULTIPLE_REFERENCES)
                    || attributes.len() > REFERENCES_MAX
                {
                    return Reply::NotSupported;
                }
                out.extend_from_slice(&[0xC4, 3, invoke.0]);
                let start = out.len();
                put_length(out, attributes.len());
                for item in &attributes {
                    let before = out.len();
                    out.push(0);
                    let read = self.read(
                        exchange,
                        &item.attribute,
                        item.access_selection.as_ref(),
                        out,
                    );
                    if let Err(refusal) = read {
                        out.truncate(before);
                        out.extend_from_slice(&[1, refusal.code()]);
                    }
                }
                self.finish_get(exchange, invoke, start - 3, start, out);
                confirmed(invoke)
            }
        }
    }

    /// Leaves an answer to GET whole where it fits, and else turns it into its
    /// first block. The answer's head starts at `head`, its data at `data`.
    fn finish_get(
        &mut self,
        exchange: &Exchange<'_>,
        invoke: InvokeIdAndPriority,
        head: usize,
        data: usize,
        out: &mut Vec<u8>,
    ) {
        if out.len() - head <= exchange.budget {
            return;
        }
        let octets = out.split_off(data);
        out.truncate(head);
        if !self
            .conformance
            .contains(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ)
            || octets.len() > TRANSFER_LEN_MAX
        {
            refuse_get(invoke, DataAccessResult::OtherReason, out);
            return;
        }
        let mut sending = Sending {
            bond: exchange.bond(),
            action: false,
            invoke_id: invoke.invoke_id(),
            octets,
            sent: 0,
            block_number: 0,
        };
        sending.put_get_block(exchange, invoke, out);
        self.transfer = Transfer::Sending(sending);
    }

    fn next_get_block(
        &mut self,
        exchange: &Exchange<'_>,
        invoke: InvokeIdAndPriority,
        block_number: u32,
        out: &mut Vec<u8>,
    ) {
        let refusal = match core::mem::replace(&mut self.transfer, Transfer::None) {
            Transfer::Sending(mut sending)
                if !sending.action
                    && sending.invoke_id == invoke.invoke_id()
                    && sending.bond == exchange.bond() =>
            {
                if sending.block_number == block_number {
                    if sending.put_get_block(exchange, invoke, out) {
                        self.transfer = Transfer::Sending(sending);
                    }
                    return;
                }
                DataAccessResult::DataBlockNumberInvalid
            }
            _ => DataAccessResult::NoLongGetInProgress,
        };
        GetResponse::WithDatablock {
            invoke,
            block: DataBlockG {
                last_block: true,
                block_number,
                result: Err(refusal),
            },
        }
        .encode(out);
    }

    /// Answers a SET request.
    pub(super) fn set(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: SetRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Reply {
        if !self.conformance.contains(Conformance::SET) {
            return Reply::NotSupported;
        }
        let invoke = request.invoke();
        if !matches!(request, SetRequest::WithDatablock { .. }) {
            self.transfer = Transfer::None;
        }
        let response = match request {
            SetRequest::Normal {
                attribute,
                access_selection,
                value,
                ..
            } => {
                let result = self.write(exchange, &attribute, access_selection.as_ref(), value);
                SetResponse::Normal { invoke, result }
            }
            SetRequest::WithList {
                attributes, values, ..
            } => {
                if !self.conformance.contains(Conformance::MULTIPLE_REFERENCES)
                    || attributes.len() > REFERENCES_MAX
                    || attributes.len() != values.len()
                {
                    return Reply::NotSupported;
                }
                let results = attributes
                    .iter()
                    .zip(values)
                    .map(|(item, value)| {
                        self.write(
                            exchange,
                            &item.attribute,
                            item.access_selection.as_ref(),
                            value,
                        )
                    })
                    .collect();
                SetResponse::WithList { invoke, results }
            }
            SetRequest::WithFirstDatablock {
                attribute,
                access_selection,
                block,
                ..
            } => {
                let target = Target::Set(
                    alloc::vec![(
                        attribute,
                        access_selection.map(|selection| keep(&selection))
                    )],
                    Form::Single,
                );
                match self.begin_set(exchange, invoke, target) {
                    Some(receiving) => self.go_on_set(exchange, invoke, receiving, &block),
                    None => return Reply::NotSupported,
                }
            }
            SetRequest::WithListAndFirstDatablock {
                attributes, block, ..
            } => {
                if !self.conformance.contains(Conformance::MULTIPLE_REFERENCES)
                    || attributes.len() > REFERENCES_MAX
                {
                    return Reply::NotSupported;
                }
                let targets = attributes
                    .iter()
                    .map(|item| (item.attribute, item.access_selection.as_ref().map(keep)))
                    .collect();
                match self.begin_set(exchange, invoke, Target::Set(targets, Form::List)) {
                    Some(receiving) => self.go_on_set(exchange, invoke, receiving, &block),
                    None => return Reply::NotSupported,
                }
            }
            SetRequest::WithDatablock { block, .. } => {
                match core::mem::replace(&mut self.transfer, Transfer::None) {
                    Transfer::Receiving(receiving)
                        if matches!(receiving.target, Target::Set(..))
                            && receiving.invoke_id == invoke.invoke_id()
                            && receiving.bond == exchange.bond() =>
                    {
                        self.go_on_set(exchange, invoke, receiving, &block)
                    }
                    _ => SetResponse::LastDatablock {
                        invoke,
                        result: DataAccessResult::NoLongSetInProgress,
                        block_number: block.block_number,
                    },
                }
            }
        };
        response.encode(out);
        confirmed(invoke)
    }

    fn begin_set(
        &self,
        exchange: &Exchange<'_>,
        invoke: InvokeIdAndPriority,
        target: Target,
    ) -> Option<Receiving> {
        self.conformance
            .contains(Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE)
            .then(|| Receiving::new(exchange, invoke, target))
    }

    fn go_on_set(
        &mut self,
        exchange: &mut Exchange<'_>,
        invoke: InvokeIdAndPriority,
        mut receiving: Receiving,
        block: &DataBlockSa<'_>,
    ) -> SetResponse {
        let block_number = block.block_number;
        let refuse = |result| SetResponse::LastDatablock {
            invoke,
            result,
            block_number,
        };
        match receiving.take(block) {
            Err(Refused::Number) => return refuse(DataAccessResult::DataBlockNumberInvalid),
            Err(Refused::Length) => return refuse(DataAccessResult::LongSetAborted),
            Ok(()) if !block.last_block => {
                self.transfer = Transfer::Receiving(receiving);
                return SetResponse::Datablock {
                    invoke,
                    block_number,
                };
            }
            Ok(()) => {}
        }
        let Target::Set(targets, form) = &receiving.target else {
            return refuse(DataAccessResult::NoLongSetInProgress);
        };
        let Ok(values) = values(&receiving.octets, targets.len(), *form) else {
            return refuse(DataAccessResult::TypeUnmatched);
        };
        let mut results = targets
            .iter()
            .zip(values)
            .map(|((attribute, selection), value)| {
                let selection =
                    selection
                        .as_ref()
                        .map(|(selector, octets)| SelectiveAccessDescriptor {
                            access_selector: *selector,
                            access_parameters: RawData::new(octets),
                        });
                self.write(exchange, attribute, selection.as_ref(), value)
            });
        match form {
            Form::Single => {
                let result = results.next().unwrap_or(DataAccessResult::OtherReason);
                SetResponse::LastDatablock {
                    invoke,
                    result,
                    block_number,
                }
            }
            Form::List => SetResponse::LastDatablockWithList {
                invoke,
                results: results.collect(),
                block_number,
            },
        }
    }

    /// Answers an ACTION request.
    pub(super) fn action(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: ActionRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Reply {
        if !self.conformance.contains(Conformance::ACTION) {
            return Reply::NotSupported;
        }
        let invoke = request.invoke();
        if !matches!(
            request,
            ActionRequest::WithPblock { .. } | ActionRequest::NextPblock { .. }
        ) {
            self.transfer = Transfer::None;
        }
        match request {
            ActionRequest::Normal {
                method, parameters, ..
            } => {
                self.invoke_all(exchange, invoke, &[(method, parameters)], Form::Single, out);
            }
            ActionRequest::WithList {
                methods,
                parameters,
                ..
            } => {
                if !self.conformance.contains(Conformance::MULTIPLE_REFERENCES)
                    || methods.len() > REFERENCES_MAX
                    || methods.len() != parameters.len()
                {
                    return Reply::NotSupported;
                }
                let calls: Vec<_> = methods
                    .into_iter()
                    .zip(parameters.into_iter().map(Some))
                    .collect();
                self.invoke_all(exchange, invoke, &calls, Form::List, out);
            }
            ActionRequest::NextPblock { block_number, .. } => {
                self.next_action_block(exchange, invoke, block_number, out);
            }
            ActionRequest::WithFirstPblock { method, block, .. } => {
                if !self
                    .conformance
                    .contains(Conformance::BLOCK_TRANSFER_WITH_ACTION)
                {
                    return Reply::NotSupported;
                }
                let target = Target::Action(alloc::vec![method], Form::Single);
                let receiving = Receiving::new(exchange, invoke, target);
                self.go_on_action(exchange, invoke, receiving, &block, out);
            }
            ActionRequest::WithListAndFirstPblock { methods, block, .. } => {
                if !self
                    .conformance
                    .contains(Conformance::BLOCK_TRANSFER_WITH_ACTION)
                    || !self.conformance.contains(Conformance::MULTIPLE_REFERENCES)
                    || methods.len() > REFERENCES_MAX
                {
                    return Reply::NotSupported;
                }
                let target = Target::Action(methods, Form::List);
                let receiving = Receiving::new(exchange, invoke, target);
                self.go_on_action(exchange, invoke, receiving, &block, out);
            }
            ActionRequest::WithPblock { block, .. } => {
                match core::mem::replace(&mut self.transfer, Transfer::None) {
                    Transfer::Receiving(receiving)
                        if matches!(receiving.target, Target::Action(..))
                            && receiving.invoke_id == invoke.invoke_id()
                            && receiving.bond == exchange.bond() =>
                    {
                        self.go_on_action(exchange, invoke, receiving, &block, out);
                    }
                    _ => refuse_action(invoke, ActionResult::NoLongActionInProgress, out),
                }
            }
        }
        confirmed(invoke)
    }

    fn go_on_action(
        &mut self,
        exchange: &mut Exchange<'_>,
        invoke: InvokeIdAndPriority,
        mut receiving: Receiving,
        block: &DataBlockSa<'_>,
        out: &mut Vec<u8>,
    ) {
        match receiving.take(block) {
            Err(Refused::Number) => {
                return refuse_action(invoke, ActionResult::DataBlockUnavailable, out);
            }
            Err(Refused::Length) => {
                return refuse_action(invoke, ActionResult::LongActionAborted, out);
            }
            Ok(()) if !block.last_block => {
                self.transfer = Transfer::Receiving(receiving);
                ActionResponse::NextPblock {
                    invoke,
                    block_number: block.block_number,
                }
                .encode(out);
                return;
            }
            Ok(()) => {}
        }
        let Target::Action(methods, form) = &receiving.target else {
            return refuse_action(invoke, ActionResult::NoLongActionInProgress, out);
        };
        let Ok(values) = values(&receiving.octets, methods.len(), *form) else {
            return refuse_action(invoke, ActionResult::TypeUnmatched, out);
        };
        let calls: Vec<_> = methods
            .iter()
            .copied()
            .zip(values.into_iter().map(Some))
            .collect();
        self.invoke_all(exchange, invoke, &calls, *form, out);
    }

    /// Invokes methods one after the other and answers for all of them.
    fn invoke_all(
        &mut self,
        exchange: &mut Exchange<'_>,
        invoke: InvokeIdAndPriority,
        calls: &[(MethodDescriptor, Option<RawData<'_>>)],
        form: Form,
        out: &mut Vec<u8>,
    ) {
        let head = out.len();
        out.extend_from_slice(&[0xC7, if form == Form::List { 3 } else { 1 }, invoke.0]);
        let data = out.len();
        if form == Form::List {
            put_length(out, calls.len());
        }
        let mut results = Vec::with_capacity(calls.len());
        for (method, parameter) in calls {
            let mut returned = Vec::new();
            let result = call(exchange, method, *parameter, &mut returned);
            let result = result.err().unwrap_or(ActionResult::Success);
            let returns = result == ActionResult::Success && !returned.is_empty();
            ActionResponseWithOptionalData {
                result,
                return_parameters: returns.then(|| Ok(RawData::new(&returned))),
            }
            .encode(out);
            results.push((result, returns));
        }
        if out.len() - head <= exchange.budget {
            return;
        }
        let octets = out.split_off(data);
        if !self
            .conformance
            .contains(Conformance::BLOCK_TRANSFER_WITH_ACTION)
            || octets.len() > TRANSFER_LEN_MAX
        {
            // What was done is done: only what it returned cannot be told.
            if form == Form::List {
                put_length(out, results.len());
            }
            for (result, returned) in results {
                ActionResponseWithOptionalData {
                    result,
                    return_parameters: returned.then_some(Err(DataAccessResult::OtherReason)),
                }
                .encode(out);
            }
            return;
        }
        let mut sending = Sending {
            bond: exchange.bond(),
            action: true,
            invoke_id: invoke.invoke_id(),
            octets,
            sent: 0,
            block_number: 0,
        };
        out.truncate(head);
        sending.put_action_block(exchange, invoke, out);
        self.transfer = Transfer::Sending(sending);
    }

    fn next_action_block(
        &mut self,
        exchange: &Exchange<'_>,
        invoke: InvokeIdAndPriority,
        block_number: u32,
        out: &mut Vec<u8>,
    ) {
        match core::mem::replace(&mut self.transfer, Transfer::None) {
            Transfer::Sending(mut sending)
                if sending.action
                    && sending.invoke_id == invoke.invoke_id()
                    && sending.bond == exchange.bond()
                    && sending.block_number == block_number =>
            {
                if sending.put_action_block(exchange, invoke, out) {
                    self.transfer = Transfer::Sending(sending);
                }
            }
            Transfer::Sending(sending) if sending.action => {
                refuse_action(invoke, ActionResult::DataBlockUnavailable, out);
            }
            _ => refuse_action(invoke, ActionResult::NoLongActionInProgress, out),
        }
    }

    /// Reads an attribute after its rights.
    fn read(
        &self,
        exchange: &mut Exchange<'_>,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccessDescriptor<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let caller = exchange.caller;
        let rights = exchange.store.attribute_rights(caller.client, attribute)?;
        exchange
            .readable(rights.access)
            .map_err(|Denied| DataAccessResult::ReadWriteDenied)?;
        let selection = self.select(attribute, selection, rights.selectors)?;
        if out.len() > TRANSFER_LEN_MAX {
            return Err(DataAccessResult::OtherReason);
        }
        let start = out.len();
        exchange
            .store
            .get(caller, attribute, selection.as_ref(), out)?;
        if out.len() == start {
            // A value has at least its tag: a store that appends nothing has none.
            return Err(DataAccessResult::OtherReason);
        }
        Ok(())
    }

    /// Writes an attribute after its rights.
    fn write(
        &self,
        exchange: &mut Exchange<'_>,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccessDescriptor<'_>>,
        value: RawData<'_>,
    ) -> DataAccessResult {
        let caller = exchange.caller;
        let written = exchange
            .store
            .attribute_rights(caller.client, attribute)
            .and_then(|rights| {
                exchange
                    .writable(rights.access)
                    .map_err(|Denied| DataAccessResult::ReadWriteDenied)?;
                self.select(attribute, selection, rights.selectors)
            })
            .and_then(|selection| {
                if value.walk().any(|event| event.is_err()) {
                    return Err(DataAccessResult::TypeUnmatched);
                }
                exchange
                    .store
                    .set(caller, attribute, selection.as_ref(), value)
            });
        written.err().unwrap_or(DataAccessResult::Success)
    }

    /// Decodes a selection that the rights allow.
    fn select<'a>(
        &self,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccessDescriptor<'a>>,
        selectors: u32,
    ) -> Result<Option<Selection<'a>>, DataAccessResult> {
        let Some(selection) = selection else {
            return Ok(None);
        };
        let selector = u32::from(selection.access_selector);
        let allowed = selectors
            .checked_shr(selector)
            .is_some_and(|bits| bits & 1 == 1);
        if !allowed || !self.conformance.contains(Conformance::SELECTIVE_ACCESS) {
            return Err(DataAccessResult::ScopeOfAccessViolated);
        }
        if attribute.class_id != PROFILE_GENERIC {
            return Ok(Some(Selection::Other(*selection)));
        }
        ProfileSelection::from_descriptor(selection)
            .map(|selection| Some(Selection::Profile(selection)))
            .map_err(|_| DataAccessResult::TypeUnmatched)
    }
}

/// The class whose selectors the server decodes (IEC 62056-6-2, class 7).
const PROFILE_GENERIC: u16 = 7;

/// Invokes a method after its rights.
fn call(
    exchange: &mut Exchange<'_>,
    method: &MethodDescriptor,
    parameter: Option<RawData<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), ActionResult> {
    let caller = exchange.caller;
    let rights = exchange.store.method_rights(caller.client, method)?;
    exchange
        .callable(rights)
        .map_err(|Denied| ActionResult::ReadWriteDenied)?;
    if parameter.is_some_and(|value| value.walk().any(|event| event.is_err())) {
        return Err(ActionResult::TypeUnmatched);
    }
    exchange.store.invoke(caller, method, parameter, out)
}

struct Denied;

impl Exchange<'_> {
    const fn bond(&self) -> Bond {
        Bond {
            protection: self.caller.protection,
            verified: self.caller.verified.is_some(),
            broadcast: self.caller.broadcast,
        }
    }

    fn readable(&mut self, access: AttributeAccess) -> Result<(), Denied> {
        let any = |rights: AttributeAccess| access.0 & rights.0 != 0;
        self.allowed(
            any(AttributeAccess::READ),
            any(AttributeAccess::AUTHENTICATED_REQUEST
                .with(AttributeAccess::AUTHENTICATED_RESPONSE)),
            any(AttributeAccess::ENCRYPTED_REQUEST.with(AttributeAccess::ENCRYPTED_RESPONSE)),
            any(AttributeAccess::DIGITALLY_SIGNED_REQUEST
                .with(AttributeAccess::DIGITALLY_SIGNED_RESPONSE)),
        )
    }

    fn writable(&mut self, access: AttributeAccess) -> Result<(), Denied> {
        let any = |rights: AttributeAccess| access.0 & rights.0 != 0;
        self.allowed(
            any(AttributeAccess::WRITE),
            any(AttributeAccess::AUTHENTICATED_REQUEST
                .with(AttributeAccess::AUTHENTICATED_RESPONSE)),
            any(AttributeAccess::ENCRYPTED_REQUEST.with(AttributeAccess::ENCRYPTED_RESPONSE)),
            any(AttributeAccess::DIGITALLY_SIGNED_REQUEST
                .with(AttributeAccess::DIGITALLY_SIGNED_RESPONSE)),
        )
    }

    fn callable(&mut self, access: MethodAccess) -> Result<(), Denied> {
        let any = |rights: MethodAccess| access.0 & rights.0 != 0;
        self.allowed(
            any(MethodAccess::ACCESS),
            any(MethodAccess::AUTHENTICATED_REQUEST.with(MethodAccess::AUTHENTICATED_RESPONSE)),
            any(MethodAccess::ENCRYPTED_REQUEST.with(MethodAccess::ENCRYPTED_RESPONSE)),
            any(MethodAccess::DIGITALLY_SIGNED_REQUEST
                .with(MethodAccess::DIGITALLY_SIGNED_RESPONSE)),
        )
    }

    /// Checks what was asked against a right and the protection that it needs.
    /// An answer is protected as its request was, so that what the answer must
    /// have the request must have too.
    /// Nothing is signed in suite 0, so a right that wants a signature is none.
    fn allowed(
        &mut self,
        granted: bool,
        authenticated: bool,
        encrypted: bool,
        signed: bool,
    ) -> Result<(), Denied> {
        let needs = Protection::of(authenticated, encrypted);
        let notice = if !granted {
            Notice::Refused
        } else if signed || !self.caller.protection.covers(needs) {
            Notice::ProtectionMissing
        } else {
            return Ok(());
        };
        self.store.noticed(self.caller.client, notice);
        Err(Denied)
    }
}

impl Sending {
    /// Appends the next block of an answer to GET; tells whether more follow.
    fn put_get_block(
        &mut self,
        exchange: &Exchange<'_>,
        invoke: InvokeIdAndPriority,
        out: &mut Vec<u8>,
    ) -> bool {
        // Tag, choice, invoke id, last-block, block number, result choice.
        let (last_block, block_number, octets) = self.cut(exchange.budget, 9);
        let block = DataBlockG {
            last_block,
            block_number,
            result: Ok(octets),
        };
        GetResponse::WithDatablock { invoke, block }.encode(out);
        !last_block
    }

    /// Appends the next block of an answer to ACTION; tells whether more follow.
    fn put_action_block(
        &mut self,
        exchange: &Exchange<'_>,
        invoke: InvokeIdAndPriority,
        out: &mut Vec<u8>,
    ) -> bool {
        let (last_block, block_number, octets) = self.cut(exchange.budget, 8);
        let block = DataBlockSa {
            last_block,
            block_number,
            raw_data: octets,
        };
        ActionResponse::WithPblock { invoke, block }.encode(out);
        !last_block
    }

    /// Cuts off what fits into `budget` behind `head` octets and a length of
    /// up to three more.
    fn cut(&mut self, budget: usize, head: usize) -> (bool, u32, &[u8]) {
        let size = budget.saturating_sub(head + 3).max(1);
        let end = self.sent.saturating_add(size).min(self.octets.len());
        let octets = self.octets.get(self.sent..end).unwrap_or_default();
        self.sent = end;
        self.block_number = self.block_number.wrapping_add(1);
        (end == self.octets.len(), self.block_number, octets)
    }
}

enum Refused {
    Number,
    Length,
}

impl Receiving {
    const fn new(exchange: &Exchange<'_>, invoke: InvokeIdAndPriority, target: Target) -> Self {
        Self {
            bond: exchange.bond(),
            target,
            invoke_id: invoke.invoke_id(),
            octets: Vec::new(),
            block_number: 0,
        }
    }

    fn take(&mut self, block: &DataBlockSa<'_>) -> Result<(), Refused> {
        if block.block_number != self.block_number.wrapping_add(1) {
            return Err(Refused::Number);
        }
        if self.octets.len() + block.raw_data.len() > TRANSFER_LEN_MAX {
            return Err(Refused::Length);
        }
        self.block_number = block.block_number;
        self.octets.extend_from_slice(block.raw_data);
        Ok(())
    }
}

/// Finds the values in what came in blocks: one, or a list of `count`.
fn values(octets: &[u8], count: usize, form: Form) -> Result<Vec<RawData<'_>>, DecodeError> {
    let mut reader = Reader::new(octets);
    if form == Form::List {
        let told = reader.length("value-list")?;
        if told != count {
            return Err(reader.error("value-list", crate::codec::Malformed::Value));
        }
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(RawData::skim(&mut reader)?);
    }
    reader.finish("value-list")?;
    Ok(values)
}

fn keep(selection: &SelectiveAccessDescriptor<'_>) -> (u8, Vec<u8>) {
    (
        selection.access_selector,
        selection.access_parameters.octets().to_vec(),
    )
}

const fn confirmed(invoke: InvokeIdAndPriority) -> Reply {
    if invoke.is_confirmed() {
        Reply::Apdu
    } else {
        Reply::Silence
    }
}

fn refuse_get(invoke: InvokeIdAndPriority, refusal: DataAccessResult, out: &mut Vec<u8>) {
    GetResponse::Normal {
        invoke,
        result: Err(refusal),
    }
    .encode(out);
}

fn refuse_action(invoke: InvokeIdAndPriority, result: ActionResult, out: &mut Vec<u8>) {
    ActionResponse::Normal {
        invoke,
        response: ActionResponseWithOptionalData {
            result,
            return_parameters: None,
        },
    }
    .encode(out);
}
