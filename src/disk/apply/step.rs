//! [`Steps`]: one step of a journal, taken or taken back. Either can be done again after a crash without harm.
//!
//! Nothing is overwritten or removed that is not kept, be it put there between a look and a change: what goes is first
//! given another name, where nobody else changes it, and looked at there. A file that is replaced where names cannot be
//! exchanged is looked at before: what is put there in the moment that follows is not kept.

use std::path::Path;

use crate::disk::fs::{FsError, Kind, Root, hint};
use crate::disk::journal::{Journal, Step};
use crate::disk::trash;
use crate::model::fault::{Fault, FaultKind};
use crate::model::path::{ancestors, parent, with_ancestors};

/// How often something may appear in the place of a file that is about to be put there.
const ATTEMPTS: usize = 4;

/// The steps of a journal in its folder.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    pub root: &'a Root,
    pub journal: &'a Journal,
    /// Whether one of them may have been cut off before.
    pub again: bool,
}

impl Steps<'_> {
    pub fn take(self, step: &Step) -> Result<(), Fault> {
        let Self { root, journal, again } = self;
        match step {
            Step::Remove { path, was, to } => {
                let kept = journal.kept(*to);
                self.finish_removal(path.as_ref(), &kept, *to)?;
                match root.stat(path)? {
                    Some(stat) if was.looks_like(stat) => {
                        if root.same_file(path, &kept)? {
                            self.remove(path.as_ref(), &kept, *to)?;
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
                    if self.comes_back_to(path) {
                        return Err(refused(error, Path::new(path)));
                    }
                    tracing::debug!("an empty folder stays: {error}");
                }
            }
            Step::MakeDir { path, to, .. } => self.make_dir(path, *to)?,
            Step::Restore { path, from } => {
                if root.stat(from)?.is_some()
                    && root.stat(path)?.is_none()
                    && trash::has_room(root, path)?
                {
                    root.create_dir_all(parent(path))?;
                    root.place_new(from, path)?;
                }
            }
            Step::Link { path, from, kept, looks, to, .. } => {
                let (kept, second) = (journal.kept(*kept), format!("{}.link", journal.kept(*to)));
                if again {
                    self.finish_removal(path.as_ref(), &kept, *to)?;
                }
                if root.stat(&second)?.is_some() && !root.same_file(&second, &kept)? {
                    self.file_away(&second, *to)?;
                }
                if root.same_file(path, &kept)? {
                    return Ok(());
                }
                match root.stat(&kept)? {
                    Some(stat) if looks.looks_like(stat) => {
                        root.remove_file_if_there(&second)?;
                        root.hard_link(&kept, &second)?;
                        self.put(path.as_ref(), &second, *to)?;
                    }
                    // It was put there before somebody emptied the trash.
                    None if root.stat(path)?.is_some_and(|stat| looks.looks_like(stat)) => {}
                    Some(_) | None => return Err(changed_meanwhile(from.as_str())),
                }
            }
            Step::Put { path, from, looks, was, to } => {
                let from = &from.to_string();
                if again {
                    self.finish_removal(path.as_ref(), &journal.kept(*to), *to)?;
                    if root.same_file(from, path)? {
                        return Ok(root.remove_file_if_there(from)?);
                    }
                }
                if was.is_none() && self.put_new(path.as_ref(), from)? {
                    return Ok(());
                }
                match root.stat(from)? {
                    Some(stat) if looks.looks_like(stat) && !self.has(from, *to)? => {
                        self.put(path.as_ref(), from, *to)?;
                    }
                    Some(_) => self.file_away(from, *to)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    pub fn take_back(self, step: &Step) -> Result<(), Fault> {
        let Self { root, journal, .. } = self;
        match step {
            Step::Remove { path, to, .. } => {
                let kept = journal.kept(*to);
                self.finish_removal(path.as_ref(), &kept, *to)?;
                self.put_back(&kept, path.as_ref())?;
            }
            Step::Clear { path, to, .. } => self.put_back(&journal.kept(*to), Path::new(path))?,
            Step::Put { path, from, looks, was, to } => {
                let from = &from.to_string();
                let is_new = |at: &Path| -> Result<bool, FsError> {
                    Ok(root.stat(at)?.is_some_and(|stat| looks.looks_like(stat)))
                };
                self.finish_removal(path.as_ref(), &journal.kept(*to), *to)?;
                if root.same_file(from, path)? {
                    root.remove_file_if_there(from)?;
                }
                let is_put = is_new(path.as_ref())?;
                if root.stat(from)?.is_some() && (is_put || self.has(from, *to)?) {
                    self.file_away(from, *to)?;
                }
                let has_old = was.is_none() || root.stat(journal.kept(*to))?.is_some();
                if is_put && has_old && root.stat(from)?.is_none() {
                    root.create_dir_all(parent(from))?;
                    root.rename(path, from)?;
                    if !is_new(from.as_ref())? {
                        self.file_away(from, *to)?;
                    }
                }
                self.put_back(&journal.kept(*to), path.as_ref())?;
            }
            Step::Link { path, kept, to, .. } => {
                let kept = journal.kept(*kept);
                self.finish_removal(path.as_ref(), &kept, *to)?;
                if root.same_file(path, &kept)? {
                    self.remove(path.as_ref(), &kept, *to)?;
                }
                self.put_back(&journal.kept(*to), path.as_ref())?;
            }
            Step::MakeDir { path, to, new } => {
                if *new || root.stat(journal.kept(*to))?.is_some() {
                    root.remove_dir_if_empty(path)?;
                }
                self.put_back(&journal.kept(*to), Path::new(path))?;
            }
            // Putting a file back makes the folders it needs, and what came out of the trash stays
            // where the user has it now.
            Step::Prune { .. } | Step::Restore { .. } => {}
        }
        Ok(())
    }

    /// Puts new content where nothing stands, as most of it is put; whether that was so.
    fn put_new(self, path: &Path, from: &str) -> Result<bool, Fault> {
        match self.root.place_new(from, path) {
            // It was put before a crash.
            Err(_) if self.root.stat(from)?.is_none() => Ok(true),
            put => put.map_err(|e| refused(self.cause(e, path), path)),
        }
    }

    /// Windows denies access to what is in use; whether it is that, only another question tells.
    fn cause(self, error: FsError, path: &Path) -> FsError {
        let is_in_use = |e: &FsError| e.kind() == FaultKind::FileInUse;
        self.root.check_replaceable(path).err().filter(is_in_use).unwrap_or(error)
    }

    /// Puts new content in place. What stands there has a second name in the trash already, or gets one now.
    fn put(self, path: &Path, from: &str, to: u32) -> Result<(), Fault> {
        let Self { root, journal, .. } = self;
        let refused = |e| refused(self.cause(e, path), path);
        for _ in 0..ATTEMPTS {
            if root.stat(path)?.is_some() && !self.has(path, to)? {
                self.keep(path, to)?;
            }
            if root.stat(path)?.is_some() {
                match root.swap(from, path) {
                    Ok(true) => return Ok(self.file_away(from, to)?),
                    Ok(false) if !root.is_read_only(path)? => {
                        return root.place(from, path).map_err(refused);
                    }
                    // Windows lets a read-only file be moved away, and none take its place.
                    Ok(false) => {
                        let aside = journal.aside(to);
                        root.rename(path, &aside).map_err(refused)?;
                        let placed = root.place_new(from, path);
                        self.file_away(&aside, to)?;
                        if placed.map_err(refused)? {
                            return Ok(());
                        }
                        continue;
                    }
                    // Somebody took it away in this moment.
                    Err(_) if root.stat(path)?.is_none() => continue,
                    Err(e) => return Err(refused(e)),
                }
            }
            if root.place_new(from, path).map_err(refused)? {
                return Ok(());
            }
        }
        Err(changed_meanwhile(&path.to_string_lossy()))
    }

    /// Gives what stands in the way a name in the trash, a second one where that can be.
    fn keep(self, path: &Path, to: u32) -> Result<(), Fault> {
        let Self { root, journal, .. } = self;
        let kept = self.free_place(to)?;
        if !(journal.links && root.hard_link(path, &kept).is_ok()) {
            match root.rename(path, &kept) {
                // Somebody took it away in this moment.
                Err(_) if root.stat(path)?.is_none() => {}
                kept => kept.map_err(|e| refused(e, path))?,
            }
        }
        Ok(root.sync_dir(journal.folder())?)
    }

    /// Removes a file that is `kept`.
    fn remove(self, path: &Path, kept: &str, to: u32) -> Result<(), Fault> {
        self.root.rename(path, self.journal.aside(to)).map_err(|e| refused(e, path))?;
        Ok(self.finish_removal(path, kept, to)?)
    }

    /// Removes what was put aside for that, if it is `kept`. It goes back if it is something else, which came there
    /// meanwhile.
    fn finish_removal(self, path: &Path, kept: &str, to: u32) -> Result<(), FsError> {
        let aside = self.journal.aside(to);
        if self.root.stat(&aside)?.is_none() {
            return Ok(());
        }
        if self.root.same_file(&aside, kept)? {
            return self.root.remove_file_if_there(&aside);
        }
        match self.root.place_new(&aside, path) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => self.root.rename(&aside, self.free_place(to)?),
        }
    }

    /// Moves what a step found in a place of its own to the trash, if it is not there yet.
    fn file_away(self, found: &str, to: u32) -> Result<(), FsError> {
        if self.root.stat(found)?.is_some() && self.has(found, to)? {
            return self.root.remove_file_if_there(found);
        }
        self.root.rename(found, self.free_place(to)?)?;
        self.root.sync_dir(self.journal.folder())
    }

    /// Whether the trash has this file already, by a name of this step.
    fn has(self, file: impl AsRef<Path>, to: u32) -> Result<bool, FsError> {
        for place in self.places(to) {
            if self.root.stat(&place)?.is_none() {
                break;
            }
            if self.root.same_file(&file, &place)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A place in the trash for a step's file where nothing lies yet.
    fn free_place(self, to: u32) -> Result<String, FsError> {
        for place in self.places(to) {
            if self.root.stat(&place)?.is_none() {
                return Ok(place);
            }
        }
        Ok(self.journal.kept(to))
    }

    fn places(self, to: u32) -> impl Iterator<Item = String> {
        std::iter::once(self.journal.kept(to)).chain(self.journal.kept_newcomers(to))
    }

    /// Whether something comes out of the trash to the place of a folder, or of one that it lies in.
    fn comes_back_to(self, folder: &str) -> bool {
        self.journal.steps.iter().any(|step| match step {
            Step::Restore { path, .. } => with_ancestors(folder).any(|folder| folder == path),
            Step::Remove { .. }
            | Step::Clear { .. }
            | Step::Prune { .. }
            | Step::MakeDir { .. }
            | Step::Link { .. }
            | Step::Put { .. } => false,
        })
    }

    /// Makes a folder and those it lies in, for the caller to make durable. A file or link in their place goes to the
    /// trash.
    fn make_dir(self, path: &str, to: u32) -> Result<(), Fault> {
        let root = self.root;
        let mut folders: Vec<&str> = ancestors(path).collect();
        folders.reverse();
        folders.push(path);
        for _ in 0..ATTEMPTS {
            for folder in &folders {
                if root.stat(folder)?.is_some_and(|stat| stat.kind != Kind::Dir) {
                    let kept = self.free_place(to)?;
                    root.rename(folder, kept).map_err(|e| refused(e, Path::new(folder)))?;
                }
            }
            match root.create_dir_all_unsynced(path) {
                // Another one came there meanwhile.
                Err(e) if e.kind() == FaultKind::FolderChanged => {}
                made => return Ok(made?),
            }
        }
        Err(changed_meanwhile(path))
    }

    fn put_back(self, kept: &str, path: &Path) -> Result<(), FsError> {
        let root = self.root;
        if root.stat(kept)?.is_none() {
            return Ok(());
        }
        if root.stat(path)?.is_none() {
            if let Some(parent) = path.parent() {
                root.create_dir_all(parent)?;
            }
            root.place_new(kept, path).map(drop)
        } else if root.same_file(kept, path)? {
            root.remove_file_if_there(kept)
        } else {
            Ok(())
        }
    }
}

pub(super) fn changed_meanwhile(path: &str) -> Fault {
    let what = format!("`{path}` changed while ModSync worked");
    Fault::new(FaultKind::FolderChanged, what, hint(FaultKind::FolderChanged))
}

/// A file that cannot be taken away is, as far as we can know, in use.
pub(super) fn refused(e: FsError, path: &Path) -> Fault {
    if e.kind() != FaultKind::FileInUse {
        return e.into();
    }
    let what = format!("could not replace `{}`: the file is in use", path.display());
    Fault::new(FaultKind::FileInUse, what, hint(FaultKind::FileInUse))
}
