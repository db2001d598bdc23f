//! How the allocator treats memory that is freed.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// What it is unless it is set, in milliseconds.
const PURGE_DELAY_DEFAULT: std::ffi::c_long = 1000;
/// A run's memory limit is about what the process has, so freed pages go back soon; a delay keeps
/// those that are taken again at once.
const PURGE_DELAY_MILLISECONDS: std::ffi::c_long = 10;

/// Gives freed memory back to the system soon. A delay given by the environment stays.
#[allow(unsafe_code, reason = "the allocator has only a C interface")]
pub fn give_back_soon() {
    // SAFETY: both only read or write one entry of a static table, and the number is within it.
    unsafe {
        if mi_option_get(PURGE_DELAY) == PURGE_DELAY_DEFAULT {
            mi_option_set(PURGE_DELAY, PURGE_DELAY_MILLISECONDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "the allocator has only a C interface")]
    fn the_number_is_that_of_the_delay() {
        // SAFETY: as above.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, PURGE_DELAY_DEFAULT);
        give_back_soon();
        // SAFETY: as above.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, PURGE_DELAY_MILLISECONDS);
    }
}
