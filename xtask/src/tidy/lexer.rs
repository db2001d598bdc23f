//! Tells code from comments and texts, so that rules look only where they mean to.

/// A Rust file taken apart.
pub(super) struct Lexed {
    /// The file with comments and the insides of texts blanked out, line by line.
    pub(super) code: Vec<String>,
    /// The file with the insides of texts taken out: what a line would measure without them.
    pub(super) without_texts: Vec<String>,
    /// Comments: line number from 1, and what stands behind `//`.
    pub(super) comments: Vec<(usize, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    /// How deep block comments are nested.
    BlockComment(u32),
    Text,
    /// How many `#` close it.
    RawText(usize),
}

/// Takes a Rust file apart.
pub(super) fn lex(text: &str) -> Lexed {
    let chars: Vec<char> = text.chars().collect();
    let mut lexer = Lexer {
        chars: &chars,
        at: 0,
        state: State::Code,
        code: String::new(),
        without_texts: String::new(),
        comments: Vec::new(),
        line: 1,
    };
    while lexer.at < chars.len() {
        lexer.step();
    }
    Lexed {
        code: lexer.code.lines().map(str::to_owned).collect(),
        without_texts: lexer.without_texts.lines().map(str::to_owned).collect(),
        comments: lexer.comments,
    }
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    state: State,
    code: String,
    without_texts: String,
    comments: Vec<(usize, String)>,
    line: usize,
}

impl Lexer<'_> {
    fn step(&mut self) {
        match self.state {
            State::Code => self.step_code(),
            State::LineComment if self.chars[self.at] == '\n' => {
                self.state = State::Code;
                self.keep();
            }
            State::LineComment => {
                let char = self.chars[self.at];
                if let Some((_, comment)) = self.comments.last_mut() {
                    comment.push(char);
                }
                self.blank(1, true);
            }
            State::BlockComment(depth) => self.step_block_comment(depth),
            State::Text => match self.chars[self.at] {
                '\\' => self.blank(2, false),
                '"' => {
                    self.state = State::Code;
                    self.keep();
                }
                _ => self.blank(1, false),
            },
            State::RawText(hashes) => {
                let closes = self.chars[self.at] == '"' && self.hashes_after(self.at + 1) >= hashes;
                if closes {
                    self.state = State::Code;
                    (0..=hashes).for_each(|_| self.keep());
                } else {
                    self.blank(1, false);
                }
            }
        }
    }

    fn step_code(&mut self) {
        let char = self.chars[self.at];
        match (char, self.peek(1)) {
            ('/', Some('/')) => {
                self.state = State::LineComment;
                self.comments.push((self.line, String::new()));
                self.blank(2, true);
            }
            ('/', Some('*')) => {
                self.state = State::BlockComment(1);
                self.blank(2, true);
            }
            ('"', _) => {
                self.state = State::Text;
                self.keep();
            }
            ('r', Some('"' | '#')) if !self.is_in_word() => {
                let hashes = self.hashes_after(self.at + 1);
                if self.peek(1 + hashes) == Some('"') {
                    self.state = State::RawText(hashes);
                    (0..hashes + 2).for_each(|_| self.keep());
                } else {
                    self.keep();
                }
            }
            ('\'', Some('\\')) => {
                self.keep();
                self.blank(2, false);
                while self.peek(0).is_some_and(|char| char != '\'') {
                    self.blank(1, false);
                }
                self.keep();
            }
            ('\'', Some(_)) if self.peek(2) == Some('\'') => {
                self.keep();
                self.blank(1, false);
                self.keep();
            }
            _ => self.keep(),
        }
    }

    fn step_block_comment(&mut self, depth: u32) {
        match (self.chars[self.at], self.peek(1)) {
            ('*', Some('/')) => {
                self.state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
                self.blank(2, true);
            }
            ('/', Some('*')) => {
                self.state = State::BlockComment(depth + 1);
                self.blank(2, true);
            }
            _ => self.blank(1, true),
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn hashes_after(&self, from: usize) -> usize {
        self.chars[from.min(self.chars.len())..].iter().take_while(|char| **char == '#').count()
    }

    /// Whether the letter here goes on with a word, as the `r` of `for` does; `br` begins a text.
    fn is_in_word(&self) -> bool {
        let is_word = |back: usize| {
            let char = self.at.checked_sub(back).map(|at| self.chars[at]);
            char.is_some_and(|char| char.is_alphanumeric() || char == '_')
        };
        let before = self.at.checked_sub(1).map(|at| self.chars[at]);
        let is_prefix = matches!(before, Some('b' | 'c')) && !is_word(2);
        is_word(1) && !is_prefix
    }

    /// The character stays.
    fn keep(&mut self) {
        let Some(char) = self.peek(0) else { return };
        self.code.push(char);
        self.without_texts.push(char);
        self.line += usize::from(char == '\n');
        self.at += 1;
    }

    /// Characters become blanks; in the measured form comments stay and texts vanish.
    fn blank(&mut self, count: usize, is_comment: bool) {
        for _ in 0..count {
            let Some(char) = self.peek(0) else { return };
            let is_end = char == '\n';
            self.code.push(if is_end { '\n' } else { ' ' });
            if is_end || is_comment {
                self.without_texts.push(char);
            }
            self.line += usize::from(is_end);
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_comments_are_blanked() {
        let lexed = lex("let a = \"// {\"; // why {\nlet b = br#\"}\"#; let c = '\"'; 'a: loop {}");
        assert_eq!(lexed.code[0].trim_end(), "let a = \"    \";");
        assert_eq!(lexed.code[1], "let b = br#\" \"#; let c = ' '; 'a: loop {}");
        assert_eq!(lexed.comments, [(1, " why {".to_owned())]);
        assert_eq!(lexed.without_texts[0], "let a = \"\"; // why {");
    }

    #[test]
    fn block_comments_nest_and_escapes_do_not_end_a_text() {
        let lexed = lex("a /* b /* c */ d */ e \"\\\"f\\\\\" g '\\'' h '\\u{41}' for \"x\"");
        assert_eq!(
            lexed.code[0].split_whitespace().collect::<Vec<_>>().join(" "),
            "a e \" \" g ' ' h ' ' for \" \""
        );
    }
}
