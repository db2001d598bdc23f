//! CSV: the fastest and most forgiving reader that never loses or invents anything.
//!
//! What stands in a file comes out as received: every column is text, nothing is trimmed, an
//! empty field is null unless it stands in quotes. What is not said is found out: encoding, line
//! ends, delimiter, quote, escape, lines before the header, the header itself. What cannot be a
//! row is a reject with file, line, byte offset, reason and raw text, and reading goes on:
//!
//! - a record with too few or too many fields (one empty field too many at the end of *every* row
//!   is a trailing delimiter, not a fault);
//! - a line with a quote that does not close before a delimiter or the end of a line; only that
//!   one line is given up;
//! - bytes that are no characters of the encoding;
//! - a field beyond 16 MiB, a line beyond 64 MiB;
//! - lines before the header, unless `skip` names them;
//! - with `types: infer`, a value that does not fit the type its column has by the first rows.
//!
//! Blank lines are no records (in a file of one column they are nulls), nor are comments. Offsets
//! count bytes of the decompressed and decoded text; for plain UTF-8 that is the file.
//!
//! How it works: one thread reads and cuts the file into chunks at record boundaries, and each
//! partition parses chunks when it is polled, so the work is done on the consumer's cores.

mod cells;
mod chunk;
mod columns;
mod counts;
mod feed;
mod index;
mod infer;
mod layout;
mod parse;
mod sniff;
mod source;
mod split;
mod syntax;

pub use crate::file::ReadOptions;
pub use counts::Counts;
pub use syntax::{Escape, Newline};

use crate::compression::{self, Limits};
use crate::csv::feed::Work;
use crate::csv::layout::{Layout, lay_out};
use crate::file::InputFile;
use contracts::Batches;
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What types columns get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Types {
    /// Text, as received.
    #[default]
    Text,
    /// By the first rows.
    Infer,
}

/// What is known about the files; the rest is found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// Stands between fields.
    pub delimiter: Option<char>,
    /// Surrounds fields; `Some(None)` means that quotes are characters like others.
    pub quote: Option<Option<char>>,
    /// Stands before a quote inside of a quoted field: the quote itself or a backslash.
    pub escape: Option<char>,
    /// Whether the first row holds names.
    pub header: Option<bool>,
    /// The character encoding, such as `windows-1252`.
    pub encoding: Option<String>,
    /// Lines to pass over at the beginning of each file.
    pub skip: u64,
    /// Lines that begin with it are passed over.
    pub comment: Option<char>,
    /// Names and widths of fields at fixed places, in characters. Blanks around values are cut.
    pub fixed_width: Option<Vec<(String, usize)>>,
    /// Names of the columns of a file without a header, or in place of its header.
    pub columns: Option<Vec<String>>,
    /// Unquoted values that mean null, besides the empty one.
    pub null_values: Vec<String>,
    /// What types columns get.
    pub types: Types,
}

/// What only tests, benchmarks and careful callers set.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Bytes that are parsed in one go.
    pub chunk_bytes: usize,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// How far compressed files may unpack.
    pub limits: Limits,
    /// Counts records, rows and rejects.
    pub counts: Arc<Counts>,
}

impl Default for Tuning {
    fn default() -> Self {
        let (limits, counts) = (Limits::default(), Arc::default());
        Self { chunk_bytes: 4 << 20, batch_rows: 8192, limits, counts }
    }
}

/// Chunks of a sample: small, so that the first rows come at once.
const SAMPLE_CHUNK_BYTES: usize = 256 * 1024;

/// Opens files whose columns are put together by name: a column that a file lacks is null in it.
///
/// The schema is known when this returns: texts (or inferred types) under lake names, the header
/// as received in the metadata, then `_file` and `_row`, the line on which the record begins.
/// Rows are in order in each partition, and each batch is a run of lines of one file.
pub fn open(files: &[InputFile], options: &CsvOptions, request: ReadOptions) -> Result<Batches> {
    open_tuned(files, options, request, Tuning::default())
}

