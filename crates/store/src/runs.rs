//! The runs of a workspace: finding them, and what is known about each.

use crate::entity::{attempt, check_result, node_run, plan, run, run_log as log, task};
use crate::failure::Attempt;
use crate::ids::{UserId, WorkspaceId};
use crate::page::{self, Page};
use crate::rows;
use crate::store::Store;
use crate::transactions::Tx;
use crate::values::{RunIdText, Stored};
use crate::words::{AttemptEnd, LogLevel, RunStatus, RunTrigger};
use model::plan::Plan;
use model::problem::StoredProblem;
use model::run::{NodeReport, RunId};
use model::{Name, Problem, Result, codes};
use sea_orm::prelude::*;
use sea_orm::sea_query::{ExprTrait, Func};
use sea_orm::{DbBackend, QueryOrder, QuerySelect};

/// The runs of one workspace.
#[derive(Debug, Clone)]
pub struct Runs {
    store: Store,
    workspace: WorkspaceId,
}

/// A run, as the list of runs shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The run's id.
    pub id: RunId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The pipeline.
    pub pipeline: String,
    /// The version of the pipeline that was the newest.
    pub definition_version: Option<i64>,
    /// Why there is a run.
    pub started_by: RunTrigger,
    /// Who wanted it.
    pub triggered_by: Option<UserId>,
    /// The schedule or trigger.
    pub source_id: Option<String>,
    /// Parameters as they were given.
    pub params: serde_json::Value,
    /// The interval it is about, both ends, µs since the epoch.
    pub interval_us: Option<(i64, i64)>,
    /// Where it is.
    pub status: RunStatus,
    /// The higher, the sooner.
    pub priority: i64,
    /// µs since the epoch.
    pub created_at_us: i64,
    /// µs since the epoch, of the first attempt.
    pub started_at_us: Option<i64>,
    /// µs since the epoch.
    pub ended_at_us: Option<i64>,
    /// Hash of its plan.
    pub plan: String,
    /// The run and task that started it: `run/task`.
    pub parent: Option<String>,
    /// Rows read by sources.
    pub rows_in: i64,
    /// Rows written by sinks.
    pub rows_out: i64,
    /// Rows rejected.
    pub rows_rejected: i64,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
}

impl From<run::Model> for Run {
    fn from(row: run::Model) -> Self {
        Self {
            id: row.id.0,
            workspace_id: row.workspace_id,
            pipeline: row.pipeline,
            definition_version: row.definition_version,
            started_by: row.started_by,
            triggered_by: row.triggered_by,
            source_id: row.source_id,
            params: row.params.0,
            interval_us: row.interval_start_us.zip(row.interval_end_us),
            status: row.status,
            priority: row.priority,
            created_at_us: row.created_at_us,
            started_at_us: row.started_at_us,
            ended_at_us: row.ended_at_us,
            plan: row.plan,
            parent: row.parent,
            rows_in: row.rows_in,
            rows_out: row.rows_out,
            rows_rejected: row.rows_rejected,
            problem: row.problem.map(|problem| problem.0),
        }
    }
}

/// Which runs are asked for; none means all.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this pipeline.
    pub pipeline: Option<Name>,
    /// Of one of these; empty means all.
    pub status: Vec<RunStatus>,
    /// For this reason.
    pub started_by: Option<RunTrigger>,
    /// Accepted at this instant or later, µs since the epoch.
    pub since_us: Option<i64>,
    /// Accepted before this instant, µs since the epoch.
    pub until_us: Option<i64>,
}

/// What a node has done in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRun {
    /// The node.
    pub node: String,
    /// What it has done.
    pub report: NodeReport,
}

