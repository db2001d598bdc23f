//! Where records and fields begin and end: the one careful definition that every faster way of
//! reading must agree with.
//!
//! A quote opens a field only at its beginning, and closes it only before a delimiter or the end
//! of the line (spaces between are forgiven). A quote anywhere else in an unquoted field is a
//! character like others. Where a quoted field does not close like that, the *line* on which its
//! record began is given up, and reading goes on with the next line: one bad quote costs one line.

use crate::csv::syntax::{Escape, Syntax};
use memchr::{memchr, memchr2, memmem};
use std::borrow::Cow;

/// A line longer than this is given up.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 20;
/// A field longer than this is refused, and its record with it.
pub(crate) const FIELD_BYTES_MAX: usize = 16 << 20;

/// What comes after the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// More bytes.
    More,
    /// The end of the file.
    End,
    /// Bytes that no longer count: the line is too long already.
    Limit,
}

/// Why a line cannot be cut into fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Text stands between a closing quote and the next delimiter.
    TextAfterQuote,
    /// A quote opens and never closes.
    NeverClosed,
    /// The line does not end within the limit.
    TooLong,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Record,
    Comment,
    Broken(Fault),
}

/// One record, comment or given-up line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    /// End of its content.
    pub(crate) end: usize,
    /// Where the next one begins.
    pub(crate) next: usize,
    /// Whether it has quotes in places where the fast path does not expect them.
    pub(crate) is_odd: bool,
}

/// The record that begins at `at`; `None` when more bytes are needed, or there are none.
pub(crate) fn next_record(bytes: &[u8], at: usize, syntax: &Syntax, tail: Tail) -> Option<Found> {
    let limit = at.saturating_add(LINE_BYTES_MAX);
    let (bytes, tail) =
        if bytes.len() > limit { (&bytes[..limit], Tail::Limit) } else { (bytes, tail) };
    if at >= bytes.len() {
        return None;
    }
    if syntax.comment == Some(bytes[at]) {
        return line(bytes, at, syntax, tail, Kind::Comment);
    }
    let Some(quote) = syntax.quote else { return line(bytes, at, syntax, tail, Kind::Record) };
    let mut position = at;
    let mut is_odd = false;
    loop {
        let Some(step) = memchr2(quote, syntax.newline, &bytes[position..]) else {
            return line_end(bytes, bytes.len(), tail, Kind::Record, is_odd);
        };
        let found = position + step;
        if bytes[found] == syntax.newline {
            return Some(Found { kind: Kind::Record, end: found, next: found + 1, is_odd });
        }
        if !opens(bytes, at, found, syntax) {
            is_odd = true;
            position = found + 1;
            continue;
        }
        match close(bytes, found + 1, quote, syntax, tail) {
            Close::Closed { after, is_exact } => {
                is_odd |= !is_exact;
                position = after;
            }
            Close::Unknown => return None,
            Close::Fault(fault) => return line(bytes, at, syntax, tail, Kind::Broken(fault)),
        }
    }
}

/// The physical line at `at`.
fn line(bytes: &[u8], at: usize, syntax: &Syntax, tail: Tail, kind: Kind) -> Option<Found> {
    match memchr(syntax.newline, &bytes[at..]) {
        Some(step) => {
            let is_odd = kind != Kind::Record;
            Some(Found { kind, end: at + step, next: at + step + 1, is_odd })
        }
        None => line_end(bytes, bytes.len(), tail, kind, kind != Kind::Record),
    }
}

fn line_end(bytes: &[u8], end: usize, tail: Tail, kind: Kind, is_odd: bool) -> Option<Found> {
    match tail {
        Tail::More => None,
        Tail::End => Some(Found { kind, end, next: bytes.len(), is_odd }),
        Tail::Limit => {
            let kind = Kind::Broken(Fault::TooLong);
            Some(Found { kind, end, next: bytes.len(), is_odd: true })
        }
    }
}

/// Whether the quote at `position` stands at the beginning of a field.
fn opens(bytes: &[u8], at: usize, position: usize, syntax: &Syntax) -> bool {
    let is_start = |before: &[u8]| {
        before.is_empty() || (!syntax.delimiter.is_empty() && before.ends_with(&syntax.delimiter))
    };
    let before = &bytes[at..position];
    is_start(before) || (syntax.has_space_after && is_start(before.trim_ascii_end()))
}

enum Close {
    /// The field has ended; `after` is its delimiter or the end of the line.
    Closed {
        after: usize,
        is_exact: bool,
    },
    /// More bytes decide.
    Unknown,
    Fault(Fault),
}

