//! Ready nodes, in the order in which they get workers.
//!
//! Between workspaces the turn goes round: each has had a share of the starts, weighted, and the
//! one with the smallest share is next; who comes back after a pause has not saved up anything.
//! Inside of a workspace the order is by priority and age together: one step of priority is
//! worth [`AGE_US`] of waiting. As everything ages equally fast, the order of two nodes never
//! changes, so it is a plain sorted set. Nodes wait in one line per pool, so that a full pool
//! holds up nobody but those who need it.
//!
//! Each operation is logarithmic in the number of nodes and linear in the pools of one workspace.

use crate::graph::Need;
use crate::ids::{NodeKey, PoolId, WorkspaceId};
use crate::pools::Pools;
use std::collections::{BTreeMap, BTreeSet};
use stdx::clock::Micros;

/// One step of priority is worth this much waiting, in µs.
pub const AGE_US: Micros = 60 * 1_000_000;

/// The share of one start for a workspace of weight 1.
const SHARE: u64 = 1 << 20;

/// The largest weight; larger ones count as this.
const WEIGHT_MAX: u32 = 1_000;

/// A ready node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) workspace: WorkspaceId,
    pub(crate) node: NodeKey,
    pub(crate) need: Option<Need>,
    /// From [`rank`].
    pub(crate) rank: Micros,
}

/// The place in the line of a node that is ready since `since_us` with `priority` (higher is
/// sooner): the smaller the sooner.
pub(crate) fn rank(since_us: Micros, priority: i32) -> Micros {
    since_us.saturating_sub(Micros::from(priority).saturating_mul(AGE_US))
}

/// What a workspace may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its part of the starts when workers are short, compared with the others': 1 to 1000.
    pub weight: u32,
    /// Nodes that are worked at, at the same time.
    pub running_max: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 1, running_max: u32::MAX }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<WorkspaceId, Lane>,
    /// The workspaces that have a node which could start now, by their shares.
    turns: BTreeSet<(u64, WorkspaceId)>,
    /// The share of the workspace that had the last turn.
    turn: u64,
}

/// What waits in one workspace.
#[derive(Debug, Default)]
struct Lane {
    share: Share,
    /// Starts that this workspace has had, each divided by its weight.
    had: u64,
    running: u32,
    lines: BTreeMap<Option<PoolId>, BTreeMap<(Micros, NodeKey), Option<Need>>>,
    /// Whether `(had, workspace)` is among the turns.
    is_listed: bool,
}

impl Lane {
    /// The first node that could start now.
    fn head(&self, of: WorkspaceId, pools: &Pools) -> Option<(Micros, NodeKey, Option<Need>)> {
        if self.running >= self.share.running_max {
            return None;
        }
        let heads = self.lines.values().filter_map(|line| line.first_key_value());
        let open = heads.filter(|(_, need)| pools.fits(of, **need));
        open.min_by_key(|(place, _)| **place).map(|((rank, node), need)| (*rank, *node, *need))
    }
}

impl Queue {
    /// Sets what a workspace may have.
    pub(crate) fn define(&mut self, workspace: WorkspaceId, share: Share, pools: &Pools) {
        self.lanes.entry(workspace).or_default().share = share;
        self.refresh(workspace, pools);
    }

    /// Adds a node.
    pub(crate) fn push(&mut self, entry: Entry, pools: &Pools) {
        let lane = self.lanes.entry(entry.workspace).or_default();
        let line = lane.lines.entry(entry.need.map(|need| need.pool)).or_default();
        line.insert((entry.rank, entry.node), entry.need);
        self.refresh(entry.workspace, pools);
    }

    /// Takes a node out that will not start. Nothing happens when it is not there.
    pub(crate) fn remove(&mut self, entry: Entry, pools: &Pools) {
        self.take_out(entry);
        self.refresh(entry.workspace, pools);
    }

