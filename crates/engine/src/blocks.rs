//! Record batches in a temporary file, written once and read from anywhere in it.

use arrow::array::RecordBatch;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use model::{Problem, Result, codes};
use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file of blocks, each a small Arrow IPC stream. It has no name and vanishes with its owner.
#[derive(Debug)]
pub(crate) struct BlockFile {
    file: File,
    end: u64,
}

/// Where a block lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    offset: u64,
    bytes: usize,
}

impl BlockFile {
    /// A new file in the spill folder.
    pub(crate) fn create(spill: &Path) -> Result<Self> {
        std::fs::create_dir_all(spill).map_err(failed)?;
        let file = tempfile::tempfile_in(spill).map_err(failed)?;
        Ok(Self { file, end: 0 })
    }

    /// Writes a batch at the end.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<Block> {
        let bytes = encode(batch).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a batch cannot be spilled").detail(error)
        })?;
        self.file.write_all_at(&bytes, self.end).map_err(failed)?;
        let block = Block { offset: self.end, bytes: bytes.len() };
        self.end += bytes.len() as u64;
        Ok(block)
    }

    /// Reads a batch back.
    pub(crate) fn read(&self, block: Block) -> Result<RecordBatch> {
        let mut bytes = vec![0; block.bytes];
        self.file.read_exact_at(&mut bytes, block.offset).map_err(failed)?;
        let damaged = || Problem::new(&codes::INTERNAL, "a spilled batch cannot be read back");
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None)
            .map_err(|error| damaged().detail(error))?;
        match reader.next() {
            Some(batch) => batch.map_err(|error| damaged().detail(error)),
            None => Err(damaged()),
        }
    }
}

fn encode(batch: &RecordBatch) -> Result<Vec<u8>, arrow::error::ArrowError> {
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options)?;
    writer.write(batch)?;
    writer.into_inner()
}

fn failed(error: io::Error) -> Problem {
    let code = match error.kind() {
        io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, "a spill file cannot be written or read")
        .detail(error)
        .hint("make room, or move `.affluent` to a larger disk")
}
