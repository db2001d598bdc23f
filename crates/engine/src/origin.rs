//! Gives rows that were made up the columns that say where rows come from.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Schema;
use contracts::Batches;
use contracts::arrow_types::origin_fields;
use futures::{StreamExt, TryStreamExt};
use model::{Problem, Result, codes};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The rows with the name `file` in `file_column` and their number in `row_column`.
pub(crate) fn add(
    batches: Batches,
    file_column: &str,
    file: &str,
    row_column: &str,
) -> Result<Batches> {
    let [file_field, row_field] = origin_fields();
    let mut fields: Vec<_> = batches.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(file_field.with_name(file_column)));
    fields.push(Arc::new(row_field.with_name(row_column)));
    let schema = Arc::new(Schema::new(fields));
    let wanted = Arc::clone(&schema);
    let file = file.to_owned();
    let next = Arc::new(AtomicI64::new(1));
    let numbered = batches.map_partitions(|partition| {
        let (schema, file, next) = (Arc::clone(&wanted), file.clone(), Arc::clone(&next));
        partition
            .and_then(move |batch| {
                let rows = batch.num_rows();
                let first = next.fetch_add(rows as i64, Ordering::Relaxed);
                let files: ArrayRef = Arc::new(StringViewArray::from(vec![file.as_str(); rows]));
                let numbers: ArrayRef =
                    Arc::new((first..first + rows as i64).collect::<Int64Array>());
                let columns = [batch.columns(), &[files, numbers]].concat();
                let result = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| {
                    Problem::new(&codes::INTERNAL, "rows cannot be numbered").detail(error)
                });
                async move { result }
            })
            .boxed()
    });
    Ok(Batches { schema, ..numbered })
}
