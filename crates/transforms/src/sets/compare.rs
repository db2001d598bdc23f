//! `compare`: what is new, changed, deleted or the same between two inputs.

use crate::projection::{check_name, is_origin};
use crate::settings::invalid;
use crate::values::check_comparable;
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Fragment, Ident, Joined, List, Text};
use contracts::{Example, InputPorts, Inputs, NamedInput, Relation, Relational};
use contracts::{expr, piece, sql};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `compare`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that say which old and new row are the same thing. There should be one row for
    /// each key on both sides.
    key: OneOrMany,
    /// Columns that are compared; all that both inputs have when left out. `_file` and `_row` are
    /// never compared.
    #[serde(default)]
    columns: OneOrMany,
    /// Columns that are not compared.
    #[serde(default)]
    ignore: OneOrMany,
    /// Whether rows that are the same come out too.
    #[serde(default)]
    include_same: bool,
    /// Name of the column that says `new`, `changed`, `deleted` or `same`.
    #[serde(default = "status_column")]
    status_column: String,
    /// Name of the column with the list of columns that have changed.
    #[serde(default = "changed_column")]
    changed_column: String,
}

fn status_column() -> String {
    "status".to_owned()
}

fn changed_column() -> String {
    "changed".to_owned()
}

/// The module.
pub struct Compare;

const OLD: &str = "{\"id\": 1, \"name\": \"pen\", \"price\": 4}\n\
                   {\"id\": 2, \"name\": \"ink\", \"price\": 7}\n\
                   {\"id\": 3, \"name\": \"cup\", \"price\": null}";
const NEW: &str = "{\"id\": 1, \"name\": \"pen\", \"price\": 5}\n\
                   {\"id\": 3, \"name\": \"cup\", \"price\": null}\n\
                   {\"id\": 4, \"name\": \"pad\", \"price\": 2}";

impl Relational for Compare {
    type Config = Config;
    const NAME: &'static str = "compare";
    const SUMMARY: &'static str = "Find rows that are new, changed, deleted or the same.";
    const INPUTS: InputPorts = InputPorts::Named(&["old", "new"]);
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "what has changed between two deliveries",
            config: r#"{"key": "id"}"#,
            inputs: &[("old", OLD), ("new", NEW)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"name\": \"pen\", \"price\": 5, \"status\": \"changed\", \
                 \"changed\": [\"price\"]}\n\
                 {\"id\": 2, \"name\": \"ink\", \"price\": 7, \"status\": \"deleted\", \
                 \"changed\": null}\n\
                 {\"id\": 4, \"name\": \"pad\", \"price\": 2, \"status\": \"new\", \
                 \"changed\": null}",
            )],
        },
        Example {
            title: "only names are compared, and all rows come out",
            config: r#"{"key": ["id"], "columns": ["name"], "include_same": true,
                        "status_column": "what", "changed_column": "where"}"#,
            inputs: &[("old", OLD), ("new", NEW)],
            outputs: &[(
                "out",
                "{\"id\": 1, \"name\": \"pen\", \"price\": 5, \"what\": \"same\", \
                 \"where\": null}\n\
                 {\"id\": 2, \"name\": \"ink\", \"price\": 7, \"what\": \"deleted\", \
                 \"where\": null}\n\
                 {\"id\": 3, \"name\": \"cup\", \"price\": null, \"what\": \"same\", \
                 \"where\": null}\n\
                 {\"id\": 4, \"name\": \"pad\", \"price\": 2, \"what\": \"new\", \
                 \"where\": null}",
            )],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let (old, new) = (inputs.role("old")?, inputs.role("new")?);
        check_key(config, old, new)?;
        let compared = compared(config, old, new)?;
        for (name, setting) in
            [(&config.status_column, "/status_column"), (&config.changed_column, "/changed_column")]
        {
            check_name(name, setting)?;
            if new.has(name) || config.status_column == config.changed_column {
                return Err(invalid(setting, format!("there is a column `{name}` already"))
                    .hint("choose another name"));
            }
        }
        let inner = sql!(
            "SELECT {}, {} AS \"#changed\", \
             \"old\".\"#in\" AS \"#old\", \"new\".\"#in\" AS \"#new\" \
             FROM (SELECT *, true AS \"#in\" FROM {}) AS \"old\" \
             FULL JOIN (SELECT *, true AS \"#in\" FROM {}) AS \"new\" ON {}",
            List(columns(config, old, new)),
            changes(&compared)?,
            old,
            new,
            Joined(matches(config)?, " AND ")
        )?;
        let with_status = sql!(
            "SELECT {}, CASE WHEN \"#old\" IS NULL THEN 'new' WHEN \"#new\" IS NULL THEN 'deleted' \
             WHEN cardinality(\"#changed\") > 0 THEN 'changed' ELSE 'same' END AS {}, \
             CASE WHEN \"#old\" AND \"#new\" AND cardinality(\"#changed\") > 0 \
             THEN \"#changed\" END AS {} FROM {} AS t",
            List(new.columns().map(Ident).collect()),
            Ident(&config.status_column),
            Ident(&config.changed_column),
            inner
        )?;
        if config.include_same {
            return Ok(with_status.into());
        }
        let status = Ident(&config.status_column);
        Ok(sql!("SELECT * FROM {} AS t WHERE {} <> 'same'", with_status, status)?.into())
    }
}

