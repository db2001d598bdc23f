//! Schemas: ours and Delta's, what happens when they differ, and rows brought into shape.

use crate::errors::from_arrow;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit};
use contracts::arrow_types::{self, TYPE_KEY};
use contracts::table::SchemaPolicy;
use model::{DataType, Problem, Result, TableName, codes};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A schema as Delta's log has it.
pub(crate) fn to_delta(schema: &Schema) -> Value {
    let fields: Vec<Value> = schema.fields().iter().map(|field| delta_field(field)).collect();
    json!({"type": "struct", "fields": fields})
}

fn delta_field(field: &Field) -> Value {
    let mut metadata: Map<String, Value> =
        field.metadata().iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    if matches!(field.data_type(), ArrowType::Time64(_)) {
        metadata.insert(TYPE_KEY.to_owned(), json!(DataType::Time.to_string()));
    }
    json!({
        "name": field.name(),
        "type": delta_type(field.data_type()),
        "nullable": true,
        "metadata": metadata,
    })
}

fn delta_type(arrow_type: &ArrowType) -> Value {
    match arrow_type {
        ArrowType::Boolean => json!("boolean"),
        ArrowType::Int64 => json!("long"),
        ArrowType::Decimal128(precision, scale) => json!(format!("decimal({precision},{scale})")),
        ArrowType::Float64 => json!("double"),
        ArrowType::Date32 => json!("date"),
        ArrowType::Timestamp(_, _) => json!("timestamp"),
        ArrowType::Binary | ArrowType::BinaryView => json!("binary"),
        ArrowType::List(item) => json!({
            "type": "array",
            "elementType": delta_type(item.data_type()),
            "containsNull": true,
        }),
        ArrowType::Struct(fields) => {
            let fields: Vec<Value> = fields.iter().map(|field| delta_field(field)).collect();
            json!({"type": "struct", "fields": fields})
        }
        // Delta has no time of day; a text sorts the same way.
        _ => json!("string"),
    }
}

/// A schema from Delta's log, in canonical types.
pub(crate) fn from_delta(schema: &Value) -> Result<SchemaRef> {
    let fields = fields_of(schema)?;
    Ok(Arc::new(Schema::new(fields)))
}

fn fields_of(schema: &Value) -> Result<Vec<Field>> {
    let fields = schema.get("fields").and_then(Value::as_array);
    fields.into_iter().flatten().map(field_of).collect()
}

fn field_of(field: &Value) -> Result<Field> {
    let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
    let metadata: HashMap<String, String> = field
        .get("metadata")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let is_time = metadata.get(TYPE_KEY).is_some_and(|name| name == "time");
    let arrow_type = match (is_time, field.get("type")) {
        (true, _) => ArrowType::Time64(TimeUnit::Microsecond),
        (false, Some(delta_type)) => type_of(name, delta_type)?,
        (false, None) => return Err(unreadable(name, &Value::Null)),
    };
    Ok(Field::new(name, arrow_type, true).with_metadata(metadata))
}

fn type_of(column: &str, delta_type: &Value) -> Result<ArrowType> {
    if let Some(name) = delta_type.as_str() {
        return primitive(name).ok_or_else(|| unreadable(column, delta_type));
    }
    match delta_type.get("type").and_then(Value::as_str) {
        Some("struct") => Ok(ArrowType::Struct(fields_of(delta_type)?.into())),
        Some("array") => {
            let item = delta_type.get("elementType").unwrap_or(&Value::Null);
            let item = Field::new("item", type_of(column, item)?, true);
            Ok(ArrowType::List(Arc::new(item)))
        }
        _ => Err(unreadable(column, delta_type)),
    }
}

fn primitive(name: &str) -> Option<ArrowType> {
    let ours = match name {
        "boolean" => DataType::Boolean,
        "byte" | "short" | "integer" | "long" => DataType::Integer,
        "float" | "double" => DataType::Float,
        "string" => DataType::String,
        "binary" => DataType::Binary,
        "date" => DataType::Date,
        "timestamp" | "timestamp_ntz" => DataType::Timestamp,
        "decimal" => DataType::Decimal(10, 0),
        _ => DataType::parse(name).ok().filter(|ours| matches!(ours, DataType::Decimal(..)))?,
    };
    Some(arrow_types::to_arrow(&ours))
}

fn unreadable(column: &str, delta_type: &Value) -> Problem {
    Problem::new(
        &codes::TYPE_MISMATCH,
        format!("the column `{column}` has the type `{delta_type}`, which cannot be read"),
    )
    .arg("column", column)
    .hint("another program wrote this table; convert the column there")
}

/// The type that a column of a canonical type has inside of a Parquet file.
pub(crate) fn file_type(arrow_type: &ArrowType) -> ArrowType {
    match arrow_type {
        ArrowType::Time64(_) => ArrowType::Utf8,
        ArrowType::List(item) => {
            ArrowType::List(Arc::new(Field::new("element", file_type(item.data_type()), true)))
        }
        ArrowType::Struct(fields) => {
            ArrowType::Struct(fields.iter().map(|field| file_field(field)).collect())
        }
        other => other.clone(),
    }
}

/// The field of a Parquet file for a column of a canonical type.
pub(crate) fn file_field(field: &Field) -> Field {
    Field::new(field.name(), file_type(field.data_type()), true)
}

