//! [`Sources`]: files of this machine that may have bytes of a release. They are read and nothing else.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::content::Pool;
use crate::disk::fs::{Root, read_exact_at};
use crate::disk::inventory::Inventory;
use crate::disk::trash;

/// The place of a source in [`Sources::files`].
pub type SourceIndex = usize;

/// A file that may have bytes of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    folder: usize,
    /// Where it lies below its folder, if that is not its path.
    at: Option<String>,
    /// The path of the pack's file that it is or was: what its content is is told by that.
    pub path: String,
    /// Whether it lies at that path in the folder of the pack itself.
    pub is_in_place: bool,
    /// Bytes.
    pub length: u64,
}

/// Files in the pack's folder and its trash, and in other packs' folders. Nothing is open for it.
#[derive(Debug, Default)]
pub struct Sources {
    folders: Vec<PathBuf>,
    pub files: Vec<Source>,
}

/// Reads from sources. Some of them stay open while it is there, and can then not be replaced everywhere.
#[derive(Debug)]
pub struct Reader<'a> {
    sources: &'a Sources,
    /// `None`: it is not there any more.
    roots: Vec<Option<Root>>,
    pool: Pool,
}

impl Sources {
    /// Those of a folder that is being looked at.
    pub fn of_pack(root: &Root, inventory: &Inventory) -> Self {
        let mut sources = Self::default();
        sources.add_folder(root, inventory);
        sources.files.iter_mut().for_each(|source| source.is_in_place = true);
        sources
    }

    /// Adds what lies in another pack's folder.
    pub fn add_folder(&mut self, root: &Root, inventory: &Inventory) {
        let files = inventory.files.iter().map(|(path, stat)| (path.to_string(), stat.length));
        self.add(root, files.map(|(path, length)| (None, path, length)));
    }

    /// Adds what lies in its trash, as far as it can be read.
    pub fn add_trash(&mut self, root: &Root) {
        match trash::files(root) {
            Ok(files) => {
                let files = files.into_iter();
                self.add(root, files.map(|file| (Some(file.at), file.path, file.length)));
            }
            Err(error) => tracing::debug!("looking in the trash: {error}"),
        }
    }

    fn add(&mut self, root: &Root, files: impl Iterator<Item = (Option<String>, String, u64)>) {
        let folder = self.folders.len();
        self.folders.push(root.path().to_owned());
        let is_in_place = false;
        let source = |(at, path, length)| Source { folder, at, path, is_in_place, length };
        let sources = files.map(source);
        self.files.extend(sources.filter(|source| source.length > 0));
    }

    pub fn reader(&self) -> Reader<'_> {
        let roots = self.folders.iter().map(|folder| Root::open(folder).ok()).collect();
        Reader { sources: self, roots, pool: Pool::default() }
    }
}

impl Reader<'_> {
    pub fn read_at(&self, source: SourceIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_exact_at(&*self.open(source)?, buf, offset)
    }

    pub fn open(&self, source: SourceIndex) -> io::Result<Arc<File>> {
        let Source { folder, at, path, .. } =
            self.sources.files.get(source).ok_or(ErrorKind::NotFound)?;
        let root = self.roots[*folder].as_ref().ok_or(ErrorKind::NotFound)?;
        let open = || root.open_file(at.as_ref().unwrap_or(path)).map_err(|e| e.source);
        self.pool.get(source, open)
    }
}
