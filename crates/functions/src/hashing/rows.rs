//! The bytes that stand for the values of a row: no two different rows have the same.

use crate::arguments::column;
use crate::values::Printer;
use contracts::function::Argument;
use model::Result;

/// Writes rows as bytes.
pub(super) struct Rows {
    printers: Vec<Printer>,
    text: String,
}

impl Rows {
    pub(super) fn new(arguments: &[Argument], rows: usize) -> Result<Self> {
        let printers = arguments
            .iter()
            .map(|argument| Printer::new(&column(argument, rows)?))
            .collect::<Result<_>>()?;
        Ok(Self { printers, text: String::new() })
    }

    /// For each value: 0 for null, or 1, the length of its text in eight bytes, and its text.
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        out.clear();
        for printer in &self.printers {
            if printer.is_null(row) {
                out.push(0);
                continue;
            }
            self.text.clear();
            printer.text(row, &mut self.text);
            out.push(1);
            out.extend((self.text.len() as u64).to_le_bytes());
            out.extend(self.text.as_bytes());
        }
    }
}
