//! The live stream of a run. What counts is read from the database, so that a client that comes
//! back misses nothing; the server only says when to look.

use super::runs::{run_id, shown, shown_line};
use crate::access::Access;
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
use store::{LogFilter, Runs};
use tokio::sync::watch;

const LINES_PER_LOOK: u64 = 200;
/// Without news the database is looked at so often: another server may have taken the run on.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A stream ends after so long, and its client comes back with what it has: then it is looked once
/// more whether it may.
const STREAM_LIVES: Duration = Duration::from_secs(45);

/// A client that follows a run.
struct Follower {
    runs: Runs,
    run: RunId,
    now: watch::Receiver<crate::runs::Now>,
    /// Lines that the client has.
    lines: u64,
    /// How far the run was when the client was last told.
    told: Option<Run>,
    counts: crate::runs::Counts,
    ready: VecDeque<Event>,
    is_over: bool,
    ends_at: Instant,
}

pub(super) async fn live(
    access: Access<RunRead>,
    Resumed { last_event, input: (InPath(path), InQuery(query)) }: Resumed<(
        InPath<RunPath>,
        InQuery<LiveQuery>,
    )>,
) -> Result<Response> {
    let run = run_id(&path.run)?;
    let runs = access.workspace.runs();
    let now = access.app.live.watch(&run);
    // A run that is not there is a refusal, not an empty stream.
    runs.get(&run).await?;
    let follower = Follower {
        runs,
        run,
        now,
        lines: last_event.or(query.after).unwrap_or(0),
        told: None,
        counts: Vec::new(),
        ready: VecDeque::new(),
        is_over: false,
        ends_at: Instant::now() + STREAM_LIVES,
    };
    Ok(Sse::new(follow(follower)).keep_alive(KeepAlive::default()).into_response())
}

fn follow(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follower, |mut follower| async move {
        loop {
            if let Some(event) = follower.ready.pop_front() {
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
    /// Reads what is new. The run is read before its log, so that the last lines come before the
    /// last event.
    async fn look(&mut self) -> Result<()> {
        let run = self.runs.get(&self.run).await?;
        let after = self.lines.to_string();
        let all = LogFilter::default();
        let page = self.runs.log(&self.run, &all, Some(&after), LINES_PER_LOOK).await?;
        let has_more = page.next.is_some();
        for line in page.items {
            self.lines += 1;
            let event = LiveEvent::Log(shown_line(line));
            self.push(Event::default().id(self.lines.to_string()), &event);
        }
        let counts = self.now.borrow().counts.clone();
        if counts != self.counts {
            let nodes = counts.iter().map(|(node, rows_out, rejects)| NodeCounts {
                node: node.to_string(),
                rows_out: *rows_out,
                rejects: *rejects,
            });
            let event = LiveEvent::Counts { nodes: nodes.collect() };
            self.push(Event::default(), &event);
            self.counts = counts;
        }
        let is_over = run.status.is_final();
        let run = shown(run);
        if !has_more && self.told.as_ref() != Some(&run) {
            self.push(Event::default(), &LiveEvent::Run(run.clone()));
            self.told = Some(run);
            self.is_over = is_over;
        }
        Ok(())
    }

    fn push(&mut self, event: Event, about: &LiveEvent) {
        if let Ok(event) = event.json_data(about) {
            self.ready.push_back(event);
        }
    }
}
