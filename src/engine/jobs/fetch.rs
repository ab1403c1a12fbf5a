//! Gets the missing pieces into staging and completes the new content there.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::download::Download;
use super::{Context, check};
use crate::disk::apply::{can_link, check_folders};
use crate::disk::complete::{Moves, complete};
use crate::disk::fs::{FsError, Root};
use crate::disk::inventory;
use crate::disk::layout::{self, LockedFolder};
use crate::disk::reuse::{self, Probing, Recipes, Sources};
use crate::disk::staging::Staging;
use crate::disk::superseded::Superseded;
use crate::engine::job::{Checked, Fetched, Outcome, Planned};
use crate::heap;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, PieceSet};
use crate::model::size::size;
use crate::model::snapshot::Unit;

/// How a download ended.
enum Ended {
    /// All is here; bytes that came from peers.
    Complete(u64),
    /// The origin publishes something else by now.
    Superseded(Box<Checked>),
}

/// Gets the missing pieces and completes the new content. Brings what the origin says instead when it offers
/// another release meanwhile.
pub(super) async fn fetch(context: &Context, planned: Arc<Planned>) -> Result<Outcome, Fault> {
    let opened = {
        let (context, planned) = (context.clone(), Arc::clone(&planned));
        spawn_blocking(move || open_for_fetch(&context, &planned))
    };
    let (folder, moves) =
        opened.await.map_err(|e| Fault::bug(format!("opening a folder ended early: {e}")))??;
    let root = Arc::clone(&folder.root);
    root.watch_disk()?;
    planned.arrived.distrust();
    copy_from_elsewhere(context, &planned, moves.keys().copied().collect(), &root).await?;
    let missing = planned.arrived.left_of(&planned.plan.missing);
    let downloaded = if missing.count() == 0 {
        0
    } else {
        match download(context, &planned, missing, &root).await? {
            Ended::Complete(bytes) => bytes,
            Ended::Superseded(checked) => return Ok(Outcome::Checked(*checked)),
        }
    };
    let context = context.clone();
    let completed = spawn_blocking(move || {
        let staging = Staging::create(Arc::clone(&root), Arc::clone(&planned.manifest))?;
        let total = planned.plan.download_bytes.max(1);
        let done = |_| context.progress.set(total, total, Unit::Bytes);
        let Planned { plan, arrived, .. } = &*planned;
        let staged = complete(plan, &moves, &staging, arrived, &context.cancel, &done)?;
        Ok(Outcome::Fetched(Fetched { staged, downloaded, marker: folder.marker.clone() }))
    });
    completed.await.map_err(|e| Fault::bug(format!("completing the new files ended early: {e}")))?
}

/// Takes what lies elsewhere on this machine, as the plan found it, and what another pack with the same torrent
/// has by now, so that nobody need fetch it twice.
async fn copy_from_elsewhere(
    context: &Context,
    planned: &Arc<Planned>,
    but: BTreeSet<EntryIndex>,
    root: &Arc<Root>,
) -> Result<(), Fault> {
    let same = context.session.folders_with(planned.manifest.info_hash, &context.config.name);
    let (context, planned, root) = (context.clone(), Arc::clone(planned), Arc::clone(root));
    let copied = spawn_blocking(move || -> Result<(), Fault> {
        let staging = Staging::create(root, Arc::clone(&planned.manifest))?;
        let copy_found = |recipes: &Recipes| {
            let left = planned.arrived.left_of(&planned.plan.missing);
            let arrived = |piece| planned.arrived.note(piece);
            reuse::copy(&left, recipes, &staging, &but, &context.cancel, &arrived)
        };
        copy_found(&planned.elsewhere)?;
        for folder in same {
            let left = planned.arrived.left_of(&planned.plan.missing);
            let Ok(other) = Root::open(&folder) else { continue };
            other.set_pace(context.pace);
            let mut sources = Sources::default();
            sources.add_folder(&other, &inventory::list(&other, &context.cancel)?);
            let sources = Arc::new(sources);
            copy_found(&reuse::search(&planned.manifest, &left, sources, &context.cancel)?)?;
        }
        Ok(())
    });
    copied.await.map_err(|e| Fault::bug(format!("copying pieces ended early: {e}")))?
}

