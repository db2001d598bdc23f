//! Tests of lake tables, named by what they show.

mod concurrency;
pub(crate) mod durability;
mod faults;
mod maintenance;
mod merging;
mod reading;
mod s3;
mod support;
mod writing;
