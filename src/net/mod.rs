//! The one door to the network.

pub mod http;
mod incoming;
mod intake;
pub mod remote;
mod rest;
mod storage;
pub mod swarm;
mod turn;
