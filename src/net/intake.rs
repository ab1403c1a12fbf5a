//! [`Intake`]: what comes from peers, from blocks to whole pieces in staging.
//!
//! A thread of its own writes them: librqbit has one for all that it does, which asks nobody for more while it waits
//! for a disk.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::anyhow;
use tokio::sync::Notify;

use super::incoming::{Came, Incoming};
use crate::disk::arrived::Arrived;
use crate::disk::content::read_stream;
use crate::disk::fs::{FsError, Paged};
use crate::disk::staging::Staging;
use crate::model::fault::{Fault, FaultKind};
use crate::model::manifest::{EntryIndex, Manifest, Span};

/// The first thing that went wrong: librqbit only says that something did.
#[derive(Debug, Default)]
pub(super) struct Failure(Mutex<Option<Fault>>);

impl Failure {
    pub fn get(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers a fault, and puts it as librqbit wants it.
    fn note(&self, fault: Fault) -> anyhow::Error {
        let text = anyhow!("{fault}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        text
    }

    /// Does something that librqbit asks for. A panic would end one of its tasks, and nobody would be told why nothing
    /// comes any more.
    pub fn guard(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            Err(self.note(Fault::bug("a fetch ended early: what came could not be taken")))
        })
    }
}

/// The way of pieces into staging.
#[derive(Debug)]
pub(super) struct Intake {
    way: Arc<Way>,
    /// Whole pieces to be written. Its end is the writer's.
    whole: Option<Sender<Whole>>,
    writer: Option<JoinHandle<()>>,
}

/// A piece with its number.
type Whole = (usize, Arc<Paged>);

impl Intake {
    pub fn start(
        manifest: Arc<Manifest>,
        staging: Staging,
        arrived: Arc<Arrived>,
        failure: Arc<Failure>,
    ) -> io::Result<Self> {
        // librqbit gives nothing of padding.
        let incoming = Incoming::new(manifest.has_padding());
        let (awaited, came) = (AtomicUsize::new(usize::MAX), Notify::new());
        let way = Way { manifest, staging, incoming, arrived, failure, awaited, came };
        let way = Arc::new(way);
        let (whole, to_write) = mpsc::channel();
        let writing = Arc::clone(&way);
        let writer = std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || writing.write_all(to_write))?;
        Ok(Self { way, whole: Some(whole), writer: Some(writer) })
    }

    /// Reads a part of a piece, at its place in the stream of all entries.
    pub fn read(&self, piece: usize, at: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.way.incoming.read(piece, self.way.in_piece(at), buf) {
            return Ok(());
        }
        read_stream(&self.way.staging, &self.way.manifest, piece, at, buf)
    }

    /// Takes a part of a piece, at its place in the stream of all entries.
    pub fn write(&self, piece: usize, at: u64, buf: &[u8]) -> anyhow::Result<()> {
        let size = usize::try_from(self.way.manifest.piece_size(piece))?;
        let place = || self.way.manifest.place_of(piece);
        if self.way.incoming.write(piece, size, place, self.way.in_piece(at), buf) {
            return Ok(());
        }
        self.way.write(at, buf)
    }

    /// Has a piece that is right written to where it belongs.
    pub fn complete(&self, piece: usize) -> anyhow::Result<()> {
        match (self.way.incoming.hand_over(piece), &self.whole) {
            (Came::Whole(bytes), Some(whole)) => whole.send((piece, bytes))?,
            (Came::Written, _) => {
                self.way.arrived.note(piece);
                self.way.tell(piece);
            }
            (Came::Whole(_), None) | (Came::TooLate, _) => {}
        }
        Ok(())
    }

    /// Waits for a piece to be in staging. One alone may wait, and for one piece: who waits later takes its place.
    pub async fn came(&self, piece: usize) {
        self.way.awaited.store(piece, Ordering::SeqCst);
        while !self.way.arrived.has(piece) {
            self.way.came.notified().await;
        }
    }

    /// Waits until all that is right and whole is written.
    pub fn settle(&self) {
        self.way.incoming.settle();
    }

    /// Takes nothing any more, and waits until all that was taken is written.
    pub fn close(&self) {
        self.way.incoming.close();
    }
}

