//! `json_extract`: values out of JSON texts become columns.

use crate::projection::{all_but, check_name, is_origin, with_columns_of};
use crate::rejecting::{Fault, rejecting};
use crate::settings::{Ordered, ShortOr, invalid};
use crate::values::{is_text, mismatch};
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, Text, ToFragment};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw, Sql};
use contracts::{expr, sql};
use model::{DataType, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `json_extract`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column with the JSON text.
    #[schemars(extend("x-widget" = "column"))]
    column: String,
    /// Paths by the name of their column: `{city: $.address.city}`, or
    /// `{age: {path: $.age, type: integer}}`. What a text lacks is null.
    columns: Ordered<ShortOr<Extraction>>,
    /// What happens to a row whose text is not JSON, or has a value that is not of the type.
    #[serde(default)]
    on_error: OnError,
    /// Whether the column with the JSON text stays.
    #[serde(default = "yes")]
    keep: bool,
}

/// A value in a JSON text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extraction {
    /// Where it is: `$.address.city`, `items[0].price`, `$["first name"]`.
    path: String,
    /// Its type.
    #[serde(rename = "type", default = "string")]
    data_type: DataType,
    /// For dates, times and timestamps: how they are written; ISO 8601 when left out.
    #[serde(default)]
    format: Option<String>,
    /// For timestamps without an offset: their time zone; that of the project when left out.
    #[serde(default)]
    zone: Option<String>,
}

fn string() -> DataType {
    DataType::String
}

fn yes() -> bool {
    true
}

/// What happens to a row with a value that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is rejected.
    #[default]
    Reject,
    /// The value becomes null.
    Null,
}

/// The module.
pub struct JsonExtract;

impl Relational for JsonExtract {
    type Config = Config;
    const NAME: &'static str = "json_extract";
    const SUMMARY: &'static str = "Take values out of a JSON text.";
    const LAW: RowLaw = RowLaw::Each;
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "texts, a number and a date",
            config: r#"{"column": "body", "keep": false, "columns": {
                "city": "$.address.city",
                "first_item": "$.items[0]",
                "total": {"path": "total", "type": "decimal(8,2)"},
                "day": {"path": "day", "type": "date", "format": "%d/%m/%Y"}}}"#,
            inputs: &[(
                "rows",
                "{\"id\": 1, \"body\": \"{\\\"address\\\": {\\\"city\\\": \\\"Nice\\\"}, \
                 \\\"items\\\": [\\\"pen\\\"], \\\"total\\\": 12.5, \
                 \\\"day\\\": \\\"31/01/2026\\\"}\"}\n\
                 {\"id\": 2, \"body\": \"{}\"}",
            )],
            outputs: &[(
                "out",
                "{\"#types\": {\"total\": \"decimal(8,2)\", \"day\": \"date\"}}\n\
                 {\"id\": 1, \"city\": \"Nice\", \"first_item\": \"pen\", \"total\": \"12.50\", \
                 \"day\": \"2026-01-31\"}\n\
                 {\"id\": 2, \"city\": null, \"first_item\": null, \"total\": null, \
                 \"day\": null}",
            )],
        },
        Example {
            title: "what cannot be read is rejected",
            config: r#"{"column": "body", "keep": false,
                        "columns": {"n": {"path": "n", "type": "integer"}}}"#,
            inputs: &[(
                "rows",
                "{\"body\": \"{\\\"n\\\": 1}\"}\n{\"body\": \"{\\\"n\\\": \\\"one\\\"}\"}\n\
                 {\"body\": \"{\"}\n{\"body\": null}",
            )],
            outputs: &[
                ("out", "{\"n\": 1}\n{\"n\": null}"),
                (
                    "rejects",
                    "{\"_errors\": [{\"column\": \"n\", \"value\": \"one\", \
                     \"reason\": \"is not of type integer\"}]}\n\
                     {\"_errors\": [{\"column\": \"body\", \"value\": \"{\", \
                     \"reason\": \"is not JSON\"}]}",
                ),
            ],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let data_type = input.column(&config.column, "/column")?.data_type();
        if !is_text(data_type) {
            let needs = "only texts can be JSON";
            return Err(mismatch(&config.column, data_type, needs, "/column"));
        }
        if config.columns.is_empty() {
            return Err(invalid("/columns", "there is nothing to take out")
                .hint("add one, such as `city: $.address.city`"));
        }
        let wanted = config.wanted(&inputs.time_zone)?;
        let stays = |name: &&str| config.keep || *name != config.column;
        let names: Vec<&str> = input.columns().filter(stays).collect();
        let new: Vec<(String, Expr)> =
            wanted.iter().map(|value| (value.name.clone(), value.typed.clone())).collect();
        let inner = raw_values(config, &wanted, input)?;
        let items = with_columns_of(&names, &new);
        if config.on_error == OnError::Null {
            return Ok(sql!("SELECT {} FROM {} AS t", items, inner)?.into());
        }
        let mut faults = vec![Fault {
            failed: expr!(
                "{} IS NOT NULL AND try_json({}) IS NULL",
                Ident(&config.column),
                Ident(&config.column)
            )?,
            column: config.column.clone(),
            value: Expr::column(&config.column),
            reason: "is not JSON".to_owned(),
        }];
        for value in wanted.iter().filter(|value| value.can_fail) {
            faults.push(Fault {
                failed: expr!("{} IS NOT NULL AND {} IS NULL", Ident(&value.raw), value.typed)?,
                column: value.name.clone(),
                value: Expr::column(&value.raw),
                reason: format!("is not of type {}", value.type_name),
            });
        }
        rejecting(items.0, &faults, &inner, input)
    }
}

