//! Parquet files: row groups read side by side, every column in its canonical type.
//!
//! The reader underneath may panic on a damaged file; that becomes a problem like any other
//! damage.

mod columns;
mod footer;
mod repair;
#[cfg(test)]
mod tests;

use crate::batch::{blocking_stream, guarded, origin_columns};
use crate::file::{InputFile, ReadOptions};
use crate::parquet::columns::{FileColumns, canonical_fields};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use contracts::Batches;
use contracts::arrow_types::origin_fields;
use model::{Problem, Result, codes, lake_column_names};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::Read;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

const BATCH_ROWS: usize = 8192;
/// A column of a row group that is larger than this may unpack to so many times its size.
const UNPACKED_BYTES_MAX: i64 = 1 << 30;
const UNPACKED_RATIO_MAX: i64 = 1000;
const ENCRYPTED_MAGIC: &[u8] = b"PARE";

/// How Parquet files are read.
#[derive(Debug, Clone, Default)]
pub struct ParquetOptions {
    /// Columns to read, by their names in the file or in the lake; none means all.
    pub columns: Option<Vec<String>>,
}

/// Opens the files: the columns are known when this returns. Columns that a file does not have
/// are null; a column must have the same type in all files.
pub fn open(files: Vec<InputFile>, options: &ParquetOptions, read: ReadOptions) -> Result<Batches> {
    let opened = files.into_iter().map(OpenFile::new).collect::<Result<Vec<_>>>()?;
    let schema = common_schema(&opened, options)?;
    let tasks = tasks(&opened, &schema, &read)?;
    let tasks = Arc::new(Mutex::new(tasks));
    let partitions = (0..read.partitions.max(1)).map(|_| {
        let reader = Reader {
            tasks: Arc::clone(&tasks),
            schema: Arc::clone(&schema),
            read: read.clone(),
            current: None,
        };
        blocking_stream(reader, Reader::next, panicked)
    });
    Ok(Batches::new(Arc::clone(&schema), partitions.collect()))
}

/// A file whose footer has been read.
struct OpenFile {
    file: InputFile,
    metadata: ArrowReaderMetadata,
    fields: Vec<Field>,
}

impl OpenFile {
    fn new(file: InputFile) -> Result<Self> {
        let name = file.name.clone();
        guarded(AssertUnwindSafe(|| Self::read(file)), panicked)
            .map_err(|problem| problem.in_file(name))
    }

    fn read(file: InputFile) -> Result<Self> {
        let mut opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
        let mut magic = Vec::new();
        let head = (&mut opened).take(4).read_to_end(&mut magic);
        head.map_err(|error| file.problem(&error))?;
        if magic == ENCRYPTED_MAGIC {
            return Err(encrypted(&file.name));
        }
        let metadata = repair::load(&mut opened).map_err(|error| damaged(&file, &error))?;
        refuse_bombs(&file, &metadata)?;
        let hinted = columns::hinted_schema(&metadata);
        let options = ArrowReaderOptions::new().with_schema(hinted);
        // A hint that does not fit is no reason to refuse the file.
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
            .unwrap_or(metadata);
        let fields = canonical_fields(&metadata);
        let mut names = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !names.insert(field.name())) {
            let fact = format!("it has two columns `{}`", twice.name());
            return Err(corrupt(&file.name, fact));
        }
        Ok(Self { file, metadata, fields })
    }
}

/// Refuses columns that unpack to far more than they should: their pages are unpacked whole.
fn refuse_bombs(file: &InputFile, metadata: &ArrowReaderMetadata) -> Result<()> {
    let groups = metadata.metadata().row_groups().iter();
    for column in groups.flat_map(|group| group.columns()) {
        let (packed, unpacked) = (column.compressed_size(), column.uncompressed_size());
        if unpacked > UNPACKED_BYTES_MAX && unpacked / packed.max(1) > UNPACKED_RATIO_MAX {
            return Err(Problem::new(
                &codes::FILE_TOO_LARGE,
                format!(
                    "column `{}` of `{}` unpacks to {unpacked} bytes from {packed}",
                    column.column_path(),
                    file.name
                ),
            )
            .arg("file", &file.name)
            .in_file(&file.name)
            .hint("leave the column out with `columns`, if you need the others"));
        }
    }
    Ok(())
}

