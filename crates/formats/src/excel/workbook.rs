//! The parts of an XLSX file: its sheets, its texts, its number formats.

use super::SheetName;
use super::value::{self, Meaning};
use crate::file::InputFile;
use crate::input::Counted;
use crate::markup::{Markup, MarkupReader, attribute};
use model::{Problem, Result, codes};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

const PARTS_MAX: usize = 10_000;
const PART_BYTES_MAX: u64 = 8 << 30;
/// Shared texts are kept in memory.
const TEXT_BYTES_MAX: usize = 128 * 1024 * 1024;
const TEXTS_MAX: usize = 4 * 1024 * 1024;
const TEXT_BLOCK_BYTES: usize = 1024 * 1024;
const STYLES_MAX: usize = 70_000;
const SHEETS_MAX: usize = 10_000;

pub(super) type Archive = ZipArchive<BufReader<Counted<File>>>;
pub(super) type Part<'a> = std::io::Take<ZipFile<'a, BufReader<Counted<File>>>>;

/// An open XLSX file.
pub(super) struct Workbook {
    archive: Archive,
    file: InputFile,
    pub(super) texts: Texts,
    /// The meaning of the numbers of each style.
    pub(super) styles: Vec<Meaning>,
    pub(super) is_1904: bool,
    sheets: Vec<Sheet>,
}

struct Sheet {
    name: String,
    part: String,
}

/// Shared texts, in blocks so that growing never copies them all.
#[derive(Default)]
pub(super) struct Texts {
    blocks: Vec<String>,
    places: Vec<(u32, u32, u32)>,
    bytes: usize,
}

impl Texts {
    /// The text with this number.
    pub(super) fn get(&self, number: usize) -> Option<&str> {
        let (block, start, end) = *self.places.get(number)?;
        self.blocks.get(block as usize)?.get(start as usize..end as usize)
    }

    /// Adds a text; false when there are too many.
    fn push(&mut self, text: &str) -> bool {
        self.bytes += text.len();
        if self.bytes > TEXT_BYTES_MAX || self.places.len() >= TEXTS_MAX {
            return false;
        }
        let is_full = self.blocks.last().is_none_or(|b| b.len() + text.len() > TEXT_BLOCK_BYTES);
        if is_full {
            self.blocks.push(String::new());
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let start = block.len();
        block.push_str(text);
        let place = [number, start, block.len()].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        self.places.push((place[0], place[1], place[2]));
        true
    }
}

impl Workbook {
    /// Opens a file and reads everything but its sheets; none if it is in the binary format.
    pub(super) fn open(file: &InputFile, bytes: &Arc<AtomicU64>) -> Result<Option<Self>> {
        let archive = open_archive(file, bytes)?;
        let mut workbook = Self {
            archive,
            file: file.clone(),
            texts: Texts::default(),
            styles: Vec::new(),
            is_1904: false,
            sheets: Vec::new(),
        };
        let main = workbook.main_part()?;
        if main.ends_with(".bin") {
            return Ok(None);
        }
        let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let links = workbook.links(&main)?;
        workbook.read_sheets(&main, &folder, &links)?;
        let part = |kind: &str| {
            let link = links.values().find(|link| link.kind.ends_with(kind));
            link.map(|link| resolve(&folder, &link.target))
        };
        if let Some(styles) = part("/styles") {
            workbook.read_styles(&styles)?;
        }
        if let Some(texts) = part("/sharedStrings") {
            workbook.read_texts(&texts)?;
        }
        Ok(Some(workbook))
    }

    /// The part of the wanted sheet: the first one where none is named.
    pub(super) fn sheet(&self, wanted: Option<&SheetName>) -> Result<String> {
        let found = match wanted {
            None => self.sheets.first(),
            Some(SheetName::Number(number)) => {
                usize::try_from(*number).ok().and_then(|n| self.sheets.get(n.checked_sub(1)?))
            }
            Some(SheetName::Name(name)) => {
                let same = self.sheets.iter().find(|sheet| sheet.name == *name);
                let wanted = name.trim().to_lowercase();
                same.or_else(|| {
                    self.sheets.iter().find(|sheet| sheet.name.trim().to_lowercase() == wanted)
                })
            }
        };
        if let Some(sheet) = found {
            return Ok(sheet.part.clone());
        }
        let names = self.sheets.iter().map(|sheet| sheet.name.as_str());
        Err(super::no_sheet(&self.file, wanted, names))
    }

