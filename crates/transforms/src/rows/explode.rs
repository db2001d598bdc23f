//! `explode`: one row for each item of a list.

use crate::projection::{check_name, with_columns};
use crate::settings::invalid;
use crate::values::{is_text, mismatch, null};
use arrow::datatypes::DataType;
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, Text, ToFragment};
use contracts::{Example, Inputs, NamedInput, Relation, Relational};
use contracts::{expr, sql};
use model::{Problem, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `explode`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column: a list, or a text with items between which `delimiter` stands.
    #[schemars(extend("x-widget" = "column"))]
    column: String,
    /// What stands between the items of a text. Blanks around items are cut off.
    #[serde(default)]
    delimiter: Option<String>,
    /// Name of the column with the item; it replaces the list when left out.
    #[serde(default, rename = "as")]
    item: Option<String>,
    /// Name of a column with the item's place in the list, from 1.
    #[serde(default)]
    position: Option<String>,
    /// Whether rows without an item are left out; otherwise they stay, with null as their item.
    #[serde(default)]
    drop_empty: bool,
}

/// The module.
pub struct Explode;

impl Relational for Explode {
    type Config = Config;
    const NAME: &'static str = "explode";
    const SUMMARY: &'static str = "Make a row of each item of a list.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a list, with the place of each item",
            config: r#"{"column": "tags", "as": "tag", "position": "place"}"#,
            inputs: &[("rows", "{\"id\": 1, \"tags\": [\"x\", \"y\"]}\n{\"id\": 2, \"tags\": []}")],
            outputs: &[(
                "out",
                "{\"id\": 1, \"tags\": [\"x\", \"y\"], \"tag\": \"x\", \"place\": 1}\n\
                 {\"id\": 1, \"tags\": [\"x\", \"y\"], \"tag\": \"y\", \"place\": 2}\n\
                 {\"id\": 2, \"tags\": [], \"tag\": null, \"place\": null}",
            )],
        },
        Example {
            title: "a text with commas",
            config: r#"{"column": "tags", "delimiter": ",", "drop_empty": true}"#,
            inputs: &[("rows", "{\"id\": 1, \"tags\": \"x, y\"}\n{\"id\": 2, \"tags\": null}")],
            outputs: &[("out", "{\"id\": 1, \"tags\": \"x\"}\n{\"id\": 1, \"tags\": \"y\"}")],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let (list, item_type) = list(config, input)?;
        let item = config.item.as_deref().unwrap_or(&config.column);
        check_name(item, "/as")?;
        if item != config.column && input.has(item) {
            return Err(taken(item, "/as"));
        }
        // The list is made first, in a column that no input can have; then its items.
        let inner = match config.drop_empty {
            true => expr!("{}", list)?,
            false => expr!(
                "CASE WHEN coalesce(cardinality({}), 0) = 0 THEN make_array({}) ELSE {} END",
                list,
                null(&item_type)?,
                list
            )?,
        };
        let mut added: Vec<Fragment> = vec![Aliased(inner, "#items").to_fragment()];
        if let Some(position) = &config.position {
            check_name(position, "/position")?;
            if input.has(position) || position == item {
                return Err(taken(position, "/position"));
            }
            let count = match config.drop_empty {
                true => expr!("range(1, CAST(cardinality({}) AS BIGINT) + 1)", list)?,
                false => expr!(
                    "CASE WHEN coalesce(cardinality({}), 0) = 0 \
                     THEN make_array(CAST(NULL AS BIGINT)) \
                     ELSE range(1, CAST(cardinality({}) AS BIGINT) + 1) END",
                    list,
                    list
                )?,
            };
            added.push(Aliased(count, "#places").to_fragment());
        }
        let unnested = match config.delimiter {
            Some(_) => expr!("btrim(unnest(\"#items\"))")?,
            None => expr!("unnest(\"#items\")")?,
        };
        let mut new = vec![(item.to_owned(), unnested)];
        if let Some(position) = &config.position {
            new.push((position.clone(), expr!("unnest(\"#places\")")?));
        }
        let items = with_columns(input, &new);
        Ok(sql!("SELECT {} FROM (SELECT *, {} FROM {}) AS t", items, List(added), input)?.into())
    }
}

fn taken(name: &str, path: &str) -> Problem {
    invalid(path, format!("there is a column `{name}` already")).hint("choose another name")
}

/// The list as an expression, and the type of its items.
fn list(config: &Config, input: &NamedInput) -> Result<(Expr, DataType)> {
    let name = config.column.as_str();
    let data_type = input.column(name, "/column")?.data_type();
    let fault = |fact: String, hint: &str| invalid("/delimiter", fact).hint(hint);
    match (data_type, config.delimiter.as_deref()) {
        (DataType::List(item), None) => Ok((Expr::column(name), item.data_type().clone())),
        (DataType::List(_), Some(_)) => {
            Err(fault(format!("`{name}` is a list already"), "leave `delimiter` out"))
        }
        (text, Some("")) if is_text(text) => {
            Err(fault("the delimiter is empty".to_owned(), "write it, as in `delimiter: \",\"`"))
        }
        (text, Some(delimiter)) if is_text(text) => {
            let list = expr!("string_to_array({}, {})", Ident(name), Text(delimiter))?;
            Ok((list, DataType::Utf8View))
        }
        (text, None) if is_text(text) => Err(fault(
            format!("`{name}` is a text, and it is not said what stands between its items"),
            "add it, as in `delimiter: \",\"`",
        )),
        (other, _) => Err(mismatch(name, other, "only lists and texts have items", "/column")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn items_of_texts_are_trimmed() {
        assert_eq!(
            sql::<Explode>(
                r#"{"column": "a", "delimiter": "|", "drop_empty": true}"#,
                &one("a: string; b: integer")
            ),
            "SELECT btrim(unnest(\"#items\")) AS \"a\", \"b\" FROM \
             (SELECT *, string_to_array(\"a\", '|') AS \"#items\" FROM \"rows\") AS t"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let inputs = one("a: string; l: list<integer>; n: integer");
        let refused = |config| refused::<Explode>(config, &inputs);
        assert_eq!(
            refused(r#"{"column": "a"}"#),
            "/delimiter: `a` is a text, and it is not said what stands between its items"
        );
        assert_eq!(
            refused(r#"{"column": "l", "delimiter": ","}"#),
            "/delimiter: `l` is a list already"
        );
        assert_eq!(
            refused(r#"{"column": "n"}"#),
            "/column: `n` is of type integer, but only lists and texts have items"
        );
        assert_eq!(
            refused(r#"{"column": "l", "position": "n"}"#),
            "/position: there is a column `n` already"
        );
    }
}
