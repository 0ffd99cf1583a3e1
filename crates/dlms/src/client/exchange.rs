//! One request and its answer: lists that the server does not take one by one,
//! long values in blocks, in both directions.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::axdr::RawData;
use crate::codec::{DecodeError, Reader, Wire, put_length};
use crate::cosem::{AttributeDescriptorWithSelection, SelectiveAccessDescriptor};
use crate::xdlms::{
    ActionRequest, ActionResponse, ActionResponseWithOptionalData, ActionResult, Conformance,
    DataAccessResult, DataBlockG, DataBlockSa, GetDataResult, GetRequest, GetResponse,
    InvokeIdAndPriority, SetRequest, SetResponse,
};

use super::{
    ActionItem, ActionOutcome, EMPTY_BLOCKS_MAX, Failure, GetItem, Request, Response, SetItem,
    TRANSFER_LEN_MAX,
};

/// Entries that one list may have on the wire.
const LIST_LEN_MAX: usize = 64;

/// A request on its way.
pub(super) struct Exchange {
    conformance: Conformance,
    /// Octets that a request may have before it is protected.
    room: usize,
    work: Work,
    step: Step,
    confirmed: bool,
    invoke_id: u8,
    received: Vec<u8>,
    /// Blocks of the answer that have come.
    blocks: u32,
    empty_blocks: u32,
}

/// What is still to be asked, what is being asked, and what was answered.
enum Work {
    Get(Todo<GetItem, Result<Vec<u8>, DataAccessResult>>),
    Set(Todo<SetItem, DataAccessResult>),
    Action(Todo<ActionItem, ActionOutcome>),
}

struct Todo<I, O> {
    items: VecDeque<I>,
    asked: Vec<I>,
    done: Vec<O>,
}

