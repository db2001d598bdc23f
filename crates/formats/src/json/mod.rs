//! JSON: lines of objects, lists, documents with a path to their rows, GeoJSON.
//!
//! Rows are cut out by brackets and quotes, then parsed strictly one by one: a row that is not
//! valid JSON, or whose values do not fit their columns, is rejected and the next one is read.
//! Of a key that occurs twice in an object the last value counts, unless the options say that
//! such a row is to be rejected.

pub(crate) mod cells;
mod cursor;
mod number;
pub(crate) mod parse;
mod path;
mod plan;
mod records;
mod shape;
#[cfg(test)]
mod tests;

use crate::batch::{self, blocking_stream, origin_columns};
use crate::compression::{self, Limits, Member};
use crate::file::{InputFile, ReadOptions};
use arrow::array::RecordBatch;
use contracts::rejects::{RECORD_BYTES_MAX, RejectError};
use contracts::{Batches, Reject};
use model::{DataType, Problem, Result, codes};
pub(crate) use number::number_of_digits;
use parse::Node;
use path::Step;
use plan::Plan;
use records::Records;
pub(crate) use records::{CHUNK_BYTES, CHUNK_RECORDS_MAX, Chunk, RECORD_LENGTH_MAX, Record};
use shape::Shape;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// Records per file, and bytes per file and in all, that are looked at to find the columns.
const SAMPLE_RECORDS: usize = 50_000;
const SAMPLE_BYTES: usize = 32 * 1024 * 1024;
const SAMPLE_BYTES_ALL: usize = 256 * 1024 * 1024;

/// What stands in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// Found out from the beginning of the file.
    #[default]
    Auto,
    /// One value per line (NDJSON).
    Lines,
    /// One value: a list of rows, or an object.
    Document,
}

/// Where the types of columns come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Types {
    /// From a sample; no digit of a number is ever lost.
    #[default]
    Infer,
    /// Every value as text.
    Text,
}

/// What GeoJSON geometries become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GeometryForm {
    /// Their JSON text.
    #[default]
    Json,
    /// Well-known binary, of type `geometry`.
    Wkb,
}

/// What happens to a row in which a key occurs twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// The last value counts.
    #[default]
    Last,
    /// The row is rejected.
    Reject,
}

/// What happens to a row with a key that did not occur in the sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NewKeys {
    /// The row is rejected, so that nothing is lost unseen.
    #[default]
    Reject,
    /// The key is left out.
    Ignore,
}

/// How JSON files are read.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    /// What stands in the files.
    pub layout: Layout,
    /// The path to the rows in a document: `$.data.items[*]`. An object before `[*]` gives a row
    /// with `key` and `value` for each of its members.
    pub path: Option<String>,
    /// Down to this level objects become columns (`a.b` → `a_b`); deeper ones stay JSON text.
    pub depth: usize,
    /// Where the types of columns come from.
    pub types: Types,
    /// Types of columns by their path (`customer.id`), in place of what the sample says.
    pub columns: BTreeMap<String, DataType>,
    /// What GeoJSON geometries become.
    pub geometry: GeometryForm,
    /// What happens to a row in which a key occurs twice.
    pub duplicate_keys: DuplicateKeys,
    /// What happens to a row with a key that did not occur in the sample.
    pub new_keys: NewKeys,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            path: None,
            depth: 5,
            types: Types::default(),
            columns: BTreeMap::new(),
            geometry: GeometryForm::default(),
            duplicate_keys: DuplicateKeys::default(),
            new_keys: NewKeys::default(),
        }
    }
}

/// Whether the text is a number, `true` or `false` as JSON writes them.
pub(crate) fn is_json_scalar(text: &str) -> bool {
    let mut nodes = Vec::new();
    parse::parse(text.as_bytes(), &mut nodes)
        .is_ok_and(|tape| matches!(tape.node(0).kind, parse::Kind::Number | parse::Kind::Boolean))
}

