//! `write_table`: rows into a lake table, in one commit.

use crate::settings::OneOrMany;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{filter_record_batch, not, prep_null_mask_filter};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use async_trait::async_trait;
use contracts::table::SchemaPolicy;
use contracts::{
    Batches, Context, Example, Prepared, Sink, SinkModule, SinkRequest, TableWrite, Target,
    WriteMode,
};
use futures::StreamExt;
use model::run::Committed;
use model::{Problem, Result, TableName, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings of `write_table`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The table, as `zone.table`; it is created when it is not there.
    table: TableName,
    /// How rows come into the table.
    #[serde(default)]
    mode: Mode,
    /// Columns that identify a row, for the modes `merge` and `scd2`.
    #[serde(default)]
    key: OneOrMany,
    /// For the mode `merge`: a boolean column that is true where the row with this key is to be
    /// deleted. It is not stored.
    #[serde(default)]
    delete_flag: Option<String>,
    /// For the mode `scd2`: columns whose change makes a new version of a row. All but the key,
    /// `_file` and `_row` when not given.
    #[serde(default)]
    compare: OneOrMany,
    /// Columns that split the table into folders; few values each, such as a day or a country.
    #[serde(default)]
    partition_by: OneOrMany,
    /// Columns that rows are sorted by inside of each file, so that filters on them read less.
    #[serde(default)]
    cluster_by: OneOrMany,
    /// What happens when incoming columns differ from the table's.
    #[serde(default)]
    schema: SchemaPolicy,
    /// Conditions that every row must hold to, as SQL, by name: `{positive: "amount >= 0"}`.
    #[serde(default)]
    constraints: BTreeMap<String, String>,
}

/// How rows come into a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Added to what is there.
    #[default]
    Append,
    /// In place of everything that is there.
    Overwrite,
    /// In place of the partitions that they belong to.
    ReplacePartitions,
    /// A row whose key is there replaces the old row, others are added.
    Merge,
    /// Like merge, but the old row stays, with the end of its validity.
    Scd2,
}

/// The module.
pub struct WriteTable;

impl SinkModule for WriteTable {
    type Config = Config;
    const NAME: &'static str = "write_table";
    const SUMMARY: &'static str = "Write to a lake table, in one commit.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "keep everything that was received",
            config: r#"{"table": "bronze.orders", "mode": "append"}"#,
            inputs: &[("in", "{\"id\": 1, \"amount\": 10}\n{\"id\": 1, \"amount\": 12}")],
            outputs: &[(
                "bronze.orders",
                "{\"id\": 1, \"amount\": 10}\n{\"id\": 1, \"amount\": 12}",
            )],
        },
        Example {
            title: "one row per key",
            config: r#"{"table": "silver.orders", "mode": "merge", "key": ["id"]}"#,
            inputs: &[("in", "{\"id\": 1, \"amount\": 10}\n{\"id\": 2, \"amount\": 12}")],
            outputs: &[(
                "silver.orders",
                "{\"id\": 1, \"amount\": 10}\n{\"id\": 2, \"amount\": 12}",
            )],
        },
        Example {
            title: "the days of this run in place of the same days",
            config: r#"{"table": "gold.daily", "mode": "replace_partitions",
                "partition_by": "day"}"#,
            inputs: &[("in", "{\"day\": \"2026-01-31\", \"revenue\": 10}")],
            outputs: &[("gold.daily", "{\"day\": \"2026-01-31\", \"revenue\": 10}")],
        },
        Example {
            title: "every version of a customer, with the time it held",
            config: r#"{"table": "silver.customers", "mode": "scd2", "key": "id"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Sink>> {
        check(&config)?;
        Ok(Box::new(TableSink { config }))
    }
}

/// Refuses settings that do not go together.
fn check(config: &Config) -> Result<()> {
    let needs_key = matches!(config.mode, Mode::Merge | Mode::Scd2);
    let mode = config.mode.name();
    if needs_key && config.key.is_empty() {
        return Err(invalid(format!("the mode `{mode}` needs a `key`"))
            .hint("name the columns that identify a row: `key: [order_id]`"));
    }
    if !needs_key && !config.key.is_empty() {
        return Err(invalid(format!("`key` has no meaning in the mode `{mode}`"))
            .hint("write `mode: merge` to replace rows by their key, or leave `key` out"));
    }
    if config.mode == Mode::ReplacePartitions && config.partition_by.is_empty() {
        return Err(invalid("the mode `replace_partitions` needs `partition_by`")
            .hint("name the columns whose values are replaced as a whole: `partition_by: [day]`"));
    }
    if config.mode != Mode::Merge && config.delete_flag.is_some() {
        return Err(invalid(format!("`delete_flag` has no meaning in the mode `{mode}`"))
            .hint("write `mode: merge`, or leave `delete_flag` out"));
    }
    if config.mode != Mode::Scd2 && !config.compare.is_empty() {
        return Err(invalid(format!("`compare` has no meaning in the mode `{mode}`"))
            .hint("write `mode: scd2`, or leave `compare` out"));
    }
    let lists = [
        ("key", &config.key),
        ("partition_by", &config.partition_by),
        ("cluster_by", &config.cluster_by),
    ];
    for (setting, columns) in lists {
        let columns = columns.as_slice();
        let repeated = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name));
        if let Some((_, name)) = repeated {
            return Err(invalid(format!("`{setting}` names the column `{name}` twice"))
                .hint("name each column once"));
        }
    }
    Ok(())
}

