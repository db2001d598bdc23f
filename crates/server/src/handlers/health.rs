//! Whether the server is alive, and able to work.

use crate::access::Anybody;
use crate::output::Done;
use crate::route::Route;
use axum::http::Method;
use model::Result;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/healthz", "Whether the server answers.", alive),
        Route::new(Method::GET, "/readyz", "Whether the metadata database answers, too.", ready),
    ]
}

async fn alive(_: Anybody, (): ()) -> Result<Done> {
    Ok(Done)
}

async fn ready(anybody: Anybody, (): ()) -> Result<Done> {
    anybody.app.store.ping().await?;
    Ok(Done)
}
