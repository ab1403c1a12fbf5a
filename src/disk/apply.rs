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
use super::layout::{self, BASELINE, BASELINE_NEXT, JOURNAL, OWN_FOLDER, STAGING, TRASH};
use super::record::Loaded;
use super::trash;
use super::verify::Cancel;
use crate::model::fault::{Fault, FaultKind};
use crate::model::path::{ancestors, parent, with_ancestors};

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
    roll_forward(root, journal, cancel, progress)
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
    let all_taken = journal.new_baseline && root.stat(BASELINE_NEXT)?.is_none();
    if !all_taken && !can_go_forward(root, &journal)? {
        roll_back(root, &journal)?;
        return Ok(Recovered::PutBack(Box::new(journal)));
    }
    let taken =
        preserve(root, &journal).and_then(|()| roll_forward(root, &journal, cancel, progress));
    match taken {
        Ok(Applied::Finished) => Ok(Recovered::Finished(Box::new(journal))),
        Ok(Applied::Interrupted) => Ok(Recovered::Interrupted),
        // What is forbidden is not over by itself. Where even the way back is closed, it stays as it is.
        Err(fault) if matches!(fault.kind, FaultKind::AccessDenied | FaultKind::OtherDisk) => {
            roll_back(root, &journal).map_err(|_| fault)?;
            Ok(Recovered::PutBack(Box::new(journal)))
        }
        Err(fault) => Err(fault),
    }
}

