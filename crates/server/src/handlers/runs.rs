//! Pipelines and their runs.

use super::live::live;
use crate::access::Access;
use crate::input::{Body, InPath, InQuery, Keyed};
use crate::output::{Accepted, Answer};
use crate::refusal;
use crate::route::Route;
use api::page::PageQuery;
use api::permission::{RunRead, RunStart, WorkspaceRead};
use api::runs::{
    Attempt, LogLine, LogPage, NodeRun, Pipeline, PipelinePath, Pipelines, Run, RunDetail, RunPage,
    RunPath, RunStatus, RunsQuery, StartRun,
};
use axum::http::Method;
use model::problem::StoredProblem;
use model::run::RunId;
use model::{Name, Problem, Result, codes};
use serde_json::Value;
use store::{NewRun, RunFilter, RunTrigger};

const RUNS: &str = "/api/v1/workspaces/{workspace}/runs";

pub(super) fn routes() -> Vec<Route> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/pipelines",
            "The pipelines.",
            pipelines,
        ),
        Route::new(
            post.clone(),
            "/api/v1/workspaces/{workspace}/pipelines/{pipeline}/runs",
            "Take a run on. Whatever dies after the answer, the run will be done. With the header \
             `Idempotency-Key` the same request twice means one run.",
            start,
        ),
        Route::new(get.clone(), RUNS, "Runs, the newest first.", list),
        Route::new(
            get.clone(),
            "/api/v1/workspaces/{workspace}/runs/{run}",
            "A run with what its nodes have done.",
            detail,
        ),
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
            post,
            "/api/v1/workspaces/{workspace}/runs/{run}/cancel",
            "Stop a run. What has committed stays; the rest is resumed by the next run.",
            cancel,
        ),
    ]
}

async fn pipelines(access: Access<WorkspaceRead>, (): ()) -> Result<Answer<Pipelines>> {
    let workspace = Name::new(&access.about.slug)?;
    let found = access.app.runner.pipelines(&workspace).await?;
    let items = found.into_iter().map(|pipeline| Pipeline {
        name: pipeline.name.to_string(),
        description: pipeline.description,
        tags: pipeline.tags,
    });
    Ok(Answer(Pipelines { items: items.collect() }))
}

async fn start(
    access: Access<RunStart>,
    Keyed { key, input: (InPath(path), Body(start)) }: Keyed<(
        InPath<PipelinePath>,
        Body<StartRun>,
    )>,
) -> Result<Accepted<Run>> {
    let app = &access.app;
    let workspace = Name::new(&access.about.slug)?;
    let known = app.runner.pipelines(&workspace).await?;
    let pipeline = known.into_iter().find(|known| known.name.as_str() == path.pipeline);
    let pipeline = pipeline.ok_or_else(|| {
        let fact = format!("there is no pipeline `{}`", path.pipeline);
        Problem::new(&codes::NAME_UNKNOWN, fact)
            .arg("pipeline", &path.pipeline)
            .hint("look it up in the list of pipelines of this workspace")
    })?;
    let by_key = access.caller.key.is_some();
    let now_us = app.now_us();
    let new = NewRun {
        id: RunId::generate(now_us),
        pipeline: pipeline.name,
        definition_version: None,
        started_by: if by_key { RunTrigger::Api } else { RunTrigger::Manual },
        triggered_by: Some(access.caller.user.id.clone()),
        source_id: None,
        params: Value::Object(start.params),
        interval_us: None,
        priority: 0,
        idempotency_key: key,
    };
    let run = access.workspace.runs().accept(new, now_us).await?;
    app.wake.notify_one();
    Ok(Accepted(shown(run)))
}

async fn list(
    access: Access<RunRead>,
    InQuery(query): InQuery<RunsQuery>,
) -> Result<Answer<RunPage>> {
    let pipeline = query.pipeline.as_deref().map(Name::new).transpose()?;
    let filter = RunFilter { pipeline, ..RunFilter::default() };
    let page = PageQuery { limit: query.limit, after: query.after };
    let runs = access.workspace.runs();
    let found = runs.list(&filter, page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(RunPage { items: found.items.into_iter().map(shown).collect(), next: found.next }))
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
    let detail = access.workspace.runs().detail(&run_id(&path.run)?).await?;
    let nodes = detail.nodes.into_iter().map(|node| NodeRun {
        node: node.node,
        rows_in: node.report.rows_in,
        rows_out: node.report.rows_out,
        rejects: node.report.rejects,
        elapsed_ms: node.report.elapsed_ms,
    });
    let attempts = detail.attempts.into_iter().map(|attempt| Attempt {
        number: attempt.number,
        started_at_us: attempt.started_at_us,
        ended_at_us: attempt.ended_at_us,
        problem: attempt.problem.as_ref().map(refusal::stored_body),
    });
    Ok(Answer(RunDetail {
        run: shown(detail.run),
        nodes: nodes.collect(),
        attempts: attempts.collect(),
    }))
}

async fn logs(
    access: Access<RunRead>,
    (InPath(path), InQuery(page)): (InPath<RunPath>, InQuery<PageQuery>),
) -> Result<Answer<LogPage>> {
    let run = run_id(&path.run)?;
    let runs = access.workspace.runs();
    let found = runs.log(&run, page.after.as_deref(), page.items_max()).await?;
    Ok(Answer(LogPage {
        items: found.items.into_iter().map(shown_line).collect(),
        next: found.next,
    }))
}

async fn cancel(access: Access<RunStart>, InPath(path): InPath<RunPath>) -> Result<Answer<Run>> {
    let run = run_id(&path.run)?;
    let run = access.workspace.runs().request_cancel(&run, access.app.now_us()).await?;
    access.app.live.changed(&run.id);
    Ok(Answer(shown(run)))
}

/// A run as the interface shows it.
pub(super) fn shown(run: store::Run) -> Run {
    let problem: Option<&StoredProblem> = run.problem.as_ref();
    Run {
        id: run.id.to_string(),
        pipeline: run.pipeline,
        status: status(run.status),
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
        store::RunStatus::Succeeded => RunStatus::Succeeded,
        store::RunStatus::Failed => RunStatus::Failed,
        store::RunStatus::Cancelled => RunStatus::Cancelled,
        store::RunStatus::Quarantined => RunStatus::Quarantined,
    }
}

/// A line as the interface shows it.
pub(super) fn shown_line(line: store::LogLine) -> LogLine {
    let level = match line.level {
        store::LogLevel::Debug => "debug",
        store::LogLevel::Info => "info",
        store::LogLevel::Warn => "warn",
        store::LogLevel::Error => "error",
    };
    LogLine {
        node: line.node,
        at_us: line.at_us,
        level: level.to_owned(),
        message: line.message,
        fields: line.fields,
    }
}
