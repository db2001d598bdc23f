//! Looks whether a footer that cannot be read is that of an encrypted file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Number of the footer's field that names how the file is encrypted.
const ENCRYPTION_FIELD: i64 = 8;
const FOOTER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const DEPTH_MAX: u32 = 32;

/// Whether a plain footer says that columns are encrypted.
pub(super) fn names_encryption(file: &mut File) -> bool {
    read_footer(file).is_some_and(|footer| Thrift { bytes: &footer }.names_encryption().is_some())
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

/// A reader of the compact Thrift protocol that only passes over values.
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
