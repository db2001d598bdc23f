//! The tables of one workspace.

use crate::durable_store::LOG;
use crate::errors::{from_datafusion, from_store};
use crate::location::{Location, Root};
use crate::log::OWN;
use crate::maintain;
use crate::merge;
use crate::parts;
use crate::prepare::{self, AlreadyCommitted};
use crate::provider::LakeTable;
use crate::replace::appended_files;
use crate::runtime::Runtime;
use crate::table::{DataFile, Place, Table};
use async_trait::async_trait;
use contracts::Batches;
use contracts::sink::Prepared;
use contracts::table::{
    Maintenance, MaintenanceReport, TableCommit, TableFile, TableInfo, TableStore, TableWrite,
    WriteMode,
};
use datafusion::catalog::TableProvider;
use deltalake::DeltaTable;
use model::run::{CommitKey, Committed};
use model::{Name, Problem, Result, TableName, codes};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Tables whose last state is kept in memory.
const CACHED_TABLES_MAX: usize = 256;

/// What a lake needs to be opened.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// Where the lake lies.
    pub location: Location,
    /// The workspace whose tables these are.
    pub workspace: Name,
    /// Cores to keep busy.
    pub threads: usize,
    /// Memory and spill folder of the process.
    pub runtime: Arc<Runtime>,
}

/// The tables of one workspace.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) root: Root,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) threads: usize,
    workspace: Name,
    known: Mutex<HashMap<TableName, DeltaTable>>,
    commit_locks: Mutex<HashMap<TableName, Arc<tokio::sync::Mutex<()>>>>,
}

impl Lake {
    /// Opens the tables of a workspace; a local lake's folder is created.
    pub fn open(config: LakeConfig) -> Result<Self> {
        let root = Root::open(&config.location, &config.workspace)?;
        Ok(Self::over(root, config))
    }

    /// The tables below an opened root.
    pub(crate) fn over(root: Root, config: LakeConfig) -> Self {
        config.runtime.env().register_object_store(&root.query_url, Arc::clone(&root.store));
        Self {
            inner: Arc::new(Inner {
                root,
                runtime: config.runtime,
                threads: config.threads.max(1),
                workspace: config.workspace,
                known: Mutex::default(),
                commit_locks: Mutex::default(),
            }),
        }
    }

    /// A table for queries, pinned to a version (the newest when none is given), with that
    /// version. None when there is no such table.
    pub async fn provider(
        &self,
        table: &TableName,
        version: Option<u64>,
    ) -> Result<Option<(u64, Arc<dyn TableProvider>)>> {
        let Some(table) = self.inner.load(table, version).await? else { return Ok(None) };
        let provider = LakeTable::new(&self.inner.root, &table)?;
        Ok(Some((table.version(), Arc::new(provider))))
    }
}

impl Inner {
    pub(crate) fn place(&self, name: &TableName) -> Result<Place> {
        Place::new(&self.root, name)
    }

    /// The table at a version or at its newest.
    pub(crate) async fn load(
        &self,
        name: &TableName,
        version: Option<u64>,
    ) -> Result<Option<Table>> {
        let place = self.place(name)?;
        if version.is_some() {
            return place.load(version, None).await;
        }
        let known = match self.known(name) {
            Some(known) if place.still_has(&known).await => Some(known),
            _ => None,
        };
        let table = match place.load(None, known.clone()).await {
            Err(_) if known.is_some() => place.load(None, None).await?,
            loaded => loaded?,
        };
        self.remember(name, table.as_ref());
        Ok(table)
    }

    fn known(&self, name: &TableName) -> Option<DeltaTable> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn remember(&self, name: &TableName, table: Option<&Table>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CACHED_TABLES_MAX {
            known.clear();
        }
        match table {
            Some(table) => known.insert(name.clone(), table.delta()),
            None => known.remove(name),
        };
    }

    /// Writers of one process wait for one another instead of colliding in the log.
    pub(crate) fn commit_lock(&self, name: &TableName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.commit_locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(name.clone()).or_default())
    }
}

#[async_trait]
impl TableStore for Lake {
    async fn list(&self) -> Result<Vec<TableName>> {
        let root = &self.inner.root;
        let folders = |folder: object_store::path::Path| async move {
            let listed = match root.store.list_with_delimiter(Some(&folder)).await {
                Ok(listed) => listed.common_prefixes,
                Err(object_store::Error::NotFound { .. }) => Vec::new(),
                Err(error) => return Err(from_store(&error)),
            };
            Ok(listed)
        };
        let mut tables = Vec::new();
        for zone in folders(root.folder.clone()).await? {
            for table in folders(zone.clone()).await? {
                let names = (zone.filename(), table.filename());
                let (Some(zone), Some(name)) = names else { continue };
                let Ok(name) = TableName::parse(&format!("{zone}.{name}")) else { continue };
                let below = folders(table).await?;
                if below.iter().any(|folder| folder.filename() == Some(LOG)) {
                    tables.push(name);
                }
            }
        }
        tables.sort();
        Ok(tables)
    }

