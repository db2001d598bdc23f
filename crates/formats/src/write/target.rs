//! Where text goes: into a writer, compressed or not.

use super::Compression;
use flate2::write::GzEncoder;
use model::{Problem, Result, codes};
use std::io::{self, BufWriter, ErrorKind, Write};

const BUFFER_BYTES: usize = 256 * 1024;
const ZSTD_LEVEL: i32 = 3;

type Inner = BufWriter<Box<dyn Write + Send>>;

/// A writer of text.
pub(super) enum Target {
    Plain(Inner),
    Gzip(GzEncoder<Inner>),
    Zstd(zstd::Encoder<'static, Inner>),
}

impl Target {
    pub(super) fn new(target: Box<dyn Write + Send>, compression: Compression) -> Result<Self> {
        let inner = BufWriter::with_capacity(BUFFER_BYTES, target);
        Ok(match compression {
            Compression::None => Self::Plain(inner),
            Compression::Gzip => Self::Gzip(GzEncoder::new(inner, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(inner, ZSTD_LEVEL).map_err(failed)?;
                encoder.include_checksum(true).map_err(failed)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes all of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let result = match self {
            Self::Plain(writer) => writer.write_all(bytes),
            Self::Gzip(writer) => writer.write_all(bytes),
            Self::Zstd(writer) => writer.write_all(bytes),
        };
        result.map_err(failed)
    }

    /// Ends the compressed stream and flushes.
    pub(super) fn finish(self) -> Result<()> {
        let inner = match self {
            Self::Plain(writer) => Ok(writer),
            Self::Gzip(writer) => writer.finish(),
            Self::Zstd(writer) => writer.finish(),
        };
        inner.and_then(|mut inner| inner.flush()).map_err(failed)
    }
}

/// What a failed write means.
pub(super) fn failed(error: io::Error) -> Problem {
    let (code, fact, hint) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            (&codes::STORAGE_FULL, "there is no room for the file", "make room, then run again")
        }
        ErrorKind::PermissionDenied => (
            &codes::PERMISSION_DENIED,
            "the file may not be written",
            "give this user the right to write there",
        ),
        _ => (&codes::STORAGE_FAILED, "the file cannot be written", "see whether the disk is well"),
    };
    Problem::new(code, fact).detail(error).hint(hint)
}
