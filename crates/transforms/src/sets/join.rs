//! `join`: rows of two inputs side by side.

use super::keys;
use crate::projection::{is_origin, repeated};
use crate::settings::{Pairs, invalid};
use contracts::sql;
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, ToFragment};
use contracts::{Example, InputPorts, Inputs, NamedInput, Relation, Relational};
use contracts::{expr, piece};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `join`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which rows come out.
    #[serde(default)]
    kind: Kind,
    /// Columns by which rows belong together: `[id]`, or `{left_name: right_name}`. They come
    /// out once, under the left name. Rows without a value in them belong to none.
    #[serde(default)]
    on: Pairs,
    /// What is added to the names of right columns that the left input has too.
    #[serde(default = "default_suffix")]
    suffix: String,
}

/// Which rows of a join come out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Pairs that belong together.
    #[default]
    Inner,
    /// Pairs, and left rows that belong to none.
    Left,
    /// Pairs, and right rows that belong to none.
    Right,
    /// Pairs, and all rows that belong to none.
    Full,
    /// Left rows that belong to some right row, once.
    Semi,
    /// Left rows that belong to no right row.
    Anti,
    /// Each left row with each right row.
    Cross,
}

fn default_suffix() -> String {
    "_right".to_owned()
}

/// The module.
pub struct Join;

const PEOPLE: &str = "{\"id\": 1, \"name\": \"Ana\"}\n{\"id\": 2, \"name\": \"Bo\"}";
const ORDERS: &str = "{\"person\": 1, \"name\": \"pen\"}\n{\"person\": 1, \"name\": \"ink\"}\n\
                      {\"person\": 3, \"name\": \"cup\"}";

