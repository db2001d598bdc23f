//! `mask`: hides values that not everybody may read.

use crate::projection::with_columns;
use crate::settings::{Ordered, ShortOr, invalid};
use crate::values::{cast, is_text, null};
use arrow::datatypes::DataType;
use contracts::sql::{Expr, Ident, Text};
use contracts::{Example, Inputs, Relation, Relational, RowLaw};
use contracts::{expr, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `mask`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How each column is hidden: `cover`, `hash`, `remove`, or
    /// `{method: cover, keep_end: 4}`.
    columns: Ordered<ShortOr<Masking>>,
}

/// How a column is hidden.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Masking {
    /// What is done.
    #[serde(default)]
    method: Method,
    /// For `cover`: how many characters at the start can be read.
    #[serde(default)]
    keep_start: u32,
    /// For `cover`: how many characters at the end can be read.
    #[serde(default)]
    keep_end: u32,
    /// For `cover`: the character that stands for the others.
    #[serde(default)]
    character: Option<char>,
    /// For `hash`: a text that goes into each digest, so that digests of two projects cannot be
    /// compared. Who knows it can find out values by trying.
    #[serde(default)]
    salt: Option<String>,
}

/// What is done to hide a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Characters are replaced by `*`.
    #[default]
    Cover,
    /// The value is replaced by a digest: the same value, the same digest.
    Hash,
    /// The value is replaced by null.
    Remove,
}

/// The module.
pub struct Mask;

impl Relational for Mask {
    type Config = Config;
    const NAME: &'static str = "mask";
    const SUMMARY: &'static str = "Hide values that not everybody may read.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "only the end of a card number can be read",
            config: r#"{"columns": {"card": {"keep_end": 4}, "name": {"keep_start": 1,
                        "character": "."}, "born": "remove"}}"#,
            inputs: &[(
                "rows",
                "{\"#types\": {\"born\": \"date\"}}\n\
                 {\"card\": 4970101234567890, \"name\": \"Zoé\", \"born\": \"2001-02-03\"}",
            )],
            outputs: &[(
                "out",
                "{\"#types\": {\"born\": \"date\"}}\n\
                 {\"card\": \"************7890\", \"name\": \"Z..\", \"born\": null}",
            )],
        },
        Example {
            title: "digests can still be counted and joined",
            config: r#"{"columns": {"mail": {"method": "hash"}}}"#,
            inputs: &[("rows", r#"{"mail": "abc"}"#)],
            outputs: &[(
                "out",
                r#"{"mail": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#,
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if config.columns.is_empty() {
            return Err(invalid("/columns", "there is no column to hide")
                .hint("add one, such as `phone: {keep_end: 2}`"));
        }
        let mut new = Vec::new();
        for (name, given) in config.columns.iter() {
            let path = format!("/columns/{name}");
            let data_type = input.column(name, &path)?.data_type();
            let masking = match given {
                ShortOr::Long(masking) => masking.clone(),
                ShortOr::Short(method) => Masking::of(method, &path)?,
            };
            new.push((name.to_owned(), masking.hide(name, data_type, &path)?));
        }
        Ok(sql!("SELECT {} FROM {}", with_columns(input, &new), input)?.into())
    }
}

impl Masking {
    fn of(method: &str, path: &str) -> Result<Self> {
        let method = match method {
            "cover" => Method::Cover,
            "hash" => Method::Hash,
            "remove" => Method::Remove,
            other => {
                return Err(invalid(path, format!("`{other}` is not a way to hide values"))
                    .hint("choose cover, hash or remove"));
            }
        };
        Ok(Self { method, keep_start: 0, keep_end: 0, character: None, salt: None })
    }

    fn hide(&self, name: &str, data_type: &DataType, path: &str) -> Result<Expr> {
        let covers = self.keep_start > 0 || self.keep_end > 0 || self.character.is_some();
        if covers && self.method != Method::Cover {
            return Err(invalid(path, "only `cover` leaves characters to read")
                .hint("take `keep_start`, `keep_end` and `character` out"));
        }
        if self.salt.is_some() && self.method != Method::Hash {
            return Err(
                invalid(&format!("{path}/salt"), "only `hash` has a `salt`").hint("leave it out")
            );
        }
        let column = Ident(name);
        match (self.method, &self.salt) {
            (Method::Remove, _) => null(data_type),
            (Method::Hash, None) => expr!("hash_text('sha256', {})", column),
            (Method::Hash, Some(salt)) => expr!(
                "CASE WHEN {} IS NOT NULL THEN hash_text('sha256', {}, {}) END",
                column,
                Text(salt),
                column
            ),
            (Method::Cover, _) => {
                let text = match is_text(data_type) {
                    true => Expr::column(name),
                    false => cast(&Expr::column(name), &DataType::Utf8View)?,
                };
                let character = self.character.unwrap_or('*').to_string();
                let (start, end) = (u64::from(self.keep_start), u64::from(self.keep_end));
                expr!("mask({}, {}, {}, {})", text, start, end, Text(&character))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn a_salt_goes_into_the_digest() {
        assert_eq!(
            sql::<Mask>(
                r#"{"columns": {"a": {"method": "hash", "salt": "x"}, "n": "remove"}}"#,
                &one("a: string; n: integer")
            ),
            "SELECT CASE WHEN \"a\" IS NOT NULL THEN hash_text('sha256', 'x', \"a\") END AS \"a\", \
             CAST(NULL AS BIGINT) AS \"n\" FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<Mask>(config, &one("a: string"));
        assert_eq!(
            refused(r#"{"columns": {"a": "blur"}}"#),
            "/columns/a: `blur` is not a way to hide values"
        );
        assert_eq!(
            refused(r#"{"columns": {"a": {"method": "hash", "keep_end": 2}}}"#),
            "/columns/a: only `cover` leaves characters to read"
        );
        assert_eq!(
            refused(r#"{"columns": {"a": {"salt": "x"}}}"#),
            "/columns/a/salt: only `hash` has a `salt`"
        );
    }
}
