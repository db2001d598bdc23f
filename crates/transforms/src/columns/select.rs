//! `select`: picks, drops, renames and orders columns.

use crate::projection::{all_but, check_distinct, check_name, is_origin, origin};
use crate::settings::{Ordered, invalid};
use contracts::settings::OneOrMany;
use contracts::sql;
use contracts::sql::{Aliased, Expr, Fragment, Ident, List, ToFragment};
use contracts::{Example, Inputs, NamedInput, Relation, Relational, RowLaw};
use model::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `select`. Names are those of the input, before anything is renamed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Columns to keep, in this order; all when left out. `_file` and `_row` stay by themselves.
    columns: OneOrMany,
    /// Columns to leave out.
    drop: OneOrMany,
    /// New names: `{old: new}`.
    rename: Ordered<String>,
    /// Columns that come first, in this order; the others follow.
    order: OneOrMany,
    /// How all names that `rename` does not give are written.
    case_style: CaseStyle,
}

/// How column names are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum CaseStyle {
    /// As they are.
    #[default]
    #[serde(rename = "none")]
    None,
    /// `order_date`
    #[serde(rename = "snake_case")]
    Snake,
    /// `orderDate`
    #[serde(rename = "camelCase")]
    Camel,
    /// `OrderDate`
    #[serde(rename = "PascalCase")]
    Pascal,
    /// `ORDER_DATE`
    #[serde(rename = "UPPER_CASE")]
    Upper,
}

/// The module.
pub struct Select;

