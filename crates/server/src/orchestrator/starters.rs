//! What starts runs by itself, from its stored form to the scheduler's and back.

use super::draft::{Draft, Extras, json, json_value, signed};
use super::names::{Names, pipeline_number};
use api::schedules::{Condition, Missed, Times, TriggerSettings};
use model::{Result, Span};
use scheduler::{Calendar, Schedule, Seen, Trigger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{
    BackfillChange, NewBackfill, ScheduleStatus, SignalSeen, SignalsUsed, Stored, TriggerSignal,
    WorkspaceId,
};

/// The rule of a schedule, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredRule {
    pub(crate) times: Times,
    #[serde(default)]
    pub(crate) jitter: Option<String>,
    #[serde(default)]
    pub(crate) missed: Missed,
}

/// The calendar of `times`, for the wall clock of `zone`.
pub(crate) fn calendar(times: &Times, zone: &str) -> Result<Calendar> {
    match times {
        Times::Cron(pattern) => Calendar::cron(pattern, zone),
        Times::Every(span) => Calendar::every(Span::parse(span)?.us(), 0),
        Times::At(at_us) => Ok(Calendar::once(*at_us)),
    }
}

/// A length of time that may be absent, in µs.
pub(crate) fn span_us(span: Option<&str>) -> Result<i64> {
    Ok(span.map(Span::parse).transpose()?.map_or(0, Span::us))
}

/// A schedule as the scheduler knows it.
pub(super) fn schedule(
    row: &store::Schedule,
    is_paused: bool,
    names: &mut Names,
) -> Result<Schedule> {
    let rule: StoredRule = super::load::read(&row.rule.0)?;
    Ok(Schedule {
        id: names.add_schedule(&row.id),
        pipeline: pipeline_number(&row.workspace_id, &row.pipeline),
        calendar: calendar(&rule.times, &row.zone)?,
        start_us: row.start_at_us,
        end_us: row.end_at_us,
        jitter_us: span_us(rule.jitter.as_deref())?,
        missed: match rule.missed {
            Missed::All => scheduler::Missed::All,
            Missed::Last => scheduler::Missed::Last,
            Missed::None => scheduler::Missed::None,
        },
        params: row.params.0.to_string().into(),
        fired_us: row.fired_us,
        is_paused: is_paused || row.status == ScheduleStatus::Paused,
    })
}

/// The signal that something of a condition has happened; none for those that are made of others.
pub(crate) fn signal(condition: &Condition, trigger: &str) -> Option<String> {
    match condition {
        Condition::Table(table) => Some(super::names::table_signal(table)),
        Condition::Pipeline(pipeline) => Some(super::names::success_signal(pipeline)),
        Condition::File(pattern) => Some(format!("file:{pattern}")),
        Condition::Webhook => Some(format!("webhook:{trigger}")),
        Condition::All(_) | Condition::Any(_) => None,
    }
}

fn condition(
    condition: &Condition,
    row: &store::Trigger,
    names: &mut Names,
) -> scheduler::Condition {
    let mut of = |parts: &[Condition]| {
        parts.iter().map(|part| self::condition(part, row, names)).collect::<Vec<_>>()
    };
    match condition {
        Condition::All(parts) => scheduler::Condition::All(of(parts)),
        Condition::Any(parts) => scheduler::Condition::Any(of(parts)),
        single => {
            let text = signal(single, row.id.as_str()).unwrap_or_default();
            scheduler::Condition::Signal(names.add_signal(&row.workspace_id, &text))
        }
    }
}

