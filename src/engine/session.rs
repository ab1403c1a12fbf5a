//! The one swarm of the engine, started when it is first needed, and what is seeded in it.
//!
//! Of packs with one and the same torrent one is seeded at a time; when it is no longer, the next one is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::flood::Flood;
use crate::disk::baseline::{self, Baseline};
use crate::disk::content::Live;
use crate::disk::fs::Root;
use crate::disk::layout::{self, Marker};
use crate::model::fault::Fault;
use crate::model::manifest::{EntryIndex, InfoHash, Manifest, PieceSet};
use crate::model::pack::PackConfig;
use crate::model::snapshot::Seeding;
use crate::net::swarm::{Joined, Limits, PackStorage, Swarm, SwarmOptions, Torrent, Turn};
use crate::origin::metainfo;

/// How long after a failure to seed it is tried again.
const PAUSE: Duration = Duration::from_secs(30);

/// The one swarm of the engine.
#[derive(Debug)]
pub struct Session {
    options: Mutex<SwarmOptions>,
    swarm: OnceCell<Arc<Swarm>>,
    /// By the pack's name.
    seeders: Mutex<BTreeMap<String, Seeder>>,
}

/// Seeds a pack, or waits for its turn to. It ends when it is stopped or dropped.
#[derive(Debug)]
struct Seeder {
    given: Arc<Given>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What a seeder works with.
#[derive(Debug)]
struct Given {
    config: PackConfig,
    marker: Option<Marker>,
    info_hash: InfoHash,
    swarm: Arc<Swarm>,
    /// While it has its turn.
    joined: Mutex<Option<Joined>>,
}

impl Session {
    pub fn new(options: SwarmOptions) -> Self {
        let options = Mutex::new(options);
        Self { options, swarm: OnceCell::new(), seeders: Mutex::default() }
    }

    pub fn options(&self) -> SwarmOptions {
        lock(&self.options).clone()
    }

    /// Takes up other limits, also for what is under way.
    pub fn set_limits(&self, limits: Limits) {
        lock(&self.options).limits = limits;
        if let Some(swarm) = self.swarm.get() {
            swarm.set_limits(limits);
        }
    }

    pub async fn swarm(&self) -> Result<Arc<Swarm>, Fault> {
        let start = || async { Swarm::start(self.options()).await.map(Arc::new) };
        let swarm = self.swarm.get_or_try_init(start).await?;
        // They may have changed while it started.
        swarm.set_limits(self.options().limits);
        Ok(Arc::clone(swarm))
    }

    /// Gives others what the folder has of a torrent, as far as it looks as we installed it, until
    /// it is stopped.
    pub async fn seed(
        &self,
        config: PackConfig,
        marker: Option<Marker>,
        info_hash: InfoHash,
    ) -> Result<(), Fault> {
        let (name, swarm) = (config.name.clone(), self.swarm().await?);
        let given = Given { config, marker, info_hash, swarm, joined: Mutex::default() };
        let given = Arc::new(given);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(Arc::clone(&given).seed_until(stopped));
        lock(&self.seeders).insert(name, Seeder { given, stop, task });
        Ok(())
    }

    pub async fn stop_seeding(&self, pack: &str) {
        let seeder = lock(&self.seeders).remove(pack);
        if let Some(Seeder { stop, task, .. }) = seeder {
            drop(stop);
            let _ = task.await;
        }
    }

    /// The folders of other packs that have this torrent.
    pub fn folders_with(&self, info_hash: InfoHash, but: &str) -> Vec<PathBuf> {
        let seeders = lock(&self.seeders);
        let others = seeders.iter().filter(|(name, _)| *name != but).map(|(_, s)| &s.given);
        others.filter(|g| g.info_hash == info_hash).map(|g| g.config.folder.clone()).collect()
    }

