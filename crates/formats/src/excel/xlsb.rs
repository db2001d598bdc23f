//! Workbooks in the binary format of the newer files (XLSB), streamed cell by cell.

use super::SheetName;
use super::legacy::{chosen_sheet, value};
use super::sheet::{COLUMNS_MAX, Next, Row};
use super::workbook::damaged_workbook;
use crate::batch::guarded;
use crate::file::InputFile;
use crate::input::Counted;
use calamine::{Data, Reader, Xlsb, XlsbError};
use model::{Problem, Result};
use std::fs::File;
use std::io::BufReader;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Hands every row of a sheet to `visit` until it has enough.
pub(super) fn read(
    file: &InputFile,
    wanted: Option<&SheetName>,
    bytes: &Arc<AtomicU64>,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<()> {
    let work = AssertUnwindSafe(|| stream(file, wanted, bytes, visit));
    guarded(work, |text| damaged_workbook(file).detail(text))
}

fn stream(
    file: &InputFile,
    wanted: Option<&SheetName>,
    bytes: &Arc<AtomicU64>,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<()> {
    let failed = |error: XlsbError| problem(file, error);
    let reader = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let counted = Counted { reader, bytes: Arc::clone(bytes) };
    let mut workbook: Xlsb<_> = Xlsb::new(BufReader::new(counted)).map_err(failed)?;
    let name = chosen_sheet(file, workbook.sheets_metadata(), wanted)?;
    let is_1904 = workbook.has_1904_epoch();
    let mut cells = workbook.worksheet_cells_reader(&name).map_err(failed)?;
    let mut row = Row::default();
    while let Some(cell) = cells.next_cell().map_err(failed)? {
        let (number, column) = cell.get_position();
        let number = i64::from(number) + 1;
        let is_new = number != row.number && !row.cells.is_empty();
        if is_new && visit(std::mem::take(&mut row))? == Next::Stop {
            return Ok(());
        }
        row.number = number;
        if column >= COLUMNS_MAX || row.cells.last().is_some_and(|(last, _)| *last >= column) {
            return Err(damaged_workbook(file).detail("cells are not in order"));
        }
        let found = value(&Data::from(cell.get_value().clone()), is_1904);
        if let Some(value) = found.filter(|value| !value.is_blank()) {
            row.cells.push((column, value));
        }
    }
    if !row.cells.is_empty() {
        visit(row)?;
    }
    Ok(())
}

fn problem(file: &InputFile, error: XlsbError) -> Problem {
    match error {
        XlsbError::Password => super::protected(file),
        error => damaged_workbook(file).detail(error),
    }
}
