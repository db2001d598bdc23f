//! Runs a planned stage: connects streams, prepares all sinks, then commits them in order.

use crate::compile::{Compiled, FedInput, Feed, Outlet};
use crate::fan_out::fan_out;
use crate::graph::Module;
use crate::progress::{Event, NodeProgress};
use crate::rejects::Rejects;
use crate::replay::NothingToCommit;
use crate::route::{CheckTally, port_rows, split_rejects};
use crate::spool::Spool;
use crate::stage::{Attempt, Record, Stage, StageOutcome, Work, port_name, task_failed};
use contracts::rejects::rejects_schema;
use contracts::{
    Batches, OperatorRequest, Prepared, RejectSink, Routing, RowCounter, RowLaw, SinkRequest,
};
use futures::TryStreamExt;
use model::pipeline::{OUT, REJECTS};
use model::run::{CommitKey, Input};
use model::{Name, Problem, Result, codes};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Everything of a stage that is on its way.
struct Flow {
    /// Readers that are still to be taken.
    outlets: HashMap<Outlet, Vec<Batches>>,
    /// How many readers each outlet has.
    readers: HashMap<Outlet, usize>,
    /// Producers and drains.
    tasks: JoinSet<Result<()>>,
    sinks: JoinSet<Result<(usize, Box<dyn Prepared>)>>,
    spools: JoinSet<Result<(Outlet, Spool)>>,
    tallies: BTreeMap<usize, Arc<CheckTally>>,
}

impl Flow {
    /// Shares the rows of an outlet out among its readers.
    fn offer(&mut self, outlet: Outlet, batches: Batches, attempt: &Attempt) {
        let readers = self.readers.get(&outlet).copied().unwrap_or(0);
        if readers > 0 {
            let copies = fan_out(batches, readers, &attempt.spill(), &mut self.tasks);
            self.outlets.insert(outlet, copies);
        }
    }

    /// Reads rows that nobody wants, for the sake of what happens on the way.
    fn drain(&mut self, batches: Batches) {
        for mut partition in batches.partitions {
            self.tasks.spawn(async move {
                while partition.try_next().await?.is_some() {}
                Ok(())
            });
        }
    }

    fn take(&mut self, outlet: &Outlet) -> Result<Batches> {
        self.outlets.get_mut(outlet).and_then(Vec::pop).ok_or_else(|| {
            Problem::new(&codes::INTERNAL, "an output has fewer readers than planned")
        })
    }
}

impl Attempt {
    /// Runs the stage to its commits.
    pub(crate) async fn run_stage(
        &mut self,
        stage: Stage,
        record: Record<'_>,
    ) -> Result<StageOutcome> {
        let nodes: BTreeSet<usize> = stage.work.keys().copied().collect();
        self.running.clone_from(&nodes);
        let watched = self.watch(&nodes);
        self.listener.on(Event::StageStarted { nodes: watched });
        let mut flow = Flow {
            readers: self.readers(&stage),
            outlets: HashMap::new(),
            tasks: JoinSet::new(),
            sinks: JoinSet::new(),
            spools: JoinSet::new(),
            tallies: BTreeMap::new(),
        };
        let schemas: Vec<Outlet> = stage.schemas.keys().cloned().collect();
        for (at, work) in stage.work {
            let node = self.graph.nodes[at].id.clone();
            let started = self.start(at, work, &mut flow).await;
            started.map_err(|problem| problem.in_node(node))?;
        }
        self.fill_spools(&schemas, &mut flow);
        let prepared = finish(&mut flow).await;
        let (prepared, spools) = prepared?;
        self.spools.extend(spools);
        self.check_laws(&nodes).map_err(|problem| problem.in_pipeline(&self.record.pipeline))?;
        let outcome = self.commit_all(prepared, &flow.tallies, record).await?;
        self.pending.retain(|at| !nodes.contains(at));
        Ok(outcome)
    }

