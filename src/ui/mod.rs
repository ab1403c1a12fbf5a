//! Shows. Pure views and thin backends: nothing here sees the disk, the network or a machine.

mod args;
pub mod cli;
mod meter;
mod text;
