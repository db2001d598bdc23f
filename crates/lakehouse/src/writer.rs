//! Parquet files from streams of rows: written side by side, each durable when it is named.

use crate::errors::{from_arrow, from_join, from_parquet};
use crate::schema::{batch_of, cast, file_field};
use crate::statistics;
use crate::values::{partition_folder, partition_text};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use contracts::{BatchStream, Batches};
use futures::TryStreamExt;
use model::{Problem, Result, codes};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// A data file is closed when it is about as large as this.
const FILE_BYTES: usize = 192 * 1024 * 1024;
/// Rows per row group.
const GROUP_ROWS: usize = 1024 * 1024;
/// Encoded bytes per row group, where memory is plentiful.
const GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Smaller groups are read too slowly to be worth their memory.
const GROUP_BYTES_MIN: usize = 2 * 1024 * 1024;
/// A writer holds a group and as much again while it is written, there are as many writers as
/// cores, and several sinks of a run write at once: a group may take this share of the memory.
const MEMORY_PER_GROUP: usize = 32;

/// Encoded bytes per row group for a process with so much memory.
pub(crate) fn group_bytes(memory_bytes: usize) -> usize {
    (memory_bytes / MEMORY_PER_GROUP).clamp(GROUP_BYTES_MIN, GROUP_BYTES_MAX)
}

/// How and where files are written.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The table's folder in the store.
    pub(crate) folder: Path,
    /// Folder below the table's, empty for data files.
    pub(crate) below: String,
    /// Encoded bytes per row group.
    pub(crate) group_bytes: usize,
    /// Schema of the rows, canonical.
    pub(crate) schema: SchemaRef,
    /// Columns that go into folder names instead of files; rows come sorted by them.
    pub(crate) partition_by: Vec<String>,
}

/// A file that has been written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// Path below the table's folder.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) partition: BTreeMap<String, Option<String>>,
    /// Statistics as the log wants them.
    pub(crate) stats: String,
}

/// Everything written so far, so that it can be thrown away.
type Files = Arc<Mutex<Vec<Written>>>;

/// Writes all rows, each partition by a writer of its own; when one fails, nothing is left.
pub(crate) async fn write(target: Target, input: Batches) -> Result<Vec<Written>> {
    let files = Files::default();
    let target = Arc::new(target);
    let written = write_each(&target, input.partitions, &files).await;
    let files = std::mem::take(&mut *files.lock().unwrap_or_else(PoisonError::into_inner));
    match written {
        Ok(()) => Ok(files),
        Err(problem) => {
            delete(&target, &files).await;
            Err(problem)
        }
    }
}

/// Throws files away; what cannot be deleted now is rubbish that a vacuum finds.
pub(crate) async fn delete(target: &Target, files: &[Written]) {
    delete_paths(&target.store, &target.folder, files.iter().map(|file| file.path.as_str())).await;
}

/// Throws files below a table's folder away.
pub(crate) async fn delete_paths(
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
    paths: impl Iterator<Item = &str> + Send,
) {
    for path in paths {
        let location = below(folder, path);
        if let Err(error) = store.delete(&location).await {
            tracing::warn!(file = %location, %error, "a file could not be deleted");
        }
    }
}

/// A path below a folder of the store.
pub(crate) fn below(folder: &Path, path: &str) -> Path {
    path.split('/').filter(|part| !part.is_empty()).fold(folder.clone(), |path, part| {
        Path::parse(format!("{path}/{part}")).unwrap_or_else(|_| path.join(part))
    })
}

async fn write_each(target: &Arc<Target>, streams: Vec<BatchStream>, files: &Files) -> Result<()> {
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        let mut writer = Writer::new(target, files);
        tasks.spawn(async move {
            while let Some(batch) = stream.try_next().await? {
                writer.write(&batch).await?;
            }
            writer.finish().await
        });
    }
    all(tasks).await
}

/// Waits for all tasks. The first problem ends the others.
async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => Err(from_join(&error)),
        };
        if outcome.is_ok() && ended.is_err() {
            outcome = ended;
            tasks.abort_all();
        }
    }
    outcome
}