    /// How many readers each outlet of the stage has.
    fn readers(&self, stage: &Stage) -> HashMap<Outlet, usize> {
        let mut readers: HashMap<Outlet, usize> = HashMap::new();
        for work in stage.work.values() {
            match work {
                Work::Query(compiled) => {
                    let reads = compiled.planned.reads();
                    for ((_, outlet), reads) in compiled.chain.inputs.iter().zip(reads) {
                        *readers.entry(outlet.clone()).or_default() += reads;
                    }
                }
                Work::Operator(inputs) => {
                    for input in inputs {
                        if let Feed::Stream(outlet) = &input.feed {
                            *readers.entry(outlet.clone()).or_default() += 1;
                        }
                    }
                }
                Work::Sink(input) => {
                    if let Feed::Stream(outlet) = &input.feed {
                        *readers.entry(outlet.clone()).or_default() += 1;
                    }
                }
                Work::Source(..) | Work::Absorbed => {}
            }
        }
        for outlet in self.kept(stage) {
            *readers.entry(outlet).or_default() += 1;
        }
        readers
    }

    /// Outlets that nodes of later stages read.
    fn kept(&self, stage: &Stage) -> BTreeSet<Outlet> {
        let later = self.pending.iter().filter(|at| !stage.work.contains_key(at));
        later
            .flat_map(|at| &self.graph.nodes[*at].inputs)
            .map(|edge| (edge.from, edge.port.clone()))
            .filter(|(from, _)| stage.work.contains_key(from) && !self.graph.nodes[*from].is_sink())
            .collect()
    }

    fn fill_spools(&self, outlets: &[Outlet], flow: &mut Flow) {
        for outlet in outlets {
            // All other readers have been taken by now: what is left is to be kept.
            let Some(batches) = flow.outlets.get_mut(outlet).and_then(Vec::pop) else { continue };
            let (outlet, spill) = (outlet.clone(), self.spill());
            flow.spools.spawn(async move { Ok((outlet, Spool::fill(batches, &spill).await?)) });
        }
    }

    async fn start(&mut self, at: usize, work: Work, flow: &mut Flow) -> Result<()> {
        let outlet = (at, port_name(OUT));
        let counters = self.counters[at].clone();
        match work {
            Work::Absorbed => Ok(()),
            Work::Source(batches, rejected, rejects) => {
                drop(rejects);
                flow.offer((at, port_name(REJECTS)), rejected, self);
                let batches = batches.counted(&counters.rows_out);
                if self.is_unread(at, flow) {
                    flow.drain(batches);
                } else {
                    flow.offer(outlet, batches, self);
                }
                Ok(())
            }
            Work::Query(compiled) => self.start_query(at, *compiled, flow).await,
            Work::Operator(inputs) => {
                let graph = Arc::clone(&self.graph);
                let Module::Operator(operator) = &graph.nodes[at].module else { return Ok(()) };
                let node = &graph.nodes[at].id;
                let (rejects, rejected) = Rejects::new(node, &counters.rejects, &self.spill());
                let mut fed = Vec::new();
                for input in inputs {
                    fed.push((input.input.name.clone(), self.open(&input, flow).await?));
                }
                let rejects = rejects as Arc<dyn RejectSink>;
                let request = OperatorRequest { inputs: fed, rejects };
                let batches = operator.run(&self.context, request).await?;
                flow.offer((at, port_name(REJECTS)), rejected, self);
                flow.offer(outlet, batches.counted(&counters.rows_out), self);
                Ok(())
            }
            Work::Sink(input) => {
                let batches = self.open(&input, flow).await?.counted(&counters.rows_out);
                self.start_sink(at, batches, flow);
                Ok(())
            }
        }
    }

    /// Whether only the rejects of a node have readers.
    fn is_unread(&self, at: usize, flow: &Flow) -> bool {
        let read = |port| flow.readers.get(&(at, port_name(port))).is_some_and(|count| *count > 0);
        !read(OUT) && read(REJECTS)
    }

    async fn open(&self, input: &FedInput, flow: &mut Flow) -> Result<Batches> {
        match &input.feed {
            Feed::Stream(outlet) => flow.take(outlet),
            Feed::Spool(outlet) => self.spool(outlet),
            Feed::Table(table, version) => {
                self.context.tables.read(table, *version, self.context.threads).await
            }
        }
    }

    fn spool(&self, outlet: &Outlet) -> Result<Batches> {
        let spool = self.spools.get(outlet);
        spool.map(Spool::read).ok_or_else(|| Problem::new(&codes::INTERNAL, "rows were not kept"))
    }

