//! Messy files to batches and batches to files.

mod batch;
pub mod compression;
pub mod csv;
pub mod encoding;
pub mod excel;
pub mod file;
mod geojson;
mod input;
pub mod json;
mod markup;
pub mod parquet;
pub mod probe;
mod scalar;
#[cfg(test)]
mod testing;
pub mod write;
pub mod xml;
