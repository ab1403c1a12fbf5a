//! Changes the folder: apply, clean, rollback, restore, and what a crash left to finish.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use super::{Context, torrent_of};
use crate::disk::baseline::{self, Baseline, Head, Installed};
use crate::disk::complete::Staged;
use crate::disk::fs::Root;
use crate::disk::inventory;
use crate::disk::journal::{self, Journal, Reason, Step};
use crate::disk::layout::{self, LockedFolder, Marker};
use crate::disk::names::Names;
use crate::disk::plan::{self, Plan};
use crate::disk::record::Loaded;
use crate::disk::{apply, rollback, trash};
use crate::engine::job::{Fetched, Found, InTrash, Outcome, Planned};
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::Manifest;
use crate::model::pack::Policy;
use crate::model::path::RelPath;
use crate::model::release::Release;
use crate::model::report::{ApplyReport, CleanReport, FileLine};
use crate::model::snapshot::{Removed, Unit};

pub(super) fn recover(context: &Context) -> Result<Outcome, Fault> {
    let (config, known) = (&context.config, context.facts.known_marker());
    let Some(root) = layout::look(&config.folder, known)? else {
        return Ok(Outcome::Recovered(Found::default()));
    };
    let baseline = context.known_head.read(&root)?;
    let is_damaged = baseline.is_none() && root.stat(layout::BASELINE)?.is_some();
    if !is_damaged && !journal::is_there(&root)? {
        // Nothing to mend: a look is enough, and works where nothing may be written.
        let in_trash = in_trash(context, &root, undone_by(baseline.as_ref()), None)?;
        let found = found(baseline, layout::marker(&root)?);
        return Ok(Outcome::Recovered(Found { in_trash, ..found }));
    }
    let LockedFolder { root, marker, .. } = &layout::lock(&config.folder, known)?;
    let steps = |done| context.progress.set(done, 0, Unit::Steps);
    let recovered = apply::recover(root, &context.cancel, &steps)?;
    let changed = recovered != apply::Recovered::Nothing;
    let (mut cleaned, mut went_back) = (None, false);
    let finished = match recovered {
        apply::Recovered::Nothing => None,
        apply::Recovered::Finished(journal) => {
            tracing::info!(pack = config.name, "finished what was cut off");
            cleaned = (journal.reason == Reason::Clean).then(|| journal.id.clone());
            went_back = journal.reason == Reason::Rollback;
            report_of(&journal).filter(|_| journal.reason != Reason::Clean)
        }
        apply::Recovered::PutBack(_) => {
            tracing::warn!(pack = config.name, "put back what was cut off: new content was lost");
            None
        }
        apply::Recovered::JournalDamaged => {
            tracing::warn!(pack = config.name, "the journal was damaged; every file is read anew");
            None
        }
        apply::Recovered::Interrupted => return Err(Fault::cancelled()),
    };
    let baseline = match baseline::load_head(root)? {
        Loaded::Value(baseline) => Some(baseline),
        Loaded::Absent => None,
        Loaded::Damaged(path) => {
            tracing::warn!(
                pack = config.name,
                "the list of installed files was damaged and kept as `{}`; nothing is removed until \
                 the next update was applied",
                path.display()
            );
            None
        }
    };
    let in_trash = in_trash(context, root, undone_by(baseline.as_ref()), cleaned)?;
    let found = found(baseline, Some(marker.clone()));
    Ok(Outcome::Recovered(Found { in_trash, finished, went_back, changed, ..found }))
}

/// The entry of the trash that a rollback would give back.
fn undone_by(baseline: Option<&Head>) -> Option<&str> {
    baseline?.applied_as.as_deref()
}

/// What the trash can give back: the previous release by the entry `undone`, and what was `cleaned` now or, as far
/// as it is known, by the last clean.
fn in_trash(
    context: &Context,
    root: &Root,
    undone: Option<&str>,
    cleaned: Option<String>,
) -> Result<InTrash, Fault> {
    let former = undone.map(|id| trash::baseline_head_of(root, id)).transpose()?.flatten();
    let known = || context.facts.removed.as_ref().map(|removed| removed.entry.clone());
    let removed = match cleaned.or_else(known) {
        Some(entry) => Some(Removed { files: trash::count(root, &entry)?, entry }),
        None => None,
    };
    let removed = removed.filter(|removed| removed.files > 0);
    Ok(InTrash { can_go_back: former.is_some(), removed })
}

