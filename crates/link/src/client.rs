//! The client that the command line and the head end both use.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use dlms::axdr::{Data, RawData};
use dlms::client::{
    ActionItem, ActionOutcome, Associate, Associated, Config, Counts, Event, Failure, GetItem,
    Input, Notification, Output, Repeat, Request, Response, Security, SetItem,
};
use dlms::codec::{DecodeError, Wire};
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, ProfileSelection};
use dlms::security::{CounterHint, CounterRecord, Key, KeyRing, Keys};
use dlms::xdlms::{ActionResult, DataAccessResult};
use model::MessageClass;
use scion::drkey::{GRACE, LATE};

use crate::{
    Clock, Connector, DrkeyError, DrkeyMix, DrkeySource, Endpoint, Entropy, Link, LinkError,
    LinkExt as _, Message, Password, PathReceipt, Sap, ScionStatus, SctpStatus, SystemClock,
    SystemConnector, SystemEntropy,
};

/// Where invocation counters are made durable.
pub trait CounterStore: Send + Sync {
    /// Makes the record of one key's counters durable before it is done.
    fn store<'a>(
        &'a self,
        record: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>>;
}

/// What an association is made with.
pub struct Association {
    /// Our own SAP.
    pub client: Sap,
    /// The logical device's.
    pub server: Sap,
    /// How it is made.
    pub config: Config,
    /// Keys and counters, where they are needed.
    pub security: Option<Security>,
    /// Where the counters are made durable; needed with `security`.
    pub counters: Option<Arc<dyn CounterStore>>,
    /// The password, for low level security.
    pub password: Option<Password>,
    /// Whether a key for this association alone is made.
    pub dedicated: bool,
    /// The counter that the server is said to expect, to be tried.
    pub counter: Option<CounterHint>,
    /// Has the authentication key mixed of a key that the network derives and
    /// a secret; that of `security` is not used then.
    pub drkey: Option<Drkey>,
}

/// What an authentication key is mixed of, beside the network's key.
#[derive(Clone, Debug)]
pub struct Drkey {
    /// The secret that was provisioned in the meter.
    pub secret: Key,
    /// The other keys of the association.
    pub keys: Keys,
}

impl Association {
    /// Makes the association of the public client with a logical device.
    #[must_use]
    pub fn public(server: Sap) -> Self {
        Self {
            client: 16,
            server,
            config: Config::default(),
            security: None,
            counters: None,
            password: None,
            dedicated: false,
            counter: None,
            drkey: None,
        }
    }
}

/// The world that a client works in.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The entropy.
    pub entropy: Arc<dyn Entropy>,
    /// What opens links.
    pub connector: Arc<dyn Connector>,
}

impl Surroundings {
    /// Takes the system's clock, entropy, sockets and ports. Needs a runtime.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            connector: Arc::new(SystemConnector::default()),
        }
    }
}

/// An association with one logical device.
///
/// Dropping one of its futures cancels what it did: the next call starts
/// afresh, and an answer that comes late is dropped.
pub struct Client {
    machine: dlms::client::Client,
    link: Box<dyn Link>,
    clock: Arc<dyn Clock>,
    counters: Option<Arc<dyn CounterStore>>,
    source: Sap,
    destination: Sap,
    class: MessageClass,
    notifications: VecDeque<Notification>,
    /// Whether a request was begun and its answer not yet fetched.
    under_way: bool,
    sent: u64,
    renewal: Option<Renewal>,
}

/// How an association is made anew when its keys end.
struct Renewal {
    mix: DrkeyMix,
    source: DrkeySource,
    config: Config,
    dedicated: bool,
    entropy: Arc<dyn Entropy>,
    /// When the epoch ends, in seconds since 1970.
    until: u64,
}

impl Renewal {
    /// Makes the keys of the epoch ready that this end reckons with now.
    async fn keys(&mut self, clock: &dyn Clock) -> Result<KeyRing, DrkeyError> {
        let keys = self.source.at(late(clock)).await?;
        let (epoch, drkey) = keys.first().ok_or(DrkeyError::NoNetwork)?;
        self.until = u64::from(epoch.end());
        self.mix.ring(*epoch, drkey)
    }
}

/// The time by which this end chooses the epoch.
fn late(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.unix_seconds())
        .unwrap_or(0)
        .saturating_sub(LATE)
}

