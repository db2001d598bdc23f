//! `write_file`: rows into files, on this machine or in an object store.

use super::output::commit::FilesPrepared;
use super::output::format::{self, Compression, FileFormat, Format, Options, Quotes};
use super::output::manifest::Manifest;
use super::output::parts::{Job, write_all};
use super::output::place::{self, Place, Shape};
use super::output::split::Split;
use super::output::staging::Staging;
use crate::settings::Character;
use crate::storage::local::LocalStore;
use crate::storage::{FileStore, Scheme, blocking, open};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use contracts::settings::OneOrMany;
use contracts::{
    Batches, Context, Example, NamedInput, Prepared, Sink, SinkModule, SinkRequest, Target,
};
use model::run::Committed;
use model::{Name, Problem, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Settings of `write_file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to write. A file such as `out/report.csv` is replaced by each run; with `{run}` in
    /// its name each run writes a file of its own; a folder (`out/orders/`) gets new files from
    /// each run. `{date}` is the day on which the run began. `s3://bucket/key` needs a
    /// `connection`.
    #[schemars(extend("x-widget" = "path"))]
    path: String,
    /// For `s3://` paths: the connection to use.
    #[serde(default)]
    connection: Option<Name>,
    /// The format; known by the ending of the path when not given.
    #[serde(default)]
    format: Option<Format>,
    /// Columns whose values name folders below `path`: `day=2026-01-31/`. They are not written
    /// into the files.
    #[serde(default)]
    partition_by: OneOrMany,
    /// Begin another file after so many rows; `path` is then a folder.
    #[serde(default)]
    #[schemars(range(min = 1))]
    rows_per_file: Option<u64>,
    /// Whether the files of a run take the place of those of earlier runs.
    #[serde(default)]
    replace: bool,
    /// Compression of text formats; known by an ending such as `.csv.gz` when not given.
    #[serde(default)]
    compression: Option<Compression>,
    /// For `csv`: the character between values, such as `;` or `tab`.
    #[serde(default)]
    delimiter: Option<Character>,
    /// For `csv`: the character around values; inside of them it is doubled.
    #[serde(default)]
    quote: Option<Character>,
    /// For `csv`: which values stand in quotes.
    #[serde(default)]
    quotes: Option<Quotes>,
    /// For `csv` and `xlsx`: whether the first row has the names of the columns.
    #[serde(default)]
    header: Option<bool>,
    /// For `csv`: what is written for a missing value.
    #[serde(default)]
    null: Option<String>,
    /// For `csv`: whether numbers have a comma before their decimals.
    #[serde(default)]
    decimal_comma: Option<bool>,
    /// For `csv`: whether lines end as Windows has them.
    #[serde(default)]
    crlf: Option<bool>,
    /// For `csv`: whether texts that a spreadsheet would run as a formula get a `'` in front.
    #[serde(default)]
    neutralize_formulas: Option<bool>,
    /// For `csv`: the character encoding, such as `windows-1252`.
    #[serde(default)]
    encoding: Option<String>,
    /// For `csv`: whether a byte order mark comes first, by which Excel knows UTF-8.
    #[serde(default)]
    byte_order_mark: Option<bool>,
    /// For `xlsx`: the name of the sheet.
    #[serde(default)]
    sheet: Option<String>,
    /// For `parquet`: from 1 (fast) to 22 (small).
    #[serde(default)]
    zstd_level: Option<i32>,
}

/// The module.
pub struct WriteFile;

impl SinkModule for WriteFile {
    type Config = Config;
    const NAME: &'static str = "write_file";
    const SUMMARY: &'static str = "Write CSV, JSON, Parquet or Excel files, here or to S3.";
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "a report that each run replaces",
            config: r#"{"path": "out/report.csv"}"#,
            inputs: &[("in", "{\"id\": 1, \"name\": \"Ada\"}\n{\"id\": 2, \"name\": null}")],
            outputs: &[("out/report.csv", "id,name\n1,Ada\n2,\n")],
        },
        Example {
            title: "a folder of lines per day, to which each run adds",
            config: r#"{"path": "out/events/", "format": "ndjson", "partition_by": "day"}"#,
            inputs: &[("in", "{\"day\": \"2026-01-31\", \"id\": 1}")],
            outputs: &[],
        },
        Example {
            title: "one file per run in an object store",
            config: r#"{"path": "s3://lake/orders-{date}-{run}.parquet", "connection": "lake"}"#,
            inputs: &[],
            outputs: &[],
        },
    ];

    fn build(config: Config) -> Result<Box<dyn Sink>> {
        place::check(&config.path)?;
        let (told, told_compression) = format::from_path(&config.path);
        let Some(format) = config.format.or(told) else {
            return Err(invalid(format!("the format of `{}` is not known", config.path))
                .hint("give `format`: csv, ndjson, json, parquet or xlsx"));
        };
        let compression = config.compression.or(told_compression);
        let format = FileFormat::new(format, compression, &config.options())?;
        let is_s3 = Scheme::of(&config.path)? == Scheme::S3;
        match (&config.connection, is_s3) {
            (None, true) => {
                return Err(invalid("a path that begins with `s3://` needs a `connection`")
                    .hint("name a connection of type `s3`: `connection: my_bucket`"));
            }
            (Some(_), false) => {
                return Err(invalid("`connection` has no meaning for this path")
                    .hint("leave it out, or write a path that begins with `s3://`"));
            }
            _ => {}
        }
        if config.rows_per_file == Some(0) {
            return Err(invalid("`rows_per_file` is 0").hint("write 1 or more"));
        }
        let split = !config.partition_by.is_empty() || config.rows_per_file.is_some();
        if split && told.is_some() {
            return Err(invalid(format!(
                "`{}` looks like one file, but `partition_by` and `rows_per_file` make several",
                config.path
            ))
            .hint("write a folder, such as `path: out/orders/`, and give `format`"));
        }
        Ok(Box::new(FileSink { config, format, split }))
    }
}

