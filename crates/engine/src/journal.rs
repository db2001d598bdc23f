//! The run journal as files: `.affluent/runs/<pipeline>/<run>.json` and `….log`.

use contracts::journal::{JournaledRun, PipelineLock, RunJournal};
use model::run::{RunEvent, RunId, RunRecord};
use model::{Name, Problem, Result, codes};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use stdx::durable::{self, AppendLog, Publish};

/// The journal in a folder.
#[derive(Debug, Clone)]
pub struct FileJournal {
    dir: PathBuf,
}

struct FileLock {
    // The lock goes with the file handle, also when the process dies.
    _file: File,
}

impl PipelineLock for FileLock {}

impl FileJournal {
    /// The journal below the project's `.affluent`.
    pub fn new(state: &Path) -> Self {
        Self { dir: state.join("runs") }
    }

    fn record_path(&self, pipeline: &Name, run: &RunId) -> PathBuf {
        self.dir.join(pipeline.as_str()).join(format!("{run}.json"))
    }

    fn events_path(&self, pipeline: &Name, run: &RunId) -> PathBuf {
        self.dir.join(pipeline.as_str()).join(format!("{run}.log"))
    }

    fn read_run(&self, pipeline: &Name, path: &Path) -> Result<JournaledRun> {
        let text = fs::read_to_string(path).map_err(|error| io_problem(path, &error))?;
        let record: RunRecord =
            serde_json::from_str(&text).map_err(|error| damaged(path, &error))?;
        let events_path = self.events_path(pipeline, &record.run);
        let events = match fs::read_to_string(&events_path) {
            Ok(text) => parse_events(&events_path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io_problem(&events_path, &error)),
        };
        Ok(JournaledRun { record, events })
    }
}

fn parse_events(path: &Path, text: &str) -> Result<Vec<RunEvent>> {
    // Without its line feed the last line was never acknowledged.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| damaged(path, &error)))
        .collect()
}

fn io_problem(path: &Path, error: &io::Error) -> Problem {
    let code = match error.kind() {
        io::ErrorKind::StorageFull => &codes::STORAGE_FULL,
        io::ErrorKind::PermissionDenied => &codes::PERMISSION_DENIED,
        _ => &codes::STORAGE_FAILED,
    };
    Problem::new(code, "the run journal cannot be read or written")
        .detail(error)
        .in_file(path.display())
        .hint("mend the disk or free space, then run again: the run goes on where it was")
}

fn damaged(path: &Path, error: &serde_json::Error) -> Problem {
    Problem::new(&codes::JOURNAL_CORRUPT, "a file of the run journal is damaged")
        .detail(error)
        .in_file(path.display())
        .hint("`affluent recover` rebuilds the journal from the tables")
}

impl RunJournal for FileJournal {
    fn lock(&self, pipeline: &Name) -> Result<Box<dyn PipelineLock>> {
        let path = self.dir.join(format!("{pipeline}.lock"));
        let problem = |error: &io::Error| io_problem(&path, error);
        durable::create_dir_all(&self.dir).map_err(|error| problem(&error))?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| problem(&error))?;
        match file.try_lock() {
            Ok(()) => {
                let _ = file.set_len(0);
                let _ = write!(file, "{}", std::process::id());
                Ok(Box::new(FileLock { _file: file }))
            }
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                Err(Problem::new(
                    &codes::RUN_LOCKED,
                    format!("pipeline `{pipeline}` is running already"),
                )
                .arg("pipeline", pipeline)
                .arg("process", &holder)
                .hint(format!("wait for process {holder}, or stop it")))
            }
            Err(TryLockError::Error(error)) => Err(problem(&error)),
        }
    }

    fn begin(&self, record: &RunRecord) -> Result<()> {
        let path = self.record_path(&record.pipeline, &record.run);
        let text = serde_json::to_vec_pretty(record).map_err(|error| damaged(&path, &error))?;
        durable::write(&path, &text, Publish::Create).map_err(|error| io_problem(&path, &error))
    }

    fn append(&self, pipeline: &Name, run: &RunId, event: &RunEvent) -> Result<()> {
        let path = self.events_path(pipeline, run);
        let line = serde_json::to_string(event).map_err(|error| damaged(&path, &error))?;
        AppendLog::open(&path)
            .and_then(|mut log| log.append(&line))
            .map_err(|error| io_problem(&path, &error))
    }

    fn runs(&self, pipeline: &Name) -> Result<Vec<JournaledRun>> {
        let dir = self.dir.join(pipeline.as_str());
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_problem(&dir, &error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| io_problem(&dir, &error))?.path();
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            if is_record && RunId::parse(&stem).is_some() {
                paths.push(path);
            }
        }
        // Ids are ULIDs: their order is that of time.
        paths.sort();
        paths.iter().map(|path| self.read_run(pipeline, path)).collect()
    }

    fn pipelines(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        let Ok(entries) = fs::read_dir(&self.dir) else { return Ok(names) };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                names.extend(Name::new(name).ok());
            }
        }
        names.sort();
        Ok(names)
    }
}
