//! Files of a commit before anybody sees them.

use super::manifest::ManifestFile;
use super::place::Place;
use crate::storage::io_problem;
use crate::storage::local::{is_rubbish, resolve};
use contracts::Context;
use model::Result;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use stdx::durable;

/// Where files are put together: beside their final place, or in the spill folder when that is
/// not on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Staging {
    context: Context,
    is_local: bool,
    stem: String,
}

/// A finished file that waits for its name. Dropped before, it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Where it is now.
    pub(crate) local: PathBuf,
    /// What it will be.
    pub(crate) file: ManifestFile,
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.local);
    }
}

impl Staging {
    pub(crate) fn new(context: &Context, is_local: bool, place: &Place) -> Self {
        Self { context: context.clone(), is_local, stem: place.stem().to_owned() }
    }

    /// A file for `target`, not yet there; its folder is.
    pub(crate) fn begin(&self, target: String) -> Result<Staged> {
        let wanted = match self.is_local {
            true => resolve(&self.context, &target)?,
            false => self.spill().join(&self.stem),
        };
        let folder = wanted.parent().unwrap_or(&self.context.project);
        durable::create_dir_all(folder)
            .map_err(|e| io_problem(self.context.display_path(folder), &e))?;
        let local = durable::temporary_path(&wanted);
        Ok(Staged { local, file: ManifestFile { path: target, bytes: 0, rows: 0 } })
    }

    fn spill(&self) -> PathBuf {
        self.context.state.join("spill")
    }

    /// Removes what attempts of this node left whose process is gone.
    pub(crate) fn sweep(&self, place: &Place) -> Result<()> {
        let prefix = place.temporary_prefix();
        if !self.is_local {
            let stem = format!(".{}", self.stem);
            return sweep_folder(&self.spill(), &|name| name.starts_with(&stem), 0);
        }
        let folder = match place.path.rfind('/') {
            Some(at) => resolve(&self.context, &place.path[..=at])?,
            None => self.context.project.clone(),
        };
        let depth = if place.path.ends_with('/') { 16 } else { 0 };
        sweep_folder(&folder, &|name| name.starts_with(&prefix), depth)
    }
}

fn sweep_folder(folder: &Path, is_ours: &dyn Fn(&str) -> bool, depth: usize) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| io_problem(folder.display(), &e))?,
    };
    for entry in entries {
        let entry = entry.map_err(|e| io_problem(folder.display(), &e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth > 0 {
            sweep_folder(&entry.path(), is_ours, depth - 1)?;
        } else if !is_folder && is_ours(&name) && is_rubbish(&name) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

impl Staged {
    /// Syncs the finished file and notes its size.
    pub(crate) fn seal(&mut self, rows: u64) -> Result<()> {
        let sealed = File::open(&self.local).and_then(|file| {
            file.sync_all()?;
            file.metadata()
        });
        let metadata = sealed.map_err(|e| io_problem(&self.file.path, &e))?;
        self.file.bytes = metadata.len();
        self.file.rows = rows;
        Ok(())
    }
}
