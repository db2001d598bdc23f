//! What people learn of a server without asking it: messages, metrics, logs, traces.

pub mod channels;
pub mod logging;
pub mod metrics;

#[cfg(test)]
mod deploy_tests;
