//! `fill_missing`: puts values where there are none.

use crate::order::OrderBy;
use crate::projection::with_columns;
use crate::settings::{Ordered, ShortOr, invalid};
use crate::values::{cast, is_number, is_text, literal, mismatch};
use arrow::datatypes::DataType;
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Fragment, Ident, List, Sql};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use contracts::{expr, piece, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Settings of `fill_missing`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How each column is filled: `mean`, `median`, `mode`, `forward`, `backward`, or
    /// `{value: 0}`.
    columns: Ordered<ShortOr<Constant>>,
    /// For `forward` and `backward`: columns that form groups; values do not leave their group.
    #[serde(default)]
    partition_by: OneOrMany,
    /// For `forward` and `backward`: the order of the rows; `_file` and `_row` when left out.
    #[serde(default)]
    order_by: OrderBy,
    /// Whether empty texts are missing too.
    #[serde(default)]
    empty_is_missing: bool,
}

/// The same value everywhere.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The value.
    value: Value,
}

/// How a column is filled.
#[derive(Debug, Clone, PartialEq)]
enum Strategy<'a> {
    Constant(&'a Value),
    Mean,
    Median,
    Mode,
    Forward,
    Backward,
}

const STRATEGIES: &[(&str, Strategy<'static>)] = &[
    ("mean", Strategy::Mean),
    ("median", Strategy::Median),
    ("mode", Strategy::Mode),
    ("forward", Strategy::Forward),
    ("backward", Strategy::Backward),
];

/// The module.
pub struct FillMissing;

impl Relational for FillMissing {
    type Config = Config;
    const NAME: &'static str = "fill_missing";
    const SUMMARY: &'static str = "Put values where there are none.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a constant and three statistics",
            config: r#"{"columns": {"city": {"value": "unknown"}, "n": "mean", "m": "median",
                                    "kind": "mode"}, "empty_is_missing": true}"#,
            inputs: &[(
                "rows",
                "{\"city\": \"Nice\", \"n\": 1, \"m\": 1.5, \"kind\": \"a\"}\n\
                 {\"city\": \"\", \"n\": 4, \"m\": 2.5, \"kind\": \"b\"}\n\
                 {\"city\": null, \"n\": null, \"m\": null, \"kind\": null}\n\
                 {\"city\": \"Pau\", \"n\": 2, \"m\": 9.5, \"kind\": \"b\"}",
            )],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"n\": 1, \"m\": 1.5, \"kind\": \"a\"}\n\
                 {\"city\": \"unknown\", \"n\": 4, \"m\": 2.5, \"kind\": \"b\"}\n\
                 {\"city\": \"unknown\", \"n\": 2, \"m\": 2.5, \"kind\": \"b\"}\n\
                 {\"city\": \"Pau\", \"n\": 2, \"m\": 9.5, \"kind\": \"b\"}",
            )],
        },
        Example {
            title: "the value before, and the value after, of the same sensor",
            config: r#"{"columns": {"a": "forward", "b": "backward"}, "partition_by": "sensor",
                        "order_by": "t"}"#,
            inputs: &[(
                "rows",
                "{\"sensor\": 1, \"t\": 1, \"a\": 5, \"b\": null}\n\
                 {\"sensor\": 1, \"t\": 2, \"a\": null, \"b\": 7}\n\
                 {\"sensor\": 2, \"t\": 1, \"a\": null, \"b\": null}",
            )],
            outputs: &[(
                "out",
                "{\"sensor\": 1, \"t\": 1, \"a\": 5, \"b\": 7}\n\
                 {\"sensor\": 1, \"t\": 2, \"a\": 5, \"b\": 7}\n\
                 {\"sensor\": 2, \"t\": 1, \"a\": null, \"b\": null}",
            )],
        },
    ];

    fn facts(config: &Config, inputs: &Inputs) -> Result<Vec<(String, Sql)>> {
        let input = inputs.only()?;
        let mut facts = Vec::new();
        for (name, given) in config.columns.iter() {
            let path = format!("/columns/{name}");
            let data_type = input.column(name, &path)?.data_type();
            let strategy = strategy(given, &path)?;
            let value = config.present(name, data_type)?;
            let query = match strategy {
                Strategy::Mean | Strategy::Median => {
                    if !is_number(data_type) {
                        let needs = "this strategy is for numbers";
                        return Err(mismatch(name, data_type, needs, &path));
                    }
                    let statistic = statistic(&strategy, &value, data_type)?;
                    sql!("SELECT {} AS v FROM {}", statistic, input)?
                }
                Strategy::Mode => sql!(
                    "SELECT {} AS v FROM {} WHERE {} IS NOT NULL GROUP BY {} \
                     ORDER BY count(*) DESC, {} LIMIT 1",
                    value,
                    input,
                    value,
                    value,
                    value
                )?,
                _ => continue,
            };
            facts.push((name.to_owned(), query));
        }
        Ok(facts)
    }

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        for (at, name) in config.partition_by.iter().enumerate() {
            input.column(name, &format!("/partition_by/{at}"))?;
        }
        if config.columns.is_empty() {
            return Err(invalid("/columns", "there is no column to fill")
                .hint("add one, such as `amount: {value: 0}`"));
        }
        let mut new = Vec::new();
        for (name, given) in config.columns.iter() {
            let path = format!("/columns/{name}");
            let data_type = input.column(name, &path)?.data_type();
            let value = config.present(name, data_type)?;
            let filled = match strategy(given, &path)? {
                Strategy::Constant(Value::Null) => {
                    return Err(invalid(&path, "null is not a value to fill with"));
                }
                Strategy::Constant(constant) => {
                    let constant = literal(constant, data_type, &format!("{path}/value"))?;
                    expr!("coalesce({}, {})", value, constant)?
                }
                Strategy::Forward => config.forward(&value, input)?,
                Strategy::Backward => config.backward(&value, input)?,
                // All values are missing where the fact is null: nothing can be put there.
                Strategy::Mean | Strategy::Median | Strategy::Mode => {
                    let found = literal(inputs.fact(name)?, data_type, &path)?;
                    expr!("coalesce({}, {})", value, found)?
                }
            };
            new.push((name.to_owned(), filled));
        }
        Ok(sql!("SELECT {} FROM {}", with_columns(input, &new), input)?.into())
    }
}

