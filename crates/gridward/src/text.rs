//! Text that is laid out in columns.

use std::fmt::Write as _;

/// Writes octets as hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // Writing to a string never fails.
        let _infallible = write!(text, "{octet:02x}");
    }
    text
}

/// Counts the columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Fills up with spaces to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut padded = text.to_owned();
    padded.extend(std::iter::repeat_n(
        ' ',
        columns.saturating_sub(width(text)),
    ));
    padded
}

/// Puts spaces in front up to `columns`.
pub(crate) fn pad_left(text: &str, columns: usize) -> String {
    let mut padded = " ".repeat(columns.saturating_sub(width(text)));
    padded.push_str(text);
    padded
}

/// Breaks a text into lines of at most `columns`, between words where there
/// are words that short.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while width(&line) + width(word) > columns {
            let room = columns - width(&line);
            let cut = word
                .char_indices()
                .nth(room)
                .map_or(word.len(), |(index, _)| index);
            let (head, tail) = word.split_at_checked(cut).unwrap_or((word, ""));
            line.push_str(head);
            lines.push(std::mem::take(&mut line));
            word = tail;
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Makes what a peer or a file says safe to show: no control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control()
                || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escape = escaped.then(|| character.escape_default());
            let plain = (!escaped).then_some(character);
            escape.into_iter().flatten().chain(plain)
        })
        .collect()
}
