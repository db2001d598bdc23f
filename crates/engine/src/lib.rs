//! Runs one pipeline: plans stages, shares streams out, routes rejects, commits exactly once.

mod blocks;
pub mod compile;
mod execute;
mod fan_out;
pub mod graph;
pub mod journal;
mod origin;
pub mod outline;
pub mod progress;
pub mod project;
mod queue;
pub mod registry;
mod rejects;
mod route;
pub mod run;
mod seen;
mod spool;
mod stage;
pub mod trial;
