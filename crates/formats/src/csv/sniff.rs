//! Finds out delimiter, quote and escape: every likely combination reads the sample, and the one
//! that gives the most regular table of the most sensible cells wins.

use crate::csv::CsvOptions;
use crate::csv::cells::{Cell, cell_of};
use crate::csv::layout::{Row, read_rows, usual_width};
use crate::csv::syntax::{Escape, Syntax};

const SAMPLE_BYTES_MAX: usize = 64 * 1024;
const ROWS_MAX: usize = 200;
const CELLS_MAX: usize = 2_000;
/// What a table must reach; below it, the lines are one column.
const SCORE_MIN: f64 = 0.12;
const DELIMITERS: &[(char, f64)] = &[
    (',', 1.0),
    (';', 1.0),
    ('\t', 1.0),
    ('|', 1.0),
    (' ', 0.55),
    ('\u{1f}', 1.0),
    ('\u{1}', 1.0),
    ('^', 0.8),
    ('~', 0.8),
];

/// The winner.
pub(crate) struct Sniffed {
    pub(crate) syntax: Syntax,
    /// From 0 to 1.
    pub(crate) confidence: f64,
}

/// What ends the lines of `sample`.
pub(crate) fn newline_of(sample: &[u8]) -> u8 {
    let has = |byte| memchr::memchr(byte, sample).is_some();
    if !has(b'\n') && has(b'\r') { b'\r' } else { b'\n' }
}

/// Finds what `options` leave open.
pub(crate) fn sniff(body: &[u8], is_whole: bool, newline: u8, options: &CsvOptions) -> Sniffed {
    let comment = options.comment.and_then(|comment| u8::try_from(comment).ok());
    let base = Syntax { newline, comment, ..Syntax::default() };
    if let Some(fixed) = &options.fixed_width {
        let widths = Some(fixed.iter().map(|(_, width)| *width).collect());
        return Sniffed { syntax: Syntax { quote: None, widths, ..base }, confidence: 1.0 };
    }
    let cut = cut_sample(body, newline);
    let sample = &body[..cut];
    let is_whole = is_whole && cut == body.len();
    let mut best: Option<(f64, Syntax)> = None;
    for syntax in candidates(sample, &base, options) {
        let score = score(sample, is_whole, &syntax);
        if best.as_ref().is_none_or(|(known, _)| score > *known + 1e-9) {
            best = Some((score, syntax));
        }
    }
    match best {
        Some((score, syntax)) if options.delimiter.is_some() || score >= SCORE_MIN => {
            Sniffed { syntax, confidence: score.clamp(0.0, 1.0) }
        }
        _ => one_column(sample, is_whole, base, options),
    }
}

/// The first lines of the sample; one line whole, however long it is.
fn cut_sample(body: &[u8], newline: u8) -> usize {
    if body.len() <= SAMPLE_BYTES_MAX {
        return body.len();
    }
    match memchr::memrchr(newline, &body[..SAMPLE_BYTES_MAX]) {
        Some(last) => last + 1,
        None => memchr::memchr(newline, body).map_or(body.len(), |first| first + 1),
    }
}

fn candidates(sample: &[u8], base: &Syntax, options: &CsvOptions) -> Vec<Syntax> {
    let has = |character: char| {
        memchr::memmem::find(sample, character.encode_utf8(&mut [0; 4]).as_bytes()).is_some()
    };
    let delimiters: Vec<char> = match options.delimiter {
        Some(given) => vec![given],
        None => DELIMITERS.iter().map(|(character, _)| *character).filter(|c| has(*c)).collect(),
    };
    let quotes: Vec<Option<u8>> = match options.quote {
        Some(given) => vec![given.and_then(|quote| u8::try_from(quote).ok())],
        None if has('\'') => vec![Some(b'"'), Some(b'\'')],
        None => vec![Some(b'"')],
    };
    let mut candidates = Vec::new();
    for delimiter in delimiters {
        let bytes = delimiter.to_string().into_bytes();
        let spaced = [bytes.as_slice(), b" "].concat();
        let count = |needle: &[u8]| memchr::memmem::find_iter(sample, needle).count();
        let is_spaced = !delimiter.is_whitespace() && count(&spaced) * 10 >= count(&bytes) * 7;
        for quote in &quotes {
            for escape in escapes(sample, *quote, options) {
                for has_space_after in [false, true] {
                    if has_space_after && !is_spaced {
                        continue;
                    }
                    let (delimiter, quote) = (bytes.clone(), *quote);
                    let base = base.clone();
                    candidates.push(Syntax { delimiter, quote, escape, has_space_after, ..base });
                }
            }
        }
    }
    candidates
}

