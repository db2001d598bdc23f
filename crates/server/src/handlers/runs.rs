//! Pipelines and their runs.

use super::live::live;
use crate::access::Access;
use crate::input::{Body, InPath, InQuery, Keyed};
use crate::orchestrator::{StartWish, Wish};
use crate::output::{Accepted, Answer};
use crate::refusal;
use crate::route::Route;
use api::page::PageQuery;
use api::permission::{Permit, RunRead, RunStart, WorkspaceRead};
use api::runs::{
    Attempt, LogLine, LogPage, LogQuery, NodeRun, Pipeline, PipelineChange, PipelinePath,
    Pipelines, Run, RunDetail, RunPage, RunPath, RunStatus, RunsQuery, StartRun, TaskAnswer,
    TaskPath, TaskRun,
};
use axum::http::Method;
use model::plan::{Plan, Work};
use model::problem::StoredProblem;
use model::run::RunId;
use model::{Name, Problem, Result, codes};
use scheduler::{NodeEnd, NodeState};
use serde_json::Value;
use store::{LogFilter, LogLevel, RunFilter, RunTrigger};

const PIPELINE: &str = "/api/v1/workspaces/{workspace}/pipelines/{pipeline}";
const RUNS: &str = "/api/v1/workspaces/{workspace}/runs";
const RUN: &str = "/api/v1/workspaces/{workspace}/runs/{run}";
/// Priorities that a request may add.
const PRIORITY_MAX: i32 = 100;
/// Why starting a run leaves no entry in the audit trail.
const RUN_SAYS: &str = "the run itself says who wanted it, when and with which parameters";

pub(super) fn routes() -> Vec<Route> {
    let mut routes = of_pipelines();
    routes.extend(of_runs());
    routes
}

fn of_pipelines() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/workspaces/{workspace}/pipelines",
            "The pipelines.",
            pipelines,
        ),
        Route::new(
            Method::PATCH,
            PIPELINE,
            "Hold back the runs that schedules and triggers start, or let them begin again.",
            pause,
        )
        .audited("pipeline.pause"),
        Route::new(
            Method::POST,
            "/api/v1/workspaces/{workspace}/pipelines/{pipeline}/runs",
            "Take a run on. Whatever dies after the answer, the run will be done. With the header \
             `Idempotency-Key` the same request twice means one run.",
            start,
        )
        .unaudited(RUN_SAYS),
    ]
}

fn of_runs() -> Vec<Route> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), RUNS, "Runs, the newest first.", list),
        Route::new(get.clone(), RUN, "A run with what its tasks and nodes have done.", detail),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/runs/{run}/logs",
            "The log of a run, the oldest line first.",
            logs,
        ),
        Route::new(
            get,
            "/api/v1/workspaces/{workspace}/runs/{run}/live",
            "What happens in a run, as server-sent events: log lines, counts, and how it ends. \
             Resumes after the line that `Last-Event-ID` names.",
            live,
        ),
        Route::new(
            post.clone(),
            "/api/v1/workspaces/{workspace}/runs/{run}/cancel",
            "Stop a run. What has committed stays; `resume` goes on with the rest.",
            cancel,
        )
        .audited("run.cancel"),
        Route::new(
            post.clone(),
            "/api/v1/workspaces/{workspace}/runs/{run}/resume",
            "Go on with a run that did not succeed where it failed: what has succeeded stays.",
            resume,
        )
        .audited("run.resume"),
        Route::new(
            post.clone(),
            "/api/v1/workspaces/{workspace}/runs/{run}/retry",
            "Take on a new run with the parameters and the interval of this one.",
            retry,
        )
        .unaudited(RUN_SAYS),
        Route::new(
            post,
            "/api/v1/workspaces/{workspace}/runs/{run}/tasks/{task}/answer",
            "Answer a task that asks a person.",
            answer,
        )
        .audited("task.answer"),
    ]
}

async fn pipelines(access: Access<WorkspaceRead>, (): ()) -> Result<Answer<Pipelines>> {
    let found = access.workspace.pipelines().list().await?;
    let items = found.into_iter().map(|pipeline| Pipeline {
        name: pipeline.name,
        description: pipeline.description,
        tags: pipeline.tags.0,
        paused: pipeline.is_paused,
        updated_at_us: pipeline.updated_at_us,
    });
    Ok(Answer(Pipelines { items: items.collect() }))
}

