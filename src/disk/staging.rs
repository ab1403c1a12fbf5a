//! The folder in which new content is completed: piece-addressed read and write.
//!
//! A fetched piece is written, whole, into one file per entry it touches, at the entry's own offset.
//! Nothing here needs a log of what has arrived: after a crash the pieces are hashed again. Whether
//! the content is right is for `arrived` and `complete` to say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::arrived::Written;
use super::content::Pool;
use super::fs::{FsError, Root, Stat, read_exact_at};
use super::layout;
use super::pace::Pace;
use super::verify::Content;
use crate::model::manifest::{EntryIndex, Manifest};

/// Bytes; what is smaller is left to the system, which writes much of it together.
const SMALL: usize = 64 << 10;

/// The folder in which the new content of one release is completed.
#[derive(Debug)]
pub struct Staging {
    pub(super) root: Arc<Root>,
    pub(super) manifest: Arc<Manifest>,
    pub(super) folder: String,
    /// The folder itself.
    place: Root,
    pool: Pool,
}

impl Staging {
    /// Makes or opens the staging folder.
    pub fn create(root: Arc<Root>, manifest: Arc<Manifest>) -> Result<Self, FsError> {
        let folder = layout::staging(manifest.info_hash);
        root.create_dir_all(&folder)?;
        let place = root.below(&folder)?;
        Ok(Self { root, manifest, folder, place, pool: Pool::default() })
    }

    /// Opens the staging folder if there is one.
    pub fn existing(root: Arc<Root>, manifest: Arc<Manifest>) -> Result<Option<Self>, FsError> {
        let folder = layout::staging(manifest.info_hash);
        if root.stat(&folder)?.is_none() {
            return Ok(None);
        }
        let place = root.below(&folder)?;
        Ok(Some(Self { root, manifest, folder, place, pool: Pool::default() }))
    }

    pub fn read_at(&self, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.manifest.is_padding(entry) {
            buf.fill(0);
            return Ok(());
        }
        if self.is_whole(entry, buf) {
            return read_exact_at(&self.find(entry)?, buf, offset);
        }
        read_exact_at(&*self.pool.get(entry, || self.find(entry))?, buf, offset)
    }

    pub fn write_at(&self, entry: EntryIndex, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.manifest.is_padding(entry) {
            return Ok(());
        }
        let file = self.open_to_write(entry, buf)?;
        self.place.write_at(&file, buf, offset)?;
        if !self.is_whole(entry, buf) {
            Root::begin_sync(&file, offset, buf.len());
        }
        Ok(())
    }

    /// The same with what is right, and need not be kept in memory to be read again. Nothing is written of padding.
    pub fn write_right(
        &self,
        entry: EntryIndex,
        offset: u64,
        buf: &[u8],
    ) -> io::Result<Option<Written>> {
        if self.manifest.is_padding(entry) {
            return Ok(None);
        }
        let file = self.open_to_write(entry, buf)?;
        let stays = !self.is_whole(entry, buf);
        let before = stays.then(|| Stat::of_file(&file)).transpose()?;
        if buf.len() < SMALL {
            self.place.write_at(&file, buf, offset)?;
        } else {
            self.place.write_straight(&file, buf, offset)?;
        }
        Ok(Some(Written { entry, before, after: Stat::of_file(&file)? }))
    }

    /// Makes an entry of a file with all its bytes, and without a copy of them: whether that can be done. The entry
    /// has nothing yet.
    pub(super) fn clone_whole(&self, entry: EntryIndex, from: &File) -> bool {
        self.place.clone_file(from, entry.to_string())
    }

    /// Fills an entry with the bytes of a file around what has arrived of it in `parts`, and without a copy of them:
    /// whether that can be done.
    pub(super) fn clone_around(
        &self,
        entry: EntryIndex,
        from: &File,
        parts: impl Iterator<Item = (u64, usize)>,
    ) -> Result<bool, FsError> {
        let draft = format!("{entry}.draft");
        self.place.remove_file_if_there(&draft)?;
        // A clone may be as read-only as its origin.
        let Some(file) = Some(&draft)
            .filter(|draft| self.place.clone_file(from, draft))
            .and_then(|draft| self.place.open_existing(draft).ok())
        else {
            self.place.remove_file_if_there(&draft)?;
            return Ok(false);
        };
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
        self.place.rename(&draft, entry.to_string())?;
        Ok(true)
    }

    /// Where an entry's new content lies, below the pack's folder.
    pub(super) fn file(&self, entry: EntryIndex) -> String {
        format!("{}/{entry}", self.folder)
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

    /// How all files look.
    pub(super) fn list(&self) -> Result<BTreeMap<EntryIndex, Stat>, FsError> {
        let names = self.place.list("")?.into_iter();
        Ok(names.filter_map(|(name, stat)| Some((name.to_str()?.parse().ok()?, stat))).collect())
    }

    fn open_to_write(&self, entry: EntryIndex, buf: &[u8]) -> io::Result<Arc<File>> {
        // What is written at once is not written again.
        if self.is_whole(entry, buf) { self.make(entry).map(Arc::new) } else { self.open(entry) }
    }

    pub(super) fn open(&self, entry: EntryIndex) -> io::Result<Arc<File>> {
        self.pool.get(entry, || self.make(entry))
    }

    fn make(&self, entry: EntryIndex) -> io::Result<File> {
        self.place.open_sparse(entry.to_string()).map_err(|e| e.source)
    }

    /// Opens for writing too, since the pool gives the handle to writers as well, but makes nothing.
    fn find(&self, entry: EntryIndex) -> io::Result<File> {
        self.place.open_existing(entry.to_string()).map_err(|e| e.source)
    }

    fn is_whole(&self, entry: EntryIndex, buf: &[u8]) -> bool {
        self.manifest.entries.get(entry).is_some_and(|e| e.length == buf.len() as u64)
    }

    pub(super) fn error(
        &self,
        verb: &'static str,
        entry: EntryIndex,
        source: io::Error,
    ) -> FsError {
        FsError { verb, path: self.root.path().join(self.file(entry)), source }
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
