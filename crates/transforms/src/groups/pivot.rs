//! `pivot`: values of one column become columns.

use super::aggregate::{Aggregation, Function};
use crate::order::OrderBy;
use crate::projection::check_name;
use crate::settings::invalid;
use crate::values::{literal, mismatch, plain};
use contracts::settings::OneOrMany;
use contracts::sql::{Aliased, Fragment, Ident, List, Sql, ToFragment};
use contracts::{Example, Inputs, Relation, Relational};
use contracts::{expr, sql};
use model::{Result, lake_column_names};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// The first query: the values that occur.
const VALUES: &str = "values";

/// Settings of `pivot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that stay: one row comes out for each combination of their values.
    index: OneOrMany,
    /// The column whose values become columns. Rows without a value in it are left out.
    #[schemars(extend("x-widget" = "column"))]
    column: String,
    /// The column that fills the new columns; needed for all functions but `count`.
    #[serde(default)]
    #[schemars(extend("x-widget" = "column"))]
    value: Option<String>,
    /// What is computed where several rows meet.
    #[serde(default = "any")]
    function: Function,
    /// For `first`, `last`, `list` and `string_agg`: what comes first.
    #[serde(default)]
    order_by: OrderBy,
    /// The values that become columns: `[paid, open]`, or `{paid: amount_paid}` with the names of
    /// the columns. When left out, those that occur, looked up once for each run.
    #[serde(default)]
    values: Option<Values>,
    /// What is put before the names of columns that are made of values.
    #[serde(default)]
    prefix: String,
    /// What stands where no row is; null when left out.
    #[serde(default)]
    fill: Option<Value>,
    /// More different values than this are a mistake.
    #[serde(default = "values_max")]
    #[schemars(range(min = 1, max = 2000))]
    values_max: u64,
}

fn any() -> Function {
    Function::Any
}

fn values_max() -> u64 {
    200
}

/// Values, some with the name of their column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values(Vec<(Value, Option<String>)>);

/// The module.
pub struct Pivot;

const SALES: &str = "{\"city\": \"Nice\", \"month\": \"jan\", \"n\": 1}\n\
                     {\"city\": \"Nice\", \"month\": \"Feb 2\", \"n\": 2}\n\
                     {\"city\": \"Nice\", \"month\": \"jan\", \"n\": 4}\n\
                     {\"city\": \"Lyon\", \"month\": \"jan\", \"n\": 8}";

impl Relational for Pivot {
    type Config = Config;
    const NAME: &'static str = "pivot";
    const SUMMARY: &'static str = "Make columns of the values of a column.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a column for each month that occurs",
            config: r#"{"index": "city", "column": "month", "value": "n", "function": "sum",
                        "prefix": "n_"}"#,
            inputs: &[("rows", SALES)],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"n_feb_2\": 2, \"n_jan\": 5}\n\
                 {\"city\": \"Lyon\", \"n_feb_2\": null, \"n_jan\": 8}",
            )],
        },
        Example {
            title: "columns that are always there",
            config: r#"{"index": ["city"], "column": "month", "value": "n", "function": "max",
                        "values": {"jan": "january", "mar": "march"}, "fill": 0}"#,
            inputs: &[("rows", SALES)],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"january\": 4, \"march\": 0}\n\
                 {\"city\": \"Lyon\", \"january\": 8, \"march\": 0}",
            )],
        },
    ];

    fn facts(config: &Config, inputs: &Inputs) -> Result<Vec<(String, Sql)>> {
        if config.values.is_some() {
            return Ok(Vec::new());
        }
        let input = inputs.only()?;
        input.column(&config.column, "/column")?;
        let column = Ident(&config.column);
        let query = sql!(
            "SELECT array_agg(CAST(v AS VARCHAR) ORDER BY v) AS v FROM \
             (SELECT DISTINCT {} AS v FROM {} WHERE {} IS NOT NULL LIMIT {}) AS t",
            column,
            input,
            column,
            config.values_max.saturating_add(1)
        )?;
        Ok(vec![(VALUES.to_owned(), query)])
    }

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        for (at, name) in config.index.iter().enumerate() {
            input.column(name, &format!("/index/{at}"))?;
        }
        let field = input.column(&config.column, "/column")?;
        if field.data_type().is_nested() {
            let needs = "only single values can become columns";
            return Err(mismatch(&config.column, field.data_type(), needs, "/column"));
        }
        let aggregation = config.aggregation()?;
        let mut items: Vec<Fragment> =
            config.index.iter().map(|name| Ident(name).to_fragment()).collect();
        for (value, name) in config.columns(inputs)? {
            let wanted = literal(&value, field.data_type(), "/values")?;
            let only = expr!("{} = {}", Ident(&config.column), wanted)?;
            let cell = aggregation.expr(input, Some(&only), "")?;
            let cell = match &config.fill {
                None => cell,
                Some(fill) => expr!("coalesce({}, {})", cell, plain(fill, "/fill")?)?,
            };
            items.push(Aliased(cell, &name).to_fragment());
        }
        if items.is_empty() {
            return Err(invalid("/values", "there is no value that could become a column"));
        }
        let index = List(config.index.iter().map(Ident).collect());
        let query = match config.index.is_empty() {
            true => sql!("SELECT {} FROM {}", List(items), input)?,
            false => sql!("SELECT {} FROM {} GROUP BY {}", List(items), input, index)?,
        };
        Ok(query.into())
    }
}

