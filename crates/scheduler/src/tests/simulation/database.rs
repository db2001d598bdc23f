//! The database of a simulated world: rows, and commands that are applied only as they say.

use crate::{
    Backfill, BackfillId, BackfillStatus, Command, LEASE_US, LeaderRow, NodeKey, NodeRow,
    NodeState, Origin, Rows, RunKey, RunRow, RunStatus, ScheduleId, TriggerId,
};
use std::collections::{BTreeMap, BTreeSet};
use stdx::clock::Micros;

#[derive(Debug, Default)]
pub(super) struct Database {
    pub(super) now_us: Micros,
    pub(super) leader: Option<LeaderRow>,
    /// What is declared; schedules and triggers hold what is done with, too.
    pub(super) declared: Rows,
    pub(super) runs: BTreeMap<RunKey, RunRow>,
    pub(super) nodes: BTreeMap<NodeKey, NodeRow>,
    pub(super) backfills: BTreeMap<BackfillId, Backfill>,
    pub(super) fires: BTreeSet<(ScheduleId, Micros)>,
    /// How the writes of the present transaction are taken back.
    pub(super) undo: Vec<Undo>,
}

#[derive(Debug)]
pub(super) enum Undo {
    Run(RunKey, Option<RunRow>),
    Node(NodeKey, Option<NodeRow>),
    Fire(ScheduleId, Micros),
    Backfill(BackfillId, Option<Backfill>),
    Schedule(usize, Micros),
    Trigger(usize, BTreeMap<crate::SignalId, crate::Seen>),
}

impl Database {
    /// What a scheduler reads that begins to lead.
    pub(super) fn rows(&self) -> Rows {
        let is_live = |run: &&RunRow| !matches!(run.status, RunStatus::Ended { .. });
        let runs: Vec<RunRow> = self.runs.values().filter(is_live).cloned().collect();
        let nodes = runs.iter().flat_map(|run| self.nodes_of(run.key)).collect();
        let is_open = |row: &&Backfill| {
            matches!(row.status, BackfillStatus::Running | BackfillStatus::Stopping)
        };
        let backfills = self.backfills.values().filter(is_open).cloned().collect();
        Rows { runs, nodes, backfills, ..self.declared.clone() }
    }

    pub(super) fn nodes_of(&self, run: RunKey) -> Vec<NodeRow> {
        let range = NodeKey { run, node: 0 }..=NodeKey { run, node: u32::MAX };
        self.nodes.range(range).map(|(_, row)| row.clone()).collect()
    }

