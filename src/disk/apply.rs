//! Carries a journal out, forward or back.
//!
//! The order is what makes it safe: new content is durable before the journal is, the journal before
//! the first change, the changes before the baseline names them, and the baseline before the journal
//! is put away. A crash at any point leaves each file old or new, and [`recover`] finishes the rest
//! without network.

mod step;

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use self::step::{Steps, changed_meanwhile, refused};
use super::baseline::{self, Baseline, Installed};
use super::fs::{FsError, Kind, Root, Stat};
use super::journal::{self, Journal, Reason, Step};
use super::layout::{self, BASELINE, BASELINE_NEXT, JOURNAL, OWN_FOLDER, STAGING, TRASH};
use super::parts::in_parts;
use super::record::Loaded;
use super::trash;
use super::verify::Cancel;
use crate::model::fault::{Fault, FaultKind};
use crate::model::path::parent;

/// Steps that a thread is started for when they are checked.
const STEPS: usize = 1_000;

/// How an apply ended without failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Finished,
    /// Asked to stop between two steps; the journal stays and [`recover`] goes on.
    Interrupted,
}

/// Starts and carries out a change. Until the journal is durable a failure leaves everything as it
/// was; `next` is the baseline that holds afterwards, if it changes.
pub fn apply(
    root: &Root,
    journal: &Journal,
    next: Option<&Baseline>,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Applied, Fault> {
    check_targets(root, journal)?;
    root.create_dir_all(journal.folder())?;
    // What an apply that failed early left must not become the baseline of this one.
    root.remove_file_if_there(BASELINE_NEXT)?;
    if let Some(next) = next {
        trash::keep_baseline(root, journal)?;
        baseline::save(root, BASELINE_NEXT, next)?;
    }
    journal::save(root, journal)?;
    // Should the journal be damaged, its trash entry still knows what it holds.
    trash::note(root, journal)?;
    if let Err(fault) = preserve(root, journal) {
        abandon(root, journal)?;
        return Err(fault);
    }
    roll_forward(Steps { root, journal, again: false }, cancel, progress)
}

/// What [`recover`] found and did.
#[derive(Debug, PartialEq, Eq)]
pub enum Recovered {
    Nothing,
    Finished(Box<Journal>),
    Interrupted,
    /// New content was lost or damaged: everything was put back.
    PutBack(Box<Journal>),
    /// The journal itself was damaged and put aside. Each file is old or new; a scan finds out which.
    JournalDamaged,
}

/// Finishes what a crash cut off, or puts it back when the new content is lost or damaged.
pub fn recover(
    root: &Root,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Recovered, Fault> {
    let journal = match journal::load(root)? {
        Loaded::Value(journal) => journal,
        Loaded::Absent => {
            root.remove_file_if_there(BASELINE_NEXT)?;
            return Ok(Recovered::Nothing);
        }
        Loaded::Damaged(_) => {
            root.remove_file_if_there(BASELINE_NEXT)?;
            return Ok(Recovered::JournalDamaged);
        }
    };
    // Somebody may have emptied the trash to make room.
    root.create_dir_all(journal.folder())?;
    if !is_committed(root, &journal)? && !can_go_forward(root, &journal)? {
        roll_back(root, &journal)?;
        return Ok(Recovered::PutBack(Box::new(journal)));
    }
    let steps = Steps { root, journal: &journal, again: true };
    let taken = preserve(root, &journal).and_then(|()| roll_forward(steps, cancel, progress));
    match taken {
        Ok(Applied::Finished) => Ok(Recovered::Finished(Box::new(journal))),
        Ok(Applied::Interrupted) => Ok(Recovered::Interrupted),
        // What is forbidden is not over by itself. Where even the way back is closed, it stays as it is.
        Err(fault)
            if matches!(fault.kind, FaultKind::AccessDenied | FaultKind::OtherDisk)
                && !is_committed(root, &journal)? =>
        {
            roll_back(root, &journal).map_err(|_| fault)?;
            Ok(Recovered::PutBack(Box::new(journal)))
        }
        Err(fault) => Err(fault),
    }
}

/// Whether the baseline names what the steps made: from then on nothing goes back.
fn is_committed(root: &Root, journal: &Journal) -> Result<bool, FsError> {
    Ok(journal.new_baseline && root.stat(BASELINE_NEXT)?.is_none())
}

/// Whether the folder is as it was when the steps were worked out, and the new content is there.
fn check_targets(root: &Root, journal: &Journal) -> Result<(), Fault> {
    if journal::is_there(root)? {
        let what = format!("an earlier change of `{}` is not finished", root.path().display());
        return Err(Fault::new(FaultKind::FolderChanged, what, "ModSync finishes it first."));
    }
    check_folders(root, journal.steps.iter().map(Step::target))?;
    let check = |steps: &[Step]| steps.iter().try_for_each(|step| check_target(root, step));
    in_parts(&journal.steps, STEPS, root.pace(), check).into_iter().collect()
}

fn check_target(root: &Root, step: &Step) -> Result<(), Fault> {
    let stands = root.stat(step.target())?;
    let is_ready = |from: &str, looks: Installed, was| -> Result<bool, FsError> {
        let obstacle = stands.filter(|stat| stat.is_file());
        let is_free = obstacle.is_none() || obstacle == was;
        Ok(is_free && root.stat(from)?.is_some_and(|stat| looks.looks_like(stat)))
    };
    let as_planned = match step {
        Step::Remove { was, .. } => stands.is_some_and(|stat| was.looks_like(stat)),
        Step::Put { from, looks, was, .. } => is_ready(&from.to_string(), *looks, *was)?,
        Step::Link { from, looks, was, .. } => is_ready(from.as_str(), *looks, *was)?,
        Step::Clear { .. } | Step::Prune { .. } | Step::MakeDir { .. } | Step::Restore { .. } => {
            true
        }
    };
    if !as_planned {
        return Err(changed_meanwhile(step.target()));
    }
    if let Step::Clear { path, kind: Kind::Dir, .. } = step {
        // A folder takes what is in it along, and that changes the folder as well.
        root.check_writable(path)?;
        root.check_same_disk(path)?;
    }
    let goes = matches!(
        step,
        Step::Remove { .. } | Step::Clear { .. } | Step::Link { .. } | Step::Put { .. }
    );
    if goes && stands.is_some() {
        let path = Path::new(step.target());
        root.check_replaceable(path).map_err(|e| refused(e, path))?;
    }
    Ok(())
}

/// Fails when names cannot be changed where one of these files lies or will lie, or where we keep our own.
pub fn check_folders<'a>(root: &Root, files: impl Iterator<Item = &'a str>) -> Result<(), FsError> {
    let ours = [OWN_FOLDER, STAGING, TRASH];
    let folders: BTreeSet<&str> = files.map(parent).chain(ours).collect();
    for folder in folders {
        root.check_writable(folder)?;
        root.check_same_disk(folder)?;
    }
    Ok(())
}

/// Whether a second name can be given to a file in this folder.
pub fn can_link(root: &Root, existing: &str) -> Result<bool, FsError> {
    let probe = format!("{OWN_FOLDER}/link-probe");
    root.remove_file_if_there(&probe)?;
    let linked = root.hard_link(existing, &probe).is_ok();
    root.remove_file_if_there(&probe)?;
    Ok(linked)
}

/// Gives every file that goes away a second name in the trash. Nothing in the folder changes, and a
/// file that cannot be taken (in use, immutable) stops the whole apply here.
fn preserve(root: &Root, journal: &Journal) -> Result<(), Fault> {
    if !journal.links {
        return Ok(());
    }
    for step in &journal.steps {
        let (path, to) = match step {
            Step::Remove { path, to, .. } => (path, *to),
            Step::Put { path, from, to, was: Some(_), .. }
                if root.stat(from.to_string())?.is_some() =>
            {
                (path, *to)
            }
            Step::Link { path, from, to, was: Some(_), .. } if root.stat(from)?.is_some() => {
                (path, *to)
            }
            Step::Put { .. }
            | Step::Link { .. }
            | Step::Clear { .. }
            | Step::Prune { .. }
            | Step::MakeDir { .. }
            | Step::Restore { .. } => continue,
        };
        let kept = journal.kept(to);
        let is_file = root.stat(path)?.is_some_and(Stat::is_file);
        if !is_file || root.stat(&kept)?.is_some() {
            continue;
        }
        match root.hard_link(path, &kept) {
            // Some systems let only a file's owner give it a second name; it is moved instead, later.
            Err(e) if !root.is_locked(path, &e) => {}
            result => result.map_err(|e| refused(e, path.as_ref()))?,
        }
    }
    root.sync_dir(journal.folder())?;
    Ok(())
}

/// Takes back a journal of which nothing but [`preserve`] was done.
fn abandon(root: &Root, journal: &Journal) -> Result<(), FsError> {
    root.remove_file_if_there(JOURNAL)?;
    root.sync_dir(OWN_FOLDER)?;
    root.remove_file_if_there(BASELINE_NEXT)?;
    root.remove_tree(journal.folder())
}

fn roll_forward(
    steps: Steps<'_>,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Applied, Fault> {
    let Steps { root, journal, .. } = steps;
    let mut touched = BTreeSet::new();
    let kept = journal.folder();
    // New folders are durable before anything is put there.
    let mut grown = BTreeSet::new();
    for (done, step) in journal.steps.iter().enumerate() {
        if cancel.is_cancelled() {
            return Ok(Applied::Interrupted);
        }
        let folder = parent(step.target());
        match step {
            Step::MakeDir { path, new, .. } if *new || !is_folder(root, path)? => {
                grown.insert(folder);
            }
            Step::MakeDir { .. } => {}
            Step::Remove { .. }
            | Step::Clear { .. }
            | Step::Prune { .. }
            | Step::Restore { .. }
            | Step::Link { .. }
            | Step::Put { .. } => sync_folders(root, mem::take(&mut grown))?,
        }
        steps.take(step)?;
        touched.insert(folder);
        progress(done as u64 + 1);
    }
    touched.insert(&kept);
    sync_folders(root, touched)?;
    finish(root, journal)?;
    Ok(Applied::Finished)
}

/// Makes the names in these folders durable, as far as they are still there.
fn sync_folders(root: &Root, folders: BTreeSet<&str>) -> Result<(), FsError> {
    if root.sync_disk_for(folders.len())? {
        return Ok(());
    }
    for folder in folders {
        if folder.is_empty() || is_folder(root, folder)? {
            root.sync_dir(folder)?;
        }
    }
    Ok(())
}

fn is_folder(root: &Root, path: &str) -> Result<bool, FsError> {
    Ok(root.stat(path)?.is_some_and(|stat| stat.kind == Kind::Dir))
}

fn finish(root: &Root, journal: &Journal) -> Result<(), FsError> {
    if root.stat(BASELINE_NEXT)?.is_some() {
        root.rename(BASELINE_NEXT, BASELINE)?;
        root.sync_dir(OWN_FOLDER)?;
    }
    trash::close(root, journal)?;
    if let (Reason::Update | Reason::Repair, Some(release)) = (journal.reason, &journal.release) {
        root.remove_tree(layout::staging(release.info_hash))?;
    }
    root.sync_dir(OWN_FOLDER)
}

/// Whether no file still to be put is lost or damaged. One that is gone from staging was put, unless
/// the old file still stands in its place; what the user did to it since is not our concern.
fn can_go_forward(root: &Root, journal: &Journal) -> Result<bool, FsError> {
    for step in &journal.steps {
        if let Step::Link { path, from, kept, looks, .. } = step {
            let is_at = |place: &Path| -> Result<bool, FsError> {
                Ok(root.stat(place)?.is_some_and(|stat| looks.looks_like(stat)))
            };
            let kept = journal.kept(*kept);
            if !(is_at(kept.as_ref())? || is_at(from.as_ref())? || is_at(path.as_ref())?) {
                return Ok(false);
            }
        }
        let Step::Put { path, from, looks, was, to } = step else { continue };
        let from = &from.to_string();
        let is_new = |stat: Option<Stat>| stat.is_some_and(|stat| looks.looks_like(stat));
        let lost = if let Some(staged) = root.stat(from)? {
            // What it replaced may lie there in its stead.
            let is_put = is_new(root.stat(path)?) || root.same_file(from, journal.kept(*to))?;
            !is_put && !looks.looks_like(staged)
        } else {
            let now = root.stat(path)?;
            let is_old =
                now.is_some() && (now == *was || root.same_file(path, journal.kept(*to))?);
            // The old one is away, and the new one was about to come.
            let is_between = now.is_none()
                && (root.stat(journal.aside(*to))?.is_some()
                    || (!journal.links
                        && was.is_some()
                        && root.stat(journal.kept(*to))?.is_some()));
            (is_old && !is_new(now)) || is_between
        };
        if lost {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Undoes the steps that were taken, the last one first.
fn roll_back(root: &Root, journal: &Journal) -> Result<(), Fault> {
    // What comes back may come into a folder that was made, and is not durable yet.
    let made = journal.steps.iter().filter(|step| matches!(step, Step::MakeDir { .. }));
    sync_folders(root, made.map(|step| parent(step.target())).collect())?;
    let steps = Steps { root, journal, again: true };
    for step in journal.steps.iter().rev() {
        steps.take_back(step)?;
    }
    let kept = journal.folder();
    let touched = journal.steps.iter().map(|step| parent(step.target()));
    sync_folders(root, touched.chain([&*kept]).collect())?;
    // A journal without the next baseline would be taken for one that is committed.
    trash::close(root, journal)?;
    root.sync_dir(OWN_FOLDER)?;
    Ok(root.remove_file_if_there(BASELINE_NEXT)?)
}
