//! Turns chunks into batches and rejects.

use crate::csv::chunk::{Chunk, Shape};
use crate::csv::columns::{Block, Columns};
use crate::csv::counts::Counts;
use crate::csv::index::{Index, Marks};
use crate::csv::source::{CsvFile, Plan};
use crate::csv::split::{
    FIELD_BYTES_MAX, Fault, Kind, LINE_BYTES_MAX, Span, Tail, next_record, split_fields, text,
};
use crate::encoding::Encoding;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use contracts::rejects::RECORD_BYTES_MAX;
use contracts::{Reject, RejectError, RejectSink};
use memchr::{memchr, memchr_iter};
use model::{Problem, Result, codes};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parses chunks, one after another, into batches of at most so many rows.
pub(crate) struct Parser {
    plan: Arc<Plan>,
    has_spans: bool,
    columns: Columns,
    rejects: Arc<dyn RejectSink>,
    batch_rows_max: usize,
    /// Rows of each batch of the chunk.
    batch_rows: usize,
    index: Index,
    /// Records of the index's window that are rows, and their lines.
    records: Vec<u32>,
    lines: Vec<i64>,
    taken: usize,
    /// Lines of the chunk before the window.
    lines_before: u32,
    spans: Vec<Span>,
    tally: Tally,
}

/// What became of the records of a chunk.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// Records, blank lines and comments.
    seen: u64,
    records: u64,
    loaded: u64,
    rejected: u64,
}

/// How far a chunk has been read.
pub(crate) struct Progress {
    chunk: Chunk,
    is_fast: bool,
    /// For the careful way: the position, the lines before it, the next broken line.
    at: usize,
    line: u64,
    broken_at: usize,
    is_done: bool,
}

impl Progress {
    /// The chunk's buffer, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.chunk.bytes
    }
}

