//! Regular expressions, in time proportional to the text.

use crate::arguments::{Want, coerce, constant_text, literal_text, result, test_text, text_column};
use arrow::array::{Array, ArrayRef, BooleanArray, StringViewBuilder};
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::{Problem, Result, codes};
use regex::{Regex, RegexBuilder};
use std::cell::RefCell;
use std::sync::Arc;

pub(crate) const REGEX_MATCHES: ScalarFunction = ScalarFunction {
    name: "regex_matches",
    summary: "Whether the pattern is found anywhere in the text.",
    syntax: "regex_matches(text, pattern)",
    examples: &[
        ("regex_matches('order A-17', '[A-Z]-\\d+')", "true"),
        ("regex_matches('order 17', '^\\d+')", "false"),
        ("regex_matches(NULL, 'a')", "NULL"),
    ],
    coerce: |types| coerce("regex_matches", types, &[Want::Text, Want::Text], &[]),
    returns: |info| {
        literal_text(info, 1).map(compile).transpose()?;
        result("regex_matches", DataType::Boolean)
    },
    invoke: |arguments, rows| test("regex_matches", arguments, rows, |pattern| pattern.to_owned()),
};

pub(crate) const REGEX_FULL_MATCH: ScalarFunction = ScalarFunction {
    name: "regex_full_match",
    summary: "Whether the pattern is the whole text.",
    syntax: "regex_full_match(text, pattern)",
    examples: &[
        ("regex_full_match('A-17', '[A-Z]-\\d+')", "true"),
        ("regex_full_match('A-17b', '[A-Z]-\\d+')", "false"),
        ("regex_full_match('ab', 'a|ab')", "true"),
    ],
    coerce: |types| coerce("regex_full_match", types, &[Want::Text, Want::Text], &[]),
    returns: |info| {
        literal_text(info, 1).map(compile).transpose()?;
        result("regex_full_match", DataType::Boolean)
    },
    invoke: |arguments, rows| {
        test("regex_full_match", arguments, rows, |pattern| format!("^(?:{pattern})$"))
    },
};

pub(crate) const REGEX_FIND: ScalarFunction = ScalarFunction {
    name: "regex_find",
    summary: "The first part of the text that matches, or its first group if there is one; null \
              where nothing does.",
    syntax: "regex_find(text, pattern)",
    examples: &[
        ("regex_find('order A-17 of B-2', '[A-Z]-\\d+')", "A-17"),
        ("regex_find('order A-17', '[A-Z]-(\\d+)')", "17"),
        ("regex_find('order', '\\d')", "NULL"),
    ],
    coerce: |types| coerce("regex_find", types, &[Want::Text, Want::Text], &[]),
    returns: |info| {
        literal_text(info, 1).map(compile).transpose()?;
        result("regex_find", DataType::Utf8View)
    },
    invoke: find,
};

fn test(
    name: &str,
    arguments: &[Argument],
    rows: usize,
    whole: impl Fn(&str) -> String,
) -> Result<ArrayRef> {
    match constant_text(name, arguments, 1)? {
        Some(pattern) => {
            let regex = compile(&whole(&pattern))?;
            test_text(&arguments[0], rows, |text| regex.is_match(text))
        }
        None => Ok(Arc::new(BooleanArray::new_null(rows))),
    }
}

fn find(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let texts = text_column(&arguments[0], rows)?;
    let pattern = constant_text("regex_find", arguments, 1)?;
    let regex = pattern.map(|pattern| compile(&pattern)).transpose()?;
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for text in &texts {
        let found = text.zip(regex.as_ref()).and_then(|(text, regex)| first(regex, text));
        builder.append_option(found);
    }
    Ok(Arc::new(builder.finish()))
}

fn first<'t>(regex: &Regex, text: &'t str) -> Option<&'t str> {
    if regex.captures_len() == 1 {
        return regex.find(text).map(|found| found.as_str());
    }
    Some(regex.captures(text)?.get(1)?.as_str())
}

/// Patterns that a thread remembers.
const KNOWN_MAX: usize = 32;
/// Memory that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 4 << 20;

thread_local! {
    /// A call comes once per batch; a pattern is compiled once per thread.
    static KNOWN: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
}

fn compile(pattern: &str) -> Result<Regex> {
    KNOWN.with_borrow_mut(|known| {
        if let Some((_, regex)) = known.iter().find(|(text, _)| text == pattern) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| refused(pattern, &error))?;
        if known.len() == KNOWN_MAX {
            known.remove(0);
        }
        known.push((pattern.to_owned(), regex.clone()));
        Ok(regex)
    })
}

fn refused(pattern: &str, error: &regex::Error) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("`{pattern}` is not a regular expression"))
        .arg("pattern", pattern)
        .detail(error)
        .hint("look-around and back-references do not exist here; everything else is as usual")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_compiled_once_and_a_wrong_one_explained() {
        compile("a+").unwrap();
        compile("a+").unwrap();
        assert_eq!(KNOWN.with_borrow(Vec::len), 1);
        for number in 0..100 {
            compile(&format!("a{number}")).unwrap();
        }
        assert_eq!(KNOWN.with_borrow(Vec::len), KNOWN_MAX);
        assert!(compile("(").unwrap_err().message().contains("is not a regular expression"));
        assert!(compile("(?=x)").is_err());
    }
}
