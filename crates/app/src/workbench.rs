//! Everything a command works with, wired together for one project.

use crate::allocator;
use crate::variables::ProjectVariables;
use crate::workspace::{self, Documents};
use async_trait::async_trait;
use contracts::{Context, QueryEngine, TableStore};
use engine::graph::Graph;
use engine::journal::FileJournal;
use engine::progress::Listener;
use engine::project::{PipelineFile, ProjectFolder};
use engine::registry::Registry;
use engine::run::Engine;
use lakehouse::{Lake, LakeConfig, Location, Runtime};
use model::{Name, Problem, Result, Secret, TableName};
use query::{DataFusionEngine, LakeTables, Provider};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::clock::SystemClock;

/// What a command may override.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The project's folder, or one below it.
    pub project: PathBuf,
    /// The environment.
    pub environment: Option<Name>,
    /// Memory in MiB instead of the project's limit.
    pub memory_mib: Option<u64>,
    /// Threads instead of the project's limit.
    pub threads: Option<usize>,
    /// Secrets of connections that somebody else keeps, by connection and name.
    pub secrets: Arc<BTreeMap<(Name, String), Secret>>,
    /// Whether a secret that nobody has counts as empty: for commands that use no connection.
    pub without_secrets: bool,
}

/// A project, opened.
pub struct Workbench {
    /// Its documents.
    pub folder: ProjectFolder,
    /// All modules.
    pub registry: Registry,
    /// What modules may use.
    pub context: Context,
    /// Plans and runs queries.
    pub query: Arc<dyn QueryEngine>,
    /// Its tables.
    pub lake: Lake,
    /// Its run records.
    pub journal: Arc<FileJournal>,
    /// Where queries look for files: in the project that the command line names, or else here.
    /// On a server they look for none.
    pub files: Option<PathBuf>,
}

/// All modules there are.
pub fn registry() -> Registry {
    let actions = actions::ALL.iter().copied();
    Registry::new(connectors::all().into_iter().chain(transforms::all()).chain(actions))
}

/// Lake tables for queries: joins two crates that do not know each other.
struct Tables(Lake);

#[async_trait]
impl LakeTables for Tables {
    async fn provider(&self, table: &TableName, version: Option<u64>) -> Result<Option<Provider>> {
        Ok(self.0.provider(table, version).await?.map(|(_, provider)| provider))
    }
}

impl Workbench {
    /// Opens the project that `settings` names. Every problem of every document is given.
    pub fn open(settings: &Settings) -> Result<Self, Vec<Problem>> {
        let one = |problem: Problem| vec![problem];
        let dir = engine::project::find(&settings.project).map_err(one)?;
        let variables = ProjectVariables::new(&dir, settings);
        let folder = ProjectFolder::load(&dir, settings.environment.as_ref(), &variables)?;
        Self::wire(folder, settings).map_err(one)
    }

    /// The project that `settings` names, over a lake of its own in the folder `lake`.
    pub fn open_on(settings: &Settings, lake: &Path) -> Result<Self, Vec<Problem>> {
        let one = |problem: Problem| vec![problem];
        let dir = engine::project::find(&settings.project).map_err(one)?;
        let variables = ProjectVariables::new(&dir, settings);
        let mut folder = ProjectFolder::load(&dir, settings.environment.as_ref(), &variables)?;
        folder.project.lake = lake.to_string_lossy().into_owned();
        Self::wire(folder, settings).map_err(one)
    }

    /// The project that `settings` names, or, outside of any project, an empty one that leaves
    /// nothing behind in the folder.
    pub fn open_or_bare(settings: &Settings) -> Result<Self, Vec<Problem>> {
        match engine::project::find(&settings.project) {
            Ok(_) => Self::open(settings),
            Err(_) => Self::bare(settings).map_err(|problem| vec![problem]),
        }
    }

