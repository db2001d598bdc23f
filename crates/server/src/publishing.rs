//! Documents that were saved become the pipelines that run.
//!
//! Runs consist of plans, not of documents. Whenever documents of a workspace have changed, a desk
//! plans them once more; documents that are not right together change nothing, and what was
//! planned last goes on.

use crate::app::App;
use crate::desk::{PipelinePlan, PlansQuestion, Question};
use crate::{documents, orchestrator};
use model::{Name, Result, codes};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{NewPipeline, WorkspaceId};
use tokio::sync::{Notify, watch};

/// Another server may have saved something; and what could not be done is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Workspaces whose documents have changed.
#[derive(Debug, Default)]
pub(crate) struct Unpublished {
    workspaces: Mutex<BTreeSet<WorkspaceId>>,
    wake: Notify,
}

impl Unpublished {
    fn add(&self, workspaces: impl IntoIterator<Item = WorkspaceId>) {
        self.put_back(workspaces);
        self.wake.notify_one();
    }

    /// Keeps workspaces for the next look, which does not come sooner because of them.
    fn put_back(&self, workspaces: impl IntoIterator<Item = WorkspaceId>) {
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).extend(workspaces);
    }

    fn take(&self) -> BTreeSet<WorkspaceId> {
        std::mem::take(&mut *self.workspaces.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl App {
    /// Documents of a workspace have changed: they become what runs, and go into its folder.
    pub(crate) fn documents_changed(&self, workspace: &WorkspaceId) {
        self.unpublished.add([workspace.clone()]);
        self.folder.look();
    }
}

/// Publishes documents whenever they have changed, until `stop` says so.
pub async fn publish_documents(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        let mut left = Vec::new();
        for workspace in app.unpublished.take() {
            if let Err(problem) = publish(&app, &workspace).await {
                tracing::warn!(%workspace, %problem, "documents of a workspace were not published");
                if problem.code().retry {
                    left.push(workspace);
                }
            }
        }
        let is_all = left.is_empty();
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = app.unpublished.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {
                if is_all {
                    left = everybody(&app).await;
                }
            }
        }
        app.unpublished.put_back(left);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn everybody(app: &App) -> Vec<WorkspaceId> {
    let all = app.store.workspaces().list().await.unwrap_or_default();
    all.into_iter().map(|workspace| workspace.id).collect()
}

async fn publish(app: &App, id: &WorkspaceId) -> Result<()> {
    let workspace = app.store.workspace(id);
    let about = match workspace.get().await {
        // It was deleted in the meantime.
        Err(problem) if problem.is(&codes::NOT_FOUND) => return Ok(()),
        found => found?,
    };
    let Some(documents) = documents::current(&workspace.definitions()).await? else {
        return Ok(());
    };
    let question = Question::Plans(PlansQuestion { documents });
    let plans: Vec<PipelinePlan> =
        app.desk.ask(&Name::new(&about.slug)?, question).await?.read()?;
    let pipelines = plans.into_iter().map(|planned| NewPipeline {
        plan: planned.plan,
        description: planned.description,
        tags: planned.tags,
    });
    orchestrator::publish(app, id, pipelines.collect()).await
}