/// That a worker has tried to do a task.
#[derive(Debug, Clone, PartialEq)]
pub struct RunAttempt {
    /// The task's place in the plan.
    pub task: i64,
    /// From 1.
    pub number: i64,
    /// Who tried.
    pub worker: String,
    /// µs since the epoch.
    pub started_at_us: i64,
    /// µs since the epoch; none while it goes on.
    pub ended_at_us: Option<i64>,
    /// What became of it.
    pub end: Option<AttemptEnd>,
    /// Why it failed.
    pub problem: Option<StoredProblem>,
}

/// What a check has found in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// The node.
    pub node: String,
    /// The check and the reason.
    pub check: String,
    /// Rows that offend.
    pub offending: i64,
    /// µs since the epoch.
    pub at_us: i64,
}

/// Which lines of a log are asked for; the default is all.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// About this node.
    pub node: Option<String>,
    /// Of one of these levels; empty means all.
    pub levels: Vec<LogLevel>,
    /// With this text in its message; letters of ASCII match in either case.
    pub text: Option<String>,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Its number, from 1; given when it is written.
    pub seq: i64,
    /// The node it is about.
    pub node: Option<String>,
    /// µs since the epoch.
    pub at_us: i64,
    /// How loud it is.
    pub level: LogLevel,
    /// A fixed text.
    pub message: String,
    /// What varies.
    pub fields: serde_json::Value,
}

/// Everything about a run but its log.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Its tasks that have begun, in the order of the plan.
    pub tasks: Vec<task::Model>,
    /// What each node has done, by name.
    pub nodes: Vec<NodeRun>,
    /// The attempts, the first one first.
    pub attempts: Vec<RunAttempt>,
    /// What checks have found.
    pub checks: Vec<CheckResult>,
}

impl Runs {
    pub(crate) fn new(store: Store, workspace: WorkspaceId) -> Self {
        Self { store, workspace }
    }

    /// The run with this id, or `run_not_found`.
    pub async fn get(&self, id: &RunId) -> Result<Run> {
        Ok(get(self.store.read(), &self.workspace, id).await?)
    }

    /// Everything about a run but its log, or `run_not_found`.
    pub async fn detail(&self, id: &RunId) -> Result<RunDetail> {
        Ok(detail(self.store.read(), &self.workspace, id).await?)
    }

