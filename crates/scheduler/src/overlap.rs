//! What happens when a run should begin while others of its pipeline are going on.

use serde::{Deserialize, Serialize};

/// What happens when a pipeline already has as many runs as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The new run waits for its turn.
    #[default]
    Queue,
    /// The new run is recorded as skipped.
    Skip,
    /// The runs that go on or wait are cancelled; the new one begins when they have ended.
    CancelPrevious,
    /// The new run is recorded as failed.
    Fail,
}

/// How many runs of a pipeline there are and may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) running: usize,
    pub(crate) running_max: usize,
    pub(crate) queued: usize,
    /// Runs among these that are no part of a back-fill.
    pub(crate) live: usize,
    /// How many of those may wait.
    pub(crate) queued_max: usize,
}

/// What becomes of a new run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Begin,
    Wait,
    Skip,
    Fail,
    /// Cancel all others, then wait for their ends.
    Replace,
}

impl Overlap {
    /// Decides about one more run.
    pub(crate) fn decide(self, room: Room) -> Decision {
        // Who waits already comes first.
        if room.running < room.running_max && room.queued == 0 {
            return Decision::Begin;
        }
        match self {
            Self::Queue if room.live < room.running_max.saturating_add(room.queued_max) => {
                Decision::Wait
            }
            // Only a back-fill is in the way: that is no reason to lose a run.
            _ if room.live == 0 => Decision::Wait,
            Self::Queue | Self::Fail => Decision::Fail,
            Self::Skip => Decision::Skip,
            Self::CancelPrevious => Decision::Replace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_does_what_it_says() {
        let free = Room { running: 0, running_max: 1, queued: 0, queued_max: 2, live: 0 };
        let filling = Room { running: 1, queued: 2, ..free };
        let busy = Room { running: 1, live: 1, ..free };
        let full = Room { queued: 2, live: 3, ..busy };
        let cases = [
            (Overlap::Queue, [Decision::Begin, Decision::Wait, Decision::Fail]),
            (Overlap::Skip, [Decision::Begin, Decision::Skip, Decision::Skip]),
            (Overlap::Fail, [Decision::Begin, Decision::Fail, Decision::Fail]),
            (Overlap::CancelPrevious, [Decision::Begin, Decision::Replace, Decision::Replace]),
        ];
        for (policy, expected) in cases {
            assert_eq!([free, busy, full].map(|room| policy.decide(room)), expected, "{policy:?}");
            assert_eq!(policy.decide(filling), Decision::Wait, "{policy:?}");
        }
    }
}
