//! append, overwrite and replace_partitions: files first, then one commit that adds them.

use crate::commit::{self, Change, Layout, Proposal, layout_actions};
use crate::constraints::Constraints;
use crate::errors::from_datafusion;
use crate::lake::Inner;
use crate::plan;
use crate::provider::LakeTable;
use crate::replace::appended_files;
use crate::schema;
use crate::table::{DataFile, Table};
use crate::values::can_partition;
use crate::writer::{self, Target, Written};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use contracts::Batches;
use contracts::sink::Prepared;
use contracts::table::{SchemaPolicy, TableWrite, WriteMode};
use deltalake::kernel::{Action, Add};
use deltalake::protocol::{DeltaOperation, SaveMode};
use model::run::Committed;
use model::{Problem, Result, TableName, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often an append is tried: nothing has to be recomputed.
const APPEND_ATTEMPTS_MAX: u32 = 400;
/// How often anything else is recomputed.
pub(crate) const RECOMPUTE_ATTEMPTS_MAX: u32 = 5;

/// A write that waits for its commit.
pub(crate) struct PreparedWrite {
    pub(crate) lake: Arc<Inner>,
    pub(crate) write: TableWrite,
    pub(crate) change: Box<dyn Change>,
}

#[async_trait]
impl Prepared for PreparedWrite {
    async fn commit(mut self: Box<Self>) -> Result<Committed> {
        commit::commit(&self.lake, &self.write, self.change.as_mut()).await
    }

    async fn discard(mut self: Box<Self>) {
        self.change.withdraw().await;
    }
}

/// A write whose commit was found before a row was read.
pub(crate) struct AlreadyCommitted(pub(crate) Committed);

#[async_trait]
impl Prepared for AlreadyCommitted {
    async fn commit(self: Box<Self>) -> Result<Committed> {
        Ok(self.0)
    }

    async fn discard(self: Box<Self>) {}
}

/// What a table is going to look like, and what its rows have to satisfy.
#[derive(Debug, Clone)]
pub(crate) struct Shaped {
    /// The table's schema after the commit.
    pub(crate) schema: SchemaRef,
    pub(crate) partition_by: Vec<String>,
    /// Constraints after the commit.
    pub(crate) constraints: BTreeMap<String, String>,
    /// Whether nothing of the old layout stays.
    pub(crate) replace: bool,
}

impl Shaped {
    /// Works out the layout from the table, if there is one, and the incoming columns.
    pub(crate) fn new(
        write: &TableWrite,
        table: Option<&Table>,
        incoming: &Schema,
    ) -> Result<Self> {
        let replace = (write.mode == WriteMode::Overwrite || write.rebuild)
            && write.schema_policy == SchemaPolicy::Evolve
            && table.is_some();
        let shaped = match table {
            Some(table) if !replace => {
                let name = &write.table;
                let schema = schema::reconcile(name, &table.schema, incoming, write.schema_policy)?;
                check_partitioning(write, table)?;
                let mut constraints = table.constraints();
                constraints.extend(write.constraints.clone());
                Self { schema, partition_by: table.partition_by.clone(), constraints, replace }
            }
            _ => Self {
                schema: schema::canonical(incoming),
                partition_by: write.partition_by.clone(),
                constraints: write.constraints.clone(),
                replace,
            },
        };
        schema::check_names(&write.table, &shaped.schema)?;
        shaped.check_columns(write)?;
        Ok(shaped)
    }

    fn check_columns(&self, write: &TableWrite) -> Result<()> {
        for (setting, columns) in
            [("partition_by", &self.partition_by), ("cluster_by", &write.cluster_by)]
        {
            for column in columns {
                let Ok(field) = self.schema.field_with_name(column) else {
                    return Err(unknown_column(&write.table, &self.schema, setting, column));
                };
                if setting == "partition_by" && !can_partition(field.data_type()) {
                    return Err(Problem::new(
                        &codes::TYPE_MISMATCH,
                        format!("`{}` cannot be partitioned by `{column}`", write.table),
                    )
                    .arg("column", column)
                    .hint("choose a text, number, date or boolean"));
                }
            }
        }
        if !self.partition_by.is_empty() && self.partition_by.len() >= self.schema.fields().len() {
            return Err(Problem::new(
                &codes::SETTING_INVALID,
                format!("`{}` would be partitioned by all of its columns", write.table),
            )
            .hint("leave at least one column out of `partition_by`"));
        }
        Ok(())
    }

    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout {
            schema: &self.schema,
            partition_by: &self.partition_by,
            constraints: &self.constraints,
            replace: self.replace,
        }
    }

    /// Where files of this shape go.
    pub(crate) fn target(&self, lake: &Inner, table: &TableName) -> Target {
        Target {
            store: Arc::clone(&lake.root.store),
            folder: lake.root.table_folder(table),
            below: String::new(),
            group_bytes: writer::group_bytes(lake.runtime.memory_bytes()),
            schema: Arc::clone(&self.schema),
            partition_by: self.partition_by.clone(),
        }
    }
}

