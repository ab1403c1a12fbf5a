//! Carries a journal out, forward or back.
//!
//! The order is what makes it safe: new content is durable before the journal is, the journal before
//! the first change, the changes before the baseline names them, and the baseline before the journal
//! is put away. A crash at any point leaves each file old or new, and [`recover`] finishes the rest
//! without network.

use std::collections::BTreeSet;
use std::path::Path;

use super::baseline::{self, Baseline};
use super::fs::{FsError, Kind, Root, Stat, hint};
use super::journal::{self, Journal, Reason, Step};
use super::layout::{BASELINE, BASELINE_NEXT, JOURNAL, OWN_FOLDER, STAGING};
use super::record::Loaded;
use super::trash;
use super::verify::Cancel;
use crate::model::fault::{Fault, FaultKind};

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
    if journal::is_there(root)? {
        let what = format!("an earlier change of `{}` is not finished", root.path().display());
        return Err(Fault::new(FaultKind::FolderChanged, what, "ModSync finishes it first."));
    }
    root.create_dir_all(journal.folder())?;
    // What an apply that failed early left must not become the baseline of this one.
    root.remove_file_if_there(BASELINE_NEXT)?;
    if let Some(next) = next {
        trash::keep_baseline(root, journal)?;
        baseline::save(root, BASELINE_NEXT, next)?;
    }
    journal::save(root, journal)?;
    if let Err(fault) = preserve(root, journal) {
        abandon(root, journal)?;
        return Err(fault);
    }
    roll_forward(root, journal, cancel, progress)
}

/// What [`recover`] found and did.
#[derive(Debug, PartialEq, Eq)]
pub enum Recovered {
    Nothing,
    Finished(Box<Journal>),
    Interrupted,
    /// New content was damaged: everything was put back.
    PutBack(Box<Journal>),
    /// The journal itself was damaged and put aside. Each file is old or new; a scan finds out which.
    JournalDamaged,
}

