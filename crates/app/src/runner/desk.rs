//! Desks: warm processes that answer questions about data and documents, one after the other.
//!
//! A desk is asked on standard input, a line of JSON each time, and answers on standard output: a
//! line of JSON and, for rows as bytes, frames behind it. It has limits of its own, neither the
//! metadata database nor the master key, and ends when its server does.

mod answer;
mod child;
mod host;
mod wire;

pub(crate) use child::serve;
pub(crate) use host::Desks;
