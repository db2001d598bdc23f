//! A pipeline planned without being run: stages, SQL, plans, columns and where they come from.

use crate::graph::{Graph, Module, Node};
use crate::planned_tables::PlannedTables;
use crate::route::visible;
use crate::seen;
use arrow::datatypes::SchemaRef;
use contracts::arrow_types::from_field;
use contracts::query::ColumnOrigin;
use contracts::rejects::rejects_schema;
use contracts::{
    Context, Inputs, NamedInput, Past, PlanInput, PlanRequest, Planned, QueryEngine, ReadRequest,
    Reject, RejectSink, Relation, Routing, Step,
};
use model::pipeline::{OUT, REJECTS};
use model::{Name, Problem, Result, TableName};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What is known of one node before it runs.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its stage, from 1.
    pub stage: usize,
    /// Its name.
    pub node: Name,
    /// Its module.
    pub module: &'static str,
    /// What it compiles to.
    pub sql: Option<String>,
    /// The engine's plan of that.
    pub plan: Option<String>,
    /// Its columns: name and type.
    pub columns: Vec<(String, String)>,
}

/// A column of a table or source.
pub type Column = (String, String);

/// A pipeline planned node by node.
struct Outline<'a> {
    graph: &'a Graph,
    context: &'a Context,
    query: &'a Arc<dyn QueryEngine>,
    schemas: HashMap<(usize, String), SchemaRef>,
    tables: PlannedTables,
    origins: HashMap<usize, BTreeMap<String, BTreeSet<Column>>>,
    parts: BTreeMap<usize, Part>,
    problems: Vec<(usize, Problem)>,
}

struct Deaf;

impl RejectSink for Deaf {
    fn reject(&self, _: Reject) -> Result<()> {
        Ok(())
    }
}

/// The parts of a pipeline; the first problem ends it.
pub async fn of(
    graph: Graph,
    context: &Context,
    query: &Arc<dyn QueryEngine>,
) -> Result<Vec<Part>> {
    let mut outline = Outline::new(&graph, context, query, PlannedTables::default());
    outline.plan(false).await;
    match outline.problems.into_iter().next() {
        Some((_, problem)) => Err(problem),
        None => Ok(outline.parts.into_values().collect()),
    }
}

/// Every problem of a pipeline that can be seen without running it, with the node's index. The
/// tables that it writes are added to `tables`, for the pipelines that run after it.
pub async fn problems(
    graph: &Graph,
    context: &Context,
    query: &Arc<dyn QueryEngine>,
    tables: &mut PlannedTables,
) -> Vec<(usize, Problem)> {
    let mut outline = Outline::new(graph, context, query, std::mem::take(tables));
    outline.plan(true).await;
    *tables = outline.tables;
    outline.problems
}

/// For each column that the pipeline writes to a table, those it is made from.
pub async fn columns(
    graph: Graph,
    context: &Context,
    query: &Arc<dyn QueryEngine>,
) -> Result<Vec<(Column, BTreeSet<Column>)>> {
    let mut outline = Outline::new(&graph, context, query, PlannedTables::default());
    outline.plan(true).await;
    let mut edges = Vec::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        let (Some(table), [edge]) = (node.table(), node.inputs.as_slice()) else { continue };
        if node.is_implicit || edge.port.as_str() == REJECTS {
            continue;
        }
        for (column, from) in outline.origins.get(&at).into_iter().flatten() {
            edges.push(((table.to_string(), column.clone()), from.clone()));
        }
    }
    Ok(edges)
}

