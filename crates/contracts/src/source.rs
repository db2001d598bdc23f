//! Sources: where rows enter.

use crate::batches::Batches;
use crate::context::Context;
use crate::module::Example;
use crate::rejects::RejectSink;
use async_trait::async_trait;
use model::Result;
use model::run::{Arrival, Input, Range};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What runs of this pipeline have read from this source before.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Everything is to be read again, whatever was read before.
    pub full: bool,
    /// Files: (path, size, version) of every arrival that a run has taken.
    pub arrivals: HashSet<(String, u64, String)>,
    /// The newest range that a run has taken.
    pub range: Option<Range>,
    /// What the latest run read, for sources that are read as a whole each time.
    pub latest: Vec<Input>,
    /// Only a sample will be read and nothing recorded: contents need not be hashed.
    pub sample: bool,
}

impl Past {
    /// Whether a run has taken this file as it is now.
    pub fn knows(&self, arrival: &Arrival) -> bool {
        let Arrival { path, size, version, .. } = arrival;
        !self.full && self.arrivals.contains(&(path.clone(), *size, version.clone()))
    }
}

/// What a run would read.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// The inputs, pinned; goes into the run record as it is.
    pub inputs: Vec<Input>,
    /// Whether there is something here that no run has read, so that a run is worth starting.
    pub is_new: bool,
    /// Remarks for the person who runs this, such as rows whose cursor is null.
    pub remarks: Vec<String>,
}

/// What to read, and how much of it.
#[derive(Clone)]
pub struct ReadRequest {
    /// The pinned inputs, as `discover` gave them.
    pub inputs: Vec<Input>,
    /// Partitions to give back, if the source can be split.
    pub partitions: usize,
    /// Only a sample is wanted: stop after this many rows or bytes, whichever is first.
    pub sample: Option<Sample>,
    /// Takes records that cannot be read.
    pub rejects: Arc<dyn RejectSink>,
    /// Bytes read so far, for progress.
    pub bytes: Arc<AtomicU64>,
}

/// Bounds of a preview.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Rows at most.
    pub rows: u64,
    /// Bytes at most.
    pub bytes: u64,
}

/// A configured source.
#[async_trait]
pub trait Source: Send + Sync {
    /// Fixes what a run would read. What cannot be pinned where it is, is landed here: each page
    /// durable before the next is asked for, and found again by a later call for the same `past`.
    async fn discover(&self, context: &Context, past: &Past) -> Result<Discovery>;

    /// Opens the pinned inputs. The schema is known when this returns; rows come as the streams
    /// are read. With no inputs the schema should still be as good as can be known.
    async fn read(&self, context: &Context, request: ReadRequest) -> Result<Batches>;

    /// The lake table and version that these inputs are, where they are nothing else: then queries
    /// read the table in place instead of a stream of it.
    fn view(&self, _inputs: &[Input]) -> Option<(model::TableName, u64)> {
        None
    }

    /// Lake tables this source reads, for the order of pipelines and stages.
    fn tables(&self) -> Vec<model::TableName> {
        Vec::new()
    }
}

/// A source module: one file in a family.
pub trait SourceModule: 'static {
    /// The settings under `with:`.
    type Config: DeserializeOwned + JsonSchema;
    /// Unique `snake_case` name; a noun.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// Examples: `inputs` are files by name, `outputs` are rows per port.
    const EXAMPLES: &'static [Example];
    /// Whether records can be rejected.
    const REJECTS: bool = false;

    /// A source with these settings.
    fn build(config: Self::Config) -> Result<Box<dyn Source>>;
}
