//! Rows into files: CSV, NDJSON, JSON, Parquet, XLSX, all behind one trait.

pub(crate) mod cells;
