//! Where the bytes of a manifest's files are read from: the live folder, staging, or both.
//!
//! Handles come from a small pool, so a pack of 100,000 files needs no more than a few of them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::baseline::Installed;
use super::fs::{Cached, Root, Stat, check_length, read_exact_at, read_whole};
use super::pace::Pace;
use super::verify::Content;
use crate::model::manifest::{Entry, EntryIndex, Manifest, PieceSet, Span};
use crate::model::path::RelPath;

/// Open files per pool.
const OPEN_FILES: usize = 64;

/// Bytes of a file that are looked for in memory at once.
const VIEW: u64 = 8 << 20;

/// Fewer bytes are better read: when they are given up, all cores are made to forget where they lay, *measured* 30 to 60 µs
/// on two cores of a Xeon (Emerald Rapids), in which these hash about half a million bytes.
const WORTHWHILE: u64 = 1 << 20;

/// A few open files, the longest unused one closed first.
#[derive(Debug, Default)]
pub struct Pool {
    open: Mutex<VecDeque<(EntryIndex, Arc<File>)>>,
}

impl Pool {
    /// The open file of an entry, opened by `open` when it is not in the pool.
    pub fn get(
        &self,
        entry: EntryIndex,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        if let Some(file) = self.find(entry) {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        let mut pool = self.lock();
        pool.push_back((entry, Arc::clone(&file)));
        let oldest = if pool.len() > OPEN_FILES { pool.pop_front() } else { None };
        drop(pool);
        // It is closed while others use the pool.
        drop(oldest);
        Ok(file)
    }

    /// Closes the file of an entry, which is about to be another one.
    pub fn forget(&self, entry: EntryIndex) {
        self.lock().retain(|(open, _)| *open != entry);
    }

    fn find(&self, entry: EntryIndex) -> Option<Arc<File>> {
        let mut pool = self.lock();
        let place = pool.iter().rposition(|(open, _)| *open == entry)?;
        let found = pool.remove(place)?;
        let file = Arc::clone(&found.1);
        pool.push_back(found);
        Some(file)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(EntryIndex, Arc<File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts of files as they lie in memory, each shared by all who read there.
#[derive(Debug, Default)]
struct Views(Mutex<Vec<(EntryIndex, u64, Weak<Cached>)>>);

impl Views {
    /// The part of an entry that begins at `start`, as `look` finds it when nobody has it.
    fn get(
        &self,
        entry: EntryIndex,
        start: u64,
        look: impl FnOnce() -> Option<Cached>,
    ) -> Option<Arc<Cached>> {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.retain(|(_, _, cached)| cached.strong_count() > 0);
        let same = views.iter().filter(|(of, at, _)| (*of, *at) == (entry, start));
        let mut same = same.filter_map(|(_, _, cached)| cached.upgrade());
        if let Some(cached) = same.find(|cached| !cached.is_torn(start)) {
            return Some(cached);
        }
        // All wait for it: two who change what this process can reach at once would wait longer for each other.
        let cached = Arc::new(look()?);
        views.push((entry, start, Arc::downgrade(&cached)));
        Some(cached)
    }
}

/// The files as they lie in the pack's folder, read-only.
#[derive(Debug)]
pub struct Live {
    root: Arc<Root>,
    manifest: Arc<Manifest>,
    pool: Pool,
    views: Views,
    /// How files must look to be read; a file that is not named here may look as it likes.
    expected: BTreeMap<EntryIndex, Installed>,
    /// Whether a file must be as long as the manifest says.
    only_whole: bool,
}

impl Live {
    pub fn new(root: Arc<Root>, manifest: Arc<Manifest>) -> Self {
        let (pool, views) = (Pool::default(), Views::default());
        Self { root, manifest, pool, views, expected: BTreeMap::new(), only_whole: false }
    }

    /// Refuses to read a file that has another length than the manifest says when it is opened. No piece shows that a
    /// file goes on where it should end.
    #[must_use]
    pub fn only_whole(mut self) -> Self {
        self.only_whole = true;
        self
    }

    /// Refuses to read a file that no longer looks as it did when its bytes were right.
    #[must_use]
    pub fn only_as(mut self, expected: BTreeMap<EntryIndex, Installed>) -> Self {
        self.expected = expected;
        self
    }

    pub fn read_at(&self, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let Some(Entry { path, length, .. }) = self.manifest.entries.get(entry) else {
            return Err(ErrorKind::NotFound.into());
        };
        let Some(path) = path else {
            buf.fill(0);
            return Ok(());
        };
        if buf.len() as u64 == *length {
            // A file that is read at once is not read again soon.
            let file = self.open(path)?;
            self.check_look(&file, entry, path)?;
            return if self.only_whole {
                read_whole(&file, buf)
            } else {
                read_exact_at(&file, buf, offset)
            };
        }
        let file = self.pooled(entry, path, *length)?;
        self.check_look(&file, entry, path)?;
        read_exact_at(&file, buf, offset)
    }

    fn pooled(&self, entry: EntryIndex, path: &RelPath, length: u64) -> io::Result<Arc<File>> {
        self.pool.get(entry, || {
            let file = self.open(path)?;
            if self.only_whole {
                check_length(&file, length)?;
            }
            Ok(file)
        })
    }

    fn open(&self, path: &RelPath) -> io::Result<File> {
        self.root.open_to_read_at(path).map_err(|e| e.source)
    }

    fn check_look(&self, file: &File, entry: EntryIndex, path: &RelPath) -> io::Result<()> {
        if let Some(expected) = self.expected.get(&entry)
            && !expected.looks_like(Stat::of_file(file)?)
        {
            return Err(io::Error::other(format!("`{path}` is not as it was installed")));
        }
        Ok(())
    }
}

impl Content for Live {
    fn pace(&self) -> (usize, Pace) {
        self.root.pace()
    }

    fn read(&self, _: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_at(entry, offset, buf)
    }

    fn cached(&self, entry: EntryIndex, offset: u64) -> Option<Arc<Cached>> {
        let Entry { path: Some(path), length, .. } = self.manifest.entries.get(entry)? else {
            return None;
        };
        let start = offset - offset % VIEW;
        let end = start.checked_add(VIEW)?.min(*length);
        end.checked_sub(start).filter(|length| *length >= WORTHWHILE)?;
        let file = self.pooled(entry, path, *length).ok()?;
        self.check_look(&file, entry, path).ok()?;
        self.views.get(entry, start, || Cached::of(file, start..end))
    }
}

/// Reads a part of a piece, at its place in the stream of all entries.
pub fn read_stream(
    content: &impl Content,
    manifest: &Manifest,
    piece: usize,
    at: u64,
    mut buf: &mut [u8],
) -> io::Result<()> {
    for Span { entry, offset, length } in manifest.spans_in(at..at + buf.len() as u64) {
        let size = usize::try_from(length).map_err(io::Error::other)?;
        let (part, rest) = buf.split_at_mut(size);
        content.read(piece, entry, offset, part)?;
        buf = rest;
    }
    Ok(())
}

/// Some pieces from one place, the others from another.
#[derive(Debug)]
pub struct Split<'a, A, B> {
    pub chosen: &'a PieceSet,
    pub from_chosen: &'a A,
    pub from_others: &'a B,
}

impl<A: Content, B: Content> Content for Split<'_, A, B> {
    fn pace(&self) -> (usize, Pace) {
        self.from_others.pace()
    }

    fn read(&self, piece: usize, entry: EntryIndex, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.chosen.contains(piece) {
            self.from_chosen.read(piece, entry, offset, buf)
        } else {
            self.from_others.read(piece, entry, offset, buf)
        }
    }
}
