//! A pipeline as a graph: modules built, edges resolved, in topological order.

use crate::registry::Registry;
use contracts::module::AnyRelational;
use contracts::{Build, Entry, InputPorts, Kind, Operator, Sink, Source, Target};
use model::pipeline::{OUT, Pipeline, PortRef, REJECTS};
use model::yaml::Document;
use model::{Name, Problem, Result, TableName, codes};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The zone that rejected rows go to by themselves.
pub const QUARANTINE: &str = "quarantine";

/// A pipeline ready to be planned.
pub struct Graph {
    /// The document.
    pub pipeline: Pipeline,
    /// In topological order, as near to the document's as that allows.
    pub nodes: Vec<Node>,
}

/// A node with its module.
pub struct Node {
    /// Its name.
    pub id: Name,
    /// Its registry entry.
    pub entry: Entry,
    /// Its module with the settings read.
    pub module: Module,
    /// Where its rows come from.
    pub inputs: Vec<Edge>,
    /// Whether the engine added it (the sink of rejects that nobody takes).
    pub is_implicit: bool,
    /// Path of the node in its document.
    pub pointer: String,
}

/// A module with its settings read.
pub enum Module {
    /// Rows enter.
    Source(Box<dyn Source>),
    /// One query.
    Relational(Box<dyn AnyRelational>),
    /// Batches in, batches out.
    Operator(Box<dyn Operator>),
    /// Rows leave.
    Sink(Box<dyn Sink>),
}

/// Rows on their way from a port to a node.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Index of the node they come from.
    pub from: usize,
    /// Its port.
    pub port: Name,
    /// The name that SQL reads them by.
    pub sql_name: String,
    /// The name that the module has for this input.
    pub role: Option<String>,
}

impl Node {
    /// The lake table the node writes, if it does.
    pub fn table(&self) -> Option<TableName> {
        match &self.module {
            Module::Sink(sink) => match sink.target() {
                Target::Table(table) => Some(table),
                Target::Outside(_) => None,
            },
            _ => None,
        }
    }

    /// Whether the node is a sink.
    pub fn is_sink(&self) -> bool {
        matches!(self.module, Module::Sink(_))
    }

    fn has_port(&self, port: &str) -> bool {
        match &self.module {
            Module::Relational(module) => {
                let named = module.ports();
                match port {
                    OUT => named.is_empty(),
                    REJECTS => self.entry.rejects,
                    other => named.iter().any(|name| name == other),
                }
            }
            Module::Sink(_) => port == OUT && self.table().is_some(),
            _ => port == OUT || (port == REJECTS && self.entry.rejects),
        }
    }
}