/// The same after a change that is done already: that nobody can tell is no reason to fail it.
fn still_in_trash(context: &Context, root: &Root, cleaned: Option<String>) -> Option<InTrash> {
    let baseline = baseline::peek_head(root).map_err(Fault::from);
    let found = baseline.and_then(|b| in_trash(context, root, undone_by(b.as_ref()), cleaned));
    let unknown = |fault: &Fault| tracing::debug!("what is in the trash is not known: {fault}");
    found.inspect_err(unknown).ok()
}

fn found(baseline: Option<Head>, marker: Option<Marker>) -> Found {
    Found {
        went_back_from: baseline.as_ref().and_then(|b| b.went_back_from.clone()),
        installed: baseline.map(|b| b.release),
        marker,
        ..Found::default()
    }
}

/// Deletes what has been in the trash for too long; what is left, if there is a trash.
pub(super) fn empty_trash(context: &Context) -> Result<Option<InTrash>, Fault> {
    let Some(known) = context.facts.known_marker() else { return Ok(None) };
    let folder = layout::lock(&context.config.folder, Some(known))?;
    let undo = baseline::peek_head(&folder.root)?.and_then(|baseline| baseline.applied_as);
    expire_trash(context, &folder.root, &[&undo.unwrap_or_default()]);
    Ok(still_in_trash(context, &folder.root, None))
}

fn report_of(journal: &Journal) -> Option<ApplyReport> {
    let count = |of: fn(&Step) -> bool| journal.steps.iter().filter(|s| of(s)).count() as u64;
    Some(ApplyReport {
        release: journal.release.clone()?,
        added: count(|step| {
            matches!(step, Step::Put { was: None, .. } | Step::Link { was: None, .. })
        }),
        changed: count(|step| {
            matches!(step, Step::Put { was: Some(_), .. } | Step::Link { was: Some(_), .. })
        }),
        removed: count(|step| matches!(step, Step::Remove { .. })),
        downloaded_bytes: 0,
        when: SystemTime::now(),
    })
}

pub(super) fn apply_update(
    context: &Context,
    planned: &Planned,
    fetched: &Fetched,
) -> Result<Outcome, Fault> {
    let folder = layout::lock(&context.config.folder, Some(&fetched.marker))?;
    let root = &folder.root;
    let plan = &planned.plan;
    let before = baseline::peek(root)?;
    if context.is_news(before.as_ref().map(|before| &before.release)) {
        drop(folder);
        return recover(context);
    }
    root.create_dir_all(layout::RELEASES)?;
    root.write_atomic(layout::release(plan.release.digest), &planned.torrent)?;
    let now = SystemTime::now();
    let id = trash::new_id(root, now)?;
    let is_repair = before.as_ref().is_some_and(|b| b.release.digest == plan.release.digest);
    let undoes = if is_repair {
        before.as_ref().and_then(|b| b.applied_as.clone())
    } else {
        Some(id.clone())
    };
    let next = Baseline {
        release: plan.release.clone(),
        files: next_files(plan, &planned.manifest, before.as_ref(), &fetched.staged),
        applied_as: undoes,
        went_back_from: before
            .as_ref()
            .filter(|_| is_repair)
            .and_then(|b| b.went_back_from.clone()),
    };
    let journal = Journal {
        id,
        when: now,
        reason: if is_repair { Reason::Repair } else { Reason::Update },
        release: Some(plan.release.clone()),
        before: before.map(|b| b.release),
        links: apply::can_link(root, &layout::release(plan.release.digest))?,
        new_baseline: true,
        steps: journal::steps_of(plan, &fetched.staged),
    };
    if let Some(outcome) = carry_out(context, root, &journal, Some(&next))? {
        return Ok(outcome);
    }
    let report = ApplyReport {
        downloaded_bytes: fetched.downloaded,
        ..report_of(&journal).ok_or_else(|| Fault::bug("an update without a release"))?
    };
    // Each of a large pack is large, and the trash looks at those of all changes.
    let id = journal.id.clone();
    drop(journal);
    forget_old_torrents(root, &next)?;
    expire_trash(context, root, &[&id, next.applied_as.as_deref().unwrap_or_default()]);
    let in_trash = in_trash(context, root, next.applied_as.as_deref(), None)?;
    Ok(Outcome::Applied { report, marker: folder.marker.clone(), in_trash })
}

