//! The integration tests: the program as people use it, on real files, databases and tables.

mod boutique;
mod crash;
mod examples;
mod program;
mod real_data;
mod runs;
