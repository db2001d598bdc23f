//! Gives runs that wait to runners, and takes them back from those that are lost.

use super::attempt::attempt;
use crate::app::App;
use model::{Problem, Result};
use std::collections::HashMap;
use std::time::Duration;
use store::{Run, WorkspaceId};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

/// Without news the dispatcher looks so often whether a lease is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Runs that are looked at to find one that can begin.
const LOOK_AT_MAX: u64 = 500;

/// What only one run at a time works on.
type Place = (WorkspaceId, String);
/// By the task that works there: whatever becomes of it, its place is free afterwards.
type Taken = HashMap<Id, Place>;

/// Works until `stop` says so; runs at work are then let go, and resumed by the next server.
pub async fn dispatch(app: App, mut stop: watch::Receiver<bool>) {
    let mut working = JoinSet::new();
    let mut taken = Taken::new();
    loop {
        if let Err(problem) = give_out(&app, &mut working, &mut taken).await {
            tracing::error!(%problem, "runs cannot be given out; trying again");
        }
        tokio::select! {
            Some(ended) = working.join_next_with_id() => {
                let id = ended.map_or_else(|broken| broken.id(), |(id, ())| id);
                taken.remove(&id);
            }
            () = app.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    working.shutdown().await;
}

async fn give_out(app: &App, working: &mut JoinSet<()>, taken: &mut Taken) -> Result<(), Problem> {
    for run in app.store.queue().reclaim(app.now_us()).await? {
        tracing::warn!(run = %run.id, "the worker of a run is lost");
        app.live.changed(&run.id);
    }
    if working.len() >= app.runs_at_once {
        return Ok(());
    }
    for run in app.store.queue().waiting(LOOK_AT_MAX).await? {
        let place = place(&run);
        if working.len() < app.runs_at_once && !taken.values().any(|taken| *taken == place) {
            let app = app.clone();
            let task = working.spawn(async move { attempt(&app, run).await });
            taken.insert(task.id(), place);
        }
    }
    Ok(())
}

/// Runs of one pipeline come one after the other.
fn place(run: &Run) -> Place {
    (run.workspace_id.clone(), run.pipeline.clone())
}