fn strategy<'a>(given: &'a ShortOr<Constant>, path: &str) -> Result<Strategy<'a>> {
    let name = match given {
        ShortOr::Long(constant) => return Ok(Strategy::Constant(&constant.value)),
        ShortOr::Short(name) => name,
    };
    match STRATEGIES.iter().find(|(known, _)| known == name) {
        Some((_, strategy)) => Ok(strategy.clone()),
        None => {
            let known: Vec<&str> = STRATEGIES.iter().map(|(known, _)| *known).collect();
            Err(invalid(path, format!("`{name}` is not a way to fill a column")).hint(format!(
                "choose {}, or `{{value: {name}}}` for a constant",
                known.join(", ")
            )))
        }
    }
}

/// Mean or median, as a value of the column's own type.
fn statistic(strategy: &Strategy, value: &Expr, data_type: &DataType) -> Result<Expr> {
    let number = match data_type {
        DataType::Float64 => value.clone(),
        _ => expr!("CAST({} AS DOUBLE)", value)?,
    };
    let found = match (strategy, data_type) {
        // Decimals are added up exactly.
        (Strategy::Mean, DataType::Decimal128(_, _)) => expr!("avg({})", value)?,
        (Strategy::Mean, _) => expr!("avg({})", number)?,
        _ => expr!("median({})", number)?,
    };
    match data_type {
        DataType::Float64 => Ok(found),
        DataType::Decimal128(_, _) => cast(&found, data_type),
        _ => cast(&expr!("round({})", found)?, data_type),
    }
}

impl Config {
    /// The column where it has a value, otherwise null.
    fn present(&self, name: &str, data_type: &DataType) -> Result<Expr> {
        match self.empty_is_missing && is_text(data_type) {
            true => expr!("nullif({}, '')", Ident(name)),
            false => Ok(Expr::column(name)),
        }
    }

    fn forward(&self, value: &Expr, input: &NamedInput) -> Result<Expr> {
        expr!(
            "last_value({}) IGNORE NULLS OVER \
             ({} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
            value,
            self.window(input)?
        )
    }

    fn backward(&self, value: &Expr, input: &NamedInput) -> Result<Expr> {
        expr!(
            "first_value({}) IGNORE NULLS OVER \
             ({} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
            value,
            self.window(input)?
        )
    }

    fn window(&self, input: &NamedInput) -> Result<Fragment> {
        let order = List(self.order_by.needed(input, "/order_by")?);
        let groups: Vec<Ident> = self.partition_by.iter().map(Ident).collect();
        Ok(match groups.is_empty() {
            true => piece!("ORDER BY {}", order),
            false => piece!("PARTITION BY {} ORDER BY {}", List(groups), order),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};
    use serde_json::json;

    const COLUMNS: &str = "a: string; n: integer; d: decimal(8,2)";

    #[test]
    fn facts_have_the_type_of_their_column() {
        let mut inputs = one(COLUMNS);
        let config = json!({"columns": {"d": "mean", "n": "median", "a": {"value": "?"}}});
        let config: Config = serde_json::from_value(config).unwrap();
        let facts = FillMissing::facts(&config, &inputs).unwrap();
        let queries: Vec<String> = facts.iter().map(|(_, query)| query.to_string()).collect();
        assert_eq!(
            queries,
            [
                "SELECT arrow_cast(avg(\"d\"), 'Decimal128(8, 2)') AS v FROM \"rows\"",
                "SELECT CAST(round(median(CAST(\"n\" AS DOUBLE))) AS BIGINT) AS v FROM \"rows\""
            ]
        );
        inputs.facts.insert("d".to_owned(), json!("1.50"));
        inputs.facts.insert("n".to_owned(), Value::Null);
        let query = FillMissing::query(&config, &inputs).unwrap().sql.to_string();
        assert_eq!(
            query,
            "SELECT coalesce(\"a\", '?') AS \"a\", coalesce(\"n\", CAST(NULL AS BIGINT)) AS \"n\", \
             coalesce(\"d\", arrow_cast('1.50', 'Decimal128(8, 2)')) AS \"d\" FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<FillMissing>(config, &one(COLUMNS));
        assert_eq!(
            refused(r#"{"columns": {"a": "nearest"}}"#),
            "/columns/a: `nearest` is not a way to fill a column"
        );
        assert_eq!(
            refused(r#"{"columns": {"n": {"value": "x"}}}"#),
            "/columns/n/value: `x` is not of type integer"
        );
        assert_eq!(
            refused(r#"{"columns": {"n": "forward"}}"#),
            "/order_by: the rows of `rows` have no order"
        );
        let mean: Config = serde_json::from_value(json!({"columns": {"a": "mean"}})).unwrap();
        let problem = FillMissing::facts(&mean, &one(COLUMNS)).unwrap_err();
        assert_eq!(problem.message(), "`a` is of type string, but this strategy is for numbers");
        assert!(
            sql::<FillMissing>(r#"{"columns": {"a": {"value": 1}}}"#, &one(COLUMNS))
                .contains("coalesce(\"a\", '1')")
        );
    }
}
