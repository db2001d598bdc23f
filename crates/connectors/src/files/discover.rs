//! What a source of files would read: finds files, tells new ones from known ones, pins them.

use super::config::{FileConfig, Land, ReadMode};
use super::find::{covers, find, not_found};
use super::landing::Landing;
use crate::storage::local::{describe, hash_file, resolve};
use crate::storage::{FileStore, Scheme, StoredFile, blocking, io_problem, open};
use contracts::{Context, Discovery, Past};
use futures::{StreamExt, TryStreamExt, stream};
use model::run::{Arrival, Input};
use model::{Problem, Result, codes};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

/// A file that is changed under our hands is looked at again so often.
const ATTEMPTS_MAX: usize = 3;
/// Downloads at once.
const DOWNLOADS_MAX: usize = 4;

/// Fixes what a run would read.
pub(crate) async fn discover<O: Sync>(
    config: &FileConfig<O>,
    context: &Context,
    past: &Past,
) -> Result<Discovery> {
    let found = find_all(config, context, past).await?;
    let wanted: Vec<Found> = match config.read {
        ReadMode::All => found,
        ReadMode::New => found.into_iter().filter(|found| !is_known(past, &found.file)).collect(),
    };
    let pin = |found: Found| pin(config, context, past, found);
    let width = context.threads.clamp(1, DOWNLOADS_MAX);
    let mut arrivals: Vec<Arrival> =
        stream::iter(wanted).map(pin).buffered(width).try_collect().await?;
    let mut remarks = Vec::new();
    if config.read == ReadMode::New {
        // Only now is the version known of what had to be fetched to learn it.
        arrivals.retain(|arrival| !past.knows(arrival));
        if past.full {
            add_landed(config, context, past, &mut arrivals, &mut remarks).await?;
        }
    }
    let is_new = match config.read {
        ReadMode::New => !arrivals.is_empty(),
        ReadMode::All => past.full || is_other_set(&arrivals, &past.latest),
    };
    Ok(Discovery { inputs: arrivals.into_iter().map(Input::File).collect(), is_new, remarks })
}

/// A file, and where to fetch it.
struct Found {
    file: StoredFile,
    store: Arc<dyn FileStore>,
    is_local: bool,
}

/// Files of all paths, each once, in the order of their names.
async fn find_all<O: Sync>(
    config: &FileConfig<O>,
    context: &Context,
    past: &Past,
) -> Result<Vec<Found>> {
    let mut all = BTreeMap::new();
    for path in config.path.as_slice() {
        let is_local = Scheme::of(path)? == Scheme::Local;
        let connection = config.connection.as_ref().filter(|_| !is_local);
        let store = open(context, path, connection)?;
        let files = find(context, store.as_ref(), path).await?;
        // Files that were read may be moved away: then there is simply nothing new. A full
        // refresh of nothing would empty the tables.
        let was_there = || past.arrivals.iter().any(|(name, _, _)| covers(path, name));
        if files.is_empty() && (past.full || !was_there()) {
            return Err(not_found(context, store.as_ref(), path).await);
        }
        for file in files {
            let found = Found { file, store: Arc::clone(&store), is_local };
            all.insert(found.file.path.clone(), found);
        }
    }
    Ok(all.into_values().collect())
}

fn is_known(past: &Past, file: &StoredFile) -> bool {
    let (Some(size), Some(version)) = (file.size, &file.version) else { return false };
    !past.full && past.arrivals.contains(&(file.path.clone(), size, version.clone()))
}

/// The arrival that a file is, landed or hashed as the settings say.
async fn pin<O: Sync>(
    config: &FileConfig<O>,
    context: &Context,
    past: &Past,
    found: Found,
) -> Result<Arrival> {
    if let Some(arrival) = latest(past, &found.file) {
        return Ok(arrival);
    }
    let default = if found.is_local { Land::Reference } else { Land::Copy };
    match (config.land.unwrap_or(default), found.is_local) {
        (Land::Copy, _) if !(past.sample && found.is_local) => {
            let landing = Landing::new(&context.landing);
            match landing.find(&found.file).await? {
                Some(arrival) => Ok(arrival),
                None => landing.land(found.store.as_ref(), &found.file, config.bytes_max).await,
            }
        }
        (_, true) => {
            let (context, is_hashed) = (context.clone(), !past.sample);
            blocking(move || reference(&context, found.file, is_hashed)).await
        }
        (_, false) => reference_remote(found.file),
    }
}

