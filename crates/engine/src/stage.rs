//! One stage: everything that streams together, from its sources to the sinks they reach.

use crate::compile::{Chain, Compiled, FedInput, Feed, Outlet};
use crate::graph::{Graph, Module};
use crate::progress::Listener;
use crate::rejects::{RejectCounters, Rejects};
use crate::replay::Keep;
use crate::route::{Finding, visible};
use crate::seen;
use crate::spool::Spool;
use arrow::datatypes::SchemaRef;
use contracts::rejects::rejects_schema;
use contracts::sql::Text;
use contracts::{
    Batches, Context, Inputs, NamedInput, ParamValue, PlanInput, QueryEngine, ReadRequest, Routing,
    RowCounter, Step, sql,
};
use futures::{StreamExt, TryStreamExt};
use model::pipeline::{OUT, REJECTS};
use model::run::{Committed, Input, RunEvent, RunRecord};
use model::{Name, Problem, Result, TableName, codes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;
use tokio::task::JoinError;

/// Called with what became durable, so that the journal follows the target.
pub(crate) type Record<'a> = &'a (dyn Fn(&RunEvent) -> Result<()> + Send + Sync);

/// A run on its way through its stages.
pub(crate) struct Attempt {
    pub(crate) graph: Arc<Graph>,
    pub(crate) record: RunRecord,
    pub(crate) context: Context,
    pub(crate) query: Arc<dyn QueryEngine>,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) params: BTreeMap<String, ParamValue>,
    pub(crate) rejects_max: Option<u64>,
    /// Whether plans are left without counters.
    pub(crate) without_counts: bool,
    /// Sinks that have committed, by node.
    pub(crate) committed: BTreeMap<usize, Committed>,
    /// Versions at which lake tables are read.
    pub(crate) tables: BTreeMap<TableName, u64>,
    /// Answers of first queries.
    pub(crate) facts: BTreeMap<String, Value>,
    /// Nodes that are still to be run.
    pub(crate) pending: BTreeSet<usize>,
    /// Nodes of the stage that is going on.
    pub(crate) running: BTreeSet<usize>,
    pub(crate) counters: Vec<Counters>,
    pub(crate) findings: BTreeMap<usize, Vec<Finding>>,
    pub(crate) spools: HashMap<Outlet, Spool>,
    /// A sink whose rows are kept instead of written.
    pub(crate) keep: Option<Keep>,
}

/// The numbers of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    pub(crate) rows_out: Arc<RowCounter>,
    pub(crate) rejects: RejectCounters,
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) started: Option<Instant>,
}

/// A node that takes part in the stage.
pub(crate) enum Work {
    Source(Batches, Batches, Arc<Rejects>),
    Query(Box<Compiled>),
    /// Its queries run inside of its only reader's plan.
    Absorbed,
    Operator(Vec<FedInput>),
    Sink(FedInput),
}

/// The nodes of a stage with their plans.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) work: BTreeMap<usize, Work>,
    pub(crate) schemas: HashMap<Outlet, SchemaRef>,
    ordered: BTreeSet<Outlet>,
    bytes: HashMap<Outlet, u64>,
    /// Nodes that wait for rows of this stage to be complete.
    waits_for_facts: BTreeSet<usize>,
}

/// What a finished stage leaves behind.
pub(crate) struct StageOutcome {
    /// Problems of checks; sinks below them have not committed.
    pub(crate) problems: Vec<Problem>,
}

pub(crate) fn task_failed(error: JoinError) -> Problem {
    let fact = if error.is_panic() { "a task panicked" } else { "a task was cancelled" };
    let code = if error.is_panic() { &codes::INTERNAL } else { &codes::RUN_CANCELLED };
    Problem::new(code, fact).detail(error)
}

/// A port that the engine knows.
pub(crate) fn port_name(text: &str) -> Name {
    Name::new(text).expect("a constant port name is valid")
}

impl Attempt {
    pub(crate) fn spill(&self) -> PathBuf {
        self.context.state.join("spill")
    }

    /// Plans and runs the next stage. None when nothing is left to do.
    pub(crate) async fn next_stage(&mut self, record: Record<'_>) -> Result<Option<StageOutcome>> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let mut stage = Stage::default();
        for at in self.pending.clone() {
            if !self.is_ready(at, &stage) {
                continue;
            }
            let node = &self.graph.nodes[at].id.clone();
            let work = self.plan_node(at, &mut stage, record).await;
            if let Some(work) = work.map_err(|problem| problem.in_node(node))? {
                stage.work.insert(at, work);
            }
        }
        self.defer_idle_parts(&mut stage);
        if stage.work.is_empty() {
            let stuck = self.pending.iter().map(|at| self.graph.nodes[*at].id.as_str());
            let fact = format!("{} cannot be run", stdx::text::list(stuck));
            return Err(Problem::new(&codes::INTERNAL, fact));
        }
        self.run_stage(stage, record).await.map(Some)
    }

