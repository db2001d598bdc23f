//! Cuts a file into chunks that begin and end at records, so that several cores can parse it.
//!
//! The cut is exact: where there are quotes, every record up to it is looked at with the same
//! rules as the parser's, so the result does not depend on where the chunks happen to end.

use crate::compression::read_full;
use crate::csv::layout::Layout;
use crate::csv::source::CsvFile;
use crate::csv::split::{Fault, Kind, LINE_BYTES_MAX, Tail, next_record};
use memchr::{memchr, memchr_iter, memrchr};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a line that is too long which are kept for the reject.
const LONG_LINE_BYTES_KEPT: usize = contracts::rejects::RECORD_BYTES_MAX;
/// Buffers that wait for their next use.
const SPARE_BUFFERS_MAX: usize = 8;

/// How the records of a chunk may be found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// There is no quote: every newline ends a record, every delimiter a field.
    #[default]
    Plain,
    /// Quotes surround whole fields and pair up.
    Quoted,
    /// Anything: look at each record carefully.
    Careful,
}

/// A line that was given up while the chunk was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) start: usize,
    pub(crate) fault: Fault,
}

/// Whole records of one file.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) file: Arc<CsvFile>,
    pub(crate) bytes: Vec<u8>,
    /// Where it begins in the decoded text.
    pub(crate) offset: u64,
    /// The number of its first line.
    pub(crate) line: u64,
    pub(crate) shape: Shape,
    pub(crate) broken: Vec<Broken>,
    /// Records, blank lines and comments in it, for checking that none gets lost.
    pub(crate) records: u64,
    /// Whether it is the first of its file.
    pub(crate) is_first: bool,
}

/// Used buffers; a fresh one for every chunk would be paid in page faults.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= LINE_BYTES_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// Reads one file chunk by chunk.
pub(crate) struct Chunker<'a> {
    reader: &'a mut dyn Read,
    file: Arc<CsvFile>,
    buffers: &'a Buffers,
    chunk_bytes: usize,
    /// Bytes that were read and belong to the next chunk.
    rest: Vec<u8>,
    offset: u64,
    line: u64,
    is_at_end: bool,
    is_first: bool,
}

impl<'a> Chunker<'a> {
    /// A chunker over decoded text; passes over byte order marks and the header.
    pub(crate) fn new(
        reader: &'a mut dyn Read,
        file: Arc<CsvFile>,
        buffers: &'a Buffers,
        chunk_bytes: usize,
    ) -> io::Result<Self> {
        let mut skip = file.data_offset;
        let mut sink = vec![0; skip.min(64 * 1024)];
        while skip > 0 {
            let wanted = skip.min(sink.len());
            let count = read_full(reader, &mut sink[..wanted])?;
            skip -= count;
            if count < wanted {
                break;
            }
        }
        let offset = file.data_offset as u64;
        let line = file.layout.data_line;
        let (rest, is_at_end, is_first) = (Vec::new(), false, true);
        Ok(Self { reader, file, buffers, chunk_bytes, rest, offset, line, is_at_end, is_first })
    }

