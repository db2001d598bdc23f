//! Slows down whoever guesses passwords, without letting them lock anybody out.
//!
//! Failures are counted per account *and* address together and per address alone, never per
//! account alone: a stranger's guesses do not keep the owner of an account out. After the first
//! few, each failure doubles the wait. All is forgotten when the server starts again; the history
//! of attempts in the database is for people.

use crate::refusal::WAIT_SECONDS;
use model::{Problem, Result, codes};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Failures for one account from one address before waits begin.
const FREE_PER_ACCOUNT: u32 = 5;
/// Failures from one address before waits begin.
const FREE_PER_ADDRESS: u32 = 30;
const FIRST_WAIT_US: i64 = 2_000_000;
/// The longest wait: nobody stays out for long.
const WAIT_US_MAX: i64 = 15 * 60 * 1_000_000;
/// So long after the last failure everything is forgotten.
const FORGOTTEN_AFTER_US: i64 = 60 * 60 * 1_000_000;
/// Entries kept; beyond, those that are oldest go.
const ENTRIES_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last_us: i64,
}

impl Failures {
    /// From when on another try is heard.
    fn free_at_us(self, free: u32) -> i64 {
        let beyond = self.count.saturating_sub(free);
        if beyond == 0 {
            return i64::MIN;
        }
        let wait_us = FIRST_WAIT_US.saturating_mul(1 << (beyond - 1).min(20));
        self.last_us + wait_us.min(WAIT_US_MAX)
    }
}

/// Counts failures of signing in.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    by_account: Mutex<HashMap<(String, IpAddr), Failures>>,
    by_address: Mutex<HashMap<IpAddr, Failures>>,
}

impl Throttle {
    /// Counts a try before its password is looked at, so that many at once count as many; refuses
    /// it when it comes too soon.
    pub(crate) fn begin(&self, account: &str, address: IpAddr, now_us: i64) -> Result<()> {
        let key = (account.to_lowercase(), address);
        let free_at_us = count(&self.by_account, key, FREE_PER_ACCOUNT, now_us).max(count(
            &self.by_address,
            address,
            FREE_PER_ADDRESS,
            now_us,
        ));
        if free_at_us <= now_us {
            return Ok(());
        }
        let seconds = (free_at_us - now_us).div_euclid(1_000_000) + 1;
        Err(Problem::new(&codes::TOO_MANY_ATTEMPTS, "too many tries to sign in")
            .arg(WAIT_SECONDS, seconds)
            .hint(format!("try again in {seconds} seconds")))
    }

    /// The password was right: what was counted for this account is forgotten.
    pub(crate) fn succeed(&self, account: &str, address: IpAddr) {
        let mut by_account = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        by_account.remove(&(account.to_lowercase(), address));
        drop(by_account);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = by_address.get_mut(&address) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

/// Counts a try, unless it comes too soon. Gives from when on it is heard.
fn count<K: Hash + Eq + Clone>(
    counted: &Mutex<HashMap<K, Failures>>,
    key: K,
    free: u32,
    now_us: i64,
) -> i64 {
    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    if counted.len() >= ENTRIES_MAX {
        counted.retain(|_, failures| now_us - failures.last_us < FORGOTTEN_AFTER_US);
        if counted.len() >= ENTRIES_MAX {
            counted.clear();
        }
    }
    let failures = counted.entry(key).or_default();
    if now_us - failures.last_us > FORGOTTEN_AFTER_US {
        *failures = Failures::default();
    }
    let free_at_us = failures.free_at_us(free);
    if free_at_us <= now_us {
        failures.count += 1;
        failures.last_us = now_us;
    }
    free_at_us
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const SECOND: i64 = 1_000_000;

    #[test]
    fn guesses_are_heard_less_and_less_often() {
        let throttle = Throttle::default();
        let heard = (0..600)
            .filter(|second| throttle.begin("a@b.c", HERE, second * SECOND).is_ok())
            .count();
        assert!((8..=15).contains(&heard), "{heard} guesses in ten minutes");
    }

    #[test]
    fn nobody_is_kept_out_by_the_guesses_of_others() {
        let throttle = Throttle::default();
        (0..100).for_each(|_| drop(throttle.begin("a@b.c", HERE, 0)));
        assert!(throttle.begin("A@b.c", HERE, SECOND).is_err());
        throttle.begin("a@b.c", THERE, SECOND).unwrap();
    }

    #[test]
    fn an_address_that_tries_many_accounts_is_slowed_down() {
        let throttle = Throttle::default();
        let heard =
            (0..1000).filter(|n| throttle.begin(&format!("{n}@b.c"), HERE, 0).is_ok()).count();
        assert_eq!(heard, 31);
    }

    #[test]
    fn signing_in_forgets_earlier_slips() {
        let throttle = Throttle::default();
        for _ in 0..50 {
            throttle.begin("a@b.c", HERE, 0).unwrap();
            throttle.succeed("a@b.c", HERE);
        }
    }
}
