//! What is read from a database, whichever it is: a table or a query, and the part that is new.

use contracts::{Expr, Sql};
use model::run::Range;
use model::{DataType, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads only rows that are new since the last run.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// A column that only grows: a number, a date or a timestamp. A run reads what lies above
    /// the highest value of the last run, up to the highest value at its start. Rows where it is
    /// null are never read, and counted.
    pub column: String,
    /// How far to go back behind the last run, for rows that become visible late: a number, or
    /// `15m`, `2h`, `3d` for dates and timestamps. Rows may then come twice: write them with
    /// mode `merge` or `upsert`.
    #[serde(default)]
    pub lag: Option<Lag>,
}

/// How far to go back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Lag {
    /// For numbers.
    Number(u32),
    /// For dates and timestamps.
    Duration(String),
}

/// A checked lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LagBy {
    /// For numbers.
    Number(i64),
    /// For dates and timestamps.
    Seconds(i64),
}

impl Cursor {
    /// The lag, none when it is zero.
    pub(super) fn lag(&self) -> Result<Option<LagBy>> {
        let by = match &self.lag {
            None => return Ok(None),
            Some(Lag::Number(number)) => LagBy::Number(i64::from(*number)),
            Some(Lag::Duration(text)) => LagBy::Seconds(seconds(text)?),
        };
        Ok((by != LagBy::Number(0) && by != LagBy::Seconds(0)).then_some(by))
    }
}

/// `15m` in seconds.
fn seconds(text: &str) -> Result<i64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = text[..digits].parse::<i64>().ok().filter(|number| *number < 1_000_000_000);
    let unit = match text[digits..].trim() {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    match (number, unit) {
        (Some(number), Some(unit)) => Ok(number * unit),
        _ => Err(Problem::new(&codes::SETTING_INVALID, format!("`{text}` is not a duration"))
            .arg("duration", text)
            .hint("write a number and a unit: `90s`, `15m`, `2h` or `3d`")),
    }
}

/// What to read, checked as far as that is possible without the database.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// A table, or a query.
    pub relation: Relation,
    /// Columns to read, in the database's spelling; empty means all.
    pub columns: Vec<String>,
    /// A condition on rows.
    pub condition: Option<Expr>,
    /// Which rows are new.
    pub cursor: Option<Cursor>,
    /// How far to go back, from the cursor's setting.
    pub lag: Option<LagBy>,
    /// Types that a person has chosen.
    pub types: BTreeMap<String, DataType>,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Relation {
    /// `table` or `schema.table`, in parts.
    Table(Vec<String>),
    /// The text of one SELECT, without a semicolon.
    Query(String),
}

/// The settings of a source that a selection is made from.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub table: Option<String>,
    pub query: Option<String>,
    pub columns: Vec<String>,
    pub condition: Option<String>,
    pub cursor: Option<Cursor>,
    pub types: BTreeMap<String, DataType>,
}

impl Selection {
    /// Checks settings.
    pub(super) fn new(wanted: Wanted) -> Result<Self> {
        let relation = match (wanted.table, wanted.query) {
            (Some(table), None) => Relation::Table(table_parts(&table)?),
            (None, Some(query)) => Relation::Query(checked_query(&query)?),
            _ => {
                return Err(Problem::new(
                    &codes::SETTING_INVALID,
                    "one of `table` and `query` is needed, not both",
                )
                .hint("write `table: orders`, or `query: select … from …`"));
            }
        };
        let condition = wanted.condition.as_deref().map(Expr::parse).transpose()?;
        let lag = wanted.cursor.as_ref().map(Cursor::lag).transpose()?.flatten();
        let Wanted { columns, cursor, types, .. } = wanted;
        Ok(Self { relation, columns, condition, cursor, lag, types })
    }

    /// The relation as it stands in FROM.
    pub(super) fn source_clause(&self) -> String {
        match &self.relation {
            Relation::Table(parts) => quote_parts(parts),
            Relation::Query(text) => format!("(\n{text}\n) AS \"source\""),
        }
    }

    /// The relation as a query of its own.
    pub(super) fn base_query(&self) -> String {
        match &self.relation {
            Relation::Table(parts) => format!("SELECT * FROM {}", quote_parts(parts)),
            Relation::Query(text) => text.clone(),
        }
    }

    /// What `_file` says: the table, or that it is a query.
    pub(super) fn label(&self) -> String {
        match &self.relation {
            Relation::Table(parts) => parts.join("."),
            Relation::Query(_) => "query".to_owned(),
        }
    }

