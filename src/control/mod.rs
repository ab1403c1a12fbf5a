//! The engine for other processes of the same user: HTTP on loopback, behind a random token.
//!
//! Whoever can read the user's own files can command the engine; nobody else can. What another
//! process sends is bounded in size, time and number, and a slow reader never makes the engine wait.
//! It does not promise to be heard: another user of this machine can keep all places taken for as long
//! as they like, and then commands fail with a reason.

pub mod api;
pub mod client;
mod connection;
pub mod endpoint;
pub mod server;
