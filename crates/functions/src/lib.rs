//! Scalar functions over Arrow arrays: parsing of messy text, reject columns, hashing, cleaning.
//!
//! Nothing here knows a query engine; `query` makes each entry of [`all`] callable in SQL.

mod arguments;
mod digits;
mod hashing;
mod kernel;
mod numbers;
mod rows;
mod text;
mod times;
mod values;

#[cfg(test)]
mod examples;

use contracts::function::ScalarFunction;

/// The functions that people call. The others only make sense in the queries of modules.
pub fn for_people() -> Vec<ScalarFunction> {
    [numbers::ALL, times::ALL, values::ALL, text::ALL, hashing::ALL].concat()
}

/// Every function, by family.
pub fn all() -> Vec<ScalarFunction> {
    [numbers::ALL, times::ALL, values::ALL, rows::ALL, text::ALL, hashing::ALL].concat()
}
