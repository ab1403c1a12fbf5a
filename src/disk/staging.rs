//! The folder in which new content is completed: piece-addressed read and write.
//!
//! A fetched piece is written, whole, into one file per entry it touches, at the entry's own offset. The files have
//! numbers for names and lie on shelves: a file system makes and moves files the slower, the more lie in one folder.
//! Nothing here needs a log of what has arrived: after a crash the pieces are hashed again. Whether
//! the content is right is for `arrived` and `complete` to say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::arrived::Written;
use super::content::Pool;
use super::fs::{FsError, Kind, Root, Stat, read_exact_at, slices};
use super::layout;
use super::numbered::{Numbered, number_of};
use super::pace::Pace;
use super::parts::in_parts;
use super::verify::Content;
use crate::model::manifest::{EntryIndex, Manifest};

/// Files that lie on one shelf, which is a folder. ext4 looks at all names of a block to find one: *measured*, 100,000 files
/// come and go a twentieth quicker than on shelves of 200, and on shelves of 32 no quicker than on these. What lies where
/// another number of them put it is not found again.
const SHELF: usize = 64;
/// Shelves that a thread is started for when they are listed.
const SHELVES: usize = 150;
/// What the name of a shelf begins with; its number follows.
const PREFIX: &str = "shelf-";

/// The folder in which the new content of one release is completed.
#[derive(Debug)]
pub struct Staging {
    pub(super) root: Arc<Root>,
    pub(super) manifest: Arc<Manifest>,
    /// Below the pack's folder.
    pub(super) folder: String,
    /// Below the pack's folder, in order.
    shelves: Vec<Arc<str>>,
    /// The folder itself.
    place: Root,
    pool: Pool,
}

impl Staging {
    /// Makes or opens the staging folder.
    pub fn create(root: Arc<Root>, manifest: Arc<Manifest>) -> Result<Self, FsError> {
        let folder = layout::staging(manifest.info_hash);
        root.create_dir_all(&folder)?;
        Self::at(root, manifest, folder)
    }

    /// Opens the staging folder if there is one.
    pub fn existing(root: Arc<Root>, manifest: Arc<Manifest>) -> Result<Option<Self>, FsError> {
        let folder = layout::staging(manifest.info_hash);
        if root.stat(&folder)?.is_none() {
            return Ok(None);
        }
        Self::at(root, manifest, folder).map(Some)
    }

    fn at(root: Arc<Root>, manifest: Arc<Manifest>, folder: String) -> Result<Self, FsError> {
        let place = root.below(&folder)?;
        let shelves = (0..manifest.entries.len()).step_by(SHELF);
        let shelves = shelves.map(|entry| format!("{folder}/{}", shelf_of(entry)).into()).collect();
        Ok(Self { root, manifest, folder, shelves, place, pool: Pool::default() })
    }

    pub fn read_at(&self, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.manifest.is_padding(entry) {
            buf.fill(0);
            return Ok(());
        }
        if self.is_whole(entry, buf.len()) {
            return read_exact_at(&self.find(entry)?, buf, offset);
        }
        read_exact_at(&*self.pool.get(entry, || self.find(entry))?, buf, offset)
    }

    pub fn write_at(&self, entry: EntryIndex, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.manifest.is_padding(entry) {
            return Ok(());
        }
        let file = self.open_to_write(entry, buf.len())?;
        self.place.write_at(&file, buf, offset)?;
        if !self.is_whole(entry, buf.len()) {
            Root::begin_sync(&file, offset, buf.len());
        }
        Ok(())
    }

    /// Writes parts that follow each other, are right, and need not be kept in memory to be read again. Nothing is written
    /// of padding.
    pub fn write_right(
        &self,
        entry: EntryIndex,
        offset: u64,
        parts: &[&[u8]],
    ) -> io::Result<Option<Written>> {
        if self.manifest.is_padding(entry) {
            return Ok(None);
        }
        let size = slices::size_of(parts);
        let file = self.open_to_write(entry, size)?;
        let stays = !self.is_whole(entry, size);
        let before = stays.then(|| Stat::of_file(&file)).transpose()?;
        self.place.write_straight(&file, parts, offset)?;
        Ok(Some(Written { entry, before, after: Stat::of_file(&file)? }))
    }

