//! PURE: the names of a release, and [`Places`]: what stands in a folder where they lead.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::fs::{Kind, Stat};
use super::inventory::Inventory;
use super::pace::Pace;
use super::parts::in_parts;
use crate::model::manifest::{EntryIndex, Manifest};
use crate::model::path::RelPath;

/// Files that a thread is started for.
const PART: usize = 10_000;

/// The names of a release's files, as a folder tells names apart.
#[derive(Debug)]
pub struct Names<'a> {
    manifest: &'a Manifest,
    inventory: &'a Inventory,
    /// Each by its key.
    entries: HashMap<Cow<'a, str>, EntryIndex>,
}

/// What of a folder stands in the places of a release's entries, and what does not.
#[derive(Debug, Clone)]
pub struct Places {
    /// The file in the place of each entry.
    files: Vec<Option<Stat>>,
    /// What stands in the place of a file and is none.
    pub obstacles: BTreeMap<String, Kind>,
    /// Files and links in no place of the release's.
    pub unnamed: BTreeMap<String, Stat>,
}

impl<'a> Names<'a> {
    pub fn of(manifest: &'a Manifest, inventory: &'a Inventory) -> Self {
        let mut entries = HashMap::with_capacity(manifest.entries.len());
        let files = manifest.files();
        entries.extend(files.map(|(entry, path, _)| (inventory.key(path.as_str()), entry)));
        Self { manifest, inventory, entries }
    }

    pub fn contains(&self, path: &str) -> bool {
        self.entry(path).is_some()
    }

    /// What stands where they lead, found by so many threads.
    pub fn places(&self, pace: (usize, Pace)) -> Places {
        let mut places = Places::of_nothing(self.manifest);
        let files: Vec<_> = self.inventory.files.iter().collect();
        let look_up = |part: &[(&RelPath, &Stat)]| -> Vec<_> {
            part.iter().map(|(path, _)| self.entry(path.as_str())).collect()
        };
        let entries = in_parts(&files, PART, pace, look_up).into_iter().flatten();
        for ((path, stat), entry) in files.iter().copied().zip(entries) {
            match entry {
                Some(entry) if self.leads_to(entry, path) => places.files[entry] = Some(*stat),
                Some(_) => {}
                None => drop(places.unnamed.insert(path.to_string(), *stat)),
            }
        }
        let dirs = self.inventory.dirs.iter().map(|dir| (dir, Kind::Dir));
        let others = self.inventory.others.iter().map(|(path, other)| (path, other.stat.kind));
        let in_the_way = dirs
            .chain(others)
            .filter(|(path, _)| self.entry(path).is_some_and(|entry| self.is_spelled(entry, path)));
        places.obstacles.extend(in_the_way.map(|(path, kind)| (path.clone(), kind)));
        let unnamed = self.inventory.others.iter().filter(|(path, other)| {
            other.can_be_named && other.stat.kind != Kind::Other && !self.contains(path)
        });
        places.unnamed.extend(unnamed.map(|(path, other)| (path.clone(), other.stat)));
        places
    }

    fn entry(&self, path: &str) -> Option<EntryIndex> {
        self.entries.get(&self.inventory.key(path)).copied()
    }

    /// Whether this is the file that an entry's name leads to, of those with the same key: see [`Inventory::find`].
    fn leads_to(&self, entry: EntryIndex, path: &RelPath) -> bool {
        let is_there = |name: &RelPath| self.inventory.files.contains_key(name);
        self.inventory.folded.is_none()
            || self.is_spelled(entry, path.as_str())
            || !self.manifest.entries[entry].path.as_ref().is_some_and(is_there)
    }

    /// Whether an entry is written just so.
    fn is_spelled(&self, entry: EntryIndex, path: &str) -> bool {
        let name = self.manifest.entries[entry].path.as_ref();
        name.is_some_and(|name| name.as_str() == path)
    }
}

impl Places {
    /// Those in a folder that is empty, or not there.
    pub fn of_nothing(manifest: &Manifest) -> Self {
        let files = vec![None; manifest.entries.len()];
        Self { files, obstacles: BTreeMap::new(), unnamed: BTreeMap::new() }
    }

    /// The file that stands in the place of an entry.
    pub fn at(&self, entry: EntryIndex) -> Option<Stat> {
        self.files.get(entry).copied().flatten()
    }
}
