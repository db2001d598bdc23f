//! The integration tests: the program as people use it, on real files, databases and tables.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "figures and skipped tests are told to people")]

mod actions;
mod backup;
mod boutique;
mod checks;
mod crash;
mod desk;
mod disks;
mod docs;
mod examples;
mod explore;
mod failures;
mod faults;
mod foreign;
mod memory;
mod mistakes;
mod outlets;
mod program;
mod real_data;
mod repeats;
mod runs;
mod server;
mod server_deaths;
mod storage;
mod syscalls;
mod untrusted;
