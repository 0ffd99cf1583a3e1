//! What goes into the machine, and what comes out of it.

use alloc::vec::Vec;

use crate::Instant;
use crate::acse::Deviation;
use crate::cosem::{AttributeDescriptor, MethodDescriptor};
use crate::security::{CounterHint, CounterPlan, Key, SystemTitle, TagVerified};
use crate::xdlms::{ActionResult, Conformance, DataAccessResult};

use super::Failure;

/// What happens to a client.
#[derive(Debug)]
pub enum Input<'a> {
    /// The association is to be made.
    Associate(Associate<'a>),
    /// Something is wanted of the server.
    Request(Request),
    /// Something is wanted of the server, and no answer: of the unconfirmed
    /// service class. Whether it was done can only be read back.
    Unconfirmed(Request),
    /// An APDU came.
    Apdu(&'a [u8]),
    /// The record of a plan is durable.
    Reserved(CounterPlan),
    /// The record of a plan could not be made durable.
    NotReserved,
    /// The association is to be released.
    Release,
    /// What is under way is no longer wanted. Its answer, if it still comes,
    /// is dropped.
    Cancel,
    /// Time has passed.
    Timeout,
    /// The link says that what was sent is lost most likely, and that it has
    /// another way: what may be repeated is, before its time.
    Repeat,
    /// The link is gone.
    LinkLost,
}

/// What making an association needs beside what is configured.
#[derive(Clone, Debug, Default)]
pub struct Associate<'a> {
    /// The password, for low level security.
    pub password: &'a [u8],
    /// Random octets for our challenge, 8 to 64, for high level security.
    pub entropy: &'a [u8],
    /// A new random key for this association alone, where one is wanted.
    pub dedicated: Option<Key>,
    /// The counter that the server expects, as its counter object told an
    /// association without protection: tried with the AARQ, upwards and within
    /// the bounds of a hint, and kept only when the AARE verifies.
    pub counter: Option<CounterHint>,
}

/// What is wanted of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Attributes are to be read.
    Get(Vec<GetItem>),
    /// Attributes are to be written.
    Set(Vec<SetItem>),
    /// Methods are to be invoked.
    Action(Vec<ActionItem>),
}

/// An attribute to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetItem {
    /// The attribute.
    pub attribute: AttributeDescriptor,
    /// Selector and parameters in A-XDR, where not all of it is wanted.
    pub selection: Option<(u8, Vec<u8>)>,
}

/// An attribute to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetItem {
    /// The attribute.
    pub attribute: AttributeDescriptor,
    /// Selector and parameters in A-XDR, where not all of it is meant.
    pub selection: Option<(u8, Vec<u8>)>,
    /// The value in A-XDR.
    pub value: Vec<u8>,
}

/// A method to be invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionItem {
    /// The method.
    pub method: MethodDescriptor,
    /// Its parameter in A-XDR, where it has one.
    pub parameter: Option<Vec<u8>>,
}

/// What the server answered, item by item in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Values in A-XDR. They are whole, but may be anything else.
    Get(Vec<Result<Vec<u8>, DataAccessResult>>),
    /// What became of each value.
    Set(Vec<DataAccessResult>),
    /// What became of each method, and what it returned.
    Action(Vec<ActionOutcome>),
    /// The unconfirmed request was sent.
    Sent,
}

/// What a method did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionOutcome {
    /// Whether it was carried out.
    pub result: ActionResult,
    /// What it returned in A-XDR, if anything.
    pub returned: Option<Result<Vec<u8>, DataAccessResult>>,
}

/// What a client wants, or tells.
#[derive(Debug)]
pub enum Output {
    /// An APDU is to be sent.
    Transmit(Vec<u8>),
    /// The plan's record is to be made durable, and the plan to be handed back
    /// in [`Input::Reserved`].
    Reserve(CounterPlan),
    /// Something happened.
    Event(Event),
    /// Nothing until something happens, or until then.
    Timeout(Option<Instant>),
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The association is there.
    Associated(Associated),
    /// The answer to the request.
    Response(Response),
    /// A block of the answer came, or one of the request was taken: octets so
    /// far.
    Progress(usize),
    /// The request failed; the association is still there.
    RequestFailed(Failure),
    /// The server told something without being asked.
    Notification(Notification),
    /// The association was released.
    Released(Vec<Deviation>),
    /// There is no association, or none any more.
    Ended(Failure),
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Associated {
    /// The services.
    pub conformance: Conformance,
    /// Octets of the longest APDU that the server takes; 0: any.
    pub pdu_len_max: u16,
    /// The server's system title, if it told one.
    pub server_title: Option<SystemTitle>,
    /// Where its octets deviate from the standard's.
    pub deviations: Vec<Deviation>,
}

/// What a server told without being asked.
#[derive(Debug)]
pub struct Notification {
    /// The DataNotification or EventNotification in clear.
    pub apdu: Vec<u8>,
    /// There where its tag was verified.
    pub verified: Option<TagVerified>,
}
