//! How `write_file` gets its files where they belong, in one commit.

pub(super) mod commit;
pub(super) mod format;
pub(super) mod manifest;
pub(super) mod parts;
pub(super) mod place;
pub(super) mod split;
pub(super) mod staging;
