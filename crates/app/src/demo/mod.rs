//! `affluent demo`: the sample project, its data, and the small service it reads its stock from.
//!
//! The order in which the command uses these: [`project::write`], [`generate::generate`],
//! [`stock_api::start`], then an ordinary run of the project.

pub mod generate;
pub mod project;
pub mod stock_api;
