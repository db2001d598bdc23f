//! Cuts files into chunks of records: lines of NDJSON, elements of a list, or the whole document.

use super::cursor::Cursor;
use super::parse;
use super::path::{self, Step};
use super::{ChunkSource, Layout};
use crate::compression::Member;
use crate::input;
use crate::write::cells::quote;
use contracts::Reject;
use contracts::rejects::{RECORD_BYTES_MAX, RejectError};
use memchr::memchr;
use model::{Problem, Result, codes};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A longer record is rejected (a line) or a problem (an element).
pub(crate) const RECORD_LENGTH_MAX: usize = 64 * 1024 * 1024;
/// Records of one chunk become one batch.
pub(crate) const CHUNK_RECORDS_MAX: usize = 8192;
/// A chunk goes on to this length, and then to the end of its record.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;
const HEAD_BYTES: usize = 256 * 1024;

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Line, or number of the element, from 1.
    pub(crate) row: i64,
    /// Byte in the file, after decompression.
    pub(crate) offset: i64,
}

/// Some records of one file.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) file: Arc<str>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Vec<Record>,
    /// Records that were too long to keep.
    pub(crate) rejects: Vec<Reject>,
    /// The only record is the whole document: if it is broken, so is the file.
    pub(crate) is_document: bool,
    /// Steps from each record to its rows.
    pub(crate) rest: Arc<[Step]>,
    /// Each record is a feature of a GeoJSON collection.
    pub(crate) is_geojson: bool,
}

/// What stands in the file.
enum Shape {
    Lines {
        line: i64,
    },
    List {
        row: i64,
        open_objects: usize,
        first: bool,
    },
    /// An object whose members are the rows, each as `{"key": …, "value": …}`.
    Entries {
        row: i64,
        open_objects: usize,
    },
    Document,
    Done,
}

/// The records of one file.
pub(crate) struct Records {
    cursor: Cursor,
    file: Arc<str>,
    shape: Shape,
    rest: Arc<[Step]>,
    is_geojson: bool,
}

impl Records {
    /// Opens a file and looks what stands in it.
    pub(crate) fn open(
        member: &Member,
        layout: Layout,
        steps: &[Step],
        bytes: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let file = &member.file;
        let cursor = Cursor::new(input::open(member, bytes)?, file.clone());
        let mut records = Self {
            cursor,
            file: Arc::from(file.name.as_str()),
            shape: Shape::Done,
            rest: Arc::from([]),
            is_geojson: false,
        };
        let layout = records.layout(layout, &file.name)?;
        if layout == Layout::Lines {
            records.shape = Shape::Lines { line: 0 };
            records.rest = Arc::from(steps);
        } else {
            records.open_document(steps, layout)?;
        }
        Ok(records)
    }

    fn layout(&mut self, layout: Layout, name: &str) -> Result<Layout> {
        if layout != Layout::Auto {
            return Ok(layout);
        }
        let stem = name.to_lowercase();
        let stem = stem.trim_end_matches(".gz").trim_end_matches(".zst");
        if stem.ends_with(".ndjson") || stem.ends_with(".jsonl") {
            return Ok(Layout::Lines);
        }
        let head = self.cursor.head(HEAD_BYTES)?;
        Ok(if looks_like_lines(head) { Layout::Lines } else { Layout::Auto })
    }

