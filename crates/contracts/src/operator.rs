//! Operators: what is not relational, over streams of batches.

use crate::batches::Batches;
use crate::context::Context;
use crate::module::{Example, InputPorts};
use crate::rejects::RejectSink;
use crate::relational::Inputs;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use model::Result;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What an operator is given.
pub struct OperatorRequest {
    /// One per input, in the order of the document.
    pub inputs: Vec<(String, Batches)>,
    /// Takes rows that cannot be accepted.
    pub rejects: Arc<dyn RejectSink>,
}

/// A configured operator.
#[async_trait]
pub trait Operator: Send + Sync {
    /// The schema of the output for these inputs.
    fn schema(&self, inputs: &Inputs) -> Result<SchemaRef>;

    /// Starts the work; rows come as the streams are read.
    async fn run(&self, context: &Context, request: OperatorRequest) -> Result<Batches>;
}

/// An operator module: one file in a family.
pub trait OperatorModule: 'static {
    /// The settings under `with:`.
    type Config: DeserializeOwned + JsonSchema;
    /// Unique `snake_case` name.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// Examples: rows in, rows out.
    const EXAMPLES: &'static [Example];
    /// The inputs it takes.
    const INPUTS: InputPorts = InputPorts::One;
    /// Whether rows can be rejected.
    const REJECTS: bool = false;

    /// An operator with these settings.
    fn build(config: Self::Config) -> Result<Box<dyn Operator>>;
}
