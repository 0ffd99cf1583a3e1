//! What the server machine sees of a device.

use alloc::vec::Vec;

use crate::Instant;
use crate::acse::MechanismName;
use crate::axdr::RawData;
use crate::cosem::{
    AttributeAccess, AttributeDescriptor, MethodAccess, MethodDescriptor, Obis, ProfileSelection,
    SelectiveAccessDescriptor,
};
use crate::security::{
    CounterRecord, KeyRing, PeerWindows, Protection, SendCounter, SystemTitle, TagVerified,
};
use crate::xdlms::{ActionResult, Conformance, DataAccessResult, LongInvokeIdAndPriority};

use super::BackOff;

/// One logical device: its associations, its objects, its keys.
///
/// The server asks for rights first and for the object only where they allow
/// it; an implementation need not check them again. Calls are short: what
/// takes long is begun here and told by an attribute.
pub trait ObjectStore {
    /// Tells the terms on which a client is let in; none: it is not.
    fn association(&self, client: u16) -> Option<AssociationTerms>;

    /// Shows the password of a client's association, where it has one.
    fn password(&self, client: u16) -> Option<&[u8]> {
        let _ = client;
        None
    }

    /// Shows the keys and counters of a client's association, where it has
    /// them. Associations that share keys share what this shows.
    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        let _ = client;
        None
    }

    /// Makes durable what is reserved of the counters of what this device
    /// sends to a client, before it returns.
    ///
    /// # Errors
    /// Where that cannot be made durable: nothing is sent.
    fn counters_reserved(&mut self, client: u16, record: &CounterRecord) -> Result<(), NotDurable> {
        let _ = (client, record);
        Err(NotDurable)
    }

    /// Hears that a client's counter was accepted from `title`, under the unicast
    /// or the broadcast key, before anything is done about the request; an
    /// implementation makes durable what it needs to refuse that counter after a
    /// restart.
    ///
    /// # Errors
    /// Where that cannot be made durable: the request is refused.
    fn counter_accepted(
        &mut self,
        client: u16,
        title: &SystemTitle,
        counter: u32,
        broadcast: bool,
    ) -> Result<(), NotDurable> {
        let _ = (client, title, counter, broadcast);
        Err(NotDurable)
    }

    /// Fills `out` with random octets for a challenge.
    ///
    /// # Errors
    /// Where there is no entropy to be had: the association is refused.
    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        let _ = out;
        Err(NoEntropy)
    }

    /// Tells what a client may do with an attribute, whether it exists or not.
    ///
    /// # Errors
    /// [`DataAccessResult::ObjectUndefined`] where this client sees no such
    /// object, [`DataAccessResult::ObjectClassInconsistent`] where it has
    /// another class.
    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult>;

    /// Tells what a client may do with a method, whether it exists or not.
    ///
    /// # Errors
    /// As for an attribute.
    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<MethodAccess, ActionResult> {
        let _ = (client, method);
        Err(ActionResult::ObjectUndefined)
    }

    /// Appends an attribute's value in A-XDR. What was appended before an
    /// error is thrown away.
    ///
    /// # Errors
    /// What the client is told.
    fn get(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult>;

    /// Sets an attribute. `value` is whole but otherwise unchecked.
    ///
    /// # Errors
    /// What the client is told; then nothing has changed.
    fn set(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        value: RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        let _ = (caller, attribute, selection, value);
        Err(DataAccessResult::ReadWriteDenied)
    }

    /// Invokes a method and appends what it returns, if anything, in A-XDR.
    ///
    /// # Errors
    /// What the client is told; then nothing has happened.
    fn invoke(
        &mut self,
        caller: &Caller,
        method: &MethodDescriptor,
        parameter: Option<RawData<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        let _ = (caller, method, parameter, out);
        Err(ActionResult::ReadWriteDenied)
    }

    /// Hears that a client has had a DataNotification that wants confirming.
    fn notification_confirmed(&mut self, caller: &Caller, invoke: LongInvokeIdAndPriority) {
        let _ = (caller, invoke);
    }

    /// Shows where wrong passwords are counted, for a device that has several
    /// links: where there is none, each link's server counts for itself, and
    /// every new connection starts anew.
    fn back_off(&mut self) -> Option<&mut BackOff> {
        None
    }

    /// Hears what the device's log should hold about its associations.
    fn noticed(&mut self, client: u16, notice: Notice);
}

