//! Tests of encodings.
