//! Rows by the folder they belong to: `day=2026-01-31/country=FR/`.

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::{Problem, Result, codes};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// What other tools take for a missing value.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// How rows are divided among folders.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    /// Positions of the columns whose values name the folders.
    columns: Vec<usize>,
    /// Positions of the columns that are written.
    kept: Vec<usize>,
    /// The columns that are written.
    pub(crate) schema: SchemaRef,
}

impl Split {
    /// Divides rows of `schema` by the values of columns.
    pub(crate) fn new(schema: &Schema, partition_by: &[String]) -> Result<Self> {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let mut columns = Vec::with_capacity(partition_by.len());
        for name in partition_by {
            let Some(at) = names().position(|known| known == name) else {
                let hint = match stdx::text::nearest(name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("columns are {}", stdx::text::list(names())),
                };
                let fact = format!("`partition_by` names the column `{name}`, which is not there");
                return Err(Problem::new(&codes::COLUMN_UNKNOWN, fact)
                    .arg("column", name)
                    .hint(hint));
            };
            columns.push(at);
        }
        let kept: Vec<usize> =
            (0..schema.fields().len()).filter(|at| !columns.contains(at)).collect();
        if kept.is_empty() {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                "`partition_by` names all columns, so nothing is left to write",
            )
            .hint("partition by fewer columns"));
        }
        let projected = schema.project(&kept).map_err(|error| internal(&error))?;
        Ok(Self { columns, kept, schema: Arc::new(projected) })
    }

    /// The rows of a batch per folder; folders in the order in which they occur.
    pub(crate) fn divide(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let kept = batch.project(&self.kept).map_err(|error| internal(&error))?;
        if self.columns.is_empty() {
            return Ok(vec![(String::new(), kept)]);
        }
        let schema = batch.schema();
        let options = FormatOptions::default();
        let mut formatters = Vec::with_capacity(self.columns.len());
        for at in &self.columns {
            let column = batch.column(*at);
            let formatter =
                ArrayFormatter::try_new(column, &options).map_err(|error| internal(&error))?;
            formatters.push((schema.field(*at).name(), column, formatter));
        }
        let mut rows: Vec<(String, Vec<u32>)> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut folder = String::new();
        for row in 0..batch.num_rows() {
            folder.clear();
            for (name, column, formatter) in &formatters {
                let value = match column.is_null(row) {
                    true => String::new(),
                    false => formatter.value(row).to_string(),
                };
                append_folder(&mut folder, name, &value);
            }
            let at = match positions.get(&folder) {
                Some(at) => *at,
                None => {
                    positions.insert(folder.clone(), rows.len());
                    rows.push((folder.clone(), Vec::new()));
                    rows.len() - 1
                }
            };
            rows[at].1.push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        if let [(folder, _)] = rows.as_mut_slice() {
            return Ok(vec![(std::mem::take(folder), kept)]);
        }
        let part = |(folder, rows): (String, Vec<u32>)| {
            let part = take_record_batch(&kept, &UInt32Array::from(rows));
            part.map(|part| (folder, part)).map_err(|error| internal(&error))
        };
        rows.into_iter().map(part).collect()
    }
}

/// `name=value/`, with the escapes that other tools know.
fn append_folder(folder: &mut String, name: &str, value: &str) {
    folder.push_str(name);
    folder.push('=');
    if value.is_empty() {
        folder.push_str(NULL_FOLDER);
    }
    for character in value.chars() {
        match character {
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^'
            | '}' | '<' | '>' | '|' | ' ' => {
                let _ = write!(folder, "%{:02X}", u32::from(character));
            }
            control if control.is_control() => {
                let _ = write!(folder, "%{:02X}", u32::from(control));
            }
            other => folder.push(other),
        }
    }
    folder.push('/');
}

fn internal(error: &ArrowError) -> Problem {
    Problem::new(&codes::INTERNAL, "rows cannot be divided among files").detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::rows;

    #[test]
    fn rows_go_to_the_folder_of_their_values() {
        let batch = rows::read(
            "{\"#types\": {\"day\": \"date\", \"n\": \"integer\", \"c\": \"string\"}}\n\
             {\"day\": \"2026-01-31\", \"n\": 1, \"c\": \"a/b\"}\n\
             {\"day\": null, \"n\": 2, \"c\": \"\"}\n\
             {\"day\": \"2026-01-31\", \"n\": 3, \"c\": \"a/b\"}",
        )
        .unwrap();
        let by = ["day".to_owned(), "c".to_owned()];
        let split = Split::new(&batch.schema(), &by).unwrap();
        let parts = split.divide(&batch).unwrap();
        let found: Vec<(&str, String)> = parts
            .iter()
            .map(|(folder, part)| {
                (folder.as_str(), rows::write(std::slice::from_ref(part)).unwrap())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("day=2026-01-31/c=a%2Fb/", "{\"n\":1}\n{\"n\":3}\n".to_owned()),
                (
                    "day=__HIVE_DEFAULT_PARTITION__/c=__HIVE_DEFAULT_PARTITION__/",
                    "{\"n\":2}\n".to_owned()
                ),
            ]
        );
        let problem = Split::new(&batch.schema(), &["dey".to_owned()]).unwrap_err();
        assert_eq!(problem.hint_text(), Some("did you mean `day`?"));
    }
}
