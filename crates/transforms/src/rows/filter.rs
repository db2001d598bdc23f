//! `filter`: keeps the rows that meet a condition.

use crate::conditions::{Condition, Group, Logic};
use crate::expressions;
use crate::settings::invalid;
use contracts::sql;
use contracts::{Example, Inputs, Relation, Relational, RowLaw};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `filter`: either `where` or `conditions`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The condition as a SQL expression. Rows for which it is null are left out.
    #[serde(rename = "where")]
    #[schemars(extend("x-widget" = "expression"))]
    expression: Option<String>,
    /// The condition as a list: `{column: amount, operator: ">", value: 0}`.
    #[schemars(extend("x-widget" = "conditions"))]
    conditions: Vec<Condition>,
    /// Whether all conditions must hold, or one of them.
    logic: Logic,
}

/// The module.
pub struct Filter;

impl Relational for Filter {
    type Config = Config;
    const NAME: &'static str = "filter";
    const SUMMARY: &'static str = "Keep the rows that meet a condition.";
    const LAW: RowLaw = RowLaw::AtMost;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a SQL expression",
            config: r#"{"where": "amount > 10 and status <> 'void'"}"#,
            inputs: &[(
                "rows",
                "{\"amount\": 5, \"status\": \"paid\"}\n{\"amount\": 50, \"status\": \"paid\"}\n\
                 {\"amount\": 60, \"status\": \"void\"}",
            )],
            outputs: &[("out", r#"{"amount": 50, "status": "paid"}"#)],
        },
        Example {
            title: "conditions, one of which must hold",
            config: r#"{"logic": "or", "conditions": [
                {"column": "city", "operator": "in", "value": ["Nice", "Lyon"]},
                {"column": "amount", "operator": ">=", "value": 100},
                {"logic": "and", "conditions": [
                    {"column": "city", "operator": "starts_with", "value": "Par"},
                    {"column": "amount", "operator": "is not null"}]}]}"#,
            inputs: &[(
                "rows",
                "{\"city\": \"Nice\", \"amount\": 1}\n{\"city\": \"Lille\", \"amount\": 100}\n\
                 {\"city\": \"Paris\", \"amount\": null}\n{\"city\": \"Paris\", \"amount\": 2}",
            )],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"amount\": 1}\n{\"city\": \"Lille\", \"amount\": 100}\n\
                 {\"city\": \"Paris\", \"amount\": 2}",
            )],
        },
        Example {
            title: "rows without a value are not equal to a value",
            config: r#"{"conditions": [{"column": "status", "operator": "!=", "value": "void"}]}"#,
            inputs: &[("rows", "{\"n\": 1, \"status\": \"void\"}\n{\"n\": 2, \"status\": null}")],
            outputs: &[("out", r#"{"n": 2, "status": null}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let condition = match (&config.expression, config.conditions.is_empty()) {
            (Some(text), true) => expressions::parse(text, input, &[], "/where")?,
            (None, false) => {
                let conditions = config.conditions.clone();
                Group { conditions, logic: config.logic }.expr(input, "")?
            }
            (Some(_), false) => {
                return Err(invalid("/where", "there is both `where` and `conditions`")
                    .hint("keep one of them"));
            }
            (None, true) => {
                return Err(invalid("/where", "there is no condition")
                    .hint("add `where:` with an expression such as `amount > 0`"));
            }
        };
        Ok(sql!("SELECT * FROM {} WHERE {}", input, condition)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    const COLUMNS: &str = "city: string; amount: decimal(12,2); day: date";

    #[test]
    fn values_get_the_type_of_their_column() {
        let query = sql::<Filter>(
            r#"{"conditions": [
                {"column": "city", "operator": "==", "value": "L'Haÿ"},
                {"column": "amount", "operator": "not in", "value": [1, "2.50"]},
                {"column": "day", "operator": "<", "value": "$day"}]}"#,
            &one(COLUMNS),
        );
        assert_eq!(
            query,
            "SELECT * FROM \"rows\" WHERE ((\"city\" = 'L''Haÿ') AND (\"amount\" NOT IN \
             (arrow_cast('1', 'Decimal128(12, 2)'), arrow_cast('2.50', 'Decimal128(12, 2)')) OR \
             \"amount\" IS NULL) AND (\"day\" < $day))"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<Filter>(config, &one(COLUMNS));
        assert_eq!(refused("{}"), "/where: there is no condition");
        assert_eq!(
            refused(
                r#"{"conditions": [{"column": "day", "operator": "=", "value": "31/01/2026"}]}"#
            ),
            "/conditions/0/value: `31/01/2026` is not of type date"
        );
        assert_eq!(
            refused(r#"{"conditions": [{"column": "day", "operator": "contains", "value": "1"}]}"#),
            "/conditions/0: `\"day\"` is of type date, but this operator is for texts"
        );
        assert_eq!(
            refused(r#"{"conditions": [{"conditions": [{"column": "town", "operator": "="}]}]}"#),
            "/conditions/0/conditions/0/column: `rows` has no column `town`"
        );
        assert_eq!(
            refused(r#"{"conditions": [{"column": "city", "operator": "="}]}"#),
            "/conditions/0/value: the condition has no value"
        );
    }
}
