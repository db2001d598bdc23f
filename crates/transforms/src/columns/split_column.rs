//! `split_column`: parts of a text become columns.

use crate::projection::{check_distinct, check_name, with_columns, with_columns_of};
use crate::settings::invalid;
use crate::values::{is_text, mismatch};
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Ident, Text};
use contracts::{Example, Inputs, Relation, Relational, RowLaw};
use contracts::{expr, sql};
use model::Result;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `split_column`: either `delimiter` or `pattern`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column with the text.
    #[schemars(extend("x-widget" = "column"))]
    column: String,
    /// What stands between the parts.
    #[serde(default)]
    delimiter: Option<String>,
    /// A regular expression that is the whole text, with a group in brackets for each part.
    #[serde(default)]
    pattern: Option<String>,
    /// Names of the new columns, in the order of the parts. Parts that a text lacks are null.
    into: OneOrMany,
    /// For `delimiter`: whether the last column gets all the rest of the text; otherwise further
    /// parts are left out.
    #[serde(default)]
    rest: bool,
    /// Whether white space at both ends of each part is cut off.
    #[serde(default = "yes")]
    trim: bool,
    /// Whether the column with the whole text stays.
    #[serde(default = "yes")]
    keep: bool,
}

fn yes() -> bool {
    true
}

/// The module.
pub struct SplitColumn;

impl Relational for SplitColumn {
    type Config = Config;
    const NAME: &'static str = "split_column";
    const SUMMARY: &'static str = "Split a text into columns.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a delimiter, and the rest in the last column",
            config: r#"{"column": "name", "delimiter": " ", "into": ["first", "others"],
                        "rest": true}"#,
            inputs: &[(
                "rows",
                "{\"name\": \"Ana Maria Lima\"}\n{\"name\": \"Bo\"}\n{\"name\": null}",
            )],
            outputs: &[(
                "out",
                "{\"name\": \"Ana Maria Lima\", \"first\": \"Ana\", \"others\": \"Maria Lima\"}\n\
                 {\"name\": \"Bo\", \"first\": \"Bo\", \"others\": null}\n\
                 {\"name\": null, \"first\": null, \"others\": null}",
            )],
        },
        Example {
            title: "a pattern with groups",
            config: r#"{"column": "code", "pattern": "([A-Z]+)-(\\d+)(?:/(\\d+))?",
                        "into": ["kind", "number", "part"], "keep": false}"#,
            inputs: &[("rows", "{\"code\": \"AB-17/2\"}\n{\"code\": \"C-5\"}\n{\"code\": \"?\"}")],
            outputs: &[(
                "out",
                "{\"kind\": \"AB\", \"number\": \"17\", \"part\": \"2\"}\n\
                 {\"kind\": \"C\", \"number\": \"5\", \"part\": null}\n\
                 {\"kind\": null, \"number\": null, \"part\": null}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let data_type = input.column(&config.column, "/column")?.data_type();
        if !is_text(data_type) {
            return Err(mismatch(&config.column, data_type, "only texts can be split", "/column"));
        }
        config.check_names()?;
        let parts = match (config.delimiter.as_deref(), config.pattern.as_deref()) {
            (Some(""), None) => {
                return Err(invalid("/delimiter", "the delimiter is empty")
                    .hint("write it, as in `delimiter: \",\"`"));
            }
            (Some(delimiter), None) => config.by_delimiter(delimiter)?,
            (None, Some(pattern)) => config.by_pattern(pattern)?,
            (Some(_), Some(_)) => {
                return Err(invalid("/pattern", "there is both `delimiter` and `pattern`")
                    .hint("keep one of them"));
            }
            (None, None) => {
                return Err(invalid("/delimiter", "it is not said where the text is split")
                    .hint("add `delimiter: \" \"`, or `pattern:` with groups in brackets"));
            }
        };
        let items = match config.keep || config.into.has(&config.column) {
            true => with_columns(input, &parts),
            false => {
                let others = input.columns().filter(|name| *name != config.column);
                with_columns_of(&others.collect::<Vec<_>>(), &parts)
            }
        };
        Ok(sql!("SELECT {} FROM {}", items, input)?.into())
    }
}

