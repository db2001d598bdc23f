//! Files of this machine, below the project or wherever its limits allow.

use super::{Download, FileStore, StoredFile, blocking, changed, io_problem, too_large};
use async_trait::async_trait;
use contracts::Context;
use model::{Problem, Result, codes};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use stdx::durable::{self, Publish, TEMPORARY_SUFFIX};

const BUFFER_BYTES: usize = 1 << 20;
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;

/// The file system.
pub struct LocalStore {
    context: Context,
}

impl LocalStore {
    /// The file system as a run with this context may use it.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

/// The absolute path of a file, there or to be; a link that leads out of a confined project is
/// refused.
pub(crate) fn resolve(context: &Context, path: &str) -> Result<PathBuf> {
    let local = context.local_path(path)?;
    if !context.confined {
        return Ok(local);
    }
    // What does not exist yet will be where its nearest existing folder is.
    let existing = local.ancestors().find_map(|path| path.canonicalize().ok());
    let Some(real) = existing else { return Ok(local) };
    let roots = context.allowed_paths.iter().chain([&context.project]);
    let is_inside = roots
        .map(|root| root.canonicalize().unwrap_or_else(|_| root.clone()))
        .any(|root| real.starts_with(root));
    if is_inside {
        return Ok(local);
    }
    Err(Problem::new(
        &codes::PATH_REFUSED,
        format!("`{path}` is a link that leads out of the project"),
    )
    .arg("path", path)
    .hint("put the file itself into the project"))
}

/// Size and version of a regular file.
pub(crate) fn describe(path: &str, metadata: &Metadata) -> StoredFile {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    StoredFile {
        path: path.to_owned(),
        size: Some(metadata.len()),
        version: Some(modified.map_or(0, |since| since.as_micros()).to_string()),
    }
}

/// Whether a name is a temporary one, `….<process>.<number>.tmp~`, of a process that is gone.
pub(crate) fn is_rubbish(name: &str) -> bool {
    let Some(name) = name.strip_suffix(TEMPORARY_SUFFIX) else { return false };
    let process = name.rsplit('.').nth(1).and_then(|process| process.parse::<u32>().ok());
    process.is_some_and(|process| {
        process != std::process::id() && !Path::new("/proc").join(process.to_string()).exists()
    })
}

/// Hash of a file's content.
pub(crate) fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(format!("{:x}", hash.finalize())),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn copy(from: &Path, to: &Path, shown: &str, bytes_max: u64) -> Result<(u64, String)> {
    let mut source = File::open(from).map_err(|e| io_problem(shown, &e))?;
    let target_shown = to.display();
    let mut target = File::create(to).map_err(|e| io_problem(&target_shown, &e))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hash = Sha256::new();
    let mut size = 0u64;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_problem(shown, &error)),
        };
        size += read as u64;
        if size > bytes_max {
            return Err(too_large(shown, bytes_max));
        }
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read]).map_err(|e| io_problem(&target_shown, &e))?;
    }
    target.sync_all().map_err(|e| io_problem(&target_shown, &e))?;
    Ok((size, format!("{:x}", hash.finalize())))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

#[async_trait]
impl FileStore for LocalStore {
    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>> {
        let (context, folder) = (self.context.clone(), folder.to_owned());
        blocking(move || {
            let mut found = Vec::new();
            walk(&resolve(&context, &folder)?, &mut found).map_err(|e| io_problem(&folder, &e))?;
            let mut files = Vec::with_capacity(found.len());
            for path in found {
                let shown = context.display_path(&path);
                match fs::metadata(&path) {
                    Ok(metadata) => files.push(describe(&shown, &metadata)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(io_problem(shown, &error)),
                }
            }
            Ok(files)
        })
        .await
    }

    async fn head(&self, path: &str) -> Result<Option<StoredFile>> {
        let (context, path) = (self.context.clone(), path.to_owned());
        blocking(move || match fs::metadata(resolve(&context, &path)?) {
            Ok(metadata) if metadata.is_file() => Ok(Some(describe(&path, &metadata))),
            Ok(_) => Err(io_problem(&path, &io::Error::from(io::ErrorKind::IsADirectory))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_problem(&path, &error)),
        })
        .await
    }

    async fn download(
        &self,
        path: &str,
        to: &Path,
        version: Option<&str>,
        bytes_max: u64,
    ) -> Result<Download> {
        let (context, path, to) = (self.context.clone(), path.to_owned(), to.to_owned());
        let version = version.map(str::to_owned);
        blocking(move || {
            let from = resolve(&context, &path)?;
            let result = copy(&from, &to, &path, bytes_max).and_then(|(size, sha256)| {
                // Looked at after the copy: what was written meanwhile shows in the time.
                let metadata = fs::metadata(&from).map_err(|e| io_problem(&path, &e))?;
                let file = describe(&path, &metadata);
                let is_same = version.is_none() || (file.version == version);
                if !is_same || file.size != Some(size) {
                    return Err(changed(&path));
                }
                Ok(Download { size, version: file.version, sha256 })
            });
            if result.is_err() {
                let _ = fs::remove_file(&to);
            }
            result
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let (context, path) = (self.context.clone(), path.to_owned());
        blocking(move || {
            let local = resolve(&context, &path)?;
            let file = match File::open(&local) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file.map_err(|e| io_problem(&path, &e))?,
            };
            let mut bytes = Vec::new();
            let mut limited = file.take(SMALL_FILE_BYTES_MAX + 1);
            limited.read_to_end(&mut bytes).map_err(|e| io_problem(&path, &e))?;
            if bytes.len() as u64 > SMALL_FILE_BYTES_MAX {
                return Err(too_large(&path, SMALL_FILE_BYTES_MAX));
            }
            Ok(Some(bytes))
        })
        .await
    }

    async fn publish(&self, from: &Path, path: &str) -> Result<()> {
        let (context, from, path) = (self.context.clone(), from.to_owned(), path.to_owned());
        blocking(move || {
            let to = resolve(&context, &path)?;
            let folder = to.parent().unwrap_or(&context.project);
            durable::create_dir_all(folder)
                .and_then(|()| durable::publish_file(&from, &to, Publish::Replace))
                .map_err(|e| io_problem(&path, &e))
        })
        .await
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let (context, path, bytes) = (self.context.clone(), path.to_owned(), bytes.to_owned());
        blocking(move || {
            let to = resolve(&context, &path)?;
            match durable::write(&to, &bytes, Publish::Create) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Ok(fs::read(&to).map_err(|e| io_problem(&path, &e))? == bytes)
                }
                Err(error) => Err(io_problem(&path, &error)),
            }
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let (context, path) = (self.context.clone(), path.to_owned());
        blocking(move || {
            let local = resolve(&context, &path)?;
            durable::step(&path).map_err(|e| io_problem(&path, &e))?;
            match fs::remove_file(&local) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(io_problem(&path, &error)),
                Ok(()) => match local.parent() {
                    Some(folder) => durable::sync_dir(folder).map_err(|e| io_problem(&path, &e)),
                    None => Ok(()),
                },
            }
        })
        .await
    }
}