    /// Makes an entry of a file with all its bytes, and without a copy of them: whether that can be done. The entry
    /// has nothing yet.
    pub(super) fn clone_whole(&self, entry: EntryIndex, from: &File) -> Result<bool, FsError> {
        self.place.create_dir(shelf_of(entry))?;
        Ok(self.clone_to(&place_of(entry), from)?.is_some())
    }

    /// Fills an entry with the bytes of a file around what has arrived of it in `parts`, and without a copy of them:
    /// whether that can be done.
    pub(super) fn clone_around(
        &self,
        entry: EntryIndex,
        from: &File,
        parts: impl Iterator<Item = (u64, usize)>,
    ) -> Result<bool, FsError> {
        let whole = place_of(entry);
        let draft = format!("{whole}.draft");
        self.place.create_dir(shelf_of(entry))?;
        self.place.remove_file_if_there(&draft)?;
        let Some(file) = self.clone_to(&draft, from)? else { return Ok(false) };
        let error = |e| self.error("write", entry, e);
        file.set_len(self.manifest.entries[entry].length).map_err(error)?;
        let mut buffer = Vec::new();
        for (offset, size) in parts {
            buffer.resize(size, 0);
            self.read_at(entry, offset, &mut buffer).map_err(error)?;
            self.place.write_at(&file, &buffer, offset).map_err(error)?;
        }
        drop(file);
        self.pool.forget(entry);
        self.place.rename(&draft, whole)?;
        Ok(true)
    }

    /// Clones a file, if that can be done and the clone be written: it may be as read-only as its origin.
    fn clone_to(&self, place: &str, from: &File) -> Result<Option<File>, FsError> {
        let cloned = self.place.clone_file(from, place);
        let file = cloned.then(|| self.place.open_existing(place).ok()).flatten();
        if file.is_none() {
            self.place.remove_file_if_there(place)?;
        }
        Ok(file)
    }

    /// Where an entry's new content lies, below the pack's folder.
    pub(super) fn file(&self, entry: EntryIndex) -> Numbered {
        Numbered::new(&self.shelves[entry / SHELF], entry)
    }

    /// Takes a file of the pack's folder for an entry that has none.
    pub(super) fn adopt(&self, entry: EntryIndex, from: &str) -> Result<(), FsError> {
        self.place.create_dir(shelf_of(entry))?;
        self.root.rename(from, self.file(entry).to_string())
    }

    /// Makes one file durable; how it looks.
    pub(super) fn seal(&self, entry: EntryIndex) -> Result<Stat, FsError> {
        let sealed = self.open(entry).and_then(|file| {
            self.place.sync_file(&file)?;
            Stat::of_file(&file)
        });
        sealed.map_err(|e| self.error("sync", entry, e))
    }

    /// Has memory forget what it holds of an entry, as far as the disk has it or failed to take it.
    pub(super) fn forget(&self, entry: EntryIndex) {
        if let Ok(file) = self.find(entry) {
            Root::forget(&file);
        }
    }

    /// Makes the names of all files durable.
    pub(super) fn seal_names(&self) -> Result<(), FsError> {
        for (_, shelf) in shelves(&self.root, &self.folder)? {
            self.root.sync_dir(shelf)?;
        }
        self.root.sync_dir(&self.folder)
    }

    /// How all files look.
    pub(super) fn list(&self) -> Result<BTreeMap<EntryIndex, Stat>, FsError> {
        Ok(list(&self.root, &self.folder)?.into_iter().collect())
    }

