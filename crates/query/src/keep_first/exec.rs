//! The plan node: prepares batches on every core, hands them to one of the two ways of choosing.

use super::keys::{KeyEncoder, Keys};
use super::unordered::Split;
use super::{KeepFirst, ordered, unordered};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::catalog::Session;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::UserDefinedLogicalNodeCore;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, SpillManager,
};
use datafusion::physical_planner::PhysicalPlanner;
use futures::StreamExt;
use futures::stream;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// What travels between tasks: a channel that closes before its end means that a task has died,
/// and must never look like fewer rows.
pub(super) enum Message<T> {
    Item(T),
    End,
}

/// Prepared batches, one channel per partition.
pub(super) type Inputs<T> = Vec<mpsc::Receiver<Result<Message<T>>>>;

/// The next item; none after the end.
pub(super) async fn next<T>(
    receiver: &mut mpsc::Receiver<Result<Message<T>>>,
) -> Result<Option<T>> {
    match receiver.recv().await {
        Some(Ok(Message::Item(item))) => Ok(Some(item)),
        Some(Ok(Message::End)) => Ok(None),
        Some(Err(error)) => Err(error),
        None => internal_err!("a task of KeepFirstExec died"),
    }
}

/// Batches in flight per partition, before and after the choice.
const QUEUE_BATCHES: usize = 2;

/// For each key the first row.
pub(crate) struct KeepFirstExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<PhysicalSortExpr>,
    /// Whether each partition of the input is in the order already.
    is_ordered: bool,
    properties: Arc<PlanProperties>,
    running: Mutex<Option<Running>>,
}

/// The outputs that are still to be taken.
struct Running {
    outputs: Vec<Option<mpsc::Receiver<Result<Message<RecordBatch>>>>>,
    tasks: Arc<Vec<SpawnedTask<()>>>,
}

/// A batch with its keys and its place in the order.
pub(super) struct Prepared {
    pub(super) batch: RecordBatch,
    pub(super) keys: Keys,
    pub(super) order: Order,
}

/// The order values of a batch.
pub(super) enum Order {
    /// Rows come in order; the first and last of them.
    Sorted(OwnedRow, OwnedRow),
    /// One value per row.
    Rows(Rows),
    /// Any row will do.
    None,
}

/// Where chosen rows go.
pub(super) struct Outputs {
    senders: Vec<mpsc::Sender<Result<Message<RecordBatch>>>>,
    next: usize,
}

impl Outputs {
    /// Sends to one partition after the other. False when nobody wants more.
    pub(super) async fn send(&mut self, batch: RecordBatch) -> bool {
        if batch.num_rows() == 0 {
            return true;
        }
        let mut batch = Ok(Message::Item(batch));
        for _ in 0..self.senders.len() {
            self.next = (self.next + 1) % self.senders.len();
            match self.senders[self.next].send(batch).await {
                Ok(()) => return true,
                Err(unsent) => batch = unsent.0,
            }
        }
        false
    }

    /// How many partitions there are.
    pub(super) fn count(&self) -> usize {
        self.senders.len()
    }

    /// Says that all rows have been sent, or why not.
    async fn close(&self, result: Result<()>) {
        match result {
            Ok(()) => {
                for sender in &self.senders {
                    let _ = sender.send(Ok(Message::End)).await;
                }
            }
            Err(error) => {
                if let Some(sender) = self.senders.first() {
                    let _ = sender.send(Err(error)).await;
                }
            }
        }
    }
}

/// What both ways of choosing need.
pub(super) struct Workshop {
    pub(super) encoder: Arc<Encoder>,
    pub(super) spill: SpillManager,
    pub(super) runtime: Arc<RuntimeEnv>,
    pub(super) reservation: MemoryReservation,
    /// Tasks that heavy work is shared out among.
    pub(super) hands: usize,
}

/// Computes keys and order values of batches.
pub(super) struct Encoder {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<PhysicalSortExpr>,
    key_encoder: KeyEncoder,
    order_converter: Option<RowConverter>,
    is_ordered: bool,
}

