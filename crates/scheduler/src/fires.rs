//! Schedules and triggers: runs that begin by themselves.

use crate::backfill::Interval;
use crate::calendar::jitter;
use crate::definitions::{GRACE_US, Missed, Schedule, Seen, Trigger};
use crate::events::Request;
use crate::ids::{RunKey, ScheduleId, SignalId, TriggerId};
use crate::rows::{Command, Origin};
use crate::state::{State, Step};
use crate::timers::Timer;
use stdx::clock::Micros;

/// A schedule that is far behind catches up in pieces of this size.
const FIRES_PER_STEP: usize = 100;

/// How far back the fire before a schedule's first one is looked for: four years have a leap day.
const BEFORE_US: Micros = 4 * 366 * 24 * 60 * 60 * 1_000_000;

/// What is to be done with the next fire of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Start a run for this fire.
    Fire(Micros),
    /// Nobody wants the fires up to this one any more.
    PassOver(Micros),
    /// Nothing is due.
    Nothing,
}

impl Schedule {
    fn due_us(&self) -> Option<Micros> {
        let next_us = self.next_us()?;
        Some(next_us.saturating_add(jitter(self.id.0, next_us, self.jitter_us)))
    }

    fn is_due(&self, now_us: Micros) -> bool {
        !self.is_paused && self.due_us().is_some_and(|due_us| due_us <= now_us)
    }

    fn next(&self, now_us: Micros) -> Next {
        let Some(next_us) = self.next_us().filter(|_| self.is_due(now_us)) else {
            return Next::Nothing;
        };
        let late_us = now_us.saturating_sub(GRACE_US).saturating_sub(self.jitter_us);
        let missed_us = match self.missed {
            Missed::All => None,
            Missed::Last | Missed::None => self.last_us(late_us),
        };
        let Some(missed_us) = missed_us else { return Next::Fire(next_us) };
        let after = Self { fired_us: missed_us, ..self.clone() };
        if self.missed == Missed::Last && !after.is_due(now_us) {
            Next::Fire(missed_us)
        } else {
            Next::PassOver(missed_us)
        }
    }

    /// The fire before `fire_us`: where the interval of its run begins.
    fn previous_us(&self, fire_us: Micros) -> Micros {
        let until_us = fire_us.saturating_sub(1);
        let is_fire =
            |at_us: Micros| self.calendar.next_after(at_us.saturating_sub(1)) == Some(at_us);
        if self.fired_us < fire_us && is_fire(self.fired_us) {
            let known_us = self.fired_us.saturating_sub(1);
            return self.calendar.last_in(known_us, until_us).unwrap_or(fire_us);
        }
        // Mostly it lies as far back as the next one lies ahead.
        let next_us = self.calendar.next_after(fire_us).unwrap_or(fire_us);
        let mut back_us = next_us.saturating_sub(fire_us).clamp(1, BEFORE_US);
        loop {
            let previous_us = self.calendar.last_in(fire_us.saturating_sub(back_us + 1), until_us);
            match previous_us {
                Some(previous_us) => return previous_us,
                None if back_us >= BEFORE_US => return fire_us,
                None => back_us = back_us.saturating_mul(2).min(BEFORE_US),
            }
        }
    }
}

impl State {
    pub(crate) fn define_schedule(&mut self, mut schedule: Schedule) {
        let id = schedule.id;
        if let Some(old) = self.schedules.get(&id) {
            schedule.fired_us = schedule.fired_us.max(old.fired_us);
        }
        self.schedules.insert(id, schedule);
        self.set_schedule_timer(id);
    }

    fn set_schedule_timer(&mut self, id: ScheduleId) {
        let schedule = self.schedules.get(&id).filter(|schedule| !schedule.is_paused);
        match schedule.and_then(Schedule::due_us) {
            Some(due_us) => self.timers.set(Timer::Schedule(id), due_us),
            None => self.timers.clear(Timer::Schedule(id)),
        }
    }