    async fn start_query(&self, at: usize, compiled: Compiled, flow: &mut Flow) -> Result<()> {
        let Compiled { chain, relation, planned, .. } = compiled;
        let mut readers = Vec::with_capacity(chain.inputs.len());
        for ((_, outlet), reads) in chain.inputs.iter().zip(planned.reads()) {
            let open = |_| match self.spools.contains_key(outlet) {
                true => self.spool(outlet),
                false => flow.take(outlet),
            };
            readers.push((0..reads).map(open).collect::<Result<Vec<_>>>()?);
        }
        let mut batches = planned.execute(readers).await?;
        let node = &self.graph.nodes[at].id;
        if !relation.checks.is_empty() {
            let tally = Arc::new(CheckTally::new(relation.checks));
            batches = tally.watch(batches);
            flow.tallies.insert(at, tally);
        }
        let counters = &self.counters[at];
        match relation.routing {
            Routing::Single => {
                // A module that can reject rows has readers of its rejects also when its settings
                // say that it never does.
                flow.offer((at, port_name(REJECTS)), Batches::empty(rejects_schema()), self);
                flow.offer((at, port_name(OUT)), batches, self);
            }
            Routing::Rejects => {
                let (rejects, rejected) = Rejects::new(node, &counters.rejects, &self.spill());
                let good = split_rejects(batches, rejects, node).counted(&counters.rows_out);
                flow.offer((at, port_name(REJECTS)), rejected, self);
                match self.is_unread(at, flow) {
                    true => flow.drain(good),
                    false => flow.offer((at, port_name(OUT)), good, self),
                }
            }
            Routing::Ports(ports) => {
                self.start_ports(at, &ports, batches.counted(&counters.rows_out), flow)?;
            }
        }
        Ok(())
    }

    /// Every reader of every port reads the whole and picks its rows.
    fn start_ports(
        &self,
        at: usize,
        ports: &[String],
        batches: Batches,
        flow: &mut Flow,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let outlet = (at, Name::new(port.as_str())?);
            let readers = flow.readers.get(&outlet).copied().unwrap_or(0);
            wanted.extend((0..readers).map(|_| (number, outlet.clone())));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let copies = fan_out(batches, wanted.len(), &self.spill(), &mut flow.tasks);
        for ((number, outlet), copy) in wanted.into_iter().zip(copies) {
            flow.outlets.entry(outlet).or_default().push(port_rows(copy, number));
        }
        Ok(())
    }

    fn start_sink(&self, at: usize, batches: Batches, flow: &mut Flow) {
        let (graph, context) = (Arc::clone(&self.graph), self.context.clone());
        if let Some(keep) = self.keep.clone().filter(|keep| keep.sink == at) {
            flow.sinks.spawn(async move {
                keep.rows.keep(batches, keep.since_us).await?;
                Ok((at, Box::new(NothingToCommit) as Box<dyn Prepared>))
            });
            return;
        }
        let request = self.sink_request(at);
        flow.sinks.spawn(async move {
            let node = &graph.nodes[at];
            let Module::Sink(sink) = &node.module else {
                return Err(Problem::new(&codes::INTERNAL, "a sink is not a sink"));
            };
            let prepared = sink.prepare(&context, request, batches).await;
            Ok((at, prepared.map_err(|problem| problem.in_node(&node.id))?))
        });
    }

    /// What goes with the commit of a sink.
    pub(crate) fn sink_request(&self, at: usize) -> SinkRequest {
        let node = self.graph.nodes[at].id.clone();
        let record = &self.record;
        let mut metadata = Map::new();
        metadata.insert("affluent.run".to_owned(), json!(record.run));
        metadata.insert("affluent.pipeline".to_owned(), json!(record.pipeline));
        metadata.insert("affluent.node".to_owned(), json!(node));
        metadata.insert("affluent.inputs".to_owned(), summary_of_inputs(&record.inputs));
        let overwrite = self.overwrites(at);
        let replaced = record.replaces.get(&node).filter(|_| !overwrite);
        let replaced = replaced.into_iter().flatten().cloned();
        let key = |run| CommitKey {
            workspace: self.context.workspace.clone(),
            pipeline: record.pipeline.clone(),
            node: node.clone(),
            run,
        };
        SinkRequest {
            replaces: replaced.map(key).collect(),
            key: key(record.run.clone()),
            metadata,
            overwrite,
        }
    }

