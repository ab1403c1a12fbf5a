//! A plan whose pieces have all arrived → [`Staged`].
//!
//! [`Staged`] can only be made here, where every piece of the new content is hashed once more, but for those that
//! were right in memory when they were written, into files that look as they were left. Of these the disk itself has
//! to say that it took all of them, where it can.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::arrived::Arrived;
use super::baseline::Installed;
use super::content::{Live, Pool};
use super::fs::{FsError, Stat, read_exact_at};
use super::numbered::Numbered;
use super::pace::Pace;
use super::plan::{Action, Plan};
use super::staging::Staging;
use super::verify::{Cancel, Cancelled, Content, verify};
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{Entry, EntryIndex, Manifest, PieceSet};
use crate::model::path::RelPath;

/// Bytes copied at once.
const BUFFER: usize = 1 << 20;

/// New content, all of it verified and durable. Only this can be applied.
#[derive(Debug)]
pub struct Staged {
    /// By path, in the order they are put.
    pub files: BTreeMap<RelPath, StagedFile>,
    /// Files that need nothing but another name, by the new one.
    pub moved: BTreeMap<RelPath, MovedFile>,
    /// Files that turned out to be right as they are.
    pub unchanged: BTreeMap<RelPath, Stat>,
}

/// One file ready to be put in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// Where it lies, below the pack's folder.
    pub from: Numbered,
    pub looks: Installed,
    /// What the plan saw in its place.
    pub replaces: Option<Stat>,
}

/// One file of the folder that is to have another path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedFile {
    pub from: RelPath,
    pub looks: Installed,
    /// What the plan saw in its new place.
    pub replaces: Option<Stat>,
}

/// Which entries are to be moved, and from where.
pub type Moves = BTreeMap<EntryIndex, RelPath>;

#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("{0} of the pieces needed for the new files are not as they should be")]
    NotRight(usize),
}

impl From<CompleteError> for Fault {
    fn from(error: CompleteError) -> Self {
        match error {
            CompleteError::Fs(e) => e.into(),
            CompleteError::Cancelled(_) => Self::cancelled(),
            CompleteError::NotRight(_) => Self::new(
                FaultKind::FolderChanged,
                format!("could not complete the new files: {error}"),
                "A file changed while ModSync worked; close what writes there.",
            ),
        }
    }
}

/// Completes the new content of a plan whose missing pieces have all `arrived`, verifies it and makes
/// it durable. `progress` is told the bytes verified so far.
pub fn complete(
    plan: &Plan,
    moves: &Moves,
    staging: &Staging,
    arrived: &Arrived,
    cancel: &Cancel,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Staged, CompleteError> {
    let manifest = &staging.manifest;
    let live = Live::new(Arc::clone(&staging.root), Arc::clone(manifest));
    let former = Pool::default();
    let completion = Completion { plan, moves, manifest, staging, live: &live, former, cancel };
    let (replaced, unchanged) = completion.tell_apart()?;
    completion.check_room(&replaced)?;
    // Before anything is written beside them.
    let known = completion.known_right(arrived)?;
    for &entry in replaced.keys().filter(|entry| !moves.contains_key(entry)) {
        completion.fill(entry)?;
    }
    completion.check(&replaced, &known, progress)?;
    let (renamed, new): (Replaced, Replaced) =
        replaced.into_iter().partition(|(entry, _)| moves.contains_key(entry));
    let sealed = completion.seal(&new, known.count() > 0)?;
    let files = new
        .into_iter()
        .zip(sealed)
        .filter_map(|((entry, replaces), looks)| {
            let path = manifest.entries[entry].path.clone()?;
            Some((path, StagedFile { from: staging.file(entry), looks, replaces }))
        })
        .collect();
    let unchanged = unchanged
        .into_iter()
        .filter_map(|(entry, stat)| Some((manifest.entries[entry].path.clone()?, stat)))
        .collect();
    Ok(Staged { files, moved: completion.moved(renamed)?, unchanged })
}

struct Completion<'a> {
    plan: &'a Plan,
    moves: &'a Moves,
    manifest: &'a Manifest,
    staging: &'a Staging,
    live: &'a Live,
    /// Files that are to be moved.
    former: Pool,
    cancel: &'a Cancel,
}

type Replaced = BTreeMap<EntryIndex, Option<Stat>>;

