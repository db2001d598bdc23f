//! Storage that fails, or whose answers are lost.

use super::support::{config, key, people, write};
use crate::Lake;
use crate::location::Root;
use async_trait::async_trait;
use bytes::Bytes;
use contracts::Batches;
use contracts::table::{TableStore, WriteMode};
use futures::stream::BoxStream;
use model::{TableName, codes};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What goes wrong with puts whose path contains a text.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    matching: &'static str,
    /// So many puts go wrong.
    times: AtomicU32,
    /// Whether the put happens all the same, and only its answer is lost.
    happens: bool,
    error: io::ErrorKind,
    /// Whether reads of the log fail too, once a put has.
    silent: bool,
    deaf: AtomicBool,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl Faulty {
    fn problem(&self) -> object_store::Error {
        object_store::Error::Generic {
            store: "Faulty",
            source: Box::new(io::Error::from(self.error)),
        }
    }

    fn fails(&self, location: &Path) -> bool {
        location.as_ref().contains(self.matching)
            && self
                .times
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
    }

    fn hear(&self, location: &Path) -> Result<()> {
        if self.deaf.load(Ordering::SeqCst) && location.as_ref().contains("_delta_log") {
            return Err(self.problem());
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if !self.fails(location) {
            return self.inner.put_opts(location, payload, options).await;
        }
        if self.happens {
            self.inner.put_opts(location, payload, options).await?;
        }
        self.deaf.store(self.silent, Ordering::SeqCst);
        Err(self.problem())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.hear(location)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.hear(location)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.deaf.load(Ordering::SeqCst) {
            let error = self.problem();
            return Box::pin(futures::stream::iter([Err(error)]));
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

struct Fault {
    matching: &'static str,
    times: u32,
    happens: bool,
    error: io::ErrorKind,
    silent: bool,
}

fn lake(dir: &std::path::Path, fault: &Fault) -> Lake {
    let config = config(dir, 64 << 20);
    let mut root = Root::open(&config.location, &config.workspace).unwrap();
    root.store = Arc::new(Faulty {
        inner: Arc::clone(&root.store),
        matching: fault.matching,
        times: AtomicU32::new(fault.times),
        happens: fault.happens,
        error: fault.error,
        silent: fault.silent,
        deaf: AtomicBool::new(false),
    });
    Lake::over(root, config)
}

async fn append(lake: &Lake, run: u64) -> model::Result<model::run::Committed> {
    let rows = people(&[run as i64], &["x"]);
    let rows = Batches::from_memory(rows.schema(), vec![rows]);
    lake.prepare(write("bronze.t", WriteMode::Append, run), rows).await?.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_looked_up_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Fault {
        matching: "_delta_log/00000000000000000000.json",
        times: 1,
        happens: true,
        error: io::ErrorKind::TimedOut,
        silent: false,
    };
    let lake = lake(dir.path(), &fault);
    let committed = append(&lake, 1).await.unwrap();
    assert_eq!((committed.version, committed.rows, committed.already), (Some(0), 1, false));
    let name = TableName::parse("bronze.t").unwrap();
    let info = lake.describe(&name, None).await.unwrap().unwrap();
    assert_eq!((info.version, info.rows), (0, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_did_not_happen_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Fault {
        matching: "_delta_log/00000000000000000001.json",
        times: 2,
        happens: false,
        error: io::ErrorKind::ConnectionReset,
        silent: false,
    };
    let lake = lake(dir.path(), &fault);
    append(&lake, 1).await.unwrap();
    assert_eq!(append(&lake, 2).await.unwrap().version, Some(1));
}

/// While a commit may be on its way, the files that it names stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_sent_again_is_the_same_merge() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Fault {
        matching: "_delta_log/00000000000000000001.json",
        times: 2,
        happens: false,
        error: io::ErrorKind::TimedOut,
        silent: false,
    };
    let lake = lake(dir.path(), &fault);
    append(&lake, 1).await.unwrap();
    let merge = |run| {
        let rows = people(&[1, 2], &["y", "z"]);
        let rows = Batches::from_memory(rows.schema(), vec![rows]);
        lake.prepare(super::support::merge("bronze.t", run), rows)
    };
    let merged = merge(2).await.unwrap().commit().await.unwrap();
    assert_eq!((merged.version, merged.already), (Some(1), false));
    assert_eq!((merged.detail["inserted"], merged.detail["updated"]), (1, 1));
    let name = TableName::parse("bronze.t").unwrap();
    let files = lake.files(&name, None).await.unwrap();
    let on_disk = std::fs::read_dir(dir.path().join("my lake é/main/bronze/t")).unwrap();
    let parts = on_disk
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("part-"));
    // The file of the append, which the first version still needs, and that of the merge.
    assert_eq!((files.len(), parts.count()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_asked_leaves_the_commit_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Fault {
        matching: "_delta_log/00000000000000000001.json",
        times: 1,
        happens: true,
        error: io::ErrorKind::TimedOut,
        silent: true,
    };
    let deaf = lake(dir.path(), &fault);
    append(&deaf, 1).await.unwrap();
    let problem = append(&deaf, 2).await.unwrap_err();
    assert!(problem.is(&codes::COMMIT_UNKNOWN), "{problem:?}");
    // Its files were not deleted: the commit had happened.
    let again = Lake::open(config(dir.path(), 64 << 20)).unwrap();
    let name = TableName::parse("bronze.t").unwrap();
    assert!(again.committed(&name, &key(2)).await.unwrap().unwrap().already);
    let rows = again.read(&name, 1, 1).await.unwrap().collect().await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_a_missing_right_say_so() {
    for (error, code) in [
        (io::ErrorKind::StorageFull, &codes::STORAGE_FULL),
        (io::ErrorKind::PermissionDenied, &codes::PERMISSION_DENIED),
        (io::ErrorKind::NotConnected, &codes::STORAGE_FAILED),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault { matching: "part-", times: 9, happens: false, error, silent: false };
        let lake = lake(dir.path(), &fault);
        let problem = append(&lake, 1).await.unwrap_err();
        assert!(problem.is(code), "{error}: {problem:?}");
        assert!(lake.list().await.unwrap().is_empty());
    }
}
