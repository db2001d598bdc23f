//! Messy files to batches and batches to files.

mod batch;
pub mod compression;
pub mod csv;
pub mod encoding;
pub mod file;
mod geojson;
mod input;
pub mod json;
pub mod parquet;
mod scalar;
#[cfg(test)]
mod testing;
pub mod write;
