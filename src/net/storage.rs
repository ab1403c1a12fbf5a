//! [`PackStorage`]: what librqbit reads and writes, by entry number. Its path strings are never used.
//!
//! A piece of the new content is read from and written to staging, once it is whole; any other piece is read from
//! the live folder and never written. Nothing is ever created, resized or removed for librqbit's sake.
//!
//! Before it begins, librqbit reads a piece of every file that it is told to have, and heeds nothing but a failure to
//! read. What is there is for us to say, so it gets no bytes then, and a large pack is not read for nothing.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::anyhow;
use librqbit::storage::filesystem::FilesystemStorageFactory;
use librqbit::storage::{BoxStorageFactory, StorageFactory, TorrentStorage};
use librqbit::{ManagedTorrentShared, TorrentMetadata};
use librqbit_core::lengths::ValidPieceIndex;

use super::incoming::Incoming;
use crate::disk::content::Live;
use crate::disk::fs::FsError;
use crate::disk::staging::Staging;
use crate::model::fault::Fault;
use crate::model::manifest::{Manifest, PieceSet};

/// The pieces that came and were right, noted as they come.
#[derive(Debug, Default)]
pub struct Arrived(Mutex<BTreeSet<usize>>);

impl Arrived {
    pub fn note(&self, piece: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(piece);
    }

    /// The same set without what has come.
    pub fn left_of(&self, wanted: &PieceSet) -> PieceSet {
        let mut left = wanted.clone();
        let arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.iter().for_each(|&piece| left.remove(piece));
        left
    }
}

/// The content of one torrent.
#[derive(Debug)]
pub struct PackStorage {
    pub manifest: Arc<Manifest>,
    pub live: Live,
    pub staging: Option<Staging>,
    /// Pieces that are read from and written to staging.
    pub staged: PieceSet,
    incoming: Incoming,
    arrived: Arc<Arrived>,
    /// The first write that failed: librqbit stops the torrent then, and this says why.
    failure: Mutex<Option<Fault>>,
}

impl PackStorage {
    /// Content for fetching: `staged` are the pieces that live in staging, arrived or not.
    pub fn fetching(
        manifest: Arc<Manifest>,
        live: Live,
        staging: Staging,
        staged: PieceSet,
        arrived: Arc<Arrived>,
    ) -> Self {
        let (staging, incoming) = (Some(staging), Incoming::default());
        Self { manifest, live, staging, staged, incoming, arrived, failure: Mutex::default() }
    }

    /// Content for seeding from the live folder alone.
    pub fn seeding(manifest: Arc<Manifest>, live: Live) -> Self {
        let staged = PieceSet::none(manifest.pieces.len());
        let (incoming, arrived, failure) = (Incoming::default(), Arc::default(), Mutex::default());
        Self { manifest, live, staging: None, staged, incoming, arrived, failure }
    }

    pub fn failure(&self) -> Option<Fault> {
        self.lock_failure().clone()
    }

    /// Cuts a range of an entry at piece borders.
    fn parts(
        &self,
        entry: usize,
        offset: u64,
        length: usize,
        mut each: impl FnMut(Part) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.manifest.entries.get(entry).ok_or(io::ErrorKind::NotFound)?.offset;
        let piece_length = self.manifest.piece_length;
        let mut done = 0;
        while done < length {
            let at = start + offset + done as u64;
            let (piece, in_piece) = (at / piece_length, at % piece_length);
            let size = to_usize(piece_length - in_piece).min(length - done);
            each(Part {
                piece: to_usize(piece),
                in_piece: to_usize(in_piece),
                offset: offset + done as u64,
                range: done..done + size,
            })?;
            done += size;
        }
        Ok(())
    }

    fn read(&self, entry: usize, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.parts(entry, offset, buf.len(), |part| {
            let buf = &mut buf[part.range];
            match &self.staging {
                Some(staging) if self.staged.contains(part.piece) => {
                    if self.incoming.read(part.piece, part.in_piece, buf) {
                        return Ok(());
                    }
                    staging.read_at(entry, part.offset, buf)
                }
                _ => self.live.read_at(entry, part.offset, buf),
            }
        })
    }

