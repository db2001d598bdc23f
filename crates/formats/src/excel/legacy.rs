//! Workbooks in the older binary format (XLS), read whole.

use super::SheetName;
use super::sheet::{Next, Row};
use super::value::{self, Meaning, Value};
use super::workbook::{damaged_workbook, too_large};
use crate::batch::guarded;
use crate::file::InputFile;
use calamine::{Data, ExcelDateTime, Range, Reader, Sheet, SheetType, Xls, XlsError};
use model::Result;
use std::fs::File;
use std::io::BufReader;
use std::panic::AssertUnwindSafe;

/// The format is read whole, so a file must not be larger than this.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Hands every row of a sheet to `visit` until it has enough.
pub(super) fn read(
    file: &InputFile,
    wanted: Option<&SheetName>,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<()> {
    let open = AssertUnwindSafe(|| open(file, wanted));
    let (cells, is_1904) = guarded(open, |text| damaged_workbook(file).detail(text))?;
    let (top, left) = cells.start().unwrap_or((0, 0));
    for (number, values) in (i64::from(top) + 1..).zip(cells.rows()) {
        let values = (left..).zip(values);
        let values = values.filter_map(|(column, data)| Some((column, value(data, is_1904)?)));
        let cells: Vec<(u32, Value)> = values.filter(|(_, value)| !value.is_blank()).collect();
        if !cells.is_empty() && visit(Row { number, cells, fault: None })? == Next::Stop {
            break;
        }
    }
    Ok(())
}

fn open(file: &InputFile, wanted: Option<&SheetName>) -> Result<(Range<Data>, bool)> {
    let opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let size = opened.metadata().map_err(|error| file.problem(&error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(too_large(file, "a file in the XLS format must not have more than 64 MiB"));
    }
    let mut workbook: Xls<_> = Xls::new(BufReader::new(opened)).map_err(|error| match error {
        XlsError::Password => super::protected(file),
        error => damaged_workbook(file).detail(error),
    })?;
    let name = chosen_sheet(file, workbook.sheets_metadata(), wanted)?;
    let cells =
        workbook.worksheet_range(&name).map_err(|error| damaged_workbook(file).detail(error))?;
    Ok((cells, workbook.has_1904_epoch()))
}

/// The name of the wanted sheet: the first one where none is named.
pub(super) fn chosen_sheet(
    file: &InputFile,
    sheets: &[Sheet],
    wanted: Option<&SheetName>,
) -> Result<String> {
    let sheets = sheets.iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let sheets: Vec<&str> = sheets.map(|sheet| sheet.name.as_str()).collect();
    let found = match wanted {
        None => sheets.first(),
        Some(SheetName::Number(number)) => {
            usize::try_from(*number).ok().and_then(|number| sheets.get(number.checked_sub(1)?))
        }
        Some(SheetName::Name(name)) => {
            let wanted = name.trim().to_lowercase();
            let same = sheets.iter().find(|sheet| *sheet == name);
            same.or_else(|| sheets.iter().find(|sheet| sheet.trim().to_lowercase() == wanted))
        }
    };
    match found {
        Some(name) => Ok((*name).to_owned()),
        None => Err(super::no_sheet(file, wanted, sheets.into_iter())),
    }
}

pub(super) fn value(data: &Data, is_1904: bool) -> Option<Value> {
    Some(match data {
        Data::Empty => return None,
        Data::Int(number) => Value::Number(*number as f64),
        Data::Float(number) => Value::Number(*number),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => {
            Value::Text(text.clone())
        }
        Data::Bool(value) => Value::Boolean(*value),
        Data::DateTime(instant) => value::number(instant.as_f64(), meaning(instant), is_1904),
        Data::Error(error) => Value::Error(error.to_string()),
    })
}

/// The format itself is not given on: a whole number of days is a date, less than one a time.
fn meaning(instant: &ExcelDateTime) -> Meaning {
    let number = instant.as_f64();
    match () {
        () if instant.is_duration() => Meaning::Duration,
        () if number < 1.0 => Meaning::Time,
        () if number.fract() == 0.0 => Meaning::Date,
        () => Meaning::Instant,
    }
}
