//! Where expressions stand in a text, and what must not stand in an expression.

use super::{EXPRESSION_BYTES_MAX, filters, invalid, shown};
use model::Result;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// What stood between `{{` and `}}`.
    Expression {
        /// The expression.
        text: &'a str,
        /// The line of the text that it begins in, from 1.
        line: usize,
    },
}

/// The pieces of a text. Space around a single expression does not count.
pub(crate) fn parts(text: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("{{").map(|start| at + start) {
        let line = text[..start].matches('\n').count() + 1;
        let Some(length) = end_of(&text[start + 2..]) else {
            let fact = format!("`{}` is not closed", shown(&text[start..]));
            return Err(invalid(fact).arg("line_of_text", line).hint(
                "an expression stands between `{{` and `}}`; to write `{{` itself, write \
                 `{{ '{{' }}`",
            ));
        };
        if start > at {
            parts.push(Part::Text(&text[at..start]));
        }
        parts.push(Part::Expression { text: &text[start + 2..start + 2 + length], line });
        at = start + length + 4;
    }
    if at < text.len() {
        parts.push(Part::Text(&text[at..]));
    }
    let is_space = |part: &Part<'_>| matches!(part, Part::Text(text) if text.trim().is_empty());
    let expressions = parts.iter().filter(|part| matches!(part, Part::Expression { .. })).count();
    if expressions == 1 && parts.iter().all(|p| is_space(p) || matches!(p, Part::Expression { .. }))
    {
        parts.retain(|part| !is_space(part));
    }
    Ok(parts)
}

/// Where the expression that `text` begins with ends: before `}}` outside of quotes and braces.
fn end_of(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = Unquoted::new(text);
    for (at, byte) in bytes {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' if text[at + 1..].starts_with('}') => return Some(at),
            _ => {}
        }
    }
    None
}

/// Refuses what would let a short expression make something large, and filters that are not.
pub(super) fn check(expression: &str) -> Result<()> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        let fact = format!("an expression has more than {} KiB", EXPRESSION_BYTES_MAX >> 10);
        return Err(invalid(fact).hint("say it in fewer words, or compute it in a query"));
    }
    let bytes = Unquoted::new(expression);
    for (at, byte) in bytes {
        if byte == b'*' {
            let fact = format!("`{}` multiplies, which expressions cannot", shown(expression));
            return Err(invalid(fact).hint("write `| times(2)`, or compute it in a query"));
        }
        if byte != b'|' {
            continue;
        }
        let name = expression[at + 1..].trim_start();
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = &name[..name.find(|c| !is_letter(c)).unwrap_or(name.len())];
        if !name.is_empty() && !filters::NAMES.contains(&name) {
            let known = filters::NAMES.iter().copied();
            let hint = match stdx::text::nearest(name, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("filters are {}", stdx::text::list(known)),
            };
            return Err(invalid(format!("there is no filter `{name}`")).hint(hint));
        }
    }
    Ok(())
}

/// The bytes of an expression that are in no quoted text.
struct Unquoted<'a> {
    bytes: std::iter::Enumerate<std::str::Bytes<'a>>,
}

impl<'a> Unquoted<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.bytes().enumerate() }
    }
}

impl Iterator for Unquoted<'_> {
    type Item = (usize, u8);

    fn next(&mut self) -> Option<(usize, u8)> {
        loop {
            let (at, byte) = self.bytes.next()?;
            if !matches!(byte, b'\'' | b'"') {
                return Some((at, byte));
            }
            while let Some((_, inner)) = self.bytes.next() {
                match inner {
                    b'\\' => drop(self.bytes.next()),
                    inner if inner == byte => break,
                    _ => {}
                }
            }
        }
    }
}