    fn open_document(&mut self, steps: &[Step], layout: Layout) -> Result<()> {
        let first = self.cursor.peek()?;
        if first.is_none() && layout == Layout::Auto {
            return Ok(());
        }
        let each = steps.iter().position(|step| *step == Step::Each);
        let (prefix, rest) = match each {
            Some(at) => (&steps[..at], &steps[at + 1..]),
            None => (steps, &steps[steps.len()..]),
        };
        if first == Some(b'{') && steps.is_empty() && self.enter_features()? {
            return Ok(());
        }
        for (at, step) in prefix.iter().enumerate() {
            if let Step::Key(key) = step {
                self.enter_key(key, &path::display(&prefix[..at]))?;
            }
        }
        self.rest = Arc::from(rest);
        if self.cursor.peek()? == Some(b'[') {
            self.cursor.pass();
            self.shape = Shape::List { row: 0, open_objects: prefix.len(), first: true };
        } else if each.is_some() && self.cursor.peek()? == Some(b'{') {
            self.cursor.pass();
            self.shape = Shape::Entries { row: 0, open_objects: prefix.len() };
        } else if each.is_some() {
            return Err(self
                .cursor
                .corrupt(&format!("`{}` is neither list nor object", path::display(prefix))));
        } else if prefix.is_empty() {
            self.shape = Shape::Document;
        } else {
            return self.open_only(prefix.len());
        }
        Ok(())
    }

    /// One object at the end of a path: a list of one element that has no brackets.
    fn open_only(&mut self, open_objects: usize) -> Result<()> {
        self.shape = Shape::List { row: -1, open_objects, first: true };
        Ok(())
    }

