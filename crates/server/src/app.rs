//! What every handler works with.

use crate::identity::master_key::MasterKey;
use crate::identity::password::Passwords;
use crate::identity::throttle::Throttle;
use crate::identity::token::AccessTokens;
use crate::runs::{Live, Runner};
use model::{Result, Secret};
use std::sync::Arc;
use stdx::clock::Clock;
use store::Store;
use tokio::sync::Notify;

/// How a server is set up.
pub struct Settings {
    /// Host names, with their port where it is not the usual one, that requests may name.
    pub hosts: Vec<String>,
    /// Whether a proxy stands in front, so that `X-Forwarded-For` says who asks.
    pub behind_proxy: bool,
    /// From which the keys of the server are made.
    pub master_key: MasterKey,
    /// Opens the first session of a server that one person has for themself.
    pub link_token: Option<Secret>,
    /// Does the runs.
    pub runner: Arc<dyn Runner>,
    /// Runs at work at the same time.
    pub runs_at_once: usize,
}

/// What every handler works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) access_tokens: Arc<AccessTokens>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) hosts: Arc<[String]>,
    pub(crate) behind_proxy: bool,
    pub(crate) link_token: Option<Secret>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) runs_at_once: usize,
    pub(crate) live: Arc<Live>,
    /// Told when there may be a run to give out.
    pub(crate) wake: Arc<Notify>,
}

impl App {
    /// Over a metadata database.
    pub fn new(store: Store, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self> {
        let key = settings.master_key.derive("access tokens");
        Ok(Self {
            store,
            clock,
            passwords: Arc::new(Passwords::new()?),
            access_tokens: Arc::new(AccessTokens::new(&key)),
            throttle: Arc::default(),
            hosts: settings.hosts.into(),
            behind_proxy: settings.behind_proxy,
            link_token: settings.link_token,
            runner: settings.runner,
            runs_at_once: settings.runs_at_once.max(1),
            live: Arc::default(),
            wake: Arc::default(),
        })
    }

    /// The current time, µs since the epoch.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}