/// Opens the folder, and says which files need no copy there.
fn open_for_fetch(context: &Context, planned: &Planned) -> Result<(LockedFolder, Moves), Fault> {
    let folder = layout::lock(&context.config.folder, context.facts.known_marker())?;
    let root = &folder.root;
    // What cannot be applied need not be fetched.
    check_folders(root, planned.plan.touched(&planned.manifest))?;
    Superseded::take_over(root, &planned.manifest, context.offered_hash())?;
    // What came since the plan was made has its room already.
    let left = planned.arrived.left_of(&planned.plan.missing);
    let bytes_of =
        |pieces: &PieceSet| pieces.iter().map(|p| planned.manifest.piece_size(p)).sum::<u64>();
    let arrived = bytes_of(&planned.plan.missing).saturating_sub(bytes_of(&left));
    let length = |entry: &EntryIndex| planned.manifest.entries[*entry].length;
    let mut moves = planned.plan.moves.clone();
    if !moves.is_empty() && !can_link(root, layout::MARKER)? {
        moves.clear();
    }
    // Nor can every file have a second name: another user's may not.
    for (entry, from) in &planned.plan.moves {
        if moves.contains_key(entry) && !can_link(root, from.as_str())? {
            moves.remove(entry);
        }
    }
    let copied: u64 =
        planned.plan.moves.keys().filter(|entry| !moves.contains_key(entry)).map(length).sum();
    let needed = (planned.plan.disk_bytes + copied).saturating_sub(arrived);
    let available = root.available_space()?;
    if available < needed {
        return Err(Fault::new(
            FaultKind::DiskFull,
            format!(
                "could not fetch {}: it needs {} free in `{}`, and there are {}",
                planned.plan.release.label(),
                size(needed),
                root.path().display(),
                size(available)
            ),
            crate::disk::fs::hint(FaultKind::DiskFull),
        ));
    }
    if left.count() > 0 {
        name_staging(root, planned)?;
    }
    Ok((folder, moves))
}

/// Lays the torrent beside its pieces: another release may have use for them.
fn name_staging(root: &Root, planned: &Planned) -> Result<(), FsError> {
    let folder = layout::staging(planned.manifest.info_hash);
    let torrent = format!("{folder}/{}", layout::STAGED_TORRENT);
    if root.stat(&torrent)?.is_none() {
        root.create_dir_all(folder)?;
        root.write_atomic(torrent, &planned.torrent)?;
    }
    Ok(())
}

/// Fetches the missing pieces. Those of which another may lead to more on this machine come first.
async fn download(
    context: &Context,
    planned: &Arc<Planned>,
    missing: PieceSet,
    root: &Arc<Root>,
) -> Result<Ended, Fault> {
    let mut download = Download::begin(context, planned, root).await?;
    let is_update = context.offered_hash() == Some(planned.manifest.info_hash);
    let mut news = None;
    let result = {
        let rounds = in_rounds(context, planned, &missing, root, &mut download);
        tokio::pin!(rounds);
        tokio::select! {
            result = &mut rounds => result,
            checked = check::until_superseded(context), if is_update => {
                news = Some(checked);
                context.cancel.cancel();
                rounds.await
            }
        }
    };
    let downloaded = download.end().await;
    // What librqbit needed is free now.
    heap::give_back_aside();
    match (result, news) {
        (Err(fault), _) if fault.kind != FaultKind::Cancelled => Err(fault),
        (_, Some(checked)) => Ok(Ended::Superseded(Box::new(checked))),
        (result, None) => result.map(|()| Ended::Complete(downloaded)),
    }
}

async fn in_rounds(
    context: &Context,
    planned: &Arc<Planned>,
    missing: &PieceSet,
    root: &Arc<Root>,
    download: &mut Download<'_>,
) -> Result<(), Fault> {
    let mut probing = Probing::default();
    loop {
        let left = planned.arrived.left_of(missing);
        let probes = probing.next(&planned.manifest, &left, &planned.elsewhere.kin);
        if probes.count() == 0 || !download.probe(&probes, &left).await? {
            return download.get(&planned.arrived.left_of(&left)).await;
        }
        let left = planned.arrived.left_of(&left);
        let found = copy_from_around(context, planned, probes, left, root).await?;
        probing.found(&planned.manifest, found.into_iter());
    }
}

/// Takes what is found on this machine once these pieces are here; says which pieces it was.
async fn copy_from_around(
    context: &Context,
    planned: &Arc<Planned>,
    arrived: PieceSet,
    left: PieceSet,
    root: &Arc<Root>,
) -> Result<Vec<usize>, Fault> {
    let (context, planned, root) = (context.clone(), Arc::clone(planned), Arc::clone(root));
    let copied = spawn_blocking(move || {
        let staging = Staging::create(root, Arc::clone(&planned.manifest))?;
        let sources = &planned.elsewhere.sources;
        let recipes = reuse::search_around(&arrived, &left, &staging, sources, &context.cancel)?;
        let note = |piece| planned.arrived.note(piece);
        reuse::copy(&left, &recipes, &staging, &BTreeSet::new(), &context.cancel, &note)?;
        Ok(recipes.of.into_keys().collect())
    });
    copied.await.map_err(|e| Fault::bug(format!("copying pieces ended early: {e}")))?
}
