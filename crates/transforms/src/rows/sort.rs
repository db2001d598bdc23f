//! `sort`: puts rows in order.

use crate::order::OrderBy;
use crate::settings::invalid;
use contracts::sql;
use contracts::sql::List;
use contracts::{Example, Inputs, Relation, Relational, RowLaw};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `sort`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns to sort by: `day`, `amount desc`, or
    /// `{column: amount, descending: true, nulls: first}`.
    order_by: OrderBy,
}

/// The module.
pub struct Sort;

impl Relational for Sort {
    type Config = Config;
    const NAME: &'static str = "sort";
    const SUMMARY: &'static str = "Put rows in order.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "great amounts first",
            config: r#"{"order_by": ["amount desc", "name"]}"#,
            inputs: &[(
                "rows",
                "{\"name\": \"b\", \"amount\": 1}\n{\"name\": \"c\", \"amount\": null}\n\
                 {\"name\": \"a\", \"amount\": 1}\n{\"name\": \"d\", \"amount\": 2}",
            )],
            outputs: &[(
                "out",
                "{\"name\": \"d\", \"amount\": 2}\n{\"name\": \"a\", \"amount\": 1}\n\
                 {\"name\": \"b\", \"amount\": 1}\n{\"name\": \"c\", \"amount\": null}",
            )],
        },
        Example {
            title: "missing values first",
            config: r#"{"order_by": {"column": "n", "nulls": "first"}}"#,
            inputs: &[("rows", "{\"n\": 2}\n{\"n\": null}\n{\"n\": 1}")],
            outputs: &[("out", "{\"n\": null}\n{\"n\": 1}\n{\"n\": 2}")],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if config.order_by.is_empty() {
            return Err(invalid("/order_by", "there is no column to sort by"));
        }
        let order = List(config.order_by.with_origin(input, "/order_by")?);
        Ok(sql!("SELECT * FROM {} ORDER BY {}", input, order)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn rows_that_are_alike_keep_the_order_of_their_origin() {
        assert_eq!(
            sql::<Sort>(r#"{"order_by": "a DESC"}"#, &one("a: integer; _row: integer")),
            r#"SELECT * FROM "rows" ORDER BY "a" DESC NULLS LAST, "_row" NULLS LAST"#
        );
        let refused = |config| refused::<Sort>(config, &one("a: integer"));
        assert_eq!(refused(r#"{"order_by": []}"#), "/order_by: there is no column to sort by");
        assert_eq!(refused(r#"{"order_by": ["a", "b"]}"#), "/order_by/1: `rows` has no column `b`");
        assert!(
            refused(r#"{"order_by": [{"column": "a", "decending": true}]}"#).contains("decending")
        );
    }
}