/// Carries a journal out, with progress. `Some` when it was interrupted.
fn carry_out(
    context: &Context,
    root: &Root,
    journal: &Journal,
    next: Option<&Baseline>,
) -> Result<Option<Outcome>, Fault> {
    let total = journal.steps.len() as u64;
    let done = |done| context.progress.set(done, total, Unit::Steps);
    Ok(match apply::apply(root, journal, next, &context.cancel, &done)? {
        apply::Applied::Finished => None,
        apply::Applied::Interrupted => Some(Outcome::Interrupted),
    })
}

fn next_files(
    plan: &Plan,
    manifest: &Manifest,
    before: Option<&Baseline>,
    staged: &Staged,
) -> BTreeMap<RelPath, Installed> {
    let mut files = plan.staying(manifest, before);
    files.extend(staged.unchanged.iter().map(|(path, stat)| (path.clone(), (*stat).into())));
    files.extend(staged.files.iter().map(|(path, file)| (path.clone(), file.looks)));
    files.extend(staged.moved.iter().map(|(path, file)| (path.clone(), file.looks)));
    files
}

/// Keeps the `.torrent` of the installed release and of those a rollback can reach.
fn forget_old_torrents(root: &Root, baseline: &Baseline) -> Result<(), Fault> {
    let mut needed = BTreeSet::from([baseline.release.digest]);
    let mut entries = BTreeSet::new();
    let mut entry = baseline.applied_as.clone();
    while let Some(id) = entry.filter(|id| entries.insert(id.clone())) {
        let older = trash::baseline_head_of(root, &id)?;
        needed.extend(older.as_ref().map(|older| older.release.digest));
        entry = older.and_then(|older| older.applied_as);
    }
    for (name, _) in root.list(layout::RELEASES)? {
        let is_needed = needed.iter().any(|d| name.to_str() == Some(&format!("{d}.torrent")));
        if !is_needed {
            root.remove_file_if_there(Path::new(layout::RELEASES).join(name))?;
        }
    }
    Ok(())
}

/// The trash is emptied beside other work; that it could not be is no reason to fail that.
fn expire_trash(context: &Context, root: &Root, spared: &[&str]) {
    let Policy { trash_age, trash_size, .. } = context.config.policy;
    let now = SystemTime::now();
    if let Err(error) = trash::expire(root, spared, trash_age, trash_size, now) {
        tracing::warn!(pack = context.config.name, "could not empty the trash: {error}");
    }
}

pub(super) fn clean(
    context: &Context,
    release: Release,
    dry_run: bool,
    automatic: bool,
) -> Result<Outcome, Fault> {
    let known = context.facts.known_marker();
    let untouched = |moved| {
        let report = CleanReport { dry_run, moved, trash: None };
        Ok(Outcome::Cleaned { report, in_trash: None })
    };
    let Some(root) = layout::look(&context.config.folder, known)? else {
        return untouched(Vec::new());
    };
    let baseline = baseline::peek_head(&root)?;
    if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
        return recover(context);
    }
    let (_, manifest) = torrent_of(context, Some(&root), &release)?;
    root.set_pace(context.pace);
    let inventory = inventory::list(&root, &context.cancel)?;
    let places = Names::of(&manifest, &inventory).places(root.pace());
    let extras: BTreeMap<_, _> = plan::extras(&places.unnamed, &context.config.policy).collect();
    let moved: Vec<_> = extras
        .iter()
        .map(|(path, stat)| FileLine { path: path.clone(), length: stat.length })
        .collect();
    let too_many =
        automatic && context.config.policy.is_too_many(moved.len(), inventory.files.len());
    if too_many {
        let name = &context.config.name;
        tracing::warn!(pack = name, "{} extra files stay: `modsync clean` moves them", moved.len());
        return untouched(Vec::new());
    }
    if dry_run || moved.is_empty() {
        return untouched(moved);
    }
    let folder = layout::lock(&context.config.folder, known)?;
    let baseline = baseline::peek_head(&folder.root)?;
    if context.is_news(baseline.as_ref().map(|baseline| &baseline.release)) {
        drop(folder);
        return recover(context);
    }
    let now = SystemTime::now();
    let id = trash::new_id(&folder.root, now)?;
    let journal = Journal {
        id: id.clone(),
        when: now,
        reason: Reason::Clean,
        release: Some(release.clone()),
        before: Some(release),
        links: false,
        new_baseline: false,
        steps: journal::steps_of_clean(&extras),
    };
    if let Some(outcome) = carry_out(context, &folder.root, &journal, None)? {
        return Ok(outcome);
    }
    let undo = baseline.and_then(|baseline| baseline.applied_as);
    expire_trash(context, &folder.root, &[&id, &undo.unwrap_or_default()]);
    let in_trash = still_in_trash(context, &folder.root, Some(id.clone()));
    Ok(Outcome::Cleaned { report: CleanReport { dry_run, moved, trash: Some(id) }, in_trash })
}

