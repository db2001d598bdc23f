//! Scalar functions over Arrow arrays; `query` makes them callable in SQL.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use model::Result;

/// An argument when a call is planned.
#[derive(Debug, Clone)]
pub struct ArgumentInfo {
    /// Its type.
    pub data_type: DataType,
    /// Its value as text, where it is a literal that is not null.
    pub literal: Option<String>,
}

/// An argument when a call is evaluated.
#[derive(Debug, Clone)]
pub enum Argument {
    /// One value per row.
    Array(ArrayRef),
    /// The same value for every row; the array has one element.
    Scalar(ArrayRef),
}

/// A scalar function: pure, and row by row.
#[derive(Clone, Copy)]
pub struct ScalarFunction {
    /// Name in SQL, `snake_case`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// How it is called: `try_decimal(text, precision, scale [, decimal_char])`.
    pub syntax: &'static str,
    /// Calls with what they give: SQL, and the value printed as text, `NULL` for null.
    pub examples: &'static [(&'static str, &'static str)],
    /// Types the arguments are cast to before a call; given those that stand there. Refuses wrong
    /// numbers and types of arguments.
    pub coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The field (type and nullability) of the result.
    pub returns: fn(&[ArgumentInfo]) -> Result<FieldRef>,
    /// Evaluates the call for so many rows.
    pub invoke: fn(&[Argument], usize) -> Result<ArrayRef>,
}

impl Argument {
    /// The array, of one element for a scalar.
    pub fn array(&self) -> &ArrayRef {
        match self {
            Self::Array(array) | Self::Scalar(array) => array,
        }
    }

    /// The index in [`Argument::array`] of the value for `row`.
    pub fn index(&self, row: usize) -> usize {
        match self {
            Self::Array(_) => row,
            Self::Scalar(_) => 0,
        }
    }
}
