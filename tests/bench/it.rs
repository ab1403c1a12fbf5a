//! The world of the tests, of which a benchmark needs a part.

#![allow(dead_code)]

#[path = "../it/desktop/bus.rs"]
pub mod bus;
#[path = "../it/disks.rs"]
pub mod disks;
#[path = "../it/nginx.rs"]
pub mod nginx;
#[path = "../it/origin_server.rs"]
pub mod origin_server;
#[path = "../it/torrents.rs"]
pub mod torrents;
#[path = "../it/transmission.rs"]
pub mod transmission;
#[path = "../it/desktop/tray_host.rs"]
pub mod tray_host;
#[path = "../it/tree.rs"]
pub mod tree;
#[path = "../it/world.rs"]
pub mod world;
#[path = "../it/worst.rs"]
pub mod worst;