    /// Applies the writes of one event: all of them, or none with the reason.
    pub(super) fn apply(&mut self, epoch: u64, commands: &[Command]) -> Result<(), &'static str> {
        if self.leader.is_none_or(|leader| leader.epoch != epoch) {
            return Err("not the leader");
        }
        self.undo.clear();
        for command in commands {
            if let Err(reason) = self.write(command) {
                self.roll_back();
                return Err(reason);
            }
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Run(key, Some(row)) => drop(self.runs.insert(key, row)),
                Undo::Run(key, None) => drop(self.runs.remove(&key)),
                Undo::Node(key, Some(row)) => drop(self.nodes.insert(key, row)),
                Undo::Node(key, None) => drop(self.nodes.remove(&key)),
                Undo::Backfill(id, Some(row)) => drop(self.backfills.insert(id, row)),
                Undo::Backfill(id, None) => drop(self.backfills.remove(&id)),
                Undo::Fire(schedule, fire_us) => drop(self.fires.remove(&(schedule, fire_us))),
                Undo::Schedule(at, fired_us) => self.declared.schedules[at].fired_us = fired_us,
                Undo::Trigger(at, seen) => self.declared.triggers[at].seen = seen,
            }
        }
    }

    fn write(&mut self, command: &Command) -> Result<(), &'static str> {
        match command {
            Command::CreateRun(row) => self.create_run(row),
            Command::SetRun { run, was, status, deadline_us, late_us } => {
                let row = self.runs.get_mut(run).filter(|row| row.status == *was);
                let row = row.ok_or("the run has another status")?;
                self.undo.push(Undo::Run(*run, Some(row.clone())));
                (row.status, row.deadline_us, row.late_us) = (*status, *deadline_us, *late_us);
                Ok(())
            }
            Command::SetNode { was_epoch, lapsed, row } => self.set_node(*was_epoch, *lapsed, row),
            Command::Renew { node, epoch } => {
                let row = self.nodes.get_mut(node).filter(|row| row.epoch == *epoch);
                let row = row.ok_or("another lease")?;
                self.undo.push(Undo::Node(*node, Some(row.clone())));
                let NodeState::Leased(lease) = &mut row.state else { return Err("no lease") };
                lease.expires_us = self.now_us + LEASE_US;
                Ok(())
            }
            Command::SetSchedule { schedule, was_us, fired_us } => {
                let at = self.schedule(*schedule);
                let row = &mut self.declared.schedules[at];
                if row.fired_us != *was_us || fired_us <= was_us {
                    return Err("the schedule is elsewhere");
                }
                self.undo.push(Undo::Schedule(at, row.fired_us));
                row.fired_us = *fired_us;
                Ok(())
            }
            Command::NoteSignal { trigger, signal, serial, first_us, latest_us } => {
                let at = self.trigger(*trigger);
                let seen = &mut self.declared.triggers[at].seen;
                self.undo.push(Undo::Trigger(at, seen.clone()));
                let seen = seen.entry(*signal).or_default();
                if seen.latest >= *serial {
                    return Err("an old signal");
                }
                (seen.latest, seen.first_us, seen.latest_us) = (*serial, *first_us, *latest_us);
                Ok(())
            }
            Command::UseSignals { trigger, serials } => {
                let at = self.trigger(*trigger);
                let seen = &mut self.declared.triggers[at].seen;
                self.undo.push(Undo::Trigger(at, seen.clone()));
                for (signal, serial) in serials {
                    seen.entry(*signal).or_default().used = *serial;
                }
                Ok(())
            }
            Command::CreateBackfill(row) => {
                self.undo.push(Undo::Backfill(row.id, self.backfills.get(&row.id).cloned()));
                let before = self.backfills.insert(row.id, row.clone());
                before.map_or(Ok(()), |_| Err("the back-fill is there"))
            }
            Command::SetBackfill { backfill, was_started, started, status } => {
                let row = self.backfills.get_mut(backfill).ok_or("no back-fill")?;
                self.undo.push(Undo::Backfill(*backfill, Some(row.clone())));
                if row.started != *was_started {
                    return Err("the back-fill is elsewhere");
                }
                (row.started, row.status) = (*started, *status);
                Ok(())
            }
            message => {
                assert!(message.is_message());
                Ok(())
            }
        }
    }

    fn create_run(&mut self, row: &RunRow) -> Result<(), &'static str> {
        if self.runs.contains_key(&row.key) {
            return Err("the run is there");
        }
        if let Origin::Schedule { schedule, interval } = row.origin {
            let fire_us = interval.until_us;
            if fire_us > self.now_us {
                return Err("a fire in the future");
            }
            assert!(self.fires.insert((schedule, fire_us)), "keys of runs are made of their fires");
            self.undo.push(Undo::Fire(schedule, fire_us));
        }
        self.undo.push(Undo::Run(row.key, None));
        self.runs.insert(row.key, row.clone());
        Ok(())
    }

    fn set_node(
        &mut self,
        was_epoch: u64,
        lapsed: bool,
        row: &NodeRow,
    ) -> Result<(), &'static str> {
        let old = self.nodes.get(&row.key);
        if old.map_or(0, |old| old.epoch) != was_epoch {
            return Err("another epoch");
        }
        let old_lease = old.and_then(NodeRow::lease).copied();
        if lapsed && old_lease.is_none_or(|lease| lease.expires_us > self.now_us) {
            return Err("the lease has not run out");
        }
        self.undo.push(Undo::Node(row.key, old.cloned()));
        let mut row = row.clone();
        if let NodeState::Leased(lease) = &mut row.state {
            lease.expires_us = match old_lease {
                Some(old) if row.epoch == was_epoch => old.expires_us,
                _ => self.now_us + LEASE_US,
            };
        }
        self.nodes.insert(row.key, row);
        Ok(())
    }

    fn schedule(&self, id: ScheduleId) -> usize {
        self.declared.schedules.iter().position(|schedule| schedule.id == id).unwrap()
    }

    fn trigger(&self, id: TriggerId) -> usize {
        self.declared.triggers.iter().position(|trigger| trigger.id == id).unwrap()
    }
}
