//! `limit`: keeps the first rows, of all or of each group.

use crate::order::OrderBy;
use crate::projection::all_but;
use contracts::settings::OneOrMany;
use contracts::sql;
use contracts::sql::{Ident, List};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `limit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many rows to keep.
    #[schemars(range(min = 1))]
    rows: u64,
    /// How many rows to pass over first.
    #[serde(default)]
    skip: u64,
    /// What comes first; `_file` and `_row` when left out.
    #[serde(default)]
    order_by: OrderBy,
    /// Columns that form groups: the first rows of each group are kept.
    #[serde(default)]
    per: OneOrMany,
}

/// The module.
pub struct Limit;

impl Relational for Limit {
    type Config = Config;
    const NAME: &'static str = "limit";
    const SUMMARY: &'static str = "Keep the first rows, of all or of each group.";
    const LAW: RowLaw = RowLaw::AtMost;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "the second row only",
            config: r#"{"rows": 1, "skip": 1, "order_by": "n"}"#,
            inputs: &[("rows", "{\"n\": 3}\n{\"n\": 1}\n{\"n\": 2}")],
            outputs: &[("out", r#"{"n": 2}"#)],
        },
        Example {
            title: "the best seller of each shop",
            config: r#"{"rows": 1, "order_by": "sold desc", "per": "shop"}"#,
            inputs: &[(
                "rows",
                "{\"shop\": \"a\", \"item\": \"pen\", \"sold\": 3}\n\
                 {\"shop\": \"a\", \"item\": \"ink\", \"sold\": 9}\n\
                 {\"shop\": \"b\", \"item\": \"pen\", \"sold\": 1}",
            )],
            outputs: &[(
                "out",
                "{\"shop\": \"a\", \"item\": \"ink\", \"sold\": 9}\n\
                 {\"shop\": \"b\", \"item\": \"pen\", \"sold\": 1}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let order = List(config.order_by.needed(input, "/order_by")?);
        if !config.per.is_empty() {
            return per_group(config, input, &order);
        }
        let (rows, skip) = (config.rows, config.skip);
        let query = match skip {
            0 => sql!("SELECT * FROM {} ORDER BY {} LIMIT {}", input, order, rows)?,
            _ => sql!("SELECT * FROM {} ORDER BY {} LIMIT {} OFFSET {}", input, order, rows, skip)?,
        };
        Ok(query.into())
    }
}

fn per_group(
    config: &Config,
    input: &NamedInput,
    order: &List<crate::order::Sort>,
) -> Result<Relation> {
    for (at, name) in config.per.iter().enumerate() {
        input.column(name, &format!("/per/{at}"))?;
    }
    let query = sql!(
        "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY {} ORDER BY {}) AS \"#place\" \
         FROM {}) AS t WHERE \"#place\" > {} AND \"#place\" <= {}",
        all_but(input, &[]),
        List(config.per.iter().map(Ident).collect()),
        order,
        input,
        config.skip,
        config.skip.saturating_add(config.rows)
    )?;
    Ok(query.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn the_first_rows_are_those_of_the_file() {
        assert_eq!(
            sql::<Limit>(r#"{"rows": 5}"#, &one("a: integer; _file: string; _row: integer")),
            r#"SELECT * FROM "rows" ORDER BY "_file" NULLS LAST, "_row" NULLS LAST LIMIT 5"#
        );
        let refused = |config| refused::<Limit>(config, &one("a: integer"));
        assert_eq!(refused(r#"{"rows": 5}"#), "/order_by: the rows of `rows` have no order");
        assert_eq!(
            refused(r#"{"rows": 5, "order_by": "a", "per": "b"}"#),
            "/per/0: `rows` has no column `b`"
        );
    }
}
