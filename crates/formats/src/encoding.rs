//! Character encodings: found out from the bytes, or named, and decoded to UTF-8 while reading.
//!
//! Nothing is ever replaced by U+FFFD: where bytes make no character of the encoding, the decoded
//! text carries one byte that is not UTF-8, so that whoever reads the record refuses it.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    Decoder, DecoderResult, GB18030, GBK, ISO_8859_15, MACINTOSH, UTF_16BE, UTF_16LE,
};
use std::io::{self, Read};

/// Stands in decoded text where the input makes no character; never part of UTF-8.
pub const MALFORMED: u8 = 0xff;
/// The byte order mark in UTF-8.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

const INPUT_BYTES: usize = 64 * 1024;

/// How the characters of a file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with ASCII in it.
    Utf8,
    /// UTF-32, little end first.
    Utf32Le,
    /// UTF-32, big end first.
    Utf32Be,
    /// Any other that the web platform knows.
    Other(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// The encoding that people call `label`: `latin-1`, `cp1252`, `mac-roman`, `utf-16le` …
    pub fn named(label: &str) -> Option<Self> {
        let label = label.trim().to_lowercase().replace('_', "-");
        match label.as_str() {
            "utf-8" | "utf8" | "utf-8-sig" | "ascii" | "us-ascii" => Some(Self::Utf8),
            "utf-32" | "utf32" | "utf-32le" | "utf-32-le" | "utf32le" => Some(Self::Utf32Le),
            "utf-32be" | "utf-32-be" | "utf32be" => Some(Self::Utf32Be),
            "utf-16-le" | "utf16" | "utf16le" => Some(Self::Other(UTF_16LE)),
            "utf-16-be" | "utf16be" => Some(Self::Other(UTF_16BE)),
            "mac-roman" | "macroman" => Some(Self::Other(MACINTOSH)),
            "gbk" | "gb2312" | "gb18030" => Some(Self::Other(GB18030)),
            "cp932" => Some(Self::Other(encoding_rs::SHIFT_JIS)),
            "cp949" => Some(Self::Other(encoding_rs::EUC_KR)),
            "cp950" => Some(Self::Other(encoding_rs::BIG5)),
            "cp936" => Some(Self::Other(GB18030)),
            other => {
                let plain = other.replace('-', "");
                let found = encoding_rs::Encoding::for_label_no_replacement(other.as_bytes())
                    .or_else(|| {
                        encoding_rs::Encoding::for_label_no_replacement(plain.as_bytes())
                    })?;
                Some(if found == encoding_rs::UTF_8 { Self::Utf8 } else { Self::Other(found) })
            }
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf32Le => "UTF-32LE",
            Self::Utf32Be => "UTF-32BE",
            Self::Other(other) => other.name(),
        }
    }

    /// A reader of UTF-8 over a reader of this encoding.
    pub fn decode<'a>(self, reader: &'a mut dyn Read) -> Box<dyn Read + 'a> {
        match self {
            Self::Utf8 => Box::new(reader),
            Self::Utf32Le => Box::new(Utf8Reader::new(reader, Engine::Utf32 { little: true })),
            Self::Utf32Be => Box::new(Utf8Reader::new(reader, Engine::Utf32 { little: false })),
            Self::Other(other) => {
                let decoder = other.new_decoder_without_bom_handling();
                Box::new(Utf8Reader::new(reader, Engine::Other(Box::new(decoder))))
            }
        }
    }
}

/// Bytes from the head of a file and, where it is long, from places further on.
#[derive(Debug, Clone, Default)]
pub struct ByteSample {
    /// The first bytes.
    pub head: Vec<u8>,
    /// Whether `head` is the whole file.
    pub is_whole: bool,
    /// Pieces from later on, cut anywhere.
    pub pieces: Vec<Vec<u8>>,
}

/// The encoding that explains the sample best.
pub fn detect(sample: &ByteSample) -> Encoding {
    let head = sample.head.as_slice();
    if let Some(encoding) = by_mark(head).or_else(|| by_zeros(head)) {
        return encoding;
    }
    let mut evidence = Evidence::default();
    evidence.add(head, sample.is_whole);
    for piece in &sample.pieces {
        let cut = piece.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
        evidence.add(&piece[cut..], false);
    }
    // A file of both kinds is UTF-8 with damaged records; one with hardly any UTF-8 is not UTF-8.
    if evidence.foreign == 0 || evidence.characters >= evidence.foreign {
        return Encoding::Utf8;
    }
    Encoding::Other(legacy(sample))
}