impl<I, O> Todo<I, O> {
    fn new(items: Vec<I>) -> Self {
        Self {
            items: items.into(),
            asked: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Takes the next entries: at most `count`, and after the first only while
    /// they fit into `room` octets. Tells whether there are any.
    fn ask(&mut self, count: usize, mut room: usize, len: impl Fn(&I) -> usize) -> bool {
        self.asked.clear();
        while self.asked.len() < count
            && let Some(item) = self.items.front()
        {
            let left = room.checked_sub(len(item));
            if left.is_none() && !self.asked.is_empty() {
                break;
            }
            room = left.unwrap_or(0);
            self.asked.extend(self.items.pop_front());
        }
        !self.asked.is_empty()
    }
}

/// What comes next.
enum Step {
    /// The next entries are to be asked for.
    Ask,
    /// The answer, or its next block, is awaited.
    Await,
    /// A block of the answer came; the next is to be asked for.
    NextBlock,
    /// The request is being sent in blocks.
    Send(Sending),
}

struct Sending {
    octets: Vec<u8>,
    sent: usize,
    /// The block that was sent last.
    block_number: u32,
}

/// What became of an APDU.
pub(super) enum Taken {
    /// It is no answer to what was asked.
    Stray,
    /// It was a block, or asks for one.
    Block,
    /// It answers what was asked.
    Done,
}

impl Exchange {
    pub(super) fn new(
        request: Request,
        conformance: Conformance,
        room: usize,
        confirmed: bool,
    ) -> Result<Self, Failure> {
        let (needs, name) = match &request {
            Request::Get(_) => (Conformance::GET, "reading"),
            Request::Set(_) => (Conformance::SET, "writing"),
            Request::Action(_) => (Conformance::ACTION, "invoking methods"),
        };
        if !conformance.contains(needs) {
            return Err(Failure::NotOffered(name));
        }
        let selects = match &request {
            Request::Get(items) => items.iter().any(|item| item.selection.is_some()),
            Request::Set(items) => items.iter().any(|item| item.selection.is_some()),
            Request::Action(_) => false,
        };
        if selects && !conformance.contains(Conformance::SELECTIVE_ACCESS) {
            return Err(Failure::NotOffered("selective access"));
        }
        let work = match request {
            Request::Get(items) => Work::Get(Todo::new(items)),
            Request::Set(items) => Work::Set(Todo::new(items)),
            Request::Action(items) => Work::Action(Todo::new(items)),
        };
        Ok(Self {
            conformance,
            room,
            work,
            step: Step::Ask,
            confirmed,
            invoke_id: 0,
            received: Vec::new(),
            blocks: 0,
            empty_blocks: 0,
        })
    }

    pub(super) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub(super) const fn invoke_id(&self) -> u8 {
        self.invoke_id
    }

    /// Takes another invoke id for what is being asked.
    pub(super) const fn renew(&mut self, invoke_id: u8) -> InvokeIdAndPriority {
        self.invoke_id = invoke_id;
        self.invoke()
    }

    /// Tells how many octets of the answer, or of the request, have passed.
    pub(super) const fn progress(&self) -> usize {
        match &self.step {
            Step::Send(sending) => sending.sent,
            Step::Ask | Step::Await | Step::NextBlock => self.received.len(),
        }
    }

    pub(super) fn into_response(self) -> Response {
        if !self.confirmed {
            return Response::Sent;
        }
        match self.work {
            Work::Get(todo) => Response::Get(todo.done),
            Work::Set(todo) => Response::Set(todo.done),
            Work::Action(todo) => Response::Action(todo.done),
        }
    }

    /// Makes the next APDU; none where everything is answered.
    ///
    /// # Errors
    /// Where the server's longest APDU has no room for it, or there is no
    /// invoke id to be had.
    pub(super) fn next(
        &mut self,
        invoke_id: impl FnOnce() -> Result<u8, Failure>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        match core::mem::replace(&mut self.step, Step::Await) {
            Step::Ask | Step::Await => {
                self.received.clear();
                self.blocks = 0;
                self.empty_blocks = 0;
                if !self.ask() {
                    return Ok(None);
                }
                self.invoke_id = invoke_id()?;
                self.first().map(Some)
            }
            Step::NextBlock => {
                let (invoke, block_number) = (self.invoke(), self.blocks);
                Ok(Some(if matches!(self.work, Work::Action(_)) {
                    ActionRequest::NextPblock {
                        invoke,
                        block_number,
                    }
                    .to_octets()
                } else {
                    GetRequest::Next {
                        invoke,
                        block_number,
                    }
                    .to_octets()
                }))
            }
            Step::Send(mut sending) => {
                let invoke = self.invoke();
                // Tag, choice, invoke id.
                let block = sending.cut(self.room, 3)?;
                let apdu = if matches!(self.work, Work::Action(_)) {
                    ActionRequest::WithPblock { invoke, block }.to_octets()
                } else {
                    SetRequest::WithDatablock { invoke, block }.to_octets()
                };
                self.step = Step::Send(sending);
                Ok(Some(apdu))
            }
        }
    }

    const fn invoke(&self) -> InvokeIdAndPriority {
        if self.confirmed {
            InvokeIdAndPriority::confirmed(self.invoke_id)
        } else {
            InvokeIdAndPriority::unconfirmed(self.invoke_id)
        }
    }

    /// Takes the entries of the next request.
    fn ask(&mut self) -> bool {
        let count = if self.conformance.contains(Conformance::MULTIPLE_REFERENCES) {
            LIST_LEN_MAX
        } else {
            1
        };
        // What can be sent in blocks may be longer than an APDU.
        let room = if self.may_send_blocks() {
            TRANSFER_LEN_MAX
        } else {
            self.room
        };
        // Tag, choice, invoke id and the counts of two lists.
        let room = room.saturating_sub(9);
        let selection = |selection: &Option<(u8, Vec<u8>)>| {
            1 + selection.as_ref().map_or(0, |(_, octets)| 1 + octets.len())
        };
        match &mut self.work {
            Work::Get(todo) => todo.ask(count, room, |item| 9 + selection(&item.selection)),
            Work::Set(todo) => todo.ask(count, room, |item| {
                9 + selection(&item.selection) + item.value.len()
            }),
            Work::Action(todo) => {
                let len = |item: &ActionItem| 10 + item.parameter.as_ref().map_or(1, Vec::len);
                todo.ask(count, room, len)
            }
        }
    }

    const fn may_send_blocks(&self) -> bool {
        match &self.work {
            // Blocks are asked for one by one, and nobody would ask.
            _ if !self.confirmed => false,
            Work::Get(_) => false,
            Work::Set(_) => self
                .conformance
                .contains(Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE),
            Work::Action(_) => self
                .conformance
                .contains(Conformance::BLOCK_TRANSFER_WITH_ACTION),
        }
    }

    /// Makes the request for the entries, or its first block.
    fn first(&mut self) -> Result<Vec<u8>, Failure> {
        let whole = self.whole();
        if whole.len() <= self.room {
            return Ok(whole);
        }
        if !self.may_send_blocks() {
            return Err(Failure::NoRoom);
        }
        let mut sending = Sending {
            octets: self.values(),
            sent: 0,
            block_number: 0,
        };
        let head = self.first_block(DataBlockSa {
            last_block: true,
            block_number: 1,
            raw_data: &[],
        });
        // An empty block has a length of one octet.
        let block = sending.cut(self.room, head.len().saturating_sub(6))?;
        let apdu = self.first_block(block);
        self.step = Step::Send(sending);
        Ok(apdu)
    }

    /// Makes the request for the entries in one APDU.
    fn whole(&self) -> Vec<u8> {
        let invoke = self.invoke();
        match &self.work {
            Work::Get(todo) => match todo.asked.as_slice() {
                [item] => GetRequest::Normal {
                    invoke,
                    attribute: item.attribute,
                    access_selection: selection(&item.selection),
                }
                .to_octets(),
                items => GetRequest::WithList {
                    invoke,
                    attributes: items
                        .iter()
                        .map(|item| AttributeDescriptorWithSelection {
                            attribute: item.attribute,
                            access_selection: selection(&item.selection),
                        })
                        .collect(),
                }
                .to_octets(),
            },
            Work::Set(todo) => match todo.asked.as_slice() {
                [item] => SetRequest::Normal {
                    invoke,
                    attribute: item.attribute,
                    access_selection: selection(&item.selection),
                    value: RawData::new(&item.value),
                }
                .to_octets(),
                items => SetRequest::WithList {
                    invoke,
                    attributes: items.iter().map(target).collect(),
                    values: items.iter().map(|item| RawData::new(&item.value)).collect(),
                }
                .to_octets(),
            },
            Work::Action(todo) => match todo.asked.as_slice() {
                [item] => ActionRequest::Normal {
                    invoke,
                    method: item.method,
                    parameters: item.parameter.as_deref().map(RawData::new),
                }
                .to_octets(),
                items => ActionRequest::WithList {
                    invoke,
                    methods: items.iter().map(|item| item.method).collect(),
                    parameters: items.iter().map(parameter).collect(),
                }
                .to_octets(),
            },
        }
    }

    /// Makes the first APDU of a request in blocks.
    fn first_block(&self, block: DataBlockSa<'_>) -> Vec<u8> {
        let invoke = self.invoke();
        match &self.work {
            Work::Set(todo) => match todo.asked.as_slice() {
                [item] => SetRequest::WithFirstDatablock {
                    invoke,
                    attribute: item.attribute,
                    access_selection: selection(&item.selection),
                    block,
                }
                .to_octets(),
                items => SetRequest::WithListAndFirstDatablock {
                    invoke,
                    attributes: items.iter().map(target).collect(),
                    block,
                }
                .to_octets(),
            },
            Work::Action(todo) => match todo.asked.as_slice() {
                [item] => ActionRequest::WithFirstPblock {
                    invoke,
                    method: item.method,
                    block,
                }
                .to_octets(),
                items => ActionRequest::WithListAndFirstPblock {
                    invoke,
                    methods: items.iter().map(|item| item.method).collect(),
                    block,
                }
                .to_octets(),
            },
            Work::Get(_) => Vec::new(),
        }
    }

    /// Makes the octets that go in blocks: a value, or the list of them.
    fn values(&self) -> Vec<u8> {
        let values: Vec<RawData<'_>> = match &self.work {
            Work::Set(todo) => todo
                .asked
                .iter()
                .map(|item| RawData::new(&item.value))
                .collect(),
            Work::Action(todo) => todo.asked.iter().map(parameter).collect(),
            Work::Get(_) => Vec::new(),
        };
        let mut out = Vec::new();
        if values.len() != 1 {
            put_length(&mut out, values.len());
        }
        values.iter().for_each(|value| value.encode(&mut out));
        out
    }

    /// Takes an APDU.
    ///
    /// # Errors
    /// Where it is the answer, and wrong.
    pub(super) fn take(&mut self, plain: &[u8]) -> Result<Taken, Failure> {
        match (&self.work, plain.first()) {
            (Work::Get(_), Some(0xC4)) => self.take_get(plain),
            (Work::Set(_), Some(0xC5)) => self.take_set(plain),
            (Work::Action(_), Some(0xC7)) => self.take_action(plain),
            _ => Ok(Taken::Stray),
        }
    }

    fn take_get(&mut self, plain: &[u8]) -> Result<Taken, Failure> {
        let response = GetResponse::from_octets(plain).map_err(Failure::Malformed)?;
        if response.invoke().invoke_id() != self.invoke_id {
            return Ok(Taken::Stray);
        }
        let octets = match &response {
            GetResponse::WithDatablock { block, .. } => match block.result {
                Ok(octets) => match self.append(block.block_number, block.last_block, octets)? {
                    Appended::More => return Ok(Taken::Block),
                    Appended::Repeated => return Ok(Taken::Stray),
                    Appended::All(octets) => Some(octets),
                },
                Err(_) => None,
            },
            GetResponse::Normal { .. } | GetResponse::WithList { .. } => None,
        };
        let Work::Get(todo) = &mut self.work else {
            return Ok(Taken::Stray);
        };
        let single = todo.asked.len() == 1;
        match response {
            GetResponse::Normal { result, .. } if single => todo.done.push(own(result)?),
            GetResponse::WithList { results, .. } if results.len() == todo.asked.len() => {
                for result in results {
                    todo.done.push(own(result)?);
                }
            }
            // What is refused as a whole is refused for each.
            GetResponse::Normal {
                result: Err(refusal),
                ..
            }
            | GetResponse::WithDatablock {
                block:
                    DataBlockG {
                        result: Err(refusal),
                        ..
                    },
                ..
            } => {
                todo.done.extend(todo.asked.iter().map(|_| Err(refusal)));
            }
            GetResponse::WithDatablock { .. } => match octets {
                Some(octets) if single => {
                    check_whole(&octets)?;
                    todo.done.push(Ok(octets));
                }
                octets => {
                    let octets = octets.unwrap_or_default();
                    let results: Vec<GetDataResult<'_>> =
                        list(&octets, todo.asked.len(), GetDataResult::decode)?;
                    for result in results {
                        todo.done.push(own(result)?);
                    }
                }
            },
            GetResponse::Normal { .. } | GetResponse::WithList { .. } => {
                return Err(Failure::Unexpected);
            }
        }
        Ok(self.finish())
    }

    fn take_set(&mut self, plain: &[u8]) -> Result<Taken, Failure> {
        let response = SetResponse::from_octets(plain).map_err(Failure::Malformed)?;
        if response.invoke().invoke_id() != self.invoke_id {
            return Ok(Taken::Stray);
        }
        if let SetResponse::Datablock { block_number, .. } = response {
            return self.block_taken(block_number);
        }
        let unsent = self.unsent();
        let Work::Set(todo) = &mut self.work else {
            return Ok(Taken::Stray);
        };
        match response {
            SetResponse::Normal { result, .. } | SetResponse::LastDatablock { result, .. } => {
                let whole = unsent == 0 && todo.asked.len() == 1;
                if !whole && result == DataAccessResult::Success {
                    return Err(Failure::Unexpected);
                }
                todo.done.extend(todo.asked.iter().map(|_| result));
            }
            SetResponse::WithList { results, .. }
            | SetResponse::LastDatablockWithList { results, .. }
                if results.len() == todo.asked.len() && unsent == 0 =>
            {
                todo.done.extend(results);
            }
            _ => return Err(Failure::Unexpected),
        }
        Ok(self.finish())
    }

    fn take_action(&mut self, plain: &[u8]) -> Result<Taken, Failure> {
        let response = ActionResponse::from_octets(plain).map_err(Failure::Malformed)?;
        if response.invoke().invoke_id() != self.invoke_id {
            return Ok(Taken::Stray);
        }
        let unsent = self.unsent();
        let octets = match &response {
            ActionResponse::NextPblock { block_number, .. } => {
                return self.block_taken(*block_number);
            }
            ActionResponse::WithPblock { block, .. } => {
                match self.append(block.block_number, block.last_block, block.raw_data)? {
                    Appended::More => return Ok(Taken::Block),
                    Appended::Repeated => return Ok(Taken::Stray),
                    Appended::All(octets) => octets,
                }
            }
            ActionResponse::Normal { .. } | ActionResponse::WithList { .. } => Vec::new(),
        };
        let Work::Action(todo) = &mut self.work else {
            return Ok(Taken::Stray);
        };
        let single = todo.asked.len() == 1;
        if unsent != 0
            && !matches!(&response, ActionResponse::Normal { response, .. } if response.result != ActionResult::Success)
        {
            // Done before all of it was told: not what was asked.
            return Err(Failure::Unexpected);
        }
        match response {
            ActionResponse::Normal { response, .. } if single => todo.done.push(outcome(response)?),
            ActionResponse::WithList { responses, .. } if responses.len() == todo.asked.len() => {
                for response in responses {
                    todo.done.push(outcome(response)?);
                }
            }
            ActionResponse::Normal { response, .. } if response.result != ActionResult::Success => {
                let refused = outcome(response)?;
                todo.done.extend(todo.asked.iter().map(|_| refused.clone()));
            }
            ActionResponse::WithPblock { .. } if single => {
                let response = ActionResponseWithOptionalData::from_octets(&octets)
                    .map_err(Failure::Malformed)?;
                todo.done.push(outcome(response)?);
            }
            ActionResponse::WithPblock { .. } => {
                for response in list(
                    &octets,
                    todo.asked.len(),
                    ActionResponseWithOptionalData::decode,
                )? {
                    todo.done.push(outcome(response)?);
                }
            }
            _ => return Err(Failure::Unexpected),
        }
        Ok(self.finish())
    }

    /// Tells how many octets of the request have not been sent.
    const fn unsent(&self) -> usize {
        match &self.step {
            Step::Send(sending) => sending.octets.len() - sending.sent,
            Step::Ask | Step::Await | Step::NextBlock => 0,
        }
    }

    fn finish(&mut self) -> Taken {
        self.step = Step::Ask;
        Taken::Done
    }

    /// Takes the server's word that a block of ours has come.
    fn block_taken(&self, block_number: u32) -> Result<Taken, Failure> {
        match &self.step {
            Step::Send(sending) if sending.block_number == block_number => {
                if sending.sent == sending.octets.len() {
                    Err(Failure::Blocks)
                } else {
                    Ok(Taken::Block)
                }
            }
            Step::Send(sending) if block_number < sending.block_number => Ok(Taken::Stray),
            _ => Err(Failure::Blocks),
        }
    }

    /// Joins a block of the answer.
    fn append(&mut self, number: u32, last: bool, octets: &[u8]) -> Result<Appended, Failure> {
        if number == self.blocks && number != 0 {
            return Ok(Appended::Repeated);
        }
        if number != self.blocks.wrapping_add(1) {
            return Err(Failure::Blocks);
        }
        self.blocks = number;
        self.empty_blocks += u32::from(octets.is_empty());
        if self.received.len() + octets.len() > TRANSFER_LEN_MAX
            || self.empty_blocks > EMPTY_BLOCKS_MAX
        {
            return Err(Failure::TooLong);
        }
        self.received.extend_from_slice(octets);
        if last {
            return Ok(Appended::All(core::mem::take(&mut self.received)));
        }
        self.step = Step::NextBlock;
        Ok(Appended::More)
    }
}

enum Appended {
    More,
    /// The block that came last came again.
    Repeated,
    All(Vec<u8>),
}

impl Sending {
    /// Cuts off what fits into `room` behind `head` octets: last-block, block
    /// number and a length of up to three octets stand before it.
    fn cut(&mut self, room: usize, head: usize) -> Result<DataBlockSa<'_>, Failure> {
        let size = room
            .checked_sub(head + 8)
            .filter(|size| *size > 0)
            .ok_or(Failure::NoRoom)?;
        let end = self.sent.saturating_add(size).min(self.octets.len());
        let raw_data = self.octets.get(self.sent..end).unwrap_or_default();
        self.sent = end;
        self.block_number += 1;
        Ok(DataBlockSa {
            last_block: end == self.octets.len(),
            block_number: self.block_number,
            raw_data,
        })
    }
}

