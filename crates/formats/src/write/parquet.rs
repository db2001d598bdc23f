//! Parquet with zstd.

use super::{ParquetWriteOptions, RowWriter};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use model::{Problem, Result, codes};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::{self, BufWriter, Write};

const BUFFER_BYTES: usize = 256 * 1024;
/// A row group that takes more memory is closed, whatever its number of rows.
const GROUP_BYTES_MAX: usize = 256 * 1024 * 1024;

pub(super) struct ParquetWriter {
    writer: ArrowWriter<BufWriter<Box<dyn Write + Send>>>,
}

impl ParquetWriter {
    pub(super) fn new(
        options: &ParquetWriteOptions,
        schema: SchemaRef,
        target: Box<dyn Write + Send>,
    ) -> Result<Self> {
        let level = ZstdLevel::try_new(options.level).map_err(|error| {
            Problem::new(
                &codes::SETTING_INVALID,
                format!("there is no zstd level {}", options.level),
            )
            .arg("level", options.level)
            .detail(error)
            .hint("choose a level from 1 (fast) to 22 (small)")
        })?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(options.row_group_rows.max(1)))
            .build();
        let target = BufWriter::with_capacity(BUFFER_BYTES, target);
        let writer = ArrowWriter::try_new(target, schema, Some(properties)).map_err(failed)?;
        Ok(Self { writer })
    }
}

impl RowWriter for ParquetWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(failed)?;
        if self.writer.in_progress_size() > GROUP_BYTES_MAX {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut target = self.writer.into_inner().map_err(failed)?;
        target.flush().map_err(super::target::failed)
    }
}

fn failed(error: ParquetError) -> Problem {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => super::target::failed(*error),
            Err(error) => refused(&*error),
        },
        error => refused(&error),
    }
}

fn refused(error: &dyn std::error::Error) -> Problem {
    Problem::new(&codes::TYPE_MISMATCH, "rows of this shape cannot be written as Parquet")
        .detail(error)
        .hint("cast the column that is named, or leave it out")
}
