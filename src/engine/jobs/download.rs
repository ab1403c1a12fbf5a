//! [`Download`]: pieces from the peers of a torrent into staging.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::patience::{Company, Patience};
use crate::disk::content::Live;
use crate::disk::fs::Root;
use crate::disk::plan::Plan;
use crate::disk::staging::Staging;
use crate::disk::verify::Cancel;
use crate::engine::job::Planned;
use crate::model::fault::Fault;
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};
use crate::model::snapshot::{Progress, Unit};
use crate::net::swarm::{self, PackStorage, Standing, Swarm, Torrent, Turn};

/// How often a download is looked at.
const TICK: Duration = Duration::from_millis(200);

/// A torrent that is fetched from, in one go or in several.
pub(super) struct Download<'a> {
    context: &'a Context,
    planned: &'a Planned,
    root: &'a Arc<Root>,
    swarm: Arc<Swarm>,
    turn: Turn,
    /// Peers that the user named.
    known: Vec<SocketAddr>,
    before: Before,
    /// Whether peers know us from an earlier go.
    was_there: bool,
}

impl<'a> Download<'a> {
    /// Waits for its turn with the torrent.
    pub async fn begin(
        context: &'a Context,
        planned: &'a Planned,
        root: &'a Arc<Root>,
    ) -> Result<Self, Fault> {
        let known = swarm::addresses(&context.config.peers).await;
        let swarm = context.session.swarm().await?;
        let turn = tokio::select! {
            turn = swarm.turn_to_fetch(planned.manifest.info_hash) => turn,
            () = cancelled(&context.cancel) => return Err(Fault::cancelled()),
        };
        let before = Before::default();
        Ok(Self { context, planned, root, swarm, turn, known, before, was_there: false })
    }

    /// Gets the pieces `asked`. The others of those that are `left` are lacking as well.
    pub async fn get(&mut self, asked: &PieceSet, left: &PieceSet) -> Result<(), Fault> {
        if asked.count() == 0 {
            return Ok(());
        }
        let storage = self.storage(asked, left)?;
        let size = |piece| self.planned.manifest.piece_size(piece);
        let total = self.before.verified_bytes + left.iter().map(size).sum::<u64>();
        if std::mem::replace(&mut self.was_there, true) {
            self.swarm.part(&self.turn).await;
        }
        let mut joined =
            self.swarm.add(&self.turn, self.torrent(asked, &storage, self.known.clone())).await?;
        let plan = &self.planned.plan;
        let mut patience = Patience::new(self.context.give_up_after, plan.download_bytes);
        let mut company = Company::default();
        loop {
            let now = joined.standing();
            let standing = self.before.and(&now);
            self.context.progress.show(progress(&standing, total));
            if self.context.cancel.is_cancelled() {
                self.before = Before::of(&standing);
                return Err(Fault::cancelled());
            }
            if let Some(fault) = now.failure {
                return Err(fault);
            }
            if now.finished {
                self.before = Before::of(&standing);
                return Ok(());
            }
            patience.look(&standing, &plan.release)?;
            if let Some(peers) = company.without_who_stalls(&patience, || joined.peers()) {
                tracing::debug!(?peers, "somebody keeps what we asked for: asking others");
                self.before = Before::of(&standing);
                self.swarm.part(&self.turn).await;
                joined = self.swarm.add(&self.turn, self.torrent(asked, &storage, peers)).await?;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Leaves the swarm. Returns the bytes that came from peers.
    pub async fn end(self) -> u64 {
        self.swarm.leave(self.turn).await;
        self.before.fetched_bytes
    }

    fn storage(&self, asked: &PieceSet, left: &PieceSet) -> Result<Arc<PackStorage>, Fault> {
        let Planned { plan, manifest, arrived, .. } = self.planned;
        let staging = Staging::create(Arc::clone(self.root), Arc::clone(manifest))?;
        let live = Live::new(Arc::clone(self.root), Arc::clone(manifest));
        let mut absent = left.clone();
        asked.iter().for_each(|piece| absent.remove(piece));
        let (manifest, staged) = (Arc::clone(manifest), plan.wanted.clone());
        let storage = PackStorage::fetching(manifest, live, staging, staged, Arc::clone(arrived));
        Ok(Arc::new(storage.without(absent)))
    }

    /// What has not come yet of the pieces `asked`, to be asked of these peers.
    fn torrent(
        &self,
        asked: &PieceSet,
        storage: &Arc<PackStorage>,
        peers: Vec<SocketAddr>,
    ) -> Torrent {
        let Planned { plan, manifest, torrent, arrived, .. } = self.planned;
        let missing = arrived.left_of(asked);
        Torrent {
            bytes: torrent.clone(),
            // A piece with a kept edit in it must not be given to others.
            have: missing.missing_from_both(&plan.edited),
            unwanted: without_missing_pieces(plan, manifest, &missing),
            storage: Arc::clone(storage),
            peers,
        }
    }
}

async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(TICK).await;
    }
}

/// The kept edits, and the files beside them that need nothing: the piece they share is not asked for.
fn without_missing_pieces(
    plan: &Plan,
    manifest: &Manifest,
    missing: &PieceSet,
) -> BTreeSet<EntryIndex> {
    let is_missing = |entry| manifest.pieces_of(entry).any(|piece| missing.contains(piece));
    (0..manifest.entries.len())
        .filter(|entry| plan.edits.contains_key(entry) || !is_missing(*entry))
        .collect()
}

fn progress(standing: &Standing, total: u64) -> Progress {
    Progress {
        done: standing.verified_bytes.min(total),
        total,
        unit: Unit::Bytes,
        rate: standing.download_rate,
        peers: Some(standing.peers),
        eta: None,
    }
}

/// What came before the torrent was joined anew.
#[derive(Default)]
struct Before {
    fetched_bytes: u64,
    verified_bytes: u64,
}

impl Before {
    fn of(standing: &Standing) -> Self {
        let Standing { fetched_bytes, verified_bytes, .. } = *standing;
        Self { fetched_bytes, verified_bytes }
    }

    fn and(&self, standing: &Standing) -> Standing {
        Standing {
            fetched_bytes: self.fetched_bytes + standing.fetched_bytes,
            verified_bytes: self.verified_bytes + standing.verified_bytes,
            ..standing.clone()
        }
    }
}
