//! Who is told what: channels, rules, the inbox.

use crate::problem::ProblemBody;
use model::Secret;
use model::notice::NoticeKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Of one pipeline a rule sends at most one message in so many seconds, unless it says so.
pub const WINDOW_SECONDS_DEFAULT: u32 = 300;
/// No window is longer than a day.
pub const WINDOW_SECONDS_MAX: u32 = 86_400;

/// A language that messages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageLanguage {
    /// English.
    #[default]
    English,
    /// French.
    French,
}

/// How the line to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailEncryption {
    /// From the beginning, mostly on port 465.
    Tls,
    /// After a first exchange, mostly on port 587; without it nothing is sent.
    #[default]
    StartTls,
    /// Not at all, where the server's settings allow it.
    None,
}

/// Where messages go. Secrets are written and never read: a request without them leaves those that
/// are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelSettings {
    /// Mail.
    Email {
        /// Name of the mail server.
        host: String,
        /// Its port.
        port: u16,
        /// How the line is encrypted.
        #[serde(default)]
        encryption: MailEncryption,
        /// A certificate in PEM that the server's is signed with, when it is not a public one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
        /// With which name one signs in there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// With which password.
        #[serde(default, skip_serializing)]
        #[schema(value_type = Option<String>, format = Password, write_only)]
        password: Option<Secret>,
        /// Who writes: `data@example.org` or `Data team <data@example.org>`.
        from: String,
        /// Who is written to.
        to: Vec<String>,
    },
    /// A chat that takes what Slack takes: Mattermost and Rocket.Chat do.
    Slack {
        /// Address of the incoming webhook.
        #[serde(default, skip_serializing)]
        #[schema(value_type = Option<String>, format = Password, write_only)]
        url: Option<Secret>,
    },
    /// A workflow of Microsoft Teams.
    Teams {
        /// Address of the workflow.
        #[serde(default, skip_serializing)]
        #[schema(value_type = Option<String>, format = Password, write_only)]
        url: Option<Secret>,
    },
    /// Another program, which gets signed requests.
    Webhook {
        /// Its address.
        #[serde(default, skip_serializing)]
        #[schema(value_type = Option<String>, format = Password, write_only)]
        url: Option<Secret>,
        /// With which requests are signed: at least 16 characters.
        #[serde(default, skip_serializing)]
        #[schema(value_type = Option<String>, format = Password, write_only)]
        secret: Option<Secret>,
    },
}

/// Makes a channel, or puts another content in the place of the one that is there.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutChannel {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// In which language it is written to.
    #[serde(default)]
    pub language: MessageLanguage,
    /// Where messages go.
    pub settings: ChannelSettings,
}

/// A way in which people are told of something.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// In which language it is written to.
    pub language: MessageLanguage,
    /// The host that it writes to.
    pub host: String,
    /// Where messages go, without secrets.
    pub settings: ChannelSettings,
    /// When the last message got through, µs since 1970, UTC.
    pub sent_at_us: Option<i64>,
    /// Why the last message did not.
    pub problem: Option<ProblemBody>,
}

/// Channels, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Channels {
    /// The channels.
    pub items: Vec<Channel>,
}

/// A channel by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ChannelPath {
    /// Id of the channel.
    pub channel: String,
}

/// Makes a rule, or puts another content in the place of the one that is there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRule {
    /// What people call it; unique in the workspace.
    pub name: String,
    /// Whether it is followed.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// Of which pipelines; of all when there are none.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Of which news: `run_failed`, `run_recovered`, `run_succeeded`, `run_late`, `check_failed`,
    /// `schema_changed`.
    #[schema(value_type = Vec<String>)]
    pub events: Vec<NoticeKind>,
    /// Ids of the channels that messages go through.
    pub channels: Vec<String>,
    /// Of one pipeline at most one message in so many seconds; the next one says how many were
    /// held back. 0 for no limit.
    #[serde(default = "window_seconds_default")]
    pub window_seconds: u32,
}

fn yes() -> bool {
    true
}

fn window_seconds_default() -> u32 {
    WINDOW_SECONDS_DEFAULT
}

/// What is told through which channels.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// The rule.
    #[serde(flatten)]
    pub rule: PutRule,
}

/// Alert rules, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rules {
    /// The rules.
    pub items: Vec<Rule>,
}

/// An alert rule by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RulePath {
    /// Id of the rule.
    pub rule: String,
}

/// Which notifications.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InboxQuery {
    /// Only those that are not read.
    pub unread: Option<bool>,
    /// How many items at most: 50 unless given, no more than 500.
    pub limit: Option<u64>,
    /// What the page before gave as `next`.
    pub after: Option<String>,
}

/// Something that one was told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Notification {
    /// Its id.
    pub id: String,
    /// `pipeline_failed`, `pipeline_succeeded`, `alert`, `warning` or `info`.
    pub kind: String,
    /// A few words.
    pub title: String,
    /// A sentence or two.
    pub message: String,
    /// What it is about, such as `run/01J…`.
    pub resource: Option<String>,
    /// µs since 1970, UTC.
    pub created_at_us: i64,
    /// When it was read.
    pub read_at_us: Option<i64>,
}

/// A page of one's inbox, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InboxPage {
    /// The notifications.
    pub items: Vec<Notification>,
    /// What to send as `after` for the next page; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many are not read, on all pages.
    pub unread: u64,
}

/// A notification by id.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct NotificationPath {
    /// Id of the notification.
    pub notification: String,
}
