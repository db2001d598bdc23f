//! Sinks: where rows leave, in one commit per run.

use crate::batches::Batches;
use crate::context::Context;
use crate::module::Example;
use crate::relational::NamedInput;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use model::run::{CommitKey, Committed};
use model::{Problem, Result, TableName, codes};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

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
    /// Earlier commits of this sink whose appended rows are taken out in the commit that adds the
    /// new ones; [`Sink::check_replaceable`] has allowed each.
    pub replaces: Vec<CommitKey>,
}

/// A configured sink.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What is written to.
    fn target(&self) -> Target;

    /// Whether running it twice with different keys would add the same rows twice.
    fn appends(&self) -> bool;

    /// Whether the rows that an earlier commit has appended can be taken out in the commit that
    /// adds others; the problem says why not, and what to do.
    async fn check_replaceable(&self, _context: &Context, _earlier: &CommitKey) -> Result<()> {
        let target = match self.target() {
            Target::Table(table) => table.to_string(),
            Target::Outside(target) => target,
        };
        let fact = format!("the rows that one run has appended to `{target}` cannot be told apart");
        Err(Problem::new(&codes::RUN_REFUSED, fact).arg("target", target).hint(
            "a mode that knows rows by a `key` can be repeated; `--full-refresh` writes \
             everything again; `--only` leaves this sink out",
        ))
    }

    /// Whether rows get the time of their run. A full refresh then gives the rows of all runs with
    /// the column [`crate::table::SINCE`].
    fn keeps_history(&self) -> bool {
        false
    }

    /// The columns of the target once rows with these columns have come in, as far as that can
    /// be said without writing. `present` are the columns of the lake table as it is. A setting
    /// that names a column which is not there is a problem.
    fn plan(&self, input: &NamedInput, _present: Option<&SchemaRef>) -> Result<SchemaRef> {
        Ok(Arc::clone(&input.schema))
    }

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
