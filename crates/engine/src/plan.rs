//! The plan of a pipeline's runs: which tasks there are, and who waits for whom.
//!
//! All data nodes together are one task, because rows stream between them; each action is one.

use crate::graph::unknown_node;
use crate::project::PipelineFile;
use crate::registry::Registry;
use contracts::{Action, Build};
use model::pipeline::{Node, OUT, Pipeline, PortRef, Retry, When};
use model::plan::{DATA, Parent, Plan, Task, Work};
use model::yaml::Document;
use model::{Name, Problem, Result, codes};
use serde_json::Value;
use std::collections::BTreeMap;

/// A pipeline has at most this many tasks.
pub const TASKS_MAX: usize = 1_000;
const ATTEMPTS_MAX: u32 = 1_000;
const PRIORITY_MAX: i8 = 100;

/// The plan of a pipeline. All problems that can be seen at once are given, but for those of data
/// nodes: [`crate::graph::Graph::build`] finds them.
pub fn plan(file: &PipelineFile, registry: &Registry) -> Result<Plan, Vec<Problem>> {
    let mut planner = Planner::new(file);
    planner.name_nodes(registry);
    if planner.problems.is_empty() {
        planner.check_nodes();
        planner.check_policy();
        planner.connect();
    }
    if planner.problems.is_empty() {
        planner.order();
    }
    match planner.problems.is_empty() {
        true => planner.finish().map_err(|problem| vec![problem]),
        false => Err(planner.problems),
    }
}

/// The pipeline of a plan, as it was when the plan was made; its positions are lost.
pub fn pipeline_file(plan: &Plan) -> Result<PipelineFile> {
    let name = format!("pipelines/{}.yaml", plan.pipeline);
    let document = Document::without_positions(&name, plan.document.clone());
    let pipeline: Pipeline = document.read("")?;
    Ok(PipelineFile { pipeline, document, hash: plan.hash.clone() })
}

/// What becomes a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// All data nodes.
    Data,
    /// The action at this place among the document's nodes.
    Action(usize),
}

/// A task whose place is not known yet.
struct Draft {
    unit: Unit,
    /// Whom it waits for, and for which branch.
    parents: Vec<(Unit, Option<Name>)>,
    when: When,
}

struct Planner<'a> {
    file: &'a PipelineFile,
    nodes: &'a [Node],
    /// Places among the document's nodes.
    places: BTreeMap<&'a Name, usize>,
    actions: BTreeMap<usize, Box<dyn Action>>,
    /// In the order of the document until they are ordered.
    drafts: Vec<Draft>,
    problems: Vec<Problem>,
}

