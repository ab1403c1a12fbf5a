//! Shows. Pure views and thin backends: nothing here sees the disk, the network or a machine.

mod args;
pub mod autostart;
pub mod cli;
mod desktop;
pub mod icon;
pub mod menu;
mod meter;
pub mod notices;
mod open;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod platform;
pub mod reply;
mod signal;
mod start;
mod text;
pub mod toast;
pub mod tray;
