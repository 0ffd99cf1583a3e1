//! What waits for one segment: by class, and within a class by meter.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dlms::Instant;
use link::{Message, Node};
use model::MessageClass;

use super::Connection;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) connection: Connection,
    pub(super) since: Instant,
    pub(super) message: Message,
}

/// One class: a line for each meter, and whose turn it is.
#[derive(Debug, Default)]
struct Class {
    lines: BTreeMap<Option<Node>, VecDeque<Queued>>,
    turns: VecDeque<Option<Node>>,
}

/// The queue of one segment. Who fills it keeps its bounds.
#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: [Class; MessageClass::ALL.len()],
    counts: BTreeMap<(Node, Connection), usize>,
    broadcasts: usize,
    len: usize,
    /// When what waits came, oldest first, to find what has waited too long
    /// without walking all lines; entries of what has gone stay until they
    /// are looked at.
    ages: VecDeque<(Instant, MessageClass, Option<Node>)>,
}

impl Queue {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Counts what a connection has waiting for a meter.
    pub(super) fn count(&self, node: Node, connection: Connection) -> usize {
        self.counts.get(&(node, connection)).copied().unwrap_or(0)
    }

    pub(super) const fn broadcasts(&self) -> usize {
        self.broadcasts
    }

    pub(super) fn push(&mut self, node: Option<Node>, queued: Queued) {
        match node {
            Some(node) => *self.counts.entry((node, queued.connection)).or_insert(0) += 1,
            None => self.broadcasts += 1,
        }
        self.len += 1;
        self.ages
            .push_back((queued.since, queued.message.class, node));
        let class = usize::from(queued.message.class.priority());
        if let Some(class) = self.classes.get_mut(class) {
            let line = class.lines.entry(node).or_default();
            if line.is_empty() {
                class.turns.push_back(node);
            }
            line.push_back(queued);
        }
    }

    /// Takes the most urgent message of a class and a meter that may go now.
    pub(super) fn pop(
        &mut self,
        class_may: impl Fn(MessageClass) -> bool,
        node_may: impl Fn(Option<Node>) -> bool,
    ) -> Option<(Option<Node>, Queued)> {
        let (node, queued) = self
            .classes
            .iter_mut()
            .zip(MessageClass::ALL)
            .filter(|(_, class)| class_may(*class))
            .find_map(|(class, _)| class.pop(&node_may))?;
        self.gone(node, queued.connection);
        if self.len == 0 {
            self.ages.clear();
        }
        Some((node, queued))
    }

    /// Takes a message that has waited for longer than `patience`, and tells for whom.
    pub(super) fn expired(
        &mut self,
        now: Instant,
        patience: Duration,
    ) -> Option<(Option<Node>, Queued)> {
        while let Some(&(since, class, node)) = self.ages.front() {
            if now.since(since) < patience {
                return None;
            }
            self.ages.pop_front();
            let class = usize::from(class.priority());
            let Some(class) = self.classes.get_mut(class) else {
                continue;
            };
            let first = class.lines.get_mut(&node);
            let Some(line) = first.filter(|line| line.front().is_some_and(|it| it.since <= since))
            else {
                continue;
            };
            let queued = line.pop_front();
            class.tidy(node);
            if let Some(queued) = queued {
                self.gone(node, queued.connection);
                return Some((node, queued));
            }
        }
        None
    }

    /// Tells since when the oldest message waits; it may have gone already.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.ages.front().map(|(since, ..)| *since)
    }

    /// Drops what `unwanted` says, without a word.
    pub(super) fn forget(&mut self, unwanted: impl Fn(&Queued) -> bool) {
        let mut gone = Vec::new();
        for class in &mut self.classes {
            for (node, line) in &mut class.lines {
                line.retain(|queued| {
                    let keep = !unwanted(queued);
                    if !keep {
                        gone.push((*node, queued.connection));
                    }
                    keep
                });
            }
            class.lines.retain(|_, line| !line.is_empty());
            let Class { lines, turns } = class;
            turns.retain(|node| lines.contains_key(node));
        }
        for (node, connection) in gone {
            self.gone(node, connection);
        }
    }

    /// Drops what waits for one meter.
    pub(super) fn forget_node(&mut self, node: Node) -> Vec<Queued> {
        let mut all = Vec::new();
        for class in &mut self.classes {
            if let Some(line) = class.lines.remove(&Some(node)) {
                all.extend(line);
                class.turns.retain(|other| *other != Some(node));
            }
        }
        for queued in &all {
            self.gone(Some(node), queued.connection);
        }
        all
    }

    fn gone(&mut self, node: Option<Node>, connection: Connection) {
        self.len -= 1;
        match node {
            Some(node) => {
                if let Some(count) = self.counts.get_mut(&(node, connection)) {
                    *count -= 1;
                    if *count == 0 {
                        self.counts.remove(&(node, connection));
                    }
                }
            }
            None => self.broadcasts -= 1,
        }
        // Marks of what has gone are swept out before they outnumber what is
        // there.
        if self.ages.len() > 64 && self.ages.len() > 4 * self.len {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let mut ages: Vec<_> = self
            .classes
            .iter()
            .flat_map(|class| &class.lines)
            .flat_map(|(node, line)| {
                line.iter()
                    .map(|queued| (queued.since, queued.message.class, *node))
            })
            .collect();
        ages.sort_by_key(|(since, ..)| *since);
        self.ages = ages.into();
    }
}

impl Class {
    fn pop(&mut self, may: impl Fn(Option<Node>) -> bool) -> Option<(Option<Node>, Queued)> {
        let place = self.turns.iter().position(|node| may(*node))?;
        let node = self.turns.remove(place)?;
        let line = self.lines.get_mut(&node)?;
        let queued = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&node);
        } else {
            self.turns.push_back(node);
        }
        Some((node, queued))
    }

    fn tidy(&mut self, node: Option<Node>) {
        if self.lines.get(&node).is_some_and(VecDeque::is_empty) {
            self.lines.remove(&node);
            self.turns.retain(|other| *other != node);
        }
    }
}