fn escapes(sample: &[u8], quote: Option<u8>, options: &CsvOptions) -> Vec<Escape> {
    let Some(quote) = quote else { return vec![Escape::Doubled] };
    match options.escape {
        Some('\\') => return vec![Escape::Backslash],
        Some(_) => return vec![Escape::Doubled],
        None => {}
    }
    let mut escapes = vec![Escape::Doubled];
    if memchr::memmem::find(sample, &[b'\\', quote]).is_some() {
        escapes.push(Escape::Backslash);
    }
    if memchr::memchr(quote, sample).is_some() {
        escapes.push(Escape::Unmarked);
    }
    escapes
}

/// How well a syntax explains the sample: regular widths × sensible cells × nothing broken.
fn score(sample: &[u8], is_whole: bool, syntax: &Syntax) -> f64 {
    let rows = read_rows(sample, is_whole, syntax, ROWS_MAX, 1);
    if rows.is_empty() {
        return 0.0;
    }
    let width = usual_width(&rows);
    if width < 2 {
        return 0.0;
    }
    let total = rows.len() as f64;
    let usual = rows.iter().filter(|row| !row.is_broken && row.cells.len() == width);
    let regular = usual.clone().count() as f64 / total;
    let broken = rows.iter().filter(|row| row.is_broken).count() as f64 / total;
    let sense = sense(usual);
    let prior = DELIMITERS
        .iter()
        .find(|(character, _)| syntax.delimiter == character.to_string().as_bytes())
        .map_or(1.0, |(_, prior)| *prior);
    let header = if rows[0].cells.len() == width { 1.1 } else { 1.0 };
    // Where quotes are not marked, a line feed in a field is more likely a quote that runs away.
    let has_lines = || rows.iter().any(|row| memchr::memchr(syntax.newline, row.raw).is_some());
    let unmarked = match syntax.escape {
        Escape::Unmarked if has_lines() => 0.1,
        Escape::Unmarked => 0.8,
        Escape::Doubled | Escape::Backslash => 1.0,
    };
    let spaced = if syntax.has_space_after { 1.05 } else { 1.0 };
    let many = 1.0 - 1.0 / width as f64;
    let whole = (1.0 - broken) * (1.0 - broken);
    regular * regular.sqrt() * many * sense * sense * whole * prior * header * unmarked * spaced
}

/// The share of cells that are what a cell usually is.
fn sense<'a>(rows: impl Iterator<Item = &'a Row<'a>>) -> f64 {
    let mut seen = 0.0;
    let mut sensible = 0.0;
    for row in rows {
        for (cell, is_quoted) in row.cells.iter().zip(&row.quoted) {
            seen += 1.0;
            sensible += sense_of(cell, *is_quoted);
        }
        if seen as usize > CELLS_MAX {
            break;
        }
    }
    if seen == 0.0 { 0.0 } else { sensible / seen }
}

fn sense_of(cell: &str, is_quoted: bool) -> f64 {
    if is_quoted {
        return 1.0;
    }
    match cell_of(cell) {
        Cell::Empty | Cell::Number | Cell::Moment => 1.0,
        Cell::Text => {
            let has_delimiter = cell.contains([',', ';', '\t', '|']);
            let has_quote = cell.contains('"') || cell.starts_with('\'') || cell.ends_with('\'');
            let has_edge = cell.starts_with(' ') || cell.ends_with(' ');
            match (has_quote, has_delimiter, has_edge) {
                (true, _, _) => 0.2,
                (_, true, _) => 0.4,
                (_, _, true) => 0.7,
                _ => 1.0,
            }
        }
    }
}

/// One field a line, in quotes or not.
fn one_column(sample: &[u8], is_whole: bool, base: Syntax, options: &CsvOptions) -> Sniffed {
    let quote = match options.quote {
        Some(given) => given.and_then(|quote| u8::try_from(quote).ok()),
        None => Some(b'"'),
    };
    let escape = escapes(sample, quote, options)[0];
    let syntax = Syntax { delimiter: Vec::new(), quote, escape, ..base };
    let rows = read_rows(sample, is_whole, &syntax, ROWS_MAX, 1);
    // Where quotes do not pair up, they are characters like others.
    let broken = rows.iter().filter(|row| row.is_broken).count();
    let quote = syntax.quote.filter(|_| options.quote.is_some() || broken * 10 <= rows.len());
    Sniffed { syntax: Syntax { quote, ..syntax }, confidence: 0.5 }
}
