//! An object store over local files whose writes survive a power cut.
//!
//! The library's own local store never syncs. Here a file is written under a temporary name,
//! synced, linked or renamed to its final name, and then its folder is synced.

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UploadPart,
};
use std::fmt::{self, Display};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use stdx::durable;

/// Folder of a table for rows on their way; what lies in it is thrown away after a crash.
pub(crate) const STAGING: &str = "_staging";
/// Folder of a table for its log.
pub(crate) const LOG: &str = "_delta_log";

/// How often a file is created again when its folder has gone.
const CREATE_ATTEMPTS_MAX: usize = 8;

/// Local files as an object store; a write is durable when it returns.
#[derive(Debug, Clone)]
pub struct DurableStore {
    files: LocalFileSystem,
}

impl DurableStore {
    /// A store whose paths begin at the root of the file system.
    pub fn new() -> Self {
        Self { files: LocalFileSystem::new() }
    }
}

impl Default for DurableStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableStore")
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let publish = match options.mode {
            PutMode::Overwrite => Publish::Replace,
            PutMode::Create => Publish::Create,
            PutMode::Update(_) => return Err(unsupported("conditional update")),
        };
        let target = Target::new(&self.files, location)?;
        blocking(move || {
            let (file, temporary) = target.create()?;
            let written = write_all(&file, &payload)
                .and_then(|()| target.publish(&file, &temporary, publish));
            if written.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            written.map_err(|error| target.error(error))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = Target::new(&self.files, location)?;
        let upload = blocking(move || {
            let (file, temporary) = target.create()?;
            Ok(Upload { target, file: Arc::new(file), temporary: Some(temporary), offset: 0 })
        })
        .await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let files = self.files.clone();
        self.files
            .delete_stream(locations)
            .inspect_ok(move |location| remove_empty_staging(&files, location))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let from = self.files.path_to_filesystem(from)?;
        let target = Target::new(&self.files, to)?;
        let publish = match options.mode {
            CopyMode::Overwrite => Publish::Replace,
            CopyMode::Create => Publish::Create,
        };
        blocking(move || {
            target.create_folder().map_err(|error| target.error(error))?;
            let temporary = target.temporary();
            // Files of a lake never change, so that a second name is as good as a copy.
            fs::hard_link(&from, &temporary).map_err(|error| file_error(&from, error))?;
            let published =
                File::open(&temporary).and_then(|file| target.publish(&file, &temporary, publish));
            if published.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            published.map_err(|error| target.error(error))
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.copy_opts(from, to, CopyOptions::new().with_mode(mode)).await?;
        let from = self.files.path_to_filesystem(from)?;
        blocking(move || fs::remove_file(&from).map_err(|error| file_error(&from, error))).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publish {
    Create,
    Replace,
}

/// Where a file is going to be.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// Whether it has to survive a crash.
    durable: bool,
    /// What the durable step is called.
    step: String,
}

impl Target {
    fn new(files: &LocalFileSystem, location: &Path) -> Result<Self> {
        let path = files.path_to_filesystem(location)?;
        let durable = !location.parts().any(|part| part.as_ref() == STAGING);
        Ok(Self { path, durable, step: step_name(location) })
    }

    /// A name beside the final one that no other process or machine uses.
    fn temporary(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let unique = uuid::Uuid::new_v4().simple();
        self.path.with_file_name(format!(".{name}.{unique}{}", durable::TEMPORARY_SUFFIX))
    }

    fn create_folder(&self) -> io::Result<()> {
        let Some(folder) = self.path.parent() else { return Ok(()) };
        // Only the staging folder itself may be lost: the table that it lies in is there to stay.
        let lasting = folder.ancestors().find(|dir| !dir.iter().any(|part| part == STAGING));
        durable::create_dir_all(lasting.unwrap_or(folder))?;
        if self.durable { Ok(()) } else { fs::create_dir_all(folder) }
    }

    fn create(&self) -> Result<(File, PathBuf)> {
        let open = || -> io::Result<(File, PathBuf)> {
            self.create_folder()?;
            let temporary = self.temporary();
            let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            Ok((file, temporary))
        };
        let mut opened = open();
        for _ in 1..CREATE_ATTEMPTS_MAX {
            // Somebody may remove an empty staging folder just after it was made sure of.
            match &opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => opened = open(),
                _ => break,
            }
        }
        opened.map_err(|error| self.error(error))
    }

    fn publish(&self, file: &File, temporary: &FilePath, publish: Publish) -> io::Result<()> {
        if self.durable {
            trace("sync file", temporary);
            file.sync_all()?;
            durable::step(&self.step)?;
        }
        trace("publish", &self.path);
        match publish {
            Publish::Create => {
                fs::hard_link(temporary, &self.path)?;
                let _ = fs::remove_file(temporary);
            }
            Publish::Replace => fs::rename(temporary, &self.path)?,
        }
        match self.path.parent() {
            Some(folder) if self.durable => {
                trace("sync folder", folder);
                durable::sync_dir(folder)
            }
            _ => Ok(()),
        }
    }

    fn error(&self, error: io::Error) -> Error {
        file_error(&self.path, error)
    }
}

/// Folders of finished stagings go with their last file.
fn remove_empty_staging(files: &LocalFileSystem, location: &Path) {
    if !location.parts().any(|part| part.as_ref() == STAGING) {
        return;
    }
    let Ok(path) = files.path_to_filesystem(location) else { return };
    for folder in path.ancestors().skip(1) {
        let is_last = folder.file_name().is_some_and(|name| name == STAGING);
        if fs::remove_dir(folder).is_err() || is_last {
            return;
        }
    }
}

/// `delta commit silver/orders 12`, `delta log file …` or `data file …`.
fn step_name(location: &Path) -> String {
    let text = location.as_ref();
    let Some((table, file)) = text.rsplit_once(&format!("/{LOG}/")) else {
        return format!("data file {text}");
    };
    match file.strip_suffix(".json").map(str::parse::<u64>) {
        Some(Ok(version)) => format!("delta commit {table} {version}"),
        _ => format!("delta log file {text}"),
    }
}

fn write_all(mut file: &File, payload: &PutPayload) -> io::Result<()> {
    payload.iter().try_for_each(|bytes| file.write_all(bytes))
}

/// A file that is written in parts.
#[derive(Debug)]
struct Upload {
    target: Target,
    file: Arc<File>,
    temporary: Option<PathBuf>,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let mut offset = self.offset;
        self.offset += payload.content_length() as u64;
        let file = Arc::clone(&self.file);
        let path = self.target.path.clone();
        blocking(move || {
            for bytes in &payload {
                file.write_all_at(bytes, offset).map_err(|error| file_error(&path, error))?;
                offset += bytes.len() as u64;
            }
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let Some(temporary) = self.temporary.take() else {
            return Err(unsupported("completing an upload twice"));
        };
        let target = Target {
            path: self.target.path.clone(),
            durable: self.target.durable,
            step: self.target.step.clone(),
        };
        let file = Arc::clone(&self.file);
        blocking(move || {
            let published = target.publish(&file, &temporary, Publish::Replace);
            if published.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            published.map_err(|error| target.error(error))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        match self.temporary.take() {
            Some(temporary) => {
                blocking(move || {
                    fs::remove_file(&temporary).map_err(|error| file_error(&temporary, error))
                })
                .await
            }
            None => Ok(()),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = fs::remove_file(temporary);
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn file_error(path: &FilePath, error: io::Error) -> Error {
    let path = path.to_string_lossy().into_owned();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: Box::new(error) },
        io::ErrorKind::NotFound => Error::NotFound { path, source: Box::new(error) },
        _ => Error::Generic { store: "DurableStore", source: Box::new(error) },
    }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "DurableStore".to_owned(),
    }
}

#[cfg(not(test))]
fn trace(_event: &'static str, _path: &FilePath) {}

#[cfg(test)]
fn trace(event: &'static str, path: &FilePath) {
    crate::tests::durability::record(event, path);
}
