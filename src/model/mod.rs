//! The words of the program: values without I/O, clocks or tasks.
//!
//! Everything else speaks in these types. Nothing here opens a file, asks the time or waits.

pub mod command;
pub mod fault;
pub mod manifest;
pub mod pack;
pub mod path;
pub mod release;
pub mod report;
pub mod size;
pub mod snapshot;
