//! Rows in the forms that travel.

use crate::commands::tables::columns;
use api::query::{RowFormat, RowPage};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use contracts::Batches;
use formats::write::{Compression, CsvWriteOptions, ParquetWriteOptions, RowWriter, WriteFormat};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Problem, Result, codes};
use serde_json::{Map, Value};
use std::io::Write;
use std::sync::Arc;

/// Bytes of the rows of a page at most, as JSON: pages are read as a whole.
const PAGE_BYTES_MAX: usize = 32 << 20;

pub(super) fn unwritable(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "rows cannot be written").detail(error)
}

/// Rows as a page of JSON.
pub(super) fn page(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RowPage> {
    let text = contracts::rows::write(batches)?;
    if text.len() > PAGE_BYTES_MAX {
        let fact = "the rows of the page take more than 32 MiB";
        return Err(Problem::new(&codes::RESPONSE_TOO_LARGE, fact)
            .hint("ask for fewer rows at a time, or for another form than JSON"));
    }
    let items = text.lines().map(serde_json::from_str::<Map<String, Value>>);
    let items = items.collect::<Result<_, _>>().map_err(unwritable)?;
    Ok(RowPage { columns: columns(schema), items, next: None, cut: None })
}

/// The first rows of a stream, and whether there are more.
pub(super) async fn first(batches: Batches, limit: u64) -> Result<(Vec<RecordBatch>, bool)> {
    let mut room = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows = stream::iter(batches.partitions).flatten();
    let mut kept = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        if batch.num_rows() > room {
            kept.push(batch.slice(0, room));
            return Ok((kept, true));
        }
        room -= batch.num_rows();
        kept.push(batch);
    }
    Ok((kept, false))
}

/// A writer of rows in a form of bytes.
pub(super) fn writer(
    format: RowFormat,
    schema: &SchemaRef,
    target: Box<dyn Write + Send>,
) -> Result<Box<dyn RowWriter>> {
    let format = match format {
        RowFormat::Arrow => return ArrowStream::open(schema, target),
        RowFormat::Csv => WriteFormat::Csv(CsvWriteOptions::default()),
        RowFormat::Ndjson => WriteFormat::Ndjson,
        RowFormat::Json => WriteFormat::Json,
        RowFormat::Parquet => WriteFormat::Parquet(ParquetWriteOptions::default()),
    };
    formats::write::open(&format, Compression::None, Arc::clone(schema), target)
}

/// An Arrow IPC stream. Views of texts become plain texts, which every reader knows.
struct ArrowStream {
    schema: SchemaRef,
    writer: StreamWriter<Box<dyn Write + Send>>,
}

impl ArrowStream {
    fn open(schema: &SchemaRef, target: Box<dyn Write + Send>) -> Result<Box<dyn RowWriter>> {
        let fields = schema.fields().iter().map(plain_field);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let writer = StreamWriter::try_new(target, &schema).map_err(unwritable)?;
        Ok(Box::new(Self { schema, writer }))
    }
}

impl RowWriter for ArrowStream {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| cast(column, field.data_type()));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(unwritable)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(unwritable)?;
        self.writer.write(&batch).map_err(unwritable)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.finish().map_err(unwritable)
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::LargeList(plain_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::ipc::reader::StreamReader;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_arrow_stream_has_types_that_every_reader_knows() {
        let rows = contracts::rows::read(
            "{\"a\": \"x\", \"l\": [\"y\", null], \"s\": {\"t\": \"z\"}}\n{\"a\": null}",
        );
        let rows = rows.unwrap();
        assert!(rows.schema().to_string().contains("Utf8View"), "{}", rows.schema());
        let kept = Kept::default();
        let mut writer = writer(RowFormat::Arrow, &rows.schema(), Box::new(kept.clone())).unwrap();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        let bytes = kept.0.lock().unwrap().clone();
        let mut reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert!(!reader.schema().to_string().contains("View"), "{}", reader.schema());
        let read = reader.next().unwrap().unwrap();
        let (before, after) =
            (contracts::rows::write(&[rows]).unwrap(), contracts::rows::write(&[read]).unwrap());
        assert_eq!(before, after);
    }
}
