//! ModSync keeps a folder equal to what a remote `.torrent` URL describes.

pub mod config;
pub mod demo;
pub mod disk;
pub mod engine;
pub mod logging;
pub mod model;
pub mod net;
pub mod origin;
pub mod paths;
pub mod publish;
pub mod ui;
