//! merge and scd2: files that hold a changed key are written anew, all others stay.
//!
//! Everything is worked out on the version that the commit is based on, and everything that
//! grows with the data is a query that can spill.

use crate::balance::balance;
use crate::commit::{Change, Proposal, layout_actions};
use crate::constraints::Constraints;
use crate::lake::Inner;
use crate::plan;
use crate::prepare::{
    PreparedWrite, RECOMPUTE_ATTEMPTS_MAX, Shaped, add_action, check_present_rows,
};
use crate::provider::LakeTable;
use crate::sql::{self, DELETED, PATH, ROW_ID, quoted};
use crate::staging::{self, Keys, Staged, collect};
use crate::table::{DataFile, Table};
use crate::writer::{self, Target, Written};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema};
use async_trait::async_trait;
use contracts::Batches;
use contracts::arrow_types::{FILE, ROW};
use contracts::sink::Prepared;
use contracts::table::{IS_CURRENT, TableWrite, VALID_FROM, VALID_TO, WriteMode};
use datafusion::prelude::SessionContext;
use deltalake::kernel::Action;
use deltalake::protocol::{DeltaOperation, SaveMode};
use model::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Stages the rows of a merge or of a history.
pub(crate) async fn prepare(
    lake: &Arc<Inner>,
    write: TableWrite,
    table: Option<&Table>,
    input: Batches,
) -> Result<Box<dyn Prepared>> {
    let keys = Keys::new(&write, &input.schema)?;
    let incoming = keys.stored_columns(&input.schema);
    let shaped = Shaped::new(&write, table, &incoming)?;
    let compare = compared(&write, &keys, &shaped.schema)?;
    check_present_rows(lake, table, &shaped).await?;
    let staged = staging::stage(lake, &write, &shaped, &keys, input).await?;
    let change = Merge {
        lake: Arc::clone(lake),
        write: write.clone(),
        incoming,
        shaped,
        keys,
        compare,
        staged,
        worked_out: Vec::new(),
        files: Vec::new(),
    };
    Ok(Box::new(PreparedWrite { lake: Arc::clone(lake), write, change: Box::new(change) }))
}

/// Columns whose difference makes a row a changed one. Where a row came from does not.
fn compared(write: &TableWrite, keys: &Keys, schema: &Schema) -> Result<Vec<String>> {
    if let WriteMode::Scd2 { compare, .. } = &write.mode
        && !compare.is_empty()
    {
        for column in compare {
            if schema.index_of(column).is_err() {
                let table = &write.table;
                return Err(crate::prepare::unknown_column(table, schema, "compare", column));
            }
        }
        return Ok(compare.clone());
    }
    let history = [VALID_FROM, VALID_TO, IS_CURRENT];
    let is_compared = |name: &&String| {
        let name = name.as_str();
        let is_history = keys.valid_from_us.is_some() && history.contains(&name);
        !(name == FILE || name == ROW || is_history || keys.key.iter().any(|key| key == name))
    };
    Ok(schema.fields().iter().map(|field| field.name()).filter(is_compared).cloned().collect())
}

/// Staged rows that are to be merged.
struct Merge {
    lake: Arc<Inner>,
    write: TableWrite,
    incoming: Schema,
    shaped: Shaped,
    keys: Keys,
    compare: Vec<String>,
    staged: Staged,
    /// Files in the staging folder that the last attempt made.
    worked_out: Vec<Written>,
    /// Data files of the last attempt.
    files: Vec<Written>,
}

/// Rows in the staging folder that were worked out from the staged ones.
struct Kept {
    target: Target,
    files: Vec<Written>,
}

impl Kept {
    fn provider(&self, lake: &Inner) -> Result<LakeTable> {
        LakeTable::of_files(&lake.root, &self.target, &self.files)
    }
}

/// Source rows that change something, and how many did what.
struct Changes {
    rows: Kept,
    counts: BTreeMap<String, u64>,
    /// Paths of the table's files that hold a changed row.
    rewritten: BTreeSet<String>,
}

#[async_trait]
impl Change for Merge {
    async fn propose(&mut self, table: Option<&Table>) -> Result<Proposal> {
        self.forget_attempt().await;
        self.shaped = Shaped::new(&self.write, table, &self.incoming)?;
        let mut actions = layout_actions(table, &self.shaped.layout())?;
        let present = table.map(Table::files).transpose()?.unwrap_or_default();
        let (counts, removed) = match table {
            Some(_) if self.write.rebuild => self.rebuild(present).await?,
            Some(table) if !present.is_empty() => self.merge_into(table, present).await?,
            _ => (self.insert_all().await?, Vec::new()),
        };
        actions.extend(removed.into_iter().map(|file| Action::Remove(file.remove)));
        actions.extend(self.files.iter().map(add_action));
        let rows = ["inserted", "updated"].iter().filter_map(|what| counts.get(*what)).sum();
        Ok(Proposal { actions, operation: self.operation(), rows, detail: counts })
    }

