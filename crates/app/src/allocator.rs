//! How the allocator treats memory that is freed.

use libmimalloc_sys::{mi_option_set, mi_option_t};
use std::ffi::c_long;

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// A run's memory limit is about what the process has. Where it is small, freed pages go back
/// at once.
const DELAY_MILLISECONDS_SMALL: c_long = 0;
/// Elsewhere they are kept for the next batches: to give them back at once and to take new ones
/// costs operations that spill a third of their time. Much longer, and what is kept counts.
const DELAY_MILLISECONDS: c_long = 1_000;
/// Limits below this are small.
const MEMORY_BYTES_SMALL: usize = 256 << 20;

/// Sets how long freed memory is kept in a process with such a limit. A delay that the environment
/// gives stays.
pub fn suit(memory_bytes: usize) {
    let delay = match memory_bytes < MEMORY_BYTES_SMALL {
        true => DELAY_MILLISECONDS_SMALL,
        false => DELAY_MILLISECONDS,
    };
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        set_delay(delay);
    }
}

#[allow(unsafe_code, reason = "the allocator has only a C interface")]
fn set_delay(milliseconds: c_long) {
    // SAFETY: this writes one entry of a static table, and the number is within it.
    unsafe { mi_option_set(PURGE_DELAY, milliseconds) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    /// What it is unless it is set, in milliseconds.
    const PURGE_DELAY_DEFAULT: c_long = 1000;

    #[allow(unsafe_code, reason = "the allocator has only a C interface")]
    fn delay() -> c_long {
        // SAFETY: this reads one entry of a static table, and the number is within it.
        unsafe { mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn the_number_is_that_of_the_delay() {
        assert_eq!(delay(), PURGE_DELAY_DEFAULT);
        suit(64 << 20);
        assert_eq!(delay(), DELAY_MILLISECONDS_SMALL);
        suit(1 << 30);
        assert_eq!(delay(), DELAY_MILLISECONDS);
    }
}
