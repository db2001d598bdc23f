//! Gives runs that wait to runners, and takes them back from those that are lost.

use super::attempt::attempt;
use crate::app::App;
use model::{Problem, Result};
use std::collections::HashSet;
use std::time::Duration;
use store::{Run, WorkspaceId};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Without news the dispatcher looks so often whether a lease is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Runs that are looked at to find one that can begin.
const LOOK_AT_MAX: u64 = 500;

/// What only one run at a time works on.
type Place = (WorkspaceId, String);

/// Works until `stop` says so; runs at work are then let go, and resumed by the next server.
pub async fn dispatch(app: App, mut stop: watch::Receiver<bool>) {
    let mut working: JoinSet<Place> = JoinSet::new();
    let mut taken: HashSet<Place> = HashSet::new();
    loop {
        if let Err(problem) = give_out(&app, &mut working, &mut taken).await {
            tracing::error!(%problem, "runs cannot be given out; trying again");
        }
        tokio::select! {
            Some(ended) = working.join_next() => free(ended, &mut taken),
            () = app.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    working.shutdown().await;
}

fn free(ended: std::result::Result<Place, tokio::task::JoinError>, taken: &mut HashSet<Place>) {
    match ended {
        Ok(place) => drop(taken.remove(&place)),
        Err(error) => tracing::error!(%error, "an attempt of a run broke off"),
    }
}

async fn give_out(
    app: &App,
    working: &mut JoinSet<Place>,
    taken: &mut HashSet<Place>,
) -> Result<(), Problem> {
    for run in app.store.queue().reclaim(app.now_us()).await? {
        tracing::warn!(run = %run.id, "the worker of a run is lost");
        app.live.changed(&run.id);
    }
    if working.len() >= app.runs_at_once {
        return Ok(());
    }
    for run in app.store.queue().waiting(LOOK_AT_MAX).await? {
        let place = place(&run);
        if working.len() < app.runs_at_once && taken.insert(place.clone()) {
            let app = app.clone();
            working.spawn(async move {
                attempt(&app, run).await;
                place
            });
        }
    }
    Ok(())
}

/// Runs of one pipeline come one after the other.
fn place(run: &Run) -> Place {
    (run.workspace_id.clone(), run.pipeline.clone())
}