    /// Positions of the columns to read among those that the database gives.
    pub(super) fn choose(&self, given: &[String]) -> Result<Vec<usize>> {
        for (at, name) in given.iter().enumerate() {
            if given[..at].contains(name) {
                return Err(Problem::new(
                    &codes::SQL_INVALID,
                    format!("the query gives two columns called `{name}`"),
                )
                .arg("column", name)
                .hint("give one of them another name with `as`"));
            }
        }
        if let Some(cursor) = &self.cursor {
            find(&cursor.column, given)?;
        }
        for name in self.types.keys() {
            find(name, given)?;
        }
        if self.columns.is_empty() {
            return Ok((0..given.len()).collect());
        }
        self.columns.iter().map(|name| find(name, given)).collect()
    }

    /// What `discover` says about rows that have no cursor, or that come twice.
    pub(super) fn cursor_remarks(&self, nulls: u64) -> Vec<String> {
        let mut remarks = Vec::new();
        let Some(cursor) = &self.cursor else { return remarks };
        let (column, label) = (&cursor.column, self.label());
        if nulls > 0 {
            remarks.push(format!(
                "{} rows of `{label}` are never read: their cursor `{column}` is null",
                stdx::text::group_digits(nulls)
            ));
        }
        if self.lag.is_some() {
            remarks.push(format!(
                "`lag` reads the newest rows of `{label}` again: \
                 write them with mode `merge` or `upsert`"
            ));
        }
        remarks
    }

    /// The range that the last run read, if it was one of this cursor.
    pub(super) fn last_range<'a>(&self, past: &'a contracts::Past) -> Option<&'a Range> {
        let cursor = self.cursor.as_ref()?;
        let range = past.range.as_ref().filter(|_| !past.full)?;
        (range.cursor == cursor.column).then_some(range)
    }
}

fn find(name: &str, given: &[String]) -> Result<usize> {
    given.iter().position(|column| column == name).ok_or_else(|| {
        let near = stdx::text::nearest(name, given.iter().map(String::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("columns are {}", stdx::text::list(given.iter().map(String::as_str))),
        };
        Problem::new(&codes::COLUMN_UNKNOWN, format!("there is no column `{name}`"))
            .arg("column", name)
            .hint(hint)
    })
}

/// One SELECT, without its semicolon. Syntax that only the database knows is left for it to
/// judge: it prepares the text alone, in a transaction that cannot write.
fn checked_query(text: &str) -> Result<String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    match Sql::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(problem) => {
            let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
            let reads = ["select", "with", "values"].contains(&first.to_lowercase().as_str());
            let only_syntax = problem.detail_text().is_some();
            if reads && only_syntax { Ok(text.to_owned()) } else { Err(problem) }
        }
    }
}

/// `table` or `schema.table`; parts may be in double quotes.
pub(super) fn table_parts(text: &str) -> Result<Vec<String>> {
    let invalid = || {
        Problem::new(&codes::NAME_INVALID, format!("`{text}` is not a table name"))
            .arg("name", text)
            .hint("write `table` or `schema.table`; a part with a dot needs double quotes")
    };
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(invalid)?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if part.is_empty() || part.contains('\0') || parts.len() == 2 {
            return Err(invalid());
        }
        parts.push(part.to_owned());
        match tail.strip_prefix('.') {
            Some(next) => rest = next,
            None if tail.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}

/// A name that SQL takes as it is.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."table"`.
pub(super) fn quote_parts(parts: &[String]) -> String {
    parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join(".")
}

/// Names separated by commas.
pub(super) fn quote_list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A text value that SQL takes as it is.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A cursor value as text.
pub(super) fn cursor_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_have_one_or_two_parts() {
        assert_eq!(table_parts("sales.orders").unwrap(), ["sales", "orders"]);
        assert_eq!(table_parts("\"my.schema\".\"Order\"").unwrap(), ["my.schema", "Order"]);
        for bad in ["", "a.", ".a", "a.b.c", "\"a", "\"a\"b"] {
            assert!(table_parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_reads_is_a_query() {
        assert_eq!(checked_query(" select 1 ; ").unwrap(), "select 1");
        assert!(checked_query("delete from a").is_err());
        assert!(checked_query("select 1; drop table a").is_err());
        // Syntax that only the database knows.
        assert!(checked_query("select * from a tablesample foo (1) !! 3 operator(@@) 4").is_ok());
        assert!(checked_query("drop tabl a").is_err());
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(seconds("90s").unwrap(), 90);
        assert_eq!(seconds(" 2 h ").unwrap(), 7200);
        assert!(seconds("2").is_err() && seconds("-1d").is_err() && seconds("").is_err());
    }
}
