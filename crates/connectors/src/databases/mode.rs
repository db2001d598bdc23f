//! How rows come into a database table.

use arrow::datatypes::SchemaRef;
use model::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How rows come into a database table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Added to what is there.
    #[default]
    Append,
    /// In place of everything that is there.
    Truncate,
    /// A row with a known key takes the place of the old one, others are added.
    Upsert,
}

/// `upsert` needs a key, nothing else takes one.
pub(super) fn check_key(mode: Mode, key: &[String]) -> Result<()> {
    match (mode, key.is_empty()) {
        (Mode::Upsert, true) => {
            Err(Problem::new(&codes::SETTING_INVALID, "mode `upsert` needs a `key`")
                .in_setting("/key")
                .hint("name the columns by which a row is known, as in `key: [id]`"))
        }
        (Mode::Append | Mode::Truncate, false) => {
            Err(Problem::new(&codes::SETTING_INVALID, "only mode `upsert` takes a `key`")
                .in_setting("/key")
                .hint("write `mode: upsert`, or leave `key` out"))
        }
        _ => Ok(()),
    }
}

/// Every column of the key comes in.
pub(super) fn check_key_columns(key: &[String], schema: &SchemaRef) -> Result<()> {
    let Some(missing) = key.iter().find(|column| schema.field_with_name(column).is_err()) else {
        return Ok(());
    };
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let problem = Problem::new(
        &codes::COLUMN_UNKNOWN,
        format!("there is no column `{missing}` to be part of the key"),
    )
    .arg("column", missing)
    .in_setting("/key");
    Err(match stdx::text::nearest(missing, names) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    })
}

/// Rows without a key have no place.
pub(super) fn key_is_null(table: &str, rows: i64) -> Problem {
    Problem::new(
        &codes::CONSTRAINT_VIOLATED,
        format!("{rows} rows for `{table}` have null in their key"),
    )
    .arg("rows", rows)
    .hint("reject such rows with `validate` and `not_null`")
}

/// Several rows with the same key have only one place.
pub(super) fn key_is_repeated(table: &str, keys: &[String]) -> Problem {
    Problem::new(
        &codes::MERGE_KEY_REPEATED,
        format!("several rows for `{table}` have the same key"),
    )
    .arg("keys", keys.join("; "))
    .detail(stdx::text::list(keys.iter().map(String::as_str)))
    .hint("keep one row per key with `deduplicate`")
}