impl Graph {
    /// Builds the graph of a pipeline's data nodes; actions are left out. All problems that can be
    /// seen at once are given.
    pub fn build(
        pipeline: Pipeline,
        document: &Document,
        registry: &Registry,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let is_data = |at: &usize| !registry.is_action(&pipeline.nodes[*at].module);
        let order = match topological_order(&pipeline) {
            Ok(order) => order.into_iter().filter(is_data).collect::<Vec<_>>(),
            Err((at, problem)) => {
                let problem = document.locate(problem, &format!("/nodes/{at}"));
                return Err(vec![problem.in_pipeline(&pipeline.name)]);
            }
        };
        let places: BTreeMap<&Name, usize> =
            order.iter().enumerate().map(|(place, at)| (&pipeline.nodes[*at].id, place)).collect();
        let mut nodes: Vec<Node> = Vec::with_capacity(order.len());
        for at in &order {
            let pointer = format!("/nodes/{at}");
            match build_node(&pipeline, *at, &places, registry) {
                Ok(node) => nodes.push(node),
                Err((path, problem)) => problems.push(
                    document
                        .locate(problem, &format!("{pointer}{path}"))
                        .in_node(&pipeline.nodes[*at].id)
                        .in_pipeline(&pipeline.name),
                ),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for node in &nodes {
            if let Err(problem) = check_edges(node, &nodes) {
                let problem = document.locate(problem, &format!("{}/from", node.pointer));
                problems.push(problem.in_node(&node.id).in_pipeline(&pipeline.name));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if let Err(problem) = add_quarantine(&pipeline.name, &mut nodes, registry) {
            return Err(vec![problem.in_pipeline(&pipeline.name)]);
        }
        Ok(Self { pipeline, nodes })
    }

    /// Edges out of a node: (consumer, position among its inputs).
    pub fn consumers(&self, from: usize) -> impl Iterator<Item = (usize, &Edge)> {
        self.nodes.iter().enumerate().flat_map(move |(at, node)| {
            node.inputs.iter().filter(move |edge| edge.from == from).map(move |edge| (at, edge))
        })
    }

    /// Whether rows of `from` reach `to`, sinks included.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        let mut reached = vec![false; self.nodes.len()];
        reached[from] = true;
        for at in from + 1..=to {
            reached[at] |= self.nodes[at].inputs.iter().any(|edge| reached[edge.from]);
        }
        reached[to]
    }

    /// What people call a node: its id, or for an implicit sink the port it takes.
    pub fn label(&self, at: usize) -> String {
        let node = &self.nodes[at];
        match node.inputs.first().filter(|_| node.is_implicit) {
            Some(edge) => format!("{}.{}", self.nodes[edge.from].id, edge.port),
            None => node.id.to_string(),
        }
    }

    /// Lake tables that are read, whether by name or as a source.
    pub fn tables_read(&self) -> BTreeSet<TableName> {
        (0..self.nodes.len()).flat_map(|at| self.named_tables(at)).collect()
    }

    /// Lake tables that a node names in its SQL or settings.
    pub fn named_tables(&self, at: usize) -> Vec<TableName> {
        match &self.nodes[at].module {
            Module::Source(source) => source.tables(),
            Module::Relational(module) => module.tables(),
            Module::Operator(_) | Module::Sink(_) => Vec::new(),
        }
    }

    /// The node called `id`.
    pub fn find(&self, id: &Name) -> Result<usize> {
        self.nodes.iter().position(|node| node.id == *id).ok_or_else(|| {
            let is_action = self.pipeline.nodes.iter().any(|node| node.id == *id);
            let problem = match is_action {
                true => without_rows(id).hint("name a data node"),
                false => unknown_node(id, self.nodes.iter().map(|node| node.id.as_str())),
            };
            problem.in_pipeline(&self.pipeline.name)
        })
    }
}

pub(crate) fn unknown_node<'a>(id: &Name, known: impl Iterator<Item = &'a str> + Clone) -> Problem {
    let hint = match stdx::text::nearest(id.as_str(), known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("nodes are {}", known.collect::<Vec<_>>().join(", ")),
    };
    Problem::new(&codes::NAME_UNKNOWN, format!("there is no node `{id}`"))
        .arg("node", id)
        .hint(hint)
}

/// Indices into the document's nodes so that inputs come first.
fn topological_order(pipeline: &Pipeline) -> Result<Vec<usize>, (usize, Problem)> {
    let nodes = &pipeline.nodes;
    let mut places = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if places.insert(&node.id, at).is_some() {
            let fact = format!("two nodes are called `{}`", node.id);
            let problem = Problem::new(&codes::NAME_TAKEN, fact).arg("node", &node.id);
            return Err((at, problem.hint("give one of them another `id`")));
        }
    }
    let mut order = Vec::with_capacity(nodes.len());
    let mut done = vec![false; nodes.len()];
    while order.len() < nodes.len() {
        let before = order.len();
        for (at, node) in nodes.iter().enumerate() {
            let ready = |input: &PortRef| places.get(&input.node).is_none_or(|place| done[*place]);
            if !done[at] && node.from.inputs().iter().all(|(_, input)| ready(input)) {
                done[at] = true;
                order.push(at);
            }
        }
        if order.len() == before {
            let stuck = (0..nodes.len()).filter(|at| !done[*at]);
            let names: Vec<&str> = stuck.clone().map(|at| nodes[at].id.as_str()).collect();
            let fact = format!("{} wait for one another", stdx::text::list(names));
            let problem = Problem::new(&codes::GRAPH_CYCLE, fact)
                .hint("rows flow one way: take one of these out of the other's `from`");
            return Err((stuck.min().unwrap_or(0), problem));
        }
    }
    Ok(order)
}

fn build_node(
    pipeline: &Pipeline,
    at: usize,
    places: &BTreeMap<&Name, usize>,
    registry: &Registry,
) -> Result<Node, (String, Problem)> {
    let document = &pipeline.nodes[at];
    let entry = *registry.get(&document.module).map_err(|p| ("/use".to_owned(), p))?;
    let module = build_module(&entry, &Value::Object(document.with.clone()))
        .map_err(|(path, problem)| (format!("/with{path}"), problem))?;
    let at_from = |problem: Problem| ("/from".to_owned(), problem);
    let mut inputs: Vec<Edge> = Vec::new();
    for (role, input) in document.from.inputs() {
        let Some(from) = places.get(&input.node) else {
            let is_action = pipeline.nodes.iter().any(|node| node.id == input.node);
            let known = places.keys().map(|name| name.as_str());
            return Err(at_from(match is_action {
                true => without_rows(&input.node),
                false => unknown_node(&input.node, known),
            }));
        };
        let sql_name = match input.port.as_str() {
            OUT => input.node.to_string(),
            port => format!("{}_{port}", input.node),
        };
        if inputs.iter().any(|edge| edge.sql_name == sql_name) && role.is_none() {
            let problem = Problem::new(
                &codes::GRAPH_INVALID,
                format!("`{}` stands twice in `from`", String::from(input.clone())),
            );
            return Err(at_from(problem.hint("name it once; SQL may read it more than once")));
        }
        let role = role.map(ToString::to_string);
        inputs.push(Edge { from: *from, port: input.port.clone(), sql_name, role });
    }
    check_inputs(&entry, &inputs).map_err(at_from)?;
    let (id, pointer) = (document.id.clone(), format!("/nodes/{at}"));
    Ok(Node { id, entry, module, inputs, is_implicit: false, pointer })
}

/// Builds a module from its settings.
pub fn build_module(entry: &Entry, settings: &Value) -> Result<Module, (String, Problem)> {
    Ok(match entry.build {
        Build::Source(build) => Module::Source(build(settings)?),
        Build::Relational(build) => Module::Relational(build(settings)?),
        Build::Operator(build) => Module::Operator(build(settings)?),
        Build::Sink(build) => Module::Sink(build(settings)?),
        Build::Action(..) => {
            let fact = format!("`{}` is an action", entry.name);
            return Err((String::new(), Problem::new(&codes::GRAPH_INVALID, fact)));
        }
    })
}

fn without_rows(action: &Name) -> Problem {
    Problem::new(&codes::GRAPH_INVALID, format!("`{action}` is an action and gives no rows"))
        .arg("node", action)
        .hint(format!("to wait for it, write `after: [{action}]`"))
}

fn check_inputs(entry: &Entry, inputs: &[Edge]) -> Result<()> {
    let invalid = |fact: String| Problem::new(&codes::GRAPH_INVALID, fact);
    let name = entry.name;
    match entry.inputs {
        InputPorts::None if !inputs.is_empty() => {
            Err(invalid(format!("`{name}` is a source and takes no input"))
                .hint("remove `from` from this node"))
        }
        InputPorts::One if inputs.len() != 1 => {
            Err(invalid(format!("`{name}` takes one input, not {}", inputs.len()))
                .hint("write `from: some_node`; `union` or `join` put several together"))
        }
        InputPorts::Many { min } if inputs.len() < min => {
            Err(invalid(format!("`{name}` needs at least {min} inputs"))
                .hint("write `from: [one_node, another_node]`"))
        }
        InputPorts::Named(names) => {
            let given: Vec<&str> = inputs.iter().filter_map(|edge| edge.role.as_deref()).collect();
            let example: Vec<String> = names.iter().map(|name| format!("{name}: a_node")).collect();
            let hint = format!("write `from: {{{}}}`", example.join(", "));
            match names.iter().find(|name| !given.contains(*name)) {
                Some(missing) => {
                    Err(invalid(format!("`{name}` needs an input `{missing}`")).hint(hint))
                }
                None if given.len() != names.len() || given.len() != inputs.len() => {
                    Err(invalid(format!("`{name}` has inputs {} only", names.join(", ")))
                        .hint(hint))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn check_edges(node: &Node, nodes: &[Node]) -> Result<()> {
    for edge in &node.inputs {
        let from = &nodes[edge.from];
        if from.has_port(edge.port.as_str()) {
            continue;
        }
        let fact = match (from.is_sink(), edge.port.as_str()) {
            (true, OUT) => {
                format!("`{}` does not write a lake table, so nothing can be read from it", from.id)
            }
            _ => format!("`{}` has no port `{}`", from.id, edge.port),
        };
        let hint = match &from.module {
            Module::Relational(module) if !module.ports().is_empty() => {
                format!("its ports are {}", module.ports().join(", "))
            }
            _ if from.entry.rejects => "its ports are out and rejects".to_owned(),
            _ => "read the node before it".to_owned(),
        };
        return Err(Problem::new(&codes::GRAPH_INVALID, fact).hint(hint));
    }
    Ok(())
}

/// A `rejects` port that nobody takes goes to `quarantine.<pipeline>` by itself.
fn add_quarantine(pipeline: &Name, nodes: &mut Vec<Node>, registry: &Registry) -> Result<()> {
    let mut added = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let taken = nodes
            .iter()
            .flat_map(|consumer| &consumer.inputs)
            .any(|edge| edge.from == at && edge.port.as_str() == REJECTS);
        if !node.entry.rejects || taken || node.entry.kind() == Kind::Sink {
            continue;
        }
        let entry = *registry.get("write_table")?;
        let settings = json!({"table": format!("{QUARANTINE}.{pipeline}"), "mode": "append"});
        let module = build_module(&entry, &settings).map_err(|(_, problem)| problem)?;
        let id = implicit_id(&node.id)?;
        let sql_name = format!("{}_{REJECTS}", node.id);
        let edge = Edge { from: at, port: Name::new(REJECTS)?, sql_name, role: None };
        let pointer = node.pointer.clone();
        added.push(Node { id, entry, module, inputs: vec![edge], is_implicit: true, pointer });
    }
    nodes.extend(added);
    Ok(())
}

/// The id of the implicit sink: readable, and with a hash that nobody writes by chance.
fn implicit_id(node: &Name) -> Result<Name> {
    let hash = stdx::hash::stable_hash(node.as_str().as_bytes()) & 0xffff_ffff;
    let shortened = stdx::text::truncate(node.as_str(), 40);
    Name::new(format!("{shortened}_rejects_{hash:08x}"))
}
