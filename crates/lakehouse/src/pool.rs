//! The memory that all operations of a process share.

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use std::fmt::{self, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fair pool with headroom. Operations that can spill share three quarters of the memory
/// evenly; the rest is kept for those that cannot, so that an operation which has just spilled
/// always finds the little that it needs to merge what it spilled. (In a pool without headroom
/// the neighbours take that memory in the meantime, and the operation fails.)
#[derive(Debug)]
pub(crate) struct HeadroomPool {
    bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
}

impl HeadroomPool {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one operation that can spill may have in all.
    fn share(&self, state: &State) -> usize {
        let left = self.bytes.saturating_sub(state.unspillable);
        left.min(self.bytes / 4 * 3) / state.spillers.max(1)
    }
}

impl MemoryPool for HeadroomPool {
    fn name(&self) -> &str {
        "headroom"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.state().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut state = self.state();
        state.spillers = state.spillers.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut state = self.state();
        match reservation.consumer().can_spill() {
            true => state.spillable += additional,
            false => state.unspillable += additional,
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state();
        match reservation.consumer().can_spill() {
            true => state.spillable = state.spillable.saturating_sub(shrink),
            false => state.unspillable = state.unspillable.saturating_sub(shrink),
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state();
        let can_spill = reservation.consumer().can_spill();
        let available = match can_spill {
            true => self.share(&state).saturating_sub(reservation.size()),
            false => self.bytes.saturating_sub(state.spillable + state.unspillable),
        };
        if additional > available {
            let name = reservation.consumer().name();
            return Err(DataFusionError::ResourcesExhausted(format!(
                "`{name}` needs {additional} more bytes of memory, {available} of {} are left",
                self.bytes
            )));
        }
        match can_spill {
            true => state.spillable += additional,
            false => state.unspillable += additional,
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.state();
        state.spillable + state.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl Display for HeadroomPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn those_that_spill_leave_room_for_those_that_cannot() {
        let pool: Arc<dyn MemoryPool> = Arc::new(HeadroomPool::new(4000));
        let spiller = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second) = (spiller("first"), spiller("second"));
        first.try_grow(1500).unwrap();
        second.try_grow(1500).unwrap();
        assert!(first.try_grow(1).is_err());
        let merge = MemoryConsumer::new("merge").register(&pool);
        merge.try_grow(1000).unwrap();
        assert!(merge.try_grow(1).is_err());
        second.shrink(1500);
        merge.try_grow(1500).unwrap();
        assert_eq!(pool.reserved(), 4000);
        drop((first, second, merge));
        assert_eq!(pool.reserved(), 0);
    }
}
