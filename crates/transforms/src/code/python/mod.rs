//! `python`: a function of one's own over Arrow tables, in a child process.

mod child;
mod environment;
#[cfg(test)]
mod tests;
mod wire;

use crate::projection::check_name;
use crate::settings::{Ordered, invalid};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use contracts::arrow_types::to_field;
use contracts::{
    Batches, Context, Example, InputPorts, Inputs, Operator, OperatorModule, OperatorRequest,
};
use model::{DataType, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// A program is not longer than this.
const CODE_BYTES_MAX: u64 = 1024 * 1024;
const MEBIBYTE: u64 = 1024 * 1024;

/// Settings of `python`: either `code` or `code_file`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Python text with a function `transform`. With one input it is given a table, with several
    /// a dictionary of tables by the names of their nodes; it returns a table.
    #[serde(default)]
    #[schemars(extend("x-widget" = "python"))]
    code: Option<String>,
    /// A file of the project with the Python text.
    #[serde(default)]
    #[schemars(extend("x-widget" = "file"))]
    code_file: Option<String>,
    /// Columns of the result with their types, in order; those of the only input when left out.
    #[serde(default)]
    columns: Ordered<DataType>,
    /// What tables are for the function.
    #[serde(default)]
    tables: Tables,
    /// Whether the function is called for some rows after the others, and so with little memory,
    /// or once with all rows. Rows that have `_file` and `_row` are in this order when it is once.
    #[serde(default)]
    calls: Calls,
    /// Packages that the code needs, as `pip` takes them: `[pandas, "scipy==1.16"]`. They are put
    /// into an environment of the project's own, once.
    #[serde(default)]
    requirements: Vec<String>,
    /// The Python program; `python3` when left out. Not on a server.
    #[serde(default)]
    interpreter: Option<String>,
    /// How long the process may run, in seconds.
    #[serde(default = "timeout_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    timeout_seconds: u64,
    /// How much memory the process may use, in MiB.
    #[serde(default = "memory_mib")]
    #[schemars(range(min = 256))]
    memory_mib: u64,
}

fn timeout_seconds() -> u64 {
    3600
}

fn memory_mib() -> u64 {
    4096
}

/// What tables are for a Python function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tables {
    /// `pyarrow.Table`.
    #[default]
    Arrow,
    /// `pandas.DataFrame`.
    Pandas,
}

/// How often a Python function is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// Once, with all rows.
    #[default]
    Once,
    /// For each batch of rows; with one input only.
    Batches,
}

/// The module.
pub struct Python;

