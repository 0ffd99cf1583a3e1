//! An outlet meter on a real connection: it calls the server, and calls again when the connection
//! is over.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use link::{
    Clock, Endpoint, LinkError, PPID_ENVELOPE, PPID_XML, Received, SctpAssociation, SctpDialer,
};
use model::xml::{CivilDateTime, OutletId, OutletPower};

use super::{Input, Outgoing, OutletJournal, OutletMeter, Output};

/// How long to wait before the server is called again.
const CALL_AGAIN: Duration = Duration::from_secs(5);

/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long the end of a call may take: what it delays is the end of the process.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks at the outlets.
const SAMPLE: Duration = Duration::from_secs(1);

/// The outlets themselves.
pub trait Sockets: Send {
    /// Tells what each outlet is drawing now.
    fn measure(&mut self, now: CivilDateTime) -> Vec<(OutletId, OutletPower)>;

    /// Does what the meter wants done.
    fn obey(&mut self, output: Output);

    /// Hears that the server is connected, or no longer is.
    fn connected(&mut self, _is: bool) {}
}

/// An outlet meter with its surroundings.
pub struct OutletShell<J, S> {
    meter: OutletMeter<J>,
    sockets: S,
    server: Endpoint,
    clock: Arc<dyn Clock>,
    ahead: i32,
    /// A message that its class's queue did not take.
    held: Option<Outgoing>,
}

impl<J: OutletJournal, S: Sockets> OutletShell<J, S> {
    /// Puts a meter and its surroundings together. `ahead` are the seconds that civil time is ahead
    /// of UTC, the same on both sides.
    pub const fn new(
        meter: OutletMeter<J>,
        sockets: S,
        server: Endpoint,
        clock: Arc<dyn Clock>,
        ahead: i32,
    ) -> Self {
        Self {
            meter,
            sockets,
            server,
            clock,
            ahead,
            held: None,
        }
    }

    /// Runs until the journal fails or `stop` is done; then the connection is shut down, which
    /// takes up to five seconds where nobody answers.
    ///
    /// # Errors
    /// The journal's.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let dialer = SctpDialer::default();
        let mut tick = tokio::time::interval(SAMPLE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut association: Option<SctpAssociation> = None;
        let (clock, server) = (Arc::clone(&self.clock), self.server.clone());
        let call = || {
            let (dialer, clock, server) = (dialer.clone(), Arc::clone(&clock), server.clone());
            Box::pin(async move {
                match tokio::time::timeout(CALL_LIMIT, dialer.connect(&server, &clock)).await {
                    Ok(Ok(association)) => return Some(association),
                    Ok(Err(error)) => tracing::info!(%server, %error, "the server does not answer"),
                    Err(_) => tracing::info!(%server, "the server takes too long"),
                }
                tokio::time::sleep(CALL_AGAIN).await;
                None
            })
        };
        let mut calling = call();
        loop {
            let sent = association.as_mut().map(|peer| self.send(peer));
            let mut over = sent.and_then(Result::err);
            let connected = association.is_some();
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => {
                    let now = self.now();
                    for (outlet, power) in self.sockets.measure(now) {
                        self.handle(Input::Measured(outlet, power))?;
                    }
                    self.handle(Input::Tick)?;
                }
                called = &mut calling, if !connected => {
                    association = called;
                    if association.is_some() {
                        self.sockets.connected(true);
                        self.handle(Input::Connected)?;
                    } else {
                        calling = call();
                    }
                }
                received = next(association.as_mut(), self.held.is_some()), if connected => {
                    match received {
                        Ok(Some(message)) => self.received(&message)?,
                        Ok(None) => {}
                        Err(error) => over = Some(error),
                    }
                }
            }
            if let Some(error) = over {
                tracing::info!(%error, "the connection to the server is over");
                association = None;
                self.held = None;
                self.sockets.connected(false);
                self.handle(Input::Disconnected)?;
                calling = call();
            }
        }
        // Else the server takes it for connected until its heartbeats have told otherwise.
        if let Some(mut association) = association
            && !matches!(
                tokio::time::timeout(CLOSE_LIMIT, association.close()).await,
                Ok(Ok(()))
            )
        {
            tracing::info!("the connection to the server was not shut down in time");
        }
        Ok(())
    }

    fn now(&self) -> CivilDateTime {
        // A clock that is before the year 0 is taken for its beginning.
        CivilDateTime::of_unix(self.clock.unix_seconds(), self.ahead)
            .unwrap_or(CivilDateTime::START)
    }

    fn handle(&mut self, input: Input<'_>) -> io::Result<()> {
        let now = self.now();
        self.meter.handle(input, now)?;
        while let Some(output) = self.meter.poll() {
            if let Output::Refused(reason) = &output {
                tracing::warn!(%reason, "an order is not obeyed");
            }
            self.sockets.obey(output);
        }
        Ok(())
    }

    fn received(&mut self, message: &Received) -> io::Result<()> {
        let unix = u64::try_from(self.clock.unix_seconds()).unwrap_or(0);
        match message.protocol {
            PPID_XML => self.handle(Input::Xml(&message.payload)),
            PPID_ENVELOPE => self.handle(Input::Envelope(&message.payload, unix)),
            protocol => {
                tracing::debug!(protocol, "dropped a message of another protocol");
                Ok(())
            }
        }
    }

    /// Sends what there is to be sent, until a class is full: that message is
    /// held.
    fn send(&mut self, association: &mut SctpAssociation) -> Result<(), LinkError> {
        while let Some(message) = self.held.take().or_else(|| self.meter.next_message()) {
            let payload = bytes::Bytes::from(message.xml.clone());
            match association.send(message.class, PPID_XML, payload) {
                Ok(()) => {}
                Err(LinkError::Full(_)) => {
                    self.held = Some(message);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits for a message, or, where one is held, until the queues are empty.
async fn next(
    association: Option<&mut SctpAssociation>,
    held: bool,
) -> Result<Option<Received>, LinkError> {
    let association = association.ok_or(LinkError::Closed)?;
    poll_fn(|cx| {
        if let Poll::Ready(received) = association.poll_receive(cx) {
            return Poll::Ready(received.map(Some));
        }
        if held {
            return association.poll_flush(cx).map(|done| done.map(|()| None));
        }
        Poll::Pending
    })
    .await
}
