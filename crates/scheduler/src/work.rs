//! What happens to nodes: leases are given, renewed, lost; attempts end, rest and come again.

use crate::events::{Answer, AttemptEnd, Poll, Report};
use crate::graph::NodeKind;
use crate::ids::{NodeIndex, NodeKey, RunKey, WorkerId};
use crate::queue::{Entry, rank};
use crate::retry::{Failure, LOSSES_MAX};
use crate::rows::{Command, Message};
use crate::run::{Lease, NodeEnd, NodeState, Stop};
use crate::state::{State, Step};
use crate::timers::Timer;
use crate::workers::FORGET_US;
use model::{Fault, Problem, Result, codes};
use std::collections::BTreeSet;
use stdx::clock::Micros;
use stdx::hash;

/// How long a lease lasts from each renewal, in µs.
pub const LEASE_US: Micros = 4_000_000;

/// A worker trusts its lease this much less than it lasts, in µs: it needs the time to stop.
pub const LEASE_MARGIN_US: Micros = 1_000_000;

/// A lease is taken away this long after its end, in µs, so that a clock which is read a moment
/// apart from the database's does not ask too early.
const SLACK_US: Micros = 500_000;

/// A node that was given back rests this long, in µs.
const RETURN_US: Micros = 1_000_000;

/// An attempt that took too long may take less time when it is tried again.
const TIMED_OUT: Failure = Failure { fault: Fault::External, retry: true };

/// Nobody has answered in the time there was for it, and asking again does not help.
const UNANSWERED: Failure = Failure { fault: Fault::External, retry: false };

/// How it became known that a lease has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was said, or the node had no lease.
    Said,
    /// The lease ran out.
    Lapsed,
}

impl State {
    /// Renews the leases of a worker that asks for work, and tells it what it does not know.
    pub(crate) fn poll(&mut self, poll: &Poll, step: &mut Step) {
        let worker = poll.worker;
        if !self.workers.hear(worker, poll.number, poll.slots, step.now_us) {
            return;
        }
        self.timers.set(Timer::Worker(worker), step.now_us.saturating_add(FORGET_US));
        let mut renewed = Vec::new();
        for (node, epoch) in &poll.working {
            let is_stopped = self.lease(*node, *epoch, worker).map(|lease| lease.stop.is_some());
            if is_stopped == Some(false) {
                self.renew(*node, *epoch, step);
                renewed.push((*node, *epoch));
            } else {
                tell(worker, Message::Stop { node: *node, epoch: *epoch }, step);
            }
        }
        if !renewed.is_empty() {
            tell(worker, Message::Renewed { poll: poll.number, leases: renewed }, step);
        }
        let working: BTreeSet<NodeKey> = poll.working.iter().map(|(node, _)| *node).collect();
        let unknown: Vec<NodeKey> =
            self.workers.leases(worker).filter(|node| !working.contains(node)).collect();
        for node in unknown {
            self.tell_again(node, poll, step);
        }
    }

    /// A lease that its worker does not speak of: the message was lost, or is on its way.
    fn tell_again(&mut self, node: NodeKey, poll: &Poll, step: &mut Step) {
        let Some(run) = self.runs.get(&node.run) else { return };
        let epoch = run.nodes.node(node.node).epoch;
        let lease = self.lease(node, epoch, poll.worker);
        if lease.is_some_and(|lease| lease.stop.is_none()) {
            // The worker will trust the lease from this poll on, so it is renewed with it.
            self.renew(node, epoch, step);
            tell(poll.worker, Message::Work { poll: poll.number, node, epoch }, step);
        }
    }

