//! One lake table at one version.

use crate::errors::from_delta;
use crate::location::Root;
use crate::log::{CommitFile, Log, OWN};
use crate::schema;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::{Add, EagerSnapshot, LogicalFileView, Metadata, Protocol, Remove};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::{DeltaTable, DeltaTableError};
use model::run::{CommitKey, Committed};
use model::{Problem, Result, TableName, codes};
use object_store::path::Path;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Property of a Delta table that begins the name of a constraint.
pub(crate) const CONSTRAINT_PREFIX: &str = "delta.constraints.";
/// Version of an application transaction; our application ids are used once.
const TRANSACTION_VERSION: i64 = 1;

/// Where a table is, whether or not it exists.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: TableName,
    pub(crate) folder: Path,
    pub(crate) log_store: LogStoreRef,
    pub(crate) log: Log,
}

impl Place {
    pub(crate) fn new(root: &Root, name: &TableName) -> Result<Self> {
        let folder = root.table_folder(name);
        let url = root.table_url(name);
        let config = StorageConfig::default();
        let prefixed = config
            .decorate_store(Arc::clone(&root.store), &url)
            .map_err(|error| from_delta(&error))?;
        let log_store =
            default_logstore(Arc::from(prefixed), Arc::clone(&root.store), &url, &config);
        let log = Log::new(root, &folder);
        Ok(Self { name: name.clone(), folder, log_store, log })
    }

    /// The table at a version or at its newest; `known` saves reading the log from its beginning.
    pub(crate) async fn load(
        &self,
        version: Option<u64>,
        known: Option<DeltaTable>,
    ) -> Result<Option<Table>> {
        let mut table = known.unwrap_or_else(|| DeltaTable::new(Arc::clone(&self.log_store)));
        let loaded = match version {
            Some(version) => table.load_version(version).await,
            None => table.update_incremental(None).await,
        };
        match loaded {
            Ok(()) => Table::new(self.clone(), table).map(Some),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) => self.explain(version, &error).await,
        }
    }

    /// Whether the log still has the version that a remembered state stands at.
    pub(crate) async fn still_has(&self, known: &DeltaTable) -> bool {
        match known.version() {
            Some(version) => self.log.has(version).await,
            None => false,
        }
    }

    async fn explain(
        &self,
        version: Option<u64>,
        error: &DeltaTableError,
    ) -> Result<Option<Table>> {
        let versions = self.log.versions().await?;
        let Some(newest) = versions.first() else { return Ok(None) };
        if let Some(version) = version
            && !versions.contains(&version)
        {
            let name = &self.name;
            return Err(Problem::new(
                &codes::TABLE_NOT_FOUND,
                format!("`{name}` has no version {version}"),
            )
            .arg("table", name)
            .arg("version", version)
            .hint(format!("the newest version is {newest}; `tables {name} --history` lists all")));
        }
        Err(self.log.diagnose(&self.name, from_delta(error)).await)
    }
}

/// A table at a version.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) place: Place,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: Vec<String>,
    delta: DeltaTable,
}

impl Table {
    fn new(place: Place, delta: DeltaTable) -> Result<Self> {
        let state = delta.snapshot().map_err(|error| from_delta(&error))?;
        let metadata = state.metadata();
        let written = serde_json::to_value(metadata)
            .ok()
            .and_then(|metadata| Some(metadata.get("schemaString")?.as_str()?.to_owned()))
            .unwrap_or_default();
        let written: Value = serde_json::from_str(&written).map_err(|error| {
            Problem::new(
                &codes::TABLE_CORRUPT,
                format!("the log of `{}` has an unreadable schema", place.name),
            )
            .arg("table", &place.name)
            .detail(error)
        })?;
        let schema = schema::from_delta(&written)?;
        let partition_by = metadata.partition_columns().to_vec();
        Ok(Self { place, schema, partition_by, delta })
    }

    pub(crate) fn name(&self) -> &TableName {
        &self.place.name
    }

    fn snapshot(&self) -> &EagerSnapshot {
        let state = self.delta.state.as_ref();
        state.expect("a table is made of a loaded state").snapshot()
    }

    pub(crate) fn version(&self) -> u64 {
        self.snapshot().version()
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        self.snapshot().metadata()
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        self.snapshot().protocol()
    }

