//! Looking behind connections to HTTP services.

use super::client::{Limits, Service};
use contracts::Context;
use model::{Name, Result};
use reqwest::Method;
use std::collections::BTreeMap;

pub(crate) use super::client::TYPE;

/// Answers that say that a service is there and has let us in, although not what we asked for.
const FINE: &[&str] = &["404", "405"];

/// Asks for the address of the connection once.
pub(crate) async fn test(context: &Context, name: &Name) -> Result<String> {
    let limits =
        Limits { attempts: 1, read_timeout_s: 10, timeout_s: 15, body_mib: 1, ..Limits::default() };
    let (mut service, url) = Service::new(context, Some(name), "", &BTreeMap::new(), &limits)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    match service.send(&Method::GET, &url, &[], None).await {
        Ok(_) => Ok(format!("`{host}` answers")),
        Err(problem) => match problem.arguments().get("status") {
            Some(status) if FINE.contains(&status.as_str()) => Ok(format!(
                "`{host}` answers; there is nothing at the address of the connection itself \
                 ({status})"
            )),
            _ => Err(problem),
        },
    }
}
