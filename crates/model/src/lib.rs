//! The words of the project: names, types, problems and stored documents.

pub mod codes;
pub mod connection;
pub mod name;
pub mod notice;
pub mod pipeline;
pub mod plan;
pub mod problem;
pub mod project;
pub mod role;
pub mod run;
pub mod secret;
pub mod span;
pub mod test;
pub mod types;
pub mod yaml;

pub use name::{Name, TableName, lake_column_names};
pub use problem::{Code, Fault, Problem, Result};
pub use role::Role;
pub use secret::Secret;
pub use span::Span;
pub use types::DataType;
