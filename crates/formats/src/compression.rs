//! Compressed files: recognised by their first bytes, unpacked while they are read, and refused
//! when they unpack to far more than they should.

use crate::file::InputFile;
use flate2::read::MultiGzDecoder;
use model::{Problem, Result, codes};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zip::ZipArchive;
use zip::result::ZipError;

const BUFFER_BYTES: usize = 128 * 1024;
/// Below this size nothing is called a bomb, whatever its ratio is.
const GRACE_BYTES: u64 = 32 << 20;

/// How far unpacking may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that come out for each byte that goes in, beyond the first 32 MiB.
    pub ratio_max: u64,
    /// Files in an archive.
    pub entries_max: usize,
    /// Bytes that come out of one file or archive.
    pub unpacked_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ratio_max: 100, entries_max: 10_000, unpacked_bytes_max: 10 << 30 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Plain,
    Gzip,
    Zstd,
    Zip,
}

/// One readable file: a file as it is, an unpacked one, or one file of an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// The file on disk; `name` is the member's own, such as `archive.zip/member.csv`.
    pub file: InputFile,
    container: Container,
    entry: usize,
    limits: Limits,
}

impl Member {
    /// Whether the bytes on disk are the bytes that are read.
    pub fn is_plain(&self) -> bool {
        self.container == Container::Plain
    }
}

/// The readable files behind `file`: itself, or the files of the archive that it is.
pub fn members(file: &InputFile, limits: Limits) -> Result<Vec<Member>> {
    let mut magic = [0; 4];
    let mut opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
    if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Problem::new(&codes::FILE_UNREADABLE, format!("`{}` is a folder", file.name))
            .arg("file", &file.name)
            .hint(format!("name the files in it, for example `{}/*.csv`", file.name)));
    }
    let length = read_full(&mut opened, &mut magic).map_err(|error| file.problem(&error))?;
    let container = container_of(&magic[..length]);
    let member = |file: InputFile, entry: usize| Member { file, container, entry, limits };
    if container != Container::Zip {
        return Ok(vec![member(file.clone(), 0)]);
    }
    opened.seek(SeekFrom::Start(0)).map_err(|error| file.problem(&error))?;
    let mut archive =
        ZipArchive::new(BufReader::new(opened)).map_err(|error| zip_problem(file, &error))?;
    if archive.len() > limits.entries_max {
        let fact = format!("`{}` holds {} files", file.name, archive.len());
        return Err(too_large(file, fact, limits.entries_max as u64));
    }
    let mut members = Vec::new();
    let mut declared: u64 = 0;
    for entry in 0..archive.len() {
        let inner = archive.by_index_raw(entry).map_err(|error| zip_problem(file, &error))?;
        let name = inner.name().map_err(|error| zip_problem(file, &error))?.into_owned();
        if inner.is_dir() || name.ends_with('/') || name.starts_with("__MACOSX/") {
            continue;
        }
        declared = declared.saturating_add(inner.size());
        let packed = inner.compressed_size().max(1);
        let is_bomb = inner.size() > GRACE_BYTES && inner.size() / packed > limits.ratio_max;
        if is_bomb || declared > limits.unpacked_bytes_max {
            return Err(bomb(file, declared, limits));
        }
        members.push(member(
            InputFile::new(file.path.clone(), format!("{}/{name}", file.name)),
            entry,
        ));
    }
    Ok(members)
}

/// Opens `member` and hands its unpacked bytes to `read`. `bytes` counts what is read from disk.
pub fn with_reader<T>(
    member: &Member,
    bytes: &Arc<AtomicU64>,
    read: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let file = &member.file;
    let opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let mut counted = Counted { inner: opened, total: Arc::clone(bytes), own: Arc::default() };
    let limits = member.limits;
    let packed = Arc::clone(&counted.own);
    let guard = |inner| Guarded { inner, packed, out: 0, limits, is_checked: false };
    match member.container {
        Container::Plain => read(&mut counted),
        Container::Gzip => {
            let buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
            let mut unpacker = MultiGzDecoder::new(buffered);
            read(&mut guard(&mut unpacker as &mut dyn Read))
        }
        Container::Zstd => {
            let mut unpacker =
                zstd::stream::read::Decoder::new(counted).map_err(|error| corrupt(file, &error))?;
            read(&mut guard(&mut unpacker as &mut dyn Read))
        }
        Container::Zip => {
            let buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
            let mut archive =
                ZipArchive::new(buffered).map_err(|error| zip_problem(file, &error))?;
            let mut entry =
                archive.by_index(member.entry).map_err(|error| zip_problem(file, &error))?;
            let mut guarded = guard(&mut entry as &mut dyn Read);
            guarded.is_checked = true;
            read(&mut guarded)
        }
    }
}

