//! A pipeline on a little data, in memory, writing nothing: previews, tests and examples.
//!
//! Nodes compile to the same queries as in a run. A sink hands its rows through, so that a node
//! that reads from it sees what this data would have written.

use crate::graph::{Graph, Module};
use crate::rejects::{RejectCounters, Rejects};
use crate::route::{CheckTally, port_rows, split_rejects, visible};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use contracts::arrow_types::{FILE, ROW};
use contracts::module::AnyRelational;
use contracts::rejects::rejects_schema;
use contracts::source::Sample;
use contracts::{
    Batches, Context, Inputs, NamedInput, OperatorRequest, ParamValue, Past, PlanInput,
    PlanRequest, QueryEngine, ReadRequest, RejectSink, Routing, Sql, Step,
};
use model::pipeline::{OUT, REJECTS};
use model::{Name, Problem, Result, codes};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows of one port.
#[derive(Debug, Clone)]
pub struct PortRows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// What a trial found out.
#[derive(Debug, Default)]
pub struct TrialOutcome {
    /// Rows per node index and port.
    pub rows: HashMap<(usize, String), PortRows>,
    /// What checks found, as (node index, fact).
    pub findings: Vec<(usize, String)>,
    /// The query of each relational node.
    pub sql: HashMap<usize, String>,
    /// Whether a source has more rows than were read.
    pub is_sample: bool,
}

/// A trial run.
pub struct Trial<'a> {
    /// The pipeline.
    pub graph: &'a Graph,
    /// The surroundings; nothing is written to them.
    pub context: &'a Context,
    /// Plans and runs queries.
    pub query: &'a Arc<dyn QueryEngine>,
    /// Rows that take the place of what a source would read, by node.
    pub given: BTreeMap<Name, Batches>,
    /// Whether given rows get `_file` and `_row`, as rows of a source have them.
    pub number_given: bool,
    /// How much other sources read.
    pub sample: Sample,
    /// Values of parameters.
    pub params: BTreeMap<String, ParamValue>,
    /// What freshness is measured against, µs since the epoch.
    pub now_us: i64,
}

impl Trial<'_> {
    /// Runs everything that `targets` (node indices) need, themselves included.
    pub async fn run(mut self, targets: &[usize]) -> Result<TrialOutcome> {
        let mut outcome = TrialOutcome::default();
        for at in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[at];
            if node.is_implicit || !targets.iter().any(|target| self.graph.reaches(at, *target)) {
                continue;
            }
            self.node(at, &mut outcome).await.map_err(|problem| {
                problem.in_node(&node.id).in_pipeline(&self.graph.pipeline.name)
            })?;
        }
        Ok(outcome)
    }

    async fn node(&mut self, at: usize, outcome: &mut TrialOutcome) -> Result<()> {
        let graph = self.graph;
        let node = &graph.nodes[at];
        let mut inputs = Vec::new();
        for edge in &node.inputs {
            let rows = outcome.rows.get(&(edge.from, edge.port.to_string())).cloned();
            let rows =
                rows.ok_or_else(|| Problem::new(&codes::INTERNAL, "an input has no rows"))?;
            let input = NamedInput {
                name: edge.sql_name.clone(),
                role: edge.role.clone(),
                schema: Arc::clone(&rows.schema),
            };
            inputs.push((input, rows));
        }
        match &node.module {
            Module::Source(_) => self.source(at, outcome).await,
            Module::Relational(module) => {
                self.relational(at, module.as_ref(), &inputs, outcome).await
            }
            Module::Operator(operator) => {
                let (rejects, rejected) = self.rejects(&node.id);
                let fed = inputs.iter().map(|(input, rows)| (input.name.clone(), rows.read()));
                let request = OperatorRequest {
                    inputs: fed.collect(),
                    rejects: Arc::clone(&rejects) as Arc<dyn RejectSink>,
                };
                let batches = operator.run(self.context, request).await?;
                outcome.keep(at, OUT, batches).await?;
                drop(rejects);
                outcome.keep(at, REJECTS, rejected).await
            }
            Module::Sink(_) => {
                let Some((_, rows)) = inputs.pop() else { return Ok(()) };
                outcome.rows.insert((at, OUT.to_owned()), rows);
                Ok(())
            }
        }
    }

    fn rejects(&self, node: &Name) -> (Arc<Rejects>, Batches) {
        let spill = self.context.state.join("spill");
        Rejects::new(node, &RejectCounters::default(), &spill)
    }

    async fn source(&mut self, at: usize, outcome: &mut TrialOutcome) -> Result<()> {
        let node = &self.graph.nodes[at];
        if let Some(given) = self.given.remove(&node.id) {
            let rows = match self.number_given {
                true => with_origin(given, &node.id)?,
                false => given,
            };
            return outcome.keep(at, OUT, rows).await;
        }
        let Module::Source(source) = &node.module else { return Ok(()) };
        let past = Past { full: true, sample: true, ..Past::default() };
        let discovery = source.discover(self.context, &past).await?;
        let (rejects, rejected) = self.rejects(&node.id);
        let request = ReadRequest {
            inputs: discovery.inputs,
            partitions: 1,
            sample: Some(self.sample),
            rejects: Arc::clone(&rejects) as Arc<dyn RejectSink>,
            bytes: Arc::default(),
        };
        let batches = source.read(self.context, request).await?;
        outcome.keep(at, OUT, batches).await?;
        let read = outcome.count(at, OUT) as u64;
        if read >= self.sample.rows {
            outcome.cut(at, self.sample.rows as usize);
            outcome.is_sample = true;
        }
        drop(rejects);
        outcome.keep(at, REJECTS, rejected).await
    }

    async fn relational(
        &self,
        at: usize,
        module: &dyn AnyRelational,
        inputs: &[(NamedInput, PortRows)],
        outcome: &mut TrialOutcome,
    ) -> Result<()> {
        let node = &self.graph.nodes[at];
        let mut module_inputs = Inputs {
            list: inputs.iter().map(|(input, _)| input.clone()).collect(),
            facts: BTreeMap::new(),
            time_zone: self.context.time_zone.clone(),
        };
        for (question, sql) in module.facts(&module_inputs)? {
            let rows = self.query(sql, inputs).await?.collect().await?;
            module_inputs.facts.insert(question, answer(&rows)?);
        }
        let relation = module.query(&module_inputs)?;
        outcome.sql.insert(at, relation.sql.to_string());
        let mut batches = self.query(relation.sql, inputs).await?;
        let tally = Arc::new(CheckTally::new(relation.checks));
        batches = tally.watch(batches);
        match relation.routing {
            Routing::Single => outcome.keep(at, OUT, batches).await?,
            Routing::Rejects => {
                let (rejects, rejected) = self.rejects(&node.id);
                let good = split_rejects(batches, rejects, &node.id);
                outcome.keep(at, OUT, good).await?;
                outcome.keep(at, REJECTS, rejected).await?;
            }
            Routing::Ports(ports) => {
                let schema = visible(&batches.schema);
                let whole = Arc::clone(&batches.schema);
                let all = batches.collect().await?;
                for (number, port) in ports.iter().enumerate() {
                    let rows = Batches::from_memory(Arc::clone(&whole), all.clone());
                    outcome.keep(at, port, port_rows(rows, number)).await?;
                }
                tracing::trace!(columns = schema.fields().len(), "routed");
            }
        }
        let findings = tally.findings(self.now_us).into_iter();
        outcome.findings.extend(findings.map(|finding| (at, finding.fact)));
        Ok(())
    }

    async fn query(&self, sql: Sql, inputs: &[(NamedInput, PortRows)]) -> Result<Batches> {
        let request = PlanRequest {
            inputs: inputs
                .iter()
                .map(|(input, _)| PlanInput {
                    name: input.name.clone(),
                    schema: Arc::clone(&input.schema),
                    in_origin_order: false,
                    bytes: Some(0),
                })
                .collect(),
            steps: vec![Step { name: "_trial".to_owned(), sql, counter: None }],
            params: self.params.clone(),
            tables: BTreeMap::new(),
            schemas: BTreeMap::new(),
            table_bytes: 0,
            partitions: 1,
        };
        let planned = self.query.plan(request).await?;
        let reads = planned.reads();
        let readers = inputs
            .iter()
            .zip(reads)
            .map(|((_, rows), reads)| (0..reads).map(|_| rows.read()).collect())
            .collect();
        planned.execute(readers).await
    }
}

