//! Tests of lake tables, named by what they show.

pub(crate) mod durability;
mod support;
mod writing;
