//! Builds the columns of a batch: texts inline or in each column's own buffer, `_file`, `_row`.

use crate::csv::syntax::Syntax;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewBuilder};
use arrow::datatypes::SchemaRef;
use memchr::memchr;
use model::{Problem, Result, codes};
use std::sync::Arc;

/// Long texts of a column are kept in blocks of this size; the last one is half empty on average.
const BLOCK_BYTES: u32 = 32 * 1024;

/// Records of one window of a chunk.
pub(crate) struct Block<'a> {
    /// The text of the window.
    pub(crate) text: &'a str,
    /// Where it begins in the chunk.
    pub(crate) base: u32,
    /// Where fields begin, see [`crate::csv::index::Index`].
    pub(crate) cuts: &'a [u32],
    /// For each record, the place of its first field in `cuts`.
    pub(crate) records: &'a [u32],
    /// Fields of a record.
    pub(crate) width: usize,
}

impl Block<'_> {
    /// Where each record lies in the chunk.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (u32, u32)> {
        self.records.iter().map(|record| {
            let at = *record as usize;
            (self.cuts[at], self.cuts[at + self.width] - 1)
        })
    }

    /// Beginning and end of the field number `field` of each record.
    #[inline]
    fn fields(&self, field: usize) -> impl Iterator<Item = (usize, usize)> {
        let cuts = &self.cuts[field..];
        let is_last = field + 1 == self.width;
        let bytes = self.text.as_bytes();
        self.records.iter().map(move |record| {
            let at = *record as usize;
            let start = (cuts[at] - self.base) as usize;
            let end = (cuts[at + 1] - self.base) as usize - 1;
            // The carriage return of CR LF is not part of the last field.
            let is_return = is_last
                && end > start
                && bytes[end - 1] == b'\r'
                && bytes.get(end).is_none_or(|byte| *byte == b'\n');
            (start, end - usize::from(is_return))
        })
    }
}

/// A batch under construction.
pub(crate) struct Columns {
    schema: SchemaRef,
    texts: Vec<StringViewBuilder>,
    /// For each row, the number of its first line.
    pub(crate) lines: Vec<i64>,
    /// For each row, where its record lies in the chunk.
    pub(crate) spans: Vec<(u32, u32)>,
    null_values: Vec<String>,
    /// Rows that the next batch will have, or somewhat fewer.
    expected_rows: usize,
}

impl Columns {
    /// Columns for `schema`, whose last two fields are `_file` and `_row`.
    pub(crate) fn new(schema: SchemaRef, null_values: Vec<String>) -> Self {
        let texts = (2..schema.fields().len()).map(|_| StringViewBuilder::new()).collect();
        let (lines, spans) = (Vec::new(), Vec::new());
        Self { schema, texts, lines, spans, null_values, expected_rows: 0 }
    }

    /// Makes room for batches of so many rows.
    pub(crate) fn expect(&mut self, rows: usize) {
        self.expected_rows = rows;
        self.texts.fill_with(|| text_builder(rows));
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.lines.len()
    }

    /// Adds one value. An unquoted empty text is null.
    pub(crate) fn push(&mut self, column: usize, text: &str, is_quoted: bool) {
        let is_null =
            !is_quoted && (text.is_empty() || self.null_values.iter().any(|null| null == text));
        let builder = &mut self.texts[column];
        if is_null { builder.append_null() } else { builder.append_value(text) }
    }

    /// Adds one field of many records at once, from a block without quotes.
    pub(crate) fn push_plain(&mut self, column: usize, block: &Block<'_>, field: usize) {
        let builder = &mut self.texts[column];
        let nulls = self.null_values.as_slice();
        for (start, end) in block.fields(field) {
            let value = &block.text[start..end];
            if value.is_empty() || (!nulls.is_empty() && nulls.iter().any(|null| null == value)) {
                builder.append_null();
            } else {
                builder.append_value(value);
            }
        }
    }

    /// The same for a block with quotes.
    pub(crate) fn push_quoted(
        &mut self,
        column: usize,
        block: &Block<'_>,
        field: usize,
        syntax: &Syntax,
    ) {
        let quote = syntax.quote.unwrap_or(b'"');
        let text = block.text;
        for (start, end) in block.fields(field) {
            if start + 2 > end || text.as_bytes()[start] != quote {
                self.push(column, &text[start..end], false);
                continue;
            }
            let inner = &text[start + 1..end - 1];
            if memchr(quote, inner.as_bytes()).is_none() {
                self.texts[column].append_value(inner);
            } else {
                let value = crate::csv::split::text(inner, true, syntax);
                self.texts[column].append_value(value);
            }
        }
    }

    /// Adds nulls to a column that the file does not have.
    pub(crate) fn push_nulls(&mut self, column: usize, count: usize) {
        for _ in 0..count {
            self.texts[column].append_null();
        }
    }

    /// The batch of all rows so far; begins a new one.
    pub(crate) fn finish(&mut self, file: &str) -> Result<RecordBatch> {
        let rows = self.rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.texts.len() + 2);
        for builder in &mut self.texts {
            columns.push(Arc::new(builder.finish()));
            // A finished builder has given its room away; growing it again step by step costs a
            // third of the whole parsing time.
            *builder = text_builder(self.expected_rows);
        }
        let mut files = StringViewBuilder::with_capacity(rows);
        files.try_append_value_n(file, rows).map_err(|error| internal(&error))?;
        columns.push(Arc::new(files.finish()));
        columns.push(Arc::new(Int64Array::from(std::mem::take(&mut self.lines))));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|error| internal(&error))
    }
}

fn text_builder(rows: usize) -> StringViewBuilder {
    StringViewBuilder::with_capacity(rows).with_fixed_block_size(BLOCK_BYTES)
}

fn internal(error: &arrow::error::ArrowError) -> Problem {
    Problem::new(&codes::INTERNAL, "the columns of a file do not form a batch").detail(error)
}
