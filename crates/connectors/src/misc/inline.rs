//! `inline`: rows that stand in the pipeline itself.

use super::sample::limit;
use crate::settings::Ordered;
use arrow::array::{Array, RecordBatch};
use async_trait::async_trait;
use contracts::arrow_types::{HEADER_KEY, to_field};
use contracts::{
    Batches, Context, Discovery, Example, Past, ReadRequest, Source, SourceModule, rows,
};
use model::run::Input;
use model::{DataType, Problem, Result, codes, lake_column_names};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Settings of `inline`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rows, each a map of column names to values.
    #[serde(default)]
    rows: Vec<Map<String, Value>>,
    /// The rows as CSV text, in place of `rows`: a line of headers, then one line per row, with
    /// commas and double quotes.
    #[serde(default)]
    csv: Option<String>,
    /// Types of columns. Where none is given: in `rows` what the values look like, in `csv` text.
    #[serde(default)]
    types: Ordered<DataType>,
}

/// The module.
pub struct Inline;

impl SourceModule for Inline {
    type Config = Config;
    const NAME: &'static str = "inline";
    const SUMMARY: &'static str = "Rows written in the pipeline itself.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a small table of rates",
            config: r#"{"rows": [{"code": "A", "rate": 0.2}, {"code": "B", "rate": 0.055}]}"#,
            inputs: &[],
            outputs: &[(
                "out",
                "{\"code\": \"A\", \"rate\": 0.2}\n{\"code\": \"B\", \"rate\": 0.055}",
            )],
        },
        Example {
            title: "as CSV, with types",
            config: r#"{"csv": "code,since\nA,2026-01-31\n", "types": {"since": "date"}}"#,
            inputs: &[],
            outputs: &[(
                "out",
                "{\"#types\": {\"since\": \"date\"}}\n{\"code\": \"A\", \"since\": \"2026-01-31\"}",
            )],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Source>> {
        let batch = read_rows(&config)?;
        let content = json!({"rows": config.rows, "csv": config.csv, "types": config.types});
        let sha256 = format!("{:x}", Sha256::digest(content.to_string()));
        Ok(Box::new(InlineSource { batch, sha256 }))
    }
}

struct InlineSource {
    batch: RecordBatch,
    sha256: String,
}

#[async_trait]
impl Source for InlineSource {
    async fn discover(&self, _: &Context, past: &Past) -> Result<Discovery> {
        let input = Input::Whole { sha256: self.sha256.clone() };
        let is_new = past.full || !past.latest.contains(&input);
        Ok(Discovery { inputs: vec![input], is_new, remarks: Vec::new() })
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> Result<Batches> {
        if let Some(Input::Whole { sha256 }) = request.inputs.first()
            && *sha256 != self.sha256
        {
            return Err(Problem::new(
                &codes::FILE_CHANGED,
                "the rows in the pipeline changed after the run had fixed what it would read",
            )
            .hint("put the old rows back until the run has finished"));
        }
        let batches = Batches::from_memory(self.batch.schema(), vec![self.batch.clone()]);
        Ok(limit(batches, request.sample, &request.bytes))
    }
}

/// The rows as one batch.
fn read_rows(config: &Config) -> Result<RecordBatch> {
    let (headers, records) = match (&config.csv, config.rows.is_empty()) {
        (Some(text), true) => csv_records(text)?,
        (None, _) => map_records(&config.rows),
        (Some(_), false) => {
            return Err(invalid("`rows` and `csv` are both given").hint("leave one of them out"));
        }
    };
    if headers.is_empty() && config.types.is_empty() {
        return Err(invalid("there are no rows and no types").hint(
            "write `rows: [{name: value}]`, or `types: {name: type}` for a table without rows",
        ));
    }
    let names = lake_column_names(&headers);
    let unknown =
        config.types.entries().iter().find(|(name, _)| {
            !headers.is_empty() && !headers.contains(name) && !names.contains(name)
        });
    if let Some((name, _)) = unknown {
        let hint = match stdx::text::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("columns are {}", stdx::text::list(names.iter().map(String::as_str))),
        };
        return Err(Problem::new(
            &codes::COLUMN_UNKNOWN,
            format!("`types` names the column `{name}`, which no row has"),
        )
        .arg("column", name)
        .hint(hint));
    }
    let given = |at: usize| config.types.get(&headers[at]).or_else(|| config.types.get(&names[at]));
    let mut columns: Vec<(String, String, DataType)> = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let values = records.iter().map(|record| &record[at]);
        let data_type = given(at).cloned().unwrap_or_else(|| infer(values));
        columns.push((name.clone(), headers[at].clone(), data_type));
    }
    if headers.is_empty() {
        let typed = config.types.entries().iter();
        columns.extend(typed.map(|(name, kind)| (name.clone(), name.clone(), kind.clone())));
    }
    to_batch(&columns, &records)
}

