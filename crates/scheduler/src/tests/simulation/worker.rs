//! A worker of a simulated world: it keeps the rules for workers, and nothing else is sure.

use crate::{
    AttemptEnd, Event, Failure, LEASE_MARGIN_US, LEASE_US, Message, NodeKey, Poll, Report, Trust,
    WorkerId,
};
use model::Fault;
use std::collections::BTreeMap;
use stdx::clock::Micros;
use stdx::hash::Random;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) slots: u32,
    pub(super) frozen_until_us: Micros,
    polls: u64,
    sent_us: BTreeMap<u64, Micros>,
    pub(super) tasks: BTreeMap<NodeKey, Task>,
    /// Reports that have not been acknowledged.
    reports: BTreeMap<(NodeKey, u64), AttemptEnd>,
    /// The highest epoch that was begun, by node.
    begun: BTreeMap<NodeKey, u64>,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) epoch: u64,
    pub(super) trust: Trust,
    ends_us: Micros,
    end: AttemptEnd,
}

impl Worker {
    pub(super) fn new(id: u64, slots: u32) -> Self {
        Self {
            id: WorkerId(id),
            slots,
            frozen_until_us: 0,
            polls: 0,
            sent_us: BTreeMap::new(),
            tasks: BTreeMap::new(),
            reports: BTreeMap::new(),
            begun: BTreeMap::new(),
        }
    }

    /// What it sends at `now_us`: reports of what has ended, then a poll.
    pub(super) fn turn(&mut self, now_us: Micros) -> Vec<Event> {
        let reports = &mut self.reports;
        self.tasks.retain(|node, task| {
            let key = (*node, task.epoch);
            if !task.trust.holds(now_us) {
                // Too late even if the work is done: somebody else may have begun.
                reports.insert(key, AttemptEnd::Returned);
                return false;
            }
            if task.ends_us <= now_us {
                reports.insert(key, task.end.clone());
            }
            task.ends_us > now_us
        });
        let worker = self.id;
        let mut events: Vec<Event> = self
            .reports
            .iter()
            .map(|((node, epoch), end)| {
                Event::Report(Report { worker, node: *node, epoch: *epoch, end: end.clone() })
            })
            .collect();
        self.polls += 1;
        self.sent_us.insert(self.polls, now_us);
        self.sent_us.retain(|_, sent_us| now_us - *sent_us < LEASE_US);
        let tasks = self.tasks.iter().map(|(node, task)| (*node, task.epoch));
        let working = tasks.chain(self.reports.keys().copied()).collect();
        events.push(Event::Poll(Poll { worker, number: self.polls, slots: self.slots, working }));
        events
    }

    pub(super) fn hear(&mut self, message: &Message, now_us: Micros, random: &mut Random) {
        match message {
            Message::Work { poll, node, epoch } => {
                let Some(trust) = self.trust(*poll).filter(|trust| trust.holds(now_us)) else {
                    return;
                };
                let begun = self.begun.entry(*node).or_default();
                if *begun < *epoch {
                    *begun = *epoch;
                    let ends_us = now_us + duration_us(random);
                    let task = Task { epoch: *epoch, trust, ends_us, end: any_end(*node, random) };
                    self.tasks.insert(*node, task);
                }
            }
            Message::Renewed { poll, leases } => {
                let Some(trust) = self.trust(*poll) else { return };
                for (node, epoch) in leases {
                    // Answers overtake one another; the later trust is the better one.
                    if let Some(task) = self.tasks.get_mut(node).filter(|t| t.epoch == *epoch) {
                        task.trust = task.trust.max(trust);
                    }
                }
            }
            Message::Stop { node, epoch } => {
                if self.tasks.get(node).is_some_and(|task| task.epoch == *epoch) {
                    self.tasks.remove(node);
                    self.reports.insert((*node, *epoch), AttemptEnd::Returned);
                }
            }
            Message::Acknowledged { node, epoch } => {
                self.reports.remove(&(*node, *epoch));
            }
        }
    }

    fn trust(&self, poll: u64) -> Option<Trust> {
        let sent_us = *self.sent_us.get(&poll)?;
        Some(Trust::from_request(sent_us, LEASE_US, LEASE_MARGIN_US))
    }
}

fn duration_us(random: &mut Random) -> Micros {
    let limit = if random.below(8) == 0 { 40_000_000 } else { 4_000_000 };
    Micros::try_from(random.below(limit)).unwrap()
}

fn any_end(node: NodeKey, random: &mut Random) -> AttemptEnd {
    // Some nodes are poison.
    let is_poison = (node.run.0 + u128::from(node.node)).is_multiple_of(20);
    match random.below(100) {
        0..80 if is_poison => AttemptEnd::Lost,
        0..75 => AttemptEnd::Succeeded { not_taken: Vec::new() },
        75..86 => AttemptEnd::Failed(Failure { fault: Fault::External, retry: true }),
        86..90 => AttemptEnd::Failed(Failure { fault: Fault::User, retry: false }),
        90..94 => AttemptEnd::Lost,
        94..96 => AttemptEnd::Again { after_us: 1_000_000 },
        _ => AttemptEnd::Returned,
    }
}
