//! What commands print, for people and for programs.

use model::{Fault, Problem};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitCode {
    /// All went well; also when there was nothing to do.
    Done = 0,
    /// Documents, data or the command are at fault: mend them and run again.
    User = 1,
    /// The command line was not understood.
    Usage = 2,
    /// A system outside is at fault: try again later.
    External = 3,
    /// Affluent is at fault: please report it.
    Internal = 4,
}

impl From<&Problem> for ExitCode {
    fn from(problem: &Problem) -> Self {
        match problem.code().fault {
            Fault::User => Self::User,
            Fault::External => Self::External,
            Fault::Us => Self::Internal,
        }
    }
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// JSON for programs instead of text for people.
    pub json: bool,
    /// Whether standard output is a terminal: colours and moving lines.
    pub terminal: bool,
}

impl Output {
    /// Output of this process.
    pub fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal() && io::stderr().is_terminal() }
    }

    /// A line for people; nothing when JSON is wanted.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            print(&format!("{}\n", text.as_ref()));
        }
    }

    /// A value for programs; nothing when text is wanted.
    pub fn value(&self, value: &impl Serialize) {
        if self.json
            && let Ok(text) = serde_json::to_string(value)
        {
            print(&format!("{text}\n"));
        }
    }

    /// Several lines for people; nothing when JSON is wanted.
    pub fn raw_for_people(&self, text: &str) {
        if !self.json {
            print(text);
        }
    }

    /// Text as it is, in both forms.
    pub fn raw(&self, text: &str) {
        print(text);
    }

    /// A problem, on standard error.
    pub fn problem(&self, problem: &Problem) {
        let text = match self.json {
            true => serde_json::to_string(&problem.to_stored()).unwrap_or_default(),
            false => describe(problem, io::stderr().is_terminal()),
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Text between a colour's codes, where colours are seen.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if self.terminal { colour.paint(text) } else { text.to_owned() }
    }
}

/// Colours of states; never alone, always beside a word.
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    /// Success.
    Green,
    /// Failure.
    Red,
    /// Warning.
    Yellow,
    /// Rejected rows.
    Magenta,
    /// What is not important now.
    Grey,
    /// Names.
    Bold,
}

impl Colour {
    fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Green => "32",
            Self::Red => "31",
            Self::Yellow => "33",
            Self::Magenta => "35",
            Self::Grey => "2",
            Self::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn print(text: &str) {
    // A reader that has gone (`| head`) is no reason to panic.
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}

/// `error: fact` / detail / place / hint, a line each.
pub(crate) fn describe(problem: &Problem, colours: bool) -> String {
    let paint = |colour: Colour, text: &str| match colours {
        true => colour.paint(text),
        false => text.to_owned(),
    };
    let mut text = format!("{} {}", paint(Colour::Red, "error:"), problem.message());
    if let Some(detail) = problem.detail_text() {
        text.push_str(&format!("\n  {detail}"));
    }
    if let Some(place) = place(problem) {
        text.push_str(&format!("\n  {} {place}", paint(Colour::Grey, "at")));
    }
    if let Some(hint) = problem.hint_text() {
        text.push_str(&format!("\n  {} {hint}", paint(Colour::Green, "hint:")));
    }
    text
}

fn place(problem: &Problem) -> Option<String> {
    let context = problem.context();
    let mut parts = Vec::new();
    if let Some(file) = &context.file {
        let line = context.line.map(|line| format!(":{line}")).unwrap_or_default();
        let column = context.column.map(|column| format!(":{column}")).unwrap_or_default();
        parts.push(format!("{file}{line}{column}"));
    }
    match (&context.pipeline, &context.node) {
        (Some(pipeline), Some(node)) => parts.push(format!("{pipeline}.{node}")),
        (Some(pipeline), None) => parts.push(pipeline.clone()),
        (None, Some(node)) => parts.push(format!("node {node}")),
        (None, None) => {}
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Columns of text, aligned; the first line is the heading. Numbers stand right.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([heading[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let is_number = |at: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
        !rows.is_empty() && cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        let mut padded = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let gap = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            padded.push_str(&match is_number(at) {
                true => format!("{gap}{cell}  "),
                false => format!("{cell}{gap}  "),
            });
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    };
    line(&heading.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
    text
}

/// `1.4 s`, `3 m 20 s`.
pub(crate) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        _ => format!("{} m {} s", milliseconds / 60_000, milliseconds / 1000 % 60),
    }
}

/// `12.3 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
