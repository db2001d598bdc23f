//! The part of a sheet that is wanted: a range, the rows to pass over, the header.

use super::ExcelOptions;
use super::sheet::{COLUMNS_MAX, Next, Row, column_of};
use model::{Problem, Result, codes};

/// A rectangle of a sheet; open ends are as far as they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    columns: (u32, u32),
    rows: (i64, i64),
}

impl Range {
    /// Reads `B3:F100`, `B:F`, `3:100` or `B3`.
    pub(super) fn parse(text: Option<&str>) -> Result<Self> {
        let everything = Self { columns: (0, COLUMNS_MAX - 1), rows: (1, i64::MAX) };
        let Some(text) = text else { return Ok(everything) };
        let (from, to) = text.split_once(':').unwrap_or((text, text));
        let corners = corner(from).zip(corner(to));
        let range = corners.and_then(|((left, top), (right, bottom))| {
            let range = Self {
                columns: (left.unwrap_or(0), right.unwrap_or(COLUMNS_MAX - 1)),
                rows: (top.unwrap_or(1), bottom.unwrap_or(i64::MAX)),
            };
            let is_filled = range.columns.0 <= range.columns.1 && range.rows.0 <= range.rows.1;
            (is_filled && (left.is_some() || top.is_some())).then_some(range)
        });
        range.ok_or_else(|| {
            Problem::new(&codes::SETTING_INVALID, format!("`{text}` is not a range of cells"))
                .arg("range", text)
                .hint("write `B3:F100`, `B:F` or `3:100`")
        })
    }
}

/// Column and row of one end of a range.
fn corner(text: &str) -> Option<(Option<u32>, Option<i64>)> {
    let text = text.trim().replace('$', "");
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = text.split_at(letters);
    let column = match letters {
        "" => None,
        letters => Some(column_of(letters).filter(|column| *column < COLUMNS_MAX)?),
    };
    let row = match digits {
        "" => None,
        digits => Some(digits.parse::<i64>().ok().filter(|row| *row > 0)?),
    };
    Some((column, row))
}

/// What a row is, once it has passed the frame.
pub(super) enum Framed {
    Header(Row),
    Data(Row),
    /// Outside of the range, or passed over.
    Nothing,
    /// Nothing more will come.
    End,
}

/// Sorts rows into header and data.
pub(super) struct Frame {
    range: Range,
    skip: u64,
    wants_header: bool,
}

impl Frame {
    pub(super) fn new(options: &ExcelOptions) -> Result<Self> {
        let range = Range::parse(options.range.as_deref())?;
        Ok(Self { range, skip: options.skip, wants_header: options.header })
    }

    /// Judges the next row of the sheet; rows to skip are counted in the sheet, from the top of
    /// the range.
    pub(super) fn judge(&mut self, mut row: Row) -> Framed {
        let Range { columns: (left, right), rows: (top, bottom) } = self.range;
        if row.number > bottom {
            return Framed::End;
        }
        let first = top.saturating_add_unsigned(self.skip);
        row.cells.retain(|(column, _)| (left..=right).contains(column));
        let is_empty = row.cells.is_empty() && row.fault.is_none();
        if row.number < first || is_empty {
            return Framed::Nothing;
        }
        if self.wants_header {
            self.wants_header = false;
            return Framed::Header(row);
        }
        Framed::Data(row)
    }
}

/// Hands header and data rows on.
pub(super) fn framed(
    options: &ExcelOptions,
    mut header: impl FnMut(Row),
    mut data: impl FnMut(Row) -> Result<Next>,
) -> Result<impl FnMut(Row) -> Result<Next>> {
    let mut frame = Frame::new(options)?;
    Ok(move |row| match frame.judge(row) {
        Framed::Header(row) => {
            header(row);
            Ok(Next::Go)
        }
        Framed::Data(row) => data(row),
        Framed::Nothing => Ok(Next::Go),
        Framed::End => Ok(Next::Stop),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |text: &str| Range::parse(Some(text)).map(|range| (range.columns, range.rows));
        assert_eq!(range("B3:F100").unwrap(), ((1, 5), (3, 100)));
        assert_eq!(range("$B:f").unwrap(), ((1, 5), (1, i64::MAX)));
        assert_eq!(range("3:100").unwrap(), ((0, COLUMNS_MAX - 1), (3, 100)));
        for text in ["", "F3:B3", "B0:C1", "ZZZZ1", "B3-F5", "é1"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