/// The answer of a first query: the first column of its first row.
pub(crate) fn answer(batches: &[RecordBatch]) -> Result<Value> {
    let text = contracts::rows::write(batches)?;
    let Some(first) = text.lines().next() else { return Ok(Value::Null) };
    let row: Map<String, Value> = serde_json::from_str(first)
        .map_err(|error| Problem::new(&codes::INTERNAL, "no answer").detail(error))?;
    Ok(row.into_iter().next().map_or(Value::Null, |(_, value)| value))
}

/// Given rows with `_file` and `_row`, where they do not bring their own.
fn with_origin(batches: Batches, node: &Name) -> Result<Batches> {
    if batches.schema.field_with_name(ROW).is_ok() {
        return Ok(batches);
    }
    crate::origin::add(batches, FILE, node.as_str(), ROW)
}

impl PortRows {
    /// The rows as a stream.
    pub fn read(&self) -> Batches {
        Batches::from_memory(Arc::clone(&self.schema), self.batches.clone())
    }
}

impl TrialOutcome {
    async fn keep(&mut self, at: usize, port: &str, batches: Batches) -> Result<()> {
        let schema = Arc::clone(&batches.schema);
        let batches = batches.collect().await?;
        let batches = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        self.rows.insert((at, port.to_owned()), PortRows { schema, batches });
        Ok(())
    }

    fn count(&self, at: usize, port: &str) -> usize {
        self.rows
            .get(&(at, port.to_owned()))
            .map_or(0, |rows| contracts::rows::count(&rows.batches))
    }

    /// Keeps the first `limit` rows of a node.
    fn cut(&mut self, at: usize, limit: usize) {
        let Some(rows) = self.rows.get_mut(&(at, OUT.to_owned())) else { return };
        let mut room = limit;
        for batch in &mut rows.batches {
            let kept = batch.num_rows().min(room);
            *batch = batch.slice(0, kept);
            room -= kept;
        }
        rows.batches.retain(|batch| batch.num_rows() > 0);
    }

    /// Rows of a port; none when nothing came.
    pub fn port(&self, at: usize, port: &str) -> PortRows {
        self.rows
            .get(&(at, port.to_owned()))
            .cloned()
            .unwrap_or_else(|| PortRows { schema: rejects_schema(), batches: Vec::new() })
    }
}
