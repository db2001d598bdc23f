//! `lookup`: adds columns of at most one row of a table.

use super::keys;
use crate::order::OrderBy;
use crate::projection::{check_name, is_origin};
use crate::rejecting::{Fault, rejecting};
use crate::settings::{Ordered, Pairs, invalid};
use crate::values::literal;
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, Sql, ToFragment};
use contracts::{Example, InputPorts, Inputs, NamedInput, Relation, Relational, RowLaw};
use contracts::{expr, piece, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Settings of `lookup`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns by which a row finds its match: `[id]`, or `{input_name: table_name}`.
    on: Pairs,
    /// Columns to take: `[label]`, or `{table_name: new_name}`; all others of the table when
    /// left out.
    #[serde(default)]
    columns: Pairs,
    /// Values for rows without a match, by the name of the new column; null when left out.
    #[serde(default)]
    default: Ordered<Value>,
    /// What happens to a row without a match.
    #[serde(default)]
    on_miss: OnMiss,
    /// What happens to a row with several matches.
    #[serde(default)]
    on_many: OnMany,
    /// For `on_many: first` and `last`: the order of the table; `_file` and `_row` when left out.
    #[serde(default)]
    order_by: OrderBy,
}

/// What happens to a row without a match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMiss {
    /// It stays, with the values of `default`.
    #[default]
    Keep,
    /// It is rejected.
    Reject,
}

/// What happens to a row with several matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMany {
    /// It is rejected.
    #[default]
    Reject,
    /// It gets the first one.
    First,
    /// It gets the last one.
    Last,
}

/// The module.
pub struct Lookup;

const MATCHES: &str = "#matches";

