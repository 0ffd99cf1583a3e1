//! Reading a script: packetdrill's format, as far as SCTP scripts use it.

use std::fmt;

/// Octets of a script that are read at most.
pub(crate) const SCRIPT_LEN_MAX: usize = 1 << 20;

/// Expressions within expressions at most.
const DEPTH_MAX: usize = 16;

/// Events of a script at most.
const EVENTS_MAX: usize = 10_000;

/// A value as scripts write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// `...`
    Any,
    /// `42`, `0x2a`, `htonl(42)`
    Number(i64),
    /// `O_RDWR|O_NONBLOCK`, `BE`
    Word(String),
    /// `"a.b"`
    Text(String),
    /// `2:4`
    Range(i64, i64),
    /// `[1, 2]`
    List(Vec<Self>),
    /// `{a=1, b=2}`
    Set(Vec<(Option<String>, Self)>),
    /// `DATA[flgs=BE, len=1016]`
    Record(Record),
}

/// A chunk, parameter or error cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) fields: Vec<(Option<String>, Expr)>,
}

impl Record {
    /// The value of a field.
    pub(crate) fn field(&self, key: &str) -> Option<&Expr> {
        self.fields
            .iter()
            .find(|(name, _)| name.as_deref() == Some(key))
            .map(|(_, value)| value)
    }

    /// The number in a field.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        match self.field(key) {
            Some(Expr::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// What stands without a name.
    pub(crate) fn unnamed(&self) -> impl Iterator<Item = &Expr> {
        self.fields
            .iter()
            .filter(|(name, _)| name.is_none())
            .map(|(_, value)| value)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.name)?;
        write_fields(f, &self.fields)?;
        f.write_str("]")
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("..."),
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Range(from, to) => write!(f, "{from}:{to}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Set(fields) => {
                f.write_str("{")?;
                write_fields(f, fields)?;
                f.write_str("}")
            }
            Self::Record(record) => record.fmt(f),
        }
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[(Option<String>, Expr)]) -> fmt::Result {
    for (at, (name, value)) in fields.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        match name {
            Some(name) => write!(f, "{comma}{name}={value}")?,
            None => write!(f, "{comma}{value}")?,
        }
    }
    Ok(())
}

/// When an event happens, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// `*`
    Any,
    /// `1.5`
    At(u64),
    /// `+0.1`, and `+0.1...0.2` with the second number.
    After(u64, Option<u64>),
}

/// An SCTP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PacketLine {
    /// `224.0.0.0 > 192.168.0.1`
    pub(crate) addresses: Option<(String, String)>,
    /// `sctp(tag=3)`
    pub(crate) tag: Option<u32>,
    /// `sctp(bad_crc32c)`
    pub(crate) wrong_checksum: bool,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Chunks(Vec<Record>),
    /// `sctp: [0x01, 0x02]`
    Octets(Vec<u8>),
}

/// A call of the socket interface, with what it has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<Expr>,
    pub(crate) result: Expr,
    pub(crate) error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Inbound(PacketLine),
    Outbound(PacketLine),
    Call(Call),
    /// A shell command: it is named, and not run.
    Command(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) line: usize,
    pub(crate) time: Time,
    pub(crate) action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// `--tolerance_usecs=10000` and the like.
    pub(crate) options: Vec<(String, String)>,
    pub(crate) events: Vec<Event>,
}

/// Why a script cannot be read, with the line.
pub(crate) type SyntaxError = (usize, String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Number(i64),
    /// With a decimal point, in microseconds as a time.
    Decimal(u64),
    /// An address, too.
    Word(String),
    Text(String),
    Command(String),
    Ellipsis,
    Sign(char),
}