    fn attempts_max(&self) -> u32 {
        RECOMPUTE_ATTEMPTS_MAX
    }

    async fn withdraw(&mut self) {
        self.forget_attempt().await;
        self.clean().await;
    }

    async fn clean(&mut self) {
        writer::delete(&self.staged.target, &self.worked_out).await;
        writer::delete(&self.staged.target, &self.staged.files).await;
        self.worked_out.clear();
        self.staged.files.clear();
    }
}

impl Merge {
    async fn forget_attempt(&mut self) {
        writer::delete(&self.staged.target, &self.worked_out).await;
        writer::delete(&self.staged.target, &self.files).await;
        self.worked_out.clear();
        self.files.clear();
    }

    /// There is nothing to merge with: every row that does not delete is new.
    async fn insert_all(&mut self) -> Result<BTreeMap<String, u64>> {
        let session = sql::session(&self.lake, self.staged.bytes);
        sql::register(&session, "s", self.staged.provider(&self.lake)?)?;
        let query = match self.keys.is_rebuilt {
            true => self.history_query(),
            false => format!("SELECT * FROM s WHERE NOT {}", quoted(DELETED)),
        };
        let rows = sql::stream(&session, &query).await?;
        self.write_files(vec![rows]).await?;
        let inserted = self.files.iter().map(|file| file.rows).sum();
        Ok(counts(&[("inserted", inserted)]))
    }