/// The terms on which a client is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssociationTerms {
    /// The context that it must ask for.
    pub context: Context,
    /// The mechanism by which it must prove itself; no other is taken.
    pub mechanism: MechanismName<'static>,
    /// Services that it may use.
    pub conformance: Conformance,
    /// Octets of the longest APDU this server takes and sends, 64 to 65,535.
    pub pdu_len_max: u16,
    /// The least protection of what it asks; the answer has that of the request.
    pub protection: Protection,
    /// The association object's instance that answers pass 3 of HLS
    /// (0.0.40.0.0.255 or the association's own).
    pub object: Obis,
    /// Whether it is there without being made.
    pub pre_established: bool,
}

/// The contexts that a server offers (IEC 62056-5-3, application context
/// names 1 and 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Logical names, nothing ciphered.
    LogicalName,
    /// Logical names with ciphering.
    LogicalNameCiphered,
}

/// Keys that hold for a while.
#[derive(Clone, Debug)]
pub struct TimedKeys {
    /// The keys, made ready.
    pub keys: KeyRing,
    /// When they end.
    pub until: Instant,
}

/// Keys and counters of one association, or of several that share them.
pub struct SecurityState {
    /// The device's own system title.
    pub title: SystemTitle,
    /// The client's, where only one is let in.
    pub client_title: Option<SystemTitle>,
    /// The keys, made ready.
    pub keys: KeyRing,
    /// Where there is such a list, `keys` make no association: each is made
    /// under the first of these that verifies its AARQ, and ends when they do.
    /// An AARQ without a tag is taken under the first.
    pub timed: Option<Vec<TimedKeys>>,
    /// Counters of what the device sends.
    pub send: SendCounter,
    /// Counters of what clients sent under the global keys, for each of their
    /// titles. Requests are held to rising ones, however far back the window
    /// would let the reply to a challenge be.
    pub received: PeerWindows,
    /// Counters of what was sent under the broadcast key.
    pub received_broadcast: PeerWindows,
}

/// Who asks for something, and what is proved about that.
#[derive(Debug)]
pub struct Caller {
    /// The client's SAP.
    pub client: u16,
    /// How it proved itself when the association was made; in a pre-established
    /// one nobody did.
    pub mechanism: MechanismName<'static>,
    /// The protection of this request.
    pub protection: Protection,
    /// There where this request's tag was verified under a key that the client
    /// alone shares.
    pub verified: Option<TagVerified>,
    /// Whether it came on the broadcast address or under the broadcast key.
    pub broadcast: bool,
}

/// Which part of an attribute is asked for, as its class means the selector.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection<'a> {
    /// Rows of the buffer of a profile (class 7).
    Profile(ProfileSelection),
    /// The selector of another class and its parameters, which are whole but
    /// otherwise unchecked.
    Other(SelectiveAccessDescriptor<'a>),
}

/// What a client may do with an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeRights {
    /// Reading and writing, and the protection that they need.
    pub access: AttributeAccess,
    /// The selectors that may be used, bit n for selector n.
    pub selectors: u32,
}

/// What happened to an association, for the device's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// It was made, and the client has proved itself.
    Associated,
    /// It was released, or its link was lost.
    Released,
    /// A wrong password or a wrong reply to the challenge.
    AuthenticationFailed,
    /// So many wrong passwords that none is looked at for a while.
    LockedOut,
    /// A tag that did not verify.
    VerificationFailed,
    /// A counter that was used before, or lies below what may still come.
    Replayed,
    /// A request without the protection that its rights or the policy want.
    ProtectionMissing,
    /// A request for what the client may not do.
    Refused,
}

/// Something could not be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDurable;

/// There is no entropy to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;
