//! Values of cursors and split columns as PostgreSQL compares and cuts them.

use super::selection::{LagBy, cursor_text, literal};
use model::{Problem, Result, codes};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_postgres::types::Type;

/// How values of a cursor are compared and cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CursorKind {
    Whole,
    Number,
    Date,
    Instant,
    Text,
}

/// The type of a cursor.
pub(super) struct CursorType {
    pub kind: CursorKind,
    /// The type as SQL.
    pub name: &'static str,
}

/// The type of a column that rows are followed or cut by.
pub(super) fn cursor_type(types: &BTreeMap<String, Type>, column: &str) -> Result<CursorType> {
    let pg_type = types.get(column);
    let (kind, name) = match pg_type {
        Some(&Type::INT2) => (CursorKind::Whole, "int2"),
        Some(&Type::INT4) => (CursorKind::Whole, "int4"),
        Some(&Type::INT8) => (CursorKind::Whole, "int8"),
        Some(&Type::NUMERIC) => (CursorKind::Number, "numeric"),
        Some(&Type::FLOAT8) => (CursorKind::Number, "float8"),
        Some(&Type::DATE) => (CursorKind::Date, "date"),
        Some(&Type::TIMESTAMP) => (CursorKind::Instant, "timestamp"),
        Some(&Type::TIMESTAMPTZ) => (CursorKind::Instant, "timestamptz"),
        Some(&Type::TEXT | &Type::VARCHAR) => (CursorKind::Text, "text"),
        Some(other) => {
            return Err(Problem::new(
                &codes::TYPE_MISMATCH,
                format!("`{column}` of type {other} has no order that a run could follow"),
            )
            .arg("column", column)
            .hint("choose a column with numbers, dates, timestamps or texts"));
        }
        None => {
            let near = stdx::text::nearest(column, types.keys().map(String::as_str));
            let problem =
                Problem::new(&codes::COLUMN_UNKNOWN, format!("there is no column `{column}`"))
                    .arg("column", column);
            return Err(match near {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem,
            });
        }
    };
    Ok(CursorType { kind, name })
}

impl CursorType {
    /// A value as SQL.
    pub(super) fn literal(&self, value: &Value) -> String {
        format!("{}::{}", literal(&cursor_text(value)), self.name)
    }

    /// A value that goes into the run record.
    pub(super) fn value(&self, text: String) -> Value {
        let whole = if self.kind == CursorKind::Whole { text.parse::<i64>().ok() } else { None };
        whole.map_or(Value::String(text), Value::from)
    }

    /// `value` minus `lag`, as SQL.
    pub(super) fn minus(&self, value: &str, lag: Option<LagBy>) -> Result<String> {
        const DAY_SECONDS: i64 = 86_400;
        match (lag, self.kind) {
            (None, _) => Ok(value.to_owned()),
            // In a wider type, so that the least value has something below it.
            (Some(LagBy::Number(by)), CursorKind::Whole) => {
                let least = match self.name {
                    "int2" => i64::from(i16::MIN),
                    "int4" => i64::from(i32::MIN),
                    _ => i64::MIN,
                };
                Ok(format!("greatest({value}::numeric - {by}, {least})"))
            }
            (Some(LagBy::Number(by)), CursorKind::Number) => Ok(format!("{value} - {by}")),
            (Some(LagBy::Seconds(by)), CursorKind::Date) => {
                Ok(format!("{value} - {}", (by + DAY_SECONDS - 1) / DAY_SECONDS))
            }
            (Some(LagBy::Seconds(by)), CursorKind::Instant) => {
                Ok(format!("{value} - interval '{by} seconds'"))
            }
            _ => Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("the lag does not fit a cursor of type {}", self.name),
            )
            .in_setting("/cursor/lag")
            .hint("numbers take a number; dates and timestamps a duration such as `15m`")),
        }
    }
}