    pub(crate) fn eager(&self) -> EagerSnapshot {
        self.snapshot().clone()
    }

    /// The state for the next load.
    pub(crate) fn delta(&self) -> DeltaTable {
        self.delta.clone()
    }

    /// The data files.
    pub(crate) fn files(&self) -> Result<Vec<DataFile>> {
        let log = self.snapshot().try_log_data().map_err(|error| from_delta(&error))?;
        let files: Vec<DataFile> = log.iter().map(|view| DataFile::new(&view)).collect();
        if files.iter().any(|file| file.add.deletion_vector.is_some()) {
            let name = self.name();
            return Err(Problem::new(
                &codes::TABLE_CORRUPT,
                format!("`{name}` uses deletion vectors, which are not read here"),
            )
            .arg("table", name)
            .hint("another program wrote this table; purge its deletion vectors there"));
        }
        Ok(files)
    }

    /// Constraints by name.
    pub(crate) fn constraints(&self) -> BTreeMap<String, String> {
        let properties = self.metadata().configuration();
        properties
            .iter()
            .filter_map(|(key, expression)| {
                Some((key.strip_prefix(CONSTRAINT_PREFIX)?.to_owned(), expression.clone()))
            })
            .collect()
    }

    /// Looks for the commit with this key.
    pub(crate) async fn committed(&self, key: &CommitKey) -> Result<Option<Committed>> {
        Ok(self.find(key).await?.map(|found| found.committed))
    }

    /// Looks for the commit with this key, and for the attempt that made it.
    pub(crate) async fn find(&self, key: &CommitKey) -> Result<Option<Found>> {
        let app_id = key.to_string();
        let found = self
            .snapshot()
            .transaction_version(self.place.log_store.as_ref(), &app_id)
            .await
            .map_err(|error| from_delta(&error))?;
        if found.is_none_or(|version| version < TRANSACTION_VERSION) {
            return Ok(None);
        }
        // Whoever made it may have died before the name of the commit was sure to survive.
        self.place.log.keep().await?;
        let commit = self.place.log.find(&app_id).await?;
        let info = commit.as_ref().map(CommitFile::info).unwrap_or_default();
        let own = info.get(OWN).cloned().unwrap_or_default();
        let attempt = own.get("attempt").and_then(Value::as_str).map(str::to_owned);
        let version = commit.map(|commit| commit.version);
        Ok(Some(Found { committed: committed(self.name(), version, &own), attempt }))
    }
}

/// A commit that is in the log.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) committed: Committed,
    /// The attempt that made it, when its file is still there.
    pub(crate) attempt: Option<String>,
}

/// What an earlier commit said about itself.
fn committed(table: &TableName, version: Option<u64>, own: &Value) -> Committed {
    let detail = own.get("detail").and_then(Value::as_object).cloned().unwrap_or_default();
    Committed {
        target: table.to_string(),
        version,
        rows: own.get("rows").and_then(Value::as_u64).unwrap_or_default(),
        detail: detail.into_iter().filter_map(|(key, n)| Some((key, n.as_u64()?))).collect(),
        already: true,
    }
}

/// A data file of a table.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    /// As it stands in the log.
    pub(crate) add: Add,
    /// What takes it out of the table.
    pub(crate) remove: Remove,
}

impl DataFile {
    fn new(view: &LogicalFileView) -> Self {
        let add = Add {
            path: view.path().into_owned(),
            partition_values: view.partition_values_map(),
            size: view.size(),
            modification_time: view.modification_time(),
            data_change: true,
            stats: view.stats(),
            deletion_vector: view.deletion_vector_descriptor(),
            ..Add::default()
        };
        Self { add, remove: view.remove_action(true) }
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.add.size).unwrap_or_default()
    }

    /// Rows, when the log knows.
    pub(crate) fn rows(&self) -> Option<u64> {
        let stats: Value = serde_json::from_str(self.add.stats.as_deref()?).ok()?;
        stats.get("numRecords")?.as_u64()
    }

    /// Partition values in a stable order.
    pub(crate) fn partition(&self) -> BTreeMap<String, Option<String>> {
        let values = self.add.partition_values.iter();
        values
            .map(|(column, value)| {
                (column.clone(), value.clone().filter(|value| !value.is_empty()))
            })
            .collect()
    }
}
