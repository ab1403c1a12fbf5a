//! A finished journal → the steps that take it back.
//!
//! It asks what stands where and changes nothing; `apply` carries the steps out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::baseline::{Baseline, Installed};
use super::fs::{FsError, Stat};
use super::journal::{Journal, Step, make_dirs, numbers, prunes};
use super::numbered::Numbered;
use crate::model::path::RelPath;

/// What a rollback is made from.
#[allow(missing_debug_implementations)]
pub struct Given<'a> {
    pub done: &'a Journal,
    /// What is installed now, after `done` and perhaps repairs.
    pub current: &'a Baseline,
    /// What was installed before `done`.
    pub previous: &'a Baseline,
    /// What stands at a path.
    pub look: &'a dyn Fn(&str) -> Result<Option<Stat>, FsError>,
    /// Whether a file stays as it is, being an edit of the user's that is kept.
    pub stays: &'a dyn Fn(&RelPath, Stat) -> bool,
}

/// The steps, and the baseline that holds after them. `None` when the trash no longer has all files.
pub fn rollback(given: &Given<'_>) -> Result<Option<(Vec<Step>, Baseline)>, FsError> {
    let mut next = numbers();
    let trash: Arc<str> = given.done.folder().into();
    // A folder that a release has there by now is no edit.
    let stays = |path: &RelPath, now: Option<Stat>| {
        now.is_some_and(|stat| stat.is_file() && (given.stays)(path, stat))
    };
    let (mut removes, mut clears) = (Vec::new(), Vec::new());
    let (mut restores, mut puts) = (Vec::new(), Vec::new());
    for step in &given.done.steps {
        match step {
            Step::Put { path, was: None, to, .. } | Step::Link { path, was: None, to, .. }
                if (given.look)(&given.done.kept(*to))?.is_none() =>
            {
                let now = (given.look)(path.as_str())?;
                // What was edited since is the user's and stays as an extra.
                let was = given
                    .current
                    .files
                    .get(path)
                    .filter(|was| now.is_some_and(|n| was.looks_like(n)));
                if let (Some(was), false) = (was, stays(path, now)) {
                    removes
                        .push((path, Step::Remove { path: path.clone(), was: *was, to: next() }));
                }
            }
            Step::Put { path, to, .. }
            | Step::Link { path, to, .. }
            | Step::Remove { path, to, .. } => {
                let now = (given.look)(path.as_str())?;
                if stays(path, now) {
                    continue;
                }
                let from = Numbered::new(&trash, *to as usize);
                let is_remove = matches!(step, Step::Remove { .. });
                match (given.look)(&from.to_string())? {
                    // It got a second name, and somebody changed it under that one.
                    Some(kept) if matches!(step, Step::Remove { was, .. } if !was.looks_like(kept)) =>
                    {
                        return Ok(None);
                    }
                    Some(kept) => {
                        // What is left of a folder, or a link, gives way to the file it replaced.
                        if let Some(now) = now.filter(|now| !now.is_file()) {
                            let (path, kind) = (path.to_string(), now.kind);
                            clears.push(Step::Clear { path, kind, length: 0, to: next() });
                        }
                        let (looks, was) = (Installed::from(kept), now.filter(|now| now.is_file()));
                        let to = next();
                        puts.push((path, Step::Put { path: path.clone(), from, looks, was, to }));
                    }
                    // It was put back from the trash already.
                    None if is_remove && now.is_some() => {}
                    None => return Ok(None),
                }
            }
            Step::Clear { path, to, .. } => {
                restores.push(Step::Restore { path: path.clone(), from: given.done.kept(*to) });
            }
            Step::Prune { .. } | Step::MakeDir { .. } | Step::Restore { .. } => {}
        }
    }
    let next_baseline = baseline_after(given, puts.iter().map(|(path, _)| *path));
    let prunes = prunes(removes.iter().map(|(path, _)| path.as_str()));
    let mut new_folders = BTreeSet::new();
    for folder in puts.iter().flat_map(|(path, _)| path.ancestors()) {
        if (given.look)(folder)?.is_none() {
            new_folders.insert(folder);
        }
    }
    let is_new = |folder: &str| new_folders.contains(folder);
    let dirs = make_dirs(puts.iter().map(|(path, _)| *path), is_new, &mut next);
    let steps = removes
        .into_iter()
        .map(|(_, step)| step)
        .chain(prunes)
        .chain(clears)
        .chain(restores)
        .chain(dirs);
    Ok(Some((steps.chain(puts.into_iter().map(|(_, step)| step)).collect(), next_baseline)))
}

/// The former baseline; files that were repaired since look as they do now.
fn baseline_after<'a>(given: &Given<'_>, put: impl Iterator<Item = &'a RelPath>) -> Baseline {
    let put: BTreeSet<&RelPath> = put.collect();
    let mut baseline = given.previous.clone();
    for (path, installed) in &mut baseline.files {
        if let Some(now) = given.current.files.get(path).filter(|_| !put.contains(path)) {
            *installed = *now;
        }
    }
    let from = given.current.went_back_from.clone();
    baseline.went_back_from = Some(from.unwrap_or_else(|| given.current.release.clone()));
    baseline
}
