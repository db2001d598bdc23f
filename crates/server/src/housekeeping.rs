//! What has to be done now and then, whoever is signed in.

use crate::app::App;
use model::Result;
use std::time::Duration;
use store::CleanedUp;
use tokio::sync::watch;

const EVERY: Duration = Duration::from_secs(3600);

/// Cleans up once an hour until `stopped` becomes true.
pub async fn keep_house(app: App, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        match tidy(&app).await {
            Ok(cleaned) => tracing::debug!(?cleaned, "cleaned up"),
            Err(problem) => tracing::warn!(%problem, "cannot clean up; it is tried in an hour"),
        }
    }
}

/// Closes segments of the audit trail, then removes what is older than it is kept.
pub(crate) async fn tidy(app: &App) -> Result<CleanedUp> {
    let now_us = app.now_us();
    app.auditor.close_segments(&app.store, now_us).await?;
    app.store.clean_up(now_us).await
}