impl<'a> Planner<'a> {
    fn new(file: &'a PipelineFile) -> Self {
        Self {
            file,
            nodes: &file.pipeline.nodes,
            places: BTreeMap::new(),
            actions: BTreeMap::new(),
            drafts: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn refuse(&mut self, pointer: &str, problem: Problem) {
        let problem = self.file.document.locate(problem, pointer);
        self.problems.push(problem.in_pipeline(&self.file.pipeline.name));
    }

    fn refuse_node(&mut self, at: usize, setting: &str, problem: Problem) {
        let problem = problem.in_node(&self.nodes[at].id);
        self.refuse(&format!("/nodes/{at}{setting}"), problem);
    }

    /// Finds names and actions.
    fn name_nodes(&mut self, registry: &Registry) {
        if self.nodes.len() > TASKS_MAX {
            let fact = format!("{} nodes are too many for a pipeline", self.nodes.len());
            let hint = format!("use {TASKS_MAX} at most: split it, and use `run_pipeline`");
            self.refuse("/nodes", invalid(fact).hint(hint));
            return;
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if self.places.insert(&node.id, at).is_some() {
                let fact = format!("two nodes are called `{}`", node.id);
                let problem = Problem::new(&codes::NAME_TAKEN, fact).arg("node", &node.id);
                self.refuse_node(at, "/id", problem.hint("give one of them another `id`"));
            }
            match registry.get(&node.module).map(|entry| entry.build) {
                Ok(Build::Action(build, _)) => match build(&Value::Object(node.with.clone())) {
                    Ok(action) => drop(self.actions.insert(at, action)),
                    Err((path, problem)) => {
                        self.refuse_node(at, &format!("/with{path}"), problem);
                    }
                },
                Ok(_) => {}
                Err(problem) => self.refuse_node(at, "/use", problem),
            }
        }
    }

    fn unit(&self, at: usize) -> Unit {
        if self.actions.contains_key(&at) { Unit::Action(at) } else { Unit::Data }
    }

    fn has_data(&self) -> bool {
        self.actions.len() < self.nodes.len()
    }

    /// Settings that a node of its kind has not.
    fn check_nodes(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let is_action = self.actions.contains_key(&at);
            let id = &node.id;
            if is_action && !node.from.is_empty() {
                let problem = invalid(format!("`{id}` is an action and takes no rows"));
                let hint = "to wait for another node, write `after: [that_node]`";
                self.refuse_node(at, "/from", problem.hint(hint));
            }
            let own = [("/retry", node.retry.is_some()), ("/timeout", node.timeout.is_some())];
            for (setting, is_given) in own.into_iter().filter(|_| !is_action) {
                if is_given {
                    let word = &setting[1..];
                    let problem = invalid(format!("a data node has no `{word}` of its own"));
                    let hint = format!("data nodes run together: write `runs: {{{word}: …}}`");
                    self.refuse_node(at, setting, problem.hint(hint));
                }
            }
            if node.when != When::default() && node.after.is_empty() {
                let problem = invalid(format!("`{id}` has `when`, but waits for nothing"));
                let hint = "name the nodes it waits for in `after`, or leave `when` out";
                self.refuse_node(at, "/when", problem.hint(hint));
            }
            if let Some(problem) = node.retry.as_ref().and_then(senseless) {
                self.refuse_node(at, "/retry", problem);
            }
            if node.timeout.is_some_and(|timeout| timeout.us() == 0) {
                self.refuse_node(at, "/timeout", no_time());
            }
        }
    }

    fn check_policy(&mut self) {
        let policy = &self.file.pipeline.runs;
        if policy.at_once == Some(0) {
            let problem = senseless_setting("no run could ever begin");
            self.refuse("/runs/at_once", problem.hint("write 1 or more"));
        }
        if policy.at_once.is_some_and(|runs| runs > 1) && self.has_data() {
            let fact = "runs of a pipeline with data nodes take turns";
            self.refuse(
                "/runs/at_once",
                senseless_setting(fact).hint(
                    "leave `at_once` out; or put the data nodes into pipelines of their own and \
                     start these with `run_pipeline`",
                ),
            );
        }
        if policy.priority.unsigned_abs() > PRIORITY_MAX.unsigned_abs() {
            let problem = senseless_setting("there is no such priority");
            self.refuse("/runs/priority", problem.hint("write a number from -100 to 100"));
        }
        if policy.timeout.is_some_and(|timeout| timeout.us() == 0) {
            self.refuse("/runs/timeout", no_time());
        }
        if let Some(problem) = policy.retry.as_ref().and_then(senseless) {
            self.refuse("/runs/retry", problem);
        }
        let for_data = [("retry", policy.retry.is_some()), ("pool", policy.pool.is_some())];
        for (setting, is_given) in for_data {
            if is_given && !self.has_data() {
                let fact = format!("`runs.{setting}` is for data nodes, and there are none");
                let hint = format!("leave `{setting}` out here");
                let problem = senseless_setting(&fact).hint(hint);
                self.refuse(&format!("/runs/{setting}"), problem);
            }
        }
    }

    /// Drafts of all tasks with their parents.
    fn connect(&mut self) {
        for at in 0..self.nodes.len() {
            let unit = self.unit(at);
            let parents = self.parents(at);
            let when = self.nodes[at].when;
            let Some(draft) = self.drafts.iter().position(|draft| draft.unit == unit) else {
                self.drafts.push(Draft { unit, parents, when });
                continue;
            };
            if !parents.is_empty() {
                self.join_data(at, draft, parents);
            }
        }
    }

    /// What one more data node waits for, the data nodes wait for together.
    fn join_data(&mut self, at: usize, draft: usize, parents: Vec<(Unit, Option<Name>)>) {
        let when = self.nodes[at].when;
        let hint = "data nodes begin together: give them one `after` and one `when`, or put some \
                    of them into a pipeline of their own and start it with `run_pipeline`";
        if self.drafts[draft].parents.is_empty() {
            self.drafts[draft].when = when;
        } else if self.drafts[draft].when != when {
            let problem = invalid("data nodes begin under different rules".to_owned());
            self.refuse_node(at, "/when", problem.hint(hint));
        }
        for (unit, branch) in parents {
            match self.drafts[draft].parents.iter().find(|(known, _)| *known == unit) {
                None => self.drafts[draft].parents.push((unit, branch)),
                Some((_, known)) if *known == branch => {}
                Some(_) => {
                    let problem = invalid("data nodes wait for different branches".to_owned());
                    self.refuse_node(at, "/after", problem.hint(hint));
                }
            }
        }
    }

    /// Whom a node waits for, as its `after` says.
    fn parents(&mut self, at: usize) -> Vec<(Unit, Option<Name>)> {
        let mut parents: Vec<(Unit, Option<Name>)> = Vec::new();
        let nodes = self.nodes;
        for (place, reference) in nodes[at].after.iter().enumerate() {
            match self.parent(at, reference) {
                Ok((unit, branch)) => {
                    let known = parents.iter().find(|(known, _)| *known == unit);
                    match known.map(|(_, known)| *known == branch) {
                        None => parents.push((unit, branch)),
                        Some(true) if unit == Unit::Data => {}
                        Some(_) => {
                            let problem = twice(&reference.node);
                            self.refuse_node(at, &format!("/after/{place}"), problem);
                        }
                    }
                }
                Err(problem) => self.refuse_node(at, &format!("/after/{place}"), problem),
            }
        }
        parents
    }

    fn parent(&self, at: usize, reference: &PortRef) -> Result<(Unit, Option<Name>)> {
        let PortRef { node, port } = reference;
        let Some(from) = self.places.get(node).copied() else {
            return Err(unknown_node(node, self.places.keys().map(|name| name.as_str())));
        };
        let unit = self.unit(from);
        if from == at {
            return Err(Problem::new(&codes::GRAPH_CYCLE, format!("`{node}` waits for itself"))
                .hint("take it out of its own `after`"));
        }
        if unit == Unit::Data && self.unit(at) == Unit::Data {
            return Err(invalid(format!("`{node}` is a data node, as is the one after it")).hint(
                "data nodes run together, in the order that their rows say: leave `after` out, or \
                 put one of them into a pipeline of its own and start it with `run_pipeline`",
            ));
        }
        if port.as_str() == OUT {
            return Ok((unit, None));
        }
        let branches = self.actions.get(&from).map(|action| action.branches()).unwrap_or_default();
        if branches.contains(port) {
            return Ok((unit, Some(port.clone())));
        }
        let hint = match branches.is_empty() {
            true => format!("it has no branches: write `after: [{node}]`"),
            false => {
                format!("branches are {}", stdx::text::list(branches.iter().map(Name::as_str)))
            }
        };
        Err(Problem::new(&codes::NAME_UNKNOWN, format!("`{node}` has no branch `{port}`"))
            .arg("node", node)
            .arg("branch", port)
            .hint(hint))
    }

    /// Puts parents before their children, as near to the document's order as that allows.
    fn order(&mut self) {
        let mut waiting: Vec<Draft> = std::mem::take(&mut self.drafts);
        while !waiting.is_empty() {
            let is_done = |unit: &Unit| self.drafts.iter().any(|done| done.unit == *unit);
            let ready = |draft: &Draft| draft.parents.iter().all(|(unit, _)| is_done(unit));
            match waiting.iter().position(ready) {
                Some(at) => {
                    let draft = waiting.remove(at);
                    self.drafts.push(draft);
                }
                None => return self.refuse_circle(&waiting),
            }
        }
    }

    fn refuse_circle(&mut self, waiting: &[Draft]) {
        let circle = circle(waiting);
        let has_data = circle.contains(&Unit::Data);
        let name = |unit: &Unit| match unit {
            Unit::Data => "the data nodes".to_owned(),
            Unit::Action(at) => format!("`{}`", self.nodes[*at].id),
        };
        let names: Vec<String> = circle.iter().map(name).collect();
        let fact = format!("{} wait for one another", names.join(", "));
        let hint = match has_data {
            true => {
                "the data nodes of a pipeline run together: put those before and those after the \
                 action into two pipelines, and start one with `run_pipeline`"
            }
            false => "take one of them out of the `after` of another",
        };
        let at = circle.iter().find_map(|unit| match unit {
            Unit::Action(at) => Some(*at),
            Unit::Data => None,
        });
        let problem = Problem::new(&codes::GRAPH_CYCLE, fact).hint(hint);
        self.refuse(&format!("/nodes/{}/after", at.unwrap_or(0)), problem);
    }

    fn finish(self) -> Result<Plan> {
        let pipeline = &self.file.pipeline;
        let places: BTreeMap<Unit, u32> =
            self.drafts.iter().map(|draft| draft.unit).zip(0..).collect();
        let tasks = self.drafts.iter().map(|draft| self.task(draft, &places)).collect();
        let document = serde_json::to_value(pipeline).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a pipeline cannot be stored").detail(error)
        })?;
        Ok(Plan {
            pipeline: pipeline.name.clone(),
            hash: self.file.hash.clone(),
            document,
            policy: pipeline.runs.clone(),
            tasks,
        })
    }

    fn task(&self, draft: &Draft, places: &BTreeMap<Unit, u32>) -> Task {
        let mut parents: Vec<Parent> = draft
            .parents
            .iter()
            .map(|(unit, branch)| Parent { task: places[unit], branch: branch.clone() })
            .collect();
        parents.sort_by_key(|parent| parent.task);
        let when = draft.when;
        match draft.unit {
            Unit::Data => {
                let policy = &self.file.pipeline.runs;
                Task {
                    id: DATA.to_owned(),
                    work: Work::Data,
                    parents,
                    when,
                    retry: policy.retry,
                    timeout_us: None,
                    pool: policy.pool.clone().map(|pool| (pool, 1)),
                }
            }
            Unit::Action(at) => {
                let node = &self.nodes[at];
                Task {
                    id: node.id.to_string(),
                    work: Work::Action {
                        module: node.module.clone(),
                        with: node.with.clone(),
                        outside: self.actions[&at].outside(),
                    },
                    parents,
                    when,
                    retry: node.retry,
                    timeout_us: node.timeout.map(model::Span::us),
                    pool: None,
                }
            }
        }
    }
}

