//! `affluent.yaml`: the folder that feeds one workspace.

use crate::name::Name;
use crate::pipeline::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `affluent.yaml`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Version of the document format; 1.
    pub affluent: Version,
    /// Always `project`.
    #[serde(default)]
    pub kind: ProjectKind,
    /// Name of the project.
    pub name: Name,
    /// What the project is for.
    #[serde(default)]
    pub description: String,
    /// The workspace its tables belong to; the project's name when none is given.
    #[serde(default)]
    pub workspace: Option<Name>,
    /// Where tables are kept: a folder beside this file, or `s3://bucket/prefix`.
    #[serde(default = "default_lake")]
    pub lake: String,
    /// Time zone for dates and times that carry none, such as `Europe/Paris`.
    #[serde(default = "default_time_zone")]
    pub time_zone: String,
    /// Limits of a run.
    #[serde(default)]
    pub limits: Limits,
    /// Folders outside the project that sources may read; paths relative to this file.
    #[serde(default)]
    pub allowed_paths: Vec<String>,
    /// Whether the action `shell` may run programs. On a server `AFFLUENT_ALLOW_SHELL=1` has to be
    /// set as well: a program does what the user that the server runs as may do.
    #[serde(default)]
    pub allow_shell: bool,
    /// Settings per environment, chosen with `--env NAME`.
    #[serde(default)]
    pub environments: BTreeMap<Name, Environment>,
}

fn default_lake() -> String {
    "lake".to_owned()
}

fn default_time_zone() -> String {
    "UTC".to_owned()
}

/// The word `project`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// The only kind of this document.
    #[default]
    Project,
}

/// What a run may use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory for joins, sorts, aggregates and queues, in MiB; beyond it they spill to disk.
    pub memory_mib: u64,
    /// Threads; 0 means one per core.
    pub threads: u32,
    /// Files open for spilling may not take more than this, in MiB.
    pub spill_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 1024, threads: 0, spill_mib: 100 * 1024 }
    }
}

/// What differs in an environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// Workspace instead of the project's.
    pub workspace: Option<Name>,
    /// Lake instead of the project's.
    pub lake: Option<String>,
    /// Connections that take the place of the one named, as in `{erp: erp_test}`.
    pub connections: BTreeMap<Name, Name>,
    /// Values for parameters of the same name.
    pub params: BTreeMap<Name, Value>,
}
