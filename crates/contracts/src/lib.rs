//! What a module is and what a service is: the traits that the crates above meet through.
//!
//! Only Arrow and our own types cross these traits.

pub mod action;
pub mod arrow_types;
pub mod batches;
mod brackets;
pub mod context;
pub mod function;
pub mod journal;
pub mod module;
pub mod operator;
pub mod query;
pub mod rejects;
pub mod relational;
pub mod rows;
pub mod settings;
pub mod sink;
pub mod source;
pub mod sql;
pub mod table;
pub mod testing;

pub use action::{Action, ActionModule};
pub use batches::{BatchStream, Batches};
pub use context::Context;
pub use module::{Build, Entry, Example, InputPorts, Kind, RowLaw};
pub use operator::{Operator, OperatorModule, OperatorRequest};
pub use query::{ParamValue, PlanInput, PlanRequest, Planned, QueryEngine, RowCounter, Step};
pub use rejects::{Reject, RejectError, RejectSink};
pub use relational::{Check, Inputs, NamedInput, Relation, Relational, Routing, Severity};
pub use sink::{Prepared, Sink, SinkModule, SinkRequest, Target};
pub use source::{Discovery, Past, ReadRequest, Source, SourceModule};
pub use sql::{Expr, Sql};
pub use table::{TableInfo, TableStore, TableWrite, WriteMode};
