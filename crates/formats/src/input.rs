//! Opens a file of text: decompressed, counted, as UTF-8 without a byte order mark.

use crate::compression::{self, Member};
use crate::file::InputFile;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_16BE, UTF_16LE};
use model::{Problem, Result};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

const BLOCK_BYTES: usize = 256 * 1024;
/// Unpacked blocks that may wait to be read.
const BLOCKS_AHEAD: usize = 4;

/// Opens a file, or a file of an archive, as UTF-8. `bytes` counts what is read from disk.
pub(crate) fn open(member: &Member, bytes: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>> {
    let failed = |error: io::Error| unreadable(&member.file, error);
    if !member.is_plain() {
        return decode(unpacked(member, bytes).map_err(failed)?).map_err(failed);
    }
    let opened = File::open(&member.file.path).map_err(|error| member.file.problem(&error))?;
    let counted = Counted { reader: opened, bytes: Arc::clone(bytes) };
    decode(BufReader::with_capacity(BLOCK_BYTES, counted)).map_err(failed)
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

/// Drops a byte order mark; UTF-16 becomes UTF-8.
fn decode(reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let (head, mut reader) = peek(reader, 3)?;
    Ok(match Encoding::for_bom(&head) {
        Some((encoding, _)) if encoding == UTF_16LE || encoding == UTF_16BE => {
            let decoder = encoding.new_decoder_with_bom_removal();
            let (input, output) = (Vec::new(), Vec::new());
            Box::new(Utf16 { reader, decoder, input, output, at: 0, ended: false })
        }
        Some((_, mark_bytes)) => {
            reader.read_exact(&mut [0; 3][..mark_bytes])?;
            Box::new(reader)
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

struct Utf16<R> {
    reader: R,
    decoder: Decoder,
    input: Vec<u8>,
    output: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Utf16<R> {
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
            let fact = "half of a surrogate pair in UTF-16";
            return Err(io::Error::new(ErrorKind::InvalidData, fact));
        }
        self.output.truncate(written);
        self.at = 0;
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
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
