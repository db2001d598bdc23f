//! `derive`: new columns from expressions.

use crate::expressions;
use crate::projection::{check_name, with_columns_of};
use crate::settings::{Ordered, invalid};
use contracts::sql;
use contracts::sql::{Expr, Ident, Sql};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `derive`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Expressions by the name of their column: `{total: "price * quantity"}`. A column that is
    /// there already is replaced. Later expressions may use earlier ones.
    #[schemars(extend("x-widget" = "expressions"))]
    columns: Ordered<String>,
}

/// The module.
pub struct Derive;

impl Relational for Derive {
    type Config = Config;
    const NAME: &'static str = "derive";
    const SUMMARY: &'static str = "Compute columns with SQL expressions.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a later column uses an earlier one",
            config: r#"{"columns": {"total": "price * quantity", "is_big": "total >= 100"}}"#,
            inputs: &[(
                "rows",
                "{\"price\": 60, \"quantity\": 2}\n{\"price\": 9, \"quantity\": 1}",
            )],
            outputs: &[(
                "out",
                "{\"price\": 60, \"quantity\": 2, \"total\": 120, \"is_big\": true}\n\
                 {\"price\": 9, \"quantity\": 1, \"total\": 9, \"is_big\": false}",
            )],
        },
        Example {
            title: "a column is replaced where it stands",
            config: r#"{"columns": {"name": "upper(name)"}}"#,
            inputs: &[("rows", r#"{"name": "ana", "age": 3}"#)],
            outputs: &[("out", r#"{"name": "ANA", "age": 3}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if config.columns.is_empty() {
            return Err(invalid("/columns", "there is no column to compute")
                .hint("add one, such as `total: price * quantity`"));
        }
        let layers = layers(config, input)?;
        let mut names: Vec<&str> = input.columns().collect();
        let mut query: Option<Sql> = None;
        for layer in &layers {
            let items = with_columns_of(&names, layer);
            query = Some(match query {
                None => sql!("SELECT {} FROM {}", items, input)?,
                Some(below) => sql!("SELECT {} FROM {} AS {}", items, below, Ident(&input.name))?,
            });
            for (name, _) in layer {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        match query {
            Some(query) => Ok(query.into()),
            None => Ok(sql!("SELECT * FROM {}", input)?.into()),
        }
    }
}

type Layer = Vec<(String, Expr)>;

/// Expressions that can stand in one SELECT: none uses another.
fn layers(config: &Config, input: &NamedInput) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = vec![Vec::new()];
    let mut earlier: Vec<&str> = Vec::new();
    for (name, text) in config.columns.iter() {
        let path = format!("/columns/{name}");
        check_name(name, &path)?;
        let expr = expressions::parse(text, input, &earlier, &path)?;
        let layer = layers.last_mut().expect("there is always a layer");
        let parts = expr.references();
        let uses = |column: &str| parts.iter().flatten().any(|part| part == column);
        let is_dependent =
            expr.has_own_names() || layer.iter().any(|(column, _)| uses(column.as_str()));
        match is_dependent && !layer.is_empty() {
            true => layers.push(vec![(name.to_owned(), expr)]),
            false => layer.push((name.to_owned(), expr)),
        }
        earlier.push(name);
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, problem, refused, sql};

    #[test]
    fn expressions_share_a_select_when_they_can() {
        let query = sql::<Derive>(
            r#"{"columns": {"b": "a + 1", "c": "a * 2", "d": "b + rows.c"}}"#,
            &one("a: integer"),
        );
        assert_eq!(
            query,
            "SELECT \"a\", \"b\", \"c\", b + rows.c AS \"d\" FROM \
             (SELECT \"a\", a + 1 AS \"b\", a * 2 AS \"c\" FROM \"rows\") AS \"rows\""
        );
    }

    #[test]
    fn an_unknown_column_is_answered_with_the_nearest() {
        let inputs = one("amount: integer");
        let problem = problem::<Derive>(r#"{"columns": {"x": "amout + 1"}}"#, &inputs);
        assert_eq!(problem.hint_text(), Some("did you mean `amount`?"));
        assert_eq!(problem.context().setting.as_deref(), Some("/columns/x"));
        let refused = |config| refused::<Derive>(config, &inputs);
        assert!(refused(r#"{"columns": {"x": "amount +"}}"#).starts_with("/columns/x: `amount +`"));
        assert_eq!(
            refused(r#"{"columns": {"_errors": "1"}}"#),
            "/columns/_errors: `_errors` is a column of the engine"
        );
    }
}
