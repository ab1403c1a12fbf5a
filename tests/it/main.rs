//! All integration tests in one binary. They run the real thing: the built program, real peers, a real
//! HTTP server, real files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::unnecessary_wraps
)]

mod apply;
mod arrived;
mod cli;
mod config;
mod control;
mod damage;
mod desktop;
mod disks;
mod e2e;
mod faulty;
mod glance;
mod histories;
mod hostile;
mod layering;
mod machine;
mod menu;
mod metainfo;
mod nginx;
mod notices;
mod origin;
mod origin_server;
mod outside;
mod panics;
mod peer;
mod place;
mod races;
mod refusals;
mod replies;
mod reply;
mod reuse;
mod rules;
mod spacing;
mod swarm;
mod toast;
mod torrents;
mod transmission;
mod trash;
mod tree;
mod trust;
mod views;
mod wine;
mod world;
mod worst;
