//! A project in a temporary folder, and the program run in it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A project that vanishes with the test.
pub(crate) struct Project {
    dir: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Project {
    /// A project of these files; `affluent.yaml` is added when it is not among them.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        project.write("affluent.yaml", "affluent: 1\nname: test\n");
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program with these arguments, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        command.arg("-C").arg(self.dir.path()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().unwrap())
    }

    /// Runs and expects success; gives standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "affluent {arguments:?}: {}\n{}", ended.out, ended.err);
        ended.out
    }

    /// Runs and expects a problem; gives its code and text.
    pub(crate) fn problem(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[&["--json"], arguments].concat());
        assert_ne!(ended.code, Some(0), "affluent {arguments:?} succeeded: {}", ended.out);
        let line = ended.err.lines().next().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|_| panic!("not a problem: {}", ended.err))
    }

    /// Rows of a query as JSON objects.
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        let out = self.ok(&["query", "--format", "ndjson", sql]);
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one value of a query.
    pub(crate) fn value(&self, sql: &str) -> Value {
        let rows = self.query(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].as_object().unwrap().values().next().unwrap().clone()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The folder of open and torture data, if it is there. With `AFFLUENT_REQUIRE_DATA=1` it must be.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let dir = std::env::var("AFFLUENT_DATA").map_or(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    let required = std::env::var("AFFLUENT_REQUIRE_DATA").is_ok_and(|value| value == "1");
    assert!(!required, "there is no test data in `{}`", dir.display());
    println!("skipped: there is no test data in `{}`", dir.display());
    None
}
