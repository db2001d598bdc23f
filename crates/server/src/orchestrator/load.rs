//! Building the scheduler's state from the rows of the database.

use super::book::{Book, RunEntry, TaskEntry, of_task};
use super::files::{Watched, watched};
use super::graph::{graph, limits};
use super::names::{Line, Names, pipeline_number, pool_number, success_signal, workspace_number};
use super::starters;
use contracts::action::ChildRun;
use model::plan::Plan;
use model::{Name, Problem, Result, codes};
use scheduler::{
    Backfill, NodeKey, NodeRow, NodeState, Origin, Pipeline, Rows, RunKey, RunRow, RunStatus,
    Schedule, Share, Trigger,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use store::{Everything, Quota, RunRow as StoredRun, Task, WorkspaceId};

/// Everything that is built from the database.
pub(super) struct Loaded {
    pub(super) rows: Rows,
    pub(super) names: Names,
    pub(super) book: Book,
    /// Files that triggers wait for.
    pub(super) watched: Vec<Watched>,
}

type Plans = HashMap<(WorkspaceId, String), Arc<Plan>>;

/// Builds it. A definition that cannot be understood is left out with a word in the log; a run
/// that cannot is a problem, as it would be lost.
pub(super) fn load(all: Everything) -> Result<Loaded> {
    let mut names = Names::default();
    let plans: Plans = all
        .plans
        .iter()
        .map(|row| {
            let key = (row.workspace_id.clone(), row.hash.clone());
            (key, Arc::new(row.plan.0.clone()))
        })
        .collect();
    let mut rows = Rows::default();
    for workspace in &all.workspaces {
        let number = workspace_number(&workspace.id);
        names.workspaces.insert(number, (workspace.id.clone(), Name::new(&workspace.slug)?));
        let at_once = all
            .quotas
            .iter()
            .find(|quota| quota.workspace_id == workspace.id && quota.quota == Quota::RunsAtOnce);
        rows.workspaces.push((number, share(at_once.map(|quota| quota.maximum))));
    }
    for pool in &all.pools {
        let id = pool_number(&pool.workspace_id, &pool.name);
        names.pools.insert(id, pool.name.clone());
        let slots = u32::try_from(pool.slots).unwrap_or(0);
        rows.pools.push((workspace_number(&pool.workspace_id), id, slots));
    }
    load_definitions(&all, &plans, &mut rows, &mut names);
    for row in &all.backfills {
        let mut backfill: Backfill = read(&row.body.0)?;
        backfill.id = names.add_backfill(&row.id, &row.workspace_id);
        backfill.started = usize::try_from(row.started).unwrap_or(0);
        backfill.status = read(&Value::String(row.status.clone()))?;
        rows.backfills.push(backfill);
    }
    let watched = watched(&all.triggers);
    let book = Book::default();
    let mut tasks: HashMap<String, Vec<Task>> = HashMap::new();
    for task in all.tasks {
        tasks.entry(task.run_id.run().to_string()).or_default().push(task);
    }
    for row in all.runs {
        let of_run = tasks.remove(row.id.run().as_str()).unwrap_or_default();
        let plan = plans.get(&(row.workspace_id.clone(), row.plan.clone()));
        let plan = plan.ok_or_else(|| gone(&row.pipeline))?;
        let (run, nodes, entry) = run(&row, of_run, plan, &names)?;
        book.open().insert(run.key, entry);
        rows.runs.push(run);
        rows.nodes.extend(nodes);
    }
    Ok(Loaded { rows, names, book, watched })
}

/// What starts runs, and what is run.
fn load_definitions(all: &Everything, plans: &Plans, rows: &mut Rows, names: &mut Names) {
    let mut paused = Vec::new();
    for row in &all.pipelines {
        if row.is_paused {
            paused.push(pipeline_number(&row.workspace_id, &row.name));
        }
        let line = plans.get(&(row.workspace_id.clone(), row.plan.clone())).map(|plan| Line {
            workspace: row.workspace_id.clone(),
            name: plan.pipeline.clone(),
            hash: row.plan.clone(),
            plan: Arc::clone(plan),
        });
        let defined = line.ok_or_else(|| gone(&row.name)).and_then(|line| {
            let pipeline = pipeline(&line, names)?;
            names.add_pipeline(line)?;
            Ok(pipeline)
        });
        note(defined, |pipeline| rows.pipelines.push(pipeline));
    }
    for row in &all.schedules {
        let is_paused = paused.contains(&pipeline_number(&row.workspace_id, &row.pipeline));
        let defined: Result<Schedule> = starters::schedule(row, is_paused, names);
        note(defined, |schedule| rows.schedules.push(schedule));
    }
    for row in &all.triggers {
        if !paused.contains(&pipeline_number(&row.workspace_id, &row.pipeline)) {
            let seen = all.signals.iter().filter(|signal| signal.trigger_id == row.id);
            let defined: Result<Trigger> = starters::trigger(row, seen, names);
            note(defined, |trigger| rows.triggers.push(trigger));
        }
    }
}

fn gone(pipeline: &str) -> Problem {
    Problem::new(&codes::INTERNAL, format!("the plan of `{pipeline}` is not in the database"))
}

fn note<T>(defined: Result<T>, keep: impl FnOnce(T)) {
    match defined {
        Ok(defined) => keep(defined),
        Err(problem) => tracing::error!(%problem, "a definition is left out"),
    }
}

/// What a workspace may have at once; none means no limit of its own.
pub(super) fn share(at_once: Option<i64>) -> Share {
    let running_max = at_once.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(u32::MAX);
    Share { weight: 1, running_max }
}

/// A pipeline as the scheduler knows it.
pub(super) fn pipeline(line: &Line, names: &mut Names) -> Result<Pipeline> {
    let signal = names.add_signal(&line.workspace, &success_signal(line.name.as_str()));
    Ok(Pipeline {
        id: pipeline_number(&line.workspace, line.name.as_str()),
        workspace: workspace_number(&line.workspace),
        graph: Arc::new(graph(&line.workspace, &line.plan)?),
        priority: i32::from(line.plan.policy.priority),
        limits: limits(&line.plan),
        signal: Some(signal),
    })
}

/// Reads the scheduler's words.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T> {
    serde_json::from_value(value.clone()).map_err(|error| {
        Problem::new(&codes::INTERNAL, "the metadata database holds words of another scheduler")
            .detail(error)
    })
}

