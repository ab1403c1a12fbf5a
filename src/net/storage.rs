//! [`PackStorage`]: what librqbit reads and writes, by its place in the torrent. Its path strings are never used.
//!
//! A piece of the new content is read from and written to staging, once it is whole; any other piece is read from
//! the live folder and never written. Nothing is ever created, resized or removed for librqbit's sake.
//!
//! Before it begins, librqbit reads a piece of every file that it is told to have, and heeds nothing but a failure to
//! read. What is there is for us to say, so it gets no bytes then, and a large pack is not read for nothing.

use std::any::TypeId;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{bail, ensure};
use librqbit::storage::filesystem::FilesystemStorageFactory;
use librqbit::storage::{BoxStorageFactory, StorageFactory, TorrentStorage};
use librqbit::{ManagedTorrentShared, TorrentMetadata};
use librqbit_core::lengths::ValidPieceIndex;

use super::intake::{Failure, Intake};
use crate::disk::arrived::Arrived;
use crate::disk::content::{Live, read_stream};
use crate::disk::staging::Staging;
use crate::model::fault::Fault;
use crate::model::manifest::{Manifest, PieceSet};

/// The content of one torrent.
#[derive(Debug)]
pub struct PackStorage {
    pub manifest: Arc<Manifest>,
    live: Live,
    /// Pieces that are read from and written to staging, if any are to come.
    staged: Option<(PieceSet, Intake)>,
    failure: Arc<Failure>,
}

impl PackStorage {
    /// Content for fetching: `staged` are the pieces that live in staging, arrived or not. Fails when the system gives
    /// no thread.
    pub fn fetching(
        manifest: Arc<Manifest>,
        live: Live,
        staging: Staging,
        staged: PieceSet,
        arrived: Arc<Arrived>,
    ) -> io::Result<Self> {
        let failure = Arc::default();
        let intake = Intake::start(Arc::clone(&manifest), staging, arrived, Arc::clone(&failure))?;
        Ok(Self { manifest, live, staged: Some((staged, intake)), failure })
    }

    /// Content for seeding from the live folder alone.
    pub fn seeding(manifest: Arc<Manifest>, live: Live) -> Self {
        Self { manifest, live, staged: None, failure: Arc::default() }
    }

    /// What went wrong first.
    pub fn failure(&self) -> Option<Fault> {
        self.failure.get()
    }

