//! `fold_accents`: letters without their marks.

use crate::arguments::{Want, coerce, map_text, result};
use arrow::datatypes::DataType;
use contracts::function::ScalarFunction;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

pub(crate) const FOLD_ACCENTS: ScalarFunction = ScalarFunction {
    name: "fold_accents",
    summary: "The text with letters without accents, and ligatures as two letters.",
    syntax: "fold_accents(text)",
    examples: &[
        ("fold_accents('Éléonore à Łódź')", "Eleonore a Lodz"),
        ("fold_accents('Œuvre, Straße')", "OEuvre, Strasse"),
        ("fold_accents('plain')", "plain"),
    ],
    coerce: |types| coerce("fold_accents", types, &[Want::Text], &[]),
    returns: |_| result("fold_accents", DataType::Utf8View),
    invoke: |arguments, rows| {
        map_text(&arguments[0], rows, |text, out| {
            if text.is_ascii() {
                return false;
            }
            fold(text, out);
            out != text
        })
    },
};

fn fold(text: &str, out: &mut String) {
    for character in text.nfd().filter(|character| !is_combining_mark(*character)).nfc() {
        match character {
            'œ' => out.push_str("oe"),
            'Œ' => out.push_str("OE"),
            'æ' => out.push_str("ae"),
            'Æ' => out.push_str("AE"),
            'ß' => out.push_str("ss"),
            'ẞ' => out.push_str("SS"),
            'ø' => out.push('o'),
            'Ø' => out.push('O'),
            'ł' => out.push('l'),
            'Ł' => out.push('L'),
            'đ' => out.push('d'),
            'Đ' => out.push('D'),
            other => out.push(other),
        }
    }
}
