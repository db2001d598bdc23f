//! `validate`: checks rows; those that fail are rejected, or counted, or stop the run.

use super::duration::Age;
use super::findings::{Findings, collect};
use super::record::with_record;
use crate::order::OrderBy;
use crate::settings::{Ordered, invalid};
use contracts::arrow_types::{FILE, ROW};
use contracts::rejects::{ERRORS, NOTES};
use contracts::settings::OneOrMany;
use contracts::sql::{Fragment, Ident, List, Sql, ToFragment};
use contracts::{
    Example, Inputs, NamedInput, Relation, Relational, Routing, RowLaw, Severity, piece, sql,
};
use model::{Result, TableName};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Settings of `validate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The checks. Each names what it looks at, and may say how severe it is.
    checks: Vec<CheckConfig>,
}

/// A check; usually with one of the tests, several share name and severity.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CheckConfig {
    /// Columns that must have a value.
    pub(super) not_null: OneOrMany,
    /// Columns that together are different in every row. All but the first row are to blame;
    /// rows without a value in one of the columns are left alone.
    pub(super) unique: OneOrMany,
    /// For `unique`: what puts rows in order; `_file, _row` if it is left out.
    pub(super) order_by: OrderBy,
    /// Values that a column may have: `{status: [paid, open]}`.
    pub(super) in_set: Ordered<Vec<Value>>,
    /// Between which values a column lies: `{amount: {min: 0}}`.
    pub(super) range: Ordered<Range>,
    /// A regular expression that is found in the text of a column: `{code: "^[A-Z]{2}$"}`.
    pub(super) regex: Ordered<String>,
    /// How many characters the text of a column has: `{code: {min: 2, max: 5}}`.
    pub(super) length: Ordered<Length>,
    /// Columns that hold e-mail addresses.
    pub(super) email: OneOrMany,
    /// Columns that hold web addresses.
    pub(super) url: OneOrMany,
    /// A column whose values are found in a lake table.
    pub(super) references: Option<Reference>,
    /// A SQL condition over the columns of the row; null is as good as true.
    #[schemars(extend("x-widget" = "expression"))]
    pub(super) expression: Option<String>,
    /// How old the newest value of a date or timestamp column may be when the run starts.
    pub(super) freshness: Option<Freshness>,
    /// How many rows pass.
    pub(super) row_count: Option<RowCount>,
    /// What happens when the check finds something: `reject` for rows, `fail` for `freshness`
    /// and `row_count`, if it is left out.
    pub(super) severity: Option<Severity>,
    /// What the check is called in reports.
    pub(super) name: Option<String>,
}

/// Bounds of a column.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Range {
    /// The least value.
    pub(super) min: Option<Value>,
    /// The greatest value.
    pub(super) max: Option<Value>,
    /// Whether the bounds themselves are outside.
    pub(super) exclusive: bool,
}

/// Bounds of a text's length, in characters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Length {
    /// The least number of characters.
    pub(super) min: Option<u64>,
    /// The greatest number of characters.
    pub(super) max: Option<u64>,
}

/// A column and the key that it refers to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reference {
    /// The column here. Null refers to nothing, and passes.
    pub(super) column: String,
    /// The lake table.
    pub(super) table: TableName,
    /// The column there; of the same name if it is left out.
    #[serde(default)]
    pub(super) key: Option<String>,
}

/// How old the newest value may be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Freshness {
    /// A date or timestamp column.
    pub(super) column: String,
    /// A length of time: `30m`, `12h`, `2d`.
    pub(super) max_age: Age,
}

/// How many rows pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RowCount {
    /// At least so many.
    pub(super) min: Option<u64>,
    /// At most so many.
    pub(super) max: Option<u64>,
}

/// The module.
pub struct Validate;

impl Relational for Validate {
    type Config = Config;
    const NAME: &'static str = "validate";
    const SUMMARY: &'static str =
        "Check rows: reject those that fail, or count them, or stop before anything is written.";
    const LAW: RowLaw = RowLaw::Each;
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = super::validate_examples::EXAMPLES;

    fn tables(config: &Config) -> Vec<TableName> {
        config
            .checks
            .iter()
            .filter_map(|check| Some(check.references.as_ref()?.table.clone()))
            .collect()
    }

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        if config.checks.is_empty() {
            return Err(
                invalid("/checks", "there is no check").hint("add one, such as `not_null: [id]`")
            );
        }
        let findings = collect(&config.checks, input)?;
        let received: Vec<(&str, &str)> = input
            .columns()
            .filter(|name| *name != FILE && *name != ROW)
            .map(|name| (name, name))
            .collect();
        let sql = with_record(&checked(&findings, input)?, &received)?;
        Ok(Relation { sql, routing: Routing::Rejects, checks: findings.checks })
    }
}

/// The columns of the input, `_errors`, and `_notes` where there is something to note.
fn checked(findings: &Findings, input: &NamedInput) -> Result<Sql> {
    let mut items: Vec<Fragment> = input.columns().map(|name| Ident(name).to_fragment()).collect();
    items.push(piece!("row_errors({}) AS {}", List(findings.errors.clone()), Ident(ERRORS)));
    if !findings.notes.is_empty() {
        items.push(piece!("row_notes({}) AS {}", List(findings.notes.clone()), Ident(NOTES)));
    }
    let from = match with_windows(findings, input)? {
        Some(widened) => piece!("{} AS {}", widened, Ident(&input.name)),
        None => input.to_fragment(),
    };
    sql!("SELECT {} FROM {}", List(items), from)
}

/// The input with the columns that checks over several rows or tables need.
fn with_windows(findings: &Findings, input: &NamedInput) -> Result<Option<Sql>> {
    let mut widened: Option<Sql> = None;
    if !findings.windows.is_empty() {
        widened = Some(sql!("SELECT *, {} FROM {}", List(findings.windows.clone()), input)?);
    }
    for reference in &findings.references {
        let from = match &widened {
            Some(widened) => piece!("{} AS {}", widened, Ident(&input.name)),
            None => input.to_fragment(),
        };
        let found = Ident(&reference.found);
        let keys = sql!(
            "SELECT DISTINCT {} AS {} FROM {} WHERE {} IS NOT NULL",
            Ident(&reference.key),
            found,
            reference.table,
            Ident(&reference.key)
        )?;
        widened = Some(sql!(
            "SELECT {}.*, k.{} FROM {} LEFT JOIN {} AS k ON {}.{} = k.{}",
            input,
            found,
            from,
            keys,
            input,
            Ident(&reference.column),
            found
        )?);
    }
    Ok(widened)
}

#[cfg(test)]
mod tests;
