//! Runners: child processes that do user work for a server.
//!
//! The server gives a runner one order on standard input and reads news from its standard output,
//! a line of JSON each. A runner ends when its standard input does: it never outlives its server.
//! It may be killed at any moment; the run is resumed from its record.

pub(crate) mod child;
pub(crate) mod connection;
pub(crate) mod desk;
mod host;
mod protocol;

pub(crate) use connection::Looker;
pub(crate) use desk::Desks;
pub(crate) use host::Host;
