//! What things are called inside of the scheduler: numbers of rows, and keys of runs.

use model::run::RunId;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use stdx::clock::Micros;
use stdx::hash;

macro_rules! row_numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Display::fmt(&self.0, f)
            }
        }
    )*};
}

row_numbers! {
    /// A workspace: the number of its row in the metadata database.
    WorkspaceId;
    /// A pipeline: the number of its row in the metadata database.
    PipelineId;
    /// A schedule: the number of its row in the metadata database.
    ScheduleId;
    /// A trigger: the number of its row in the metadata database.
    TriggerId;
    /// Something that triggers wait for, such as a table, a folder or the end of a pipeline: the
    /// number of its row in the metadata database.
    SignalId;
    /// A pool of slots: the number of its row in the metadata database.
    PoolId;
    /// A back-fill: the number of its row in the metadata database.
    BackfillId;
    /// One life of a worker: a worker that starts again takes another number.
    WorkerId;
}

/// A node of a run, by its position in the run's graph.
pub type NodeIndex = u32;

/// A run, in the 128 bits of its ULID: keys sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(pub u128);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS: u32 = 80;

impl RunKey {
    /// The key of the run that `origin` asks for at `time_us` (µs since the epoch): the same
    /// origin and time give the same key on every machine, so the same run is not created twice.
    pub fn derive(time_us: Micros, origin: &[u8]) -> Self {
        let millis = u128::try_from(time_us.max(0) / 1000).unwrap_or(0) & 0xffff_ffff_ffff;
        // Instants of one millisecond differ in their random part.
        let high = hash::stable_hash(origin) ^ hash::mix(time_us.cast_unsigned());
        let low = hash::mix(high ^ 0x9e37_79b9_7f4a_7c15) & 0xffff;
        Self((millis << RANDOM_BITS) | (u128::from(high) << 16) | u128::from(low))
    }

    /// The key of `run`, none if its text is no ULID.
    pub fn of(run: &RunId) -> Option<Self> {
        run.as_str()
            .bytes()
            .try_fold(0_u128, |key, byte| {
                let digit =
                    CROCKFORD.iter().position(|symbol| *symbol == byte.to_ascii_uppercase())?;
                Some((key << 5) | u128::try_from(digit).ok()?)
            })
            .map(Self)
    }

    /// The run's id as documents and the journal write it.
    pub fn to_run_id(self) -> Option<RunId> {
        RunId::parse(&self.to_string())
    }
}

impl Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for position in (0..26).rev() {
            let digit = usize::try_from((self.0 >> (position * 5)) & 31).unwrap_or(0);
            write!(f, "{}", char::from(CROCKFORD[digit]))?;
        }
        Ok(())
    }
}

/// A node run: one node of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeKey {
    /// The run.
    pub run: RunKey,
    /// The node in the run's graph.
    pub node: NodeIndex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_id_are_the_same_thing() {
        let key = RunKey::derive(1_800_000_000_123_456, b"schedule 7");
        let id = key.to_run_id().unwrap();
        assert_eq!(RunKey::of(&id), Some(key));
        assert_eq!(id.time_us(), 1_800_000_000_123_000);
        assert_eq!(key, RunKey::derive(1_800_000_000_123_456, b"schedule 7"));
        assert_ne!(key, RunKey::derive(1_800_000_000_123_457, b"schedule 7"));
        assert_ne!(key, RunKey::derive(1_800_000_000_123_456, b"schedule 8"));
    }
}