/// Headers in the order in which they first appear, and the values under them.
fn map_records(rows: &[Map<String, Value>]) -> (Vec<String>, Vec<Vec<Value>>) {
    let mut headers: Vec<String> = Vec::new();
    for key in rows.iter().flat_map(Map::keys) {
        if !headers.contains(key) {
            headers.push(key.clone());
        }
    }
    let value = |row: &Map<String, Value>, key| row.get(key).cloned().unwrap_or(Value::Null);
    let records =
        rows.iter().map(|row| headers.iter().map(|key| value(row, key)).collect()).collect();
    (headers, records)
}

/// Headers and values of a CSV text; empty fields without quotes are null.
fn csv_records(text: &str) -> Result<(Vec<String>, Vec<Vec<Value>>)> {
    let mut lines = split_csv(text)?.into_iter();
    let headers: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .into_iter()
        .map(|field| field.as_str().unwrap_or_default().to_owned())
        .collect();
    let records: Vec<Vec<Value>> = lines.collect();
    if let Some(at) = records.iter().position(|record| record.len() != headers.len()) {
        return Err(invalid(format!(
            "row {} of `csv` has {} fields, but there are {} headers",
            at + 1,
            records[at].len(),
            headers.len()
        ))
        .hint("put a field that contains a comma between double quotes"));
    }
    Ok((headers, records))
}

/// Fields of a small text, between commas and line feeds.
fn split_csv(text: &str) -> Result<Vec<Vec<Value>>> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut characters = text.trim_end().chars().peekable();
    loop {
        match characters.next() {
            Some('"') if field.is_empty() && !is_quoted => {
                is_quoted = true;
                loop {
                    match (characters.next(), characters.peek()) {
                        (Some('"'), Some('"')) => {
                            field.push('"');
                            characters.next();
                        }
                        (Some('"'), _) => break,
                        (Some(other), _) => field.push(other),
                        (None, _) => {
                            return Err(invalid("a quote in `csv` is never closed")
                                .hint("write a quote inside of a field twice"));
                        }
                    }
                }
            }
            Some('\r') if characters.peek() == Some(&'\n') => {}
            Some(other) if other != ',' && other != '\n' => field.push(other),
            end => {
                let is_null = field.is_empty() && !is_quoted;
                let text = std::mem::take(&mut field);
                line.push(if is_null { Value::Null } else { Value::String(text) });
                is_quoted = false;
                if end != Some(',') {
                    lines.push(std::mem::take(&mut line));
                }
                if end.is_none() {
                    return Ok(lines);
                }
            }
        }
    }
}

/// The narrowest type that holds all values.
fn infer<'a>(values: impl Iterator<Item = &'a Value>) -> DataType {
    let mut inferred: Option<DataType> = None;
    for value in values {
        let seen = match value {
            Value::Null => continue,
            Value::Bool(_) => DataType::Boolean,
            Value::Number(number) if number.is_i64() => DataType::Integer,
            Value::Number(_) => DataType::Float,
            Value::String(_) => DataType::String,
            Value::Array(_) | Value::Object(_) => DataType::Json,
        };
        inferred = Some(match inferred {
            None => seen,
            Some(before) if before == seen => seen,
            Some(DataType::Integer | DataType::Float)
                if matches!(seen, DataType::Integer | DataType::Float) =>
            {
                DataType::Float
            }
            Some(_) => DataType::String,
        });
    }
    inferred.unwrap_or(DataType::String)
}