/// Whether the folder is as it was when the steps were worked out, and the new content is there.
fn check_targets(root: &Root, journal: &Journal) -> Result<(), Fault> {
    if journal::is_there(root)? {
        let what = format!("an earlier change of `{}` is not finished", root.path().display());
        return Err(Fault::new(FaultKind::FolderChanged, what, "ModSync finishes it first."));
    }
    check_folders(root, journal.steps.iter().map(target))?;
    for step in &journal.steps {
        let as_planned = match step {
            Step::Remove { path, was, .. } => {
                root.stat(path)?.is_some_and(|stat| was.looks_like(stat))
            }
            Step::Put { path, from, looks, was, .. } => {
                let obstacle = root.stat(path)?.filter(|stat| stat.is_file());
                (obstacle.is_none() || obstacle == *was)
                    && root.stat(from)?.is_some_and(|stat| looks.looks_like(stat))
            }
            Step::Link { path, from, looks, was, .. } => {
                let obstacle = root.stat(path)?.filter(|stat| stat.is_file());
                (obstacle.is_none() || obstacle == *was)
                    && root.stat(from)?.is_some_and(|stat| looks.looks_like(stat))
            }
            Step::Clear { .. }
            | Step::Prune { .. }
            | Step::MakeDir { .. }
            | Step::Restore { .. } => true,
        };
        if !as_planned {
            return Err(changed_meanwhile(target(step)));
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
        if goes && root.stat(target(step))?.is_some_and(Stat::is_file) {
            let path = Path::new(target(step));
            root.check_replaceable(path).map_err(|e| refused(e, path))?;
        }
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
            Step::Put { path, from, to, was: Some(_), .. } if root.stat(from)?.is_some() => {
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
        touched.insert(parent(target(step)).to_owned());
        progress(done as u64 + 1);
    }
    sync_folders(root, journal, touched)?;
    finish(root, journal)?;
    Ok(Applied::Finished)
}

/// Makes the names in the changed folders durable, as far as these folders are still there.
fn sync_folders(root: &Root, journal: &Journal, touched: BTreeSet<String>) -> Result<(), FsError> {
    for folder in touched {
        let there = folder.is_empty() || root.stat(&folder)?.is_some_and(|s| s.kind == Kind::Dir);
        if there {
            root.sync_dir(&folder)?;
        }
    }
    root.sync_dir(journal.folder())
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
            // An empty folder that cannot be removed is no reason to stop half-way, unless it is in the way.
            if let Err(error) = root.remove_dir_if_empty(path) {
                if comes_back_to(journal, path) {
                    return Err(refused(error, Path::new(path)));
                }
                tracing::debug!("an empty folder stays: {error}");
            }
        }
        Step::MakeDir { path, to, .. } => make_dir(root, journal, path, *to)?,
        Step::Restore { path, from } => {
            if root.stat(from)?.is_some()
                && root.stat(path)?.is_none()
                && trash::has_room(root, path)?
            {
                root.create_dir_all(parent(path))?;
                root.place(from, path)?;
            }
        }
        Step::Link { path, from, kept, looks, to, .. } => {
            let (kept, second) = (journal.kept(*kept), format!("{}.link", journal.kept(*to)));
            if root.same_file(path, &kept)? {
                return Ok(());
            }
            match root.stat(&kept)? {
                Some(stat) if looks.looks_like(stat) => {
                    root.remove_file_if_there(&second)?;
                    root.hard_link(&kept, &second)?;
                    put(root, journal, path.as_ref(), &second, *to)?;
                }
                // It was put there before somebody emptied the trash.
                None if root.stat(path)?.is_some_and(|stat| looks.looks_like(stat)) => {}
                Some(_) | None => return Err(changed_meanwhile(from.as_str())),
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
        let kept = free_place(root, journal, to)?;
        if !(journal.links && root.hard_link(path, &kept).is_ok()) {
            root.rename(path, &kept).map_err(|e| refused(e, path))?;
        }
        root.sync_dir(journal.folder())?;
    }
    // Windows denies access to what is in use; whether it is that, only another question tells.
    let is_in_use = |e: &FsError| e.kind() == FaultKind::FileInUse;
    let cause = |e| root.check_replaceable(path).err().filter(is_in_use).unwrap_or(e);
    root.place(from, path).map_err(|e| refused(cause(e), path))?;
    Ok(())
}

/// Whether something comes out of the trash to the place of a folder, or of one that it lies in.
fn comes_back_to(journal: &Journal, folder: &str) -> bool {
    journal.steps.iter().any(|step| match step {
        Step::Restore { path, .. } => with_ancestors(folder).any(|folder| folder == path),
        Step::Remove { .. }
        | Step::Clear { .. }
        | Step::Prune { .. }
        | Step::MakeDir { .. }
        | Step::Link { .. }
        | Step::Put { .. } => false,
    })
}

/// Makes a folder and those it lies in. A file or link in their place goes to the trash.
fn make_dir(root: &Root, journal: &Journal, path: &str, to: u32) -> Result<(), Fault> {
    let mut folders: Vec<&str> = ancestors(path).collect();
    folders.reverse();
    folders.push(path);
    for folder in folders {
        if root.stat(folder)?.is_some_and(|stat| stat.kind != Kind::Dir) {
            let kept = free_place(root, journal, to)?;
            root.rename(folder, kept).map_err(|e| refused(e, Path::new(folder)))?;
        }
    }
    root.create_dir_all(path)?;
    Ok(())
}

/// A place in the trash for a step's file where nothing lies yet.
fn free_place(root: &Root, journal: &Journal, to: u32) -> Result<String, FsError> {
    let places = std::iter::once(journal.kept(to)).chain(journal.kept_newcomers(to));
    for place in places {
        if root.stat(&place)?.is_none() {
            return Ok(place);
        }
    }
    Ok(journal.kept(to))
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
        let lost = if let Some(staged) = root.stat(from)? {
            !looks.looks_like(staged)
        } else {
            let now = root.stat(path)?;
            let is_old =
                now.is_some() && (now == *was || root.same_file(path, journal.kept(*to))?);
            is_old && !now.is_some_and(|stat| looks.looks_like(stat))
        };
        if lost {
            return Ok(false);
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
            Step::Put { path, from, looks, was, to } => {
                let ours = root.stat(path)?.is_some_and(|stat| looks.looks_like(stat));
                let has_old = was.is_none() || root.stat(journal.kept(*to))?.is_some();
                if ours && has_old && root.stat(from)?.is_none() {
                    root.create_dir_all(parent(from))?;
                    root.rename(path, from)?;
                }
                put_back(root, &journal.kept(*to), path.as_ref())?;
            }
            Step::Link { path, kept, to, .. } => {
                if root.same_file(path, journal.kept(*kept))? {
                    root.remove_file_if_there(path)?;
                }
                put_back(root, &journal.kept(*to), path.as_ref())?;
            }
            Step::MakeDir { path, to, new } => {
                if *new || root.stat(journal.kept(*to))?.is_some() {
                    root.remove_dir_if_empty(path)?;
                }
                put_back(root, &journal.kept(*to), Path::new(path))?;
            }
            // Putting a file back makes the folders it needs, and what came out of the trash stays
            // where the user has it now.
            Step::Prune { .. } | Step::Restore { .. } => {}
        }
    }
    let touched = journal.steps.iter().map(|step| parent(target(step)).to_owned()).collect();
    sync_folders(root, journal, touched)?;
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
        root.place(kept, path)
    } else if root.same_file(kept, path)? {
        root.remove_file_if_there(kept)
    } else {
        Ok(())
    }
}

/// What a step changes.
fn target(step: &Step) -> &str {
    match step {
        Step::Remove { path, .. } | Step::Link { path, .. } | Step::Put { path, .. } => {
            path.as_str()
        }
        Step::Clear { path, .. }
        | Step::Prune { path }
        | Step::MakeDir { path, .. }
        | Step::Restore { path, .. } => path,
    }
}

fn changed_meanwhile(path: &str) -> Fault {
    let what = format!("`{path}` changed while ModSync worked");
    let hint = "A file changed while ModSync worked; close what writes there.";
    Fault::new(FaultKind::FolderChanged, what, hint)
}

/// A file that cannot be taken away is, as far as we can know, in use.
fn refused(e: FsError, path: &Path) -> Fault {
    if e.kind() != FaultKind::FileInUse {
        return e.into();
    }
    let what = format!("could not replace `{}`: the file is in use", path.display());
    Fault::new(FaultKind::FileInUse, what, hint(FaultKind::FileInUse))
}