/// Reads a script. Lines between `#ifdef SYSTEM` and `#endif` count only for
/// that system.
pub(crate) fn parse(text: &str, system: &str) -> Result<Script, SyntaxError> {
    if text.len() > SCRIPT_LEN_MAX {
        return Err((0, "the script is too long".into()));
    }
    let mut options = Vec::new();
    let mut lines = String::with_capacity(text.len());
    let mut off = false;
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim();
        let mut keep = "";
        if let Some(wanted) = bare.strip_prefix("#ifdef") {
            off = wanted.trim() != system;
        } else if bare.starts_with("#endif") {
            off = false;
        } else if bare.starts_with('#') {
            return Err((number + 1, format!("unknown: {bare}")));
        } else if let Some(option) = bare.strip_prefix("--") {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = value.split("//").next().unwrap_or_default();
            options.push((name.trim().to_owned(), value.trim().to_owned()));
        } else if !off {
            keep = line;
        }
        lines.push_str(keep);
        lines.push('\n');
    }
    let tokens = tokens(&lines)?;
    let mut parser = Parser {
        tokens: &tokens,
        depth: 0,
    };
    let mut events = Vec::new();
    while !parser.tokens.is_empty() {
        if events.len() >= EVENTS_MAX {
            return Err((parser.line(), "too many events".into()));
        }
        events.push(parser.event()?);
    }
    Ok(Script { options, events })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = |n: usize| rest.get(n..).unwrap_or_default();
        let until = |from: usize, end: &str| after(from).find(end).map(|at| from + at);
        let (token, length) = if first == '\n' {
            line += 1;
            rest = after(1);
            continue;
        } else if first.is_whitespace() {
            rest = after(first.len_utf8());
            continue;
        } else if rest.starts_with("//") {
            rest = after(rest.find('\n').unwrap_or(rest.len()));
            continue;
        } else if rest.starts_with("/*") {
            let end = until(2, "*/").ok_or_else(|| (line, "a comment without end".to_owned()))?;
            line += rest.get(..end).unwrap_or_default().matches('\n').count();
            rest = after(end + 2);
            continue;
        } else if rest.starts_with("...") {
            (Token::Ellipsis, 3)
        } else if first == '"' || first == '`' {
            let end = until(1, if first == '"' { "\"" } else { "`" })
                .ok_or_else(|| (line, "a quotation without end".to_owned()))?;
            let inner = rest.get(1..end).unwrap_or_default().to_owned();
            let token = if first == '"' {
                Token::Text(inner)
            } else {
                Token::Command(inner)
            };
            (token, end + 1)
        } else if let Some(length) = address(rest) {
            (
                Token::Word(rest.get(..length).unwrap_or_default().to_owned()),
                length,
            )
        } else if first.is_ascii_digit() {
            number(rest).map_err(|text| (line, text))?
        } else if is_word(first) {
            let mut length = 0;
            for c in rest.chars() {
                // Words may be joined: O_RDWR | O_NONBLOCK is read below.
                if !is_word(c) {
                    break;
                }
                length += c.len_utf8();
            }
            (
                Token::Word(rest.get(..length).unwrap_or_default().to_owned()),
                length,
            )
        } else {
            (Token::Sign(first), first.len_utf8())
        };
        found.push((line, token));
        rest = after(length);
    }
    Ok(found)
}

/// The length of an IPv6 address that stands here.
fn address(text: &str) -> Option<usize> {
    let end = text
        .find(|c: char| !(c.is_ascii_hexdigit() || c == ':'))
        .unwrap_or(text.len());
    let found = text.get(..end)?;
    found.parse::<std::net::Ipv6Addr>().is_ok().then_some(end)
}

/// A number, a time, or an address.
fn number(text: &str) -> Result<(Token, usize), String> {
    let end_of = |from: usize, good: fn(char) -> bool| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.find(|c| !good(c)).unwrap_or(rest.len())
    };
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = end_of(2, |c| c.is_ascii_hexdigit());
        let digits = hex.get(..end - 2).unwrap_or_default();
        return i64::from_str_radix(digits, 16)
            .map(|number| (Token::Number(number), end))
            .map_err(|_| "a number that is none".to_owned());
    }
    let digits = |from: usize| end_of(from, |c| c.is_ascii_digit());
    let whole = digits(0);
    let has_point = |at: usize| {
        text.get(at..).is_some_and(|rest| {
            rest.starts_with('.') && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit())
        })
    };
    if !has_point(whole) {
        return text
            .get(..whole)
            .and_then(|digits| digits.parse().ok())
            .map(|number| (Token::Number(number), whole))
            .ok_or_else(|| "a number that is too large".to_owned());
    }
    let mut end = digits(whole + 1);
    if has_point(end) {
        while has_point(end) {
            end = digits(end + 1);
        }
        let address = text.get(..end).unwrap_or_default().to_owned();
        return Ok((Token::Word(address), end));
    }
    let seconds: Option<u64> = text.get(..whole).and_then(|digits| digits.parse().ok());
    let fraction = text.get(whole + 1..end).unwrap_or_default();
    let micros: Option<u64> = format!("{fraction:0<6.6}").parse().ok();
    seconds
        .zip(micros)
        .and_then(|(seconds, micros)| seconds.checked_mul(1_000_000)?.checked_add(micros))
        .map(|micros| (Token::Decimal(micros), end))
        .ok_or_else(|| "a time that is none".to_owned())
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    depth: usize,
}

