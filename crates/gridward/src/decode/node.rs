//! What was decoded, as a tree: for people in columns, for programs as JSON.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::output::{COLUMNS, Ink, Style};
use crate::text;

/// One field, value or layer.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The field's name in the standard's words.
    pub(crate) name: Cow<'static, str>,
    /// Where it begins in the input, where that is known.
    pub(crate) at: Option<usize>,
    /// The type of a value.
    pub(crate) kind: Option<&'static str>,
    /// For programs; null where there is none.
    pub(crate) value: Value,
    /// For people.
    pub(crate) text: String,
    /// What stands inside.
    pub(crate) children: Vec<Self>,
    /// The text tells people all that stands inside.
    pub(crate) folded: bool,
}

impl Node {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, at: impl Into<Option<usize>>) -> Self {
        Self {
            name: name.into(),
            at: at.into(),
            kind: None,
            value: Value::Null,
            text: String::new(),
            children: Vec::new(),
            folded: false,
        }
    }

    /// Gives a value whose JSON and text say the same.
    #[must_use]
    pub(crate) fn valued(mut self, value: impl Into<Value>) -> Self {
        self.value = value.into();
        self.text = match &self.value {
            Value::String(text) => text::printable(text),
            other => other.to_string(),
        };
        self
    }

    /// Gives a text for people.
    #[must_use]
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    #[must_use]
    pub(crate) fn with_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The tree for programs.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(self.name));
        if let Some(at) = self.at {
            object.insert("offset".to_owned(), json!(at));
        }
        if let Some(kind) = self.kind {
            object.insert("type".to_owned(), json!(kind));
        }
        if !self.value.is_null() {
            object.insert("value".to_owned(), self.value.clone());
        }
        let value = match &self.value {
            Value::String(value) => value.clone(),
            other => other.to_string(),
        };
        let told = value == self.text;
        if !told && !self.text.is_empty() {
            object.insert("text".to_owned(), json!(self.text));
        }
        if !self.children.is_empty() {
            let children: Vec<Value> = self.children.iter().map(Self::to_json).collect();
            object.insert("children".to_owned(), json!(children));
        }
        Value::Object(object)
    }
}

/// Where the names of a tree end and its values begin, at most.
const NAMES_MAX: usize = 40;

/// Lays trees out: offset, name by its depth, value.
pub(crate) fn render(nodes: &[Node], style: Style) -> String {
    let mut lines = Vec::new();
    for node in nodes {
        flatten(node, 0, &mut lines);
    }
    let places = lines
        .iter()
        .filter_map(|line| line.node.at)
        .max()
        .map_or(4, |at| at.to_string().len().max(4));
    let names = lines
        .iter()
        .filter(|line| !line.node.text.is_empty())
        .map(|line| line.depth * 2 + text::width(&line.node.name) + 2)
        .filter(|columns| *columns <= NAMES_MAX)
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for line in lines {
        put_line(&line, places, names, style, &mut out);
    }
    out
}

/// Lays the parts of a value out, without places.
pub(crate) fn render_values(nodes: &[Node], style: Style) -> String {
    fn without_places(node: &Node) -> Node {
        Node {
            at: None,
            children: node.children.iter().map(without_places).collect(),
            ..node.clone()
        }
    }
    let nodes: Vec<Node> = nodes.iter().map(without_places).collect();
    render(&nodes, style)
}

struct Line<'n> {
    depth: usize,
    node: &'n Node,
}

fn flatten<'n>(node: &'n Node, depth: usize, lines: &mut Vec<Line<'n>>) {
    lines.push(Line { depth, node });
    if node.folded {
        return;
    }
    for child in &node.children {
        flatten(child, depth + 1, lines);
    }
}

fn put_line(line: &Line<'_>, places: usize, names: usize, style: Style, out: &mut String) {
    let node = line.node;
    let offset = node.at.map(|at| at.to_string()).unwrap_or_default();
    out.push_str(&style.paint(Ink::Faint, &text::pad_left(&offset, places)));
    out.push_str("  ");
    let indent = " ".repeat((line.depth * 2).min(COLUMNS / 2));
    out.push_str(&indent);
    if node.children.is_empty() || node.name.starts_with('[') {
        out.push_str(&node.name);
    } else {
        out.push_str(&style.paint(Ink::Head, &node.name));
    }
    if node.text.is_empty() {
        out.push('\n');
        return;
    }
    let used = indent.len() + text::width(&node.name);
    let start = if used + 2 <= names {
        out.push_str(&" ".repeat(names - used));
        places + 2 + names
    } else {
        out.push_str("  ");
        places + 2 + used + 2
    };
    let room = COLUMNS.saturating_sub(start);
    let (start, room, mut broken) = if room < 16 && text::width(&node.text) > room {
        (
            places + 2 + names,
            COLUMNS.saturating_sub(places + 2 + names),
            true,
        )
    } else {
        (start, room, false)
    };
    for part in text::wrap(&node.text, room) {
        if broken {
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
            out.push_str(&" ".repeat(start));
        }
        out.push_str(&style.paint(Ink::Value, &part));
        broken = true;
    }
    out.push('\n');
}
