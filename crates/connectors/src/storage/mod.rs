//! Where files are: on this machine, in an object store, behind a URL — one trait for all three.

pub mod http;
pub mod local;
pub(crate) mod look;
pub mod s3;

use async_trait::async_trait;
use bytes::Bytes;
use contracts::Context;
use futures::{Stream, StreamExt};
use model::{Name, Problem, Result, codes};
use schemars::{Schema, SchemaGenerator};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Types of connections to object stores, and the JSON Schemas of their settings.
pub const CONNECTION_TYPES: &[(&str, fn() -> Schema)] =
    &[(s3::TYPE, || SchemaGenerator::default().into_root_schema_for::<s3::S3Settings>())];

/// A file as its store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Path or URL, as `_file` will show it.
    pub path: String,
    /// Bytes, where the store knows before it sends them.
    pub size: Option<u64>,
    /// Changes with the content: time of modification (µs since the epoch) or etag.
    pub version: Option<String>,
}

/// A file that has been copied to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Bytes.
    pub size: u64,
    /// Version as in [`StoredFile::version`], where the store gives one.
    pub version: Option<String>,
    /// Hash of the content.
    pub sha256: String,
}

/// A place of files. Paths are given as documents write them.
#[async_trait]
pub trait FileStore: Send + Sync {
    /// Every file below a folder, in no order.
    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>>;

    /// One file, or none when it is not there.
    async fn head(&self, path: &str) -> Result<Option<StoredFile>>;

    /// Copies a file to `to` on this machine, synced. With `version`, another one is a problem.
    async fn download(
        &self,
        path: &str,
        to: &Path,
        version: Option<&str>,
        bytes_max: u64,
    ) -> Result<Download>;

    /// The content of a small file, or none when it is not there.
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// Puts a finished file of this machine at `path`, in place of what is there, all at once and
    /// durably. The local file may be gone afterwards.
    async fn publish(&self, from: &Path, path: &str) -> Result<()>;

    /// Writes a small file unless the name is taken by another content. True when it is there now.
    async fn create(&self, path: &str, bytes: &[u8]) -> Result<bool>;

    /// Removes a file; one that is not there is fine.
    async fn delete(&self, path: &str) -> Result<()>;
}

/// What a path says about where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A path on this machine.
    Local,
    /// `s3://bucket/key`.
    S3,
    /// `http://…` or `https://…`.
    Http,
}

impl Scheme {
    /// The scheme of `path`.
    pub fn of(path: &str) -> Result<Self> {
        let Some((scheme, _)) = path.split_once("://") else { return Ok(Self::Local) };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => Ok(Self::S3),
            "http" | "https" => Ok(Self::Http),
            other => Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("paths cannot begin with `{other}://`"),
            )
            .arg("path", path)
            .hint("write a path on this machine, `s3://bucket/key`, or an `https://` URL")),
        }
    }
}

/// The store that `path` leads to.
pub fn open(
    context: &Context,
    path: &str,
    connection: Option<&Name>,
) -> Result<Arc<dyn FileStore>> {
    match (Scheme::of(path)?, connection) {
        (Scheme::Local, None) => Ok(Arc::new(local::LocalStore::new(context.clone()))),
        (Scheme::Http, None) => Ok(Arc::new(http::HttpStore::new()?)),
        (Scheme::S3, Some(connection)) => {
            Ok(Arc::new(s3::S3Store::open(context, connection, path)?))
        }
        (Scheme::S3, None) => {
            Err(Problem::new(&codes::SETTING_INVALID, format!("`{path}` needs a `connection`"))
                .hint("name a connection of type `s3`: `connection: my_bucket`"))
        }
        (Scheme::Local | Scheme::Http, Some(connection)) => Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{path}` takes no `connection`, but `{connection}` is given"),
        )
        .hint("leave `connection` out, or write a path that begins with `s3://`")),
    }
}

/// Runs file work where it blocks nobody else.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Problem::new(&codes::INTERNAL, "a file operation ended badly").detail(error)
    })?
}

/// What the operating system says, as a problem with the file `path`.
pub(crate) fn io_problem(path: impl std::fmt::Display, error: &io::Error) -> Problem {
    use io::ErrorKind as Kind;
    let problem = match error.kind() {
        Kind::NotFound => {
            Problem::new(&codes::FILE_NOT_FOUND, format!("there is no file `{path}`"))
                .hint("check the path; paths start at the project folder")
        }
        Kind::PermissionDenied => {
            Problem::new(&codes::PERMISSION_DENIED, format!("access to `{path}` is denied"))
                .hint("check the owner and the permissions of the file and of its folders")
        }
        Kind::StorageFull | Kind::QuotaExceeded => {
            Problem::new(&codes::STORAGE_FULL, format!("there is no space left for `{path}`"))
                .hint("free some space and run again: nothing half-written is visible")
        }
        Kind::IsADirectory | Kind::NotADirectory => {
            Problem::new(&codes::FILE_UNREADABLE, format!("`{path}` is not a file"))
                .hint("name a file, or a pattern such as `folder/*.csv`")
        }
        _ => Problem::new(&codes::STORAGE_FAILED, format!("the file `{path}` cannot be used"))
            .hint("check the disk or the network drive, then run again"),
    };
    problem.arg("path", &path).detail(error)
}

/// Writes a stream of bytes to `to` and syncs it; on a problem nothing is left there.
pub(crate) async fn save(
    mut stream: impl Stream<Item = Result<Bytes>> + Unpin + Send,
    path: &str,
    to: &Path,
    bytes_max: u64,
) -> Result<(u64, String)> {
    let result = save_stream(&mut stream, path, to, bytes_max).await;
    if result.is_err() {
        let _ = tokio::fs::remove_file(to).await;
    }
    result
}

async fn save_stream(
    stream: &mut (impl Stream<Item = Result<Bytes>> + Unpin + Send),
    path: &str,
    to: &Path,
    bytes_max: u64,
) -> Result<(u64, String)> {
    let shown = to.display();
    let file = tokio::fs::File::create(to).await.map_err(|e| io_problem(&shown, &e))?;
    let mut writer = tokio::io::BufWriter::with_capacity(1 << 20, file);
    let mut hash = Sha256::new();
    let mut size = 0u64;
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        size += bytes.len() as u64;
        if size > bytes_max {
            return Err(too_large(path, bytes_max));
        }
        hash.update(&bytes);
        writer.write_all(&bytes).await.map_err(|e| io_problem(&shown, &e))?;
    }
    writer.flush().await.map_err(|e| io_problem(&shown, &e))?;
    writer.get_ref().sync_all().await.map_err(|e| io_problem(&shown, &e))?;
    Ok((size, format!("{:x}", hash.finalize())))
}

pub(crate) fn too_large(path: &str, bytes_max: u64) -> Problem {
    let limit = stdx::text::group_digits(bytes_max);
    Problem::new(&codes::FILE_TOO_LARGE, format!("`{path}` has more than {limit} bytes"))
        .arg("path", path)
        .hint("raise `bytes_max`, or split the file")
}

pub(crate) fn changed(path: &str) -> Problem {
    Problem::new(
        &codes::FILE_CHANGED,
        format!("`{path}` changed after the run had fixed what it would read"),
    )
    .arg("path", path)
    .hint(
        "put the file back as it was and run again; with `land: copy` a run keeps a copy of its \
         own, and files may change",
    )
}

#[cfg(test)]
mod tests;
