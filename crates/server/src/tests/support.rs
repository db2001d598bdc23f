//! A server without a port, and requests to it.

use super::puppet::Puppet;
use super::puppet_desk::PuppetDesk;
use crate::identity::cookie;
use crate::identity::token::{fingerprint, random};
use crate::{AlertSettings, App, MasterKey, Place, Settings};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use model::{Name, Role, Secret};
use monitor::channels::PrivateTargets;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use stdx::clock::ManualClock;
use store::{
    Address, FirstOwner, NewSession, NewUser, NewWorkspace, SessionKind, Store, User, UserId,
    WorkspaceId,
};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub(super) const NOW: i64 = 1_800_000_000_000_000;
pub(super) const SECOND: i64 = 1_000_000;
pub(super) const HOST: &str = "data.example.org";
pub(super) const PASSWORD: &str = "rivers meet in autumn";
const DAY: i64 = 24 * 60 * 60 * SECOND;
/// Opens `/metrics`.
pub(super) const METRICS_TOKEN: &str = "for Prometheus alone";
const SET_UP_TOKEN: &str = "the one-time token";

/// A server that has just been started, without anybody.
pub(super) struct Server {
    pub(super) app: App,
    pub(super) puppet: Puppet,
    pub(super) desk: PuppetDesk,
    pub(super) clock: ManualClock,
    router: Router,
    pub(super) folder: TempDir,
    _postgres: Option<Postgres>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The session's token that the answer gives a browser.
    pub(super) fn cookie(&self) -> String {
        let value = self.headers[header::SET_COOKIE].to_str().unwrap();
        value.split(';').next().unwrap().to_owned()
    }
}

impl Server {
    /// Over SQLite.
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Sqlite(folder.path().join("metadata.db"));
        Self::over(address, folder, None).await
    }

    /// Over PostgreSQL, unless there is none.
    pub(super) async fn on_postgres() -> Option<Self> {
        let postgres = Postgres::start()?;
        let address = Address::Postgres(Secret::new(postgres.url()));
        Some(Self::over(address, tempfile::tempdir().unwrap(), Some(postgres)).await)
    }

    async fn over(address: Address, folder: TempDir, postgres: Option<Postgres>) -> Self {
        let store = Store::open(&address).await.unwrap();
        let clock = ManualClock::at(NOW);
        let (puppet, desk) = (Puppet::default(), PuppetDesk::default());
        let project = folder.path().join("project");
        let settings = Settings {
            hosts: vec![HOST.to_owned()],
            behind_proxy: false,
            master_key: MasterKey::open(&folder.path().join("master.key")).unwrap(),
            link_token: Some(Secret::new("the token of the link")),
            desk: Arc::new(desk.clone()),
            results: folder.path().join("results"),
            place: Some(Place {
                workspace: Name::new("shop").unwrap(),
                folder: project,
                memory: folder.path().join("mirror.json"),
            }),
            project: folder.path().join("project"),
            connector: Arc::new(puppet.clone()),
            alerts: AlertSettings {
                base_url: "https://data.example.org/".to_owned(),
                private_targets: PrivateTargets::Allowed,
            },
            metrics_token: Some(Secret::new(METRICS_TOKEN)),
            runner: Arc::new(puppet.clone()),
            runs_at_once: 2,
        };
        let app = App::new(store, Arc::new(clock.clone()), settings).unwrap();
        let router = crate::router(app.clone());
        Self { app, puppet, desk, clock, router, folder, _postgres: postgres }
    }

    /// Leads until what it gives is dropped.
    pub(super) async fn dispatch(&self) -> AtWork {
        let (stop, stopped) = watch::channel(false);
        let work = tokio::spawn(crate::orchestrate(self.app.clone(), stopped));
        self.app.leads.subscribe().wait_for(|leads| *leads).await.unwrap();
        AtWork { work, stop }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let mut request = request;
        request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 1], 40_000)));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends JSON from a browser that is signed in with `cookie`, or from nobody.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        cookie: Option<&str>,
        body: Value,
    ) -> Answer {
        let mut request = to(method, path);
        if let Some(cookie) = cookie {
            request =
                request.header(header::COOKIE, cookie).header("sec-fetch-site", "same-origin");
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str, cookie: Option<&str>) -> Answer {
        let mut request = to(Method::GET, path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends a request of a program with a token or key.
    pub(super) async fn bearer(&self, method: Method, path: &str, token: &str) -> Answer {
        let request = to(method, path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The owner of the installation, `owner@example.org`, and the workspace `shop`.
    pub(super) async fn set_up(&self) -> (User, WorkspaceId) {
        let installation = self.app.store.installation();
        let token = fingerprint(&Secret::new(SET_UP_TOKEN));
        installation.create_set_up_token(&token, NOW + DAY, NOW).await.unwrap();
        let workspace = NewWorkspace { slug: Name::new("shop").unwrap(), title: "Shop".to_owned() };
        let user = self.new_user("owner@example.org").await;
        let first = FirstOwner { user, workspace };
        let (user, workspace) = installation.complete_set_up(&token, first, NOW).await.unwrap();
        (user, workspace.id)
    }

    async fn new_user(&self, email: &str) -> NewUser {
        let password_hash = Some(self.app.passwords.hash(&Secret::new(PASSWORD)).await.unwrap());
        NewUser { email: email.to_owned(), name: email.to_owned(), password_hash }
    }

    pub(super) async fn user(&self, email: &str) -> User {
        self.app.store.users().create(self.new_user(email).await, NOW).await.unwrap()
    }

    pub(super) async fn member(&self, workspace: &WorkspaceId, role: Role) -> User {
        let user = self.user(&format!("{role}@shop.example.org")).await;
        let members = self.app.store.workspace(workspace).members();
        members.add(&user.id, role, NOW).await.unwrap();
        user
    }

    /// A new session of a user; gives its cookie.
    pub(super) async fn session(&self, user: &UserId) -> String {
        let token = random("").unwrap();
        let new = NewSession {
            token: fingerprint(&token),
            user: user.clone(),
            kind: SessionKind::Browser,
            expires_at_us: NOW + DAY,
            ip: None,
            user_agent: None,
        };
        self.app.store.sessions().begin(new, NOW).await.unwrap();
        let value = cookie::set(&token).unwrap();
        value.to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

/// A server that leads.
pub(super) struct AtWork {
    work: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl AtWork {
    /// Hands the lead on.
    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        (&mut self.work).await.unwrap();
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// A request to the server under its name.
pub(super) fn to(method: Method, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header(header::HOST, HOST)
}
