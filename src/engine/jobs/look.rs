//! Looks at the folder: plans and verdicts. Nothing is changed.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;

use super::{Context, change, read_torrent, torrent_of};
use crate::disk::baseline::{self, Baseline};
use crate::disk::fs::Root;
use crate::disk::inventory::{self, Inventory, ScanError};
use crate::disk::layout;
use crate::disk::plan::{self, Action, Given};
use crate::disk::superseded::Superseded;
use crate::disk::trust::Known;
use crate::engine::job::{Look, Outcome, Planned};
use crate::heap;
use crate::model::fault::Fault;
use crate::model::manifest::{Manifest, PieceSet};
use crate::model::pack::PackConfig;
use crate::model::release::Release;
use crate::model::report::{PlanReport, Problem, ProblemKind, VerifyReport};
use crate::model::snapshot::Unit;

/// Looks at the folder and plans. Nothing is changed.
pub(super) fn scan(context: &Context, release: Release, look: Look) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.known_marker())?;
    let baseline = root.as_deref().map(baseline::peek).transpose()?.flatten();
    if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
        return change::recover(context);
    }
    if let (Look::Quick, Some(root), Some(baseline)) = (look, &root, &baseline)
        && looks_installed(root, baseline, &context.config)?
    {
        return Ok(Outcome::AsInstalled);
    }
    let seen = see(context, root.as_deref(), &release)?;
    let planned = plan_for(context, root, baseline, seen, release, look)?;
    Ok(Outcome::Scanned(Arc::new(planned)))
}

fn looks_installed(root: &Root, baseline: &Baseline, config: &PackConfig) -> Result<bool, Fault> {
    let Some(written) = root.stat(layout::BASELINE)? else { return Ok(false) };
    for (path, installed) in &baseline.files {
        let is_fine = match root.stat(path)? {
            Some(stat) => {
                let is_kept = config.policy.keep.matches(path);
                is_kept || installed.is_untouched(stat, written.mtime_ns)
            }
            None => false,
        };
        if !is_fine {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A release, and what there is of the folder it is for.
struct Seen {
    torrent: Bytes,
    manifest: Arc<Manifest>,
    inventory: Option<Inventory>,
}

/// Reads the torrent and lists the folder.
fn see(context: &Context, root: Option<&Root>, release: &Release) -> Result<Seen, Fault> {
    root.iter().for_each(|root| root.set_pace(context.pace));
    let read = || -> Result<_, Fault> {
        let torrent = Bytes::from(torrent_of(context, root, release)?);
        let manifest = Arc::new(read_torrent(&torrent)?);
        context.progress.set(0, manifest.stream_length, Unit::Bytes);
        Ok((torrent, manifest))
    };
    let list = || root.map(|root| inventory::list(root, &context.cancel)).transpose();
    let (read, inventory) = both(read, list);
    let (torrent, manifest) = read?;
    Ok(Seen { torrent, manifest, inventory: inventory? })
}

/// Does two things at the same time.
fn both<A: Send, B>(aside: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let aside = scope.spawn(aside);
        let here = here();
        (aside.join().unwrap_or_else(|panic| resume_unwind(panic)), here)
    })
}

fn plan_for(
    context: &Context,
    root: Option<Arc<Root>>,
    baseline: Option<Baseline>,
    seen: Seen,
    release: Release,
    look: Look,
) -> Result<Planned, Fault> {
    let Seen { torrent, manifest, inventory } = seen;
    let scan = match root.as_ref().zip(inventory) {
        Some((root, inventory)) => {
            let done = |done| context.progress.set(done, manifest.stream_length, Unit::Bytes);
            plan::check_folders(&manifest, &inventory)?;
            let baseline = baseline.as_ref().filter(|_| look != Look::Whole);
            let trusted = match baseline {
                Some(baseline) => trusted(context, root, baseline, &manifest, &inventory)?,
                None => PieceSet::none(manifest.pieces.len()),
            };
            let superseded = Superseded::find(root, &manifest, context.offered_hash())?;
            let cancel = &context.cancel;
            inventory::scan(inventory, root, &manifest, &trusted, cancel, &done)?
                .and_superseded(&superseded, &manifest, cancel)
                .map_err(ScanError::from)?
        }
        None => inventory::Scan::of_nothing(&manifest),
    };
    let others = context.neighbours.iter().filter_map(|folder| Root::open(folder).ok());
    let others: Vec<_> = others.inspect(|root| root.set_pace(context.pace)).collect();
    let scan = scan.and_elsewhere(root.as_deref(), &others, &manifest, &context.cancel)?;
    let plan = plan::plan(Given {
        release: &release,
        manifest: &manifest,
        scan: &scan,
        baseline: baseline.as_ref(),
        policy: &context.config.policy,
    });
    let inventory::Scan { elsewhere, inventory, places, .. } = scan;
    // Of a large pack this takes a while, and nobody need wait for it.
    let _ = thread::Builder::new().spawn(move || {
        drop((inventory, places, baseline));
        heap::give_back();
    });
    Ok(Planned { plan, manifest, torrent, elsewhere, arrived: Arc::default() })
}

/// Pieces of a release that lie in files that look as they were installed, and are the same there.
fn trusted(
    context: &Context,
    root: &Root,
    baseline: &Baseline,
    manifest: &Manifest,
    inventory: &Inventory,
) -> Result<PieceSet, Fault> {
    let former =
        torrent_of(context, Some(root), &baseline.release).and_then(|it| read_torrent(&it));
    let written = root.stat(layout::BASELINE)?;
    let (Ok(former), Some(written)) = (former, written) else {
        return Ok(PieceSet::none(manifest.pieces.len()));
    };
    let known = Known { manifest: &former, baseline, written_ns: written.mtime_ns };
    Ok(known.trusted(manifest, inventory))
}

pub(super) fn verify(context: &Context, release: Release) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.known_marker())?;
    let (baseline, seen) = both(
        || root.as_deref().map(baseline::peek).transpose(),
        || see(context, root.as_deref(), &release),
    );
    let baseline = baseline?.flatten();
    if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
        return change::recover(context);
    }
    let planned = plan_for(context, root, baseline, seen?, release, Look::Whole)?;
    let plan = &planned.plan;
    let problems = plan
        .actions
        .iter()
        .filter_map(|(&entry, action)| {
            let entry = planned.manifest.entries.get(entry)?;
            let path = entry.path.as_ref()?.to_string();
            let obstacle = plan.obstacles.contains_key(&path);
            let kind = problem(*action, entry.length, obstacle)?;
            Some(Problem { path, kind })
        })
        .collect();
    let PlanReport { kept, extra, .. } = planned.report();
    let report = VerifyReport {
        release: plan.release.clone(),
        files: plan.release.files,
        problems,
        kept,
        extra,
        bad_bytes: plan.wanted.iter().map(|piece| planned.manifest.piece_size(piece)).sum(),
        repaired: None,
    };
    Ok(Outcome::Verified(report, Arc::new(planned)))
}

fn problem(action: Action, length: u64, obstacle: bool) -> Option<ProblemKind> {
    match action {
        Action::Add if obstacle => Some(ProblemKind::Modified),
        Action::Add => Some(ProblemKind::Missing),
        Action::Change(stat) if stat.length < length => Some(ProblemKind::Truncated),
        Action::Change(stat) if stat.length == length => Some(ProblemKind::Corrupt),
        Action::Change(_) => Some(ProblemKind::Modified),
        Action::Suspect(_) => Some(ProblemKind::Suspect),
        Action::Compare(_) => None,
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Fs(e) => e.into(),
            ScanError::Cancelled(_) => Self::cancelled(),
        }
    }
}
