//! A window over a stream of JSON text: finds where values end without keeping what is passed over.

use crate::file::InputFile;
use memchr::memchr2;
use model::{Problem, Result, codes};
use std::io::Read;
use std::ops::Range;

const READ_BYTES: usize = 256 * 1024;

/// The bytes of one document, read as far as needed.
pub(crate) struct Cursor {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    at: usize,
    base: u64,
    ended: bool,
    file: InputFile,
}

impl Cursor {
    pub(crate) fn new(reader: Box<dyn Read + Send>, file: InputFile) -> Self {
        let buffer = Vec::with_capacity(READ_BYTES);
        Self { reader, buffer, at: 0, base: 0, ended: false, file }
    }

    /// Bytes passed since the beginning of the document.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// A problem that names the file and the place.
    pub(crate) fn corrupt(&self, fact: &str) -> Problem {
        Problem::new(
            &codes::FILE_CORRUPT,
            format!("`{}` is not valid JSON at byte {}: {fact}", self.file.name, self.offset()),
        )
        .arg("file", &self.file.name)
        .arg("offset", self.offset())
        .in_file(&self.file.name)
        .hint("ask for the file again, or repair it at this place")
    }

    /// Reads more; what has been passed is dropped. False at the end.
    fn fill(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
        }
        let before = self.buffer.len();
        let wanted = READ_BYTES.max(before / 2) as u64;
        let read = (&mut self.reader).take(wanted).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| crate::input::unreadable(&self.file, error))?;
        self.ended = read == 0;
        Ok(read > 0)
    }

    /// At least so many bytes from here on, or all there are.
    pub(crate) fn head(&mut self, bytes: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.at < bytes && self.fill()? {}
        let end = self.buffer.len().min(self.at + bytes);
        Ok(&self.buffer[self.at..end])
    }

    /// The next byte that is not white space, not yet passed.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            while let Some(byte) = self.buffer.get(self.at) {
                if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                    return Ok(Some(*byte));
                }
                self.at += 1;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Passes the byte just peeked.
    pub(crate) fn pass(&mut self) {
        self.at += 1;
    }

    /// Passes `byte`, which must come next.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek()? != Some(byte) {
            return Err(self.corrupt(&format!("a `{}` is expected", char::from(byte))));
        }
        self.pass();
        Ok(())
    }

    /// The bytes of the value that begins here, without passing it.
    pub(crate) fn value(&mut self, bytes_max: usize) -> Result<&[u8]> {
        let range = self.value_range(bytes_max)?;
        Ok(&self.buffer[range])
    }

    fn value_range(&mut self, bytes_max: usize) -> Result<Range<usize>> {
        if self.peek()?.is_none() {
            return Err(self.corrupt("it ends where a value is expected"));
        }
        let mut scan = Scan::default();
        let mut scanned = 0;
        loop {
            let found = scan.feed(&self.buffer[self.at + scanned..]);
            if let Some(end) = found {
                return Ok(self.at..self.at + scanned + end);
            }
            scanned = self.buffer.len() - self.at;
            if scanned > bytes_max {
                return Err(too_large(&self.file.name, bytes_max));
            }
            if !self.fill()? {
                if scan.is_scalar() {
                    return Ok(self.at..self.buffer.len());
                }
                return Err(self.corrupt("the file ends inside of a value"));
            }
        }
    }

    /// Passes `bytes` bytes.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Passes the value that begins here, however long it is.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        if self.peek()?.is_none() {
            return Err(self.corrupt("it ends where a value is expected"));
        }
        let mut scan = Scan::default();
        loop {
            if let Some(end) = scan.feed(&self.buffer[self.at..]) {
                self.at += end;
                return Ok(());
            }
            self.at = self.buffer.len();
            if !self.fill()? {
                let whole = scan.is_scalar();
                return if whole { Ok(()) } else { Err(self.corrupt("the file ends too early")) };
            }
        }
    }
}

fn too_large(name: &str, bytes_max: usize) -> Problem {
    Problem::new(
        &codes::FILE_TOO_LARGE,
        format!("`{name}` has a record of more than {} MiB", bytes_max / (1024 * 1024)),
    )
    .arg("file", name)
    .in_file(name)
    .hint("name the list that holds the rows with `record_path`, for example `$.items[*]`")
}

/// Finds the end of a value by brackets and quotes alone; strictness comes later.
#[derive(Debug, Default)]
struct Scan {
    depth: u64,
    in_text: bool,
    escaped: bool,
    started: bool,
}

impl Scan {
    /// Whether what has been seen is neither text, list nor object, and so may end with the file.
    fn is_scalar(&self) -> bool {
        self.started && self.depth == 0 && !self.in_text
    }

    /// The index after the value's last byte, if it is among these bytes.
    fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_text {
                at = self.feed_text(bytes, at);
                if !self.in_text && self.depth == 0 {
                    return Some(at);
                }
                continue;
            }
            match bytes[at] {
                b'"' if self.started && self.depth == 0 => return Some(at),
                b'"' => self.in_text = true,
                b'{' | b'[' if self.started && self.depth == 0 => return Some(at),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' | b',' | b':' if self.depth == 0 => return Some(at),
                b' ' | b'\t' | b'\n' | b'\r' if self.depth == 0 && self.started => return Some(at),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            self.started = true;
            at += 1;
        }
        None
    }

    /// Goes on inside of a text; returns where it stopped.
    fn feed_text(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            match memchr2(b'"', b'\\', &bytes[at..]) {
                None => return bytes.len(),
                Some(found) => {
                    at += found + 1;
                    if bytes[at - 1] == b'"' {
                        self.in_text = false;
                        return at;
                    }
                    self.escaped = true;
                }
            }
        }
        at
    }
}