impl OperatorModule for Python {
    type Config = Config;
    const NAME: &'static str = "python";
    const SUMMARY: &'static str = "Run a Python function over tables, in a process of its own.";
    const INPUTS: InputPorts = InputPorts::Many { min: 1 };
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "an Arrow table in, an Arrow table out",
            config: concat!(
                r#"{"code": "import pyarrow.compute as pc\n\ndef transform(table):\n"#,
                r#"    twice = pc.multiply(table['n'], 2)\n"#,
                r#"    return table.append_column('twice', twice)\n","#,
                r#" "columns": {"n": "integer", "twice": "integer"}}"#
            ),
            inputs: &[("rows", "{\"n\": 1}\n{\"n\": 2}")],
            outputs: &[("out", "{\"n\": 1, \"twice\": 2}\n{\"n\": 2, \"twice\": 4}")],
        },
        Example {
            title: "rows as dictionaries, for small tables",
            config: concat!(
                r#"{"code": "def transform(table):\n    rows = table.to_pylist()\n"#,
                r#"    return [{'name': row['name'].title()} for row in rows]\n","#,
                r#" "columns": {"name": "string"}}"#
            ),
            inputs: &[("rows", r#"{"name": "ana lima"}"#)],
            outputs: &[("out", r#"{"name": "Ana Lima"}"#)],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Operator>> {
        match (&config.code, &config.code_file) {
            (None, None) => {
                return Err(invalid("/code", "there is no Python code")
                    .hint("add `code:` with a function `transform(table)`, or `code_file:`"));
            }
            (Some(code), _) if !code.contains("transform") => {
                return Err(invalid("/code", "the code has no function `transform`")
                    .hint("write `def transform(table):`, and return a table"));
            }
            _ => {}
        }
        for (at, requirement) in config.requirements.iter().enumerate() {
            // `pip` would take it for an option, such as another package index.
            let is_option = requirement.trim_start().starts_with('-');
            if is_option || requirement.trim().is_empty() || requirement.contains('\n') {
                let path = format!("/requirements/{at}");
                return Err(invalid(&path, format!("`{requirement}` is not a package"))
                    .hint("write a name, and a version if it matters: `scipy==1.16`"));
            }
        }
        for (name, _) in config.columns.iter() {
            check_name(name, &format!("/columns/{name}"))?;
        }
        Ok(Box::new(PythonStep { config }))
    }
}

struct PythonStep {
    config: Config,
}

#[async_trait]
impl Operator for PythonStep {
    fn schema(&self, inputs: &Inputs) -> Result<SchemaRef> {
        let schemas: Vec<&SchemaRef> = inputs.list.iter().map(|input| &input.schema).collect();
        self.result_schema(&schemas)
    }

    async fn run(&self, context: &Context, request: OperatorRequest) -> Result<Batches> {
        let config = &self.config;
        let schemas: Vec<&SchemaRef> = request.inputs.iter().map(|(_, b)| &b.schema).collect();
        let schema = self.result_schema(&schemas)?;
        if context.confined && config.interpreter.is_some() {
            return Err(invalid("/interpreter", "a server chooses its Python program itself")
                .hint("leave `interpreter` out, and list packages in `requirements`"));
        }
        let home = context.state.join("python");
        tokio::fs::create_dir_all(&home).await.map_err(environment::storage)?;
        let program = match config.interpreter.as_deref() {
            // A path starts at the project; a name is looked for where programs are.
            Some(path) if path.contains('/') => {
                context.local_path(path)?.to_string_lossy().into_owned()
            }
            Some(name) => name.to_owned(),
            None => "python3".to_owned(),
        };
        let found = environment::find(&program).await?;
        let pandas = config.tables == Tables::Pandas;
        let python = match config.requirements.is_empty() {
            true => found.executable,
            false => environment::ensure(context, &found, &config.requirements, pandas).await?,
        };
        let (code, file) = self.code(context).await?;
        let job = child::Job {
            code,
            file,
            inputs: request.inputs.iter().map(|(name, _)| name.clone()).collect(),
            pandas,
            batches: config.calls == Calls::Batches,
            memory_bytes: config.memory_mib.saturating_mul(MEBIBYTE),
            threads: context.threads.max(1),
        };
        let place = child::Place {
            python,
            folder: context.project.clone(),
            home,
            timeout: Duration::from_secs(config.timeout_seconds),
        };
        child::start(place, job, schema, request.inputs)
    }
}

impl PythonStep {
    fn result_schema(&self, inputs: &[&SchemaRef]) -> Result<SchemaRef> {
        if self.config.calls == Calls::Batches && inputs.len() > 1 {
            return Err(invalid("/calls", "only one input can come in batches")
                .hint("leave `calls` out, or join the inputs before"));
        }
        if !self.config.columns.is_empty() {
            let columns = self.config.columns.iter();
            let fields: Vec<Field> = columns.map(|(name, kind)| to_field(name, kind)).collect();
            return Ok(Arc::new(Schema::new(fields)));
        }
        match inputs {
            [only] => Ok(Arc::clone(only)),
            _ => Err(invalid("/columns", "the columns of the result are not known")
                .hint("list them, as in `columns: {id: integer, name: string}`")),
        }
    }

    /// The code, and its name in messages.
    async fn code(&self, context: &Context) -> Result<(String, String)> {
        if let Some(code) = &self.config.code {
            return Ok((code.clone(), "code".to_owned()));
        }
        let file = self.config.code_file.clone().unwrap_or_default();
        let path = context.local_path(&file)?;
        let unreadable = |error: std::io::Error| {
            let code = match error.kind() {
                std::io::ErrorKind::NotFound => &codes::FILE_NOT_FOUND,
                _ => &codes::FILE_UNREADABLE,
            };
            Problem::new(code, format!("`{file}` cannot be read"))
                .arg("file", &file)
                .detail(error)
                .in_setting("/code_file")
        };
        let size = tokio::fs::metadata(&path).await.map_err(unreadable)?.len();
        if size > CODE_BYTES_MAX {
            return Err(Problem::new(
                &codes::FILE_TOO_LARGE,
                format!("`{file}` is larger than 1 MiB"),
            )
            .in_setting("/code_file"));
        }
        let code = tokio::fs::read_to_string(&path).await.map_err(unreadable)?;
        Ok((code, file))
    }
}
