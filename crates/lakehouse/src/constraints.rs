//! CHECK constraints: expressions that hold for every row of a table.

use crate::errors::{from_arrow, from_datafusion};
use crate::runtime::Runtime;
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::physical_plan::PhysicalExpr;
use model::{Problem, Result, TableName, codes};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows named in a problem.
const ROWS_MAX: usize = 5;
/// Characters of a row in a problem.
const ROW_BYTES_MAX: usize = 400;

/// Compiled constraints of one table.
#[derive(Debug, Clone)]
pub(crate) struct Constraints {
    table: TableName,
    compiled: Vec<(String, String, Arc<dyn PhysicalExpr>)>,
}

impl Constraints {
    /// Compiles expressions over the columns of `schema`.
    pub(crate) fn compile(
        runtime: &Runtime,
        table: &TableName,
        schema: &SchemaRef,
        constraints: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut compiled = Vec::with_capacity(constraints.len());
        if !constraints.is_empty() {
            let state = runtime.session(1, true).state();
            let columns =
                DFSchema::try_from(Arc::clone(schema)).map_err(|error| from_datafusion(&error))?;
            for (name, text) in constraints {
                let expression = state
                    .create_logical_expr(text, &columns)
                    .and_then(|logical| state.create_physical_expr(logical, &columns))
                    .map_err(|error| invalid(table, name, text, &error))?;
                compiled.push((name.clone(), text.clone(), expression));
            }
        }
        Ok(Self { table: table.clone(), compiled })
    }

    /// Refuses a batch with a row for which one of the expressions is not true.
    pub(crate) fn check(&self, batch: &RecordBatch) -> Result<()> {
        for (name, text, expression) in &self.compiled {
            let value = expression
                .evaluate(batch)
                .and_then(|value| value.into_array(batch.num_rows()))
                .map_err(|error| from_datafusion(&error))?;
            if value.data_type() != &DataType::Boolean {
                return Err(Problem::new(
                    &codes::SQL_INVALID,
                    format!("the constraint `{name}` of `{}` is not a condition", self.table),
                )
                .arg("constraint", name)
                .hint("write an expression that is true or false, such as `amount >= 0`"));
            }
            let holds = value.as_boolean();
            let is_true = |row: &usize| holds.is_valid(*row) && holds.value(*row);
            if holds.true_count() < batch.num_rows() {
                let rows = (0..batch.num_rows()).filter(|row| !is_true(row)).take(ROWS_MAX);
                return Err(self.violated(name, text, batch, holds, rows.collect())?);
            }
        }
        Ok(())
    }

    fn violated(
        &self,
        name: &str,
        text: &str,
        batch: &RecordBatch,
        holds: &BooleanArray,
        rows: Vec<usize>,
    ) -> Result<Problem> {
        let count = batch.num_rows() - holds.true_count();
        let indices: UInt32Array =
            rows.iter().map(|row| u32::try_from(*row).unwrap_or(u32::MAX)).collect();
        let batch = arrow::compute::take_record_batch(batch, &indices)
            .map_err(|error| from_arrow(&error))?;
        let shown = (0..batch.num_rows()).map(|row| row_text(&batch, row)).collect::<Vec<_>>();
        Ok(Problem::new(
            &codes::CONSTRAINT_VIOLATED,
            format!("{count} or more rows break the constraint `{name}` of `{}`", self.table),
        )
        .arg("constraint", name)
        .arg("table", &self.table)
        .detail(format!("not true: `{text}`; rows: {}", shown.join("; ")))
        .hint(
            "send such rows to rejects with `validate`; where null is fine, say so with `OR … \
               IS NULL`",
        ))
    }
}

/// A row for a message.
pub(crate) fn row_text(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    let schema = batch.schema();
    let values: Vec<String> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let value = ArrayFormatter::try_new(column, &options)
                .map(|formatter| formatter.value(row).to_string())
                .unwrap_or_default();
            format!("{}={value}", field.name())
        })
        .collect();
    let text = values.join(", ");
    format!("({})", stdx::text::truncate(&text, ROW_BYTES_MAX))
}

fn invalid(
    table: &TableName,
    name: &str,
    text: &str,
    error: &datafusion::error::DataFusionError,
) -> Problem {
    Problem::new(
        &codes::SQL_INVALID,
        format!("the constraint `{name}` of `{table}` cannot be understood: `{text}`"),
    )
    .arg("constraint", name)
    .arg("table", table)
    .detail(error.find_root())
    .hint("use only columns of the table and built-in functions")
}
