//! Files in and files out.

mod config;
mod discover;
mod find;
pub mod json;
mod landing;
mod output;
pub mod parquet;
mod source;
#[cfg(test)]
mod tests;

use contracts::Entry;

pub use config::{FileConfig, Land, ReadMode};

/// The modules of this family.
pub const ALL: &[Entry] = &[Entry::source::<json::Json>(), Entry::source::<parquet::Parquet>()];