/// The key of a run's id.
pub(super) fn key(row: &StoredRun) -> Result<RunKey> {
    RunKey::of(row.id.run())
        .ok_or_else(|| Problem::new(&codes::INTERNAL, "the id of a run is not readable"))
}

/// A run, its nodes and what else is known of it.
pub(super) fn run(
    row: &StoredRun,
    tasks: Vec<Task>,
    plan: &Arc<Plan>,
    names: &Names,
) -> Result<(RunRow, Vec<NodeRow>, RunEntry)> {
    let key = key(row)?;
    let workspace = workspace_number(&row.workspace_id);
    let slug = names.workspaces.get(&workspace).map(|(_, slug)| slug.clone());
    let status: RunStatus = read(&row.state.0)?;
    let scheduled = RunRow {
        key,
        pipeline: pipeline_number(&row.workspace_id, &row.pipeline),
        workspace,
        graph: Arc::new(graph(&row.workspace_id, plan)?),
        origin: read(&row.origin.0)?,
        params: row.params.0.to_string().into(),
        priority: i32::try_from(row.priority).unwrap_or(0),
        created_us: row.created_at_us,
        deadline_us: row.deadline_us,
        late_us: row.late_us,
        status,
    };
    let line = Line {
        workspace: row.workspace_id.clone(),
        name: plan.pipeline.clone(),
        hash: row.plan.clone(),
        plan: Arc::clone(plan),
    };
    let slug = slug.ok_or_else(|| gone(&row.pipeline))?;
    let interval_us = row.interval_start_us.zip(row.interval_end_us);
    let id = row.id.run().clone();
    let mut entry =
        RunEntry::new(id, &line, slug, &scheduled.params, interval_us, row.created_at_us);
    let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
    entry.rows = (count(row.rows_out), count(row.rows_rejected));
    entry.is_part = is_part(&scheduled.origin);
    entry.parent = row.parent.as_deref().and_then(|parent| parent_of(parent, row));
    let mut nodes = Vec::with_capacity(tasks.len());
    for task in tasks {
        nodes.push(node(key, task, &mut entry)?);
    }
    Ok((scheduled, nodes, entry))
}

