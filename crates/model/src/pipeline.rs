//! Pipelines: graphs of modules.

use crate::name::Name;
use crate::span::Span;
use crate::types::DataType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// `kind: pipeline`: nodes that read, change and write rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Version of the document format; 1.
    pub affluent: Version,
    /// Always `pipeline`.
    pub kind: PipelineKind,
    /// Name of the pipeline, as in `affluent run NAME`.
    pub name: Name,
    /// What the pipeline is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Words to select pipelines by, as in `affluent run tag:daily`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Values that a run can be given, as in `--param day=2026-01-31`; in SQL `$day`.
    #[serde(default)]
    pub params: BTreeMap<Name, Param>,
    /// Pipelines that must have run before, besides those whose tables are read.
    #[serde(default)]
    pub after: Vec<Name>,
    /// How runs of the pipeline relate to one another on a server.
    #[serde(default, skip_serializing_if = "RunPolicy::is_default")]
    pub runs: RunPolicy,
    /// The steps.
    pub nodes: Vec<Node>,
}

/// Version of a document's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(with = "u32", extend("const" = 1))]
pub struct Version;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("this program reads version 1 of the format, not {other}")),
        }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        1
    }
}

/// The word `pipeline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PipelineKind {
    /// The only kind of this document.
    Pipeline,
}

/// A value that a run can be given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Type of the value.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Value when a run gives none; without it the parameter is required.
    #[serde(default)]
    pub default: Option<Value>,
    /// What the value means.
    #[serde(default)]
    pub description: String,
}

/// One step of a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name of the node in its pipeline; SQL of later nodes reads it by this name.
    pub id: Name,
    /// The module.
    #[serde(rename = "use")]
    pub module: String,
    /// Where rows come from: a node, `node.port`, a list, or a map for modules with named inputs.
    #[serde(default, skip_serializing_if = "Upstream::is_empty")]
    pub from: Upstream,
    /// Nodes that must have ended before: `node`, or `node.branch` of one that chooses a branch.
    /// Before and after actions only; rows need no such word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<PortRef>,
    /// Which ends of the nodes in `after` let this one begin.
    #[serde(default, skip_serializing_if = "When::is_default")]
    pub when: When,
    /// What happens when an attempt fails; for data nodes the pipeline's `runs.retry` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long an attempt may take, such as `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The module's settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
    /// What the node is for, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Which ends of the nodes before it let a node begin, once all of them have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All succeeded.
    #[default]
    Succeeded,
    /// One succeeded and none failed: where branches meet again.
    NoneFailed,
    /// One failed: the error path.
    Failed,
    /// Whatever happened, even when the run was cancelled: to tidy up.
    Always,
}

impl When {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens when an attempt fails. What only a person can put right is never tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts in all, the first included; lost runners are counted apart.
    pub attempts: u32,
    /// The wait before the second attempt.
    pub wait: Span,
    /// How the wait grows.
    pub growth: Growth,
    /// No wait is longer than this.
    pub longest: Span,
    /// Whether each wait is shortened by chance, so that what failed together does not come back
    /// together.
    pub jitter: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            wait: Span::from_us(1_000_000),
            growth: Growth::Exponential,
            longest: Span::from_us(300_000_000),
            jitter: true,
        }
    }
}

/// How the wait between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// It does not.
    Fixed,
    /// It doubles every time.
    #[default]
    Exponential,
}

/// How the runs of a pipeline relate to one another on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunPolicy {
    /// What happens when a run should begin and there are as many as may be.
    pub overlap: Overlap,
    /// Runs at the same time. Data nodes allow one; without them it is 1000 unless said.
    pub at_once: Option<u32>,
    /// Runs that wait for their turn; more are refused.
    pub queue: u32,
    /// How long a run may take.
    pub timeout: Option<Span>,
    /// How long after it was asked for a run should have ended; then people are told.
    pub late_after: Option<Span>,
    /// Higher is sooner, between -100 and 100; one step is worth a minute of waiting.
    pub priority: i8,
    /// What happens when an attempt at the data nodes fails.
    pub retry: Option<Retry>,
    /// The pool of slots that the data nodes take one of.
    pub pool: Option<Name>,
}

impl Default for RunPolicy {
    fn default() -> Self {
        Self {
            overlap: Overlap::default(),
            at_once: None,
            queue: 1_000,
            timeout: None,
            late_after: None,
            priority: 0,
            retry: None,
            pool: None,
        }
    }
}

impl RunPolicy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens when a run should begin and there are as many as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It is recorded as skipped.
    Skip,
    /// The runs that go on are cancelled; it begins when they have ended.
    CancelPrevious,
    /// It is recorded as failed.
    Fail,
}

/// Inputs of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Upstream {
    /// No input.
    #[default]
    None,
    /// One input.
    One(PortRef),
    /// Several inputs, named by their node ids.
    Many(Vec<PortRef>),
    /// Inputs for a module that gives them names, such as `left` and `right`.
    Named(BTreeMap<Name, PortRef>),
}

impl Upstream {
    /// Whether there is no input.
    pub fn is_empty(&self) -> bool {
        self.inputs().is_empty()
    }

    /// Every input with the name it was given, if any, in the order of the document.
    pub fn inputs(&self) -> Vec<(Option<&Name>, &PortRef)> {
        match self {
            Self::None => Vec::new(),
            Self::One(input) => vec![(None, input)],
            Self::Many(inputs) => inputs.iter().map(|input| (None, input)).collect(),
            Self::Named(inputs) => inputs.iter().map(|(name, input)| (Some(name), input)).collect(),
        }
    }
}

/// An output of a node: `node` for its main output, or `node.port`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PortRef {
    /// The node.
    pub node: Name,
    /// The port; `out` when none is written.
    pub port: Name,
}

/// The port that is meant when none is written.
pub const OUT: &str = "out";
/// The port of rows that cannot be accepted.
pub const REJECTS: &str = "rejects";

impl TryFrom<String> for PortRef {
    type Error = crate::Problem;

    fn try_from(text: String) -> crate::Result<Self> {
        let (node, port) = text.split_once('.').unwrap_or((&text, OUT));
        Ok(Self { node: Name::new(node)?, port: Name::new(port)? })
    }
}

impl From<PortRef> for String {
    fn from(port_ref: PortRef) -> Self {
        if port_ref.port.as_str() == OUT {
            port_ref.node.to_string()
        } else {
            format!("{}.{}", port_ref.node, port_ref.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Document;

    #[test]
    fn a_pipeline_reads_back() {
        let text = "affluent: 1\nkind: pipeline\nname: sales\nnodes:\n  \
                    - {id: a, use: csv, with: {path: a.csv}}\n  \
                    - {id: b, use: join, from: {left: a, right: a.rejects}}\n";
        let pipeline: Pipeline = Document::parse("p.yaml", text).unwrap().read("").unwrap();
        let inputs = pipeline.nodes[1].from.inputs();
        assert_eq!(inputs.len(), 2);
        assert_eq!(String::from(inputs[1].1.clone()), "a.rejects");
    }
}
