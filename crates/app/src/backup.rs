//! The file that a backup is: a ZIP archive with one part per table of the metadata, and a manifest
//! that says what belongs to it. It holds no key: without the master key its secrets stay sealed.

use model::{Name, Problem, Result, TableName, codes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use stdx::durable::{self, Publish};
use store::{Address, Existing, Restore, Row, Snapshot, Store};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const MANIFEST: &str = "manifest.json";
/// What the manifest begins with.
const FORMAT: &str = "affluent backup";
const FORMAT_VERSION: u32 = 1;
/// A manifest is no longer than this.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// A row is no longer than this: documents and records of runs are in rows.
const ROW_BYTES_MAX: u64 = 256 << 20;
/// Rows that are put in by one call.
const ROWS_AT_ONCE: usize = 500;

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    format_version: u32,
    /// The version of the program that made it.
    pub(crate) program: String,
    /// When, µs since the epoch.
    pub(crate) created_at_us: i64,
    /// The migration that the metadata have had last.
    pub(crate) migration: usize,
    /// The parts, in the order in which they are put in.
    pub(crate) parts: Vec<Part>,
    /// The workspace whose tables follow.
    pub(crate) workspace: Name,
    /// The version of each lake table.
    pub(crate) tables: BTreeMap<TableName, u64>,
}

/// A table of the metadata.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) table: String,
    /// The columns of the values of each row.
    columns: Vec<String>,
    /// How many rows there are.
    pub(crate) rows: u64,
    /// Hash of the part.
    sha256: String,
}

impl Part {
    fn file(&self) -> String {
        format!("tables/{}.jsonl", self.table)
    }
}

fn unwritable(path: &Path, error: impl Into<std::io::Error>) -> Problem {
    let error = error.into();
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        std::io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, format!("the backup `{}` cannot be written", path.display()))
        .detail(error)
        .hint("name a new file in a folder that exists and has room")
}

fn damaged(what: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::FILE_CORRUPT, format!("the file is no whole backup: {what}"))
        .hint("take another copy of the backup")
}