impl Encoder {
    fn new(exec: &KeepFirstExec, schema: &SchemaRef) -> Result<Self> {
        let key_types =
            exec.keys.iter().map(|key| key.data_type(schema)).collect::<Result<Vec<DataType>>>()?;
        let order_fields = exec
            .order
            .iter()
            .map(|sort| Ok(SortField::new_with_options(sort.expr.data_type(schema)?, sort.options)))
            .collect::<Result<Vec<_>>>()?;
        let order_converter = match order_fields.is_empty() {
            true => None,
            false => Some(RowConverter::new(order_fields)?),
        };
        Ok(Self {
            keys: exec.keys.clone(),
            order: exec.order.clone(),
            key_encoder: KeyEncoder::new(&key_types)?,
            order_converter,
            is_ordered: exec.is_ordered,
        })
    }

    pub(super) fn keys(&self, batch: &RecordBatch) -> Result<Keys> {
        let columns = evaluate(self.keys.iter(), batch)?;
        self.key_encoder.encode(&columns, batch.num_rows())
    }

    pub(super) fn order(&self, batch: &RecordBatch) -> Result<Order> {
        let Some(converter) = &self.order_converter else { return Ok(Order::None) };
        let columns = evaluate(self.order.iter().map(|sort| &sort.expr), batch)?;
        let rows = converter.convert_columns(&columns)?;
        let count = rows.num_rows();
        let sorted = self.is_ordered
            && count > 0
            && (1..count).all(|row| rows.row(row - 1) <= rows.row(row));
        Ok(match sorted {
            true => Order::Sorted(rows.row(0).owned(), rows.row(count - 1).owned()),
            false => Order::Rows(rows),
        })
    }

    fn prepare(&self, batch: RecordBatch) -> Result<Prepared> {
        Ok(Prepared { keys: self.keys(&batch)?, order: self.order(&batch)?, batch })
    }

    fn split(&self, batch: RecordBatch) -> Result<Split> {
        Split::new(&batch, &self.keys(&batch)?.hashes)
    }
}

fn evaluate<'a>(
    expressions: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    expressions.map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}

impl KeepFirstExec {
    pub(crate) fn plan(
        node: &KeepFirst,
        input: &Arc<dyn ExecutionPlan>,
        planner: &dyn PhysicalPlanner,
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> Result<Self> {
        let schema = node.schema();
        let physical = |expr| planner.create_physical_expr(expr, schema, session, planning);
        let keys = node.keys.iter().map(physical).collect::<Result<Vec<_>>>()?;
        let order = node
            .order
            .iter()
            .map(|sort| {
                let options = arrow::compute::SortOptions {
                    descending: !sort.asc,
                    nulls_first: sort.nulls_first,
                };
                Ok(PhysicalSortExpr::new(physical(&sort.expr)?, options))
            })
            .collect::<Result<Vec<_>>>()?;
        Self::new(Arc::clone(input), keys, order)
    }

    fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        order: Vec<PhysicalSortExpr>,
    ) -> Result<Self> {
        let is_ordered = !order.is_empty()
            && input.equivalence_properties().ordering_satisfy(order.iter().cloned())?;
        let mut equivalence = input.equivalence_properties().clone();
        if !is_ordered {
            equivalence.clear_orderings();
        }
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions),
            if is_ordered { EmissionType::Incremental } else { EmissionType::Final },
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties);
        Ok(Self { input, keys, order, is_ordered, properties, running: Mutex::new(None) })
    }

    fn start(&self, context: &Arc<TaskContext>) -> Result<Running> {
        let schema = self.input.schema();
        let encoder = Arc::new(Encoder::new(self, &schema)?);
        let partitions = self.input.output_partitioning().partition_count();
        let (senders, outputs) =
            (0..partitions).map(|_| mpsc::channel(QUEUE_BATCHES)).unzip::<_, _, Vec<_>, Vec<_>>();
        let mut into = Outputs { senders, next: 0 };
        let mut workshop = workshop(Arc::clone(&encoder), context, schema);
        let mut tasks = Vec::with_capacity(partitions + 1);
        if self.is_ordered {
            let inputs = self.inputs(context, &encoder, Encoder::prepare, &mut tasks)?;
            tasks.push(SpawnedTask::spawn(async move {
                let result = ordered::choose(inputs, &mut into, &mut workshop).await;
                into.close(result).await;
            }));
        } else {
            let inputs = self.inputs(context, &encoder, Encoder::split, &mut tasks)?;
            tasks.push(SpawnedTask::spawn(async move {
                let result = unordered::choose(inputs, &mut into, &mut workshop).await;
                into.close(result).await;
            }));
        }
        let outputs = outputs.into_iter().map(Some).collect();
        Ok(Running { outputs, tasks: Arc::new(tasks) })
    }

    /// Starts a task per partition that does the first part of the work.
    fn inputs<T: Send + 'static>(
        &self,
        context: &Arc<TaskContext>,
        encoder: &Arc<Encoder>,
        work: fn(&Encoder, RecordBatch) -> Result<T>,
        tasks: &mut Vec<SpawnedTask<()>>,
    ) -> Result<Inputs<T>> {
        let partitions = 0..self.input.output_partitioning().partition_count();
        partitions
            .map(|partition| {
                let input = self.input.execute(partition, Arc::clone(context))?;
                let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
                tasks.push(SpawnedTask::spawn(prepare(input, Arc::clone(encoder), work, sender)));
                Ok(receiver)
            })
            .collect()
    }
}

