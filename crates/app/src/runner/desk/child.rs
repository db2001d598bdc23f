//! The desk's side.

use super::answer::{Bench, Bytes, answer};
use super::wire::{Asked, Frames, Reply, untalkable};
use crate::panics::{caught, with_place};
use crate::workbench::Settings;
use model::{Problem, Result, codes};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::Value;
use std::io::{self, BufRead, Stdout, Write};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// What a desk ends with when its server has gone.
const ORPHANED: i32 = 70;
/// Beyond the memory of its operations a desk may have so much for everything else. It is the last
/// resort: an operation that respects its limit never comes near.
const MEMORY_BYTES_BESIDE: u64 = 2 << 30;

/// Answers questions until the server has gone.
pub(crate) async fn serve(settings: &Settings) -> Result<()> {
    let (sender, mut questions) = mpsc::channel(1);
    std::thread::spawn(move || read_questions(&sender));
    let mut bench = Bench::new(settings.clone());
    confine(bench.memory_bytes()?)?;
    while let Some(line) = questions.recv().await {
        let answered = match serde_json::from_str::<Asked>(&line).map_err(untalkable) {
            Ok(asked) => caught(async { Ok(answer(&mut bench, asked).await) }).await,
            Err(problem) => Err(problem),
        };
        match answered {
            Ok(Ok((value, bytes))) => send(value, bytes)?,
            Ok(Err(problems)) => refuse(problems)?,
            Err(problem) => refuse(vec![problem])?,
        }
    }
    Ok(())
}

/// Passes lines on; when there are no more, the server has gone, and the desk goes too.
fn read_questions(sender: &mpsc::Sender<String>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if sender.blocking_send(line).is_err() {
            break;
        }
    }
    process::exit(ORPHANED);
}

fn confine(memory_bytes: u64) -> Result<()> {
    for (resource, most) in
        [(Resource::Data, memory_bytes.saturating_add(MEMORY_BYTES_BESIDE)), (Resource::Core, 0)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(
            |error| {
                Problem::new(&codes::INTERNAL, "a desk cannot be given its limits").detail(error)
            },
        )?;
    }
    Ok(())
}

fn send(value: Value, bytes: Option<Bytes>) -> Result<()> {
    let has_body = bytes.is_some();
    let reply = Reply::Answer { value, has_body, memory_mib: memory_mib() };
    write_line(&mut io::stdout().lock(), &reply)?;
    let Some(bytes) = bytes else { return Ok(()) };
    let frames = Shared(Arc::new(Mutex::new(Some(Frames::new(io::stdout())))));
    let outcome = bytes(Box::new(frames.clone()));
    match frames.take() {
        Some(frames) => frames.end(outcome).map_err(untalkable),
        None => Err(untalkable("the frames have been taken away")),
    }
}

/// Frames that a writer of rows owns, and that are ended when it is done.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Frames<Stdout>>>>);

impl Shared {
    fn take(&self) -> Option<Frames<Stdout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(frames) => frames.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refuse(problems: Vec<Problem>) -> Result<()> {
    let problems = problems.into_iter().map(with_place).map(|problem| problem.to_stored());
    write_line(&mut io::stdout().lock(), &Reply::Problems(problems.collect()))
}

fn write_line(out: &mut impl Write, reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(untalkable)?;
    line.push(b'\n');
    out.write_all(&line).and_then(|()| out.flush()).map_err(untalkable)
}

/// Memory that this process has, in MiB; 0 when the system does not say.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    kib.unwrap_or(0) / 1024
}