    /// What a pack gives to others right now; `None` while it is not seeded.
    pub fn seeding(&self, pack: &str) -> Option<Seeding> {
        let given = Arc::clone(&lock(&self.seeders).get(pack)?.given);
        let standing = lock(&given.joined).as_ref()?.standing();
        Some(Seeding {
            peers: standing.peers,
            uploaded_bytes: standing.uploaded_bytes,
            rate: standing.upload_rate,
        })
    }
}

impl Given {
    async fn seed_until(self: Arc<Self>, mut stopped: oneshot::Receiver<()>) {
        loop {
            let turn = tokio::select! {
                turn = self.swarm.turn_to_seed(self.info_hash) => turn,
                _ = &mut stopped => return,
            };
            match self.join(&turn).await {
                Ok(Some(joined)) => *lock(&self.joined) = Some(joined),
                Ok(None) => return,
                Err(fault) => {
                    tracing::warn!(pack = self.config.name, "could not seed: {fault}");
                    drop(turn);
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => continue,
                        _ = &mut stopped => return,
                    }
                }
            }
            let flood = Flood::watch();
            let (goes_on, is_flooded) = tokio::select! {
                () = turn.is_wanted() => (true, false),
                () = flood.comes() => (true, true),
                _ = &mut stopped => (false, false),
            };
            *lock(&self.joined) = None;
            self.swarm.leave(turn).await;
            if is_flooded {
                tracing::warn!(pack = self.config.name, "strangers ask for too much: seeding anew");
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Joins with what the folder has now; `None` when it has nothing of the torrent.
    async fn join(&self, turn: &Turn) -> Result<Option<Joined>, Fault> {
        let (folder, marker) = (self.config.folder.clone(), self.marker.clone());
        let prepared = spawn_blocking(move || prepare(&folder, marker.as_ref())).await;
        let prepared = prepared.map_err(|e| Fault::bug(format!("seeding ended early: {e}")))??;
        let of_torrent =
            |prepared: &Prepared| prepared.storage.manifest.info_hash == self.info_hash;
        let Some(prepared) = prepared.filter(of_torrent) else { return Ok(None) };
        let Prepared { bytes, have, lacking, storage } = prepared;
        // Those who are named have all of it. Transmission does not serve an address again that it once saw
        // complete, so who may need a repair one day does not show itself there.
        let peers = Vec::new();
        let torrent = Torrent { bytes: bytes.into(), have, unwanted: lacking, storage, peers };
        Ok(Some(self.swarm.add(turn, torrent).await?))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Prepared {
    bytes: Vec<u8>,
    have: PieceSet,
    lacking: BTreeSet<EntryIndex>,
    storage: Arc<PackStorage>,
}

/// Works out which pieces the folder has, from the baseline and a look at each file.
fn prepare(folder: &std::path::Path, marker: Option<&Marker>) -> Result<Option<Prepared>, Fault> {
    let Some(root) = layout::look(folder, marker)? else { return Ok(None) };
    let Some(baseline) = baseline::peek(&root)? else { return Ok(None) };
    let torrent = layout::release(baseline.release.digest);
    let Some(bytes) = root.read(torrent, metainfo::MAX_BYTES as u64)? else { return Ok(None) };
    let Ok(manifest) = metainfo::parse(&bytes) else { return Ok(None) };
    let manifest = Arc::new(manifest);
    let (have, lacking) = pieces_as_installed(&root, &manifest, &baseline)?;
    let expected = manifest
        .files()
        .filter_map(|(entry, path, _)| Some((entry, *baseline.files.get(path)?)))
        .collect();
    let live = Live::new(root, Arc::clone(&manifest)).only_as(expected);
    let storage = Arc::new(PackStorage::seeding(manifest, live));
    Ok(Some(Prepared { bytes, have, lacking, storage }))
}

/// Pieces whose files all look as they were installed, and the entries with other pieces: librqbit is
/// told not to want these, or it would fetch them.
fn pieces_as_installed(
    root: &Root,
    manifest: &Manifest,
    baseline: &Baseline,
) -> Result<(PieceSet, BTreeSet<EntryIndex>), Fault> {
    let mut have = PieceSet::all(manifest.pieces.len());
    for (entry, path, _) in manifest.files() {
        if !root.stat(path)?.is_some_and(|stat| baseline.is_ours(path, stat)) {
            manifest.pieces_of(entry).for_each(|piece| have.remove(piece));
        }
    }
    let lacks = |&entry: &EntryIndex| manifest.pieces_of(entry).any(|piece| !have.contains(piece));
    let lacking = (0..manifest.entries.len()).filter(lacks).collect();
    Ok((have, lacking))
}