/// Names that Delta refuses, and names that differ only by case.
pub(crate) fn check_names(table: &TableName, schema: &Schema) -> Result<()> {
    let mut seen = HashSet::new();
    for field in schema.fields() {
        let name = field.name();
        if name.is_empty() || name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']) {
            return Err(Problem::new(
                &codes::NAME_INVALID,
                format!("`{name}` cannot be the name of a column of `{table}`"),
            )
            .arg("column", name)
            .hint("give the column a name of letters, digits and `_`, for example with AS"));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(Problem::new(
                &codes::NAME_TAKEN,
                format!("`{table}` would have two columns `{name}`"),
            )
            .arg("column", name)
            .hint("give one of them another name; capitals make no difference"));
        }
    }
    Ok(())
}

/// The schema that a table has after rows with the columns `incoming` were written to it.
pub(crate) fn reconcile(
    name: &TableName,
    table: &Schema,
    incoming: &Schema,
    policy: SchemaPolicy,
) -> Result<SchemaRef> {
    let mut differences = Vec::new();
    let mut fields: Vec<Field> = table.fields().iter().map(|f| f.as_ref().clone()).collect();
    for field in incoming.fields() {
        match table.field_with_name(field.name()) {
            Ok(known) => {
                let from = arrow_types::from_field(field);
                let to = arrow_types::from_field(known);
                let accepted = match policy {
                    SchemaPolicy::Freeze => from == to || is_null(field),
                    SchemaPolicy::Evolve | SchemaPolicy::Discard => {
                        is_null(field) || fits(&from, &to)
                    }
                };
                if !accepted {
                    let column = field.name();
                    differences.push(format!("`{column}` is {from} and was {to}"));
                }
            }
            Err(_) => match policy {
                SchemaPolicy::Freeze => differences.push(format!("`{}` is new", field.name())),
                SchemaPolicy::Evolve => fields.push(canonical_field(field)),
                SchemaPolicy::Discard => {}
            },
        }
    }
    if policy == SchemaPolicy::Freeze {
        let missing = table.fields().iter().filter(|f| incoming.index_of(f.name()).is_err());
        differences.extend(missing.map(|field| format!("`{}` is missing", field.name())));
    }
    if differences.is_empty() {
        return Ok(Arc::new(Schema::new(fields)));
    }
    let differences = differences.join(", ");
    Err(Problem::new(
        &codes::SCHEMA_CHANGED,
        format!("the columns differ from those of `{name}`: {differences}"),
    )
    .arg("table", name)
    .arg("differences", differences)
    .hint(
        "bring the columns into shape before the sink (select, cast), set another `schema` \
         policy in the sink (evolve, discard), or overwrite the table",
    ))
}

/// The schema of a new table, or of one that is overwritten.
pub(crate) fn canonical(incoming: &Schema) -> SchemaRef {
    Arc::new(Schema::new(incoming.fields().iter().map(|f| canonical_field(f)).collect::<Vec<_>>()))
}

fn canonical_field(field: &Field) -> Field {
    let data_type = arrow_types::canonical_type(field.data_type());
    Field::new(field.name(), data_type, true).with_metadata(field.metadata().clone())
}

fn is_null(field: &Field) -> bool {
    matches!(field.data_type(), ArrowType::Null)
}

/// Whether every value of type `from` has exactly one counterpart in type `to`.
fn fits(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Integer, DataType::Decimal(precision, scale)) => {
            i16::from(*precision) - i16::from(*scale) >= 19
        }
        (DataType::Decimal(p, s), DataType::Decimal(to_p, to_s)) => {
            to_s >= s && i16::from(*to_p) - i16::from(*to_s) >= i16::from(*p) - i16::from(*s)
        }
        (DataType::Uuid | DataType::Json, DataType::String) => true,
        (DataType::Geometry, DataType::Binary) => true,
        (DataType::List(from), DataType::List(to)) => fits(from, to),
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len()
                && from.iter().all(|(name, from)| {
                    to.iter().any(|(to_name, to)| to_name == name && fits(from, to))
                })
        }
        _ => from == to,
    }
}

/// Brings batches of one schema into another: by name, cast, missing columns null.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    target: SchemaRef,
    columns: Vec<Option<usize>>,
}

impl Shape {
    pub(crate) fn new(incoming: &Schema, target: SchemaRef) -> Self {
        let columns =
            target.fields().iter().map(|field| incoming.index_of(field.name()).ok()).collect();
        Self { target, columns }
    }

    /// The batch with the target's columns.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns: Vec<ArrayRef> = self
            .target
            .fields()
            .iter()
            .zip(&self.columns)
            .map(|(field, column)| match column {
                Some(column) => cast(field.name(), batch.column(*column), field.data_type()),
                None => Ok(new_null_array(field.data_type(), rows)),
            })
            .collect::<Result<_>>()?;
        batch_of(&self.target, columns, rows)
    }
}

/// A batch that has its number of rows even without columns.
pub(crate) fn batch_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| from_arrow(&error))
}

/// A cast that refuses what it cannot keep.
pub(crate) fn cast(column: &str, array: &ArrayRef, to: &ArrowType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|error| {
        Problem::new(&codes::TYPE_MISMATCH, format!("a value of `{column}` does not fit its type"))
            .arg("column", column)
            .detail(error)
            .hint("cast the column before the sink, with rejects for what does not fit")
    })
}
