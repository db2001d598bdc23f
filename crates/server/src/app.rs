//! What every handler works with.

use crate::alerts::{AlertSettings, Alerts};
use crate::auditing::Auditor;
use crate::connections::Connector;
use crate::desk::Desk;
use crate::identity::master_key::MasterKey;
use crate::identity::password::Passwords;
use crate::identity::seal::Seals;
use crate::identity::throttle::Throttle;
use crate::identity::token::AccessTokens;
use crate::mirror::{Mirror, Place};
use crate::orchestrator::{LETTERS_MAX, Letter, Progress};
use crate::publishing::Unpublished;
use crate::queries::Queries;
use crate::runs::{Live, Runner};
use crate::uploads::UploadFolder;
use model::{Result, Secret};
use std::path::PathBuf;
use std::sync::Arc;
use stdx::clock::Clock;
use store::Store;
use tokio::sync::{Mutex, mpsc, watch};

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
    /// Answers questions about data and documents.
    pub desk: Arc<dyn Desk>,
    /// Folder for results of queries; what is in it is removed.
    pub results: PathBuf,
    /// The folder that one workspace is kept in, if there is one.
    pub place: Option<Place>,
    /// The project's folder: files that people upload go below it.
    pub project: PathBuf,
    /// Looks behind connections.
    pub connector: Arc<dyn Connector>,
    /// How alerts are sent.
    pub alerts: AlertSettings,
    /// Opens `/metrics` to a program.
    pub metrics_token: Option<Secret>,
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
    pub(crate) auditor: Auditor,
    pub(crate) master_key: MasterKey,
    /// What the database keeps of secrets is sealed with these.
    pub(crate) seals: Arc<Seals>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) hosts: Arc<[String]>,
    pub(crate) behind_proxy: bool,
    pub(crate) link_token: Option<Secret>,
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) folder: Arc<Mirror>,
    pub(crate) unpublished: Arc<Unpublished>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) uploads: Arc<UploadFolder>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) metrics_token: Option<Secret>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) runs_at_once: usize,
    pub(crate) live: Arc<Live>,
    /// What the scheduler is told.
    pub(crate) letters: mpsc::Sender<Letter>,
    /// What it was told; the orchestrator has it.
    pub(crate) inbox: Arc<Mutex<mpsc::Receiver<Letter>>>,
    /// Whether this server leads.
    pub(crate) leads: watch::Sender<bool>,
    /// How far its scheduler is.
    pub(crate) progress: watch::Sender<Progress>,
}

impl App {
    /// Over a metadata database.
    pub fn new(store: Store, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self> {
        monitor::metrics::install();
        let key = settings.master_key.derive("access tokens");
        let (letters, inbox) = mpsc::channel(LETTERS_MAX);
        let live = Live::new(u64::try_from(clock.now_us()).unwrap_or(0));
        Ok(Self {
            store,
            clock,
            passwords: Arc::new(Passwords::new()?),
            access_tokens: Arc::new(AccessTokens::new(&key)),
            auditor: Auditor::new(&settings.master_key),
            master_key: settings.master_key.clone(),
            seals: Arc::new(Seals::new(&settings.master_key)),
            throttle: Arc::default(),
            hosts: settings.hosts.into(),
            behind_proxy: settings.behind_proxy,
            link_token: settings.link_token,
            desk: settings.desk,
            queries: Arc::new(Queries::open(settings.results)?),
            folder: Arc::new(Mirror::new(settings.place)),
            unpublished: Arc::default(),
            connector: settings.connector,
            uploads: Arc::new(UploadFolder::new(&settings.project)),
            alerts: Arc::new(Alerts::new(settings.alerts)),
            metrics_token: settings.metrics_token,
            runner: settings.runner,
            runs_at_once: settings.runs_at_once.max(1),
            live: Arc::new(live),
            letters,
            inbox: Arc::new(Mutex::new(inbox)),
            leads: watch::Sender::new(false),
            progress: watch::Sender::default(),
        })
    }

    /// The current time, µs since the epoch.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}