async fn pause(
    access: Access<RunStart>,
    (InPath(path), Body(change)): (InPath<PipelinePath>, Body<PipelineChange>),
) -> Result<Answer<Pipeline>> {
    let pipelines = access.workspace.pipelines();
    pipelines.set_paused(&path.pipeline, change.paused).await?;
    let workspace = access.workspace.id().clone();
    access.app.wish(Wish::Redefine { workspace }).await?;
    access.trail.after(serde_json::json!({"paused": change.paused}));
    let row = pipelines.get(&path.pipeline).await?;
    Ok(Answer(Pipeline {
        name: row.name,
        description: row.description,
        tags: row.tags.0,
        paused: row.is_paused,
        updated_at_us: row.updated_at_us,
    }))
}

async fn start(
    access: Access<RunStart>,
    Keyed { key, input: (InPath(path), Body(start)) }: Keyed<(
        InPath<PipelinePath>,
        Body<StartRun>,
    )>,
) -> Result<Accepted<Run>> {
    if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&start.priority) {
        let fact = format!("{} is no priority", start.priority);
        return Err(Problem::new(&codes::SETTING_INVALID, fact)
            .in_setting("/priority")
            .hint("use a number from -100 to 100"));
    }
    let unknown = |_| unknown_pipeline(&path.pipeline);
    let wish = StartWish {
        run: RunId::generate(access.app.now_us()),
        workspace: access.workspace.id().clone(),
        pipeline: Name::new(&path.pipeline).map_err(unknown)?,
        params: Value::Object(start.params),
        started_by: started_by(&access),
        triggered_by: Some(access.caller.user.id.clone()),
        interval_us: start.interval_us,
        priority: start.priority,
        key: key.map(|key| format!("key/{key}")),
        parent: None,
    };
    wanted(&access, wish).await
}

fn started_by<P>(access: &Access<P>) -> RunTrigger {
    match access.caller.key {
        Some(_) => RunTrigger::Api,
        None => RunTrigger::Manual,
    }
}

fn unknown_pipeline(name: &str) -> Problem {
    Problem::new(&codes::NAME_UNKNOWN, format!("there is no pipeline `{name}`"))
        .arg("pipeline", name)
        .hint("look it up in the list of pipelines of this workspace")
}

async fn wanted(access: &Access<RunStart>, wish: StartWish) -> Result<Accepted<Run>> {
    let asked = wish.run.clone();
    let run = access.app.wish(Wish::Start(wish)).await?.unwrap_or(asked);
    Ok(Accepted(shown(access.workspace.runs().get(&run).await?)))
}

async fn retry(access: Access<RunStart>, InPath(path): InPath<RunPath>) -> Result<Accepted<Run>> {
    let run = access.workspace.runs().get(&run_id(&path.run)?).await?;
    let wish = StartWish {
        run: RunId::generate(access.app.now_us()),
        workspace: access.workspace.id().clone(),
        pipeline: Name::new(&run.pipeline)?,
        params: run.params,
        started_by: started_by(&access),
        triggered_by: Some(access.caller.user.id.clone()),
        interval_us: run.interval_us,
        priority: 0,
        key: None,
        parent: None,
    };
    wanted(&access, wish).await
}

async fn resume(access: Access<RunStart>, InPath(path): InPath<RunPath>) -> Result<Answer<Run>> {
    let run = access.workspace.runs().get(&run_id(&path.run)?).await?;
    access.app.wish(Wish::Resume { run: run.id.clone() }).await?;
    Ok(Answer(shown(access.workspace.runs().get(&run.id).await?)))
}

async fn cancel(access: Access<RunStart>, InPath(path): InPath<RunPath>) -> Result<Answer<Run>> {
    let run = access.workspace.runs().get(&run_id(&path.run)?).await?;
    if run.status.is_final() {
        return Ok(Answer(shown(run)));
    }
    match access.app.wish(Wish::Cancel { run: run.id.clone() }).await {
        // It has ended in between.
        Err(problem) if problem.is(&codes::RUN_NOT_FOUND) => {}
        asked => drop(asked?),
    }
    Ok(Answer(shown(access.workspace.runs().get(&run.id).await?)))
}

