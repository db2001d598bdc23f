//! The run journal behind a trait: files on the command line, the metadata database on a server.

use model::run::{RunEvent, RunId, RunRecord};
use model::{Name, Result};

/// A run as the journal knows it.
#[derive(Debug, Clone)]
pub struct JournaledRun {
    /// Written before the first row was read.
    pub record: RunRecord,
    /// What has happened since, in order.
    pub events: Vec<RunEvent>,
}

/// Held as long as a pipeline runs; dropped, or lost with its process, it is free again.
pub trait PipelineLock: Send {}

/// Where run records are kept. Everything is durable when a call returns.
pub trait RunJournal: Send + Sync {
    /// Takes the lock of a pipeline, or says who has it.
    fn lock(&self, pipeline: &Name) -> Result<Box<dyn PipelineLock>>;

    /// Writes the record of a new run.
    fn begin(&self, record: &RunRecord) -> Result<()>;

    /// Adds what has happened.
    fn append(&self, pipeline: &Name, run: &RunId, event: &RunEvent) -> Result<()>;

    /// All runs of a pipeline, oldest first.
    fn runs(&self, pipeline: &Name) -> Result<Vec<JournaledRun>>;

    /// Names of pipelines that have runs.
    fn pipelines(&self) -> Result<Vec<Name>>;
}
