//! [`Glance`]: the names of what is in a folder, and a look at next to none of it.
//!
//! A check of a folder that is right needs no more: how long a file is shows when it is opened to be read. It does not
//! say what is wrong with a folder that is not.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::sync::Arc;

use super::is_ours;
use crate::disk::content::Live;
use crate::disk::fs::{Kind, Root, Stat};
use crate::disk::parts::in_parts;
use crate::disk::verify::{Cancel, Cancelled, verify_until_wrong};
use crate::model::fault::FaultKind;
use crate::model::manifest::{Entry, Manifest, PieceSet};
use crate::model::path::RelPath;

/// Names that a thread is started for.
const PART: usize = 10_000;
/// Files that a thread is started for to look at them.
const LOOKED_AT: usize = 1_000;

/// The paths of the files and links in a folder that can be named, our own part left out.
#[derive(Debug)]
pub struct Glance {
    paths: HashSet<String>,
}

/// What a check by a glance found.
#[derive(Debug)]
pub enum Glanced {
    /// Every file of the release, as it should be, and beside them these files and links.
    Whole { unnamed: BTreeMap<String, Stat> },
    /// Something is wrong, or it cannot be told that nothing is. The bytes of these pieces were right.
    Unsure { right: PieceSet },
}

impl Glance {
    /// `None` where the system does not tell of everything what it is, and for a walk that fails or is not wanted any
    /// more: the list says why. It is for a thread of its own, which steps back as far as the folder's pace says.
    pub fn at(root: &Root, cancel: &Cancel) -> Option<Self> {
        root.pace().1.take();
        let (mut paths, mut dirs) = (HashSet::new(), vec![String::new()]);
        let mut is_told = true;
        while let Some(dir) = dirs.pop() {
            let found = &mut |name: &OsStr, kind: Option<Kind>| {
                // A release names nothing that is not text, and nor does a report.
                let Some(name) = name.to_str().filter(|name| !is_ours(&dir, name)) else { return };
                match kind {
                    Some(Kind::File | Kind::Link) => drop(paths.insert(joined(&dir, name))),
                    Some(Kind::Dir) => dirs.push(joined(&dir, name)),
                    Some(Kind::Other) => {}
                    None => is_told = false,
                }
            };
            match root.each_kind(&dir, found) {
                // A release that needs something of it lacks that.
                Err(e) if e.kind() == FaultKind::AccessDenied && !dir.is_empty() => {}
                told => told.ok()?,
            }
            if !is_told || cancel.is_cancelled() {
                return None;
            }
        }
        Some(Self { paths })
    }

    /// Reads the files of a release until one is wrong. `progress` is told bytes, the sum so far.
    pub fn check(
        &self,
        root: &Arc<Root>,
        manifest: &Arc<Manifest>,
        cancel: &Cancel,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Glanced, Cancelled> {
        let is_there = self.has_names(root, manifest) && has_empty_files(root, manifest, cancel);
        if cancel.is_cancelled() {
            return Err(Cancelled);
        }
        if !is_there {
            return Ok(Glanced::Unsure { right: PieceSet::none(manifest.pieces.len()) });
        }
        let content = Live::new(Arc::clone(root), Arc::clone(manifest)).only_whole();
        let right = verify_until_wrong(manifest, &content, cancel, progress)?;
        let unnamed = if right.is_full() { self.unnamed(root, manifest, cancel) } else { None };
        Ok(unnamed.map_or(Glanced::Unsure { right }, |unnamed| Glanced::Whole { unnamed }))
    }

    /// Whether every name of a release is there, and spelled so.
    fn has_names(&self, root: &Root, manifest: &Manifest) -> bool {
        let is_there = |path: &RelPath| self.paths.contains(path.as_str());
        let are_there =
            |part: &[Entry]| part.iter().all(|entry| entry.path.as_ref().is_none_or(is_there));
        in_parts(&manifest.entries, PART, root.pace(), are_there).into_iter().all(|it| it)
    }

    /// What is there beside the files of a release, which all are. `None` where it cannot be looked at, or not any more.
    fn unnamed(
        &self,
        root: &Root,
        manifest: &Manifest,
        cancel: &Cancel,
    ) -> Option<BTreeMap<String, Stat>> {
        if self.paths.len() == manifest.files().count() {
            return Some(BTreeMap::new());
        }
        let names: HashSet<&str> = manifest.files().map(|(_, path, _)| path.as_str()).collect();
        let others = self.paths.iter().filter(|path| !names.contains(path.as_str()));
        let others: Vec<&String> = others.collect();
        let look = |path: &String| {
            let stat = root.stat(path).ok()?.filter(|_| !cancel.is_cancelled())?;
            matches!(stat.kind, Kind::File | Kind::Link).then(|| (path.clone(), stat))
        };
        let looks =
            |part: &[&String]| -> Option<Vec<_>> { part.iter().map(|path| look(path)).collect() };
        let looked_at = in_parts(&others, LOOKED_AT, root.pace(), looks);
        Some(looked_at.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// Whether the files are there that no piece has a byte of.
fn has_empty_files(root: &Root, manifest: &Manifest, cancel: &Cancel) -> bool {
    let files = manifest.files().filter(|(_, _, length)| *length == 0);
    let files: Vec<&RelPath> = files.map(|(_, path, _)| path).collect();
    let is_empty = |path: &&RelPath| {
        let is_empty = |stat: Stat| stat.is_file() && stat.length == 0;
        !cancel.is_cancelled() && root.stat(path).is_ok_and(|stat| stat.is_some_and(is_empty))
    };
    let are_empty = |part: &[&RelPath]| part.iter().all(is_empty);
    in_parts(&files, LOOKED_AT, root.pace(), are_empty).into_iter().all(|it| it)
}

fn joined(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { [dir, "/", name].concat() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sha1::{Digest, Sha1};

    use super::*;
    use crate::model::manifest::tests::manifest;

    /// As `LONGFI~1.TXT` does on disks of Windows, and as one of two forms of an accent does elsewhere.
    #[test]
    fn a_name_that_is_not_listed_is_not_there_though_it_leads_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f0"), [7; 100]).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let mut release = manifest(100, &[100]);
        release.pieces = vec![Sha1::digest([7; 100]).into()];
        let release = Arc::new(release);
        let check = |listed: &str| {
            let glance = Glance { paths: HashSet::from([listed.to_owned()]) };
            glance.check(&root, &release, &Cancel::default(), &|_| {}).unwrap()
        };
        assert!(matches!(check("f0"), Glanced::Whole { unnamed } if unnamed.is_empty()));
        assert!(
            matches!(check("f with a long name"), Glanced::Unsure { right } if right.count() == 0)
        );
    }
}