fn invalid(fact: impl Into<String>) -> Problem {
    Problem::new(&codes::SETTING_INVALID, fact)
}

impl Config {
    fn options(&self) -> Options {
        Options {
            delimiter: self.delimiter,
            quote: self.quote,
            quotes: self.quotes,
            header: self.header,
            null: self.null.clone(),
            decimal_comma: self.decimal_comma,
            crlf: self.crlf,
            neutralize_formulas: self.neutralize_formulas,
            encoding: self.encoding.clone(),
            byte_order_mark: self.byte_order_mark,
            sheet: self.sheet.clone(),
            zstd_level: self.zstd_level,
        }
    }
}

struct FileSink {
    config: Config,
    format: FileFormat,
    split: bool,
}

/// Where the files and the manifest of one commit go.
struct Stores {
    place: Place,
    files: Arc<dyn FileStore>,
    manifests: Arc<dyn FileStore>,
    is_local: bool,
}

impl FileSink {
    fn stores(&self, context: &Context, request: &SinkRequest) -> Result<Stores> {
        let Config { path, connection, .. } = &self.config;
        let extension = &self.format.extension;
        let place = Place::new(context, path, self.split, extension, &request.key)?;
        let is_local = Scheme::of(path)? == Scheme::Local;
        let files = open(context, path, connection.as_ref())?;
        // The manifest of a file that each run replaces lies among our own records, which may be
        // outside of what a confined project may write.
        let manifests = match (is_local, place.shape) {
            (true, Shape::Fixed) => {
                let context = Context { confined: false, ..context.clone() };
                Arc::new(LocalStore::new(context)) as Arc<dyn FileStore>
            }
            _ => Arc::clone(&files),
        };
        Ok(Stores { place, files, manifests, is_local })
    }
}

#[async_trait]
impl Sink for FileSink {
    fn target(&self) -> Target {
        Target::Outside(self.config.path.clone())
    }

    fn appends(&self) -> bool {
        Shape::of(&self.config.path, self.split) != Shape::Fixed && !self.config.replace
    }

    fn plan(&self, input: &NamedInput, _: Option<&SchemaRef>) -> Result<SchemaRef> {
        let split = Split::new(&input.schema, self.config.partition_by.as_slice());
        split.map_err(|problem| problem.in_setting("/partition_by"))?;
        Ok(Arc::clone(&input.schema))
    }

    async fn committed(
        &self,
        context: &Context,
        request: &SinkRequest,
    ) -> Result<Option<Committed>> {
        let stores = self.stores(context, request)?;
        let manifests = stores.manifests.as_ref();
        let Some(manifest) = Manifest::find(manifests, &stores.place).await? else {
            return Ok(None);
        };
        manifest.clean_up(stores.files.as_ref(), manifests, &stores.place).await?;
        Ok(Some(manifest.committed(true)))
    }

    async fn prepare(
        &self,
        context: &Context,
        request: SinkRequest,
        input: Batches,
    ) -> Result<Box<dyn Prepared>> {
        let Stores { place, files, manifests, is_local } = self.stores(context, &request)?;
        let staging = Staging::new(context, is_local, &place);
        blocking({
            let (staging, place) = (staging.clone(), place.clone());
            move || staging.sweep(&place)
        })
        .await?;
        let job = Job {
            place: place.clone(),
            staging,
            split: Split::new(&input.schema, self.config.partition_by.as_slice())?,
            rows_per_file: self.config.rows_per_file,
            format: self.format.clone(),
        };
        let staged = write_all(job, input).await?;
        let manifest = Manifest {
            affluent: 1,
            key: request.key.to_string(),
            target: place.path.clone(),
            rows: staged.iter().map(|staged| staged.file.rows).sum(),
            files: staged.iter().map(|staged| staged.file.clone()).collect(),
            replaces: request.overwrite || self.config.replace,
            metadata: request.metadata,
        };
        Ok(Box::new(FilesPrepared { store: files, manifests, place, manifest, staged }))
    }
}
