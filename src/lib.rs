//! ModSync keeps a folder equal to what a remote `.torrent` URL describes. This is the map of it.
//!
//! ```text
//!        config.toml ──► PackConfig            ┌──────────────── engine ────────────────┐
//!                                              │  machine (pure)  ◄── Input ──  jobs     │
//! origin ──http──► net::remote ──bytes──►      │        │ Effect ─────────────► │        │──watch──► Snapshot ─► ui
//!          origin::metainfo ──► Manifest ──►   │                               │        │
//!                                              └───▲──────────────────────────┬─────────┘◄── Command ─ ui
//! folder ──walk──► disk::inventory ─Inventory──────┤                          │
//! .modsync/baseline ─Baseline──────────────────────┤                          ▼
//!                                   disk::plan (pure) ─Plan─► staging ◄── net::swarm (librqbit) · disk::reuse
//!                                                               │ every piece verified = Staged
//!                                                               ▼
//!                                                     journal ─► apply ─► folder ─► net::swarm (seeds)
//!                                                                  └────► trash
//! ```
//!
//! Three trees decide everything: the manifest (what should be), the inventory (what is) and the
//! baseline (what we put there). In the baseline and unchanged means ours: it may be replaced or
//! removed. Anything else is the user's.
//!
//! A module uses only what stands before it:
//! `heap, model < origin < disk < net < config, paths, logging, publish < engine < control < demo < ui`.

pub mod heap;
pub mod model;

pub mod origin;

pub mod disk;

pub mod net;

pub mod config;
pub mod logging;
pub mod paths;
pub mod publish;

pub mod engine;

pub mod control;

pub mod demo;
pub mod ui;
