//! What a browser sees before the studio is there, and the description of the interface.

use crate::access::{Anybody, SignedIn};
use crate::route::Route;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use model::Result;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/", "A page that says where things are.", home),
        Route::new(
            Method::GET,
            "/api/v1/openapi.json",
            "The description of this interface (OpenAPI 3.1).",
            description,
        ),
    ]
}

async fn home(_: Anybody, (): ()) -> Result<Response> {
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], include_str!("home.html")).into_response())
}

async fn description(_: SignedIn, (): ()) -> Result<Response> {
    Ok(([(CONTENT_TYPE, "application/json")], crate::open_api()).into_response())
}
