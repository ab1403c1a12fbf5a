//! The folder in which new content is completed: piece-addressed read and write.
//!
//! A fetched piece is written, whole, into one file per entry it touches, at the entry's own offset.
//! Nothing here needs a log of what has arrived: after a crash the pieces are hashed again. Whether
//! the content is right is for `complete` to say.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::content::Pool;
use super::fs::{FsError, Root, read_exact_at};
use super::layout;
use super::pace::Pace;
use super::verify::Content;
use crate::model::manifest::{EntryIndex, Manifest};

/// The folder in which the new content of one release is completed.
#[derive(Debug)]
pub struct Staging {
    pub(super) root: Arc<Root>,
    pub(super) manifest: Arc<Manifest>,
    pub(super) folder: String,
    pool: Pool,
}

impl Staging {
    /// Makes or opens the staging folder.
    pub fn create(root: Arc<Root>, manifest: Arc<Manifest>) -> Result<Self, FsError> {
        let folder = layout::staging(manifest.info_hash);
        root.create_dir_all(&folder)?;
        Ok(Self { root, manifest, folder, pool: Pool::default() })
    }

    /// Opens the staging folder if there is one.
    pub fn existing(root: Arc<Root>, manifest: Arc<Manifest>) -> Result<Option<Self>, FsError> {
        let folder = layout::staging(manifest.info_hash);
        let there = root.stat(&folder)?.is_some();
        Ok(there.then(|| Self { root, manifest, folder, pool: Pool::default() }))
    }

    pub fn read_at(&self, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.is_padding(entry) {
            buf.fill(0);
            return Ok(());
        }
        read_exact_at(&*self.open_existing(entry)?, buf, offset)
    }

    pub fn write_at(&self, entry: EntryIndex, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.is_padding(entry) {
            return Ok(());
        }
        self.root.write_at(&*self.open(entry)?, buf, offset)
    }

    /// Where an entry's new content lies, below the pack's folder.
    pub(super) fn file(&self, entry: EntryIndex) -> String {
        format!("{}/{entry}", self.folder)
    }

    pub(super) fn open(&self, entry: EntryIndex) -> io::Result<Arc<File>> {
        self.pool.get(entry, || self.root.open_sparse(self.file(entry)).map_err(|e| e.source))
    }

    /// Opens for writing too, since the pool gives the handle to writers as well, but makes nothing.
    fn open_existing(&self, entry: EntryIndex) -> io::Result<Arc<File>> {
        self.pool.get(entry, || self.root.open_existing(self.file(entry)).map_err(|e| e.source))
    }

    fn is_padding(&self, entry: EntryIndex) -> bool {
        self.manifest.entries.get(entry).is_none_or(|e| e.path.is_none())
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
