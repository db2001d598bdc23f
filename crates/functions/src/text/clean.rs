//! Spaces, signs and links: found, and taken out.

use crate::arguments::{
    Want, broken, coerce, coerce_groups, constant_text, map_text, result, test_text, text_column,
};
use crate::kernel::{is_blank, trim};
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::nullif::nullif;
use arrow::compute::not;
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;

pub(crate) const IS_BLANK: ScalarFunction = ScalarFunction {
    name: "is_blank",
    summary: "Whether a text is empty or only space; null stays null.",
    syntax: "is_blank(text)",
    examples: &[
        ("is_blank('  ')", "true"),
        ("is_blank(' x ')", "false"),
        ("is_blank(NULL)", "NULL"),
    ],
    coerce: |types| coerce("is_blank", types, &[Want::Text], &[]),
    returns: |_| result("is_blank", DataType::Boolean),
    invoke: |arguments, rows| test_text(&arguments[0], rows, |text| is_blank(text.as_bytes())),
};

pub(crate) const TRIM_TEXT: ScalarFunction = ScalarFunction {
    name: "trim_text",
    summary: "The text without white space and no-break spaces on both sides.",
    syntax: "trim_text(text)",
    examples: &[("trim_text('  a b ')", "a b"), ("trim_text(NULL)", "NULL")],
    coerce: |types| coerce("trim_text", types, &[Want::Text], &[]),
    returns: |_| result("trim_text", DataType::Utf8View),
    invoke: |arguments, rows| {
        map_text(&arguments[0], rows, |text, out| {
            let trimmed = trim(text.as_bytes());
            // Whole characters were taken off, so this is text; if not, nothing changes.
            out.push_str(std::str::from_utf8(trimmed).unwrap_or(text));
            trimmed.len() != text.len()
        })
    },
};

pub(crate) const NULL_WHERE: ScalarFunction = ScalarFunction {
    name: "null_where",
    summary: "The text, or null where it is one of the values, spaces around it aside.",
    syntax: "null_where(text, value1, …)",
    examples: &[
        ("null_where(' N/A', 'NULL', 'N/A')", "NULL"),
        ("null_where('n/a', 'NULL', 'N/A')", "n/a"),
    ],
    coerce: |types| coerce_groups("null_where", types, &[Want::Text], &[Want::Text]),
    returns: |_| result("null_where", DataType::Utf8View),
    invoke: null_where,
};

fn null_where(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let texts = text_column(&arguments[0], rows)?;
    let values = (1..arguments.len())
        .map(|at| constant_text("null_where", arguments, at))
        .collect::<Result<Vec<_>>>()?;
    let is_kept = |text: &str| {
        let text = trim(text.as_bytes());
        !values.iter().flatten().any(|value| value.as_bytes() == text)
    };
    let kept = BooleanBuffer::collect_bool(texts.len(), |row| {
        texts.is_valid(row) && is_kept(texts.value(row))
    });
    let kept = BooleanArray::new(kept, None);
    // `nullif` makes null what is true.
    nullif(&texts, &not(&kept).map_err(broken)?).map_err(broken)
}

pub(crate) const SQUEEZE_SPACES: ScalarFunction = ScalarFunction {
    name: "squeeze_spaces",
    summary: "The text with every run of white space as one space, and none at its ends.",
    syntax: "squeeze_spaces(text)",
    examples: &[("squeeze_spaces('  a \t  b ')", "a b"), ("squeeze_spaces('a b')", "a b")],
    coerce: |types| coerce("squeeze_spaces", types, &[Want::Text], &[]),
    returns: |_| result("squeeze_spaces", DataType::Utf8View),
    invoke: |arguments, rows| {
        map_text(&arguments[0], rows, |text, out| {
            for word in text.split_whitespace() {
                out.push_str(if out.is_empty() { "" } else { " " });
                out.push_str(word);
            }
            out != text
        })
    },
};

pub(crate) const STRIP_SPECIAL: ScalarFunction = ScalarFunction {
    name: "strip_special",
    summary: "The text with letters, digits, white space and the characters to keep, nothing else.",
    syntax: "strip_special(text [, keep])",
    examples: &[
        ("strip_special('Hé! n° 5 (ok) ✓')", "Hé n 5 ok "),
        ("strip_special('a-b_c', '-')", "a-bc"),
    ],
    coerce: |types| coerce("strip_special", types, &[Want::Text], &[Want::Text]),
    returns: |_| result("strip_special", DataType::Utf8View),
    invoke: |arguments, rows| {
        let keep = constant_text("strip_special", arguments, 1)?;
        let keep = keep.unwrap_or_default();
        map_text(&arguments[0], rows, |text, out| {
            let kept = |character: &char| {
                character.is_alphanumeric()
                    || character.is_whitespace()
                    || keep.contains(*character)
            };
            out.extend(text.chars().filter(kept));
            out.len() != text.len()
        })
    },
};

pub(crate) const STRIP_URLS: ScalarFunction = ScalarFunction {
    name: "strip_urls",
    summary: "The text without web addresses.",
    syntax: "strip_urls(text)",
    examples: &[
        ("strip_urls('see https://a.example/x?y=1 now')", "see  now"),
        ("strip_urls('or www.a.example')", "or "),
        ("strip_urls('nothing here')", "nothing here"),
    ],
    coerce: |types| coerce("strip_urls", types, &[Want::Text], &[]),
    returns: |_| result("strip_urls", DataType::Utf8View),
    invoke: |arguments, rows| {
        map_text(&arguments[0], rows, |text, out| {
            let mut rest = text;
            while let Some(at) = url_at(rest) {
                out.push_str(&rest[..at]);
                let end = rest[at..].find(|c: char| c.is_whitespace() || "<>\"".contains(c));
                rest = &rest[at..][end.unwrap_or(rest.len() - at)..];
            }
            out.push_str(rest);
            out.len() != text.len()
        })
    },
};

/// Where the first address begins.
fn url_at(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let starts = |at: usize, prefix: &str| {
        bytes
            .get(at..at + prefix.len())
            .is_some_and(|part| part.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    (0..bytes.len()).find(|at| {
        let at_word = *at == 0 || !bytes[*at - 1].is_ascii_alphanumeric();
        matches!(bytes[*at], b'h' | b'H' | b'w' | b'W' | b'f' | b'F')
            && at_word
            && ["http://", "https://", "ftp://", "www."].iter().any(|prefix| starts(*at, prefix))
    })
}
