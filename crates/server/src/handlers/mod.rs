//! Handlers, one file per kind of thing. All routes are made here.

mod auth;
mod health;
mod keys;
mod live;
mod members;
mod pages;
mod runs;
mod sessions;
mod users;
mod workspaces;

use crate::route::Route;

/// All routes.
pub(crate) fn routes() -> Vec<Route> {
    let families = [
        health::routes(),
        pages::routes(),
        auth::routes(),
        sessions::routes(),
        users::routes(),
        workspaces::routes(),
        members::routes(),
        keys::routes(),
        runs::routes(),
    ];
    families.into_iter().flatten().collect()
}
