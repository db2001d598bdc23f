//! The cookie of a browser's session.

use axum::http::header::{COOKIE, HeaderValue};
use axum::http::request::Parts;
use model::{Problem, Result, Secret, codes};

/// With this prefix a browser takes the cookie only over a safe connection (the machine itself
/// counts as one), for this host alone, and for every path.
const NAME: &str = "__Host-affluent";

/// The session's token, if the request brings one.
pub(crate) fn token(parts: &Parts) -> Option<Secret> {
    let cookies = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then(|| Secret::new(value))
    });
    pairs.next()
}

/// Gives the browser a session's token.
pub(crate) fn set(token: &Secret) -> Result<HeaderValue> {
    let text = format!("{NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict", token.reveal());
    let mut value = HeaderValue::from_str(&text).map_err(|error| {
        Problem::new(&codes::INTERNAL, "a token does not fit into a cookie").detail(error)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Takes it away again.
pub(crate) fn clear() -> HeaderValue {
    HeaderValue::from_static(
        "__Host-affluent=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
    )
}
