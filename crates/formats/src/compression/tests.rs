//! Tests of compressed files.
