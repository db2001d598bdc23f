//! Requests and responses of the HTTP interface, and who may send them.
//!
//! Everything here is plain data: the server answers with it, the command line and other programs
//! read it, and `openapi.json` is derived from it.

pub mod auth;
pub mod page;
pub mod people;
pub mod permission;
pub mod problem;
pub mod runs;
pub mod workspaces;