impl Relational for Lookup {
    type Config = Config;
    const NAME: &'static str = "lookup";
    const SUMMARY: &'static str = "Add columns of the one row of a table that matches.";
    const INPUTS: InputPorts = InputPorts::Named(&["input", "table"]);
    const LAW: RowLaw = RowLaw::Each;
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "names of countries, with a default",
            config: r#"{"on": {"country": "code"}, "columns": {"label": "country_name"},
                        "default": {"country_name": "unknown"}}"#,
            inputs: &[
                ("input", "{\"n\": 1, \"country\": \"FR\"}\n{\"n\": 2, \"country\": \"XX\"}"),
                (
                    "table",
                    "{\"code\": \"FR\", \"label\": \"France\"}\n\
                           {\"code\": \"IT\", \"label\": \"Italy\"}",
                ),
            ],
            outputs: &[(
                "out",
                "{\"n\": 1, \"country\": \"FR\", \"country_name\": \"France\"}\n\
                 {\"n\": 2, \"country\": \"XX\", \"country_name\": \"unknown\"}",
            )],
        },
        Example {
            title: "rows without a match and with several are rejected",
            config: r#"{"on": "code", "on_miss": "reject"}"#,
            inputs: &[
                ("input", "{\"code\": \"a\"}\n{\"code\": \"b\"}\n{\"code\": \"c\"}"),
                (
                    "table",
                    "{\"code\": \"a\", \"label\": \"A\"}\n{\"code\": \"b\", \"label\": \"B\"}\n\
                           {\"code\": \"b\", \"label\": \"BB\"}",
                ),
            ],
            outputs: &[
                ("out", r#"{"code": "a", "label": "A"}"#),
                (
                    "rejects",
                    "{\"_errors\": [{\"column\": \"code\", \"value\": \"b\", \
                     \"reason\": \"has several matches in `table`\"}], \
                     \"_record\": \"{\\\"code\\\":\\\"b\\\"}\"}\n\
                     {\"_errors\": [{\"column\": \"code\", \"value\": \"c\", \
                     \"reason\": \"has no match in `table`\"}], \
                     \"_record\": \"{\\\"code\\\":\\\"c\\\"}\"}",
                ),
            ],
        },
        Example {
            title: "the newest price of each item",
            config: r#"{"on": "item", "columns": "price", "on_many": "last", "order_by": "day"}"#,
            inputs: &[
                ("input", r#"{"item": "pen"}"#),
                (
                    "table",
                    "{\"item\": \"pen\", \"day\": 2, \"price\": 5}\n\
                           {\"item\": \"pen\", \"day\": 1, \"price\": 4}",
                ),
            ],
            outputs: &[("out", r#"{"item": "pen", "price": 5}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let (input, table) = (inputs.role("input")?, inputs.role("table")?);
        keys::check(&config.on, input, table)?;
        let taken = taken(config, input, table)?;
        let faults = faults(config, &table.name)?;
        let input_columns = input.columns().map(|name| piece!("\"input\".{}", Ident(name)));
        let mut items: Vec<Fragment> = input_columns.collect();
        items.extend(new_columns(config, table, &taken)?);
        if !faults.is_empty() {
            items.push(piece!("\"table\".{}", Ident(MATCHES)));
        }
        let query = sql!(
            "SELECT {} FROM {} AS \"input\" LEFT JOIN {} AS \"table\" ON {}",
            List(items),
            input,
            one_for_each_key(config, table, &taken)?,
            keys::condition(&config.on, "input", "table")?
        )?;
        if faults.is_empty() {
            return Ok(query.into());
        }
        let names = input.columns().chain(taken.iter().map(|(_, new)| new.as_str()));
        let items = names.map(|name| Ident(name).to_fragment()).collect();
        rejecting(items, &faults, &query, input)
    }
}

/// (table column, new name) of what is taken.
fn taken(config: &Config, input: &NamedInput, table: &NamedInput) -> Result<Vec<(String, String)>> {
    let mut taken: Vec<(String, String)> = config.columns.0.clone();
    if taken.is_empty() {
        let is_key = |name: &str| config.on.iter().any(|(_, key)| key == name);
        let others = table.columns().filter(|name| !is_key(name) && !is_origin(name));
        taken = others.map(|name| (name.to_owned(), name.to_owned())).collect();
    }
    for (at, (name, new)) in taken.iter().enumerate() {
        let path = format!("/columns/{name}");
        table.column(name, &path)?;
        check_name(new, &path)?;
        if input.has(new) || taken[..at].iter().any(|(_, other)| other == new) {
            return Err(invalid(&path, format!("there is a column `{new}` already"))
                .arg("column", new)
                .hint(format!("give it another name, as in `columns: {{{name}: {name}_2}}`")));
        }
    }
    for (name, _) in config.default.iter() {
        if taken.iter().all(|(_, new)| new != name) {
            let path = format!("/default/{name}");
            return Err(invalid(&path, format!("`{name}` is not one of the new columns"))
                .hint("defaults go by the names of the new columns"));
        }
    }
    Ok(taken)
}

fn new_columns(
    config: &Config,
    table: &NamedInput,
    taken: &[(String, String)],
) -> Result<Vec<Fragment>> {
    let mut items = Vec::with_capacity(taken.len());
    for (name, new) in taken {
        let path = format!("/default/{new}");
        let found = expr!("\"table\".{}", Ident(name))?;
        items.push(match config.default.get(new) {
            None => Aliased(found, new).to_fragment(),
            Some(value) => {
                let data_type = table.column(name, &path)?.data_type();
                let value = literal(value, data_type, &path)?;
                let expr = expr!(
                    "CASE WHEN \"table\".{} IS NULL THEN {} ELSE {} END",
                    Ident(MATCHES),
                    value,
                    found
                )?;
                Aliased(expr, new).to_fragment()
            }
        });
    }
    Ok(items)
}

fn faults(config: &Config, table: &str) -> Result<Vec<Fault>> {
    let names: Vec<&str> = config.on.iter().map(|(name, _)| name).collect();
    let column = names.join(", ");
    let value = match names.as_slice() {
        [name] => Expr::column(name),
        _ => {
            let texts = names.iter().map(|name| piece!("CAST({} AS VARCHAR)", Ident(name)));
            expr!("concat_ws(', ', {})", List(texts.collect::<Vec<_>>()))?
        }
    };
    let fault = |failed: Expr, fact: &str| Fault {
        failed,
        column: column.clone(),
        value: value.clone(),
        reason: format!("{fact} in `{table}`"),
    };
    let mut faults = Vec::new();
    if config.on_miss == OnMiss::Reject {
        faults.push(fault(expr!("{} IS NULL", Ident(MATCHES))?, "has no match"));
    }
    if config.on_many == OnMany::Reject {
        let several = expr!("{} > 1", Ident(MATCHES))?;
        faults.push(fault(several, "has several matches"));
    }
    Ok(faults)
}

/// The table with one row for each key, and the number of matches it stands for.
fn one_for_each_key(
    config: &Config,
    table: &NamedInput,
    taken: &[(String, String)],
) -> Result<Sql> {
    let mut keys: Vec<&str> = Vec::new();
    for (_, name) in config.on.iter() {
        if !keys.contains(&name) {
            keys.push(name);
        }
    }
    let mut others: Vec<&str> = Vec::new();
    for (name, _) in taken {
        if !keys.contains(&name.as_str()) && !others.contains(&name.as_str()) {
            others.push(name);
        }
    }
    let keys = List(keys.into_iter().map(Ident).collect());
    if config.on_many == OnMany::Reject {
        let first = |name: &&str| piece!("first_value({}) AS {}", Ident(name), Ident(name));
        let items: Vec<Fragment> = keys.0.iter().map(ToFragment::to_fragment).collect();
        let items = items.into_iter().chain(others.iter().map(first));
        return sql!(
            "SELECT {}, count(*) AS {} FROM {} GROUP BY {}",
            List(items.collect()),
            Ident(MATCHES),
            table,
            keys
        );
    }
    let order = config.order_by.needed(table, "/order_by")?;
    let order = List(match config.on_many {
        OnMany::Last => order.into_iter().map(|sort| sort.reversed()).collect(),
        _ => order,
    });
    sql!(
        "SELECT *, 1 AS {} FROM (SELECT DISTINCT ON ({}) * FROM {} ORDER BY {}, {}) AS t",
        Ident(MATCHES),
        keys,
        table,
        keys,
        order
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{named, refused, sql};

    fn inputs() -> Inputs {
        named(&[("input", "id: integer; name: string"), ("table", "id: integer; name: string")])
    }

    #[test]
    fn the_first_match_needs_no_rejects() {
        assert_eq!(
            sql::<Lookup>(
                r#"{"on": "id", "columns": {"name": "label"}, "on_many": "first",
                    "order_by": "name", "default": {"label": "none"}}"#,
                &inputs()
            ),
            "SELECT \"input\".\"id\", \"input\".\"name\", \
             CASE WHEN \"table\".\"#matches\" IS NULL THEN 'none' ELSE \"table\".\"name\" END \
             AS \"label\" FROM \"input_rows\" AS \"input\" LEFT JOIN \
             (SELECT *, 1 AS \"#matches\" FROM (SELECT DISTINCT ON (\"id\") * FROM \"table_rows\" \
             ORDER BY \"id\", \"name\" NULLS LAST) AS t) AS \"table\" \
             ON (\"input\".\"id\" = \"table\".\"id\")"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<Lookup>(config, &inputs());
        assert_eq!(refused(r#"{"on": "id"}"#), "/columns/name: there is a column `name` already");
        assert_eq!(
            refused(r#"{"on": "id", "columns": {"name": "label"}, "default": {"name": "x"}}"#),
            "/default/name: `name` is not one of the new columns"
        );
        assert_eq!(
            refused(r#"{"on": {"name": "id"}, "columns": {"name": "label"}}"#),
            "/on/name: `name` is of type string, `id` of type integer: they cannot be compared"
        );
    }
}
