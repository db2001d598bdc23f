//! One relational node as a chain of queries: itself, and the nodes before it that only it reads.

use contracts::{
    NamedInput, ParamValue, PlanInput, PlanRequest, Planned, QueryEngine, Relation, Step,
};
use model::{Name, Result, TableName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An output port of a node, by index.
pub type Outlet = (usize, Name);

/// Queries that together compute a node.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Streams that the queries read.
    pub inputs: Vec<(PlanInput, Outlet)>,
    /// The queries; the last is the node's own.
    pub steps: Vec<Step>,
    /// Bytes of the lake tables they read.
    pub table_bytes: u64,
    /// Nodes whose queries are among the steps, the node itself included.
    pub nodes: Vec<usize>,
}

impl Chain {
    /// Puts the chain of a node before its only reader in front.
    pub fn absorb(&mut self, before: &Chain, name: &str) {
        self.inputs.retain(|(input, _)| input.name != name);
        for input in &before.inputs {
            if self.inputs.iter().all(|(known, _)| known.name != input.0.name) {
                self.inputs.push(input.clone());
            }
        }
        let own = std::mem::take(&mut self.steps);
        for step in before.steps.iter().chain(&own) {
            if self.steps.iter().all(|known| known.name != step.name) {
                self.steps.push(step.clone());
            }
        }
        self.table_bytes += before.table_bytes;
        self.nodes = before.nodes.iter().chain(&self.nodes).copied().collect();
    }

    /// Bytes to expect from this chain at most, where all its inputs are known.
    pub fn bytes(&self) -> Option<u64> {
        let tables = self.table_bytes.saturating_mul(4);
        self.inputs.iter().try_fold(tables, |sum, (input, _)| Some(sum + input.bytes?))
    }

    /// Plans the chain.
    pub async fn plan(
        &self,
        query: &Arc<dyn QueryEngine>,
        params: &BTreeMap<String, ParamValue>,
        tables: &BTreeMap<TableName, u64>,
        partitions: usize,
    ) -> Result<Box<dyn Planned>> {
        let request = PlanRequest {
            inputs: self.inputs.iter().map(|(input, _)| input.clone()).collect(),
            steps: self.steps.clone(),
            params: params.clone(),
            tables: tables.clone(),
            schemas: BTreeMap::new(),
            table_bytes: self.table_bytes,
            partitions,
        };
        query.plan(request).await
    }
}

/// A planned relational node.
pub struct Compiled {
    /// Its queries.
    pub chain: Chain,
    /// What its own query says about routing and checks.
    pub relation: Relation,
    /// The plan of the chain.
    pub planned: Box<dyn Planned>,
    /// Whether its rows come in order of origin.
    pub in_origin_order: bool,
}

/// What a node reads at one of its inputs.
#[derive(Debug, Clone)]
pub enum Feed {
    /// A stream of this stage.
    Stream(Outlet),
    /// Rows that an earlier stage kept.
    Spool(Outlet),
    /// A lake table, in place.
    Table(TableName, u64),
}

/// An input with what is known of it.
#[derive(Debug, Clone)]
pub struct FedInput {
    /// As the module sees it.
    pub input: NamedInput,
    /// Where it comes from.
    pub feed: Feed,
    /// Bytes to expect at most, where known.
    pub bytes: Option<u64>,
    /// Whether rows come in order of origin.
    pub in_origin_order: bool,
}
