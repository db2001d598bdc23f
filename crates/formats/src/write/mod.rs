//! Rows into files: CSV, NDJSON, JSON, Parquet, XLSX, all behind one trait.
//!
//! Everything is streamed into one writer; the caller decides where that leads and when its bytes
//! are durable.

pub(crate) mod cells;
mod csv;
mod json;
mod parquet;
mod target;
#[cfg(test)]
mod tests;
mod xlsx;

use crate::encoding::Encoding;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::{Problem, Result, codes};
use std::io::Write;
use target::Target;

/// Takes batches of one schema and writes them.
pub trait RowWriter: Send {
    /// Writes the rows of a batch.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Writes what is left and flushes; nothing is whole before.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// The format of a file to write.
#[derive(Debug, Clone)]
pub enum WriteFormat {
    /// Comma-separated values, and their relatives.
    Csv(CsvWriteOptions),
    /// One JSON object per line.
    Ndjson,
    /// One JSON list of objects.
    Json,
    /// Parquet with zstd.
    Parquet(ParquetWriteOptions),
    /// An Excel workbook with one sheet.
    Xlsx(XlsxWriteOptions),
}

/// Compression around a file of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Which values of a CSV file stand in quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quoting {
    /// Those that could be misread without.
    #[default]
    Needed,
    /// All texts.
    Texts,
    /// All values that are not null.
    All,
}

/// How CSV files are written.
#[derive(Debug, Clone)]
pub struct CsvWriteOptions {
    /// Between values.
    pub delimiter: char,
    /// Around values; inside of them it is doubled.
    pub quote: char,
    /// Whether the first line has the names of the columns.
    pub header: bool,
    /// Which values stand in quotes. An empty text always does where nulls are written as nothing.
    pub quoting: Quoting,
    /// What is written for null; a text that looks the same is put in quotes.
    pub null: String,
    /// Whether numbers have a comma before their decimals.
    pub decimal_comma: bool,
    /// Whether lines end with `\r\n`.
    pub crlf: bool,
    /// Whether texts that a spreadsheet would take for a formula (they begin with `=`, `+`, `-`,
    /// `@`, a tab or a carriage return, and are no numbers) get a `'` in front.
    pub neutralize_formulas: bool,
    /// How characters are stored; one that cannot be is a problem.
    pub encoding: Encoding,
    /// Whether a byte order mark comes first, which Excel needs to recognise UTF-8.
    pub byte_order_mark: bool,
}

impl Default for CsvWriteOptions {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: '"',
            header: true,
            quoting: Quoting::default(),
            null: String::new(),
            decimal_comma: false,
            crlf: false,
            neutralize_formulas: false,
            encoding: Encoding::Utf8,
            byte_order_mark: false,
        }
    }
}

/// How Parquet files are written.
#[derive(Debug, Clone)]
pub struct ParquetWriteOptions {
    /// zstd level, 1 to 22.
    pub level: i32,
    /// Rows of a row group at most.
    pub row_group_rows: usize,
}

impl Default for ParquetWriteOptions {
    fn default() -> Self {
        Self { level: 3, row_group_rows: 1024 * 1024 }
    }
}

/// How workbooks are written.
#[derive(Debug, Clone)]
pub struct XlsxWriteOptions {
    /// Name of the sheet.
    pub sheet: String,
    /// Whether the first row has the names of the columns.
    pub header: bool,
}

impl Default for XlsxWriteOptions {
    fn default() -> Self {
        Self { sheet: "Data".to_owned(), header: true }
    }
}

/// A writer of rows with this schema into `target`.
pub fn open(
    format: &WriteFormat,
    compression: Compression,
    schema: SchemaRef,
    target: Box<dyn Write + Send>,
) -> Result<Box<dyn RowWriter>> {
    let is_text = matches!(format, WriteFormat::Csv(_) | WriteFormat::Ndjson | WriteFormat::Json);
    if !is_text && compression != Compression::None {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            "a Parquet file or workbook cannot be compressed once more",
        )
        .hint("leave `compression` out: these formats are compressed by themselves"));
    }
    Ok(match format {
        WriteFormat::Csv(options) => {
            Box::new(csv::CsvWriter::new(options, schema, Target::new(target, compression)?)?)
        }
        WriteFormat::Ndjson => {
            Box::new(json::JsonWriter::new(schema, Target::new(target, compression)?, true))
        }
        WriteFormat::Json => {
            Box::new(json::JsonWriter::new(schema, Target::new(target, compression)?, false))
        }
        WriteFormat::Parquet(options) => {
            Box::new(parquet::ParquetWriter::new(options, schema, target)?)
        }
        WriteFormat::Xlsx(options) => Box::new(xlsx::XlsxWriter::new(options, schema, target)?),
    })
}
