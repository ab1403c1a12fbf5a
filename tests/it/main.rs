//! All integration tests in one binary. They run the real thing: the built program, real peers, a real
//! HTTP server, real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apply;
mod config;
mod faulty;
mod layering;
mod machine;
mod metainfo;
mod origin;
mod refusals;
mod swarm;
mod torrents;
