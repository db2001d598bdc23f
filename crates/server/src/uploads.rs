//! The folder of uploads: files come in as streams and never leave the folder of their workspace.
//!
//! Names of people are cleaned before they become names of files, and the system itself refuses
//! every path that would lead out of the folder or through a link.

use axum::body::Body;
use futures::StreamExt;
use model::{Name, Problem, Result, codes};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, openat2, renameat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stdx::durable;
use store::UploadId;
use tokio::io::AsyncWriteExt;

/// The folder's name in a project; paths of documents begin with it.
pub(crate) const FOLDER: &str = "uploads";
/// A file has at most so many bytes.
pub(crate) const BYTES_MAX: u64 = 100 << 20;
/// A client that sends nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(30);
const NAME_BYTES_MAX: usize = 120;
const TEMPORARY: &str = ".incoming.tmp~";
/// What files may end with, and the bytes that they begin with then.
const KINDS: &[(&str, &[u8])] = &[
    ("csv", b""),
    ("geojson", b""),
    ("json", b""),
    ("jsonl", b""),
    ("ods", b"PK\x03\x04"),
    ("parquet", b"PAR1"),
    ("tsv", b""),
    ("txt", b""),
    ("xls", b"\xd0\xcf\x11\xe0"),
    ("xlsx", b"PK\x03\x04"),
    ("xml", b""),
    ("yaml", b""),
    ("yml", b""),
];
/// So many bytes tell what a file is.
const MAGIC_BYTES: usize = 4;

/// The folder of uploads of a server.
#[derive(Debug, Clone)]
pub(crate) struct UploadFolder(PathBuf);

/// A file that has come in.
#[derive(Debug)]
pub(crate) struct Received {
    /// Where it lies: what documents write.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// Hash of its content.
    pub(crate) sha256: String,
}

impl UploadFolder {
    /// The folder `uploads` of a project; it is made when the first file comes.
    pub(crate) fn new(project: &Path) -> Self {
        Self(project.join(FOLDER))
    }

    /// Takes a file in. When this fails, nothing of it is left.
    pub(crate) async fn receive(
        &self,
        workspace: &Name,
        id: &UploadId,
        name: &str,
        body: Body,
    ) -> Result<Received> {
        let (name, magic) = cleaned(name)?;
        let folder = self.of_upload(workspace, id)?;
        let received = write(&folder, &name, magic, body).await;
        let (size, sha256) = match received {
            Ok(received) => received,
            Err(problem) => {
                let _ = unlinkat(&folder, TEMPORARY, AtFlags::empty());
                self.remove_folder(workspace, id);
                return Err(problem);
            }
        };
        Ok(Received { path: format!("{FOLDER}/{workspace}/{id}/{name}"), size, sha256 })
    }

    /// Removes a file that was taken in; one that is not there is fine.
    pub(crate) fn remove(&self, workspace: &Name, id: &UploadId, path: &str) -> Result<()> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let below = format!("{workspace}/{id}");
        let opened = self.root().and_then(|root| {
            open(&root, &below, OFlags::DIRECTORY | OFlags::RDONLY).map_err(failed)
        });
        let Ok(folder) = opened else { return Ok(()) };
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        self.remove_folder(workspace, id);
        Ok(())
    }

    fn root(&self) -> Result<OwnedFd> {
        durable::create_dir_all(&self.0).map_err(failed)?;
        Ok(File::open(&self.0).map_err(failed)?.into())
    }

    /// A new folder for one upload.
    fn of_upload(&self, workspace: &Name, id: &UploadId) -> Result<OwnedFd> {
        let mut folder = self.root()?;
        for name in [workspace.as_str(), id.as_str()] {
            match mkdirat(&folder, name, Mode::RWXU) {
                Ok(()) => rustix::fs::fsync(&folder).map_err(failed)?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let flags = OFlags::DIRECTORY | OFlags::RDONLY;
            folder = open(&folder, name, flags).map_err(failed)?;
        }
        Ok(folder)
    }

    fn remove_folder(&self, workspace: &Name, id: &UploadId) {
        if let Ok(root) = self.root() {
            // With something in it, it stays.
            let _ = unlinkat(&root, format!("{workspace}/{id}"), AtFlags::REMOVEDIR);
        }
    }
}

/// Opens what is below a folder, through no link.
fn open(folder: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mode = match flags.contains(OFlags::CREATE) {
        true => Mode::RUSR | Mode::WUSR,
        false => Mode::empty(),
    };
    openat2(folder, path, flags | OFlags::CLOEXEC, mode, resolve)
}

