//! The way to a meter, as the reader sees it.

use han::measure::Report;

/// What a way tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is open.
    Connected,
    /// It could not be opened, or was lost: a sentence for people.
    Disconnected(String),
    /// The meter told something.
    Report(Report),
    /// The meter answered a poll; what it said came before.
    Answered {
        /// As it was given to [`Source::ask`].
        number: u64,
    },
}

/// A way to a meter. One that pushes opens itself, and again after each loss;
/// one that is polled does what it is told.
pub trait Source: Send + 'static {
    /// Tells whether the meter speaks only when asked.
    fn is_polled(&self) -> bool;

    /// Waits for what comes next; nothing once it has ended. A wait that is
    /// given up loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;

    /// Has it opened.
    fn connect(&self);

    /// Has it closed.
    fn disconnect(&self);

    /// Asks the meter for its values.
    fn ask(&self, number: u64);

    /// Tells how many messages could not be read.
    fn unread(&self) -> u64;
}

impl Source for link::Source {
    fn is_polled(&self) -> bool {
        self.is_polled()
    }

    async fn next(&mut self) -> Option<Event> {
        Some(match self.next().await? {
            link::SourceEvent::Connected => Event::Connected,
            link::SourceEvent::Disconnected(error) => Event::Disconnected(sentence(&error)),
            link::SourceEvent::Report(report) => Event::Report(report),
            link::SourceEvent::Answered { number } => Event::Answered { number },
        })
    }

    fn connect(&self) {
        self.connect();
    }

    fn disconnect(&self) {
        self.disconnect();
    }

    fn ask(&self, number: u64) {
        self.ask(number);
    }

    fn unread(&self) -> u64 {
        let counters = self.counters();
        counters.unread + counters.closed + counters.replayed
    }
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
