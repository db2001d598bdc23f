//! The server against both databases of metadata: who may do what, and what is refused.

mod alerts;
mod audit;
mod connections;
mod definitions;
mod folder;
mod orchestration;
mod people;
mod protection;
mod puppet;
mod puppet_desk;
mod queries;
mod runs;
mod sign_in;
mod support;
mod uploads;
mod walk;