    /// Whether all a node reads is there, or streams in this stage.
    fn is_ready(&self, at: usize, stage: &Stage) -> bool {
        let node = &self.graph.nodes[at];
        let fed = node.inputs.iter().all(|edge| {
            let from = &self.graph.nodes[edge.from];
            if self.view(edge.from).is_some() {
                return true;
            }
            match from.is_sink() {
                true => self.committed.contains_key(&edge.from),
                false => {
                    stage.work.contains_key(&edge.from)
                        || self.spools.contains_key(&(edge.from, edge.port.clone()))
                }
            }
        });
        fed && self.graph.named_tables(at).iter().all(|table| !self.is_still_written(table, at))
    }

    /// Whether a sink that is not below `reader` has still to write `table`.
    fn is_still_written(&self, table: &TableName, reader: usize) -> bool {
        self.graph.nodes.iter().enumerate().any(|(at, node)| {
            self.pending.contains(&at)
                && node.table().as_ref() == Some(table)
                && !node.is_implicit
                && !self.graph.reaches(reader, at)
        })
    }

    async fn plan_node(
        &mut self,
        at: usize,
        stage: &mut Stage,
        record: Record<'_>,
    ) -> Result<Option<Work>> {
        let graph = Arc::clone(&self.graph);
        let node = &graph.nodes[at];
        match &node.module {
            Module::Source(source) => {
                let spill = self.spill();
                let counters = &self.counters[at];
                let (rejects, rejected) = Rejects::new(&node.id, &counters.rejects, &spill);
                let inputs = self.record.inputs.get(&node.id).cloned().unwrap_or_default();
                stage.bytes.extend(known_bytes(&inputs).map(|bytes| ((at, port_name(OUT)), bytes)));
                let request = ReadRequest {
                    inputs,
                    partitions: self.context.threads,
                    sample: None,
                    rejects: Arc::clone(&rejects) as Arc<dyn contracts::RejectSink>,
                    bytes: Arc::clone(&counters.bytes),
                };
                let batches = source.read(&self.context, request).await?;
                let batches = named(batches, &node.id);
                let pipeline = &self.record.pipeline;
                seen::save(&self.context.state, pipeline, &node.id, &batches.schema);
                stage.announce(at, &batches.schema, batches.in_origin_order);
                Ok(Some(Work::Source(batches, rejected, rejects)))
            }
            Module::Relational(_) => self.plan_relational(at, stage, record).await,
            Module::Operator(operator) => {
                let inputs = self.feeds(at, stage).await?;
                let schema = operator.schema(&self.module_inputs(&inputs, BTreeMap::new()))?;
                stage.announce(at, &schema, false);
                Ok(Some(Work::Operator(inputs)))
            }
            Module::Sink(_) => {
                let mut inputs = self.feeds(at, stage).await?;
                let input = inputs
                    .pop()
                    .ok_or_else(|| Problem::new(&codes::GRAPH_INVALID, "a sink needs an input"))?;
                Ok(Some(Work::Sink(input)))
            }
        }
    }

    async fn plan_relational(
        &mut self,
        at: usize,
        stage: &mut Stage,
        record: Record<'_>,
    ) -> Result<Option<Work>> {
        let graph = Arc::clone(&self.graph);
        let node = &graph.nodes[at];
        let Module::Relational(module) = &node.module else { return Ok(None) };
        let fed = self.feeds(at, stage).await?;
        let questions = module.facts(&self.module_inputs(&fed, BTreeMap::new()))?;
        let mut facts = BTreeMap::new();
        for (question, sql) in questions.clone() {
            let key = format!("{}/{question}", node.id);
            if !self.facts.contains_key(&key) {
                if fed.iter().any(|input| matches!(input.feed, Feed::Stream(_))) {
                    stage.waits_for_facts.insert(at);
                    return Ok(None);
                }
                let answer = self.answer(&fed, sql).await?;
                record(&RunEvent::Fact { key: key.clone(), value: answer.clone() })?;
                self.facts.insert(key.clone(), answer);
            }
            facts.insert(question, self.facts[&key].clone());
        }
        let relation = module.query(&self.module_inputs(&fed, facts))?;
        let chain = self.chain(at, &fed, relation.sql.clone()).await?;
        let (chain, planned) = self.plan_chain(at, chain, &fed, stage).await?;
        let in_origin_order = planned.in_origin_order().await?;
        let schema = visible(&planned.schema());
        if !questions.is_empty() {
            seen::save(&self.context.state, &self.record.pipeline, &node.id, &schema);
        }
        let ports = match &relation.routing {
            Routing::Ports(ports) => ports.iter().map(|port| Name::new(port.as_str())).collect(),
            _ => Ok(vec![port_name(OUT)]),
        };
        for port in ports? {
            stage.bytes.extend(chain.bytes().map(|bytes| ((at, port.clone()), bytes)));
            if in_origin_order {
                stage.ordered.insert((at, port.clone()));
            }
            stage.schemas.insert((at, port), Arc::clone(&schema));
        }
        stage.schemas.insert((at, port_name(REJECTS)), rejects_schema());
        Ok(Some(Work::Query(Box::new(Compiled { chain, relation, planned, in_origin_order }))))
    }