async fn answer(
    access: Access<RunStart>,
    (InPath(path), Body(answer)): (InPath<TaskPath>, Body<TaskAnswer>),
) -> Result<Answer<Run>> {
    let detail = access.workspace.runs().detail(&run_id(&path.run)?).await?;
    let task = detail.tasks.iter().find(|task| task.name == path.task);
    let question = task.and_then(|task| task.question.clone()).ok_or_else(|| {
        let fact = format!("`{}` of run `{}` asks nobody", path.task, path.run);
        Problem::new(&codes::RUN_REFUSED, fact)
            .hint("look at the run: it has been answered, or has not come so far")
    })?;
    let form: contracts::action::Form = serde_json::from_value(question.0).map_err(|error| {
        Problem::new(&codes::INTERNAL, "the question of a task cannot be read").detail(error)
    })?;
    let least = form.role.unwrap_or(RunStart::PERMISSION.least);
    if access.role < least {
        let fact = format!("only members from {least} on may answer this");
        return Err(
            Problem::new(&codes::PERMISSION_MISSING, fact).hint("ask somebody who has this role")
        );
    }
    let answer = contracts::action::Answer {
        approved: answer.approved,
        by: access.caller.user.email.clone(),
        fields: answer.fields,
    };
    actions::check_answer(&form, &answer)?;
    access.trail.after(serde_json::json!({"approved": answer.approved}));
    access.app.answer_task(detail.run.id.clone(), path.task, answer).await?;
    Ok(Answer(shown(access.workspace.runs().get(&detail.run.id).await?)))
}

async fn list(
    access: Access<RunRead>,
    InQuery(query): InQuery<RunsQuery>,
) -> Result<Answer<RunPage>> {
    let pipeline = query.pipeline.as_deref().map(Name::new).transpose()?;
    let words = query.status.iter().flat_map(|words| words.split(','));
    let filter = RunFilter {
        pipeline,
        status: words.map(read_status).collect::<Result<_>>()?,
        since_us: query.since_us,
        until_us: query.until_us,
        ..RunFilter::default()
    };
    let page = PageQuery { limit: query.limit, after: query.after };
    let runs = access.workspace.runs();
    let found = runs.list(&filter, page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(RunPage { items: found.items.into_iter().map(shown).collect(), next: found.next }))
}

/// Reads a word of an enumeration, as the interface writes it.
fn word<T: serde::de::DeserializeOwned>(word: &str, setting: &str, known: &str) -> Result<T> {
    serde_json::from_value(Value::String(word.to_owned())).map_err(|_| {
        Problem::new(&codes::SETTING_INVALID, format!("`{word}` is not known here"))
            .in_setting(setting)
            .hint(format!("use {known}"))
    })
}

fn read_status(text: &str) -> Result<store::RunStatus> {
    let known = "`queued`, `running`, `stopping`, `succeeded`, `failed`, `cancelled`, \
                 `timed_out`, `skipped` or `quarantined`";
    word(text, "/status", known)
}

/// Reads an id; what is none is the id of no run.
pub(super) fn run_id(text: &str) -> Result<RunId> {
    RunId::parse(text).ok_or_else(|| {
        Problem::new(&codes::RUN_NOT_FOUND, format!("there is no run `{text}`")).arg("run", text)
    })
}

async fn detail(
    access: Access<RunRead>,
    InPath(path): InPath<RunPath>,
) -> Result<Answer<RunDetail>> {
    let runs = access.workspace.runs();
    let detail = runs.detail(&run_id(&path.run)?).await?;
    let plan = runs.plan(&detail.run.plan).await?;
    let nodes = detail.nodes.into_iter().map(|node| NodeRun {
        node: node.node,
        rows_in: node.report.rows_in,
        rows_out: node.report.rows_out,
        rejects: node.report.rejects,
        elapsed_ms: node.report.elapsed_ms,
    });
    let name = |task: i64| {
        let task = usize::try_from(task).ok().and_then(|task| plan.tasks.get(task));
        task.map(|task| task.id.clone()).unwrap_or_default()
    };
    let attempts = detail.attempts.into_iter().map(|attempt| Attempt {
        task: name(attempt.task),
        number: attempt.number,
        started_at_us: attempt.started_at_us,
        ended_at_us: attempt.ended_at_us,
        end: attempt.end.map(|end| text_of(&end)),
        problem: attempt.problem.as_ref().map(refusal::stored_body),
    });
    Ok(Answer(RunDetail {
        plan: detail.run.plan.clone(),
        tasks: tasks(&plan, &detail.tasks),
        run: shown(detail.run),
        nodes: nodes.collect(),
        attempts: attempts.collect(),
    }))
}

