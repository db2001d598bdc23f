//! What is known of runs that have not ended, besides where the scheduler sees them.

use super::names::Line;
use contracts::action::{Answer, ChildEnd, ChildRun, Scope, TaskProblem};
use model::plan::{Plan, Work};
use model::problem::StoredProblem;
use model::run::RunId;
use model::{Name, Problem};
use scheduler::{NodeIndex, NodeKey, RunKey};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::WorkspaceId;

/// A run that has not ended.
#[derive(Debug, Clone)]
pub(super) struct RunEntry {
    pub(super) id: RunId,
    pub(super) workspace: WorkspaceId,
    pub(super) slug: Name,
    pub(super) pipeline: Name,
    pub(super) plan: Arc<Plan>,
    /// Parameters, defaults filled in.
    pub(super) params: Map<String, Value>,
    pub(super) interval_us: Option<(i64, i64)>,
    /// The instant that the run calls now.
    pub(super) created_us: i64,
    /// Who waits for it.
    pub(super) parent: Option<(NodeKey, String)>,
    /// What its tasks have given, by name.
    pub(super) outputs: Map<String, Value>,
    /// Why its tasks have failed, in the order in which they have.
    pub(super) problems: Vec<TaskProblem>,
    /// Rows that sinks have written, and rows that were rejected.
    pub(super) rows: (u64, u64),
    /// Whether it is one of many: of another run, or of a back-fill.
    pub(super) is_part: bool,
    /// Whether a task was put aside because workers died of it.
    pub(super) is_quarantined: bool,
    pub(super) tasks: HashMap<NodeIndex, TaskEntry>,
}

/// A task that has begun.
#[derive(Debug, Clone, Default)]
pub(super) struct TaskEntry {
    /// When its first attempt began, in µs since the epoch.
    pub(super) first_us: Option<i64>,
    /// Attempts that have begun.
    pub(super) count: i64,
    /// The attempt that goes on, and when it began.
    pub(super) attempt: Option<(i64, i64)>,
    /// What a person has answered to it.
    pub(super) answer: Option<Answer>,
    /// The runs that it has started.
    pub(super) children: Vec<ChildRun>,
    /// Their places among these, by what they were started under.
    places: HashMap<String, usize>,
    /// Since when it waits for a worker, in µs since the epoch.
    pub(super) ready_us: Option<i64>,
}

impl TaskEntry {
    /// A task that has begun.
    pub(super) fn new(
        first_us: Option<i64>,
        count: i64,
        attempt: Option<(i64, i64)>,
        answer: Option<Answer>,
    ) -> Self {
        Self { first_us, count, attempt, answer, ..Self::default() }
    }

    /// Notes a run that it has started.
    pub(super) fn add_child(&mut self, child: ChildRun) {
        if !self.places.contains_key(&child.key) {
            self.places.insert(child.key.clone(), self.children.len());
            self.children.push(child);
        }
    }
}

impl RunEntry {
    /// A run of `line` that is new.
    pub(super) fn new(
        id: RunId,
        line: &Line,
        slug: Name,
        params: &str,
        interval_us: Option<(i64, i64)>,
        created_us: i64,
    ) -> Self {
        Self {
            id,
            workspace: line.workspace.clone(),
            slug,
            pipeline: line.name.clone(),
            params: with_defaults(&line.plan, params),
            plan: Arc::clone(&line.plan),
            interval_us,
            created_us,
            parent: None,
            outputs: Map::new(),
            problems: Vec::new(),
            rows: (0, 0),
            is_part: false,
            is_quarantined: false,
            tasks: HashMap::new(),
        }
    }

    /// What an action of this run may read.
    pub(super) fn scope(&self, node: NodeIndex) -> Option<Scope> {
        let task = self.plan.tasks.get(node as usize)?;
        let (attempt, started_us) = self.tasks.get(&node)?.attempt?;
        Some(Scope {
            workspace: self.slug.clone(),
            pipeline: self.pipeline.clone(),
            run: self.id.clone(),
            task: task.id.clone(),
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            started_us,
            run_time_us: self.created_us,
            interval_us: self.interval_us,
            params: self.params.clone(),
            outputs: self.outputs.clone(),
            problems: self.problems.clone(),
        })
    }

    /// Children of a task that come after branches which it does not take.
    pub(super) fn not_taken(&self, node: NodeIndex, taken: Option<&[Name]>) -> Vec<NodeIndex> {
        let Some(taken) = taken else { return Vec::new() };
        let is_off = |parent: &model::plan::Parent| {
            let branch = parent.branch.as_ref();
            parent.task == node && branch.is_some_and(|branch| !taken.contains(branch))
        };
        let off = (0..).zip(&self.plan.tasks).filter(|(_, task)| task.parents.iter().any(is_off));
        off.map(|(index, _)| index).collect()
    }