    /// The versions of each key: a row begins one when it differs from the row before it, and
    /// holds until the next one begins.
    fn history_query(&self) -> String {
        let key = self.keys.key.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let from = quoted(VALID_FROM);
        let by_time = format!("OVER (PARTITION BY {key} ORDER BY {from})");
        let differs = self.compare.iter().map(|column| {
            let column = quoted(column);
            format!("(lag({column}) {by_time} IS DISTINCT FROM {column})")
        });
        let is_first = format!("(row_number() {by_time} = 1)");
        let begins = [is_first].into_iter().chain(differs).collect::<Vec<_>>().join(" OR ");
        let columns: Vec<String> = self
            .shaped
            .schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                VALID_TO => format!("lead({from}) {by_time} AS {}", quoted(VALID_TO)),
                IS_CURRENT => format!("(lead({from}) {by_time} IS NULL) AS {}", quoted(IS_CURRENT)),
                name => quoted(name),
            })
            .collect();
        let columns = columns.join(", ");
        format!("SELECT {columns} FROM (SELECT *, ({begins}) AS begins FROM s) WHERE begins")
    }

    /// Everything that is there goes, and the rows come in as into a new table.
    async fn rebuild(
        &mut self,
        present: Vec<DataFile>,
    ) -> Result<(BTreeMap<String, u64>, Vec<DataFile>)> {
        let mut counts = self.insert_all().await?;
        let removed = present.iter().map(|file| file.rows().unwrap_or_default()).sum();
        counts.insert("removed".to_owned(), removed);
        Ok((counts, present))
    }

    async fn merge_into(
        &mut self,
        table: &Table,
        present: Vec<DataFile>,
    ) -> Result<(BTreeMap<String, u64>, Vec<DataFile>)> {
        let touched = self.touched(table, &present).await?;
        if touched.is_empty() {
            return Ok((self.insert_all().await?, Vec::new()));
        }
        let touched: Vec<DataFile> =
            present.into_iter().filter(|file| touched.contains(&file.add.path)).collect();
        let pairs = self.pairs(table, touched.clone()).await?;
        let changes = self.changes(pairs).await?;
        let removed: Vec<DataFile> =
            touched.into_iter().filter(|file| changes.rewritten.contains(&file.add.path)).collect();
        self.rewrite(table, removed.clone(), &changes.rows).await?;
        Ok((changes.counts, removed))
    }

    /// Paths of files that hold a key of the staged rows; only key columns are read.
    async fn touched(&self, table: &Table, present: &[DataFile]) -> Result<BTreeSet<String>> {
        let session = sql::session(&self.lake, self.staged.bytes);
        let staged = self.staged.provider(&self.lake)?;
        let target = LakeTable::for_merge(&self.lake.root, table, present.to_vec())?;
        sql::register_in_range(&session, "t", target, &self.keys.key, &staged)?;
        sql::register(&session, "s", staged)?;
        let query = format!(
            "SELECT DISTINCT t.{path} FROM t \
             WHERE {current} AND EXISTS (SELECT 1 FROM s WHERE {on})",
            path = quoted(PATH),
            current = self.only_current("t"),
            on = self.on("s", "t"),
        );
        paths(&session, &query).await
    }

    /// Staged rows beside the table's row with the same key, and whether they are the same.
    async fn pairs(&mut self, table: &Table, touched: Vec<DataFile>) -> Result<Kept> {
        let session = sql::session(&self.lake, self.staged.bytes);
        let staged = self.staged.provider(&self.lake)?;
        let target = LakeTable::for_merge(&self.lake.root, table, touched)?;
        sql::register_in_range(&session, "t", target, &self.keys.key, &staged)?;
        sql::register(&session, "s", staged)?;
        let same: Vec<String> = self
            .compare
            .iter()
            .map(|column| match table.schema.index_of(column) {
                Ok(_) => format!("(t.{c} IS NOT DISTINCT FROM s.{c})", c = quoted(column)),
                Err(_) => format!("(s.{} IS NULL)", quoted(column)),
            })
            .chain([format!("NOT s.{}", quoted(DELETED))])
            .collect();
        let since = match self.keys.valid_from_us {
            Some(_) => format!(", t.{} AS since", quoted(VALID_FROM)),
            None => String::new(),
        };
        let query = format!(
            "SELECT s.{row}, t.{path}, ({same}) AS same{since} \
             FROM t JOIN s ON {on} WHERE {current}",
            row = quoted(ROW_ID),
            path = quoted(PATH),
            same = same.join(" AND "),
            on = self.on("s", "t"),
            current = self.only_current("t"),
        );
        let rows = sql::stream(&session, &query).await?;
        self.keep_beside(rows).await
    }

    /// Works out which staged rows change something, and which files they are in.
    async fn changes(&mut self, pairs: Kept) -> Result<Changes> {
        let session = sql::session(&self.lake, self.staged.bytes);
        sql::register(&session, "p", pairs.provider(&self.lake)?)?;
        sql::register(&session, "s", self.staged.provider(&self.lake)?)?;
        let rows = sql::stream(&session, &self.changes_query()).await?;
        let rows = self.keep_beside(rows).await?;
        sql::register(&session, "c", rows.provider(&self.lake)?)?;
        let counts = self.count(&session).await?;
        let query = format!(
            "SELECT DISTINCT p.{path} FROM p JOIN c ON p.{row} = c.{row}",
            path = quoted(PATH),
            row = quoted(ROW_ID),
        );
        let rewritten = paths(&session, &query).await?;
        Ok(Changes { rows, counts, rewritten })
    }

    fn changes_query(&self) -> String {
        let columns: Vec<String> = self
            .staged
            .target
            .schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                // A version never begins before the one that it ends.
                VALID_FROM if self.keys.valid_from_us.is_some() => {
                    let from = quoted(VALID_FROM);
                    format!("greatest(s.{from}, r.since) AS {from}")
                }
                name => format!("s.{}", quoted(name)),
            })
            .collect();
        let since = match self.keys.valid_from_us {
            Some(_) => ", max(since) AS since",
            None => "",
        };
        let row = quoted(ROW_ID);
        format!(
            "SELECT {columns}, r.{row} IS NOT NULL AS matched FROM s LEFT JOIN \
             (SELECT {row}, count(*) AS times, bool_and(same) AS same{since} \
             FROM p GROUP BY {row}) r \
             ON s.{row} = r.{row} \
             WHERE (r.{row} IS NULL AND NOT s.{deleted}) OR r.times > 1 OR NOT r.same",
            columns = columns.join(", "),
            deleted = quoted(DELETED),
        )
    }

    async fn count(&self, session: &SessionContext) -> Result<BTreeMap<String, u64>> {
        let query = format!(
            "SELECT count(*) FILTER (WHERE NOT matched), \
             count(*) FILTER (WHERE matched AND NOT {deleted}), \
             count(*) FILTER (WHERE matched AND {deleted}) FROM c",
            deleted = quoted(DELETED),
        );
        let batches = collect(session, &query).await?;
        let number = |column: usize| -> u64 {
            let counts = batches.iter().filter(|batch| batch.num_rows() > 0);
            counts
                .map(|batch| batch.column(column).as_primitive::<Int64Type>().value(0))
                .filter_map(|count| u64::try_from(count).ok())
                .sum()
        };
        let (inserted, updated, deleted) = (number(0), number(1), number(2));
        let unchanged = self.staged.rows.saturating_sub(inserted + updated + deleted);
        Ok(counts(&[
            ("inserted", inserted),
            ("updated", updated),
            ("deleted", deleted),
            ("unchanged", unchanged),
        ]))
    }

    /// Writes files anew without their changed rows, and the changed rows.
    async fn rewrite(
        &mut self,
        table: &Table,
        removed: Vec<DataFile>,
        changed: &Kept,
    ) -> Result<()> {
        let session = sql::session(&self.lake, self.staged.bytes);
        sql::register(&session, "c", changed.provider(&self.lake)?)?;
        let mut rows = Vec::new();
        if !removed.is_empty() {
            let old = LakeTable::for_merge(&self.lake.root, table, removed)?;
            sql::register(&session, "t", old)?;
            rows.push(sql::stream(&session, &self.old_rows_query(table)).await?);
        }
        let query = format!("SELECT * FROM c WHERE NOT {}", quoted(DELETED));
        rows.push(sql::stream(&session, &query).await?);
        self.write_files(rows).await
    }

    fn old_rows_query(&self, table: &Table) -> String {
        if self.keys.valid_from_us.is_none() {
            return format!(
                "SELECT * FROM t WHERE NOT EXISTS (SELECT 1 FROM c WHERE {})",
                self.on("c", "t")
            );
        }
        let row = quoted(ROW_ID);
        let columns: Vec<String> = table
            .schema
            .fields()
            .iter()
            .map(|field| {
                let column = quoted(field.name());
                let ended = match field.name().as_str() {
                    VALID_TO => format!("c.{}", quoted(VALID_FROM)),
                    IS_CURRENT => "false".to_owned(),
                    _ => return format!("t.{column}"),
                };
                format!("CASE WHEN c.{row} IS NULL THEN t.{column} ELSE {ended} END AS {column}")
            })
            .collect();
        format!(
            "SELECT {} FROM t LEFT JOIN c ON {} AND {}",
            columns.join(", "),
            self.on("c", "t"),
            self.only_current("t"),
        )
    }

    async fn write_files(&mut self, rows: Vec<Batches>) -> Result<()> {
        // Staged rows were checked already, and the table's rows when they were written.
        let none = Constraints::compile(
            &self.lake.runtime,
            &self.write.table,
            &self.shaped.schema,
            &BTreeMap::new(),
        )?;
        let shaped = rows.into_iter().map(|rows| plan::shape(rows, &self.shaped.schema, &none));
        let partitions = shaped.flat_map(|rows| rows.partitions).collect();
        let rows = Batches::new(Arc::clone(&self.shaped.schema), partitions);
        let arranged = plan::arrange(
            &self.lake.runtime,
            self.lake.threads,
            rows,
            &self.shaped.partition_by,
            &self.write.cluster_by,
        )
        .await?;
        let target = self.shaped.target(&self.lake, &self.write.table);
        self.files = writer::write(target, arranged).await?;
        Ok(())
    }

    /// Keeps rows in the staging folder until the commit.
    async fn keep_beside(&mut self, rows: Batches) -> Result<Kept> {
        let target = self.staged.beside(&rows.schema);
        let balanced = balance(rows, self.lake.threads).await?;
        let files = writer::write(target.clone(), balanced).await?;
        self.worked_out.extend(files.clone());
        Ok(Kept { target, files })
    }

    fn on(&self, left: &str, right: &str) -> String {
        let equal = |column: &String| format!("{left}.{c} = {right}.{c}", c = quoted(column));
        self.keys.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// A history is compared with the versions that hold now.
    fn only_current(&self, table: &str) -> String {
        match self.keys.valid_from_us {
            Some(_) => format!("{table}.{}", quoted(IS_CURRENT)),
            None => "true".to_owned(),
        }
    }

    fn operation(&self) -> DeltaOperation {
        if self.write.rebuild {
            let mode = SaveMode::Overwrite;
            return DeltaOperation::Write { mode, partition_by: None, predicate: None };
        }
        let predicate = Some(self.on("source", "target"));
        DeltaOperation::Merge {
            predicate: predicate.clone(),
            merge_predicate: predicate,
            matched_predicates: Vec::new(),
            not_matched_predicates: Vec::new(),
            not_matched_by_source_predicates: Vec::new(),
        }
    }
}

async fn paths(session: &SessionContext, query: &str) -> Result<BTreeSet<String>> {
    let batches = collect(session, query).await?;
    let texts = batches.iter().flat_map(|batch| {
        let paths = batch.column(0).as_string::<i32>();
        (0..paths.len()).map(|row| paths.value(row).to_owned()).collect::<Vec<_>>()
    });
    Ok(texts.collect())
}

fn counts(named: &[(&str, u64)]) -> BTreeMap<String, u64> {
    named.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}
