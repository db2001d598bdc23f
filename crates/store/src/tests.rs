//! Tests of what holds everywhere: opening, durability, races, servers that go away.

mod documents;
mod identity;
mod opening;
mod races;
