//! The query engine: registers what a request names, plans step after step.

use crate::at_version;
use crate::count::Count;
use crate::planned::PlannedQuery;
use crate::problems::problem;
use crate::session::{SessionParts, session};
use crate::stream_table::StreamTable;
use arrow::datatypes::{DataType as ArrowType, Schema};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use contracts::arrow_types::{canonical_schema, canonical_type, to_arrow};
use contracts::function::ScalarFunction;
use contracts::{ParamValue, PlanInput, PlanRequest, Planned, QueryEngine, Sql, Step};
use datafusion::catalog::TableProvider;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder, cast, col, ident};
use datafusion::sql::parser::Statement;
use model::{Problem, Result, TableName, codes};
use sqlparser::ast;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A table as the engine reads it.
pub type Provider = Arc<dyn TableProvider>;

/// Opens lake tables for queries.
#[async_trait]
pub trait LakeTables: Send + Sync {
    /// The table at a version, or at its newest. None when there is no such table.
    async fn provider(&self, table: &TableName, version: Option<u64>) -> Result<Option<Provider>>;
}

/// `DataFusion`, with our functions and plan nodes.
pub struct DataFusionEngine {
    runtime: Arc<RuntimeEnv>,
    memory_bytes: usize,
    functions: Vec<ScalarFunction>,
    lake: Option<Arc<dyn LakeTables>>,
}

impl DataFusionEngine {
    /// An engine over one runtime (memory pool, spill folder) of `memory_bytes`.
    pub fn new(
        runtime: Arc<RuntimeEnv>,
        memory_bytes: usize,
        functions: Vec<ScalarFunction>,
        lake: Option<Arc<dyn LakeTables>>,
    ) -> Self {
        Self { runtime, memory_bytes, functions, lake }
    }

    /// Hash joins are faster, but their build side cannot spill: they are for inputs that
    /// certainly fit.
    fn hash_joins_fit(&self, inputs: &[PlanInput], table_bytes: u64) -> bool {
        // Columns on disk are compressed, four to one or so.
        let tables = table_bytes.saturating_mul(4);
        let total = inputs.iter().try_fold(tables, |sum, input| Some(sum + input.bytes?));
        total.is_some_and(|bytes| bytes.saturating_mul(4) < self.memory_bytes as u64)
    }
}

#[async_trait]
impl QueryEngine for DataFusionEngine {
    async fn plan(&self, request: PlanRequest) -> Result<Box<dyn Planned>> {
        let mut streams = Vec::with_capacity(request.inputs.len());
        let mut local: HashMap<String, Arc<dyn TableProvider>> = HashMap::new();
        for input in &request.inputs {
            let schema = canonical_schema(&input.schema);
            let stream = Arc::new(StreamTable::new(&input.name, schema, input.in_origin_order));
            local.insert(input.name.clone(), Arc::clone(&stream) as Arc<dyn TableProvider>);
            streams.push((input.name.clone(), stream));
        }
        let state = |local: &HashMap<String, Arc<dyn TableProvider>>| {
            session(SessionParts {
                runtime: Arc::clone(&self.runtime),
                functions: &self.functions,
                lake: self.lake.clone(),
                versions: request.tables.clone(),
                schemas: request.schemas.clone(),
                local: local.clone(),
                partitions: request.partitions,
                hash_joins: self.hash_joins_fit(&request.inputs, request.table_bytes),
                memory_bytes: self.memory_bytes,
                now: now(&request.params),
            })
        };
        let mut last = None;
        for step in &request.steps {
            let session = state(&local);
            let plan = plan_step(&session, step, &request.params).await?;
            let view = ViewTable::new(plan.clone(), None);
            local.insert(step.name.clone(), Arc::new(view));
            last = Some((session, plan));
        }
        let Some((session, plan)) = last else {
            return Err(Problem::new(&codes::INTERNAL, "a plan has no step"));
        };
        let planned = PlannedQuery::new(session, plan, streams)?;
        Ok(Box::new(planned))
    }
}

/// In a run `now()` is the run's time, so that a resumed run means the same instant.
fn now(params: &BTreeMap<String, ParamValue>) -> DateTime<Utc> {
    let run_time = params.get("run_time").and_then(|param| param.value.as_str());
    run_time
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .map_or_else(Utc::now, |instant| instant.with_timezone(&Utc))
}

async fn plan_step(
    session: &SessionState,
    step: &Step,
    params: &BTreeMap<String, ParamValue>,
) -> Result<LogicalPlan> {
    let query = at_version::rewrite(&step.sql)?;
    let statement = Statement::Statement(Box::new(ast::Statement::Query(Box::new(query))));
    let plan = session.statement_to_plan(statement).await.map_err(problem)?;
    let plan = bind(plan, &step.sql, params)?;
    let plan = canonical(plan)?;
    Ok(match &step.counter {
        None => plan,
        Some(counter) => LogicalPlan::Extension(Extension {
            node: Arc::new(Count {
                input: plan,
                step: step.name.clone(),
                counter: Arc::clone(counter),
            }),
        }),
    })
}

fn bind(
    plan: LogicalPlan,
    sql: &Sql,
    params: &BTreeMap<String, ParamValue>,
) -> Result<LogicalPlan> {
    let wanted = sql.parameters();
    if wanted.is_empty() {
        return Ok(plan);
    }
    let mut values = HashMap::new();
    for name in wanted {
        let Some(param) = params.get(&name) else {
            let known = params.keys().map(String::as_str);
            let hint = match stdx::text::nearest(&name, known) {
                Some(near) => format!("did you mean `${near}`?"),
                None => format!("declare it under `params:`, as in `{name}: {{type: date}}`"),
            };
            return Err(Problem::new(
                &codes::NAME_UNKNOWN,
                format!("there is no parameter `${name}`"),
            )
            .arg("parameter", &name)
            .hint(hint));
        };
        values.insert(name, scalar(param)?.into());
    }
    plan.with_param_values(ParamValues::Map(values)).map_err(problem)
}

fn scalar(param: &ParamValue) -> Result<ScalarValue> {
    let arrow_type = to_arrow(&param.data_type);
    let text = match &param.value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    ScalarValue::Utf8View(text).cast_to(&arrow_type).map_err(|error| {
        Problem::new(
            &codes::SETTING_INVALID,
            format!("`{}` is not of type {}", param.value, param.data_type),
        )
        .detail(error)
    })
}

/// The plan with every column in its canonical type and no qualifiers.
fn canonical(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    let mut names = BTreeSet::new();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (qualifier, field) in schema.iter() {
        if !names.insert(field.name().clone()) {
            return Err(Problem::new(
                &codes::SQL_INVALID,
                format!("two columns of the result are called `{}`", field.name()),
            )
            .hint(format!("give one another name, as in `… AS {}_2`", field.name())));
        }
        let column = match qualifier {
            Some(qualifier) => {
                col(datafusion::common::Column::new(Some(qualifier.clone()), field.name()))
            }
            None => ident(field.name()),
        };
        // Row numbers and counts are u64 to the engine, integers to everybody else.
        let wanted = match field.data_type() {
            ArrowType::UInt64 => ArrowType::Int64,
            other => canonical_type(other),
        };
        let column = match *field.data_type() == wanted {
            true => column,
            false => cast(column, wanted),
        };
        columns.push(column.alias(field.name()));
    }
    let metadata: Schema = schema.as_arrow().clone();
    tracing::trace!(columns = metadata.fields().len(), "planned");
    LogicalPlanBuilder::from(plan)
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(problem)
}