    async fn describe(&self, name: &TableName, version: Option<u64>) -> Result<Option<TableInfo>> {
        let Some(table) = self.inner.load(name, version).await? else { return Ok(None) };
        let files = table.files()?;
        Ok(Some(TableInfo {
            name: name.clone(),
            version: table.version(),
            schema: Arc::clone(&table.schema),
            partition_by: table.partition_by.clone(),
            rows: files.iter().map(DataFile::rows).sum(),
            bytes: files.iter().map(DataFile::bytes).sum(),
            files: u64::try_from(files.len()).unwrap_or(u64::MAX),
            constraints: table.constraints(),
        }))
    }

    async fn read(&self, name: &TableName, version: u64, partitions: usize) -> Result<Batches> {
        let Some((_, provider)) = self.provider(name, Some(version)).await? else {
            return Err(no_table(name));
        };
        let session = self.inner.runtime.session(partitions, true);
        let frame = session.read_table(provider).map_err(|error| from_datafusion(&error))?;
        let plan = frame.create_physical_plan().await.map_err(|error| from_datafusion(&error))?;
        parts::from_plan(&plan, &session.task_ctx())
    }

    async fn committed(&self, name: &TableName, key: &CommitKey) -> Result<Option<Committed>> {
        match self.inner.load(name, None).await? {
            Some(table) => table.committed(key).await,
            None => Ok(None),
        }
    }

    async fn check_replaceable(&self, name: &TableName, key: &CommitKey) -> Result<()> {
        match self.inner.load(name, None).await? {
            Some(table) => appended_files(&table, key).await.map(drop),
            // There is nothing that could be there twice.
            None => Ok(()),
        }
    }

    async fn prepare(&self, write: TableWrite, input: Batches) -> Result<Box<dyn Prepared>> {
        let table = self.inner.load(&write.table, None).await?;
        if let Some(table) = &table
            && let Some(committed) = table.committed(&write.key).await?
        {
            return Ok(Box::new(AlreadyCommitted(committed)));
        }
        match write.mode {
            WriteMode::Append | WriteMode::Overwrite | WriteMode::ReplacePartitions => {
                prepare::prepare(&self.inner, write, table.as_ref(), input).await
            }
            WriteMode::Merge { .. } | WriteMode::Scd2 { .. } => {
                merge::prepare(&self.inner, write, table.as_ref(), input).await
            }
        }
    }

    async fn history(&self, name: &TableName) -> Result<Vec<TableCommit>> {
        let place = self.inner.place(name)?;
        let versions = place.log.versions().await?;
        if versions.is_empty() {
            return Err(no_table(name));
        }
        let mut history = Vec::with_capacity(versions.len());
        for version in versions {
            history.push(table_commit(version, place.log.read(version).await?.info()));
        }
        Ok(history)
    }

    async fn files(&self, name: &TableName, version: Option<u64>) -> Result<Vec<TableFile>> {
        let table = self.inner.load(name, version).await?.ok_or_else(|| no_table(name))?;
        let files = table.files()?;
        Ok(files.iter().map(table_file).collect())
    }

    async fn maintain(&self, name: &TableName, what: Maintenance) -> Result<MaintenanceReport> {
        maintain::maintain(&self.inner, name, what).await
    }
}

fn table_commit(version: u64, mut info: Map<String, Value>) -> TableCommit {
    let own = info.remove(OWN).unwrap_or_default();
    let time_ms = info.remove("timestamp").and_then(|time| time.as_i64()).unwrap_or_default();
    let operation = info.remove("operation");
    let operation = operation.as_ref().and_then(Value::as_str).unwrap_or("UNKNOWN").to_owned();
    let mut metadata = info;
    for part in ["metadata", "detail"] {
        if let Some(part) = own.get(part).and_then(Value::as_object) {
            metadata.extend(part.clone());
        }
    }
    for part in ["key", "rows"] {
        if let Some(value) = own.get(part) {
            metadata.insert(part.to_owned(), value.clone());
        }
    }
    TableCommit {
        version,
        time_us: time_ms.saturating_mul(1000),
        operation,
        run: own.get("run").and_then(Value::as_str).map(str::to_owned),
        metadata,
    }
}

fn table_file(file: &DataFile) -> TableFile {
    TableFile {
        path: file.add.path.clone(),
        bytes: file.bytes(),
        rows: file.rows(),
        partition: file.partition(),
        stats: file.add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()),
    }
}

pub(crate) fn no_table(name: &TableName) -> Problem {
    Problem::new(&codes::TABLE_NOT_FOUND, format!("there is no table `{name}`"))
        .arg("table", name)
        .hint("`affluent tables` lists the tables of the workspace")
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake")
            .field("workspace", &self.inner.workspace)
            .field("folder", &self.inner.root.folder)
            .finish_non_exhaustive()
    }
}