    /// A part of the file as XML.
    pub(super) fn part<'a>(
        archive: &'a mut Archive,
        file: &InputFile,
        name: &str,
    ) -> Result<Option<MarkupReader<Part<'a>>>> {
        let Some(index) = find(archive, name) else { return Ok(None) };
        let part = archive.by_index(index).map_err(|error| damaged(file, &error))?;
        Ok(Some(MarkupReader::new(part.take(PART_BYTES_MAX), file.clone())))
    }

    /// The archive, the texts and the styles, to read a sheet with.
    pub(super) fn parts(&mut self) -> (&mut Archive, &Texts, &[Meaning]) {
        (&mut self.archive, &self.texts, &self.styles)
    }

    fn main_part(&mut self) -> Result<String> {
        let links = self.links("")?;
        let main = links.values().find(|link| link.kind.ends_with("/officeDocument"));
        Ok(main.map_or_else(|| "xl/workbook.xml".to_owned(), |link| resolve("", &link.target)))
    }

    /// The links of a part to others, by id.
    fn links(&mut self, part: &str) -> Result<HashMap<String, Link>> {
        let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let name = format!("{folder}_rels/{name}.rels");
        let mut links = HashMap::new();
        let Some(mut xml) = Self::part(&mut self.archive, &self.file, &name)? else {
            return Ok(links);
        };
        loop {
            match xml.next()? {
                Markup::Start(start) if start.local_name().as_ref() == "Relationship" => {
                    let id = attribute(&start, "Id").unwrap_or_default();
                    let target = attribute(&start, "Target").unwrap_or_default();
                    let kind = attribute(&start, "Type").unwrap_or_default();
                    links.insert(id, Link { target, kind });
                }
                Markup::Eof => return Ok(links),
                _ => {}
            }
            if links.len() > SHEETS_MAX {
                return Err(too_large(&self.file, "it has more than 10 000 sheets"));
            }
        }
    }

    fn read_sheets(
        &mut self,
        main: &str,
        folder: &str,
        links: &HashMap<String, Link>,
    ) -> Result<()> {
        let Some(mut xml) = Self::part(&mut self.archive, &self.file, main)? else {
            return Err(not_a_workbook(&self.file));
        };
        loop {
            match xml.next()? {
                Markup::Start(start) => match start.local_name().as_ref() {
                    "workbookPr" => {
                        let date1904 = attribute(&start, "date1904");
                        self.is_1904 = matches!(date1904.as_deref(), Some("1" | "true" | "on"));
                    }
                    "sheet" => {
                        let name = attribute(&start, "name").unwrap_or_default();
                        let link = attribute(&start, "id").and_then(|id| links.get(&id));
                        // Sheets that are only a chart have no rows.
                        if let Some(link) = link.filter(|link| link.kind.ends_with("/worksheet")) {
                            let part = resolve(folder, &link.target);
                            self.sheets.push(Sheet { name, part });
                        }
                    }
                    _ => {}
                },
                Markup::Eof => return Ok(()),
                _ => {}
            }
            if self.sheets.len() > SHEETS_MAX {
                return Err(too_large(&self.file, "it has more than 10 000 sheets"));
            }
        }
    }

    fn read_styles(&mut self, part: &str) -> Result<()> {
        let Some(mut xml) = Self::part(&mut self.archive, &self.file, part)? else {
            return Ok(());
        };
        let mut formats: HashMap<u32, Meaning> = HashMap::new();
        let mut in_cell_styles = false;
        loop {
            match xml.next()? {
                Markup::Start(start) => match start.local_name().as_ref() {
                    "numFmt" => {
                        let number = attribute(&start, "numFmtId").and_then(|n| n.parse().ok());
                        let code = attribute(&start, "formatCode").unwrap_or_default();
                        if let Some(number) = number {
                            formats.insert(number, value::meaning(&code));
                        }
                    }
                    "cellXfs" => in_cell_styles = true,
                    "cellStyles" | "dxfs" => in_cell_styles = false,
                    "xf" if in_cell_styles => {
                        let number = attribute(&start, "numFmtId").and_then(|n| n.parse().ok());
                        let number = number.unwrap_or(0);
                        let known = formats.get(&number).copied();
                        self.styles.push(known.unwrap_or_else(|| value::builtin(number)));
                    }
                    _ => {}
                },
                Markup::Eof => return Ok(()),
                _ => {}
            }
            if self.styles.len() > STYLES_MAX || formats.len() > STYLES_MAX {
                return Err(too_large(&self.file, "it has more than 70 000 cell formats"));
            }
        }
    }

    fn read_texts(&mut self, part: &str) -> Result<()> {
        let Some(mut xml) = Self::part(&mut self.archive, &self.file, part)? else {
            return Ok(());
        };
        let mut text = String::new();
        loop {
            match xml.next()? {
                Markup::Start(start) if start.local_name().as_ref() == "si" => {
                    text.clear();
                    rich_text(&mut xml, &mut text)?;
                    if !self.texts.push(&unescape(&text)) {
                        return Err(too_large(&self.file, "its texts take more than 128 MiB"));
                    }
                }
                Markup::Eof => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Opens the archive that a workbook is.
pub(super) fn open_archive(file: &InputFile, bytes: &Arc<AtomicU64>) -> Result<Archive> {
    let reader = File::open(&file.path).map_err(|error| file.problem(&error))?;
    let counted = Counted { reader, bytes: Arc::clone(bytes) };
    let archive =
        ZipArchive::new(BufReader::new(counted)).map_err(|error| damaged(file, &error))?;
    if archive.len() > PARTS_MAX {
        return Err(too_large(file, "it has more than 10 000 parts"));
    }
    Ok(archive)
}

/// The text of the element that has just begun: its runs, without their reading aids.
pub(super) fn rich_text<R: Read>(xml: &mut MarkupReader<R>, text: &mut String) -> Result<()> {
    let depth = xml.depth();
    while xml.depth() >= depth {
        let Markup::Start(start) = xml.next()? else { continue };
        let name = start.local_name().as_ref().to_owned();
        match name.as_str() {
            "t" => xml.text_into(text)?,
            "rPh" => xml.skip()?,
            _ => {}
        }
    }
    Ok(())
}

/// Replaces `_x000D_` and its like by what it stands for.
pub(super) fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("_x") {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        plain.push_str(&rest[..at]);
        let digits = rest.get(at + 2..at + 6).filter(|_| rest[at + 6..].starts_with('_'));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code.and_then(char::from_u32) {
            Some(character) => {
                plain.push(character);
                rest = &rest[at + 7..];
            }
            None => {
                plain.push_str("_x");
                rest = &rest[at + 2..];
            }
        }
    }
    plain.push_str(rest);
    plain.into()
}

struct Link {
    target: String,
    kind: String,
}

/// The name of a part that `target` means from `folder`.
fn resolve(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut steps: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            "." | "" => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// Parts are found whatever the case of their names and the direction of their slashes.
fn find(archive: &Archive, name: &str) -> Option<usize> {
    archive.index_for_name(name).or_else(|| {
        archive.file_names().position(|known| {
            known.is_ok_and(|known| known.replace('\\', "/").eq_ignore_ascii_case(name))
        })
    })
}

pub(super) fn damaged(file: &InputFile, error: &ZipError) -> Problem {
    if let ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) = error {
        return super::protected(file);
    }
    let hint = crate::probe::other_than(file, crate::probe::Format::Excel);
    Problem::new(&codes::FILE_CORRUPT, format!("`{}` is not a readable workbook", file.name))
        .arg("file", &file.name)
        .in_file(&file.name)
        .detail(error)
        .hint(hint.unwrap_or_else(|| {
            "the file is damaged or was not copied whole: fetch it again".to_owned()
        }))
}

/// A workbook that its reader cannot make sense of.
pub(super) fn damaged_workbook(file: &InputFile) -> Problem {
    Problem::new(&codes::FILE_CORRUPT, format!("`{}` is not a readable workbook", file.name))
        .arg("file", &file.name)
        .in_file(&file.name)
        .hint("save it again as .xlsx; if that cannot be, it is damaged: fetch it again")
}

fn not_a_workbook(file: &InputFile) -> Problem {
    Problem::new(
        &codes::FILE_CORRUPT,
        format!("`{}` holds no workbook in the XLSX format", file.name),
    )
    .arg("file", &file.name)
    .in_file(&file.name)
    .hint("save it again as .xlsx, or use the source that fits its format")
}

pub(super) fn too_large(file: &InputFile, fact: &str) -> Problem {
    Problem::new(&codes::FILE_TOO_LARGE, format!("`{}` is too large: {fact}", file.name))
        .arg("file", &file.name)
        .in_file(&file.name)
        .hint("save the sheet as CSV, which has no such limits")
}
