//! The workers that have been heard of, and which of them could take a node.
//!
//! A worker's free slots are its slots less the leases it holds here, so asking twice does not
//! give it more than it can do.

use crate::ids::{NodeKey, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use stdx::clock::Micros;

/// A worker asks at least this often, in µs. Who asked longer ago than that gets nothing new.
pub const POLL_US: Micros = 2_000_000;

/// A worker that holds nothing and was not heard of for so long, in µs, is forgotten.
pub(crate) const FORGET_US: Micros = 60_000_000;

#[derive(Debug, Default)]
pub(crate) struct Workers {
    by_id: BTreeMap<WorkerId, Worker>,
    /// Those with free slots, by how many.
    free: BTreeSet<(usize, WorkerId)>,
}

#[derive(Debug, Default)]
struct Worker {
    /// The latest poll.
    poll: u64,
    /// When it came; none as long as it is only known from its leases.
    heard_us: Option<Micros>,
    slots: usize,
    leases: BTreeSet<NodeKey>,
    /// The free slots under which it is listed.
    listed: Option<usize>,
}

impl Workers {
    /// Notes a poll. False when a later one has come before it.
    pub(crate) fn hear(&mut self, id: WorkerId, poll: u64, slots: u32, now_us: Micros) -> bool {
        let worker = self.by_id.entry(id).or_default();
        if worker.heard_us.is_some() && poll <= worker.poll {
            return false;
        }
        worker.poll = poll;
        worker.heard_us = Some(now_us);
        worker.slots = slots as usize;
        self.list(id);
        true
    }

    /// The worker with the most free slots, and its latest poll.
    pub(crate) fn next(&mut self, now_us: Micros) -> Option<(WorkerId, u64)> {
        while let Some((slots, id)) = self.free.last().copied() {
            let worker = self.by_id.get_mut(&id).expect("a listed worker is known");
            let is_fresh = worker.heard_us.is_some_and(|heard_us| now_us - heard_us <= POLL_US);
            if is_fresh {
                return Some((id, worker.poll));
            }
            worker.listed = None;
            self.free.remove(&(slots, id));
        }
        None
    }

    /// A worker has got a lease.
    pub(crate) fn hold(&mut self, id: WorkerId, node: NodeKey) {
        self.by_id.entry(id).or_default().leases.insert(node);
        self.list(id);
    }

    /// A worker has no longer a lease.
    pub(crate) fn drop_lease(&mut self, id: WorkerId, node: NodeKey) {
        if let Some(worker) = self.by_id.get_mut(&id) {
            worker.leases.remove(&node);
            self.list(id);
        }
    }

    /// The leases of a worker.
    pub(crate) fn leases(&self, id: WorkerId) -> impl Iterator<Item = NodeKey> {
        self.by_id.get(&id).into_iter().flat_map(|worker| worker.leases.iter().copied())
    }

    /// Forgets a worker that holds nothing. False when it does.
    pub(crate) fn forget(&mut self, id: WorkerId) -> bool {
        let Some(worker) = self.by_id.get(&id) else { return true };
        if !worker.leases.is_empty() {
            return false;
        }
        if let Some(listed) = worker.listed {
            self.free.remove(&(listed, id));
        }
        self.by_id.remove(&id);
        true
    }

    fn list(&mut self, id: WorkerId) {
        let Some(worker) = self.by_id.get_mut(&id) else { return };
        if let Some(listed) = worker.listed.take() {
            self.free.remove(&(listed, id));
        }
        let free = worker.slots.saturating_sub(worker.leases.len());
        if free > 0 {
            worker.listed = Some(free);
            self.free.insert((free, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunKey;

    const A: WorkerId = WorkerId(1);
    const B: WorkerId = WorkerId(2);

    fn node(node: u32) -> NodeKey {
        NodeKey { run: RunKey(1), node }
    }

    #[test]
    fn the_one_with_most_room_is_next() {
        let mut workers = Workers::default();
        assert!(workers.hear(A, 1, 2, 0) && workers.hear(B, 7, 3, 0));
        assert_eq!(workers.next(0), Some((B, 7)));
        workers.hold(B, node(1));
        workers.hold(B, node(2));
        assert_eq!(workers.next(0), Some((A, 1)));
        // Asking again does not give more room.
        assert!(workers.hear(B, 8, 3, 1));
        assert_eq!(workers.next(1), Some((A, 1)));
        workers.drop_lease(B, node(1));
        workers.drop_lease(B, node(2));
        assert_eq!(workers.next(1), Some((B, 8)));
    }

    #[test]
    fn who_is_silent_or_repeats_itself_gets_nothing() {
        let mut workers = Workers::default();
        assert!(workers.hear(A, 2, 1, 0));
        assert!(!workers.hear(A, 2, 5, 1) && !workers.hear(A, 1, 5, 1));
        assert_eq!(workers.next(POLL_US), Some((A, 2)));
        assert_eq!(workers.next(POLL_US + 1), None);
        assert!(workers.hear(A, 3, 1, POLL_US + 2));
        assert_eq!(workers.next(POLL_US + 2), Some((A, 3)));
    }

    #[test]
    fn a_worker_is_forgotten_when_it_holds_nothing() {
        let mut workers = Workers::default();
        assert!(workers.hear(A, 1, 2, 0));
        workers.hold(A, node(1));
        assert!(!workers.forget(A));
        workers.drop_lease(A, node(1));
        assert!(workers.forget(A));
        assert_eq!((workers.next(0), workers.leases(A).count()), (None, 0));
    }
}
