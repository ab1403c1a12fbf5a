//! [`list`]: walks a folder, one level after the other, and looks into several folders at once.

use std::ffi::OsStr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use super::{Inventory, Other, ScanError, is_ours};
use crate::disk::fs::{FsError, Kind, Root, Stat};
use crate::disk::layout::OWN_FOLDER;
use crate::disk::pace::Pace;
use crate::disk::verify::{Cancel, Cancelled};
use crate::model::fault::FaultKind;
use crate::model::path::RelPath;

/// Lists the folder.
pub fn list(root: &Root, cancel: &Cancel) -> Result<Inventory, ScanError> {
    let mut inventory = Inventory::default();
    // A map is made soonest of what is nearly in order.
    let mut files = Vec::new();
    let mut level = vec![String::new()];
    let pace = root.pace();
    while !level.is_empty() {
        let listed = look_into_all(root, &level, pace, cancel)?;
        let mut inside = Vec::new();
        for (dir, listed) in level.iter().zip(listed) {
            match listed {
                Some(listed) => {
                    files.extend(listed.files);
                    inventory.others.extend(listed.others);
                    inside.extend(listed.dirs);
                }
                None => drop(inventory.closed.insert(dir.clone())),
            }
        }
        inside.sort_unstable();
        inventory.dirs.extend(inside.iter().cloned());
        level = inside;
    }
    inventory.files = files.into_iter().collect();
    let ignores_case = root.ignores_case(OWN_FOLDER)
        || inventory.files.keys().next().is_some_and(|path| root.ignores_case(path.as_str()));
    if ignores_case {
        let folded = inventory.files.keys().map(|path| (path.fold_key(), path.clone()));
        inventory.folded = Some(folded.collect());
    }
    Ok(inventory)
}

/// What lies in each of these folders, in their order: `None` for one that may not be looked into. Of several failures
/// it is the first, whoever was faster: no folder is looked into before those that stand before it.
fn look_into_all(
    root: &Root,
    dirs: &[String],
    (threads, pace): (usize, Pace),
    cancel: &Cancel,
) -> Result<Vec<Option<Listed>>, ScanError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while !cancel.is_cancelled() {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(dir) = dirs.get(nth) else { break };
            let listed = look_into(root, dir);
            if listed.is_err() {
                next.store(dirs.len(), Ordering::Relaxed);
            }
            found.push((nth, listed));
        }
        found
    };
    let mut found = std::thread::scope(|scope| {
        // Who has stepped back cannot step forward again: the calling thread waits.
        let work = || {
            pace.take();
            work()
        };
        let threads: Vec<_> = (0..threads.min(dirs.len())).map(|_| scope.spawn(work)).collect();
        let found = threads.into_iter().map(ScopedJoinHandle::join);
        found
            .flat_map(|found| found.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    if cancel.is_cancelled() {
        return Err(Cancelled.into());
    }
    found.sort_unstable_by_key(|(nth, _)| *nth);
    Ok(found.into_iter().map(|(_, listed)| listed).collect::<Result<_, _>>()?)
}

/// What lies directly in one folder.
struct Listed {
    /// The path of what was added last.
    path: String,
    /// How much of that all have in common, in bytes.
    prefix: usize,
    files: Vec<(RelPath, Stat)>,
    others: Vec<(String, Other)>,
    dirs: Vec<String>,
}

/// `None`: it may not be looked into.
fn look_into(root: &Root, dir: &str) -> Result<Option<Listed>, FsError> {
    let mut listed = Listed::of(dir);
    let told = root.each(dir, &mut |name, stat| listed.add(name, stat));
    listed.files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    match told {
        // What may not be read is not ours to judge, as long as the release needs nothing of it.
        Err(e) if e.kind() == FaultKind::AccessDenied && !dir.is_empty() => Ok(None),
        told => told.map(|()| Some(listed)),
    }
}

impl Listed {
    fn of(dir: &str) -> Self {
        let path = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let (files, others, dirs) = (Vec::new(), Vec::new(), Vec::new());
        Self { prefix: path.len(), path, files, others, dirs }
    }

    fn add(&mut self, name: &OsStr, stat: Stat) {
        let shown = name.to_string_lossy();
        self.path.truncate(self.prefix);
        if is_ours(&self.path, &shown) {
            return;
        }
        self.path.push_str(&shown);
        let can_be_named = name.to_str().is_some();
        match (stat.kind, RelPath::new(&self.path)) {
            (Kind::Dir, _) if can_be_named => self.dirs.push(self.path.clone()),
            (Kind::File, Ok(path)) if can_be_named => self.files.push((path, stat)),
            _ => self.others.push((self.path.clone(), Other { stat, can_be_named })),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::num::NonZero;

    use super::*;

    #[test]
    fn however_many_look_they_find_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for nth in 0..40 {
            let folder = dir.path().join(format!("{}/{}", nth % 3, nth));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("a"), "a").unwrap();
            fs::write(folder.join("no name for a release."), "b").unwrap();
        }
        fs::create_dir(dir.path().join(OWN_FOLDER)).unwrap();
        let list = |readers| {
            let root = Root::open(dir.path()).unwrap();
            root.set_pace(Pace { readers: NonZero::new(readers), is_gentle: false });
            list(&root, &Cancel::default()).unwrap()
        };
        let found = list(1);
        assert_eq!((found.files.len(), found.others.len(), found.dirs.len()), (40, 40, 43));
        assert_eq!((list(2), list(7)), (found.clone(), found));
    }

    #[test]
    fn a_walk_that_is_not_wanted_any_more_ends() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let listed = list(&Root::open(dir.path()).unwrap(), &cancel);
        assert!(matches!(listed, Err(ScanError::Cancelled(Cancelled))));
    }
}
