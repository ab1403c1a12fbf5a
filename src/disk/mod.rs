//! The one door to the disk. Blocking code; whoever calls it from a task gives it a thread.
//!
//! Looking (inventory, verify, plan) never changes a byte or a time in the folder. Changing is done
//! by `staging`, `apply` and `trash` alone, and below the pack's folder alone.

pub mod apply;
pub mod arrived;
pub mod baseline;
pub mod complete;
pub mod content;
pub mod fs;
pub mod hash;
pub mod inventory;
pub mod journal;
pub mod layout;
pub mod names;
pub mod numbered;
pub mod pace;
pub mod parts;
pub mod plan;
pub mod record;
pub mod reuse;
pub mod rollback;
pub mod staging;
pub mod superseded;
pub mod trash;
pub mod trust;
pub mod verify;
