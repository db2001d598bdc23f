//! The session a plan is made in: our functions, our nodes, limits, and nothing that writes.

use crate::compact::CompactInputs;
use crate::count::{Count, Counting};
use crate::engine::LakeTables;
use crate::functions::wrap;
use crate::keep_first::{KeepFirst, KeepFirstExec, KeepFirstRule};
use crate::pass_through::PassThrough;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use contracts::arrow_types::canonical_schema;
use contracts::function::ScalarFunction;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProviderList, SchemaProvider, Session};
use datafusion::catalog::{CatalogProviderList, TableProvider};
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::optimizer::Optimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use model::{Name, TableName};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// The catalogue everything is in.
const CATALOG: &str = "affluent";
/// The schema of inputs and steps; lake tables have their zone's.
const LOCAL: &str = "local";

/// What a session is made of.
pub(crate) struct SessionParts<'a> {
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) functions: &'a [ScalarFunction],
    pub(crate) lake: Option<Arc<dyn LakeTables>>,
    pub(crate) versions: BTreeMap<TableName, u64>,
    /// Columns of tables that are only planned with.
    pub(crate) schemas: BTreeMap<TableName, SchemaRef>,
    pub(crate) local: HashMap<String, Arc<dyn TableProvider>>,
    pub(crate) partitions: usize,
    pub(crate) hash_joins: bool,
    /// What all operations may use together.
    pub(crate) memory_bytes: usize,
    /// What `now()` and `current_date` mean.
    pub(crate) now: DateTime<Utc>,
}

/// Rows per batch where memory is plentiful.
const BATCH_ROWS: usize = 8192;
/// An operation that spills needs room for a few batches; this much memory allows one row more.
const MEMORY_BYTES_PER_BATCH_ROW: usize = 128 * 1024;
/// What a sort keeps for merging what it spilled, where memory is plentiful.
const SORT_RESERVATION_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Makes the session.
pub(crate) fn session(parts: SessionParts<'_>) -> SessionState {
    let catalogs = MemoryCatalogProviderList::new();
    let catalog = Catalog {
        local: Arc::new(Local { tables: parts.local }),
        lake: parts.lake,
        versions: parts.versions,
        schemas: parts.schemas,
    };
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    let mut rules = Optimizer::new().rules;
    // Before DISTINCT ON is turned into first_value() over every column.
    rules.insert(0, Arc::new(KeepFirstRule));
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config(parts.partitions, parts.hash_joins, parts.memory_bytes))
        .with_runtime_env(parts.runtime)
        .with_catalog_list(Arc::new(catalogs))
        .with_optimizer_rules(rules)
        .with_query_planner(Arc::new(Planner))
        .with_physical_optimizer_rule(Arc::new(CompactInputs))
        .with_file_formats(Vec::new())
        .with_table_factories(HashMap::new())
        .with_execution_props(ExecutionProps::new().with_query_execution_start_time(parts.now))
        .build();
    for function in parts.functions {
        use datafusion::execution::FunctionRegistry;
        // The names are ours, so nothing of DataFusion's is replaced without intent.
        let _ = state.register_udf(wrap(*function));
    }
    state
}

fn config(partitions: usize, hash_joins: bool, memory_bytes: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, LOCAL)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(partitions.max(1))
        .with_batch_size((memory_bytes / MEMORY_BYTES_PER_BATCH_ROW).clamp(512, BATCH_ROWS));
    let options = config.options_mut();
    // Taken by every sort before it knows whether it will spill, so it has to be small.
    options.execution.sort_spill_reservation_bytes =
        (memory_bytes / 256).min(SORT_RESERVATION_BYTES_MAX);
    // What is sorted in one piece counts once for each batch that comes of it.
    let in_place = &mut options.execution.sort_in_place_threshold_bytes;
    *in_place = (memory_bytes / 256).min(*in_place);
    // Each batch that partitioning spills into a file of its own: with two unfinished files its
    // reader can wait for ever (apache/datafusion#24883, not yet in this release).
    options.execution.max_spill_file_size_bytes = one_byte();
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    options.sql_parser.map_string_types_to_utf8view = true;
    options.optimizer.prefer_hash_join = hash_joins;
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.schema_force_view_types = true;
    config
}

/// As the limit of a file it means one batch.
fn one_byte() -> ConfigNonZeroUsize {
    ConfigNonZeroUsize::try_new(1).expect("1 is not 0")
}

struct Catalog {
    local: Arc<Local>,
    lake: Option<Arc<dyn LakeTables>>,
    versions: BTreeMap<TableName, u64>,
    schemas: BTreeMap<TableName, SchemaRef>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalog")
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        vec![LOCAL.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == LOCAL {
            return Some(Arc::clone(&self.local) as Arc<dyn SchemaProvider>);
        }
        let zone = Name::new(name).ok()?;
        let lake = Arc::clone(self.lake.as_ref()?);
        let (versions, schemas) = (self.versions.clone(), self.schemas.clone());
        Some(Arc::new(Zone { zone, lake, versions, schemas }))
    }
}

#[derive(Debug)]
struct Local {
    tables: HashMap<String, Arc<dyn TableProvider>>,
}

#[async_trait]
impl SchemaProvider for Local {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}

struct Zone {
    zone: Name,
    lake: Arc<dyn LakeTables>,
    versions: BTreeMap<TableName, u64>,
    schemas: BTreeMap<TableName, SchemaRef>,
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.zone)
    }
}

#[async_trait]
impl SchemaProvider for Zone {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let (name, asked) = crate::at_version::split(name);
        let Ok(table) = Name::new(name) else { return Ok(None) };
        let table = TableName { zone: self.zone.clone(), table };
        if let (None, Some(schema)) = (asked, self.schemas.get(&table)) {
            return Ok(Some(Arc::new(EmptyTable::new(canonical_schema(schema)))));
        }
        let version = asked.or_else(|| self.versions.get(&table).copied());
        let found = self.lake.provider(&table, version).await;
        found.map_err(|problem| DataFusionError::External(Box::new(problem)))
    }

    fn table_exist(&self, _: &str) -> bool {
        true
    }
}

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OwnNodes)])
            .create_physical_plan(plan, session)
            .await
    }
}

struct OwnNodes;

#[async_trait]
impl ExtensionPlanner for OwnNodes {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let [input] = physical_inputs else { return Ok(None) };
        if let Some(count) = node.as_any().downcast_ref::<Count>() {
            return Ok(Some(Arc::new(PassThrough::new(Counting::new(count), Arc::clone(input)))));
        }
        if let Some(keep) = node.as_any().downcast_ref::<KeepFirst>() {
            let exec = KeepFirstExec::plan(keep, input, planner, session, planning)?;
            return Ok(Some(Arc::new(exec)));
        }
        Ok(None)
    }
}
