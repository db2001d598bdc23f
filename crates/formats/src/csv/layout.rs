//! Where the table of a file begins, and what its columns are called.

use crate::csv::CsvOptions;
use crate::csv::cells::{Cell, cell_of, is_year};
use crate::csv::sniff::{self, Sniffed};
use crate::csv::split::{Kind, Span, Tail, next_record, split_fields, text};
use crate::csv::syntax::Syntax;
use std::collections::HashSet;

/// Records that are looked at.
const RECORDS_MAX: usize = 500;
/// Rows of names that one header may have.
const HEADER_ROWS_MAX: usize = 5;
/// Rows that may stand before the header without being part of the table.
const PREAMBLE_ROWS_MAX: usize = 50;

/// A line of the sample that is no row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkippedLine {
    pub(crate) offset: u64,
    pub(crate) line: u64,
    pub(crate) text: String,
}

/// How one file is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) syntax: Syntax,
    /// Names as received, one for each column.
    pub(crate) names: Vec<String>,
    /// Fields of a row.
    pub(crate) width: usize,
    /// Whether a row may end with one more delimiter.
    pub(crate) has_trailing_delimiter: bool,
    /// Rows of names.
    pub(crate) header_rows: usize,
    /// Lines before the header that belong to nothing; each becomes a reject.
    pub(crate) preamble: Vec<SkippedLine>,
    /// Where the first row begins: bytes into the decoded text, after byte order marks.
    pub(crate) data_offset: usize,
    /// The number of its line, from 1.
    pub(crate) data_line: u64,
    /// From 0 to 1: how well the dialect explains the sample.
    pub(crate) confidence: f64,
    /// What a person should know.
    pub(crate) remarks: Vec<String>,
}

/// One record of the sample.
pub(crate) struct Row<'a> {
    pub(crate) offset: usize,
    pub(crate) next: usize,
    pub(crate) line: u64,
    pub(crate) raw: &'a [u8],
    pub(crate) is_broken: bool,
    pub(crate) cells: Vec<String>,
    /// Whether quotes surround it, for each cell.
    pub(crate) quoted: Vec<bool>,
    /// Whether the last cell is one that nothing but a delimiter has opened.
    pub(crate) ends_empty: bool,
}

/// Works out the layout from the first bytes of the decoded text, byte order marks removed.
pub(crate) fn lay_out(
    sample: &[u8],
    is_whole: bool,
    options: &CsvOptions,
    prior: Option<&Layout>,
) -> Layout {
    let newline = sniff::newline_of(sample);
    let (start, first_line) = skip_lines(sample, options.skip, newline);
    let body = &sample[start..];
    let Sniffed { syntax, confidence } = match prior {
        Some(prior) if is_tiny(body, newline) => {
            let syntax = Syntax { newline, ..prior.syntax.clone() };
            Sniffed { syntax, confidence: prior.confidence }
        }
        _ => sniff::sniff(body, is_whole, newline, options),
    };
    let rows = read_rows(body, is_whole, &syntax, RECORDS_MAX, first_line);
    let mut layout = Layout {
        width: syntax.widths.as_ref().map_or_else(|| usual_width(&rows), Vec::len),
        syntax,
        names: Vec::new(),
        has_trailing_delimiter: false,
        header_rows: 0,
        preamble: Vec::new(),
        data_offset: start,
        data_line: first_line,
        confidence,
        remarks: Vec::new(),
    };
    let preamble_rows = preamble_rows(&rows, layout.width);
    for row in &rows[..preamble_rows] {
        layout.preamble.push(SkippedLine {
            offset: (start + row.offset) as u64,
            line: row.line,
            text: String::from_utf8_lossy(row.raw).into_owned(),
        });
    }
    let (outside, rows) = rows.split_at(preamble_rows);
    let header_rows = header_rows(rows, layout.width, options, prior);
    let foreign = match (header_rows, outside.last(), options.header) {
        (0, Some(last), None) => foreign_header(last, &layout),
        _ => None,
    };
    layout.header_rows = header_rows;
    if let Some(last) = rows[..header_rows].last() {
        layout.data_offset = start + last.next;
        layout.data_line = rows.get(header_rows).map_or_else(
            || last.line + count_lines(&body[last.offset..last.next], newline),
            |row| row.line,
        );
        // Blank lines between header and first row are passed over by the reader.
        if let Some(row) = rows.get(header_rows) {
            layout.data_offset = start + row.offset;
        }
    } else if let Some(first) = rows.first() {
        layout.data_offset = start + first.offset;
        layout.data_line = first.line;
    }
    name_columns(&mut layout, rows, options);
    if let Some(names) = foreign {
        layout.preamble.pop();
        layout.names = names;
        layout.header_rows = 1;
        layout.remarks.push("the header has another delimiter than the rows".to_owned());
    }
    layout
}

