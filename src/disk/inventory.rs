//! [`Inventory`]: what is in the folder, and which pieces of a release are already right.
//!
//! Looking changes nothing: no byte, no time. Links are seen and never followed.

mod glance;
mod walk;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::Live;
use super::fs::{FsError, Root, Stat};
use super::layout::OWN_FOLDER;
use super::names::{Names, Places};
use super::reuse::{Recipes, Sources, search};
use super::staging::Staging;
use super::superseded::Superseded;
use super::verify::{Cancel, Cancelled, verify};
use crate::model::fault::FaultKind;
use crate::model::manifest::{Entry, EntryIndex, Manifest, PieceSet};
use crate::model::path::{RelPath, fold};

pub use glance::{Glance, Glanced};
pub use walk::list;

/// What is in the folder, our own part of it left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Files whose name a release could have.
    pub files: BTreeMap<RelPath, Stat>,
    /// Links, devices, and files with names that no release could have. A name that is not UTF-8 has
    /// its odd bytes replaced here, so it can be shown and not be opened.
    pub others: BTreeMap<String, Other>,
    pub dirs: BTreeSet<String>,
    /// Folders that we may not look into.
    pub closed: BTreeSet<String>,
    /// Set where `a` and `A` are one file: the files again, by what their names fold to.
    pub folded: Option<BTreeMap<String, RelPath>>,
}

/// Something in the folder that no release could name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    pub stat: Stat,
    /// Whether its name is UTF-8, so that we can name it in a journal.
    pub can_be_named: bool,
}

/// An inventory, and what of a release is already there.
#[derive(Debug, Clone)]
pub struct Scan {
    pub inventory: Inventory,
    pub places: Places,
    /// Pieces that the folder has.
    pub live: PieceSet,
    /// Pieces that are not in the folder and complete in staging.
    pub staged: PieceSet,
    /// Bytes that files in staging take on the disk already.
    pub begun: BTreeMap<EntryIndex, u64>,
    /// Pieces that are in neither and lie somewhere else on this machine.
    pub elsewhere: Recipes,
}

impl Scan {
    /// The scan of a folder that does not exist yet.
    pub fn of_nothing(manifest: &Manifest) -> Self {
        let (live, staged) =
            (PieceSet::none(manifest.pieces.len()), PieceSet::none(manifest.pieces.len()));
        Self {
            inventory: Inventory::default(),
            places: Places::of_nothing(manifest),
            live,
            staged,
            begun: BTreeMap::new(),
            elsewhere: Recipes::default(),
        }
    }

    /// Whether every file of the release stands in its place, as it should be.
    pub fn is_all_right(&self, manifest: &Manifest) -> bool {
        let is_there = |(entry, _, length): (EntryIndex, &RelPath, u64)| {
            self.places.at(entry).is_some_and(|stat| stat.length == length)
        };
        self.live.is_full() && manifest.files().all(is_there)
    }

    /// The same, counting what lies in staging for other releases as staged for this one.
    pub fn and_superseded(
        mut self,
        superseded: &Superseded,
        manifest: &Manifest,
        cancel: &Cancel,
    ) -> Result<Self, Cancelled> {
        let lacking = self.live.missing_from_both(&self.staged);
        if !superseded.is_empty() && lacking.count() > 0 {
            let found = verify(manifest, &lacking, superseded, cancel, &|_| {})?;
            found.iter().for_each(|piece| self.staged.insert(piece));
        }
        Ok(self)
    }

