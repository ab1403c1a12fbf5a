//! [`Download`]: pieces from the peers of a torrent into staging.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::iter::Peekable;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Context;
use super::patience::{Came, Company, Patience};
use crate::disk::content::Live;
use crate::disk::fs::{Root, Stat};
use crate::disk::staging::Staging;
use crate::disk::verify::Cancel;
use crate::engine::flood::Flood;
use crate::engine::job::Planned;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};
use crate::model::snapshot::{Progress, Unit};
use crate::net::swarm::{self, PackStorage, Standing, Swarm, Torrent, Turn};

/// How often a download is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long peers may take to give a piece that would only spare others.
const PROBE: Duration = Duration::from_secs(20);

/// A torrent that is fetched from. First perhaps a few pieces, then all that are left.
pub(super) struct Download<'a> {
    context: &'a Context,
    planned: &'a Planned,
    root: &'a Arc<Root>,
    /// Nobody else of us has the torrent while this is there.
    place: Place,
    /// Where single pieces are taken from.
    taking: Option<Place>,
    /// Peers that the user named.
    known: Vec<SocketAddr>,
    /// What came before the torrent was joined anew.
    before: Came,
}

/// A swarm, and the turn with the torrent there.
struct Place {
    swarm: Arc<Swarm>,
    turn: Turn,
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
        let (place, before) = (Place { swarm, turn }, Came::default());
        Ok(Self { context, planned, root, place, taking: None, known, before })
    }

    /// Gets a few of the pieces that are `left`, and tells nobody what is here. Whether they came.
    pub async fn probe(&mut self, probes: &PieceSet, left: &PieceSet) -> Result<bool, Fault> {
        let taking = match self.taking.take() {
            Some(taking) => taking,
            None => self.taking_place().await?,
        };
        let (limit, mut before) = (PROBE.min(self.context.give_up_after), self.before);
        let got = self.get_at(&taking, probes, self.size(left), limit, &mut before).await;
        (self.taking, self.before) = (Some(taking), before);
        match got {
            Err(fault) if fault.kind == FaultKind::NoPeers => Ok(false),
            got => got.map(|()| true),
        }
    }

    /// Gets all pieces that are `left`.
    pub async fn get(&mut self, left: &PieceSet) -> Result<(), Fault> {
        self.stop_taking().await;
        if left.count() == 0 {
            return Ok(());
        }
        let (limit, mut before) = (self.context.give_up_after, self.before);
        let got = self.get_at(&self.place, left, self.size(left), limit, &mut before).await;
        self.before = before;
        got
    }

    /// Leaves the swarm. Returns the bytes that came from peers.
    pub async fn end(mut self) -> u64 {
        self.stop_taking().await;
        self.place.swarm.leave(self.place.turn).await;
        self.before.fetched_bytes
    }

    /// Gets the pieces `asked`; `left`: bytes of all that are lacking. Counts what came in `sum`.
    async fn get_at(
        &self,
        place: &Place,
        asked: &PieceSet,
        left: u64,
        limit: Duration,
        sum: &mut Came,
    ) -> Result<(), Fault> {
        let storage = self.storage()?;
        let got = self.get_into(&storage, place, asked, left, limit, sum).await;
        // Nothing that came counts as taken and is then not written.
        place.swarm.part(&place.turn).await;
        // Whoever has staging next finds nobody who writes there.
        when_written(&storage, PackStorage::close).await?;
        got
    }

    async fn get_into(
        &self,
        storage: &Arc<PackStorage>,
        Place { swarm, turn }: &Place,
        asked: &PieceSet,
        left: u64,
        limit: Duration,
        sum: &mut Came,
    ) -> Result<(), Fault> {
        let plan = &self.planned.plan;
        let total = sum.verified_bytes + left;
        let mut joined = swarm.add(turn, self.torrent(asked, storage, self.known.clone())).await?;
        let mut patience = Patience::new(limit, plan.download_bytes);
        let mut company = Company::of(self.known.clone());
        // From the last one on: most come in their order, and few need to be waited for.
        let mut awaited = asked.iter().rev().peekable();
        let before = *sum;
        let mut earlier = before;
        let mut flood = Flood::watch();
        loop {
            let now = joined.standing();
            let standing = earlier.and(&now);
            *sum = Came::of(&standing);
            self.context.progress.show(progress(&standing, total));
            if self.context.cancel.is_cancelled() {
                return Err(Fault::cancelled());
            }
            if let Some(fault) = now.failure {
                return Err(fault);
            }
            // The last piece counts for the others as soon as it is right, and is written only then.
            if now.finished && self.planned.arrived.has_all_of(asked) {
                // What failed since then may be of pieces that were there already.
                return storage.failure().map_or(Ok(()), Err);
            }
            patience.look(&before.since(&standing), &plan.release)?;
            // Who has given all leaves, and the last of it may not be written yet.
            let others = if now.finished {
                None
            } else if flood.is_here() {
                tracing::warn!("peers send too much that nobody asked for: joining anew");
                Some(company.givers(&joined.peers()))
            } else {
                company.whom_to_ask(&patience, || joined.peers())
            };
            if let Some(peers) = others {
                tracing::debug!(?peers, "asking these");
                earlier = *sum;
                swarm.part(turn).await;
                // What is not asked for again is what is written.
                when_written(storage, PackStorage::settle).await?;
                joined = swarm.add(turn, self.torrent(asked, storage, peers)).await?;
                company.are_asked();
                flood = Flood::watch();
            }
            self.wait(storage, &mut awaited).await;
        }
    }

    /// Waits until all that is `awaited` is here, but not longer than until the next look. There may be very many, so
    /// those that are here are not looked at again.
    async fn wait(
        &self,
        storage: &PackStorage,
        awaited: &mut Peekable<impl Iterator<Item = usize>>,
    ) {
        let is_here = |piece: &usize| self.planned.arrived.has(*piece);
        let all = async {
            loop {
                match awaited.peek() {
                    Some(&piece) => storage.piece_came(piece).await,
                    None => pending().await,
                }
                while awaited.next_if(is_here).is_some() {}
                if awaited.peek().is_none() {
                    return;
                }
            }
        };
        let _ = timeout(TICK, all).await;
    }

    /// Joins with a swarm that only takes.
    async fn taking_place(&self) -> Result<Place, Fault> {
        let options = self.context.session.options().only_taking();
        let swarm = Arc::new(Swarm::start(options).await?);
        let turn = swarm.turn_to_fetch(self.planned.manifest.info_hash).await;
        Ok(Place { swarm, turn })
    }

    async fn stop_taking(&mut self) {
        let Some(Place { swarm, turn }) = self.taking.take() else { return };
        turn.is_noticed().await;
        swarm.leave(turn).await;
        // Its end waits for its thread.
        let _ = spawn_blocking(move || drop(swarm)).await;
    }

    fn size(&self, pieces: &PieceSet) -> u64 {
        pieces.iter().map(|piece| self.planned.manifest.piece_size(piece)).sum()
    }

    fn storage(&self) -> Result<Arc<PackStorage>, Fault> {
        let Planned { plan, manifest, arrived, .. } = self.planned;
        let staging = Staging::create(Arc::clone(self.root), Arc::clone(manifest))?;
        let live = Live::new(Arc::clone(self.root), Arc::clone(manifest));
        let (manifest, staged) = (Arc::clone(manifest), plan.wanted.clone());
        PackStorage::fetching(manifest, live, staging, staged, Arc::clone(arrived))
            .map(Arc::new)
            .map_err(|e| Fault::bug(format!("could not start a thread that writes pieces: {e}")))
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
            unwanted: without_missing_pieces(&plan.edits, manifest, &missing),
            storage: Arc::clone(storage),
            peers,
        }
    }
}

