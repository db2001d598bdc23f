//! The `affluent` program.
fn main() {}
