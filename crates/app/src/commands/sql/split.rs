//! Finds where a statement ends: at a `;` that is in no text, name or comment.

/// What the scanner is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    Quote(char),
    LineComment,
    BlockComment,
}

/// The first whole statement of `text`, without its `;`, and what follows it.
pub(crate) fn first_statement(text: &str) -> Option<(String, String)> {
    let at = end(text)?;
    Some((text[..at].to_owned(), text[at + 1..].trim_start().to_owned()))
}

/// Whether there is nothing but spaces and comments.
pub(crate) fn is_blank(text: &str) -> bool {
    let mut has_code = false;
    scan(text, |_, character, inside| {
        let is_comment = matches!(inside, Inside::LineComment | Inside::BlockComment);
        has_code |= !is_comment && !character.is_whitespace();
        false
    });
    !has_code
}

fn end(text: &str) -> Option<usize> {
    let mut end = None;
    scan(text, |at, character, inside| {
        let is_end = inside == Inside::Code && character == ';';
        if is_end {
            end = Some(at);
        }
        is_end
    });
    end
}

/// Shows every character with what it is inside of, until told to stop. The two characters that
/// begin or end a comment belong to it.
fn scan(text: &str, mut stop: impl FnMut(usize, char, Inside) -> bool) {
    let mut inside = Inside::Code;
    let mut closes_after = None;
    for (at, character) in text.char_indices() {
        if inside == Inside::Code {
            inside = match character {
                '\'' | '"' => Inside::Quote(character),
                '-' if text[at..].starts_with("--") => Inside::LineComment,
                '/' if text[at..].starts_with("/*") => Inside::BlockComment,
                _ => Inside::Code,
            };
            if stop(at, character, inside) {
                return;
            }
            closes_after = (inside != Inside::Code).then_some(at + 1);
            continue;
        }
        if stop(at, character, inside) {
            return;
        }
        let closes = match inside {
            Inside::Quote(open) => character == open,
            Inside::LineComment => character == '\n',
            // `/*/` opens and does not close.
            Inside::BlockComment => {
                character == '/'
                    && text[..at].ends_with('*')
                    && closes_after.is_some_and(|opened| at > opened + 1)
            }
            Inside::Code => false,
        };
        if closes {
            inside = Inside::Code;
        }
    }
}