fn failed(error: impl Into<std::io::Error>) -> Problem {
    let error = error.into();
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => &codes::STORAGE_FULL,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, "the folder of uploads cannot be used")
        .detail(error)
        .hint("the server must be able to write into the folder `uploads` of its project")
}

/// Writes the body under a temporary name, syncs it, gives it its name, syncs the folder.
async fn write(folder: &OwnedFd, name: &str, magic: &[u8], body: Body) -> Result<(u64, String)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let file = File::from(open(folder, TEMPORARY, flags).map_err(failed)?);
    let mut file = tokio::io::BufWriter::with_capacity(1 << 18, tokio::fs::File::from_std(file));
    let mut hash = Sha256::new();
    let (mut size, mut begin) = (0_u64, Vec::new());
    let mut stream = body.into_data_stream();
    while let Some(chunk) = tokio::time::timeout(PATIENCE, stream.next()).await.map_err(silent)? {
        let chunk = chunk.map_err(|error| {
            Problem::new(&codes::REQUEST_INVALID, "the upload broke off").detail(error)
        })?;
        size += chunk.len() as u64;
        if size > BYTES_MAX {
            return Err(too_large());
        }
        begin.extend(chunk.iter().take(MAGIC_BYTES.saturating_sub(begin.len())));
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(failed)?;
    }
    if !begin.starts_with(magic) || size == 0 {
        let fact = format!("the content of `{name}` is not what its ending says");
        return Err(Problem::new(&codes::REQUEST_INVALID, fact)
            .hint("upload the file as its program has saved it; an empty file is none"));
    }
    file.flush().await.map_err(failed)?;
    durable::step("upload").map_err(failed)?;
    file.get_ref().sync_all().await.map_err(failed)?;
    renameat(folder, TEMPORARY, folder, name).map_err(failed)?;
    rustix::fs::fsync(folder).map_err(failed)?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, sha256))
}

fn silent(_: tokio::time::error::Elapsed) -> Problem {
    Problem::new(&codes::REQUEST_INVALID, "nothing of the upload came for 30 s")
        .hint("send it once more, over a better line")
}

pub(crate) fn too_large() -> Problem {
    Problem::new(&codes::REQUEST_TOO_LARGE, "the file has more than 100 MiB")
        .hint("put it into an object store or a folder of the project, and read it from there")
}

/// The name as a file may have it, and the bytes that such a file begins with.
fn cleaned(given: &str) -> Result<(String, &'static [u8])> {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let clean = |char: char| match char {
        '-' | '_' | '.' => char,
        char if char.is_alphanumeric() => char,
        _ => '_',
    };
    let name: String = last.chars().map(clean).collect();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    let ending = ending.to_ascii_lowercase();
    let kind = KINDS.iter().find(|(kind, _)| *kind == ending);
    let stem = stem.trim_matches('.');
    let Some((ending, magic)) = kind.filter(|_| !stem.is_empty()) else {
        let known = KINDS.iter().map(|(kind, _)| *kind);
        let fact =
            format!("`{}` is not a file that can be uploaded", stdx::text::truncate(given, 80));
        return Err(Problem::new(&codes::REQUEST_INVALID, fact)
            .in_setting("/name")
            .hint(format!("files end with {}", stdx::text::list(known))));
    };
    let mut stem = stem.to_owned();
    while stem.len() + 1 + ending.len() > NAME_BYTES_MAX {
        stem.pop();
    }
    Ok((format!("{stem}.{ending}"), magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_07_no_name_leads_anywhere() {
        let name = |given: &str| cleaned(given).map(|(name, _)| name);
        assert_eq!(name("orders.csv").unwrap(), "orders.csv");
        assert_eq!(name("Été à Paris (2).CSV").unwrap(), "Été_à_Paris__2_.csv");
        assert_eq!(name("../../etc/passwd.txt").unwrap(), "passwd.txt");
        assert_eq!(name("C:\\data\\x.tsv").unwrap(), "x.tsv");
        assert_eq!(name("..%2f..%2fx.csv").unwrap(), "_2f.._2fx.csv");
        assert_eq!(name("a\0b\n.csv").unwrap(), "a_b_.csv");
        assert_eq!(name(&format!("{}.csv", "é".repeat(400))).unwrap().len(), 120);
        for refused in
            ["", ".", "..", ".csv", "...csv", "x", "x.exe", "x.csv.exe", "x.csv/", "../", "x.sh\0"]
        {
            assert!(name(refused).is_err(), "{refused:?}");
        }
    }
}