    /// Live numbers of the nodes of a stage.
    fn watch(&mut self, nodes: &BTreeSet<usize>) -> Vec<Arc<NodeProgress>> {
        let mut watched = Vec::new();
        for at in nodes {
            let started = Instant::now();
            self.counters[*at].started = Some(started);
            let node = &self.graph.nodes[*at];
            let counters = &self.counters[*at];
            watched.push(Arc::new(NodeProgress {
                node: node.id.clone(),
                label: self.graph.label(*at),
                module: node.entry.name.to_owned(),
                rows_in: self.rows_in(*at),
                rows_out: Arc::clone(&counters.rows_out),
                rejects: Arc::clone(&counters.rejects.rows),
                bytes: Arc::clone(&counters.bytes),
                is_implicit: node.is_implicit,
                started,
            }));
        }
        watched
    }

    /// The counter of the rows that come in, for a node with one input whose rows are counted.
    pub(crate) fn rows_in(&self, at: usize) -> Option<Arc<RowCounter>> {
        let [edge] = self.graph.nodes[at].inputs.as_slice() else { return None };
        if self.table_behind(edge.from).is_some() {
            return None;
        }
        match edge.port.as_str() {
            OUT => Some(Arc::clone(&self.counters[edge.from].rows_out)),
            REJECTS => Some(Arc::clone(&self.counters[edge.from].rejects.rows)),
            _ => None,
        }
    }

    /// Every row that came in has left: by `out`, by `rejects`, or filtered where that is allowed.
    fn check_laws(&self, nodes: &BTreeSet<usize>) -> Result<()> {
        for at in nodes {
            let node = &self.graph.nodes[*at];
            let counters = &self.counters[*at];
            if node.is_sink() && !counters.rows_out.is_final() {
                // A sink reads to the end. Whatever stopped it, rows are missing.
                return Err(Problem::new(&codes::ROWS_LOST, "the sink has not read all its rows")
                    .in_node(&node.id)
                    .hint("please report this; nothing has been committed"));
            }
            let Some(rows_in) = self.rows_in(*at) else { continue };
            if !counters.rows_out.is_final() || !rows_in.is_final() {
                continue;
            }
            let (rows_in, out) = (rows_in.rows(), counters.rows_out.rows());
            let rejects = counters.rejects.rows.rows();
            let holds = match node.entry.law {
                RowLaw::Free => true,
                RowLaw::Each => rows_in == out + rejects,
                RowLaw::AtMost => rows_in >= out + rejects,
            };
            if !holds {
                let fact =
                    format!("{rows_in} rows went in, {out} came out, {rejects} were rejected");
                return Err(Problem::new(&codes::ROWS_LOST, fact)
                    .in_node(&node.id)
                    .hint("please report this; nothing has been committed"));
            }
        }
        Ok(())
    }
}

/// Waits for every task; the first real problem stops the others and throws prepared rows away.
#[allow(clippy::type_complexity, reason = "a pair of results used once")]
async fn finish(
    flow: &mut Flow,
) -> Result<(BTreeMap<usize, Box<dyn Prepared>>, Vec<(Outlet, Spool)>)> {
    let mut prepared = BTreeMap::new();
    let mut spools = Vec::new();
    let problem = loop {
        let result = tokio::select! {
            Some(task) = flow.tasks.join_next() => task.map_err(task_failed).flatten(),
            Some(sink) = flow.sinks.join_next() => match sink.map_err(task_failed).flatten() {
                Ok((at, sink)) => { prepared.insert(at, sink); Ok(()) }
                Err(problem) => Err(problem),
            },
            Some(spool) = flow.spools.join_next() => match spool.map_err(task_failed).flatten() {
                Ok(spool) => { spools.push(spool); Ok(()) }
                Err(problem) => Err(problem),
            },
            else => return Ok((prepared, spools)),
        };
        if let Err(problem) = result {
            break problem;
        }
    };
    flow.tasks.shutdown().await;
    flow.spools.shutdown().await;
    // A sink that is half-way cleans up when it is dropped or at the next run.
    flow.sinks.shutdown().await;
    for sink in prepared.into_values() {
        sink.discard().await;
    }
    Err(problem)
}

/// What a commit repeats of the run's inputs: enough to rebuild a lost journal.
fn summary_of_inputs(inputs: &BTreeMap<Name, Vec<Input>>) -> Value {
    json!(inputs)
}