/// Writes one file after the other.
struct Writer {
    target: Arc<Target>,
    files: Files,
    file_schema: SchemaRef,
    /// Indices of the columns that are stored in files.
    stored: Vec<usize>,
    /// Indices of the columns that become folders.
    folders: Vec<usize>,
    open: Option<OpenFile>,
}

struct OpenFile {
    path: String,
    partition: BTreeMap<String, Option<String>>,
    writer: AsyncArrowWriter<BufWriter>,
}

impl Writer {
    fn new(target: &Arc<Target>, files: &Files) -> Self {
        let fields = target.schema.fields();
        let is_folder = |index: &usize| target.partition_by.contains(fields[*index].name());
        let (folders, stored): (Vec<usize>, Vec<usize>) = (0..fields.len()).partition(is_folder);
        let file_fields: Vec<_> = stored.iter().map(|index| file_field(&fields[*index])).collect();
        Self {
            target: Arc::clone(target),
            files: Arc::clone(files),
            file_schema: Arc::new(Schema::new(file_fields)),
            stored,
            folders,
            open: None,
        }
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.folders.is_empty() {
            return self.write_run(batch, BTreeMap::new()).await;
        }
        let columns: Vec<ArrayRef> =
            self.folders.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let runs = arrow::compute::partition(&columns).map_err(|error| from_arrow(&error))?;
        for run in runs.ranges() {
            let partition = self.partition(batch, run.start);
            self.write_run(&batch.slice(run.start, run.len()), partition).await?;
        }
        Ok(())
    }

    fn partition(&self, batch: &RecordBatch, row: usize) -> BTreeMap<String, Option<String>> {
        let column = |index: &usize| {
            let name = self.target.schema.field(*index).name().clone();
            (name, partition_text(batch.column(*index), row))
        };
        self.folders.iter().map(column).collect()
    }

    async fn write_run(
        &mut self,
        batch: &RecordBatch,
        partition: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let stored = self.stored(batch)?;
        if self.open.as_ref().is_some_and(|open| open.partition != partition) {
            self.finish().await?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(open_file(&self.target, &self.file_schema, partition)?),
        };
        open.writer.write(&stored).await.map_err(|error| from_parquet(&error))?;
        if open.writer.bytes_written() + open.writer.in_progress_size() >= FILE_BYTES {
            self.finish().await?;
        }
        Ok(())
    }

    fn stored(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .stored
            .iter()
            .zip(self.file_schema.fields())
            .map(|(index, field)| cast(field.name(), batch.column(*index), field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        batch_of(&self.file_schema, columns, batch.num_rows())
    }

    /// Closes the open file, durably.
    async fn finish(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let metadata = open.writer.finish().await.map_err(|error| from_parquet(&error))?;
        let written = Written {
            bytes: u64::try_from(open.writer.bytes_written()).unwrap_or_default(),
            rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default(),
            stats: statistics::of_parquet(&metadata, &self.file_schema)?,
            path: open.path,
            partition: open.partition,
        };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push(written);
        Ok(())
    }
}

fn open_file(
    target: &Target,
    schema: &SchemaRef,
    partition: BTreeMap<String, Option<String>>,
) -> Result<OpenFile> {
    let mut parts: Vec<String> = target.below.split('/').map(str::to_owned).collect();
    // Folders are nested in the order of the table's partition columns.
    parts.extend(
        target.partition_by.iter().map(|column| {
            partition_folder(column, partition.get(column).and_then(Option::as_deref))
        }),
    );
    parts.push(format!("part-{}.parquet", uuid::Uuid::new_v4()));
    parts.retain(|part| !part.is_empty());
    let path = parts.join("/");
    let sink = BufWriter::new(Arc::clone(&target.store), below(&target.folder, &path));
    let options = ArrowWriterOptions::new()
        .with_properties(properties(target.group_bytes))
        .with_skip_arrow_metadata(true);
    let writer = AsyncArrowWriter::try_new_with_options(sink, Arc::clone(schema), options)
        .map_err(|error| {
            Problem::new(&codes::TYPE_MISMATCH, "a column has a type that cannot be stored")
                .detail(error)
        })?;
    Ok(OpenFile { path, partition, writer })
}

fn properties(group_bytes: usize) -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("1 is a level of zstd");
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(group_bytes))
        .set_write_batch_size(8192)
        .set_created_by("affluent".to_owned())
        .build()
}
