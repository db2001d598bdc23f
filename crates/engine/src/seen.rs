//! Schemas as they were last seen, kept in `.affluent/schemas` for planning without reading.

use arrow::datatypes::{Field, Schema, SchemaRef};
use contracts::arrow_types::{HEADER_KEY, from_field, to_field};
use model::{DataType, Name};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: DataType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
}

fn path(state: &Path, pipeline: &Name, node: &Name) -> PathBuf {
    state.join("schemas").join(format!("{pipeline}.{node}.json"))
}

/// Keeps the schema of a node. It is a help, not a record: failing to write it is no problem.
pub(crate) fn save(state: &Path, pipeline: &Name, node: &Name, schema: &Schema) {
    let columns: Vec<Column> = schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            data_type: from_field(field),
            header: field.metadata().get(HEADER_KEY).cloned(),
        })
        .collect();
    let path = path(state, pipeline, node);
    let Ok(text) = serde_json::to_string_pretty(&columns) else { return };
    if fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return;
    }
    let written = fs::create_dir_all(state.join("schemas")).and_then(|()| fs::write(&path, text));
    if let Err(error) = written {
        tracing::warn!(%error, path = %path.display(), "schema not kept");
    }
}

/// The schema of a node when it was last seen.
pub(crate) fn load(state: &Path, pipeline: &Name, node: &Name) -> Option<SchemaRef> {
    let text = fs::read_to_string(path(state, pipeline, node)).ok()?;
    let columns: Vec<Column> = serde_json::from_str(&text).ok()?;
    let field = |column: Column| -> Field {
        let field = to_field(&column.name, &column.data_type);
        let mut metadata = field.metadata().clone();
        metadata.extend(column.header.map(|header| (HEADER_KEY.to_owned(), header)));
        field.with_metadata(metadata)
    };
    Some(Arc::new(Schema::new(columns.into_iter().map(field).collect::<Vec<_>>())))
}