/// Nothing is written once it is gone.
impl Drop for Intake {
    fn drop(&mut self) {
        drop(self.whole.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[derive(Debug)]
struct Way {
    manifest: Arc<Manifest>,
    staging: Staging,
    incoming: Incoming,
    arrived: Arc<Arrived>,
    failure: Arc<Failure>,
    /// The piece that was last waited for.
    awaited: AtomicUsize,
    /// It was written, or could not be.
    came: Notify,
}

impl Way {
    fn write_all(&self, pieces: Receiver<Whole>) {
        for (piece, bytes) in pieces {
            // Who waits for the piece asks for the failure now and then.
            let _ = self.failure.guard(|| self.store(piece, &bytes));
            self.incoming.let_go(piece, bytes);
            self.tell(piece);
        }
    }

    /// Wakes who waits for this piece; to wake somebody for each one would cost time that nobody needs.
    fn tell(&self, piece: usize) {
        if self.awaited.load(Ordering::SeqCst) == piece {
            self.came.notify_one();
        }
    }

    fn store(&self, piece: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let mut written = Vec::new();
        let start = self.manifest.piece_range(piece).start;
        for (Span { entry, offset, .. }, part) in self.manifest.cut(start, bytes) {
            if self.manifest.is_padding(entry) && part.iter().any(|byte| *byte != 0) {
                return Err(self.failure.note(odd_padding()));
            }
            let result = self.staging.write_right(entry, offset, part);
            written.extend(result.map_err(|source| self.failed(entry, source))?);
        }
        self.arrived.note_right(piece, &written);
        Ok(())
    }

    /// Writes something as it comes: nobody knows yet whether it is right.
    fn write(&self, at: u64, bytes: &[u8]) -> anyhow::Result<()> {
        for (Span { entry, offset, .. }, part) in self.manifest.cut(at, bytes) {
            let written = self.staging.write_at(entry, offset, part);
            written.map_err(|source| self.failed(entry, source))?;
        }
        Ok(())
    }

    /// Where a place in the stream lies in its piece. A piece is not longer than memory.
    fn in_piece(&self, at: u64) -> usize {
        usize::try_from(at % self.manifest.piece_length).unwrap_or(usize::MAX)
    }

    fn failed(&self, entry: EntryIndex, source: io::Error) -> anyhow::Error {
        let path = self.manifest.entries.get(entry).and_then(|e| e.path.as_ref());
        let path = path.map_or_else(Default::default, |path| path.as_str().into());
        let verb = "write the new content of";
        self.failure.note(FsError { verb, path, source }.into())
    }
}

/// Nobody keeps padding, so nobody could find such a piece right again, or give it to others. (One that is written as it
/// comes is not found right to begin with.)
fn odd_padding() -> Fault {
    Fault::new(
        FaultKind::BadMetainfo,
        "the torrent counts bytes of padding that are not zero (BEP 47)",
        "Ask the pack's admin to make the torrent anew.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::disk::fs::Root;
    use crate::model::manifest::tests::manifest;

    #[tokio::test]
    async fn who_waits_for_a_piece_is_woken_when_it_is_in_staging() {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let manifest = Arc::new(manifest(4, &[3, 9]));
        let staging = Staging::create(root, Arc::clone(&manifest)).unwrap();
        let (arrived, failure) = (Arc::default(), Arc::default());
        let intake = Intake::start(manifest, staging, arrived, failure).unwrap();
        let complete = |piece: usize| {
            intake.write(piece, 4 * piece as u64, &[7; 4])?;
            intake.complete(piece)
        };
        let completes = async {
            tokio::task::yield_now().await;
            [0, 2, 1].into_iter().for_each(|piece| complete(piece).unwrap());
        };
        let waits = async {
            intake.came(1).await;
            intake.came(2).await;
        };
        let (came, ()) = tokio::join!(timeout(Duration::from_secs(9), waits), completes);
        assert_eq!(came, Ok(()));
        let mut read = [0; 4];
        intake.read(1, 4, &mut read).unwrap();
        assert_eq!(read, [7; 4]);
    }
}
