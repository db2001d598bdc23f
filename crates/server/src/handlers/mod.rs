//! Handlers, one file per kind of thing. All routes are made here.

mod auth;
mod health;
mod keys;
mod members;
mod pages;
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
    ];
    families.into_iter().flatten().collect()
}
