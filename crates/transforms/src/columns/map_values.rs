//! `map_values`: replaces values by others.

use crate::projection::{check_name, with_columns};
use crate::rejecting::{Fault, rejecting};
use crate::settings::{Ordered, invalid};
use crate::values::{is_text, literal, mismatch, null};
use arrow::datatypes::DataType;
use contracts::sql::{Expr, Fragment, Ident, Joined, List, Text};
use contracts::{Example, Inputs, Relation, Relational, RowLaw};
use contracts::{expr, piece, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Settings of `map_values`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column.
    #[schemars(extend("x-widget" = "column"))]
    column: String,
    /// New values by old ones: `{M: male, F: female}`.
    mapping: Ordered<Value>,
    /// New value for all that `mapping` has not. Rows without a value stay without.
    #[serde(default)]
    default: Option<Value>,
    /// What happens to a value that `mapping` has not, where there is no `default`.
    #[serde(default)]
    others: Option<Others>,
    /// Name of the column with the new value; the old one is replaced when left out.
    #[serde(default)]
    output: Option<String>,
    /// Whether capitals and small letters are the same.
    #[serde(default)]
    ignore_case: bool,
}

/// What happens to a value that has no new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// It stays as it is.
    Keep,
    /// It becomes null.
    Null,
    /// Its row is rejected.
    Reject,
}

/// The module.
pub struct MapValues;

const ROWS: &str = "{\"id\": 1, \"sex\": \"M\"}\n{\"id\": 2, \"sex\": \"f\"}\n\
                    {\"id\": 3, \"sex\": \"?\"}\n{\"id\": 4, \"sex\": null}";

impl Relational for MapValues {
    type Config = Config;
    const NAME: &'static str = "map_values";
    const SUMMARY: &'static str = "Replace the values of a column by others.";
    const LAW: RowLaw = RowLaw::Each;
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "codes become words, others stay",
            config: r#"{"column": "sex", "mapping": {"M": "male", "F": "female"},
                        "ignore_case": true}"#,
            inputs: &[("rows", ROWS)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"sex\": \"male\"}\n{\"id\": 2, \"sex\": \"female\"}\n\
                 {\"id\": 3, \"sex\": \"?\"}\n{\"id\": 4, \"sex\": null}",
            )],
        },
        Example {
            title: "numbers for codes, and a default, in a new column",
            config: r#"{"column": "sex", "mapping": {"M": 1, "F": 2}, "default": 9,
                        "output": "sex_code"}"#,
            inputs: &[("rows", ROWS)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"sex\": \"M\", \"sex_code\": 1}\n\
                 {\"id\": 2, \"sex\": \"f\", \"sex_code\": 9}\n\
                 {\"id\": 3, \"sex\": \"?\", \"sex_code\": 9}\n\
                 {\"id\": 4, \"sex\": null, \"sex_code\": null}",
            )],
        },
        Example {
            title: "unknown codes are rejected",
            config: r#"{"column": "sex", "mapping": {"M": "male", "f": "female"},
                        "others": "reject"}"#,
            inputs: &[("rows", ROWS)],
            outputs: &[
                (
                    "out",
                    "{\"id\": 1, \"sex\": \"male\"}\n{\"id\": 2, \"sex\": \"female\"}\n\
                     {\"id\": 4, \"sex\": null}",
                ),
                (
                    "rejects",
                    "{\"_errors\": [{\"column\": \"sex\", \"value\": \"?\", \
                     \"reason\": \"is not in the mapping\"}], \
                     \"_record\": \"{\\\"id\\\":3,\\\"sex\\\":\\\"?\\\"}\"}",
                ),
            ],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let old_type = input.column(&config.column, "/column")?.data_type();
        if old_type.is_nested() {
            let needs = "only single values can be replaced";
            return Err(mismatch(&config.column, old_type, needs, "/column"));
        }
        let others = config.others(old_type)?;
        let output = config.output.as_deref().unwrap_or(&config.column);
        check_name(output, "/output")?;
        let mapped = (output.to_owned(), config.mapped(others, old_type)?);
        let items = with_columns(input, &[mapped]);
        if others != Others::Reject {
            return Ok(sql!("SELECT {} FROM {}", items, input)?.into());
        }
        let fault = Fault {
            failed: config.is_unknown(old_type)?,
            column: config.column.clone(),
            value: Expr::column(&config.column),
            reason: "is not in the mapping".to_owned(),
        };
        rejecting(items.0, &[fault], input, input)
    }
}

