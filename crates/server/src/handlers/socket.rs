//! The WebSocket of a workspace: what changes, as it changes.
//!
//! What is told is read from the database; the server only says when to look. So a client that
//! comes back with the number it was told last misses nothing, or hears that it has to read the
//! list again. A client that reads slowly is told less often, never a wrong thing.

use super::live::Follower;
use super::runs::shown;
use crate::access::Access;
use crate::input::Socket;
use crate::refusal;
use crate::route::Route;
use api::live::{ClientWord, ServerWord};
use api::permission::RunRead;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::http::Method;
use axum::response::Response;
use futures::FutureExt;
use futures::future::select_all;
use model::{Problem, Result, codes};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a client says is no longer than this, in bytes.
const WORD_BYTES_MAX: usize = 4 << 10;
/// Runs that one client follows at most.
const RUNS_MAX: usize = 20;
/// Without news the database is looked at so often: another server may lead.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A connection ends after so long, and its client comes back with what it has: then it is looked
/// once more whether it may.
const CONNECTION_LIVES: Duration = Duration::from_secs(60);

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/api/v1/workspaces/{workspace}/live",
        "A WebSocket over which one hears what changes: runs, what happens in them, notifications. \
         Both sides say JSON: `ClientWord`, `ServerWord`. It closes after a minute; come back with \
         the last number.",
        open,
    )]
}

async fn open(access: Access<RunRead>, socket: Socket) -> Result<Response> {
    check_origin(socket.origin.as_deref(), &access.app.hosts)?;
    let upgrade = socket.upgrade.max_message_size(WORD_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        if let Err(problem) = Talk::new(access).hold(socket).await {
            tracing::debug!(%problem, "a live connection breaks off");
        }
    }))
}

/// Browsers let any page open a WebSocket to us with our cookie, and say which page it was.
fn check_origin(origin: Option<&str>, hosts: &[String]) -> Result<()> {
    let Some(origin) = origin else { return Ok(()) };
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    if hosts.iter().any(|ours| ours == host) {
        return Ok(());
    }
    Err(Problem::new(&codes::REQUEST_REFUSED, "the page that asks is not ours")
        .arg("origin", origin)
        .hint("open the server by one of its own names"))
}

/// A client and what it follows.
struct Talk {
    access: Access<RunRead>,
    changes: watch::Receiver<u64>,
    /// The number of the last change that the client knows, if it follows all runs.
    runs_after: Option<u64>,
    followed: BTreeMap<String, Follower>,
    /// The number of unread notifications that was told last, if the client wants to know.
    unread: Option<Option<u64>>,
}

impl Talk {
    fn new(access: Access<RunRead>) -> Self {
        let changes = access.app.live.watch_changes();
        Self { access, changes, runs_after: None, followed: BTreeMap::new(), unread: None }
    }

