//! Databases against private servers: what is read, what is written, and what happens when the
//! line is cut.

mod postgres;
mod sqlite;
pub(crate) mod support;
