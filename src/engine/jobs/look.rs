//! Looks at the folder: plans and verdicts. Nothing is changed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, change, read_torrent, torrent_of};
use crate::disk::baseline::{self, Baseline};
use crate::disk::fs::Root;
use crate::disk::inventory::{self, Inventory, Scan, ScanError};
use crate::disk::layout;
use crate::disk::parts::both;
use crate::disk::plan::{self, Action, Given};
use crate::disk::superseded::Superseded;
use crate::disk::trust::Known;
use crate::engine::job::{Look, Outcome, Planned};
use crate::heap;
use crate::model::fault::Fault;
use crate::model::manifest::{Manifest, PieceSet};
use crate::model::pack::PackConfig;
use crate::model::release::Release;
use crate::model::report::{FileLine, PlanReport, Problem, ProblemKind, VerifyReport};
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
    let (parsed, inventory) = see(context, root.as_deref(), &release)?;
    let trusting = baseline.as_ref().filter(|_| look != Look::Whole);
    let scan = read(context, root.as_ref(), &parsed.manifest, inventory, trusting)?;
    let planned = plan_of(context, root, baseline, parsed, scan, release)?;
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

/// The torrent of a release, and what it says.
struct Parsed {
    torrent: Bytes,
    manifest: Arc<Manifest>,
}

/// Reads the torrent and lists the folder.
fn see(
    context: &Context,
    root: Option<&Root>,
    release: &Release,
) -> Result<(Parsed, Option<Inventory>), Fault> {
    root.iter().for_each(|root| root.set_pace(context.pace));
    let parse = || -> Result<_, Fault> {
        let torrent = Bytes::from(torrent_of(context, root, release)?);
        let manifest = Arc::new(read_torrent(&torrent)?);
        context.progress.set(0, manifest.stream_length, Unit::Bytes);
        Ok(Parsed { torrent, manifest })
    };
    let list = || root.map(|root| inventory::list(root, &context.cancel)).transpose();
    let (parsed, inventory) = both(parse, list);
    Ok((parsed?, inventory?))
}

/// Reads what lies in the places of the release, but what looks as the baseline says when that is to be trusted.
fn read(
    context: &Context,
    root: Option<&Arc<Root>>,
    manifest: &Arc<Manifest>,
    inventory: Option<Inventory>,
    trusting: Option<&Baseline>,
) -> Result<Scan, Fault> {
    let Some((root, inventory)) = root.zip(inventory) else {
        return Ok(Scan::of_nothing(manifest));
    };
    let done = |done| context.progress.set(done, manifest.stream_length, Unit::Bytes);
    plan::check_folders(manifest, &inventory)?;
    let trusted = match trusting {
        Some(baseline) => trusted(context, root, baseline, manifest, &inventory)?,
        None => PieceSet::none(manifest.pieces.len()),
    };
    let superseded = Superseded::find(root, manifest, context.offered_hash())?;
    let cancel = &context.cancel;
    let scan = inventory::scan(inventory, root, manifest, &trusted, cancel, &done)?;
    Ok(scan.and_superseded(&superseded, manifest, cancel).map_err(ScanError::from)?)
}

fn plan_of(
    context: &Context,
    root: Option<Arc<Root>>,
    baseline: Option<Baseline>,
    parsed: Parsed,
    scan: Scan,
    release: Release,
) -> Result<Planned, Fault> {
    let Parsed { torrent, manifest } = parsed;
    let others = context.neighbours.iter().filter_map(|folder| Root::open(folder).ok());
    let others: Vec<_> = others.inspect(|root| root.set_pace(context.pace)).collect();
    let scan = scan.and_elsewhere(root.as_deref(), &others, &manifest, &context.cancel)?;
    let was_installed = match (&baseline, &root) {
        (None, Some(root)) => baseline::was_lost(root)?,
        (known, _) => known.is_some(),
    };
    let plan = plan::plan(Given {
        release: &release,
        manifest: &manifest,
        scan: &scan,
        baseline: baseline.as_ref(),
        was_installed,
        policy: &context.config.policy,
    });
    let Scan { elsewhere, inventory, places, .. } = scan;
    heap::drop_aside((inventory, places, baseline));
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
    let (head, seen) = both(
        || root.as_deref().map(|root| context.known_head.get(root)).transpose(),
        || see(context, root.as_deref(), &release),
    );
    let installed = head?.flatten().map(|head| head.release);
    if context.is_news(installed.as_ref()) {
        return change::recover(context);
    }
    let (parsed, inventory) = seen?;
    let scan = read(context, root.as_ref(), &parsed.manifest, inventory, None)?;
    let is_installed = installed.is_some_and(|installed| installed.digest == release.digest);
    if is_installed && scan.is_all_right(&parsed.manifest) {
        // Nothing is to be done, so nothing need be planned: which files are ours, and what would be cleared, makes no
        // difference.
        let extra = plan::extras(&scan.places, &context.config.policy);
        let extra = extra.map(|(path, stat)| FileLine { path, length: stat.length }).collect();
        heap::drop_aside((parsed, scan));
        let report = VerifyReport { extra, ..VerifyReport::of(release) };
        return Ok(Outcome::Verified(report, None));
    }
    let baseline = root.as_deref().map(baseline::peek).transpose()?.flatten();
    if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
        return change::recover(context);
    }
    let planned = plan_of(context, root, baseline, parsed, scan, release)?;
    let report = report(&planned);
    let repair = (!report.problems.is_empty()).then(|| Arc::new(planned));
    Ok(Outcome::Verified(report, repair))
}

fn report(planned: &Planned) -> VerifyReport {
    let Planned { plan, manifest, .. } = planned;
    let problems = plan.actions.iter().filter_map(|(&entry, action)| {
        let entry = manifest.entries.get(entry)?;
        let path = entry.path.as_ref()?.to_string();
        let obstacle = plan.obstacles.contains_key(&path);
        let kind = problem(*action, entry.length, obstacle)?;
        Some(Problem { path, kind })
    });
    let PlanReport { kept, extra, .. } = planned.report();
    VerifyReport {
        problems: problems.collect(),
        kept,
        extra,
        bad_bytes: plan.wanted.iter().map(|piece| manifest.piece_size(piece)).sum(),
        ..VerifyReport::of(plan.release.clone())
    }
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