impl Config {
    fn check_names(&self) -> Result<()> {
        if self.into.is_empty() {
            return Err(invalid("/into", "there is no column for the parts"));
        }
        for (at, name) in self.into.iter().enumerate() {
            check_name(name, &format!("/into/{at}"))?;
        }
        check_distinct(self.into.iter(), "/into")
    }

    fn by_delimiter(&self, delimiter: &str) -> Result<Vec<(String, Expr)>> {
        let parts = expr!("string_to_array({}, {})", Ident(&self.column), Text(delimiter))?;
        let last = self.into.len();
        let mut columns = Vec::with_capacity(last);
        for (place, name) in (1u64..).zip(self.into.iter()) {
            let takes_rest = self.rest && usize::try_from(place) == Ok(last);
            let part = match takes_rest {
                false => expr!("array_element({}, {})", parts, place)?,
                true => expr!(
                    "CASE WHEN cardinality({}) >= {} THEN \
                     array_to_string(array_slice({}, {}, CAST(cardinality({}) AS BIGINT)), {}) END",
                    parts,
                    place,
                    parts,
                    place,
                    parts,
                    Text(delimiter)
                )?,
            };
            columns.push((name.to_owned(), self.trimmed(part)?));
        }
        Ok(columns)
    }

    fn by_pattern(&self, pattern: &str) -> Result<Vec<(String, Expr)>> {
        if self.rest {
            return Err(invalid("/rest", "`rest` is only for `delimiter`")
                .hint("end the pattern with `(.*)`"));
        }
        let regex = Regex::new(pattern).map_err(|error| {
            invalid("/pattern", format!("`{pattern}` is not a regular expression"))
                .detail(error)
                .hint("brackets and other signs that are meant as such need a `\\` before them")
        })?;
        let groups = regex.captures_len() - 1;
        if groups != self.into.len() {
            let fact = format!("the pattern has {groups} groups for {} columns", self.into.len());
            return Err(invalid("/pattern", fact)
                .hint("put each part in brackets; `(?:…)` is a bracket that is no part"));
        }
        let whole = format!("^(?:{pattern})$");
        let parts = expr!("regexp_match({}, {})", Ident(&self.column), Text(&whole))?;
        let mut columns = Vec::with_capacity(groups);
        for (place, name) in (1u64..).zip(self.into.iter()) {
            let part = expr!("array_element({}, {})", parts, place)?;
            columns.push((name.to_owned(), self.trimmed(part)?));
        }
        Ok(columns)
    }

    fn trimmed(&self, part: Expr) -> Result<Expr> {
        match self.trim {
            true => expr!("trim_text({})", part),
            false => Ok(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn a_part_can_take_the_place_of_the_whole() {
        assert_eq!(
            sql::<SplitColumn>(
                r#"{"column": "a", "delimiter": "'", "into": "a", "trim": false, "keep": false}"#,
                &one("a: string; b: integer")
            ),
            "SELECT array_element(string_to_array(\"a\", ''''), 1) AS \"a\", \"b\" FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<SplitColumn>(config, &one("a: string; n: integer"));
        assert_eq!(
            refused(r#"{"column": "a", "into": "b"}"#),
            "/delimiter: it is not said where the text is split"
        );
        assert_eq!(
            refused(r#"{"column": "a", "pattern": "(a)(b)", "into": "b"}"#),
            "/pattern: the pattern has 2 groups for 1 columns"
        );
        assert!(
            refused(r#"{"column": "a", "pattern": "(a", "into": "b"}"#)
                .starts_with("/pattern: `(a` is not a regular expression")
        );
        assert_eq!(
            refused(r#"{"column": "n", "delimiter": ",", "into": "b"}"#),
            "/column: `n` is of type integer, but only texts can be split"
        );
    }
}
