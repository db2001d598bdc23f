//! Batteries missing from the standard library. Depends on nothing of ours.

pub mod clock;
pub mod durable;
pub mod hash;
pub mod network;
pub mod retry;
pub mod text;
