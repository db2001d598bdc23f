//! The source that all file formats share: pinned files in, batches out.

use super::child;
use super::config::{FileConfig, Land};
use super::discover::discover;
use super::find::{covers, find};
use super::landing::Landing;
use crate::storage::local::{LocalStore, describe, resolve};
use crate::storage::{Scheme, blocking, changed, io_problem, open};
use arrow::datatypes::Schema;
use async_trait::async_trait;
use contracts::arrow_types::origin_fields;
use contracts::{Batches, Context, Discovery, Past, ReadRequest, Source};
use formats::file::{InputFile, ReadOptions};
use futures::StreamExt;
use model::run::{Arrival, Input};
use model::{Problem, Result, codes};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stdx::durable;

/// Options of a format, and how files are read with them.
pub(crate) trait FileFormat: Send + Sync + 'static {
    /// Opens local files; may block.
    fn open(&self, files: Vec<InputFile>, read: ReadOptions) -> Result<Batches>;

    /// The module and these options, where a file of the format can make its reader ask for more
    /// memory than there is: then files are read in a process of their own.
    fn untrusted(&self) -> Option<(&'static str, serde_json::Result<serde_json::Value>)> {
        None
    }

    /// Refuses options that make no sense together.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A configured source of files.
pub(crate) struct FileSource<O> {
    config: Arc<FileConfig<O>>,
}

impl<O: FileFormat> FileSource<O> {
    /// A source with these settings, checked as far as possible without looking at files.
    pub(crate) fn build(config: FileConfig<O>) -> Result<Box<dyn Source>> {
        if config.path.is_empty() {
            return Err(Problem::new(&codes::SETTING_INVALID, "`path` names no file")
                .hint("write a path or a pattern, such as `path: data/*.csv`"));
        }
        let mut needs_connection = false;
        for path in config.path.as_slice() {
            if path.trim().is_empty() {
                return Err(Problem::new(&codes::SETTING_INVALID, "`path` is empty")
                    .hint("write a path or a pattern, such as `path: data/*.csv`"));
            }
            needs_connection |= Scheme::of(path)? == Scheme::S3;
        }
        match (&config.connection, needs_connection) {
            (None, true) => Err(Problem::new(
                &codes::SETTING_INVALID,
                "a path that begins with `s3://` needs a `connection`",
            )
            .hint("name a connection of type `s3`: `connection: my_bucket`")),
            (Some(_), false) => Err(Problem::new(
                &codes::SETTING_INVALID,
                "`connection` has no meaning for these paths",
            )
            .hint("leave `connection` out, or write a path that begins with `s3://`")),
            _ => Ok(()),
        }?;
        config.options.check()?;
        Ok(Box::new(Self { config: Arc::new(config) }))
    }

    async fn open_files(
        &self,
        context: &Context,
        files: Vec<InputFile>,
        read: ReadOptions,
    ) -> Result<Batches> {
        if let (Some(program), Some((module, options))) =
            (child::program(), self.config.options.untrusted())
        {
            let options = options.map_err(|error| {
                Problem::new(&codes::INTERNAL, "options of a format are not JSON").detail(error)
            })?;
            let job = child::Job::new(module, options, &files, context.memory_bytes);
            return child::open(program, job, read).await;
        }
        let config = Arc::clone(&self.config);
        blocking(move || config.options.open(files, read)).await
    }

    /// No rows, with the columns of the newest file that can be had without fetching one.
    async fn empty(&self, context: &Context, read: ReadOptions) -> Result<Batches> {
        let schema = match self.example(context).await {
            Some(file) => {
                self.open_files(context, vec![file], read).await.ok().map(|open| open.schema)
            }
            None => None,
        };
        let origin = || Arc::new(Schema::new(origin_fields().to_vec()));
        Ok(Batches::empty(schema.unwrap_or_else(origin)))
    }

    async fn example(&self, context: &Context) -> Option<InputFile> {
        let paths = self.config.path.as_slice();
        if self.config.land != Some(Land::Copy) {
            for path in paths.iter().filter(|path| Scheme::of(path) == Ok(Scheme::Local)) {
                let store = LocalStore::new(context.clone());
                if let Ok(files) = find(context, &store, path).await
                    && let Some(file) = files.last()
                    && let Ok(local) = resolve(context, &file.path)
                {
                    return Some(InputFile::new(local, &file.path));
                }
            }
        }
        let landing = Landing::new(&context.landing);
        let landed = landing.all().await.ok()?;
        let is_ours = |name: &str| paths.iter().any(|path| covers(path, name));
        let newest = landed.into_iter().rev().find(|landed| is_ours(&landed.arrival.path))?;
        let copy = landing.locate(newest.arrival.landed.as_deref()?);
        copy.is_file().then(|| InputFile::new(copy, newest.arrival.path))
    }

