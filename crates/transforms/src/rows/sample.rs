//! `sample`: keeps some of the rows, always the same ones.

use crate::projection::is_origin;
use crate::settings::invalid;
use contracts::arrow_types::ROW;
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Ident, List};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use contracts::{expr, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `sample`: either `fraction` or `rows`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The share of rows to keep, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    fraction: Option<f64>,
    /// How many rows to keep.
    rows: Option<u64>,
    /// Columns that decide: rows with the same values are kept or left out together. `_file` and
    /// `_row` when left out; all columns where there are none of these.
    keys: OneOrMany,
    /// Another number gives another choice of rows.
    seed: i64,
}

/// The module.
pub struct Sample;

impl Relational for Sample {
    type Config = Config;
    const NAME: &'static str = "sample";
    const SUMMARY: &'static str = "Keep some of the rows, always the same ones.";
    const LAW: RowLaw = RowLaw::AtMost;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "all rows of a share of the customers",
            config: r#"{"fraction": 1, "keys": "customer"}"#,
            inputs: &[("rows", "{\"customer\": 1}\n{\"customer\": 2}")],
            outputs: &[("out", "{\"customer\": 1}\n{\"customer\": 2}")],
        },
        Example {
            title: "so many rows",
            config: r#"{"rows": 2, "seed": 7}"#,
            inputs: &[("rows", "{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}")],
            outputs: &[("out", "{\"n\": 1}\n{\"n\": 1}")],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let keys = keys(config, input)?;
        let place = expr!("stable_sample({}, {})", List(keys.clone()), config.seed)?;
        let query = match (config.fraction, config.rows) {
            (Some(fraction), None) if (0.0..=1.0).contains(&fraction) => {
                sql!("SELECT * FROM {} WHERE {} < {}", input, place, fraction)?
            }
            (Some(fraction), None) => {
                return Err(invalid("/fraction", format!("`{fraction}` is not between 0 and 1"))
                    .hint("a tenth of the rows is `fraction: 0.1`"));
            }
            (None, Some(rows)) => {
                // Rows with the same place are told apart by what they hold, never by chance.
                let order = List(tie_breakers(input, keys));
                sql!("SELECT * FROM {} ORDER BY {}, {} LIMIT {}", input, place, order, rows)?
            }
            (Some(_), Some(_)) => {
                return Err(invalid("/rows", "there is both `fraction` and `rows`")
                    .hint("keep one of them"));
            }
            (None, None) => {
                return Err(invalid("/fraction", "it is not said how much to keep")
                    .hint("add `fraction: 0.1` or `rows: 1000`"));
            }
        };
        Ok(query.into())
    }
}

fn keys(config: &Config, input: &NamedInput) -> Result<Vec<Expr>> {
    for (at, name) in config.keys.iter().enumerate() {
        input.column(name, &format!("/keys/{at}"))?;
    }
    let mut names: Vec<&str> = config.keys.iter().collect();
    if names.is_empty() {
        let origin_only = input.has(ROW);
        names = input.columns().filter(|name| is_origin(name) || !origin_only).collect();
    }
    Ok(names.into_iter().map(Expr::column).collect())
}

fn tie_breakers(input: &NamedInput, keys: Vec<Expr>) -> Vec<Expr> {
    let sortable = input.schema.fields().iter().filter(|field| !field.data_type().is_nested());
    let others: Vec<Expr> = sortable
        .map(|field| Expr::column(Ident(field.name()).0))
        .filter(|column| !keys.contains(column))
        .collect();
    keys.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn the_origin_decides_where_there_is_one() {
        assert_eq!(
            sql::<Sample>(r#"{"fraction": 0.1, "seed": -3}"#, &one("a: integer; _row: integer")),
            "SELECT * FROM \"rows\" WHERE \
             stable_sample(\"_row\", (-3)) < CAST('0.1' AS DOUBLE)"
        );
        assert_eq!(
            sql::<Sample>(r#"{"rows": 9, "keys": "a"}"#, &one("a: integer; b: string")),
            "SELECT * FROM \"rows\" ORDER BY stable_sample(\"a\", 0), \"a\", \"b\" LIMIT 9"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<Sample>(config, &one("a: integer"));
        assert_eq!(refused("{}"), "/fraction: it is not said how much to keep");
        assert_eq!(refused(r#"{"fraction": 10}"#), "/fraction: `10` is not between 0 and 1");
        assert_eq!(refused(r#"{"rows": 1, "keys": "b"}"#), "/keys/0: `rows` has no column `b`");
    }
}
