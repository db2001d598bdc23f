//! A strict JSON parser (RFC 8259) that turns one record into a flat list of nodes.
//!
//! Numbers keep their text, so no digit is lost before the type of their column is known.

use std::borrow::Cow;

/// Nesting beyond this is refused.
pub(crate) const DEPTH_MAX: usize = 128;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    /// A text without escapes: its range is its value.
    Plain,
    /// A text with escapes, to be read by [`Tape::text`].
    Escaped,
    List,
    Object,
}

/// A value and where it stands; texts without their quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    start: u32,
    end: u32,
    /// The index after the last node inside of this one.
    next: u32,
}

/// Why a record is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Byte in the record, from 0.
    pub(crate) at: usize,
    /// A lowercase fact.
    pub(crate) reason: &'static str,
}

/// A parsed record: its text and its nodes, the root first. Keys are text nodes before values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tape<'a> {
    source: &'a str,
    nodes: &'a [Node],
}

/// Parses one record that has nothing but white space around it. `nodes` is reused memory.
pub(crate) fn parse<'a>(
    record: &'a [u8],
    nodes: &'a mut Vec<Node>,
) -> Result<Tape<'a>, SyntaxError> {
    nodes.clear();
    let source = simdutf8::compat::from_utf8(record)
        .map_err(|error| SyntaxError { at: error.valid_up_to(), reason: "a byte is not UTF-8" })?;
    if u32::try_from(record.len()).is_err() {
        return Err(SyntaxError { at: 0, reason: "the record is longer than 4 GiB" });
    }
    let mut parser = Parser { bytes: record, at: 0, nodes };
    parser.space();
    parser.value(0)?;
    parser.space();
    if parser.at < record.len() {
        return Err(parser.error("something follows the end of the value"));
    }
    Ok(Tape { source, nodes })
}

impl<'a> Tape<'a> {
    /// The node with this number; 0 is the root.
    pub(crate) fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }

    /// The text of a node as it stands in the source, without the quotes of a text.
    pub(crate) fn raw(&self, index: u32) -> &'a str {
        let node = self.node(index);
        &self.source[node.start as usize..node.end as usize]
    }

    /// The JSON text of a node as it stands in the source.
    pub(crate) fn json(&self, index: u32) -> &'a str {
        let node = self.node(index);
        let quote = usize::from(matches!(node.kind, Kind::Plain | Kind::Escaped));
        &self.source[node.start as usize - quote..node.end as usize + quote]
    }

    /// The value of a text node.
    pub(crate) fn text(&self, index: u32) -> Cow<'a, str> {
        match self.node(index).kind {
            Kind::Escaped => Cow::Owned(unescape(self.raw(index))),
            _ => Cow::Borrowed(self.raw(index)),
        }
    }

    /// The elements of a list.
    pub(crate) fn items(self, list: u32) -> impl Iterator<Item = u32> + 'a {
        let end = self.node(list).next;
        let mut at = list + 1;
        std::iter::from_fn(move || {
            let item = at;
            (item < end).then(|| {
                at = self.node(item).next;
                item
            })
        })
    }

    /// Keys and values of an object, as node numbers.
    pub(crate) fn members(self, object: u32) -> impl Iterator<Item = (u32, u32)> + 'a {
        let end = self.node(object).next;
        let mut at = object + 1;
        std::iter::from_fn(move || {
            let key = at;
            (key < end).then(|| {
                at = self.node(key + 1).next;
                (key, key + 1)
            })
        })
    }

    /// The value of a key; of a repeated key, the last one.
    pub(crate) fn member(self, object: u32, name: &str) -> Option<u32> {
        self.members(object).filter(|(key, _)| self.text(*key) == name).last().map(|(_, v)| v)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
}

