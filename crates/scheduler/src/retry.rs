//! Whether and when a node is tried again.

use model::{Fault, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use stdx::clock::Micros;
use stdx::hash::Random;

/// Workers that one node may lose before it is put aside: the node may be what ends them.
pub const LOSSES_MAX: u32 = 3;

/// Nobody tries more often than this.
pub const ATTEMPTS_MAX: u32 = 1_000;

/// What happens when an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; lost workers are counted apart.
    pub attempts_max: u32,
    /// How the wait between attempts grows.
    pub growth: Growth,
    /// The wait before the second attempt, in µs.
    pub first_us: Micros,
    /// No wait is longer than this, in µs.
    pub cap_us: Micros,
    /// Whether each wait is shortened by chance, by up to a half of it, so that nodes which
    /// failed together do not come back together.
    pub jitter: bool,
}

/// How the wait between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// It does not.
    Fixed,
    /// It doubles every time.
    Exponential,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            growth: Growth::Exponential,
            first_us: 1_000_000,
            cap_us: 5 * 60 * 1_000_000,
            jitter: true,
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who can do something about it.
    pub fault: Fault,
    /// Whether trying again unchanged can help.
    pub retry: bool,
}

impl RetryPolicy {
    /// Fails for values that make no sense.
    pub fn check(&self) -> Result<()> {
        let refuse =
            |fact: String, hint: &str| Err(Problem::new(&codes::SETTING_INVALID, fact).hint(hint));
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts_max) {
            let fact = format!("{} attempts are not possible", self.attempts_max);
            return refuse(fact, "use 1 to 1000 attempts; 1 means that nothing is tried again");
        }
        if self.first_us < 0 || self.cap_us < self.first_us {
            let fact = "the longest wait is shorter than the first".to_owned();
            return refuse(fact, "use waits that are not negative, and a cap that is no shorter");
        }
        Ok(())
    }

    /// The wait in µs before the next attempt after `failures` attempts (one or more) have
    /// failed, the last one with `failure`; none when that was the last. `random` shakes it.
    pub fn wait_us(&self, failures: u32, failure: Failure, random: u64) -> Option<Micros> {
        // What a user has to put right does not change by waiting.
        if failure.fault == Fault::User || !failure.retry || failures >= self.attempts_max {
            return None;
        }
        let doublings = match self.growth {
            Growth::Fixed => 0,
            Growth::Exponential => failures.saturating_sub(1).min(40),
        };
        let full = self.first_us.saturating_mul(1 << doublings).min(self.cap_us);
        if !self.jitter {
            return Some(full);
        }
        let shaken = u64::try_from(full / 2).unwrap_or(0).saturating_add(1);
        let less = Random::new(random).below(shaken);
        Some(full - Micros::try_from(less).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUTSIDE: Failure = Failure { fault: Fault::External, retry: true };

    fn waits(policy: RetryPolicy, failure: Failure) -> Vec<Option<Micros>> {
        (1..=5).map(|failures| policy.wait_us(failures, failure, 0)).collect()
    }

    #[test]
    fn waits_grow_up_to_the_cap_and_end() {
        let policy = RetryPolicy {
            attempts_max: 5,
            growth: Growth::Exponential,
            first_us: 10,
            cap_us: 35,
            jitter: false,
        };
        assert_eq!(waits(policy, OUTSIDE), [Some(10), Some(20), Some(35), Some(35), None]);
        let fixed = RetryPolicy { growth: Growth::Fixed, attempts_max: 2, ..policy };
        assert_eq!(waits(fixed, OUTSIDE), [Some(10), None, None, None, None]);
    }

    #[test]
    fn what_waiting_cannot_mend_is_not_tried_again() {
        let user = Failure { fault: Fault::User, retry: true };
        let hopeless = Failure { fault: Fault::External, retry: false };
        for failure in [user, hopeless] {
            assert_eq!(waits(RetryPolicy::default(), failure), [None; 5]);
        }
    }

    #[test]
    fn senseless_policies_are_refused() {
        let good = RetryPolicy::default();
        for bad in [
            RetryPolicy { attempts_max: 0, ..good },
            RetryPolicy { attempts_max: ATTEMPTS_MAX + 1, ..good },
            RetryPolicy { first_us: -1, ..good },
            RetryPolicy { cap_us: 0, ..good },
        ] {
            assert!(bad.check().unwrap_err().hint_text().is_some());
        }
        good.check().unwrap();
    }

    proptest! {
        #[test]
        fn a_shaken_wait_is_between_half_and_all_of_it(
            failures in 1..ATTEMPTS_MAX, first_us in 0..i64::MAX, random: u64,
        ) {
            let attempts_max = ATTEMPTS_MAX;
            let cap_us = i64::MAX;
            let growth = Growth::Exponential;
            let calm = RetryPolicy { attempts_max, growth, first_us, cap_us, jitter: false };
            let full = calm.wait_us(failures, OUTSIDE, random).unwrap();
            let shaken = RetryPolicy { jitter: true, ..calm };
            let wait = shaken.wait_us(failures, OUTSIDE, random).unwrap();
            prop_assert!(wait <= full && wait >= full / 2);
        }
    }
}
