//! Lake tables: `contracts::TableStore` over Delta Lake, on a local folder or on S3.
//!
//! Every byte of a local lake goes through [`DurableStore`]; every commit carries the run's key
//! and is looked up by it before anything is repeated.

mod balance;
mod commit;
mod constraints;
mod durable_store;
mod errors;
mod lake;
mod location;
mod log;
mod maintain;
mod merge;
mod parts;
mod plan;
mod pool;
mod prepare;
mod provider;
mod replace;
mod runtime;
mod schema;
mod sql;
mod staging;
mod statistics;
mod table;
mod values;
mod writer;

#[cfg(test)]
mod tests;

pub use durable_store::DurableStore;
pub use errors::from_datafusion;
pub use lake::{Lake, LakeConfig};
pub use location::Location;
pub use runtime::Runtime;
