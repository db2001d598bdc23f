//! `cast_errors`: which values were lost when columns were parsed, and why.

use super::explain::Target;
use super::row_errors::build_errors;
use crate::arguments::{Want, bad_call, coerce_groups, column, constant_text, result};
use crate::kernel::is_blank;
use crate::values::Printer;
use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use contracts::function::{Argument, ScalarFunction};
use contracts::rejects::{append_error, errors_type};
use model::Result;

const NAME: &str = "cast_errors";
const GROUP: &[Want] = &[Want::Text, Want::Any, Want::Any, Want::Text, Want::Text, Want::Text];

pub(crate) const CAST_ERRORS: ScalarFunction = ScalarFunction {
    name: NAME,
    summary: "The list of values that were there before parsing and not after, with the reason; \
              null when there is none. For numbers, the format is the decimal and group \
              characters.",
    syntax: "cast_errors('column1', raw1, parsed1, 'type1', format1, zone1, …)",
    examples: &[
        (
            "cast_errors('n', '12x', try_integer('12x'), 'integer', NULL, NULL)",
            "[{column: n, value: 12x, reason: is not an integer}]",
        ),
        (
            "cast_errors('a', '1,505', try_decimal('1,505', 9, 2, ','), 'decimal(9,2)', ',', NULL)",
            "[{column: a, value: 1,505, reason: has more than 2 decimals}]",
        ),
        (
            "cast_errors('d', '31/02/2026', try_date('31/02/2026', '%d/%m/%Y'), 'date', \
             '%d/%m/%Y', NULL)",
            "[{column: d, value: 31/02/2026, reason: is a day that does not exist}]",
        ),
        ("cast_errors('n', ' ', try_integer(' '), 'integer', NULL, NULL)", "NULL"),
        ("cast_errors('n', '12', try_integer('12'), 'integer', NULL, NULL)", "NULL"),
    ],
    coerce: |types| coerce_groups(NAME, types, &[], GROUP),
    returns: |_| result(NAME, errors_type()),
    invoke,
};

/// A column of which values were lost.
struct Loss {
    name: String,
    raw: Printer,
    lost: Vec<bool>,
    target: Target,
}

fn invoke(arguments: &[Argument], rows: usize) -> Result<ArrayRef> {
    let mut losses = Vec::new();
    for (at, group) in arguments.chunks_exact(GROUP.len()).enumerate() {
        if !may_be_lost(&group[1], &group[2]) {
            continue;
        }
        let raw = column(&group[1], rows)?;
        let lost = lost_rows(&raw, &column(&group[2], rows)?);
        if lost.iter().any(|lost| *lost) {
            let text = |part| constant_text(NAME, arguments, at * GROUP.len() + part);
            let missing = || bad_call(NAME, "takes the name and the type of a column as texts");
            let name = text(0)?.ok_or_else(missing)?;
            let data_type = text(3)?.ok_or_else(missing)?;
            let target = Target::new(&data_type, text(4)?.as_deref(), text(5)?.as_deref())?;
            losses.push(Loss { name, raw: Printer::new(&raw)?, lost, target });
        }
    }
    if losses.is_empty() {
        return Ok(new_null_array(&errors_type(), rows));
    }
    let any: Vec<bool> = (0..rows).map(|row| losses.iter().any(|loss| loss.lost[row])).collect();
    let mut value = String::new();
    Ok(build_errors(&any, |row, builder| {
        for loss in losses.iter().filter(|loss| loss.lost[row]) {
            value.clear();
            loss.raw.text(row, &mut value);
            append_error(builder, &loss.name, Some(&value), &loss.target.reason(&value));
        }
    }))
}

/// Whether there are more nulls after than before.
fn may_be_lost(raw: &Argument, parsed: &Argument) -> bool {
    match (raw, parsed) {
        (Argument::Array(raw), Argument::Array(parsed)) => parsed.null_count() > raw.null_count(),
        _ => true,
    }
}

/// Rows that had a value, not just space, and now have none.
fn lost_rows(raw: &ArrayRef, parsed: &ArrayRef) -> Vec<bool> {
    let mut lost: Vec<bool> = match parsed.nulls() {
        Some(nulls) => nulls.iter().map(|valid| !valid).collect(),
        None => vec![false; parsed.len()],
    };
    if let Some(nulls) = raw.nulls().filter(|nulls: &&NullBuffer| nulls.null_count() > 0) {
        for (lost, valid) in lost.iter_mut().zip(nulls.iter()) {
            *lost &= valid;
        }
    }
    if *raw.data_type() == DataType::Utf8View {
        let texts = raw.as_string_view();
        for (row, lost) in lost.iter_mut().enumerate().filter(|(_, lost)| **lost) {
            *lost = !is_blank(texts.value(row).as_bytes());
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::util::display::array_value_to_string;
    use std::sync::Arc;

    #[test]
    fn blanks_and_nulls_are_not_lost() {
        let raw =
            StringViewArray::from_iter([Some("1"), Some(" "), None, Some("x"), Some("\u{a0}")]);
        let parsed = Int64Array::from(vec![Some(1), None, None, None, None]);
        let text =
            |text: &str| Argument::Scalar(Arc::new(StringViewArray::from_iter_values([text])));
        let null = || Argument::Scalar(Arc::new(StringViewArray::new_null(1)));
        let arguments = [
            text("n"),
            Argument::Array(Arc::new(raw)),
            Argument::Array(Arc::new(parsed)),
            text("integer"),
            null(),
            null(),
        ];
        let list = invoke(&arguments, 5).unwrap();
        assert_eq!(list.null_count(), 4);
        assert_eq!(
            array_value_to_string(&list, 3).unwrap(),
            "[{column: n, value: x, reason: is not an integer}]"
        );
    }
}
