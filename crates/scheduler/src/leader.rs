//! One scheduler leads, the others stand by: the arithmetic of the leader's lease.
//!
//! The lease is a row of the metadata database: holder, epoch, expiry by the database's clock.
//! Whoever takes it over raises the epoch, and every command is applied only while the row still
//! has the epoch of the one who sends it. So a leader that was frozen can do no harm when it
//! wakes; that it stops by itself before its lease ends only saves it the refusals.

use crate::ids::WorkerId;
use serde::{Deserialize, Serialize};
use stdx::clock::Micros;

/// How long a leader's lease lasts from each renewal, in µs.
pub const LEADER_TTL_US: Micros = 5_000_000;

/// How often a leader renews its lease, in µs.
pub const LEADER_RENEW_US: Micros = 1_000_000;

/// A leader trusts itself this much less than its lease lasts, in µs.
pub const LEADER_MARGIN_US: Micros = 1_000_000;

/// The row of the leader's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRow {
    /// Who leads.
    pub holder: WorkerId,
    /// How often the lead has changed hands.
    pub epoch: u64,
    /// When the lease ends, in µs since the epoch, by the database's clock.
    pub expires_us: Micros,
}

impl LeaderRow {
    /// What the row becomes when `me` asks for the lease at `now_us` of the database's clock: a
    /// renewal, a take-over, or nothing while somebody else holds it.
    pub fn claim(row: Option<Self>, me: WorkerId, now_us: Micros) -> Option<Self> {
        let expires_us = now_us.saturating_add(LEADER_TTL_US);
        match row {
            None => Some(Self { holder: me, epoch: 1, expires_us }),
            // Even the same holder starts again after its lease has ended: what it knows is old.
            Some(row) if row.expires_us <= now_us => {
                Some(Self { holder: me, epoch: row.epoch + 1, expires_us })
            }
            Some(row) if row.holder == me => Some(Self { expires_us, ..row }),
            Some(_) => None,
        }
    }
}

/// How long the holder of a lease may trust it, on a clock of its own that never jumps.
///
/// The lease of the database began after the request for it was sent, so counting from the
/// sending errs on the safe side, whatever the clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trust {
    until_us: Micros,
}

impl Trust {
    /// The trust in a lease of `ttl_us` whose request was sent at `sent_us` of the own clock, with
    /// `margin_us` to spare for stopping.
    pub fn from_request(sent_us: Micros, ttl_us: Micros, margin_us: Micros) -> Self {
        Self { until_us: sent_us.saturating_add(ttl_us).saturating_sub(margin_us) }
    }

    /// Whether the lease can be relied upon at `now_us` of the own clock.
    pub fn holds(self, now_us: Micros) -> bool {
        now_us < self.until_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: WorkerId = WorkerId(1);
    const OTHER: WorkerId = WorkerId(2);

    #[test]
    fn a_lease_is_renewed_by_its_holder_and_taken_over_after_its_end() {
        let first = LeaderRow::claim(None, ME, 0).unwrap();
        assert_eq!((first.epoch, first.expires_us), (1, LEADER_TTL_US));
        let renewed = LeaderRow::claim(Some(first), ME, LEADER_TTL_US - 1).unwrap();
        assert_eq!((renewed.epoch, renewed.expires_us), (1, 2 * LEADER_TTL_US - 1));
        assert_eq!(LeaderRow::claim(Some(renewed), OTHER, renewed.expires_us - 1), None);
        let taken = LeaderRow::claim(Some(renewed), OTHER, renewed.expires_us).unwrap();
        assert_eq!((taken.holder, taken.epoch), (OTHER, 2));
        let again = LeaderRow::claim(Some(taken), OTHER, taken.expires_us).unwrap();
        assert_eq!(again.epoch, 3, "a lease that has ended is a new one even for its holder");
    }

    #[test]
    fn trust_ends_before_the_lease() {
        let trust = Trust::from_request(100, LEADER_TTL_US, LEADER_MARGIN_US);
        assert!(trust.holds(100 + LEADER_TTL_US - LEADER_MARGIN_US - 1));
        assert!(!trust.holds(100 + LEADER_TTL_US - LEADER_MARGIN_US));
    }
}
