//! The one door to the network.

pub mod http;
pub mod remote;
mod storage;
pub mod swarm;
mod turn;
