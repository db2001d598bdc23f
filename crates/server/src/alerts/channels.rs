//! Channels between the API, the database and what sends.

use crate::app::App;
use crate::identity::people::checked_name;
use crate::identity::seal::{Row, Sealed};
use api::alerts::{Channel as Shown, ChannelSettings, MailEncryption, MessageLanguage, PutChannel};
use model::{Problem, Result, Secret, codes};
use monitor::channels::{Channel, Email, Encryption, Language, host_of};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{AlertChannel, AlertChannelId, NewAlertChannel, WorkspaceId};

/// The kind of row that secrets of channels are sealed for.
pub(crate) const KIND: &str = "alert_channel";
/// A shorter one can be guessed.
const SECRET_CHARACTERS_MIN: usize = 16;
const RECIPIENTS_MAX: usize = 50;

/// What the database shows of a channel.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    language: MessageLanguage,
    host: String,
    settings: ChannelSettings,
}

/// What the database keeps sealed. No type of ours writes a secret, so this one is made by hand.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Secrets {
    url: Option<Secret>,
    password: Option<Secret>,
    secret: Option<Secret>,
}

impl Secrets {
    fn of(settings: &ChannelSettings) -> Self {
        let none = Self::default();
        match settings.clone() {
            ChannelSettings::Email { password, .. } => Self { password, ..none },
            ChannelSettings::Slack { url } | ChannelSettings::Teams { url } => Self { url, ..none },
            ChannelSettings::Webhook { url, secret } => Self { url, secret, ..none },
        }
    }

    fn to_text(&self) -> Secret {
        let text =
            |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
        let all = json!({
            "url": text(&self.url),
            "password": text(&self.password),
            "secret": text(&self.secret),
        });
        Secret::new(all.to_string())
    }

    fn open(app: &App, row: &AlertChannel) -> Result<Self> {
        let place = seal_row(&row.workspace_id, &row.id);
        let text = app.seals.open(&place, &Sealed::parse(&row.sealed)?)?;
        serde_json::from_str(text.reveal()).map_err(|_| damaged(row))
    }
}

/// What the secrets of a channel are bound to.
fn seal_row<'a>(workspace: &'a WorkspaceId, id: &'a AlertChannelId) -> Row<'a> {
    Row { workspace: workspace.as_str(), kind: KIND, name: id.as_str() }
}

fn damaged(row: &AlertChannel) -> Problem {
    Problem::new(&codes::INTERNAL, format!("the channel `{}` cannot be read", row.id))
}

fn kept(row: &AlertChannel) -> Result<Kept> {
    serde_json::from_value(row.settings.0.clone()).map_err(|error| damaged(row).detail(error))
}

/// What kind of channel it is, for metrics.
pub(crate) fn kind(row: &AlertChannel) -> &'static str {
    match kept(row) {
        Ok(Kept { settings: ChannelSettings::Email { .. }, .. }) => "email",
        Ok(Kept { settings: ChannelSettings::Slack { .. }, .. }) => "slack",
        Ok(Kept { settings: ChannelSettings::Teams { .. }, .. }) => "teams",
        Ok(Kept { settings: ChannelSettings::Webhook { .. }, .. }) => "webhook",
        Err(_) => "unreadable",
    }
}

/// A channel as the API shows it.
pub(crate) fn shown(row: &AlertChannel) -> Result<Shown> {
    let Kept { language, host, settings } = kept(row)?;
    let problem = row.problem.as_ref().map(|stored| crate::refusal::stored_body(&stored.0));
    Ok(Shown {
        id: row.id.to_string(),
        name: row.name.clone(),
        language,
        host,
        settings,
        sent_at_us: row.sent_at_us,
        problem,
    })
}

/// A channel that can send, and its language.
pub(crate) fn open(app: &App, row: &AlertChannel) -> Result<(Channel, Language)> {
    let Kept { language, settings, .. } = kept(row)?;
    let channel = channel(&settings, Secrets::open(app, row)?)?;
    let language = match language {
        MessageLanguage::English => Language::English,
        MessageLanguage::French => Language::French,
    };
    Ok((channel, language))
}

/// The row of a new channel.
pub(crate) fn new(
    app: &App,
    workspace: &WorkspaceId,
    id: &AlertChannelId,
    put: PutChannel,
) -> Result<NewAlertChannel> {
    let secrets = Secrets::of(&put.settings);
    row(app, workspace, id, put, secrets)
}

