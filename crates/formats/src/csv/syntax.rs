//! How the lines of one file are to be cut into records and fields.

use serde::{Deserialize, Serialize};

/// How a quote is written inside of a quoted field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// Twice, as RFC 4180 has it.
    #[default]
    Doubled,
    /// With a backslash before it.
    Backslash,
    /// Not marked at all: a quote ends its field only where a delimiter or the line's end follows.
    Unmarked,
}

/// What ends a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Newline {
    /// A line feed, with or without a carriage return before it.
    #[default]
    LineFeed,
    /// A carriage return alone.
    CarriageReturn,
}

/// The rules as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// Stands between fields; empty where the line is one field.
    pub(crate) delimiter: Vec<u8>,
    /// Whether spaces after a delimiter belong to it.
    pub(crate) has_space_after: bool,
    /// Surrounds fields.
    pub(crate) quote: Option<u8>,
    pub(crate) escape: Escape,
    /// `\n` or `\r`.
    pub(crate) newline: u8,
    /// A line that begins with it is no record.
    pub(crate) comment: Option<u8>,
    /// Widths of the fields in characters; then nothing else matters but `newline`.
    pub(crate) widths: Option<Vec<usize>>,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            delimiter: b",".to_vec(),
            has_space_after: false,
            quote: Some(b'"'),
            escape: Escape::Doubled,
            newline: b'\n',
            comment: None,
            widths: None,
        }
    }
}

impl Syntax {
    /// Whether the fast path can read it: one byte between fields, nothing out of the ordinary.
    pub(crate) fn is_simple(&self) -> bool {
        self.delimiter.len() <= 1
            && !self.has_space_after
            && self.comment.is_none()
            && self.widths.is_none()
            && (self.quote.is_none() || self.escape == Escape::Doubled)
    }

    /// The content of a line without the carriage return of CR LF.
    pub(crate) fn trim_line<'a>(&self, content: &'a [u8]) -> &'a [u8] {
        match content {
            [rest @ .., b'\r'] if self.newline == b'\n' => rest,
            _ => content,
        }
    }
}