/// A value on its way out.
struct Wanted {
    name: String,
    path: String,
    /// The column that holds it as text.
    raw: String,
    /// It as a value of its type.
    typed: Expr,
    type_name: String,
    can_fail: bool,
}

/// The input with the values as texts, each taken out once.
fn raw_values(config: &Config, wanted: &[Wanted], input: &NamedInput) -> Result<Sql> {
    let mut raw: Vec<Fragment> =
        all_but(input, &[]).0.iter().map(ToFragment::to_fragment).collect();
    for value in wanted {
        let call = match value.type_name.as_str() {
            "json" => expr!("json_get_json({}, {})", Ident(&config.column), Text(&value.path))?,
            _ => expr!("json_get({}, {})", Ident(&config.column), Text(&value.path))?,
        };
        raw.push(Aliased(call, &value.raw).to_fragment());
    }
    sql!("SELECT {} FROM {}", List(raw), input)
}

impl Config {
    fn wanted(&self, time_zone: &str) -> Result<Vec<Wanted>> {
        let mut wanted = Vec::new();
        for (at, (name, given)) in self.columns.iter().enumerate() {
            let setting = format!("/columns/{name}");
            check_name(name, &setting)?;
            if is_origin(name) {
                return Err(invalid(&setting, format!("`{name}` says where a row came from"))
                    .hint("choose another name"));
            }
            let extraction = match given {
                ShortOr::Long(extraction) => extraction.clone(),
                ShortOr::Short(path) => Extraction {
                    path: path.clone(),
                    data_type: DataType::String,
                    format: None,
                    zone: None,
                },
            };
            let raw = format!("#raw {at}");
            wanted.push(Wanted {
                name: name.to_owned(),
                path: extraction.path.clone(),
                typed: extraction.typed(&raw, time_zone, &setting)?,
                raw,
                type_name: extraction.data_type.to_string(),
                can_fail: !matches!(extraction.data_type, DataType::String | DataType::Json),
            });
        }
        Ok(wanted)
    }
}

impl Extraction {
    fn typed(&self, raw: &str, time_zone: &str, setting: &str) -> Result<Expr> {
        let raw = Ident(raw);
        let has_format =
            matches!(self.data_type, DataType::Date | DataType::Time | DataType::Timestamp);
        if self.format.is_some() && !has_format {
            let path = format!("{setting}/format");
            return Err(invalid(&path, format!("a {} has no format", self.data_type)));
        }
        if self.zone.is_some() && self.data_type != DataType::Timestamp {
            let path = format!("{setting}/zone");
            return Err(invalid(&path, format!("a {} has no time zone", self.data_type)));
        }
        let format = self.format.as_deref();
        match &self.data_type {
            DataType::String | DataType::Json => expr!("{}", raw),
            DataType::Integer => expr!("try_integer({})", raw),
            DataType::Decimal(precision, scale) => {
                expr!("try_decimal({}, {}, {})", raw, i64::from(*precision), i64::from(*scale))
            }
            DataType::Float => expr!("try_float({})", raw),
            DataType::Boolean => expr!("try_boolean({})", raw),
            DataType::Uuid => expr!("try_uuid({})", raw),
            DataType::Date => match format {
                Some(format) => expr!("try_date({}, {})", raw, Text(format)),
                None => expr!("try_date({})", raw),
            },
            DataType::Time => match format {
                Some(format) => expr!("try_time({}, {})", raw, Text(format)),
                None => expr!("try_time({})", raw),
            },
            DataType::Timestamp => {
                let zone = Text(self.zone.as_deref().unwrap_or(time_zone));
                match format {
                    Some(format) => expr!("try_timestamp({}, {}, {})", raw, Text(format), zone),
                    None => expr!("try_timestamp({}, NULL, {})", raw, zone),
                }
            }
            other => {
                let path = format!("{setting}/type");
                Err(invalid(&path, format!("a value of type {other} cannot be taken out"))
                    .hint("take it out as `json`, and go on with `explode` or another path"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn a_value_is_looked_up_once() {
        let query = sql::<JsonExtract>(
            r#"{"column": "a", "on_error": "null",
                "columns": {"n": {"path": "x.n", "type": "integer"}, "a": "b"}}"#,
            &one("a: json"),
        );
        assert_eq!(
            query,
            "SELECT \"#raw 1\" AS \"a\", try_integer(\"#raw 0\") AS \"n\" FROM \
             (SELECT \"a\", json_get(\"a\", 'x.n') AS \"#raw 0\", \
             json_get(\"a\", 'b') AS \"#raw 1\" FROM \"rows\") AS t"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<JsonExtract>(config, &one("a: string; n: integer"));
        assert_eq!(
            refused(r#"{"column": "n", "columns": {"x": "y"}}"#),
            "/column: `n` is of type integer, but only texts can be JSON"
        );
        assert_eq!(
            refused(r#"{"column": "a", "columns": {"x": {"path": "y", "type": "list<string>"}}}"#),
            "/columns/x/type: a value of type list<string> cannot be taken out"
        );
        assert_eq!(
            refused(r#"{"column": "a", "columns": {"x": {"path": "y", "format": "%Y"}}}"#),
            "/columns/x/format: a string has no format"
        );
    }
}