fn by_mark(head: &[u8]) -> Option<Encoding> {
    match head {
        [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
        [0xff, 0xfe, 0, 0, ..] => Some(Encoding::Utf32Le),
        [0, 0, 0xfe, 0xff, ..] => Some(Encoding::Utf32Be),
        [0xff, 0xfe, ..] => Some(Encoding::Other(UTF_16LE)),
        [0xfe, 0xff, ..] => Some(Encoding::Other(UTF_16BE)),
        [0x84, 0x31, 0x95, 0x33, ..] => Some(Encoding::Other(GB18030)),
        _ => None,
    }
}

/// UTF-16 and UTF-32 without a mark: delimiters, digits and line feeds bring zero bytes, always
/// at the same places.
fn by_zeros(head: &[u8]) -> Option<Encoding> {
    let head = &head[..head.len().min(64 * 1024) & !3];
    if head.len() < 4 {
        return None;
    }
    let mut zeros = [0usize; 4];
    for quad in head.chunks_exact(4) {
        for (zeros, byte) in zeros.iter_mut().zip(quad) {
            *zeros += usize::from(*byte == 0);
        }
    }
    let quads = head.len() / 4;
    let [first, second, third, fourth] = zeros;
    if fourth == quads && third * 10 >= quads * 9 && first * 10 < quads {
        return Some(Encoding::Utf32Le);
    }
    if first == quads && second * 10 >= quads * 9 && fourth * 10 < quads {
        return Some(Encoding::Utf32Be);
    }
    let (even, odd, pairs) = (first + third, second + fourth, quads * 2);
    if odd >= 2 && odd * 5 >= pairs && even * 50 <= pairs && odd > even * 8 {
        return Some(Encoding::Other(UTF_16LE));
    }
    if even >= 2 && even * 5 >= pairs && odd * 50 <= pairs && even > odd * 8 {
        return Some(Encoding::Other(UTF_16BE));
    }
    None
}

/// What speaks for and against UTF-8.
#[derive(Default)]
struct Evidence {
    /// Characters of several bytes.
    characters: usize,
    /// Bytes that can neither be UTF-8 nor a damaged piece of it.
    foreign: usize,
}

impl Evidence {
    fn add(&mut self, mut bytes: &[u8], is_whole: bool) {
        while !bytes.is_empty() {
            let (valid, rest, wrong) = match std::str::from_utf8(bytes) {
                Ok(_) => (bytes, &bytes[bytes.len()..], None),
                Err(error) => {
                    let (valid, rest) = bytes.split_at(error.valid_up_to());
                    (valid, rest, Some(error.error_len()))
                }
            };
            self.characters += valid.iter().filter(|byte| **byte >= 0xc0).count();
            match wrong {
                None => return,
                // Cut off at the end of the file, or of the sample.
                Some(None) => {
                    self.foreign += usize::from(is_whole && rest.len() == 1 && rest[0] < 0xe0);
                    return;
                }
                Some(Some(length)) => match damaged_utf8(rest) {
                    Some(length) => bytes = &rest[length..],
                    None => {
                        self.foreign += 1;
                        bytes = &rest[length..];
                    }
                },
            }
        }
    }
}

/// Length of an over-long form or an encoded surrogate: somebody's faulty UTF-8, but UTF-8.
fn damaged_utf8(bytes: &[u8]) -> Option<usize> {
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| (0x80..0xc0).contains(byte));
    match bytes {
        [0xc0 | 0xc1, ..] if continues(1) => Some(2),
        [0xed, 0xa0..=0xbf, ..] if continues(2) => Some(3),
        [0xe0, 0x80..=0x9f, ..] if continues(2) => Some(3),
        [0xf0, 0x80..=0x8f, ..] if continues(2) && continues(3) => Some(4),
        _ => None,
    }
}

fn legacy(sample: &ByteSample) -> &'static encoding_rs::Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&sample.head, false);
    for piece in &sample.pieces {
        // A line feed ends whatever sequence the cut has opened.
        detector.feed(b"\n", false);
        detector.feed(piece, false);
    }
    detector.feed(b"\n", true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    if guess == GBK {
        return GB18030;
    }
    if !guess.is_single_byte() {
        return guess;
    }
    let bytes = || std::iter::once(&sample.head).chain(&sample.pieces);
    let oddities = |encoding: &'static encoding_rs::Encoding| -> usize {
        bytes().map(|bytes| oddities(&encoding.decode_without_bom_handling(bytes).0)).sum()
    };
    if is_latin(guess) {
        let (as_guessed, as_mac) = (oddities(guess), oddities(MACINTOSH));
        if as_guessed >= 2 && as_mac * 4 <= as_guessed {
            return MACINTOSH;
        }
        let has = |wanted: std::ops::RangeInclusive<u8>| {
            bytes().any(|bytes| bytes.iter().any(|byte| wanted.contains(byte)))
        };
        // Nobody writes the currency sign; whoever writes that byte means the euro.
        if has(0xa4..=0xa4) && !has(0x80..=0x9f) && oddities(ISO_8859_15) <= as_guessed {
            return ISO_8859_15;
        }
    }
    guess
}

