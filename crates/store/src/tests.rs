//! Tests of what holds everywhere: opening, durability, races, servers that go away.

mod alerts;
mod backup;
mod documents;
mod history;
mod identity;
mod opening;
mod orchestration;
mod pipelines;
mod races;
mod runs;
mod schedules;