impl Relational for Join {
    type Config = Config;
    const NAME: &'static str = "join";
    const SUMMARY: &'static str = "Put rows of two inputs side by side.";
    const INPUTS: InputPorts = InputPorts::Named(&["left", "right"]);
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "people with their orders",
            config: r#"{"kind": "left", "on": {"id": "person"}, "suffix": "_of_item"}"#,
            inputs: &[("left", PEOPLE), ("right", ORDERS)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"name\": \"Ana\", \"name_of_item\": \"pen\"}\n\
                 {\"id\": 1, \"name\": \"Ana\", \"name_of_item\": \"ink\"}\n\
                 {\"id\": 2, \"name\": \"Bo\", \"name_of_item\": null}",
            )],
        },
        Example {
            title: "all of both",
            config: r#"{"kind": "full", "on": {"id": "person"}}"#,
            inputs: &[("left", PEOPLE), ("right", ORDERS)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"name\": \"Ana\", \"name_right\": \"pen\"}\n\
                 {\"id\": 1, \"name\": \"Ana\", \"name_right\": \"ink\"}\n\
                 {\"id\": 2, \"name\": \"Bo\", \"name_right\": null}\n\
                 {\"id\": 3, \"name\": null, \"name_right\": \"cup\"}",
            )],
        },
        Example {
            title: "people who have ordered nothing",
            config: r#"{"kind": "anti", "on": {"id": "person"}}"#,
            inputs: &[("left", PEOPLE), ("right", ORDERS)],
            outputs: &[("out", r#"{"id": 2, "name": "Bo"}"#)],
        },
        Example {
            title: "each size in each colour",
            config: r#"{"kind": "cross"}"#,
            inputs: &[
                ("left", "{\"size\": \"S\"}\n{\"size\": \"M\"}"),
                ("right", r#"{"colour": "red"}"#),
            ],
            outputs: &[(
                "out",
                "{\"size\": \"S\", \"colour\": \"red\"}\n{\"size\": \"M\", \"colour\": \"red\"}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let (left, right) = (inputs.role("left")?, inputs.role("right")?);
        if config.kind == Kind::Cross {
            if !config.on.is_empty() {
                return Err(invalid("/on", "a cross join has no columns to match rows by")
                    .hint("leave `on` out, or choose another `kind`"));
            }
            let items = List(columns(config, left, right)?);
            let query = sql!(
                "SELECT {} FROM {} AS \"left\" CROSS JOIN {} AS \"right\"",
                items,
                left,
                right
            )?;
            return Ok(query.into());
        }
        keys::check(&config.on, left, right)?;
        let items = match config.kind {
            Kind::Semi | Kind::Anti => {
                List(left.columns().map(|name| qualified("left", name)).collect())
            }
            _ => List(columns(config, left, right)?),
        };
        let condition = keys::condition(&config.on, "left", "right")?;
        let word = match config.kind {
            Kind::Inner | Kind::Cross => piece!("JOIN"),
            Kind::Left => piece!("LEFT JOIN"),
            Kind::Right => piece!("RIGHT JOIN"),
            Kind::Full => piece!("FULL JOIN"),
            Kind::Semi => piece!("LEFT SEMI JOIN"),
            Kind::Anti => piece!("LEFT ANTI JOIN"),
        };
        let query = sql!(
            "SELECT {} FROM {} AS \"left\" {} {} AS \"right\" ON {}",
            items,
            left,
            word,
            right,
            condition
        )?;
        Ok(query.into())
    }
}

fn qualified(side: &str, name: &str) -> Fragment {
    piece!("{}.{}", Ident(side), Ident(name))
}

/// Left columns, then right ones that are not keys; the origin is that of the side that decides.
fn columns(config: &Config, left: &NamedInput, right: &NamedInput) -> Result<Vec<Fragment>> {
    let origin_is_right = config.kind == Kind::Right;
    let mut items = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for name in left.columns() {
        if is_origin(name) && origin_is_right {
            continue;
        }
        let key = config.on.iter().find(|(left_name, _)| *left_name == name);
        items.push(match (key, config.kind) {
            (Some((_, right_name)), Kind::Right | Kind::Full) => {
                Aliased(either(name, right_name)?, name).to_fragment()
            }
            _ => qualified("left", name),
        });
        names.push(name.to_owned());
    }
    for name in right.columns() {
        let is_key = config.on.iter().any(|(_, right_name)| right_name == name);
        if is_key || (is_origin(name) && !origin_is_right) {
            continue;
        }
        let new = match left.has(name) && !is_origin(name) {
            true => format!("{name}{}", config.suffix),
            false => name.to_owned(),
        };
        if names.contains(&new) {
            return Err(repeated(&new, "/suffix").hint("choose another `suffix`"));
        }
        items.push(match new == name {
            true => qualified("right", name),
            false => piece!("{} AS {}", qualified("right", name), Ident(&new)),
        });
        names.push(new);
    }
    Ok(items)
}

fn either(left: &str, right: &str) -> Result<Expr> {
    expr!("coalesce(\"left\".{}, \"right\".{})", Ident(left), Ident(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{named, refused, sql};

    #[test]
    fn the_origin_is_that_of_the_left_input() {
        let inputs = named(&[
            ("left", "id: integer; a: string; _file: string; _row: integer"),
            ("right", "id: integer; a: string; _file: string; _row: integer"),
        ]);
        assert_eq!(
            sql::<Join>(r#"{"on": "id"}"#, &inputs),
            "SELECT \"left\".\"id\", \"left\".\"a\", \"left\".\"_file\", \"left\".\"_row\", \
             \"right\".\"a\" AS \"a_right\" FROM \"left_rows\" AS \"left\" \
             JOIN \"right_rows\" AS \"right\" ON (\"left\".\"id\" = \"right\".\"id\")"
        );
        assert_eq!(
            sql::<Join>(r#"{"on": "id", "kind": "right", "suffix": "2"}"#, &inputs),
            "SELECT coalesce(\"left\".\"id\", \"right\".\"id\") AS \"id\", \"left\".\"a\", \
             \"right\".\"a\" AS \"a2\", \"right\".\"_file\", \"right\".\"_row\" \
             FROM \"left_rows\" AS \"left\" \
             RIGHT JOIN \"right_rows\" AS \"right\" ON (\"left\".\"id\" = \"right\".\"id\")"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let inputs = named(&[
            ("left", "id: integer; a: string; a_right: string"),
            ("right", "id: integer; a: string"),
        ]);
        let refused = |config| refused::<Join>(config, &inputs);
        assert_eq!(refused("{}"), "/on: there is no column to match rows by");
        assert_eq!(refused(r#"{"on": {"id": "ix"}}"#), "/on/id: `right_rows` has no column `ix`");
        assert_eq!(
            refused(r#"{"on": {"id": "a"}}"#),
            "/on/id: `id` is of type integer, `a` of type string: they cannot be compared"
        );
        assert_eq!(
            refused(r#"{"on": "id"}"#),
            "/suffix: two columns of the result are called `a_right`"
        );
        assert_eq!(
            refused(r#"{"on": "id", "kind": "cross"}"#),
            "/on: a cross join has no columns to match rows by"
        );
    }
}
