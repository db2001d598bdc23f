//! Writes streams of rows into staged files, one thread per file or per partition.

use super::format::FileFormat;
use super::place::{Place, Shape};
use super::split::Split;
use super::staging::{Staged, Staging};
use crate::storage::{blocking, io_problem};
use arrow::array::RecordBatch;
use contracts::{BatchStream, Batches};
use formats::write::{self, RowWriter};
use futures::StreamExt;
use model::{Problem, Result, codes};
use std::fs::File;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Batches that wait for a writer, per partition.
const WAITING_MAX: usize = 4;
/// Files that one partition has open at once; beyond it the one not used for longest is closed.
const OPEN_MAX: usize = 64;
/// Files of one partition in one commit.
const FILES_MAX: usize = 10_000;

/// What is written, and how it is divided.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) staging: Staging,
    pub(crate) split: Split,
    pub(crate) rows_per_file: Option<u64>,
    pub(crate) format: FileFormat,
}

/// Writes all rows; the files are complete and synced when this returns.
pub(crate) async fn write_all(job: Job, input: Batches) -> Result<Vec<Staged>> {
    // Dropped, it stops whatever still feeds a writer that has failed.
    let mut feeders = JoinSet::new();
    let mut receivers = Vec::with_capacity(input.partitions.len());
    for partition in input.partitions {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        feeders.spawn(feed(partition, sender));
        receivers.push(receiver);
    }
    // One file holds the partitions one after the other, so that its order does not depend on
    // luck; the later ones work ahead a little.
    let groups: Vec<Vec<Receiver>> = match job.place.shape {
        Shape::Fixed | Shape::PerRun => vec![receivers],
        Shape::Folder => receivers.into_iter().map(|receiver| vec![receiver]).collect(),
    };
    let mut writers = JoinSet::new();
    for (number, receivers) in groups.into_iter().enumerate() {
        let writer = PartitionWriter::new(job.clone(), number);
        writers.spawn(blocking(move || writer.run(receivers)));
    }
    let mut staged = Vec::new();
    while let Some(result) = writers.join_next().await {
        let result = result.map_err(|error| {
            Problem::new(&codes::INTERNAL, "a writer of files ended badly").detail(error)
        })?;
        staged.extend(result?);
    }
    // A feeder that broke looks like the end of its rows to the writer.
    while let Some(fed) = feeders.join_next().await {
        fed.map_err(|error| {
            Problem::new(&codes::INTERNAL, "a stream of rows ended badly").detail(error)
        })?;
    }
    staged.sort_by(|left, right| left.file.path.cmp(&right.file.path));
    Ok(staged)
}

type Receiver = mpsc::Receiver<Result<RecordBatch>>;

async fn feed(mut partition: BatchStream, sender: mpsc::Sender<Result<RecordBatch>>) {
    while let Some(batch) = partition.next().await {
        let is_last = batch.is_err();
        // Nobody listens when the writer has failed, and it says why.
        if sender.send(batch).await.is_err() || is_last {
            return;
        }
    }
}

/// Writes the rows of one partition, or of all for a single file.
struct PartitionWriter {
    job: Job,
    partition: usize,
    /// Files begun so far.
    begun: usize,
    open: Vec<OpenPart>,
    done: Vec<Staged>,
}

struct OpenPart {
    folder: String,
    staged: Staged,
    writer: Box<dyn RowWriter>,
    rows: u64,
}

impl PartitionWriter {
    fn new(job: Job, partition: usize) -> Self {
        Self { job, partition, begun: 0, open: Vec::new(), done: Vec::new() }
    }

    fn run(mut self, receivers: Vec<Receiver>) -> Result<Vec<Staged>> {
        for mut receiver in receivers {
            while let Some(batch) = receiver.blocking_recv() {
                for (folder, rows) in self.job.split.divide(&batch?)? {
                    self.write(folder, rows)?;
                }
            }
        }
        // A file that is asked for by name is there even when it has no rows.
        if self.begun == 0 && self.job.place.shape != Shape::Folder {
            self.begin(String::new())?;
        }
        while !self.open.is_empty() {
            self.close(0)?;
        }
        Ok(self.done)
    }

    fn write(&mut self, folder: String, rows: RecordBatch) -> Result<()> {
        let mut rows = rows;
        while rows.num_rows() > 0 {
            let at = match self.open.iter().position(|part| part.folder == folder) {
                Some(at) => at,
                None => self.begin(folder.clone())?,
            };
            let part = &mut self.open[at];
            let room = self.job.rows_per_file.map_or(u64::MAX, |max| max - part.rows);
            let count = rows.num_rows().min(usize::try_from(room).unwrap_or(usize::MAX));
            let written = part.writer.write(&rows.slice(0, count));
            written.map_err(|problem| problem.in_file(&part.staged.file.path))?;
            part.rows += count as u64;
            rows = rows.slice(count, rows.num_rows() - count);
            if self.job.rows_per_file == Some(part.rows) {
                self.close(at)?;
            } else {
                // The one used last stands last, so the first is the one to close.
                let part = self.open.remove(at);
                self.open.push(part);
            }
        }
        Ok(())
    }

    /// Begins a file, and says where it stands among the open ones.
    fn begin(&mut self, folder: String) -> Result<usize> {
        if self.begun >= FILES_MAX {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("more than {FILES_MAX} files would be written"),
            )
            .hint("partition by columns with fewer values, or raise `rows_per_file`"));
        }
        if self.open.len() >= OPEN_MAX {
            self.close(0)?;
        }
        let Job { place, staging, split, format, .. } = &self.job;
        let target = match place.shape {
            Shape::Fixed | Shape::PerRun => place.path.clone(),
            Shape::Folder => place.part(&folder, self.partition, self.begun),
        };
        let staged = staging.begin(target)?;
        let file = File::create(&staged.local).map_err(|e| io_problem(&staged.file.path, &e))?;
        let schema = Arc::clone(&split.schema);
        let FileFormat { format, compression, .. } = format;
        let writer = write::open(format, *compression, schema, Box::new(file));
        let writer = writer.map_err(|problem| problem.in_file(&staged.file.path))?;
        self.begun += 1;
        self.open.push(OpenPart { folder, staged, writer, rows: 0 });
        Ok(self.open.len() - 1)
    }

    fn close(&mut self, at: usize) -> Result<()> {
        let OpenPart { mut staged, writer, rows, .. } = self.open.remove(at);
        writer.finish().map_err(|problem| problem.in_file(&staged.file.path))?;
        staged.seal(rows)?;
        self.done.push(staged);
        Ok(())
    }
}