pub(super) fn roll_back(context: &Context) -> Result<Outcome, Fault> {
    let nothing = |why: &str, hint: &str| {
        Fault::new(FaultKind::NothingToRollBack, format!("could not go back: {why}"), hint)
    };
    let gone = "The trash keeps what an update replaced for a limited time only.";
    let first = "There is one to go back to once an update was applied.";
    let known = context.facts.known_marker();
    if layout::look(&context.config.folder, known)?.is_none() {
        return Err(nothing("nothing is installed", first));
    }
    let folder = layout::lock(&context.config.folder, known)?;
    let root = &folder.root;
    let Some(current) = baseline::peek(root)? else {
        return Err(nothing("nothing is installed", first));
    };
    let Some(undone) = current.applied_as.clone() else {
        return Err(nothing("no earlier release was installed here", first));
    };
    let Some(done) = trash::record_of(root, &undone)? else {
        return Err(nothing("there is no earlier release in the trash", gone));
    };
    let Some(previous) = trash::baseline_of(root, &undone)? else {
        return Err(nothing("no earlier release was installed here", first));
    };
    let keep = &context.config.policy.keep;
    let given = rollback::Given {
        done: &done,
        current: &current,
        previous: &previous,
        look: &|path| root.stat(path),
        stays: &|path, stat| keep.matches(path) && !current.is_ours(path, stat),
    };
    let Some((steps, next)) = rollback::rollback(&given)? else {
        return Err(nothing("the trash no longer has all files of the earlier release", gone));
    };
    let now = SystemTime::now();
    let journal = Journal {
        id: trash::new_id(root, now)?,
        when: now,
        reason: Reason::Rollback,
        release: Some(next.release.clone()),
        before: Some(current.release.clone()),
        links: apply::can_link(root, &layout::release(current.release.digest))?,
        new_baseline: true,
        steps,
    };
    // Another rollback goes further back, not forward again.
    if let Some(outcome) = carry_out(context, root, &journal, Some(&next))? {
        return Ok(outcome);
    }
    let report = report_of(&journal).ok_or_else(|| Fault::bug("a rollback without a release"))?;
    let in_trash = in_trash(context, root, next.applied_as.as_deref(), None)?;
    let from = next.went_back_from.unwrap_or(current.release);
    Ok(Outcome::RolledBack { report, from, in_trash })
}

pub(super) fn list_trash(context: &Context) -> Result<Outcome, Fault> {
    let root = layout::look(&context.config.folder, context.facts.known_marker())?;
    let entries = root.as_deref().map(trash::list).transpose()?.unwrap_or_default();
    Ok(Outcome::Trash(entries))
}

pub(super) fn restore(context: &Context, entry: &str) -> Result<Outcome, Fault> {
    let folder = layout::lock(&context.config.folder, context.facts.known_marker())?;
    let Some(report) = trash::restore(&folder.root, entry)? else {
        return Err(Fault::new(
            FaultKind::Refused,
            format!("there is no `{entry}` in the trash"),
            "`modsync trash` lists what is there.",
        ));
    };
    let in_trash = still_in_trash(context, &folder.root, None);
    Ok(Outcome::Restored { report, in_trash })
}