/// The arrival as the latest run had it, when nothing has changed since.
fn latest(past: &Past, file: &StoredFile) -> Option<Arrival> {
    let is_same = |arrival: &&Arrival| {
        arrival.path == file.path
            && Some(arrival.size) == file.size
            && Some(&arrival.version) == file.version.as_ref()
    };
    let arrivals = past.latest.iter().filter_map(|input| match input {
        Input::File(arrival) => Some(arrival),
        _ => None,
    });
    arrivals.into_iter().find(is_same).filter(|arrival| arrival.landed.is_none()).cloned()
}

/// A local file that stays where it is.
fn reference(context: &Context, file: StoredFile, is_hashed: bool) -> Result<Arrival> {
    let local = resolve(context, &file.path)?;
    let mut file = file;
    for _ in 0..ATTEMPTS_MAX {
        let sha256 = match is_hashed {
            true => Some(hash_file(&local).map_err(|e| io_problem(&file.path, &e))?),
            false => None,
        };
        let metadata = fs::metadata(&local).map_err(|e| io_problem(&file.path, &e))?;
        let now = describe(&file.path, &metadata);
        if now == file {
            return Ok(Arrival {
                path: now.path,
                size: metadata.len(),
                version: now.version.unwrap_or_default(),
                sha256,
                landed: None,
            });
        }
        file = now;
    }
    Err(Problem::new(&codes::FILE_CHANGED, format!("`{}` is still being written", file.path))
        .arg("path", &file.path)
        .hint("write files under another name and rename them when they are complete"))
}

/// A remote file that stays where it is.
fn reference_remote(file: StoredFile) -> Result<Arrival> {
    let (Some(size), Some(version)) = (file.size, file.version) else {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("the server of `{}` gives no etag, so a change would go unseen", file.path),
        )
        .arg("path", &file.path)
        .hint("write `land: copy`"));
    };
    Ok(Arrival { path: file.path, size, version, sha256: None, landed: None })
}

/// For a full refresh: arrivals of earlier runs that are gone, from their copies.
async fn add_landed<O: Sync>(
    config: &FileConfig<O>,
    context: &Context,
    past: &Past,
    arrivals: &mut Vec<Arrival>,
    remarks: &mut Vec<String>,
) -> Result<()> {
    let key = |arrival: &Arrival| (arrival.path.clone(), arrival.size, arrival.version.clone());
    let mut missing = past.arrivals.clone();
    for arrival in arrivals.iter() {
        missing.remove(&key(arrival));
    }
    let is_ours = |path: &str| config.path.as_slice().iter().any(|pattern| covers(pattern, path));
    let mut old = Vec::new();
    for landed in Landing::new(&context.landing).all().await? {
        if missing.remove(&key(&landed.arrival)) && is_ours(&landed.arrival.path) {
            old.push(landed.arrival);
        }
    }
    let mut gone: Vec<String> = missing.into_iter().map(|(path, _, _)| path).collect();
    gone.retain(|path| arrivals.iter().chain(&old).all(|arrival| arrival.path != *path));
    gone.sort();
    gone.dedup();
    remarks.extend(gone.iter().map(|path| format!("`{path}` was read before and is gone")));
    // Older versions of a file come before its present one.
    old.append(arrivals);
    old.sort_by(|left, right| left.path.cmp(&right.path));
    *arrivals = old;
    Ok(())
}

fn is_other_set(arrivals: &[Arrival], latest: &[Input]) -> bool {
    let names = |arrivals: &mut dyn Iterator<Item = &Arrival>| -> Vec<(String, u64, String)> {
        let mut names: Vec<_> =
            arrivals.map(|a| (a.path.clone(), a.size, a.version.clone())).collect();
        names.sort();
        names
    };
    let mut before = latest.iter().filter_map(|input| match input {
        Input::File(arrival) => Some(arrival),
        _ => None,
    });
    names(&mut arrivals.iter()) != names(&mut before)
}