impl Relational for Select {
    type Config = Config;
    const NAME: &'static str = "select";
    const SUMMARY: &'static str = "Pick, drop, rename and order columns.";
    const LAW: RowLaw = RowLaw::Each;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "pick two columns and rename one",
            config: r#"{"columns": ["city", "n"], "rename": {"n": "people"}}"#,
            inputs: &[("rows", r#"{"n": 1, "city": "Nice", "note": "x"}"#)],
            outputs: &[("out", r#"{"city": "Nice", "people": 1}"#)],
        },
        Example {
            title: "drop a column and bring another to the front",
            config: r#"{"drop": "note", "order": "city"}"#,
            inputs: &[("rows", r#"{"n": 1, "city": "Nice", "note": "x"}"#)],
            outputs: &[("out", r#"{"city": "Nice", "n": 1}"#)],
        },
        Example {
            title: "names as a program in Java expects them",
            config: r#"{"case_style": "camelCase"}"#,
            inputs: &[("rows", r#"{"order_id": 7, "order_date_utc": "2026-01-31"}"#)],
            outputs: &[("out", r#"{"orderId": 7, "orderDateUtc": "2026-01-31"}"#)],
        },
    ];

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        let columns = chosen(config, input)?;
        let names: Vec<String> = columns.iter().map(|column| config.new_name(column)).collect();
        for (old, new) in config.rename.iter() {
            input.column(old, &format!("/rename/{old}"))?;
            check_name(new, &format!("/rename/{old}"))?;
            if !columns.contains(&old) {
                return Err(invalid(&format!("/rename/{old}"), format!("`{old}` is not kept"))
                    .hint("add it to `columns`, or take it out of `drop`"));
            }
        }
        check_distinct(names.iter().map(String::as_str), "/rename")?;
        let items = columns.iter().zip(&names).map(|(old, new)| match old == new {
            true => Ident(old).to_fragment(),
            false => Aliased(Expr::column(old), new).to_fragment(),
        });
        let items: List<Fragment> = List(items.collect());
        Ok(sql!("SELECT {} FROM {}", items, input)?.into())
    }
}

/// The columns that stay, in the order they will have.
fn chosen<'a>(config: &'a Config, input: &'a NamedInput) -> Result<Vec<&'a str>> {
    for (setting, columns) in
        [("columns", &config.columns), ("drop", &config.drop), ("order", &config.order)]
    {
        check_distinct(columns.iter(), &format!("/{setting}"))?;
        for (at, name) in columns.iter().enumerate() {
            input.column(name, &format!("/{setting}/{at}"))?;
        }
    }
    let mut columns: Vec<&str> = match config.columns.is_empty() {
        true => all_but(input, &[]).0.iter().map(|ident| ident.0).collect(),
        false => {
            let carried = origin(input).filter(|name| !config.columns.has(name));
            config.columns.iter().chain(carried).collect()
        }
    };
    columns.retain(|name| !config.drop.has(name));
    if columns.is_empty() {
        return Err(invalid("/drop", "no column is left"));
    }
    let place = |name: &str| config.order.iter().position(|first| first == name);
    columns.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
    Ok(columns)
}

impl Config {
    fn new_name(&self, column: &str) -> String {
        match self.rename.get(column) {
            Some(new) => new.clone(),
            None if is_origin(column) => column.to_owned(),
            None => styled(column, self.case_style),
        }
    }
}

fn styled(name: &str, style: CaseStyle) -> String {
    let words = words(name);
    match style {
        CaseStyle::None => name.to_owned(),
        CaseStyle::Snake => words.join("_"),
        CaseStyle::Upper => words.join("_").to_uppercase(),
        CaseStyle::Pascal => words.iter().map(|word| capitalized(word)).collect(),
        CaseStyle::Camel => match words.split_first() {
            None => name.to_owned(),
            Some((first, others)) => {
                let others = others.iter().map(|word| capitalized(word));
                std::iter::once(first.clone()).chain(others).collect()
            }
        },
    }
}

/// The words of a name in lower case: `orderDate2_HTTPCode` is `order`, `date2`, `http`, `code`.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut starts_word = true;
    for (at, character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            starts_word = true;
            continue;
        }
        let before = at.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(at + 1);
        let after_small = before.is_some_and(|c| c.is_lowercase() || c.is_numeric());
        let ends_capitals = before.is_some_and(char::is_uppercase)
            && after.is_some_and(|character| character.is_lowercase());
        if starts_word || (character.is_uppercase() && (after_small || ends_capitals)) {
            words.push(String::new());
        }
        starts_word = false;
        if let Some(word) = words.last_mut() {
            word.extend(character.to_lowercase());
        }
    }
    words
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn the_origin_stays_unless_it_is_dropped() {
        let inputs = one("a: string; b: integer; _file: string; _row: integer");
        let query = sql::<Select>(r#"{"columns": "b", "case_style": "UPPER_CASE"}"#, &inputs);
        assert_eq!(query, r#"SELECT "b" AS "B", "_file", "_row" FROM "rows""#);
        let query = sql::<Select>(r#"{"drop": ["_file", "_row"], "rename": {"a": "c"}}"#, &inputs);
        assert_eq!(query, r#"SELECT "a" AS "c", "b" FROM "rows""#);
    }

    #[test]
    fn names_are_styled_word_by_word() {
        let styles = [CaseStyle::Snake, CaseStyle::Camel, CaseStyle::Pascal, CaseStyle::Upper];
        let styled: Vec<String> =
            styles.iter().map(|style| styled("orderDate2_HTTPCode", *style)).collect();
        let expected =
            ["order_date2_http_code", "orderDate2HttpCode", "OrderDate2HttpCode"].map(String::from);
        assert_eq!(styled[..3], expected);
        assert_eq!(styled[3], "ORDER_DATE2_HTTP_CODE");
    }

    #[test]
    fn bad_settings_are_named() {
        let inputs = one("city: string; b: integer");
        let refused = |config| refused::<Select>(config, &inputs);
        assert_eq!(refused(r#"{"drop": ["town"]}"#), "/drop/0: `rows` has no column `town`");
        assert_eq!(
            refused(r#"{"rename": {"b": "city"}}"#),
            "/rename: two columns of the result are called `city`"
        );
        assert_eq!(
            refused(r#"{"columns": "city", "rename": {"b": "c"}}"#),
            "/rename/b: `b` is not kept"
        );
    }
}
