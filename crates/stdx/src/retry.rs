//! Waiting times between attempts: exponential, capped, jittered.

use crate::hash::Random;
use std::time::Duration;

/// How often and how patiently something is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// Wait before the second attempt.
    pub first: Duration,
    /// No wait is longer than this.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { attempts_max: 5, first: Duration::from_millis(200), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after attempt number `attempt` (1 is the first): half of it fixed, half random.
    pub fn wait(&self, attempt: u32, random: &mut Random) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.cap);
        full.mul_f64(0.5 + random.unit() / 2.0)
    }
}