impl Config {
    fn aggregation(&self) -> Result<Aggregation> {
        if self.value.is_none() && self.function != Function::Count {
            return Err(invalid("/value", "there is no column that fills the new columns")
                .hint("add `value:` with the name of a column, or `function: count`"));
        }
        if self.function == Function::Percentile {
            return Err(invalid("/function", "a pivot cannot compute percentiles")
                .hint("compute them with `aggregate`, then pivot the result"));
        }
        Ok(Aggregation {
            function: self.function,
            column: self.value.clone(),
            p: None,
            order_by: self.order_by.clone(),
            separator: None,
            condition: None,
        })
    }

    /// The values and the names of their columns.
    fn columns(&self, inputs: &Inputs) -> Result<Vec<(Value, String)>> {
        let given: Vec<(Value, Option<String>)> = match &self.values {
            Some(values) => values.0.clone(),
            None => match inputs.fact(VALUES)? {
                Value::Array(found) => found.iter().map(|value| (value.clone(), None)).collect(),
                // No row has a value.
                _ => Vec::new(),
            },
        };
        if given.len() as u64 > self.values_max {
            let fact = format!("`{}` has more than {} values", self.column, self.values_max);
            return Err(invalid("/column", fact)
                .arg("column", &self.column)
                .hint("list the wanted ones in `values`, or raise `values_max`"));
        }
        let texts = given.iter().map(|(value, name)| match (name, value) {
            (Some(name), _) => name.clone(),
            (None, Value::String(text)) => format!("{}{text}", self.prefix),
            (None, value) => format!("{}{value}", self.prefix),
        });
        // The columns that stay keep their names; new ones give way.
        let taken = self.index.iter().map(str::to_owned);
        let names = lake_column_names(&taken.chain(texts).collect::<Vec<_>>());
        let names = names.into_iter().skip(self.index.len());
        let mut columns = Vec::with_capacity(given.len());
        for ((value, name), lake_name) in given.into_iter().zip(names) {
            let name = name.unwrap_or(lake_name);
            check_name(&name, "/values")?;
            let is_taken = columns.iter().any(|(_, other)| *other == name);
            if is_taken || self.index.has(&name) {
                return Err(crate::projection::repeated(&name, "/values"));
            }
            columns.push((value, name));
        }
        Ok(columns)
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values, or a map of values and column names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element::<Value>()? {
            values.push((value, None));
        }
        Ok(Values(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some((value, name)) = map.next_entry::<String, String>()? {
            values.push((Value::String(value), Some(name)));
        }
        Ok(Values(values))
    }
}

impl JsonSchema for Values {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Values".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
                {"type": "object", "additionalProperties": {"type": "string"}}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};
    use serde_json::json;

    const COLUMNS: &str = "city: string; year: integer; n: integer";

    #[test]
    fn values_have_the_type_of_their_column() {
        let config =
            r#"{"index": "city", "column": "year", "function": "count", "values": [2025]}"#;
        assert_eq!(
            sql::<Pivot>(config, &one(COLUMNS)),
            "SELECT \"city\", count(*) FILTER (WHERE (\"year\" = 2025)) AS \"_2025\" \
             FROM \"rows\" GROUP BY \"city\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let mut inputs = one(COLUMNS);
        inputs.facts.insert(VALUES.to_owned(), json!(["1", "2", "3"]));
        let refused = |config| refused::<Pivot>(config, &inputs);
        assert_eq!(
            refused(r#"{"index": "city", "column": "year", "value": "n", "values_max": 2}"#),
            "/column: `year` has more than 2 values"
        );
        assert_eq!(
            refused(r#"{"index": "city", "column": "year"}"#),
            "/value: there is no column that fills the new columns"
        );
        assert_eq!(
            refused(r#"{"index": "city", "column": "year", "value": "n", "values": ["x"]}"#),
            "/values: `x` is not of type integer"
        );
    }
}
