//! `lake_name`: the name that a column with this header gets in the lake.

use crate::arguments::{Want, coerce, map_text, result};
use arrow::datatypes::DataType;
use contracts::function::ScalarFunction;

pub(crate) const LAKE_NAME: ScalarFunction = ScalarFunction {
    name: "lake_name",
    summary: "The text as a column name of the lake: no accents, lower case, the rest `_`.",
    syntax: "lake_name(text)",
    examples: &[
        ("lake_name('N° commande')", "n_commande"),
        ("lake_name('Prix TTC (€)')", "prix_ttc"),
        ("lake_name('2024')", "_2024"),
    ],
    coerce: |types| coerce("lake_name", types, &[Want::Text], &[]),
    returns: |_| result("lake_name", DataType::Utf8View),
    invoke: |arguments, rows| {
        map_text(&arguments[0], rows, |text, out| {
            out.extend(model::lake_column_names(&[text]));
            out != text
        })
    },
};
