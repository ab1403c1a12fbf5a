//! What a [`Root`] does to make things durable.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Result, Root, platform};

/// More files or folders than these are made durable together with all else on the disk, which is quicker unless others
/// have written much there.
const MANY: usize = 256;

impl Root {
    /// Has the disk begin to take what was written, for a sync to come.
    pub(in crate::disk) fn begin_sync(file: &File, offset: u64, length: usize) {
        platform::begin_sync(file, offset, length);
    }

    /// Has memory forget what it holds of a file, where the system can do that: it is read from the disk again.
    pub(in crate::disk) fn forget(file: &File) {
        platform::forget(file);
    }

    /// Makes the content of an open file of the folder durable.
    pub(in crate::disk) fn sync_file(&self, file: &File) -> io::Result<()> {
        self.strike_at_write(|| {})?;
        platform::sync_file(file)
    }

    /// Makes the names in a folder durable. Where folders cannot be synced (Windows) it does nothing.
    pub fn sync_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.dir_at(path)
            .and_then(|dir| self.strike().and_then(|()| platform::sync_dir(&dir)))
            .map_err(|e| self.error("sync", path, e))
    }

    /// Has [`Self::sync_disk`] tell of what fails from now on, be it written by others or long before that.
    pub fn watch_disk(&self) -> Result<()> {
        let watch = platform::open_to_sync(&self.dir);
        let watch = watch.map_err(|e| self.error("open", Path::new(""), e))?;
        let _ = self.watch.set(watch);
        Ok(())
    }

    /// Makes everything on the folder's disk durable at once, where the system can do that and tells of what could not
    /// be written; whether it did.
    pub fn sync_disk(&self) -> Result<bool> {
        let sync = || match self.watch.get() {
            Some(watch) => platform::sync_disk(watch),
            None => platform::sync_disk(&platform::open_to_sync(&self.dir)?),
        };
        self.strike().and_then(|()| sync()).map_err(|e| self.error("sync", Path::new(""), e))
    }

    /// The same where it is quicker than to sync each of so many files or folders; whether all is done.
    pub fn sync_disk_for(&self, count: usize) -> Result<bool> {
        Ok(count > MANY && self.sync_disk()?)
    }
}
