//! Numbers and booleans out of text: exact or null.

pub(crate) mod boolean;
pub(crate) mod decimal;
pub(crate) mod float;
pub(crate) mod integer;
pub(crate) mod notation;

use contracts::function::ScalarFunction;

pub(crate) const ALL: &[ScalarFunction] =
    &[integer::TRY_INTEGER, decimal::TRY_DECIMAL, float::TRY_FLOAT, boolean::TRY_BOOLEAN];
