//! XML with limits: no document type, no entities but the five of XML, bounded depth, bounded
//! pieces, everything streamed.

use crate::file::InputFile;
use model::{Problem, Result, codes};
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nesting beyond this is refused.
const DEPTH_MAX: usize = 256;
/// A longer tag, text or comment is refused: it would have to be held in memory.
const PIECE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// What comes next in a document; empty elements come as a start and an end.
pub(crate) enum Markup<'a> {
    Start(BytesStart<'a>),
    End,
    /// Text, or a part of it.
    Text(Cow<'a, str>),
    /// Comments, instructions, the declaration.
    Other,
    Eof,
}

/// Reads a document piece by piece.
pub(crate) struct MarkupReader<R> {
    reader: Reader<BufReader<Metered<R>>>,
    allowance: Arc<AtomicU64>,
    buffer: Vec<u8>,
    depth: usize,
    file: InputFile,
}

impl<R: Read> MarkupReader<R> {
    /// A reader of UTF-8 text; `file` is what messages name.
    pub(crate) fn new(reader: R, file: InputFile) -> Self {
        let allowance = Arc::new(AtomicU64::new(PIECE_BYTES_MAX));
        let metered = Metered { reader, allowance: Arc::clone(&allowance) };
        let mut reader = Reader::from_reader(BufReader::with_capacity(BUFFER_BYTES, metered));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.enable_all_checks(true);
        Self { reader, allowance, buffer: Vec::new(), depth: 0, file }
    }

    /// Byte in the document.
    pub(crate) fn position(&self) -> u64 {
        self.reader.buffer_position()
    }

    /// How many elements are open.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// The next piece.
    pub(crate) fn next(&mut self) -> Result<Markup<'_>> {
        self.allowance.store(PIECE_BYTES_MAX, Ordering::Relaxed);
        self.buffer.clear();
        let position = self.reader.buffer_position();
        let file = &self.file;
        let event = self.reader.read_event_into(&mut self.buffer);
        Ok(match event.map_err(|error| xml_problem(file, position, error))? {
            Event::Start(_) if self.depth >= DEPTH_MAX => {
                return Err(refused(file, position, "it is nested deeper than 256 levels"));
            }
            Event::Start(start) => {
                self.depth += 1;
                Markup::Start(start)
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Markup::End
            }
            Event::Text(text) => Markup::Text(match text.xml10_content() {
                Cow::Borrowed(_) => text.into_inner(),
                Cow::Owned(normal) => Cow::Owned(normal),
            }),
            Event::CData(text) => Markup::Text(text.into_inner()),
            Event::GeneralRef(reference) => match resolve(&reference) {
                Some(text) => Markup::Text(Cow::Owned(text)),
                None => {
                    let fact = format!("the entity `{}` is not one of XML's five", &*reference);
                    return Err(refused(file, position, &fact));
                }
            },
            Event::DocType(_) => {
                return Err(refused(file, position, "it has a document type (`<!DOCTYPE`)").hint(
                    "document types are refused, because they can make a file explode; \
                           take the line out",
                ));
            }
            Event::Eof if self.depth > 0 => {
                return Err(refused(file, position, "it ends inside of an element"));
            }
            Event::Eof => Markup::Eof,
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) | Event::Decl(_) => Markup::Other,
        })
    }

    /// Adds the text of the element that has just begun, and of those in it, up to its end.
    pub(crate) fn text_into(&mut self, text: &mut String) -> Result<()> {
        let depth = self.depth;
        while self.depth >= depth {
            if let Markup::Text(part) = self.next()? {
                text.push_str(&part);
                if text.len() as u64 > PIECE_BYTES_MAX {
                    let position = self.position();
                    return Err(refused(&self.file, position, "a text is longer than 16 MiB"));
                }
            }
        }
        Ok(())
    }

    /// Passes over the element that has just begun.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let depth = self.depth;
        while self.depth >= depth {
            self.next()?;
        }
        Ok(())
    }

    /// A problem with this document at this place.
    pub(crate) fn problem(&self, fact: &str) -> Problem {
        refused(&self.file, self.position(), fact)
    }
}

/// The value of an attribute by its local name, entities resolved.
pub(crate) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = start.attributes();
    attributes.with_checks(false);
    let found = attributes.flatten().find(|attribute| attribute.key.local_name().as_ref() == name);
    attribute_value(&found?)
}

/// The value of an attribute, entities resolved; none when it has one that is unknown.
pub(crate) fn attribute_value(attribute: &Attribute<'_>) -> Option<String> {
    attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned)
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character.to_string()),
        Ok(None) => resolve_xml_entity(reference).map(str::to_owned),
        Err(_) => None,
    }
}

fn refused(file: &InputFile, position: u64, fact: &str) -> Problem {
    let name = &file.name;
    Problem::new(
        &codes::FILE_CORRUPT,
        format!("the XML of `{name}` is refused at byte {position}: {fact}"),
    )
    .arg("file", name)
    .arg("offset", position)
    .in_file(name)
    .hint("ask for the file again, or repair it at this place")
}

fn xml_problem(file: &InputFile, position: u64, error: quick_xml::Error) -> Problem {
    match error {
        quick_xml::Error::Io(error) => match Arc::try_unwrap(error) {
            Ok(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
                refused(file, position, "a tag or text is longer than 16 MiB")
            }
            Ok(error) => crate::input::unreadable(file, error),
            Err(error) => file.problem(&error),
        },
        error => refused(file, position, &error.to_string()),
    }
}

#[derive(Debug)]
struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a piece of the document is too long")
    }
}

impl std::error::Error for TooLong {}

/// Stops reading when one piece of the document has used up its allowance.
struct Metered<R> {
    reader: R,
    allowance: Arc<AtomicU64>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        self.allowance.store(left.saturating_sub(read as u64), Ordering::Relaxed);
        Ok(read)
    }
}