    /// The next chunk; `None` at the end of the file.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut bytes = self.buffers.take();
        bytes.append(&mut self.rest);
        let mut target = self.chunk_bytes;
        loop {
            self.fill(&mut bytes, target)?;
            if bytes.is_empty() {
                // Lines before the header become rejects even where no row follows.
                let is_all = !self.is_first || self.file.layout.preamble.is_empty();
                return Ok(if is_all { None } else { Some(self.chunk(bytes, Cut::default())) });
            }
            let tail = if self.is_at_end { Tail::End } else { Tail::More };
            let cut = cut(&bytes, &self.file.layout, tail);
            if cut.end > 0 {
                self.rest.extend_from_slice(&bytes[cut.end..]);
                bytes.truncate(cut.end);
                let (end, lines) = (cut.end, cut.lines);
                let chunk = self.chunk(bytes, cut);
                self.offset += end as u64;
                self.line += lines;
                self.drop_overlong_rest(&chunk)?;
                return Ok(Some(chunk));
            }
            target = bytes.len().saturating_mul(2).clamp(self.chunk_bytes, LINE_BYTES_MAX + 1);
        }
    }

    fn chunk(&mut self, mut bytes: Vec<u8>, cut: Cut) -> Chunk {
        if let [Broken { start: 0, fault: Fault::TooLong }] = cut.broken.as_slice() {
            bytes.truncate(LONG_LINE_BYTES_KEPT);
        }
        let chunk = Chunk {
            file: Arc::clone(&self.file),
            bytes,
            offset: self.offset,
            line: self.line,
            shape: cut.shape,
            broken: cut.broken,
            records: cut.records,
            is_first: self.is_first,
        };
        self.is_first = false;
        chunk
    }

    /// After a line that is too long, what is left of it is read and forgotten.
    fn drop_overlong_rest(&mut self, chunk: &Chunk) -> io::Result<()> {
        if !chunk.broken.last().is_some_and(|broken| broken.fault == Fault::TooLong) {
            return Ok(());
        }
        let newline = self.file.layout.syntax.newline;
        loop {
            if let Some(at) = memchr(newline, &self.rest) {
                self.rest.drain(..=at);
                self.offset += at as u64 + 1;
                self.line += 1;
                return Ok(());
            }
            self.offset += self.rest.len() as u64;
            self.rest.clear();
            let mut rest = std::mem::take(&mut self.rest);
            self.fill(&mut rest, self.chunk_bytes)?;
            self.rest = rest;
            if self.rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn fill(&mut self, bytes: &mut Vec<u8>, target: usize) -> io::Result<()> {
        if self.is_at_end || bytes.len() >= target {
            return Ok(());
        }
        let kept = bytes.len();
        bytes.resize(target, 0);
        let count = read_full(self.reader, &mut bytes[kept..])?;
        bytes.truncate(kept + count);
        self.is_at_end = kept + count < target;
        Ok(())
    }
}

#[derive(Default)]
struct Cut {
    end: usize,
    lines: u64,
    records: u64,
    shape: Shape,
    broken: Vec<Broken>,
}

/// The longest run of whole records at the beginning of `bytes`.
fn cut(bytes: &[u8], layout: &Layout, tail: Tail) -> Cut {
    let syntax = &layout.syntax;
    let count = |end: usize| memchr_iter(syntax.newline, &bytes[..end]).count() as u64;
    let has_quotes = syntax.quote.is_some_and(|quote| memchr(quote, bytes).is_some());
    if !has_quotes && syntax.comment.is_none() && bytes.len() <= LINE_BYTES_MAX {
        let end = match tail {
            Tail::End => bytes.len(),
            Tail::More | Tail::Limit => memrchr(syntax.newline, bytes).map_or(0, |last| last + 1),
        };
        let shape = if syntax.is_simple() { Shape::Plain } else { Shape::Careful };
        let lines = count(end);
        let is_open = end > 0 && bytes[end - 1] != syntax.newline;
        let records = lines + u64::from(is_open);
        return Cut { end, lines, records, shape, broken: Vec::new() };
    }
    let mut end = 0;
    let mut records = 0;
    let mut is_odd = false;
    let mut broken = Vec::new();
    while let Some(found) = next_record(bytes, end, syntax, tail) {
        is_odd |= found.is_odd;
        if let Kind::Broken(fault) = found.kind {
            if fault == Fault::TooLong && end > 0 {
                // Such a line gets a chunk of its own.
                break;
            }
            broken.push(Broken { start: end, fault });
        }
        end = found.next;
        records += 1;
        if broken.last().is_some_and(|broken| broken.fault == Fault::TooLong) {
            break;
        }
    }
    let shape = match syntax.is_simple() && !is_odd && broken.is_empty() {
        true => Shape::Quoted,
        false => Shape::Careful,
    };
    Cut { end, lines: count(end), records, shape, broken }
}
