//! Connections: where databases, APIs and object stores are, and how to sign in.

use crate::name::Name;
use crate::pipeline::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `kind: connection`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Version of the document format; 1.
    pub affluent: Version,
    /// Always `connection`.
    pub kind: ConnectionKind,
    /// Name of the connection, as nodes refer to it.
    pub name: Name,
    /// What it connects to: `postgres`, `sqlite`, `http`, `s3` …
    #[serde(rename = "type")]
    pub connection_type: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// The settings of its type, such as `host` or `url`.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

/// The word `connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionKind {
    /// The only kind of this document.
    Connection,
}