    /// Waits for a piece to be in staging, for ever where none is to come. One alone may wait.
    pub async fn piece_came(&self, piece: usize) {
        match &self.staged {
            Some((_, intake)) => intake.came(piece).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until all that is on its way is in staging.
    pub fn settle(&self) {
        if let Some((_, intake)) = &self.staged {
            intake.settle();
        }
    }

    /// Takes nothing any more, and waits until all that was taken is in staging.
    pub fn close(&self) {
        if let Some((_, intake)) = &self.staged {
            intake.close();
        }
    }

    /// Cuts a range of the stream of all entries at piece borders.
    fn parts<E>(
        &self,
        start: u64,
        length: usize,
        mut each: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let piece_length = self.manifest.piece_length;
        let mut done = 0;
        while done < length {
            let at = start + done as u64;
            let (piece, in_piece) = (at / piece_length, at % piece_length);
            let size = to_usize(piece_length - in_piece).min(length - done);
            each(Part { piece: to_usize(piece), at, range: done..done + size })?;
            done += size;
        }
        Ok(())
    }

    fn read(&self, start: u64, buf: &mut [u8]) -> io::Result<()> {
        self.parts(start, buf.len(), |Part { piece, at, range }| {
            let buf = &mut buf[range];
            match self.intake_of(piece) {
                Some(intake) => intake.read(piece, at, buf),
                None => read_stream(&self.live, &self.manifest, piece, at, buf),
            }
        })
    }

    fn write(&self, start: u64, buf: &[u8]) -> anyhow::Result<()> {
        self.parts(start, buf.len(), |Part { piece, at, range }| {
            let Some(intake) = self.intake_of(piece) else {
                bail!("piece {piece} was not asked for");
            };
            intake.write(piece, at, &buf[range])
        })
    }

    fn complete(&self, piece: usize) {
        if let Some(intake) = self.intake_of(piece) {
            intake.complete(piece);
        }
    }

    /// Where a piece is read from and written to if not from the live folder.
    fn intake_of(&self, piece: usize) -> Option<&Intake> {
        let (staged, intake) = self.staged.as_ref()?;
        staged.contains(piece).then_some(intake)
    }
}

/// A part of a range that lies in one piece.
struct Part {
    piece: usize,
    /// In the stream.
    at: u64,
    /// Of the bytes given or wanted.
    range: Range<usize>,
}

/// No part of memory is larger than this can say.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What librqbit takes for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The torrent's entries.
    Entries,
    /// All of it as [one file](super::one_file), of which nothing is there when it begins.
    OneFile,
}

/// The handle librqbit holds.
#[derive(Debug, Clone)]
struct Shared {
    storage: Arc<PackStorage>,
    /// What is wanted.
    wanted: View,
    /// What librqbit has now.
    view: View,
    /// Whether librqbit has begun.
    has_begun: bool,
}

impl Shared {
    /// Where a place in a file lies in the stream of all entries.
    fn place(&self, file: usize, offset: u64) -> io::Result<u64> {
        match self.view {
            View::OneFile => Ok(offset),
            View::Entries => {
                let entry = self.storage.manifest.entries.get(file);
                Ok(entry.ok_or(io::ErrorKind::NotFound)?.offset + offset)
            }
        }
    }
}

impl TorrentStorage for Shared {
    fn init(&mut self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<()> {
        Ok(())
    }

    fn pread_exact(&self, file: usize, offset: u64, buf: &mut [u8]) -> anyhow::Result<()> {
        let storage = &self.storage;
        match (self.has_begun, self.view) {
            (true, _) => {
                storage.failure.guard(|| Ok(storage.read(self.place(file, offset)?, buf)?))
            }
            (false, View::Entries) => Ok(()),
            (false, View::OneFile) => bail!("nothing is there yet"),
        }
    }

    fn pwrite_all(&self, file: usize, offset: u64, buf: &[u8]) -> anyhow::Result<()> {
        let storage = &self.storage;
        storage.failure.guard(|| storage.write(self.place(file, offset)?, buf))
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
        self.storage.failure.guard(|| {
            self.storage.complete(piece);
            Ok(())
        })
    }

    /// librqbit takes it over when it has looked at it. That fails where it is to begin anew.
    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        ensure!(self.view == self.wanted, "it is to begin as one file");
        Ok(Box::new(Self { has_begun: true, ..self.clone() }))
    }
}

/// Answers for the file system's own factory: librqbit loads a bitfield for that one alone.
#[derive(Debug, Clone)]
struct Factory {
    storage: Arc<PackStorage>,
    wanted: View,
}

impl StorageFactory for Factory {
    type Storage = Box<dyn TorrentStorage>;

    fn create(
        &self,
        _: &ManagedTorrentShared,
        metadata: &TorrentMetadata,
    ) -> anyhow::Result<Self::Storage> {
        let entries = self.storage.manifest.entries.len();
        let is_one_file = entries > 1 && metadata.file_infos.len() == 1;
        let view = if is_one_file { View::OneFile } else { View::Entries };
        let (storage, wanted) = (Arc::clone(&self.storage), self.wanted);
        Ok(Box::new(Shared { storage, wanted, view, has_begun: false }))
    }

    fn is_type_id(&self, type_id: TypeId) -> bool {
        type_id == TypeId::of::<FilesystemStorageFactory>()
    }

    fn clone_box(&self) -> BoxStorageFactory {
        Box::new(self.clone())
    }
}

pub(super) fn factory(storage: &Arc<PackStorage>, wanted: View) -> BoxStorageFactory {
    Box::new(Factory { storage: Arc::clone(storage), wanted })
}
