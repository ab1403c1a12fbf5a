//! The one door to the network.

pub mod http;
mod incoming;
mod intake;
mod one_file;
mod queue;
pub mod remote;
mod rest;
mod storage;
pub mod swarm;
mod turn;
