//! `sql`: one SELECT over the inputs and the tables of the lake.

use crate::settings::invalid;
use contracts::sql;
use contracts::{Example, InputPorts, Inputs, Relation, Relational, Sql};
use model::{Result, TableName};
use schemars::JsonSchema;
use serde::Deserialize;

/// The name by which a query may read its only input, whatever the node is called.
const INPUT: &str = "input";

/// Settings of `sql`: either `query` or `query_file`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// One SELECT. It reads inputs by their node's name (the only one also as `input`), tables
    /// as `zone.table`, and values of the run as `$name`.
    #[schemars(extend("x-widget" = "sql"))]
    query: Option<String>,
    /// A file of the project with the SELECT.
    #[schemars(extend("x-widget" = "file"))]
    query_file: Option<String>,
}

/// The module.
pub struct SqlQuery;

impl Relational for SqlQuery {
    type Config = Config;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Run one SELECT over the inputs and the tables of the lake.";
    const INPUTS: InputPorts = InputPorts::Many { min: 0 };
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a sum for each city",
            config: r#"{"query": "select city, sum(n) as n from people group by city"}"#,
            inputs: &[(
                "people",
                "{\"city\": \"Nice\", \"n\": 1}\n{\"city\": \"Nice\", \"n\": 2}\n\
                 {\"city\": \"Lyon\", \"n\": 4}",
            )],
            outputs: &[("out", "{\"city\": \"Nice\", \"n\": 3}\n{\"city\": \"Lyon\", \"n\": 4}")],
        },
        Example {
            title: "two inputs",
            config: r#"{"query": "select a.id, b.name from a join b on a.id = b.id"}"#,
            inputs: &[
                ("a", "{\"id\": 1}\n{\"id\": 2}"),
                ("b", "{\"id\": 2, \"name\": \"two\"}\n{\"id\": 3, \"name\": \"three\"}"),
            ],
            outputs: &[("out", r#"{"id": 2, "name": "two"}"#)],
        },
        Example {
            title: "the only input is called `input` too",
            config: r#"{"query": "select count(*) as rows from input"}"#,
            inputs: &[("people", "{\"n\": 1}\n{\"n\": 2}")],
            outputs: &[("out", r#"{"rows": 2}"#)],
        },
    ];

    fn tables(config: &Config) -> Vec<TableName> {
        let query = text(config).and_then(Sql::parse);
        query.map(|query| query.tables()).unwrap_or_default()
    }

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let query = Sql::parse(text(config)?).map_err(|problem| problem.in_setting("/query"))?;
        let reads_input = query.relations().contains(&(None, INPUT.to_owned()));
        match inputs.list.as_slice() {
            [only] if reads_input && only.name != INPUT => {
                let query = sql!(
                    "WITH \"input\" AS (SELECT * FROM {}) SELECT * FROM {} AS t",
                    only,
                    query
                )?;
                Ok(query.into())
            }
            _ => Ok(query.into()),
        }
    }
}

fn text(config: &Config) -> Result<&str> {
    match (&config.query, &config.query_file) {
        // The project puts the text of the file into `query` before a module is built.
        (Some(query), _) => Ok(query),
        (None, Some(file)) => {
            Err(invalid("/query_file", format!("the query in `{file}` was not loaded"))
                .arg("file", file)
                .hint("check that the file is there, or write the text under `query:`"))
        }
        (None, None) => Err(invalid("/query", "there is no query")
            .hint("add `query:` with a SELECT, or `query_file:` with the path of a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn the_only_input_has_two_names() {
        let inputs = one("a: integer");
        assert_eq!(
            sql::<SqlQuery>(r#"{"query": "select a from rows"}"#, &inputs),
            "SELECT a FROM rows"
        );
        assert_eq!(
            sql::<SqlQuery>(r#"{"query": "select a from input"}"#, &inputs),
            "WITH \"input\" AS (SELECT * FROM \"rows\") SELECT * FROM (SELECT a FROM input) AS t"
        );
    }

    #[test]
    fn only_a_loaded_select_is_taken() {
        let refused = |config| refused::<SqlQuery>(config, &one("a: integer"));
        assert_eq!(
            refused(r#"{"query_file": "sql/a.sql"}"#),
            "/query_file: the query in `sql/a.sql` was not loaded"
        );
        assert_eq!(refused("{}"), "/query: there is no query");
        assert_eq!(
            refused(r#"{"query": "delete from rows"}"#),
            "/query: the statement is not a SELECT"
        );
    }
}
