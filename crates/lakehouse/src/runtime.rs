//! The one pool of memory and the one spill folder of a process.

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use model::Result;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::errors::{from_datafusion, from_io};
use crate::pool::HeadroomPool;

/// Rows per batch where memory is plentiful.
const BATCH_ROWS: usize = 8192;
/// An operation that spills needs room for a few batches; this much memory allows one row more.
const MEMORY_BYTES_PER_BATCH_ROW: usize = 16 * 1024;

/// What a sort keeps for merging what it spilled, where memory is plentiful.
const SORT_RESERVATION_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Spilled runs merged at once; more of them at once would take the memory of other operations.
const MERGE_RUNS_MAX: usize = 16;

/// Memory pool and spill folder; one per process, shared by every lake and query.
pub struct Runtime {
    env: Arc<RuntimeEnv>,
    memory_bytes: usize,
}

impl Runtime {
    /// A pool of `memory_bytes`, and at most `spill_bytes_max` of files in `spill_dir`.
    pub fn new(memory_bytes: usize, spill_dir: &Path, spill_bytes_max: u64) -> Result<Self> {
        std::fs::create_dir_all(spill_dir)
            .map_err(|error| from_io(&error).in_file(spill_dir.display()))?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill_dir.to_owned()]))
            .with_max_temp_directory_size(spill_bytes_max)
            .with_max_spill_merge_fan_in(MERGE_RUNS_MAX);
        let env = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(HeadroomPool::new(memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| from_datafusion(&error).in_file(spill_dir.display()))?;
        Ok(Self { env, memory_bytes })
    }

    /// The environment for sessions.
    pub fn env(&self) -> Arc<RuntimeEnv> {
        Arc::clone(&self.env)
    }

    /// The memory that all operations share, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn batch_rows(&self) -> usize {
        (self.memory_bytes / MEMORY_BYTES_PER_BATCH_ROW).clamp(1024, BATCH_ROWS)
    }

    /// A session for work on tables. A hash join is fast and cannot spill; the other kind can.
    pub(crate) fn session(&self, partitions: usize, hash_joins: bool) -> SessionContext {
        let mut config = SessionConfig::new()
            .with_target_partitions(partitions.max(1))
            .with_batch_size(self.batch_rows());
        let options = config.options_mut();
        options.optimizer.prefer_hash_join = hash_joins;
        options.execution.parquet.schema_force_view_types = true;
        options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
        // Taken by every sort before it knows whether it will spill, so it has to be small.
        options.execution.sort_spill_reservation_bytes =
            (self.memory_bytes / 256).min(SORT_RESERVATION_BYTES_MAX);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.env())
            .with_default_features()
            .build();
        SessionContext::new_with_state(state)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("memory_bytes", &self.memory_bytes).finish_non_exhaustive()
    }
}