/// Looks for the end of the quoted field whose content begins at `from`.
fn close(bytes: &[u8], mut from: usize, quote: u8, syntax: &Syntax, tail: Tail) -> Close {
    let open = if tail == Tail::More { Close::Unknown } else { Close::Fault(Fault::NeverClosed) };
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let step = match syntax.escape {
            Escape::Backslash => memchr2(quote, b'\\', rest),
            Escape::Doubled | Escape::Unmarked => memchr(quote, rest),
        };
        let Some(step) = step else { return open };
        let found = from + step;
        if bytes[found] != quote {
            from = found + 2;
            continue;
        }
        let after = found + 1;
        let spaces = bytes[after..].iter().take_while(|byte| is_space(**byte, syntax)).count();
        // Near the end of the bytes, what looks like a field's end may be the half of something.
        if tail == Tail::More && after + spaces + 2 + syntax.delimiter.len() > bytes.len() {
            return Close::Unknown;
        }
        if ends_field(bytes, after, syntax) {
            return Close::Closed { after, is_exact: true };
        }
        if spaces > 0 && ends_field(bytes, after + spaces, syntax) {
            return Close::Closed { after: after + spaces, is_exact: false };
        }
        if syntax.escape == Escape::Unmarked {
            from = after;
        } else if bytes[after] == quote {
            from = after + 1;
        } else {
            return Close::Fault(Fault::TextAfterQuote);
        }
    }
}

fn is_space(byte: u8, syntax: &Syntax) -> bool {
    (byte == b' ' || byte == b'\t') && syntax.delimiter != [byte]
}

fn ends_field(bytes: &[u8], at: usize, syntax: &Syntax) -> bool {
    let rest = &bytes[at..];
    match rest {
        [] => true,
        [first, ..] if *first == syntax.newline => true,
        [b'\r'] => syntax.newline == b'\n',
        [b'\r', b'\n', ..] => syntax.newline == b'\n',
        _ => !syntax.delimiter.is_empty() && rest.starts_with(&syntax.delimiter),
    }
}

/// One field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether quotes surround it; `start` and `end` are inside of them.
    pub(crate) is_quoted: bool,
}

/// Cuts the content of a whole record, as [`Syntax::trim_line`] leaves it, into fields.
pub(crate) fn split_fields(content: &[u8], syntax: &Syntax, spans: &mut Vec<Span>) {
    spans.clear();
    if let Some(widths) = &syntax.widths {
        return split_widths(content, widths, spans);
    }
    let mut at = 0;
    loop {
        let mut start = at;
        if syntax.has_space_after {
            start += content[at..].iter().take_while(|byte| **byte == b' ').count();
        }
        let after = match syntax.quote {
            Some(quote) if content.get(start) == Some(&quote) => {
                match close(content, start + 1, quote, syntax, Tail::End) {
                    Close::Closed { after, .. } => {
                        let inner = content[..after].trim_ascii_end();
                        let end = memchr::memrchr(quote, inner).unwrap_or(start + 1);
                        spans.push(Span { start: start + 1, end, is_quoted: true });
                        after
                    }
                    Close::Unknown | Close::Fault(_) => unquoted(content, start, syntax, spans),
                }
            }
            _ => unquoted(content, start, syntax, spans),
        };
        if after >= content.len() {
            return;
        }
        at = after + syntax.delimiter.len();
    }
}

fn unquoted(content: &[u8], start: usize, syntax: &Syntax, spans: &mut Vec<Span>) -> usize {
    let rest = &content[start..];
    let step = match syntax.delimiter.as_slice() {
        [] => None,
        [byte] => memchr(*byte, rest),
        delimiter => memmem::find(rest, delimiter),
    };
    let end = step.map_or(content.len(), |step| start + step);
    spans.push(Span { start, end, is_quoted: false });
    end
}

/// Fields at fixed places, counted in characters; the blanks that fill them up are not theirs.
fn split_widths(content: &[u8], widths: &[usize], spans: &mut Vec<Span>) {
    let mut at = 0;
    for width in widths {
        let start = at;
        for _ in 0..*width {
            if at >= content.len() {
                break;
            }
            at += 1;
            while content.get(at).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
                at += 1;
            }
        }
        let field = &content[start..at];
        let end = start + field.trim_ascii_end().len();
        let start = end - content[start..end].trim_ascii_start().len();
        spans.push(Span { start, end, is_quoted: false });
    }
    if !content[at..].trim_ascii().is_empty() {
        spans.push(Span { start: at, end: content.len(), is_quoted: false });
    }
}

/// The text of a field, its escapes resolved.
pub(crate) fn text<'a>(raw: &'a str, is_quoted: bool, syntax: &Syntax) -> Cow<'a, str> {
    let Some(quote) = syntax.quote.filter(|_| is_quoted) else { return Cow::Borrowed(raw) };
    let is_plain = match syntax.escape {
        Escape::Unmarked => true,
        Escape::Doubled => memchr(quote, raw.as_bytes()).is_none(),
        Escape::Backslash => memchr2(quote, b'\\', raw.as_bytes()).is_none(),
    };
    if is_plain {
        return Cow::Borrowed(raw);
    }
    let quote = char::from(quote);
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        let is_escaped = (character == quote && next == Some(quote))
            || (syntax.escape == Escape::Backslash
                && character == '\\'
                && (next == Some(quote) || next == Some('\\')));
        match (is_escaped, next) {
            (true, Some(next)) => {
                characters.next();
                text.push(next);
            }
            _ => text.push(character),
        }
    }
    Cow::Owned(text)
}
