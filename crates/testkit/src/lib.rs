//! Private servers for tests: PostgreSQL, a scripted HTTP server, and a proxy that cuts lines.

pub mod http;
pub mod postgres;
pub mod proxy;

pub use postgres::Postgres;
pub use proxy::{Fault, FaultProxy};

use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// Says that a test is skipped because `what` is missing.
///
/// # Panics
///
/// When `AFFLUENT_REQUIRE_DATA=1`: then nothing may be skipped.
#[allow(clippy::panic, reason = "a test helper fails by panicking")]
#[allow(clippy::print_stdout, reason = "a skipped test must say so")]
pub fn skip(what: &str) {
    if std::env::var_os("AFFLUENT_REQUIRE_DATA").is_some_and(|value| value == "1") {
        panic!("{what} is missing, and AFFLUENT_REQUIRE_DATA=1 demands it");
    }
    println!("skipped: {what} is missing");
}

/// A port on 127.0.0.1 that is free right now.
///
/// # Panics
///
/// When the machine has none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port exists");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// The first of `candidates` that is a file, or the one that `PATH` knows by `name`.
fn binary(name: &str, folders: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .map(|folder| Path::new(folder).to_owned())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
