//! Queries whose rows are kept in a file, and pages of them.
//!
//! The file is an Arrow IPC file whose batches have the same number of rows, so that a page is
//! found by counting.

use super::rows::{page as shown, unwritable, writer};
use super::{Answered, value};
use crate::ad_hoc;
use crate::commands::tables::columns;
use crate::workbench::Workbench;
use api::query::{Cut, QueryResult, RowFormat};
use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Problem, Result, codes};
use serde_json::Value;
use server::{PageQuestion, QueryQuestion};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// Rows of each batch of a file but the last.
const BATCH_ROWS: usize = 8192;
/// Bytes that are read and written at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Runs a query and keeps its rows, up to the limits.
pub(super) async fn keep(workbench: &Workbench, question: QueryQuestion) -> Result<QueryResult> {
    let rows = ad_hoc::run(workbench, &question.sql).await?.into_batches();
    let schema = Arc::clone(&rows.schema);
    let mut kept = Kept::create(&question.file, &schema)?;
    let mut batches = stream::iter(rows.partitions).flatten();
    let mut cut = None;
    while cut.is_none()
        && let Some(batch) = batches.try_next().await?
    {
        let room = question.rows_max - kept.rows;
        let taken = batch.num_rows().min(usize::try_from(room).unwrap_or(usize::MAX));
        if taken < batch.num_rows() {
            cut = Some(Cut::Rows);
        }
        kept.push(batch.slice(0, taken))?;
        if kept.bytes() > question.bytes_max {
            cut = Some(Cut::Bytes);
        }
    }
    let (rows, bytes) = kept.finish()?;
    Ok(QueryResult { columns: columns(&schema), rows, bytes, cut })
}

/// A file of rows that is being written.
struct Kept {
    coalescer: BatchCoalescer,
    writer: FileWriter<Counted>,
    rows: u64,
}

/// Counts bytes.
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Kept {
    fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| {
            Problem::new(&codes::STORAGE_FAILED, "rows of a query cannot be kept").detail(error)
        })?;
        let file = Counted { file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0 };
        let options = IpcWriteOptions::default();
        let options =
            options.try_with_compression(Some(CompressionType::LZ4_FRAME)).map_err(unwritable)?;
        let writer = FileWriter::try_new_with_options(file, schema, options).map_err(unwritable)?;
        let coalescer = BatchCoalescer::new(Arc::clone(schema), BATCH_ROWS);
        Ok(Self { coalescer, writer, rows: 0 })
    }

    fn bytes(&self) -> u64 {
        self.writer.get_ref().bytes
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.coalescer.push_batch(batch).map_err(unwritable)?;
        self.write_completed()
    }

    fn write_completed(&mut self) -> Result<()> {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.writer.write(&batch).map_err(full_or_unwritable)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, u64)> {
        self.coalescer.finish_buffered_batch().map_err(unwritable)?;
        self.write_completed()?;
        self.writer.finish().map_err(full_or_unwritable)?;
        Ok((self.rows, self.bytes()))
    }
}

fn full_or_unwritable(error: arrow::error::ArrowError) -> Problem {
    match &error {
        arrow::error::ArrowError::IoError(_, cause)
            if cause.kind() == io::ErrorKind::StorageFull =>
        {
            Problem::new(&codes::STORAGE_FULL, "there is no room for the rows of a query")
                .hint("make room on the disk of the server, or ask for fewer rows")
        }
        _ => unwritable(error),
    }
}

/// Rows of a file, in the form that is wanted.
pub(super) fn page(question: PageQuestion) -> Answered {
    let opened = Pages::open(&question.file).map_err(|problem| vec![problem])?;
    match question.format {
        RowFormat::Json => {
            let batches = opened.rows(question.after, question.limit);
            let schema = batches.reader.schema();
            let batches: Result<Vec<RecordBatch>> = batches.collect();
            let page = batches.and_then(|batches| shown(&schema, &batches));
            value(page.map_err(|problem| vec![problem])?)
        }
        format => Ok((
            Value::Null,
            Some(Box::new(move |target| {
                let mut batches = opened.rows(question.after, question.limit);
                let mut writer = writer(format, &batches.reader.schema(), target)?;
                batches.try_for_each(|batch| writer.write(&batch?))?;
                writer.finish()
            })),
        )),
    }
}

/// A file of rows that is read.
struct Pages {
    reader: FileReader<BufReader<File>>,
}

impl Pages {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| {
            Problem::new(&codes::NOT_FOUND, "the rows of the query are not there any more")
                .detail(error)
                .hint("ask again")
        })?;
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self { reader: FileReader::try_new(file, None).map_err(unwritable)? })
    }

    fn rows(self, after: u64, limit: u64) -> Slices {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Slices {
            reader: self.reader,
            next: after / BATCH_ROWS,
            skip: after % BATCH_ROWS,
            room: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }
}

/// Some of the rows of a file.
struct Slices {
    reader: FileReader<BufReader<File>>,
    next: usize,
    skip: usize,
    room: usize,
}

impl Iterator for Slices {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.room == 0 || self.next >= self.reader.num_batches() {
            return None;
        }
        let read = self.reader.set_index(self.next).and_then(|()| self.reader.next().transpose());
        self.next += 1;
        match read {
            Ok(Some(batch)) => {
                let skip = std::mem::take(&mut self.skip).min(batch.num_rows());
                let taken = (batch.num_rows() - skip).min(self.room);
                self.room -= taken;
                Some(Ok(batch.slice(skip, taken)))
            }
            Ok(None) => None,
            Err(error) => Some(Err(unwritable(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    fn numbers(from: i64, to: i64) -> RecordBatch {
        let column = Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    #[test]
    fn every_page_of_a_file_has_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.arrow");
        let mut kept = Kept::create(&path, &numbers(0, 1).schema()).unwrap();
        let mut from = 0;
        // Batches of any size go in.
        for size in [0, 1, 8191, 8192, 8193, 20_000, 7] {
            kept.push(numbers(from, from + size)).unwrap();
            from += size;
        }
        let (rows, bytes) = kept.finish().unwrap();
        assert_eq!((rows as i64, bytes), (from, std::fs::metadata(&path).unwrap().len()));
        assert!(Kept::create(&path, &numbers(0, 1).schema()).is_err(), "nothing is overwritten");
        for (after, limit) in
            [(0, 1), (0, 8192), (8191, 2), (8192, 1), (16_383, 10_000), (0, u64::MAX), (rows, 5)]
        {
            let slices = Pages::open(&path).unwrap().rows(after, limit);
            let found: Vec<i64> = slices
                .flat_map(|batch| {
                    batch.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec()
                })
                .collect();
            let end = after.saturating_add(limit).min(rows);
            let expected: Vec<i64> = (after as i64..end as i64).collect();
            assert_eq!(found, expected, "{limit} after {after}");
        }
    }
}