    fn bare(settings: &Settings) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("affluent-{}", std::process::id()));
        let document = model::yaml::Document::parse("-", "affluent: 1\nname: adhoc\n")?;
        let folder = ProjectFolder {
            project: document.read("")?,
            pipelines: BTreeMap::new(),
            connections: BTreeMap::new(),
            dir,
        };
        Self::wire(folder, settings)
    }

    /// A workspace of the server whose project `settings` names, for what its members ask: paths
    /// stay inside of the project, queries read tables alone.
    pub(crate) fn open_for(
        settings: &Settings,
        workspace: &Name,
        documents: &Documents,
    ) -> Result<Self, Vec<Problem>> {
        let folder = workspace::folder(settings, workspace, documents)?;
        let mut workbench = Self::wire(folder, settings).map_err(|problem| vec![problem])?;
        workbench.context.confined = true;
        workbench.files = None;
        Ok(workbench)
    }

    fn wire(folder: ProjectFolder, settings: &Settings) -> Result<Self> {
        let state = folder.dir.join(".affluent");
        prepare_state(&state)?;
        let limits = &folder.project.limits;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = settings.threads.unwrap_or(match limits.threads {
            0 => cores,
            threads => threads as usize,
        });
        let memory_mib = settings.memory_mib.unwrap_or(limits.memory_mib);
        let memory_bytes = usize::try_from(memory_mib << 20).unwrap_or(usize::MAX);
        let spill_bytes_max = limits.spill_mib << 20;
        allocator::suit(memory_bytes);
        let runtime = Runtime::new(memory_bytes, &state.join("spill"), spill_bytes_max)?;
        let runtime = Arc::new(runtime);
        let lake = Lake::open(LakeConfig {
            location: location(&folder)?,
            workspace: folder.workspace(),
            threads,
            runtime: Arc::clone(&runtime),
        })?;
        let query = DataFusionEngine::new(
            runtime.env(),
            memory_bytes,
            functions::all(),
            Some(Arc::new(Tables(lake.clone()))),
        );
        let context = Context {
            project: folder.dir.clone(),
            landing: landing(&folder, &state),
            allowed_paths: allowed_paths(&folder),
            confined: false,
            workspace: folder.workspace(),
            time_zone: folder.project.time_zone.clone(),
            threads,
            memory_bytes,
            connections: Arc::new(folder.connections.clone()),
            tables: Arc::new(lake.clone()) as Arc<dyn TableStore>,
            state: state.clone(),
        };
        Ok(Self {
            registry: registry(),
            context,
            query: Arc::new(query),
            lake,
            journal: Arc::new(FileJournal::new(&state)),
            files: Some(files(settings)),
            folder,
        })
    }

    /// The engine, telling `listener` what happens.
    pub fn engine(&self, listener: Arc<dyn Listener>) -> Engine {
        Engine {
            context: self.context.clone(),
            query: Arc::clone(&self.query),
            journal: Arc::clone(&self.journal) as Arc<_>,
            listener,
            clock: Arc::new(SystemClock),
        }
    }

    /// The graph of a pipeline.
    pub fn graph(&self, file: &PipelineFile) -> Result<Graph, Vec<Problem>> {
        Graph::build(file.pipeline.clone(), &file.document, &self.registry)
    }

    /// The graphs of all pipelines, by name.
    pub fn graphs(&self) -> Result<BTreeMap<Name, Graph>, Vec<Problem>> {
        let mut graphs = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, file) in &self.folder.pipelines {
            match self.graph(file) {
                Ok(graph) => {
                    graphs.insert(name.clone(), graph);
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(graphs) } else { Err(problems) }
    }
}

/// Local lakes lie below the project; `s3://` takes its settings from a connection named `lake`.
fn location(folder: &ProjectFolder) -> Result<Location> {
    let lake = &folder.project.lake;
    if !lake.contains("://") {
        let path = folder.dir.join(lake);
        return Location::parse(&path.to_string_lossy(), &BTreeMap::new());
    }
    let connection = folder.connections.iter().find(|(name, _)| name.as_str() == "lake");
    let settings = connection.map(|(_, connection)| {
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        connection.settings.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    });
    Location::parse(lake, &settings.unwrap_or_default())
}

/// The folder that relative paths of queries start at.
fn files(settings: &Settings) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let named = here.join(&settings.project);
    match settings.project.as_path() == Path::new(".") {
        true => here,
        false => engine::project::find(&named).unwrap_or(named),
    }
}

/// Received files are kept beside the tables when the lake is a folder.
fn landing(folder: &ProjectFolder, state: &Path) -> PathBuf {
    match folder.project.lake.contains("://") {
        true => state.join("landing"),
        false => {
            folder.dir.join(&folder.project.lake).join(folder.workspace().as_str()).join("landing")
        }
    }
}

fn allowed_paths(folder: &ProjectFolder) -> Vec<PathBuf> {
    folder.project.allowed_paths.iter().map(|path| folder.dir.join(path)).collect()
}

/// `.affluent`, readable by its owner alone, kept out of git.
fn prepare_state(state: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error: std::io::Error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => &model::codes::PERMISSION_DENIED,
            std::io::ErrorKind::StorageFull => &model::codes::STORAGE_FULL,
            _ => &model::codes::STORAGE_FAILED,
        };
        Problem::new(code, format!("`{}` cannot be written", state.display()))
            .detail(error)
            .hint("the project's folder must be writable: run records are kept there")
    };
    let ignored = state.join(".gitignore");
    // Empty, it was being written when the disk failed.
    if std::fs::metadata(&ignored).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    stdx::durable::create_dir_all(state).map_err(failed)?;
    let owner_only = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(state, owner_only).map_err(failed)?;
    std::fs::write(ignored, "*\n").map_err(failed)
}
