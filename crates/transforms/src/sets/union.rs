//! `union`: rows of several inputs one after the other, columns matched by name.

use crate::projection::{check_name, is_origin};
use crate::settings::invalid;
use crate::values::{cast, common_type, null, type_name};
use arrow::datatypes::DataType;
use contracts::sql;
use contracts::sql::{Aliased, Expr, Fragment, Ident, Joined, List, Text, ToFragment};
use contracts::{Example, InputPorts, Inputs, NamedInput, Relation, Relational};
use contracts::{expr, piece};
use model::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `union`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether rows that are the same in all columns but `_file` and `_row` come out once.
    distinct: bool,
    /// Name of a new column that says which input a row came from.
    input_column: Option<String>,
}

/// The module.
pub struct Union;

impl Relational for Union {
    type Config = Config;
    const NAME: &'static str = "union";
    const SUMMARY: &'static str = "Put the rows of several inputs together, columns by name.";
    const INPUTS: InputPorts = InputPorts::Many { min: 1 };
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a column that an input lacks is null there",
            config: r#"{"input_column": "shop"}"#,
            inputs: &[
                ("nice", r#"{"id": 1, "amount": 5}"#),
                ("lyon", r#"{"amount": 7.5, "id": 2, "note": "x"}"#),
            ],
            outputs: &[(
                "out",
                "{\"id\": 1, \"amount\": 5.0, \"note\": null, \"shop\": \"nice\"}\n\
                 {\"id\": 2, \"amount\": 7.5, \"note\": \"x\", \"shop\": \"lyon\"}",
            )],
        },
        Example {
            title: "each row once",
            config: r#"{"distinct": true}"#,
            inputs: &[("a", "{\"id\": 1}\n{\"id\": 2}"), ("b", "{\"id\": 2}\n{\"id\": 3}")],
            outputs: &[("out", "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}")],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let columns = columns(&inputs.list)?;
        if let Some(name) = &config.input_column {
            check_name(name, "/input_column")?;
            if columns.iter().any(|(column, _)| column == name) {
                return Err(invalid(
                    "/input_column",
                    format!("there is a column `{name}` already"),
                )
                .hint("choose another name"));
            }
        }
        let mut selects = Vec::with_capacity(inputs.list.len());
        for input in &inputs.list {
            let mut items = items(input, &columns)?;
            if let Some(name) = &config.input_column {
                items.push(Aliased(expr!("{}", Text(&input.name))?, name).to_fragment());
            }
            selects.push(piece!("SELECT {} FROM {}", List(items), input));
        }
        let query = sql!("{}", Joined(selects, " UNION ALL "))?;
        if !config.distinct {
            return Ok(query.into());
        }
        let mut keys: Vec<Ident> = Vec::new();
        let mut origin: Vec<Ident> = Vec::new();
        for (name, _) in &columns {
            let list = if is_origin(name) { &mut origin } else { &mut keys };
            list.push(Ident(name));
        }
        keys.extend(config.input_column.as_deref().map(Ident));
        let query = match origin.is_empty() || keys.is_empty() {
            true => sql!("SELECT DISTINCT * FROM {} AS t", query)?,
            false => sql!(
                "SELECT DISTINCT ON ({}) * FROM {} AS t ORDER BY {}, {}",
                List(keys.clone()),
                query,
                List(keys),
                List(origin)
            )?,
        };
        Ok(query.into())
    }
}

/// All columns in the order in which they are first seen, with the type that fits all inputs.
fn columns(inputs: &[NamedInput]) -> Result<Vec<(String, DataType)>> {
    let mut columns: Vec<(String, DataType)> = Vec::new();
    for input in inputs {
        for field in input.schema.fields() {
            let (name, data_type) = (field.name(), field.data_type());
            match columns.iter_mut().find(|(known, _)| known == name) {
                None => columns.push((name.clone(), data_type.clone())),
                Some((_, known)) => {
                    *known = common_type(known, data_type)
                        .ok_or_else(|| clash(input, name, known, data_type))?;
                }
            }
        }
    }
    Ok(columns)
}

fn clash(input: &NamedInput, name: &str, known: &DataType, found: &DataType) -> Problem {
    let fact = format!(
        "`{name}` is of type {} in `{}`, but of type {} before",
        type_name(found),
        input.name,
        type_name(known)
    );
    Problem::new(&codes::TYPE_MISMATCH, fact)
        .arg("column", name)
        .arg("input", &input.name)
        .hint("give the column the same type everywhere with a `cast` node before this one")
}

fn items(input: &NamedInput, columns: &[(String, DataType)]) -> Result<Vec<Fragment>> {
    let mut items = Vec::with_capacity(columns.len() + 1);
    for (name, data_type) in columns {
        items.push(match input.schema.field_with_name(name) {
            Ok(field) if field.data_type() == data_type => Ident(name).to_fragment(),
            Ok(_) => Aliased(cast(&Expr::column(name), data_type)?, name).to_fragment(),
            Err(_) => Aliased(null(data_type)?, name).to_fragment(),
        });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{input, problem, sql};

    fn inputs(columns: &[(&str, &str)]) -> Inputs {
        let list = columns.iter().map(|(name, columns)| input(name, columns)).collect();
        Inputs { list, ..Inputs::default() }
    }

    #[test]
    fn columns_meet_by_name() {
        let inputs = inputs(&[("a", "x: decimal(5,2); _row: integer"), ("b", "x: integer")]);
        assert_eq!(
            sql::<Union>(r#"{"distinct": true}"#, &inputs),
            "SELECT DISTINCT ON (\"x\") * FROM \
             (SELECT arrow_cast(\"x\", 'Decimal128(21, 2)') AS \"x\", \"_row\" FROM \"a\" \
             UNION ALL SELECT arrow_cast(\"x\", 'Decimal128(21, 2)') AS \"x\", \
             CAST(NULL AS BIGINT) AS \"_row\" FROM \"b\") AS t ORDER BY \"x\", \"_row\""
        );
    }

    #[test]
    fn texts_and_numbers_do_not_mix() {
        let problem = problem::<Union>("{}", &inputs(&[("a", "x: string"), ("b", "x: integer")]));
        assert_eq!(problem.message(), "`x` is of type integer in `b`, but of type string before");
    }
}