fn workshop(encoder: Arc<Encoder>, context: &TaskContext, schema: SchemaRef) -> Workshop {
    let runtime = context.runtime_env();
    let reservation =
        MemoryConsumer::new("KeepFirst").with_can_spill(true).register(&runtime.memory_pool);
    let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let spill = SpillManager::new(Arc::clone(&runtime), metrics, schema);
    let hands = context.session_config().target_partitions();
    Workshop { encoder, spill, runtime, reservation, hands }
}

async fn prepare<T>(
    mut input: SendableRecordBatchStream,
    encoder: Arc<Encoder>,
    work: fn(&Encoder, RecordBatch) -> Result<T>,
    sender: mpsc::Sender<Result<Message<T>>>,
) {
    while let Some(batch) = input.next().await {
        if batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0) {
            continue;
        }
        let prepared = batch.and_then(|batch| work(&encoder, batch)).map(Message::Item);
        let failed = prepared.is_err();
        if sender.send(prepared).await.is_err() || failed {
            return;
        }
    }
    let _ = sender.send(Ok(Message::End)).await;
}

impl fmt::Debug for KeepFirstExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepFirstExec").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl DisplayAs for KeepFirstExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let way = if self.is_ordered { "as rows arrive" } else { "at the end" };
        write!(f, "KeepFirstExec: keys=[{}], {way}", keys.join(", "))
    }
}

impl ExecutionPlan for KeepFirstExec {
    fn name(&self) -> &'static str {
        "KeepFirstExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.is_ordered]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.keys.iter().chain(self.order.iter().map(|sort| &sort.expr)) {
            if visit(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => {
                Ok(Arc::new(Self::new(input, self.keys.clone(), self.order.clone())?))
            }
            _ => internal_err!("KeepFirstExec has one child"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(self.start(&context)?);
        }
        let Some(started) = running.as_mut() else {
            return internal_err!("KeepFirstExec did not start");
        };
        let Some(receiver) = started.outputs.get_mut(partition).and_then(Option::take) else {
            return internal_err!("partition {partition} of KeepFirstExec is read twice");
        };
        // Each output keeps the tasks alive; when the last one is dropped they are aborted.
        let tasks = Arc::clone(&started.tasks);
        let batches = stream::unfold(Some((receiver, tasks)), |state| async move {
            let (mut receiver, tasks) = state?;
            match next(&mut receiver).await.transpose()? {
                Ok(batch) => Some((Ok(batch), Some((receiver, tasks)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