/// A trigger as the scheduler knows it, with what it has seen.
pub(super) fn trigger<'a>(
    row: &store::Trigger,
    seen: impl Iterator<Item = &'a TriggerSignal>,
    names: &mut Names,
) -> Result<Trigger> {
    let settings: TriggerSettings = super::load::read(&row.settings.0)?;
    let condition = condition(&settings.when, row, names);
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let mut known = BTreeMap::new();
    for signal in seen {
        let id = names.add_signal(&row.workspace_id, &signal.signal);
        let seen = Seen {
            latest: unsigned(signal.latest),
            used: unsigned(signal.used),
            first_us: signal.first_us,
            latest_us: signal.latest_us,
        };
        known.insert(id, seen);
    }
    Ok(Trigger {
        id: names.add_trigger(&row.id, &row.workspace_id),
        pipeline: pipeline_number(&row.workspace_id, &row.pipeline),
        condition,
        quiet_us: span_us(settings.quiet.as_deref())?,
        params: serde_json::Value::Object(settings.params).to_string().into(),
        seen: known,
    })
}

/// The patterns of files that a trigger waits for.
pub(super) fn file_patterns(condition: &Condition) -> Vec<String> {
    match condition {
        Condition::File(pattern) => vec![pattern.clone()],
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().flat_map(file_patterns).collect()
        }
        Condition::Table(_) | Condition::Pipeline(_) | Condition::Webhook => Vec::new(),
    }
}

/// A workspace's signal, for those who only tell of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) workspace: WorkspaceId,
    pub(crate) signal: String,
    pub(crate) serial: u64,
}

impl Draft<'_> {
    pub(super) fn note_signal(
        &mut self,
        (trigger, signal, serial, first_us, latest_us): (
            scheduler::TriggerId,
            scheduler::SignalId,
            i64,
            i64,
            i64,
        ),
    ) {
        let Some((id, workspace)) = self.names.triggers.get(&trigger) else { return };
        let Some(name) = self.names.signals.get(&signal) else { return };
        let seen = SignalSeen {
            trigger: id.clone(),
            workspace: workspace.clone(),
            signal: name.clone(),
            serial,
            first_us,
            latest_us,
        };
        self.signals.insert((trigger, signal), seen);
    }

    pub(super) fn use_signals(
        &mut self,
        trigger: scheduler::TriggerId,
        serials: &[(scheduler::SignalId, u64)],
    ) {
        let Some((id, _)) = self.names.triggers.get(&trigger) else { return };
        let used = serials.iter().filter_map(|(signal, serial)| {
            Some((self.names.signals.get(signal)?.clone(), signed(*serial)))
        });
        self.writes.used.push(SignalsUsed { trigger: id.clone(), serials: used.collect() });
    }

    pub(super) fn create_backfill(&mut self, backfill: &scheduler::Backfill, extras: &Extras) {
        let Some((id, workspace)) = self.names.backfills.get(&backfill.id) else { return };
        let Some(line) = self.names.pipelines.get(&backfill.pipeline) else { return };
        self.writes.new_backfills.push(NewBackfill {
            row: store::Backfill {
                id: id.clone(),
                workspace_id: workspace.clone(),
                pipeline: line.name.to_string(),
                body: Stored(json_value(backfill)),
                length: i64::try_from(backfill.intervals.len()).unwrap_or(i64::MAX),
                started: 0,
                status: json(&backfill.status),
                created_by: extras.by.clone(),
                created_at_us: self.now_us,
            },
        });
    }

    pub(super) fn set_backfill(
        &mut self,
        backfill: scheduler::BackfillId,
        was_started: usize,
        started: usize,
        status: String,
    ) {
        let Some((id, _)) = self.names.backfills.get(&backfill) else { return };
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(new) = self.writes.new_backfills.iter_mut().find(|new| new.row.id == *id) {
            (new.row.started, new.row.status) = (count(started), status);
            return;
        }
        let known = self.writes.backfills.iter_mut().find(|change| change.backfill == *id);
        if let Some(change) = known {
            (change.started, change.status) = (count(started), status);
            return;
        }
        let (was_started, started) = (count(was_started), count(started));
        let change = BackfillChange { backfill: id.clone(), was_started, started, status };
        self.writes.backfills.push(change);
    }
}
