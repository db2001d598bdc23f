//! `mask`: a text of which only the ends can be read.

use crate::arguments::{Want, coerce, constant_integer, constant_text, map_text, result};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use model::Result;

pub(crate) const MASK: ScalarFunction = ScalarFunction {
    name: "mask",
    summary: "The text with its characters replaced, except so many at the start and the end; \
              one that is not longer than those is replaced as a whole.",
    syntax: "mask(text [, keep_start [, keep_end [, char]]])",
    examples: &[
        ("mask('4970101234567890', 4, 2)", "4970**********90"),
        ("mask('Zoé', 1, 0, 'x')", "Zxx"),
        ("mask('ab', 1, 1)", "**"),
        ("mask('secret')", "******"),
    ],
    coerce: |types| {
        coerce("mask", types, &[Want::Text], &[Want::Integer, Want::Integer, Want::Text])
    },
    returns: |_| result("mask", DataType::Utf8View),
    invoke,
};

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let kept = |at| -> Result<usize> {
        let number = constant_integer("mask", arguments, at)?.unwrap_or_default();
        Ok(usize::try_from(number).unwrap_or_default())
    };
    let (start, end) = (kept(1)?, kept(2)?);
    let cover = constant_text("mask", arguments, 3)?;
    let cover = cover.and_then(|text| text.chars().next()).unwrap_or('*');
    map_text(&arguments[0], rows, |text, out| {
        let length = text.chars().count();
        let all = start.saturating_add(end) >= length;
        for (at, character) in text.chars().enumerate() {
            let readable = !all && (at < start || at >= length - end);
            out.push(if readable { character } else { cover });
        }
        true
    })
}
