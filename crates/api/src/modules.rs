//! Modules: what pipelines are made of.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// What a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModuleKind {
    /// Rows enter.
    Source,
    /// One query over its inputs.
    Relational,
    /// Batches in, batches out.
    Operator,
    /// Rows leave.
    Sink,
    /// No rows: something else is done.
    Action,
}

/// What a module takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModuleInputs {
    /// At least so many inputs.
    pub min: u64,
    /// At most so many; absent when there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Their names, where each has its part.
    pub names: Vec<String>,
}

/// A module in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModuleHead {
    /// Its name, as documents write it after `use:`.
    pub name: String,
    /// What it is.
    pub kind: ModuleKind,
    /// What it does, one sentence.
    pub summary: String,
    /// What it takes.
    pub inputs: ModuleInputs,
    /// Whether it has a port `rejects`.
    pub rejects: bool,
    /// Name of a picture for it.
    pub icon: String,
}

/// All modules, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Modules {
    /// The modules.
    pub items: Vec<ModuleHead>,
}

/// An example of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModuleExample {
    /// What it shows.
    pub title: String,
    /// The settings.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// What goes in.
    pub inputs: Vec<ExampleRows>,
    /// What comes out.
    pub outputs: Vec<ExampleRows>,
}

/// Rows of an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExampleRows {
    /// Name of the input or port, or of the file.
    pub name: String,
    /// The rows, as NDJSON or as the file has them.
    pub rows: String,
}

/// A module with everything there is to know about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Module {
    /// What the list says.
    #[serde(flatten)]
    pub head: ModuleHead,
    /// JSON Schema of its settings, with a description of each.
    #[schema(value_type = Object)]
    pub schema: Value,
    /// Examples.
    pub examples: Vec<ModuleExample>,
}

/// A module by name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ModulePath {
    /// Name of the module.
    pub module: String,
}
