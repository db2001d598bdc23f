//! Opens a file of text: decompressed, counted, as UTF-8 without a byte order mark.

use crate::compression::{self, Member};
use crate::file::InputFile;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use model::{Problem, Result, codes};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

const BLOCK_BYTES: usize = 256 * 1024;
/// Unpacked blocks that may wait to be read.
const BLOCKS_AHEAD: usize = 4;

/// Opens a file, or a file of an archive, as UTF-8. `bytes` counts what is read from disk.
pub(crate) fn open(member: &Member, bytes: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
    decode(open_raw(member, bytes)?, None).map_err(|error| unreadable(&member.file, error))
}

/// Opens a file of XML as UTF-8, whatever encoding its first line declares.
pub(crate) fn open_markup(member: &Member, bytes: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
    let failed = |error: io::Error| unreadable(&member.file, error);
    let (head, reader) = peek(open_raw(member, bytes)?, 256).map_err(failed)?;
    let encoding = declared_encoding(&head).map_err(|label| {
        Problem::new(
            &codes::FILE_CORRUPT,
            format!("`{}` declares the unknown encoding `{label}`", member.file.name),
        )
        .arg("encoding", label)
        .in_file(&member.file.name)
        .hint("correct the first line of the file")
    })?;
    decode(reader, encoding).map_err(failed)
}

/// The encoding that an XML declaration names, if it is not UTF-8.
fn declared_encoding(head: &[u8]) -> Result<Option<&'static Encoding>, String> {
    match head {
        [b'<', 0, ..] => return Ok(Some(UTF_16LE)),
        [0, b'<', ..] => return Ok(Some(UTF_16BE)),
        _ => {}
    }
    let text = String::from_utf8_lossy(head);
    let declaration = text.trim_start_matches('\u{feff}').strip_prefix("<?xml");
    let declaration = declaration.and_then(|rest| rest.split("?>").next());
    let label = declaration.and_then(|text| text.split_once("encoding")).map(|(_, rest)| rest);
    let label = label.and_then(|rest| rest.split(['"', '\'']).nth(1));
    match label.map(|label| (label, Encoding::for_label(label.trim().as_bytes()))) {
        None => Ok(None),
        // A file that can say in ASCII that it is UTF-16 is not.
        Some((_, Some(encoding))) if !encoding.is_ascii_compatible() => Ok(None),
        Some((_, Some(encoding))) => Ok((encoding != UTF_8).then_some(encoding)),
        Some((label, None)) => Err(label.to_owned()),
    }
}

fn open_raw(member: &Member, bytes: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
    if !member.is_plain() {
        let unpacked = unpacked(member, bytes);
        return Ok(Box::new(unpacked.map_err(|error| unreadable(&member.file, error))?));
    }
    let opened = File::open(&member.file.path).map_err(|error| member.file.problem(&error))?;
    let counted = Counted { reader: opened, bytes: Arc::clone(bytes) };
    Ok(Box::new(BufReader::with_capacity(BLOCK_BYTES, counted)))
}

/// Says why a file cannot be read.
pub(crate) fn unreadable(file: &InputFile, error: io::Error) -> Problem {
    match error.downcast::<Problem>() {
        Ok(problem) => problem,
        Err(error) => compression::read_problem(file, &error),
    }
}

/// Unpacks on a thread of its own, a few blocks ahead.
fn unpacked(member: &Member, bytes: &Arc<AtomicU64>) -> io::Result<Unpacked> {
    let (sender, receiver) = mpsc::sync_channel(BLOCKS_AHEAD);
    let (member, bytes) = (member.clone(), Arc::clone(bytes));
    let work = move || {
        let result = compression::with_reader(&member, &bytes, |reader| {
            loop {
                let mut block = Vec::new();
                let read = reader.take(BLOCK_BYTES as u64).read_to_end(&mut block);
                read.map_err(|error| compression::read_problem(&member.file, &error))?;
                // Nobody listens any more: the reader was dropped.
                if block.is_empty() || sender.send(Ok(block)).is_err() {
                    return Ok(());
                }
            }
        });
        if let Err(problem) = result {
            let _ = sender.send(Err(problem));
        }
    };
    std::thread::Builder::new().name("unpack".to_owned()).spawn(work)?;
    Ok(Unpacked { receiver, block: Vec::new(), at: 0 })
}

struct Unpacked {
    receiver: mpsc::Receiver<Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            match self.receiver.recv() {
                Ok(Ok(block)) => (self.block, self.at) = (block, 0),
                Ok(Err(problem)) => return Err(io::Error::other(problem)),
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.block.len() - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// The first bytes, and a reader that still gives them.
fn peek(mut reader: impl Read + Send, length: u64) -> io::Result<(Vec<u8>, impl Read + Send)> {
    let mut head = Vec::new();
    (&mut reader).take(length).read_to_end(&mut head)?;
    Ok((head.clone(), io::Cursor::new(head).chain(reader)))
}

/// Drops a byte order mark; what is in the encoding that it names, or in `encoding`, becomes UTF-8.
fn decode(
    reader: impl Read + Send + 'static,
    encoding: Option<&'static Encoding>,
) -> io::Result<Box<dyn Read + Send>> {
    let (head, mut reader) = peek(reader, 3)?;
    let (encoding, mark_bytes) = match Encoding::for_bom(&head) {
        Some((encoding, mark_bytes)) => (Some(encoding), mark_bytes),
        None => (encoding, 0),
    };
    reader.read_exact(&mut [0; 3][..mark_bytes])?;
    Ok(match encoding.filter(|encoding| *encoding != UTF_8) {
        Some(encoding) => {
            let decoder = encoding.new_decoder_without_bom_handling();
            let (input, output) = (Vec::new(), Vec::new());
            Box::new(Decoded { reader, decoder, input, output, at: 0, ended: false })
        }
        None => Box::new(reader),
    })
}

/// Counts the bytes that are read from disk.
pub(crate) struct Counted<R> {
    pub(crate) reader: R,
    pub(crate) bytes: Arc<AtomicU64>,
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.reader.seek(position)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Decoded<R> {
    reader: R,
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    fn decode_block(&mut self) -> io::Result<()> {
        self.input.clear();
        let read = (&mut self.reader).take(BLOCK_BYTES as u64).read_to_end(&mut self.input)?;
        self.ended = read == 0;
        let room = self.decoder.max_utf8_buffer_length_without_replacement(self.input.len());
        self.output.resize(room.unwrap_or(BLOCK_BYTES * 4), 0);
        let (result, _, written) = self.decoder.decode_to_utf8_without_replacement(
            &self.input,
            &mut self.output,
            self.ended,
        );
        if let DecoderResult::Malformed(..) = result {
            let fact = "a character is broken in the encoding of the file";
            return Err(io::Error::new(ErrorKind::InvalidData, fact));
        }
        self.output.truncate(written);
        self.at = 0;
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.output.len() && !self.ended {
            self.decode_block()?;
        }
        let length = buffer.len().min(self.output.len() - self.at);
        buffer[..length].copy_from_slice(&self.output[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
