//! Python programs, and environments with the packages that a project asks for.

use contracts::Context;
use model::{Problem, Result, codes};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Finding out about a program takes at most so long.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Making an environment takes at most so long.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(1800);
/// What is kept of what a process said.
pub(super) const SAID_BYTES_MAX: usize = 8 * 1024;
/// Written last into an environment: it is complete.
const READY: &str = "ready";

/// A Python program.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    /// Its absolute path.
    pub(super) executable: PathBuf,
    /// Its version.
    pub(super) version: String,
}

/// Finds a program by its name or path.
pub(super) async fn find(program: &str) -> Result<Interpreter> {
    let mut command = Command::new(program);
    command.args(["-I", "-c", "import sys; print(sys.executable); print(sys.version)"]);
    let output = run(command, PROBE_TIMEOUT).await.map_err(|error| {
        Problem::new(&codes::CHILD_FAILED, format!("the program `{program}` does not run"))
            .arg("program", program)
            .detail(error)
            .hint("install Python 3, or give its path in `interpreter`")
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match (output.status.success(), said.split_once('\n')) {
        (true, Some((path, version))) => Ok(Interpreter {
            executable: PathBuf::from(path.trim()),
            version: version.trim().to_owned(),
        }),
        _ => Err(failed(format!("`{program}` is not a Python program"), &output)
            .hint("give the path of a Python 3 program in `interpreter`")),
    }
}

/// The Python of an environment that has `requirements`; it is made when it is not there.
pub(super) async fn ensure(
    context: &Context,
    interpreter: &Interpreter,
    requirements: &[String],
    pandas: bool,
) -> Result<PathBuf> {
    let mut packages: Vec<String> = requirements.to_vec();
    packages.push("pyarrow".to_owned());
    if pandas {
        packages.push("pandas".to_owned());
    }
    packages.sort();
    packages.dedup();
    let id = format!("{}\n{}", interpreter.version, packages.join("\n"));
    let id = format!("{:016x}", stdx::hash::stable_hash(id.as_bytes()));
    let parent = context.state.join("python");
    let folder = parent.join(&id);
    let python = folder.join("bin").join("python");
    if folder.join(READY).is_file() {
        return Ok(python);
    }
    // Runs of other pipelines may want the same; the lock ends with the process that holds it.
    let lock_path = parent.join(format!("{id}.lock"));
    let lock = tokio::task::spawn_blocking(move || lock(&lock_path)).await;
    let _lock = lock.map_err(io::Error::other).and_then(|lock| lock).map_err(storage)?;
    if folder.join(READY).is_file() {
        return Ok(python);
    }
    make(&folder, &python, interpreter, &packages).await?;
    Ok(python)
}

async fn make(
    folder: &Path,
    python: &Path,
    interpreter: &Interpreter,
    packages: &[String],
) -> Result<()> {
    if folder.exists() {
        tokio::fs::remove_dir_all(folder).await.map_err(storage)?;
    }
    let mut command = Command::new(&interpreter.executable);
    command.args(["-I", "-m", "venv", "--system-site-packages"]).arg(folder);
    let output = run(command, INSTALL_TIMEOUT).await.map_err(storage)?;
    if !output.status.success() {
        return Err(failed("the environment for Python cannot be made".to_owned(), &output)
            .hint("on Debian and Ubuntu it needs the package `python3-venv`"));
    }
    let mut command = Command::new(python);
    command.args(["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--"]);
    command.args(packages);
    let output = run(command, INSTALL_TIMEOUT).await.map_err(storage)?;
    if !output.status.success() {
        let names = stdx::text::list(packages.iter().map(String::as_str));
        return Err(failed(format!("`pip` cannot install {names}"), &output)
            .in_setting("/requirements")
            .hint("check names and versions, and that the package index can be reached"));
    }
    tokio::fs::write(folder.join(READY), packages.join("\n")).await.map_err(storage)
}

fn lock(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = File::options().create(true).append(true).open(path)?;
    file.lock()?;
    Ok(file)
}

async fn run(mut command: Command, limit: Duration) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    match timeout(limit, command.output()).await {
        Ok(output) => output,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")),
    }
}

fn failed(fact: String, output: &Output) -> Problem {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Problem::new(&codes::CHILD_FAILED, fact).detail(tail(said.trim()))
}

/// The end of what a process said: that is where the reason stands.
pub(super) fn tail(said: &str) -> &str {
    let mut start = said.len().saturating_sub(SAID_BYTES_MAX);
    while !said.is_char_boundary(start) {
        start += 1;
    }
    &said[start..]
}

/// A disk that does not take the environment.
pub(super) fn storage(error: io::Error) -> Problem {
    Problem::new(&codes::STORAGE_FAILED, "the environment for Python cannot be made").detail(error)
}