    async fn hold(mut self, mut socket: WebSocket) -> Result<()> {
        let ends_at = Instant::now() + CONNECTION_LIVES;
        loop {
            self.mark_seen();
            for word in self.look().await? {
                if !say(&mut socket, &word).await {
                    return Ok(());
                }
            }
            let left = ends_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let reason = "come back with the last number".into();
                let frame = CloseFrame { code: close_code::NORMAL, reason };
                let _ = socket.send(Message::Close(Some(frame))).await;
                return Ok(());
            }
            tokio::select! {
                heard = socket.recv() => match heard {
                    Some(Ok(Message::Text(text))) => {
                        let refused = self.hear(text.as_str()).await.err();
                        if let Some(problem) = refused
                            && !say(&mut socket, &refusal_word(&problem)).await
                        {
                            return Ok(());
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                    Some(Ok(_)) => {}
                },
                () = self.news() => {}
                () = tokio::time::sleep(LOOK_EVERY.min(left)) => {}
            }
        }
    }

    /// What happens from now on is news.
    fn mark_seen(&mut self) {
        self.changes.mark_unchanged();
        for follower in self.followed.values_mut() {
            follower.now.mark_unchanged();
        }
    }

    /// Waits until there may be something new.
    async fn news(&mut self) {
        let runs = self.runs_after.is_some();
        let mut waiting = vec![
            async {
                match runs {
                    true => drop(self.changes.changed().await),
                    false => std::future::pending().await,
                }
            }
            .boxed(),
        ];
        waiting.extend(
            self.followed.values_mut().map(|one| async { drop(one.now.changed().await) }.boxed()),
        );
        select_all(waiting).await;
    }

    async fn hear(&mut self, text: &str) -> Result<()> {
        let word: ClientWord = serde_json::from_str(text).map_err(|error| {
            Problem::new(&codes::REQUEST_INVALID, "that is nothing one can say here").detail(error)
        })?;
        match word {
            ClientWord::FollowRuns { after } => {
                let latest = *self.changes.borrow();
                self.runs_after = Some(after.unwrap_or(latest));
            }
            ClientWord::FollowRun { run, after } => {
                if self.followed.len() >= RUNS_MAX {
                    let fact = format!("{RUNS_MAX} runs are followed already");
                    return Err(
                        Problem::new(&codes::REQUEST_REFUSED, fact).hint("leave one of them first")
                    );
                }
                let Access { app, workspace, .. } = &self.access;
                let follower = Follower::new(app, workspace, &run, after).await?;
                self.followed.insert(run, follower);
            }
            ClientWord::FollowNotifications => self.unread = Some(None),
            ClientWord::LeaveRun { run } => drop(self.followed.remove(&run)),
        }
        Ok(())
    }

    /// Reads what is new for this client.
    async fn look(&mut self) -> Result<Vec<ServerWord>> {
        let mut words = Vec::new();
        if let Some(after) = self.runs_after {
            words.extend(self.look_at_runs(after).await?);
        }
        for (run, follower) in &mut self.followed {
            follower.look().await?;
            words.extend(follower.ready.drain(..).map(|(line, event)| ServerWord::Run {
                run: run.clone(),
                line,
                event: Box::new(event),
            }));
        }
        self.followed.retain(|_, follower| !follower.is_over);
        if let Some(told) = self.unread {
            let user = &self.access.caller.user.id;
            let unread = self.access.workspace.notifications().unread(user).await?;
            if told != Some(unread) {
                words.push(ServerWord::Notifications { unread });
                self.unread = Some(Some(unread));
            }
        }
        Ok(words)
    }

    async fn look_at_runs(&mut self, after: u64) -> Result<Option<ServerWord>> {
        let Access { app, workspace, .. } = &self.access;
        let since = app.live.since(workspace.id(), after);
        self.runs_after = Some(since.number);
        let Some(changed) = since.runs else {
            let (number, runs) = (since.number, Vec::new());
            return Ok(Some(ServerWord::Runs { number, runs, missed: true }));
        };
        let mut runs = Vec::with_capacity(changed.len());
        for run in &changed {
            match workspace.runs().get(run).await {
                Ok(run) => runs.push(shown(run)),
                Err(problem) if problem.is(&codes::RUN_NOT_FOUND) => {}
                Err(problem) => return Err(problem),
            }
        }
        let is_silent = runs.is_empty();
        let word = ServerWord::Runs { number: since.number, runs, missed: false };
        Ok((!is_silent).then_some(word))
    }
}

fn refusal_word(problem: &Problem) -> ServerWord {
    ServerWord::Refused { problem: refusal::body(problem) }
}

/// False when nobody listens any more.
async fn say(socket: &mut WebSocket, word: &ServerWord) -> bool {
    let Ok(text) = serde_json::to_string(word) else { return false };
    socket.send(Message::Text(text.into())).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_are_refused() {
        let hosts = ["data.example.org".to_owned(), "localhost:7878".to_owned()];
        for origin in [None, Some("https://data.example.org"), Some("http://localhost:7878")] {
            check_origin(origin, &hosts).unwrap();
        }
        for origin in ["https://evil.example.org", "null", "https://data.example.org.evil.org"] {
            check_origin(Some(origin), &hosts).unwrap_err();
        }
    }
}