    /// The file of an arrival on this machine, as it was pinned.
    async fn input_file(&self, context: &Context, arrival: &Arrival) -> Result<Pinned> {
        if let Some(landed) = &arrival.landed {
            let path = Landing::new(&context.landing).locate(landed);
            let size = fs::metadata(&path).map(|metadata| metadata.len()).ok();
            if size != Some(arrival.size) {
                return Err(copy_lost(arrival, landed));
            }
            return Ok(Pinned { path, arrival: arrival.clone(), kind: PinnedKind::Landed });
        }
        if Scheme::of(&arrival.path)? == Scheme::Local {
            let path = resolve(context, &arrival.path)?;
            let pinned = Pinned { path, arrival: arrival.clone(), kind: PinnedKind::InPlace };
            pinned.verify()?;
            return Ok(pinned);
        }
        let folder = context.state.join("spill");
        blocking({
            let folder = folder.clone();
            move || durable::create_dir_all(&folder).map_err(|e| io_problem(folder.display(), &e))
        })
        .await?;
        let key = format!("{}\0{}", arrival.path, arrival.version);
        let name = format!("{:x}", Sha256::digest(key));
        let path = durable::temporary_path(&folder.join(name));
        let connection = self.config.connection.as_ref();
        let is_s3 = Scheme::of(&arrival.path)? == Scheme::S3;
        let store = open(context, &arrival.path, connection.filter(|_| is_s3))?;
        let bytes_max = self.config.bytes_max;
        // Made first, so that whatever was written is removed when the read ends.
        let pinned = Pinned { path, arrival: arrival.clone(), kind: PinnedKind::Fetched };
        let version = Some(arrival.version.as_str());
        store.download(&arrival.path, &pinned.path, version, bytes_max).await?;
        Ok(pinned)
    }
}

#[async_trait]
impl<O: FileFormat> Source for FileSource<O> {
    async fn discover(&self, context: &Context, past: &Past) -> Result<Discovery> {
        discover(&self.config, context, past).await
    }

    async fn read(&self, context: &Context, request: ReadRequest) -> Result<Batches> {
        let mut pinned = Vec::with_capacity(request.inputs.len());
        for input in &request.inputs {
            if let Input::File(arrival) = input {
                pinned.push(self.input_file(context, arrival).await?);
            }
        }
        let read = ReadOptions {
            partitions: request.partitions,
            sample: request.sample,
            rejects: request.rejects,
            bytes: request.bytes,
        };
        if pinned.is_empty() {
            return self.empty(context, read).await;
        }
        let files = pinned.iter().map(|p| InputFile::new(&p.path, &p.arrival.path)).collect();
        let batches = self.open_files(context, files, read).await?;
        Ok(watch(batches, pinned))
    }
}

/// A file of this machine that a read uses.
struct Pinned {
    path: PathBuf,
    arrival: Arrival,
    kind: PinnedKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinnedKind {
    /// The user's own file: it must not change.
    InPlace,
    /// A copy in the landing folder.
    Landed,
    /// A copy that goes when the read ends.
    Fetched,
}

impl Pinned {
    /// Looks whether the file is still what was pinned.
    fn verify(&self) -> Result<()> {
        if self.kind != PinnedKind::InPlace {
            return Ok(());
        }
        let Arrival { path, size, version, .. } = &self.arrival;
        let metadata = fs::metadata(&self.path).map_err(|e| io_problem(path, &e))?;
        let now = describe(path, &metadata);
        if now.size == Some(*size) && now.version.as_ref() == Some(version) {
            return Ok(());
        }
        Err(changed(path))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.kind == PinnedKind::Fetched {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The same rows; after the last of them the files are looked at again, since one that was
/// written to while it was read would give rows of two states.
fn watch(batches: Batches, pinned: Vec<Pinned>) -> Batches {
    let pinned = Arc::new(pinned);
    let open = Arc::new(AtomicUsize::new(batches.partitions.len()));
    batches.map_partitions(|partition| {
        let (pinned, open) = (Arc::clone(&pinned), Arc::clone(&open));
        let end = futures::stream::once(async move {
            let is_last = open.fetch_sub(1, Ordering::AcqRel) == 1;
            let result = if is_last { pinned.iter().try_for_each(Pinned::verify) } else { Ok(()) };
            result.err().map(Err)
        });
        partition.chain(end.filter_map(std::future::ready)).boxed()
    })
}

fn copy_lost(arrival: &Arrival, landed: &str) -> Problem {
    let path = &arrival.path;
    Problem::new(&codes::FILE_NOT_FOUND, format!("the landed copy of `{path}` is gone"))
        .arg("path", path)
        .detail(landed)
        .hint("restore the landing folder from a backup, then run again")
}
