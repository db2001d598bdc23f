//! Files that triggers wait for: looked for in the folder of their workspace.

use super::names::{Names, workspace_number};
use super::starters::{Told, file_patterns, signal};
use super::{Body, Letter};
use crate::app::App;
use api::schedules::{Condition, TriggerSettings};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use store::WorkspaceId;
use tokio::task::JoinHandle;

/// Folders are looked at so often. Network drives tell nobody when they change.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A pattern that a trigger waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Watched {
    workspace: WorkspaceId,
    /// Relative to the workspace's folder.
    pattern: String,
}

/// The patterns of these triggers, each once.
pub(super) fn watched(triggers: &[store::Trigger]) -> Vec<Watched> {
    let mut all = Vec::new();
    for row in triggers {
        let settings: Option<TriggerSettings> = serde_json::from_value(row.settings.0.clone()).ok();
        for pattern in settings.iter().flat_map(|settings| file_patterns(&settings.when)) {
            all.push(Watched { workspace: row.workspace_id.clone(), pattern });
        }
    }
    all.sort();
    all.dedup();
    all
}

/// Whether a pattern stays below the folder that it is looked for in.
pub(crate) fn stays_below(pattern: &str) -> bool {
    let path = Path::new(pattern);
    !pattern.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Tells the scheduler of new and changed files until what it gives is aborted.
pub(super) fn watch(app: &App, names: &Names, watched: Vec<Watched>) -> Option<JoinHandle<()>> {
    let mut in_folders = Vec::new();
    for one in watched {
        let slug = names.workspaces.get(&workspace_number(&one.workspace));
        let folder = slug.and_then(|(_, slug)| app.folder.folder(slug));
        in_folders.extend(folder.map(|folder| (one, folder)));
    }
    if in_folders.is_empty() {
        return None;
    }
    let letters = app.letters.clone();
    Some(tokio::spawn(async move {
        let mut known: Vec<u64> = vec![0; in_folders.len()];
        loop {
            for (place, (watched, folder)) in in_folders.iter().enumerate() {
                let (folder, pattern) = (folder.clone(), watched.pattern.clone());
                let newest = tokio::task::spawn_blocking(move || newest(&folder, &pattern));
                let Ok(Some(serial)) = newest.await else { continue };
                if serial <= known[place] {
                    continue;
                }
                let condition = Condition::File(watched.pattern.clone());
                let signal = signal(&condition, "").unwrap_or_default();
                let workspace = watched.workspace.clone();
                let told = super::Wish::Signal(Told { workspace, signal, serial });
                let (letter, _) = Letter::new(Body::Wish(told));
                if letters.send(letter).await.is_err() {
                    return;
                }
                known[place] = serial;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }))
}

/// When the files that match were last put there or changed, in µs since the epoch. The time of
/// the change, not that of the content: a file that is moved here is new here.
fn newest(folder: &Path, pattern: &str) -> Option<u64> {
    let escaped = glob::Pattern::escape(&folder.to_string_lossy());
    let full = PathBuf::from(escaped).join(pattern);
    let found = glob::glob(&full.to_string_lossy()).ok()?;
    let files = found.flatten().filter_map(|path| std::fs::metadata(path).ok());
    let changed = files.filter(std::fs::Metadata::is_file).map(|file| {
        let us = file.ctime().saturating_mul(1_000_000) + file.ctime_nsec() / 1000;
        u64::try_from(us).unwrap_or(0)
    });
    changed.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_leave_the_folder_are_seen() {
        for pattern in ["data/*.csv", "a.csv", "in/**/x-*.json"] {
            assert!(stays_below(pattern), "{pattern}");
        }
        for pattern in ["", "/etc/*", "../x", "data/../../x", "./x"] {
            assert!(!stays_below(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_file_that_comes_later_is_newer_even_when_its_content_is_old() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path(), "*.csv"), None);
        std::fs::write(folder.path().join("a.csv"), "1").unwrap();
        let first = newest(folder.path(), "*.csv").unwrap();
        std::fs::write(folder.path().join("b.part"), "1").unwrap();
        assert_eq!(newest(folder.path(), "*.csv"), Some(first), "it has another name");
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(folder.path().join("b.part"), folder.path().join("b.csv")).unwrap();
        assert!(newest(folder.path(), "*.csv").unwrap() > first);
    }
}
