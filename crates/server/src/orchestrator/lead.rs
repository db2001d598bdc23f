//! Who leads, and for how long.

use super::leading::Leading;
use super::worker::Worker;
use super::{Letter, load};
use crate::app::App;
use model::{Problem, Result};
use scheduler::{LEADER_MARGIN_US, LEADER_RENEW_US, LEADER_TTL_US, LeaderRow, WorkerId};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stdx::hash::stable_hash;
use store::Leader;
use tokio::sync::{mpsc, watch};

/// A server that does not lead asks so often whether it may.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Messages to the worker that may wait. More are lost, and sent again after its next poll.
const MESSAGES_MAX: usize = 1_024;
/// After a refusal the state is read again, a moment later.
const PAUSE: Duration = Duration::from_millis(100);

/// The lead, as long as it can be relied upon.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    pub(super) epoch: i64,
    pub(super) holder: String,
    /// By how much the database's clock is ahead of ours, in µs.
    pub(super) ahead_us: i64,
    pub(super) trusted_until: Instant,
    /// Who led before, if that is known to be dead.
    pub(super) dead: Option<WorkerId>,
}

/// Leads as long as it may, and stands by otherwise, until `stop` says so. Runs at work are then
/// let go, and resumed by the next server.
pub async fn orchestrate(app: App, mut stop: watch::Receiver<bool>) {
    let mut letters = app.inbox.lock().await;
    let holder = holder();
    if let Err(problem) = publish_all(&app).await {
        tracing::error!(%problem, "the pipelines of a folder are those of before");
    }
    while !*stop.borrow() {
        match ask(&app, &holder).await {
            Ok(Some(lead)) => {
                tracing::info!(epoch = lead.epoch, "this server leads");
                keep_leading(&app, lead, &mut letters, &mut stop).await;
                app.leads.send_replace(false);
                monitor::metrics::leader(false);
                if let Err(problem) = app.store.orchestration().resign(&holder).await {
                    tracing::warn!(%problem, "the lead could not be handed on");
                }
            }
            Ok(None) => {}
            Err(problem) => tracing::error!(%problem, "the lead cannot be asked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
}

/// Reads the pipelines of the workspaces that have a folder.
async fn publish_all(app: &App) -> Result<()> {
    for workspace in app.store.workspaces().list().await? {
        super::republish(app, &workspace).await?;
    }
    Ok(())
}

async fn keep_leading(
    app: &App,
    mut lead: Lead,
    letters: &mut mpsc::Receiver<Letter>,
    stop: &mut watch::Receiver<bool>,
) {
    let me = worker_id(&lead.holder, lead.epoch);
    let (messages, inbox) = mpsc::channel(MESSAGES_MAX);
    let book = Arc::default();
    let worker = tokio::spawn(Worker::new(app.clone(), Arc::clone(&book), me).work(inbox));
    let mut unanswered = Vec::new();
    while !*stop.borrow() && Instant::now() < lead.trusted_until {
        let loaded = match load_state(app).await {
            Ok(loaded) => loaded,
            Err(problem) => {
                tracing::error!(%problem, "the state of the scheduler cannot be read");
                tokio::time::sleep(ASK_EVERY).await;
                if let Err(problem) = renew(app, &mut lead).await {
                    tracing::error!(%problem, "the lead cannot be renewed");
                }
                continue;
            }
        };
        let mut leading =
            Leading::new(app.clone(), lead.clone(), loaded, Arc::clone(&book), messages.clone());
        leading.take_back(std::mem::take(&mut unanswered));
        app.leads.send_replace(true);
        monitor::metrics::leader(true);
        let ended = leading.lead(letters, stop, me).await;
        (lead, unanswered) = leading.end();
        if let Err(problem) = ended {
            tracing::warn!(%problem, "the scheduler reads its state again");
            tokio::time::sleep(PAUSE).await;
        }
    }
    drop(messages);
    let _ = worker.await;
}

async fn load_state(app: &App) -> Result<load::Loaded> {
    let orchestration = app.store.orchestration();
    let loaded = load::load(orchestration.load().await?)?;
    super::leading::load_children(app, &loaded.book).await?;
    Ok(loaded)
}

/// Keeps the lead for longer. A lead that has ended in between, be it that a clock has jumped, is
/// another one.
pub(super) async fn renew(app: &App, lead: &mut Lead) -> Result<(), Problem> {
    match ask(app, &lead.holder).await? {
        Some(renewed) if renewed.epoch == lead.epoch => {
            lead.trusted_until = renewed.trusted_until;
            lead.ahead_us = renewed.ahead_us;
        }
        _ => lead.trusted_until = Instant::now(),
    }
    Ok(())
}

async fn ask(app: &App, holder: &str) -> Result<Option<Lead>> {
    let sent = Instant::now();
    let clock_us = app.now_us();
    let before = app.store.orchestration().leader().await?;
    let (leader, now_us) = app.store.orchestration().lead(holder, claim, clock_us).await?;
    if leader.holder != holder {
        return Ok(None);
    }
    let dead = before.filter(|before| before.holder != holder && is_dead(&before.holder));
    let trust_us = u64::try_from(LEADER_TTL_US - LEADER_MARGIN_US).unwrap_or(0);
    Ok(Some(Lead {
        epoch: leader.epoch,
        holder: leader.holder,
        ahead_us: now_us - clock_us,
        trusted_until: sent + Duration::from_micros(trust_us),
        dead: dead.map(|dead| worker_id(&dead.holder, dead.epoch)),
    }))
}

/// How often the lead is renewed.
pub(super) const RENEW_EVERY: Duration = Duration::from_micros(LEADER_RENEW_US.unsigned_abs());

fn claim(row: Option<Leader>, me: &str, now_us: i64) -> Option<Leader> {
    let number = |holder: &str| WorkerId(stable_hash(holder.as_bytes()));
    let there = row.as_ref().map(|row| LeaderRow {
        holder: number(&row.holder),
        epoch: u64::try_from(row.epoch).unwrap_or(0),
        // Whoever is dead leads no longer, whatever time its lease has left.
        expires_us: if row.holder != me && is_dead(&row.holder) { 0 } else { row.expires_us },
    });
    let new = LeaderRow::claim(there, number(me), now_us)?;
    let epoch = i64::try_from(new.epoch).unwrap_or(i64::MAX);
    Some(Leader { holder: me.to_owned(), epoch, expires_us: new.expires_us })
}

/// The worker inside of a server that leads.
fn worker_id(holder: &str, epoch: i64) -> WorkerId {
    WorkerId(stable_hash(format!("{holder}/{epoch}").as_bytes()))
}

/// This process, as others can tell whether it lives: the machine's boot, the process and when it
/// was started.
fn holder() -> String {
    let pid = std::process::id();
    let life = ulid();
    format!("{}/{pid}/{}/{life}", boot(), started(pid).unwrap_or_default())
}

fn ulid() -> String {
    model::run::RunId::generate(0).to_string()
}

/// Where the number of a process means a process: the boot of a machine, and in it the container.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let numbers = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", id.trim(), numbers.display())
}

/// When a process was started, in ticks since the boot; none when there is none.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; the start is the 20th field after it.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

/// Whether a holder is a process of this machine that is no more.
fn is_dead(holder: &str) -> bool {
    let parts: Vec<&str> = holder.split('/').collect();
    let [of_boot, pid, start, _] = parts.as_slice() else { return false };
    if of_boot.is_empty() || *of_boot != boot() {
        return false;
    }
    let now = pid.parse().ok().and_then(started);
    now.as_deref() != Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_is_not_dead_and_who_does_not_is() {
        let me = holder();
        assert!(!is_dead(&me));
        let other_start = me.replacen(&started(std::process::id()).unwrap(), "1", 1);
        assert!(is_dead(&other_start), "another process of this number");
        let far = me.replacen(&boot(), "another-machine", 1);
        assert!(!is_dead(&far), "of other machines nothing is known");
    }

    #[test]
    fn the_lead_of_the_dead_is_taken_over_at_once() {
        let dead = format!("{}/1/999/x", boot());
        let row = Leader { holder: dead, epoch: 4, expires_us: i64::MAX };
        let taken = claim(Some(row.clone()), "me", 10).unwrap();
        assert_eq!((taken.holder.as_str(), taken.epoch), ("me", 5));
        let far = Leader { holder: "elsewhere/1/999/x".to_owned(), ..row };
        assert_eq!(claim(Some(far), "me", 10), None);
    }
}