/// The names in the line before the first row, where another delimiter stands between them.
fn foreign_header(row: &Row<'_>, layout: &Layout) -> Option<Vec<String>> {
    [&b","[..], b";", b"\t", b"|", b" "].into_iter().find_map(|delimiter| {
        let syntax = Syntax { delimiter: delimiter.to_vec(), ..layout.syntax.clone() };
        let mut rows = read_rows(row.raw, true, &syntax, 2, row.line);
        let names = rows.pop().filter(|_| rows.is_empty())?.cells;
        let distinct: HashSet<&str> = names.iter().map(|name| name.trim()).collect();
        let are_names = names.iter().all(|name| cell_of(name) == Cell::Text);
        (are_names && distinct.len() == names.len() && names.len() == layout.width).then_some(names)
    })
}

/// Fewer than two lines do not show a dialect.
fn is_tiny(body: &[u8], newline: u8) -> bool {
    let lines = body.split(|byte| *byte == newline).filter(|line| !line.trim_ascii().is_empty());
    lines.take(2).count() < 2
}

fn count_lines(bytes: &[u8], newline: u8) -> u64 {
    memchr::memchr_iter(newline, bytes).count() as u64
}

fn skip_lines(sample: &[u8], lines: u64, newline: u8) -> (usize, u64) {
    let mut start = 0;
    let mut line = 1;
    for _ in 0..lines {
        match memchr::memchr(newline, &sample[start..]) {
            Some(step) => {
                start += step + 1;
                line += 1;
            }
            None => return (sample.len(), line),
        }
    }
    (start, line)
}

/// The records of the sample, without blank lines and comments. A record that the sample's end
/// cuts off is left out.
pub(crate) fn read_rows<'a>(
    body: &'a [u8],
    is_whole: bool,
    syntax: &Syntax,
    rows_max: usize,
    first_line: u64,
) -> Vec<Row<'a>> {
    let tail = if is_whole { Tail::End } else { Tail::More };
    let mut rows = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    let mut at = 0;
    let mut line = first_line;
    while rows.len() < rows_max {
        let Some(found) = next_record(body, at, syntax, tail) else { break };
        let raw = syntax.trim_line(&body[at..found.end]);
        let is_broken = matches!(found.kind, Kind::Broken(_));
        if found.kind != Kind::Comment && !raw.trim_ascii().is_empty() {
            split_fields(raw, syntax, &mut spans);
            if is_broken {
                let unquoting = Syntax { quote: None, ..syntax.clone() };
                split_fields(raw, &unquoting, &mut spans);
            }
            let cells = spans
                .iter()
                .map(|span| {
                    let raw = String::from_utf8_lossy(&raw[span.start..span.end]);
                    text(&raw, span.is_quoted, syntax).into_owned()
                })
                .collect();
            let ends_empty =
                spans.len() > 1 && spans.last().is_some_and(|s| !s.is_quoted && s.start == s.end);
            let quoted = spans.iter().map(|span| span.is_quoted).collect();
            let (offset, next) = (at, found.next);
            rows.push(Row { offset, next, line, raw, is_broken, cells, quoted, ends_empty });
        }
        line += count_lines(&body[at..found.next], syntax.newline);
        at = found.next;
    }
    rows
}

/// The number of fields that most records have; of equals the larger.
pub(crate) fn usual_width(rows: &[Row<'_>]) -> usize {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for row in rows.iter().filter(|row| !row.is_broken) {
        let width = row.cells.len();
        match counts.iter_mut().find(|(_, known)| *known == width) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, width)),
        }
    }
    counts.into_iter().max().map_or(1, |(_, width)| width)
}

/// Titles and remarks before the table: lines with far fewer fields than its rows, or with a
/// single filled one.
fn preamble_rows(rows: &[Row<'_>], width: usize) -> usize {
    if width < 2 {
        return 0;
    }
    let is_outside = |row: &Row<'_>| {
        let filled = row.cells.iter().filter(|cell| !cell.trim().is_empty()).count();
        let is_short = row.cells.len() <= (width / 2).max(1);
        !row.is_broken && (is_short || (width >= 3 && filled <= 1 && row.cells.len() >= width))
    };
    let outside = rows.iter().take_while(|row| is_outside(row)).count();
    if outside < rows.len() && outside <= PREAMBLE_ROWS_MAX { outside } else { 0 }
}

