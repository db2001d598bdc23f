//! Where the log of the program goes: what the environment says of it.

use crate::variables::variable;
use model::{Problem, Result, codes};
use monitor::logging::{Format, Logging, Settings};

/// Which lines, as `info` or `warn,server=debug`; without it none.
const FILTER: &str = "AFFLUENT_LOG";
/// `text` or `json`.
const FORMAT: &str = "AFFLUENT_LOG_FORMAT";
/// Address of a Loki.
const LOKI: &str = "AFFLUENT_LOKI_URL";
/// Address of a receiver of OTLP over HTTP.
const OTLP: &str = "AFFLUENT_OTLP_URL";

/// Begins to log. What it gives is shut down at the end of the program.
pub fn install() -> Result<Logging> {
    let format = match variable(FORMAT).as_deref() {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => {
            let message = format!("`{FORMAT}` is `{other}`, which is no form of a log");
            return Err(Problem::new(&codes::SETTING_INVALID, message).hint("set `text` or `json`"));
        }
    };
    // The file is there on every Linux; a name is not worth a failure.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Logging::install(&Settings {
        // Libraries log as errors what is an answer to us (a table that is not there yet).
        filter: variable(FILTER).unwrap_or_else(|| "off".to_owned()),
        format,
        loki: variable(LOKI),
        otlp: variable(OTLP),
        instance: host.trim().to_owned(),
    })
}
