//! Handlers, one file per kind of thing. All routes are made here.

mod alerts;
mod apply;
mod audit;
mod auth;
mod connections;
mod definitions;
mod health;
mod keys;
mod live;
mod members;
pub(crate) mod metrics;
mod modules;
mod notifications;
mod pages;
mod preview;
mod query;
mod quotas;
mod runs;
mod schedules;
mod secrets;
mod sessions;
mod socket;
mod tables;
mod uploads;
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
        audit::routes(),
        connections::routes(),
        secrets::routes(),
        uploads::routes(),
        quotas::routes(),
        runs::routes(),
        schedules::routes(),
        socket::routes(),
        query::routes(),
        tables::routes(),
        definitions::routes(),
        apply::routes(),
        preview::routes(),
        modules::routes(),
        alerts::routes(),
        metrics::routes(),
        notifications::routes(),
    ];
    families.into_iter().flatten().collect()
}