/// What a failure to read the bytes of `file` means: damage, a bomb, or the disk.
pub fn read_problem(file: &InputFile, error: &io::Error) -> Problem {
    if let Some(problem) = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
        return match problem {
            Refused::Bomb { unpacked, limits } => bomb(file, *unpacked, *limits),
            Refused::Nested => Problem::new(
                &codes::FILE_CORRUPT,
                format!("`{}` is an archive inside of an archive", file.name),
            )
            .arg("file", &file.name)
            .hint("unpack the outer archive first")
            .in_file(&file.name),
        };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            corrupt(file, error)
        }
        // The system's own errors carry a number; what a decoder says does not.
        _ if error.raw_os_error().is_none() => corrupt(file, error),
        _ => file.problem(error),
    }
}

/// Fills `buffer` as far as the reader goes.
pub(crate) fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn container_of(magic: &[u8]) -> Container {
    match magic {
        [0x1f, 0x8b, ..] => Container::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Container::Zstd,
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => Container::Zip,
        _ => Container::Plain,
    }
}

fn corrupt(file: &InputFile, error: &io::Error) -> Problem {
    let fact = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("`{}` ends before its compressed data", file.name),
        _ => format!("`{}` cannot be unpacked", file.name),
    };
    Problem::new(&codes::FILE_CORRUPT, fact)
        .arg("file", &file.name)
        .detail(error)
        .hint("the file is damaged or was not copied whole: fetch it again")
        .in_file(&file.name)
}

fn zip_problem(file: &InputFile, error: &ZipError) -> Problem {
    let name = &file.name;
    let (fact, hint) = match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => return file.problem(error),
        ZipError::UnsupportedArchive(text) if *text == ZipError::PASSWORD_REQUIRED => {
            (format!("`{name}` is protected by a password"), "unpack it first")
        }
        ZipError::InvalidPassword => {
            (format!("`{name}` is protected by a password"), "unpack it first")
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => (
            format!("`{name}` is packed in a way that is not supported"),
            "pack it again with the usual method, deflate",
        ),
        _ => (
            format!("`{name}` is not a readable zip archive"),
            "the file is damaged or was not copied whole: fetch it again",
        ),
    };
    Problem::new(&codes::FILE_CORRUPT, fact)
        .arg("file", name)
        .detail(error)
        .hint(hint)
        .in_file(name)
}

fn bomb(file: &InputFile, unpacked: u64, limits: Limits) -> Problem {
    let fact = format!(
        "`{}` unpacks to more than {} bytes, or to more than {} times its size",
        file.name,
        stdx::text::group_digits(limits.unpacked_bytes_max),
        limits.ratio_max
    );
    too_large(file, fact, unpacked)
}

fn too_large(file: &InputFile, fact: String, size: u64) -> Problem {
    Problem::new(&codes::FILE_TOO_LARGE, fact)
        .arg("file", &file.name)
        .arg("size", size)
        .hint("unpack the file yourself if you trust where it comes from")
        .in_file(&file.name)
}

/// Counts the bytes that come from disk.
struct Counted<R> {
    inner: R,
    total: Arc<AtomicU64>,
    own: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.total.fetch_add(count as u64, Ordering::Relaxed);
        self.own.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

#[derive(Debug)]
enum Refused {
    Bomb { unpacked: u64, limits: Limits },
    Nested,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bomb { .. } => "unpacks to too much",
            Self::Nested => "is an archive inside of an archive",
        })
    }
}

impl std::error::Error for Refused {}

/// Stops unpacking when too much comes out, and looks for an archive inside of an archive.
struct Guarded<R> {
    inner: R,
    packed: Arc<AtomicU64>,
    out: u64,
    limits: Limits,
    is_checked: bool,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if self.out == 0
            && self.is_checked
            && container_of(&buffer[..count.min(4)]) != Container::Plain
        {
            return Err(io::Error::other(Refused::Nested));
        }
        self.out += count as u64;
        let packed = self.packed.load(Ordering::Relaxed).max(1);
        let is_too_dense = self.out > GRACE_BYTES && self.out / packed > self.limits.ratio_max;
        if is_too_dense || self.out > self.limits.unpacked_bytes_max {
            let refused = Refused::Bomb { unpacked: self.out, limits: self.limits };
            return Err(io::Error::other(refused));
        }
        Ok(count)
    }
}
