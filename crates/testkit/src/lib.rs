//! Private servers for tests: PostgreSQL, mail, Prometheus, nginx, a scripted HTTP server, and a
//! proxy that cuts lines.

pub mod certificate;
pub mod http;
pub mod mail;
pub mod nginx;
pub mod postgres;
pub mod prometheus;
pub mod proxy;

pub use certificate::Certificate;
pub use mail::{MailEncryption, MailServer};
pub use nginx::Nginx;
pub use postgres::Postgres;
pub use prometheus::{Prometheus, promtool};
pub use proxy::{Fault, FaultProxy};

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// The Python that `scripts/setup test` has filled, if it has the module.
fn python(module: &str) -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let usual = home.join(".cache/affluent/venv/bin/python");
    let python = std::env::var_os("AFFLUENT_PYTHON").map_or(usual, PathBuf::from);
    let mut import = Command::new(&python);
    import.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
    import.status().is_ok_and(|status| status.success()).then_some(python)
}
