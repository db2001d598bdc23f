//! Who somebody is: passwords, tokens, sessions, keys.

pub(crate) mod caller;
pub(crate) mod cookie;
pub(crate) mod master_key;
pub(crate) mod password;
pub mod people;
pub(crate) mod seal;
pub(crate) mod throttle;
pub(crate) mod token;
