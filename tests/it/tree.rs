//! [`Tree`]: a whole folder as a value, and [`Stamps`]: how all of it looks from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use walkdir::WalkDir;

/// Where the program keeps its own things inside a pack's folder.
pub const OWN: &str = ".modsync";

/// Every file by its path, with its bytes. A link counts as a file that says where it leads.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tree(pub BTreeMap<String, Vec<u8>>);

/// Every file and folder by its path: length and time of the last change.
pub type Stamps = BTreeMap<String, (u64, SystemTime)>;

/// Bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

impl Tree {
    /// A file for each path and length, filled with noise.
    pub fn of(files: &[(&str, usize)]) -> Self {
        files.iter().zip(1..).fold(Self::default(), |tree, ((path, length), seed)| {
            tree.with(path, noise(seed, *length))
        })
    }

    /// The files of a folder, without our own part of it.
    pub fn read(folder: &Path) -> Self {
        let own = |path: &str| path == OWN || path.starts_with(".modsync/");
        let files =
            entries(folder).filter(|(path, entry)| !own(path) && !entry.file_type().is_dir());
        Self(files.map(|(path, entry)| (path, content(entry.path()))).collect())
    }

    /// The same with a file more, or with another content of it.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.to_owned(), bytes.into());
        self
    }

    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.0.remove(path).expect(path);
        self
    }

    /// The same with a few bytes in the middle of a file turned over.
    #[must_use]
    pub fn damaged(mut self, path: &str) -> Self {
        let bytes = self.0.get_mut(path).expect(path);
        let middle = bytes.len() / 2;
        bytes[middle..].iter_mut().take(3).for_each(|byte| *byte = !*byte);
        self
    }

    /// These files and those of `other`, which count where both have one.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.clone());
        self
    }

    pub fn bytes(&self, path: &str) -> &[u8] {
        self.0.get(path).expect(path)
    }

    /// Writes all files below a folder, and touches nothing else in it.
    pub fn write(&self, folder: &Path) {
        for (path, bytes) in &self.0 {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// The paths that only one of both has, or whose bytes differ.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let paths = self.0.keys().chain(other.0.keys());
        let mut different: Vec<_> =
            paths.filter(|path| self.0.get(*path) != other.0.get(*path)).cloned().collect();
        different.sort();
        different.dedup();
        different
    }
}

/// All of a folder, our own part included, with the folder itself as an empty path.
pub fn stamps(folder: &Path) -> Stamps {
    entries(folder)
        .map(|(path, entry)| {
            let metadata = entry.metadata().unwrap();
            (path, (metadata.len(), metadata.modified().unwrap()))
        })
        .collect()
}

/// Only lengths, or the failure of a test would fill the screen.
impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(path, bytes)| (path, bytes.len()))).finish()
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = (String, walkdir::DirEntry)> {
    WalkDir::new(folder).into_iter().map(move |entry| {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        (path, entry)
    })
}

fn content(path: &Path) -> Vec<u8> {
    match fs::read_link(path) {
        Ok(target) => format!("-> {}", target.display()).into_bytes(),
        Err(_) => fs::read(path).unwrap(),
    }
}
