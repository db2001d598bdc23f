//! Back-fills: one run for each interval of a range of time, a few at a time, behind live runs.

use crate::calendar::Calendar;
use crate::events::Request;
use crate::ids::{BackfillId, PipelineId, RunKey};
use crate::rows::{Command, Origin, RunRow};
use crate::run::RunEnd;
use crate::state::{State, Step};
use model::{Problem, Result, codes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stdx::clock::Micros;

/// A back-fill has at most this many intervals.
pub const INTERVALS_MAX: usize = 10_000;

/// Runs of a back-fill stand behind live ones that have waited this many steps of
/// [`crate::AGE_US`] less: half an hour.
const PRIORITY: i32 = -30;

/// A time that a run is for, between two fires of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    /// Its begin, in µs since the epoch.
    pub from_us: Micros,
    /// Its end, exclusive, in µs since the epoch: the fire that it belongs to.
    pub until_us: Micros,
}

/// Which intervals are run that have had a run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reprocess {
    /// None: only those that never had one.
    #[default]
    None,
    /// Those whose last run did not succeed, too.
    Failed,
    /// All of them.
    All,
}

/// In which order intervals are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// From the past to the present.
    #[default]
    OldestFirst,
    /// From the present to the past.
    NewestFirst,
}

/// What somebody wants of a back-fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillOptions {
    /// Intervals that begin at this instant or later, in µs since the epoch.
    pub from_us: Micros,
    /// Intervals that end at this instant or earlier, in µs since the epoch.
    pub until_us: Micros,
    /// What happens to intervals that have had a run.
    pub reprocess: Reprocess,
    /// The order.
    pub order: Order,
}

/// A back-fill as its row stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Its number.
    pub id: BackfillId,
    /// What it runs.
    pub pipeline: PipelineId,
    /// The intervals, in the order in which they are run; any set, from [`Backfill::plan`] or not.
    pub intervals: Vec<Interval>,
    /// How many of its runs may wait or go on at the same time.
    pub parallel_max: usize,
    /// Parameters of its runs, as JSON.
    pub params: Arc<str>,
    /// How many of the intervals have been started.
    pub started: usize,
    /// Where it stands.
    pub status: BackfillStatus,
}

/// Where a back-fill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillStatus {
    /// It starts runs.
    Running,
    /// It was cancelled, and waits for the runs that go on.
    Stopping,
    /// All of its runs have ended.
    Done,
    /// It was cancelled, and its runs have ended.
    Cancelled,
}

impl Backfill {
    /// The intervals that a back-fill would run, without running them. `had` says how the last
    /// run of an interval ended, by the interval's end.
    pub fn plan(
        calendar: &Calendar,
        options: BackfillOptions,
        had: &BTreeMap<Micros, RunEnd>,
    ) -> Result<Vec<Interval>> {
        let is_wanted = |interval: &Interval| match (options.reprocess, had.get(&interval.until_us))
        {
            (_, None) | (Reprocess::All, _) => true,
            (Reprocess::Failed, Some(end)) => *end != RunEnd::Succeeded,
            (Reprocess::None, Some(_)) => false,
        };
        let mut intervals = Vec::new();
        let first_us = calendar.next_after(options.from_us.saturating_sub(1));
        let mut from_us = first_us.unwrap_or(Micros::MAX);
        while let Some(until_us) = calendar.next_after(from_us) {
            if until_us > options.until_us {
                break;
            }
            let interval = Interval { from_us, until_us };
            if is_wanted(&interval) {
                intervals.push(interval);
            }
            if intervals.len() > INTERVALS_MAX {
                let fact = format!("the range has more than {INTERVALS_MAX} intervals to run");
                return Err(Problem::new(&codes::SETTING_INVALID, fact)
                    .hint("choose a shorter range, and go on with another back-fill"));
            }
            from_us = until_us;
        }
        if options.order == Order::NewestFirst {
            intervals.reverse();
        }
        Ok(intervals)
    }
}

/// A back-fill that goes on.
#[derive(Debug)]
pub(crate) struct Filling {
    row: Backfill,
    /// Its runs that have not ended.
    pub(crate) open: BTreeSet<RunKey>,
}

impl Filling {
    pub(crate) fn new(row: Backfill) -> Self {
        Self { row, open: BTreeSet::new() }
    }

    fn set(&mut self, started: usize, status: BackfillStatus, step: &mut Step) {
        let (backfill, was_started) = (self.row.id, self.row.started);
        self.row.started = started;
        self.row.status = status;
        step.push(Command::SetBackfill { backfill, was_started, started, status });
    }
}

impl State {
    /// Begins a back-fill.
    pub(crate) fn start_backfill(&mut self, mut row: Backfill, step: &mut Step) -> Result<()> {
        if self.backfills.contains_key(&row.id) {
            return Ok(());
        }
        self.check_pipeline(row.pipeline)?;
        let (length, parallel_max) = (row.intervals.len(), row.parallel_max);
        if length > INTERVALS_MAX || parallel_max == 0 {
            let fact = format!("{length} intervals, {parallel_max} at a time, cannot be run");
            return Err(Problem::new(&codes::SETTING_INVALID, fact)
                .hint(format!("run 1 to {INTERVALS_MAX} intervals, one or more at a time")));
        }
        row.started = 0;
        row.status = BackfillStatus::Running;
        step.push(Command::CreateBackfill(row.clone()));
        self.to_feed.insert(row.id);
        self.backfills.insert(row.id, Filling::new(row));
        Ok(())
    }

