//! Channels: how news reach people and other programs.
//!
//! A channel sends one [`Message`] once. Whoever calls it keeps the message until it succeeds, and
//! tries again.

mod chat;
mod email;
mod http;
mod message;
mod webhook;
mod words;

#[cfg(test)]
mod tests;

pub use email::{Email, Encryption};
pub use http::{PrivateTargets, host_of};
pub use message::{Language, Message, Place};
pub use webhook::{SIGNATURE_HEADER, signature};

use model::{Problem, Result, Secret, codes};
use std::time::Duration;

/// A channel answers within this time, or has not taken the message.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// A way to tell somebody something.
#[derive(Debug, Clone)]
pub enum Channel {
    /// Mail.
    Email(Email),
    /// A chat that takes what Slack takes: Mattermost and Rocket.Chat do.
    Slack {
        /// Address of the incoming webhook; whoever has it can write.
        url: Secret,
    },
    /// A workflow of Microsoft Teams that takes adaptive cards.
    Teams {
        /// Address of the workflow; whoever has it can write.
        url: Secret,
    },
    /// Another program.
    Webhook {
        /// Its address.
        url: Secret,
        /// With which requests are signed.
        secret: Secret,
    },
}

impl Channel {
    /// Sends a message. `delivery` names it: the same name means the same message.
    ///
    /// # Errors
    ///
    /// `request_refused` for an address in a private network, `connection_failed`,
    /// `connection_timeout` and `connection_refused` as the other side behaves, `setting_invalid`
    /// for an address that is none.
    pub async fn send(
        &self,
        message: &Message,
        delivery: &str,
        now_us: i64,
        private: PrivateTargets,
    ) -> Result<()> {
        let sending = self.send_however_long(message, delivery, now_us, private);
        within(SEND_TIMEOUT, sending).await
    }

    async fn send_however_long(
        &self,
        message: &Message,
        delivery: &str,
        now_us: i64,
        private: PrivateTargets,
    ) -> Result<()> {
        match self {
            Self::Email(email) => email.send(message, delivery, private).await,
            Self::Slack { url } => http::post_json(url, &chat::slack(message), private).await,
            Self::Teams { url } => http::post_json(url, &chat::teams(message), private).await,
            Self::Webhook { url, secret } => {
                webhook::send(url, secret, message, delivery, now_us, private).await
            }
        }
    }
}

/// Libraries bound single steps, of which another side can make as many as it likes.
async fn within(limit: Duration, sending: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(limit, sending).await.unwrap_or_else(|_| {
        let message = "the channel has not taken the message in time";
        Err(Problem::new(&codes::CONNECTION_TIMEOUT, message).arg("seconds", limit.as_secs()))
    })
}
