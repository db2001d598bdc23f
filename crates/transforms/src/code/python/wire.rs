//! Batches as bytes of an Arrow stream, in types that every version of pyarrow knows.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use model::{Problem, Result, codes};
use std::mem;
use std::sync::Arc;

/// Writes an Arrow stream piece by piece.
pub(super) struct Encoder {
    writer: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
}

impl Encoder {
    /// An encoder of batches on `schema`, in canonical types.
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        let schema = wire_schema(schema);
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(internal)?;
        Ok(Self { writer, schema })
    }

    /// The bytes of a batch, and of what was to be written before it.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let batch = with_schema(batch, &self.schema)?;
        self.writer.write(&batch).map_err(internal)?;
        Ok(mem::take(self.writer.get_mut()))
    }

    /// The bytes of the end.
    pub(super) fn end(mut self) -> Result<Vec<u8>> {
        self.writer.finish().map_err(internal)?;
        Ok(mem::take(self.writer.get_mut()))
    }
}

/// A batch on another schema with the same columns.
pub(super) fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()).map_err(internal),
        })
        .collect::<Result<_>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(internal)
}

fn wire_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(wire_field).collect();
    Arc::new(Schema::new(fields))
}

fn wire_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), wire_type(field.data_type()), true))
}

/// Views are young in Arrow: pandas and many kernels of pyarrow do not take them.
fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(wire_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(wire_field).collect()),
        other => other.clone(),
    }
}

fn internal(error: ArrowError) -> Problem {
    Problem::new(&codes::INTERNAL, "rows cannot be sent to Python").detail(error)
}
