//! Alerts: news of pipelines on their way to people.
//!
//! What has happened is announced in the database, together with what it is about. From there
//! [`deliver_alerts`] takes it: rules are held against it, inboxes are filled, messages are sent
//! and sent again until their channel takes them. Several servers may do so at once.

pub(crate) mod channels;

use crate::app::App;
use futures::StreamExt;
use futures::stream;
use model::notice::{Notice, NoticeKind};
use model::{Name, Problem, Result, Role};
use monitor::channels::{Language, Message, Place, PrivateTargets};
use monitor::metrics::AlertOutcome;
use std::time::Duration;
use stdx::hash::Random;
use stdx::retry::Backoff;
use store::{Delivery, NewNotification, NotificationKind, Sent};
use tokio::sync::{Notify, watch};

/// Without news it is looked so often whether there are any.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// News and messages that are taken at once.
const TAKEN_MAX: u64 = 100;
/// Messages on their way at the same time.
const SENDING_MAX: usize = 8;
/// Whoever has taken messages and dies is followed after this time. Within it all that were taken
/// are sent, each in its time limit.
const CLAIM_US: i64 = 600_000_000;
/// Attempts reach over about four hours: a mail server may be away for a while.
const BACKOFF: Backoff =
    Backoff { attempts_max: 12, first: Duration::from_secs(10), cap: Duration::from_secs(3_600) };

/// How alerts are sent.
#[derive(Debug, Clone, Default)]
pub struct AlertSettings {
    /// Where people reach the server, for links: `https://data.example.org`; empty for no links.
    pub base_url: String,
    /// Whether messages may go to this machine and to private networks.
    pub private_targets: PrivateTargets,
}

/// What is needed to send alerts.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    pub(crate) settings: AlertSettings,
    wake: Notify,
}

impl Alerts {
    pub(crate) fn new(settings: AlertSettings) -> Self {
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        Self { settings: AlertSettings { base_url, ..settings }, wake: Notify::new() }
    }

    /// Says that there may be news.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Works until `stop` says so; messages on their way are then sent once more by the next server.
pub async fn deliver_alerts(app: App, mut stop: watch::Receiver<bool>) {
    let mut random = Random::new(app.now_us().unsigned_abs());
    loop {
        let worked = tokio::select! {
            worked = work(&app, &mut random) => worked,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match worked {
            Ok(0) => {}
            Ok(_) => continue,
            Err(problem) => tracing::error!(%problem, "alerts cannot be told; trying again"),
        }
        tokio::select! {
            () = app.alerts.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Tells what there is to tell now, and says how much that was.
pub(crate) async fn work(app: &App, random: &mut Random) -> Result<u64> {
    let now_us = app.now_us();
    let expanded = app.store.alerts().expand(TAKEN_MAX, wording, now_us).await?;
    let taken = app.store.alerts().claim(TAKEN_MAX, now_us + CLAIM_US, now_us).await?;
    let count = expanded + taken.len() as u64;
    let sending = taken.into_iter().map(|delivery| async move {
        let outcome = send(app, &delivery).await;
        (delivery, outcome)
    });
    let mut sent = stream::iter(sending).buffer_unordered(SENDING_MAX);
    while let Some((delivery, outcome)) = sent.next().await {
        settle(app, &delivery, outcome, random).await?;
    }
    Ok(count)
}

async fn send(app: &App, delivery: &Delivery) -> Result<()> {
    let (channel, language) = channels::open(app, &delivery.channel)?;
    let workspace = app.store.workspace(&delivery.workspace).get().await?;
    let place = place(app, &workspace.slug);
    let message = Message::new(&delivery.notice, delivery.more, &place, language);
    let id = delivery.id.to_string();
    channel.send(&message, &id, app.now_us(), app.alerts.settings.private_targets).await
}

/// Where notices of a workspace come from.
pub(crate) fn place(app: &App, workspace: &str) -> Place {
    Place { workspace: workspace.to_owned(), base_url: app.alerts.settings.base_url.clone() }
}

async fn settle(
    app: &App,
    delivery: &Delivery,
    outcome: Result<()>,
    random: &mut Random,
) -> Result<()> {
    let now_us = app.now_us();
    let gives_up = delivery.attempts >= BACKOFF.attempts_max;
    monitor::metrics::alert(channels::kind(&delivery.channel), metric(&outcome, gives_up));
    let sent = match outcome {
        Ok(()) => Sent::Done,
        Err(problem) if gives_up => {
            warn_admins(app, delivery, &problem).await?;
            Sent::GivenUp(problem.to_stored())
        }
        Err(problem) => {
            let wait = BACKOFF.wait(delivery.attempts, random);
            let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
            Sent::Again(problem.to_stored(), now_us.saturating_add(wait_us))
        }
    };
    app.store.alerts().settle(delivery, sent, now_us).await
}

fn metric(outcome: &Result<()>, gives_up: bool) -> AlertOutcome {
    match (outcome, gives_up) {
        (Ok(()), _) => AlertOutcome::Sent,
        (Err(_), false) => AlertOutcome::Failed,
        (Err(_), true) => AlertOutcome::GivenUp,
    }
}

/// Nobody hears anything through this channel: those who can mend it are told where they are.
async fn warn_admins(app: &App, delivery: &Delivery, problem: &Problem) -> Result<()> {
    let name = &delivery.channel.name;
    tracing::warn!(channel = %delivery.channel.id, %problem, "a message was given up");
    let workspace = app.store.workspace(&delivery.workspace);
    let members = workspace.members().list().await?;
    let admins = members.into_iter().filter(|member| member.role >= Role::Admin);
    let admins: Vec<_> = admins.map(|member| member.user.id).collect();
    let warning = NewNotification {
        kind: NotificationKind::Warning,
        title: format!("channel {name} does not work"),
        message: format!("A message was given up after {} attempts: {problem}.", delivery.attempts),
        resource: Some(format!("channel/{}", delivery.channel.id)),
    };
    workspace.notifications().send(&admins, warning, app.now_us()).await
}

/// How news are put in inboxes.
fn wording(notice: &Notice) -> NewNotification {
    let kind = match notice.kind() {
        NoticeKind::RunFailed => NotificationKind::PipelineFailed,
        NoticeKind::RunRecovered | NoticeKind::RunSucceeded => NotificationKind::PipelineSucceeded,
        NoticeKind::CheckFailed => NotificationKind::Alert,
        NoticeKind::RunLate | NoticeKind::SchemaChanged => NotificationKind::Warning,
        NoticeKind::Test => NotificationKind::Info,
    };
    let (title, message) = Message::headline(notice, Language::English);
    let run = notice.run().map(|run| format!("run/{run}"));
    let pipeline = |name: &Name| format!("pipeline/{name}");
    let resource = run.or_else(|| notice.pipeline().map(pipeline));
    NewNotification { kind, title, message, resource }
}
