//! `table`: rows of a lake table, at its newest version or at a given one.

use crate::misc::sample::limit;
use async_trait::async_trait;
use contracts::{
    Batches, Context, Discovery, Example, Past, ReadRequest, Source, SourceModule, TableInfo,
};
use model::run::Input;
use model::{Problem, Result, TableName, codes};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `table`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The table, as `zone.table`.
    table: TableName,
    /// The version to read; the newest one when not given.
    #[serde(default)]
    version: Option<u64>,
}

/// The module.
pub struct Table;

impl SourceModule for Table {
    type Config = Config;
    const NAME: &'static str = "table";
    const SUMMARY: &'static str = "Read a lake table, at any version.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "the newest version",
            config: r#"{"table": "silver.orders"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "as it was at version 12",
            config: r#"{"table": "silver.orders", "version": 12}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Source>> {
        Ok(Box::new(TableSource { config }))
    }
}

struct TableSource {
    config: Config,
}

#[async_trait]
impl Source for TableSource {
    async fn discover(&self, context: &Context, past: &Past) -> Result<Discovery> {
        let info = describe(context, &self.config.table, self.config.version).await?;
        let input = Input::Table { table: info.name, version: info.version };
        let is_new = past.full || !past.latest.contains(&input);
        Ok(Discovery { inputs: vec![input], is_new, remarks: Vec::new() })
    }

    async fn read(&self, context: &Context, request: ReadRequest) -> Result<Batches> {
        let Some((_, version)) = self.view(&request.inputs) else {
            let info = describe(context, &self.config.table, self.config.version).await?;
            return Ok(Batches::empty(info.schema));
        };
        let tables = &context.tables;
        let batches = tables.read(&self.config.table, version, request.partitions).await?;
        Ok(limit(batches, request.sample, &request.bytes))
    }

    fn view(&self, inputs: &[Input]) -> Option<(TableName, u64)> {
        inputs.iter().find_map(|input| match input {
            Input::Table { table, version } if *table == self.config.table => {
                Some((table.clone(), *version))
            }
            _ => None,
        })
    }

    fn tables(&self) -> Vec<TableName> {
        vec![self.config.table.clone()]
    }
}

/// The table, or a problem that names those that are near.
async fn describe(context: &Context, table: &TableName, version: Option<u64>) -> Result<TableInfo> {
    if let Some(info) = context.tables.describe(table, version).await? {
        return Ok(info);
    }
    let known: Vec<String> =
        context.tables.list().await?.iter().map(TableName::to_string).collect();
    let near = stdx::text::nearest(&table.to_string(), known.iter().map(String::as_str));
    let hint = match (near, known.is_empty()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, true) => "the lake has no table yet: run the pipeline that writes it".to_owned(),
        (None, false) => {
            "`affluent tables` lists what is there; run the pipeline that writes it".to_owned()
        }
    };
    Err(Problem::new(&codes::TABLE_NOT_FOUND, format!("there is no table `{table}`"))
        .arg("table", table)
        .hint(hint))
}
