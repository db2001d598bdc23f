//! The registry entry that every module becomes: typed inside, erased outside.

use crate::action::{Action, ActionModule, Unfilled};
use crate::operator::{Operator, OperatorModule};
use crate::relational::{Inputs, Relation, Relational};
use crate::sink::{Sink, SinkModule};
use crate::source::{Source, SourceModule};
use crate::sql::Sql;
use model::yaml::read_value;
use model::{Problem, Result, TableName};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An example: shown in the reference, run as a test.
///
/// Rows are NDJSON; a first line `{"#types": {"day": "date"}}` gives types that JSON has not.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What it shows.
    pub title: &'static str,
    /// The settings, as JSON.
    pub config: &'static str,
    /// What goes in: (input name, rows) — for sources (file name, content).
    pub inputs: &'static [(&'static str, &'static str)],
    /// What comes out: (port, rows) — for sinks (file or table, rows).
    pub outputs: &'static [(&'static str, &'static str)],
}

/// The inputs that a module takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputPorts {
    /// None: a source.
    None,
    /// Exactly one.
    One,
    /// At least so many.
    Many {
        /// The least number.
        min: usize,
    },
    /// Those named, in `from: {left: …, right: …}`.
    Named(&'static [&'static str]),
}

/// How many rows come out for those that go in; the engine checks it on every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowLaw {
    /// Anything.
    Free,
    /// Each row leaves by exactly one port: in = out + rejects.
    Each,
    /// Rows may be left out, never added: in ≥ out + rejects.
    AtMost,
}

/// What a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rows enter.
    Source,
    /// One query.
    Relational,
    /// Batches in, batches out.
    Operator,
    /// Rows leave.
    Sink,
    /// No rows: something else is done.
    Action,
}

/// A setting's path below `with:` and the problem it causes.
pub type ConfigResult<T> = Result<T, (String, Problem)>;

/// How a module comes to life.
#[derive(Clone, Copy)]
pub enum Build {
    /// A source.
    Source(fn(&Value) -> ConfigResult<Box<dyn Source>>),
    /// A relational module.
    Relational(fn(&Value) -> ConfigResult<Box<dyn AnyRelational>>),
    /// An operator.
    Operator(fn(&Value) -> ConfigResult<Box<dyn Operator>>),
    /// A sink.
    Sink(fn(&Value) -> ConfigResult<Box<dyn Sink>>),
    /// An action, and its settings whose templates are not filled in.
    Action(fn(&Value) -> ConfigResult<Box<dyn Action>>, &'static [(&'static str, Unfilled)]),
}

/// A relational module with its settings read.
pub trait AnyRelational: Send + Sync {
    /// See [`Relational::ports`].
    fn ports(&self) -> Vec<String>;
    /// See [`Relational::tables`].
    fn tables(&self) -> Vec<TableName>;
    /// See [`Relational::facts`].
    fn facts(&self, inputs: &Inputs) -> Result<Vec<(String, Sql)>>;
    /// See [`Relational::query`].
    fn query(&self, inputs: &Inputs) -> Result<Relation>;
}

struct Configured<M: Relational> {
    config: M::Config,
}

impl<M: Relational> AnyRelational for Configured<M> {
    fn ports(&self) -> Vec<String> {
        M::ports(&self.config)
    }

    fn tables(&self) -> Vec<TableName> {
        M::tables(&self.config)
    }

    fn facts(&self, inputs: &Inputs) -> Result<Vec<(String, Sql)>> {
        M::facts(&self.config, inputs)
    }

    fn query(&self, inputs: &Inputs) -> Result<Relation> {
        M::query(&self.config, inputs)
    }
}

/// A module in the registry.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Unique name.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Examples.
    pub examples: &'static [Example],
    /// What it takes.
    pub inputs: InputPorts,
    /// Whether it has a `rejects` port.
    pub rejects: bool,
    /// How rows in and rows out relate.
    pub law: RowLaw,
    /// JSON Schema of its settings.
    pub schema: fn() -> Schema,
    /// How it comes to life.
    pub build: Build,
}

impl Entry {
    /// The entry of a source.
    pub const fn source<M: SourceModule>() -> Self {
        Self {
            name: M::NAME,
            summary: M::SUMMARY,
            examples: M::EXAMPLES,
            inputs: InputPorts::None,
            rejects: M::REJECTS,
            law: RowLaw::Free,
            schema: schema_of::<M::Config>,
            build: Build::Source(|value| {
                M::build(read_config(value)?).map_err(|problem| (String::new(), problem))
            }),
        }
    }

    /// The entry of a relational module.
    pub const fn relational<M: Relational>() -> Self {
        Self {
            name: M::NAME,
            summary: M::SUMMARY,
            examples: M::EXAMPLES,
            inputs: M::INPUTS,
            rejects: M::REJECTS,
            law: M::LAW,
            schema: schema_of::<M::Config>,
            build: Build::Relational(|value| {
                Ok(Box::new(Configured::<M> { config: read_config(value)? }))
            }),
        }
    }

    /// The entry of an operator.
    pub const fn operator<M: OperatorModule>() -> Self {
        Self {
            name: M::NAME,
            summary: M::SUMMARY,
            examples: M::EXAMPLES,
            inputs: M::INPUTS,
            rejects: M::REJECTS,
            law: RowLaw::Free,
            schema: schema_of::<M::Config>,
            build: Build::Operator(|value| {
                M::build(read_config(value)?).map_err(|problem| (String::new(), problem))
            }),
        }
    }

    /// The entry of a sink.
    pub const fn sink<M: SinkModule>() -> Self {
        Self {
            name: M::NAME,
            summary: M::SUMMARY,
            examples: M::EXAMPLES,
            inputs: InputPorts::One,
            rejects: false,
            law: RowLaw::Free,
            schema: schema_of::<M::Config>,
            build: Build::Sink(|value| {
                M::build(read_config(value)?).map_err(|problem| (String::new(), problem))
            }),
        }
    }

    /// The entry of an action.
    pub const fn action<M: ActionModule>() -> Self {
        let build = |value: &Value| {
            M::build(read_config(value)?).map_err(|problem| {
                let setting = problem.context().setting.clone();
                (setting.unwrap_or_default(), problem)
            })
        };
        Self {
            name: M::NAME,
            summary: M::SUMMARY,
            examples: M::EXAMPLES,
            inputs: InputPorts::None,
            rejects: false,
            law: RowLaw::Free,
            schema: schema_of::<M::Config>,
            build: Build::Action(build, M::UNFILLED),
        }
    }

    /// What the module is.
    pub fn kind(&self) -> Kind {
        match self.build {
            Build::Source(_) => Kind::Source,
            Build::Relational(_) => Kind::Relational,
            Build::Operator(_) => Kind::Operator,
            Build::Sink(_) => Kind::Sink,
            Build::Action(..) => Kind::Action,
        }
    }
}

fn read_config<T: DeserializeOwned>(value: &Value) -> ConfigResult<T> {
    read_value(value)
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}
