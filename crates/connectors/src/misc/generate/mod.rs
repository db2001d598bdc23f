//! `generate`: made-up rows that look real and are the same for the same seed.

mod columns;
mod limits;
mod words;

use super::sample::limit;
use crate::settings::Ordered;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use columns::{Maker, Rows};
use contracts::arrow_types::to_field;
use contracts::{
    BatchStream, Batches, Context, Discovery, Example, Past, ReadRequest, Source, SourceModule,
};
use futures::{StreamExt, stream};
use model::run::Input;
use model::{Problem, Result, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use stdx::hash::{Random, mix, stable_hash};

const BATCH_ROWS: u64 = 8192;

/// Settings of `generate`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many rows.
    #[schemars(range(max = 100_000_000_000_u64))]
    rows: u64,
    /// The same seed gives the same rows, on every machine.
    #[serde(default = "default_seed")]
    seed: u64,
    /// The columns by name, each with its kind and limits.
    columns: Ordered<Column>,
}

fn default_seed() -> u64 {
    1
}

/// A column of made-up values.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// What the values are.
    kind: ColumnKind,
    /// Smallest value: a number, a date (`2026-01-31`) or an instant (`2026-01-31T08:00:00`).
    /// For `text` the least number of words, for `sequence` the first number.
    #[serde(default)]
    min: Option<Value>,
    /// Largest value. For `text` the greatest number of words.
    #[serde(default)]
    max: Option<Value>,
    /// For `choice`: the values to choose from.
    #[serde(default)]
    values: Vec<Value>,
    /// For `choice`: how often each value is chosen, compared with the others.
    #[serde(default)]
    weights: Vec<f64>,
    /// For `decimal`: digits after the point.
    #[serde(default)]
    scale: Option<u8>,
    /// For `sequence`: what is added from row to row.
    #[serde(default)]
    step: Option<i64>,
    /// The part of rows whose value is missing: 0.1 is one in ten.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    null_rate: f64,
}

/// Kinds of made-up values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnKind {
    /// Whole numbers from `min` to `max`.
    Integer,
    /// Exact numbers with `scale` digits after the point.
    Decimal,
    /// Inexact numbers.
    Float,
    /// True or false.
    Boolean,
    /// Days.
    Date,
    /// Instants, to the second.
    Timestamp,
    /// One of `values`.
    Choice,
    /// Numbers that count up from row to row.
    Sequence,
    /// Random identifiers.
    Uuid,
    /// First names.
    FirstName,
    /// Family names.
    LastName,
    /// First and family names.
    FullName,
    /// Mail addresses in a domain that is reserved for examples.
    Email,
    /// French telephone numbers of the range that is reserved for fiction.
    Phone,
    /// Company names.
    Company,
    /// Street addresses.
    Street,
    /// French cities, big ones more often.
    City,
    /// French postal codes.
    PostalCode,
    /// Names of countries.
    Country,
    /// Two-letter codes of countries.
    CountryCode,
    /// Names of products.
    Product,
    /// A few words.
    Text,
}

/// The module.
pub struct Generate;

impl SourceModule for Generate {
    type Config = Config;
    const NAME: &'static str = "generate";
    const SUMMARY: &'static str = "Made-up rows that look real and are the same for the same seed.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "three numbered rows",
            config: r#"{"rows": 3, "columns": {
                "id": {"kind": "sequence"}, "status": {"kind": "choice", "values": ["paid"]}}}"#,
            inputs: &[],
            outputs: &[(
                "out",
                "{\"id\": 1, \"status\": \"paid\"}\n{\"id\": 2, \"status\": \"paid\"}\n\
                 {\"id\": 3, \"status\": \"paid\"}",
            )],
        },
        Example {
            title: "orders with a few missing amounts",
            config: r#"{"rows": 100000, "seed": 7, "columns": {
                "order_id": {"kind": "sequence", "min": 1000},
                "customer": {"kind": "full_name"},
                "ordered_at": {"kind": "timestamp", "min": "2026-01-01", "max": "2026-12-31"},
                "amount": {"kind": "decimal", "min": 5, "max": 250.5, "null_rate": 0.01},
                "channel": {"kind": "choice", "values": ["web", "shop"], "weights": [3, 1]}}}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Source>> {
        Ok(Box::new(GenerateSource::new(&config)?))
    }
}

struct GenerateSource {
    rows: u64,
    sha256: String,
    plan: Arc<Plan>,
}

/// What is needed to make any batch.
struct Plan {
    seed: u64,
    rows: u64,
    schema: SchemaRef,
    makers: Vec<(u64, f64, Maker)>,
}

impl GenerateSource {
    fn new(config: &Config) -> Result<Self> {
        if config.columns.is_empty() {
            return Err(Problem::new(&codes::SETTING_INVALID, "`columns` names no column")
                .hint("write `columns: {id: {kind: sequence}}`"));
        }
        let headers: Vec<&str> =
            config.columns.entries().iter().map(|(name, _)| name.as_str()).collect();
        let names = model::lake_column_names(&headers);
        let mut fields: Vec<Field> = Vec::with_capacity(names.len());
        let mut makers = Vec::with_capacity(names.len());
        for (name, (header, column)) in names.iter().zip(config.columns.entries()) {
            let setting = |problem: Problem| problem.in_setting(format!("/columns/{header}"));
            let maker = Maker::new(header, column).map_err(setting)?;
            fields.push(to_field(name, &maker.data_type()));
            makers.push((stable_hash(header.as_bytes()), column.null_rate, maker));
        }
        let text = serde_json::to_string(config).map_err(|error| {
            Problem::new(&codes::INTERNAL, "the settings cannot be written down").detail(error)
        })?;
        let schema = Arc::new(Schema::new(fields));
        let plan = Plan { seed: config.seed, rows: config.rows, schema, makers };
        let sha256 = format!("{:x}", Sha256::digest(text));
        Ok(Self { rows: config.rows, sha256, plan: Arc::new(plan) })
    }
}

impl Plan {
    /// Batch number `number`; the same one whoever asks for it and when.
    fn batch(&self, number: u64) -> Result<RecordBatch> {
        let first = number * BATCH_ROWS;
        let count = BATCH_ROWS.min(self.rows - first);
        let columns = self.makers.iter().map(|(name, null_rate, maker)| {
            let mut random = Random::new(mix(self.seed) ^ name ^ mix(number + 1));
            maker.make(Rows { first, count, null_rate: *null_rate, random: &mut random })
        });
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?).map_err(
            |error| {
                Problem::new(&codes::INTERNAL, "made-up columns do not fit together").detail(error)
            },
        )
    }
}

#[async_trait]
impl Source for GenerateSource {
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
                "the settings of the node changed after the run had fixed what it would read",
            )
            .hint("put the old settings back until the run has finished"));
        }
        let batches = self.rows.div_ceil(BATCH_ROWS);
        let partitions = (request.partitions.max(1) as u64).min(batches.max(1));
        let streams = (0..partitions).map(|at| -> BatchStream {
            let range = batches * at / partitions..batches * (at + 1) / partitions;
            let plan = Arc::clone(&self.plan);
            stream::iter(range.map(move |number| plan.batch(number))).boxed()
        });
        let batches = Batches::new(Arc::clone(&self.plan.schema), streams.collect());
        Ok(limit(batches, request.sample, &request.bytes))
    }
}

#[cfg(test)]
mod tests;
