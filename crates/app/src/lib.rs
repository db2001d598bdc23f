//! The `affluent` program: command line, configuration, and the wiring of everything below.

mod ad_hoc;
pub mod allocator;
mod backup;
pub mod cli;
mod client;
pub mod commands;
pub mod demo;
mod live;
pub mod logging;
mod metadata;
mod output;
pub mod panics;
mod plans;
mod runner;
pub mod selection;
mod variables;
pub mod workbench;
mod workspace;

pub use commands::execute;
pub use output::{ExitCode, Output};
