//! The integration tests: the program as people use it, on real files, databases and tables.

mod crash;
mod examples;
mod program;
mod runs;
