//! `affluent sql`: a shell for queries.

mod complete;
mod meta;
mod split;

use super::{Outcome, Session};
use crate::ad_hoc::{self, Format};
use crate::output::{ExitCode, Output, duration};
use crate::workbench::Workbench;
use clap::Args;
use complete::Completion;
use model::{Problem, Result, codes};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Statements that the history keeps.
const HISTORY_MAX: usize = 1000;
/// How long a query may take to stop.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);
/// What a shell calls a program that Ctrl C has ended.
const INTERRUPTED: i32 = 130;

const EXAMPLES: &str = "\
Examples:\n\
\x20 affluent sql\n\
\x20 affluent sql < report.sql\n\
\x20 echo \"select count(*) from silver.orders\" | affluent sql --format csv";

/// Arguments of `affluent sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// How rows are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// The shell and what has been switched on in it.
struct Shell<'a> {
    workbench: &'a Workbench,
    output: Output,
    format: Format,
    timing: bool,
    expanded: bool,
    /// File that the next result goes to.
    out: Option<PathBuf>,
    interactive: bool,
}

/// Where lines come from.
enum Lines {
    Terminal(Box<Editor<Completion, DefaultHistory>>, PathBuf),
    Pipe(io::StdinLock<'static>),
}

/// Ctrl C while a query runs. It is watched by a thread and runtime of its own: a query can keep
/// every worker busy for so long that nothing beside it is heard.
struct Interrupt {
    pressed: oneshot::Receiver<()>,
    /// Ends the watch when it is dropped.
    _over: oneshot::Sender<()>,
}

impl Interrupt {
    fn watch() -> Self {
        let (press, pressed) = oneshot::channel();
        let (over_sender, over) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without a watch Ctrl C ends the shell, which is not too bad.
            if let Ok(runtime) = runtime {
                runtime.block_on(heed(press, over));
            }
        });
        Self { pressed, _over: over_sender }
    }
}

/// Tells of Ctrl C; leaves the shell when the query does not stop then.
async fn heed(press: oneshot::Sender<()>, mut over: oneshot::Receiver<()>) {
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
        _ = &mut over => return,
    }
    let _ = press.send(());
    if tokio::time::timeout(CANCEL_PATIENCE, over).await.is_err() {
        // Nothing is lost: a query writes nothing but its result.
        let _ = writeln!(io::stderr(), "the query does not stop; the shell is left");
        std::process::exit(INTERRUPTED);
    }
}

/// A line, or why there is none.
enum Line {
    Text(String),
    Interrupted,
    End,
}

pub(crate) async fn execute(session: &Session, arguments: Arguments) -> Outcome {
    let workbench = session.open_or_bare()?;
    let format = match (arguments.format, session.output.json) {
        (Format::Table, true) => Format::Json,
        (format, _) => format,
    };
    let interactive = io::stdin().is_terminal();
    let mut shell = Shell {
        workbench: &workbench,
        output: session.output,
        format,
        timing: false,
        expanded: false,
        out: None,
        interactive,
    };
    let lines = match interactive {
        true => terminal(&workbench).await.map_err(|problem| vec![problem])?,
        false => Lines::Pipe(io::stdin().lock()),
    };
    if interactive {
        session.output.line("one SELECT at a time, ended by `;`; \\? for help, \\q to leave");
    }
    shell.read(lines).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}

async fn terminal(workbench: &Workbench) -> Result<Lines> {
    let failed = |error: ReadlineError| {
        Problem::new(&codes::COMMAND_INVALID, "this terminal cannot be used").detail(error)
    };
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .max_history_size(HISTORY_MAX)
        .map_err(failed)?
        .build();
    let mut editor = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Completion::new(workbench).await?));
    let history = workbench.context.state.join("sql_history");
    // The first session has none.
    let _ = editor.load_history(&history);
    Ok(Lines::Terminal(Box::new(editor), history))
}

impl Lines {
    fn next(&mut self, goes_on: bool) -> Result<Line> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Problem::new(&codes::FILE_UNREADABLE, "the input cannot be read").detail(error)
        };
        match self {
            Self::Pipe(input) => {
                let mut line = String::new();
                let bytes = input.read_line(&mut line).map_err(|error| unreadable(&error))?;
                Ok(if bytes == 0 { Line::End } else { Line::Text(line) })
            }
            Self::Terminal(editor, _) => {
                let prompt = if goes_on { "      ...> " } else { "affluent> " };
                // Waiting for a person must not hold up a thread that others need.
                match tokio::task::block_in_place(|| editor.readline(prompt)) {
                    Ok(line) => Ok(Line::Text(line)),
                    Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                    Err(ReadlineError::Eof) => Ok(Line::End),
                    Err(error) => Err(unreadable(&error)),
                }
            }
        }
    }

    /// Keeps what was typed; a history that cannot be written is no reason to stop.
    fn remember(&mut self, text: &str) {
        if let Self::Terminal(editor, history) = self {
            let _ = editor.add_history_entry(text.trim());
            let _ = editor.save_history(history);
        }
    }
}

impl Shell<'_> {
    async fn read(&mut self, mut lines: Lines) -> Result<()> {
        let mut buffer = String::new();
        loop {
            let begins = buffer.trim().is_empty();
            let line = match lines.next(!begins)? {
                Line::Text(line) => line,
                Line::Interrupted => {
                    buffer.clear();
                    continue;
                }
                Line::End => break,
            };
            let word = line.trim();
            if begins && (word.starts_with('\\') || matches!(word, "quit" | "exit" | "help")) {
                lines.remember(word);
                let command = if word == "help" { "\\?" } else { word };
                if matches!(command, "\\q" | "quit" | "exit") {
                    return Ok(());
                }
                let done = self.command(command).await;
                self.settle(done)?;
                continue;
            }
            buffer.push_str(line.trim_end_matches('\n'));
            buffer.push('\n');
            while let Some((statement, rest)) = split::first_statement(&buffer) {
                lines.remember(&format!("{};", statement.trim()));
                buffer = rest;
                let done = self.statement(&statement).await;
                self.settle(done)?;
            }
        }
        // What a file ends with needs no `;`.
        if !self.interactive && !split::is_blank(&buffer) {
            let done = self.statement(&buffer).await;
            self.settle(done)?;
        }
        Ok(())
    }

    /// A person sees the problem and goes on; a script stops.
    fn settle(&self, done: Result<()>) -> Result<()> {
        match done {
            Err(problem) if self.interactive => {
                self.output.problem(&problem);
                Ok(())
            }
            done => done,
        }
    }

    async fn statement(&mut self, text: &str) -> Result<()> {
        if split::is_blank(text) {
            return Ok(());
        }
        let started = Instant::now();
        if self.interactive {
            let mut interrupt = Interrupt::watch();
            tokio::select! {
                done = self.query(text) => done?,
                _ = &mut interrupt.pressed => {
                    self.output.line("cancelled");
                    return Ok(());
                }
            }
        } else {
            self.query(text).await?;
        }
        if self.timing {
            let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.output.line(duration(elapsed));
        }
        Ok(())
    }

    async fn query(&mut self, text: &str) -> Result<()> {
        let rows = ad_hoc::run(self.workbench, text).await?;
        if let Some(out) = self.out.take() {
            let format = ad_hoc::format_of(&out).unwrap_or(self.format);
            ad_hoc::write(rows, format, Some(&out), self.output).await?;
            self.output.line(format!("written to `{}`", out.display()));
            return Ok(());
        }
        if self.expanded && self.format == Format::Table {
            return meta::expanded(rows.batches, self.output).await;
        }
        ad_hoc::write(rows, self.format, None, self.output).await
    }
}
