//! Relational modules: settings and input schemas in, one query out.

use crate::module::{Example, InputPorts, RowLaw};
use crate::sql::Sql;
use arrow::datatypes::{Field, SchemaRef};
use model::{Problem, Result, TableName, codes};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A relational module: one file in a family.
pub trait Relational: 'static {
    /// The settings under `with:`.
    type Config: DeserializeOwned + JsonSchema + Send + Sync;
    /// Unique `snake_case` name.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// Examples: rows in, rows out.
    const EXAMPLES: &'static [Example];
    /// The inputs it takes.
    const INPUTS: InputPorts = InputPorts::One;
    /// How many rows come out for those that go in.
    const LAW: RowLaw = RowLaw::Free;
    /// Whether rows can be rejected: then the query has the columns `_errors` and `_record`.
    const REJECTS: bool = false;

    /// Named output ports besides `out` and `rejects`; not empty means there is no `out`.
    fn ports(_config: &Self::Config) -> Vec<String> {
        Vec::new()
    }

    /// Lake tables that the settings name, besides the inputs.
    fn tables(_config: &Self::Config) -> Vec<TableName> {
        Vec::new()
    }

    /// Small first queries over the inputs, by name: one value each, kept for the whole run.
    fn facts(_config: &Self::Config, _inputs: &Inputs) -> Result<Vec<(String, Sql)>> {
        Ok(Vec::new())
    }

    /// The query over the names of the inputs.
    fn query(config: &Self::Config, inputs: &Inputs) -> Result<Relation>;
}

/// What a relational module compiles to.
#[derive(Debug, Clone)]
pub struct Relation {
    /// The query.
    pub sql: Sql,
    /// How its rows are shared out.
    pub routing: Routing,
    /// Checks that the engine counts while rows pass; `_notes` holds numbers into this list.
    pub checks: Vec<Check>,
}

impl Relation {
    /// A query whose rows all leave by `out`.
    pub fn new(sql: Sql) -> Self {
        Self { sql, routing: Routing::Single, checks: Vec::new() }
    }

    /// A query with `_errors` and `_record`.
    pub fn with_rejects(sql: Sql) -> Self {
        Self { sql, routing: Routing::Rejects, checks: Vec::new() }
    }
}

impl From<Sql> for Relation {
    fn from(sql: Sql) -> Self {
        Self::new(sql)
    }
}

/// How the rows of a query are shared out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// All by `out`.
    Single,
    /// Rows whose `_errors` is not null by `rejects`, the others by `out`.
    Rejects,
    /// By the number in `_port`; null means the row is dropped.
    Ports(Vec<String>),
}

/// What happens when a check finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is counted and reported.
    Warn,
    /// The row leaves by `rejects`.
    Reject,
    /// No sink below commits.
    Fail,
}

/// A check that the engine counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is checked, for messages: `not_null(day)`.
    pub label: String,
    /// What happens when it finds something.
    pub severity: Severity,
    /// What is looked at.
    pub test: CheckTest,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckTest {
    /// Rows whose `_notes` has this check's number.
    Noted,
    /// The number of rows that pass.
    RowCount {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The newest value of a date or timestamp column.
    Freshness {
        /// The column.
        column: String,
        /// It may not be older than this at the run's time.
        age_max: Duration,
    },
}

/// One input of a node as a module sees it.
#[derive(Debug, Clone)]
pub struct NamedInput {
    /// The name SQL reads it by.
    pub name: String,
    /// The name the module gives it (`left`), where it has named inputs.
    pub role: Option<String>,
    /// Its columns.
    pub schema: SchemaRef,
}

/// The inputs of a node, and facts about them.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// In the order of the document.
    pub list: Vec<NamedInput>,
    /// Answers to [`Relational::facts`].
    pub facts: BTreeMap<String, Value>,
    /// The project's time zone.
    pub time_zone: String,
}

impl Inputs {
    /// The one input of a module that takes one.
    pub fn only(&self) -> Result<&NamedInput> {
        match self.list.as_slice() {
            [input] => Ok(input),
            inputs => Err(Problem::new(
                &codes::GRAPH_INVALID,
                format!("this module takes one input, not {}", inputs.len()),
            )
            .hint("name one node in `from`")),
        }
    }

    /// The input that the module calls `role`.
    pub fn role(&self, role: &str) -> Result<&NamedInput> {
        self.list.iter().find(|input| input.role.as_deref() == Some(role)).ok_or_else(|| {
            Problem::new(&codes::GRAPH_INVALID, format!("the input `{role}` is missing"))
                .hint(format!("write `from: {{{role}: some_node, …}}`"))
        })
    }

    /// The answer to a first query; asked for by the same module, so it is there.
    pub fn fact(&self, name: &str) -> Result<&Value> {
        self.facts.get(name).ok_or_else(|| {
            Problem::new(&codes::INTERNAL, format!("the first query `{name}` has no answer"))
        })
    }
}

impl NamedInput {
    /// The column `name`, or a problem that names the nearest one. `setting` is the path of the
    /// setting that names it.
    pub fn column(&self, name: &str, setting: &str) -> Result<&Field> {
        self.schema.field_with_name(name).map_err(|_| {
            let known: Vec<&str> = self.columns().collect();
            let hint = match stdx::text::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.contains(&"column_1") => format!(
                    "columns are {}: no header was found in the file, so mind its settings \
                     `delimiter`, `header` and `columns`",
                    known.join(", ")
                ),
                None => format!("columns are {}", known.join(", ")),
            };
            Problem::new(&codes::COLUMN_UNKNOWN, format!("`{}` has no column `{name}`", self.name))
                .arg("column", name)
                .arg("input", &self.name)
                .in_setting(setting)
                .hint(hint)
        })
    }

    /// Names of all columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// Whether there is such a column.
    pub fn has(&self, name: &str) -> bool {
        self.schema.field_with_name(name).is_ok()
    }
}
