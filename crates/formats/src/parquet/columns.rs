//! Columns of Parquet files in canonical types: casts, UUIDs as text, maps as JSON.

use crate::write::cells::Cells;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewBuilder, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{
    DataType as ArrowType, Field, Fields, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use contracts::arrow_types::{HEADER_KEY, TYPE_KEY, UTC, canonical_type, to_field};
use model::{DataType, Problem, Result, codes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::{LogicalType, Type as PhysicalType};
use std::collections::HashSet;
use std::sync::Arc;

/// What a library would give is not always what is wanted: texts and bytes as views, and old
/// 96-bit instants in µs, because ns do not reach every year.
pub(super) fn hinted_schema(metadata: &ArrowReaderMetadata) -> SchemaRef {
    let parquet = metadata.parquet_schema();
    let roots = parquet.root_schema().get_fields();
    let fields: Fields = metadata
        .schema()
        .fields()
        .iter()
        .zip(roots)
        .map(|(field, root)| {
            let is_int96 = root.is_primitive() && root.get_physical_type() == PhysicalType::INT96;
            let hinted = match field.data_type() {
                ArrowType::Utf8 | ArrowType::LargeUtf8 => ArrowType::Utf8View,
                ArrowType::Binary | ArrowType::LargeBinary => ArrowType::BinaryView,
                ArrowType::Timestamp(TimeUnit::Nanosecond, zone) if is_int96 => {
                    ArrowType::Timestamp(TimeUnit::Microsecond, zone.clone())
                }
                other => other.clone(),
            };
            field.as_ref().clone().with_data_type(hinted)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, metadata.schema().metadata().clone()))
}

/// The columns of a file in canonical types, under their own names.
pub(super) fn canonical_fields(metadata: &ArrowReaderMetadata) -> Vec<Field> {
    let geometries = geometry_columns(metadata);
    let roots = metadata.parquet_schema().root_schema().get_fields();
    let fields = metadata.schema().fields().iter().zip(roots);
    fields
        .map(|(field, root)| {
            let logical = root.get_basic_info().logical_type_ref();
            let is_text = matches!(field.data_type(), ArrowType::Utf8View | ArrowType::Utf8);
            let is_geometry = geometries.contains(field.name());
            let data_type = match logical {
                Some(LogicalType::Uuid) => Some(DataType::Uuid),
                Some(LogicalType::Json) if is_text => Some(DataType::Json),
                Some(LogicalType::Geometry { .. } | LogicalType::Geography { .. }) => {
                    Some(DataType::Geometry)
                }
                _ if is_geometry => Some(DataType::Geometry),
                _ if !is_castable(field.data_type()) => Some(as_text(field.data_type())),
                _ => known_type(field),
            };
            match data_type {
                Some(data_type) => to_field(field.name(), &data_type),
                None => Field::new(field.name(), canonical_type(field.data_type()), true),
            }
        })
        .collect()
}

/// A type that one of our own files has written into its metadata.
fn known_type(field: &Field) -> Option<DataType> {
    let name = field.metadata().get(TYPE_KEY)?;
    let data_type = DataType::parse(name).ok()?;
    let fits = contracts::arrow_types::to_arrow(&data_type) == canonical_type(field.data_type());
    fits.then_some(data_type)
}

fn as_text(arrow_type: &ArrowType) -> DataType {
    if arrow_type.is_nested() { DataType::Json } else { DataType::String }
}

/// Whether the values can be cast to their canonical type; others become text.
fn is_castable(arrow_type: &ArrowType) -> bool {
    match arrow_type {
        // Decimals beyond 38 digits would not fit.
        ArrowType::Decimal256(precision, _) => *precision <= 38,
        ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
            is_castable(item.data_type())
        }
        ArrowType::Struct(fields) => {
            !fields.is_empty() && fields.iter().all(|field| is_castable(field.data_type()))
        }
        ArrowType::Null => true,
        other => can_cast_types(other, &canonical_type(other)),
    }
}

/// Names of columns that the `geo` entry of a file calls geometries in WKB.
fn geometry_columns(metadata: &ArrowReaderMetadata) -> HashSet<String> {
    let entries = metadata.metadata().file_metadata().key_value_metadata();
    let geo = entries.into_iter().flatten().find(|entry| entry.key == "geo");
    let Some(text) = geo.and_then(|entry| entry.value.as_deref()) else { return HashSet::new() };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return HashSet::new() };
    let columns = value.get("columns").and_then(serde_json::Value::as_object);
    columns
        .into_iter()
        .flatten()
        .filter(|(_, column)| column.get("encoding").is_some_and(|name| name == "WKB"))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The name that a column has in its file.
pub(super) fn header(field: &Field) -> &str {
    field.metadata().get(HEADER_KEY).map_or(field.name(), String::as_str)
}

/// Which columns of a file are read, and in what order they are wanted.
pub(super) struct FileColumns {
    pub(super) projection: ProjectionMask,
    /// For each wanted column its place among the columns read, if the file has it.
    places: Vec<Option<usize>>,
}

impl FileColumns {
    pub(super) fn new(metadata: &ArrowReaderMetadata, schema: &Schema) -> Self {
        let wanted = &schema.fields()[..schema.fields().len() - 2];
        let names: Vec<&str> = wanted.iter().map(|field| header(field)).collect();
        let fields = metadata.schema().fields();
        let roots: Vec<usize> =
            (0..fields.len()).filter(|at| names.contains(&fields[*at].name().as_str())).collect();
        let places = names
            .iter()
            .map(|name| roots.iter().position(|root| fields[*root].name() == name))
            .collect();
        Self { projection: ProjectionMask::roots(metadata.parquet_schema(), roots), places }
    }

    /// The wanted columns of a batch, in their types.
    pub(super) fn convert(&self, batch: &RecordBatch, schema: &Schema) -> Result<Vec<ArrayRef>> {
        let places = self.places.iter().zip(schema.fields());
        places
            .map(|(place, field)| match place {
                Some(place) => {
                    let source = batch.schema_ref().field(*place);
                    convert(batch.column(*place), source, field)
                }
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            })
            .collect()
    }
}

fn convert(array: &ArrayRef, source: &Field, field: &Field) -> Result<ArrayRef> {
    let kind = field.metadata().get(TYPE_KEY).map(String::as_str);
    match (kind, array.data_type()) {
        (_, ArrowType::Null) => Ok(new_null_array(field.data_type(), array.len())),
        (_, same) if same == field.data_type() => Ok(Arc::clone(array)),
        (Some("uuid"), ArrowType::FixedSizeBinary(16)) => Ok(uuids(array)),
        // An instant without a zone is taken for UTC; the number is the same in every zone.
        (_, ArrowType::Timestamp(TimeUnit::Microsecond, _)) => {
            let instants = array.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(instants.with_timezone(UTC)))
        }
        _ if is_castable(array.data_type()) => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, field.data_type(), &options).map_err(|error| {
                Problem::new(
                    &codes::TYPE_MISMATCH,
                    format!("a value of column `{}` does not fit its type", field.name()),
                )
                .arg("column", field.name())
                .detail(error)
            })
        }
        _ => texts(array, source),
    }
}

fn uuids(array: &ArrayRef) -> ArrayRef {
    let bytes = array.as_fixed_size_binary();
    let mut builder = StringViewBuilder::with_capacity(bytes.len());
    for value in bytes {
        let text = value.map(|value| value.iter().map(|byte| format!("{byte:02x}")).collect());
        builder.append_option(text.and_then(|text: String| crate::scalar::uuid(&text)));
    }
    Arc::new(builder.finish())
}

/// Values as texts; nested ones as JSON.
fn texts(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let cells = Cells::new(field, array)?;
    let mut builder = StringViewBuilder::with_capacity(array.len());
    let mut text = String::new();
    for row in 0..array.len() {
        text.clear();
        if cells.is_null(row) {
            builder.append_null();
            continue;
        }
        cells.text(row, &mut text);
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}