/// The columns of all files under their lake names, then the origin.
fn common_schema(files: &[OpenFile], options: &ParquetOptions) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for file in files {
        for field in &file.fields {
            let known = positions.get(field.name()).map(|at| &fields[*at]);
            match known {
                Some(known) if known.data_type() != field.data_type() => {
                    return Err(types_differ(file, field, known));
                }
                Some(_) => {}
                None => {
                    positions.insert(field.name().clone(), fields.len());
                    fields.push(field.clone());
                }
            }
        }
    }
    let headers: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let names = lake_column_names(&headers);
    let mut kept: Vec<Field> = Vec::new();
    for (field, name) in fields.iter().zip(names) {
        let is_wanted = options.columns.as_ref().is_none_or(|wanted| {
            wanted.iter().any(|wanted| wanted == field.name() || *wanted == name)
        });
        if is_wanted {
            kept.push(crate::batch::with_header(field.clone().with_name(name), field.name()));
        }
    }
    if let Some(missing) = missing_column(options, &kept) {
        let known = stdx::text::list(headers.iter().take(30).copied());
        return Err(Problem::new(
            &codes::COLUMN_UNKNOWN,
            format!("the files have no column `{missing}`"),
        )
        .arg("column", missing)
        .hint(format!("the columns are {known}")));
    }
    kept.extend(origin_fields());
    Ok(Arc::new(Schema::new(kept)))
}

fn missing_column<'a>(options: &'a ParquetOptions, kept: &[Field]) -> Option<&'a String> {
    options.columns.iter().flatten().find(|wanted| {
        !kept.iter().any(|field| field.name() == *wanted || columns::header(field) == *wanted)
    })
}

fn types_differ(file: &OpenFile, field: &Field, known: &Field) -> Problem {
    let ours = contracts::arrow_types::from_field(field);
    let theirs = contracts::arrow_types::from_field(known);
    Problem::new(
        &codes::SCHEMA_CHANGED,
        format!(
            "column `{}` is {ours} in `{}` and {theirs} in the files before it",
            field.name(),
            file.file.name
        ),
    )
    .arg("column", field.name())
    .in_file(&file.file.name)
    .hint("read these files with two sources, cast the column, and unite them")
}

/// One row group to read.
struct Task {
    file: Arc<InputFile>,
    metadata: ArrowReaderMetadata,
    columns: Arc<FileColumns>,
    group: usize,
    /// Number of the group's first row in its file, from 1.
    first_row: i64,
    /// Rows to read at most.
    rows_max: usize,
    bytes: u64,
}

/// The row groups of all files, as far as a sample wants them.
fn tasks(files: &[OpenFile], schema: &Schema, read: &ReadOptions) -> Result<VecDeque<Task>> {
    let mut rows_left = read.sample.map_or(u64::MAX, |sample| sample.rows);
    let mut bytes_left = read.sample.map_or(u64::MAX, |sample| sample.bytes);
    let mut tasks = VecDeque::new();
    for opened in files {
        let file = Arc::new(opened.file.clone());
        let columns = Arc::new(FileColumns::new(&opened.metadata, schema));
        let mut first_row = 1i64;
        for (group, metadata) in opened.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(metadata.num_rows())
                .map_err(|_| corrupt(&file.name, "a row group has a negative number of rows"))?;
            if rows_left == 0 || bytes_left == 0 {
                return Ok(tasks);
            }
            let bytes = u64::try_from(metadata.compressed_size()).unwrap_or(0);
            tasks.push_back(Task {
                file: Arc::clone(&file),
                metadata: opened.metadata.clone(),
                columns: Arc::clone(&columns),
                group,
                first_row,
                rows_max: usize::try_from(rows.min(rows_left)).unwrap_or(usize::MAX),
                bytes,
            });
            rows_left = rows_left.saturating_sub(rows);
            bytes_left = bytes_left.saturating_sub(bytes.max(1));
            first_row = first_row.saturating_add(metadata.num_rows());
        }
    }
    Ok(tasks)
}