/// Opens the files: the columns are known when this returns.
pub fn open(files: Vec<InputFile>, options: &JsonOptions, read: ReadOptions) -> Result<Batches> {
    let steps: Arc<[Step]> = path::parse(options.path.as_deref().unwrap_or("$"))?.into();
    let layout = options.layout;
    let opener: Opener =
        Arc::new(move |member, bytes| Ok(Box::new(Records::open(member, layout, &steps, bytes)?)));
    open_records(files, options, read, &opener)
}

/// Gives the records of one file, chunk after chunk.
pub(crate) trait ChunkSource: Send {
    /// The next records; none at the end.
    fn next_chunk(&mut self) -> Result<Option<Chunk>>;
}

/// Opens one file; what is read from disk is counted.
pub(crate) type Opener =
    Arc<dyn Fn(&Member, &Arc<AtomicU64>) -> Result<Box<dyn ChunkSource>> + Send + Sync>;

/// Opens files of any format whose records come as JSON texts.
pub(crate) fn open_records(
    files: Vec<InputFile>,
    options: &JsonOptions,
    read: ReadOptions,
    opener: &Opener,
) -> Result<Batches> {
    let mut members = Vec::new();
    for file in &files {
        members.extend(compression::members(file, Limits::default())?);
    }
    let (shape, is_geojson) = infer(&members, options, opener)?;
    let plan = Arc::new(Plan::new(&shape, options, is_geojson)?);
    let feed = Feed {
        members: members.into(),
        current: None,
        opener: Arc::clone(opener),
        bytes: Arc::clone(&read.bytes),
        rows_left: read.sample.map_or(u64::MAX, |sample| sample.rows),
        bytes_left: read.sample.map_or(u64::MAX, |sample| sample.bytes),
    };
    let feed = Arc::new(Mutex::new(feed));
    let partitions = (0..read.partitions.max(1)).map(|_| {
        let reader = Reader {
            feed: Arc::clone(&feed),
            plan: Arc::clone(&plan),
            read: read.clone(),
            nodes: Vec::new(),
            values: Vec::new(),
        };
        blocking_stream(reader, Reader::next, |text| {
            Problem::new(&codes::INTERNAL, "the JSON reader failed").detail(text)
        })
    });
    Ok(Batches::new(Arc::clone(&plan.schema), partitions.collect()))
}

/// Looks at the beginning of each file.
fn infer(members: &[Member], options: &JsonOptions, opener: &Opener) -> Result<(Shape, bool)> {
    let mut shape = Shape::default();
    let mut is_geojson = false;
    let mut nodes = Vec::new();
    let mut bytes_all = 0;
    for member in members {
        let mut records = opener(member, &Arc::default())?;
        let (mut count, mut bytes) = (0, 0);
        while count < SAMPLE_RECORDS && bytes < SAMPLE_BYTES {
            let Some(chunk) = records.next_chunk()? else { break };
            is_geojson |= chunk.is_geojson;
            count += chunk.records.len();
            bytes += chunk.bytes.len();
            add_chunk(&mut shape, &chunk, options.depth, &mut nodes);
            if bytes_all + bytes > SAMPLE_BYTES_ALL {
                break;
            }
        }
        bytes_all += bytes;
    }
    Ok((shape, is_geojson))
}

/// Adds the valid rows of a chunk to the shape; what is not valid will be rejected later.
fn add_chunk(shape: &mut Shape, chunk: &Chunk, depth: usize, nodes: &mut Vec<Node>) {
    for record in &chunk.records {
        let bytes = &chunk.bytes[record.start..record.end];
        let Ok(tape) = parse::parse(bytes, nodes) else { continue };
        for row in path::resolve(tape, 0, &chunk.rest).unwrap_or_default() {
            shape.add_row(tape, row, depth);
        }
    }
}

/// The files one after the other, shared by all partitions.
struct Feed {
    members: VecDeque<Member>,
    current: Option<Box<dyn ChunkSource>>,
    opener: Opener,
    bytes: Arc<AtomicU64>,
    rows_left: u64,
    bytes_left: u64,
}

