//! `parquet`: rows from Parquet files.

use super::config::FileConfig;
use super::source::{FileFormat, FileSource};
use contracts::{Batches, Example, Source, SourceModule};
use formats::file::{InputFile, ReadOptions};
use formats::parquet;
use model::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of Parquet files.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The columns to read, by their names in the file or in the lake; all when not given.
    columns: Option<Vec<String>>,
}

impl FileFormat for Options {
    fn untrusted(&self) -> Option<(&'static str, serde_json::Result<serde_json::Value>)> {
        Some((Parquet::NAME, serde_json::to_value(self)))
    }

    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        let options = parquet::ParquetOptions { columns: self.columns.clone() };
        parquet::open(files, &options, read)
    }
}

/// The module.
pub struct Parquet;

impl SourceModule for Parquet {
    type Config = FileConfig<Options>;
    const NAME: &'static str = "parquet";
    const SUMMARY: &'static str = "Read Parquet files.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "every file of a folder",
            config: r#"{"path": "data/*.parquet"}"#,
            inputs: &[],
            outputs: &[],
        },
        Example {
            title: "two columns of a file in an object store",
            config: r#"{"path": "s3://lake/events.parquet", "connection": "lake",
                "columns": ["id", "at"]}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Self::Config) -> Result<Box<dyn Source>> {
        FileSource::build(config)
    }
}
