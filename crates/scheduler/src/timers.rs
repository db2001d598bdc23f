//! What has to be looked at again, and when: at most one time for each thing.

use crate::ids::{NodeKey, RunKey, ScheduleId, TriggerId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use stdx::clock::Micros;

/// Something that happens by the passing of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A node has rested, has had no answer, or has lost its worker.
    Node(NodeKey),
    /// An attempt takes too long.
    Attempt(NodeKey),
    /// A run takes too long.
    Run(RunKey),
    /// A run is later than people want to wait without being told.
    Late(RunKey),
    /// A schedule fires.
    Schedule(ScheduleId),
    /// It has been quiet since a trigger's last signal.
    Trigger(TriggerId),
    /// A worker has not been heard of.
    Worker(WorkerId),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Micros, Timer)>,
    times: BTreeMap<Timer, Micros>,
}

impl Timers {
    /// Sets the time of `timer`, or moves it.
    pub(crate) fn set(&mut self, timer: Timer, at_us: Micros) {
        self.clear(timer);
        self.by_time.insert((at_us, timer));
        self.times.insert(timer, at_us);
    }

    /// Forgets a timer.
    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at_us) = self.times.remove(&timer) {
            self.by_time.remove(&(at_us, timer));
        }
    }

    /// Takes out the first timer whose time has come.
    pub(crate) fn pop_due(&mut self, now_us: Micros) -> Option<Timer> {
        let (_, timer) = *self.by_time.first().filter(|(at_us, _)| *at_us <= now_us)?;
        self.clear(timer);
        Some(timer)
    }

    /// All of them.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (Timer, Micros)> {
        self.times.iter().map(|(timer, at_us)| (*timer, *at_us))
    }

    /// The first time at which there is something to do.
    pub(crate) fn next_us(&self) -> Option<Micros> {
        self.by_time.first().map(|(at_us, _)| *at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_one_time() {
        let mut timers = Timers::default();
        let [first, second] = [1, 2].map(|id| Timer::Worker(WorkerId(id)));
        timers.set(first, 5);
        timers.set(second, 6);
        timers.set(first, 7);
        assert_eq!(timers.next_us(), Some(6));
        assert_eq!([timers.pop_due(5), timers.pop_due(6)], [None, Some(second)]);
        timers.clear(first);
        assert_eq!((timers.pop_due(100), timers.next_us()), (None, None));
    }
}