/// One partition: takes row groups from the list and reads them.
struct Reader {
    tasks: Arc<Mutex<VecDeque<Task>>>,
    schema: SchemaRef,
    read: ReadOptions,
    current: Option<Group>,
}

/// A row group that is being read.
struct Group {
    reader: ParquetRecordBatchReader,
    task: Task,
    next_row: i64,
}

impl Reader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(group) = &mut self.current else {
                let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(task) = tasks.pop_front() else { return Ok(None) };
                drop(tasks);
                self.read.bytes.fetch_add(task.bytes, Ordering::Relaxed);
                self.current = Some(Group::open(task)?);
                continue;
            };
            match group.next(&self.schema)? {
                Some(batch) => return Ok(Some(batch)),
                None => self.current = None,
            }
        }
    }
}

impl Group {
    fn open(task: Task) -> Result<Self> {
        let file = File::open(&task.file.path).map_err(|error| task.file.problem(&error))?;
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, task.metadata.clone())
                .with_batch_size(BATCH_ROWS)
                .with_row_groups(vec![task.group])
                .with_projection(task.columns.projection.clone())
                .with_limit(task.rows_max)
                .build()
                .map_err(|error| damaged(&task.file, &error))?;
        let next_row = task.first_row;
        Ok(Self { reader, task, next_row })
    }

    fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.reader.next() else {
            let expected = self.task.first_row.saturating_add_unsigned(self.task.rows_max as u64);
            if self.next_row != expected {
                let fact = "a row group has fewer rows than it says";
                return Err(corrupt(&self.task.file.name, fact));
            }
            return Ok(None);
        };
        let batch = batch.map_err(|error| damaged(&self.task.file, error))?;
        let count = batch.num_rows();
        let mut columns = self.task.columns.convert(&batch, schema)?;
        let end = self.next_row.saturating_add_unsigned(count as u64);
        let rows: Vec<i64> = (self.next_row..end).collect();
        self.next_row = end;
        columns.extend(origin_columns(&self.task.file.name, rows));
        crate::batch::batch(schema, columns, vec![true; count]).map(Some)
    }
}

/// What an error of the reader means: damage, unless the file is encrypted.
fn damaged(file: &InputFile, error: impl std::fmt::Display) -> Problem {
    let is_encrypted =
        File::open(&file.path).is_ok_and(|mut file| footer::names_encryption(&mut file));
    if is_encrypted {
        return encrypted(&file.name);
    }
    let problem = corrupt(&file.name, error);
    match crate::probe::other_than(file, crate::probe::Format::Parquet) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn corrupt(name: &str, detail: impl std::fmt::Display) -> Problem {
    let text = detail.to_string();
    if text.contains("ncrypt") {
        return encrypted(name).detail(text);
    }
    Problem::new(&codes::FILE_CORRUPT, format!("`{name}` is not a readable Parquet file"))
        .arg("file", name)
        .in_file(name)
        .detail(text)
        .hint("the file is damaged or was not copied whole: fetch it again")
}

fn encrypted(name: &str) -> Problem {
    Problem::new(&codes::FILE_UNREADABLE, format!("`{name}` is encrypted"))
        .arg("file", name)
        .in_file(name)
        .hint("decrypt it first: there is no way to give its keys")
}

fn panicked(text: String) -> Problem {
    Problem::new(&codes::FILE_CORRUPT, "a Parquet file is damaged in a way its reader cannot bear")
        .detail(text)
        .hint("fetch the file again; if it is whole elsewhere, please report it")
}
