//! `unpivot`: columns become rows.

use crate::projection::{check_distinct, check_name, is_origin};
use crate::settings::invalid;
use crate::values::{cast, common_type, type_name};
use arrow::datatypes::DataType;
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Fragment, Ident, List, Text};
use contracts::{Example, Inputs, NamedInput, Relation, Relational};
use contracts::{piece, sql};
use model::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `unpivot`: `columns`, or `keep`, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that become rows; all that are not in `keep` when left out.
    #[serde(default)]
    columns: OneOrMany,
    /// Columns that stay; all that are not in `columns` when left out. `_file` and `_row` stay by
    /// themselves.
    #[serde(default)]
    keep: OneOrMany,
    /// Name of the column with the name.
    #[serde(default = "name_column")]
    name_column: String,
    /// Name of the column with the value.
    #[serde(default = "value_column")]
    value_column: String,
    /// Whether values become texts; without it all columns must have types that go together.
    #[serde(default)]
    as_text: bool,
    /// Whether rows without a value are left out.
    #[serde(default)]
    drop_nulls: bool,
}

fn name_column() -> String {
    "name".to_owned()
}

fn value_column() -> String {
    "value".to_owned()
}

/// The module.
pub struct Unpivot;

impl Relational for Unpivot {
    type Config = Config;
    const NAME: &'static str = "unpivot";
    const SUMMARY: &'static str = "Make rows of columns: one for each name and value.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a row for each month",
            config: r#"{"keep": "city", "name_column": "month", "value_column": "sales",
                        "drop_nulls": true}"#,
            inputs: &[(
                "rows",
                "{\"city\": \"Nice\", \"jan\": 1, \"feb\": 2.5}\n\
                 {\"city\": \"Lyon\", \"jan\": 3, \"feb\": null}",
            )],
            outputs: &[(
                "out",
                "{\"city\": \"Nice\", \"month\": \"jan\", \"sales\": 1.0}\n\
                 {\"city\": \"Nice\", \"month\": \"feb\", \"sales\": 2.5}\n\
                 {\"city\": \"Lyon\", \"month\": \"jan\", \"sales\": 3.0}",
            )],
        },
        Example {
            title: "values of different types as texts",
            config: r#"{"columns": ["name", "age"], "name_column": "field", "as_text": true}"#,
            inputs: &[("rows", r#"{"id": 1, "name": "Ana", "age": 30}"#)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"field\": \"name\", \"value\": \"Ana\"}\n\
                 {\"id\": 1, \"field\": \"age\", \"value\": \"30\"}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let (columns, keep) = chosen(config, input)?;
        let data_type = match config.as_text {
            true => DataType::Utf8View,
            false => value_type(&columns, input)?,
        };
        for (name, setting) in
            [(&config.name_column, "/name_column"), (&config.value_column, "/value_column")]
        {
            check_name(name, setting)?;
        }
        let new = [config.name_column.as_str(), config.value_column.as_str()];
        check_distinct(keep.iter().copied().chain(new), "/name_column")?;
        let mut pairs: Vec<Fragment> = Vec::with_capacity(columns.len());
        for name in &columns {
            let own_type = input.column(name, "/columns")?.data_type();
            let value = match *own_type == data_type {
                true => Expr::column(name),
                false => cast(&Expr::column(name), &data_type)?,
            };
            pairs.push(piece!("named_struct('name', {}, 'value', {})", Text(name), value));
        }
        let mut kept: Vec<Fragment> = keep.iter().map(|name| piece!("{}", Ident(name))).collect();
        let mut outer = kept.clone();
        kept.push(piece!("unnest(make_array({})) AS \"#pair\"", List(pairs)));
        outer.push(piece!("get_field(\"#pair\", 'name') AS {}", Ident(&config.name_column)));
        outer.push(piece!("get_field(\"#pair\", 'value') AS {}", Ident(&config.value_column)));
        let query =
            sql!("SELECT {} FROM (SELECT {} FROM {}) AS t", List(outer), List(kept), input)?;
        if !config.drop_nulls {
            return Ok(query.into());
        }
        let value = Ident(&config.value_column);
        Ok(sql!("SELECT * FROM {} AS t WHERE {} IS NOT NULL", query, value)?.into())
    }
}

/// The columns that become rows, and those that stay.
fn chosen<'a>(config: &'a Config, input: &'a NamedInput) -> Result<(Vec<&'a str>, Vec<&'a str>)> {
    for (setting, columns) in [("columns", &config.columns), ("keep", &config.keep)] {
        for (at, name) in columns.iter().enumerate() {
            input.column(name, &format!("/{setting}/{at}"))?;
        }
    }
    if let Some(name) = config.columns.iter().find(|name| config.keep.has(name)) {
        return Err(invalid("/keep", format!("`{name}` is in `columns` too"))
            .hint("take it out of one of them"));
    }
    let stays = |name: &str| match (config.columns.is_empty(), config.keep.is_empty()) {
        (true, _) => config.keep.has(name) || is_origin(name),
        (false, true) => !config.columns.has(name),
        (false, false) => config.keep.has(name) || (is_origin(name) && !config.columns.has(name)),
    };
    let keep: Vec<&str> = input.columns().filter(|name| stays(name)).collect();
    let columns: Vec<&str> = match config.columns.is_empty() {
        true => input.columns().filter(|name| !stays(name)).collect(),
        false => config.columns.iter().collect(),
    };
    if columns.is_empty() || (config.columns.is_empty() && config.keep.is_empty()) {
        return Err(invalid("/columns", "it is not said which columns become rows")
            .hint("list them in `columns`, or those that stay in `keep`"));
    }
    Ok((columns, keep))
}

fn value_type(columns: &[&str], input: &NamedInput) -> Result<DataType> {
    let mut found: Option<(&str, DataType)> = None;
    for name in columns {
        let own_type = input.column(name, "/columns")?.data_type();
        found = Some(match found {
            None => (name, own_type.clone()),
            Some((first, known)) => match common_type(&known, own_type) {
                Some(common) => (first, common),
                None => {
                    let fact = format!(
                        "`{first}` is of type {}, `{name}` of type {}: they do not fit in one \
                         column",
                        type_name(&known),
                        type_name(own_type)
                    );
                    return Err(Problem::new(&codes::TYPE_MISMATCH, fact)
                        .arg("column", name)
                        .in_setting("/columns")
                        .hint("add `as_text: true`, or cast them before"));
                }
            },
        });
    }
    Ok(found.map_or(DataType::Utf8View, |(_, data_type)| data_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn the_origin_stays() {
        assert_eq!(
            sql::<Unpivot>(r#"{"keep": "a"}"#, &one("a: string; b: integer; _row: integer")),
            "SELECT \"a\", \"_row\", get_field(\"#pair\", 'name') AS \"name\", \
             get_field(\"#pair\", 'value') AS \"value\" FROM (SELECT \"a\", \"_row\", \
             unnest(make_array(named_struct('name', 'b', 'value', \"b\"))) AS \"#pair\" \
             FROM \"rows\") AS t"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<Unpivot>(config, &one("a: string; b: integer"));
        assert_eq!(refused("{}"), "/columns: it is not said which columns become rows");
        assert_eq!(
            refused(r#"{"columns": ["a", "b"]}"#),
            "/columns: `a` is of type string, `b` of type integer: they do not fit in one column"
        );
        assert_eq!(
            refused(r#"{"keep": "a", "value_column": "a"}"#),
            "/name_column: two columns of the result are called `a`"
        );
    }
}
