//! Queries that are asked once: over lake tables by name and files by path.

use crate::output::Output;
use crate::workbench::Workbench;
use arrow::array::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;
use contracts::table::TableStore;
use contracts::{
    Batches, Build, PlanInput, PlanRequest, Planned, ReadRequest, Reject, RejectSink, Sql, Step,
};
use formats::file::InputFile;
use formats::write::{
    Compression, CsvWriteOptions, ParquetWriteOptions, WriteFormat, XlsxWriteOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Problem, Result, codes};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that a table on the terminal shows at most.
const ROWS_SHOWN_MAX: usize = 1000;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    Table,
    /// Comma-separated values
    Csv,
    /// One JSON array
    Json,
    /// One JSON object per line
    Ndjson,
    /// A Parquet file; needs `--out`
    Parquet,
    /// An Excel workbook; needs `--out`
    Xlsx,
}

/// Counts the rows of a file that could not be read.
#[derive(Debug, Default)]
struct Unread {
    rows: AtomicU64,
}

impl RejectSink for Unread {
    fn reject(&self, _: Reject) -> Result<()> {
        self.rows.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// The rows of a query, and how many rows of its files could not be read.
pub(crate) struct Rows {
    pub(crate) batches: Batches,
    unread: Arc<Unread>,
}

impl Rows {
    /// The rows alone.
    pub(crate) fn into_batches(self) -> Batches {
        self.batches
    }

    /// All rows, and how many more could not be read.
    pub(crate) async fn collect(self) -> Result<(Vec<RecordBatch>, u64)> {
        let batches = self.batches.collect().await?;
        Ok((batches, self.unread.rows.load(Ordering::Relaxed)))
    }
}

/// A query, planned, with the files it reads opened.
pub(crate) struct Prepared {
    pub(crate) planned: Box<dyn Planned>,
    files: Vec<Opened>,
    unread: Arc<Unread>,
}

/// A file under the name it has in the query.
struct Opened {
    name: String,
    module: &'static str,
    settings: Value,
    batches: Batches,
}

/// Plans the query and opens the files it names.
pub(crate) async fn prepare(workbench: &Workbench, text: &str) -> Result<Prepared> {
    let sql = Sql::parse(&versions_spelt_out(text))?;
    let unread = Arc::new(Unread::default());
    let mut files = Vec::new();
    for (zone, name) in sql.relations() {
        if zone.is_none() && name.contains(['.', '/', '*']) {
            files.push(open(workbench, &name, &unread).await?);
        }
    }
    let inputs = files.iter().map(|file| PlanInput {
        name: file.name.clone(),
        schema: Arc::clone(&file.batches.schema),
        in_origin_order: file.batches.in_origin_order,
        bytes: None,
    });
    let request = PlanRequest {
        inputs: inputs.collect(),
        steps: vec![Step { name: "_query".to_owned(), sql, counter: None }],
        params: BTreeMap::new(),
        tables: BTreeMap::new(),
        schemas: BTreeMap::new(),
        table_bytes: 0,
        partitions: workbench.context.threads,
    };
    let planned = match workbench.query.plan(request).await {
        Ok(planned) => planned,
        Err(problem) => return Err(with_near_table(workbench, problem).await),
    };
    Ok(Prepared { planned, files, unread })
}

/// A table that is not there, with the one that was probably meant.
async fn with_near_table(workbench: &Workbench, problem: Problem) -> Problem {
    let name = problem.arguments().get("table").cloned();
    let (true, Some(name)) = (problem.is(&codes::TABLE_NOT_FOUND), name) else { return problem };
    let tables = workbench.lake.list().await.unwrap_or_default();
    let full: Vec<String> = tables.iter().map(ToString::to_string).collect();
    // The table is there; it is the version that is not.
    if full.contains(&name) {
        return problem;
    }
    let in_zone = tables.iter().find(|table| table.table.as_str() == name).map(ToString::to_string);
    let near = stdx::text::nearest(&name, full.iter().map(String::as_str)).map(str::to_owned);
    match in_zone.or(near) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(
            "tables are `zone.table`, and `affluent tables` lists them; files stand in single \
             quotes, as in `'data/orders.csv'`",
        ),
    }
}

/// Runs the query.
pub(crate) async fn run(workbench: &Workbench, text: &str) -> Result<Rows> {
    let Prepared { planned, files, unread } = prepare(workbench, text).await?;
    let mut readers = Vec::new();
    for (file, reads) in files.into_iter().zip(planned.reads()) {
        let mut copies = Vec::new();
        // A file that is named twice is read twice: there is no pipeline to share it in.
        for _ in 1..reads {
            let again = read(workbench, file.module, &file.settings, &unread).await?;
            copies.push(again);
        }
        if reads > 0 {
            copies.push(file.batches);
        }
        readers.push(copies);
    }
    Ok(Rows { batches: planned.execute(readers).await?, unread })
}

async fn open(workbench: &Workbench, name: &str, unread: &Arc<Unread>) -> Result<Opened> {
    let Some(files) = &workbench.files else {
        let fact = format!("`{name}` is a file, and queries on a server read tables alone");
        return Err(Problem::new(&codes::SQL_REFUSED, fact)
            .arg("file", name)
            .hint("let a pipeline bring its rows into a table, and ask the table"));
    };
    let path = if name.contains("://") {
        name.to_owned()
    } else {
        files.join(name).to_string_lossy().into_owned()
    };
    if Path::new(&path).is_dir() {
        let fact = format!("`{name}` is a folder");
        let all = format!("{}/*.csv", name.trim_end_matches('/'));
        return Err(Problem::new(&codes::COMMAND_INVALID, fact)
            .hint(format!("name a file, or all of them, as in `'{all}'`")));
    }
    let module = module_of(name, &path)?;
    let mut settings = Map::new();
    settings.insert("path".to_owned(), json!(path));
    if matches!(module, "csv" | "excel") {
        settings.insert("types".to_owned(), json!("infer"));
    }
    let settings = Value::Object(settings);
    let batches = read(workbench, module, &settings, unread).await?;
    Ok(Opened { name: name.to_owned(), module, settings, batches })
}

/// The source module for a file: by its content where it is one file here, else by its name.
fn module_of(name: &str, path: &str) -> Result<&'static str> {
    let file = InputFile { path: path.into(), name: name.to_owned() };
    if !file.path.is_file() {
        return module_for(name);
    }
    Ok(match formats::probe::by_content(&file)? {
        formats::probe::Format::Csv => "csv",
        formats::probe::Format::Json => "json",
        formats::probe::Format::Parquet => "parquet",
        formats::probe::Format::Excel => "excel",
        formats::probe::Format::Xml => "xml",
    })
}

