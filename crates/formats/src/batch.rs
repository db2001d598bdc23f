//! What readers share: the origin columns, batches with rows taken out, and streams of batches
//! that are made on threads where blocking is allowed.

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringViewBuilder,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use contracts::BatchStream;
use contracts::arrow_types::{HEADER_KEY, origin_fields, to_field};
use futures::StreamExt;
use futures::stream;
use model::{DataType, Problem, Result, codes, lake_column_names};
use std::sync::Arc;

/// The schema of a source: its columns under their lake names, then `_file` and `_row`.
pub(crate) fn source_schema<'a>(
    columns: impl IntoIterator<Item = (&'a str, &'a DataType)>,
) -> SchemaRef {
    let columns: Vec<(&str, &DataType)> = columns.into_iter().collect();
    let headers: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
    let mut fields: Vec<Field> = lake_column_names(&headers)
        .iter()
        .zip(&columns)
        .map(|(name, (header, data_type))| with_header(to_field(name, data_type), header))
        .collect();
    fields.extend(origin_fields());
    Arc::new(Schema::new(fields))
}

/// A field that remembers its name in the source.
pub(crate) fn with_header(field: Field, header: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(HEADER_KEY.to_owned(), header.to_owned());
    field.with_metadata(metadata)
}

/// The columns `_file` and `_row`.
pub(crate) fn origin_columns(file: &str, rows: Vec<i64>) -> [ArrayRef; 2] {
    [file_column(file, rows.len()), Arc::new(Int64Array::from(rows))]
}

/// The same text for every row; its bytes are kept once.
fn file_column(file: &str, rows: usize) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows);
    if file.len() > 12
        && let Ok(length) = u32::try_from(file.len())
    {
        let block = builder.append_block(file.as_bytes().to_vec().into());
        for _ in 0..rows {
            builder.try_append_view(block, 0, length).expect("the block holds the name");
        }
    } else {
        (0..rows).for_each(|_| builder.append_value(file));
    }
    Arc::new(builder.finish())
}

/// A batch of so many rows, which need not have columns; rows where `keep` is false are left out.
pub(crate) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    keep: Vec<bool>,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(keep.len()));
    let built = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options);
    let kept = match built {
        Ok(batch) if keep.iter().all(|keep| *keep) => Ok(batch),
        Ok(batch) => filter_record_batch(&batch, &BooleanArray::from(keep)),
        Err(error) => Err(error),
    };
    kept.map_err(|error| {
        Problem::new(&codes::INTERNAL, "a reader's columns do not form a batch").detail(error)
    })
}

/// A stream of what `step` gives until it gives none; each step runs where blocking is allowed.
/// A panic in a step ends the stream with the problem that `on_panic` makes of its text.
pub(crate) fn blocking_stream<S: Send + 'static>(
    state: S,
    step: fn(&mut S) -> Result<Option<RecordBatch>>,
    on_panic: impl Fn(String) -> Problem + Send + Clone + 'static,
) -> BatchStream {
    let next = move |state: Option<S>| {
        let on_panic = on_panic.clone();
        async move {
            let mut state = state?;
            let work = move || {
                let result = step(&mut state);
                (result, state)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok((Ok(Some(batch)), state)) => Some((Ok(batch), Some(state))),
                Ok((Ok(None), _)) => None,
                Ok((Err(problem), _)) => Some((Err(problem), None)),
                Err(error) => Some((Err(on_panic(panic_text(error))), None)),
            }
        }
    };
    stream::unfold(Some(state), next).boxed()
}

/// Runs `work` where blocking is allowed; a panic becomes the problem that `on_panic` makes.
pub(crate) fn guarded<T>(
    work: impl FnOnce() -> Result<T> + std::panic::UnwindSafe,
    on_panic: impl FnOnce(String) -> Problem,
) -> Result<T> {
    match std::panic::catch_unwind(work) {
        Ok(result) => result,
        Err(payload) => Err(on_panic(payload_text(&*payload))),
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => payload_text(&*payload),
        Err(error) => error.to_string(),
    }
}

fn payload_text(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "unknown".to_owned())
}
