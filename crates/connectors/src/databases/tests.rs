//! Databases against private servers.