    /// The chain of the node alone.
    async fn chain(&self, at: usize, fed: &[FedInput], own: contracts::Sql) -> Result<Chain> {
        let mut chain = Chain { nodes: vec![at], ..Chain::default() };
        for input in fed {
            match &input.feed {
                Feed::Stream(outlet) | Feed::Spool(outlet) => {
                    let plan_input = PlanInput {
                        name: input.input.name.clone(),
                        schema: Arc::clone(&input.input.schema),
                        in_origin_order: input.in_origin_order,
                        bytes: input.bytes,
                    };
                    chain.inputs.push((plan_input, outlet.clone()));
                }
                Feed::Table(table, version) => {
                    chain.table_bytes += input.bytes.unwrap_or(0);
                    let name = table.to_string();
                    let sql = sql!("SELECT * FROM at({}, version => {})", Text(&name), *version)?;
                    let name = input.input.name.clone();
                    chain.steps.push(Step { name, sql, counter: None });
                }
            }
        }
        for table in own.tables() {
            let known = self.context.tables.describe(&table, self.tables.get(&table).copied());
            chain.table_bytes += known.await?.map_or(0, |info| info.bytes);
        }
        let counts = !self.without_counts && self.counts_inside(at);
        let counter = counts.then(|| Arc::clone(&self.counters[at].rows_out));
        let name = self.graph.nodes[at].id.to_string();
        chain.steps.push(Step { name, sql: own, counter });
        Ok(chain)
    }

    /// Whether rows of a node are counted inside of its plan; those of routing nodes are counted
    /// after they have been shared out.
    fn counts_inside(&self, at: usize) -> bool {
        match &self.graph.nodes[at].module {
            Module::Relational(module) => {
                module.ports().is_empty() && !self.graph.nodes[at].entry.rejects
            }
            _ => false,
        }
    }

    /// Plans the chain, with the nodes before it that only it reads, and reads once, put in.
    async fn plan_chain(
        &self,
        at: usize,
        mut chain: Chain,
        fed: &[FedInput],
        stage: &mut Stage,
    ) -> Result<(Chain, Box<dyn contracts::Planned>)> {
        let partitions = self.context.threads;
        let mut planned = chain.plan(&self.query, &self.params, &self.tables, partitions).await?;
        let reads: BTreeMap<Outlet, usize> =
            chain.inputs.iter().map(|(_, outlet)| outlet.clone()).zip(planned.reads()).collect();
        let mut absorbed = false;
        for input in fed {
            let Feed::Stream(outlet) = &input.feed else { continue };
            let alone =
                self.graph.consumers(outlet.0).filter(|(to, _)| self.is_useful(*to)).count();
            if alone != 1 || reads.get(outlet) != Some(&1) {
                continue;
            }
            if let Some(Work::Query(before)) = stage.work.get(&outlet.0)
                && before.relation.routing == Routing::Single
                && before.relation.checks.is_empty()
            {
                chain.absorb(&before.chain, &input.input.name);
                stage.work.insert(outlet.0, Work::Absorbed);
                absorbed = true;
            }
        }
        if absorbed {
            planned = chain.plan(&self.query, &self.params, &self.tables, partitions).await?;
        }
        tracing::debug!(node = %self.graph.nodes[at].id, steps = chain.steps.len(), "planned");
        Ok((chain, planned))
    }

    fn is_useful(&self, at: usize) -> bool {
        self.pending.contains(&at)
    }

    fn module_inputs(&self, fed: &[FedInput], facts: BTreeMap<String, Value>) -> Inputs {
        Inputs {
            list: fed.iter().map(|input| input.input.clone()).collect(),
            facts,
            time_zone: self.context.time_zone.clone(),
        }
    }