    /// What its `set_output` actions gave, put together.
    pub(super) fn output(&self) -> Map<String, Value> {
        output_of(&self.plan, &self.outputs)
    }

    /// Notes that a task has failed.
    pub(super) fn add_problem(&mut self, node: NodeIndex, problem: StoredProblem) {
        let Some(task) = self.plan.tasks.get(node as usize) else { return };
        self.problems.retain(|known| known.task != task.id);
        self.problems.push(TaskProblem { task: task.id.clone(), problem });
    }
}

/// What the `set_output` actions of a run gave, put together.
pub(super) fn output_of(plan: &Plan, outputs: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Map::new();
    for task in &plan.tasks {
        let is_output = matches!(&task.work, Work::Action { module, .. } if module == "set_output");
        if let Some(Value::Object(output)) = outputs.get(&task.id).filter(|_| is_output) {
            all.extend(output.clone());
        }
    }
    all
}

/// Parameters with the defaults of the document.
fn with_defaults(plan: &Plan, params: &str) -> Map<String, Value> {
    let mut all = Map::new();
    let declared = plan.document.get("params").and_then(Value::as_object);
    for (name, param) in declared.into_iter().flatten() {
        if let Some(default) = param.get("default").filter(|default| !default.is_null()) {
            all.insert(name.clone(), default.clone());
        }
    }
    if let Ok(Value::Object(given)) = serde_json::from_str(params) {
        all.extend(given);
    }
    all
}

/// All runs that have not ended, for the scheduler, for actions and for workers.
#[derive(Debug, Default)]
pub(super) struct Book {
    runs: Mutex<HashMap<RunKey, RunEntry>>,
}

impl Book {
    /// Everything.
    pub(super) fn open(&self) -> MutexGuard<'_, HashMap<RunKey, RunEntry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an action may read.
    pub(super) fn scope(&self, node: NodeKey) -> Option<Scope> {
        self.open().get(&node.run)?.scope(node.node)
    }

    /// The work of a task.
    pub(super) fn work(&self, node: NodeKey) -> Option<Work> {
        let runs = self.open();
        Some(runs.get(&node.run)?.plan.tasks.get(node.node as usize)?.work.clone())
    }

    /// The runs that a task has started.
    pub(super) fn children(&self, node: NodeKey) -> Vec<ChildRun> {
        let runs = self.open();
        let task = runs.get(&node.run).and_then(|run| run.tasks.get(&node.node));
        task.map(|task| task.children.clone()).unwrap_or_default()
    }

    /// The run that a task has started under `key`.
    pub(super) fn child(&self, node: NodeKey, key: &str) -> Option<RunId> {
        let runs = self.open();
        let task = runs.get(&node.run)?.tasks.get(&node.node)?;
        let place = *task.places.get(key)?;
        task.children.get(place).map(|child| child.run.clone())
    }

    /// What a person has answered to a task.
    pub(super) fn answer(&self, node: NodeKey) -> Option<Answer> {
        let runs = self.open();
        runs.get(&node.run)?.tasks.get(&node.node)?.answer.clone()
    }

    /// Notes that a task has started a run.
    pub(super) fn add_child(&self, node: NodeKey, key: String, run: RunId) {
        let mut runs = self.open();
        let Some(entry) = runs.get_mut(&node.run) else { return };
        let task = entry.tasks.entry(node.node).or_default();
        task.add_child(ChildRun { key, run, end: None, output: Map::new() });
    }

    /// Notes that a run which a task has started has ended.
    pub(super) fn end_child(
        &self,
        node: NodeKey,
        run: &RunId,
        end: ChildEnd,
        output: Map<String, Value>,
    ) {
        let mut runs = self.open();
        let task = runs.get_mut(&node.run).and_then(|entry| entry.tasks.get_mut(&node.node));
        // The latest are most often those that end.
        let child =
            task.and_then(|task| task.children.iter_mut().rev().find(|child| child.run == *run));
        if let Some(child) = child {
            (child.end, child.output) = (Some(end), output);
        }
    }
}

/// The problem of a run: that of the first task that failed.
pub(super) fn first_problem(entry: &RunEntry) -> Option<StoredProblem> {
    entry.problems.first().map(|first| first.problem.clone())
}

/// A problem, as it is stored, of a task.
pub(super) fn of_task(problem: Problem, entry: &RunEntry, node: NodeIndex) -> StoredProblem {
    let problem = problem.in_pipeline(&entry.pipeline);
    match entry.plan.tasks.get(node as usize).map(|task| task.id.as_str()) {
        Some(task) if task != model::plan::DATA => problem.in_node(task).to_stored(),
        _ => problem.to_stored(),
    }
}
