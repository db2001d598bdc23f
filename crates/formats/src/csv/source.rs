//! What is to be read: files and archive members, each with its encoding and layout, and the
//! columns of all of them together.

use crate::compression::{self, Limits, Member, read_full};
use crate::csv::infer::{Guess, Types};
use crate::csv::layout::{Layout, lay_out, read_rows};
use crate::csv::{self, CsvOptions};
use crate::encoding::{self, BOM, ByteSample, Encoding};
use crate::file::InputFile;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use contracts::arrow_types::{HEADER_KEY, origin_fields};
use model::{Problem, Result, codes, lake_column_names};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Bytes that the layout is worked out from.
const HEAD_BYTES: usize = 256 * 1024;
/// The head is read up to here when its first line is longer.
const HEAD_BYTES_MAX: usize = 16 << 20;
/// Of longer files, the encoding is judged by the head and pieces, not by every byte.
const WHOLE_BYTES_MAX: u64 = 8 << 20;
const PIECES: u64 = 64;
const PIECE_BYTES: usize = 64 * 1024;
/// Rows that vote on types, of each file.
const GUESS_ROWS_MAX: usize = 10_000;
/// Columns of one file.
const COLUMNS_MAX: usize = 20_000;

/// One file that has rows.
#[derive(Debug)]
pub(crate) struct CsvFile {
    pub(crate) member: Member,
    pub(crate) encoding: Encoding,
    pub(crate) layout: Layout,
    /// Bytes of byte order marks in the decoded text.
    pub(crate) mark_bytes: usize,
    /// Where the first row begins in the decoded text.
    pub(crate) data_offset: usize,
    /// For each field, its column.
    pub(crate) targets: Vec<usize>,
    /// Columns that the file does not have.
    pub(crate) missing: Vec<usize>,
}

/// All files and their columns.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) files: Vec<Arc<CsvFile>>,
    /// Texts, then `_file` and `_row`.
    pub(crate) text_schema: SchemaRef,
    /// What comes out.
    pub(crate) schema: SchemaRef,
    pub(crate) types: Types,
    pub(crate) null_values: Vec<String>,
}

/// The beginning of a file, decoded.
pub(crate) struct Head {
    pub(crate) encoding: Encoding,
    /// Decoded text without byte order marks.
    pub(crate) text: Vec<u8>,
    pub(crate) is_whole: bool,
    pub(crate) mark_bytes: usize,
}

/// Looks at every file. Files without any bytes are passed over.
pub(crate) fn plan(files: &[InputFile], options: &CsvOptions, limits: Limits) -> Result<Plan> {
    let mut planned: Vec<CsvFile> = Vec::new();
    let mut columns = ColumnUnion::default();
    let mut guesses: Vec<Guess> = Vec::new();
    for file in files {
        for member in compression::members(file, limits)? {
            let head = read_head(&member, options)?;
            if head.text.is_empty() {
                tracing::warn!(file = member.file.name, "an empty file has no rows");
                continue;
            }
            let prior = planned.first().map(|file| &file.layout);
            let layout = lay_out(&head.text, head.is_whole, options, prior);
            for remark in &layout.remarks {
                tracing::warn!(file = member.file.name, remark, "the header does not fit");
            }
            let names = check_names(&member.file, &layout)?;
            let mut targets = columns.add(&names, &layout.names);
            // A header may name more columns than the rows have fields.
            targets.truncate(layout.width);
            guesses.resize(columns.fields.len(), Guess::default());
            if options.types == csv::Types::Infer {
                guess(&head, &layout, &targets, &mut guesses, &options.null_values);
            }
            planned.push(CsvFile {
                data_offset: head.mark_bytes + layout.data_offset,
                mark_bytes: head.mark_bytes,
                encoding: head.encoding,
                member,
                layout,
                targets,
                missing: Vec::new(),
            });
        }
    }
    if planned.is_empty() {
        match (&options.columns, files.first()) {
            (Some(names), _) => drop(columns.add(&lake_column_names(names), names)),
            (None, Some(file)) => return Err(nothing_in(file)),
            (None, None) => {}
        }
    }
    let count = columns.fields.len();
    for file in &mut planned {
        file.missing = (0..count).filter(|column| !file.targets.contains(column)).collect();
    }
    columns.fields.extend(origin_fields());
    let types = match options.types {
        csv::Types::Infer => Types::of(&guesses),
        csv::Types::Text => Types::texts(),
    };
    let text_schema = Arc::new(Schema::new(columns.fields));
    Ok(Plan {
        files: planned.into_iter().map(Arc::new).collect(),
        schema: types.schema(&text_schema),
        text_schema,
        types,
        null_values: options.null_values.clone(),
    })
}

/// Lets the first rows of a file vote on the types of its columns.
fn guess(
    head: &Head,
    layout: &Layout,
    targets: &[usize],
    guesses: &mut [Guess],
    null_values: &[String],
) {
    let body = head.text.get(layout.data_offset..).unwrap_or_default();
    let rows = read_rows(body, head.is_whole, &layout.syntax, GUESS_ROWS_MAX, layout.data_line);
    for row in rows.iter().filter(|row| !row.is_broken && row.cells.len() == layout.width) {
        for ((cell, is_quoted), target) in row.cells.iter().zip(&row.quoted).zip(targets) {
            let is_null = !is_quoted && (cell.is_empty() || null_values.contains(cell));
            if !is_null {
                guesses[*target].add(cell);
            }
        }
    }
}