/// [`open`] with every knob.
pub fn open_tuned(
    files: &[InputFile],
    options: &CsvOptions,
    request: ReadOptions,
    tuning: Tuning,
) -> Result<Batches> {
    check(options)?;
    let plan = Arc::new(source::plan(files, options, tuning.limits)?);
    let schema = Arc::clone(&plan.schema);
    let chunk_bytes = match request.sample {
        Some(_) => tuning.chunk_bytes.min(SAMPLE_CHUNK_BYTES),
        None => tuning.chunk_bytes,
    };
    let work = Work {
        plan,
        rejects: request.rejects,
        bytes: request.bytes,
        counts: tuning.counts,
        sample: request.sample,
        chunk_bytes: chunk_bytes.max(1),
        batch_rows: tuning.batch_rows.max(1),
    };
    let partitions = feed::partitions(work, request.partitions);
    Ok(Batches::new(schema, partitions).sorted_by_origin())
}

/// How a file would be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dialect {
    /// Its character encoding.
    pub encoding: String,
    /// Stands between fields; none where a line is one field.
    pub delimiter: Option<char>,
    /// Whether spaces after the delimiter belong to it.
    pub has_space_after_delimiter: bool,
    /// Surrounds fields.
    pub quote: Option<char>,
    /// How a quote is written inside of a quoted field.
    pub escape: Escape,
    /// What ends a line.
    pub newline: Newline,
    /// Rows of names.
    pub header_rows: usize,
    /// Lines before the header that belong to nothing.
    pub preamble_lines: usize,
    /// The number of the line on which the first row begins.
    pub data_line: u64,
    /// Names as received, one for each column.
    pub headers: Vec<String>,
    /// From 0 to 1: how well this explains the beginning of the file.
    pub confidence: f64,
    /// What a person should know.
    pub remarks: Vec<String>,
}

/// Finds out how `file` would be read; of an archive, its first file.
pub fn detect(file: &InputFile, options: &CsvOptions) -> Result<Dialect> {
    check(options)?;
    let members = compression::members(file, Limits::default())?;
    let Some(member) = members.first() else { return Err(source::nothing_in(file)) };
    let head = source::read_head(member, options)?;
    if head.text.is_empty() {
        return Err(source::nothing_in(file));
    }
    let Layout { syntax, names, header_rows, preamble, data_line, confidence, remarks, .. } =
        lay_out(&head.text, head.is_whole, options, None);
    Ok(Dialect {
        encoding: head.encoding.name().to_owned(),
        delimiter: std::str::from_utf8(&syntax.delimiter).ok().and_then(|d| d.chars().next()),
        has_space_after_delimiter: syntax.has_space_after,
        quote: syntax.quote.map(char::from),
        escape: syntax.escape,
        newline: match syntax.newline {
            b'\r' => Newline::CarriageReturn,
            _ => Newline::LineFeed,
        },
        header_rows,
        preamble_lines: preamble.len(),
        data_line,
        headers: names,
        confidence,
        remarks,
    })
}

fn check(options: &CsvOptions) -> Result<()> {
    let invalid = |setting: &str, fact: String, hint: &str| {
        let problem = Problem::new(&codes::SETTING_INVALID, fact).hint(hint);
        Err(problem.in_setting(format!("/{setting}")))
    };
    let one_byte = "take an ASCII character, such as `\"`";
    for (setting, given) in [("quote", options.quote.flatten()), ("comment", options.comment)] {
        if let Some(given) = given.filter(|given| !given.is_ascii() || *given == '\n') {
            return invalid(setting, format!("`{given}` cannot be the {setting}"), one_byte);
        }
    }
    if let Some(given) = options.delimiter
        && (given == '\n' || given == '\r' || Some(given) == options.quote.flatten())
    {
        return invalid(
            "delimiter",
            format!("`{}` cannot be the delimiter", given.escape_default()),
            "take another character than the line's end and the quote",
        );
    }
    if let Some(given) = options.escape
        && given != '\\'
        && given != options.quote.flatten().unwrap_or('"')
        && given != '\''
    {
        return invalid(
            "escape",
            format!("`{given}` cannot be the escape"),
            "take a backslash, or the quote itself when it is doubled",
        );
    }
    match &options.fixed_width {
        Some(widths) if widths.is_empty() || widths.iter().any(|(_, width)| *width == 0) => {
            invalid(
                "fixed_width",
                "a column of a fixed width has no width".to_owned(),
                "give each column its name and its number of characters",
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