    /// Takes out the next node that can start and gives it its slots.
    pub(crate) fn pop(&mut self, pools: &mut Pools) -> Option<Entry> {
        let (had, workspace) = *self.turns.first()?;
        let lane = self.lanes.get_mut(&workspace).expect("a listed lane exists");
        let (rank, node, need) =
            lane.head(workspace, pools).expect("a listed lane has a node that can start");
        self.turns.remove(&(had, workspace));
        lane.is_listed = false;
        lane.had += SHARE / u64::from(lane.share.weight.clamp(1, WEIGHT_MAX));
        lane.running += 1;
        self.turn = had;
        pools.take(workspace, node, need);
        let entry = Entry { workspace, node, need, rank };
        self.take_out(entry);
        self.refresh(workspace, pools);
        Some(entry)
    }

    /// Counts a node that was started earlier, when the state is built again.
    pub(crate) fn adopt(&mut self, entry: Entry, pools: &mut Pools) {
        pools.take(entry.workspace, entry.node, entry.need);
        self.lanes.entry(entry.workspace).or_default().running += 1;
        self.refresh(entry.workspace, pools);
    }

    /// A node that was started has ended: its slots are free again.
    pub(crate) fn release(&mut self, entry: Entry, pools: &mut Pools) {
        pools.release(entry.workspace, entry.node, entry.need);
        let lane = self.lanes.entry(entry.workspace).or_default();
        assert!(lane.running > 0, "only what runs can end");
        lane.running -= 1;
        self.refresh(entry.workspace, pools);
    }

    /// Looks again whether a workspace has something that can start.
    pub(crate) fn refresh(&mut self, workspace: WorkspaceId, pools: &Pools) {
        let Some(lane) = self.lanes.get_mut(&workspace) else { return };
        let can_start = lane.head(workspace, pools).is_some();
        if can_start && !lane.is_listed {
            lane.had = lane.had.max(self.turn);
            self.turns.insert((lane.had, workspace));
        } else if !can_start && lane.is_listed {
            self.turns.remove(&(lane.had, workspace));
        }
        lane.is_listed = can_start;
    }

    fn take_out(&mut self, entry: Entry) {
        let pool = entry.need.map(|need| need.pool);
        let Some(lane) = self.lanes.get_mut(&entry.workspace) else { return };
        let Some(line) = lane.lines.get_mut(&pool) else { return };
        line.remove(&(entry.rank, entry.node));
        if line.is_empty() {
            lane.lines.remove(&pool);
        }
    }

    /// How many nodes wait.
    pub(crate) fn len(&self) -> usize {
        self.lanes.values().flat_map(|lane| lane.lines.values()).map(BTreeMap::len).sum()
    }

    /// The first node of each line: the ones that have waited longest, but for priorities.
    pub(crate) fn heads(&self) -> impl Iterator<Item = NodeKey> {
        let lines = self.lanes.values().flat_map(|lane| lane.lines.values());
        lines.filter_map(|line| line.first_key_value()).map(|((_, node), _)| *node)
    }

    /// How many nodes are worked at.
    pub(crate) fn running_count(&self) -> usize {
        self.lanes.values().map(|lane| lane.running as usize).sum()
    }

    /// How many nodes are worked at in `workspace`.
    #[cfg(test)]
    pub(crate) fn running(&self, workspace: WorkspaceId) -> u32 {
        self.lanes.get(&workspace).map_or(0, |lane| lane.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunKey;
    use proptest::prelude::*;

    const MINUTE: Micros = 60 * 1_000_000;

    fn entry(workspace: u64, node: u32, rank: Micros, pool: Option<u64>) -> Entry {
        let need = pool.map(|pool| Need { pool: PoolId(pool), slots: 1 });
        let node = NodeKey { run: RunKey(1), node };
        Entry { workspace: WorkspaceId(workspace), node, need, rank }
    }

    fn popped(queue: &mut Queue, pools: &mut Pools) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop(pools)).map(|entry| entry.node.node).collect()
    }

    #[test]
    fn priority_is_honoured_and_age_catches_up() {
        let (mut queue, mut pools) = (Queue::default(), Pools::default());
        queue.push(entry(1, 1, rank(0, 0), None), &pools);
        queue.push(entry(1, 2, rank(4 * MINUTE, 5), None), &pools);
        queue.push(entry(1, 3, rank(6 * MINUTE, 5), None), &pools);
        assert_eq!(popped(&mut queue, &mut pools), [2, 1, 3]);
    }