/// Reads the beginning of a file and finds out its encoding.
pub(crate) fn read_head(member: &Member, options: &CsvOptions) -> Result<Head> {
    let file = &member.file;
    let given = match &options.encoding {
        None => None,
        Some(label) => Some(Encoding::named(label).ok_or_else(|| unknown_encoding(label))?),
    };
    // What is read to get to know the file is no progress.
    let bytes = Arc::new(AtomicU64::new(0));
    let mut sample = compression::with_reader(member, &bytes, |reader| {
        read_sample(reader).map_err(|error| compression::read_problem(file, &error))
    })?;
    let encoding = match given {
        Some(given) => with_mark(given, &sample.head),
        None => {
            if member.is_plain() && !sample.is_whole {
                sample.pieces = read_pieces(file).map_err(|error| file.problem(&error))?;
            }
            encoding::detect(&sample)
        }
    };
    let mut raw = sample.head.as_slice();
    let mut text = Vec::new();
    encoding.decode(&mut raw).read_to_end(&mut text).map_err(|error| file.problem(&error))?;
    let mut mark_bytes = 0;
    while text[mark_bytes..].starts_with(BOM) {
        mark_bytes += BOM.len();
    }
    text.drain(..mark_bytes);
    if !sample.is_whole {
        // The sample may have cut the last character in two.
        let end = memchr::memrchr2(b'\n', b'\r', &text).map_or(text.len(), |last| last + 1);
        text.truncate(end);
    }
    Ok(Head { encoding, text, is_whole: sample.is_whole, mark_bytes })
}

/// `utf-16` and `utf-32` say nothing about the order of bytes; a byte order mark does.
fn with_mark(given: Encoding, head: &[u8]) -> Encoding {
    let marked = encoding::detect(&ByteSample {
        head: head[..head.len().min(4)].to_vec(),
        ..ByteSample::default()
    });
    match (given.name(), marked.name()) {
        ("UTF-16LE", "UTF-16BE") | ("UTF-32LE", "UTF-32BE") => marked,
        _ => given,
    }
}

fn read_sample(reader: &mut dyn Read) -> io::Result<ByteSample> {
    let mut head = vec![0; HEAD_BYTES];
    let mut length = 0;
    loop {
        length += read_full(reader, &mut head[length..])?;
        let is_whole = length < head.len();
        let has_line = memchr::memchr2(b'\n', b'\r', &head[..length]).is_some();
        if is_whole || has_line || length >= HEAD_BYTES_MAX {
            head.truncate(length);
            return Ok(ByteSample { head, is_whole, pieces: Vec::new() });
        }
        head.resize(length * 4, 0);
    }
}

/// Pieces of a plain file behind its head: all of a small one, evenly spread over a large one.
fn read_pieces(file: &InputFile) -> io::Result<Vec<Vec<u8>>> {
    let mut opened = File::open(&file.path)?;
    let size = opened.metadata()?.len();
    if size <= WHOLE_BYTES_MAX {
        let mut rest = Vec::new();
        opened.seek(SeekFrom::Start(HEAD_BYTES as u64))?;
        opened.take(WHOLE_BYTES_MAX).read_to_end(&mut rest)?;
        return Ok(vec![rest]);
    }
    let mut pieces = Vec::new();
    for number in 1..=PIECES {
        let position = (size - PIECE_BYTES as u64) / PIECES * number;
        opened.seek(SeekFrom::Start(position))?;
        let mut piece = vec![0; PIECE_BYTES];
        let length = read_full(&mut opened, &mut piece)?;
        piece.truncate(length);
        pieces.push(piece);
    }
    Ok(pieces)
}

/// Columns of all files by lake name, in the order of their first appearance.
#[derive(Default)]
struct ColumnUnion {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

impl ColumnUnion {
    /// Adds the columns of one file and says which of all each one is.
    fn add(&mut self, names: &[String], headers: &[String]) -> Vec<usize> {
        let mut targets = Vec::with_capacity(names.len());
        for (name, header) in names.iter().zip(headers) {
            let next = self.fields.len();
            let at = *self.by_name.entry(name.clone()).or_insert(next);
            if at == next {
                let metadata = HashMap::from([(HEADER_KEY.to_owned(), header.clone())]);
                let field = Field::new(name, DataType::Utf8View, true);
                self.fields.push(field.with_metadata(metadata));
            }
            targets.push(at);
        }
        targets
    }
}

fn check_names(file: &InputFile, layout: &Layout) -> Result<Vec<String>> {
    let count = layout.names.len();
    if count <= COLUMNS_MAX {
        return Ok(lake_column_names(&layout.names));
    }
    let limit = stdx::text::group_digits(COLUMNS_MAX as u64);
    Err(Problem::new(&codes::FILE_TOO_LARGE, format!("`{}` has {count} columns", file.name))
        .arg("file", &file.name)
        .hint(format!("at most {limit} columns can be read; check `delimiter`"))
        .in_file(&file.name))
}

pub(crate) fn nothing_in(file: &InputFile) -> Problem {
    Problem::new(&codes::FILE_CORRUPT, format!("`{}` is empty", file.name))
        .arg("file", &file.name)
        .hint("a file without a header needs `columns` to say what it could have held")
        .in_file(&file.name)
}

fn unknown_encoding(label: &str) -> Problem {
    Problem::new(&codes::SETTING_INVALID, format!("`{label}` is not a known encoding"))
        .arg("encoding", label)
        .hint(
            "leave it out to have it found out, or write utf-8, utf-16, latin-1, windows-1252, \
             mac-roman, shift_jis, gb18030, koi8-r …",
        )
        .in_setting("/encoding")
}
