//! What becomes of a read when its reader ends badly; readers are played by shell scripts.

use super::*;
use crate::testing::Rejected;
use contracts::{Batches, RejectSink};
use formats::file::ReadOptions;
use model::{Problem, Result, codes};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Reader {
    folder: tempfile::TempDir,
}

impl Reader {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reader");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder }
    }

    async fn open(&self, names: &[&str]) -> Result<Batches> {
        let files: Vec<InputFile> = names
            .iter()
            .map(|name| {
                let path = self.folder.path().join(name);
                std::fs::write(&path, name).unwrap();
                InputFile::new(path, *name)
            })
            .collect();
        let job = Job::new("xml", Value::Null, &files, 0);
        let read = ReadOptions {
            partitions: 2,
            sample: None,
            rejects: Arc::new(Rejected::default()) as Arc<dyn RejectSink>,
            bytes: Arc::default(),
        };
        let program = self.folder.path().join("reader");
        parent::open_within(&program, job, read, Duration::from_millis(500)).await
    }

    async fn problem(&self, names: &[&str]) -> Problem {
        match self.open(names).await {
            Ok(_) => panic!("it opens"),
            Err(problem) => problem,
        }
    }
}

#[tokio::test]
async fn a_reader_that_aborts_is_a_problem_that_names_the_file() {
    let problem = Reader::new("kill -ABRT $$").problem(&["a.xml"]).await;
    assert!(problem.is(&codes::CHILD_FAILED));
    assert_eq!(problem.message(), "the reader of `a.xml` was ended by signal 6");
    assert_eq!(problem.context().file.as_deref(), Some("a.xml"));
}

#[tokio::test]
async fn a_reader_without_memory_is_told_from_others() {
    let script = "echo memory allocation of 4294967296 bytes failed >&2; kill -ABRT $$";
    let problem = Reader::new(script).problem(&["a.xml"]).await;
    assert!(problem.is(&codes::MEMORY_EXCEEDED));
    assert!(problem.message().contains("more memory than 512 MiB"), "{problem}");
    assert!(problem.detail_text().unwrap().contains("4294967296"));
}

#[tokio::test]
async fn of_several_files_the_one_at_fault_is_found() {
    let files = ["a.xml", "b.xml", "c.xml"];
    // A reader that ends without a word has failed, too.
    let problem = Reader::new("exit 0").problem(&files).await;
    assert_eq!(problem.message(), "the reader of `a.xml` ended with code 0");
    // A problem in words is another matter.
    let stored = Problem::new(&codes::FILE_CORRUPT, "it is damaged").to_stored();
    let body = serde_json::to_vec(&stored).unwrap();
    let head = wire::head(wire::Kind::Problem, body.len()).unwrap();
    let reader = Reader::new(
        "read job; case $job in *b.xml*) kill -SEGV $$;; esac; exec cat \"$(dirname $0)/answer\"",
    );
    std::fs::write(reader.folder.path().join("answer"), [&head, body.as_slice()].concat()).unwrap();
    assert!(reader.problem(&["c.xml"]).await.is(&codes::FILE_CORRUPT));
    let problem = reader.problem(&files).await;
    assert_eq!(problem.message(), "the reader of `b.xml` was ended by signal 11");
    assert_eq!(problem.context().file.as_deref(), Some("b.xml"));
}

#[tokio::test]
async fn a_reader_that_hangs_is_ended() {
    let began = Instant::now();
    let problem = Reader::new("read job; exec sleep 100").problem(&["a.xml"]).await;
    assert!(problem.is(&codes::CHILD_FAILED));
    assert!(problem.message().starts_with("the reader of `a.xml` said nothing"), "{problem}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn nonsense_is_a_problem() {
    for script in ["echo hello world", "printf '\\001\\001\\000\\000\\000x'", "cat"] {
        let problem = Reader::new(script).problem(&["a.xml"]).await;
        assert!(problem.is(&codes::CHILD_FAILED), "{script}: {problem}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_problem() {
    let reader = Reader::new("");
    std::fs::remove_file(reader.folder.path().join("reader")).unwrap();
    assert!(reader.problem(&["a.xml"]).await.is(&codes::CHILD_FAILED));
}