fn header_rows(
    rows: &[Row<'_>],
    width: usize,
    options: &CsvOptions,
    prior: Option<&Layout>,
) -> usize {
    let Some(first) = rows.first() else { return 0 };
    if options.fixed_width.is_some() {
        return usize::from(options.header == Some(true));
    }
    match (options.header, &options.columns, prior) {
        (Some(given), _, _) => usize::from(given),
        (None, Some(columns), _) => usize::from(are_same_names(&first.cells, columns)),
        (None, None, Some(prior)) if prior.header_rows == 0 => 0,
        (None, None, Some(prior)) if are_same_names(&first.cells, &prior.names) => 1,
        (None, None, _) => guess_header_rows(rows, width),
    }
}

fn are_same_names(left: &[String], right: &[String]) -> bool {
    model::lake_column_names(left) == model::lake_column_names(right)
}

fn guess_header_rows(rows: &[Row<'_>], width: usize) -> usize {
    let first = &rows[0];
    let cells = |row: &Row<'_>| -> Vec<Cell> { row.cells.iter().map(|c| cell_of(c)).collect() };
    let first_cells = cells(first);
    let is_typed = |cell: &Cell| matches!(cell, Cell::Number | Cell::Moment);
    if rows.len() == 1 {
        return usize::from(!first_cells.iter().any(is_typed));
    }
    let full: Vec<&Row<'_>> =
        rows[1..].iter().filter(|row| row.cells.len() == width && !row.is_broken).collect();
    // The last rows are surely not part of the header.
    let body = &full[HEADER_ROWS_MAX.min(full.len() / 2)..];
    let typed: Vec<usize> = (0..width).filter(|at| is_typed_column(body, *at)).collect();
    if typed.is_empty() {
        return usize::from(!repeats_below(first, body));
    }
    if first.cells.len() != width || first.is_broken {
        return usize::from(!first_cells.iter().any(is_typed));
    }
    let names = typed.iter().filter(|at| first_cells[**at] == Cell::Text).count();
    let values = typed.iter().filter(|at| is_typed(&first_cells[**at])).count();
    let has_years = values == typed.len()
        && typed.len() < width
        && typed.iter().all(|at| is_year(&first.cells[*at]))
        && !typed.iter().all(|at| body.iter().all(|row| is_year(&row.cells[*at])));
    if !has_years && (values > 0 || names * 2 < typed.len()) {
        return 0;
    }
    if has_years || typed.len() < 3 {
        return 1;
    }
    let more = rows[1..].iter().take(HEADER_ROWS_MAX - 1).take_while(|row| {
        let distinct: HashSet<&str> = row.cells.iter().map(|cell| cell.trim()).collect();
        row.cells.len() == width
            && distinct.len() == width
            && !distinct.contains("")
            && typed.iter().all(|at| cell_of(&row.cells[*at]) == Cell::Text)
    });
    1 + more.count().min(rows.len() - 2)
}

fn is_typed_column(body: &[&Row<'_>], at: usize) -> bool {
    let mut filled = 0;
    let mut typed = 0;
    for row in body {
        match cell_of(&row.cells[at]) {
            Cell::Empty => {}
            Cell::Text => filled += 1,
            Cell::Number | Cell::Moment => {
                filled += 1;
                typed += 1;
            }
        }
    }
    filled > 0 && typed * 10 >= filled * 8
}

/// Whether a cell of the first row comes again further down in its column: then it is a value.
fn repeats_below(first: &Row<'_>, body: &[&Row<'_>]) -> bool {
    first.cells.iter().enumerate().any(|(at, cell)| {
        !cell.is_empty() && body.iter().any(|row| row.cells.get(at) == Some(cell))
    })
}

fn name_columns(layout: &mut Layout, rows: &[Row<'_>], options: &CsvOptions) {
    let (header, body) = rows.split_at(layout.header_rows);
    let mut names = joined_names(header, layout.syntax.quote);
    if let Some(fixed) = &options.fixed_width {
        layout.names = fixed.iter().map(|(name, _)| name.clone()).collect();
        return;
    }
    if let Some(columns) = &options.columns {
        names.clone_from(columns);
        if body.is_empty() {
            layout.width = names.len();
        }
    }
    if body.is_empty() && !names.is_empty() {
        layout.width = names.len();
    }
    let full = body.iter().filter(|row| row.cells.len() == layout.width);
    let empty = full.clone().filter(|row| row.ends_empty).count();
    if names.len() + 1 == layout.width && empty * 20 >= full.count() * 19 {
        layout.has_trailing_delimiter = true;
        layout.width = names.len();
    }
    let width = layout.width;
    let named = names.len();
    if header.len() == 1 && header[0].is_broken {
        layout.remarks.push("the header has a quote that does not close".to_owned());
    }
    if options.columns.is_none() {
        while names.len() > width {
            let Some(empty) = names.iter().position(|name| name.trim().is_empty()) else { break };
            names.remove(empty);
        }
    }
    if named > 0 && named != width {
        layout.remarks.push(format!("the header has {named} names for {width} fields"));
    }
    while names.len() < width {
        names.push(String::new());
    }
    layout.names = names;
}

/// Names of several rows are put together column by column.
fn joined_names(header: &[Row<'_>], quote: Option<u8>) -> Vec<String> {
    let width = header.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let name = |at: usize| {
        let parts = header.iter().filter_map(|row| {
            let cell = row.cells.get(at)?.trim();
            let quote = char::from(quote.filter(|_| row.is_broken).unwrap_or(b' '));
            Some(cell.trim_matches(quote).trim().to_owned()).filter(|cell| !cell.is_empty())
        });
        parts.collect::<Vec<_>>().join(" ")
    };
    (0..width).map(name).collect()
}