fn invalid(fact: impl Into<String>) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact)
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Overwrite => "overwrite",
            Self::ReplacePartitions => "replace_partitions",
            Self::Merge => "merge",
            Self::Scd2 => "scd2",
        }
    }
}

struct TableSink {
    config: Config,
}

impl TableSink {
    /// The write that a request asks for.
    fn write(&self, request: SinkRequest) -> TableWrite {
        let config = &self.config;
        let key = config.key.as_slice().to_vec();
        let mode = match config.mode {
            // What a history has seen cannot be seen again: a full refresh goes on with it.
            Mode::Scd2 => WriteMode::Scd2 {
                key,
                compare: config.compare.as_slice().to_vec(),
                valid_from_us: request.key.run.time_us(),
            },
            _ if request.overwrite => WriteMode::Overwrite,
            Mode::Merge => WriteMode::Merge { key, delete_flag: config.delete_flag.clone() },
            Mode::Append => WriteMode::Append,
            Mode::Overwrite => WriteMode::Overwrite,
            Mode::ReplacePartitions => WriteMode::ReplacePartitions,
        };
        TableWrite {
            table: config.table.clone(),
            mode,
            partition_by: config.partition_by.as_slice().to_vec(),
            cluster_by: config.cluster_by.as_slice().to_vec(),
            schema_policy: config.schema,
            constraints: config.constraints.clone(),
            key: request.key,
            metadata: request.metadata,
        }
    }
}

#[async_trait]
impl Sink for TableSink {
    fn target(&self) -> Target {
        Target::Table(self.config.table.clone())
    }

    fn appends(&self) -> bool {
        self.config.mode == Mode::Append
    }

    async fn committed(
        &self,
        context: &Context,
        request: &SinkRequest,
    ) -> Result<Option<Committed>> {
        context.tables.committed(&self.config.table, &request.key).await
    }

    async fn prepare(
        &self,
        context: &Context,
        request: SinkRequest,
        input: Batches,
    ) -> Result<Box<dyn Prepared>> {
        let input = match &self.config.delete_flag {
            Some(flag) if request.overwrite => without_deleted(input, flag)?,
            _ => input,
        };
        context.tables.prepare(self.write(request), input).await
    }
}

/// The rows that are not marked as deleted, without the mark: what a merge into an empty table
/// would leave.
fn without_deleted(input: Batches, flag: &str) -> Result<Batches> {
    let position = input.schema.fields().iter().position(|field| field.name() == flag);
    let at = position.ok_or_else(|| {
        let names = input.schema.fields().iter().map(|field| field.name().as_str());
        let hint = match stdx::text::nearest(flag, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("columns are {}", stdx::text::list(names)),
        };
        let fact = format!("`delete_flag` names the column `{flag}`, which is not there");
        Problem::new(&codes::COLUMN_UNKNOWN, fact).arg("column", flag).hint(hint)
    })?;
    if input.schema.field(at).data_type() != &DataType::Boolean {
        let fact = format!("the `delete_flag` column `{flag}` is not of type `boolean`");
        return Err(Problem::new(&codes::TYPE_MISMATCH, fact)
            .arg("column", flag)
            .hint("cast it before, or derive a boolean column"));
    }
    let kept: Vec<usize> =
        (0..input.schema.fields().len()).filter(|column| *column != at).collect();
    let schema = Arc::new(input.schema.project(&kept).map_err(|error| internal(&error))?);
    let keep = move |batch: RecordBatch| -> Result<RecordBatch> {
        let deleted = prep_null_mask_filter(batch.column(at).as_boolean());
        let is_kept = not(&deleted).map_err(|error| internal(&error))?;
        let rows = filter_record_batch(&batch, &is_kept).map_err(|error| internal(&error))?;
        rows.project(&kept).map_err(|error| internal(&error))
    };
    let keep = Arc::new(keep);
    let output = input.map_partitions(|partition| {
        let keep = Arc::clone(&keep);
        partition.map(move |batch| batch.and_then(|batch| keep(batch))).boxed()
    });
    Ok(Batches { schema, ..output })
}

fn internal(error: &ArrowError) -> Problem {
    Problem::new(&codes::INTERNAL, "rows marked as deleted cannot be left out").detail(error)
}
