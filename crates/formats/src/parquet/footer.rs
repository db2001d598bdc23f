//! What the reader underneath does not tell about the bytes of a footer or page header.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Number of the footer's field that names how the file is encrypted.
const ENCRYPTION_FIELD: i64 = 8;
/// Numbers and values of a page header's fields.
const PAGE_TYPE_FIELD: i64 = 1;
const DICTIONARY_PAGE: i64 = 2;
const PAGE_HEADER_BYTES_MAX: u64 = 64 * 1024;
const FOOTER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const DEPTH_MAX: u32 = 32;

/// Whether a plain footer says that columns are encrypted.
pub(super) fn names_encryption(file: &mut File) -> bool {
    read_footer(file).is_some_and(|footer| Thrift { bytes: &footer }.names_encryption().is_some())
}

/// The bytes of a footer without the fields that it should not have. Some writers have put values
/// of their own where later versions of the format have others; a reader has to pass over them.
pub(super) fn known_fields(file: &mut File) -> Option<Vec<u8>> {
    let footer = read_footer(file)?;
    let mut known = Vec::with_capacity(footer.len());
    Thrift { bytes: &footer }.copy_struct(FOOTER, &mut known)?;
    Some(known)
}

/// The fields of a struct: number, type, and for structs and lists of structs what these have.
type Fields = &'static [(i64, u8, Option<&'static Shape>)];

/// A struct whose fields are known.
struct Shape(Fields);

const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const BYTES: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

const FOOTER: Fields = &[
    (1, I32, None),
    (2, LIST, None),
    (3, I64, None),
    (4, LIST, Some(&Shape(ROW_GROUP))),
    (5, LIST, None),
    (6, BYTES, None),
    (7, LIST, None),
    (ENCRYPTION_FIELD, STRUCT, None),
    (9, BYTES, None),
];

const ROW_GROUP: Fields = &[
    (1, LIST, Some(&Shape(COLUMN))),
    (2, I64, None),
    (3, I64, None),
    (4, LIST, None),
    (5, I64, None),
    (6, I64, None),
    (7, I16, None),
];

const COLUMN: Fields = &[
    (1, BYTES, None),
    (2, I64, None),
    (3, STRUCT, Some(&Shape(COLUMN_DATA))),
    (4, I64, None),
    (5, I32, None),
    (6, I64, None),
    (7, I32, None),
    (8, STRUCT, None),
    (9, BYTES, None),
];

const COLUMN_DATA: Fields = &[
    (1, I32, None),
    (2, LIST, None),
    (3, LIST, None),
    (4, I32, None),
    (5, I64, None),
    (6, I64, None),
    (7, I64, None),
    (8, LIST, None),
    (9, I64, None),
    (10, I64, None),
    (11, I64, None),
    (12, STRUCT, None),
    (13, LIST, None),
    (14, I64, None),
    (15, I32, None),
    (16, STRUCT, None),
    (17, STRUCT, None),
];

/// The length of the page header at `offset`, if it is that of a dictionary.
pub(super) fn dictionary_header_bytes(file: &mut File, offset: u64) -> Option<u64> {
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut head = Vec::new();
    file.take(PAGE_HEADER_BYTES_MAX).read_to_end(&mut head).ok()?;
    let mut thrift = Thrift { bytes: &head };
    let (mut field, mut page_type) = (0, None);
    while let Some(kind) = thrift.field(&mut field)? {
        match field {
            PAGE_TYPE_FIELD => page_type = Some(zigzag(thrift.number()?)),
            _ => thrift.skip(kind, 0)?,
        }
    }
    (page_type == Some(DICTIONARY_PAGE)).then(|| (head.len() - thrift.bytes.len()) as u64)
}

fn read_footer(file: &mut File) -> Option<Vec<u8>> {
    let length = file.seek(SeekFrom::End(-8)).ok()?;
    let mut tail = [0; 4];
    file.read_exact(&mut tail).ok()?;
    let footer_length = u64::from(u32::from_le_bytes(tail)).min(FOOTER_BYTES_MAX);
    file.seek(SeekFrom::Start(length.checked_sub(footer_length)?)).ok()?;
    let mut footer = Vec::new();
    file.take(footer_length).read_to_end(&mut footer).ok()?;
    Some(footer)
}

/// A reader of the compact Thrift protocol that passes over values or copies them.
struct Thrift<'a> {
    bytes: &'a [u8],
}

impl Thrift<'_> {
    fn names_encryption(mut self) -> Option<()> {
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            if field == ENCRYPTION_FIELD {
                return Some(());
            }
            self.skip(kind, 0)?;
        }
        None
    }

    /// Copies a struct, without fields that are not known or of another type.
    fn copy_struct(&mut self, fields: Fields, copy: &mut Vec<u8>) -> Option<()> {
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            let known = fields.iter().find(|(number, ..)| *number == field);
            let Some((_, _, shape)) = known.filter(|(_, known, _)| *known == kind) else {
                self.skip(kind, 0)?;
                continue;
            };
            copy.push(kind);
            push_number(copy, (field.cast_unsigned() << 1) ^ (field >> 63).cast_unsigned());
            let value = self.bytes;
            match shape {
                Some(Shape(fields)) if kind == STRUCT => self.copy_struct(fields, copy)?,
                Some(Shape(fields)) => {
                    let length = self.list_of(STRUCT)?;
                    copy.extend(&value[..value.len() - self.bytes.len()]);
                    for _ in 0..length {
                        self.copy_struct(fields, copy)?;
                    }
                }
                None => {
                    self.skip(kind, 0)?;
                    copy.extend(&value[..value.len() - self.bytes.len()]);
                }
            }
        }
        copy.push(0);
        Some(())
    }

    /// The length of a list of values of this type.
    fn list_of(&mut self, kind: u8) -> Option<u64> {
        let head = self.byte()?;
        match (head & 15 == kind, head >> 4) {
            (false, _) => None,
            (true, 15) => self.number(),
            (true, short) => Some(u64::from(short)),
        }
    }

    /// The type of the next field, none at the end of the struct.
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        match i64::from(head >> 4) {
            0 => *field = zigzag(self.number()?),
            delta => *field += delta,
        }
        Some(Some(head & 15))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => drop(self.number()?),
            7 => self.pass(8)?,
            8 => {
                let length = self.number()?;
                self.pass(length)?;
            }
            9 | 10 => self.skip_list(depth)?,
            12 => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn skip_list(&mut self, depth: u32) -> Option<()> {
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => self.number()?,
            short => u64::from(short),
        };
        for _ in 0..length {
            match head & 15 {
                // In a list a boolean takes a byte.
                1 | 2 => self.pass(1)?,
                kind => self.skip(kind, depth + 1)?,
            }
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn pass(&mut self, length: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 127 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}
