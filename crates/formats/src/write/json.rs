//! JSON: one object per line, or one list of objects.

use super::RowWriter;
use super::cells::{Cells, object};
use super::target::Target;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::Result;

const FLUSH_BYTES: usize = 64 * 1024;

pub(super) struct JsonWriter {
    schema: SchemaRef,
    target: Target,
    is_lines: bool,
    has_rows: bool,
    text: String,
}

impl JsonWriter {
    pub(super) fn new(schema: SchemaRef, target: Target, is_lines: bool) -> Self {
        Self { schema, target, is_lines, has_rows: false, text: String::new() }
    }

    fn flush(&mut self) -> Result<()> {
        self.target.write(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

impl RowWriter for JsonWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = SchemaRef::clone(&self.schema);
        let fields = schema.fields().iter().zip(batch.columns());
        let columns = fields
            .map(|(field, column)| Ok((field.name().as_str(), Cells::new(field, column)?)))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            if !self.is_lines {
                self.text.push_str(if self.has_rows { ",\n" } else { "[\n" });
            }
            self.has_rows = true;
            object(&mut self.text, columns.iter().map(|(name, cells)| (*name, cells, row)));
            if self.is_lines {
                self.text.push('\n');
            }
            if self.text.len() > FLUSH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if !self.is_lines {
            self.text.push_str(if self.has_rows { "\n]\n" } else { "[]\n" });
        }
        self.flush()?;
        self.target.finish()
    }
}