impl Parser<'_> {
    fn line(&self) -> usize {
        self.tokens.first().map_or(0, |(line, _)| *line)
    }

    fn error<T>(&self, wanted: &str) -> Result<T, SyntaxError> {
        let found = match self.tokens.first() {
            Some((_, token)) => format!("{token:?}"),
            None => "the end".to_owned(),
        };
        Err((self.line(), format!("expected {wanted}, found {found}")))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.first().map(|(_, token)| token)
    }

    fn step(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn takes(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        if found {
            self.step();
        }
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), SyntaxError> {
        if self.takes(sign) {
            Ok(())
        } else {
            self.error(&format!("`{sign}`"))
        }
    }

    fn word(&mut self) -> Result<String, SyntaxError> {
        if let Some(Token::Word(word)) = self.peek() {
            let word = word.clone();
            self.step();
            Ok(word)
        } else {
            self.error("a word")
        }
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word == wanted);
        if found {
            self.step();
        }
        found
    }

    fn micros(&mut self) -> Result<u64, SyntaxError> {
        let micros = match self.peek() {
            Some(Token::Decimal(micros)) => Some(*micros),
            Some(Token::Number(seconds)) => u64::try_from(*seconds)
                .ok()
                .and_then(|seconds| seconds.checked_mul(1_000_000)),
            _ => None,
        };
        match micros {
            Some(micros) => {
                self.step();
                Ok(micros)
            }
            None => self.error("a time"),
        }
    }

    fn event(&mut self) -> Result<Event, SyntaxError> {
        let line = self.line();
        let time = if self.takes('*') {
            Time::Any
        } else if self.takes('+') {
            let after = self.micros()?;
            let dots = self.peek() == Some(&Token::Ellipsis);
            if dots {
                self.step();
            }
            if dots || self.takes('~') {
                self.takes('+');
                Time::After(after, Some(self.micros()?))
            } else {
                Time::After(after, None)
            }
        } else {
            Time::At(self.micros()?)
        };
        let action = if self.takes('<') {
            Action::Inbound(self.packet()?)
        } else if self.takes('>') {
            Action::Outbound(self.packet()?)
        } else if let Some(Token::Command(command)) = self.peek() {
            let command = command.clone();
            self.step();
            Action::Command(command)
        } else {
            Action::Call(self.call()?)
        };
        Ok(Event { line, time, action })
    }

    fn packet(&mut self) -> Result<PacketLine, SyntaxError> {
        let mut line = PacketLine {
            addresses: None,
            tag: None,
            wrong_checksum: false,
            content: Content::Chunks(Vec::new()),
        };
        if !self.takes_word("sctp") {
            let source = self.word()?;
            self.expect('>')?;
            line.addresses = Some((source, self.word()?));
            if !self.takes_word("sctp") {
                return self.error("`sctp`");
            }
        }
        if self.takes('(') {
            while !self.takes(')') {
                match self.word()?.as_str() {
                    "bad_crc32c" => line.wrong_checksum = true,
                    "tag" => {
                        self.expect('=')?;
                        let Expr::Number(tag) = self.expr()? else {
                            return self.error("a tag");
                        };
                        line.tag = u32::try_from(tag).ok();
                    }
                    _ => return self.error("`bad_crc32c` or `tag`"),
                }
                self.takes(',');
            }
        }
        self.expect(':')?;
        if self.peek() == Some(&Token::Sign('[')) {
            let Expr::List(items) = self.expr()? else {
                return self.error("octets");
            };
            line.content = match octets(&items) {
                Some(octets) => Content::Octets(octets),
                None => return self.error("octets"),
            };
            return Ok(line);
        }
        let mut chunks = Vec::new();
        loop {
            let Expr::Record(chunk) = self.expr()? else {
                return self.error("a chunk");
            };
            chunks.push(chunk);
            if !self.takes(';') {
                break;
            }
        }
        line.content = Content::Chunks(chunks);
        Ok(line)
    }

    fn call(&mut self) -> Result<Call, SyntaxError> {
        let name = self.word()?;
        self.expect('(')?;
        let mut arguments = Vec::new();
        while !self.takes(')') {
            arguments.push(self.expr()?);
            if !self.takes(',') && self.peek() != Some(&Token::Sign(')')) {
                return self.error("`,` or `)`");
            }
        }
        self.expect('=')?;
        let result = self.expr()?;
        let error = match self.peek() {
            Some(Token::Word(word)) if word.starts_with('E') => Some(self.word()?),
            _ => None,
        };
        if self.takes('(') {
            while !self.takes(')') {
                if self.peek().is_none() {
                    return self.error("`)`");
                }
                self.step();
            }
        }
        Ok(Call {
            name,
            arguments,
            result,
            error,
        })
    }

    fn expr(&mut self) -> Result<Expr, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.error("less depth");
        }
        let found = self.expr_within();
        self.depth -= 1;
        found
    }

    fn expr_within(&mut self) -> Result<Expr, SyntaxError> {
        if self.takes('-') {
            return match self.expr()? {
                Expr::Number(number) => Ok(Expr::Number(-number)),
                _ => self.error("a number"),
            };
        }
        if self.takes('[') {
            let mut items = Vec::new();
            while !self.takes(']') {
                items.push(self.expr()?);
                if !self.takes(',') && self.peek() != Some(&Token::Sign(']')) {
                    return self.error("`,` or `]`");
                }
            }
            return Ok(Expr::List(items));
        }
        if self.takes('{') {
            return Ok(Expr::Set(self.fields('}')?));
        }
        let token = self.peek().cloned();
        match token {
            Some(Token::Ellipsis) => {
                self.step();
                Ok(Expr::Any)
            }
            Some(Token::Text(text)) => {
                self.step();
                Ok(Expr::Text(text))
            }
            Some(Token::Number(number)) => {
                self.step();
                if self.takes(':') {
                    return match self.expr()? {
                        Expr::Number(to) => Ok(Expr::Range(number, to)),
                        _ => self.error("a number"),
                    };
                }
                Ok(Expr::Number(number))
            }
            Some(Token::Word(mut word)) => {
                self.step();
                if self.takes('[') {
                    let fields = self.fields(']')?;
                    return Ok(Expr::Record(Record { name: word, fields }));
                }
                if self.takes('(') {
                    // htonl(42) and the like: what stands inside.
                    let inner = self.expr()?;
                    self.expect(')')?;
                    return Ok(inner);
                }
                while self.takes('|') {
                    word.push('|');
                    word.push_str(&self.word()?);
                }
                Ok(Expr::Word(word))
            }
            _ => self.error("a value"),
        }
    }

    fn fields(&mut self, end: char) -> Result<Vec<(Option<String>, Expr)>, SyntaxError> {
        let mut fields = Vec::new();
        while !self.takes(end) {
            let named = match self.tokens {
                [(_, Token::Word(name)), (_, Token::Sign('=')), ..] => Some(name.clone()),
                _ => None,
            };
            if named.is_some() {
                self.step();
                self.step();
            }
            fields.push((named, self.expr()?));
            if !self.takes(',') && self.peek() != Some(&Token::Sign(end)) {
                return self.error(&format!("`,` or `{end}`"));
            }
        }
        Ok(fields)
    }
}

/// The octets that a list of numbers stands for.
pub(crate) fn octets(items: &[Expr]) -> Option<Vec<u8>> {
    items
        .iter()
        .map(|item| match item {
            Expr::Number(number) => u8::try_from(*number).ok(),
            _ => None,
        })
        .collect()
}
