//! Workbooks: XLSX, XLSB and ODS streamed cell by cell, XLS read whole.
//!
//! Nothing is laid out in a grid, so a sheet with one cell in its first and one in its last corner
//! costs two cells.

mod columns;
mod frame;
mod legacy;
mod ods;
#[cfg(test)]
mod other_tests;
mod sheet;
#[cfg(test)]
mod tests;
mod value;
mod workbook;
mod xlsb;

use crate::batch::blocking_stream;
use crate::file::{InputFile, ReadOptions};
use arrow::array::RecordBatch;
use columns::{BatchBuilder, Columns, SheetSample};
use contracts::{Batches, Reject};
use frame::framed;
use model::{Problem, Result, codes};
use sheet::{Next, Row};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use workbook::Workbook;

/// Rows of each sheet that are looked at to find the columns.
const SAMPLE_ROWS: u64 = 10_000;
const BATCHES_AHEAD: usize = 2;
const XLS_MAGIC: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// Which sheet is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SheetName {
    /// The sheet with this name.
    Name(String),
    /// The n-th sheet, from 1.
    Number(u32),
}

/// Where the types of columns come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Types {
    /// Every value as text, as a person sees it; dates in ISO form.
    #[default]
    Text,
    /// From a sample.
    Infer,
}

/// How workbooks are read.
#[derive(Debug, Clone)]
pub struct ExcelOptions {
    /// Which sheet; none is the first one.
    pub sheet: Option<SheetName>,
    /// Whether the first row that is not empty has the names of the columns.
    pub header: bool,
    /// Rows to pass over before the header, counted in the sheet or from the top of `range`.
    pub skip: u64,
    /// The cells to read: `B3:F100`, `B:F`, `3:100`.
    pub range: Option<String>,
    /// Where the types of columns come from.
    pub types: Types,
}

impl Default for ExcelOptions {
    fn default() -> Self {
        Self { sheet: None, header: true, skip: 0, range: None, types: Types::default() }
    }
}

/// Opens the files: the columns are known when this returns. Rows without a value are no rows.
pub fn open(files: Vec<InputFile>, options: &ExcelOptions, read: ReadOptions) -> Result<Batches> {
    let samples = files.iter().map(|file| sample(file, options)).collect::<Result<Vec<_>>>()?;
    let columns = Arc::new(Columns::new(&samples, options));
    let queue = Queue {
        files: files.into_iter().enumerate().collect(),
        rows_left: read.sample.map_or(u64::MAX, |sample| sample.rows),
        bytes_left: read.sample.map_or(u64::MAX, |sample| sample.bytes),
    };
    let queue = Arc::new(Mutex::new(queue));
    let partitions = (0..read.partitions.max(1)).map(|_| {
        let reader = Reader {
            queue: Arc::clone(&queue),
            columns: Arc::clone(&columns),
            options: options.clone(),
            read: read.clone(),
            current: None,
        };
        blocking_stream(reader, Reader::next, failed)
    });
    Ok(Batches::new(Arc::clone(&columns.schema), partitions.collect()))
}

/// Looks at the beginning of a sheet.
fn sample(file: &InputFile, options: &ExcelOptions) -> Result<SheetSample> {
    let found = std::cell::RefCell::new(SheetSample::default());
    let mut rows = 0;
    let data = |row: Row| {
        found.borrow_mut().row(&row);
        rows += 1;
        Ok(if rows < SAMPLE_ROWS { Next::Go } else { Next::Stop })
    };
    let mut visit = framed(options, |row| found.borrow_mut().header(row), data)?;
    read_sheet(file, options, &Arc::default(), &mut visit)?;
    drop(visit);
    Ok(found.into_inner())
}

/// Hands the rows of the wanted sheet to `visit`, whatever the format of the file.
fn read_sheet(
    file: &InputFile,
    options: &ExcelOptions,
    bytes: &Arc<AtomicU64>,
    visit: &mut dyn FnMut(Row) -> Result<Next>,
) -> Result<()> {
    if is_compound(file)? {
        if is_encrypted(file)? {
            return Err(protected(file));
        }
        return legacy::read(file, options.sheet.as_ref(), visit);
    }
    if ods::is_ods(file)? {
        return ods::read(file, options.sheet.as_ref(), bytes, visit);
    }
    let Some(mut workbook) = Workbook::open(file, bytes)? else {
        return xlsb::read(file, options.sheet.as_ref(), bytes, visit);
    };
    let part = workbook.sheet(options.sheet.as_ref())?;
    sheet::read(&mut workbook, file, &part, visit)
}

/// Files still to read, and how much of them.
struct Queue {
    files: VecDeque<(usize, InputFile)>,
    rows_left: u64,
    bytes_left: u64,
}

/// One partition: takes files from the queue, each read on a thread of its own.
struct Reader {
    queue: Arc<Mutex<Queue>>,
    columns: Arc<Columns>,
    options: ExcelOptions,
    read: ReadOptions,
    current: Option<Current>,
}

