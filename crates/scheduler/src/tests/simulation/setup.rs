//! What is declared in a simulated world, by chance.

use crate::{
    Calendar, Condition, Graph, Growth, Missed, Need, Node, NodeKind, Overlap, Pipeline,
    PipelineId, PoolId, RetryPolicy, Rows, Rule, RunLimits, Schedule, ScheduleId, Share, SignalId,
    Trigger, TriggerId, WorkspaceId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::clock::Micros;
use stdx::hash::Random;

pub(super) const SECOND_US: Micros = 1_000_000;

/// Schedules fire and faults happen between these instants.
pub(super) const BEGIN_US: Micros = 1_000_000 * SECOND_US;
pub(super) const CALM_US: Micros = BEGIN_US + 150 * SECOND_US;

/// The signal of the first pipeline's success, and one from outside.
pub(super) const SUCCESS: SignalId = SignalId(1);
pub(super) const OUTSIDE: SignalId = SignalId(2);

fn seconds(random: &mut Random, from: u64, to: u64) -> Micros {
    Micros::try_from(from + random.below(to - from)).unwrap() * SECOND_US
}

fn one_of<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[usize::try_from(random.below(values.len() as u64)).unwrap()]
}

fn any_node(index: u32, workspace: u64, random: &mut Random) -> Node {
    let mut parents: Vec<u32> = (0..random.below(3))
        .map(|_| u32::try_from(random.below(u64::from(index.max(1)))).unwrap())
        .collect();
    parents.sort_unstable();
    parents.dedup();
    parents.retain(|parent| *parent < index);
    let rules =
        [Rule::AllSucceeded, Rule::AllSucceeded, Rule::NoneFailed, Rule::AnyFailed, Rule::AllDone];
    let is_wait = random.below(8) == 0;
    Node {
        parents,
        kind: if is_wait { NodeKind::Wait } else { NodeKind::Work },
        rule: one_of(random, &rules),
        retry: RetryPolicy {
            attempts_max: u32::try_from(1 + random.below(4)).unwrap(),
            growth: one_of(random, &[Growth::Fixed, Growth::Exponential]),
            first_us: seconds(random, 0, 3),
            cap_us: 10 * SECOND_US,
            jitter: random.below(2) == 0,
        },
        timeout_us: seconds(random, 5, 60),
        need: (random.below(3) == 0).then(|| Need {
            pool: PoolId(workspace),
            slots: u32::try_from(1 + random.below(2)).unwrap(),
        }),
    }
}

fn any_pipeline(id: u64, random: &mut Random) -> Pipeline {
    let workspace = 1 + id % 2;
    let nodes = u32::try_from(1 + random.below(6)).unwrap();
    let nodes = (0..nodes).map(|index| any_node(index, workspace, random)).collect();
    let policies = [Overlap::Queue, Overlap::Skip, Overlap::CancelPrevious, Overlap::Fail];
    Pipeline {
        id: PipelineId(id),
        workspace: WorkspaceId(workspace),
        graph: Arc::new(Graph::new(nodes).unwrap()),
        priority: i32::try_from(random.below(5)).unwrap(),
        limits: RunLimits {
            overlap: one_of(random, &policies),
            running_max: usize::try_from(1 + random.below(2)).unwrap(),
            queued_max: usize::try_from(1 + random.below(4)).unwrap(),
            timeout_us: seconds(random, 30, 300),
            late_us: (random.below(2) == 0).then(|| seconds(random, 1, 60)),
        },
        signal: (id == 1).then_some(SUCCESS),
    }
}

fn any_schedule(id: u64, random: &mut Random) -> Schedule {
    let calendar = if random.below(4) > 0 {
        Calendar::every(seconds(random, 15, 50), seconds(random, 0, 50)).unwrap()
    } else {
        Calendar::cron("*/30 * * * * *", "Europe/Berlin").unwrap()
    };
    Schedule {
        id: ScheduleId(id),
        pipeline: PipelineId(id),
        calendar,
        start_us: None,
        end_us: Some(CALM_US),
        jitter_us: seconds(random, 0, 8),
        missed: one_of(random, &[Missed::All, Missed::All, Missed::Last, Missed::None]),
        params: Arc::from("{}"),
        fired_us: BEGIN_US,
        is_paused: false,
    }
}

/// Two workspaces, three pipelines, two of them with a schedule, one with a trigger.
pub(super) fn declare(random: &mut Random) -> Rows {
    let conditions = [
        Condition::Signal(SUCCESS),
        Condition::Any(vec![Condition::Signal(SUCCESS), Condition::Signal(OUTSIDE)]),
        Condition::All(vec![Condition::Signal(SUCCESS), Condition::Signal(OUTSIDE)]),
    ];
    let condition = conditions[usize::try_from(random.below(3)).unwrap()].clone();
    let share = |random: &mut Random| Share {
        weight: u32::try_from(1 + random.below(3)).unwrap(),
        running_max: u32::try_from(1 + random.below(4)).unwrap(),
    };
    Rows {
        workspaces: [1, 2].map(|id| (WorkspaceId(id), share(random))).into(),
        pools: [1, 2]
            .map(|id| (WorkspaceId(id), PoolId(id), u32::try_from(1 + random.below(2)).unwrap()))
            .into(),
        pipelines: [1, 2, 3].map(|id| any_pipeline(id, random)).into(),
        schedules: [1, 2].map(|id| any_schedule(id, random)).into(),
        triggers: vec![Trigger {
            id: TriggerId(1),
            pipeline: PipelineId(3),
            condition,
            quiet_us: seconds(random, 0, 20),
            params: Arc::from("{}"),
            seen: BTreeMap::new(),
        }],
        ..Rows::default()
    }
}