/// Names a column that is not there, and one that was probably meant.
pub(crate) fn unknown_column(
    table: &TableName,
    schema: &Schema,
    setting: &str,
    column: &str,
) -> Problem {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let hint = match stdx::text::nearest(column, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the columns are {}", stdx::text::list(names)),
    };
    Problem::new(
        &codes::COLUMN_UNKNOWN,
        format!("`{setting}` of `{table}` names `{column}`, which is not a column"),
    )
    .arg("column", column)
    .arg("table", table)
    .hint(hint)
}

fn check_partitioning(write: &TableWrite, table: &Table) -> Result<()> {
    if write.partition_by.is_empty() || write.partition_by == table.partition_by {
        return Ok(());
    }
    let by = stdx::text::list(table.partition_by.iter().map(String::as_str));
    Err(Problem::new(
        &codes::SETTING_INVALID,
        format!("`{}` is partitioned by {by} already", write.table),
    )
    .arg("table", &write.table)
    .hint("keep `partition_by` as it is, or overwrite the table"))
}

/// Refuses constraints that rows of the table break already.
pub(crate) async fn check_present_rows(
    lake: &Inner,
    table: Option<&Table>,
    shaped: &Shaped,
) -> Result<()> {
    let Some(table) = table else { return Ok(()) };
    let known = table.constraints();
    let is_new = |(name, text): &(&String, &String)| known.get(*name) != Some(*text);
    let new: BTreeMap<String, String> = shaped
        .constraints
        .iter()
        .filter(is_new)
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    if new.is_empty() || shaped.replace {
        return Ok(());
    }
    let constraints = Constraints::compile(&lake.runtime, table.name(), &shaped.schema, &new)?;
    let session = lake.runtime.session(lake.threads, true);
    let provider = LakeTable::new(&lake.root, table)?;
    let frame = session.read_table(Arc::new(provider)).map_err(|error| from_datafusion(&error))?;
    let plan = frame.create_physical_plan().await.map_err(|error| from_datafusion(&error))?;
    let rows = crate::parts::from_plan(&plan, &session.task_ctx())?;
    let checked = plan::shape(rows, &shaped.schema, &constraints);
    for partition in checked.partitions {
        futures::TryStreamExt::try_for_each(partition, |_| std::future::ready(Ok(()))).await?;
    }
    Ok(())
}

/// Writes the files of an append, overwrite or replacement of partitions.
pub(crate) async fn prepare(
    lake: &Arc<Inner>,
    write: TableWrite,
    table: Option<&Table>,
    input: Batches,
) -> Result<Box<dyn Prepared>> {
    let incoming = Arc::clone(&input.schema);
    let shaped = Shaped::new(&write, table, &incoming)?;
    if write.mode == WriteMode::ReplacePartitions && shaped.partition_by.is_empty() {
        return Err(Problem::new(
            &codes::SETTING_INVALID,
            format!("`{}` has no partitions to replace", write.table),
        )
        .arg("table", &write.table)
        .hint("name the columns in `partition_by`, or use the mode `overwrite`"));
    }
    replaced_by_key(&write, table).await?;
    check_present_rows(lake, table, &shaped).await?;
    let constraints =
        Constraints::compile(&lake.runtime, &write.table, &shaped.schema, &shaped.constraints)?;
    let rows = plan::shape(input, &shaped.schema, &constraints);
    let arranged =
        plan::arrange(&lake.runtime, lake.threads, rows, &shaped.partition_by, &write.cluster_by)
            .await?;
    let target = shaped.target(lake, &write.table);
    let files = writer::write(target.clone(), arranged).await?;
    let change = Files { write: write.clone(), incoming, shaped, target, files };
    Ok(Box::new(PreparedWrite { lake: Arc::clone(lake), write, change: Box::new(change) }))
}