fn check_key(config: &Config, old: &NamedInput, new: &NamedInput) -> Result<()> {
    if config.key.is_empty() {
        return Err(invalid("/key", "there is no column that says which rows belong together"));
    }
    for (at, name) in config.key.iter().enumerate() {
        let path = format!("/key/{at}");
        let old_type = old.column(name, &path)?.data_type();
        let new_type = new.column(name, &path)?.data_type();
        check_comparable((name, old_type), (name, new_type), &path)?;
    }
    Ok(())
}

/// The columns whose change makes a row changed.
fn compared<'a>(config: &'a Config, old: &NamedInput, new: &'a NamedInput) -> Result<Vec<&'a str>> {
    let ignored = |name: &str| is_origin(name) || config.key.has(name) || config.ignore.has(name);
    for (at, name) in config.ignore.iter().enumerate() {
        new.column(name, &format!("/ignore/{at}"))?;
    }
    let (names, setting): (Vec<&str>, &str) = match config.columns.is_empty() {
        true => (new.columns().filter(|name| old.has(name)).collect(), "/new"),
        false => (config.columns.iter().collect(), "/columns"),
    };
    let names: Vec<&str> = names.into_iter().filter(|name| !ignored(name)).collect();
    for name in &names {
        let path = format!("{setting}/{name}");
        let old_type = old.column(name, &path)?.data_type();
        let new_type = new.column(name, &path)?.data_type();
        check_comparable((name, old_type), (name, new_type), &path)?;
    }
    Ok(names)
}

/// Keys are those of either side; other columns are new values, or old ones of deleted rows.
fn columns(config: &Config, old: &NamedInput, new: &NamedInput) -> Vec<Fragment> {
    let column = |name: &str| {
        let ident = Ident(name);
        if config.key.has(name) {
            return piece!("coalesce(\"new\".{}, \"old\".{}) AS {}", ident, ident, ident);
        }
        match old.has(name) {
            true => piece!(
                "CASE WHEN \"new\".\"#in\" THEN \"new\".{} ELSE \"old\".{} END AS {}",
                ident,
                ident,
                ident
            ),
            false => piece!("\"new\".{}", ident),
        }
    };
    new.columns().map(column).collect()
}

fn changes(compared: &[&str]) -> Result<Expr> {
    let change = |name: &&str| {
        piece!(
            "CASE WHEN (\"old\".{} IS DISTINCT FROM \"new\".{}) THEN {} END",
            Ident(name),
            Ident(name),
            Text(name)
        )
    };
    match compared.is_empty() {
        true => expr!("array_compact(make_array(CAST(NULL AS VARCHAR)))"),
        false => {
            let changes: Vec<Fragment> = compared.iter().map(change).collect();
            expr!("array_compact(make_array({}))", List(changes))
        }
    }
}

fn matches(config: &Config) -> Result<Vec<Expr>> {
    let equal =
        |name| expr!("\"old\".{} IS NOT DISTINCT FROM \"new\".{}", Ident(name), Ident(name));
    config.key.iter().map(equal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{named, refused, sql};

    #[test]
    fn the_origin_is_carried_and_not_compared() {
        let columns = "id: integer; a: string; _file: string; _row: integer";
        let query =
            sql::<Compare>(r#"{"key": "id"}"#, &named(&[("old", columns), ("new", columns)]));
        assert!(query.contains("\"old\".\"a\" IS DISTINCT FROM"));
        assert!(!query.contains("\"old\".\"_row\" IS DISTINCT FROM"));
        assert!(query.contains("END AS \"_row\""));
    }

    #[test]
    fn bad_settings_are_named() {
        let inputs = named(&[("old", "id: integer; a: string"), ("new", "id: integer; a: date")]);
        let refused = |config| refused::<Compare>(config, &inputs);
        assert_eq!(refused(r#"{"key": "ix"}"#), "/key/0: `old_rows` has no column `ix`");
        assert_eq!(
            refused(r#"{"key": "id"}"#),
            "/new/a: `a` is of type string, `a` of type date: they cannot be compared"
        );
        assert_eq!(
            refused(r#"{"key": "id", "ignore": "a", "status_column": "a"}"#),
            "/status_column: there is a column `a` already"
        );
    }
}
