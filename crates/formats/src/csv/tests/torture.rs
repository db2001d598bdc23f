//! The torture files, by the ids of their tests.
