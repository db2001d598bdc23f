//! `deduplicate`: keeps one row of those with the same key.

use crate::order::OrderBy;
use crate::projection::{all_but, check_distinct, is_origin};
use crate::settings::invalid;
use crate::values::is_text;
use contracts::arrow_types::ROW;
use contracts::expr;
use contracts::settings::OneOrMany;
use contracts::sql;
use contracts::sql::{Expr, Ident, List};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `deduplicate`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Columns that make rows the same; all but `_file` and `_row` when left out. Rows without
    /// a key are the same as each other.
    keys: OneOrMany,
    /// Which row is kept.
    keep: Keep,
    /// What comes first and last; `_file` and `_row` when left out.
    order_by: OrderBy,
    /// Whether keys that differ in capitals only are the same.
    ignore_case: bool,
}

/// Which of several rows is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
    /// None: only rows whose key occurs once stay.
    None,
}

/// The module.
pub struct Deduplicate;

impl Relational for Deduplicate {
    type Config = Config;
    const NAME: &'static str = "deduplicate";
    const SUMMARY: &'static str = "Keep one row of those with the same key.";
    const LAW: RowLaw = RowLaw::AtMost;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "the newest version of each order",
            config: r#"{"keys": ["id"], "keep": "last", "order_by": "changed"}"#,
            inputs: &[(
                "rows",
                "{\"id\": 1, \"changed\": 10, \"state\": \"new\"}\n\
                 {\"id\": 1, \"changed\": 20, \"state\": \"paid\"}\n\
                 {\"id\": 2, \"changed\": 5, \"state\": \"new\"}",
            )],
            outputs: &[(
                "out",
                "{\"id\": 1, \"changed\": 20, \"state\": \"paid\"}\n\
                 {\"id\": 2, \"changed\": 5, \"state\": \"new\"}",
            )],
        },
        Example {
            title: "the first by file and line, whatever the capitals",
            config: r#"{"keys": "mail", "ignore_case": true}"#,
            inputs: &[(
                "rows",
                "{\"_file\": \"a.csv\", \"_row\": 3, \"mail\": \"ANA@x.fr\"}\n\
                 {\"_file\": \"a.csv\", \"_row\": 2, \"mail\": \"ana@x.fr\"}",
            )],
            outputs: &[("out", r#"{"_file": "a.csv", "_row": 2, "mail": "ana@x.fr"}"#)],
        },
        Example {
            title: "only keys that occur once",
            config: r#"{"keys": ["id"], "keep": "none"}"#,
            inputs: &[("rows", "{\"id\": 1}\n{\"id\": 1}\n{\"id\": 2}")],
            outputs: &[("out", r#"{"id": 2}"#)],
        },
        Example {
            title: "rows that are the same in all columns",
            config: "{}",
            inputs: &[("rows", "{\"id\": 1, \"a\": \"x\"}\n{\"id\": 1, \"a\": \"x\"}")],
            outputs: &[("out", r#"{"id": 1, "a": "x"}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let keys = keys(config, input)?;
        if config.keep == Keep::None {
            return unique_only(input, &keys);
        }
        let whole_row = config.keys.is_empty() && !config.ignore_case;
        if whole_row && config.order_by.is_empty() && !input.has(ROW) {
            return Ok(sql!("SELECT DISTINCT * FROM {}", input)?.into());
        }
        let order = config.order_by.needed(input, "/order_by")?;
        let order = List(match config.keep {
            Keep::Last => order.into_iter().map(|sort| sort.reversed()).collect(),
            _ => order,
        });
        let query =
            sql!("SELECT DISTINCT ON ({}) * FROM {} ORDER BY {}, {}", keys, input, keys, order)?;
        Ok(query.into())
    }
}

fn keys(config: &Config, input: &NamedInput) -> Result<List<Expr>> {
    check_distinct(config.keys.iter(), "/keys")?;
    let names: Vec<&str> = match config.keys.is_empty() {
        true => input.columns().filter(|name| !is_origin(name)).collect(),
        false => config.keys.iter().collect(),
    };
    if names.is_empty() {
        return Err(invalid("/keys", format!("`{}` has only its origin columns", input.name)));
    }
    let mut keys = Vec::with_capacity(names.len());
    for (at, name) in names.into_iter().enumerate() {
        let field = input.column(name, &format!("/keys/{at}"))?;
        keys.push(match config.ignore_case && is_text(field.data_type()) {
            true => expr!("lower({})", Ident(name))?,
            false => Expr::column(name),
        });
    }
    Ok(List(keys))
}

fn unique_only(input: &NamedInput, keys: &List<Expr>) -> Result<Relation> {
    let query = sql!(
        "SELECT {} FROM (SELECT *, count(*) OVER (PARTITION BY {}) AS \"#copies\" FROM {}) AS t \
         WHERE \"#copies\" = 1",
        all_but(input, &[]),
        keys,
        input
    )?;
    Ok(query.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, problem, refused, sql};

    #[test]
    fn the_last_row_is_the_first_in_reverse() {
        let inputs = one("id: integer; day: date; _file: string; _row: integer");
        assert_eq!(
            sql::<Deduplicate>(r#"{"keys": ["id"], "keep": "last"}"#, &inputs),
            "SELECT DISTINCT ON (\"id\") * FROM \"rows\" ORDER BY \"id\", \
             \"_file\" DESC NULLS LAST, \"_row\" DESC NULLS LAST"
        );
        let config = r#"{"keys": "id", "order_by": [{"column": "day", "nulls": "first"}]}"#;
        assert_eq!(
            sql::<Deduplicate>(config, &inputs),
            "SELECT DISTINCT ON (\"id\") * FROM \"rows\" ORDER BY \"id\", \
             \"day\" NULLS FIRST, \"_file\" NULLS LAST, \"_row\" NULLS LAST"
        );
    }

    #[test]
    fn rows_without_an_order_need_one() {
        let problem = problem::<Deduplicate>(r#"{"keys": "id"}"#, &one("id: integer"));
        assert_eq!(problem.message(), "the rows of `rows` have no order");
        assert!(problem.hint_text().unwrap().starts_with("add `order_by:`"));
        assert_eq!(
            refused::<Deduplicate>(r#"{"keys": "idd"}"#, &one("id: integer")),
            "/keys/0: `rows` has no column `idd`"
        );
    }
}