/// The files of earlier appends that this write takes out.
async fn replaced_by_key(write: &TableWrite, table: Option<&Table>) -> Result<Vec<DataFile>> {
    let mut files = Vec::new();
    if let Some(table) = table {
        for key in &write.replaces {
            files.extend(appended_files(table, key).await?);
        }
    }
    Ok(files)
}

/// Written files that are to be added.
struct Files {
    write: TableWrite,
    incoming: SchemaRef,
    shaped: Shaped,
    target: Target,
    files: Vec<Written>,
}

#[async_trait]
impl Change for Files {
    async fn propose(&mut self, table: Option<&Table>) -> Result<Proposal> {
        let shaped = Shaped::new(&self.write, table, &self.incoming)?;
        self.check_same_files(&shaped)?;
        let mut actions = layout_actions(table, &shaped.layout())?;
        let present = match table {
            Some(table) if self.write.mode != WriteMode::Append => table.files()?,
            _ => Vec::new(),
        };
        let mut removed = self.replaced(present, &shaped);
        removed.extend(replaced_by_key(&self.write, table).await?);
        let mut detail = BTreeMap::new();
        if !removed.is_empty() {
            let rows = removed.iter().map(|file| file.rows().unwrap_or_default()).sum();
            detail.insert("removed".to_owned(), rows);
        }
        let operation = self.operation(&shaped, !removed.is_empty());
        actions.extend(removed.into_iter().map(|file| Action::Remove(file.remove)));
        actions.extend(self.files.iter().map(add_action));
        let rows = self.files.iter().map(|file| file.rows).sum();
        Ok(Proposal { actions, operation, rows, detail })
    }

    fn attempts_max(&self) -> u32 {
        match self.write.mode {
            WriteMode::Append => APPEND_ATTEMPTS_MAX,
            _ => RECOMPUTE_ATTEMPTS_MAX,
        }
    }

    async fn withdraw(&mut self) {
        writer::delete(&self.target, &self.files).await;
        self.files.clear();
    }

    async fn clean(&mut self) {}
}

impl Files {
    /// Somebody may have given the table other columns while the files were written.
    fn check_same_files(&self, now: &Shaped) -> Result<()> {
        let written = &self.shaped;
        let same_type = |field: &arrow::datatypes::FieldRef| {
            let now = now.schema.field_with_name(field.name());
            now.is_ok_and(|now| now.data_type() == field.data_type())
        };
        let same_columns = written.schema.fields().iter().all(same_type);
        if same_columns && written.partition_by == now.partition_by {
            return Ok(());
        }
        let name = &self.write.table;
        Err(Problem::new(
            &codes::TABLE_CONFLICT,
            format!("somebody changed the columns of `{name}` while rows were written to it"),
        )
        .arg("table", name)
        .hint("run again: the rows are then written to the new columns"))
    }

    /// The files whose place is taken.
    fn replaced(&self, present: Vec<DataFile>, shaped: &Shaped) -> Vec<DataFile> {
        if self.write.mode == WriteMode::Overwrite {
            return present;
        }
        let key = |partition: &BTreeMap<String, Option<String>>| -> Vec<Option<String>> {
            let value = |column| partition.get(column).cloned().flatten();
            shaped.partition_by.iter().map(value).collect()
        };
        let written: BTreeSet<_> = self.files.iter().map(|file| key(&file.partition)).collect();
        present.into_iter().filter(|file| written.contains(&key(&file.partition()))).collect()
    }

    fn operation(&self, shaped: &Shaped, removes: bool) -> DeltaOperation {
        let overwrites = self.write.mode != WriteMode::Append || removes;
        DeltaOperation::Write {
            mode: if overwrites { SaveMode::Overwrite } else { SaveMode::Append },
            partition_by: (!shaped.partition_by.is_empty()).then(|| shaped.partition_by.clone()),
            predicate: None,
        }
    }
}

/// The action that adds a written file.
pub(crate) fn add_action(file: &Written) -> Action {
    Action::Add(Add {
        path: file.path.clone(),
        partition_values: file.partition.clone().into_iter().collect(),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(file.stats.clone()),
        ..Add::default()
    })
}