impl Config {
    fn others(&self, old_type: &DataType) -> Result<Others> {
        if self.mapping.is_empty() {
            return Err(invalid("/mapping", "the mapping is empty")
                .hint("add old and new values, as in `mapping: {M: male}`"));
        }
        if self.ignore_case && !is_text(old_type) {
            let needs = "only texts have capitals";
            return Err(mismatch(&self.column, old_type, needs, "/ignore_case"));
        }
        match (&self.default, self.others) {
            (Some(_), Some(_)) => {
                Err(invalid("/others", "there is both `default` and `others`")
                    .hint("keep one of them"))
            }
            (Some(_), None) => Ok(Others::Null),
            (None, others) => Ok(others.unwrap_or(Others::Keep)),
        }
    }

    /// Old values that stay need a column of their own type; otherwise new values decide.
    fn new_type(&self, others: Others, old_type: &DataType) -> DataType {
        if others == Others::Keep {
            return old_type.clone();
        }
        let values: Vec<&Value> = self
            .mapping
            .iter()
            .map(|(_, value)| value)
            .chain(&self.default)
            .filter(|value| !value.is_null())
            .collect();
        match () {
            () if values.iter().all(|value| value.is_boolean()) => DataType::Boolean,
            () if values.iter().all(|value| value.is_i64()) => DataType::Int64,
            () if values.iter().all(|value| value.is_number()) => DataType::Float64,
            () => DataType::Utf8View,
        }
    }

    fn subject(&self) -> Result<Expr> {
        match self.ignore_case {
            true => expr!("lower({})", Ident(&self.column)),
            false => Ok(Expr::column(&self.column)),
        }
    }

    fn key(&self, key: &str, old_type: &DataType) -> Result<Expr> {
        let path = format!("/mapping/{key}");
        match self.ignore_case {
            true => expr!("{}", Text(&key.to_lowercase())),
            false => literal(&Value::String(key.to_owned()), old_type, &path),
        }
    }

    fn mapped(&self, others: Others, old_type: &DataType) -> Result<Expr> {
        let new_type = self.new_type(others, old_type);
        let mut branches: Vec<Fragment> = Vec::new();
        for (old, new) in self.mapping.iter() {
            let value = literal(new, &new_type, &format!("/mapping/{old}"))?;
            branches.push(piece!("WHEN {} THEN {}", self.key(old, old_type)?, value));
        }
        let rest = match (&self.default, others) {
            (Some(default), _) => {
                let default = literal(default, &new_type, "/default")?;
                let column = Ident(&self.column);
                expr!("CASE WHEN {} IS NOT NULL THEN {} END", column, default)?
            }
            (None, Others::Keep) => Expr::column(&self.column),
            (None, Others::Null | Others::Reject) => null(&new_type)?,
        };
        expr!("CASE {} {} ELSE {} END", self.subject()?, Joined(branches, " "), rest)
    }

    fn is_unknown(&self, old_type: &DataType) -> Result<Expr> {
        let keys = self.mapping.names().map(|old| self.key(old, old_type));
        let keys = List(keys.collect::<Result<Vec<Expr>>>()?);
        expr!("{} NOT IN ({})", self.subject()?, keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn values_that_stay_keep_their_type() {
        assert_eq!(
            sql::<MapValues>(r#"{"column": "n", "mapping": {"99": null}}"#, &one("n: integer")),
            "SELECT CASE \"n\" WHEN 99 THEN CAST(NULL AS BIGINT) ELSE \"n\" END AS \"n\" \
             FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<MapValues>(config, &one("n: integer; t: string"));
        assert_eq!(
            refused(r#"{"column": "n", "mapping": {"a": 1}}"#),
            "/mapping/a: `a` is not of type integer"
        );
        assert_eq!(
            refused(r#"{"column": "n", "mapping": {"1": "one"}}"#),
            "/mapping/1: `one` is not of type integer"
        );
        assert_eq!(refused(r#"{"column": "n", "mapping": {}}"#), "/mapping: the mapping is empty");
        assert_eq!(
            refused(r#"{"column": "t", "mapping": {"a": "b"}, "default": "c", "others": "keep"}"#),
            "/others: there is both `default` and `others`"
        );
    }
}
