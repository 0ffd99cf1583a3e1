//! Hop patterns: `1-ff00:0:111 1+ 2-ff00:0:210? 2-ff00:0:211`.
//!
//! `?`, `+` and `*` bind closest, then `|`, then one hop after another; so
//! `1 | 2 3` is `(1 | 2) 3`, as the reference grammar has it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{HopPredicate, MAX_TEXT, PolicyError, PolicyReason};
use crate::path::Path;

/// How deep parentheses may lie within each other.
const MAX_DEPTH: usize = 32;

/// A pattern that the ASes of a path follow from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    text: String,
    steps: Vec<Step>,
}

/// The pattern as a machine: where it stands after a hop, all ways at once.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Takes a hop that fits, to the next step.
    Hop(HopPredicate),
    /// Goes on at both.
    Split(usize, usize),
    /// Goes on there.
    Jump(usize),
}

#[derive(Debug)]
enum Node {
    Hop(HopPredicate),
    Concatenation(Vec<Self>),
    Either(Vec<Self>),
    /// At least once or not, more often or not.
    Repeat {
        what: Box<Self>,
        least: bool,
        more: bool,
    },
}

impl Sequence {
    /// Tells whether the ASes of a path follow the pattern. The work is at
    /// most the pattern's length times the path's.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let mut at = self.standing(core::iter::once(0));
        for hop in path.hops() {
            let taken = at
                .iter()
                .zip(&self.steps)
                .enumerate()
                .filter(|(_, (stands, step))| {
                    **stands && matches!(step, Step::Hop(wanted) if wanted.fits_hop(hop))
                })
                .map(|(index, _)| index + 1);
            at = self.standing(taken);
        }
        // Behind the last step the pattern is through.
        at.last() == Some(&true)
    }

    /// Marks each step that is reached from some without taking a hop.
    fn standing(&self, from: impl Iterator<Item = usize>) -> Vec<bool> {
        let mut marks = vec![false; self.steps.len() + 1];
        let mut open: Vec<usize> = from.collect();
        while let Some(index) = open.pop() {
            match marks.get_mut(index) {
                Some(mark) if !*mark => *mark = true,
                _ => continue,
            }
            match self.steps.get(index) {
                Some(Step::Split(one, other)) => open.extend([*one, *other]),
                Some(Step::Jump(to)) => open.push(*to),
                Some(Step::Hop(_)) | None => {}
            }
        }
        marks
    }
}

impl Node {
    fn compile(&self, steps: &mut Vec<Step>) {
        match self {
            Self::Hop(hop) => steps.push(Step::Hop(*hop)),
            Self::Concatenation(parts) => parts.iter().for_each(|part| part.compile(steps)),
            Self::Either(parts) => {
                // Split, a way, jump to the end, for each but the last.
                let mut jumps = Vec::new();
                for (index, part) in parts.iter().enumerate() {
                    let split = (index + 1 < parts.len()).then(|| reserve(steps));
                    part.compile(steps);
                    if let Some(split) = split {
                        jumps.push(reserve(steps));
                        let end = steps.len();
                        set(steps, split, Step::Split(split + 1, end));
                    }
                }
                let end = steps.len();
                for jump in jumps {
                    set(steps, jump, Step::Jump(end));
                }
            }
            Self::Repeat { what, least, more } => {
                let skip = (!least).then(|| reserve(steps));
                let start = steps.len();
                what.compile(steps);
                if *more {
                    steps.push(Step::Split(start, steps.len() + 1));
                }
                if let Some(skip) = skip {
                    let end = steps.len();
                    set(steps, skip, Step::Split(skip + 1, end));
                }
            }
        }
    }
}

/// Leaves room for a step that is known only later.
fn reserve(steps: &mut Vec<Step>) -> usize {
    steps.push(Step::Jump(steps.len() + 1));
    steps.len() - 1
}

fn set(steps: &mut [Step], index: usize, step: Step) {
    if let Some(place) = steps.get_mut(index) {
        *place = step;
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn error(&self, reason: PolicyReason) -> PolicyError {
        PolicyError::new(self.at, reason)
    }

    fn sequence(&mut self) -> Result<Node, PolicyError> {
        let mut parts = Vec::new();
        while !matches!(self.peek(), None | Some(')')) {
            parts.push(self.either()?);
        }
        match parts.len() {
            0 => {
                let reason = self
                    .peek()
                    .map_or(PolicyReason::Empty, PolicyReason::Unexpected);
                Err(self.error(reason))
            }
            1 => Ok(parts.remove(0)),
            _ => Ok(Node::Concatenation(parts)),
        }
    }

    fn either(&mut self) -> Result<Node, PolicyError> {
        let mut parts = vec![self.repeat()?];
        while self.peek() == Some('|') {
            self.at += 1;
            parts.push(self.repeat()?);
        }
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Node::Either(parts)
        })
    }

    fn repeat(&mut self) -> Result<Node, PolicyError> {
        let mut node = self.one()?;
        loop {
            let (least, more) = match self.peek() {
                Some('?') => (false, false),
                Some('+') => (true, true),
                Some('*') => (false, true),
                _ => return Ok(node),
            };
            self.at += 1;
            // One repetition says it all, so that signs do not become depth.
            node = match node {
                Node::Repeat {
                    what,
                    least: inner,
                    more: often,
                } => Node::Repeat {
                    what,
                    least: inner && least,
                    more: often || more,
                },
                other => Node::Repeat {
                    what: other.into(),
                    least,
                    more,
                },
            };
        }
    }

    fn one(&mut self) -> Result<Node, PolicyError> {
        match self.peek() {
            None => Err(self.error(PolicyReason::Empty)),
            Some('(') => {
                if self.depth == MAX_DEPTH {
                    return Err(self.error(PolicyReason::TooLong));
                }
                self.depth += 1;
                self.at += 1;
                let node = self.sequence()?;
                if self.peek() != Some(')') {
                    return Err(self.error(PolicyReason::Open));
                }
                self.depth -= 1;
                self.at += 1;
                Ok(node)
            }
            Some(digit) if digit.is_ascii_digit() => {
                let rest = self.rest();
                let end = rest
                    .find(|character: char| {
                        character.is_whitespace()
                            || matches!(character, '?' | '+' | '*' | '|' | '(' | ')')
                    })
                    .unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or_default();
                let hop = HopPredicate::parse(word, self.at)?;
                self.at += end;
                Ok(Node::Hop(hop))
            }
            Some(other) => Err(self.error(PolicyReason::Unexpected(other))),
        }
    }
}

impl FromStr for Sequence {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_TEXT {
            return Err(PolicyError::new(0, PolicyReason::TooLong));
        }
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        let pattern = parser.sequence()?;
        if let Some(other) = parser.peek() {
            return Err(parser.error(PolicyReason::Unexpected(other)));
        }
        let mut steps = Vec::new();
        pattern.compile(&mut steps);
        Ok(Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            steps,
        })
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