/// Has a storage wait for what is on its way into staging.
async fn when_written(storage: &Arc<PackStorage>, wait: fn(&PackStorage)) -> Result<(), Fault> {
    let storage = Arc::clone(storage);
    let written = spawn_blocking(move || wait(&storage));
    written.await.map_err(|e| Fault::bug(format!("writing pieces ended early: {e}")))
}

async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(TICK).await;
    }
}

/// The kept edits, and the files beside them that need nothing: the piece they share is not asked for. A file without
/// bytes is in no piece.
fn without_missing_pieces(
    edits: &BTreeMap<EntryIndex, Stat>,
    manifest: &Manifest,
    missing: &PieceSet,
) -> BTreeSet<EntryIndex> {
    let needs_nothing = |entry: &EntryIndex| {
        let mut pieces = manifest.pieces_of(*entry).peekable();
        pieces.peek().is_some() && !pieces.any(|piece| missing.contains(piece))
    };
    (0..manifest.entries.len())
        .filter(|entry| edits.contains_key(entry) || needs_nothing(entry))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fs::Kind;
    use crate::model::manifest::tests::manifest;

    #[test]
    fn nothing_of_a_new_pack_is_unwanted_even_where_files_are_empty() {
        let manifest = manifest(10, &[0, 4, 0, 19, 0]);
        let unwanted = without_missing_pieces(&BTreeMap::new(), &manifest, &PieceSet::all(3));
        assert_eq!(unwanted, BTreeSet::new());
    }

    #[test]
    fn kept_edits_and_what_has_all_its_pieces_are_unwanted() {
        let manifest = manifest(10, &[10, 15, 0, 10]);
        let edit = Stat { kind: Kind::File, length: 10, mtime_ns: 0 };
        let mut missing = PieceSet::none(4);
        [1, 3].into_iter().for_each(|piece| missing.insert(piece));
        let unwanted = without_missing_pieces(&BTreeMap::from([(3, edit)]), &manifest, &missing);
        assert_eq!(unwanted, BTreeSet::from([0, 3]));
    }
}
