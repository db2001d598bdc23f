//! The columns of sheets: their headers and types from a sample, their values into batches.

use super::sheet::{Row, column_name};
use super::value::{Value, number_text};
use super::{ExcelOptions, Types};
use crate::batch::{self, origin_columns, source_schema};
use crate::write::cells::quote;
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch,
    StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use contracts::arrow_types::UTC;
use contracts::rejects::RejectError;
use model::{DataType, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Whole numbers up to this size are exact in a sheet.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const BATCH_ROWS: usize = 8192;
/// Cells of a batch, nulls included: a sheet may be wide.
const BATCH_CELLS: usize = 1 << 20;
const BATCH_TEXT_BYTES: usize = 8 << 20;

/// What a sample says about one sheet.
#[derive(Debug, Default)]
pub(super) struct SheetSample {
    headers: BTreeMap<u32, String>,
    kinds: BTreeMap<u32, Kinds>,
}

/// Which kinds of values a column has.
#[derive(Debug, Default, Clone, Copy)]
struct Kinds {
    text: bool,
    integer: bool,
    float: bool,
    boolean: bool,
    date: bool,
    time: bool,
    instant: bool,
}

impl SheetSample {
    pub(super) fn header(&mut self, row: Row) {
        let headers = row.cells.into_iter();
        self.headers = headers.map(|(column, value)| (column, value.text())).collect();
    }

    pub(super) fn row(&mut self, row: &Row) {
        for (column, value) in &row.cells {
            let kinds = self.kinds.entry(*column).or_default();
            match value {
                Value::Text(_) => kinds.text = true,
                Value::Number(number) if is_integer(*number) => kinds.integer = true,
                Value::Number(_) => kinds.float = true,
                Value::Boolean(_) => kinds.boolean = true,
                Value::Date(_) => kinds.date = true,
                Value::Time(_) => kinds.time = true,
                Value::Instant(_) => kinds.instant = true,
                // What went wrong in a formula says nothing about its column.
                Value::Error(_) => {}
            }
        }
    }

    /// The columns of the sheet and their headers: from the first with a header or a value to
    /// the last one.
    fn columns(&self) -> impl Iterator<Item = (u32, &str)> {
        let columns = || self.headers.keys().chain(self.kinds.keys()).copied();
        let range = columns().min().zip(columns().max());
        let range = range.map(|(first, last)| first..=last).into_iter().flatten();
        range.map(|column| (column, self.headers.get(&column).map_or("", String::as_str)))
    }
}

fn is_integer(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() <= EXACT_MAX
}

impl Kinds {
    fn add(&mut self, other: Self) {
        self.text |= other.text;
        self.integer |= other.integer;
        self.float |= other.float;
        self.boolean |= other.boolean;
        self.date |= other.date;
        self.time |= other.time;
        self.instant |= other.instant;
    }

    fn data_type(self) -> DataType {
        let number = self.integer || self.float;
        let day = self.date || self.instant;
        match (self.text, number, self.boolean, day, self.time) {
            (false, true, false, false, false) if self.float => DataType::Float,
            (false, true, false, false, false) => DataType::Integer,
            (false, false, true, false, false) => DataType::Boolean,
            (false, false, false, true, false) if self.instant => DataType::Timestamp,
            (false, false, false, true, false) => DataType::Date,
            (false, false, false, false, true) => DataType::Time,
            _ => DataType::String,
        }
    }
}

/// The columns of all sheets, and where each sheet has them.
#[derive(Debug)]
pub(super) struct Columns {
    types: Vec<DataType>,
    headers: Vec<String>,
    pub(super) schema: SchemaRef,
    /// For each sheet: its column to ours.
    pub(super) places: Vec<Arc<HashMap<u32, usize>>>,
}

impl Columns {
    /// Columns with the same header are the same; of a header that repeats, the n-th ones.
    pub(super) fn new(samples: &[SheetSample], options: &ExcelOptions) -> Self {
        let mut headers: Vec<String> = Vec::new();
        let mut kinds: Vec<Kinds> = Vec::new();
        let mut known: HashMap<(String, usize), usize> = HashMap::new();
        let mut places = Vec::new();
        for sample in samples {
            let mut seen: HashMap<String, usize> = HashMap::new();
            let mut place = HashMap::new();
            for (column, header) in sample.columns() {
                // Columns without a header are told apart by their letters.
                let key = match header.trim() {
                    "" => format!("\u{0}{}", column_name(column)),
                    header => header.to_owned(),
                };
                let repeat = seen.entry(key.clone()).or_insert(0);
                *repeat += 1;
                let at = *known.entry((key, *repeat)).or_insert_with(|| {
                    headers.push(header.trim().to_owned());
                    kinds.push(Kinds::default());
                    headers.len() - 1
                });
                kinds[at].add(sample.kinds.get(&column).copied().unwrap_or_default());
                place.insert(column, at);
            }
            places.push(Arc::new(place));
        }
        let types: Vec<DataType> = match options.types {
            Types::Text => vec![DataType::String; headers.len()],
            Types::Infer => kinds.iter().map(|kinds| kinds.data_type()).collect(),
        };
        let schema = source_schema(headers.iter().map(String::as_str).zip(&types));
        Self { types, headers, schema, places }
    }
}

enum Cells {
    Text(StringViewBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Instant(TimestampMicrosecondBuilder),
}

impl Cells {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Integer => Self::Integer(Int64Builder::new()),
            DataType::Float => Self::Float(Float64Builder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp => {
                Self::Instant(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            _ => Self::Text(StringViewBuilder::new()),
        }
    }

    fn null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Instant(builder) => builder.append_null(),
        }
    }

    /// Adds a value; one that does not fit becomes a null and the name of what was expected.
    fn append(&mut self, value: &Value) -> Result<(), &'static str> {
        match (&mut *self, value) {
            (Self::Text(builder), value) => builder.append_value(value.text()),
            (Self::Integer(builder), Value::Number(number)) if is_integer(*number) => {
                builder.append_value(*number as i64);
            }
            (Self::Float(builder), Value::Number(number)) => builder.append_value(*number),
            (Self::Boolean(builder), Value::Boolean(value)) => builder.append_value(*value),
            (Self::Date(builder), Value::Date(days)) => builder.append_value(*days),
            (Self::Time(builder), Value::Time(micros)) => builder.append_value(*micros),
            (Self::Instant(builder), Value::Instant(micros)) => builder.append_value(*micros),
            (Self::Instant(builder), Value::Date(days)) => {
                builder.append_value(i64::from(*days) * 86_400_000_000);
            }
            _ => {
                self.null();
                return Err(self.expected());
            }
        }
        Ok(())
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Text(_) => "is not a text",
            Self::Integer(_) => "is not an integer",
            Self::Float(_) => "is not a number",
            Self::Boolean(_) => "is not true or false",
            Self::Date(_) => "is not a date",
            Self::Time(_) => "is not a time",
            Self::Instant(_) => "is not a date with a time",
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Instant(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Gathers the rows of one sheet into batches.
pub(super) struct BatchBuilder {
    columns: Arc<Columns>,
    places: Arc<HashMap<u32, usize>>,
    file: String,
    cells: Vec<Cells>,
    rows: Vec<i64>,
    keep: Vec<bool>,
    text_bytes: usize,
}

impl BatchBuilder {
    pub(super) fn new(columns: &Arc<Columns>, sheet: usize, file: &str) -> Self {
        Self {
            cells: columns.types.iter().map(Cells::new).collect(),
            places: Arc::clone(&columns.places[sheet]),
            columns: Arc::clone(columns),
            file: file.to_owned(),
            rows: Vec::new(),
            keep: Vec::new(),
            text_bytes: 0,
        }
    }

    /// Adds a row, or says what is wrong with it.
    pub(super) fn append(&mut self, row: &Row) -> Vec<RejectError> {
        let mut errors: Vec<RejectError> = Vec::new();
        if let Some(fault) = &row.fault {
            errors.push(RejectError { column: String::new(), value: None, reason: fault.clone() });
        }
        let mut values: Vec<Option<&Value>> = vec![None; self.cells.len()];
        for (column, value) in &row.cells {
            match self.places.get(column) {
                Some(place) => values[*place] = Some(value),
                None => errors.push(RejectError {
                    column: column_name(*column),
                    value: Some(value.text()),
                    reason: "stands in a column that the first rows do not have".to_owned(),
                }),
            }
        }
        for (at, (cells, value)) in self.cells.iter_mut().zip(values).enumerate() {
            let Some(value) = value else {
                cells.null();
                continue;
            };
            if let Value::Text(text) = value {
                self.text_bytes += text.len();
            }
            if let Err(expected) = cells.append(value) {
                let column = self.columns.schema.field(at).name().clone();
                let reason = expected.to_owned();
                errors.push(RejectError { column, value: Some(value.text()), reason });
            }
        }
        self.rows.push(row.number);
        self.keep.push(errors.is_empty());
        errors
    }

    /// A rejected row as JSON, by its headers.
    pub(super) fn record(&self, row: &Row) -> String {
        let mut record = String::from("{");
        for (column, value) in &row.cells {
            if record.len() > 1 {
                record.push(',');
            }
            let header = self.places.get(column).map(|at| self.columns.headers[*at].as_str());
            match header {
                Some(header) if !header.is_empty() => quote(header, &mut record),
                _ => quote(&column_name(*column), &mut record),
            }
            record.push(':');
            match value {
                Value::Number(number) => record.push_str(&number_text(*number)),
                value => quote(&value.text(), &mut record),
            }
        }
        record.push('}');
        record
    }

    /// Whether it is time to finish the batch.
    pub(super) fn is_full(&self) -> bool {
        let rows = self.rows.len();
        rows >= BATCH_ROWS
            || rows * self.cells.len() >= BATCH_CELLS
            || self.text_bytes >= BATCH_TEXT_BYTES
    }

    /// Rows gathered and text bytes in them.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.rows.len() as u64, self.text_bytes as u64)
    }

    /// The rows so far.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = self.cells.iter_mut().map(Cells::finish).collect();
        columns.extend(origin_columns(&self.file, std::mem::take(&mut self.rows)));
        self.text_bytes = 0;
        batch::batch(&self.columns.schema, columns, std::mem::take(&mut self.keep))
    }
}