    /// Bytes that each file takes on the disk, which is less than its length while parts of it are missing.
    pub(super) fn begun(&self) -> Result<BTreeMap<EntryIndex, u64>, FsError> {
        let length =
            |entry: EntryIndex| self.manifest.entries.get(entry).map_or(0, |entry| entry.length);
        // One that cannot be asked counts as not begun.
        let taken = |(entry, _): &(EntryIndex, Stat)| {
            let bytes = self.find(*entry).and_then(|file| Root::allocated(&file)).unwrap_or(0);
            (*entry, bytes.min(length(*entry)))
        };
        let files = list(&self.root, &self.folder)?;
        let found = in_parts(&files, SHELF * SHELVES, self.root.pace(), |files| {
            files.iter().map(taken).collect::<Vec<_>>()
        });
        Ok(found.concat().into_iter().collect())
    }

    fn open_to_write(&self, entry: EntryIndex, size: usize) -> io::Result<Arc<File>> {
        // What is written at once is not written again.
        if self.is_whole(entry, size) { self.make(entry).map(Arc::new) } else { self.open(entry) }
    }

    pub(super) fn open(&self, entry: EntryIndex) -> io::Result<Arc<File>> {
        self.pool.get(entry, || self.make(entry))
    }

    fn make(&self, entry: EntryIndex) -> io::Result<File> {
        let place = place_of(entry);
        let made = match self.place.open_sparse(&place) {
            Err(e) if e.source.kind() == ErrorKind::NotFound => {
                let there = self.place.create_dir(shelf_of(entry));
                there.and_then(|_| self.place.open_sparse(place))
            }
            made => made,
        };
        made.map_err(|e| e.source)
    }

    /// Opens for writing too, since the pool gives the handle to writers as well, but makes nothing.
    fn find(&self, entry: EntryIndex) -> io::Result<File> {
        self.place.open_existing(place_of(entry)).map_err(|e| e.source)
    }

    /// Whether so many bytes are all that an entry has.
    fn is_whole(&self, entry: EntryIndex, size: usize) -> bool {
        self.manifest.entries.get(entry).is_some_and(|e| e.length == size as u64)
    }

    pub(super) fn error(
        &self,
        verb: &'static str,
        entry: EntryIndex,
        source: io::Error,
    ) -> FsError {
        FsError { verb, path: self.place.path().join(place_of(entry)), source }
    }
}

impl Content for Staging {
    fn pace(&self) -> (usize, Pace) {
        self.root.pace()
    }

    fn read(&self, _: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_at(entry, offset, buf)
    }
}

/// The files in the staging folder of a release: their entries, and how they look.
pub(super) fn list(root: &Root, folder: &str) -> Result<Vec<(EntryIndex, Stat)>, FsError> {
    let shelves = shelves(root, folder)?;
    let found = in_parts(&shelves, SHELVES, root.pace(), |shelves| list_shelves(root, shelves));
    Ok(found.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
}

fn list_shelves(
    root: &Root,
    shelves: &[(usize, String)],
) -> Result<Vec<(EntryIndex, Stat)>, FsError> {
    let mut found = Vec::new();
    for (number, shelf) in shelves {
        root.each(shelf, &mut |name, stat| {
            let entry = name.to_str().and_then(number_of).filter(|_| stat.is_file());
            found.extend(entry.filter(|entry| entry / SHELF == *number).map(|entry| (entry, stat)));
        })?;
    }
    Ok(found)
}

/// The shelves that a staging folder has: their numbers, and where they lie below the pack's folder.
fn shelves(root: &Root, folder: &str) -> Result<Vec<(usize, String)>, FsError> {
    let folders = root.list(folder)?.into_iter().filter(|(_, stat)| stat.kind == Kind::Dir);
    let shelves = folders.filter_map(|(name, _)| {
        let name = name.to_str()?;
        Some((number_of(name.strip_prefix(PREFIX)?)?, format!("{folder}/{name}")))
    });
    Ok(shelves.collect())
}

/// Where an entry's new content lies in the staging folder of its release.
pub(super) fn place_of(entry: EntryIndex) -> String {
    format!("{}/{entry}", shelf_of(entry))
}

fn shelf_of(entry: EntryIndex) -> String {
    format!("{PREFIX}{}", entry / SHELF)
}
