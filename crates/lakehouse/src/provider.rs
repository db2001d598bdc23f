//! A table at a version as DataFusion sees it: a plain list of Parquet files with statistics.

use crate::errors::from_datafusion;
use crate::location::Root;
use crate::sql::PATH;
use crate::statistics;
use crate::table::{DataFile, Table};
use crate::values::partition_scalar;
use crate::writer::{Target, Written, below};
use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use model::{Problem, Result, codes};
use object_store::ObjectMeta;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// A table at a version.
pub(crate) struct LakeTable {
    label: String,
    url: ObjectStoreUrl,
    /// Columns in the table's order, and the file's path last where it was asked for.
    schema: SchemaRef,
    /// Columns of the files, then those that are constants of a file.
    scanned: TableSchema,
    files: Vec<PartitionedFile>,
}

impl LakeTable {
    /// All files of the table.
    pub(crate) fn new(root: &Root, table: &Table) -> Result<Self> {
        Self::some(root, table, table.files()?)
    }

    /// Some files of the table.
    pub(crate) fn some(root: &Root, table: &Table, files: Vec<DataFile>) -> Result<Self> {
        Self::over(root, table, files, &table.schema)
    }

    /// Some files of the table for a merge: with each row's file in the column [`PATH`], and
    /// texts that do not keep the page alive which they were read from, because sorts hold them.
    pub(crate) fn for_merge(root: &Root, table: &Table, files: Vec<DataFile>) -> Result<Self> {
        let mut fields: Vec<FieldRef> = table.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(PATH, ArrowType::Utf8, true)));
        Self::over(root, table, files, &plain(&Schema::new(fields)))
    }

    fn over(root: &Root, table: &Table, files: Vec<DataFile>, schema: &SchemaRef) -> Result<Self> {
        let is_constant = |name: &String| name == PATH || table.partition_by.contains(name);
        let label = format!("{}@v{}", table.name(), table.version());
        let mut provider = Self::empty(root, label, schema, is_constant)?;
        let files = files.iter().map(|file| {
            let value = |field: &FieldRef| match field.name().as_str() {
                PATH => Ok(ScalarValue::Utf8(Some(file.add.path.clone()))),
                _ => partition_value(table, file, field),
            };
            let constants = provider.scanned.table_partition_cols();
            let values = constants.iter().map(value).collect::<Result<Vec<_>>>()?;
            let meta = ObjectMeta {
                location: below(&table.place.folder, &file.add.path),
                last_modified: chrono::DateTime::from_timestamp_millis(file.add.modification_time)
                    .unwrap_or_default(),
                size: file.bytes(),
                e_tag: None,
                version: None,
            };
            Ok(provider.file(meta, file.add.stats.as_deref(), values))
        });
        provider.files = files.collect::<Result<_>>()?;
        Ok(provider)
    }

    /// Files that are no table, or not yet; texts as in [`LakeTable::for_merge`].
    pub(crate) fn of_files(root: &Root, target: &Target, files: &[Written]) -> Result<Self> {
        let label = target.below.clone();
        let mut provider = Self::empty(root, label, &plain(&target.schema), |_| false)?;
        let files = files.iter().map(|file| {
            let meta = ObjectMeta {
                location: below(&target.folder, &file.path),
                last_modified: chrono::DateTime::default(),
                size: file.bytes,
                e_tag: None,
                version: None,
            };
            provider.file(meta, Some(&file.stats), Vec::new())
        });
        provider.files = files.collect();
        Ok(provider)
    }

    fn empty(
        root: &Root,
        label: String,
        schema: &SchemaRef,
        is_constant: impl Fn(&String) -> bool,
    ) -> Result<Self> {
        let fields = schema.fields().iter().cloned();
        let (constants, stored): (Vec<FieldRef>, Vec<FieldRef>) =
            fields.partition(|field| is_constant(field.name()));
        let scanned = TableSchema::builder(Arc::new(Schema::new(stored)))
            .with_table_partition_cols(constants)
            .build();
        let url = ObjectStoreUrl::parse(root.query_url.as_str())
            .map_err(|error| from_datafusion(&error))?;
        Ok(Self { label, url, schema: Arc::clone(schema), scanned, files: Vec::new() })
    }

    fn file(
        &self,
        meta: ObjectMeta,
        stats: Option<&str>,
        values: Vec<ScalarValue>,
    ) -> PartitionedFile {
        let names = self.scanned.table_partition_cols().iter().map(|field| field.name().clone());
        let constants: HashMap<String, ScalarValue> = names.zip(values.iter().cloned()).collect();
        let schema = self.scanned.table_schema();
        let known = statistics::of_log(stats, meta.size, schema, &constants);
        let mut file = PartitionedFile::new_from_meta(meta).with_partition_values(values);
        // Set directly: the method would claim that a constant is never null.
        file.statistics = Some(Arc::new(known));
        file
    }

    /// Files that may hold rows for which all filters are true.
    fn pruned(&self, state: &dyn Session, filters: &[Expr]) -> Vec<PartitionedFile> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return self.files.clone();
        };
        let keep = || -> DataFusionResult<Vec<bool>> {
            let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
            let filter = state.create_physical_expr(filter, &columns)?;
            let predicate = PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(&self.schema))
                .try_build(filter)?;
            predicate.prune(&FileStatistics { table: self })
        };
        // A predicate that cannot be used for pruning is still applied to the rows.
        let keep = keep().unwrap_or_else(|_| vec![true; self.files.len()]);
        let kept = self.files.iter().zip(keep).filter(|(_, keep)| *keep);
        kept.map(|(file, _)| file.clone()).collect()
    }

    fn merged(&self, files: &[PartitionedFile], schema: &SchemaRef) -> Statistics {
        let statistics = files.iter().filter_map(|file| file.statistics.as_deref());
        Statistics::try_merge_iter(statistics, schema)
            .unwrap_or_else(|_| Statistics::new_unknown(schema))
    }
}

