//! Signed requests to other programs.

use super::http::{self, PrivateTargets};
use super::message::Message;
use hmac::{Hmac, Mac};
use model::{Result, Secret};
use serde_json::json;
use sha2::Sha256;
use std::fmt::Write;

/// Holds when a request was signed and its signature: `t=SECONDS,v1=HEX`.
pub const SIGNATURE_HEADER: &str = "x-affluent-signature";
const EVENT_HEADER: &str = "x-affluent-event";
const DELIVERY_HEADER: &str = "x-affluent-delivery";

/// HMAC-SHA-256 of `SECONDS.BODY` in hexadecimal digits: who knows the secret can tell that the
/// request is ours, and by the time in it that it is not an old one sent once more.
pub fn signature(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC takes keys of every length");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let mut digits = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        // Writing to a `String` cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

pub(super) async fn send(
    url: &Secret,
    secret: &Secret,
    message: &Message,
    delivery: &str,
    now_us: i64,
    private: PrivateTargets,
) -> Result<()> {
    let body = json!({
        "id": delivery,
        "workspace": message.workspace,
        "title": message.subject,
        "text": message.sentence,
        "url": message.link.as_ref().map(|(_, url)| url),
        "more": message.more_count,
        "notice": message.notice,
    });
    let body = body.to_string().into_bytes();
    let seconds = now_us / 1_000_000;
    let signed = format!("t={seconds},v1={}", signature(secret, seconds, &body));
    let headers = [
        (SIGNATURE_HEADER, signed.as_str()),
        (EVENT_HEADER, message.notice.kind().as_str()),
        (DELIVERY_HEADER, delivery),
    ];
    http::post(url, &headers, body, private).await
}