    fn write(&self, entry: usize, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.parts(entry, offset, buf.len(), |Part { piece, in_piece, offset, range }| {
            let buf = &buf[range];
            match &self.staging {
                Some(staging) if self.staged.contains(piece) => {
                    let size = to_usize(self.manifest.piece_size(piece));
                    if self.incoming.write(piece, size, in_piece, buf) {
                        return Ok(());
                    }
                    staging.write_at(entry, offset, buf)
                }
                _ => Err(io::Error::other(format!("piece {piece} was not asked for"))),
            }
        })
    }

    /// Takes a piece that is right to where it belongs.
    fn complete(&self, piece: usize) -> anyhow::Result<()> {
        self.incoming.finish(piece, |bytes| self.store(piece, bytes)).transpose()?;
        self.arrived.note(piece);
        Ok(())
    }

    fn store(&self, piece: usize, mut bytes: &[u8]) -> anyhow::Result<()> {
        let Some(staging) = &self.staging else { return Ok(()) };
        for span in self.manifest.spans(piece) {
            let (part, rest) = bytes.split_at(to_usize(span.length));
            let written = staging.write_at(span.entry, span.offset, part);
            written.map_err(|e| self.remember(span.entry, e))?;
            bytes = rest;
        }
        Ok(())
    }

    /// Does something that librqbit asks for. A panic would end one of its tasks, and nobody would be told why nothing
    /// comes any more.
    fn guarded(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            let fault = Fault::bug("a fetch ended early: what came could not be taken");
            let text = anyhow!("{fault}");
            self.lock_failure().get_or_insert(fault);
            Err(text)
        })
    }

    fn lock_failure(&self) -> MutexGuard<'_, Option<Fault>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, entry: usize, source: io::Error) -> anyhow::Error {
        let path = self.manifest.entries.get(entry).and_then(|e| e.path.as_ref());
        let path = path.map_or_else(Default::default, |path| path.as_str().into());
        let error = FsError { verb: "write the new content of", path, source };
        let text = anyhow!("{error}");
        self.lock_failure().get_or_insert_with(|| error.into());
        text
    }
}

/// A part of a range that lies in one piece.
struct Part {
    piece: usize,
    in_piece: usize,
    /// In the entry.
    offset: u64,
    /// Of the bytes given or wanted.
    range: Range<usize>,
}

/// No part of memory is larger than this can say.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The handle librqbit holds.
#[derive(Debug, Clone)]
struct Shared {
    storage: Arc<PackStorage>,
    /// Whether librqbit has begun.
    has_begun: bool,
}

impl TorrentStorage for Shared {
    fn init(&mut self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<()> {
        Ok(())
    }

    fn pread_exact(&self, entry: usize, offset: u64, buf: &mut [u8]) -> anyhow::Result<()> {
        let read = || self.storage.read(entry, offset, buf).map_err(Into::into);
        if self.has_begun { self.storage.guarded(read) } else { Ok(()) }
    }

    fn pwrite_all(&self, entry: usize, offset: u64, buf: &[u8]) -> anyhow::Result<()> {
        let storage = &self.storage;
        storage
            .guarded(|| storage.write(entry, offset, buf).map_err(|e| storage.remember(entry, e)))
    }

    fn remove_file(&self, _: usize, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn remove_directory_if_empty(&self, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn ensure_file_length(&self, _: usize, _: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn on_piece_completed(&self, piece: ValidPieceIndex) -> anyhow::Result<()> {
        let piece = piece.get() as usize;
        self.storage.guarded(|| self.storage.complete(piece))
    }

    /// librqbit takes it over when it has looked at it.
    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        Ok(Box::new(Self { has_begun: true, ..self.clone() }))
    }
}

/// Answers for the file system's own factory: librqbit loads a bitfield for that one alone.
#[derive(Debug, Clone)]
struct Factory(Arc<PackStorage>);

impl StorageFactory for Factory {
    type Storage = Box<dyn TorrentStorage>;

    fn create(
        &self,
        _: &ManagedTorrentShared,
        _: &TorrentMetadata,
    ) -> anyhow::Result<Self::Storage> {
        Ok(Box::new(Shared { storage: Arc::clone(&self.0), has_begun: false }))
    }

    fn is_type_id(&self, type_id: TypeId) -> bool {
        type_id == TypeId::of::<FilesystemStorageFactory>()
    }

    fn clone_box(&self) -> BoxStorageFactory {
        Box::new(self.clone())
    }
}

pub fn factory(storage: &Arc<PackStorage>) -> BoxStorageFactory {
    Box::new(Factory(Arc::clone(storage)))
}