    /// Starts the runs of a schedule that are due.
    pub(crate) fn fire_schedule(&mut self, id: ScheduleId, step: &mut Step) {
        for _ in 0..FIRES_PER_STEP {
            let Some(schedule) = self.schedules.get_mut(&id) else { return };
            let was_us = schedule.fired_us;
            let (fired_us, from_us) = match schedule.next(step.now_us) {
                Next::Nothing => break,
                Next::PassOver(fired_us) => (fired_us, None),
                Next::Fire(fire_us) => (fire_us, Some(schedule.previous_us(fire_us))),
            };
            schedule.fired_us = fired_us;
            let (pipeline, params) = (schedule.pipeline, schedule.params.clone());
            step.push(Command::SetSchedule { schedule: id, was_us, fired_us });
            if let Some(from_us) = from_us {
                let run = RunKey::derive(fired_us, format!("schedule {id}").as_bytes());
                let interval = Interval { from_us, until_us: fired_us };
                let origin = Origin::Schedule { schedule: id, interval };
                self.create(Request { run, pipeline, origin, params, priority: 0 }, step);
            }
        }
        self.set_schedule_timer(id);
    }

    pub(crate) fn define_trigger(&mut self, mut trigger: Trigger) {
        let id = trigger.id;
        if let Some(old) = self.triggers.get(&id) {
            for (signal, seen) in &old.seen {
                trigger.seen.insert(*signal, *seen);
            }
        }
        self.forget_trigger(id);
        for signal in trigger.condition.signals() {
            self.listeners.entry(signal).or_default().insert(id);
        }
        self.triggers.insert(id, trigger);
        self.set_trigger_timer(id);
    }

    pub(crate) fn forget_trigger(&mut self, id: TriggerId) {
        self.timers.clear(Timer::Trigger(id));
        let Some(trigger) = self.triggers.remove(&id) else { return };
        for signal in trigger.condition.signals() {
            if let Some(listeners) = self.listeners.get_mut(&signal) {
                listeners.remove(&id);
                if listeners.is_empty() {
                    self.listeners.remove(&signal);
                }
            }
        }
    }

    fn set_trigger_timer(&mut self, id: TriggerId) {
        match self.triggers.get(&id).and_then(Trigger::due_us) {
            Some(due_us) => self.timers.set(Timer::Trigger(id), due_us),
            None => self.timers.clear(Timer::Trigger(id)),
        }
    }

    /// Notes a signal for every trigger that waits for it.
    pub(crate) fn note_signal(&mut self, signal: SignalId, serial: u64, step: &mut Step) {
        let listeners = self.listeners.get(&signal).cloned().unwrap_or_default();
        for id in listeners {
            let Some(trigger) = self.triggers.get_mut(&id) else { continue };
            let seen = trigger.seen.entry(signal).or_default();
            if serial <= seen.latest {
                continue;
            }
            if seen.latest <= seen.used {
                seen.first_us = step.now_us;
            }
            seen.latest = serial;
            seen.latest_us = step.now_us;
            let Seen { first_us, latest_us, .. } = *seen;
            step.push(Command::NoteSignal { trigger: id, signal, serial, first_us, latest_us });
            self.set_trigger_timer(id);
        }
    }

    /// A run of a pipeline has succeeded, which other pipelines wait for.
    pub(crate) fn signal_success(&mut self, signal: SignalId, step: &mut Step) {
        let latest = self
            .listeners
            .get(&signal)
            .into_iter()
            .flatten()
            .filter_map(|id| self.triggers.get(id)?.seen.get(&signal).map(|seen| seen.latest));
        // Later than what was seen, even when the clock was put back in between.
        let later = latest.max().unwrap_or(0).saturating_add(1);
        let serial = u64::try_from(step.now_us).unwrap_or(0).max(later);
        self.note_signal(signal, serial, step);
    }

    /// Starts the run of a trigger, if it is still due.
    pub(crate) fn fire_trigger(&mut self, id: TriggerId, step: &mut Step) {
        let Some(trigger) = self.triggers.get_mut(&id) else { return };
        if trigger.due_us().is_some_and(|due_us| due_us <= step.now_us) {
            let mut serials = Vec::new();
            let mut latest_us = 0;
            for (signal, seen) in &mut trigger.seen {
                if seen.latest > seen.used {
                    seen.used = seen.latest;
                    latest_us = latest_us.max(seen.latest_us);
                    serials.push((*signal, seen.latest));
                }
            }
            let run = RunKey::derive(latest_us, format!("trigger {id} {serials:?}").as_bytes());
            let (pipeline, params) = (trigger.pipeline, trigger.params.clone());
            step.push(Command::UseSignals { trigger: id, serials });
            let origin = Origin::Trigger { trigger: id };
            self.create(Request { run, pipeline, origin, params, priority: 0 }, step);
        }
        self.set_trigger_timer(id);
    }
}