/// Units that wait for one another, out of some of which none can begin.
fn circle(waiting: &[Draft]) -> Vec<Unit> {
    let stuck = |unit: &Unit| waiting.iter().find(|draft| draft.unit == *unit);
    let mut path: Vec<Unit> = Vec::new();
    let mut next = waiting.first();
    while let Some(draft) = next {
        if let Some(start) = path.iter().position(|unit| *unit == draft.unit) {
            return path.split_off(start);
        }
        path.push(draft.unit);
        next = draft.parents.iter().find_map(|(unit, _)| stuck(unit));
    }
    path
}

fn invalid(fact: String) -> Problem {
    Problem::new(&codes::GRAPH_INVALID, fact)
}

fn senseless_setting(fact: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact)
}

fn no_time() -> Problem {
    senseless_setting("nothing can be done in no time").hint("write a length of time such as `5m`")
}

fn senseless(retry: &Retry) -> Option<Problem> {
    if !(1..=ATTEMPTS_MAX).contains(&retry.attempts) {
        let problem = senseless_setting("there are no such numbers of attempts");
        return Some(problem.hint("write 1 to 1000; 1 means that nothing is tried again"));
    }
    let is_short = retry.longest < retry.wait;
    is_short.then(|| {
        senseless_setting("the longest wait is shorter than the first")
            .hint("raise `longest`, or lower `wait`")
    })
}

fn twice(node: &Name) -> Problem {
    invalid(format!("`{node}` stands twice in `after`"))
        .hint("name it once; where branches meet again, name the nodes that end them")
}

#[cfg(test)]
mod tests;
