//! Connections: what they are, whether they work, and what is behind them.

use crate::problem::ProblemBody;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A connection as a list shows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionHead {
    /// Its name.
    pub name: String,
    /// What it connects to: `postgres`, `http` …
    #[serde(rename = "type")]
    pub connection_type: String,
    /// What it is for.
    pub description: String,
    /// Where it leads: what its secrets are bound to.
    pub leads_to: String,
    /// The secrets that its document names.
    pub secrets: Vec<SecretUse>,
}

/// A secret that a document names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretUse {
    /// Its name.
    pub name: String,
    /// Whether it is set.
    pub set: bool,
    /// Whether it is set for where the connection leads now.
    pub usable: bool,
}

/// All connections of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Connections {
    /// The connections, by name.
    pub items: Vec<ConnectionHead>,
}

/// A connection by name.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ConnectionPath {
    /// Name of the connection.
    pub connection: String,
}

/// Tests a connection, as it is or as it would be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestConnection {
    /// Text of the document instead of the saved one. Stored secrets are used only if it leads to
    /// the same place.
    #[serde(default)]
    pub text: Option<String>,
}

/// Whether a connection works.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionVerdict {
    /// Whether it does.
    pub works: bool,
    /// What answered, in a sentence.
    pub answered: Option<String>,
    /// Why it does not.
    pub problem: Option<ProblemBody>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// Where to look behind a connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BrowseQuery {
    /// What to look into: nothing for the top; `schema` or `schema.table` of a database,
    /// `bucket/folder/` of an object store.
    pub path: Option<String>,
    /// Only what begins so, in any case: what a person has typed.
    pub prefix: Option<String>,
    /// How many at most: 100 unless given, no more than 1000.
    pub limit: Option<u64>,
}

/// Something behind a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// `schema`, `table`, `view`, `column`, `folder` or `file`.
    pub kind: String,
    /// The type of a column, the size of a file.
    pub detail: Option<String>,
}

/// What is behind a connection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Browsed {
    /// What there is, by name.
    pub items: Vec<Found>,
    /// Whether there is more than was asked for.
    pub more: bool,
}

/// A kind of connection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionType {
    /// The word that `type` has in the document.
    pub name: String,
    /// JSON Schema of its settings.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// All kinds of connections.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTypes {
    /// The kinds.
    pub items: Vec<ConnectionType>,
}