    /// Starts as many runs of a back-fill as may go on, and ends it when all have ended.
    pub(crate) fn feed_backfill(&mut self, id: BackfillId, step: &mut Step) {
        while let Some(filling) = self.backfills.get_mut(&id) {
            let line = self.pipelines.get(&filling.row.pipeline);
            if line.is_none_or(|line| line.pipeline.is_none()) {
                // There is nothing to run any more; what goes on may end.
                filling.row.status = BackfillStatus::Stopping;
            }
            let row = &filling.row;
            let next = row.intervals.get(row.started).copied();
            let next = next.filter(|_| row.status == BackfillStatus::Running);
            let Some(interval) = next else {
                return self.end_backfill(id, step);
            };
            if filling.open.len() >= row.parallel_max {
                return;
            }
            let origin = Origin::Backfill { backfill: id, interval };
            let run = RunKey::derive(interval.until_us, format!("back-fill {id}").as_bytes());
            let (pipeline, params) = (row.pipeline, row.params.clone());
            let started = row.started + 1;
            filling.set(started, BackfillStatus::Running, step);
            filling.open.insert(run);
            self.create(Request { run, pipeline, origin, params, priority: PRIORITY }, step);
            if !self.has_run(run)
                && let Some(filling) = self.backfills.get_mut(&id)
            {
                // A run without nodes has ended at once.
                filling.open.remove(&run);
            }
        }
    }

    fn end_backfill(&mut self, id: BackfillId, step: &mut Step) {
        let Some(filling) = self.backfills.get_mut(&id) else { return };
        if !filling.open.is_empty() {
            return;
        }
        let status = match filling.row.status {
            BackfillStatus::Stopping => BackfillStatus::Cancelled,
            _ => BackfillStatus::Done,
        };
        filling.set(filling.row.started, status, step);
        self.backfills.remove(&id);
    }

    /// Stops a back-fill and its runs.
    pub(crate) fn cancel_backfill(&mut self, id: BackfillId, step: &mut Step) -> Result<()> {
        let Some(filling) = self.backfills.get_mut(&id) else {
            return Err(Problem::new(&codes::RUN_NOT_FOUND, format!("back-fill {id} has ended"))
                .arg("backfill", id)
                .hint("only a back-fill that goes on can be cancelled"));
        };
        if filling.row.status == BackfillStatus::Running {
            filling.set(filling.row.started, BackfillStatus::Stopping, step);
            for run in filling.open.clone() {
                self.stop_run(run, RunEnd::Cancelled, step);
            }
            self.to_feed.insert(id);
        }
        Ok(())
    }

    /// A run goes on that may be part of a back-fill.
    pub(crate) fn join_backfill(&mut self, row: &RunRow) {
        let filling = row.origin.backfill().and_then(|id| self.backfills.get_mut(&id));
        if let Some(filling) = filling {
            filling.open.insert(row.key);
        }
    }

    /// A run has ended that may be part of a back-fill.
    pub(crate) fn leave_backfill(&mut self, row: &RunRow) {
        let Some(id) = row.origin.backfill() else { return };
        if let Some(filling) = self.backfills.get_mut(&id) {
            filling.open.remove(&row.key);
            self.to_feed.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: Micros = 1_000_000;

    fn planned(options: BackfillOptions) -> String {
        let calendar = Calendar::every(10 * SECOND_US, 0).unwrap();
        let had =
            BTreeMap::from([(20 * SECOND_US, RunEnd::Succeeded), (30 * SECOND_US, RunEnd::Failed)]);
        let intervals = Backfill::plan(&calendar, options, &had).unwrap();
        let texts = intervals.iter().map(|interval| {
            format!("{}-{}", interval.from_us / SECOND_US, interval.until_us / SECOND_US)
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_plan_has_the_whole_intervals_of_the_range_that_are_wanted() {
        let all = BackfillOptions {
            from_us: 5 * SECOND_US,
            until_us: 55 * SECOND_US,
            reprocess: Reprocess::All,
            order: Order::OldestFirst,
        };
        assert_eq!(planned(all), "10-20 20-30 30-40 40-50");
        let newest = BackfillOptions { order: Order::NewestFirst, ..all };
        assert_eq!(planned(newest), "40-50 30-40 20-30 10-20");
        assert_eq!(planned(BackfillOptions { reprocess: Reprocess::None, ..all }), "30-40 40-50");
        let failed = BackfillOptions { reprocess: Reprocess::Failed, ..all };
        assert_eq!(planned(failed), "20-30 30-40 40-50");
        assert_eq!(planned(BackfillOptions { until_us: 19 * SECOND_US, ..all }), "");
    }

    #[test]
    fn a_plan_has_an_end() {
        let calendar = Calendar::every(SECOND_US, 0).unwrap();
        let options = BackfillOptions {
            from_us: 0,
            until_us: Micros::MAX,
            reprocess: Reprocess::All,
            order: Order::OldestFirst,
        };
        let problem = Backfill::plan(&calendar, options, &BTreeMap::new()).unwrap_err();
        assert!(problem.hint_text().is_some(), "{problem}");
    }
}
