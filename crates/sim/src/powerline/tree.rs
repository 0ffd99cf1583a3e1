//! Who forwards for whom: the tree of a line whose ways are named.

use std::collections::BTreeMap;

use link::Node;
use model::powerline::Technology;

use super::medium::PowerLineConfig;

/// Meters between the concentrator and the farthest one at most.
const HOPS_MAX: u8 = 15;

/// Why a tree was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// On S-FSK nobody is behind one meter.
    #[error(
        "on S-FSK all meters that hear a frame repeat it at once, so that none is behind one: leave the tree out"
    )]
    Simulcast,
    /// A node is named that the line does not have.
    #[error("node {0} is not on the line: name nodes by their place in the list")]
    Unknown(u32),
    /// A node has two ways.
    #[error("node {0} is behind two others: name one")]
    Twice(u32),
    /// A way does not end at the concentrator.
    #[error("node {0} is behind itself: let its way end at the concentrator")]
    Cycle(u32),
    /// A way is too long.
    #[error("node {0} is behind more than 15 others: let fewer forward for it")]
    TooDeep(u32),
}

/// The node through which each is reached; never a cycle.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree(BTreeMap<Node, Node>);

impl Tree {
    pub(super) const fn none() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The node through which one is reached.
    pub(super) fn through(&self, node: Node) -> Option<Node> {
        self.0.get(&node).copied()
    }

    /// A node and those that forward to it, nearest to it first.
    pub(super) fn way(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        std::iter::successors(Some(node), move |node| self.through(*node))
    }

    /// Those to whom a node forwards, near or far.
    pub(super) fn behind(&self, node: Node) -> Vec<Node> {
        let others = self.0.keys().copied();
        others
            .filter(|it| *it != node && self.way(*it).any(|on| on == node))
            .collect()
    }
}

impl PowerLineConfig {
    /// Names for nodes the one through which each is reached (PRIME: its switch, G3: the last hop
    /// before it), as pairs of a node and the one before it. The loss of a node with such a name is
    /// that of the one link between the two; a way is lost with any of its links, is shared by all
    /// who are behind it, and is there only as long as those who forward are registered. Hops of
    /// such a node are counted along its way. Nodes that are not named are reached as without a
    /// tree.
    ///
    /// # Errors
    /// [`TreeError`]: on S-FSK, and where the pairs are no tree.
    pub fn with_tree(
        mut self,
        pairs: impl IntoIterator<Item = (Node, Node)>,
    ) -> Result<Self, TreeError> {
        if matches!(self.technology, Technology::SFsk(_)) {
            return Err(TreeError::Simulcast);
        }
        let place = |node: Node| usize::try_from(node.0).unwrap_or(usize::MAX);
        let mut tree = Tree::none();
        for (node, through) in pairs {
            for named in [node, through] {
                if place(named) >= self.nodes.len() {
                    return Err(TreeError::Unknown(named.0));
                }
            }
            if tree.0.insert(node, through).is_some() {
                return Err(TreeError::Twice(node.0));
            }
        }
        let mut hops = BTreeMap::new();
        for &node in tree.0.keys() {
            // Whoever is on a way twice is found within as many steps as there are nodes.
            let mut way = tree.way(node).skip(1).take(self.nodes.len());
            if way.any(|it| it == node) {
                return Err(TreeError::Cycle(node.0));
            }
        }
        for &node in tree.0.keys() {
            let last = tree.way(node).enumerate().last();
            let (count, first) = last.unwrap_or((0, node));
            let before = self.nodes.get(place(first)).map_or(0, |it| it.hops);
            let all = count.saturating_add(usize::from(before));
            let all = u8::try_from(all).ok().filter(|it| *it <= HOPS_MAX);
            hops.insert(node, all.ok_or(TreeError::TooDeep(node.0))?);
        }
        for (node, hops) in hops {
            if let Some(config) = self.nodes.get_mut(place(node)) {
                config.hops = hops;
            }
        }
        self.tree = tree;
        Ok(self)
    }
}
