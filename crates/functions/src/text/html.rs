//! `strip_html`: the text that a reader of a page sees.

use crate::arguments::{Want, coerce, map_text, result};
use arrow::datatypes::DataType;
use contracts::function::ScalarFunction;

pub(crate) const STRIP_HTML: ScalarFunction = ScalarFunction {
    name: "strip_html",
    summary: "The text without HTML tags, comments, scripts and styles, entities resolved.",
    syntax: "strip_html(text)",
    examples: &[
        ("strip_html('<p>Caf&eacute; &amp; <b>th&#233;</b></p>')", "Café & thé"),
        ("strip_html('a<script>x < 1</script><!-- no -->b')", "ab"),
        ("strip_html('one<br>two')", "one two"),
        ("strip_html('1 < 2 & 3')", "1 < 2 & 3"),
    ],
    coerce: |types| coerce("strip_html", types, &[Want::Text], &[]),
    returns: |_| result("strip_html", DataType::Utf8View),
    invoke: |arguments, rows| {
        map_text(&arguments[0], rows, |text, out| {
            if !text.contains(['<', '&']) {
                return false;
            }
            strip(text, out);
            out != text
        })
    },
};

/// Elements after which a reader sees a gap.
const GAPS: &[&str] =
    &["br", "p", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "ul", "ol"];

fn strip(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with('&') { entity(rest, out) } else { tag(rest, out) };
        if length == 0 {
            out.push_str(&rest[..1]);
        }
        rest = &rest[length.max(1)..];
    }
    out.push_str(rest);
    let end = out.trim_end_matches(' ').len();
    if text.trim_end_matches(' ').ends_with('>') {
        out.truncate(end);
    }
}

/// The length of the tag, comment or element without text at the start; 0 when it is none.
fn tag(text: &str, out: &mut String) -> usize {
    if text.starts_with("<!--") {
        return text.find("-->").map_or(text.len(), |end| end + 3);
    }
    let inside = text[1..].strip_prefix('/').unwrap_or(&text[1..]);
    let starts = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?');
    let Some(end) = text.find('>').filter(|_| starts) else { return 0 };
    let name_end = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
    let name = inside[..name_end].to_ascii_lowercase();
    if !text.starts_with("</") && (name == "script" || name == "style") {
        let close = format!("</{name}");
        let hidden = text.to_ascii_lowercase().find(&close);
        return hidden
            .map_or(text.len(), |at| text[at..].find('>').map_or(text.len(), |end| at + end + 1));
    }
    if GAPS.contains(&name.as_str()) && !out.is_empty() && !out.ends_with(char::is_whitespace) {
        out.push(' ');
    }
    end + 1
}

/// The entities that texts have most; others stay as they are.
const ENTITIES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("eacute", 'é'),
    ("egrave", 'è'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("agrave", 'à'),
    ("acirc", 'â'),
    ("auml", 'ä'),
    ("ccedil", 'ç'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("ocirc", 'ô'),
    ("ouml", 'ö'),
    ("ugrave", 'ù'),
    ("ucirc", 'û'),
    ("uuml", 'ü'),
    ("oelig", 'œ'),
    ("szlig", 'ß'),
    ("Eacute", 'É'),
    ("Egrave", 'È'),
    ("Agrave", 'À'),
    ("Ccedil", 'Ç'),
    ("euro", '€'),
    ("copy", '©'),
    ("reg", '®'),
    ("deg", '°'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("rsquo", '’'),
    ("lsquo", '‘'),
    ("rdquo", '”'),
    ("ldquo", '“'),
    ("laquo", '«'),
    ("raquo", '»'),
];

/// The length of the entity at the start, whose character is added; 0 when it is none.
fn entity(text: &str, out: &mut String) -> usize {
    let Some(end) = text.bytes().take(12).position(|byte| byte == b';') else { return 0 };
    let name = &text[1..end];
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let hexadecimal = number.strip_prefix(['x', 'X']);
            let code = match hexadecimal {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
        None => ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, character)| *character),
    };
    match character {
        Some(character) => {
            out.push(character);
            end + 1
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stripped(text: &str) -> String {
        let mut out = String::new();
        strip(text, &mut out);
        out
    }

    #[test]
    fn odd_pages() {
        assert_eq!(stripped("<p>a</p><p>b</p>"), "a b");
        assert_eq!(stripped("a <b"), "a <b");
        assert_eq!(stripped("a &unknown; &#x20AC; &#xFFFFFFFF;"), "a &unknown; € &#xFFFFFFFF;");
        assert_eq!(stripped("x<style>p {}</style>y"), "xy");
        assert_eq!(stripped("x<script>forever"), "x");
        assert_eq!(stripped("<!-- open"), "");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[<>&;#!/a-z é-]{0,40}") {
            prop_assert!(stripped(&text).len() <= text.len() + 40);
        }
    }
}
