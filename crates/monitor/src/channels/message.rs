//! What a notice looks like to people: one form, from which mails and chat messages are made.

use super::words;
use model::notice::Notice;
use serde::{Deserialize, Serialize};

/// Longer texts are cut.
const TEXT_CHARACTERS_MAX: usize = 1_000;
const SUBJECT_CHARACTERS_MAX: usize = 200;

/// A language that messages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
}

/// Where a notice comes from.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of the workspace.
    pub workspace: String,
    /// Address of the server, without a slash at its end; empty when it is not known.
    pub base_url: String,
}

/// A notice in words.
#[derive(Debug, Clone)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// One sentence.
    pub sentence: String,
    /// Names and values.
    pub facts: Vec<(&'static str, String)>,
    /// Words of the link, and where it leads.
    pub link: Option<(&'static str, String)>,
    /// How many more there are, in words.
    pub more: Option<String>,
    /// The notice itself, for programs.
    pub notice: Notice,
    /// Further news that were held back.
    pub more_count: u64,
    /// Name of the workspace.
    pub workspace: String,
}

impl Message {
    /// Puts a notice into words; `more` counts further ones that were held back.
    pub fn new(notice: &Notice, more: u64, place: &Place, language: Language) -> Self {
        let words = words::of(language);
        let subject = format!("[{}] {}", place.workspace, (words.title)(notice));
        let facts = words::facts(notice, words);
        Self {
            subject: one_line(&subject, SUBJECT_CHARACTERS_MAX),
            sentence: cut(&(words.sentence)(notice), TEXT_CHARACTERS_MAX),
            facts: facts.into_iter().map(|(name, value)| (name, cut_value(&value))).collect(),
            link: link(notice, place).map(|url| (words.open, url)),
            more: (more > 0).then(|| (words.more)(more)),
            notice: notice.clone(),
            more_count: more,
            workspace: place.workspace.clone(),
        }
    }

    /// Title and sentence alone, as for the inbox.
    pub fn headline(notice: &Notice, language: Language) -> (String, String) {
        let words = words::of(language);
        let title = one_line(&(words.title)(notice), SUBJECT_CHARACTERS_MAX);
        (title, cut(&(words.sentence)(notice), TEXT_CHARACTERS_MAX))
    }

    /// Plain text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.sentence);
        if !self.facts.is_empty() {
            text.push('\n');
        }
        for (name, value) in &self.facts {
            text.push_str(&format!("{name}: {value}\n"));
        }
        for paragraph in self.more.iter().chain(self.link.iter().map(|(_, url)| url)) {
            text.push_str(&format!("\n{paragraph}\n"));
        }
        text
    }

    /// A page for mail programs; whatever came from outside is escaped.
    pub fn html(&self) -> String {
        let row = |(name, value): &(&str, String)| {
            format!(
                "<tr><td style=\"padding:2px 12px 2px 0;color:#666\">{}</td><td>{}</td></tr>",
                escape(name),
                escape(value)
            )
        };
        let facts: String = self.facts.iter().map(row).collect();
        let more = self.more.iter().map(|more| format!("<p>{}</p>", escape(more)));
        let link = self.link.iter().map(|(words, url)| {
            format!("<p><a href=\"{}\">{}</a></p>", escape(url), escape(words))
        });
        let end: String = more.chain(link).collect();
        format!(
            "<!doctype html><html><head><meta charset=\"utf-8\"></head>\
             <body style=\"font-family:sans-serif\"><p>{}</p><table>{facts}</table>{end}\
             </body></html>",
            escape(&self.sentence)
        )
    }
}

fn link(notice: &Notice, place: &Place) -> Option<String> {
    let run = notice.run().filter(|_| !place.base_url.is_empty())?;
    Some(format!("{}/w/{}/runs/{run}", place.base_url, place.workspace))
}

/// Text without anything that ends a line or a header.
fn one_line(text: &str, characters_max: usize) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let line: String = text.chars().map(plain).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    cut(&words.join(" "), characters_max)
}

fn cut_value(text: &str) -> String {
    one_line(text, TEXT_CHARACTERS_MAX)
}

fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
