//! `write_table`: rows into a lake table, in one commit.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use contracts::settings::OneOrMany;
use contracts::table::{IS_CURRENT, SchemaPolicy, VALID_FROM, VALID_TO};
use contracts::{
    Batches, Context, Example, Expr, NamedInput, Prepared, Sink, SinkModule, SinkRequest,
    TableWrite, Target, WriteMode,
};
use model::run::{CommitKey, Committed};
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
    for (name, text) in &config.constraints {
        Expr::parse(text).map_err(|problem| problem.in_setting(format!("/constraints/{name}")))?;
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

/// Every column that a setting names is there.
fn each_column(input: &NamedInput, setting: &str, columns: &[String]) -> Result<()> {
    for (at, column) in columns.iter().enumerate() {
        input.column(column, &format!("/{setting}/{at}"))?;
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
    /// The columns of the table after a write.
    fn planned(&self, incoming: &SchemaRef, present: Option<&SchemaRef>) -> SchemaRef {
        let config = &self.config;
        let is_stored = |field: &&FieldRef| config.delete_flag.as_ref() != Some(field.name());
        let mut fields: Vec<FieldRef> =
            incoming.fields().iter().filter(is_stored).cloned().collect();
        if config.mode == Mode::Scd2 {
            let instant = contracts::arrow_types::timestamp();
            fields.push(Arc::new(Field::new(VALID_FROM, instant.clone(), true)));
            fields.push(Arc::new(Field::new(VALID_TO, instant, true)));
            fields.push(Arc::new(Field::new(IS_CURRENT, DataType::Boolean, true)));
        }
        let is_new = config.mode == Mode::Overwrite && config.schema == SchemaPolicy::Evolve;
        let Some(present) = present.filter(|_| !is_new) else {
            return Arc::new(Schema::new(fields));
        };
        if config.schema != SchemaPolicy::Evolve {
            return Arc::clone(present);
        }
        let added = fields.into_iter().filter(|field| present.index_of(field.name()).is_err());
        let all: Vec<FieldRef> = present.fields().iter().cloned().chain(added).collect();
        Arc::new(Schema::new(all))
    }

    /// The write that a request asks for.
    fn write(&self, request: SinkRequest) -> TableWrite {
        let config = &self.config;
        let key = config.key.as_slice().to_vec();
        let mode = match config.mode {
            Mode::Scd2 => WriteMode::Scd2 {
                key,
                compare: config.compare.as_slice().to_vec(),
                valid_from_us: request.key.run.time_us(),
            },
            // Also in a full refresh: repeated keys and deleted rows are what they always are.
            Mode::Merge => WriteMode::Merge { key, delete_flag: config.delete_flag.clone() },
            _ if request.overwrite => WriteMode::Overwrite,
            Mode::Append => WriteMode::Append,
            Mode::Overwrite => WriteMode::Overwrite,
            Mode::ReplacePartitions => WriteMode::ReplacePartitions,
        };
        let replaces = if mode == WriteMode::Append { request.replaces } else { Vec::new() };
        TableWrite {
            table: config.table.clone(),
            mode,
            partition_by: config.partition_by.as_slice().to_vec(),
            cluster_by: config.cluster_by.as_slice().to_vec(),
            schema_policy: config.schema,
            constraints: config.constraints.clone(),
            rebuild: request.overwrite && matches!(config.mode, Mode::Merge | Mode::Scd2),
            replaces,
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

    fn keeps_history(&self) -> bool {
        self.config.mode == Mode::Scd2
    }

    fn plan(&self, input: &NamedInput, present: Option<&SchemaRef>) -> Result<SchemaRef> {
        let config = &self.config;
        each_column(input, "key", config.key.as_slice())?;
        if let Some(flag) = &config.delete_flag
            && input.column(flag, "/delete_flag")?.data_type() != &DataType::Boolean
        {
            let fact = format!("the `delete_flag` column `{flag}` is not of type `boolean`");
            return Err(Problem::new(&codes::TYPE_MISMATCH, fact)
                .arg("column", flag)
                .in_setting("/delete_flag")
                .hint("cast it before, or derive a boolean column"));
        }
        let schema = self.planned(&input.schema, present);
        let name = config.table.to_string();
        let table = NamedInput { name, role: None, schema: Arc::clone(&schema) };
        each_column(&table, "compare", config.compare.as_slice())?;
        each_column(&table, "partition_by", config.partition_by.as_slice())?;
        each_column(&table, "cluster_by", config.cluster_by.as_slice())?;
        for (name, text) in &config.constraints {
            let setting = format!("/constraints/{name}");
            let condition = Expr::parse(text).map_err(|problem| problem.in_setting(&setting))?;
            if condition.has_own_names() {
                continue;
            }
            let names = condition.references();
            for name in names.iter().filter_map(|path| path.first()) {
                table.column(name, &setting)?;
            }
        }
        Ok(schema)
    }

    async fn check_replaceable(&self, context: &Context, earlier: &CommitKey) -> Result<()> {
        context.tables.check_replaceable(&self.config.table, earlier).await
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
        context.tables.prepare(self.write(request), input).await
    }
}
