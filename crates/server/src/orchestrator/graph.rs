//! A plan as the scheduler sees it.

use super::names::pool_number;
use model::pipeline::{Growth, Overlap, Retry, RunPolicy, When};
use model::plan::{Plan, Task, Work};
use model::{Result, Span};
use scheduler::{Graph, Need, Node, NodeKind, RetryPolicy, Rule, RunLimits};
use store::WorkspaceId;

/// Runs at the same time of a pipeline without data nodes that says nothing about it.
const ACTIONS_AT_ONCE: u32 = 1_000;

/// The graph of a plan.
pub(super) fn graph(workspace: &WorkspaceId, plan: &Plan) -> Result<Graph> {
    Graph::new(plan.tasks.iter().map(|task| node(workspace, task)).collect())
        .map_err(|problem| problem.in_pipeline(&plan.pipeline))
}

fn node(workspace: &WorkspaceId, task: &Task) -> Node {
    let mut parents: Vec<u32> = task.parents.iter().map(|parent| parent.task).collect();
    parents.sort_unstable();
    parents.dedup();
    let is_ours = matches!(task.work, Work::Action { outside: false, .. });
    let pool = task.pool.as_ref();
    Node {
        parents,
        kind: if is_ours { NodeKind::Wait } else { NodeKind::Work },
        rule: match task.when {
            When::Succeeded => Rule::AllSucceeded,
            When::NoneFailed => Rule::NoneFailed,
            When::Failed => Rule::AnyFailed,
            When::Always => Rule::AllDone,
        },
        retry: task.retry.map(retry).unwrap_or_default(),
        timeout_us: task.timeout_us.unwrap_or(scheduler::TIMEOUT_US),
        need: pool.map(|(pool, slots)| Need {
            pool: pool_number(workspace, pool.as_str()),
            slots: *slots,
        }),
    }
}

fn retry(retry: Retry) -> RetryPolicy {
    RetryPolicy {
        attempts_max: retry.attempts,
        growth: match retry.growth {
            Growth::Fixed => scheduler::Growth::Fixed,
            Growth::Exponential => scheduler::Growth::Exponential,
        },
        first_us: retry.wait.us(),
        cap_us: retry.longest.us().max(retry.wait.us()),
        jitter: retry.jitter,
    }
}

/// How many runs of a plan there may be, and how long.
pub(super) fn limits(plan: &Plan) -> RunLimits {
    let RunPolicy { overlap, at_once, queue, timeout, late_after, .. } = plan.policy.clone();
    let has_data = plan.tasks.iter().any(|task| task.work == Work::Data);
    let at_once = at_once.unwrap_or(if has_data { 1 } else { ACTIONS_AT_ONCE });
    RunLimits {
        overlap: match overlap {
            Overlap::Queue => scheduler::Overlap::Queue,
            Overlap::Skip => scheduler::Overlap::Skip,
            Overlap::CancelPrevious => scheduler::Overlap::CancelPrevious,
            Overlap::Fail => scheduler::Overlap::Fail,
        },
        running_max: at_once.max(1) as usize,
        queued_max: queue as usize,
        timeout_us: timeout.map_or(scheduler::RUN_TIMEOUT_US, Span::us),
        late_us: late_after.map(Span::us),
    }
}