/// How long an orderly end of the link may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Notifications that are kept for [`Client::notification`]; older ones are
/// dropped.
const NOTIFICATIONS_MAX: usize = 64;

impl Client {
    /// Opens a link to `endpoint` and makes an association over it.
    ///
    /// # Errors
    /// Why there is no link or no association.
    pub async fn connect(
        endpoint: &Endpoint,
        mut association: Association,
        surroundings: &Surroundings,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        endpoint.suit(&mut association.config, Repeat::Reads);
        let ends = (association.client, association.server);
        let clock = &surroundings.clock;
        let link = surroundings.connector.connect(endpoint, ends, clock, limit);
        let link = link.await?;
        Self::associate(link, association, surroundings).await
    }

    /// Makes an association over a link.
    ///
    /// # Errors
    /// Why there is none. The link is closed then.
    pub async fn associate(
        link: Box<dyn Link>,
        association: Association,
        surroundings: &Surroundings,
    ) -> Result<Self, ClientError> {
        let Association {
            client,
            server,
            config,
            mut security,
            counters,
            password,
            dedicated,
            counter,
            drkey,
        } = association;
        let mut renewal = None;
        if let (Some(drkey), Some(security)) = (drkey, &mut security) {
            let mut found = Renewal {
                mix: DrkeyMix {
                    secret: drkey.secret,
                    keys: drkey.keys,
                    suite: security.keys.suite(),
                    client,
                    server,
                    client_title: security.title,
                    server_title: security.server_title.ok_or(DrkeyError::NoTitle)?,
                },
                source: link.drkeys().ok_or(DrkeyError::NoNetwork)?,
                config: config.clone(),
                dedicated,
                entropy: Arc::clone(&surroundings.entropy),
                until: 0,
            };
            security.keys = found.keys(surroundings.clock.as_ref()).await?;
            renewal = Some(found);
        }
        let mut this = Self {
            machine: dlms::client::Client::new(config, security),
            link,
            clock: Arc::clone(&surroundings.clock),
            counters,
            source: client,
            destination: server,
            class: MessageClass::Request,
            notifications: VecDeque::new(),
            under_way: false,
            sent: 0,
            renewal,
        };
        let password = password
            .as_ref()
            .map_or(&[][..], Password::dangerous_octets);
        let entropy = surroundings.entropy.as_ref();
        this.begin(password, dedicated, counter, entropy).await?;
        Ok(this)
    }

    /// Has the machine make the association.
    async fn begin(
        &mut self,
        password: &[u8],
        dedicated: bool,
        counter: Option<CounterHint>,
        source: &dyn Entropy,
    ) -> Result<(), ClientError> {
        let fill = |out: &mut [u8]| source.fill(out).map_err(ClientError::Entropy);
        let mut entropy = [0; 32];
        fill(&mut entropy)?;
        let dedicated = if dedicated {
            let mut octets = zeroize::Zeroizing::new([0; 16]);
            fill(octets.as_mut_slice())?;
            Some(Key::from(*octets))
        } else {
            None
        };
        let now = self.clock.now();
        self.machine.handle(
            Input::Associate(Associate {
                password,
                entropy: &entropy,
                dedicated,
                counter,
            }),
            now,
        );
        loop {
            match self.event().await? {
                Event::Associated(associated) => {
                    for deviation in associated.deviations {
                        tracing::info!(?deviation, "the meter's AARE deviates from the standard");
                    }
                    return Ok(());
                }
                Event::Ended(failure) => return Err(failure.into()),
                _ => {}
            }
        }
    }

    /// Tells whether the association's keys have ended.
    fn is_over(&self) -> bool {
        let renewal = self.renewal.as_ref();
        renewal.is_some_and(|renewal| late(self.clock.as_ref()) >= renewal.until)
    }

    /// Makes the association anew where its keys have ended.
    async fn renew(&mut self) -> Result<(), ClientError> {
        if !self.is_over() {
            return Ok(());
        }
        let Some(mut renewal) = self.renewal.take() else {
            return Ok(());
        };
        let renewed = self.renew_by(&mut renewal).await;
        self.renewal = Some(renewal);
        renewed
    }

