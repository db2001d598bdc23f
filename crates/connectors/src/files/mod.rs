//! Files in and files out.

mod config;
pub mod csv;
mod discover;
mod find;
pub mod json;
mod landing;
mod output;
pub mod parquet;
#[cfg(test)]
mod remote_tests;
mod source;
#[cfg(test)]
mod tests;

use contracts::Entry;

pub use config::{FileConfig, Land, ReadMode};

/// The modules of this family.
pub const ALL: &[Entry] = &[
    Entry::source::<csv::Csv>(),
    Entry::source::<json::Json>(),
    Entry::source::<parquet::Parquet>(),
];