impl Feed {
    fn next(&mut self) -> Result<Option<Chunk>> {
        while self.rows_left > 0 && self.bytes_left > 0 {
            if self.current.is_none() {
                let Some(member) = self.members.pop_front() else { return Ok(None) };
                let opened = (self.opener)(&member, &self.bytes);
                self.current = Some(opened.inspect_err(|_| self.members.clear())?);
            }
            let Some(records) = &mut self.current else { continue };
            let chunk = records.next_chunk();
            match chunk {
                Ok(Some(mut chunk)) => {
                    let rows = usize::try_from(self.rows_left).unwrap_or(usize::MAX);
                    chunk.records.truncate(rows);
                    self.rows_left -= chunk.records.len() as u64;
                    self.bytes_left = self.bytes_left.saturating_sub(chunk.bytes.len() as u64);
                    return Ok(Some(chunk));
                }
                Ok(None) => self.current = None,
                Err(problem) => {
                    // The other partitions end too.
                    self.members.clear();
                    self.current = None;
                    return Err(problem);
                }
            }
        }
        Ok(None)
    }
}

/// One partition: takes chunks from the feed and makes batches of them.
struct Reader {
    feed: Arc<Mutex<Feed>>,
    plan: Arc<Plan>,
    read: ReadOptions,
    nodes: Vec<Node>,
    values: Vec<u32>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let chunk = self.feed.lock().unwrap_or_else(PoisonError::into_inner).next()?;
            let Some(chunk) = chunk else { return Ok(None) };
            let batch = self.batch(&chunk)?;
            for reject in chunk.rejects {
                self.read.rejects.reject(reject)?;
            }
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    fn batch(&mut self, chunk: &Chunk) -> Result<RecordBatch> {
        let mut nodes = std::mem::take(&mut self.nodes);
        let mut values = std::mem::take(&mut self.values);
        let mut cells = self.plan.cells()?;
        let mut rows = Vec::with_capacity(chunk.records.len());
        let mut keep = Vec::with_capacity(chunk.records.len());
        for record in &chunk.records {
            let bytes = &chunk.bytes[record.start..record.end];
            let tape = match parse::parse(bytes, &mut nodes) {
                Ok(tape) => tape,
                Err(error) if chunk.is_document => {
                    return Err(broken(&chunk.file, record, &error));
                }
                Err(error) => {
                    let reason =
                        format!("is not valid JSON at byte {}: {}", error.at, error.reason);
                    self.reject(chunk, record, vec![whole(reason)], bytes)?;
                    continue;
                }
            };
            let found = match path::resolve(tape, 0, &chunk.rest) {
                Ok(found) => found,
                Err(reason) => {
                    self.reject(chunk, record, vec![whole(reason)], bytes)?;
                    continue;
                }
            };
            for row in found {
                if let Err(error) = self.plan.assign(tape, row, &mut values) {
                    self.reject(chunk, record, vec![error], tape.json(row).as_bytes())?;
                    continue;
                }
                let errors = self.plan.append(tape, &values, &mut cells);
                rows.push(record.row);
                keep.push(errors.is_empty());
                if !errors.is_empty() {
                    self.reject(chunk, record, errors, tape.json(row).as_bytes())?;
                }
            }
        }
        self.nodes = nodes;
        self.values = values;
        let mut columns: Vec<_> = cells.iter_mut().map(cells::Cells::finish).collect();
        columns.extend(origin_columns(&chunk.file, rows));
        batch::batch(&self.plan.schema, columns, keep)
    }

    fn reject(
        &self,
        chunk: &Chunk,
        record: &Record,
        errors: Vec<RejectError>,
        bytes: &[u8],
    ) -> Result<()> {
        let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
        self.read.rejects.reject(Reject {
            file: Some(chunk.file.to_string()),
            row: Some(record.row),
            offset: Some(record.offset),
            errors,
            record: String::from_utf8_lossy(bytes).into_owned(),
        })
    }
}

fn whole(reason: String) -> RejectError {
    RejectError { column: String::new(), value: None, reason }
}

fn broken(file: &str, record: &Record, error: &parse::SyntaxError) -> Problem {
    let at = usize::try_from(record.offset).unwrap_or(0) + error.at;
    Problem::new(
        &codes::FILE_CORRUPT,
        format!("`{file}` is not valid JSON at byte {at}: {}", error.reason),
    )
    .arg("file", file)
    .arg("offset", at)
    .in_file(file)
    .hint("ask for the file again, or repair it at this place")
}