/// Finishes what a crash cut off, or puts it back when the new content is damaged.
pub fn recover(
    root: &Root,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Recovered, Fault> {
    let journal = match journal::load(root)? {
        Loaded::Absent => {
            root.remove_file_if_there(BASELINE_NEXT)?;
            trash::drop_unused(root)?;
            return Ok(Recovered::Nothing);
        }
        Loaded::Damaged(_) => return Ok(Recovered::JournalDamaged),
        Loaded::Value(journal) => journal,
    };
    if !can_go_forward(root, &journal)? {
        roll_back(root, &journal)?;
        return Ok(Recovered::PutBack(Box::new(journal)));
    }
    preserve(root, &journal)?;
    Ok(match roll_forward(root, &journal, cancel, progress)? {
        Applied::Finished => Recovered::Finished(Box::new(journal)),
        Applied::Interrupted => Recovered::Interrupted,
    })
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
            Step::Put { path, from, to, was: Some(_), .. } if root.stat(from)?.is_some() => {
                (path, *to)
            }
            Step::Put { .. }
            | Step::Clear { .. }
            | Step::Prune { .. }
            | Step::MakeDir { .. }
            | Step::Restore { .. } => continue,
        };
        let kept = journal.kept(to);
        let is_file = root.stat(path)?.is_some_and(Stat::is_file);
        if is_file && root.stat(&kept)?.is_none() {
            root.hard_link(path, &kept).map_err(|e| refused(e, path.as_ref()))?;
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
    root: &Root,
    journal: &Journal,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Applied, Fault> {
    let mut touched = BTreeSet::new();
    for (done, step) in journal.steps.iter().enumerate() {
        if cancel.is_cancelled() {
            return Ok(Applied::Interrupted);
        }
        take(root, journal, step)?;
        touched.insert(parent(step).to_owned());
        progress(done as u64 + 1);
    }
    for folder in touched {
        if root
            .stat(&folder)
            .is_ok_and(|s| folder.is_empty() || s.is_some_and(|s| s.kind == Kind::Dir))
        {
            root.sync_dir(&folder)?;
        }
    }
    root.sync_dir(journal.folder())?;
    finish(root, journal)?;
    Ok(Applied::Finished)
}

fn finish(root: &Root, journal: &Journal) -> Result<(), FsError> {
    if root.stat(BASELINE_NEXT)?.is_some() {
        root.rename(BASELINE_NEXT, BASELINE)?;
        root.sync_dir(OWN_FOLDER)?;
    }
    trash::close(root, journal)?;
    if matches!(journal.reason, Reason::Update | Reason::Repair) {
        root.remove_tree(STAGING)?;
    }
    root.sync_dir(OWN_FOLDER)
}

fn take(root: &Root, journal: &Journal, step: &Step) -> Result<(), Fault> {
    match step {
        Step::Remove { path, was, to } => {
            let kept = journal.kept(*to);
            match root.stat(path)? {
                Some(stat) if was.looks_like(stat) => {
                    if root.same_file(path, &kept)? {
                        root.remove_file_if_there(path)?;
                    } else if root.stat(&kept)?.is_none() {
                        root.rename(path, &kept).map_err(|e| refused(e, path.as_ref()))?;
                    }
                }
                // It was edited since: it is the user's now, and the second name is not needed.
                Some(_) if root.same_file(path, &kept)? => root.remove_file_if_there(&kept)?,
                Some(_) | None => {}
            }
        }
        Step::Clear { path, kind, to, .. } => {
            let kept = journal.kept(*to);
            let stands = root.stat(path)?.is_some_and(|stat| stat.kind == *kind);
            if stands && root.stat(&kept)?.is_none() {
                root.rename(path, &kept).map_err(|e| refused(e, Path::new(path)))?;
            }
        }
        Step::Prune { path } => {
            root.remove_dir_if_empty(path)?;
        }
        Step::MakeDir { path } => root.create_dir_all(path)?,
        Step::Restore { path, from } => {
            if root.stat(from)?.is_some() && root.stat(path)?.is_none() {
                root.rename(from, path)?;
            }
        }
        Step::Put { path, from, to, .. } => {
            if root.stat(from)?.is_some() {
                put(root, journal, path.as_ref(), from, *to)?;
            }
        }
    }
    Ok(())
}

/// Puts new content in place. What stands there has a second name in the trash already, or gets one
/// now: nothing is overwritten that is not kept.
fn put(root: &Root, journal: &Journal, path: &Path, from: &str, to: u32) -> Result<(), Fault> {
    if root.stat(path)?.is_some() && !root.same_file(path, journal.kept(to))? {
        let kept = if root.stat(journal.kept(to))?.is_none() {
            journal.kept(to)
        } else {
            journal.kept_newcomer(to)
        };
        if !(journal.links && root.hard_link(path, &kept).is_ok()) {
            root.rename(path, &kept).map_err(|e| refused(e, path))?;
        }
        root.sync_dir(journal.folder())?;
    }
    root.rename(from, path).map_err(|e| refused(e, path))?;
    Ok(())
}

/// Whether every file still to be put is there as it was when it was verified.
fn can_go_forward(root: &Root, journal: &Journal) -> Result<bool, FsError> {
    for step in &journal.steps {
        if let Step::Put { path, from, looks, .. } = step {
            let ready = root.stat(from)?.is_some_and(|stat| looks.looks_like(stat));
            if !ready && !root.stat(path)?.is_some_and(|stat| looks.looks_like(stat)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Undoes the steps that were taken, the last one first.
fn roll_back(root: &Root, journal: &Journal) -> Result<(), Fault> {
    for step in journal.steps.iter().rev() {
        match step {
            Step::Remove { path, to, .. } => put_back(root, &journal.kept(*to), path.as_ref())?,
            Step::Clear { path, to, .. } => put_back(root, &journal.kept(*to), Path::new(path))?,
            Step::Put { path, from, looks, to, .. } => {
                let ours = root.stat(path)?.is_some_and(|stat| looks.looks_like(stat));
                if ours && root.stat(from)?.is_none() {
                    root.rename(path, from)?;
                }
                put_back(root, &journal.kept(*to), path.as_ref())?;
            }
            Step::MakeDir { path } => {
                root.remove_dir_if_empty(path)?;
            }
            // Putting a file back makes the folders it needs.
            Step::Prune { .. } => {}
            Step::Restore { path, from } => {
                if root.stat(from)?.is_none() {
                    root.rename(path, from)?;
                }
            }
        }
    }
    root.remove_file_if_there(BASELINE_NEXT)?;
    trash::close(root, journal)?;
    Ok(())
}

fn put_back(root: &Root, kept: &str, path: &Path) -> Result<(), FsError> {
    if root.stat(kept)?.is_none() {
        return Ok(());
    }
    if root.stat(path)?.is_none() {
        if let Some(parent) = path.parent() {
            root.create_dir_all(parent)?;
        }
        root.rename(kept, path)
    } else if root.same_file(kept, path)? {
        root.remove_file_if_there(kept)
    } else {
        Ok(())
    }
}

/// The folder whose names a step changes; empty for the pack's folder itself.
fn parent(step: &Step) -> &str {
    let path = match step {
        Step::Remove { path, .. } | Step::Put { path, .. } => path.as_str(),
        Step::Clear { path, .. }
        | Step::Prune { path }
        | Step::MakeDir { path }
        | Step::Restore { path, .. } => path,
    };
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A file that cannot be taken away is, as far as we can know, in use.
fn refused(e: FsError, path: &Path) -> Fault {
    if e.kind() != FaultKind::FileInUse {
        return e.into();
    }
    let what = format!("could not replace `{}`: the file is in use", path.display());
    Fault::new(FaultKind::FileInUse, what, hint(FaultKind::FileInUse))
}