    /// Goes to the value of `key` in the object that begins here.
    fn enter_key(&mut self, key: &str, path: &str) -> Result<()> {
        if self.cursor.peek()? != Some(b'{') {
            return Err(self.cursor.corrupt(&format!("`{path}` is not an object")));
        }
        self.cursor.pass();
        let mut seen: Vec<String> = Vec::new();
        if self.cursor.peek()? != Some(b'}') {
            loop {
                let name = self.key()?;
                if name == key {
                    return Ok(());
                }
                if seen.len() < 20 {
                    seen.push(name);
                }
                self.cursor.skip_value()?;
                if self.cursor.peek()? != Some(b',') {
                    break;
                }
                self.cursor.pass();
            }
        }
        if self.cursor.peek()? != Some(b'}') {
            return Err(self.cursor.corrupt("a `,` or `}` is expected"));
        }
        let keys = stdx::text::list(seen.iter().map(String::as_str));
        Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{}` has no key `{key}` in `{path}`", self.file),
        )
        .arg("key", key)
        .in_file(&*self.file)
        .hint(format!("the keys there are {keys}; correct `record_path`")))
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<String> {
        if self.cursor.peek()? != Some(b'"') {
            return Err(self.cursor.corrupt("a key in double quotes is expected"));
        }
        let mut nodes = Vec::new();
        let bytes = self.cursor.value(RECORD_BYTES_MAX)?;
        let length = bytes.len();
        let name = parse::parse(bytes, &mut nodes).map(|tape| tape.text(0).into_owned());
        let name = name.map_err(|error| self.cursor.corrupt(error.reason))?;
        self.cursor.advance(length);
        self.cursor.expect(b':')?;
        Ok(name)
    }

    /// Goes into the features of a GeoJSON collection, if the document is one.
    fn enter_features(&mut self) -> Result<bool> {
        let head = self.cursor.head(HEAD_BYTES)?;
        if !is_feature_collection(head) {
            return Ok(false);
        }
        self.enter_key("features", "$")?;
        self.cursor.expect(b'[')?;
        self.is_geojson = true;
        self.shape = Shape::List { row: 0, open_objects: 1, first: true };
        Ok(true)
    }

    fn read_document(&mut self, chunk: &mut Chunk) -> Result<()> {
        self.push_value(chunk, 1)?;
        chunk.is_document = true;
        self.close(0)
    }

    fn push_value(&mut self, chunk: &mut Chunk, row: i64) -> Result<()> {
        self.cursor.peek()?;
        let offset = i64::try_from(self.cursor.offset()).unwrap_or(i64::MAX);
        let start = chunk.bytes.len();
        let value = self.cursor.value(RECORD_LENGTH_MAX)?;
        chunk.bytes.extend_from_slice(value);
        let length = value.len();
        if length == 0 {
            return Err(self.cursor.corrupt("a value is expected"));
        }
        self.cursor.advance(length);
        chunk.records.push(Record { start, end: chunk.bytes.len(), row, offset });
        Ok(())
    }

    /// Reads elements; the number of the last one, or none at the end of the list.
    fn read_list(&mut self, chunk: &mut Chunk, row: i64, first: bool) -> Result<Option<i64>> {
        if row < 0 {
            self.push_value(chunk, 1)?;
            return Ok(None);
        }
        if first && self.cursor.peek()? == Some(b']') {
            self.cursor.pass();
            return Ok(None);
        }
        let mut row = row;
        while chunk.bytes.len() < CHUNK_BYTES && chunk.records.len() < CHUNK_RECORDS_MAX {
            row += 1;
            self.push_value(chunk, row)?;
            match self.cursor.peek()? {
                Some(b',') => self.cursor.pass(),
                Some(b']') => {
                    self.cursor.pass();
                    return Ok(None);
                }
                Some(_) => return Err(self.cursor.corrupt("a `,` or `]` is expected")),
                None => return Err(self.cursor.corrupt("the file ends inside of a list")),
            }
        }
        Ok(Some(row))
    }

    /// Reads members; the number of the last one, or none at the end of the object.
    fn read_entries(&mut self, chunk: &mut Chunk, row: i64) -> Result<Option<i64>> {
        if row == 0 && self.cursor.peek()? == Some(b'}') {
            self.cursor.pass();
            return Ok(None);
        }
        let mut row = row;
        while chunk.bytes.len() < CHUNK_BYTES && chunk.records.len() < CHUNK_RECORDS_MAX {
            row += 1;
            let start = chunk.bytes.len();
            let key = self.key()?;
            chunk.bytes.extend_from_slice(b"{\"key\":");
            let mut quoted = String::new();
            quote(&key, &mut quoted);
            chunk.bytes.extend_from_slice(quoted.as_bytes());
            chunk.bytes.extend_from_slice(b",\"value\":");
            self.push_value(chunk, row)?;
            chunk.bytes.push(b'}');
            let end = chunk.bytes.len();
            if let Some(record) = chunk.records.last_mut() {
                (record.start, record.end) = (start, end);
            }
            match self.cursor.peek()? {
                Some(b',') => self.cursor.pass(),
                Some(b'}') => {
                    self.cursor.pass();
                    return Ok(None);
                }
                _ => return Err(self.cursor.corrupt("a `,` or `}` is expected")),
            }
        }
        Ok(Some(row))
    }

    /// Reads what follows the rows: the rest of the objects around them, then nothing.
    fn close(&mut self, open_objects: usize) -> Result<()> {
        for _ in 0..open_objects {
            while self.cursor.peek()? == Some(b',') {
                self.cursor.pass();
                self.key()?;
                self.cursor.skip_value()?;
            }
            self.cursor.expect(b'}')?;
        }
        if self.cursor.peek()?.is_some() {
            return Err(self.cursor.corrupt("something follows the end of the document"));
        }
        self.shape = Shape::Done;
        Ok(())
    }

    /// Reads lines; the number of the last one, or none at the end.
    fn read_lines(&mut self, chunk: &mut Chunk, line: i64) -> Result<Option<i64>> {
        let mut line = line;
        while chunk.bytes.len() < CHUNK_BYTES && chunk.records.len() < CHUNK_RECORDS_MAX {
            let offset = i64::try_from(self.cursor.offset()).unwrap_or(i64::MAX);
            let mut wanted = 64 * 1024;
            let (length, ended) = loop {
                let head = self.cursor.head(wanted)?;
                match memchr(b'\n', head) {
                    Some(at) => break (at + 1, false),
                    None if head.len() < wanted => break (head.len(), true),
                    None if wanted > RECORD_LENGTH_MAX => break (head.len(), false),
                    None => wanted *= 2,
                }
            };
            line += 1;
            let text = self.cursor.head(length)?;
            if length > RECORD_LENGTH_MAX {
                chunk.rejects.push(too_long(&self.file, line, offset, text));
                self.skip_line()?;
            } else {
                if !text.trim_ascii().is_empty() {
                    let start = chunk.bytes.len();
                    chunk.bytes.extend_from_slice(text.trim_ascii_end());
                    let end = chunk.bytes.len();
                    chunk.records.push(Record { start, end, row: line, offset });
                }
                self.cursor.advance(length);
            }
            if ended {
                return Ok(None);
            }
        }
        Ok(Some(line))
    }

    fn skip_line(&mut self) -> Result<()> {
        loop {
            let head = self.cursor.head(64 * 1024)?;
            let (length, found) = match memchr(b'\n', head) {
                Some(at) => (at + 1, true),
                None => (head.len(), false),
            };
            self.cursor.advance(length);
            if found || length == 0 {
                return Ok(());
            }
        }
    }
}

impl ChunkSource for Records {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let mut chunk = Chunk {
            file: Arc::clone(&self.file),
            rest: Arc::clone(&self.rest),
            is_geojson: self.is_geojson,
            ..Chunk::default()
        };
        match self.shape {
            Shape::Done => return Ok(None),
            Shape::Document => self.read_document(&mut chunk)?,
            Shape::Lines { line } => {
                let line = self.read_lines(&mut chunk, line)?;
                self.shape = line.map_or(Shape::Done, |line| Shape::Lines { line });
            }
            Shape::Entries { row, open_objects } => {
                let next = self.read_entries(&mut chunk, row)?;
                match next {
                    Some(row) => self.shape = Shape::Entries { row, open_objects },
                    None => self.close(open_objects)?,
                }
            }
            Shape::List { row, open_objects, first } => {
                let next = self.read_list(&mut chunk, row, first)?;
                match next {
                    Some(row) => self.shape = Shape::List { row, open_objects, first: false },
                    None => self.close(open_objects)?,
                }
            }
        }
        Ok(Some(chunk))
    }
}

fn too_long(file: &str, line: i64, offset: i64, text: &[u8]) -> Reject {
    let text = &text[..text.len().min(RECORD_BYTES_MAX)];
    Reject {
        file: Some(file.to_owned()),
        row: Some(line),
        offset: Some(offset),
        errors: vec![RejectError {
            column: String::new(),
            value: None,
            reason: "the line is longer than 64 MiB".to_owned(),
        }],
        record: String::from_utf8_lossy(text).into_owned(),
    }
}

/// Whether the beginning of a file shows one record per line.
fn looks_like_lines(head: &[u8]) -> bool {
    let mut lines =
        head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let Some(first) = lines.next() else { return false };
    let Some(second) = lines.next() else { return false };
    let mut nodes = Vec::new();
    if parse::parse(first, &mut nodes).is_ok() {
        return true;
    }
    // A broken first line: an object that ends on its line, or one that nothing can follow.
    let is_object = first.starts_with(b"{") && second.starts_with(b"{");
    is_object
        && !first.ends_with(b"[")
        && !first.ends_with(b":")
        && !first.ends_with(b",")
        && first.len() > 1
}

/// Whether the beginning of a file shows a GeoJSON collection: its type stands in the outermost
/// object.
fn is_feature_collection(head: &[u8]) -> bool {
    const TYPE: &[u8] = b"\"type\":\"FeatureCollection\"";
    const FEATURES: &[u8] = b"\"features\":[{\"type\":\"Feature\"";
    let compact: Vec<u8> =
        head.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let (mut depth, mut in_text, mut escaped) = (0u32, false, false);
    for (at, byte) in compact.iter().enumerate() {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        let rest = &compact[at..];
        if depth == 1 && (rest.starts_with(TYPE) || rest.starts_with(FEATURES)) {
            return true;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
