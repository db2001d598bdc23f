//! Columns under construction: rows of a database become batches, cell by cell, and a row with a
//! value that does not fit becomes a reject.

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanArray, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float64Builder, Int64Array, Int64Builder, ListArray, NullBufferBuilder, RecordBatch,
    StringViewArray, StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use contracts::arrow_types::{self, FILE, HEADER_KEY, ROW, UTC};
use contracts::{Reject, RejectError, RejectSink, rows};
use model::{DataType, Problem, Result, codes, lake_column_names};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A column under construction.
pub(super) enum Cells {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Text(StringViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Binary(BinaryViewBuilder),
    List(Box<ListCells>),
}

/// A column of lists under construction.
pub(super) struct ListCells {
    field: Arc<Field>,
    pub(super) items: Cells,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    items_count: i32,
}

impl Cells {
    /// An empty column.
    pub(super) fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Integer => Self::Integer(Int64Builder::new()),
            DataType::Decimal(_, _) => Self::Decimal(
                Decimal128Builder::new().with_data_type(arrow_types::to_arrow(data_type)),
            ),
            DataType::Float => Self::Float(Float64Builder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            DataType::Binary | DataType::Geometry => Self::Binary(BinaryViewBuilder::new()),
            DataType::List(item) => Self::List(Box::new(ListCells {
                field: Arc::new(arrow_types::to_field("item", item)),
                items: Self::new(item),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(1024),
                items_count: 0,
            })),
            DataType::String | DataType::Uuid | DataType::Json | DataType::Struct(_) => {
                Self::Text(StringViewBuilder::new())
            }
        }
    }

    /// Adds a null.
    pub(super) fn append_null(&mut self) {
        match self {
            Self::Boolean(cells) => cells.append_null(),
            Self::Integer(cells) => cells.append_null(),
            Self::Decimal(cells) => cells.append_null(),
            Self::Float(cells) => cells.append_null(),
            Self::Text(cells) => cells.append_null(),
            Self::Date(cells) => cells.append_null(),
            Self::Time(cells) => cells.append_null(),
            Self::Timestamp(cells) => cells.append_null(),
            Self::Binary(cells) => cells.append_null(),
            Self::List(cells) => cells.end_list(0, false),
        }
    }

    /// The column, after which it is empty again.
    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Boolean(cells) => Arc::new(cells.finish()),
            Self::Integer(cells) => Arc::new(cells.finish()),
            Self::Decimal(cells) => Arc::new(cells.finish()),
            Self::Float(cells) => Arc::new(cells.finish()),
            Self::Text(cells) => Arc::new(cells.finish()),
            Self::Date(cells) => Arc::new(cells.finish()),
            Self::Time(cells) => Arc::new(cells.finish()),
            Self::Timestamp(cells) => Arc::new(cells.finish()),
            Self::Binary(cells) => Arc::new(cells.finish()),
            Self::List(cells) => cells.finish()?,
        })
    }
}

impl ListCells {
    /// Ends a list whose `items` new items have been added; `valid` is false for a null.
    pub(super) fn end_list(&mut self, items: i32, valid: bool) {
        self.items_count += items;
        self.offsets.push(self.items_count);
        self.nulls.append(valid);
    }

    /// Items that belong to no list: the list that held them did not fit. The caller adds a null
    /// next, which then stands over them.
    pub(super) fn drop_items(&mut self, items: i32) {
        self.items_count += items;
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.items_count = 0;
        let values = self.items.finish()?;
        let offsets = OffsetBuffer::new(offsets.into());
        let list =
            ListArray::try_new(Arc::clone(&self.field), offsets, values, self.nulls.finish());
        Ok(Arc::new(list.map_err(no_batch)?))
    }
}

/// A column as it is read: its name in the database and our type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadColumn {
    /// The name in the database.
    pub name: String,
    /// Our type.
    pub data_type: DataType,
}

/// The schema of rows that are read: lake names, then `_file` and `_row`.
pub(super) fn read_schema(columns: &[ReadColumn]) -> SchemaRef {
    let headers: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let names = lake_column_names(&headers);
    let mut fields: Vec<Field> = Vec::with_capacity(columns.len() + 2);
    for (name, column) in names.iter().zip(columns) {
        let field = arrow_types::to_field(name, &column.data_type);
        let mut metadata = field.metadata().clone();
        metadata.insert(HEADER_KEY.to_owned(), column.name.clone());
        fields.push(field.with_metadata(metadata));
    }
    fields.extend(arrow_types::origin_fields());
    Arc::new(Schema::new(fields))
}

