//! XML: one row per row element, its attributes and the elements in it as columns.
//!
//! A row becomes a JSON text (`{"@id": …, "name": …, "line": [ …, … ]}`) and goes the way of every
//! JSON row from there. Document types are refused and entities never expanded, so a document
//! can neither explode nor reach out.

mod rows;
#[cfg(test)]
mod tests;

use crate::file::{InputFile, ReadOptions};
use crate::json::{self, JsonOptions, NewKeys, Opener};
use contracts::Batches;
use model::{DataType, Problem, Result, codes};
use rows::{RowPath, RowReader};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::json::Types;

/// How XML files are read.
#[derive(Debug, Clone)]
pub struct XmlOptions {
    /// The element that is a row: its name (`order`) or its path from the root
    /// (`orders/order`), without prefixes; none means the elements right inside of the root.
    pub row: Option<String>,
    /// Down to this level elements become columns (`a/b` → `a_b`); deeper ones stay JSON text.
    pub depth: usize,
    /// Where the types of columns come from. A number with a leading zero or `+` is a text.
    pub types: Types,
    /// Types of columns by their path (`customer.@id`), in place of what the sample says.
    pub columns: BTreeMap<String, DataType>,
    /// What happens to a row with an element that did not occur in the sample.
    pub new_keys: NewKeys,
}

impl Default for XmlOptions {
    fn default() -> Self {
        Self {
            row: None,
            depth: 5,
            types: Types::Text,
            columns: BTreeMap::new(),
            new_keys: NewKeys::default(),
        }
    }
}

/// Opens the files: the columns are known when this returns.
pub fn open(files: Vec<InputFile>, options: &XmlOptions, read: ReadOptions) -> Result<Batches> {
    let path = RowPath::parse(options.row.as_deref())?;
    let wants_types = options.types == Types::Infer || !options.columns.is_empty();
    let opener: Opener = Arc::new(move |member, bytes| {
        Ok(Box::new(RowReader::open(member, path.clone(), wants_types, bytes)?))
    });
    let options = JsonOptions {
        depth: options.depth,
        types: options.types,
        columns: options.columns.clone(),
        new_keys: options.new_keys,
        ..JsonOptions::default()
    };
    json::open_records(files, &options, read, &opener)
}

fn invalid_path(path: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("`{path}` is not the name of a row element"))
        .arg("row", path)
        .hint("write its name, `order`, or its path from the root, `orders/order`")
}
