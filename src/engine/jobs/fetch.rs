//! Gets the missing pieces into staging and completes the new content there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::Context;
use super::patience::{Company, Patience};
use crate::disk::apply::check_folders;
use crate::disk::complete::complete;
use crate::disk::content::Live;
use crate::disk::fs::Root;
use crate::disk::layout::{self, LockedFolder};
use crate::disk::plan::Plan;
use crate::disk::reuse::{ReuseError, reuse};
use crate::disk::staging::Staging;
use crate::disk::verify::Cancel;
use crate::engine::job::{Fetched, Outcome, Planned};
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, Manifest, PieceSet};
use crate::model::snapshot::{Progress, Unit};
use crate::net::swarm::{self, PackStorage, Standing, Torrent};

/// How often a fetch is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Gets the missing pieces and completes the new content.
pub(super) async fn fetch(context: &Context, planned: Arc<Planned>) -> Result<Outcome, Fault> {
    let opened = {
        let (context, planned) = (context.clone(), Arc::clone(&planned));
        spawn_blocking(move || open_for_fetch(&context, &planned))
    };
    let folder =
        opened.await.map_err(|e| Fault::bug(format!("opening a folder ended early: {e}")))??;
    let root = Arc::clone(&folder.root);
    copy_from_other_packs(context, &planned, &root).await?;
    let missing = planned.arrived.left_of(&planned.plan.missing);
    let downloaded =
        if missing.count() == 0 { 0 } else { download(context, &planned, &missing, &root).await? };
    let context = context.clone();
    let completed = spawn_blocking(move || {
        let staging = Staging::create(Arc::clone(&root), Arc::clone(&planned.manifest))?;
        let total = planned.plan.download_bytes.max(1);
        let done = |_| context.progress.set(total, total, Unit::Bytes);
        let staged = complete(&planned.plan, &staging, &context.cancel, &done)?;
        Ok(Outcome::Fetched(Fetched { staged, downloaded, marker: folder.marker.clone() }))
    });
    completed.await.map_err(|e| Fault::bug(format!("completing the new files ended early: {e}")))?
}

/// Takes what another pack with the same torrent has, so that nobody need fetch it twice.
async fn copy_from_other_packs(
    context: &Context,
    planned: &Arc<Planned>,
    root: &Arc<Root>,
) -> Result<(), Fault> {
    for folder in context.session.folders_with(planned.manifest.info_hash, &context.config.name) {
        let (planned, root) = (Arc::clone(planned), Arc::clone(root));
        let cancel = Arc::clone(&context.cancel);
        let copied = spawn_blocking(move || -> Result<(), ReuseError> {
            let missing = planned.arrived.left_of(&planned.plan.missing);
            let Ok(other) = Root::open(&folder) else { return Ok(()) };
            let other = Live::new(Arc::new(other), Arc::clone(&planned.manifest));
            let staging = Staging::create(root, Arc::clone(&planned.manifest))?;
            let copied = reuse(&missing, &other, &staging, &cancel)?;
            copied.iter().for_each(|piece| planned.arrived.note(piece));
            Ok(())
        });
        copied.await.map_err(|e| Fault::bug(format!("copying pieces ended early: {e}")))??;
    }
    Ok(())
}

fn open_for_fetch(context: &Context, planned: &Planned) -> Result<LockedFolder, Fault> {
    let folder = layout::lock(&context.config.folder, context.facts.known_marker())?;
    let root = &folder.root;
    // What cannot be applied need not be fetched.
    check_folders(root, planned.plan.touched(&planned.manifest))?;
    for (name, _) in root.list(layout::STAGING)? {
        let offered = context.facts.offered.as_ref().map(|release| release.info_hash);
        let used = [Some(planned.manifest.info_hash), offered];
        if !used.iter().flatten().any(|hash| name.to_str() == Some(&hash.to_string())) {
            root.remove_tree(Path::new(layout::STAGING).join(name))?;
        }
    }
    // What came since the plan was made has its room already.
    let left = planned.arrived.left_of(&planned.plan.missing);
    let size =
        |pieces: &PieceSet| pieces.iter().map(|p| planned.manifest.piece_size(p)).sum::<u64>();
    let arrived = size(&planned.plan.missing).saturating_sub(size(&left));
    let needed = planned.plan.disk_bytes.saturating_sub(arrived);
    let available = root.available_space()?;
    if available < needed {
        return Err(Fault::new(
            FaultKind::DiskFull,
            format!(
                "could not fetch {}: it needs {} free in `{}`, and there are {}",
                planned.plan.release.label(),
                bytesize::ByteSize(needed),
                root.path().display(),
                bytesize::ByteSize(available)
            ),
            crate::disk::fs::hint(FaultKind::DiskFull),
        ));
    }
    Ok(folder)
}

/// Fetches the missing pieces into staging. Returns the bytes that came from peers.
async fn download(
    context: &Context,
    planned: &Planned,
    missing: &PieceSet,
    root: &Arc<Root>,
) -> Result<u64, Fault> {
    let (plan, manifest) = (&planned.plan, &planned.manifest);
    let storage = Arc::new(PackStorage::fetching(
        Arc::clone(manifest),
        Live::new(Arc::clone(root), Arc::clone(manifest)),
        Staging::create(Arc::clone(root), Arc::clone(manifest))?,
        plan.wanted.clone(),
        Arc::clone(&planned.arrived),
    ));
    let known = swarm::addresses(&context.config.peers).await;
    // What has not come yet, to be asked of these peers.
    let torrent = |peers: Vec<SocketAddr>| {
        let missing = planned.arrived.left_of(missing);
        Torrent {
            bytes: planned.torrent.clone(),
            // A piece with a kept edit in it must not be given to others.
            have: missing.missing_from_both(&plan.edited),
            unwanted: without_missing_pieces(plan, manifest, &missing),
            storage: Arc::clone(&storage),
            peers,
        }
    };
    let swarm = context.session.swarm().await?;
    let turn = tokio::select! {
        turn = swarm.turn_to_fetch(manifest.info_hash) => turn,
        () = cancelled(&context.cancel) => return Err(Fault::cancelled()),
    };
    let mut joined = swarm.add(&turn, torrent(known.clone())).await?;
    let mut patience = Patience::new(context.give_up_after, plan.download_bytes);
    let mut company = Company::default();
    let mut before = Before::default();
    let result = loop {
        let standing = before.and(joined.standing());
        context.progress.show(fetch_progress(&standing, plan.download_bytes));
        if context.cancel.is_cancelled() {
            break Err(Fault::cancelled());
        }
        if let Some(fault) = standing.failure {
            break Err(fault);
        }
        if standing.finished {
            break Ok(standing.fetched_bytes);
        }
        if let Err(fault) = patience.look(&standing, &plan.release) {
            break Err(fault);
        }
        if let Some(peers) = company.without_who_stalls(&patience, || joined.peers()) {
            tracing::debug!(?peers, "somebody keeps what we asked for: asking others");
            before = Before::of(&standing);
            swarm.part(&turn).await;
            match swarm.add(&turn, torrent(peers)).await {
                Ok(again) => joined = again,
                Err(error) => break Err(error.into()),
            }
        }
        tokio::time::sleep(TICK).await;
    };
    swarm.leave(turn).await;
    result
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

fn fetch_progress(standing: &Standing, total: u64) -> Progress {
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

    fn and(&self, standing: Standing) -> Standing {
        Standing {
            fetched_bytes: self.fetched_bytes + standing.fetched_bytes,
            verified_bytes: self.verified_bytes + standing.verified_bytes,
            ..standing
        }
    }
}