impl<'a> Outline<'a> {
    fn new(
        graph: &'a Graph,
        context: &'a Context,
        query: &'a Arc<dyn QueryEngine>,
        tables: PlannedTables,
    ) -> Self {
        Self {
            graph,
            context,
            query,
            schemas: HashMap::new(),
            tables,
            origins: HashMap::new(),
            parts: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    async fn plan(&mut self, offline: bool) {
        let mut stages = vec![1; self.graph.nodes.len()];
        for at in self.order() {
            let node = &self.graph.nodes[at];
            let stage = node
                .inputs
                .iter()
                .map(|edge| stages[edge.from] + usize::from(self.graph.nodes[edge.from].is_sink()));
            stages[at] = stage.max().unwrap_or(1);
            if node.is_implicit {
                if let Some(table) = node.table() {
                    self.tables.add(table, rejects_schema());
                }
                continue;
            }
            match self.plan_node(at, node, stages[at], offline).await {
                Ok(part) => self.parts.extend(part.map(|part| (at, part))),
                Err(problem) => {
                    let problem = problem.in_node(&node.id).in_pipeline(&self.graph.pipeline.name);
                    self.problems.push((at, problem));
                }
            }
        }
    }

    /// Nodes in topological order, those that name a table after the sinks that write it.
    fn order(&self) -> Vec<usize> {
        let nodes = &self.graph.nodes;
        let mut left: Vec<usize> = (0..nodes.len()).collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let is_ready = |at: &usize| {
                let named = self.graph.named_tables(*at);
                let waits = |sink: &usize| {
                    let table = nodes[*sink].table().filter(|_| !nodes[*sink].is_implicit);
                    table.is_some_and(|table| named.contains(&table))
                        && !self.graph.reaches(*at, *sink)
                };
                nodes[*at].inputs.iter().all(|edge| order.contains(&edge.from))
                    && !left.iter().any(waits)
            };
            // What waits for itself in a circle is planned as the document has it.
            let ready = left.iter().position(is_ready).unwrap_or(0);
            order.push(left.remove(ready));
        }
        order
    }

    /// None when something above is not known well enough.
    async fn plan_node(
        &mut self,
        at: usize,
        node: &Node,
        stage: usize,
        offline: bool,
    ) -> Result<Option<Part>> {
        let Some(inputs) = self.inputs(node) else { return Ok(None) };
        let mut part = Part {
            stage,
            node: node.id.clone(),
            module: node.entry.name,
            sql: None,
            plan: None,
            columns: Vec::new(),
        };
        let schema = match &node.module {
            Module::Source(_) => {
                let Some(schema) = self.source_schema(node, offline).await? else {
                    return Ok(None);
                };
                let relation = format!("{}.{}", self.graph.pipeline.name, node.id);
                self.remember_source(at, &relation, &schema);
                schema
            }
            Module::Relational(_) => match self.relational(at, node, &inputs, &mut part).await? {
                Some(schema) => schema,
                None => return Ok(None),
            },
            Module::Operator(operator) => {
                let schema = operator.schema(&inputs)?;
                let all: BTreeSet<Column> = self.everything_above(node);
                let origins =
                    schema.fields().iter().map(|field| (field.name().clone(), all.clone()));
                self.origins.insert(at, origins.collect());
                schema
            }
            Module::Sink(sink) => {
                let table = node.table();
                let present = match &table {
                    Some(table) => self.tables.present(table, self.context).await?,
                    None => None,
                };
                let schema = sink.plan(&inputs.list[0], present.as_ref())?;
                if let Some(table) = table {
                    self.tables.add(table, Arc::clone(&schema));
                }
                if let Some(origins) = self.origins.get(&node.inputs[0].from) {
                    self.origins.insert(at, origins.clone());
                }
                schema
            }
        };
        part.columns = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), from_field(field).to_string()))
            .collect();
        self.schemas.insert((at, REJECTS.to_owned()), rejects_schema());
        self.schemas.insert((at, OUT.to_owned()), schema);
        Ok(Some(part))
    }

    fn inputs(&self, node: &Node) -> Option<Inputs> {
        let mut list = Vec::new();
        for edge in &node.inputs {
            let key = (edge.from, edge.port.to_string());
            // Named ports all have the schema of the node.
            let schema = self
                .schemas
                .get(&key)
                .or_else(|| self.schemas.get(&(edge.from, OUT.to_owned())))?;
            list.push(NamedInput {
                name: edge.sql_name.clone(),
                role: edge.role.clone(),
                schema: Arc::clone(schema),
            });
        }
        let time_zone = self.context.time_zone.clone();
        Some(Inputs { list, facts: BTreeMap::new(), time_zone })
    }

    /// The schema of a source: as last seen, or else, as it is now.
    async fn source_schema(&self, node: &Node, offline: bool) -> Result<Option<SchemaRef>> {
        let Module::Source(source) = &node.module else { return Ok(None) };
        if let [table] = source.tables().as_slice() {
            let newest = self.tables.schema(table, self.context).await?;
            if newest.is_none() || !self.reads_old_version(node, table).await {
                return Ok(newest);
            }
        }
        let known = seen::load(&self.context.state, &self.graph.pipeline.name, &node.id);
        if known.is_some() {
            return Ok(known);
        }
        let past = Past { full: true, sample: true, ..Past::default() };
        let discovery = match source.discover(self.context, &past).await {
            Ok(discovery) => discovery,
            // A server that is down says nothing about the documents.
            Err(problem) if offline && problem.code().fault != model::Fault::User => {
                return Ok(None);
            }
            Err(problem) => return Err(problem),
        };
        let request = ReadRequest {
            inputs: discovery.inputs,
            partitions: 1,
            sample: Some(contracts::source::Sample { rows: 100, bytes: 1 << 20 }),
            rejects: Arc::new(Deaf),
            bytes: Arc::default(),
        };
        Ok(Some(source.read(self.context, request).await?.schema))
    }

    /// Whether a source reads a lake table at another version than its newest.
    async fn reads_old_version(&self, node: &Node, table: &TableName) -> bool {
        let Module::Source(source) = &node.module else { return false };
        let past = Past { full: true, sample: true, ..Past::default() };
        let Ok(discovery) = source.discover(self.context, &past).await else { return false };
        let Some((_, version)) = source.view(&discovery.inputs) else { return false };
        let newest = self.context.tables.describe(table, None).await;
        newest.is_ok_and(|info| info.is_some_and(|info| info.version != version))
    }

    fn remember_source(&mut self, at: usize, relation: &str, schema: &SchemaRef) {
        let tables = self.graph.named_tables(at);
        let relation = tables.first().map_or(relation.to_owned(), ToString::to_string);
        let origin =
            |name: &String| (name.clone(), BTreeSet::from([(relation.clone(), name.clone())]));
        let origins = schema.fields().iter().map(|field| origin(field.name())).collect();
        self.origins.insert(at, origins);
    }

    fn everything_above(&self, node: &Node) -> BTreeSet<Column> {
        let above = node.inputs.iter().filter_map(|edge| self.origins.get(&edge.from));
        above.flat_map(BTreeMap::values).flatten().cloned().collect()
    }

    async fn relational(
        &mut self,
        at: usize,
        node: &Node,
        inputs: &Inputs,
        part: &mut Part,
    ) -> Result<Option<SchemaRef>> {
        let Module::Relational(module) = &node.module else { return Ok(None) };
        if !module.facts(inputs)?.is_empty() {
            let pipeline = &self.graph.pipeline.name;
            return Ok(seen::load(&self.context.state, pipeline, &node.id));
        }
        let mut schemas = BTreeMap::new();
        for table in module.tables() {
            // What other pipelines have still to make, and only they know, is no fault of this one.
            if self.tables.schema(&table, self.context).await?.is_none() {
                return Ok(None);
            }
            schemas.extend(self.tables.planned(&table).map(|schema| (table, schema)));
        }
        let Relation { sql, routing, .. } = module.query(inputs)?;
        part.sql = Some(sql.to_string());
        let request = PlanRequest {
            inputs: inputs
                .list
                .iter()
                .map(|input| PlanInput {
                    name: input.name.clone(),
                    schema: Arc::clone(&input.schema),
                    in_origin_order: true,
                    bytes: None,
                })
                .collect(),
            steps: vec![Step { name: node.id.to_string(), sql, counter: None }],
            params: crate::params::sample_params(self.graph),
            tables: BTreeMap::new(),
            schemas,
            table_bytes: 0,
            partitions: self.context.threads,
        };
        let planned = self.query.plan(request).await?;
        part.plan = Some(planned.explain().await?);
        self.remember_lineage(at, node, planned.as_ref());
        let schema = visible(&planned.schema());
        if let Routing::Ports(ports) = routing {
            for port in ports {
                self.schemas.insert((at, port), Arc::clone(&schema));
            }
        }
        Ok(Some(schema))
    }

    /// Origins of each column: through the inputs to what stands at the beginning.
    fn remember_lineage(&mut self, at: usize, node: &Node, planned: &dyn Planned) {
        let mut origins: BTreeMap<String, BTreeSet<Column>> = BTreeMap::new();
        for (column, made_from) in planned.lineage() {
            let found = origins.entry(column).or_default();
            for ColumnOrigin { relation, column } in made_from {
                let edge = node.inputs.iter().find(|edge| edge.sql_name == relation);
                match edge.map(|edge| (edge, self.graph.nodes[edge.from].table())) {
                    None => {
                        found.insert((relation, column));
                    }
                    Some((_, Some(table))) => {
                        found.insert((table.to_string(), column));
                    }
                    Some((edge, None)) => {
                        let above = self.origins.get(&edge.from).and_then(|all| all.get(&column));
                        found.extend(above.into_iter().flatten().cloned());
                    }
                }
            }
        }
        self.origins.insert(at, origins);
    }
}