/// One batch of the columns (name, header, type), in their order.
fn to_batch(columns: &[(String, String, DataType)], records: &[Vec<Value>]) -> Result<RecordBatch> {
    let types: Map<String, Value> =
        columns.iter().map(|(name, _, kind)| (name.clone(), json!(kind.to_string()))).collect();
    let mut text = format!("{}\n", json!({"#types": types}));
    for record in records {
        let row: Map<String, Value> = columns
            .iter()
            .zip(record)
            .map(|((name, _, kind), value)| (name.clone(), as_text(kind, value)))
            .collect();
        text.push_str(&Value::Object(row).to_string());
        text.push('\n');
    }
    let batch = rows::read(&text)?;
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (at, (name, header, kind)) in columns.iter().enumerate() {
        let array = batch.column_by_name(name).ok_or_else(|| {
            Problem::new(&codes::INTERNAL, format!("the column `{name}` got lost"))
        })?;
        let lost = records
            .iter()
            .enumerate()
            .find(|(row, record)| array.is_null(*row) && !record[at].is_null());
        if let Some((row, record)) = lost {
            return Err(Problem::new(
                &codes::TYPE_MISMATCH,
                format!("row {} of `{name}` is not of type `{kind}`: `{}`", row + 1, record[at]),
            )
            .arg("column", name)
            .hint("correct the value, or give the column another type under `types`"));
        }
        let mut field = to_field(name, kind);
        if name != header {
            field.metadata_mut().insert(HEADER_KEY.to_owned(), header.clone());
        }
        fields.push(field);
        arrays.push(std::sync::Arc::clone(array));
    }
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
    RecordBatch::try_new(schema, arrays)
        .map_err(|error| invalid("the rows do not form a table").detail(error))
}

/// Scalars as texts where the type asks for texts; JSON as its text.
fn as_text(kind: &DataType, value: &Value) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        (DataType::List(_) | DataType::Struct(_), _) | (_, Value::String(_)) => value.clone(),
        _ => Value::String(value.to_string()),
    }
}

fn invalid(fact: impl Into<String>) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(config: Value) -> Result<RecordBatch> {
        let config: Config = serde_json::from_value(config).unwrap();
        read_rows(&config)
    }

    fn text(config: Value) -> String {
        rows::write(&[batch(config).unwrap()]).unwrap()
    }

    #[test]
    fn rows_keep_their_columns_in_order_and_get_lake_names() {
        let config =
            json!({"rows": [{"N° client": 7, "Ville": "Brest"}, {"Ville": null, "x": 1.5}]});
        assert_eq!(
            text(config),
            "{\"n_client\":7,\"ville\":\"Brest\",\"x\":null}\n\
             {\"n_client\":null,\"ville\":null,\"x\":1.5}\n"
        );
    }

    #[test]
    fn csv_has_quotes_nulls_and_types() {
        let config = json!({
            "csv": "a,b,c\n\"x, \"\"y\"\"\",1.10,\n\"\",2.25,2026-01-31\n",
            "types": {"b": "decimal(9,2)", "c": "date"}
        });
        assert_eq!(
            text(config),
            "{\"a\":\"x, \\\"y\\\"\",\"b\":\"1.10\",\"c\":null}\n\
             {\"a\":\"\",\"b\":\"2.25\",\"c\":\"2026-01-31\"}\n"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_its_type_is_named() {
        let config = json!({"rows": [{"n": 1}, {"n": "two"}], "types": {"n": "integer"}});
        let problem = batch(config).unwrap_err();
        assert_eq!(problem.message(), "row 2 of `n` is not of type `integer`: `\"two\"`");
    }

    #[test]
    fn nested_values_are_json_unless_typed() {
        let config = json!({"rows": [{"tags": ["a", "b"]}], "types": {"tags": "list<string>"}});
        assert_eq!(text(config), "{\"tags\":[\"a\",\"b\"]}\n");
        assert_eq!(text(json!({"rows": [{"tags": ["a"]}]})), "{\"tags\":\"[\\\"a\\\"]\"}\n");
    }

    #[test]
    fn a_table_without_rows_needs_types() {
        assert!(batch(json!({})).is_err());
        let batch = batch(json!({"types": {"id": "integer", "day": "date"}})).unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (0, 2));
        let problem = self::batch(json!({"rows": [{"id": 1}], "types": {"idd": "integer"}}));
        assert_eq!(problem.unwrap_err().hint_text(), Some("did you mean `id`?"));
    }
}