impl Parser {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        rejects: Arc<dyn RejectSink>,
        batch_rows_max: usize,
    ) -> Self {
        Self {
            plan: Arc::clone(plan),
            has_spans: !plan.types.are_texts(),
            columns: Columns::new(Arc::clone(&plan.text_schema), plan.null_values.clone()),
            rejects,
            batch_rows_max,
            batch_rows: batch_rows_max,
            index: Index::default(),
            records: Vec::new(),
            lines: Vec::new(),
            taken: 0,
            lines_before: 0,
            spans: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Begins with a chunk.
    pub(crate) fn begin(&mut self, chunk: Chunk) -> Result<Progress> {
        self.index.reset();
        self.records.clear();
        self.lines.clear();
        self.taken = 0;
        self.lines_before = 0;
        let records = usize::try_from(chunk.records).unwrap_or(usize::MAX);
        // Batches of one chunk are about as long as one another, none is left with a few rows.
        self.batch_rows = records.div_ceil(records.div_ceil(self.batch_rows_max).max(1)).max(1);
        self.columns.expect(self.batch_rows);
        if chunk.is_first {
            self.reject_preamble(&chunk.file)?;
        }
        // Only a chunk that is this long can have a field that is too long.
        let is_fast = chunk.shape != Shape::Careful && chunk.bytes.len() <= FIELD_BYTES_MAX;
        let line = chunk.line;
        let is_done = chunk.bytes.is_empty();
        Ok(Progress { chunk, is_fast, at: 0, line, broken_at: 0, is_done })
    }

    /// The next batch of the chunk; `None` when it is done.
    pub(crate) fn next_batch(
        &mut self,
        progress: &mut Progress,
        counts: &Counts,
    ) -> Result<Option<RecordBatch>> {
        while !progress.is_done && self.columns.rows() < self.batch_rows {
            if progress.is_fast { self.step_fast(progress)? } else { self.step_careful(progress)? }
        }
        let batch = match self.columns.rows() {
            0 => None,
            _ => Some(self.finish(&progress.chunk)?),
        };
        self.tally.loaded += batch.as_ref().map_or(0, RecordBatch::num_rows) as u64;
        if batch.is_none() {
            self.settle(&progress.chunk, counts)?;
        }
        Ok(batch)
    }

    /// The batch of the rows so far, its values converted where types are inferred.
    fn finish(&mut self, chunk: &Chunk) -> Result<RecordBatch> {
        let name = &chunk.file.member.file.name;
        let spans = std::mem::take(&mut self.columns.spans);
        let texts = self.columns.finish(name)?;
        if self.plan.types.are_texts() {
            return Ok(texts);
        }
        let mut misfits = Vec::new();
        let mut columns = texts.columns().to_vec();
        for (at, column) in columns.iter_mut().enumerate() {
            if let Some(texts) = column.as_string_view_opt()
                && let Some(converted) = self.plan.types.convert(at, texts, &mut misfits)
            {
                *column = converted;
            }
        }
        let rows = texts.num_rows();
        let internal = |error| {
            Problem::new(&codes::INTERNAL, "converted columns do not form a batch").detail(error)
        };
        let batch =
            RecordBatch::try_new(Arc::clone(&self.plan.schema), columns).map_err(internal)?;
        if misfits.is_empty() {
            return Ok(batch);
        }
        let lines = texts.column(texts.num_columns() - 1).as_primitive::<Int64Type>();
        let mut errors: BTreeMap<usize, Vec<RejectError>> = BTreeMap::new();
        for misfit in misfits {
            let column = self.plan.schema.field(misfit.column).name().clone();
            let value = texts.column(misfit.column).as_string_view().value(misfit.row).to_owned();
            let (value, reason) = (Some(value), misfit.reason);
            errors.entry(misfit.row).or_default().push(RejectError { column, value, reason });
        }
        let kept: BooleanArray = (0..rows).map(|row| Some(!errors.contains_key(&row))).collect();
        for (row, errors) in errors {
            let (start, end) = spans[row];
            let raw = &chunk.bytes[start as usize..end as usize];
            self.tally.records -= 1;
            let line = lines.value(row).cast_unsigned();
            self.reject(chunk, start as usize, line, raw, errors)?;
        }
        filter_record_batch(&batch, &kept).map_err(internal)
    }

    /// Every record of the chunk has become a row or a reject, or something is wrong with us.
    fn settle(&mut self, chunk: &Chunk, counts: &Counts) -> Result<()> {
        let Tally { seen, records, loaded, rejected } = std::mem::take(&mut self.tally);
        counts.add(records, loaded, rejected);
        if records == loaded + rejected && seen == chunk.records {
            return Ok(());
        }
        let name = &chunk.file.member.file.name;
        let fact = format!("{records} records of `{name}` became {loaded} rows");
        tracing::error!(seen, expected = chunk.records, "records do not add up");
        Err(Problem::new(&codes::ROWS_LOST, fact)
            .arg("rejected", rejected)
            .hint("please report this with the file")
            .in_file(name)
            .at(chunk.line, 1))
    }

    /// One window of the fast path, or what the batch has room for.
    fn step_fast(&mut self, progress: &mut Progress) -> Result<()> {
        let chunk = &progress.chunk;
        let layout = &chunk.file.layout;
        if self.taken == self.records.len() {
            self.lines_before = self.index.lines.last().copied().unwrap_or(self.lines_before);
            self.index.consume();
            let newline = layout.syntax.newline;
            let delimiter = layout.syntax.delimiter.first().copied().unwrap_or(newline);
            let quote = layout.syntax.quote.filter(|_| chunk.shape == Shape::Quoted);
            if !self.index.fill(&chunk.bytes, Marks { delimiter, newline, quote }) {
                progress.is_done = true;
                return Ok(());
            }
        }
        let base = self.index.cuts()[0] as usize;
        let last = self.index.ends.last().map_or(0, |last| self.index.cuts()[*last as usize]);
        let window = &chunk.bytes[base..(last as usize).min(chunk.bytes.len())];
        let Ok(text) = simdutf8::basic::from_utf8(window) else {
            progress.is_fast = false;
            progress.at = base;
            progress.line = chunk.line + u64::from(self.lines_before);
            return Ok(());
        };
        if self.taken == self.records.len() {
            self.take_records(progress)?;
        }
        let chunk = &progress.chunk;
        let room = self.batch_rows - self.columns.rows();
        let until = self.records.len().min(self.taken + room);
        let block = Block {
            text,
            base: self.index.cuts()[0],
            cuts: self.index.cuts(),
            records: &self.records[self.taken..until],
            width: chunk.file.layout.width,
        };
        push_block(&mut self.columns, &chunk.file, &block, chunk.shape == Shape::Quoted);
        self.columns.lines.extend_from_slice(&self.lines[self.taken..until]);
        if self.has_spans {
            self.columns.spans.extend(block.spans());
        }
        self.taken = until;
        Ok(())
    }

    /// Sorts the records of the window into rows, rejects and blank lines.
    fn take_records(&mut self, progress: &Progress) -> Result<()> {
        let chunk = &progress.chunk;
        let layout = &chunk.file.layout;
        let width = to_u32(layout.width);
        self.records.clear();
        self.lines.clear();
        self.taken = 0;
        let mut first = 0;
        let mut lines = self.lines_before;
        self.tally.seen += self.index.ends.len() as u64;
        for at in 0..self.index.ends.len() {
            let end = self.index.ends[at];
            let line = chunk.line + u64::from(lines);
            lines = self.index.lines[at];
            let found = end - first;
            if found == width {
                self.records.push(first);
                self.lines.push(line.cast_signed());
                self.tally.records += 1;
            } else {
                let field = |number: u32| {
                    let start = self.index.cuts()[(first + number) as usize] as usize;
                    let end = self.index.cuts()[(first + number + 1) as usize] as usize - 1;
                    chunk.bytes[start..end].trim_ascii()
                };
                let is_blank = found == 1 && field(0).is_empty();
                let is_trailing =
                    layout.has_trailing_delimiter && found == width + 1 && field(width).is_empty();
                if is_trailing {
                    self.records.push(first);
                    self.lines.push(line.cast_signed());
                    self.tally.records += 1;
                } else if !is_blank {
                    let start = self.index.cuts()[first as usize] as usize;
                    let end = self.index.cuts()[end as usize] as usize - 1;
                    let raw = layout.syntax.trim_line(&chunk.bytes[start..end]);
                    let reason = wrong_width(found as usize, layout.width);
                    self.reject(chunk, start, line, raw, vec![error(reason)])?;
                }
            }
            first = end;
        }
        Ok(())
    }

    /// One record of the careful way.
    fn step_careful(&mut self, progress: &mut Progress) -> Result<()> {
        let chunk = &progress.chunk;
        let bytes = chunk.bytes.as_slice();
        let (at, line) = (progress.at, progress.line);
        let syntax = &chunk.file.layout.syntax;
        let broken = chunk.broken.get(progress.broken_at).filter(|broken| broken.start == at);
        let found = match broken {
            Some(broken) => {
                progress.broken_at += 1;
                let end = memchr(syntax.newline, &bytes[at..]).map_or(bytes.len(), |e| at + e);
                Some((Kind::Broken(broken.fault), end, (end + 1).min(bytes.len())))
            }
            None => next_record(bytes, at, syntax, Tail::End).map(|f| (f.kind, f.end, f.next)),
        };
        let Some((kind, end, next)) = found else {
            progress.is_done = true;
            return Ok(());
        };
        self.tally.seen += 1;
        match kind {
            Kind::Comment => {}
            Kind::Broken(fault) => {
                let errors = vec![error(reason_of(fault, line))];
                self.reject(chunk, at, line, &bytes[at..end], errors)?;
            }
            Kind::Record => self.take_record(chunk, at, line, &bytes[at..end])?,
        }
        progress.line += memchr_iter(syntax.newline, &bytes[at..next]).count() as u64;
        progress.at = next;
        Ok(())
    }

    fn take_record(&mut self, chunk: &Chunk, at: usize, line: u64, raw: &[u8]) -> Result<()> {
        let layout = &chunk.file.layout;
        let raw = layout.syntax.trim_line(raw);
        let mut spans = std::mem::take(&mut self.spans);
        split_fields(raw, &layout.syntax, &mut spans);
        let last_is_empty = spans.last().is_some_and(|span| span.start == span.end);
        if layout.has_trailing_delimiter && spans.len() == layout.width + 1 && last_is_empty {
            spans.pop();
        }
        let is_blank = spans.len() == 1 && layout.width > 1 && raw.trim_ascii().is_empty();
        let longest = spans.iter().map(|span| span.end - span.start).max().unwrap_or(0);
        let content = simdutf8::compat::from_utf8(raw);
        let reason = match &content {
            _ if is_blank => None,
            Err(error) => Some(not_decodable(chunk.file.encoding, error.valid_up_to())),
            Ok(_) if longest > FIELD_BYTES_MAX => Some(format!(
                "has a field of {} bytes, more than {}",
                stdx::text::group_digits(longest as u64),
                stdx::text::group_digits(FIELD_BYTES_MAX as u64)
            )),
            Ok(_) if layout.syntax.widths.is_some() && spans.len() > layout.width => {
                Some("is longer than its columns together".to_owned())
            }
            Ok(_) if spans.len() != layout.width => Some(wrong_width(spans.len(), layout.width)),
            Ok(_) => None,
        };
        match (reason, content) {
            (Some(reason), _) => self.reject(chunk, at, line, raw, vec![error(reason)])?,
            (None, Ok(content)) if !is_blank => {
                self.tally.records += 1;
                for (span, target) in spans.iter().zip(&chunk.file.targets) {
                    let value = &content[span.start..span.end];
                    let value = text(value, span.is_quoted, &layout.syntax);
                    self.columns.push(*target, &value, span.is_quoted);
                }
                for column in &chunk.file.missing {
                    self.columns.push_nulls(*column, 1);
                }
                self.columns.lines.push(line.cast_signed());
                if self.has_spans {
                    self.columns.spans.push((to_u32(at), to_u32(at + raw.len())));
                }
            }
            _ => {}
        }
        self.spans = spans;
        Ok(())
    }

    fn reject_preamble(&mut self, file: &CsvFile) -> Result<()> {
        for skipped in &file.layout.preamble {
            self.tally.records += 1;
            self.tally.rejected += 1;
            self.rejects.reject(Reject {
                file: Some(file.member.file.name.clone()),
                row: Some(skipped.line.cast_signed()),
                offset: Some((file.mark_bytes as u64 + skipped.offset).cast_signed()),
                errors: vec![error("stands before the header and has no row's shape".to_owned())],
                record: skipped.text.clone(),
            })?;
        }
        Ok(())
    }

    fn reject(
        &mut self,
        chunk: &Chunk,
        at: usize,
        line: u64,
        raw: &[u8],
        errors: Vec<RejectError>,
    ) -> Result<()> {
        self.tally.records += 1;
        self.tally.rejected += 1;
        let kept = &raw[..raw.len().min(RECORD_BYTES_MAX)];
        self.rejects.reject(Reject {
            file: Some(chunk.file.member.file.name.clone()),
            row: Some(line.cast_signed()),
            offset: Some((chunk.offset + at as u64).cast_signed()),
            errors,
            record: String::from_utf8_lossy(kept).into_owned(),
        })
    }
}

fn push_block(columns: &mut Columns, file: &CsvFile, block: &Block<'_>, is_quoted: bool) {
    if block.records.is_empty() {
        return;
    }
    for (field, column) in file.targets.iter().enumerate().take(block.width) {
        if is_quoted {
            columns.push_quoted(*column, block, field, &file.layout.syntax);
        } else {
            columns.push_plain(*column, block, field);
        }
    }
    for column in &file.missing {
        columns.push_nulls(*column, block.records.len());
    }
}

fn error(reason: String) -> RejectError {
    RejectError { column: String::new(), value: None, reason }
}

fn wrong_width(found: usize, expected: usize) -> String {
    let fields = if found == 1 { "field" } else { "fields" };
    format!("has {found} {fields} instead of {expected}")
}

fn not_decodable(encoding: Encoding, at: usize) -> String {
    format!("is not valid {}, from byte {} of the record on", encoding.name(), at + 1)
}

fn reason_of(fault: Fault, line: u64) -> String {
    match fault {
        Fault::TextAfterQuote => {
            format!("a quote that opens on line {line} is closed in the middle of a field")
        }
        Fault::NeverClosed => format!("the quote that opens on line {line} is never closed"),
        Fault::TooLong => format!(
            "line {line} has more than {} bytes",
            stdx::text::group_digits(LINE_BYTES_MAX as u64)
        ),
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