/// The source module for a file, by its name.
fn module_for(name: &str) -> Result<&'static str> {
    let lower = name.to_lowercase();
    let plain = [".gz", ".zst", ".zip"].iter().fold(lower.as_str(), |n, e| n.trim_end_matches(e));
    let extension = plain.rsplit('.').next().unwrap_or_default();
    match extension {
        "csv" | "tsv" | "txt" | "tab" | "psv" => Ok("csv"),
        "json" | "ndjson" | "jsonl" | "geojson" => Ok("json"),
        "parquet" | "pq" => Ok("parquet"),
        "xlsx" | "xls" | "ods" | "xlsm" => Ok("excel"),
        "xml" => Ok("xml"),
        _ => Err(Problem::new(
            &codes::NAME_UNKNOWN,
            format!("`{name}` is neither a table nor a file of a known kind"),
        )
        .arg("name", name)
        .hint("tables are `zone.table`; files end with csv, json, ndjson, parquet, xlsx or xml")),
    }
}

async fn read(
    workbench: &Workbench,
    module: &'static str,
    settings: &Value,
    unread: &Arc<Unread>,
) -> Result<Batches> {
    let entry = workbench.registry.get(module)?;
    let Build::Source(build) = entry.build else {
        return Err(Problem::new(&codes::INTERNAL, format!("`{module}` is not a source")));
    };
    let source = build(settings).map_err(|(_, problem)| problem)?;
    let context = &workbench.context;
    let discovery = source.discover(context, &contracts::Past::default()).await?;
    let request = ReadRequest {
        inputs: discovery.inputs,
        partitions: context.threads,
        sample: None,
        rejects: Arc::clone(unread) as Arc<dyn RejectSink>,
        bytes: Arc::default(),
    };
    source.read(context, request).await
}

/// `gold.sales@v12` outside of quotes becomes `at('gold.sales', version => 12)`.
fn versions_spelt_out(text: &str) -> String {
    let mut spelt = String::with_capacity(text.len());
    let mut quote = None;
    let mut word_start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character == '\'' || character == '"' => quote = Some(character),
            None => {}
        }
        let is_word = character.is_alphanumeric() || character == '_' || character == '.';
        let rest = &text[at..];
        if quote.is_none() && rest.starts_with("@v") {
            let digits: String = rest[2..].chars().take_while(char::is_ascii_digit).collect();
            let table = spelt.split_off(word_start);
            spelt.push_str(&format!("at('{table}', version => {digits})"));
            for _ in 0..=digits.len() {
                characters.next();
            }
            word_start = spelt.len();
            continue;
        }
        spelt.push(character);
        if !is_word {
            word_start = spelt.len();
        }
    }
    spelt
}

