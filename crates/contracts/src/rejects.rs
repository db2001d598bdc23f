//! Rows that cannot be accepted, and why: the same columns on every `rejects` port.

use crate::arrow_types::{FILE, ROW};
use arrow::array::{
    ArrayRef, Int64Builder, ListBuilder, RecordBatch, StringViewBuilder, StructBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use model::{Problem, Result, codes};
use std::sync::{Arc, LazyLock};

/// The extra column of a query with a `rejects` port: what is wrong with the row, or null.
pub const ERRORS: &str = "_errors";
/// The extra column of a query with a `rejects` port: the row as JSON, where it is rejected.
pub const RECORD: &str = "_record";
/// The extra column of a query with checks: numbers of the failed ones that do not reject.
pub const NOTES: &str = "_notes";
/// The extra column of a query with several ports: the number of the row's port, from 0.
pub const PORT: &str = "_port";
/// Byte offset of the record in its file.
pub const OFFSET: &str = "_offset";
/// The node that rejected the row.
pub const NODE: &str = "_node";

/// A rejected record is kept up to this length.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// One thing that is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectError {
    /// The column, or empty when it is the record as a whole.
    pub column: String,
    /// The value as received, if there is one.
    pub value: Option<String>,
    /// A lowercase fact, such as `is not an integer`.
    pub reason: String,
}

/// One rejected row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The file it came from.
    pub file: Option<String>,
    /// Line or row number, from 1.
    pub row: Option<i64>,
    /// Byte offset in the file (after decompression and decoding), from 0.
    pub offset: Option<i64>,
    /// What is wrong; never empty.
    pub errors: Vec<RejectError>,
    /// The raw line, or the row as JSON; at most 64 KiB are kept.
    pub record: String,
}

/// Takes the rejected rows of a source or operator while it runs. Never blocks for long.
pub trait RejectSink: Send + Sync {
    /// Hands one row over.
    fn reject(&self, reject: Reject) -> Result<()>;
}

/// `struct<column, value, reason>`.
pub fn error_fields() -> Fields {
    Fields::from(vec![
        Field::new("column", DataType::Utf8View, true),
        Field::new("value", DataType::Utf8View, true),
        Field::new("reason", DataType::Utf8View, true),
    ])
}

/// The type of `_errors`.
pub fn errors_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(error_fields()), true)))
}

/// The type of `_notes`.
pub fn notes_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int32, true)))
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(FILE, DataType::Utf8View, true),
        Field::new(ROW, DataType::Int64, true),
        Field::new(OFFSET, DataType::Int64, true),
        Field::new(NODE, DataType::Utf8View, true),
        Field::new(ERRORS, errors_type(), true),
        Field::new(RECORD, DataType::Utf8View, true),
    ]))
});

/// The schema of every `rejects` port: `_file, _row, _offset, _node, _errors, _record`.
pub fn rejects_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// A builder of `_errors` values.
pub fn errors_builder() -> ListBuilder<StructBuilder> {
    let item = Field::new("item", DataType::Struct(error_fields()), true);
    ListBuilder::new(StructBuilder::from_fields(error_fields(), 0)).with_field(item)
}

/// Adds one error to the current list of `builder`; the caller ends the list with `append`.
pub fn append_error(
    builder: &mut ListBuilder<StructBuilder>,
    column: &str,
    value: Option<&str>,
    reason: &str,
) {
    let item = builder.values();
    let texts = [Some(column), value, Some(reason)];
    for (at, text) in texts.into_iter().enumerate() {
        if let Some(field) = item.field_builder::<StringViewBuilder>(at) {
            field.append_option(text.map(cut));
        }
    }
    item.append(true);
}

fn cut(text: &str) -> &str {
    stdx::text::truncate(text, RECORD_BYTES_MAX)
}

/// A batch on the schema of [`rejects_schema`].
pub fn rejects_batch(node: &str, rejects: &[Reject]) -> Result<RecordBatch> {
    let mut file = StringViewBuilder::new();
    let mut row = Int64Builder::new();
    let mut offset = Int64Builder::new();
    let mut nodes = StringViewBuilder::new();
    let mut errors = errors_builder();
    let mut record = StringViewBuilder::new();
    for reject in rejects {
        file.append_option(reject.file.as_deref());
        row.append_option(reject.row);
        offset.append_option(reject.offset);
        nodes.append_value(node);
        for error in &reject.errors {
            append_error(&mut errors, &error.column, error.value.as_deref(), &error.reason);
        }
        errors.append(true);
        record.append_value(cut(&reject.record));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(file.finish()),
        Arc::new(row.finish()),
        Arc::new(offset.finish()),
        Arc::new(nodes.finish()),
        Arc::new(errors.finish()),
        Arc::new(record.finish()),
    ];
    RecordBatch::try_new(rejects_schema(), columns).map_err(|error| {
        Problem::new(&codes::INTERNAL, "rejected rows do not form a batch").detail(error)
    })
}