/// Whether a run is one of many, which tell people nothing each by itself.
pub(super) fn is_part(origin: &Origin) -> bool {
    matches!(origin, Origin::Run { .. } | Origin::Backfill { .. })
}

/// What a task of one run calls a run that it has started.
pub(super) fn child_key(parent: &str, key: &str) -> String {
    format!("run/{parent}/{key}")
}

/// What a run that a task has started notes of it.
pub(super) fn parent_text(node: NodeKey) -> String {
    format!("{}/{}", node.run, node.node)
}

fn parent_of(text: &str, row: &StoredRun) -> Option<(NodeKey, String)> {
    let (run, node) = text.split_once('/')?;
    let run = RunKey::of(&model::run::RunId::parse(run)?)?;
    let prefix = child_key(text, "");
    let key = row.idempotency_key.as_deref()?.strip_prefix(&prefix)?;
    Some((NodeKey { run, node: node.parse().ok()? }, key.to_owned()))
}

fn node(run: RunKey, task: Task, entry: &mut RunEntry) -> Result<NodeRow> {
    let number = u32::try_from(task.number).unwrap_or(u32::MAX);
    let state: NodeState = read(&task.state.0)?;
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    if let Some(output) = task.output {
        entry.outputs.insert(task.name.clone(), output.0);
    }
    if let Some(problem) = task.problem {
        entry.add_problem(number, problem.0);
    }
    let attempt = match state {
        NodeState::Leased(lease) => Some((task.epoch, lease.since_us)),
        NodeState::Asking { .. } => {
            Some((task.attempts, task.started_at_us.unwrap_or(entry.created_us)))
        }
        _ => None,
    };
    let answer = task.answer.and_then(|answer| serde_json::from_value(answer.0).ok());
    let begun = TaskEntry::new(task.started_at_us, task.attempts, attempt, answer);
    entry.tasks.insert(number, begun);
    Ok(NodeRow {
        key: NodeKey { run, node: number },
        state,
        epoch: u64::try_from(task.epoch).unwrap_or(0),
        failures: count(task.failures),
        losses: count(task.losses),
        not_taken: task.not_taken.0,
    })
}

/// A run that a task has started, read after the task's own run.
pub(super) fn child(
    row: &StoredRun,
    tasks: &[Task],
    plan: Option<&Plan>,
) -> Option<(NodeKey, ChildRun)> {
    let (parent, key) = parent_of(row.parent.as_deref()?, row)?;
    let outputs: Map<String, Value> =
        tasks.iter().filter_map(|task| Some((task.name.clone(), task.output.clone()?.0))).collect();
    let output = plan.map(|plan| super::book::output_of(plan, &outputs)).unwrap_or_default();
    let status: RunStatus = read(&row.state.0).ok()?;
    let end = match status {
        RunStatus::Ended { end } => Some(super::effects::child_end(end)),
        _ => None,
    };
    Some((parent, ChildRun { key, run: row.id.run().clone(), end, output }))
}

/// A problem of a task of a run, placed.
pub(super) fn placed(
    problem: Problem,
    book: &Book,
    node: NodeKey,
) -> model::problem::StoredProblem {
    match book.open().get(&node.run) {
        Some(entry) => of_task(problem, entry, node.node),
        None => problem.to_stored(),
    }
}