/// A batch under construction.
pub(super) struct RowBatcher {
    schema: SchemaRef,
    cells: Vec<Cells>,
    file: String,
    /// Number of the first row of the batch, from 1.
    first_row: i64,
    rows: usize,
    errors: Vec<RejectError>,
    failed: Vec<(usize, Vec<RejectError>)>,
    rejects: Arc<dyn RejectSink>,
}

impl RowBatcher {
    /// An empty batch. `file` is what `_file` says.
    pub(super) fn new(columns: &[ReadColumn], file: String, rejects: Arc<dyn RejectSink>) -> Self {
        Self {
            schema: read_schema(columns),
            cells: columns.iter().map(|column| Cells::new(&column.data_type)).collect(),
            file,
            first_row: 1,
            rows: 0,
            errors: Vec::new(),
            failed: Vec::new(),
            rejects,
        }
    }

    /// The column number `at`. Each row adds one value to each column.
    pub(super) fn cells(&mut self, at: usize) -> &mut Cells {
        &mut self.cells[at]
    }

    /// The value of column `at` does not fit: the row will be rejected.
    pub(super) fn fail(&mut self, at: usize, value: Option<String>, reason: &str) {
        self.cells[at].append_null();
        let column = self.schema.field(at).name().clone();
        self.errors.push(RejectError { column, value, reason: reason.to_owned() });
    }

    /// Every column has its value.
    pub(super) fn end_row(&mut self) {
        if !self.errors.is_empty() {
            self.failed.push((self.rows, std::mem::take(&mut self.errors)));
        }
        self.rows += 1;
    }

    /// Rows in the batch so far, rejected ones included.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The batch, without the rows that have been handed to `rejects`; none when nothing is left.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.cells.len() + 2);
        for cells in &mut self.cells {
            columns.push(cells.finish()?);
        }
        columns.push(Arc::new(repeated(&self.file, rows)?));
        let numbers = Int64Array::from_iter_values((self.first_row..).take(rows));
        columns.push(Arc::new(numbers));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(no_batch)?;
        let first_row = self.first_row;
        self.first_row += i64::try_from(rows).unwrap_or(i64::MAX);
        let failed = std::mem::take(&mut self.failed);
        if failed.is_empty() {
            return Ok(Some(batch));
        }
        let mut keep = vec![true; rows];
        for (row, errors) in failed {
            keep[row] = false;
            let number = first_row + i64::try_from(row).unwrap_or(i64::MAX);
            self.rejects.reject(Reject {
                file: Some(self.file.clone()),
                row: Some(number),
                offset: None,
                record: record(&batch.slice(row, 1), &errors)?,
                errors,
            })?;
        }
        let kept = filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(no_batch)?;
        Ok((kept.num_rows() > 0).then_some(kept))
    }
}

/// One text as often as there are rows; its bytes are stored once.
fn repeated(text: &str, rows: usize) -> Result<StringViewArray> {
    let mut builder = StringViewBuilder::with_capacity(rows);
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    if length <= 12 {
        (0..rows).for_each(|_| builder.append_value(text));
        return Ok(builder.finish());
    }
    let block = builder.append_block(text.as_bytes().to_vec().into());
    for _ in 0..rows {
        builder.try_append_view(block, 0, length).map_err(no_batch)?;
    }
    Ok(builder.finish())
}

/// The row as JSON; values that do not fit stand there as they were received.
fn record(row: &RecordBatch, errors: &[RejectError]) -> Result<String> {
    let text = rows::write(std::slice::from_ref(row))?;
    let mut record: Map<String, Value> = serde_json::from_str(text.trim()).unwrap_or_default();
    record.shift_remove(FILE);
    record.shift_remove(ROW);
    for error in errors {
        record.insert(error.column.clone(), error.value.clone().into());
    }
    Ok(Value::Object(record).to_string())
}

fn no_batch(error: arrow::error::ArrowError) -> Problem {
    Problem::new(&codes::INTERNAL, "rows of a database do not form a batch").detail(error)
}