struct Current {
    batches: Receiver<RecordBatch>,
    thread: JoinHandle<Result<()>>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(current) = self.current.take() else {
                let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((number, file)) = next else { return Ok(None) };
                self.current = Some(self.start(number, file)?);
                continue;
            };
            if let Ok(batch) = current.batches.recv() {
                self.current = Some(current);
                if batch.num_rows() > 0 {
                    return Ok(Some(batch));
                }
                continue;
            }
            match current.thread.join() {
                Ok(result) => result?,
                Err(_) => return Err(failed("its thread ended badly".to_owned())),
            }
        }
    }

    fn start(&self, number: usize, file: InputFile) -> Result<Current> {
        let (sender, batches) = mpsc::sync_channel(BATCHES_AHEAD);
        let work = SheetWork {
            builder: BatchBuilder::new(&self.columns, number, &file.name),
            queue: Arc::clone(&self.queue),
            read: self.read.clone(),
            file,
            sender,
        };
        let options = self.options.clone();
        let thread = std::thread::Builder::new().name("sheet".to_owned());
        let thread = thread.spawn(move || work.run(&options)).map_err(|error| {
            Problem::new(&codes::INTERNAL, "a thread cannot be started").detail(error)
        })?;
        Ok(Current { batches, thread })
    }
}

impl Queue {
    fn take(&mut self) -> Option<(usize, InputFile)> {
        if self.rows_left == 0 || self.bytes_left == 0 {
            return None;
        }
        self.files.pop_front()
    }

    /// Counts a row against the sample; false when it is beyond it.
    fn count(&mut self, bytes: u64) -> bool {
        if self.rows_left == 0 || self.bytes_left == 0 {
            return false;
        }
        self.rows_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        true
    }
}

/// Reads one sheet into batches.
struct SheetWork {
    file: InputFile,
    builder: BatchBuilder,
    queue: Arc<Mutex<Queue>>,
    read: ReadOptions,
    sender: SyncSender<RecordBatch>,
}

impl SheetWork {
    fn run(mut self, options: &ExcelOptions) -> Result<()> {
        let (file, bytes) = (self.file.clone(), Arc::clone(&self.read.bytes));
        {
            let mut visit = framed(options, |_| (), |row| self.row(&row))?;
            read_sheet(&file, options, &bytes, &mut visit)?;
        }
        let batch = self.builder.finish()?;
        // Nobody listens any more: the stream was dropped.
        let _ = self.sender.send(batch);
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<Next> {
        let (_, bytes_before) = self.builder.size();
        let errors = self.builder.append(row);
        if !errors.is_empty() {
            self.read.rejects.reject(Reject {
                file: Some(self.file.name.clone()),
                row: Some(row.number),
                offset: None,
                errors,
                record: self.builder.record(row),
            })?;
        }
        let (_, bytes) = self.builder.size();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = queue.count(bytes - bytes_before) && queue.rows_left > 0;
        drop(queue);
        if self.builder.is_full() && self.sender.send(self.builder.finish()?).is_err() {
            return Ok(Next::Stop);
        }
        Ok(if is_wanted { Next::Go } else { Next::Stop })
    }
}

fn is_compound(file: &InputFile) -> Result<bool> {
    let mut magic = Vec::new();
    let opened = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let read = opened.take(XLS_MAGIC.len() as u64).read_to_end(&mut magic);
    read.map_err(|error| file.problem(&error))?;
    Ok(magic == XLS_MAGIC)
}

/// Whether a compound file holds an encrypted package instead of a workbook.
fn is_encrypted(file: &InputFile) -> Result<bool> {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut reader = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let mut window = Vec::new();
    loop {
        // Two windows overlap by the length of the name.
        let kept = window.len().min(name.len() - 1);
        window.drain(..window.len() - kept);
        let read = (&mut reader).take(1024 * 1024).read_to_end(&mut window);
        if read.map_err(|error| file.problem(&error))? == 0 {
            return Ok(false);
        }
        if memchr::memmem::find(&window, &name).is_some() {
            return Ok(true);
        }
    }
}

fn protected(file: &InputFile) -> Problem {
    Problem::new(&codes::FILE_UNREADABLE, format!("`{}` is protected by a password", file.name))
        .arg("file", &file.name)
        .in_file(&file.name)
        .hint("open it with its password and save it without one")
}

fn no_sheet<'a>(
    file: &InputFile,
    wanted: Option<&SheetName>,
    names: impl Iterator<Item = &'a str>,
) -> Problem {
    let names = stdx::text::list(names.take(30));
    let fact = match wanted {
        None => format!("`{}` has no sheet with rows", file.name),
        Some(SheetName::Number(number)) => format!("`{}` has no sheet {number}", file.name),
        Some(SheetName::Name(name)) => format!("`{}` has no sheet `{name}`", file.name),
    };
    Problem::new(&codes::SETTING_INVALID, fact)
        .arg("file", &file.name)
        .in_file(&file.name)
        .hint(format!("its sheets are {names}"))
}

fn failed(text: String) -> Problem {
    Problem::new(&codes::FILE_CORRUPT, "a workbook is damaged in a way its reader cannot bear")
        .detail(text)
        .hint("save it again as .xlsx; if it is whole elsewhere, please report it")
}
