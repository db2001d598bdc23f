//! `DataFusion` behind our traits: plans and runs SQL over streams and lake tables.

mod at_version;
mod compact;
mod count;
mod engine;
mod functions;
mod keep_first;
mod lineage;
mod pass_through;
mod planned;
mod problems;
mod session;
mod stream_table;

pub use engine::{DataFusionEngine, LakeTables, Provider};
