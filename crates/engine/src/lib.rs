//! Runs one pipeline: plans stages, shares streams out, routes rejects, commits exactly once.

mod attempt;
mod blocks;
mod commit;
pub mod compile;
mod execute;
mod fan_out;
pub mod graph;
mod history;
pub mod journal;
mod origin;
pub mod outline;
pub mod params;
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
