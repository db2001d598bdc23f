//! Whether the server is alive, and able to work.

use crate::access::Anybody;
use crate::output::{Answer, Done};
use crate::route::Route;
use api::health::SchedulerHealth;
use axum::http::Method;
use model::{Problem, Result, codes};

/// A scheduler that has taken no turn for so long, or is so late, is stuck.
const STUCK_MS: u64 = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/healthz", "Whether the server answers.", alive),
        Route::new(Method::GET, "/readyz", "Whether the metadata database answers, too.", ready),
        Route::new(
            Method::GET,
            "/healthz/scheduler",
            "Whether the scheduler goes on: 503 when it leads and is stuck.",
            scheduler,
        ),
    ]
}

async fn alive(_: Anybody, (): ()) -> Result<Done> {
    Ok(Done)
}

async fn ready(anybody: Anybody, (): ()) -> Result<Done> {
    anybody.app.store.ping().await?;
    Ok(Done)
}

async fn scheduler(anybody: Anybody, (): ()) -> Result<Answer<SchedulerHealth>> {
    let app = &anybody.app;
    let progress = *app.progress.borrow();
    let ms = |us: i64| u64::try_from(us / 1000).unwrap_or(0);
    let turned = progress.turned.map(|at| at.elapsed().as_millis());
    let health = SchedulerHealth {
        leads: *app.leads.borrow(),
        turned_ms_ago: turned.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        overdue_ms: ms(progress.overdue_us),
        waiting: progress.waiting,
        oldest_ms: ms(progress.oldest_us),
    };
    let is_stuck = health.overdue_ms > STUCK_MS || health.turned_ms_ago > Some(STUCK_MS);
    if health.leads && is_stuck {
        let fact = "the scheduler has not gone on for a while";
        return Err(Problem::new(&codes::STORE_FAILED, fact)
            .arg("overdue_ms", health.overdue_ms)
            .hint("look at its log and at the metadata database; a restart loses nothing"));
    }
    Ok(Answer(health))
}
