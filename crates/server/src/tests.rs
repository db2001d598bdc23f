//! The server against both databases of metadata: who may do what, and what is refused.

mod people;
mod protection;
mod puppet;
mod runs;
mod sign_in;
mod support;
mod walk;
