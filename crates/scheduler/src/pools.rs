//! Pools of slots, counted from those who hold them.
//!
//! A slot is held exactly as long as the lease of its node: both are one row, and there is no
//! second expiry that could disagree with the first, and no counter in the database. A pool
//! belongs to one workspace; for all others there is none of that number.

use crate::graph::Need;
use crate::ids::{NodeKey, PoolId, WorkspaceId};
use std::collections::BTreeMap;

/// All pools and who holds slots of them.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: BTreeMap<(WorkspaceId, PoolId), Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// None: the pool is not declared (any more), and nobody waits for it.
    slots: Option<u32>,
    holders: BTreeMap<NodeKey, u32>,
    /// The sum of `holders`.
    held: u32,
}

impl Pool {
    /// What `need` takes of this pool: who asks for more than there are takes all.
    fn taken_by(&self, need: Need) -> u32 {
        self.slots.map_or(need.slots, |slots| need.slots.min(slots.max(1)))
    }

    fn fits(&self, need: Need) -> bool {
        let Some(slots) = self.slots else { return true };
        self.held.saturating_add(self.taken_by(need)) <= slots
    }
}

impl Pools {
    /// Declares a pool or changes its size. Who holds a slot keeps it.
    pub(crate) fn define(&mut self, of: WorkspaceId, pool: PoolId, slots: Option<u32>) {
        self.pools.entry((of, pool)).or_default().slots = slots;
        self.forget_unused((of, pool));
    }

    /// Whether there are slots for `need` now.
    pub(crate) fn fits(&self, of: WorkspaceId, need: Option<Need>) -> bool {
        let Some(need) = need else { return true };
        self.pools.get(&(of, need.pool)).is_none_or(|pool| pool.fits(need))
    }

    /// Gives `node` its slots. It may not hold any.
    pub(crate) fn take(&mut self, of: WorkspaceId, node: NodeKey, need: Option<Need>) {
        let Some(need) = need else { return };
        let pool = self.pools.entry((of, need.pool)).or_default();
        let taken = pool.taken_by(need);
        let before = pool.holders.insert(node, taken);
        assert!(before.is_none(), "a node takes its slots once");
        pool.held = pool.held.saturating_add(taken);
    }

    /// Takes back what `node` holds, if it holds something.
    pub(crate) fn release(&mut self, of: WorkspaceId, node: NodeKey, need: Option<Need>) {
        let Some(need) = need else { return };
        let Some(pool) = self.pools.get_mut(&(of, need.pool)) else { return };
        let released = pool.holders.remove(&node).unwrap_or(0);
        pool.held -= released;
        self.forget_unused((of, need.pool));
    }

    fn forget_unused(&mut self, pool: (WorkspaceId, PoolId)) {
        let is_unused = |pool: &Pool| pool.slots.is_none() && pool.holders.is_empty();
        if self.pools.get(&pool).is_some_and(is_unused) {
            self.pools.remove(&pool);
        }
    }

    /// Slots held, slots there are, by pool. For checks and for those who watch.
    pub(crate) fn usage(&self) -> impl Iterator<Item = (PoolId, u32, Option<u32>)> {
        self.pools.iter().map(|((_, id), pool)| (*id, pool.holders.values().sum(), pool.slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunKey;

    const HERE: WorkspaceId = WorkspaceId(1);
    const THERE: WorkspaceId = WorkspaceId(2);

    fn node(node: u32) -> NodeKey {
        NodeKey { run: RunKey(1), node }
    }

    fn need(slots: u32) -> Option<Need> {
        Some(Need { pool: PoolId(1), slots })
    }

    #[test]
    fn slots_come_back_when_they_are_released_and_not_twice() {
        let mut pools = Pools::default();
        pools.define(HERE, PoolId(1), Some(3));
        pools.take(HERE, node(1), need(2));
        assert!(pools.fits(HERE, need(1)) && !pools.fits(HERE, need(2)));
        pools.release(HERE, node(1), need(2));
        pools.release(HERE, node(1), need(2));
        assert!(pools.fits(HERE, need(3)));
    }

    #[test]
    fn who_asks_for_more_than_there_are_takes_all() {
        let mut pools = Pools::default();
        pools.define(HERE, PoolId(1), Some(2));
        assert!(pools.fits(HERE, need(5)));
        pools.take(HERE, node(1), need(5));
        assert!(!pools.fits(HERE, need(1)));
    }

    #[test]
    fn a_smaller_pool_waits_until_enough_is_free() {
        let mut pools = Pools::default();
        pools.define(HERE, PoolId(1), Some(3));
        pools.take(HERE, node(1), need(1));
        pools.take(HERE, node(2), need(1));
        pools.define(HERE, PoolId(1), Some(1));
        pools.release(HERE, node(1), need(1));
        assert!(!pools.fits(HERE, need(1)));
        pools.release(HERE, node(2), need(1));
        assert!(pools.fits(HERE, need(1)));
        pools.define(HERE, PoolId(1), Some(0));
        assert!(!pools.fits(HERE, need(1)), "a pool of no slots is closed");
    }

    #[test]
    fn nobody_waits_for_a_pool_that_is_not_declared() {
        let mut pools = Pools::default();
        pools.take(HERE, node(1), need(9));
        assert!(pools.fits(HERE, need(9)));
        pools.release(HERE, node(1), need(9));
        assert_eq!(pools.usage().count(), 0);
        pools.define(HERE, PoolId(1), Some(1));
        pools.take(HERE, node(1), need(1));
        assert!(!pools.fits(HERE, need(1)) && pools.fits(THERE, need(1)));
    }
}
