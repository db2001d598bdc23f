//! Sinks: where rows leave, in one commit per run.

use crate::batches::Batches;
use crate::context::Context;
use crate::module::Example;
use async_trait::async_trait;
use model::run::{CommitKey, Committed};
use model::{Result, TableName};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a sink writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A lake table; later nodes may read it.
    Table(TableName),
    /// Something outside, in the user's words.
    Outside(String),
}

/// One commit: its key, and what goes with it.
#[derive(Debug, Clone)]
pub struct SinkRequest {
    /// Found at the target, the commit has happened.
    pub key: CommitKey,
    /// Run and ranges, repeated in the commit's metadata so that a lost journal can be rebuilt.
    pub metadata: Map<String, Value>,
    /// The sink is to take the place of everything that is there (`--full-refresh`).
    pub overwrite: bool,
}

/// A configured sink.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What is written to.
    fn target(&self) -> Target;

    /// Whether running it twice with different keys would add the same rows twice.
    fn appends(&self) -> bool;

    /// Looks for the commit at the target.
    async fn committed(
        &self,
        context: &Context,
        request: &SinkRequest,
    ) -> Result<Option<Committed>>;

    /// Writes all rows where nobody sees them.
    async fn prepare(
        &self,
        context: &Context,
        request: SinkRequest,
        input: Batches,
    ) -> Result<Box<dyn Prepared>>;
}

/// Rows that are written and invisible.
#[async_trait]
pub trait Prepared: Send {
    /// Makes the rows visible, all at once, durable when this returns. An earlier commit with the
    /// same key is success.
    async fn commit(self: Box<Self>) -> Result<Committed>;

    /// Throws the rows away.
    async fn discard(self: Box<Self>);
}

/// A sink module: one file in a family.
pub trait SinkModule: 'static {
    /// The settings under `with:`.
    type Config: DeserializeOwned + JsonSchema;
    /// Unique `snake_case` name; begins with `write_`.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// Examples: `inputs` are rows, `outputs` are files or tables with their rows.
    const EXAMPLES: &'static [Example];

    /// A sink with these settings.
    fn build(config: Self::Config) -> Result<Box<dyn Sink>>;
}