fn selection(selection: &Option<(u8, Vec<u8>)>) -> Option<SelectiveAccessDescriptor<'_>> {
    selection
        .as_ref()
        .map(|(selector, parameters)| SelectiveAccessDescriptor {
            access_selector: *selector,
            access_parameters: RawData::new(parameters),
        })
}

fn target(item: &SetItem) -> AttributeDescriptorWithSelection<'_> {
    AttributeDescriptorWithSelection {
        attribute: item.attribute,
        access_selection: selection(&item.selection),
    }
}

/// A list has no way to say that a method gets nothing: null-data stands there.
fn parameter(item: &ActionItem) -> RawData<'_> {
    RawData::new(item.parameter.as_deref().unwrap_or(&[0]))
}

/// Keeps a value that is whole.
fn own(result: GetDataResult<'_>) -> Result<Result<Vec<u8>, DataAccessResult>, Failure> {
    match result {
        Ok(value) => {
            check_whole(value.octets())?;
            Ok(Ok(value.octets().to_vec()))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn outcome(response: ActionResponseWithOptionalData<'_>) -> Result<ActionOutcome, Failure> {
    Ok(ActionOutcome {
        result: response.result,
        returned: response.return_parameters.map(own).transpose()?,
    })
}

/// Checks that octets are exactly one value.
fn check_whole(octets: &[u8]) -> Result<(), Failure> {
    let mut reader = Reader::new(octets);
    RawData::skim(&mut reader)
        .and_then(|_| reader.finish("data"))
        .map_err(Failure::Malformed)
}

/// Reads a list of as many entries as were asked for.
fn list<'a, T>(
    octets: &'a [u8],
    count: usize,
    decode: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, Failure> {
    let mut reader = Reader::new(octets);
    if reader
        .length("list of results")
        .map_err(Failure::Malformed)?
        != count
    {
        return Err(Failure::Unexpected);
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(decode(&mut reader).map_err(Failure::Malformed)?);
    }
    reader
        .finish("list of results")
        .map_err(Failure::Malformed)?;
    Ok(entries)
}
