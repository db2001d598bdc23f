//! The live stream of a run. What counts is read from the database, so that a client that comes
//! back misses nothing; the server only says when to look.

use super::runs::{run_id, shown, shown_line};
use crate::access::Access;
use crate::app::App;
use crate::input::{InPath, InQuery, Resumed};
use api::permission::RunRead;
use api::runs::{LiveEvent, LiveQuery, NodeCounts, Run, RunPath};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use model::Result;
use model::run::RunId;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use store::{InWorkspace, LogFilter, Runs};
use tokio::sync::watch;

const LINES_PER_LOOK: u64 = 200;
/// Without news the database is looked at so often: another server may have taken the run on.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A stream ends after so long, and its client comes back with what it has: then it is looked once
/// more whether it may.
const STREAM_LIVES: Duration = Duration::from_secs(45);

/// A client that follows a run.
pub(super) struct Follower {
    runs: Runs,
    run: RunId,
    pub(super) now: watch::Receiver<crate::runs::Now>,
    /// Lines that the client has.
    lines: u64,
    /// How far the run was when the client was last told.
    told: Option<Run>,
    counts: crate::runs::Counts,
    /// What the client is told next, with the number of the line of the log that it is.
    pub(super) ready: VecDeque<(Option<u64>, LiveEvent)>,
    pub(super) is_over: bool,
    ends_at: Instant,
}

pub(super) async fn live(
    access: Access<RunRead>,
    Resumed { last_event, input: (InPath(path), InQuery(query)) }: Resumed<(
        InPath<RunPath>,
        InQuery<LiveQuery>,
    )>,
) -> Result<Response> {
    let after = last_event.or(query.after);
    let follower = Follower::new(&access.app, &access.workspace, &path.run, after).await?;
    Ok(Sse::new(follow(follower)).keep_alive(KeepAlive::default()).into_response())
}

fn follow(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follower, |mut follower| async move {
        loop {
            if let Some((line, about)) = follower.ready.pop_front() {
                let event = Event::default();
                let event = match line {
                    Some(line) => event.id(line.to_string()),
                    None => event,
                };
                let Ok(event) = event.json_data(&about) else { return None };
                return Some((Ok(event), follower));
            }
            if follower.is_over || Instant::now() >= follower.ends_at {
                return None;
            }
            follower.now.mark_unchanged();
            if let Err(problem) = follower.look().await {
                tracing::warn!(%problem, "a live stream breaks off");
                return None;
            }
            if follower.ready.is_empty() {
                let _ = tokio::time::timeout(LOOK_EVERY, follower.now.changed()).await;
            }
        }
    })
}

impl Follower {
    /// Of a run, after the line `after` of its log. A run that is not there is a refusal, not an
    /// empty stream.
    pub(super) async fn new(
        app: &App,
        workspace: &InWorkspace,
        run: &str,
        after: Option<u64>,
    ) -> Result<Self> {
        let run = run_id(run)?;
        let runs = workspace.runs();
        let now = app.live.watch(&run);
        runs.get(&run).await?;
        Ok(Self {
            runs,
            run,
            now,
            lines: after.unwrap_or(0),
            told: None,
            counts: Vec::new(),
            ready: VecDeque::new(),
            is_over: false,
            ends_at: Instant::now() + STREAM_LIVES,
        })
    }

    /// Reads what is new. The run is read before its log, so that the last lines come before the
    /// last event.
    pub(super) async fn look(&mut self) -> Result<()> {
        let run = self.runs.get(&self.run).await?;
        let after = self.lines.to_string();
        let all = LogFilter::default();
        let page = self.runs.log(&self.run, &all, Some(&after), LINES_PER_LOOK).await?;
        let has_more = page.next.is_some();
        for line in page.items {
            self.lines += 1;
            self.ready.push_back((Some(self.lines), LiveEvent::Log(shown_line(line))));
        }
        let counts = self.now.borrow().counts.clone();
        if counts != self.counts {
            let nodes = counts.iter().map(|(node, rows_out, rejects)| NodeCounts {
                node: node.to_string(),
                rows_out: *rows_out,
                rejects: *rejects,
            });
            self.ready.push_back((None, LiveEvent::Counts { nodes: nodes.collect() }));
            self.counts = counts;
        }
        let is_over = run.status.is_final();
        let run = shown(run);
        if !has_more && self.told.as_ref() != Some(&run) {
            self.ready.push_back((None, LiveEvent::Run(Box::new(run.clone()))));
            self.told = Some(run);
            self.is_over = is_over;
        }
        Ok(())
    }
}
