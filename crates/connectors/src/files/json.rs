//! `json`: rows from JSON files: lines, lists, documents with a path, GeoJSON.

use super::config::FileConfig;
use super::source::{FileFormat, FileSource};
use contracts::{Batches, Example, Source, SourceModule};
use formats::file::{InputFile, ReadOptions};
use formats::json;
use model::{DataType, Problem, Result, codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const DEPTH_MAX: usize = 32;

/// Options of JSON files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What stands in the files.
    layout: Layout,
    /// The path to the rows in a document, such as `$.data.items[*]`.
    record_path: Option<String>,
    /// Down to this level objects become columns (`customer.id` becomes `customer_id`); deeper
    /// ones stay JSON texts.
    #[schemars(range(min = 1, max = 32))]
    depth: usize,
    /// Where the types of columns come from.
    types: Types,
    /// Types of columns by their path (`customer.id`), in place of what the values look like.
    columns: BTreeMap<String, DataType>,
    /// What GeoJSON geometries become.
    geometry: Geometry,
    /// What happens to a row in which a key occurs twice.
    duplicate_keys: DuplicateKeys,
    /// What happens to a row with a key that no row at the beginning of the files has.
    new_keys: NewKeys,
}

/// What stands in a file.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Layout {
    /// Found out from the beginning of the file.
    #[default]
    Auto,
    /// One value per line (NDJSON).
    Lines,
    /// One value: a list of rows, or an object.
    Document,
}

/// Where the types of columns come from.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Types {
    /// From what the values look like; no digit of a number is ever lost.
    #[default]
    Infer,
    /// Every value as text.
    Text,
}

/// What GeoJSON geometries become.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Geometry {
    /// Their JSON text.
    #[default]
    Json,
    /// Well-known binary, of type `geometry`.
    Wkb,
}

/// What happens to a row in which a key occurs twice.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DuplicateKeys {
    /// The last value counts.
    #[default]
    Last,
    /// The row is rejected.
    Reject,
}

/// What happens to a row with an unexpected key.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum NewKeys {
    /// The row is rejected, so that nothing is lost unseen.
    #[default]
    Reject,
    /// The key is left out.
    Ignore,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            record_path: None,
            depth: json::JsonOptions::default().depth,
            types: Types::default(),
            columns: BTreeMap::new(),
            geometry: Geometry::default(),
            duplicate_keys: DuplicateKeys::default(),
            new_keys: NewKeys::default(),
        }
    }
}

impl FileFormat for Options {
    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches> {
        let options = json::JsonOptions {
            layout: match self.layout {
                Layout::Auto => json::Layout::Auto,
                Layout::Lines => json::Layout::Lines,
                Layout::Document => json::Layout::Document,
            },
            path: self.record_path.clone(),
            depth: self.depth,
            types: match self.types {
                Types::Infer => json::Types::Infer,
                Types::Text => json::Types::Text,
            },
            columns: self.columns.clone(),
            geometry: match self.geometry {
                Geometry::Json => json::GeometryForm::Json,
                Geometry::Wkb => json::GeometryForm::Wkb,
            },
            duplicate_keys: match self.duplicate_keys {
                DuplicateKeys::Last => json::DuplicateKeys::Last,
                DuplicateKeys::Reject => json::DuplicateKeys::Reject,
            },
            new_keys: self.new_keys.to_format(),
        };
        json::open(files, &options, read)
    }

    fn check(&self) -> Result<()> {
        check_depth(self.depth)
    }
}

impl NewKeys {
    pub(super) fn to_format(self) -> json::NewKeys {
        match self {
            Self::Reject => json::NewKeys::Reject,
            Self::Ignore => json::NewKeys::Ignore,
        }
    }
}

/// Refuses depths that nobody can mean.
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if (1..=DEPTH_MAX).contains(&depth) {
        return Ok(());
    }
    Err(Problem::new(
        &codes::SETTING_INVALID,
        format!("`depth` is {depth}, not between 1 and {DEPTH_MAX}"),
    )
    .in_setting("/depth")
    .hint("write `depth: 1` to keep every nested object as a JSON text"))
}

/// The module.
pub struct Json;

impl SourceModule for Json {
    type Config = FileConfig<Options>;
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "Read JSON files: lines, lists, documents, GeoJSON.";
    const REJECTS: bool = true;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "one object per line",
            config: r#"{"path": "events.ndjson"}"#,
            inputs: &[(
                "events.ndjson",
                "{\"id\": 1, \"user\": {\"name\": \"Ada\"}}\n{\"id\": 2}\n",
            )],
            outputs: &[(
                "out",
                "{\"id\": 1, \"user_name\": \"Ada\", \"_file\": \"events.ndjson\", \"_row\": 1}\n\
                 {\"id\": 2, \"user_name\": null, \"_file\": \"events.ndjson\", \"_row\": 2}",
            )],
        },
        Example {
            title: "the rows are inside of a document",
            config: r#"{"path": "answer.json", "record_path": "$.data.items[*]"}"#,
            inputs: &[("answer.json", "{\"data\": {\"items\": [{\"id\": 7}, {\"id\": 8}]}}")],
            outputs: &[(
                "out",
                "{\"id\": 7, \"_file\": \"answer.json\", \"_row\": 1}\n\
                 {\"id\": 8, \"_file\": \"answer.json\", \"_row\": 2}",
            )],
        },
    ];

    fn build(config: Self::Config) -> Result<Box<dyn Source>> {
        FileSource::build(config)
    }
}