    async fn renew_by(&mut self, renewal: &mut Renewal) -> Result<(), ClientError> {
        let keys = renewal.keys(self.clock.as_ref()).await?;
        tracing::debug!(
            until = renewal.until,
            "the keys' epoch is over: the next one's"
        );
        let now = self.clock.now();
        self.machine.handle(Input::Release, now);
        // Where the meter has ended it already there is nothing to release.
        while !matches!(self.event().await?, Event::Released(_) | Event::Ended(_)) {}
        let next = dlms::client::Client::new(renewal.config.clone(), None);
        let before = std::mem::replace(&mut self.machine, next);
        let security = before
            .into_security()
            .map(|security| Security { keys, ..security });
        self.machine = dlms::client::Client::new(renewal.config.clone(), security);
        self.under_way = false;
        let entropy = Arc::clone(&renewal.entropy);
        self.begin(&[], renewal.dedicated, None, entropy.as_ref())
            .await
    }

    /// Sets how urgent the following requests are.
    pub const fn set_class(&mut self, class: MessageClass) {
        self.class = class;
    }

    /// Tells what was agreed on.
    #[must_use]
    pub const fn associated(&self) -> Option<&Associated> {
        self.machine.associated()
    }

    /// Tells what was dropped.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.machine.counts()
    }

    /// Tells how many messages were sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Tells who is at the other end.
    #[must_use]
    pub fn peer(&self) -> String {
        self.link.peer()
    }

    /// Tells paths, failovers and what the classes did, over SCTP.
    #[must_use]
    pub fn sctp(&self) -> Option<SctpStatus> {
        self.link.sctp()
    }

    /// Tells the paths of the last messages in both directions, over SCION.
    #[must_use]
    pub fn scion(&self) -> Option<ScionStatus> {
        self.link.scion()
    }

    /// Gives the paths of all answers since it was called last, each pair once,
    /// over SCION.
    pub fn take_receipts(&mut self) -> Vec<PathReceipt> {
        self.link.take_receipts()
    }

    /// Reads attributes, each with its own result in A-XDR.
    ///
    /// # Errors
    /// Where the request as a whole failed.
    pub async fn get(
        &mut self,
        items: Vec<GetItem>,
    ) -> Result<Vec<Result<Vec<u8>, DataAccessResult>>, ClientError> {
        match self.request(Request::Get(items), &mut |_| {}).await? {
            Response::Get(results) => Ok(results),
            _ => Err(Failure::Unexpected.into()),
        }
    }

    /// Reads one attribute.
    ///
    /// # Errors
    /// Where it cannot be read, or is no value.
    pub async fn read(&mut self, attribute: AttributeDescriptor) -> Result<Data, ClientError> {
        let octets = self.read_octets(attribute, None, &mut |_| {}).await?;
        Ok(RawData::new(&octets).decode()?)
    }

    /// Reads one attribute, or a part of it, as A-XDR octets; `progress` hears
    /// how many have come so far.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn read_octets(
        &mut self,
        attribute: AttributeDescriptor,
        selection: Option<&ProfileSelection>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Vec<u8>, ClientError> {
        let selection =
            selection.map(|selection| (selection.selector(), selection.to_data().to_octets()));
        let request = Request::Get(vec![GetItem {
            attribute,
            selection,
        }]);
        match self.request(request, progress).await? {
            Response::Get(mut results) if results.len() == 1 => {
                results.remove(0).map_err(ClientError::Refused)
            }
            _ => Err(Failure::Unexpected.into()),
        }
    }

    /// Writes one attribute.
    ///
    /// # Errors
    /// Where it was not written, or that is not known.
    pub async fn write(
        &mut self,
        attribute: AttributeDescriptor,
        value: &Data,
    ) -> Result<(), ClientError> {
        let item = SetItem {
            attribute,
            selection: None,
            value: value.to_octets(),
        };
        match self.set(vec![item]).await?.as_slice() {
            [DataAccessResult::Success] => Ok(()),
            [refusal] => Err(ClientError::Refused(*refusal)),
            _ => Err(Failure::Unexpected.into()),
        }
    }

    /// Writes attributes, each with its own result.
    ///
    /// # Errors
    /// Where the request as a whole failed.
    pub async fn set(&mut self, items: Vec<SetItem>) -> Result<Vec<DataAccessResult>, ClientError> {
        match self.request(Request::Set(items), &mut |_| {}).await? {
            Response::Set(results) => Ok(results),
            _ => Err(Failure::Unexpected.into()),
        }
    }

    /// Invokes one method and gives what it returned, if anything.
    ///
    /// # Errors
    /// Where it was not carried out, or that is not known.
    pub async fn invoke(
        &mut self,
        method: MethodDescriptor,
        parameter: Option<&Data>,
    ) -> Result<Option<Data>, ClientError> {
        let item = ActionItem {
            method,
            parameter: parameter.map(Wire::to_octets),
        };
        let mut outcomes = self.action(vec![item]).await?;
        let Some(outcome) = outcomes.pop() else {
            return Err(Failure::Unexpected.into());
        };
        if outcome.result != ActionResult::Success {
            return Err(ClientError::NotDone(outcome.result));
        }
        match outcome.returned {
            None => Ok(None),
            Some(Ok(octets)) => Ok(Some(RawData::new(&octets).decode()?)),
            Some(Err(refusal)) => Err(ClientError::Refused(refusal)),
        }
    }

    /// Invokes methods, each with its own result.
    ///
    /// # Errors
    /// Where the request as a whole failed.
    pub async fn action(
        &mut self,
        items: Vec<ActionItem>,
    ) -> Result<Vec<ActionOutcome>, ClientError> {
        match self.request(Request::Action(items), &mut |_| {}).await? {
            Response::Action(outcomes) => Ok(outcomes),
            _ => Err(Failure::Unexpected.into()),
        }
    }

    /// Invokes methods without asking for an answer, and returns when that is on its way.
    ///
    /// # Errors
    /// Where it could not be sent.
    pub async fn tell(&mut self, items: Vec<ActionItem>) -> Result<(), ClientError> {
        self.renew().await?;
        let now = self.clock.now();
        if self.under_way {
            self.machine.handle(Input::Cancel, now);
        }
        self.under_way = true;
        self.machine
            .handle(Input::Unconfirmed(Request::Action(items)), now);
        let outcome = loop {
            match self.event().await? {
                Event::Response(_) => break Ok(()),
                Event::RequestFailed(failure) | Event::Ended(failure) => break Err(failure.into()),
                _ => {}
            }
        };
        self.under_way = false;
        self.link.flush().await?;
        outcome
    }

    /// Waits for what the server tells without being asked.
    ///
    /// # Errors
    /// The end of the link or of the association.
    pub async fn notification(&mut self) -> Result<Notification, ClientError> {
        loop {
            if let Some(notification) = self.notifications.pop_front() {
                return Ok(notification);
            }
            if let Event::Ended(failure) = self.event().await? {
                return Err(failure.into());
            }
        }
    }

    /// Releases the association and closes the link. The keys come back with
    /// their counters, whatever the server says.
    pub async fn release(mut self) -> Option<Security> {
        let now = self.clock.now();
        self.machine.handle(Input::Release, now);
        loop {
            match self.event().await {
                Ok(Event::Released(deviations)) => {
                    for deviation in deviations {
                        tracing::info!(
                            ?deviation,
                            "the meter's release deviates from the standard"
                        );
                    }
                    break;
                }
                Ok(Event::Ended(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        // The association is over, so nobody waits long for the rest.
        if let Ok(Err(error)) = tokio::time::timeout(CLOSE_LIMIT, self.link.close()).await {
            tracing::debug!(%error, "the link did not close in an orderly way");
        }
        self.machine.into_security()
    }

    /// Ends without a word to the server and gives the keys back.
    #[must_use]
    pub fn abandon(self) -> Option<Security> {
        self.machine.into_security()
    }

    async fn request(
        &mut self,
        request: Request,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Response, ClientError> {
        self.renew().await?;
        let (Request::Get(items), Some(renewal)) = (&request, &self.renewal) else {
            return self.request_once(request, progress).await;
        };
        // What is read for long may be cut off by the end of the keys: then it
        // is begun again.
        let again = Request::Get(items.clone());
        let now = u64::try_from(self.clock.unix_seconds()).unwrap_or(0);
        let left = (renewal.until + GRACE).saturating_sub(now);
        let left = Duration::from_secs(left.max(1));
        let outcome = tokio::time::timeout(left, self.request_once(request, progress)).await;
        match outcome {
            Ok(Err(ClientError::Failed(_))) | Err(_) if self.is_over() => {
                self.renew().await?;
                self.request_once(again, progress).await
            }
            Ok(outcome) => outcome,
            // The clock was set back meanwhile.
            Err(_) => self.request_once(again, progress).await,
        }
    }

    async fn request_once(
        &mut self,
        request: Request,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Response, ClientError> {
        let now = self.clock.now();
        if self.under_way {
            self.machine.handle(Input::Cancel, now);
        }
        self.under_way = true;
        let stray = self.machine.counts().stray;
        self.machine.handle(Input::Request(request), now);
        let outcome = loop {
            match self.event().await? {
                Event::Response(response) => break Ok(response),
                Event::Progress(octets) => progress(octets),
                Event::RequestFailed(failure) | Event::Ended(failure) => break Err(failure.into()),
                Event::Associated(_) | Event::Notification(_) | Event::Released(_) => {}
            }
        };
        self.under_way = false;
        let stray = self.machine.counts().stray.saturating_sub(stray);
        if stray > 0 {
            tracing::warn!(stray, "the meter sent what is no answer to what was asked");
        }
        outcome
    }

    /// Drives link and machine until something happened.
    async fn event(&mut self) -> Result<Event, ClientError> {
        loop {
            match self.machine.poll() {
                Output::Transmit(payload) => {
                    let message = Message {
                        source: self.source,
                        destination: self.destination,
                        class: self.class,
                        payload,
                    };
                    self.link.send(message)?;
                    self.sent += 1;
                }
                Output::Reserve(plan) => {
                    let stored = match &self.counters {
                        Some(counters) => counters.store(plan.record()).await,
                        None => Err(std::io::Error::other("there is no place for counters")),
                    };
                    let now = self.clock.now();
                    match stored {
                        Ok(()) => self.machine.handle(Input::Reserved(plan), now),
                        Err(error) => {
                            tracing::warn!(%error, "invocation counters could not be reserved");
                            self.machine.handle(Input::NotReserved, now);
                        }
                    }
                }
                Output::Event(Event::Notification(notification)) => {
                    if self.notifications.len() >= NOTIFICATIONS_MAX {
                        self.notifications.pop_front();
                    }
                    self.notifications.push_back(notification);
                    return Ok(Event::Progress(0));
                }
                Output::Event(event) => return Ok(event),
                Output::Timeout(deadline) => self.wait(deadline).await?,
            }
        }
    }

    /// Waits for a message or for the deadline, and tells the machine.
    async fn wait(&mut self, deadline: Option<dlms::Instant>) -> Result<(), ClientError> {
        let link = &mut self.link;
        let next = poll_fn(|cx| match link.poll_receive(cx) {
            Poll::Ready(arrived) => Poll::Ready(arrived.map(Some)),
            Poll::Pending => link.poll_lost(cx).map(|()| Ok(None)),
        });
        let happened = match deadline {
            None => Some(next.await),
            Some(deadline) => {
                let left = deadline.since(self.clock.now());
                tokio::time::timeout(left, next).await.ok()
            }
        };
        let now = self.clock.now();
        let arrived = match happened {
            Some(Ok(None)) => {
                tracing::debug!("repeats on another path what is lost");
                self.machine.handle(Input::Repeat, now);
                return Ok(());
            }
            Some(arrived) => arrived,
            None => Ok(None),
        };
        match arrived {
            // What is for other ends is not ours.
            Ok(Some(message))
                if (message.source, message.destination) != (self.destination, self.source) =>
            {
                tracing::debug!(
                    source = message.source,
                    "dropped a message between other ends"
                );
            }
            Ok(Some(message)) => self.machine.handle(Input::Apdu(&message.payload), now),
            Ok(None) => self
                .machine
                .handle(Input::Timeout, now.max(deadline.unwrap_or(now))),
            Err(error) => {
                self.machine.handle(Input::LinkLost, now);
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Why a client did not get what it wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no link, or none any more.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The association or the request failed.
    #[error("{0}")]
    Failed(#[from] Failure),
    /// The meter does not give, or take, this value.
    #[error("the meter refuses: {}", .0.name())]
    Refused(DataAccessResult),
    /// The meter did not do this.
    #[error("the meter did not do it: {}", .0.name())]
    NotDone(ActionResult),
    /// What came is no value.
    #[error("the value is malformed: {0}")]
    Value(#[from] DecodeError),
    /// There is no authentication key.
    #[error(transparent)]
    Drkey(#[from] DrkeyError),
    /// The system has no entropy.
    #[error("the system has no random octets")]
    Entropy(#[source] std::io::Error),
}