    /// The runs, the newest first; `after` is a page's `next`.
    pub async fn list(
        &self,
        filter: &RunFilter,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<Run>> {
        let limit = page::limit(limit);
        Ok(list(self.store.read(), &self.workspace, filter, after, limit).await?)
    }

    /// Adds lines to a run's log, or `run_not_found`.
    pub async fn append_log(&self, id: &RunId, lines: Vec<LogLine>) -> Result<()> {
        let input = (self.workspace.clone(), id.clone(), lines);
        self.store
            .write(input, |tx, (workspace, id, lines)| {
                Box::pin(append_log(tx, workspace, id, lines))
            })
            .await
    }

    /// The lines of a run's log that are asked for, the oldest first; `after` is a page's `next`.
    pub async fn log(
        &self,
        id: &RunId,
        filter: &LogFilter,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Page<LogLine>> {
        let limit = page::limit(limit);
        Ok(read_log(self.store.read(), &self.workspace, id, filter, after, limit).await?)
    }

    /// The run that has this idempotency key.
    pub async fn by_key(&self, key: &str) -> Result<Option<Run>> {
        Ok(by_key(self.store.read(), &self.workspace, key).await?)
    }

    /// What a run consists of.
    pub async fn plan(&self, hash: &str) -> Result<Plan> {
        Ok(read_plan(self.store.read(), &self.workspace, hash).await?)
    }

    /// The intervals that a pipeline has had runs for, by their ends, and where those runs are. Of
    /// several runs for one interval the latest comes last.
    pub async fn intervals(&self, pipeline: &Name) -> Result<Vec<(i64, RunStatus)>> {
        Ok(intervals(self.store.read(), &self.workspace, pipeline).await?)
    }
}

/// The problem that no run has this id.
pub(crate) fn not_found(id: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::RUN_NOT_FOUND, format!("there is no run `{id}`"))
        .arg("run", id)
        .hint("look it up in the list of runs; old ones are removed")
}

async fn find(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &RunId,
) -> Attempt<run::Model> {
    let filter = run::Column::WorkspaceId.eq(workspace.clone());
    let row = run::Entity::find_by_id(RunIdText(id.clone())).filter(filter).one(db).await?;
    row.ok_or_else(|| not_found(id).into())
}

async fn get(db: &impl ConnectionTrait, workspace: &WorkspaceId, id: &RunId) -> Attempt<Run> {
    Ok(find(db, workspace, id).await?.into())
}

async fn list(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    filter: &RunFilter,
    after: Option<&str>,
    limit: u64,
) -> Attempt<Page<Run>> {
    let mut select = run::Entity::find()
        .filter(run::Column::WorkspaceId.eq(workspace.clone()))
        .order_by_desc(run::Column::Id)
        .limit(limit + 1);
    if let Some(pipeline) = &filter.pipeline {
        select = select.filter(run::Column::Pipeline.eq(pipeline.as_str()));
    }
    if !filter.status.is_empty() {
        select = select.filter(run::Column::Status.is_in(filter.status.iter().copied()));
    }
    if let Some(started_by) = filter.started_by {
        select = select.filter(run::Column::StartedBy.eq(started_by));
    }
    if let Some(since_us) = filter.since_us {
        select = select.filter(run::Column::CreatedAtUs.gte(since_us));
    }
    if let Some(until_us) = filter.until_us {
        select = select.filter(run::Column::CreatedAtUs.lt(until_us));
    }
    if let Some(after) = after {
        let after = RunId::parse(after).ok_or_else(|| page::unreadable(after))?;
        select = select.filter(run::Column::Id.lt(RunIdText(after)));
    }
    let runs = select.all(db).await?.into_iter().map(Run::from).collect();
    Ok(Page::cut(runs, limit, |run: &Run| run.id.to_string()))
}

async fn detail(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &RunId,
) -> Attempt<RunDetail> {
    let run = get(db, workspace, id).await?;
    let id = RunIdText(id.clone());
    let nodes = node_run::Entity::find()
        .filter(node_run::Column::RunId.eq(id.clone()))
        .order_by_asc(node_run::Column::Node);
    let attempts = attempt::Entity::find()
        .filter(attempt::Column::RunId.eq(id.clone()))
        .order_by_asc(attempt::Column::StartedAtUs)
        .order_by_asc(attempt::Column::Task)
        .order_by_asc(attempt::Column::Number);
    let tasks = task::Entity::find()
        .filter(task::Column::RunId.eq(id.clone()))
        .order_by_asc(task::Column::Number);
    let checks = check_result::Entity::find()
        .filter(check_result::Column::RunId.eq(id))
        .order_by_asc(check_result::Column::Node)
        .order_by_asc(check_result::Column::CheckName);
    let node = |row: node_run::Model| NodeRun { node: row.node, report: row.report.0 };
    let attempt = |row: attempt::Model| RunAttempt {
        task: row.task,
        number: row.number,
        worker: row.worker,
        started_at_us: row.started_at_us,
        ended_at_us: row.ended_at_us,
        end: row.end,
        problem: row.problem.map(|problem| problem.0),
    };
    let check = |row: check_result::Model| CheckResult {
        node: row.node,
        check: row.check_name,
        offending: row.offending,
        at_us: row.at_us,
    };
    Ok(RunDetail {
        run,
        tasks: tasks.all(db).await?,
        nodes: nodes.all(db).await?.into_iter().map(node).collect(),
        attempts: attempts.all(db).await?.into_iter().map(attempt).collect(),
        checks: checks.all(db).await?.into_iter().map(check).collect(),
    })
}

async fn by_key(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    key: &str,
) -> Attempt<Option<Run>> {
    let row = run::Entity::find()
        .filter(run::Column::WorkspaceId.eq(workspace.clone()))
        .filter(run::Column::IdempotencyKey.eq(key))
        .one(db)
        .await?;
    Ok(row.map(Run::from))
}

async fn read_plan(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    hash: &str,
) -> Attempt<Plan> {
    let key = (workspace.clone(), hash.to_owned());
    let row = plan::Entity::find_by_id(key).one(db).await?;
    let unknown = || {
        Problem::new(&codes::NOT_FOUND, "the plan of this run is gone")
            .hint("old plans are removed with their runs")
    };
    Ok(row.ok_or_else(unknown)?.plan.0)
}

async fn intervals(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    pipeline: &Name,
) -> Attempt<Vec<(i64, RunStatus)>> {
    let rows: Vec<(Option<i64>, RunStatus)> = run::Entity::find()
        .select_only()
        .columns([run::Column::IntervalEndUs, run::Column::Status])
        .filter(run::Column::WorkspaceId.eq(workspace.clone()))
        .filter(run::Column::Pipeline.eq(pipeline.as_str()))
        .filter(run::Column::IntervalEndUs.is_not_null())
        .order_by_asc(run::Column::CreatedAtUs)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(|(end, status)| Some((end?, status))).collect())
}

