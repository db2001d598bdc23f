//! What must hold in a simulated world, after every step and at its end.

use super::setup::{BEGIN_US, CALM_US};
use super::world::World;
use crate::timers::Timer;
use crate::{
    Backfill, BackfillStatus, Interval, Missed, NodeEnd, NodeKey, NodeRow, NodeState, Origin, Rule,
    RunEnd, RunKey, RunRow, RunStatus, Schedule, State,
};
use std::collections::BTreeSet;
use stdx::clock::Micros;

impl World {
    pub(super) fn open_runs(&self) -> Vec<(RunKey, RunStatus, Vec<NodeState>)> {
        let is_open = |status: RunStatus| !matches!(status, RunStatus::Ended { .. });
        let open = self.database.runs.values().filter(|run| is_open(run.status));
        let states = |run| self.database.nodes_of(run).iter().map(|row| row.state).collect();
        open.map(|run| (run.key, run.status, states(run.key))).collect()
    }

    /// Whether all runs have ended and no more will come.
    pub(super) fn is_done(&self) -> bool {
        let has_schedules_left =
            self.database.declared.schedules.iter().any(|schedule| schedule.next_us().is_some());
        let has_triggers_left =
            self.database.declared.triggers.iter().any(|trigger| trigger.due_us().is_some());
        !has_schedules_left
            && !has_triggers_left
            && self.wanted.is_empty()
            && self.are_backfills_done()
            && self.open_runs().is_empty()
    }

    /// Whoever trusts a lease has the only one, and it has not run out.
    pub(super) fn check_leases(&self) {
        let now_us = self.now_us();
        let mut held = BTreeSet::new();
        for worker in &self.workers {
            for (node, task) in &worker.tasks {
                if !task.trust.holds(now_us) {
                    continue;
                }
                assert!(held.insert(*node), "two workers trust a lease of {node:?}");
                let row = &self.database.nodes[node];
                let lease = row.lease().unwrap_or_else(|| panic!("{node:?} has no lease: {row:?}"));
                assert_eq!((lease.worker, row.epoch), (worker.id, task.epoch), "{node:?}");
                assert!(lease.expires_us > now_us, "the lease of {node:?} has run out");
            }
        }
    }

    /// No more slots are held than there are, and back-fills keep to their number of runs.
    pub(super) fn check_limits(&self) {
        for (_, pool, size) in &self.database.declared.pools {
            let slots = |row: &NodeRow| {
                let need = self.database.runs[&row.key.run].graph.node(row.key.node).need;
                // Who asks for more than there are takes all.
                need.filter(|need| need.pool == *pool).map_or(0, |need| need.slots.min(*size))
            };
            let leased = self.database.nodes.values().filter(|row| row.lease().is_some());
            let held: u32 = leased.map(slots).sum();
            assert!(held <= *size, "{held} slots of {size} of pool {pool} are held");
        }
        for backfill in self.database.backfills.values() {
            let is_open = |run: &&RunRow| {
                run.origin.backfill() == Some(backfill.id)
                    && !self.resumed.contains(&run.key)
                    && !matches!(run.status, RunStatus::Ended { .. })
            };
            let open = self.database.runs.values().filter(is_open).count();
            let has_ended =
                matches!(backfill.status, BackfillStatus::Done | BackfillStatus::Cancelled);
            let most = if has_ended { 0 } else { backfill.parallel_max };
            assert!(open <= most, "{open} runs of {backfill:?} go on");
        }
    }

    /// The copy in memory says the same as one that is made anew from the rows.
    pub(super) fn check_copy(&self, index: usize) {
        let Some(leading) = &self.schedulers[index].leading else { return };
        let anew = State::load(self.database.rows(), self.now_us());
        let copy = &leading.state;
        assert_eq!(copy.ready_count(), anew.ready_count());
        let usage = |state: &State| state.pool_usage().collect::<Vec<_>>();
        assert_eq!(usage(copy), usage(&anew));
        let timers = |state: &State| {
            let is_same = |timer: &Timer| match timer {
                // Known from those who were heard of, and when.
                Timer::Worker(_) => false,
                Timer::Node(node) => !matches!(state.node_state(*node), Some(NodeState::Leased(_))),
                _ => true,
            };
            let all = state.timers.all().filter(|(timer, _)| is_same(timer));
            all.collect::<Vec<_>>()
        };
        assert_eq!(timers(copy), timers(&anew));
        for key in self.database.nodes.keys() {
            assert_eq!(copy.node_state(*key), anew.node_state(*key), "{key:?}");
        }
    }