impl Completion<'_> {
    /// The files that get new content, and those whose bytes turned out to be right already.
    fn tell_apart(&self) -> Result<(Replaced, BTreeMap<EntryIndex, Stat>), CompleteError> {
        let mut replaced = Replaced::new();
        let mut unchanged = BTreeMap::new();
        for (&entry, action) in &self.plan.actions {
            let stat = action.found();
            let same_length = stat
                .filter(|stat| stat.length == self.manifest.entries[entry].length)
                .filter(|_| !self.moves.contains_key(&entry));
            match same_length {
                Some(stat) if self.is_same(entry)? => {
                    unchanged.insert(entry, stat);
                }
                _ => {
                    replaced.insert(entry, stat);
                }
            }
        }
        Ok((replaced, unchanged))
    }

    /// Fails while nothing is written if there is no room for the files that turned out to need new content: nobody
    /// could know before.
    fn check_room(&self, replaced: &Replaced) -> Result<(), FsError> {
        let is_news =
            |entry: &&EntryIndex| matches!(self.plan.actions.get(entry), Some(Action::Compare(_)));
        let length = |entry: &EntryIndex| self.manifest.entries[*entry].length;
        let news = || replaced.keys().filter(is_news);
        let needed: u64 = news().map(length).sum();
        let available = self.staging.root.available_space()?;
        let has_room = available >= needed || {
            let begun = self.staging.begun()?;
            let begun: u64 = news().filter_map(|entry| begun.get(entry)).sum();
            available >= needed.saturating_sub(begun)
        };
        if !has_room {
            let path = self.staging.root.path().join(&self.staging.folder);
            let source = io::ErrorKind::StorageFull.into();
            return Err(FsError { verb: "complete the new files in", path, source });
        }
        Ok(())
    }

    /// Whether the pieces that arrived have the bytes the live file has already.
    fn is_same(&self, entry: EntryIndex) -> Result<bool, CompleteError> {
        let (mut new, mut old) = (vec![0; BUFFER], vec![0; BUFFER]);
        for (offset, size) in self.blocks(entry, |piece| self.plan.wanted.contains(piece)) {
            self.go_on()?;
            let (new, old) = (&mut new[..size], &mut old[..size]);
            if self.staging.read_at(entry, offset, new).is_err() {
                return Err(CompleteError::NotRight(1));
            }
            if self.live.read_at(entry, offset, old).is_err() || new != old {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies what is right in the live file around the pieces that arrived.
    fn fill(&self, entry: EntryIndex) -> Result<(), CompleteError> {
        let length = self.manifest.entries[entry].length;
        let mut blocks = self.blocks(entry, |piece| !self.plan.wanted.contains(piece)).peekable();
        if blocks.peek().is_none() && length > 0 {
            return Ok(());
        }
        if self.shares(entry)? {
            return Ok(());
        }
        let error = |e| self.staging.error("write", entry, e);
        let file = self.staging.open(entry).map_err(error)?;
        file.set_len(length).map_err(error)?;
        let mut buffer = vec![0; BUFFER];
        for (offset, size) in blocks {
            self.go_on()?;
            let buffer = &mut buffer[..size];
            if self.live.read_at(entry, offset, buffer).is_err() {
                return Err(CompleteError::NotRight(1));
            }
            self.staging.root.write_at(&file, buffer, offset).map_err(error)?;
        }
        Ok(())
    }

    /// Has a large file share the blocks of the live one, where little of it is new and the file system can.
    fn shares(&self, entry: EntryIndex) -> Result<bool, CompleteError> {
        let Entry { path: Some(path), length, .. } = &self.manifest.entries[entry] else {
            return Ok(false);
        };
        let parts = || self.blocks(entry, |piece| self.plan.wanted.contains(piece));
        let new: u64 = parts().map(|(_, size)| size as u64).sum();
        if *length < BUFFER as u64 || new > length / 2 {
            return Ok(false);
        }
        let Ok(live) = self.staging.root.open_file(path) else {
            return Ok(false);
        };
        Ok(self.staging.clone_around(entry, &live, parts())?)
    }

    /// The pieces whose bytes come from staging, and were right when they were written there.
    fn known_right(&self, arrived: &Arrived) -> Result<PieceSet, FsError> {
        let staged = self.staging.list()?;
        let mut known = arrived.untouched(self.manifest, |entry| staged.get(&entry).copied());
        let moved = self.moves.keys().flat_map(|&entry| self.manifest.pieces_of(entry));
        moved.for_each(|piece| known.remove(piece));
        Ok(known)
    }

    /// Hashes every piece of the new files, as it will be once they are in place, but for those that are known.
    fn check(
        &self,
        replaced: &Replaced,
        known: &PieceSet,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), CompleteError> {
        let mut pieces = PieceSet::none(self.manifest.pieces.len());
        replaced
            .keys()
            .flat_map(|&entry| self.manifest.pieces_of(entry))
            .chain(self.plan.wanted.iter())
            .filter(|piece| !known.contains(*piece))
            .for_each(|piece| pieces.insert(piece));
        let content = Outcome { completion: self, replaced };
        let right = verify(self.manifest, &pieces, &content, self.cancel, progress)?;
        match pieces.count() - right.count() {
            0 => Ok(()),
            wrong => Err(CompleteError::NotRight(wrong)),
        }
    }

    /// Makes the new files durable; how they look, in the same order.
    fn seal(&self, new: &Replaced, is_trusted: bool) -> Result<Vec<Installed>, CompleteError> {
        let looks = self.sync(new, is_trusted).inspect_err(|_| {
            // In memory may be what the disk has not, and the next one to look would find it right.
            new.keys().for_each(|&entry| self.staging.forget(entry));
        })?;
        let right = |(entry, stat): (&EntryIndex, Option<Stat>)| {
            stat.filter(|stat| stat.length == self.manifest.entries[*entry].length)
                .map(Installed::from)
                .ok_or(CompleteError::NotRight(1))
        };
        new.keys().zip::<Vec<_>>(looks).map(right).collect()
    }

    /// How the new files look once they are durable.
    fn sync(&self, new: &Replaced, is_trusted: bool) -> Result<Vec<Option<Stat>>, FsError> {
        let root = &self.staging.root;
        if root.sync_disk_for(new.len())? {
            let all = self.staging.list()?;
            return Ok(new.keys().map(|entry| all.get(entry).copied()).collect());
        }
        let one = |&entry| self.staging.seal(entry).map(Some);
        let looks = new.keys().map(one).collect::<Result<Vec<_>, _>>()?;
        self.staging.seal_names()?;
        if is_trusted {
            // A file that is opened anew need not tell of what failed in it before.
            root.sync_disk()?;
        }
        Ok(looks)
    }

    /// The files that get another path, as they look.
    fn moved(&self, renamed: Replaced) -> Result<BTreeMap<RelPath, MovedFile>, CompleteError> {
        let mut files = BTreeMap::new();
        for (entry, replaces) in renamed {
            let path = self.manifest.entries[entry].path.clone();
            let Some((path, from)) = path.zip(self.moves.get(&entry).cloned()) else { continue };
            let stat = self.staging.root.stat(&from)?.ok_or(CompleteError::NotRight(1))?;
            files.insert(path, MovedFile { from, looks: stat.into(), replaces });
        }
        Ok(files)
    }

    /// The parts of an entry that lie in the pieces `wanted` accepts, cut to the size of the buffer.
    fn blocks(
        &self,
        entry: EntryIndex,
        wanted: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (u64, usize)> {
        let (manifest, whole) = (self.manifest, &self.manifest.entries[entry]);
        manifest
            .pieces_of(entry)
            .filter(move |&piece| wanted(piece))
            .map(move |piece| {
                let range = manifest.piece_range(piece);
                let start = range.start.max(whole.offset) - whole.offset;
                let end = range.end.min(whole.offset + whole.length) - whole.offset;
                (start, end)
            })
            .flat_map(|(start, end)| {
                (start..end).step_by(BUFFER).map(move |offset| {
                    (offset, usize::try_from(end - offset).unwrap_or(BUFFER).min(BUFFER))
                })
            })
    }

    fn go_on(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}

/// The folder as it will be: new files from staging, the others as they are. What a file of the user
/// covers (a kept edit) is taken from the pieces that arrived.
struct Outcome<'a> {
    completion: &'a Completion<'a>,
    replaced: &'a Replaced,
}

impl Content for Outcome<'_> {
    fn pace(&self) -> (usize, Pace) {
        self.completion.staging.root.pace()
    }

    fn read(&self, piece: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let Completion { plan, moves, staging, live, former, .. } = self.completion;
        if let Some(from) = moves.get(&entry).filter(|_| self.replaced.contains_key(&entry)) {
            let open = || staging.root.open_file(from).map_err(|e| e.source);
            return read_exact_at(&*former.get(entry, open)?, buf, offset);
        }
        let kept_edit = plan.edits.contains_key(&entry) && plan.wanted.contains(piece);
        if self.replaced.contains_key(&entry) || kept_edit {
            staging.read_at(entry, offset, buf)
        } else {
            live.read_at(entry, offset, buf)
        }
    }
}
