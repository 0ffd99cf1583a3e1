//! Standard output and standard error as commands see them.

use std::io::ErrorKind;

use serde_json::Value;

use crate::failure::Failure;
use crate::{Outcome, Streams};

/// The columns that output for people keeps to.
pub(crate) const COLUMNS: usize = 80;

/// The streams of one command.
pub(crate) struct Output<'s, 't> {
    streams: &'s mut Streams<'t>,
    json: bool,
    /// The reader of standard output went away; nobody misses the rest.
    closed: bool,
}

impl<'s, 't> Output<'s, 't> {
    pub(crate) const fn new(streams: &'s mut Streams<'t>, json: bool) -> Self {
        Self {
            streams,
            json,
            closed: false,
        }
    }

    /// Whether programs read standard output.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// The styles of standard output.
    pub(crate) const fn style(&self) -> Style {
        Style(self.streams.output_colour)
    }

    /// Standard input.
    pub(crate) fn input(&mut self) -> &mut dyn std::io::Read {
        &mut *self.streams.input
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// A full disk and the like; a reader that went away is none.
    pub(crate) fn write(&mut self, text: &str) -> Outcome {
        if self.closed {
            return Ok(());
        }
        let written = self.streams.output.write_all(text.as_bytes());
        self.written(written)
    }

    /// Writes one line of JSON to standard output.
    pub(crate) fn write_json(&mut self, value: &Value) -> Outcome {
        self.write(&format!("{value}\n"))
    }

    /// Tells people what goes on, on standard error.
    pub(crate) fn note(&mut self, text: &str) {
        // Whoever closed standard error does not want to know.
        drop(self.streams.error.write_all(format!("{text}\n").as_bytes()));
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        let flushed = self.streams.output.flush();
        self.written(flushed)
    }

    /// Starts telling people how far something is, where somebody watches.
    pub(crate) fn progress(&mut self, verb: &'static str) -> Progress<'_> {
        let watched = self.streams.watched;
        Progress {
            error: watched.then_some(&mut *self.streams.error),
            verb,
            told: 0,
        }
    }

    fn written(&mut self, result: std::io::Result<()>) -> Outcome {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(format!(
                "standard output cannot be written: {error}"
            ))),
            Ok(()) => Ok(()),
        }
    }

    /// Tells a failure, and the exit status that goes with it.
    pub(crate) fn report(&mut self, failure: &Failure) -> u8 {
        if self.json && failure.is_shown() {
            drop(self.flush());
            return failure.status();
        }
        if self.json && failure.status() == 1 {
            let line = format!("{}\n", failure.to_json());
            drop(self.streams.output.write_all(line.as_bytes()));
            drop(self.streams.output.flush());
            return failure.status();
        }
        drop(self.flush());
        let style = Style(self.streams.error_colour);
        let mut text = format!(
            "{} {}\n",
            style.paint(Ink::Error, "error:"),
            failure.sentence()
        );
        for hint in failure.hints() {
            text.push_str(&format!("{} {hint}\n", style.paint(Ink::Hint, "hint:")));
        }
        drop(self.streams.error.write_all(text.as_bytes()));
        failure.status()
    }
}

/// Whether a stream takes colours.
#[derive(Clone, Copy)]
pub(crate) struct Style(bool);

/// What a piece of text is.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    /// A heading.
    Head,
    /// What matters less.
    Faint,
    /// What was asked for.
    Value,
    /// What must be seen.
    Warn,
    /// What went wrong.
    Error,
    /// What to do.
    Hint,
    /// What went right.
    Good,
}

impl Style {
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Head => "1",
            Ink::Faint => "2",
            Ink::Value => "36",
            Ink::Warn => "1;33",
            Ink::Error => "1;31",
            Ink::Hint => "1;34",
            Ink::Good => "32",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A line on standard error that tells how far something is, and goes when it
/// ends.
pub(crate) struct Progress<'o> {
    error: Option<&'o mut (dyn std::io::Write + Send)>,
    verb: &'static str,
    told: usize,
}

/// Octets between two tellings.
const PROGRESS_STEP: usize = 1_024;

impl Progress<'_> {
    pub(crate) fn tell(&mut self, octets: usize) {
        if octets < self.told + PROGRESS_STEP {
            return;
        }
        self.told = octets;
        if let Some(error) = &mut self.error {
            let line = format!("\r{octets} octets {}", self.verb);
            drop(
                error
                    .write_all(line.as_bytes())
                    .and_then(|()| error.flush()),
            );
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.told > 0
            && let Some(error) = &mut self.error
        {
            drop(error.write_all(b"\r\x1b[K").and_then(|()| error.flush()));
        }
    }
}
