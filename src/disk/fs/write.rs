//! What a [`Root`] writes into files.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::OpenOptions;

use super::platform::{self, write_all_at};
use super::{Result, Root, slices};

impl Root {
    /// Replaces a whole file so that a crash leaves the old bytes or the new ones.
    pub fn write_atomic(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        self.write_atomic_with(path, |file| file.write_all(bytes))
    }

    /// The same with what `write` writes.
    pub fn write_atomic_with(
        &self,
        path: impl AsRef<Path>,
        write: impl FnOnce(&mut NewFile<'_>) -> io::Result<()>,
    ) -> Result<()> {
        let path = path.as_ref();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        self.remove_file_if_there(&temporary)?;
        let file = self.create_with(&temporary, OpenOptions::new().write(true).create_new(true))?;
        let mut writing = BufWriter::with_capacity(1 << 16, Writing { root: self, file, at: 0 });
        write(&mut writing)
            .and_then(|()| writing.flush())
            .and_then(|()| self.sync_file(&writing.get_ref().file))
            .map_err(|e| self.error("write", path, e))?;
        drop(writing);
        self.place(&temporary, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new("")))
    }

    /// Replaces a small file that only the user may read. It need not outlive a power cut.
    pub fn write_private(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let temporary = format!("{path}.tmp");
        self.remove_file_if_there(&temporary)?;
        let mut options = OpenOptions::new();
        platform::keep_private(options.write(true).create_new(true));
        let mut file = self.create_with(Path::new(&temporary), &mut options)?;
        file.write_all(bytes).map_err(|e| self.error("write", Path::new(path), e))?;
        drop(file);
        self.place(&temporary, path)
    }

    /// Writes into an open file of the folder.
    pub(in crate::disk) fn write_at(
        &self,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        self.strike_at_write(|| drop(write_all_at(file, &bytes[..bytes.len() / 2], offset)))?;
        write_all_at(file, bytes, offset)
    }

    /// The same of parts that follow each other, by way of [`Straight`](super::straight::Straight).
    pub(in crate::disk) fn write_straight(
        &self,
        file: &File,
        parts: &[&[u8]],
        offset: u64,
    ) -> io::Result<()> {
        self.strike_at_write(|| {
            let [half] = slices::split(parts, [slices::size_of(parts) / 2]);
            drop(slices::each(&half, offset, |bytes, at| write_all_at(file, bytes, at)));
        })?;
        self.straight.write(file, parts, offset, || self.spins())
    }
}

/// A new file of a root on its way to its place.
pub type NewFile<'r> = BufWriter<Writing<'r>>;

/// A file of a root, written at a place that goes on with what is written.
#[derive(Debug)]
pub struct Writing<'r> {
    root: &'r Root,
    file: File,
    at: u64,
}

impl Write for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.root.write_at(&self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From its beginning alone: nothing else is asked for.
impl Seek for Writing<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}