    /// The same, having looked for what is not there in the folder's trash and in other folders.
    pub fn and_elsewhere(
        mut self,
        root: Option<&Root>,
        others: &[Root],
        manifest: &Manifest,
        cancel: &Cancel,
    ) -> Result<Self, ScanError> {
        let lacking = self.live.missing_from_both(&self.staged);
        if lacking.count() == 0 {
            return Ok(self);
        }
        let mut sources = match root {
            Some(root) => Sources::of_pack(root, &self.inventory),
            None => Sources::default(),
        };
        if let Some(root) = root {
            sources.add_trash(root);
        }
        for other in others {
            match list(other, cancel) {
                Ok(inventory) => sources.add_folder(other, &inventory),
                Err(ScanError::Cancelled(cancelled)) => return Err(cancelled.into()),
                Err(error) => tracing::debug!("looking elsewhere: {error}"),
            }
        }
        self.elsewhere = search(manifest, &lacking, Arc::new(sources), cancel)?;
        Ok(self)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Inventory {
    /// The file that `path` names here, whatever its case where case does not count.
    pub fn find(&self, path: &str) -> Option<Stat> {
        if let Some(stat) = self.files.get(path) {
            return Some(*stat);
        }
        let real = self.folded.as_ref()?.get(&fold(path))?;
        self.files.get(real).copied()
    }

    /// What two names must share to be one file here.
    pub fn key<'p>(&self, path: &'p str) -> Cow<'p, str> {
        if self.folded.is_some() { Cow::Owned(fold(path)) } else { Cow::Borrowed(path) }
    }
}

/// Whether something that lies directly in a folder is our own part.
fn is_ours(dir: &str, name: &str) -> bool {
    dir.is_empty() && fold(name) == OWN_FOLDER
}

/// Hashes what of the folder could be part of the release, but for the pieces that are `trusted`.
pub fn scan(
    inventory: Inventory,
    root: &Arc<Root>,
    manifest: &Arc<Manifest>,
    trusted: &PieceSet,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Scan, ScanError> {
    let needed =
        |dir: &&String| manifest.files().any(|(_, path, _)| path.ancestors().any(|a| a == *dir));
    if let Some(closed) = inventory.closed.iter().find(needed) {
        root.list(closed)?;
    }
    let places = Names::of(manifest, &inventory).places(root.pace());
    let candidates = candidates(manifest, &places);
    let trusted = candidates.in_both(trusted);
    let content = Live::new(Arc::clone(root), Arc::clone(manifest));
    let mut live = verify(manifest, &candidates.without(&trusted), &content, cancel, progress)?;
    trusted.iter().for_each(|piece| live.insert(piece));
    check_readable(root, manifest, &candidates, &live)?;
    let (staged, begun) = match Staging::existing(Arc::clone(root), Arc::clone(manifest))? {
        Some(staging) => {
            let missing = PieceSet::none(manifest.pieces.len()).missing_from_both(&live);
            (verify(manifest, &missing, &staging, cancel, &|_| {})?, staging.begun()?)
        }
        None => (PieceSet::none(manifest.pieces.len()), BTreeMap::new()),
    };
    Ok(Scan { inventory, places, live, staged, begun, elsewhere: Recipes::default() })
}

/// Fails for a file that we cannot read: it is not known to be wrong.
fn check_readable(
    root: &Root,
    manifest: &Manifest,
    candidates: &PieceSet,
    live: &PieceSet,
) -> Result<(), FsError> {
    let looks_wrong = |piece| candidates.contains(piece) && !live.contains(piece);
    for (entry, path, _) in manifest.files() {
        if manifest.pieces_of(entry).any(looks_wrong)
            && let Err(e) = root.open_file(path)
            && matches!(e.kind(), FaultKind::FileInUse | FaultKind::AccessDenied)
        {
            return Err(e);
        }
    }
    Ok(())
}

/// Pieces whose files are all there and long enough: only these are worth reading.
fn candidates(manifest: &Manifest, places: &Places) -> PieceSet {
    let length = |(nth, entry): (EntryIndex, &Entry)| match &entry.path {
        Some(_) => places.at(nth).map_or(0, |stat| stat.length),
        None => entry.length,
    };
    let lengths: Vec<u64> = manifest.entries.iter().enumerate().map(length).collect();
    let mut candidates = PieceSet::none(manifest.pieces.len());
    (0..manifest.pieces.len())
        .filter(|&piece| manifest.spans(piece).all(|s| s.offset + s.length <= lengths[s.entry]))
        .for_each(|piece| candidates.insert(piece));
    candidates
}