/// The first rows of a stream.
pub(crate) async fn first_rows(batches: Batches, rows_max: usize) -> Result<Rows> {
    let schema = Arc::clone(&batches.schema);
    let mut kept = Vec::new();
    let mut room = rows_max;
    let mut rows = stream::iter(batches.partitions).flatten();
    while room > 0
        && let Some(batch) = rows.try_next().await?
    {
        let part = batch.slice(0, batch.num_rows().min(room));
        room -= part.num_rows();
        kept.push(part);
    }
    Ok(Rows { batches: Batches::from_memory(schema, kept), unread: Arc::default() })
}

/// The format that a file's name asks for.
pub(crate) fn format_of(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_lowercase();
    match extension.as_str() {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "parquet" => Some(Format::Parquet),
        "xlsx" => Some(Format::Xlsx),
        _ => None,
    }
}

/// Shows rows without saying how many they are.
pub(crate) async fn show(rows: Rows, format: Format, output: Output) -> Result<()> {
    match format {
        Format::Table => {
            let schema = Arc::clone(&rows.batches.schema);
            let batches = rows.batches.collect().await?;
            output.raw(&aligned(schema, batches)?);
            Ok(())
        }
        _ => write_stream(rows.batches, format, None).await,
    }
}

/// Writes the rows to a file or to standard output.
pub(crate) async fn write(
    rows: Rows,
    format: Format,
    out: Option<&Path>,
    output: Output,
) -> Result<()> {
    let Rows { batches, unread } = rows;
    match format {
        Format::Table => write_table(batches, output).await?,
        Format::Parquet | Format::Xlsx if out.is_none() => {
            return Err(Problem::new(&codes::COMMAND_INVALID, "this format is not for a terminal")
                .hint("name a file, as in `--out rows.parquet`"));
        }
        _ => write_stream(batches, format, out).await?,
    }
    let unread = unread.rows.load(Ordering::Relaxed);
    if unread > 0 {
        output.problem(
            &Problem::new(
                &codes::FILE_CORRUPT,
                format!("{unread} rows of the files could not be read"),
            )
            .hint("a pipeline keeps them, with the reason, in the quarantine zone"),
        );
    }
    Ok(())
}

async fn write_table(batches: Batches, output: Output) -> Result<()> {
    let schema = Arc::clone(&batches.schema);
    let mut shown: Vec<RecordBatch> = Vec::new();
    let mut count = 0;
    let mut more = false;
    'partitions: for mut partition in batches.partitions {
        while let Some(batch) = partition.try_next().await? {
            let room = ROWS_SHOWN_MAX - count;
            if batch.num_rows() > room {
                shown.push(batch.slice(0, room));
                count = ROWS_SHOWN_MAX;
                more = true;
                break 'partitions;
            }
            count += batch.num_rows();
            shown.push(batch);
        }
    }
    output.raw(&aligned(schema, shown)?);
    let rows = if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let rest = if more { " shown; there are more: use `--format csv` to see all" } else { "" };
    output.line(format!("{rows}{rest}"));
    Ok(())
}

fn aligned(schema: arrow::datatypes::SchemaRef, mut batches: Vec<RecordBatch>) -> Result<String> {
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    let options = FormatOptions::default().with_display_error(true).with_null("");
    let text = pretty_format_batches_with_options(&batches, &options)
        .map_err(|error| Problem::new(&codes::INTERNAL, "rows cannot be shown").detail(error))?;
    Ok(format!("{text}\n"))
}

async fn write_stream(batches: Batches, format: Format, out: Option<&Path>) -> Result<()> {
    let target: Box<dyn Write + Send> = match out {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).map_err(|e| unwritable(path, &e))?))
        }
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let format = match format {
        Format::Csv => WriteFormat::Csv(CsvWriteOptions::default()),
        Format::Json => WriteFormat::Json,
        Format::Parquet => WriteFormat::Parquet(ParquetWriteOptions::default()),
        Format::Xlsx => WriteFormat::Xlsx(XlsxWriteOptions::default()),
        Format::Table | Format::Ndjson => WriteFormat::Ndjson,
    };
    let schema = Arc::clone(&batches.schema);
    let mut writer = formats::write::open(&format, Compression::None, schema, target)?;
    let mut rows = stream::iter(batches.partitions).flatten();
    while let Some(batch) = rows.try_next().await? {
        writer.write(&batch)?;
    }
    writer.finish()
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        io::ErrorKind::NotFound => &codes::FILE_NOT_FOUND,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, format!("`{}` cannot be written", path.display())).detail(error)
}
