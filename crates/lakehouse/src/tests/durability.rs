//! What the durable store does, and in which order.

use super::support::{TestLake, people, write};
use crate::DurableStore;
use contracts::table::WriteMode;
use object_store::path::Path as StorePath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
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

#[tokio::test(flavor = "multi_thread")]
async fn r_05_every_file_is_synced_before_it_is_named_and_its_folder_after() {
    let lake = TestLake::new();
    let folder = lake.folder("bronze.t");
    for run in 0..11 {
        let rows = people(&[run], &["a"]);
        lake.write(write("bronze.t", WriteMode::Append, run as u64), rows).await.unwrap();
    }
    let events = events_below(&folder.canonicalize().unwrap());
    let mut named = 0;
    let mut commits = 0;
    let mut last_data = None;
    for (at, (event, path)) in events.iter().enumerate() {
        if *event != "publish" {
            continue;
        }
        named += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let synced = events[..at].iter().any(|(event, temporary)| {
            *event == "sync file" && temporary.to_string_lossy().contains(&format!("/.{name}."))
        });
        assert!(synced, "{name} was named before it was synced");
        let parent = path.parent().unwrap();
        let folder_synced =
            events[at..].iter().any(|(event, path)| *event == "sync folder" && path == parent);
        assert!(folder_synced, "the folder of {name} was not synced");
        let is_commit = path.extension().is_some_and(|extension| extension == "json");
        if is_commit {
            commits += 1;
            assert!(last_data.take().is_some(), "{name} came before its data");
        } else if name.starts_with("part-") {
            last_data = Some(at);
        }
    }
    assert_eq!(commits, 11);
    // One data file each, and the first checkpoint with its pointer.
    assert_eq!(named, 11 + 11 + 2, "{events:?}");
}

#[tokio::test]
async fn a_put_that_fails_half_way_is_never_visible() {
    let dir = tempfile::tempdir().unwrap();
    let store = DurableStore::new();
    let path = StorePath::from_absolute_path(dir.path()).unwrap().join("a").join("b.parquet");
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part(PutPayload::from_static(b"half of it")).await.unwrap();
    assert!(store.head(&path).await.is_err());
    drop(upload);
    assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part(PutPayload::from_static(b"one, ")).await.unwrap();
    upload.put_part(PutPayload::from_static(b"two")).await.unwrap();
    upload.complete().await.unwrap();
    let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(&bytes[..], b"one, two");
}

#[tokio::test]
async fn a_taken_name_is_refused_and_leaves_no_rubbish() {
    let dir = tempfile::tempdir().unwrap();
    let store = DurableStore::new();
    let folder = StorePath::from_absolute_path(dir.path()).unwrap();
    let path = folder.clone().join("0.json");
    let create = || store.put_opts(&path, PutPayload::from_static(b"x"), PutMode::Create.into());
    create().await.unwrap();
    let error = create().await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }));
    let copy = folder.clone().join("1.json");
    store.copy_if_not_exists(&path, &copy).await.unwrap();
    assert!(store.copy_if_not_exists(&path, &copy).await.is_err());
    let renamed = folder.join("2.json");
    store.rename(&copy, &renamed).await.unwrap();
    assert!(store.head(&copy).await.is_err());
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["0.json", "2.json"]);
}