async fn append_log(
    tx: &Tx,
    workspace: &WorkspaceId,
    id: &RunId,
    lines: &[LogLine],
) -> Attempt<()> {
    let run = find(tx, workspace, id).await?;
    let last = log::Entity::find()
        .filter(log::Column::RunId.eq(run.id.clone()))
        .order_by_desc(log::Column::Seq)
        .one(tx)
        .await?;
    let first = last.map_or(1, |row| row.seq + 1);
    let row = |(seq, line): (i64, &LogLine)| log::Model {
        run_id: run.id.clone(),
        seq,
        workspace_id: workspace.clone(),
        node: line.node.clone(),
        at_us: line.at_us,
        level: line.level,
        message: line.message.clone(),
        fields: Stored(line.fields.clone()),
    };
    rows::insert_all(tx, (first..).zip(lines).map(row).collect()).await
}

/// That a column holds a text. Letters are compared as the database writes them in lower case,
/// which on SQLite and in PostgreSQL's locale `C` concerns those of ASCII alone.
fn holds(db: &impl ConnectionTrait, column: log::Column, text: &str) -> Expr {
    let place = match db.get_database_backend() {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    let place = Func::cust(place).arg(Func::lower(Expr::col(column))).arg(Func::lower(text));
    Expr::expr(place).gt(0)
}

async fn read_log(
    db: &impl ConnectionTrait,
    workspace: &WorkspaceId,
    id: &RunId,
    filter: &LogFilter,
    after: Option<&str>,
    limit: u64,
) -> Attempt<Page<LogLine>> {
    let run = find(db, workspace, id).await?;
    let after = after.map(page::number).transpose()?.unwrap_or(0);
    let mut select = log::Entity::find()
        .filter(log::Column::RunId.eq(run.id))
        .filter(log::Column::Seq.gt(after))
        .order_by_asc(log::Column::Seq)
        .limit(limit + 1);
    if let Some(node) = &filter.node {
        select = select.filter(log::Column::Node.eq(node.as_str()));
    }
    if !filter.levels.is_empty() {
        select = select.filter(log::Column::Level.is_in(filter.levels.iter().copied()));
    }
    if let Some(text) = &filter.text {
        select = select.filter(holds(db, log::Column::Message, text));
    }
    let rows = select.all(db).await?;
    let page = Page::cut(rows, limit, |row| row.seq.to_string());
    let line = |row: log::Model| LogLine {
        seq: row.seq,
        node: row.node,
        at_us: row.at_us,
        level: row.level,
        message: row.message,
        fields: row.fields.0,
    };
    Ok(Page { items: page.items.into_iter().map(line).collect(), next: page.next })
}
