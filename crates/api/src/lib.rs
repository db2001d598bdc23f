//! Requests and responses of the HTTP interface, and who may send them.
//!
//! Everything here is plain data: the server answers with it, the command line and other programs
//! read it, and `openapi.json` is derived from it.

pub mod alerts;
pub mod audit;
pub mod auth;
pub mod connections;
pub mod definitions;
pub mod health;
pub mod live;
pub mod modules;
pub mod page;
pub mod people;
pub mod permission;
pub mod problem;
pub mod query;
pub mod runs;
pub mod schedules;
pub mod secrets;
pub mod tables;
pub mod uploads;
pub mod workspaces;