fn is_latin(encoding: &'static encoding_rs::Encoding) -> bool {
    let name = encoding.name();
    ["windows-1252", "windows-1250", "windows-1254", "windows-1257", "windows-1258"].contains(&name)
        || ["ISO-8859-2", "ISO-8859-4", "ISO-8859-13", "macintosh"].contains(&name)
}

/// Counts what no text in a Latin script has: capitals after small letters, signs inside of
/// words, control characters.
fn oddities(text: &str) -> usize {
    let mut count = 0;
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        if !character.is_ascii() {
            let is_odd = if character.is_alphabetic() {
                let is_capital = character.is_uppercase();
                let is_beside_digit = after.is_ascii_digit() || before.is_ascii_digit();
                (is_capital && (before.is_lowercase() || is_beside_digit))
                    || (!before.is_alphabetic() && !after.is_alphabetic())
            } else {
                character.is_control()
                    || (before.is_alphabetic() && after.is_alphabetic() && character != '’')
                    || ("‘“‹«¿¡".contains(character) && before.is_alphabetic())
            };
            count += usize::from(is_odd);
        }
        before = character;
    }
    count
}

enum Engine {
    Utf32 { little: bool },
    Other(Box<Decoder>),
}

/// Decodes while it is read.
struct Utf8Reader<'a> {
    reader: &'a mut dyn Read,
    engine: Engine,
    input: Vec<u8>,
    start: usize,
    is_at_end: bool,
    is_flushed: bool,
    output: Vec<u8>,
    taken: usize,
}

impl<'a> Utf8Reader<'a> {
    fn new(reader: &'a mut dyn Read, engine: Engine) -> Self {
        Self {
            reader,
            engine,
            input: Vec::with_capacity(INPUT_BYTES),
            start: 0,
            is_at_end: false,
            is_flushed: false,
            output: Vec::new(),
            taken: 0,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.output.clear();
        self.taken = 0;
        while self.output.is_empty() && !self.is_flushed {
            self.input.drain(..self.start);
            self.start = 0;
            if !self.is_at_end {
                let kept = self.input.len();
                self.input.resize(INPUT_BYTES, 0);
                let count = self.reader.read(&mut self.input[kept..])?;
                self.input.truncate(kept + count);
                self.is_at_end = count == 0;
            }
            match &mut self.engine {
                Engine::Utf32 { little } => {
                    let little = *little;
                    self.decode_utf32(little);
                }
                Engine::Other(_) => self.decode_other(),
            }
        }
        Ok(())
    }

    fn decode_utf32(&mut self, little: bool) {
        for quad in self.input.chunks_exact(4) {
            let bytes = [quad[0], quad[1], quad[2], quad[3]];
            let code = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
            match char::from_u32(code) {
                Some(character) => {
                    self.output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => self.output.push(MALFORMED),
            }
        }
        self.start = self.input.len() & !3;
        if self.is_at_end {
            if self.start < self.input.len() {
                self.output.push(MALFORMED);
            }
            self.start = self.input.len();
            self.is_flushed = true;
        }
    }

    fn decode_other(&mut self) {
        let Engine::Other(decoder) = &mut self.engine else { return };
        loop {
            let written_before = self.output.len();
            let source = &self.input[self.start..];
            let room = decoder
                .max_utf8_buffer_length_without_replacement(source.len())
                .unwrap_or(INPUT_BYTES * 4)
                .max(64);
            self.output.resize(written_before + room, 0);
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(
                source,
                &mut self.output[written_before..],
                self.is_at_end,
            );
            self.output.truncate(written_before + written);
            self.start += read;
            match result {
                DecoderResult::Malformed(_, _) => self.output.push(MALFORMED),
                DecoderResult::OutputFull => {}
                DecoderResult::InputEmpty => {
                    self.is_flushed = self.is_at_end;
                    return;
                }
            }
        }
    }
}

impl Read for Utf8Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.output.len() {
            self.refill()?;
        }
        let count = buffer.len().min(self.output.len() - self.taken);
        buffer[..count].copy_from_slice(&self.output[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
