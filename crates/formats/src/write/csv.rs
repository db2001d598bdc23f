//! Comma-separated values.

use super::cells::Cells;
use super::target::Target;
use super::{CsvWriteOptions, Quoting, RowWriter};
use crate::encoding::Encoding;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use encoding_rs::EncoderResult;
use model::{Problem, Result, codes};

const FLUSH_BYTES: usize = 64 * 1024;

pub(super) struct CsvWriter {
    options: CsvWriteOptions,
    schema: SchemaRef,
    target: Target,
    text: String,
    /// The value that is being written.
    value: String,
}

impl CsvWriter {
    pub(super) fn new(
        options: &CsvWriteOptions,
        schema: SchemaRef,
        target: Target,
    ) -> Result<Self> {
        check(options)?;
        let mut writer = Self {
            options: options.clone(),
            schema,
            target,
            text: String::new(),
            value: String::new(),
        };
        if options.byte_order_mark {
            writer.text.push('\u{feff}');
        }
        if options.header {
            writer.header();
        }
        Ok(writer)
    }

    fn header(&mut self) {
        let schema = SchemaRef::clone(&self.schema);
        for (at, field) in schema.fields().iter().enumerate() {
            if at > 0 {
                self.text.push(self.options.delimiter);
            }
            self.value.clear();
            self.value.push_str(field.name());
            self.push_value(true);
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        self.text.push_str(if self.options.crlf { "\r\n" } else { "\n" });
    }

    /// Adds the value, in quotes where it needs them.
    fn push_value(&mut self, is_text: bool) {
        let CsvWriteOptions { delimiter, quote, .. } = self.options;
        if is_text && self.options.neutralize_formulas && is_formula(&self.value) {
            self.value.insert(0, '\'');
        }
        let is_quoted = match self.options.quoting {
            Quoting::All => true,
            Quoting::Texts if is_text => true,
            Quoting::Texts | Quoting::Needed => {
                let is_special = |c: char| c == delimiter || c == quote || c == '\r' || c == '\n';
                self.value == self.options.null
                    || self.value.contains(is_special)
                    || self.value.starts_with([' ', '\t', '\u{feff}'])
                    || self.value.ends_with([' ', '\t'])
            }
        };
        if !is_quoted {
            return self.text.push_str(&self.value);
        }
        self.text.push(quote);
        for character in self.value.chars() {
            if character == quote {
                self.text.push(quote);
            }
            self.text.push(character);
        }
        self.text.push(quote);
    }

    fn push_cell(&mut self, cells: &Cells<'_>, row: usize, is_only: bool) {
        if cells.is_null(row) {
            self.text.push_str(&self.options.null);
            // A line with nothing on it would not be a row.
            if is_only && self.options.null.is_empty() {
                self.text.extend([self.options.quote, self.options.quote]);
            }
            return;
        }
        self.value.clear();
        cells.text(row, &mut self.value);
        let is_number = matches!(cells, Cells::Float(_) | Cells::Decimal(_));
        if is_number
            && self.options.decimal_comma
            && let Some(at) = self.value.find('.')
        {
            self.value.replace_range(at..=at, ",");
        }
        self.push_value(matches!(cells, Cells::Text(_) | Cells::Json(_)));
    }

    fn flush(&mut self) -> Result<()> {
        let bytes = encode(&self.text, self.options.encoding)?;
        self.target.write(bytes.as_deref().unwrap_or(self.text.as_bytes()))?;
        self.text.clear();
        Ok(())
    }
}

impl RowWriter for CsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = SchemaRef::clone(&self.schema);
        let fields = schema.fields().iter().zip(batch.columns());
        let columns =
            fields.map(|(field, column)| Cells::new(field, column)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            for (at, cells) in columns.iter().enumerate() {
                if at > 0 {
                    self.text.push(self.options.delimiter);
                }
                self.push_cell(cells, row, columns.len() == 1);
            }
            self.end_line();
            if self.text.len() > FLUSH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        self.target.finish()
    }
}

fn check(options: &CsvWriteOptions) -> Result<()> {
    let CsvWriteOptions { delimiter, quote, .. } = options;
    let fact = match () {
        () if delimiter == quote => format!("delimiter and quote are both `{quote}`"),
        () if ['\r', '\n'].contains(delimiter) || ['\r', '\n'].contains(quote) => {
            "delimiter or quote is the end of a line".to_owned()
        }
        () if options.null.contains(['\r', '\n', *delimiter, *quote]) => {
            "the text for null holds a delimiter, a quote or the end of a line".to_owned()
        }
        () => return Ok(()),
    };
    Err(Problem::new(&codes::SETTING_INVALID, fact).hint("choose other characters"))
}

/// Whether a spreadsheet would take the text for a formula.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err()
}

/// The text in another encoding; none where it is UTF-8 already.
fn encode(text: &str, encoding: Encoding) -> Result<Option<Vec<u8>>> {
    let units = |to_bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to_bytes).collect();
    Ok(Some(match encoding {
        Encoding::Utf8 => return Ok(None),
        Encoding::Utf32Le => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Encoding::Utf32Be => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        Encoding::Other(other) if other == encoding_rs::UTF_16LE => units(u16::to_le_bytes),
        Encoding::Other(other) if other == encoding_rs::UTF_16BE => units(u16::to_be_bytes),
        Encoding::Other(other) => encode_legacy(text, other)?,
    }))
}

fn encode_legacy(text: &str, encoding: &'static encoding_rs::Encoding) -> Result<Vec<u8>> {
    let mut encoder = encoding.new_encoder();
    let room = encoder.max_buffer_length_from_utf8_without_replacement(text.len());
    let mut bytes = Vec::with_capacity(room.unwrap_or(text.len() * 4));
    let (result, _) = encoder.encode_from_utf8_to_vec_without_replacement(text, &mut bytes, true);
    match result {
        EncoderResult::Unmappable(character) => Err(Problem::new(
            &codes::TYPE_MISMATCH,
            format!("the character `{character}` does not exist in {}", encoding.name()),
        )
        .arg("character", character)
        .arg("encoding", encoding.name())
        .hint("write UTF-8, or replace the character before")),
        EncoderResult::InputEmpty | EncoderResult::OutputFull => Ok(bytes),
    }
}