/// A backup that is being written. It has its name when it is whole, and is durable then.
pub(crate) struct BackupFile {
    /// None when it is finished.
    archive: Option<ZipWriter<BufWriter<File>>>,
    temporary: PathBuf,
    path: PathBuf,
    parts: Vec<Part>,
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        // After the publishing there is nothing under this name any more.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

impl BackupFile {
    /// Begins a file that must not be there yet.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path.exists() {
            let fact = format!("`{}` is there already", path.display());
            return Err(Problem::new(&codes::CONFLICT, fact).hint("name a new file"));
        }
        let temporary = durable::temporary_path(path);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = opened.map_err(|error| unwritable(path, error))?;
        let archive = ZipWriter::new(BufWriter::with_capacity(1 << 20, file));
        Ok(Self { archive: Some(archive), temporary, path: path.to_owned(), parts: Vec::new() })
    }

    /// Writes all rows of the metadata.
    pub(crate) async fn add(&mut self, snapshot: &Snapshot) -> Result<()> {
        for table in snapshot.tables() {
            let columns = snapshot.columns(table)?.into_iter().map(str::to_owned).collect();
            let mut part =
                Part { table: table.to_owned(), columns, rows: 0, sha256: String::new() };
            self.start(&part.file())?;
            let mut hash = Sha256::new();
            let mut last: Option<Row> = None;
            loop {
                let rows = snapshot.rows(table, last.as_ref()).await?;
                for row in &rows {
                    let mut line = serde_json::to_vec(row).map_err(damaged)?;
                    line.push(b'\n');
                    hash.update(&line);
                    self.write(&line)?;
                }
                part.rows += rows.len() as u64;
                match rows.into_iter().next_back() {
                    Some(row) => last = Some(row),
                    None => break,
                }
            }
            part.sha256 = hex(&hash.finalize());
            self.parts.push(part);
        }
        Ok(())
    }

    /// Writes the manifest, and gives the file its name.
    pub(crate) fn finish(
        mut self,
        migration: usize,
        workspace: Name,
        tables: BTreeMap<TableName, u64>,
        now_us: i64,
    ) -> Result<Manifest> {
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            created_at_us: now_us,
            migration,
            parts: std::mem::take(&mut self.parts),
            workspace,
            tables,
        };
        let text = serde_json::to_vec_pretty(&manifest).map_err(damaged)?;
        self.start(MANIFEST)?;
        self.write(&text)?;
        let path = self.path.clone();
        let failed = |error: std::io::Error| unwritable(&path, error);
        let archive = self.archive.take().expect("an archive is finished once");
        let written = archive.finish().map_err(|error| failed(error.into()))?;
        let file = written.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        durable::publish_file(&self.temporary, &self.path, Publish::Create).map_err(failed)?;
        Ok(manifest)
    }

    fn start(&mut self, name: &str) -> Result<()> {
        let options = SimpleFileOptions::default().large_file(true).unix_permissions(0o600);
        let archive = self.archive.as_mut().expect("nothing is written after the end");
        archive.start_file(name, options).map_err(|error| unwritable(&self.path, error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let archive = self.archive.as_mut().expect("nothing is written after the end");
        archive.write_all(bytes).map_err(|error| unwritable(&self.path, error))
    }
}

/// A backup, opened and found whole.
pub(crate) struct Backup {
    archive: ZipArchive<BufReader<File>>,
    /// What it holds.
    pub(crate) manifest: Manifest,
}

impl Backup {
    /// Opens a backup and reads all of it once: every part must be what the manifest says.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::NotFound => &codes::FILE_NOT_FOUND,
                _ => &codes::FILE_UNREADABLE,
            };
            Problem::new(code, format!("`{}` cannot be opened", path.display())).detail(error)
        })?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        let mut text = Vec::new();
        let manifest = archive.by_name(MANIFEST).map_err(damaged)?;
        manifest.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(damaged)?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(damaged)?;
        if manifest.format != FORMAT || manifest.format_version > FORMAT_VERSION {
            return Err(Problem::new(&codes::STORE_NEWER, "the backup is of a newer form")
                .hint("restore it with the program that made it"));
        }
        let mut backup = Self { archive, manifest };
        for part in backup.manifest.parts.clone() {
            backup.verify(&part)?;
        }
        Ok(backup)
    }

    fn verify(&mut self, part: &Part) -> Result<()> {
        let mut file = self.archive.by_name(&part.file()).map_err(damaged)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = file.read(&mut buffer).map_err(damaged)?;
            if length == 0 {
                break;
            }
            hash.update(&buffer[..length]);
        }
        match hex(&hash.finalize()) == part.sha256 {
            true => Ok(()),
            false => Err(damaged(format_args!("the part `{}` was changed", part.table))),
        }
    }

    /// Puts all rows into the database at `address`: all of them, or none.
    pub(crate) async fn restore(mut self, address: &Address, existing: Existing) -> Result<Store> {
        let restore = Restore::begin(address, self.manifest.migration, existing).await?;
        for part in &self.manifest.parts {
            let file = self.archive.by_name(&part.file()).map_err(damaged)?;
            let mut lines = BufReader::new(file);
            let mut put_in = 0;
            loop {
                let rows = some_rows(&mut lines)?;
                if rows.is_empty() {
                    break;
                }
                restore.insert(&part.table, &part.columns, &rows).await?;
                put_in += rows.len() as u64;
            }
            if put_in != part.rows {
                return Err(damaged(format_args!("the part `{}` has lost rows", part.table)));
            }
        }
        restore.finish().await
    }
}

fn some_rows(lines: &mut impl BufRead) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut line = Vec::new();
    while rows.len() < ROWS_AT_ONCE {
        line.clear();
        let length = lines.take(ROW_BYTES_MAX).read_until(b'\n', &mut line).map_err(damaged)?;
        if length == 0 {
            break;
        }
        rows.push(serde_json::from_slice(&line).map_err(damaged)?);
    }
    Ok(rows)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
