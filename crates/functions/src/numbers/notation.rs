//! How a number is written: its decimal character, and what groups its thousands.

use crate::kernel::space_at_start;
use model::{Problem, Result, codes};

/// What stands between groups of three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Nothing.
    None,
    /// A space, plain or no-break.
    Space,
    /// An apostrophe, straight or typographic.
    Apostrophe,
    /// This character.
    Byte(u8),
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notation {
    pub(crate) decimal: u8,
    pub(crate) group: Group,
}

/// The parts of a number, as they stand in its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) negative: bool,
    /// Before the decimal character, groups still in it.
    pub(crate) whole: &'a [u8],
    /// After the decimal character.
    pub(crate) decimals: &'a [u8],
}

impl Notation {
    /// A point, and no groups.
    pub(crate) const PLAIN: Self = Self { decimal: b'.', group: Group::None };

    /// From the arguments of a call; absent means a point and no groups.
    pub(crate) fn new(decimal: Option<&str>, group: Option<&str>) -> Result<Self> {
        let decimal = match decimal.unwrap_or(".").as_bytes() {
            [byte] if byte.is_ascii_punctuation() && !matches!(byte, b'+' | b'-') => *byte,
            _ => return Err(refused("decimal", decimal.unwrap_or_default())),
        };
        let group = match group.unwrap_or_default() {
            "" => Group::None,
            " " | "\u{a0}" | "\u{202f}" | "\u{2009}" => Group::Space,
            "'" | "\u{2019}" => Group::Apostrophe,
            text => match text.as_bytes() {
                [byte] if byte.is_ascii_punctuation() && !matches!(byte, b'+' | b'-') => {
                    Group::Byte(*byte)
                }
                _ => return Err(refused("group", text)),
            },
        };
        if group == Group::Byte(decimal) {
            let character = char::from(decimal);
            let fact = format!("`{character}` is both the decimal and the group character");
            return Err(Problem::new(&codes::SETTING_INVALID, fact)
                .hint("give `decimal` too when `group` is a point or comma"));
        }
        Ok(Self { decimal, group })
    }

    /// Splits a trimmed text; digits are not looked at yet.
    pub(crate) fn split<'a>(&self, text: &'a [u8]) -> Option<Parts<'a>> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let at = memchr::memchr(self.decimal, text);
        let (whole, decimals) = match at {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &text[..0]),
        };
        (!whole.is_empty() || !decimals.is_empty()).then_some(Parts { negative, whole, decimals })
    }

    /// Gives each digit of the whole part to `take`, or says that it is not well formed. Groups
    /// have three digits, the first one to three; a number may have no groups at all.
    pub(crate) fn whole_digits(
        &self,
        whole: &[u8],
        mut take: impl FnMut(u8) -> Option<()>,
    ) -> Option<()> {
        let (mut at, mut in_group, mut groups) = (0, 0, 0);
        while let Some(byte) = whole.get(at) {
            if byte.is_ascii_digit() {
                take(byte - b'0')?;
                at += 1;
                in_group += 1;
                continue;
            }
            let fits = if groups == 0 { (1..=3).contains(&in_group) } else { in_group == 3 };
            at += self.group_at_start(&whole[at..]).filter(|_| fits)?;
            groups += 1;
            in_group = 0;
        }
        (groups == 0 || in_group == 3).then_some(())
    }

    fn group_at_start(&self, text: &[u8]) -> Option<usize> {
        match (self.group, text) {
            (Group::Byte(byte), [first, ..]) if *first == byte => Some(1),
            (Group::Apostrophe, [b'\'', ..]) => Some(1),
            (Group::Apostrophe, [0xE2, 0x80, 0x99, ..]) => Some(3),
            (Group::Space, [0xE2, 0x80, 0x89, ..]) => Some(3),
            (Group::Space, _) => space_at_start(text),
            _ => None,
        }
    }
}

fn refused(which: &str, given: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("`{given}` is not a {which} character"))
        .arg(which, given)
        .hint("decimal characters are `.` and `,`; groups are made with ` `, `.`, `,`, `'` or `_`")
}