/// The row of a channel that takes the place of `old`. Secrets that are not given stay, unless they
/// would go to another place than before.
pub(crate) fn changed(app: &App, old: &AlertChannel, put: PutChannel) -> Result<NewAlertChannel> {
    let stored = Secrets::open(app, old)?;
    let mut secrets = Secrets::of(&put.settings);
    match (&kept(old)?.settings, &put.settings) {
        (before @ ChannelSettings::Email { .. }, after @ ChannelSettings::Email { user, .. })
            if same_server(before, after) && user.is_some() =>
        {
            secrets.password = secrets.password.or(stored.password);
        }
        (ChannelSettings::Slack { .. }, ChannelSettings::Slack { .. })
        | (ChannelSettings::Teams { .. }, ChannelSettings::Teams { .. }) => {
            secrets.url = secrets.url.or(stored.url);
        }
        (ChannelSettings::Webhook { .. }, ChannelSettings::Webhook { .. })
            if secrets.url.is_none() || secrets.url == stored.url =>
        {
            secrets = Secrets {
                url: stored.url,
                secret: secrets.secret.or(stored.secret),
                ..Secrets::default()
            };
        }
        _ => {}
    }
    row(app, &old.workspace_id, &old.id, put, secrets)
}

fn same_server(before: &ChannelSettings, after: &ChannelSettings) -> bool {
    let server = |settings: &ChannelSettings| match settings {
        ChannelSettings::Email { host, port, encryption, authority, user, .. } => {
            Some((host.clone(), *port, *encryption, authority.clone(), user.clone()))
        }
        _ => None,
    };
    server(before) == server(after)
}

fn row(
    app: &App,
    workspace: &WorkspaceId,
    id: &AlertChannelId,
    put: PutChannel,
    secrets: Secrets,
) -> Result<NewAlertChannel> {
    let name = checked_name(&put.name, "/name")?;
    let host = match channel(&put.settings, secrets.clone())? {
        Channel::Email(email) => {
            check_email(&email)?;
            email.host
        }
        Channel::Slack { url } | Channel::Teams { url } => host_of(&url)?,
        Channel::Webhook { url, secret } => {
            check_length(&secret)?;
            host_of(&url)?
        }
    };
    let kept = Kept { language: put.language, host, settings: put.settings };
    let settings = serde_json::to_value(&kept)
        .map_err(|error| Problem::new(&codes::INTERNAL, "settings are not JSON").detail(error))?;
    let sealed = app.seals.seal(&seal_row(workspace, id), &secrets.to_text())?.to_text();
    Ok(NewAlertChannel { name, settings, sealed })
}

/// What sends, with everything that its kind needs.
fn channel(settings: &ChannelSettings, secrets: Secrets) -> Result<Channel> {
    let needed = |secret: Option<Secret>, name: &str| {
        secret.ok_or_else(|| {
            Problem::new(&codes::REQUEST_INVALID, format!("the channel needs `{name}`"))
                .in_setting(format!("/settings/{name}"))
                .hint("secrets have to be given again when a message would go to another place")
        })
    };
    Ok(match settings.clone() {
        ChannelSettings::Email { host, port, encryption, authority, user, from, to, .. } => {
            let sign_in = match user {
                Some(user) => Some((user, needed(secrets.password, "password")?)),
                None => None,
            };
            let encryption = match encryption {
                MailEncryption::Tls => Encryption::Tls,
                MailEncryption::StartTls => Encryption::StartTls,
                MailEncryption::None => Encryption::None,
            };
            Channel::Email(Email { host, port, encryption, authority, sign_in, from, to })
        }
        ChannelSettings::Slack { .. } => Channel::Slack { url: needed(secrets.url, "url")? },
        ChannelSettings::Teams { .. } => Channel::Teams { url: needed(secrets.url, "url")? },
        ChannelSettings::Webhook { .. } => Channel::Webhook {
            url: needed(secrets.url, "url")?,
            secret: needed(secrets.secret, "secret")?,
        },
    })
}

fn check_email(email: &Email) -> Result<()> {
    if !(1..=RECIPIENTS_MAX).contains(&email.to.len()) {
        let message = format!("a channel writes to 1 to {RECIPIENTS_MAX} addresses");
        return Err(Problem::new(&codes::SETTING_INVALID, message)
            .in_setting("/settings/to")
            .hint("give the addresses in `to`, or make a second channel"));
    }
    email.check()
}

fn check_length(secret: &Secret) -> Result<()> {
    if secret.reveal().chars().count() >= SECRET_CHARACTERS_MIN {
        return Ok(());
    }
    let message = format!("the secret has less than {SECRET_CHARACTERS_MIN} characters");
    Err(Problem::new(&codes::SETTING_INVALID, message)
        .in_setting("/settings/secret")
        .hint("make one with: openssl rand -hex 32"))
}
