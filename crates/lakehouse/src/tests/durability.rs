//! What the durable store does, and in which order.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

static EVENTS: Mutex<Vec<(&'static str, PathBuf)>> = Mutex::new(Vec::new());

/// Notes an event of the durable store; tests look for those of their own folder.
pub(crate) fn record(event: &'static str, path: &Path) {
    EVENTS.lock().unwrap().push((event, path.to_owned()));
}

fn events_below(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let events = EVENTS.lock().unwrap();
    events.iter().filter(|(_, path)| path.starts_with(folder)).cloned().collect()
}