/// A schema whose texts and bytes are not views.
fn plain(schema: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| plain_field(field);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn plain_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        ArrowType::Utf8View => ArrowType::Utf8,
        ArrowType::BinaryView => ArrowType::Binary,
        ArrowType::List(item) => ArrowType::List(Arc::new(plain_field(item))),
        ArrowType::Struct(fields) => {
            ArrowType::Struct(fields.iter().map(|field| plain_field(field)).collect())
        }
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

fn partition_value(table: &Table, file: &DataFile, field: &FieldRef) -> Result<ScalarValue> {
    let text = file.add.partition_values.get(field.name()).and_then(Option::as_deref);
    partition_scalar(text, field.data_type()).ok_or_else(|| {
        let name = table.name();
        Problem::new(
            &codes::TABLE_CORRUPT,
            format!("the log of `{name}` has the bad value `{text:?}` for `{}`", field.name()),
        )
        .arg("column", field.name())
        .arg("file", &file.add.path)
    })
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let files = self.pruned(state, filters);
        if files.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema.project(projection)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let scanned = self.scanned.table_schema();
        let statistics = self.merged(&files, scanned);
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let format = ParquetFormat::default().with_options(options);
        let source = format.file_source(self.scanned.clone());
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let indices = projection
            .unwrap_or(&all)
            .iter()
            .map(|index| scanned.index_of(self.schema.field(*index).name()))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let config = FileScanConfigBuilder::new(self.url.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(indices))?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .build();
        format.create_physical_plan(state, config).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let merged = self.merged(&self.files, self.scanned.table_schema());
        let columns = self.schema.fields().iter().map(|field| {
            let index = self.scanned.table_schema().index_of(field.name()).ok()?;
            merged.column_statistics.get(index).cloned()
        });
        let column_statistics = columns.collect::<Option<Vec<_>>>()?;
        Some(Statistics { column_statistics, ..merged })
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeTable({}, {} files)", self.label, self.files.len())
    }
}

/// What the log knows of each file, as columns.
struct FileStatistics<'a> {
    table: &'a LakeTable,
}

impl FileStatistics<'_> {
    fn bound(
        &self,
        column: &Column,
        pick: impl Fn(&datafusion::common::ColumnStatistics) -> &Precision<ScalarValue>,
    ) -> Option<ArrayRef> {
        let schema = self.table.scanned.table_schema();
        let index = schema.index_of(&column.name).ok()?;
        let unknown = ScalarValue::try_from(schema.field(index).data_type()).ok()?;
        let value = |file: &PartitionedFile| {
            let known = file.statistics.as_ref()?.column_statistics.get(index)?;
            pick(known).get_value().cloned()
        };
        let values = self.table.files.iter().map(|f| value(f).unwrap_or_else(|| unknown.clone()));
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |known| &known.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |known| &known.max_value)
    }

    fn num_containers(&self) -> usize {
        self.table.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.table.scanned.table_schema().index_of(&column.name).ok()?;
        let counts: UInt64Array = self
            .table
            .files
            .iter()
            .map(|file| {
                let known = file.statistics.as_ref()?.column_statistics.get(index)?;
                u64::try_from(*known.null_count.get_value()?).ok()
            })
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self
            .table
            .files
            .iter()
            .map(|file| u64::try_from(*file.statistics.as_ref()?.num_rows.get_value()?).ok())
            .collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