impl Parser<'_> {
    fn error(&self, reason: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn open(&mut self, kind: Kind) -> usize {
        let start = u32::try_from(self.at).expect("the record's length fits");
        self.nodes.push(Node { kind, start, end: start, next: 0 });
        self.nodes.len() - 1
    }

    fn close(&mut self, index: usize, end: usize) {
        let next = u32::try_from(self.nodes.len()).expect("a node is at least one byte");
        self.nodes[index].end = u32::try_from(end).expect("the record's length fits");
        self.nodes[index].next = next;
    }

    fn value(&mut self, depth: usize) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Kind::Boolean),
            Some(b'f') => self.word(b"false", Kind::Boolean),
            Some(b'n') => self.word(b"null", Kind::Null),
            Some(_) => Err(self.error("a value is expected")),
            None => Err(self.error("it ends where a value is expected")),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), SyntaxError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error("a value is expected"));
        }
        let index = self.open(kind);
        self.at += word.len();
        self.close(index, self.at);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), SyntaxError> {
        if depth >= DEPTH_MAX {
            return Err(self.error("it is nested deeper than 128 levels"));
        }
        let index = self.open(Kind::Object);
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.close(index, self.at);
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("a key in double quotes is expected"));
            }
            self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("a `:` is expected"));
            }
            self.at += 1;
            self.space();
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                Some(_) => return Err(self.error("a `,` or `}` is expected")),
                None => return Err(self.error("it ends inside of an object")),
            }
            self.space();
        }
        self.at += 1;
        self.close(index, self.at);
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<(), SyntaxError> {
        if depth >= DEPTH_MAX {
            return Err(self.error("it is nested deeper than 128 levels"));
        }
        let index = self.open(Kind::List);
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.close(index, self.at);
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                Some(_) => return Err(self.error("a `,` or `]` is expected")),
                None => return Err(self.error("it ends inside of a list")),
            }
            self.space();
        }
        self.at += 1;
        self.close(index, self.at);
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        let index = self.open(Kind::Plain);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.nodes[index].kind = Kind::Escaped;
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..=0x1f) => {
                    return Err(self.error("a control character in a text is not escaped"));
                }
                Some(_) => self.at += 1,
                None => return Err(self.error("it ends inside of a text")),
            }
        }
        self.close(index, self.at);
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let unit = self.hex()?;
                let is_low = (0xdc00..0xe000).contains(&unit);
                if (0xd800..0xdc00).contains(&unit) {
                    let goes_on = self.bytes[self.at..].starts_with(b"\\u");
                    if goes_on {
                        self.at += 1;
                    }
                    if !goes_on || !(0xdc00..0xe000).contains(&self.hex()?) {
                        return Err(self.error("an escape is half of a surrogate pair"));
                    }
                } else if is_low {
                    return Err(self.error("an escape is half of a surrogate pair"));
                }
            }
            _ => return Err(self.error("an escape in a text is not valid")),
        }
        Ok(())
    }

    /// Reads `uXXXX`.
    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let unit = self.bytes.get(self.at + 1..self.at + 5).and_then(hex_unit);
        self.at = (self.at + 5).min(self.bytes.len());
        unit.ok_or_else(|| self.error("`\\u` needs four hexadecimal digits"))
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error("a digit is expected"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let index = self.open(Kind::Number);
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.error("a number has a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.close(index, self.at);
        Ok(())
    }
}

fn hex_unit(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The value of a text whose escapes have been checked.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        let mut length = 2;
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let unit = |from: usize| {
                    rest.as_bytes().get(from..from + 4).and_then(hex_unit).unwrap_or(0)
                };
                let mut code = unit(at + 2);
                length = 6;
                if (0xd800..0xdc00).contains(&code) {
                    let low = unit(at + 8);
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                    length = 12;
                }
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => text.push(char::from(other)),
        }
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    text
}

/// JSON text without the white space between its tokens.
pub(crate) fn minify(json: &str) -> Cow<'_, str> {
    if !json.bytes().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        return Cow::Borrowed(json);
    }
    let mut small = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_text = byte == b'"';
        }
        small.push(byte);
    }
    Cow::Owned(String::from_utf8(small).expect("only ASCII spaces were taken out"))
}
