//! Checks every byte of the release in the folder. Nothing is changed.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::look::{Parsed, parse, plan_of, read};
use super::{Context, change};
use crate::disk::baseline;
use crate::disk::fs::{FsError, Root, Stat};
use crate::disk::inventory::{self, Glance, Glanced, Inventory, Scan, ScanError};
use crate::disk::layout;
use crate::disk::parts::both;
use crate::disk::plan::{self, Action};
use crate::disk::trust::Known;
use crate::engine::job::{Outcome, Planned};
use crate::heap;
use crate::model::fault::Fault;
use crate::model::manifest::{Manifest, PieceSet};
use crate::model::release::Release;
use crate::model::report::{FileLine, PlanReport, Problem, ProblemKind, VerifyReport};
use crate::model::snapshot::Unit;

/// Checks a release: first as one that is whole, and where that does not show, as one that may be anything.
pub(super) fn verify(context: &Context, release: Release) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.known_marker())?;
    root.iter().for_each(|root| root.set_pace(context.pace));
    let (seen, parsed) = both(
        || root.as_ref().map(|root| see(context, root, &release)).transpose(),
        || parse(context, root.as_deref(), &release),
    );
    let (installed, seen) = seen?.unzip();
    let installed = installed.flatten();
    if context.is_news(installed.as_ref()) {
        return change::recover(context);
    }
    let is_installed = installed.is_some_and(|installed| installed.digest == release.digest);
    let check = Check { context, release, parsed: parsed?, is_installed };
    let manifest = Arc::clone(&check.parsed.manifest);
    match root.zip(seen) {
        Some((root, Seen::Names(glance))) => check.by_names(root, glance),
        Some((root, Seen::Files(listed))) => {
            check.by_list(root, listed?, &PieceSet::none(manifest.pieces.len()))
        }
        None => check.verdict(None, Scan::of_nothing(&manifest)),
    }
}

/// What is known of a folder before anything is read in it.
enum Seen {
    Names(Glance),
    Files(Result<Inventory, ScanError>),
}

/// Says what is installed, and what is there: by a glance where most likely nothing is wrong.
fn see(
    context: &Context,
    root: &Root,
    release: &Release,
) -> Result<(Option<Release>, Seen), FsError> {
    let installed = context.known_head.get(root)?.map(|head| head.release);
    let is_it = installed.as_ref().is_some_and(|installed| installed.digest == release.digest);
    let glance = if is_it { Glance::at(root, &context.cancel) } else { None };
    let list = || Seen::Files(inventory::list(root, &context.cancel));
    Ok((installed, glance.map_or_else(list, Seen::Names)))
}

/// The check of a release, and what is known of it.
struct Check<'a> {
    context: &'a Context,
    release: Release,
    parsed: Parsed,
    is_installed: bool,
}

impl Check<'_> {
    /// Reads what is there until something is wrong, and the rest when all is listed.
    fn by_names(self, root: Arc<Root>, glance: Glance) -> Result<Outcome, Fault> {
        let Self { context, parsed: Parsed { manifest, .. }, .. } = &self;
        let done = |done| context.progress.set(done, manifest.stream_length, Unit::Bytes);
        let glanced = glance.check(&root, manifest, &context.cancel, &done);
        match glanced.map_err(ScanError::from)? {
            Glanced::Whole { unnamed } => Ok(self.all_right(&unnamed, glance)),
            Glanced::Unsure { right } => {
                drop(glance);
                let inventory = inventory::list(&root, &context.cancel)?;
                let trusted = still_right(&root, manifest, right, &inventory)?;
                self.by_list(root, inventory, &trusted)
            }
        }
    }

    fn by_list(
        self,
        root: Arc<Root>,
        inventory: Inventory,
        trusted: &PieceSet,
    ) -> Result<Outcome, Fault> {
        let manifest = &self.parsed.manifest;
        let before = trusted.iter().map(|piece| manifest.piece_size(piece)).sum();
        let scan = read(self.context, &root, manifest, inventory, trusted, before)?;
        self.verdict(Some(root), scan)
    }

    fn verdict(self, root: Option<Arc<Root>>, mut scan: Scan) -> Result<Outcome, Fault> {
        if self.is_installed && scan.is_all_right(&self.parsed.manifest) {
            let unnamed = mem::take(&mut scan.places.unnamed);
            return Ok(self.all_right(&unnamed, scan));
        }
        let Self { context, release, parsed, .. } = self;
        let baseline = root.as_deref().map(baseline::peek).transpose()?.flatten();
        if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
            return change::recover(context);
        }
        let planned = plan_of(context, root, baseline, parsed, scan, release)?;
        let report = report(&planned);
        let repair = (!report.problems.is_empty()).then(|| Arc::new(planned));
        Ok(Outcome::Verified(report, repair))
    }

    /// Nothing is to be done, so nothing need be planned: which files are ours, and what would be cleared, makes no
    /// difference.
    fn all_right(self, unnamed: &BTreeMap<String, Stat>, seen: impl Send + 'static) -> Outcome {
        let extra = plan::extras(unnamed, &self.context.config.policy);
        let extra = extra.map(|(path, stat)| FileLine { path, length: stat.length }).collect();
        heap::drop_aside((self.parsed, seen));
        Outcome::Verified(VerifyReport { extra, ..VerifyReport::of(self.release) }, None)
    }
}

/// Those of the pieces that were found right whose files have not changed since.
fn still_right(
    root: &Root,
    manifest: &Manifest,
    right: PieceSet,
    inventory: &Inventory,
) -> Result<PieceSet, FsError> {
    if right.count() == 0 {
        return Ok(right);
    }
    let written = root.stat(layout::BASELINE)?;
    let Some((baseline, written)) = baseline::peek(root)?.zip(written) else {
        return Ok(PieceSet::none(right.capacity()));
    };
    let known = Known { manifest, baseline: &baseline, written_ns: written.mtime_ns };
    Ok(known.still_right(&right, inventory))
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