    /// What each input of a node is.
    async fn feeds(&self, at: usize, stage: &Stage) -> Result<Vec<FedInput>> {
        let mut fed = Vec::new();
        for edge in &self.graph.nodes[at].inputs {
            let outlet = (edge.from, edge.port.clone());
            let (feed, schema, bytes, in_origin_order) = if let Some((table, version)) =
                self.table_behind(edge.from)
            {
                let found = self.context.tables.describe(&table, version).await?;
                let info = found.ok_or_else(|| {
                    Problem::new(&codes::TABLE_NOT_FOUND, format!("there is no table `{table}`"))
                })?;
                (Feed::Table(table, info.version), info.schema, Some(info.bytes), false)
            } else if let Some(spool) = self.spools.get(&outlet) {
                (Feed::Spool(outlet), spool.schema(), None, spool.in_origin_order())
            } else {
                let schema = stage
                    .schemas
                    .get(&outlet)
                    .cloned()
                    .ok_or_else(|| Problem::new(&codes::INTERNAL, "an input has no schema"))?;
                let ordered = stage.ordered.contains(&outlet);
                let bytes = stage.bytes.get(&outlet).copied();
                (Feed::Stream(outlet), schema, bytes, ordered)
            };
            let input = NamedInput { name: edge.sql_name.clone(), role: edge.role.clone(), schema };
            fed.push(FedInput { input, feed, bytes, in_origin_order });
        }
        Ok(fed)
    }

    /// The lake table that reading from a node means, if it does.
    pub(crate) fn table_behind(&self, at: usize) -> Option<(TableName, Option<u64>)> {
        if let Some((table, version)) = self.view(at) {
            return Some((table, Some(version)));
        }
        let table = self.graph.nodes[at].table()?;
        Some((table, self.committed.get(&at).and_then(|commit| commit.version)))
    }

    /// The lake table that a source is, if it is nothing else.
    pub(crate) fn view(&self, at: usize) -> Option<(TableName, u64)> {
        let node = &self.graph.nodes[at];
        match &node.module {
            Module::Source(source) => source.view(self.record.inputs.get(&node.id)?),
            _ => None,
        }
    }

    /// The answer of a first query: the first column of its rows, one value or a list.
    async fn answer(&self, fed: &[FedInput], sql: contracts::Sql) -> Result<Value> {
        let mut chain = self.chain(0, fed, sql).await?;
        if let Some(step) = chain.steps.last_mut() {
            step.name = "_answer".to_owned();
            step.counter = None;
        }
        let planned =
            chain.plan(&self.query, &self.params, &self.tables, self.context.threads).await?;
        let mut readers = Vec::new();
        for ((_, outlet), reads) in chain.inputs.iter().zip(planned.reads()) {
            let spool = self.spools.get(outlet);
            readers.push((0..reads).filter_map(|_| spool.map(Spool::read)).collect());
        }
        let batches = planned.execute(readers).await?.collect().await?;
        crate::trial::answer(&batches)
    }

    /// Parts of the stage that reach no sink now wait for a stage in which they do, so that they
    /// need not be kept in between.
    fn defer_idle_parts(&self, stage: &mut Stage) {
        let mut part: BTreeMap<usize, usize> = stage.work.keys().map(|at| (*at, *at)).collect();
        loop {
            let mut changed = false;
            for at in stage.work.keys() {
                for edge in &self.graph.nodes[*at].inputs {
                    let (Some(a), Some(b)) = (part.get(at), part.get(&edge.from)) else { continue };
                    let (low, high) = (*a.min(b), *a.max(b));
                    if low != high {
                        part.values_mut().filter(|p| **p == high).for_each(|p| *p = low);
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        let facts = stage.waits_for_facts.iter().flat_map(|at| &self.graph.nodes[*at].inputs);
        let mut busy: BTreeSet<usize> =
            facts.filter_map(|edge| part.get(&edge.from).copied()).collect();
        let sinks = stage.work.iter().filter(|(_, work)| matches!(work, Work::Sink(_)));
        busy.extend(sinks.filter_map(|(at, _)| part.get(at).copied()));
        stage.work.retain(|at, _| part.get(at).is_some_and(|part| busy.contains(part)));
    }
}

impl Stage {
    fn announce(&mut self, at: usize, schema: &SchemaRef, in_origin_order: bool) {
        self.schemas.insert((at, port_name(OUT)), Arc::clone(schema));
        self.schemas.insert((at, port_name(REJECTS)), rejects_schema());
        if in_origin_order {
            self.ordered.insert((at, port_name(OUT)));
        }
    }
}

/// What goes wrong while a source is read is the source's, whoever reads it.
fn named(batches: Batches, node: &Name) -> Batches {
    batches.map_partitions(|partition| {
        let node = node.clone();
        partition.map_err(move |problem| problem.in_node(&node)).boxed()
    })
}

fn known_bytes(inputs: &[Input]) -> Option<u64> {
    inputs
        .iter()
        .map(|input| match input {
            Input::File(arrival) => Some(arrival.size),
            _ => None,
        })
        .sum()
}