    #[test]
    fn a_flood_of_one_workspace_does_not_hold_up_another() {
        let (mut queue, mut pools) = (Queue::default(), Pools::default());
        for node in 0..1000 {
            queue.push(entry(1, node, 0, None), &pools);
        }
        (0..500).for_each(|_| assert!(queue.pop(&mut pools).is_some()));
        queue.push(entry(2, 5000, 0, None), &pools);
        queue.push(entry(2, 5001, 0, None), &pools);
        let next: Vec<_> = (0..4).filter_map(|_| queue.pop(&mut pools)).collect();
        let second = next.iter().filter(|entry| entry.workspace == WorkspaceId(2)).count();
        assert_eq!(second, 2, "{next:?}");
    }

    #[test]
    fn shares_follow_the_weights() {
        let (mut queue, mut pools) = (Queue::default(), Pools::default());
        queue.define(WorkspaceId(2), Share { weight: 3, ..Share::default() }, &pools);
        for node in 0..400 {
            queue.push(entry(1, node, 0, None), &pools);
            queue.push(entry(2, 1000 + node, 0, None), &pools);
        }
        let first: Vec<_> = (0..200).filter_map(|_| queue.pop(&mut pools)).collect();
        let second = first.iter().filter(|entry| entry.workspace == WorkspaceId(2)).count();
        assert!((148..=152).contains(&second), "{second}");
    }

    #[test]
    fn a_full_pool_or_workspace_holds_up_only_its_own() {
        let (mut queue, mut pools) = (Queue::default(), Pools::default());
        pools.define(WorkspaceId(1), PoolId(7), Some(1));
        queue.define(WorkspaceId(2), Share { running_max: 1, ..Share::default() }, &pools);
        let first = entry(1, 1, 0, Some(7));
        for entry in [first, entry(1, 2, 1, Some(7)), entry(1, 3, 2, None)] {
            queue.push(entry, &pools);
        }
        queue.push(entry(2, 4, 0, None), &pools);
        queue.push(entry(2, 5, 0, None), &pools);
        let mut started = popped(&mut queue, &mut pools);
        started.sort_unstable();
        assert_eq!(started, [1, 3, 4]);
        queue.release(first, &mut pools);
        assert_eq!(popped(&mut queue, &mut pools), [2]);
        queue.release(entry(2, 4, 0, None), &mut pools);
        assert_eq!(popped(&mut queue, &mut pools), [5]);
    }

    proptest! {
        #[test]
        fn everything_starts_and_no_limit_is_passed(
            nodes in prop::collection::vec(
                (0..3_u64, -5..5_i32, prop::option::of(0..2_u64)),
                1..80,
            ),
            slots in 1..3_u32,
            running_max in 1..4_u32,
            ends in prop::collection::vec(any::<prop::sample::Index>(), 400),
        ) {
            let (mut queue, mut pools) = (Queue::default(), Pools::default());
            for workspace in 0..3 {
                let share = Share { weight: 1, running_max };
                queue.define(WorkspaceId(workspace), share, &pools);
                for pool in 0..2 {
                    pools.define(WorkspaceId(workspace), PoolId(pool), Some(slots));
                }
            }
            for (index, (workspace, priority, pool)) in (0..).zip(&nodes) {
                queue.push(entry(*workspace, index, rank(0, *priority), *pool), &pools);
            }
            let mut running: Vec<Entry> = Vec::new();
            let mut ended = 0;
            for end in ends {
                running.extend(std::iter::from_fn(|| queue.pop(&mut pools)));
                for workspace in 0..3 {
                    prop_assert!(queue.running(WorkspaceId(workspace)) <= running_max);
                }
                for (pool, held, slots) in pools.usage() {
                    prop_assert!(Some(held) <= slots, "pool {pool} holds {held} of {slots:?}");
                }
                if running.is_empty() {
                    break;
                }
                queue.release(running.swap_remove(end.index(running.len())), &mut pools);
                ended += 1;
            }
            prop_assert_eq!(ended, nodes.len());
            prop_assert_eq!(queue.len(), 0);
        }
    }
}