/// The tasks of a plan, with how far each is.
fn tasks(plan: &Plan, rows: &[store::Task]) -> Vec<TaskRun> {
    let row = |place: usize| {
        rows.iter().find(|row| usize::try_from(row.number).is_ok_and(|number| number == place))
    };
    let shown = plan.tasks.iter().enumerate().map(|(place, task)| {
        let row = row(place);
        let state = row.and_then(|row| serde_json::from_value(row.state.0.clone()).ok());
        let parents = task.parents.iter().map(|parent| {
            let of = plan.tasks.get(parent.task as usize).map(|of| of.id.clone());
            let of = of.unwrap_or_default();
            match &parent.branch {
                Some(branch) => format!("{of}.{branch}"),
                None => of,
            }
        });
        TaskRun {
            name: task.id.clone(),
            module: match &task.work {
                Work::Data => None,
                Work::Action { module, .. } => Some(module.clone()),
            },
            after: parents.collect(),
            state: state_word(state),
            started_at_us: row.and_then(|row| row.started_at_us),
            ended_at_us: row.and_then(|row| row.ended_at_us),
            output: row.and_then(|row| row.output.clone()).map(|output| output.0),
            question: row.and_then(|row| row.question.clone()).map(|question| question.0),
            problem: row
                .and_then(|row| row.problem.as_ref())
                .map(|problem| refusal::stored_body(&problem.0)),
        }
    });
    shown.collect()
}

fn state_word(state: Option<NodeState>) -> String {
    let word = match state {
        None | Some(NodeState::Waiting) => "waiting",
        Some(NodeState::Ready { .. }) => "ready",
        Some(NodeState::Resting { .. }) => "resting",
        Some(NodeState::Leased(_)) => "leased",
        Some(NodeState::Asking { .. }) => "asking",
        Some(NodeState::Ended { end }) => match end {
            NodeEnd::Succeeded => "succeeded",
            NodeEnd::Failed => "failed",
            NodeEnd::Skipped => "skipped",
            NodeEnd::Cancelled => "cancelled",
            NodeEnd::Quarantined => "quarantined",
        },
    };
    word.to_owned()
}

/// The word of an enumeration.
fn text_of(word: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(word).unwrap_or(Value::Null);
    value.as_str().unwrap_or_default().to_owned()
}

async fn logs(
    access: Access<RunRead>,
    (InPath(path), InQuery(query)): (InPath<RunPath>, InQuery<LogQuery>),
) -> Result<Answer<LogPage>> {
    let run = run_id(&path.run)?;
    let filter = LogFilter { node: query.node, levels: levels(query.level)?, text: query.search };
    let page = PageQuery { limit: query.limit, after: query.after };
    let runs = access.workspace.runs();
    let found = runs.log(&run, &filter, page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(LogPage {
        items: found.items.into_iter().map(shown_line).collect(),
        next: found.next,
    }))
}

/// The levels from `least` on.
fn levels(least: Option<String>) -> Result<Vec<LogLevel>> {
    let Some(least) = least else { return Ok(Vec::new()) };
    let least: LogLevel = word(&least, "/level", "`debug`, `info`, `warn` or `error`")?;
    let all = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    Ok(all.into_iter().skip_while(|level| *level != least).collect())
}

/// A run as the interface shows it.
pub(super) fn shown(run: store::Run) -> Run {
    let problem: Option<&StoredProblem> = run.problem.as_ref();
    Run {
        id: run.id.to_string(),
        pipeline: run.pipeline,
        status: status(run.status),
        started_by: text_of(&run.started_by),
        source: run.source_id,
        interval_us: run.interval_us,
        params: run.params,
        created_at_us: run.created_at_us,
        started_at_us: run.started_at_us,
        ended_at_us: run.ended_at_us,
        rows_in: run.rows_in,
        rows_out: run.rows_out,
        rows_rejected: run.rows_rejected,
        problem: problem.map(refusal::stored_body),
    }
}

fn status(status: store::RunStatus) -> RunStatus {
    match status {
        store::RunStatus::Queued => RunStatus::Queued,
        store::RunStatus::Running => RunStatus::Running,
        store::RunStatus::Stopping => RunStatus::Stopping,
        store::RunStatus::Succeeded => RunStatus::Succeeded,
        store::RunStatus::Failed => RunStatus::Failed,
        store::RunStatus::Cancelled => RunStatus::Cancelled,
        store::RunStatus::TimedOut => RunStatus::TimedOut,
        store::RunStatus::Skipped => RunStatus::Skipped,
        store::RunStatus::Quarantined => RunStatus::Quarantined,
    }
}

/// A line as the interface shows it.
pub(super) fn shown_line(line: store::LogLine) -> LogLine {
    LogLine {
        seq: line.seq,
        node: line.node,
        at_us: line.at_us,
        level: text_of(&line.level),
        message: line.message,
        fields: line.fields,
    }
}
