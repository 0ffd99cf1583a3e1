//! Why a command did not do what was asked.

use dlms::codec::DecodeError;
use serde_json::{Map, Value, json};

/// A failure as it is told to people and programs.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: u8,
    reason: String,
    offset: Option<usize>,
    hints: Vec<String>,
    /// Programs have been told on standard output already.
    shown: bool,
    /// What was found out all the same, for programs.
    context: Map<String, Value>,
}

impl Failure {
    /// The thing asked failed: exit status 1.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            status: 1,
            reason: reason.into(),
            offset: None,
            hints: Vec::new(),
            shown: false,
            context: Map::new(),
        }
    }

    /// The command was used wrongly: exit status 2.
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self {
            status: 2,
            ..Self::new(reason)
        }
    }

    /// Octet `offset` of the input is wrong.
    pub(crate) fn at(offset: usize, reason: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            ..Self::new(reason)
        }
    }

    /// Adds a sentence that says what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds something that programs are told beside the error.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.context.insert(name.to_owned(), value);
        self
    }

    /// Whether programs are told this code beside the error.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.context.get("code").and_then(Value::as_str) == Some(code)
    }

    /// Says that the result itself tells programs of the failure.
    #[must_use]
    pub(crate) const fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    pub(crate) const fn is_shown(&self) -> bool {
        self.shown
    }

    pub(crate) const fn status(&self) -> u8 {
        self.status
    }

    pub(crate) const fn offset(&self) -> Option<usize> {
        self.offset
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The sentence for people.
    pub(crate) fn sentence(&self) -> String {
        match self.offset {
            Some(offset) => format!("byte {offset}: {}", self.reason),
            None => self.reason.clone(),
        }
    }

    /// The object for programs.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = Map::new();
        if let Some(offset) = self.offset {
            error.insert("offset".to_owned(), json!(offset));
        }
        error.insert("reason".to_owned(), json!(self.reason));
        if !self.hints.is_empty() {
            error.insert("hints".to_owned(), json!(self.hints));
        }
        let mut object = Map::new();
        object.insert("error".to_owned(), Value::Object(error));
        object.extend(self.context.clone());
        Value::Object(object)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::at(error.offset, format!("{} in {}", error.reason, error.field))
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
