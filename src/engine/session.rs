//! The one swarm of the engine, started when it is first needed, and what is seeded in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell};

use crate::disk::baseline::{self, Baseline};
use crate::disk::content::Live;
use crate::disk::fs::Root;
use crate::disk::layout::{self, Marker};
use crate::model::fault::Fault;
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};
use crate::model::pack::PackConfig;
use crate::model::snapshot::Seeding;
use crate::net::swarm::{self, Joined, PackStorage, Swarm, SwarmOptions, Torrent};
use crate::origin::metainfo;

/// The one swarm of the engine.
#[derive(Debug)]
pub struct Session {
    options: SwarmOptions,
    swarm: OnceCell<Arc<Swarm>>,
    /// What is seeded, by the pack's name.
    seeded: Mutex<BTreeMap<String, Joined>>,
}

impl Session {
    pub fn new(options: SwarmOptions) -> Self {
        Self { options, swarm: OnceCell::new(), seeded: Mutex::default() }
    }

    pub fn options(&self) -> &SwarmOptions {
        &self.options
    }

    pub async fn swarm(&self) -> Result<Arc<Swarm>, Fault> {
        let start = || async { Swarm::start(self.options.clone()).await.map(Arc::new) };
        Ok(Arc::clone(self.swarm.get_or_try_init(start).await?))
    }

    /// Gives others what the folder has, as far as it looks as we installed it.
    pub async fn seed(&self, config: &PackConfig, marker: Option<&Marker>) -> Result<(), Fault> {
        let prepared = {
            let (folder, marker) = (config.folder.clone(), marker.cloned());
            tokio::task::spawn_blocking(move || prepare(&folder, marker.as_ref()))
        };
        let prepared =
            prepared.await.map_err(|e| Fault::bug(format!("seeding ended early: {e}")))??;
        let Some(Prepared { bytes, have, lacking, storage }) = prepared else { return Ok(()) };
        let peers = swarm::addresses(&config.peers).await;
        let torrent = Torrent { bytes, have, unwanted: lacking, storage, peers };
        let joined = self.swarm().await?.add(torrent).await?;
        self.seeded.lock().await.insert(config.name.clone(), joined);
        Ok(())
    }

    pub async fn stop_seeding(&self, pack: &str) {
        let joined = self.seeded.lock().await.remove(pack);
        if let (Some(joined), Some(swarm)) = (joined, self.swarm.get()) {
            swarm.remove(joined.info_hash()).await;
        }
    }

    /// What a pack gives to others right now; `None` while it is not seeded.
    pub fn seeding(&self, pack: &str) -> Option<Seeding> {
        let standing = self.seeded.try_lock().ok()?.get(pack)?.standing();
        Some(Seeding {
            peers: standing.peers,
            uploaded_bytes: standing.uploaded_bytes,
            rate: standing.upload_rate,
        })
    }
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
