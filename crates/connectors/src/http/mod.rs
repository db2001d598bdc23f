//! HTTP services: rows from them and to them.

mod call;
mod client;
mod egress;
mod landing;
pub(crate) mod look;
mod pages;
mod source;
mod spool;
#[cfg(test)]
mod tests;
mod write_http;

pub(crate) use call::{Call, send};
pub use client::{Auth, HttpConnection, KeyPlace, Limits};
pub use source::Http;
pub use write_http::WriteHttp;

use contracts::Entry;
use schemars::{Schema, SchemaGenerator};

/// Sources and sinks of HTTP services.
pub const ALL: &[Entry] = &[Entry::source::<Http>(), Entry::sink::<WriteHttp>()];

/// Types of connections to HTTP services, and the JSON Schemas of their settings.
pub const CONNECTION_TYPES: &[(&str, fn() -> Schema)] =
    &[(client::TYPE, || SchemaGenerator::default().into_root_schema_for::<HttpConnection>())];
