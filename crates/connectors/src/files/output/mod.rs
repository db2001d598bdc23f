//! How `write_file` gets its files where they belong, in one commit.

pub(super) mod manifest;
pub(super) mod place;