    pub(super) fn check_end(&self) {
        assert!(self.is_done(), "the agenda ended before the runs");
        for scheduler in &self.schedulers {
            let Some(leading) = &scheduler.leading else { continue };
            if self.database.leader.is_some_and(|leader| leader.epoch == leading.epoch) {
                assert_eq!(leading.state.ready_count(), 0);
                assert!(leading.state.pool_usage().all(|(_, held, _)| held == 0), "a slot leaked");
            }
        }
        for schedule in &self.database.declared.schedules {
            self.check_fires(schedule);
        }
        for backfill in self.database.backfills.values() {
            self.check_backfill(backfill);
        }
        for run in self.database.runs.values() {
            self.check_run(run.key);
        }
    }

    /// Each due interval has exactly one run, if missed ones are to be made up for.
    fn check_fires(&self, schedule: &Schedule) {
        let mut fires = Vec::new();
        let mut from_us = BEGIN_US;
        while let Some(next_us) = schedule.calendar.next_after(from_us) {
            if next_us > CALM_US {
                break;
            }
            fires.push(next_us);
            from_us = next_us;
        }
        let created: Vec<Micros> = self
            .database
            .runs
            .values()
            .filter_map(|run| match run.origin {
                Origin::Schedule { schedule: of, interval } if of == schedule.id => {
                    Some(interval.until_us)
                }
                _ => None,
            })
            .collect();
        let distinct: BTreeSet<_> = created.iter().copied().collect();
        assert_eq!(distinct.len(), created.len(), "a fire has two runs");
        if schedule.missed == Missed::All {
            assert_eq!(distinct.into_iter().collect::<Vec<_>>(), fires);
        } else {
            assert!(distinct.iter().all(|fire| fires.contains(fire)), "a fire nobody asked for");
        }
    }

    fn are_backfills_done(&self) -> bool {
        let is_done = |backfill: &Backfill| {
            let row = self.database.backfills.get(&backfill.id);
            row.is_some_and(|row| {
                matches!(row.status, BackfillStatus::Done | BackfillStatus::Cancelled)
            })
        };
        self.fillings.iter().all(is_done)
    }

    /// Each interval of a back-fill has one run, up to where it was cancelled.
    fn check_backfill(&self, backfill: &Backfill) {
        let of = |run: &&RunRow| run.origin.backfill() == Some(backfill.id);
        let mut had: Vec<Interval> = self
            .database
            .runs
            .values()
            .filter(of)
            .filter_map(|run| match run.origin {
                Origin::Backfill { interval, .. } => Some(interval),
                _ => None,
            })
            .collect();
        had.sort_unstable();
        assert_eq!(had, backfill.intervals[..backfill.started]);
        if backfill.status == BackfillStatus::Done {
            assert_eq!(backfill.started, backfill.intervals.len());
        }
    }

    /// All nodes of a run have ended, as the rules say.
    fn check_run(&self, key: RunKey) {
        let run = &self.database.runs[&key];
        let RunStatus::Ended { end } = run.status else { panic!("{key} has not ended") };
        let rows = self.database.nodes_of(key);
        if rows.is_empty() {
            return assert_ne!(end, RunEnd::Succeeded, "a run of no nodes did nothing");
        }
        let ends: Vec<NodeEnd> = (0..)
            .zip(&rows)
            .map(|(node, row)| match row.state {
                NodeState::Ended { end } if row.key == (NodeKey { run: key, node }) => end,
                state => panic!("{:?} of an ended run is {state:?}", row.key),
            })
            .collect();
        assert_eq!(ends.len(), run.graph.len());
        for (node, end) in (0..).zip(&ends) {
            let declared = run.graph.node(node);
            let parents: Vec<_> =
                declared.parents.iter().map(|parent| ends[*parent as usize]).collect();
            let may_begin = may_begin(declared.rule, &parents);
            match end {
                NodeEnd::Cancelled => {}
                NodeEnd::Skipped => assert!(!may_begin, "{key} {node}: {ends:?}"),
                _ => assert!(may_begin, "{key} {node}: {ends:?}"),
            }
        }
        if end == RunEnd::Succeeded {
            assert!(!ends.contains(&NodeEnd::Cancelled), "{ends:?}");
        }
    }
}

/// What the documentation of [`Rule`] says.
fn may_begin(rule: Rule, parents: &[NodeEnd]) -> bool {
    let failed = |end: &NodeEnd| matches!(end, NodeEnd::Failed | NodeEnd::Quarantined);
    let succeeded = |end: &NodeEnd| *end == NodeEnd::Succeeded;
    match rule {
        Rule::AllSucceeded => parents.iter().all(succeeded),
        Rule::NoneFailed => {
            !parents.iter().any(failed) && (parents.is_empty() || parents.iter().any(succeeded))
        }
        Rule::AnyFailed => parents.iter().any(failed),
        Rule::AllDone => true,
    }
}