    fn renew(&mut self, node: NodeKey, epoch: u64, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&node.run) else { return };
        if let NodeState::Leased(lease) = &mut run.nodes.node_mut(node.node).state {
            lease.expires_us = step.now_us.saturating_add(LEASE_US);
            self.expect_worker(node, step.now_us);
            step.push(Command::Renew { node, epoch });
        }
    }

    /// Gives the worker of a node as long as a lease lasts to be heard of.
    pub(crate) fn expect_worker(&mut self, node: NodeKey, now_us: Micros) {
        let until_us = now_us.saturating_add(LEASE_US).saturating_add(SLACK_US);
        self.timers.set(Timer::Node(node), until_us);
    }

    /// Gives ready nodes to workers as long as there are both.
    pub(crate) fn dispatch(&mut self, step: &mut Step) {
        while let Some((worker, poll)) = self.workers.next(step.now_us) {
            let Some(entry) = self.queue.pop(&mut self.pools) else { return };
            let run = self.runs.get_mut(&entry.node.run).expect("a ready node has its run");
            let node = run.nodes.node_mut(entry.node.node);
            let was_epoch = node.epoch;
            node.epoch += 1;
            let epoch = node.epoch;
            node.state = NodeState::Leased(Lease {
                worker,
                since_us: step.now_us,
                expires_us: step.now_us.saturating_add(LEASE_US),
                stop: None,
            });
            let row = run.nodes.row(entry.node.node);
            self.enter(entry.node);
            step.push(Command::SetNode { was_epoch, lapsed: false, row });
            tell(worker, Message::Work { poll, node: entry.node, epoch }, step);
        }
    }

    /// An attempt has ended.
    pub(crate) fn report(&mut self, report: Report, step: &mut Step) -> Result<()> {
        let Report { worker, node, epoch, end } = report;
        if let Some(lease) = self.lease(node, epoch, worker) {
            match (end, lease.stop) {
                (AttemptEnd::Succeeded { not_taken }, _) => {
                    self.check_children(node, &not_taken)?;
                    self.end_node(node, NodeEnd::Succeeded, not_taken, Cause::Said, step);
                }
                (_, Some(Stop::Cancelled)) => {
                    self.end_node(node, NodeEnd::Cancelled, Vec::new(), Cause::Said, step);
                }
                (_, Some(Stop::TimedOut)) => self.fail(node, TIMED_OUT, Cause::Said, step),
                (AttemptEnd::Failed(failure), None) => self.fail(node, failure, Cause::Said, step),
                (AttemptEnd::Lost, None) => self.lose(node, Cause::Said, step),
                (AttemptEnd::Returned, None) => self.rest(node, RETURN_US, step),
                (AttemptEnd::Again { after_us }, None) => self.rest(node, after_us.max(0), step),
            }
        }
        tell(worker, Message::Acknowledged { node, epoch }, step);
        Ok(())
    }

    fn check_children(&self, node: NodeKey, not_taken: &[NodeIndex]) -> Result<()> {
        let Some(run) = self.runs.get(&node.run) else { return Ok(()) };
        let children = run.nodes.graph().children(node.node);
        match not_taken.iter().find(|index| children.binary_search(index).is_err()) {
            None => Ok(()),
            Some(other) => {
                let fact = format!("node {} cannot decide about node {other}", node.node);
                Err(Problem::new(&codes::GRAPH_INVALID, fact)
                    .hint("name only nodes that wait for the node that decides"))
            }
        }
    }

    /// Somebody outside has answered.
    pub(crate) fn answer(&mut self, node: NodeKey, answer: Answer, step: &mut Step) -> Result<()> {
        let state = self.node_state(node);
        let Some(NodeState::Asking { .. }) = state else {
            let run = node.run;
            let fact = format!("node {} of run `{run}` does not wait for an answer", node.node);
            return Err(Problem::new(&codes::RUN_REFUSED, fact)
                .arg("run", run)
                .hint("look at the run: it has been answered, or has not come so far"));
        };
        match answer {
            Answer::Succeeded { not_taken } => {
                self.check_children(node, &not_taken)?;
                self.end_node(node, NodeEnd::Succeeded, not_taken, Cause::Said, step);
            }
            Answer::Failed(failure) => self.fail(node, failure, Cause::Said, step),
        }
        Ok(())
    }

    /// A node's time has come: it has rested, nobody has answered, or its worker is lost.
    pub(crate) fn node_due(&mut self, node: NodeKey, step: &mut Step) {
        let now_us = step.now_us;
        match self.node_state(node) {
            Some(NodeState::Resting { .. }) => {
                let Some(run) = self.runs.get(&node.run) else { return };
                let state = run.nodes.begin_state(node.node, now_us);
                self.move_node(node, state, Cause::Said, step);
            }
            Some(NodeState::Asking { .. }) => self.fail(node, UNANSWERED, Cause::Said, step),
            Some(NodeState::Leased(lease)) => match lease.stop {
                None => self.lose(node, Cause::Lapsed, step),
                Some(Stop::TimedOut) => self.fail(node, TIMED_OUT, Cause::Lapsed, step),
                Some(Stop::Cancelled) => {
                    self.end_node(node, NodeEnd::Cancelled, Vec::new(), Cause::Lapsed, step);
                }
            },
            Some(NodeState::Waiting | NodeState::Ready { .. } | NodeState::Ended { .. }) | None => {
            }
        }
    }

    /// An attempt takes longer than the node may. Its lease is not renewed any more; only when it
    /// has ended may somebody else begin.
    pub(crate) fn attempt_due(&mut self, node: NodeKey, step: &mut Step) {
        self.stop_attempt(node, Stop::TimedOut, step);
    }

    /// Tells the worker of a node to stop, unless it was told before.
    pub(crate) fn stop_attempt(&mut self, node: NodeKey, why: Stop, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&node.run) else { return };
        let epoch = run.nodes.node(node.node).epoch;
        let NodeState::Leased(lease) = &mut run.nodes.node_mut(node.node).state else { return };
        let before = lease.stop;
        // Who cancels does not want another attempt, even of what took too long.
        lease.stop = if why == Stop::Cancelled { Some(why) } else { before.or(Some(why)) };
        let (worker, is_new) = (lease.worker, lease.stop != before);
        self.timers.clear(Timer::Attempt(node));
        if is_new {
            step.push(Command::set_node(run.nodes.row(node.node)));
            tell(worker, Message::Stop { node, epoch }, step);
        }
    }

    /// A worker has not been heard of for a while.
    pub(crate) fn worker_due(&mut self, worker: WorkerId, step: &Step) {
        if !self.workers.forget(worker) {
            self.timers.set(Timer::Worker(worker), step.now_us.saturating_add(FORGET_US));
        }
    }

    /// Lets a node rest that did not fail.
    fn rest(&mut self, node: NodeKey, for_us: Micros, step: &mut Step) {
        let until_us = step.now_us.saturating_add(for_us);
        self.move_node(node, NodeState::Resting { until_us }, Cause::Said, step);
    }

    fn fail(&mut self, key: NodeKey, failure: Failure, cause: Cause, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&key.run) else { return };
        let policy = run.nodes.graph().node(key.node).retry;
        let node = run.nodes.node_mut(key.node);
        node.failures = node.failures.saturating_add(1);
        let failures = node.failures;
        let [high, low] = [(key.run.0 >> 64) as u64, key.run.0 as u64];
        let chance =
            hash::mix(high ^ hash::mix(low ^ (u64::from(key.node) << 32))) ^ u64::from(failures);
        match policy.wait_us(failures, failure, chance) {
            Some(wait_us) => {
                let until_us = step.now_us.saturating_add(wait_us);
                self.move_node(key, NodeState::Resting { until_us }, cause, step);
            }
            None => self.end_node(key, NodeEnd::Failed, Vec::new(), cause, step),
        }
    }

    fn lose(&mut self, key: NodeKey, cause: Cause, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&key.run) else { return };
        let node = run.nodes.node_mut(key.node);
        node.losses = node.losses.saturating_add(1);
        if node.losses >= LOSSES_MAX {
            self.end_node(key, NodeEnd::Quarantined, Vec::new(), cause, step);
        } else {
            self.move_node(key, NodeState::Ready { since_us: step.now_us }, cause, step);
        }
    }

    /// The lease of a node, if it is this worker's and of this epoch.
    fn lease(&self, node: NodeKey, epoch: u64, worker: WorkerId) -> Option<Lease> {
        let NodeState::Leased(lease) = self.node_state(node)? else { return None };
        let current = self.runs.get(&node.run)?.nodes.node(node.node).epoch;
        (current == epoch && lease.worker == worker).then_some(lease)
    }

    /// Brings a node into a state that is no end.
    fn move_node(&mut self, key: NodeKey, state: NodeState, cause: Cause, step: &mut Step) {
        self.leave(key);
        let Some(run) = self.runs.get_mut(&key.run) else { return };
        run.nodes.node_mut(key.node).state = state;
        let row = run.nodes.row(key.node);
        self.enter(key);
        let lapsed = cause == Cause::Lapsed;
        step.push(Command::SetNode { was_epoch: row.epoch, lapsed, row });
    }

    /// Ends a node, and the run if it was the last.
    pub(crate) fn end_node(
        &mut self,
        key: NodeKey,
        end: NodeEnd,
        not_taken: Vec<NodeIndex>,
        cause: Cause,
        step: &mut Step,
    ) {
        self.leave(key);
        let Some(run) = self.runs.get_mut(&key.run) else { return };
        for node in run.nodes.end(key.node, end, not_taken, step.now_us) {
            let lapsed = cause == Cause::Lapsed && node == key.node;
            self.write_changed(NodeKey { run: key.run, node }, lapsed, step);
        }
        self.finish_if_done(key.run, step);
    }

    /// Writes what follows from the rows of a run that was loaded. That is nothing, as all writes
    /// of an event are one transaction, unless somebody changed rows by hand.
    pub(crate) fn write_settled(&mut self, run: RunKey, changed: &[NodeIndex], step: &mut Step) {
        for node in changed {
            if let Some(run) = self.runs.get(&run) {
                step.push(Command::set_node(run.nodes.row(*node)));
            }
        }
        self.finish_if_done(run, step);
    }

    /// Takes note of a node's new state and writes it.
    pub(crate) fn write_changed(&mut self, key: NodeKey, lapsed: bool, step: &mut Step) {
        self.enter(key);
        if let Some(run) = self.runs.get(&key.run) {
            let row = run.nodes.row(key.node);
            step.push(Command::SetNode { was_epoch: row.epoch, lapsed, row });
        }
    }

    /// The place in the queue of a node in `state`.
    fn entry(&self, key: NodeKey, since_us: Micros) -> Option<Entry> {
        let run = self.runs.get(&key.run)?;
        let node = run.nodes.graph().node(key.node);
        debug_assert_eq!(node.kind, NodeKind::Work, "only work waits for workers");
        let rank = rank(since_us, run.row.priority);
        Some(Entry { workspace: run.row.workspace, node: key, need: node.need, rank })
    }

    /// The entry of a node that is leased.
    pub(crate) fn leased_entry(&self, key: NodeKey) -> Option<Entry> {
        match self.node_state(key)? {
            NodeState::Leased(lease) => self.entry(key, lease.since_us),
            _ => None,
        }
    }

    /// Forgets what is noted elsewhere about a node in its present state.
    fn leave(&mut self, key: NodeKey) {
        match self.node_state(key) {
            Some(NodeState::Ready { since_us }) => {
                if let Some(entry) = self.entry(key, since_us) {
                    self.queue.remove(entry, &self.pools);
                }
            }
            Some(NodeState::Resting { .. } | NodeState::Asking { .. }) => {
                self.timers.clear(Timer::Node(key));
            }
            Some(NodeState::Leased(lease)) => {
                self.timers.clear(Timer::Node(key));
                self.timers.clear(Timer::Attempt(key));
                self.workers.drop_lease(lease.worker, key);
                if let Some(entry) = self.leased_entry(key) {
                    self.queue.release(entry, &mut self.pools);
                }
            }
            Some(NodeState::Waiting | NodeState::Ended { .. }) | None => {}
        }
    }

    /// Notes elsewhere what a node's new state asks for.
    pub(crate) fn enter(&mut self, key: NodeKey) {
        match self.node_state(key) {
            Some(NodeState::Ready { since_us }) => {
                if let Some(entry) = self.entry(key, since_us) {
                    self.queue.push(entry, &self.pools);
                }
            }
            Some(NodeState::Resting { until_us } | NodeState::Asking { until_us }) => {
                self.timers.set(Timer::Node(key), until_us);
            }
            Some(NodeState::Leased(lease)) => {
                self.workers.hold(lease.worker, key);
                self.timers.set(Timer::Node(key), lease.expires_us.saturating_add(SLACK_US));
                let timeout_us = self.runs[&key.run].nodes.graph().node(key.node).timeout_us;
                if lease.stop.is_none() {
                    let until_us = lease.since_us.saturating_add(timeout_us);
                    self.timers.set(Timer::Attempt(key), until_us);
                }
            }
            Some(NodeState::Waiting | NodeState::Ended { .. }) | None => {}
        }
    }
}

fn tell(worker: WorkerId, message: Message, step: &mut Step) {
    step.push(Command::Tell { worker, message });
}
